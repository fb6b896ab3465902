"""The table of annotations, and what their timelines come to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from statistics import NormalDist

import numpy as np

from gaufuse.data.simulation.tables import LEVELS, QUANTITIES, TimelineTable
from gaufuse_ext.annotations import VideoAnnotation
from gaufuse_ext.array_types import Floats

# Instances of two classes that overlap by more are one action that has two names.
SAME_ACTION_IOU = 0.5
SHORTEST_INSTANCE = 0.1  # seconds; what is shorter is a slip of the annotator


class _Timeline:
    """One video's actions in order, in seconds."""

    def __init__(self, video: VideoAnnotation):
        order = np.argsort(video.segments[:, 0], kind="stable")
        segments = video.segments[order]
        segments = segments[segments[:, 1] - segments[:, 0] >= SHORTEST_INSTANCE]
        segments = _distinct(segments)
        self.labels = sorted(set(video.labels))
        self.main_label = Counter(video.labels).most_common(1)[0][0] if video.labels else None
        self.lengths = segments[:, 1] - segments[:, 0]
        if not len(segments):
            return
        ends = np.maximum.accumulate(segments[:, 1])
        self.duration = max(float(video.duration or 0.0), ends[-1])
        self.gaps = np.maximum(segments[1:, 0] - ends[:-1], 0.0)
        self.lead = max(segments[0, 0], 0.0)
        self.tail = self.duration - ends[-1]
        covered = ends - np.maximum(segments[:, 0], np.concatenate([[0.0], ends[:-1]]))
        self.action_share = np.maximum(covered, 0.0).sum() / self.duration


def measure(videos: Iterable[VideoAnnotation], source: str) -> TimelineTable:
    """The table of annotated videos. Those without an instance or a duration are left out."""
    timelines = [t for t in map(_Timeline, videos) if len(t.lengths)]
    if len(timelines) < 2:
        raise ValueError(f"{source}: fewer than two videos with instances")
    values = {
        "length": [t.lengths for t in timelines],
        "count": [np.array([len(t.lengths)]) for t in timelines],
        "gap": [t.gaps for t in timelines],
        "lead": [np.array([t.lead]) for t in timelines],
        "tail": [np.array([t.tail]) for t in timelines],
    }
    scores = {name: _normal_scores(values[name]) for name in QUANTITIES}
    by_video = {name: _share_between(scores[name]) for name in QUANTITIES}
    return TimelineTable(
        source=source,
        quantiles={name: _rounded(_quantiles(values[name])) for name in QUANTITIES},
        correlations=_correlations(scores, by_video),
        length_by_video=round(by_video["length"], 3),
        length_by_class=round(_share_between(_by_class(timelines, scores["length"])), 3),
        gap_by_video=round(by_video["gap"], 3),
        two_labels=round(float(np.mean([len(t.labels) > 1 for t in timelines])), 3),
        class_videos=_rounded(_class_videos(timelines)),
        summary={name: _rounded(_quantiles([v])) for name, v in summarise(timelines).items()},
    )


def summarise(videos: Iterable[VideoAnnotation | _Timeline]) -> dict[str, Floats]:
    """What timelines come to: (instances,), (gaps,) or (videos,) values of each kind."""
    timelines = [v if isinstance(v, _Timeline) else _Timeline(v) for v in videos]
    timelines = [t for t in timelines if len(t.lengths)]
    return {
        "instance_seconds": np.concatenate([t.lengths for t in timelines]),
        "gap_seconds": np.concatenate([t.gaps for t in timelines]),
        "instances_a_video": np.array([len(t.lengths) for t in timelines], dtype=float),
        "video_seconds": np.array([t.duration for t in timelines]),
        "action_share": np.array([t.action_share for t in timelines]),
    }


def _distinct(segments: Floats) -> Floats:
    """(N, 2) sorted by start, without those that all but repeat the one before."""
    kept: list[Floats] = []
    for segment in segments:
        if kept:
            shared = min(segment[1], kept[-1][1]) - max(segment[0], kept[-1][0])
            union = max(segment[1], kept[-1][1]) - min(segment[0], kept[-1][0])
            if shared > SAME_ACTION_IOU * union:
                continue
        kept.append(segment)
    return np.array(kept).reshape(-1, 2)


