"""Work out, from plain data, what each section of the page of an analysis shows.

Open goals that cost something after the shift are numbered, the most expensive first, and called by
their numbers where space is short. Blue is the intended goal, orange an open one, gray the rest.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from . import boards, charts, considerations, prose
from .view import papers

INTENDED, RIVAL, OTHER = "goal-0", "goal-1", "goal-none"
SHOWN = 10  # goals ruled out, the nearest to being open
KINDS = {"starc": "STARC", "starc-value": "STARC, by value", "epic": "EPIC", "dard": "DARD"}


class Source(NamedTuple):
    """Hold an analysis as several sections of its page need it."""

    analysis: dict[str, Any]
    rivals: list[dict[str, Any]]  # goals that are open and cost something after the shift
    num_tiles: int

    @property
    def epsilon(self) -> float:
        """Return the mean training regret up to which a goal counts as open."""
        return self.setting("epsilon") or 0.0

    def setting(self, name: str) -> Any:
        """Return one of the analysis' settings."""
        return (self.analysis.get("settings") or {}).get(name)

    def named(self, name: str) -> dict[str, Any]:
        """Describe a goal as the page calls it: name, sentence, style, and number if it is a rival."""
        rows = [self.analysis["intended"], *self.analysis["goals"]]
        sentence = next((row["sentence"] for row in rows if row["name"] == name), name)
        number = next((i for i, row in enumerate(self.rivals, 1) if row["name"] == name), None)
        is_intended = name == self.analysis["intended"]["name"]
        style = RIVAL if number else INTENDED if is_intended else OTHER
        return {"name": name, "sentence": sentence, "style": style, "number": number}

    def numbers(self, names: Iterable[str]) -> list[int]:
        """List the numbers of those goals that have one."""
        return sorted(number for name in names if (number := self.named(name)["number"]))


def page(content: dict[str, Any]) -> dict[str, Any]:
    """Build the template's context: what each section shows, None or empty where there is nothing."""
    analysis, atlas = content["analysis"], content.get("atlas") or []
    rivals = [row for row in analysis["goals"] if row["dangerous"]]
    source = Source(analysis, rivals, len(atlas))
    closing = _closing(source)
    return {
        "about": content["about"],
        "env": content["env"],
        "analysis": analysis,
        "intended": analysis["intended"],
        "says": _says(source, closing),
        "keys": _key_numbers(source, closing),
        "regrets": _regrets(source),
        "ruled_out": _ruled_out(source),
        "worst": _worst(source),
        "closing": closing,
        "symmetries": _symmetries(source),
        "questions": _questions(source),
        "same": _same(source),
        "distances": _distances(source),
        "certificate": _certificate(source),
        "settings": _settings(source),
        "papers": papers(content["env"]),
        "pitfalls": considerations.PITFALLS,
        "marks": charts.marks(),
        "tiles": charts.tiles(atlas),
    }


# -- in a few words -----------------------------------------------------------------------------------


def _says(source: Source, closing: dict | None) -> dict[str, str]:
    """Write headline, verdict and lead."""
    total = prose.plain(source.analysis["num_goals"])
    sentence = source.analysis["intended"]["sentence"]
    if not source.rivals:
        return {
            "mark": INTENDED,
            "headline": "Training leaves nothing dangerous open",
            "verdict": f"Training singles out the intended goal: {sentence}",
            "lead": f"Of {total} goals considered, each whose pursuit would cost anything after the "
            "shift loses return in training, too.",
        }
    worst = source.rivals[0]
    cost = worst["costs"]["deploy"]["mean"]
    how_many = prose.count(len(source.rivals), "goal")
    part = "parts" if len(source.rivals) == 1 else "part"
    subject = "It" if len(source.rivals) == 1 else "The worst of them"
    before = worst["costs"]["train"]["worst"]["estimate"]
    is_free = prose.is_known(before) and before <= prose.TINY
    in_training = "nothing" if is_free else f"at most {prose.regret(before)} of return"
    return {
        "mark": RIVAL,
        "headline": f"Training leaves {how_many} open that {part} after the shift",
        "verdict": f"Training does not single out the intended goal: {sentence}",
        "lead": f"{subject} is to {worst['sentence']}. In training, its optimizer loses {in_training}; "
        f"after the shift it loses {prose.decimal(cost['estimate'])} of return, "
        f"with a 95 % interval of {prose.decimal(cost['low'])} to {prose.decimal(cost['high'])}. "
        + _remedy(source, closing),
    }


