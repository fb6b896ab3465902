"""Pickles that attack who reads them, written opcode by opcode."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

NDARRAY = b"cnumpy\nndarray\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
FROM_BUFFER = b"cnumpy._core.numeric\n_frombuffer\n"  # protocol 5's way to make an array
EMPTY = RECONSTRUCT + b"(" + NDARRAY + b"(I0\ntS'b'\ntR"  # an array as NumPy begins it


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def dtype(name: str) -> bytes:
    return b"cnumpy\ndtype\n(" + text(name) + b"I00\nI01\ntR"


def bytearray8(data: bytes) -> bytes:
    return b"\x96" + struct.pack("<Q", len(data)) + data


def from_buffer(
    data: bytes = bytearray8(b"A" * 8),
    kind: bytes = dtype("f8"),
    shape: bytes = b"(I1\nt",
    rest: bytes = b"S'C'\n",
) -> bytes:
    """One float64 of eight bytes in C's order, but for what is given."""
    return FROM_BUFFER + b"(" + data + kind + shape + rest + b"tR"


def attacks(marker: Path) -> dict[str, bytes]:
    """By name; those that run code would make the file `marker`."""
    command = text(f"touch {marker}")
    code = text(f"open({str(marker)!r}, 'w').close()")
    system = b"cos\nsystem\n(" + command + b"tR"
    found = {
        # Code
        "os.system": system,
        "posix.system": b"cposix\nsystem\n(" + command + b"tR",
        "subprocess": b"csubprocess\ngetoutput\n(" + command + b"tR",
        "builtins.eval": b"cbuiltins\neval\n(" + code + b"tR",
        "builtins.exec of Python 2": b"c__builtin__\nexec\n(" + code + b"tR",
        "getattr": b"cbuiltins\ngetattr\n(cos\nsystem\nS'x'\ntR",
        "importlib": b"cimportlib\nimport_module\n(S'os'\ntR",
        "STACK_GLOBAL": b"\x80\x04" + text("os") + text("system") + b"\x93(" + command + b"tR",
        "dotted name": b"\x80\x04" + text("numpy") + text("core.os.system") + b"\x93("
        + command + b"tR",
        "numpy's own exec": b"cnumpy.testing._private.utils\nrunstring\n(" + code + b"}tR",
        "numpy's own eval": b"cnumpy\nsafe_eval\n(" + code + b"tR",
        "INST": b"(" + command + b"iposix\nsystem\n",
        "OBJ": b"(cposix\nsystem\n" + command + b"o",
        "NEWOBJ": b"\x80\x02cposix\nsystem\n(" + command + b"t\x81",
        "in the arguments of NumPy's": RECONSTRUCT + b"(" + NDARRAY + b"(I0\nt" + system + b"tR",
        "in an array's state": EMPTY + b"(I1\n(I1\nt" + dtype("O8") + b"I00\n(" + system + b"ltb",
        "in a dict's key": b"}(" + system + b"I1\nu",
        "in a list that is popped": b"(" + system + b"0l",
        "persistent id": b"P" + str(marker).encode() + b"\n",
        "persistent id on the stack": text(str(marker)) + b"Q",
        "extension code": b"\x82\x01",
        "torch's loader": b"ctorch.storage\n_load_from_bytes\n(" + text("x") + b"tR",
        # State of what was named, and of what was built
        "BUILD of a function": b"c_codecs\nencode\n(N}" + text("__defaults__") + b"(S'zlib'\ntstb",
        "BUILD of a type": NDARRAY + b"}" + text("__reduce__") + b"I1\nsb",
        "BUILD of a dtype that calls numbers pointers": EMPTY + b"(I1\n(I1\nt" + dtype("f8")
        + b"(I3\nS'|'\nNNNI8\nI1\nI63\ntbI00\nC\x08AAAAAAAAtb",
        "BUILD of a dtype with fields": dtype("f8") + b"(I3\nS'|'\nN(S'a'\nt}S'a'\n(" + dtype("O8")
        + b"I0\ntsI8\nI1\nI0\ntb",
        "a call of what was built": EMPTY + b")R",
        "encodings": b"c_codecs\nencode\n(" + text("x") + text("zlib") + b"tR",
        "types of subarrays": dtype("(1000000,1000000)f8"),
        # Memory
        "LONG4": b"\x8b\xff\xff\xff\x7f",
        "BINBYTES": b"B\xff\xff\xff\xff",
        "BINBYTES8": b"\x8e" + struct.pack("<Q", 1 << 40),
        "BINUNICODE8": b"\x8d" + struct.pack("<Q", 1 << 62),
        "BYTEARRAY8": b"\x96" + struct.pack("<Q", 1 << 34),
        "FRAME and BINBYTES8": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60)
        + b"\x8e" + struct.pack("<Q", 1 << 33),
        "a large array": RECONSTRUCT + b"(" + NDARRAY + b"(L1000000000000L\ntS'b'\ntR",
        "an array by its type": NDARRAY + b"((L100000000000L\nttR",
        "an array's state without its data": EMPTY + b"(I1\n(L4000000000L\nt" + dtype("f8")
        + b"I00\nC\x08AAAAAAAAtb",
        "an array's negative shape": EMPTY + b"(I1\n(I-1\nI-1\nt" + dtype("i1") + b"I00\nC\x01Atb",
        "an array of nothing": EMPTY + b"(I1\n(L9223372036854775807\nL4\nt" + dtype("f8")
        + b"I00\nC\x00tb",
        "a string type of gigabytes": b"cnumpy.core.multiarray\nscalar\n(" + dtype("S2000000000")
        + b"C\x00tR",
        "an array twice": EMPTY + b"p0\n(I1\n(I1\nt" + dtype("i1") + b"I00\nC\x01Atbg0\n(I1\n(I1\nt"
        + dtype("i1") + b"I00\nC\x01Atb",
        # Buffers of protocol 5
        "a buffer of pointers": from_buffer(kind=dtype("O8")),
        "a buffer smaller than its array": from_buffer(shape=b"(L1000000000000L\nt"),
        "a buffer larger than its array": from_buffer(bytearray8(b"A" * 16)),
        "a buffer of a shape that is to be found": from_buffer(shape=b"(I-1\nt"),
        "a buffer of an empty type": from_buffer(bytearray8(b""), dtype("S0"), b"(t"),
        "a buffer of a type by its name": from_buffer(kind=b"S'f8'\n"),
        "a buffer of text": from_buffer(b"S'AAAAAAAA'\n"),
        "a buffer of a list": from_buffer(b"(I1\nl"),
        "a buffer of an array": from_buffer(from_buffer()),
        "a buffer in no order": from_buffer(rest=b"S'A'\n"),
        "a buffer with an axis twice": from_buffer(
            shape=b"(I1\nI1\nt", rest=b"S'K'\n(I0\nI0\nt"
        ),
        "a buffer with an axis too far": from_buffer(rest=b"S'K'\n(I9\nt"),
        "a buffer with axes in C's order": from_buffer(rest=b"S'C'\n(I0\nt"),
        "a buffer beside the pickle": from_buffer(b"\x97"),
        "a buffer made read-only": from_buffer(bytearray8(b"A" * 8) + b"\x98"),
        "a buffer that is appended to": bytearray8(b"A") + b"I66\na",
        "another function beside it": b"cnumpy._core.numeric\nfromfile\n(" + text(str(marker))
        + b"tR",
        "what the function sees": b"\x80\x04" + text("numpy._core.numeric")
        + text("_frombuffer.__globals__") + b"\x93",
        "a state of the function": FROM_BUFFER + b"}" + text("__defaults__") + b"Nsb",
        "an array of a buffer with another state": from_buffer()
        + b"(I1\n(I1\nt" + dtype("f8") + b"I00\nC\x08AAAAAAAAtb",
        "digits without end": b"L" + b"9" * 100_000 + b"L\n",
        # Nonsense
        "nothing": b"",
        "no STOP": b"N",
        "an empty stack": b"0",
        "no such key": b"g7\n",
        "unknown opcode": b"\xff",
        "protocol 200": b"\x80\xc8N",
        "a list as a key": b"}]Ns",
        "bad text": b"X\x02\x00\x00\x00\xff\xff",
    }  # fmt: skip
    return {
        name: body if name in ("nothing", "no STOP") else body + b"."
        for name, body in found.items()
    }


