"""Files that attack, or were damaged: a clear error that names the file, or the right result, and
little memory."""

from __future__ import annotations

import gzip
import json
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import hostile_pickles
from field_layouts import object_array, original, write_annotation_arrays
from forked_limits import Outcome, attempt, outcome_of
from gaufuse.cli.main import main
from gaufuse.config import dump_config, load_config
from gaufuse.data.dataset import load_dataset, load_info
from gaufuse.data.formats.feature_files import FeaturePlace, read_features
from gaufuse.data.formats.hdf5_features import arrays_in
from gaufuse.data.formats.pickled_arrays import PickledArrays
from gaufuse.data.wtalc_annotations import load_wtalc_annotations
from gaufuse.model.checkpoint import (
    Checkpoint,
    load_checkpoint,
    replace_evaluations,
    save_checkpoint,
)
from gaufuse.model.weights import load_authors_checkpoint
from gaufuse.utils import plain_pickle, safe_load
from gaufuse.utils.safe_load import PlainArrayFile, load_array, load_pickle
from gaufuse_ext.annotations import load_ground_truth, load_predictions, parse_json
from gaufuse_ext.class_names import load_label_map
from training_setups import tiny_dataset

MUTATIONS = 300


def assert_refused(outcome: Outcome, name: str, detail: object = "") -> None:
    assert outcome.is_refusal, (detail, outcome)
    assert name in str(outcome.value), (detail, outcome)


# Pickles


@pytest.mark.parametrize("attack", sorted(hostile_pickles.attacks(Path("marker"))))
def test_pickles_that_attack(tmp_path, attack):
    marker = tmp_path / "run"
    body = hostile_pickles.attacks(marker)[attack]
    readers: dict[str, tuple[bytes, Callable[[Path], object]]] = {
        "labels.npy": (hostile_pickles.as_npy(body), load_array),
        "features.npy": (hostile_pickles.as_npy(body), PickledArrays),
        "bare.pkl": (body, load_pickle),
        "model.pkl": (body, load_authors_checkpoint),
    }
    if body.endswith(b"."):
        readers["dict.pkl"] = (hostile_pickles.in_dict_of_arrays(body), load_pickle)
    for name, (data, _) in readers.items():
        (tmp_path / name).write_bytes(data)

    def try_all() -> dict[str, Outcome]:
        return {
            name: attempt(lambda name=name, read=read: read(tmp_path / name))
            for name, (_, read) in readers.items()
        }

    found = outcome_of(try_all)
    assert found.kind == "right", found
    for name, outcome in found.value.items():
        assert_refused(outcome, name, attack)
    assert not marker.exists()


def test_no_attack_changes_the_reader(tmp_path):
    """A pickle cannot set anything on what its names stand for."""
    path = tmp_path / "state.pkl"
    for target in (b"c_codecs\nencode\n", hostile_pickles.NDARRAY, b"cnumpy\ndtype\n"):
        for state in (b"}S'_function'\nNs", b"(N}S'_function'\nNst"):
            path.write_bytes(target + state + b"b.")
            with pytest.raises(ValueError, match="refused to set the state"):
                load_pickle(path)


def test_depth_and_length_of_pickles(tmp_path, monkeypatch):
    path = tmp_path / "deep.pkl"
    path.write_bytes(hostile_pickles.nested_lists(100_000))
    assert outcome_of(lambda: len(load_pickle(path))) == ("right", 1)
    # Places in the memo are names, not the length of a table.
    for memo in (b"]r\xff\xff\xff\xff.", b"]p4294967295\n."):
        path.write_bytes(memo)
        assert outcome_of(lambda: load_pickle(path), megabytes=50) == ("right", [])
    monkeypatch.setattr(plain_pickle, "MAX_STEPS", 1000)
    path.write_bytes(hostile_pickles.stack_of_marks(5000))
    assert_refused(outcome_of(lambda: load_pickle(path)), "more than 1000 steps")


