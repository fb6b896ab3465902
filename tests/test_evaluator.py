"""The native evaluator against the slow reference of method section 6, on drawn and on real
data."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.annotations import Segments, load_ground_truth, load_predictions
from gaufuse_ext.evaluation.average_precision import average_precision
from gaufuse_ext.evaluation.repeated_detections import repeated_detections
from gaufuse_ext.reference import detection_map as reference

VIDEOS, CLASSES = ("a", "b", "c"), ("x", "y", "z")
THRESHOLDS = (0.3, 0.5, 0.1 + 0.2, 1.0, 0.05)


def reference_map(
    found: dict[str, Segments],
    truth: dict[str, Segments],
    thresholds: tuple[float, ...],
    protocol: str,
    ambiguous: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """(C, H) in percent, of the classes that have annotations."""
    labels = sorted({label for entry in truth.values() for label in entry.labels})
    thumos = protocol == "thumos"
    rows = []
    for label in labels:
        own_found, own_truth = {}, {}
        for video, entry in truth.items():
            chosen = np.array(entry.labels, dtype=object) == label
            segments = entry.segments[chosen]
            if chosen.any():
                own_truth[video] = (reference.rounded(segments) if thumos else segments, None)
        for video, entry in found.items():
            chosen = np.array(entry.labels, dtype=object) == label
            segments, scores = entry.segments[chosen], entry.scores[chosen]
            if thumos:
                segments = reference.truncated(segments)
                if video in (ambiguous or {}):
                    clear = reference.clear_of(segments, reference.rounded(ambiguous[video]))
                    segments, scores = segments[clear], scores[clear]
            if len(scores):
                own_found[video] = segments, scores
        rows.append(reference.average_precision(own_found, own_truth, np.array(thresholds)))
    return 100.0 * np.array(rows)


def flat_of(videos: dict[str, Segments]) -> gx.FlatSegments:
    return gx.FlatSegments.from_videos(videos)


@st.composite
def drawn_videos(draw, least: int = 0) -> dict[str, Segments]:
    """Values that collide: equal scores, equal segments, none of length, classes without any."""
    videos = {}
    for video in VIDEOS:
        count = draw(st.integers(least, 8))
        grid = st.sampled_from([0.0, 0.32, 0.64, 1.0, 2.0, 2.24, 3.2, 5.0])
        pairs = draw(st.lists(st.tuples(grid, grid), min_size=count, max_size=count))
        labels = draw(st.lists(st.sampled_from(CLASSES), min_size=count, max_size=count))
        scores = st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5, 1.0])
        values = draw(st.lists(scores, min_size=count, max_size=count))
        segments = np.sort(np.array(pairs, dtype=float).reshape(-1, 2), axis=1)
        videos[video] = Segments(segments, labels, np.array(values, dtype=float))
    return videos


@pytest.mark.parametrize("protocol", ["activitynet", "thumos"])
@settings(max_examples=80, deadline=None)
@given(found=drawn_videos(), truth=drawn_videos(least=1))
def test_drawn_data_against_the_reference(protocol, found, truth):
    m = gx.detection_map(flat_of(found), flat_of(truth), THRESHOLDS, protocol, classes=CLASSES)
    expected = reference_map(found, truth, THRESHOLDS, protocol)
    np.testing.assert_allclose(m.per_class, expected, rtol=0, atol=1e-10)  # percent


@settings(max_examples=40, deadline=None)
@given(found=drawn_videos(), truth=drawn_videos(least=1), doubtful=drawn_videos())
def test_drawn_ambiguous_intervals(tmp_path_factory, found, truth, doubtful):
    path = tmp_path_factory.mktemp("list") / "Ambiguous_test.txt"
    lines = [
        f"{video}  {start!r} {end!r}\n"
        for video, entry in doubtful.items()
        for start, end in entry.segments.tolist()
    ]
    path.write_text("".join(lines))
    m = gx.detection_map(
        flat_of(found), flat_of(truth), THRESHOLDS, "thumos", classes=CLASSES, ambiguous=path
    )
    intervals = {video: entry.segments for video, entry in doubtful.items() if len(entry.labels)}
    expected = reference_map(found, truth, THRESHOLDS, "thumos", intervals)
    np.testing.assert_allclose(m.per_class, expected, rtol=0, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(found=drawn_videos(), truth=drawn_videos(least=1))
def test_matches_are_the_reference_s(found, truth):
    """Detection by detection, and the two forms of the result say the same."""
    classes = {label: c for c, label in enumerate(CLASSES)}
    detections, instances = (flat_with(classes, videos) for videos in (found, truth))
    matches = gx.match_detections(detections, instances, THRESHOLDS)
    taken = matches.instances()
    for v, c in product(range(len(VIDEOS)), range(len(CLASSES))):
        own = np.flatnonzero((detections.video_ids == v) & (detections.class_ids == c))
        own = own[np.argsort(-detections.scores[own], kind="stable")]
        there = np.flatnonzero((instances.video_ids == v) & (instances.class_ids == c))
        iou = reference.segment_iou(detections.segments[own], instances.segments[there])
        expected = reference.match(iou, np.array(THRESHOLDS))
        expected = np.where(expected >= 0, np.append(there, -1)[expected], -1)
        assert np.array_equal(taken[own], expected)
    for h in range(len(THRESHOLDS)):
        hit = np.flatnonzero(taken[:, h] >= 0)
        assert np.array_equal(matches.found_by[taken[hit, h], h], hit)
        assert np.count_nonzero(matches.found_by[:, h] >= 0) == len(hit)


def flat_with(classes: dict[str, int], videos: dict[str, Segments]) -> gx.FlatSegments:
    entries = list(videos.values())
    return gx.FlatSegments(
        np.concatenate([entry.segments for entry in entries]),
        np.repeat(np.arange(len(entries)), [len(entry.labels) for entry in entries]),
        [classes[label] for entry in entries for label in entry.labels],
        np.concatenate([entry.scores for entry in entries]),
        list(videos),
        list(classes),
    )


def generated(seed: int = 0, videos: int = 40, classes: int = 7, count: int = 3000):
    rng = np.random.default_rng(seed)

    def segments(n: int) -> np.ndarray:
        start = rng.uniform(0, 60, n)
        return np.stack([start, start + rng.exponential(8, n)], axis=1)

    names = [f"v{i}" for i in range(videos)], [f"c{i}" for i in range(classes)]
    ids = [
        rng.integers(0, n, m) for m in (count, count // 10) for n in (videos, classes)
    ]  # both of each
    found = gx.FlatSegments(segments(count), *ids[:2], rng.random(count), *names)
    return found, gx.FlatSegments(segments(count // 10), *ids[2:], None, *names)


class TestForms:
    """The same detections in whatever form, on however many threads, give the same."""

    def test_arrays_tensors_and_parsed_json(self):
        found, truth = generated()
        expected = gx.detection_map(found, truth)
        assert 0 < expected.average_map < 100
        by_tensor = gx.FlatSegments(
            torch.from_numpy(found.segments),
            torch.from_numpy(found.video_ids).long(),
            torch.from_numpy(found.class_ids),
            torch.from_numpy(found.scores).requires_grad_(),
            found.videos,
            found.classes,
        )
        for p, a in (
            (by_tensor, truth),
            (found.to_videos(), truth),
            ({"results": found.to_videos()}, truth),
        ):
            assert np.array_equal(gx.detection_map(p, a).per_class, expected.per_class)

    def test_without_names_ids_are_the_ground_truth_s(self):
        found, truth = generated()
        expected = gx.detection_map(found, truth)
        bare = gx.FlatSegments(found.segments, found.video_ids, found.class_ids, found.scores)
        m = gx.detection_map(bare, truth)
        assert (m.classes, m.ignored_videos) == (expected.classes, 0)
        assert np.array_equal(m.per_class, expected.per_class)
        bare_truth = gx.FlatSegments(truth.segments, truth.video_ids, truth.class_ids)
        m = gx.detection_map(bare, bare_truth)
        assert m.classes == [str(c) for c in range(7)]
        assert np.array_equal(m.per_class, expected.per_class)
        # Ids far apart.
        far = gx.FlatSegments(
            found.segments, found.video_ids * 10**7, found.class_ids, found.scores
        )
        far_truth = gx.FlatSegments(truth.segments, truth.video_ids * 10**7, truth.class_ids)
        assert np.array_equal(gx.detection_map(far, far_truth).per_class, expected.per_class)
        # An id that the ground truth has no place for is an unknown video, or class.
        moved = gx.FlatSegments([[0, 1]] * 3, [0, 99, 1], [0, 0, 77], [1.0, 1.0, 1.0])
        m = gx.detection_map(moved, truth)
        assert m.ignored_videos == 1
        assert m.unknown_classes == {"77": 1}

    @pytest.mark.parametrize("threads", [2, 3, 8])
    def test_threads(self, threads):
        found, truth = generated(count=20_000)
        expected = gx.detection_map(found, truth, bootstrap=40)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            m = gx.detection_map(found, truth, bootstrap=40)
        finally:
            torch.set_num_threads(before)
        assert np.array_equal(m.per_class, expected.per_class)
        assert np.array_equal(m.bootstrap.samples, expected.bootstrap.samples)

    def test_round_trip_by_video(self):
        found, _ = generated()
        again = gx.FlatSegments.from_videos(found.to_videos())
        assert again.videos == found.videos
        for video, entry in found.to_videos().items():
            other = again.to_videos()[video]
            assert np.array_equal(entry.segments, other.segments)
            assert entry.labels == other.labels

    def test_segments_by_the_thousand_in_one_video(self):
        """One class in one video, radix sort and many candidates."""
        found, truth = generated(videos=1, classes=1, count=6000)
        expected = reference_map(found.to_videos(), truth.to_videos(), (0.2, 0.7), "activitynet")
        m = gx.detection_map(found, truth, (0.2, 0.7))
        np.testing.assert_allclose(m.per_class, expected, rtol=0, atol=1e-10)


class TestDuplicates:
    def found(self) -> gx.FlatSegments:
        """The 2nd repeats the 1st but for the sign of its zero; the others differ in one thing
        each."""
        segments = [[0.0, 9], [-0.0, 9], [0, 9], [0, 9], [0, 8], [0, 9]]
        scores = [0.5, 0.5, 0.5, 0.5, 0.5, 0.25]
        return gx.FlatSegments(
            segments, [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], scores, ["v", "w"], ["x", "y"]
        )

    def truth(self) -> gx.FlatSegments:
        return gx.FlatSegments(
            [[0, 9], [50, 60], [0, 9]], [0, 0, 1], [0, 0, 0], None, ["v", "w"], ["x", "y"]
        )

    def test_counted_kept_dropped_refused(self):
        assert repeated_detections(self.found()).tolist() == [False, True] + [False] * 4
        p, a = self.found(), self.truth()
        kept = gx.detection_map(p, a, [0.95])
        assert (kept.duplicates, kept.duplicates_were) == (1, "keep")
        # By score: hit in v, its repetition, hit in w: precision 2/3 at recall 2/3.
        assert kept.average_map == pytest.approx(100 * (1 / 3 + 2 / 3 / 3))
        dropped = gx.detection_map(p, a, [0.95], duplicates="drop")
        assert (dropped.duplicates, dropped.duplicates_were) == (1, "drop")
        assert dropped.average_map == pytest.approx(100 * 2 / 3)
        message = r"1 duplicates, the first in video 'v': \[-?0.0, 9.0\], 0.5"
        with pytest.raises(ValueError, match=message):
            gx.detection_map(p, a, [0.95], duplicates="error")
        with pytest.raises(ValueError, match="duplicates must be one of keep, drop, error"):
            gx.detection_map(p, a, duplicates="x")

    @settings(max_examples=40, deadline=None)
    @given(found=drawn_videos())
    def test_against_a_set(self, found):
        flat, seen, expected = flat_of(found), set(), []
        for video, own, pair, score in zip(
            flat.video_ids, flat.class_ids, flat.segments.tolist(), flat.scores, strict=True
        ):
            key = (int(video), int(own), *pair, float(score))
            expected.append(key in seen)
            seen.add(key)
        assert repeated_detections(flat).tolist() == expected


def test_unknown_labels_may_be_an_error():
    p = {"v": [{"segment": [0, 1], "label": x, "score": 1} for x in ("x", "dive")]}
    a = {"v": {"annotations": [{"segment": [0, 1], "label": "x"}]}}
    assert gx.detection_map(p, a).unknown_classes == {"dive": 1}
    with pytest.raises(ValueError, match="classes that the ground truth does not have: 'dive'"):
        gx.detection_map(p, a, unknown_labels="error")
    with pytest.raises(ValueError, match="unknown_labels must be one of ignore, error"):
        gx.detection_map(p, a, unknown_labels="count")


class TestCurves:
    def test_by_hand(self):
        """Hit, miss, hit of two instances; the envelope is 1 up to 1/2, then 2/3."""
        p = gx.FlatSegments(
            [[0, 10], [50, 60], [20, 30]], [0, 0, 0], [0, 0, 0], [0.9, 0.8, 0.7], ["v"], ["x"]
        )
        a = gx.FlatSegments([[0, 10], [20, 30]], [0, 0], [0, 0], None, ["v"], ["x"])
        m = gx.detection_map(p, a, [0.5], curves=True)
        (curve,) = m.curves
        assert curve.scores.tolist() == [0.9, 0.8, 0.7]
        assert curve.precision[:, 0].tolist() == [1, 1 / 2, 2 / 3]
        assert curve.recall[:, 0].tolist() == [1 / 2, 1 / 2, 1]
        assert curve.at_recall(np.array([0, 0.5, 0.6, 1]))[:, 0].tolist() == [1, 1, 2 / 3, 2 / 3]
        assert gx.detection_map(p, a).curves is None

    def test_the_area_under_them_is_the_map(self):
        found, truth = generated()
        m = gx.detection_map(found, truth, "0.1:0.1:0.5", curves=True)
        areas = [reference.envelope_area(c.precision, c.recall) for c in m.curves]
        np.testing.assert_allclose(100 * np.array(areas), m.per_class, rtol=0, atol=1e-10)

    def test_recall_that_is_not_reached_has_precision_zero(self):
        p = gx.FlatSegments([[0, 10]], [0], [0], [0.9], ["v"], ["x"])
        a = gx.FlatSegments([[0, 10], [20, 30]], [0, 0], [0, 1], None, ["v"], ["x", "y"])
        hit, none = gx.detection_map(p, a, [0.5], curves=True).curves
        assert hit.at_recall(np.array([0.0, 1.0]))[:, 0].tolist() == [1, 1]
        assert none.at_recall(np.array([0.0, 1.0]))[:, 0].tolist() == [0, 0]


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"segments": [[0, 1, 2]]}, ValueError, r"segments must have shape \(N, 2\), got"),
            ({"segments": [[2, 1]]}, ValueError, r"segments\[0\] must be finite and not end"),
            ({"segments": [[0, np.nan]]}, ValueError, r"segments\[0\] must be finite"),
            ({"segments": [["a", "b"]]}, TypeError, "segments must hold numbers, got list"),
            ({"scores": [np.inf]}, ValueError, r"scores\[0\] must be finite, got inf"),
            ({"scores": [1, 2]}, ValueError, r"scores must have shape \(1,\), got \(2,\)"),
            ({"video_ids": [1]}, ValueError, r"video_ids\[0\] must lie in \[0, 1\), got 1"),
            ({"class_ids": [-1]}, ValueError, r"class_ids\[0\] must lie in \[0, 1\), got -1"),
            ({"class_ids": [0.0]}, TypeError, "class_ids must hold integers, got float64"),
            ({"class_ids": [0, 0]}, ValueError, r"class_ids must have shape \(1,\), got \(2,\)"),
            ({"videos": ["v", "v"]}, ValueError, "videos has 'v' twice"),
            ({"videos": "v"}, TypeError, "videos must be names, got 'v'"),
            ({"classes": [3]}, TypeError, r"classes must be names, got \[3\]"),
            ({"videos": None, "video_ids": [2**31]}, ValueError, r"video_ids\[0\] must lie in"),
        ],
    )
    def test_flat_segments(self, change, error, message):
        good = {"segments": [[0, 1]], "video_ids": [0], "class_ids": [0], "scores": [0.5]}
        good |= {"videos": ["v"], "classes": ["x"]}
        gx.FlatSegments(**good)
        with pytest.raises(error, match=message):
            gx.FlatSegments(**good | change)

    def test_what_flat_sources_lack(self):
        found, truth = generated()
        with pytest.raises(ValueError, match="predictions have no scores"):
            gx.detection_map(truth, truth)
        with pytest.raises(ValueError, match="flat ground truth has no subsets"):
            gx.detection_map(found, truth, subset="test")

    def test_matching(self):
        found, truth = generated()
        for thresholds in ([], [0.0], [[0.5]]):
            with pytest.raises(ValueError, match="iou_thresholds must be positive"):
                gx.match_detections(found, truth, thresholds)
        with pytest.raises(ValueError, match="detections have no scores"):
            gx.match_detections(truth, truth, [0.5])
        with pytest.raises(ValueError, match="protocol must be activitynet or thumos"):
            gx.match_detections(found, truth, [0.5], "coco")
        with pytest.raises(ValueError, match=r"class_ids must have shape \(3000,\), got \(1,\)"):
            gx.match_detections(found, truth, [0.5], class_ids=np.zeros(1, np.int32))
        with pytest.raises(ValueError, match=r"classes\[0\] must lie in \[-1, 7\), got -2"):
            gx.match_detections(found, truth, [0.5], class_ids=np.full(3000, -2, np.int32))

    def test_nothing_at_all(self):
        nothing = gx.FlatSegments([], [], [], [], ["v"], ["x"])
        matches = gx.match_detections(nothing, nothing, [0.5])
        assert matches.instances().shape == (0, 1)
        assert average_precision(matches, nothing).shape == (0, 1)
        assert repeated_detections(nothing).tolist() == []
        truth = gx.FlatSegments([[0, 1]], [0], [0], None, ["v"], ["x"])
        assert gx.detection_map(nothing, truth, bootstrap=3).average_map == 0.0
        with pytest.raises(ValueError, match="the ground truth has no annotation"):
            gx.detection_map(nothing, nothing)


def shuffled(flat: gx.FlatSegments, seed: int) -> gx.FlatSegments:
    order = np.random.default_rng(seed).permutation(len(flat))
    return gx.FlatSegments(
        flat.segments[order],
        flat.video_ids[order],
        flat.class_ids[order],
        None if flat.scores is None else flat.scores[order],
        flat.videos,
        flat.classes,
    )


def test_the_order_of_detections_does_not_matter_without_ties():
    found, truth = generated()
    expected = gx.detection_map(found, truth)
    assert len(np.unique(found.scores)) == len(found)
    m = gx.detection_map(shuffled(found, 1), shuffled(truth, 2))
    assert np.array_equal(m.per_class, expected.per_class)


@pytest.mark.real_data
class TestRealData:
    @pytest.mark.parametrize(
        "name", ["proposals_weak_test", "detections_supervised_a", "detections_supervised_b"]
    )
    @pytest.mark.parametrize("protocol", ["activitynet", "thumos"])
    def test_against_the_reference(self, data_root, name, protocol):
        folder = data_root / "thumos14"
        found = load_predictions(folder / f"{name}.json.gz")
        truth = load_ground_truth(folder / "gt.json", "test")
        known = {video: entry for video, entry in found.items() if video in truth}
        thresholds = gx.threshold_range(0.1, 0.1, 0.7, protocol)
        m = gx.detection_map(folder / f"{name}.json.gz", {"database": truth}, thresholds, protocol)
        expected = reference_map(known, truth, thresholds, protocol)
        np.testing.assert_allclose(m.per_class, expected, rtol=0, atol=1e-10)
