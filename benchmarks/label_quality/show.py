"""Results as tables of plain text, and calibration as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gaufuse.utils.write_error import naming

EXPLANATION = """\
All snippets of a video, for each of its true classes. AP: average precision, of all snippets of the
source together (pooled), of each class's (mean over classes), of each video's (mean over classes of
videos: order within a video only). Brier: mean squared difference to the truth; calib.: mean
difference between labels and the share of positives, in ten bins. Sorted by pooled AP."""
COLUMNS = ("pooled_ap", "class_ap", "group_ap", "brier", "calibration_error")
HEADER = ("instances", "labels", "pooled AP", "class AP", "video AP", "Brier", "calib.")
PLOTTED = 4


def table(result: dict) -> str:
    """One source's methods, best pooled AP first."""
    rows = [list(HEADER)]
    rows += [
        [method["selection"], method["labelling"], *(f"{method[key]:.4f}" for key in COLUMNS)]
        for method in result["methods"]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if k < 2 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    title = (
        f"{result['source']}: {result['description']}\n{result['groups']} classes of videos, "
        f"{result['snippets']:,} snippets, {100 * result['positive']:.1f}% positive, "
        f"{result['proposals']:.1f} proposals each"
    )
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([title, lines[0], rule, *lines[1:]])


def weakest_table(results: Sequence[dict]) -> str:
    """Methods by their worst difference in pooled AP to the plain mean of the same source: which
    one setting is good everywhere."""
    plain = [_pooled(result, "raw", "mean") for result in results]
    rows = []
    for method in results[0]["methods"]:
        own = (method["selection"], method["labelling"])
        values = [_pooled(result, *own) for result in results]
        if None not in values:
            gains = [value - other for value, other in zip(values, plain, strict=True)]
            rows.append((min(gains), own, gains))
    rows.sort(key=lambda row: (-row[0], row[1]))
    names = [f"{a} | {b}" for _, (a, b), _ in rows]
    width = max(map(len, names))
    columns = [max(9, len(result["source"])) for result in results]
    header = "  ".join(
        result["source"].rjust(size) for result, size in zip(results, columns, strict=True)
    )
    lines = [f"{'instances | labels'.ljust(width)}      worst  {header}"]
    for name, (worst, _, gains) in zip(names, rows, strict=True):
        cells = "  ".join(
            f"{gain:+.4f}".rjust(size) for gain, size in zip(gains, columns, strict=True)
        )
        lines.append(f"{name.ljust(width)}  {worst:+9.4f}  {cells}")
    title = "pooled AP less that of the plain mean of raw proposals, sorted by the worst source"
    return "\n".join([title, *lines])


def markdown(results: Sequence[dict], match: Sequence[str]) -> str:
    """Pooled AP of the methods whose row contains one of `match`, a column a source, its best one
    bold; in the order of the names."""
    rows: dict[tuple[str, str], list[float | None]] = {}
    for column, result in enumerate(results):
        for method in result["methods"]:
            own = (method["selection"], method["labelling"])
            if any(text in " | ".join(own) for text in match):
                cells = rows.setdefault(own, [None] * len(results))
                cells[column] = method["pooled_ap"]
    best = [
        max((cell or 0.0 for cell in column), default=0.0)
        for column in zip(*rows.values(), strict=True)
    ]

    def shown(cell: float | None, highest: float) -> str:
        if cell is None:
            return ""
        return f"**{cell:.4f}**" if cell == highest else f"{cell:.4f}"

    header = ("instances", "labels", *(result["source"] for result in results))
    lines = [header, ("---",) * len(header)]
    lines += [
        (*own, *(shown(*pair) for pair in zip(rows[own], best, strict=True)))
        for own in sorted(rows)
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def save_plot(report: dict, path: str | Path) -> None:
    """Calibration of the best methods of each source and of the plain mean, one panel a source."""
    from matplotlib.figure import Figure  # optional; and no global state, no display

    results = report["sources"]
    figure = Figure(figsize=(4.6 * len(results), 4.4), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for panel, result in zip(panels, results, strict=True):
        chosen = result["methods"][:PLOTTED]
        chosen += [
            method
            for method in result["methods"][PLOTTED:]
            if (method["selection"], method["labelling"]) == ("raw", "mean")
        ]
        panel.plot([0, 1], [0, 1], color="0.6", linewidth=1.0)
        for method in chosen:
            bins = method["calibration"]
            panel.plot(
                [row["label"] for row in bins],
                [row["positive"] for row in bins],
                "o-",
                markersize=3.0,
                label=f"{method['selection']} | {method['labelling']}",
            )
        panel.set(title=result["source"], xlabel="label", ylabel="share of positive snippets")
        panel.set(xlim=(0, 1), ylim=(0, 1))
        panel.legend(fontsize="x-small")
    with naming(path):
        figure.savefig(path, dpi=120)


def _pooled(result: dict, selection: str, labelling: str) -> float | None:
    for method in result["methods"]:
        if (method["selection"], method["labelling"]) == (selection, labelling):
            return method["pooled_ap"]
    return None
