"""Which goals a set of levels cannot tell apart, and what each would cost: exact, without training.

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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core import Environment, Goal, Level, UsageError
from . import worlds
from .worlds import GoalTable, Product, World

TIES = ("worst", "mean", "best")  # how a tie among greedy actions is broken, judged by the other goal


class Regrets(NamedTuple):
    """[l, i, j]: the regret under goal i, on level l, of an optimizer of goal j.

    `off_path` is the largest that the worst- or best-tie regret gets in any state that some behavior
    can reach: a level may leave a goal open from its start and yet reveal it elsewhere, which random
    starts or exploration expose.
    """

    optimum: Float[np.ndarray, "l i"]
    worst: Float[np.ndarray, "l i j"]
    mean: Float[np.ndarray, "l i j"]
    best: Float[np.ndarray, "l i j"]
    off_path_worst: Float[np.ndarray, "l i j"] | None = None
    off_path_best: Float[np.ndarray, "l i j"] | None = None


def regrets(
    env: Environment,
    goals: tuple[Goal, ...],
    by: tuple[Goal, ...],
    levels: Level,
    gamma: float,
    off_path: bool = False,
) -> Regrets:
    """The regret under each of `goals` of optimizers of each goal in `by`, level by level.

    `off_path` looks at all reachable states, too. Raises UsageError where the environment's states
    cannot be enumerated or are too many, and for a discount outside (0, 1).
    """
    worlds.check_gamma(gamma)
    num_bytes = worlds.check(env, (*goals, *by), len(goals) * len(by))
    return Regrets(
        *worlds.in_chunks(
            lambda chunk: _regrets(env, goals, by, chunk, gamma, off_path), levels, num_bytes
        )
    )


@functools.partial(jax.jit, static_argnames=("goals", "by", "gamma", "off_path"))
def _regrets(
    env: Environment,
    goals: tuple[Goal, ...],
    by: tuple[Goal, ...],
    levels: Level,
    gamma: float,
    off_path: bool,
) -> tuple[Array, ...]:
    every = tuple(dict.fromkeys((*goals, *by)))
    world, q = worlds.solved(env, every, levels, gamma)
    place = {goal: index for index, goal in enumerate(every)}
    bare = World(world.start, world.successor, world.goes_on, ())
    num_levels = world.start.shape[0]
    fields = [jnp.zeros((num_levels, len(goals), len(by))) for _ in range(5 if off_path else 3)]
    pair = functools.partial(_pair, gamma=gamma, horizon=env.max_steps, off_path=off_path)
    over_pairs = jax.vmap(jax.vmap(pair, (None, 0, 0, 0, 0)))
    for rows, columns in _by_memories(goals, by):

        def stack(parts: tuple[Any, ...], chosen: list[Goal]) -> Any:
            picked = (parts[place[goal]] for goal in chosen)
            return jax.tree.map(lambda *each: jnp.stack(each, 1), *picked)

        first, second = [goals[row] for row in rows], [by[column] for column in columns]
        tables = (world.goals, q)
        found = over_pairs(
            bare, *(stack(part, first) for part in tables), *(stack(part, second) for part in tables)
        )
        fields = [
            field.at[:, rows, columns].set(part) for field, part in zip(fields, found, strict=True)
        ]

    def at_start(goal: Goal) -> Array:
        values = q[place[goal]][:, :, 0].max(-1)
        return jnp.take_along_axis(values, world.start[:, None], 1)[:, 0]

    return (jnp.stack([at_start(goal) for goal in goals], 1), *fields)


def _by_memories(goals: tuple[Goal, ...], by: tuple[Goal, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pairs of different goals as (rows, columns), those with automata of the same sizes together:
    they run the same program. A goal's own optimizer costs nothing."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, one in enumerate(goals):
        for column, other in enumerate(by):
            if one != other:
                sizes = (one.num_memories, other.num_memories)
                groups.setdefault(sizes, []).append((row, column))
    return [(pairs[:, 0], pairs[:, 1]) for pairs in map(np.array, groups.values())]


def _pair(
    world: World,
    first: GoalTable,
    first_q: Float[Array, "s m a"],
    second: GoalTable,
    second_q: Float[Array, "s n a"],
    gamma: float,
    horizon: int,
    off_path: bool,
) -> tuple[Array, ...]:
    """What optimizers of the second goal cost under the first, on one level."""
    both = worlds.product(world, first, second)
    allowed = worlds.greedy(second_q, first_q.shape[1])
    value = restricted_values(both, allowed, gamma, horizon)
    optimum = jnp.broadcast_to(first_q.max(-1)[..., None], (*first_q.shape[:2], second_q.shape[1]))
    regret = jnp.maximum(optimum.reshape(-1, 1) - value, 0)
    regret = jnp.where(regret < worlds.ZERO, 0, regret)
    found = tuple(regret[both.start])
    if off_path:
        reach = worlds.reachable(both)[:, None]
        largest = jnp.where(reach, regret, 0).max(0)
        found += (largest[0], largest[2])
    return found


def restricted_values(
    both: Product, allowed: Bool[Array, "x a"], gamma: float, horizon: int
) -> Float[Array, "x 3"]:
    """What the first goal of a product earns by allowed actions only, in the order of TIES."""
    discount = jnp.where(both.goes_on, gamma, 0.0)
    weight = allowed / allowed.sum(-1, keepdims=True)
    pick = {
        "worst": lambda q: jnp.where(allowed, q, jnp.inf).min(-1),
        "mean": lambda q: (weight * q).sum(-1),
        "best": lambda q: jnp.where(allowed, q, -jnp.inf).max(-1),
    }

    def value(ties: str) -> Float[Array, " x"]:
        def update(value: Float[Array, " x"]) -> Float[Array, " x"]:
            following = value.at[both.successor].get(mode="promise_in_bounds")
            return pick[ties](both.rewards[0] + discount * following)

        return worlds.iterate(update, jnp.zeros(allowed.shape[0]), horizon)

    return jnp.stack([value(ties) for ties in TIES], -1)


# -- what a set of levels leaves open ---------------------------------------------------------------


def compatible(regret: Float[np.ndarray, "l j"], epsilon: float) -> Bool[np.ndarray, " j"]:
    """Which goals training leaves open: those whose optimizers lose at most `epsilon` on average
    (2304.06528's training-compatible goals). Raises UsageError for a slack outside 0 to 1."""
    check_share("epsilon", epsilon)
    return regret.mean(0) <= epsilon


def diameter(regret: Float[np.ndarray, "l j"], is_open: Bool[np.ndarray, " j"]) -> float:
    """The most that an optimizer of an open goal loses, on average over deployment levels."""
    return float(regret.mean(0)[is_open].max(initial=0.0))


def equivalence_classes(worst: Float[np.ndarray, "l g g"]) -> list[list[int]]:
    """The goals in groups that the levels cannot tell apart: every optimizer of one is an optimizer of
    the other, on every level, and the other way round."""
    is_same = (worst.max(0) <= worlds.ZERO) & (worst.max(0) <= worlds.ZERO).T
    groups: list[list[int]] = []
    for goal in range(len(is_same)):
        found = next((group for group in groups if is_same[group[0], goal]), None)
        found.append(goal) if found else groups.append([goal])
    return groups


def prior_mass(goals: tuple[Goal, ...], is_open: Bool[np.ndarray, " j"]) -> float:
    """The share of the prior 2^-bits that falls to the open goals."""
    weight = np.array([2.0**-goal.bits for goal in goals])
    return float(weight[is_open].sum() / weight.sum())


def check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UsageError(f"{name} is {value}; expected 0 to below 1, in units of return")
