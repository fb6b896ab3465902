"""Where and how operations run: autocast, CUDA graphs, streams, other devices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import gaufuse_ext as gx


def inputs(device: torch.device) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(5, 70, generator=generator) * 50
    segments = torch.stack([starts, starts + torch.rand(5, 70, generator=generator) * 9], dim=-1)
    tensors = {
        "cas": torch.rand(5, 90, generator=generator),
        "thresholds": torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64),
        "segments": segments,
        "scores": torch.rand(5, 70, generator=generator),
        "counts": torch.tensor([70, 0, 33, 1, 64]),
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
