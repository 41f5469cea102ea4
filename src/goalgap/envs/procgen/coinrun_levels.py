"""Generate CoinRun's levels, in the original's order of random words.

A level is made of one to five sections of ground, left to right, each higher or lower than the one
before, some with a pit, a saw, a walker or crates; the world ends in a wall to the sky. Games, each with
an order of draws of its own: `coinrun` (upstream: the coin at the end), `coinrun_fork` (the fork's: the
coin at the end, or with a percentage at the first column of a random section; a hidden coin marks the
other place), `coinrun_aisc` (always at the section, the hidden coin at the end).

Rules: `procgen-mechanics` section 3.2, from `games/coinrun.cpp` of openai/procgen and of
JacobPfau/procgenAISC.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from ...core import UsageError
from .platformer import ROWS, WALKER_SPEED, WIDTH, Tiles, Walkers
from .random_words import Draws

GAMES = ("coinrun", "coinrun_fork", "coinrun_aisc")
NUM_WORDS = 160  # a level needs at most 126
MAX_SECTIONS, MAX_WALKERS = 5, 35
NOTHING, SAW, WALKER, CRATE = 0, 2, 5, 20  # kinds of things, numbered as in the original
_EVERY_ROW = 0xFFFFFFFF


class Things(NamedTuple):
    """List what stands on tiles, in the original's order; five sections of eight places, most empty."""

    kind: Int[Array, "*b n"]
    column: Int[Array, "*b n"]
    row: Int[Array, "*b n"]
    look: Int[Array, "*b n"]  # which picture of its kind
    heads_right: Bool[Array, "*b n"]  # walkers


class Scene(eqx.Module):
    """Hold what only the picture shows."""

    background: Int[Array, "*b"]  # 0 to 61
    offset: Float[Array, "*b"]  # of the background, 0 to 1
    agent: Int[Array, "*b"]  # theme, 0 to 4
    ground: Int[Array, "*b"]  # theme, 0 to 5


class Draft(NamedTuple):
    """Hold a level as the generator leaves it.

    Tiles are 32-bit words, one for each column and kind of tile, with a bit for each row.
    """

    inside: UInt32[Array, "*b w"]  # ground, below its top
    top: UInt32[Array, "*b w"]
    lava_inside: UInt32[Array, "*b w"]
    lava_top: UInt32[Array, "*b w"]
    barrier: UInt32[Array, "*b w"]  # unseen tiles that turn walkers back
    things: Things
    end: Int[Array, "*b 2"]  # the tile on the last column: column, row
    place: Int[Array, "*b 2"]  # the first tile of a random section; -1 where the game draws none
    moved: Bool[Array, "*b"]  # whether the coin is at that place
    scene: Scene
    num_words: Int[Array, "*b"]


class CoinRunLevel(eqx.Module):
    """Hold a level that is ready to be played."""

    tiles: Tiles
    top: UInt32[Array, "*b w"]  # the part of `tiles.solid` that is ground's top
    veil: UInt32[Array, "*b w"]  # what looks like ground and is not solid
    barrier: UInt32[Array, "*b w"]
    walkers: Walkers
    walker_x: Float[Array, "*b k"]  # where they start
    walker_vx: Float[Array, "*b k"]
    walker_look: Int[Array, "*b k"]
    crate_look: UInt32[Array, "*b 2 w"]  # two bits for each crate
    coin: Int[Array, "*b 2"]
    marker: Int[Array, "*b 2"]  # the other place of the two, where the hidden coin is; -1: none
    end: Int[Array, "*b 2"]
    scene: Scene


def _rows(low: Array | int, high: Array | int) -> UInt32[Array, "..."]:
    """Set the bits low to high - 1, none above 30."""
    low, high = (jnp.clip(jnp.asarray(row), 0, ROWS - 1).astype(jnp.uint32) for row in (low, high))
    one = jnp.uint32(1)
    return ((one << high) - one) & ~((one << low) - one)


