"""Simulated data sets: the same seed gives the same files, and what is promised is in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gaufuse.cli.main import main
from gaufuse.config import load_config
from gaufuse.data.dataset import load_dataset
from gaufuse.data.simulate import DATA_SEEDS, PROFILES, profile, simulate
from gaufuse.data.simulation.appearance import STEPS, Appearance
from gaufuse.data.simulation.measure import measure, summarise
from gaufuse.data.simulation.tables import LEVELS, load_table
from gaufuse.data.simulation.timelines import Timeline, partner
from gaufuse_ext.annotations import VideoAnnotation
from training_setups import TINY

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "simulator_statistics.py"
FEW = ["training_videos=9", "testing_videos=5", "classes=3", "feature_dim=12"]
TINY_OF = {
    "small": TINY,
    "thumos-like": profile("thumos-like", FEW),
    "activitynet-like": profile("activitynet-like", FEW),
}
every_profile = pytest.mark.parametrize("name", PROFILES)
like_real = pytest.mark.parametrize("name", ["thumos-like", "activitynet-like"])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@every_profile
def test_deterministic_by_seed(tmp_path, name):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / folder, seed, TINY_OF[name])
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    other = contents(tmp_path / "c")
    assert first.keys() == other.keys()
    assert all(first[file] != other[file] for file in first if file != "train.toml")


def test_the_small_profile_is_the_first_data_set(tmp_path):
    """As it was made before there were profiles, so that what was measured on it holds."""
    simulate(tmp_path, 3, TINY)
    database = json.loads((tmp_path / "annotations.json").read_text())["database"]
    assert database["training_0000"] == {
        "subset": "training",
        "duration": 29.44,
        "annotations": [{"segment": [17.28, 20.48], "label": "action_0"}],
    }
    assert database["testing_0005"]["annotations"] == [
        {"segment": [9.6, 12.8], "label": "action_2"},
        {"segment": [19.84, 24.96], "label": "action_2"},
    ]
    features = np.load(tmp_path / "features" / "testing_0005.npy").astype(float)
    assert features.shape == (44, 12)
    assert features.mean() == pytest.approx(0.0865628, abs=1e-5)
    assert features[1, [1, 2, 3]] == pytest.approx([0.0, 0.0, 0.01873779], abs=1e-4)


@every_profile
def test_ground_truth_fits_the_features(tmp_path, name):
    settings = TINY_OF[name]
    simulate(tmp_path, 0, settings)
    dataset = load_dataset(tmp_path)
    assert len(dataset.training) == settings.training_videos
    assert len(dataset.testing) == settings.testing_videos
    for subset in (dataset.training, dataset.testing):
        for video, features in zip(subset.names, subset.features, strict=True):
            truth = subset.annotations[video]
            assert 1 <= len(set(truth.labels)) <= 2
            duration = len(features) * settings.snippet_seconds
            assert truth.duration == pytest.approx(duration, abs=1e-3)
            assert (truth.segments[:, 1] > truth.segments[:, 0]).all()
            assert (truth.segments[1:, 0] >= truth.segments[:-1, 1]).all()
            assert truth.segments[0, 0] >= 0
            assert truth.segments[-1, 1] <= truth.duration
            assert features.isfinite().all()
            assert (features >= 0).all()
            assert features.any()


def test_a_smaller_data_set_leaves_nothing_of_a_larger_one(tmp_path):
    simulate(tmp_path, 0, TINY)
    simulate(tmp_path, 0, replace(TINY, training_videos=2, testing_videos=1))
    names = {path.stem for path in (tmp_path / "features").iterdir()}
    assert names == {"training_0000", "training_0001", "testing_0000"}


@like_real
def test_timelines_are_as_in_the_real_annotations(name):
    """Over forty data sets, shares of values below the real quantiles: within 0.09 of what they
    are there. Lengths of videos and their share of action are in no setting: they come to what they
    are in real videos if the rest is right."""
    settings = replace(PROFILES[name], longest_seconds=2000.0)
    simulated = summarise(v for seed in range(40) for v in settings.annotations_only(seed))
    real = load_table(settings.annotations).summary
    assert simulated.keys() == real.keys()
    for quantity, values in simulated.items():
        for level, bound in zip(LEVELS, real[quantity], strict=True):
            below, upto = (values < bound - 1e-9).mean(), (values <= bound + 1e-9).mean()
            assert below - 0.09 <= level <= upto + 0.09, (quantity, level)


@like_real
def test_a_table_measured_on_simulated_videos_is_the_one_they_were_drawn_from(name):
    settings = replace(PROFILES[name], longest_seconds=2000.0, classes=20, training_videos=200)
    table = load_table(settings.annotations)
    again = measure((v for s in range(10) for v in settings.annotations_only(s)), "simulated")
    assert again.two_labels == pytest.approx(table.two_labels, abs=0.03)
    assert again.length_by_video == pytest.approx(table.length_by_video, abs=0.1)
    assert again.gap_by_video == pytest.approx(table.gap_by_video, abs=0.1)
    assert np.array(again.correlations) == pytest.approx(np.array(table.correlations), abs=0.2)
    # Of the shortest, the classes' frequencies in whole videos, and so on, more than one percent.
    for quantity in ("length", "lead", "tail"):
        middle = LEVELS.index(0.5)
        expected = table.quantiles[quantity][middle]
        assert again.quantiles[quantity][middle] == pytest.approx(expected, rel=0.2)


@pytest.mark.real_data
def test_the_tables_are_those_of_the_real_annotations(tmp_path, data_root):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--write", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in ("thumos14", "activitynet13"):
        packaged = resources.files("gaufuse.data.simulation").joinpath(f"{name}.toml").read_text()
        assert (tmp_path / f"{name}.toml").read_text() == packaged


def test_the_script_says_what_it_needs():
    environment = {k: v for k, v in os.environ.items() if k != "GAUFUSE_DATA_ROOT"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2
    assert "set GAUFUSE_DATA_ROOT to the folder of the real annotations" in done.stderr


def test_measure_by_hand():
    """Two videos: actions at 2-4 and 5-6, the second annotated twice under different names and the
    first once more as a slip of no length; and 1-9 of another class."""
    first = VideoAnnotation(
        np.array([[5.0, 6.0], [2.0, 4.0], [5.0, 6.1], [3.0, 3.0]]),
        ["a", "a", "b", "a"],
        np.ones(4),
        "training",
        10.0,
    )
    second = VideoAnnotation(np.array([[1.0, 9.0]]), ["c"], np.ones(1), "training", 16.0)
    summary = summarise([first, second])
    assert summary["instance_seconds"].tolist() == [2.0, 1.0, 8.0]
    assert summary["gap_seconds"].tolist() == [1.0]
    assert summary["instances_a_video"].tolist() == [2.0, 1.0]
    assert summary["video_seconds"].tolist() == [10.0, 16.0]
    assert summary["action_share"].tolist() == [0.3, 0.5]
    table = measure([first, second], "by hand")
    assert table.two_labels == 0.5
    # Each video weighs half: lengths 1, 2 a quarter, 8 a half, at the middles 1/8, 3/8, 3/4.
    median = 2.0 + 6.0 * (0.5 - 0.375) / (0.75 - 0.375)
    assert table.quantiles["length"][LEVELS.index(0.5)] == pytest.approx(median)
    assert table.quantiles["lead"][LEVELS.index(0.5)] == pytest.approx(1.5)


def plain(**changes) -> tuple[Appearance, np.ndarray]:
    """Without noise, bursts or other chance; and features of an action of class 0 at 4-8 of 12."""
    settings = replace(
        PROFILES["thumos-like"],
        snippet_seconds=1.0,
        weak_action=1.0,
        instance_gain=0.0,
        instance_look=0.0,
        context=0.0,
        scene=0.0,
        noise=0.0,
        bias=0.0,
        power=1.0,
        **changes,
    )
    appearance = Appearance(settings, np.random.default_rng(0))
    timeline = Timeline(12.0, np.array([4.0]), np.array([8.0]), np.array([0]))
    return appearance, appearance.features(timeline, np.random.default_rng(1)).astype(float)


def test_boundaries_blend_over_the_width_that_features_average():
    appearance, features = plain(phases=(1, 1), blend_snippets=2.0)
    strength = features @ np.maximum(appearance.phases[0, 0], 0.0)
    # A snippet averages its own second and half a second on each side: at the boundary between
    # 3 and 4, snippet 3 sees 1/4 of the action, snippet 4 3/4.
    expected = np.array([0, 0, 0, 0.25, 0.75, 1, 1, 0.75, 0.25, 0, 0, 0])
    assert strength / strength.max() == pytest.approx(expected, abs=2e-3)
    _, sharp = plain(phases=(1, 1), blend_snippets=1.0)
    assert (sharp.any(axis=1) == ([False] * 4 + [True] * 4 + [False] * 4)).all()


def test_an_instance_runs_through_its_phases_in_order():
    appearance, _ = plain(phases=(2, 4))
    rng = np.random.default_rng(0)
    orders = [appearance._phases(40 * STEPS, rng) for _ in range(50)]
    for order in orders:
        assert all(a <= b for a, b in pairwise(order))
        assert 2 <= len(set(order)) <= 4
    assert len({tuple(sorted(set(order))) for order in orders}) > 5  # each instance its own


def test_partners_look_alike():
    assert [partner(c, 5) for c in range(5)] == [1, 0, 3, 2, 4]
    settings = profile("thumos-like", ["pair_share=0.8", "phase_share=1.0", "feature_dim=512"])
    looks = Appearance(settings, np.random.default_rng(0)).phases[:, 0]
    cosines = looks @ looks.T
    assert cosines[0, 1] == pytest.approx(0.8, abs=0.1)
    assert abs(cosines[0, 2]) < 0.2


def test_features_are_not_gaussian(tmp_path):
    """Rectified, and of heavier tails than a rectified Gaussian's, whose kurtosis is below 7."""
    simulate(tmp_path, 0, TINY_OF["thumos-like"])
    values = np.concatenate([np.load(path) for path in (tmp_path / "features").iterdir()])
    values = values.astype(float)
    assert 0.2 < (values == 0.0).mean() < 0.8
    deviations = (values - values.mean(0)) / values.std(0)
    assert np.median((deviations**4).mean(0)) > 7.0


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("thumos", [], "profile must be one of thumos-like, activitynet-like, small"),
        ("small", ["clases=3"], "profile small has no setting 'clases'; it has classes, "),
        ("small", ["classes"], "setting=value"),
        ("small", ["classes=0"], "classes: Input should be greater than or equal to 1"),
        ("small", ["classes=three"], "classes: Input should be a valid integer"),
        ("small", ["snippets=[90, 60]"], "snippets: Value error, the lower bound comes first"),
        ("small", ["snippets=[30, 60]"], "take up to 40 snippets, but the shortest video has 30"),
        ("small", ["noise_correlation=1.0"], "noise_correlation: Input should be less than 1"),
        ("thumos-like", ["salient=[0.2, 1.2]"], "salient.1: Input should be less than or equal"),
        ("thumos-like", ["noise=nan"], "noise: Input should be "),
        ("thumos-like", ["snippet_seconds=0"], "snippet_seconds: Input should be greater than"),
        ("thumos-like", ["stray_contexts=1e12"], "stray_contexts: Input should be less than"),
        ("thumos-like", ["context_seconds=[1, 1e30]"], "context_seconds.1: Input should be less"),
        ("thumos-like", ["burst_snippets=[3, 1]"], "burst_snippets: Value error, the lower bound"),
        ("thumos-like", ["phases=[1, 1000000]"], "phases.1: Input should be less than or equal"),
        ("thumos-like", ["annotations=hacs"], "annotations: Input should be 'thumos14' or"),
    ],
)
def test_hostile_settings_are_named(name, overrides, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        profile(name, overrides)
    assert message in str(caught.value)


def test_videos_that_cannot_be_short_enough(tmp_path):
    with pytest.raises(ValueError, match="longest_seconds = 1 is too short"):
        simulate(tmp_path, 0, profile("thumos-like", ["longest_seconds=1"]))
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        simulate(tmp_path, -1, TINY)


def test_what_was_not_simulated_is_left_alone(tmp_path):
    (tmp_path / "features").mkdir()
    mine = tmp_path / "features" / "mine.npy"
    mine.write_bytes(b"mine")

    def assert_refused(message: str) -> None:
        before = contents(tmp_path)
        with pytest.raises(ValueError, match=message):
            simulate(tmp_path, 1, TINY)
        assert contents(tmp_path) == before

    assert_refused("holds features/mine.npy, which is no part of a simulated data set: name")
    (tmp_path / "dataset.toml").write_text('name = "mine"\n')
    assert_refused("was not simulated: name another folder")
    mine.unlink()
    (tmp_path / "dataset.toml").unlink()
    simulate(tmp_path, 0, TINY)
    mine.write_bytes(b"mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text("{}")
    assert_refused("holds features/mine.npy, .* and 1 more: name another folder, or remove it")


def test_a_data_set_that_cannot_be_made_leaves_the_old_one(tmp_path):
    simulate(tmp_path / "data", 0, TINY)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="float16"):
        simulate(tmp_path / "data", 0, replace(TINY, noise=1e9))
    assert contents(tmp_path) == before


def test_a_link_to_a_data_set_stays_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "large_disk" / "data")
    for seed in (0, 1):
        simulate(tmp_path / "link", seed, TINY)
        assert (tmp_path / "link").is_symlink()
        info = tomllib.loads((tmp_path / "large_disk" / "data" / "dataset.toml").read_text())
        assert info["simulation"]["seed"] == seed


