"""The verbs, each a frozen set of options that can be called."""

import dataclasses
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic

import numpy as np
from rich.console import Console
from rich.table import Table

from .. import literature, registry, runs, store
from ..agents.outside import Outside
from ..core import Defaults, Environment, UsageError
from ..experiment import Experiment, load
from ..kinds import kind_of
from ..learn.ppo import PPO
from . import language
from .analyze import Analyze
from .arguments import BadArguments, Call, unknown
from .forecast import Forecast
from .options import (
    B,
    Board,
    Flat,
    Target,
    board_of,
    check_owned,
    named,
    value_of,
)
from .parity import Parity
from .show import run_and_show, show


def targets() -> dict[str, Any]:
    """Map names to what can be run by name: environments and scenarios."""
    return {**registry.environments(), **registry.scenarios()}


@dataclasses.dataclass(frozen=True)
class Run(Generic[B]):
    """Train a fleet of seeds, measure before and after the shift, give the verdict, write the report.

    The same options find their folder again: a finished run is shown, an interrupted one goes on.
    """

    env: Target
    """an environment, as `goalgap list` names them"""
    board: Flat[B] = dataclasses.field(default_factory=Board)  # pyright: ignore
    """what the environment is like"""
    alpha: float = 0.0
    """share of training levels on which the goals come apart"""
    seeds: int = Defaults().seeds
    """how many agents are trained"""
    steps: int = Defaults().steps
    """environment steps of each seed; its default depends on the environment"""
    inject: tuple[Path, ...] = ()
    """files with levels that take the place of random distinguishing ones, as `analyze` writes them"""
    network: str = "mlp"
    """mlp, mlp-lstm, impala, impala-lstm, impala-small, or a plug-in's"""
    levels: int = Defaults().num_levels
    """evaluation levels of each split; its default depends on the environment"""
    seed: int = 0
    """the first agent's seed; the others follow it"""
    gradient_steps: int | None = None
    """gradient steps of each seed; training ends with the first budget that is used up"""
    goal: str | None = None
    """train for this goal instead of the intended one"""
    before: tuple[str, ...] = ()
    """stages that the agents go through before PPO, by name, as they are by default"""
    curriculum: str = "domain-randomization"
    """which levels are shown: domain-randomization, grouped-randomization, or a plug-in's"""
    penalty: tuple[str, ...] = ()
    """penalties added to the loss, by name, as they are by default: a plug-in's"""
    deploy: tuple[str, ...] = ()
    """what is put around the agents when they are measured: ensemble, abstain, or a plug-in's"""
    learner: PPO = dataclasses.field(default_factory=lambda: PPO(**Defaults().learner))
    out: Path = Path("runs")
    """where run folders go"""
    json: bool = False
    """print verdict.json instead of words"""

    @classmethod
    def of(cls, kind: type[Environment]) -> "Run":
        """Make the options of an environment, with what it uses where the user does not say."""
        uses = kind.defaults
        board, learner = board_of(kind)(), PPO(**uses.learner)
        made: Any = cls
        return made(
            kind.name,
            board,
            seeds=uses.seeds,
            steps=uses.steps,
            levels=uses.num_levels,
            learner=learner,
        )

    def experiment(self) -> Experiment:
        """Make the experiment that the options describe."""
        env = self.board.fitting(self.inject).environment(self.env)
        if not 1 <= self.seeds <= 1000:
            raise BadArguments(f"--seeds is {self.seeds}; expected 1 to 1000 agents")
        return Experiment(
            env,
            alpha=self.alpha,
            network=registry.find("network", self.network),
            stages=(*(registry.make("stage", name) for name in self.before), self.learner),
            seeds=tuple(range(self.seed, self.seed + self.seeds)),
            steps=self.steps,
            gradient_steps=self.gradient_steps,
            num_levels=self.levels,
            goal=self.goal,
            injected=tuple(one for path in self.inject for one in store.read_levels(env, path)),
            curriculum=registry.make("curriculum", self.curriculum),
            penalties=tuple(registry.make("penalty", name) for name in self.penalty),
            deploy=tuple(registry.make("wrapper", name) for name in self.deploy),
        )

    def call(self) -> None:
        """Run the experiment and print the verdict."""
        run_and_show(self.experiment(), self.out, self.json)


