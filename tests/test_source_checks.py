"""Every source of annotations is checked alike: JSON, W-TALC arrays, label ids, keys."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import field_layouts as layouts
from gaufuse.cli.main import main
from gaufuse.data.dataset import load_dataset
from gaufuse.data.formats.json_annotations import classes_by_id
from gaufuse.data.wtalc_annotations import load_wtalc_annotations
from gaufuse.model.checkpoint import read_evaluations
from gaufuse_ext.annotations import VideoAnnotation, load_ground_truth, load_predictions
from training_setups import tiny_dataset


def write_arrays(folder: Path, **changes: object) -> Path:
    """Two videos; `changes` replace the first one's entry of an array."""
    arrays = {
        "videoname": [b"v", b"w"],
        "subset": [b"test", b"test"],
        "duration": [[20.0], [30.0]],
        "segments": [[[1.0, 4.0], [5.0, 6.0]], [[0.0, 2.0]]],
        "labels": [["jump", "run"], ["jump"]],
    }
    folder.mkdir(exist_ok=True)
    for name, values in arrays.items():
        values = [changes.get(name, values[0]), values[1]]
        plain = name in ("videoname", "subset")
        np.save(folder / f"{name}.npy", np.array(values) if plain else layouts.object_array(values))
    return folder


def test_wtalc_arrays_that_are_right(tmp_path):
    found = load_wtalc_annotations(write_arrays(tmp_path / "a"))
    assert found["v"].segments.tolist() == [[1.0, 4.0], [5.0, 6.0]]
    assert found["v"].labels == ["jump", "run"]
    assert (found["v"].subset, found["v"].duration) == ("test", 20.0)
    # As arrays instead of lists, and names as bytes: other tools write them so.
    changes = {"segments": np.array([[1.0, 4.0]]), "labels": np.array([b"jump"]), "duration": 20}
    found = load_wtalc_annotations(write_arrays(tmp_path / "b", **changes))
    assert found["v"].segments.tolist() == [[1.0, 4.0]]
    assert found["v"].labels == ["jump"]
    found = load_wtalc_annotations(write_arrays(tmp_path / "c", segments=[], labels=[]))
    assert found["v"].segments.shape == (0, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segments": [[4.0, 1.0], [5.0, 6.0]]}, r"'v', entry 0: segment ends before it starts"),
        ({"segments": [[1.0, np.nan], [5.0, 6.0]]}, r"'v', entry 0: segment must be a finite num"),
        ({"segments": [[1.0, 4.0], [5.0, np.inf]]}, r"'v', entry 1: segment must be a finite num"),
        ({"segments": [[1.0, 4.0, 5.0], [6.0]]}, r"'v', entry 0: segment must be \[start, end\]"),
        ({"segments": [["a", "b"], [5.0, 6.0]]}, r"'v', entry 0: segment must be a finite number"),
        ({"segments": [[1.0, 4.0]]}, "'v' has 1 segments and 2 labels"),
        ({"segments": None}, "'v' has None for a list"),
        ({"segments": 3.0}, "'v' has 3.0 for a list"),
        ({"labels": ["jump", None]}, "'v', entry 1: label must be a class's name or id, got None"),
        ({"labels": "ab"}, "'v' has 'ab' for a list"),
        ({"duration": [np.nan]}, "'v', duration must be a finite number, got nan"),
        ({"duration": []}, "'v', duration must be a finite number"),
        ({"duration": ["long"]}, "'v', duration must be a finite number, got 'long'"),
        ({"videoname": b"w"}, "'w' occurs twice in videoname.npy"),
    ],
)
def test_wtalc_arrays_that_are_wrong(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_wtalc_annotations(write_arrays(tmp_path / "a", **changes))


def test_json_and_arrays_are_refused_for_the_same_reason(tmp_path, capsys):
    folder = write_arrays(tmp_path / "a", segments=[[4.0, 1.0], [5.0, 6.0]])
    table = {"v": {"annotations": [{"segment": [4.0, 1.0], "label": "jump"}]}}
    (tmp_path / "a.json").write_text(json.dumps(table))
    (tmp_path / "p.json").write_text('{"v": []}')
    messages = []
    for truth in (folder, tmp_path / "a.json"):
        assert main(["evaluate", str(tmp_path / "p.json"), str(truth)]) == 2
        messages.append(capsys.readouterr().err.partition(str(truth))[2])
    assert messages[0] == messages[1] != ""


def entries(*ids: tuple[str, object]) -> dict:
    return {
        f"v{i}": {
            "annotations": [
                {"segment": [0, 1], "label": label}
                | ({} if number is ... else {"label_id": number})
            ]
        }
        for i, (label, number) in enumerate(ids)
    }


FILE = Path("thumos.json")


@pytest.mark.parametrize("spell", [int, float, str, lambda n: f"0{n}", lambda n: f"{n}.0"])
def test_class_ids_in_any_spelling(spell):
    """Alphabetical order would be dive, jump, run."""
    found = classes_by_id(FILE, entries(("jump", spell(2)), ("run", spell(0)), ("dive", spell(10))))
    assert found == ["run", "jump", "dive"]


def test_class_ids_of_some_annotations():
    """One is enough of each class; of none there is no order."""
    assert classes_by_id(FILE, entries(("run", 1), ("run", ...), ("dive", 0))) == ["dive", "run"]
    assert classes_by_id(FILE, entries(("run", ...), ("dive", None))) is None
    assert classes_by_id(FILE, entries()) is None


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            [("run", "x"), ("dive", 0)],
            "'v0', class 'run': label_id must be a whole number, got 'x'",
        ),
        ([("run", 1.5)], r"label_id must be a whole number, got 1\.5"),
        ([("run", True)], "label_id must be a whole number, got True"),
        ([("run", [1])], r"label_id must be a whole number, got \[1\]"),
        ([("run", 1), ("run", "2")], "'v1' gives class 'run' label_id 2, others 1"),
        ([("run", 1), ("dive", "1.0")], "classes 'run' and 'dive' have the same label_id 1"),
        ([("run", 1), ("dive", ...)], r"class 'dive' \(video 'v1'\) has no label_id, others have"),
    ],
)
def test_class_ids_that_are_none(ids, message):
    with pytest.raises(ValueError, match=message):
        classes_by_id(FILE, entries(*ids))


