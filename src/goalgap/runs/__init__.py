"""Train, measure, store and report in one call: what the command line and a script both use.

import goalgap
run = goalgap.run(goalgap.Experiment(goalgap.Corner(size=7), steps=400_000))
print(run.verdict["sentence"])
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import measure, report, store
from ..agents.networks import Network
from ..core import Contest, Environment, Policy, UsageError, tree_index
from ..descriptions import to_json
from ..experiment import Experiment, fit
from ..learn.ppo import Trainer, TrainState
from ..literature import PAPERS
from ..store import RunFolder

SAVE_SECONDS = 5.0  # of training that an interruption may cost, unless it can be waited for


class Interrupted(Exception):
    """The run was asked to stop, and has stored where it stands."""


class Listener:
    """Hears how a run is going; this one keeps silent. `stop` asks the run to store and leave."""

    stop = False

    def say(self, text: str) -> None:
        """A stage begins."""

    def update(self, done: int, total: int, steps_per_second: float, stats: dict[str, float]) -> None:
        """An update is done, of so many (environment steps of the fleet)."""

    def evaluated(self, env_steps: int, reached: dict[tuple[str, str], float]) -> None:
        """A checkpoint was measured: (split, goal) -> share of episodes that achieve the goal."""


class Run:
    """A finished run on disk."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    @property
    def verdict(self) -> dict[str, Any]:
        return store.read_json(self.folder.path / "verdict.json")

    @property
    def outcomes(self) -> dict[str, np.ndarray]:
        """A row an episode; the columns of outcomes.parquet."""
        return store.read_table(self.folder.path / "outcomes.parquet")

    @property
    def report(self) -> Path:
        """The page, made if it is not there."""
        path = self.folder.path / "report.html"
        if not path.exists():
            write_report(self.folder)
        return path

    def policies(self) -> Network:
        """The fleet's last policies, with a leading axis of seeds."""
        return load_policies(self.folder)


def use_compilation_cache() -> None:
    """Keep compiled programs between processes: most of a second start is not compiling again.

    In the user's cache directory, apart by JAX version and machine; `JAX_COMPILATION_CACHE_DIR` names
    another place, `GOALGAP_NO_CACHE=1` turns it off. Failing to write there is no error.
    """
    if os.environ.get("GOALGAP_NO_CACHE") or os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = base / "goalgap" / f"jax-{jax.__version__}-{os.uname().machine}"
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def run(
    experiment: Experiment,
    root: Path | str = "runs",
    listener: Listener | None = None,
    command: str = "goalgap.run",
) -> Run:
    """Train the fleet, measure before and after the shift, judge, and write everything down.

    The same experiment finds its folder below `root` again: finished, it is returned as it is;
    interrupted, it goes on from where it was stored, to the same weights bit for bit. Raises
    `Interrupted` when the listener asked to stop, UsageError for what cannot be run.
    """
    listener = listener or Listener()
    folder = RunFolder.create(experiment, Path(root), command)
    if folder.is_finished:
        if not (folder.path / "report.html").exists():  # an interruption came before it
            write_report(folder)
        return Run(folder)
    began = time.perf_counter()
    listener.say("drawing and solving the evaluation levels")
    exam = measure.draw_exam(experiment.env, experiment.num_levels, experiment.alpha)
    trainer = experiment.trainer()
    state, done, seconds = _resume(folder, trainer.start())
    listener.say(f"training from {done} of {experiment.num_updates} updates" if done else "compiling")
    training = _Clock(seconds)
    for done, state in _train(folder, exam, trainer, state, done, training, listener):  # noqa: B020
        if listener.stop:
            _save(folder, state, done, training.seconds)
            raise Interrupted(f"stopped at {done} of {experiment.num_updates} updates")
    _save(folder, state, done, training.seconds)
    listener.say("measuring")
    env_steps = done * experiment.learner.steps_per_update
    table, states = exam.examine(state.network, experiment.seeds, env_steps)
    _write_policies(folder, state.network, env_steps)
    earlier = sorted((folder.path / "checkpoints").glob("*.parquet"))
    outcomes = stack_tables(*(store.read_table(path) for path in earlier), table)
    verdict = measure.judge(table, experiment.env)
    total_steps = env_steps * len(experiment.seeds)
    verdict |= {
        "env_steps": total_steps,
        "steps_per_second": total_steps / training.seconds,
        "wall_seconds": seconds + time.perf_counter() - began,
        **exam.about(),
    }
    pictures = exam.pictures(state.network, table, states)
    finish(folder.path, experiment.env, outcomes, table, verdict, pictures)
    folder.resume_path.unlink(missing_ok=True)
    for path in earlier:
        path.unlink()
    (folder.path / "checkpoints").rmdir() if earlier else None
    listener.say("writing the report")
    write_report(folder)
    return Run(folder)


