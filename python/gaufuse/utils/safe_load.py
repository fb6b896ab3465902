"""Files from outside, read without trust."""

from __future__ import annotations

import os
import pickle
import struct
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from gaufuse.utils.plain_pickle import load_plain_pickle

# What reading a broken file may raise: errors of parsers, of NumPy and of the unpickler, none of
# which say which.
BROKEN = (
    ValueError,
    EOFError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
    SyntaxError,
    AssertionError,
    struct.error,
    tokenize.TokenError,
    pickle.UnpicklingError,
)


# What a packed file may hold: so much in any case, so many times its own size, never more.
UNPACKED_ANYWAY, MOST_TIMES, MAX_UNPACKED = 1 << 28, 200, 8 << 30


def check_unpacked_size(unpacked: int, packed: int) -> None:
    """Of an archive, in bytes.

    Raises:
        ValueError: a small file that would fill the memory.
    """
    if unpacked > min(MAX_UNPACKED, max(UNPACKED_ANYWAY, MOST_TIMES * packed)):
        raise ValueError(f"it unpacks to {unpacked / 2**30:.2f} GiB")


def read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an .npy file, which then stands where its data begins."""
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(file)
    return shape, dtype


@dataclass(frozen=True)
class PlainArrayFile:
    """An .npy file that holds numbers, by its header, which is read once.

    NumPy parses headers with Python's own parser, and that fails now and then where several threads
    parse at once ("AST constructor recursion depth mismatch", CPython issue 106905). Mapping the
    data by a header that is known parses nothing.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    order: Literal["C", "F"]  # "C" or "F"
    offset: int  # of the data
    state: tuple[int, int]  # of the file when its header was read: size, time of its last change

    @classmethod
    def read(cls, path: str | Path) -> PlainArrayFile:
        """
        Raises:
            FileNotFoundError, ValueError: with the path and what is wrong.
        """
        path = Path(path)
        state = _state(path)
        array = load_array(path, mapped=True)
        if not isinstance(array, np.memmap):
            raise ValueError(f"{path} must hold numbers, got {array.dtype}")
        order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
        return cls(path, array.shape, array.dtype, order, array.offset, state)

    def map(self) -> np.ndarray:
        """The data, left in the file, which stays open while the array lives. It may be written to
        in memory; the file does not change.

        Raises:
            FileNotFoundError, ValueError: the file is gone, or not the one that it was.
        """
        if _state(self.path) != self.state:
            raise ValueError(f"{self.path} was changed while it was in use")
        array: np.ndarray = np.memmap(
            self.path, self.dtype, "c", self.offset, self.shape, self.order
        )
        return array


def _state(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    return found.st_size, found.st_mtime_ns


def load_array(path: str | Path, mapped: bool = False) -> np.ndarray:
    """An .npy file; an object array is unpickled by a loader that admits NumPy arrays of plain
    values only (also those that Python 2 wrote).

    Args:
        mapped: leave the data of a plain array in the file, which then stays open while the array
            lives. It may be written to in memory; the file does not change.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            shape, dtype = read_npy_header(file)
            if not dtype.hasobject:
                # Mapped at first in any case: a shape that the file is too short for is an error
                # then, not a huge allocation.
                array = np.load(path, mmap_mode="c", allow_pickle=False)
                return array if mapped else np.array(array)
            array = load_plain_pickle(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except BROKEN as error:
        raise ValueError(f"{path} is not a readable .npy file ({error})") from None
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise ValueError(f"{path} holds no array of the shape that its header names")
    return array


def load_pickle(path: str | Path) -> object:
    """A pickle of NumPy arrays and plain values, and of nothing else.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    try:
        with Path(path).open("rb") as file:
            return load_plain_pickle(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except BROKEN as error:
        raise ValueError(f"{path} is not a readable pickle of arrays ({error})") from None
