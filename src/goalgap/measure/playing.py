"""Episodes on levels of an exam, each kind of play one compiled program."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ..agents.scripted import Random
from ..compilation import QUICKLY
from ..core import Environment, Level, Outcome, Policy, State
from ..oracle import Pursuer
from ..rollout import episodes
from .exam import SCORE_GAMMA

NUM_RECORDED = 8  # episodes of the first seed whose states are kept


def play_levels(
    env: Environment,
    policy: Policy,
    levels: Level,
    key: Key[Array, ""],
    context: Any = None,
    fleet: bool = False,
) -> tuple[Outcome, State]:
    """Play one episode a level. With `fleet`, the policy's arrays lead with an axis of seeds.

    Returns also the states [steps + 1, few] of the (first seed's) first NUM_RECORDED episodes.
    """
    if policy.on_host:
        return _few(_recorded(env, policy, levels, key, context))
    return _play(env, policy, levels, key, context, fleet)


@functools.partial(jax.jit, compiler_options=QUICKLY)
def luck(number: Int[Array, ""] | int, index: Int[Array, ""] | int) -> Key[Array, ""]:
    """Make the key that episodes on a split (by its `index`) draw from, in the sitting of a number."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(7), number), index)


@jax.jit
def seeded(number: Int[Array, ""] | int) -> Key[Array, ""]:
    """Make a random key out of a number."""
    return jax.random.key(number)


@functools.partial(jax.jit, static_argnames="fleet", compiler_options=QUICKLY)
def _play(
    env: Environment, policy: Policy, levels: Level, key: Key[Array, ""], context: Any, fleet: bool
) -> tuple[Outcome, State]:
    def one(policy: Policy) -> tuple[Outcome, State]:
        return _few(_recorded(env, policy, levels, key, context))

    if not fleet:
        return one(policy)
    outcome, path = jax.vmap(one)(policy)
    return outcome, jax.tree.map(lambda leaf: leaf[0], path)


def _few(played: tuple[Outcome, State]) -> tuple[Outcome, State]:
    outcome, path = played
    return outcome, jax.tree.map(lambda leaf: leaf[:, :NUM_RECORDED], path)


def _recorded(
    env: Environment, policy: Policy, levels: Level, key: Key[Array, ""], context: Any
) -> tuple[Outcome, State]:
    outcome, trace = episodes(env, policy, levels, key, SCORE_GAMMA, context, (), ("state",))
    assert trace is not None
    return outcome, trace.state


@functools.partial(jax.jit, static_argnames="count", compiler_options=QUICKLY)
def walks(env: Environment, levels: Level, key: Key[Array, ""], count: int) -> Outcome:
    """Play `count` random episodes on each level; outcomes are [count, levels]."""
    policy = Random(env.num_actions)

    def walk(number: Array) -> Outcome:
        return episodes(env, policy, levels, jax.random.fold_in(key, number), SCORE_GAMMA)[0]

    return jax.lax.map(walk, jnp.arange(count))


@functools.partial(jax.jit, compiler_options=QUICKLY)
def play_oracles(
    env: Environment, levels: Level, q: Float[Array, "l g s m a"], number: Int[Array, ""] | int
) -> tuple[Outcome, State]:
    """Play the oracle of every goal on each level, in one program, where play is solved by tables.

    `q` are the values of all goals. Returns outcomes [goals, levels], and the states [goals, steps + 1,
    few] of the first NUM_RECORDED levels.
    """
    key = jax.random.key(number)

    def one(goal: Array, q: Array) -> tuple[Outcome, State]:
        return _few(_recorded(env, Pursuer(goal), levels, key, q))

    return jax.vmap(one, (0, 1))(jnp.arange(len(env.goals)), q)


def filled(levels: Level, size: int) -> Level:
    """Repeat the levels of a batch until there are `size` of them."""
    return jax.tree.map(lambda leaf: np.resize(leaf, (size, *np.shape(leaf)[1:])), levels)
