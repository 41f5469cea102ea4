"""The sprites and the pictures assembled from them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from goalgap.core import UsageError
from goalgap.envs import sprites

BOARDS = np.random.default_rng(0).integers(0, len(sprites.NAMES), (3, 4, 5))


def assemble(board: np.ndarray, pixels: int) -> np.ndarray:
    """The slow way: tile after tile."""
    rows = [np.concatenate([sprites.atlas(pixels)[cell] for cell in row], 1) for row in board]
    return np.concatenate(rows, 0)


@pytest.mark.parametrize("pixels", [4, 8, 24, 128])
def test_the_atlas_has_every_sprite_at_any_size(pixels):
    atlas = sprites.atlas(pixels)
    assert atlas.shape == (len(sprites.NAMES), pixels, pixels, 3)
    assert atlas.dtype == np.uint8
    assert sprites.atlas(pixels) is atlas


@pytest.mark.parametrize("pixels", [3, 129])
def test_sizes_out_of_range_are_refused(pixels):
    with pytest.raises(UsageError, match=f"pixels is {pixels}; a tile is 4 to 128"):
        sprites.atlas(pixels)


@pytest.mark.parametrize("pixels", [8, 24])
def test_sprites_are_told_apart(pixels):
    """In any pair a tenth of the pixels differ plainly, by 32 of 255 or more in some color."""
    for a, b in itertools.combinations(sprites.atlas(pixels).astype(int), 2):
        assert (abs(a - b).max(-1) >= 32).mean() >= 0.1


def test_walls_are_darker_than_the_floor_and_the_floor_is_calm():
    brightness = sprites.atlas(8).mean((1, 2, 3))
    assert brightness[sprites.WALL] < 128 < 200 < brightness[sprites.FLOOR]
    assert np.ptp(sprites.atlas(8)[sprites.FLOOR], axis=(0, 1)).max() < 16


@pytest.mark.parametrize("pixels", [4, 8])
def test_pictures_are_their_tiles_side_by_side(pixels):
    expected = np.stack([assemble(board, pixels) for board in BOARDS])
    drawn = jax.jit(jax.vmap(lambda board: sprites.draw(board, pixels)))(BOARDS)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, expected)
    np.testing.assert_array_equal(sprites.draw(jnp.asarray(BOARDS[0]), pixels), expected[0])
