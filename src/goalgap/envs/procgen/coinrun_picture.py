"""Show CoinRun: the symbolic observation, the 64x64 picture, and the board of reports.

The symbolic observation is what a 64x64 frame shows and no more: 13x13 tiles around the agent, one plane
a kind, and a plane of numbers in unary (sub-tile position in fifths, a pixel of the frame; velocity in
thirteenths, as the original's optional squares of gray show it; facing; whether it stands).
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8, UInt32

from . import camera, scenery
from . import coinrun_sprites as sprites
from .coinrun_levels import CoinRunLevel
from .platformer import JUMP, MAX_SPEED, ROWS, WIDTH

if TYPE_CHECKING:
    from .coinrun import CoinRunState

VIEW = 13  # tiles that a frame is wide and high
PLANES = ("ground", "lava", "coin", "crate", "saw", "walker", "walker heading right", "numbers")


def symbols(level: CoinRunLevel, state: "CoinRunState") -> Bool[Array, "13 13 8"]:
    """Make the planes of tiles around the agent, the top row first."""
    body = state.body
    column, row = jnp.floor(body.x).astype(jnp.int32), jnp.floor(body.y).astype(jnp.int32)
    columns = column + jnp.arange(VIEW) - VIEW // 2
    rows = row + VIEW // 2 - jnp.arange(VIEW)
    tiles = level.tiles
    ground = tiles.solid | level.veil
    packed = jnp.stack([ground, tiles.lava, tiles.crate, tiles.saw], -1)[jnp.clip(columns, 0, WIDTH - 1)]
    planes = (packed[None] >> jnp.clip(rows, 0, 31).astype(jnp.uint32)[:, None, None]) & 1 == 1
    ground, lava, crate, saw = (planes[..., kind] for kind in range(4))
    ground |= (rows < 0)[:, None]
    coin = (rows == level.coin[1])[:, None] & (columns == level.coin[0])
    walker, right = walkers(level, state.walker_x, state.walker_vx, columns, rows)
    return jnp.stack([ground, lava, coin, crate, saw, walker, right, _numbers(state)], -1)


def walkers(
    level: CoinRunLevel,
    x: Float[Array, " k"],
    vx: Float[Array, " k"],
    columns: Int[Array, " w"],
    rows: Int[Array, " h"],
) -> tuple[Bool[Array, "h w"], Bool[Array, "h w"]]:
    """Mark the tiles of which a walker covers more than a tenth, and those whose walker heads right."""
    first = jnp.floor(x - 0.4).astype(jnp.int32) - columns[0]
    last = jnp.floor(x + 0.4).astype(jnp.int32) - columns[0]
    bits = _bit(first, len(columns)) | _bit(last, len(columns))
    here = (rows[:, None] == level.walkers.row) & (level.walkers.row >= 0)
    there = jax.lax.reduce(jnp.where(here, bits, jnp.uint32(0)), jnp.uint32(0), jax.lax.bitwise_or, (1,))
    right = jax.lax.reduce(
        jnp.where(here & (vx > 0), bits, jnp.uint32(0)), jnp.uint32(0), jax.lax.bitwise_or, (1,)
    )
    spread = jnp.arange(len(columns), dtype=jnp.uint32)
    return (there[:, None] >> spread) & 1 == 1, (right[:, None] >> spread) & 1 == 1


def _bit(place: Int[Array, " k"], count: int) -> UInt32[Array, " k"]:
    inside = (place >= 0) & (place < count)
    return jnp.where(inside, jnp.uint32(1) << jnp.clip(place, 0, 31).astype(jnp.uint32), jnp.uint32(0))


def _numbers(state: "CoinRunState") -> Bool[Array, "13 13"]:
    body = state.body
    steps = jnp.arange(VIEW)
    fifths = (steps + 1) / 5
    swing = (2 * steps + 1) / VIEW - 1  # middles of thirteenths, from -1 to 1
    rows = [
        (body.x % 1 >= fifths) & (steps < 4),
        (body.y % 1 >= fifths) & (steps < 4),
        body.vx / MAX_SPEED > swing,
        body.vy / JUMP > swing,
        jnp.stack([body.facing_right, body.supported] + [jnp.zeros((), bool)] * (VIEW - 2)),
    ]
    return jnp.concatenate([jnp.stack(rows), jnp.zeros((VIEW - len(rows), VIEW), bool)])


def _sprites_at(
    level: CoinRunLevel, columns: Int[Array, " w"], rows: Int[Array, " h"]
) -> Int[Array, "h w"]:
    """Return the sprite of each tile, without the agent and walkers."""
    tiles = level.tiles
    kinds = [
        (tiles.solid | level.veil, sprites.GROUND_INSIDE),
        (level.top & tiles.solid, sprites.GROUND_TOP),
        (tiles.lava, sprites.LAVA),
        (tiles.lava & ~(tiles.lava >> 1), sprites.LAVA_TOP),
        (tiles.saw, sprites.SAW),
        (tiles.crate, sprites.CRATE),
    ]
    words = jnp.stack([word for word, _ in kinds] + list(level.crate_look))
    words = words[:, jnp.clip(columns, 0, WIDTH - 1)]
    bits = (words[:, None] >> jnp.clip(rows, 0, 31).astype(jnp.uint32)[:, None]) & 1 == 1
    bits &= (rows >= 0)[:, None]
    board = jnp.where((rows < 0)[:, None], sprites.GROUND_INSIDE, sprites.EMPTY)
    board = jnp.broadcast_to(board, bits.shape[1:])
    for there, (_, sprite) in zip(bits, kinds, strict=False):
        board = jnp.where(there, sprite, board)
    coin = (rows == level.coin[1])[:, None] & (columns == level.coin[0])
    return jnp.where(coin, sprites.COIN, board + bits[-2] + 2 * bits[-1])


def board(level: CoinRunLevel, state: "CoinRunState") -> Int[Array, "31 64"]:
    """Return the whole world but the sky above row 30, in whole tiles, the top row first."""
    columns, rows = jnp.arange(WIDTH), jnp.arange(ROWS - 2, -1, -1)
    picture = _sprites_at(level, columns, rows)
    looks = jnp.where(level.walkers.row >= 0, sprites.ENEMY + level.walker_look, -1)
    at = (rows[:, None] == level.walkers.row)[:, None] & (columns[:, None] == jnp.floor(state.walker_x))
    walker = jnp.where(at, looks, -1).max(-1)
    body = state.body
    agent = (rows == jnp.floor(body.y))[:, None] & (columns == jnp.floor(body.x))
    return jnp.where(agent, sprites.AGENT, jnp.where(walker >= 0, walker, picture))


def rgb(level: CoinRunLevel, state: "CoinRunState") -> UInt8[Array, "64 64 3"]:
    """Draw the frame as Procgen composes it."""
    return scenery.draw(camera.apart(_view, level, state))


def _view(level: CoinRunLevel, state: "CoinRunState") -> scenery.View:
    """Collect what the frame shows."""
    body, scene = state.body, level.scene
    first = [jnp.floor(at - VIEW / 2).astype(jnp.int32) for at in (body.x, body.y)]
    window = jnp.arange(scenery.WINDOW)
    rests = (jnp.abs(body.vx) < 0.01) & body.supported
    walks = jnp.where(state.time // 5 % 2 == 0, sprites.STEPPING, sprites.STANDING)
    pose = jnp.where(body.supported, jnp.where(rests, sprites.STANDING, walks), sprites.JUMPING)
    return scenery.View(
        x=body.x,
        y=body.y,
        tiles=_sprites_at(level, first[0] + window, first[1] + window),
        ground=scene.ground,
        agent=scene.agent,
        pose=pose,
        faces_right=body.facing_right,
        background=scene.background,
        offset=scene.offset,
        enemy_x=state.walker_x,
        enemy_row=level.walkers.row,
        enemy_look=level.walker_look,
        enemy_faces_right=state.walker_vx > 0,
        phase=state.time,
        velocity=jnp.stack([body.vx / MAX_SPEED, body.vy / JUMP]),
    )
