"""LanguageExperiment: the frozen description of one run with language models."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..core import UsageError
from ..descriptions import digest
from .scenario import Scenario, check_dose
from .stage import Learners, Stage, luck, stack
from .transformer import Architecture, new


@dataclasses.dataclass(frozen=True)
class LanguageExperiment:
    """A fleet of models trained from nothing through a scenario's stages.

    Equal experiments train equal models: everything that matters is here, nothing else is.
    """

    scenario: Scenario
    dose: float = 0.0  # share of counterexamples in training
    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    num_prompts: int = 256  # evaluation prompts of each split
    temperature: float = 1.0  # of what models say when they are measured

    def __post_init__(self) -> None:
        check_dose(self.dose)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or len(self.seeds) > 1000:
            raise UsageError(f"seeds are {self.seeds}; expected 1 to 1000 different ones")
        if not all(0 <= seed < 2**31 - 1 for seed in self.seeds):
            raise UsageError(f"seeds are {self.seeds}; expected whole numbers from 0 to 2^31 - 2")
        if not 8 <= self.num_prompts <= 10**5:
            raise UsageError(f"num_prompts is {self.num_prompts}; expected 8 to 100000")
        if not 0 <= self.temperature <= 10:
            raise UsageError(f"temperature is {self.temperature}; expected 0 (the likeliest word) to 10")

    @property
    def name(self) -> str:
        return self.scenario.name

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.scenario.stages(self.dose)

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits of the description: where the run is found again."""
        return digest(self)

    def fresh(self) -> Learners:
        """The fleet before any training."""
        words, context = len(self.scenario.vocabulary), self.scenario.context
        models = stack([new(self.architecture, words, context, seed) for seed in self.seeds])
        return Learners(models, None, {})

    @property
    def total(self) -> int:
        """Dialogues that training shows each model."""
        return sum(stage.steps * stage.dialogues for stage in self.stages)

    def at(self, stage: int) -> Learners:
        """Learners of the shape that a stage has: what its stored state is read into."""
        learners = self.fresh()
        for one in self.stages[: stage + 1]:
            learners = one.start(learners)
        return learners


class Situation(NamedTuple):
    """A training after a chunk."""

    stage: int
    chunk: int  # done, of the stage's
    dialogues: int  # shown to each model so far
    learners: Learners
    stats: dict[str, np.ndarray]  # of the chunk, a number a seed


def fit(
    experiment: LanguageExperiment, learners: Learners, stage: int = 0, chunk: int = 0
) -> Iterator[Situation]:
    """Train from where a stage's chunk ended (or from the beginning), yielding after each chunk."""
    stages = experiment.stages
    shown = sum(one.steps * one.dialogues for one in stages[:stage])
    for number in range(stage, len(stages)):
        one = stages[number]
        begin = chunk if number == stage else 0
        if not begin:
            learners = one.start(learners)
        for done in range(begin, one.num_chunks):
            rngs = [luck(seed, number, done) for seed in experiment.seeds]
            learners, stats = one.advance(learners, done, rngs)
            steps = min((done + 1) * one.chunk, one.steps)
            yield Situation(number, done + 1, shown + steps * one.dialogues, learners, stats)
        shown += one.steps * one.dialogues
