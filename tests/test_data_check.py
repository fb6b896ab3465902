"""`gaufuse data check` reports everything that is wrong, and says so by its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gaufuse.cli.main import main
from gaufuse.data.dataset import load_dataset
from training_setups import tiny_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_dataset(tmp_path / "data")


def check(folder: Path) -> tuple[int, dict, dict]:
    """Exit status, the report, and the videos of each kind of problem."""
    path = folder.parent / "report.json"
    status = main(["data", "check", str(folder), "--json", str(path)])
    report = json.loads(path.read_text())
    return status, report, {p["kind"]: p["videos"] for p in report["problems"]}


def test_a_good_data_set(folder):
    status, report, problems = check(folder)
    assert (status, report["ok"], problems) == (0, True, {})
    assert report["videos"] == {"training": 9, "testing": 6}
    assert report["dtypes"] == {"float16": 15}
    lengths = [len(np.load(path)) for path in (folder / "features").glob("training*.npy")]
    assert report["snippets"]["training"] == sum(lengths)
    assert all(counts["training"] >= 3 for counts in report["class_videos"].values())


def test_json_on_stdout_is_all_there_is(folder, capsys):
    assert main(["data", "check", str(folder), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]


def edit(folder: Path, change) -> None:
    path = folder / "annotations.json"
    table = json.loads(path.read_text())
    change(table["database"])
    path.write_text(json.dumps(table))


def test_all_that_is_wrong_is_reported_at_once(folder):
    features = {i: folder / "features" / f"training_{i:04d}.npy" for i in range(9)}
    array = np.load(features[0])
    features[0].unlink()
    np.save(features[1], np.full_like(array, np.inf))
    np.save(features[2], array[:, :-1])
    np.save(features[3], array.astype(np.int32))
    features[4].write_bytes(b"nothing")
    np.save(features[5], np.load(features[6]))
    np.save(folder / "features" / "stranger.npy", array)

    def change(videos):
        videos["testing_0000"]["duration"] *= 3
        videos["testing_0001"]["annotations"][0]["segment"] = [5, 1e4]
        videos["testing_0002"]["annotations"][0]["segment"] = [-3, 4]
        videos["testing_0003"]["annotations"][0]["label"] = "juggling"
        videos["testing_0004"]["annotations"] = []
        videos["training_0007"]["annotations"] = []
        videos["testing_0005"]["annotations"][0]["segment"] = [4, 4]

    edit(folder, change)
    status, report, problems = check(folder)
    assert status == 1
    assert not report["ok"]
    assert problems.pop("length differs from duration")[-1] == "testing_0000"
    assert problems == {
        "no features": ["training_0000"],
        "NaN or infinite": ["training_0001"],
        "wrong shape": ["training_0002"],
        "not floats": ["training_0003"],
        "unreadable features": ["training_0004"],
        "same features twice": ["training_0006"],
        "features without annotations": ["stranger"],
        "segment past the video's end": ["testing_0001"],
        "segment before the video": ["testing_0002"],
        "unknown class": ["testing_0003"],
        "test video without labels": ["testing_0004"],
        "training video without labels": ["training_0007"],
        "empty segment": ["testing_0005"],
    }


@pytest.mark.parametrize("value", [1e39, -1e300, 3.5e38])
def test_float64_that_overflows_float32(folder, value, capsys):
    """Training computes in float32, whose largest number is 3.4028e38."""
    path = folder / "features" / "training_0002.npy"
    array = np.load(path).astype(np.float64)
    array[3, 1] = value
    np.save(path, array)
    status, _, problems = check(folder)
    assert status == 1
    assert problems == {"too large for float32": ["training_0002"]}
    with pytest.raises(ValueError, match=r"1 values too large for float32 .*first in snippet 3"):
        load_dataset(folder)
    assert main(["train", str(folder), "--output", str(folder.parent / "run")]) == 2
    assert "training_0002.npy has 1 values too large for float32" in capsys.readouterr().err
    array[3, 1] = 3.4e38
    np.save(path, array)
    status, _, problems = check(folder)
    assert (status, problems) == (0, {"very large values": ["training_0002"]})


def test_float64_is_used_as_float32(folder):
    path = folder / "features" / "training_0002.npy"
    array = np.full(np.load(path).shape, 0.1, np.float64)
    np.save(path, array)
    assert check(folder)[0] == 0
    features = load_dataset(folder).training.features[2]
    assert features.dtype == torch.float32
    assert features.unique().tolist() == [pytest.approx(0.1, abs=1e-8)]
    np.save(path, array * 1e-60)  # zero in float32
    assert check(folder)[2] == {"all zero": ["training_0002"]}


def test_the_reason_of_a_loss_that_is_not_finite(folder, tmp_path, capsys):
    path = folder / "features" / "training_0002.npy"
    np.save(path, np.full(np.load(path).shape, 3e38, np.float32))
    arguments = ["train", str(folder), "--output", str(tmp_path / "run")]
    assert main([*arguments, "--set", "data.standardize=false"]) == 2
    error = capsys.readouterr().err
    assert "the loss is not finite in epoch 1" in error
    assert "the features of 'training_0002' reach 3e+38" in error
    assert "there is no checkpoint yet" in error
    assert "learning rate" not in error


def test_names_that_differ_by_a_prefix(folder):
    for path in (folder / "features").glob("*.npy"):
        path.rename(path.with_name(f"v_{path.name}"))
    status, report, problems = check(folder)
    assert status == 1
    assert len(problems["no features"]) == len(problems["features without annotations"]) == 15
    (hint,) = (p for p in report["problems"] if p["kind"].startswith("names differ"))
    assert "--template 'v_{video}'" in hint["detail"]
    out = folder.parent / "converted"
    assert main(["convert", str(folder), str(out), "--template", "v_{video}"]) == 0
    assert len(load_dataset(out).training) == 9
    assert check(out)[2] == {}


def test_files_of_other_systems_are_no_features(folder):
    name = "training_0000"
    (folder / "features" / f"._{name}.npy").write_bytes(b"\x00\x05\x16\x07")
    edit(folder, lambda videos: videos.update({"Caf\u00e9": videos.pop(name)}))
    path = folder / "features" / f"{name}.npy"
    path.rename(path.with_name("Cafe\u0301.npy"))  # as macOS writes it
    status, _, problems = check(folder)
    assert (status, problems) == (0, {})
    assert "Caf\u00e9" in load_dataset(folder).training.names


def test_a_duration_that_is_not_positive(folder):
    edit(folder, lambda videos: videos["testing_0000"].update(duration=-4.0))
    assert check(folder)[2] == {"duration not positive": ["testing_0000"]}


def test_warnings_alone_are_not_a_failure(folder):
    edit(folder, lambda videos: videos["testing_0000"].update(duration=1e5))
    status, report, problems = check(folder)
    assert (status, report["ok"]) == (0, True)
    assert list(problems) == ["length differs from duration"]


def test_classes_without_training_videos(folder):
    def change(videos):
        for name, entry in videos.items():
            for annotation in entry["annotations"]:
                if name.startswith("training"):
                    annotation["label"] = "action_0"

    edit(folder, change)
    status, _, problems = check(folder)
    assert status == 1
    assert problems == {"class without training videos": ["action_1", "action_2"]}


def test_a_shared_duration_needs_one(folder):
    info = folder / "dataset.toml"
    info.write_text(info.read_text().replace("snippet_seconds = 0.64", "snippets = 40", 1))
    edit(folder, lambda videos: videos["testing_0001"].pop("duration"))
    for path in (folder / "features").glob("*.npy"):
        np.save(path, np.resize(np.load(path), (40, 12)))
    np.save(folder / "features" / "testing_0000.npy", np.ones((39, 12), np.float32))
    status, _, problems = check(folder)
    assert status == 1
    assert problems == {
        "wrong number of snippets": ["testing_0000"],
        "no duration": ["testing_0001"],
    }


def test_no_data_set(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "is not a data set folder" in capsys.readouterr().err


@pytest.mark.real_data
def test_real_features(data_root, tmp_path):
    report = tmp_path / "report.json"
    folder = data_root / "gtea_clips" / "split1"
    assert main(["data", "check", str(folder), "--json", str(report)]) == 0
    assert json.loads(report.read_text())["ok"]
