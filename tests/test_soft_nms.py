"""gx.soft_nms against its reference, and what csrc/gaufuse/soft_nms.h promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.ops.soft_nms import METHODS
from gaufuse_ext.reference.segment_iou import segment_iou
from gaufuse_ext.reference.soft_nms import soft_nms as reference
from group_inputs import DTYPES, KINDS, SIZES, Groups, drawn_groups, make_groups

pytestmark = pytest.mark.emulation


def select(groups: Groups, **options) -> gx.SoftNms:
    return gx.soft_nms(groups.segments, groups.scores, groups.counts, **options)


def check_against_reference(groups: Groups, **options) -> None:
    found = select(groups, **options)
    capacity = groups.scores.shape[1]
    tolerance = 1e-12 if groups.scores.dtype == torch.float64 else 1e-7
    smallest = torch.finfo(groups.scores.dtype).smallest_normal * 2.0**-20
    for g, (segments, scores, _) in enumerate(groups):
        count = found.counts[g].item()
        keep = found.keep[g].cpu().numpy()
        kept_scores = found.scores[g].cpu().double().numpy()
        assert (keep[count:] == -1).all()
        assert not kept_scores[count:].any()
        assert len(keep) == capacity
        if options.get("method") in ("linear", "hard"):  # the same operations: equal choices
            expected, expected_scores = reference(segments, scores, **options)
            assert keep[:count].tolist() == expected.tolist()
        else:
            expected_scores = follow(segments, scores, keep[:count], **options)
        np.testing.assert_allclose(
            kept_scores[:count], expected_scores, rtol=tolerance, atol=smallest
        )


def follow(
    segments: np.ndarray,
    scores: np.ndarray,
    keep: np.ndarray,
    sigma: float = 0.5,
    min_score: float = 0.001,
    max_output: int | None = None,
    method: str = "gaussian",
    iou_threshold: float = 0.1,
    threshold_growth: float = 0.0,
    length_epsilon: float = 0.0,
) -> np.ndarray:
    """Checks each selection of the gaussian methods where it was made; returns expected scores.

    Another exponential, another last bit: of two scores that equal but for it either may come
    first, so the order cannot be compared with the reference's.
    """
    iou = segment_iou(segments, segments, length_epsilon)
    thresholds = np.full(len(segments), -np.inf)
    if method == "gaussian_above":
        lengths = segments[:, 1] - segments[:, 0] + length_epsilon
        thresholds = iou_threshold + threshold_growth * lengths
    remaining = scores.copy()
    alive = np.ones(len(scores), dtype=bool)
    expected = []
    for place, index in enumerate(keep):
        best = remaining[alive].max()
        assert alive[index]
        assert remaining[index] >= best - 1e-12 * abs(best) - 1e-320
        expected.append(remaining[index])
        alive[index] = False
        with np.errstate(over="ignore"):
            decay = np.exp(-(iou[index] ** 2) / sigma)
        remaining *= np.where(iou[index] >= thresholds[index], decay, 1.0)
        alive &= (remaining >= min_score * (1 + 1e-12)) | (
            (remaining >= min_score * (1 - 1e-12)) & np.isin(np.arange(len(scores)), keep[place:])
        )
    assert not alive.any() or len(keep) == max_output
    return np.array(expected)


@pytest.mark.emulation(False)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_matches_reference_at_sizes(device, method, dtype, size):
    for kind in KINDS:
        groups = make_groups(kind, size, dtype).to(device)
        check_against_reference(groups, method=method, min_score=0.01)


@given(
    groups=drawn_groups(),
    method=st.sampled_from(METHODS),
    sigma=st.sampled_from([1e-320, 0.001, 0.5, 2.0, 1e300]),
    iou_threshold=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]),
    min_score=st.sampled_from([-2.0, -0.3, 0.0, 0.001, 0.5, 2.0]),
    max_output=st.sampled_from([None, 0, 1, 3, 100]),
    threshold_growth=st.sampled_from([0.0, 0.125, -0.5, 1e300]),
    length_epsilon=st.sampled_from([0.0, 1e-6, 1.0]),
)
def test_matches_reference(device, groups, method, **options):
    check_against_reference(groups.to(device), method=method, **options)


@pytest.mark.parametrize("size", [33, 300])
def test_order_of_the_reference_where_scores_differ(device, size):
    groups = make_groups("real", size, torch.float64).to(device)
    found = select(groups)
    for g, (segments, scores, _) in enumerate(groups):
        expected, _ = reference(segments, scores)
        assert found.keep[g, : found.counts[g]].tolist() == expected.tolist()


def test_by_hand(device):
    """IoU 1/2 with the best: 0.8 becomes 0.4, behind the 0.6 that overlaps nothing."""
    segments = torch.tensor([[2.0, 4.0], [8.0, 9.0], [0.0, 4.0], [3.5, 3.75]], device=device)
    scores = torch.tensor([0.75, 0.5, 1.0, 0.0625], device=device)
    found = gx.soft_nms(segments, scores, method="linear", iou_threshold=0.25, min_score=0.05)
    assert found.keep.tolist() == [2, 1, 0, 3]
    assert found.scores.tolist() == [1.0, 0.5, 0.375, 0.0625]
    assert found.counts.item() == 4
    found = gx.soft_nms(segments, scores, sigma=0.5, min_score=0.5)
    assert found.keep.tolist() == [2, 1, -1, -1]
    found = gx.soft_nms(segments, scores, sigma=0.5, min_score=0.25)
    assert found.keep.tolist() == [2, 1, 0, -1]
    expected = [1.0, 0.5, 0.75 * math.exp(-0.5), 0.0]
    assert found.scores.tolist() == pytest.approx(expected, rel=1e-6)


def test_linear_decays_at_the_threshold_itself(device):
    segments = torch.tensor([[0.0, 4.0], [2.0, 4.0]], device=device)  # IoU exactly 1/2
    scores = torch.tensor([0.5, 1.0], device=device)
    for iou_threshold, second in ((0.5, 0.25), (0.5000001, 0.5)):
        found = gx.soft_nms(segments, scores, method="linear", iou_threshold=iou_threshold)
        assert found.scores.tolist() == [1.0, second]


@pytest.mark.parametrize("method", METHODS)
def test_the_first_selection_is_made_whatever_its_score(device, method):
    segments = torch.tensor([[0.0, 1.0], [5.0, 6.0], [8.0, 9.0]], device=device)
    scores = torch.tensor([-0.5, 0.25, 0.125], device=device)
    found = gx.soft_nms(segments, scores, method=method, min_score=0.3)
    assert found.keep.tolist() == [1, -1, -1]
    assert found.scores.tolist() == [0.25, 0.0, 0.0]
    # A segment that overlaps nothing is dropped after the first selection, too.
    found = gx.soft_nms(segments, scores, method=method, min_score=0.1)
    assert found.keep.tolist() == [1, 2, -1]
    found = gx.soft_nms(segments, scores, method=method, min_score=-1.0)
    assert found.keep.tolist() == [1, 2, 0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [3, 40, 1025])
def test_ties_go_to_the_lower_index(device, method, size):
    """Far apart, in descending order of start: equal scores stay in the order of their indices."""
    starts = 100.0 * torch.arange(size, 0, -1, dtype=torch.float32, device=device)
    segments = torch.stack([starts, starts + 1.0], dim=-1)
    found = gx.soft_nms(segments, torch.full((size,), 0.5, device=device), method=method)
    assert found.keep.tolist() == list(range(size))


@pytest.mark.parametrize("method", METHODS)
def test_duplicates(device, method):
    segments = torch.tensor([[0.0, 2.0]], device=device).repeat(5, 1)
    scores = torch.full((5,), 0.5, device=device)
    found = gx.soft_nms(segments, scores, method=method, min_score=0.0, sigma=1.0)
    assert found.keep.tolist() == [0, 1, 2, 3, 4]
    gaussian = method.startswith("gaussian")
    powers = [math.exp(-k) if gaussian else float(k == 0) for k in range(5)]
    assert found.scores.tolist() == pytest.approx([0.5 * p for p in powers], rel=1e-6)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "hard"])
def test_points_overlap_nothing(device, method):
    segments = torch.full((3, 2), 3.0, device=device)
    scores = torch.tensor([0.1, 0.2, 0.1], device=device)
    found = gx.soft_nms(segments, scores, method=method, iou_threshold=0.0)
    assert found.keep.tolist() == [1, 0, 2]
    assert found.scores.tolist() == pytest.approx([0.2, 0.1, 0.1])


def test_hard_leaves_zeros_and_drops_them_below_the_least_score(device):
    """IoU 1/2 with the best, and none."""
    segments = torch.tensor([[0.0, 4.0], [2.0, 4.0], [8.0, 9.0]], device=device)
    scores = torch.tensor([1.0, 0.75, 0.5], device=device)

    def select_hard(**options):
        found = gx.soft_nms(segments, scores, method="hard", **options)
        return found.keep.tolist(), found.scores.tolist()

    assert select_hard(iou_threshold=0.5) == ([0, 2, -1], [1.0, 0.5, 0.0])
    assert select_hard(iou_threshold=0.5, min_score=0.0) == ([0, 2, 1], [1.0, 0.5, 0.0])
    assert select_hard(iou_threshold=0.50001) == ([0, 1, 2], [1.0, 0.75, 0.5])
    # IoU 0 reaches a threshold of 0: nothing but the best keeps its score, however far away.
    assert select_hard(iou_threshold=0.0, min_score=0.0) == ([0, 1, 2], [1.0, 0.0, 0.0])


def test_the_threshold_of_gaussian_above_grows_with_the_length_selected(device):
    """IoU 1/2 with a best of length 4: it decays up to a threshold of 0.1 + 0.1 * 4 = 0.5."""
    segments = torch.tensor([[0.0, 4.0], [2.0, 4.0]], dtype=torch.float64, device=device)
    scores = torch.tensor([1.0, 0.5], dtype=torch.float64, device=device)
    decayed = 0.5 * math.exp(-0.25 / 0.5)
    for iou_threshold, growth, second in (
        (0.1, 0.1, decayed),
        (0.1, 0.1001, 0.5),
        (0.5, 0.0, decayed),
        (0.0, 0.0, decayed),
        (0.6, -0.025, decayed),
    ):
        found = gx.soft_nms(
            segments,
            scores,
            method="gaussian_above",
            iou_threshold=iou_threshold,
            threshold_growth=growth,
        )
        assert found.scores.tolist() == pytest.approx([1.0, second], rel=1e-14)


def test_an_epsilon_lowers_the_iou(device):
    """2 / (4 + 2 - 2) is 1/2; with lengths of 4.5 and 2.5 it is 2 / 5."""
    segments = torch.tensor([[0.0, 4.0], [2.0, 4.0]], dtype=torch.float64, device=device)
    scores = torch.tensor([1.0, 0.5], dtype=torch.float64, device=device)
    found = gx.soft_nms(segments, scores, method="linear", length_epsilon=0.5)
    assert found.scores.tolist() == pytest.approx([1.0, 0.5 * (1 - 0.4)], rel=1e-15)
    assert gx.nms(segments, scores, 0.5).tolist() == [0]
    assert gx.nms(segments, scores, 0.5, length_epsilon=1e-6).tolist() == [0, 1]


def test_max_output_only_cuts(device):
    groups = make_groups("real", 129, torch.float32, groups=3).to(device)
    full = select(groups, min_score=0.1)
    for most in (0, 1, 20, 129, 500):
        cut = select(groups, min_score=0.1, max_output=most)
        assert torch.equal(cut.counts, full.counts.clamp(max=most))
        assert torch.equal(cut.keep[:, :most], full.keep[:, :most])
        assert torch.equal(cut.scores[:, :most], full.scores[:, :most])
        assert (cut.keep[:, most:] == -1).all()


@pytest.mark.emulation(False)
def test_the_exponential_is_accurate(device):
    """Two units in the last place, from 1 down to where the result is flushed to zero."""
    lengths = torch.cat([torch.linspace(0.01, 1.0, 400), torch.logspace(-8, 0, 400)]).double()
    segments = torch.zeros(len(lengths), 2, 2, dtype=torch.float64)
    segments[:, 0, 1] = 1.0
    segments[:, 1, 1] = lengths
    scores = torch.tensor([2.0, 1.0], dtype=torch.float64).expand(len(lengths), 2)
    for sigma in (1e-4, 0.0015, 0.01, 0.3, 0.5, 7.0, 1e6):
        found = gx.soft_nms(segments.to(device), scores.to(device), sigma=sigma, min_score=0.0)
        exponents = -(lengths.numpy() ** 2) * (1.0 / sigma)
        expected = np.where(exponents >= -708.0, np.exp(exponents), 0.0)
        np.testing.assert_allclose(found.scores[:, 1].cpu().numpy(), expected, rtol=5e-16)


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [32, 128, 129, 512, 513, 2048, 2049, 5000])
def test_the_same_bits_on_the_gpu(method, size):
    for kind in ("real", "grid"):
        for dtype in DTYPES:
            groups = make_groups(kind, size, dtype, groups=3)
            found = select(groups.to("cuda"), method=method)
            expected = select(groups, method=method)
            assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True))
