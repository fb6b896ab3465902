"""gx.segment_iou against its reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given

import gaufuse_ext as gx
from gaufuse_ext.reference.segment_iou import segment_iou as reference
from group_inputs import DTYPES, KINDS, SIZES, drawn_groups, make_groups

pytestmark = pytest.mark.emulation


def check_against_reference(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal to the bit: the same operations in double, then one rounding."""
    iou = gx.segment_iou(a, b)
    assert iou.dtype == a.dtype
    assert iou.shape == (len(a), a.shape[1], b.shape[1])
    for g in range(len(a)):
        expected = reference(a[g].cpu().numpy(), b[g].cpu().numpy())
        assert torch.equal(iou[g].cpu(), torch.from_numpy(expected).to(a.dtype))


@pytest.mark.emulation(False)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_matches_reference_at_sizes(device, dtype, size):
    for kind in KINDS:
        segments = make_groups(kind, size, dtype).segments.nan_to_num().to(device)
        others = make_groups(kind, 33, dtype).segments.nan_to_num().to(device)
        check_against_reference(segments, others)
        check_against_reference(others, segments)


@given(groups=drawn_groups())
def test_matches_reference(device, groups):
    segments = groups.segments.nan_to_num().to(device)
    check_against_reference(segments, segments.flip(1))


def test_by_hand(device):
    a = torch.tensor([[0.0, 4.0], [5.0, 5.0]], device=device)
    b = torch.tensor([[0.0, 4.0], [2.0, 6.0], [4.0, 8.0], [5.0, 5.0]], device=device)
    expected = [[1.0, 1 / 3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    np.testing.assert_allclose(gx.segment_iou(a, b).cpu(), expected, rtol=1e-7)


def test_unbatched_equals_a_batch_of_one(device):
    segments = make_groups("real", 40, torch.float32, groups=1).segments.to(device)
    assert torch.equal(
        gx.segment_iou(segments[0], segments[0, :7]), gx.segment_iou(segments, segments[:, :7])[0]
    )


def test_non_contiguous_input(device):
    segments = make_groups("real", 65, torch.float32, groups=1).segments.to(device)
    strided = segments.transpose(1, 2).contiguous().transpose(1, 2)
    assert not strided.is_contiguous()
    expected = gx.segment_iou(segments, segments)
    assert torch.equal(gx.segment_iou(strided, segments), expected)
    assert torch.equal(gx.segment_iou(segments, strided), expected)


@pytest.mark.parametrize(("groups", "n", "m"), [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty(device, groups, n, m):
    a, b = (torch.zeros(groups, size, 2, device=device) for size in (n, m))
    assert gx.segment_iou(a, b).shape == (groups, n, m)


def test_same_bits_for_every_number_of_threads(device, set_threads):
    segments = make_groups("real", 1025, torch.float32, groups=1).segments.to(device)
    set_threads(1)
    alone = gx.segment_iou(segments, segments)
    set_threads(2)
    assert torch.equal(gx.segment_iou(segments, segments), alone)
