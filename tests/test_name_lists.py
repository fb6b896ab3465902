"""Text that people write beside their data: one name a line, whatever editor wrote it."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

import field_layouts as layouts
import gaufuse_ext as gx
from gaufuse.cli.main import main
from gaufuse.config import load_config
from gaufuse.data.dataset import Dataset, load_dataset
from gaufuse.utils.name_lists import read_class_names, read_names, read_table
from gaufuse_ext.text import read_text
from test_convert import convert, refused

TEXT = "Fire Domino\nÉtude\n\nLast\n"
ENCODED = {
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16, little end": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16, big end": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "utf-32": codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    "utf-32, big end": codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
    "Windows": codecs.BOM_UTF8 + TEXT.replace("\n", "\r\n").encode(),
    "old Macintosh": TEXT.replace("\n", "\r").encode(),
    "spaces around": b"  Fire Domino \t\n\xc3\x89tude\nLast",
}


@pytest.mark.parametrize("data", ENCODED.values(), ids=ENCODED)
def test_one_name_a_line(tmp_path, data):
    path = tmp_path / "names.txt"
    path.write_bytes(data)
    assert read_names(path) == ["Fire Domino", "Étude", "Last"]


def test_names_keep_what_only_looks_like_a_line_end(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("a\u2028b\nc\x0cd\x85e\n", encoding="utf-8")
    assert read_names(path) == ["a\u2028b", "c\x0cd\x85e"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("Étude".encode("latin-1"), "not UTF-8 text .*at byte 0"),
        ("Fire".encode("utf-16-le"), "zero bytes"),
        (codecs.BOM_UTF16_LE + b"x", "not UTF-16 text"),
    ],
)
def test_text_in_an_unknown_encoding(tmp_path, data, message):
    path = tmp_path / "names.txt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_text(path)


def test_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_names(tmp_path / "absent.txt")
    with pytest.raises(ValueError, match="is a folder"):
        read_names(tmp_path)


def test_json_lists(tmp_path):
    path = tmp_path / "names.json"
    path.write_bytes(codecs.BOM_UTF8 + b'["Fire Domino", "x"]')
    assert read_names(path) == ["Fire Domino", "x"]
    for value in ({"a": 1}, [1, 2], ["a", None]):
        path.write_text(json.dumps(value))
        with pytest.raises(ValueError, match="must be a JSON list of names"):
            read_names(path)


def test_class_names(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("jump\nrun\njump\n")
    with pytest.raises(ValueError, match="'jump' is there twice"):
        read_class_names(path)
    path.write_text("\n \n")
    with pytest.raises(ValueError, match="must name different classes"):
        read_class_names(path)


@pytest.mark.parametrize(
    "data",
    [
        b"video,subset\na b,training\nc,testing\n",
        codecs.BOM_UTF8 + b"video,subset\r\na b,training\r\nc,testing\r\n",
        "video;subset;x\na b;training;1\nc;testing;2\n".encode("utf-16"),
        b"n\tsubset\tvideo\n1\ttraining\ta b\n2\ttesting\tc\n\n",
        b' video , subset \n"a b", training\nc,testing\n\n',
    ],
)
def test_tables(tmp_path, data):
    path = tmp_path / "subsets.csv"
    path.write_bytes(data)
    assert read_table(path, "video", "subset") == {"a b": "training", "c": "testing"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns video and subset"),
        ("name,subset\na,b\n", "columns video and subset, got 'name,subset'"),
        ("video,subset\na\n", "line 2: video or subset is missing"),
        ("video,subset\na,\n", "line 2: video or subset is missing"),
        ("video,subset\na,x\nb,x\na,y\n", "line 4: video 'a' has subset 'x' before and 'y' here"),
    ],
)
def test_tables_that_are_wrong(tmp_path, text, message):
    path = tmp_path / "subsets.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(path, "video", "subset")


@pytest.fixture
def dataset(dataset: Dataset, source: Path) -> Dataset:
    """With two more training videos, "Fire" and "Fire Domino"."""
    layouts.write_gt_json(source / "gt.json", dataset)
    table = json.loads((source / "gt.json").read_text())
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / f"{name}.npy", features)
    first = dataset.training.names[0]
    for name in ("Fire", "Fire Domino"):
        table["database"][name] = table["database"][first]
        features = np_of(dataset, first)
        layouts.write_file(source / "features" / f"{name}.npy", features)
    (source / "gt.json").write_text(json.dumps(table))
    return dataset


def np_of(dataset: Dataset, name: str):
    return {n: f for n, _, f in layouts.videos(dataset)}[name]


def test_a_missing_video_whose_name_has_a_space(source, dataset, capsys):
    path = source.parent / "missing.txt"
    path.write_bytes(codecs.BOM_UTF8 + b"Fire Domino\r\nv_nowhere\r\n")
    found = convert(source, "--missing", str(path))
    assert found.training.names == [*dataset.training.names, "Fire"]
    said = " ".join(capsys.readouterr().out.split())
    assert "left out, listed as missing: 1 (Fire Domino)" in said
    assert "1 of 2 names of --missing are not in" in said
    assert "v_nowhere" in said


def test_subsets_of_videos_that_are_not_there(source, dataset, capsys):
    path = source.parent / "subsets.csv"
    path.write_bytes("video,subset\nFire,testing\nGhost,training\n".encode("utf-16"))
    found = convert(source, "--subsets", str(path))
    assert found.testing.names == [*dataset.testing.names, "Fire"]
    said = " ".join(capsys.readouterr().out.split())
    assert "1 videos of --subsets are not in" in said
    assert "Ghost" in said
    names = [*dataset.training.names, *dataset.testing.names]
    path.write_text("video,subset\n" + "".join(f"v_{name},training\n" for name in names))
    (source.parent / "converted").rename(source.parent / "first")
    error = refused(source, capsys, "--subsets", str(path))
    assert "no video of --subsets is in" in error
    assert "v_{video}" in error


def test_settings_with_a_mark(tmp_path):
    """Some editors put one before TOML, too."""
    data = layouts.original(tmp_path / "data").info.root
    info = data / "dataset.toml"
    info.write_bytes(codecs.BOM_UTF8 + info.read_bytes())
    assert load_dataset(data).info.name == "simulated, seed 3"
    config = tmp_path / "own.toml"
    config.write_bytes(codecs.BOM_UTF8 + b'base = "thumos14"\r\nseed = 4\r\n')
    assert load_config(config).seed == 4


def test_ambiguous_intervals_with_a_mark(tmp_path):
    """All of the only prediction lies in an ambiguous interval: nothing is left of it."""
    truth = {"v": {"annotations": [{"segment": [0, 20], "label": "a"}]}}
    found = {"v": [{"segment": [0, 20], "label": "a", "score": 1.0}]}
    path = tmp_path / "Ambiguous_test.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes("v  0.0 20.0\r\n".encode(encoding))
        result = gx.detection_map(found, truth, [0.5], "thumos", ambiguous=path)
        assert result.average_map == 0.0
    assert gx.detection_map(found, truth, [0.5], "thumos").average_map == 100.0


def test_classes_by_number_and_by_name(source, dataset, capsys):
    path = source.parent / "classes.txt"
    path.write_bytes("action_2\r\naction_0\r\nunused\r\naction_1".encode("utf-8-sig"))
    found = convert(source, "--classes", str(path), "--overwrite")
    assert found.info.classes == ["action_2", "action_0", "unused", "action_1"]
    path.write_text("action_0\naction_1\n")
    (source.parent / "converted").rename(source.parent / "first")
    assert "has class 'action_2', which --classes" in refused(
        source, capsys, "--classes", str(path)
    )
    assert main(["convert", str(source), str(source.parent / "x"), "--classes", "absent"]) == 2
    assert "absent does not exist" in capsys.readouterr().err
