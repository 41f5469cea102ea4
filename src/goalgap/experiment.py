"""Experiment: the frozen description of one run, of agents or of language models, as an object."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import registry
from .agents.wrappers import Wrapper
from .core import Goal, Levels, UsageError
from .descriptions import digest, from_json, to_json
from .kinds import Kind, is_contest, kind_of
from .learn.curriculum import Curriculum, DomainRandomization
from .learn.penalty import Penalty
from .learn.stage import Budget, Learners, Stage, Stats, Task, stack
from .measure import Exam
from .settings import settle, shown, unknown


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Describe a fleet of seeds to be trained on a contest, and measured before and after the shift.

    Equal experiments train equal policies: everything that matters is here, nothing else is. What is
    left out is filled in at construction by the contest's own defaults. Raises UsageError for what
    cannot be run. A field's default here must never change: stored descriptions leave defaults out.
    """

    contest: Any  # an environment, a scenario, or the name of one
    alpha: float = 0.0  # share of distinguishing levels in training; of counterexamples, for scenarios
    network: Any = None  # what is trained: a NetworkConfig, or an Architecture for scenarios
    stages: tuple[Stage, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    steps: int | None = None  # environment steps of each seed, rounded up to whole updates
    gradient_steps: int | None = None  # of each seed, rounded up; training ends with the first budget
    num_levels: int | None = None  # evaluation levels (prompts) of each split
    num_checkpoints: int = 12  # log-spaced
    goal: str | Goal | None = None  # what training rewards; None: the intended goal
    # Levels, as text, with weights, that take the place of random distinguishing ones in training.
    injected: tuple[tuple[str, float], ...] = ()
    levels: Levels | None = None  # what training shows instead of the environment's own distribution
    curriculum: Curriculum = dataclasses.field(default_factory=DomainRandomization)
    penalties: tuple[Penalty, ...] = ()
    deploy: tuple[Any, ...] = ()  # `agents.wrappers.Wrapper`s around what is measured, innermost first
    temperature: float = 1.0  # of actions and words when they are measured

    def __post_init__(self) -> None:
        contest = self.contest
        if isinstance(contest, str):
            contest = _named(contest)
        if not is_contest(contest):
            raise UsageError(
                f"contest is {shown(contest)}; expected an environment such as Corner(size=7), a "
                "scenario, or the name of one"
            )
        kind = kind_of(contest)
        filled = {
            "contest": contest,
            "network": self.network or kind.network(contest),
            "stages": _tuple("stages", self.stages) or kind.stages(contest),
            "steps": kind.steps(contest) if self.steps is None else self.steps,
            "num_levels": kind.num_levels(contest) if self.num_levels is None else self.num_levels,
            "penalties": _tuple("penalties", self.penalties),
            "deploy": _tuple("deploy", self.deploy),
        }
        if isinstance(filled["network"], str):
            filled["network"] = registry.find("network", filled["network"])
        for name, value in filled.items():
            object.__setattr__(self, name, value)
        settle(
            self,
            alpha=(0, 1),
            steps=(1, 10**11),
            gradient_steps=(1, 10**11),
            num_levels=(kind.least_levels, 10**5),
            num_checkpoints=(1, 1000),
            temperature=(0, 10),
        )
        self._check(kind)

    def _check(self, kind: Kind) -> None:
        """Refuse what does not fit together."""
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or len(self.seeds) > 1000:
            raise UsageError(f"seeds are {self.seeds}; expected 1 to 1000 different ones")
        if not all(0 <= seed < 2**31 - 1 for seed in self.seeds):
            raise UsageError(f"seeds are {self.seeds}; expected whole numbers from 0 to 2^31 - 2")
        if self.injected and not self.alpha:
            raise UsageError(
                "levels are injected with alpha 0, so never shown; set alpha to their share"
            )
        if not all(weight > 0 for _, weight in self.injected):
            raise UsageError("an injected level has weight 0 or less; leave it out")
        if isinstance(self.network, type) or getattr(self.network, "kind", "") != self.contest.kind:
            expected = (
                "MLP(), Impala() or a name" if self.contest.kind == "environment" else "Architecture()"
            )
            raise UsageError(f"network is {shown(self.network)}; expected {expected}, for {self.name}")
        kind.goal(self.contest, self.goal)
        _check_stages(self)
        _check_parts(self)

    @property
    def name(self) -> str:
        """Return the contest's name."""
        return self.contest.name

    @property
    def kind(self) -> Kind:
        """Return the `Kind` of the contest, which does what is particular to agents or models."""
        return kind_of(self.contest)

    @property
    def specification(self) -> str:
        """Say what training asks for where the goals come apart: one of `core.SPECIFICATIONS`.

        It is the contest's and the stages' own, and "misspecified" where a proxy's reward is trained.
        """
        if self.kind.goal(self.contest, self.goal).name != self.contest.goals[0].name:
            return "misspecified"
        asked = [part.specification for part in (self.contest, *self.unfolded)]
        return next((one for one in asked if one != "correct"), "correct")

    @property
    def papers(self) -> tuple[str, ...]:
        """List the arXiv ids of the papers behind the contest and every part of the training."""
        parts = (*self.unfolded, self.network, self.curriculum, *self.penalties, *self.deploy)
        named = [
            *self.contest.papers,
            *(paper for part in parts for paper in getattr(part, "papers", ())),
        ]
        return tuple(dict.fromkeys(named))

    @property
    def description(self) -> dict[str, Any]:
        """Describe the experiment as JSON."""
        return to_json(self)

    @property
    def hash(self) -> str:
        """Hash the description to eight hexadecimal digits, by which the run is found again."""
        return digest(self.description)

    @property
    def train_levels(self) -> Levels | None:
        """Return the distribution that training shows; None: a scenario draws its own prompts.

        Raises UsageError for injected levels that cannot be read or whose layout is kept for evaluation.
        """
        return self.levels or self.kind.levels(self.contest, self.alpha, self.injected)

    def exam(self, num_levels: int | None = None, seed: int = 0) -> Exam:
        """Draw the exam that the trained fleet sits; other levels for another `seed`."""
        size = num_levels or self.num_levels
        assert size is not None  # filled in at construction
        return self.kind.draw_exam(self.contest, size, self.alpha, seed)

    @property
    def unfolded(self) -> tuple[Stage, ...]:
        """List the stages, with the contest's own in place of `Usual`."""
        return tuple(part for stage in self.stages for part in stage.unfold(self.contest, self.alpha))

    def fresh(self) -> Learners:
        """Draw the fleet as it is before any training; a seed's parameters depend on the seed alone."""
        return Learners(stack([self.network.new(self.contest, seed) for seed in self.seeds]))

    def plan(self) -> "tuple[Planned, ...]":
        """Lay out the stages, each with its task and number of updates within the budget."""
        left = Budget(
            *(float("inf") if limit is None else limit for limit in (self.steps, self.gradient_steps))
        )
        goal, levels = self.kind.goal(self.contest, self.goal), self.train_levels
        planned: list[Planned] = []
        for number, stage in enumerate(self.unfolded):
            task = Task(
                self.contest,
                goal,
                levels,
                self.seeds,
                self.alpha,
                self.curriculum,
                self.penalties,
                number,
                left,
                self.num_checkpoints,
            )
            num_updates = stage.num_updates(task)
            before = planned[-1].spent[-1] if planned else Budget(0, 0)
            spent = [before]
            for update in range(num_updates):
                cost = stage.cost(update)
                left = left.less(cost)
                spent.append(Budget(*(a + b for a, b in zip(spent[-1], cost, strict=True))))
            planned.append(Planned(stage, task, num_updates, tuple(spent)))
        return tuple(planned)


class Planned(NamedTuple):
    """Hold a stage of an experiment, and how long the stage trains."""

    stage: Stage
    task: Task
    num_updates: int
    spent: tuple[Budget, ...]  # by each seed since the beginning, before each update and at the end


class Trained(NamedTuple):
    """Hold where a training stands after an update."""

    stage: int
    update: int  # done, of the stage's
    state: Any  # the stage's
    learners: Learners
    spent: Budget  # by each seed since the beginning
    stats: dict[str, Any]  # of the update: a number a seed


def fit(
    plan: tuple[Planned, ...], learners: Learners, stage: int = 0, update: int = 0, state: Any = None
) -> Iterator[Trained]:
    """Train a fleet through the stages of a plan, yielding after each update.

    It begins with the first stage, or goes on from a stored `state` after `update` updates of `stage`.
    """
    for number in range(stage, len(plan)):
        one = plan[number]
        if number > stage or state is None:
            state, update = one.stage.start(one.task, learners), 0
        for done in range(update, one.num_updates):
            state, stats = _advanced(one.stage, one.stage.advance(one.task, state, done))
            learners = one.stage.learners(state)
            yield Trained(number, done + 1, state, learners, one.spent[done + 1], dict(stats))
        learners = one.stage.learners(state)


def _advanced(stage: Stage, answer: Any) -> tuple[Any, Stats]:
    """Take what a stage's `advance` returned. Raises UsageError for anything else than it should."""
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], Mapping)):
        raise UsageError(
            f"{type(stage).__name__}.advance returned a {type(answer).__name__}; expected (state, "
            'statistics), such as state, {"loss": one number a seed}'
        )
    return answer


