"""Features in a file per video, or in HDF5 files of many. Read without trust."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from gaufuse.data.formats.csv_features import read_csv
from gaufuse.data.formats.hdf5_features import arrays_in, read_hdf5
from gaufuse.data.formats.source import Orientation, ReadFeatures, SourceOptions
from gaufuse.utils.safe_load import BROKEN, check_unpacked_size, load_array, load_pickle
from gaufuse.utils.torch_files import is_whole, load_torch_file
from gaufuse.utils.video_names import ByName
from gaufuse.utils.visible import is_visible
from gaufuse_ext.array_types import Array
from gaufuse_ext.name_templates import split_template, take_apart

HDF5 = (".h5", ".hdf5", ".hdf")
SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".pkl", ".csv", *HDF5)
ARRAY_NAMES = ("feats", "features", "feature", "feat", "arr_0")  # in an .npz, .pt or .pkl of many
LOOKED_AT = 32  # files whose shapes tell the layout


@dataclass(frozen=True)
class FeaturePlace:
    """Where a video's features are."""

    path: Path
    key: str | None = None  # of an array in an HDF5 file

    def __str__(self) -> str:
        return str(self.path) if self.key is None else f"{self.path}[{self.key}]"


@dataclass(frozen=True)
class ArrayLayout:
    """What the axes of a file's array are."""

    orientation: Orientation = "td"  # (snippets, dimensions), or the other way round
    crops: Literal["mean"] | int | None = None  # which of several crops; None: there are none
    crop_axis: int = 0


