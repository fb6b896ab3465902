"""Which videos to show: best, median, worst, and where two runs differ most."""

from __future__ import annotations


def best_median_worst(values: dict[str, float]) -> dict[str, str]:
    """{video: which it is}, of the videos by a value; of equal ones the first is better."""
    ranked = sorted(values, key=lambda video: -values[video])
    if not ranked:
        return {}
    places = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    chosen: dict[str, str] = {}
    for name, place in places.items():
        chosen.setdefault(ranked[place], name)
    return chosen


def most_different(first: dict[str, float], second: dict[str, float]) -> dict[str, str]:
    """The videos in which the second run is better, and worse, than the first by most."""
    gains = {video: second[video] - first[video] for video in first if video in second}
    chosen: dict[str, str] = {}
    for which, video in (
        ("test video where B gains most", max(gains, key=lambda name: gains[name], default=None)),
        ("test video where B loses most", min(gains, key=lambda name: gains[name], default=None)),
    ):
        if video is not None and (gains[video] > 0) == ("gains" in which) and gains[video] != 0:
            chosen[video] = which
    return chosen


def strongest_detections(scores: dict[str, float]) -> dict[str, str]:
    """Without annotations: videos by the score of their best detection."""
    names = {
        "best": "test video with the most certain detection",
        "median": "test video of median certainty",
        "worst": "test video of least certainty",
    }
    return {video: names[which] for video, which in best_median_worst(scores).items()}
