"""Find goals that no agent could pursue from what it sees.

An agent without memory cannot act differently where observations are equal. If some observation stands
for states whose optimal actions have none in common, the goal is *unreadable*: not merely not learned.
States of one level are merged with those of the same level begun elsewhere, so that a goal that refers
to the start is found out.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core import Environment, Goal, Level, hash_bits
from ..oracle import is_greedy
from . import worlds

NUM_STARTS = 8


def unreadable(
    env: Environment, goals: tuple[Goal, ...], levels: Level, gamma: float
) -> Float[np.ndarray, " g"]:
    """Compute for each goal the share of levels on which it is unreadable.

    There, some observation demands two different things of an optimizer of the goal. Where levels cannot
    be restarted elsewhere, only states of one level are merged.
    """
    worlds.check_gamma(gamma)
    num_bytes = worlds.check(env, goals) * NUM_STARTS
    observed, actions = worlds.in_chunks(
        lambda chunk: _demands(env, goals, chunk, gamma), levels, num_bytes, at_most=64
    )
    num_levels, num_rows = observed.shape[0], observed.shape[1]
    conflict = np.zeros((num_levels, len(goals)), bool)
    for level in range(num_levels):
        _, group = np.unique(observed[level].reshape(num_rows, -1), axis=0, return_inverse=True)
        for index, demanded in enumerate(actions):
            shared = np.full(group.max() + 1, 2**env.num_actions - 1)
            # Each state's demands, after any memory: bits of the actions that are optimal there.
            for memory in range(demanded.shape[-1]):
                np.bitwise_and.at(shared, group.reshape(-1), demanded[level, :, memory])
            conflict[level, index] = (shared == 0).any()
    return conflict.mean(0)


@functools.partial(jax.jit, static_argnames=("goals", "gamma"))
def _demands(
    env: Environment, goals: tuple[Goal, ...], levels: Level, gamma: float
) -> tuple[Array, list[Array]]:
    """Hash what is seen in each state of levels and their restarts; tabulate what each goal demands.

    Returns the hashes [l, n, 2] and, for each goal, the optimal actions as bits [l, n, m]; states that
    no behavior reaches demand nothing.
    """

    def variants(level: Level) -> Level:
        states = env.states(level)
        reach = _reach(env, level)
        # Spread over the states that are reachable from the level's own start.
        order = jnp.argsort(~reach, stable=True)
        chosen = order[jnp.linspace(0, jnp.maximum(reach.sum() - 1, 0), NUM_STARTS).astype(int)]
        try:
            return jax.vmap(lambda at: env.restart(level, jax.tree.map(lambda s: s[at], states)))(chosen)
        except NotImplementedError:
            return jax.tree.map(lambda leaf: leaf[None], level)

    many = jax.vmap(variants)(levels)
    num_levels = len(jax.tree.leaves(levels)[0])
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), many)
    world = worlds.tabulate(env, goals, flat)
    reach = jax.vmap(lambda level: _reach(env, level))(flat)

    def look(level: Level) -> Array:
        return jax.vmap(lambda state: hash_bits(env.observe(level, state)))(env.states(level))

    observed = jax.lax.map(look, flat).reshape(num_levels, -1, 2)
    bits = 1 << np.arange(env.num_actions)
    demands = []
    for table in world.goals:
        q = worlds.action_values(world, table, gamma, env.max_steps)
        good = jnp.where(is_greedy(q) | ~reach[..., None, None], bits, 0).sum(-1)
        demands.append(good.reshape(num_levels, -1, good.shape[-1]))
    return observed, demands


def _reach(env: Environment, level: Level) -> Array:
    """Mark the states of a level that some behavior reaches from its start."""
    world = worlds.tabulate(env, (), jax.tree.map(lambda leaf: leaf[None], level))
    return worlds.flood(world.start[0], world.successor[0], world.goes_on[0])
