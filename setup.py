"""Builds the native module with CMake and ninja; everything else is in pyproject.toml.

Environment: GAUFUSE_CUDA=AUTO|ON|OFF, TORCH_CUDA_ARCH_LIST, MAX_JOBS, CMAKE_ARGS.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


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
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}-{cuda.lower()}"
        build.mkdir(parents=True, exist_ok=True)
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
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", str(build), "--parallel", jobs], check=True)


setup(
    ext_modules=[CMakeExtension("gaufuse_ext._native")],
    cmdclass={"build_ext": CMakeBuild},
)
