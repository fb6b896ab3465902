"""A training loop of your own: own model, pseudo labels and delta labels by gaufuse.

Simulates a data set in the folder that is given and trains on it, in less than a minute:

    python examples/own_training_loop.py runs/own_loop_data
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

import gaufuse

CONFIG = gaufuse.load_config("general")  # how activations become instances and labels


class SmallModel(nn.Sequential):
    """Features (B, D, T) of the snippets to logits (B, C, T)."""

    def __init__(self, feature_dim: int, classes: int, width: int = 64):
        embed = nn.Conv1d(feature_dim, width, kernel_size=3, padding=1)
        super().__init__(embed, nn.ReLU(), nn.Dropout(0.5), nn.Conv1d(width, classes, 1))


def video_logits(logits: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """(B, C): the mean of a video's highest eighth, per class."""
    rows = zip(logits, sizes, strict=True)
    return torch.stack([row[:n].topk(max(1, n // 8), dim=0).values.mean(0) for row, n in rows])


@torch.no_grad()
def make_labels(model: nn.Module, batch: gaufuse.Batch) -> torch.Tensor:
    activations = model.eval()(batch.features.mT).mT.sigmoid()
    return gaufuse.snippet_labels(activations, batch.lengths, batch.labels, CONFIG)


@torch.no_grad()
def average_map(model: nn.Module, subset: gaufuse.VideoSubset) -> float:
    batch = subset.batch(range(len(subset)))
    logits = model.eval()(batch.features.mT).mT
    scores = video_logits(logits, batch.sizes).sigmoid()
    groups = gaufuse.select_groups(logits.sigmoid(), scores, batch.lengths, None, CONFIG.testing)
    found = gaufuse.detections_of(
        groups, subset.names, subset.snippet_seconds, subset.info.classes, CONFIG.testing
    )
    return gaufuse.detection_score(found, subset, CONFIG).average_map


def train(folder: str, epochs=(60, 20, 20), settings=None, label_weight=3.0) -> dict[str, float]:
    """Average mAP on the test videos after each phase; with label_weight 0, the control."""
    gaufuse.simulate(folder, seed=0, settings=gaufuse.profile("small", settings))
    data = gaufuse.load_dataset(folder)
    batches = list(data.training.batches(10))
    torch.manual_seed(0)
    model = SmallModel(data.info.feature_dim, len(data.info.classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    targets, labels, scores = None, None, {}
    for phase, count in zip(("video labels", "pseudo labels", "delta labels"), epochs, strict=True):
        if phase != "video labels":  # a refresh, by the model as it is
            previous, labels = labels, [make_labels(model, batch) for batch in batches]
            targets = labels
        if phase == "delta labels":
            targets = [
                gaufuse.labels_and_delta(*pair) for pair in zip(labels, previous, strict=True)
            ]
        for _ in range(count):
            model.train()
            for i in torch.randperm(len(batches)).tolist():
                batch = batches[i]
                logits = model(batch.features.mT).mT
                videos = video_logits(logits, batch.sizes)
                loss = F.binary_cross_entropy_with_logits(videos, batch.labels)
                if targets is not None:
                    logits, target = logits[batch.mask], targets[i][batch.mask]
                    own = F.binary_cross_entropy_with_logits(logits, target)
                    loss = loss + label_weight * own
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        scores[phase] = average_map(model, data.testing)
        print(f"{phase:14} average mAP {scores[phase]:5.2f}", flush=True)
    return scores


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/own_training_loop.py FOLDER (for the simulated data set)")
    train(sys.argv[1])
