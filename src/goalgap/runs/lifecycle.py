"""The one lifecycle of a run, agents' or models': train, checkpoint, resume, measure, judge, report."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import measure, store
from ..core import tree_index
from ..experiment import Experiment, Planned, Trained, fit
from ..learn.stage import Budget, Learners
from ..store import RunFolder
from .listener import Interrupted, Listener
from .measuring import deployed, write_findings
from .stored import Run, write_report

SAVE_SECONDS = 5.0  # of training that an interruption may cost, unless it can be waited for


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
    folder = RunFolder.create(experiment, Path(root), command)
    if not folder.is_finished:
        _Running(folder, listener or Listener()).run()
    elif not (folder.path / "report.html").exists():  # an interruption came before it
        write_report(folder)
    return Run(folder)


class _Running:
    """Carry a run through to its end."""

    def __init__(self, folder: RunFolder, listener: Listener) -> None:
        self.folder, self.listener = folder, listener
        self.experiment: Experiment = folder.experiment
        self.plan: tuple[Planned, ...] = self.experiment.plan()
        self.rows: list[dict[str, Any]] = []  # of train.parquet
        self.seconds = 0.0  # of training, over interruptions

    @property
    def num_seeds(self) -> int:
        return len(self.experiment.seeds)

    @property
    def total(self) -> int:
        """Count the environment steps (dialogues) of the whole fleet."""
        return int(self.whole.env_steps) * self.num_seeds

    @property
    def whole(self) -> Budget:
        """Give the budget that training spends on each seed, from beginning to end."""
        return self.plan[-1].spent[-1]

    def run(self) -> None:
        """Go on from where the folder stands, to the end."""
        began = time.perf_counter()
        experiment, say = self.experiment, self.listener.say
        say("drawing the exam, and compiling")
        # Side by side: each waits mostly for its own programs to be compiled.
        thread = ThreadPoolExecutor(1)
        exam = thread.submit(experiment.exam)
        thread.shutdown(wait=False)
        start = self._resume()
        before = self.seconds
        last = Trained(start.stage, start.update, start.state, start.learners, start.spent, {})
        for last in self._train(exam, start):  # not once, where it was interrupted after the last update
            if self.listener.stop and not self._is_last(last):
                self._save(last)
                share = self._work(last.spent) / self._work(self.whole)
                raise Interrupted(f"stopped after {share:.0%} of training")
        self._save(last)
        say("measuring")
        self._finish(exam.result(), last, before + time.perf_counter() - began)
        say("writing the report")
        write_report(self.folder)

    def _train(self, exam: "Future[measure.Exam]", start: "_Start") -> Iterator[Trained]:
        """Train to the end, measuring and storing on the way; yield after each update."""
        saved = last = time.perf_counter()
        checkpoints = [one.stage.checkpoints(one.task) for one in self.plan]
        recent: list[float] = []
        stage = None
        for now in fit(self.plan, start.learners, start.stage, start.update, start.state):
            if now.stage != stage and len(self.plan) > 1:
                self.listener.say(self.plan[now.stage].stage.name)
            stage = now.stage
            # Reading the statistics waits for the update.
            stats = {name: np.asarray(value, float) for name, value in now.stats.items()}
            took = time.perf_counter() - last
            self.seconds += took
            self._note(now, stats)
            recent = [*recent[-19:], took / max(self._steps_of(now), 1)]
            done, total = self._work(now.spent), self._work(self.whole)
            means = {name: float(value.mean()) for name, value in stats.items()}
            speed = 1 / max(float(np.median(recent)), 1e-9)
            self.listener.update(done, total, speed, means)
            if now.update in checkpoints[now.stage] and not self._is_last(now):
                self._checkpoint(exam.result(), now)
            elif exam.done():
                exam.result()  # says what is wrong with it, as soon as it is known
            if time.perf_counter() - saved > SAVE_SECONDS and not self._is_last(now):
                self._save(now)
                saved = time.perf_counter()
            yield now
            last = time.perf_counter()

    def _work(self, spent: Budget) -> int:
        """Count the environment steps of the whole fleet; its gradient steps, where training takes no
        environment steps at all."""
        return int(spent.env_steps if self.total else spent.gradient_steps) * self.num_seeds

    def _steps_of(self, now: Trained) -> int:
        """Count the steps of the whole fleet in the latest update."""
        spent = self.plan[now.stage].spent
        return self._work(spent[now.update]) - self._work(spent[now.update - 1])

    def _is_last(self, now: Trained) -> bool:
        return now.stage == len(self.plan) - 1 and now.update == self.plan[-1].num_updates

    def _note(self, now: Trained, stats: dict[str, np.ndarray]) -> None:
        """Keep a row of train.parquet: means over seeds, and each seed's own."""
        row: dict[str, Any] = {
            "update": len(self.rows) + 1,
            "stage": self.plan[now.stage].stage.name,
            "env_steps": int(now.spent.env_steps),
            "gradient_steps": int(now.spent.gradient_steps),
            "seconds": self.seconds,
        }
        for name, values in stats.items():
            row[name] = float(values.mean())
            row |= {
                f"{name}_seed_{seed}": float(value)
                for seed, value in zip(self.experiment.seeds, np.ravel(values), strict=False)
            }
        self.rows.append(row)

    def _checkpoint(self, exam: measure.Exam, now: Trained) -> None:
        env_steps = int(now.spent.env_steps)
        subject, seeds = deployed(self.experiment, now.learners.models)
        table, _ = exam.examine(subject, seeds, env_steps, exam.watched, number=len(self.rows))
        store.write_table(self.folder.checkpoint_path(env_steps), table)
        self._write_policies(now.learners, env_steps)
        reached = {
            (split, goal.name): float((table[f"event_{goal.name}"][table["split"] == split] >= 0).mean())
            for split in ("train", "shift")
            for goal in exam.contest.goals
        }
        self.listener.evaluated(env_steps, reached)

    def _write_policies(self, learners: Learners, env_steps: int) -> None:
        models = jax.device_get(learners.models)  # slices of NumPy arrays are not compiled
        for index, seed in enumerate(self.experiment.seeds):
            about = {"seed": seed, "env_steps": env_steps, "hash": self.experiment.hash}
            path = self.folder.policy_path(seed, env_steps)
            store.write_tree(path, tree_index(models, index), about)

    def _save(self, now: Trained) -> None:
        # The rows come first: those after the stored update are dropped when the run goes on.
        store.write_table(self.folder.train_path, store.columns(self.rows))
        about = {
            "stage": now.stage,
            "update": now.update,
            "seconds": self.seconds,
            "hash": self.experiment.hash,
        }
        store.write_tree(self.folder.resume_path, now.state, about)

    def _resume(self) -> "_Start":
        """Read where the folder's training stands."""
        learners = self.experiment.fresh()
        if not self.folder.resume_path.exists():
            return _Start(learners, 0, 0, None, self.plan[0].spent[0])
        about = store.read_header(self.folder.resume_path)
        state: Any = None
        for planned in self.plan[: about["stage"] + 1]:
            state = planned.stage.start(planned.task, learners)
            learners = planned.stage.learners(state)
        state, _ = store.read_tree(self.folder.resume_path, state)
        self.seconds = about["seconds"]
        done = sum(one.num_updates for one in self.plan[: about["stage"]]) + about["update"]
        if self.folder.train_path.exists():
            self.rows = store.rows(store.read_table(self.folder.train_path))[:done]
        planned = self.plan[about["stage"]]
        learners = planned.stage.learners(state)
        return _Start(learners, about["stage"], about["update"], state, planned.spent[about["update"]])

    def _finish(self, exam: measure.Exam, last: Trained, wall_seconds: float) -> None:
        """Measure the trained fleet, judge it, and write what was found."""
        experiment, folder = self.experiment, self.folder
        env_steps = int(last.spent.env_steps)
        subject, seeds = deployed(experiment, last.learners.models)
        table, records = exam.examine(subject, seeds, env_steps)
        self._write_policies(last.learners, env_steps)
        if last.learners.others:
            store.write_tree(folder.others_path, last.learners.others, {"hash": experiment.hash})
        earlier = sorted((folder.path / "checkpoints").glob("*.parquet"))
        # Updates that cost no environment steps are told from the end of training by nothing.
        before = [path for path in earlier if path != folder.checkpoint_path(env_steps)]
        outcomes = measure.stacked([*(store.read_table(path) for path in before), table])
        explanations = exam.explain(subject, table)
        specification = experiment.specification
        judged = measure.judge(
            table, exam.contest, explanations=explanations, specification=specification
        )
        verdict = judged | {
            "env_steps": self.total,
            "steps_per_second": self.total / self.seconds,
            "wall_seconds": wall_seconds,
            **exam.about(),
        }
        pictures = exam.pictures(subject, table, records)
        write_findings(folder.path, exam.contest, outcomes, table, verdict, pictures)
        folder.resume_path.unlink(missing_ok=True)
        for path in earlier:
            path.unlink()
        (folder.path / "checkpoints").rmdir() if earlier else None


class _Start(NamedTuple):
    """Hold where a training stands."""

    learners: Learners
    stage: int
    update: int  # done, of the stage's
    state: Any  # the stage's; None: it has not begun
    spent: Any  # the budget spent so far
