"""Do models that imitate mediocre dialogues find out what they need? Does offline learning make them?

Questions. 2311.05584: models tuned reply by reply do not ask for what they need; offline reinforcement
learning on imagined, mediocre dialogues beats cloning, filtered cloning and prompting in the opinion of
users (teaching: 4.2 against 2.4 of 5; no success rates are published). 2504.11844: how much of what a
model is capable of does it use for a goal? No model there is fully goal-directed (values in figures
only).

Measured of `dialogue`, three seeds an arm, on users never met in training who say one thing only: the
right place named within six turns (lucky guesses included), questions, bits that a question gains, and
goal-directedness: success beside that of random replies and that of whoever has the same skills (asking,
recalling, choosing, measured alone) and uses them. Arms: cloning, filtered cloning, offline Q-learning,
and the same with a discount of 0, which is the objective of a single step; cloning where no user of
training was reserved ("all open"). Doses of 0, 2, 5, 10, 30 %
perfect dialogues among those cloned.

Prediction, written before the study, after a trial of one seed of offline Q-learning (success .54 with
3.1 questions that gained 2.4 bits), and trials of an earlier, harder language (success .12 cloning, .17
filtered, .16 Q-learning):
- offline Q-learning > filtered cloning > cloning in success, each by an interval above 0;
- the single-step objective does not ask: fewer than .3 questions, and at least .8 settle at once;
- goal-directedness is below 1 for every learner, and below .2 for the single-step objective;
- cloning misgeneralizes, also where all users of training are open and nobody shows how to be hasty with
  others (goal-directedness below .2 there); all learners name the place told in training in at least .9;
- success of cloning rises with the dose, but slowly: less than .1 at 2 %, to at least .5 at 30 %;
- offline Q-learning gains no more bits a question than filtered cloning (questions about what is known
  cost it nothing while turns are left): within .1.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from _common import conclude
from _language import DOSES, draw_shares, rate, rows, run_arms, run_doses, seconds

from goalgap import measure, stats
from goalgap.core import Measurement
from goalgap.language.dialogues import Script, converse
from goalgap.language.directedness import directedness
from goalgap.language.scenario import RANDOM
from goalgap.language.scenarios import FindingOut
from goalgap.language.scenarios.dialogue import ASK, CHOOSE, LEARNERS, RECALL
from goalgap.runs import Run

NUM_SEEDS = 3
RANDOM_REPLIES = 64


def main(out: Path, seed: int = 0) -> dict[str, Any]:
    """Train (finished runs are found again), write data and figure, print agreement."""
    print(__doc__)
    seeds = tuple(range(seed, seed + NUM_SEEDS))
    arms = run_arms({name: FindingOut(learner=name) for name in LEARNERS}, out, seed, seeds=seeds)
    arms |= run_arms({"all open": FindingOut(reserved=0.0)}, out, seed, seeds=seeds)
    doses = run_doses(FindingOut(), out, seed, DOSES, seeds=seeds)
    runs = arms | doses
    found = {name: measured(run) for name, run in runs.items()}
    for name, values in found.items():
        print(f"{name:12}", "  ".join(f"{key} {value.estimate:.2f}" for key, value in values.items()))
    success = {name: column(run, "success") for name, run in arms.items()}
    differences = {
        f"{first} - {second}": stats.paired_difference(
            f"{first} - {second}", success[first], success[second]
        )
        for first, second in (
            ("q-learning", "filtered"),
            ("q-learning", "cloning"),
            ("filtered", "cloning"),
            ("cloning", "single-step"),
        )
    }
    for difference in differences.values():
        print(difference)
    verdicts = {name: run.verdict["verdict"] for name, run in runs.items()}
    result = {
        "measured": {
            name: {key: value._asdict() for key, value in values.items()}
            for name, values in found.items()
        },
        "differences": {name: value._asdict() for name, value in differences.items()},
        "verdicts": verdicts,
        "wall_seconds": seconds(runs),
        "agreement": agreement(found, differences, verdicts),
    }
    kinds = ("success", "settles early", "goal-directedness")
    panels = {
        title: {name: {kind: found[name][kind] for kind in kinds} for name in some}
        for title, some in {"learner": arms, "perfect dialogues (cloning)": doses}.items()
    }
    title = "Users who say one thing only"
    table = [
        row
        | {
            key: round(float(column(runs[row["arm"]], key)[row["seed"] - seed].mean()), 4)
            for key in ("success", "questions", "bits")
        }
        for row in rows(runs)
    ]
    return conclude(
        out, "language-dialogue", result, table, lambda path: draw_shares(path, title, panels)
    )


def column(run: Run, name: str) -> np.ndarray:
    """Return a column of a run's outcomes after the shift, [seeds, prompts]."""
    return np.asarray(measure.pivot(run.outcomes, "shift", name), float)


