"""Work out, from a run of plain Python, what each section of its page shows."""

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np

from . import boards, charts, fleet, prose, rule
from .source import RANDOM, Source, goals

NUM_DIALOGUES = 12  # of each split, to be read
SHARES = charts.Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))


def page(run: dict[str, Any]) -> dict[str, Any]:
    """Build the template's context: what each section shows, None or empty where there is nothing."""
    about, env, verdict = run["about"], run["env"], run["verdict"]
    experiment = _experiment(run.get("experiment") or {})
    alpha = float(experiment.get("alpha") or experiment.get("dose") or 0)
    source = Source(goals(env), run.get("measurements") or [], verdict, alpha, prose.nouns(env))
    episodes = run.get("episodes") or {}
    atlas = episodes.get("atlas") or []
    subject = about.get("subject") or "trained fleet"
    return {
        "about": about,
        "env": env,
        "verdict": verdict,
        "subject": subject,
        "experiment": experiment,
        "goals": source.goals,
        "says": prose.verdict_words(verdict, env, subject, source.alpha),
        "rivals": prose.rivals(verdict, source.nouns),
        "keys": _key_numbers(source),
        "tables": _tables(source),
        "seeds": source.seeds,
        "fleet": fleet.section(source),
        "explanations": fleet.explanations(source),
        "curves": _curves(run.get("curves") or [], source),
        "splay": _splay(run.get("splay"), source, len(atlas)),
        "replay": _replay(episodes, source),
        "transcripts": _transcripts(run.get("transcripts") or [], source),
        "outcomes": source.outcomes([*_firsts(run.get("transcripts") or []), "neither"]),
        "rule": rule.section(source),
        "papers": papers(env),
        "nouns": source.nouns,
        "pitfalls": prose.pitfalls(env, verdict),
        "marks": charts.marks(),
        "tiles": charts.tiles(atlas),
    }


def papers(env: dict[str, Any]) -> list[dict]:
    """List the papers that the environment comes from, with links."""
    return [
        paper | {"link": "https://arxiv.org/abs/" + quote(paper["id"])}
        for paper in env.get("papers") or ()
    ]


def _experiment(experiment: dict[str, Any]) -> dict[str, Any]:
    """Give the settings; of a subject that was only measured, the contest is all there is."""
    is_whole = not experiment or not {"contest", "env", "scenario"}.isdisjoint(experiment)
    return experiment if is_whole else {"contest": experiment}


def _key_numbers(source: Source) -> list[dict]:
    """Choose the few numbers that the verdict can be told by."""
    intended, proxies = source.goals[0], source.goals[1:]
    named = [goal for goal in proxies if goal["name"] == source.verdict.get("proxy")]
    # In training the goals agree, and it matters whether they are reached; later, which comes first.
    wanted = [(intended, "train", "reached"), (intended, "shift", "first")]
    wanted += [(proxy, "shift", "first") for proxy in (named or proxies)[:1]]
    where = {"train": "in training", "shift": "first, after the shift"}
    keys = []
    for goal, split, quantity in wanted:
        if row := source.find(goal["name"], split, quantity):
            text = f"of {source.nouns['episodes']} {goal['sentence']} {where[split]}"
            key = {"row": row, "text": text, "style": goal["style"], "random": source.random(row)}
            keys.append(key)
    row = source.verdict.get("fraction_misgeneralizing")
    if row and row["n"] > 1:
        do = "pursue the proxy" if prose.asked_by(source.verdict) else "misgeneralize"
        key = {"row": row, "text": f"of the {row['unit']} {do}", "style": "goal-none", "random": None}
        keys.append(key)
    return keys


# -- goals and levels ------------------------------------------------------------------------------


def _tables(source: Source) -> list[dict]:
    """Make a table for each quantity, the known ones first.

    These come in the order in which `words` explains them.
    """
    names = dict.fromkeys(row["quantity"] for row in source.measurements)
    known = [name for name in prose.QUANTITIES if name in names]
    others = [name for name in names if name not in known and not name.startswith(RANDOM)]
    return [_table(name, source) for name in known + others]


def _table(quantity: str, source: Source) -> dict:
    title, about, is_share = prose.QUANTITIES.get(quantity, (quantity, "", False))
    about = about.format(**source.nouns)
    form = prose.percent if is_share else prose.decimal
    rows = [row for row in source.measurements if row["quantity"] == quantity]
    random = [row for one in rows if (row := source.random(one))]
    axis = charts.SHARE if is_share else charts.nice_axis(_spanned(rows) + _spanned(random))
    groups = []
    for split in _splits(rows):
        name, note = prose.split_words(split, source.alpha, source.nouns)
        lines = [_line(row, axis, form, source) for row in rows if row["split"] == split]
        groups.append({"name": name, "note": note, "lines": lines})
    tick = functools.partial(prose.percent, digits=0) if is_share else prose.plain
    return {
        "quantity": quantity,
        "title": title,
        "about": about,
        "form": form,
        "scale": charts.scale(axis, tick),
        "groups": groups,
        "counts": list(dict.fromkeys((row["n"], row["unit"]) for row in rows)),
        "has_random": bool(random),
    }