def _remedy(source: Source, closing: dict | None) -> str:
    if not closing or not closing["set"]:
        return "No candidate level would close any of them for sure."
    num_levels = len(closing["set"]["levels"])
    return f"{prose.count(num_levels, 'level')}, added to training, would close {_closed(closing)}."


def _closed(closing: dict) -> str:
    """Say how many of the open goals some level breaks."""
    num_closed = closing["num_breakable"]
    num_left = len(closing["shadow"]) + len(closing["hopeless"])
    if num_left:
        return f"{num_closed} of the {num_closed + num_left} for sure"
    return "it" if num_closed == 1 else f"all {num_closed}"


def _key_numbers(source: Source, closing: dict | None) -> list[dict]:
    """Choose the few numbers that sum up the analysis."""
    analysis, num_rivals = source.analysis, len(source.rivals)
    style = RIVAL if num_rivals else INTENDED
    keys = [
        {
            "style": style,
            "big": prose.plain(num_rivals),
            "text": f"of {prose.plain(analysis['num_goals'])} goals considered are open in training and "
            "cost something after the shift",
            "small": f"all open goals, the intended one among them: "
            f"{prose.percent(analysis.get('prior_mass'), 0)} of the weight when short descriptions "
            f"weigh more (2 to the power of {prose.MINUS}bits)",
        },
        {
            "style": style,
            "big": prose.decimal(analysis.get("diameter")),
            "text": "of return is the most that pursuit of an open goal loses after the shift",
            "small": "mean regret over the levels after the shift, ties broken evenly",
        },
    ]
    if closing and closing["set"]:
        num_levels = len(closing["set"]["levels"])
        left = len(closing["shadow"]) + len(closing["hopeless"])
        others = "other goal" if left == 1 else f"other {left}"
        keys.append(
            {
                "style": OTHER,
                "big": prose.plain(num_levels),
                "text": f"{'level' if num_levels == 1 else 'levels'} added to training can close "
                f"{_closed(closing)}",
                "small": f"no candidate level closes the {others} for sure"
                if left
                else "the smallest set that leaves none of them open",
            }
        )
    if closing and closing["mixture"]:
        share, uniform = (closing["mixture"].get(name) for name in ("share", "share_uniform"))
        suffices = prose.is_known(share) and share <= 1
        keys.append(
            {
                "style": OTHER,
                "big": prose.share(share),
                "text": "of training is what the best mixture of levels needs to close them"
                if suffices
                else "of the best mixture of levels to close them",
                "small": f"levels added at random, all alike: {prose.share(uniform)}",
            }
        )
    return keys


# -- the goals ----------------------------------------------------------------------------------------


def _regrets(source: Source) -> dict[str, Any]:
    """List the open goals with what they cost in training and after the shift, on one axis."""
    rows = [row for row in source.analysis["goals"] if row["open"]]
    costs = [costs for row in rows for costs in row["costs"].values()]
    axis = charts.nice_axis(one["estimate"] for ties in costs for one in ties.values())
    intended = source.analysis["intended"]["name"]
    harmless = [row for row in rows if not row["dangerous"] and row["name"] != intended]
    groups = (
        ("The intended goal", "", [row for row in rows if row["name"] == intended]),
        ("Open, and something else after the shift", "numbered by cost", source.rivals),
        ("Open, and harmless", "their optimizers lose nothing after the shift", harmless),
    )
    return {
        "scale": charts.scale(axis, prose.plain),
        "low": axis.low,
        "high": axis.high,
        "groups": [
            {"name": name, "note": note, "lines": [_line(row, axis, source) for row in lines]}
            for name, note, lines in groups
            if lines
        ],
        "units": {split: _unit(rows, split) for split in ("train", "deploy")},
    }


def _unit(rows: list[dict], split: str) -> str:
    """Write the number of levels that costs are means over."""
    return prose.plain(rows[0]["costs"][split]["mean"].get("n")) if rows else prose.NONE


def _line(row: dict, axis: charts.Axis, source: Source) -> dict[str, Any]:
    goal = source.named(row["name"])
    return goal | {
        "row": row,
        "also": row.get("also") or [],
        "train": _strip(row["costs"]["train"], axis, goal, "in training"),
        "deploy": _strip(row["costs"]["deploy"], axis, goal, "after the shift"),
    }


