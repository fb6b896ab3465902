"""Other ways to do what an operation does, and whether they are at hand on this machine."""

from __future__ import annotations

import ctypes
import importlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

Inputs = tuple[Any, ...]  # tensors (G, ...), and numbers that are the same for all groups


def unchanged(inputs: Inputs) -> Inputs:
    """`Version.prepare` of versions that take the kernel's own inputs."""
    return inputs


def first_groups(inputs: Inputs, groups: int) -> Inputs:
    """The inputs of the first `groups` groups alone."""
    return tuple(x[:groups] if isinstance(x, torch.Tensor) else x for x in inputs)


@dataclass(frozen=True)
class Version:
    """One way to do an operation.

    It gets the first groups of a case alone where all of them would take too long.
    """

    call: Callable[[Any], object]  # timed; of what `prepare` returns
    prepare: Callable[[Inputs], object] = unchanged  # not timed
    cpu_only: bool = False
    threaded: bool = False  # uses torch's threads
    group_bytes: Callable[[Inputs], int] = lambda inputs: 0  # memory that one group takes


def reference(name: str, loop: Callable, group_bytes: Callable[[Inputs], int]) -> dict:
    """`loop(reference function, arrays of one group)` over the groups, in NumPy.

    Empty where `gaufuse_ext.reference` has no such function.
    """
    function = reference_function(name)
    if function is None:
        return {}

    def call(groups: list) -> None:
        for group in groups:
            loop(function, *group)

    return {"reference": Version(call, to_numpy, cpu_only=True, group_bytes=group_bytes)}


def reference_function(name: str) -> Callable | None:
    """The NumPy twin of an operation; None where there is none."""
    try:
        function: Callable = getattr(importlib.import_module(f"gaufuse_ext.reference.{name}"), name)
    except ImportError:
        return None
    return function


def to_numpy(inputs: Inputs) -> list:
    """The arrays (and numbers) of each group."""
    groups = len(inputs[0])
    columns = (
        x.cpu().double().numpy() if isinstance(x, torch.Tensor) else [x] * groups for x in inputs
    )
    return list(zip(*columns, strict=True))


def vectorised(call: Callable, group_bytes: Callable[[Inputs], int]) -> dict[str, Version]:
    """`call(*inputs)`, in torch operations, where the kernel runs."""
    return {"torch": Version(lambda x: call(*x), threaded=True, group_bytes=group_bytes)}


def highs(call: Callable) -> dict[str, Version]:
    """`call(*inputs)`: reduced programs of one component each, in HiGHS objects that are kept."""
    return {"highs": Version(lambda x: call(*x), cpu_only=True)}


def dense_linprog() -> dict[str, Version]:
    """LinPro as the release solves it, one dense scipy.optimize.linprog over all snippets per
    group (min sum(x) s.t. M x = q). Empty where there is no scipy."""
    try:
        from scipy.optimize import linprog
    except ImportError:
        return {}
    membership = reference_function("interval_membership")
    if membership is None:
        return {}

    def call(groups: list) -> None:
        for segments, scores, num_snippets in groups:
            matrix = membership(segments, num_snippets)
            linprog([1.0] * num_snippets, A_eq=matrix, b_eq=scores, bounds=(0, 1))

    return {"scipy": Version(call, to_numpy, cpu_only=True)}


def torchvision_nms(iou_threshold: float) -> dict[str, Version]:
    """Segments as boxes of height one. torchvision suppresses at > threshold, not at >=."""
    try:
        from torchvision import ops
    except (ImportError, RuntimeError):  # RuntimeError: built for another torch
        return {}

    def prepare(inputs: Inputs) -> Inputs:
        segments, scores = inputs
        groups, size = scores.shape
        boxes = segments.new_zeros((groups * size, 4))
        boxes[:, 0::2] = segments.reshape(-1, 2)
        boxes[:, 3] = 1.0
        group = torch.arange(groups, device=scores.device).repeat_interleave(size)
        return boxes, scores.reshape(-1), group

    def call(prepared: Inputs) -> torch.Tensor:
        boxes, scores, group = prepared
        if len(group) and int(group[-1]) == 0:
            return ops.nms(boxes, scores, iou_threshold)
        return ops.batched_nms(boxes, scores, group, iou_threshold)

    return {"torchvision": Version(call, prepare)}


