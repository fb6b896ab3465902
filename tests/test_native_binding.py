"""The native functions take their arguments by name and say what is wrong with them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gaufuse_ext
from gaufuse_ext._library import _native, call_native

STUBS = Path(__file__).resolve().parent.parent / "csrc" / "bindings" / "stubs.py"

SEGMENTS = torch.tensor([[[0.0, 4.0], [0.0, 4.0], [8.0, 9.0]]])
SCORES = torch.tensor([[0.5, 0.9, 0.1]])


class NoAddress:
    def data_ptr(self) -> str:
        return "7"


def nms_arguments(keep: torch.Tensor) -> dict[str, object]:
    return {
        "segments": SEGMENTS.data_ptr(),
        "scores": SCORES.data_ptr(),
        "counts": None,
        "keep": keep.data_ptr(),
        "workspace": None,
        "groups": 1,
        "capacity": 3,
        "iou_threshold": 0.5,
        "length_epsilon": 0.0,
        "cuda": False,
        "float64": False,
        "threads": 1,
        "stream": None,
    }


@pytest.fixture
def arguments() -> dict[str, object]:
    return nms_arguments(torch.empty(1, 3, dtype=torch.int64))


def test_order_is_of_no_account_and_names_may_be_made_at_run_time():
    for order in (list, lambda names: list(reversed(names)), sorted):
        keep = torch.empty(1, 3, dtype=torch.int64)
        given = nms_arguments(keep)
        _native.nms(**{"".join([name[:1], name[1:]]): given[name] for name in order(given)})
        assert keep.tolist() == [[1, 2, -1]]


def test_unknown_and_missing_names_are_named(arguments):
    misspelt = {"scale" if name == "segments" else name: x for name, x in arguments.items()}
    with pytest.raises(TypeError, match=r"^nms does not know scale; it lacks segments$"):
        _native.nms(**misspelt)
    with pytest.raises(TypeError, match=r"^nms does not know scale, weights$"):
        _native.nms(scale=1.0, **arguments, weights=None)
    del arguments["length_epsilon"], arguments["groups"]
    with pytest.raises(TypeError, match=r"^nms lacks groups, length_epsilon$"):
        _native.nms(**arguments)
    with pytest.raises(
        TypeError, match=r"^nms lacks segments, .* length_epsilon, cuda, float64, threads, stream$"
    ):
        _native.nms()
    with pytest.raises(TypeError, match=r"by name, got 2 without"):
        _native.greedy_workspace(4, 5)
    with pytest.raises(TypeError, match=r"^greedy_workspace does not know \?$"):
        _native.greedy_workspace(groups=1, capacity=1, **{"groups\ud800": 1})


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        (
            "segments",
            1.5,
            r"segments must be a tensor, an address \(int\) or None, got 1.5 \(float\)",
        ),
        ("segments", NoAddress(), r"nms: segments must be a tensor, .* \(NoAddress\)"),
        ("scores", True, r"scores must be a tensor, .*, got True \(bool\)"),
        ("groups", 1.0, r"nms: groups must be an int, got 1.0 \(float\)"),
        ("groups", None, r"groups must be an int, got None"),
        ("capacity", False, r"capacity must be an int, got False \(bool\)"),
        ("iou_threshold", "0.5", r"iou_threshold must be a float, got '0.5' \(str\)"),
        ("iou_threshold", True, r"iou_threshold must be a float, got True \(bool\)"),
        ("float64", 1, r"float64 must be a bool, got 1 \(int\)"),
        ("threads", 1.0, r"threads must be an int"),
    ],
)
def test_values_of_another_kind_are_errors(arguments, name, wrong, message):
    with pytest.raises(TypeError, match=message):
        _native.nms(**arguments | {name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("groups", 2**63), ("threads", 2**31), ("segments", -8), ("segments", 2**64)],
)
def test_values_too_wide_for_their_field_are_errors(arguments, name, wrong):
    with pytest.raises(OverflowError, match=f"^nms: {name} .*{wrong}"):
        _native.nms(**arguments | {name: wrong})


def test_addresses_of_no_whole_number_are_errors(arguments):
    with pytest.raises(BufferError, match=r"^nms: scores is not aligned: 0x"):
        _native.nms(**arguments | {"scores": SCORES.data_ptr() + 2})


def test_sizes_have_64_bits_and_numbers_are_doubles():
    assert _native.greedy_workspace(groups=1, capacity=2**40) == 2**41
    third = 1.0 / 3.0  # of [0, 2] and [1, 3]; a float32 would be greater
    segments, scores = torch.tensor([[[0.0, 2.0], [1.0, 3.0]]]), torch.tensor([[0.9, 0.5]])
    for threshold, expected in ((third, [0, -1]), (third + 2**-53, [0, 1])):
        keep = torch.empty(1, 2, dtype=torch.int64)
        given = {"segments": segments, "scores": scores, "counts": None, "keep": keep}
        sizes = {"workspace": None, "groups": 1, "capacity": 2}
        call_native(
            _native.nms, segments, **given, **sizes, iou_threshold=threshold, length_epsilon=0.0
        )
        assert keep.tolist() == [expected]


def test_stubs_and_interface_are_those_of_this_build():
    spec = importlib.util.spec_from_file_location("stubs", STUBS)
    stubs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stubs)
    assert stubs.STUBS.read_text() == stubs.make_stubs(_native), "run csrc/bindings/stubs.py"
    assert stubs.INTERFACE.read_text() == stubs.make_interface(_native)


@pytest.mark.parametrize("module", ["interface = 'of another version'", "signatures = {}"])
def test_a_module_of_another_version_is_an_import_error(tmp_path, module):
    """Such as an old build beside newer Python code, whose functions take other arguments."""
    package = tmp_path / "gaufuse_ext"
    shutil.copytree(
        Path(gaufuse_ext.__file__).parent, package, ignore=shutil.ignore_patterns("*.so")
    )
    (package / "_native.py").write_text(module)
    done = subprocess.run(
        [sys.executable, "-c", "import gaufuse_ext"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: gaufuse_ext's native module, {package}/_native.py, was")
    assert "make setup" in last


LITTLE_MEMORY = """
import resource, sys
import torch
from gaufuse_ext._library import _native, call_native

torch.set_num_threads(2)
groups, capacity = 8, 200_000
starts = torch.rand(groups, capacity) * 1e6
scores = torch.rand(groups, capacity)
arguments = dict(
    segments=torch.stack([starts, starts + 1.0], -1), scores=scores, counts=None,
    keep=torch.empty(groups, capacity, dtype=torch.int64), workspace=None,
    groups=groups, capacity=capacity, iou_threshold=0.5, length_epsilon=0.0)
few = arguments | dict(capacity=1000)
call_native(_native.nms, scores, **few)  # starts the threads
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, limits[1]))
for _ in range(20):
    try:
        call_native(_native.nms, scores, **arguments)
    except MemoryError:
        print("out of memory")
resource.setrlimit(resource.RLIMIT_AS, limits)
call_native(_native.nms, scores, **arguments)
print(torch.equal(arguments["keep"][:, 0], scores.argmax(dim=1)))
"""


def test_too_little_memory_for_a_kernel_is_a_memory_error():
    """On whichever thread it happens; and afterwards calls go on."""
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["out of memory"] * 20 + ["True"]
