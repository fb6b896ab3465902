"""Where a step's time goes: by part of the method, forward and backward, and by kind of work.

On one CPU thread, in its own time (what other programs take of the machine does not count), each
operation the fastest of several steps. What a backward operation belongs to is known by autograd's
sequence numbers: those that were handed out while a part ran forward.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.training.inputs import VIDEOS, RandomVideos, epoch_of, training_step
from benchmarks.training.steps import Case
from gaufuse.benchmark.timing import torch_threads
from gaufuse.labels import pipeline, pseudo_labels
from gaufuse.labels.pseudo_labels import make_labels
from gaufuse.model import losses, rskp
from gaufuse.model.class_memory import ClassMemory
from gaufuse.model.rskp import SnippetModel

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
REST = "everything else"
PYTHON = "Python, between operations"
# Of a step and of a refresh; inner ones take their time from those around them.
SCOPES: tuple[tuple[str, Any, str], ...] = (
    ("representatives (EM)", SnippetModel, "forward"),
    ("embedding", SnippetModel, "embed"),
    ("propagation", rskp, "propagate"),
    ("prediction head", SnippetModel, "predict"),
    ("video losses", losses, "_foreground"),
    ("video losses", losses, "_background"),
    ("snippet losses", losses, "_attention"),
    ("snippet losses", losses, "_self_distillation"),
    ("snippet losses", losses, "_pseudo_labels"),
    ("class memory", ClassMemory, "recall"),
    ("class memory", ClassMemory, "update"),
    ("optimiser", torch.optim.Adam, "step"),
    ("reading a batch", RandomVideos, "batch"),
    ("activations, classes", pseudo_labels, "groups_of"),
    ("proposals and fusion", pipeline, "find_instances"),
    ("pseudo instances, LinPro", pseudo_labels, "labels_of"),
    ("label statistics", pseudo_labels.LabelTally, "add"),
)


class _Operations(TorchDispatchMode):
    """The thread's own time of each operation in turn, with its part, direction and kind."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.of: list[tuple[str, str, str]] = []
        self._part = REST
        self._parts: list[str] = [REST]  # since the sequence number beside it
        self._numbers: list[int] = [0]

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What runs meanwhile belongs to it."""
        outer = self._part
        self._enter(name)
        try:
            yield
        finally:
            self._enter(outer)

    def _enter(self, name: str) -> None:
        self._part = name
        self._parts.append(name)
        self._numbers.append(torch.autograd._get_sequence_nr())

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        started = time.thread_time()
        result = function(*args, **(kwargs or {}))
        self.seconds.append(time.thread_time() - started)
        name = function.name().removeprefix("aten::").partition(".")[0]
        node = torch._C._current_autograd_node()
        part, direction = self._part, "forward"
        if node is not None:
            last = bisect.bisect_right(self._numbers, node._sequence_nr()) - 1
            part, direction = self._parts[last], "backward"
        self.of.append((part, direction, "product" if name in PRODUCTS else "other"))
        return result


@contextlib.contextmanager
def _watched(operations: _Operations) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for part, owner, name in SCOPES:
            stack.enter_context(_wrapped(operations, part, owner, name))
        yield


@contextlib.contextmanager
def _wrapped(operations: _Operations, part: str, owner: Any, name: str) -> Iterator[None]:
    own = vars(owner).get(name)  # None: inherited
    function = getattr(owner, name)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with operations.part(part):
            return function(*args, **kwargs)

    setattr(owner, name, call)
    try:
        yield
    finally:
        delattr(owner, name) if own is None else setattr(owner, name, own)


def measure_parts(call: Callable[[], object], repeats: int = 5) -> list[dict[str, Any]]:
    """A row a part: seconds forward and backward, and how much of both are matrix products; last
    what is between operations."""
    with torch_threads(1):
        call()  # fills the memory, warms up
        seconds: list[float] | None = None
        whole = float("inf")
        of: list[tuple[str, str, str]] = []
        for _ in range(repeats):
            operations = _Operations()
            with _watched(operations), operations:
                call()
            new, of = operations.seconds, operations.of
            before = seconds or new
            seconds = [min(pair) for pair in zip(before, new, strict=True)]
            whole = min(whole, _seconds(call))
    assert seconds is not None, "repeats is at least 1"
    rows: dict[str, dict[str, Any]] = {}
    for (part, direction, kind), own in zip(of, seconds, strict=True):
        row = rows.setdefault(
            part, {"part": part, "forward": 0.0, "backward": 0.0, "products": 0.0}
        )
        row[direction] += own
        row["products"] += own if kind == "product" else 0.0
    rest = max(0.0, whole - sum(seconds))
    between = {"part": PYTHON, "forward": rest, "backward": 0.0, "products": 0.0}
    return [*rows.values(), between]


def measure_step_and_refresh(
    length: int, feature_dim: int, repeats: int = 5
) -> list[dict[str, Any]]:
    """The parts of a step and of a refresh of ten videos of so many snippets, with their floors:
    forward and backward of the embedding layer alone, and its forward."""
    cpu = torch.device("cpu")
    case = Case([length] * VIDEOS, feature_dim, cpu)
    step = training_step(feature_dim, cpu)
    layer = torch.nn.Linear(feature_dim, feature_dim)
    snippets = case.batch.features.flatten(0, 1)

    def train() -> None:
        step(case.videos.batch(list(range(VIDEOS))), case.target, epoch_of(step.config))

    def refresh() -> None:
        make_labels(step.model, case.videos, step.config, 0, cpu)

    @torch.no_grad()
    def forward() -> None:
        layer(snippets).relu_()

    cases = []
    for name, call, floor in (("step", train, case.floor()), ("refresh", refresh, forward)):
        rows = measure_parts(call, repeats)
        seconds = _fastest(floor, repeats)
        cases.append({"case": f"{name}, T = {length}", "parts": rows, "floor_seconds": seconds})
    return cases


def _fastest(call: Callable[[], object], repeats: int) -> float:
    with torch_threads(1):
        call()
        return min(_seconds(call) for _ in range(repeats))


def _seconds(call: Callable[[], object]) -> float:
    started = time.thread_time()
    call()
    return time.thread_time() - started


def show_parts(case: dict[str, Any]) -> None:
    """The table of one case."""
    rows, floor = case["parts"], case["floor_seconds"]
    whole = sum(row["forward"] + row["backward"] for row in rows)
    print(f"{case['case']}, one thread: {whole:.3f} s, {whole / floor:.2f} of its floor; ms")
    products = {row["part"]: row["products"] for row in rows}
    of_embedding = sum(products.values()) / products["embedding"]
    print(f"{'':30}{'forward':>9}{'backward':>10}{'products':>10}{'share':>8}")
    for row in rows:
        own = row["forward"] + row["backward"]
        print(
            f"{row['part']:30}{1e3 * row['forward']:9.1f}{1e3 * row['backward']:10.1f}"
            f"{1e3 * row['products']:10.1f}{own / whole:8.1%}",
            flush=True,
        )
    print(f"all matrix products: {of_embedding:.2f} of the embedding's", flush=True)
