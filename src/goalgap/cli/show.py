"""Print a verdict on standard output."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .. import runs, store
from ..core import Contest
from ..experiment import Experiment
from .progress import Progress, count

# By the contest's kind: what training shows, whose play is chance, what training is counted in.
_WORDS = {
    "environment": ("training levels", "a random walk's", "steps"),
    "language": ("training prompts", "a random reply's", "dialogues"),
}


def run_and_show(experiment: Experiment, out: Path, as_json: bool) -> None:
    """Run an experiment with its progress on standard error, and print the verdict."""
    runs.use_compilation_cache()
    goals = [goal.name for goal in experiment.contest.goals]
    with Progress(goals[0], goals[1], unit=experiment.kind.unit) as progress:
        run = runs.run(experiment, out, progress, "goalgap " + " ".join(sys.argv[1:]))
    show(run.folder.path, experiment.contest, as_json)


def show(path: Path, contest: Contest, as_json: bool) -> None:
    """Print the verdict in a folder on standard output, as JSON or in words."""
    verdict = store.read_json(path / "verdict.json")
    if as_json:
        print(json.dumps(verdict, indent=1))
        return
    console = Console(highlight=False)
    proxy = f" (proxy goal: {verdict['proxy']})" if verdict["proxy"] else ""
    console.print(f"\n[bold]Verdict: {verdict['verdict']}{proxy}[/bold]\n")
    console.print(verdict["sentence"] + "\n")
    table = Table(box=None, pad_edge=False, header_style="bold")
    trained, walks, unit = _WORDS[contest.kind]
    for name in ("", "share, 95 % interval", walks):
        table.add_column(name)
    rows = store.read_json(path / "measurements.json")
    found = {(row["split"], row["goal"], row["quantity"]): row for row in rows}

    def add(title: str, split: str, name: str, quantity: str) -> None:
        if (row := found.get((split, name, quantity))) is None:
            return
        walk = found.get((split, name, f"random {quantity}"))
        chance = f"{walk['estimate']:.2f}" if walk else ""
        table.add_row(title, f"{row['estimate']:.2f}  [{row['low']:.2f}, {row['high']:.2f}]", chance)

    # In training the goals agree, so that it matters whether they are reached; after the shift, which
    # one comes first: these shares, with "both" and "neither", sum to 1.
    for goal in contest.goals:
        add(f"{trained}: {goal.name} reached", "train", goal.name, "reached")
    for goal in contest.goals:
        add(f"after the shift: {goal.name} first", "shift", goal.name, "first")
    for name in ("both", "neither"):
        add(f"after the shift: {name}", "shift", name, "first")
    if contest.kind == "language":
        add("capability test: reached", "capability", contest.goals[0].name, "reached")
    console.print(table)
    fraction = verdict["fraction_misgeneralizing"]
    seeds = len(verdict["seeds"])
    failing = round(fraction["estimate"] * seeds)
    pursue = "misgeneralize" if verdict["specification"] == "correct" else "pursue a proxy"
    if position := verdict["position"]:
        console.print(
            f"\nBetween {contest.goals[0].name} (0) and the proxy (1): {position['estimate']:.2f} "
            f"[{position['low']:.2f}, {position['high']:.2f}], n = {position['n']} {position['unit']}."
        )
    console.print(
        f"{failing} of {seeds} seeds {pursue} (95 % interval of the share, Wilson: "
        f"{fraction['low']:.2f} to {fraction['high']:.2f}). "
        f"{count(verdict['env_steps'])} {unit} in {verdict['wall_seconds']:.0f} s."
    )
    console.print(f"Report: {path / 'report.html'}", soft_wrap=True)
