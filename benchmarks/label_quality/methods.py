"""Ways to make snippet labels: how instances are selected, then how they become labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

import gaufuse_ext as gx
from benchmarks.label_quality.sources import VideoClass
from gaufuse.config import InstancesConfig
from gaufuse.labels.pseudo_instances import pseudo_instances
from gaufuse.localization.instances import ActivationGroups

KINDS = ("mean", "maximum", "uniform", "instance", "released")

Instances = tuple[np.ndarray, np.ndarray]  # (N, 2) snippets, (N,) scores
Select = Callable[[np.ndarray, np.ndarray], Instances]
Label = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Selection:
    name: str
    select: Select
    # Of a group whose activations are known: its confidences are means of them. None: `select`.
    of_activations: Callable[[VideoClass], Instances] | None = None

    def of(self, group: VideoClass) -> Instances:
        if not len(group.scores):  # nothing selects from nothing
            return group.segments, group.scores
        if self.of_activations is not None:
            return self.of_activations(group)
        return self.select(group.segments, group.scores)


@dataclass(frozen=True)
class Labelling:
    name: str
    label: Label

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return self.name.split()[0]


def selections(quick: bool) -> list[Selection]:
    """Before fusion, after NMS, after Gaussian weighted fusion."""
    chosen = [Selection("raw", lambda segments, scores: (segments, scores))]
    chosen += [_nms(threshold) for threshold in (0.3, 0.45)]
    # The release's overlap with temperatures around its own, and what preset general has.
    fusions = [
        ("candidate", 0.25, 0.02),
        ("candidate", 0.25, 0.2),
        ("candidate", 0.25, 1.0),
        ("iou", 0.35, 0.02),
        ("iou", 0.35, 0.1),
        ("iou", 0.35, 1.0),
    ]
    chosen += [_fusion(*fusion) for fusion in (fusions[1:5:3] if quick else fusions)]
    # Instances as [instances] of a configuration makes them: filtered, with mean confidences.
    wide = _fusion("iou", 0.35, 0.1)
    kept = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0)]
    chosen += [_mean_confidences(wide, *settings) for settings in kept]
    return [*chosen, _mean_confidences(_fusion("iou", 0.75, 0.1), 0.3, 1.0)]


def labellings(selection: Selection, quick: bool) -> list[Labelling]:
    """Those worth a look for a selection: the whole LinPro grid before fusion and for one fusion,
    a coarse one for the others, none after NMS."""
    chosen = [
        Labelling("mean", mean_of_covering),
        Labelling("maximum", maximum_of_covering),
    ]
    if selection.name.startswith("NMS"):
        return chosen
    small = quick or selection.name not in ("raw", _fusion("iou", 0.35, 0.1).name)
    chosen += [Labelling("uniform default", _linpro())]
    chosen += [*_variants(), *_term_weights(small), *_prices_of_instances(small)]
    return [*chosen, Labelling("released", _linpro(formulation="released"))]


def _variants() -> Iterator[Labelling]:
    """The default with one thing changed."""
    for changed in (
        {"sparsity_weight": 0.0},
        {"sparsity_weight": 1e-4},
        {"weights": "confidence"},
        {"weights": "exponential"},
        {"variation_weight": 0.1},
        {"variation_weight": 1.0},
        {"rows": "contrast_mean"},
        {"constraint": "hard"},
        {"prices": "instance"},
    ):
        ((name, value),) = changed.items()
        yield Labelling(f"uniform {name}={value}", _linpro(**changed))


def _term_weights(small: bool) -> Iterator[Labelling]:
    """Prices of snippets without the anchor, the anchor with each other term, and all three.
    Only ratios of weights matter."""
    weights = [
        (1.0, 0.0, 0.0),
        (1.0, 1.0, 0.0),
        (1.0, 10.0, 0.0),
        (0.1, 0.0, 1.0),
        (0.0, 0.1, 1.0),
        (0.05, 0.05, 1.0),
        (0.07, 0.05, 1.0),
        (0.1, 0.05, 1.0),
        (0.1, 0.1, 1.0),
        (0.2, 0.1, 1.0),
    ]
    for a, b, c in weights[1:2] if small else weights:
        yield Labelling(
            f"uniform a={a:g} b={b:g} c={c:g}",
            _linpro(confidence_weight=a, uniformity_weight=b, anchor_weight=c),
        )


def _prices_of_instances(small: bool) -> Iterator[Labelling]:
    """The method's first form: prices of instances, a = 1, no anchor."""
    uniformities = (0.1, 1.0, 10.0) if small else (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    for rows in ("mean", "contrast_mean"):
        for b in uniformities:
            for g in (1e-3,) if small else (0.0, 1e-3):
                yield Labelling(
                    f"instance {rows} b={b:g} g={g:g}",
                    _linpro(
                        prices="instance",
                        rows=rows,
                        confidence_weight=1.0,
                        uniformity_weight=b,
                        anchor_weight=0.0,
                        sparsity_weight=g,
                    ),
                )


def _linpro(**options: object) -> Label:
    def label(segments: np.ndarray, scores: np.ndarray, num_snippets: int) -> np.ndarray:
        solved = gx.linpro_labels(
            torch.from_numpy(segments), torch.from_numpy(scores), num_snippets, **options
        )
        return solved.labels.numpy()

    return label


def _nms(threshold: float) -> Selection:
    def select(segments: np.ndarray, scores: np.ndarray) -> Instances:
        keep = gx.nms(torch.from_numpy(segments), torch.from_numpy(scores), threshold).numpy()
        keep = keep[keep >= 0]
        return segments[keep], scores[keep]

    return Selection(f"NMS {threshold:g}", select)


def _fusion(overlap: str, threshold: float, temperature: float) -> Selection:
    def select(segments: np.ndarray, scores: np.ndarray) -> Instances:
        fused = gx.fuse_segments(
            torch.from_numpy(segments),
            torch.from_numpy(scores),
            temperature=temperature,
            threshold=threshold,
            overlap=overlap,
        )
        count = int(fused.counts)
        return fused.segments[:count].numpy(), fused.scores[:count].numpy()

    return Selection(f"fusion {overlap}>{threshold:g} tau={temperature:g}", select)


def _mean_confidences(fusion: Selection, keep: float, share_of_best: float) -> Selection:
    config = InstancesConfig(confidence="mean", keep=keep, share_of_best=share_of_best)

    def select(group: VideoClass) -> Instances:
        segments, scores = fusion.select(group.segments, group.scores)
        nothing = torch.zeros(0)
        fused = gx.FusedSegments(
            torch.from_numpy(segments)[None],
            torch.from_numpy(scores)[None],
            torch.tensor([len(scores)]),
            nothing,
            nothing,
        )
        activations = torch.from_numpy(group.activations)[None]
        one = torch.zeros(1, dtype=torch.int64)
        groups = ActivationGroups(one, one, torch.ones(1), activations, one + activations.shape[1])
        segments, confidences, counts = pseudo_instances(fused, groups, config)
        return segments[0, : int(counts)].numpy(), confidences[0, : int(counts)].numpy()

    name = f"{fusion.name}, inner means, keep {keep:g}, share {share_of_best:g}"
    return Selection(name, fusion.select, select)


def mean_of_covering(segments: np.ndarray, scores: np.ndarray, num_snippets: int) -> np.ndarray:
    """(T,) mean score of the instances that cover a snippet, zero where none does: the least
    squares counterpart of LinPro's second requirement."""
    covering = _covering(segments, num_snippets)
    count = covering.sum(axis=0)
    return np.divide(scores @ covering, count, out=np.zeros(num_snippets), where=count > 0)


def maximum_of_covering(segments: np.ndarray, scores: np.ndarray, num_snippets: int) -> np.ndarray:
    """(T,) the best score of the instances that cover a snippet, zero where none does."""
    covering = _covering(segments, num_snippets)
    best = np.where(covering, scores[:, None], -np.inf).max(axis=0, initial=-np.inf)
    return np.where(np.isfinite(best), best, 0.0)


def _covering(segments: np.ndarray, num_snippets: int) -> np.ndarray:
    """(N, T) bool, with the integer parts of boundaries, as LinPro has it."""
    time = np.arange(num_snippets)
    starts, ends = segments.astype(int).T[:, :, None]
    return (starts <= time) & (time < ends)


def labels_of(group: VideoClass, instances: Instances, labelling: Labelling) -> np.ndarray:
    """(T,) in [0, 1], as labels must be: scores may lie outside. No instance: zero."""
    num_snippets = len(group.truth)
    if not len(instances[1]):
        return np.zeros(num_snippets)
    return np.clip(labelling.label(*instances, num_snippets), 0.0, 1.0)
