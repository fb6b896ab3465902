"""gx.weighted_segments_fusion against its reference, and what its contract header promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.ops.weighted_segments_fusion import CONFIDENCES
from gaufuse_ext.reference.weighted_segments_fusion import weighted_segments_fusion as reference
from group_inputs import DTYPES, KINDS, SIZES, Groups, drawn_groups, make_groups, rounding

pytestmark = pytest.mark.emulation


def fuse(groups: Groups, **options) -> gx.WeightedSegments:
    return gx.weighted_segments_fusion(groups.segments, groups.scores, groups.counts, **options)


def check_against_reference(groups: Groups, **options) -> None:
    fused = fuse(groups, **options)
    tolerance = rounding(groups.scores.dtype, groups.scale)
    for g, (segments, scores, _) in enumerate(groups):
        expected_segments, expected_scores, expected = reference(segments, scores, **options)
        n, k = len(scores), len(expected_scores)
        assert fused.counts[g] == k
        assignment = fused.assignment[g].cpu().numpy()
        np.testing.assert_array_equal(assignment[:n], expected)
        assert (assignment[n:] == -1).all()
        found_segments = fused.segments[g].cpu().double().numpy()
        found_scores = fused.scores[g].cpu().double().numpy()
        np.testing.assert_allclose(found_segments[:k], expected_segments, **tolerance)
        np.testing.assert_allclose(found_scores[:k], expected_scores, **tolerance)
        assert not found_segments[k:].any()
        assert not found_scores[k:].any()


@pytest.mark.emulation(False)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_matches_reference_at_sizes(device, dtype, size):
    for kind in KINDS:
        if kind == "denormal" and dtype == torch.float64:
            continue  # double has no digits to spare there; see test_denormal_numbers
        check_against_reference(make_groups(kind, size, dtype).to(device), iou_threshold=0.4)


@given(
    groups=drawn_groups(),
    iou_threshold=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]),
    skip_below=st.sampled_from([0.0, 0.25, 0.3]),
    num_models=st.integers(1, 4),
    confidence=st.sampled_from(CONFIDENCES),
    allows_overflow=st.booleans(),
)
def test_matches_reference(device, groups, **options):
    check_against_reference(groups.to(device), **options)


def test_by_hand(device):
    """The fused segment, not the seed, decides: [1, 5] has 0.6 of [0, 4] and 0.8 of their mean."""
    segments = torch.tensor(
        [[0.0, 4.0], [1.0, 5.0], [1.0, 6.0], [20.0, 22.0]], dtype=torch.float64, device=device
    )
    scores = torch.tensor([0.5, 0.5, 0.25, 0.375], dtype=torch.float64, device=device)
    fused = gx.weighted_segments_fusion(segments, scores, iou_threshold=0.55, num_models=3)
    assert fused.assignment.tolist() == [0, 0, 0, 1]
    assert fused.counts.item() == 2
    assert fused.segments[:2].flatten().tolist() == pytest.approx([0.6, 4.8, 20.0, 22.0])
    assert fused.scores.tolist() == pytest.approx([1.25 / 3, 0.125, 0.0, 0.0])
    options = {"iou_threshold": 0.55, "num_models": 2}
    one = gx.weighted_segments_fusion(segments, scores, allows_overflow=True, **options)
    assert one.scores.tolist() == pytest.approx([1.25 / 2, 0.1875, 0.0, 0.0])
    best = gx.weighted_segments_fusion(segments, scores, confidence="max", **options)
    assert best.scores.tolist() == [0.5, 0.375, 0.0, 0.0]


def test_sorted_by_fused_score(device):
    """A lone detection of one of two models counts half: it comes behind a weaker agreement."""
    segments = torch.tensor([[0.0, 4.0], [10.0, 14.0], [10.0, 14.0]], device=device)
    scores = torch.tensor([0.75, 0.5, 0.5], device=device)
    fused = gx.weighted_segments_fusion(segments, scores, num_models=2)
    assert fused.assignment.tolist() == [1, 0, 0]
    assert fused.scores.tolist() == [0.5, 0.375, 0.0]
    assert fused.segments.tolist() == [[10.0, 14.0], [0.0, 4.0], [0.0, 0.0]]


def test_joins_the_cluster_that_overlaps_most(device):
    segments = torch.tensor([[0.0, 10.0], [4.0, 14.0], [3.0, 13.0]], device=device)
    scores = torch.tensor([0.9, 0.8, 0.7], device=device)
    fused = gx.weighted_segments_fusion(segments, scores, iou_threshold=0.5)
    assert fused.assignment.tolist() == [0, 1, 1]


def test_iou_at_the_threshold_opens_a_cluster(device):
    segments = torch.tensor([[0.0, 4.0], [2.0, 4.0]], device=device)  # IoU exactly 1/2
    scores = torch.tensor([0.9, 0.8], device=device)
    for iou_threshold, clusters in ((0.5, 2), (0.4999999, 1)):
        fused = gx.weighted_segments_fusion(segments, scores, iou_threshold=iou_threshold)
        assert fused.counts.item() == clusters


def test_left_out(device):
    """Scores below skip_below, and segments without length; a score equal to it is in."""
    segments = torch.tensor([[0.0, 4.0], [6.0, 6.0], [8.0, 9.0], [1.0, 4.0]], device=device)
    scores = torch.tensor([0.5, 0.9, 0.25, 0.125], device=device)
    fused = gx.weighted_segments_fusion(segments, scores, skip_below=0.25)
    assert fused.assignment.tolist() == [0, -1, 1, -1]
    assert fused.scores.tolist() == [0.5, 0.25, 0.0, 0.0]


def test_scores_of_zero(device):
    segments = torch.tensor([[0.0, 4.0], [1.0, 4.0], [8.0, 9.0]], device=device)
    fused = gx.weighted_segments_fusion(segments, torch.zeros(3, device=device))
    assert fused.assignment.tolist() == [0, 0, 1]
    assert fused.segments.tolist() == [[0.0, 4.0], [8.0, 9.0], [0.0, 0.0]]
    assert not fused.scores.any()


def test_weights_of_models(device):
    """By the published formulas, as the docstring says how: weights 2 and 1."""
    segments = torch.tensor([[0.0, 4.0], [1.0, 4.0]], dtype=torch.float64, device=device)
    scores = torch.tensor([0.6, 0.9], dtype=torch.float64, device=device)
    weights = torch.tensor([2.0, 1.0], dtype=torch.float64, device=device)
    scaled = scores * weights * 2 / weights.sum()
    fused = gx.weighted_segments_fusion(segments, scaled, num_models=2)
    # The mean of 1.2 and 0.9, times min(2, 2), over 3; the boundary 0.9 / 2.1.
    assert fused.scores[0].item() == pytest.approx(0.7)
    assert fused.segments[0].tolist() == pytest.approx([0.9 / 2.1, 4.0])
    scaled = scores * weights / weights.max()
    fused = gx.weighted_segments_fusion(segments, scaled, num_models=2, confidence="max")
    assert fused.scores[0].item() == pytest.approx(0.6)


def test_denormal_numbers(device):
    groups = make_groups("denormal", 65, torch.float64).to(device)
    fused = fuse(groups, iou_threshold=0.4)
    tiny = torch.finfo(torch.float64).smallest_normal * 2
    assert fused.segments.abs().max() <= tiny
    assert (fused.segments[..., 1] >= fused.segments[..., 0]).all()
    assert (fused.scores.diff(dim=1) <= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_finite_input_gives_finite_output(device, dtype):
    info = torch.finfo(dtype)
    # Two lengths and their sum are finite: beyond that there is no IoU.
    segments = torch.tensor([[info.max / 8, info.max / 2]], dtype=dtype).repeat(100, 1).to(device)
    for score in (info.max, info.tiny, info.tiny * info.eps):
        scores = torch.full((100,), score, dtype=dtype, device=device)
        fused = gx.weighted_segments_fusion(segments, scores, num_models=3)
        assert fused.counts.item() == 1
        torch.testing.assert_close(fused.segments[0], segments[0])
        torch.testing.assert_close(fused.scores[0], scores[0])


@pytest.mark.gpu
@pytest.mark.parametrize("size", [64, 65, 1024, 1025, 3000])
def test_the_same_bits_on_the_gpu(size):
    for kind in ("real", "grid"):
        for dtype in DTYPES:
            groups = make_groups(kind, size, dtype, groups=3)
            found = fuse(groups.to("cuda"), num_models=3)
            expected = fuse(groups, num_models=3)
            assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True))