def load(description: Any) -> Any:
    """Build the object that a description is of: an experiment, an environment, a scenario.

    Raises UsageError for types that neither the package nor an installed plug-in knows.
    """
    return from_json(_of_format_1(description), {**registry.types(), "Experiment": Experiment})


def _of_format_1(value: Any) -> Any:
    """Translate descriptions of the first format, which had an experiment for each kind."""
    if not isinstance(value, dict):
        return value
    if value.get("type") == "Experiment" and "env" in value:
        value = dict(value)
        value["contest"], value["stages"] = value.pop("env"), [value.pop("learner")]
    elif value.get("type") == "LanguageExperiment":
        names = {"scenario": "contest", "dose": "alpha", "architecture": "network"}
        names["num_prompts"] = "num_levels"
        value = {names.get(name, name): item for name, item in value.items()} | {"type": "Experiment"}
    return value


def _named(name: str) -> Any:
    """Give the environment or scenario of a name, with its default options."""
    known = {**registry.environments(), **registry.scenarios()}
    if name not in known:
        raise UsageError(unknown("environment or scenario", name, known))
    kind = known[name]
    return kind(**kind.defaults.options) if hasattr(kind, "defaults") else kind()


def _tuple(name: str, given: Any) -> tuple[Any, ...]:
    """Take one thing for a tuple of it."""
    if isinstance(given, list | tuple):
        return tuple(given)
    return () if given is None else (given,)


