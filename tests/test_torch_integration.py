"""The operations as torch citizens: registration, compilation, gradients, processes, threads."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.library import opcheck

import gaufuse_ext as gx
from group_inputs import Groups, make_groups

OPS = torch.ops.gaufuse


@pytest.fixture
def groups(device) -> Groups:
    """Three ragged groups, zeros in the padding: opcheck compares inputs by value."""
    drawn = make_groups("real", 20, torch.float32, groups=3)
    return Groups(*(x.nan_to_num() for x in vars(drawn).values())).to(device)


def sequences(device: torch.device) -> torch.Tensor:
    return torch.rand(3, 50, generator=torch.Generator().manual_seed(0)).to(device)


@pytest.mark.parametrize("ragged", [False, True])
def test_opcheck(groups, device, ragged):
    """Schema, fake kernel, autograd registration and tracing with dynamic shapes."""
    segments, scores, weights = groups.segments, groups.scores, groups.weights
    counts = groups.counts if ragged else None
    lengths = torch.tensor([50, 0, 17], device=device) if ragged else None
    cas = sequences(device)
    thresholds = torch.tensor([0.2, 0.6], dtype=torch.float64, device=device)
    if ragged:
        thresholds = thresholds.expand(3, 2).contiguous()
    proposal_options = (30, 2, 0.0785, 0.9)
    opcheck(OPS.threshold_proposals.default, (cas, thresholds, lengths, *proposal_options))
    opcheck(OPS.count_proposals.default, (cas, thresholds, lengths, 2))
    fusion = (segments, scores, weights, counts, 0.2, 0.25, 1.0, 0)
    opcheck(OPS.fuse_segments.default, fusion)
    differentiable = [x.clone().requires_grad_() for x in fusion[:3]]
    opcheck(OPS.fuse_segments.default, (*differentiable, *fusion[3:]))
    opcheck(OPS.interval_membership.default, (segments, counts, lengths, 50, 0.0785, 0.9, 2))
    opcheck(OPS.nms.default, (segments, scores, counts, 0.3))
    opcheck(OPS.segment_iou.default, (segments, segments[:, :7]))
    for decay in (0, 1):
        opcheck(OPS.soft_nms.default, (segments, scores, counts, decay, 0.5, 0.1, 0.001, 12))
    kept = segments[:, :7]
    kept_counts = counts.clamp(max=7) if ragged else None
    opcheck(OPS.segment_voting.default, (kept, segments, scores, kept_counts, counts, 0.3))
    weighted_fusion = (segments, scores, counts, 0.55, 0.1, 2, 0, False)
    opcheck(OPS.weighted_segments_fusion.default, weighted_fusion)
    program = (0.1, 0.05, 1.0, 0.2, 1e-3, True, ragged, 1, False)
    opcheck(
        OPS.linpro_labels.default,
        (segments, scores, weights.abs(), counts, lengths, 50, *program),
    )


def test_every_operation_is_checked_above():
    """Whoever adds an operation is reminded of opcheck."""
    names = {
        name.partition("::")[2]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("gaufuse::")
    }
    assert names == {
        "threshold_proposals",
        "count_proposals",
        "fuse_segments",
        "interval_membership",
        "linpro_labels",
        "nms",
        "segment_iou",
        "soft_nms",
        "segment_voting",
        "weighted_segments_fusion",
    }


def pipeline(cas, lengths):
    """Every operation in one graph, as labels are made."""
    p = gx.threshold_proposals(cas, [0.3, 0.5], lengths)
    found = gx.count_proposals(cas, [0.3, 0.5], lengths)
    f = gx.fuse_segments(p.segments, p.scores, p.weights, p.counts, temperature=0.02)
    keep = gx.nms(f.segments, f.scores, 0.4, f.counts)
    matrix = gx.interval_membership(f.segments, cas.shape[1], f.counts, lengths=lengths)
    soft = gx.soft_nms(f.segments, f.scores, f.counts, min_score=0.1)
    voted = gx.segment_voting(f.segments, p.segments, p.scores, 0.5, f.counts, p.counts)
    weighted = gx.weighted_segments_fusion(p.segments, p.scores, p.counts, num_models=2)
    iou = gx.segment_iou(f.segments, f.segments)
    return f.segments, f.scores, f.counts, found, keep, matrix, iou, *soft, voted, *weighted


def one_sequence(cas):
    """The same without a group axis, with Python numbers for sizes."""
    p = gx.threshold_proposals(cas, torch.tensor([0.3, 0.5]), 40)
    f = gx.fuse_segments(p.segments, p.scores, None, p.counts, overlap="iou")
    matrix = gx.interval_membership(f.segments, 50, f.counts, mode="mean", lengths=40)
    soft = gx.soft_nms(p.segments, p.scores, p.counts, method="linear", max_output=5)
    voted = gx.segment_voting(f.segments, p.segments, p.scores, 0.5, f.counts, p.counts)
    iou = gx.segment_iou(f.segments, p.segments)
    return f.segments, f.assignment, matrix, iou, *soft, voted


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_into_one_graph(device, backend, dynamic):
    torch._dynamo.reset()
    options = {"fullgraph": True, "backend": backend, "dynamic": dynamic}
    cas = sequences(device)
    lengths = torch.tensor([50, 0, 17], device=device)
    compiled = torch.compile(pipeline, **options)
    for batch, sizes in ((cas, lengths), (cas[:2, :30], lengths[1:]), (cas[:, :50], lengths)):
        for found, expected in zip(compiled(batch, sizes), pipeline(batch, sizes), strict=True):
            assert_same_up_to_padding(found, expected)
    compiled = torch.compile(one_sequence, **options)
    for found, expected in zip(compiled(cas[0]), one_sequence(cas[0]), strict=True):
        assert_same_up_to_padding(found, expected)


def assert_same_up_to_padding(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Eager mode cuts proposals to the largest count; under torch.compile there is more padding."""
    assert found.dtype == expected.dtype
    assert found.dim() == expected.dim()
    common = tuple(slice(0, size) for size in expected.shape)
    assert torch.equal(found[common], expected)
    rest = found.clone()
    rest[common] = 0
    assert set(rest.unique().tolist()) <= {0, -1}


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_gradients_through_compile(groups, backend):
    def loss(segments, scores, weights):
        f = gx.fuse_segments(segments, scores, weights, groups.counts, temperature=0.5)
        return f.segments.pow(2).sum() + f.scores.pow(3).sum()

    torch._dynamo.reset()
    inputs = [x.clone().requires_grad_() for x in (groups.segments, groups.scores, groups.weights)]
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    found = torch.autograd.grad(compiled(*inputs), inputs)
    expected = torch.autograd.grad(loss(*inputs), inputs)
    for a, b in zip(found, expected, strict=True):
        assert b.abs().max() > 0
        assert torch.equal(a, b)


