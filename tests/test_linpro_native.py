"""The native LinPro solver: exact, proved, and honest about what it leaves to HiGHS."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gaufuse_ext as gx

SNIPPETS = 120
PLAIN = {"prices": "instance", "confidence_weight": 1.0, "anchor_weight": 0.0}
OPTIONS = [
    {},
    {"rows": "contrast_mean"},
    {"variation_weight": 0.1},
    {"variation_weight": 2.0, "anchor_weight": 0.0, "rows": "contrast_mean"},
    {"weights": "confidence"},
    {"weights": "exponential", "confidence_weight": 1.0},
    {"constraint": "hard"},
    {"constraint": "hard", "variation_weight": 0.5, "weights": "exponential"},
    {"constraint": "hard", "rows": "contrast_mean", "anchor_weight": 0.0},
    {**PLAIN},
    {**PLAIN, "uniformity_weight": 1.0, "sparsity_weight": 0.0},
    {**PLAIN, "uniformity_weight": 0.0},
    {**PLAIN, "confidence_weight": 0.0, "uniformity_weight": 2.0},
    {**PLAIN, "rows": "contrast_mean"},
    {"formulation": "released"},
]


def component(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, 2) instances that mostly interact, and confidences that are often special."""
    kind = rng.integers(7)
    steps = np.arange(size)
    if kind == 0:
        starts = rng.integers(0, SNIPPETS, size)
        ends = starts + rng.integers(0, SNIPPETS, size)
    elif kind == 1:  # nested
        half = np.sort(rng.integers(1, SNIPPETS // 2, size))
        starts, ends = SNIPPETS // 2 - half, SNIPPETS // 2 + half
    elif kind == 2:  # identical
        starts, ends = np.full(size, 10), np.full(size, 30)
    elif kind == 3:  # chained
        starts, ends = steps * 4, steps * 4 + 7
    elif kind == 4:  # touching
        starts, ends = steps * 4, steps * 4 + 4
    elif kind == 5:  # of one snippet
        starts = rng.integers(0, SNIPPETS, size)
        ends = starts + 1
    else:  # across the borders
        starts = rng.integers(-20, SNIPPETS + 10, size)
        ends = starts + rng.integers(1, 40, size)
    confidences = rng.choice([0.0, 1.0, 0.5, -0.3, 1.7, *rng.random(4)], size=size)
    return np.stack([starts, ends], axis=1).astype(np.float64), confidences


def batch(seed: int, groups: int, most: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    segments, scores = np.zeros((groups, most, 2)), np.full((groups, most), np.nan)
    counts = rng.integers(0, most + 1, groups)
    for g, count in enumerate(counts):
        segments[g, :count], scores[g, :count] = component(rng, count)
    return torch.from_numpy(segments), torch.from_numpy(scores), torch.from_numpy(counts)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_objectives_equal_highs(options):
    for seed, groups, most in ((0, 150, 8), (1, 15, 24)):
        segments, scores, counts = batch(seed, groups, most)
        ours = gx.linpro_labels(segments, scores, SNIPPETS, counts, **options)
        theirs = gx.linpro_labels(segments, scores, SNIPPETS, counts, backend="highs", **options)
        torch.testing.assert_close(ours.objective, theirs.objective, rtol=1e-8, atol=1e-8)
        assert ours.status == theirs.status
        assert ours.labels.min() >= 0 <= 1 >= ours.labels.max()
        native = torch.tensor([name == "native" for name in ours.backend])
        assert native.float().mean() > 0.95
        assert (ours.gap[native] <= 1e-9).all()
        assert ours.gap[~native].isnan().all()
        assert set(theirs.backend) == {"highs"}


@pytest.mark.parametrize(
    "options", [{}, {**PLAIN}, {"constraint": "hard"}, {"formulation": "released"}], ids=str
)
def test_sixty_four_instances_in_one_component(options):
    rng = np.random.default_rng(7)
    for starts in (rng.integers(0, 400, 64), np.arange(64) * 6, np.full(64, 100)):
        segments = torch.from_numpy(np.stack([starts, starts + rng.integers(10, 60, 64)], axis=1))
        scores = torch.from_numpy(rng.random(64))
        ours = gx.linpro_labels(segments.double(), scores, 500, **options)
        theirs = gx.linpro_labels(segments.double(), scores, 500, backend="highs", **options)
        torch.testing.assert_close(ours.objective, theirs.objective, rtol=1e-8, atol=1e-8)


def test_objective_is_that_of_the_labels():
    """The `uniform` objective, worked out from labels and instances alone."""
    a, b, g = 1.3, 0.4, 0.01
    segments, scores, counts = batch(2, 60, 6)
    r = gx.linpro_labels(
        segments, scores, SNIPPETS, counts,
        prices="instance", anchor_weight=0.0,
        confidence_weight=a, uniformity_weight=b, sparsity_weight=g,
    )  # fmt: skip
    for group, count in enumerate(counts.tolist()):
        x = r.labels[group].numpy()
        expected = g * x.sum()
        for (start, end), q in zip(
            segments[group, :count].numpy(), scores[group, :count].numpy(), strict=True
        ):
            inside = x[max(0, int(start)) : max(0, int(end))]
            if len(inside):
                expected += a * abs(inside.mean() - q) + b * np.abs(inside - q).mean()
        assert r.objective[group].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_too_many_instances_go_to_highs():
    segments = torch.tensor([[0.0, 40.0 + i] for i in range(65)], dtype=torch.float64)
    scores = torch.linspace(0.1, 0.9, 65, dtype=torch.float64)
    for way in ({"rows": "contrast_mean"}, {"variation_weight": 0.1}, {"formulation": "released"}):
        r = gx.linpro_labels(segments, scores, 200, **way)
        assert r.backend == "highs"
        with pytest.raises(RuntimeError, match="cannot solve group 0"):
            gx.linpro_labels(segments, scores, 200, backend="native", **way)


def test_what_cannot_be_met_is_relaxed_and_proved():
    segments = torch.tensor([[[2.0, 8.0], [2.0, 8.0]], [[2.0, 8.0], [20.0, 28.0]]])
    scores = torch.tensor([[0.3, 0.7], [0.3, 0.7]])
    r = gx.linpro_labels(segments, scores, 40, formulation="released", backend="native")
    assert r.status == ["relaxed", "optimal"]
    assert r.residual.tolist() == pytest.approx([0.4, 0.0], abs=1e-6)
    assert r.objective.tolist() == pytest.approx([0.3, 1.0])
    assert (r.gap <= 1e-9).all()


def test_independent_of_the_number_of_threads(set_threads):
    segments, scores, counts = batch(3, 300, 6)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append(gx.linpro_labels(segments, scores, SNIPPETS, counts))
    assert torch.equal(results[0].labels, results[1].labels)
    assert torch.equal(results[0].objective, results[1].objective)


def test_huge_confidences_are_proved_too():
    segments = torch.tensor([[0.0, 10.0], [5.0, 15.0]], dtype=torch.float64)
    for q in ([1e20, 0.5], [-1e20, 0.5], [1e300, -1e300]):
        r = gx.linpro_labels(segments, torch.tensor(q, dtype=torch.float64), 20)
        assert r.backend == "native"
        assert torch.isfinite(r.labels).all()


@pytest.mark.parametrize("lightest", [1e-3, 1e-5, 1e-9, 1e-14])
def test_light_instances_cannot_hide_that_constraints_are_not_met(lightest):
    segments = torch.tensor([[5.0, 15.0], [5.0, 15.0]], dtype=torch.float64)
    q = torch.tensor([0.9, 0.3], dtype=torch.float64)
    weights = torch.tensor([1.0, lightest], dtype=torch.float64)
    for backend in ("native", "highs"):
        r = gx.linpro_labels(segments, q, 40, constraint="hard", weights=weights, backend=backend)
        assert r.status == "relaxed"
        assert r.residual.item() == pytest.approx(0.6)
        assert r.labels[5:15].tolist() == pytest.approx([0.9] * 10)


def test_units_of_weights_do_not_matter():
    """Only ratios of weights do, beside terms that they do not multiply."""
    segments, scores, counts = batch(4, 40, 6)
    weights = torch.rand(scores.shape, generator=torch.Generator().manual_seed(0)).double() + 0.1
    options = {"anchor_weight": 0.0, "sparsity_weight": 0.0}
    expected = gx.linpro_labels(segments, scores, SNIPPETS, counts, weights=weights, **options)
    for unit in (2.0**-200, 2.0**200):
        found = gx.linpro_labels(
            segments, scores, SNIPPETS, counts, weights=unit * weights, **options
        )
        assert torch.equal(found.labels, expected.labels)
        torch.testing.assert_close(found.objective, unit * expected.objective, rtol=1e-12, atol=0)