def _check_stages(experiment: Experiment) -> None:
    """Refuse stages of another kind of contest, and a stage that follows one it cannot follow."""
    contest, there = experiment.contest, set()
    for stage in experiment.stages:
        if not isinstance(stage, Stage):
            raise UsageError(f"stages hold {stage!r}; expected stages, such as PPO()")
    for stage in experiment.unfolded:
        if stage.kind != contest.kind:
            whose = "agents" if stage.kind == "environment" else "language models"
            raise UsageError(
                f"stage {stage.name or type(stage).__name__} trains {whose} and cannot stand among "
                f"those of {contest.name}; drop the stage"
            )
        if missing := stage.needs - there:
            raise UsageError(
                f"stage {stage.name or type(stage).__name__} needs {', '.join(sorted(missing))}, which "
                "no stage before it gives; put the stage that gives it first"
            )
        there |= stage.gives


def _check_parts(experiment: Experiment) -> None:
    """Refuse parts of the wrong type, or that no stage would use."""
    for name, base in (("penalties", Penalty), ("deploy", Wrapper)):
        for part in getattr(experiment, name):
            if not isinstance(part, base):
                raise UsageError(f"{name} hold {part!r}; expected {base.__name__} objects")
    if not isinstance(experiment.curriculum, Curriculum):
        raise UsageError(f"curriculum is {experiment.curriculum!r}; expected a Curriculum")
    count = len(experiment.seeds)
    for wrapper in experiment.deploy:
        count = wrapper.count(count)
        if wrapper.kind != experiment.contest.kind:
            raise UsageError(
                f"{type(wrapper).__name__} cannot be put around subjects of {experiment.name}"
            )
    used = frozenset().union(*(stage.uses for stage in experiment.unfolded))
    given = {
        "goal": experiment.goal is not None,
        "levels": experiment.levels is not None or bool(experiment.injected),
        "curriculum": experiment.curriculum != DomainRandomization(),
        "penalties": bool(experiment.penalties),
    }
    for name, is_given in given.items():
        if is_given and name not in used:
            names = ", ".join(stage.name for stage in experiment.unfolded)
            raise UsageError(f"no stage of {experiment.name} ({names}) uses {name}; leave {name} out")
    for penalty in experiment.penalties:
        if penalty.needs_groups and not experiment.curriculum.has_groups:
            raise UsageError(
                f"penalty {type(penalty).__name__} needs groups of levels, and "
                f"{type(experiment.curriculum).__name__} makes none; set "
                "curriculum=GroupedRandomization(), or one of your own with has_groups = True"
            )
