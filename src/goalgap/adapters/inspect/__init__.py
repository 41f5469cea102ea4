"""Evaluate any language model through Inspect: SycophancyEval's four tests, our scenarios, our models.

`inspect eval goalgap/answer --model PROVIDER/NAME` works wherever this package is installed with the
extra `language`; the functions here do the same from Python and turn logs into verdicts and reports.
Inspect is imported when they are called, not before.
"""

from .evaluation import evaluate, measure_log
from .installed import SYCOPHANCY, check_installed

__all__ = ["SYCOPHANCY", "check_installed", "evaluate", "measure_log"]
