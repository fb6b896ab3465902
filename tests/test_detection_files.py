"""Detections and ground truth in the other forms that `gaufuse evaluate` accepts."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from gaufuse.cli.main import main
from gaufuse.data.detection_files import load_detections
from gaufuse.data.ground_truth import load_any_ground_truth

FOUND = {
    "v": [
        {"segment": [0.5, 2.25], "label": "Diving", "score": 0.75},
        {"segment": [5, 6], "label": "High Jump", "score": 0.5},
    ],
    "w": [{"segment": [1, 2], "label": "Diving", "score": 1e-3}],
}
ROWS = [
    ("v", 0.5, 2.25, "Diving", 0.75),
    ("v", 5, 6, "High Jump", 0.5),
    ("w", 1, 2, "Diving", 1e-3),
]


def plain(videos) -> dict:
    return {
        video: [
            {"segment": pair, "label": label, "score": score}
            for pair, label, score in zip(
                own.segments.tolist(), own.labels, own.scores.tolist(), strict=True
            )
        ]
        for video, own in videos.items()
    }


def csv_text(header: str, delimiter: str = ",") -> str:
    lines = [header, *(delimiter.join(map(str, row)) for row in ROWS)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        csv_text("video,start,end,label,score"),
        csv_text("video-id,t-start,t-end,label,score"),
        csv_text("Video Name;Start Time;End_Time;Class;Confidence", ";"),
        csv_text("vid\tbegin\tstop\tcategory\tprobability", "\t"),
        "\ufeff" + csv_text("video,start,end,label,score").replace("\n", "\r\n"),
        # As pandas writes a data frame with its index, in its own order of columns.
        ",score,label,video-id,t-end,t-start\n"
        + "".join(f"{i},{s},{n},{v},{b},{a}\n" for i, (v, a, b, n, s) in enumerate(ROWS)),
        csv_text("video,start,end,label,score").replace("High Jump", '"High Jump"') + "\n,,,,\n",
    ],
)
def test_csv(tmp_path, text):
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert plain(load_detections(path).to_videos()) == FOUND
    packed = tmp_path / "p.CSV.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert plain(load_detections(packed).to_videos()) == FOUND


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "label, score; video, start, end, label, score is missing in an empty line"),
        ("video,start,end,label\n", "score is missing in video, start, end, label"),
        ("video,vid,start,end,label,score\n", "columns video, vid could all be the video"),
        ("video,start,end,label,score\nv,0,1,x\n", r"line 2: expected 5 fields, got \['v', '0'"),
        ("video,start,end,label,score\nv,0,one,x,1\n", "line 2: end must be a finite .* got 'one'"),
        ("video,start,end,label,score\nv,0,1,x,nan\n", "line 2: score must be a finite number"),
        ("video,start,end,label,score\nv,0,1_0,x,1\n", "line 2: end must be a finite number"),
        ("video,start,end,label,score\nv,0,1,x,1\nv,2,1,x,1\n", r"line 3: segment ends before it"),
        ("video,start,end,label,score\n,0,1,x,1\n", "line 2: video is empty"),
        ("video,start,end,label,score\nv,0,1, ,1\n", "line 2: label is empty"),
        ('video,start,end,label,score\nv,0,1,"x,1\n', "line 2: unexpected end of data"),
        ("video,start,end,label,score\nv,0,1," + "x" * 70_000 + ",1\n", "line 2: field larger"),
    ],
)
def test_csv_that_is_none(tmp_path, text, message):
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"p\.csv.*{message}"):
        load_detections(path)


def test_no_csv_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"p\.csv does not exist"):
        load_detections(tmp_path / "p.csv")
    path = tmp_path / "p.csv.gz"
    for data in (gzip.compress(b"\xff\xfe\xfd"), gzip.compress(b"video" * 100)[:-9]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"p\.csv\.gz is not"):
            load_detections(path)


def pickled(path: Path, **changes: object) -> Path:
    """As ActionFormer writes its results."""
    table = {
        "video-id": [row[0] for row in ROWS],
        "t-start": np.array([row[1] for row in ROWS], dtype=np.float32),
        "t-end": np.array([row[2] for row in ROWS], dtype=np.float32),
        "label": np.array([0, 1, 0]),
        "score": np.array([row[4] for row in ROWS], dtype=np.float32),
    }
    path.write_bytes(pickle.dumps(table | changes, protocol=4))
    return path


def test_pickled_results(tmp_path):
    found = load_detections(pickled(tmp_path / "eval_results.pkl"))
    assert found.videos == ["v", "w"]
    assert found.classes == ["0", "1"]
    assert found.segments.tolist() == [[0.5, 2.25], [5, 6], [1, 2]]
    assert found.scores.tolist() == [0.75, 0.5, np.float32(1e-3)]
    assert found.video_ids.tolist() == [0, 0, 1]
    assert found.class_ids.tolist() == [0, 1, 0]


class Command:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": np.zeros(2)}, "columns are of different lengths: 3 video-id, .* 2 score"),
        ({"score": np.array([0, np.nan, 0])}, r"scores\[1\] must be finite"),
        ({"score": ["a", "b", "c"]}, "scores must hold numbers"),
        ({"label": np.array([0.5, 1, 2])}, "label must be a class's name or id, got 0.5"),
        ({"t-end": np.zeros(3)}, r"segments\[0\] must be finite and not end before it starts"),
        ({"more": Command()}, "is not a readable pickle"),
    ],
)
def test_pickled_results_that_are_none(tmp_path, capsys, changes, message):
    path = pickled(tmp_path / "p.pkl", **changes)
    with pytest.raises(ValueError, match=rf"p\.pkl.*{message}"):
        load_detections(path)
    assert "unpickled" not in capsys.readouterr().out


def test_another_pickle(tmp_path):
    path = tmp_path / "p.pickle"
    for value in ([1, 2], {"video-id": ["v"]}):
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(
            ValueError, match="must hold a dictionary with video-id, t-start, t-end"
        ):
            load_detections(path)


def test_ground_truth_in_csv(tmp_path):
    path = tmp_path / "gt.csv"
    path.write_text(
        "video,start,end,label,subset,duration\nv,0,10,Diving,test,60\nv,20,30,3.0,test,\n"
        "w,0,5,Diving,Validation,30.5\n"
    )
    truth = load_any_ground_truth(path)
    assert truth["v"].segments.tolist() == [[0, 10], [20, 30]]
    assert truth["v"].labels == ["Diving", "3"]
    assert (truth["v"].subset, truth["v"].duration) == ("test", 60.0)
    assert (truth["w"].subset, truth["w"].duration) == ("Validation", 30.5)
    assert list(load_any_ground_truth(path, "validation")) == ["w"]
    with pytest.raises(ValueError, match=r"gt\.csv has no video of subset 'x'; it has Valid"):
        load_any_ground_truth(path, "x")


def test_every_form_gives_one_map(tmp_path, capsys):
    """One of two instances is found, the other label's is not: 50 %."""
    entry = {"subset": "test", "annotations": [{"segment": ["0.5", "2.25"], "label": "Diving"}]}
    truth = {
        "v": entry,
        "w": {"annotations": [{"segment": [50, 60], "label": "High Jump"}], "subset": "test"},
    }
    (tmp_path / "gt.json").write_text(json.dumps({"database": truth}))
    (tmp_path / "gt.csv").write_text(
        "video,t-start,t-end,label\nv,0.5,2.25,Diving\nw,50,60,High Jump\n"
    )
    (tmp_path / "p.json").write_text(json.dumps({"results": FOUND}))
    (tmp_path / "p.csv").write_text(csv_text("video,start,end,label,score"))
    pickled(tmp_path / "p.pkl")
    (tmp_path / "names.txt").write_text("Diving\nHigh Jump\n")
    for found, options in (
        ("p.json", []),
        ("p.csv", []),
        ("p.pkl", ["--label-map", str(tmp_path / "names.txt")]),
    ):
        for gt in ("gt.json", "gt.csv"):
            arguments = [str(tmp_path / found), str(tmp_path / gt), *options, "--json", "-"]
            assert main(["evaluate", *arguments]) == 0
            assert json.loads(capsys.readouterr().out)["average_map"] == 50.0
