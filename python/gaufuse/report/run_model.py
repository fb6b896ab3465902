"""A run's model and data, to see what it makes of a video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import gaufuse_ext as gx
from gaufuse.config import Config, PostprocessConfig
from gaufuse.data.dataset import Batch, Dataset, VideoSubset, cross_validated, load_dataset
from gaufuse.labels.pipeline import labels_of
from gaufuse.labels.pseudo_labels import ClassColumns
from gaufuse.localization.detect import detect
from gaufuse.localization.evaluation import split_off
from gaufuse.localization.instances import find_instances, find_proposals, groups_of
from gaufuse.model.checkpoint import checkpoints_in, load_checkpoint
from gaufuse.model.class_activations import class_activations
from gaufuse.model.fused_models import FusedModels
from gaufuse.model.rskp import Outputs, SnippetModel
from gaufuse.model.weights import build_model, check_fits, load_weights
from gaufuse.report.run_facts import RunFacts
from gaufuse.report.timeline import Bars, ClassTimeline, Timeline, bars_of, shown_classes
from gaufuse.training.second_round import student_config
from gaufuse_ext.annotations import Segments, load_predictions


def run_data(facts: RunFacts, folder: str | Path | None = None) -> Dataset:
    """The videos that a run trained and was tested on.

    Args:
        folder: where its data set is now; None: where it was.

    Raises:
        FileNotFoundError, ValueError: it is not there, or is not what the run was on.
    """
    config = facts.config
    dataset = cross_validated(load_dataset(folder or facts.data.folder), config.data)
    if dataset.info.classes != facts.data.classes:
        raise ValueError(
            f"{folder or facts.data.folder} has other classes than {facts.folder.root} was trained "
            "on: name that data set with --data"
        )
    if config.selection.by == "validation":
        training, _ = split_off(dataset.training, config.selection)
        dataset = Dataset(dataset.info, training, dataset.testing)
    return dataset


@dataclass(frozen=True)
class RunModel:
    """The model of a run's chosen epoch, on its data."""

    model: SnippetModel | FusedModels
    config: Config  # how its activations become labels and detections
    data: Dataset
    labels: list[torch.Tensor] | None  # (T, C) of each training video, that it was trained on
    previous: list[torch.Tensor] | None  # those of the refresh before
    epoch: int
    device: torch.device

    @classmethod
    def load(cls, facts: RunFacts, data: Dataset, device: torch.device) -> RunModel:
        """
        Raises:
            FileNotFoundError, ValueError: the checkpoint is missing, broken or of other data.
        """
        epoch = facts.metrics.chosen_epoch
        path = checkpoints_in(facts.folder.checkpoints).get(epoch)
        if path is None:
            raise FileNotFoundError(f"{facts.folder.checkpoints} holds no checkpoint of {epoch=}")
        weights = load_weights(path)
        check_fits(weights, data.info.feature_dim, data.info.classes)
        model = build_model(weights, facts.config).to(device)
        config = student_config(facts.config) if weights.has_student else facts.config
        bank = load_checkpoint(path).training.get("labels")
        lengths = data.training.features.lengths
        current, previous = (
            _labels(bank, key, lengths, len(data.info.classes), path)
            for key in ("current", "previous")
        )
        return cls(model.eval(), config, data, current, previous, epoch, device)

    def has(self, video: str) -> bool:
        """Whether a video is one of the training or test videos."""
        return any(video in subset.names for subset in (self.data.testing, self.data.training))

    def find(self, video: str) -> tuple[VideoSubset, int]:
        """The subset that a video is in, and where.

        Raises:
            ValueError: it is in none.
        """
        for subset in (self.data.testing, self.data.training):
            if video in subset.names:
                return subset, subset.names.index(video)
        names = [*self.data.testing.names[:3], *self.data.training.names[:3]]
        raise ValueError(
            f"the run has no video {video!r}; it has {', '.join(map(repr, names))} and others"
        )

    @torch.no_grad()
    def timeline(self, video: str, wanted: list[str] | None = None) -> Timeline:
        """What the model makes of a video; of a training video also what it was trained on.

        Args:
            wanted: the classes to draw; None: those annotated or detected.

        Raises:
            ValueError: an unknown video or class.
        """
        subset, row = self.find(video)
        alone, known = subset.select([row]), self.data.info.classes
        unknown = [label for label in wanted or () if label not in known]
        if unknown:
            raise ValueError(f"unknown class {unknown[0]!r}; the classes are {', '.join(known)}")
        found = detect(self.model, alone, self.config, self.device)
        detected = load_predictions({"results": found})[video]
        truth = alone.annotations[video]
        classes, others = shown_classes(truth.labels, detected, wanted or ())
        batch = alone.batch([0]).to(self.device)
        outputs = self.model(batch.features, batch.mask, lengths=batch.sizes, classwise=False)
        training = subset is self.data.training
        path = self.config.labels if training else self.config.testing
        parts = _Parts(outputs, batch, self.config, path, alone.snippet_seconds[0])
        now, before = self._trained_on(row) if training else (None, None)
        origin = "that it would make of the video" if now is None else "that it was trained on"
        note = f"model of epoch {self.epoch}, pseudo labels {origin}"
        timelines = []
        for label in classes:
            own = known.index(label)
            proposals, instances = parts.segments(own)
            labels, delta = parts.labels(own), None
            if now is not None:
                known_here = label in truth.labels
                labels = now[:, own].numpy() if known_here else None
                if known_here and before is not None:
                    delta = (now - before)[:, own].numpy()
            activations = parts.activations[:, own]
            bars = (bars_of(truth, label) if truth.labels else None), bars_of(detected, label)
            timelines.append(
                ClassTimeline(
                    label, bars[0], activations, proposals, instances, labels, delta, bars[1]
                )
            )
        seconds = len(parts.activations) * alone.snippet_seconds[0]
        return Timeline(video, seconds, alone.snippet_seconds[0], timelines, others, note)

    def _trained_on(self, row: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        now = None if self.labels is None else self.labels[row]
        return now, None if self.previous is None or now is None else self.previous[row]


class _Parts:
    """Between a model's outputs for one video and its labels, by class."""

    def __init__(
        self,
        outputs: Outputs,
        batch: Batch,
        config: Config,
        path: PostprocessConfig,
        seconds: float,
    ):
        top = config.loss.top_fraction
        self.seconds, self.length = seconds, batch.sizes[0]
        self.activations = class_activations(outputs, path)[0].cpu().numpy()
        groups = groups_of(outputs, batch, path, top)
        self._groups = {int(label): g for g, label in enumerate(groups.label)}
        temperature = path.temperature[-1]  # of the last refresh
        self._proposals = find_proposals(groups, path)
        self._instances = find_instances(groups, path, temperature)
        labelled = groups_of(outputs, batch, config.labels, top)
        made = labels_of(labelled, config, config.labels.temperature[-1])
        self._labels = {int(c): row for c, row in zip(labelled.label, made.labels, strict=True)}

    def segments(self, label: int) -> tuple[Bars | None, Bars | None]:
        """Proposals and instances of a class; None where the class is not looked for."""
        group = self._groups.get(label)
        if group is None:
            return None, None
        return self._bars(self._proposals, group), self._bars(self._instances, group)

    def labels(self, label: int) -> np.ndarray | None:
        row = self._labels.get(label)
        return None if row is None else row[: self.length].cpu().numpy()

    def _bars(self, found: gx.Proposals | gx.FusedSegments, group: int) -> Bars:
        count = int(found.counts[group])
        segments = found.segments[group, :count].double().cpu().numpy()
        ends = np.minimum(segments, self.length) * self.seconds
        return Bars(ends, found.scores[group, :count].double().cpu().numpy())


def _labels(
    bank: object, key: str, lengths: list[int], classes: int, path: Path
) -> list[torch.Tensor] | None:
    """Labels of all training videos from a checkpoint's label bank."""
    stored = bank.get(key) if isinstance(bank, dict) else None
    if stored is None:
        return None
    try:
        labels = [ClassColumns(**video).to_dense() for video in stored]
    except (TypeError, AttributeError, IndexError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: its pseudo labels are not readable ({error})") from None
    if [tuple(video.shape) for video in labels] != [(length, classes) for length in lengths]:
        raise ValueError(
            f"{path}: its pseudo labels are of other training videos than those of the data set"
        )
    return labels


def timeline_from_files(
    video: str,
    predictions: Mapping[str, Segments],
    truth: Mapping[str, Segments],
    wanted: list[str] | None = None,
) -> Timeline:
    """What files alone tell: ground truth and detections.

    Raises:
        ValueError: none of them has the video.
    """
    if video not in predictions and video not in truth:
        names = list(dict.fromkeys([*truth, *predictions]))[:3]
        raise ValueError(f"no file has video {video!r}; there are {', '.join(map(repr, names))}")
    annotated, detected = truth.get(video), predictions.get(video)
    labels = [] if annotated is None else annotated.labels
    classes, others = shown_classes(labels, detected, wanted or ())
    entries = [entry.segments for entry in (annotated, detected) if entry is not None]
    ends = [float(segments.max(initial=0.0)) for segments in entries]
    seconds = getattr(annotated, "duration", None) or max([*ends, 1e-3])
    timelines = [
        ClassTimeline(label, bars_of(annotated, label), detections=bars_of(detected, label))
        for label in classes
    ]
    return Timeline(video, seconds, 1.0, timelines, others)
