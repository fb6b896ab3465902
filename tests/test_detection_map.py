"""gx.detection_map on cases worked out by hand, on real data, and on input that is none."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

import gaufuse_ext as gx
from gaufuse_ext.annotations import load_ground_truth, load_predictions

PROTOCOLS = ("activitynet", "thumos")
SNIPPET = 16 / 25  # seconds


def truth(**videos) -> dict:
    """video=[(start, end, label), ...] in snippets."""
    return {
        "database": {
            video: {
                "subset": "test",
                "annotations": [
                    {"segment": [a * SNIPPET, b * SNIPPET], "label": label}
                    for a, b, label in entries
                ],
            }
            for video, entries in videos.items()
        }
    }


def found(**videos) -> dict:
    """video=[(start, end, label, score), ...] in snippets; a little past them, as truncation of
    what should be a whole number must not decide."""
    return {
        "results": {
            video: [
                {
                    "segment": [a * SNIPPET + 1e-9, b * SNIPPET + 1e-9],
                    "label": label,
                    "score": score,
                }
                for a, b, label, score in entries
            ]
            for video, entries in videos.items()
        }
    }


def mean_precision(predictions, annotations, protocol, thresholds=(0.5,), **options):
    return gx.detection_map(predictions, annotations, thresholds, protocol, **options).map.tolist()


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestByHand:
    def test_all_found(self, protocol):
        a = truth(v=[(0, 10, "x"), (20, 30, "x")], w=[(5, 9, "y")])
        p = found(v=[(0, 10, "x", 0.9), (20, 30, "x", 0.1)], w=[(5, 9, "y", 0.5)])
        assert mean_precision(p, a, protocol, (0.1, 0.5, 0.99)) == [100.0, 100.0, 100.0]

    def test_hit_miss_hit(self, protocol):
        """Precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1: 1/2 * 1 + 1/2 * 2/3."""
        a = truth(v=[(0, 10, "x"), (20, 30, "x")])
        p = found(v=[(0, 10, "x", 0.9), (50, 60, "x", 0.8), (20, 30, "x", 0.7)])
        assert mean_precision(p, a, protocol) == pytest.approx([100 * 5 / 6])

    def test_the_envelope_is_monotone(self, protocol):
        """Miss, hit, hit: precisions 0, 1/2, 2/3; the envelope lifts all to 2/3."""
        a = truth(v=[(0, 10, "x"), (20, 30, "x")])
        p = found(v=[(50, 60, "x", 0.9), (0, 10, "x", 0.8), (20, 30, "x", 0.7)])
        assert mean_precision(p, a, protocol) == pytest.approx([100 * 2 / 3])

    def test_an_instance_counts_once(self, protocol):
        """A duplicate is a false positive: precisions 1, 1/2, 2/3."""
        a = truth(v=[(0, 10, "x"), (20, 30, "x")])
        p = found(v=[(0, 10, "x", 0.9), (0, 10, "x", 0.8), (20, 30, "x", 0.7)])
        assert mean_precision(p, a, protocol) == pytest.approx([100 * 5 / 6])

    def test_the_next_best_instance_if_the_best_is_taken(self, protocol):
        """Both predictions prefer the first instance (IoU 1 and 0.8); the second still reaches the
        second (IoU 0.5)."""
        a = truth(v=[(0, 10, "x"), (2, 8, "x")])
        p = found(v=[(0, 10, "x", 0.9), (0, 8, "x", 0.8)])
        assert mean_precision(p, a, protocol, (0.5, 0.76)) == pytest.approx([100.0, 50.0])

    def test_the_best_instance_that_is_free(self, protocol):
        """The first prediction takes the better instance, though the worse comes first."""
        a = truth(v=[(0, 10, "x"), (2, 10, "x")])
        p = found(v=[(3, 10, "x", 0.9), (0, 10, "x", 0.8)])
        assert mean_precision(p, a, protocol, (0.9,)) == pytest.approx([25.0])
        assert mean_precision(p, a, protocol, (0.7,)) == pytest.approx([100.0])

    def test_the_ranking_is_over_all_videos(self, protocol):
        """Miss in v before the hit in w: precision 1/2 at recall 1."""
        a = truth(w=[(0, 10, "x")], v=[(0, 10, "y")])
        p = found(w=[(0, 10, "x", 0.4)], v=[(0, 10, "x", 0.6), (0, 10, "y", 0.1)])
        m = gx.detection_map(p, a, (0.5,), protocol)
        assert m.classes == ["x", "y"]
        assert m.per_class.tolist() == [[50.0], [100.0]]
        assert m.map.tolist() == [75.0]

    def test_a_class_without_predictions_has_precision_zero(self, protocol):
        a = truth(v=[(0, 10, "x"), (20, 30, "y")])
        p = found(v=[(0, 10, "x", 0.9)])
        m = gx.detection_map(p, a, (0.3, 0.5), protocol)
        assert m.per_class.tolist() == [[100.0, 100.0], [0.0, 0.0]]
        assert m.average_map == 50.0

    def test_predictions_of_a_class_without_annotations_do_not_count(self, protocol):
        a = truth(v=[(0, 10, "x")])
        p = found(v=[(0, 10, "z", 0.95), (0, 10, "x", 0.9)])
        assert mean_precision(p, a, protocol) == [100.0]

    def test_predictions_of_unknown_videos_are_counted_and_left_out(self, protocol):
        a = truth(v=[(0, 10, "x")])
        p = found(u=[(0, 10, "x", 0.99)], v=[(0, 10, "x", 0.9)])
        m = gx.detection_map(p, a, (0.5,), protocol)
        assert m.map.tolist() == [100.0]
        assert m.ignored_videos == 1

    def test_intervals_without_length(self, protocol):
        """Two empty intervals at one place have IoU 0, and nothing divides by zero."""
        a = truth(v=[(5, 5, "x"), (20, 30, "x")])
        p = found(v=[(5, 5, "x", 0.9), (20, 30, "x", 0.8)])
        p["results"]["v"][0]["segment"] = a["database"]["v"]["annotations"][0]["segment"]
        with np.errstate(all="raise"):
            assert mean_precision(p, a, protocol) == pytest.approx([25.0])

    def test_no_prediction(self, protocol):
        a = truth(v=[(0, 10, "x")])
        for p in ({}, {"results": {}}, {"results": {"v": []}}):
            assert mean_precision(p, a, protocol) == [0.0]

    def test_a_match_at_the_threshold_itself_counts(self, protocol):
        a = {"v": {"annotations": [{"segment": [0, 16], "label": "x"}]}}  # 25 snippets
        p = {"v": [{"segment": [0, 8], "label": "x", "score": 1}]}  # 12.5: truncated to 12
        at_half = 100.0 if protocol == "activitynet" else 0.0
        assert mean_precision(p, a, protocol, (0.48, 0.5)) == [100.0, at_half]


def test_thumos_counts_in_snippets():
    """Ground truth is rounded to snippets and predictions are truncated, so that 0.99 of a snippet
    too little on both sides costs nothing on the left and a snippet on the right."""
    a = truth(v=[(9.6, 20.4, "x")])  # 10 .. 20
    p = found(v=[(10.99, 20.99, "x", 1.0)])  # 10 .. 20
    assert mean_precision(p, a, "thumos", (1.0,)) == [100.0]
    assert mean_precision(p, a, "activitynet", (0.9,)) == [0.0]


def test_predictions_on_ambiguous_intervals_are_dropped(tmp_path):
    a = truth(v=[(0, 10, "x")], w=[(0, 10, "x")])
    p = found(v=[(20, 30, "x", 0.9), (40, 50, "x", 0.8), (0, 10, "x", 0.7)], w=[(0, 10, "x", 0.6)])
    path = tmp_path / "Ambiguous_test.txt"
    path.write_text(f"v  {29 * SNIPPET:.2f} {45 * SNIPPET:.2f}\n\nu  0.0 99.0\n")
    # Without the list: misses at ranks 1 and 2, precision 1/2 at the end.
    assert mean_precision(p, a, "thumos") == pytest.approx([50.0])
    assert mean_precision(p, a, "thumos", ambiguous=path) == pytest.approx([100.0])
    with pytest.raises(ValueError, match="ambiguous intervals belong to the thumos protocol"):
        mean_precision(p, a, "activitynet", ambiguous=path)
    path.write_text("\ufeff" + path.read_text(), encoding="utf-8")
    assert mean_precision(p, a, "thumos", ambiguous=path) == pytest.approx([100.0])
    for line in ("v  1.0 end", "v 3.0 1.0", "v nan 2.0", "v 1.0", "v w 1.0 2.0"):
        path.write_text(f"v  1.0 2.0\n{line}\n")
        message = r"Ambiguous_test.txt, line 2: expected 'video start end', got 'v"
        with pytest.raises(ValueError, match=message):
            mean_precision(p, a, "thumos", ambiguous=path)
    path.write_text("v_v 1.0 2.0\n")
    with pytest.raises(ValueError, match="is in the ground truth: it has 'v_v', the ground truth"):
        mean_precision(p, a, "thumos", ambiguous=path)
    with pytest.raises(FileNotFoundError, match=r"none.txt does not exist"):
        mean_precision(p, a, "thumos", ambiguous=tmp_path / "none.txt")


def test_subset():
    a = truth(v=[(0, 10, "x")], w=[(0, 10, "y")])
    a["database"]["w"]["subset"] = "validation"
    p = found(v=[(0, 10, "x", 0.9)], w=[(50, 60, "y", 0.9)])
    assert mean_precision(p, a, "activitynet") == [50.0]
    m = gx.detection_map(p, a, (0.5,), subset="TEST")
    assert m.map.tolist() == [100.0]
    assert m.ignored_videos == 1
    message = "no video of subset 'training'; it has test, validation"
    with pytest.raises(ValueError, match=message):
        gx.detection_map(p, a, subset="training")
    with pytest.raises(TypeError, match="subset must be a name, got 3"):
        gx.detection_map(p, a, subset=3)


@pytest.mark.parametrize(
    "thresholds", [[], [0.0], [1.1], [-0.5], [float("nan")], [[0.5]], "a", None]
)
def test_bad_thresholds(thresholds):
    with pytest.raises(ValueError, match=r"^iou_thresholds must lie in \(0, 1\], got"):
        gx.detection_map({}, truth(v=[(0, 1, "x")]), thresholds)


def test_bad_protocol():
    with pytest.raises(ValueError, match="protocol must be activitynet or thumos, got 'coco'"):
        gx.detection_map({}, truth(v=[(0, 1, "x")]), protocol="coco")


def test_ground_truth_without_annotations():
    with pytest.raises(ValueError, match="the ground truth has no annotation"):
        gx.detection_map({}, truth(v=[]))


class TestFiles:
    """Predictions from disk: read whatever the name says, refused with the place of the fault."""

    ENTRY = '{"v": [{"segment": [0.5, "2.25"], "label": "x", "score": "0.75"}]}'

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("name", ["p.json", "p.json.gz"])
    @pytest.mark.parametrize("outer", [ENTRY, f'{{"version": "1", "results": {ENTRY}}}'])
    def test_strings_as_numbers_plain_or_gzip(self, tmp_path, packed, name, outer):
        data = outer.encode()
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if packed else data)
        video = load_predictions(path)["v"]
        assert video.segments.tolist() == [[0.5, 2.25]]
        assert video.scores.tolist() == [0.75]
        assert video.labels == ["x"]
        assert load_predictions(str(path)).keys() == {"v"}

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "is not readable JSON"),
            (b'{"results": {', "is not readable JSON"),
            (b"\xff\xfe\xfd", "is not readable JSON"),
            (b"\x00" * 64, "is not readable JSON"),
            (gzip.compress(b"{}" * 1000, mtime=0)[:-9], "is not readable JSON"),
            (gzip.compress(b'{"v": []}', mtime=0)[:-6] + b"\0" * 6, "is not readable JSON"),
            (b"\x1f\x8bnot gzip after all", "is not readable JSON"),
            (b"[" * 100_000, "is not readable JSON"),
            (b'{"v": [' + b"9" * 5000 + b"]}", "is not readable JSON"),
            (b"[]", 'must be an object with "results"'),
            (b"3", 'must be an object with "results"'),
            (b'{"results": []}', 'must be an object with "results"'),
        ],
    )
    def test_no_json(self, tmp_path, data, message):
        path = tmp_path / "p.json"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"p\.json {message}"):
            load_predictions(path)

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            ('{"segment": [0, 1]}', "must hold a list of segments"),
            ("[3]", 'entry 0 needs "segment" and "label"'),
            ('[{"segment": [0, 1]}]', 'entry 0 needs "segment" and "label"'),
            ('[{"segment": [0], "label": "x"}]', r"entry 0: segment must be \[start, end\]"),
            ('[{"segment": "01", "label": "x"}]', r"entry 0: segment must be \[start, end\]"),
            ('[{"segment": [3, 1], "label": "x", "score": 1}]', r"ends before it starts: \[3.0, 1"),
            ('[{"segment": [0, 1], "label": "x"}]', 'entry 0 has no "score"'),
            *(
                (f'[{{"segment": [0, 1], "label": "x", "score": {score}}}]', message)
                for score, message in [
                    ("NaN", "entry 0: score must be a finite number, got nan"),
                    ('"nan"', "entry 0: score must be a finite number, got 'nan'"),
                    ("-Infinity", "entry 0: score must be a finite number, got -inf"),
                    ("1e999", "entry 0: score must be a finite number, got inf"),
                    ("9" * 400, "entry 0: score must be a finite number, got 999"),
                    ('"high"', "entry 0: score must be a finite number, got 'high'"),
                    ("null", "entry 0: score must be a finite number, got None"),
                    ("[1]", r"entry 0: score must be a finite number, got \[1\]"),
                ]
            ),
            (
                '[{"segment": [NaN, 1], "label": "x", "score": 1}]',
                "segment must be a finite number",
            ),
        ],
    )
    def test_malformed_entries(self, tmp_path, entries, message):
        path = tmp_path / "p.json"
        path.write_text(f'{{"results": {{"v_1": {entries}}}}}')
        with pytest.raises(ValueError, match=rf"p\.json: video 'v_1'.*{message}"):
            load_predictions(path)

    def test_the_entry_is_named(self):
        good = {"segment": [0, 1], "label": "x", "score": 1}
        with pytest.raises(ValueError, match="predictions: video 'v', entry 2: score must be"):
            load_predictions({"v": [good, good, {**good, "score": float("nan")}]})

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ([], 'must be an object with a list "annotations"'),
            ({"annotations": {}}, 'must be an object with a list "annotations"'),
            ({"annotations": [{"segment": [0, 1]}]}, 'entry 0 needs "segment" and "label"'),
            ({"annotations": [], "duration": "long"}, "duration must be a finite number"),
        ],
    )
    def test_malformed_ground_truth(self, entry, message):
        with pytest.raises(ValueError, match=f"ground truth: video 'v'.*{message}"):
            load_ground_truth({"database": {"v": entry}})

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ('{"results": {"v": [], "w": [], "v": []}}', "v"),
            ('{"v": [], "v": []}', "v"),
            ('{"results": {}, "results": {"v": []}}', "results"),
            ('{"v": [{"segment": [0, 1], "label": "x", "score": 1, "score": 2}]}', "score"),
        ],
    )
    def test_a_key_twice(self, tmp_path, text, key):
        path = tmp_path / "p.json"
        path.write_text(text)
        message = rf"p\.json is not readable JSON \(key '{key}' occurs 2 times in one object\)"
        with pytest.raises(ValueError, match=message):
            load_predictions(path)
        with pytest.raises(ValueError, match=message):
            load_ground_truth(path)

    def test_missing_files(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
            load_predictions(tmp_path / "none.json")
        with pytest.raises(ValueError, match="is a folder, not a JSON file"):
            load_predictions(tmp_path)

    @pytest.mark.parametrize("source", [None, 3, []])
    def test_no_source_at_all(self, source):
        with pytest.raises(TypeError, match="predictions must be a path or parsed JSON, got"):
            load_predictions(source)
        with pytest.raises(TypeError, match="ground truth must be a path or parsed JSON, got"):
            load_ground_truth(source)

    def test_files_and_parsed_json_give_the_same(self, tmp_path):
        a = truth(v=[(0, 10, "x"), (20, 30, "x")])
        p = found(v=[(0, 9, "x", 0.9), (50, 60, "x", 0.8), (20, 30, "x", 0.7)])
        paths = tmp_path / "p.json", tmp_path / "a.json"
        for path, data in zip(paths, (p, a), strict=True):
            path.write_text(json.dumps(data))
        expected = gx.detection_map(p, a)
        assert 0 < expected.average_map < 100
        assert np.array_equal(gx.detection_map(*paths).per_class, expected.per_class)


@pytest.mark.real_data
class TestRealData:
    """Reference numbers measured with other code."""

    def test_weak_proposals_activitynet_protocol(self, data_root):
        folder = data_root / "thumos14"
        m = gx.detection_map(
            folder / "proposals_weak_test.json.gz", folder / "gt.json", subset="test"
        )
        expected = [69.68, 63.74, 54.63, 44.89, 34.10, 23.39, 12.47]
        assert len(m.classes) == 20
        assert m.map.tolist() == pytest.approx(expected, abs=0.005)
        assert m.average_map == pytest.approx(43.27, abs=0.005)

    def test_videos_without_ground_truth_count_as_in_the_official_evaluation(self, data_root):
        """2 of 212 videos: measured with ANETdetection, equal but for the order of equal scores."""
        folder = data_root / "thumos14"
        m = gx.detection_map(
            folder / "proposals_weak_test.json.gz",
            folder / "gt.json",
            subset="test",
            unknown_videos="count",
        )
        expected = [69.09, 63.13, 54.24, 44.59, 33.94, 23.28, 12.47]
        assert m.map.tolist() == pytest.approx(expected, abs=0.01)
        assert m.counted_videos == 2

    def test_weak_proposals_thumos_protocol(self, data_root):
        wtalc = pytest.importorskip("gaufuse.data.wtalc_annotations")
        folder = data_root / "thumos14"
        annotations = folder / "Thumos14reduced-Annotations"
        m = gx.detection_map(
            folder / "proposals_weak_test.json.gz",
            wtalc.load_wtalc_annotations(annotations),
            protocol="thumos",
            subset="test",
            ambiguous=annotations / "Ambiguous_test.txt",
        )
        expected = [67.92, 62.92, 53.39, 45.47, 37.23, 24.45, 11.87]
        assert m.map.tolist() == pytest.approx(expected, abs=0.005)
        assert m.average_map == pytest.approx(43.32, abs=0.005)

    @pytest.mark.parametrize(("name", "average"), [("a", 68.94), ("b", 71.31)])
    def test_supervised_detections(self, data_root, name, average):
        folder = data_root / "thumos14"
        path = folder / f"detections_supervised_{name}.json.gz"
        m = gx.detection_map(path, folder / "gt.json", subset="test")
        assert m.average_map == pytest.approx(average, abs=0.005)