def as_npy(body: bytes, shape: tuple[int, ...] = (1,)) -> bytes:
    """An .npy file of an object array that is pickled so."""
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def shared_data(data: bytes, arrays: int) -> bytes:
    """A list of arrays of the other byte order, which NumPy would copy the same data for."""
    kind = dtype("f8") + b"(I3\nS'>'\nNNNI-1\nI-1\nI0\ntb"
    state = b"(I1\n(I%d\nt" % (len(data) // 8) + b"g1\nI00\ng2\ntb"
    begin = b"B" + struct.pack("<I", len(data)) + data + b"p2\n0" + kind + b"p1\n0"
    return begin + b"(" + (EMPTY + state) * arrays + b"l."


def shared_buffer(data: bytes, arrays: int) -> bytes:
    """A list of arrays of one buffer."""
    begin = bytearray8(data) + b"p2\n0" + dtype("f8") + b"p1\n0"
    shape = b"(I%d\nt" % (len(data) // 8)
    return begin + b"(" + from_buffer(b"g2\n", b"g1\n", shape, b"S'C'\n") * arrays + b"l."


def nested_lists(depth: int) -> bytes:
    return b"]" * depth + b"a" * (depth - 1) + b"."


def stack_of_marks(count: int) -> bytes:
    return b"(" * count


def in_dict_of_arrays(body: bytes) -> bytes:
    """In the place of an array in {"feats": ...}."""
    return b"}" + text("feats") + body.removesuffix(b".") + b"s."


assert pickle.loads(nested_lists(3)) == [[[]]]
