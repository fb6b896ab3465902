"""Any source into our layout: dataset.toml, annotations.json, features/<video>.npy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
import torch.nn.functional as F
from rich.console import Console

from gaufuse.data.formats.clean import REVERSED, clean_annotation
from gaufuse.data.formats.source import DataSource, Mended, SourceVideo
from gaufuse.utils.console import ProgressLine
from gaufuse.utils.files import write_folder_atomically, write_in_folder, write_json, write_text
from gaufuse.utils.video_names import ByName, check_safe_names
from gaufuse.utils.write_error import naming
from gaufuse_ext.array_types import Array
from gaufuse_ext.name_templates import mismatch_hint, same_form

# Videos whose lengths are compared with their durations before anything is written.
LOOKED_AT = 16
TOLERANCE = 0.05
# Which subset is trained on and which tested on, as the field uses the names.
KNOWN_SUBSETS = (
    ("training", "validation"),  # ActivityNet: its "testing" has no public labels
    ("train", "test"),
    ("train", "val"),
    ("training", "testing"),
    ("training", "test"),
    ("validation", "test"),  # THUMOS14
    ("val", "test"),
)


@dataclass(frozen=True)
class ConvertSettings:
    """What the options of `gaufuse convert` say about the result."""

    name: str | None = None  # of the data set; None: the source folder's
    training_subset: str | None = None  # None: found out
    testing_subset: str | None = None
    rename: dict[str, str] = field(default_factory=dict)  # subsets, old name to new
    subset_of: dict[str, str] = field(default_factory=dict)  # video to subset, over the source's
    missing: tuple[str, ...] = ()  # videos to leave out, with or without ActivityNet's v_
    resample: int | None = None  # snippets of every video
    float16: bool = False
    skip_missing: bool = False
    snippets_given: bool = False  # the user said how long a snippet is: do not doubt it
    overwrite: bool = False
    clean: bool = False  # mend annotations where that is certain (formats/clean.py)


@dataclass
class Conversion:
    """What was written, and what was not and why."""

    videos: Counter[str | None] = field(default_factory=Counter)  # by subset
    left_out: dict[str, list[str]] = field(default_factory=dict)  # reason -> names
    notes: list[str] = field(default_factory=list)
    mended: list[Mended] = field(default_factory=list)


def convert(
    source: DataSource, output: str | Path, settings: ConvertSettings, console: Console
) -> Conversion:
    """Writes the data set to the folder `output`, whole or not at all.

    Raises:
        ValueError: the folder is there and `overwrite` is not set; something is missing and
            `skip_missing` is not set; features that are not as they should be.
    """
    output = Path(output)
    if settings.resample is not None and settings.resample < 1:
        raise ValueError(f"--resample must be at least 1, got {settings.resample}")
    if output.exists() and not settings.overwrite:
        raise ValueError(f"{output} exists: replace it with --overwrite, or name another folder")
    if output.exists() and not _may_be_replaced(output):
        raise ValueError(f"{output} is no data set, so --overwrite does not replace it")
    if (
        output.resolve() == source.path.resolve()
        or output.resolve() in source.path.resolve().parents
    ):
        raise ValueError(f"{output} holds the source: name another folder")
    result = Conversion()
    check_safe_names((video.name for video in source.videos), source.path)
    videos = _with_subsets(source, settings, result)
    videos = _cleaned(source, videos, settings, result)
    _check_durations(source, videos, result)
    subsets = _subsets(source, videos, settings)
    chosen = _choose(source, videos, subsets, settings, result)
    _check_lengths(source, chosen, settings, result)
    with naming(output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)

    def write(folder: Path) -> None:
        (folder / "features").mkdir()
        database: dict[str, dict[str, Any]] = {}
        dims: int | None = None
        with ProgressLine(console, "converting", len(chosen)) as progress:
            for video in chosen:
                entry, dims = _write_video(folder, source, video, dims, settings)
                database[video.name] = entry
                result.videos[video.annotation.subset] += 1
                progress.advance()
        assert dims is not None, "both subsets have videos"
        _write_tables(folder, source, database, dims, subsets, settings)
        if result.mended:
            write_json(folder / "mended.json", [asdict(mended) for mended in result.mended])

    write_folder_atomically(output, write)
    if source.trimmed:
        result.notes.append(
            f"{len(source.trimmed)} videos had one snippet more of rgb or of flow, which was cut: "
            f"{_few(source.trimmed)}"
        )
    return result


def _may_be_replaced(output: Path) -> bool:
    """A data set, or an empty folder: nothing else is removed, whatever was typed."""
    return (output / "dataset.toml").is_file() or (output.is_dir() and not any(output.iterdir()))


def resample(features: Array, snippets: int) -> Array:
    """(T, D) -> (snippets, D) float32 by linear interpolation between snippet centers; snippet i
    then stands for the share [i / snippets, (i + 1) / snippets] of the video."""
    columns = torch.from_numpy(np.ascontiguousarray(features.T, dtype=np.float32)).unsqueeze(0)
    rows = F.interpolate(columns, size=snippets, mode="linear", align_corners=False)
    resampled: Array = rows[0].T.contiguous().numpy()
    return resampled


def _with_subsets(
    source: DataSource, settings: ConvertSettings, result: Conversion
) -> list[SourceVideo]:
    """The videos with the subsets that the user gives them."""
    given = ByName(settings.subset_of, "--subsets")
    names = [video.name for video in source.videos]
    unmatched = sorted(set(map(same_form, given)) - set(map(same_form, names)))
    if given and len(unmatched) == len(given):
        hint = mismatch_hint(
            names, list(given), "the annotations", "the table", "--annotation-template", "(there)"
        )
        raise ValueError(f"no video of --subsets is in {source.path}{hint}")
    if unmatched:
        result.notes.append(
            f"{len(unmatched)} videos of --subsets are not in {source.path}: {_few(unmatched)}"
        )
    videos = []
    for video in source.videos:
        old = given.get(video.name, video.annotation.subset)
        subset = settings.rename.get(str(old), old)
        videos.append(replace(video, annotation=replace(video.annotation, subset=subset)))
    return videos


def _cleaned(
    source: DataSource, videos: list[SourceVideo], settings: ConvertSettings, result: Conversion
) -> list[SourceVideo]:
    """The videos without what is certainly wrong in their annotations, or a note that there is."""
    cleaned = [clean_annotation(video.name, video.annotation) for video in videos]
    mended = [*source.mended, *(one for _, own in cleaned for one in own)]
    if not mended:
        return videos
    counts = ", ".join(f"{fault}: {n}" for fault, n in Counter(m.fault for m in mended).items())
    first = mended[0]
    what = f"annotations ({counts}; the first: {first.label!r} of {first.video!r}, "
    if not settings.clean and any(one.fault == REVERSED for one in mended):
        raise ValueError(f"{source.path}: {len(mended)} {what}{first.before}): --clean mends them")
    if not settings.clean:
        result.notes.append(
            f"{len(mended)} {what}{first.before}) are not as they should be: --clean mends them"
        )
        return videos
    result.mended = mended
    result.notes.append(
        f"mended {len(mended)} {what}{first.before} -> {first.after or 'left out'}): all are "
        "listed in mended.json"
    )
    pairs = zip(videos, cleaned, strict=True)
    return [replace(video, annotation=annotation) for video, (annotation, _) in pairs]


def _check_durations(source: DataSource, videos: list[SourceVideo], result: Conversion) -> None:
    """No duration may be written as 0, but none is negative."""
    negative = [video for video in videos if (video.annotation.duration or 0.0) < 0.0]
    if negative:
        raise ValueError(
            f"{source.path}: video {negative[0].name!r} has duration "
            f"{negative[0].annotation.duration} ({len(negative)} such videos): it must be positive"
        )
    zero = [video.name for video in videos if video.annotation.duration == 0.0]
    if zero:
        result.notes.append(
            f"{len(zero)} videos have duration 0, which is taken for an unknown one: {_few(zero)}"
        )


def _subsets(
    source: DataSource, videos: list[SourceVideo], settings: ConvertSettings
) -> tuple[str, str]:
    """The names of the training and the testing subset."""
    found = sorted({str(video.annotation.subset) for video in videos})
    by_lower = {name.lower(): name for name in found}
    known = next((pair for pair in KNOWN_SUBSETS if set(pair) <= set(by_lower)), None)
    guess = source.subsets or (known and (by_lower[known[0]], by_lower[known[1]])) or (None, None)
    training = _one_of(found, settings.training_subset or guess[0], "--training-subset")
    testing = _one_of(found, settings.testing_subset or guess[1], "--testing-subset")
    if training == testing:
        raise ValueError(f"training and testing subset are both {training!r}")
    return training, testing


def _one_of(subsets: list[str], name: str | None, option: str) -> str:
    if name is None or name not in subsets:
        raise ValueError(f"say {option}: the videos' subsets are {', '.join(subsets)}")
    return name


def _choose(
    source: DataSource,
    videos: list[SourceVideo],
    subsets: tuple[str, str],
    settings: ConvertSettings,
    result: Conversion,
) -> list[SourceVideo]:
    """The videos to write. What is left out is in result.left_out, or an error."""
    missing = _all_forms(settings.missing)
    here = {same_form(video.name) for video in videos} | set(map(same_form, source.features_alone))
    strange = [name for name in settings.missing if not _all_forms([name]) & here]
    if strange:
        result.notes.append(
            f"{len(strange)} of {len(settings.missing)} names of --missing are not in "
            f"{source.path}: {_few(strange)}"
        )
    listed = [video.name for video in videos if same_form(video.name) in missing]
    videos = [video for video in videos if same_form(video.name) not in missing]
    other = [video.name for video in videos if video.annotation.subset not in subsets]
    videos = [video for video in videos if video.annotation.subset in subsets]
    unlabelled = [video for video in videos if not video.annotation.labels]
    if _is_unlabelled(videos, subsets[1]):
        tested = [video for video in unlabelled if video.annotation.subset == subsets[1]]
        unlabelled = [video for video in unlabelled if video.annotation.subset != subsets[1]]
        result.notes.append(
            f"none of the {len(tested)} videos of subset {subsets[1]!r} has annotations: they can "
            "be detected in, but not evaluated on"
        )
    faults = {
        "without features": [video.name for video in videos if video.features is None],
        "without labels": [video.name for video in unlabelled],
        "features without annotations": [
            name for name in source.features_alone if same_form(name) not in missing
        ],
    }
    if any(faults.values()) and not settings.skip_missing:
        raise ValueError(
            f"{source.path}: "
            + "; ".join(f"{len(v)} {what}: {_few(v)}" for what, v in faults.items() if v)
            + _hint(faults)
            + ". Leave them out with --skip-missing"
        )
    faults["listed as missing"], faults["of other subsets"] = listed, other
    result.left_out = {what: found for what, found in faults.items() if found}
    unfit = set(faults["without features"]) | set(faults["without labels"])
    chosen = [video for video in videos if video.name not in unfit]
    for subset in subsets:
        if not any(video.annotation.subset == subset for video in chosen):
            raise ValueError(
                f"{source.path}: no video of subset {subset!r} is left to convert{_hint(faults)}"
            )
    return chosen


def _is_unlabelled(videos: list[SourceVideo], subset: str) -> bool:
    own = [video for video in videos if video.annotation.subset == subset]
    return bool(own) and not any(video.annotation.labels for video in own)


def _all_forms(names: Iterable[str]) -> set[str]:
    """Names with and without the v_ that ActivityNet's files have before a video's own name."""
    plain = set(map(same_form, names))
    return plain | {name.removeprefix("v_") for name in plain} | {f"v_{name}" for name in plain}


def _hint(faults: dict[str, list[str]]) -> str:
    """Where annotations and features do not find each other: how their names differ."""
    annotated, features = faults["without features"], faults["features without annotations"]
    if not annotated or not features:
        return ""
    return mismatch_hint(
        features,
        annotated,
        "the features",
        "the annotations",
        "--template",
        "--annotation-template",
    )


def _check_lengths(
    source: DataSource, videos: list[SourceVideo], settings: ConvertSettings, result: Conversion
) -> None:
    """Whether features are about as long as videos, before all of them are written."""
    timed = [video for video in videos if video.annotation.duration]
    if settings.resample is not None:
        untimed = [v.name for v in videos if not v.annotation.duration and not _seconds(source, v)]
        if untimed:
            raise ValueError(f"{source.path}: no duration is known of {_few(untimed)}")
        return
    unknown = [video.name for video in videos if not _seconds(source, video)]
    if unknown:
        raise ValueError(
            f"{source.path} does not say how long a snippet is: say --feat-stride FRAMES, "
            "--snippet-seconds S, or --resample N"
        )
    ratios = [
        _times_too_long(source, video)
        for video in timed[:: max(1, len(timed) // LOOKED_AT)][:LOOKED_AT]
    ]
    ratio = float(np.median(ratios)) if ratios else 1.0
    if abs(ratio - 1.0) <= TOLERANCE:
        return
    problem = (
        f"{source.path}: the videos are {ratio:.3g} times as long as their features say (median of "
        f"{len(ratios)}), with {_seconds(source, timed[0]):.4g} s a snippet in {timed[0].name!r}"
    )
    if not settings.snippets_given:
        raise ValueError(f"{problem}; say --snippet-seconds, or --feat-stride and --fps")
    result.notes.append(problem)


def _times_too_long(source: DataSource, video: SourceVideo) -> float:
    """The duration by that of the features, of a video of which both are known."""
    duration, seconds = video.annotation.duration, _seconds(source, video)
    assert duration is not None
    assert seconds is not None
    return duration / (max(1, len(_features(video))) * seconds)


def _features(video: SourceVideo) -> Array:
    assert video.features is not None, "videos without features are not chosen"
    return video.features()


def _write_video(
    folder: Path,
    source: DataSource,
    video: SourceVideo,
    dims: int | None,
    settings: ConvertSettings,
) -> tuple[dict[str, Any], int]:
    """Writes features; returns the video's entry of annotations.json and the dimensions."""
    features = _features(video)
    if len(features) == 0:
        raise ValueError(f"{source.path}: video {video.name!r} has no snippet")
    if dims is not None and features.shape[1] != dims:
        raise ValueError(
            f"{source.path}: video {video.name!r} has {features.shape[1]} dimensions, the others "
            f"have {dims}"
        )
    bad = int((~np.isfinite(features)).sum())
    if bad:
        raise ValueError(f"{source.path}: video {video.name!r} has {bad} NaN or infinite values")
    seconds = _seconds(source, video)
    duration = video.annotation.duration
    if not duration:
        assert seconds is not None, "one of the two is known of every video"
        duration = round(len(features) * seconds, 6)
    entry: dict[str, Any] = {"subset": video.annotation.subset, "duration": duration}
    if settings.resample is not None:
        features = resample(features, settings.resample)
    elif video.snippet_seconds is not None:
        entry["snippet_seconds"] = seconds
    entry["annotations"] = [
        {"segment": segment, "label": label}
        for segment, label in zip(
            video.annotation.segments.tolist(), video.annotation.labels, strict=True
        )
    ]
    stored = _stored(features, video.name, settings)
    path = folder / "features" / f"{video.name}.npy"
    write_in_folder(path, lambda file: np.save(file, stored))
    return entry, features.shape[1]


