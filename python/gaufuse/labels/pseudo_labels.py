"""Snippet pseudo labels of the training videos: how they are made, and what is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from gaufuse.config import Config, TargetPhase
from gaufuse.data.dataset import Batch, VideoSubset
from gaufuse.labels.label_quality import covered_snippets
from gaufuse.labels.pipeline import MadeLabels, labels_of, temperature_at
from gaufuse.localization.instances import groups_of
from gaufuse.model.fused_models import Localizer
from gaufuse.model.losses import SnippetTarget
from gaufuse.utils.distributed import World


@dataclass(frozen=True)
class LabelStatistics:
    """What a refresh did: a collapse shows here first."""

    coverage: float  # share of (snippet, labelled class) pairs with a label above 0.01
    confidence: float  # mean label there
    change: float  # mean absolute change since the last refresh, over all snippets and classes
    instances: float  # fused instances per labelled class of a video
    residual: float  # LinPro's residual per instance
    relaxed: int  # groups whose constraints were infeasible


@dataclass(frozen=True)
class ClassColumns:
    """Labels (T, C) of one video as the columns that are not zero: with 200 classes, one or two."""

    columns: torch.Tensor  # (N,) int64
    values: torch.Tensor  # (T, N)
    classes: int

    @classmethod
    def of(cls, labels: torch.Tensor) -> ClassColumns:
        """Those of labels (T, C). Waits for the device."""
        columns = labels.any(0).nonzero().squeeze(1)
        return cls(columns, labels[:, columns], labels.shape[1])

    def to_dense(self) -> torch.Tensor:
        """The labels (T, C) that they are of."""
        labels = self.values.new_zeros(len(self.values), self.classes)
        labels[:, self.columns] = self.values
        return labels


_Packed = list[dict[str, Any]]  # the fields of ClassColumns of every video


class LabelBank:
    """Labels Q(k) of every training video and those of the refresh before, each (T, C)."""

    def __init__(self) -> None:
        self.current: list[torch.Tensor] | None = None
        self.previous: list[torch.Tensor] | None = None

    def replace(self, labels: list[torch.Tensor]) -> None:
        """Takes a refresh's labels (T, C) of each video; the current ones become the previous."""
        self.previous, self.current = self.current, labels

    def target(self, batch: Batch, phase: TargetPhase) -> SnippetTarget | None:
        """What the phase of the schedule trains a batch on (method section 5)."""
        if phase.kind == "none":
            return None
        labels = self._padded(self.current, batch)
        if phase.kind == "labels":
            return phase_target(phase, labels)
        return phase_target(phase, labels, self._padded(self.previous, batch))

    def _padded(self, labels: list[torch.Tensor] | None, batch: Batch) -> torch.Tensor:
        if labels is None:
            raise RuntimeError("no labels have been made yet: the schedule is inconsistent")
        return pad_labels(labels, batch)

    def state_dict(self) -> dict[str, _Packed | None]:
        """For a checkpoint: the columns of both refreshes' labels that are not zero."""
        return {"current": _pack(self.current), "previous": _pack(self.previous)}

    def load_state_dict(self, state: dict[str, _Packed | None]) -> None:
        """Goes on with the labels of a checkpoint."""
        self.current, self.previous = _unpack(state["current"]), _unpack(state["previous"])


def _pack(labels: list[torch.Tensor] | None) -> _Packed | None:
    return None if labels is None else [vars(ClassColumns.of(video)) for video in labels]


def _unpack(state: _Packed | None) -> list[torch.Tensor] | None:
    return None if state is None else [ClassColumns(**video).to_dense() for video in state]


def pad_labels(labels: list[torch.Tensor], batch: Batch) -> torch.Tensor:
    """(B, T, C) of the batch's videos, zero at padding."""
    return pad_sequence([labels[i] for i in batch.videos], batch_first=True).to(batch.features)


def phase_target(
    phase: TargetPhase, labels: torch.Tensor, previous: torch.Tensor | None = None
) -> SnippetTarget:
    """What a phase that trains on labels makes of them; `previous` is for both kinds of delta."""
    if phase.kind == "labels":
        return SnippetTarget(phase.gain * labels, phase.gain)
    if previous is None:
        raise ValueError(f"target {phase.kind!r} needs the labels of the refresh before")
    if phase.kind == "delta":
        return SnippetTarget(phase.gain * (labels - previous), 0.0)
    return SnippetTarget(labels_and_delta(labels, previous, phase.gain), 1.0)


def labels_and_delta(
    labels: torch.Tensor, previous: torch.Tensor, gain: float = 2.0
) -> torch.Tensor:
    """Labels moved on the way they went since the refresh before: clip(Q + gain (Q - Q'), 0, 1).

    The paper trains on the change alone (method section 5); with the labels beside it, what has
    settled is still taught.

    Args:
        labels, previous: of this refresh and the one before, in [0, 1], of one shape.
    """
    return (labels + gain * (labels - previous)).clamp(0.0, 1.0)