def _strip(costs: dict, axis: charts.Axis, goal: dict, where: str) -> charts.Markup:
    """Draw a strip from the best to the worst way of breaking ties, with a mark at the mean."""
    best, mean, worst = (costs[ties]["estimate"] for ties in ("best", "mean", "worst"))
    label = (
        f"{goal['sentence']}, regret {where}: {prose.decimal(mean)} with even ties, "
        f"{prose.decimal(best)} with the best, {prose.decimal(worst)} with the worst"
    )
    row = {"estimate": mean, "low": best, "high": worst}
    return charts.strip(row, None, axis, goal["style"], label, [])


def _ruled_out(source: Source) -> dict[str, Any]:
    """List the goals nearest to being open, first those that were looked at on all training levels."""
    measured = [
        row
        | {
            "regret": row["costs"]["train"]["worst"]["estimate"],
            "num_levels": row["costs"]["train"]["worst"]["n"],
        }
        for row in source.analysis["goals"]
        if not row["open"]
    ]
    measured.sort(key=lambda row: row["regret"] or 0.0)
    excluded = source.analysis.get("excluded") or []
    return {"goals": measured[:SHOWN] + excluded[:SHOWN], "total": len(measured) + len(excluded)}


# -- levels -------------------------------------------------------------------------------------------


def _level(level: dict, source: Source, label: str, routes: Any = ()) -> dict[str, Any]:
    """Describe a level with its picture, or without one where there are no tiles to draw it with."""
    can_draw = level.get("tiles") and source.num_tiles
    picture = boards.level(level["tiles"], source.num_tiles, label, routes) if can_draw else None
    return level | {"picture": picture}


def _worst(source: Source) -> dict[str, Any] | None:
    worst = source.analysis.get("worst")
    if not worst:
        return None
    routes = {name: cells for name, cells in (worst.get("routes") or {}).items() if cells}
    goals = [source.named(name) for name in routes]
    lines = [(goal["style"], routes[goal["name"]]) for goal in goals]
    label = "The level, and on it ways " + "; ".join(f"to {goal['sentence']}" for goal in goals)
    steps = {goal["name"]: len(routes[goal["name"]]) - 1 for goal in goals}
    shown = {"goal": source.named(worst["goal"]), "goals": goals, "steps": steps}
    shown |= {"is_one_of_many": len(source.rivals) > 1}
    return _level(worst, source, label, lines) | shown


def _closing(source: Source) -> dict[str, Any] | None:
    """List the levels that close open goals, and how much of training each way of adding them takes."""
    closing = source.analysis.get("closing")
    if not closing or not source.rivals:
        return None
    breakable = closing.get("breakable") or []
    levels = {
        name: closing[name]
        | {"levels": [_breaking(one, i, source) for i, one in enumerate(closing[name]["levels"], 1)]}
        for name in ("set", "mixture")
        if closing.get(name)
    }
    smallest, mixture = levels.get("set"), levels.get("mixture")
    if mixture and mixture.get("hardest"):
        mixture["hardest"] = source.named(mixture["hardest"])
    return {
        "set": smallest,
        "mixture": mixture,
        "num_breakable": len(breakable),
        "num_closed": len(breakable) + len(closing.get("shadow") or ()),
        "shadow": [source.named(name) for name in closing.get("shadow") or ()],
        "hopeless": [source.named(name) for name in closing.get("hopeless") or ()],
        "shares": _shares(smallest, mixture, source),
    }


def _breaking(level: dict, index: int, source: Source) -> dict[str, Any]:
    """Describe a level with the goals that it breaks, in full and by numbers."""
    numbers = spans(source.numbers(level["breaks"]))
    shown = {"goals": [source.named(name) for name in level["breaks"]], "numbers": numbers}
    return _level(level, source, f"Level {index}, breaks goals {numbers}") | shown


def _shares(smallest: dict | None, mixture: dict | None, source: Source) -> list[dict]:
    rows = []
    if smallest:
        rows.append(("The smallest set, in equal parts", smallest.get("share")))
    if mixture:
        cap = source.setting("cap")
        limit = f", no level more than {prose.percent(cap, 2)} of it" if cap and cap < 1 else ""
        rows += [
            (f"The best mixture{limit}", mixture.get("share")),
            ("The best mixture, even if it is one level", mixture.get("share_without_cap")),
            ("All candidate levels alike, at random", mixture.get("share_uniform")),
        ]
    return [{"way": way, "share": share} for way, share in rows]


