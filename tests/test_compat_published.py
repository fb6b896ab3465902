"""gaufuse_ext.compat.actionformer and .opentad against both published procedures, written out."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import literal_nms
from gaufuse_ext import compat
from gaufuse_ext.compat import actionformer, opentad

SIGNATURES = {
    actionformer: (
        "segs, scores, cls_idxs, iou_threshold, min_score, max_seg_num, use_soft_nms=True, "
        "multiclass=True, sigma=0.5, voting_thresh=0.75"
    ),
    opentad: (
        "segs, scores, cls_idxs, iou_threshold=0.0, min_score=0.0, max_seg_num=100, "
        "use_soft_nms=True, multiclass=True, sigma=0.5, voting_thresh=0.0, method=2, t1=0, t2=0"
    ),
}


@pytest.mark.parametrize("module", SIGNATURES)
def test_signatures_are_theirs(module):
    parameters = inspect.signature(module.batched_nms).parameters.values()
    found = [str(p.replace(annotation=p.empty)) for p in parameters]
    assert ", ".join(found) == SIGNATURES[module]


def detections(size: int, seed: int, unit: float = 1.0) -> tuple[torch.Tensor, ...]:
    """float64, so that only what is decided can differ. `unit`: what a second counts as."""
    rng = np.random.default_rng([seed, size])
    starts, lengths = rng.uniform(0, 60, size), rng.exponential(8.0, size) + 0.01
    segs = torch.from_numpy(np.stack([starts, starts + lengths], axis=1)) * unit
    scores = torch.from_numpy(rng.permutation(size) + rng.uniform(0.1, 1.0, size)) / (size + 1)
    return segs, scores, torch.from_numpy(rng.choice([7, -2, 3], size, p=[0.6, 0.3, 0.1]))


def check(module, tensors: tuple[torch.Tensor, ...], **options) -> None:
    segs, scores, classes = tensors
    found = module.batched_nms(segs, scores, classes, **options)
    defaults = inspect.signature(module.batched_nms).parameters.values()
    options = {p.name: p.default for p in defaults if p.default is not p.empty} | options
    row = [
        literal_nms.Detection(*segment, score, label)
        for segment, score, label in zip(
            segs.tolist(), scores.tolist(), classes.tolist(), strict=True
        )
    ]
    expected = literal_nms.batched_nms(row, **options, votes_by_iou=module is actionformer)
    assert found[2].tolist() == [x.label for x in expected]
    boundaries = [[x.start, x.end] for x in expected]
    np.testing.assert_allclose(found[0].numpy(), np.reshape(boundaries, (-1, 2)), rtol=1e-10)
    np.testing.assert_allclose(found[1].numpy(), [x.score for x in expected], rtol=1e-10)


shared_options = {
    "size": st.sampled_from([1, 2, 5, 40]),
    "seed": st.integers(0, 10**6),
    "unit": st.sampled_from([1.0, 25.0 / 16.0, 1.0 / 200.0]),
    "iou_threshold": st.sampled_from([0.0, 0.1, 0.45, 0.7]),
    "min_score": st.sampled_from([0.0, 0.001, 0.2]),
    "max_seg_num": st.sampled_from([0, 1, 10, 200]),
    "use_soft_nms": st.booleans(),
    "multiclass": st.booleans(),
    "sigma": st.sampled_from([0.3, 0.5, 0.9]),
    "voting_thresh": st.sampled_from([0.0, 0.3, 0.7, 0.95]),
}


@given(**shared_options)
def test_actionformer(size, seed, unit, **options):
    check(actionformer, detections(size, seed, unit), **options)


@given(
    **shared_options,
    method=st.integers(0, 3),
    t1=st.sampled_from([0.0, 0.3, 0.5]),
    t2=st.sampled_from([0.0, 0.01, 0.9, -0.02]),
)
def test_opentad(size, seed, unit, **options):
    check(opentad, detections(size, seed, unit), **options)


def test_defaults_of_opentad():
    """A call with nothing but tensors: soft-NMS that drops nothing, no voting, the best hundred."""
    check(opentad, detections(150, 3))
    segs, scores, classes = detections(150, 3)
    assert len(opentad.batched_nms(segs, scores, classes)[1]) == 100


def test_whole_seconds_whose_iou_is_the_threshold():
    """The published code adds 1e-6 to lengths, so that an IoU of 1/2 does not reach 0.5."""
    segs = torch.tensor([[0.0, 4.0], [2.0, 4.0]])
    scores, classes = torch.tensor([0.9, 0.5]), torch.zeros(2, dtype=torch.int64)
    options = (0.5, 0.001, 10, False)
    for module in SIGNATURES:
        assert module.batched_nms(segs, scores, classes, *options)[1].tolist() == pytest.approx(
            [0.9, 0.5]
        )
    assert len(compat.batched_nms(segs, scores, classes, *options)[1]) == 1, "exact IoU"


def test_voting_by_hand():
    """Neighbours [0, 4] (score 0.5, IoU 1) and [2, 4] (0.25, IoU 1/2): by score the start is
    2 * 0.25 / 0.75, by score times IoU 2 * 0.125 / 0.625. Threshold 0.5: the IoU is met exactly."""
    segs = torch.tensor([[0.0, 4.0], [2.0, 4.0]], dtype=torch.float64)
    scores = torch.tensor([0.5, 0.25], dtype=torch.float64)
    classes = torch.tensor([0, 1])
    options = {"multiclass": False, "voting_thresh": 0.5}
    starts = {
        module: module.batched_nms(segs, scores, classes, 0.1, 0.001, 1, **options)[0].tolist()
        for module in (actionformer, opentad, compat)
    }
    assert starts[actionformer] == [pytest.approx([0.4, 4.0])]
    assert starts[opentad] == [pytest.approx([2.0 / 3.0, 4.0])]
    assert starts[compat] == starts[opentad]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_opentad_gives_half_precision_back_as_float32(dtype):
    """As theirs: a mean of boundaries rounded to half precision would be off by seconds."""
    segs = torch.tensor([[1000.0, 1008.0], [1000.0, 1016.0]], dtype=dtype)
    scores, classes = torch.tensor([0.75, 0.25], dtype=dtype), torch.tensor([0, 0])
    found = opentad.batched_nms(
        segs, scores, classes, max_seg_num=1, multiclass=False, voting_thresh=0.5
    )
    assert [x.dtype for x in found] == [torch.float32, torch.float32, torch.int64]
    assert found[0].tolist() == [[1000.0, 1010.0]]


@pytest.mark.parametrize("module", SIGNATURES)
def test_no_segment(module):
    nothing = (torch.zeros(0, 2), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    found = module.batched_nms(*nothing, iou_threshold=0.5, min_score=0.1, max_seg_num=10)
    assert [x.shape for x in found] == [(0, 2), (0,), (0,)]


def test_arguments_of_the_wrong_kind():
    segs, scores, classes = detections(5, 0)
    with pytest.raises(ValueError, match=r"^method must be 0, 1, 2 or 3, got 4 \(int\)"):
        opentad.batched_nms(segs, scores, classes, method=4)
    with pytest.raises(ValueError, match=r"^t1 must lie in \[0, 1\], got 2"):
        opentad.batched_nms(segs, scores, classes, method=3, t1=2)
    with pytest.raises(TypeError, match=r"^segs must be a torch.Tensor, got None"):
        opentad.batched_nms(None, scores, classes)
    with pytest.raises(TypeError, match=r"^cls_idxs must hold integers, got .*float64"):
        actionformer.batched_nms(segs, scores, scores, 0.5, 0.1, 10)
