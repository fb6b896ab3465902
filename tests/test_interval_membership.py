"""gx.interval_membership against its reference, and what its header promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.ops.interval_membership import MODES
from gaufuse_ext.reference.interval_membership import interval_membership as reference
from group_inputs import DTYPES, KINDS, SIZES, drawn_groups, make_groups

pytestmark = pytest.mark.emulation


def check_against_reference(groups, num_snippets: int, lengths=None, **options) -> None:
    """Equal to the bit: every entry is 0, 1, -1 or one quotient."""
    matrix = gx.interval_membership(
        groups.segments, num_snippets, groups.counts, lengths=lengths, **options
    )
    assert matrix.shape == (*groups.scores.shape, num_snippets)
    assert matrix.dtype == groups.segments.dtype
    for g, (segments, _, _) in enumerate(groups):
        length = num_snippets if lengths is None else lengths[g]
        expected = np.zeros(matrix.shape[1:])
        expected[: len(segments), :length] = reference(segments, length, **options)
        assert torch.equal(matrix[g].cpu(), torch.from_numpy(expected).to(matrix.dtype))


@pytest.mark.emulation(False)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_snippets", SIZES)
def test_matches_reference_at_sizes(device, dtype, num_snippets, mode):
    for kind in KINDS:
        groups = make_groups(kind, 33, dtype).to(device)
        lengths = [num_snippets, num_snippets // 2]
        check_against_reference(groups, num_snippets, mode=mode)
        check_against_reference(groups, num_snippets, lengths, mode=mode)


@given(
    groups=drawn_groups(),
    num_snippets=st.integers(0, 14),
    mode=st.sampled_from(MODES),
    margin=st.sampled_from([0.0, 0.0785, 0.25, 1.0, 1e30]),
    margin_power=st.sampled_from([0.0, 0.9, 1.0, 3.0]),
    data=st.data(),
)
def test_matches_reference(device, groups, num_snippets, mode, margin, margin_power, data):
    size = len(groups.counts)
    lengths = data.draw(st.lists(st.integers(0, num_snippets), min_size=size, max_size=size))
    check_against_reference(
        groups.to(device),
        num_snippets,
        lengths,
        mode=mode,
        margin=margin,
        margin_power=margin_power,
    )


def test_by_hand(device):
    """An instance over snippets 4..7; two snippets of ring on its left, three on its right."""
    segments = torch.tensor([[4.9, 8.2], [0.0, 30.0], [3.0, 3.9]], device=device)
    options = {"margin": 0.5, "margin_power": 1.0}
    matrix = gx.interval_membership(segments, 14, mode="contrast", **options)
    assert matrix[0].tolist() == [0, 0, -1, -1, 1, 1, 1, 1, -1, -1, -1, 0, 0, 0]
    assert matrix[1].tolist() == [1] * 14
    assert matrix[2].tolist() == [0, 0, 0, -1] + [0] * 10  # covers nothing; the ring's one snippet
    matrix = gx.interval_membership(segments, 14, mode="contrast_mean", **options)
    expected = torch.tensor([0, 0, -1 / 5, -1 / 5, 1 / 4, 1 / 4, 1 / 4, 1 / 4, -1 / 5, -1 / 5])
    assert torch.equal(matrix[0, :10].cpu(), expected)
    matrix = gx.interval_membership(segments, 14, mode="mean", **options)
    assert torch.equal(matrix[1].cpu(), torch.full((14,), 1 / 14))
    assert not matrix[2].any()


def test_the_last_snippet_is_in_no_ring(device):
    """As the release: the right ring ends before the last snippet."""
    segments = torch.tensor([[2.0, 6.0]], device=device)
    row = gx.interval_membership(segments, 8, margin=5.0, margin_power=1.0)[0]
    assert row.tolist() == [-1, -1, 1, 1, 1, 1, -1, 0]


@pytest.mark.parametrize("mode", ["mean", "contrast_mean"])
def test_means_sum_to_one_and_rings_to_minus_one(device, mode):
    segments = make_groups("real", 129, torch.float64, groups=1).segments.to(device)
    matrix = gx.interval_membership(segments, 600, mode=mode)
    inside = matrix.clamp(min=0).sum(-1)
    covers = gx.interval_membership(segments, 600).gt(0).any(-1)
    assert covers.any()
    torch.testing.assert_close(inside, covers.double(), rtol=0, atol=1e-13)
    ring = -matrix.clamp(max=0).sum(-1)
    expected = matrix.lt(0).any(-1) if mode == "contrast_mean" else torch.zeros_like(covers)
    torch.testing.assert_close(ring, expected.double(), rtol=0, atol=1e-13)


def test_segments_far_outside(device):
    """Neither end of the number line leads outside the row."""
    far = torch.tensor(
        [[-1.7e308, 1.7e308], [1e300, 1e301], [-1e301, -1e300], [2.0, 1e17], [-1e17, 3.0]],
        dtype=torch.float64,
        device=device,
    )
    matrix = gx.interval_membership(far, 5, mode="mean")
    full, none = [0.2] * 5, [0.0] * 5
    third = 1 / 3
    expected = [full, none, none, [0, 0, third, third, third], [third, third, third, 0, 0]]
    assert matrix.tolist() == expected
    for mode in ("contrast", "contrast_mean"):
        assert torch.isfinite(gx.interval_membership(far, 5, mode=mode)).all()


def test_padding_is_never_read(device):
    groups = make_groups("real", 33, torch.float32, groups=3).to(device)
    assert groups.segments.isnan().any()
    matrix = gx.interval_membership(groups.segments, 100, groups.counts)
    clean = gx.interval_membership(groups.segments.nan_to_num(), 100, groups.counts)
    assert torch.equal(matrix, clean)


@pytest.mark.parametrize("sizes", [(None, None), (30, 50), ([30], torch.tensor([50]))])
def test_unbatched_equals_a_batch_of_one(device, sizes):
    counts, lengths = (x.to(device) if isinstance(x, torch.Tensor) else x for x in sizes)
    segments = make_groups("real", 40, torch.float32, groups=1).segments.to(device)
    batched = gx.interval_membership(segments, 99, counts, lengths=lengths)
    assert torch.equal(gx.interval_membership(segments[0], 99, counts, lengths=lengths), batched[0])


def test_non_contiguous_input(device):
    segments = make_groups("real", 33, torch.float32, groups=1).segments.to(device)
    strided = segments.transpose(1, 2).contiguous().transpose(1, 2)
    assert not strided.is_contiguous()
    assert torch.equal(gx.interval_membership(strided, 65), gx.interval_membership(segments, 65))


@pytest.mark.parametrize(("groups", "n", "t"), [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty(device, groups, n, t):
    segments = torch.zeros(groups, n, 2, device=device)
    assert gx.interval_membership(segments, t).shape == (groups, n, t)


def test_same_bits_for_every_number_of_threads(device, set_threads):
    groups = make_groups("real", 1025, torch.float32).to(device)
    set_threads(1)
    alone = gx.interval_membership(groups.segments, 300, groups.counts, mode="contrast_mean")
    set_threads(2)
    again = gx.interval_membership(groups.segments, 300, groups.counts, mode="contrast_mean")
    assert torch.equal(again, alone)
