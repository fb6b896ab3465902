"""ELAN's annotation files, .eaf: one a video, a tier a class.

Annotations of one tier may not overlap, so segments of a class that do go to further tiers of it,
"jump (2)". The label is the annotation's value; scores are values of a tier below, one each. Times
are whole milliseconds.
"""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

from gaufuse.data.exchange.annotated import (
    Annotated,
    ExchangeOptions,
    Row,
    media_of,
    number,
    video_annotation,
    write_new,
)
from gaufuse.utils.safe_xml import read_xml
from gaufuse.utils.video_names import check_safe_names
from gaufuse.utils.visible import visible
from gaufuse_ext.annotations import VideoAnnotation

NAME = "elan"
SUFFIX = ".eaf"
SCORES = " score"  # after a tier's name, of the tier of its scores
LABEL_TYPE, SCORE_TYPE = "label", "score"
PREFIX = "gaufuse:"  # of our properties in the header
MOST_MILLISECONDS = 2**53
# The schema asks for a date; the same annotations give the same file.
NO_DATE = "1970-01-01T00:00:00+00:00"


def matches(path: Path) -> bool:
    """An .eaf file, or a folder with some."""
    if path.is_dir():
        return bool(visible(path, f"*{SUFFIX}"))
    return path.suffix.lower() == SUFFIX


def read(path: Path, options: ExchangeOptions) -> Annotated:
    """One file, or a folder of VIDEO.eaf: all annotations with times of all tiers, their values
    being labels. An annotation without a value has its tier's name.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong there.
    """
    files = visible(path, f"*{SUFFIX}") if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path} holds no VIDEO{SUFFIX}")
    videos, scored = {}, []
    for file in files:
        videos[file.stem], own = _read_video(file)
        scored.extend(own)
    return Annotated(videos, bool(scored) and all(scored))


def _read_video(path: Path) -> tuple[VideoAnnotation, list[bool]]:
    """And of each segment whether it has a score."""
    root = read_xml(path)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise ValueError(f"{path} is no ELAN file: its root is {root.tag!r:.80}")
    times = {
        slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE")
        for slot in root.iterfind("TIME_ORDER/TIME_SLOT")
    }
    scores = {
        annotation.get("ANNOTATION_REF"): _value(annotation)
        for tier in root.iterfind("TIER")
        if tier.get("LINGUISTIC_TYPE_REF") == SCORE_TYPE
        for annotation in tier.iterfind("ANNOTATION/REF_ANNOTATION")
    }
    found = []
    for tier in root.iterfind("TIER"):
        for annotation in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
            label = _value(annotation) or tier.get("TIER_ID")
            ends = [times.get(annotation.get(f"TIME_SLOT_REF{end}")) for end in (1, 2)]
            if None in ends:
                raise ValueError(f"{path}: annotation {label!r:.80} has no time at an end")
            start, end = (number(str(path), "TIME_VALUE", value) / 1000.0 for value in ends)
            score = scores.get(annotation.get("ANNOTATION_ID")) or None
            found.append(Row(start, end, label, score))
    about = {
        entry.get("NAME", ""): (entry.text or "").strip()
        for entry in root.iterfind("HEADER/PROPERTY")
    }
    entry = video_annotation(
        str(path), found, about.get(f"{PREFIX}subset"), about.get(f"{PREFIX}duration")
    )
    return entry, [row.score is not None for row in found]


def _value(annotation: ElementTree.Element) -> str:
    return (annotation.findtext("ANNOTATION_VALUE") or "").strip()


def write(path: Path, annotated: Annotated, options: ExchangeOptions) -> list[str]:
    """A folder of VIDEO.eaf.

    Raises:
        ValueError: a name that cannot be a file's, or a label that XML cannot hold.
    """
    check_safe_names(annotated.videos, "the videos")
    for label in annotated.classes():
        if label != label.strip() or any(ord(c) < 32 or 0xD7FF < ord(c) < 0xE000 for c in label):
            raise ValueError(f"class {label!r:.80} has characters that {NAME} cannot keep")
    documents = {
        f"{video}{SUFFIX}": _document(entry, media_of(video, options.media), annotated.scored)
        for video, entry in annotated.videos.items()
    }
    write_new(path, documents, options)
    return ["elan keeps times to a millisecond"]


