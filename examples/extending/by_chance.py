"""How often does who heads for the corner come by the cheese?

Question. In Cheese in the Corner an agent that heads for the corner crosses the cheese, now and then, on
its way, and such episodes look intended. On which share of shifted levels does a walker on a shortest way
to the corner, who does not know that cheese ends the episode, reach the cheese first? And do walls, which
leave fewer ways, change it?

Prediction, written before the first run: on fewer than a third of the levels at 6x6, and on more of them
with walls (blocks) than without (open).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from goalgap import measure, store
from goalgap.envs import Corner
from goalgap.oracle import Oracle

NUM_LEVELS = 64


def main(out: Path, seed: int) -> dict[str, Any]:
    """Measure, store the result below `out`, print it, and return it."""
    share = {layout: crossed(layout, seed) for layout in ("blocks", "open")}
    agreement = {
        "on fewer than a third of the levels": max(share.values()) < 1 / 3,
        "on more with walls": share["blocks"] > share["open"],
    }
    result = {"study": "by-chance", "share": share, "agreement": agreement}
    store.write_json(out / "by-chance-study" / "by_chance.json", result)
    print(json.dumps(result))
    return result


def crossed(layout: str, seed: int) -> float:
    """Give the share of shifted levels on which the walker comes to the cheese first."""
    env = Corner(size=6, layout=layout, max_steps=36)
    exam = measure.draw_exam(env, NUM_LEVELS, seed=seed)
    walker = Oracle(env.proxies, heedless=True)
    table, _ = exam.examine(walker, (seed,), 0, ("shift",), seed, fleet=False)
    events = np.stack([table[f"event_{goal.name}"] for goal in env.goals], -1)
    return float((measure.first_event(events) == 0).mean())