def spans(numbers: Iterable[int]) -> str:
    """Shorten a list of numbers: 1, 2, 3, 5 becomes 1 to 3 (with a dash), 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [str(run[0]) if len(run) == 1 else f"{run[0]}{prose.TO}{run[-1]}" for run in runs]
    return ", ".join(parts) or prose.NONE


def _symmetries(source: Source) -> dict[str, Any] | None:
    """Tabulate symmetries by goals; goals that no symmetry closes are left out of the columns."""
    rows = source.analysis.get("symmetries") or []

    def closes(row: dict, name: str) -> bool:
        cost = row["costs"].get(name)
        return prose.is_known(cost) and cost > source.epsilon

    names = [row["name"] for row in source.rivals]
    touched = [name for name in names if any(closes(row, name) for row in rows)]
    if not rows or not source.rivals:
        return None
    return {
        "goals": [source.named(name) for name in touched],
        "untouched": spans(source.numbers(name for name in names if name not in touched)),
        "rows": [
            {
                "name": row["name"],
                "keeps": row["keeps_intended"],
                "useful": row["keeps_intended"] and any(closes(row, name) for name in touched),
                "cells": [{"cost": row["costs"].get(n), "closes": closes(row, n)} for n in touched],
            }
            for row in rows
        ],
    }


# -- how to tell them apart -----------------------------------------------------------------------------


def _questions(source: Source) -> dict[str, Any] | None:
    questions = source.analysis.get("questions")
    if not questions:
        return None
    levels = [
        _level(one, source, f"Level {index}, asked in {prose.percent(one['weight'], 0)} of episodes")
        for index, one in enumerate(questions["levels"], 1)
    ]
    training = questions.get("training")
    return questions | {
        "levels": levels,
        "training": training,
        "is_blind": prose.is_known(training) and training <= prose.TINY,
        "needed": _episodes(questions.get("episodes")),
        "needed_uniform": _episodes(questions.get("episodes_uniform")),
        "hardest": [source.named(name) for name in questions.get("hardest") or ()],
    }


def _episodes(number: Any) -> str:
    return prose.count(number, "episode") if prose.is_known(number) else "No number of episodes"


def _same(source: Source) -> list[dict]:
    """List groups of goals whose optimizers may do just the same, before and after the shift."""
    titles = {"train": "On training levels", "deploy": "After the shift"}
    classes = source.analysis.get("classes") or {}
    shown = []
    for split, title in titles.items():
        groups = [group for group in classes.get(split) or () if len(group) > 1]
        goals = [[source.named(name) for name in group] for group in groups]
        shown.append({"title": title, "groups": goals})
    return shown if source.rivals and classes else []


# -- goals as rewards -----------------------------------------------------------------------------------


def _distances(source: Source) -> dict[str, Any] | None:
    rows = source.analysis.get("distances")
    if not rows:
        return None
    kinds = [kind for kind in KINDS if kind in rows[0]["train"]]
    return {
        "kinds": [KINDS[kind] for kind in kinds],
        "rows": [
            source.named(row["goal"])
            | {"cells": [(row["train"].get(kind), row["deploy"].get(kind)) for kind in kinds]}
            for row in rows
        ],
    }


def _certificate(source: Source) -> dict[str, Any] | None:
    certificate = source.analysis.get("certificate")
    if not certificate:
        return None
    invisible = certificate.get("invisible") or []
    revealed = [one for one in invisible if (one.get("revealed_on") or 0.0) > 0]
    return certificate | {"invisible": invisible, "num_revealed": len(revealed)}


# -- the rest -------------------------------------------------------------------------------------------


def _settings(source: Source) -> list[dict]:
    """List the settings and the levels, each with what it is."""
    rows = [
        {"name": name, "value": value, "about": considerations.SETTINGS.get(name, "")}
        for name, value in (source.analysis.get("settings") or {}).items()
    ]
    solvable = source.analysis.get("solvable") or {}
    for name, number in (source.analysis.get("num_levels") or {}).items():
        about = considerations.LEVELS.get(name, "")
        if name in solvable:
            share = prose.percent(solvable[name], 0)
            about += f"; the intended goal is in reach on {share} of those drawn"
        rows.append({"name": name, "value": number, "about": about})
    return rows
