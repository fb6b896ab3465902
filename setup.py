"""Builds the native module with CMake and ninja; everything else is in pyproject.toml.

Environment: GAUFUSE_CUDA=AUTO|ON|OFF, TORCH_CUDA_ARCH_LIST, MAX_JOBS, CMAKE_ARGS.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


if sysconfig.get_config_var("Py_GIL_DISABLED"):
    raise SystemExit(
        "gaufuse-ext does not support free-threaded Python: highspy, which it needs, has no wheels "
        "for it, and nothing was tested there. Use the ordinary build of Python."
    )


def build_folder(cuda: str) -> Path:
    """One for each way to build, so that builds of two Pythons or two sets of flags keep apart."""
    flags = [os.environ.get(name, "") for name in ("CMAKE_ARGS", "CXX", "CXXFLAGS", "CUDACXX")]
    flags.append(os.environ.get("TORCH_CUDA_ARCH_LIST", ""))
    key = hashlib.sha256("\0".join(flags).encode()).hexdigest()[:8]
    return ROOT / "build" / f"cmake-{sysconfig.get_config_var('SOABI')}-{cuda.lower()}-{key}"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Two builds of one kind at a time would write the same files: the second waits."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another build is at work in {folder}: waiting", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class CMakeExtension(Extension):
    def __init__(self, name: str):
        super().__init__(name, sources=[])


class CMakeBuild(build_ext):
    """Configures and builds in a folder that is kept, so that a second build is incremental."""

    def build_extension(self, extension: CMakeExtension) -> None:
        import pybind11

        target = Path(self.get_ext_fullpath(extension.name)).resolve().parent
        cuda = os.environ.get("GAUFUSE_CUDA", "AUTO").upper()
        if cuda not in {"AUTO", "ON", "OFF"}:
            raise SystemExit(f"GAUFUSE_CUDA must be AUTO, ON or OFF, got {cuda!r}")
        build = build_folder(cuda)
        configure = [
            "cmake",
            f"-S{ROOT}",
            f"-B{build}",
            "-GNinja",
            f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja')}",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={target}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DGAUFUSE_CUDA={cuda}",
            f"-DGAUFUSE_VERSION={self.distribution.get_version()}",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]
        jobs = os.environ.get("MAX_JOBS") or str(os.cpu_count() or 1)
        with alone_in(build):
            subprocess.run(configure, check=True)
            subprocess.run(["cmake", "--build", str(build), "--parallel", jobs], check=True)


setup(
    ext_modules=[CMakeExtension("gaufuse_ext._native")],
    cmdclass={"build_ext": CMakeBuild},
)
