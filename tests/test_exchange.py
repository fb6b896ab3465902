"""`gaufuse exchange`: round trips, files as annotators save them, hostile files, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaufuse.cli.main import main
from gaufuse.data.detection_files import load_detections
from gaufuse.data.exchange import FORMATS, WRITABLE, read_annotated, write_annotated
from gaufuse.data.exchange.annotated import Annotated, ExchangeOptions, video_of
from gaufuse.data.exchange.snippet_labels import runs
from gaufuse.utils.safe_xml import read_xml
from gaufuse_ext.annotations import VideoAnnotation, load_ground_truth, load_predictions

OPTIONS = ExchangeOptions()
# What a format keeps: times to how many seconds, scores, what it says of videos.
KEEPS = {
    "activitynet": (0.0, True, True),
    "label-studio": (0.0, True, True),
    "via": (0.0, True, True),
    "csv": (0.0, True, True),
    "elan": (0.00051, True, True),
    "audacity": (0.00000051, False, False),
}
SUFFIX = {"activitynet": ".json", "label-studio": ".json", "via": ".json", "csv": ".csv"}


def annotation(*rows: tuple, subset=None, duration=None) -> VideoAnnotation:
    """Rows (start, end, label, score)."""
    return VideoAnnotation(
        np.array([[float(a), float(b)] for a, b, *_ in rows]).reshape(-1, 2),
        [label for _, _, label, _ in rows],
        np.array([float(score) for *_, score in rows]),
        subset,
        duration,
    )


DETECTIONS = Annotated(
    {
        "v 1": annotation(
            (1.25, 4.5, "jump", 0.9),
            (1.5, 4.123456, "jump", 0.25),  # overlaps: a further tier in ELAN
            (10.0, 12.0, 'a <b> & "c", d', 1e-3),
        ),
        "vidéo_2": annotation((0.0, 0.5, "läuft schnell", 0.5)),
    },
    scored=True,
)
ANNOTATIONS = Annotated(
    {
        "v": annotation(
            (1.25, 4.5, "jump", 1), (10.0, 12.0, "run", 1), subset="validation", duration=60.5
        ),
        "nothing": annotation(subset="test", duration=3.0),
    },
    scored=False,
)


def assert_same(found: Annotated, expected: Annotated, name: str, seconds: float) -> None:
    _, scores, about = KEEPS[name]
    assert list(found.videos) == list(expected.videos)
    assert found.scored == (expected.scored and scores)
    for video, entry in expected.videos.items():
        own = found.videos[video]
        order = np.lexsort((entry.segments[:, 1], entry.labels, entry.segments[:, 0]))
        own_order = np.lexsort((own.segments[:, 1], own.labels, own.segments[:, 0]))
        assert [own.labels[i] for i in own_order] == [entry.labels[i] for i in order]
        np.testing.assert_allclose(
            own.segments[own_order], entry.segments[order], rtol=0.0, atol=seconds
        )
        if found.scored:
            assert own.scores[own_order].tolist() == entry.scores[order].tolist()
        if about and not (name == "activitynet" and expected.scored):
            assert (own.subset, own.duration) == (entry.subset, entry.duration)


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("annotated", [DETECTIONS, ANNOTATIONS], ids=["scored", "annotated"])
def test_round_trip(tmp_path, name, annotated):
    path = tmp_path / f"out{SUFFIX.get(name, '')}"
    write_annotated(path, annotated, OPTIONS, name)
    if name in ("elan", "audacity"):  # the order of files is that of their names
        annotated = replace(annotated, videos=dict(sorted(annotated.videos.items())))
    for given_name in (name, None):  # by name, and found out
        assert_same(read_annotated(path, OPTIONS, given_name), annotated, name, KEEPS[name][0])


TIMES = st.floats(0.0, 5000.0, allow_subnormal=False).map(lambda x: round(x, 3))
LABELS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8
).filter(lambda text: not text.replace(".", "").isdigit())


@st.composite
def annotated_videos(draw):
    videos = {}
    for v in range(draw(st.integers(1, 3))):
        rows = []
        for _ in range(draw(st.integers(0, 6))):
            start, end = sorted((draw(TIMES), draw(TIMES)))
            rows.append((start, end + 0.001, draw(LABELS), draw(st.floats(0.0, 1.0))))
        videos[f"v{v}"] = annotation(*rows)
    scored = any(entry.labels for entry in videos.values())
    return Annotated(videos, scored)


@given(annotated_videos())
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_anything_comes_back(tmp_path_factory, annotated):
    folder = tmp_path_factory.mktemp("any")
    for name in WRITABLE:
        path = folder / f"{name}{SUFFIX.get(name, '')}"
        write_annotated(path, annotated, OPTIONS, name)
        found = read_annotated(path, OPTIONS, name)
        assert_same(found, annotated, name, max(KEEPS[name][0], 1e-9))


def test_our_own_readers_take_what_is_written(tmp_path):
    write_annotated(tmp_path / "p.json", DETECTIONS, OPTIONS, "activitynet")
    write_annotated(tmp_path / "p.csv.gz", DETECTIONS, OPTIONS, "csv")
    expected = load_predictions(tmp_path / "p.json")
    found = load_detections(tmp_path / "p.csv.gz").to_videos()
    for video, entry in expected.items():
        assert found[video].segments.tolist() == entry.segments.tolist()
        assert found[video].labels == entry.labels
        assert found[video].scores.tolist() == entry.scores.tolist()
    write_annotated(tmp_path / "gt.json", ANNOTATIONS, OPTIONS, "activitynet")
    truth = load_ground_truth(tmp_path / "gt.json", "validation")
    assert truth["v"].duration == 60.5


def test_elan_tiers_do_not_overlap_and_fit_the_schema(tmp_path):
    write_annotated(tmp_path / "eaf", DETECTIONS, OPTIONS, "elan")
    root = ElementTree.parse(tmp_path / "eaf" / "v 1.eaf").getroot()
    # The order that the schema asks for.
    tags = list(dict.fromkeys(child.tag for child in root))
    assert tags == ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT"]
    times = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")}
    kinds = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")}
    ids, tiers = [], {}
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in kinds
        spans = []
        for own in tier.iter("ALIGNABLE_ANNOTATION"):
            spans.append((times[own.get("TIME_SLOT_REF1")], times[own.get("TIME_SLOT_REF2")]))
            ids.append(own.get("ANNOTATION_ID"))
        spans.sort()
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        assert all(start < end for start, end in spans)
        tiers[tier.get("TIER_ID")] = tier.get("PARENT_REF")
    assert set(tiers) == {
        "jump", "jump score", "jump (2)", "jump (2) score", 'a <b> & "c", d',
        'a <b> & "c", d score',
    }  # fmt: skip
    assert all(parent in tiers for parent in tiers.values() if parent)
    assert len(set(ids)) == len(ids) == 3


def test_elan_files_of_others(tmp_path):
    (tmp_path / "w.eaf").write_text(
        """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1500"/>
