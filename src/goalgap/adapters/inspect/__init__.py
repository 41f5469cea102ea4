"""Evaluate any language model through Inspect: SycophancyEval's four tests, our scenarios, our models.

`inspect eval goalgap/answer --model PROVIDER/NAME` works wherever this package is installed with the
extra `language`; the functions here do the same from Python and turn logs into verdicts and reports.
Inspect is imported when they are called, not before.
"""

from pathlib import Path
from typing import Any

from ...core import UsageError

SYCOPHANCY = ("answer", "are_you_sure", "feedback", "mimicry")  # the other tasks are scenarios, by name


def check_installed() -> None:
    """Raise UsageError where Inspect is not installed."""
    try:
        import inspect_ai  # noqa: F401
    except ImportError:
        raise UsageError('Inspect is not installed; pip install "goalgap[language]"') from None


def evaluate(task: str, model: str, out: Path | str, **options: Any) -> Path:
    """Evaluate a model and return the path of Inspect's log.

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
    """Read back a log (`.eval` or `.json`) of one of our tasks, and return the folder of what it says.

    The folder, below `out`, holds measurements with intervals, transcripts and, where the task has a
    shift, the verdict and the report. Raises UsageError for other logs.
    """
    check_installed()
    from .logs import measure_log

    return measure_log(Path(path), Path(out))


__all__ = ["SYCOPHANCY", "evaluate", "measure_log"]
