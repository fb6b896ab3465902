"""gx.linpro_labels with every combination of its settings, against scipy on the program over
snippets, and proved by a dual bound that trusts neither solver."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gaufuse_ext as gx
from linpro_programs import Settings, find_optimum, snippet_program

CLOSE = {"rtol": 1e-7, "atol": 1e-8}


def check(segments, q, weights, num_snippets, options: Settings, backend: str = "auto") -> None:
    r = gx.linpro_labels(
        torch.from_numpy(segments),
        torch.from_numpy(q),
        num_snippets,
        weights=torch.from_numpy(weights),
        backend=backend,
        **asdict(options),
    )
    x = r.labels.numpy()
    assert ((x >= 0.0) & (x <= 1.0)).all()
    program = snippet_program(segments, q, weights, num_snippets, options)
    if len(program.confidences) == 0:
        assert r.status == "empty"
        assert not x.any()
        assert r.objective.item() == r.residual.item() == 0.0
        return

    best = find_optimum(program)
    # The numbers that come back are those of the labels ...
    np.testing.assert_allclose(r.objective, program.objective(x), **CLOSE)
    np.testing.assert_allclose(r.residual, program.misses(x).sum(), **CLOSE)
    # ... no labels are better ...
    np.testing.assert_allclose(program.objective(x), best.objective, **CLOSE)
    # ... and that is proved.
    np.testing.assert_allclose(program.bound(best.duals), program.objective(x), **CLOSE)
    if program.hard:
        residual = program.weights @ program.misses(x)
        np.testing.assert_allclose(residual, best.least_residual, **CLOSE)
        np.testing.assert_allclose(program.residual_bound(best.residual_duals), residual, **CLOSE)
    if best.least_residual > 1e-6:
        assert r.status == "relaxed"
    elif best.least_residual < 1e-11:
        assert r.status == "optimal"


boundary = st.one_of(st.integers(-3, 26).map(float), st.floats(-3.0, 26.0, width=32))
# Whether a confidence of 1e-7 can be met is a matter of the oracle's tolerance.
confidence = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, -0.25, 1.5]),
    st.floats(-0.5, 1.5).map(lambda q: round(q, 3)),
)
weight = st.sampled_from([1.0, 1.0, 0.25, 2.5, 0.0])


@st.composite
def instances(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pair = st.tuples(boundary, boundary).map(sorted)
    entries = draw(st.lists(st.tuples(pair, confidence, weight), min_size=1, max_size=6))
    segments, q, weights = zip(*entries, strict=True)
    return np.array(segments), np.array(q), np.array(weights)


@pytest.mark.parametrize("constraint", ["elastic", "hard"])
@pytest.mark.parametrize("prices", ["snippet", "instance"])
@pytest.mark.parametrize("rows", ["mean", "contrast_mean"])
@pytest.mark.parametrize("backend", ["auto", "highs"])
@settings(max_examples=40)
@given(
    case=instances(),
    num_snippets=st.sampled_from([1, 13, 24]),
    confidence_weight=st.sampled_from([0.08, 0.0, 1.0]),
    uniformity_weight=st.sampled_from([0.04, 0.0, 1.0]),
    anchor_weight=st.sampled_from([1.0, 0.0, 0.3]),
    variation_weight=st.sampled_from([0.0, 0.2, 2.0]),
    sparsity_weight=st.sampled_from([1e-3, 0.0, 0.2]),
)
def test_every_combination(
    constraint, prices, rows, backend, case, num_snippets, **weights_of_terms
):
    options = Settings(rows=rows, constraint=constraint, prices=prices, **weights_of_terms)
    check(*case, num_snippets, options, backend)


def dense(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Instances that all interact."""
    starts = rng.integers(0, 30, count)
    segments = np.stack([starts, starts + rng.integers(10, 40, count)], axis=1).astype(float)
    return segments, rng.random(count).round(3), rng.choice([0.5, 1.0, 2.0], count)


@pytest.mark.parametrize("constraint", ["elastic", "hard"])
@pytest.mark.parametrize("rows", ["mean", "contrast_mean"])
@pytest.mark.parametrize("variation_weight", [0.0, 0.1])
@pytest.mark.parametrize("count", [12, 40])
def test_large_components(constraint, rows, variation_weight, count):
    options = Settings(constraint=constraint, rows=rows, variation_weight=variation_weight)
    for seed in range(3):
        check(*dense(np.random.default_rng(seed), count), 60, options)


def test_bound_proves_nothing_wrong():
    """The certificate itself: below the objective of any labels, and only the best labels reach
    it."""
    rng = np.random.default_rng(0)
    case = dense(rng, 8)
    program = snippet_program(*case, 60, Settings())
    best = find_optimum(program)
    for _ in range(20):
        x = rng.random(60)
        assert program.bound(best.duals) < program.objective(x) - 0.1
        noise = replace(best.duals, confidences=rng.standard_normal(8))
        assert program.bound(noise) <= best.objective + 1e-9
    assert program.bound(best.duals) == pytest.approx(best.objective, abs=1e-9)


@pytest.mark.parametrize("name", ["confidence", "exponential"])
def test_named_weights(name):
    """Over ragged groups: the same as weights by hand, group by group."""
    rng = np.random.default_rng(1)
    segments, q, _ = (torch.from_numpy(x) for x in dense(rng, 12))
    segments, q = segments.reshape(2, 6, 2), q.reshape(2, 6) - 0.2
    counts = [6, 4]
    q[1, 4:] = torch.nan
    found = gx.linpro_labels(segments, q, 60, counts, weights=name, weight_temperature=0.3)
    for g, count in enumerate(counts):
        own = q[g, :count]
        by_hand = own.clamp(min=0) if name == "confidence" else ((own - own.max()) / 0.3).exp()
        alone = gx.linpro_labels(segments[g, :count], own, 60, weights=by_hand)
        torch.testing.assert_close(found.labels[g], alone.labels, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.objective[g], alone.objective, rtol=1e-12, atol=1e-12)
