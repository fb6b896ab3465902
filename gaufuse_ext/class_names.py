"""Names that two files should have in common: classes, videos; and maps from class ids to names.

A name that matches nothing gives a mAP of zero that looks like a result, so it is never passed over
in silence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from gaufuse_ext.annotations import AnySegments, Segments, read_json
from gaufuse_ext.name_templates import mismatch_hint
from gaufuse_ext.text import lines_of

SHOWN = 3


def few(names: Iterable[str], shown: int = SHOWN) -> str:
    """'a', 'b', 'c' and 17 more"""
    names = list(names)
    text = ", ".join(repr(name) for name in names[:shown])
    return text + (f" and {len(names) - shown} more" if len(names) > shown else "")


def unknown_classes(found: Mapping[str, Segments], known: Collection[str]) -> dict[str, int]:
    """How many predictions there are of each class that is not `known`, the most first.

    Raises:
        ValueError: no predicted class is known; with some of both.
    """
    return unknown_of_counts(
        Counter(label for entry in found.values() for label in entry.labels), known
    )


def unknown_of_counts(found: Mapping[str, int], known: Collection[str]) -> dict[str, int]:
    """`unknown_classes` of numbers of predictions by class."""
    counts = Counter(found)
    unknown = {label: count for label, count in counts.most_common() if label not in known}
    if counts and len(unknown) == len(counts):
        raise ValueError(
            f"no predicted class is one of the ground truth's: predictions have {few(counts)}, the "
            f"ground truth has {few(sorted(known))}; {_advice(counts, known)}"
        )
    return unknown


def _advice(found: Collection[str], known: Collection[str]) -> str:
    plain = {_plain(label) for label in known}
    if any(_plain(label) in plain for label in found):
        return "names must be equal to the letter: case, spaces and underscores count, too"
    if all(re.fullmatch(r"[+-]?\d+", label) for label in found):
        return "name the classes of those ids with a label map (--label-map FILE)"
    return "give each its name with a label map (--label-map FILE)"


def _plain(label: str) -> str:
    return re.sub(r"[\s_-]+", "", label).casefold()


def check_videos_in_common(found: Collection[str], truth: Collection[str]) -> None:
    """Refuses predictions of which none could count.

    Raises:
        ValueError: there are predictions, and of no video that has ground truth.
    """
    if not found or any(video in truth for video in found):
        return
    raise ValueError(
        "no predicted video has ground truth"
        + mismatch_hint(
            found,
            truth,
            "the predictions",
            "the ground truth",
            "--template",
            "--annotation-template",
        )
    )


def load_label_map(path: str | Path) -> dict[str, str]:
    """Names by class id, both as text.

    JSON (also gzip): {"0": "Diving", ...}, {"Diving": 0, ...} or ["Diving", ...], which counts from
    zero. Text: a line for each class, "0 Diving" (or with a comma or a tab), or names alone, which
    count from zero.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong there.
    """
    path = Path(path)
    is_json = path.name.lower().removesuffix(".gz").endswith(".json")
    pairs = _json_pairs(path, read_json(path)) if is_json else _text_pairs(path)
    names: dict[str, str] = {}
    for number, name in pairs:
        if number in names:
            raise ValueError(f"{path} gives id {number} to {names[number]!r} and to {name!r}")
        names[number] = name
    if not names:
        raise ValueError(f"{path} names no class")
    return names


def _json_pairs(path: Path, data: object) -> list[tuple[str, str]]:
    if isinstance(data, list) and all(isinstance(name, str) for name in data):
        return [(str(number), name) for number, name in enumerate(data)]
    if isinstance(data, dict) and all(isinstance(value, str) for value in data.values()):
        return [(_number_text(key), name) for key, name in data.items()]
    if isinstance(data, dict) and all(type(value) is int for value in data.values()):
        return [(str(number), name) for name, number in data.items()]
    raise ValueError(
        f"{path} must be an object from ids to names or from names to ids, or a list of names"
    )


def _text_pairs(path: Path) -> list[tuple[str, str]]:
    lines = lines_of(path)
    matches = [re.fullmatch(r"(\d+)\s*[\s,;:]\s*(\S.*)", line) for line in lines]
    numbered = [(_number_text(match[1]), match[2]) for match in matches if match]
    if len(numbered) == len(lines):
        return numbered
    return [(str(number), name) for number, name in enumerate(lines)]


def _number_text(key: str) -> str:
    """As labels that are numbers are read: "07" is 7."""
    return str(int(key)) if re.fullmatch(r"\d+", key) else key


def with_names(
    entries: Mapping[str, AnySegments], names: Mapping[str, str], all_of: str | None = None
) -> dict[str, AnySegments]:
    """The same segments with the names of their class ids; labels that are such names stay.

    Args:
        all_of: what the entries are, where every label must be in the map.

    Raises:
        ValueError: a label that is not.
    """
    labels = dict.fromkeys(label for entry in entries.values() for label in entry.labels)
    table = dict(zip(labels, names_of(labels, names, all_of), strict=True))
    return {
        video: replace(entry, labels=[table[label] for label in entry.labels])
        for video, entry in entries.items()
    }


def names_of(
    labels: Iterable[str], names: Mapping[str, str], all_of: str | None = None
) -> list[str]:
    """The name of each label, as `with_names` has it."""
    labels = list(labels)
    own = set(names.values())
    table = {str(key): name for key, name in names.items()} | {name: name for name in own}
    missing = [label for label in labels if label not in table]
    if missing and all_of is not None:
        raise ValueError(
            f"{all_of}: the label map has no {few(missing)}; it has {few(map(str, names))}"
        )
    return [table.get(label, label) for label in labels]
