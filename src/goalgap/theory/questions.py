"""Choose the evaluation levels that tell goals apart with the fewest episodes.

An agent that pursues goal g acts by the Boltzmann policy exp(beta Q*_g). A level is worth, to a judge
who asks "g or h?", the divergence of the two laws of paths. The best design is the mixture of levels
whose least divergence over ordered pairs is greatest (Chernoff 1959), a linear program; about ln(1 /
error) / value episodes then suffice. A pair that no level tells apart has value 0: proof that no test on
such levels ever will.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core import Environment, Goal, Level, UsageError
from ..oracle import sweeps
from . import worlds
from .breaking import Game, best_mixture
from .worlds import GoalTable, World


def divergences(
    env: Environment, goals: tuple[Goal, ...], levels: Level, gamma: float, beta: float
) -> Float[np.ndarray, "l g g"]:
    """Compute how much an episode of a pursuer of one goal speaks for it, against another goal.

    Entry [l, g, h] is for a pursuer of g on level l, against h, in nats. Raises UsageError for `beta`
    not above 0, and as `worlds.check` does.
    """
    worlds.check_gamma(gamma)
    if not beta > 0:
        raise UsageError(f"beta is {beta}; an inverse temperature is above 0 (100: nearly greedy)")
    num_bytes = worlds.check(env, goals, len(goals) ** 2)
    return worlds.in_chunks(
        lambda chunk: _divergences(env, goals, chunk, gamma, beta), levels, num_bytes
    )


@functools.partial(jax.jit, static_argnames=("goals", "gamma"))
def _divergences(
    env: Environment,
    goals: tuple[Goal, ...],
    levels: Level,
    gamma: float,
    beta: Float[Array, ""] | float,
) -> Float[Array, "l g g"]:
    world, tables, q = worlds.solved(env, goals, levels, gamma)
    log_policy = {size: jax.nn.log_softmax(beta * values) for size, values in q.items()}
    one = functools.partial(_divergence, horizon=env.max_steps)
    over_pairs = jax.vmap(jax.vmap(one, (None, 0, 0, 0, 0)))
    found = jnp.zeros((world.start.shape[0], len(goals), len(goals)))
    for rows, columns, sides in worlds.sides(goals, goals, (tables, log_policy)):
        found = found.at[:, rows, columns].set(over_pairs(world, *sides))
    return found


def _divergence(
    world: World,
    first: GoalTable,
    first_log: Float[Array, "s m a"],
    second: GoalTable,
    second_log: Float[Array, "s n a"],
    horizon: int,
) -> Float[Array, ""]:
    """Compute the KL divergence of the first policy's paths from the second's, on one level."""
    both = worlds.product(world, first, second)
    sizes = (first_log.shape[0], first_log.shape[1], second_log.shape[1], first_log.shape[-1])
    log_p = jnp.broadcast_to(first_log[:, :, None], sizes).reshape(-1, sizes[-1])
    log_q = jnp.broadcast_to(second_log[:, None], sizes).reshape(-1, sizes[-1])
    p = jnp.exp(log_p)
    now = (p * (log_p - log_q)).sum(-1).reshape(-1, both.num_memories).T
    stays = sweeps.pack(jnp.where(both.goes_on, p, 0.0), both.num_memories)
    follow = sweeps.follower(both.successor, both.num_memories, both.strides)
    later = sweeps.iterate(
        lambda later: now + sweeps.expect(stays, follow(later)), jnp.zeros_like(now), horizon
    )
    total = sweeps.unpack(later)[both.start]
    return jnp.where(total < worlds.ZERO, 0, total)


def design(divergence: Float[np.ndarray, "l g g"]) -> Game:
    """Choose which levels to ask on, and how often each.

    The game's columns are the ordered pairs of different goals, in the order of `_ordered_pairs`.
    """
    return best_mixture(divergence[:, *_ordered_pairs(divergence.shape[1])])


def hardest_pair(game: Game, num_goals: int) -> tuple[int, int]:
    """Return the pair of goals (g, h) that the design must ask about most: the adversary's favorite."""
    rows, columns = _ordered_pairs(num_goals)
    index = int(np.argmax(game.adversary))
    return int(rows[index]), int(columns[index])


def _ordered_pairs(num_goals: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.nonzero(~np.eye(num_goals, dtype=bool))
    return rows, columns


def num_episodes(value: float, error: float) -> float:
    """Estimate the average number of episodes until a judge's odds reach 1 : `error`.

    Such a judge prefers the wrong goal with probability of at most `error` (Wald). Infinite where
    nothing tells the goals apart. A judge who has to stop after exactly so many is wrong more often: at
    an error of .05, up to .11 of the time. Raises UsageError for an error outside (0, 1).
    """
    if not 0 < error < 1:
        raise UsageError(f"error is {error}; expected a probability above 0 and below 1")
    return math.ceil(math.log(1 / error) / value) if value > 0 else math.inf