def finish(
    path: Path,
    env: Contest,
    outcomes: dict[str, np.ndarray],
    last: dict[str, np.ndarray],
    verdict: dict[str, Any],
    pictures: dict[str, Any],
) -> None:
    """Write what was found; verdict.json comes last and says that all the rest is there."""
    verdict["sentence"] = measure.sentence(verdict, env)
    store.write_table(path / "outcomes.parquet", outcomes)
    store.write_table(path / "curves.parquet", measure.curves(outcomes, env))
    store.write_json(path / "measurements.json", measure.measurements(last, env))
    for name, picture in pictures.items():
        if picture is not None:
            store.write_json(path / name, picture)
    store.write_json(path / "verdict.json", verdict)


class _Clock:
    """Seconds of training, over interruptions."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def _train(
    folder: RunFolder,
    exam: measure.Exam,
    trainer: Trainer,
    state: TrainState,
    done: int,
    clock: _Clock,
    listener: Listener,
) -> Iterator[tuple[int, TrainState]]:
    """Train to the end, measuring and storing on the way; yields after each update."""
    experiment = folder.experiment
    fleet_steps = experiment.learner.steps_per_update * len(experiment.seeds)
    checkpoints = set(experiment.checkpoints)
    saved = last = time.perf_counter()
    recent: list[float] = []
    for done, state, stats in fit(trainer, state, done, experiment.num_updates):  # noqa: B020
        means = {name: float(value.mean()) for name, value in stats.items()}  # waits for the update
        now = time.perf_counter()
        clock.seconds += now - last
        recent = [*recent[-19:], now - last]
        speed = fleet_steps / float(np.median(recent))
        listener.update(done * fleet_steps, experiment.num_updates * fleet_steps, speed, means)
        if done in checkpoints and done < experiment.num_updates:
            _checkpoint(folder, exam, state, done, listener)
        if time.perf_counter() - saved > SAVE_SECONDS:
            _save(folder, state, done, clock.seconds)
            saved = time.perf_counter()
        yield done, state
        last = time.perf_counter()


def _checkpoint(
    folder: RunFolder, exam: measure.Exam, state: TrainState, done: int, listener: Listener
) -> None:
    experiment = folder.experiment
    env_steps = done * experiment.learner.steps_per_update
    table, _ = exam.examine(state.network, experiment.seeds, env_steps, ("train", "shift"), number=done)
    store.write_table(folder.checkpoint_path(env_steps), table)
    _write_policies(folder, state.network, env_steps)
    reached = {
        (split, goal.name): float((table[f"event_{goal.name}"][table["split"] == split] >= 0).mean())
        for split in ("train", "shift")
        for goal in experiment.env.goals
    }
    listener.evaluated(env_steps, reached)


def _write_policies(folder: RunFolder, fleet: Network, env_steps: int) -> None:
    for index, seed in enumerate(folder.experiment.seeds):
        about = {"seed": seed, "env_steps": env_steps, "hash": folder.experiment.hash}
        store.write_tree(folder.policy_path(seed, env_steps), tree_index(fleet, index), about)


def _save(folder: RunFolder, state: TrainState, done: int, seconds: float) -> None:
    about = {"updates": done, "seconds": seconds, "hash": folder.experiment.hash}
    store.write_tree(folder.resume_path, state, about)


def _resume(folder: RunFolder, fresh: TrainState) -> tuple[TrainState, int, float]:
    """Where the folder's training stands: (state, updates done, seconds trained)."""
    if not folder.resume_path.exists():
        return fresh, 0, 0.0
    state, about = store.read_tree(folder.resume_path, fresh)
    return state, about["updates"], about["seconds"]


def stack_tables(*tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tables of equal columns, one below the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[-1]}


def load_policies(folder: RunFolder) -> Network:
    """The last policies of a run's seeds, stacked."""
    experiment = folder.experiment
    env_steps = experiment.num_updates * experiment.learner.steps_per_update
    like = experiment.network.new(experiment.env, 0)
    loaded = [store.read_tree(folder.policy_path(seed, env_steps), like)[0] for seed in experiment.seeds]
    return jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *loaded)


