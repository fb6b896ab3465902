"""Resampled videos: equal to evaluating the resample itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse.analysis.matched_detections import MatchedDetections, match
from gaufuse.report.video_bootstrap import interval, resample_videos, video_maps
from gaufuse_ext.annotations import load_ground_truth
from gaufuse_ext.flat_predictions import load_flat_predictions

THRESHOLDS = np.array([0.1, 0.5, 0.7])


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


def matches_of(found: dict, truth: dict, protocol: str = "activitynet") -> MatchedDetections:
    return match(
        load_flat_predictions({"results": found}),
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
    matched = matches_of(found, truth, protocol)
    resampled = resample_videos(matched, 5)
    assert matched.instances.classes == expected.classes
    np.testing.assert_allclose(resampled.maps[0], expected.map, atol=1e-9)
    np.testing.assert_allclose(resampled.per_class[0], expected.per_class.mean(axis=1), atol=1e-9)


def test_resamples_are_those_of_gaufuse_evaluate():
    """So the page has the intervals that the command prints."""
    found, truth = draw(0)
    predictions, annotations = {"results": found}, {"database": truth}
    evaluated = gx.detection_map(predictions, annotations, THRESHOLDS, bootstrap=300).bootstrap
    resampled = resample_videos(matches_of(found, truth), 300)
    np.testing.assert_allclose(resampled.maps[1:], evaluated.samples, atol=1e-9)
    np.testing.assert_allclose(resampled.per_class[1:], evaluated.per_class, atol=1e-9)
    ends = [(own.low, own.high) for own in map(interval, resampled.maps.T)]
    np.testing.assert_allclose(ends, evaluated.interval()[:, :-1].T, atol=1e-9)


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
    matched = matches_of(found, truth)
    resampled = matched.resampled_map(times[:, None])
    np.testing.assert_allclose(resampled.maps[0], expected.map, atol=1e-9)
    for label, value in zip(matched.instances.classes, resampled.per_class[0], strict=True):
        if label not in expected.classes:
            assert np.isnan(value)
            continue
        row = expected.per_class[expected.classes.index(label)]
        assert value == pytest.approx(row.mean(), abs=1e-9)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_the_map_of_a_video_is_that_of_its_own_evaluation(seed):
    found, truth = draw(seed)
    values = video_maps(matches_of(found, truth))
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
    resampled = resample_videos(matches_of({"v": []}, truth), 3)
    assert resampled.maps.tolist() == [[0.0] * 3] * 4
    assert resampled.per_class.tolist() == [[0.0]] * 4


def test_a_video_without_annotation_has_no_map():
    truth = {"v": {"annotations": [_segment(0, 1, 0)]}, "w": {"annotations": []}}
    values = video_maps(matches_of({"v": []}, truth))
    assert values[0] == 0.0
    assert np.isnan(values[1])


def test_an_interval_reflects_the_resamples():
    values = np.concatenate([[50.0], np.linspace(45.0, 65.0, 1001)])
    assert interval(values).value == 50.0
    assert interval(values).low == pytest.approx(100.0 - 64.5)
    assert interval(values).high == pytest.approx(100.0 - 45.5)
    assert interval(np.array([1.0, 0.0, 30.0])).low == 0.0  # not below what is possible
    assert interval(np.array([1.0, -3.0, 4.0])).low < 0.0  # of a difference it may be
