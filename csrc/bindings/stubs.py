"""Writes gaufuse_ext/_native.pyi from the fields that the parameter structs list.

    python csrc/bindings/stubs.py

after a change of one, and a build.
"""

from __future__ import annotations

from pathlib import Path

from gaufuse_ext import _native

FILE = Path(__file__).resolve().parents[2] / "gaufuse_ext" / "_native.pyi"
HEAD = '''\
"""The kernels, called by name (csrc/bindings). Written by csrc/bindings/stubs.py."""

from typing import Protocol, TypeAlias

class Tensor(Protocol):
    """Of torch; this module does not know it."""

    def data_ptr(self) -> int: ...

Address: TypeAlias = Tensor | int | None  # of the first element; null

class ReadDetections:
    """Detections read from JSON (csrc/gaufuse/read_detections.h)."""

    @property
    def videos(self) -> list[str]: ...
    @property
    def classes(self) -> list[str]: ...
    def __len__(self) -> int: ...
    def copy_to(self, *, segments: int, scores: int, video_ids: int, class_ids: int) -> None: ...

def read_detections(*, data: bytes, labelled: bool) -> ReadDetections | None: ...

version: str
compiler: str
cuda: bool
cuda_version: str | None
cuda_architectures: str
signatures: dict[str, dict[str, str]]
'''


def make_stubs() -> str:
    """The file's text."""
    return f"{HEAD}\n{''.join(_function(name) for name in _native.signatures)}"


def _function(name: str) -> str:
    kinds = dict(_native.signatures[name])
    result = kinds.pop("return")
    types = {argument: kind.replace("address", "Address") for argument, kind in kinds.items()}
    lines = [f"    {argument}: {kind},\n" for argument, kind in types.items()]
    return f"def {name}(\n    *,\n{''.join(lines)}) -> {result}: ...\n"


if __name__ == "__main__":
    FILE.write_text(make_stubs())
