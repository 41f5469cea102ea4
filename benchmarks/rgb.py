"""Pictures a second: `sprites.draw` beside a plain reference, in the same run.

The reference assembles boards as jaxgmg (github.com/matomatical/jaxgmg) does: a gather of float32 tiles,
then a transposition of the whole picture. Both are timed twice, alternating: as single calls, which
pay for a freshly allocated picture each time, and inside one compiled loop, which does not.

Run as `goalgap bench rgb`.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from _timing import row
from jaxtyping import Array, Float, Int, Key

from goalgap.envs import Keys, sprites

ENV = Keys(size=13)
BATCH, PIXELS = 1024, 8
LOOP, REPEATS = 16, 7

Draw = Callable[[Array, int], Array]


def reference(board: Int[Array, "h w"], pixels: int) -> Float[Array, "y x 3"]:
    """Draw a board of sprite indices the plain way, as floats from 0 to 1."""
    atlas = jnp.asarray(sprites.atlas(pixels) / 255, jnp.float32)
    height, width = board.shape
    tiles = atlas[board].transpose(0, 2, 1, 3, 4)
    return tiles.reshape(height * pixels, width * pixels, 3)


def once(draw: Draw) -> Callable[[Array], Array]:
    """Make a call that draws the first batch of boards [loop, batch, h, w]."""
    return lambda boards: jax.vmap(lambda board: draw(board, PIXELS))(boards[0])


def looped(draw: Draw) -> Callable[[Array], Array]:
    """Make a call that draws all boards, a batch at a time over the pictures before.

    The call returns the last pictures.
    """

    def run(boards: Array) -> Array:
        def step(last: Array, batch: Array) -> tuple[Array, None]:
            return once(draw)(batch[None]), None

        shape = jax.eval_shape(once(draw), boards)
        return jax.lax.scan(step, jnp.zeros(shape.shape, shape.dtype), boards)[0]

    return run


def board(key: Key[Array, ""]) -> Int[Array, "h w"]:
    """Draw a level of keys and chests, and lay out its tiles, with the border."""
    level = ENV.shift().deploy.sample(key)
    return jnp.pad(ENV.tiles(level, ENV.reset(level)), 1, constant_values=sprites.WALL)


def rates(functions: list[Callable[[Array], Array]], boards: Array, pictures: int) -> list[float]:
    """Measure the pictures a second of each function, by the best of several runs taken in turn."""
    compiled = [jax.jit(function).lower(boards).compile() for function in functions]
    best = [float("inf")] * len(functions)
    for _ in range(REPEATS):
        for place, function in enumerate(compiled):
            start = time.perf_counter()
            jax.block_until_ready(function(boards))
            best[place] = min(best[place], time.perf_counter() - start)
    return [pictures / seconds for seconds in best]


def bench() -> list[dict[str, Any]]:
    """Measure drawing beside the plain way; return the rows of the table."""
    boards = jax.jit(jax.vmap(jax.vmap(board)))(jax.random.split(jax.random.key(0), (LOOP, BATCH)))
    draws: list[Draw] = [sprites.draw, reference]
    side = boards.shape[-1]
    rows = []
    for title, wrap, pictures in (("single calls", once, BATCH), ("in a loop", looped, BATCH * LOOP)):
        ours, theirs = rates([wrap(draw) for draw in draws], boards, pictures)
        what = f"{BATCH} boards of {side}x{side} tiles, {PIXELS} pixels a tile: {title}"
        rows.append(row(what, ours, theirs, "pictures/s", "reference: float tiles"))
    return rows
