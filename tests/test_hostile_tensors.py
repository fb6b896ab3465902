"""Tensors that lie anywhere: slices, views, unaligned memory; padding with anything in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch

import gaufuse_ext as gx

GROUPS, CAPACITY, SNIPPETS = 3, 40, 60
COUNTS = [40, 0, 17]
Lay = Callable[[torch.Tensor], torch.Tensor]  # the same values, elsewhere in memory


class Input(NamedTuple):
    segments: torch.Tensor
    scores: torch.Tensor
    cas: torch.Tensor


OPERATIONS: dict[str, Callable[[Input], object]] = {
    "nms": lambda x: gx.nms(x.segments, x.scores, 0.3, counts=COUNTS),
    "soft_nms": lambda x: gx.soft_nms(x.segments, x.scores, counts=COUNTS),
    "fuse_segments": lambda x: gx.fuse_segments(
        x.segments, x.scores, x.scores, COUNTS, temperature=0.2
    ),
    "weighted_segments_fusion": lambda x: gx.weighted_segments_fusion(
        x.segments, x.scores, counts=COUNTS
    ),
    "segment_voting": lambda x: gx.segment_voting(
        x.segments, x.segments, x.scores, 0.5, kept_counts=COUNTS, counts=COUNTS
    ),
    "linpro_labels": lambda x: gx.linpro_labels(x.segments, x.scores, SNIPPETS, COUNTS).labels,
    "interval_membership": lambda x: gx.interval_membership(x.segments, SNIPPETS, counts=COUNTS),
    "segment_iou": lambda x: gx.segment_iou(x.segments[:, :17], x.segments[:, :17]),
    "threshold_proposals": lambda x: gx.threshold_proposals(x.cas, [0.2, 0.5], lengths=[60, 0, 33]),
    "count_proposals": lambda x: gx.count_proposals(x.cas, [0.2, 0.5], lengths=[60, 0, 33]),
}


def values(dtype: torch.dtype) -> Input:
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(0, 50, (GROUPS, CAPACITY), generator=generator)
    ends = starts + torch.randint(0, 12, (GROUPS, CAPACITY), generator=generator)
    scores = torch.rand((GROUPS, CAPACITY), generator=generator)
    cas = torch.rand((GROUPS, SNIPPETS), generator=generator)
    return Input(torch.stack([starts, ends], dim=2).to(dtype), scores.to(dtype), cas.to(dtype))


def in_a_slice(tensor: torch.Tensor) -> torch.Tensor:
    memory = torch.full((tensor.numel() + 7,), torch.nan, dtype=tensor.dtype)
    memory[5:-2] = tensor.reshape(-1)
    return memory[5:-2].view(tensor.shape)


def with_strides(tensor: torch.Tensor) -> torch.Tensor:
    memory = torch.full((*tensor.shape, 3), torch.nan, dtype=tensor.dtype)
    memory[..., 1] = tensor
    return memory[..., 1]


def transposed(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.transpose(0, -1).contiguous().transpose(0, -1)


def unaligned(tensor: torch.Tensor) -> torch.Tensor:
    data = bytearray(1) + bytearray(tensor.numpy().tobytes())
    found = torch.frombuffer(data, dtype=tensor.dtype, offset=1).view(tensor.shape)
    assert found.data_ptr() % tensor.element_size() != 0
    return found


def flat(result: object) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else list(result)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "lay", [in_a_slice, with_strides, transposed, unaligned], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_where_a_tensor_lies_does_not_matter(operation, lay, dtype):
    given = values(dtype)
    laid = Input(*(lay(x) for x in given))
    expected, found = (flat(OPERATIONS[operation](x)) for x in (given, laid))
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(given, laid, strict=True):  # nothing was written to
        assert torch.equal(a, b)


@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -torch.inf, 5e-324, 1e308], ids=str)
@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - {"segment_iou"}))
def test_what_padding_holds_does_not_matter(operation, junk):
    given = values(torch.float64)
    padded = Input(*(x.clone() for x in given))
    for g, count in enumerate(COUNTS):
        padded.segments[g, count:] = junk
        padded.scores[g, count:] = junk
    padded.cas[1] = padded.cas[2, 33:] = junk
    expected, found = (flat(OPERATIONS[operation](x)) for x in (given, padded))
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_means_of_the_largest_numbers_are_finite(dtype):
    """Rounding took them past the largest number, to infinity."""
    most = torch.finfo(dtype).max
    segments = torch.full((7, 2), most, dtype=dtype)
    segments[:, 0] = -most
    scores = torch.linspace(0.5, 0.9, 7, dtype=dtype)
    f = gx.fuse_segments(segments, scores, scores, temperature=0.3, threshold=-1.0)
    assert f.segments[0].tolist() == pytest.approx([-most, most])
    kept = torch.tensor([[0.0, 1.0]], dtype=dtype)
    voted = gx.segment_voting(kept, segments, scores, 0.0)
    assert voted[0].tolist() == pytest.approx([-most, most])


@pytest.mark.parametrize("weight", [5e-324, 1e-310, 1e-300, 1e100])
@pytest.mark.parametrize(
    "options",
    [{}, {"formulation": "released"}, {"anchor_weight": 0.0, "sparsity_weight": 0.0}],
    ids=str,
)
def test_weights_of_any_size(weight, options):
    """Denormal ones had infinite units: objectives were NaN."""
    segments = torch.tensor([[2.0, 9.0], [5.0, 14.0]], dtype=torch.float64)
    q = torch.tensor([0.3, 0.7], dtype=torch.float64)
    for count in (1, 2):
        found, expected = (
            gx.linpro_labels(segments, q, 20, count, weights=torch.full_like(q, w), **options)
            for w in (weight, 1.0)
        )
        assert found.backend == "native"
        assert found.status == expected.status
        assert not found.objective.isnan()
        if options:  # where weights multiply all that there is, only their ratios matter
            torch.testing.assert_close(found.labels, expected.labels, rtol=0, atol=1e-9)
