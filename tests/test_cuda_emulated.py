"""The CUDA kernels where there is no GPU: run thread by thread on the CPU (emulated_cuda.py).

Whatever a test here calls runs under three schedules of threads and grids of any, two and one
blocks, and fails on races, divergent barriers, missing lanes, reads of what was never written and
accesses out of bounds. The kernels that are broken on purpose show that it would.
"""

from __future__ import annotations

import ctypes
import inspect
import itertools
import re
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import emulated_cuda
import gaufuse_ext as gx
import test_fuse_segments
import test_interval_membership
import test_nms
import test_ragged_batches
import test_segment_iou
import test_segment_voting
import test_soft_nms
import test_threshold_proposals
import test_weighted_segments_fusion
from emulated_cuda import EMULATION, SCHEDULES, CannotBuild, Emulation
from gaufuse_ext.ops.fuse_segments import OVERLAPS
from gaufuse_ext.ops.interval_membership import MODES
from gaufuse_ext.ops.soft_nms import METHODS
from gaufuse_ext.ops.weighted_segments_fusion import CONFIDENCES
from group_inputs import DTYPES, KINDS, Groups, batch, drawn_groups, make_groups

CPU = torch.device("cpu")
# A warp for up to 64 segments of a group, 128 threads for up to 1024; soft_nms: 128, 512.
SIZES = (0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129)
# What a group of any size comes to within few rounds, so that 512 threads can be emulated.
FEW = {"real": 24, "grid": 1025}


@pytest.fixture(scope="session")
def emulation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Emulation:
    cache = getattr(request.config, "cache", None)  # none with -p no:cacheprovider
    folder = cache.mkdir("cuda_emulation") if cache else tmp_path_factory.mktemp("cuda_emulation")
    try:
        return Emulation(emulated_cuda.build(folder))
    except CannotBuild as error:
        pytest.skip(f"the CUDA emulation cannot be built: {error}")


@pytest.fixture(scope="module", autouse=True)
def _emulated_operations(emulation: Emulation) -> Iterator[None]:
    with emulation.active():
        yield


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
    "race_of_blocks": "race: .* argument 2, which another block wrote",
    "shared_memory_not_written": "uninitialised: thread 7 reads shared memory",
    "output_not_written": "uninitialised: .* argument 2",
    "input_written": "input written: .* argument 1",
    "reads_past_the_end": "out of bounds: thread 63 reads",
    "writes_before_the_start": "out of bounds: thread 0 writes",
    "dynamic_memory_too_small": "out of bounds: thread 4 writes",
}


def test_every_broken_kernel_is_listed():
    source = (EMULATION / "broken_kernels.cu").read_text()
    assert set(re.findall(r"ENTRY\((\w+)\),", source)) == set(FAULTS)


@pytest.mark.parametrize("schedule", range(len(SCHEDULES)))
@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(emulation, name, schedule):
    values, output = torch.arange(64, dtype=torch.int32), torch.full((64,), -1, dtype=torch.int32)
    emulation.set_buffers([(1, values, True), (2, output, False)])
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

    def nms(launch, *arguments):
        real(launch, *arguments[:5], arguments[5] + 1, *arguments[6:])

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
    "segment_voting": lambda groups: test_segment_voting.check_against_reference(groups, 0.3, 40),
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
    full = make_groups("grid", capacity, dtype, groups=1)
    real = make_groups("real", 24, dtype, groups=2)
    return batch([*real, next(iter(full)), *list(make_groups("real", 0, dtype))], dtype, capacity)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", [x for x in CHECKS if x != "weighted_segments_fusion"])
@pytest.mark.parametrize("capacity", [1024, 1025])
def test_large_blocks(operation, capacity, dtype):
    CHECKS[operation](few_rounds(capacity, dtype))
