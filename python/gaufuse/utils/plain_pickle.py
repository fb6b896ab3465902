"""Pickles of arrays and plain values, read without trust.

A pickle is a program for a small machine that builds lists, tuples, dicts, numbers and strings, and
calls what it names. Here it can call only what a reader offers as a `Constructor`, can set the
state only of what the reader says, and takes no more memory than a small multiple of its file:
lengths are believed only where the file is that long, places in the memo are keys and not the sizes
of a list, and there is an end to the number of steps.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import struct
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

import numpy as np

MAX_STEPS = 20_000_000  # a list of a million annotations takes a few million

# What builds plain values. Left out: persistent ids, extension codes, objects of classes, buffers
# beside the pickle.
_OPCODES = [
    "MARK",
    "STOP",
    "POP",
    "POP_MARK",
    "DUP",
    "FLOAT",
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "NONE",
    "NEWTRUE",
    "NEWFALSE",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "APPEND",
    "APPENDS",
    "LIST",
    "EMPTY_LIST",
    "DICT",
    "EMPTY_DICT",
    "SETITEM",
    "SETITEMS",
    "TUPLE",
    "EMPTY_TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
    "GET",
    "BINGET",
    "LONG_BINGET",
    "PUT",
    "BINPUT",
    "LONG_BINPUT",
    "MEMOIZE",
    "PROTO",
    "FRAME",
    "GLOBAL",
    "STACK_GLOBAL",
    "REDUCE",
    "BUILD",
]

# Numbers, text and objects, in the spelling of pickles: f8, <U12, |b1.
_DTYPE_NAME = re.compile(r"[<>|=]?(?:[biufc]\d{1,2}|[SaU]\d{1,9}|O\d?|[?])")


class Constructor:
    """What a name in a pickle stands for. Only the reader calls it; nothing can be set on it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]):
        self._function = function

    def construct(self, arguments: object) -> object:
        """What the pickle meant to call."""
        if not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("a call without a tuple of arguments")
        return self._function(*arguments)


class PlainUnpickler(pickle._Unpickler):
    """Python's own unpickler in Python, less than half of it.

    Args:
        file: stands where the pickle begins.
        names: what (module, name) stands for; anything else is refused.
    """

    # Python's own, of which typeshed does not know.
    read: Callable[[int], bytes]
    append: Callable[[object], None]
    stack: list[Any]

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        ord(getattr(pickle, name)): pickle._Unpickler.dispatch[ord(getattr(pickle, name))]
        for name in _OPCODES
    }

    def __init__(self, file: BinaryIO, names: dict[tuple[str, str], Any]):
        super().__init__(_BoundedFile(file), encoding="latin1")
        self._names = names
        self._copied_bytes = 0
        self._most_bytes = os.fstat(file.fileno()).st_size

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for."""
        if (module, name) not in self._names:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}")
        return self._names[module, name]

    def load(self) -> Any:
        """The value; raises whatever a broken pickle leads to."""
        try:
            return super().load()
        except KeyError as error:
            raise pickle.UnpicklingError(f"refused opcode or unknown key {error}") from None

    def load_frame(self) -> None:
        """Passes over it: a frame is only a hint for buffering."""
        self.read(8)

    def load_reduce(self) -> None:
        """A call, of a `Constructor` only."""
        arguments = self.stack.pop()
        named = self.stack[-1]
        if not isinstance(named, Constructor):
            raise pickle.UnpicklingError(f"refused to call {type(named).__name__}")
        self.stack[-1] = named.construct(arguments)

    def load_build(self) -> None:
        """The state of what was built last."""
        state = self.stack.pop()
        self.set_state(self.stack[-1], state)

    def set_state(self, value: object, state: object) -> None:
        """Of arrays and their types; readers of other things say of what else."""
        if isinstance(value, np.dtype):
            set_dtype_state(value, state)
        elif isinstance(value, np.ndarray):
            checked = _checked_array_state(value, state)
            self._copied_bytes += len(checked[4])  # NumPy copies what is of another byte order
            if self._copied_bytes > self._most_bytes:
                raise pickle.UnpicklingError("arrays share their data, more than the file has")
            value.__setstate__(checked)
        else:
            raise pickle.UnpicklingError(f"refused to set the state of {type(value).__name__}")

    def load_bytearray8(self) -> None:
        """Bytes, to which nothing can be appended. (Python's own makes room before it reads.)"""
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(length))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build