@pytest.mark.parametrize("spell", [int, float, str])
def test_class_ids_order_the_classes_of_every_layout(tmp_path, spell):
    """With and without fps: the same file is ActionFormer's or a gt.json."""
    dataset = layouts.original(tmp_path / "original")
    wanted = list(reversed(dataset.info.classes))
    ids = {label: spell(i) for i, label in enumerate(wanted)}
    for name in ("per_video", "opentad"):
        source = tmp_path / name
        (source / "features").mkdir(parents=True)
        table = {
            video: {"subset": entry.subset, "duration": entry.duration}
            | ({"fps": 25.0} if name == "opentad" else {})
            | {
                "annotations": [
                    {"segment": segment, "label": label, "label_id": ids[label]}
                    for segment, label in zip(entry.segments.tolist(), entry.labels, strict=True)
                ]
            }
            for video, entry, _ in layouts.videos(dataset)
        }
        (source / "gt.json").write_text(json.dumps({"database": table}))
        for video, _, features in layouts.videos(dataset):
            np.save(source / "features" / f"{video}.npy", features)
        output = tmp_path / f"{name} converted"
        seconds = str(layouts.SECONDS)
        options = ["--format", name, "--snippet-seconds", seconds]
        assert main(["convert", str(source), str(output), *options]) == 0
        assert load_dataset(output).info.classes == wanted


def test_a_key_twice_wherever_json_is_read(tmp_path, capsys):
    """The first of two entries would be lost."""
    data = tiny_dataset(tmp_path / "data")
    path = data / "annotations.json"
    text = path.read_text()
    name = next(iter(json.loads(text)["database"]))
    path.write_text(text.replace('"database": {', f'"database": {{"{name}": {{}},', 1))
    message = f"key '{name}' occurs 2 times in one object"
    with pytest.raises(ValueError, match=rf"annotations\.json is not readable JSON \({message}"):
        load_dataset(data)
    assert main(["data", "check", str(data)]) == 2
    assert message in capsys.readouterr().err

    folder = tmp_path / "epoch-0001"
    folder.mkdir()
    (folder / "checkpoint.json").write_text('{"format": 2, "epoch": 1, "epoch": 2}')
    with pytest.raises(ValueError, match="key 'epoch' occurs 2 times"):
        read_evaluations(folder)


def test_a_class_that_the_list_of_classes_lacks(tmp_path, capsys):
    dataset = layouts.original(tmp_path / "original")
    source = tmp_path / "source"
    layouts.write_annotation_arrays(source, dataset)
    features = [x for _, _, x in layouts.videos(dataset)]
    layouts.write_joint(source / "I3D-JOINTFeatures.npy", features, "protocol4")
    listed = dataset.info.classes
    for classes, message in (
        (listed[1:], f"has class {listed[0]!r}, which is not among the classes listed"),
        ([*listed, listed[0]], f"class {listed[0]!r} is listed twice"),
    ):
        np.save(source / "classlist.npy", np.array([label.encode() for label in classes]))
        assert main(["convert", str(source), str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("segments", "labels", "scores", "message"),
    [
        (
            [[0.0, 1.0], [4.0, 1.0]],
            ["x", "x"],
            [1.0, 1.0],
            r"entry 1: .* before it starts: \[4.0, 1",
        ),
        ([[0.0, np.nan]], ["x"], [1.0], "entry 0: segment and score must be finite numbers"),
        ([[0.0, 1.0]], ["x"], [np.inf], "entry 0: segment and score must be finite numbers"),
        ([[0.0, 1.0]], ["x", "y"], [1.0], r"has 2 labels, so segments must have shape \(2, 2\)"),
        ([0.0, 1.0], ["x"], [1.0], r"got \(2,\) and \(1,\)"),
    ],
)
def test_segments_that_a_caller_made(segments, labels, scores, message):
    entry = VideoAnnotation(np.array(segments), labels, np.array(scores))
    for load in (load_ground_truth, load_predictions):
        with pytest.raises(ValueError, match=f"video 'v'.*{message}"):
            load({"v": entry})
