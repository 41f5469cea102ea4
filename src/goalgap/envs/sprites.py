"""Draw tile pictures in code, and assemble boards from them.

Each sprite is a few flat shapes on the unit square, painted back to front at several samples a pixel and
averaged, so that any size from 4 pixels up comes from the same description.
"""

import functools
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8

from ..core import UsageError

NAMES = (
    "floor", "wall", "mouse", "cheese", "dish", "cheese on dish",
    "key", "chest", "mouse on chest", "key on wall", "coin",
)  # fmt: skip
FLOOR, WALL, MOUSE, CHEESE, DISH, CHEESE_ON_DISH = range(6)
KEY, CHEST, MOUSE_ON_CHEST, KEY_ON_WALL, COIN = range(6, 11)

# Objects that have no sprite here get a shape, and one of these colors.
OWN_COLORS = ("#d1495b", "#2e86ab", "#5fa84f", "#8e5bb5", "#e07a1f", "#2a9d8f")

MIN_PIXELS, MAX_PIXELS = 4, 128

FLOOR_COLOR, GROUT = "#efebe2", "#e3ddd0"
STONE, STONE_LIT, STONE_SHADE = "#5f6877", "#727c8c", "#4d5562"
FUR, FUR_DARK, PINK, INK = "#8d93a1", "#767c8b", "#eeb2ba", "#2c2f38"
CHEESE_LIT, CHEESE_RIND, CHEESE_HOLE = "#fbcb4b", "#ea9f2d", "#dc8b25"
PORCELAIN, GLAZE, GLAZE_DARK = "#fdfdfb", "#7fb2d6", "#4f86b0"
GOLD, GOLD_DARK = "#f0b429", "#b97f14"
WOOD, WOOD_DARK, WOOD_LIT = "#a06a3b", "#6f4525", "#bd8450"


