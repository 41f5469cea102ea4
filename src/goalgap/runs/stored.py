"""Stored runs: reading policies, outcomes and reports back from a run folder."""

from pathlib import Path
from typing import Any

import numpy as np

from .. import report, store
from ..experiment import Experiment
from ..learn.stage import Learners, stack
from ..store import RunFolder


class Run:
    """Read a finished run from disk."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    @property
    def experiment(self) -> Experiment:
        """Return the experiment that was run. Raises UsageError as `RunFolder.experiment` does."""
        return self.folder.experiment

    @property
    def verdict(self) -> dict[str, Any]:
        """Read verdict.json."""
        return store.read_json(self.folder.path / "verdict.json")

    @property
    def outcomes(self) -> dict[str, np.ndarray]:
        """Read the columns of outcomes.parquet, which has a row an episode."""
        return store.read_table(self.folder.path / "outcomes.parquet")

    @property
    def training(self) -> dict[str, np.ndarray]:
        """Read the columns of train.parquet, which has a row an update."""
        return store.read_table(self.folder.train_path)

    @property
    def report(self) -> Path:
        """Return the path of the report, which is made if it is not there."""
        path = self.folder.path / "report.html"
        return path if path.exists() else write_report(self.folder)

    def models(self) -> Any:
        """Read the fleet's last policies or models, with a leading axis of seeds."""
        return load_models(self.folder)

    def others(self) -> dict[str, Any]:
        """Read what training kept beside the models, by name ("reference", "reward").

        All arrays lead with an axis of seeds.
        """
        return load_learners(self.folder).others


def load_models(folder: RunFolder) -> Any:
    """Read the last policies (or language models) of a run's seeds, stacked along a first axis.

    Raises UsageError where one is missing or damaged.
    """
    experiment = folder.experiment
    like = experiment.network.new(experiment.contest, 0)
    paths = [folder.last_policy_path(seed) for seed in experiment.seeds]
    return stack([store.read_tree(path, like)[0] for path in paths])


def load_learners(folder: RunFolder) -> Learners:
    """Read a run's last models, and what training kept beside them."""
    models = load_models(folder)
    if not folder.others_path.exists():
        return Learners(models)
    learners = folder.experiment.fresh()
    for planned in folder.experiment.plan():
        learners = planned.stage.learners(planned.stage.start(planned.task, learners))
    return Learners(models, None, store.read_tree(folder.others_path, learners.others)[0])


def write_report(folder: RunFolder) -> Path:
    """Make a run's report.html from what is stored, and return its path."""
    contest = folder.experiment.contest
    return report.write_folder(folder.path, folder.experiment.kind.content(contest))
