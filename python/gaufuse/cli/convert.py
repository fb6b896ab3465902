"""Bring a data set of any of the field's layouts into ours.

SOURCE is a folder (or an annotation JSON) in one of these layouts, which is found out unless named:

  wtalc      W-TALC, RSKP: ...-JOINTFeatures.npy and annotation .npys, perhaps in a subfolder
  per_video  ACM-Net, ASM-Loc: gt.json (or those .npys) and features/.../<video>.npy
  rgb_flow   WTAL-Uncertainty, CoLA: gt.json and features/.../{rgb,flow}/<video>.npy
  opentad    ActionFormer, OpenTAD: JSON with fps, and <video>.npy, .npz, .pt or .pkl
  actions    Charades, MultiTHUMOS: JSON with actions: [[class, start, end], ...], and such files
  gaufuse    ours, to resample or shrink it

  gaufuse convert data/Thumos14 data/thumos14
  gaufuse convert thumos14.json data/thumos14 --features i3d_features --feat-stride 4
  gaufuse convert data/ActivityNet1.3 data/anet150 --resample 150 --missing missing_videos.txt

Features may also be <video>.csv, or HDF5: a file a video, or one for all (h5py reads it).

OUT then holds dataset.toml, annotations.json and features/<video>.npy; one video is in memory at a
time. Files are read without trust: a pickle can hold arrays, nothing that runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from rich.console import Console

from gaufuse.data import formats
from gaufuse.data.convert import ConvertSettings, convert
from gaufuse.data.formats.classes import with_classes
from gaufuse.data.formats.source import SourceOptions
from gaufuse.utils.console import make_console
from gaufuse.utils.name_lists import read_class_names, read_names, read_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("output", metavar="OUT", help="folder of the data set, made whole or not")
    parser.add_argument("--format", choices=formats.names(), help="layout of SOURCE")
    parser.add_argument("--annotations", type=Path, metavar="PATH", help="JSON, or folder of .npys")
    parser.add_argument(
        "--features", type=Path, metavar="PATH", help="folder, joint .npy, or HDF5 file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    parser.add_argument("--name", help="of the data set (default: SOURCE's)")
    group = parser.add_argument_group("features")
    group.add_argument(
        "--template",
        default="{video}",
        help="names of the feature files without suffix, such as v_{video} (default %(default)s)",
    )
    group.add_argument(
        "--orientation",
        choices=("auto", "td", "dt"),
        default="auto",
        help="td: (snippets, dimensions); dt: the other way round; auto: the axis of which all "
        "videos have the same size is that of the dimensions",
    )
    group.add_argument(
        "--crops",
        type=_crops,
        metavar="mean|N",
        help="of features (crops, snippets, dimensions): their mean, or the one of number N (from "
        "0)",
    )
    group.add_argument(
        "--crop-axis", type=int, choices=(0, 1), help="of the crops, where shapes do not tell"
    )
    group.add_argument("--resample", type=int, metavar="N", help="N snippets for every video")
    group.add_argument("--float16", action="store_true", help="store half precision")
    group = parser.add_argument_group("time")
    group.add_argument("--snippet-seconds", type=float, metavar="S", help="length of a snippet")
    group.add_argument(
        "--feat-stride", type=float, metavar="FRAMES", help="frames between snippets (opentad)"
    )
    group.add_argument("--fps", type=float, help="of all videos, instead of the JSON's (opentad)")
    group = parser.add_argument_group("annotations")
    group.add_argument(
        "--annotation-template",
        default="{video}",
        help="names of the videos in the annotations, such as v_{video} (default %(default)s)",
    )
    group.add_argument(
        "--classes",
        metavar="FILE",
        help="names of the classes in the order of their numbers, one a line",
    )
    group.add_argument(
        "--clean",
        action="store_true",
        help="mend segments where that is certain (reversed ends, duplicates, past the video's "
        "end), count them, and list them in OUT/mended.json",
    )
    group = parser.add_argument_group("videos")
    group.add_argument("--training-subset", metavar="NAME")
    group.add_argument("--testing-subset", metavar="NAME")
    group.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="rename a subset; may be given several times",
    )
    group.add_argument(
        "--subsets", metavar="FILE", help="table (CSV) with columns video and subset, over SOURCE's"
    )
    group.add_argument(
        "--missing", metavar="FILE", help="videos to leave out: one name a line, or a JSON list"
    )
    group.add_argument(
        "--skip-missing",
        action="store_true",
        help="leave out videos without features or labels and features without annotations, "
        "instead of an error",
    )


def convert_with(arguments: list[str], console: Console) -> None:
    """As `gaufuse convert` with these arguments, for other commands.

    Raises:
        FileNotFoundError, ValueError: also where the arguments are wrong.
    """
    parser = argparse.ArgumentParser("gaufuse convert", exit_on_error=False)
    add_arguments(parser)
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ValueError(f"gaufuse convert: {error}") from None
    if unknown:
        raise ValueError(f"gaufuse convert has no {' '.join(unknown)}")
    run(options, console)


def run(options: argparse.Namespace, console: Console | None = None) -> None:
    console = console or make_console()
    for name in ("snippet_seconds", "feat_stride", "fps"):
        value = getattr(options, name)
        if value is not None and not 0.0 < value < float("inf"):
            raise ValueError(f"--{name.replace('_', '-')} must be positive, got {value}")
    source = formats.open_source(
        options.source,
        SourceOptions(
            annotations=options.annotations,
            features=options.features,
            template=options.template,
            annotation_template=options.annotation_template,
            orientation=options.orientation,
            crops=options.crops,
            crop_axis=options.crop_axis,
            snippet_seconds=options.snippet_seconds,
            feat_stride=options.feat_stride,
            fps=options.fps,
            clean=options.clean,
        ),
        options.format,
    )
    if options.classes is not None:
        source = with_classes(source, read_class_names(options.classes))
    settings = ConvertSettings(
        name=options.name,
        training_subset=options.training_subset,
        testing_subset=options.testing_subset,
        rename=dict(map(_renaming, options.rename)),
        subset_of=read_table(options.subsets, "video", "subset") if options.subsets else {},
        missing=tuple(read_names(options.missing)) if options.missing else (),
        resample=options.resample,
        float16=options.float16,
        skip_missing=options.skip_missing,
        snippets_given=options.snippet_seconds is not None or options.feat_stride is not None,
        overwrite=options.overwrite,
        clean=options.clean,
    )
    result = convert(source, options.output, settings, console)
    for what, names in result.left_out.items():
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        console.print(f"left out, {what}: {len(names)} ({shown})")
    for note in result.notes:
        console.print(f"note: {note}", soft_wrap=True)
    videos = ", ".join(f"{count} {subset}" for subset, count in result.videos.items())
    console.print(
        f"{source.format} layout: {videos} videos, {len(source.classes)} classes in "
        f"{options.output}; `gaufuse data check {options.output}` looks at them",
        soft_wrap=True,
    )


def _renaming(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not old or not equals or not new:
        raise ValueError(f"--rename must look like OLD=NEW, got {text!r}")
    return old, new


def _crops(text: str) -> Literal["mean"] | int:
    if text == "mean":
        return "mean"
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"must be mean or a number from 0 on, got {text!r}")
