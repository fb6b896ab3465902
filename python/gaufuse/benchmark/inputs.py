"""Random inputs with the look of real ones. The same seed gives the same values on one device."""

from __future__ import annotations

import math

import torch

CHOPPY = 2  # smoothing at which the median fused instance is about 5 snippets long, as in THUMOS14
SMOOTH = 9  # and 16 snippets: whole videos resampled to 150 snippets, as in ActivityNet


def activations(
    groups: int,
    num_snippets: int,
    device: torch.device,
    smoothing: int = CHOPPY,
    absent_classes: int = 0,
) -> torch.Tensor:
    """(G, T) float32 activation sequences: a smooth log-normal process around 0.01.

    The release's thresholds, 0.001 to 0.039, then cut it everywhere between its quiet and its loud
    parts.

    Args:
        absent_classes: after each sequence come that many of classes that the video does not show,
            which seldom reach a threshold.
    """
    noise = torch.randn(
        (groups, 1, num_snippets + 2 * smoothing - 2),
        generator=torch.Generator(device).manual_seed(0),
        device=device,
    )
    for _ in range(2):
        noise = torch.nn.functional.avg_pool1d(noise, smoothing, stride=1)
    left = (2 * smoothing**2 + 1) / (3 * smoothing**3)  # variance after two box filters
    noise *= 2.0 / math.sqrt(left)
    absent = torch.arange(groups, device=device) % (1 + absent_classes) != 0
    noise += torch.where(absent, math.log(2.5e-5), math.log(0.01)).reshape(-1, 1, 1)
    return noise.exp_().clamp_(max=1.0).squeeze(1)


def detections(
    groups: int, count: int, device: torch.device, per_instance: int = 40
) -> tuple[torch.Tensor, torch.Tensor]:
    """(G, N, 2) segments in seconds and (G, N) scores, float32: jittered copies of instances.

    Args:
        per_instance: detections around each instance; 1: they are spread over a long video and
            few overlap, so that suppression has to compare nearly all pairs.
    """
    generator = torch.Generator(device).manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, device=device)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device)

    instances = max(1, count // per_instance)
    starts = 10.0 * instances * uniform(groups, instances)
    lengths = torch.exp(0.7 * normal(groups, instances) + math.log(5.0))
    owner = (instances * uniform(groups, count)).long()
    length = lengths.gather(1, owner)
    start = starts.gather(1, owner) + 0.25 * length * normal(groups, count)
    length = length * torch.exp(0.3 * normal(groups, count))
    scores = uniform(groups, count).square()
    return torch.stack([start, start + length], dim=-1), scores


def instances(groups: int, count: int, num_snippets: int, device: torch.device) -> torch.Tensor:
    """(G, N, 2) float32 instances within [0, T), in snippets, about 16 long."""
    generator = torch.Generator(device).manual_seed(0)
    place = torch.rand((groups, count), generator=generator, device=device)
    length = torch.randn((groups, count), generator=generator, device=device).mul(0.7).exp() * 12.0
    start = place * num_snippets
    return torch.stack([start, (start + length).clamp(max=num_snippets)], dim=-1)


def scored_instances(
    groups: int, count: int, num_snippets: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """(G, N, 2) float32 instances as fusion leaves them, some overlapping, and (G, N) scores."""
    generator = torch.Generator(device).manual_seed(0)
    place = torch.rand((groups, count), generator=generator, device=device)
    spread = torch.randn((groups, count), generator=generator, device=device).mul(0.7).exp()
    start = (place * num_snippets).floor()
    end = (start + 0.7 * num_snippets / count * spread).floor() + 2
    scores = torch.rand((groups, count), generator=generator, device=device)
    return torch.stack([start, end.clamp(max=num_snippets)], dim=-1), scores
