"""How often does who heads for the corner come by the cheese?

Question. In Cheese in the Corner an agent that heads for the corner crosses the cheese, now and then,
on its way, and such episodes look intended. On which share of shifted levels does that happen to the
corner's oracle, which knows that cheese ends the episode, and to a heedless one, which does not?

Prediction, written before the first run: never to the oracle, which goes around the cheese; to the
heedless one on more than a tenth and on fewer than a third of the levels at 5x5.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from goalgap import measure, store
from goalgap.envs import Corner
from goalgap.oracle import Oracle


def main(out: Path, seed: int) -> dict[str, Any]:
    """Measure, store the result below `out`, print it, and return it."""
    env = Corner(size=5, max_steps=16)
    exam, share = measure.draw_exam(env, 64, seed=seed), {}
    for name, heedless in (("oracle", False), ("heedless", True)):
        walker = Oracle(env.proxies, heedless=heedless)
        table, _ = exam.examine(walker, (seed,), 0, ("shift",), seed, fleet=False)
        events = np.stack([table[f"event_{goal.name}"] for goal in env.goals], -1)
        share[name] = float((measure.first_event(events) == 0).mean())
    agreement = {
        "never to the oracle": share["oracle"] == 0,
        "to the heedless one on a tenth to a third": 0.1 < share["heedless"] < 1 / 3,
    }
    result = {"study": "by-chance", "share": share, "agreement": agreement}
    store.write_json(out / "by-chance-study" / "by_chance.json", result)
    print(json.dumps(result))
    return result
