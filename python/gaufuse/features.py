"""The feature files of a data set's videos, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gaufuse.safe_load import load_array


class FeatureFiles(Sequence[torch.Tensor]):
    """Features (T, dim) float16 or float32 by index, from features/<video>.npy.

    Shapes are read and checked at once, values when a video is first asked for (see `check`). A
    file is mapped, so only what the page cache has no room for is read again; with `in_memory`, a
    video that was read stays. May be used by several threads.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong there.
    """

    def __init__(self, paths: list[Path], dim: int, in_memory: bool = False):
        self.paths = paths
        self.dim = dim
        self.in_memory = in_memory
        shapes = [_shape(path, dim) for path in paths]
        self.lengths = [length for length, _ in shapes]
        self._bytes = [length * dim * size for length, size in shapes]
        self._finite = [False] * len(paths)
        self._kept: dict[int, torch.Tensor] = {}

    @property
    def nbytes(self) -> int:
        return sum(self._bytes)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        i = range(len(self))[i]
        if i in self._kept:
            return self._kept[i]
        # The map is closed with the last tensor on it: thousands of videos do not need as many
        # open files.
        array = _open(self.paths[i], self.dim)
        if len(array) != self.lengths[i]:
            raise ValueError(f"{self.paths[i]} was changed while it was in use")
        if not self._finite[i]:
            _check_finite(array, self.paths[i])
            self._finite[i] = True
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if self.in_memory:
            array = np.array(array)
            self._kept[i] = torch.from_numpy(array)
            return self._kept[i]
        return torch.from_numpy(array)

    def select(self, videos: list[int]) -> FeatureFiles:
        chosen = object.__new__(FeatureFiles)
        chosen.paths = [self.paths[i] for i in videos]
        chosen.dim, chosen.in_memory = self.dim, self.in_memory
        chosen.lengths = [self.lengths[i] for i in videos]
        chosen._bytes = [self._bytes[i] for i in videos]
        chosen._finite = [self._finite[i] for i in videos]
        chosen._kept = {new: self._kept[old] for new, old in enumerate(videos) if old in self._kept}
        return chosen


def _shape(path: Path, dim: int) -> tuple[int, int]:
    """Snippets, and bytes of a value."""
    array = _open(path, dim)
    return len(array), array.dtype.itemsize


def _open(path: Path, dim: int) -> np.ndarray:
    array = load_array(path, mapped=True)
    if array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(f"{path} must have shape (snippets, {dim}), got {array.shape}")
    if len(array) == 0:
        raise ValueError(f"{path} has no snippet; remove the video or extract its features again")
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(f"{path} must hold floats, got {array.dtype}")
    return array


def _check_finite(array: np.ndarray, path: Path) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        snippet = int(np.flatnonzero(bad.any(axis=1))[0])
        raise ValueError(
            f"{path} has {int(bad.sum())} NaN or infinite values, first in snippet {snippet}"
        )
