"""Features as people have them: .csv, HDF5, several crops, folders that systems wrote to, names in
another Unicode form or with a prefix."""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import h5py
import numpy as np
import pytest

import field_layouts as layouts
from gaufuse.cli.main import main
from gaufuse.data.dataset import Dataset, load_dataset
from gaufuse.data.formats.csv_features import read_csv
from gaufuse.data.formats.feature_files import ArrayLayout, read_features
from test_convert import assert_same, convert, refused


@pytest.fixture
def dataset(dataset: Dataset, source: Path) -> Dataset:
    layouts.write_gt_json(source / "gt.json", dataset)
    return dataset


def write_csv(path: Path, features: np.ndarray, heading: bool = True, mark: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [mark.join(repr(float(x)) for x in row) for row in features]
    if heading:
        lines.insert(0, mark.join(f"f{i}" for i in range(features.shape[1])))
    path.write_text("\n".join(lines) + "\n")


# .csv


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("heading", [True, False])
def test_csv(source, dataset, heading, mark):
    for name, _, features in layouts.videos(dataset):
        write_csv(source / "csv_mean" / f"{name}.csv", features, heading, mark)
    assert_same(convert(source, "--features", str(source / "csv_mean")), dataset)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f0,f1\n1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("1,2\r\n3,4", [[1, 2], [3, 4]]),
        ("\ufefff0,f1\n1e-3,-2\n", [[0.001, -2]]),
        ("1\n2\n", [[1], [2]]),
        ("1 2\n3 4\n", [[1, 2], [3, 4]]),
        (",0,1\n0,5.5,6\n1,7,8\n", [[5.5, 6], [7, 8]]),  # pandas: DataFrame.to_csv()
        ("Unnamed: 0,a\n0,5\n1,6\n", [[5], [6]]),
        (",0,1\n3,5,6\n", [[3, 5, 6]]),  # no row numbers
    ],
)
def test_csv_by_hand(tmp_path, text, expected):
    path = tmp_path / "v.csv"
    path.write_bytes(text.encode())
    assert read_csv(path).tolist() == expected


def test_csv_of_another_encoding_and_broken_ones(tmp_path):
    path = tmp_path / "v.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16"))
    assert read_csv(path).tolist() == [[1, 2]]
    for text in ("", "a,b\n", "1,2\n3\n", "1,2\nx,y\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"v\.csv is not a readable table of numbers"):
            read_csv(path)
    path.write_text("a,b\n1,nan\n")
    assert np.isnan(read_csv(path)[0, 1])  # refused later, with the video's name


def test_lists_beside_other_features_are_none(source, dataset):
    """The split list of ActivityNet lies beside the features, and is a .csv, too."""
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / f"{name}.npy", features)
    (source / "video_info_new.csv").write_text("video,numFrame\nv_a,418\n")
    assert_same(convert(source), dataset)


@pytest.mark.real_data
def test_the_documented_command_for_activitynet(data_root, tmp_path):
    anet = data_root / "activitynet13"
    (tmp_path / "csv_mean").mkdir()
    rng = np.random.default_rng(0)
    names = ("v_QOlSCBRmfWY", "v_---9CpRcKoU", "v_--1DO2V4K74", "v_--6bJUbfpnQ")
    for name in names:
        write_csv(tmp_path / "csv_mean" / f"{name}.csv", rng.random((100, 8)))
    words = ["convert", anet / "anet_anno_action.json.gz", tmp_path / "anet75", "--resample", "75"]
    words += ["--features", tmp_path / "csv_mean", "--skip-missing"]
    words += ["--subsets", anet / "video_info_new.csv"]
    assert main([str(word) for word in words]) == 0
    found = load_dataset(tmp_path / "anet75")
    assert {*found.training.names, *found.testing.names} == set(names)
    assert found.training.features[0].shape == (75, 8)


# HDF5


@pytest.mark.parametrize("kind", ["arrays", "groups", "nested", "one each", "beside"])
def test_hdf5(source, dataset, kind):
    options = ["--features", str(source / "all.h5")]
    if kind == "one each":
        options = []
        (source / "features").mkdir()
        for name, _, features in layouts.videos(dataset):
            with h5py.File(source / "features" / f"{name}.hdf5", "w") as file:
                file["c3d_features"] = features
                file["fps"] = np.zeros(())
    else:
        with h5py.File(source / "all.h5", "w") as file:
            for name, entry, features in layouts.videos(dataset):
                if kind == "groups":  # as ActivityNet's C3D features are
                    file[f"{name}/c3d_features"] = features
                elif kind == "nested":
                    file[f"{entry.subset}/{name}"] = features
                else:
                    file[name] = features
        if kind == "beside":
            options = []
    assert_same(convert(source, *options), dataset)


