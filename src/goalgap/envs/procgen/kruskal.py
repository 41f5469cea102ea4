"""Make Procgen's mazes: Kruskal's algorithm on a lattice of rooms, in its order of random words.

MazeGraph coordinates: x to the right, y upwards, cell (0, 0) the bottom-left one; a cell's index is `y *
bound + x`. Rooms are the cells with both coordinates even, and a wall stands between any two neighbors.
All walls are taken from a list in random order; one whose two rooms are not connected yet is opened.
Rules: `procgen/src/mazegen.cpp` of openai/procgen, read and re-stated.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from .random_words import Draws


class MazeGraph(NamedTuple):
    """Hold a maze of odd side up to `bound`; all outside of it is wall."""

    open: Bool[Array, "bound bound"]  # [y, x]
    order: Int[Array, " cells"]  # the open cells' indices in the order of their opening; then -1
    count: Int[Array, ""]  # how many they are


def num_walls(side: int) -> int:
    """Count the walls between the rooms of a maze, which is how many words the maze costs."""
    return (side * side - 1) // 2


def kruskal(draws: Draws, side: Int[Array, ""] | int, bound: int) -> MazeGraph:
    """Make the maze of odd side 3 to `bound` that the words say: one word a wall, whatever comes of it.

    `bound` is at most 127: walls are numbered in 16 bits.
    """
    half = (jnp.asarray(side) - 1) // 2
    total = 2 * half * (half + 1)
    steps = jnp.arange(num_walls(bound))
    left = jnp.maximum(total - steps, 1).astype(jnp.uint32)
    picks = (draws.words[draws.at + steps] % left).astype(jnp.int16)
    draws.at = draws.at + total
    first, second, center = _sides(_removals(picks, steps < total), half, bound)
    fresh = _openings(first, second, steps < total, ((bound + 1) // 2) ** 2)
    cells = jnp.stack([_cell(first, bound), center, _cell(second, bound)], -1).reshape(-1)
    # Scatters that drop what is not there: cells that were open already.
    limit, place = bound * bound, jnp.cumsum(fresh) - 1
    most = 2 * ((bound + 1) // 2) ** 2 - 1
    order = jnp.full(most, -1).at[jnp.where(fresh, place, most)].set(cells, mode="drop")
    is_open = jnp.zeros(limit, bool).at[jnp.where(fresh, cells, limit)].set(True, mode="drop")
    return MazeGraph(is_open.reshape(bound, bound), order, place[-1] + 1)


def _removals(picks: Int[Array, " w"], within: Bool[Array, " w"]) -> Int[Array, " w"]:
    """Find the wall that each pick takes.

    A pick counts only the walls still on the list; read from the last to the first, each one moves up,
    among those that come after it, all that lie at or above it.
    """
    steps = jnp.arange(len(picks), dtype=picks.dtype)

    def restore(taken: Array, now: tuple[Array, Array, Array]) -> tuple[Array, None]:
        step, pick, counts = now
        later = (steps > step) & counts
        return taken + (later & (taken >= pick)).astype(taken.dtype), None

    return jax.lax.scan(restore, picks, (steps, picks, within), reverse=True)[0]


def _sides(
    walls: Int[Array, " w"], half: Int[Array, ""], bound: int
) -> tuple[Int[Array, " w"], Int[Array, " w"], Int[Array, " w"]]:
    """Return the two rooms of each wall, and its cell.

    Walls that part left from right come first, column by column; then those that part down from up,
    again column by column.
    """
    walls, rooms = walls.astype(jnp.int32), (bound + 1) // 2
    number = half * (half + 1)
    is_upright = walls < number
    length = jnp.where(is_upright, half + 1, half)
    place = jnp.where(is_upright, walls, walls - number)
    x, y = place // length, place % length
    first = y * rooms + x
    across = jnp.where(is_upright, 1, rooms)
    cell = 2 * y * bound + 2 * x + jnp.where(is_upright, 1, bound)
    return first, first + across, cell


def _openings(
    first: Int[Array, " w"], second: Int[Array, " w"], within: Bool[Array, " w"], num_rooms: int
) -> Bool[Array, " triples"]:
    """Mark whether each wall opens its first room, itself, its second room: nothing is opened twice."""
    # A component's label is the wall that made it; rooms begin as components of their own, still shut.
    steps = jnp.arange(len(first), dtype=jnp.int16) + num_rooms

    def join(labels: Array, wall: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        one, other, counts, made = wall
        a, b = labels[one], labels[other]
        parted = counts & (a != b)
        labels = jnp.where(parted & ((labels == a) | (labels == b)), made, labels)
        return labels, parted & jnp.stack([a < num_rooms, a == a, b < num_rooms])

    rooms = jnp.arange(num_rooms, dtype=jnp.int16)
    _, fresh = jax.lax.scan(join, rooms, (first, second, within, steps))
    return fresh.reshape(-1)


def _cell(room: Int[Array, " w"], bound: int) -> Int[Array, " w"]:
    rooms = (bound + 1) // 2
    return 2 * (room // rooms) * bound + 2 * (room % rooms)
