"""The operations in vectorised torch: what one writes who has no kernel. Batched, CPU and CUDA.

Same conventions and defaults as in `gaufuse_ext`, every group full.
"""

from __future__ import annotations

import torch


def segment_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(G, N, 2), (G, M, 2) -> (G, N, M)."""
    a, b = a.unsqueeze(2), b.unsqueeze(1)
    shared = torch.minimum(a[..., 1], b[..., 1]) - torch.maximum(a[..., 0], b[..., 0])
    shared = shared.clamp(min=0.0)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared
    return torch.where(union > 0, shared / union, torch.zeros_like(union))


def nms(segments: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """(G, N) kept indices, by descending score, then -1.

    From the IoU matrix: a segment stays if no better one that stays overlaps it. Repeated from
    "all stay" until nothing changes, this is greedy suppression in as many steps as the longest
    chain of segments that suppress each other, not in N.
    """
    order = scores.argsort(dim=1, descending=True, stable=True)
    segments = segments.gather(1, order.unsqueeze(-1).expand(-1, -1, 2))
    suppresses = (segment_iou(segments, segments) >= iou_threshold).triu_(1)
    stays = torch.ones_like(order, dtype=torch.bool)
    while True:
        now = ~(suppresses & stays.unsqueeze(2)).any(dim=1)
        if torch.equal(now, stays):
            break
        stays = now
    kept_first = (~stays).to(torch.uint8).argsort(dim=1, stable=True)
    return torch.where(stays.gather(1, kept_first), order.gather(1, kept_first), -1)


def interval_membership(
    segments: torch.Tensor, num_snippets: int, margin: float = 0.0785, margin_power: float = 0.9
) -> torch.Tensor:
    """(G, N, 2) -> (G, N, T), mode "contrast"."""
    start, end = segments.double().trunc().unsqueeze(2).unbind(-1)
    reach = margin * (end - start) ** margin_power
    left = (start - reach).trunc().clamp(min=0.0)
    right = (end + reach + 1.0).trunc().clamp(max=num_snippets - 1.0)
    t = torch.arange(num_snippets, device=segments.device)
    inside = (t >= start) & (t < end)
    ring = ((t >= left) & (t < start)) | ((t >= end) & (t < right))
    return inside.to(segments.dtype) - ring.to(segments.dtype)


def threshold_proposals(
    cas: torch.Tensor,
    thresholds: torch.Tensor,
    min_length: int = 2,
    margin: float = 0.0785,
    margin_power: float = 0.9,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(G, T) -> of the P proposals of all groups: group (P,), segments (P, 2), scores, weights.

    Ordered by group, threshold, time; not padded, which spares it work that the kernel does.
    """
    num_snippets = cas.shape[1]
    above = cas.double().unsqueeze(1) > thresholds.reshape(1, -1, 1)
    padded = torch.nn.functional.pad(above, (1, 1)).to(torch.int8)
    edges = padded.diff(dim=2)
    # Both lists are in the order of (group, threshold, time), so the k-th start has the k-th end.
    group, _, start = (edges == 1).nonzero(as_tuple=True)
    end = (edges == -1).nonzero(as_tuple=True)[2]
    long = end - start >= min_length
    group, start, end = group[long], start[long], end[long]

    sums = torch.nn.functional.pad(cas.double().cumsum(dim=1), (1, 0))

    def between(first: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum and number of the snippets in [first, last)."""
        size = (last - first).clamp(min=0)
        return sums[group, first + size] - sums[group, first], size

    inner_sum, inner_size = between(start, (end + 1).clamp(max=num_snippets))
    reach = margin * (end - start).double() ** margin_power
    left_sum, left_size = between((start - reach).clamp(min=0.0).long(), start)
    after = (end + 1).clamp(max=num_snippets)
    right_sum, right_size = between(after, (end + reach + 1.0).long().clamp(max=num_snippets - 1))
    inner = inner_sum / inner_size
    outer = (left_sum + right_sum) / (left_size + right_size).clamp(min=1)
    segments = torch.stack([start, end + 1], dim=1).to(cas.dtype)
    return group, segments, (inner - outer).to(cas.dtype), inner.to(cas.dtype)


def pad_groups(group: torch.Tensor, groups: int, *values: torch.Tensor) -> list[torch.Tensor]:
    """Lists ordered by group -> the number of each group (G,), then (G, P, ...) padded with 0."""
    counts = torch.bincount(group, minlength=groups)
    place = torch.arange(len(group), device=group.device) - (counts.cumsum(0) - counts)[group]
    room = int(counts.max()) if groups else 0
    padded = []
    for value in values:
        padded.append(value.new_zeros((groups, room, *value.shape[1:])))
        padded[-1][group, place] = value
    return [counts, *padded]


def fuse_segments(
    segments: torch.Tensor,
    scores: torch.Tensor,
    weights: torch.Tensor,
    counts: torch.Tensor | None = None,
    temperature: float = 0.2,
    threshold: float = 0.25,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """-> fused segments (G, K, 2), scores (G, K), counts (G,), assignment (G, N).

    Overlap "candidate", length offset 1. The greedy loop, one cluster of every group at a time.
    """
    groups, size = scores.shape
    valid = torch.ones_like(scores, dtype=torch.bool)
    if counts is not None:
        valid = torch.arange(size, device=scores.device) < counts.unsqueeze(1)
    order = scores.masked_fill(~valid, -torch.inf).argsort(dim=1, descending=True, stable=True)
    starts, ends = (x.gather(1, order).double() for x in segments.unbind(-1))
    scores, weights = (x.gather(1, order).double() for x in (scores, weights))
    lengths = ends - starts + 1.0
    alive = valid.gather(1, order)
    first = torch.arange(size, 0, -1, device=scores.device)  # argmax of it: the first that is alive
    clusters = torch.full_like(order, -1)
    fused: list[torch.Tensor] = []
    while bool(alive.any()):
        seed = (alive * first).argmax(dim=1, keepdim=True)
        shared = torch.minimum(ends, ends.gather(1, seed))
        shared = (shared - torch.maximum(starts, starts.gather(1, seed)) + 1.0).clamp(min=0.0)
        members = (shared / lengths > threshold).scatter(1, seed, True) & alive
        clusters[members] = len(fused)
        alive &= ~members
        logits = (weights / temperature).masked_fill(~members, -torch.inf)
        # A group that is done has no member: its softmax is not a number, and not used.
        share = torch.softmax(logits, dim=1).nan_to_num_(0.0)
        fused.append(torch.stack([(share * x).sum(1) for x in (starts, ends, scores)], dim=1))
    table = torch.stack(fused, dim=1) if fused else scores.new_zeros((groups, 0, 3))
    assignment = torch.empty_like(clusters).scatter_(1, order, clusters)
    found = clusters.amax(dim=1) + 1 if size else clusters.new_zeros(groups)
    dtype = segments.dtype
    return table[..., :2].to(dtype), table[..., 2].to(dtype), found, assignment


def label_front_end(cas: torch.Tensor, thresholds: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Activations to fused instances; the result of `fuse_segments`."""
    group, *lists = threshold_proposals(cas, thresholds)
    counts, segments, scores, weights = pad_groups(group, len(cas), *lists)
    return fuse_segments(segments, scores, weights, counts)


def soft_nms(
    segments: torch.Tensor, scores: torch.Tensor, sigma: float, min_score: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian decay: indices (G, N) in the order in which they are taken, then -1, and scores."""
    size = scores.shape[1]
    scores = scores.clone()
    index = torch.full_like(scores, -1, dtype=torch.int64)
    taken = torch.zeros_like(scores)
    for step in range(size):
        value, best = scores.max(dim=1, keepdim=True)
        # The best is taken as long as it has not been dropped; those dropped are at -inf.
        here = value > -torch.inf
        index[:, step : step + 1] = torch.where(here, best, -1)
        taken[:, step : step + 1] = torch.where(here, value, 0.0)
        pivot = segments.gather(1, best.unsqueeze(-1).expand(-1, -1, 2))
        iou = segment_iou(pivot, segments).squeeze(1)
        scores.scatter_(1, best, -torch.inf)
        scores *= torch.exp(-iou.square() / sigma)
        scores.masked_fill_(scores < min_score, -torch.inf)
    return index, taken
