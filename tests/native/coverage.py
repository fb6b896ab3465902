"""Lines and branches of csrc/cpu and csrc/gaufuse that a coverage build of tests/native reached.

    python tests/native/coverage.py BUILD [--missing]

Counted per place in the source: a branch is taken if any instantiation of its template took it.
Branches into exceptions (gcov's "throw": no memory) are left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

SOURCES = ("csrc/cpu/", "csrc/gaufuse/")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--missing", action="store_true", help="list what was not reached")
    options = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    lines: dict[tuple[str, int], bool] = defaultdict(bool)
    branches: dict[tuple[str, int, int], bool] = defaultdict(bool)
    for unit in read_units(options.build.resolve()):
        for file in unit["files"]:
            path = (Path(unit["current_working_directory"]) / file["file"]).resolve()
            name = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
            if not name.startswith(SOURCES):
                continue
            for line in file["lines"]:
                lines[name, line["line_number"]] |= line["count"] > 0
                for number, branch in enumerate(line["branches"]):
                    if not branch["throw"]:
                        branches[name, line["line_number"], number] |= branch["count"] > 0
    show(lines, branches)
    if options.missing:
        for name, line, number in sorted(place for place in branches if not branches[place]):
            print(f"{name}:{line} branch {number}")
    return 0


def read_units(build: Path):
    notes = sorted(build.rglob("*.gcno"))
    with tempfile.TemporaryDirectory() as folder:
        for note in notes:
            if not note.with_suffix(".gcda").exists():
                continue
            command = ["gcov", "--json-format", "--branch-probabilities", str(note)]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            for found in Path(folder).glob("*.json.gz"):
                yield json.loads(gzip.decompress(found.read_bytes()))
                found.unlink()


def show(lines: dict, branches: dict) -> None:
    for name in sorted({place[0] for place in lines}):
        print(f"{name:42} {share(lines, name):>20} {share(branches, name):>20}")
    print(f"{'all: lines, branches':42} {share(lines, ''):>20} {share(branches, ''):>20}")


def share(table: dict, name: str) -> str:
    found = [taken for place, taken in table.items() if place[0].startswith(name)]
    return f"{sum(found)}/{len(found)} {100 * sum(found) / max(1, len(found)):.1f}%"


if __name__ == "__main__":
    sys.exit(main())
