"""What this installation was built from, and with."""

from __future__ import annotations

from importlib import metadata

import torch

from gaufuse_ext._library import _native


def build_info() -> dict[str, object]:
    """Version, compiler, CUDA compiled in or not, its architectures, and the CPU threads in use."""
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
