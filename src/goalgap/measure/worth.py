"""What levels are worth to each goal: exactly, or by reference players of the environment's own.

Exact values by tables are one program for all goals and all splits, on chunks of one fixed shape.
"""

import abc
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32, UInt64

from .. import oracle, stats
from ..core import Environment, Goal, Level, Policy, State, tree_index
from ..oracle import Oracle, sweeps
from ..theory import worlds
from ..theory.underspecification import costs
from .exam import SCORE_GAMMA
from .playing import filled, play_levels, play_oracles, seeded

CHUNK = 64  # levels that the goals' players play at a time
_PLAYED = 4  # episodes of an oracle on a level: its ties are broken anew


class Worth(NamedTuple):
    """What a batch of levels is worth; n: levels, g: goals. `Split` says what each is."""

    optimum: Float[np.ndarray, "n g"]
    is_solvable: Bool[np.ndarray, "n g"]  # the best player that is known achieves the goal
    random: Float[np.ndarray, "n g"] | None = None
    pursuit: Float[np.ndarray, "n g"] | None = None


class Players(abc.ABC):
    """The best players of an environment's goals that are known."""

    title: str  # what to call one, before its goal's name
    num_played: int  # episodes of a player on a level that may differ

    def __init__(self, env: Environment) -> None:
        self.env = env

    @abc.abstractmethod
    def appraise(self, levels: Level, at_most: int) -> Worth:
        """Tell what levels are worth, at most so many (a power of two) in one call of a program."""

    @abc.abstractmethod
    def player(self, goal: Goal) -> Policy:
        """Give the player of a goal."""

    def paths(self, levels: Level, number: int) -> tuple[Any, State]:
        """Play at most CHUNK levels once by each goal's player: outcomes [goals, CHUNK] and states
        [goals, steps + 1, few], those of the given levels first."""
        chunk, key, played = filled(levels, CHUNK), seeded(number), []
        for goal in self.env.goals:
            player = self.player(goal)
            context = player.prepare(self.env, chunk)
            played.append(jax.device_get(play_levels(self.env, player, chunk, key, context)))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *played)

    def events(self, levels: Level) -> Int[np.ndarray, "p e n g"]:
        """Play levels by each goal's player p, several episodes e each: when which event happened."""
        found = []
        for number in range(self.num_played):
            parts = []
            for chunk, count in _chunks(levels):
                parts.append(self.paths(chunk, number)[0].event_step[:, :count])
            found.append(np.concatenate(parts, 1))
        return np.stack(found, 1)

    def about(self) -> dict[str, Any] | None:
        """Tell how good the players are, by goal; None: they are the best."""
        return None


def _chunks(levels: Level) -> Iterator[tuple[Level, int]]:
    count = len(jax.tree.leaves(levels)[0])
    for at in range(0, count, CHUNK):
        rows = np.arange(at, min(at + CHUNK, count))
        yield tree_index(levels, rows), len(rows)


@jax.jit
def _hashes(env: Environment, levels: Level) -> UInt32[Array, "n 2"]:
    return jax.vmap(env.level_hash)(levels)


def join_words(words: np.ndarray | jax.Array) -> UInt64[np.ndarray, " n"]:
    """Join the two 32-bit words of hashes to 64 bits."""
    words = np.asarray(words).astype(np.uint64)
    return words[..., 0] << np.uint64(32) | words[..., 1]


class Solved(Players):
    """Oracles, by the environment's own method of exact play."""

    title, num_played = "oracle", _PLAYED

    def player(self, goal: Goal) -> Policy:
        return Oracle((goal,), SCORE_GAMMA)

    def appraise(self, levels: Level, at_most: int) -> Worth:
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


class Tabled(Solved):
    """Oracles by tables: all goals in one program."""

    def appraise(self, levels: Level, at_most: int) -> Worth:
        env = self.env
        num_bytes = worlds.check(env, env.goals, len(env.goals))
        optimum, random, pursuit = worlds.in_chunks(
            lambda chunk: _exact(env, env.goals, chunk), levels, num_bytes, at_most
        )
        return Worth(optimum, optimum > 0, random, pursuit)

    def paths(self, levels: Level, number: int) -> tuple[Any, State]:
        return jax.device_get(play_oracles(self.env, filled(levels, CHUNK), number))


@functools.partial(jax.jit, static_argnames="goals")
def _exact(
    env: Environment, goals: tuple[Goal, ...], levels: Level
) -> tuple[Float[Array, "l g"], Float[Array, "l g"], Float[Array, "l g"]]:
    """Give the value of the best play, of random play, and of the pursuit of each goal (under the
    intended one, ties broken evenly)."""
    solved = worlds.solved(env, goals, levels, SCORE_GAMMA)
    world, tables, _ = solved
    optimum = jnp.stack([worlds.start_values(solved, goals, goal) for goal in goals], 1)
    chance = {size: _chance(world, table, env.max_steps) for size, table in tables.items()}
    place = worlds.places(goals)
    random = jnp.stack([chance[goal.num_memories][:, place[goal]] for goal in goals], 1)
    cost = costs(env, goals[:1], goals, solved, SCORE_GAMMA, ("mean",))["mean"][:, 0]
    return optimum, random, optimum[:, :1] - cost


def _chance(world: worlds.World, table: worlds.GoalTable, horizon: int) -> Float[Array, "l g"]:
    """Give the value of random play at the start under each of some goals."""

    def one(world: worlds.World, table: worlds.GoalTable) -> Float[Array, ""]:
        moves = worlds.moves(world, table, SCORE_GAMMA)
        q = sweeps.action_values(*moves, world.strides, horizon, "random")
        return q[world.start, 0].mean()

    return jax.vmap(jax.vmap(one, (None, 0)))(world, table)


class Referees(Players):
    """Reference players of an environment without exact play; no level is played twice."""

    title, num_played = "reference", 1

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self.known: dict[tuple[str, int], tuple[float, np.ndarray]] = {}  # value, events

    def player(self, goal: Goal) -> Policy:
        return self.env.reference(goal)

    def appraise(self, levels: Level, at_most: int) -> Worth:
        played = [self._played(goal, levels) for goal in self.env.goals]
        optimum = np.stack([values for values, _ in played], 1)
        reached = np.stack([events[:, g] >= 0 for g, (_, events) in enumerate(played)], 1)
        return Worth(optimum, reached)

    def events(self, levels: Level) -> Int[np.ndarray, "p e n g"]:
        return np.stack([self._played(goal, levels)[1][None] for goal in self.env.goals])

    def about(self) -> dict[str, Any]:
        """Tell, for each goal, on what share of all levels that it was given its player achieved it."""
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
        for chunk, count in _chunks(tree_index(levels, np.array(list(new.values()), int))):
            chunk, player = filled(chunk, CHUNK), self.player(goal)
            context = player.prepare(self.env, chunk)
            outcome, _ = jax.device_get(play_levels(self.env, player, chunk, seeded(0), context))
            for row in range(count):
                value = float(outcome.returns[row, index])
                self.known[fresh[at + row]] = value, outcome.event_step[row]
            at += count
        values, events = zip(*(self.known[name] for name in names), strict=True)
        return np.array(values, np.float32), np.array(events)


def players_of(env: Environment) -> Players:
    """Give the best players of an environment's goals that are known."""
    if env.solver is None:
        return Referees(env)
    return Tabled(env) if env.solver is oracle.TABLES else Solved(env)
