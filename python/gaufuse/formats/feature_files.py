"""Features in a file per video: .npy, .npz, .pt, .pth, .pkl. Read without trust."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gaufuse.formats.source import ReadFeatures
from gaufuse.safe_load import load_array, load_pickle

SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".pkl")
ARRAY_NAMES = ("feats", "features", "feature", "feat", "arr_0")  # in an .npz, .pt or .pkl of many
MAX_BYTES = 8 << 30  # a video's features are not larger; an archive that unpacks to more is refused
LOOKED_AT = 32  # files whose shapes tell the orientation


class FeatureFolder:
    """The feature files of a folder and its subfolders, by the videos' names.

    Raises:
        ValueError: two files for one video, or a template without {video}.
    """

    def __init__(self, root: Path, template: str = "{video}", only: Iterable[Path] | None = None):
        if template.count("{video}") != 1:
            raise ValueError(f"--template must contain {{video}} once, got {template!r}")
        if not root.is_dir():
            raise FileNotFoundError(f"{root} does not exist: name the folder with --features")
        self.root = root
        before, after = template.split("{video}")
        subfolders = [root] if only is None else only
        self.paths: dict[str, Path] = {}
        for path in sorted(p for folder in subfolders for p in folder.rglob("*")):
            name = path.name.removesuffix(path.suffix)
            fits = name.startswith(before) and name.endswith(after)
            if path.suffix not in SUFFIXES or not fits or not path.is_file():
                continue
            video = name[len(before) : len(name) - len(after)]
            if video in self.paths:
                raise ValueError(
                    f"video {video!r} has two feature files: {self.paths[video]} and {path}"
                )
            self.paths[video] = path

    def reader(self, video: str, orientation: str) -> ReadFeatures | None:
        path = self.paths.get(video)
        return None if path is None else partial(read_features, path, orientation)

    def orientation(self, wanted: str, otherwise: str | None = None) -> str:
        """Returns "td" or "dt": the axis whose size all videos share is that of the dimensions.

        Args:
            wanted: "td" or "dt" is returned as it is; "auto" looks at files.
            otherwise: the answer where files do not tell; None makes that an error.
        """
        if wanted != "auto" or not self.paths:
            return "td" if wanted == "auto" else wanted
        paths = list(self.paths.values())
        shapes = [_shape(path) for path in paths[:: max(1, len(paths) // LOOKED_AT)][:LOOKED_AT]]
        same = [len({shape[axis] for shape in shapes}) == 1 for axis in (0, 1)]
        if same[0] != same[1]:
            return "td" if same[1] else "dt"
        if otherwise is not None:
            return otherwise
        raise ValueError(
            f"{self.root}: shapes such as {shapes[0]} do not tell whether features are (snippets, "
            "dimensions) or the other way round; say --orientation td or --orientation dt"
        )


def read_features(path: Path, orientation: str = "td") -> np.ndarray:
    """(T, D) floats of a file.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    array = _read(path)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ValueError(f"{path} must hold a 2-D array of floats, got {array.dtype} {array.shape}")
    return array.T if orientation == "dt" else array


def _shape(path: Path) -> tuple[int, int]:
    return read_features(path).shape


def _read(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return load_array(path, mapped=True)
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".pkl":
        return _the_array(load_pickle(path), path)
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of old protocols
            value = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is not a readable tensor file ({reason})") from None
    return _the_array(value, path)


def _read_npz(path: Path) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise ValueError(f"it unpacks to {size >> 30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            name = _choose(list(arrays), path)
            return arrays[name]
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} is not a readable .npz ({error})") from None


def _the_array(value: object, path: Path) -> np.ndarray:
    if isinstance(value, dict):
        value = value[_choose(list(value), path)]
    if isinstance(value, torch.Tensor):
        value = value.detach()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{path} holds {type(value).__name__}, not an array")
    return value


def _choose(names: list, path: Path) -> object:
    if len(names) == 1:
        return names[0]
    known = [name for name in ARRAY_NAMES if name in names]
    if not known:
        raise ValueError(
            f"{path} holds {', '.join(map(str, names)) or 'nothing'}; one array, or one of "
            f"{', '.join(ARRAY_NAMES)}, was expected"
        )
    return known[0]
