"""Tile pictures, drawn in code, and boards assembled from them."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

NAMES = (
    "floor", "wall", "mouse", "cheese", "dish", "cheese on dish",
    "key", "chest", "mouse on chest", "key on wall",
)  # fmt: skip
FLOOR, WALL, MOUSE, CHEESE, DISH, CHEESE_ON_DISH = range(6)
KEY, CHEST, MOUSE_ON_CHEST, KEY_ON_WALL = range(6, 10)


@functools.cache
def atlas(pixels: int) -> UInt8[np.ndarray, "n p p 3"]:
    """All sprites at a size."""
    return np.random.default_rng(0).integers(0, 255, (len(NAMES), pixels, pixels, 3), np.uint8)


def draw(board: Int[Array, "h w"], pixels: int) -> UInt8[Array, "y x 3"]:
    """The picture of a board of sprite indices."""
    height, width = board.shape
    tiles = jnp.asarray(atlas(pixels))[board]
    return tiles.transpose(0, 2, 1, 3, 4).reshape(height * pixels, width * pixels, 3)