class _World(NamedTuple):
    """Hold the tiles drawn so far: a word for each column and kind, a bit a row."""

    inside: UInt32[Array, " w"]
    top: UInt32[Array, " w"]
    lava_inside: UInt32[Array, " w"]
    lava_top: UInt32[Array, " w"]
    barrier: UInt32[Array, " w"]

    def put(self, kind: str | None, columns: Bool[Array, " w"], rows: UInt32[Array, ""]) -> "_World":
        """Put tiles of a kind (None: empty) on some columns and rows, in place of what was there."""
        erased = {k: jnp.where(columns, words & ~rows, words) for k, words in self._asdict().items()}
        if kind is not None:
            erased[kind] = jnp.where(columns, erased[kind] | rows, erased[kind])
        return _World(**erased)

    def ground(self, columns: Bool[Array, " w"], low: Array | int, high: Array) -> "_World":
        """Put ground from a row up to below another; its last row is the top."""
        world = self.put("inside", columns, _rows(low, high - 1))
        return world.put("top", columns, _rows(high - 1, high))


HARDEST = 3  # difficulty: 1 to 3; the more, the more and longer sections, and pits at 3 only


def draft(
    words: UInt32[Array, " n"], game: str, easy: bool, random_percent: int = 0, hardest: int = HARDEST
) -> Draft:
    """Make a level out of words.

    `random_percent` is for the fork's coinrun: the percentage of coins at a section. A `hardest`
    difficulty below 3 is our own. Raises UsageError for games that are none of `GAMES`.
    """
    if not 0 <= random_percent <= 100:
        raise UsageError(f"random_percent is {random_percent}; expected 0 to 100")
    if game not in GAMES:
        raise UsageError(f"unknown game {game!r}; expected one of {', '.join(GAMES)}, moved")
    draws = Draws(words)
    offset, background = draws.unit(), draws.below(62)
    draws.word()  # a position of the agent, which is then overwritten
    draws.word()
    agent = draws.below(5, not easy)
    ground = draws.below(6, not easy)
    scene = Scene(*(jnp.where(easy, 0, x) for x in (background, offset, agent, ground)))
    scene = eqx.tree_at(lambda s: s.offset, scene, offset)
    moved = draws.below(100, game == "coinrun_fork") < random_percent
    difficulty = draws.below(hardest) + 1
    num_sections = draws.below(difficulty) + difficulty
    hazard = draws.below(3)
    chosen = draws.below(num_sections, game != "coinrun")
    columns = jnp.arange(WIDTH)
    empty = jnp.zeros(WIDTH, jnp.uint32)
    world = _World(empty, empty, empty, empty, empty)
    world = world.put("top", columns >= 0, jnp.uint32(1))
    world = world.put("inside", (columns == 0) | (columns == WIDTH - 1), jnp.uint32(_EVERY_ROW))

    def section(carry: tuple, number: Array) -> tuple[tuple, tuple[Things, Array]]:
        at, x, y, world = carry
        draws = Draws(words, at)
        corner, level_y, level_x, after, things = _section(draws, x, y, world, difficulty, hazard, easy)
        live = number < num_sections
        carry = jax.tree.map(
            lambda new, old: jnp.where(live, new, old), (draws.at, level_x, level_y, after), carry
        )
        things = things._replace(kind=jnp.where(live, things.kind, NOTHING))
        return carry, (things, corner)

    start = (draws.at, jnp.asarray(5), jnp.asarray(1), world)
    (at, x, y, world), (things, corners) = jax.lax.scan(section, start, jnp.arange(MAX_SECTIONS))
    things = Things(*(leaf.reshape(-1) for leaf in things))
    # The end: the barrier on its tile gives way to the coin.
    world = world.put(None, columns == x, _rows(y, y + 1)).ground(columns == x, 0, y)
    world = world.put("inside", columns > x, jnp.uint32(_EVERY_ROW))
    place = jnp.where(game == "coinrun", -1, corners[chosen])
    end = jnp.stack([x, y]).astype(place.dtype)
    return Draft(*world, things, end, place, moved | (game == "coinrun_aisc"), scene, at)


