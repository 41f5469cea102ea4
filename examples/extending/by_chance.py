"""How often does who seeks the corner come by the cheese?

Question. In Cheese in the Corner an agent that seeks the corner crosses the cheese, now and then, on
its way. Such episodes look intended. On which share of shifted levels does the corner's oracle, which
cares nothing for cheese, reach the cheese first, and do walls, which leave fewer ways, change it?

Prediction, written before the first run: on fewer than a fifth of the levels at 6x6, and on more of
them with walls (blocks) than without (open), since walls make the ways of mice alike.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from goalgap import measure, store
from goalgap.envs import Corner
from goalgap.oracle import Oracle

NUM_LEVELS = 128


def main(out: Path, seed: int) -> dict[str, Any]:
    """Measure, store the result below `out`, print it, and return it."""
    share = {layout: crossed(layout, seed) for layout in ("blocks", "open")}
    agreement = {
        "on fewer than a fifth of the levels": max(share.values()) < 0.2,
        "on more with walls": share["blocks"] > share["open"],
    }
    result = {"study": "by-chance", "share": share, "agreement": agreement}
    store.write_json(out / "by-chance-study" / "by_chance.json", result)
    print(json.dumps(result))
    return result


def crossed(layout: str, seed: int) -> float:
    """Give the share of shifted levels on which the corner's oracle comes to the cheese first."""
    env = Corner(size=6, layout=layout)
    exam = measure.draw_exam(env, NUM_LEVELS, seed=seed)
    table, _ = exam.examine(Oracle((env.proxies[0],)), (seed,), 0, ("shift",), seed, fleet=False)
    events = np.stack([table[f"event_{goal.name}"] for goal in env.goals], -1)
    return float((measure.first_event(events) == 0).mean())
