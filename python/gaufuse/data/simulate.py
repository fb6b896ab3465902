"""Simulated data sets: untrimmed videos as snippet features, made from a seed.

PROFILES names what there is; docs/simulator.md compares it with real annotations.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from pydantic import ValidationError

from gaufuse.data.simulation.realistic import RealisticSettings
from gaufuse.data.simulation.settings import SimulatedVideo
from gaufuse.data.simulation.small import SimulationSettings
from gaufuse.utils.files import write_folder_atomically, write_in_folder, write_json, write_text
from gaufuse.utils.write_error import naming
from gaufuse_ext.annotations import load_ground_truth
from gaufuse_ext.array_types import Array

Settings = SimulationSettings | RealisticSettings

PROFILES: dict[str, Settings] = {
    "thumos-like": RealisticSettings(),
    "activitynet-like": RealisticSettings(annotations="activitynet13", longest_seconds=300.0),
    "small": SimulationSettings(),
}

# One data set says little: what is claimed of a profile is claimed of these five, all of them.
DATA_SEEDS = (0, 1, 2, 3, 4)


def profile(name: str, overrides: list[str] | None = None) -> Settings:
    """A profile's settings; overrides are "setting=value" with TOML values.

    Raises:
        ValueError: for an unknown profile or setting, with those that there are, and for values out
            of range, naming each.
    """
    if name not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {name!r}")
    settings = PROFILES[name]
    changes = {}
    for override in overrides or []:
        key, equals, text = (part.strip() for part in override.partition("="))
        if not equals:
            raise ValueError(f"an override must look like setting=value, got {override!r}")
        if key not in asdict(settings):
            known = ", ".join(asdict(settings))
            raise ValueError(f"profile {name} has no setting {key!r}; it has {known}")
        try:
            changes[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key] = text  # a bare word is a string
    try:
        return replace(settings, **changes)
    except ValidationError as error:
        problems = (
            ".".join(map(str, problem["loc"])) + ": " + problem["msg"] for problem in error.errors()
        )
        raise ValueError(f"profile {name}: {'; '.join(problems)}") from None


def simulate(root: str | Path, seed: int = 0, settings: Settings | None = None) -> None:
    """Writes the data set to a folder: dataset.toml, train.toml, annotations.json, features/.

    The same seed and settings give the same files. A simulated data set that is there is replaced
    by a whole one, or stays.

    Args:
        settings: of a `profile`; small's if left out.

    Raises:
        ValueError: for settings that no video fits, and for a folder with anything else than a
            simulated data set, which is left as it is.
        WriteError: it cannot be written.
    """
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    settings = settings or PROFILES["small"]
    root = Path(os.path.realpath(root))  # a link stays one
    _check_replaceable(root)
    with naming(root.parent):
        root.parent.mkdir(parents=True, exist_ok=True)
    write_folder_atomically(root, lambda folder: _write(folder, seed, settings))


def _write(root: Path, seed: int, settings: Settings) -> None:
    classes = [f"action_{c}" for c in range(settings.classes)]
    database = {}
    (root / "features").mkdir()
    for video in settings.make_videos(seed):
        if not np.isfinite(video.features).all():
            raise ValueError(
                f"features of {video.name} are too large for float16: lower the strengths (noise, "
                "scene, context, instance_gain, power, ...)"
            )
        _write_features(root / "features" / f"{video.name}.npy", video.features)
        database[video.name] = _annotations(video, classes, settings.snippet_seconds)
    write_json(root / "annotations.json", {"version": "simulated", "database": database})
    info = {
        "name": f"{_kind(settings)}, seed {seed}",
        "snippet_seconds": settings.snippet_seconds,
        "feature_dim": settings.feature_dim,
        "training_subset": "training",
        "testing_subset": "testing",
        "classes": classes,
        "simulation": {"seed": seed, **asdict(settings)},
    }
    preset = "simulated" if isinstance(settings, SimulationSettings) else "context"
    write_text(root / "train.toml", tomli_w.dumps({"base": preset, "data": {"root": "."}}))
    write_text(root / "dataset.toml", tomli_w.dumps(info))


def _write_features(path: Path, values: Array) -> None:
    write_in_folder(path, lambda file: np.save(file, values))


def _check_replaceable(root: Path) -> None:
    """Nothing but a simulated data set is removed, whatever was typed."""
    info = root / "dataset.toml"
    if info.exists():
        try:
            simulated = "simulation" in tomllib.loads(info.read_text())
        except (ValueError, OSError):
            simulated = False
        if not simulated:
            raise ValueError(f"{root} holds a data set that was not simulated: name another folder")
    own = {root / name for name in ("dataset.toml", "train.toml", "annotations.json")}
    annotations = root / "annotations.json"
    if info.exists() and annotations.exists():
        own |= {root / "features" / f"{video}.npy" for video in load_ground_truth(annotations)}
    places = (root, root / "features")
    found = {entry for place in places if place.is_dir() for entry in place.iterdir()}
    others = sorted(str(entry.relative_to(root)) for entry in found - own - {places[1]})
    if others:
        raise ValueError(
            f"{root} holds {others[0]}, which is no part of a simulated data set"
            + (f", and {len(others) - 1} more" if len(others) > 1 else "")
            + ": name another folder, or remove it"
        )


def _annotations(
    video: SimulatedVideo, classes: list[str], snippet_seconds: float
) -> dict[str, Any]:
    return {
        "subset": video.subset,
        "duration": round(len(video.features) * snippet_seconds, 3),
        "annotations": [
            {"segment": [round(float(t), 3) for t in segment], "label": classes[label]}
            for segment, label in zip(video.segments, video.classes, strict=True)
        ],
    }


def _kind(settings: Settings) -> str:
    if isinstance(settings, SimulationSettings):
        return "simulated"
    return f"simulated like {settings.annotations}"
