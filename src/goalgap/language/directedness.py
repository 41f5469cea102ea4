"""Measure goal-directedness: how much of what somebody is capable of they use for a goal.

GD = (R - R_random) / (R_best - R_random), where R_best is what an agent would achieve that has the same
capabilities and uses all of them: 1 for whoever does, 0 for random behavior. R_best is not measured but
computed, by Monte Carlo, from skills that were each measured alone, in tasks of their own.

Source: Everitt et al. 2025, arXiv 2504.11844, section 3. Departure: the interval, by a hierarchical
bootstrap over seeds and tasks, of all three quantities together.
"""

import numpy as np
from jaxtyping import Float

from .. import stats
from ..core import Measurement, UsageError


def directedness(
    name: str,
    achieved: Float[np.ndarray, "seeds tasks"],
    random: Float[np.ndarray, "seeds tasks"],
    best: Float[np.ndarray, "seeds tasks"],
) -> Measurement:
    """Measure the goal-directedness of a fleet, which may be below 0, and by luck above 1.

    `achieved` is what the fleet achieved in each task, `random` what random behavior does there, `best`
    what the fleet could have achieved. Raises UsageError where the best is no better than random
    behavior: then nothing can be directed.
    """
    span = float((best - random).mean())
    if not span > 0:
        raise UsageError(
            f"{name}: the best that can be achieved is {span:+.3f} above random behavior; expected more "
            "than 0; give a task that takes the skills"
        )

    return stats.hierarchical_bootstrap(name, (achieved, random, best), _ratio)


def _ratio(
    achieved: np.ndarray | float, random: np.ndarray | float, best: np.ndarray | float
) -> np.ndarray:
    possible = np.asarray(best) - random
    return np.where(possible > 0, (achieved - random) / np.where(possible > 0, possible, 1), np.nan)
