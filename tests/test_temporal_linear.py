"""The temporal convolution of packed videos: torch's own convolution of each video alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from gaufuse.model.rskp import SnippetModel
from gaufuse.model.temporal_linear import TemporalLinear
from training_setups import short_config

LENGTHS = [7, 1, 12, 3]  # shorter and longer than the kernel reaches
SHAPES = [(1, 1), (3, 1), (5, 2), (3, 9), ([1, 3], 1), ([3, 5, 11], 2), ([1, 3, 5, 9], 1)]


def convolve(layer: TemporalLinear, video: torch.Tensor, dilation: int) -> torch.Tensor:
    """(T, in) -> (T, out) by torch's conv1d, each kernel's outputs by one of their own."""
    ys = []
    for part, (first, last) in enumerate(pairwise(layer.bounds)):
        weight = taps_of(layer, part, first, last)
        bias = layer.bias[first:last]
        padding = dilation * (weight.shape[-1] // 2)
        ys.append(F.conv1d(video.T[None], weight, bias, padding=padding, dilation=dilation)[0].T)
    return torch.cat(ys, 1)


def taps_of(
    layer: TemporalLinear, part: int, first: int, last: int, features: int = 5
) -> torch.Tensor:
    """The (outputs, in, kernel) weights of the part's kernel, put together from its rings."""
    taps = None
    rings = [layer.weight, *layer.outer][: part + 1]
    for ring, starts in zip(rings, layer.bounds, strict=False):
        own = ring[first - starts : last - starts].unflatten(1, (-1, features)).permute(0, 2, 1)
        if taps is None:
            taps = own
        else:
            before, after = own.chunk(2, -1)
            taps = torch.cat([before, taps, after], -1)
    return taps


@pytest.mark.parametrize(("kernel", "dilation"), SHAPES)
def test_packed_videos_equal_each_videos_own_convolution(kernel, dilation):
    torch.manual_seed(0)
    layer = TemporalLinear(5, 7, kernel, dilation).double()
    layer.draw()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(sum(LENGTHS), 5, dtype=torch.float64)
    expected = torch.cat([convolve(layer, video, dilation) for video in x.split(LENGTHS)])
    torch.testing.assert_close(layer(x, LENGTHS), expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    gradients = torch.autograd.grad((layer(x, LENGTHS) * weights).sum(), layer.parameters())
    wanted = torch.autograd.grad((expected * weights).sum(), layer.parameters())
    torch.testing.assert_close(gradients, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("kernel", "dilation"), SHAPES)
def test_padded_videos_equal_packed_ones(kernel, dilation):
    torch.manual_seed(0)
    layer = TemporalLinear(5, 7, kernel, dilation)
    layer.draw()
    videos = torch.randn(sum(LENGTHS), 5).split(LENGTHS)
    padded = torch.nn.utils.rnn.pad_sequence(list(videos), batch_first=True)
    rows = layer(padded).unflatten(0, padded.shape[:2])
    packed = layer(torch.cat(videos), LENGTHS).split(LENGTHS)
    for own, expected in zip(rows, packed, strict=True):
        torch.testing.assert_close(own[: len(expected)], expected)


def test_kernel_1_is_the_linear_layer_with_its_parameters():
    linear, layer = torch.nn.Linear(5, 4), TemporalLinear(5, 4)
    layer.load_state_dict(linear.state_dict())
    x = torch.randn(9, 5)
    torch.testing.assert_close(layer(x, [4, 5]), linear(x), rtol=0, atol=0)


def test_each_kernel_is_drawn_as_a_layer_of_its_own():
    torch.manual_seed(0)
    layer = TemporalLinear(100, 90, [1, 3, 9])
    layer.draw()
    for part, (first, last) in enumerate(pairwise(layer.bounds)):
        limit = (6.0 / (100 * layer.kernels[part] + 90)) ** 0.5
        taps = taps_of(layer, part, first, last, 100).detach().abs().amax((0, 1))
        assert ((0.95 * limit < taps) & (taps <= limit)).all()
    one = TemporalLinear(100, 90, 5)
    torch.manual_seed(1)
    expected = torch.nn.init.xavier_uniform_(torch.empty_like(one.weight))
    torch.manual_seed(1)
    one.draw()
    torch.testing.assert_close(one.weight.detach(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kernel", ["5", "[1,3,7]"])
@pytest.mark.parametrize("standardized", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_videos_outputs_do_not_depend_on_its_neighbours_or_padding(kernel, standardized, packed):
    torch.manual_seed(0)
    config = short_config(f"model.kernel={kernel}", "model.dilation=2").model
    model = SnippetModel(6, 3, config).eval()
    if standardized:
        model.standardize(torch.full((6,), 2.0), torch.full((6,), 0.5))
    videos = [torch.rand(length, 6) for length in LENGTHS]
    features = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=9.0)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    together = model(features, mask, lengths=LENGTHS if packed else None)
    for row, video in enumerate(videos):
        alone = model(video[None], torch.ones(1, len(video), dtype=torch.bool))
        torch.testing.assert_close(
            together.original.scores[row, : len(video)], alone.original.scores[0]
        )
        torch.testing.assert_close(together.reallocated.video[row], alone.reallocated.video[0])


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        *((kernel, "at least 1") for kernel in ("0", "-1", "[]", "[1,-3]", "true", "3.0", '"3"')),
        *((kernel, "odd") for kernel in ("4", "[1,4]")),
        *((kernel, "rising") for kernel in ("[3,1]", "[3,3]")),
    ],
)
def test_kernels_that_cannot_be_are_refused(kernel, message):
    with pytest.raises(ValueError, match=rf"model\.kernel: .*{message}"):
        short_config(f"model.kernel={kernel}")


def test_a_list_of_one_kernel_is_that_kernel():
    assert short_config("model.kernel=[5]") == short_config("model.kernel=5")


def test_more_kernels_than_dimensions_are_refused():
    with pytest.raises(ValueError, match="2 dimensions cannot be shared out among 3 kernels"):
        TemporalLinear(5, 2, [1, 3, 5])


def test_a_layer_says_what_it_sees():
    said = repr(TemporalLinear(5, 7, [1, 5], 2))
    assert "in_features=5, out_features=7, kernels=[1, 5], reach=4" in said


def test_in_bfloat16_it_is_about_what_it_is_in_float32():
    torch.manual_seed(0)
    layer = TemporalLinear(64, 48, [1, 5, 9])
    layer.draw()
    x = torch.randn(sum(LENGTHS), 64)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(x, LENGTHS)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), layer(x, LENGTHS), rtol=0.02, atol=0.05)
