"""The native module of an installed wheel, without torch: it must load and compute there. A
program, which .ci/matrix runs where no torch can be installed:

    python -P native_without_torch.py
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sysconfig
from pathlib import Path
from types import ModuleType

import numpy as np


def load_native() -> ModuleType:
    """From where packages are installed: the package around it would import torch."""
    package = Path(sysconfig.get_path("platlib")) / "gaufuse_ext"
    spec = importlib.machinery.PathFinder.find_spec("gaufuse_ext._native", [str(package)])
    assert spec is not None, f"no native module in {package}"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    native = load_native()
    segments = np.array([[[0.0, 4.0], [0.0, 4.0], [8.0, 9.0]]])
    scores = np.array([[0.5, 0.9, 0.1]])
    keep = np.zeros((1, 3), np.int64)
    arrays = {"segments": segments, "scores": scores, "keep": keep}
    native.nms(
        **{name: array.ctypes.data for name, array in arrays.items()},
        counts=None,
        workspace=None,
        groups=1,
        capacity=3,
        iou_threshold=0.5,
        length_epsilon=0.0,
        cuda=False,
        float64=True,
        threads=2,
        stream=None,
    )
    assert keep.tolist() == [[1, 2, -1]], keep
    print(f"{native.compiler}, {len(native.signatures)} functions")


if __name__ == "__main__":
    main()