class _Canvas:
    """Hold a picture under way. Places and sizes are shares of the tile: x to the right, y down."""

    def __init__(self, pixels: int) -> None:
        self.samples = max(2, min(8, 512 // pixels))  # a pixel's side; 8 is plenty, 2 at least
        side = pixels * self.samples
        centers = (np.arange(side, dtype=np.float32) + 0.5) / side
        self.x, self.y = centers[None, :], centers[:, None]
        self.image = np.zeros((side, side, 3), np.uint8)

    def fill(self, mask: Bool[np.ndarray, "s s"], color: str) -> None:
        self.image[mask] = tuple(bytes.fromhex(color[1:]))

    def box(self, left: float, top: float, right: float, bottom: float, color: str) -> None:
        across, down = (self.x >= left) & (self.x < right), (self.y >= top) & (self.y < bottom)
        self.fill(across & down, color)

    def disc(self, x: float, y: float, radius: float, color: str, height: float | None = None) -> None:
        """Paint a disc, or with `height` an ellipse of that vertical radius."""
        down = (self.y - y) / (height or radius)
        self.fill(((self.x - x) / radius) ** 2 + down**2 < 1, color)

    def polygon(self, corners: list[tuple[float, float]], color: str) -> None:
        """Paint a convex polygon, corners clockwise."""
        inside = np.ones(self.image.shape[:2], bool)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            inside &= (x1 - x0) * (self.y - y0) >= (y1 - y0) * (self.x - x0)
        self.fill(inside, color)

    def finish(self) -> UInt8[np.ndarray, "p p 3"]:
        """Return the picture at its final size: each pixel the mean of its samples."""
        pixels = len(self.image) // self.samples
        blocks = self.image.reshape(pixels, self.samples, pixels, self.samples, 3)
        return blocks.mean((1, 3), dtype=np.float32).round().astype(np.uint8)


def _floor(canvas: _Canvas) -> None:
    canvas.box(0.0, 0.0, 1.0, 1.0, GROUT)
    canvas.box(0.03, 0.03, 0.97, 0.97, FLOOR_COLOR)


def _wall(canvas: _Canvas) -> None:
    canvas.box(0.0, 0.0, 1.0, 1.0, STONE)
    canvas.box(0.0, 0.0, 1.0, 0.1, STONE_LIT)
    canvas.box(0.0, 0.9, 1.0, 1.0, STONE_SHADE)


def _mouse(canvas: _Canvas) -> None:
    for x in (0.22, 0.78):
        canvas.disc(x, 0.25, 0.21, FUR_DARK)
        canvas.disc(x, 0.26, 0.13, PINK)
    canvas.disc(0.5, 0.6, 0.36, FUR, 0.35)
    for x in (0.34, 0.66):
        canvas.disc(x, 0.54, 0.075, INK)
    canvas.disc(0.5, 0.82, 0.105, PINK, 0.085)


def _cheese(canvas: _Canvas) -> None:
    canvas.polygon([(0.06, 0.52), (0.78, 0.14), (0.94, 0.52)], CHEESE_LIT)
    canvas.box(0.06, 0.5, 0.94, 0.86, CHEESE_RIND)
    canvas.disc(0.3, 0.68, 0.1, CHEESE_HOLE)
    canvas.disc(0.68, 0.66, 0.12, CHEESE_HOLE)
    canvas.disc(0.66, 0.36, 0.08, CHEESE_RIND)


def _dish(canvas: _Canvas) -> None:
    canvas.disc(0.5, 0.5, 0.47, GLAZE_DARK)
    canvas.disc(0.5, 0.5, 0.43, GLAZE)
    canvas.disc(0.5, 0.5, 0.27, PORCELAIN)


def _cheese_on_dish(canvas: _Canvas) -> None:
    _dish(canvas)
    canvas.polygon([(0.22, 0.5), (0.68, 0.24), (0.8, 0.5)], CHEESE_LIT)
    canvas.box(0.22, 0.49, 0.8, 0.74, CHEESE_RIND)
    canvas.disc(0.4, 0.61, 0.07, CHEESE_HOLE)
    canvas.disc(0.63, 0.6, 0.08, CHEESE_HOLE)


def _key(canvas: _Canvas, hole: str = FLOOR_COLOR) -> None:
    canvas.disc(0.28, 0.42, 0.25, GOLD_DARK)
    canvas.disc(0.28, 0.42, 0.21, GOLD)
    canvas.disc(0.28, 0.42, 0.1, hole)
    canvas.box(0.47, 0.36, 0.94, 0.5, GOLD)
    for left in (0.6, 0.82):
        canvas.box(left, 0.5, left + 0.12, 0.74, GOLD_DARK)


def _chest(canvas: _Canvas) -> None:
    canvas.box(0.06, 0.16, 0.94, 0.9, WOOD_DARK)
    canvas.box(0.1, 0.2, 0.9, 0.44, WOOD_LIT)
    canvas.box(0.1, 0.5, 0.9, 0.86, WOOD)
    canvas.box(0.38, 0.38, 0.62, 0.64, GOLD)
    canvas.box(0.46, 0.48, 0.54, 0.58, INK)


def _mouse_on_chest(canvas: _Canvas) -> None:
    canvas.box(0.0, 0.5, 1.0, 1.0, WOOD_DARK)
    canvas.box(0.04, 0.54, 0.96, 0.96, WOOD)
    canvas.box(0.04, 0.54, 0.96, 0.66, WOOD_LIT)
    _mouse(canvas)


def _key_on_wall(canvas: _Canvas) -> None:
    _wall(canvas)
    _key(canvas, hole=STONE)


def _coin(canvas: _Canvas) -> None:
    canvas.disc(0.5, 0.5, 0.4, GOLD_DARK)
    canvas.disc(0.5, 0.5, 0.34, GOLD)
    canvas.disc(0.5, 0.5, 0.23, GOLD_DARK)
    canvas.disc(0.5, 0.5, 0.19, GOLD)
    canvas.box(0.45, 0.38, 0.55, 0.62, GOLD_DARK)


_SHAPES: tuple[Callable[[_Canvas], None], ...] = (
    lambda canvas: None, _wall, _mouse, _cheese, _dish, _cheese_on_dish,
    _key, _chest, _mouse_on_chest, _key_on_wall, _coin,
)  # fmt: skip


def sprite_of(kind: str) -> str:
    """Name the sprite for a kind of object: the kind itself, or its singular if only that has one."""
    singular = kind.removesuffix("s")
    return singular if kind not in NAMES and singular in NAMES else kind


def strange(kinds: Iterable[str]) -> tuple[str, ...]:
    """List the kinds of objects that have no sprite in `NAMES`, in the given order."""
    return tuple(kind for kind in kinds if sprite_of(kind) not in NAMES)


def own_color(number: int) -> str:
    """Choose the color of the n-th kind of object without a sprite."""
    return OWN_COLORS[number % len(OWN_COLORS)]


def _own(number: int, canvas: _Canvas) -> None:
    """Draw a disc, a diamond or a box, by turns."""
    color = own_color(number)
    if number % 3 == 0:
        canvas.disc(0.5, 0.5, 0.42, color)
    elif number % 3 == 1:
        canvas.polygon([(0.5, 0.06), (0.94, 0.5), (0.5, 0.94), (0.06, 0.5)], color)
    else:
        canvas.box(0.12, 0.12, 0.88, 0.88, color)


@functools.cache
def atlas(pixels: int, num_own: int = 0) -> UInt8[np.ndarray, "n p p 3"]:
    """Draw all sprites, in the order of `NAMES`, then `num_own` for other kinds, `pixels` to a side.

    Raises UsageError for sizes outside 4 to 128.
    """
    if not MIN_PIXELS <= pixels <= MAX_PIXELS:
        raise UsageError(
            f"pixels is {pixels}; a tile is {MIN_PIXELS} to {MAX_PIXELS} pixels wide, try 8 or 24"
        )
    sprites = []
    for shapes in (*_SHAPES, *(functools.partial(_own, number) for number in range(num_own))):
        canvas = _Canvas(pixels)
        _floor(canvas)
        shapes(canvas)
        sprites.append(canvas.finish())
    return np.stack(sprites)


def draw(board: Int[Array, "h w"], pixels: int, num_own: int = 0) -> UInt8[Array, "y x 3"]:
    """Draw a board of sprite indices, `pixels` to a tile.

    This is a gather of bytes, one pixel row of one tile at a time, already in the order of the picture:
    no float and no transposition.
    """
    height, width = board.shape
    rows = jnp.asarray(atlas(pixels, num_own)).reshape(-1, pixels, 3)

    def gather(board: Int[Array, "h w"]) -> UInt8[Array, "h p w p 3"]:
        places = board[:, None, :] * pixels + jnp.arange(pixels)[None, :, None]
        return rows.at[places].get(mode="promise_in_bounds")

    def gather_alone(board: Int[Array, "h w"]) -> UInt8[Array, "h p w p 3"]:
        # XLA's CPU compiler fuses the reshape below into the gather and then finds the place of each
        # byte by division. Behind a condition it cannot see through, the gather stays whole and the
        # reshape is free (measured: 4.5 times faster).
        always = jax.lax.optimization_barrier(jnp.asarray(True))
        blank = functools.partial(jnp.zeros, (height, pixels, width, pixels, 3), jnp.uint8)
        return jax.lax.cond(always, gather, lambda board: blank(), board)

    tiles = jax.lax.platform_dependent(board, cpu=gather_alone, default=gather)
    return tiles.reshape(height * pixels, width * pixels, 3)
