"""Resampled videos: as if each were written down as often as it was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.evaluation.average_precision import average_precision
from gaufuse_ext.evaluation.bootstrap import bootstrap_weights, resampled_precision
from test_evaluator import CLASSES, drawn_videos, flat_with, generated

IDS = {label: c for c, label in enumerate(CLASSES)}


def written_down(flat: gx.FlatSegments, times: np.ndarray) -> gx.FlatSegments:
    """Each segment as often as its video counts, each time in a video of its own."""
    copies = np.concatenate([np.arange(times[v]) for v in flat.video_ids] or [[]]).astype(int)
    repeated = np.repeat(np.arange(len(flat)), times[flat.video_ids])
    return gx.FlatSegments(
        flat.segments[repeated],
        flat.video_ids[repeated] + len(times) * copies,
        flat.class_ids[repeated],
        None if flat.scores is None else flat.scores[repeated],
    )


@settings(max_examples=40, deadline=None)
@given(
    found=drawn_videos(),
    truth=drawn_videos(least=1),
    times=st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
def test_a_video_drawn_twice_counts_twice(found, truth, times):
    detections, instances = flat_with(IDS, found), flat_with(IDS, truth)
    thresholds, times = (0.3, 0.5, 0.9), np.array(times)
    matches = gx.match_detections(detections, instances, thresholds)
    weights = np.stack([times, np.ones(3, int), np.zeros(3, int)], axis=1)
    precision = resampled_precision(matches, detections, instances, weights)

    copies, true_copies = written_down(detections, times), written_down(instances, times)
    expected = np.full(precision.shape[:2], np.nan)
    if len(true_copies):
        again = gx.match_detections(copies, true_copies, thresholds)
        own = average_precision(again, true_copies)
        expected[: len(own)] = own
    np.testing.assert_allclose(precision[:, :, 0], expected, rtol=0, atol=1e-12)
    once = average_precision(matches, instances)
    np.testing.assert_allclose(precision[:, :, 1], once, rtol=0, atol=1e-12)
    assert np.isnan(precision[:, :, 2]).all()


def test_intervals():
    found, truth = generated(videos=60)
    m = gx.detection_map(found, truth, [0.3, 0.5], bootstrap=300, seed=5)
    samples = m.bootstrap
    assert samples.samples.shape == (300, 2)
    assert samples.per_class.shape == (300, 7)
    low, high = samples.interval(0.95)
    point = [*m.map, m.average_map]
    assert (low < point).all()
    assert (point < high).all()
    narrow_low, narrow_high = samples.interval(0.5)
    assert (low < narrow_low).all()
    assert (narrow_high < high).all()
    np.testing.assert_allclose(
        samples.interval(0.9)[:, 2],
        2 * m.average_map - np.quantile(samples.samples.mean(axis=1), [0.95, 0.05]),
    )
    by_class = samples.class_interval()
    assert by_class.shape == (2, 7)
    assert (by_class[0] < by_class[1]).all()
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\), got 95"):
        samples.interval(95)


def test_intervals_stay_between_0_and_100():
    found = gx.FlatSegments(
        [[0, 10]] * 9 + [[50, 60]], range(10), [0] * 10, [0.9] * 9 + [0.1], None, ["x"]
    )
    truth = gx.FlatSegments([[0, 10]] * 10, range(10), [0] * 10, None, None, ["x"])
    m = gx.detection_map(found, truth, [0.5], bootstrap=500)
    low, high = m.bootstrap.interval()
    assert m.average_map == 90.0
    assert 0 < low[0] < 90 < high[0] == 100.0


def test_seeds():
    found, truth = generated()
    one, again, other = (
        gx.detection_map(found, truth, [0.5], bootstrap=20, seed=seed).bootstrap.samples
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    # More samples than one block holds: the first are the same.
    many = gx.detection_map(found, truth, [0.5], bootstrap=300, seed=1).bootstrap.samples
    np.testing.assert_allclose(many[:20], one, rtol=0, atol=1e-10)


def test_weights_are_draws_of_videos():
    weights = bootstrap_weights(50, 400, seed=0)
    assert (weights.sum(axis=0) == 50).all()
    # Binomial(50, 1/50): its mean is 1, its variance 0.98; of 20,000 draws.
    assert weights.var() == pytest.approx(0.98, abs=0.05)


def test_two_models_are_compared_on_the_same_videos():
    """Counted false positives in unknown videos do not change which known ones are drawn."""
    found, truth = generated()
    flat = gx.FlatSegments(
        np.concatenate([found.segments, [[0, 1]]]),
        np.append(found.video_ids, len(found.videos)),
        np.append(found.class_ids, 0),
        np.append(found.scores, -1.0),  # after everything else: it changes nothing
        [*found.videos, "unknown"],
        found.classes,
    )
    one = gx.detection_map(found, truth, [0.5], bootstrap=20)
    other = gx.detection_map(flat, truth, [0.5], bootstrap=20, unknown_videos="count")
    assert other.counted_videos == 1
    np.testing.assert_allclose(one.bootstrap.samples, other.bootstrap.samples, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bootstrap": -1}, ValueError, "bootstrap must be at least 1, got -1"),
        ({"bootstrap": 2.5}, TypeError, "bootstrap must be an integer, got 2.5"),
        ({"bootstrap": 10**9}, ValueError, "bootstrap must be at most 1000000"),
        ({"bootstrap": 3, "seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        gx.detection_map(*generated(), **options)
