"""Average recall of proposals over their average number: AR@AN, and the area under that curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaufuse_ext import _checks
from gaufuse_ext._fork import kernel_threads
from gaufuse_ext._library import _native
from gaufuse_ext.annotations import Source, choose_subset, load_ground_truth
from gaufuse_ext.class_names import check_videos_in_common
from gaufuse_ext.evaluation.detection_map import check_thresholds
from gaufuse_ext.flat_predictions import load_flat_predictions
from gaufuse_ext.flat_segments import FlatSegments

STEPS = 100  # of the curve


@dataclass(frozen=True)
class AverageRecall:
    """Recall in percent, at hundredths of the average number of proposals."""

    iou_thresholds: np.ndarray  # (H,)
    proposals_per_video: np.ndarray  # (100,) average number of proposals a video (AN)
    recall: np.ndarray  # (H, 100)

    @property
    def average_recall(self) -> np.ndarray:
        """(100,) mean over thresholds (AR)."""
        recall: np.ndarray = self.recall.mean(axis=0)
        return recall

    @property
    def area(self) -> float:
        """Area under AR over AN, as a share of the range of AN, in percent (AUC)."""
        heights = (self.average_recall[1:] + self.average_recall[:-1]) / 2
        widths = np.diff(self.proposals_per_video)
        return float((heights * widths).sum() / self.proposals_per_video[-1])

    def at(self, proposals: float) -> float:
        """AR@AN, between its steps by straight lines."""
        if not 0 < proposals <= self.proposals_per_video[-1] * (1 + 1e-9):
            raise ValueError(
                f"proposals must lie in (0, {self.proposals_per_video[-1]:g}], got {proposals!r}"
            )
        return float(np.interp(proposals, self.proposals_per_video, self.average_recall))


def average_recall(
    proposals: Source | FlatSegments,
    ground_truth: Source | FlatSegments,
    iou_thresholds: Sequence[float] | str = "0.5:0.05:0.95",
    *,
    max_proposals: float | None = 100,
    subset: str | None = None,
) -> AverageRecall:
    """Average recall as in ActivityNet's proposal evaluation (ANETproposal).

    Proposals have no class (labels are not looked at); one may reach several instances. Each video
    gives the same share of its proposals, the highest scores first, such that `max_proposals` are
    given on average over the videos that have instances; the curve's steps are hundredths of that.
    Of equal scores the earlier proposal goes first, where the official evaluation leaves it open.

    Args:
        proposals, ground_truth: as in `detection_map`; proposals in videos without instances count
            in the average, as there.
        iou_thresholds: in (0, 1].
        max_proposals: the average number at which the curve ends; None: all proposals.
        subset: use the ground truth of this subset only.

    Raises:
        FileNotFoundError, ValueError: as `detection_map`; no proposal at all.
    """
    thresholds = check_thresholds(iou_thresholds, "activitynet")
    if max_proposals is not None:
        _checks.check_positive("max_proposals", max_proposals)
    truth = _annotated(ground_truth, subset)
    found = _proposed(proposals, truth)
    if not len(truth):
        raise ValueError("the ground truth has no annotation")
    if not len(found):
        raise ValueError("there are no proposals")
    (found_videos, _), (true_names, _) = found.names, truth.names
    check_videos_in_common(found_videos, true_names)

    videos = np.unique(truth.video_ids)  # that have instances
    place_of = np.full(len(true_names), -1, dtype=np.int32)
    place_of[videos] = np.arange(len(videos))
    by_name = dict(zip(true_names, place_of.tolist(), strict=True))
    places = np.array([by_name.get(name, -1) for name in found_videos], dtype=np.int32)
    video_ids, true_videos = places[found.video_ids], place_of[truth.video_ids]
    ranks = _first_ranks(found, video_ids, truth, true_videos, len(videos), thresholds)

    # How many proposals each video gives, in all and at each step: truncated, as there.
    if max_proposals is None:
        max_proposals = len(found) / len(videos)
    counts = np.bincount(video_ids[video_ids >= 0], minlength=len(videos))
    given = np.minimum((counts * (max_proposals * len(videos) / len(found))).astype(int), counts)
    if not given.sum():
        raise ValueError(f"max_proposals={max_proposals:g} leaves no proposal to any video")
    shares = np.arange(1, STEPS + 1) / 100.0 * (max_proposals * len(videos) / given.sum())
    recall = np.empty((len(thresholds), STEPS))
    for step, share in enumerate(shares):
        limits = np.minimum((given * share).astype(int), given)[true_videos]
        reached = (ranks > 0) & (ranks <= limits[:, None])
        recall[:, step] = reached.sum(axis=0) / len(truth)
    return AverageRecall(thresholds, shares * (given.sum() / len(videos)), 100.0 * recall)


def _first_ranks(
    found: FlatSegments,
    video_ids: np.ndarray,
    truth: FlatSegments,
    true_videos: np.ndarray,
    num_videos: int,
    thresholds: np.ndarray,
) -> np.ndarray:
    """(M, H) int32: the rank in its video of the first proposal that reaches an instance; 0:
    none."""
    ranks = np.empty((len(truth), len(thresholds)), dtype=np.int32)
    _native.first_proposals(
        segments=found.segments.ctypes.data,
        scores=found.given_scores.ctypes.data,
        videos=video_ids.ctypes.data,
        true_segments=truth.segments.ctypes.data,
        true_videos=true_videos.ctypes.data,
        thresholds=thresholds.ctypes.data,
        ranks=ranks.ctypes.data,
        num_proposals=len(found),
        num_instances=len(truth),
        num_thresholds=len(thresholds),
        num_videos=num_videos,
        threads=kernel_threads(),
    )
    return ranks


def _annotated(source: Source | FlatSegments, subset: str | None) -> FlatSegments:
    if isinstance(source, FlatSegments):
        if subset is not None:
            raise ValueError("flat ground truth has no subsets: leave subset out")
        return source.named()
    truth = load_ground_truth(source)
    return FlatSegments.from_videos(truth if subset is None else choose_subset(truth, subset))


def _proposed(source: Source | FlatSegments, truth: FlatSegments) -> FlatSegments:
    if not isinstance(source, FlatSegments):
        return load_flat_predictions(source, labelled=False)
    if source.scores is None:
        raise ValueError("proposals have no scores")
    return source.named(truth.videos, truth.classes)
