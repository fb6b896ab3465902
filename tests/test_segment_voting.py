"""gx.segment_voting against its reference, and what csrc/gaufuse/segment_voting.h promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.ops.segment_voting import WEIGHTS
from gaufuse_ext.reference.segment_voting import segment_voting as reference
from group_inputs import DTYPES, KINDS, SIZES, Groups, drawn_groups, make_groups, rounding

pytestmark = pytest.mark.emulation


def check_against_reference(
    groups: Groups, iou_threshold: float, num_kept: int, weights: str = "score"
) -> None:
    """The first segments of each group stand for what was kept, up to half of its segments."""
    kept = groups.segments[:, :num_kept].flip(0)
    kept_counts = ((groups.counts + 1) // 2).clamp(max=kept.shape[1]).flip(0)
    refined = gx.segment_voting(
        kept,
        groups.segments,
        groups.scores,
        iou_threshold,
        kept_counts,
        groups.counts,
        weights=weights,
    )
    assert refined.shape == kept.shape
    assert refined.dtype == kept.dtype
    tolerance = rounding(kept.dtype, groups.scale)
    for g, (segments, scores, _) in enumerate(groups):
        k = kept_counts[g].item()
        own = kept[g, :k].cpu().double().numpy()
        expected = reference(own, segments, scores, iou_threshold, weights)
        np.testing.assert_allclose(refined[g, :k].cpu().double().numpy(), expected, **tolerance)
        assert not refined[g, k:].any()


@pytest.mark.emulation(False)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_matches_reference_at_sizes(device, dtype, size, weights):
    for kind in KINDS:
        check_against_reference(make_groups(kind, size, dtype).to(device), 0.3, 200, weights)


@given(
    groups=drawn_groups(),
    iou_threshold=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]),
    weights=st.sampled_from(WEIGHTS),
)
def test_matches_reference(device, groups, iou_threshold, weights):
    check_against_reference(groups.to(device), iou_threshold, 4, weights)


def test_by_hand(device):
    """IoU 1 and exactly 1/2, weights 1 and 3; what shares less has no vote, whatever its score."""
    segments = torch.tensor([[0.0, 4.0], [2.0, 4.0], [3.0, 9.0]], device=device)
    scores = torch.tensor([0.25, 0.75, 9.0], device=device)
    kept = segments[:1]
    assert gx.segment_voting(kept, segments, scores, 0.5).tolist() == [[1.5, 4.0]]
    assert gx.segment_voting(kept, segments, scores, 0.5000001).tolist() == [[0.0, 4.0]]


def test_by_hand_weighted_by_iou(device):
    """Weights 0.25 * 1 and 0.75 * 1/2: the start is 2 * 0.375 / 0.625."""
    segments = torch.tensor([[0.0, 4.0], [2.0, 4.0], [3.0, 9.0]], device=device)
    scores = torch.tensor([0.25, 0.75, 9.0], device=device)
    refined = gx.segment_voting(segments[:1], segments, scores, 0.5, weights="score_iou")
    assert refined.tolist() == [pytest.approx([1.2, 4.0])]
    # At a threshold of zero all vote, but what shares nothing weighs nothing.
    apart = torch.tensor([[10.0, 11.0]], device=device)
    refined = gx.segment_voting(apart, segments, scores, 0.0, weights="score_iou")
    assert torch.equal(refined, apart)
    with pytest.raises(ValueError, match=r"^weights must be one of score, score_iou, got 'iou'"):
        gx.segment_voting(apart, segments, scores, 0.5, weights="iou")


def test_kept_need_not_be_among_the_segments(device):
    segments = torch.tensor([[0.0, 4.0], [1.0, 5.0]], device=device)
    scores = torch.tensor([0.5, 0.5], device=device)
    kept = torch.tensor([[0.5, 4.5], [20.0, 30.0], [2.0, 2.0]], device=device)
    refined = gx.segment_voting(kept, segments, scores, 0.5)
    assert refined.tolist() == [[0.5, 4.5], [20.0, 30.0], [2.0, 2.0]]


@pytest.mark.parametrize("score", [0.0, -1.0])
def test_no_vote_leaves_the_kept_segment(device, score):
    segments = torch.tensor([[0.1, 4.7], [0.0, 5.0]], device=device)
    refined = gx.segment_voting(segments, segments, torch.full((2,), score, device=device), 0.5)
    assert torch.equal(refined, segments)
    empty = gx.segment_voting(segments, segments, torch.ones(2, device=device), 0.5, counts=0)
    assert torch.equal(empty, segments)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_finite_input_gives_finite_output(device, dtype, weights):
    info = torch.finfo(dtype)
    segments = torch.tensor([[-info.max, info.max], [0.0, info.max]], dtype=dtype, device=device)
    segments = torch.cat([segments, segments / 2])
    for score in (info.max, info.tiny, info.tiny * info.eps):
        scores = torch.tensor([1.0, 0.5, 1.0, 0.5], dtype=dtype, device=device) * score
        refined = gx.segment_voting(segments, segments, scores, 0.0, weights=weights)
        assert refined.isfinite().all()
        assert refined[0, 1] > info.max / 4
    scores[0] = info.max
    refined = gx.segment_voting(segments, segments, scores, 0.0, weights=weights)
    torch.testing.assert_close(refined[0], segments[0])


def test_a_refined_segment_lies_between_its_voters(device):
    groups = make_groups("real", 300, torch.float64).to(device)
    refined = gx.segment_voting(
        groups.segments, groups.segments, groups.scores, 0.4, groups.counts, groups.counts
    )
    iou = gx.segment_iou(groups.segments.nan_to_num(), groups.segments.nan_to_num())
    for g, count in enumerate(groups.counts.tolist()):
        votes = iou[g, :count, :count] >= 0.4
        for side in (0, 1):
            values = groups.segments[g, :count, side].expand(count, count)
            low = values.where(votes, torch.inf).amin(1)
            high = values.where(votes, -torch.inf).amax(1)
            assert (refined[g, :count, side] >= low - 1e-9).all()
            assert (refined[g, :count, side] <= high + 1e-9).all()
