"""The CUDA path of linpro_labels where there is no GPU (see test_cuda_emulated.py): the same bits
as on the CPU, as both run the same code; what does not fit the workspace is flagged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import gaufuse_ext as gx
from emulated_cuda import Emulation
from gaufuse_ext.linpro.terms import RELEASED, LinproTerms
from gaufuse_ext.ops.linpro_labels import _UNSOLVED, _Instances, _solve
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


@pytest.fixture(autouse=True)
def _emulated(emulation: Emulation) -> Iterator[None]:
    with emulation.active():
        yield


@pytest.mark.parametrize("name", TERMS)
def test_the_same_bits_as_on_the_cpu(emulation, name):
    segments, scores, counts = batch(5, 12, 5)
    weights = torch.rand(scores.shape, generator=torch.Generator().manual_seed(0)).double()
    lengths = torch.arange(SNIPPETS - 11, SNIPPETS + 1)
    for given in (None, weights):
        arguments = (
            _Instances(segments, scores, given, counts, lengths),
            SNIPPETS,
            TERMS[name],
            "native",
        )
        found = _solve(*arguments)
        expected = emulation.on_cpu(lambda arguments=arguments: _solve(*arguments))
        assert not (found[-2] == _UNSOLVED).any()
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours, theirs)


def test_components_up_to_sixteen_instances_fit(emulation):
    starts = torch.arange(16) * 3.0
    segments = torch.stack([starts, starts + 40], dim=1).double()
    scores = torch.linspace(0.1, 0.9, 16).double()
    for options in ({}, {"variation_weight": 0.2}, {"formulation": "released"}):
        found = gx.linpro_labels(segments, scores, 100, **options)
        expected = emulation.on_cpu(
            lambda options=options: gx.linpro_labels(segments, scores, 100, **options)
        )
        assert found.backend == "native"
        assert torch.equal(found.labels, expected.labels)


def test_what_does_not_fit_goes_to_highs(emulation):
    starts = torch.arange(40) * 2.0
    segments = torch.stack([starts, starts + 30], dim=1).double()[None].repeat(2, 1, 1)
    scores = torch.linspace(0.1, 0.9, 40).double().repeat(2, 1)
    found = gx.linpro_labels(segments, scores, 120, [40, 3])
    assert found.backend == ["highs", "native"]
    assert found.status == ["optimal", "optimal"]
    expected = emulation.on_cpu(lambda: gx.linpro_labels(segments, scores, 120, [40, 3]))
    torch.testing.assert_close(found.objective, expected.objective, rtol=1e-9, atol=1e-9)


def test_garbage_leads_nowhere_out_of_bounds():
    """Values are not checked on CUDA."""
    generator = torch.Generator().manual_seed(1)
    wild = torch.tensor([torch.nan, torch.inf, -torch.inf, -3.0, 0.0, 1e30, -1e30, 7.5, 20.0])
    for name in ("default", "released"):
        pick = torch.randint(0, len(wild), (12, 6, 4), generator=generator)
        segments, scores, weights = wild[pick[..., :2]], wild[pick[..., 2]], wild[pick[..., 3]]
        counts = torch.arange(12) - 3
        labels, *_, codes, _ = _solve(
            _Instances(segments.double(), scores.double(), weights.double(), counts, None),
            25,
            TERMS[name],
            "native",
        )
        assert ((labels >= 0.0) & (labels <= 1.0)).all()
        assert (codes == _UNSOLVED).any()


@pytest.mark.parametrize("name", TERMS)
def test_values_that_are_not_finite_are_not_solved(name):
    segments = torch.tensor([[[2.0, 9.0]], [[2.0, 9.0]], [[2.0, torch.nan]]]).double()
    scores = torch.tensor([[torch.nan], [torch.inf], [0.5]]).double()
    labels, *_, codes, _ = _solve(
        _Instances(segments, scores, None, None, None), 20, TERMS[name], "native"
    )
    assert (codes == _UNSOLVED).all()
    assert not labels.any()