@dataclasses.dataclass(frozen=True)
class Measure(Generic[B]):
    """Judge a policy by the full battery.

    SUBJECT is a run folder, oracle:GOAL (or oracle:GOAL,GOAL: the first while it pays, then the
    next), reference:GOAL where play is not solved exactly, random, or your own policy as
    module:function (or file.py:function): a Python function of
    a batch of observations [B, height, width, channels] that returns actions [B] or logits.
    """

    subject: Target = ""
    """run folder, oracle:GOAL, random, or module:function"""
    env: str | None = None
    """the environment, for subjects that are not run folders"""
    board: Flat[B] = dataclasses.field(default_factory=Board)  # pyright: ignore
    """what the environment is like"""
    levels: int = 512
    """evaluation levels of each split"""
    seed: int = 0
    """which evaluation levels, and which luck"""
    out: Path = Path("runs")
    """where the result goes"""
    engine: str | None = None
    """runs of coinrun: play its agents in the original engine instead, on the same levels as in ours;
    the Python that has it, or auto (GOALGAP_PROCGEN, or this one)"""
    json: bool = False
    """print verdict.json instead of words"""

    def call(self) -> None:
        """Measure the subject and print the verdict. Raises BadArguments for subjects it cannot take."""
        if not self.subject:
            raise BadArguments("TARGET is missing; expected a run folder, oracle:GOAL or random")
        runs.use_compilation_cache()
        if self.env is None and Path(self.subject).is_dir():
            folder = store.RunFolder.load(Path(self.subject)).finished()
            if self.engine is not None:
                self._in_engine(folder)
                return
            path = runs.measure_again(folder, self.levels, self.seed)
            show(path, folder.experiment.contest, self.json)
            return
        if self.env is None:
            raise BadArguments(
                f"{self.subject!r} is no run folder; for another subject say where: --env corner"
            )
        scenario = registry.scenarios().get(self.env)
        contest = self.board.environment(self.env) if scenario is None else scenario()
        command = "goalgap " + " ".join(sys.argv[1:])
        subject = subject_of(self.subject, contest)
        path = runs.measure_subject(
            contest, subject, self.subject, self.out, command, self.levels, self.seed
        )
        show(path, contest, self.json)

    def _in_engine(self, folder: store.RunFolder) -> None:
        """Show what a run's agents do in the original game, beside what they do in ours."""
        from ..original import comparison

        python = None if self.engine == "auto" else self.engine
        rows = comparison.compare(
            folder, self.levels, comparison.START_LEVEL + self.seed * self.levels, python
        )
        about = store.provenance("goalgap " + " ".join(sys.argv[1:]))
        found = {"run": folder.path.name, "rows": rows, "provenance": about}
        store.write_json(folder.path / "engine.json", found)
        if self.json:
            print(json.dumps(found, indent=1))
            return
        table = Table(box=None, header_style="bold")
        for name in ("levels", "event", "ours, 95 % interval", "engine, 95 % interval", "alike"):
            table.add_column(name)
        for row in rows:
            shares = [
                f"{x['estimate']:.3f} [{x['low']:.3f}, {x['high']:.3f}]"
                for x in (row["ours"], row["engine"])
            ]
            table.add_row(row["split"], row["event"], *shares, "yes" if row["alike"] else "no")
        Console().print(table)
        print(f"{rows[0]['ours']['n']} episodes in each; written to {folder.path / 'engine.json'}")


def subject_of(name: str, contest: Any) -> Any:
    """Give the subject that `measure` takes by a name: a known one, or a function of the user's.

    Raises BadArguments, or UsageError, for names that are not known.
    """
    kind, _, rest = name.rpartition(":")
    known = kind_of(contest).known_subjects(contest)
    if kind in ("", "oracle", "reference", "script"):
        if not kind and name not in known:
            raise BadArguments(unknown("subject", name, (*known, "module:function")))
        return kind_of(contest).named_subject(contest, name)
    if contest.kind != "environment":
        raise BadArguments(unknown(f"subject for {contest.name}", name, known))
    return Outside(load_function(kind, rest), contest.num_actions)


