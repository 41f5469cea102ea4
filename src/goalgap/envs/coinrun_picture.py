"""How CoinRun looks: the symbolic observation, the 64x64 picture, and the board of reports.

The symbolic observation is what a 64x64 frame shows and no more: 13x13 tiles around the agent, one plane
a kind, and a plane of numbers in unary (sub-tile position in fifths, a pixel of the frame; velocity in
thirteenths, as the original's optional squares of grey show it; facing; whether it stands).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8, UInt32

from .coinrun_levels import CoinRunLevel
from .platformer import JUMP, MAX_SPEED, WIDTH

VIEW = 13  # tiles that a frame is wide and high
PLANES = ("ground", "lava", "coin", "crate", "saw", "walker", "walker heading right", "numbers")


def symbols(level: CoinRunLevel, state) -> Bool[Array, "13 13 8"]:
    """Planes of tiles around the agent, the top row first."""
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
    """Tiles of which a walker covers more than a tenth; and those whose walker heads right."""
    first = jnp.floor(x - 0.4).astype(jnp.int32) - columns[0]
    last = jnp.floor(x + 0.4).astype(jnp.int32) - columns[0]
    bits = _bit(first, len(columns)) | _bit(last, len(columns))
    here = rows[:, None] == level.walkers.row
    there = jax.lax.reduce(
        jnp.where(here, bits, jnp.uint32(0)), jnp.uint32(0), jax.lax.bitwise_or, (1,)
    )
    right = jax.lax.reduce(
        jnp.where(here & (vx > 0), bits, jnp.uint32(0)), jnp.uint32(0), jax.lax.bitwise_or, (1,)
    )
    spread = jnp.arange(len(columns), dtype=jnp.uint32)
    return (there[:, None] >> spread) & 1 == 1, (right[:, None] >> spread) & 1 == 1


def _bit(place: Int[Array, " k"], count: int) -> UInt32[Array, " k"]:
    inside = (place >= 0) & (place < count)
    return jnp.where(inside, jnp.uint32(1) << jnp.clip(place, 0, 31).astype(jnp.uint32), jnp.uint32(0))


def _numbers(state) -> Bool[Array, "13 13"]:
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


def board(level: CoinRunLevel, state) -> Int[Array, "h w"]:
    raise NotImplementedError


def sprites(pixels: int):
    raise NotImplementedError


def rgb(level: CoinRunLevel, state) -> UInt8[Array, "64 64 3"]:
    raise NotImplementedError
