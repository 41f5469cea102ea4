"""The verb `language`, and `run` for scenarios: small models trained, any model evaluated."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Generic, TypeVar

from .. import registry, runs, store
from ..adapters import inspect
from ..experiment import Experiment
from ..language import Architecture
from ..language.scenario import Scenario
from ..learn.stage import Stage, Usual
from .arguments import BadArguments, Call, unknown
from .options import Flat, Target, named
from .show import run_and_show

DOES = {
    "train": "train a fleet of small models on a scenario (as `goalgap run SCENARIO`)",
    "evaluate": "evaluate any model through Inspect: a task, a model",
    "list": "the scenarios and Inspect tasks there are",
}
S = TypeVar("S", bound=Scenario)


@dataclasses.dataclass(frozen=True)
class Train(Generic[S]):
    """Train a fleet of small language models from nothing on a scenario, measure, judge, report.

    The same options find their folder again: a finished run is shown, an interrupted one goes on.
    """

    scenario: Flat[S]
    dose: float = 0.0
    """share of counterexamples in training: prompts on which the goals part, answered as intended"""
    seeds: int = 4
    """how many models are trained"""
    seed: int = 0
    """the first model's seed; the others follow it"""
    prompts: int = 256
    """evaluation prompts of each split"""
    temperature: float = 1.0
    """of what models say when they are measured; 0 takes the likeliest word"""
    after: tuple[str, ...] = ()
    """stages that the models go through after the scenario's own, by name: a plug-in's"""
    architecture: Flat[Architecture] = dataclasses.field(default_factory=Architecture)
    out: Path = Path("runs")
    """where run folders go"""
    json: bool = False
    """print verdict.json instead of words"""

    def experiment(self) -> Experiment:
        """Make the experiment that the options describe."""
        if not 1 <= self.seeds <= 1000:
            raise BadArguments(f"--seeds is {self.seeds}; expected 1 to 1000 models")
        own: tuple[Stage, ...] = (Usual(),)
        return Experiment(
            self.scenario,
            self.dose,
            self.architecture,
            stages=own + tuple(registry.make("stage", name) for name in self.after),
            seeds=tuple(range(self.seed, self.seed + self.seeds)),
            num_levels=self.prompts,
            temperature=self.temperature,
        )

    def call(self) -> None:
        """Run the experiment and print the verdict."""
        run_and_show(self.experiment(), self.out, self.json)


def training(verb: str, name: str, argv: list[str]) -> Call:
    """Call the verb that trains models on the scenario called `name`, which is one of the arguments."""
    at = argv.index(name)
    kind = Train[registry.scenarios()[name]]
    return Call(kind, f"{verb} {name}", argv[:at] + argv[at + 1 :])


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate a model through Inspect, and read the log back into a folder with measurements.

    Where the task has a shift, the folder has a verdict and a report, too.

    TASK is a scenario, or answer, are_you_sure, feedback or mimicry (SycophancyEval). MODEL is what
    Inspect takes: goalgap/RUN-FOLDER for our small models, goalgap/always-caves, goalgap/never-caves,
    hf/..., openai-api/..., anthropic/... Needs `pip install "goalgap[language]"`.
    """

    task: Target
    """a task, as `goalgap language list` names them"""
    model: str
    """the model"""
    data: str | None = None
    """SycophancyEval's tasks: your own copy of the data, a JSONL file; own (our questions, the default);
    small (in the words of our small models)"""
    grader: str | None = None
    """feedback: the model that judges"""
    limit: int | None = None
    """how many samples at most; scenarios need all for a verdict"""
    prompts: int | None = None
    """scenarios: prompts of each split (default: 128)"""
    seed: int | None = None
    """scenarios: which prompts"""
    out: Path = Path("runs")
    """where logs and folders go"""
    json: bool = False
    """print the measurements as JSON"""

    def call(self) -> None:
        """Evaluate the model, read the log back, and print the measurements."""
        inspect.check_installed()
        runs.use_compilation_cache()
        given: dict[str, Any] = {"data": self.data, "prompts": self.prompts, "seed": self.seed}
        if self.task in registry.scenarios():
            given["split"] = None if self.limit else "all"
        args = {name: value for name, value in given.items() if value is not None}
        log = inspect.evaluate(
            self.task,
            self.model,
            self.out / "logs",
            grader=self.grader,
            task_args=args,
            **({} if self.limit is None else {"limit": self.limit}),
        )
        folder = inspect.measure_log(log, self.out)
        if self.json:
            print((folder / "replies.json").read_text())
            return
        print((folder / "summary.md").read_text())
        if (folder / "verdict.json").exists():
            print(store.read_json(folder / "verdict.json")["sentence"])
            print(f"Report: {folder / 'report.html'}")
        print(f"Log: {log}", f"Measurements: {folder}", sep="\n")


@dataclasses.dataclass(frozen=True)
class ListScenarios:
    """List the scenarios and Inspect tasks there are."""

    json: bool = False
    """print as JSON"""

    def call(self) -> None:
        """Print the list."""
        there: dict[str, Any] = {
            name: {
                "title": kind.title,
                "intended": kind.intended.sentence,
                "proxies": [proxy.sentence for proxy in kind.proxies],
                "papers": list(kind.papers),
            }
            for name, kind in registry.scenarios().items()
        }
        if self.json:
            print(json.dumps(there, indent=1))
            return
        for name, about in there.items():
            print(f"{name:14} {about['title']}: to {about['intended']}, or to {about['proxies'][0]}")
        print(f"\nfor `language evaluate`, all of these, and {', '.join(inspect.SYCOPHANCY)}")


def verb(argv: list[str]) -> Call:
    """Read what follows `goalgap language`: which options it means, and their arguments.

    Raises BadArguments for a verb or a scenario that is not known.
    """
    if not argv or argv[0] in ("-h", "--help"):
        lines = "\n".join(f"  {name:10}{text}" for name, text in DOES.items())
        print(f"usage: goalgap language train|evaluate|list [options]\n\n{lines}")
        raise SystemExit(0)
    name, rest = argv[0], argv[1:]
    if name not in DOES:
        raise BadArguments(unknown("language verb", name, DOES))
    if name == "list":
        return Call(ListScenarios, "language list", rest)
    if name == "evaluate":
        return Call(Evaluate, "language evaluate", rest)
    given = named(rest, registry.scenarios())
    if given not in registry.scenarios():
        raise BadArguments(unknown("scenario", given or "", registry.scenarios()))
    return training("language train", given, rest)
