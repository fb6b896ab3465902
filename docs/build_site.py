"""Builds the documentation as a site: python docs/build_site.py OUTPUT

Pages are those of docs/ and of the repository's root, as they are read there; links to files that
are no pages (sources, tests) become their names. A link that leads nowhere ends the build.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SECTIONS = {
    "Start": ("README", "tutorial", "sensors_and_sound", "from_release", "from_actionformer"),
    "The method": (
        "method",
        "results",
        "results_one_kernel",
        "choice",
        "label_quality",
        "data_sets",
    ),
    "How to": (
        "training",
        "data_formats",
        "evaluation",
        "postprocessing",
        "analysis",
        "experiments",
        "report",
        "simulator",
    ),
    "Reference": ("operations", "loop", "settings", "benchmarks"),
    "Project": ("index", "troubleshooting", "CONTRIBUTING", "CHANGELOG"),
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def pages() -> list[Path]:
    return [
        next(path for path in (DOCS / f"{name}.md", ROOT / f"{name}.md") if path.exists())
        for names in SECTIONS.values()
        for name in names
    ]


def with_links(page: Path, every: list[Path]) -> str:
    """The page's text as it reads beside all the others in one folder.

    Raises:
        FileNotFoundError: a link leads nowhere.
    """

    def rewrite(match: re.Match[str]) -> str:
        image, text, link, anchor = match.groups()
        if "://" in link:
            return match.group(0)
        target = (page.parent / link).resolve()
        if not target.exists():
            raise FileNotFoundError(f"{page}: {link} leads nowhere")
        if target in every or target.suffix == ".svg":
            return f"{image}[{text}]({target.name}{anchor or ''})"
        return text if text.startswith("`") else f"{text} (`{target.relative_to(ROOT)}`)"

    return LINK.sub(rewrite, page.read_text())


def contents() -> str:
    trees = (
        "\n".join(["```{toctree}", f":caption: {caption}", ":maxdepth: 1", "", *names, "```", ""])
        for caption, names in SECTIONS.items()
    )
    return "# gaufuse-ext\n\n![from activations to labels](pipeline.svg)\n\n" + "\n".join(trees)


def main(output: Path) -> int:
    sources = output / "sources"
    shutil.rmtree(output, ignore_errors=True)
    sources.mkdir(parents=True)
    every = pages()
    left_out = {path for path in DOCS.glob("*.md") if path not in every}
    if left_out:
        raise ValueError(f"in no section: {', '.join(path.name for path in sorted(left_out))}")
    for page in every:
        (sources / page.name).write_text(with_links(page, every))
    (sources / "contents.md").write_text(contents())
    for asset in (DOCS / "conf.py", *DOCS.glob("*.svg")):
        shutil.copy(asset, sources)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    return subprocess.run([*command, str(sources), str(output / "html")]).returncode


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve()))
