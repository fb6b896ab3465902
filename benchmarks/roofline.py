"""A roofline on paper: how fast the CUDA kernels could be at the target sizes, a Markdown table.

Bytes are what must move between device memory and the chip: inputs once, outputs once. Instructions
are a warp's, counted in the source (the constants below) times how often the benchmark's own inputs
make them run: a sample of them goes through the CPU kernels. `chain` is the longest run of steps of
which each waits for the one before, of all teams that take a place of the GPU one after another.
The floor is the largest of the three, and the launches. No GPU is needed, nothing is measured.

  python benchmarks/roofline.py
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

import gaufuse_ext as gx
from gaufuse.benchmark import inputs
from gaufuse.benchmark.operations import IOU_THRESHOLD, MIN_SCORE, ROOM, SIGMA, THRESHOLDS

CPU = torch.device("cpu")
LAUNCH = 2e-6  # seconds from one kernel to the next, in a graph


@dataclass(frozen=True)
class Gpu:
    """From the data sheets; both have the same processor."""

    name: str
    bandwidth: float  # bytes a second
    multiprocessors: int = 132
    clock: float = 1.98e9

    @property
    def issue_rate(self) -> float:
        """Warp instructions a second. One of doubles takes the place of two."""
        return self.multiprocessors * 4 * self.clock


GPUS = (Gpu("H100", 3.35e12), Gpu("H200", 4.8e12))

# Instructions of a lane, about; doubles count twice.
COMPARE = 30  # a segment with a pivot in a sweep, in float32
DECAY = 90  # of a score, with its division and exponential in double
REDUCE = {"best": 80, "round": 250}  # a tree over a warp: 4 and 18 words
PIVOT_ENTRY = 8  # of a tableau: two loads, multiply and subtract in double, one store
# Cycles of a step that the next one waits for.
SWEEP, ROUND, SIMPLEX_STEP = 100, 500, 1500
TEAMS = {"warp": 16, "block": 2, "proposals": 32, "linpro": 16}  # at a time on a multiprocessor


@dataclass(frozen=True)
class Work:
    """What a call does, at one size."""

    name: str
    bytes: float
    instructions: float  # of warps
    chain: float  # cycles, one after the other
    launches: int

    def floor(self, gpu: Gpu) -> float:
        busy = max(self.bytes / gpu.bandwidth, self.instructions / gpu.issue_rate)
        return max(busy, self.chain / gpu.clock) + self.launches * LAUNCH


def waves(groups: int, team: str) -> float:
    """How often a place of a multiprocessor is taken, at least once."""
    return max(1.0, groups / (GPUS[0].multiprocessors * TEAMS[team]))


def greedy(
    name: str, groups: int, count: int, item_bytes: float, visits: float, rounds: float,
    instructions: float, reduction: str,
) -> Work:  # fmt: skip
    """visits: of a segment by a sweep; rounds: both of a group."""
    team = "warp" if count <= 256 else "block"
    warps = 1 if team == "warp" else 8
    of_group = visits * instructions / 32 + rounds * warps * REDUCE[reduction]
    chain = rounds * (ROUND + count / (32 * warps) * SWEEP / 2)
    return Work(
        name,
        groups * count * item_bytes,
        groups * of_group,
        waves(groups, team) * chain,
        1 if count <= 2048 else 2,
    )


def fuse(groups: int, count: int) -> Work:
    sample = 40
    segments, scores = inputs.detections(sample, count, CPU)
    fused = gx.fuse_segments(segments, scores)
    visits = float((fused.assignment + 1).sum()) / sample
    rounds = float(fused.counts.sum()) / sample
    name = f"fuse_segments, {groups:,} groups of {count:,}"
    # segments, scores and weights in; segments, scores, shares (float32) and assignment out
    return greedy(name, groups, count, 16 + 24, visits, rounds, COMPARE, "round")


def nms(groups: int, count: int) -> Work:
    sample = min(groups, 20)
    segments, scores = inputs.detections(sample, count, CPU)
    keep = gx.nms(segments, scores, IOU_THRESHOLD)
    visits = rounds = 0.0
    for own, kept in zip(segments, keep, strict=True):
        kept = kept[kept >= 0]
        dropped = gx.segment_iou(own[kept], own) >= IOU_THRESHOLD
        visits += float((dropped.int().argmax(dim=0) + 1).sum()) / sample
        rounds += len(kept) / sample
    name = f"nms, {groups:,} groups of {count:,}"
    return greedy(name, groups, count, 12 + 8, visits, rounds, COMPARE, "best")


def soft_nms(groups: int, count: int) -> Work:
    segments, scores = (x[0].double().numpy() for x in inputs.detections(1, count, CPU))
    starts, ends = segments.T
    visits, meets, rounds = 0, 0, 0
    while len(scores):
        best = scores.argmax()
        shared = np.minimum(ends, ends[best]) - np.maximum(starts, starts[best])
        union = (ends - starts) + (ends[best] - starts[best]) - shared
        iou = np.where(shared > 0, shared / union, 0.0)
        visits, meets, rounds = visits + len(scores), meets + int((iou > 0).sum()), rounds + 1
        decayed = scores * np.exp(-(iou**2) / SIGMA)
        decayed[best] = -1.0
        remains = decayed >= MIN_SCORE
        starts, ends, scores = starts[remains], ends[remains], decayed[remains]
    name = f"soft_nms, {groups:,} groups of {count:,}"
    instructions = COMPARE + DECAY * meets / visits
    return greedy(name, groups, count, 12 + 12, visits, rounds, instructions, "best")


def proposals(groups: int, snippets: int, room: int, absent: int, smoothing: int) -> Work:
    """A word of 32 snippets takes a ballot, and where a threshold is reached one for each; a run
    about 150 for a lane: its ends, the powers and the divisions of its score."""
    sample = 100 * (1 + absent)
    cas = inputs.activations(sample, snippets, CPU, smoothing, absent_classes=absent)
    found = float(gx.count_proposals(cas, THRESHOLDS).sum()) / sample
    words = snippets // 32 + 1
    reached = float((cas > THRESHOLDS.min()).any(dim=1).float().mean())
    instructions = words * (25 + reached * len(THRESHOLDS) * 5) + found * 150 / 32
    instructions += (room * 16 / 512) * 12  # padding, 16 bytes a lane
    name = f"threshold_proposals, {groups:,} sequences of {snippets:,}"
    size = groups * (4 * snippets + 16 * room + 8)
    chain = (1_500 + reached * 6_000) * waves(groups, "proposals")
    return Work(name, size, groups * instructions, chain, 1)


def membership(groups: int, count: int, snippets: int) -> Work:
    name = f"interval_membership, {groups:,} groups of {count:,}, T {snippets:,}"
    elements = groups * count * snippets
    instructions = elements / 4 * 40 / 32 + groups * count * 150 / 32
    return Work(name, 4 * elements + 8 * groups * count, instructions, 0.0, 1)


def linpro(
    name: str, groups: int, snippets: int, segments: torch.Tensor, scores: torch.Tensor,
    counts: torch.Tensor,
) -> Work:  # fmt: skip
    """segments, scores, counts: of a sample of the groups."""
    arguments = segments, scores, snippets, counts
    pivots = float(gx.linpro_labels(*arguments, backend="native").pivots.float().mean())
    of_group = [component_sizes(x[:n]) for x, n in zip(segments, counts.tolist(), strict=True)]
    together = [size for sizes in of_group for size in sizes if size > 1]  # one alone: closed form
    share = pivots * len(of_group) / max(1, sum(together))  # pivots of an instance
    # About half of a component's instances cover a cell, which has so many pieces and two.
    entries = [k * ((2 * k - 1) * (2 + k / 2) + 2 * k) for k in together]
    work = sum((share * k + 4) * size for k, size in zip(together, entries, strict=True))
    parts = sum(map(len, of_group)) / len(of_group)  # components of a group
    instructions = work / len(of_group) / 32 * PIVOT_ENTRY + snippets / 128 * 12 + 3_000 * parts
    chain = (pivots * SIMPLEX_STEP + 8_000 * parts) * waves(groups, "linpro")
    instances = float(counts.float().mean())
    size = groups * (4 * snippets + 12 * instances + 40)
    launches = 1 if segments.shape[1] <= 5 else 3  # one for each size of arena
    return Work(name, size, groups * instructions, chain, launches)


def component_sizes(segments: torch.Tensor) -> list[int]:
    """Of (N, 2) instances: runs that overlap."""
    sizes, reach = [], -1
    for start, end in sorted(segments.long().tolist()):
        if start < reach:
            sizes[-1] += 1
        else:
            sizes.append(1)
        reach = max(reach, end)
    return sizes


def linpro_alone(groups: int, count: int, snippets: int) -> Work:
    segments, scores = inputs.scored_instances(400, count, snippets, CPU)
    counts = torch.full((400,), count)
    name = f"linpro_labels, {groups:,} groups of {count:,}, T {snippets:,}"
    return linpro(name, groups, snippets, segments, scores, counts)


def labels(groups: int, snippets: int, room: int) -> Work:
    """Proposals, fusion and the linear program, one after the other."""
    sample = 20
    cas = inputs.activations(sample, snippets, CPU)
    found = gx.threshold_proposals(cas, THRESHOLDS, max_proposals=room)
    fused = gx.fuse_segments(found.segments, found.scores, found.weights, found.counts)
    rounds = float(fused.counts.sum()) / sample
    visits = float((fused.assignment + 1).sum()) / sample
    parts = (
        proposals(groups, snippets, room, 0, inputs.CHOPPY),
        greedy("", groups, room, 40, visits, rounds, COMPARE, "round"),
        linpro("", groups, snippets, fused.segments, fused.scores, fused.counts),
    )
    sums = (sum(getattr(p, part) for p in parts) for part in ("bytes", "instructions", "chain"))
    name = f"CAS to labels, {groups:,} sequences of {snippets:,}"
    return Work(name, *sums, sum(p.launches for p in parts))


def targets() -> list[tuple[Work, str]]:
    """(work, what was asked for)"""
    return [
        (fuse(10_000, 200), "1 ms"),
        (proposals(2_000_000, 150, ROOM, 99, inputs.SMOOTH), "half the bandwidth"),
        (membership(20_000, 20, 150), "70 % of the bandwidth"),
        (membership(10_000, 100, 1_000), "70 % of the bandwidth"),
        (soft_nms(1_000, 2_000), "10 ms"),
        (nms(80, 125), "0.1 ms"),
        (linpro_alone(20_000, 4, 750), "5 ms"),
        (labels(400, 750, 2_000), "1 ms"),
    ]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms" if seconds < 1e-2 else f"{seconds * 1e3:.0f} ms"


def main() -> None:
    columns = ["", "bytes", "warp instructions", "chain", "launches"]
    columns += [f"{part}, {gpu.name}" for gpu in GPUS for part in ("memory", "floor")]
    rows = [[*columns, "target"], ["---"] * (len(columns) + 1)]
    for work, target in targets():
        row = [work.name, f"{work.bytes / 1e6:,.1f} MB", f"{work.instructions / 1e6:,.1f} M"]
        row += [milliseconds(work.chain / GPUS[0].clock), str(work.launches)]
        for gpu in GPUS:
            row += [milliseconds(work.bytes / gpu.bandwidth), milliseconds(work.floor(gpu))]
        rows.append([*row, target])
    print("\n".join("| " + " | ".join(row) + " |" for row in rows))


if __name__ == "__main__":
    main()
