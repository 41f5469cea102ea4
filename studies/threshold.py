"""Can the share of distinguishing levels that training needs be predicted before training with them?

Question. A policy that is optimal for the proxy loses alpha * C of training return, where C is its mean
regret on the injected levels. A learner that stops within epsilon of the optimum may therefore keep the
proxy while alpha * C <= epsilon (2507.03068, theorem 1), which suggests a threshold of epsilon / C. Both
can be had without training on a single distinguishing level: epsilon is the measured slack of agents
trained at alpha = 0, C comes from exact play. Is the alpha at which half of the seeds misgeneralize
proportional to it?

Prediction, written before the first run (small boards, .4 M steps a seed, a dense network, 6 seeds a
point; corner at 6x6 and 7x7, the dish with 1 and with 6 channels at 7x7; each with random
distinguishing levels and with the optimal mixture of theory.breaking, in which no level weighs more
than 1/64; ties of the proxy's optimizer broken uniformly):

1. The measured threshold lies above the predicted one everywhere, by a factor of up to 10: being able to
   afford the proxy is not all that keeps it.
2. Over the conditions, the slope of log measured on log predicted is positive, and its 95 % interval
   contains 1.
3. The optimal mixture needs less than random distinguishing levels, in every environment.
4. The ratio of the two thresholds is that of the mean regrets within a factor of 3.

Added after the first wave, predictions unchanged. With 1 channel the dish's agents are *mixed* even at
alpha = 0 (the cheese comes first in about .5 of episodes, the dish in .4), so there is no threshold to
measure; such conditions are left out of the slope and counted against prediction 1. Since the other
predictions spanned only a factor of 2.3, two more environments widen the range of slacks: corner at 5x5,
and at 6x6 with three times the steps.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from _common import conclude
from scipy import optimize, special

import goalgap
from goalgap import measure, runs
from goalgap.core import tree_index
from goalgap.theory import breaking
from goalgap.theory.underspecification import regrets

NUM_SEEDS, STEPS = 6, 400_000
NUM_CANDIDATES, CAP = 2048, 1 / 64
GRID = tuple(float(alpha) for alpha in np.geomspace(0.001, 1, 19))  # steps of a factor of 1.47
ENVIRONMENTS: dict[str, tuple[Any, int]] = {
    "corner 6x6": (goalgap.Corner(size=6), STEPS),
    "corner 7x7": (goalgap.Corner(size=7), STEPS),
    "dish 7x7, 1 channel": (goalgap.Dish(size=7, num_channels=1), STEPS),
    "dish 7x7, 6 channels": (goalgap.Dish(size=7, num_channels=6), STEPS),
    "corner 5x5": (goalgap.Corner(size=5), STEPS),
    "corner 6x6, 1.2 M steps": (goalgap.Corner(size=6), 3 * STEPS),
}
KINDS = ("random", "mixture")


class Injected(NamedTuple):
    """Hold what is mixed into training, and what the proxy's optimizer loses on it."""

    levels: tuple[tuple[str, float], ...]  # text and weight; none for random ones
    regret: float  # mean, ties broken uniformly
    least_regret: float  # mean, ties broken for the best


def candidates(env: Any, kind: str) -> Injected:
    """Choose distinguishing levels that training may show, and compute the proxy's regret on them.

    The regret is exact.
    """
    keys = jax.random.split(jax.random.key(1), NUM_CANDIDATES)
    levels = jax.jit(jax.vmap(env.shift().deploy.sample))(keys)
    levels = tree_index(levels, np.flatnonzero(~jax.vmap(env.is_test)(levels)))
    found = regrets(env, (env.intended,), env.proxies, levels, measure.SCORE_GAMMA)
    assert found.mean is not None and found.best is not None
    if kind == "random":
        return Injected((), float(found.mean.mean()), float(found.best.mean()))
    game = breaking.best_mixture(found.best[:, 0], CAP)
    texts = tuple(
        (env.to_text(tree_index(levels, int(row))), float(game.weights[row])) for row in game.support
    )
    return Injected(texts, float(game.weights @ found.mean[:, 0, 0]), game.value)


def experiment(env: Any, alpha: float, injected: Injected, seed: int, steps: int) -> goalgap.Experiment:
    """Describe the fleet of one point of a curve."""
    return goalgap.Experiment(
        contest=env,
        alpha=alpha,
        stages=(goalgap.PPO(entropy_coefficient=0.02),),
        seeds=tuple(range(seed, seed + NUM_SEEDS)),
        steps=steps,
        num_checkpoints=2,
        injected=injected.levels if alpha else (),
    )


