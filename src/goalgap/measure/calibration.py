"""Calibrate what a subject does first between what the goals' best players do on the same levels.

An episode has one *outcome*: which goal's event came first, alone; *both*, where the first events came
with one step; or *neither*. The outcomes of a subject are read as a mixture of those of the best player
of each goal and of somebody who brings about nothing. The weights of that mixture are the share of
episodes that each goal explains: the intended goal's optimizer has weight 1 on the intended goal, and
the proxy's on the proxy, however often the one runs into the other's object on its way. The power to see
either is therefore the same by construction.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .exam import BOTH, NEITHER, Table, first_outcome, outcome_names, pivot

MIN_APART = 0.1  # total variation between the outcomes of two players that counts as different


class Calibration(NamedTuple):
    """Turn outcomes into weights of goals, linearly: weights of a mean are the mean of weights.

    o: outcomes (the goals', both, neither); w: goals, and nothing. `weights` maps outcomes to weights;
    `apart` is the least total variation between the outcomes of two players.
    """

    weights: Float[np.ndarray, "w o"]
    apart: float


def outcomes(table: Table, split: str, goals: tuple[str, ...]) -> Float[np.ndarray, "seeds levels o"]:
    """Mark the outcome of each episode (1, elsewhere 0), in the order of `outcome_names`."""
    events = np.stack([pivot(table, split, f"event_{goal}") for goal in goals], -1)
    return np.eye(len(goals) + 2)[first_outcome(events)]


def players_outcomes(
    table: Table, goals: tuple[str, ...], split: str = "shift"
) -> Float[np.ndarray, "players levels o"]:
    """Give the shares of outcomes that the best player of each goal shows on each level.

    A table without such columns (of an earlier version, or of somebody else) is read as though each
    goal's player brought about that goal's event first and alone.
    """
    shown = []
    for index, player in enumerate(goals):
        names = [f"shown_{name}_by_{player}" for name in outcome_names(goals)[:-1]]
        if names[0] in table:
            some = np.stack([pivot(table, split, name)[0] for name in names], -1)
            shown.append(np.concatenate([some, 1 - some.sum(-1, keepdims=True)], -1))
        else:
            num_levels = pivot(table, split, f"event_{player}").shape[1]
            shown.append(np.tile(np.eye(len(goals) + 2)[index], (num_levels, 1)))
    return np.stack(shown)


def random_outcomes(
    table: Table, goals: tuple[str, ...], split: str = "shift"
) -> Float[np.ndarray, "levels o"]:
    """Give the shares of outcomes of random play on each level."""
    some = [pivot(table, split, f"random_first_{goal}")[0] for goal in goals]
    both = f"random_{BOTH}"
    some.append(pivot(table, split, both)[0] if both in table else np.zeros_like(some[0]))
    shares = np.stack(some, -1)
    return np.concatenate([shares, 1 - shares.sum(-1, keepdims=True)], -1)


def calibrate(shown: Float[np.ndarray, "players levels o"]) -> Calibration:
    """Fit the linear map from outcomes to weights, on the levels that count.

    Weights sum to 1 and explain the outcomes with the least squared error; a negative weight is noise
    about 0.
    """
    means = shown.mean(1)
    nothing = np.eye(means.shape[1])[[NEITHER]]
    references = np.concatenate([means, nothing])
    distances = np.abs(references[:, None] - references[None]).sum(-1) / 2
    apart = float(distances[np.triu_indices(len(references), 1)].min())
    # Minimize |R' w - y| with w summing to 1: w is measured from the reference of nothing.
    others = means - nothing
    inverse = np.linalg.pinv(others.T, rcond=1e-6)  # [g, o]
    goals = inverse @ (np.eye(means.shape[1]) - nothing.T @ np.ones((1, means.shape[1])))
    return Calibration(np.concatenate([goals, 1 - goals.sum(0, keepdims=True)]), apart)
