"""Detections read natively from JSON: what the general reader reads, or left to that one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaufuse_ext.annotations import Segments, load_predictions, predictions_of
from gaufuse_ext.flat_predictions import load_flat_predictions, read_natively

ENTRY = '{"segment": [0.5, 2.25], "label": "x", "score": 0.75}'


def same(flat, videos: dict[str, Segments]) -> None:
    """To the last bit, signs of zeros too; videos and classes in the same order."""
    own = flat.to_videos()
    assert list(own) == list(videos)
    assert flat.classes == list(dict.fromkeys(x for v in videos.values() for x in v.labels))
    for video, entry in videos.items():
        assert own[video].segments.tobytes() == entry.segments.tobytes()
        assert own[video].scores.tobytes() == entry.scores.tobytes()
        assert own[video].labels == entry.labels


def natively(text: str | bytes):
    return read_natively(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    "text",
    [
        f'{{"results": {{"v": [{ENTRY}]}}}}',
        f'{{"v": [{ENTRY}, {ENTRY}], "w": []}}',
        f'{{"version": "1", "results": {{"v": [{ENTRY}]}}, "external_data": {{"used": [true]}}}}',
        f' {{ "results" : {{ "v" : [ {ENTRY} ] }} , "n": null }} \r\n\t',
        "{}",
        '{"results": {}}',
        '{"v": [{"score": "0.75", "label": 3, "segment": ["0.5", "2.25"]}]}',
        '{"v": [{"segment": [-0, -0.0], "label": -0, "score": "-0"}]}',
        '{"v": [{"segment": [1e-3, 1E+2], "label": "x", "score": -1.5e-300}]}',
        '{"v": [{"segment": [0.1, 0.30000000000000004], "label": "x", "score": 5e-324}]}',
        '{"v": [{"segment": [1, 12345678901234567890], "label": "x", "score": 2.5e-17}]}',
        '{"v": [{"segment": [0, 1], "label": "x", "score": 1, "more": {"a": [1, {"b": 2}]}}]}',
        '{"v\\u00e9\\ud83c\\udfc0\\n\\"": [{"segment": [0, 1], "label": "\\u8df3", "score": 1}]}',
        '{"\\/\\b\\f\\r\\t\\\\": []}',
        '{"vé🏀": [{"segment": [0, 1], "label": "跳水", "score": 1}]}',
        '{"": [{"segment": [0, 1], "label": " x ", "score": 1}]}',
    ],
)
def test_usual_files_are_read_natively(text):
    found = natively(text)
    assert found is not None
    same(found, predictions_of("p.json", text.encode()))


NO_SCORES = [b"NaN", b"Infinity", b"1e999", b"true", b"null", b"01", b"1.", b".5", b"+1", b"1e"]
NO_SCORES += [b"0x1", b'"nan"', b'"1_0"', b'" 1"', b'""', b"- 1", b"9" * 5000, b"--1"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"v": []',
        b'{"v": []} x',
        b'{"v": [],}',
        b'{"v" []}',
        b'{"results": []}',
        b'{"database": {"v": {"annotations": []}}}',
        b'{"v": [], "v": []}',
        b'{"results": {"v": [], "v": []}}',
        b'{"results": {}, "results": {}}',
        b'{"results": {}, "a": {"b": 1, "b": 2}}',
        b'{"v": [3]}',
        b'{"v": {}}',
        b'{"v": [{"segment": [0, 1], "label": "x"}]}',
        b'{"v": [{"segment": [0, 1], "score": 1}]}',
        b'{"v": [{"label": "x", "score": 1}]}',
        b'{"v": [{"segment": [0, 1], "label": "x", "score": 1, "score": 1}]}',
        b'{"v": [{"segment": [0, 1], "label": "x", "score": 1, "a": 1, "a": 1}]}',
        b'{"v": [{"segment": [1, 0], "label": "x", "score": 1}]}',
        b'{"v": [{"segment": [0], "label": "x", "score": 1}]}',
        b'{"v": [{"segment": [0, 1, 2], "label": "x", "score": 1}]}',
        b'{"v": [{"segment": [0, 1], "label": " ", "score": 1}]}',
        b'{"v": [{"segment": [0, 1], "label": "", "score": 1}]}',
        b'{"v": [{"segment": [0, 1], "label": true, "score": 1}]}',
        b'{"v": [{"segment": [0, 1], "label": 1.5, "score": 1}]}',
        b'{"v": [{"segment": [0, 1], "label": null, "score": 1}]}',
        *(
            b'{"v": [{"segment": [0, 1], "label": "x", "score": %b}]}' % score
            for score in NO_SCORES
        ),
        b'{"v\xff": []}',
        b'{"\xed\xa0\x80": []}',  # a surrogate
        b'{"\xc0\xaf": []}',  # longer than need be
        b'{"\xf4\x90\x80\x80": []}',  # beyond Unicode
        b'{"\xe2\x82": []}',  # cut short
        b'{"v\\ud800": []}',
        b'{"v\\udc00": []}',
        b'{"v\\ud800\\u0041": []}',
        b'{"v\\x": []}',
        b'{"v\\u12g4": []}',
        b'{"v\\',
        b'{"v\\u00',
        b'{"v\n": []}',
        b'{"v": [], "w": ' + b"[" * 100_000,
        b'{"results": {}, "w": ' + b"[" * 20 + b"]" * 20 + b"}",
        b"\xef\xbb\xbf{}",
        '{"v": []}'.encode("utf-16"),
    ],
)
def test_anything_else_is_left_to_the_general_reader(tmp_path, data):
    assert natively(data) is None
    path = tmp_path / "p.json"
    path.write_bytes(data)
    refused = [reason_of(load, path) for load in (load_predictions, load_flat_predictions)]
    assert refused[0] == refused[1]
    if refused[0] is None:
        same(load_flat_predictions(path), load_predictions(path))


def reason_of(load, path: Path) -> str | None:
    try:
        load(path)
    except ValueError as error:
        return str(error)
    return None


@st.composite
def drawn_files(draw) -> bytes:
    number = st.one_of(
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(10**20), 10**20),
        st.floats(0, 100).map(str),
        st.sampled_from([-0.0, 0, 1e22, 123456789012345678, "3", "1e5"]),
    )
    name = st.text(min_size=1, max_size=4)
    entry = st.fixed_dictionaries(
        {
            "segment": st.tuples(number, number).map(lambda pair: sorted(pair, key=float)),
            "label": st.one_of(name, st.integers(-5, 10**6), st.just("Long Jump")),
            "score": number,
        },
        optional={"extra": st.one_of(st.none(), st.booleans(), number, name)},
    )
    table = draw(st.dictionaries(name, st.lists(entry, max_size=3), max_size=4))
    data = draw(st.sampled_from([table, {"results": table}, {"n": [1], "results": table}]))
    indent, ascii_only = draw(st.sampled_from([None, 1])), draw(st.booleans())
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    return text.encode("utf-8", "surrogatepass")


@settings(max_examples=150, deadline=None)
@given(data=drawn_files())
def test_drawn_files(data):
    """Whatever is read natively is what the general reader reads; what that one refuses is not."""
    found = natively(data)
    if found is not None:
        same(found, predictions_of("p.json", data))


@settings(max_examples=300, deadline=None)
@given(data=drawn_files(), edits=st.data())
def test_damaged_files(data, edits):
    for _ in range(edits.draw(st.integers(1, 4))):
        at = edits.draw(st.integers(0, len(data)))
        new = edits.draw(st.one_of(st.binary(max_size=2), st.sampled_from([*b'{}[]",:\\0-eu'])))
        new = bytes([new]) if isinstance(new, int) else new
        data = data[:at] + new + data[at + edits.draw(st.integers(0, 2)) :]
    found = natively(data)
    if found is not None:
        same(found, predictions_of("p.json", data))


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_files_cut_short(cut):
    assert natively(f'{{"results": {{"v": [{ENTRY}]}}}}'[: -1 - cut]) is None


@pytest.mark.parametrize("name", ["p.json", "p.json.gz"])
def test_gzip(tmp_path, name):
    data = f'{{"results": {{"v": [{ENTRY}]}}}}'.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data))
    same(load_flat_predictions(path), load_predictions(path))
    same(load_flat_predictions(str(path)), load_predictions(path))


def test_an_archive_that_unpacks_without_end(tmp_path):
    """65 MiB of blanks, in 64 KiB: more than 32 MiB, and than 200 times the file."""
    path = tmp_path / "p.json.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(65):
            file.write(b" " * (1 << 20))
    assert path.stat().st_size < 1 << 17
    with pytest.raises(ValueError, match=r"p\.json\.gz holds more than 32 MiB of JSON"):
        load_flat_predictions(path)


def test_parsed_json_and_missing_files(tmp_path):
    table = json.loads(f'{{"v": [{ENTRY}], "w": []}}')
    same(load_flat_predictions(table), load_predictions(table))
    with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
        load_flat_predictions(tmp_path / "none.json")
    with pytest.raises(TypeError, match="predictions must be a path or parsed JSON, got 3"):
        load_flat_predictions(3)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "thumos14/proposals_weak_test",
        "thumos14/proposals_weak_train",
        "thumos14/detections_supervised_a",
        "thumos14/detections_supervised_b",
        "desed_detections/detections_50_thresholds",
    ],
)
def test_real_files_are_read_natively(data_root: Path, name: str):
    path = data_root / f"{name}.json.gz"
    found = natively(gzip.decompress(path.read_bytes()))
    assert found is not None
    same(found, load_predictions(path))
    assert np.isfinite(found.scores).all()