def _line(row: dict, axis: charts.Axis, form: Callable[[Any], str], source: Source) -> dict:
    style, random = source.style(row["goal"]), source.random(row)
    label = f"{row['goal']}: {form(row['estimate'])}, interval {form(row['low'])} to {form(row['high'])}"
    if random:
        label += f"; {source.nouns['walk']} {form(random['estimate'])}"
    values, seeds = row.get("per_seed") or [], source.seeds
    names = [one["seed"] for one in seeds] if len(seeds) == len(values) else range(len(values))
    dots = [f"seed {name}: {form(value)}" for name, value in zip(names, values, strict=True)]
    strip = charts.strip(row, random and random["estimate"], axis, style, label, dots)
    return {"goal": row["goal"], "style": style, "row": row, "random": random, "strip": strip}


def _splits(rows: list[dict]) -> list[str]:
    """List the splits there are, training first."""
    present = dict.fromkeys(row["split"] for row in rows)
    return [split for split in dict.fromkeys([*prose.SPLITS, *present]) if split in present]


def _spanned(rows: list[dict]) -> list[Any]:
    """Collect all the numbers that a strip has to show."""
    numbers = [row[name] for row in rows for name in ("estimate", "low", "high")]
    return numbers + [value for row in rows for value in row.get("per_seed") or ()]


# -- learning curves -------------------------------------------------------------------------------


def _curves(rows: list[dict], source: Source) -> list[dict]:
    """Make a switchable panel for each quantity, with one chart for each split."""
    panels = []
    for quantity in ("reached", "score"):
        known = [row for row in rows if row.get(quantity) is not None]
        drawn = [split for split in _splits(known) if _num_checkpoints(known, split) > 1]
        if not drawn:
            continue
        title, about, is_share = prose.QUANTITIES[quantity]
        about = about.format(**source.nouns)
        axis = SHARES if is_share else charts.nice_axis(row[quantity] for row in known)
        form = functools.partial(prose.percent, digits=0) if is_share else prose.decimal
        figures = []
        for split in drawn:
            name, note = prose.split_words(split, source.alpha, source.nouns)
            members = [row for row in known if row["split"] == split]
            steps = sorted({row["env_steps"] for row in members})
            series = _series(members, steps, split, quantity, source)
            label = f"Learning curves on {name.lower()}. Arrow keys move over the checkpoints."
            chart = charts.curves(steps, series, axis, form, label, source.nouns)
            reading = charts.readings(steps, series, form, source.nouns)[-1]
            figures.append({"name": name, "note": note, "chart": chart, "reading": reading})
        panels.append({"quantity": quantity, "title": title, "about": about, "figures": figures})
    return panels


def _num_checkpoints(rows: list[dict], split: str) -> int:
    return len({row["env_steps"] for row in rows if row["split"] == split})


def _series(
    rows: list[dict], steps: list[int], split: str, quantity: str, source: Source
) -> list[charts.Series]:
    """Make the curves of the goals there are, all on the same steps and seeds."""
    seeds = sorted({row["seed"] for row in rows})
    place = {step: index for index, step in enumerate(steps)}
    series = []
    for goal in source.goals:
        members = [row for row in rows if row["goal"] == goal["name"]]
        values = np.full((len(seeds), len(steps)), np.nan)
        for row in members:
            values[seeds.index(row["seed"]), place[row["env_steps"]]] = row[quantity]
        random = source.find(goal["name"], split, RANDOM + quantity)
        if members:
            level = random["estimate"] if random else None
            series.append(charts.Series(goal["name"], goal["style"], values, level))
    return series


# -- boards ----------------------------------------------------------------------------------------


def _splay(splay: dict | None, source: Source, num_tiles: int) -> dict | None:
    """Make a switchable heatmap for each outcome, and each outcome's mean over the legal cells."""
    if not splay:
        return None
    legal = [cell["shares"] for cell in splay["cells"] if cell["legal"] and cell.get("shares")]
    outcomes = []
    for name in dict.fromkeys(name for shares in legal for name in shares):
        known = [shares[name] for shares in legal if shares.get(name) is not None]
        style = source.style(name)
        outcome = {"name": name, "style": style, "mean": sum(known) / len(known) if known else None}
        outcomes.append(
            outcome
            | {
                "map": boards.heatmap(splay, name, style, num_tiles),
                "came": boards.came(name, style),
            }
        )
    return splay | {"outcomes": outcomes, "num_legal": len(legal)} if outcomes else None


def _replay(episodes: dict, source: Source) -> dict | None:
    """Collect what the script plays."""
    if not (episodes.get("levels") and episodes.get("atlas")):
        return None
    styles = {goal["name"]: goal["style"] for goal in source.goals}
    sprites = episodes.get("sprites") or []
    floor = sprites.index("floor") if "floor" in sprites else 0
    return {"levels": episodes["levels"], "atlas": episodes["atlas"], "floor": floor, "styles": styles}


# -- dialogues -------------------------------------------------------------------------------------


def _firsts(rows: list[dict]) -> list[str]:
    """List what came first in dialogues."""
    return [row["first"] for row in rows]


def _transcripts(rows: list[dict], source: Source) -> list[dict]:
    """Make a switchable panel for each split, the shifted one first: there the goals part."""
    splits = sorted(_splits(rows), key=lambda split: split != "shift")
    panels = []
    for split in splits:
        name, note = prose.split_words(split, source.alpha, source.nouns)
        members = [row for row in rows if row["split"] == split]
        shown = [row | {"style": source.style(row["first"])} for row in members[:NUM_DIALOGUES]]
        panels.append(
            {"split": split, "name": name, "note": note, "dialogues": shown, "num": len(members)}
        )
    return panels
