"""gx.linpro_labels on input that nobody should send: a clear error, or labels in [0, 1]."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gaufuse_ext as gx
from linpro_programs import Settings, snippet_program

WAYS = [
    {},
    {"prices": "instance", "anchor_weight": 0.0},
    {"constraint": "hard"},
    {"rows": "contrast_mean", "variation_weight": 0.5},
    {"weights": "exponential"},
    {"weights": "confidence"},
    {"formulation": "released"},
]


def check(found: gx.LinproLabels) -> None:
    assert ((found.labels >= 0.0) & (found.labels <= 1.0)).all()  # so no NaN either
    assert not (found.objective.isnan() | found.residual.isnan()).any()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_hundreds_that_overlap(way):
    """A component far beyond the small ones' solver, in one group with a small one: on the path of
    its cells, or by HiGHS where it is no path."""
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 200, (2, 300))
    segments = np.stack([starts, starts + rng.integers(20, 200, (2, 300))], axis=2)
    segments, scores = torch.from_numpy(segments).double(), torch.from_numpy(rng.random((2, 300)))
    found = gx.linpro_labels(segments, scores, 400, [300, 3], **way)
    check(found)
    on_path = "rows" not in way and "formulation" not in way
    assert found.backend == ["native" if on_path else "highs", "native"]
    alone = gx.linpro_labels(segments[1, :3], scores[1, :3], 400, **way)
    assert torch.equal(found.labels[1], alone.labels)
    if way.get("formulation") != "released" and "weights" not in way:
        options = Settings(**way)
        case = (segments[0].numpy(), scores[0].numpy(), np.ones(300))
        program = snippet_program(*case, 400, options)
        x = found.labels[0].numpy()
        assert found.objective[0].item() == pytest.approx(program.objective(x), rel=1e-9)
        # An optimum beats its neighbourhood, in particular smoothed and mixed with the mean.
        smooth = np.convolve(x, np.ones(3) / 3, mode="same")
        for other in (smooth, 0.9 * x + 0.1 * scores[0].mean().item(), x.clip(0.01, 0.99)):
            if not program.hard:
                assert program.objective(x) <= program.objective(other) + 1e-9
            else:
                assert program.misses(x).sum() <= program.misses(other).sum() + 1e-6


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_equal_boundaries_with_different_scores(way):
    segments = torch.tensor([[3.0, 12.0]] * 40, dtype=torch.float64)
    segments[20:] += 0.7  # the same snippets
    scores = torch.linspace(0.1, 0.9, 40, dtype=torch.float64)
    found = gx.linpro_labels(segments, scores, 20, **way)
    check(found)
    hard = way.get("constraint") == "hard" or way.get("formulation") == "released"
    assert found.status == ("relaxed" if hard else "optimal")
    inside = found.labels[3:12]
    if way.get("formulation") != "released":
        torch.testing.assert_close(inside, inside[:1].expand(9), rtol=0, atol=1e-9)
        assert 0.1 <= inside[0] <= 0.9
    assert len(found.explain()) >= 38  # at most two of the scores can be met


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "scores", [(-3.0, 5.0, 0.5), (-1e30, 1e30, 0.0), (0.0, 0.0, 0.0), (-0.5, -0.2, -1e-30)], ids=str
)
def test_confidences_outside_of_the_unit_interval(way, dtype, scores):
    segments = torch.tensor([[0.0, 9.0], [4.0, 14.0], [4.0, 5.0]], dtype=dtype)
    found = gx.linpro_labels(segments, torch.tensor(scores, dtype=dtype), 20, **way)
    check(found)
    for conflict in found.explain():
        assert str(conflict)


@pytest.mark.parametrize(
    "boundaries", [(-1e300, 1e300), (0.0, 1e18), (-1e18, 3.0), (5.0, 5.0), (1e9, 2e9)], ids=str
)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_boundaries_far_outside(way, boundaries):
    segments = torch.tensor([boundaries, (2.0, 6.0)], dtype=torch.float64)
    check(gx.linpro_labels(segments, torch.tensor([0.3, 0.8]).double(), 10, **way))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("backend", ["auto", "native", "highs"])
def test_not_finite(bad, backend):
    segments = torch.tensor([[[0.0, 4.0], [2.0, 6.0]]] * 2)
    scores, weights = torch.full((2, 2), 0.5), torch.ones(2, 2)
    for name, value in (("segments", segments), ("scores", scores), ("weights", weights)):
        broken = value.clone()
        broken[1, 1] = bad
        arguments = {"segments": segments, "scores": scores, "weights": weights, name: broken}
        with pytest.raises(ValueError, match=f"^{name} must be finite"):
            gx.linpro_labels(**arguments, num_snippets=8, backend=backend)
        check(gx.linpro_labels(**arguments, num_snippets=8, counts=[2, 1]))  # padding


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("weights", torch.tensor([1.0, -0.5]), r"weights must lie in \[0, 1e100\], got -0.5"),
        ("weights", torch.ones(3), r"weights must have shape \(2,\)"),
        ("weights", torch.ones(2).double(), "weights must be torch.float32"),
        ("weights", "score", "weights must be one of constant, confidence, exponential"),
        ("weights", [1.0, 1.0], "weights must be"),
        ("prices", "video", "prices must be one of snippet, instance"),
        ("constraint", "soft", "constraint must be one of elastic, hard"),
        ("anchor_weight", -1.0, "anchor_weight must be finite and not negative"),
        ("sparsity_weight", 1e101, r"sparsity_weight must lie in \[0, 1e100\], got 1e\+101"),
        ("variation_weight", float("nan"), "variation_weight must be finite and not negative"),
    ],
    ids=str,
)
def test_bad_settings(name, value, error):
    with pytest.raises((TypeError, ValueError), match=error):
        gx.linpro_labels(
            torch.tensor([[0.0, 4.0], [2.0, 6.0]]), torch.full((2,), 0.5), 8, **{name: value}
        )


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_weight_temperature(temperature):
    with pytest.raises(ValueError, match="weight_temperature must be positive"):
        gx.linpro_labels(
            torch.tensor([[0.0, 4.0]]),
            torch.tensor([0.5]),
            8,
            weights="exponential",
            weight_temperature=temperature,
        )


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
@pytest.mark.parametrize("way", [{}, {"prices": "instance"}, {"variation_weight": 0.2}], ids=str)
def test_labels_do_not_depend_on_the_unit_of_prices(way, scale):
    segments = torch.tensor([[0.0, 9.0], [4.0, 14.0], [6.0, 8.0]], dtype=torch.float64)
    scores = torch.tensor([0.2, 0.9, 0.5], dtype=torch.float64)
    terms = {"confidence": 0.1, "uniformity": 0.05, "anchor": 1.0, "sparsity": 1e-3}
    terms |= {"variation": way.get("variation_weight", 0.0)}
    prices = {"prices": way.get("prices", "snippet")}
    small, large = (
        gx.linpro_labels(
            segments,
            scores,
            20,
            **prices,
            **{f"{name}_weight": factor * value for name, value in terms.items()},
        )
        for factor in (1.0, scale)
    )
    torch.testing.assert_close(large.labels, small.labels, rtol=0, atol=1e-7)
    torch.testing.assert_close(large.objective / scale, small.objective, rtol=1e-7, atol=0)


@pytest.mark.parametrize("weight", [1e-300, 1e-9, 1e9])
def test_weights_of_any_size(weight):
    segments = torch.tensor([[0.0, 9.0], [4.0, 14.0], [6.0, 8.0]], dtype=torch.float64)
    scores = torch.tensor([0.2, 0.9, 0.5], dtype=torch.float64)
    weights = torch.tensor([1.0, weight, 1.0], dtype=torch.float64)
    for constraint in ("elastic", "hard"):
        found = gx.linpro_labels(segments, scores, 20, weights=weights, constraint=constraint)
        assert ((found.labels >= 0.0) & (found.labels <= 1.0)).all()
