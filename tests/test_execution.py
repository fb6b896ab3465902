"""Where and how operations run: autocast, CUDA graphs, streams, other devices."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import gaufuse_ext as gx
from gaufuse_ext._library import _native
from gaufuse_ext.ops.interval_membership import MODES


def inputs(device: torch.device) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(5, 70, generator=generator) * 50
    segments = torch.stack([starts, starts + torch.rand(5, 70, generator=generator) * 9], dim=-1)
    starts = torch.rand(2300, generator=generator) * 500
    many = torch.stack([starts, starts + torch.rand(2300, generator=generator) * 30], dim=-1)
    chained = torch.arange(24.0) * 2.0
    tensors = {
        "cas": torch.rand(5, 90, generator=generator),
        "thresholds": torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64),
        "segments": segments,
        "scores": torch.rand(5, 70, generator=generator),
        "counts": torch.tensor([70, 0, 33, 1, 64]),
        # On CUDA: prefix sums in the workspace; groups for a warp, a block, and for neither.
        "long_cas": torch.rand(3, 6016, generator=generator).cumsum(1).sin(),
        "many_segments": many.repeat(3, 1, 1),
        "many_scores": torch.rand(3, 2300, generator=generator),
        "many_counts": torch.tensor([2300, 40, 1200]),
        # Components of all sizes; instances 2 snippets apart, of 15.
        "chained": torch.stack([chained, chained + 15.0], dim=-1).repeat(4, 1, 1),
        "chained_scores": torch.rand(4, 24, generator=generator),
        "chained_counts": torch.tensor([2, 24, 11, 5]),
    }
    return {name: tensor.to(device) for name, tensor in tensors.items()}


OPERATIONS: dict[str, Callable[[dict], object]] = {
    "threshold_proposals": lambda x: gx.threshold_proposals(
        x["cas"], x["thresholds"], max_proposals=60
    ),
    "count_proposals": lambda x: gx.count_proposals(x["cas"], x["thresholds"]),
    "fuse_segments": lambda x: gx.fuse_segments(x["segments"], x["scores"], counts=x["counts"]),
    "interval_membership": lambda x: gx.interval_membership(x["segments"], 60, x["counts"]),
    "nms": lambda x: gx.nms(x["segments"], x["scores"], 0.5, x["counts"]),
    "soft_nms": lambda x: gx.soft_nms(x["segments"], x["scores"], x["counts"]),
    "segment_voting": lambda x: gx.segment_voting(
        x["segments"][:, :9], x["segments"], x["scores"], 0.5, counts=x["counts"]
    ),
    "weighted_segments_fusion": lambda x: gx.weighted_segments_fusion(
        x["segments"], x["scores"], x["counts"]
    ),
    "linpro_labels": lambda x: tensors_of(
        gx.linpro_labels(
            x["segments"][:, :6], x["scores"][:, :6], 60, x["counts"].clamp(max=6), backend="native"
        )
    ),
    "segment_iou": lambda x: gx.segment_iou(x["segments"], x["segments"][:, :20]),
    "threshold_proposals, long": lambda x: gx.threshold_proposals(
        x["long_cas"], x["thresholds"], margin_power=1.0, max_proposals=60
    ),
    "count_proposals, long": lambda x: gx.count_proposals(x["long_cas"], x["thresholds"]),
    "nms, large": lambda x: gx.nms(x["many_segments"], x["many_scores"], 0.3, x["many_counts"]),
    "fuse_segments, large": lambda x: gx.fuse_segments(
        x["many_segments"], x["many_scores"], counts=x["many_counts"]
    ),
    "soft_nms, large": lambda x: gx.soft_nms(
        x["many_segments"], x["many_scores"], x["many_counts"], max_output=100
    ),
    "weighted_segments_fusion, large": lambda x: gx.weighted_segments_fusion(
        x["many_segments"], x["many_scores"], x["many_counts"], skip_below=0.5
    ),
    "linpro_labels, all arenas": lambda x: tensors_of(
        gx.linpro_labels(
            x["chained"], x["chained_scores"], 70, x["chained_counts"], backend="native"
        )
    ),
    "CAS to labels": lambda x: labels_of(x["cas"], x["thresholds"]),
}


def labels_of(cas: torch.Tensor, thresholds: torch.Tensor) -> list[torch.Tensor]:
    """The whole chain, as one graph: nothing waits for the device."""
    p = gx.threshold_proposals(cas, thresholds, margin_power=1.0, max_proposals=60)
    f = gx.fuse_segments(p.segments, p.scores, p.weights, p.counts)
    found = gx.linpro_labels(f.segments, f.scores, cas.shape[1], f.counts, backend="native")
    return [*f, *tensors_of(found)]


# Sums are made by teams of threads: not in the order of the CPU. Everything else has its bits.
SUMMED = {
    "fuse_segments",
    "fuse_segments, large",
    "segment_voting",
    "interval_membership",  # pow() may differ in the last place
    "threshold_proposals",
    "CAS to labels",
}


def tensors_of(found: gx.LinproLabels) -> list[torch.Tensor]:
    return [found.labels, found.objective, found.residual, found.gap, found.pivots, found.codes]


def outputs(result: object) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else list(result)


def assert_same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.cpu(), other.cpu())


def test_every_operation_is_here():
    named = {name for name in dir(torch.ops.gaufuse) if not name.startswith("_")}
    assert named - {"name"} <= set(OPERATIONS)


def test_what_is_large_is_so():
    """What the cases above are for, told by what they would need on CUDA."""
    x = inputs(torch.device("cpu"))
    groups, num_snippets = x["long_cas"].shape
    sizes = {"groups": groups, "num_snippets": num_snippets, "num_thresholds": 3}
    assert _native.proposals_workspace(**sizes) > 0
    groups, capacity = x["many_scores"].shape
    assert _native.greedy_workspace(groups=groups, capacity=capacity) > 0
    groups, capacity = x["chained_scores"].shape
    mean = {"rows": MODES.index("mean"), "with_variation": False}
    assert _native.plan_linpro_workspace(groups=groups, capacity=capacity, **mean)[0] > 0
    labels = OPERATIONS["CAS to labels"](x)[5]
    assert labels.shape == x["cas"].shape
    assert (labels > 0).any(dim=1).all()


def test_the_sanitizer_s_workload_runs():
    """Here on the CPU, which it compares with itself: what needs a GPU must not rot without one."""
    script = Path(__file__).with_name("sanitizer_workload.py")
    done = subprocess.run([sys.executable, script, "cpu"], capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_as_on_the_cpu(name):
    found = outputs(OPERATIONS[name](inputs(torch.device("cuda"))))
    expected = outputs(OPERATIONS[name](inputs(torch.device("cpu"))))
    if name not in SUMMED:
        return assert_same(found, [b.to(a.dtype) for a, b in zip(found, expected, strict=True)])
    for ours, theirs in zip(found, expected, strict=True):
        if ours.is_floating_point():
            torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-5, atol=1e-5, check_dtype=False)
        else:
            assert torch.equal(ours.cpu(), theirs)
    return None


@pytest.mark.gpu
def test_the_whole_chain_replayed_for_other_activations():
    """Captured once, CAS to labels; each replay works on what then lies in its input."""
    x = inputs(torch.device("cuda"))
    labels_of(x["cas"], x["thresholds"])  # the warm-up
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = labels_of(x["cas"], x["thresholds"])
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        cas = torch.rand(x["cas"].shape, generator=generator)
        x["cas"].copy_(cas)
        graph.replay()
        torch.cuda.synchronize()
        assert_same(captured, labels_of(cas.cuda(), x["thresholds"]))


@pytest.mark.gpu
def test_more_large_groups_than_blocks_that_work_on_them():
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(300, 2060, generator=generator) * 500
    segments = torch.stack([starts, starts + 20.0], dim=-1)
    scores = torch.rand(300, 2060, generator=generator)
    counts = torch.randint(2049, 2061, (300,), generator=generator)
    found = gx.nms(segments.cuda(), scores.cuda(), 0.3, counts.cuda())
    assert torch.equal(found.cpu(), gx.nms(segments, scores, 0.3, counts))


@pytest.mark.parametrize("name", OPERATIONS)
def test_autocast_changes_nothing(name, device):
    x = inputs(device)
    expected = outputs(OPERATIONS[name](x))
    with torch.autocast(device.type, dtype=torch.bfloat16):
        found = outputs(OPERATIONS[name](x))
    assert [tensor.dtype for tensor in found] == [tensor.dtype for tensor in expected]
    assert_same(found, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPERATIONS)
def test_captured_in_a_cuda_graph(name):
    x = inputs(torch.device("cuda"))
    expected = outputs(OPERATIONS[name](x))  # also the warm-up
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = outputs(OPERATIONS[name](x))
    for tensor in captured:
        tensor.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert_same(captured, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPERATIONS)
def test_on_another_stream(name):
    """The inputs are ready on that stream only: work on any other would read what is not there."""
    device = torch.device("cuda")
    expected = outputs(OPERATIONS[name](inputs(device)))
    source = inputs(torch.device("cpu"))
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        x = {
            key: tensor.pin_memory().to(device, non_blocking=True) for key, tensor in source.items()
        }
        found = outputs(OPERATIONS[name](x))
    stream.synchronize()
    assert_same(found, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPERATIONS)
def test_repeats_to_the_bit(name):
    x = inputs(torch.device("cuda"))
    expected = outputs(OPERATIONS[name](x))
    for _ in range(5):
        assert_same(outputs(OPERATIONS[name](x)), expected)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device only")
@pytest.mark.parametrize("name", OPERATIONS)
def test_on_a_device_that_is_not_the_current_one(name):
    expected = outputs(OPERATIONS[name](inputs(torch.device("cuda:0"))))
    with torch.cuda.device(0):
        found = outputs(OPERATIONS[name](inputs(torch.device("cuda:1"))))
    assert all(tensor.device.index == 1 for tensor in found)
    assert_same(found, expected)
