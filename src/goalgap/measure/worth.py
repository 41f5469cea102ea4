"""What levels are worth to each goal: exactly, or by reference players of the environment's own.

Exact values by tables are one program for all goals and all splits, on chunks of one fixed shape.
"""

import abc
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32, UInt64

from .. import oracle, stats
from ..compilation import QUICKLY
from ..core import Environment, Goal, Level, Outcome, Policy, State, tree_index
from ..oracle import Oracle
from ..theory import worlds
from ..theory.underspecification import restricted_values
from .exam import SCORE_GAMMA
from .playing import filled, play_levels, play_oracles, seeded

_CHUNK, _MOST = 64, 256  # levels played, and solved by tables, at a time
_PLAYED = 4  # episodes of an oracle on a level: its ties are broken anew


class Worth(NamedTuple):
    """Hold what a batch of levels is worth; n: levels, g: goals. `Split` explains the fields."""

    optimum: Float[np.ndarray, "n g"]
    is_solvable: Bool[np.ndarray, "n g"]  # the best player that is known achieves the goal
    random: Float[np.ndarray, "n g"] | None = None
    pursuit: Float[np.ndarray, "n g"] | None = None


class Players(abc.ABC):
    """Play an environment's goals as well as is known, to tell what levels are worth."""

    title: str  # what to call one, before its goal's name
    num_played: int  # episodes of a player on a level that may differ
    size: int  # levels played at a time

    def __init__(self, env: Environment) -> None:
        self.env, self.size = env, _CHUNK

    @abc.abstractmethod
    def appraise(self, levels: Level) -> Worth:
        """Tell what a batch of levels is worth to each goal."""

    @abc.abstractmethod
    def player(self, goal: Goal) -> Policy:
        """Give the best known player of a goal."""

    def paths(self, levels: Level, number: int) -> tuple[Outcome, State]:
        """Let each goal's player play at most `size` levels once.

        Returns outcomes [goals, size], those of the given levels first, and the states of the first
        NUM_RECORDED levels, [goals, steps + 1, few].
        """
        chunk, key, played = filled(levels, self.size), seeded(number), []
        for goal in self.env.goals:
            player = self.player(goal)
            context = player.prepare(self.env, chunk)
            played.append(jax.device_get(play_levels(self.env, player, chunk, key, context)))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *played)

    def events(self, levels: Level) -> Int[np.ndarray, "p e n g"]:
        """Let each goal's player p play several episodes e on each level n.

        Returns the step at which the event of each goal g happened; -1: never.
        """
        found = []
        for number in range(self.num_played):
            parts = []
            for chunk, count in _chunks(levels, self.size):
                parts.append(self.paths(chunk, number)[0].event_step[:, :count])
            found.append(np.concatenate(parts, 1))
        return np.stack(found, 1)

    def about(self) -> dict[str, Any] | None:
        """Tell how good the players are, by goal, as JSON; None: they are optimal."""
        return None


def _chunks(levels: Level, size: int) -> Iterator[tuple[Level, int]]:
    """Cut levels into batches of one size, the last filled up; give how many in each are new."""
    count = len(jax.tree.leaves(levels)[0])
    for at in range(0, count, size):
        rows = np.arange(at, min(at + size, count))
        yield tree_index(levels, np.resize(rows, size)), len(rows)


@jax.jit
def _hashes(env: Environment, levels: Level) -> UInt32[Array, "n 2"]:
    return jax.vmap(env.level_hash)(levels)


def join_words(words: np.ndarray | jax.Array) -> UInt64[np.ndarray, " n"]:
    """Join the two 32-bit words of hashes to 64 bits."""
    words = np.asarray(words).astype(np.uint64)
    return words[..., 0] << np.uint64(32) | words[..., 1]