def slack(run: runs.Run) -> np.ndarray:
    """Measure what each seed falls short of the optimum in training, on average over all levels."""
    table, intended = run.outcomes, run.folder.experiment.contest.intended.name
    short = measure.pivot(table, "train", f"optimum_{intended}") - measure.pivot(
        table, "train", f"return_{intended}"
    )
    # Levels that cannot be solved were dropped; on them nobody falls short.
    return short.mean(1) * (1 - run.verdict["dropped"]["train"])


def staircase(env: Any, injected: Injected, out: Path, seed: int, steps: int) -> dict[float, list[bool]]:
    """Search the grid for where the fraction of misgeneralizing seeds crosses one half, by halving.

    Tells which seeds misgeneralize, at each alpha tried.
    """
    failing: dict[float, list[bool]] = {}
    low, high = -1, len(GRID) - 1  # below the grid stands alpha = 0, at its end 1: known ends
    while high - low > 1:
        middle = (low + high) // 2
        alpha = GRID[middle]
        run = runs.run(experiment(env, alpha, injected, seed, steps), out)
        failing[alpha] = [each["verdict"] == "goal misgeneralization" for each in run.verdict["seeds"]]
        share = float(np.mean(failing[alpha]))
        print(f"  alpha {alpha:.4f}: {share:.2f} of {NUM_SEEDS} seeds misgeneralize", flush=True)
        low, high = (middle, high) if share >= 0.5 else (low, middle)
    return failing


def half(failing: dict[float, np.ndarray]) -> float:
    """Fit the alpha at which half of the seeds misgeneralize.

    The curve is logistic in log alpha, its slope held near a fall from .9 to .1 within a factor of 3 by
    a weak penalty, because few seeds fall between.
    """
    alphas = np.log(np.repeat(list(failing), [len(seeds) for seeds in failing.values()]))
    fails = np.concatenate(list(failing.values())).astype(float)

    def loss(at: np.ndarray) -> float:
        chance = special.expit(np.exp(at[1]) * (at[0] - alphas))
        likelihood = special.xlogy(fails, chance) + special.xlogy(1 - fails, 1 - chance)
        return float(0.5 * (at[1] - np.log(4)) ** 2 - likelihood.sum())

    start = np.array([alphas.mean(), np.log(4)])
    return float(np.exp(optimize.minimize(loss, start, method="Nelder-Mead").x[0]))


def resampled_half(failing: dict[float, list[bool]], rng: np.random.Generator) -> float:
    """Fit `half` for seeds drawn with repetition at each point."""
    return half({a: rng.choice(np.array(seeds), len(seeds)) for a, seeds in failing.items()})


def main(out: Path, seed: int = 0) -> dict[str, Any]:
    """Train every point (finished ones are found again), write data and figure, print agreement."""
    print(__doc__)
    rows: list[dict[str, Any]] = []
    seeds_rows: list[dict[str, Any]] = []
    draws: list[np.ndarray] = []
    rng = np.random.default_rng(0)
    for name, (env, steps) in ENVIRONMENTS.items():
        base = runs.run(experiment(env, 0.0, candidates(env, "random"), seed, steps), out)
        short = slack(base)
        at_zero = [each["verdict"] == "goal misgeneralization" for each in base.verdict["seeds"]]
        for kind in KINDS:
            injected = candidates(env, kind)
            row: dict[str, Any] = {
                "environment": name,
                "kind": kind,
                "num_levels": len(injected.levels) or None,
                "slack": float(short.mean()),
                "mean_regret": injected.regret,
                "least_regret": injected.least_regret,
                "predicted": float(short.mean()) / injected.regret,
                "measured": None,
                "low": None,
                "high": None,
                "misgeneralizing_at_0": float(np.mean(at_zero)),
            }
            rows.append(row)
            print(
                f"{name}, {kind}: slack {row['slack']:.4f}, mean regret {injected.regret:.3f}, "
                f"predicted {row['predicted']:.4f}; at alpha 0 {np.mean(at_zero):.2f} misgeneralize",
                flush=True,
            )
            if np.mean(at_zero) < 0.5:
                continue
            failing = staircase(env, injected, out, seed, steps)
            drawn = np.array([resampled_half(failing, rng) for _ in range(400)])
            # The seeds of the slack are resampled, too.
            slacks = np.array([rng.choice(short, len(short)).mean() for _ in range(400)])
            draws.append(np.log(np.stack([slacks / injected.regret, drawn])))
            row |= threshold(failing, drawn)
            seeds_rows += [
                {"environment": name, "kind": kind, "alpha": alpha, "seed": seed + index, "fails": fails}
                for alpha in sorted(failing)
                for index, fails in enumerate(failing[alpha])
            ]
    known = [row for row in rows if row["measured"] is not None]
    fit = slope(known, np.stack(draws))
    for row in known:
        print(
            f"{row['environment']:24} {row['kind']:8} predicted {row['predicted']:.4f}  measured "
            f"{row['measured']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
        )
    print(
        f"\nSlope of log measured on log predicted: {fit['estimate']:.2f} [{fit['low']:.2f}, "
        f"{fit['high']:.2f}] over {fit['n']} conditions; measured over predicted: "
        f"{fit['factor']:.2f} (geometric mean)"
    )
    result = {"conditions": rows, "slope": fit, "agreement": agreement(rows, fit)}
    return conclude(out, "threshold", result, seeds_rows, lambda path: draw(path, known))


