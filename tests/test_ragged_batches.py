"""What soft_nms, segment_voting and weighted_segments_fusion have in common: ragged batches."""

from __future__ import annotations

import pytest
import torch

import gaufuse_ext as gx
from group_inputs import Groups, make_groups


def soft_nms(segments, scores, counts=None):
    return gx.soft_nms(segments, scores, counts)


def soft_nms_linear(segments, scores, counts=None):
    return gx.soft_nms(segments, scores, counts, method="linear")


def segment_voting(segments, scores, counts=None):
    return (gx.segment_voting(segments, segments, scores, 0.3, counts, counts),)


def weighted_segments_fusion(segments, scores, counts=None):
    return gx.weighted_segments_fusion(segments, scores, counts, iou_threshold=0.3, num_models=2)


OPERATIONS = [soft_nms, soft_nms_linear, segment_voting, weighted_segments_fusion]
pytestmark = [pytest.mark.emulation, pytest.mark.parametrize("operation", OPERATIONS)]


def assert_same(found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> None:
    assert all(map(torch.equal, found, expected))


def test_padding_is_never_read(device, operation):
    groups = make_groups("real", 129, torch.float32, groups=3).to(device)
    assert groups.scores.isnan().any()
    clean = groups.segments.nan_to_num(), groups.scores.nan_to_num(9.0)
    found = operation(groups.segments, groups.scores, groups.counts)
    assert_same(found, operation(*clean, groups.counts))


@pytest.mark.parametrize("counts", [None, 30, [30], torch.tensor([30])])
def test_unbatched_equals_a_batch_of_one(device, operation, counts):
    groups = make_groups("real", 40, torch.float32, groups=1).to(device)
    if isinstance(counts, torch.Tensor):
        counts = counts.to(device)
    batched = operation(groups.segments, groups.scores, counts)
    alone = operation(groups.segments[0], groups.scores[0], counts)
    assert_same([x[0] for x in batched], alone)


def test_groups_do_not_see_each_other(device, operation):
    groups = make_groups("grid", 70, torch.float64, groups=3).to(device)
    together = operation(groups.segments, groups.scores, groups.counts)
    for g in range(3):
        alone = operation(groups.segments[g], groups.scores[g], groups.counts[g])
        assert_same([x[g] for x in together], alone)


def test_non_contiguous_input(device, operation):
    groups = make_groups("real", 65, torch.float32, groups=3).to(device)
    segments = groups.segments.transpose(0, 1).contiguous().transpose(0, 1)
    scores = torch.stack([groups.scores, groups.scores], dim=-1)[..., 1]
    assert not segments.is_contiguous()
    assert not scores.is_contiguous()
    expected = operation(groups.segments, groups.scores, groups.counts)
    assert_same(operation(segments, scores, groups.counts), expected)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0), (0,)])
def test_empty_batches(device, operation, shape):
    found = operation(torch.zeros(*shape, 2, device=device), torch.zeros(shape, device=device))
    for x in found:
        assert x.device.type == device.type
        assert x.numel() == 0 or not x.any()


def test_same_bits_for_every_number_of_threads(device, operation, set_threads):
    groups = make_groups("real", 1025, torch.float32, groups=3).to(device)
    many = Groups(*(x.repeat(3, *[1] * (x.dim() - 1)) for x in vars(groups).values()))
    set_threads(1)
    alone = operation(many.segments, many.scores, many.counts)
    set_threads(2)
    assert_same(operation(many.segments, many.scores, many.counts), alone)


def test_results_carry_no_gradient(device, operation):
    groups = make_groups("real", 20, torch.float32, groups=1).to(device)
    segments, scores = groups.segments.requires_grad_(), groups.scores.requires_grad_()
    assert not any(x.requires_grad for x in operation(segments, scores))
