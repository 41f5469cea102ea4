"""Evaluate a model and read logs back, importing Inspect only when asked to."""

from pathlib import Path
from typing import Any

from .installed import check_installed


def evaluate(task: str, model: str, out: Path | str, **options: Any) -> Path:
    """Evaluate a model and give the path of Inspect's log.

    `task`: one of SYCOPHANCY or a scenario's name. `model`: as Inspect names it (`openai/gpt-4o`,
    `hf/...`), or ours: `goalgap/RUN-FOLDER`, `goalgap/always-caves`, `goalgap/script:GOAL`. `out`: the
    folder for logs. Options: `grader` (a model), `task_args` and `model_args` (dictionaries), and what
    `inspect_ai.eval` takes (`limit`, `epochs`, `temperature`, `log_format` ...). A sample that fails
    does not end the evaluation: it is counted as such. Raises UsageError for what cannot be evaluated.
    """
    check_installed()
    from .logs import evaluate

    return evaluate(task, model, Path(out), **options)


def measure_log(path: Path | str, out: Path | str) -> Path:
    """Read a log (`.eval` or `.json`) of one of our tasks back, and give the folder of what it says.

    The folder, below `out`, has measurements with intervals, transcripts and, where the task has a
    shift, the verdict and the report. Raises UsageError for other logs.
    """
    check_installed()
    from .logs import measure_log

    return measure_log(Path(path), Path(out))
