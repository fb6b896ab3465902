"""Detections, pseudo labels and annotations for annotators to correct, and back.

Reads and writes, by --to and --from (found out where it is not given):
  activitynet   JSON of predictions or ground truth; a W-TALC or data set folder is read, too
  label-studio  tasks in JSON, and the labelling interface beside them
  elan          a folder of VIDEO.eaf
  via           a project of the VGG Image Annotator 3
  csv           columns video, subset, duration, start, end, label, score
  audacity      a folder of VIDEO.txt, label tracks
Reads: snippet-labels, what `gaufuse label` and training write.

  gaufuse exchange detections.json -o tasks.json --to label-studio --top 20 --min-score 0.1 \\
      --media 'https://videos.example/{video}.mp4'
  gaufuse exchange corrected.json -o annotations.json --to activitynet --from label-studio
  gaufuse exchange labels/ -o to_correct/ --to elan
  gaufuse exchange to_correct/ -o corrected.json --to activitynet --as annotations

What is there is not overwritten without --overwrite: it may have been corrected by hand.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from gaufuse.data.exchange import READABLE, WRITABLE, read_annotated, write_annotated
from gaufuse.data.exchange.annotated import Annotated, ExchangeOptions
from gaufuse.utils.console import make_console
from gaufuse_ext.annotations import VideoAnnotation, choose_subset

KINDS = ("predictions", "annotations")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC")
    parser.add_argument("--output", "-o", required=True, metavar="DST", help="file or folder")
    parser.add_argument("--to", required=True, choices=WRITABLE, metavar="FORMAT")
    parser.add_argument(
        "--from", dest="source_format", choices=READABLE, metavar="FORMAT", help="of SRC"
    )
    parser.add_argument(
        "--as",
        dest="kind",
        choices=KINDS,
        help="with scores, or without: what was corrected by hand (default: as SRC is)",
    )
    parser.add_argument("--subset", metavar="NAME", help="this subset's videos alone")
    parser.add_argument("--top", type=int, metavar="N", help="the N best of each video")
    parser.add_argument("--min-score", type=float, metavar="S", help="those that score S or more")
    parser.add_argument(
        "--media",
        default=ExchangeOptions.media,
        metavar="TEMPLATE",
        help="where the annotator finds a video: a path or an address (default %(default)s)",
    )
    parser.add_argument("--fps", type=float, help="of a source that counts frames")
    parser.add_argument(
        "--snippet-seconds", type=float, metavar="S", help="of snippet labels that do not say"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=ExchangeOptions.threshold,
        help="from which a snippet label is action (default %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true")


def run(options: argparse.Namespace) -> None:
    if options.top is not None and options.top < 1:
        raise ValueError(f"--top must be at least 1, got {options.top}")
    exchange = ExchangeOptions(
        media=options.media,
        fps=options.fps,
        snippet_seconds=options.snippet_seconds,
        threshold=options.threshold,
        overwrite=options.overwrite,
    )
    console = make_console()
    annotated = read_annotated(options.source, exchange, options.source_format)
    if options.subset is not None:
        chosen = choose_subset(annotated.videos, options.subset, options.source)
        annotated = replace(annotated, videos=chosen)
    if not annotated.scored:
        for name in ("top", "min_score"):
            if getattr(options, name) is not None:
                raise ValueError(
                    f"--{name.replace('_', '-')}: {options.source} has no scores to choose by"
                )
    annotated = replace(
        annotated,
        videos={
            video: _best(entry, options.top, options.min_score)
            for video, entry in annotated.videos.items()
        },
    )
    annotated = _as(annotated, options)
    notes = [*annotated.notes, *write_annotated(options.output, annotated, exchange, options.to)]
    for note in notes:
        console.print(note, soft_wrap=True)
    count = sum(len(entry.labels) for entry in annotated.videos.values())
    console.print(
        f"{count} segments in {len(annotated.videos)} videos: {options.output}", soft_wrap=True
    )


def _best(entry: VideoAnnotation, top: int | None, min_score: float | None) -> VideoAnnotation:
    """The order stays."""
    chosen = np.arange(len(entry.labels))
    if min_score is not None:
        chosen = chosen[entry.scores >= min_score]
    if top is not None:
        best = np.argsort(-entry.scores[chosen], kind="stable")[:top]
        chosen = np.sort(chosen[best])
    return replace(
        entry,
        segments=entry.segments[chosen],
        labels=[entry.labels[i] for i in chosen],
        scores=entry.scores[chosen],
    )


def _as(annotated: Annotated, options: argparse.Namespace) -> Annotated:
    if options.kind == "predictions" and not annotated.scored:
        raise ValueError(
            f"--as predictions: not all segments of {options.source} have a score; leave it out, "
            "and they are annotations"
        )
    if options.kind != "annotations":
        return annotated
    ones = {v: replace(e, scores=np.ones(len(e.labels))) for v, e in annotated.videos.items()}
    return replace(annotated, videos=ones, scored=False)
