"""What the records say: per data set, arms with mean and spread, differences paired by seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gaufuse.experiment.definition import Cell, Experiment, cells_of
from gaufuse.experiment.records import identity_key, latest_by_identity
from gaufuse.experiment.statistics import Estimate, deviation, estimate, estimate_of_groups


@dataclass(frozen=True)
class Phase:
    """What the runs had reached at the end of a phase of their training."""

    name: str
    values: dict[int, float]  # average mAP in percent by replicate

    @property
    def mean(self) -> float:
        """Over the replicates, in percent."""
        return fmean(self.values.values())


@dataclass(frozen=True)
class Result:
    """One arm on one data set."""

    records: list[dict]  # of its runs; none of an arm that is a phase of another one
    values: dict[int, float]  # average mAP in percent by replicate (see `replicate`)
    missing: int  # runs that the experiment has and that no record is there of
    phases: list[Phase]  # of the runs, in their order

    @property
    def mean(self) -> float:
        """Over the replicates, in percent."""
        return fmean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the replicates; None of a single one."""
        return deviation(list(self.values.values()))

    @property
    def map(self) -> list[float]:
        """Mean mAP at each threshold; empty without records."""
        return [fmean(column) for column in zip(*(r["map"] for r in self.records), strict=True)]

    @property
    def iou_thresholds(self) -> list[float]:
        """Those of `map`; empty without records."""
        return self.records[0]["iou_thresholds"] if self.records else []

    @property
    def seconds(self) -> float | None:
        """Mean wall time of the runs that were not interrupted."""
        times = [record["seconds"] for record in self.records if not record["resumed"]]
        return fmean(times) if times else None


@dataclass(frozen=True)
class Summary:
    """Everything that tables, plot and document are made of."""

    experiment: Experiment
    method: str  # of intervals
    results: dict[tuple[str, str], Result]  # by data set and arm; those with a run at least
    notes: list[str]

    @property
    def data(self) -> list[str]:
        """The data sets that have a run, in the order of the file."""
        return [name for name in self.experiment.data if any(d == name for d, _ in self.results)]

    @property
    def arms(self) -> list[str]:
        """The arms that have a run, in the order of the file."""
        return [name for name in self.experiment.arms if any(a == name for _, a in self.results)]

    @property
    def comparisons(self) -> list[tuple[str, str]]:
        """Arms and what they are compared with, in the order of the file."""
        return [
            (arm, other)
            for arm, settings in self.experiment.arms.items()
            for other in settings.against
            if any(self.differences(data, arm, other) for data in self.data)
        ]

    def control(self, arm: str) -> str | None:
        """The first arm that it is compared with; None for an arm that is itself a control."""
        return next(iter(self.experiment.arms[arm].against), None)

    def differences(self, data: str, arm: str, other: str) -> list[float]:
        """arm - other of each replicate that both have, in percent of average mAP."""
        if (data, arm) not in self.results or (data, other) not in self.results:
            return []
        own, others = self.results[data, arm].values, self.results[data, other].values
        return [own[key] - others[key] for key in own if key in others]

    def difference(self, data: str, arm: str, other: str | None) -> Estimate | None:
        """The mean of `differences` on one data set; None where there are none."""
        values = self.differences(data, arm, other) if other else []
        return estimate(values, self.method) if values else None

    def mean_difference(self, arm: str, other: str) -> tuple[Estimate, int] | None:
        """The mean over data sets, and how many there are."""
        groups = [self.differences(data, arm, other) for data in self.data]
        groups = [group for group in groups if group]
        return (estimate_of_groups(groups, self.method), len(groups)) if groups else None


def summarise(
    experiment: Experiment,
    records: list[dict],
    method: str = "t",
    only: Sequence[str] = (),
) -> Summary:
    """Takes each cell's last finished record. Records of arms as the file does not have them (any
    more) are left out; which those are is told in the notes."""
    found = latest_by_identity(records)
    groups: dict[tuple[str, str], list[tuple[Cell, dict | None]]] = defaultdict(list)
    for cell in cells_of(experiment, only):
        groups[cell.data, cell.arm].append((cell, found.get(identity_key(cell.identity))))
    results: dict[tuple[str, str], Result] = {}
    used: list[tuple[Cell, dict]] = []
    for key, runs in groups.items():
        own = [(cell, record) for cell, record in runs if record is not None]
        if own:
            results[key] = Result(
                [record for _, record in own],
                _by_replicate(own, [record["average_map"] for _, record in own]),
                len(runs) - len(own),
                _phases(own),
            )
            used += own
    for arm, settings in experiment.arms.items():
        if settings.of is not None:
            results |= _results_of_phase(experiment, results, arm)
    return Summary(experiment, method, results, _notes(experiment, groups, used, records))


