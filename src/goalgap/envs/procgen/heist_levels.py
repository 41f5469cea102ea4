"""Generate levels of Procgen's Heist family: a maze in a square world, with objects in its cells.

A level is a function of random words, drawn in the engine's order. Rules: `procgen/src/games/heist.cpp`
of openai/procgen, `heist_aisc_many_keys.cpp` and `heist_aisc_many_chests.cpp` of JacobPfau/procgenAISC
(2105.14111), and `procgen/src/mazegen.cpp` of both, read and re-stated. As there, x grows to the right,
y upwards, lengths are in tiles, and tile (x, y) is `walls[y, x]`.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from .kruskal import _removals, kruskal, num_walls
from .random_words import Draws

WORLDS = {"easy": 9, "hard": 13, "memory": 23}  # mode -> side of the world
LEAST_SIDE = 5  # of the maze in it
MANY_CHESTS, MANY_KEYS = "heist_aisc_many_chests", "heist_aisc_many_keys"
NOTHING, CHEST, KEY, GEM = 0, 1, 2, 9  # kinds of objects, numbered as in the engine; doors are chests
NUM_BACKGROUNDS = 9
NUM_BURNT = 2  # words, of a place of the agent that is never used
HALF = 0.375  # half the side of the agent, and of what is placed by chance
DOORS_WORDS = 64  # tries for a place of the agent away from all doors; the engine does not bound them


class HeistLevel(eqx.Module):
    """Hold a level; its objects come in the engine's order: by column, from the bottom up."""

    walls: Bool[Array, "*b h w"]
    start: Float[Array, "*b 2"]
    places: Float[Array, "*b n 2"]
    kinds: Int[Array, "*b n"]
    numbers: Int[Array, "*b n"]  # among its kind; a key opens the door of its number
    ties: UInt32[Array, "*b t"]  # a bit for each step: set, y moves first where nothing else decides
    background: Int[Array, "*b"]
    background_x: Float[Array, "*b"]  # where the background is cut out, 0 to 1

    @property
    def num_keys(self) -> Int[Array, "*b"]:
        """Count the keys."""
        return (self.kinds == KEY).sum(-1)

    @property
    def num_chests(self) -> Int[Array, "*b"]:
        """Count the chests."""
        return (self.kinds == CHEST).sum(-1)

    @property
    def num_openable(self) -> Int[Array, "*b"]:
        """Count the chests for which there is a key: with this many open, the episode ends."""
        return jnp.minimum(self.num_keys, self.num_chests)


class Plan(NamedTuple):
    """Say what stands on which cell of the maze (the index of `kruskal.MazeGraph`), in any order."""

    agent: Int[Array, ""]
    cells: Int[Array, " n"]
    kinds: Int[Array, " n"]  # NOTHING: the entry is padding
    numbers: Int[Array, " n"]


Arrange = Callable[[Draws, Bool[Array, "w w"], Int[Array, ""]], Plan]


def most_words(world: int) -> int:
    """Bound the number of words that a level costs, in any game."""
    keys_and_chests = 3 * most_chests(world) + 1 + 4 * most_chests(world)  # cells, agent, places
    heist = 3 + DOORS_WORDS + 4 + 8  # doors, agent, cells of keys and gem, places
    return 8 + num_walls(world) + max(keys_and_chests, heist)


def most_chests(world: int) -> int:
    """Return the greatest number of objects of the scarce kind."""
    return 4 if world == WORLDS["memory"] else (world - LEAST_SIDE) // 2 + 2


def generate(
    words: UInt32[Array, " n"], world: int, num_ties: int, arrange: Arrange
) -> tuple[HeistLevel, Int[Array, ""]]:
    """Make the level that the words say, and count how many of them it took.

    The lowest bits of the next `num_ties` words break ties. `arrange` places the objects, given the maze
    and a number that grows with it.
    """
    draws = Draws(words)
    background_x, background = draws.unit(), draws.below(NUM_BACKGROUNDS)
    draws.at = draws.at + NUM_BURNT
    side, amount = extent(draws, world)
    maze = kruskal(draws, side, world)
    plan = arrange(draws, maze.open, amount)
    corner = jnp.stack([draws.below(world - side + 1), draws.below(world - side + 1)])
    walls = ~jnp.roll(maze.open, corner[::-1], (0, 1))
    places, kinds, numbers = _stand(draws, plan, corner, world)
    start = corner + _xy(plan.agent, world) + 0.5
    ties = pack(jax.lax.dynamic_slice(words, (draws.at,), (num_ties,)))
    level = HeistLevel(walls, start, places, kinds, numbers, ties, background, background_x)
    return level, draws.at


