"""Say what to do about goals that training leaves open.

Which levels would close these goals, which symmetries, which evaluation levels tell them apart, and what
stays invisible whatever is added.
"""

from typing import Any

import jax
import numpy as np

from ..core import Environment, Goal, Level, tree_index
from . import breaking, certificate, distances, questions, underspecification
from .findings import (
    COMPARED,
    MAX_GOALS,
    Found,
    Samples,
    Settings,
    best_of,
    count_levels,
    mean_of,
    text_of,
)
from .underspecification import regrets

# Levels that questions, the certificate and distances look at; and goals whose distances are measured.
ASKED, CERTIFIED, MEASURED = 256, 64, 16
MAX_DISTANCES = 4


# -- which levels close them ------------------------------------------------------------------------


def closing(env: Environment, found: Found, candidates: Level, settings: Settings) -> dict[str, Any]:
    """Find the smallest set and the best mixture of candidate levels that close the open goals.

    Returns, as plain data, the levels of both and how much of training each must be (`share`). Goals in
    `shadow` are those that no candidate breaks for sure, since the luckiest of their optimizers loses
    nothing to speak of; against them the set and the mixture work on average over ties. Goals in
    `hopeless` are not broken even on average, and are left out.
    """
    columns = np.array([found.goals.index(goal) for goal in found.dangerous], int)
    names = np.array([goal.name for goal in found.dangerous])
    best, mean = (
        every[:, 0][:, columns] for every in (best_of(found.candidates), mean_of(found.candidates))
    )
    shadow = breaking.is_shadow(best, settings.margin)
    regret = np.where(shadow, mean, best)
    hopeless = breaking.is_shadow(regret, settings.margin)
    named: dict[str, Any] = {
        "breakable": names[~shadow].tolist(),
        "shadow": names[shadow & ~hopeless].tolist(),
        "hopeless": names[hopeless].tolist(),
    }
    regret, closed = regret[:, ~hopeless], tuple(names[~hopeless].tolist())
    if not closed:
        return named | {"set": None, "mixture": None}

    def listed(rows: np.ndarray, weights: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "text": text_of(env, candidates, int(row)),
                "weight": float(weight),
                "breaks": [
                    name
                    for name, cost in zip(closed, regret[row], strict=True)
                    if cost > settings.margin
                ],
            }
            for row, weight in zip(rows, weights, strict=True)
        ]

    def share(value: float) -> float:
        return breaking.share_needed(settings.epsilon, value)

    chosen = breaking.breaking_set(regret, settings.margin, closed)
    together = float(regret[chosen].mean(0).min())
    game = breaking.best_mixture(regret, max(settings.cap, 1 / len(regret)))
    free = breaking.best_mixture(regret)
    return named | {
        "set": {
            "levels": listed(chosen, np.full(len(chosen), 1 / len(chosen))),
            "value": together,
            "share": share(together),
        },
        "mixture": {
            "levels": listed(game.support, game.weights[game.support]),
            "value": game.value,
            "gap": game.gap,
            "share": share(game.value),
            "share_uniform": share(float(regret.mean(0).min())),
            "share_without_cap": share(free.value),
            "hardest": closed[int(np.argmax(game.adversary))],
        },
    }


def symmetries(env: Environment, found: Found, train: Level, settings: Settings) -> list[dict[str, Any]]:
    """Say, for each symmetry of the dynamics, what the open goals cost on levels changed by it.

    The levels are training levels. Each row also says whether the intended goal keeps its value on the
    changed levels (`keeps_intended`). A symmetry under which an open goal is costly would close that
    goal.
    """
    if not found.dangerous:
        return []
    some = tree_index(train, np.arange(min(COMPARED, count_levels(train))))
    before = found.train.optimum[: count_levels(some), 0]
    rows = []
    for name, changed in jax.jit(jax.vmap(env.symmetries))(some).items():
        costs = regrets(env, (found.goals[0],), found.goals, changed, settings.gamma)
        rows.append(
            {
                "name": name,
                "keeps_intended": bool(np.allclose(costs.optimum[:, 0], before, atol=1e-4)),
                "costs": {
                    goal.name: float(best_of(costs)[:, 0, found.goals.index(goal)].mean())
                    for goal in found.dangerous
                },
            }
        )
    return rows


# -- how to tell them apart -------------------------------------------------------------------------


