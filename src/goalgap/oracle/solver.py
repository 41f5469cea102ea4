"""Exact play: optimal values and greedy actions of any goal, batched over levels.

An environment says how it is solved with its class variable `solver`: `TABLES` where its states can be
enumerated, a `Solver` of its own elsewhere, or None.
"""

import abc
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..core import Environment, Goal, Level, State, UsageError
from . import tables

CHUNK = 256  # levels solved in one compiled call: bounds memory, and compiles once for any number
KINDS = ("best", "random", "worst")  # of play whose exact value at the start may be known


class Solver(abc.ABC):
    """Solve environments of one kind: a method of exact play."""

    kinds: ClassVar[tuple[str, ...]] = KINDS  # those of `KINDS` that `start_values` knows
    knows_luck: ClassVar[bool] = False  # whether it solves worlds whose steps draw from their key

    @abc.abstractmethod
    def solve(
        self, env: Environment, goal: Goal, levels: Level, gamma: float, heedless: bool = False
    ) -> Any:
        """Solve a batch of levels for a goal; return an `eqx.Module` with the methods of `Solution`.

        `heedless` plans as though nothing ended the episode; raises UsageError where that cannot be.
        """

    @abc.abstractmethod
    def start_values(
        self, env: Environment, goal: Goal, levels: Level, gamma: float, kind: str
    ) -> Float[np.ndarray, " l"]:
        """Give the value of a kind of play, one of `kinds`, at the start of each level."""

    @abc.abstractmethod
    def is_solvable(
        self, env: Environment, goal: Goal, levels: Level, gamma: float
    ) -> Bool[np.ndarray, " l"]:
        """Tell on which levels optimal play achieves the goal's event in time."""


class Solution(eqx.Module):
    """Hold a batch of levels solved for one goal by value iteration.

    l: levels, s: states, m: memories of the goal, a: actions.
    """

    action_values: Float[Array, "*l s m a"]

    def q(
        self, env: Environment, level: Level, state: State, memory: Int[Array, ""]
    ) -> Float[Array, " a"]:
        """Give Q* of one level (a row of the batch) in one state."""
        return self.action_values[env.index(level, state), memory]


class Tables(Solver):
    """Solve, by value iteration, environments whose `states` and `index` enumerate what can happen."""

    def solve(
        self, env: Environment, goal: Goal, levels: Level, gamma: float, heedless: bool = False
    ) -> Solution:
        return _table_solution(env, goal, levels, gamma, heedless)

    def start_values(
        self, env: Environment, goal: Goal, levels: Level, gamma: float, kind: str
    ) -> Float[np.ndarray, " l"]:
        return in_chunks(lambda chunk: _table_values(env, goal, chunk, gamma, kind), levels)

    def is_solvable(
        self, env: Environment, goal: Goal, levels: Level, gamma: float
    ) -> Bool[np.ndarray, " l"]:
        return self.start_values(env, goal, levels, gamma, "best") > 0


TABLES = Tables()


def solver_of(env: Environment) -> Solver:
    """Give the environment's solver. Raises UsageError where play is not solved exactly."""
    if env.solver is None:
        raise UsageError(f"{env.name} has no exact play; use its reference players instead")
    return env.solver


def solve(env: Environment, goal: Goal, levels: Level, gamma: float, heedless: bool = False) -> Any:
    """Solve a batch of levels for a goal by the environment's own method.

    `heedless` plans as though nothing ended the episode; only where play is solved by tables. Raises
    UsageError where play is not solved exactly.
    """
    return solver_of(env).solve(env, goal, levels, gamma, heedless)


def start_values(
    env: Environment, goal: Goal, levels: Level, gamma: float, kind: str = "best"
) -> Float[np.ndarray, " l"]:
    """Give the exact value at the start of each level of the best, uniformly random or worst play.

    The value of the best play is 0 where the goal cannot be reached in time. For keys and chests it is
    that of play without a time limit (`is_solvable` drops the levels where that matters), and random
    play is not solved: raises UsageError, estimate it with episodes.
    """
    solver = solver_of(env)
    if kind not in solver.kinds:
        raise UsageError(f"{env.name} has no exact value of {kind} play; estimate it with episodes")
    return solver.start_values(env, goal, levels, gamma, kind)


def is_solvable(env: Environment, goal: Goal, levels: Level, gamma: float) -> Bool[np.ndarray, " l"]:
    """Tell on which levels optimal play achieves the goal's event in time, to a value known exactly.

    Raises UsageError where play is not solved exactly.
    """
    return solver_of(env).is_solvable(env, goal, levels, gamma)


def in_chunks(function: Callable[[Level], Array], levels: Level) -> np.ndarray:
    """Call a function of a batch of levels on CHUNK of them at a time, and join its results."""
    count = jax.tree.leaves(levels)[0].shape[0]
    padded = jax.tree.map(lambda x: np.resize(x, (-(-count // CHUNK) * CHUNK, *x.shape[1:])), levels)
    parts = [
        function(jax.tree.map(lambda x, at=at: x[at : at + CHUNK], padded))
        for at in range(0, count, CHUNK)
    ]
    return np.concatenate([np.asarray(part) for part in parts])[:count]


@functools.partial(jax.jit, static_argnames=("gamma", "kind"))
def _table_values(
    env: Environment, goal: Goal, levels: Level, gamma: float, kind: str
) -> Float[Array, " l"]:
    action_values = tables.values(env, goal, levels, gamma, env.max_steps, kind)
    start = at_start(env, Solution(action_values), levels)
    return {"best": jnp.max, "random": jnp.mean, "worst": jnp.min}[kind](start, -1)


@functools.partial(jax.jit, static_argnames=("gamma", "heedless"))
def _table_solution(
    env: Environment, goal: Goal, levels: Level, gamma: float, heedless: bool
) -> Solution:
    return Solution(tables.values(env, goal, levels, gamma, env.max_steps, heedless=heedless))


@jax.jit
def at_start(env: Environment, solution: Any, levels: Level) -> Float[Array, "l a"]:
    """Give the value of each action at the start of each level of a solved batch."""
    memory = jnp.zeros((), int)
    return jax.vmap(lambda row, level: row.q(env, level, env.reset(level), memory))(solution, levels)
