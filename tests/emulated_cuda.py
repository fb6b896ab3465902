"""The CUDA kernels on the CPU: builds tests/cuda_emulation and lets gaufuse_ext run on it."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import torch

ROOT = Path(__file__).resolve().parent.parent
EMULATION = ROOT / "tests" / "cuda_emulation"
OPERATIONS = (
    "count_proposals",  # by the kernel of threshold_proposals
    "threshold_proposals",
    "fuse_segments",
    "interval_membership",
    "linpro_labels",
    "nms",
    "segment_iou",
    "soft_nms",
    "segment_voting",
    "weighted_segments_fusion",
)
KERNELS = tuple(name for name in OPERATIONS if name != "count_proposals")  # files in csrc/cuda
# The order in which fibers run, and how many blocks a grid may have: a kernel must do with fewer
# than it asked for (it strides over the rest), and give the same bits in each.
ASCENDING, DESCENDING, SHUFFLED = range(3)
SCHEDULES = ((ASCENDING, 0, 2**32 - 1), (DESCENDING, 0, 2), (SHUFFLED, 1, 1))


class CannotBuild(Exception):
    """What is missing on this machine."""


def build(folder: Path) -> Path:
    """Compiles the emulated module, or finds it in `folder` as compiled before."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise CannotBuild("no g++ on the PATH")
    if not sys.platform.startswith("linux"):
        raise CannotBuild("the emulation needs Linux")
    python = Path(sysconfig.get_paths()["include"])
    if not (python / "Python.h").is_file():
        raise CannotBuild(f"no Python.h in {python}")
    # torch carries the headers of pybind11: nothing else need be installed.
    includes = [EMULATION, ROOT / "csrc", python, Path(torch.__file__).parent / "include"]

    # The fake headers take the place of CUDA's and CUB's. Names apart from the real module's:
    # pybind11 would not have two types of one name.
    common = ["-std=c++17", "-fPIC", "-fvisibility=hidden", "-w", "-Dgaufuse=gaufuse_emulated"]
    common += [f"-I{include}" for include in includes]
    kernels = ["-O1", "-ffp-contract=off", "-fsanitize=thread", "-x", "c++"]
    kernels += ["-DGAUFUSE_HD=inline __attribute__((always_inline))"]  # see cuda_runtime.h
    # Reads moved before the condition that they stand under would be taken for the kernel's.
    kernels += ["-fno-tree-loop-im", "-fno-move-loop-invariants", "-fno-if-conversion"]
    kernels += ["--param", "tsan-instrument-func-entry-exit=0"]
    binding = ["-O0", "-DGAUFUSE_WITH_CUDA", '-DGAUFUSE_VERSION="emulated"']
    binding += ['-DGAUFUSE_COMPILER="g++"', '-DGAUFUSE_CUDA_VERSION="emulated"']
    binding += ['-DGAUFUSE_CUDA_ARCHITECTURES="emulated"']
    jobs = {ROOT / f"csrc/bindings/{name}.cpp": binding for name in ("module", "by_name")}
    jobs |= {ROOT / f"csrc/cuda/{name}.cu": kernels for name in KERNELS}
    jobs[EMULATION / "broken_kernels.cu"] = kernels
    jobs[EMULATION / "emulator.cpp"] = ["-O2"]
    jobs[EMULATION / "cpu_kernels_absent.cpp"] = ["-O0"]

    digest = hashlib.sha256(repr((compiler, sys.version, torch.__version__, common)).encode())
    for file in sorted([*(ROOT / "csrc").rglob("*.*"), *EMULATION.rglob("*.*"), Path(__file__)]):
        digest.update(file.read_bytes())
    target = folder / digest.hexdigest()[:16] / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    if target.is_file():
        return target

    def run(*command: object) -> None:
        done = subprocess.run([str(x) for x in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stderr}")

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[0-9a-f]" * 16):
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        objects = {source: Path(temporary) / f"{source.name}.o" for source in jobs}

        def compile_one(source: Path) -> None:
            run(compiler, *common, *jobs[source], "-c", source, "-o", objects[source])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_one, jobs))
        library = Path(temporary) / target.name
        # Not -fsanitize=thread: the emulator takes the place of its run-time library.
        run(compiler, "-shared", *objects.values(), "-o", library)
        target.parent.mkdir(exist_ok=True)
        library.replace(target)
    return target


