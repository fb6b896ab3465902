"""How many snippets a video has."""

from __future__ import annotations

import math

# Durations are written to a millisecond or better: up to half of one is not a snippet more.
ROUNDING_SECONDS = 0.5e-3
# And where a snippet is about as short as that, up to this share of it.
ROUNDING_SNIPPETS = 0.01


def snippet_count(duration: float, snippet_seconds: float) -> int:
    """The snippets that cover a duration, in seconds. The last one may be cut off, but a duration
    that was n snippets before it was rounded, or divided, makes n of them.

    Raises:
        ValueError: a duration that is not positive.
    """
    if not 0.0 < duration < math.inf:
        raise ValueError(f"a duration must be positive, got {duration}")
    rounding = min(ROUNDING_SECONDS / snippet_seconds, ROUNDING_SNIPPETS)
    # A float's own error in n * s / s is below n * 1e-15, which rounding leaves far behind.
    return max(1, math.ceil(duration / snippet_seconds - rounding))
