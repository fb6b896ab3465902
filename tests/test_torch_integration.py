"""The operations as torch citizens: registration, compilation, gradients, processes, threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.library import opcheck

import gaufuse_ext as gx
import hanging_processes
from gaufuse_ext.compat.opentad import batched_nms
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
    opcheck(OPS.nms.default, (segments, scores, counts, 0.3, 1e-6))
    opcheck(OPS.segment_iou.default, (segments, segments[:, :7]))
    for decay in range(4):
        options = (decay, 0.5, 0.1, 0.01, 1e-6, 0.001, 12)
        opcheck(OPS.soft_nms.default, (segments, scores, counts, *options))
    kept = segments[:, :7]
    kept_counts = counts.clamp(max=7) if ragged else None
    for by_iou in (False, True):
        voting = (kept, segments, scores, kept_counts, counts, 0.3, by_iou)
        opcheck(OPS.segment_voting.default, voting)
    weighted_fusion = (segments, scores, counts, 0.55, 0.1, 2, 0, False)
    opcheck(OPS.weighted_segments_fusion.default, weighted_fusion)
    program = (0.1, 0.05, 1.0, 0.2, 1e-3, True, ragged, 1, False, 0)
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
    r = gx.linpro_labels(f.segments, f.scores, cas.shape[1], f.counts, lengths=lengths)
    others = (f.segments, f.scores, f.counts, found, keep, matrix, iou, *soft, voted, *weighted)
    return *others, r.labels, r.objective, r.residual, r.codes, r.by_highs


def one_sequence(cas):
    """The same without a group axis, with Python numbers for sizes."""
    p = gx.threshold_proposals(cas, torch.tensor([0.3, 0.5]), 40)
    f = gx.fuse_segments(p.segments, p.scores, None, p.counts, overlap="iou")
    matrix = gx.interval_membership(f.segments, 50, f.counts, mode="mean", lengths=40)
    soft = gx.soft_nms(p.segments, p.scores, p.counts, method="linear", max_output=5)
    voted = gx.segment_voting(f.segments, p.segments, p.scores, 0.5, f.counts, p.counts)
    iou = gx.segment_iou(f.segments, p.segments)
    r = gx.linpro_labels(f.segments, f.scores, 50, f.counts, weights="exponential", lengths=40)
    return f.segments, f.assignment, matrix, iou, *soft, voted, r.labels, r.gap


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


def label(segments, scores, counts):
    """With rows that leave a large component to HiGHS."""
    return gx.linpro_labels(segments, scores, 200, counts, rows="contrast_mean")


def test_labels_compile_with_groups_that_are_left_to_highs():
    """Which those are only the values say; the result is whole, with what it can explain."""
    torch._dynamo.reset()
    segments, scores, _ = many_groups()
    segments, scores, counts = segments[:3], scores[:3], torch.tensor([3, 200, 0])
    expected = label(segments, scores, counts)
    found = torch.compile(label, fullgraph=True, backend="aot_eager")(segments, scores, counts)
    assert found.backend == expected.backend == ["native", "highs", "native"]
    assert found.status == expected.status == ["optimal", "optimal", "empty"]
    assert torch.equal(found.labels, expected.labels)
    assert found.explain(1) == expected.explain(1)


def test_proposals_have_room_for_the_worst_case_where_counts_are_not_known():
    """Two thresholds; runs of two or more of 9 snippets: at most 2 * ((9 + 1) // (2 + 1))."""
    torch._dynamo.reset()
    cas = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    propose = torch.compile(gx.threshold_proposals, fullgraph=True, backend="eager")
    eager, compiled = gx.threshold_proposals(cas, [0.3, 0.5]), propose(cas, [0.3, 0.5])
    assert eager.scores.shape == (1, 4)
    assert compiled.scores.shape == (1, 6)
    for a, b in zip(eager, compiled, strict=True):
        assert_same_up_to_padding(b, a)
    room = [
        f(cas, [0.3, 0.5], max_proposals=5).scores.shape for f in (gx.threshold_proposals, propose)
    ]
    assert room == [(1, 5), (1, 5)]


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


def test_second_derivatives(separated):
    tensors, counts = separated

    def fused(segments, scores, weights):
        f = gx.fuse_segments(segments, scores, weights, counts, temperature=0.5)
        return f.segments, f.scores

    assert torch.autograd.gradgradcheck(fused, tensors)
    assert torch.autograd.gradgradcheck(lambda s, q: fused(s, q, q), tensors[:2])


def test_the_first_derivative_is_the_same_where_a_second_may_follow(separated):
    tensors, counts = separated
    with torch.no_grad():
        for x in tensors:
            x[1, 4:] = torch.nan  # padding
    f = gx.fuse_segments(*tensors, counts)
    loss = f.segments.pow(2).sum() + f.scores.pow(3).sum()
    once = torch.autograd.grad(loss, tensors, retain_graph=True)
    again = torch.autograd.grad(loss, tensors, create_graph=True)
    for a, b in zip(once, again, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-12, atol=1e-12)
    second = torch.autograd.grad(sum(x.pow(2).sum() for x in again), tensors)
    for x in second:
        assert not x[1, 4:].any()
        assert x[1, :4].isfinite().all()


def test_transforms_of_torch_func(separated):
    (segments, scores, weights), _ = separated

    def loss(segments, scores, weights):
        f = gx.fuse_segments(segments, scores, weights, temperature=0.5)
        return f.segments.pow(2).sum() + f.scores.pow(3).sum()

    inputs = (segments, scores, weights)
    expected = torch.autograd.grad(loss(*inputs), inputs, create_graph=True)
    plain = tuple(x.detach() for x in inputs)
    found = torch.func.grad(loss, (0, 1, 2))(*plain)
    backwards = torch.func.vjp(loss, *plain)[1](plain[1].new_ones(()))
    each = torch.vmap(torch.func.grad(loss, (0, 1, 2)))(*plain)  # a group by itself
    for own in (found, backwards, each, torch.func.jacrev(loss, (0, 1, 2))(*plain)):
        for a, b in zip(own, expected, strict=True):
            torch.testing.assert_close(a, b.detach(), rtol=1e-12, atol=1e-12)
    (second,) = torch.autograd.grad(expected[2].pow(2).sum(), weights)
    inner = torch.func.grad(loss, 2)
    nested = torch.func.grad(lambda w: inner(plain[0], plain[1], w).pow(2).sum())(plain[2])
    torch.testing.assert_close(nested, second)
    with pytest.raises(RuntimeError, match="jvp"):  # forward mode: no silent zeros
        torch.func.jvp(loss, plain, plain)


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


def run_in_forked_child(check: Callable[[], bool]) -> None:
    """check() in a fork of this process, in which torch's OpenMP threads have just been at work.

    check() must compare by NumPy: torch's own operations (torch.equal) hang in such a child.
    """
    torch.ones(10**6).add(1.0)  # starts the threads that the child will not have
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(check()))
    child.start()
    has_ended = hanging_processes.end(lambda: not child.is_alive(), lambda: [child.pid])
    if not has_ended:
        child.kill()
        child.join()
    assert has_ended, "the child hangs"
    assert child.exitcode == 0
    assert queue.get()


