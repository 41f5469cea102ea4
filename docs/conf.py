"""Sphinx: `pip install -e ".[docs]" && sphinx-build -W docs docs/_build`."""

project = "goalgap"
author = "The goalgap developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.apidoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "api/modules.rst"]
html_theme = "furo"

# Every module of the package has its page, so that none can be forgotten here.
apidoc_modules = [
    {
        "path": "../src/goalgap",
        "destination": "api",
        "separate_modules": True,
        "module_first": True,
        "automodule_options": {"members"},
    }
]
autodoc_typehints = "description"
autodoc_inherit_docstrings = False  # Gymnasium writes another dialect
