"""The fast step against the release's literal one, and what it must not do: wait for the device."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.training import literal_step
from gaufuse.config import Config
from gaufuse.data.dataset import Batch
from gaufuse.model.class_memory import ClassMemory
from gaufuse.model.dropout import ReluDropout
from gaufuse.model.embedded_snippets import Snippets
from gaufuse.model.losses import LossWeights, SnippetTarget, step_losses
from gaufuse.model.rskp import SnippetModel
from gaufuse.training.step import TrainingStep
from training_setups import short_config

LENGTHS = [12, 40, 8, 33]
DIM, CLASSES = 24, 4
LABELS = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1]])


def case(dtype: torch.dtype, with_memory: bool) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=dtype)

    config = short_config("model.embedding_dim=0", "loss.spl_memory_mix=0.2")
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    valid = torch.rand(4, 10, generator=generator) < 0.6
    valid[:, 0] = True
    return SimpleNamespace(
        config=config,
        model=SnippetModel(DIM, CLASSES, config.model).to(dtype).eval(),
        videos=[uniform(n, DIM) for n in LENGTHS],
        mask=mask,
        labels=LABELS.to(dtype),
        targets=[uniform(n, CLASSES) - 0.3 for n in LENGTHS],  # of both signs: a change
        memory=(uniform(4, 10, DIM), valid) if with_memory else None,
    )


def pad(videos: list[torch.Tensor], value: float = 0.0) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=value)


WEIGHTS = LossWeights(spl=0.7, label=10.0)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("with_memory", [False, True])
@pytest.mark.parametrize("with_target", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_losses_and_gradients_equal_the_literal_steps(
    dtype, tolerance, with_target, with_memory, packed
):
    made = case(dtype, with_memory)
    model, config = made.model, made.config
    outputs = model(pad(made.videos, 7.0), made.mask, made.memory, LENGTHS if packed else None)
    losses = step_losses(
        outputs,
        made.labels,
        made.mask,
        made.memory[1].any(1) if with_memory else None,
        SnippetTarget(pad(made.targets), 0.0) if with_target else None,
        config.loss,
        WEIGHTS,
    )
    parameters = list(model.parameters())
    expected_gradients = [torch.zeros_like(p) for p in parameters]
    for i, video in enumerate(made.videos):
        expected = literal_step.video_losses(
            model,
            video,
            made.labels[i],
            made.memory[0][i][made.memory[1][i]] if with_memory else None,
            made.targets[i] if with_target else None,
            config,
            WEIGHTS,
        )
        assert set(expected) == set(losses)
        for name, value in expected.items():
            torch.testing.assert_close(losses[name][i], value, rtol=tolerance, atol=tolerance)
        gradients = torch.autograd.grad(sum(expected.values()), parameters)
        for total, gradient in zip(expected_gradients, gradients, strict=True):
            total += gradient
    gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), parameters)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        difference = (gradient - expected).norm() / expected.norm()
        assert difference < 10 * tolerance  # of ten losses whose weights go up to 10


@pytest.mark.parametrize("packed", [False, True])
def test_representatives_and_propagated_scores_equal_the_literal_ones(packed):
    made = case(torch.float64, True)
    model, settings = made.model, made.config.model
    outputs = model(pad(made.videos), made.mask, made.memory, LENGTHS if packed else None)
    for i, video in enumerate(made.videos):
        x = model.feature_embedding(video)
        mu = literal_step.expectation_maximisation(
            model.mu, x, settings.em_iterations, settings.em_scale
        )
        torch.testing.assert_close(outputs.representatives[i], mu)
        rows = made.memory[0][i][made.memory[1][i]]
        for branch, source in ((outputs.reallocated, mu), (outputs.memory, rows)):
            walked = literal_step.propagate(source, x, settings.propagation, settings.em_scale)
            scores, attention, ca, cw = literal_step.predict(model, walked)
            torch.testing.assert_close(branch.scores[i, : len(video)], scores)
            torch.testing.assert_close(branch.attention[i, : len(video)], attention)
            torch.testing.assert_close(branch.video[i], ca)
            torch.testing.assert_close(branch.classwise[i], cw)


@pytest.mark.parametrize("lengths", [None, [3, 5]])
def test_the_shared_gradient_is_right(lengths):
    """Against finite differences, with every kind of use at once, one result fed into another."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        return x.requires_grad_()

    x = random(8, 4) if lengths else random(2, 5, 4)
    size = 5

    def uses(x, shared, own, weights):
        snippets = Snippets(x, lengths)
        mask = torch.arange(size) < torch.tensor(lengths or [size, size])[:, None]
        sums = snippets.weighted_sum(weights * mask.unsqueeze(1))
        products = snippets.dot(shared).sum(-1) * snippets.squared_norm()
        return sums, products, snippets.dot(sums + own)

    inputs = (x, random(3, 4), random(2, 2, 4), random(2, 2, size))
    assert torch.autograd.gradcheck(uses, inputs)


