"""The CUDA kernels where there is no GPU: run thread by thread on the CPU (tests/cuda_emulation).

Whatever a test here calls, and the operations' own tests where their `device` is "emulated", runs
under three schedules of threads and grids of any, two and one blocks, and fails on races, divergent
barriers, missing lanes, reads of what was never written and accesses out of bounds. The kernels
that are broken on purpose show that it would.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gaufuse_ext as gx
import test_fuse_segments
import test_interval_membership
import test_nms
import test_segment_iou
import test_segment_voting
import test_soft_nms
import test_threshold_proposals
import test_weighted_segments_fusion
from cuda_emulation.build import FOLDER
from cuda_emulation.emulation import SCHEDULES
from gaufuse_ext._library import _native
from gaufuse_ext.ops.fuse_segments import OVERLAPS
from gaufuse_ext.ops.interval_membership import MODES
from gaufuse_ext.ops.segment_voting import WEIGHTS
from gaufuse_ext.ops.soft_nms import METHODS
from gaufuse_ext.ops.weighted_segments_fusion import CONFIDENCES
from group_inputs import DTYPES, KINDS, Groups, batch, drawn_groups, make_groups

# Around warps; the sizes at which groups pass to larger teams are below.
SIZES = (0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129)


pytestmark = pytest.mark.usefixtures("emulated_kernels")


# 1. The emulator finds what is wrong, and only that.

FAULTS = {
    "sound": None,
    "barrier_skipped": "divergent barrier: thread 0 .* for thread 40, which has ended",
    "barriers_differ": "divergent barrier",
    "lane_has_ended": "missing lane: .* thread 5, which has ended",
    "lane_is_elsewhere": "missing lane: .* thread 5, which waits at __syncthreads",
    "lane_is_not_named": "mask that does not name it",
    "race_in_shared_memory": "race: .* shared memory",
    "race_of_two_rounds": "race: .* shared memory",
    "race_within_a_warp": "race: .* shared memory",
    "race_after_a_warps_barrier": "race: .* shared memory",
    "race_of_blocks": "race: .* argument output, which another block wrote",
    "shared_memory_not_written": "uninitialised: thread 7 reads shared memory",
    "output_not_written": "uninitialised: .* argument output",
    "input_written": "input written: .* argument input",
    "reads_past_the_end": "out of bounds: thread 63 reads",
    "writes_before_the_start": "out of bounds: thread 0 writes",
    "dynamic_memory_too_small": "out of bounds: thread 4 writes",
}


def test_every_broken_kernel_is_listed():
    source = (FOLDER / "broken_kernels.cu").read_text()
    assert set(re.findall(r"ENTRY\((\w+)\),", source)) == set(FAULTS)


@pytest.mark.parametrize("schedule", range(len(SCHEDULES)))
@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(emulation, name, schedule):
    values, output = torch.arange(64, dtype=torch.int32), torch.full((64,), -1, dtype=torch.int32)
    emulation.set_buffers([("input", values, True), ("output", output, False)])
    order, seed, _ = SCHEDULES[schedule]
    emulation.library.emulation_set(order, seed, 2)
    found = emulation.library.run_broken_kernel(
        name.encode(),
        2 if name == "race_of_blocks" else 1,
        ctypes.c_void_p(values.data_ptr()),
        ctypes.c_void_p(output.data_ptr()),
    )
    if FAULTS[name] is None:
        assert found is None
        assert output.tolist() == [sum(range(32, 64))] * 32 + [sum(range(32))] * 32
    else:
        assert re.search(FAULTS[name], found.decode())


def test_a_fault_is_an_error_of_the_operation(emulation, monkeypatch):
    """As it would be seen: here the kernel is told of one group more than there are."""
    segments, scores = torch.zeros(1, 4, 2), torch.zeros(1, 4)
    real = emulation.native.nms

    def nms(groups, **arguments):
        real(groups=groups + 1, **arguments)

    monkeypatch.setattr(emulation.native, "nms", nms)
    with pytest.raises(RuntimeError, match="out of bounds"):
        gx.nms(segments, scores, 0.5)


def test_the_emulated_kernels_run(emulation):
    before = emulation.launches
    gx.nms(torch.zeros(1, 4, 2), torch.zeros(1, 4), 0.5)
    assert emulation.launches == before + len(SCHEDULES)


# 2. Around the edges of warps and blocks, against the references.

CHECKS: dict[str, Callable[[Groups], None]] = {
    "nms": lambda groups: test_nms.check_against_reference(groups, 0.3),
    "fuse_segments": test_fuse_segments.check_against_reference,
    "soft_nms_gaussian": lambda groups: test_soft_nms.check_against_reference(
        groups, method="gaussian", min_score=0.01
    ),
    "soft_nms_linear": lambda groups: test_soft_nms.check_against_reference(
        groups, method="linear", min_score=0.01
    ),
    "soft_nms_hard": lambda groups: test_soft_nms.check_against_reference(
        groups, method="hard", iou_threshold=0.3, min_score=0.0
    ),
    "soft_nms_gaussian_above": lambda groups: test_soft_nms.check_against_reference(
        groups, method="gaussian_above", threshold_growth=0.02, length_epsilon=1e-6, min_score=0.01
    ),
    "segment_voting": lambda groups: test_segment_voting.check_against_reference(groups, 0.3, 40),
    "segment_voting_by_iou": lambda groups: test_segment_voting.check_against_reference(
        groups, 0.3, 40, "score_iou"
    ),
    "weighted_segments_fusion": (
        lambda groups: test_weighted_segments_fusion.check_against_reference(
            groups, iou_threshold=0.4, num_models=2
        )
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("operation", CHECKS)
def test_matches_reference_at_sizes(operation, size, dtype):
    other = KINDS[(SIZES.index(size) + 3 * DTYPES.index(dtype)) % len(KINDS)]
    for kind in {"grid", other}:
        if operation.startswith("weighted") and kind == "denormal" and dtype == torch.float64:
            continue  # see test_weighted_segments_fusion.py
        CHECKS[operation](make_groups(kind, size, dtype))


def few_rounds(capacity: int, dtype: torch.dtype) -> Groups:
    """Groups of a large capacity: one is full, the others are nearly empty."""
    full = next(iter(make_groups("grid", capacity, dtype, groups=1)))
    nearly_empty = [*make_groups("real", 24, dtype), *make_groups("real", 1, dtype)]
    return batch([nearly_empty[0], full, *nearly_empty[1:]], dtype, capacity)


LARGE = {
    "nms": lambda g: gx.nms(g.segments, g.scores, 0.3, g.counts),
    "soft_nms_gaussian": lambda g: gx.soft_nms(
        g.segments, g.scores, g.counts, max_output=20, min_score=0.1
    ),
    "soft_nms_linear": lambda g: gx.soft_nms(
        g.segments, g.scores, g.counts, method="linear", max_output=20
    ),
    "soft_nms_gaussian_above": lambda g: gx.soft_nms(
        g.segments,
        g.scores,
        g.counts,
        method="gaussian_above",
        threshold_growth=0.01,
        length_epsilon=1e-6,
        max_output=20,
    ),
    "weighted_segments_fusion": lambda g: gx.weighted_segments_fusion(
        g.segments, g.scores, g.counts, iou_threshold=0.4, skip_below=0.45, num_models=3
    ),
}


def assert_same(found, expected) -> None:
    """Equal to the bit."""
    if isinstance(found, torch.Tensor):
        found, expected = (found,), (expected,)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


# A warp takes up to 256 segments, a block up to 2048 in registers and more in its workspace.
TEAMS = [
    (255, torch.float64),
    (256, torch.float32),
    (257, torch.float64),
    (1023, torch.float32),
    (1024, torch.float64),
    (1025, torch.float32),
    (2048, torch.float64),
    (2049, torch.float32),
]


@pytest.mark.parametrize(("capacity", "dtype"), TEAMS)
@pytest.mark.parametrize("operation", LARGE)
def test_the_same_bits_as_on_the_cpu(emulation, operation, capacity, dtype):
    groups = few_rounds(capacity, dtype)
    if operation.startswith("weighted"):  # a round for each segment that is used
        groups.counts.clamp_(max=150 if capacity < 1025 else 280)
    found = LARGE[operation](groups)
    assert_same(found, emulation.on_cpu(lambda: LARGE[operation](groups)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e-40, 3e7, 1e30])
def test_overlaps_at_the_threshold_are_decided_as_on_the_cpu(emulation, scale, dtype):
    """The kernels compare products, and floats: right at the threshold and one step beside it they
    must decide as the division of doubles does."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(12, 2, generator=generator, dtype=torch.float64)  # they all meet
    lengths = torch.rand(12, 2, generator=generator, dtype=torch.float64) * 9.0 + 1.0
    segments = (torch.stack([starts, starts + lengths], dim=-1) * scale).to(dtype)
    scores = torch.tensor([[0.9, 0.5]], dtype=dtype)

    def run(pair: torch.Tensor, threshold: float) -> list[torch.Tensor]:
        kept = gx.nms(pair, scores, threshold)
        published = gx.nms(pair, scores, threshold, length_epsilon=epsilon)
        soft = gx.soft_nms(pair, scores, method="linear", iou_threshold=threshold)
        weighted = gx.weighted_segments_fusion(pair, scores, iou_threshold=threshold)
        options = {"threshold": threshold, "length_offset": 0.0}
        fused = gx.fuse_segments(pair, scores, **options)
        mutual = gx.fuse_segments(pair, scores, overlap="min", **options)
        return [kept, published, *soft, *weighted, *fused[2:4], *mutual[2:4]]

    epsilon = 1e-3 * scale
    dropped = []
    for pair in segments:
        (a, b), (c, d) = pair.double().tolist()
        shared = min(b, d) - max(a, c)
        union = (b - a) + (d - c) - shared
        enlarged = (b - a + epsilon) + (d - c + epsilon) - shared
        for base in (union, enlarged, d - c, min(b - a, d - c)):
            exact = shared / base
            for threshold in (
                exact,
                math.nextafter(exact, 0.0),
                min(math.nextafter(exact, 9.0), 1),
            ):
                arguments = pair[None], threshold
                found = run(*arguments)
                assert_same(found, emulation.on_cpu(lambda arguments=arguments: run(*arguments)))
                dropped.append(bool(found[0][0, 1] < 0))
    assert dropped[:3] == [True, True, False]  # of the first pair, at its IoU


