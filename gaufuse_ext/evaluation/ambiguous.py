"""THUMOS14's list of intervals whose class is in doubt (Ambiguous_test.txt)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gaufuse_ext.class_names import few
from gaufuse_ext.flat_segments import FlatSegments
from gaufuse_ext.text import read_text


def read_ambiguous(path: str | Path, video_ids: Mapping[str, int]) -> FlatSegments:
    """Lines "video  start end" in seconds; those of videos without ground truth are left out.

    Args:
        video_ids: of the videos with ground truth.

    Raises:
        FileNotFoundError, ValueError: a line that is none, or no video of the ground truth in it.
    """
    pairs: list[tuple[float, float]] = []
    videos: list[str] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            start, end = float(fields[-2]), float(fields[-1])
        except (IndexError, ValueError):
            start = end = np.nan
        if len(fields) != 3 or not -np.inf < start <= end < np.inf:
            raise ValueError(f"{path}, line {number}: expected 'video start end', got {line!r}")
        videos.append(fields[0])
        pairs.append((start, end))
    if videos and not any(video in video_ids for video in videos):
        raise ValueError(
            f"no video of {path} is in the ground truth: it has {few(dict.fromkeys(videos))}, the "
            f"ground truth has {few(video_ids)}"
        )
    kept = np.array([video in video_ids for video in videos], dtype=bool)
    ids = [video_ids[video] for video in videos if video in video_ids]
    return FlatSegments(
        np.array(pairs).reshape(-1, 2)[kept],
        np.array(ids, dtype=np.int32),
        np.zeros(len(ids), dtype=np.int32),
    )
