"""Serve `goalgap forecast`: the published probability model, its contradictions, your runs in it."""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from .. import store
from ..core import UsageError
from ..measure.verdict import CAPABILITY, MISGENERALIZATION
from ..theory import forecast as model
from ..theory.forecast import percent
from .arguments import BadArguments, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHIFTS = {shift.name: shift for shift in model.SHIFTS}


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Estimate P(significant harm) by the Longterm Wiki's probability model of goal misgeneralization.

    A calculator for an author's estimates, with intervals, with what the number hangs on, and with the
    model's contradictions. SCENARIO is a type of shift: superficial, moderate, significant or extreme;
    without it, all four. Runs of yours can replace the first two factors.
    """

    scenario: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SCENARIO")] = ""
    """superficial, moderate, significant or extreme (default: all four)"""
    spec: float | None = None
    """how badly the goal is specified: 0.5 (well) to 2 (badly)"""
    capability: float | None = None
    """how capable the system is: 0.5 (below human) to 3 (superhuman)"""
    diversity: float | None = None
    """how narrow training was: 0.7 (diverse) to 1.4 (narrow)"""
    alignment: float | None = None
    """how it was aligned: 0.4 (verified by interpretability) to 1.5 (behavioral cloning only)"""
    mitigations: str = ""
    """with commas between: adversarial-training, objective, interpretability, control"""
    runs: tuple[Path, ...] | None = None
    """run folders, whose seeds give the first two factors"""
    samples: int = 100_000
    """Monte Carlo draws, 1,000 to 1,000,000"""
    seed: int = 0
    """which draws"""
    out: Path | None = None
    """a folder for forecast.json and tornado.svg"""
    json: bool = False
    """print as JSON"""

    def call(self) -> None:
        """Forecast, store the result where --out says so, and print it."""
        if self.scenario and self.scenario not in _SHIFTS:
            raise BadArguments(unknown("scenario", self.scenario, _SHIFTS))
        mitigations = [name.strip() for name in self.mitigations.split(",") if name.strip()]
        for name in mitigations:
            if name not in model.MITIGATIONS:
                raise BadArguments(unknown("mitigation", name, model.MITIGATIONS))
        given = {name: getattr(self, name) for name in model.MODIFIERS}
        given = {name: value for name, value in given.items() if value is not None}
        if self.runs == ():
            raise BadArguments("--runs names no folder; give folders that `goalgap run` wrote")
        runs = self.runs or ()
        counts = count(runs) if runs else None
        forecasts = [
            model.forecast(shift, given, mitigations, counts, self.samples, self.seed)
            for shift in ([_SHIFTS[self.scenario]] if self.scenario else model.SHIFTS)
        ]
        document = describe(forecasts, runs, counts, self.samples, self.seed)
        if self.out is not None:
            store.write_json(self.out / "forecast.json", document)
            store.write(self.out / "tornado.svg", lambda path: save(figure(forecasts), path))
        if self.json:
            print(json.dumps(document, indent=1))
            return
        console = Console(highlight=False)
        show(console, forecasts, runs, counts)
        if self.out is not None:
            console.print(
                f"\nStored: {self.out / 'forecast.json'}, {self.out / 'tornado.svg'}", soft_wrap=True
            )


def count(runs: Sequence[Path]) -> model.Counts:
    """Count the seeds of all runs together, by their verdicts. The unit is the training seed."""
    seeds: list[str] = []
    hashes: dict[str, Path] = {}
    for run in runs:
        verdict = _verdict(run, hashes)
        try:
            least = verdict["thresholds"]["works"]
            # null, a score that is not known, does not work either.
            working = [s["verdict"] for s in verdict["seeds"] if (s["intent_train"] or 0) >= least]
        except (KeyError, TypeError):
            raise UsageError(f"{run}/verdict.json is damaged; run the run's command again") from None
        if not working:
            raise UsageError(
                f"{run}: no seed works in training (intent_train is below {least:g}), so nothing is "
                "known of their goals; train longer (--steps), or leave the run out"
            )
        seeds += working
    kept = sum(seed != CAPABILITY for seed in seeds)
    return model.Counts(len(seeds), kept, sum(seed == MISGENERALIZATION for seed in seeds))


def _verdict(run: Path, hashes: dict[str, Path]) -> dict[str, Any]:
    """Read a finished run's verdict.

    Raises UsageError for a subject that was not trained, and for the same agents twice.
    """
    if not run.is_dir():
        raise UsageError(f"{run} is no folder; `goalgap list` names the runs there are")
    about = store.read_json(run / "experiment.json")
    if not isinstance(about, dict) or "hash" not in about:
        raise UsageError(f"{run} is no training run; give folders that `goalgap run` wrote")
    if not (run / "verdict.json").exists():
        raise UsageError(f"{run} is not finished; run its command again to go on")
    if about["hash"] in hashes:
        raise UsageError(f"{run} holds the agents of {hashes[about['hash']]}; give each run once")
    hashes[about["hash"]] = run
    return store.read_json(run / "verdict.json")


def describe(
    forecasts: Sequence[model.Forecast],
    runs: Sequence[Path],
    counts: model.Counts | None,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Collect everything that `show` prints, as JSON."""
    return {
        "scenarios": [_describe(item) for item in forecasts],
        "runs": [str(run) for run in runs],
        "counts": None if counts is None else counts._asdict() | {"unit": "seeds"},
        "checks": [check._asdict() for check in model.checks()],
        "samples": samples,
        "seed": seed,
    }


