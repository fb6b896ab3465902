"""The label-quality harness: its measures by hand, its ways of labelling, and a run end to end."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.label_quality.methods import (
    Labelling,
    labels_of,
    maximum_of_covering,
    mean_of_covering,
    selections,
)
from benchmarks.label_quality.metrics import measure
from benchmarks.label_quality.sources import Request, VideoClass, load_source, snippet_truth
from gaufuse.data.dataset import load_dataset
from gaufuse.labels.label_quality import (
    LabelQuality,
    average_precision,
    calibration,
    covered_snippets,
    label_quality,
)
from gaufuse.labels.pseudo_labels import ground_truth_labels
from gaufuse_ext.annotations import VideoAnnotation
from training_setups import tiny_dataset

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "benchmarks.label_quality"]


def positives(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def test_average_precision_by_hand():
    # Precision where a positive is found: 1/1, 2/3.
    value = average_precision(np.array([0.9, 0.8, 0.7, 0.1]), positives(1, 0, 1, 0))
    assert value == pytest.approx((1.0 + 2.0 / 3.0) / 2.0)


@pytest.mark.parametrize("truth", [(1, 0, 0, 1), (0, 1, 0, 1), (0, 1, 1, 0)])
def test_equal_labels_are_one_step_of_average_precision(truth):
    """First step: two snippets, one positive; second: all four, two positive."""
    value = average_precision(np.array([0.5, 0.5, 0.2, 0.2]), positives(*truth))
    assert value == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)


def test_average_precision_needs_a_positive():
    assert average_precision(np.array([0.5, 0.1]), positives(0, 0)) is None


def test_calibration_by_hand():
    table = calibration(np.array([0.0, 0.05, 0.3, 0.35, 1.0]), positives(0, 1, 1, 1, 0))
    assert [(row["from"], row["to"], row["snippets"]) for row in table] == [
        (0.0, 0.1, 2),
        (0.3, 0.4, 2),
        (0.9, 1.0, 1),
    ]
    assert [row["label"] for row in table] == pytest.approx([0.025, 0.325, 1.0])
    assert [row["positive"] for row in table] == [0.5, 1.0, 0.0]


def test_measure_by_hand():
    labels = [np.array([0.9, 0.1]), np.array([0.8, 0.6]), np.array([0.3, 0.2])]
    truth = [positives(1, 0), positives(0, 1), positives(0, 0)]
    quality = measure(labels, truth, ["a", "b", "b"])
    assert quality.pooled_ap == pytest.approx((1.0 + 2.0 / 3.0) / 2.0)
    assert quality.class_ap == pytest.approx((1.0 + 0.5) / 2.0)
    assert quality.group_ap == pytest.approx((1.0 + 0.5) / 2.0)  # the last has no positive
    assert quality.brier == pytest.approx((0.01 + 0.01 + 0.64 + 0.16 + 0.09 + 0.04) / 6.0)
    assert quality.calibration_error == pytest.approx((0.1 + 0.1 + 0.8 + 0.4 + 0.3 + 0.2) / 6.0)


def test_truth_is_rounded_and_of_one_class():
    annotation = VideoAnnotation(
        np.array([[0.9, 3.2], [4.0, 9.0], [0.0, 5.0]]), ["a", "a", "b"], np.ones(3)
    )
    assert snippet_truth(annotation, "a", 1.0, 6).tolist() == [0, 1, 1, 0, 1, 1]
    assert snippet_truth(annotation, "a", 2.0, 6).tolist() == [1, 1, 1, 1, 0, 0]


SEGMENTS = np.array([[0.0, 4.9], [2.0, 3.0], [6.0, 99.0]])
SCORES = np.array([0.4, 0.8, -0.5])


def test_mean_and_maximum_of_covering_instances():
    assert mean_of_covering(SEGMENTS, SCORES, 7).tolist() == pytest.approx(
        [0.4, 0.4, 0.6, 0.4, 0.0, 0.0, -0.5]
    )
    assert maximum_of_covering(SEGMENTS, SCORES, 7).tolist() == [0.4, 0.4, 0.8, 0.4, 0, 0, -0.5]


def test_labels_lie_in_the_unit_interval_and_are_zero_without_instances():
    group = VideoClass("video", "a", np.zeros(7, dtype=bool), SEGMENTS, SCORES)
    way = Labelling("mean", mean_of_covering)
    assert labels_of(group, (SEGMENTS, SCORES), way).min() == 0.0
    assert labels_of(group, (SEGMENTS[:0], SCORES[:0]), way).tolist() == [0.0] * 7


@pytest.mark.parametrize("selection", selections(quick=False), ids=lambda s: s.name)
def test_selections_keep_an_instance(selection):
    segments, scores = selection.select(SEGMENTS, SCORES)
    assert segments.shape == (len(scores), 2)
    assert 1 <= len(scores) <= 3


def test_quick_run_on_simulated_data(tmp_path):
    report_file, plot = tmp_path / "report.json", tmp_path / "plot.png"
    command = [*COMMAND, "--quick", "--source", "simulated"]
    command += ["--json", str(report_file)]
    if importlib.util.find_spec("matplotlib") is not None:
        command += ["--plot", str(plot)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pooled AP" in done.stdout
    assert "source simulated" in done.stderr  # before anything slow
    assert plot.exists() == ("--plot" in command)
    report = json.loads(report_file.read_text())
    assert report["quick"] is True
    (source,) = report["sources"]
    methods = source["methods"]
    pooled = [method["pooled_ap"] for method in methods]
    assert pooled == sorted(pooled, reverse=True)
    names = {(method["selection"], method["labelling"]) for method in methods}
    assert len(names) == len(methods)
    assert {("-", "CAS"), ("raw", "mean"), ("NMS 0.3", "mean"), ("raw", "released")} <= names
    assert ("raw", "uniform default") in names
    for method in methods:
        assert 0.0 < method["pooled_ap"] < 1.0
        assert 0.0 < method["brier"] < 1.0
        assert sum(row["snippets"] for row in method["calibration"]) == source["snippets"]

    table = tmp_path / "table.md"
    again = subprocess.run(
        [*COMMAND, "--read", str(report_file), "--markdown", str(table), "--match", "raw | mean"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout == done.stdout
    mean = next(m for m in methods if (m["selection"], m["labelling"]) == ("raw", "mean"))
    assert table.read_text().splitlines() == [
        "| instances | labels | simulated |",
        "| --- | --- | --- |",
        f"| raw | mean | **{mean['pooled_ap']:.4f}** |",
    ]


def test_unwritable_report_is_refused_before_the_work(tmp_path):
    command = [*COMMAND, "--json", str(tmp_path / "none" / "report.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such folder" in done.stderr


@pytest.mark.real_data
def test_reference_numbers_of_thumos(data_root):
    """Measured before with other code as 0.615 and 0.594, whose rounding of ground truth is not
    known: within 0.003."""
    source = load_source("thumos60", Request(data_root, False, 0, Console(quiet=True)))
    truth = [group.truth for group in source.groups]
    for way, expected in ((mean_of_covering, 0.615), (maximum_of_covering, 0.594)):
        labels = [labels_of(g, (g.segments, g.scores), Labelling("", way)) for g in source.groups]
        quality = measure(labels, truth, [group.label for group in source.groups])
        assert quality.pooled_ap == pytest.approx(expected, abs=0.003)


def test_mean_confidences_of_a_group_by_hand():
    activations = np.array([0.0, 0.8, 0.6, 0.1, 0.0, 0.2, 0.1])
    segments, scores = np.array([[1.0, 3.0], [5.0, 7.0]]), np.array([0.65, 0.1])
    group = VideoClass("v", "c", activations > 0.5, segments, scores, activations)
    chosen = {s.name: s for s in selections(quick=False) if s.of_activations is not None}
    assert len(chosen) == 4

    def of(name: str) -> tuple[list, list]:
        found, confidences = next(s for n, s in chosen.items() if n.endswith(name)).of(group)
        return found.tolist(), confidences.tolist()

    assert of("keep 0, share 0") == (segments.tolist(), pytest.approx([0.7, 0.15]))
    assert of("keep 0.5, share 0") == ([[1.0, 3.0]], pytest.approx([0.7]))
    assert of("keep 0.5, share 1") == ([[1.0, 3.0]], [1.0])


def test_the_best_gain_of_a_change_by_hand(tmp_path):
    subset = load_dataset(tiny_dataset(tmp_path)).training
    perfect = ground_truth_labels(subset)

    def gain(moved: float, left: float) -> float | None:
        """Of labels on their way from (moved + left) to (left) of what the truth is short of."""
        labels = [(1.0 - left) * video for video in perfect]
        previous = [(1.0 - left - moved) * video for video in perfect]
        return label_quality(labels, subset, previous).best_gain

    assert gain(0.2, 0.3) == pytest.approx(1.5)  # it went the right way, and should go on
    assert gain(0.5, -0.1) == pytest.approx(-0.2)  # it went too far
    assert gain(0.0, 0.3) is None
    assert label_quality(perfect, subset).best_gain is None
    flipped = [1.0 - video for video in perfect]
    assert label_quality(perfect, subset, flipped).best_gain == 0.0  # all changes were right
    assert label_quality(flipped, subset, perfect).best_gain == -1.0  # all were wrong


def test_the_quality_of_a_subsets_labels_by_hand(tmp_path):
    """Over the labelled classes alone; a video without segments is left out."""
    subset = load_dataset(tiny_dataset(tmp_path)).training
    perfect = ground_truth_labels(subset)
    assert label_quality(perfect, subset) == LabelQuality(1.0, 0.0, 0.0)
    empty = [torch.zeros_like(video) for video in perfect]
    known = [video[:, subset.labels[row] > 0].flatten() for row, video in enumerate(perfect)]
    share = float(torch.cat(known).mean())
    quality = label_quality(empty, subset)
    assert quality.average_precision == pytest.approx(share)  # all snippets in one step
    assert quality.brier == pytest.approx(share)
    assert quality.calibration_error == pytest.approx(share)

    name = subset.names[0]
    without = replace(subset.annotations[name], segments=0.0 * subset.annotations[name].segments)
    subset.annotations[name] = without
    empty[0] += 1.0
    assert label_quality([empty[0], *perfect[1:]], subset) == LabelQuality(1.0, 0.0, 0.0)
    alone = subset.select([0])
    assert label_quality(empty[:1], alone) is None


def test_a_segment_covers_at_least_a_snippet():
    segments = np.array([[0.2, 0.3], [2.4, 4.6], [9.0, 12.0]])
    assert covered_snippets(segments, 8).nonzero()[0].tolist() == [0, 2, 3, 4, 7]