def _document(entry: VideoAnnotation, media: str, scored: bool) -> bytes:
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "gaufuse",
            "DATE": NO_DATE,
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = _add(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    _add(
        header,
        "MEDIA_DESCRIPTOR",
        MEDIA_URL=media,
        RELATIVE_MEDIA_URL=media,
        MIME_TYPE="video/mp4",
    )
    known = {"subset": entry.subset, "duration": entry.duration}
    for name, value in known.items():
        if value is not None:
            _add(header, "PROPERTY", NAME=f"{PREFIX}{name}").text = str(value)
    slots = _add(root, "TIME_ORDER")
    rows = _milliseconds(entry)
    for i, (start, end, _, _) in enumerate(rows):
        _add(slots, "TIME_SLOT", TIME_SLOT_ID=f"ts{2 * i + 1}", TIME_VALUE=str(start))
        _add(slots, "TIME_SLOT", TIME_SLOT_ID=f"ts{2 * i + 2}", TIME_VALUE=str(end))
    for name, places in _tiers(rows).items():
        tier = _add(root, "TIER", TIER_ID=name, LINGUISTIC_TYPE_REF=LABEL_TYPE)
        for i in places:
            times = {"TIME_SLOT_REF1": f"ts{2 * i + 1}", "TIME_SLOT_REF2": f"ts{2 * i + 2}"}
            _annotate(tier, "ALIGNABLE_ANNOTATION", i, rows[i][2], times)
        if not scored:
            continue
        below = _add(
            root,
            "TIER",
            TIER_ID=f"{name}{SCORES}",
            LINGUISTIC_TYPE_REF=SCORE_TYPE,
            PARENT_REF=name,
        )
        for i in places:
            label = {"ANNOTATION_REF": f"a{i + 1}"}
            _annotate(below, "REF_ANNOTATION", len(rows) + i, repr(rows[i][3]), label)
    kinds = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": LABEL_TYPE}
    _add(root, "LINGUISTIC_TYPE", TIME_ALIGNABLE="true", **kinds)
    kinds |= {"LINGUISTIC_TYPE_ID": SCORE_TYPE, "CONSTRAINTS": "Symbolic_Association"}
    _add(root, "LINGUISTIC_TYPE", TIME_ALIGNABLE="false", **kinds)
    _add(
        root,
        "CONSTRAINT",
        STEREOTYPE="Symbolic_Association",
        DESCRIPTION="1-1 association with a parent annotation",
    )
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return data


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _annotate(
    tier: ElementTree.Element, kind: str, place: int, text: str, where: dict[str, str]
) -> None:
    annotation = _add(_add(tier, "ANNOTATION"), kind, ANNOTATION_ID=f"a{place + 1}", **where)
    _add(annotation, "ANNOTATION_VALUE").text = text


def _milliseconds(entry: VideoAnnotation) -> list[tuple[int, int, str, float]]:
    """(start, end, label, score); ELAN has no annotation without length, nor before 0."""
    rows = []
    pairs = zip(entry.segments.tolist(), entry.labels, entry.scores.tolist(), strict=True)
    for (start, end), label, score in pairs:
        if not (start >= 0.0 and end * 1000.0 < MOST_MILLISECONDS):
            raise ValueError(f"elan cannot write the segment [{start}, {end}] of {label!r:.80}")
        first = math.floor(start * 1000.0 + 0.5)
        rows.append((first, max(math.floor(end * 1000.0 + 0.5), first + 1), label, score))
    return rows


def _tiers(rows: list[tuple[int, int, str, float]]) -> dict[str, list[int]]:
    """Places of segments by tier, so that those of one tier do not overlap."""
    ends: dict[str, list[int]] = {}  # of each class, of each of its tiers
    places: dict[tuple[str, int], list[int]] = {}
    for i in sorted(range(len(rows)), key=lambda i: rows[i][:2]):
        start, end, label, _ = rows[i]
        lanes = ends.setdefault(label, [])
        lane = next((k for k, last in enumerate(lanes) if last <= start), len(lanes))
        if lane == len(lanes):
            lanes.append(end)
        lanes[lane] = end
        places.setdefault((label, lane), []).append(i)
    tiers: dict[str, list[int]] = {}
    for (label, lane), own in places.items():
        name = label if lane == 0 else f"{label} ({lane + 1})"
        while name in tiers or name.removesuffix(SCORES) in tiers:  # a class of such a name
            name += "'"
        tiers[name] = own
    return tiers