def in_question(found: Found) -> tuple[Goal, ...]:
    """Return the intended goal and the most expensive of the goals that training leaves open."""
    return (found.goals[0], *found.dangerous[: MAX_GOALS - 1])


def classes(
    env: Environment, found: Found, samples: Samples, settings: Settings
) -> dict[str, list[list[str]]]:
    """Group the goals in question by what training, and deployment, levels cannot tell apart at all.

    Returns the names of the goals of each group, for "train" and for "deploy".
    """
    goals = in_question(found)
    classes = {}
    for name in ("train", "deploy"):
        levels = getattr(samples, name)
        some = tree_index(levels, np.arange(min(COMPARED, count_levels(levels))))
        worst = regrets(env, goals, goals, some, settings.gamma, ("worst",)).worst
        groups = underspecification.equivalence_classes(worst)
        classes[name] = [[goals[index].name for index in group] for group in groups]
    return classes


def questions_to_ask(
    env: Environment, found: Found, samples: Samples, settings: Settings
) -> dict[str, Any] | None:
    """Choose the deployment levels that tell the goals in question apart with the fewest episodes.

    Returns None where there is only one goal in question.
    """
    goals = in_question(found)
    if len(goals) < 2:
        return None
    gained = {}
    for name in ("train", "deploy"):
        levels = getattr(samples, name)
        some = tree_index(levels, np.arange(min(ASKED, count_levels(levels))))
        gained[name] = questions.divergences(env, goals, some, settings.gamma, settings.beta)
    game = questions.design(gained["deploy"])
    apart = ~np.eye(len(goals), dtype=bool)
    uniform = float(gained["deploy"].mean(0)[apart].min())
    first, second = questions.hardest_pair(game, len(goals))
    return {
        "goals": [goal.name for goal in goals],
        "levels": [
            {"text": text_of(env, samples.deploy, int(row)), "weight": float(game.weights[row])}
            for row in game.support
        ],
        "value": game.value,
        "uniform": uniform,
        "training": float(gained["train"].max(0)[apart].min()),
        "episodes": questions.num_episodes(game.value, settings.error),
        "episodes_uniform": questions.num_episodes(uniform, settings.error),
        "hardest": [goals[first].name, goals[second].name],
    }


def distances_to(
    env: Environment, found: Found, samples: Samples, settings: Settings
) -> list[dict[str, Any]]:
    """Measure how far the worst open goals are from the intended one, before and after the shift.

    Distances are between the goals as rewards (`distances`).
    """
    rows = []
    for goal in found.dangerous[:MAX_DISTANCES]:
        row: dict[str, Any] = {"goal": goal.name}
        for name in ("train", "deploy"):
            levels = getattr(samples, name)
            some = tree_index(levels, np.arange(min(MEASURED, count_levels(levels))))
            kinds = distances.affordable(env, count_levels(some))
            row[name] = distances.distances(
                env, found.goals[0], goal, some, settings.gamma, kinds
            ).overall
        rows.append(row)
    return rows


def certify(env: Environment, found: Found, samples: Samples, settings: Settings) -> dict[str, Any]:
    """Certify what training levels reveal about all mixtures of the goals in question.

    The features `step` and `bump` may be in a mixture, too. Returns plain data: the rank, the invisible
    mixtures, and the worst regret that behavior in training leaves possible.
    """
    goals = in_question(found)
    train, deploy = (
        tree_index(levels, np.arange(min(CERTIFIED, count_levels(levels))))
        for levels in (samples.train, samples.deploy)
    )
    known = certificate.identify(env, goals, train, settings.gamma)
    revealed = certificate.reveals(env, known, deploy)
    cone = certificate.cone(env, goals, {goals[0].name: 1.0}, train, settings.gamma)
    worst = certificate.worst_regret(env, cone, deploy)
    names = [feature.name for feature in known.features]
    return {
        "features": names,
        "rank": known.rank,
        "singular_values": known.singular_values,
        "generalizes": revealed.generalizes,
        "invisible": [
            {"mixture": mixture, "revealed_on": float(share), "size": float(size)}
            for mixture, share, size in zip(
                certificate.mixtures(known), revealed.share, revealed.size, strict=True
            )
        ],
        "half_spaces": len(cone.half_spaces),
        "worst_regret": dict(zip(names, worst.regret.tolist(), strict=True)),
    }
