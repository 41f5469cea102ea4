"""Language models trained, measured, stored and reported in one call, as `runs.run` does for agents."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import measure, report, store
from ..core import tree_index
from ..language import LanguageExperiment
from ..language.dialogues import Fleet, Script, Speaker
from ..language.exam import draw_exam
from ..language.experiment import Situation, fit
from ..language.scenario import Scenario
from ..language.stage import Learners, stack
from ..language.transformer import Transformer, new
from ..literature import PAPERS
from ..store import RunFolder
from . import SAVE_SECONDS, Interrupted, Listener, Run, finish, report_content, stack_tables


class LanguageRun(Run):
    """A finished run on disk."""

    folder: RunFolder[LanguageExperiment]

    @property
    def report(self) -> Path:
        path = self.folder.path / "report.html"
        return path if path.exists() else write_report(self.folder.path, self.folder.experiment.scenario)

    def models(self) -> Transformer:
        """The fleet's models, with a leading axis of seeds."""
        return load_models(self.folder)

    def others(self) -> dict[str, Any]:
        """What training kept beside the models, by name ("reference", "reward"), likewise."""
        experiment = self.folder.experiment
        like = experiment.at(len(experiment.stages) - 1).others
        return store.read_tree(_others_path(self.folder), like)[0] if like else {}


def run(
    experiment: LanguageExperiment,
    root: Path | str = "runs",
    listener: Listener | None = None,
    command: str = "goalgap.run",
) -> LanguageRun:
    """Train a fleet of models through the scenario's stages, measure, judge, and write everything down.

    The same experiment finds its folder again, as with `runs.run`. Raises `Interrupted` when the
    listener asked to stop, UsageError for what cannot be run.
    """
    listener = listener or Listener()
    folder = RunFolder.create(experiment, Path(root), command)
    scenario = experiment.scenario
    if folder.is_finished:
        if not (folder.path / "report.html").exists():
            write_report(folder.path, scenario)
        return LanguageRun(folder)
    began = time.perf_counter()
    listener.say("drawing the evaluation prompts")
    exam = draw_exam(scenario, experiment.num_prompts)
    listener.say("training")
    start = _resume(folder)
    clock, situation = 0.0, None
    for situation, clock in _train(folder, exam, listener, start):
        if listener.stop and situation.dialogues < experiment.total:
            _save(folder, situation, clock)
            share = situation.dialogues / experiment.total
            raise Interrupted(f"stopped after {share:.0%} of training")
    assert situation is not None
    listener.say("measuring")
    models = situation.learners.models
    speaker = Fleet(scenario, models, experiment.temperature)
    table, dialogues = exam.examine(speaker, experiment.seeds, situation.dialogues)
    for index, seed in enumerate(experiment.seeds):
        about = {"seed": seed, "env_steps": situation.dialogues, "hash": experiment.hash}
        store.write_tree(folder.policy_path(seed, situation.dialogues), tree_index(models, index), about)
    if others := situation.learners.others:
        store.write_tree(_others_path(folder), others, {"hash": experiment.hash})
    earlier = sorted((folder.path / "checkpoints").glob("*.parquet"))
    outcomes = stack_tables(*(store.read_table(path) for path in earlier), table)
    total = situation.dialogues * len(experiment.seeds)
    verdict = measure.judge(table, scenario) | {
        "env_steps": total,
        "steps_per_second": total / clock,
        "wall_seconds": start.seconds + time.perf_counter() - began,
    }
    finish(folder.path, scenario, outcomes, table, verdict, exam.pictures(speaker, table, dialogues))
    folder.resume_path.unlink(missing_ok=True)
    for path in earlier:
        path.unlink()
    (folder.path / "checkpoints").rmdir() if earlier else None
    listener.say("writing the report")
    write_report(folder.path, scenario)
    return LanguageRun(folder)


def _train(
    folder: RunFolder[LanguageExperiment], exam: measure.Exam, listener: Listener, start: "_Start"
) -> Iterator[tuple[Situation, float]]:
    """Train to the end, measuring and storing on the way; yields after each chunk, with the seconds."""
    experiment = folder.experiment
    learners, stage, chunk, seconds = start
    saved = last = time.perf_counter()
    total = experiment.total * len(experiment.seeds)
    for situation in fit(experiment, learners, stage, chunk):
        now = time.perf_counter()
        seconds += now - last
        done = situation.dialogues * len(experiment.seeds)
        means = {name: float(np.mean(value)) for name, value in situation.stats.items()}
        one = experiment.stages[situation.stage]
        if situation.chunk == 1:
            listener.say(one.name)
        listener.update(done, total, done / seconds, means)
        looks = {round(one.num_chunks * (look + 1) / one.looks) for look in range(one.looks)}
        is_last = situation.dialogues == experiment.total
        if situation.chunk in looks and not is_last:
            _checkpoint(folder, exam, situation, listener)
        if time.perf_counter() - saved > SAVE_SECONDS and not is_last:
            _save(folder, situation, seconds)
            saved = time.perf_counter()
        yield situation, seconds
        last = time.perf_counter()


