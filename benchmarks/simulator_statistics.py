"""Real annotations beside the simulated ones that are drawn like them.

Measures the annotations of THUMOS14 (training videos) and ActivityNet 1.3 (training and
validation), which need GAUFUSE_DATA_ROOT, prints their quantiles beside those of each profile over
five data seeds, and draws them. What is in brackets the simulator does not set, but comes to.

  python benchmarks/simulator_statistics.py --plot simulator.png
  python benchmarks/simulator_statistics.py --write python/gaufuse/data/simulation  # the tables
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

import numpy as np

from gaufuse.benchmark.script import run_script
from gaufuse.data.simulate import DATA_SEEDS, PROFILES
from gaufuse.data.simulation.measure import measure, summarise
from gaufuse.data.simulation.tables import TimelineTable, load_table
from gaufuse_ext.annotations import VideoAnnotation, load_ground_truth

# name: what to call it, the file below GAUFUSE_DATA_ROOT, its subset (None: all of it)
ANNOTATIONS = {
    "thumos14": ("THUMOS14, training videos", "thumos14/thumos14.json", "Validation"),
    "activitynet13": (
        "ActivityNet 1.3, training and validation videos",
        "activitynet13/anet_anno_action.json.gz",
        None,
    ),
}
QUANTITIES = {
    "instance_seconds": "instance, seconds",
    "gap_seconds": "gap, seconds",
    "instances_a_video": "instances a video",
    "video_seconds": "(video, seconds)",
    "action_share": "(share of a video that is action)",
}
SHOWN = (0.1, 0.35, 0.5, 0.65, 0.9)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plot", metavar="FILE", help="as PNG or SVG (needs matplotlib)")
    parser.add_argument("--write", metavar="FOLDER", help="write the tables that were derived here")


def run(options: argparse.Namespace) -> None:
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: pip install matplotlib")
    real = {name: _real(name) for name in ANNOTATIONS}
    if options.write:
        for name, videos in real.items():
            path = Path(options.write) / f"{name}.toml"
            path.write_text(measure(videos, ANNOTATIONS[name][0]).to_toml())
            print(f"wrote {path}")
        return
    pairs = []
    for profile in ("thumos-like", "activitynet-like"):
        name = PROFILES[profile].annotations
        for what in _differences(load_table(name), measure(real[name], ANNOTATIONS[name][0])):
            print(f"{name}.toml: {what} is not what these annotations give; see --write")
        simulated = [v for seed in DATA_SEEDS for v in PROFILES[profile].annotations_only(seed)]
        pairs.append((name, summarise(real[name]), profile, summarise(simulated)))
    print(_table(pairs))
    if options.plot:
        _plot(pairs, options.plot)


def _real(name: str) -> list[VideoAnnotation]:
    root = os.environ.get("GAUFUSE_DATA_ROOT")
    if not root:
        raise ValueError("set GAUFUSE_DATA_ROOT to the folder of the real annotations")
    _, file, subset = ANNOTATIONS[name]
    return list(load_ground_truth(Path(root) / file, subset).values())


def _differences(packaged: TimelineTable, derived: TimelineTable) -> list[str]:
    return [key for key, value in vars(packaged).items() if value != vars(derived)[key]]


def _table(pairs: list[tuple[str, dict, str, dict]]) -> str:
    """Markdown: means and quantiles, real and simulated in turns."""
    levels = " | ".join(f"{level:.0%}" for level in SHOWN)
    lines = []
    for name, real, profile, simulated in pairs:
        lines += [f"| {name} / {profile} | | mean | {levels} |", "| --- " * (3 + len(SHOWN)) + "|"]
        for quantity, title in QUANTITIES.items():
            for what, values in (("real", real[quantity]), ("simulated", simulated[quantity])):
                numbers = [values.mean(), *np.quantile(values, SHOWN)]
                cells = " | ".join(f"{number:.3g}" for number in numbers)
                lines.append(f"| {title if what == 'real' else ''} | {what} | {cells} |")
        lines.append("")
    return "\n".join(lines)


def _plot(pairs: list[tuple[str, dict, str, dict]], path: str) -> None:
    """Cumulative distributions, a row a data set, a column a quantity."""
    from matplotlib.figure import Figure  # optional; and no global state, no display

    figure = Figure(figsize=(3.0 * len(QUANTITIES), 2.8 * len(pairs)), layout="constrained")
    panels = figure.subplots(len(pairs), len(QUANTITIES), squeeze=False)
    for row, (name, real, profile, simulated) in zip(panels, pairs, strict=True):
        for panel, (quantity, title) in zip(row, QUANTITIES.items(), strict=True):
            for label, values in ((name, real[quantity]), (profile, simulated[quantity])):
                values = np.sort(values)
                panel.step(values, (np.arange(len(values)) + 0.5) / len(values), label=label)
            if quantity != "action_share":
                panel.set_xscale("symlog", linthresh=1.0)
            panel.set(xlabel=title, ylim=(0, 1))
            panel.set_xlim(left=0)
        row[0].set_ylabel("share below")
        row[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(run_script(__doc__, add_arguments, run))
