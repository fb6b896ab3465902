"""Convolutions of videos with zeros between them, beside torch's of each video alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gaufuse.model.spaced_convolution import SpacedConvolution

LENGTHS = [5, 1, 9, 2]


def spaced(videos: list[torch.Tensor], gap: int) -> torch.Tensor:
    zeros = videos[0].new_zeros(gap, videos[0].shape[1])
    return torch.cat([part for video in videos for part in (video, zeros)][:-1])


@pytest.mark.parametrize("dilation", [1, 2, 4, 12])
@pytest.mark.parametrize("more_space", [0, 3])
def test_each_video_is_convolved_alone(dilation, more_space):
    torch.manual_seed(0)
    layer = SpacedConvolution(3, dilation).double()
    videos = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in LENGTHS]
    parameters = [*videos, layer.weight, layer.bias]
    gap = dilation + more_space
    sizes = [rows for n in LENGTHS for rows in (n, gap)][:-1]
    found = torch.cat(layer(spaced(videos, gap)).split(sizes)[::2])
    expected = torch.cat(
        [
            F.conv1d(video.T, layer.weight, layer.bias, padding=dilation, dilation=dilation).T
            for video in videos
        ]
    )
    torch.testing.assert_close(found, expected)
    factors = torch.randn_like(expected)
    ours = torch.autograd.grad((found * factors).sum(), parameters)
    torch.testing.assert_close(ours, torch.autograd.grad((expected * factors).sum(), parameters))
