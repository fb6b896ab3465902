"""`gaufuse label` makes training's labels, of the right length, for the right videos, or says why
not."""

from __future__ import annotations

import io
import json
import math
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from gaufuse.cli.main import main
from gaufuse.config import dump_config, load_config
from gaufuse.data.dataset import load_dataset
from gaufuse.data.snippet_count import snippet_count
from gaufuse.labels.pseudo_labels import make_labels
from gaufuse.model.class_activations import class_activations
from gaufuse.model.rskp import SnippetModel
from gaufuse.training.run_folder import prepare_folder
from gaufuse.training.trainer import Trainer
from training_setups import short_config, tiny_dataset

CPU = torch.device("cpu")


def succeed(capsys, *arguments: object) -> str:
    assert main(["label", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments: object) -> str:
    assert main(["label", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def proposals(path: Path, *videos: str, label: str = "jump", end: float = 4.0) -> Path:
    entry = {"segment": [1.0, end], "label": label, "score": 0.9}
    return write_json(path, {"results": {video: [entry] for video in videos}})


def annotations(path: Path, *videos: str, label: str = "jump", **more) -> Path:
    entry = {"subset": "x", "annotations": [{"segment": [1, 4], "label": label}], **more}
    return write_json(path, {"database": dict.fromkeys(videos, entry)})


def test_segments_of_a_table_are_those_of_json(tmp_path, capsys):
    found = proposals(tmp_path / "p.json", "v", "w")
    table = tmp_path / "p.csv"
    table.write_text("video,start,end,label,score\nv,1,4,jump,0.9\nw,1,4,jump,0.9\n")
    truth = annotations(tmp_path / "gt.json", "v", "w", duration=6.4)
    for source in (found, table):
        out = tmp_path / f"{source.suffix[1:]}.npz"
        succeed(capsys, source, "-o", out, "--annotations", truth)
    with np.load(tmp_path / "json.npz") as one, np.load(tmp_path / "csv.npz") as other:
        assert one.files == other.files
        assert all((one[name] == other[name]).all() for name in one.files)
        assert one["v"].max() > 0.0


# Lengths


@pytest.mark.parametrize("digits", [2, 3, 6, 12, None])
@pytest.mark.parametrize("seconds", [0.64, 16 / 30, 16 / 29.97, 0.1, 4 / 15, 0.5])
def test_a_rounded_duration_has_the_snippets_that_it_had_before(seconds, digits):
    for n in [*range(1, 400), 7_000, 100_003]:
        duration = n * seconds if digits is None else round(n * seconds, digits)
        if duration - n * seconds > 0.5e-3 + 1e-9:
            continue  # two digits: rounded up by more than is taken for rounding
        assert snippet_count(duration, seconds) == n


def test_a_snippet_that_was_begun_counts():
    assert snippet_count(4.48, 0.64) == 7  # 4.48 / 0.64 = 7.000000000000001
    assert snippet_count(4.482, 0.64) == 8
    assert snippet_count(4.47, 0.64) == 7
    assert snippet_count(0.01, 0.64) == 1
    assert snippet_count(1e-9, 0.64) == 1
    # With a snippet of a frame, 0.5 ms are more than rounding can be.
    assert snippet_count(10.0004, 0.001) == math.ceil(10.0004 / 0.001) == 10001


def test_labels_of_rounded_durations(tmp_path, capsys):
    lengths = {f"v{n}": n for n in (7, 14, 28, 29, 56, 1000)}
    truth = {
        video: {"duration": round(n * 0.64, 6), "annotations": [{"segment": [1, 4], "label": "a"}]}
        for video, n in lengths.items()
    }
    truth = write_json(tmp_path / "gt.json", truth)
    out = tmp_path / "out.npz"
    found = proposals(tmp_path / "p.json", *lengths, label="a")
    succeed(capsys, found, "-o", out, "--annotations", truth)
    with np.load(out) as labels:
        assert {video: len(labels[video]) for video in lengths} == lengths


@pytest.mark.parametrize("duration", [0, 0.0, -1.0, -0.64, "-3"])
def test_durations_that_are_not_positive(tmp_path, capsys, duration):
    found = proposals(tmp_path / "p.json", "v")
    truth = annotations(tmp_path / "gt.json", "v", duration=duration)
    error = refused(capsys, found, "-o", tmp_path / "out", "--annotations", truth)
    assert f"gt.json: video 'v' has duration {float(duration)}: it must be positive" in error
    assert not (tmp_path / "out").exists()


def test_segments_past_the_videos_end_are_told(tmp_path, capsys):
    entries = [{"segment": s, "label": "jump", "score": 0.9} for s in ([1, 4], [50, 60])]
    found = write_json(tmp_path / "p.json", {"results": {"v": entries}})
    truth = annotations(tmp_path / "gt.json", "v", duration=6.4)
    said = succeed(capsys, found, "-o", tmp_path / "out", "--annotations", truth)
    assert "1 with segments past their end, which label nothing: 'v'" in said
    assert np.load(tmp_path / "out" / "v.npy").shape == (10, 1)


def test_a_data_sets_own_snippets(tmp_path, capsys):
    """Their length is dataset.toml's, not 0.64 s, and their number that of the features."""
    data = tiny_dataset(tmp_path / "data")
    info = (data / "dataset.toml").read_text()
    (data / "dataset.toml").write_text(
        info.replace("snippet_seconds = 0.64", "snippet_seconds = 0.32", 1)
    )
    video = load_dataset(data).training
    name, annotation, length = video.names[0], video.annotations, video.features.lengths[0]
    label = annotation[name].labels[0]
    found = proposals(tmp_path / "p.json", name, label=label, end=6.4)
    succeed(capsys, found, "-o", tmp_path / "out", "--annotations", data)
    labels = np.load(tmp_path / "out" / f"{name}.npy")
    assert len(labels) == length
    assert labels[20:].max() == 0.0 < labels[19].max()  # 6.4 s are 20 snippets of 0.32 s
    (data / "features" / f"{name}.npy").unlink()
    succeed(capsys, found, "-o", tmp_path / "other", "--annotations", data)
    duration = annotation[name].duration
    assert len(np.load(tmp_path / "other" / f"{name}.npy")) == pytest.approx(duration / 0.32)


# One path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> SnippetModel:
    folder = tmp_path_factory.mktemp("trained")
    dataset = load_dataset(tiny_dataset(folder / "data"))
    run = prepare_folder(folder / "run", False, False)
    config = short_config("model.dropout=0.0", "optimizer.learning_rate=[{until=7, value=1e-2}]")
    trainer = Trainer(dataset, config, run, CPU, Console(file=io.StringIO()))
    trainer.run()
    return trainer.model.eval()


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("labels.fusion_weights=score", "labels.temperature=[0.3, 0.1]"),
        ("labels.threshold_kind=range", "labels.thresholds=[0.1, 0.1, 0.9]", "labels.cas=sigmoid"),
        ("labels.min_length=4", "labels.margin=0.5", "labels.fusion_overlap=iou"),
        ("linpro.prices=instance", "linpro.constraint=hard", "linpro.weights=confidence"),
        ("linpro.formulation=released",),
    ],
    ids=["preset", "score-weights", "range", "settings", "linpro", "released"],
)
@pytest.mark.parametrize("refresh", [1, 2])
def test_activations_become_exactly_trainings_labels(tmp_path, capsys, trained, overrides, refresh):
    data = tiny_dataset(tmp_path / "data")
    config = short_config("labels.temperature=[0.02, 0.005]", *overrides)
    training = load_dataset(data).training
    expected, _ = make_labels(trained, training, config, refresh - 1, CPU)
    assert sum(float(labels.sum()) for labels in expected) > 1.0

    folder = tmp_path / "cas"
    folder.mkdir()
    with torch.no_grad():
        for batch in training.batches(config.data.batch_size):
            outputs = trained(batch.features, batch.mask, lengths=batch.sizes, classwise=False)
            activations = class_activations(outputs, config.labels)
            for row, video, size in zip(activations, batch.videos, batch.sizes, strict=True):
                np.save(folder / f"{training.names[video]}.npy", row[:size].numpy())
    (tmp_path / "config.toml").write_text(dump_config(config))
    (tmp_path / "classes.txt").write_text("\n".join(training.info.classes))
    arguments = [folder, "--classes", tmp_path / "classes.txt", "--annotations", data]
    arguments += ["--config", tmp_path / "config.toml", "--refresh", refresh]
    succeed(capsys, *arguments, "-o", tmp_path / "labels")
    for name, labels in zip(training.names, expected, strict=True):
        assert np.array_equal(np.load(tmp_path / "labels" / f"{name}.npy"), labels.numpy()), name


def test_the_defaults_for_activations_are_the_papers(tmp_path, capsys):
    """By hand, operation by operation: inner weights, and the temperature of the first refresh."""
    import gaufuse_ext as gx

    rng = np.random.default_rng(2)
    cas = np.convolve(rng.uniform(0.0, 0.06, 90), np.ones(5) / 5, mode="same")
    (tmp_path / "cas").mkdir()
    np.save(tmp_path / "cas" / "v.npy", cas[:, None].astype(np.float32))
    (tmp_path / "classes.txt").write_text("jump\n")
    common = [tmp_path / "cas", "--classes", tmp_path / "classes.txt", "-o", tmp_path / "out"]

    def by_hand(temperature: float, inner: bool = True) -> np.ndarray:
        found = gx.threshold_proposals(
            torch.from_numpy(cas.astype(np.float32))[None],
            np.arange(0.001, 0.040, 0.002).tolist(),
        )
        weights = found.weights if inner else found.scores
        fused = gx.fuse_segments(
            found.segments, found.scores, weights, found.counts, temperature=temperature
        )
        return gx.linpro_labels(fused.segments, fused.scores, 90, fused.counts).labels[0].numpy()

    def written() -> np.ndarray:
        return np.load(tmp_path / "out" / "v.npy")[:, 0]

    succeed(capsys, *common)
    assert np.array_equal(written(), by_hand(0.02))
    assert not np.allclose(written(), by_hand(0.02, inner=False), atol=1e-4)
    assert not np.allclose(written(), by_hand(0.2), atol=1e-4)
    succeed(capsys, *common, "--temperature", "0.2")
    assert np.array_equal(written(), by_hand(0.2))
    assert load_config("thumos14").labels.temperature[5] == 0.0016
    succeed(capsys, *common, "--refresh", "6")
    assert np.array_equal(written(), by_hand(0.0016))
    settings = json.loads((tmp_path / "out" / "labels.json").read_text())["labels"]
    assert settings["temperature"] == 0.0016
    assert settings["fusion_weights"] == "inner"


def test_settings_that_cannot_be(tmp_path, capsys):
    (tmp_path / "cas").mkdir()
    np.save(tmp_path / "cas" / "v.npy", np.zeros((3, 1)))
    (tmp_path / "classes.txt").write_text("jump\n")
    common = [tmp_path / "cas", "--classes", tmp_path / "classes.txt", "-o", tmp_path / "out"]
    assert "labels.temperature" in refused(capsys, *common, "--temperature", "0")
    assert "linpro.anchor_weight" in refused(capsys, *common, "--anchor-weight", "-1")
    assert "--refresh counts from 1" in refused(capsys, *common, "--refresh", "0")
    assert "--no-fusion is for segments" in refused(capsys, *common, "--no-fusion")
    assert not (tmp_path / "out").exists()


# Names as paths and keys

UNSAFE = ["../escaped", "/tmp/escaped", "a/b", "..", ".hidden", "", "a\\b", "a\0b", "a\nb"]


@pytest.mark.parametrize("name", [*UNSAFE, "x" * 300, "\ud800"])
@pytest.mark.parametrize("output", ["out", "out.npz"])
def test_names_that_would_leave_the_output(tmp_path, capsys, name, output):
    inside = tmp_path / "inside"
    inside.mkdir()
    found = proposals(tmp_path / "p.json", "good", name)
    before = sorted(tmp_path.rglob("*"))
    assert "cannot be a file's name" in refused(capsys, found, "-o", inside / output)
    assert sorted(tmp_path.rglob("*")) == before


def test_videos_named_as_the_archives_own_words(tmp_path, capsys):
    """numpy.savez takes "file" for its own argument; "classes" is the list of classes."""
    found = proposals(tmp_path / "p.json", "file", "arr_0", "kwds", "allow_pickle")
    succeed(capsys, found, "-o", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as labels:
        assert sorted(labels) == ["allow_pickle", "arr_0", "classes", "file", "kwds"]
        assert labels["classes"].tolist() == ["jump"]
        assert labels["file"].shape == (7, 1)
    with zipfile.ZipFile(tmp_path / "out.npz") as archive:
        assert archive.testzip() is None
    found = proposals(tmp_path / "p.json", "classes")
    error = refused(capsys, found, "-o", tmp_path / "other.npz")
    assert "write a folder instead" in error
    succeed(capsys, found, "-o", tmp_path / "folder")
    assert np.load(tmp_path / "folder" / "classes.npy").shape == (7, 1)


# Names that do not match


@pytest.mark.parametrize(
    ("ours", "theirs", "option"),
    [
        ("v_{}", "{}", "--template 'v_{video}'"),
        ("{}", "v_{}", "--annotation-template 'v_{video}'"),
        ("{}.mp4", "{}", "--template '{video}.mp4'"),
        ("{}", "{}_rgb", "--annotation-template '{video}_rgb'"),
        ("v_{}.avi", "{}", "--template 'v_{video}.avi'"),
    ],
)
def test_names_that_differ_by_a_prefix_or_suffix(tmp_path, capsys, ours, theirs, option):
    names = ["abc", "xyz-1", "QOlSCBRmfWY", "---9CpRcKoU"]
    found = proposals(tmp_path / "p.json", *(ours.format(name) for name in names))
    truth = annotations(tmp_path / "gt.json", *(theirs.format(name) for name in names))
    common = [found, "-o", tmp_path / "out", "--annotations", truth]
    error = refused(capsys, *common)
    assert f"say {option}" in error
    assert not (tmp_path / "out").exists()
    flag, value = option.split()
    said = succeed(capsys, *common, flag, value.strip("'"))
    assert "labels of 4 videos" in said
    kept = names if flag == "--template" else [ours.format(name) for name in names]
    for name in kept:
        assert np.load(tmp_path / "out" / f"{name}.npy").max() > 0.5


@pytest.mark.parametrize(
    ("ours", "theirs", "option"),
    [
        ("v_{}", "{}", "--template 'v_{video}'"),
        ("{}", "v_{}.mp4", "--annotation-template 'v_{video}.mp4'"),
    ],
)
def test_an_evaluation_of_names_that_differ_by_a_prefix(tmp_path, capsys, ours, theirs, option):
    names = ["abc", "xyz-1", "QOlSCBRmfWY"]
    found = proposals(tmp_path / "p.json", *(ours.format(name) for name in names))
    truth = annotations(tmp_path / "gt.json", *(theirs.format(name) for name in names))
    command = ["evaluate", str(found), str(truth)]
    assert main(command) == 2
    assert f"say {option}" in capsys.readouterr().err
    flag, value = option.split()
    assert main([*command, flag, value.strip("'"), "--json", str(tmp_path / "m.json")]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["average_map"] == 100.0


def test_names_that_have_nothing_in_common(tmp_path, capsys):
    found = proposals(tmp_path / "p.json", "one", "two")
    truth = annotations(tmp_path / "gt.json", "Three", "FOUR")
    error = refused(capsys, found, "-o", tmp_path / "out", "--annotations", truth)
    assert "'one', 'two'" in error
    assert "'Three', 'FOUR'" in error
    truth = annotations(tmp_path / "gt.json", "ONE", "Two")
    error = refused(capsys, found, "-o", tmp_path / "out", "--annotations", truth)
    assert "upper and lower case" in error


def test_some_names_that_match_nothing_are_left_out_and_told(tmp_path, capsys):
    found = proposals(tmp_path / "p.json", "one", "two")
    truth = annotations(tmp_path / "gt.json", "two", "three")
    said = succeed(capsys, found, "-o", tmp_path / "out", "--annotations", truth)
    assert "1 left out, without annotations: 'one'" in said
    assert not (tmp_path / "out" / "one.npy").exists()
    assert np.load(tmp_path / "out" / "two.npy").max() > 0.5


def test_classes_that_match_nothing(tmp_path, capsys):
    found = proposals(tmp_path / "p.json", "v", label="jumping")
    truth = annotations(tmp_path / "gt.json", "v", label="Jump")
    error = refused(capsys, found, "-o", tmp_path / "out", "--annotations", truth)
    assert "'Jump'" in error
    assert "'jumping'" in error
    (tmp_path / "cas").mkdir()
    np.save(tmp_path / "cas" / "v.npy", np.ones((5, 1)))
    (tmp_path / "classes.txt").write_text("jumping")
    cas = [tmp_path / "cas", "--classes", tmp_path / "classes.txt", "-o", tmp_path / "out"]
    assert "'Jump'" in refused(capsys, *cas, "--annotations", truth)


def test_an_unlabelled_video_is_told(tmp_path, capsys):
    found = proposals(tmp_path / "p.json", "one", "two")
    path = annotations(tmp_path / "gt.json", "one", "two")
    table = json.loads(path.read_text())
    table["database"]["two"]["annotations"] = []
    write_json(path, table)
    said = succeed(capsys, found, "-o", tmp_path / "out", "--annotations", path)
    assert "1 annotated with no class, all labels zero: 'two'" in said


def test_names_in_another_unicode_form(tmp_path, capsys):
    name = "Café été"
    found = proposals(tmp_path / "p.json", unicodedata.normalize("NFD", name))
    truth = annotations(tmp_path / "gt.json", unicodedata.normalize("NFC", name))
    said = succeed(capsys, found, "-o", tmp_path / "out.npz", "--annotations", truth)
    assert "labels of 1 videos (1 optimal" in said


def test_a_folder_that_macos_wrote(tmp_path, capsys):
    folder = tmp_path / "cas"
    folder.mkdir()
    np.save(folder / "v.npy", np.full((5, 1), 0.8))
    (folder / "._v.npy").write_bytes(b"\x00\x05\x16\x07")
    (folder / ".DS_Store").write_bytes(b"x")
    (tmp_path / "classes.txt").write_bytes("jump\r\n".encode("utf-16"))
    succeed(capsys, folder, "--classes", tmp_path / "classes.txt", "-o", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "labels.json").read_text())["videos"] == {"v": 5}


def test_training_takes_the_temperature_of_its_refresh(tmp_path):
    dataset = load_dataset(tiny_dataset(tmp_path / "data"))
    config = short_config("labels.temperature=[0.5, 0.001]")
    trainer = Trainer(dataset, config, None, CPU, Console(file=io.StringIO()))
    first, second, third = (
        make_labels(trainer.model, dataset.training, config, refresh, CPU)[0]
        for refresh in (0, 1, 5)
    )
    assert not all(map(torch.equal, first, second))
    assert all(map(torch.equal, second, third))
