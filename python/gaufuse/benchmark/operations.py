"""What is measured: each operation, the sizes that it meets in use, the other ways to do it.

A new operation is one more `Operation(...)` in `operations`, and its name in `NAMES`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

import gaufuse_ext as gx
from gaufuse.benchmark import inputs, torch_versions, versions
from gaufuse.benchmark.versions import Inputs, ScalarLoops, Version
from gaufuse_ext.reference.fuse_segments import fuse_segments as reference_fusion

THRESHOLDS = torch.arange(1, 41, 2, dtype=torch.float64) / 1000.0  # the release's 0.001 .. 0.039
IOU_THRESHOLD = 0.5
SIGMA, MIN_SCORE = 0.5, 0.001
VOTING_THRESHOLD = 0.75
# Proposals of one ActivityNet sequence; hardly any here has more. With room for the worst case,
# 1,000, the output would be 27 times the activations, and nearly all padding.
ROOM = 160

# Of `operations`, in their order, for those who only list them: what each is compared with takes
# half a second of imports (SciPy, torchvision).
NAMES = (
    "label_front_end",
    "threshold_proposals",
    "fuse_segments",
    "nms",
    "interval_membership",
    "segment_iou",
    "soft_nms",
    "segment_voting",
    "weighted_segments_fusion",
    "linpro_labels",
)


@dataclass(frozen=True)
class Case:
    """One size. `series`: cases that differ in the number of groups alone share it."""

    name: str
    groups: int  # as in use; fewer are measured where they do not fit into memory
    size: int  # segments or snippets of a group
    build: Callable[[int, torch.device], Inputs]  # inputs of a number of groups
    group_bytes: int  # memory that the inputs and outputs of one group take, about
    series: str
    quick: bool = False


@dataclass(frozen=True)
class GpuTarget:
    """What a case should reach on one H200; reports say whether it did."""

    seconds: float | None = None  # at most
    bandwidth_share: float | None = None  # of copy_, at least

    def reached(self, seconds: float, bandwidth_share: float) -> bool:
        """Whether a measurement meets what is asked for; what is None is not."""
        return (self.seconds is None or seconds <= self.seconds) and (
            self.bandwidth_share is None or bandwidth_share >= self.bandwidth_share
        )


@dataclass(frozen=True)
class Operation:
    """A kernel, the cases that it is measured on, and what it is compared with."""

    name: str
    unit: str  # of Case.size
    kernel: Callable[..., object]  # of a case's inputs
    cases: tuple[Case, ...]
    versions: dict[str, Version]
    gpu_targets: dict[str, GpuTarget] = field(default_factory=dict)  # by the case's name

    def __post_init__(self) -> None:
        assert self.gpu_targets.keys() <= {case.name for case in self.cases}


def operations(scalar: ScalarLoops) -> list[Operation]:
    """All of them, in the order of the tables; scalar: loops to compare with, where there are."""
    return [
        Operation(
            "label_front_end",  # what turns the activations of a video into instances
            "snippets",
            _front_end,
            (
                _activations("1 sequence", 1, 750, quick=True),
                _activations("1 sequence", 1, 2_000),
                _activations("1 sequence", 1, 6_000),
                _activations("100 sequences", 100, 750),
                _activations("100 sequences", 100, 2_000),
                _activations("100 sequences", 100, 6_000),
                _activations("100 smooth sequences", 100, 750, inputs.SMOOTH),
                _activations("100 smooth sequences", 100, 2_000, inputs.SMOOTH),
                _activations("100 smooth sequences", 100, 6_000, inputs.SMOOTH),
                _activations("THUMOS14, 200 videos x 2 classes", 400, 3_000),
                _activations("ActivityNet, 10,000 videos x 2 classes", 20_000, 150, inputs.SMOOTH),
            ),
            _reference_front_end()
            | versions.vectorised(
                lambda cas: torch_versions.label_front_end(cas, _thresholds(cas.device)),
                _masks,
            ),
        ),
        Operation(
            "threshold_proposals",
            "snippets",
            _proposals,
            (
                _sequences("1 sequence", 1, 100),
                _sequences("1 sequence", 1, 750, quick=True),
                _sequences("1 sequence", 1, 3_000),
                _sequences("20 sequences", 20, 3_000),
                _sequences("THUMOS14, 200 videos x 2 classes", 400, 3_000),
                _all_classes("ActivityNet, 10,000 videos x 200 classes", 2_000_000, 150, ROOM),
            ),
            versions.reference(
                "threshold_proposals", lambda f, cas, _: f(cas, THRESHOLDS.numpy()), lambda x: 0
            )
            | versions.vectorised(
                lambda cas, _: torch_versions.threshold_proposals(cas, _thresholds(cas.device)),
                _masks,
            ),
            gpu_targets={
                f"ActivityNet, 10,000 videos x 200 classes, T 150, room for {ROOM}": GpuTarget(
                    bandwidth_share=0.5
                )
            },
        ),
        Operation(
            "fuse_segments",
            "segments",
            lambda segments, scores: gx.fuse_segments(segments, scores),
            (
                _detections("1 group", 1, 10),
                _detections("1 group", 1, 200, quick=True),
                _detections("100 groups", 100, 200),
                _detections("10,000 groups", 10_000, 200),
                _detections("1 group", 1, 2_000),
                _detections("1,000 groups", 1_000, 2_000),
                _detections("1 group", 1, 20_000),
            ),
            versions.reference("fuse_segments", lambda f, *x: f(*x), lambda x: 0)
            | versions.vectorised(
                lambda segments, scores: torch_versions.fuse_segments(segments, scores, scores),
                lambda x: 200 * x[1].shape[1],
            ),
            gpu_targets={"10,000 groups of 200": GpuTarget(seconds=1e-3)},
        ),
        Operation(
            "nms",
            "segments",
            lambda segments, scores: gx.nms(segments, scores, IOU_THRESHOLD),
            DETECTOR,
            versions.reference("nms", lambda f, *x: f(*x, IOU_THRESHOLD), _square(40))
            | versions.vectorised(
                lambda segments, scores: torch_versions.nms(segments, scores, IOU_THRESHOLD),
                _square(24),
            )
            | versions.torchvision_nms(IOU_THRESHOLD)
            | versions.actionformer_nms(IOU_THRESHOLD)
            | scalar.nms(IOU_THRESHOLD),
        ),
        Operation(
            "interval_membership",
            "segments",
            gx.interval_membership,
            (
                _instances("1 group, T 2,000", 1, 20, 2_000, quick=True),
                _instances("THUMOS14, 400 groups, T 3,000", 400, 50, 3_000),
                _instances("ActivityNet, 20,000 groups, T 150", 20_000, 20, 150),
                _instances("10,000 groups, T 1,000", 10_000, 100, 1_000),
            ),
            versions.reference("interval_membership", lambda f, *x: f(*x), lambda x: 0)
            | versions.vectorised(
                torch_versions.interval_membership, lambda x: 24 * x[0].shape[1] * x[1]
            ),
            gpu_targets={
                "ActivityNet, 20,000 groups, T 150, 20 instances": GpuTarget(bandwidth_share=0.7),
                "10,000 groups, T 1,000, 100 instances": GpuTarget(bandwidth_share=0.7),
            },
        ),
        Operation(
            "segment_iou",
            "segments",
            gx.segment_iou,
            (
                _pairs("1 video, 20 instances", 1, 2_000, 20, quick=True),
                _pairs("1 video, each with each", 1, 2_000, 2_000),
                _pairs("THUMOS14, 200 videos, 16 instances", 200, 20_000, 16),
                _pairs("ActivityNet, 10,000 videos, 8 instances", 10_000, 100, 8),
            ),
            versions.reference("segment_iou", lambda f, *x: f(*x), _product(40))
            | versions.vectorised(torch_versions.segment_iou, _product(24)),
        ),
        Operation(
            "soft_nms",
            "segments",
            lambda *x: gx.soft_nms(*x, sigma=SIGMA, min_score=MIN_SCORE),
            DETECTOR,
            versions.reference(
                "soft_nms",
                lambda f, *x: f(*x, sigma=SIGMA, min_score=MIN_SCORE),
                _square(40),
            )
            | versions.vectorised(
                lambda segments, scores: torch_versions.soft_nms(
                    segments, scores, SIGMA, MIN_SCORE
                ),
                lambda x: 100 * x[1].shape[1],
            )
            | versions.actionformer_soft_nms(SIGMA, MIN_SCORE)
            | scalar.soft_nms(SIGMA, MIN_SCORE),
            gpu_targets={"1,000 groups of 2,000": GpuTarget(seconds=10e-3)},
        ),
        Operation(
            "segment_voting",
            "segments",
            lambda kept, segments, scores: gx.segment_voting(
                kept, segments, scores, VOTING_THRESHOLD
            ),
            (
                _votes("1 group", 1, 2_000, quick=True),
                _votes("1,000 groups", 1_000, 2_000),
                _votes("1 group", 1, 20_000),
            ),
            versions.reference(
                "segment_voting", lambda f, *x: f(*x, VOTING_THRESHOLD), _product(40)
            ),
        ),
        Operation(
            "weighted_segments_fusion",
            "segments",
            lambda *x: gx.weighted_segments_fusion(*x),
            DETECTOR,
            versions.reference("weighted_segments_fusion", lambda f, *x: f(*x), lambda x: 0),
        ),
        Operation(
            "linpro_labels",
            "instances",
            _linpro("auto"),
            (
                _scored_instances("1 group of 10", 1, 10, 750, quick=True),
                _scored_instances("THUMOS14, 200 videos x 2 classes", 400, 10, 750),
                _scored_instances("the same, four times as long", 400, 10, 3_000),
                _scored_instances("20,000 groups of 4", 20_000, 4, 750),
            ),
            versions.highs(_linpro("highs")) | versions.dense_linprog(),
        ),
    ]


def _front_end(cas: torch.Tensor) -> gx.FusedSegments:
    return gx.fuse_segments(*_proposals(cas, None))


def _linpro(backend: str) -> Callable[..., gx.LinproLabels]:
    def call(segments: torch.Tensor, scores: torch.Tensor, snippets: int) -> gx.LinproLabels:
        return gx.linpro_labels(segments, scores, snippets, backend=backend)

    return call


def _proposals(cas: torch.Tensor, room: int | None) -> gx.Proposals:
    return gx.threshold_proposals(cas, _thresholds(cas.device), max_proposals=room)


@functools.cache
def _thresholds(device: torch.device) -> torch.Tensor:
    """Kept on the device, as a user would: copying them there makes a call wait."""
    return THRESHOLDS.to(device)


def _reference_front_end() -> dict[str, Version]:
    def loop(propose: Callable, cas: object) -> None:
        found = propose(cas, THRESHOLDS.numpy())
        reference_fusion(found[:, :2], found[:, 2], found[:, 3])

    return versions.reference("threshold_proposals", loop, lambda x: 0)


def _square(item_bytes: int) -> Callable[[Inputs], int]:
    """Memory of an N x N matrix and of what its computation holds beside it."""
    return lambda x: item_bytes * x[1].shape[1] ** 2


def _product(item_bytes: int) -> Callable[[Inputs], int]:
    return lambda x: item_bytes * x[0].shape[1] * x[1].shape[1]


def _masks(x: Inputs) -> int:
    """Memory of a mask of each threshold, its edges and their positions."""
    return 40 * len(THRESHOLDS) * x[0].shape[1]


def _scored_instances(
    name: str, groups: int, count: int, snippets: int, quick: bool = False
) -> Case:
    def build(groups: int, device: torch.device) -> Inputs:
        return *inputs.scored_instances(groups, count, snippets, device), snippets

    return Case(
        f"{name}, T {snippets:,}",
        groups,
        count,
        build,
        12 * count + 16 * snippets,
        f"K {count}, T {snippets:,}",
        quick,
    )


def _activations(
    name: str, groups: int, snippets: int, smoothing: int = inputs.CHOPPY, quick: bool = False
) -> Case:
    return Case(
        f"{name}, T {snippets:,}",
        groups,
        snippets,
        lambda g, device: (inputs.activations(g, snippets, device, smoothing),),
        # Proposals at worst, as they are allocated: a third of T for each threshold.
        snippets * (4 + 64 * len(THRESHOLDS) // 3),
        f"T {snippets:,}",
        quick,
    )


def _sequences(name: str, groups: int, snippets: int, quick: bool = False) -> Case:
    return Case(
        f"{name}, T {snippets:,}",
        groups,
        snippets,
        lambda g, device: (inputs.activations(g, snippets, device), None),
        # The noise that the activations are made of, the CUDA workspace; proposals at worst.
        28 * snippets + 16 * snippets * len(THRESHOLDS) // 3,
        f"T {snippets:,}",
        quick,
    )


def _all_classes(name: str, groups: int, snippets: int, room: int) -> Case:
    """Every class of each video, one in a hundred shown."""

    def build(g: int, device: torch.device) -> Inputs:
        return inputs.activations(g, snippets, device, inputs.SMOOTH, absent_classes=99), room

    return Case(
        f"{name}, T {snippets:,}, room for {room}",
        groups,
        snippets,
        build,
        28 * snippets + 16 * room,
        f"T {snippets:,}",
    )


def _detections(
    name: str, groups: int, count: int, per_instance: int = 40, quick: bool = False
) -> Case:
    spread = per_instance == 1
    return Case(
        f"{name} of {count:,}" + (", few overlap" if spread else ""),
        groups,
        count,
        lambda g, device: inputs.detections(g, count, device, per_instance),
        64 * count,
        f"N {count:,}" + (", few overlap" if spread else ""),
        quick,
    )


DETECTOR = (
    _detections("1 group", 1, 10),  # what a call costs beside its work
    _detections("1 group", 1, 200, quick=True),
    _detections("1 group", 1, 2_000),
    _detections("1 group", 1, 2_000, per_instance=1),
    _detections("10 groups", 10, 2_000),
    _detections("100 groups", 100, 2_000),
    _detections("1,000 groups", 1_000, 2_000),
    _detections("1 group", 1, 20_000),
)


def _instances(name: str, groups: int, count: int, snippets: int, quick: bool = False) -> Case:
    return Case(
        f"{name}, {count} instances",
        groups,
        count,
        lambda g, device: (inputs.instances(g, count, snippets, device), snippets),
        4 * count * snippets,
        f"N {count}, T {snippets:,}",
        quick,
    )


def _pairs(name: str, groups: int, count: int, others: int, quick: bool = False) -> Case:
    def build(g: int, device: torch.device) -> Inputs:
        segments, _ = inputs.detections(g, max(count, others), device)
        return segments[:, :count].contiguous(), segments[:, -others:].contiguous()

    return Case(
        f"{name}, {count:,} segments",
        groups,
        count,
        build,
        4 * count * others + 32 * count,
        f"N {count:,}, M {others:,}",
        quick,
    )


def _votes(name: str, groups: int, count: int, quick: bool = False) -> Case:
    """The tenth with the best scores votes among all."""

    def build(g: int, device: torch.device) -> Inputs:
        segments, scores = inputs.detections(g, count, device)
        best = scores.topk(count // 10, dim=1).indices.unsqueeze(-1).expand(-1, -1, 2)
        return segments.gather(1, best), segments, scores

    return Case(f"{name} of {count:,}", groups, count, build, 64 * count, f"N {count:,}", quick)
