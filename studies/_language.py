"""Share what the studies of language scenarios need: arms run one after the other, and their rows."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from goalgap import measure, runs, stats
from goalgap.core import Measurement
from goalgap.language import LanguageExperiment
from goalgap.language.scenario import Scenario
from goalgap.runs import language

DOSES = (0.0, 0.02, 0.05, 0.1, 0.3)
SEEDS = (0, 1, 2, 3)


def run_arms(
    scenarios: Mapping[str, Scenario], out: Path, seed: int = 0, dose: float = 0.0, **more: Any
) -> dict[str, language.LanguageRun]:
    """Run an arm for each scenario, by name; finished runs are found again.

    `more` are further settings of the experiment.
    """
    runs.use_compilation_cache()
    found = {}
    for name, scenario in scenarios.items():
        seeds = more.get("seeds") or tuple(seed + each for each in SEEDS)
        experiment = LanguageExperiment(scenario, **{"dose": dose, **more, "seeds": seeds})
        found[name] = language.run(experiment, out)
        print(f"{name:24} {found[name].verdict['verdict']}", flush=True)
    return found


def run_doses(
    scenario: Scenario, out: Path, seed: int = 0, doses: tuple[float, ...] = DOSES, **more: Any
) -> dict[str, language.LanguageRun]:
    """Run each dose of counterexamples, by its name in per cent."""
    found = {}
    for dose in doses:
        name = f"{100 * dose:g} %"
        found |= run_arms({name: scenario}, out, seed, dose, **more)
    return found


def rates(table: dict[str, np.ndarray], split: str, goal: str) -> np.ndarray:
    """Tell whether each dialogue of a split achieved a goal, [seeds, prompts]."""
    return (measure.pivot(table, split, f"event_{goal}") >= 0).astype(float)


def rate(table: dict[str, np.ndarray], split: str, goal: str) -> Measurement:
    """Measure in what share of dialogues a goal is achieved, with an interval over seeds and prompts."""
    return stats.crossed_mean(f"{goal}, {split}", rates(table, split, goal), is_share=True)


def rows(runs: Mapping[str, language.LanguageRun]) -> list[dict[str, Any]]:
    """Make a row for each arm and seed: its verdict, and how often each goal is achieved, by split."""
    found = []
    for arm, run in runs.items():
        experiment, table = run.folder.experiment, run.outcomes
        for index, seed in enumerate(run.verdict["seeds"]):
            row: dict[str, Any] = {"arm": arm, "dose": experiment.dose, "seed": seed["seed"]}
            row["verdict"] = seed["verdict"]
            for split in ("train", "shift", "twin", "capability"):
                for goal in experiment.scenario.goals:
                    if split == "capability" and goal is not experiment.scenario.goals[0]:
                        continue
                    share = rates(table, split, goal.name)[index].mean()
                    row[f"{split}_{goal.name}"] = round(float(share), 4)
            found.append(row)
    return found


def seconds(runs: Mapping[str, language.LanguageRun]) -> float:
    """Add up the wall time, in seconds, that all runs took when they were made."""
    return float(sum(run.verdict["wall_seconds"] for run in runs.values()))


def settings(experiment: LanguageExperiment) -> dict[str, Any]:
    """List what a study states of its runs."""
    return dataclasses.asdict(experiment)


def shares(
    runs: Mapping[str, language.LanguageRun], split: str = "shift"
) -> dict[str, dict[str, Measurement]]:
    """Measure for each arm the share of dialogues that achieve each goal."""
    return {
        arm: {
            goal.name: rate(run.outcomes, split, goal.name)
            for goal in run.folder.experiment.scenario.goals
        }
        for arm, run in runs.items()
    }


def draw_shares(
    path: Path, title: str, panels: Mapping[str, Mapping[str, Mapping[str, Measurement]]]
) -> None:
    """Draw shares by arm (along) in several panels, one color a quantity, with intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(panels), 3.4), layout="constrained")
    for axes, (name, arms) in zip(
        np.ravel(figure.subplots(1, len(panels))), panels.items(), strict=True
    ):
        quantities = next(iter(arms.values()))
        for index, (quantity, color) in enumerate(
            zip(quantities, ("#2b6a8f", "#b3401f", "#7a7a7a", "#5a8f2b"), strict=False)
        ):
            found = [arms[arm][quantity] for arm in arms]
            middle = np.array([one.estimate for one in found])
            ends = np.array([[one.low, one.high] for one in found]).T
            places = np.arange(len(found)) + 0.12 * (index - (len(quantities) - 1) / 2)
            axes.errorbar(
                places, middle, np.abs(ends - middle), fmt="o", ms=4, lw=1, color=color, label=quantity
            )
        axes.set_xticks(
            range(len(arms)),
            [arm if len(arm) < 8 else arm.replace(" ", "\n") for arm in arms],
            fontsize=7,
        )
        axes.set(ylim=(-0.03, 1.03), title=name)
        axes.title.set_fontsize(9)
        axes.legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, format="svg")


def draw_doses(
    path: Path, runs: Mapping[str, language.LanguageRun], split: str, goal: str, label: str
) -> None:
    """Draw how often a goal is achieved against the dose: a dot a seed, the mean and its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    for place, run in enumerate(runs.values()):
        seeds, mean = rates(run.outcomes, split, goal).mean(1), rate(run.outcomes, split, goal)
        axes.scatter([place] * len(seeds), seeds, s=12, color="#2b6a8f", alpha=0.6)
        ends = [[mean.estimate - mean.low], [mean.high - mean.estimate]]
        axes.errorbar(place + 0.15, mean.estimate, ends, fmt="o", ms=4, color="#b3401f")
    axes.set_xticks(range(len(runs)), list(runs))
    axes.set(xlabel="dose of counterexamples", ylabel=label, ylim=(-0.03, 1.03))
    figure.savefig(path, format="svg")
