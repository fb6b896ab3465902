"""`gaufuse convert`: the same data set comes out of each of the field's layouts."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import field_layouts as layouts
from gaufuse.cli.main import main
from gaufuse.data.convert import resample
from gaufuse.data.dataset import Dataset, load_dataset
from gaufuse.data.formats.pickled_arrays import PickledArrays
from training_setups import SHORT


def convert(source: Path, *options: str) -> Dataset:
    output = source.parent / "converted"
    assert main(["convert", str(source), str(output), *options]) == 0
    return load_dataset(output)


def refused(source: Path, capsys, *options: str) -> str:
    output = source.parent / "converted"
    assert main(["convert", str(source), str(output), *options]) == 2
    assert not output.exists()
    assert not list(source.parent.glob(".*")), "no half folder is left"
    return capsys.readouterr().err


def assert_same(found: Dataset, wanted: Dataset, tolerance: float = 0.0) -> None:
    assert found.info.feature_dim == wanted.info.feature_dim
    for mine, theirs in ((found.training, wanted.training), (found.testing, wanted.testing)):
        assert mine.names == theirs.names
        assert mine.snippet_seconds == pytest.approx(theirs.snippet_seconds)
        for name in mine.names:
            first, second = mine.annotations[name], theirs.annotations[name]
            np.testing.assert_allclose(first.segments, second.segments, atol=1e-9)
            assert first.labels == second.labels
            assert first.duration == pytest.approx(second.duration, abs=2e-3)
        for first, second in zip(mine.features, theirs.features, strict=True):
            torch.testing.assert_close(first.float(), second.float(), rtol=0, atol=tolerance)


def write_wtalc(source: Path, dataset: Dataset, inside: str, writer: str = "python2") -> Path:
    layouts.write_annotation_arrays(source / inside, dataset)
    arrays = [features for _, _, features in layouts.videos(dataset)]
    path = source / "Thumos14reduced-I3D-JOINTFeatures.npy"
    layouts.write_joint(path, arrays, writer)
    return path


@pytest.mark.parametrize("inside", [".", "Thumos14reduced-Annotations"])
@pytest.mark.parametrize("writer", ["python2", "protocol2", "protocol3", "protocol4", "protocol5"])
def test_wtalc(source, dataset, inside, writer):
    write_wtalc(source, dataset, inside, writer)
    found = convert(source)
    assert_same(found, dataset)
    assert found.info.classes == dataset.info.classes


@pytest.mark.parametrize("writer", ["python2", "protocol2", "protocol3", "protocol4", "protocol5"])
@pytest.mark.parametrize("shape", [(3, 2), (70, 64), (1, 300_000)])
def test_joint_arrays_of_any_size(tmp_path, writer, shape):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]
    layouts.write_joint(tmp_path / "x.npy", arrays, writer)
    found = PickledArrays(tmp_path / "x.npy")
    for i in (2, 0, 1):
        np.testing.assert_array_equal(found[i], arrays[i])


def test_a_joint_file_is_not_read_whole(tmp_path):
    import tracemalloc

    arrays = [np.ones((1000, 256), np.float32) for _ in range(40)]  # 40 MB
    layouts.write_joint(tmp_path / "x.npy", arrays, "python2")
    del arrays
    tracemalloc.start()
    found = PickledArrays(tmp_path / "x.npy")
    total = sum(float(found[i].sum()) for i in range(len(found)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 40 * 1000 * 256
    assert peak < 8e6


class _Attack:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_malicious_files_are_refused(source, dataset, tmp_path, capsys):
    hit = tmp_path / "hit"
    joint = write_wtalc(source, dataset, ".")
    layouts.write_joint(joint, [_Attack(hit)], "protocol3")
    assert "refused to load posix.system" in refused(source, capsys)
    write_wtalc(source, dataset, ".")
    np.save(source / "segments.npy", layouts.object_array([_Attack(hit)]))
    assert "refused to load posix.system" in refused(source, capsys)
    for suffix in (".pkl", ".pt", ".pth"):
        other = tmp_path / f"opentad{suffix[1:]}"
        other.mkdir()
        layouts.write_opentad_json(other / "gt.json", dataset)
        for name, _, features in layouts.videos(dataset):
            layouts.write_file(other / "features" / f"{name}.npy", features)
        victim = other / "features" / f"{dataset.training.names[0]}.npy"
        victim.with_suffix(suffix).write_bytes(pickle.dumps(_Attack(hit)))
        victim.unlink()
        message = refused(other, capsys, "--feat-stride", "16", "--orientation", "td")
        assert victim.stem in message
    assert not hit.exists()


@pytest.mark.parametrize("damage", ["cut", "length", "shape"])
def test_damaged_joint_files_are_refused(source, dataset, capsys, damage):
    path = write_wtalc(source, dataset, ".")
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "length":  # a string that claims two gigabytes
        at = data.index(b"T", data.index(b"ndarray", 600))
        path.write_bytes(data[: at + 1] + b"\xff\xff\xff\x7f" + data[at + 5 :])
    else:
        layouts.write_joint(path, [np.zeros(5, np.float32)] * 15, "python2")
    assert f"{path} is not a readable array of arrays" in refused(source, capsys)


@pytest.mark.parametrize("place", ["features", "features/train", "elsewhere"])
def test_per_video(source, dataset, place):
    layouts.write_gt_json(source / "gt.json", dataset)
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / place / f"{name}.npy", features)
    assert_same(convert(source), dataset)


def test_per_video_with_annotation_arrays(source, dataset):
    layouts.write_annotation_arrays(source / "Thumos14reduced-Annotations", dataset)
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / f"{name}.npy", features)
    assert_same(convert(source), dataset)


def test_rgb_and_flow(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    longer = dataset.training.names[1]
    for name, entry, features in layouts.videos(dataset):
        part = "train" if entry.subset == "training" else "test"
        rgb, flow = features[:, :5], features[:, 5:]
        if name == longer:
            flow = np.concatenate([flow, flow[:1]])
        layouts.write_file(source / "features" / part / "rgb" / f"{name}.npy", rgb)
        layouts.write_file(source / "features" / part / "flow" / f"{name}.npy", flow)
    assert_same(convert(source), dataset)
    assert f"1 videos had one snippet more of rgb or of flow, which was cut: {longer}" in (
        " ".join(capsys.readouterr().out.split())
    )


def test_rgb_and_flow_of_different_videos(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / "rgb" / f"{name}.npy", features)
        layouts.write_file(source / "features" / "flow" / f"{name}.npy", features[2:])
    assert "snippets" in refused(source, capsys)
    (source / "features" / "flow" / f"{name}.npy").unlink()
    assert f"one of rgb and flow only: {name}" in refused(source, capsys)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt", ".pkl"])
@pytest.mark.parametrize("transposed", [False, True])
def test_opentad(source, dataset, suffix, transposed):
    source.mkdir()
    layouts.write_opentad_json(source / "thumos14.json", dataset)
    for name, _, features in layouts.videos(dataset):
        stored = features.T if transposed else features
        layouts.write_file(source / "features" / f"v_{name}{suffix}", np.ascontiguousarray(stored))
    found = convert(source, "--feat-stride", "16", "--template", "v_{video}")
    assert_same(found, dataset)
    assert found.info.classes == dataset.info.classes[::-1], "the order of label_id"
    assert (found.info.training_subset, found.info.testing_subset) == ("Validation", "Test")


def test_opentad_with_frame_rates_that_differ(source, dataset):
    source.mkdir()
    path = source / "thumos14.json"
    layouts.write_opentad_json(path, dataset)
    table = json.loads(path.read_text())
    for name in dataset.testing.names:
        table["database"][name]["fps"] = 50.0
    path.write_text(json.dumps(table))
    for name, entry, features in layouts.videos(dataset):
        fast = entry.subset == "testing"
        layouts.write_file(
            source / "features" / f"{name}.npy", np.repeat(features, 2, 0) if fast else features
        )
    found = convert(source, "--feat-stride", "16")
    assert found.info.snippet_seconds is None
    assert set(found.training.snippet_seconds) == {0.64}
    assert set(found.testing.snippet_seconds) == {0.32}


def test_opentad_must_be_told_what_nobody_can_know(source, dataset, capsys):
    source.mkdir()
    layouts.write_opentad_json(source / "thumos14.json", dataset)
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / f"{name}.npy", features[:20])
    assert "--orientation" in refused(source, capsys)
    assert "--feat-stride" in refused(source, capsys, "--orientation", "td")


def test_a_wrong_snippet_length_is_noticed(source, dataset, capsys):
    write_wtalc(source, dataset, ".")
    duration = np.load(source / "duration.npy")
    np.save(source / "duration.npy", duration / 2)
    assert "--snippet-seconds" in refused(source, capsys)
    found = convert(source, "--snippet-seconds", "0.32")
    assert found.info.snippet_seconds == 0.32


def test_missing_videos(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    table = json.loads((source / "gt.json").read_text())
    no_labels, no_features, listed = dataset.training.names[:3]
    table["database"][no_labels]["annotations"] = []
    (source / "gt.json").write_text(json.dumps(table))
    for name, _, features in layouts.videos(dataset):
        if name != no_features:
            layouts.write_file(source / "features" / f"{name}.npy", features)
    layouts.write_file(source / "features" / "stranger.npy", features)
    message = refused(source, capsys)
    assert f"1 without features: {no_features}" in message
    assert f"1 without labels: {no_labels}" in message
    assert "1 features without annotations: stranger" in message
    assert "--skip-missing" in message
    (source.parent / "list.txt").write_text(f"v_{listed}\n")
    found = convert(source, "--skip-missing", "--missing", str(source.parent / "list.txt"))
    assert found.training.names == dataset.training.names[3:]
    assert found.testing.names == dataset.testing.names


def test_output_is_not_replaced_unasked(source, dataset, capsys):
    write_wtalc(source, dataset, ".")
    convert(source)
    output = source.parent / "converted"
    before = (output / "dataset.toml").read_text()
    assert main(["convert", str(source), str(output)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["convert", str(source), str(output), "--overwrite", "--name", "again"]) == 0
    assert load_dataset(output).info.name == "again"
    assert before != (output / "dataset.toml").read_text()


def test_what_is_no_data_set_is_never_replaced(source, dataset, capsys):
    write_wtalc(source, dataset, ".")
    precious = source.parent / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("x")
    for output in (precious, precious / "thesis.tex"):
        assert main(["convert", str(source), str(output), "--overwrite"]) == 2
        assert "is no data set, so --overwrite does not replace it" in capsys.readouterr().err
    assert (precious / "thesis.tex").read_text() == "x"
    (precious / "thesis.tex").unlink()
    assert main(["convert", str(source), str(precious), "--overwrite"]) == 0


def test_bad_features_leave_nothing_behind(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / f"{name}.npy", features)
    path = source / "features" / f"{name}.npy"
    for bad, message in (
        (np.full_like(features, np.nan), "NaN"),
        (features[:, :-1], "11 dimensions"),
        (features[:0], "no snippet"),
        (np.zeros(features.shape, np.int64), "floats"),
    ):
        np.save(path, bad)
        error = refused(source, capsys, "--orientation", "td")
        assert message in error
        assert name in error
    np.save(path, features * 1e6)
    assert "too large for float16" in refused(source, capsys, "--float16")


def test_a_video_without_snippets_among_timed_ones(source, dataset, capsys):
    source.mkdir()
    layouts.write_opentad_json(source / "thumos14.json", dataset)
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / f"{name}.npy", features)
    np.save(source / "features" / f"{dataset.training.names[0]}.npy", features[:0])
    error = refused(source, capsys, "--feat-stride", "16")
    assert f"video {dataset.training.names[0]!r} has no snippet" in error


def test_names_do_not_leave_the_folder(source, dataset, capsys):
    layouts.write_gt_json(source / "gt.json", dataset)
    table = json.loads((source / "gt.json").read_text())
    table["database"]["../../outside"] = table["database"].pop(dataset.training.names[0])
    (source / "gt.json").write_text(json.dumps(table))
    (source / "features").mkdir()
    assert "cannot be a file's name" in refused(source, capsys)


@pytest.mark.parametrize("snippets", [7, 75])
def test_resampled_videos_keep_their_seconds(source, dataset, snippets):
    write_wtalc(source, dataset, ".")
    found = convert(source, "--resample", str(snippets), "--rename", "testing=Test", "--float16")
    assert found.info.snippets == snippets
    assert found.info.testing_subset == "Test"
    for name, seconds, features in zip(
        found.training.names, found.training.snippet_seconds, found.training.features, strict=True
    ):
        assert features.shape == (snippets, dataset.info.feature_dim)
        assert features.dtype == torch.float16
        assert seconds * snippets == pytest.approx(dataset.training.annotations[name].duration)


def test_our_own_layout_made_smaller(dataset):
    found = convert(dataset.info.root, "--resample", "20", "--float16", "--name", "small")
    assert found.info.name == "small"
    assert found.training.names == dataset.training.names
    assert found.training.features.lengths == [20] * 9
    again = found.info.root.parent / "again"
    assert main(["convert", str(found.info.root), str(again), "--resample", "10"]) == 0
    assert load_dataset(again).testing.features.lengths == [10] * 6


def test_the_source_is_not_its_own_output(dataset, capsys):
    root = dataset.info.root
    assert main(["convert", str(root), str(root), "--overwrite"]) == 2
    assert "holds the source" in capsys.readouterr().err
    assert load_dataset(root).training.names == dataset.training.names


def test_resampling_is_linear_between_snippet_centers():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((11, 3)).astype(np.float32)
    for snippets in (4, 11, 30):
        centers = (np.arange(snippets) + 0.5) * 11 / snippets - 0.5
        wanted = np.stack([np.interp(centers, np.arange(11), column) for column in features.T], 1)
        np.testing.assert_allclose(resample(features, snippets), wanted, atol=1e-5)


def test_nothing_known(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["convert", str(tmp_path / "empty"), str(tmp_path / "out")]) == 2
    assert "--format" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "empty"), "-o", str(tmp_path / "run")]) == 2
    assert "gaufuse convert" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--resample", "40"]])
def test_converted_data_is_trained_on_and_evaluated(source, dataset, tmp_path, options, capsys):
    write_wtalc(source, dataset, "Thumos14reduced-Annotations")
    convert(source, *options)
    output, run = source.parent / "converted", tmp_path / "run"
    changes = [part for change in SHORT for part in ("--set", change)]
    train = ["train", str(output), "-o", str(run), "--config", "simulated", *changes]
    assert main(train) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    predictions = json.loads((run / "predictions.json").read_text())["results"]
    testing = load_dataset(output).testing
    for name, found in predictions.items():
        end = max((entry["segment"][1] for entry in found), default=0.0)
        assert end <= testing.annotations[name].duration + 1e-2
    report = tmp_path / "report.json"
    evaluate = ["evaluate", str(run / "predictions.json"), str(output / "annotations.json")]
    assert main([*evaluate, "--subset", "testing", "--json", str(report)]) == 0
    if metrics["protocol"] == "activitynet":
        assert json.loads(report.read_text())["average_map"] == pytest.approx(
            metrics["average_map"]
        )


@pytest.mark.real_data
def test_real_wtalc_annotations(data_root, tmp_path):
    from gaufuse.data.wtalc_annotations import load_wtalc_annotations

    folder = data_root / "thumos14" / "Thumos14reduced-Annotations"
    truth = load_wtalc_annotations(folder)
    rng = np.random.default_rng(0)
    arrays = [
        rng.random((max(1, int(entry.duration / 0.64)), 4)).astype(np.float32)
        for entry in truth.values()
    ]
    layouts.write_joint(tmp_path / "JOINTFeatures.npy", arrays, "python2")
    source = tmp_path / "JOINTFeatures.npy"
    output = tmp_path / "out"
    options = ["--annotations", str(folder), "--features", str(source)]
    assert main(["convert", str(tmp_path), str(output), *options]) == 0
    found = load_dataset(output)
    assert (len(found.training), len(found.testing), len(found.info.classes)) == (200, 212, 20)
    assert sum(len(entry.labels) for entry in found.training.annotations.values()) == 3007
    np.testing.assert_array_equal(found.training.features[5], arrays[5])


@pytest.mark.real_data
@pytest.mark.parametrize("file", ["gt.json", "thumos14.json"])
def test_real_json_annotations(data_root, tmp_path, file):
    from gaufuse_ext.annotations import load_ground_truth

    path = data_root / "thumos14" / file
    truth = load_ground_truth(path)
    table = json.loads(path.read_text())["database"]
    for name, entry in truth.items():
        fps = table[name].get("fps", 25.0)
        length = int((entry.duration or 60.0) * fps / 16) or 1
        layouts.write_file(tmp_path / "in" / f"{name}.npy", np.full((length, 4), 0.5, np.float32))
    output = tmp_path / "out"
    options = ["--features", str(tmp_path / "in")]
    if file == "thumos14.json":
        options += ["--feat-stride", "16"]
    assert main(["convert", str(path), str(output), *options]) == 0
    found = load_dataset(output)
    assert len(found.training) == 200
    assert len(found.testing) == {"gt.json": 210, "thumos14.json": 212}[file]


@pytest.mark.real_data
def test_real_activitynet_annotations(data_root, tmp_path):
    root = data_root / "activitynet13"
    from gaufuse_ext.annotations import load_ground_truth

    path = root / "anet_anno_action.json.gz"
    names = sorted(load_ground_truth(path))
    kept = names[::100]
    for i, name in enumerate(kept):
        features = np.full((5 + i % 7, 3), 0.5, np.float32)
        layouts.write_file(tmp_path / "in" / f"{name}.npy", features)
    (tmp_path / "missing.txt").write_text("\n".join(sorted(set(names) - set(kept))))
    output = tmp_path / "out"
    options = ["--features", str(tmp_path / "in"), "--resample", "75"]
    options += ["--subsets", str(root / "video_info_new.csv")]
    options += ["--missing", str(tmp_path / "missing.txt"), "--skip-missing"]
    assert main(["convert", str(path), str(output), *options]) == 0
    found = load_dataset(output)
    assert found.info.snippets == 75
    assert (found.info.training_subset, found.info.testing_subset) == ("training", "validation")
    assert len(found.training) > len(found.testing) > 20