def _describe(item: model.Forecast) -> dict[str, Any]:
    inputs = {
        name: {part: value for part, value in given._asdict().items() if part != "draw"}
        for name, given in item.inputs.items()
    }
    return {
        "scenario": item.shift.name,
        "example": item.shift.example,
        "probability": item.point,
        "plain_product": item.plain,
        "plain_product_exceeds_1": item.plain > 1,
        "share_of_draws_whose_plain_product_exceeds_1": item.overflowing,
        "drawn": item.drawn._asdict(),
        "drawn_factors_only": item.base._asdict(),
        "documented_range": item.shift.risk._asdict(),
        "inputs": inputs,
        "tornado": [bar._asdict() for bar in item.tornado],
        "measured": [row._asdict() for row in item.measured],
        "notes": item.notes,
    }


# -- the page ----------------------------------------------------------------------------------------


def show(
    console: Console,
    forecasts: Sequence[model.Forecast],
    runs: Sequence[Path],
    counts: model.Counts | None,
) -> None:
    """Print a page to act on: the numbers, what they hang on, and why not to trust them."""
    console.print(
        "\n[bold]P(significant harm) by goal misgeneralization[/bold], an author's estimates\n"
    )
    console.print(_summary(forecasts))
    first = forecasts[0]
    undecided = [name for name in model.MODIFIERS if first.inputs[name].origin == "not given"]
    if undecided:
        console.print(
            f"\nNot given: {', '.join(undecided)}; 1 in the point, drawn from the documented range."
        )
    if counts is not None:
        where = f"{len(runs)} runs, pooled" if len(runs) > 1 else "1 run"
        console.print(
            f"\nMeasured ({where}): {counts.kept} of {counts.works} seeds that work in training keep "
            f"their capability; {counts.failed} of these {counts.kept} misgeneralize."
        )
        for row in first.measured:
            console.print(f"  {row.name} = {row} (95 % posterior interval, Jeffreys' prior)")
    for note in dict.fromkeys(note for item in forecasts for note in item.notes):
        console.print(f"Note: {note}")
    if len(forecasts) == 1:
        _show_tornado(console, first)
    _show_checks(console)


