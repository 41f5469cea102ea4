"""Certify which mixtures of goals a set of levels cannot reveal, out of infinitely many.

A family of rewards is linear in features, r_w(level, s, a) = sum_k w_k phi_k(level, s, a): those of
goals and two generic ones, `step` and `bump`. Behavior reveals a reward up to potential shaping, level
by level. With the shaping projected out and the levels stacked, the null space of the features is what
no soft-optimal behavior on these levels can reveal (2106.03498, 2209.10974, 2203.07475); the certificate
holds on other levels if these directions stay invisible there. Optimal rather than soft-optimal behavior
reveals only half-spaces: a cone of weights, over which linear programs find the worst case (1805.07687,
2012.01557).

A goal's automaton is left out: "the first visit to the corner" becomes "the corner", paid at every step
that leads there or stays there. Where the episode goes on after the visit these are different goals, and
the certificate is about the second. As everywhere in `shaping`, there is no time limit.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.optimize import linprog, nnls

from ..core import Environment, Goal, Level, State, UsageError
from . import worlds
from .shaping import (
    TOLERANCE,
    Moves,
    action_values,
    end_to_end,
    policy_values,
    residual,
    root_mean_square,
)

TIE = 1e-9  # relative; action values this close are equal
MAX_ROUNDS = 1000  # of policy iteration, which takes a few
SAME_DIGITS = 8  # decimals to which equal half-spaces agree


class Memoryless(Goal):
    """Strip a goal of its automaton: pay whenever the goal itself may pay."""

    name: str = eqx.field(static=True)
    sentence: str = eqx.field(static=True)
    bits: float = eqx.field(static=True)
    goal: Goal

    def reward(
        self, level: Level, state: State, action: Int[Array, ""], next_state: State
    ) -> Float[Array, ""]:
        return self.goal.reward(level, state, action, next_state)

    def is_achieved(self, level: Level, state: State, memory: Int[Array, ""]) -> Bool[Array, ""]:
        return self.goal.is_achieved(level, state, memory)


class Step(Goal):
    """Pay 1 for every step. It has no event."""

    name: str = eqx.field(static=True, default="step")
    sentence: str = eqx.field(static=True, default="make steps")
    bits: float = eqx.field(static=True, default=1.0)

    def reward(
        self, level: Level, state: State, action: Int[Array, ""], next_state: State
    ) -> Float[Array, ""]:
        return jnp.ones(())

    def is_achieved(self, level: Level, state: State, memory: Int[Array, ""]) -> Bool[Array, ""]:
        return jnp.asarray(False)


class Bump(Goal):
    """Pay 1 for every step that changes nothing. It has no event."""

    name: str = eqx.field(static=True, default="bump")
    sentence: str = eqx.field(static=True, default="bump into walls")
    bits: float = eqx.field(static=True, default=2.0)

    def reward(
        self, level: Level, state: State, action: Int[Array, ""], next_state: State
    ) -> Float[Array, ""]:
        same = jax.tree.map(lambda one, other: (one == other).all(), state, next_state)
        return jax.tree.reduce(jnp.logical_and, same).astype(jnp.float32)

    def is_achieved(self, level: Level, state: State, memory: Int[Array, ""]) -> Bool[Array, ""]:
        return jnp.asarray(False)


class Certificate(NamedTuple):
    """Hold what behavior on a set of levels says about the weights of k features.

    `singular_values`: how much a unit of weight along each of the `principal` directions changes rewards
    beyond shaping, as the root mean square over all moves (the stack's singular values over the root of
    its number of rows). `noise`: their inverses; an error of size e in the observed behavior becomes one
    of size e * noise along the direction, infinite if the direction is invisible. `invisible`: a
    readable basis of the null space, d rows with largest weights 1.
    """

    features: tuple[Goal, ...]
    gamma: float
    rank: int
    singular_values: Float[np.ndarray, " k"]
    principal: Float[np.ndarray, "k k"]  # rows
    noise: Float[np.ndarray, " k"]
    invisible: Float[np.ndarray, "d k"]


class Revealed(NamedTuple):
    """Hold how the d invisible directions of a certificate fare on other levels."""

    share: Float[np.ndarray, " d"]  # of the levels on which the direction becomes visible
    size: Float[np.ndarray, " d"]  # root mean square of its reward beyond shaping, averaged over levels
    generalizes: bool  # none becomes visible on any level


class Cone(NamedTuple):
    """Hold the weights w under which optimal behavior is still optimal: `half_spaces` @ w >= 0."""

    features: tuple[Goal, ...]
    gamma: float
    intended: Float[np.ndarray, " k"]
    half_spaces: Float[np.ndarray, "h k"]  # of norm 1, none implied by the others


class WorstCase(NamedTuple):
    """Hold what trusting the intended goal may cost at worst, against each of k competitors.

    A competitor is the optimizer of a feature. `regret` is how much more it may earn than the intended
    goal's optimizer, on average over levels, under some weights of a cone; `weights` are the weights of
    this worst case, at most 1 in size; `gap` is the duality gap of each linear program.
    """

    regret: Float[np.ndarray, " k"]
    weights: Float[np.ndarray, "k k"]
    gap: Float[np.ndarray, " k"]


# -- soft-optimal behavior --------------------------------------------------------------------------


def identify(
    env: Environment, features: tuple[Goal, ...], levels: Level, gamma: float, generic: bool = True
) -> Certificate:
    """Find which mixtures of features the soft-optimal behavior on a batch of levels reveals, exactly.

    `generic` adds the features `step` and `bump`. Put first what matters most: each feature that shows
    nothing new beside the features before it gives an invisible mixture with them. Raises UsageError
    where states cannot be enumerated or are too many, for a discount outside (0, 1), and for equal
    names.
    """
    family = _family(features, generic)
    moves, rewards = _rewards(env, family, levels, gamma)
    visible = residual(moves, rewards, gamma)
    stack = visible.reshape(-1, len(family)) / np.sqrt(visible[..., 0].size)
    # Rows of zeros, in case there are fewer moves than features.
    _, triangle = np.linalg.qr(np.concatenate([stack, np.zeros((len(family),) * 2)]))
    invisible = _invisible(triangle, root_mean_square(rewards))
    rank = len(family) - len(invisible)
    _, singular, principal = np.linalg.svd(triangle)
    noise = np.full(len(family), np.inf)
    noise[:rank] = 1 / singular[:rank]
    return Certificate(family, gamma, rank, singular, principal, noise, invisible)


def _invisible(
    triangle: Float[np.ndarray, "k k"], size: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "d k"]:
    """Return a sparse basis of the null space: circuits over the first independent features."""
    tolerance = TOLERANCE * size.max()
    independent: list[int] = []
    found = []
    for feature, column in enumerate(triangle.T):
        direction = np.zeros(len(size))
        direction[feature] = 1
        if independent:
            direction[independent] = -np.linalg.lstsq(triangle[:, independent], column)[0]
        largest = np.abs(direction).max()
        if np.linalg.norm(triangle @ direction) > tolerance * largest:
            independent.append(feature)
            continue
        matters = np.abs(direction) * size > tolerance * largest
        matters[feature] = True
        sign = np.sign(direction[np.argmax(matters)])
        found.append(np.where(matters, sign * direction / largest, 0.0))
    return np.array(found).reshape(-1, len(size))


def mixtures(certificate: Certificate) -> list[str]:
    """Write the invisible directions as people read them: "cheese - corner", "cheese + 0.053 step"."""
    names = [feature.name for feature in certificate.features]
    return [_mixture(direction, names) for direction in certificate.invisible]


def _mixture(direction: Float[np.ndarray, " k"], names: list[str]) -> str:
    text = ""
    for weight, name in zip(direction, names, strict=True):
        if weight:
            size = "" if f"{abs(weight):.2g}" == "1" else f"{abs(weight):.2g} "
            text += (" - " if weight < 0 else " + " if text else "") + size + name
    return text


def reveals(env: Environment, certificate: Certificate, levels: Level) -> Revealed:
    """Test whether what training left invisible stays so on other levels: null(M) within null(M').

    If so, all rewards that explain behavior in training ask for the same behavior on these levels.
    """
    moves, rewards = _rewards(env, certificate.features, levels, certificate.gamma)
    visible = residual(moves, rewards, certificate.gamma) @ certificate.invisible.T
    squares = np.zeros((len(moves.start), visible.shape[-1]))
    np.add.at(squares, moves.level, (visible**2).mean(1))
    size = np.sqrt(squares / np.bincount(moves.level)[:, None])
    shows = size > TOLERANCE * root_mean_square(rewards).max()
    return Revealed(shows.mean(0), size.mean(0), not shows.any())


# -- optimal behavior -------------------------------------------------------------------------------


def cone(
    env: Environment,
    features: tuple[Goal, ...],
    intended: Mapping[str, float],
    levels: Level,
    gamma: float,
    generic: bool = True,
) -> Cone:
    """Find the weights under which a policy optimal for the intended weights stays optimal.

    `intended`: weights by the features' names, 0 where not given. The policy acts in all states of the
    levels that any behavior reaches and breaks ties uniformly, so that it shows indifference between
    tied actions, also where the goal is out of reach. The half-spaces are w . (mu(s, a*) - mu(s, a)) >=
    0 for the policy's actions a* and all others a; mu are the discounted feature counts of taking the
    action and then following the policy. They are reduced to a minimal set, 1805.07687's behavioral
    equivalence class. Departure: an implied half-space is found to be a nonnegative combination of
    others (Farkas' lemma, by nonnegative least squares), which is the dual of the paper's linear program
    and faster for few features.

    Raises UsageError as `identify` does, and for unknown names of features.
    """
    family = _family(features, generic)
    names = [feature.name for feature in family]
    for name in intended:
        if name not in names:
            raise UsageError(f"{name!r} is no feature; expected one of {', '.join(names)}")
    weights = np.array([float(intended.get(name, 0)) for name in names])
    moves, rewards = _rewards(env, family, levels, gamma)
    policy = _optimal(moves, rewards @ weights, gamma)
    counts = action_values(moves, rewards, policy_values(moves, rewards, policy, gamma), gamma)
    gaps = (counts[:, :, None] - counts[:, None])[policy > 0].reshape(-1, len(family))
    return Cone(family, gamma, weights, _minimal(gaps))


def _optimal(moves: Moves, reward: Float[np.ndarray, "n a"], gamma: float) -> Float[np.ndarray, "n a"]:
    """Find the optimal policy that is uniform over all optimal actions, by policy iteration."""
    # Beside each value its size, that of the sum of absolute rewards, to which rounding is relative.
    both = np.stack([reward, np.abs(reward)], -1)
    policy = np.full(reward.shape, 1 / reward.shape[1])
    for _ in range(MAX_ROUNDS):
        value = policy_values(moves, both, policy, gamma)
        q, size = np.moveaxis(action_values(moves, both, value, gamma), -1, 0)
        least = q.max(1) - TIE * size.max(1)
        good = q >= least[:, None]
        policy = good / good.sum(1, keepdims=True)
        if (value[:, 0] >= least).all():
            return policy
    raise UsageError(
        f"gamma is {gamma}; too near to 1 to find an optimal policy; expected less, as .999"
    )


def _minimal(gaps: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "h k"]:
    """Return unit normals of the half-spaces, without those that others imply."""
    norm = np.linalg.norm(gaps, axis=1, keepdims=True)
    visible = norm[:, 0] > TOLERANCE
    units = gaps[visible] / norm[visible]
    units = units[np.sort(np.unique(units.round(SAME_DIGITS), return_index=True, axis=0)[1])]
    kept: list[int] = []
    for index in range(len(units)):
        if not _implied(units[index], units[kept]):
            kept.append(index)
    for index in tuple(kept):  # earlier ones may follow from later ones
        others = [other for other in kept if other != index]
        if _implied(units[index], units[others]):
            kept = others
    return units[kept]


def _implied(normal: Float[np.ndarray, " k"], others: Float[np.ndarray, "h k"]) -> bool:
    return len(others) > 0 and nnls(others.T, normal)[1] <= 10.0**-SAME_DIGITS


def worst_regret(env: Environment, cone: Cone, levels: Level) -> WorstCase:
    """Bound what trusting the intended goal may cost on deployment levels.

    All that is known is that behavior in training was optimal for it. For each feature, the bound is the
    most that its optimizer earns beyond the intended goal's optimizer, both with uniform ties, from the
    levels' starts and on average over them, under any weights of the cone with `|w| <= 1`. All 0:
    training behavior certifies the intended goal against these competitors.
    """
    moves, rewards = _rewards(env, cone.features, levels, cone.gamma)

    def earned(weights: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        policy = _optimal(moves, rewards @ weights, cone.gamma)
        return policy_values(moves, rewards, policy, cone.gamma)[moves.start].mean(0)

    reference = earned(cone.intended)
    return WorstCase(*_largest(cone, [earned(one) - reference for one in np.eye(len(cone.features))]))


def _largest(
    cone: Cone, gains: list[Float[np.ndarray, " k"]]
) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, "g k"], Float[np.ndarray, " g"]]:
    """Maximize each gain over the cone's weights.

    Return the maxima, the weights there, and the duality gaps.
    """
    regret, weights, gap = [], [], []
    for gain in gains:
        zeros = np.zeros(len(cone.half_spaces))
        solution = linprog(-gain, -cone.half_spaces, zeros, bounds=(-1, 1), method="highs")
        # The half-spaces' right sides are 0, so that the dual consists of the bounds alone.
        dual = solution.upper.marginals.sum() - solution.lower.marginals.sum()
        regret.append(max(0.0, -solution.fun))
        weights.append(solution.x)
        gap.append(abs(solution.fun - dual))
    return np.array(regret), np.array(weights), np.array(gap)


# -- features ---------------------------------------------------------------------------------------


def _family(features: tuple[Goal, ...], generic: bool) -> tuple[Goal, ...]:
    family = tuple(
        goal if goal.num_memories == 1 else Memoryless(goal.name, goal.sentence, goal.bits, goal)
        for goal in features
    )
    family += (Step(), Bump()) if generic else ()
    names = [feature.name for feature in family]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"the features are {names}; expected one or more, each with a name of its own")
    return family


def _rewards(
    env: Environment, features: tuple[Goal, ...], levels: Level, gamma: float
) -> tuple[Moves, Float[np.ndarray, "n a k"]]:
    """Tabulate what each feature pays for every move of a batch of levels, in double precision."""
    worlds.check_gamma(gamma)
    num_bytes = worlds.check(env, features)
    *tables, rewards = worlds.in_chunks(lambda chunk: _tables(env, features, chunk), levels, num_bytes)
    return end_to_end(*tables), rewards[tables[-1]].astype(float)


@functools.partial(jax.jit, static_argnames="features")
def _tables(env: Environment, features: tuple[Goal, ...], levels: Level) -> tuple[Array, ...]:
    world = worlds.tabulate(env, features, levels)
    both = jax.vmap(lambda one: worlds.product(one, one.goals[0], one.goals[0]))(world)
    rewards = jnp.stack([table.reward[..., 0, :] for table in world.goals], -1)
    return both.start, both.successor, both.goes_on, jax.vmap(worlds.reachable)(both), rewards
