"""Exact play: optimal values and greedy actions of any goal, batched over levels.

`solve` picks the method that the environment allows: tables where its states can be enumerated,
collection sequences for keys and chests. `Oracle` is the policy that plays a solution; it is the known
subject by which every instrument is calibrated before anything is trained.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..core import (
    Context,
    Decision,
    Environment,
    Goal,
    Level,
    Memory,
    Moment,
    Observation,
    Patch,
    Policy,
    State,
    UsageError,
)
from . import collection, tables

TOLERANCE = 1e-6  # actions this close to the best one are as good


class Solution(eqx.Module):
    """A batch of levels solved for one goal by value iteration."""

    action_values: Float[Array, "*l s m a"]

    def q(
        self, env: Environment, level: Level, state: State, memory: Int[Array, ""]
    ) -> Float[Array, " a"]:
        """Q* of one level (a row of the batch) in one state."""
        return self.action_values[env.index(level, state), memory]


def solve(env: Environment, goal: Goal, levels: Level, gamma: float, heedless: bool = False) -> Any:
    """Solve a batch of levels for a goal: a `Solution`, or a `collection.Solution` of the same face.

    `heedless` plans as though nothing ended the episode; only where play is solved by tables.
    """
    if env.exact_play == "tables":
        horizon = env.max_steps
        return Solution(tables.values(env, goal, levels, gamma, horizon, heedless=heedless))
    if env.exact_play == "collection":
        return collection.solve(env, goal, levels, gamma)
    raise UsageError(f"{env.name} has no exact play; use a trained reference instead")


CHUNK = 256  # levels solved in one compiled call: bounds memory, and compiles once for any number


def start_values(
    env: Environment, goal: Goal, levels: Level, gamma: float, kind: str = "best"
) -> Float[np.ndarray, " l"]:
    """The exact value at the start of each level of the best, uniformly random or worst play.

    The best is 0 where the goal cannot be reached in time. For keys and chests it is that of play
    without a time limit (`is_solvable` drops the levels where that matters), and random play is not
    solved: raises UsageError, estimate it with episodes.
    """
    if env.exact_play == "tables":
        return _in_chunks(lambda chunk: _table_values(env, goal, chunk, gamma, kind), levels)
    if kind == "random":
        raise UsageError(f"{env.name} has no exact value of random play; estimate it with episodes")
    if kind == "worst":
        return np.asarray(collection.worst(env, goal, levels, gamma))

    return _in_chunks(
        lambda chunk: _at_start(env, solve(env, goal, chunk, gamma), chunk).max(-1), levels
    )


def is_solvable(env: Environment, goal: Goal, levels: Level, gamma: float) -> Bool[np.ndarray, " l"]:
    """On which levels optimal play achieves the goal's event in time, to a value known exactly."""
    if env.exact_play == "tables":
        return start_values(env, goal, levels, gamma) > 0

    def achieves(chunk: Level) -> Array:
        is_exact, end = solve(env, goal, chunk, gamma).play_out(env, chunk)
        return is_exact & jax.vmap(goal.is_achieved)(chunk, end)

    return _in_chunks(achieves, levels)


def _in_chunks(function: Callable[[Level], Array], levels: Level) -> np.ndarray:
    """A function of a batch of levels, called on CHUNK of them at a time."""
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
    start = _at_start(env, Solution(action_values), levels)
    return {"best": jnp.max, "random": jnp.mean, "worst": jnp.min}[kind](start, -1)


@jax.jit
def _at_start(env: Environment, solution: Any, levels: Level) -> Float[Array, "l a"]:
    memory = jnp.zeros((), int)
    return jax.vmap(lambda row, level: row.q(env, level, env.reset(level), memory))(solution, levels)


class Oracle(Policy):
    """Plays optimally for its first goal while there is anything left to gain, then for the next.

    Ties are broken uniformly. When nothing is left for any goal it stands still where it can, so that
    a perfect corner-seeker stays in its corner. It sees the state itself, not the observation.
    """

    goals: tuple[Goal, ...]
    gamma: float = eqx.field(static=True, default=0.999)
    heedless: bool = eqx.field(static=True, default=False)

    def prepare(self, env: Environment, levels: Level) -> Context:
        return tuple(solve(env, goal, levels, self.gamma, self.heedless) for goal in self.goals)

    def view(self, env: Environment, moment: Moment, context: Context) -> Observation:
        """Q* under each goal [batch, goals, actions], and which actions change nothing."""

        def look(level: Level, state: State, memories: Any, rows: Any) -> tuple[Array, Array]:
            by_name = dict(zip((goal.name for goal in env.goals), memories, strict=True))
            q = [
                row.q(env, level, state, by_name[goal.name])
                for goal, row in zip(self.goals, rows, strict=True)
            ]
            stays = jax.vmap(
                lambda action: jax.tree.reduce(
                    jnp.logical_and,
                    jax.tree.map(lambda a, b: (a == b).all(), env.step(level, state, action), state),
                )
            )(jnp.arange(env.num_actions))
            return jnp.stack(q), stays

        return jax.vmap(look)(moment.level, moment.state, moment.goal_memories, context)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        q, stays = observation
        best = q.max(-1)
        first = jnp.argmax(best > TOLERANCE, -1)  # 0 when there is none
        q = jnp.take_along_axis(q, first[:, None, None], 1)[:, 0]
        value = jnp.take_along_axis(best, first[:, None], 1)[:, 0]
        idle = stays | ~stays.any(-1, keepdims=True)
        good = jnp.where(value[:, None] > TOLERANCE, is_greedy(q), jnp.asarray(idle))
        logits = jnp.where(good, 0.0, -jnp.inf)
        return Decision(logits, value, memory, {})


def is_greedy(q: Float[Array, "*b a"]) -> Bool[Array, "*b a"]:
    """Which actions are as good as the best."""
    best = q.max(-1, keepdims=True)
    return q >= best - TOLERANCE * jnp.maximum(1.0, jnp.abs(best))