def threshold(failing: dict[float, list[bool]], drawn: np.ndarray) -> dict[str, float]:
    """Measure the threshold, with an interval over resampled seeds (`drawn`).

    The interval is never narrower than the two points of the grid that the crossing lies between.
    """
    measured = half({alpha: np.array(fails) for alpha, fails in failing.items()})
    share = {alpha: float(np.mean(failing[alpha])) for alpha in sorted(failing)}
    above = [alpha for alpha in share if share[alpha] >= 0.5]
    below = [alpha for alpha in share if share[alpha] < 0.5]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "measured": measured,
        "low": float(min([low, measured, *above[-1:]])),
        "high": float(max([high, measured, *below[:1]])),
    }


def slope(rows: list[dict[str, Any]], draws: np.ndarray) -> dict[str, Any]:
    """Fit the slope of measured against predicted thresholds by least squares through the conditions.

    For the interval both the conditions and, within each, the seeds are resampled. `draws` [condition,
    (predicted, measured), resample] are logarithms.
    """
    predicted, measured = (np.log([row[name] for row in rows]) for name in ("predicted", "measured"))
    rng = np.random.default_rng(1)
    slopes = []
    for index in range(draws.shape[2]):
        chosen = rng.integers(0, len(rows), len(rows))
        x, y = draws[chosen, :, index].T
        if np.ptp(x) > 1e-9:
            slopes.append(np.polyfit(x, y, 1)[0])
    estimate = float(np.polyfit(predicted, measured, 1)[0])
    low, high = np.quantile(slopes, [0.025, 0.975])
    return {
        "estimate": estimate,
        "low": float(min(low, estimate)),
        "high": float(max(high, estimate)),
        "n": len(rows),
        "unit": "conditions",
        "factor": float(np.exp((measured - predicted).mean())),
    }


def agreement(rows: list[dict[str, Any]], fit: dict[str, Any]) -> dict[str, bool]:
    """Tell which claims of the prediction hold.

    Without a threshold there is nothing above the predicted one.
    """
    known = {(row["environment"], row["kind"]): row for row in rows if row["measured"] is not None}
    pairs = [
        tuple(known[name, kind] for kind in KINDS) for name in ENVIRONMENTS if (name, KINDS[0]) in known
    ]
    ratios = [
        (random["measured"] / mixture["measured"]) / (mixture["mean_regret"] / random["mean_regret"])
        for random, mixture in pairs
    ]
    return {
        "measured above predicted everywhere, by a factor of at most 10": all(
            row["measured"] is not None and 1 <= row["measured"] / row["predicted"] <= 10 for row in rows
        ),
        "slope positive, its interval contains 1": fit["estimate"] > 0
        and fit["low"] <= 1 <= fit["high"],
        "the mixture needs less than random levels, wherever there is a threshold": all(
            mixture["measured"] < random["measured"] for random, mixture in pairs
        ),
        "thresholds in the ratio of mean regrets, within a factor of 3": all(
            1 / 3 <= ratio <= 3 for ratio in ratios
        ),
    }


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """Draw predicted against measured thresholds, on logarithmic axes, with the line of equality."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.subplots()
    marks = dict(zip(ENVIRONMENTS, "osD^vP", strict=True))
    for row in rows:
        spread = [[row["measured"] - row["low"]], [row["high"] - row["measured"]]]
        is_random = row["kind"] == "random"
        axes.errorbar(
            row["predicted"], row["measured"], spread, marker=marks[row["environment"]], capsize=3,
            color="#b3401f" if is_random else "#2b6a8f", mfc=None if is_random else "white",
            linestyle="none", label=f"{row['environment']}, {row['kind']}",
        )  # fmt: skip
    span = (0.02, 0.5)
    axes.plot(span, span, color="gray", linestyle=":", label="equal")
    axes.set(
        xscale="log", yscale="log", xlim=span, ylim=span,
        xlabel="predicted threshold: slack / mean proxy regret",
        ylabel="measured: half of the seeds misgeneralize",
    )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks((0.02, 0.05, 0.1, 0.2, 0.5), ("0.02", "0.05", "0.1", "0.2", "0.5"))
        axis.set_ticks((), minor=True)
    axes.legend(fontsize=7, frameon=False, loc="upper left")
    figure.savefig(path, format="svg")


if __name__ == "__main__":
    print(json.dumps(main(Path("runs"))["agreement"], indent=1))
