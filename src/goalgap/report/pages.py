"""Make the page of a run from what its folder holds, and the page of an analysis.

Nothing here trains or steps. A page is one file without any outside part: hand-made SVG, one style
sheet, at most one script, and a content security policy that lets nothing else in. What a run or an
analysis lacks is left out together with its heading.
"""

import base64
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from .. import store
from . import analysis, charts, prose, view

HERE = Path(__file__).parent


def write(run: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write the page of a run to `path`, whole or not at all. Raises OSError where it cannot."""
    return _write(render(run), path)


def write_analysis(content: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write the page of an analysis to `path`, whole or not at all. Raises OSError where it cannot."""
    return _write(render_analysis(content), path)


def _write(text: str, path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    store.write(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))
    return path


def render(run: Mapping[str, Any]) -> str:
    """Render the page of a run, as text.

    `run` is what `store.load` gives: `about`, `env` and `verdict`, and, where the run has them,
    `experiment`, `measurements`, `curves`, `splay` and `episodes` (with `atlas`, the sprites as base64
    PNGs). Rows and columns of `splay["cells"]` count from the board's first cell, those of an episode's
    `frames` from the wall around it. The board at step t of an episode is its `start` after the first t
    of its `frames`. NumPy scalars and arrays are welcome anywhere.

    A run of language models says so by `env["kind"] == "language"`. In place of boards it may have
    `transcripts`, for each dialogue `{"seed", "split", "first", "prompt", "turns"}`: `first` is the name
    of the goal that came first, "both" or "neither"; each of the `turns`, which follow the prompt, is
    `{"who": "model" or "user", "text"}`. The first dozen of each split are shown.
    """
    script = _asset("judge.js") + _asset("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template("page.html").render(
        view.page(store.plain(run)),
        style=Markup(_asset("style.css")),
        script=Markup(script),
        script_source=Markup(f"'sha256-{digest}'"),
    )


def render_analysis(content: Mapping[str, Any]) -> str:
    """Render the page of an analysis, as text.

    `content` has `about` and `env` as a run has them, `atlas` (the sprites as base64 PNGs) and
    `analysis`, what `theory.analysis.analyze` gives, with two additions: beside the `text` of each level
    stands `tiles`, its board with the wall around it, and `worst["routes"]` maps names of goals to
    cells, [row, column], counted from the board's first cell. Without tiles or sprites a level is
    written out. NumPy scalars and arrays are welcome anywhere.
    """
    return _template("analysis.html").render(
        analysis.page(store.plain(content)),
        style=Markup(_asset("style.css") + _asset("analysis.css")),
        script_source=Markup("'none'"),
    )


@functools.cache
def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@functools.cache
def _template(name: str) -> jinja2.Template:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    forms = ("percent", "decimal", "plain", "duration", "regret", "share")
    env.filters |= {form: getattr(prose, form) for form in forms}
    env.filters |= {"short": charts.short, "json": _json}
    env.globals |= {
        "badge": charts.badge,
        "swatch": charts.swatch,
        "decimal": prose.decimal,
        "interval": prose.interval,
        "count": prose.count,
    }
    return env.get_template(name)


def _json(value: Any) -> Markup:
    """Write JSON that may stand inside a script element: nothing in it can close the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)
