"""The tiny simulated data set in each of the field's layouts, written as their tools write it."""

from __future__ import annotations

import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import torch

from gaufuse.data.dataset import Dataset, load_dataset
from training_setups import TINY, tiny_dataset

SECONDS = TINY.snippet_seconds
FPS = {"training": 25.0, "testing": 50.0}  # of the OpenTAD layout; its stride is 16 and 32 frames


def original(folder: Path) -> Dataset:
    return load_dataset(tiny_dataset(folder))


def videos(dataset: Dataset):
    """(name, annotation, features) of all videos."""
    for subset in (dataset.training, dataset.testing):
        for name, features in zip(subset.names, subset.features, strict=True):
            yield name, subset.annotations[name], features.float().numpy()


def write_annotation_arrays(folder: Path, dataset: Dataset) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names, entries, _ = zip(*videos(dataset), strict=True)
    arrays = {
        "videoname": np.array([name.encode() for name in names]),
        "subset": np.array([entry.subset.encode() for entry in entries]),
        "duration": np.array([[entry.duration] for entry in entries]),
        "segments": object_array([entry.segments.tolist() for entry in entries]),
        "labels": object_array([entry.labels for entry in entries]),
        "classlist": np.array([label.encode() for label in dataset.info.classes]),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def write_gt_json(path: Path, dataset: Dataset, **more) -> None:
    """With strings for seconds and, unless `more` has it, without durations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = {
        name: {
            "subset": entry.subset,
            "annotations": [
                {"segment": [str(x) for x in segment], "label": label}
                for segment, label in zip(entry.segments.tolist(), entry.labels, strict=True)
            ],
        }
        for name, entry, _ in videos(dataset)
    }
    path.write_text(json.dumps({"database": database} | more))


def write_opentad_json(path: Path, dataset: Dataset) -> None:
    ids = {label: i for i, label in enumerate(reversed(dataset.info.classes))}
    database = {
        name: {
            "subset": {"training": "Validation", "testing": "Test"}[entry.subset],
            "duration": entry.duration,
            "fps": 25.0,
            "annotations": [
                {"segment": segment, "label": label, "label_id": ids[label]}
                for segment, label in zip(entry.segments.tolist(), entry.labels, strict=True)
            ],
        }
        for name, entry, _ in videos(dataset)
    }
    path.write_text(json.dumps({"version": "x", "database": database}))


def write_file(path: Path, features: np.ndarray) -> None:
    """By the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, features)
    elif path.suffix == ".npz":
        np.savez(path, feats=features, meta=np.zeros(3))
    elif path.suffix == ".pt":
        torch.save(torch.from_numpy(features.copy()), path)
    else:
        path.write_bytes(pickle.dumps({"features": features}, protocol=4))


def object_array(values: list) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def write_joint(path: Path, arrays: list[np.ndarray], writer: str) -> None:
    """An object array of arrays as Python 2, or Python 3 with a pickle protocol, writes it."""
    if writer == "python2":
        data = _python2_pickle(arrays)
    else:
        whole = np.empty(len(arrays), dtype=object)
        for i, array in enumerate(arrays):
            whole[i] = array
        data = pickle.dumps(whole, protocol=int(writer.removeprefix("protocol")))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": (len(arrays),)}
    )
    path.write_bytes(header.getvalue() + data)


def _python2_pickle(arrays: list[np.ndarray]) -> bytes:
    """What Python 2's cPickle makes of protocol 2: data as byte strings (opcodes U and T)."""

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def text(value: bytes) -> bytes:
        short = len(value) < 256
        size = b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))
        return size + value + b"q\x01"  # memoised, as cPickle does

    def array(shape: tuple[int, ...], kind: bytes, order: bytes, items: bytes) -> bytes:
        start = (
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
            + (number(0) + b"\x85" + text(b"b") + b"tR")
            + b"("
            + number(1)
            + b"("
            + b"".join(map(number, shape))
            + b"t"
        )
        dtype = b"cnumpy\ndtype\n(" + text(kind) + number(0) + number(1) + b"tR"
        state = (
            b"(" + number(3) + text(order) + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
        )
        return start + dtype + state + b"\x89" + items + b"tb"

    items = b"".join(array(x.shape, b"f4", b"<", text(x.astype("<f4").tobytes())) for x in arrays)
    return b"\x80\x02" + array((len(arrays),), b"O8", b"|", b"](" + items + b"e") + b"."
