"""Take potential shaping out of rewards; shared by `certificate` and `distances`.

Adding `gamma phi(s') - phi(s)` to a reward, with phi = 0 where the episode has ended, changes no order
among policies and no soft-optimal policy, and nothing else leaves the latter alone. On a level these
shapings are the span of S, S[(s, a), x] = [x = s] - gamma P(x | s, a), over the states that behavior can
reach before the end (2106.03498, 2203.07475). The rest is the residual of the orthogonal projection.

All levels of a batch form one list of states, so that one sparse factorization serves them all. There is
no time limit: values are those of play that goes on until the episode ends by itself. Double precision.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import splu

TOLERANCE = 1e-6  # relative; what is smaller comes of rewards in single precision


class Moves(NamedTuple):
    """Hold the moves of all n states that behavior can reach and act in, all levels end to end."""

    level: Int[np.ndarray, " n"]  # the level of each state, ascending
    start: Int[np.ndarray, " l"]
    successor: Int[np.ndarray, "n a"]  # 0 where the episode ends
    goes_on: Bool[np.ndarray, "n a"]


def end_to_end(
    start: Int[np.ndarray, " l"],
    successor: Int[np.ndarray, "l x a"],
    goes_on: Bool[np.ndarray, "l x a"],
    reach: Bool[np.ndarray, "l x"],
) -> Moves:
    """Turn tables of levels into Moves.

    The states keep their order, so `table[reach]` goes with them.
    """
    number = np.cumsum(reach.reshape(-1)).reshape(reach.shape) - 1
    rows = np.arange(len(reach))
    following = number[rows[:, None, None], successor][reach]
    ongoing = goes_on[reach]
    return Moves(np.nonzero(reach)[0], number[rows, start], np.where(ongoing, following, 0), ongoing)


def residual(
    moves: Moves, rewards: Float[np.ndarray, "n a k"], gamma: float
) -> Float[np.ndarray, "n a k"]:
    """Return each of k rewards without its potential shaping: (I - Pi) r."""
    count, num_actions = moves.successor.shape
    row = np.arange(count * num_actions)
    shape = (row.size, count)
    stay = csr_array((np.ones(row.size), (row, row // num_actions)), shape)
    go = csr_array((gamma * moves.goes_on.reshape(-1), (row, moves.successor.reshape(-1))), shape)
    plane = stay - go
    flat = rewards.reshape(row.size, -1)
    normal = splu((plane.T @ plane).tocsc(), "MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return (flat - plane @ normal.solve(plane.T @ flat)).reshape(rewards.shape)


def policy_values(
    moves: Moves,
    rewards: Float[np.ndarray, "n a k"],
    policy: Float[np.ndarray, "n a"],
    gamma: float,
) -> Float[np.ndarray, "n k"]:
    """Compute what a policy earns from each state under each of k rewards."""
    count, num_actions = policy.shape
    origin = np.repeat(np.arange(count), num_actions)
    weight = gamma * policy * moves.goes_on
    follow = csr_array((weight.reshape(-1), (origin, moves.successor.reshape(-1))), (count, count))
    system: Any = eye_array(count, format="csc") - follow
    return splu(system.tocsc()).solve((policy[..., None] * rewards).sum(1))


def action_values(
    moves: Moves,
    rewards: Float[np.ndarray, "n a k"],
    values: Float[np.ndarray, "n k"],
    gamma: float,
) -> Float[np.ndarray, "n a k"]:
    """Compute what each action earns if `values` is what the state after it is worth."""
    return rewards + gamma * moves.goes_on[..., None] * values[moves.successor]


def root_mean_square(values: Float[np.ndarray, "n a k"]) -> Float[np.ndarray, " k"]:
    """Average each of k rewards over states and actions, as an unweighted root mean square."""
    return np.sqrt((values**2).mean((0, 1)))
