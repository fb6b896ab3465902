"""first:step:last as numbers, as the evaluation scripts of the field make them."""

from __future__ import annotations

import math

import numpy as np

PROTOCOLS = ("activitynet", "thumos")
MOST = 10_000  # thresholds; a step of 1e-9 is a slip


def threshold_range(
    first: float, step: float, last: float, protocol: str = "activitynet"
) -> tuple[float, ...]:
    """first, first + step, ... up to `last`, to the last bit as the protocol's own scripts have it.

    - "activitynet": ``numpy.linspace``, as in ANETdetection (0.5:0.05:0.95 has 0.6).
    - "thumos": ``numpy.arange``, as in the W-TALC scripts, which add the step up: 0.1:0.1:0.7 has
      0.30000000000000004, so that an IoU of exactly 3/10, which sets of snippets do reach, is no
      match. The release makes the thresholds of its activation sequences that way, too.

    Raises:
        ValueError: no such protocol; a step that is not positive, last < first, NaN, or infinity.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be activitynet or thumos, got {protocol!r}")
    if not (step > 0 and last >= first and math.isfinite(last - first) and math.isfinite(step)):
        raise ValueError(
            f"expected first:step:last with a positive step, got {first}:{step}:{last}"
        )
    steps = (last - first) / step
    if steps >= MOST:
        raise ValueError(f"{first}:{step}:{last} are more than {MOST} thresholds")
    count = math.floor(steps + 1e-6) + 1  # 0.6 / 0.1 is a little less than 6
    if protocol == "thumos":
        return tuple(np.arange(first, last + step, step)[:count].tolist())
    reached = last if abs(steps - round(steps)) <= 1e-6 else first + (count - 1) * step
    return tuple(np.linspace(first, reached, count).tolist())


def parse_thresholds(text: str, protocol: str = "activitynet") -> tuple[float, ...]:
    """ "first:step:last" as `threshold_range` makes it, or numbers with commas, as they are.

    Raises:
        ValueError: neither.
    """
    try:
        if ":" not in text:
            return tuple(float(number) for number in text.split(","))
        first, step, last = map(float, text.split(":"))
    except ValueError:
        raise ValueError(f"expected first:step:last or numbers with commas, got {text!r}") from None
    return threshold_range(first, step, last, protocol)
