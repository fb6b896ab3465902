"""Resampled videos: equal to evaluating the resample itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse.report.video_bootstrap import VideoMatches, interval, match_videos, resamples
from gaufuse_ext.annotations import load_ground_truth, load_predictions

THRESHOLDS = (0.1, 0.5, 0.7)


def draw(seed: int, videos: int = 5, classes: int = 3) -> tuple[dict, dict]:
    """Predictions and ground truth: scores without ties, a class that only some videos have."""
    rng = np.random.default_rng(seed)
    scores = iter(rng.permutation(1000) / 1000)
    truth, found = {}, {}
    for v in range(videos):
        labels = rng.integers(0, classes, rng.integers(1, 4))
        starts = rng.uniform(0, 40, len(labels))
        own = [(start, start + 4.0, label) for start, label in zip(starts, labels, strict=True)]
        truth[f"v{v}"] = {"annotations": [_segment(*entry) for entry in own]}
        near = [(a + rng.normal(), b + 1.0, label) for a, b, label in own for _ in range(3)]
        near += [(a, a + 5.0, rng.integers(classes)) for a in rng.uniform(0, 40, 3)]
        found[f"v{v}"] = [_segment(*entry) | {"score": float(next(scores))} for entry in near]
    return found, truth


def _segment(start: float, end: float, label: int) -> dict:
    return {"segment": [float(start), float(end)], "label": f"c{label}"}


def matches_of(found: dict, truth: dict, protocol: str) -> VideoMatches:
    return match_videos(
        load_predictions({"results": found}),
        load_ground_truth({"database": truth}),
        THRESHOLDS,
        protocol,
    )


@pytest.mark.parametrize("protocol", ["activitynet", "thumos"])
@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_videos_as_they_are_give_the_evaluators_numbers(seed, protocol):
    found, truth = draw(seed)
    expected = gx.detection_map({"results": found}, {"database": truth}, THRESHOLDS, protocol)
    matches = matches_of(found, truth, protocol)
    maps = matches.maps(np.ones((1, len(truth))))
    assert matches.labels == expected.classes
    np.testing.assert_allclose(maps[:, 0], expected.per_class, atol=1e-9)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_a_resample_is_the_evaluation_of_its_videos(seed):
    """Videos that are drawn twice are evaluated as two; the copies' scores are a hair lower, which
    orders them as one follows the other."""
    found, truth = draw(seed)
    times = np.random.default_rng(seed).multinomial(5, np.full(5, 0.2))
    copies = [(f"v{v}", k) for v in range(5) for k in range(times[v])]
    drawn_truth = {f"{name} {k}": truth[name] for name, k in copies}
    drawn = {
        f"{name} {k}": [d | {"score": d["score"] - 1e-7 * k} for d in found[name]]
        for name, k in copies
    }
    expected = gx.detection_map({"results": drawn}, {"database": drawn_truth}, THRESHOLDS)
    matches = matches_of(found, truth, "activitynet")
    maps = dict(zip(matches.labels, matches.maps(times[None])[:, 0], strict=True))
    for label, values in maps.items():
        if label not in expected.classes:
            assert np.isnan(values).all()
            continue
        row = expected.per_class[expected.classes.index(label)]
        np.testing.assert_allclose(values, row, atol=1e-9)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_the_map_of_a_video_is_that_of_its_own_evaluation(seed):
    found, truth = draw(seed)
    values = matches_of(found, truth, "activitynet").video_maps()
    for v, value in enumerate(values):
        name = f"v{v}"
        classes = {f"c{c}" for c in range(3)}
        alone = gx.detection_map(
            {"results": {name: found[name]}},
            {"database": {name: truth[name]}},
            THRESHOLDS,
            classes=classes,
        )
        assert value == pytest.approx(alone.average_map, abs=1e-9)


def test_a_class_without_detections_has_zero():
    truth = {"v": {"annotations": [_segment(0, 1, 0)]}}
    matches = matches_of({"v": []}, truth, "activitynet")
    assert matches.maps(resamples(1, 3)).tolist() == [[[0.0] * 3] * 4]


def test_an_interval_reflects_the_resamples():
    values = np.concatenate([[50.0], np.linspace(45.0, 65.0, 1001)])
    assert interval(values).value == 50.0
    assert interval(values).low == pytest.approx(100.0 - 64.5)
    assert interval(values).high == pytest.approx(100.0 - 45.5)
    assert interval(np.array([1.0, 0.0, 30.0])).low == 0.0  # not below what is possible
    assert interval(np.array([1.0, -3.0, 4.0])).low < 0.0  # of a difference it may be


def test_the_same_videos_are_drawn_for_both_runs():
    assert (resamples(7, 20) == resamples(7, 20)).all()
    assert (resamples(7, 20).sum(1) == 7).all()
