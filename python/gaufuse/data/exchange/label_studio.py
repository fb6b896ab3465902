"""Label Studio's tasks in JSON: segments of a video's timeline.

Segments are regions in seconds of an Audio tag that is synchronised with the Video tag, which is
Label Studio's own template for video timelines; read are also TimelineLabels, which count frames.
Detections are written as predictions (to be corrected), annotations as annotations. The labelling
interface that fits goes beside the tasks, as NAME.config.xml.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

from gaufuse.data.exchange.annotated import (
    Annotated,
    ExchangeOptions,
    Row,
    add_video,
    check_new,
    media_of,
    number,
    text_of,
    video_annotation,
    video_of,
)
from gaufuse.utils.files import write_json, write_text
from gaufuse_ext.annotations import VideoAnnotation, read_json

NAME = "label-studio"
LABELS, AUDIO = "label", "audio"  # names of tags
MEDIA_KEYS = ("video", "video_url", "audio", "media")  # of a task's data, where the media is


def matches(path: Path) -> bool:
    """JSON whose outermost is a list."""
    if not path.is_file() or not path.name.lower().endswith(".json"):
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def read(path: Path, options: ExchangeOptions) -> Annotated:
    """An export as JSON (not JSON-MIN): of each task its newest annotation, or else its newest
    prediction.

    Raises:
        FileNotFoundError, ValueError: with the path, the task and what is wrong there.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, Mapping) for task in tasks):
        raise ValueError(f"{path} must be a list of tasks, as Label Studio exports JSON")
    videos: dict[str, VideoAnnotation] = {}
    scored, several, other = True, 0, 0
    for place, task in enumerate(tasks, start=1):
        where = f"{path}, task {place}"
        data = task.get("data")
        if not isinstance(data, Mapping):
            raise ValueError(f'{where} has no "data"')
        annotations = _results(where, task, "annotations")
        predictions = _results(where, task, "predictions")
        several += len(annotations) > 1
        chosen = annotations or predictions
        rows: list[Row] = []
        for region in chosen[-1] if chosen else []:
            found = _rows(where, region, data, options)
            other += found is None
            rows.extend(found or [])
        scored &= not annotations and all(row.score is not None for row in rows)
        subset = text_of(where, "subset", data, "subset")
        entry = video_annotation(where, rows, subset, data.get("duration"))
        add_video(videos, path, _name(where, data), entry)
    notes = []
    if several:
        notes.append(f"{several} tasks have several annotations: the newest of each was taken")
    if other:
        notes.append(f"{other} results are no segments with labels: left out")
    return Annotated(videos, scored and any(e.labels for e in videos.values()), notes)


def _results(where: str, task: Mapping[str, object], key: str) -> list[list[object]]:
    """Results of a task that were not cancelled, the newest last."""
    entries = task.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(x, Mapping) for x in entries):
        raise ValueError(f'{where}: "{key}" must be a list of objects')
    left = [entry for entry in entries if not entry.get("was_cancelled")]
    left.sort(key=lambda entry: str(entry.get("updated_at") or entry.get("created_at") or ""))
    results = [entry.get("result") or [] for entry in left]
    if not all(isinstance(result, list) for result in results):
        raise ValueError(f'{where}: "result" must be a list')
    return results


def _rows(
    where: str, region: object, data: Mapping[str, object], options: ExchangeOptions
) -> list[Row] | None:
    """A region's segments, one for each of its labels; None where it is something else."""
    value = region.get("value") if isinstance(region, Mapping) else None
    if not isinstance(region, Mapping) or not isinstance(value, Mapping):
        raise ValueError(f'{where}: a result has no "value"')
    kind = region.get("type")
    if kind == "timelinelabels":
        return _timeline_rows(where, value, data, options, region.get("score"))
    labels = value.get("labels")
    if kind != "labels" or "start" not in value or not isinstance(labels, list):
        return None
    if not labels:
        raise ValueError(f"{where}: the segment from {value['start']!r} has no label")
    return [Row(value["start"], value.get("end"), label, region.get("score")) for label in labels]


def _timeline_rows(
    where: str,
    value: Mapping[str, object],
    data: Mapping[str, object],
    options: ExchangeOptions,
    score: object,
) -> list[Row]:
    """Frames are counted from 1; the last one belongs to the segment."""
    given = options.fps if options.fps is not None else data.get("fps")
    if given is None:
        raise ValueError(f"{where} counts frames: say how many there are in a second with --fps")
    fps = number(where, "fps", given)
    if fps <= 0.0:
        raise ValueError(f"{where}: fps must be positive, got {fps}")
    ranges, labels = value.get("ranges"), value.get("timelinelabels")
    if not isinstance(ranges, list) or not isinstance(labels, list) or not labels:
        raise ValueError(f'{where}: a timeline result needs "ranges" and "timelinelabels"')
    rows: list[Row] = []
    for part in ranges:
        if not isinstance(part, Mapping):
            raise ValueError(f"{where}: a range must have a start and an end, got {part!r:.80}")
        start = (number(where, "start", part.get("start")) - 1.0) / fps
        end = number(where, "end", part.get("end")) / fps
        rows.extend(Row(start, end, label, score) for label in labels)
    return rows


def _name(where: str, data: Mapping[str, object]) -> str:
    name = text_of(where, "video_name", data, "video_name")
    if name is not None:
        return name
    for key in (*MEDIA_KEYS, *data):
        media = data.get(key)
        if isinstance(media, str) and media:
            return video_of(media)
    raise ValueError(f"{where} names no video")


def write(path: Path, annotated: Annotated, options: ExchangeOptions) -> list[str]:
    """Tasks for import, and beside them the labelling interface, PATH.config.xml."""
    interface = path.with_name(f"{path.stem}.config.xml")
    check_new([path, interface], options)
    kind = "predictions" if annotated.scored else "annotations"
    tasks = []
    for place, (video, entry) in enumerate(annotated.videos.items(), start=1):
        known = {"subset": entry.subset, "duration": entry.duration}
        data: dict[str, object] = {"video": media_of(video, options.media), "video_name": video}
        data |= {key: value for key, value in known.items() if value is not None}
        made: dict[str, object] = {"result": _regions(place, entry, annotated.scored)}
        if annotated.scored:
            made["model_version"] = "gaufuse"
            made["score"] = float(entry.scores.mean()) if entry.labels else 0.0
        tasks.append({"data": data, kind: [made]})
    write_json(path, tasks)
    write_text(interface, labelling_interface(annotated.classes()))
    return []


def _regions(place: int, entry: VideoAnnotation, scored: bool) -> list[dict[str, object]]:
    regions: list[dict[str, object]] = []
    rows = zip(entry.segments.tolist(), entry.labels, entry.scores.tolist(), strict=True)
    for i, ((start, end), label, score) in enumerate(rows):
        region: dict[str, object] = {
            "id": f"gaufuse{place}n{i}",
            "from_name": LABELS,
            "to_name": AUDIO,
            "type": "labels",
            "value": {"start": start, "end": end, "channel": 0, "labels": [label]},
        }
        if entry.duration is not None:
            region["original_length"] = entry.duration
        if scored:
            region["score"] = score
        regions.append(region)
    return regions


def labelling_interface(classes: list[str]) -> str:
    """XML for a project's settings."""
    labels = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in classes)
    return (
        "<View>\n"
        f'  <Video name="video" value="$video" sync="{AUDIO}"/>\n'
        f'  <Labels name="{LABELS}" toName="{AUDIO}" choice="multiple">\n{labels}  </Labels>\n'
        f'  <Audio name="{AUDIO}" value="$video" sync="video"/>\n'
        "</View>\n"
    )