<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2750"/></TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="jump"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE></ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt"/>
</ANNOTATION_DOCUMENT>"""
    )
    found = read_annotated(tmp_path / "w.eaf", OPTIONS)
    assert found.videos["w"].segments.tolist() == [[1.5, 2.75]]
    assert found.videos["w"].labels == ["jump"]  # the tier's name
    assert not found.scored


LAUGHS = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>
<ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "DOCTYPE is not allowed"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "DOCTYPE is not allowed"),
        ("<a>" * 100 + "</a>" * 100, "more than 64 deep"),
        ("<a>", "not readable XML"),
        ("", "not readable XML"),
    ],
)
def test_hostile_xml_is_refused(tmp_path, text, message):
    path = tmp_path / "v.eaf"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_xml(path)
    with pytest.raises(ValueError, match=message):
        read_annotated(path, OPTIONS)


def test_label_studio_exports(tmp_path):
    """As Label Studio 1.x saves them: what was corrected goes before what was predicted, and the
    newest annotation before older and cancelled ones."""

    def region(start, end, *labels):
        value = {"start": start, "end": end, "channel": 0, "labels": list(labels)}
        return {"id": "x", "type": "labels", "from_name": "l", "to_name": "a", "value": value}

    frames = {"ranges": [{"start": 26, "end": 50}], "timelinelabels": ["run"]}
    tasks = [
        {
            "id": 7,
            "data": {"video": "/data/local-files/?d=videos/some%20video.mp4"},
            "predictions": [{"result": [region(0, 1, "jump") | {"score": 0.5}]}],
            "annotations": [
                {"updated_at": "2024-02-01", "result": [region(2, 3, "jump", "run")]},
                {"updated_at": "2024-01-01", "result": []},
                {"updated_at": "2024-03-01", "was_cancelled": True, "result": []},
            ],
        },
        {
            "id": 8,
            "data": {"video_url": "https://host.example/a/clip.7.mp4?token=1", "fps": 25},
            "annotations": [
                {"result": [{"type": "timelinelabels", "value": frames},
                            {"type": "choices", "value": {"choices": ["good"]}}]}
            ],
        },
        {"id": 9, "data": {"audio": "upload/1/ff-x.wav"}, "annotations": [], "predictions": []},
    ]  # fmt: skip
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    found = read_annotated(path, OPTIONS)
    assert list(found.videos) == ["some video", "clip.7", "ff-x"]
    assert found.videos["some video"].segments.tolist() == [[2.0, 3.0], [2.0, 3.0]]
    assert found.videos["some video"].labels == ["jump", "run"]
    assert found.videos["clip.7"].segments.tolist() == [[1.0, 2.0]]  # frames 26 to 50
    assert not found.scored
    assert found.notes == [
        "1 tasks have several annotations: the newest of each was taken",
        "1 results are no segments with labels: left out",
    ]
    del tasks[1]["data"]["fps"]
    path.write_text(json.dumps(tasks))
    with pytest.raises(ValueError, match="--fps"):
        read_annotated(path, OPTIONS)
    assert read_annotated(path, replace(OPTIONS, fps=50.0)).videos["clip.7"].segments.tolist() == [
        [0.5, 1.0]
    ]


def test_the_labelling_interface_has_every_class(tmp_path):
    write_annotated(tmp_path / "tasks.json", DETECTIONS, OPTIONS, "label-studio")
    root = ElementTree.parse(tmp_path / "tasks.config.xml").getroot()
    assert [label.get("value") for label in root.iter("Label")] == DETECTIONS.classes()
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    names = {tag.get("name") for tag in root.iter()}
    region = tasks[0]["predictions"][0]["result"][0]
    assert {region["from_name"], region["to_name"]} <= names
    assert tasks[0]["data"]["video"] == "v 1.mp4"


def test_via_projects_of_others(tmp_path):
    """A text attribute under another name, a file's name with a suffix, a region in a frame."""
    project = {
        "project": {"pid": "x", "vid_list": ["1"]},
        "attribute": {"3": {"aname": "Activity", "anchor_id": "FILE1_Z2_XY0", "type": 1}},
        "file": {"5": {"fid": "5", "fname": "folder/w.mp4", "type": 4, "loc": 1, "src": ""}},
        "view": {"1": {"fid_list": ["5"]}},
        "metadata": {
            "a": {"vid": "1", "flg": 0, "z": [1, 2.5], "xy": [], "av": {"3": "jump"}},
            "b": {"vid": "1", "flg": 0, "z": [3], "xy": [2, 0, 0, 5, 5], "av": {}},
        },
    }
    path = tmp_path / "project.json"
    path.write_text(json.dumps(project))
    found = read_annotated(path, OPTIONS)
    assert found.videos["w"].segments.tolist() == [[1.0, 2.5]]
    assert found.videos["w"].labels == ["jump"]
    assert found.notes == ["1 entries are no temporal segments: left out"]
    project["metadata"]["a"]["av"] = {}
    path.write_text(json.dumps(project))
    with pytest.raises(ValueError, match="has no label"):
        read_annotated(path, OPTIONS)


