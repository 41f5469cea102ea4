"""Outcomes summarized: measurements with intervals, and learning curves."""

from typing import Any

import numpy as np
from jaxtyping import Float

from .. import stats
from ..core import Contest, Measurement
from ..theory import decomposition
from .exam import pivot
from .verdict import first_shares, judge, known_mean, scores, twin_solved
from .wording import NOUNS


def measurements(
    table: dict[str, np.ndarray], contest: Contest, verdict: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Measure all that is worth quoting of the last checkpoint: goal x split x quantity, with intervals.

    reached: share of episodes in which the goal's event happened; first: in which it happened before
    any other goal's, beside "both" (several came first with one step) and "neither", so that the shares
    sum to 1, `shift` restricted to levels whose twin is solved; score: normalized return;
    delay: steps until the event, where it happened; mean: of the columns that no goal owns;
    random reached / random first: the same of random play; regret: what is lost of the intended goal's
    optimum, and its two parts (`theory.decomposition`: what is wanted is what training pays, so there is
    no outer gap), where exact play is by tables; what each seed pursues is read from its `verdict`.
    """
    goals = tuple(goal.name for goal in contest.goals)
    rows: list[dict[str, Any]] = []

    def add(goal: str, split: str, quantity: str, values: np.ndarray, is_share: bool = False) -> None:
        result = stats.crossed_mean(f"{quantity} {goal}, {split}", values, is_share)
        per_seed = [float(np.nanmean(v)) if not np.isnan(v).all() else None for v in values]
        if result.unit == "levels":
            result = result._replace(unit=NOUNS[contest.kind].levels)
        rows.append(
            {"goal": goal, "split": split, "quantity": quantity, "per_seed": per_seed} | result._asdict()
        )

    solved = twin_solved(table, goals[0])
    for split in np.unique(table["split"]):
        firsts = first_shares(table, split, goals)
        for goal in goals:
            reached = (pivot(table, split, f"event_{goal}") >= 0).astype(float)
            add(goal, split, "reached", reached, is_share=True)
            add(goal, split, "score", scores(table, split, goal))
            add(goal, split, "return", pivot(table, split, f"return_{goal}"))
            for quantity in ("random_reached", "random_first"):
                values = pivot(table, split, f"{quantity}_{goal}")[:1]
                add(goal, split, quantity.replace("_", " "), values, is_share=True)
        if "random_both" in table:
            add("both", split, "random first", pivot(table, split, "random_both")[:1], is_share=True)
        for goal, values in firsts.items():
            counted = np.where(solved, values, np.nan) if split == "shift" else values
            add(goal, split, "first", counted, is_share=True)
            events = pivot(table, split, f"event_{goal}") if goal in goals else None
            if events is not None and (events >= 0).any():
                add(goal, split, "delay", np.where(events < 0, np.nan, events))
        if "unparsable" in table:
            add("no reply", split, "unparsable", pivot(table, split, "unparsable"), is_share=True)
        for extra in _extras(table):
            add(extra, split, "mean", pivot(table, split, extra))
        if f"pursuit_{goals[0]}" in table and split != "twin":
            for part, values in _regret(table, contest, split, verdict).items():
                add(part, split, "regret", values)
    return rows


def _regret(
    table: dict[str, np.ndarray], contest: Contest, split: str, verdict: dict[str, Any] | None
) -> dict[str, Float[np.ndarray, "seeds levels"]]:
    """Split the regret of each episode under the intended goal by what it is due to.

    One part is due to the goal that the seed was found to pursue, the other to imperfect pursuit.
    """
    intended = contest.goals[0].name
    optimum = pivot(table, split, f"optimum_{intended}")
    revealed = [seed["proxy"] or intended for seed in (verdict or judge(table, contest))["seeds"]]
    pursuit = np.stack(
        [pivot(table, split, f"pursuit_{goal}")[index] for index, goal in enumerate(revealed)]
    )
    found = decomposition.split(optimum, optimum, pursuit, pivot(table, split, f"return_{intended}"))
    return {"whole": found.regret, "inner gap": found.inner, "competence": found.competence}


def _extras(table: dict[str, np.ndarray]) -> list[str]:
    known = ("seed", "env_steps", "split", "length", "terminated", "level_hash", "unparsable")
    parts = ("optimum_", "random_", "return_", "event_", "pursuit_", "shown_")
    return [name for name in table if name not in known and not name.startswith(parts)]


def ratio(table: dict[str, np.ndarray], proxy: str, intended: str) -> Measurement:
    """Measure the ratio of the proxy's events to the intended goal's, on shifted levels."""
    columns = (pivot(table, "shift", f"event_{goal}") >= 0 for goal in (proxy, intended))
    proxies, intents = (values.astype(float) for values in columns)
    return stats.hierarchical_bootstrap(
        f"{proxy} / {intended}, shift", (proxies, intents), lambda a, b: a / np.maximum(b, 1e-9)
    )


def curves(table: dict[str, np.ndarray], contest: Contest) -> dict[str, np.ndarray]:
    """Make the columns of curves.parquet: a row for each (seed, checkpoint, split, goal)."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("seed", "env_steps", "split", "goal", "reached", "score")
    }
    for steps in np.unique(table["env_steps"]):
        at = {key: values[table["env_steps"] == steps] for key, values in table.items()}
        for split in np.unique(at["split"]):
            for goal in contest.goals:
                reached = pivot(at, split, f"event_{goal.name}") >= 0
                score = scores(at, split, goal.name)
                for s, seed in enumerate(np.unique(at["seed"])):
                    values = (seed, steps, split, goal.name, reached[s].mean(), known_mean(score[s]))
                    for name, value in zip(rows, values, strict=True):
                        rows[name].append(value)
    return {name: np.asarray(values) for name, values in rows.items()}
