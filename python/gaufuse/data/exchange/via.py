"""Projects of the VGG Image Annotator 3 for video: temporal segments, all videos in one JSON.

A segment is an entry of "metadata" with "z" [start, end] in seconds, its class the option that "av"
names of the attribute TEMPORAL-SEGMENTS; "vid" is a view, which shows a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gaufuse.data.exchange.annotated import (
    Annotated,
    ExchangeOptions,
    Row,
    add_video,
    check_new,
    media_of,
    video_annotation,
    video_of,
)
from gaufuse.utils.files import write_json
from gaufuse_ext.annotations import VideoAnnotation, read_json

NAME = "via"
SEGMENTS, OF_FILE = "FILE1_Z2_XY0", "FILE1_Z0_XY0"  # what attributes belong to
TEXT, SELECT = 1, 4  # types of attributes
VIDEO = 4  # type of files
LABEL, SCORE, SUBSET, DURATION, VIDEO_NAME = "1", "2", "3", "4", "5"  # our attributes
NAMES = {
    LABEL: "TEMPORAL-SEGMENTS",
    SCORE: "score",
    SUBSET: "subset",
    DURATION: "duration",
    VIDEO_NAME: "video",
}
Table = Mapping[str, object]


def matches(path: Path) -> bool:
    """JSON that begins as a project does."""
    if not path.is_file() or not path.name.lower().endswith(".json"):
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    return b'"project"' in head and b'"vid_list"' in head


def read(path: Path, options: ExchangeOptions) -> Annotated:
    """A saved project.

    Raises:
        FileNotFoundError, ValueError: with the path, the entry and what is wrong there.
    """
    project = read_json(path)
    tables = {key: _table(path, project, key) for key in ("attribute", "file", "view", "metadata")}
    attributes = {key: _table(path, tables["attribute"], key) for key in tables["attribute"]}
    label_of = _label_attribute(path, attributes)
    named = {str(a.get("aname")): key for key, a in attributes.items()}
    rows: dict[str, list[Row]] = {view: [] for view in tables["view"]}
    about: dict[str, dict[str, object]] = {view: {} for view in tables["view"]}
    other = 0
    for key in tables["metadata"]:
        entry = _table(path, tables["metadata"], key)
        view, values, times = str(entry.get("vid")), entry.get("av"), entry.get("z")
        if view not in rows or not isinstance(values, Mapping) or not isinstance(times, list):
            raise ValueError(f'{path}: metadata {key!r:.80} needs "vid" of a view, "z" and "av"')
        if not times and not entry.get("xy"):  # of the whole file
            about[view] |= {
                name: values[named[name]]
                for name in ("subset", "duration", "video")
                if values.get(named.get(name, "")) not in (None, "")
            }
        elif len(times) != 2 or entry.get("xy"):
            other += 1
        else:
            label = _option(attributes[label_of], values.get(label_of))
            if label in (None, ""):
                raise ValueError(f"{path}: the segment {times} of view {view!r:.80} has no label")
            score = values.get(named.get("score", ""))
            rows[view].append(Row(times[0], times[1], label, None if score == "" else score))
    videos: dict[str, VideoAnnotation] = {}
    for view, own in rows.items():
        name = about[view].get("video") or _file_name(path, tables, view)
        subset = about[view].get("subset")
        entry_of = video_annotation(
            f"{path}, video {name!r:.80}",
            own,
            None if subset is None else str(subset),
            about[view].get("duration"),
        )
        add_video(videos, path, str(name), entry_of)
    everything = [row for own in rows.values() for row in own]
    scored = bool(everything) and all(row.score is not None for row in everything)
    notes = [f"{other} entries are no temporal segments: left out"] if other else []
    return Annotated(videos, scored, notes)


def _table(path: Path, parent: object, key: str) -> Table:
    table = parent.get(key) if isinstance(parent, Mapping) else None
    if not isinstance(table, Mapping):
        raise ValueError(f"{path} is no project of VIA 3: {key!r:.80} must be an object")
    return table


def _label_attribute(path: Path, attributes: Mapping[str, Table]) -> str:
    own = [
        key
        for key, attribute in attributes.items()
        if attribute.get("anchor_id") == SEGMENTS and attribute.get("aname") != NAMES[SCORE]
    ]
    named = [key for key in own if attributes[key].get("aname") == NAMES[LABEL]]
    if not own:
        raise ValueError(f"{path} has no attribute of temporal segments ({SEGMENTS})")
    return (named or own)[0]


def _option(attribute: Table, value: object) -> object:
    """The text of a chosen option; of a text attribute the text."""
    options = attribute.get("options")
    if isinstance(options, Mapping) and isinstance(value, str):
        return options.get(value, value)
    return value


def _file_name(path: Path, tables: Mapping[str, Table], view: str) -> str:
    files = _table(path, tables["view"], view).get("fid_list")
    if not isinstance(files, list) or len(files) != 1:
        raise ValueError(f"{path}: view {view!r:.80} must show one file")
    file = _table(path, tables["file"], str(files[0]))
    name = file.get("fname") or file.get("src")
    if not isinstance(name, str):
        raise ValueError(f"{path}: file {files[0]!r:.80} has no name")
    return video_of(name)


def write(path: Path, annotated: Annotated, options: ExchangeOptions) -> list[str]:
    """A project to open in VIA."""
    check_new([path], options)
    classes = annotated.classes()
    number_of = {label: str(i) for i, label in enumerate(classes)}
    views = [str(i) for i in range(1, len(annotated.videos) + 1)]
    files: dict[str, object] = {}
    metadata: dict[str, object] = {}
    for view, (video, entry) in zip(views, annotated.videos.items(), strict=True):
        media = media_of(video, options.media)
        files[view] = {
            "fid": view,
            "fname": media,
            "type": VIDEO,
            "loc": 2 if media.startswith(("http://", "https://")) else 1,
            "src": media,
        }
        known = {SUBSET: entry.subset, DURATION: entry.duration, VIDEO_NAME: video}
        own = {key: str(value) for key, value in known.items() if value is not None}
        metadata[f"{view}_0"] = _entry(view, [], own)
        rows = zip(entry.segments.tolist(), entry.labels, entry.scores.tolist(), strict=True)
        for i, (segment, label, score) in enumerate(rows, start=1):
            values = {LABEL: number_of[label]}
            if annotated.scored:
                values[SCORE] = repr(score)
            metadata[f"{view}_{i}"] = _entry(view, segment, values)
    write_json(
        path,
        {
            "project": {
                "pid": "__VIA_PROJECT_ID__",
                "rev": "__VIA_PROJECT_REV_ID__",
                "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
                "pname": path.stem,
                "creator": "gaufuse",
                "created": 0,
                "data_format_version": "3.1.1",
                "vid_list": views,
            },
            "config": {
                "file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}},
                "ui": {
                    "file_content_align": "center",
                    "file_metadata_editor_visible": True,
                    "spatial_metadata_editor_visible": False,
                    "temporal_segment_metadata_editor_visible": True,
                    "spatial_region_label_attribute_id": "",
                    "gtimeline_visible_row_count": "4",
                },
            },
            "attribute": {
                key: {
                    "aname": name,
                    "anchor_id": SEGMENTS if key in (LABEL, SCORE) else OF_FILE,
                    "type": SELECT if key == LABEL else TEXT,
                    "desc": "",
                    "options": {n: x for x, n in number_of.items()} if key == LABEL else {},
                    "default_option_id": "",
                }
                for key, name in NAMES.items()
                if key != SCORE or annotated.scored
            },
            "file": files,
            "metadata": metadata,
            "view": {view: {"fid_list": [view]} for view in views},
        },
    )
    return []


def _entry(view: str, times: list[float], values: dict[str, str]) -> dict[str, object]:
    return {"vid": view, "flg": 0, "z": times, "xy": [], "av": values}
