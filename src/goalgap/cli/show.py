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
    for name in ("", "goal comes first, 95 % interval", walks):
        table.add_column(name)
    rows = store.read_json(path / "measurements.json")
    found = {(row["split"], row["goal"], row["quantity"]): row for row in rows}
    titles = {"train": trained, "shift": "after the shift"}
    for split, title in titles.items():
        for goal in contest.goals:
            row = found[split, goal.name, "first" if split == "shift" else "reached"]
            walk = found[split, goal.name, "random first" if split == "shift" else "random reached"]
            interval = f"{row['estimate']:.2f}  [{row['low']:.2f}, {row['high']:.2f}]"
            table.add_row(f"{title}, {goal.name}", interval, f"{walk['estimate']:.2f}")
    if ("capability", contest.goals[0].name, "reached") in found:
        row = found["capability", contest.goals[0].name, "reached"]
        interval = f"{row['estimate']:.2f}  [{row['low']:.2f}, {row['high']:.2f}]"
        table.add_row("capability test", interval, "")
    console.print(table)
    fraction = verdict["fraction_misgeneralizing"]
    seeds = len(verdict["seeds"])
    failing = round(fraction["estimate"] * seeds)
    console.print(
        f"\n{failing} of {seeds} seeds misgeneralize (95 % interval of the share: "
        f"{fraction['low']:.2f} to {fraction['high']:.2f}). "
        f"{count(verdict['env_steps'])} {unit} in {verdict['wall_seconds']:.0f} s."
    )
    console.print(f"Report: {path / 'report.html'}", soft_wrap=True)
