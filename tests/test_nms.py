"""gx.nms against its reference, and what csrc/gaufuse/nms.h promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.reference.nms import nms as reference
from group_inputs import DTYPES, KINDS, SIZES, Groups, drawn_groups, make_groups

pytestmark = pytest.mark.emulation


def check_against_reference(
    groups: Groups, iou_threshold: float, length_epsilon: float = 0.0
) -> None:
    keep = gx.nms(
        groups.segments,
        groups.scores,
        iou_threshold,
        groups.counts,
        length_epsilon=length_epsilon,
    )
    capacity = groups.scores.shape[1]
    for g, (segments, scores, _) in enumerate(groups):
        expected = reference(segments, scores, iou_threshold, length_epsilon).tolist()
        assert keep[g].tolist() == expected + [-1] * (capacity - len(expected))


@pytest.mark.emulation(False)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_matches_reference_at_sizes(device, dtype, size):
    for kind in KINDS:
        check_against_reference(make_groups(kind, size, dtype).to(device), 0.3)


@given(
    groups=drawn_groups(),
    iou_threshold=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]),
    length_epsilon=st.sampled_from([0.0, 1e-6, 1.0]),
)
def test_matches_reference(device, groups, iou_threshold, length_epsilon):
    check_against_reference(groups.to(device), iou_threshold, length_epsilon)


def test_drops_at_the_threshold_itself(device):
    segments = torch.tensor([[0.0, 4.0], [2.0, 4.0]], device=device)  # IoU exactly 1/2
    scores = torch.tensor([0.1, 0.9], device=device)
    assert gx.nms(segments, scores, 0.5).tolist() == [1]
    assert gx.nms(segments, scores, 0.5000001).tolist() == [1, 0]


def test_ties_go_to_the_lower_index(device):
    segments = torch.tensor([[5.0, 6.0], [0.0, 4.0], [0.0, 4.0], [8.0, 9.0]], device=device)
    scores = torch.tensor([0.5, 0.5, 0.5, 0.9], device=device)
    assert gx.nms(segments, scores, 1.0).tolist() == [3, 0, 1]


def test_points_do_not_overlap_themselves(device):
    """Two equal segments without length have an empty union: IoU zero, so both stay."""
    segments = torch.full((2, 2), 3.0, device=device)
    scores = torch.tensor([0.1, 0.2], device=device)
    assert gx.nms(segments, scores, 0.01).tolist() == [1, 0]
    assert gx.nms(segments, scores, 0.0).tolist() == [1]


@pytest.mark.parametrize("size", [33, 129, 1025])
def test_keeping_again_keeps_all(device, size):
    groups = make_groups("grid", size, torch.float32, groups=1).to(device)
    segments, scores = groups.segments[0], groups.scores[0]
    keep = gx.nms(segments, scores, 0.4)
    assert len(keep) < size
    again = gx.nms(segments[keep], scores[keep], 0.4)
    assert again.tolist() == list(range(len(keep)))


@pytest.mark.parametrize("size", [33, 129, 1025])
def test_order_of_input_does_not_matter_where_scores_differ(device, size):
    groups = make_groups("real", size, torch.float64, groups=1).to(device)
    segments, scores = groups.segments[0], groups.scores[0]
    assert len(scores.unique()) == size
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0)).to(device)
    shuffled = gx.nms(segments[order], scores[order], 0.2)
    assert torch.equal(order[shuffled], gx.nms(segments, scores, 0.2))


def test_padding_is_never_read(device):
    groups = make_groups("real", 129, torch.float32, groups=3).to(device)
    assert groups.scores.isnan().any()
    keep = gx.nms(groups.segments, groups.scores, 0.3, groups.counts)
    clean = gx.nms(groups.segments.nan_to_num(), groups.scores.nan_to_num(9.0), 0.3, groups.counts)
    assert torch.equal(keep, clean)


@pytest.mark.parametrize("counts", [None, 30, [30], torch.tensor([30])])
def test_unbatched_equals_a_batch_of_one(device, counts):
    groups = make_groups("real", 40, torch.float32, groups=1).to(device)
    if isinstance(counts, torch.Tensor):
        counts = counts.to(device)
    batched = gx.nms(groups.segments, groups.scores, 0.3, counts)
    alone = gx.nms(groups.segments[0], groups.scores[0], 0.3, counts)
    assert torch.equal(batched[0, : len(alone)], alone)
    assert (batched[0, len(alone) :] == -1).all()


def test_non_contiguous_input(device):
    groups = make_groups("real", 65, torch.float32, groups=3).to(device)
    segments = groups.segments.transpose(0, 1).contiguous().transpose(0, 1)
    scores = torch.stack([groups.scores, groups.scores], dim=-1)[..., 1]
    assert not segments.is_contiguous()
    assert not scores.is_contiguous()
    expected = gx.nms(groups.segments, groups.scores, 0.3, groups.counts)
    assert torch.equal(gx.nms(segments, scores, 0.3, groups.counts), expected)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_empty_batches(device, shape):
    keep = gx.nms(torch.zeros(*shape, 2, device=device), torch.zeros(shape, device=device), 0.5)
    assert keep.shape == shape
    assert keep.dtype == torch.int64


def test_no_segment(device):
    keep = gx.nms(torch.zeros(0, 2, device=device), torch.zeros(0, device=device), 0.5)
    assert keep.tolist() == []


def test_same_bits_for_every_number_of_threads(device, set_threads):
    groups = make_groups("real", 1025, torch.float32, groups=3).to(device)
    many = Groups(*(x.repeat(8, *[1] * (x.dim() - 1)) for x in vars(groups).values()))
    set_threads(1)
    alone = gx.nms(many.segments, many.scores, 0.3, many.counts)
    set_threads(2)
    assert torch.equal(gx.nms(many.segments, many.scores, 0.3, many.counts), alone)
