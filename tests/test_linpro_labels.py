"""gx.linpro_labels against scipy on the full program over snippets: no cells, no components."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import gaufuse_ext as gx
from gaufuse_ext.reference.interval_membership import interval_membership
from linpro_programs import Settings, find_optimum, snippet_program

# method.md's program; the defaults are another one.
PLAIN = {
    "prices": "instance",
    "confidence_weight": 1.0,
    "uniformity_weight": 0.1,
    "anchor_weight": 0.0,
    "variation_weight": 0.0,
    "sparsity_weight": 1e-3,
}
DEFAULTS = {
    "prices": "snippet",
    "confidence_weight": 0.08,
    "uniformity_weight": 0.04,
    "anchor_weight": 1.0,
    "variation_weight": 0.0,
    "sparsity_weight": 1e-3,
}
CLOSE = {"rtol": 1e-7, "atol": 1e-8}


def optimum(cost, equal=None, most=None, bounds=(0, None)) -> float:
    """The least cost @ v; equal and most are (matrix, right side)."""
    a_eq, b_eq = equal or (None, None)
    a_ub, b_ub = most or (None, None)
    # The default tolerances, 1e-7, are coarser than what is compared.
    tolerances = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    result = linprog(cost, a_ub, b_ub, a_eq, b_eq, bounds, method="highs-ds", options=tolerances)
    assert result.status == 0, result.message
    return float(result.fun)


def released_optimum(segments, q, num_snippets) -> tuple[float, float]:
    """The least residual, and the least sum(x) at it."""
    matrix = interval_membership(segments, num_snippets, mode="contrast")
    k = len(q)
    rows = np.hstack([matrix, np.eye(k), -np.eye(k)])
    residual = np.concatenate([np.zeros(num_snippets), np.ones(2 * k)])
    upper = np.concatenate([np.ones(num_snippets), np.full(2 * k, np.inf)])
    bounds = np.stack([np.zeros(len(upper)), upper], axis=1)
    least = optimum(residual, (rows, q), bounds=bounds)
    return least, optimum(1.0 - residual, (rows, q), (residual[None], [least + 1e-12]), bounds)


def check_uniform(segments, q, num_snippets, rows="mean", weights=None, **options) -> None:
    options = PLAIN | options
    w = np.ones(len(q)) if weights is None else weights
    r = gx.linpro_labels(
        torch.from_numpy(segments),
        torch.from_numpy(q),
        num_snippets,
        rows=rows,
        weights=None if weights is None else torch.from_numpy(weights),
        **options,
    )
    x = r.labels.numpy()
    assert ((x >= 0.0) & (x <= 1.0)).all()
    program = snippet_program(segments, q, w, num_snippets, Settings(rows=rows, **options))
    best = find_optimum(program)
    least, expected = best.least_residual, best.objective
    if program.hard:
        np.testing.assert_allclose(program.weights @ program.misses(x), least, **CLOSE)
    np.testing.assert_allclose(program.objective(x), expected, **CLOSE)
    np.testing.assert_allclose(r.objective, expected, **CLOSE)
    np.testing.assert_allclose(r.residual, program.misses(x).sum(), **CLOSE)
    if least > 1e-6:
        assert r.status == "relaxed"
    elif least < 1e-10:
        assert r.status == ("optimal" if len(program.confidences) else "empty")


def check_released(segments, q, num_snippets) -> None:
    r = gx.linpro_labels(
        torch.from_numpy(segments), torch.from_numpy(q), num_snippets, formulation="released"
    )
    x = r.labels.numpy()
    assert ((x >= 0.0) & (x <= 1.0)).all()
    least, total = released_optimum(segments, q, num_snippets)
    matrix = interval_membership(segments, num_snippets, mode="contrast")
    np.testing.assert_allclose(np.abs(matrix @ x - q).sum(), least, **CLOSE)
    np.testing.assert_allclose(x.sum(), total, **CLOSE)
    np.testing.assert_allclose(r.residual, least, **CLOSE)
    np.testing.assert_allclose(r.objective, total, **CLOSE)
    if least > 1e-6:
        assert r.status == "relaxed"
    elif (matrix > 0).any():
        assert r.status == "optimal"
    else:
        assert r.status == "empty"


def component(*entries: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(entries, dtype=np.float64).reshape(-1, 3)
    return table[:, :2].copy(), table[:, 2].copy()


COMPONENTS = {
    "alone": component((4, 9, 0.7)),
    "nested": component((2, 20, 0.4), (5, 15, 0.6), (8, 10, 0.9)),
    "identical": component((3, 12, 0.2), (3, 12, 0.9), (3.9, 12.2, 0.5)),
    "identical, equal": component((3, 12, 0.5), (3, 12, 0.5)),
    "chained": component(*((4 * i, 4 * i + 6, 0.1 + 0.15 * i) for i in range(6))),
    "touching": component((0, 5, 0.3), (5, 10, 0.8), (10, 24, 0.5)),
    "clipped at borders": component((0, 24, 0.9), (0, 1, 0.2), (23, 24, 0.7), (22, 24, 0.1)),
    "zero and one": component((0, 6, 0.0), (3, 9, 1.0), (7, 14, 0.0), (16, 20, 1.0)),
    "one snippet": component((4, 5, 0.3), (4, 5, 0.6), (5, 6, 0.9), (7, 7.9, 0.5)),
    "out of range": component((0, 6, -0.5), (3, 9, 1.7), (10, 20, -3.0), (18, 22, 40.0)),
    "far out of range": component((0, 6, 1e8), (3, 9, 0.2), (10, 20, -1e8), (18, 22, 0.4)),
    "past the sequence": component((20, 40, 0.5), (22, 90, 0.8), (24, 30, 0.9), (50, 60, 0.4)),
    "before the sequence": component((-9.5, 3.2, 0.5), (-3, 0, 0.8), (-0.5, 6, 0.2)),
    "over the sequence": component((-5, 60, 0.5), (-5, 60, 0.2), (5, 9, 0.6)),
    "without instances": component(),
    "only points": component((3, 3, 0.4), (5.1, 5.9, 0.2)),
}


@pytest.mark.parametrize("rows", ["mean", "contrast_mean"])
@pytest.mark.parametrize("name", COMPONENTS)
def test_uniform_of_awkward_components(name, rows):
    check_uniform(*COMPONENTS[name], 24, rows)
    check_uniform(*COMPONENTS[name], 24, rows, **DEFAULTS)


@pytest.mark.parametrize("name", [n for n in COMPONENTS if n != "only points"])
def test_released_of_awkward_components(name):
    check_released(*COMPONENTS[name], 24)


boundary = st.one_of(st.integers(-3, 30).map(float), st.floats(-3.0, 30.0, width=32))
confidence = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, -0.25, 1.5]), st.floats(0.0, 1.0, width=32), st.floats(-4, 8)
)


@st.composite
def instances(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    pair = st.tuples(boundary, boundary).map(sorted)
    entries = draw(st.lists(st.tuples(pair, confidence), min_size=1, max_size=6))
    return component(*((start, end, q) for (start, end), q in entries))


@st.composite
def options(draw: st.DrawFn) -> dict:
    return {
        "prices": draw(st.sampled_from(["instance", "snippet"])),
        "confidence_weight": draw(st.sampled_from([1.0, 0.5, 0.0])),
        "uniformity_weight": draw(st.sampled_from([0.1, 0.0, 1.0])),
        "anchor_weight": draw(st.sampled_from([0.0, 0.0, 1.0, 0.3])),
        "variation_weight": draw(st.sampled_from([0.0, 0.0, 0.2, 2.0])),
        "sparsity_weight": draw(st.sampled_from([1e-3, 0.0, 0.2, 3.0])),
    }


@settings(max_examples=300)
@given(
    case=instances(),
    num_snippets=st.sampled_from([1, 2, 13, 25, 28]),
    rows=st.sampled_from(["mean", "contrast_mean"]),
    options=options(),
    weighted=st.booleans(),
    data=st.data(),
)
def test_uniform(case, num_snippets, rows, options, weighted, data):
    weights = None
    if weighted:
        weight = st.sampled_from([0.0, 1.0, 0.25, 3.0])
        count = len(case[1])
        weights = np.array(data.draw(st.lists(weight, min_size=count, max_size=count)))
    check_uniform(*case, num_snippets, rows, weights, **options)


@settings(max_examples=150)
@given(
    case=instances(),
    num_snippets=st.sampled_from([2, 13, 25]),
    rows=st.sampled_from(["mean", "contrast_mean"]),
    options=options(),
)
def test_hard_constraints(case, num_snippets, rows, options):
    segments, q = case
    # Whether a confidence of 1e-7 can be met is a matter of the oracle's tolerance.
    check_uniform(segments, np.round(q, 4), num_snippets, rows, **options, constraint="hard")


@pytest.mark.parametrize("rows", ["mean", "contrast_mean"])
@pytest.mark.parametrize("name", COMPONENTS)
def test_every_term_at_once_on_awkward_components(name, rows):
    segments, q = COMPONENTS[name]
    options = DEFAULTS | {"variation_weight": 0.3}
    check_uniform(segments, q, 24, rows, weights=np.linspace(0.5, 2.0, len(q)), **options)


@settings(max_examples=200)
@given(case=instances(), num_snippets=st.sampled_from([2, 13, 25, 28]))
def test_released(case, num_snippets):
    segments, q = case
    # Whether a confidence of 1e-7 can be met is a matter of the oracle's tolerance.
    check_released(segments, np.round(q, 4), num_snippets)


def test_infeasible_by_hand():
    """The release's NaN case: one snippet must be 0.2 and 0.9. The residual 0.7 is the same for
    every x in between, so the least sum decides."""
    segments = torch.tensor([[5.0, 6.0], [5.0, 6.0]])
    r = gx.linpro_labels(segments, torch.tensor([0.2, 0.9]), 12, formulation="released")
    assert r.status == "relaxed"
    assert r.residual.item() == pytest.approx(0.7)
    assert r.labels.tolist() == pytest.approx([0.0] * 5 + [0.2] + [0.0] * 6)


def test_uniform_by_hand():
    """Disjoint instances without a conflict: every snippet at its instance's confidence."""
    segments = torch.tensor([[2.0, 5.9], [7.0, 9.0]], dtype=torch.float64)
    q = torch.tensor([0.8, 0.3], dtype=torch.float64)
    r = gx.linpro_labels(segments, q, 10)
    assert r.explain() == []
    assert r.labels.tolist() == [0, 0, 0.8, 0.8, 0.8, 0, 0, 0.3, 0.3, 0]
    assert r.residual.item() == 0.0
    assert r.objective.item() == pytest.approx(1e-3 * (3 * 0.8 + 2 * 0.3))


