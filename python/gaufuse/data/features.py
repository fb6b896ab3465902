"""The feature files of a data set's videos, read when they are asked for."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gaufuse.utils.safe_load import PlainArrayFile
from gaufuse_ext.array_types import Array

# Features of networks are of the order of 1; from here on float32 loses what a step needs, and
# squares of 1e19 are infinite.
LARGE_FEATURE = 1e6


class FeatureFiles(Sequence[torch.Tensor]):
    """Features (T, dim) float16 or float32 by index, from features/<video>.npy.

    Shapes are read and checked at once, values when a video is first asked for. A file is mapped,
    so only what the page cache has no room for is read again; with `in_memory`, a video that was
    read stays. May be used by several threads.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong there.
    """

    def __init__(self, paths: list[Path], dim: int, in_memory: bool = False):
        self.in_memory = in_memory
        self.files = [_open(path, dim) for path in paths]
        self.lengths = [file.shape[0] for file in self.files]
        # By path: selections of the videos share them.
        self._finite: set[Path] = set()
        self._kept: dict[Path, torch.Tensor] = {}

    @property
    def nbytes(self) -> int:
        """Of all the arrays as they are stored, whether they were read or not."""
        return sum(math.prod(file.shape) * file.dtype.itemsize for file in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> torch.Tensor:  # type: ignore[override]  # no slices
        file = self.files[i]
        if file.path in self._kept:
            return self._kept[file.path]
        # The map is closed with the last tensor on it: thousands of videos do not need as many
        # open files.
        array = file.map()
        stored = array
        if array.dtype == np.float64:
            with np.errstate(over="ignore"):  # checked next
                array = array.astype(np.float32)
        if file.path not in self._finite:
            _check_finite(stored, array, file.path)
            self._finite.add(file.path)
        if not self.in_memory:
            return torch.from_numpy(array)
        self._kept[file.path] = torch.from_numpy(np.array(array))
        return self._kept[file.path]

    def select(self, videos: list[int]) -> FeatureFiles:
        """Those of the videos, in that order, sharing what was read and checked."""
        chosen = copy.copy(self)
        chosen.files = [self.files[i] for i in videos]
        chosen.lengths = [self.lengths[i] for i in videos]
        return chosen


def _open(path: Path, dim: int) -> PlainArrayFile:
    file = PlainArrayFile.read(path)
    if len(file.shape) != 2 or file.shape[1] != dim:
        raise ValueError(f"{path} must have shape (snippets, {dim}), got {file.shape}")
    if file.shape[0] == 0:
        raise ValueError(f"{path} has no snippet; remove the video or extract its features again")
    if file.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(f"{path} must hold floats, got {file.dtype}")
    return file


def _check_finite(stored: Array, used: Array, path: Path) -> None:
    """Both as it is in the file and in the type that it is used in."""
    bad = ~np.isfinite(used)
    if not bad.any():
        return
    snippet = int(np.flatnonzero(bad.any(axis=1))[0])
    if np.isfinite(stored).all():
        raise ValueError(
            f"{path} has {int(bad.sum())} values too large for {used.dtype} (up to "
            f"{np.abs(stored).max():.3g}), first in snippet {snippet}"
        )
    raise ValueError(
        f"{path} has {int(bad.sum())} NaN or infinite values, first in snippet {snippet}"
    )
