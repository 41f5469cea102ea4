"""Move what moves in platform games: a jumping agent, crates, walkers, on a world of tile columns.

A world is 64 columns of at most 32 rows that matter, y upwards: bit r of a column's word says that the
tile at row r is of a kind. Bit 31 stands for all rows above, so a column of ones is solid to the sky.
One slice of five columns around the agent then holds all that a step has to look at.

Rules, constants and their order are Procgen's (arXiv 1912.01588; `procgen-mechanics`, re-stated from
`basic-abstract-game.cpp` and `games/coinrun.cpp` of openai/procgen), in single precision.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

WIDTH = 64  # columns of a world
ROWS = 32  # rows that a column's word tells apart
NEAR = 5  # columns around the agent that a step looks at
HALF_WIDTH, HALF_HEIGHT = 0.5, 0.5787  # of the agent; saws, walkers and crates are tiles of half-size .5
GRAVITY, MAX_SPEED, JUMP, MIX, AIR_CONTROL = 0.2, 0.5, 1.5, 0.2, 0.15
WALKER_SPEED = 0.15
_SLACK = 0.001  # by which boxes must overlap before they block
_SUBSTEPS = 6  # at most, at full speed in both directions
_PROBE_X, _PROBE_Y = 0.98 * HALF_WIDTH, 0.98 * HALF_HEIGHT  # corners at which tiles are looked up


class Tiles(eqx.Module):
    """Mark where each kind of tile is: a 32-bit word for each column, a bit for each row."""

    solid: UInt32[Array, "*b w"]
    crate: UInt32[Array, "*b w"]
    saw: UInt32[Array, "*b w"]
    lava: UInt32[Array, "*b w"]
    late: UInt32[Array, "*b w"]  # crates of the second pile in a column, which push first


class Walkers(eqx.Module):
    """Hold the stretch that each walker paces, in its row; absent ones have row -1."""

    row: Int[Array, "*b k"]
    left: Int[Array, "*b k"]  # the column of the first tile that turns it back
    right: Int[Array, "*b k"]
    slows_left: Bool[Array, "*b k"]  # whether that tile also costs it a quarter of its speed
    slows_right: Bool[Array, "*b k"]
    crates: Float[Array, "*b k 2"]  # the middles of the two crates in its row; -9 for none


class Body(eqx.Module):
    """Hold the agent's center and velocity, in tiles and tiles a step, and what it touched."""

    x: Float[Array, "*b"]
    y: Float[Array, "*b"]
    vx: Float[Array, "*b"]
    vy: Float[Array, "*b"]
    on_crate: Bool[Array, "*b"]  # stopped by a crate in the last step
    supported: Bool[Array, "*b"]  # stood on something when the last step began
    facing_right: Bool[Array, "*b"]


class Near(eqx.Module):
    """Hold the five columns around the agent, from `first` on."""

    first: Int[Array, ""]
    solid: UInt32[Array, "5"]
    crate: UInt32[Array, "5"]
    saw: UInt32[Array, "5"]
    lava: UInt32[Array, "5"]
    late: UInt32[Array, "5"]

    def column(self, kind: UInt32[Array, "5"], x: Int[Array, ""]) -> UInt32[Array, ""]:
        """Return the word of the column at `x`, which is one of these."""
        word = kind[0]
        for index in range(1, NEAR):
            word = jnp.where(x - self.first == index, kind[index], word)
        return word