@pytest.mark.parametrize("formulation", ["uniform", "released"])
@pytest.mark.parametrize("huge", [1e19, 1e25, -1e25, 1e300])
def test_confidences_beyond_the_solver_s_infinity(formulation, huge):
    """A solver takes 1e20 for infinity; the labels are those of any confidence out of reach."""
    segments = torch.tensor([[0.0, 4.0], [1.0, 5.0]], dtype=torch.float64)
    reachless = torch.tensor([np.sign(huge) * 40.0, 0.4], dtype=torch.float64)
    q = torch.tensor([huge, 0.4], dtype=torch.float64)
    r = gx.linpro_labels(segments, q, 14, formulation=formulation)
    expected = gx.linpro_labels(segments, reachless, 14, formulation=formulation)
    assert r.status == expected.status
    torch.testing.assert_close(r.labels, expected.labels, rtol=0, atol=1e-7)
    assert r.residual.item() == pytest.approx(abs(huge))


@pytest.mark.parametrize("formulation", ["uniform", "released"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ragged_groups_equal_each_group_alone(device, formulation, dtype):
    cases = [COMPONENTS[name] for name in ("nested", "identical", "without instances", "alone")]
    lengths = [24, 20, 24, 7]
    segments = torch.full((4, 5, 2), torch.nan, dtype=dtype, device=device)
    scores = torch.full((4, 5), torch.nan, dtype=dtype, device=device)
    for g, (own, q) in enumerate(cases):
        segments[g, : len(q)] = torch.from_numpy(own)
        scores[g, : len(q)] = torch.from_numpy(q)
    counts = torch.tensor([len(q) for _, q in cases], device=device)
    options = {"formulation": formulation}
    r = gx.linpro_labels(segments, scores, 30, counts, lengths=lengths, **options)
    assert r.labels.shape == (4, 30)
    assert r.labels.dtype == r.objective.dtype == r.residual.dtype == dtype
    assert r.labels.device == segments.device
    relaxed = "relaxed" if formulation == "released" else "optimal"
    assert r.status == ["optimal", relaxed, "empty", "optimal"]
    for g, length in enumerate(lengths):
        n = counts[g]
        alone = gx.linpro_labels(segments[g, :n], scores[g, :n], length, **options)
        assert torch.equal(r.labels[g, :length], alone.labels)
        assert not r.labels[g, length:].any()
        assert torch.equal(r.objective[g], alone.objective)
        assert torch.equal(r.residual[g], alone.residual)
        assert r.status[g] == alone.status


def test_defaults_are_uniform_over_mean_rows():
    segments, q = (torch.from_numpy(x) for x in COMPONENTS["chained"])
    default = gx.linpro_labels(segments, q, 30)
    spelled = gx.linpro_labels(
        segments, q, 30, None, formulation="uniform", backend="auto", rows="mean",
        constraint="elastic", weights="constant", **DEFAULTS,
    )  # fmt: skip
    assert torch.equal(default.labels, spelled.labels)
    assert torch.equal(default.objective, spelled.objective)


def test_named_weights_are_what_they_say():
    segments, q = (torch.from_numpy(x) for x in COMPONENTS["nested"])
    padded = torch.cat([segments, segments.new_full((1, 2), torch.nan)])[None]
    scores = torch.cat([q, q.new_full((1,), torch.nan)])[None]
    for name, weights in {
        "confidence": q.clamp(min=0.0),
        "exponential": ((q - q.max()) / 0.5).exp(),
    }.items():
        options = {"weight_temperature": 0.5, "anchor_weight": 0.0}
        named = gx.linpro_labels(padded, scores, 30, [3], weights=name, **options)
        given = gx.linpro_labels(segments, q, 30, weights=weights, **options)
        assert torch.equal(named.labels[0], given.labels)
        plain = gx.linpro_labels(segments, q, 30, **options)
        assert not torch.equal(given.labels, plain.labels)


def test_labels_of_long_instances_do_not_depend_on_the_length_of_a_snippet():
    """Prices per snippet scale with the sequence; with those per instance, g sends what is longer
    than (a + b) / g to zero."""
    q = torch.tensor([0.6, 0.8], dtype=torch.float64)
    for scale in (1, 10, 100, 1000):
        segments = scale * torch.tensor([[0.0, 20.0], [5.0, 10.0]], dtype=torch.float64)
        labels = gx.linpro_labels(segments, q, 20 * scale).labels
        assert labels[:: 5 * scale].tolist() == pytest.approx([0.6, 0.7, 0.6, 0.6])
    options = PLAIN | {"uniformity_weight": 1.0}
    assert not gx.linpro_labels(segments, q, 20 * scale, **options).labels[-1]


def test_explain_names_the_confidences_that_conflict():
    segments = torch.tensor([[[0.0, 10.0], [4.0, 10.0], [20.0, 24.0]], [[0.0, 5.0]] * 3])
    scores = torch.tensor([[0.2, 0.9, 0.5], [1.5, 0.0, 0.0]])
    r = gx.linpro_labels(segments, scores, 30, [3, 1], confidence_weight=1.0, anchor_weight=0.0)
    conflicts = r.explain(0)
    assert {c.instance for c in conflicts} <= {0, 1}
    assert sum(c.missed for c in conflicts) == pytest.approx(float(r.residual[0]), rel=1e-5)
    for conflict in conflicts:
        assert conflict.against == (1 - conflict.instance,)
        assert f"instance {conflict.instance} [" in str(conflict)
    (alone,) = r.explain(1)
    assert (alone.instance, alone.reached, alone.against) == (0, 1.0, ())
    assert "out of the range" in str(alone)
    with pytest.raises(IndexError, match="group must lie in"):
        r.explain(2)
    unbatched = gx.linpro_labels(segments[0, 2:], scores[0, 2:], 30)
    assert unbatched.explain() == []
    infeasible = (torch.from_numpy(x) for x in COMPONENTS["identical"])
    relaxed = gx.linpro_labels(*infeasible, 30, formulation="released")
    assert sum(c.missed for c in relaxed.explain()) == pytest.approx(float(relaxed.residual))


@pytest.mark.parametrize(("groups", "n", "t"), [(0, 3, 9), (2, 0, 9), (2, 3, 0)])
@pytest.mark.parametrize("formulation", ["uniform", "released"])
def test_empty(device, formulation, groups, n, t):
    segments = torch.zeros(groups, n, 2, device=device)
    scores = torch.full((groups, n), 0.5, device=device)
    r = gx.linpro_labels(segments, scores, t, formulation=formulation)
    assert r.labels.shape == (groups, t)
    assert r.status == ["empty"] * groups


def test_labels_do_not_depend_on_what_was_solved_before():
    """One solver object is used again and again: an infeasible program must leave no trace."""
    segments, q = (torch.from_numpy(x) for x in COMPONENTS["chained"])
    first = gx.linpro_labels(segments, q, 30).labels
    infeasible = (torch.from_numpy(x) for x in COMPONENTS["identical"])
    assert gx.linpro_labels(*infeasible, 30, formulation="released").status == "relaxed"
    assert torch.equal(gx.linpro_labels(segments, q, 30).labels, first)


@pytest.mark.parametrize("groups", [1, 12])
def test_one_copy_from_the_device_however_many_groups_highs_solves(device, monkeypatch, groups):
    segments, q = (torch.from_numpy(x).to(device) for x in COMPONENTS["chained"])
    copies = []
    to_host = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: copies.append(x.shape) or to_host(x))
    counts = torch.arange(groups, device=device) % (len(q) + 1)
    batch = segments.expand(groups, -1, -1), q.expand(groups, -1)
    r = gx.linpro_labels(*batch, 30, counts, backend="highs")
    assert len(copies) == 1
    for g, n in enumerate(counts.tolist()):
        alone = gx.linpro_labels(segments[:n], q[:n], 30, backend="highs")
        assert torch.equal(r.labels[g], alone.labels)
        assert torch.equal(r.objective[g], alone.objective)
        assert torch.equal(r.residual[g], alone.residual)
        assert r.status[g] == alone.status
