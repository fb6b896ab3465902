"""The outside baseline."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from gaufuse.data.dataset import load_dataset
from gaufuse.experiment import linear_mil
from training_setups import tiny_dataset


def test_the_mean_of_the_top_snippets_is_each_videos_own():
    logits = torch.tensor([[[1.0], [5.0], [3.0], [9.0]], [[4.0], [2.0], [7.0], [6.0]]])
    batch = SimpleNamespace(sizes=[3, 4])  # 9 is padding
    assert linear_mil._top_mean(logits, batch, 0.5).tolist() == [[5.0], [6.5]]
    assert linear_mil._top_mean(logits, batch, 0.01).tolist() == [[5.0], [7.0]]


def test_detections_are_runs_of_the_best_class(tmp_path):
    """A layer that reads the class off a feature dimension finds the run, in seconds."""
    data = load_dataset(tiny_dataset(tmp_path / "data"))
    subset = data.testing.select([0])
    features = torch.full((20, 12), -4.0)
    features[5:10, 1] = 4.0
    subset.batch = lambda videos: SimpleNamespace(features=features[None], sizes=[20])
    layer = torch.nn.Linear(12, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3, 12))
        layer.bias.zero_()
        found = linear_mil.detect(layer, subset, (torch.zeros(12), torch.ones(12)), 1 / 8)
    (entry,) = found[subset.names[0]]
    seconds = data.info.snippet_seconds
    assert entry["label"] == "action_1"
    assert entry["segment"] == pytest.approx([5 * seconds, 10 * seconds])
    high, low = torch.sigmoid(torch.tensor([4.0, -4.0])).tolist()
    # The stored run of the release's convention reaches one snippet further: 5 of 6 are high.
    assert entry["score"] == pytest.approx((5 * high + low) / 6 - low + 0.5 * high, abs=1e-5)


def test_it_learns_and_repeats_itself(tmp_path, capsys):
    data = tiny_dataset(tmp_path / "data")
    scores = {}
    for name, epochs in (("untrained", 0), ("trained", 30), ("again", 30)):
        arguments = [str(data), "--output", str(tmp_path / name), "--epochs", str(epochs)]
        assert linear_mil.main(arguments) == 0
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        assert metrics["iou_thresholds"] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
        scores[name] = metrics["average_map"]
    assert scores["again"] == scores["trained"] > scores["untrained"] + 5.0
    assert linear_mil.main([str(tmp_path / "absent"), "--output", str(tmp_path / "x")]) == 2
    assert "linear_mil: error: " in capsys.readouterr().err
