"""What there is to see of one video, class by class; and the rows that it is drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaufuse_ext.annotations import Segments

MOST_CLASSES = 4
MOST_STRANGERS = 1  # classes that are detected and not annotated, where others are annotated
MOST_POINTS = 1_200  # of a drawn curve


@dataclass(frozen=True)
class Bars:
    """Scored segments."""

    segments: np.ndarray  # (N, 2) seconds
    scores: np.ndarray  # (N,)


@dataclass(frozen=True)
class ClassTimeline:
    """One class of a video; None is what is not known."""

    label: str
    truth: Bars | None = None
    activations: np.ndarray | None = None  # (T,) in [0, 1]
    proposals: Bars | None = None
    instances: Bars | None = None
    labels: np.ndarray | None = None  # (T,) in [0, 1]
    delta: np.ndarray | None = None  # (T,) what the last refresh changed
    detections: Bars | None = None


@dataclass(frozen=True)
class Timeline:
    """A video, and its classes worth drawing."""

    video: str
    seconds: float  # of the whole video
    snippet_seconds: float
    classes: list[ClassTimeline]
    others: int = 0  # classes with detections that are not among them
    note: str = ""  # where its labels come from

    def of_class(self, label: str) -> ClassTimeline:
        """That class, of which nothing may be known."""
        return next((own for own in self.classes if own.label == label), ClassTimeline(label))


@dataclass(frozen=True)
class Row:
    """One row of the drawing; by itself the heading of a class."""

    kind: str  # of KINDS, or "class"
    text: str
    best: float  # the most of its kind in the video: what bars and the CAS are relative to


@dataclass(frozen=True)
class BarRow(Row):
    """Bars whose height is their score."""

    bars: Bars


@dataclass(frozen=True)
class CurveRow(Row):
    """A curve in steps."""

    edges: np.ndarray  # (K + 1,) seconds
    values: np.ndarray  # (K,)


# What a row shows, in drawing order: its name, and the attribute of ClassTimeline.
KINDS = {
    "truth": ("ground truth", "truth"),
    "cas": ("CAS", "activations"),
    "proposals": ("proposals", "proposals"),
    "instances": ("instances", "instances"),
    "labels": ("pseudo labels", "labels"),
    "delta": ("delta", "delta"),
    "detections": ("detections", "detections"),
}
SIGNED = "delta"


def shown_classes(
    truth: Sequence[str], detected: Segments | None, wanted: Sequence[str] = ()
) -> tuple[list[str], int]:
    """The classes to draw, those annotated first, then by their best detection (beside annotated
    ones the best one alone, which they are confused with); and how many that leaves out.

    Args:
        wanted: draw just these.
    """
    best: dict[str, float] = {}
    if detected is not None:
        for label, score in zip(detected.labels, detected.scores, strict=True):
            best[label] = max(best.get(label, -np.inf), score)
    own = list(dict.fromkeys(truth))
    strangers = sorted(set(best) - set(own), key=lambda label: (-best[label], label))
    likely = own[:MOST_CLASSES] + strangers[: MOST_STRANGERS if own else MOST_CLASSES]
    chosen = list(dict.fromkeys(wanted)) or likely[:MOST_CLASSES]
    return chosen, len({*own, *strangers} - set(chosen))


def bars_of(entry: Segments | None, label: str) -> Bars | None:
    """The segments of a class; None where nothing is known of the video."""
    if entry is None:
        return None
    own = np.array([other == label for other in entry.labels], dtype=bool)
    return Bars(np.asarray(entry.segments)[own].reshape(-1, 2), np.asarray(entry.scores)[own])


def rows_of(timelines: Sequence[tuple[str, Timeline]]) -> list[Row]:
    """Rows of one video by one or several runs, a class after the other.

    Args:
        timelines: the run's name, "" where there is one alone, and what it made of the video.
    """
    labels = dict.fromkeys(own.label for _, timeline in timelines for own in timeline.classes)
    rows: list[Row] = []
    for label in labels:
        rows.append(Row("class", label, 0.0))
        for kind in KINDS:
            for name, timeline in timelines:
                row = _row(kind, name, timeline, timeline.of_class(label))
                if row is not None:
                    rows.append(row)
                if kind == "truth":
                    break  # the same for all
    return rows


def _row(kind: str, name: str, timeline: Timeline, own: ClassTimeline) -> Row | None:
    text, attribute = KINDS[kind]
    value = getattr(own, attribute)
    if value is None:
        return None
    text = f"{name} {text}" if name and kind != "truth" else text
    known = [getattr(other, attribute) for other in timeline.classes]
    numbers = [other.scores if isinstance(other, Bars) else other for other in known]
    best = max(float(own.max(initial=0.0)) for own in numbers if own is not None)
    if isinstance(value, Bars):
        return BarRow(kind, text, best, value)
    edges, values = thinned(value, timeline.snippet_seconds)
    return CurveRow(kind, text, best, edges, values)


def thinned(values: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges (K + 1,) in seconds and values (K,) of a curve (T,) with at most MOST_POINTS steps: of
    neighbours that share one, the value that is farthest from zero; equal neighbours are one."""
    each = -(-len(values) // MOST_POINTS)
    edges = np.minimum(np.arange(0, len(values) + each, each), len(values)) * seconds
    padded = np.pad(values, (0, -len(values) % each)).reshape(-1, each)
    steps = np.take_along_axis(padded, np.abs(padded).argmax(1)[:, None], 1)[:, 0]
    starts = np.flatnonzero(np.append(True, steps[1:] != steps[:-1])[: len(steps)])
    return np.append(edges[starts], edges[-1]), steps[starts]


def heights(row: BarRow) -> np.ndarray:
    """(N,) of the bars, in (0, 1]: scores, of which the best of the video is 1; ground truth has
    none."""
    if row.kind == "truth" or not row.best > 0.0:
        return np.ones(len(row.bars.scores))
    return np.clip(row.bars.scores / row.best, 0.1, 1.0)


def curve(row: CurveRow) -> np.ndarray:
    """(K,) as it is drawn, in [0, 1]: labels as they are, the CAS beside its highest value in the
    video; a signed curve is 0.5 at zero and fills its row."""
    if row.kind != SIGNED:
        best = max(1e-6, row.best) if row.kind == "cas" else 1.0
        return np.asarray(np.clip(row.values / best, 0.0, 1.0))
    most = max(1e-6, float(np.abs(row.values).max(initial=0.0)))
    return np.asarray(0.5 + 0.5 * row.values / most)
