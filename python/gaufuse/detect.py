"""Detections of a trained model on a subset, as ActivityNet-style predictions."""

from __future__ import annotations

import torch

from gaufuse.config import Config
from gaufuse.dataset import VideoSubset
from gaufuse.model import SnippetModel
from gaufuse.postprocess import class_activations, find_instances, select_groups, video_scores

Detections = dict[str, list[dict]]


@torch.no_grad()
def detect(
    model: SnippetModel, subset: VideoSubset, config: Config, device: torch.device
) -> Detections:
    """{video: [{"segment": [start, end] in seconds, "label", "score"}]}, by descending score.

    Stored segments end one snippet past the run, as the release's do, and are clipped to the video.
    """
    was_training = model.training
    model.eval()
    testing = config.testing
    seconds = subset.info.snippet_seconds
    results: Detections = {name: [] for name in subset.names}
    for batch in subset.batches(config.data.batch_size):
        batch = batch.to(device)
        outputs = model(batch.features, batch.mask, lengths=batch.sizes)
        groups = select_groups(
            class_activations(outputs, testing),
            video_scores(outputs, batch.mask, config.loss.top_fraction, testing),
            batch.lengths,
            None,
            testing,
        )
        fused = find_instances(groups, testing, testing.temperature[-1])
        scores = fused.scores + testing.video_score_weight * groups.score.unsqueeze(1)
        last = groups.lengths[:, None, None].to(fused.segments)
        segments = torch.minimum(fused.segments, last) * seconds
        rows = zip(
            groups.video.tolist(),
            groups.label.tolist(),
            fused.counts.tolist(),
            segments.tolist(),
            scores.tolist(),
            strict=True,
        )
        for video, label, count, boundaries, confidences in rows:
            results[subset.names[batch.videos[video]]] += [
                {"segment": segment, "label": subset.info.classes[label], "score": score}
                for segment, score in zip(boundaries[:count], confidences[:count], strict=True)
            ]
    for detections in results.values():
        detections.sort(key=lambda detection: -detection["score"])
    model.train(was_training)
    return results


@torch.no_grad()
def score_videos(
    model: SnippetModel, subset: VideoSubset, config: Config, device: torch.device
) -> torch.Tensor:
    """(V, C) video scores on the CPU: how sure the model is that a video shows a class."""
    was_training = model.training
    model.eval()
    scores = []
    for batch in subset.batches(config.data.batch_size):
        batch = batch.to(device)
        outputs = model(batch.features, batch.mask, lengths=batch.sizes)
        top = config.loss.top_fraction
        scores.append(video_scores(outputs, batch.mask, top, config.testing).cpu())
    model.train(was_training)
    return torch.cat(scores)