def near(tiles: Tiles, x: Float[Array, ""]) -> Near:
    """Cut out the columns around a place."""
    first = jnp.clip(_floor(x) - NEAR // 2, 0, WIDTH - NEAR)
    packed = jnp.stack([tiles.solid, tiles.crate, tiles.saw, tiles.lava, tiles.late], -1)
    cut = jax.lax.dynamic_slice(packed, (first, 0), (NEAR, 5))
    return Near(first, *(cut[:, kind] for kind in range(5)))


def _floor(x: Float[Array, ""]) -> Int[Array, ""]:
    return jnp.floor(x).astype(jnp.int32)


def _bit(word: UInt32[Array, ""], row: Int[Array, ""]) -> Bool[Array, ""]:
    return (word >> jnp.clip(row, 0, ROWS - 1).astype(jnp.uint32)) & 1 != 0


def _is_solid(world: Near, column: Int[Array, ""], low: Int[Array, ""], high: Int[Array, ""]) -> Array:
    """Tell whether a column is solid in either of two rows; below the world it is."""
    word = world.column(world.solid, column)
    return _bit(word, low) | _bit(word, high) | (low < 0)


def push(body: Body, world: Near, across: Int[Array, ""], up: Int[Array, ""]) -> tuple[Body, Array]:
    """Apply a command (-1, 0 or 1 each way) to the velocity, before the body moves.

    Returns also the vertical command that counts: one may only jump off something.
    """
    below = _floor(body.y - jnp.float32(HALF_HEIGHT + 0.01))
    foot = HALF_WIDTH - 0.01
    ground = _is_solid(world, _floor(body.x - foot), below, below)
    ground |= _is_solid(world, _floor(body.x + foot), below, below)
    supported = (body.on_crate | ground) & (body.vy == 0)
    up = jnp.where((up > 0) & ~supported, 0, up)
    rate = jnp.where(supported, jnp.float32(MIX), jnp.float32(MIX) * jnp.float32(AIR_CONTROL))
    vx = (1 - rate) * body.vx + rate * MAX_SPEED * across
    vx = jnp.where(jnp.abs(vx) < rate * MAX_SPEED, 0.0, vx)
    falling = body.vy + jnp.where(supported, jnp.float32(0.2) * up, 0.0) - jnp.float32(GRAVITY)
    vy = jnp.where(up > 0, JUMP, jnp.clip(falling, -JUMP, JUMP))
    facing = jnp.where(across == 0, body.facing_right, across > 0)
    return Body(body.x, body.y, vx, vy, jnp.zeros_like(supported), supported, facing), up


def move(
    body: Body, world: Near, across: Int[Array, ""], up: Int[Array, ""], caught: Bool[Array, ""]
) -> Body:
    """Move the body by its velocity in substeps, along one axis and then along the other.

    `caught`: what `pace` says of crates.
    """
    count = jnp.trunc(4 * jnp.sqrt(body.vx * body.vx + body.vy * body.vy)).astype(jnp.int32)
    count = jnp.maximum(count, 4)
    share = 1 / count.astype(jnp.float32)
    # An exact tie without a command means that the body rests: the order is then of no account.
    x_first = jnp.where(across != 0, True, jnp.abs(body.vx) >= jnp.abs(body.vy)) & (up == 0)
    began = body.y

    def substep(number: Array, carry: tuple) -> tuple:
        x, y, vy, on_crate, free_x, free_y, stuck = carry
        live = (number < count) & ~stuck
        old = x, y, vy, on_crate
        blocked = {}
        for first in (True, False):
            horizontal = x_first == first
            dx = jnp.where(horizontal, body.vx * share, 0.0)
            dy = jnp.where(horizontal, 0.0, vy * share)
            x, y, hit = _slide(world, x, y, dx, dy)
            top, on_top = _crate_below(world, x, y, began)
            on_top &= (dx == 0) & (vy < 0) & (up >= 0)
            y = jnp.where(on_top, y + (top - y), y)
            vy = jnp.where(on_top, 0.0, vy)
            on_crate |= on_top
            blocked[first] = hit | on_top
        block_x = jnp.where(x_first, blocked[True], blocked[False])
        block_y = jnp.where(x_first, blocked[False], blocked[True])
        new = tuple(jnp.where(live, a, b) for a, b in zip((x, y, vy, on_crate), old, strict=True))
        free_x += live & ~block_x
        free_y += live & ~block_y
        return *new, free_x, free_y, stuck | (block_x & block_y)

    none = jnp.zeros_like(body.x)
    start = (body.x, body.y, body.vy, caught, none, none, jnp.zeros_like(body.on_crate))
    # A loop of the compiler's, not of Python's: XLA would fuse the chain of substeps into whatever
    # looks at the result, and compute it again for each.
    x, y, vy, on_crate, free_x, free_y, _ = jax.lax.fori_loop(0, _SUBSTEPS, substep, start)
    vx, vy = body.vx * (free_x / count), vy * (free_y / count)
    return Body(x, y, vx, vy, on_crate, body.supported, body.facing_right)


def _slide(world: Near, x: Array, y: Array, dx: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Move along one axis (the other part is 0) up to what is solid; returns also whether it was."""
    new_x, new_y = x + dx, y + dy
    low, high = _floor(new_y - jnp.float32(_PROBE_Y)), _floor(new_y + jnp.float32(_PROBE_Y))
    hit = _is_solid(world, _floor(new_x - _PROBE_X), low, high)
    hit |= _is_solid(world, _floor(new_x + _PROBE_X), low, high)
    half_height = jnp.float32(HALF_HEIGHT)
    right, left = jnp.floor(new_x + HALF_WIDTH) - HALF_WIDTH, jnp.ceil(new_x - HALF_WIDTH) + HALF_WIDTH
    above, below = (
        jnp.floor(new_y + half_height) - half_height,
        jnp.ceil(new_y - half_height) + half_height,
    )
    stopped_x = jnp.where(dx == 0, new_x, jnp.where(dx > 0, right, left))
    stopped_y = jnp.where(dx == 0, jnp.where(dy > 0, above, below), new_y)
    return jnp.where(hit, stopped_x, new_x), jnp.where(hit, stopped_y, new_y), hit


def _crate_below(world: Near, x: Array, y: Array, began: Array) -> tuple[Array, Array]:
    """Find the height to which the highest crate pushes the body, and whether there is such a crate.

    Of the crates that the body overlaps, those count that it was above when the step began (crates block
    nothing but a fall onto them). Not only the crate at its feet: who falls fast and drifts into a pile
    is put onto it from the side. As in the original, a body whose middle has come below the crate's is
    pushed down instead, past all that is under the crate, to the ground on which the pile stands. The
    crate that decides is the highest one; of two piles in a column, the second one's.
    """
    half_height = jnp.float32(HALF_HEIGHT)
    beside = late = jnp.uint32(0)
    for index in range(NEAR):
        over = jnp.abs(x - (world.first + index + 0.5)) < jnp.float32(1 - _SLACK)
        beside |= jnp.where(over, world.crate[index], jnp.uint32(0))
        late |= jnp.where(over, world.late[index], jnp.uint32(0))
    feet = _floor(y - half_height)
    stand, sink, decides, decides_late = y, y, y, -jnp.ones_like(y)
    pushed = jnp.zeros(jnp.shape(y), bool)
    for offset in range(3):
        row = feet + offset
        center = row + 0.5
        overlaps = jnp.abs(y - center) < jnp.float32(0.5 + HALF_HEIGHT) + jnp.float32(-_SLACK)
        pushes = overlaps & (began >= center + 0.5 + half_height) & _bit(beside, row) & (row >= 0)
        reach = 0.5 + half_height
        under = _bit(beside, row - 1) & (row > 0)
        ground = row - under - (under & _bit(beside, row - 2) & (row > 1))
        stand = jnp.where(pushes, center + reach, stand)
        sink = jnp.where(pushes, ground + half_height, sink)
        decides = jnp.where(pushes, center, decides)
        decides_late = jnp.where(pushes & _bit(late, row), center, decides_late)
        pushed |= pushes
    decides = jnp.where(decides_late >= 0, decides_late, decides)
    return jnp.where(y < decides, sink, stand), pushed


def pace(
    walkers: Walkers,
    x: Float[Array, " k"],
    vx: Float[Array, " k"],
    falls_from: Float[Array, ""],
) -> tuple[Float[Array, " k"], Float[Array, " k"], Bool[Array, ""]]:
    """Move the walkers by one step: to and fro between two tiles, four substeps of a quarter.

    Two quirks of the original. A turn at the inside of the ground costs a quarter of its speed, as that
    kind of tile is also what lies outside of the world. And a walker in a crate onto which the agent
    could fall (from the height `falls_from`; minus infinity: it does not fall) counts as standing on it:
    a costly turn then ends its step, and the agent is taken to have been stopped by a crate (returned).
    """
    high = falls_from >= walkers.row + 1 + jnp.float32(HALF_HEIGHT)
    kept, live = jnp.zeros_like(x), jnp.ones_like(high)
    caught = jnp.zeros_like(high)
    for _ in range(4):
        new = x + vx * 0.25
        turns_left = jnp.floor(new - _PROBE_X) <= walkers.left
        turns_right = jnp.floor(new + _PROBE_X) >= walkers.right
        turns = turns_left | turns_right
        line = jnp.where(vx < 0, jnp.ceil(new - 0.5) - (new - 0.5), jnp.floor(new + 0.5) - (new + 0.5))
        x = jnp.where(live, jnp.where(turns, new + 2 * line, new), x)
        vx = jnp.where(turns & live, -vx, vx)
        slowed = (turns_left & walkers.slows_left) | (turns_right & walkers.slows_right)
        kept += 0.25 * (live & ~slowed)
        beside = jnp.abs(x[:, None] - walkers.crates) < jnp.float32(1 - _SLACK)
        in_crate = high & (beside[:, 0] | beside[:, 1])
        caught |= in_crate & live
        live &= ~(slowed & in_crate)
    return x, vx * kept, (caught & (walkers.row >= 0)).any()


def is_hurt(body: Body, world: Near, walkers: Walkers, walker_x: Float[Array, " k"]) -> Bool[Array, ""]:
    """Tell whether the agent's box touches a saw, a walker or lava."""
    reach = jnp.float32(0.5 + HALF_HEIGHT)
    touched = (jnp.abs(body.x - walker_x) < 1) & (jnp.abs(body.y - (walkers.row + 0.5)) < reach)
    hurt = (touched & (walkers.row >= 0)).any()
    row = _floor(body.y)
    rows = jnp.uint32(0)
    for offset in (-1, 0, 1):
        beside = jnp.abs(body.y - (row + offset + 0.5)) < reach
        rows |= jnp.where(beside, _one(row + offset), jnp.uint32(0))
    left, right, low, high = extent(body)
    wet = jnp.uint32(0)
    for offset in range(3):
        wet |= jnp.where(low + offset <= high, _one(low + offset), jnp.uint32(0))
    for index in range(NEAR):
        column = world.first + index
        beside = jnp.abs(body.x - (column + 0.5)) < 1
        hurt |= beside & (world.saw[index] & rows != 0)
        hurt |= (column >= left) & (column <= right) & (world.lava[index] & wet != 0)
    return hurt


def _one(row: Int[Array, ""]) -> UInt32[Array, ""]:
    return jnp.uint32(1) << jnp.clip(row, 0, ROWS - 1).astype(jnp.uint32)


def extent(body: Body) -> tuple[Array, Array, Array, Array]:
    """Return the tiles under the body's box, a little shrunk.

    They are the first and last column, the first and last row.
    """
    wide, high = jnp.float32(HALF_WIDTH - _SLACK), jnp.float32(HALF_HEIGHT - _SLACK)
    return (
        _floor(body.x - wide),
        _floor(body.x + wide),
        _floor(body.y - high),
        _floor(body.y + high),
    )


def is_on(body: Body, tile: Int[Array, "2"]) -> Bool[Array, ""]:
    """Tell whether the body overlaps a tile (column, row)."""
    left, right, low, high = extent(body)
    column, row = tile[..., 0], tile[..., 1]
    return (column >= left) & (column <= right) & (row >= low) & (row <= high)
