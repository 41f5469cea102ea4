"""Say everything that can be said about a training distribution before training, in one call.

There are three sets of levels: those of training; those of deployment, which judge how bad an open goal
is; and candidates that could be added to training. The result is plain data, which `goalgap analyze`
prints, stores and draws.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from .. import stats
from ..core import Environment, Goal, Level, Measurement, UsageError, tree_index
from . import advice, underspecification, worlds
from .findings import (
    Found,
    Samples,
    Settings,
    best_of,
    count_levels,
    describe,
    find,
    mean_of,
    same_costs,
    screen,
    text_of,
)
from .readability import unreadable
from .underspecification import TIES, regrets

READ = 16  # levels on which goals are tried for being readable


def analyze(
    env: Environment,
    intended: Goal,
    rivals: tuple[Goal, ...],
    samples: Samples,
    settings: Settings,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Work out which of the `rivals` of the intended goal training on `samples.train` leaves open.

    `say` is called with a line of text at the start of each part. Raises UsageError where states cannot
    be enumerated or where the intended goal is out of reach on all deployment levels or all candidates.
    """
    worlds.check(env, (intended, *rivals))
    samples, solvable = _solvable(env, intended, samples, settings)
    say(f"looking for open goals among {len(rivals)}")
    kept, excluded = screen(env, intended, rivals, samples.train, settings)
    groups = same_costs(env, intended, kept, samples, settings)
    say(f"exact regrets of {len(groups)} goals")
    found = find(env, intended, groups, samples, settings)
    shown = {
        "intended": describe(intended),
        "settings": dataclasses.asdict(settings),
        "num_levels": {name: count_levels(levels) for name, levels in samples._asdict().items()},
        "solvable": solvable,
        "num_goals": 1 + len(rivals),
        "goals": _rows(env, found, samples, settings),
        "excluded": excluded,
        "diameter": underspecification.diameter(mean_of(found.deploy)[:, 0], found.is_open),
        "prior_mass": underspecification.prior_mass(
            (intended, *rivals), _is_open_rival(intended, rivals, found)
        ),
    }
    say("levels that would close them")
    shown["worst"] = _worst(env, found, samples, settings)
    shown["closing"] = advice.closing(env, found, samples.candidates, settings)
    shown["symmetries"] = advice.symmetries(env, found, samples.train, settings)
    say("questions, distances, certificate")
    return shown | {
        "classes": advice.classes(env, found, samples, settings),
        "questions": advice.questions_to_ask(env, found, samples, settings),
        "distances": advice.distances_to(env, found, samples, settings),
        "certificate": advice.certify(env, found, samples, settings),
    }


def _is_open_rival(intended: Goal, rivals: tuple[Goal, ...], found: Found) -> Bool[np.ndarray, " g"]:
    names = {
        name
        for goal, also, is_open in zip(found.goals, found.also, found.is_open, strict=True)
        for name in (goal.name, *also)
        if is_open
    }
    return np.array([goal.name in names for goal in (intended, *rivals)])


def _solvable(
    env: Environment, intended: Goal, samples: Samples, settings: Settings
) -> tuple[Samples, dict[str, float]]:
    """Keep the deployment levels and candidates on which the intended goal is within reach.

    Returns the samples so filtered, and for each set the share of levels that are solvable.
    """

    def optimum(levels: Level) -> Float[np.ndarray, " l"]:
        return regrets(env, (intended,), (), levels, settings.gamma, ("worst",)).optimum[:, 0]

    can = {name: optimum(levels) > 0 for name, levels in samples._asdict().items()}
    for name in ("deploy", "candidates"):
        if not can[name].any():
            raise UsageError(
                f"{env.name}: the goal {intended.name} is out of reach on all {name} levels; offer "
                "others, or allow more steps"
            )
    kept = {
        name: levels if name == "train" else tree_index(levels, np.flatnonzero(can[name]))
        for name, levels in samples._asdict().items()
    }
    return Samples(**kept), {name: float(is_solvable.mean()) for name, is_solvable in can.items()}


