"""`gaufuse train` on a data set of another layout: one command from its files to a result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import field_layouts as layouts
from gaufuse.cli.main import main
from gaufuse.training.run_folder import locked
from gaufuse.utils.files import remove_folder
from training_setups import SHORT

SETTINGS = [part for setting in SHORT for part in ("--set", setting)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """As RSKP has its data, of a tiny data set."""
    folder = tmp_path / "Thumos14"
    dataset = layouts.original(tmp_path / "original")
    layouts.write_annotation_arrays(folder / "Thumos14reduced-Annotations", dataset)
    arrays = [features for _, _, features in layouts.videos(dataset)]
    layouts.write_joint(folder / "Thumos14reduced-I3D-JOINTFeatures.npy", arrays, "python2")
    return folder


def train(target: Path, output: Path, *options: str) -> int:
    options = ("--config", "simulated", *SETTINGS, *options)
    return main(["train", str(target), "--output", str(output), *options])


def test_the_files_of_rskp_and_the_same_videos_in_our_layout_train_alike(source, tmp_path):
    assert train(source, tmp_path / "run") == 0
    assert train(tmp_path / "original", tmp_path / "ours") == 0
    first, second = (
        json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("run", "ours")
    )
    assert first == second
    assert train(tmp_path / "run" / "dataset", tmp_path / "further") == 0


def test_a_resumed_run_does_not_need_the_source_again(source, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(source, run) == 0
    expected = (run / "metrics.json").read_text()
    (run / "metrics.json").unlink()
    last = sorted((run / "checkpoints").iterdir())[-1]
    remove_folder(last)
    for file in source.glob("*.npy"):
        file.write_bytes(b"")
    assert train(source, run, "--resume") == 0
    assert (run / "metrics.json").read_text() == expected
    assert "brought into our layout" in capsys.readouterr().out


def test_options_of_convert(source, tmp_path):
    assert train(source, tmp_path / "run", "--convert=--resample 20 --name 'half as long'") == 0
    info = (tmp_path / "run" / "dataset" / "dataset.toml").read_text()
    assert "snippets = 20" in info
    assert 'name = "half as long"' in info


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--convert=--resample many",), "argument --resample: invalid int value"),
        (("--convert=--faster",), "gaufuse convert has no --faster"),
        (("--dry-run",), "run `gaufuse convert"),
        (("--set", "data.batch_size=0"), "data.batch_size"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    source, tmp_path, capsys, options, message
):
    assert train(source, tmp_path / "run", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_replaced_unasked(source, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(source, run) == 0
    assert train(source, run) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (run / "metrics.json").is_file()


def test_the_data_set_of_a_run_in_progress_is_not_replaced(source, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(source, run) == 0
    before = (run / "dataset" / "dataset.toml").stat()
    with locked(run):
        assert train(source, run, "--overwrite") == 2
    assert "another run is going on" in capsys.readouterr().err
    assert (run / "dataset" / "dataset.toml").stat() == before


def test_convert_is_for_other_layouts(tmp_path, capsys):
    layouts.original(tmp_path / "original")
    assert train(tmp_path / "original", tmp_path / "run", "--convert=--float16") == 2
    assert "is of ours already" in capsys.readouterr().err
