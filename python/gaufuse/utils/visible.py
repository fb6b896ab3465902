"""What a folder holds for people: without what systems put beside it."""

from __future__ import annotations

from pathlib import Path

_ARCHIVE_LEFTOVERS = "__MACOSX"  # that macOS adds to .zip files


def is_visible(path: Path, root: Path) -> bool:
    """False for `._NAME` (macOS), `.DS_Store`, `.git/...`: hidden below `root`, by any part."""
    parts = path.relative_to(root).parts
    return not any(part.startswith(".") or part == _ARCHIVE_LEFTOVERS for part in parts)


def visible(root: Path, *patterns: str) -> list[Path]:
    """The visible files of a folder itself that match one of the patterns, sorted."""
    found = {path for pattern in patterns for path in root.glob(pattern)}
    return sorted(path for path in found if is_visible(path, root) and path.is_file())