def _results_of_phase(
    experiment: Experiment, results: dict[tuple[str, str], Result], arm: str
) -> dict[tuple[str, str], Result]:
    """Of an arm that is a phase of another one."""
    settings = experiment.arms[arm]
    found = {}
    for data in experiment.data:
        whole = results.get((data, settings.of or ""))
        names = [] if whole is None else [phase.name for phase in whole.phases]
        if whole is None or settings.phase not in names:
            continue
        phases = whole.phases[: names.index(settings.phase) + 1]
        found[data, arm] = Result([], phases[-1].values, whole.missing, phases)
    return found


def replicate(cell: Cell) -> int:
    """What is paired, and taken to be independent: the data seed where there are several data
    sets of the kind (training seeds on one of them are averaged), else the training seed."""
    return cell.seed if cell.data_seed is None else cell.data_seed


def _by_replicate(runs: list[tuple[Cell, dict]], values: list[float]) -> dict[int, float]:
    grouped: dict[int, list[float]] = defaultdict(list)
    for (cell, _), value in zip(runs, values, strict=True):
        grouped[replicate(cell)].append(value)
    return {key: fmean(own) for key, own in grouped.items()}


def _phases(runs: list[tuple[Cell, dict]]) -> list[Phase]:
    """Those that every run has, where each was evaluated at the end of its phases alone."""
    evaluations = [
        [entry for entry in record.get("evaluations", ()) if entry.get("average_map") is not None]
        for _, record in runs
    ]
    names = [[entry.get("phase") for entry in own] for own in evaluations]
    if not names[0] or None in names[0] or any(own != names[0] for own in names):
        return []
    return [
        Phase(name, _by_replicate(runs, [own[i]["average_map"] for own in evaluations]))
        for i, name in enumerate(names[0])
    ]


def _notes(
    experiment: Experiment, groups: dict, used: list[tuple[Cell, dict]], records: list[dict]
) -> list[str]:
    notes = []
    missing = sum(record is None for runs in groups.values() for _, record in runs)
    if missing:
        notes.append(f"{missing} of {missing + len(used)} cells have no finished run yet.")
    known = {identity_key(cell.identity) for cell in cells_of(experiment)}
    finished = latest_by_identity(records)
    stale = sum(key not in known for key in finished)
    if stale:
        notes.append(f"{stale} records of other arms or settings are left out.")
    failed = {
        identity_key(record["identity"]): f"{record['data']}/{record['arm']}"
        for record in records
        if record["status"] == "failed"
    }
    failed_only = sorted({name for key, name in failed.items() if key in known - set(finished)})
    if failed_only:
        notes.append(f"Failed: {', '.join(failed_only)}.")
    mixed = sorted({f"{c.data}/{c.arm}" for c, _ in used if _is_mixed(groups[c.data, c.arm])})
    if mixed:
        notes.append(f"Runs of different presets are mixed in {', '.join(mixed)}: run those again.")
    return notes


def _is_mixed(runs: list[tuple[Cell, dict | None]]) -> bool:
    """Whether equal arguments meant different settings, so a preset was edited between runs."""
    settings = defaultdict(set)
    for cell, record in runs:
        if record is not None:
            settings[cell.arguments].add(record.get("settings"))
    return any(len(own) > 1 for own in settings.values())


def _estimate_json(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": estimate.mean,
        "interval": None if estimate.low is None else [estimate.low, estimate.high],
        "pairs": estimate.values,
    }


def summary_json(summary: Summary) -> dict:
    """The tables as data; numbers in percent of average mAP, seconds."""
    return {
        "title": summary.experiment.title,
        "interval": {"level": 0.95, "method": summary.method},
        "results": [
            {
                "data": data,
                "arm": arm,
                "runs": len(result.records),  # none of an arm that is a phase of another one
                "missing": result.missing,
                "average_map": {
                    "mean": result.mean,
                    "std": result.deviation,
                    "by_replicate": {str(key): value for key, value in result.values.items()},
                },
                "map": result.map,
                "iou_thresholds": result.iou_thresholds,
                "seconds": result.seconds,
                "differences": {
                    other: None if difference is None else _estimate_json(difference)
                    for other in summary.experiment.arms[arm].against
                    for difference in [summary.difference(data, arm, other)]
                },
            }
            for (data, arm), result in summary.results.items()
        ],
        "over_data": [
            {"arm": arm, "against": other, "data_sets": found[1], **_estimate_json(found[0])}
            for arm, other in summary.comparisons
            for found in [summary.mean_difference(arm, other)]
            if found is not None
        ],
        "notes": summary.notes,
    }