def _checkpoint(
    folder: RunFolder[LanguageExperiment], exam: measure.Exam, situation: Situation, listener: Listener
) -> None:
    experiment = folder.experiment
    speaker = Fleet(experiment.scenario, situation.learners.models, experiment.temperature)
    table, _ = exam.examine(speaker, experiment.seeds, situation.dialogues, number=situation.dialogues)
    store.write_table(folder.checkpoint_path(situation.dialogues), table)
    reached = {
        (split, goal.name): float((table[f"event_{goal.name}"][table["split"] == split] >= 0).mean())
        for split in ("train", "shift")
        for goal in experiment.scenario.goals
    }
    listener.evaluated(situation.dialogues, reached)


def _save(folder: RunFolder[LanguageExperiment], situation: Situation, seconds: float) -> None:
    about = {"stage": situation.stage, "chunk": situation.chunk, "seconds": seconds}
    store.write_tree(folder.resume_path, situation.learners, about | {"hash": folder.experiment.hash})


class _Start(NamedTuple):
    """Where a training stands."""

    learners: Learners
    stage: int
    chunk: int  # done, of the stage's
    seconds: float  # trained


def _resume(folder: RunFolder[LanguageExperiment]) -> _Start:
    """Where the folder's training stands."""
    experiment = folder.experiment
    if not folder.resume_path.exists():
        return _Start(experiment.fresh(), 0, 0, 0.0)
    about = store.read_header(folder.resume_path)
    learners, _ = store.read_tree(folder.resume_path, experiment.at(about["stage"]))
    return _Start(learners, about["stage"], about["chunk"], about["seconds"])


def _others_path(folder: RunFolder[LanguageExperiment]) -> Path:
    return folder.path / "policies" / "others.safetensors"


def load_models(folder: RunFolder[LanguageExperiment]) -> Transformer:
    """The last models of a run's seeds, stacked."""
    experiment = folder.experiment
    scenario = experiment.scenario
    like = new(experiment.architecture, len(scenario.vocabulary), scenario.context, 0)
    total = experiment.total
    loaded = [store.read_tree(folder.policy_path(seed, total), like)[0] for seed in experiment.seeds]
    return stack(loaded)


def measure_again(folder: RunFolder[LanguageExperiment], num_prompts: int, seed: int) -> Path:
    """The battery once more on a run's last models, with other prompts or another seed of luck; returns
    the folder of its results, beside the run's models."""
    began = time.perf_counter()
    experiment = folder.experiment
    exam = draw_exam(experiment.scenario, num_prompts, seed)
    speaker = Fleet(experiment.scenario, load_models(folder), experiment.temperature)
    table, dialogues = exam.examine(speaker, experiment.seeds, experiment.total, number=seed)
    path = folder.path / f"measured-{num_prompts}-{seed}"
    store.write_json(path / "experiment.json", folder.about)
    pictures = exam.pictures(speaker, table, dialogues)
    return judged(path, experiment.scenario, table, began, pictures)


def measure_script(
    scenario: Scenario, name: str, root: Path, command: str, num_prompts: int = 256, seed: int = 0
) -> Path:
    """The battery on a script of the scenario's, a known subject; returns the folder of its results."""
    return measure_speaker(
        scenario, Script(scenario, name), f"script:{name}", root, command, num_prompts, seed
    )


def measure_speaker(
    scenario: Scenario,
    speaker: Speaker,
    name: str,
    root: Path,
    command: str,
    num_prompts: int = 256,
    seed: int = 0,
) -> Path:
    """The battery on somebody we did not train; returns the folder of its results."""
    began = time.perf_counter()
    exam = draw_exam(scenario, num_prompts, seed)
    table, dialogues = exam.examine(speaker, (0,), 0, number=seed)
    safe = "".join(letter if letter.isalnum() else "-" for letter in name)
    path = root / f"{scenario.name}-{safe}"
    about = {"format": store.FORMAT, "subject": name, **store.provenance(command)}
    store.write_json(path / "experiment.json", about | {"experiment": store.to_json(scenario)})
    pictures = exam.pictures(speaker, table, dialogues, name)
    return judged(path, scenario, table, began, pictures, subject=name)


def judged(
    path: Path,
    scenario: Scenario,
    table: dict[str, np.ndarray],
    began: float,
    pictures: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Judge outcomes without training, and store and report them; `more` goes into the verdict."""
    steps, seconds = int(table["length"].sum()), time.perf_counter() - began
    verdict: dict[str, Any] = measure.judge(table, scenario) | more
    verdict |= {"env_steps": steps, "wall_seconds": seconds, "steps_per_second": steps / seconds}
    finish(path, scenario, table, table, verdict, pictures or {})
    write_report(path, scenario)
    return path


def write_report(path: Path, scenario: Scenario) -> Path:
    """Make report.html from what is stored."""
    content = report_content(path, scenario_content(scenario))
    if (path / "transcripts.json").exists():
        content["transcripts"] = store.read_json(path / "transcripts.json")
    report.write(content, path / "report.html")
    return path / "report.html"


def scenario_content(scenario: Scenario) -> dict[str, Any]:
    """A scenario as reports want it."""
    goals = [goal._asdict() for goal in scenario.goals]
    return {
        "kind": scenario.kind,
        "name": scenario.name,
        "title": scenario.title,
        "intended": goals[0],
        "proxies": goals[1:],
        "size": f"{len(scenario.vocabulary)} words",
        "exact": True,
        "papers": [PAPERS[identifier] for identifier in scenario.papers],
    }
