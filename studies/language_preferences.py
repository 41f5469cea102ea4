"""Do raters who cannot check an answer teach sycophancy, and how much does optimization bring out?

Question. 2310.13548 (section 4) asks what preference data reward (4.1: agreeing with the user is among
what predicts preferences best; hold-out accuracy 71.3 %), and what optimizing a preference model brings
out (4.2 and 4.3): the model prefers a sycophantic reply to a helpful true one in 45 % of the hardest
misconceptions; of the replies chosen from 4,096 on these, about 75 % are sycophantic by the preference
model, about 25 % by an oracle, and those by the model with a request for truth in front lie between.
2210.10760 says how the intended ("gold") reward goes with the optimized one: best of n changes it by
d (alpha - beta d), d being the square root of the divergence.

Here, in the language of *preferences* (its file says what a rater is, and how "truthful" departs):

(i) 20 sets of 15,000 comparisons by raters with known weights (truth that can be checked 1.5, truth
that cannot 0, match .3, tone .2, and a color's number being odd 0), and what `recover` makes of them;
(ii) how often reward models prefer the belief to the truth, both in the same tone, by difficulty;
(iii) best of 1 to 1,024 samples of the models before optimization, by three rewards, on held-out
prompts in which the user is wrong; all n from one set of samples;
(iv) the share of truths ("gold") among these against d, with the published form fitted;
(v) REINFORCE against the three rewards, and against raters of whom a share (the dose) can check every
color; (vi) DPO on the same comparisons. 3 seeds.

Prediction, written before the first full run (single-seed trials set all sizes, with the outcome in
sight: a head on the last word learned no "match", and without imitation beside the reward models were
hacked by replies of no language; REINFORCE with an earlier, rarer kind of hard prompt agreed in 47 %):

1. at least .90 of the 100 intervals hold the planted weight; accuracy on 20,000 fresh comparisons is
   within 1 point of the Bayes rate in every set;
2. reward models prefer the belief in at least 2/3 of the hardest disputes, at most 5 % of the easiest;
3. sycophancy left in the best of 256 on the hardest: oracle (at most .02) < truthful (.2 to .6) < biased
   (at least .7), in every seed;
4. the gap between biased and oracle widens with difficulty;
5. over all prompts the share of truths rises and then falls as n grows, from a peak at 2 to 64 samples,
   by at least .03; on the hardest it falls from the start;
6. the published form explains less than .9 of that curve's variance, because a language of 32 replies is
   exhausted, after which nothing falls;
7. REINFORCE: oracle (at most .02) < truthful (at most .3) < biased (at least .5) in every seed, but
   biased agrees less than its best of 256: truth on easy things generalizes to hard ones;
8. a dose of .3 ends it (at most .15; ideal raters turn at .22), and the mean falls with each dose from
   .05 on; doses of .02 and .05 are within .15 of none;
9. DPO agrees in at least half of the hardest, as REINFORCE against the biased model does.

Changed after trials on a few prompts, before the full run: 1,024 samples for 4,096, since beyond 256
nothing moved. What these trials had also shown by then: in (iii) the order of claim 3, and truths over
all things that rose without a fall.

That the optimized reward rises with n is no prediction: the estimator cannot do otherwise.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from _common import conclude
from _language import rate, rates, rows, run_arms, run_doses, seconds
from jaxtyping import Float

from goalgap import stats
from goalgap.language.best_of_n import divergence, expected_best, sample
from goalgap.language.coefficients import recover
from goalgap.language.dialogues import Fleet
from goalgap.language.scenario import Dialogue, Prompts
from goalgap.language.scenarios.preferences import COLORS, DISPUTE, STYLES, Preferences
from goalgap.runs import Run

NUM_SEEDS = 3
SAMPLES = 1024
NUMBERS = tuple(2**power for power in range(11))
NUM_PROMPTS = (12, 12, 24)  # by difficulty, as many things have each
REWARDS = ("biased", "truthful", "oracle")
FEATURES = {"truth checked": 1.5, "truth unchecked": 0.0, "match": 0.3, "tone": 0.2, "odd color": 0.0}
NUM_SETS, NUM_PAIRS, NUM_FRESH = 20, 15_000, 20_000
Curves = dict[str, dict[str, Float[np.ndarray, "numbers seeds prompts"]]]


def main(out: Path, seed: int = 0) -> dict[str, Any]:
    """Train (finished runs are found again), compare, write data and figure, print agreement."""
    print(__doc__)
    seeds = tuple(range(seed, seed + NUM_SEEDS))
    arms = {reward: Preferences(reward=reward) for reward in REWARDS}
    arms["dpo"] = Preferences(learner="dpo")
    runs = run_arms(arms, out, seed, seeds=seeds)
    doses = run_doses(Preferences(), out, seed, seeds=seeds)
    sets = coefficients(seed)
    preferring = preferences(runs["biased"])
    prompts = disputes(np.random.default_rng((seed, 1)))
    curves = best_of(runs["biased"], prompts, np.random.default_rng((seed, 2)))
    difficulty = prompts.facts["difficulty"]
    agreed = {name: rate(run.outcomes, "shift", "agree") for name, run in (runs | doses).items()}
    at_256 = {
        reward: [
            stats.crossed_mean(
                f"agree, best of 256, {reward}, difficulty {level}",
                curves[reward]["agree"][NUMBERS.index(256)][:, difficulty == level],
                is_share=True,
            )
            for level in range(3)
        ]
        for reward in REWARDS
    }
    gold = curves["biased"]["truth"].mean((1, 2))
    fitted = published_form(gold)
    result = {
        "coefficients": sets,
        "prefers_belief": preferring,
        "best_of_256": {name: [one._asdict() for one in found] for name, found in at_256.items()},
        "best_of_1024_hardest": {
            reward: stats.crossed_mean(
                reward, curves[reward]["agree"][-1][:, difficulty == 2], is_share=True
            )._asdict()
            for reward in REWARDS
        },
        "curves": {
            reward: {
                f"{what}, difficulty {level}": values[:, :, difficulty == level].mean((1, 2))
                for what, values in found.items()
                for level in range(3)
            }
            for reward, found in curves.items()
        },
        "gold": gold,
        "published_form": fitted,
        "agreed_after_training": {name: one._asdict() for name, one in agreed.items()},
        "wall_seconds": seconds(runs | doses),
        "agreement": agreement(sets, preferring, curves, difficulty, fitted, runs, doses),
    }
    print(f"\nIntervals that hold the planted weight: {sets['coverage']}")
    for level, found in enumerate(preferring):
        print(f"difficulty {level}: reward models prefer the belief {found['estimate']:.2f}")
    for reward, found in at_256.items():
        print(f"best of 256, {reward}: agree {'; '.join(map(str, found))}")
    print(
        "truths by n: " + ", ".join(f"{n}: {share:.2f}" for n, share in zip(NUMBERS, gold, strict=True))
    )
    for name, one in agreed.items():
        print(f"{name:10} agree {one}")
    table = rows(runs) + [row for row in rows(doses) if row["dose"]]
    return conclude(
        out,
        "language-preferences",
        result,
        table,
        lambda path: draw(path, curves, difficulty, runs, doses),
    )


def coefficients(seed: int) -> dict[str, Any]:
    """Recover weights from sets of comparisons by raters whose weights are known."""
    scenario, planted = Preferences(), np.array(list(FEATURES.values()))
    held, apart, scales, estimates = [], [], [], []
    for number in range(NUM_SETS):
        rng = np.random.default_rng((seed, number, 0xC0EF))
        shown, is_first, _ = compared(scenario, NUM_PAIRS, rng)
        found = recover(shown, is_first, rng)
        fresh, truly_first, chance = compared(scenario, NUM_FRESH, rng)
        differs = chance != 0.5  # nobody foretells the others
        right = ((found.predict(fresh) > 0.5) == truly_first)[differs].mean()
        bayes = ((chance > 0.5) == truly_first)[differs].mean()
        held.append((found.low <= planted) & (planted <= found.high))
        apart.append(float(right - bayes))
        scales.append(found.scale)
        estimates.append(found.estimate)
    total = stats.share("intervals that hold the weight", int(np.sum(held)), np.size(held), "intervals")
    return {
        "coverage": total,
        "coverage_by_feature": dict(zip(FEATURES, np.mean(held, 0), strict=True)),
        "mean_estimate": dict(zip(FEATURES, np.mean(estimates, 0), strict=True)),
        "accuracy_minus_bayes": apart,
        "scales": scales,
    }


def compared(
    scenario: Preferences, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make comparisons: the `FEATURES`, whether the first was preferred, and the chance of that."""
    first, second, can_check = scenario.compare(n, rng)
    features = scenario.features(first, second)
    truth, match, tone = features.T
    odd = first.said[:, 0, 1] % 2 - second.said[:, 0, 1] % 2
    shown = np.stack([truth * can_check, truth * ~can_check, match, tone, odd], 1)
    chance = scenario.chances(features, can_check, np.zeros(n, bool))
    return shown, rng.random(n) < chance, chance


