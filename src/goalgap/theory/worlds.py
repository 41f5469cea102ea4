"""Turn levels and goals into tables, and combine two goals' automata, for the rest of theory.

A level with few states becomes an array of successors; a goal becomes an array of rewards and of its
automaton's next states. To ask what the optimizer of one goal is worth to another, both automata must
run at once: a *product state* is (state, memory of the first goal, memory of the second).

Axes: l levels, g goals, s states, m memories of a goal's automaton, a actions, x product states.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8

from ..core import Environment, Goal, Level, State, UsageError, tree_index
from ..oracle import is_greedy, sweeps
from ..oracle.tables import refuse_stochastic
from .grammar import Attain, attain_tables, words

CHUNK_BYTES = 2**26  # tables worked on together, which bounds memory and keeps them near the cache
MAX_BYTES = 2**31  # what the tables of one level may take
ZERO = 1e-5  # regrets below are rounding errors of single precision


class GoalTable(NamedTuple):
    """Tabulate what every move pays under one goal, and where it takes the goal's automaton."""

    reward: Float[Array, "*l s m a"]
    memory: Int8[Array, "*l s m a"]


class World(eqx.Module):
    """Hold a batch of levels as tables, with their goals."""

    start: Int[Array, "*l"]
    successor: Int[Array, "*l s a"]
    goes_on: Bool[Array, "*l s a"]  # False where the move ends the episode
    goals: tuple[GoalTable, ...] = ()
    strides: tuple[int, ...] | None = eqx.field(static=True, default=None)  # `Environment.strides`


class Product(eqx.Module):
    """Hold one level under two goals, flattened: x = (state, first memory, second memory)."""

    start: Int[Array, ""]
    successor: Int[Array, "x a"]
    goes_on: Bool[Array, "x a"]
    rewards: tuple[Float[Array, "x a"], Float[Array, "x a"]]
    num_memories: int = eqx.field(static=True)  # of both goals together
    strides: tuple[int, ...] | None = eqx.field(static=True, default=None)


def count_states(env: Environment) -> int:
    """Count the states of a level. Raises UsageError where they cannot be enumerated."""
    level = jax.eval_shape(env.shift().train.sample, jax.random.key(0))
    try:
        states = jax.eval_shape(env.states, level)
    except NotImplementedError:
        raise UsageError(
            f"the states of {env.name} are not enumerated, so that nothing exact can be said before "
            "training; use an environment that has `states`, such as corner or dish"
        ) from None
    return jax.tree.leaves(states)[0].shape[0]


def check(env: Environment, goals: tuple[Goal, ...], num_pairs: int = 1) -> int:
    """Return how many bytes the tables of one level take.

    `num_pairs`: of goals, computed together. Raises UsageError where the states cannot be enumerated or
    are too many.
    """
    num_states = count_states(env)
    memories = sorted((goal.num_memories for goal in goals), reverse=True)
    product = num_states * math.prod((memories * 2)[:2])
    # For each pair of goals: successor, two rewards, values and their followers, for three ways of ties.
    num_bytes = 4 * env.num_actions * (12 * product * num_pairs + 3 * num_states * sum(memories))
    if num_bytes > MAX_BYTES:
        raise UsageError(
            f"{env.name}: {num_states:,} states, {product:,} with the memories of two goals, take "
            f"{num_bytes / 2**30:,.1f} GiB a level ({num_pairs:,} pairs of goals); expected at most "
            f"{MAX_BYTES >> 30} GiB: reduce the size of the board, its objects, or the number of goals"
        )
    return num_bytes


Tables = dict[int, GoalTable]  # [l g s m a] by m, the size of the automata, in the order of the goals


def by_memories(goals: tuple[Goal, ...]) -> dict[int, tuple[Goal, ...]]:
    """Group the goals by the size of their automata: goals of one size run the same program."""
    sizes = sorted({goal.num_memories for goal in goals})
    return {size: tuple(goal for goal in goals if goal.num_memories == size) for size in sizes}


def places(goals: tuple[Goal, ...]) -> dict[Goal, int]:
    """Map each goal to its position among the goals whose automata have the same size."""
    return {goal: index for group in by_memories(goals).values() for index, goal in enumerate(group)}


