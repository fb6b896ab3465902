"""Features in HDF5: a file for each video, or one file with an array, or a group, for each.

Read without trust: links and arrays that lead to other files are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gaufuse.utils.extras import not_installed
from gaufuse.utils.safe_load import BROKEN, check_unpacked_size
from gaufuse_ext.array_types import Array

# In a video's group, or in its own file.
ARRAY_NAMES = ("feats", "features", "feature", "feat", "c3d_features", "data")


def arrays_in(path: Path, one_video: bool) -> dict[str, str]:
    """The places of the videos' arrays in a file, by the names of the videos.

    Args:
        one_video: whether a file with one array, or with one of a usual name, is taken for a
            video's own, which is named as the file is.

    Raises:
        ValueError: no HDF5 file, or h5py is not installed.
    """
    with _opened(path) as file:
        if one_video:
            own = _own_array(file)
            if own is not None:
                return {path.name.removesuffix(path.suffix): own}
        found: dict[str, str] = {}
        _collect(file, found, path, set())
    return found


def read_hdf5(path: Path, key: str) -> Array:
    """An array of floats, by its place in the file, such as "video/feats".

    Raises:
        ValueError: no such array, or one whose data lie elsewhere.
    """
    h5py = _library(path)
    with _opened(path) as file:
        node: Any = file
        for part in key.split("/"):
            node = _member(node, part)
        if not isinstance(node, h5py.Dataset):
            raise ValueError(f"{path} has no array {key!r}")
        if node.external or node.is_virtual:
            raise ValueError(f"{path}: the data of {key!r} lie in another file: refused")
        if node.dtype.kind != "f":
            raise ValueError(f"{path}: {key!r} must hold floats, got {node.dtype}")
        check_unpacked_size(node.size * node.dtype.itemsize, node.id.get_storage_size())
        try:
            array: Array = node[()]
        except OSError as error:
            raise ValueError(f"{path}: {key!r} cannot be read ({error})") from None
    return array


def _collect(group: Any, found: dict[str, str], path: Path, seen: set[int]) -> None:
    """`seen`: where groups lie. A group may be linked to from many places, itself among them."""
    place = _library(path).h5o.get_info(group.id).addr
    if place in seen:
        return
    seen.add(place)
    for name in group:
        node = _member(group, name)
        if node is None:
            continue
        key = node.name.lstrip("/")
        if hasattr(node, "keys"):  # a group: a video's, or one of videos
            own = _own_array(node)
            if own is None:
                _collect(node, found, path, seen)
                continue
            key = f"{key}/{own}"
        if name in found:
            raise ValueError(f"{path}: video {name!r} has two arrays: {found[name]} and {key}")
        found[name] = key


def _own_array(group: Any) -> str | None:
    """The name of the array where a group is one video's."""
    names = [name for name in group if hasattr(_member(group, name), "shape")]
    known = [name for name in ARRAY_NAMES if name in names]
    if known:
        return known[0]
    return names[0] if len(names) == 1 == len(group) else None


def _member(group: Any, name: str) -> Any:
    """None for what is not in the file itself."""
    h5py = _library(group.file.filename)
    if not isinstance(group, h5py.Group) or name not in group:
        return None
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        return None
    return group[name]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Whatever h5py raises of a damaged file, also later on, is about this file."""
    h5py = _library(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except (*BROKEN, OSError, RuntimeError) as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{path}"):
            raise
        raise ValueError(f"{path} is not a readable HDF5 file ({error})") from None


def _library(path: object) -> Any:
    try:
        import h5py
    except ImportError:
        raise not_installed(
            f"{path}: HDF5 is read by h5py, which is not installed", "hdf5"
        ) from None
    return h5py
