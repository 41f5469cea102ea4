"""Runs: train, measure, judge, store and report in one call.

import goalgap
run = goalgap.run(goalgap.Experiment(goalgap.Corner(size=7), steps=400_000))
print(run.verdict["sentence"])
"""

from ..compilation import use_compilation_cache
from .lifecycle import run
from .listener import Interrupted, Listener
from .measuring import measure_again, measure_subject, store_judged
from .stored import Run, load_learners, load_models, write_report

__all__ = [
    "Interrupted",
    "Listener",
    "Run",
    "load_learners",
    "load_models",
    "measure_again",
    "measure_subject",
    "run",
    "store_judged",
    "use_compilation_cache",
    "write_report",
]
