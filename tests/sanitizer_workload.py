"""Every CUDA kernel over sizes around warp and block edges, to run under compute-sanitizer; results
must be the CPU's. `python sanitizer_workload.py [DEVICE]`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

import gaufuse_ext as gx

device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cuda")
generator = torch.Generator().manual_seed(0)


def check(operation: Callable, *arguments, **options) -> None:
    """Runs an operation on the device; its results must be those of the CPU, sums (which teams of
    threads make in an order of their own) up to rounding."""

    def on(where: torch.device) -> list[torch.Tensor]:
        moved = (x.to(where) if isinstance(x, torch.Tensor) else x for x in arguments)
        own = {k: v.to(where) if isinstance(v, torch.Tensor) else v for k, v in options.items()}
        return tensors_of(operation(*moved, **own))

    expected = on(torch.device("cpu"))
    for number, (found, right) in enumerate(zip(on(device), expected, strict=True)):
        found, right = found.cpu(), right.to(found.dtype)
        same = torch.equal(found, right)
        if found.is_floating_point():
            scale = 1e-5 if found.dtype == torch.float32 else 1e-9
            same = torch.allclose(found, right, rtol=scale, atol=scale, equal_nan=True)
        if not same:
            sys.exit(f"result {number} of {operation.__name__} is not the CPU's: {options}")


def tensors_of(result: object) -> list[torch.Tensor]:
    if isinstance(result, gx.LinproLabels):  # the CPU solves what the device may leave
        return [result.labels, result.objective, result.residual, result.gap, result.codes]
    return [result] if isinstance(result, torch.Tensor) else list(result)


def random_groups(groups: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    starts = torch.rand(groups, size, generator=generator) * 100
    lengths = torch.rand(groups, size, generator=generator) * 20
    counts = torch.randint(0, size + 1, (groups,), generator=generator)
    segments = torch.stack([starts, starts + lengths], dim=-1)
    return segments, torch.rand(groups, size, generator=generator), counts


def check_greedy(segments: torch.Tensor, scores: torch.Tensor, counts: torch.Tensor) -> None:
    for overlap in ("candidate", "iou", "min"):
        check(gx.fuse_segments, segments, scores, counts=counts, overlap=overlap)
    check(gx.nms, segments, scores, 0.5, counts)
    for method in ("gaussian", "linear", "hard", "gaussian_above"):
        options = {"method": method, "min_score": 0.3}
        check(gx.soft_nms, segments, scores, counts, **options)
    kept = segments[:, :33].contiguous()
    for weights in ("score", "score_iou"):
        voters = kept, segments, scores, 0.3, counts.clamp(max=kept.shape[1]), counts
        check(gx.segment_voting, *voters, weights=weights)
    for confidence in ("avg", "max"):
        options = {"iou_threshold": 0.4, "confidence": confidence}
        check(gx.weighted_segments_fusion, segments, scores, counts.clamp(max=300), **options)


for dtype in (torch.float32, torch.float64):
    # A warp takes up to 256 segments of a group, a block 2048 in registers, and more in memory.
    for size in (1, 31, 32, 33, 64, 65, 127, 128, 129, 255, 256, 257, 1025, 2048, 2049):
        segments, scores, counts = random_groups(5, size)
        segments, scores = segments.to(dtype), scores.to(dtype)
        check_greedy(segments, scores, counts)
        check(gx.segment_iou, segments[:, :40], segments[:, :33])
        for mode in ("contrast", "mean", "contrast_mean"):
            few_counts = counts.clamp(max=min(size, 40))
            check(gx.interval_membership, segments[:, :40], 130, few_counts, mode=mode)
    check(gx.segment_iou, segments[:2, :3], segments[:2])  # a row is for more than a block
    # All of these teams in one call, and rows of padding only.
    segments, scores, _ = random_groups(9, 2100)
    counts = torch.tensor([3, 2100, 0, 300, 256, 257, 33, 2049, 1])
    check_greedy(segments.to(dtype), scores.to(dtype), counts)
    for snippets in (1, 33, 1000, 4097):  # 32 rows a warp .. one
        few = segments[:, :40].to(dtype)
        check(gx.interval_membership, few, snippets, counts.clamp(max=40))
    # Components for each of the arenas: 13 KiB and 47 KiB of shared memory, 1 MiB.
    for size in (1, 4, 8, 12, 20):
        segments, scores, counts = random_groups(5, size)
        arguments = segments.to(dtype), scores.to(dtype), 200, counts
        for options in (
            {},
            {"variation_weight": 0.2},
            {"rows": "contrast_mean", "constraint": "hard"},
            {"formulation": "released"},
        ):
            if size > 12 and options:
                continue  # may be too large for the device
            check(gx.linpro_labels, *arguments, backend="native", **options)
    # A warp a group, a block a group; from 4096 snippets on the workspace holds the thresholds'
    # bits (16), the prefix sums (9), both (64).
    for snippets, levels in (
        *((n, 3) for n in (1, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025)),
        (1500, 20),
        (4096, 16),
        (6016, 9),
        (6015, 64),
    ):
        cas = torch.rand(9, snippets, generator=generator).to(dtype)
        cas[2] = 0.0  # no threshold is reached
        lengths = torch.tensor([snippets, 0, snippets // 2, 1] * 2 + [snippets])
        arguments = cas, torch.linspace(0.1, 0.9, levels).double(), lengths
        check(gx.count_proposals, *arguments)
        room = int(gx.count_proposals(*arguments).max())
        check(gx.threshold_proposals, *arguments, max_proposals=room)
print("done")
