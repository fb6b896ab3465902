"""Which code made a result."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch

import gaufuse
import gaufuse_ext as gx


def versions() -> dict[str, str | None]:
    """Of the package and torch, and the commit where the package is in a checkout."""
    return {"gaufuse": gx.__version__, "commit": commit(), "torch": torch.__version__}


def commit() -> str | None:
    """Short hash, with "+changes" where tracked files differ from it; None outside a checkout."""
    folder = Path(gaufuse.__file__).parent
    # An installed package may lie inside a checkout of something else.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    name = _git(folder, "rev-parse", "--short=12", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return name and name + ("+changes" if changes else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