def measure_again(folder: RunFolder, num_levels: int, seed: int) -> Path:
    """The battery once more on a run's last policies, with other levels or another seed of luck;
    returns the folder of its results, beside the run's policies."""
    env, experiment = folder.experiment.env, folder.experiment
    began = time.perf_counter()
    exam = measure.draw_exam(env, num_levels, experiment.alpha, seed)
    fleet = load_policies(folder)
    env_steps = experiment.num_updates * experiment.learner.steps_per_update
    table, states = exam.examine(fleet, experiment.seeds, env_steps, number=seed)
    path = folder.path / f"measured-{num_levels}-{seed}"
    pictures = exam.pictures(fleet, table, states)
    store.write_json(path / "experiment.json", folder.about)
    return _file(path, env, exam, table, pictures, began)


def _file(
    path: Path,
    env: Environment,
    exam: measure.Exam,
    table: dict[str, np.ndarray],
    pictures: dict[str, Any],
    began: float,
    **more: Any,
) -> Path:
    """Judge an exam without training, and store it."""
    steps, seconds = int(table["length"].sum()), time.perf_counter() - began
    verdict = measure.judge(table, env) | more | exam.about()
    verdict |= {"env_steps": steps, "wall_seconds": seconds, "steps_per_second": steps / seconds}
    finish(path, env, table, table, verdict, pictures)
    report.write(report_content(path, environment_content(env)), path / "report.html")
    return path


def measure_subject(
    env: Environment,
    policy: Policy,
    name: str,
    root: Path,
    command: str,
    num_levels: int = 512,
    seed: int = 0,
) -> Path:
    """The battery on a policy that we did not train; returns the folder of its results."""
    began = time.perf_counter()
    exam = measure.draw_exam(env, num_levels, seed=seed)
    table, states = exam.examine(policy, (0,), 0, fleet=False, number=seed)
    safe = "".join(letter if letter.isalnum() else "-" for letter in name)
    size = getattr(env, "size", None)
    path = root / "-".join([env.name, *([] if size is None else [str(size)]), safe])
    about = {"format": store.FORMAT, "subject": name, **store.provenance(command)}
    store.write_json(path / "experiment.json", about | {"experiment": to_json(env)})
    pictures = exam.pictures(policy, table, states, name)
    return _file(path, env, exam, table, pictures, began, subject=name)


def write_report(folder: RunFolder) -> Path:
    """Make report.html from what is stored."""
    path = folder.path / "report.html"
    report.write(report_content(folder.path, environment_content(folder.experiment.env)), path)
    return path


def environment_content(env: Environment) -> dict[str, Any]:
    """An environment as reports want it."""
    goals = [{"name": goal.name, "sentence": goal.sentence} for goal in env.goals]
    return {
        "name": env.name,
        "title": env.title,
        "intended": goals[0],
        "proxies": goals[1:],
        "size": _extent(env),
        "exact": env.solver is not None,
        "papers": [PAPERS[identifier] for identifier in env.papers],
    }


def _extent(env: Environment) -> str:
    """The board's width and height, as the report names them."""
    level = jax.eval_shape(env.shift().deploy.sample, jax.random.key(0))
    seen = jax.eval_shape(lambda level: env.observe(level, env.reset(level)), level)
    return f"{seen.shape[1]}\u00d7{seen.shape[0]}"


def report_content(path: Path, env: dict[str, Any]) -> dict[str, Any]:
    """A run folder as the report wants it, with what `environment_content` gives."""
    about = store.read_json(path / "experiment.json")
    curves = store.read_table(path / "curves.parquet")
    content = {
        "experiment": about["experiment"],
        "about": {"subject": "trained fleet", "hash": None} | about,
        "env": env,
        "verdict": store.read_json(path / "verdict.json"),
        "measurements": store.read_json(path / "measurements.json"),
    }
    if np.unique(curves["env_steps"]).size > 1:
        names = list(curves)
        rows = zip(*(curves[name].tolist() for name in names), strict=True)
        content["curves"] = [dict(zip(names, row, strict=True)) for row in rows]
    for name in ("splay", "episodes"):
        if (path / f"{name}.json").exists():
            content[name] = store.read_json(path / f"{name}.json")
    return content


__all__ = ["Interrupted", "Listener", "Run", "UsageError", "measure_subject", "run"]
