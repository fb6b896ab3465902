"""What is printed: names as they are, tables that nothing is cut from."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import gaufuse
import gaufuse_ext
from gaufuse.cli.main import main
from gaufuse.utils.console import UNCUT, make_console, map_table
from training_setups import tiny_dataset

NAMES = ("Title [id].mp4", "[bold]loud[/bold]", "[/a]", "a :smile: b", "[red]", "\\[x]")


def shown(*things: object, width: int = UNCUT) -> str:
    console = make_console()
    console.file, console._width = io.StringIO(), width
    for thing in things:
        console.print(thing)
    return console.file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_printed_as_they_are(name):
    assert shown(f"video {name} is gone").rstrip() == f"video {name} is gone"
    table = map_table([(name, [50.0], 50.0)], [0.5])
    table.title, table.caption = name, name
    assert shown(table).count(name) == 3


def test_no_console_of_the_package_has_markup():
    """Each is made by `make_console`."""
    roots = Path(gaufuse.__file__).parent, Path(gaufuse_ext.__file__).parent
    for path in (path for root in roots for path in root.rglob("*.py")):
        calls = path.read_text().count(" Console(") + path.read_text().count("=Console(")
        assert calls == (1 if path.name == "console.py" else 0), path


@pytest.mark.parametrize("name", ["runs[/a]", "[id]", "a:smile:b"])
def test_paths_with_brackets(tmp_path, capsys, name):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    source = folder / "p.json"
    source.write_text(
        json.dumps({"Title [id].mp4": [{"segment": [0, 1], "label": "[x]", "score": 1}]})
    )
    output = folder / "fused.json"
    assert main(["fuse", str(source), "-o", str(output)]) == 0
    assert str(output) in capsys.readouterr().out
    assert main(["evaluate", str(source), str(_truth(folder)), "--per-class"]) == 0
    assert "[x]" in capsys.readouterr().out
    assert main(["simulate", str(folder / "data"), "--training-videos", "2"]) == 0
    assert str(folder / "data") in capsys.readouterr().out
    assert main(["data", "check", str(folder / "data")]) in (0, 1)


def _truth(folder: Path) -> Path:
    path = folder / "a.json"
    entry = {"annotations": [{"segment": [0, 1], "label": "[x]"}]}
    path.write_text(json.dumps({"Title [id].mp4": entry}))
    return path


def test_names_in_a_data_check(tmp_path, capsys):
    data = tiny_dataset(tmp_path / "data")
    path = data / "annotations.json"
    table = json.loads(path.read_text())
    first = next(iter(table["database"]))
    table["database"]["Title [id].mp4"] = table["database"].pop(first)
    path.write_text(json.dumps(table))
    assert main(["data", "check", str(data)]) == 1
    assert "Title [id].mp4" in capsys.readouterr().out


THRESHOLDS = [0.5 + 0.05 * k for k in range(10)]
LONGEST = "pseudo labels, epoch 245"


@pytest.mark.parametrize("count", [7, 10])
def test_the_usual_tables_fit_into_80_columns(count):
    rows = [(LONGEST, [66.9] * count, 66.95), ("base model, epoch 60", [5.1] * count, 5.12)]
    lines = shown(map_table(rows, THRESHOLDS[:count]), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if LONGEST in line)
    assert row.split()[4:] == ["66.9"] * count + ["66.95"], "on one line"
    for threshold in THRESHOLDS[:count]:
        assert f" {threshold:.3g}" in lines[1]


def test_where_a_terminal_is_too_narrow_names_are_folded_and_nothing_is_cut():
    name = "a class with a name that is much too long for it"
    text = shown(map_table([(name, [66.9] * 10, 66.95)], THRESHOLDS), width=80)
    assert "…" not in text
    first_columns = " ".join(line[:24].strip() for line in text.splitlines()[3:])
    assert " ".join(first_columns.split()) == name
    assert text.count("66.9 ") == 10


def evaluate_in(folder: Path, stdout: int, label: str = "[x]", **environment: str) -> None:
    predictions = folder / "p.json"
    predictions.write_text(
        json.dumps({"Title [id].mp4": [{"segment": [0, 1], "label": label, "score": 1}]})
    )
    truth = _truth(folder)
    truth.write_text(truth.read_text().replace("[x]", json.dumps(label)[1:-1]))
    roots = [str(Path(m.__file__).parent.parent) for m in (gaufuse, gaufuse_ext)]
    arguments = ["evaluate", str(predictions), str(truth), "--per-class"]
    arguments += ["--iou-thresholds", "0.05:0.05:0.95"]
    subprocess.run(
        [sys.executable, "-m", "gaufuse", *arguments],
        stdout=stdout,
        check=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(roots)} | environment,
    )


@pytest.mark.parametrize("environment", [{}, {"COLUMNS": "40"}, {"FORCE_COLOR": "1"}])
def test_a_log_is_as_wide_as_its_tables(tmp_path, environment):
    path = tmp_path / "log.txt"
    with path.open("wb") as file:
        evaluate_in(tmp_path, file.fileno(), **environment)
    lines = path.read_text().splitlines()
    assert "…" not in path.read_text()
    rows = [line for line in lines if "[x]" in line]
    assert len(rows) == 1
    assert rows[0].count("100.0") == 20  # 19 thresholds and the mean


@pytest.mark.parametrize(
    ("label", "encoding", "printed"),
    [
        ("Caf\u00e9", "ascii", b"Caf\\xe9"),
        ("Caf\u00e9", "utf-8", "Caf\u00e9".encode()),
        ("broken \udcff", "utf-8", b"broken \\udcff"),
    ],
)
def test_names_that_the_terminal_cannot_show(tmp_path, label, encoding, printed):
    path = tmp_path / "log.txt"
    with path.open("wb") as file:
        evaluate_in(tmp_path, file.fileno(), label, PYTHONIOENCODING=encoding)
    assert printed in path.read_bytes()


def test_a_terminal_has_its_own_width(tmp_path):
    ours, theirs = pty.openpty()
    evaluate_in(tmp_path, theirs, COLUMNS="80", TERM="dumb")
    os.close(theirs)
    chunks = []
    try:
        while chunk := os.read(ours, 1 << 16):
            chunks.append(chunk)
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    lines = b"".join(chunks).decode().replace("\r", "").splitlines()
    assert max(map(len, lines)) <= 80


def test_quiet_and_stderr(capsys):
    make_console(quiet=True).print("nothing")
    make_console(stderr=True).print("something")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "something\n")
    assert isinstance(make_console(), Console)
