"""`gaufuse evaluate` and its JSON, in situations whose result is known by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from gaufuse.cli.main import main
from test_thresholds import STAIRS, stairs


def write(path: Path, data: object) -> Path:
    text = json.dumps(data).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    predictions, truth = stairs()
    return write(tmp_path / "p.json", predictions), write(tmp_path / "a.json", truth)


def evaluate(capsys, *arguments: object) -> tuple[dict, str]:
    """The JSON on stdout, and what was said on stderr."""
    assert main(["evaluate", *map(str, arguments), "--json", "-"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def refused(capsys, *arguments: object) -> str:
    assert main(["evaluate", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_thresholds_are_the_protocols_own_and_exact_in_the_json(files, capsys):
    found, _ = evaluate(capsys, *files, "--iou-thresholds", "0.5:0.05:0.95")
    assert found["map"] == pytest.approx(STAIRS)
    assert found["average_map"] == pytest.approx(38.5)
    assert found["iou_thresholds"] == np.linspace(0.5, 0.95, 10).tolist()
    thumos = ["--iou-thresholds", "0.5:0.05:0.95", "--protocol", "thumos"]
    found, _ = evaluate(capsys, *files, *thumos)
    assert found["iou_thresholds"] == np.arange(0.5, 0.96, 0.05).tolist()
    found, _ = evaluate(capsys, *files, "--protocol", "thumos")
    assert found["iou_thresholds"] == np.arange(0.1, 0.71, 0.1).tolist()
    found, _ = evaluate(capsys, *files, "--iou-thresholds", "0.3,0.55")
    assert found["iou_thresholds"] == [0.3, 0.55]


def subsets(tmp_path: Path) -> Path:
    entry = {"annotations": [{"segment": [0, 10], "label": "Diving"}]}
    database = {
        "a": entry | {"subset": "Validation"},
        "b": entry | {"subset": "Validation"},
        "t": entry | {"subset": "Train"},
    }
    return write(tmp_path / "subsets.json", {"database": database})


def predicted(tmp_path: Path, *videos: str, label: object = "Diving") -> Path:
    entry = {"segment": [0, 10], "label": label, "score": 0.5}
    return write(tmp_path / "predicted.json", {"results": {video: [entry] for video in videos}})


def test_the_subset_is_in_the_json(tmp_path, capsys):
    truth = subsets(tmp_path)
    found, said = evaluate(capsys, predicted(tmp_path, "a", "b"), truth)
    assert (found["subset"], found["average_map"]) == ("Validation", 100.0)
    assert "all predictions are for subset 'Validation': evaluated on that one" in said
    found, _ = evaluate(capsys, predicted(tmp_path, "a"), truth, "--subset", "validation")
    assert found["subset"] == "Validation"
    found, said = evaluate(capsys, predicted(tmp_path, "a", "t"), truth)
    assert found["subset"] is None
    assert "several subsets (Train, Validation): evaluated on all the ground truth" in said
    one = {"a": {"subset": "all", "annotations": [{"segment": [0, 10], "label": "Diving"}]}}
    found, _ = evaluate(capsys, predicted(tmp_path, "a"), write(tmp_path / "one.json", one))
    assert found["subset"] == "all"


def test_unknown_videos(tmp_path, capsys):
    """Of equal scores the first counts first: a hit, a false positive (or nothing), a hit. With the
    false positive AP is (1 + 2/3) / 2."""
    truth, predictions = subsets(tmp_path), predicted(tmp_path, "a", "unknown", "b")
    found, said = evaluate(capsys, predictions, truth)
    assert (found["average_map"], found["unknown_videos"]) == (100.0, "ignore")
    assert (found["ignored_videos"], found["counted_videos"]) == (1, 0)
    assert "1 videos with predictions have no ground truth: left out" in said
    found, said = evaluate(capsys, predictions, truth, "--unknown-videos", "count")
    assert found["average_map"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert (found["unknown_videos"], found["subset"]) == ("count", "Validation")
    assert (found["ignored_videos"], found["counted_videos"]) == (0, 1)
    assert "1 videos with predictions have no ground truth: false positives" in said


def test_classes(tmp_path, capsys):
    truth = subsets(tmp_path)
    message = refused(capsys, predicted(tmp_path, "a", label=0), truth)
    assert "predictions have '0', the ground truth has 'Diving'" in message
    assert "--label-map FILE" in message
    names = tmp_path / "names.txt"
    names.write_text("0 Diving\n1 High Jump\n")
    by_id = predicted(tmp_path, "a", "b", label=0)
    found, _ = evaluate(capsys, by_id, truth, "--label-map", names)
    assert found["average_map"] == 100.0
    assert found["unknown_classes"] == {}
    found, said = evaluate(
        capsys,
        write(
            tmp_path / "some.json",
            {
                "a": [
                    {"segment": [0, 10], "label": label, "score": 0.5}
                    for label in ("Diving", "dive", "dive")
                ]
            },
        ),
        truth,
    )
    assert found["unknown_classes"] == {"dive": 2}
    assert "2 predictions are of classes that the ground truth does not have" in said
    assert "'dive' (2)" in said
    assert "the label map has no '7'" in refused(
        capsys, predicted(tmp_path, "a", label=7), truth, "--label-map", names
    )


def test_gzip_annotations_of_a_folder(tmp_path, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "annotations.json.gz", json.loads(subsets(tmp_path).read_text()))
    found, _ = evaluate(capsys, predicted(tmp_path, "a", "b"), folder)
    assert found["average_map"] == 100.0
    labels = tmp_path / "labels.npz"
    options = ["--annotations", str(folder), "-o", str(labels)]
    assert main(["label", str(predicted(tmp_path, "a")), *options]) == 0
    with np.load(labels) as arrays:
        assert arrays["a"].any()


def test_label_with_classes_that_match_nothing(tmp_path, capsys):
    """All labels would be zero."""
    truth, output = subsets(tmp_path), tmp_path / "labels.npz"
    arguments = ["--annotations", str(truth), "-o", str(output)]
    by_id = str(predicted(tmp_path, "a", label=3))
    assert main(["label", by_id, *arguments]) == 2
    assert "predictions have '3', the ground truth has 'Diving'" in capsys.readouterr().err
    assert not output.exists()
    names = write(tmp_path / "names.json", {"3": "Diving"})
    assert main(["label", by_id, *arguments, "--label-map", str(names)]) == 0
    with np.load(output) as arrays:
        assert arrays["a"].any()


def test_fuse_of_models_that_name_classes_in_different_ways(tmp_path, capsys):
    first, output = predicted(tmp_path, "a"), tmp_path / "fused.json"
    second = write(
        tmp_path / "second.json", {"a": [{"segment": [0, 10], "label": 3, "score": 0.5}]}
    )
    assert main(["fuse", str(first), str(second), "-o", str(output)]) == 0
    said = capsys.readouterr().out
    assert "second.json has no class in common with" in said
    assert "'3'; 'Diving'" in said
    names = write(tmp_path / "names.json", {"3": "Diving"})
    arguments = [str(first), str(second), "-o", str(output), "--label-map", str(names)]
    assert main(["fuse", *arguments]) == 0
    assert "warning" not in capsys.readouterr().out
    assert len(json.loads(output.read_text())["results"]["a"]) == 1


def test_duplicates_and_unknown_labels(tmp_path, capsys):
    truth = subsets(tmp_path)
    entry = {"segment": [0, 10], "label": "Diving", "score": 0.5}
    twice = write(tmp_path / "twice.json", {"a": [entry, entry], "b": [entry | {"score": 0.25}]})
    found, said = evaluate(capsys, twice, truth)
    assert (found["duplicates"], found["duplicates_were"]) == (1, "keep")
    assert found["average_map"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert "1 detections repeat an earlier one in everything: detections like others" in said
    found, said = evaluate(capsys, twice, truth, "--duplicates", "drop")
    assert (found["duplicates"], found["duplicates_were"]) == (1, "drop")
    assert found["average_map"] == 100.0
    assert "left out (--duplicates drop)" in said
    assert "1 duplicates, the first in video 'a'" in refused(
        capsys, twice, truth, "--duplicates", "error"
    )
    strange = write(tmp_path / "strange.json", {"a": [entry, entry | {"label": "dive"}]})
    found, _ = evaluate(capsys, strange, truth)
    assert (found["unknown_labels"], found["duplicates"]) == ("ignore", 0)
    assert "does not have: 'dive'" in refused(capsys, strange, truth, "--unknown-labels", "error")


def test_intervals(files, capsys):
    found, _ = evaluate(capsys, *files, "--bootstrap", "50", "--seed", "3")
    intervals = found["intervals"]
    assert (intervals["confidence"], intervals["resamples"], intervals["seed"]) == (0.95, 50, 3)
    low, high = intervals["average_map"]
    assert low <= found["average_map"] <= high
    assert len(intervals["map"]) == len(found["map"])
    assert intervals["per_class"].keys() == found["per_class"].keys()
    again, _ = evaluate(capsys, *files, "--bootstrap", "50", "--seed", "3")
    assert again == found
    assert main(["evaluate", *map(str, files), "--bootstrap", "50"]) == 0
    printed = capsys.readouterr().out
    assert "95 % from" in printed
    assert "basic bootstrap intervals of 50 resamples of the videos, seed 0" in printed
    assert "intervals" not in evaluate(capsys, *files)[0]
    assert "bootstrap must be at least 1" in refused(capsys, *files, "--bootstrap", "-1")


def test_curves(tmp_path, capsys):
    """A hit, a false positive, a hit: precision 1 up to a recall of 1/2, 2/3 beyond."""
    truth, predictions = subsets(tmp_path), predicted(tmp_path, "a", "unknown", "b")
    arguments = [predictions, truth, "--unknown-videos", "count", "--iou-thresholds", "0.5"]
    found, _ = evaluate(capsys, *arguments, "--curves")
    assert found["curves"]["recall"] == np.linspace(0, 1, 101).tolist()
    assert found["curves"]["precision"] == {"Diving": [[1.0] * 51 + [pytest.approx(2 / 3)] * 50]}
    assert "curves" not in evaluate(capsys, *arguments)[0]
    assert "--curves are written into --json FILE" in refused(capsys, *arguments, "--curves")
