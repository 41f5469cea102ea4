"""Describe cells of a board, in the words of goals that nobody listed; find a board's symmetries."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

SIDES = ("top row", "left column", "bottom row", "right column")


def facts(
    position: Int[Array, ""], size: int, objects: dict[str, Any], start: Any
) -> dict[str, Bool[Array, ""]]:
    """Say of a position, for each named place of the board, whether it is there.

    Places are the corners, edges, quarters and the middle of the board, the objects (cells; -1: absent),
    the rows and columns of objects that are alone of their kind, and the cell of the start.
    """
    row, column = position // size, position % size
    last, half = size - 1, (size - 1) / 2
    at_side = (row == 0, column == 0, row == last, column == last)
    said = {f"the {side}": here for side, here in zip(SIDES, at_side, strict=True)}
    for up, down in (("top", 0), ("bottom", 2)):
        for left, right in (("left", 1), ("right", 3)):
            said[f"the {up}-{left} corner"] = at_side[down] & at_side[right]
            vertical = (row < half) if up == "top" else (row > half)
            horizontal = (column < half) if left == "left" else (column > half)
            said[f"the {up}-{left} quarter"] = vertical & horizontal
    said["the middle"] = (row == size // 2) & (column == size // 2)
    for name, cells in objects.items():
        if jnp.ndim(cells):
            said[f"a {name.removesuffix('s')}"] = (position == cells).any()
            continue
        said[f"the {name}"] = position == cells
        said[f"the row of the {name}"] = row == cells // size
        said[f"the column of the {name}"] = column == cells % size
    said["the start"] = position == start
    return said


def gauges(position: Int[Array, ""], size: int) -> dict[str, Float[Array, ""]]:
    """Measure how far a position lies in each direction, 0 to 1."""
    down, right = (position // size) / (size - 1), (position % size) / (size - 1)
    return {"go up": 1 - down, "go left": 1 - right, "go down": down, "go right": right}


def symmetries(level: Any, size: int, objects: tuple[str, ...]) -> dict[str, Any]:
    """Turn and mirror a level in the seven ways that a square has.

    The start and all objects (fields of the level) move along, so that a goal about objects pays what it
    paid.
    """
    cells = np.arange(size**2).reshape(size, size)
    turned = {f"turned by {90 * quarter}°": np.rot90(cells, -quarter) for quarter in (1, 2, 3)}
    mirrored = {
        "mirrored left to right": cells[:, ::-1],
        "mirrored top to bottom": cells[::-1],
        "mirrored at the main diagonal": cells.T,
        "mirrored at the other diagonal": np.rot90(cells, 2).T,
    }
    return {name: _moved(level, came, objects) for name, came in (turned | mirrored).items()}


def _moved(level: Any, came_from: np.ndarray, objects: tuple[str, ...]) -> Any:
    """Move every cell of a level; `came_from` gives for each cell the one whose content it shows."""
    goes_to = jnp.asarray(np.argsort(came_from.reshape(-1)))
    walls = level.walls.reshape(-1)[came_from.reshape(-1)].reshape(level.walls.shape)
    level = eqx.tree_at(lambda tree: tree.walls, level, walls)
    for name in objects:
        cells = getattr(level, name)
        moved = jnp.where(cells >= 0, goes_to[cells], cells).astype(cells.dtype)
        level = eqx.tree_at(lambda tree, name=name: getattr(tree, name), level, moved)
    return level
