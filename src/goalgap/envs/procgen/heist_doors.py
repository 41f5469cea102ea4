"""Offer Procgen's original Heist: get to the gem, behind doors that open with keys of their color.

It is here for parity with the engine (the levels of `heist` and Keys and Chests share their mazes, and
both their motion); there is no shift. Rules: `procgen/src/games/heist.cpp` and `procgen/src/mazegen.cpp`
of openai/procgen, read and re-stated. Departure: the agent's cell is drawn again at most 63 times while
it is next to a door.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...core import Goal, Shift, UsageError
from .heist import CHEST_REACH, Heist, HeistState
from .heist_levels import (
    CHEST,
    DOORS_WORDS,
    GEM,
    KEY,
    NOTHING,
    Arrange,
    HeistLevel,
    Plan,
    choose,
    mark,
    neighbors,
    nth_cell,
)
from .random_words import Draws

DOORS = 3
GEM_REACH = (0.75, 0.375 + 0.375 * 48 / 70)
TOUCHING = 0.001  # boxes that overlap by no more do not push each other


def has_gem(level: HeistLevel, state: HeistState) -> Bool[Array, ""]:
    """Tell whether the agent has taken the gem."""
    return (state.gone & (level.kinds == GEM)).any()


class Gem(Goal):
    """Pay 10 for the gem."""

    name: str = eqx.field(static=True, default="gem")
    sentence: str = eqx.field(static=True, default="get to the gem")
    bits: float = eqx.field(static=True, default=3.0)

    def reward(
        self, level: HeistLevel, state: HeistState, action: Int[Array, ""], next_state: HeistState
    ) -> Float[Array, ""]:
        return 10.0 * has_gem(level, next_state)

    def is_achieved(
        self, level: HeistLevel, state: HeistState, memory: Int[Array, ""]
    ) -> Bool[Array, ""]:
        return has_gem(level, state)


class HeistDoors(Heist):
    """Offer Procgen's Heist as an environment; the module's docstring has its rules and source."""

    name: ClassVar[str] = "heist-doors"
    title: ClassVar[str] = "Procgen Heist"
    games: ClassVar[tuple[str, ...]] = ("heist",)

    intended: ClassVar[Any] = Gem()
    proxies: tuple[Goal, ...] = ()

    def arrange(self, game: str) -> Arrange:
        return hide

    def shift(self, alpha: float = 0.0) -> Shift:
        raise UsageError("heist-doors has no shift; use heist, where keys and chests are exchanged")

    def slide(
        self,
        level: HeistLevel,
        state: HeistState,
        is_x: Bool[Array, ""],
        is_wall: Callable[[Array, Array], Array],
        a: Float[Array, ""],
        b: Float[Array, ""],
        velocity: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, ""], Bool[Array, ""]]:
        """Take one substep as without doors; then let a door whose key is not held push the agent back.

        It is pushed to the door's edge, and loses its speed. Doors stand on junctions, at least two
        tiles apart: it is one at a time.
        """
        a, velocity, hit = super().slide(level, state, is_x, is_wall, a, b, velocity)
        shut = (level.kinds == CHEST) & ~state.gone & ~self.fits(level, state)
        x, y = level.places.T
        doors_a, doors_b = jnp.where(is_x, x, y), jnp.where(is_x, y, x)
        near = CHEST_REACH[0] - TOUCHING
        pushing = shut & (jnp.abs(a - doors_a) < near) & (jnp.abs(b - doors_b) < near)
        pushed, door = pushing.any(), jnp.where(pushing, doors_a, 0.0).sum()
        edge = door + jnp.sign(a - door) * CHEST_REACH[0]
        return jnp.where(pushed, edge, a), jnp.where(pushed, 0.0, velocity), hit | pushed

    def fits(self, level: HeistLevel, state: HeistState) -> Bool[Array, " n"]:
        """Mark the objects for whose number the key is held."""
        held = state.gone & (level.kinds == KEY)
        return (held & (level.numbers == level.numbers[:, None])).any(-1)

    def touch(
        self, level: HeistLevel, state: HeistState, position: Float[Array, "2"]
    ) -> Bool[Array, " n"]:
        """Mark what is gone once the agent has touched all that it meets.

        Keys and the gem go when touched; doors go whose key is held, also a key that was taken in this
        very step from an object that comes later in the order.
        """
        near = ~state.gone & self.meets(level, position)
        loose = near & (level.kinds != CHEST)
        later = jnp.arange(len(near)) > jnp.arange(len(near))[:, None]
        taken = loose & (level.kinds == KEY) & later
        now = (taken & (level.numbers == level.numbers[:, None])).any(-1)
        return state.gone | loose | (near & (self.fits(level, state) | now))

    def meets(self, level: HeistLevel, position: Float[Array, "2"]) -> Bool[Array, " n"]:
        gem = (jnp.abs(level.places - position) < jnp.array(GEM_REACH)).all(-1)
        return jnp.where(level.kinds == GEM, gem, super().meets(level, position))

    def is_terminal(self, level: HeistLevel, state: HeistState) -> Bool[Array, ""]:
        return has_gem(level, state)


def hide(draws: Draws, is_open: Bool[Array, "w w"], amount: Int[Array, ""]) -> Plan:
    """Place doors on junctions, the agent away from them, and the key of each door, then the gem.

    Each key, and the gem, is on a cell that has just become reachable.
    """
    world = is_open.shape[0]
    wanted = jnp.minimum(amount, DOORS)
    chosen = choose(draws, is_open & (neighbors(is_open) > 2), wanted, DOORS)
    doors, num_doors = mark(chosen, world), (chosen >= 0).sum()
    passable = is_open & ~doors
    agent = _away(draws, passable, neighbors(doors) == 0)
    reached = mark(agent[None], world)
    cells, kinds, numbers = [], [], []
    for number in range(DOORS + 1):
        is_door, is_live = number < num_doors, number <= num_doors
        steps = _steps(passable, reached)
        door = _first(doors, steps)
        found = passable & (steps >= 0) & ~reached
        cell = nth_cell(found, draws.below(found.sum(), is_live))
        cells += [door, cell]
        kinds += [jnp.where(is_door, CHEST, NOTHING)]
        kinds += [jnp.where(is_door, KEY, jnp.where(is_live, GEM, NOTHING))]
        numbers += [jnp.asarray(number), jnp.where(is_door, number, 0)]
        opened = mark(door[None], world) & is_door
        reached, doors = reached | found | opened, doors & ~opened
    # The last round has no door.
    del cells[-2], kinds[-2], numbers[-2]
    return Plan(agent, jnp.stack(cells), jnp.stack(kinds), jnp.stack(numbers))


def _away(draws: Draws, passable: Bool[Array, "w w"], allowed: Bool[Array, "w w"]) -> Int[Array, ""]:
    """Draw a passable cell, again and again until it is an allowed one."""
    places = draws.at + jnp.arange(DOORS_WORDS)
    ranks = jax.vmap(lambda at: Draws(draws.words, at).below(passable.sum()))(places)
    cells = jax.vmap(lambda rank: nth_cell(passable, rank))(ranks)
    first = jnp.argmax(allowed.reshape(-1)[cells])
    draws.at = draws.at + first + 1
    return cells[first]


def _steps(passable: Bool[Array, "w w"], reached: Bool[Array, "w w"]) -> Int[Array, "w w"]:
    """Count the steps to each cell from the reached ones, over passable ones; -1: there is no way."""

    def spread(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        steps, time, _ = carry
        fresh = passable & (steps < 0) & (neighbors(steps >= 0) > 0)
        return jnp.where(fresh, time, steps), time + 1, fresh.any()

    start = jnp.where(reached, 0, -1), jnp.asarray(1), jnp.ones((), bool)
    return jax.lax.while_loop(lambda carry: carry[-1], spread, start)[0]


def _first(doors: Bool[Array, "w w"], steps: Int[Array, "w w"]) -> Int[Array, ""]:
    """Find the door that is met first: the one next to the nearest cell.

    Of several such cells it is the one that comes first row by row, and of its neighbors the first of
    left, down, up, right.
    """
    world = len(doors)
    beside = (steps >= 0) & (neighbors(doors) > 0)
    rank = jnp.where(beside, steps * world**2 + jnp.arange(world**2).reshape(world, world), world**4)
    cell = jnp.argmin(rank)
    around = jnp.pad(doors, 1)
    x, y = cell % world, cell // world
    ways = jnp.array([(-1, 0), (0, -1), (0, 1), (1, 0)])
    way = ways[jnp.argmax(around[y + 1 + ways[:, 1], x + 1 + ways[:, 0]])]
    return (y + way[1]) * world + x + way[0]
