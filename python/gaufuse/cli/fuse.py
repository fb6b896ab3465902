"""Post-process detections: fuse or suppress overlapping segments of one model or of several.

PREDICTIONS are ActivityNet-style JSON or CSV, plain or gzip, or ActionFormer's pickled results
(`gaufuse evaluate --help`); the detections of several files (several models) are pooled. Each class
of each video is one group; all groups go through the kernels at once.
Methods (docs/postprocessing.md):

  fusion    Gaussian weighted instance fusion; --then soft-nms where instances still overlap
  nms       the best of overlapping segments; --voting refines its boundaries
  soft-nms  lowers the scores of overlapping segments; --voting too
  weighted  weighted boxes fusion of segments, made for several models; --then soft-nms
  none      pooled, and no more

  gaufuse fuse detections.json -o fused.json
  gaufuse fuse model_a.json.gz model_b.json.gz -o both.json.gz --overlap iou --threshold 0.5
  gaufuse fuse detections.json -o kept.json --method nms --threshold 0.45
  gaufuse fuse a.json b.json -o ab.json --method weighted --threshold 0.8 --then soft-nms \\
      --sigma 0.3 --model-weights 0.8 1 --top 200
  gaufuse fuse a.json b.json -o ab.json --settings tuned.toml     # from `gaufuse tune`
"""

from __future__ import annotations

import argparse

from rich.console import Console

from gaufuse.cli.options import add_label_map, add_temperature_and_overlap
from gaufuse.data.detection_files import load_detections
from gaufuse.localization.fusion import fuse_detections
from gaufuse.localization.fusion_settings import (
    DECAYS,
    METHODS,
    THRESHOLDS,
    VOTES,
    FusionSettings,
    load_settings,
    make_settings,
)
from gaufuse.localization.pooled_detections import NamedSegments, named_segments, pool
from gaufuse.utils.console import make_console
from gaufuse.utils.files import write_json
from gaufuse_ext.class_names import few, load_label_map, names_of

OPTIONS = tuple(FusionSettings.model_fields)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", nargs="+", metavar="PREDICTIONS")
    parser.add_argument("--output", "-o", required=True, metavar="OUT", help="JSON, or JSON.gz")
    add_label_map(parser)
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="TOML or JSON that `gaufuse tune` wrote; options given here go before it",
    )
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Options without defaults, so that what is not given is left to --settings."""
    default = {name: field.default for name, field in FusionSettings.model_fields.items()}
    parser.add_argument(
        "--method", choices=METHODS, help=f"see below (default {default['method']})"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        help="overlap above which (fusion, weighted) or from which (nms, soft-nms other than "
        "gaussian) segments go together (default "
        + ", ".join(f"{name} {value}" for name, value in THRESHOLDS.items() if name != "none")
        + ")",
    )
    parser.add_argument(
        "--class-agnostic",
        action="store_true",
        default=None,
        help="all classes of a video are one group",
    )
    parser.add_argument(
        "--model-weights",
        type=float,
        nargs="+",
        metavar="W",
        help="of each file's scores, relative to each other",
    )
    parser.add_argument(
        "--top", type=int, metavar="N", help="keep the N best detections of each video"
    )
    fusion = parser.add_argument_group("fusion and weighted")
    defaults = (f" (default {default['temperature']})", f" (default {default['overlap']})")
    add_temperature_and_overlap(fusion, "fusion: ", defaults)
    fusion.add_argument(
        "--confidence",
        choices=("avg", "max"),
        help="weighted: a fused score is its members' mean, less where models do not agree, or "
        f"their largest (default {default['confidence']})",
    )
    fusion.add_argument(
        "--then",
        choices=("nothing", "soft-nms"),
        help=f"on what was fused (default {default['then']})",
    )
    suppression = parser.add_argument_group("nms and soft-nms")
    suppression.add_argument(
        "--decay", choices=DECAYS, help=f"of soft-nms (default {default['decay']})"
    )
    suppression.add_argument(
        "--sigma", type=float, help=f"of the gaussian (default {default['sigma']})"
    )
    suppression.add_argument(
        "--min-score",
        type=float,
        metavar="S",
        help=f"soft-nms drops what decayed below (default {default['min_score']})",
    )
    suppression.add_argument(
        "--threshold-growth",
        type=float,
        metavar="G",
        help="of gaussian_above: the threshold grows by this per second of the better segment "
        f"(default {default['threshold_growth']:g})",
    )
    suppression.add_argument(
        "--voting",
        choices=VOTES,
        help="kept segments become means of their neighbours, weighted by score or by score times "
        f"IoU (default {default['voting']})",
    )
    suppression.add_argument(
        "--voting-threshold",
        type=float,
        metavar="IOU",
        help=f"from which segments are neighbours (default {default['voting_threshold']})",
    )


def run(options: argparse.Namespace) -> None:
    console = make_console()
    settings = _settings(options, console)
    sources = load_sources(options.predictions, options.label_map)
    say_nothing_in_common(console, options.predictions, sources)
    detections = pool(sources)
    fused = fuse_detections(detections, settings)
    write_json(options.output, {"version": "gaufuse", "results": results_of(fused)})
    console.print(
        f"{len(detections.flat)} detections in, {len(fused)} out: {options.output}", soft_wrap=True
    )


def _settings(options: argparse.Namespace, console: Console) -> FusionSettings:
    given = {name: getattr(options, name) for name in OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    if options.settings is None:
        return make_settings(given, "options")
    chosen, about = load_settings(options.settings)
    tuned = about.get("tuned")
    if isinstance(tuned, dict) and "subset" in tuned:
        console.print(
            f"{options.settings}: tuned on subset {tuned['subset']!r}; results there are flattered",
            soft_wrap=True,
        )
    return make_settings(chosen.model_dump(exclude_unset=True) | given, options.settings)


def load_sources(paths: list[str], label_map: str | None) -> list[NamedSegments]:
    """
    Raises:
        FileNotFoundError, ValueError: a file that is none, or a label that the map does not have.
    """
    sources = [named_segments(load_detections(path)) for path in paths]
    if label_map is None:
        return sources
    names = load_label_map(label_map)
    return [
        named_segments(source.with_classes(names_of(source.classes, names, all_of=path)))
        for path, source in zip(paths, sources, strict=True)
    ]


def say_nothing_in_common(console: Console, paths: list[str], sources: list[NamedSegments]) -> None:
    """Segments of one class in one video are fused: models that name classes or videos in different
    ways would only be put side by side."""
    for path, other in zip(paths[1:], sources[1:], strict=True):
        for what, ours, theirs in (
            ("video", set(sources[0].videos), set(other.videos)),
            ("class", set(sources[0].classes), set(other.classes)),
        ):
            if ours and theirs and not ours & theirs:
                console.print(
                    f"warning: {path} has no {what} in common with {paths[0]}, so nothing of the "
                    f"two is fused: {few(sorted(theirs))}; {few(sorted(ours))}",
                    soft_wrap=True,
                )


def results_of(detections: NamedSegments) -> dict[str, list[dict]]:
    """As ActivityNet-style JSON has them; videos without detections, too."""
    results: dict[str, list[dict]] = {video: [] for video in detections.videos}
    rows = zip(
        detections.video_ids.tolist(),
        detections.class_ids.tolist(),
        detections.segments.tolist(),
        detections.scores.tolist(),
        strict=True,
    )
    for video, label, segment, score in rows:
        entry = {"segment": segment, "label": detections.classes[label], "score": score}
        results[detections.videos[video]].append(entry)
    return results
