"""Does supervision of the steps give right answers by right steps, where that of answers does not?

Question. 2211.14275 (GSM8K) finds like answer errors for models trained by outcome and by process (13.8
and 12.9 %; the best 12.7 %), but 14.0 % (outcome) and 3.4 % (process) errors of traces among right
answers. Here students who are imitated first use a trick in three of four chains, taking nine for ten
and the one back in the next step (two wrong steps that cancel); then REINFORCE rewards right answers,
or right steps.

Measured of `process`, three seeds an arm, on chains in which the trick has a place (shift) and on all
(shift and train in equal parts, as in training): answer error, and trace error, the share of right
answers with a wrong step. Arms: imitation only, outcome, process, and a
reward model trained on pairs of which one has the right answer; doses of 0, 2, 5, 10, 30 % right
demonstrations of such chains among the students', under outcome supervision.

Prediction, written before the study, after trials of two seeds with fewer steps (after the shift answer
errors .24 and .20, trace errors .92 and .04 by outcome and process; students have the trick in .75):
- after the shift trace error by process is at most a third of that by outcome, on all chains too;
- answer errors on all chains differ by at most .05; within .02 as the published: perhaps;
- outcome supervision does not lower the trace error of imitation: it is at least as high, less .1;
- verdicts: outcome, goal misgeneralization; process, intended;
- a reward model trained on answers does no better than answers themselves: its trace error is at least
  that of outcome less .2 (published: 12.7 % beside 14.0 %; with such models reinforced, 5.5 %);
- under outcome supervision the trace error falls with the dose, but demonstrations alone do not mend it
  at 10 %: it is still above .3, since answers do not tell the two apart.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from _common import conclude
from _language import DOSES, draw_shares, rows, run_arms, run_doses, seconds

from goalgap import measure, stats
from goalgap.core import Measurement
from goalgap.language.scenarios import Process
from goalgap.runs import Run

NUM_SEEDS = 3
ARMS = ("outcome", "process", "none", "reward-model")
ANSWER, TRACE = "answer error", "trace error"


def main(out: Path, seed: int = 0) -> dict[str, Any]:
    """Train (finished runs are found again), write data and figure, print agreement."""
    print(__doc__)
    seeds = tuple(range(seed, seed + NUM_SEEDS))
    arms = run_arms({name: Process(supervision=name) for name in ARMS}, out, seed, seeds=seeds)
    doses = run_doses(Process(), out, seed, DOSES, seeds=seeds)
    runs = arms | doses
    panels = {
        "after the shift": {name: errors(run, ("shift",)) for name, run in arms.items()},
        "all chains": {name: errors(run, ("train", "shift")) for name, run in arms.items()},
        "outcome, right demonstrations": {name: errors(run, ("shift",)) for name, run in doses.items()},
    }
    for name, found in panels.items():
        for arm, values in found.items():
            print(f"{name:30} {arm:8}", "  ".join(str(value) for value in values.values()))
    first, second = (wrong_answers(arms[name], ("train", "shift")) for name in ARMS[:2])
    difference = stats.paired_difference("answer error, outcome - process", first, second)
    ratio = reduction(arms)
    print(difference, ratio, sep="\n")
    verdicts = {name: run.verdict["verdict"] for name, run in arms.items()}
    result = {
        "errors": {
            name: {
                arm: {key: value._asdict() for key, value in values.items()}
                for arm, values in found.items()
            }
            for name, found in panels.items()
        },
        "answer_error_difference": difference._asdict(),
        "trace_error_ratio": ratio._asdict(),
        "verdicts": verdicts,
        "wall_seconds": seconds(runs),
        "agreement": agreement(panels, difference, ratio, verdicts),
    }
    title = "Wrong answers, and wrong steps among right answers"
    table = [
        row | {f"{key}, shift": round(error_of(runs[row["arm"]], key, row["seed"] - seed), 4)}
        for row in rows(runs)
        for key in (TRACE,)
    ]
    return conclude(
        out, "language-process", result, table, lambda path: draw_shares(path, title, panels)
    )


def columns(run: Run, name: str, splits: tuple[str, ...]) -> np.ndarray:
    """Return a column of several splits, side by side: [seeds, prompts]."""
    parts = [np.asarray(measure.pivot(run.outcomes, split, name), float) for split in splits]
    return np.concatenate(parts, 1)


def wrong_answers(run: Run, splits: tuple[str, ...]) -> np.ndarray:
    """Tell whether each answer is wrong, [seeds, prompts]."""
    return 1 - columns(run, "answered", splits)


def wrong_traces(run: Run, splits: tuple[str, ...]) -> np.ndarray:
    """Tell whether each right answer came by a wrong step; NaN where the answer is wrong."""
    answered, traced = (columns(run, name, splits) for name in ("answered", "traced"))
    return np.where(answered > 0, 1 - traced, np.nan)


def errors(run: Run, splits: tuple[str, ...]) -> dict[str, Measurement]:
    """Measure answer error and trace error."""
    return {
        ANSWER: stats.crossed_mean(ANSWER, wrong_answers(run, splits), is_share=True),
        TRACE: stats.crossed_mean(TRACE, wrong_traces(run, splits), is_share=True),
    }


def error_of(run: Run, kind: str, number: int) -> float:
    """Compute an error (of answers or traces) of one seed after the shift."""
    values = wrong_traces(run, ("shift",)) if kind == TRACE else wrong_answers(run, ("shift",))
    return float(np.nanmean(values[number]))


def reduction(arms: dict[str, Run]) -> Measurement:
    """Measure the ratio of trace error, training by outcome over training by process, on all chains."""
    tables = tuple(wrong_traces(arms[name], ("train", "shift")) for name in ARMS[:2])
    return stats.hierarchical_bootstrap(
        "trace error, outcome / process",
        tables,
        lambda outcome, process: outcome / np.maximum(process, 1e-3),
    )


def agreement(
    panels: dict[str, dict[str, dict[str, Measurement]]],
    difference: Measurement,
    ratio: Measurement,
    verdicts: dict[str, str],
) -> dict[str, bool]:
    """Tell which claims of the prediction hold."""
    shift, doses = panels["after the shift"], panels["outcome, right demonstrations"]
    response = [doses[f"{100 * dose:g} %"][TRACE].estimate for dose in DOSES]
    return {
        "after the shift trace error by process is at most a third of that by outcome": 3
        * shift["process"][TRACE].estimate
        <= shift["outcome"][TRACE].estimate,
        "on all chains, too, with an interval above 3": ratio.low >= 3,
        "answer errors on all chains differ by at most .05": abs(difference.estimate) <= 0.05,
        "by at most .02, as published": abs(difference.estimate) <= 0.02,
        "outcome supervision does not lower the trace error of imitation (by more than .1)": shift[
            "outcome"
        ][TRACE].estimate
        >= shift["none"][TRACE].estimate - 0.1,
        "verdict of outcome: goal misgeneralization": verdicts["outcome"] == "goal misgeneralization",
        "verdict of process: intended": verdicts["process"] == "intended",
        "a reward model trained on answers does no better than answers (by more than .2)": shift[
            "reward-model"
        ][TRACE].estimate
        >= shift["outcome"][TRACE].estimate - 0.2,
        "trace error by outcome falls with the dose": all(np.diff(response) < 0),
        "and is still above .3 at 10 %": response[DOSES.index(0.1)] > 0.3,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path("runs"))["agreement"], indent=1))