def test_arrays_of_shared_data_take_no_memory_but_once(tmp_path):
    """8,000 arrays of one megabyte, which is in the file once."""
    path, data = tmp_path / "shared.pkl", bytes(1 << 20)
    path.write_bytes(hostile_pickles.shared_data(data, 8000))
    assert_refused(outcome_of(lambda: len(load_pickle(path)), megabytes=200), "share their data")
    path.write_bytes(hostile_pickles.shared_data(data, 1))
    assert outcome_of(lambda: load_pickle(path)[0].shape) == ("right", (1 << 17,))
    path.write_bytes(hostile_pickles.shared_buffer(data, 8000))
    assert outcome_of(lambda: len(load_pickle(path)), megabytes=200) == ("right", 8000)


def test_arrays_that_pickles_may_hold(tmp_path):
    """Kinds, byte orders, orders of axes, protocols, scalars: as pickle itself reads them."""
    values = [
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        np.arange(9.0)[::2],
        np.array(1.5),
        np.frombuffer(b"readonly", "S2"),
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.zeros((0, 4), np.float16),
        object_array([["x", 1], {"y": (None, True)}]),
        np.float32(1.5),
        np.str_("name"),
        np.int64(-1),
        2**70,
        b"bytes",
        "text \u00e9",
    ]
    for protocol in range(6):
        (tmp_path / "v.pkl").write_bytes(pickle.dumps(values, protocol))
        trusted = pickle.loads(pickle.dumps(values, protocol))
        for found, value in zip(load_pickle(tmp_path / "v.pkl"), trusted, strict=True):
            assert type(found) is type(value)
            np.testing.assert_array_equal(found, value)
            if isinstance(value, np.ndarray):
                assert found.dtype == value.dtype
                assert found.flags.f_contiguous == value.flags.f_contiguous


# Archives


@pytest.mark.parametrize("read", [load_predictions, load_ground_truth], ids=lambda f: f.__name__)
def test_gzip_bombs(tmp_path, read):
    path = tmp_path / "bomb.json"
    body = zlib.compressobj(9, wbits=31)
    with path.open("wb") as file:
        for _ in range(128):  # 128 MiB of spaces in 128 KiB
            file.write(body.compress(b" " * (1 << 20)))
        file.write(body.flush())
    assert path.stat().st_size < 1 << 18
    assert_refused(outcome_of(lambda: read(path), megabytes=100), "bomb.json")


def test_json_bombs(tmp_path):
    bombs = {
        "deep.json": "[" * 200_000,
        "deep_objects.json": '{"a":' * 200_000,
        "digits.json": '{"v": [{"segment": [0, ' + "9" * 100_000 + '], "label": "a"}]}',
        "exponent.json": '{"v": [{"segment": [0, 1e999999999], "label": "a", "score": 1}]}',
        "nan.json": '{"v": [{"segment": [0, NaN], "label": "a", "score": 1}]}',
        "twice.json": "{" + ",".join(f'"{i}": 0' for i in range(200_000)) + ', "199999": 1}',
        "always.json": "{" + ",".join('"k": 0' for _ in range(200_000)) + "}",
        "surrogate.json": '{"v": [{"segment": [0, 1], "label": "\\ud800", "score": "1_0"}]}',
        "lists.json": "[" + "[]," * 300_000 + "[]]",
        "empty.json": "",
    }
    for name, text in bombs.items():
        path = tmp_path / name
        path.write_text(text, encoding="latin1")
        for read in (load_predictions, load_ground_truth):
            assert_refused(outcome_of(lambda read=read, path=path: read(path), 1000), name)


def test_deep_toml(tmp_path):
    path = tmp_path / "dataset.toml"
    path.write_text("x = " + "[" * 100_000)
    for read in (load_config, lambda path: load_info(path.parent)):
        assert_refused(outcome_of(lambda read=read: read(path)), "dataset.toml")


def test_deep_json_is_a_value_error():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)


