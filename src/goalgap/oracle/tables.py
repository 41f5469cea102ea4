"""Exact play where states can be enumerated: value iteration on states x the goal's automaton.

Time is counted so that optimal play of a goal d steps away is worth gamma^(d-1), and k backups from
zero are exactly the value with k steps to go: no truncation error, no off-by-one (2507.03068's released
solver uses gamma^d).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core import Environment, Goal, Level, State

CHUNK = 256  # levels solved together, to bound memory


class Transitions(NamedTuple):
    """One level's dynamics under one goal. s: states, m: memories of the goal, a: actions."""

    reward: Float[Array, "s m a"]
    discount: Float[Array, "s m a"]  # 0 where the episode ends
    successor: Int[Array, "s m a"]  # index into s x m, flattened


def transitions(
    env: Environment, goal: Goal, level: Level, gamma: float, heedless: bool = False
) -> Transitions:
    """Tabulate a level by stepping the environment from each of its states.

    `heedless`: as though nothing ended the episode (a corner-seeker that walks through the cheese).
    """

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


def backup(table: Transitions, value: Float[Array, "s m"]) -> Float[Array, "s m a"]:
    """The value of each action when `value` is what follows."""
    following = value.reshape(-1).at[table.successor].get(mode="promise_in_bounds")
    return table.reward + table.discount * following


def values(
    env: Environment,
    goal: Goal,
    levels: Level,
    gamma: float,
    horizon: int,
    kind: str = "best",
    heedless: bool = False,
) -> Float[Array, "l s m a"]:
    """The value of each action with `horizon` steps to go, followed by the best, the uniformly random
    or the worst (`kind`) play. Levels must be a batch."""
    reduce = {"best": jnp.max, "random": jnp.mean, "worst": jnp.min}[kind]
    tables = jax.vmap(lambda level: transitions(env, goal, level, gamma, heedless))(levels)
    backups = jax.vmap(backup)

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        value, _, steps = carry
        new = reduce(backups(tables, value), -1)
        return new, (new != value).any(), steps + 1

    def unfinished(carry: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        # Best and worst play stop changing once the farthest reward is known.
        return carry[1] & (carry[2] < horizon - 1)

    zero = jnp.zeros(tables.reward.shape[:-1])
    value, _, _ = jax.lax.while_loop(unfinished, sweep, (zero, jnp.array(True), jnp.array(0)))
    return backups(tables, value)
