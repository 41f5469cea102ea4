"""Measuring without training: a stored run once more, or a subject that we did not train."""

import time
from pathlib import Path
from typing import Any

from .. import measure, report, store
from ..core import UsageError
from ..descriptions import to_json
from ..experiment import Experiment
from ..kinds import kind_of
from ..store import RunFolder
from .stored import load_models


def deployed(experiment: Experiment, models: Any) -> tuple[Any, tuple[int, ...]]:
    """Make of a fleet's models the subject that is measured, and list the seeds that it counts as.

    The experiment's wrappers are put around the models.
    """
    subject = experiment.kind.subject(experiment.contest, models, experiment.temperature)
    seeds = experiment.seeds
    for wrapper in experiment.deploy:
        wrapped = wrapper.wrap(subject, seeds, experiment.contest)
        if not (type(wrapped) is tuple and len(wrapped) == 2):
            raise UsageError(
                f"{type(wrapper).__name__}.wrap returned a {type(wrapped).__name__}; expected (subject, "
                "seeds), the seeds as they were given unless several became one subject"
            )
        subject, seeds = wrapped
    return subject, seeds


def measure_again(folder: RunFolder, num_levels: int, seed: int) -> Path:
    """Measure a run's last policies once more, with other levels or another seed of luck.

    Returns the folder of the results, beside the run's policies. Raises UsageError for a run that is not
    finished.
    """
    began = time.perf_counter()
    experiment = folder.finished().experiment
    exam = experiment.exam(num_levels, seed)
    subject, seeds = deployed(experiment, load_models(folder))
    last = store.read_json(folder.path / "verdict.json")["env_steps"] // len(experiment.seeds)
    table, records = exam.examine(subject, seeds, last, number=seed)
    path = folder.path / f"measured-{num_levels}-{seed}"
    store.write_json(path / "experiment.json", folder.about)
    pictures = exam.pictures(subject, table, records)
    judged = measure.judge(
        table,
        exam.contest,
        explanations=exam.explain(subject, table, seed),
        specification=experiment.specification,
    )
    return store_judged(path, exam.contest, table, judged, pictures, began, **exam.about())


def measure_subject(
    contest: Any,
    subject: Any,
    name: str,
    root: Path,
    command: str,
    num_levels: int | None = None,
    seed: int = 0,
) -> Path:
    """Measure a subject that we did not train, on an environment or scenario.

    Returns the folder of the results, below `root`.
    """
    began = time.perf_counter()
    kind = kind_of(contest)
    exam = kind.draw_exam(contest, num_levels or kind.num_levels(contest), 0.0, seed)
    table, records = exam.examine(subject, (0,), 0, number=seed, fleet=False)
    safe = "".join(letter if letter.isalnum() else "-" for letter in name)
    size = getattr(contest, "size", None)
    path = root / "-".join([contest.name, *([] if size is None else [str(size)]), safe])
    about = {"format": store.FORMAT, "subject": name, **store.provenance(command)}
    store.write_json(path / "experiment.json", about | {"experiment": to_json(contest)})
    pictures = exam.pictures(subject, table, records, name)
    judged = measure.judge(table, contest, explanations=exam.explain(subject, table, seed, fleet=False))
    return store_judged(path, contest, table, judged, pictures, began, subject=name)


def store_judged(
    path: Path,
    contest: Any,
    table: measure.Table,
    judged: dict[str, Any],
    pictures: dict[str, Any],
    began: float,
    content: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Store and report the outcomes of an exam, and how they were judged, in the folder `path`.

    `content` describes the contest for the report, where it is not one of goalgap's kinds; `more` goes
    into the verdict.
    """
    steps, seconds = int(table["length"].sum()), time.perf_counter() - began
    spent = {"env_steps": steps, "wall_seconds": seconds, "steps_per_second": steps / seconds}
    verdict = judged | spent | more
    write_findings(path, contest, table, table, verdict, pictures)
    report.write_folder(path, content or kind_of(contest).content(contest))
    return path


def write_findings(
    path: Path,
    contest: Any,
    outcomes: measure.Table,
    last: measure.Table,
    verdict: dict[str, Any],
    pictures: dict[str, Any],
) -> None:
    """Write what a measurement found; verdict.json comes last and says that all the rest is there."""
    verdict["sentence"] = measure.sentence(verdict, contest)
    store.write_table(path / "outcomes.parquet", outcomes)
    store.write_table(path / "curves.parquet", measure.curves(outcomes, contest))
    store.write_json(path / "measurements.json", measure.measurements(last, contest, verdict))
    for name, picture in pictures.items():
        if picture is not None:
            store.write_json(path / name, picture)
    store.write_json(path / "verdict.json", verdict)