def test_npz_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_load, "UNPACKED_ANYWAY", 1 << 24)
    path = tmp_path / "bomb.npz"
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"
    header = (header % b"(4000, 2048)").ljust(127) + b"\n"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,  # 33 MB in 33 KB
        archive.open("feats.npy", "w") as file,
    ):
        file.write(header)
        for _ in range(4):
            file.write(bytes(1000 * 2048 * 4))
    assert_refused(outcome_of(lambda: read_features(path)), "bomb.npz")
    # A directory that lies about sizes does not help.
    size = struct.pack("<I", 4000 * 2048 * 4 + 128)
    data = path.read_bytes()
    assert size in data
    path.write_bytes(data.replace(size, struct.pack("<I", 9)))
    assert_refused(outcome_of(lambda: read_features(path)), "bomb.npz")


def test_npy_headers_that_lie(tmp_path):
    path = tmp_path / "features.npy"
    for shape in (b"(10000000000, 2048)", b"(-1, 4)", b"(2**62, 8)", b"(9" + b"9" * 60 + b",)",
                  b"(" * 50 + b"3", b"__import__('os')", b"(1e3, 4)", b"(True, 4)"):  # fmt: skip
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + b", }"
        header = header.ljust(245) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64))
        for read in (load_array, PlainArrayFile.read, PickledArrays, read_features):
            assert_refused(outcome_of(lambda read=read: read(path)), "features.npy", shape)


def test_hdf5_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_load, "UNPACKED_ANYWAY", 1 << 24)
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", shape=(1_000_000, 2048), dtype="f4", chunks=(1000, 2048))
    assert path.stat().st_size < 10_000
    assert_refused(outcome_of(lambda: read_features(FeaturePlace(path, "v"))), "bomb.h5")
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "v", data=np.zeros((8000, 1024), np.float32), compression="gzip", compression_opts=9
        )
    assert_refused(outcome_of(lambda: read_features(FeaturePlace(path, "v"))), "bomb.h5")


def test_hdf5_groups_that_hold_themselves(tmp_path):
    path = tmp_path / "features.h5"
    with h5py.File(path, "w") as file:
        file["videos/inner/v"] = np.zeros((3, 4), np.float32)
        file["videos/inner/again"] = file["videos"]
        file["videos/w"] = np.zeros((3, 4), np.float32)
        group = file.create_group("many")
        for _ in range(40):  # 2^40 paths
            deeper = group.create_group("a")
            group["b"] = deeper
            group = deeper
    found = outcome_of(lambda: arrays_in(path, one_video=True))
    assert found == ("right", {"v": "videos/inner/v", "w": "videos/w"})