@pytest.mark.parametrize(("capacity", "dtype"), TEAMS)
def test_fuse_segments_and_voting_by_any_team(capacity, dtype):
    groups = few_rounds(capacity, dtype)
    CHECKS["fuse_segments"](groups)
    CHECKS["segment_voting"](groups)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", [*LARGE, "fuse_segments"])
def test_all_teams_in_one_call(emulation, operation, dtype):
    """Every group gives the bits that it gives alone, without padding."""
    sizes = (3, 2100, 0, 300, 256, 257, 1, 40, 33, 32, 31, 2049)
    one = {n: next(iter(make_groups("grid", n, dtype, groups=1))) for n in sizes if n > 0}
    groups = batch([one[n] for n in sizes if n > 0], dtype, 2110)
    if operation.startswith("weighted"):
        groups.counts.clamp_(max=270)

    def run(g: Groups):
        if operation == "fuse_segments":
            return gx.fuse_segments(g.segments, g.scores, g.weights, g.counts)
        return LARGE[operation](g)

    found = run(groups)
    for row, n in enumerate(groups.counts.tolist()):
        parts = [x[row : row + 1, :n] for x in (groups.segments, groups.scores, groups.weights)]
        cut = Groups(*parts, groups.counts[row : row + 1])
        pairs = zip(_tensors(found), _tensors(run(cut)), strict=True)
        for all_of_them, alone in pairs:
            part = all_of_them[row : row + 1]
            assert torch.equal(part[:, :n] if part.dim() > 1 else part, alone)


