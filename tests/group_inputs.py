"""Inputs of the operations that take ragged groups of scored segments.

Two sources, for two purposes: `make_groups` fills groups of a given size with values of one kind
(sizes around warps, words and blocks are where kernels go wrong), `drawn_groups` is a hypothesis
strategy over small groups of values that collide (it shrinks to a readable counterexample).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st

DTYPES = (torch.float32, torch.float64)
# Around a warp, a 64-bit word, a block, and the capacities at which the CUDA block size changes.
SIZES = (0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1024, 1025)
KINDS = ("real", "grid", "equal_scores", "negative", "denormal", "huge", "one_point")


@dataclass(frozen=True)
class Groups:
    """Ragged groups; whatever lies past `counts` is NaN, which no operation may look at."""

    segments: torch.Tensor  # (G, N, 2)
    scores: torch.Tensor  # (G, N)
    weights: torch.Tensor  # (G, N)
    counts: torch.Tensor  # (G,)

    def to(self, device: torch.device) -> Groups:
        return Groups(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The valid part of each group in float64: what the references get."""
        for g, count in enumerate(self.counts.tolist()):
            yield tuple(
                x[g, :count].cpu().double().numpy()
                for x in (self.segments, self.scores, self.weights)
            )

    @property
    def scale(self) -> float:
        """The largest magnitude of any valid boundary or score: the unit of rounding errors."""
        return max((np.abs(x).max() for group in self for x in group[:2] if x.size), default=0.0)


def batch(groups: list[tuple[np.ndarray, ...]], dtype: torch.dtype, capacity: int) -> Groups:
    """(segments, scores, weights) of each group -> padded tensors."""
    padded = Groups(
        torch.full((len(groups), capacity, 2), torch.nan, dtype=dtype),
        torch.full((len(groups), capacity), torch.nan, dtype=dtype),
        torch.full((len(groups), capacity), torch.nan, dtype=dtype),
        torch.tensor([len(group[1]) for group in groups], dtype=torch.int64),
    )
    for g, group in enumerate(groups):
        for tensor, values in zip(
            (padded.segments, padded.scores, padded.weights), group, strict=True
        ):
            tensor[g, : len(values)] = torch.from_numpy(np.array(values, dtype=np.float64))
    return padded


def make_groups(kind: str, size: int, dtype: torch.dtype, groups: int = 2) -> Groups:
    """Groups of `size` segments and fewer: the first is full, the others shrink."""
    rng = np.random.default_rng([KINDS.index(kind), size])
    counts = [max(0, size - g * (1 + size // 3)) for g in range(groups)]
    return batch([_fill(kind, count, dtype, rng) for count in counts], dtype, size)


def _fill(
    kind: str, count: int, dtype: torch.dtype, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = rng.uniform(0.0, 4.0 * count + 1.0, count)
    lengths = rng.exponential(6.0, count)
    scores, weights = rng.uniform(0.0, 1.0, (2, count))
    if kind == "grid":  # duplicates, touching segments, zero lengths, tied scores and weights
        starts, lengths = rng.integers(0, 12, (2, count)).astype(float)
        lengths = np.maximum(lengths - 4.0, 0.0)
        scores, weights = rng.integers(0, 3, (2, count)) / 4.0
    elif kind == "equal_scores":
        scores = np.full(count, 0.5)
    elif kind == "negative":
        starts, scores, weights = starts - 2.0 * count, -scores, -weights
    elif kind == "denormal":
        tiny = torch.finfo(dtype).smallest_normal / 256.0
        starts, lengths, scores, weights = rng.integers(0, 200, (4, count)) * tiny
    elif kind == "huge":
        starts, lengths, scores, weights = (
            x * 1e30 for x in (starts, lengths, scores - 0.5, weights)
        )
    elif kind == "one_point":
        starts, lengths = np.full(count, 7.0), np.zeros(count)
    return np.stack([starts, starts + lengths], axis=1), scores, weights


_boundaries = st.sampled_from([-3.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 12.75])
_scores = st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5, 0.5000001, 0.75, 1.0, 1e30])


@st.composite
def drawn_groups(draw: st.DrawFn) -> Groups:
    """Up to three groups of up to six segments each, with ties of every kind."""
    dtype = draw(st.sampled_from(DTYPES))
    segment = st.tuples(_boundaries, _boundaries).map(sorted)
    entries = draw(st.lists(st.lists(st.tuples(segment, _scores, _scores), max_size=6), max_size=3))
    room = draw(st.integers(0, 2))
    groups = [
        (
            np.array([entry[0] for entry in group]).reshape(-1, 2),
            np.array([entry[1] for entry in group]),
            np.array([entry[2] for entry in group]),
        )
        for group in entries
    ]
    return batch(groups, dtype, room + max((len(group) for group in entries), default=0))


def rounding(dtype: torch.dtype, scale: float) -> dict[str, float]:
    """Tolerance of a mean computed in double and stored in `dtype`, of values up to `scale`.

    One rounding for float32; for float64 the sums' order may differ, over up to 1025 terms, and
    denormals may keep no more than 12 bits.
    """
    info = torch.finfo(dtype)
    if dtype == torch.float32:
        return {"rtol": 0.0, "atol": info.eps * scale + info.smallest_normal * info.eps}
    return {"rtol": 0.0, "atol": 64.0 * info.eps * scale + info.smallest_normal * 2.0**-16}
