"""The `batched_nms` of ActionFormer and OpenTAD, written out from reading their public nms.py and
nms_cpu.cpp: one segment after the other, in plain Python floats, no code of ours."""

from __future__ import annotations

import math
from dataclasses import dataclass

EPSILON = 1e-6


@dataclass
class Detection:
    start: float
    end: float
    score: float
    label: int

    @property
    def length(self) -> float:
        return self.end - self.start


def shared(a: Detection, b: Detection) -> float:
    return max(0.0, min(a.end, b.end) - max(a.start, b.start))


def padded_iou(a: Detection, b: Detection) -> float:
    """Of NMS: lengths a little longer than they are."""
    both = shared(a, b)
    return both / ((a.length + EPSILON) + (b.length + EPSILON) - both)


def hard_nms(found: list[Detection], iou_threshold: float, min_score: float) -> list[Detection]:
    if min_score > 0:
        found = [x for x in found if x.score > min_score]
    queue = sorted(found, key=lambda x: -x.score)
    kept = []
    while queue:
        best = queue.pop(0)
        kept.append(best)
        queue = [x for x in queue if padded_iou(best, x) < iou_threshold]
    return kept


def soft_nms(
    found: list[Detection],
    method: int,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    t1: float,
    t2: float,
) -> list[Detection]:
    row = [Detection(x.start, x.end, x.score, x.label) for x in found]
    place = 0
    while place < len(row):
        best = max(range(place, len(row)), key=lambda k: row[k].score)
        row[place], row[best] = row[best], row[place]
        chosen = row[place]
        other = place + 1
        while other < len(row):
            iou = padded_iou(chosen, row[other])
            gaussian = math.exp(-(iou * iou) / sigma)
            weight = 1.0
            if method == 0 and iou >= iou_threshold:
                weight = 0.0
            elif method == 1 and iou >= iou_threshold:
                weight = 1.0 - iou
            elif method == 2 or (method == 3 and iou >= t1 + t2 * (chosen.length + EPSILON)):
                weight = gaussian
            row[other].score *= weight
            if row[other].score < min_score:
                row[other] = row[-1]
                row.pop()
            else:
                other += 1
        place += 1
    return row


def vote(
    kept: list[Detection], everyone: list[Detection], iou_threshold: float, by_iou: bool
) -> list[Detection]:
    moved = []
    for one in kept:
        total = start = end = 0.0
        for other in everyone:
            both = shared(one, other)
            iou = both / (one.length + other.length - both)
            if iou >= iou_threshold:
                weight = other.score * iou if by_iou else other.score
                total += weight
                start += weight * other.start
                end += weight * other.end
        moved.append(Detection(start / total, end / total, one.score, one.label))
    return moved


def batched_nms(
    found: list[Detection],
    iou_threshold: float,
    min_score: float,
    max_seg_num: int,
    use_soft_nms: bool,
    multiclass: bool,
    sigma: float,
    voting_thresh: float,
    method: int = 2,
    t1: float = 0.0,
    t2: float = 0.0,
    votes_by_iou: bool = False,
) -> list[Detection]:
    """Scores must differ, so that the order is certain."""
    labels = sorted({x.label for x in found})
    parts = [[x for x in found if x.label == label] for label in labels]
    kept = []
    for part in parts if multiclass else [found]:
        if use_soft_nms:
            chosen = soft_nms(part, method, iou_threshold, sigma, min_score, t1, t2)
        else:
            chosen = hard_nms(part, iou_threshold, min_score)
        kept += chosen[:max_seg_num] if max_seg_num > 0 else chosen
    if not multiclass and voting_thresh > 0:
        kept = vote(kept, found, voting_thresh, votes_by_iou)
    return sorted(kept, key=lambda x: -x.score)[:max_seg_num]
