"""What is drawn of a video: which classes, which rows, how high; the pictures of `gaufuse plot`."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from gaufuse.cli.main import main
from gaufuse.report import timeline as timeline_module
from gaufuse.report.run_model import timeline_from_files
from gaufuse.report.timeline import (
    BarRow,
    Bars,
    ClassTimeline,
    Timeline,
    curve,
    heights,
    rows_of,
    shown_classes,
    thinned,
)
from gaufuse.report.timeline_plot import row_label
from gaufuse_ext.annotations import Segments

HOSTILE = r"$\frac{a$ <b>&amp;"


def segments(*entries: tuple[float, float, str, float]) -> Segments:
    return Segments(
        np.array([entry[:2] for entry in entries]).reshape(-1, 2),
        [entry[2] for entry in entries],
        np.array([entry[3] for entry in entries]),
    )


def test_annotated_classes_come_first_then_the_best_detected_other_one():
    detected = segments((0, 1, "b", 0.2), (0, 1, "c", 0.9), (0, 1, "d", 0.5), (1, 2, "a", 0.1))
    assert shown_classes(["a"], detected) == (["a", "c"], 2)
    assert shown_classes([], detected) == (["c", "d", "b", "a"], 0)
    assert shown_classes(["a"], None) == (["a"], 0)
    assert shown_classes(["a"], detected, ["d"]) == (["d"], 3)
    assert shown_classes(list("vwxyz"), detected)[0] == list("vwxy")


def test_heights_are_scores_beside_the_best_of_the_video():
    first = ClassTimeline("a", detections=Bars(np.zeros((2, 2)), np.array([0.8, 0.4])))
    second = ClassTimeline("b", detections=Bars(np.zeros((1, 2)), np.array([0.2])))
    rows = rows_of([("", Timeline("v", 9.0, 1.0, [first, second]))])
    rows = [row for row in rows if isinstance(row, BarRow)]
    assert [heights(row).tolist() for row in rows] == [[1.0, 0.5], [0.25]]


def test_the_cas_is_drawn_beside_the_highest_of_the_video():
    classes = [
        ClassTimeline(c, activations=np.array([0.0, peak])) for c, peak in (("a", 0.1), ("b", 0.2))
    ]
    rows = rows_of([("", Timeline("v", 2.0, 1.0, classes))])
    assert [curve(row).tolist() for row in rows if row.kind == "cas"] == [[0.0, 0.5], [0.0, 1.0]]
    assert row_label(rows[1]) == "CAS (to 0.2)"


def test_rows_of_two_runs_share_the_ground_truth():
    own = ClassTimeline("a", truth=Bars(np.zeros((1, 2)), np.ones(1)), activations=np.zeros(3))
    video = Timeline("v", 3.0, 1.0, [own])
    rows = rows_of([("A", video), ("B", video)])
    assert [row.text for row in rows] == ["a", "ground truth", "A CAS", "B CAS"]


def test_a_long_curve_keeps_its_peaks(monkeypatch):
    monkeypatch.setattr(timeline_module, "MOST_POINTS", 4)
    values = np.array([0.0, 0.9, 0.1, 0.1, 0.1, 0.1, 0.0, 0.0, -0.7, 0.2])
    edges, steps = thinned(values, 2.0)
    assert edges.tolist() == [0.0, 6.0, 12.0, 18.0, 20.0]
    assert steps.tolist() == [0.9, 0.1, -0.7, 0.2]


def test_equal_neighbours_are_one_step():
    edges, steps = thinned(np.array([0.0, 0.0, 1.0, 1.0, 0.0]), 0.5)
    assert (edges.tolist(), steps.tolist()) == ([0.0, 1.0, 2.0, 2.5], [0.0, 1.0, 0.0])


def test_a_signed_curve_has_its_zero_in_the_middle():
    video = Timeline("v", 3.0, 1.0, [ClassTimeline("a", delta=np.array([0.0, 0.2, -0.4]))])
    (row,) = [row for row in rows_of([("", video)]) if row.kind == "delta"]
    assert curve(row).tolist() == pytest.approx([0.5, 0.75, 0.0])


def test_a_video_that_no_file_has():
    with pytest.raises(ValueError, match=r"no file has video 'x'; there are 'v'"):
        timeline_from_files("x", {"v": segments()}, {})


@pytest.fixture
def files(tmp_path):
    truth = {"database": {"v": {"duration": 20.0, "annotations": [segment(2, 6, HOSTILE)]}}}
    found = {"results": {"v": [segment(1, 6, HOSTILE) | {"score": 0.7}]}}
    paths = tmp_path / "truth.json", tmp_path / "found.json"
    for path, table in zip(paths, (truth, found), strict=True):
        path.write_text(json.dumps(table))
    return paths


def segment(start: float, end: float, label: str) -> dict:
    return {"segment": [start, end], "label": label}


def plot(files, output, *more: str) -> int:
    truth, found = map(str, files)
    arguments = ["v", "--predictions", found, "--ground-truth", truth, "-o", str(output)]
    return main(["plot", *arguments, *more])


def test_a_picture_of_files_in_svg(files, tmp_path):
    pytest.importorskip("matplotlib")
    assert plot(files, tmp_path / "v.svg") == 0
    texts = ET.parse(tmp_path / "v.svg").iter("{http://www.w3.org/2000/svg}text")
    texts = ["".join(text.itertext()) for text in texts]
    assert HOSTILE in texts  # as it is, neither a formula nor markup
    assert {"ground truth", "detections"} <= set(texts)
    first = (tmp_path / "v.svg").read_bytes()
    assert plot(files, tmp_path / "v.svg") == 0
    assert (tmp_path / "v.svg").read_bytes() == first


def test_a_picture_of_files_in_png(files, tmp_path):
    pytest.importorskip("matplotlib")
    assert plot(files, tmp_path / "v.png", "--start", "1", "--end", "8") == 0
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--start", "8", "--end", "3"], "nothing between 8 s and 3 s"),
        (["-o", "v.gif"], r"v\.gif must end in \.png or \.svg"),
        (["--ground-truth", "absent.json"], "absent.json"),
    ],
)
def test_what_cannot_be_drawn(files, tmp_path, capsys, more, message):
    pytest.importorskip("matplotlib")
    assert plot(files, tmp_path / "v.png", *more) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "v.png").exists()


def test_a_plot_of_nothing_says_what_to_name(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["plot", "v", "-o", str(tmp_path / "v.png")]) == 2
    assert "name a RUN before the video" in capsys.readouterr().err
