"""Measure how far apart two goals are as rewards: 0 if they order policies alike, 1 if reversed.

Each distance first makes rewards canonical, which takes potential shaping out, then compares directions.

- `starc`: the residual of the orthogonal projection onto shapings; `starc-value`: R - V + gamma E V',
  the advantages of uniformly random play (2309.15257: the minimal canonicalization for the L2 norm, and
  the one by a policy's value). Both are normalized by, and compared in, the L2 norm over the moves of
  all states that behavior can reach before the end. Departure: half of the distance, to be in [0, 1].
- `epic` (2006.13900): R + E[gamma R(s', A, S') - R(s, A, S') - gamma R(S, A, S')] with S, S', A uniform,
  compared by sqrt((1 - Pearson) / 2) over all triples (s, a, s'), possible or not. It knows of no end:
  states that end the episode are among S and S' like any other.
- `dard` (2201.10081): R + E[gamma R(s', A, S'') - R(s, A, S') - gamma R(S', A, S'')] with S' = T(s, A)
  and S'' = T(s', A), compared in the same way over possible moves. Departure: where the episode has
  ended, nothing moves and s' earns nothing more, since the paper's tasks have no end.

Goals far apart after the shift but at distance 0 in training are the proxies to fear. Judge that by
`starc`: `epic` and `dard` also look at moves that nobody can make, such as those after the end, by which
goals may differ that coincide in every episode (a first visit to a corner where the cheese ends the
episode).

States are products with both goals' automata, so that first-visit goals are exact. A goal whose
canonical reward vanishes, being all shaping, has no direction: its distance is 0 from another such goal
and 1/2 from any other, as follows from 2309.15257's definition (2006.13900 leaves it open).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..core import Environment, Goal, Level, State, UsageError, tree_index
from . import worlds
from .shaping import TOLERANCE, action_values, end_to_end, policy_values, residual

KINDS = ("starc", "starc-value", "epic", "dard")
MAX_TRIPLES = 50_000_000  # (s, a, s') of all levels together, without goals' memories: seconds


class Distances(NamedTuple):
    """Hold the distances between two goals by kind: on each level, and over all levels taken as one.

    In the overall distance every move of every level counts alike.
    """

    per_level: dict[str, Float[np.ndarray, " l"]]
    overall: dict[str, float]


class _World(NamedTuple):
    """Hold one level under both goals.

    Axes: x product states; triples by states s, the goals' memories m and n, and actions a.
    """

    successor: Int[np.ndarray, "x a"]
    reach: Bool[np.ndarray, " x"]
    pays: tuple[Float[np.ndarray, "s m a s"], Float[np.ndarray, "s n a s"]]

    def pay(
        self, before: Int[np.ndarray, "*b"], action: Int[np.ndarray, "*b"], after: Int[np.ndarray, "*b"]
    ) -> Float[np.ndarray, "*b 2"]:
        """Look up what both goals pay for triples of product states, possible or not."""
        sizes = tuple(table.shape[1] for table in self.pays)
        cell, *memories = np.unravel_index(before, (len(self.pays[0]), *sizes))
        to = after // (sizes[0] * sizes[1])
        pairs = zip(self.pays, memories, strict=True)
        return np.stack([table[cell, memory, action, to] for table, memory in pairs], -1).astype(float)


def affordable(env: Environment, num_levels: int) -> tuple[str, ...]:
    """Name the kinds of distance that can be computed for this many levels.

    `epic` and `dard` look at all pairs of states and are left out where these are too many.
    """
    return KINDS if num_levels <= _most_levels(env) else ("starc", "starc-value")


def _most_levels(env: Environment) -> int:
    return MAX_TRIPLES // (worlds.count_states(env) ** 2 * env.num_actions)


def distances(
    env: Environment,
    first: Goal,
    second: Goal,
    levels: Level,
    gamma: float,
    kinds: tuple[str, ...] = KINDS,
) -> Distances:
    """Compute the distances between two goals on a batch of levels, exactly.

    Raises UsageError where states cannot be enumerated or are too many, for a discount outside (0, 1),
    for an unknown kind, and where `epic` or `dard` would have to look at more than `MAX_TRIPLES`
    triples.
    """
    worlds.check_gamma(gamma)
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"{kind!r} is no distance between goals; expected {', '.join(KINDS)}")
    count = jax.tree.leaves(levels)[0].shape[0]
    if set(kinds) - set(affordable(env, count)):
        raise UsageError(
            f"{count:,} levels have more than {MAX_TRIPLES // 10**6} million triples (s, a, s'), which "
            f"epic and dard look at; expected at most {_most_levels(env):,} levels, or starc and "
            "starc-value only"
        )
    num_bytes = worlds.check(env, (first, second))
    tables = worlds.in_chunks(lambda chunk: _tables(env, first, second, chunk), levels, num_bytes)
    moments = {}
    if {"starc", "starc-value"} & set(kinds):
        moments |= _projected(tables, gamma)
    if {"epic", "dard"} & set(kinds):
        moments |= _averaged(env, first, second, levels, tables, gamma)
    return Distances(
        {kind: _distance(moments[kind]) for kind in kinds},
        {kind: float(_distance(moments[kind].sum(0))) for kind in kinds},
    )


def _projected(tables: tuple[np.ndarray, ...], gamma: float) -> dict[str, Float[np.ndarray, "l 6"]]:
    """Compute the moments (see `_moments`) of STARC's canonical rewards, level by level."""
    start, successor, goes_on, reach, rewards = tables
    moves = end_to_end(start, successor, goes_on, reach)
    reward = rewards[reach].astype(float)
    uniform = np.full(reward.shape[:2], 1 / reward.shape[1])
    value = policy_values(moves, reward, uniform, gamma)
    advantage = action_values(moves, reward, value, gamma) - value[:, None]
    ends = np.cumsum(reach.sum(1))[:-1]

    def by_level(canonical: Float[np.ndarray, "n a 2"]) -> Float[np.ndarray, "l 6"]:
        pairs = zip(np.split(canonical, ends), np.split(reward, ends), strict=True)
        return np.stack([_moments(part, raw, centered=False) for part, raw in pairs])

    return {"starc": by_level(residual(moves, reward, gamma)), "starc-value": by_level(advantage)}


