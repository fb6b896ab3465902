"""gx.average_recall beside the official proposal evaluation's algorithm, written out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.annotations import Segments
from gaufuse_ext.reference.segment_iou import segment_iou
from test_evaluator import drawn_videos, flat_of, generated


def literal_recall(
    found: dict[str, Segments],
    truth: dict[str, Segments],
    thresholds: np.ndarray,
    most: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Recall (H, 100) and proposals a video (100,), video by video and step by step."""
    videos = [video for video, entry in truth.items() if entry.labels]
    total = sum(len(entry.labels) for entry in found.values())
    most = total / len(videos) if most is None else most
    overlaps = []
    for video in videos:
        entry = found.get(video)
        count = len(entry.labels) if entry else 0
        kept = min(int(count * (most * len(videos) / total)), count)
        best = np.argsort(-entry.scores, kind="stable")[:kept] if entry else []
        segments = entry.segments[best] if kept else np.empty((0, 2))
        overlaps.append(segment_iou(truth[video].segments, segments))
    given_in_all = sum(overlap.shape[1] for overlap in overlaps)
    shares = np.arange(1, 101) / 100.0 * (most * len(videos) / given_in_all)
    instances = sum(len(overlap) for overlap in overlaps)
    recall = np.zeros((len(thresholds), 100))
    for h, threshold in enumerate(thresholds):
        for step, share in enumerate(shares):
            for overlap in overlaps:
                first = overlap[:, : min(int(overlap.shape[1] * share), overlap.shape[1])]
                recall[h, step] += (first >= threshold).any(axis=1).sum()
    return recall / instances, shares * (given_in_all / len(videos))


@settings(max_examples=40, deadline=None)
@given(
    found=drawn_videos(least=1),
    truth=drawn_videos(least=0),
    most=st.sampled_from([1, 2.5, 100, None]),
)
def test_drawn_proposals(found, truth, most):
    thresholds = np.array([0.3, 0.5, 1.0])
    if not any(entry.labels for entry in truth.values()):
        with pytest.raises(ValueError, match="the ground truth has no annotation"):
            gx.average_recall(flat_of(found), flat_of(truth), thresholds, max_proposals=most)
        return
    try:
        result = gx.average_recall(flat_of(found), flat_of(truth), thresholds, max_proposals=most)
    except ValueError as error:
        assert "leaves no proposal to any video" in str(error)  # noqa: PT017
        return
    recall, proposals = literal_recall(found, truth, thresholds, most)
    np.testing.assert_allclose(result.recall, 100 * recall, rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.proposals_per_video, proposals, rtol=1e-12)
    curve = recall.mean(axis=0)
    area = sum((curve[1:] + curve[:-1]) / 2 * np.diff(proposals)) / proposals[-1]
    assert result.area == pytest.approx(100 * area, abs=1e-9)


def test_by_hand():
    """Two videos of one instance each, two proposals each; the first of v and the second of w
    reach."""
    p = gx.FlatSegments(
        [[0, 10], [50, 60], [50, 60], [0, 10]],
        [0, 0, 1, 1],
        [0, 0, 0, 0],
        [0.9, 0.8, 0.7, 0.6],
        ["v", "w"],
        ["p"],
    )
    a = gx.FlatSegments([[0, 10], [0, 10]], [0, 1], [0, 0], None, ["v", "w"], ["x"])
    result = gx.average_recall(p, a, max_proposals=2)
    assert result.proposals_per_video[[0, 49, 99]] == pytest.approx([0.02, 1, 2])
    assert result.at(1) == 50.0
    assert result.at(2) == 100.0
    assert result.at(0.5) == 0.0
    assert result.average_recall.tolist() == [0.0] * 49 + [50.0] * 50 + [100.0]
    for bad in (0, 3, -1):
        with pytest.raises(ValueError, match=r"proposals must lie in \(0, 2\]"):
            result.at(bad)


def test_files_without_labels(tmp_path):
    found, truth = generated()
    expected = gx.average_recall(found, truth)
    table = {
        video: [
            {"segment": pair, "score": score}
            for pair, score in zip(own.segments.tolist(), own.scores.tolist(), strict=True)
        ]
        for video, own in found.to_videos().items()
    }
    path = tmp_path / "p.json"
    for text in (json.dumps({"results": table}), json.dumps({"results": table}) + "\n "):
        path.write_text(text)
        assert np.array_equal(gx.average_recall(path, truth).recall, expected.recall)
    assert np.array_equal(gx.average_recall({"results": table}, truth).recall, expected.recall)
    with pytest.raises(ValueError, match='entry 0 needs "segment" and "label"'):
        gx.detection_map(path, truth)
    path.write_text('{"v0": [{"score": 1}]}')
    with pytest.raises(ValueError, match=r'entry 0 needs "segment"$'):
        gx.average_recall(path, truth)


def test_refused():
    found, truth = generated()
    with pytest.raises(ValueError, match="there are no proposals"):
        gx.average_recall({"v0": []}, truth)
    with pytest.raises(ValueError, match="proposals have no scores"):
        gx.average_recall(truth, truth)
    with pytest.raises(ValueError, match="max_proposals must be positive and finite, got 0"):
        gx.average_recall(found, truth, max_proposals=0)
    with pytest.raises(ValueError, match="leaves no proposal to any video"):
        gx.average_recall(found, truth, max_proposals=1e-6)
    with pytest.raises(ValueError, match="no predicted video has ground truth"):
        gx.average_recall({"u": [{"segment": [0, 1], "score": 1}]}, truth)
