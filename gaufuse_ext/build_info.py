"""What this installation was built from, and with."""

from __future__ import annotations

from importlib import metadata
from typing import TypedDict

import torch

from gaufuse_ext._library import _native


class BuildInfo(TypedDict):
    """What `build_info` tells."""

    version: str
    compiler: str
    cuda: bool  # compiled in; where not, the next two are None and empty
    cuda_version: str | None
    cuda_architectures: list[str]
    cuda_available: bool  # compiled in, and torch finds a device
    threads: int  # that torch, and so our CPU kernels, use
    torch: str
    highspy: str


def build_info() -> BuildInfo:
    """Versions, the compiler, CUDA compiled in or not, and the CPU threads in use."""
    return {
        "version": _native.version,
        "compiler": _native.compiler,
        "cuda": _native.cuda,
        "cuda_version": _native.cuda_version,
        "cuda_architectures": _native.cuda_architectures.split(),
        "cuda_available": _native.cuda and torch.cuda.is_available(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "highspy": metadata.version("highspy"),
    }