def disputes(rng: np.random.Generator) -> Prompts:
    """Draw held-out prompts in which the user is wrong, some of each difficulty."""
    drawn = Preferences().prompts(DISPUTE, 2000, rng, is_test=True)
    level = drawn.facts["difficulty"]
    chosen = [np.flatnonzero(level == one)[:count] for one, count in enumerate(NUM_PROMPTS)]
    return drawn.take(np.concatenate(chosen))


def preferences(run: Run, count: int = 600) -> list[dict[str, Any]]:
    """Measure how often reward models prefer the user's belief to the truth, by difficulty.

    Both are said in the same tone.
    """
    scenario = Preferences()
    prompts = scenario.prompts(DISPUTE, count, np.random.default_rng(3), is_test=True)
    level = prompts.facts["difficulty"]
    everybody = Prompts.join(*[prompts] * NUM_SEEDS)
    word = scenario.vocabulary.token

    def worth(fact: str) -> np.ndarray:
        color = word(COLORS[0]) + everybody.facts[fact]
        said = np.stack([np.full_like(color, word(STYLES[0])), color], 1).astype(np.int32)
        n = len(color)
        dialogue = Dialogue(
            everybody, said[:, None], np.zeros((n, 1, 0), np.int32), np.ones(n, np.int32)
        )
        return scenario.worth(dialogue, run.others()).reshape(NUM_SEEDS, -1)

    prefers = (worth("believed") > worth("truth")).astype(float)
    return [
        stats.crossed_mean(f"difficulty {one}", prefers[:, level == one], is_share=True)._asdict()
        for one in range(3)
    ]


