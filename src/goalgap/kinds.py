"""Kinds of contests: what experiments, runs and reports need to know of environments and scenarios.

The only place that tells the two apart. Everything else asks `kind_of(contest)`.
"""

import abc
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from . import measure
from .agents.networks import MLP
from .agents.scripted import Random
from .agents.wrappers import Tempered
from .core import Environment, Levels, Listed, Mixture, UsageError
from .language.dialogues import Fleet, Script
from .language.exam import draw_exam as draw_prompts
from .language.scenario import RANDOM, Scenario, check_dose
from .language.transformer import Architecture
from .learn.ppo import PPO
from .learn.stage import Stage, Usual
from .literature import paper
from .oracle import Oracle
from .settings import unknown


class Kind(abc.ABC):
    """Do what is particular to one kind of contest: environments, or scenarios."""

    base: type  # of the contests
    least_levels: int  # that an exam can be drawn of
    unit: str  # in which training is counted

    @abc.abstractmethod
    def network(self, contest: Any) -> Any:
        """Give the network that is trained on a contest where the user does not say."""

    @abc.abstractmethod
    def stages(self, contest: Any) -> tuple[Stage, ...]:
        """Give the stages of training where the user does not say."""

    @abc.abstractmethod
    def steps(self, contest: Any) -> int | None:
        """Give the steps of each seed where the user does not say.

        They are environment steps (dialogues, for scenarios); None: as many as the stages want.
        """

    @abc.abstractmethod
    def num_levels(self, contest: Any) -> int:
        """Give the size of each split of the exam where the user does not say."""

    @abc.abstractmethod
    def levels(self, contest: Any, alpha: float, injected: Sequence[tuple[str, float]]) -> Levels | None:
        """Give the training distribution with a share `alpha` of distinguishing levels.

        `injected`, levels as text with weights, take the place of random distinguishing ones. None: the
        contest draws its own. Raises UsageError for what the contest cannot show.
        """

    @abc.abstractmethod
    def draw_exam(self, contest: Any, num_levels: int, alpha: float, seed: int) -> measure.Exam:
        """Draw a contest's exam, the same one for equal arguments."""

    @abc.abstractmethod
    def subject(self, contest: Any, models: Any, temperature: float) -> Any:
        """Make of a fleet's models the subject that the exam examines."""

    @abc.abstractmethod
    def known_subjects(self, contest: Any) -> tuple[str, ...]:
        """Name the subjects that `named_subject` knows."""

    @abc.abstractmethod
    def named_subject(self, contest: Any, name: str) -> Any:
        """Give a known subject by name. Raises UsageError for others."""

    @abc.abstractmethod
    def about(self, contest: Any) -> dict[str, Any]:
        """Say what reports want to know of a contest.

        That is its "size", in words, and whether best play is known, "exact".
        """

    def goal(self, contest: Any, goal: Any) -> Any:
        """Give the goal that training rewards: the intended one for None, or another by name."""
        if goal is None:
            return contest.goals[0]
        if not isinstance(goal, str):
            return goal
        known = {one.name: one for one in contest.goals}
        if goal not in known:
            raise UsageError(unknown("goal", goal, known))
        return known[goal]

    def content(self, contest: Any) -> dict[str, Any]:
        """Describe a contest as reports want it, as JSON."""
        goals = [{"name": goal.name, "sentence": goal.sentence} for goal in contest.goals]
        return {
            "kind": contest.kind,
            "name": contest.name,
            "title": contest.title,
            "intended": goals[0],
            "proxies": goals[1:],
            "papers": [paper(identifier) for identifier in contest.papers],
            **self.about(contest),
        }