def test_hdf5_that_leads_elsewhere(source, dataset, tmp_path, capsys):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.zeros((40, 12), np.float32)
    (tmp_path / "raw").write_bytes(bytes(40 * 12 * 4))
    victim = dataset.training.names[0]

    def write(how) -> None:
        with h5py.File(source / "all.h5", "w") as file:
            for name, _, features in layouts.videos(dataset):
                if name == victim:
                    how(file, name)
                else:
                    file[name] = features

    def outside(file, name):
        file[name] = h5py.ExternalLink(str(secret), "x")

    def elsewhere(file, name):
        file.create_dataset(
            name, (40, 12), np.float32, external=[(str(tmp_path / "raw"), 0, 40 * 12 * 4)]
        )

    def virtual(file, name):
        layout = h5py.VirtualLayout((40, 12), np.float32)
        layout[:] = h5py.VirtualSource(str(secret), "x", (40, 12))
        file.create_virtual_dataset(name, layout)

    options = ("--features", str(source / "all.h5"), "--orientation", "td")
    write(outside)
    assert f"1 without features: {victim}" in refused(source, capsys, *options)
    for how in (elsewhere, virtual):
        write(how)
        error = refused(source, capsys, *options)
        assert f"the data of {victim!r} lie in another file: refused" in error


def test_hdf5_that_is_none(source, dataset, capsys):
    (source / "all.h5").write_bytes(b"nothing")
    options = ("--features", str(source / "all.h5"))
    assert "all.h5 is not a readable HDF5 file" in refused(source, capsys, *options)


def test_hdf5_without_h5py(source, dataset, capsys, monkeypatch):
    (source / "all.h5").write_bytes(b"nothing")
    monkeypatch.setitem(sys.modules, "h5py", None)
    error = refused(source, capsys, "--features", str(source / "all.h5"))
    assert "pip install '.[hdf5]'" in error


# Crops


def crops_of(features: np.ndarray, crops: int) -> np.ndarray:
    """(crops, T, D) whose mean over crops is `features`."""
    offsets = np.arange(crops) - (crops - 1) / 2
    return (features + offsets[:, None, None]).astype(np.float32)


@pytest.mark.parametrize("order", ["ctd", "tcd", "cdt"])
def test_several_crops(source, dataset, capsys, order):
    for name, _, features in layouts.videos(dataset):
        stored = crops_of(features, 10).transpose([("ctd").index(axis) for axis in order])
        layouts.write_file(source / "features" / f"{name}.npy", np.ascontiguousarray(stored))
    assert "--crops mean" in refused(source, capsys)
    assert_same(convert(source, "--crops", "mean"), dataset, tolerance=1e-5)
    found = convert(source, "--crops", "9", "--overwrite")
    for name, features in zip(found.training.names, found.training.features, strict=True):
        original = np.load(dataset.info.root / "features" / f"{name}.npy").astype(np.float32)
        np.testing.assert_allclose(features.numpy(), original + 4.5, atol=1e-5)
    output = source.parent / "converted"
    assert main(["convert", str(source), str(output), "--overwrite", "--crops", "10"]) == 2
    assert "there is no --crops 10" in capsys.readouterr().err


