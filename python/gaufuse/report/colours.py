"""Colours that people with any colour vision tell apart: Okabe and Ito's, of a lightness that
stands out by at least 3 : 1 from white paper and from dark. Only text and grids are in two shades.

Colour never stands alone: rows of a timeline have their names, runs their dashes and hatching.
"""

from __future__ import annotations

DATA = {
    "truth": "#6e6e76",
    "cas": "#0072b2",
    "proposals": "#808086",
    "instances": "#009e73",
    "labels": "#b3599b",
    "delta": "#b07500",
    "detections": "#d55e00",
    "first": "#0072b2",
    "second": "#d55e00",
}
LIGHT = {"text": "#1b1b1c", "muted": "#5c5d61", "grid": "#d5d5d8", "paper": "#ffffff"}
DARK = {"text": "#f1f1f3", "muted": "#b4b5ba", "grid": "#45464c", "paper": "#17181b"}
RUNS = ("first", "second")
