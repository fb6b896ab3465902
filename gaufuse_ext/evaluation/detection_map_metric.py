"""mAP as a metric that is fed batch by batch, in anybody's loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch

from gaufuse_ext.annotations import Segments
from gaufuse_ext.evaluation.detection_map import DetectionMap, check_thresholds, detection_map
from gaufuse_ext.flat_segments import FlatSegments

Video = Mapping[str, Any]


class FedVideo(NamedTuple):
    """What the metric keeps of a video; name: None where it was fed without."""

    name: str | None
    predictions: Segments
    ground_truth: Segments


class DetectionMapMetric:
    """Mean average precision, with the habits of torchmetrics: `update` with each batch, `compute`
    at the end, `reset` before the next epoch::

        metric = gx.DetectionMapMetric("0.5:0.05:0.95")
        for batch in loader:
            metric.update(model(batch), batch["annotations"], batch["video_names"])
        print(metric.compute().average_map)

    Where torch.distributed is initialised, `compute` merges what all processes were fed (every one
    of them must call it) and gives each the same result. State is kept as NumPy arrays on the CPU.

    Args:
        iou_thresholds, protocol: as in `detection_map`.
        classes: names by class id, for labels that are ids.
        process_group: of the processes to merge; None: all.
        **options: `bootstrap`, `curves`, `duplicates` and others of `detection_map`.
    """

    def __init__(
        self,
        iou_thresholds: Sequence[float] | str = "0.1:0.1:0.7",
        protocol: str = "activitynet",
        *,
        classes: Sequence[str] | None = None,
        process_group: Any = None,
        **options: Any,
    ) -> None:
        check_thresholds(iou_thresholds, protocol)
        self.iou_thresholds = iou_thresholds
        self.protocol = protocol
        self.classes = None if classes is None else list(classes)
        self.process_group = process_group
        self.options = options
        self.reset()

    def reset(self) -> None:
        """Forgets everything that it was fed."""
        self._videos: list[FedVideo] = []
        self._computed: DetectionMap | None = None

    def update(
        self,
        predictions: Sequence[Video],
        ground_truth: Sequence[Video],
        videos: Sequence[str] | None = None,
    ) -> None:
        """Feeds a batch.

        Args:
            predictions: for each video of the batch {"segments": (N, 2) seconds, "labels": (N,)
                class ids or names, "scores": (N,)}: tensors of any device, arrays, or lists.
            ground_truth: for each {"segments": (M, 2), "labels": (M,)}.
            videos: their names. A video that comes again, as the samples do with which a
                DistributedSampler fills up the last batch, counts once. Without names every entry
                is a video of its own.

        Raises:
            TypeError, ValueError: batches of unlike sizes, entries or labels that are none.
        """
        names: Sequence[str | None] = [None] * len(predictions)
        if videos is not None:
            names = list(videos)
        if not len(predictions) == len(ground_truth) == len(names):
            raise ValueError(
                "predictions, ground_truth and videos must have an entry for each video, got "
                f"{len(predictions)}, {len(ground_truth)} and {len(names)}"
            )
        fed = []
        for i, (name, found, truth) in enumerate(
            zip(names, predictions, ground_truth, strict=True)
        ):
            if not (name is None or isinstance(name, str)):
                raise TypeError(f"videos must be names, got {name!r}")
            video = f"video {i if name is None else repr(name)}"
            predicted = self._segments(f"predictions of {video}", found, scored=True)
            annotated = self._segments(f"ground truth of {video}", truth, scored=False)
            fed.append(FedVideo(name, predicted, annotated))
        self._add(fed)  # only now: a batch that is refused leaves nothing behind

    def merge(self, other: DetectionMapMetric) -> None:
        """Takes in what another metric, of another process perhaps, was fed."""
        self._add(other._videos)

    def compute(self) -> DetectionMap:
        """Of everything fed since the last `reset`, by all processes.

        Raises:
            ValueError: nothing that it was fed has an annotation; as `detection_map`.
        """
        states = self._of_all_processes()
        if len(states) == 1 and self._computed is not None:
            return self._computed  # else others may have been fed meanwhile
        videos = _each_once(chain.from_iterable(states))
        names = [f"\0{i}" if video.name is None else video.name for i, video in enumerate(videos)]
        found = FlatSegments.from_videos(
            {name: video.predictions for name, video in zip(names, videos, strict=True)}
        )
        truth = FlatSegments.from_videos(
            {name: video.ground_truth for name, video in zip(names, videos, strict=True)}
        )
        # Classes that are known by their ids alone may all be false.
        _, found_classes = found.names
        ids = [name for name in found_classes if name.isdigit()] if self.classes is None else []
        self._computed = detection_map(
            found,
            truth,
            self.iou_thresholds,
            self.protocol,
            classes=self.classes or ids,
            **self.options,
        )
        return self._computed

    def _add(self, videos: Sequence[FedVideo]) -> None:
        self._computed = None
        self._videos.extend(videos)  # each once only when all are there

    def _of_all_processes(self) -> list[list[FedVideo]]:
        distributed = torch.distributed
        if not (distributed.is_available() and distributed.is_initialized()):
            return [self._videos]
        gathered: list[Any] = [None] * distributed.get_world_size(self.process_group)
        distributed.all_gather_object(gathered, self._videos, group=self.process_group)
        return gathered

    def _segments(self, name: str, entry: Video, scored: bool) -> Segments:
        wanted = ("segments", "labels", "scores") if scored else ("segments", "labels")
        if not isinstance(entry, Mapping) or not all(key in entry for key in wanted):
            raise ValueError(f"{name} must have {', '.join(wanted)}, got {_keys(entry)}")
        labels = self._labels(name, entry["labels"])
        count = len(labels)
        try:
            flat = FlatSegments(
                entry["segments"],
                np.zeros(count, dtype=np.int32),
                np.zeros(count, dtype=np.int32),
                entry["scores"] if scored else np.ones(count),
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}, which have {count} labels: {error}") from None
        return Segments(flat.segments, labels, flat.given_scores)

    def _labels(self, name: str, labels: object) -> list[str]:
        values = labels.tolist() if hasattr(labels, "tolist") else labels
        if not isinstance(values, (list, tuple)):
            raise TypeError(f"{name}: labels must be class ids or names, got {labels!r:.80}")
        return [self._label(name, value) for value in values]

    def _label(self, name: str, value: object) -> str:
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name}: labels must be class ids or names, got {value!r}")
        if self.classes is None:
            return str(int(value))
        if not 0 <= value < len(self.classes):
            raise ValueError(f"{name}: labels must lie in [0, {len(self.classes)}), got {value}")
        return self.classes[value]


def _keys(entry: object) -> str:
    return ", ".join(map(str, entry)) if isinstance(entry, Mapping) else repr(entry)[:80]


def _each_once(videos: Iterable[FedVideo]) -> list[FedVideo]:
    """Of one name the first; without a name all."""
    names: set[str] = set()
    kept = []
    for video in videos:
        if video.name is None or video.name not in names:
            kept.append(video)
        if video.name is not None:
            names.add(video.name)
    return kept
