"""Work out what the page shows of each seed: positions, what came first, and what explains its moves."""

from typing import Any

from . import charts, prose
from .source import Source


def section(source: Source) -> dict[str, Any] | None:
    """Work out the section on the seeds; None where there are none."""
    if not source.seeds:
        return None
    names = [name for seed in source.seeds for name in seed.get("first") or ()]
    return {
        "rows": [_row(seed, source) for seed in source.seeds],
        "outcomes": source.outcomes([*names, "neither"]),
        "has_gap": all("goal_gap" in seed for seed in source.seeds),
        "has_position": _has_position(source),
        "positions": _positions(source),
    }


def _has_position(source: Source) -> bool:
    return all(seed.get("position") for seed in source.seeds)


def _row(seed: dict, source: Source) -> dict[str, Any]:
    """Describe one seed's verdict, with the bar of what came first, and its position."""
    first = seed.get("first") or {}
    label = ", ".join(f"{name} {prose.percent(share, 0)}" for name, share in first.items())
    mark = source.verdict_style(seed["verdict"], seed.get("proxy"))
    styles = {name: source.style(name) for name in first}
    strip = ""
    if position := seed.get("position"):
        said = (
            f"position {prose.decimal(position['estimate'])} {prose.interval(position, prose.decimal)}"
        )
        strip = charts.strip(position, None, charts.SHARE, mark, said, [], height=charts.LOW)
    return seed | {
        "mark": mark,
        "bar": charts.bar(first, styles, label) if first else "",
        "strip": strip,
    }


def _positions(source: Source) -> dict[str, Any] | None:
    """Draw all seeds' positions with the run's interval, and the lines that settle for a goal."""
    majority = (source.verdict.get("thresholds") or {}).get("majority")
    if not (_has_position(source) and majority):
        return None
    run = source.verdict.get("position") or {"estimate": None, "low": None, "high": None}
    values = [seed["position"]["estimate"] for seed in source.seeds]
    dots = [
        f"seed {seed['seed']}: {prose.decimal(value)}"
        for seed, value in zip(source.seeds, values, strict=True)
    ]
    known = prose.is_known(run["estimate"])
    whole = f"{prose.decimal(run['estimate'])} {prose.interval(run, prose.decimal)}"
    label = f"Positions of the seeds: {'; '.join(dots)}." + (f" Together: {whole}." if known else "")
    style = source.verdict_style(source.verdict["verdict"], source.verdict.get("proxy"))
    lines = (1 - majority, majority)
    axis = charts.Axis(0.0, 1.0, (0.0, *(() if majority == 0.5 else lines), 1.0))
    strip = charts.strip(run | {"per_seed": values}, None, axis, style, label, dots, lines)
    return {
        "strip": strip,
        "scale": charts.scale(axis, prose.decimal),
        "run": run if known else None,
        "whole": whole,
        "majority": majority,
        "rest": 1 - majority,
    }


def explanations(source: Source) -> dict[str, Any] | None:
    """List for each seed which unlisted goal fits its moves best; None where nobody could tell."""
    known = [seed for seed in source.seeds if (seed.get("explanation") or {}).get("num_goals")]
    if not known:
        return None
    return {
        "num_goals": max(seed["explanation"]["num_goals"] for seed in known),
        "rows": [_explained(seed, source) for seed in known],
    }


def _explained(seed: dict, source: Source) -> dict[str, Any]:
    explanation = seed["explanation"]
    against, candidates = (explanation.get(name) or [] for name in ("against", "candidates"))
    best = against[0] if against else None
    return {
        "seed": seed["seed"],
        "mark": source.verdict_style(seed["verdict"], seed.get("proxy")),
        "best": best,
        "reading": _reading(best, source) if best else "",
        "candidate": candidates[0] if candidates else None,
        "none": explanation.get("none"),
        "moves": explanation.get("moves"),
    }


def _reading(best: dict, source: Source) -> str:
    """Say in a word what the interval around nats means; a bound that is None is infinite."""
    margin = (source.verdict.get("thresholds") or {}).get("margin") or 0.0
    low, high = best.get("low"), best.get("high")
    if prose.is_known(low) and low > margin:
        return "better"
    return "worse" if prose.is_known(high) and high < 0 else "cannot be told apart"