def load_function(module: str, name: str) -> Callable[..., Any]:
    """Import a function of a module on the path, of one in the working directory, or of a file.

    Raises BadArguments, or UsageError, where there is none.
    """
    if module.endswith(".py"):
        loaded = registry.module_of(Path(module))
        return _function(loaded, module, name)
    sys.path.insert(0, os.getcwd())
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        raise BadArguments(f"cannot import {module!r}: {error}") from None
    finally:
        sys.path.pop(0)
    return _function(loaded, module, name)


def _function(loaded: Any, module: str, name: str) -> Callable[..., Any]:
    if not callable(getattr(loaded, name, None)):
        functions = [key for key, value in vars(loaded).items() if callable(value)]
        raise BadArguments(unknown(f"function of {module}", name, functions))
    return getattr(loaded, name)


@dataclasses.dataclass(frozen=True)
class Play(Generic[B]):
    """Play an environment in the terminal with the arrow keys; both goals' returns are shown."""

    env: Target
    """an environment, as `goalgap list` names them"""
    board: Flat[B] = dataclasses.field(default_factory=Board)  # pyright: ignore
    """what the environment is like"""
    level: Path | None = None
    """a text file with a level of your own"""
    seed: int = 0
    """which levels"""

    def call(self) -> None:
        """Let the user play."""
        from ..adapters.terminal import play

        paths = () if self.level is None else (self.level,)
        env = self.board.fitting(paths).environment(self.env)
        level = None
        if self.level is not None:
            level = env.from_text(store.read_levels(env, self.level)[0][0])
        play(env, self.seed, level)


@dataclasses.dataclass(frozen=True)
class Study:
    """Reproduce a published or own claim: prints the prediction, the result and whether they agree."""

    name: Target = ""
    """the study; without a name, all are listed"""
    out: Path = Path("runs")
    """where run folders go; finished parts are found again"""
    seed: int = 0
    """the first seed"""
    quick: bool = False
    """a smaller form of the study, where it has one: of minutes, and no proof"""
    json: bool = False
    """print the result as JSON"""

    def call(self) -> int | None:
        """Run the study, or list all studies where none is named."""
        if not self.name:
            print("\n".join(registry.studies()))
            return None
        study = registry.find("study", self.name)
        main = study.load("main")
        if self.quick and "quick" not in inspect.signature(main).parameters:
            raise UsageError(f"the study {self.name} has no quick form; leave --quick out")
        runs.use_compilation_cache()
        result = main(self.out, self.seed, **({"quick": True} if self.quick else {}))
        if self.json:
            print(json.dumps(result, indent=1))
        return None


@dataclasses.dataclass(frozen=True)
class Open:
    """Show a run's report in the browser."""

    run: Target
    """a run folder"""

    def call(self) -> None:
        """Print the path of the report and open it, making it where it is not there."""
        import webbrowser

        path = Path(self.run) / "report.html"
        if not path.exists():
            path = runs.Run(store.RunFolder.load(Path(self.run))).report
        print(path)
        webbrowser.open(path.resolve().as_uri())


@dataclasses.dataclass(frozen=True)
class List:
    """List the runs, environments, layouts, networks and studies there are."""

    out: Path = Path("runs")
    """where run folders are"""
    json: bool = False
    """print as JSON"""

    def call(self) -> None:
        """Print the list."""
        runs = []
        for path in store.list_runs(self.out):
            done = path / "verdict.json"
            try:
                verdict = store.read_json(done)["verdict"] if done.exists() else "unfinished"
            except (UsageError, KeyError, TypeError):
                verdict = "damaged"
            runs.append({"run": str(path), "verdict": verdict})
        for path in sorted(self.out.glob("*/analysis.json")):
            runs.append({"run": str(path.parent), "verdict": "analysis"})
        there = {
            "runs": runs,
            "environments": _titles(registry.environments()),
            "scenarios": _titles(registry.scenarios()),
            "layouts": list(registry.layouts()),
            "networks": list(registry.networks()),
            "studies": list(registry.studies()),
        }
        if self.json:
            print(json.dumps(there, indent=1))
            return
        for name, title in there["environments"].items():
            print(f"environment  {name:12} {title}")
        for name, title in there["scenarios"].items():
            print(f"scenario     {name:12} {title}")
        for kind in ("layouts", "networks", "studies"):
            print(f"{kind:12} {', '.join(there[kind])}")
        for row in runs:
            print(f"run          {row['run']}  {row['verdict']}")


