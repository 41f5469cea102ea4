"""Draw mazes: the tiles that `sprites` has not, the floors, and the 64x64 picture.

Procgen shows the whole world; in "memory" mode only the 8x8 tiles around the mouse. Pictures are our
own. All floors are pale and nearly gray, so that red and yellow belong to the objects alone.
"""

import colorsys
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from .. import sprites
from ..sprites import _SHAPES, _Canvas, _floor
from . import camera

YELLOW, YELLOW_SHADE, RED, RED_SHADE = "#ffd500", "#d6a800", "#e02020", "#a81414"
MEMORY_VIEW = 8  # tiles
WINDOW = MEMORY_VIEW + 1  # tiles of which at least a part is seen


def _line(canvas: _Canvas, color: str, shade: str) -> None:
    canvas.polygon([(0.04, 0.76), (0.76, 0.04), (0.96, 0.24), (0.24, 0.96)], shade)
    canvas.polygon([(0.1, 0.76), (0.76, 0.1), (0.9, 0.24), (0.24, 0.9)], color)


def _gem(canvas: _Canvas, color: str, shade: str) -> None:
    canvas.polygon([(0.04, 0.4), (0.28, 0.12), (0.72, 0.12), (0.96, 0.4), (0.5, 0.94)], shade)
    canvas.polygon([(0.12, 0.38), (0.31, 0.17), (0.69, 0.17), (0.88, 0.38)], color)
    canvas.polygon([(0.3, 0.43), (0.7, 0.43), (0.5, 0.86)], color)


def _star(canvas: _Canvas, color: str, shade: str) -> None:
    def point(radius: float, turn: float) -> tuple[float, float]:
        return 0.5 + radius * math.sin(turn), 0.53 - radius * math.cos(turn)

    fifth = 2 * math.pi / 5
    for size, paint in ((0.5, shade), (0.42, color)):
        for turn in np.arange(5) * fifth:
            sides = point(0.45 * size, turn - fifth / 2), point(0.45 * size, turn + fifth / 2)
            canvas.polygon([sides[0], point(size, turn), sides[1], (0.5, 0.53)], paint)


_OBJECTS: tuple[Callable[[_Canvas], None], ...] = (
    lambda canvas: _line(canvas, YELLOW, YELLOW_SHADE),
    lambda canvas: _line(canvas, RED, RED_SHADE),
    lambda canvas: _star(canvas, YELLOW, YELLOW_SHADE),
    lambda canvas: _gem(canvas, YELLOW, YELLOW_SHADE),
    lambda canvas: _gem(canvas, RED, RED_SHADE),
)
YELLOW_LINE, RED_LINE, YELLOW_STAR, YELLOW_GEM, RED_GEM = range(
    len(sprites.NAMES), len(sprites.NAMES) + len(_OBJECTS)
)


@functools.cache
def atlas(pixels: int) -> UInt8[np.ndarray, "n p p 3"]:
    """Draw all sprites: those of `envs.sprites`, then the ones of this family's own.

    Raises UsageError for sizes that `envs.sprites` refuses.
    """
    pictures = list(sprites.atlas(pixels))
    for shapes in _OBJECTS:
        canvas = _Canvas(pixels)
        _floor(canvas)
        shapes(canvas)
        pictures.append(canvas.finish())
    return np.stack(pictures)


def draw(board: Int[Array, "h w"], pixels: int) -> UInt8[Array, "y x 3"]:
    """Draw a board of indices into `atlas`, `pixels` to a tile."""
    tiles = jnp.asarray(atlas(pixels))[board]
    height, width = (pixels * side for side in board.shape)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(height, width, 3)


# -- the 64x64 picture -------------------------------------------------------------------------------


@functools.cache
def _strips(looks: tuple[int, ...], view: int) -> camera.Atlas:
    """Cut some sprites, on see-through ground, for pictures of `view` tiles."""
    pictures = []
    for look in looks:
        canvas = camera.Canvas()
        (*_SHAPES, *_OBJECTS)[look](canvas)
        pictures.append(canvas.image)
    return camera.atlas(np.stack(pictures), view)


@functools.cache
def floors(count: int) -> UInt8[np.ndarray, "n 64 128 3"]:
    """Draw floors: a pale color each, and a soft pattern that repeats after 64 pixels."""
    random, turns = np.random.default_rng(0), 2 * np.pi * np.arange(2 * camera.SIDE) / camera.SIDE
    pictures = []
    for index in range(count):
        color = np.array(colorsys.hsv_to_rgb(index / count, 0.14, 0.8 - 0.05 * (index % 3)))
        pattern = np.zeros((camera.SIDE, 2 * camera.SIDE))
        for down, across in random.integers(1, 9, (6, 2)):
            waves = down * turns[: camera.SIDE, None] + across * turns
            pattern += np.sin(waves + random.uniform(0, 2 * np.pi))
        pictures.append(255 * color * (1 + 0.02 * pattern[..., None]))
    return np.stack(pictures).round().astype(np.uint8)


def picture(
    board: Int[Array, "n n"],
    mouse: Int[Array, ""],
    looks: tuple[int, ...],
    floor: tuple[Int[Array, ""], Float[Array, ""]],
    num_floors: int,
    is_near: bool,
) -> UInt8[Array, "64 64 3"]:
    """Draw a board of indices into `looks` (which are indices into `atlas`) on a floor, in 64x64 pixels.

    `floor` says which floor and how far it is moved. `is_near` shows what is around the mouse, beyond
    the world wall (index 1).
    """
    size = board.shape[0]
    if is_near:
        margin = MEMORY_VIEW // 2
        around = jnp.pad(board, margin, constant_values=1)
        board = jax.lax.dynamic_slice(around, (mouse // size, mouse % size), (WINDOW, WINDOW))
        center = (WINDOW / 2, WINDOW / 2)
        where, view = camera.place(0.0, float(WINDOW), center, MEMORY_VIEW), MEMORY_VIEW
    else:
        where, view = camera.world(size), size

    def paint(board: Array, index: Array, start: Array) -> Array:
        tiles = camera.tiles(board, where, _strips(looks, view))
        shown = (1, camera.SIDE, 3 * camera.SIDE)
        rows = floors(num_floors).reshape(num_floors, camera.SIDE, -1)
        under = jax.lax.dynamic_slice(jnp.asarray(rows), (index, 0, start), shown)
        return camera.cover(tiles, under.reshape(tiles.shape))

    index, offset = floor
    return camera.finish(paint, board, index, 3 * (offset * camera.SIDE).astype(int))
