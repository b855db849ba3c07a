"""Settings of the documentation's site. `make docs` builds it; a warning, such as a dead link, is an error."""

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _PROJECT["name"]
author = "The edgepack authors"
copyright = "2026 The edgepack authors"
version = release = _PROJECT["version"]
extensions = ["myst_parser"]
exclude_patterns = ["generators"]
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
nitpicky = True
html_theme = "furo"
html_title = f"edgepack {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