def _titles(kinds: dict[str, Any]) -> dict[str, str]:
    return {name: kind.title for name, kind in kinds.items()}


@dataclasses.dataclass(frozen=True)
class Cite:
    """Print BibTeX of the papers behind a run (a folder) or an environment (its name)."""

    run: Target
    """a run folder or an environment"""

    def call(self) -> None:
        """Print the entries. Raises BadArguments for what is neither a run nor a known name."""
        if self.run in targets():
            papers: tuple[str, ...] = targets()[self.run].papers
        elif Path(self.run).is_dir():
            described = load(store.read_json(Path(self.run) / "experiment.json").get("experiment"))
            papers = described.papers
        else:
            raise BadArguments(unknown("run folder, environment or scenario", self.run, targets()))
        print("\n".join(literature.bibtex(identifier) for identifier in papers))


@dataclasses.dataclass(frozen=True)
class Bench:
    """Measure speed, each rate beside a plain reference in the same run."""

    name: Target = "all"
    """a benchmark, or all"""
    json: bool = False
    """print as JSON"""

    def call(self) -> None:
        """Run the benchmarks and print the table. Raises BadArguments for unknown ones."""
        scripts = registry.benchmarks()
        if self.name != "all" and self.name not in scripts:
            raise BadArguments(unknown("benchmark", self.name, ["all", *scripts]))
        chosen = scripts if self.name == "all" else {self.name: scripts[self.name]}
        rows: list[dict[str, Any]] = []
        for name, script in chosen.items():
            print(f"running {name}", file=sys.stderr)
            rows += [{"benchmark": name} | row for row in script.load("bench")()]
        if self.json:
            print(json.dumps(rows, indent=1, default=float))
            return
        table = Table(box=None, header_style="bold")
        for name in ("what", "ours", "reference", "ratio", "unit", "note"):
            table.add_column(name, justify="right" if name in ("ours", "reference", "ratio") else "left")
        for row in rows:
            numbers = [_figure(row.get(name)) for name in ("ours", "reference", "ratio")]
            table.add_row(row["what"], *numbers, row["unit"], row.get("note", ""))
        Console().print(table)


def _figure(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


OPTIONS: dict[str, type] = {
    "run": Run,
    "analyze": Analyze,
    "measure": Measure,
    "forecast": Forecast,
    "parity": Parity,
    "play": Play,
    "study": Study,
    "open": Open,
    "list": List,
    "cite": Cite,
    "bench": Bench,
}


def options(verb: str, argv: list[str]) -> Call:
    """Read what a command line means: the options of a verb, and their arguments.

    The target is found first, so that options are the target's own. Raises BadArguments where the target
    is not known.
    """
    if verb == "language":
        return language.verb(argv)
    if verb not in ("run", "analyze", "measure", "play"):
        return Call(OPTIONS[verb], verb, argv)
    kind: Any = OPTIONS[verb]
    known = list(targets() if verb in ("run", "measure") else registry.environments())
    name = value_of(argv, "--env") if verb == "measure" else named(argv, known)
    if name is None:
        return Call(kind[Board], verb, argv, description=_about(kind, known) if verb == "run" else None)
    if name not in known:
        what = "environment or scenario" if verb in ("run", "measure") else "environment"
        raise BadArguments(unknown(what, name, known))
    if name in registry.scenarios():
        return language.training("run", name, argv) if verb == "run" else Call(kind[Board], verb, argv)
    return _of_environment(kind, verb, registry.environments()[name], argv)


def _of_environment(kind: Any, verb: str, env: type[Environment], argv: list[str]) -> Call:
    """Call a verb with an environment's options, at what the environment uses by default."""
    check_owned(argv, env, kind)
    board = board_of(env)()
    typed = kind[type(board)]
    if verb == "measure":
        return Call(typed, verb, argv, kind(board=board, env=env.name))
    board = board.for_analysis() if verb == "analyze" else board
    used = kind.of(env) if verb == "run" else kind(env.name, board)
    return Call(typed, f"{verb} {env.name}", argv, used)


def _about(kind: type, known: list[str]) -> str:
    """Join a verb's docstring and what its target may be."""
    return (
        f"{inspect.getdoc(kind)}\n\nTARGET is one of {', '.join(known)}. What is an option of one of "
        f"these is shown by `goalgap run {known[0]} --help`."
    )