def test_a_backward_pass_that_stops_short_leaves_nothing_for_the_next():
    x = torch.randn(1, 4, 3, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    loss = Snippets(x).dot(vectors).square().sum()
    torch.autograd.grad(loss, vectors, retain_graph=True)
    (gradient,) = torch.autograd.grad(loss, x)
    (expected,) = torch.autograd.grad((x @ vectors.T).square().sum(), x)
    torch.testing.assert_close(gradient, expected)


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(1000, 999, requires_grad=True)
    dropped = ReluDropout.apply(x.clone(), 0.6)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.6, abs=3e-3)
    assert float(dropped.detach().mean()) == pytest.approx(1.0, abs=1e-2)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())
    kept = (dropped > 0).float().detach()
    assert abs(float(torch.corrcoef(torch.stack([kept[:, 0], kept[:, 1]]))[0, 1])) < 0.15


def setup(*overrides: str) -> tuple[TrainingStep, Batch, SnippetTarget, Config]:
    torch.manual_seed(0)
    config = short_config("memory.start=1", *overrides)
    model = SnippetModel(DIM, CLASSES, config.model).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    memory = ClassMemory(CLASSES, config.memory.size, model.mu.shape[1], torch.device("cpu"))
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    features = torch.rand(4, max(LENGTHS), DIM)
    batch = Batch(features, mask, torch.tensor(LENGTHS), LABELS, 4, [0, 1, 2, 3], LENGTHS)
    target = SnippetTarget(torch.rand(4, max(LENGTHS), CLASSES) * mask.unsqueeze(-1), 1.0)
    return TrainingStep(model, optimizer, memory, config), batch, target, config


class _NoWaiting(TorchDispatchMode):
    """Fails on what waits for a CUDA device: a value read on the host, a size that depends on
    values."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "_unique", "unique")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().removeprefix("aten::").partition(".")[0]
        assert name not in self.WAITING, f"the step calls {name}"
        indices = args[1] if name.startswith("index") and len(args) > 1 else None
        for index in indices if isinstance(indices, (list, tuple)) else ():
            boolean = isinstance(index, torch.Tensor) and index.dtype == torch.bool
            assert not boolean, "the step indexes with a boolean mask"
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_step_reads_nothing_back(precision):
    step, batch, target, _ = setup(f"training.precision={precision}")
    step(batch, target, 2)  # the memory is filled
    # Adam's own step counter lives on the host, on every device.
    update, step.optimizer.step = step.optimizer.step, lambda: None
    with _NoWaiting():
        losses = step(batch, target, 3)
    update()
    assert all(torch.isfinite(value).all() for value in losses.values())


def test_the_inspection_sees_what_waits():
    with _NoWaiting():
        for wait in (
            lambda x: float(x[0]),
            lambda x: bool((x > 0).all()),
            lambda x: x[x > 0],
            lambda x: x.nonzero(),
        ):
            with pytest.raises(AssertionError, match="the step"):
                wait(torch.ones(3))


def test_bf16_is_close_to_float32_and_learns():
    losses = {}
    for precision in ("float32", "bf16"):
        step, batch, target, _ = setup(f"training.precision={precision}", "model.dropout=0.0")
        losses[precision] = [
            float(sum(value.sum() for value in step(batch, target, 2).values())) for _ in range(30)
        ]
        assert all(p.dtype == torch.float32 for p in step.model.parameters())
    full, half = losses["float32"], losses["bf16"]
    assert half[0] == pytest.approx(full[0], rel=0.02)
    assert half[0] != full[0]
    assert half[-1] < 0.9 * half[0]
    assert half[-1] == pytest.approx(full[-1], rel=0.05)


@pytest.mark.slow  # tracing sizes that may change takes half a minute, whatever the sizes are
@pytest.mark.parametrize("kernel", ["1", "[1,5,9]"])
def test_compiled_steps_equal_eager_ones(monkeypatch, kernel):
    """Traced forward and backward without inductor's code, which takes minutes to compile."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    runs = []
    for compiled in ("false", "true"):
        step, batch, target, _ = setup(
            f"training.compile={compiled}", f"model.kernel={kernel}", "model.dropout=0.0"
        )
        runs.append([step(batch, target, epoch) for epoch in (1, 2, 2)])
    for eager, compiled in zip(*runs, strict=True):
        for name, value in eager.items():
            torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-4)