def same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(np.array_equal(a.detach().numpy(), b.detach().numpy()) for a, b in pairs)


def test_works_in_a_forked_child(set_threads):
    """The child has none of the parent's worker threads and must not wait for them."""
    set_threads(2)
    inputs = much_input()
    expected = work(*inputs)
    run_in_forked_child(lambda: same(work(*inputs), expected))
    assert all(map(torch.equal, work(*inputs), expected))  # and the parent still works


def many_groups() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every argument and result is longer than 32,768, from where torch shares work out."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(400, 200, generator=generator) * 180.0
    lengths = 1.0 + 9.0 * torch.rand(400, 200, generator=generator)
    scores = torch.rand(400, 200, generator=generator)
    return torch.stack([starts, starts + lengths], dim=-1), scores, torch.full((400,), 8)


def labels_of(result: gx.LinproLabels) -> list[torch.Tensor]:
    return [result.labels, result.objective, result.relaxed]


FLAT = (*(x.flatten(0, 1) for x in many_groups()[:2]), torch.arange(80_000) // 200)
LARGE_CALLS = {
    "threshold_proposals": lambda x, q, n: gx.threshold_proposals(q, [0.3, 0.6]),
    "fuse_segments": lambda x, q, n: gx.fuse_segments(x, q),
    "interval_membership": lambda x, q, n: [gx.interval_membership(x, 200, n)],
    "linpro_labels": lambda x, q, n: labels_of(gx.linpro_labels(x[:, :8], q[:, :8], 200)),
    "linpro_labels, weights": lambda x, q, n: labels_of(
        gx.linpro_labels(x, q, 200, n, weights="exponential")
    ),
    "linpro_labels, HiGHS": lambda x, q, n: labels_of(
        gx.linpro_labels(x, q, 200, n.clamp(max=2), backend="highs", weights="confidence")
    ),
    "nms": lambda x, q, n: [gx.nms(x, q, 0.3)],
    "segment_iou": lambda x, q, n: [gx.segment_iou(x, x)],
    "soft_nms": lambda x, q, n: gx.soft_nms(x, q),
    "segment_voting": lambda x, q, n: [gx.segment_voting(x, x, q, 0.5)],
    "weighted_segments_fusion": lambda x, q, n: gx.weighted_segments_fusion(x, q),
    "valid_mask": lambda x, q, n: [gx.valid_mask(n, 200)],
    "batched_nms": lambda x, q, n: batched_nms(*FLAT, 0.3, 0.001, 100_000),
}


@pytest.mark.parametrize("operation", LARGE_CALLS)
def test_every_operation_works_in_a_forked_child(set_threads, operation):
    set_threads(2)
    inputs = many_groups()
    inputs = (*(x.transpose(0, 1).contiguous().transpose(0, 1) for x in inputs[:2]), inputs[2])
    expected = list(LARGE_CALLS[operation](*inputs))
    run_in_forked_child(lambda: same(list(LARGE_CALLS[operation](*inputs)), expected))


LATE_IMPORT = """
import os
import numpy as np
import torch

torch.set_num_threads(2)
scores = torch.ones(400, 200).add(1.0)
if os.fork() == 0:
    from gaufuse_ext import _fork, linpro_labels
    segments = torch.from_numpy(np.tile([2.0, 6.0], (400, 200, 1)).astype(np.float32))
    found = linpro_labels(segments, scores, 200, [1] * 400)
    os._exit(7 if found.labels.shape == (400, 200) and _fork._forked else 1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
from gaufuse_ext import _fork
assert not _fork._forked
"""


def test_a_forked_child_that_imports_the_package_itself():
    program = subprocess.Popen(
        [sys.executable, "-c", LATE_IMPORT],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    has_ended = hanging_processes.end(
        lambda: program.poll() is not None, lambda: hanging_processes.of_session(program.pid)
    )
    if not has_ended:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    assert has_ended, "the child hangs"
    assert program.returncode == 0


@pytest.mark.skipif(
    torch.backends.cuda.is_built(),
    reason="torch that is built for CUDA refuses backward in a fork of a process that has run one",
)
def test_gradients_in_a_forked_child(set_threads):
    set_threads(2)
    segments, scores, _ = many_groups()
    ones = torch.ones_like(segments)

    def gradient() -> list[torch.Tensor]:
        x = segments.clone().requires_grad_() if threads_left else segments.requires_grad_()
        return [*torch.autograd.grad(gx.fuse_segments(x, scores).segments, x, ones)]

    threads_left = True
    expected = gradient()
    threads_left = False  # a clone would itself wait for them
    run_in_forked_child(lambda: same(gradient(), expected))


def test_a_forked_child_keeps_the_number_of_threads(set_threads):
    set_threads(2)
    x, q, _ = many_groups()

    def check() -> bool:
        gx.nms(x, q, 0.3)
        try:
            gx.nms(x, q[:1], 0.3)
        except ValueError:
            return torch.get_num_threads() == 2
        return False

    run_in_forked_child(check)


def test_concurrent_calls_from_python_threads(set_threads):
    """One thread pool and one solver a thread: calls at the same time do not disturb each other.
    (pytest's own timeout would end a deadlock.)"""
    set_threads(2)
    inputs = much_input()
    expected = work(*inputs)
    workers = 4
    start = threading.Barrier(workers)

    def run(_: int) -> bool:
        torch.set_num_threads(2)  # counted per thread
        start.wait()
        return all(all(map(torch.equal, work(*inputs), expected)) for _ in range(3))

    with ThreadPoolExecutor(workers) as pool:
        assert all(pool.map(run, range(workers)))
