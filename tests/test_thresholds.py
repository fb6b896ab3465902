"""first:step:last as numbers: to the last bit those of each protocol's own scripts."""

from __future__ import annotations

import numpy as np
import pytest

import gaufuse_ext as gx
from gaufuse_ext.thresholds import PROTOCOLS, parse_thresholds

RANGES = [(0.5, 0.05, 0.95), (0.1, 0.1, 0.7), (0.3, 0.1, 0.7), (0.1, 0.1, 0.9), (0.5, 0.1, 0.5)]


@pytest.mark.parametrize(("first", "step", "last"), RANGES)
def test_ranges_are_those_of_the_protocols_own_scripts(first, step, last):
    """ANETdetection takes numpy.linspace, the W-TALC scripts numpy.arange."""
    count = round((last - first) / step) + 1
    official = tuple(np.linspace(first, last, count).tolist())
    assert gx.threshold_range(first, step, last) == official
    assert gx.threshold_range(first, step, last, "activitynet") == official
    added_up = tuple(np.arange(first, last + step / 2, step).tolist())
    assert gx.threshold_range(first, step, last, "thumos") == added_up
    assert len(added_up) == len(official) == count


def test_to_the_last_bit():
    assert 0.6 in gx.threshold_range(0.5, 0.05, 0.95)
    assert 0.6 not in gx.threshold_range(0.5, 0.05, 0.95, "thumos")
    # W-TALC's 0.3 is a little more than 3/10.
    assert gx.threshold_range(0.1, 0.1, 0.7, "thumos")[2] > 0.3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_range_ends_where_it_says(protocol):
    """A step that does not divide it: the last number is the last one up to `last`."""
    for last in (0.80, 0.84):
        assert gx.threshold_range(0.1, 0.25, last, protocol) == pytest.approx((0.1, 0.35, 0.6))
    assert gx.threshold_range(0.1, 0.25, 0.85, protocol) == pytest.approx((0.1, 0.35, 0.6, 0.85))
    assert gx.threshold_range(0.3, 0.5, 0.7, protocol) == (0.3,)


def test_ranges_that_are_none():
    inf, nan = float("inf"), float("nan")
    for bad in ((0.5, 0, 0.9), (0.5, -0.1, 0.9), (0.9, 0.1, 0.5), (0.1, 0.1, nan), (0.1, 0.1, inf)):
        with pytest.raises(ValueError, match="expected first:step:last with a positive step"):
            gx.threshold_range(*bad)
    with pytest.raises(ValueError, match="are more than 10000 thresholds"):
        gx.threshold_range(0.1, 1e-9, 0.7)
    with pytest.raises(ValueError, match="protocol must be activitynet or thumos, got 'coco'"):
        gx.threshold_range(0.1, 0.1, 0.7, "coco")


def test_text():
    assert parse_thresholds("0.5:0.05:0.95", "thumos") == gx.threshold_range(
        0.5, 0.05, 0.95, "thumos"
    )
    assert parse_thresholds("0.3,0.55") == (0.3, 0.55)
    for bad in ("", "0.1:0.2", "0.1:0.1:0.7:1", "a,b", "0.1;0.2"):
        with pytest.raises(ValueError, match="expected first:step:last or numbers with commas"):
            parse_thresholds(bad)


def stairs() -> tuple[dict, dict]:
    """Ten videos with an instance [0, 20] each; in video i [0, 10 + i] is predicted, the longer the
    less sure: IoU (10 + i) / 20. At IoU (10 + k) / 20 the first k of the ranking are wrong and the
    10 - k others right: their best precision is (10 - k) / 10, up to a recall of (10 - k) / 10."""
    names = [f"v{i}" for i in range(10)]
    truth = {v: {"annotations": [{"segment": [0, 20], "label": "x"}]} for v in names}
    results = {
        v: [{"segment": [0, 10 + i], "label": "x", "score": 1 - i / 20}]
        for i, v in enumerate(names)
    }
    return {"results": results}, {"database": truth}


STAIRS = [((10 - k) / 10) ** 2 * 100 for k in range(10)]  # 100, 81, 64, ..., 1: 38.5 on average


@pytest.mark.parametrize("thresholds", ["0.5:0.05:0.95", np.linspace(0.5, 0.95, 10)])
def test_average_map_of_the_activitynet_protocol_by_hand(thresholds):
    m = gx.detection_map(*stairs(), thresholds)
    assert m.map.tolist() == pytest.approx(STAIRS)
    assert m.average_map == pytest.approx(38.5)


def test_default_thresholds_follow_the_protocol():
    for protocol in PROTOCOLS:
        m = gx.detection_map(*stairs(), protocol=protocol)
        assert tuple(m.iou_thresholds) == gx.threshold_range(0.1, 0.1, 0.7, protocol)


def test_a_range_up_to_one():
    """The exact match is one of linspace's 1.0, and none of what numpy.arange makes of it."""
    truth = {"v": {"annotations": [{"segment": [0, 16], "label": "x"}]}}
    found = {"v": [{"segment": [0, 16], "label": "x", "score": 1}]}
    assert gx.detection_map(found, truth, "0.5:0.05:1.0").map.tolist() == [100.0] * 11
    m = gx.detection_map(found, truth, "0.5:0.05:1.0", "thumos")
    assert m.iou_thresholds[-1] == np.arange(0.5, 1.01, 0.05)[-1] > 1.0
    assert m.map.tolist() == [100.0] * 10 + [0.0]