class FeatureFolder:
    """The features of a folder and its subfolders, or of one HDF5 file, by the videos' names, in
    whichever Unicode form these are written.

    Raises:
        FileNotFoundError, ValueError: no such folder, two places for one video, or a template
            without {video}.
    """

    def __init__(self, root: Path, options: SourceOptions, only: Iterable[Path] | None = None):
        split_template(options.template)
        if not root.exists():
            raise FileNotFoundError(f"{root} does not exist: name the folder with --features")
        if root.is_file() and root.suffix.lower() not in HDF5:
            raise ValueError(f"{root} is not a folder, nor an HDF5 file ({', '.join(HDF5)})")
        self.root = root
        self._options = options
        places = list(_places(root, [root] if only is None else only))
        if any(place.path.suffix.lower() != ".csv" for _, place in places):
            # Beside features of another kind, tables are lists of videos or of classes.
            places = [(name, at) for name, at in places if at.path.suffix.lower() != ".csv"]
        found: dict[str, FeaturePlace] = {}
        for name, place in places:
            video = take_apart(options.template, name)
            if video is None:
                continue
            if video in found:
                raise ValueError(
                    f"video {video!r} has two feature files: {found[video]} and {place}"
                )
            found[video] = place
        self.places = ByName(found, root)

    def without(self, videos: Iterable[str]) -> list[str]:
        """The names of the other videos that it has features of."""
        known = set(map(self.places.form, videos))
        return sorted(name for name in self.places if self.places.form(name) not in known)

    def reader(self, video: str, layout: ArrayLayout) -> ReadFeatures | None:
        """Reads the video's features when it is called; None where it has none here."""
        place = self.places.get(video)
        return None if place is None else partial(read_features, place, layout)

    def layout(self, otherwise: Orientation | None = None) -> ArrayLayout:
        """What the arrays' axes are, as the options say or as the shapes of some files tell: the
        axis that videos differ in is that of the snippets.

        Args:
            otherwise: the orientation where files do not tell; None makes that an error.
        """
        options = self._options
        wanted = options.orientation
        if not self.places or (wanted != "auto" and options.crops is None):
            return ArrayLayout("td" if wanted == "auto" else wanted, options.crops)
        places = list(self.places.values())
        some = places[:: max(1, len(places) // LOOKED_AT)][:LOOKED_AT]
        shapes = [_shape(place, options.crops is not None) for place in some]
        axis = self._crop_axis([shape for shape in shapes if len(shape) == 3])
        if wanted == "auto":
            flat = [s if len(s) == 2 else s[:axis] + s[axis + 1 :] for s in shapes]
            wanted = self._orientation(flat, otherwise)
        return ArrayLayout(wanted, options.crops, axis)

    def _orientation(
        self, shapes: list[tuple[int, ...]], otherwise: Orientation | None
    ) -> Orientation:
        same = [len({shape[axis] for shape in shapes}) == 1 for axis in (0, 1)]
        if same[0] != same[1]:
            return "td" if same[1] else "dt"
        if otherwise is not None:
            return otherwise
        raise ValueError(
            f"{self.root}: shapes such as {shapes[0]} do not tell whether features are (snippets, "
            "dimensions) or the other way round; say --orientation td or --orientation dt"
        )

    def _crop_axis(self, shapes: list[tuple[int, ...]]) -> int:
        if self._options.crop_axis is not None:
            return self._options.crop_axis
        if not shapes:
            return 0
        same = [len({shape[axis] for shape in shapes}) == 1 for axis in (0, 1)]
        if same[0] != same[1]:
            return 0 if same[0] else 1
        # There are fewer crops than snippets or dimensions.
        if same[0] and all(shape[0] < shape[1] for shape in shapes):
            return 0
        raise ValueError(
            f"{self.root}: shapes such as {shapes[0]} do not tell which axis is that of the crops; "
            "say --crop-axis 0 or --crop-axis 1"
        )


def _places(root: Path, folders: Iterable[Path]) -> Iterable[tuple[str, FeaturePlace]]:
    """All that may be a video's features, by the name that it has there."""
    if root.is_file():
        for name, key in arrays_in(root, one_video=False).items():
            yield name, FeaturePlace(root, key)
        return
    for path in sorted(p for folder in folders for p in folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES or not is_visible(path, root) or not path.is_file():
            continue
        if suffix in HDF5:
            for name, key in arrays_in(path, one_video=True).items():
                yield name, FeaturePlace(path, key)
        else:
            yield path.name.removesuffix(path.suffix), FeaturePlace(path)


def read_features(place: FeaturePlace | Path, layout: ArrayLayout | None = None) -> Array:
    """(T, D) floats, of the type that they are stored in.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    place = place if isinstance(place, FeaturePlace) else FeaturePlace(place)
    layout = layout or ArrayLayout()
    array = _without_single_axes(_read(place), layout.crops is not None)
    if array.dtype.kind == "f" and array.ndim == 3 and layout.crops is None:
        raise ValueError(
            f"{place} has shape {array.shape}: features of several crops? Say --crops mean, or "
            "--crops N for the one of that number"
        )
    if array.ndim not in (2, 3) or array.dtype.kind != "f":
        raise ValueError(
            f"{place} must hold a 2-D array of floats, got {array.dtype} {array.shape}"
        )
    if layout.crops is not None:
        array = _crop(
            array if array.ndim == 3 else array[None], layout.crops, layout.crop_axis, place
        )
    return array.T if layout.orientation == "dt" else array


def _crop(array: Array, which: Literal["mean"] | int, axis: int, place: FeaturePlace) -> Array:
    if which == "mean":
        mean: Array = array.mean(axis, np.result_type(array.dtype, np.float32))
        return mean
    crops = array.shape[axis]
    if not 0 <= which < crops:
        raise ValueError(
            f"{place} has {crops} crops, of shape {array.shape}: there is no --crops {which}"
        )
    crop: Array = array.take(which, axis)
    return crop


def _without_single_axes(array: Array, cropped: bool) -> Array:
    """Extractors keep axes of one batch, one pixel: (1, T, D), (T, 1, 1, D)."""
    wanted = 3 if cropped else 2
    while array.ndim > wanted and 1 in array.shape:
        array = array.squeeze(array.shape.index(1))
    return array


def _shape(place: FeaturePlace, cropped: bool) -> tuple[int, ...]:
    """As it is stored, but for single axes."""
    if cropped:
        return _without_single_axes(_read(place), cropped).shape
    return read_features(place).shape


def _read(place: FeaturePlace) -> Array:
    path, suffix = place.path, place.path.suffix.lower()
    if place.key is not None:
        return read_hdf5(path, place.key)
    if suffix == ".csv":
        return read_csv(path)
    if suffix == ".npy":
        return load_array(path, mapped=True)
    if suffix == ".npz":
        return _read_npz(path)
    if suffix == ".pkl":
        return _the_array(load_pickle(path), path)
    return _the_array(load_torch_file(path), path)


def _read_npz(path: Path) -> Array:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        check_unpacked_size(size, path.stat().st_size)
        with np.load(path, allow_pickle=False) as arrays:
            name = _choose(list(arrays), path)
            array: Array = arrays[name]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except (*BROKEN, zipfile.BadZipFile, zlib.error, OSError, RuntimeError) as error:
        raise ValueError(f"{path} is not a readable .npz ({error})") from None
    return array


def _the_array(value: object, path: Path) -> Array:
    if isinstance(value, dict):
        value = value[_choose(list(value), path)]
    if isinstance(value, torch.Tensor):
        value = value.detach()
        if not is_whole(value):
            raise ValueError(f"{path} holds a tensor of {tuple(value.shape)} without its values")
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{path} holds {type(value).__name__}, not an array")
    return value


def _choose(names: list[Any], path: Path) -> Any:
    if len(names) == 1:
        return names[0]
    known = [name for name in ARRAY_NAMES if name in names]
    if not known:
        raise ValueError(
            f"{path} holds {', '.join(map(str, names)) or 'nothing'}; one array, or one of "
            f"{', '.join(ARRAY_NAMES)}, was expected"
        )
    return known[0]
