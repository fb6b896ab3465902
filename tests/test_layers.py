"""An import never goes up: the floors of the house, held from the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gaufuse
import gaufuse_ext

# From the roof to the cellar. Rooms of one floor may import each other, but not in a circle; but
# for the roof, where experiments run commands and are one.
FLOORS = (
    ("cli", "experiment", "report", "__main__"),
    ("training",),
    ("labels", "analysis"),
    ("localization", "data"),
    ("model",),
    ("config",),
    ("utils",),
)
KERNEL_ROOMS = ("benchmark",)  # for gaufuse_ext alone
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PACKAGE = Path(gaufuse.__file__).parent
EXTENSION = Path(gaufuse_ext.__file__).parent


def imported(path: Path) -> set[str]:
    """The dotted names of the modules that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            found.update(f"{node.module}.{name.name}" for name in node.names)
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path))
    return {name[1] for name in names if name[0] == "gaufuse" and len(name) > 1}


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_goes_up(path):
    room = room_of(path)
    if room == "__init__":  # the face: exports, lazily
        return
    allowed = {room, "utils"} if room in KERNEL_ROOMS else None
    for other in rooms_imported(path) & (FLOOR_OF.keys() | set(KERNEL_ROOMS)):
        if allowed is not None:
            assert other in allowed, f"{path} imports gaufuse.{other}"
        elif other in KERNEL_ROOMS:
            assert FLOOR_OF[room] == 0, f"{path} imports gaufuse.{other}"
        else:
            assert FLOOR_OF[other] >= FLOOR_OF[room], f"{path} goes up to gaufuse.{other}"


def test_every_module_has_a_room():
    rooms = {room_of(path) for path in MODULES} - {"__init__", "configs"}
    assert rooms == FLOOR_OF.keys() | set(KERNEL_ROOMS)


def test_rooms_of_one_floor_are_not_a_circle():
    below = {room: set() for rooms in FLOORS for room in rooms}
    for path in MODULES:
        if room_of(path) in below:
            below[room_of(path)] |= rooms_imported(path)
    for rooms in FLOORS[1:]:
        for room in rooms:
            for other in set(rooms) - {room}:
                assert not (other in below[room] and room in below[other]), (room, other)


def test_operations_know_nothing_of_the_training_system():
    for path in EXTENSION.rglob("*.py"):
        assert not any(name.split(".")[0] == "gaufuse" for name in imported(path)), path


def test_production_code_does_not_lean_on_the_reference():
    for path in EXTENSION.rglob("*.py"):
        if "reference" in path.relative_to(EXTENSION).parts:
            continue
        named = [name for name in imported(path) if name.startswith("gaufuse_ext.reference")]
        assert not named, f"{path} imports {named}"