class EnvironmentKind(Kind):
    """Do what is particular to environments, in which agents play levels."""

    base = Environment
    least_levels = 16
    unit = "steps"

    def network(self, contest: Environment) -> Any:
        return MLP()

    def stages(self, contest: Environment) -> tuple[Stage, ...]:
        return (PPO(**contest.defaults.learner),)

    def steps(self, contest: Environment) -> int | None:
        return contest.defaults.steps

    def num_levels(self, contest: Environment) -> int:
        return contest.defaults.num_levels

    def levels(
        self, contest: Environment, alpha: float, injected: Sequence[tuple[str, float]]
    ) -> Levels | None:
        shift = contest.shift(0.0 if injected else alpha)
        if not injected:
            return shift.train
        levels = [contest.from_text(text) for text, _ in injected]
        kept = [number for number, level in enumerate(levels, 1) if contest.is_test(level)]
        if kept:
            raise UsageError(
                f"injected levels {kept} have layouts that are kept for evaluation (an eighth of all "
                "are); change a wall in each"
            )
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *levels)
        weights = jnp.array([weight for _, weight in injected], jnp.float32)
        return Mixture(shift.train, Listed(stacked, weights), alpha)

    def draw_exam(self, contest: Environment, num_levels: int, alpha: float, seed: int) -> measure.Exam:
        return measure.draw_exam(contest, num_levels, alpha, seed)

    def subject(self, contest: Environment, models: Any, temperature: float) -> Any:
        return models if temperature == 1 else Tempered(models, temperature)

    def known_subjects(self, contest: Environment) -> tuple[str, ...]:
        best = "reference" if contest.solver is None else "oracle"
        return ("random", *(f"{best}:{goal.name}" for goal in contest.goals))

    def named_subject(self, contest: Environment, name: str) -> Any:
        if name == "random":
            return Random(contest.num_actions)
        kind, _, rest = name.partition(":")
        best = "reference" if contest.solver is None else "oracle"
        if kind != best:
            raise UsageError(f"play of {contest.name} has no {kind} but a {best}: try {best}:{rest}")
        chosen = [self.goal(contest, goal) for goal in rest.split(",")]
        if best == "oracle":
            return Oracle(tuple(chosen))
        if len(chosen) > 1:
            raise UsageError(f"a reference player has one goal: try reference:{chosen[0].name}")
        return contest.reference(chosen[0])

    def about(self, contest: Environment) -> dict[str, Any]:
        level = jax.eval_shape(contest.shift().deploy.sample, jax.random.key(0))
        seen = jax.eval_shape(lambda level: contest.observe(level, contest.reset(level)), level)
        return {
            "size": f"{seen.shape[1]}\u00d7{seen.shape[0]}",
            "exact": contest.solver is not None,
        }


class ScenarioKind(Kind):
    """Do what is particular to scenarios, in which language models hold dialogues."""

    base = Scenario
    least_levels = 8
    unit = "dialogues"

    def network(self, contest: Scenario) -> Any:
        return Architecture()

    def stages(self, contest: Scenario) -> tuple[Stage, ...]:
        return (Usual(),)

    def steps(self, contest: Scenario) -> int | None:
        return None

    def num_levels(self, contest: Scenario) -> int:
        return 256

    def levels(
        self, contest: Scenario, alpha: float, injected: Sequence[tuple[str, float]]
    ) -> Levels | None:
        check_dose(alpha)
        return None

    def draw_exam(self, contest: Scenario, num_levels: int, alpha: float, seed: int) -> measure.Exam:
        return draw_prompts(contest, num_levels, seed)

    def subject(self, contest: Scenario, models: Any, temperature: float) -> Any:
        return Fleet(contest, models, temperature)

    def known_subjects(self, contest: Scenario) -> tuple[str, ...]:
        return (RANDOM, *(f"oracle:{goal.name}" for goal in contest.goals))

    def named_subject(self, contest: Scenario, name: str) -> Any:
        kind, _, script = name.rpartition(":")
        scripts = (RANDOM, *(goal.name for goal in contest.goals))
        if kind not in ("", "oracle", "script") or script not in scripts:
            known = self.known_subjects(contest)
            raise UsageError(unknown(f"subject for {contest.name}", name, known))
        return Script(contest, script)

    def about(self, contest: Scenario) -> dict[str, Any]:
        return {"size": f"{len(contest.vocabulary)} words", "exact": True}


KINDS: dict[str, Kind] = {"environment": EnvironmentKind(), "language": ScenarioKind()}


def kind_of(contest: Any) -> Kind:
    """Look up the `Kind` of a contest."""
    return KINDS[contest.kind]


def is_contest(value: Any) -> bool:
    """Tell whether a value is an environment or a scenario."""
    return isinstance(value, tuple(kind.base for kind in KINDS.values()))
