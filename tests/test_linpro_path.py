"""Components of more than 64 instances: solved on the path of their cells, proved, and equal to the
simplex of the small ones, to HiGHS and to a certificate that trusts neither."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.linpro import highs
from gaufuse_ext.linpro.cells import reduce_to_components
from gaufuse_ext.linpro.certificate import certify
from gaufuse_ext.linpro.terms import LinproTerms

INSTANCES = {"prices": "instance", "confidence_weight": 1.0, "anchor_weight": 0.0}
WAYS = [
    {},
    {"confidence_weight": 1.0, "uniformity_weight": 1.0, "anchor_weight": 0.0},
    {"confidence_weight": 1.0, "uniformity_weight": 0.0, "anchor_weight": 0.0},
    {"confidence_weight": 0.5, "uniformity_weight": 0.0, "sparsity_weight": 0.3},
    {**INSTANCES},
    {**INSTANCES, "uniformity_weight": 0.0, "sparsity_weight": 0.0},
    {"constraint": "hard"},
    {"constraint": "hard", "anchor_weight": 0.0, "prices": "instance"},
]
KINDS = ("random", "chained", "nested", "identical", "one_start", "tiny_and_huge", "levels")


def instances(kind: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(K, 2) of one component, (K,) confidences, often special and equal, and T."""
    rng = np.random.default_rng(seed)
    steps = np.arange(count)
    if kind == "random":
        starts = rng.integers(0, 2 * count, count)
        ends = starts + rng.integers(1, 60, count)
    elif kind == "chained":
        starts, ends = 3 * steps, 3 * steps + 7
    elif kind == "nested":
        starts, ends = steps, 2 * count + 1 - steps
    elif kind == "identical":
        starts, ends = np.full(count, 3), np.full(count, 20)
    elif kind == "one_start":
        starts, ends = np.full(count, 0), rng.integers(1, count, count)
    elif kind == "tiny_and_huge":
        starts = rng.integers(0, 50_000, count)
        ends = starts + rng.choice([1, 2, 40_000], count)
    else:  # proposals of many thresholds
        starts = 8 * rng.integers(0, count // 8, count)
        ends = starts + 2 ** rng.integers(1, 6, count)
    starts[0], ends[0] = starts.min(), ends.max()
    q = np.where(rng.random(count) < 0.3, rng.choice([0.0, 1.0, 0.5, -0.3, 1.7]), rng.random(count))
    return np.stack([starts, ends], axis=1).astype(np.float64), q.round(4), int(ends.max())


def solve(segments, q, num_snippets, weights=None, **way) -> gx.LinproLabels:
    if isinstance(weights, np.ndarray):
        weights = torch.from_numpy(weights)
    return gx.linpro_labels(
        torch.from_numpy(segments), torch.from_numpy(q), num_snippets, weights=weights, **way
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_equal_highs(kind, way):
    segments, q, num_snippets = instances(kind, 80, 0)
    weights = np.random.default_rng(1).choice([1.0, 0.25, 3.0], 80)
    for given_weights in (None, weights):
        ours = solve(segments, q, num_snippets, given_weights, **way)
        theirs = solve(segments, q, num_snippets, given_weights, backend="highs", **way)
        assert ours.backend == "native"
        assert ours.gap <= 1e-9
        assert ours.status == theirs.status
        torch.testing.assert_close(ours.objective, theirs.objective, rtol=1e-8, atol=1e-8)
        assert ((ours.labels >= 0.0) & (ours.labels <= 1.0)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS[:6], ids=str)
def test_certified_from_the_labels_alone(kind, way):
    segments, q, num_snippets = instances(kind, 150, 2)
    found = solve(segments, q, num_snippets, **way)
    terms = LinproTerms(
        way.get("confidence_weight", 0.08), way.get("uniformity_weight", 0.04),
        way.get("anchor_weight", 1.0), 0.0, way.get("sparsity_weight", 1e-3),
        way.get("prices") != "instance", False, "mean", False,
    )  # fmt: skip
    (component,) = reduce_to_components(segments, q, np.ones(150), num_snippets, "mean")
    x = found.labels.numpy()[component.starts]
    proof = certify(component, terms, x, highs.solve)
    assert proof.objective == pytest.approx(found.objective.item(), rel=1e-10)
    assert abs(proof.gap) < 1e-8
    worse = certify(component, terms, 0.9 * x + 0.05, highs.solve)
    assert worse.gap > 1e-4
    assert worse.bound <= proof.objective + 1e-8


boundary = st.integers(0, 24)
confidence = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, -0.25, 1.5]), st.floats(-0.5, 1.5).map(lambda q: round(q, 3))
)


