"""The native functions take their arguments by name and say what is wrong with them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

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


def test_stubs_are_those_of_this_build():
    spec = importlib.util.spec_from_file_location("stubs", STUBS)
    stubs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stubs)
    assert stubs.FILE.read_text() == stubs.make_stubs(), "run csrc/bindings/stubs.py"
