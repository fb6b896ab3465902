"""Measures operations and puts the figures together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gaufuse.benchmark.machine import available_memory, describe_machine
from gaufuse.benchmark.operations import Case, GpuTarget, Operation
from gaufuse.benchmark.timing import (
    LONG_SECONDS,
    CpuTimer,
    CudaTimer,
    Timing,
    copy_bandwidth,
    fill_bandwidth,
    peak_memory,
    torch_threads,
)
from gaufuse.benchmark.versions import Inputs, Version, first_groups

SCHEMA = 1
CPU_MEMORY = 2 << 30  # of one measurement; half of what is free where that is less
GROWTH = 16  # of the number of groups, while the time that a version needs is explored


@dataclass(frozen=True)
class Effort:
    """How long each measurement may take."""

    seconds: float  # a median covers at least this
    version_seconds: float  # groups of another version that take longer than this are extrapolated
    copy_bytes: int  # for the memory's bandwidth; beyond any cache, where it counts


FULL = Effort(seconds=0.2, version_seconds=0.5, copy_bytes=1 << 30)
QUICK = Effort(seconds=0.01, version_seconds=0.05, copy_bytes=1 << 26)


class Runner:
    """Kernels on one device; the other versions there too, or on the CPU where they know no other.

    On the CPU everything is measured with one thread and with `threads`.
    """

    def __init__(self, device: torch.device, threads: int, effort: Effort):
        self._device = device
        self._effort = effort
        self._cpu = CpuTimer()
        self._timer = CudaTimer(device) if device.type == "cuda" else self._cpu
        self._threads: list[int | None] = [None] if device.type == "cuda" else [1, threads]
        if threads == 1:
            self._threads = self._threads[:1]

    def run(
        self,
        operations: Sequence[Operation],
        quick: bool,
        advance: Callable[[str], None] = lambda note: None,
    ) -> dict[str, object]:
        """The report as it goes into the JSON file. `advance` is called `steps(...)` times."""
        bandwidth: list[dict[str, Any]] = []
        for threads in self._threads:
            advance("memory bandwidth")
            size = min(self._effort.copy_bytes, available_memory(self._device) // 8)
            with torch_threads(threads or 1):
                bandwidth.append(
                    {
                        "threads": threads,
                        "bytes_per_second": copy_bandwidth(self._timer, self._effort.seconds, size),
                        "new_memory_bytes_per_second": fill_bandwidth(
                            self._timer, self._effort.seconds, size // 4
                        ),
                    }
                )
        copied = {entry["threads"]: entry["bytes_per_second"] for entry in bandwidth}
        results = []
        for operation in operations:
            for case in cases_of(operation, quick):
                result = self._case(operation, case, advance)
                add_figures(result, copied)
                if self._device.type == "cuda" and case.name in operation.gpu_targets:
                    add_target(result, operation.gpu_targets[case.name])
                results.append(result)
        return {
            "schema": SCHEMA,
            "device": self._device.type,
            "machine": describe_machine(self._device),
            "effort": vars(self._effort) | {"quick": quick},
            "bandwidth": bandwidth,
            "results": results,
            "scaling": scaling(results),
        }

    def steps(self, operations: Sequence[Operation], quick: bool) -> int:
        """How often `run` will call `advance`."""
        versions = sum(
            len(cases_of(operation, quick)) * (1 + len(operation.versions))
            for operation in operations
        )
        return len(self._threads) + versions

    def _case(
        self, operation: Operation, case: Case, advance: Callable[[str], None]
    ) -> dict[str, object]:
        note = f"{operation.name}: {case.name}"
        advance(note)
        groups = self._groups_that_fit(case)
        inputs = case.build(groups, self._device)
        result: dict[str, object] = {
            "operation": operation.name,
            "case": case.name,
            "series": case.series,
            "groups": groups,
            "groups_in_use": case.groups,
            "size": case.size,
            "unit": operation.unit,
            "input_bytes": sum(x.nbytes for x in inputs if isinstance(x, torch.Tensor)),
            "output_bytes": _written(operation.kernel(*inputs)),
        }
        if self._device.type == "cuda":
            result["peak_bytes"] = peak_memory(lambda: operation.kernel(*inputs), self._device)
        measurements = []
        for threads in self._threads:
            with torch_threads(threads or 1):
                timing = self._timer.measure(
                    lambda: operation.kernel(*inputs), self._effort.seconds
                )
            measurements.append({"version": "kernel", "threads": threads, **vars(timing)})
        for name, version in operation.versions.items():
            advance(f"{note}: {name}")
            measurements += [
                {"version": name, **found} for found in self._version(version, inputs, groups)
            ]
        result["measurements"] = measurements
        return result

    def _groups_that_fit(self, case: Case) -> int:
        return max(1, min(case.groups, self._memory(self._device) // case.group_bytes))

    def _memory(self, device: torch.device) -> int:
        """Bytes that one measurement may take."""
        free = available_memory(device) // 2
        return free if device.type == "cuda" else min(CPU_MEMORY, free)

    def _version(self, version: Version, inputs: Inputs, groups: int) -> Iterable[dict]:
        on_cpu = version.cpu_only or self._device.type == "cpu"
        timer = self._cpu if on_cpu else self._timer
        room = self._memory(timer.device)
        needed = version.group_bytes(inputs)
        most = min(groups, room // needed if needed else groups)
        all_threads = self._threads if version.threaded or not on_cpu else [1]
        if most == 0:
            why = f"one group needs about {needed / 2**30:.0f} GiB"
            yield from ({"threads": threads, "skipped": why} for threads in all_threads)
            return
        for threads in all_threads:
            try:
                with torch_threads(threads or 1):
                    call, measured, once = self._largest(version, inputs, most, timer)
                    timing = Timing(once, once, 1)
                    if once < LONG_SECONDS:
                        timing = timer.measure(call, self._effort.seconds)
            except RuntimeError as error:  # out of memory, or an index that does not fit
                yield {"threads": threads, "skipped": str(error).partition("\n")[0]}
                continue
            scale = groups / measured
            yield {
                "threads": threads,
                "seconds": timing.seconds * scale,
                "fastest": timing.fastest * scale,
                "samples": timing.samples,
                "groups_measured": measured,
                "extrapolated": measured < groups,
            }

    def _largest(
        self, version: Version, inputs: Inputs, most: int, timer: CpuTimer | CudaTimer
    ) -> tuple[Callable[[], object], int, float]:
        """The version on as many groups as it can do within the time that it has; how many; once.

        A single group is done however long it takes.
        """
        groups = 1
        while True:
            prepared = version.prepare(first_groups(inputs, groups))

            def call(prepared: object = prepared) -> object:
                return version.call(prepared)

            seconds = timer.once(call)
            if seconds < LONG_SECONDS:  # the first call may load kernels, or start threads
                seconds = min(seconds, timer.once(call))
            more = int(min(GROWTH, self._effort.version_seconds / max(seconds, 1e-9)) * groups)
            if groups == most or more <= groups:
                return call, groups, seconds
            groups = min(most, more)


def cases_of(operation: Operation, quick: bool) -> list[Case]:
    """All cases, or the small one that takes a moment."""
    return [case for case in operation.cases if case.quick or not quick]


def add_figures(result: dict, copied: dict[int | None, float]) -> None:
    """What follows from the times: bytes a second, and how many times faster the kernel is.

    A version with threads is compared at the kernel's number of threads, one without them as it is.
    """
    moved = result["input_bytes"] + result["output_bytes"]
    measurements = result["measurements"]
    for kernel in measurements:
        if kernel["version"] != "kernel":
            continue
        threads, seconds = kernel["threads"], kernel["seconds"]
        kernel["bytes_per_second"] = moved / seconds
        kernel["bandwidth_share"] = moved / seconds / copied[threads]
        kernel["ratios"] = {}
        for other in measurements:
            if other["version"] == "kernel" or "seconds" not in other:
                continue
            names = [m["version"] for m in measurements]
            if other["threads"] == threads or names.count(other["version"]) == 1:
                kernel["ratios"][other["version"]] = other["seconds"] / seconds


def add_target(result: dict, target: GpuTarget) -> None:
    """What was asked of the kernel, and whether it is so for all groups that there are in use."""
    (kernel,) = (m for m in result["measurements"] if m["version"] == "kernel")
    seconds = kernel["seconds"] * result["groups_in_use"] / result["groups"]
    reached = target.reached(seconds, kernel["bandwidth_share"])
    result["gpu_target"] = {**vars(target), "reached": reached}


def scaling(results: Sequence[dict]) -> list[dict[str, object]]:
    """Time over time by groups over groups, from the fewest groups of a series to the most.

    1 is linear. With several threads the single group keeps one of them busy alone, so that it
    starts from 1 / threads.
    """
    series: dict[tuple[str, str], list[dict]] = {}
    for result in results:
        series.setdefault((result["operation"], result["series"]), []).append(result)
    found = []
    for (operation, name), members in series.items():
        few, many = (pick(members, key=lambda r: r["groups"]) for pick in (min, max))
        if few["groups"] == many["groups"]:
            continue
        times = [_kernel_seconds(result) for result in (few, many)]
        growth = many["groups"] / few["groups"]
        found += [
            {
                "operation": operation,
                "series": name,
                "threads": threads,
                "groups": [few["groups"], many["groups"]],
                "time_over_linear": times[1][threads] / times[0][threads] / growth,
            }
            for threads in times[0]
        ]
    return found


def _kernel_seconds(result: dict) -> dict[int | None, float]:
    return {m["threads"]: m["seconds"] for m in result["measurements"] if m["version"] == "kernel"}


def _written(output: object) -> int:
    """Bytes that an operation writes: padding too, even where a result is cut to what it holds."""
    if isinstance(output, torch.Tensor):
        return output.untyped_storage().nbytes()
    return sum(_written(part) for part in output) if isinstance(output, tuple) else 0
