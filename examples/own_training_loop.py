"""A training loop of your own: own model, pseudo labels and delta labels by gaufuse_ext.

Simulates a data set in the folder that is given and trains on it, in less than a minute:

    python examples/own_training_loop.py runs/own_loop_data
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import nn

import gaufuse_ext as gx
from gaufuse.data.dataset import Batch, VideoSubset, load_dataset
from gaufuse.data.simulate import profile, simulate

LEVELS = torch.linspace(0.1, 0.9, 20)  # thresholds, as shares of a sequence's peak


class SmallModel(nn.Module):
    """Features (B, T, D) of the snippets to logits (B, T, C)."""

    def __init__(self, feature_dim: int, classes: int, width: int = 64):
        super().__init__()
        self.embed = nn.Conv1d(feature_dim, width, kernel_size=3, padding=1)
        self.classify = nn.Conv1d(width, classes, kernel_size=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.classify(F.dropout(F.relu(self.embed(features.mT)), 0.5, self.training)).mT


def video_logits(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(B, C): the mean of a video's highest eighth, per class."""
    tops = [
        row[:n].topk(max(1, n // 8), dim=0).values
        for row, n in zip(logits, batch.sizes, strict=True)
    ]
    return torch.stack([top.mean(0) for top in tops])


def find_instances(logits: torch.Tensor, batch: Batch, looked_at: torch.Tensor):
    """Fused instances of the classes (B, C) that are looked at, a group each, with the groups'
    videos and classes."""
    video, label = looked_at.nonzero(as_tuple=True)
    cas = logits.sigmoid()[video, :, label] * batch.mask[video]  # (G, T)
    p = gx.threshold_proposals(
        cas, cas.amax(1, keepdim=True) * LEVELS, batch.lengths[video], margin=1.0, margin_power=1.0
    )
    fused = gx.fuse_segments(
        p.segments, p.scores, counts=p.counts, temperature=0.1, overlap="iou", threshold=0.35
    )
    return video, label, fused


@torch.no_grad()
def make_labels(model: SmallModel, batch: Batch) -> torch.Tensor:
    """LinPro pseudo labels (B, T, C) of the classes that the videos are known to show."""
    logits = model.eval()(batch.features)
    video, label, f = find_instances(logits, batch, batch.labels > 0)
    # The class is known to be there, so its best instance is one; the weak ones are left out.
    shares = (f.scores / f.scores.amax(1, keepdim=True).clamp(min=1e-6)).clamp(0.0, 1.0)
    r = gx.linpro_labels(
        f.segments,
        shares,
        num_snippets=logits.shape[1],
        counts=f.counts,
        weights=(shares > 0.5).to(shares),
        lengths=batch.lengths[video],
    )
    labels = torch.zeros_like(logits)
    labels[video, :, label] = r.labels
    return labels


@torch.no_grad()
def mean_average_precision(model: SmallModel, subset: VideoSubset) -> float:
    results: dict[str, list[dict]] = {name: [] for name in subset.names}
    for batch in subset.batches(10):
        logits = model.eval()(batch.features)
        shown = video_logits(logits, batch).sigmoid()
        video, label, f = find_instances(logits, batch, shown > 0.2)
        for g in range(len(video)):
            own = batch.videos[video[g]]
            for segment, score in zip(f.segments[g], f.scores[g, : f.counts[g]], strict=False):
                seconds = (segment * subset.snippet_seconds[own]).tolist()
                name = subset.info.classes[label[g]]
                detection = {"segment": seconds, "label": name, "score": score.item()}
                results[subset.names[own]].append(detection)
    return gx.detection_map({"results": results}, {"database": subset.annotations}).average_map


def train(
    folder: str,
    epochs: tuple[int, int, int] = (60, 20, 20),
    settings: list[str] | None = None,
    label_weight: float = 3.0,
) -> dict[str, float]:
    """Average mAP on the test videos after each phase; with label_weight 0, the control."""
    simulate(folder, seed=0, settings=profile("small", settings))
    data = load_dataset(folder)
    batches = list(data.training.batches(10))
    torch.manual_seed(0)
    model = SmallModel(data.info.feature_dim, len(data.info.classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    labels: list[torch.Tensor] = []
    scores = {}
    phases = ("video labels", "pseudo labels", "delta labels")
    for phase, own_epochs in zip(phases, epochs, strict=True):
        if phase != "video labels":  # a refresh, by the model as it is
            previous, labels = labels, [make_labels(model, batch) for batch in batches]
        for _ in range(own_epochs):
            model.train()
            for i in torch.randperm(len(batches)).tolist():
                batch = batches[i]
                logits = model(batch.features)
                loss = F.binary_cross_entropy_with_logits(video_logits(logits, batch), batch.labels)
                if phase != "video labels":
                    target = labels[i]
                    if phase == "delta labels":  # further the way that the labels have changed
                        target = (target + 2.0 * (target - previous[i])).clamp(0.0, 1.0)
                    every = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
                    loss = loss + label_weight * every[batch.mask].mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        scores[phase] = mean_average_precision(model, data.testing)
        print(f"{phase:14} average mAP {scores[phase]:5.2f}", flush=True)
    return scores


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/own_training_loop.py FOLDER (for the simulated data set)")
    train(sys.argv[1])