def _quantiles(groups: list[Floats]) -> Floats:
    """At LEVELS, each group that is not empty weighing the same."""
    values, weights = _weighted(groups)
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - 0.5 * weights[order]
    quantiles: Floats = np.interp(LEVELS, below / weights.sum(), values[order])
    return quantiles


def _weighted(groups: list[Floats]) -> tuple[Floats, Floats]:
    groups = [group for group in groups if len(group)]
    return np.concatenate(groups), np.concatenate([np.full(len(g), 1.0 / len(g)) for g in groups])


def _normal_scores(groups: list[Floats]) -> list[Floats]:
    """The standard normal number of each value's rank; equal values share the middle of theirs."""
    values, weights = _weighted(groups)
    order = np.argsort(values, kind="stable")
    ranked = np.concatenate([[0.0], np.cumsum(weights[order])]) / weights.sum()
    inverse = NormalDist().inv_cdf
    scores = []
    for group in groups:
        below = ranked[np.searchsorted(values[order], group, side="left")]
        upto = ranked[np.searchsorted(values[order], group, side="right")]
        scores.append(np.array([inverse(share) for share in (below + upto) / 2.0]))
    return scores


def _share_between(groups: list[Floats]) -> float:
    """The share of the variance that lies between groups, from pairs of values of a group."""
    several = [group for group in groups if len(group) > 1]
    if not several:
        return 1.0
    within = np.mean([group.var(ddof=1) for group in several])
    values, weights = _weighted(groups)
    total = np.average((values - np.average(values, weights=weights)) ** 2, weights=weights)
    return float(np.clip(1.0 - within / total, 0.0, 1.0))


def _by_class(timelines: list[_Timeline], scores: list[Floats]) -> list[Floats]:
    """Videos' mean scores, by the label that most of a video's instances have."""
    groups = defaultdict(list)
    for timeline, score in zip(timelines, scores, strict=True):
        groups[timeline.main_label].append(score.mean())
    return [np.array(group) for group in groups.values()]


def _correlations(scores: dict[str, list[Floats]], by_video: dict[str, float]) -> list[list[float]]:
    """Between videos' own levels, of which the mean of a video's few values is a noisy reading."""
    means = {n: np.array([g.mean() if len(g) else np.nan for g in scores[n]]) for n in QUANTITIES}
    matrix = np.eye(len(QUANTITIES))
    for i, first in enumerate(QUANTITIES):
        for j, second in enumerate(QUANTITIES[:i]):
            both = ~np.isnan(means[first]) & ~np.isnan(means[second])
            if both.sum() > 2:
                measured = np.corrcoef(means[first][both], means[second][both])[0, 1]
                noise = [
                    _reliability(
                        [g for g, b in zip(scores[n], both, strict=True) if b], by_video[n]
                    )
                    for n in (first, second)
                ]
                matrix[i, j] = matrix[j, i] = measured / np.sqrt(noise[0] * noise[1])
    # The nearest matrix that normal numbers can have.
    values, vectors = np.linalg.eigh(np.clip(matrix, -0.95, 0.95) + 0.05 * np.eye(len(matrix)))
    matrix = vectors @ np.diag(np.maximum(values, 0.02)) @ vectors.T
    scale = np.sqrt(np.diag(matrix))
    return [_rounded(row) for row in matrix / np.outer(scale, scale)]


def _reliability(groups: list[Floats], between: float) -> float:
    """The share of the variance of a group's mean that is not noise of its few values."""
    noise = np.mean([(1.0 - between) / len(group) for group in groups])
    return float(max(between, 0.05) / (max(between, 0.05) + noise))


def _class_videos(timelines: list[_Timeline]) -> Floats:
    counts = Counter(label for timeline in timelines for label in timeline.labels)
    numbers = np.array(sorted(counts.values()), dtype=float)
    return _quantiles([numbers / numbers.mean()])


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 3) for value in values]
