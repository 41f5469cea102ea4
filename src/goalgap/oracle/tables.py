"""Exact play where states can be enumerated: value iteration on states x the goal's automaton.

Time is counted so that optimal play of a goal d steps away is worth gamma^(d-1), and k backups from
zero are exactly the value with k steps to go: no truncation error, no off-by-one (2507.03068's released
solver uses gamma^d).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..core import Environment, Goal, Level, State, UsageError
from .sweeps import action_values


def refuse_stochastic(env: Environment) -> None:
    """Raise UsageError for a world whose steps are drawn: tables hold one successor of each move."""
    if env.is_stochastic:
        raise UsageError(
            f"the steps of {env.name} are drawn at random, and tables hold one successor of each move; "
            "set its solver to None and give it reference players"
        )


class Transitions(NamedTuple):
    """Tabulate one level's dynamics under one goal. s: states, m: memories of the goal, a: actions."""

    reward: Float[Array, "s m a"]
    discount: Float[Array, "s m a"]  # 0 where the episode ends
    successor: Int[Array, "s m a"]  # index into s x m, flattened


def transitions(
    env: Environment, goal: Goal, level: Level, gamma: float, heedless: bool = False
) -> Transitions:
    """Tabulate a level by stepping the environment from each of its states.

    `heedless`: as though nothing ended the episode (a corner-seeker that walks through the cheese).
    Raises UsageError for worlds whose steps are drawn at random.
    """

    refuse_stochastic(env)

    def one(state: State, memory: Int[Array, ""], action: Int[Array, ""]) -> Transitions:
        following = env.step(level, state, action)
        reward, next_memory = goal.step(level, memory, state, action, following)
        ends = env.is_terminal(level, following) & (not heedless)
        discount = jnp.where(ends, 0.0, gamma)
        successor = env.index(level, following) * goal.num_memories + next_memory
        return Transitions(reward, discount, successor)

    over_actions = jax.vmap(one, (None, None, 0))
    over_memories = jax.vmap(over_actions, (None, 0, None))
    over_states = jax.vmap(over_memories, (0, None, None))
    return over_states(env.states(level), jnp.arange(goal.num_memories), jnp.arange(env.num_actions))


def values(
    env: Environment,
    goal: Goal,
    levels: Level,
    gamma: float,
    horizon: int,
    kind: str = "best",
    heedless: bool = False,
) -> Float[Array, "l s m a"]:
    """Compute the value of each action on a batch of levels with `horizon` steps to go.

    The best, the uniformly random or the worst play follows (`kind`). l: levels, s: states, m: memories
    of the goal, a: actions.
    """

    def one(level: Level) -> Float[Array, "s m a"]:
        table = transitions(env, goal, level, gamma, heedless)
        return action_values(*table, env.strides, horizon, kind)

    return jax.vmap(one)(levels)
