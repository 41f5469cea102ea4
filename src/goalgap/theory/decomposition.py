"""Say why a policy loses: outer gap + inner gap + competence residual, exactly, level by level.

Three goals: what is wanted, what training pays, and what the policy turned out to pursue. With ties
broken uniformly (the policies pi_designed and pi_revealed),

    V*_wanted - V(pi) = [V*_wanted - V(pi_designed)]        outer gap: the reward was the wrong one
                      + [V(pi_designed) - V(pi_revealed)]   inner gap: another goal was learned
                      + [V(pi_revealed) - V(pi)]            competence: it is not pursued perfectly

all under the wanted goal. The terms add up exactly and may be negative; the last one also holds what the
policy's own way of breaking ties costs. Goal misgeneralization proper has outer gap 0 everywhere, and an
inner gap of 0 in training that is above 0 after the shift; specification gaming has an outer gap.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..core import Environment, Goal, Level, Policy, Situation, State
from ..oracle import sweeps
from . import worlds
from .underspecification import regrets
from .worlds import GoalTable, World


class Decomposition(NamedTuple):
    """Hold the regret under the wanted goal, and its three parts, on each level."""

    regret: Float[np.ndarray, "*l"]
    outer: Float[np.ndarray, "*l"]
    inner: Float[np.ndarray, "*l"]
    competence: Float[np.ndarray, "*l"]


def decompose(
    env: Environment,
    wanted: Goal,
    designed: Goal,
    revealed: Goal,
    levels: Level,
    values: Float[np.ndarray, " l"],
    gamma: float,
) -> Decomposition:
    """Split the regret of a policy with (expected) returns `values` under the wanted goal.

    The returns, one for each level, come from `policy_values`, or from episodes discounted by the same
    `gamma`.
    """
    found = regrets(env, (wanted,), (designed, revealed), levels, gamma, ("mean",))
    assert found.mean is not None
    optimum = found.optimum[:, 0]
    by_designed, by_revealed = (optimum - cost for cost in found.mean[:, 0].T)
    return split(optimum, by_designed, by_revealed, values)


def split(
    optimum: Float[np.ndarray, "*l"],
    by_designed: Float[np.ndarray, "*l"],
    by_revealed: Float[np.ndarray, "*l"],
    values: Float[np.ndarray, "*l"],
) -> Decomposition:
    """Split a regret into its parts, from four values under the wanted goal on each level.

    `optimum` is what optimal play earns, `by_designed` and `by_revealed` what pursuit of the designed
    and of the revealed goal earns, `values` what the policy earns.
    """
    outer, inner = optimum - by_designed, by_designed - by_revealed
    return Decomposition(optimum - values, outer, inner, by_revealed - values)


def policy_values(
    env: Environment, goals: tuple[Goal, ...], policy: Policy, levels: Level, gamma: float
) -> Float[np.ndarray, "l g"]:
    """Compute the exact value at the start of each level, under each goal, of a policy without memory.

    The policy is asked once for every state, and no episode is played.
    """
    worlds.check_gamma(gamma)
    num_bytes = worlds.check(env, goals)
    return worlds.in_chunks(
        lambda chunk: _policy_values(env, goals, policy, chunk, gamma), levels, num_bytes
    )


@functools.partial(jax.jit, static_argnames=("goals", "gamma"))
def _policy_values(
    env: Environment, goals: tuple[Goal, ...], policy: Policy, levels: Level, gamma: float
) -> Float[Array, "l g"]:
    world = worlds.tabulate(env, goals, levels)
    num_states = world.successor.shape[1]

    def ask(level: Level, states: State) -> Float[Array, "s a"]:
        repeated = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_states, *leaf.shape)), level)
        fresh: tuple[Int[Array, " s"], ...] = (jnp.zeros(num_states, int),) * len(env.goals)
        situation = Situation(repeated, states, fresh, jnp.zeros(num_states, int))
        seen = policy.view(env, situation, None)
        return jax.nn.softmax(policy(seen, policy.initial(num_states)).logits)

    # One level after another: a network's activations on all states of all levels would not fit.
    chosen = jax.lax.map(lambda level: ask(level, env.states(level)), levels)
    values = [_evaluate(world, table, chosen, gamma, env.max_steps) for table in world.goals]
    return jnp.stack(values, 1)


def _evaluate(
    world: World, table: GoalTable, policy: Float[Array, "l s a"], gamma: float, horizon: int
) -> Float[Array, " l"]:
    """Compute the value of a policy at the start of each level, under one goal."""

    def one(world: World, table: GoalTable, policy: Float[Array, "s a"]) -> Float[Array, ""]:
        reward, discount, successor = worlds.moves(world, table, gamma)
        num_memories, num_actions = reward.shape[1:]
        follow = sweeps.follower(successor.reshape(-1, num_actions), num_memories, world.strides)
        chance = jnp.broadcast_to(policy[:, None], reward.shape).transpose(2, 1, 0)
        now = sweeps.expect(chance, reward.transpose(2, 1, 0))
        stays = chance * discount.transpose(2, 1, 0)
        value = sweeps.iterate(
            lambda value: now + sweeps.expect(stays, follow(value)), jnp.zeros_like(now), horizon
        )
        return value[0, world.start]

    return jax.vmap(one)(dataclasses.replace(world, goals=()), table, policy)