def _rows(env: Environment, found: Found, samples: Samples, settings: Settings) -> list[dict[str, Any]]:
    """Describe each goal with its costs, the intended goal first, then the open and expensive ones."""
    some = tree_index(samples.train, np.arange(min(READ, count_levels(samples.train))))
    blind = unreadable(env, found.goals, some, settings.gamma)
    off_path = found.train.off_path
    assert off_path is not None
    rows = []
    for index, goal in enumerate(found.goals):
        costs = {
            split: {
                ties: _average(f"{split} {ties}", getattr(found_on, ties)[:, 0, index]) for ties in TIES
            }
            for split, found_on in (("train", found.train), ("deploy", found.deploy))
        }
        best = best_of(found.deploy)[:, 0, index]
        rows.append(
            describe(goal)
            | {
                "also": list(found.also[index]),
                "open": bool(found.is_open[index]),
                "dangerous": bool(found.is_dangerous[index]),
                "possibly_open": bool(best_of(found.train)[:, 0, index].mean() <= settings.epsilon),
                "costs": costs,
                "revealed_on": float((found.train.worst[:, 0, index] > 0).mean()),
                "revealed_off_path_on": float((off_path[:, 0, index] > 0).mean()),
                "possibly_distinguished": float((found.deploy.worst[:, 0, index] > 0).mean()),
                "surely_distinguished": float((best > settings.margin).mean()),
                "unreadable_on": float(blind[index]),
            }
        )
    return sorted(
        rows,
        key=lambda row: (
            row["name"] != found.goals[0].name,
            not row["open"],
            -row["costs"]["deploy"]["mean"].estimate,
        ),
    )


def _worst(
    env: Environment, found: Found, samples: Samples, settings: Settings
) -> dict[str, Any] | None:
    """Describe the open goal that costs most after the shift, and the level that shows it best.

    That is the deployment level where even the luckiest optimizer of the goal loses most. `routes`
    lists, for the intended goal and for this one, the states on an optimal way. Returns None where no
    open goal is dangerous.
    """
    if not found.dangerous:
        return None
    goal = found.dangerous[0]
    index = found.goals.index(goal)
    best, mean = best_of(found.deploy)[:, 0, index], mean_of(found.deploy)[:, 0, index]
    row = int(np.argmax(best + 1e-3 * mean))
    level = tree_index(samples.deploy, np.array([row]))
    return {
        "goal": goal.name,
        "text": text_of(env, samples.deploy, row),
        "costs": {ties: float(getattr(found.deploy, ties)[row, 0, index]) for ties in TIES},
        "routes": {each.name: _route(env, each, level, settings) for each in (found.goals[0], goal)},
    }


def _route(env: Environment, goal: Goal, level: Level, settings: Settings) -> list[int]:
    """List the states from the start on, by the first of the best actions, until all is earned."""
    world = jax.jit(worlds.tabulate, static_argnames="goals")(env, goals=(goal,), levels=level)
    q = worlds.action_values(world, world.goals[0], settings.gamma, env.max_steps)
    values, memories = np.asarray(q[0]), np.asarray(world.goals[0].memory[0])
    successor, goes_on = np.asarray(world.successor[0]), np.asarray(world.goes_on[0])
    state, memory = int(world.start[0]), 0
    route = [state]
    while len(route) <= env.max_steps and values[state, memory].max() > worlds.ZERO:
        action = int(values[state, memory].argmax())
        ends = not goes_on[state, action]
        state, memory = int(successor[state, action]), int(memories[state, memory, action])
        route.append(state)
        if ends:
            break
    return route


def _average(name: str, regret: Float[np.ndarray, " l"]) -> Measurement:
    """Measure a mean regret over levels; its interval does not go below 0, as no regret does."""
    found = stats.crossed_mean(name, regret[None])
    return found._replace(low=max(found.low, 0.0))
