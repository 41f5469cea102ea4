"""Find which goals a training distribution leaves open, and what these goals cost."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from ..core import Environment, Goal, Level, UsageError, tree_index
from ..settings import Checked
from . import underspecification, worlds
from .underspecification import TIES, Regrets, regrets

SCREENED, COMPARED = 32, 256  # levels that a first look takes in, and comparisons of goals
MAX_GOALS = 8  # the most goals in question, which the expensive parts of an analysis take in


class Samples(NamedTuple):
    """Hold three stacked sets of levels: of training, of deployment, and such as could be added."""

    train: Level
    deploy: Level
    candidates: Level


@dataclasses.dataclass(frozen=True)
class Settings(Checked):
    """Set the numbers that an analysis depends on, beside the levels."""

    epsilon: float = 0.01
    """mean training regret up to which a goal counts as open: the slack of the learner"""
    margin: float = 0.05
    """regret above which a level breaks a proxy for sure"""
    gamma: float = 0.99
    """discount of all values"""
    beta: float = 100.0
    """inverse temperature of the agents that are to be told apart"""
    error: float = 0.05
    """probability of taking one goal for another"""
    cap: float = 1 / 64
    """largest weight of one level in the mixture, since learners memorize few levels; 1: no bound"""

    def __post_init__(self) -> None:
        underspecification.check_share("epsilon", self.epsilon)
        underspecification.check_share("margin", self.margin)
        worlds.check_gamma(self.gamma)
        if not self.beta > 0:
            raise UsageError(f"beta is {self.beta}; an inverse temperature is above 0")
        if not 0 < self.error < 1:
            raise UsageError(f"error is {self.error}; expected a probability above 0 and below 1")
        if not 0 < self.cap <= 1:
            raise UsageError(f"cap is {self.cap}; a weight is above 0 and at most 1")


class Found(NamedTuple):
    """Hold the goals in question, the intended one first, and what their optimizers cost; g: goals."""

    goals: tuple[Goal, ...]
    also: tuple[tuple[str, ...], ...]  # names of goals merged into each, within epsilon
    train: Regrets  # under the intended goal
    deploy: Regrets
    candidates: Regrets
    is_open: Bool[np.ndarray, " g"]
    epsilon: float

    @property
    def is_dangerous(self) -> Bool[np.ndarray, " g"]:
        """Mark the open goals whose optimizers lose something after the shift."""
        return self.is_open & (mean_of(self.deploy)[:, 0].mean(0) > self.epsilon)

    @property
    def dangerous(self) -> tuple[Goal, ...]:
        """List the dangerous goals, the most expensive first."""
        cost = np.where(self.is_dangerous, mean_of(self.deploy)[:, 0].mean(0), -1.0)
        return tuple(self.goals[i] for i in np.argsort(-cost, kind="stable") if cost[i] >= 0)


def screen(
    env: Environment, intended: Goal, rivals: tuple[Goal, ...], train: Level, settings: Settings
) -> tuple[tuple[Goal, ...], list[dict[str, Any]]]:
    """Split the rivals into those that may still be open and those that some training levels exclude.

    The excluded ones come as rows with their mean regret on the first `num_levels` levels. The screening
    is exact: regrets are not negative, so a goal whose sum on some levels exceeds epsilon times the
    number of all levels is not open, whatever the remaining levels say.
    """
    count = count_levels(train)
    left, excluded = np.arange(len(rivals)), []
    listed = {goal.name for goal in env.goals}  # which are shown in any case
    size = SCREENED
    while size < count and len(left) > MAX_GOALS:
        some = tree_index(train, np.arange(size))
        goals = tuple(rivals[index] for index in left)
        worst = regrets(env, (intended,), goals, some, settings.gamma, ("worst",)).worst[:, 0]
        stays = (worst.sum(0) <= settings.epsilon * count) | [goal.name in listed for goal in goals]
        excluded += [
            describe(goal) | {"regret": float(worst[:, i].mean()), "num_levels": size}
            for i, goal in enumerate(goals)
            if not stays[i]
        ]
        left, size = left[stays], size * 4
    excluded.sort(key=lambda row: (row["regret"], row["bits"]))
    return tuple(rivals[index] for index in left), excluded


def same_costs(
    env: Environment,
    intended: Goal,
    goals: tuple[Goal, ...],
    samples: Samples,
    settings: Settings,
) -> dict[Goal, tuple[str, ...]]:
    """Merge goals that cost the same, keeping the one of least description length of each group.

    Two goals cost the same if they agree within epsilon on average over levels, in training and after
    the shift, however ties are broken. Maps each goal kept to the names of the goals merged into it. The
    intended goal comes first, and stands for all goals that cost next to nothing.
    """
    costs = []
    for levels in (samples.train, samples.deploy):
        some = tree_index(levels, np.arange(min(COMPARED, count_levels(levels))))
        found = regrets(env, (intended,), (intended, *goals), some, settings.gamma)
        costs += [found.worst[:, 0], mean_of(found)[:, 0], best_of(found)[:, 0]]
    listed = [goal.name for goal in env.goals]
    order = sorted(range(len(goals)), key=lambda i: (goals[i].name not in listed, goals[i].bits, i))
    groups: dict[int, list[Goal]] = {0: []}  # by column of the costs
    for column in (1 + index for index in order):
        apart = (
            max(float(np.abs(cost[:, column] - cost[:, other]).mean()) for cost in costs)
            for other in groups
        )
        like = [other for other, cost in zip(groups, apart, strict=True) if cost <= settings.epsilon]
        if like and goals[column - 1].name not in listed:
            groups[like[0]].append(goals[column - 1])
        else:
            groups[column] = []
    return {
        (intended, *goals)[column]: tuple(goal.name for goal in others if goal.name != intended.name)
        for column, others in groups.items()
    }


def find(
    env: Environment,
    intended: Goal,
    groups: dict[Goal, tuple[str, ...]],
    samples: Samples,
    settings: Settings,
) -> Found:
    """Compute the exact regrets of goals (the keys of `groups`) on all samples, and which are open."""
    goals = tuple(groups)
    train, deploy, candidates = (
        regrets(env, (intended,), goals, levels, settings.gamma, TIES, off_path=levels is samples.train)
        for levels in samples
    )
    is_open = underspecification.compatible(train.worst[:, 0], settings.epsilon)
    also = tuple(groups.values())
    return Found(goals, also, train, deploy, candidates, is_open, settings.epsilon)


def text_of(env: Environment, levels: Level, row: int) -> str:
    """Write level number `row` of a batch as text."""
    return env.to_text(jax.device_put(tree_index(levels, row)))


def describe(goal: Goal) -> dict[str, Any]:
    """Return a goal's name, sentence and description length in bits, as plain data."""
    return {"name": goal.name, "sentence": goal.sentence, "bits": float(goal.bits)}


def count_levels(levels: Level) -> int:
    """Count the levels of a batch."""
    return jax.tree.leaves(levels)[0].shape[0]


def mean_of(found: Regrets) -> Float[np.ndarray, "l i j"]:
    """Return the regrets with ties broken uniformly, which must have been asked for."""
    assert found.mean is not None
    return found.mean


def best_of(found: Regrets) -> Float[np.ndarray, "l i j"]:
    """Return the regrets with the luckiest ties, which must have been asked for."""
    assert found.best is not None
    return found.best
