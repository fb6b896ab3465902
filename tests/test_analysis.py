"""`gaufuse analyse`: errors by hand, what they cost by evaluating without them, invariants."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse.analysis.analyse import analyse, analyse_two
from gaufuse.analysis.calibration import calibration
from gaufuse.analysis.comparison import compare, resampled_shares
from gaufuse.analysis.confusion_matrix import confusion_matrix
from gaufuse.analysis.error_gains import error_gains
from gaufuse.analysis.error_types import ERRORS, KINDS, error_types, profile, shares
from gaufuse.analysis.instance_groups import characteristics, normalised_precision
from gaufuse.analysis.matched_detections import match, nearest_instances
from gaufuse.analysis.tables import tables
from gaufuse.cli.main import main
from gaufuse.localization.pooled_detections import select
from gaufuse_ext.annotations import Segments, VideoAnnotation
from gaufuse_ext.flat_segments import FlatSegments
from gaufuse_ext.reference.segment_iou import segment_iou


def truth_of(*rows: tuple, duration: float | None = 100.0) -> dict[str, VideoAnnotation]:
    """Rows (video, label, start, end)."""
    table: dict[str, list] = {}
    for video, label, start, end in rows:
        table.setdefault(video, []).append((label, [float(start), float(end)]))
    return {
        video: VideoAnnotation(
            np.array([segment for _, segment in own]),
            [label for label, _ in own],
            np.ones(len(own)),
            "test",
            duration,
        )
        for video, own in table.items()
    }


def found_of(*rows: tuple) -> FlatSegments:
    """Rows (video, label, start, end, score)."""
    table: dict[str, list] = {}
    for video, *rest in rows:
        table.setdefault(video, []).append(rest)
    return FlatSegments.from_videos(
        {
            video: Segments(
                np.array([[float(a), float(b)] for _, a, b, _ in own]),
                [label for label, *_ in own],
                np.array([float(score) for *_, score in own]),
            )
            for video, own in table.items()
        }
    )


HALF = np.array([0.5])
TRUTH = truth_of(("v", "a", 0, 10), ("v", "b", 20, 30))
EACH = [
    ("v", "a", 0, 10, 0.9),  # true positive
    ("v", "a", 0, 9, 0.8),  # double detection
    ("v", "a", 20, 30, 0.7),  # wrong label
    ("v", "a", 0, 3, 0.6),  # localization: tIoU 0.3
    ("v", "a", 20, 23, 0.5),  # confusion: tIoU 0.3 with b
    ("v", "a", 50, 60, 0.4),  # background
]


def test_each_kind_by_hand():
    matched = match(found_of(*EACH), TRUTH, HALF)
    assert error_types(matched).tolist() == [0, 1, 2, 3, 4, 5]
    # At 0.25 what was 0.3 is enough: another double, and another wrong label.
    assert error_types(matched.at(0.25)).tolist() == [0, 1, 2, 1, 2, 5]
    counts = profile(matched, error_types(matched), most=3)
    assert counts.tolist() == [[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]]


def test_own_class_goes_before_others():
    """Near an instance of its own class and one of another: not its label is what is wrong."""
    truth = truth_of(("v", "a", 0, 10), ("v", "b", 0, 10))
    found = found_of(("v", "a", 0, 10, 0.9), ("v", "a", 0, 10, 0.8), ("v", "a", 0, 2, 0.7))
    assert error_types(match(found, truth, HALF)).tolist() == [0, 1, 3]


def test_a_wrong_label_at_the_right_place_is_one_though_its_class_is_near():
    truth = truth_of(("v", "a", 0, 10), ("v", "b", 8, 20))
    found = found_of(("v", "a", 8, 20, 0.9))
    matched = match(found, truth, HALF)
    assert matched.same.iou[0] == pytest.approx(0.1)
    assert error_types(matched).tolist() == [2]


def test_the_edge_of_background():
    truth = truth_of(("v", "a", 0, 10), ("v", "b", 50, 60))
    found = found_of(("v", "a", 0, 1, 0.9), ("v", "a", 0, 0.99, 0.8))  # tIoU 0.1 and less
    assert error_types(match(found, truth, HALF)).tolist() == [3, 5]


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    classes = draw(st.integers(1, 3))
    truth_rows, found_rows = [], []
    for v in range(draw(st.integers(1, 4))):
        for _ in range(rng.integers(1, 5)):
            start = rng.integers(0, 30)
            label = f"c{rng.integers(classes)}"
            truth_rows.append((f"v{v}", label, start, start + rng.integers(1, 12)))
        for _ in range(rng.integers(0, 12)):
            start = rng.integers(0, 30)
            label = f"c{rng.integers(classes)}"
            end = start + rng.integers(1, 12)
            found_rows.append((f"v{v}", label, start, end, rng.integers(1, 10) / 10))
    known = {label for _, label, *_ in truth_rows}
    found_rows = [row for row in found_rows if row[1] in known]
    if not found_rows:  # nothing in common is an error
        video, label, start, end = truth_rows[0]
        found_rows = [(video, label, start, end, 0.5)]
    return found_of(*found_rows), truth_of(*truth_rows)


def average_map(found: FlatSegments, truth, thresholds, classes=()) -> float:
    if not len(found):
        return 0.0
    return gx.detection_map(found, {"database": truth}, thresholds, classes=classes).average_map


@given(cases(), st.sampled_from([0.3, 0.5, 0.7]))
@settings(max_examples=60)
def test_gains_are_evaluations_without_the_errors(case, threshold):
    found, truth = case
    matched = match(found, truth, np.array([threshold]))
    kinds = error_types(matched)
    gains = error_gains(matched)
    flat, every = matched.detections, matched.instances.classes
    base = average_map(flat, truth, [threshold])
    assert gains.average_map == pytest.approx(base)
    for kind, name in enumerate(ERRORS, start=1):
        without = average_map(select(flat, kinds != kind), truth, [threshold])
        assert gains.removed[name] == pytest.approx(without - base), name
    only_right = average_map(select(flat, kinds == 0), truth, [threshold])
    assert gains.removed["all false positives"] == pytest.approx(only_right - base)
    hit = matched.matches.found_by[:, 0] >= 0
    if hit.any():
        assert gains.removed["everything"] == pytest.approx(100.0 - base)
        named = select(matched.instances, hit).to_videos()
        left = {v: VideoAnnotation(e.segments, e.labels, e.scores) for v, e in named.items()}
        expected = average_map(flat, left, [threshold], every)
        assert gains.removed["misses"] == pytest.approx(expected - base)


def test_corrected_by_hand():
    """Class b: nothing found but a wrong label (0.7, beside a better one of class b on background)
    and a wrong place, so that its AP goes from 0 to 1/2 by either correction."""
    truth = truth_of(("v", "a", 0, 10), ("v", "b", 20, 30))
    found = found_of(
        ("v", "a", 0, 10, 0.9),
        ("v", "a", 20, 30, 0.7),
        ("v", "a", 20, 29, 0.6),  # the same mistake again: removed
        ("v", "b", 50, 60, 0.8),
        ("v", "b", 20, 23, 0.5),
    )
    gains = error_gains(match(found, truth, HALF))
    assert gains.average_map == pytest.approx(50.0)  # class a 1, class b 0
    assert gains.corrected["wrong label"] == pytest.approx(25.0)
    assert gains.corrected["localization"] == pytest.approx(25.0)
    # Removing them moves nothing of class a, whose only instance comes first.
    assert gains.removed["wrong label"] == pytest.approx(0.0)


def test_nearest_instances_are_the_pairwise_ones():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 50, 60)
    detections = FlatSegments(
        np.stack([starts, starts + rng.uniform(0, 20, 60)], 1),
        rng.integers(0, 3, 60), rng.integers(0, 2, 60), rng.uniform(size=60),
        ["u", "v", "w"], ["a", "b"],
    )  # fmt: skip
    starts = rng.uniform(0, 50, 20)
    instances = FlatSegments(
        np.stack([starts, starts + rng.uniform(0, 20, 20)], 1),
        rng.integers(0, 3, 20), rng.integers(0, 2, 20), None, ["u", "v", "w"], ["a", "b"],
    )  # fmt: skip
    iou = segment_iou(detections.segments, instances.segments)
    in_video = detections.video_ids[:, None] == instances.video_ids
    of_class = detections.class_ids[:, None] == instances.class_ids
    same, other = nearest_instances(detections, instances)
    for nearest, mask in ((same, of_class), (other, ~of_class)):
        values = np.where(in_video & mask, iou, 0.0)
        np.testing.assert_array_equal(nearest.iou, values.max(1))
        hit = nearest.iou > 0
        assert (nearest.instance[hit] == values.argmax(1)[hit]).all()
        assert (nearest.instance[~hit] == -1).all()


def test_the_thumos_protocol_by_hand():
    """Snippets of 0.64 s, rounded of instances and truncated of detections: [1, 6.4] is [2, 10],
    [0.7, 6.9] is [1, 10]; [32, 38.4] is [50, 60], [32.5, 38.3] is [50, 59]."""
    truth = truth_of(("v", "a", 1.0, 6.4), ("v", "b", 32.0, 38.4), ("v", "c", 60.0, 64.0))
    found = found_of(("v", "a", 0.7, 6.9, 0.9), ("v", "c", 32.5, 38.3, 0.8))
    seconds, snippets = (match(found, truth, HALF, p) for p in ("activitynet", "thumos"))
    assert (seconds.same.iou[0], seconds.other.iou[1]) == pytest.approx((5.4 / 6.2, 5.8 / 6.4))
    assert (snippets.same.iou[0], snippets.other.iou[1]) == (8 / 9, 9 / 10)
    assert error_types(seconds.at(0.88)).tolist() == [3, 2]
    assert error_types(snippets.at(0.88)).tolist() == [0, 2]
    assert error_types(seconds.at(0.905)).tolist() == [3, 2]
    assert error_types(snippets.at(0.905)).tolist() == [3, 4]
    missed = [0, 0, 0, 1]
    taken = confusion_matrix(seconds.at(0.905)).tolist()
    assert taken == [missed, [0, 0, 1, 0], missed, [1, 0, 0, 0]]
    apart = confusion_matrix(snippets.at(0.905)).tolist()
    assert apart == [missed, missed, missed, [1, 0, 1, 0]]


@given(cases(), st.sampled_from([0.3, 0.5]), st.sampled_from(["activitynet", "thumos"]))
@settings(max_examples=30)
def test_the_map_of_an_analysis_is_that_of_the_evaluation(case, threshold, protocol):
    found, truth = case
    result = analyse(found, truth, [threshold], threshold, protocol=protocol)
    plain = gx.detection_map(found, {"database": truth}, [threshold], protocol)
    assert result.average_map == pytest.approx(plain.average_map)
    assert result.settings.protocol == protocol
    removed = result.gains.removed
    if result.missed < 100.0:
        assert removed["everything"] == pytest.approx(100.0 - plain.average_map)


@given(cases())
@settings(max_examples=40)
def test_shares_and_confusions_add_up(case):
    found, truth = case
    result = analyse(found, truth, [0.3, 0.5])
    own = result.shares()
    filled = np.array(result.profile).sum(1) > 0
    np.testing.assert_allclose(own.sum(1)[filled], 1.0)
    assert (np.diff(np.array(result.profile), axis=0) >= 0).all()
    matrix = np.array(result.confusion)
    counts = dict.fromkeys(result.classes, 0)
    for entry in truth.values():
        for label in entry.labels:
            counts[label] += 1
    assert matrix[:-1].sum(1).tolist() == list(counts.values())
    assert matrix[:, :-1].sum() == sum(result.profile[0])
    assert np.trace(matrix[:-1, :-1]) == result.profile[0][0]
    for characteristic in result.characteristics:
        assert sum(g.instances for g in characteristic.groups) == result.instances
        missed = sum(g.missed * g.instances for g in characteristic.groups if g.instances)
        assert missed / result.instances == pytest.approx(result.missed)
    json.dumps(result.to_dict(), allow_nan=False)
    assert list(tables(result))


def test_confusions_by_hand():
    truth = truth_of(("v", "a", 0, 10), ("v", "b", 20, 30), ("v", "b", 40, 50), ("v", "c", 60, 70))
    found = found_of(
        ("v", "a", 20, 30, 0.9),  # takes the first b
        ("v", "b", 21, 30, 0.8),  # finds it all the same: its own class goes first
        ("v", "b", 0, 9, 0.7),  # takes the a
        ("v", "c", 80, 90, 0.6),  # nothing there
    )
    matrix = confusion_matrix(match(found, truth, HALF))
    assert matrix.tolist() == [
        [0, 1, 0, 0],  # a: detected as b
        [0, 1, 0, 1],  # b: one found, one missed
        [0, 0, 0, 1],  # c: missed
        [1, 0, 1, 0],  # nothing: an a (its b was taken) and a c
    ]


def literal_normalised_precision(matched, group_of, groups):
    """Instance by instance."""
    usual = len(matched.instances) / matched.num_classes
    out = []
    for g in range(groups):
        at = []
        for column in range(len(matched.thresholds)):
            found = matched.matches.instances()[:, column]
            by_class = []
            for c in range(matched.num_classes):
                total = int(((group_of == g) & (matched.instances.class_ids == c)).sum())
                if not total:
                    continue
                rows = np.flatnonzero(matched.detections.class_ids == c)
                rows = rows[np.argsort(-matched.detections.scores[rows], kind="stable")]
                wrong, points = 0, []
                for row in rows:
                    if found[row] < 0:
                        wrong += 1
                    elif group_of[found[row]] == g:
                        recall = (len(points) + 1) / total
                        points.append(recall * usual / (recall * usual + wrong))
                by_class.append(sum(max(points[i:]) for i in range(len(points))) / total)
            at.append(np.mean(by_class) if by_class else 0.0)
        out.append(np.mean(at))
    return np.array(out)


@given(cases())
@settings(max_examples=40)
def test_normalised_precision_is_the_literal_one(case):
    found, truth = case
    matched = match(found, truth, np.array([0.3, 0.6]))
    group_of = np.arange(len(matched.instances)) % 3
    group_of[0] = -1  # of no group: ignored like those of other groups
    np.testing.assert_allclose(
        normalised_precision(matched, group_of, 3),
        literal_normalised_precision(matched, group_of, 3),
        atol=1e-12,
    )


@given(cases())
@settings(max_examples=20)
def test_one_group_of_one_class_has_the_plain_average_precision(case):
    found, truth = case
    found = found.with_classes(["x"] * len(found.classes))
    truth = {v: replace(e, labels=["x"] * len(e.labels)) for v, e in truth.items()}
    matched = match(found, truth, np.array([0.3, 0.6]))
    everything = np.zeros(len(matched.instances), dtype=int)
    plain = gx.detection_map(found, {"database": truth}, [0.3, 0.6]).average_map
    assert 100.0 * normalised_precision(matched, everything, 1)[0] == pytest.approx(plain)


def test_groups_of_instances():
    truth = truth_of(*(("v", "a", 10 * i, 10 * i + 1 + i) for i in range(4)))
    truth |= truth_of(("w", "a", 0, 8), duration=None)
    found = found_of(("v", "a", 0, 1, 0.9))
    matched = match(found, truth, HALF)
    missed = matched.matches.found_by[:, 0] < 0
    length, coverage, number = characteristics(
        matched, truth, missed, {"length": [1.0, 3.0], "number": [1.0]}
    )
    assert [(g.low, g.high, g.instances, g.missed) for g in length.groups] == [
        (0.0, 1.0, 1, 0.0),
        (1.0, 3.0, 2, 100.0),
        (3.0, 8.0, 2, 100.0),
    ]
    assert coverage.unknown == 1
    assert sum(g.instances for g in coverage.groups) == 4
    assert [(g.high, g.instances) for g in number.groups] == [(1.0, 1), (4.0, 4)]


def test_calibration_by_hand():
    scores = np.array([0.05, 0.05, 0.15, 0.95, 1.0, 0.1])
    right = np.array([False, True, False, True, True, False])
    result = calibration(scores, right)
    first, second, last = result.bins[0], result.bins[1], result.bins[-1]
    assert (first.detections, second.detections, last.detections) == (3, 1, 2)
    assert first.score == pytest.approx(0.2 / 3)
    assert first.precision == pytest.approx(1 / 3)
    expected = (3 * abs(1 / 3 - 0.2 / 3) + 0.15 + 2 * 0.025) / 6
    assert result.error == pytest.approx(expected)
    assert calibration(np.array([1.5]), np.array([True])) is None
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=50_000)
    assert calibration(scores, rng.uniform(size=50_000) < scores).error < 0.01


@given(cases(), st.integers(0, 100))
@settings(max_examples=25)
def test_resampled_videos_are_videos_written_down_so_often(case, seed):
    found, truth = case
    # Among equal scores the copies of a video would not follow each other.
    found = replace(found, scores=np.random.default_rng(seed).permutation(len(found)) / 100)
    matched = match(found, truth, HALF)
    kinds = error_types(matched)
    weights = np.random.default_rng(seed).integers(0, 3, (len(truth), 1)).astype(np.int32)
    copies = {
        f"{video} {copy}": entry
        for (video, entry), times in zip(truth.items(), weights[:, 0], strict=True)
        for copy in range(times)
    }
    by_video = found.to_videos()
    again = {name: by_video[name.split()[0]] for name in copies if name.split()[0] in by_video}
    classes = {label for entry in copies.values() for label in entry.labels}
    if not any(label in classes for entry in again.values() for label in entry.labels):
        return  # nothing in common is an error
    written = match(FlatSegments.from_videos(again), copies, HALF)
    expected = shares(profile(written, error_types(written), 2))
    for k in (1, 2):
        own = resampled_shares(matched, kinds, weights, k)[0]
        assert own.sum() == pytest.approx(100.0)
        np.testing.assert_allclose(own, 100.0 * expected[k - 1], atol=1e-9)
    plain = gx.detection_map(FlatSegments.from_videos(again), {"database": copies}, HALF)
    assert matched.resampled_map(weights).average[0] == pytest.approx(plain.average_map)


def many_videos(seed: int, noise: float, videos: int = 30):
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for v in range(videos):
        for i in range(3):
            label, start = f"c{rng.integers(2)}", 30 * i + rng.uniform(0, 10)
            truth.append((f"v{v}", label, start, start + 10))
            moved = start + rng.normal() * noise
            found.append((f"v{v}", label, moved, moved + 10, rng.uniform()))
    return found_of(*found), truth_of(*truth)


def test_a_model_beside_itself_and_beside_a_better_one():
    bad, truth = many_videos(0, noise=6.0)
    good, _ = many_videos(0, noise=0.5)
    *_, same = analyse_two(bad, bad, truth, [0.5], resamples=200)
    for difference in (same.average_map, *same.shares.values()):
        assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)
    first, second, better = analyse_two(bad, good, truth, [0.5], resamples=200)
    gain = second.average_map - first.average_map
    assert better.average_map.value == pytest.approx(gain)
    assert 0.0 < better.average_map.low < gain < better.average_map.high
    assert better.shares["localization"].high < 0.0
    assert sum(x.value for x in better.shares.values()) == pytest.approx(0.0)
    own = 100.0 * (second.shares() - first.shares())[0]
    np.testing.assert_allclose([x.value for x in better.shares.values()], own)
    again = analyse_two(bad, good, truth, [0.5], resamples=200)[2]
    assert again == better
    with pytest.raises(ValueError, match="resamples"):
        analyse_two(bad, good, truth, [0.5], resamples=0)
    other = match(good, {"v0": truth["v0"]}, HALF)
    kinds = error_types(other)
    with pytest.raises(ValueError, match="same ground truth"):
        compare(match(bad, truth, HALF), other, kinds, kinds)


def test_bad_thresholds_are_named():
    with pytest.raises(ValueError, match=r"tiou must lie in \(0, 1\]"):
        analyse(found_of(*EACH), TRUTH, [0.5], tiou=0.0)
    with pytest.raises(ValueError, match=r"iou_thresholds must lie in \(0, 1\]"):
        analyse(found_of(*EACH), TRUTH, [])
    with pytest.raises(ValueError, match="no predicted video"):
        analyse(found_of(("w", "a", 0, 1, 0.5)), TRUTH, [0.5])


@pytest.fixture
def files(tmp_path):
    entries = [{"segment": [a, b], "label": c, "score": s} for _, c, a, b, s in EACH]
    (tmp_path / "p.json").write_text(json.dumps({"results": {"v": entries, "elsewhere": entries}}))
    entries = [{"segment": [0, 10], "label": "a"}, {"segment": [20, 30], "label": "b"}]
    hidden = {"subset": "train", "annotations": [{"segment": [0, 1], "label": "$x_$"}]}
    database = {"v": {"subset": "test", "duration": 60, "annotations": entries}, "t": hidden}
    (tmp_path / "gt.json").write_text(json.dumps({"database": database}))
    return tmp_path


def test_command(files, capsys):
    arguments = ["analyse", files / "p.json", files / "gt.json", files / "p.json"]
    arguments += ["--json", files / "out.json", "--resamples", "20", "--length-edges", "5"]
    assert main([str(x) for x in arguments]) == 0
    printed = capsys.readouterr().out
    assert "1 videos without ground truth" in printed
    for kind in KINDS:
        assert kind in printed
    value = json.loads((files / "out.json").read_text())
    one, two = value["models"]
    assert one == two
    assert one["file"] == "p.json"
    assert one["profile"][9] == [1] * 6
    assert one["videos"] == 1  # the subset that the predictions are of
    assert value["comparison"]["average_map"]["value"] == 0.0
    assert main(["analyse", str(files / "p.json"), str(files / "gt.json"), "--json", "-"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["models"][0]["instances"] == 2
    assert "true positive" in streams.err
    assert main([*map(str, arguments), "--protocol", "thumos"]) == 0
    one = json.loads((files / "out.json").read_text())["models"][0]
    assert one["settings"]["protocol"] == "thumos"
    assert main(["analyse", str(files / "p.json"), str(files / "gt.json"), "--tiou", "2"]) == 2
    assert "tiou" in capsys.readouterr().err


def test_figures(files, capsys):
    pytest.importorskip("matplotlib")
    arguments = ["analyse", files / "p.json", files / "gt.json", "--subset", "train", "--plot"]
    # A class whose name mathtext would not take; no video in common is an error before any figure.
    assert main([str(x) for x in [*arguments, files / "x.svg"]]) == 2
    table = json.loads((files / "gt.json").read_text())
    table["database"]["v"]["annotations"].append({"segment": [40, 41], "label": "$x_$ <b>"})
    (files / "gt.json").write_text(json.dumps(table))
    arguments[4] = "test"
    for name in ("x.svg", "x.png"):
        assert main([str(x) for x in [*arguments, files / name]]) == 0
    assert "$x_$ &lt;b&gt;" in (files / "x.svg").read_text()
    first = (files / "x.svg").read_bytes()
    assert main([str(x) for x in [*arguments, files / "x.svg"]]) == 0
    assert (files / "x.svg").read_bytes() == first
    assert main([str(x) for x in [*arguments, files / "x.gif"]]) == 2
    assert ".png, .svg, .pdf" in capsys.readouterr().err


@pytest.mark.real_data
def test_real_detections(data_root):
    thumos = data_root / "thumos14"
    truth = gx.annotations.load_ground_truth(thumos / "gt.json", "test")
    found = FlatSegments.from_videos(
        gx.annotations.load_predictions(thumos / "detections_supervised_a.json.gz")
    )
    result = analyse(found, truth, gx.threshold_range(0.1, 0.1, 0.7))
    assert result.average_map == pytest.approx(68.94, abs=0.005)
    assert result.gains.removed["everything"] == pytest.approx(100.0 - result.average_map)
    assert all(gain > -1e-9 for gain in result.gains.removed.values())
    assert sum(result.profile[0]) == result.instances == 3311
    assert result.characteristics[1].unknown == 3311  # gt.json has no durations
