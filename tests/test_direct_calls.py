"""Operations pass torch's dispatcher by where it has nothing to do, and only there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import gaufuse_ext as gx
from gaufuse_ext import _dispatcher

SEGMENTS = torch.tensor([[1.0, 5.0], [2.0, 6.0], [20.0, 30.0]])
SCORES = torch.tensor([0.5, 0.9, 0.7])
CAS = torch.tensor([0.0, 0.9, 0.8, 0.1, 0.7, 0.6, 0.2])

CALLS: dict[str, Callable[[], object]] = {
    "threshold_proposals": lambda: gx.threshold_proposals(CAS, [0.5]),
    "count_proposals": lambda: gx.count_proposals(CAS, [0.5]),
    "fuse_segments": lambda: gx.fuse_segments(SEGMENTS, SCORES),
    "interval_membership": lambda: gx.interval_membership(SEGMENTS, 40),
    "linpro_labels": lambda: gx.linpro_labels(SEGMENTS, SCORES, 40),
    "nms": lambda: gx.nms(SEGMENTS, SCORES, 0.5),
    "segment_iou": lambda: gx.segment_iou(SEGMENTS, SEGMENTS),
    "segment_voting": lambda: gx.segment_voting(SEGMENTS, SEGMENTS, SCORES, 0.5),
    "soft_nms": lambda: gx.soft_nms(SEGMENTS, SCORES),
    "weighted_segments_fusion": lambda: gx.weighted_segments_fusion(SEGMENTS, SCORES),
}


class Dispatched(TorchDispatchMode):
    """Notes the operations that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append(function.name().partition("::")[2])
        return function(*args, **(kwargs or {}))


class Called(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if isinstance(function, torch._ops.OpOverload):
            self.seen.append(function.name().partition("::")[2])
        return function(*args, **(kwargs or {}))


@pytest.fixture
def answers(monkeypatch) -> list[bool]:
    """Whether the dispatcher was needed, of every call of an operation."""
    noted = []
    real = _dispatcher.is_needed

    def is_needed(tensors: tuple[torch.Tensor | None, ...]) -> bool:
        noted.append(real(tensors))
        return noted[-1]

    monkeypatch.setattr(_dispatcher, "is_needed", is_needed)
    return noted


def tensors_of(result: object) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    values = vars(result).values() if isinstance(result, gx.LinproLabels) else result
    return [x for x in values if isinstance(x, torch.Tensor)]


@pytest.mark.parametrize("name", CALLS)
def test_the_result_is_the_dispatchers(name, answers):
    direct = tensors_of(CALLS[name]())
    assert answers
    assert not any(answers)
    with Dispatched() as mode:
        dispatched = tensors_of(CALLS[name]())
    assert name in mode.seen
    assert any(answers)
    for a, b in zip(direct, dispatched, strict=True):
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        assert torch.equal(a, b)


@pytest.mark.parametrize("inference", [False, True])
def test_plain_calls_are_direct(answers, inference):
    """Gradients that are not asked for now, views, and Parameters are plain, too; of autocast no
    operation knows."""
    parameter = torch.nn.Parameter(SCORES.clone())
    with torch.inference_mode(inference), torch.no_grad(), torch.autocast("cpu"):
        gx.fuse_segments(SEGMENTS, parameter)
        gx.fuse_segments(SEGMENTS.flip(0), SCORES.flip(0), counts=2)
        gx.fuse_segments(SEGMENTS.clone(), SCORES)
    assert answers == [False] * 3


@pytest.mark.parametrize(
    "watched",
    [
        Dispatched,
        Called,
        lambda: torch.device("cpu"),  # a mode of torch functions
        lambda: torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]),
        forward_ad.dual_level,
    ],
)
def test_whoever_watches_sees_the_operation(watched, answers):
    expected = tensors_of(CALLS["fuse_segments"]())
    with watched() as mode:
        found = tensors_of(CALLS["fuse_segments"]())
    assert answers == [False, True]
    if hasattr(mode, "seen"):
        assert "fuse_segments" in mode.seen
    if isinstance(mode, torch.profiler.profile):
        assert "gaufuse::fuse_segments" in {event.key for event in mode.key_averages()}
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_gradients_go_through_the_dispatcher(answers):
    scores = SCORES.clone().requires_grad_()
    fused = gx.fuse_segments(SEGMENTS, scores)
    assert fused.scores.requires_grad
    assert answers == [True]


def test_transforms_and_traces_go_through_the_dispatcher(answers):
    def fused(scores: torch.Tensor) -> torch.Tensor:
        return gx.fuse_segments(SEGMENTS, scores).scores

    graph = make_fx(fused)(SCORES)
    assert torch.ops.gaufuse.fuse_segments.default in {node.target for node in graph.graph.nodes}
    many = torch.stack([SEGMENTS, SEGMENTS + 0.5])
    mapped = torch.vmap(lambda segments: gx.segment_iou(segments, SEGMENTS))(many)
    assert torch.equal(mapped, gx.segment_iou(many, SEGMENTS.expand_as(many)))
    with FakeTensorMode() as mode:
        fake = gx.fuse_segments(*(mode.from_tensor(x) for x in (SEGMENTS, SCORES)))
    assert type(fake.segments).__name__ == "FakeTensor"
    assert answers == [True, True, False, True]


def test_delayed_negations_are_carried_out(answers):
    negated = torch.complex(SCORES, -SCORES).conj().imag
    assert negated.is_neg()
    assert torch.equal(negated, SCORES)
    assert gx.nms(SEGMENTS, negated, 0.5).tolist() == [1, 2]
    assert answers == [True]


def test_subclasses_keep_their_ways(answers):
    class Own(torch.Tensor):
        pass

    found = gx.segment_iou(SEGMENTS.as_subclass(Own), SEGMENTS.as_subclass(Own))
    assert type(found) is Own
    assert answers == [True]


def test_numbers_of_numpy_are_numbers():
    """No schema turns them into Python's where the dispatcher is passed by."""
    import numpy as np

    found = gx.soft_nms(
        SEGMENTS, SCORES, sigma=np.float32(0.5), min_score=np.int64(0), max_output=np.int32(2)
    )
    expected = gx.soft_nms(SEGMENTS, SCORES, sigma=0.5, min_score=0.0, max_output=2)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    proposals = gx.threshold_proposals(
        CAS, [0.5], margin=np.float32(0.25), max_proposals=np.int64(3), min_length=np.uint8(1)
    )
    assert proposals.scores.shape == (3,)
    labels = gx.linpro_labels(SEGMENTS, SCORES, np.int64(40), anchor_weight=np.float32(0.5)).labels
    assert labels.shape == (40,)
    fused = gx.weighted_segments_fusion(SEGMENTS, SCORES, num_models=np.int64(2))
    assert fused.segments.shape == (3, 2)


def test_a_torch_that_cannot_be_asked_is_gone_through(monkeypatch):
    def missing() -> int:
        raise AttributeError("module 'torch._C' has no attribute '_dispatch_...'")

    monkeypatch.setattr(_dispatcher, "_STATES", [])
    monkeypatch.setattr(_dispatcher, "_KEYS", [])
    monkeypatch.setattr(_dispatcher, "_state", missing)
    _dispatcher._note_what_is_plain()
    assert _dispatcher.is_needed((torch.zeros(1),))