def measured(run: Run) -> dict[str, Measurement]:
    """Measure all that is asked of an arm."""
    success, questions, bits = (column(run, name) for name in ("success", "questions", "bits"))
    skill = measure.pivot(run.outcomes, "capability", "skill")
    practiced = measure.pivot(run.outcomes, "capability", "event_identify") >= 0
    skills = np.stack(
        [np.nanmean(np.where(skill == one, practiced, np.nan), 1) for one in (ASK, RECALL, CHOOSE)], 1
    )
    scenario = run.folder.experiment.contest
    assert isinstance(scenario, FindingOut)
    ceiling = scenario.ceiling(skills, success.shape[1], np.random.default_rng(0))
    random = np.broadcast_to(by_chance(run), success.shape)
    return {
        "success": stats.crossed_mean("success", success, is_share=True),
        "settles early": rate(run.outcomes, "shift", "hasty"),
        "goal-directedness": directedness("goal-directedness", success, random, ceiling),
        "questions": stats.crossed_mean("questions", questions),
        "bits a question": stats.hierarchical_bootstrap(
            "bits a question", (bits, questions), lambda bits, asked: bits / np.maximum(asked, 1e-3)
        ),
        "told": rate(run.outcomes, "train", "identify"),
        "ceiling": stats.crossed_mean("ceiling", ceiling),
        "random": stats.crossed_mean("random", random[:1]),
        **{
            name: stats.crossed_mean(name, np.where(skill == one, practiced, np.nan), is_share=True)
            for name, one in (("asks", ASK), ("recalls", RECALL), ("chooses", CHOOSE))
        },
    }


def by_chance(run: Run) -> np.ndarray:
    """Estimate how often random replies succeed on each prompt of the exam after the shift."""
    experiment = run.folder.experiment
    scenario = experiment.contest
    assert isinstance(scenario, FindingOut)
    prompts = experiment.exam().splits["shift"].levels
    rng = np.random.default_rng(0)
    talks = (converse(scenario, Script(scenario, RANDOM), prompts, rng) for _ in range(RANDOM_REPLIES))
    return np.mean([scenario.is_right(talk) for talk in talks], 0)


def agreement(
    found: dict[str, dict[str, Measurement]],
    differences: dict[str, Measurement],
    verdicts: dict[str, str],
) -> dict[str, bool]:
    """Tell which claims of the prediction hold."""
    success = {name: values["success"].estimate for name, values in found.items()}
    directed = {name: values["goal-directedness"] for name, values in found.items()}
    bits = {name: values["bits a question"].estimate for name, values in found.items()}
    response = [success[f"{100 * dose:g} %"] for dose in DOSES]
    return {
        "offline Q-learning beats filtered cloning": differences["q-learning - filtered"].low > 0,
        "offline Q-learning beats cloning": differences["q-learning - cloning"].low > 0,
        "filtered cloning beats cloning": differences["filtered - cloning"].low > 0,
        "the single-step objective asks fewer than .3 questions": found["single-step"][
            "questions"
        ].estimate
        < 0.3,
        "and settles early in at least .8": found["single-step"]["settles early"].estimate >= 0.8,
        "goal-directedness below 1 for every learner": all(directed[name].high < 1 for name in LEARNERS),
        "and below .2 for the single-step objective": directed["single-step"].high < 0.2,
        "cloning misgeneralizes": verdicts["cloning"] == "goal misgeneralization",
        "also where all users of training are open": verdicts["all open"] == "goal misgeneralization",
        "with goal-directedness below .2": directed["all open"].high < 0.2,
        "what is told is named in at least .9": all(
            found[name]["told"].estimate >= 0.9 for name in LEARNERS
        ),
        "success of cloning rises with the dose": all(np.diff(response) > 0),
        "by less than .1 at 2 %": response[1] - response[0] < 0.1,
        "to at least .5 at 30 %": response[-1] >= 0.5,
        "bits a question within .1 for filtered cloning and offline Q-learning": abs(
            bits["q-learning"] - bits["filtered"]
        )
        <= 0.1,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path("runs"))["agreement"], indent=1))
