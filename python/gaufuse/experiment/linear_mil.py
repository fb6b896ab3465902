"""The outside baseline: linear top-k multiple-instance learning, which owes nothing to the method.

One linear layer on standardised features, a sigmoid a class, the mean of each class's top snippets
as the video's score, binary cross entropy. Detections: runs above 20 thresholds between a
sequence's minimum and maximum, outer-inner contrast plus half the video score, NMS at 0.45.

  python -m gaufuse.experiment.linear_mil TARGET --output RUN --seed 0
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import gaufuse_ext as gx
from gaufuse.data.dataset import Batch, Dataset, VideoSubset, load_dataset
from gaufuse.localization.detect import Detections
from gaufuse.utils.files import ensure_writable_folder, write_json

BATCH = 10  # videos a step
IOU_THRESHOLDS = (0.1, 0.1, 0.7)  # first, step, last
THRESHOLDS = 20
VIDEO_SCORE_WEIGHT = 0.5
NMS_THRESHOLD = 0.45
RING = 1.0  # reach of the outer region to both sides, of a run's length


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `gaufuse train` that an experiment gives every run, and the settings of this one."""
    parser.add_argument("target", metavar="TARGET", help="data set folder")
    parser.add_argument("--output", required=True, metavar="RUN", help="folder for metrics.json")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--top-fraction", type=float, default=1 / 8, help="of a video's snippets")
    parser.add_argument("--resume", action="store_true", help="accepted; it starts anew in seconds")


def run(options: argparse.Namespace) -> dict:
    """Trains, tests, and writes metrics.json, as `gaufuse train` does."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    dataset = load_dataset(options.target)
    mean, scale = dataset.training.standardizer()
    layer = train(
        dataset.training,
        (mean, scale),
        options.epochs,
        options.learning_rate,
        options.top_fraction,
    )
    with torch.no_grad():
        detections = detect(layer, dataset.testing, (mean, scale), options.top_fraction)
    metrics = evaluate(detections, dataset) | {"epochs": options.epochs}
    write_json(ensure_writable_folder(options.output) / "metrics.json", metrics)
    return metrics


def train(
    subset: VideoSubset,
    standardizer: tuple[torch.Tensor, torch.Tensor],
    epochs: int,
    learning_rate: float,
    top_fraction: float,
) -> torch.nn.Linear:
    """A layer (feature_dim -> classes) for standardised features, drawn and trained by torch's
    default generator."""
    layer = torch.nn.Linear(subset.info.feature_dim, len(subset.info.classes))
    optimizer = torch.optim.Adam(layer.parameters(), lr=learning_rate)
    for _ in range(epochs):
        for batch in subset.batches(BATCH, torch.randperm(len(subset)).tolist()):
            logits = _top_mean(_logits(layer, batch, standardizer), batch, top_fraction)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return layer


def detect(
    layer: torch.nn.Linear,
    subset: VideoSubset,
    standardizer: tuple[torch.Tensor, torch.Tensor],
    top_fraction: float,
) -> Detections:
    """{video: [{"segment": [start, end] in seconds, "label", "score"}]}, of every class."""
    results: Detections = {}
    steps = torch.arange(1, THRESHOLDS + 1, dtype=torch.float64) / (THRESHOLDS + 1)
    for video, name in enumerate(subset.names):
        batch = subset.batch([video])
        logits = _logits(layer, batch, standardizer)
        video_scores = torch.sigmoid(_top_mean(logits, batch, top_fraction))[0]
        activations = torch.sigmoid(logits[0]).T.contiguous()  # (C, T)
        lowest = activations.amin(1, keepdim=True).double()
        highest = activations.amax(1, keepdim=True).double()
        proposals = gx.threshold_proposals(
            activations, lowest + (highest - lowest) * steps, margin=RING, margin_power=1.0
        )
        segments = proposals.segments - torch.tensor([0.0, 1.0])  # they end one past the run
        scores = proposals.scores + VIDEO_SCORE_WEIGHT * video_scores.unsqueeze(1)
        kept = gx.nms(segments, scores, NMS_THRESHOLD, proposals.counts)
        seconds = subset.snippet_seconds[video]
        results[name] = [
            {
                "segment": (segments[label, row] * seconds).tolist(),
                "label": subset.info.classes[label],
                "score": float(scores[label, row]),
            }
            for label, rows in enumerate(kept.tolist())
            for row in rows
            if row >= 0
        ]
    return results


def evaluate(detections: Detections, dataset: Dataset) -> dict:
    """What metrics.json says of the test videos: mAP in percent at tIoU 0.1 to 0.7."""
    thresholds = gx.threshold_range(*IOU_THRESHOLDS)
    result = gx.detection_map(
        {"results": detections},
        {"database": dataset.testing.annotations},
        thresholds,
        "activitynet",
    )
    return {
        "map": result.map.tolist(),
        "average_map": result.average_map,
        "iou_thresholds": [round(threshold, 6) for threshold in thresholds],
        "protocol": "activitynet",
    }


def _logits(
    layer: torch.nn.Linear, batch: Batch, standardizer: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    mean, scale = standardizer
    logits: torch.Tensor = layer((batch.features - mean) / scale)  # (B, T, C)
    return logits


def _top_mean(logits: torch.Tensor, batch: Batch, fraction: float) -> torch.Tensor:
    """(B, C): mean of the highest `fraction` of each video's own snippets, at least one."""
    rows = []
    for own, size in zip(logits, batch.sizes, strict=True):
        rows.append(own[:size].topk(max(1, int(size * fraction)), dim=0).values.mean(0))
    return torch.stack(rows)


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit status, 2 for a problem of the user's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        metrics = run(options)
    except (ValueError, OSError) as error:
        print(f"linear_mil: error: {error}", file=sys.stderr)
        return 2
    print(f"average mAP {metrics['average_map']:.2f}, in {Path(options.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