def extent(draws: Draws, world: int) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """Draw the side of the maze, and a number growing with it that sets how many objects there are."""
    difficulty = draws.below((world - LEAST_SIDE) // 2 + 1)
    if world == WORLDS["memory"]:
        return 2 * difficulty + LEAST_SIDE, draws.below(4)
    return 2 * difficulty + LEAST_SIDE, difficulty + draws.below(2)


def _stand(
    draws: Draws, plan: Plan, corner: Int[Array, "2"], world: int
) -> tuple[Float[Array, "n 2"], Int[Array, " n"], Int[Array, " n"]]:
    """Place the objects: return their centers, kinds and numbers, sorted by column.

    Doors and chests stand in the middle of their cells, all else is put at random, x then y. The engine
    draws such a place again while the object touches another one. It never does: in single precision,
    too, the places of two cells are at least two halves apart.
    """
    x, y = _xy(plan.cells, world).T
    order = jnp.argsort(jnp.where(plan.kinds == NOTHING, world**2, x * world + y))
    kinds = plan.kinds[order].astype(jnp.int8)
    is_loose = (kinds == KEY) | (kinds == GEM)
    nth = jnp.cumsum(is_loose) - 1
    units = jax.vmap(lambda at: Draws(draws.words, at).unit())(draws.at + jnp.arange(2 * len(order)))
    draws.at = draws.at + 2 * is_loose.sum()
    loose = units.reshape(-1, 2)[nth] * (1 - 2 * HALF) + HALF
    corners = (corner + _xy(plan.cells, world))[order]
    places = jnp.where(is_loose[:, None], loose, 0.5) + corners
    places = jnp.where((kinds == NOTHING)[:, None], 0.0, places)
    return places, kinds, plan.numbers[order].astype(jnp.int8)


def _xy(cells: Int[Array, "*n"], world: int) -> Int[Array, "*n 2"]:
    return jnp.stack([cells % world, cells // world], -1)


def pack(words: UInt32[Array, " t"]) -> UInt32[Array, " p"]:
    """Pack the lowest bits of the words, 32 to a word."""
    bits = jnp.pad(words & 1, (0, -len(words) % 32)).reshape(-1, 32)
    return (bits << jnp.arange(32, dtype=jnp.uint32)).sum(-1, dtype=jnp.uint32)


def scatter(game: str, world: int) -> Arrange:
    """Return how the objects of Keys and Chests are placed in one of the two games.

    They stand on cells that are no dead ends, then the agent on any cell that is left. There is one more
    of the scarce kind than `amount`, and twice as many of the other.
    """
    most = most_chests(world)

    def arrange(draws: Draws, is_open: Bool[Array, "w w"], amount: Int[Array, ""]) -> Plan:
        few, many = amount + 1, 2 * (amount + 1)
        num_chests, total = (many if game == MANY_CHESTS else few), few + many
        cells = choose(draws, is_open & (neighbors(is_open) > 1), total, 3 * most)
        index = jnp.arange(3 * most)
        # In "memory" mode a small maze may lack cells; the last keys are then left out.
        kinds = jnp.where(index < num_chests, CHEST, KEY)
        kinds = jnp.where(cells >= 0, kinds, NOTHING)
        numbers = jnp.where(index < num_chests, index, index - num_chests)
        left = is_open & ~mark(cells, world)
        return Plan(nth_cell(left, draws.below(left.sum())), cells, kinds, numbers)

    return arrange


def neighbors(marks: Bool[Array, "w w"]) -> Int[Array, "w w"]:
    """Count how many of a tile's four neighbors are marked."""
    wide = jnp.pad(marks, 1).astype(jnp.int8)
    return wide[2:, 1:-1] + wide[:-2, 1:-1] + wide[1:-1, 2:] + wide[1:-1, :-2]


def mark(cells: Int[Array, " n"], world: int) -> Bool[Array, "w w"]:
    """Mark cells, given by their indices, on a square world."""
    return (jnp.arange(world**2) == cells[:, None]).any(0).reshape(world, world)


def nth_cell(marks: Bool[Array, "w w"], rank: Int[Array, ""]) -> Int[Array, ""]:
    """Find the marked cell of a rank, counted row by row from the bottom."""
    return (jnp.cumsum(marks) <= rank).sum()


def choose(
    draws: Draws, marks: Bool[Array, "w w"], count: Int[Array, ""], most: int
) -> Int[Array, " n"]:
    """Choose `count` marked cells at random, all different, padded to `most` with -1.

    They come in the order of choice. Where there are fewer, all of them come, and no word is drawn.
    """
    total = marks.sum()
    ranks, index = jnp.cumsum(marks), jnp.arange(most)
    is_short = count > total
    left = jnp.maximum(total - index, 1).astype(jnp.uint32)
    picks = (draws.words[draws.at + index] % left).astype(jnp.int32)
    chosen = jnp.where(is_short, index, _removals(picks, index < count))
    draws.at = draws.at + jnp.where(is_short, 0, count)
    cells = (ranks <= chosen[:, None]).sum(-1)
    return jnp.where(index < jnp.minimum(count, total), cells, -1)
