"""An object array of feature arrays in one .npy file, which may be gigabytes, read video by video.

The pickle in the file is walked once. Array data is not read but its place noted, so that the walk
takes no memory to speak of; a video's features are read when they are asked for. Nothing of the
pickle is ever called: NumPy's constructors are replaced by ones that take notes, anything else is
refused.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from gaufuse.utils.plain_pickle import (
    Constructor,
    PlainUnpickler,
    check_shape,
    encode_latin1,
    make_dtype,
)
from gaufuse.utils.safe_load import read_npy_header

NOTED_BYTES = 4096  # shorter data is read with the pickle


@dataclass(frozen=True)
class _Place:
    """Where data lies in the file. Python 3 wrote bytes of old protocols as text."""

    offset: int
    length: int
    text: bool


class _NotedArray:
    """An array of the pickle, its data perhaps a place in the file."""

    def __init__(self, *_: object):
        self.shape: tuple[int, ...] = ()
        self.dtype = np.dtype(object)
        self.fortran = False
        self.data: Any = None

    def set_state(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array without a valid state")
        _, shape, dtype, fortran, self.data = state
        if not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("an array without a valid type")
        self.shape, self.dtype, self.fortran = check_shape(shape), dtype, bool(fortran)


def _note_array_of_buffer(data: object, dtype: object, shape: object, order: object) -> _NotedArray:
    """As NumPy pickles arrays since protocol 5. (Of two axes all orders are C or F.)"""
    if order not in ("C", "F"):
        raise pickle.UnpicklingError(f"refused order {order!r:.80}")
    noted = _NotedArray()
    noted.set_state((1, shape, dtype, order == "F", data))
    return noted


def _encode(text: object, encoding: object = "latin1") -> object:
    return text if isinstance(text, _Place) else encode_latin1(text, encoding)


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): Constructor(_NotedArray),
    ("numpy._core.multiarray", "_reconstruct"): Constructor(_NotedArray),
    ("numpy.core.numeric", "_frombuffer"): Constructor(_note_array_of_buffer),
    ("numpy._core.numeric", "_frombuffer"): Constructor(_note_array_of_buffer),
    ("numpy", "ndarray"): None,  # only named
    ("numpy", "dtype"): Constructor(make_dtype),
    ("_codecs", "encode"): Constructor(_encode),
}


class _NotingUnpickler(PlainUnpickler):
    """Its opcodes for long data note the place and skip it."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(PlainUnpickler.dispatch)

    def __init__(self, file: BinaryIO):
        super().__init__(file, _NAMES)
        self._raw = file
        self._size = os.fstat(file.fileno()).st_size

    def set_state(self, value: object, state: object) -> None:
        if isinstance(value, _NotedArray):
            value.set_state(state)
        else:
            super().set_state(value, state)

    def _note(self, length: int, text: bool) -> None:
        place = _Place(self._raw.tell(), length, text)
        if length > self._size - place.offset:
            raise pickle.UnpicklingError(f"names {length} bytes, more than the file has")
        if length >= NOTED_BYTES:
            self._raw.seek(length, os.SEEK_CUR)
            self.append(place)
        elif text:
            self.append(self._raw.read(length).decode("utf-8", "surrogatepass"))
        else:
            self.append(self._raw.read(length))

    def load_binstring(self) -> None:
        (length,) = struct.unpack("<i", self.read(4))
        if length < 0:
            raise pickle.UnpicklingError("a string of negative length")
        self._note(length, text=False)

    def load_long_bytes(self) -> None:
        self._note(struct.unpack("<I", self.read(4))[0], text=False)

    def load_very_long_bytes(self) -> None:
        self._note(struct.unpack("<Q", self.read(8))[0], text=False)

    def load_long_text(self) -> None:
        self._note(struct.unpack("<I", self.read(4))[0], text=True)

    dispatch[pickle.BINSTRING[0]] = load_binstring
    dispatch[pickle.BINBYTES[0]] = load_long_bytes
    dispatch[pickle.BINBYTES8[0]] = load_very_long_bytes
    dispatch[pickle.BYTEARRAY8[0]] = load_very_long_bytes
    dispatch[pickle.BINUNICODE[0]] = load_long_text


class PickledArrays:
    """The arrays (T, D) of the file, as a sequence that reads one at a time.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._plain: np.ndarray | None = None
        self._noted: list[_NotedArray] = []
        try:
            self._open()
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} does not exist") from None
        except Exception as error:  # whatever the bytes of a broken file lead to
            raise ValueError(f"{path} is not a readable array of arrays ({error})") from None

    def _open(self) -> None:
        with self.path.open("rb") as file:
            shape, dtype = read_npy_header(file)
            if not dtype.hasobject:  # videos of equal length became one array
                self._plain = np.load(self.path, mmap_mode="r", allow_pickle=False)
                if self._plain.ndim != 3:
                    raise ValueError(f"shape {shape}: one array (T, D) a video was expected")
                return
            outer = _NotingUnpickler(file).load()
        if not isinstance(outer, _NotedArray) or not isinstance(outer.data, list):
            raise ValueError("it holds no object array")
        if outer.shape != shape or shape != (len(outer.data),):
            raise ValueError(f"shape {shape}: one array (T, D) a video was expected")
        for i, noted in enumerate(outer.data):
            _check(noted, i)
        self._noted = outer.data

    def __len__(self) -> int:
        return len(self._noted) if self._plain is None else len(self._plain)

    def __getitem__(self, i: int) -> np.ndarray:
        if self._plain is not None:
            return np.array(self._plain[i])
        noted = self._noted[i]
        data = noted.data
        if isinstance(data, _Place):
            with self.path.open("rb") as file:
                file.seek(data.offset)
                raw = file.read(data.length)
            data = raw.decode("utf-8").encode("latin1") if data.text else raw
        elif isinstance(data, str):
            data = data.encode("latin1")
        if len(data) != _bytes_of(noted):
            raise ValueError(f"{self.path}: array {i} has {len(data)} bytes for {noted.shape}")
        flat = np.frombuffer(data, noted.dtype)
        return flat.reshape(noted.shape, order="F" if noted.fortran else "C")


def _bytes_of(noted: _NotedArray) -> int:
    return noted.dtype.itemsize * noted.shape[0] * noted.shape[1]


def _check(noted: object, i: int) -> None:
    if not isinstance(noted, _NotedArray) or len(noted.shape) != 2 or noted.dtype.kind != "f":
        raise ValueError(f"entry {i} is not an array (T, D) of floats")
    data = noted.data
    if isinstance(data, _Place):
        # Text takes one or two bytes for a byte of data.
        most = 2 * _bytes_of(noted) if data.text else _bytes_of(noted)
        if not _bytes_of(noted) <= data.length <= most:
            raise ValueError(f"array {i} has {data.length} bytes for shape {noted.shape}")
    elif not isinstance(data, bytes | str):
        raise ValueError(f"array {i} has no data")
