"""Packages that only some commands need: the extras of pyproject.toml."""

from __future__ import annotations


def not_installed(what: str, extra: str) -> ValueError:
    """To raise where a package of an extra cannot be imported; what: who needs which package."""
    return ValueError(f"{what}: pip install '.[{extra}]' in the folder of this package's source")
