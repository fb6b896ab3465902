"""An analysis as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.table import Table

from gaufuse.analysis.analyse import Analysis
from gaufuse.analysis.comparison import Comparison, Difference
from gaufuse.analysis.error_types import ERRORS
from gaufuse.analysis.instance_groups import Characteristic
from gaufuse.utils.console import SlimTable

SHOWN_CONFUSIONS = 10


def tables(analysis: Analysis) -> Iterator[Table]:
    """All that there is something in."""
    yield profile_table(analysis)
    yield gains_table(analysis)
    for characteristic in analysis.characteristics:
        if characteristic.groups:
            yield characteristic_table(characteristic)
    if pairs := confusions(analysis):
        yield confusion_table(pairs)
    if analysis.calibration is not None:
        yield calibration_table(analysis)


def profile_table(analysis: Analysis) -> Table:
    """Kinds among the top kG."""
    table = SlimTable(f"share (%) of the top kG detections, tIoU {analysis.settings.tiou:g}")
    table.add_text("k")
    for kind in analysis.kinds:
        table.add_numbers(f"  {kind}")
    table.add_numbers("  detections")
    rows = zip(analysis.shares(), analysis.profile, strict=True)
    for k, (own, counts) in enumerate(rows, start=1):
        table.add_row(str(k), *(f"{100.0 * x:.1f}" for x in own), str(sum(counts)))
    table.caption = f"G: {analysis.instances} instances, each class's own"
    return table


def gains_table(analysis: Analysis) -> Table:
    """What average mAP would be without each error."""
    gains = analysis.gains
    table = SlimTable(f"what errors cost: average mAP (%), {gains.average_map:.2f} as it is")
    table.add_text()
    table.add_numbers("  removed")
    table.add_numbers("  corrected")
    for name in (*ERRORS, "misses", "all false positives", "everything"):
        corrected = gains.corrected.get(name)
        table.add_row(
            name,
            f"{gains.removed[name]:+.2f}",
            "" if corrected is None else f"{corrected:+.2f}",
        )
    return table


def characteristic_table(characteristic: Characteristic) -> Table:
    """Groups of instances, how well they are found, how many are missed."""
    table = SlimTable(f"{characteristic.name} ({characteristic.unit})")
    table.add_text("group")
    for heading in ("instances", "normalised mAP (%)", "missed (%)"):
        table.add_numbers(f"  {heading}")
    for group in characteristic.groups:
        table.add_row(
            f"({group.low:.3g}, {group.high:.3g}]",
            str(group.instances),
            "" if group.average_map is None else f"{group.average_map:.1f}",
            "" if group.missed is None else f"{group.missed:.1f}",
        )
    if characteristic.unknown:
        table.caption = f"{characteristic.unknown} instances are of videos without a duration"
    return table


def confusions(analysis: Analysis) -> list[tuple[str, str, int]]:
    """(class, taken for, how often), the most frequent first."""
    matrix = np.array(analysis.confusion)[:-1, :-1]
    matrix = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-matrix, axis=None, kind="stable")[:SHOWN_CONFUSIONS]
    pairs = (divmod(int(place), len(matrix)) for place in order)
    return [
        (analysis.classes[true], analysis.classes[taken], int(matrix[true, taken]))
        for true, taken in pairs
        if matrix[true, taken]
    ]


def confusion_table(pairs: Sequence[tuple[str, str, int]]) -> Table:
    """What `confusions` found."""
    table = SlimTable("classes taken for others, among the top G")
    table.add_text("instance of")
    table.add_text("  detected as")
    table.add_numbers("  times")
    for true, taken, count in pairs:
        table.add_row(true, f"  {taken}", str(count))
    return table


def calibration_table(analysis: Analysis) -> Table:
    """Bins of scores that have detections; for an analysis with a calibration."""
    assert analysis.calibration is not None
    table = SlimTable("calibration of scores")
    table.add_text("score")
    for heading in ("detections", "mean score", "precision"):
        table.add_numbers(f"  {heading}")
    for part in analysis.calibration.bins:
        if part.detections:
            table.add_row(
                f"({part.low:.1f}, {part.high:.1f}]",
                str(part.detections),
                f"{part.score:.3f}",
                f"{part.precision:.3f}",
            )
    table.caption = f"expected calibration error {analysis.calibration.error:.4f}"
    return table


def comparison_table(comparison: Comparison, first: str, second: str) -> Table:
    """Differences with their intervals."""
    table = SlimTable(f"{second} less {first}")
    table.add_text()
    table.add_numbers("  difference")
    table.add_numbers("  95 % interval")
    table.add_numbers("  above zero (%)")
    _add(table, "average mAP", comparison.average_map)
    for name, difference in comparison.shares.items():
        _add(table, f"share of {name} in the top G", difference)
    table.caption = f"paired bootstrap over videos, {comparison.resamples} resamples"
    return table


def _add(table: SlimTable, name: str, difference: Difference) -> None:
    table.add_row(
        name,
        f"{difference.value:+.2f}",
        f"[{difference.low:+.2f}, {difference.high:+.2f}]",
        f"{difference.positive:.0f}",
    )
