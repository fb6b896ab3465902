"""Compiles the native module with the CUDA kernels for the CPU."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

FOLDER = Path(__file__).resolve().parent
CSRC = FOLDER.parents[1] / "csrc"


class CannotBuild(Exception):
    """What is missing on this machine."""


def build(folder: Path) -> Path:
    """Compiles the emulated module, or finds it in `folder` as compiled before, or right now by
    another process, which is waited for."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise CannotBuild("no g++ on the PATH")
    if not sys.platform.startswith("linux"):
        raise CannotBuild("the emulation needs Linux")
    python = Path(sysconfig.get_paths()["include"])
    if not (python / "Python.h").is_file():
        raise CannotBuild(f"no Python.h in {python}")
    # torch carries the headers of pybind11: nothing else need be installed.
    includes = [FOLDER, CSRC, python, Path(torch.__file__).parent / "include"]

    # The fake headers take the place of CUDA's and CUB's. Names apart from the real module's:
    # pybind11 would not have two types of one name.
    common = ["-std=c++17", "-fPIC", "-fvisibility=hidden", "-w", "-Dgaufuse=gaufuse_emulated"]
    common += [f"-I{include}" for include in includes]
    kernels = ["-O1", "-ffp-contract=off", "-fsanitize=thread", "-x", "c++"]
    kernels += ["-DGAUFUSE_HD=inline __attribute__((always_inline))"]  # see cuda_runtime.h
    # Reads moved before the condition that they stand under would be taken for the kernel's.
    kernels += ["-fno-tree-loop-im", "-fno-move-loop-invariants", "-fno-if-conversion"]
    kernels += ["--param", "tsan-instrument-func-entry-exit=0"]
    kernels += ["-fno-extern-tls-init"]  # shared memory has no constructors
    binding = ["-O0", "-DGAUFUSE_WITH_CUDA", '-DGAUFUSE_VERSION="emulated"']
    binding += ['-DGAUFUSE_COMPILER="g++"', '-DGAUFUSE_CUDA_VERSION="emulated"']
    binding += ['-DGAUFUSE_CUDA_ARCHITECTURES="emulated"']
    jobs = {CSRC / f"bindings/{name}.cpp": binding for name in ("module", "by_name")}
    jobs |= dict.fromkeys((CSRC / "cuda").glob("*.cu"), kernels)
    jobs[FOLDER / "broken_kernels.cu"] = kernels
    jobs[FOLDER / "emulator.cpp"] = ["-O2"]
    jobs[FOLDER / "cpu_kernels_absent.cpp"] = ["-O0"]

    digest = hashlib.sha256(repr((compiler, sys.version, torch.__version__, common)).encode())
    for file in sorted([*CSRC.rglob("*.[ch]*"), *FOLDER.glob("*.[ch]*"), Path(__file__)]):
        digest.update(file.read_bytes())
    target = folder / digest.hexdigest()[:16] / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_file():
            _compile(compiler, common, jobs, target)
    return target


def _compile(compiler: str, common: list[str], jobs: dict[Path, list[str]], target: Path) -> None:
    folder = target.parents[1]

    def run(*command: object) -> None:
        done = subprocess.run([str(x) for x in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stderr}")

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