def pairs(
    goals: tuple[Goal, ...], by: tuple[Goal, ...]
) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """Group the pairs of different goals, as arrays (rows, columns), by the sizes of their two automata.

    Pairs of a goal with itself are left out: a goal's own optimizer costs nothing.
    """
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, one in enumerate(goals):
        for column, other in enumerate(by):
            if one != other:
                sizes = (one.num_memories, other.num_memories)
                groups.setdefault(sizes, []).append((row, column))
    arrays = ((sizes, np.array(found)) for sizes, found in groups.items())
    return {sizes: (found[:, 0], found[:, 1]) for sizes, found in arrays}


def sides(
    goals: tuple[Goal, ...], by: tuple[Goal, ...], parts: tuple[dict[int, Any], ...]
) -> Iterator[tuple[np.ndarray, np.ndarray, list[Any]]]:
    """Yield the pairs of goals in groups that run the same program, with `parts` of both sides.

    A group is (rows, columns, parts of its first goals followed by those of its second goals). `parts`
    are dictionaries (tables, values) by the size of the automaton, of all goals in the order of
    `every(goals, by)`.
    """
    place = places(every(goals, by))
    for sizes, (rows, columns) in pairs(goals, by).items():
        found = []
        for size, chosen in zip(
            sizes, ([goals[i] for i in rows], [by[j] for j in columns]), strict=True
        ):
            at = np.array([place[goal] for goal in chosen])
            found += [tree_index(part[size], (slice(None), at)) for part in parts]
        yield rows, columns, found


def every(goals: tuple[Goal, ...], by: tuple[Goal, ...]) -> tuple[Goal, ...]:
    """List all goals of both sides, once each."""
    return tuple(dict.fromkeys((*goals, *by)))


def tabulate(env: Environment, goals: tuple[Goal, ...], levels: Level) -> World:
    """Make the tables of a batch of levels, by moving from every state."""
    world, tables = tabulate_stacked(env, goals, levels)
    place = places(goals)

    def of(goal: Goal) -> GoalTable:
        return GoalTable(*(array[:, place[goal]] for array in tables[goal.num_memories]))

    return dataclasses.replace(world, goals=tuple(of(goal) for goal in goals))


def tabulate_stacked(env: Environment, goals: tuple[Goal, ...], levels: Level) -> tuple[World, Tables]:
    """Make a World without goals, and the goals' tables stacked by the size of their automata."""
    refuse_stochastic(env)
    members = by_memories(goals)

    def one(level: Level) -> tuple[World, Tables]:
        states = env.states(level)
        actions = jnp.arange(env.num_actions)

        def move(state: State, action: Int[Array, ""]) -> tuple[Array, Array, State]:
            following = env.step(level, state, action)
            return env.index(level, following), ~env.is_terminal(level, following), following

        over = jax.vmap(jax.vmap(move, (None, 0)), (0, None))
        successor, goes_on, following = over(states, actions)

        def judge(goal: Goal) -> GoalTable:
            def step(memory: Array, state: State, action: Array, after: State) -> tuple[Array, Array]:
                reward, next_memory = goal.step(level, memory, state, action, after)
                return reward.astype(jnp.float32), next_memory.astype(jnp.int8)

            by_action = jax.vmap(step, (None, None, 0, 0))
            by_memory = jax.vmap(by_action, (0, None, None, None))
            by_state = jax.vmap(by_memory, (None, 0, None, 0))
            return GoalTable(*by_state(jnp.arange(goal.num_memories), states, actions, following))

        def stack(group: tuple[Goal, ...]) -> GoalTable:
            # Goals of the grammar come by the hundred: their words are looked up once for all of them.
            attain = tuple(goal for goal in group if isinstance(goal, Attain))
            tables = [judge(goal) for goal in group if not isinstance(goal, Attain)]
            parts = [jax.tree.map(lambda *each: jnp.stack(each), *tables)] if tables else []
            if attain:
                facts = jax.vmap(jax.vmap(lambda state: words(env, level, state)))(following)
                parts.append(GoalTable(*attain_tables(env, attain, facts)))
            order = np.argsort([isinstance(goal, Attain) for goal in group], kind="stable")
            back = np.argsort(order)
            return jax.tree.map(lambda *each: jnp.concatenate(each)[back], *parts)

        start = env.index(level, env.reset(level))
        tables = {size: stack(group) for size, group in members.items()}
        return World(start, successor, goes_on, (), env.strides), tables

    return jax.vmap(one)(levels)