def _section(
    draws: Draws, x: Array, y: Array, world: _World, difficulty: Array, hazard: Array, easy: bool
) -> tuple[Array, Array, Array, _World, Things]:
    """Draw one section from column x on, after one of height y.

    Returns its first tile, its height, where the next one begins, the world and what stands on it.
    """
    hard_part = (difficulty == 3).astype(int)
    rise = draws.below(4) + 1 + hard_part
    falls = jnp.where(y >= 20, True, (draws.below(2, (y >= 5) & (y < 20)) == 1) & (y >= 5))
    width = draws.below(2 * difficulty) + 3 + hard_part
    y = jnp.maximum(1, y + jnp.where(falls, -rise, rise))
    wide = (width > 7) & (y > 3)
    is_pit = wide & (draws.below(20, wide) >= difficulty)
    columns = jnp.arange(WIDTH)

    # A pit: ledges, what is at its bottom, and over a wide one a platform.
    left, right = draws.below(3, is_pit) + 1, draws.below(3, is_pit) + 1
    gap = width - left - right
    depth = draws.below(y - 3, is_pit) + 1
    slots = jnp.arange(8)
    walks = is_pit & (hazard == 2)
    in_gap = slots < gap
    pairs = draws.at + 2 * slots
    pit_right = draws.words[pairs] % 2 == 1
    pit_look = (draws.words[pairs + 1] % 9).astype(jnp.int32)
    draws.at = draws.at + jnp.where(walks, 2 * gap, 0)
    bridged = is_pit & (gap > 4)
    begins = draws.below(2, bridged) + jnp.where(gap == 5, 1, 2)
    other = draws.below(2, bridged)
    length = jnp.where(gap == 7, gap - begins - (2 + other), 1 + other)
    in_section = (columns >= x) & (columns < x + width)
    over_gap = (columns >= x + left) & (columns < x + left + gap)
    pit = world.ground(in_section & ~over_gap, 0, y)
    burning = pit.put("lava_inside", over_gap, _rows(1, depth))
    burning = burning.put("lava_top", over_gap, _rows(depth, depth + 1))
    pit = jax.tree.map(lambda a, b: jnp.where(hazard == 0, a, b), burning, pit)
    bridge = (columns >= x + left + begins) & (columns < x + left + begins + length) & bridged
    pit = pit.put("top", bridge, _rows(y - 1, y))

    # No pit: ground with perhaps a saw, a walker and two piles of crates.
    flat = ~is_pit
    within = width - 2
    has_saw = (draws.below(10, flat) < 2 * difficulty) & (width > 3)
    saw = draws.below(within, flat & has_saw) + x + 1
    has_walker = (draws.below(10, flat) < difficulty) & (width > 3) & (not easy)
    walker = draws.below(within, flat & has_walker) + x + 1
    heads_right = draws.below(2, flat & has_walker) == 1
    look = draws.below(9, flat & has_walker)
    piles = []
    for _ in range(2):
        column = draws.below(within, flat) + x + 1
        stands = draws.below(2, flat) == 1
        stands &= (column != jnp.where(has_saw, saw, -1)) & (column != jnp.where(has_walker, walker, -1))
        height = draws.below(3, flat & stands) + 1
        looks = [draws.below(4, flat & stands & (index < height)) for index in range(3)]
        piles += [
            (jnp.where(stands & (index < height), CRATE, NOTHING), column, y + index, looks[index])
            for index in range(3)
        ]
    rows = [
        (jnp.where(has_saw, SAW, NOTHING), saw, y, jnp.zeros_like(y)),
        (jnp.where(has_walker, WALKER, NOTHING), walker, y, look),
        *piles,
    ]
    kind, column, row, flat_look = (jnp.stack(list(part)) for part in zip(*rows, strict=True))
    pit_kind = jnp.where(hazard == 1, SAW, jnp.where(hazard == 2, WALKER, NOTHING))
    things = Things(
        jnp.where(is_pit, jnp.where(in_gap, pit_kind, NOTHING), kind),
        jnp.where(is_pit, x + left + slots, column),
        jnp.where(is_pit, 1, row),
        jnp.where(is_pit, jnp.where(hazard == 2, pit_look, 0), flat_look),
        jnp.where(is_pit, pit_right, heads_right),
    )
    world = jax.tree.map(lambda a, b: jnp.where(is_pit, a, b), pit, world.ground(in_section, 0, y))
    solid = (world.inside | world.top)[x - 1]
    before = world.put("barrier", columns == x - 1, _rows(y, y + 1))
    is_ground = (solid >> y.astype(jnp.uint32)) & 1 == 1
    world = jax.tree.map(lambda a, b: jnp.where(is_ground, a, b), world, before)
    world = world.put("barrier", columns == x + width, _rows(y, y + 1))
    return jnp.stack([x, y]), y, x + width, world, things


PERMEABLE = 15  # columns of the permeable end