def _stored(features: Array, video: str, settings: ConvertSettings) -> Array:
    half = settings.float16 or (features.dtype.itemsize == 2 and settings.resample is None)
    with np.errstate(over="ignore"):
        stored: Array = np.ascontiguousarray(features, dtype=np.float16 if half else np.float32)
    if not np.isfinite(stored).all():
        raise ValueError(f"video {video!r} has values too large for {stored.dtype}")
    return stored


def _write_tables(
    folder: Path,
    source: DataSource,
    database: dict[str, dict[str, Any]],
    dims: int,
    subsets: tuple[str, str],
    settings: ConvertSettings,
) -> None:
    own = {entry.get("snippet_seconds") for entry in database.values()}
    length: dict[str, float | int | None] = {}
    if settings.resample is not None:
        length["snippets"] = settings.resample
    elif len(own) == 1:
        length["snippet_seconds"] = own.pop() or source.snippet_seconds
        for entry in database.values():
            entry.pop("snippet_seconds", None)
    elif source.snippet_seconds is not None:
        length["snippet_seconds"] = source.snippet_seconds
    info = {
        "name": settings.name or source.path.resolve().name,
        **length,
        "feature_dim": dims,
        "training_subset": subsets[0],
        "testing_subset": subsets[1],
        "classes": source.classes,
        "source": {
            "format": source.format,
            "path": source.path.name,
            "converted_by": "gaufuse convert",
        },
    }
    write_json(folder / "annotations.json", {"version": "gaufuse", "database": database})
    write_text(folder / "dataset.toml", tomli_w.dumps(info))


def _seconds(source: DataSource, video: SourceVideo) -> float | None:
    return video.snippet_seconds or source.snippet_seconds


def _few(names: list[str], count: int = 5) -> str:
    shown = ", ".join(names[:count])
    return shown + (f" and {len(names) - count} more" if len(names) > count else "")
