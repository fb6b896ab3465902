"""gaufuse_ext.compat.batched_nms against the published procedure, one class after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaufuse_ext.compat import batched_nms
from gaufuse_ext.reference.nms import nms
from gaufuse_ext.reference.segment_voting import segment_voting
from gaufuse_ext.reference.soft_nms import soft_nms


def one_class_after_the_other(
    segs, scores, classes, iou_threshold, min_score, max_seg_num, use_soft, multiclass, sigma, vote
):
    """Python loop over NumPy references; scores must differ, so that sorting is unambiguous."""
    indices, kept_scores = [], []
    for members in (
        [classes == c for c in np.unique(classes)] if multiclass else [classes == classes]
    ):
        places = np.flatnonzero(members)
        if use_soft:
            keep, decayed = soft_nms(segs[places], scores[places], sigma=sigma, min_score=min_score)
        else:
            if min_score > 0:
                places = places[scores[places] > min_score]
            keep = nms(segs[places], scores[places], iou_threshold)
            decayed = scores[places][keep]
        if max_seg_num > 0:
            keep, decayed = keep[:max_seg_num], decayed[:max_seg_num]
        indices.append(places[keep])
        kept_scores.append(decayed)
    kept, kept_scores = np.concatenate(indices), np.concatenate(kept_scores)
    kept_segs = segs[kept]
    if not multiclass and vote > 0:
        kept_segs = segment_voting(kept_segs, segs, scores, vote)
    order = np.argsort(-kept_scores, kind="stable")[:max_seg_num]
    return kept_segs[order], kept_scores[order], classes[kept][order]


def detections(size: int, dtype: torch.dtype = torch.float32, seed: int = 0):
    rng = np.random.default_rng([seed, size])
    starts, lengths = rng.uniform(0, 60, size), rng.exponential(8.0, size)
    segs = torch.from_numpy(np.stack([starts, starts + lengths], axis=1)).to(dtype)
    scores = torch.from_numpy(rng.permutation(size) + 1.0).to(dtype) / (size + 1)
    # Classes of very different sizes, in no order, with gaps between their numbers.
    classes = torch.from_numpy(rng.choice([7, -2, 3, 100], size, p=[0.6, 0.3, 0.09, 0.01]))
    return segs, scores, classes


@pytest.mark.parametrize("multiclass", [True, False])
@pytest.mark.parametrize("use_soft", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2, 40, 300])
def test_equals_the_published_procedure(device, size, dtype, use_soft, multiclass):
    segs, scores, classes = detections(size, dtype)
    arrays = [x.double().numpy() for x in (segs, scores)] + [classes.numpy()]
    on_device = [x.to(device) for x in (segs, scores, classes)]
    for min_score, max_seg_num, vote in ((0.001, 200, 0.75), (0.4, 10, 0.5), (0.0, 1000, 0.0)):
        options = (0.3, min_score, max_seg_num, use_soft, multiclass, 0.5, vote)
        found = batched_nms(*on_device, *options)
        expected = one_class_after_the_other(*arrays, *options)
        assert [x.dtype for x in found] == [dtype, dtype, torch.int64]
        assert all(x.device.type == device.type for x in found)
        assert found[2].tolist() == expected[2].tolist()
        for x, y in zip(found[:2], expected[:2], strict=True):
            rtol = 1e-6 if dtype == torch.float32 else 1e-12
            np.testing.assert_allclose(x.cpu().double().numpy(), y, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("use_soft", [True, False])
@pytest.mark.parametrize("multiclass", [True, False])
def test_no_segment(device, use_soft, multiclass):
    segs, scores = torch.zeros(0, 2, device=device), torch.zeros(0, device=device)
    classes = torch.zeros(0, dtype=torch.int32, device=device)
    found = batched_nms(segs, scores, classes, 0.5, 0.1, 10, use_soft, multiclass)
    assert [x.shape for x in found] == [(0, 2), (0,), (0,)]
    assert [x.dtype for x in found] == [torch.float32, torch.float32, torch.int32]


@pytest.mark.parametrize("multiclass", [True, False])
def test_no_segment_above_the_score(device, multiclass):
    """Hard NMS drops scores <= min_score first; soft-NMS always keeps the first of each class."""
    segs, scores, classes = (x.to(device) for x in detections(30))
    hard = batched_nms(segs, scores, classes, 0.5, 1.0, 10, False, multiclass)
    assert [x.shape for x in hard] == [(0, 2), (0,), (0,)]
    soft = batched_nms(segs, scores, classes, 0.5, 1.0, 10, True, multiclass)
    assert len(soft[1]) == (len(classes.unique()) if multiclass else 1)


def test_no_room(device):
    segs, scores, classes = (x.to(device) for x in detections(30))
    assert [len(x) for x in batched_nms(segs, scores, classes, 0.5, 0.1, 0)] == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("multiclass", [True, False])
def test_half_precision_goes_in_and_out(device, dtype, multiclass):
    segs, scores, classes = (x.to(device) for x in detections(50))
    found = batched_nms(
        segs.to(dtype), scores.to(dtype), classes, 0.5, 0.1, 20, multiclass=multiclass
    )
    expected = batched_nms(
        segs.to(dtype).float(),
        scores.to(dtype).float(),
        classes,
        0.5,
        0.1,
        20,
        multiclass=multiclass,
    )
    assert torch.equal(found[0], expected[0].to(dtype))
    assert torch.equal(found[1], expected[1].to(dtype))
    assert torch.equal(found[2], expected[2])


def test_arguments_of_the_wrong_kind():
    segs, scores, classes = detections(5)
    options = (0.5, 0.1, 10)
    with pytest.raises(TypeError, match=r"^segs must be a torch.Tensor, got None"):
        batched_nms(None, scores, classes, *options)
    with pytest.raises(ValueError, match=r"^segs must have shape \(5, 2\), got .*\(5, 1\)"):
        batched_nms(segs[:, :1], scores, classes, *options)
    with pytest.raises(ValueError, match=r"^scores must have shape \(5,\), got .*\(4,\)"):
        batched_nms(segs, scores[:4], classes, *options)
    with pytest.raises(TypeError, match=r"^scores must hold floating-point numbers, got .*int64"):
        batched_nms(segs, classes, scores, *options)
    with pytest.raises(TypeError, match=r"^cls_idxs must hold integers, got .*float32"):
        batched_nms(segs, scores, scores, *options)
    with pytest.raises(TypeError, match=r"^cls_idxs must be on cpu, got .*meta"):
        batched_nms(segs, scores, classes.to("meta"), *options)
    with pytest.raises(ValueError, match=r"^max_seg_num must be at least 0, got -1"):
        batched_nms(segs, scores, classes, 0.5, 0.1, -1)
    with pytest.raises(ValueError, match=r"^min_score must be finite, got nan"):
        batched_nms(segs, scores, classes, 0.5, float("nan"), 10)
    with pytest.raises(ValueError, match=r"^iou_threshold must lie in \[0, 1\], got 2"):
        batched_nms(segs, scores, classes, 2, 0.1, 10, use_soft_nms=False)
