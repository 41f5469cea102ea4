"""Sphinx: `pip install -e ".[docs]" && sphinx-build docs docs/_build`."""

project = "goalgap"
author = "The goalgap developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
