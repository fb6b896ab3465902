"""A report as tables of plain text, and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gaufuse.utils.write_error import naming

EXPLANATION = """\
time: median of one call. per group: time / groups. moved: input read once and output written, a
second; of copy: as a share of what copy_ of a big tensor moves here (above 100%: it was in the
cache). Outputs are new tensors, as in use. {clock}
Further columns: how many times longer the other way takes. ~ it did some of the groups, the rest
is extrapolated; - not at hand or too large. reference, nms_1d_cpu and scalar C++ use one thread
of the CPU; torch has the threads of its row."""
CPU_CLOCK = "Inputs that fit into the cache are warm."
CUDA_CLOCK = "Events on the device, L2 cache emptied before every call."


def tables(report: dict) -> str:
    """One section for each operation."""
    sections = [_machine(report)]
    for name in dict.fromkeys(result["operation"] for result in report["results"]):
        results = [result for result in report["results"] if result["operation"] == name]
        sections.append("\n".join([name, *_lines(_rows(results)), *_notes(report, results)]))
    clock = CUDA_CLOCK if report["device"] == "cuda" else CPU_CLOCK
    return "\n\n".join([*sections, EXPLANATION.format(clock=clock)])


def save_plot(report: dict, path: str | Path) -> None:
    """Ratios over the segments or snippets of a call, one panel for each operation."""
    from matplotlib.figure import Figure  # optional; and no global state, no display

    names = list(dict.fromkeys(result["operation"] for result in report["results"]))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5.0 * columns, 3.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    versions = list(
        dict.fromkeys(
            measurement["version"]
            for result in report["results"]
            for measurement in result["measurements"]
            if measurement["version"] != "kernel"
        )
    )
    lines = {}
    for panel, name in zip(panels, names, strict=False):
        results = [result for result in report["results"] if result["operation"] == name]
        for k, version in enumerate(versions):
            points = sorted(
                (result["groups"] * result["size"], kernel["ratios"][version])
                for result in results
                for kernel in _kernels(result)[:1]  # on the CPU: one thread, as all versions can
                if version in kernel["ratios"]
            )
            if points:
                (lines[version],) = panel.loglog(
                    *zip(*points, strict=True), "os^vD"[k % 5], color=f"C{k}", alpha=0.8
                )
        panel.axhline(1.0, color="0.5", linewidth=1.0)
        panel.grid(alpha=0.3)
        panel.set_title(name)
        panel.set_xlabel(f"{results[0]['unit']} in the call")
        panel.set_ylabel("time / kernel's time")
    for panel in list(figure.axes)[len(names) :]:
        panel.set_visible(False)
    figure.legend(
        lines.values(), lines.keys(), loc="outside lower center", ncols=max(1, len(lines))
    )
    on_cpu = ", one thread" if report["device"] == "cpu" else ""
    figure.suptitle(f"{_machine(report).splitlines()[0]}{on_cpu}")
    with naming(path):
        figure.savefig(path, dpi=120)


def _machine(report: dict) -> str:
    machine, build = report["machine"], report["machine"]["build"]
    device = f"{machine['cpu']}, {machine['cores']} cores"
    if machine["gpu"]:
        device = f"{machine['gpu']['name']}; {device}"
    lines = [device, f"torch {machine['torch']}, {build['compiler']}"]
    for what, key in (
        ("copy_ of a big tensor", "bytes_per_second"),
        ("fill_ of a new tensor", "new_memory_bytes_per_second"),
    ):
        rates = (f"{_bytes(e[key])}/s{_threads(e['threads'])}" for e in report["bandwidth"])
        lines.append(f"{what}: {', '.join(rates)}")
    return "\n".join(lines)


def _threads(count: int | None) -> str:
    return "" if count is None else f" ({count} thread{'s' * (count > 1)})"


def _kernels(result: dict) -> list[dict]:
    return [m for m in result["measurements"] if m["version"] == "kernel"]


def _rows(results: Sequence[dict]) -> list[list[str]]:
    versions = list(
        dict.fromkeys(
            m["version"] for r in results for m in r["measurements"] if m["version"] != "kernel"
        )
    )
    on_cpu = results[0]["measurements"][0]["threads"] is not None
    header = ["case", *(["threads"] * on_cpu), "time", "per group", "moved", "of copy"]
    rows = [header + versions]
    for result in results:
        name = result["case"]
        if result["groups"] < result["groups_in_use"]:
            name += f" (here {result['groups']:,} groups)"
        extrapolated = {m["version"] for m in result["measurements"] if m.get("extrapolated")}
        for kernel in _kernels(result):
            rows.append(
                [
                    name,
                    *([str(kernel["threads"])] * on_cpu),
                    _time(kernel["seconds"]),
                    _time(kernel["seconds"] / result["groups"]),
                    f"{_bytes(kernel['bytes_per_second'])}/s",
                    f"{100 * kernel['bandwidth_share']:.3g}%",
                    *(
                        f"{'~' * (version in extrapolated)}{_ratio(kernel['ratios'][version])}"
                        if version in kernel["ratios"]
                        else "-"
                        for version in versions
                    ),
                ]
            )
            name = ""
    return rows


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return [lines[0], "  " + "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]]


def _notes(report: dict, results: Sequence[dict]) -> list[str]:
    """Growth with the number of groups; what was left out, and why."""
    notes = [
        f"  {entry['series']}, {entry['groups'][0]:,} to {entry['groups'][1]:,} groups"
        f"{_threads(entry['threads'])}: {entry['time_over_linear']:.2f} of linear growth"
        for entry in report["scaling"]
        if entry["operation"] == results[0]["operation"]
    ]
    skipped = dict.fromkeys(
        f"  {result['case']}: no {measurement['version']}: {measurement['skipped']}"
        for result in results
        for measurement in result["measurements"]
        if "skipped" in measurement
    )
    return [*_targets(results), *notes, *skipped]


def _targets(results: Sequence[dict]) -> list[str]:
    lines = []
    for result in results:
        if (target := result.get("gpu_target")) is None:
            continue
        asked = []
        if target["seconds"] is not None:
            asked.append(f"at most {_time(target['seconds'])}")
        if target["bandwidth_share"] is not None:
            asked.append(f"at least {100 * target['bandwidth_share']:.0f}% of copy")
        outcome = "reached" if target["reached"] else "MISSED"
        lines.append(f"  {result['case']}: target {', '.join(asked)}: {outcome}")
    return lines


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{_three_digits(count / size)} {unit}"
    return f"{count / 1e3:.3g} kB"


def _ratio(value: float) -> str:
    return f"{_three_digits(value)}x"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
