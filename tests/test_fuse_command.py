"""`gaufuse fuse` and `gaufuse tune`: methods beside the operations, weights, search, held out."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

import gaufuse_ext as gx
from gaufuse.cli.main import main
from gaufuse.localization.fusion import fuse_detections
from gaufuse.localization.fusion_settings import FusionSettings, load_settings
from gaufuse.localization.pooled_detections import PooledDetections, pool, with_common_ids
from gaufuse.localization.tune_fusion import (
    SPACES,
    average_maps,
    grid,
    places_in_class,
    random_settings,
    tune,
)
from gaufuse_ext.annotations import Segments, VideoAnnotation, load_predictions
from gaufuse_ext.flat_segments import FlatSegments


def random_model(seed: int, videos: int = 4, classes: int = 3, most: int = 30) -> FlatSegments:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, most)) * videos
    starts = rng.uniform(0, 50, count)
    return FlatSegments(
        np.stack([starts, starts + rng.uniform(0.5, 20, count)], 1),
        np.sort(rng.integers(0, videos, count)).astype(np.int32),
        rng.integers(0, classes, count).astype(np.int32),
        rng.uniform(0.01, 1, count).round(2),  # with ties
        [f"v{i}" for i in range(videos)],
        [f"c{i}" for i in range(classes)],
    )


def rows_of(flat: FlatSegments) -> list[tuple]:
    return sorted(
        zip(
            (flat.videos[v] for v in flat.video_ids),
            (flat.classes[c] for c in flat.class_ids),
            map(tuple, flat.segments.round(9).tolist()),
            flat.scores.round(9).tolist(),
            strict=True,
        )
    )


def one_by_one(models: list[FlatSegments], settings: FusionSettings) -> list[tuple]:
    """Every class of every video alone, through the unbatched operations."""
    out = []
    names = models[0]
    weights = np.array(settings.model_weights or [1.0] * len(models))
    mean = settings.method == "weighted" and settings.confidence == "avg"
    weights = weights / (weights.mean() if mean else weights.max())
    for v, video in enumerate(names.videos):
        for c, label in enumerate(names.classes):
            chosen = [(m.video_ids == v) & (m.class_ids == c) for m in models]
            segments = torch.tensor(
                np.concatenate([m.segments[x] for m, x in zip(models, chosen, strict=True)])
            )
            scores = torch.tensor(
                np.concatenate(
                    [m.scores[x] * w for m, x, w in zip(models, chosen, weights, strict=True)]
                )
            )
            if len(scores):
                for segment, score in zip(*_operation(segments, scores, settings), strict=True):
                    out.append((video, label, tuple(segment), score))
    return sorted((v, c, tuple(np.round(s, 9)), round(x, 9)) for v, c, s, x in out)


def _operation(segments, scores, s: FusionSettings) -> tuple[list, list]:
    if s.method == "none":
        return segments.tolist(), scores.tolist()
    if s.method == "nms":
        keep = gx.nms(segments, scores, s.overlap_threshold)
        kept, found = segments[keep], scores[keep]
    elif s.method == "soft-nms":
        soft = gx.soft_nms(segments, scores, sigma=s.sigma, iou_threshold=s.overlap_threshold)
        kept, found = segments[soft.keep[: soft.counts]], soft.scores[: soft.counts]
    elif s.method == "weighted":
        fused = gx.weighted_segments_fusion(
            segments, scores, iou_threshold=s.overlap_threshold, num_models=2,
            confidence=s.confidence,
        )  # fmt: skip
        kept, found = fused.segments[: fused.counts], fused.scores[: fused.counts]
    else:
        fused = gx.fuse_segments(
            segments, scores, temperature=s.temperature, threshold=s.overlap_threshold,
            overlap=s.overlap, length_offset=0.0,
        )  # fmt: skip
        kept, found = fused.segments[: fused.counts], fused.scores[: fused.counts]
    if s.then == "soft-nms":
        return _operation(kept, found, FusionSettings(method="soft-nms", sigma=s.sigma))
    if s.voting != "none":
        kept = gx.segment_voting(kept, segments, scores, s.voting_threshold, weights=s.voting)
    return kept.tolist(), found.tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "none", "model_weights": (1.0, 0.5)},
        {"method": "nms", "threshold": 0.4},
        {"method": "nms", "threshold": 0.4, "voting": "score", "voting_threshold": 0.5},
        {"method": "soft-nms", "sigma": 0.3, "model_weights": (0.5, 1.0)},
        {"method": "soft-nms", "sigma": 0.3, "voting": "score_iou", "voting_threshold": 0.5},
        {"method": "weighted", "threshold": 0.5, "model_weights": (0.5, 1.0)},
        {"method": "weighted", "threshold": 0.5, "confidence": "max", "model_weights": (2.0, 1.0)},
        {"method": "weighted", "threshold": 0.6, "then": "soft-nms", "sigma": 0.3},
        {"method": "fusion", "threshold": 0.4, "overlap": "iou", "temperature": 0.05},
        {"method": "fusion", "then": "soft-nms"},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_every_method_is_its_operation_group_by_group(settings):
    models = [random_model(1), random_model(2)]
    settings = FusionSettings(**settings)
    assert rows_of(fuse_detections(pool(models), settings)) == one_by_one(models, settings)


def test_results_are_by_video_and_score_and_the_top_is_the_top():
    detections = pool([random_model(3), random_model(4)])
    everything = fuse_detections(detections, FusionSettings(method="none"))
    top = fuse_detections(detections, FusionSettings(method="none", top=5))
    for video in range(4):
        own = everything.scores[everything.video_ids == video]
        assert (np.diff(own) <= 0).all()
        assert top.scores[top.video_ids == video].tolist() == own[:5].tolist()
    assert (np.diff(everything.video_ids) >= 0).all()


@pytest.mark.parametrize("method", ["nms", "soft-nms", "weighted", "fusion"])
def test_class_agnostic_groups_are_videos_and_the_best_gives_its_class(method):
    flat = FlatSegments(
        [[0.0, 10.0], [0.0, 10.0], [20.0, 30.0], [0.0, 10.0]],
        [0, 0, 0, 1],
        [0, 1, 0, 0],
        [0.5, 0.9, 0.4, 0.3],
        ["v", "w"],
        ["a", "b"],
    )
    found = fuse_detections(
        pool([flat]), FusionSettings(method=method, class_agnostic=True, min_score=0.1)
    )
    first = [
        (v, c) for v, c in zip(found.video_ids.tolist(), found.class_ids.tolist(), strict=True)
    ]
    assert first == [(0, 1), (0, 0), (1, 0)]
    assert found.segments[0].tolist() == [0.0, 10.0]


def test_nothing_in_gives_nothing_out():
    empty = FlatSegments(np.empty((0, 2)), [], [], [], ["v"], [])
    for method in ("none", *SPACES):
        found = fuse_detections(pool([empty, empty]), FusionSettings(method=method))
        assert len(found) == 0
        assert found.videos == ["v"]


def test_pool_and_common_ids_match_names():
    first = FlatSegments([[0, 1], [2, 3]], [0, 1], [0, 1], [0.1, 0.2], ["v", "w"], ["a", "b"])
    second = FlatSegments([[4, 5]], [0], [0], [0.3], ["w"], ["b"])
    pooled = pool([first, second])
    assert pooled.models.tolist() == [0, 0, 1]
    assert pooled.flat.video_ids.tolist() == [0, 1, 1]
    assert pooled.flat.class_ids.tolist() == [0, 1, 1]
    truth = {"w": VideoAnnotation(np.array([[2.0, 3.0]]), ["b"], np.ones(1))}
    common = with_common_ids(pooled.flat, truth)
    assert common.rows.tolist() == [1, 2]
    assert common.videos_without_truth == 1
    assert common.unknown_classes == {"a": 1}


def test_places_in_class():
    flat = FlatSegments(np.zeros((5, 2)), [0] * 5, [0, 1, 0, 0, 1], [0.2, 0.9, 0.5, 0.2, 0.1])
    assert places_in_class(flat).tolist() == [1, 0, 0, 1, 1]


def test_candidates_do_different_things_and_repeat_by_seed():
    candidates = grid(list(SPACES), {"top": 7})
    assert len(set(candidates)) == len(candidates) > 100
    assert all(candidate.top == 7 for candidate in candidates)
    drawn = random_settings(list(SPACES), 2, {}, 30, seed=4)
    assert drawn == random_settings(list(SPACES), 2, {}, 30, seed=4)
    assert drawn != random_settings(list(SPACES), 2, {}, 30, seed=5)
    assert len(set(drawn)) == 30
    assert all(max(candidate.model_weights) == 1.0 for candidate in drawn)
    assert len(random_settings(["soft-nms"], 1, {}, 1000, seed=0)) == 45


def planted(seed: int, videos: int = 12) -> tuple[PooledDetections, dict[str, VideoAnnotation]]:
    """Each instance found twice, a little apart, so that suppression helps."""
    rng = np.random.default_rng(seed)
    truth, found = {}, {}
    for v in range(videos):
        starts = np.arange(4) * 20 + rng.uniform(0, 5, 4)
        segments = np.stack([starts, starts + 10], 1)
        labels = rng.choice(["a", "b"], 4).tolist()
        truth[f"v{v}"] = VideoAnnotation(segments, labels, np.ones(4), "val", 80.0)
        twice = np.concatenate([segments, segments + 2.0])
        found[f"v{v}"] = Segments(twice, labels * 2, rng.uniform(0.5, 1, 8))
    return pool([FlatSegments.from_videos(found)]), truth


def test_tune_finds_what_helps_and_holds_it_out():
    detections, truth = planted(0)
    candidates = [FusionSettings(method="none"), FusionSettings(method="nms", threshold=0.5)]
    notes: list[str] = []
    tuned = tune(detections, truth, candidates, np.array([0.5]), folds=3, tell=notes.append)
    assert tuned.best.settings == candidates[1]
    assert tuned.best.everywhere == pytest.approx(100.0)
    assert tuned.by_fold == [candidates[1]] * 3
    # All parts chose the same, so what was held out is what was chosen.
    assert tuned.held_out == pytest.approx(tuned.best.everywhere)
    assert len(notes) == 2
    assert sorted(np.bincount(tuned.folds).tolist()) == [4, 4, 4]
    with pytest.raises(ValueError, match="folds must be 2 to 12"):
        tune(detections, truth, candidates, np.array([0.5]), folds=13)


def test_folds_of_a_trial_are_the_mAP_of_those_videos():
    detections, truth = planted(1)
    settings = FusionSettings(method="none")
    tuned = tune(detections, truth, [settings], np.array([0.3, 0.6]), folds=3)
    fused = fuse_detections(detections, settings)
    for fold in range(3):
        for values, inside in ((tuned.best.within, True), (tuned.best.without, False)):
            own = {v: e for (v, e), k in zip(truth.items(), tuned.folds, strict=True)
                   if (k == fold) == inside}  # fmt: skip
            expected = gx.detection_map(fused, {"database": own}, [0.3, 0.6]).average_map
            assert values[fold] == pytest.approx(expected)
    common = with_common_ids(fused, truth)
    whole = average_maps(common, np.ones((12, 1), np.int32), np.array([0.3, 0.6]), "activitynet")
    assert whole[0] == pytest.approx(tuned.best.everywhere)


def written(tmp_path: Path) -> tuple[Path, Path]:
    detections, truth = planted(2)
    results = {
        video: [
            {"segment": s, "label": x, "score": q}
            for s, x, q in zip(e.segments.tolist(), e.labels, e.scores.tolist(), strict=True)
        ]
        for video, e in detections.flat.to_videos().items()
    }
    database = {
        video: {
            "subset": e.subset,
            "annotations": [
                {"segment": s, "label": x}
                for s, x in zip(e.segments.tolist(), e.labels, strict=True)
            ],
        }
        for video, e in truth.items()
    }
    (tmp_path / "p.json").write_text(json.dumps({"results": results}))
    (tmp_path / "gt.json").write_text(json.dumps({"database": database}))
    return tmp_path / "p.json", tmp_path / "gt.json"


def test_tune_then_fuse(tmp_path, capsys):
    predictions, truth = written(tmp_path)
    arguments = ["tune", predictions, predictions, "-g", truth, "--subset", "val"]
    arguments += ["--search", "random", "--trials", "12", "--folds", "3"]
    for name in ("a.toml", "b.json"):
        assert main([str(x) for x in [*arguments, "-o", tmp_path / name]]) == 0
    printed = capsys.readouterr().out
    assert "tuning on subset 'val'" in printed
    assert "held out" in printed
    table = tomllib.loads((tmp_path / "a.toml").read_text())
    assert table["tuned"]["subset"] == "val"
    assert table["tuned"]["candidates"] == 12
    settings, about = load_settings(tmp_path / "b.json")
    assert settings == load_settings(tmp_path / "a.toml")[0]
    out = tmp_path / "out.json"
    command = ["fuse", predictions, predictions, "-o", out, "--settings", tmp_path / "a.toml"]
    assert main([str(x) for x in command]) == 0
    assert "tuned on subset 'val'" in capsys.readouterr().out
    value = gx.detection_map(out, truth, about["tuned"]["iou_thresholds"]).average_map
    assert value == pytest.approx(about["tuned"]["average_map"])
    # What is given goes before what was tuned.
    assert main([str(x) for x in [*command, "--top", "1"]]) == 0
    assert all(len(entry.labels) == 1 for entry in load_predictions(out).values())


def test_tuning_on_test_videos_is_said(tmp_path, capsys):
    predictions, truth = written(tmp_path)
    truth.write_text(truth.read_text().replace('"val"', '"test"'))
    arguments = ["tune", predictions, "-g", truth, "-o", tmp_path / "t.toml", "--methods", "nms"]
    arguments += ["--folds", "2"]
    with pytest.raises(SystemExit):
        main([str(x) for x in arguments])
    assert "--subset" in capsys.readouterr().err
    assert main([str(x) for x in [*arguments, "--subset", "test"]]) == 0
    assert "looks like test videos" in capsys.readouterr().out
    assert "tuned, not tested" in tomllib.loads((tmp_path / "t.toml").read_text())["tuned"]["note"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--method", "weighted", "--voting", "score"], "voting"),
        (["--method", "nms", "--then", "soft-nms"], "then"),
        (["--method", "nms", "--threshold", "1.5"], "threshold"),
        (["--model-weights", "1", "1", "1"], "3 for 1 files"),
        (["--model-weights", "0"], "positive weight"),
        (["--top", "0"], "top"),
        (["--settings", "absent.toml"], "absent.toml does not exist"),
    ],
)
def test_bad_options_are_named(tmp_path, capsys, arguments, text):
    predictions, _ = written(tmp_path)
    assert main(["fuse", str(predictions), "-o", str(tmp_path / "x.json"), *arguments]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_bad_settings_files_are_named(tmp_path):
    path = tmp_path / "s.toml"
    for text, message in (
        ("[fusion", "not readable TOML"),
        ("[other]", r"no section \[fusion\]"),
        ("[fusion]\nsigm = 1", "sigm"),
        ("[fusion]\nmethod = 'best'", "method"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_settings(path)


@pytest.mark.real_data
def test_two_real_models_together_are_better_than_either(data_root):
    thumos = data_root / "thumos14"
    truth = gx.annotations.load_ground_truth(thumos / "gt.json", "test")
    files = [thumos / f"detections_supervised_{x}.json.gz" for x in "ab"]
    sources = [FlatSegments.from_videos(load_predictions(file)) for file in files]
    alone = [gx.detection_map(s, {"database": truth}).average_map for s in sources]
    settings = FusionSettings(method="soft-nms", sigma=0.3)
    both = gx.detection_map(fuse_detections(pool(sources), settings), {"database": truth})
    assert alone == pytest.approx([68.94, 71.31], abs=0.005)
    assert both.average_map > max(alone) + 0.5