def test_audacity_tracks_of_others(tmp_path):
    (tmp_path / "v.txt").write_text("0.500000\t1.5\tjump high\n\\\t100.0\t200.0\n\n3\t3\tclap\n")
    found = read_annotated(tmp_path / "v.txt", OPTIONS)
    assert found.videos["v"].segments.tolist() == [[0.5, 1.5], [3.0, 3.0]]
    assert found.videos["v"].labels == ["jump high", "clap"]
    (tmp_path / "v.txt").write_text("0.5 1.5 jump\n")
    with pytest.raises(ValueError, match="line 1"):
        read_annotated(tmp_path / "v.txt", OPTIONS)


def test_csv_rows_that_were_added_by_hand(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(
        "video,start,end,label,score\nv,1,2,jump,0.5\nv,3,4,run,\nempty,,,,\n", encoding="utf-8"
    )
    found = read_annotated(path, OPTIONS)
    assert not found.scored
    assert found.videos["v"].segments.tolist() == [[1, 2], [3, 4]]
    assert found.videos["empty"].labels == []
    with pytest.raises(ValueError, match="line 3: score"):
        load_detections(path)


def test_runs_of_snippets():
    labels = np.array([[0.0, 0.6], [0.5, 0.6], [1.0, 0.2], [0.2, 0.7]], dtype=np.float32)
    found = [(r.label, r.start, r.end, r.score) for r in runs(labels, ["a", "b"], 0.5, 0.64)]
    assert found == [
        ("a", 0.64, 1.92, 0.75),
        ("b", 0.0, 1.28, pytest.approx(0.6)),
        ("b", pytest.approx(1.92), 2.56, pytest.approx(0.7)),
    ]


def test_pseudo_labels(tmp_path):
    labels = np.zeros((10, 2), dtype=np.float32)
    labels[2:5, 1] = 0.75
    folder = tmp_path / "labels"
    folder.mkdir()
    np.save(folder / "v.npy", labels)
    about = {"classes": ["jump", "run"], "snippet_seconds": {"v": 0.5}, "videos": {"v": 10}}
    (folder / "labels.json").write_text(json.dumps(about))
    found = read_annotated(folder, OPTIONS)
    assert found.scored
    assert found.videos["v"].segments.tolist() == [[1.0, 2.5]]
    assert found.videos["v"].labels == ["run"]
    assert found.videos["v"].duration == 5.0
    np.savez(tmp_path / "l.npz", v=labels, classes=np.array(["jump", "run"]))
    with pytest.raises(ValueError, match="--snippet-seconds"):
        read_annotated(tmp_path / "l.npz", OPTIONS)
    again = read_annotated(tmp_path / "l.npz", replace(OPTIONS, snippet_seconds=0.5))
    assert again.videos["v"].segments.tolist() == [[1.0, 2.5]]
    about["videos"] = {"../v": 10}
    (folder / "labels.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="cannot be a file's name"):
        read_annotated(folder, OPTIONS)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", ""])
def test_names_do_not_lead_out_of_the_folder(tmp_path, name):
    tasks = [{"data": {"video_name": name or "/", "video": "x.mp4"}, "annotations": []}]
    (tmp_path / "t.json").write_text(json.dumps(tasks))
    with pytest.raises(ValueError, match="cannot be a file's name"):
        read_annotated(tmp_path / "t.json", OPTIONS)
    for form in ("elan", "audacity"):
        with pytest.raises(ValueError, match="cannot be a file's name"):
            write_annotated(tmp_path / "out", Annotated({name: annotation()}, False), OPTIONS, form)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("media", "name"),
    [
        ("v.mp4", "v"),
        ("C:\\videos\\my v.mp4", "my v"),
        ("https://host.example/a%20b.webm?x=1#t", "a b"),
        ("/data/local-files/?d=x/y.mp4", "y"),
        ("s3://bucket/dir/v_1.2.mp4", "v_1.2"),
    ],
)
def test_video_of_an_address(media, name):
    assert video_of(media) == name


def command(*arguments: object) -> int:
    return main(["exchange", *map(str, arguments)])


def test_command_there_and_back(tmp_path, capsys):
    write_annotated(tmp_path / "p.json", DETECTIONS, OPTIONS, "activitynet")
    source, tasks = tmp_path / "p.json", tmp_path / "tasks.json"
    media = "https://host.example/{video}.mp4"
    assert command(source, "-o", tasks, "--to", "label-studio", "--top", 2, "--min-score", 0.3,
                   "--media", media) == 0  # fmt: skip
    assert "2 segments in 2 videos" in capsys.readouterr().out
    assert json.loads(tasks.read_text())[0]["data"]["video"] == "https://host.example/v 1.mp4"
    back = tmp_path / "gt.json"
    assert command(tasks, "-o", back, "--to", "activitynet", "--as", "annotations") == 0
    assert load_ground_truth(back)["v 1"].segments.tolist() == [[1.25, 4.5]]
    # What is there may have been corrected by hand.
    before = tasks.read_bytes()
    assert command(source, "-o", tasks, "--to", "label-studio") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert tasks.read_bytes() == before
    assert command(source, "-o", tasks, "--to", "label-studio", "--overwrite") == 0
    assert tasks.read_bytes() != before
    assert command(source, "-o", tmp_path / "a", "--to", "audacity") == 0
    assert "no place for scores" in capsys.readouterr().out
    tracks = sorted((tmp_path / "a").iterdir())
    assert len(tracks) > 1
    for track in tracks[:2]:
        track.write_text("corrected by hand")
    assert command(source, "-o", tmp_path / "a", "--to", "audacity") == 2
    assert "1 files more" in capsys.readouterr().err
    assert tracks[0].read_text() == "corrected by hand"


@pytest.mark.parametrize("name", ["audacity", "elan"])
def test_an_export_that_was_killed_half_way_is_gone_on_with(tmp_path, name):
    write_annotated(tmp_path / "whole", DETECTIONS, OPTIONS, name)
    whole = {file.name: file.read_bytes() for file in (tmp_path / "whole").iterdir()}
    (tmp_path / "half").mkdir()
    first = min(whole)
    (tmp_path / "half" / first).write_bytes(whole[first])
    write_annotated(tmp_path / "half", DETECTIONS, OPTIONS, name)
    assert {file.name: file.read_bytes() for file in (tmp_path / "half").iterdir()} == whole


def test_command_says_what_is_wrong(tmp_path, capsys):
    write_annotated(tmp_path / "gt.json", ANNOTATIONS, OPTIONS, "activitynet")
    truth, out = tmp_path / "gt.json", tmp_path / "out.csv"
    for arguments, message in (
        ((tmp_path / "absent", "--to", "csv"), "does not exist"),
        ((truth, "--to", "csv", "--top", 3), "no scores to choose by"),
        ((truth, "--to", "csv", "--as", "predictions"), "have a score"),
        ((truth, "--to", "csv", "--subset", "x"), "it has test, validation"),
        ((truth, "--to", "csv", "--from", "elan"), "not readable XML"),
        ((truth, "--to", "elan", "--media", "x.mp4"), "{video}"),
    ):
        assert command(*arguments, "-o", out) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()
    assert command(truth, "--to", "csv", "-o", out, "--subset", "test") == 0
    assert out.read_text() == "video,subset,duration,start,end,label\nnothing,test,3.0,,,\n"


def test_every_format_has_the_interface():
    for form in FORMATS:
        assert form.NAME
        assert callable(form.matches)
        assert callable(form.read)


@pytest.mark.real_data
def test_real_detections_there_and_back(data_root, tmp_path):
    source = data_root / "thumos14" / "detections_supervised_b.json.gz"
    detections = read_annotated(source, OPTIONS)
    some = dict(list(detections.videos.items())[:12])
    detections = replace(detections, videos=some)
    for name in WRITABLE:
        path = Path(tmp_path / f"{name}{SUFFIX.get(name, '')}")
        write_annotated(path, detections, OPTIONS, name)
        found = read_annotated(path, OPTIONS)
        expected = detections
        if name in ("elan", "audacity"):
            expected = replace(detections, videos=dict(sorted(detections.videos.items())))
        own = {video: len(entry.labels) for video, entry in found.videos.items()}
        assert own == {video: len(entry.labels) for video, entry in expected.videos.items()}