def moves(
    world: World, table: GoalTable, gamma: float
) -> tuple[Float[Array, "s m a"], Float[Array, "s m a"], Int[Array, "s m a"]]:
    """Arrange one level under one goal as `oracle.sweeps` wants it: reward, discount, and successor.

    The successor is an index into the flattened (s, m).
    """
    discount = jnp.broadcast_to(jnp.where(world.goes_on, gamma, 0.0)[:, None], table.reward.shape)
    return table.reward, discount, world.successor[:, None] * table.reward.shape[1] + table.memory


def action_values(world: World, table: GoalTable, gamma: float, horizon: int) -> Float[Array, "l s m a"]:
    """Compute Q* of one goal on a batch of levels, with `horizon` steps to go."""

    def one(world: World, table: GoalTable) -> Float[Array, "s m a"]:
        return sweeps.action_values(*moves(world, table, gamma), world.strides, horizon)

    return jax.vmap(one)(dataclasses.replace(world, goals=()), table)


def product(world: World, first: GoalTable, second: GoalTable) -> Product:
    """Combine the tables of one level (no leading axis) under two goals."""
    sizes = (first.reward.shape[-2], second.reward.shape[-2])
    num_states, num_actions = world.successor.shape
    whole = (num_states, *sizes, num_actions)

    def spread(table: Array) -> Array:
        """Broadcast a table [s a], [s mi 1 a] or [s 1 mj a] over the product."""
        return jnp.broadcast_to(table, whole).reshape(-1, num_actions)

    after_first = world.successor[:, None, None] * sizes[0] + first.memory[:, :, None]
    successor = after_first * sizes[1] + second.memory[:, None]
    return Product(
        world.start * sizes[0] * sizes[1],
        spread(successor),
        spread(world.goes_on[:, None, None]),
        (spread(first.reward[:, :, None]), spread(second.reward[:, None])),
        sizes[0] * sizes[1],
        world.strides,
    )


def greedy(q: Float[Array, "s m a"], num_first: int) -> Bool[Array, "x a"]:
    """Mark the greedy actions of the second goal of a product, whatever the first one's memory."""
    num_states, num_memories, num_actions = q.shape
    good = jnp.broadcast_to(is_greedy(q)[:, None], (num_states, num_first, num_memories, num_actions))
    return good.reshape(-1, num_actions)


def reachable(world: Product) -> Bool[Array, " x"]:
    """Mark the product states in which some behavior can find itself, the start included."""
    return flood(world.start, world.successor, world.goes_on)


def flood(
    start: Int[Array, ""], successor: Int[Array, "x a"], goes_on: Bool[Array, "x a"]
) -> Bool[Array, " x"]:
    """Mark what can be reached from a start by moves that do not end the episode."""

    def spread(reach: Bool[Array, " x"]) -> Bool[Array, " x"]:
        return reach.at[successor].max(reach[:, None] & goes_on)

    return sweeps.iterate(spread, jnp.zeros(len(successor), bool).at[start].set(True), len(successor))


def in_chunks(
    function: Callable[[Level], Any], levels: Level, num_bytes: int, at_most: int = 256
) -> Any:
    """Call a function on as many levels at a time as memory allows, and join its results.

    `num_bytes`: what one level takes. The last chunk is filled up, so that any number of levels runs the
    same program. Results are NumPy arrays.
    """
    count = jax.tree.leaves(levels)[0].shape[0]
    # Sets of nearly equal sizes share a program, too.
    size = min(max(1, CHUNK_BYTES // num_bytes), at_most, 2 ** math.ceil(math.log2(count)))
    parts = []
    for first in range(0, count, size):
        rows = np.arange(first, first + size) % count
        done = jax.device_get(function(tree_index(levels, rows)))
        parts.append(jax.tree.map(lambda leaf, first=first: leaf[: count - first], done))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def check_gamma(gamma: float) -> None:
    """Raise UsageError for a discount outside (0, 1)."""
    if not 0 < gamma < 1:
        raise UsageError(f"gamma is {gamma}; a discount is above 0 and below 1")


def solved(
    env: Environment, goals: tuple[Goal, ...], levels: Level, gamma: float
) -> tuple[World, Tables, dict[int, Float[Array, "l g s m a"]]]:
    """Tabulate a batch of levels, and compute Q* of every goal, by the size of the goal's automaton."""
    world, tables = tabulate_stacked(env, goals, levels)
    over_goals = jax.vmap(lambda table: action_values(world, table, gamma, env.max_steps), 1, out_axes=1)
    return world, tables, {size: over_goals(table) for size, table in tables.items()}
