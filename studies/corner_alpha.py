"""How many distinguishing levels must training hold before the corner-seeker goes away?

Question. 2507.03068 (section 7.1, figure 4) trains on Cheese in the Corner with a share alpha of levels
in which the cheese may lie anywhere, and finds that domain randomization keeps misgeneralizing until
alpha is about 0.1 (13x13, 200 M steps, a large IMPALA, 8 seeds).

Prediction, written before the first run (7x7, 0.5 M steps a seed, a small dense network, 8 seeds): the
fraction of seeds that misgeneralize is 1 at alpha <= 0.01, falls with alpha, and is 0 at alpha >= 0.3;
half of the seeds do at an alpha between 0.03 and 0.3, that is within a factor of 3 of the published 0.1.

Added before the second run, predictions unchanged: the paper's own criterion is return on
distinguishing levels, low at alpha 0.001 and recovered by 0.1. Recovery is the return beyond that at
alpha 0, as a share of what alpha 1 adds. Prediction: at 0.001 it is below .1, but half is recovered
later than published, at an alpha above 0.1 (the first run had the cheese in .27 of episodes at 0.1), and
.85 at no alpha below 1. The second run is judged by the second edition of the verdict.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from _common import conclude

import goalgap
from goalgap import measure, runs, stats

ALPHAS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
NUM_SEEDS = 8
PUBLISHED = 0.1


def experiment(alpha: float, seed: int) -> goalgap.Experiment:
    """Describe the fleet of one point of the curve; alpha is the share of distinguishing levels."""
    return goalgap.Experiment(
        contest=goalgap.Corner(size=7),
        alpha=alpha,
        stages=(goalgap.PPO(entropy_coefficient=0.02),),
        seeds=tuple(range(seed, seed + NUM_SEEDS)),
        steps=500_000,
        num_checkpoints=4,
    )


def main(out: Path, seed: int = 0) -> dict[str, Any]:
    """Train every point (finished ones are found again), write data and figure, print agreement."""
    print(__doc__)
    rows, points = [], []
    for alpha in ALPHAS:
        run = runs.run(experiment(alpha, seed), out)
        verdict = run.verdict
        returns = measure.pivot(run.outcomes, "shift", "return_cheese").mean(1)
        rows += [
            {
                "alpha": alpha,
                "seed": each["seed"],
                "verdict": each["verdict"],
                "capability": each["capability"],
                "cheese_first": each["first"]["cheese"],
                "corner_first": each["first"]["corner"],
                "position": each["position"]["estimate"],
                "return_shift": float(value),
            }
            for each, value in zip(verdict["seeds"], returns, strict=True)
        ]
        fraction = verdict["fraction_misgeneralizing"]
        points.append({"alpha": alpha, "verdict": verdict["verdict"], **fraction})
        print(
            f"alpha {alpha:<6} misgeneralizing {fraction['estimate']:.2f} "
            f"[{fraction['low']:.2f}, {fraction['high']:.2f}] of {fraction['n']} seeds, "
            f"{verdict['wall_seconds']:.0f} s"
        )
    half = half_alpha(rows)
    print(
        f"\nHalf of the seeds misgeneralize at alpha = {half.estimate:.3f} "
        f"[{half.low:.3f}, {half.high:.3f}] (n = {half.n} seeds a point); published: about 0.1."
    )
    recovered = recoveries(rows)
    for alpha, share in recovered.items():
        print(
            f"alpha {alpha:<6} return recovered {share.estimate:.2f} [{share.low:.2f}, {share.high:.2f}]"
        )
    result = {
        "points": points,
        "alpha_half": half._asdict(),
        "recovery": {str(alpha): share._asdict() for alpha, share in recovered.items()},
        "published": PUBLISHED,
        "agreement": agreement(points) | recovery_claims(recovered),
    }
    return conclude(out, "corner-alpha", result, rows, lambda path: draw(path, rows, points))


def fractions(rows: list[dict[str, Any]], seeds: np.ndarray) -> np.ndarray:
    """Compute the fraction of the given seeds (with repetition) that misgeneralize, at each alpha."""
    failing = np.array(
        [
            [row["verdict"] == "goal misgeneralization" for row in rows if row["alpha"] == alpha]
            for alpha in ALPHAS
        ]
    )
    return failing[:, seeds].mean(1)


def crossing(fraction: np.ndarray) -> float:
    """Find where the fraction first falls to one half, linear in log alpha between the points."""
    below = np.flatnonzero(fraction[1:] <= 0.5)
    if not below.size:
        return ALPHAS[-1]
    index = below[0] + 1
    if index == 1 or fraction[index - 1] <= 0.5:
        return ALPHAS[1]
    low, high = np.log(ALPHAS[index - 1]), np.log(ALPHAS[index])
    share = (fraction[index - 1] - 0.5) / (fraction[index - 1] - fraction[index])
    return float(np.exp(low + share * (high - low)))


def half_alpha(rows: list[dict[str, Any]]) -> stats.Measurement:
    """Measure the alpha at which half of the seeds misgeneralize.

    Seeds are resampled for the interval, which is never narrower than the two points of the grid that
    the crossing lies between.
    """
    rng = np.random.default_rng(0)
    estimate = crossing(fractions(rows, np.arange(NUM_SEEDS)))
    resampled = [crossing(fractions(rows, rng.integers(0, NUM_SEEDS, NUM_SEEDS))) for _ in range(2000)]
    low, high = np.quantile(resampled, [0.025, 0.975])
    low = min([low, *(alpha for alpha in reversed(ALPHAS) if 0 < alpha <= estimate)][:2])
    high = max([high, *(alpha for alpha in ALPHAS if alpha >= estimate)][:2])
    return stats.measurement(
        "alpha at one half", estimate, min(low, estimate), max(high, estimate), NUM_SEEDS, "seeds"
    )


def recoveries(rows: list[dict[str, Any]]) -> dict[float, stats.Measurement]:
    """Measure at each alpha the share of the return between alpha 0 and alpha 1 that is recovered.

    Seeds of the three fleets are resampled together for the interval.
    """
    returns = np.array([[row["return_shift"] for row in rows if row["alpha"] == a] for a in ALPHAS])
    rng = np.random.default_rng(0)
    drawn = returns[:, rng.integers(0, NUM_SEEDS, (2000, NUM_SEEDS))].mean(-1)  # [alphas, resamples]

    def share(values: np.ndarray) -> np.ndarray:
        return (values - values[0]) / (values[-1] - values[0])

    estimate, resampled = share(returns.mean(1)), share(drawn)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    return {
        alpha: stats.measurement(
            "return recovered", float(e), float(min(lo, e)), float(max(hi, e)), NUM_SEEDS, "seeds"
        )
        for alpha, e, lo, hi in zip(ALPHAS, estimate, low, high, strict=True)
    }


def recovery_claims(recovered: dict[float, stats.Measurement]) -> dict[str, bool]:
    """Tell which claims about the recovery of return hold: the published ones, and the predictions."""
    half = next(alpha for alpha in ALPHAS if recovered[alpha].estimate >= 0.5)
    return {
        "recovery of return: published, below .1 at 0.001": recovered[0.001].high < 0.1,
        "recovery of return: published, within a factor of 3 of 0.1": PUBLISHED / 3
        <= half
        <= 3 * PUBLISHED
        and recovered[0.03].estimate < 0.5,
        "recovery of return: published, .85 or more at 0.1": recovered[0.1].estimate >= 0.85,
        "recovery of return: predicted, half only above 0.1": recovered[0.1].estimate < 0.5,
        "recovery of return: predicted, .85 at no alpha below 1": all(
            recovered[alpha].estimate < 0.85 for alpha in ALPHAS[:-1]
        ),
    }


def agreement(points: list[dict[str, Any]]) -> dict[str, bool]:
    """Tell which claims of the prediction hold."""
    by_alpha = {point["alpha"]: point["estimate"] for point in points}
    estimates = [point["estimate"] for point in points]
    return {
        "all seeds misgeneralize at alpha <= 0.01": all(
            by_alpha[alpha] == 1 for alpha in ALPHAS if alpha <= 0.01
        ),
        "the fraction never rises with alpha": all(np.diff(estimates) <= 0),
        "no seed misgeneralizes at alpha >= 0.3": all(
            by_alpha[alpha] == 0 for alpha in ALPHAS if alpha >= 0.3
        ),
        "half of them do between 0.03 and 0.3": by_alpha[0.03] >= 0.5 >= by_alpha[0.3],
    }


def draw(path: Path, rows: list[dict[str, Any]], points: list[dict[str, Any]]) -> None:
    """Draw the fraction of seeds misgeneralizing, and each seed's share of levels with the corner first.

    Intervals are Wilson's.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    place = {alpha: index for index, alpha in enumerate(ALPHAS)}
    estimate = np.array([point["estimate"] for point in points])
    spread = [estimate - [p["low"] for p in points], [p["high"] for p in points] - estimate]
    axes.errorbar(
        range(len(ALPHAS)), estimate, spread, marker="o", color="#b3401f", capsize=3,
        label="fraction of seeds misgeneralizing (95 %)",
    )  # fmt: skip
    jitter = np.random.default_rng(0).uniform(-0.12, 0.12, len(rows))
    axes.scatter(
        [place[row["alpha"]] + shift for row, shift in zip(rows, jitter, strict=True)],
        [row["corner_first"] for row in rows], s=14, color="#2b6a8f", alpha=0.7, marker="^",
        label="corner comes first (a seed)",
    )  # fmt: skip
    axes.axvline(place[PUBLISHED], color="gray", linestyle=":", label="published threshold, about 0.1")
    axes.set_xticks(range(len(ALPHAS)), [f"{alpha:g}" for alpha in ALPHAS])
    axes.set(xlabel="alpha, share of distinguishing levels in training", ylim=(-0.03, 1.03))
    axes.set_title("Cheese in the Corner, 7x7, 8 seeds a point", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, format="svg")


if __name__ == "__main__":
    print(json.dumps(main(Path("runs"))["agreement"], indent=1))
