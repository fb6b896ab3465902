"""The base model: padding leaves no trace."""

from __future__ import annotations

import pytest
import torch

from gaufuse.model.losses import LossWeights, SnippetTarget, snippet_mean, step_losses, top_mean
from gaufuse.model.rskp import SnippetModel, paired_cosine, unit
from training_setups import short_config

LENGTHS = (5, 17, 1, 40)
DIM, CLASSES = 12, 3


@pytest.fixture
def model() -> SnippetModel:
    torch.manual_seed(0)
    return SnippetModel(DIM, CLASSES, short_config().model).double().eval()


@pytest.fixture
def videos() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, DIM, generator=generator, dtype=torch.float64) for n in LENGTHS]


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.tensor([[1.0, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1]], dtype=torch.float64)


def pad(videos: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded with garbage: it must not matter."""
    features = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=7.0)
    lengths = torch.tensor([len(video) for video in videos])
    return features, torch.arange(features.shape[1]) < lengths[:, None]


def recall(model: SnippetModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Memory rows of four videos; the third has none."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(4, 6, model.mu.shape[1], generator=generator, dtype=torch.float64)
    valid = torch.rand(4, 6, generator=generator) < 0.6
    valid[2] = False
    return rows, valid


def test_padded_batch_equals_each_video(model, videos):
    rows, valid = recall(model)
    together = model(*pad(videos), (rows, valid))
    for i, video in enumerate(videos):
        mask = torch.ones(1, len(video), dtype=torch.bool)
        alone = model(video[None], mask, (rows[i : i + 1], valid[i : i + 1]))
        n = len(video)
        for name in ("original", "reallocated", "memory"):
            one, many = getattr(alone, name), getattr(together, name)
            torch.testing.assert_close(many.scores[i, :n], one.scores[0])
            torch.testing.assert_close(many.attention[i, :n], one.attention[0])
            assert (many.attention[i, n:] == 0).all()
            torch.testing.assert_close(many.video[i], one.video[0])
            torch.testing.assert_close(many.classwise[i], one.classwise[0])
        torch.testing.assert_close(together.representatives[i], alone.representatives[0])


@pytest.mark.parametrize("video_loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("total", [1.0, 0.0])
def test_padded_losses_and_gradients_equal_each_video(model, videos, labels, video_loss, total):
    config = short_config(f"loss.video={video_loss}").loss
    weights = LossWeights(spl=0.7, label=2.0)
    rows, valid = recall(model)
    features, mask = pad(videos)
    targets = torch.rand(*mask.shape, CLASSES, dtype=torch.float64)

    def losses(index: slice, length: int) -> dict[str, torch.Tensor]:
        own = valid[index]
        outputs = model(features[index, :length], mask[index, :length], (rows[index], own))
        target = SnippetTarget(targets[index, :length], total)
        return step_losses(
            outputs, labels[index], mask[index, :length], own.any(1), target, config, weights
        )

    def gradient(values: dict[str, torch.Tensor]) -> torch.Tensor:
        loss = torch.stack(list(values.values())).sum()
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, model.parameters())])

    together = losses(slice(0, 4), mask.shape[1])
    alone = [losses(slice(i, i + 1), len(video)) for i, video in enumerate(videos)]
    assert set(together) == {"foreground", "background", "attention", "spl", "label"}
    for name, values in together.items():
        torch.testing.assert_close(values, torch.cat([one[name] for one in alone]))
    torch.testing.assert_close(gradient(together), sum(gradient(one) for one in alone))


def test_a_video_without_memory_ignores_the_memory_branch(model, videos, labels):
    config = short_config().loss
    weights = LossWeights(spl=1.0, label=0.0)
    features, mask = pad(videos)
    recalled = recall(model)
    outputs = model(features, mask, recalled)
    with_memory = step_losses(outputs, labels, mask, recalled[1].any(1), None, config, weights)
    without = step_losses(model(features, mask), labels, mask, None, None, config, weights)
    for name in with_memory:
        torch.testing.assert_close(with_memory[name][2], without[name][2])
        assert name == "attention" or not torch.allclose(with_memory[name][3], without[name][3])


def test_label_gradient_moves_toward_what_rises(model, videos):
    """A positive change of a label raises the class's score there, a negative one lowers it."""
    for video_loss in ("softmax", "sigmoid"):
        config = short_config(f"loss.video={video_loss}").loss
        features, mask = pad(videos[1:2])
        outputs = model(features, mask)
        change = torch.zeros(1, LENGTHS[1], CLASSES, dtype=torch.float64)
        change[0, 3, 0], change[0, 9, 1] = 0.4, -0.4
        losses = step_losses(
            outputs,
            torch.ones(1, CLASSES, dtype=torch.float64),
            mask,
            None,
            SnippetTarget(change, 0.0),
            config,
            LossWeights(spl=0.0, label=1.0),
        )
        (gradient,) = torch.autograd.grad(losses["label"].sum(), outputs.original.scores)
        assert gradient[0, 3, 0] < 0 < gradient[0, 9, 1]


def test_paired_cosines_are_those_of_each_pair():
    torch.manual_seed(0)
    x, centers = torch.randn(2, 3, 5), torch.randn(3, 5)
    x[1, 2] = 0.0
    expected = torch.nn.functional.cosine_similarity(x, centers.expand(2, 3, 5), dim=-1)
    torch.testing.assert_close(paired_cosine(x, unit(centers)), expected)


def test_top_mean_and_snippet_mean_use_a_videos_own_snippets():
    values = torch.tensor([[4.0, 1, 3, 2, 9, 9, 9, 9], [8, 7, 6, 5, 4, 3, 2, 1]]).unsqueeze(-1)
    mask = torch.tensor([[True] * 4 + [False] * 4, [True] * 8])
    assert top_mean(values, mask, 0.5).flatten().tolist() == [3.5, 6.5]
    assert top_mean(values, mask, 0.01).flatten().tolist() == [4.0, 8.0]
    assert snippet_mean(values.squeeze(-1), mask).tolist() == [2.5, 4.5]


def test_parameter_names_are_the_releases():
    model = SnippetModel(DIM, CLASSES, short_config().model)
    names = {name for name, _ in model.named_parameters()}
    assert names == {
        "mu",
        "ac_center",
        "fg_center",
        "feature_embedding.0.weight",
        "feature_embedding.0.bias",
    }
    torch.testing.assert_close(model.fg_center, -model.ac_center[-1:])