class Emulation:
    """Runs operations of gaufuse_ext with the emulated kernels, on CPU tensors."""

    def __init__(self, path: Path) -> None:
        spec = importlib.util.spec_from_file_location("gaufuse_emulated._native", path)
        self.native = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.native)
        self.library = ctypes.CDLL(str(path))
        self.library.emulation_set.argtypes = [ctypes.c_int, ctypes.c_uint64, ctypes.c_uint]
        self.library.emulation_add_buffer.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_size_t,
            ctypes.c_bool,
            ctypes.c_char_p,
        ]
        self.library.run_broken_kernel.restype = ctypes.c_char_p
        self.is_on = True
        self.launches = 0

    def set_buffers(self, tensors: list[tuple[str, torch.Tensor, bool]]) -> None:
        """(argument's name, tensor, is it an input?) of the next launch."""
        self.library.emulation_forget_buffers()
        for name, tensor, is_input in tensors:
            if tensor.numel():
                size = tensor.element_size()
                self.library.emulation_add_buffer(
                    tensor.data_ptr(), tensor.numel() * size, size, is_input, name.encode()
                )

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Every operation runs its CUDA path, in all SCHEDULES, which must agree to the bit."""
        with contextlib.ExitStack() as stack:
            for name in OPERATIONS:
                module = importlib.import_module(f"gaufuse_ext.ops.{name}")
                operation = self._operation(module, module._operation)
                stack.enter_context(mock.patch.object(module, "_operation", operation))
            yield

    def on_cpu(self, function: Callable) -> object:
        """function(), with the real CPU kernels."""
        self.is_on = False
        try:
            return function()
        finally:
            self.is_on = True

    def _operation(self, module, real: Callable) -> Callable:
        def operation(*arguments):
            if not self.is_on:
                return real(*arguments)
            results = [
                self._run(module, arguments, number, *schedule)
                for number, schedule in enumerate(SCHEDULES)
            ]
            for result, schedule in zip(results, SCHEDULES, strict=True):
                pairs = zip(_all(result), _all(results[0]), strict=True)
                for place, (found, expected) in enumerate(pairs):
                    assert _bits(found) == _bits(expected), (
                        f"result {place} of {module.__name__} is not the same in schedule "
                        f"{schedule}, or was not written in full"
                    )
            return results[0]

        return operation

    def _run(self, module, arguments, number, order, seed, max_blocks):
        allocated = []

        def garbage(allocate):
            # Other garbage for each schedule: what is not written is not the same.
            def allocate_garbage(*args, **kwargs):
                tensor = allocate(*args, **kwargs)
                tensor.flatten().view(torch.uint8).fill_((0xFF, 0x7E, 0x01)[number])
                allocated.append(tensor)
                return tensor

            return allocate_garbage

        def call(function, tensor, /, **arguments):
            tensors = {k: x for k, x in arguments.items() if isinstance(x, torch.Tensor)}
            outputs = {x.data_ptr() for x in allocated}
            self.set_buffers([(k, x, x.data_ptr() not in outputs) for k, x in tensors.items()])
            self.library.emulation_set(order, seed, max_blocks)
            addresses = {k: x.data_ptr() for k, x in tensors.items()}
            launch = {"cuda": True, "float64": tensor.dtype == torch.float64, "threads": 1}
            given = arguments | addresses | launch | {"stream": None}
            getattr(self.native, function.__name__)(**given)
            self.launches += 1

        with (
            mock.patch.object(module, "call_native", call),
            mock.patch.object(torch.Tensor, "is_cuda", True, create=True),
            mock.patch.object(torch.Tensor, "new_empty", _method(garbage, torch.Tensor.new_empty)),
            mock.patch.object(torch, "empty_like", garbage(torch.empty_like)),
        ):
            return module._implementation(*arguments)


def _method(wrap: Callable, method: Callable) -> Callable:
    wrapped = wrap(method)
    return lambda self, *args, **kwargs: wrapped(self, *args, **kwargs)


def _all(result: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.numpy().tobytes()
