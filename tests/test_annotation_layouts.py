"""Annotations of other layouts: Charades' lists of actions, entries that are none, and `convert
--clean`, which mends what is certain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import field_layouts as layouts
import gaufuse_ext as gx
from gaufuse.cli.main import main
from gaufuse.data.dataset import Dataset, load_dataset
from gaufuse.data.formats.clean import clean_annotation
from gaufuse_ext.annotations import VideoAnnotation, load_ground_truth
from test_convert import assert_same, convert, refused, write_wtalc

STRIDE = ("--feat-stride", "16", "--fps", "25")


def write_features(source: Path, dataset: Dataset) -> None:
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / f"{name}.npy", features[:, None, None])


def write_actions(source: Path, dataset: Dataset, first: int = 0) -> None:
    """As charades.json and multithumos.json are: no outer key, classes by number."""
    number = {label: i + first for i, label in enumerate(dataset.info.classes)}
    table = {
        name: {
            "subset": entry.subset,
            "duration": entry.duration,
            "actions": [
                [number[label], *segment]
                for segment, label in zip(entry.segments.tolist(), entry.labels, strict=True)
            ],
        }
        for name, entry, _ in layouts.videos(dataset)
    }
    source.mkdir(exist_ok=True)
    (source / "charades.json").write_text(json.dumps(table))


# Lists of actions


@pytest.mark.parametrize("first", [0, 1])
def test_lists_of_actions(source, dataset, first):
    write_actions(source, dataset, first)
    write_features(source, dataset)
    (source / "classes.txt").write_text("\n".join(dataset.info.classes))
    found = convert(source, *STRIDE, "--classes", str(source / "classes.txt"))
    assert_same(found, dataset)
    assert found.info.classes == dataset.info.classes


def test_classes_without_names_are_in_the_order_of_their_numbers(source, dataset, capsys):
    write_actions(source, dataset, first=9)
    write_features(source, dataset)
    assert "--snippet-seconds" in refused(source, capsys)  # nothing says how long a snippet is
    found = convert(source, *STRIDE)
    assert found.info.classes == ["9", "10", "11"]
    (source / "classes.txt").write_text("\n".join(dataset.info.classes))
    (source.parent / "converted").rename(source.parent / "first")
    error = refused(source, capsys, *STRIDE, "--classes", str(source / "classes.txt"))
    assert "classes up to number 11, --classes lists 3" in error


def test_actions_are_ground_truth_everywhere(tmp_path):
    """One of two instances is found: AP 50 % at any threshold that it reaches."""
    truth = tmp_path / "charades.json"
    entry = {"subset": "testing", "duration": 30.0, "actions": [[3, 0, 10], [3, 20, 30.0]]}
    truth.write_text(json.dumps({"v": entry, "w": {"subset": "testing", "actions": []}}))
    found = {"v": [{"segment": [0, 10], "label": 3, "score": 0.5}]}
    assert gx.detection_map(found, truth, [0.5]).average_map == 50.0
    loaded = load_ground_truth(truth)
    assert loaded["v"].labels == ["3", "3"]
    assert loaded["w"].labels == []


@pytest.mark.parametrize(
    "actions", [{"a": 1}, [1, 2], [[1, 2]], [[1, 0, 2, 3]], [[None, 0, 1]], [[[1], 0, 1]], "x"]
)
def test_actions_that_are_none(actions):
    with pytest.raises(ValueError, match=r"video 'v': \"actions\" must be a list of"):
        load_ground_truth({"v": {"actions": actions}})
    with pytest.raises(ValueError, match="must be a finite number"):
        load_ground_truth({"v": {"actions": [[1, "x", 2]]}})


# Entries of other layouts


@pytest.mark.parametrize(
    "entry",
    [
        {"duration": 4.0, "segments": [[0, 1]], "labels": ["a"]},
        {"duration": 4.0, "timestamps": [[0, 1]], "sentences": ["a"]},
        {"annotation": [{"segment": [0, 1], "label": "a"}]},
        {"Annotations": [{"segment": [0, 1], "label": "a"}]},
        {"duration": 4.0, "gts": {"a": [0, 1]}},
    ],
)
@pytest.mark.parametrize("mixed", [False, True])
def test_entries_without_annotations(tmp_path, capsys, entry, mixed):
    table = {"v": entry} | ({"w": {"annotations": []}} if mixed else {})
    path = tmp_path / "gt.json"
    path.write_text(json.dumps({"database": table}))
    predictions = tmp_path / "p.json"
    predictions.write_text('{"v": [{"segment": [0, 1], "label": "a", "score": 1}]}')
    for command in (
        ["evaluate", predictions, path],
        ["label", predictions, "-o", tmp_path / "out", "--annotations", path],
    ):
        assert main([str(word) for word in command]) == 2
        error = capsys.readouterr().err
        assert 'has no "annotations"' in error or 'no video has "annotations"' in error
        assert all(key in error for key in entry)
    assert not (tmp_path / "out").exists()


def test_an_unlabelled_video_among_labelled_ones_is_fine():
    table = {"v": {"annotations": []}, "w": {"subset": "test", "duration": 3.0, "fps": 25}}
    assert load_ground_truth(table)["w"].labels == []
    assert load_ground_truth({}) == {}


# Unlabelled test videos


def test_a_test_subset_without_labels_is_kept(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    write_features(source, dataset)
    table = json.loads((source / "gt.json").read_text())
    for name in dataset.testing.names:
        table["database"][name]["annotations"] = []
    (source / "gt.json").write_text(json.dumps(table))
    found = convert(source)
    assert found.testing.names == dataset.testing.names
    assert "none of the 6 videos of subset 'testing' has annotations" in (
        " ".join(capsys.readouterr().out.split())
    )
    table["database"][dataset.training.names[0]]["annotations"] = []
    (source / "gt.json").write_text(json.dumps(table))
    (source.parent / "converted").rename(source.parent / "first")
    assert "1 without labels: training_0000" in refused(source, capsys)


# --clean


def annotation(*entries: tuple[float, float, str], duration: float | None) -> VideoAnnotation:
    segments = np.array([entry[:2] for entry in entries], dtype=np.float64).reshape(-1, 2)
    labels = [entry[2] for entry in entries]
    return VideoAnnotation(segments, labels, np.ones(len(labels)), "training", duration)


def test_what_is_mended_by_hand():
    before = annotation(
        (1.0, 4.0, "a"),
        (9.0, 7.0, "a"),  # reversed
        (1.0, 4.0, "a"),  # a second time
        (1.0, 4.0, "b"),  # another class: stays
        (-2.0, 3.0, "a"),  # begins before the video
        (18.0, 25.0, "a"),  # ends past it
        (20.0, 25.0, "a"),  # past it
        (-3.0, 0.0, "a"),  # before it
        (5.0, 5.0, "a"),  # empty
        (30.0, 19.0, "b"),  # reversed, and then ends past it
        (7.0, 9.0, "a"),  # what the reversed one meant, a second time
        duration=20.0,
    )
    after, mended = clean_annotation("v", before)
    expected = [
        (1.0, 4.0, "a"),
        (7.0, 9.0, "a"),
        (1.0, 4.0, "b"),
        (0.0, 3.0, "a"),
        (18.0, 20.0, "a"),
        (19.0, 20.0, "b"),
    ]
    found = zip(after.segments.tolist(), after.labels, strict=True)
    assert [(*segment, label) for segment, label in found] == expected
    assert len(after.scores) == 6
    assert [(one.fault, one.before, one.after) for one in mended] == [
        ("ends before it starts", [9.0, 7.0], [7.0, 9.0]),
        ("is there twice", [1.0, 4.0], None),
        ("starts before the video", [-2.0, 3.0], [0.0, 3.0]),
        ("ends past the video's end", [18.0, 25.0], [18.0, 20.0]),
        ("lies outside the video", [20.0, 25.0], None),
        ("lies outside the video", [-3.0, 0.0], None),
        ("has no length", [5.0, 5.0], None),
        ("ends before it starts", [30.0, 19.0], [19.0, 30.0]),
        ("ends past the video's end", [19.0, 30.0], [19.0, 20.0]),
        ("is there twice", [7.0, 9.0], None),
    ]


@pytest.mark.parametrize("duration", [None, 0.0])
def test_without_a_duration_no_end_is_known(duration):
    whole = annotation((1.0, 1e6, "a"), duration=duration)
    assert clean_annotation("v", whole)[1] == []


def spoil(dataset: Dataset, entries: dict) -> None:
    first, second = dataset.training.names[:2]
    one = entries[first]["annotations"]
    start, end = one[0]["segment"]
    one[0]["segment"] = [end, start]
    own = entries[second]["annotations"]
    own += [own[0], own[0] | {"segment": [own[0]["segment"][0], "1e5"]}]
    entries[second]["duration"] = dataset.training.annotations[second].duration


def test_clean(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    write_features(source, dataset)
    table = json.loads((source / "gt.json").read_text())
    spoil(dataset, table["database"])
    (source / "gt.json").write_text(json.dumps(table))
    error = refused(source, capsys)
    assert "ends before it starts" in error
    assert "--clean" in error
    found = convert(source, "--clean")
    said = " ".join(capsys.readouterr().out.split())
    assert "mended 3 annotations" in said
    assert "mended.json" in said
    first, second = dataset.training.names[:2]
    mended = json.loads((source.parent / "converted" / "mended.json").read_text())
    assert [(one["video"], one["fault"]) for one in mended] == [
        (first, "ends before it starts"),
        (second, "is there twice"),
        (second, "ends past the video's end"),
    ]
    np.testing.assert_array_equal(
        found.training.annotations[first].segments, dataset.training.annotations[first].segments
    )
    duration = dataset.training.annotations[second].duration
    assert found.training.annotations[second].segments[-1, 1] == duration
    assert main(["data", "check", str(source.parent / "converted")]) == 0


@pytest.mark.parametrize("layout", ["own", "wtalc", "actions"])
def test_clean_of_other_layouts(source, dataset, capsys, layout):
    options = STRIDE if layout == "actions" else ()
    name = dataset.training.names[0]
    start, end = dataset.training.annotations[name].segments[0]
    if layout == "wtalc":
        dataset.training.annotations[name].segments[0] = end, start
        write_wtalc(source, dataset, ".")
        dataset.training.annotations[name].segments[0] = start, end
    elif layout == "own":
        source = dataset.info.root
        table = json.loads((source / "annotations.json").read_text())
        table["database"][name]["annotations"][0]["segment"] = [end, start]
        (source / "annotations.json").write_text(json.dumps(table))
    else:
        write_actions(source, dataset)
        write_features(source, dataset)
        table = json.loads((source / "charades.json").read_text())
        table[name]["actions"][0][1:] = end, start
        (source / "charades.json").write_text(json.dumps(table))
    assert "--clean" in refused(source, capsys, *options)
    found = convert(source, "--clean", *options)
    assert found.training.annotations[name].segments[0].tolist() == [start, end]
    assert len(json.loads((source.parent / "converted" / "mended.json").read_text())) == 1


def test_annotations_that_need_no_cleaning_are_not_touched(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    write_features(source, dataset)
    assert_same(convert(source, "--clean"), dataset)
    assert "mended" not in capsys.readouterr().out
    assert not (source.parent / "converted" / "mended.json").exists()


def test_faults_that_training_bears_are_told_without_clean(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    write_features(source, dataset)
    table = json.loads((source / "gt.json").read_text())
    own = table["database"][dataset.training.names[0]]["annotations"]
    own.append(own[0])
    (source / "gt.json").write_text(json.dumps(table))
    convert(source)
    said = " ".join(capsys.readouterr().out.split())
    assert "1 annotations (is there twice: 1;" in said
    assert "--clean mends them" in said


@pytest.mark.parametrize("segment", [[1, "x"], [1, None], [1], [float("nan"), 2]])
def test_what_cannot_be_known_stays_an_error(source, dataset, capsys, segment):
    layouts.write_gt_json(source / "gt.json", dataset)
    table = json.loads((source / "gt.json").read_text())
    table["database"][dataset.training.names[0]]["annotations"][0]["segment"] = segment
    (source / "gt.json").write_text(json.dumps(table))
    (source / "features").mkdir()
    assert dataset.training.names[0] in refused(source, capsys, "--clean")


def test_durations_that_are_not_positive(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    write_features(source, dataset)
    name = dataset.training.names[0]
    table = json.loads((source / "gt.json").read_text())
    table["database"][name]["duration"] = -3.0
    (source / "gt.json").write_text(json.dumps(table))
    assert f"{name!r} has duration -3.0" in refused(source, capsys)
    table["database"][name]["duration"] = 0
    (source / "gt.json").write_text(json.dumps(table))
    assert load_dataset(convert(source).info.root).training.annotations[name].duration == (
        pytest.approx(dataset.training.annotations[name].duration)
    )
    assert "1 videos have duration 0" in " ".join(capsys.readouterr().out.split())
