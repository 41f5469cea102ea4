"""Teach counterexamples: after a scenario's own training, a few shifted prompts, answered as intended.

A cure maps an experiment to another one: here a stage is added behind all others. Source of the idea: a
small set of data that breaks the proxy (2204.02937 refits on such a set). The prompts have none of the
layouts that are kept for evaluation, for a scenario draws its training prompts so.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from goalgap.experiment import Experiment
from goalgap.language.dialogues import Lessons, demonstrate
from goalgap.language.scenario import Scenario
from goalgap.language.sft import SFT
from goalgap.learn.stage import Placeholder, Stage
from goalgap.settings import settle


@dataclasses.dataclass(frozen=True)
class Counterexamples(Placeholder):
    """Stand for supervised fine-tuning on `num_prompts` counterexamples, always the same ones, beside as
    many prompts of training."""

    kind: ClassVar[str] = "language"

    name: str = "counterexamples"
    num_prompts: int = 64
    steps: int = 100
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        settle(self, num_prompts=(1, None), steps=(1, None), learning_rate=(0, 1))

    def unfold(self, contest: Scenario, alpha: float) -> tuple[Stage, ...]:
        rng = np.random.default_rng(0)
        prompts = (contest.prompts(split, self.num_prompts, rng) for split in ("shift", "train"))
        taught = Lessons.join(*(demonstrate(contest, some, rng) for some in prompts))

        def lessons(n: int, rng: np.random.Generator) -> Lessons:
            rows = rng.integers(0, 2 * self.num_prompts, n)
            return Lessons(*(column[rows] for column in taught))

        return (SFT(self.name, self.steps, self.learning_rate, lessons=lessons),)


def cured(experiment: Experiment, num_prompts: int = 64) -> Experiment:
    """Give the experiment with counterexamples taught at the end."""
    stages = (*experiment.stages, Counterexamples(num_prompts=num_prompts))
    return dataclasses.replace(experiment, stages=stages)
