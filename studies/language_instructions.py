"""Do models do what they are told, or what is usually done in such a place?

Question. GENIES (2311.07723) finds reward models that favor what is usual on the internet over what the
instruction says, in many of 69 shifts. Here is a policy, trained from nothing: it is taught to repeat,
reverse and sort letters on instruction, then in domains that always come with one of the three; where
the instruction cannot be made out (a quarter of training), only the domain tells what to do. After the
shift the instruction is one that its domain never had. No published numbers at this size.

Measured of `instructions`, three seeds an arm: share of replies that obey, that do what the domain
usually asks for, and (since models may blend both) the shares of single letters as either wants them.
Arms: the default (domain first, then instruction); the instruction first; every instruction readable;
models of 16,000 to 240,000 parameters; doses of 0, 2, 5, 10, 30 % counterexamples.

Prediction, written before the study, after trials of one or two seeds of the default with other numbers
of steps (obey .00 to .07, domain .18 to .44, other replies blends of both):
- default: obey at most .1 and domain at least .2, more than obey, with capability at least .95;
- most other replies are blends: at least half of all letters are as the domain wants them;
- every instruction readable: obey at least .9 (a cue that explains nothing is not learned);
- the order of domain and instruction does not matter: obey differs by less than .1;
- obeying rises with the dose, to at least .8 at 10 %;
- larger models blend less: domain rises from the smallest to the largest; none obeys more than .15.

Added after the run, predictions unchanged: two do not hold. Where every instruction is readable only .38
obey, though nothing points to the domain (domain .02): instruction and domain, always seen together, are
read together, and a pair never seen breaks the skill; letters are as told in .64. And the domain wins
less in larger models (.50, .39, .35 with 16,000, 60,000, 240,000 parameters; three seeds, wide
intervals). Two per cent of counterexamples raise obeying from .05 to .55, ten to .94.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from _common import conclude
from _language import DOSES, draw_shares, rate, rows, run_arms, run_doses, seconds, shares

from goalgap import measure, stats
from goalgap.core import Measurement
from goalgap.language.scenarios import Instructions
from goalgap.language.transformer import Architecture
from goalgap.runs import Run

NUM_SEEDS = 3
DEFAULT, FIRST, READABLE = "default", "instruction first", "all readable"
SIZES = {
    "16 k": Architecture(layers=1, width=32),
    "60 k": Architecture(),
    "0.2 M": Architecture(width=96),
}


def main(out: Path, seed: int = 0) -> dict[str, Any]:
    """Train (finished runs are found again), write data and figure, print agreement."""
    print(__doc__)
    seeds = tuple(range(seed, seed + NUM_SEEDS))
    doses = run_doses(Instructions(), out, seed, DOSES, seeds=seeds)
    kinds = {
        DEFAULT: Instructions(),
        FIRST: Instructions(instruction_first=True),
        READABLE: Instructions(unreadable=0.0),
    }
    arms = run_arms(kinds, out, seed, seeds=seeds)
    sizes: dict[str, Run] = {}
    for name, architecture in SIZES.items():
        sizes |= run_arms({name: Instructions()}, out, seed, seeds=seeds, network=architecture)
    runs = arms | doses | sizes
    panels = {
        "kind of training": shares(arms),
        "counterexamples": shares(doses),
        "parameters": shares(sizes),
    }
    letters = {
        name: {kind: letter_share(run, kind)._asdict() for kind in ("letters_told", "letters_usual")}
        for name, run in runs.items()
    }
    capability = {name: rate(run.outcomes, "capability", "obey") for name, run in runs.items()}
    found = shares(runs)
    for name, goals in found.items():
        print(f"{name:18}", "  ".join(f"{goal} {value.estimate:.3f}" for goal, value in goals.items()))
    result = {
        "shift": {
            name: {goal: value._asdict() for goal, value in goals.items()}
            for name, goals in found.items()
        },
        "letters": letters,
        "capability": {name: value._asdict() for name, value in capability.items()},
        "wall_seconds": seconds(runs),
        "agreement": agreement(found, letters, capability),
    }
    title = "After the shift: obeying, and doing what the domain usually asks for"
    return conclude(
        out, "language-instructions", result, rows(runs), lambda path: draw_shares(path, title, panels)
    )


def letter_share(run: Run, kind: str) -> Measurement:
    """Measure the share of single letters after the shift that are as somebody (`kind`) wants them."""
    return stats.crossed_mean(kind, np.asarray(measure.pivot(run.outcomes, "shift", kind), float))


def agreement(
    found: dict[str, dict[str, Measurement]],
    letters: dict[str, dict[str, Any]],
    capability: dict[str, Measurement],
) -> dict[str, bool]:
    """Tell which claims of the prediction hold."""
    obey = {name: goals["obey"].estimate for name, goals in found.items()}
    domain = {name: goals["domain"].estimate for name, goals in found.items()}
    response = [obey[f"{100 * dose:g} %"] for dose in DOSES]
    small, *_, large = SIZES
    return {
        "default: obey at most .1, domain at least .2, capability at least .95": obey[DEFAULT] <= 0.1
        and domain[DEFAULT] >= 0.2
        and capability[DEFAULT].estimate >= 0.95,
        "default: domain more than obey, intervals apart": found[DEFAULT]["domain"].low
        > found[DEFAULT]["obey"].high,
        "at least half of all letters are as the domain wants them": letters[DEFAULT]["letters_usual"][
            "estimate"
        ]
        >= 0.5,
        "every instruction readable: obey at least .9": obey[READABLE] >= 0.9,
        "the order of domain and instruction changes obey by less than .1": abs(
            obey[FIRST] - obey[DEFAULT]
        )
        < 0.1,
        "obeying rises with the dose": all(np.diff(response) > 0),
        "obey at least .8 at a dose of 10 %": obey["10 %"] >= 0.8,
        "domain rises from the smallest to the largest model": domain[large] > domain[small],
        "no size obeys more than .15": max(obey[name] for name in SIZES) <= 0.15,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path("runs"))["agreement"], indent=1))