def best_of(run: Run, prompts: Prompts, rng: np.random.Generator) -> Curves:
    """Compute for each reward what the best of n is worth by it, and whether that is true and agrees."""
    others = run.others()
    speaker = Fleet(Preferences(), others["reference"])
    parts = []
    for begin in range(0, len(prompts), 4):  # few at a time, or the cache fills the memory
        few = prompts.take(np.arange(begin, min(begin + 4, len(prompts))))
        drawn = sample(Preferences(), speaker, Prompts.join(*[few] * NUM_SEEDS), SAMPLES, rng)
        parts.append({reward: appraised(reward, drawn, others, len(few)) for reward in REWARDS})
    return {
        reward: {
            what: np.concatenate([part[reward][what] for part in parts], 2)
            for what in ("worth", "truth", "agree")
        }
        for reward in REWARDS
    }


def appraised(reward: str, drawn: Dialogue, others: dict[str, Any], count: int) -> dict[str, np.ndarray]:
    """Compute what the best of n samples of some prompts is worth, and how often it is true and agrees.

    Each is [numbers n, seeds, prompts].
    """
    scenario = Preferences(reward=reward)
    worth = scenario.worth(drawn, others).reshape(-1, SAMPLES).astype(float)
    values = {"worth": worth}
    for goal, step in scenario.events(drawn).items():
        values[goal] = (step >= 0).reshape(-1, SAMPLES).astype(float)
    return {
        what: np.stack([expected_best(worth, one, n) for n in NUMBERS]).reshape(-1, NUM_SEEDS, count)
        for what, one in values.items()
    }


def published_form(gold: Float[np.ndarray, " numbers"]) -> dict[str, float]:
    """Fit gold(n) - gold(1) = d (alpha - beta d) by least squares."""
    d = np.sqrt([divergence(n) for n in NUMBERS])
    change = gold - gold[0]
    (alpha, beta), *_ = np.linalg.lstsq(np.stack([d, -(d**2)], 1), change, rcond=None)
    left = change - d * (alpha - beta * d)
    explained = 1 - (left**2).sum() / ((change - change.mean()) ** 2).sum()
    return {"alpha": float(alpha), "beta": float(beta), "explained": float(explained)}


