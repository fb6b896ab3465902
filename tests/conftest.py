"""Fixtures: the real data (GAUFUSE_DATA_ROOT), threads, the GPU and its emulation."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch; see gaufuse/cli/__init__.py

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, settings

import gaufuse_ext as gx
from cuda_emulation.build import CannotBuild, build
from cuda_emulation.emulation import Emulation

if TYPE_CHECKING:
    from gaufuse.data.dataset import Dataset

# `benchmarks` is a package of the repository, not of the installation, which comes first.
sys.path.append(str(Path(__file__).parents[1]))

MOST_EMULATED = 200  # segments or snippets of an operation's own tests

settings.register_profile(
    "gaufuse", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gaufuse")


def _data_root() -> Path | None:
    root = os.environ.get("GAUFUSE_DATA_ROOT")
    return Path(root) if root and Path(root).is_dir() else None


def pytest_report_header() -> str:
    root = _data_root()
    data = "real data: present" if root else "real data: absent (set GAUFUSE_DATA_ROOT): skipped"
    return f"{data}; CUDA device: {'present' if _has_gpu() else 'absent: gpu tests are skipped'}"


def pytest_configure() -> None:
    """Of several processes of tests (pytest-xdist), each computes with its share of the threads."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = max(2, torch.get_num_threads() // workers)
    if share < torch.get_num_threads():
        torch.set_num_threads(share)


def _has_gpu() -> bool:
    return bool(gx.build_info()["cuda_available"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        devices = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
        if _suits_emulation(metafunc):
            devices.append("emulated")
        metafunc.parametrize("device", devices, indirect=True, scope="session")


def _suits_emulation(metafunc: pytest.Metafunc) -> bool:
    """Of modules that are marked `emulation`; nothing is said of the CPU's threads, and of random
    examples test_cuda_emulated.py has a few."""
    mark = metafunc.definition.get_closest_marker("emulation")
    return (
        mark is not None
        and mark.args != (False,)
        and "set_threads" not in metafunc.fixturenames
        and not getattr(metafunc.function, "is_hypothesis_test", False)
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_data = pytest.mark.skip(reason="GAUFUSE_DATA_ROOT is not set or no folder")
    no_gpu = pytest.mark.skip(reason="no CUDA device, or a build without CUDA")
    for item in items:
        if "real_data" in item.keywords and _data_root() is None:
            item.add_marker(no_data)
        if "gpu" in item.keywords and not _has_gpu():
            item.add_marker(no_gpu)


@pytest.fixture
def data_root() -> Path:
    root = _data_root()
    if root is None:
        pytest.skip("GAUFUSE_DATA_ROOT is not set or no folder")
    return root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Where tests of `gaufuse convert` write a data set in another layout (field_layouts.py)."""
    return tmp_path / "source"


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """The tiny data set that they write."""
    from field_layouts import original  # which brings all of training along

    return original(tmp_path / "original")


# Of the session, so that hypothesis tests may use it: a device has no state to reset per example.
@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """CPU, CUDA, or the emulated one, which takes tensors of the CPU."""
    return torch.device("cpu" if request.param == "emulated" else request.param)


@pytest.fixture(autouse=True)
def _kernels_of_the_device(request: pytest.FixtureRequest) -> None:
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if parameters.get("device") != "emulated":
        return
    if any(type(x) is int and x > MOST_EMULATED for x in parameters.values()):
        pytest.skip("too large to be run thread by thread")
    request.getfixturevalue("emulated_kernels")


@pytest.fixture
def emulated_kernels(emulation: Emulation) -> Iterator[None]:
    """Operations on CPU tensors run their CUDA kernels (tests/cuda_emulation)."""
    with emulation.active():
        yield


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """torch.set_num_threads, undone afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def emulation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Emulation:
    cache = getattr(request.config, "cache", None)  # none with -p no:cacheprovider
    folder = cache.mkdir("cuda_emulation") if cache else tmp_path_factory.mktemp("cuda_emulation")
    try:
        return Emulation(build(folder))
    except CannotBuild as error:
        pytest.skip(f"the CUDA emulation cannot be built: {error}")
