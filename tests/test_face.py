"""What `import gaufuse` offers: lazily when it runs, all at once to type checkers and editors."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import gaufuse


def names_for_type_checkers() -> dict[str, str]:
    """The imports under TYPE_CHECKING: what is exported, and from which module."""
    tree = ast.parse(Path(gaufuse.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    found = {}
    for node in block.body:
        for name in node.names:
            assert name.asname == name.name, "only `X as X` is exported by every type checker"
            found[name.name] = node.module
    return found


def test_type_checkers_see_the_names_that_are_there():
    homes = {name: f"gaufuse.{module}" for name, module in gaufuse._HOME.items()}
    assert names_for_type_checkers() == homes


def test_every_name_is_that_of_its_module():
    assert dir(gaufuse) == sorted(gaufuse._HOME) == gaufuse.__all__
    for name, module in names_for_type_checkers().items():
        assert getattr(gaufuse, name) is getattr(import_module(module), name)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, gaufuse; print([m for m in ('torch', 'numpy', 'rich') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