def _averaged(
    env: Environment,
    first: Goal,
    second: Goal,
    levels: Level,
    tables: tuple[np.ndarray, ...],
    gamma: float,
) -> dict[str, Float[np.ndarray, "l 6"]]:
    """Compute the moments of EPIC's and DARD's canonical rewards, one level at a time to save memory."""
    _, successor, _, reach, _ = tables
    epic, dard = [], []
    for row in range(len(reach)):
        pays = jax.device_get(_triples(env, first, second, tree_index(levels, row)))
        world = _World(successor[row], reach[row], pays)
        epic.append(_epic(world, gamma))
        dard.append(_dard(world, gamma))
    return {"epic": np.stack(epic), "dard": np.stack(dard)}


def _epic(world: _World, gamma: float) -> Float[np.ndarray, "6"]:
    """Compute EPIC's moments on one level, over all triples of states seen (also ends) and actions."""
    seen = np.union1d(np.flatnonzero(world.reach), world.successor[world.reach])
    actions = np.arange(world.successor.shape[1])
    raw = world.pay(*np.broadcast_arrays(*np.ix_(seen, actions, seen)))
    potential = raw.mean((1, 2))
    canonical = raw + gamma * (potential - potential.mean(0)) - potential[:, None, None]
    return _moments(canonical, raw, centered=True)


def _dard(world: _World, gamma: float) -> Float[np.ndarray, "6"]:
    """Compute DARD's moments on one level, over all moves."""
    here = np.flatnonzero(world.reach)
    actions = np.arange(world.successor.shape[1])
    # Where the episode has ended, nothing moves any more.
    ended = ~world.reach[:, None]
    follow = np.where(ended, np.arange(len(world.reach))[:, None], world.successor)
    raw = world.pay(*np.broadcast_arrays(here[:, None], actions, follow[here]))
    potential = np.zeros((len(world.reach), 2))
    potential[here] = raw.mean(1)
    after = follow[here]
    beyond = world.pay(*np.broadcast_arrays(after[:, None], actions, follow[after])).mean(2)
    canonical = raw + gamma * (potential[after] - beyond) - potential[here, None]
    return _moments(canonical, raw, centered=True)


def _moments(
    canonical: Float[np.ndarray, "*n 2"], raw: Float[np.ndarray, "*n 2"], centered: bool
) -> Float[np.ndarray, "6"]:
    """Sum up two goals' canonical rewards in six numbers that add up over levels.

    They are the count, both sums (0 unless `centered`, where the mean is to be left in), both sums of
    squares and the sum of products. A canonical reward that is but a rounding error of the raw one
    counts as 0.
    """
    pair, whole = canonical.reshape(-1, 2), raw.reshape(-1, 2)
    vanishes = np.linalg.norm(pair, axis=0) <= TOLERANCE * np.linalg.norm(whole, axis=0)
    pair = np.where(vanishes, 0.0, pair)
    return np.array([len(pair), *pair.sum(0) * centered, *(pair**2).sum(0), pair.prod(1).sum()])


def _distance(moments: Float[np.ndarray, "*l 6"]) -> Float[np.ndarray, "*l"]:
    """Return sqrt((1 - cosine) / 2), which is half the distance of the two directions."""
    count, one, two, one_one, two_two, one_two = np.moveaxis(moments, -1, 0)
    norms = np.stack([one_one - one**2 / count, two_two - two**2 / count])
    vanishes = norms <= TOLERANCE**2 * np.stack([one_one, two_two])
    size = np.sqrt(np.where(vanishes, 1, norms).prod(0))
    cosine = (one_two - one * two / count) / size
    apart = np.sqrt(np.clip(1 - cosine, 0, 2) / 2)
    apart = np.where(apart < TOLERANCE, 0.0, apart)
    return np.where(vanishes.any(0), np.where(vanishes.all(0), 0.0, 0.5), apart)


@functools.partial(jax.jit, static_argnames=("first", "second"))
def _tables(env: Environment, first: Goal, second: Goal, levels: Level) -> tuple[Array, ...]:
    world = worlds.tabulate(env, (first, second), levels)
    both = jax.vmap(lambda one: worlds.product(one, *one.goals))(world)
    rewards = jnp.stack(both.rewards, -1)
    return both.start, both.successor, both.goes_on, jax.vmap(worlds.reachable)(both), rewards


@functools.partial(jax.jit, static_argnames=("first", "second"))
def _triples(env: Environment, first: Goal, second: Goal, level: Level) -> tuple[Array, Array]:
    """Tabulate what each goal pays on a level for all (state, action, next state), possible or not."""

    def one(goal: Goal) -> Float[Array, "s m a s"]:
        states = env.states(level)

        def pay(state: State, memory: Array, action: Array, after: State) -> Float[Array, ""]:
            return goal.step(level, memory, state, action, after)[0].astype(jnp.float32)

        over = jax.vmap(pay, (None, None, None, 0))
        over = jax.vmap(over, (None, None, 0, None))
        over = jax.vmap(over, (None, 0, None, None))
        over = jax.vmap(over, (0, None, None, None))
        return over(states, jnp.arange(goal.num_memories), jnp.arange(env.num_actions), states)

    return one(first), one(second)