class _BoundedFile:
    """A file that is never asked for more than it has, nor without end."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._steps = 0
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        if count == 1:  # an opcode, or a small operand
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise pickle.UnpicklingError(f"more than {MAX_STEPS} steps")
        elif count > self._size - self._file.tell():
            raise EOFError("the file is cut off")
        return self._file.read(count)


def make_dtype(name: object, align: object = False, copy: object = True) -> np.dtype:
    """A type of its own, whose byte order can be set."""
    if isinstance(name, bytes):
        name = name.decode("latin1")
    if not isinstance(name, str) or not _DTYPE_NAME.fullmatch(name):
        raise pickle.UnpicklingError(f"refused type {name!r:.80}")
    return np.dtype(name, copy=True)


def set_dtype_state(dtype: np.dtype, state: object) -> None:
    """Byte order only: NumPy believes the rest, which could call numbers pointers."""
    if not isinstance(state, tuple):
        raise pickle.UnpicklingError(f"refused state of type {dtype}: {state!r:.80}")
    fits = (
        len(state) == 8
        and state[0] == 3
        and state[1] in ("<", ">", "|", "=")
        and state[2:5] == (None, None, None)
        and state[5] in (-1, dtype.itemsize)
        and state[6] in (-1, dtype.alignment)
        and state[7] in (0, dtype.flags)  # 0: whoever wrote it did not say
    )
    if not fits:
        raise pickle.UnpicklingError(f"refused state of type {dtype}: {state!r:.80}")
    dtype.__setstate__((*state[:7], dtype.flags))  # type: ignore[attr-defined]  # of NumPy's


def check_shape(shape: object) -> tuple[int, ...]:
    """Sizes, none so large that products of them would be no numbers."""
    if not isinstance(shape, tuple) or len(shape) > 32:
        raise pickle.UnpicklingError("an array without a valid shape")
    if not all(type(n) is int and 0 <= n < 1 << 48 for n in shape):
        raise pickle.UnpicklingError("an array without a valid shape")
    return shape


def _make_array(kind: object, shape: object, code: object) -> np.ndarray:
    """Empty, as NumPy begins all arrays that it pickles; the state brings the rest."""
    if kind is not _NDARRAY or shape != (0,):
        raise pickle.UnpicklingError("an array that does not begin empty")
    return np.empty(0, np.int8)


def _checked_array_state(array: np.ndarray, state: object) -> Any:
    if not isinstance(state, tuple) or len(state) != 5 or array.shape != (0,):
        raise pickle.UnpicklingError("an array without a valid state")
    version, shape, dtype, fortran, data = state
    size = math.prod(check_shape(shape))
    if not isinstance(dtype, np.dtype):
        raise pickle.UnpicklingError("an array without a valid type")
    if not isinstance(version, int) or not isinstance(fortran, int):
        raise pickle.UnpicklingError("an array without a valid state")
    if dtype.hasobject:
        fits = isinstance(data, list) and len(data) == size
    else:
        fits = isinstance(data, bytes | str) and len(data) == size * dtype.itemsize
    if not fits:
        raise pickle.UnpicklingError(f"an array of shape {shape} without its data")
    return state


def _make_array_of_buffer(
    data: object, dtype: object, shape: object, order: object, axes: object = None
) -> np.ndarray:
    """What NumPy pickles arrays by since protocol 5, where the buffer is in the pickle. Arrays of
    one buffer share it, and cannot be written to."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject or dtype.itemsize == 0:
        raise pickle.UnpicklingError("an array without a valid type")
    sizes = check_shape(shape)
    if not isinstance(data, bytes) or len(data) != math.prod(sizes) * dtype.itemsize:
        raise pickle.UnpicklingError(f"an array of shape {shape} without its data")
    flat = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    if order == "K":  # of the axes in memory; those of the array are in another order
        if not isinstance(axes, tuple) or sorted(axes) != list(range(len(sizes))):
            raise pickle.UnpicklingError("an array without the order of its axes")
        return flat.reshape(sizes).transpose(axes)
    if order not in ("C", "F") or axes is not None:
        raise pickle.UnpicklingError(f"refused order {order!r:.80}")
    return flat.reshape(sizes, order="F" if order == "F" else "C")


def _make_scalar(dtype: object, data: object = b"") -> object:
    if isinstance(data, str):  # Python 2's
        data = data.encode("latin1")
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a number without type and bytes")
    if len(data) != dtype.itemsize or not data:
        raise pickle.UnpicklingError("a number without its bytes")
    number: object = np.frombuffer(data, dtype)[0]
    return number


def encode_latin1(text: object, encoding: object = "latin1") -> bytes:
    """Bytes, as Python 3 writes them in an old protocol."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"refused encoding {encoding!r:.80}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """As Python 3 writes them in an old protocol."""
    return b""


_NDARRAY = object()  # a name for _make_array's argument, and nothing that could be called

ARRAY_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Constructor(make_dtype),
    ("_codecs", "encode"): Constructor(encode_latin1),
    ("__builtin__", "bytes"): Constructor(_empty_bytes),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    ARRAY_NAMES[_module, "_reconstruct"] = Constructor(_make_array)
    ARRAY_NAMES[_module, "scalar"] = Constructor(_make_scalar)
for _module in ("numpy.core.numeric", "numpy._core.numeric"):
    ARRAY_NAMES[_module, "_frombuffer"] = Constructor(_make_array_of_buffer)


def load_plain_pickle(file: BinaryIO) -> object:
    """What a pickle of arrays and plain values holds; raises whatever a broken one leads to."""
    return PlainUnpickler(file, ARRAY_NAMES).load()