def _summary(forecasts: Sequence[model.Forecast]) -> Table:
    """Tabulate, in percent, a column for each type of shift and a row for each number."""
    rows: dict[str, Callable[[model.Forecast], str]] = {
        label(name): lambda item, name=name: _points(item.inputs[name].point) for name in model.FACTORS
    }
    rows |= {
        "[bold]P(harm)[/bold]": lambda item: f"[bold]{_points(item.point)}[/bold]",
        "  plain product, no mitigations": lambda item: (
            _points(item.plain) + (" (!)" if item.plain > 1 else "")
        ),
        "  drawn: mean": lambda item: _points(item.drawn.mean),
        "  drawn: median": lambda item: _points(item.drawn.median),
        "  drawn: 5 to 95 %": lambda item: _interval(item.drawn.low, item.drawn.high),
        "  drawn: that product above 1": lambda item: _points(item.overflowing),
        "Factors alone: 5 to 95 %": lambda item: _interval(item.base.low, item.base.high),
        "  the source's range for them": lambda item: _interval(*item.shift.risk),
    }
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("percent")
    for item in forecasts:
        table.add_column(item.shift.name, justify="right", no_wrap=True)
    for name, value in rows.items():
        table.add_row(name, *(value(item) for item in forecasts))
    return table


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f}-{100 * high:.1f}"


def _show_tornado(console: Console, item: model.Forecast) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("widest first", no_wrap=True)
    for name in ("value", "range", "P at low", "P at high"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("from", no_wrap=True)
    for bar in item.tornado:
        given = item.inputs[bar.name]
        table.add_row(
            label(bar.name),
            f"{given.point:.2f}",
            f"{given.low:.2f}-{given.high:.2f}",
            _points(bar.at_low),
            _points(bar.at_high),
            given.origin,
        )
    console.print("\n[bold]What it hangs on[/bold]: each input over its range, the others as they are\n")
    console.print(table)
    widest = item.tornado[0]
    ends = sorted((widest.at_low, widest.at_high))
    console.print(
        f"\nPin down first: {label(widest.name)}. Its range alone moves the forecast from "
        f"{percent(ends[0])} to {percent(ends[1])}."
    )


def _show_checks(console: Console) -> None:
    checks = model.checks()
    console.print(
        "\n[bold]Where the model disagrees with itself[/bold] (worked out from its own numbers)\n"
    )
    for check in checks:
        if not check.holds:
            basis = "" if check.basis == "arithmetic" else f" ({check.basis})"
            console.print(f"- Expected: {check.expected}. But {check.found}{basis}.")
    console.print("- As expected: " + "; ".join(check.expected for check in checks if check.holds) + ".")


def label(name: str) -> str:
    """Write an input's name so that probabilities, modifiers and mitigations can be told apart."""
    if name in model.FACTORS:
        return f"P({name})"
    return f"{name} modifier" if name in model.MODIFIERS else f"{name} effect"


# -- the picture -------------------------------------------------------------------------------------


def figure(forecasts: Sequence[model.Forecast]) -> "Figure":
    """Draw the tornado of each forecast, one panel each."""
    from matplotlib.figure import Figure

    columns = min(2, len(forecasts))
    rows = math.ceil(len(forecasts) / columns)
    height = 0.32 * max(len(item.tornado) for item in forecasts) + 1.2
    picture = Figure(figsize=(6.4 * columns, height * rows), layout="constrained")
    for place, item in enumerate(forecasts, 1):
        _panel(picture.add_subplot(rows, columns, place), item)
    return picture


def _panel(axes: Any, item: model.Forecast) -> None:
    bars = item.tornado[::-1]
    for y, bar in enumerate(bars):
        for end, given in ((bar.at_low, bar.low_input), (bar.at_high, bar.high_input)):
            is_higher = end >= item.point
            axes.barh(
                y,
                100 * (end - item.point),
                left=100 * item.point,
                color="#b3401f" if is_higher else "#2b6a8f",
                height=0.6,
            )
            axes.annotate(
                f"{given:.2g}",
                (100 * end, y),
                (3 if is_higher else -3, 0),
                textcoords="offset points",
                ha="left" if is_higher else "right",
                va="center",
                fontsize=8,
            )
    axes.axvline(100 * item.point, color="black", linewidth=0.8)
    axes.set_yticks(range(len(bars)), [label(bar.name) for bar in bars], fontsize=9)
    axes.margins(x=0.12)
    axes.set_xlabel("P(significant harm), %; at the bars' ends: the input")
    axes.set_title(f"{item.shift.name} shift ({item.shift.example}): {percent(item.point)}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def save(picture: "Figure", path: Path) -> None:
    """Save a figure as SVG, the same bytes each time."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "goalgap"}):
        picture.savefig(path, format="svg", metadata={"Date": None})