@functools.partial(jax.jit, static_argnames="permeable")
def build(made: Draft, permeable: bool = False) -> CoinRunLevel:
    """Make a draft ready to be played.

    `permeable`: the end's wall is 15 columns that one can walk through, with nothing behind them (the
    fork's `coinrun_mod_wall`). Where the end is beyond column 48, the original aborts; here there is
    room for fewer columns.
    """
    columns = jnp.arange(WIDTH)
    inside, top = made.inside, made.top
    veil = jnp.zeros(WIDTH, jnp.uint32)
    if permeable:
        behind = (columns > made.end[0]) & (columns < WIDTH - 1)
        veiled = behind & (columns <= made.end[0] + PERMEABLE)
        inside = jnp.where(behind, 0, inside)
        top = jnp.where(behind, jnp.where(veiled, 0, 1), top).astype(jnp.uint32)
        veil = jnp.where(veiled, jnp.uint32(_EVERY_ROW), 0)
    tiles = Tiles(
        inside | top,
        _words(made.things, CRATE),
        _words(made.things, SAW),
        made.lava_inside | made.lava_top,
        _second_piles(made.things),
    )
    walkers, x, vx, look = _walkers(made.things, inside, inside | top | made.barrier)
    looks = [_words(made.things, CRATE, bit) for bit in range(2)]
    coin = jnp.where(made.moved, made.place, made.end)
    marker = jnp.where(made.moved, made.end, made.place)
    return CoinRunLevel(
        tiles, top, veil, made.barrier, walkers, x, vx, look, jnp.stack(looks), coin, marker,
        made.end, made.scene,
    )  # fmt: skip


def _words(things: Things, kind: int, bit: int | None = None) -> UInt32[Array, " w"]:
    """Mark where things of a kind are; with `bit`, only those with that bit of their look set."""
    there = things.kind == kind
    if bit is not None:
        # Of two crates on one tile the later one is drawn.
        same = (things.column[:, None] == things.column) & (things.row[:, None] == things.row)
        hidden = (jnp.triu(same, 1) & there).any(1)
        there = there & ~hidden & ((things.look >> bit) & 1 == 1)
    place = jnp.uint32(1) << things.row.astype(jnp.uint32)
    on = (things.column[:, None] == jnp.arange(WIDTH)) & there[:, None]
    return jax.lax.reduce(
        jnp.where(on, place[:, None], jnp.uint32(0)), jnp.uint32(0), jax.lax.bitwise_or, (0,)
    )


def _second_piles(things: Things) -> UInt32[Array, " w"]:
    """Mark where crates are that were piled in a column in which a pile stood already."""
    crate = things.kind == CRATE
    number = jnp.arange(crate.shape[0])
    mates = crate & crate[:, None] & (things.column == things.column[:, None])
    # Piles grow upwards, so a crate no higher than an earlier one of its column begins another.
    begins = (mates & (number < number[:, None]) & (things.row >= things.row[:, None])).any(1)
    second = (mates & (number <= number[:, None]) & begins).any(1)
    return _words(things._replace(kind=jnp.where(second, CRATE, NOTHING)), CRATE)


def _walkers(
    things: Things, inside: UInt32[Array, " w"], turning: UInt32[Array, " w"]
) -> tuple[Walkers, Array, Array, Array]:
    """Collect the walkers, first in the arrays, with the tiles between which they pace."""
    is_walker = things.kind == WALKER
    order = jnp.argsort(~is_walker, stable=True)[:MAX_WALKERS]
    there, column, row, look, heads_right = (
        leaf[order] for leaf in (is_walker, things.column, things.row, things.look, things.heads_right)
    )
    columns = jnp.arange(WIDTH)
    turns = (turning[None] >> row[:, None].astype(jnp.uint32)) & 1 == 1
    left = jnp.where(turns & (columns < column[:, None]), columns, 0).max(1)
    right = jnp.where(turns & (columns > column[:, None]), columns, WIDTH - 1).min(1)
    slows = lambda at: (inside[at] >> row.astype(jnp.uint32)) & 1 == 1  # noqa: E731
    crate = (things.kind == CRATE) & (things.row == row[:, None])
    crate &= (things.column > left[:, None]) & (things.column < right[:, None])
    middles = jnp.where(crate, things.column + 0.5, jnp.nan)
    crates = jnp.stack([jnp.nanmin(middles, 1), jnp.nanmax(middles, 1)], -1)
    crates = jnp.nan_to_num(crates, nan=-9.0).astype(jnp.float32)
    walkers = Walkers(jnp.where(there, row, -1), left, right, slows(left), slows(right), crates)
    vx = jnp.where(there, jnp.where(heads_right, WALKER_SPEED, -WALKER_SPEED), 0.0)
    return walkers, (column + 0.5).astype(jnp.float32), vx.astype(jnp.float32), look
