"""Writes gaufuse_ext/_native.pyi from the fields that the parameter structs list, and
gaufuse_ext/_native_interface.py, by which Python knows a module that is of another version.

    python csrc/bindings/stubs.py

after a change of one, and a build.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parents[2] / "gaufuse_ext"
STUBS = PACKAGE / "_native.pyi"
INTERFACE = PACKAGE / "_native_interface.py"
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
interface: str
'''


def load_native() -> ModuleType:
    """The module that lies in the package; the package itself refuses one of another version."""
    spec = importlib.machinery.PathFinder.find_spec("gaufuse_ext._native", [str(PACKAGE)])
    if spec is None or spec.loader is None:
        raise SystemExit(f"{PACKAGE} has no native module: build it first")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_stubs(native: ModuleType) -> str:
    """Text of _native.pyi."""
    return f"{HEAD}\n{''.join(_function(native, name) for name in native.signatures)}"


def make_interface(native: ModuleType) -> str:
    """Text of _native_interface.py."""
    return (
        '"""What functions the native module must have. Written by csrc/bindings/stubs.py."""\n\n'
        f'INTERFACE = "{native.interface}"  # a hash of their names and arguments\n'
    )


def _function(native: ModuleType, name: str) -> str:
    kinds = dict(native.signatures[name])
    result = kinds.pop("return")
    lines = [
        f"    {argument}: {'Address' if kind.startswith('address') else kind},\n"
        for argument, kind in kinds.items()
    ]
    return f"def {name}(\n    *,\n{''.join(lines)}) -> {result}: ...\n"


if __name__ == "__main__":
    STUBS.write_text(make_stubs(native := load_native()))
    INTERFACE.write_text(make_interface(native))
