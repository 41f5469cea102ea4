"""Work out exactly, without training, which goals levels cannot tell apart and what each costs.

A policy is optimal for goal j if and only if it takes only j-greedy actions where it goes. So the most,
the least and the average that j-optimal policies earn under goal i come from value iteration on the
product of cells and both goals' automata, with actions restricted to the j-greedy ones and the maximum,
the minimum or the mean over them. A level with worst-tie regret 0 is non-distinguishing (2507.03068,
definition 1), above C possibly C-distinguishing (definition 2); with best-tie regret above C it is
*surely* so: no lucky tie-break rescues the optimizer of j.

All values are those of an episode of `max_steps` steps, discounted by `gamma`; ties may be broken anew
at every step.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core import Environment, Goal, Level, UsageError
from ..oracle import sweeps
from . import worlds
from .worlds import GoalTable, Product, World

TIES = ("worst", "mean", "best")  # how a tie among greedy actions is broken, judged by the other goal


class Regrets(NamedTuple):
    """Hold the regret [l, i, j] under goal i, on level l, of an optimizer of goal j.

    There is one array for each way of breaking ties that was asked for. `optimum` is what optimal play
    of goal i earns.

    `off_path` is the largest that the worst-tie regret gets in any state that some behavior can reach: a
    level may leave a goal open from its start and yet reveal it elsewhere, which random starts or
    exploration expose.
    """

    optimum: Float[np.ndarray, "l i"]
    worst: Float[np.ndarray, "l i j"]
    mean: Float[np.ndarray, "l i j"] | None = None
    best: Float[np.ndarray, "l i j"] | None = None
    off_path: Float[np.ndarray, "l i j"] | None = None


def regrets(
    env: Environment,
    goals: tuple[Goal, ...],
    by: tuple[Goal, ...],
    levels: Level,
    gamma: float,
    ties: tuple[str, ...] = TIES,
    off_path: bool = False,
) -> Regrets:
    """Compute the regret under each of `goals` of optimizers of each goal in `by`, level by level.

    `ties` names the ways of breaking ties to compute beside the worst; `off_path` looks at all reachable
    states, too. Raises UsageError where the environment's states cannot be enumerated or are too many,
    and for a discount outside (0, 1).
    """
    worlds.check_gamma(gamma)
    num_bytes = worlds.check(env, (*goals, *by), len(goals) * len(by))
    ties = tuple(dict.fromkeys(("worst", *ties)))
    found = worlds.in_chunks(
        lambda chunk: _regrets(env, goals, by, chunk, gamma, ties, off_path), levels, num_bytes
    )
    return Regrets(**found)


@functools.partial(jax.jit, static_argnames=("goals", "by", "gamma", "ties", "off_path"))
def _regrets(
    env: Environment,
    goals: tuple[Goal, ...],
    by: tuple[Goal, ...],
    levels: Level,
    gamma: float,
    ties: tuple[str, ...],
    off_path: bool,
) -> dict[str, Array]:
    every = worlds.every(goals, by)
    world, tables, q = worlds.solved(env, every, levels, gamma)
    place = worlds.places(every)
    num_levels = world.start.shape[0]
    names = (*ties, "off_path") if off_path else ties
    found = {name: jnp.zeros((num_levels, len(goals), len(by))) for name in names}
    pair = functools.partial(_pair, gamma=gamma, horizon=env.max_steps, ties=ties, off_path=off_path)
    over_pairs = jax.vmap(jax.vmap(pair, (None, 0, 0, 0, 0)))
    for rows, columns, sides in worlds.sides(goals, by, (tables, q)):
        costs = over_pairs(world, *sides)
        found = {name: found[name].at[:, rows, columns].set(costs[name]) for name in names}
    start = jnp.arange(num_levels), world.start
    values = [q[goal.num_memories][:, place[goal], :, 0].max(-1)[start] for goal in goals]
    return {"optimum": jnp.stack(values, 1), **found}


def _pair(
    world: World,
    first: GoalTable,
    first_q: Float[Array, "s m a"],
    second: GoalTable,
    second_q: Float[Array, "s n a"],
    gamma: float,
    horizon: int,
    ties: tuple[str, ...],
    off_path: bool,
) -> dict[str, Array]:
    """Compute what optimizers of the second goal cost under the first, on one level."""
    both = worlds.product(world, first, second)
    allowed = worlds.greedy(second_q, first_q.shape[1])
    optimum = jnp.broadcast_to(first_q.max(-1)[..., None], (*first_q.shape[:2], second_q.shape[1]))

    def regret(how: str) -> Float[Array, " x"]:
        value = restricted_values(both, allowed, gamma, horizon, how)
        found = optimum.reshape(-1) - value
        return jnp.where(found < worlds.ZERO, 0, found)

    everywhere = {how: regret(how) for how in ties}
    found = {how: each[both.start] for how, each in everywhere.items()}
    if off_path:
        found["off_path"] = jnp.where(worlds.reachable(both), everywhere["worst"], 0).max()
    return found


def restricted_values(
    both: Product, allowed: Bool[Array, "x a"], gamma: float, horizon: int, ties: str
) -> Float[Array, " x"]:
    """Compute what the first goal of a product earns by allowed actions only.

    `ties`, one of TIES, says which of several allowed actions is taken.
    """
    may = sweeps.pack(allowed, both.num_memories)
    reward = sweeps.pack(both.rewards[0], both.num_memories)
    discount = sweeps.pack(jnp.where(both.goes_on, gamma, 0.0), both.num_memories)
    follow = sweeps.follower(both.successor, both.num_memories, both.strides)
    chance = may / may.sum(0)
    pick = {
        "worst": lambda q: jnp.where(may, q, jnp.inf).min(0),
        "mean": lambda q: sweeps.expect(chance, q),
        "best": lambda q: jnp.where(may, q, -jnp.inf).max(0),
    }[ties]

    def update(value: Float[Array, "m s"]) -> Float[Array, "m s"]:
        return pick(reward + discount * follow(value))

    return sweeps.unpack(sweeps.iterate(update, jnp.zeros(reward.shape[1:]), horizon))


# -- what a set of levels leaves open ---------------------------------------------------------------


def compatible(regret: Float[np.ndarray, "l j"], epsilon: float) -> Bool[np.ndarray, " j"]:
    """Mark the goals that training leaves open: their optimizers lose at most `epsilon` on average.

    They are 2304.06528's training-compatible goals. Raises UsageError for a slack outside 0 to 1.
    """
    check_share("epsilon", epsilon)
    return regret.mean(0) <= epsilon


def diameter(regret: Float[np.ndarray, "l j"], is_open: Bool[np.ndarray, " j"]) -> float:
    """Return the most that an optimizer of an open goal loses, on average over deployment levels."""
    return float(regret.mean(0)[is_open].max(initial=0.0))


def equivalence_classes(worst: Float[np.ndarray, "l g g"]) -> list[list[int]]:
    """Group the goals, by index, that the levels cannot tell apart.

    Two goals are alike if every optimizer of one is an optimizer of the other, on every level, and the
    other way round.
    """
    is_same = (worst.max(0) <= worlds.ZERO) & (worst.max(0) <= worlds.ZERO).T
    groups: list[list[int]] = []
    for goal in range(len(is_same)):
        found = next((group for group in groups if is_same[group[0], goal]), None)
        found.append(goal) if found else groups.append([goal])
    return groups


def prior_mass(goals: tuple[Goal, ...], is_open: Bool[np.ndarray, " j"]) -> float:
    """Return the share of the prior 2^-bits that falls to the open goals."""
    weight = np.array([2.0**-goal.bits for goal in goals])
    return float(weight[is_open].sum() / weight.sum())


def check_share(name: str, value: float) -> None:
    """Raise UsageError, naming the setting, for a value outside 0 to 1 (exclusive)."""
    if not 0 <= value < 1:
        raise UsageError(f"{name} is {value}; expected 0 to below 1, in units of return")
