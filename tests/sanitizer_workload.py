"""Every CUDA kernel over sizes around warp and block edges, to run under compute-sanitizer."""

from __future__ import annotations

import torch

import gaufuse_ext as gx

device = torch.device("cuda")
generator = torch.Generator().manual_seed(0)


def random_groups(groups: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    starts = torch.rand(groups, size, generator=generator) * 100
    lengths = torch.rand(groups, size, generator=generator) * 20
    counts = torch.randint(0, size + 1, (groups,), generator=generator)
    segments = torch.stack([starts, starts + lengths], dim=-1)
    scores = torch.rand(groups, size, generator=generator)
    return segments.to(device), scores.to(device), counts.to(device)


for dtype in (torch.float32, torch.float64):
    # A warp takes up to 256 segments of a group, a block 2048 in registers, and more in memory.
    for size in (1, 31, 32, 33, 64, 65, 127, 128, 129, 255, 256, 257, 1025, 2048, 2049):
        segments, scores, counts = random_groups(5, size)
        segments, scores = segments.to(dtype), scores.to(dtype)
        for overlap in ("candidate", "iou", "min"):
            gx.fuse_segments(segments, scores, counts=counts, overlap=overlap)
        gx.nms(segments, scores, 0.5, counts)
        gx.segment_iou(segments[:, :40], segments[:, :33])
        for method in ("gaussian", "linear", "hard", "gaussian_above"):
            gx.soft_nms(segments, scores, counts, method=method, min_score=0.05)
        kept = segments[:, :33].contiguous()
        for weights in ("score", "score_iou"):
            kept_counts = counts.clamp(max=kept.shape[1])
            gx.segment_voting(kept, segments, scores, 0.3, kept_counts, counts, weights=weights)
        for confidence in ("avg", "max"):
            gx.weighted_segments_fusion(
                segments, scores, counts, iou_threshold=0.4, confidence=confidence
            )
        few = (segments[:, :12].contiguous(), scores[:, :12].contiguous(), 200)
        few_counts = counts.clamp(max=min(size, 12))
        for options in ({}, {"variation_weight": 0.2}, {"formulation": "released"}):
            gx.linpro_labels(*few, few_counts, backend="native", **options)
        for mode in ("contrast", "mean", "contrast_mean"):
            gx.interval_membership(
                segments[:, :40], 130, counts.clamp(max=min(size, 40)), mode=mode
            )
    # All of these teams in one call, and rows of padding only.
    segments, scores, _ = random_groups(9, 2100)
    segments, scores = segments.to(dtype), scores.to(dtype)
    counts = torch.tensor([3, 2100, 0, 300, 256, 257, 33, 2049, 1], device=device)
    gx.fuse_segments(segments, scores, counts=counts)
    gx.nms(segments, scores, 0.5, counts)
    gx.soft_nms(segments, scores, counts, min_score=0.3)
    gx.weighted_segments_fusion(segments, scores, counts.clamp(max=300), iou_threshold=0.4)
    gx.segment_voting(segments[:, :33], segments, scores, 0.3, counts.clamp(max=33), counts)
    for snippets in (1, 33, 1000, 4097):  # 32 rows a warp .. one
        gx.interval_membership(segments[:, :40], snippets, counts.clamp(max=40))
    # A warp a group, a block a group; from 4096 snippets on the workspace holds the thresholds'
    # bits (16), the prefix sums (9), both (64).
    for snippets, levels in (
        *((n, 3) for n in (1, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025)),
        (1500, 20),
        (4096, 16),
        (6016, 9),
        (6015, 64),
    ):
        cas = torch.rand(9, snippets, generator=generator).to(device, dtype)
        cas[2] = 0.0  # no threshold is reached
        lengths = torch.tensor([snippets, 0, snippets // 2, 1] * 2 + [snippets], device=device)
        gx.threshold_proposals(cas, torch.linspace(0.1, 0.9, levels), lengths)
torch.cuda.synchronize()
print("done")
