"""Print a verdict on standard output."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .. import store
from ..core import Contest

# By the contest's kind: what training shows, whose play is chance, what training is counted in.
_WORDS = {
    "environment": ("training levels", "a random walk's", "steps"),
    "language": ("training prompts", "a random reply's", "dialogues"),
}


def show(path: Path, contest: Contest, as_json: bool) -> None:
    """Print a verdict on standard output, as JSON or in words."""
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


def count(number: float) -> str:
    """Shorten a number: 1,234,567 becomes 1.2 M."""
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number:,.0f}"
