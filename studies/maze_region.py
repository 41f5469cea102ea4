"""How far must the cheese stray from the corner in training before agents look for the cheese?

Question. 2105.14111 (figure 4) trains on Procgen's mazes with the cheese in the r x r cells
nearest to the top-right corner and tests with the cheese anywhere: the benefit of a larger r is gradual,
and the pull of the corner persists until r is quite large (r from 1 to 16 in mazes of sides 3 to 25; one
seed a point; values are not published). The same sweep on open 13x13 boards, from the demonstration of
2507.03068's library, one seed a point: return with the cheese anywhere .13, .20, .27, .37, .46, .50,
.59, .63, .68, .66, .69 for r from 1 to 11.

Measured on held-out levels with the cheese off the corner and not on the way to it, the same ones for
each r but for the training split: the share in which the cheese is found within the time limit, and
which of cheese and corner comes first.

Prediction, written before the first full run (mode "small", mazes of sides 3, 5 and 7, 64 steps an
episode, symbolic observation, a small dense network, 3 seeds a point, 3 M steps a seed; r is 0, the very
corner, to 7, which is anywhere): the share found rises with r, with a rank correlation of .9 or more
over the points, by .3 or more in all; the corner comes first in more than half of the episodes at r = 0;
that share falls with r, with a rank correlation of -.9 or less. The fall is gradual: some point between
the first and the last lies at least a fifth of the whole fall away from both.

Added after the first two points, predictions unchanged: r is 0, 2, 4 and 7 only, for want of time.

The published scale, on a GPU: `SCALE = "published"` (hard mode, RGB, IMPALA, 80 M steps, r to 16).
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from _common import conclude
from scipy.stats import spearmanr

import goalgap
from goalgap import measure, runs, stats
from goalgap.agents.networks import MLP, Impala
from goalgap.envs import Maze

SCALE = "small"
REGIONS = {"small": (0, 2, 4, 7), "published": (0, 2, 3, 4, 5, 6, 7, 8, 10, 13, 16)}
NUM_SEEDS = 3


def experiment(region: int, seed: int) -> goalgap.Experiment:
    """Describe the fleet of one point of the curve; `region` is the side of the cheese's region."""
    small = goalgap.Experiment(
        contest=Maze(mode="small", region=region, max_steps=64),
        network=MLP(),
        stages=(goalgap.PPO(entropy_coefficient=0.005, num_fresh_levels=1024),),
        seeds=tuple(range(seed, seed + NUM_SEEDS)),
        steps=3_000_000,
        num_levels=256,
        num_checkpoints=2,
    )
    if SCALE == "small":
        return small
    learner = goalgap.PPO(
        num_envs=512, num_steps=256, num_epochs=3, num_minibatches=16, learning_rate=5e-4,
        anneal=False, gamma=0.999, num_fresh_levels=8192,
    )  # fmt: skip
    env = Maze(mode="hard", region=region, observation="rgb")
    return dataclasses.replace(
        small, contest=env, network=Impala(), stages=(learner,), steps=80_000_000, num_levels=1024
    )


def main(out: Path, seed: int = 0) -> dict[str, Any]:
    """Train every point (finished ones are found again), write data and figure, print agreement."""
    print(__doc__)
    rows, points = [], []
    for region in REGIONS[SCALE]:
        run = runs.run(experiment(region, seed), out)
        table, verdict = run.outcomes, run.verdict
        found = measure.pivot(table, "shift", "event_cheese") >= 0
        events = [measure.pivot(table, "shift", f"event_{goal}") for goal in ("cheese", "corner")]
        first = measure.first_event(np.stack(events, -1))
        rows += [
            {
                "region": region,
                "seed": each["seed"],
                "found": float(found[index].mean()),
                "cheese_first": float((first[index] == 0).mean()),
                "corner_first": float((first[index] == 1).mean()),
                "capability": each["capability"],
                "verdict": each["verdict"],
            }
            for index, each in enumerate(verdict["seeds"])
        ]
        shares = {
            "found": found,
            "cheese_first": first == 0,
            "corner_first": first == 1,
        }
        measured = {
            name: stats.crossed_mean(name, values.astype(float), is_share=True)
            for name, values in shares.items()
        }
        by_chance = float(measure.pivot(table, "shift", "random_reached_cheese").mean())
        points.append(
            {"region": region, "verdict": verdict["verdict"], "random_found": by_chance}
            | {name: value._asdict() for name, value in measured.items()}
        )
        print(
            f"r {region:>2}: cheese found {measured['found']}, corner first {measured['corner_first']}, "
            f"cheese first {measured['cheese_first']}; success in training "
            f"{np.mean([each['capability'] for each in verdict['seeds']]):.2f}, "
            f"{verdict['wall_seconds']:.0f} s"
        )
    print(f"Random play finds the cheese in {points[0]['random_found']:.2f} of the levels.")
    result = {"points": points, "agreement": agreement(points)}
    return conclude(out, "maze-region", result, rows, lambda path: draw(path, rows, points))


def agreement(points: list[dict[str, Any]]) -> dict[str, bool]:
    """Tell which claims of the prediction hold; the published claim is the last."""
    regions = [point["region"] for point in points]
    found, corner = ([point[name]["estimate"] for point in points] for name in ("found", "corner_first"))
    fall = corner[0] - corner[-1]
    return {
        "the share found rises with r (rank correlation >= .9)": bool(
            np.asarray(spearmanr(regions, found))[0] >= 0.9
        ),
        "it rises by .3 or more": found[-1] - found[0] >= 0.3,
        "at r = 0 the corner comes first in more than half": corner[0] > 0.5,
        "the corner comes first less often with r (rank correlation <= -.9)": bool(
            np.asarray(spearmanr(regions, corner))[0] <= -0.9
        ),
        "gradually: some point lies a fifth of the fall away from both ends": any(
            corner[-1] + fall / 5 <= value <= corner[0] - fall / 5 for value in corner[1:-1]
        ),
    }


def draw(path: Path, rows: list[dict[str, Any]], points: list[dict[str, Any]]) -> None:
    """Draw how often the cheese is found, and the corner comes first, by r; seeds as dots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    place = {point["region"]: index for index, point in enumerate(points)}
    kinds = (("found", "#2b6a8f", "cheese found"), ("corner_first", "#b3401f", "corner first"))
    for (name, color, label), move in zip(kinds, (-0.05, 0.05), strict=True):
        estimate = np.array([point[name]["estimate"] for point in points])
        low, high = (np.array([point[name][end] for point in points]) for end in ("low", "high"))
        axes.errorbar(
            np.arange(len(points)) + move, estimate, [estimate - low, high - estimate], marker="o",
            color=color, capsize=3, label=f"{label} (95 %: seeds and levels)",
        )  # fmt: skip
        axes.scatter(
            [place[row["region"]] + 3 * move for row in rows], [row[name] for row in rows], s=12,
            color=color, alpha=0.6, marker="^",
        )  # fmt: skip
    axes.axhline(
        points[0]["random_found"], color="gray", linestyle=":", label="cheese found by random play"
    )
    axes.set_xticks(range(len(points)), [str(point["region"]) for point in points])
    axes.set(xlabel="r, side of the region of the cheese in training (0: the corner)", ylim=(0, 1))
    axes.set_title(f"Procgen Maze ({SCALE} scale), {NUM_SEEDS} seeds a point (triangles)", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, format="svg")


if __name__ == "__main__":
    print(json.dumps(main(Path("runs"))["agreement"], indent=1))
