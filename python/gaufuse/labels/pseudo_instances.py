"""The instances that labels are made of: which of them, and how confident (method section 4).

Fusion and detections go by the contrast of an instance with its surroundings. Labels need more:

- LinPro's first requirement is that the *mean* score inside an instance equals its confidence, so
  a confidence is a mean: that of the activations inside. (A contrast is none: it is smaller, by
  however much the surroundings are active, too.)
- Low thresholds leave many weak instances in a video that shows the class elsewhere. Those far
  below the best one are dropped.
- The video's label says that the class is there, so its best instance is one: confidences are
  shares of the best one's. A model is less active within an action than at its clearest moment:
  those that come near the best one count as certain, too.
"""

from __future__ import annotations

import torch

import gaufuse_ext as gx
from gaufuse.config import InstancesConfig
from gaufuse.localization.instances import ActivationGroups


def pseudo_instances(
    fused: gx.FusedSegments, groups: ActivationGroups, config: InstancesConfig
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Segments (G, N, 2), confidences (G, N) and counts (G,) of the instances to make labels of,
    in the order of the fused ones.

    Args:
        fused: instances of each group, scored by contrast.
        groups: the activations that they come from.
    """
    most = int(fused.counts.max()) if len(fused.counts) else 0
    segments, contrast = fused.segments[:, :most], fused.scores[:, :most]
    kept = gx.valid_mask(fused.counts, most)
    if config.keep > 0.0 and most:
        best = contrast.masked_fill(~kept, -torch.inf).amax(1, keepdim=True)
        # Of a best one below zero the margin is as wide as of one above.
        kept &= contrast >= best - (1.0 - config.keep) * best.abs()
    confidence = contrast
    if config.confidence == "mean":
        confidence = inner_mean(segments, groups)
    if config.share_of_best > 0.0 and most:
        best = confidence.masked_fill(~kept, -torch.inf).amax(1, keepdim=True)
        confidence = confidence / best.clamp(min=1e-6) ** config.share_of_best
    confidence = confidence / config.certain
    order = (~kept).long().argsort(dim=1, stable=True)  # those kept first
    segments = segments.gather(1, order.unsqueeze(-1).expand(-1, -1, 2))
    return segments, confidence.clamp(0.0, 1.0).gather(1, order), kept.sum(1)


def inner_mean(segments: torch.Tensor, groups: ActivationGroups) -> torch.Tensor:
    """(G, N) mean activation of the snippets int(start) .. int(end) - 1 of each segment, which are
    those that its label covers; 0 where there are none."""
    length = groups.lengths.unsqueeze(1)
    ends = segments.long().clamp(min=0)
    first, last = torch.minimum(ends[..., 0], length), torch.minimum(ends[..., 1], length)
    sums = torch.nn.functional.pad(groups.activations.double().cumsum(1), (1, 0))
    inside = sums.gather(1, last) - sums.gather(1, first)
    return (inside / (last - first).clamp(min=1)).to(segments)
