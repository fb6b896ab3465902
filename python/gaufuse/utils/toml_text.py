"""TOML from outside."""

from __future__ import annotations

import tomllib
from typing import Any


def parse_toml(text: str, source: object) -> dict[str, Any]:
    """A table.

    Raises:
        ValueError: with the source and what is wrong there.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:  # also of a number of thousands of digits
        reason = str(error)
    raise ValueError(f"{source} is not valid TOML: {reason}")
