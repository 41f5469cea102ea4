"""Draw Keys and Chests in 64x64 pixels: the whole world, or 8x8 tiles around the agent.

Geometry and order of drawing are Procgen's (`procgen/src/basic-abstract-game.cpp` of openai/procgen,
read and re-stated); the pictures are our own. Departures: keys are shown in the middle of their tiles,
from which they are less than a pixel away; nothing tells where the agent looks.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from .. import sprites
from ..sprites import _SHAPES
from . import camera
from .maze_picture import floors

LOOKS = (sprites.FLOOR, sprites.WALL, sprites.KEY, sprites.CHEST)  # of tiles, as boards number them
NEAR = 8  # tiles that "memory" mode shows
WINDOW = NEAR + 1  # tiles of which at least a part is seen
BODY = 0.75  # the agent's width, in tiles
RING_KEY = 0.06  # width of a held key's picture, as a share of the whole one
MOST_HELD = 12


@functools.cache
def _tiles(view: int) -> camera.Atlas:
    return camera.atlas(np.stack([camera.painted(_SHAPES[look]) for look in LOOKS]), view)


@functools.cache
def _agent(view: int) -> camera.Atlas:
    return camera.atlas(camera.painted(_SHAPES[sprites.MOUSE], BODY, BODY, BODY)[None], view)


@functools.cache
def _ring() -> UInt8[np.ndarray, "n 64 3 span"]:
    """Draw the keys in hand, for each number of them, at the top right of a see-through picture."""
    pictures = np.zeros((MOST_HELD + 1, camera.SIDE, camera.SIDE, 3), np.uint8)
    for count in range(1, MOST_HELD + 1):
        pictures[count] = pictures[count - 1]
        right = round(camera.SIDE * (1 - RING_KEY * (count - 0.875)))
        # A stem upon a ring, three pixels wide, with a pixel between two keys now and then.
        for rows, columns, color in (
            (slice(0, 2), slice(right - 3, right), sprites.GOLD),
            (slice(2, 4), slice(right - 2, right - 1), sprites.GOLD_DARK),
        ):
            pictures[count, rows, columns] = tuple(bytes.fromhex(color[1:]))
    return pictures.reshape(len(pictures), camera.SIDE, 3, camera.SPAN)


def picture(
    board: Int[Array, "n n"],
    agent: Float[Array, "2"],
    held: Int[Array, ""],
    floor: tuple[Int[Array, ""], Float[Array, ""]],
    num_floors: int,
    is_near: bool,
) -> UInt8[Array, "64 64 3"]:
    """Draw a board of indices into `LOOKS`, top row first, on a floor, with the agent and the keys held.

    `agent` is its center, `held` the number of keys, `floor` which floor and how far it is moved.
    `is_near` shows what is around the agent, not the whole world.
    """
    size = len(board)
    if is_near:
        # Beyond the world is wall. The window's bottom left tile becomes the origin.
        corner = jnp.floor(agent - NEAR / 2).astype(int)
        around = jnp.pad(board, WINDOW, constant_values=LOOKS.index(sprites.WALL))
        top = size - corner[1] - WINDOW
        board = jax.lax.dynamic_slice(around, (top + WINDOW, corner[0] + WINDOW), (WINDOW, WINDOW))
        agent = agent - corner
        center, height, view = (agent[0], agent[1]), WINDOW, NEAR
    else:
        center, height, view = (size / 2, size / 2), size, size

    def paint(
        board: Array, agent: Array, center: tuple[Array, Array], held: Array, index: Array, start: Array
    ) -> camera.Spans:
        tiles = camera.tiles(board, camera.place(0.0, float(height), center, view), _tiles(view))
        where = camera.place(agent[:1] - BODY / 2, agent[1:] + BODY / 2, center, view)
        body = camera.figures_at(jnp.zeros(1, int), where, _agent(view))
        shown = (1, camera.SIDE, 3 * camera.SIDE)
        rows = floors(num_floors).reshape(num_floors, camera.SIDE, -1)
        under = jax.lax.dynamic_slice(jnp.asarray(rows), (index, 0, start), shown).reshape(tiles.shape)
        ring = jnp.asarray(_ring())[jnp.minimum(held, MOST_HELD)]
        return camera.cover(ring, camera.cover(body, camera.cover(tiles, under)))

    index, offset = floor
    start = 3 * (offset * camera.SIDE).astype(int)
    return camera.finish(paint, board, agent, center, held, index, start)
