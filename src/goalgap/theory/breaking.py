"""Choose the levels to add to training so that no proxy stays open: smallest sets and best mixtures.

Both start from the regret of each proxy's optimizer on each candidate level. Their guarantees concern
selection by return with slack epsilon, not inductive bias: a learner may avoid a proxy with fewer
levels, or keep a goal that is not among those listed.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, sparse

from ..core import UsageError

MIN_WEIGHT = 1e-9


class Game(NamedTuple):
    """Hold the optimal play of a zero-sum game of a designer against an adversary.

    The designer picks levels, the adversary goals. `weights` is the mixture of l levels that makes the
    worst of j columns as good as possible, `adversary` the mixture of columns that holds the designer to
    `value`.
    """

    weights: Float[np.ndarray, " l"]
    value: float
    adversary: Float[np.ndarray, " j"]
    gap: float  # of LP duality: what either side could still gain

    @property
    def support(self) -> Int[np.ndarray, " n"]:
        """Return the indices of the levels with weight, heaviest first."""
        order = np.argsort(-self.weights, kind="stable")
        return order[self.weights[order] > MIN_WEIGHT]


def best_mixture(regret: Float[np.ndarray, "l j"], cap: float = 1.0) -> Game:
    """Find the mixture of levels under which the least regret of all columns is largest.

    It solves max over mixtures w of levels of min over columns j of sum_l w_l regret[l, j], by a linear
    program. With best-tie regrets of proxies, and only ambiguous levels beside the mixture, every policy
    that is optimal for some proxy has training regret of at least alpha times the value; no other
    mixture of these levels guarantees more. `cap` bounds the weight of one level, since a learner can
    memorize what it sees too often. Raises UsageError without levels or columns, or where the cap leaves
    no mixture.
    """
    num_levels, num_columns = regret.shape
    if not num_levels or not num_columns:
        raise UsageError(f"a mixture of {num_levels} levels against {num_columns} goals; expected some")
    if not 1 <= cap * num_levels:
        raise UsageError(
            f"cap is {cap} with {num_levels} levels; expected at least {1 / num_levels:.3g}, so that "
            "the weights can add up to 1"
        )
    # Maximize v subject to v <= sum_l w_l regret[l, j] for each j.
    found = optimize.linprog(
        np.append(np.zeros(num_levels), -1.0),
        A_ub=np.column_stack([-regret.T, np.ones(num_columns)]),
        b_ub=np.zeros(num_columns),
        A_eq=np.append(np.ones(num_levels), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, cap)] * num_levels + [(None, None)],
        method="highs",
    )
    weights = np.maximum(found.x[:-1], 0)
    weights /= weights.sum()
    adversary = np.maximum(-found.ineqlin.marginals, 0)
    adversary /= adversary.sum()
    value = float((weights @ regret).min())
    # Against a fixed adversary the designer fills up the best levels, one after another.
    best = np.sort(regret @ adversary)[::-1]
    filled = np.clip(1 - cap * np.arange(num_levels), 0, cap)
    return Game(weights, value, adversary, float(best @ filled) - value)


def breaking_set(
    regret: Float[np.ndarray, "l j"], margin: float, names: tuple[str, ...]
) -> Int[np.ndarray, " n"]:
    """Find the smallest set of levels such that each column exceeds `margin` on one of them.

    Solved by integer programming; among smallest sets, levels with larger regrets are preferred. With
    pairs of goals as columns the result is a test cover. Returns the levels' indices. Raises UsageError
    naming the columns that no level breaks.
    """
    breaks = regret > margin
    shadow = [name for name, lost in zip(names, is_shadow(regret, margin), strict=True) if lost]
    if shadow:
        raise UsageError(
            f"no candidate level breaks {', '.join(shadow)} by more than {margin}; leave them out, "
            "lower the margin, or offer other levels"
        )
    if not regret.shape[1]:
        return np.zeros(0, int)
    # One level fewer saves more than all the regret there can be in the sum.
    prefer = (regret * breaks).sum(1)
    costs = 1 - prefer / (1 + prefer.sum())
    cover = optimize.LinearConstraint(sparse.csr_array(breaks.T.astype(float)), lb=1)
    found = optimize.milp(
        costs,
        integrality=np.ones(len(costs)),
        bounds=optimize.Bounds(0, 1),
        constraints=cover,
        options={"mip_rel_gap": 0.0},  # a set with a level too many may cost nearly as little
    )
    return np.flatnonzero(found.x > 0.5)


def is_shadow(regret: Float[np.ndarray, "l j"], margin: float) -> Bool[np.ndarray, " j"]:
    """Mark the columns that no level breaks.

    Their goals need other observations, symmetries, or supervision.
    """
    return np.all(regret <= margin, axis=0)


def share_needed(epsilon: float, value: float) -> float:
    """Return the share alpha of training that a mixture of this value must have to close every proxy.

    With that share no epsilon-optimal learner is an optimizer of a proxy. Above 1 where nothing
    suffices.
    """
    return epsilon / value if value > 0 else math.inf