@pytest.mark.parametrize("change", ["noise=1e6", "instance_gain=1e4", "scene=1e308"])
def test_features_that_float16_cannot_hold(tmp_path, change):
    with pytest.raises(ValueError, match="too large for float16: lower the strengths"):
        simulate(tmp_path, 0, profile("thumos-like", [*FEW, change]))


def test_one_class_and_few_videos(tmp_path):
    settings = profile(
        "thumos-like", ["classes=1", "training_videos=1", "testing_videos=1", "feature_dim=1"]
    )
    simulate(tmp_path, 0, settings)
    assert set(load_dataset(tmp_path).training.annotations["training_0000"].labels) == {"action_0"}


def test_command(tmp_path, capsys):
    out = str(tmp_path / "out")
    changes = [part for change in FEW for part in ("--set", change)]
    assert main(["simulate", out, "--seed", "1", *changes, "--classes", "2"]) == 0
    assert "thumos-like: 14 videos, 2 classes" in capsys.readouterr().out
    simulate(tmp_path / "same", 1, profile("thumos-like", [*FEW, "classes=2"]))
    assert contents(tmp_path / "out") == contents(tmp_path / "same")
    assert main(["simulate", out, "--profile", "big"]) == 2
    assert "thumos-like, activitynet-like, small" in capsys.readouterr().err


def test_five_data_seeds():
    assert len(set(DATA_SEEDS)) == 5


@pytest.mark.parametrize(
    ("name", "preset"),
    [("small", "simulated"), ("thumos-like", "context"), ("activitynet-like", "context")],
)
def test_a_data_set_brings_the_preset_that_it_is_trained_with(tmp_path, name, preset):
    settings = profile(name, ["training_videos=8", "testing_videos=8"])
    simulate(tmp_path, settings=settings)
    assert tomllib.loads((tmp_path / "train.toml").read_text())["base"] == preset
    assert load_config(tmp_path / "train.toml").schedule.epochs
