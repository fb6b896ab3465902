"""All that a page about a run is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from gaufuse.analysis.matched_detections import MatchedDetections, match
from gaufuse.data.dataset import Dataset
from gaufuse.labels.label_quality import average_precision, covered_snippets
from gaufuse.localization.evaluation import is_annotated
from gaufuse.report.run_facts import RunFacts, read_run
from gaufuse.report.run_model import RunModel, run_data
from gaufuse.report.video_bootstrap import resample_videos, video_maps
from gaufuse_ext.annotations import Segments, VideoAnnotation
from gaufuse_ext.evaluation.bootstrap import ResampledMap
from gaufuse_ext.flat_predictions import load_flat_predictions
from gaufuse_ext.flat_segments import FlatSegments


@dataclass(frozen=True)
class RunInput:
    """A run, and what it was on where that is still there."""

    name: str  # on the page
    short: str  # "" of one alone, else a letter
    facts: RunFacts
    detections: FlatSegments
    data: Dataset | None
    model: RunModel | None
    notes: list[str] = field(default_factory=list)

    @cached_property
    def predictions(self) -> dict[str, Segments]:
        """The detections by video."""
        return self.detections.to_videos()

    @property
    def truth(self) -> dict[str, VideoAnnotation]:
        """Annotations of the test videos; empty where none has any."""
        if self.data is None or not is_annotated(self.data.testing):
            return {}
        return self.data.testing.annotations

    @cached_property
    def matched(self) -> MatchedDetections:
        """The detections of the test videos, matched to their annotations."""
        metrics = self.facts.metrics
        thresholds = np.array(metrics.iou_thresholds)
        return match(self.detections, self.truth, thresholds, metrics.protocol)

    @cached_property
    def resampled(self) -> ResampledMap:
        """mAP of the test videos as they are, then of resamples of them."""
        return resample_videos(self.matched)

    @cached_property
    def by_video(self) -> dict[str, float]:
        """mAP of each annotated test video by itself."""
        videos = list(self.truth)
        values = video_maps(self.matched)
        return {v: float(x) for v, x in zip(videos, values, strict=True) if x == x}

    def label_quality_by_video(self) -> dict[str, float]:
        """Average precision of the labels that each annotated training video was trained on."""
        if self.model is None or self.model.labels is None:
            return {}
        subset, found = self.model.data.training, {}
        for row, name in enumerate(subset.names):
            own, labels = subset.annotations[name], self.model.labels[row]
            pairs, truth = [], []
            for label in dict.fromkeys(own.labels):
                chosen = [other == label for other in own.labels]
                snippets = own.segments[chosen] / subset.snippet_seconds[row]
                if not (snippets[:, 1] > snippets[:, 0]).all():
                    break
                pairs.append(labels[:, subset.info.classes.index(label)].numpy())
                truth.append(covered_snippets(snippets, len(labels)))
            else:
                value = average_precision(np.concatenate(pairs), np.concatenate(truth))
                if value is not None:
                    found[name] = 100.0 * value
        return found


def read_inputs(
    roots: list[str | Path], data: str | Path | None, device: torch.device
) -> list[RunInput]:
    """
    Args:
        data: where the data set is now; None: where each run's was.

    Raises:
        FileNotFoundError, ValueError: a run's folder is not one of a finished run, a file of it or
            of its data set is broken, or `data` is not there.
    """
    inputs = []
    for letter, root in zip("AB", roots, strict=False):
        facts = read_run(root)
        short = letter if len(roots) > 1 else ""
        name = f"{short} {facts.name}".strip()
        detections = load_flat_predictions(facts.folder.predictions)
        dataset, notes = None, []
        try:
            dataset = run_data(facts, data)
        except FileNotFoundError as error:
            if data is not None:
                raise
            notes.append(f"Its data set is not where it was ({error}): say where with --data.")
        model = None if dataset is None else RunModel.load(facts, dataset, device)
        inputs.append(RunInput(name, short, facts, detections, dataset, model, notes))
    return inputs
