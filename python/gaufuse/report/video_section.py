"""Timelines of chosen videos."""

from __future__ import annotations

from collections.abc import Sequence

from gaufuse.report.run_input import RunInput
from gaufuse.report.sections import Section, video_table
from gaufuse.report.timeline import Timeline
from gaufuse.report.timeline_figure import timeline_figure
from gaufuse.report.video_choice import best_median_worst, most_different, strongest_detections

ROWS = (
    "Rows of a timeline: ground truth; CAS (the class activation sequence); proposals, each a line "
    "at the height of its score; instances, fused from them; pseudo labels; delta, what the last "
    "refresh of the labels changed; detections. The height of a bar is its score, beside the best "
    "one of its kind in the video. Drag to move, zoom with the buttons, or with the wheel while "
    "Ctrl is held; hover for times and scores."
)


def video_section(runs: Sequence[RunInput]) -> Section:
    """Timelines of test and training videos, and a table of all test videos."""
    section = Section("videos", "Videos")
    first = runs[0]
    if first.data is None:
        section.text.append("No timelines: the data set is not there.")
        return section
    if len(runs) > 1:
        section.text.append(f"A is {first.facts.name}, B is {runs[1].facts.name}.")
    section.text.append(ROWS)
    for video, which in _test_videos(runs).items():
        _add(section, runs, video, which)
    for video, which in best_median_worst(first.label_quality_by_video()).items():
        _add(section, runs, video, f"training video with {which} labels")
    table = video_table(runs)
    if table is not None:
        section.folded.append(table)
    return section


def _test_videos(runs: Sequence[RunInput]) -> dict[str, str]:
    first = runs[0]
    if first.truth == {}:
        best = {v: float(own.scores.max(initial=0.0)) for v, own in first.predictions.items()}
        names = set(first.data.testing.names) if first.data is not None else set()
        return strongest_detections({v: score for v, score in best.items() if v in names})
    ranked = best_median_worst(first.by_video)
    chosen = {video: f"{which} test video" for video, which in ranked.items()}
    if len(runs) > 1 and runs[1].truth:
        chosen = most_different(first.by_video, runs[1].by_video) | chosen
        chosen = dict(sorted(chosen.items(), key=lambda item: "where" in item[1]))  # last
    return chosen


def _add(section: Section, runs: Sequence[RunInput], video: str, which: str) -> None:
    timelines: list[tuple[str, Timeline]] = []
    for run in runs:
        if run.model is not None and run.model.has(video):
            drawn = [own.label for own in timelines[0][1].classes] if timelines else []
            known = [label for label in drawn if label in run.facts.data.classes]
            timelines.append((run.short, run.model.timeline(video, known)))
    values = [
        f"{run.short} mAP {run.by_video[video]:.1f} %".strip()
        for run in runs
        if run.truth and video in run.by_video
    ]
    title = f"{which}: {video}" + (f" ({', '.join(values)})" if values else "")
    section.figures.append(timeline_figure(title[0].upper() + title[1:], timelines))
