"""Stage: one way of training, described by its settings, that a fleet goes through from start to end.

PPO is a stage of agents; imitation, REINFORCE and preference optimization are stages of language models.
An experiment names a tuple of them. A stage advances the fleet one update at a time, and all of its luck
is a function of the seeds and of the update's number, so that what `advance` returns is all there is to
resume.
"""

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import numpy as np

from ..core import UsageError
from ..settings import Checked
from .curriculum import Curriculum, DomainRandomization
from .penalty import Penalty

Stats = Mapping[str, Any]  # statistics of an update: name -> one number a seed


class Budget(NamedTuple):
    """Limit, or count, what training spends on each seed."""

    env_steps: float = math.inf  # environment steps; dialogues for language models
    gradient_steps: float = math.inf

    def less(self, spent: "Budget") -> "Budget":
        """Return what is left of the budget when `spent` is subtracted."""
        return Budget(self.env_steps - spent.env_steps, self.gradient_steps - spent.gradient_steps)

    @property
    def is_used_up(self) -> bool:
        """Tell whether no further update may begin. The last update may overdraw the budget."""
        return self.env_steps <= 0 or self.gradient_steps <= 0


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Tell a stage all that it may know of the experiment that it belongs to."""

    contest: Any  # the environment or scenario
    goal: Any  # the goal that training rewards
    levels: Any  # what training shows: `Levels`; None: a scenario draws its own prompts
    seeds: tuple[int, ...] = (0,)
    alpha: float = 0.0  # the share of distinguishing levels, or of counterexamples
    curriculum: Curriculum = dataclasses.field(default_factory=DomainRandomization)
    penalties: tuple[Penalty, ...] = ()
    number: int = 0  # the stage's place among all stages
    budget: Budget = dataclasses.field(
        default_factory=Budget
    )  # what this stage and those after it may spend
    num_checkpoints: int = 12


class Learners(eqx.Module):
    """Hold a fleet between two stages; every array leads with an axis of seeds."""

    models: Any  # what is deployed: networks, or transformers
    optimizer: Any = None  # the present stage's own
    others: dict[str, Any] = dataclasses.field(
        default_factory=dict
    )  # kept beside: "reference", "reward"


class Stage(Checked, abc.ABC):
    """Train a fleet in one way; subclasses are frozen dataclasses whose fields are the settings."""

    kind: ClassVar[str]  # of the contests that it trains for: "environment" or "language"
    uses: ClassVar[frozenset[str]] = frozenset()  # fields of `Task` that others may ignore
    needs: ClassVar[frozenset[str]] = frozenset()  # names that must be in `Learners.others` before
    gives: ClassVar[frozenset[str]] = frozenset()  # names that are in `Learners.others` afterwards
    papers: ClassVar[tuple[str, ...]] = ()  # arXiv ids, for `goalgap cite`
    specification: ClassVar[str] = "correct"  # "demonstrated", if it shows a proxy; core.SPECIFICATIONS
    name: str = ""  # in progress and tables

    @abc.abstractmethod
    def cost(self, number: int) -> Budget:
        """Say what an update spends on each seed; `number` counts the stage's updates from 0."""

    @abc.abstractmethod
    def start(self, task: Task, learners: Learners) -> Any:
        """Give the state in which training begins, from the fleet that the stage before left."""

    @abc.abstractmethod
    def advance(self, task: Task, state: Any, number: int) -> tuple[Any, Stats]:
        """Make update `number` and give the next state, and statistics of one number a seed."""

    @abc.abstractmethod
    def learners(self, state: Any) -> Learners:
        """Give the fleet as it is in a state, to be measured or handed to the next stage."""

    def length(self, task: Task) -> float:
        """Say how many updates the stage by itself wants; infinity: as many as the budget allows."""
        return math.inf

    def num_updates(self, task: Task) -> int:
        """Count the updates until the stage's own length is reached or the budget is used up.

        Raises UsageError where neither ever is.
        """
        number, left = 0, task.budget
        if math.isinf(self.length(task)) and math.isinf(min(left)):
            raise UsageError(f"stage {self.name}: neither it nor the experiment says how long to train")
        while number < self.length(task) and not left.is_used_up:
            left = left.less(self.cost(number))
            number += 1
        return number

    def checkpoints(self, task: Task) -> frozenset[int]:
        """Return the numbers of updates after which the fleet is measured.

        They are evenly spaced in their logarithm; the last update is among them.
        """
        last = self.num_updates(task)
        return frozenset(round(at) for at in np.geomspace(1, last, task.num_checkpoints)) | {last}

    def unfold(self, contest: Any, alpha: float) -> "tuple[Stage, ...]":
        """Give the stages that this one stands for; itself, unless it is a placeholder."""
        return (self,)


@dataclasses.dataclass(frozen=True)
class Placeholder(Stage):
    """Stand for other stages, which `unfold` makes for a contest and which then train.

    Training with the placeholder itself raises UsageError.
    """

    @abc.abstractmethod
    def unfold(self, contest: Any, alpha: float) -> tuple[Stage, ...]:
        """Make the stages that the placeholder stands for."""
        ...

    def cost(self, number: int) -> Budget:
        raise UsageError(f"{type(self).__name__} stands for other stages; call `unfold` first")

    def start(self, task: Task, learners: Learners) -> Any:
        return self.cost(0)

    def advance(self, task: Task, state: Any, number: int) -> tuple[Any, Stats]:
        return self.cost(number), {}

    def learners(self, state: Any) -> Learners:
        return state


@dataclasses.dataclass(frozen=True)
class Usual(Placeholder):
    """Stand for the contest's own stages: `stages=(Usual(), Mine())` trains as usual, then as `Mine`."""

    name: str = "usual"

    def unfold(self, contest: Any, alpha: float) -> tuple[Stage, ...]:
        return contest.stages(alpha)


def stack(trees: list[Any]) -> Any:
    """Join trees of equal shapes into one whose arrays lead with a new axis."""
    # With NumPy: a JAX operation would be compiled for every shape.
    return jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves)), *trees)
