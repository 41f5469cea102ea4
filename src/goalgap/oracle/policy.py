"""Policies that play a goal's exact solution: known subjects by which instruments are calibrated."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core import (
    Context,
    Decision,
    Environment,
    Goal,
    Level,
    Memory,
    Observation,
    Patch,
    Policy,
    Situation,
    State,
)
from .solver import solve

TOLERANCE = 1e-6  # actions this close to the best one are as good


class Oracle(Policy):
    """Play optimally for the first of several goals while anything is left to gain, then for the next.

    Ties are broken uniformly. When nothing is left for any goal the oracle stands still where it can, so
    that a perfect corner-seeker stays in its corner. It sees the state itself, not the observation.
    `prepare` raises UsageError for environments without exact play.
    """

    goals: tuple[Goal, ...]
    gamma: float = eqx.field(static=True, default=0.999)
    heedless: bool = eqx.field(static=True, default=False)

    def prepare(self, env: Environment, levels: Level) -> Context:
        return tuple(solve(env, goal, levels, self.gamma, self.heedless) for goal in self.goals)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        """Return Q* under each goal, [batch, goals, actions], and which actions change nothing."""

        def look(level: Level, state: State, memories: Any, rows: Any) -> tuple[Array, Array]:
            by_name = dict(zip((goal.name for goal in env.goals), memories, strict=True))
            q = [
                row.q(env, level, state, by_name[goal.name])
                for goal, row in zip(self.goals, rows, strict=True)
            ]
            return jnp.stack(q), stays(env, level, state)

        return jax.vmap(look)(situation.level, situation.state, situation.goal_memories, context)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        q, stays = observation
        return decide(q, stays, memory)


class Pursuer(Policy):
    """Play as the `Oracle` of one of the environment's goals, chosen by number at run time.

    Vmapped, the oracles of all goals are one program. The context is Q*, [batch, states, memories,
    actions].
    """

    goal: Int[Array, ""]

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        """Give Q* [batch, 1, actions], and which actions change nothing."""
        memory = jnp.stack(situation.goal_memories)[self.goal]

        def look(level: Level, state: State, memory: Array, q: Array) -> tuple[Array, Array]:
            return q[env.index(level, state), memory][None], stays(env, level, state)

        return jax.vmap(look)(situation.level, situation.state, memory, context)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        q, stays = observation
        return decide(q, stays, memory)


def stays(env: Environment, level: Level, state: State) -> Bool[Array, " a"]:
    """Tell which actions change nothing."""

    def same(action: Array) -> Array:
        after = env.step(level, state, action)
        return jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda a, b: (a == b).all(), after, state))

    return jax.vmap(same)(jnp.arange(env.num_actions))


def decide(q: Float[Array, "b g a"], stays: Bool[Array, "b a"], memory: Memory) -> Decision:
    """Choose a best action for the first goal that has anything left to gain; else stand still."""
    best = q.max(-1)
    first = jnp.argmax(best > TOLERANCE, -1)  # 0 when there is none
    q = jnp.take_along_axis(q, first[:, None, None], 1)[:, 0]
    value = jnp.take_along_axis(best, first[:, None], 1)[:, 0]
    idle = stays | ~stays.any(-1, keepdims=True)
    good = jnp.where(value[:, None] > TOLERANCE, is_greedy(q), jnp.asarray(idle))
    return Decision(jnp.where(good, 0.0, -jnp.inf), value, memory, {})


def is_greedy(q: Float[Array, "*b a"]) -> Bool[Array, "*b a"]:
    """Mark the actions that are as good as the best, up to TOLERANCE."""
    best = q.max(-1, keepdims=True)
    return q >= best - TOLERANCE * jnp.maximum(1.0, jnp.abs(best))


def expert(env: Environment, goal: Goal) -> Policy:
    """Give the best known player of a goal: the oracle, or else the environment's reference player."""
    return env.reference(goal) if env.solver is None else Oracle((goal,))
