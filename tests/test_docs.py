"""The pages for newcomers name files that are there."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("docs/index.md", "docs/method.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text())
    inside = [link.partition("#")[0] for link in links if "://" not in link]
    assert inside
    assert [link for link in inside if not ((ROOT / page).parent / link).exists()] == []


def test_the_page_of_settings_is_current():
    path = ROOT / "docs/settings_page.py"
    spec = importlib.util.spec_from_file_location("settings_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.page()
    assert "|  |\n" not in text, "a setting without a comment in config.py"
    assert text == module.PAGE.read_text(), "python docs/settings_page.py"


def named_files(page: str) -> list[Path]:
    """The files that a page's tables name; a bare name lies beside the last whole path."""
    files, folder = [], Path()
    for name in re.findall(r"`([\w/.]+(?:\.(?:py|h)|/))`", _tables(page)):
        path = Path(name)
        if len(path.parts) > 1 and (ROOT / path.parts[0]).is_dir():
            folder = path if name.endswith("/") else path.parent
            files.append(path)
        else:
            files.append(folder / path)
    return files


def _tables(page: str) -> str:
    lines = (ROOT / page).read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def test_the_map_of_the_house_is_true():
    files = named_files("docs/index.md")
    assert len(files) > 40
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_map_draws_every_folder():
    text = (ROOT / "docs/index.md").read_text()
    for package in ("gaufuse_ext", "python/gaufuse"):
        for folder in (ROOT / package).iterdir():
            if (folder / "__init__.py").exists():
                assert f"  {folder.name}/ " in text, folder


def messages() -> list[str]:
    """What strings of the package say, with "..." for what is put into them."""
    found = []
    for path in [*(ROOT / "gaufuse_ext").rglob("*.py"), *(ROOT / "python").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            if isinstance(node, ast.JoinedStr):
                parts = (x.value if isinstance(x, ast.Constant) else "..." for x in node.values)
                found.append("".join(parts))
    return found


def test_troubleshooting_quotes_what_is_printed():
    rows = _tables("docs/troubleshooting.md").splitlines()[2:]
    first = (row.split("|")[1] for row in rows)
    quoted = [text for cell in first for text in re.findall("`([^`]+)`", cell)]
    commands_and_files = [text for text in quoted if text.startswith(("gaufuse ", "."))]
    quoted = [text for text in quoted if text not in commands_and_files]
    assert len(quoted) > 4
    own = messages()
    assert [text for text in quoted if not any(text in message for message in own)] == []


def test_the_seven_files_of_an_operation():
    """Those of `segment_iou`, which CONTRIBUTING.md says to read first."""
    names = re.findall(
        r"^\| `([^`]*NAME[^`]*)`", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    assert len(names) == 7
    assert all((ROOT / name.replace("NAME", "segment_iou")).exists() for name in names)
