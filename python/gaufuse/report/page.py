"""One page of a run, or of two beside each other: self-contained HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import torch

from gaufuse.report.colours import DARK, DATA, LIGHT
from gaufuse.report.curve_sections import curves_section, label_section
from gaufuse.report.error_section import error_section
from gaufuse.report.figures import bokeh_script, check_bokeh
from gaufuse.report.run_input import RunInput, read_inputs
from gaufuse.report.sections import (
    Section,
    class_section,
    result_section,
    training_section,
)
from gaufuse.report.video_section import video_section
from gaufuse.utils.files import write_text
from gaufuse_ext import build_info

SECTIONS = (
    result_section,
    training_section,
    curves_section,
    class_section,
    label_section,
    error_section,
    video_section,
)


def write_report(
    roots: Sequence[str | Path],
    output: str | Path,
    device: torch.device,
    data: str | Path | None = None,
) -> int:
    """Writes the page of one or two runs and returns its size in bytes.

    Raises:
        FileNotFoundError, ValueError, WriteError: bokeh is not installed; a run is none, is not
            finished, or a file of it or its data set is broken; the page cannot be written.
    """
    check_bokeh()
    if not 1 <= len(roots) <= 2:
        raise ValueError(f"a page is of one run, or of two, got {len(roots)}")
    runs = read_inputs(list(roots), data, device)
    text = render(runs, [build(runs) for build in SECTIONS])
    write_text(output, text)
    return len(text.encode())


def render(runs: Sequence[RunInput], sections: list[Section]) -> str:
    """Everything that comes from data is escaped: by the template, and in scripts as JSON."""
    from jinja2 import Environment, StrictUndefined  # bokeh's own

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["script_json"] = script_json
    template = environment.from_string(_file("page.html"))
    figures = [figure for section in sections for figure in section.figures]
    return template.render(
        title=" and ".join(run.facts.name for run in runs),
        runs=[run.name for run in runs],
        sections=sections,
        ids={id(figure): f"figure-{i}" for i, figure in enumerate(figures)},
        id_of=id,
        items={f"figure-{i}": figure.item for i, figure in enumerate(figures)},
        lengths={f"figure-{i}": figure.seconds for i, figure in enumerate(figures)},
        data=DATA,
        light=LIGHT,
        dark=DARK,
        style=_file("page.css"),
        script=_file("page.js"),
        bokeh=bokeh_script(),
        version=build_info()["version"],
    )


def script_json(value: object) -> str:
    """JSON that no text in it ends the script of."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _file(name: str) -> str:
    return resources.files("gaufuse.report").joinpath(name).read_text()
