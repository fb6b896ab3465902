"""The full schedule on real features beats a linear classifier, with one configuration for both
splits.

The classifier: one linear layer on standardised features, sigmoid per class, mean of the top T / 8
snippets, NMS; the best of its three seeds is the mark.
"""

from __future__ import annotations

import json

import pytest

from gaufuse.cli.main import main

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.mark.parametrize(("split", "linear"), [("split1", 39.5), ("split2", 26.7)])
def test_beats_the_linear_classifier(data_root, tmp_path, split, linear):
    data = data_root / "gtea_clips" / split
    run = tmp_path / "run"
    assert main(["train", str(data), "--output", str(run), "--threads", "1"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["iou_thresholds"] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert metrics["average_map"] > linear
    assert metrics["base_average_map"] > linear
    kinds = {json.loads(line)["kind"] for line in (run / "log.jsonl").read_text().splitlines()}
    assert kinds == {"losses", "evaluation", "refresh", "label_quality"}
