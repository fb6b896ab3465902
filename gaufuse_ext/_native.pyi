"""The kernels, called by name (csrc/bindings). Written by csrc/bindings/stubs.py."""

from typing import Protocol, TypeAlias

class Tensor(Protocol):
    """Of torch; this module does not know it."""

    def data_ptr(self) -> int: ...

Address: TypeAlias = Tensor | int | None  # of the first element; null

class ReadDetections:
    """Detections read from JSON (csrc/gaufuse/read_detections.h)."""

    @property
    def videos(self) -> list[str]: ...
    @property
    def classes(self) -> list[str]: ...
    def __len__(self) -> int: ...
    def copy_to(self, *, segments: int, scores: int, video_ids: int, class_ids: int) -> None: ...

def read_detections(*, data: bytes, labelled: bool) -> ReadDetections | None: ...

version: str
compiler: str
cuda: bool
cuda_version: str | None
cuda_architectures: str
signatures: dict[str, dict[str, str]]
interface: str

def threshold_proposals(
    *,
    cas: Address,
    thresholds: Address,
    lengths: Address,
    segments: Address,
    scores: Address,
    weights: Address,
    counts: Address,
    workspace: Address,
    groups: int,
    num_snippets: int,
    num_thresholds: int,
    capacity: int,
    min_length: int,
    margin: float,
    margin_power: float,
    thresholds_per_group: bool,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def count_proposals(
    *,
    cas: Address,
    thresholds: Address,
    lengths: Address,
    segments: Address,
    scores: Address,
    weights: Address,
    counts: Address,
    workspace: Address,
    groups: int,
    num_snippets: int,
    num_thresholds: int,
    capacity: int,
    min_length: int,
    margin: float,
    margin_power: float,
    thresholds_per_group: bool,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def fuse_segments(
    *,
    segments: Address,
    scores: Address,
    weights: Address,
    counts: Address,
    fused_segments: Address,
    fused_scores: Address,
    fused_counts: Address,
    assignment: Address,
    shares: Address,
    workspace: Address,
    groups: int,
    capacity: int,
    temperature: float,
    threshold: float,
    length_offset: float,
    overlap: int,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def interval_membership(
    *,
    segments: Address,
    counts: Address,
    lengths: Address,
    matrix: Address,
    groups: int,
    capacity: int,
    num_snippets: int,
    margin: float,
    margin_power: float,
    mode: int,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def linpro_labels(
    *,
    segments: Address,
    scores: Address,
    weights: Address,
    counts: Address,
    lengths: Address,
    labels: Address,
    figures: Address,
    numbers: Address,
    workspace: Address,
    workers: int,
    worker_bytes: int,
    groups: int,
    capacity: int,
    num_snippets: int,
    margin: float,
    margin_power: float,
    confidence: float,
    uniformity: float,
    anchor: float,
    variation: float,
    sparsity: float,
    per_snippet: bool,
    hard: bool,
    rows: int,
    all_instances: bool,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def nms(
    *,
    segments: Address,
    scores: Address,
    counts: Address,
    keep: Address,
    workspace: Address,
    groups: int,
    capacity: int,
    iou_threshold: float,
    length_epsilon: float,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def segment_iou(
    *,
    a: Address,
    b: Address,
    iou: Address,
    groups: int,
    num_a: int,
    num_b: int,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def soft_nms(
    *,
    segments: Address,
    scores: Address,
    counts: Address,
    keep: Address,
    kept_scores: Address,
    kept_counts: Address,
    workspace: Address,
    groups: int,
    capacity: int,
    max_output: int,
    sigma: float,
    iou_threshold: float,
    threshold_growth: float,
    length_epsilon: float,
    min_score: float,
    decay: int,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def segment_voting(
    *,
    kept: Address,
    segments: Address,
    scores: Address,
    kept_counts: Address,
    counts: Address,
    refined: Address,
    groups: int,
    num_kept: int,
    capacity: int,
    iou_threshold: float,
    weights_by_iou: bool,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def weighted_segments_fusion(
    *,
    segments: Address,
    scores: Address,
    counts: Address,
    fused_segments: Address,
    fused_scores: Address,
    fused_counts: Address,
    assignment: Address,
    workspace: Address,
    groups: int,
    capacity: int,
    iou_threshold: float,
    skip_below: float,
    num_models: float,
    confidence: int,
    allows_overflow: bool,
    cuda: bool,
    float64: bool,
    threads: int,
    stream: Address,
) -> None: ...
def proposals_workspace(
    *,
    groups: int,
    num_snippets: int,
    num_thresholds: int,
) -> int: ...
def greedy_workspace(
    *,
    groups: int,
    capacity: int,
) -> int: ...
def weighted_workspace(
    *,
    groups: int,
    capacity: int,
) -> int: ...
def plan_linpro_workspace(
    *,
    groups: int,
    capacity: int,
    rows: int,
    with_variation: bool,
) -> tuple[int, int]: ...
def match_detections(
    *,
    segments: Address,
    scores: Address,
    videos: Address,
    classes: Address,
    true_segments: Address,
    true_videos: Address,
    true_classes: Address,
    ambiguous_segments: Address,
    ambiguous_videos: Address,
    thresholds: Address,
    found_by: Address,
    order: Address,
    offsets: Address,
    num_detections: int,
    num_instances: int,
    num_ambiguous: int,
    num_thresholds: int,
    num_classes: int,
    num_videos: int,
    in_snippets: bool,
    threads: int,
) -> None: ...
def average_precision(
    *,
    found_by: Address,
    true_classes: Address,
    order: Address,
    offsets: Address,
    precision: Address,
    num_detections: int,
    num_instances: int,
    num_thresholds: int,
    num_classes: int,
    threads: int,
) -> None: ...
def bootstrap_precision(
    *,
    found_by: Address,
    videos: Address,
    true_videos: Address,
    true_classes: Address,
    order: Address,
    offsets: Address,
    weights: Address,
    precision: Address,
    num_detections: int,
    num_instances: int,
    num_thresholds: int,
    num_classes: int,
    num_videos: int,
    num_samples: int,
    threads: int,
) -> None: ...
def repeated_detections(
    *,
    segments: Address,
    scores: Address,
    videos: Address,
    classes: Address,
    repeated: Address,
    num_detections: int,
    num_videos: int,
    threads: int,
) -> None: ...
def first_proposals(
    *,
    segments: Address,
    scores: Address,
    videos: Address,
    true_segments: Address,
    true_videos: Address,
    thresholds: Address,
    ranks: Address,
    num_proposals: int,
    num_instances: int,
    num_thresholds: int,
    num_videos: int,
    threads: int,
) -> None: ...