class Solved(Players):
    """Play by oracles, where the environment has a method of exact play of its own."""

    title, num_played = "oracle", _PLAYED

    def player(self, goal: Goal) -> Policy:
        return Oracle((goal,), SCORE_GAMMA)

    def appraise(self, levels: Level) -> Worth:
        env = self.env
        found = [
            (
                oracle.start_values(env, goal, levels, SCORE_GAMMA),
                oracle.is_solvable(env, goal, levels, SCORE_GAMMA),
            )
            for goal in env.goals
        ]
        values, solvable = (np.stack(part, -1) for part in zip(*found, strict=True))
        chance = None
        if env.solver is not None and "random" in env.solver.kinds:
            each = [oracle.start_values(env, g, levels, SCORE_GAMMA, "random") for g in env.goals]
            chance = np.stack(each, -1)
        return Worth(values, solvable, chance)


class _World(NamedTuple):
    """Hold a batch of levels, solved for all goals; M: the most memories that a goal has."""

    world: worlds.World
    tables: worlds.Tables
    q: Float[Array, "l g s M a"]


class Tabled(Solved):
    """Play by oracles where play is solved by tables.

    Three programs, which solve, appraise and play, serve all goals and splits.
    """

    def __init__(self, env: Environment, num_levels: int) -> None:
        super().__init__(env)
        num_bytes = worlds.check(env, env.goals, len(env.goals))
        most = min(_MOST, 1 << (num_levels - 1).bit_length())
        self.size = max(1, min(most, worlds.CHUNK_BYTES // num_bytes))

    def appraise(self, levels: Level) -> Worth:
        found = []
        for chunk, count in _chunks(levels, self.size):
            solved = _solve(self.env, self.env.goals, chunk)
            found.append(
                tree_index(jax.device_get(_worth(self.env, self.env.goals, solved)), slice(count))
            )
        optimum, random, pursuit = (np.concatenate(part) for part in zip(*found, strict=True))
        return Worth(optimum, optimum > 0, random, pursuit)

    def paths(self, levels: Level, number: int) -> tuple[Outcome, State]:
        chunk = filled(levels, self.size)
        q = _solve(self.env, self.env.goals, chunk).q
        return jax.device_get(play_oracles(self.env, chunk, q, number))


@functools.partial(jax.jit, static_argnames="goals", compiler_options=QUICKLY)
def _solve(env: Environment, goals: tuple[Goal, ...], levels: Level) -> _World:
    """Solve levels for every goal at once: all get as many memories as the one that has most."""
    world, tables = worlds.tabulate_stacked(env, goals, levels)
    place, most = worlds.places(goals), max(tables)

    def padded(goal: Goal) -> worlds.GoalTable:
        pads = [(0, 0), (0, 0), (0, most - goal.num_memories), (0, 0)]
        table = tree_index(tables[goal.num_memories], (slice(None), place[goal]))
        return jax.tree.map(lambda leaf: jnp.pad(leaf, pads), table)

    each = jax.tree.map(lambda *parts: jnp.stack(parts, 1), *map(padded, goals))

    def values(table: worlds.GoalTable) -> Float[Array, "l s M a"]:
        return worlds.action_values(world, table, SCORE_GAMMA, env.max_steps)

    return _World(world, tables, jax.vmap(values, 1, 1)(each))


@functools.partial(jax.jit, static_argnames="goals", compiler_options=QUICKLY)
def _worth(
    env: Environment, goals: tuple[Goal, ...], solved: _World
) -> tuple[Float[Array, "l g"], Float[Array, "l g"], Float[Array, "l g"]]:
    """Give the value of the best play and of random play under each goal, and what pursuit of each goal
    earns under the intended one, ties broken evenly."""
    world, tables, padded = solved
    start = jnp.arange(world.start.shape[0]), slice(None), world.start, 0
    optimum = padded[start].max(-1)
    q = {
        size: padded[:, np.array([goals.index(goal) for goal in group]), :, :size]
        for size, group in worlds.by_memories(goals).items()
    }
    pair = functools.partial(_pair, horizon=env.max_steps)
    over_pairs = jax.vmap(jax.vmap(pair, (None, 0, 0, 0)))
    random, pursuit = jnp.zeros(optimum.shape), jnp.zeros(optimum.shape).at[:, 0].set(optimum[:, 0])
    for _, columns, (first, _, second, second_q) in worlds.sides(goals[:1], goals, (tables, q)):
        values = over_pairs(world, first, second, second_q)
        by_second, chance, second_chance = (values[..., kind] for kind in range(3))
        cost = optimum[:, :1] - by_second
        cost = jnp.where(cost < worlds.ZERO, 0, cost)
        pursuit = pursuit.at[:, columns].set(optimum[:, :1] - cost)
        random = random.at[:, columns].set(second_chance).at[:, 0].set(chance[:, 0])
    return optimum, random, pursuit


def _pair(
    world: worlds.World,
    first: worlds.GoalTable,
    second: worlds.GoalTable,
    second_q: Float[Array, "s n a"],
    horizon: int,
) -> Float[Array, "3"]:
    """Give, on one level, what pursuit of the second goal earns under the first, and what random play
    earns under each: one program, as random play is the pursuit of nothing."""
    both = worlds.product(world, first, second)
    greedy = worlds.greedy(second_q, first.reward.shape[1])
    anything = jnp.ones_like(greedy)

    def value(reward: Float[Array, "x a"], allowed: Bool[Array, "x a"]) -> Float[Array, ""]:
        scored = dataclasses.replace(both, rewards=(reward, reward))
        return restricted_values(scored, allowed, SCORE_GAMMA, horizon, "mean")[both.start]

    one, other = both.rewards
    rewards = jnp.stack([one, one, other])
    return jax.vmap(value)(rewards, jnp.stack([greedy, anything, anything]))


class Referees(Players):
    """Play by an environment's reference players, without exact play; no level is played twice."""

    title, num_played = "reference", 1

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self.known: dict[tuple[str, int], tuple[float, np.ndarray]] = {}  # value, events

    def player(self, goal: Goal) -> Policy:
        return self.env.reference(goal)

    def appraise(self, levels: Level) -> Worth:
        played = [self._played(goal, levels) for goal in self.env.goals]
        optimum = np.stack([values for values, _ in played], 1)
        reached = np.stack([events[:, g] >= 0 for g, (_, events) in enumerate(played)], 1)
        return Worth(optimum, reached)

    def events(self, levels: Level) -> Int[np.ndarray, "p e n g"]:
        return np.stack([self._played(goal, levels)[1][None] for goal in self.env.goals])

    def about(self) -> dict[str, Any]:
        """Tell for each goal on what share of all levels given to its player the goal was achieved."""
        found = {}
        for index, goal in enumerate(self.env.goals):
            reached = [
                when[index] >= 0 for (name, _), (_, when) in self.known.items() if name == goal.name
            ]
            rate = stats.share(
                f"reference player: {goal.name}", int(sum(reached)), len(reached), "levels"
            )
            found[goal.name] = rate._asdict()
        return found

    def _played(self, goal: Goal, levels: Level) -> tuple[np.ndarray, np.ndarray]:
        """Give what the goal's player earns on each level, and when which event happened [n, g]."""
        names = [(goal.name, int(word)) for word in join_words(_hashes(self.env, levels))]
        new = {name: row for row, name in enumerate(names) if name not in self.known}
        fresh, at = list(new), 0
        index = [other.name for other in self.env.goals].index(goal.name)
        unknown = tree_index(levels, np.array(list(new.values()), int))
        for chunk, count in _chunks(unknown, self.size):
            player = self.player(goal)
            context = player.prepare(self.env, chunk)
            outcome, _ = jax.device_get(play_levels(self.env, player, chunk, seeded(0), context))
            for row in range(count):
                value = float(outcome.returns[row, index])
                self.known[fresh[at + row]] = value, outcome.event_step[row]
            at += count
        values, events = zip(*(self.known[name] for name in names), strict=True)
        return np.array(values, np.float32), np.array(events)


def players_of(env: Environment, num_levels: int) -> Players:
    """Give the best known players of an environment's goals, for about `num_levels` levels."""
    if env.solver is None:
        return Referees(env)
    return Tabled(env, num_levels) if env.solver is oracle.TABLES else Solved(env)