class LabelTally:
    """Sums up what label statistics need, on the device: it is read once, at the end."""

    def __init__(self) -> None:
        self._sums = torch.zeros(8, dtype=torch.float64)
        self._groups = 0

    @classmethod
    def merged(cls, tallies: list[LabelTally]) -> LabelTally:
        """The sum of several processes' tallies, on the CPU."""
        whole = cls()
        for tally in tallies:
            whole._sums = whole._sums + tally._sums.cpu()
            whole._groups += tally._groups
        return whole

    def add(
        self,
        labels: torch.Tensor,
        previous: torch.Tensor | None,
        batch: Batch,
        made: MadeLabels,
    ) -> None:
        """labels and the ones before them: (B, T, C), zero at padding."""
        known = (batch.labels > 0).unsqueeze(1) & batch.mask.unsqueeze(-1)
        covered = known & (labels > 0.01)
        sums = (
            known.sum(),
            covered.sum(),
            (labels * covered).sum(),
            labels.new_zeros(()) if previous is None else (labels - previous).abs().sum(),
            batch.mask.sum() * labels.shape[-1],
            made.instances,
            made.residual,
            made.relaxed,
        )
        stacked = torch.stack([value.double() for value in sums])
        self._sums = self._sums.to(stacked.device) + stacked
        self._groups += len(made.labels)

    def statistics(self) -> LabelStatistics:
        """Of everything added. Waits for the device."""
        sums = self._sums.tolist()
        known, covered, confidence, change, size, instances, residual, relaxed = sums
        return LabelStatistics(
            covered / max(1.0, known),
            confidence / max(1.0, covered),
            change / max(1.0, size),
            instances / max(1, self._groups),
            residual / max(1.0, instances),
            int(relaxed),
        )


@torch.no_grad()
def label_batch(
    model: Localizer, batch: Batch, config: Config, temperature: float
) -> tuple[torch.Tensor, MadeLabels]:
    """Labels (B, T, C) of a batch by the model in the mode that it is in, zero at padding; and what
    they were made of."""
    outputs = model(
        batch.features,
        batch.mask,
        lengths=batch.sizes,
        classwise=False,
        bfloat16=config.training.label_precision == "bf16",
    )
    groups = groups_of(outputs, batch, config.labels, config.loss.top_fraction)
    made = labels_of(groups, config, temperature)
    labels = batch.features.new_zeros(*batch.mask.shape, batch.labels.shape[1])
    labels[groups.video, :, groups.label] = made.labels
    return labels, made


def make_labels(
    model: Localizer,
    subset: VideoSubset,
    config: Config,
    refresh: int,
    device: torch.device,
    previous: list[torch.Tensor] | None = None,
    world: World | None = None,
) -> tuple[list[torch.Tensor], LabelStatistics]:
    """Labels of all training videos by the model as it is, in evaluation mode; each process of the
    world makes a share of them.

    (The release makes them in training mode, so that dropout noise is in its labels.)
    """
    everyone = [(model, list(range(len(subset))))]
    return make_labels_by(everyone, subset, config, refresh, device, previous, world)


def make_labels_by(
    models: Sequence[tuple[Localizer, list[int]]],
    subset: VideoSubset,
    config: Config,
    refresh: int,
    device: torch.device,
    previous: list[torch.Tensor] | None = None,
    world: World | None = None,
) -> tuple[list[torch.Tensor], LabelStatistics]:
    """The same where several models each label some of the videos, which are all together."""
    world = world or World()
    labels: dict[int, torch.Tensor] = {}
    tallies: list[LabelTally] = []
    for model, videos in models:
        before = None if previous is None else [previous[video] for video in videos]
        made, tally = _make_shared_labels(
            model, subset.select(videos), config, refresh, device, before, world
        )
        labels |= dict(zip(videos, made, strict=True))
        tallies += tally
    return [labels[video] for video in range(len(subset))], LabelTally.merged(tallies).statistics()


def _make_shared_labels(
    model: Localizer,
    subset: VideoSubset,
    config: Config,
    refresh: int,
    device: torch.device,
    previous: list[torch.Tensor] | None,
    world: World,
) -> tuple[list[torch.Tensor], list[LabelTally]]:
    """Labels of all videos of the subset, and each process's tally."""
    was_training = model.training
    model.train(config.release_quirks.dropout_in_labels)
    own = subset.select(world.share(range(len(subset))))
    before = None if previous is None else world.share(previous)
    made = world.gather(_make_own_labels(model, own, config, refresh, device, before))
    model.train(was_training)
    labels = [label.to_dense() for part, _ in made for label in part]
    return labels, [tally for _, tally in made]


def ground_truth_labels(subset: VideoSubset) -> list[torch.Tensor]:
    """(T, C) of each video: 1 where an annotated segment covers a snippet, rounded to snippets, at
    least one."""
    labels = []
    for name, length, seconds in zip(
        subset.names, subset.features.lengths, subset.snippet_seconds, strict=True
    ):
        video, own = torch.zeros(length, len(subset.info.classes)), subset.annotations[name]
        for label in set(own.labels):
            chosen = [other == label for other in own.labels]
            covered = covered_snippets(own.segments[chosen] / seconds, length)
            video[:, subset.info.classes.index(label)] = torch.from_numpy(covered).float()
        labels.append(video)
    return labels


def _make_own_labels(
    model: Localizer,
    subset: VideoSubset,
    config: Config,
    refresh: int,
    device: torch.device,
    previous: list[torch.Tensor] | None,
) -> tuple[list[ClassColumns], LabelTally]:
    temperature = temperature_at(config.labels, refresh)
    labels: list[ClassColumns] = []
    tally = LabelTally()
    if config.instances.source == "ground_truth":
        return [ClassColumns.of(video) for video in ground_truth_labels(subset)], tally
    for batch in subset.batches(config.data.batch_size):
        batch = batch.to(device)
        padded, made = label_batch(model, batch, config, temperature)
        before = None if previous is None else pad_labels(previous, batch)
        tally.add(padded, before, batch, made)
        labels += [
            ClassColumns.of(row[:length].cpu())
            for row, length in zip(padded, batch.sizes, strict=True)
        ]
    return labels, tally