@settings(max_examples=150)
@given(
    entries=st.lists(
        st.tuples(boundary, boundary, confidence, st.sampled_from([1.0, 1.0, 0.25, 2.5])),
        min_size=4,
        max_size=12,
    ),
    way=st.sampled_from(WAYS),
)
def test_copies_change_nothing(entries, way):
    """Sixteen copies of an instance, each a sixteenth as heavy, are the instance. That makes every
    small program a large one: the path against the small programs' simplex."""
    starts, ends, q, weights = (np.array(x, dtype=np.float64) for x in zip(*entries, strict=True))
    segments = np.stack([np.minimum(starts, ends), np.maximum(starts, ends) + 1], axis=1)
    segments[0] = (0, 26)  # one component
    small = solve(segments, q, 26, weights, backend="native", **way)
    large = solve(
        *(np.repeat(x, 16, axis=0) for x in (segments, q)), 26, np.repeat(weights, 16) / 16,
        backend="native", **way,
    )  # fmt: skip
    assert large.status == small.status
    assert large.gap <= 1e-9
    torch.testing.assert_close(large.objective, small.objective, rtol=1e-8, atol=1e-8)
    if small.status == "relaxed":  # the residual counts copies, and is the least weighted one
        missed = [
            sum(w * abs(r.labels[int(s) : int(e)].mean() - c) for (s, e), c, w in
                zip(segments, q, weights, strict=True))
            for r in (small, large)
        ]  # fmt: skip
        torch.testing.assert_close(missed[1], missed[0], rtol=1e-8, atol=1e-8)


def test_a_level_is_that_of_an_instance_which_covers_the_cell():
    """Where sums of prices tie but for rounding: one in 250,000 groups."""
    segments = [(20, 40), (29, 40), (35, 40), (16, 32), (33, 40), (23, 27), (20, 40)]
    segments, q = np.array(segments, dtype=np.float64), [-0.3, 0.6308, 0.749, 0.5448, 0.662, 0.0325]
    weights = np.where(np.arange(7) == 2, 0.25, 1.0)
    copies = (np.repeat(x, 40, axis=0) for x in (segments, np.array([*q, 0.308])))
    found = solve(
        *copies, 40, np.repeat(weights / 40, 40), constraint="hard", confidence_weight=1.0,
        uniformity_weight=0.1, anchor_weight=0.0, sparsity_weight=0.0, backend="native",
    )  # fmt: skip
    assert found.gap <= 1e-9


@pytest.mark.parametrize("kind", ["chained", "random", "levels"])
def test_thousands_of_instances(kind):
    segments, q, num_snippets = instances(kind, 3000, 3)
    for way in ({}, {"confidence_weight": 0.3, "uniformity_weight": 0.1}):
        found = solve(segments, q, num_snippets, backend="native", **way)
        assert found.gap <= 1e-9
        assert found.status == "optimal"


def test_a_cell_passes_its_knots_in_one_pivot():
    """Lengths of all scales, many instances over each cell: 3,764 pivots where each knot takes one,
    some 700 where a cell that enters goes on to where it stays."""
    rng = np.random.default_rng(1000)
    starts = rng.integers(0, 3000, 1000)
    ends = starts + np.exp(rng.uniform(0.0, np.log(2000.0), 1000)).astype(int) + 1
    starts[0], ends[0] = starts.min(), ends.max()
    segments = np.stack([starts, ends], axis=1).astype(np.float64)
    way = {**INSTANCES, "uniformity_weight": 0.1}
    found = solve(segments, rng.random(1000), int(ends.max()), backend="native", **way)
    assert found.gap <= 1e-9
    assert found.pivots < 1000


def test_what_can_be_met_is_met():
    """Confidences that are means of a given curve: feasible, however many."""
    segments, _, num_snippets = instances("random", 200, 4)
    curve = np.random.default_rng(5).random(num_snippets)
    q = np.array([curve[int(s) : int(e)].mean() for s, e in segments])
    found = solve(segments, q, num_snippets, constraint="hard", backend="native")
    assert found.status == "optimal"
    assert found.residual < 1e-8


@pytest.mark.parametrize("q", [[1e300, -1e300], [1e20, 0.5], [-1e308, 1e308]])
def test_extreme_confidences(q):
    segments, _, num_snippets = instances("random", 100, 6)
    found = solve(segments, np.resize(q, 100), num_snippets, backend="native")
    assert found.gap <= 1e-9
    assert ((found.labels >= 0.0) & (found.labels <= 1.0)).all()


def test_large_and_small_components_in_a_batch_on_any_number_of_threads(set_threads):
    segments, q, num_snippets = instances("random", 120, 7)
    batch = np.stack([segments, segments + 0.5, segments])
    counts = [120, 5, 90]
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append(solve(batch, np.stack([q, q, q]), num_snippets, counts=counts))
    assert torch.equal(results[0].labels, results[1].labels)
    assert results[0].backend == ["native"] * 3
    alone = solve(segments[:90], q[:90], num_snippets)
    assert torch.equal(results[0].labels[2], alone.labels)
