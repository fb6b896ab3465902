"""Snippet pseudo labels of the training videos: how they are made, and what is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

import gaufuse_ext as gx
from gaufuse.config import Config, LinproConfig, TargetPhase
from gaufuse.dataset import Batch, VideoSubset
from gaufuse.losses import SnippetTarget
from gaufuse.model import SnippetModel
from gaufuse.postprocess import class_activations, find_instances, select_groups, video_scores


@dataclass(frozen=True)
class LabelStatistics:
    """What a refresh did: a collapse shows here first."""

    coverage: float  # share of (snippet, labelled class) pairs with a label above 0.01
    confidence: float  # mean label there
    change: float  # mean absolute change since the last refresh, over all snippets and classes
    instances: float  # fused instances per labelled class of a video
    residual: float  # LinPro's residual per instance
    relaxed: int  # groups whose constraints were infeasible


class LabelBank:
    """Labels Q(k) of every training video and those of the refresh before, each (T, C)."""

    def __init__(self) -> None:
        self.current: list[torch.Tensor] | None = None
        self.previous: list[torch.Tensor] | None = None

    def replace(self, labels: list[torch.Tensor]) -> None:
        self.previous, self.current = self.current, labels

    def target(self, batch: Batch, phase: TargetPhase) -> SnippetTarget | None:
        """What the phase of the schedule trains a batch on (method section 5)."""
        if phase.kind == "none":
            return None
        values = self._padded(self.current, batch)
        if phase.kind == "labels":
            return SnippetTarget(phase.gain * values, phase.gain)
        return SnippetTarget(phase.gain * (values - self._padded(self.previous, batch)), 0.0)

    def _padded(self, labels: list[torch.Tensor] | None, batch: Batch) -> torch.Tensor:
        if labels is None:
            raise RuntimeError("no labels have been made yet: the schedule is inconsistent")
        return pad_labels(labels, batch)

    def state_dict(self) -> dict[str, list[torch.Tensor] | None]:
        return {"current": self.current, "previous": self.previous}

    def load_state_dict(self, state: dict[str, list[torch.Tensor] | None]) -> None:
        self.current, self.previous = state["current"], state["previous"]


def pad_labels(labels: list[torch.Tensor], batch: Batch) -> torch.Tensor:
    """(B, T, C) of the batch's videos, zero at padding."""
    return pad_sequence([labels[i] for i in batch.videos], batch_first=True).to(batch.features)


def linpro(
    segments: torch.Tensor,
    scores: torch.Tensor,
    counts: torch.Tensor,
    lengths: torch.Tensor,
    num_snippets: int,
    config: LinproConfig,
) -> gx.LinproLabels:
    return gx.linpro_labels(
        segments,
        scores,
        num_snippets,
        counts,
        formulation=config.formulation,
        rows=config.rows,
        confidence_weight=config.confidence_weight,
        uniformity_weight=config.uniformity_weight,
        sparsity_weight=config.sparsity_weight,
        lengths=lengths,
    )


class LabelTally:
    """Sums up what label statistics need, on the device: it is read once, at the end."""

    def __init__(self) -> None:
        self._sums: torch.Tensor | float = 0.0
        self._groups = self._relaxed = 0

    def add(
        self,
        labels: torch.Tensor,
        previous: torch.Tensor | None,
        batch: Batch,
        fused: gx.FusedSegments,
        solved: gx.LinproLabels,
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
            fused.counts.sum(),
            solved.residual.sum(),
        )
        self._sums = self._sums + torch.stack([value.double() for value in sums])
        self._groups += len(solved.status)
        self._relaxed += sum(status == gx.LinproStatus.RELAXED for status in solved.status)

    def statistics(self) -> LabelStatistics:
        known, covered, confidence, change, size, instances, residual = self._sums.tolist()
        return LabelStatistics(
            covered / max(1.0, known),
            confidence / max(1.0, covered),
            change / max(1.0, size),
            instances / max(1, self._groups),
            residual / max(1.0, instances),
            self._relaxed,
        )


@torch.no_grad()
def label_batch(
    model: SnippetModel, batch: Batch, config: Config, temperature: float
) -> tuple[torch.Tensor, gx.FusedSegments, gx.LinproLabels]:
    """Labels (B, T, C) of a batch by the model in the mode that it is in, zero at padding."""
    outputs = model(batch.features, batch.mask, lengths=batch.sizes)
    groups = select_groups(
        class_activations(outputs, config.labels),
        video_scores(outputs, batch.mask, config.loss.top_fraction, config.labels),
        batch.lengths,
        batch.labels,
        config.labels,
    )
    fused = find_instances(groups, config.labels, temperature)
    solved = linpro(
        fused.segments,
        fused.scores,
        fused.counts,
        groups.lengths,
        batch.features.shape[1],
        config.linpro,
    )
    labels = batch.features.new_zeros(*batch.mask.shape, batch.labels.shape[1])
    labels[groups.video, :, groups.label] = solved.labels
    return labels, fused, solved


def make_labels(
    model: SnippetModel,
    subset: VideoSubset,
    config: Config,
    refresh: int,
    device: torch.device,
    previous: list[torch.Tensor] | None = None,
) -> tuple[list[torch.Tensor], LabelStatistics]:
    """Labels of all training videos by the model as it is, in evaluation mode.

    (The release makes them in training mode, so that dropout noise is in its labels.)
    """
    was_training = model.training
    model.train(config.release_quirks.dropout_in_labels)
    temperatures = config.labels.temperature
    temperature = temperatures[min(refresh, len(temperatures) - 1)]
    labels: list[torch.Tensor] = []
    tally = LabelTally()
    for batch in subset.batches(config.data.batch_size):
        batch = batch.to(device)
        padded, fused, solved = label_batch(model, batch, config, temperature)
        before = None if previous is None else pad_labels(previous, batch)
        tally.add(padded, before, batch, fused, solved)
        labels += [row[:length].cpu() for row, length in zip(padded, batch.lengths, strict=True)]
    model.train(was_training)
    return labels, tally.statistics()
