"""What is written in more than one place is the same there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import gaufuse
import gaufuse_ext

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_version_is_that_of_pyproject():
    version = PROJECT["project"]["version"]
    assert gaufuse_ext.__version__ == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_every_package_is_listed():
    """They are listed by hand, since `python/` beside `gaufuse_ext/` breaks their discovery."""
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    found = set()
    for package in (gaufuse, gaufuse_ext):
        folder = Path(package.__file__).parent
        for path in folder.rglob("__init__.py"):
            parts = path.parent.relative_to(folder).parts
            found.add(".".join((package.__name__, *parts)))
    assert listed == found


def test_the_pythons_that_are_named_are_tested():
    classifiers = " ".join(PROJECT["project"]["classifiers"])
    named = re.findall(r"Python :: (3\.\d+)", classifiers)
    workflow = ROOT / ".github/workflows/ci.yml"
    if not workflow.exists():
        pytest.skip("the workflow is no part of a source distribution")
    (matrix,) = re.findall(r"python: \[(.*)\]", workflow.read_text())
    assert re.findall(r"3\.\d+", matrix) == named
    for version in named:
        assert f"cp{version.replace('.', '')}-" in PROJECT["tool"]["cibuildwheel"]["build"]
