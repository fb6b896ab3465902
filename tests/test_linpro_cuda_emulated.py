"""The CUDA path of linpro_labels where there is no GPU (see test_cuda_emulated.py): the same bits
as on the CPU, as both run the same code and make sums in the same order; what does not fit the
arenas is flagged."""

from __future__ import annotations

import pytest
import torch

import gaufuse_ext as gx
from gaufuse_ext._library import _native
from gaufuse_ext.linpro.instances import Instances
from gaufuse_ext.linpro.labels import UNSOLVED
from gaufuse_ext.linpro.terms import RELEASED, LinproTerms
from gaufuse_ext.ops.interval_membership import MODES
from gaufuse_ext.ops.linpro_labels import _solve
from test_linpro_native import SNIPPETS, batch

DEFAULT = LinproTerms(0.1, 0.05, 1.0, 0.0, 1e-3, True, False, "mean", False)
TERMS = {
    "default": DEFAULT,
    "variation": DEFAULT._replace(variation=0.3),
    "contrast_mean": DEFAULT._replace(rows="contrast_mean"),
    "hard": DEFAULT._replace(hard=True, variation=0.1),
    "per instance": DEFAULT._replace(confidence=1.0, anchor=0.0, per_snippet=False),
    "released": RELEASED,
}


pytestmark = pytest.mark.usefixtures("emulated_kernels")


@pytest.mark.parametrize("name", TERMS)
def test_the_same_bits_as_on_the_cpu(emulation, name):
    segments, scores, counts = batch(5, 12, 5)
    weights = torch.rand(scores.shape, generator=torch.Generator().manual_seed(0)).double()
    lengths = torch.arange(SNIPPETS - 11, SNIPPETS + 1)
    for given in (None, weights):
        arguments = (
            Instances(segments, scores, given, counts, lengths),
            SNIPPETS,
            TERMS[name],
            "native",
        )
        found = _solve(*arguments)
        expected = emulation.on_cpu(lambda arguments=arguments: _solve(*arguments))
        assert not (found[-1][1] == UNSOLVED).any()
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours, theirs)


def chains(sizes: list[int], reach: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A group for each size: a chain of so many instances, each of which overlaps those that start
    within `reach` after it, in an order of no account."""
    segments = torch.full((len(sizes), max(sizes), 2), torch.nan, dtype=torch.float64)
    scores = torch.full((len(sizes), max(sizes)), torch.nan, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for g, size in enumerate(sizes):
        starts = 2.0 * torch.randperm(size, generator=generator)
        segments[g, :size] = torch.stack([starts, starts + reach], dim=1)
        scores[g, :size] = torch.rand(size, generator=generator).double()
    return segments, scores


def test_what_does_not_fit_is_solved_by_a_launch_with_larger_arenas(emulation):
    """Up to 13 KiB, 47 KiB (both in shared memory) and 1 MiB."""
    sizes = [3, 24, 8, 0, 14, 1, 12, 2]
    segments, scores = chains(sizes, 13.0)
    arguments = (segments, scores, 100, sizes)
    for options in ({}, {"variation_weight": 0.2, "confidence_weight": 1.0}):
        found = gx.linpro_labels(*arguments, **options)
        expected = emulation.on_cpu(lambda options=options: gx.linpro_labels(*arguments, **options))
        assert found.backend == ["native"] * len(sizes)
        assert found.status == expected.status
        assert torch.equal(found.labels, expected.labels)
        assert torch.equal(found.objective, expected.objective)
        assert torch.equal(found.gap, expected.gap)


def test_groups_of_many_instances(emulation):
    """More than the lanes keep in registers, in components of up to eight and single ones; some
    count for nothing."""
    generator = torch.Generator().manual_seed(1)
    starts = torch.randint(0, 900, (2, 180), generator=generator).double()
    segments = torch.stack([starts, starts + 4.0], dim=-1)
    scores = torch.rand(2, 180, generator=generator).double() - 0.2
    weights = scores.clamp(min=0.0)
    for terms in (DEFAULT, RELEASED._replace(rows="mean")):
        arguments = Instances(segments, scores, weights, None, None), 800, terms, "native"
        found = _solve(*arguments)
        expected = emulation.on_cpu(lambda arguments=arguments: _solve(*arguments))
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours, theirs)
        assert (found[-1][1] != UNSOLVED).all()


def test_memory_grows_with_what_components_need_and_not_with_padding():
    def plan(groups: int, capacity: int) -> tuple[int, int]:
        return _native.plan_linpro_workspace(
            groups=groups, capacity=capacity, rows=MODES.index("mean"), with_variation=False
        )

    assert plan(20_000, 8) == (0, 0)
    assert plan(20_000, 64) == (128, 2**20)
    assert plan(20_000, 20_000) == (128, 2**20)
    assert plan(3, 20_000) == (3, 2**20)


def test_what_is_too_large_goes_to_highs(emulation):
    """65 instances of one component: the kernel takes up to 64, the CPU any number on a path."""
    segments, scores = chains([65, 64, 3], 5.0)
    found = gx.linpro_labels(segments, scores, 140, [65, 64, 3])
    assert found.backend == ["highs", "native", "native"]
    assert found.status == ["optimal"] * 3
    expected = emulation.on_cpu(lambda: gx.linpro_labels(segments, scores, 140, [65, 64, 3]))
    assert expected.backend == ["native"] * 3
    torch.testing.assert_close(found.objective, expected.objective, rtol=1e-9, atol=1e-9)


def test_what_does_not_fit_the_largest_arena_goes_to_highs(emulation):
    """60 instances over one another: a tableau of 60 rows and some 3,500 columns."""
    half = torch.arange(1.0, 61.0).double()
    segments = torch.stack([100.0 - half, 100.0 + half], dim=1)
    scores = torch.linspace(0.1, 0.9, 60).double()
    found = gx.linpro_labels(segments, scores, 200)
    expected = emulation.on_cpu(lambda: gx.linpro_labels(segments, scores, 200))
    assert (found.backend, expected.backend) == ("highs", "native")
    torch.testing.assert_close(found.objective, expected.objective, rtol=1e-9, atol=1e-9)


def test_garbage_leads_nowhere_out_of_bounds():
    """Values are not checked on CUDA."""
    generator = torch.Generator().manual_seed(1)
    wild = torch.tensor([torch.nan, torch.inf, -torch.inf, -3.0, 0.0, 1e30, -1e30, 7.5, 20.0])
    for name in ("default", "released"):
        pick = torch.randint(0, len(wild), (12, 6, 4), generator=generator)
        segments, scores, weights = wild[pick[..., :2]], wild[pick[..., 2]], wild[pick[..., 3]]
        counts = torch.arange(12) - 3
        labels, _, (_, codes) = _solve(
            Instances(segments.double(), scores.double(), weights.double(), counts, None),
            25,
            TERMS[name],
            "native",
        )
        assert ((labels >= 0.0) & (labels <= 1.0)).all()
        assert (codes == UNSOLVED).any()


@pytest.mark.parametrize("name", TERMS)
def test_values_that_are_not_finite_are_not_solved(name):
    segments = torch.tensor([[[2.0, 9.0]], [[2.0, 9.0]], [[2.0, torch.nan]]]).double()
    scores = torch.tensor([[torch.nan], [torch.inf], [0.5]]).double()
    labels, _, (_, codes) = _solve(
        Instances(segments, scores, None, None, None), 20, TERMS[name], "native"
    )
    assert (codes == UNSOLVED).all()
    assert not labels.any()
