"""Show how firm a verdict is: its thresholds, what other ones would make of it, and data to try them.

The page's script judges anew when a reader moves a threshold (judge.js), from what `_live` gives it.
"""

from typing import Any, NamedTuple

from .source import Source


class Control(NamedTuple):
    """Describe a threshold that a reader can move."""

    low: float
    high: float
    step: float
    title: str
    about: str


CONTROLS = {
    "works": Control(
        0.0,
        1.0,
        0.01,
        "Does it work?",
        "Least score of the intended goal in training, and least share of twins solved. A seed below it "
        "is a capability failure: it cannot show what it is after.",
    ),
    "pursues": Control(
        0.0,
        1.0,
        0.01,
        "Does it serve a listed goal?",
        "Of the {episodes} that chance leaves, the least share that listed goals must explain. A seed "
        "below it does something else: another goal, unless its skill broke.",
    ),
    "majority": Control(
        0.5,
        1.0,
        0.01,
        "Which goal?",
        "The least position, from 0 for the intended goal to 1 for the proxy, that settles for the "
        "proxy; 1 less this is the most that settles for the intended goal. In between it is mixed.",
    ),
    "margin": Control(
        0.0,
        3.0,
        0.05,
        "Is an unlisted goal better?",
        "By how many nats a telling {episode} a goal that nobody listed must explain the moves better, "
        "for sure, to take the place of the listed ones. A nat is a factor of 2.7 in probability.",
    ),
}
GRID = ("works", "pursues", "majority")  # thresholds that `sensitivity` moves together
SHORT = {
    "mixed": "mixed",
    "another goal": "another",
    "capability failure": "failure",
    "undecided": "undecided",
}


def section(source: Source) -> dict[str, Any] | None:
    """Work out what the section on the verdict's firmness shows; None without thresholds."""
    verdict = source.verdict
    if not verdict.get("thresholds"):
        return None
    rows = verdict.get("sensitivity") or []
    is_grid = bool(rows) and all(set(GRID) <= set(row["thresholds"]) for row in rows)
    variations = [] if is_grid else _variations(verdict, rows)
    shown = rows if is_grid else variations
    return {
        "thresholds": [_threshold(name, value, source) for name, value in verdict["thresholds"].items()],
        "blocks": _blocks(rows, source) if is_grid else [],
        "variations": variations,
        "num": len(shown),
        "same": sum(row["verdict"] == verdict["verdict"] for row in shown),
        "live": _live(source),
    }


def _threshold(name: str, value: Any, source: Source) -> dict[str, Any]:
    # The first edition had thresholds of these names that meant something else.
    control = CONTROLS.get(name) if "positions" in source.verdict else None
    shown = {"name": name, "value": value, "control": None, "title": name, "about": ""}
    if control is None:
        return shown
    about = control.about.format(**source.nouns)
    control = control._replace(high=max(control.high, value))
    return shown | {"control": control, "title": control.title, "about": about}


def _variations(verdict: dict, rows: list[dict]) -> list[dict]:
    """Describe by what each row changes where thresholds were moved one by one (the first edition)."""
    base, found = verdict["thresholds"], []
    for row in rows:
        changes = [
            (name, base[name], value)
            for name, value in row["thresholds"].items()
            if name in base and value != base[name]
        ]
        if changes:
            found.append({"changes": changes, "verdict": row["verdict"]})
    return found


def _blocks(rows: list[dict], source: Source) -> list[dict]:
    """Arrange the joint variations: a block for each `works`, rows `pursues`, columns `majority`."""
    at = {tuple(row["thresholds"][name] for name in GRID): row for row in rows}
    works, pursues, majority = (sorted({key[index] for key in at}) for index in range(3))
    base = tuple(source.verdict["thresholds"].get(name) for name in GRID)
    return [
        {
            "works": one,
            "columns": majority,
            "rows": [
                {"pursues": two, "cells": [_cell((one, two, x), at, base, source) for x in majority]}
                for two in pursues
            ],
        }
        for one in works
    ]


def _cell(key: tuple, at: dict[tuple, dict], base: tuple, source: Source) -> dict[str, Any] | None:
    """Describe one point of the grid: a mark and a word; None where nothing was judged."""
    if (row := at.get(key)) is None:
        return None
    verdict, proxy = row["verdict"], row.get("proxy")
    style = source.verdict_style(verdict, proxy)
    goal = source.intended if style == "goal-0" else proxy or "proxy"
    return {
        "style": style,
        "word": SHORT.get(verdict, verdict) if style == "goal-none" else goal,
        "verdict": verdict,
        "moved": verdict != source.verdict["verdict"],
        "is_base": key == base,
    }


def _live(source: Source) -> dict[str, Any] | None:
    """Collect what the script judges from; None for runs that do not have it (the first edition)."""
    verdict, seeds = source.verdict, source.seeds
    wanted = {"position", "pursued", "apart", "twin", "num_levels"}
    has_all = verdict.get("positions") is not None and set(CONTROLS) <= set(verdict["thresholds"])
    if not (has_all and seeds and all(wanted <= set(seed) for seed in seeds)):
        return None
    return {
        "specification": verdict.get("specification") or "correct",
        "thresholds": {name: verdict["thresholds"][name] for name in CONTROLS},
        "positions": verdict["positions"],
        "seeds": [_live_seed(seed, source) for seed in seeds],
        "styles": {goal["name"]: goal["style"] for goal in source.goals},
    }


def _live_seed(seed: dict, source: Source) -> dict[str, Any]:
    explanation = seed.get("explanation") or {}
    return {
        "seed": seed["seed"],
        "train": seed["intent_train"],
        "twin": seed["twin"],
        "levels": seed["num_levels"],
        "pursued": seed["pursued"],
        "apart": seed["apart"],
        "position": [seed["position"][name] for name in ("estimate", "low", "high")],
        "proxy": _leading(seed, source),
        "randomBest": bool(explanation.get("random_best")),
        "listedBest": bool(explanation.get("listed_best")),
        "rivals": [rival["low"] for rival in explanation.get("against") or ()],
    }


def _leading(seed: dict, source: Source) -> str:
    """Name the proxy that explains most of what a seed does."""
    proxies = [goal["name"] for goal in source.goals[1:]]
    weights = seed.get("weights") or {}
    return max(proxies, key=lambda name: weights.get(name, 0.0), default="")