@pytest.fixture
def separated(device) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Two groups of clusters so far apart that no small step changes the assignment."""
    starts = torch.tensor([[0.0, 1.0, 2.0, 50.0, 51.5, 90.0], [10.0, 11.0, 60.0, 61.0, 0.0, 0.0]])
    segments = torch.stack([starts, starts + 10.0], dim=-1)
    scores = torch.tensor([[0.9, 0.5, 0.3, 0.8, 0.6, 0.1], [0.2, 0.7, 0.6, 0.4, 0.0, 0.0]])
    weights = torch.tensor([[0.1, 0.4, 0.2, 0.9, 0.8, 0.3], [0.5, 0.6, 0.1, 0.3, 0.0, 0.0]])
    tensors = [x.double().to(device).requires_grad_() for x in (segments, scores, weights)]
    return tensors, torch.tensor([6, 4], device=device)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_gradcheck_of_fusion(separated, temperature):
    tensors, counts = separated

    def fused(segments, scores, weights):
        f = gx.fuse_segments(segments, scores, weights, counts, temperature=temperature)
        assert f.counts.tolist() == [3, 2]
        return f.segments, f.scores

    assert torch.autograd.gradcheck(fused, tensors)
    # Scores that are also the weights: both ways of the gradient add up.
    assert torch.autograd.gradcheck(lambda s, q: fused(s, q, q), tensors[:2])


def test_gradients_of_one_output_alone(separated):
    (segments, scores, weights), counts = separated
    f = gx.fuse_segments(segments, scores, weights, counts)
    (grad,) = torch.autograd.grad(f.segments.sum(), segments, retain_graph=True)
    # Shares sum to one in each cluster, and there are three and two clusters.
    assert grad.sum(dim=(1, 2)).tolist() == pytest.approx([6.0, 4.0])
    (grad,) = torch.autograd.grad(f.scores.sum(), scores)
    assert grad.sum(dim=1).tolist() == pytest.approx([3.0, 2.0])
    assert not f.assignment.requires_grad
    assert not f.shares.requires_grad


def test_gradients_are_zero_at_padding_that_holds_nan(separated):
    tensors, counts = separated
    with_nan = [x.detach().clone() for x in tensors]
    for x in with_nan:
        x[1, 4:] = torch.nan
        x.requires_grad_()

    def gradients(inputs):
        f = gx.fuse_segments(*inputs, counts)
        return torch.autograd.grad(f.segments.pow(2).sum() + f.scores.pow(2).sum(), inputs)

    for grad, expected in zip(gradients(with_nan), gradients(tensors), strict=True):
        assert not grad[1, 4:].any()
        assert grad[1, :4].any()
        assert torch.equal(grad, expected)


def test_gradients_of_an_empty_group(device):
    segments = torch.full((1, 3, 2), torch.nan, device=device, requires_grad=True)
    scores = torch.full((1, 3), torch.nan, device=device, requires_grad=True)
    f = gx.fuse_segments(segments, scores, counts=[0])
    grads = torch.autograd.grad(f.segments.sum() + f.scores.sum(), (segments, scores))
    assert not any(grad.any() for grad in grads)


def test_a_second_derivative_is_refused(separated):
    """The formula takes the shares for constants: a second derivative would be silently wrong."""
    (segments, scores, _), counts = separated
    f = gx.fuse_segments(segments, scores, counts=counts)
    with pytest.raises(RuntimeError, match="fuse_segments is differentiable once"):
        torch.autograd.grad(f.scores.sum(), scores, create_graph=True)


def work(groups: Groups, cas: torch.Tensor) -> list[torch.Tensor]:
    """Enough of every operation to use the thread pool, and a program for the solver."""
    proposals = gx.threshold_proposals(cas, [0.2, 0.5, 0.8])
    fused = gx.fuse_segments(groups.segments, groups.scores, groups.weights, groups.counts)
    keep = gx.nms(groups.segments, groups.scores, 0.3, groups.counts)
    soft = gx.soft_nms(groups.segments, groups.scores, groups.counts)
    voted = gx.segment_voting(
        fused.segments, groups.segments, groups.scores, 0.5, fused.counts, groups.counts
    )
    weighted = gx.weighted_segments_fusion(groups.segments, groups.scores, groups.counts)
    labels = gx.linpro_labels(fused.segments, fused.scores, 100, fused.counts.clamp(max=8))
    return [*proposals, *fused, keep, *soft, voted, *weighted, labels.labels]


def much_input() -> tuple[Groups, torch.Tensor]:
    drawn = make_groups("real", 500, torch.float32, groups=3)
    groups = Groups(*(x.repeat(5, *[1] * (x.dim() - 1)) for x in vars(drawn).values()))
    return groups, sequences(torch.device("cpu")).repeat(400, 10)


def _child(inputs: tuple, expected: list[torch.Tensor], queue) -> None:
    # Compared by NumPy: torch's own threads (OpenMP, which torch.equal uses) do not survive a fork.
    pairs = zip(work(*inputs), expected, strict=True)
    queue.put(all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs))


def test_works_in_a_forked_child(set_threads):
    """The child has none of the parent's worker threads and must not wait for them."""
    set_threads(2)
    inputs = much_input()
    expected = work(*inputs)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_child, args=(inputs, expected, queue))
    child.start()
    child.join(timeout=20)
    alive = child.is_alive()
    if alive:
        child.kill()
        child.join()
    assert not alive, "the child hangs"
    assert child.exitcode == 0
    assert queue.get()
    assert all(map(torch.equal, work(*inputs), expected))  # and the parent still works


def test_concurrent_calls_from_python_threads(set_threads):
    """One thread pool and one solver a thread: calls at the same time do not disturb each other."""
    set_threads(2)
    inputs = much_input()
    expected = work(*inputs)
    workers = 4
    start = threading.Barrier(workers)

    def run(_: int) -> bool:
        torch.set_num_threads(2)  # counted per thread
        start.wait(timeout=20)
        return all(all(map(torch.equal, work(*inputs), expected)) for _ in range(3))

    with ThreadPoolExecutor(workers) as pool:
        assert all(pool.map(run, range(workers), timeout=60))