def test_crops_of_videos_of_one_length(source, dataset, capsys):
    """(10, 32, D), as for UCF-Crime, can only be crops first; (32, 10, D) can be either."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.random((10, 32, 12), np.float32) for name, *_ in layouts.videos(dataset)}
    for name, array in arrays.items():
        layouts.write_file(source / "features" / f"{name}.npy", array)
    common = ("--crops", "mean", "--snippet-seconds", "1")
    found = convert(source, *common)
    name = found.training.names[0]
    expected = sum(arrays[name][i] for i in range(10)) / 10
    np.testing.assert_allclose(found.training.features[0], expected, atol=1e-6)
    for name, array in arrays.items():
        layouts.write_file(source / "features" / f"{name}.npy", array.swapaxes(0, 1))
    output = source.parent / "converted"
    assert main(["convert", str(source), str(output), "--overwrite", *common]) == 2
    assert "say --crop-axis 0 or --crop-axis 1" in capsys.readouterr().err
    found = convert(source, *common, "--crop-axis", "1", "--overwrite")
    np.testing.assert_allclose(found.training.features[0], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 40, 12), (40, 1, 1, 12), (40, 12, 1, 1), (1, 1, 40, 12)])
def test_axes_of_one(tmp_path, shape):
    array = np.arange(480, dtype=np.float32)
    np.save(tmp_path / "v.npy", array.reshape(shape))
    assert np.array_equal(read_features(tmp_path / "v.npy"), array.reshape(40, 12))


def test_one_snippet_of_several_crops(tmp_path):
    array = np.arange(120, dtype=np.float32).reshape(10, 1, 12)
    np.save(tmp_path / "v.npy", array)
    assert read_features(tmp_path / "v.npy", ArrayLayout(crops="mean")).shape == (1, 12)
    np.save(tmp_path / "v.npy", array.astype(np.float16))
    assert read_features(tmp_path / "v.npy", ArrayLayout(crops="mean")).dtype == np.float32
    assert read_features(tmp_path / "v.npy", ArrayLayout(crops=3)).dtype == np.float16


# Names


def test_what_systems_leave_behind_is_no_feature_file(source, dataset):
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / f"{name}.npy", features)
        for place in ("features", "features/__MACOSX", "features/.cache"):
            junk = source / place / f"._{name}.npy"
            junk.parent.mkdir(exist_ok=True)
            junk.write_bytes(b"\x00\x05\x16\x07")
    layouts.write_file(source / "features" / "__MACOSX" / f"{name}.npy", features)
    (source / "features" / ".DS_Store").write_bytes(b"x")
    (source / "._gt.json").write_bytes(b"x")
    (source / "gt.json").rename(source / "my_annotations.json")
    assert_same(convert(source), dataset)


def test_suffixes_in_capitals(source, dataset):
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / f"{name}.npy", features)
        (source / "features" / f"{name}.npy").rename(source / "features" / f"{name}.NPY")
    assert_same(convert(source), dataset)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("streams", [False, True])
def test_names_in_another_unicode_form(source, dataset, forms, streams):
    table = json.loads((source / "gt.json").read_text())
    old = {name: f"{name} Café Žižkov 가" for name in table["database"]}
    table["database"] = {
        unicodedata.normalize(forms[0], old[name]): entry
        for name, entry in table["database"].items()
    }
    (source / "gt.json").write_text(json.dumps(table))
    for name, _, features in layouts.videos(dataset):
        stored = unicodedata.normalize(forms[1], old[name])
        if streams:
            layouts.write_file(source / "features" / "rgb" / f"{stored}.npy", features[:, :5])
            layouts.write_file(source / "features" / "flow" / f"{stored}.npy", features[:, 5:])
        else:
            layouts.write_file(source / "features" / f"{stored}.npy", features)
    found = convert(source)
    assert found.training.names == [
        unicodedata.normalize(forms[0], old[name]) for name in dataset.training.names
    ]
    for first, second in zip(found.training.features, dataset.training.features, strict=True):
        assert np.array_equal(first.float(), second.float())


def test_one_name_in_two_forms(source, dataset, capsys):
    table = json.loads((source / "gt.json").read_text())
    entry = next(iter(table["database"].values()))
    table["database"] |= {"Caf\u00e9": entry, "Cafe\u0301": entry}
    (source / "gt.json").write_text(json.dumps(table))
    assert "in two Unicode forms" in refused(source, capsys, "--orientation", "td")


@pytest.mark.parametrize(
    ("features_are", "annotations_are", "option"),
    [
        ("v_{}", "{}", "--template 'v_{video}'"),
        ("{}_i3d", "{}", "--template '{video}_i3d'"),
        ("{}", "v_{}", "--annotation-template 'v_{video}'"),
        ("{}", "{}.mp4", "--annotation-template '{video}.mp4'"),
    ],
)
def test_names_that_differ_by_a_prefix(
    source, dataset, capsys, features_are, annotations_are, option
):
    table = json.loads((source / "gt.json").read_text())
    table["database"] = {annotations_are.format(k): v for k, v in table["database"].items()}
    (source / "gt.json").write_text(json.dumps(table))
    for name, _, features in layouts.videos(dataset):
        layouts.write_file(source / "features" / f"{features_are.format(name)}.npy", features)
    assert f"say {option}" in refused(source, capsys)
    assert f"say {option}" in refused(source, capsys, "--skip-missing")
    flag, value = option.split()
    assert_same(convert(source, flag, value.strip("'")), dataset)


def test_names_that_a_template_did_not_make(source, dataset, capsys):
    error = refused(source, capsys, "--annotation-template", "v_{video}")
    assert "does not look like 'v_{video}' (--annotation-template)" in error
    error = refused(source, capsys, "--annotation-template", "v_")
    assert "--annotation-template must contain {video} once" in error
