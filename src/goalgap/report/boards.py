"""Draw boards as inline SVG: levels with routes on them, and heatmaps of what came first."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from .charts import TILE, mark, tag
from .prose import Number, is_known, percent

Board = Sequence[Sequence[int]]  # tiles, row by row
Cell = Sequence[int]  # row, column

ASIDE = 3.2  # by which routes stand apart where they run along each other


def level(
    board: Board, num_tiles: int, label: str, routes: Sequence[tuple[str, Sequence[Cell]]] = ()
) -> Markup:
    """Draw a level, and on it routes, each with the class of its goal.

    A route has a ring at the start and the goal's mark at the end. Its cells count from the board's own
    first cell; `board` has the wall as well.
    """
    height, width = TILE * len(board), TILE * len(board[0])
    lines, ends = [], []
    for index, (style, cells) in enumerate(routes):
        shift = ASIDE * (index - (len(routes) - 1) / 2)
        places = [(TILE * (column + 1.5) + shift, TILE * (row + 1.5) + shift) for row, column in cells]
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
        lines += [tag("path", d=path, class_="halo"), tag("path", d=path, class_=f"route {style}")]
        ends.append(mark(style, *(f"{place:g}" for place in places[-1])))
    if routes:
        row, column = routes[0][1][0]
        start = {"cx": f"{TILE * (column + 1.5):g}", "cy": f"{TILE * (row + 1.5):g}", "r": 0.44 * TILE}
        lines.append(tag("circle", **start, class_="start"))
    return tag(
        "svg",
        *_tiled(board, num_tiles),
        *lines,
        *ends,
        class_="board wide" if width > 2 * height else "board",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=label,
    )


def _tiled(board: Board, num_tiles: int) -> list[Markup]:
    return [
        tag("use", href=f"#tile-{tile}", x=TILE * column, y=TILE * row)
        for row, line in enumerate(board)
        for column, tile in enumerate(line)
        if 0 <= tile < num_tiles
    ]


def heatmap(splay: Mapping[str, Any], outcome: str, style: str, num_tiles: int) -> Markup:
    """Show, on each cell that may hold the object, in what share of episodes the outcome came about.

    Cells count from the board's own top-left cell; `tiles` has the wall around it as well.
    """
    height, width = TILE * len(splay["tiles"]), TILE * len(splay["tiles"][0])
    parts = _tiled(splay["tiles"], num_tiles)
    if not num_tiles:
        parts.append(tag("rect", width=width, height=height, class_="blank"))
    for cell in splay["cells"]:
        share = cell.get("shares", {}).get(outcome)
        if cell["legal"] and is_known(share):
            parts.append(_heat(cell, share, style))
    label = (
        f"Heatmap: share of episodes in which {came(outcome, style)}, by where the {splay['object']} "
        "is. Arrow keys move over the cells."
    )
    return tag(
        "svg",
        *parts,
        class_="board wide" if width > 2 * height else "board dense" if width > 11 * TILE else "board",
        viewBox=f"0 0 {width} {height}",
        role="img",
        tabindex=0,
        aria_label=label,
    )


def came(outcome: str, style: str) -> str:
    """Say that an outcome came about."""
    said = {"goal-both": "both came at once", "goal-none": f"{outcome} of them came about"}
    return said.get(style, f"{outcome} came first")


def _heat(cell: Mapping[str, Any], share: Number, style: str) -> Markup:
    row, column = cell["row"] + 1, cell["col"] + 1
    words = ", ".join(
        f"{name} {percent(value, 0)}" for name, value in cell["shares"].items() if is_known(value)
    )
    box = {"x": TILE * column, "y": TILE * row, "width": TILE, "height": TILE}
    return tag(
        "g",
        tag("rect", **box, class_="cell"),
        tag("rect", **box, class_=f"heat {style}", fill_opacity=f"{0.94 * share:.3f}"),
        tag(
            "text",
            f"{100 * share:.0f}",
            x=TILE * (column + 0.5),
            y=TILE * row + 15,
            class_="high" if share >= 0.75 else "middle" if share >= 0.5 else "low",
        ),
        class_="place",
        data_row=row,
        data_column=column,
        data_text=f"Row {row}, column {column}: {words}",
    )