def _tensors(result) -> tuple[torch.Tensor, ...]:
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_segment_iou_at_sizes(size, dtype):
    a = make_groups("grid", size, dtype).segments.nan_to_num()
    b = make_groups("real", 9, dtype).segments.nan_to_num()
    test_segment_iou.check_against_reference(a, b)
    test_segment_iou.check_against_reference(b, a)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_interval_membership_at_sizes(dtype, mode):
    check = test_interval_membership.check_against_reference
    for num_snippets in (*SIZES, 300, 1023, 4097):  # 32 rows a warp .. one
        kind = KINDS[num_snippets % len(KINDS)]
        groups = make_groups(kind, 7, dtype)
        check(groups, num_snippets, [num_snippets, num_snippets // 2], mode=mode)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_snippets", [*SIZES, 255, 256, 257, 513])
def test_threshold_proposals_at_sizes(emulation, num_snippets, dtype):
    check = test_threshold_proposals.check_against_reference
    cas = test_threshold_proposals.sequences(num_snippets, dtype)
    check(cas, [0.0, 0.01, 0.03, 0.5])
    lengths = torch.arange(len(cas)) * num_snippets // (len(cas) - 1)
    check(cas, [0.25, 0.0, -1.0], lengths, min_length=1)
    # More thresholds than warps, of each group; and in the room that there is by default on CUDA.
    thresholds = torch.rand(len(cas), 11, generator=torch.Generator().manual_seed(0))
    check(cas, thresholds, lengths)
    tight = gx.threshold_proposals(cas, thresholds, lengths)
    room = 11 * ((num_snippets + 1) // 3)
    roomy = gx.threshold_proposals(cas, thresholds, lengths, max_proposals=room)
    assert_same([x[:, : tight.scores.shape[1]] for x in roomy[:3]], tight[:3])
    assert not any(x[:, tight.scores.shape[1] :].any() for x in roomy[:3])
    options = {"min_length": 1, "max_proposals": 9}  # too little room for most
    found = gx.threshold_proposals(cas, thresholds, lengths, **options)
    assert_same(
        found,
        emulation.on_cpu(lambda: gx.threshold_proposals(cas, thresholds, lengths, **options)),
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("num_snippets", "num_thresholds"),
    [
        (1023, 3),  # eight groups a block, seven, six, four; then one
        (1024, 3),
        (1025, 8),
        (700, 21),
        (1100, 20),
        (2048, 3),
        (4096, 16),  # prefix sums on chip, the bits in the workspace
        (5983, 9),  # the longest with prefix sums on chip
        (6016, 9),  # the bits on chip, prefix sums in the workspace
        (6015, 64),  # neither
        (40, 4097),
    ],
)
def test_threshold_proposals_wherever_they_are_kept(emulation, num_snippets, num_thresholds, dtype):
    """The same bits as on the CPU: shared memory as far as it reaches, else the workspace."""
    generator = torch.Generator().manual_seed(num_snippets)
    cas = torch.rand(3, num_snippets, generator=generator).to(dtype).cumsum(1).sin()
    cas[1] = -1.0  # an absent class: no threshold is reached
    thresholds = torch.linspace(-0.99, 1.1, num_thresholds, dtype=torch.float64)
    lengths = torch.tensor([num_snippets, num_snippets, num_snippets // 2 + 1])

    def propose(max_proposals: int | None) -> gx.Proposals:
        return gx.threshold_proposals(cas, thresholds, lengths, max_proposals=max_proposals)

    everything = emulation.on_cpu(lambda: propose(None))
    room = everything.scores.shape[1]
    assert torch.equal(gx.count_proposals(cas, thresholds, lengths), everything.counts)
    for max_proposals in (room + 5, room // 2):
        expected = emulation.on_cpu(lambda most=max_proposals: propose(most))
        assert_same(propose(max_proposals), expected)


def test_workspaces_do_not_grow_with_the_number_of_groups():
    """Doubles of the greedy operations, 32-bit words of the sequences: none where all of a batch
    fits on chip, else those of the blocks that work at a time."""

    def greedy(groups: int, capacity: int) -> int:
        return _native.greedy_workspace(groups=groups, capacity=capacity)

    def weighted(groups: int, capacity: int) -> int:
        return _native.weighted_workspace(groups=groups, capacity=capacity)

    def proposals(num_snippets: int, num_thresholds: int) -> int:
        return _native.proposals_workspace(
            groups=4000, num_snippets=num_snippets, num_thresholds=num_thresholds
        )

    for capacity in (1, 256, 2048):
        assert greedy(4000, capacity) == 0
    assert greedy(3, 2049) == 3 * 2049 * 2
    assert greedy(4000, 40_000) == 256 * 40_000 * 2
    assert weighted(4000, 100) == 512 * 800 * 10
    assert weighted(4000, 2048) == 512 * 2048 * 10
    assert weighted(4000, 40_000) == 256 * 40_000 * 10
    assert weighted(2, 30) == 4 * 240 * 10
    assert proposals(5983, 3) > 0  # the bits
    assert proposals(750, 20) == 0
    assert proposals(6016, 9) == 1024 * 2 * 6017


def test_no_thresholds_or_snippets():
    assert gx.threshold_proposals(torch.ones(3, 5), [], max_proposals=4).counts.tolist() == [0] * 3
    assert gx.threshold_proposals(torch.ones(3, 0), [0.5], max_proposals=4).counts.sum() == 0


# 3. Small inputs of every kind and all options.

few_examples = settings(max_examples=12)


@few_examples
@given(
    groups=drawn_groups(),
    threshold=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]),
    overlap=st.sampled_from(OVERLAPS),
    length_offset=st.sampled_from([0.0, 1.0]),
    method=st.sampled_from(METHODS),
    min_score=st.sampled_from([-2.0, 0.0, 0.001, 0.5, 2.0]),
    max_output=st.sampled_from([None, 0, 1, 3, 100]),
    threshold_growth=st.sampled_from([0.0, 0.125]),
    length_epsilon=st.sampled_from([0.0, 1e-6, 1.0]),
    weights=st.sampled_from(WEIGHTS),
    confidence=st.sampled_from(CONFIDENCES),
    allows_overflow=st.booleans(),
    mode=st.sampled_from(MODES),
)
def test_matches_reference(
    groups,
    threshold,
    overlap,
    length_offset,
    method,
    min_score,
    max_output,
    threshold_growth,
    length_epsilon,
    weights,
    confidence,
    allows_overflow,
    mode,
):
    test_nms.check_against_reference(groups, threshold, length_epsilon)
    test_fuse_segments.check_against_reference(
        groups, threshold=threshold, overlap=overlap, length_offset=length_offset
    )
    test_soft_nms.check_against_reference(
        groups,
        method=method,
        iou_threshold=threshold,
        min_score=min_score,
        max_output=max_output,
        threshold_growth=threshold_growth,
        length_epsilon=length_epsilon,
    )
    test_segment_voting.check_against_reference(groups, threshold, 4, weights)
    test_weighted_segments_fusion.check_against_reference(
        groups, iou_threshold=threshold, confidence=confidence, allows_overflow=allows_overflow
    )
    test_interval_membership.check_against_reference(groups, 9, mode=mode, margin=1.0)


# 4. Values are not read back on CUDA, so not checked: whatever they are, kernels stay in bounds.


def wild_groups(dtype: torch.dtype, capacity: int) -> Groups:
    generator = torch.Generator().manual_seed(capacity)
    info = torch.finfo(dtype)
    values = torch.tensor(
        [torch.nan, torch.inf, -torch.inf, info.max, -info.max, info.tiny, 0.0, -1.0, 0.5, 3.0],
        dtype=dtype,
    )

    def wild(*shape: int) -> torch.Tensor:
        return values[torch.randint(len(values), shape, generator=generator)]

    counts = torch.tensor([2**40, -5, capacity, capacity // 2, -(2**63), 2**63 - 1])
    size = (len(counts), capacity)
    return Groups(wild(*size, 2), wild(*size), wild(*size), counts)


@pytest.mark.parametrize("name", ["fuse_segments", "nms", "soft_nms", "weighted_segments_fusion"])
def test_groups_too_large_are_refused_alike(emulation, name):
    zeros = {"address": None, "int": 0, "float": 0.0, "bool": False}
    kinds = {key: kind for key, kind in _native.signatures[name].items() if key != "return"}
    arguments = {key: zeros[kind.partition(" ")[0]] for key, kind in kinds.items()}
    arguments |= {"groups": 1, "capacity": 2**30 + 1, "threads": 1}
    message = "^a group must have at most 1073741824 segments, got 1073741825$"
    for native, cuda in ((_native, False), (emulation.native, True)):
        with pytest.raises(ValueError, match=message):
            getattr(native, name)(**arguments | {"cuda": cuda})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("capacity", [1, 33, 70])
def test_garbage_leads_nowhere_out_of_bounds(dtype, capacity):
    g = wild_groups(dtype, capacity)
    for overlap in OVERLAPS:
        fused = gx.fuse_segments(g.segments, g.scores, g.weights, g.counts, overlap=overlap)
        assert 0 <= fused.counts.min() <= fused.counts.max() <= capacity
        assert -1 <= fused.assignment.min() <= fused.assignment.max() < capacity
    keep = gx.nms(g.segments, g.scores, 0.5, g.counts)
    assert -1 <= keep.min() <= keep.max() < capacity
    for method in METHODS:
        found = gx.soft_nms(g.segments, g.scores, g.counts, method=method)
        assert -1 <= found.keep.min() <= found.keep.max() < capacity
    for confidence in CONFIDENCES:
        fused = gx.weighted_segments_fusion(
            g.segments, g.scores, g.counts, iou_threshold=0.1, confidence=confidence
        )
        assert 0 <= fused.counts.min() <= fused.counts.max() <= capacity
        assert -1 <= fused.assignment.min() <= fused.assignment.max() < capacity
    gx.segment_voting(g.segments, g.segments, g.scores, 0.5, g.counts, g.counts)
    gx.segment_iou(g.segments, g.segments)
    for mode in MODES:
        gx.interval_membership(g.segments, 40, g.counts, mode=mode, lengths=g.counts)
    for min_length in (1, 2, 2**40):
        p = gx.threshold_proposals(
            g.scores, g.weights[:, :1], g.counts, min_length=min_length, max_proposals=5
        )
        assert 0 <= p.counts.min() <= p.counts.max() <= 5


@pytest.mark.parametrize("dtype", DTYPES)
def test_garbage_in_the_workspace(dtype):
    g = wild_groups(dtype, 2049)
    found = gx.soft_nms(g.segments, g.scores, g.counts, max_output=5, min_score=-1e30)
    assert -1 <= found.keep.min() <= found.keep.max() < 2049
    keep = gx.nms(g.segments, g.scores, 0.0, g.counts)  # drops whatever is comparable
    assert -1 <= keep.min() <= keep.max() < 2049