def actionformer(call_group: Callable[[ModuleType, torch.Tensor, torch.Tensor], object]) -> dict:
    """ActionFormer's CPU extension, where it is built: `call_group(module, segments, scores)`."""
    try:
        module = importlib.import_module("nms_1d_cpu")
    except ImportError:
        return {}

    def prepare(inputs: Inputs) -> list[Inputs]:
        return list(zip(*(x.cpu().contiguous() for x in inputs), strict=True))

    def call(groups: list[Inputs]) -> None:
        for segments, scores in groups:
            call_group(module, segments, scores)

    return {"nms_1d_cpu": Version(call, prepare, cpu_only=True)}


def actionformer_nms(iou_threshold: float) -> dict[str, Version]:
    """Hard NMS; empty where the extension is not built."""
    return actionformer(
        lambda module, segments, scores: module.nms(segments, scores, iou_threshold=iou_threshold)
    )


def actionformer_soft_nms(sigma: float, min_score: float) -> dict[str, Version]:
    """Gaussian soft-NMS; empty where the extension is not built."""

    def call_group(module: ModuleType, segments: torch.Tensor, scores: torch.Tensor) -> None:
        module.softnms(
            segments,
            scores.clone(),  # it works in place
            segments.new_empty((len(scores), 3)),
            iou_threshold=0.0,
            sigma=sigma,
            min_score=min_score,
            method=2,  # gaussian
        )

    return actionformer(call_group)


class ScalarLoops:
    """benchmarks/scalar_loops.cpp, compiled where there is a g++ and the file is there."""

    def __init__(self, source: Path | None):
        self._library: ctypes.CDLL | None = None
        compiler = shutil.which("g++")
        if source is None or not source.is_file() or compiler is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "scalar_loops.so"
            command = [compiler, "-std=c++17", "-O2", "-shared", "-fPIC", str(source)]
            subprocess.run([*command, "-o", str(library)], check=True)
            self._library = ctypes.CDLL(str(library))  # stays mapped when the file is gone

    def nms(self, iou_threshold: float) -> dict[str, Version]:
        """Hard NMS; empty where the loops could not be compiled."""
        library = self._library
        if library is None:
            return {}

        def call(inputs: Inputs) -> torch.Tensor:
            segments, scores = inputs
            keep = torch.empty_like(scores, dtype=torch.int64)
            library.scalar_nms(
                *_addresses(segments, scores),
                *_sizes(scores),
                ctypes.c_float(iou_threshold),
                *_addresses(keep),
            )
            return keep

        return _scalar(call)

    def soft_nms(self, sigma: float, min_score: float) -> dict[str, Version]:
        """Gaussian soft-NMS; empty where the loops could not be compiled."""
        library = self._library
        if library is None:
            return {}

        def call(inputs: Inputs) -> Inputs:
            segments, scores = inputs
            keep = torch.empty_like(scores, dtype=torch.int64)
            kept_scores = torch.empty_like(scores)
            library.scalar_soft_nms(
                *_addresses(segments, scores),
                *_sizes(scores),
                ctypes.c_float(sigma),
                ctypes.c_float(min_score),
                *_addresses(keep, kept_scores),
            )
            return keep, kept_scores

        return _scalar(call)


def _scalar(call: Callable[[Inputs], object]) -> dict[str, Version]:
    return {"scalar C++": Version(call, _contiguous_on_cpu, cpu_only=True)}


def _contiguous_on_cpu(inputs: Inputs) -> Inputs:
    return tuple(x.cpu().float().contiguous() for x in inputs)


def _addresses(*tensors: torch.Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def _sizes(scores: torch.Tensor) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(size) for size in scores.shape]
