"""gx.fuse_segments against its reference, and what csrc/gaufuse/fuse_segments.h promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.ops.fuse_segments import OVERLAPS
from gaufuse_ext.reference.fuse_segments import fuse_segments as reference
from group_inputs import DTYPES, KINDS, SIZES, Groups, drawn_groups, make_groups, rounding

pytestmark = pytest.mark.emulation

OUTPUTS = ("segments", "scores", "counts", "assignment", "shares")


def fuse(groups: Groups, **options) -> gx.FusedSegments:
    return gx.fuse_segments(
        groups.segments, groups.scores, groups.weights, groups.counts, **options
    )


def assert_same(a: gx.FusedSegments, b: gx.FusedSegments) -> None:
    """Equal to the bit."""
    for name in OUTPUTS:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def check_against_reference(groups: Groups, **options) -> None:
    fused = fuse(groups, **options)
    dtype = groups.scores.dtype
    tolerance = rounding(dtype, groups.scale)
    temperature = options.get("temperature", 0.2)
    for g, (segments, scores, weights) in enumerate(groups):
        expected_segments, expected_scores, expected_assignment = reference(
            segments, scores, weights, **options
        )
        n, k = len(scores), len(expected_scores)
        assert fused.counts[g] == k
        assignment = fused.assignment[g].cpu().numpy()
        np.testing.assert_array_equal(assignment[:n], expected_assignment)
        assert (assignment[n:] == -1).all()
        found_segments = fused.segments[g].cpu().double().numpy()
        found_scores = fused.scores[g].cpu().double().numpy()
        np.testing.assert_allclose(found_segments[:k], expected_segments, **tolerance)
        np.testing.assert_allclose(found_scores[:k], expected_scores, **tolerance)
        assert not found_segments[k:].any()
        assert not found_scores[k:].any()
        shares = fused.shares[g].cpu().double().numpy()
        expected_shares = softmax_by_cluster(weights / temperature, expected_assignment)
        np.testing.assert_allclose(shares[:n], expected_shares, **rounding(dtype, 1.0))
        assert not shares[n:].any()


def softmax_by_cluster(logits: np.ndarray, assignment: np.ndarray) -> np.ndarray:
    shares = np.zeros(len(logits))
    for cluster in np.unique(assignment):
        members = assignment == cluster
        powers = np.exp(logits[members] - logits[members].max())
        shares[members] = powers / powers.sum()
    return shares


@pytest.mark.emulation(False)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_matches_reference_at_sizes(device, dtype, size):
    for kind in KINDS:
        check_against_reference(make_groups(kind, size, dtype).to(device))


@given(
    groups=drawn_groups(),
    temperature=st.sampled_from([0.0016, 0.2, 1.0]),
    threshold=st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0]),
    overlap=st.sampled_from(OVERLAPS),
    length_offset=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_matches_reference(device, groups, temperature, threshold, overlap, length_offset):
    check_against_reference(
        groups.to(device),
        temperature=temperature,
        threshold=threshold,
        overlap=overlap,
        length_offset=length_offset,
    )


def test_by_hand(device):
    """Two clusters; 1 + ln 3 against 1 at temperature 1 are the weights 3/4 and 1/4."""
    segments = torch.tensor([[0.0, 8.0], [20.0, 24.0], [4.0, 12.0]], dtype=torch.float64)
    scores = torch.tensor([0.5, 0.6, 0.3], dtype=torch.float64)
    weights = torch.tensor([1.0, 5.0, 1.0 + np.log(3.0)], dtype=torch.float64)
    f = gx.fuse_segments(*(x.to(device) for x in (segments, scores, weights)), temperature=1.0)
    assert f.counts.item() == 2
    assert f.assignment.tolist() == [1, 0, 1]
    expected = torch.tensor([[20.0, 24.0], [3.0, 11.0], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(f.segments.cpu(), expected)
    expected = torch.tensor([0.6, 0.35, 0.0], dtype=torch.float64)
    torch.testing.assert_close(f.scores.cpu(), expected)


@pytest.mark.parametrize(("overlap", "members"), [("candidate", 2), ("iou", 1), ("min", 2)])
def test_overlap_kinds(device, overlap, members):
    """A short candidate within a long seed: 1 of its own length, 0.2 of the union."""
    segments = torch.tensor([[0.0, 10.0], [4.0, 6.0]], device=device)
    scores = torch.tensor([0.9, 0.8], device=device)
    f = gx.fuse_segments(segments, scores, threshold=0.25, overlap=overlap, length_offset=0.0)
    assert f.counts.item() == 3 - members


def test_overlap_at_the_threshold_is_no_member(device):
    segments = torch.tensor([[0.0, 4.0], [3.0, 7.0]], device=device)  # 1 of 4 shared
    scores = torch.tensor([0.9, 0.8], device=device)
    options = {"threshold": 0.25, "length_offset": 0.0}
    assert gx.fuse_segments(segments, scores, **options).counts.item() == 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [3, 200, 1025])
def test_finite_for_any_weights_at_the_lowest_temperature(device, dtype, size):
    groups = make_groups("huge", size, dtype).to(device)
    assert groups.weights[0].max() > 1e29
    f = fuse(groups, temperature=0.0016)
    for name in ("segments", "scores", "shares"):
        assert torch.isfinite(getattr(f, name)).all(), name
    # The largest weight takes all: its segment is the instance.
    best = f.shares[0].argmax()
    assert f.shares[0, best] == 1.0
    cluster = f.assignment[0, best]
    torch.testing.assert_close(
        f.segments[0, cluster], groups.segments[0, best], **rounding(dtype, groups.scale)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_finite_up_to_the_largest_numbers(device, dtype):
    """The mean of numbers near the largest is near the largest: the sums must not overflow."""
    largest = torch.finfo(dtype).max
    ends = torch.tensor([1.0, 0.75, 0.5], dtype=dtype, device=device) * largest
    segments = torch.stack([torch.zeros_like(ends), ends], dim=-1)
    f = gx.fuse_segments(segments, ends, torch.zeros_like(ends))
    assert f.counts.item() == 1
    expected = torch.tensor([0.0, 0.75], dtype=dtype, device=device) * largest
    torch.testing.assert_close(f.segments[0], expected)
    torch.testing.assert_close(f.scores[0], expected[1])


@pytest.mark.parametrize("size", [2, 33, 129, 1025])
def test_padding_is_never_read(device, size):
    groups = make_groups("real", size, torch.float32).to(device)
    assert groups.segments.isnan().any()
    clean = Groups(
        groups.segments.nan_to_num(), groups.scores.nan_to_num(9.0), groups.weights, groups.counts
    )
    assert_same(fuse(groups), fuse(clean))


def test_weights_default_to_scores(device):
    groups = make_groups("real", 40, torch.float64, groups=1).to(device)
    assert_same(
        gx.fuse_segments(groups.segments, groups.scores),
        gx.fuse_segments(groups.segments, groups.scores, groups.scores),
    )


@pytest.mark.parametrize("counts", [None, 30, [30], torch.tensor(30), torch.tensor([30])])
def test_unbatched_equals_a_batch_of_one(device, counts):
    groups = make_groups("real", 40, torch.float32, groups=1).to(device)
    if isinstance(counts, torch.Tensor):
        counts = counts.to(device)
    tensors = (groups.segments, groups.scores, groups.weights)
    batched = gx.fuse_segments(*tensors, counts)
    alone = gx.fuse_segments(*(x[0] for x in tensors), counts)
    assert alone.segments.shape == (40, 2)
    assert_same(gx.FusedSegments(*(x.unsqueeze(0) for x in alone)), batched)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_empty_batches(device, shape):
    segments, scores = torch.zeros(*shape, 2, device=device), torch.zeros(shape, device=device)
    f = gx.fuse_segments(segments, scores)
    assert f.segments.shape == (*shape, 2)
    assert f.scores.shape == f.assignment.shape == f.shares.shape == shape
    assert f.counts.tolist() == [0] * shape[0]


def test_non_contiguous_input(device):
    groups = make_groups("real", 65, torch.float32, groups=3).to(device)
    strided = Groups(
        groups.segments.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        groups.scores.t().contiguous().t(),
        torch.stack([groups.weights, groups.weights], dim=-1)[..., 0],
        torch.stack([groups.counts, groups.counts], dim=-1)[:, 0],
    )
    assert not strided.segments.is_contiguous()
    assert not strided.weights.is_contiguous()
    assert not strided.counts.is_contiguous()
    assert_same(fuse(strided), fuse(groups))


@pytest.mark.parametrize("size", [33, 129, 1025])
def test_order_of_input_does_not_matter_where_scores_differ(device, size):
    groups = make_groups("real", size, torch.float64, groups=1).to(device)
    assert len(groups.scores.unique()) == size
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(size, generator=generator).to(device)
    shuffled = Groups(
        groups.segments[:, order], groups.scores[:, order], groups.weights[:, order], groups.counts
    )
    a, b = fuse(groups), fuse(shuffled)
    assert torch.equal(a.assignment[:, order], b.assignment)
    torch.testing.assert_close(b.segments, a.segments, **rounding(torch.float64, groups.scale))
    torch.testing.assert_close(b.scores, a.scores, **rounding(torch.float64, 1.0))


def test_fusing_instances_that_do_not_overlap_changes_nothing(device):
    """Idempotence, where no two of the fused instances overlap."""
    starts = torch.arange(50, dtype=torch.float64, device=device) * 10.0
    segments = torch.stack([starts, starts + 5.0], dim=-1)
    scores = torch.linspace(1.0, 0.1, 50, dtype=torch.float64, device=device)
    once = gx.fuse_segments(segments, scores)
    assert torch.equal(once.segments, segments)
    assert torch.equal(once.scores, scores)


def test_same_bits_for_every_number_of_threads(device, set_threads):
    groups = make_groups("grid", 1025, torch.float32, groups=3).to(device)
    many = Groups(*(x.repeat(8, *[1] * (x.dim() - 1)) for x in vars(groups).values()))
    set_threads(1)
    alone = fuse(many)
    set_threads(2)
    assert_same(fuse(many), alone)
    assert_same(fuse(many), alone)
