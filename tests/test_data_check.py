"""`gaufuse data check` reports everything that is wrong, and says so by its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gaufuse.cli.main import main
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
