"""Pages of run folders: gathers what a folder holds, and writes its report."""

from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from .pages import write

PICTURES = ("splay", "episodes", "transcripts")  # files that pages show where they are there


def write_folder(path: Path, contest: dict[str, Any]) -> Path:
    """Make a folder's report.html from what is stored, and return its path.

    `contest` describes the environment or scenario (`kinds.Kind.content`).
    """
    return write(content_of(path, contest), path / "report.html")


def content_of(path: Path, contest: dict[str, Any]) -> dict[str, Any]:
    """Gather a folder's files as the page wants them. Raises UsageError for missing or damaged ones."""
    about = store.read_json(path / "experiment.json")
    curves = store.read_table(path / "curves.parquet")
    content = {
        "experiment": about["experiment"],
        "about": {"subject": "trained fleet", "hash": None} | about,
        "env": contest,
        "verdict": store.read_json(path / "verdict.json"),
        "measurements": store.read_json(path / "measurements.json"),
    }
    if np.unique(curves["env_steps"]).size > 1:
        content["curves"] = store.rows(curves)
    for name in PICTURES:
        if (path / f"{name}.json").exists():
            content[name] = store.read_json(path / f"{name}.json")
    return content