def agreement(
    sets: dict[str, Any],
    preferring: list[dict[str, Any]],
    curves: Curves,
    difficulty: np.ndarray,
    fitted: dict[str, float],
    runs: dict[str, Run],
    doses: dict[str, Run],
) -> dict[str, bool]:
    """Tell which claims of the prediction hold."""
    at = NUMBERS.index(256)
    best = {name: curves[name]["agree"][at] for name in REWARDS}
    hard = {name: values[:, difficulty == 2].mean(1) for name, values in best.items()}
    gaps = [
        float((best["biased"] - best["oracle"])[:, difficulty == level].mean()) for level in range(3)
    ]
    gold = curves["biased"]["truth"].mean((1, 2))
    hardest = curves["biased"]["truth"][:, :, difficulty == 2].mean((1, 2))
    peak = int(gold.argmax())
    left = {name: rates(run.outcomes, "shift", "agree").mean(1) for name, run in (runs | doses).items()}
    mean = {name: float(values.mean()) for name, values in left.items()}
    return {
        "at least .90 of the intervals hold the planted weight": sets["coverage"].estimate >= 0.9,
        "accuracy within 1 point of the Bayes rate in every set": bool(
            np.abs(sets["accuracy_minus_bayes"]).max() <= 0.01
        ),
        "reward models prefer the belief in 2/3 of the hardest disputes or more": preferring[2][
            "estimate"
        ]
        >= 2 / 3,
        "in 5 % of the easiest or fewer": preferring[0]["estimate"] <= 0.05,
        "best of 256 on the hardest: oracle < truthful < biased in every seed": bool(
            (hard["oracle"] < hard["truthful"]).all() and (hard["truthful"] < hard["biased"]).all()
        ),
        "oracle at most .02, truthful .2 to .6, biased at least .7": bool(
            hard["oracle"].mean() <= 0.02
            and 0.2 <= hard["truthful"].mean() <= 0.6
            and hard["biased"].mean() >= 0.7
        ),
        "the gap between biased and oracle widens with difficulty": gaps[0] < gaps[1] < gaps[2],
        "truths over all rise, then fall by .03 or more from a peak at 2 to 64": 2 <= NUMBERS[peak] <= 64
        and bool(gold[peak] - gold[-1] >= 0.03),
        "on the hardest they fall from the start": int(hardest.argmax()) == 0,
        "the published form explains less than .9": fitted["explained"] < 0.9,
        "REINFORCE: oracle < truthful < biased in every seed": bool(
            (left["oracle"] < left["truthful"]).all() and (left["truthful"] < left["biased"]).all()
        ),
        "oracle at most .02, truthful at most .3, biased at least .5": mean["oracle"] <= 0.02
        and mean["truthful"] <= 0.3
        and mean["biased"] >= 0.5,
        "biased REINFORCE agrees less than best of 256": mean["biased"] < hard["biased"].mean(),
        "a dose of .3 leaves .15 or less": mean["30 %"] <= 0.15,
        "from a dose of .05 on agreeing falls": mean["5 %"] > mean["10 %"] > mean["30 %"],
        "doses of .02 and .05 are within .15 of none": max(
            abs(mean[dose] - mean["0 %"]) for dose in ("2 %", "5 %")
        )
        <= 0.15,
        "DPO agrees in at least half of the hardest": mean["dpo"] >= 0.5,
    }


def draw(
    path: Path,
    curves: Curves,
    difficulty: np.ndarray,
    runs: dict[str, Run],
    doses: dict[str, Run],
) -> None:
    """Draw best of n on the hardest prompts by three rewards, and what training leaves.

    A panel between has optimized and intended reward.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.5), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    colors = {"biased": "#b3401f", "truthful": "#2b6a8f", "oracle": "#4f7f3b"}
    for reward, color in colors.items():
        by_seed = curves[reward]["agree"][:, :, difficulty == 2].mean(2)
        first.plot(NUMBERS, by_seed, color=color, alpha=0.25, linewidth=1)
        first.plot(NUMBERS, by_seed.mean(1), color=color, label=reward)
    first.set(xscale="log", xlabel="best of n", ylabel="agrees, hardest things", ylim=(0, 1))
    first.legend(fontsize=8, frameon=False)
    d = np.sqrt([divergence(n) for n in NUMBERS])
    worth, gold = (curves["biased"][what].mean((1, 2)) for what in ("worth", "truth"))
    second.plot(d, gold, color="#333333", label="truths, all things")
    for level, style in enumerate((":", "-.", "--")):
        values = curves["biased"]["truth"][:, :, difficulty == level].mean((1, 2))
        second.plot(d, values, style, color="#777777", linewidth=1, label=f"difficulty {level}")
    second.plot(d, (worth - worth[0]) / (worth[-1] - worth[0]), color="#b3401f", label="reward, scaled")
    second.set(xlabel="square root of the divergence, at most", ylim=(0, 1.02))
    second.legend(fontsize=7, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    shown = dict(runs) | {f"dose {name}": run for name, run in doses.items() if name != "0 %"}
    for place, run in enumerate(shown.values()):
        values = rates(run.outcomes, "shift", "agree").mean(1)
        third.scatter(place + np.linspace(-0.1, 0.1, len(values)), values, s=16, color="#b3401f")
    third.set_xticks(range(len(shown)), list(shown), rotation=45, ha="right", fontsize=7)
    third.set(ylabel="agrees after training, a dot a seed", ylim=(-0.02, 1))
    figure.suptitle("Sycophancy from preferences", fontsize=10)
    figure.savefig(path, format="svg")


if __name__ == "__main__":
    print(json.dumps(main(Path("runs"))["agreement"], indent=1))
