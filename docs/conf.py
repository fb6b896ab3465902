"""Settings of Sphinx for `make docs`; `build_site.py` puts the pages together first."""

from __future__ import annotations

from importlib.metadata import version as installed

project = "gaufuse-ext"
author = "The gaufuse-ext authors"
version = release = installed("gaufuse-ext")
html_title = project
root_doc = "contents"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure", "myst.xref_missing"]  # mermaid; prose in brackets
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
html_theme = "furo"  # light and dark, narrow screens, print
html_show_sourcelink = False
