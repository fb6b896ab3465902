"""gx.DetectionMapMetric: batch by batch, in one process or several, it gives the whole's mAP."""

from __future__ import annotations

import multiprocessing
import pickle

import numpy as np
import pytest
import torch

import gaufuse_ext as gx
from test_evaluator import generated

CLASSES = [f"c{i}" for i in range(7)]


def batches(size: int, as_tensors: bool = True):
    """(predictions, ground truth, names) of `size` videos at a time."""
    found, truth = generated()
    entries = []
    for v, name in enumerate(found.videos):
        own, annotated = found.video_ids == v, truth.video_ids == v
        convert = torch.from_numpy if as_tensors else (lambda array: array.tolist())
        entries.append(
            (
                {
                    "segments": convert(found.segments[own]),
                    "labels": convert(found.class_ids[own]),
                    "scores": convert(found.scores[own]),
                },
                {
                    "segments": convert(truth.segments[annotated]),
                    "labels": convert(truth.class_ids[annotated]),
                },
                name,
            )
        )
    for begin in range(0, len(entries), size):
        yield tuple(zip(*entries[begin : begin + size], strict=True))


@pytest.mark.parametrize("as_tensors", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_the_whole_s_map(as_tensors, named):
    expected = gx.detection_map(*generated(), "0.5:0.05:0.95")
    metric = gx.DetectionMapMetric("0.5:0.05:0.95", classes=CLASSES)
    for found, truth, names in batches(7, as_tensors):
        metric.update(found, truth, names if named else None)
    result = metric.compute()
    assert result.classes == CLASSES
    np.testing.assert_allclose(result.per_class, expected.per_class, rtol=0, atol=1e-10)
    assert metric.compute() is result
    metric.reset()
    found, truth, names = next(batches(3))
    metric.update(found, truth)
    assert metric.compute().average_map != result.average_map


def test_a_video_that_comes_again_counts_once():
    metric = gx.DetectionMapMetric(classes=CLASSES)
    for found, truth, names in batches(7):
        metric.update(found, truth, names)
    before = metric.compute()
    found, truth, names = next(batches(5))
    metric.update(found, truth, names)
    assert np.array_equal(metric.compute().per_class, before.per_class)
    # Without names the same are other videos, whose instances count.
    metric.update(found, truth)
    assert not np.array_equal(metric.compute().per_class, before.per_class)


def test_merging():
    parts = [gx.DetectionMapMetric(classes=CLASSES) for _ in range(3)]
    for i, (found, truth, names) in enumerate(batches(2)):
        parts[i % 3].update(found, truth, names)
    whole = gx.DetectionMapMetric(classes=CLASSES, bootstrap=5)
    for part in parts:
        whole.merge(pickle.loads(pickle.dumps(part)))
    expected = gx.detection_map(*generated())
    np.testing.assert_allclose(whole.compute().per_class, expected.per_class, rtol=0, atol=1e-10)
    assert whole.compute().bootstrap.samples.shape == (5, 7)


def test_classes_known_by_their_ids_alone():
    """In an early epoch all that is found may be false."""
    metric = gx.DetectionMapMetric()
    found = [{"segments": [[0, 1]], "labels": [3], "scores": [0.5]}]
    metric.update(found, [{"segments": [[0, 1]], "labels": torch.tensor([12])}])
    result = metric.compute()
    assert (result.classes, result.average_map, result.unknown_classes) == (["12"], 0.0, {})
    # Names that nobody knows are a mistake.
    metric.reset()
    found[0]["labels"] = ["dive"]
    metric.update(found, [{"segments": [[0, 1]], "labels": ["Diving"]}])
    with pytest.raises(ValueError, match="no predicted class is one of the ground truth's"):
        metric.compute()


GOOD = {"segments": [[0, 1]], "labels": [0], "scores": [0.5]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"segments": [[1, 0]]}, ValueError, r"predictions of video 'v', .*not end before it star"),
        ({"segments": [[0, 1], [1, 2]]}, ValueError, "which have 1 labels: video_ids must have"),
        ({"scores": [0.5, 1]}, ValueError, r"which have 1 labels: scores must have shape \(1,\)"),
        ({"scores": [float("nan")]}, ValueError, r"scores\[0\] must be finite, got nan"),
        ({"labels": [7]}, ValueError, r"labels must lie in \[0, 7\), got 7"),
        ({"labels": [-1]}, ValueError, r"labels must lie in \[0, 7\), got -1"),
        ({"labels": [0.5]}, TypeError, "labels must be class ids or names, got 0.5"),
        ({"labels": [True]}, TypeError, "labels must be class ids or names, got True"),
        ({"labels": [" "]}, TypeError, "labels must be class ids or names, got ' '"),
        ({"labels": 3}, TypeError, "labels must be class ids or names, got 3"),
    ],
)
def test_bad_entries_leave_nothing_behind(change, error, message):
    metric = gx.DetectionMapMetric(classes=CLASSES)
    with pytest.raises(error, match=message):
        metric.update([GOOD, GOOD | change], [GOOD, GOOD], ["u", "v"])
    metric.update([GOOD], [GOOD], ["u"])
    assert metric.compute().average_map == 100.0


def test_bad_batches():
    metric = gx.DetectionMapMetric(classes=CLASSES)
    with pytest.raises(ValueError, match="an entry for each video, got 2, 1 and 1"):
        metric.update([GOOD, GOOD], [GOOD], ["u"])
    with pytest.raises(ValueError, match="an entry for each video, got 1, 1 and 2"):
        metric.update([GOOD], [GOOD], ["u", "v"])
    with pytest.raises(TypeError, match="videos must be names, got 3"):
        metric.update([GOOD], [GOOD], [3])
    with pytest.raises(ValueError, match="of video 0 must have segments, labels, scores, got seg"):
        metric.update([{"segments": []}], [GOOD])
    with pytest.raises(ValueError, match=r"iou_thresholds must lie in \(0, 1\]"):
        gx.DetectionMapMetric([2.0])


def of_one_process(rank: int, store: str, results) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    metric = gx.DetectionMapMetric(classes=CLASSES)
    for i, (found, truth, names) in enumerate(batches(7)):
        if i % 2 == rank or i == 0:  # the first batch of both, as a sampler fills up
            metric.update(found, truth, names)
    results.put((rank, metric.compute().per_class))
    results.put((rank, metric.compute().per_class))
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_processes_give_the_whole_s_map(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=of_one_process, args=(rank, str(tmp_path / "store"), results))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=120) for _ in range(4)]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert sorted(rank for rank, _ in found) == [0, 0, 1, 1]
    expected = gx.detection_map(*generated()).per_class
    for _, per_class in found:
        np.testing.assert_allclose(per_class, expected, rtol=0, atol=1e-10)
