"""Names that match nothing are errors or counted: classes, class ids, videos."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

import gaufuse_ext as gx
from gaufuse_ext.annotations import load_ground_truth, load_predictions
from gaufuse_ext.class_names import load_label_map
from test_detection_map import PROTOCOLS, found, truth


def test_class_names_that_match_nothing():
    a = truth(v=[(0, 10, "Diving")], w=[(0, 10, "High Jump")])
    p = found(v=[(0, 10, "dive", 0.9), (0, 10, "0", 0.8)])
    message = (
        "no predicted class is one of the ground truth's: predictions have 'dive', '0', the "
        "ground truth has 'Diving', 'High Jump'; give each its name with a label map"
    )
    with pytest.raises(ValueError, match=message):
        gx.detection_map(p, a)
    with pytest.raises(ValueError, match=r"predictions have '7'.*name the classes of those ids"):
        gx.detection_map(found(v=[(0, 10, 7, 0.9)]), a)
    with pytest.raises(ValueError, match="case, spaces and underscores count"):
        gx.detection_map(found(v=[(0, 10, "high_jump", 0.9)]), a)
    # Known, as the data set lists it, or as another subset shows it: the mAP is honestly zero.
    assert gx.detection_map(p, a, classes=["dive"]).average_map == 0.0
    a["database"]["w"]["subset"] = "training"
    p = found(v=[(0, 10, "High Jump", 0.9)])
    assert gx.detection_map(p, a, subset="test").average_map == 0.0
    assert gx.detection_map({"v": []}, a).average_map == 0.0


def test_class_names_that_are_partly_unknown():
    a = truth(v=[(0, 10, "Diving")])
    strangers = [(0, 1, "dive", 0.9), (2, 3, "dive", 0.9), (2, 3, "x", 0.1)]
    m = gx.detection_map(found(v=[(0, 10, "Diving", 0.5), *strangers]), a)
    assert m.unknown_classes == {"dive": 2, "x": 1}
    assert m.average_map == 100.0


def test_a_label_map():
    a = truth(v=[(0, 10, "Diving"), (20, 30, "High Jump")])
    p = found(v=[(0, 10, 3, 0.5), (20, 30, "High Jump", 0.9)])
    m = gx.detection_map(p, a, label_map={"3": "Diving", "4": "High Jump"})
    assert m.average_map == 100.0
    with pytest.raises(ValueError, match="predictions: the label map has no '3'; it has '0', '4'"):
        gx.detection_map(p, a, label_map={"0": "Diving", "4": "High Jump"})


@pytest.mark.parametrize("label", [None, True, 1.5, ["Diving"], {"id": 1}, "", "  ", float("nan")])
def test_labels_that_are_none(label):
    entry = {"segment": [0, 1], "label": label, "score": 1}
    message = "'v', entry 0: label must be a class's name or id, got"
    with pytest.raises(ValueError, match=message):
        load_predictions({"v": [entry]})
    with pytest.raises(ValueError, match=message):
        load_ground_truth({"v": {"annotations": [entry]}})


@pytest.mark.parametrize("label", [3, 3.0, "3", np.int64(3), np.float32(3)])
def test_ids_in_any_spelling_are_one_class(label):
    entry = {"segment": [0, 1], "label": label, "score": 1}
    assert load_predictions({"v": [entry]})["v"].labels == ["3"]


@pytest.mark.parametrize("number", [True, "1_0"])
def test_numbers_that_only_python_takes_for_numbers(number):
    with pytest.raises(ValueError, match="score must be a finite number"):
        load_predictions({"v": [{"segment": [0, 1], "label": "x", "score": number}]})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_videos_without_ground_truth(protocol):
    """Ranked: a hit in v, a false positive in the unknown w, a hit in v. The second hit's precision
    is 2/2 without, 2/3 with the false positive: AP 1, or (1 + 2/3) / 2."""
    a = truth(v=[(0, 10, "x"), (20, 30, "x")])
    p = found(v=[(0, 10, "x", 0.9), (20, 30, "x", 0.1)], w=[(0, 10, "x", 0.5), (0, 9, "y", 0.6)])
    ignored = gx.detection_map(p, a, (0.5,), protocol)
    assert (ignored.map.tolist(), ignored.ignored_videos) == ([100.0], 1)
    assert (ignored.unknown_videos, ignored.counted_videos) == ("ignore", 0)
    counted = gx.detection_map(p, a, (0.5,), protocol, unknown_videos="count")
    assert counted.map.tolist() == pytest.approx([100 * (1 + 2 / 3) / 2])
    assert (counted.unknown_videos, counted.counted_videos) == ("count", 1)
    assert counted.ignored_videos == 0
    with pytest.raises(ValueError, match="unknown_videos must be ignore or count, got 'drop'"):
        gx.detection_map(p, a, unknown_videos="drop")


def test_no_video_in_common():
    a = truth(v=[(0, 10, "x")], w=[(0, 10, "x")])
    for names, difference in (
        (["v_v", "v_w"], "; .* look like v_{video}: say --template 'v_{video}'"),
        (["v.mp4"], "; .* look like {video}.mp4: say --template '{video}.mp4'"),
        (["other"], ""),
    ):
        shown = ", ".join(map(repr, names))
        message = (
            f"no predicted video has ground truth: the predictions with {shown}, the ground truth "
            f"with 'v', 'w'{difference}$"
        )
        with pytest.raises(ValueError, match=message):
            gx.detection_map(found(**{name: [(0, 10, "x", 0.9)] for name in names}), a)


DIVING = {"0": "Diving", "1": "High Jump"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.json", '{"0": "Diving", "1": "High Jump"}'),
        ("map.json", '{"00": "Diving", "1": "High Jump"}'),
        ("map.json", '{"Diving": 0, "High Jump": 1}'),
        ("map.json", '["Diving", "High Jump"]'),
        ("map.txt", "0 Diving\n1 High Jump\n"),
        ("map.txt", "\ufeff0,Diving\r\n\r\n1,High Jump"),
        ("map.csv", "1\tHigh Jump\n0\tDiving\n"),
        ("map.txt", "Diving\nHigh Jump\n"),
    ],
)
def test_forms_of_label_maps(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert load_label_map(path) == DIVING
    if name == "map.json":
        packed = tmp_path / "map.json.gz"
        packed.write_bytes(gzip.compress(text.encode()))
        assert load_label_map(packed) == DIVING


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("map.json", '{"0": 1, "1": "x"}', "must be an object from ids to names or from names"),
        ("map.json", "3", "must be an object from ids to names or from names"),
        ("map.json", '{"0": "x", "0": "y"}', "key '0' occurs 2 times"),
        ("map.json", '{"0": "x", "00": "y"}', "gives id 0 to 'x' and to 'y'"),
        ("map.json", '{"x": 0, "y": 0}', "gives id 0 to 'x' and to 'y'"),
        ("map.txt", "0 x\n0 y", "gives id 0 to 'x' and to 'y'"),
        ("map.txt", "\n", "names no class"),
    ],
)
def test_label_maps_that_are_none(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"{name}.*{message}"):
        load_label_map(path)
    with pytest.raises(FileNotFoundError, match=r"absent\.txt does not exist"):
        load_label_map(tmp_path / "absent.txt")


def test_a_label_map_of_numbers_as_names(tmp_path):
    """MultiTHUMOS and the like number their classes from 1: the ids are the file's, not places."""
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"7": "BaseballPitch"}))
    a = truth(v=[(0, 10, "BaseballPitch")])
    p = found(v=[(0, 10, 7, 0.5)])
    assert gx.detection_map(p, a, label_map=load_label_map(path)).average_map == 100.0


def test_files_taken_for_each_other():
    a, p = truth(v=[(0, 10, "x")]), found(v=[(0, 10, "x", 0.5)])
    with pytest.raises(ValueError, match='predictions has "database", not "results": were pred'):
        load_predictions(a)
    with pytest.raises(ValueError, match='ground truth has "results", not "database": were pred'):
        gx.detection_map(p, p)