def test_torch_files_that_claim_more_than_they_hold(tmp_path):
    path = tmp_path / "v.pt"
    torch.save(torch.zeros(1).expand(1_000_000, 2048), path)  # 8 GB when it is copied
    assert_refused(outcome_of(lambda: read_features(path)), "v.pt")
    whole = tmp_path / "whole.pt"
    torch.save(torch.zeros(10_000, 512), whole)
    with (
        zipfile.ZipFile(whole) as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    assert path.stat().st_size < 1 << 20
    assert_refused(outcome_of(lambda: read_features(path)), "v.pt")


# Damage: every reader, MUTATIONS times


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Cut off, bits turned over, bytes replaced, removed, doubled, or made a large number."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if not found:
            break
        # Headers are the more interesting.
        most = len(found) if rng.random() < 0.5 else min(len(found), 300)
        place = rng.randrange(most)
        kind = rng.randrange(7)
        if kind == 0:
            del found[place:]
        elif kind == 1:
            found[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            found[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 3:
            del found[place : place + rng.randrange(1, 40)]
        elif kind == 4:
            found[place:place] = found[place : place + rng.randrange(1, 40)]
        elif kind == 5:
            found[place : place + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\xff" * 4, b"\x00" * 4))
        else:
            found[place:place] = rng.choice((b"\x00", b"[", b"{", b'"', b"-1", b"1e999", b"NaN"))
    return bytes(found)


def feature_file(write: Callable[[Path, np.ndarray], object], suffix: str):
    def make(folder: Path) -> tuple[Path, Callable[[], object]]:
        path = folder / f"damaged{suffix}"
        write(path, np.random.default_rng(0).random((5, 4), np.float32))
        return path, lambda: read_features(path)

    return make


def text_file(name: str, text: str | bytes, read: Callable[[Path], object]):
    def make(folder: Path) -> tuple[Path, Callable[[], object]]:
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path, lambda: read(path)

    return make


def write_h5(path: Path, features: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("feats", data=features, compression="gzip")


def read_h5(folder: Path) -> tuple[Path, Callable[[], object]]:
    path = folder / "damaged.h5"
    write_h5(path, np.random.default_rng(0).random((5, 4), np.float32))

    def read() -> list:
        return [read_features(FeaturePlace(path, key)) for key in arrays_in(path, True).values()]

    return path, read


def pickled_features(folder: Path) -> tuple[Path, Callable[[], object]]:
    path = folder / "damaged.npy"
    videos = object_array([np.ones((n, 600), np.float32) for n in (2, 3)])
    np.save(path, videos)
    return path, lambda: [np.array(video) for video in PickledArrays(path)]


def checkpoint_file(name: str):
    def make(folder: Path) -> tuple[Path, Callable[[], object]]:
        weights = {"weight": torch.rand(3, 4), "mean": torch.rand(4).half()}
        path = save_checkpoint(
            folder,
            Checkpoint(
                config={"name": "x", "rate": 0.125},
                classes=["a", "b"],
                feature_dim=4,
                epoch=7,
                model=weights,
                training={"optimizer": {"state": {0: {"step": torch.tensor(3.0)}}}, "seed": 3},
            ),
        )
        return path / name, lambda: load_checkpoint(path)

    return make


def authors_weights(save: Callable[[object, Path], object]):
    def make(folder: Path) -> tuple[Path, Callable[[], object]]:
        path = folder / "damaged.pkl"
        state = {
            "mu": torch.rand(3, 4),
            "ac_center": torch.rand(3, 4),
            "fg_center": torch.rand(1, 4),
            "feature_embedding.0.weight": torch.rand(4, 6),
            "feature_embedding.0.bias": torch.rand(4),
        }
        save(state, path)
        return path, lambda: load_authors_checkpoint(path)

    return make


def pickle_to(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


PREDICTIONS = json.dumps(
    {"results": {v: [{"segment": [0.5, 2], "label": "a", "score": 0.25}] * 3 for v in "vw"}}
)
ENTRY = {"subset": "Test", "duration": 9.5, "annotations": [{"segment": [1, 2], "label": "a"}]}
TRUTH = json.dumps({"database": {"v": ENTRY, "w": ENTRY}})
INFO = """name = "x"
snippet_seconds = 0.5
feature_dim = 4
training_subset = "training"
testing_subset = "testing"
classes = ["a", "b"]
"""
SETTINGS = dump_config(load_config("thumos14"))

READERS = {
    "npy": feature_file(np.save, ".npy"),
    "npz": feature_file(lambda path, x: np.savez(path, feats=x), ".npz"),
    "npz, packed": feature_file(lambda path, x: np.savez_compressed(path, feats=x), ".npz"),
    "pt": feature_file(lambda path, x: torch.save(torch.from_numpy(x), path), ".pt"),
    "pkl": feature_file(lambda path, x: pickle_to({"feats": x}, path), ".pkl"),
    "csv": feature_file(lambda path, x: np.savetxt(path, x, delimiter=","), ".csv"),
    "h5": read_h5,
    "pickled features": pickled_features,
    "object array": lambda folder: (
        np.save(folder / "damaged.npy", object_array([["a", 1.5], [b"b", 2]])),
        (folder / "damaged.npy", lambda: load_array(folder / "damaged.npy")),
    )[1],
    "predictions": text_file("damaged.json", PREDICTIONS, load_predictions),
    "predictions, gzip": text_file(
        "damaged.json", gzip.compress(PREDICTIONS.encode()), load_predictions
    ),
    "ground truth": text_file("damaged.json", TRUTH, load_ground_truth),
    "label map": text_file("damaged.json", '{"0": "a", "1": "b"}', load_label_map),
    "label map, text": text_file("damaged.txt", "0 a\n1 b\n", load_label_map),
    "dataset.toml": text_file("dataset.toml", INFO, lambda path: load_info(path.parent)),
    "configuration": text_file("damaged.toml", SETTINGS, load_config),
    "checkpoint.json": checkpoint_file("checkpoint.json"),
    "model.safetensors": checkpoint_file("model.safetensors"),
    "training.pt": checkpoint_file("training.pt"),
    "weights of torch": authors_weights(torch.save),
    "weights of old torch": authors_weights(
        lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False)
    ),
    "weights, pickled": authors_weights(pickle_to),
}


@pytest.mark.parametrize("reader", READERS)
def test_damage(tmp_path, reader):
    path, read = READERS[reader](tmp_path)
    data = path.read_bytes()
    assert outcome_of(read).kind == "right"

    def try_all() -> tuple[list, int]:
        rng = random.Random(reader)
        bad, right = [], 0
        for number in range(MUTATIONS):
            changed = mutated(data, rng)
            path.write_bytes(changed)
            try:
                read()
                right += changed != data
            except (ValueError, OSError) as error:
                if path.name not in str(error) and str(path.parent) not in str(error):
                    bad.append((number, repr(error)))
            except BaseException as error:
                bad.append((number, repr(error)))
        return bad, right

    found = outcome_of(try_all, seconds=120)
    assert found.kind == "right", found
    bad, right = found.value
    assert bad == []
    if reader in ("checkpoint.json", "model.safetensors", "training.pt"):
        # Only white space, and bytes that no checksum covers.
        assert right < MUTATIONS / 10


def test_every_bit_of_a_checkpoint_counts(tmp_path):
    """A run that goes on from a damaged checkpoint would be another run."""
    make = checkpoint_file("checkpoint.json")
    path, read = make(tmp_path)
    intact = load_checkpoint(path.parent)

    def flip_bits(name: str) -> list:
        file = path.parent / name
        data, bad = file.read_bytes(), []
        for place in range(0, len(data), 1 + len(data) // 40):
            changed = bytearray(data)
            changed[place] ^= 1
            file.write_bytes(changed)
            found = attempt(read)
            if found.kind == "right":  # white space
                same = torch.equal(read().model["weight"], intact.model["weight"])
            else:
                same = found.is_refusal and name in str(found.value)
            if not same:
                bad.append((place, found))
        file.write_bytes(data)
        return bad

    for name in ("checkpoint.json", "model.safetensors", "training.pt"):
        assert outcome_of(lambda name=name: flip_bits(name)) == ("right", [])
    replace_evaluations(path.parent, [{"epoch": 7}])
    assert read().evaluations == [{"epoch": 7}]


def test_checkpoints_without_checksums_are_read(tmp_path):
    path, read = checkpoint_file("checkpoint.json")(tmp_path)
    metadata = json.loads(path.read_text())
    del metadata["checksums"]
    path.write_text(json.dumps(metadata))
    assert read().epoch == 7


# Whole data sets


def test_wtalc_arrays_damaged(tmp_path):
    dataset = original(tmp_path / "own")
    folder = tmp_path / "wtalc"
    write_annotation_arrays(folder, dataset)
    files = sorted(folder.iterdir())
    originals = {file: file.read_bytes() for file in files}

    def try_all() -> list:
        rng = random.Random(0)
        bad = []
        for number in range(MUTATIONS):
            file = rng.choice(files)
            file.write_bytes(mutated(originals[file], rng))
            try:
                load_wtalc_annotations(folder)
            except (ValueError, OSError) as error:
                if str(folder) not in str(error):
                    bad.append((number, file.name, repr(error)))
            except BaseException as error:
                bad.append((number, file.name, repr(error)))
            file.write_bytes(originals[file])
        return bad

    assert outcome_of(try_all, seconds=120) == ("right", [])


@pytest.mark.parametrize("width", [0, 1, 7, 4096])
def test_features_of_another_width(tmp_path, capsys, width):
    folder = tiny_dataset(tmp_path / "data")
    victim = sorted((folder / "features").glob("*.npy"))[0]
    np.save(victim, np.zeros((len(np.load(victim)), width), np.float32))
    with pytest.raises(ValueError, match=victim.name):
        load_dataset(folder)
    assert main(["data", "check", str(folder)]) != 0
    assert victim.stem in capsys.readouterr().out


def test_a_video_of_100_000_snippets(tmp_path, capsys):
    folder = tiny_dataset(tmp_path / "data")
    info = load_info(folder)
    victim = sorted((folder / "features").glob("*.npy"))[0]
    features = np.random.default_rng(0).random((100_000, info.feature_dim), np.float32)
    np.save(victim, features.astype(np.float16))
    truth = json.loads((folder / "annotations.json").read_text())
    database = truth.get("database", truth)
    database[victim.stem]["duration"] = 100_000 * info.snippet_seconds
    (folder / "annotations.json").write_text(json.dumps(truth))
    run = tmp_path / "run"
    found = outcome_of(
        lambda: main(["train", str(folder), "--output", str(run), "--dry-run"]), 2000, 120
    )
    assert found == ("right", 0)
    assert not run.exists()
    cas = tmp_path / "cas"
    cas.mkdir()
    np.save(cas / "long.npy", np.random.default_rng(0).random((100_000, 2), np.float32))
    (tmp_path / "classes.txt").write_text("a\nb\n")
    output = tmp_path / "labels.npz"
    found = outcome_of(
        lambda: main(
            ["label", str(cas), "--classes", str(tmp_path / "classes.txt"), "-o", str(output)]
        ),
        2000,
        120,
    )
    assert found == ("right", 0)
    with np.load(output) as labels:
        assert labels["long"].shape == (100_000, 2)
        assert ((labels["long"] >= 0) & (labels["long"] <= 1)).all()


# Names from files, as paths

UNSAFE = ["..", "../up", "/tmp/up", "a/b", "a\\b", ".", ".hidden", "", "a\0b", "a\nb", "x" * 300]
SAFE = ["con", "NUL", "aux.txt", "Video", "video", "VIDEO", "a b", "-o", "~", "$HOME", "%s", "é"]


@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_names_that_are_no_files_names(tmp_path, name):
    folder = tiny_dataset(tmp_path / "data")
    path = folder / "annotations.json"
    truth = json.loads(path.read_text())
    database = truth.get("database", truth)
    database[name] = database.pop(sorted(database)[0])
    path.write_text(json.dumps(truth))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="cannot be a file's name"):
        load_dataset(folder)
    assert main(["convert", str(folder), str(tmp_path / "out")]) != 0
    assert sorted(tmp_path.rglob("*")) == before


def test_odd_names_are_names(tmp_path):
    """They differ in case, mean something to a shell, or are reserved on another system."""
    entry = [{"segment": [0.0, 3.0], "label": "a", "score": 0.5}]
    (tmp_path / "p.json").write_text(json.dumps({"results": dict.fromkeys(SAFE, entry)}))
    output = tmp_path / "labels"
    assert main(["label", str(tmp_path / "p.json"), "-o", str(output)]) == 0
    assert {path.name for path in output.glob("*.npy")} == {f"{name}.npy" for name in SAFE}


def test_one_name_in_two_unicode_forms(tmp_path):
    """Two files on Linux, so two videos."""
    folder = tiny_dataset(tmp_path / "data")
    before = load_dataset(folder)
    path = folder / "annotations.json"
    truth = json.loads(path.read_text())
    database = truth.get("database", truth)
    first, second = sorted(database)[:2]
    for old, new in ((first, "caf\u00e9"), (second, "cafe\u0301")):
        database[new] = database.pop(old)
        (folder / "features" / f"{old}.npy").rename(folder / "features" / f"{new}.npy")
    path.write_text(json.dumps(truth))
    after = load_dataset(folder)
    for one, other in ((before.training, after.training), (before.testing, after.testing)):
        assert len(one.names) == len(other.names)
        assert sorted(one.features.lengths) == sorted(other.features.lengths)
