"""Everything that can be said about a training distribution before training, in one call.

Three sets of levels: those of training; those of deployment, which judge how bad an open goal is; and
candidates that could be added to training. The result is plain data, which `goalgap analyze` prints,
stores and draws.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from .. import stats
from ..core import Environment, Goal, Level, Measurement, UsageError, tree_index
from . import breaking, certificate, distances, questions, underspecification, worlds
from .readability import unreadable
from .underspecification import TIES, Regrets, regrets

# How many levels the dearer parts look at, and how many goals are shown.
SCREENED, COMPARED, ASKED, CERTIFIED, MEASURED, READ = 32, 256, 256, 64, 16, 16
MAX_GOALS, MAX_DISTANCES = 8, 4


class Samples(NamedTuple):
    """Levels, each set stacked: what training shows, what deployment shows, what could be added."""

    train: Level
    deploy: Level
    candidates: Level


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the numbers of an analysis depend on, beside the levels."""

    epsilon: float = 0.01
    """mean training regret up to which a goal counts as open: the slack of the learner"""
    margin: float = 0.05
    """regret above which a level breaks a proxy for sure"""
    gamma: float = 0.99
    """discount of all values"""
    beta: float = 100.0
    """inverse temperature of the agents that are to be told apart"""
    error: float = 0.05
    """probability of taking one goal for another"""
    cap: float = 1 / 64
    """largest weight of one level in the mixture, since learners memorize few levels; 1: no bound"""

    def __post_init__(self) -> None:
        underspecification.check_share("epsilon", self.epsilon)
        underspecification.check_share("margin", self.margin)
        worlds.check_gamma(self.gamma)
        if not self.beta > 0:
            raise UsageError(f"beta is {self.beta}; an inverse temperature is above 0")
        if not 0 < self.error < 1:
            raise UsageError(f"error is {self.error}; expected a probability above 0 and below 1")
        if not 0 < self.cap <= 1:
            raise UsageError(f"cap is {self.cap}; a weight is above 0 and at most 1")


class Found(NamedTuple):
    """The goals in question, the intended one first, and what their optimizers cost; g: goals."""

    goals: tuple[Goal, ...]
    also: tuple[tuple[str, ...], ...]  # goals that cost the same within epsilon
    train: Regrets  # under the intended goal
    deploy: Regrets
    candidates: Regrets
    is_open: Bool[np.ndarray, " g"]
    epsilon: float

    @property
    def is_dangerous(self) -> Bool[np.ndarray, " g"]:
        """Open goals whose optimizers lose something after the shift."""
        return self.is_open & (_mean(self.deploy)[:, 0].mean(0) > self.epsilon)

    @property
    def dangerous(self) -> tuple[Goal, ...]:
        """The most expensive first."""
        cost = np.where(self.is_dangerous, _mean(self.deploy)[:, 0].mean(0), -1.0)
        return tuple(self.goals[i] for i in np.argsort(-cost, kind="stable") if cost[i] >= 0)


def analyze(
    env: Environment,
    intended: Goal,
    rivals: tuple[Goal, ...],
    samples: Samples,
    settings: Settings,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """What training on `samples.train` leaves open among `rivals` of the intended goal.

    `say` hears what is being worked out. Raises UsageError where states cannot be enumerated or no
    deployment level can be solved.
    """
    worlds.check(env, (intended, *rivals))
    samples, solvable = _solvable(env, intended, samples, settings)
    say(f"looking for open goals among {len(rivals)}")
    kept, excluded = screen(env, intended, rivals, samples.train, settings)
    groups = _same_costs(env, intended, kept, samples, settings)
    say(f"exact regrets of {len(groups)} goals")
    found = _find(env, intended, groups, samples, settings)
    shown = {
        "intended": _describe(intended),
        "settings": dataclasses.asdict(settings),
        "num_levels": {name: _count(levels) for name, levels in samples._asdict().items()},
        "solvable": solvable,
        "num_goals": 1 + len(rivals),
        "goals": _rows(env, found, samples, settings),
        "excluded": excluded,
        "diameter": underspecification.diameter(_mean(found.deploy)[:, 0], found.is_open),
        "prior_mass": underspecification.prior_mass(
            (intended, *rivals), _is_open_rival(intended, rivals, found)
        ),
    }
    say("levels that would close them")
    shown["worst"] = _worst(env, found, samples, settings)
    shown["closing"] = _closing(env, found, samples.candidates, settings)
    shown["symmetries"] = _symmetries(env, found, samples.train, settings)
    say("questions, distances, certificate")
    return shown | {
        "classes": _classes(env, found, samples, settings),
        "questions": _questions(env, found, samples, settings),
        "distances": _distances(env, found, samples, settings),
        "certificate": _certificate(env, found, samples, settings),
    }


# -- which goals are open ---------------------------------------------------------------------------


def screen(
    env: Environment, intended: Goal, rivals: tuple[Goal, ...], train: Level, settings: Settings
) -> tuple[tuple[Goal, ...], list[dict[str, Any]]]:
    """The rivals that may still be open, and the others with their mean regret on the first levels.

    Exact: regrets are not negative, so a goal whose sum on some levels exceeds epsilon times the number
    of all is not open, whatever the rest says.
    """
    count = _count(train)
    left, excluded = np.arange(len(rivals)), []
    listed = {goal.name for goal in env.goals}  # are shown in any case
    size = SCREENED
    while size < count and len(left) > MAX_GOALS:
        some = tree_index(train, np.arange(size))
        goals = tuple(rivals[index] for index in left)
        worst = regrets(env, (intended,), goals, some, settings.gamma, ("worst",)).worst[:, 0]
        stays = (worst.sum(0) <= settings.epsilon * count) | [goal.name in listed for goal in goals]
        excluded += [
            _describe(goal) | {"regret": float(worst[:, i].mean()), "num_levels": size}
            for i, goal in enumerate(goals)
            if not stays[i]
        ]
        left, size = left[stays], size * 4
    excluded.sort(key=lambda row: (row["regret"], row["bits"]))
    return tuple(rivals[index] for index in left), excluded


def _same_costs(
    env: Environment,
    intended: Goal,
    goals: tuple[Goal, ...],
    samples: Samples,
    settings: Settings,
) -> dict[Goal, tuple[str, ...]]:
    """The goals of least description length, with the names of others that cost the same: within epsilon
    on average over levels, in training and after the shift, however ties are broken. The intended goal
    comes first, and stands for all that cost next to nothing."""
    costs = []
    for levels in (samples.train, samples.deploy):
        some = tree_index(levels, np.arange(min(COMPARED, _count(levels))))
        found = regrets(env, (intended,), (intended, *goals), some, settings.gamma)
        costs += [found.worst[:, 0], _mean(found)[:, 0], _best(found)[:, 0]]
    listed = [goal.name for goal in env.goals]
    order = sorted(range(len(goals)), key=lambda i: (goals[i].name not in listed, goals[i].bits, i))
    groups: dict[int, list[Goal]] = {0: []}  # by column of the costs
    for column in (1 + index for index in order):
        apart = (
            max(float(np.abs(cost[:, column] - cost[:, other]).mean()) for cost in costs)
            for other in groups
        )
        like = [other for other, cost in zip(groups, apart, strict=True) if cost <= settings.epsilon]
        if like and goals[column - 1].name not in listed:
            groups[like[0]].append(goals[column - 1])
        else:
            groups[column] = []
    return {
        (intended, *goals)[column]: tuple(goal.name for goal in others if goal.name != intended.name)
        for column, others in groups.items()
    }


def _find(
    env: Environment,
    intended: Goal,
    groups: dict[Goal, tuple[str, ...]],
    samples: Samples,
    settings: Settings,
) -> Found:
    goals = tuple(groups)
    train, deploy, candidates = (
        regrets(env, (intended,), goals, levels, settings.gamma, TIES, off_path=levels is samples.train)
        for levels in samples
    )
    is_open = underspecification.compatible(train.worst[:, 0], settings.epsilon)
    also = tuple(groups.values())
    return Found(goals, also, train, deploy, candidates, is_open, settings.epsilon)


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
    """Deployment levels and candidates on which the intended goal is within reach, and the shares."""

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
    """Each goal with its costs, the open and expensive ones first."""
    some = tree_index(samples.train, np.arange(min(READ, _count(samples.train))))
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
        best = _best(found.deploy)[:, 0, index]
        rows.append(
            _describe(goal)
            | {
                "also": list(found.also[index]),
                "open": bool(found.is_open[index]),
                "dangerous": bool(found.is_dangerous[index]),
                "possibly_open": bool(_best(found.train)[:, 0, index].mean() <= settings.epsilon),
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
    """The open goal that costs most after the shift, and the level that shows it best: where even its
    luckiest optimizer loses most. `routes` are the states on an optimal way to either goal."""
    if not found.dangerous:
        return None
    goal = found.dangerous[0]
    index = found.goals.index(goal)
    best, mean = _best(found.deploy)[:, 0, index], _mean(found.deploy)[:, 0, index]
    row = int(np.argmax(best + 1e-3 * mean))
    level = tree_index(samples.deploy, np.array([row]))
    return {
        "goal": goal.name,
        "text": _text(env, samples.deploy, row),
        "costs": {ties: float(getattr(found.deploy, ties)[row, 0, index]) for ties in TIES},
        "routes": {each.name: _route(env, each, level, settings) for each in (found.goals[0], goal)},
    }


def _route(env: Environment, goal: Goal, level: Level, settings: Settings) -> list[int]:
    """States from the start on, by the first of the best actions, until nothing more is to be had."""
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


def _text(env: Environment, levels: Level, row: int) -> str:
    return env.to_text(jax.device_put(tree_index(levels, row)))


# -- which levels close them ------------------------------------------------------------------------


def _closing(env: Environment, found: Found, candidates: Level, settings: Settings) -> dict[str, Any]:
    """The smallest set and the best mixture of candidates against the open goals, and how much of
    training each must be (`share`).

    Goals in `shadow` are those that no candidate breaks for sure, since their luckiest optimizer loses
    nothing to speak of; against them the set and the mixture work on average over ties. `hopeless`
    ones are not broken even so, and left out.
    """
    columns = np.array([found.goals.index(goal) for goal in found.dangerous], int)
    names = np.array([goal.name for goal in found.dangerous])
    best, mean = (
        every[:, 0][:, columns] for every in (_best(found.candidates), _mean(found.candidates))
    )
    shadow = breaking.is_shadow(best, settings.margin)
    regret = np.where(shadow, mean, best)
    hopeless = breaking.is_shadow(regret, settings.margin)
    closing: dict[str, Any] = {
        "breakable": names[~shadow].tolist(),
        "shadow": names[shadow & ~hopeless].tolist(),
        "hopeless": names[hopeless].tolist(),
    }
    regret, closed = regret[:, ~hopeless], tuple(names[~hopeless].tolist())
    if not closed:
        return closing | {"set": None, "mixture": None}

    def listed(rows: np.ndarray, weights: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "text": _text(env, candidates, int(row)),
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
    return closing | {
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


def _symmetries(
    env: Environment, found: Found, train: Level, settings: Settings
) -> list[dict[str, Any]]:
    """For each symmetry of the dynamics: whether the intended goal keeps its value, and what open goals
    would cost on training levels so changed; which of them it closes."""
    if not found.dangerous:
        return []
    some = tree_index(train, np.arange(min(COMPARED, _count(train))))
    before = found.train.optimum[: _count(some), 0]
    rows = []
    for name, changed in jax.jit(jax.vmap(env.symmetries))(some).items():
        costs = regrets(env, (found.goals[0],), found.goals, changed, settings.gamma)
        rows.append(
            {
                "name": name,
                "keeps_intended": bool(np.allclose(costs.optimum[:, 0], before, atol=1e-4)),
                "costs": {
                    goal.name: float(_best(costs)[:, 0, found.goals.index(goal)].mean())
                    for goal in found.dangerous
                },
            }
        )
    return rows


# -- how to tell them apart -------------------------------------------------------------------------


def _named(found: Found) -> tuple[Goal, ...]:
    """The intended goal and the worst of those that training leaves open."""
    return (found.goals[0], *found.dangerous[: MAX_GOALS - 1])


def _classes(
    env: Environment, found: Found, samples: Samples, settings: Settings
) -> dict[str, list[list[str]]]:
    """Which of the goals in question training, and deployment, cannot tell apart at all."""
    goals = _named(found)
    classes = {}
    for name in ("train", "deploy"):
        levels = getattr(samples, name)
        some = tree_index(levels, np.arange(min(COMPARED, _count(levels))))
        worst = regrets(env, goals, goals, some, settings.gamma, ("worst",)).worst
        groups = underspecification.equivalence_classes(worst)
        classes[name] = [[goals[index].name for index in group] for group in groups]
    return classes


def _questions(
    env: Environment, found: Found, samples: Samples, settings: Settings
) -> dict[str, Any] | None:
    """The deployment levels that tell the goals apart with the fewest episodes."""
    goals = _named(found)
    if len(goals) < 2:
        return None
    gained = {}
    for name in ("train", "deploy"):
        levels = getattr(samples, name)
        some = tree_index(levels, np.arange(min(ASKED, _count(levels))))
        gained[name] = questions.divergences(env, goals, some, settings.gamma, settings.beta)
    game = questions.design(gained["deploy"])
    apart = ~np.eye(len(goals), dtype=bool)
    uniform = float(gained["deploy"].mean(0)[apart].min())
    first, second = questions.hardest_pair(game, len(goals))
    return {
        "goals": [goal.name for goal in goals],
        "levels": [
            {"text": _text(env, samples.deploy, int(row)), "weight": float(game.weights[row])}
            for row in game.support
        ],
        "value": game.value,
        "uniform": uniform,
        "training": float(gained["train"].max(0)[apart].min()),
        "episodes": questions.num_episodes(game.value, settings.error),
        "episodes_uniform": questions.num_episodes(uniform, settings.error),
        "hardest": [goals[first].name, goals[second].name],
    }


def _distances(
    env: Environment, found: Found, samples: Samples, settings: Settings
) -> list[dict[str, Any]]:
    """How far the worst open goals are from the intended one, as rewards, before and after the shift."""
    rows = []
    for goal in found.dangerous[:MAX_DISTANCES]:
        row: dict[str, Any] = {"goal": goal.name}
        for name in ("train", "deploy"):
            levels = getattr(samples, name)
            some = tree_index(levels, np.arange(min(MEASURED, _count(levels))))
            kinds = distances.affordable(env, _count(some))
            row[name] = distances.distances(
                env, found.goals[0], goal, some, settings.gamma, kinds
            ).overall
        rows.append(row)
    return rows


def _certificate(env: Environment, found: Found, samples: Samples, settings: Settings) -> dict[str, Any]:
    """What the levels say of all mixtures of the goals in question, and of steps and bumps."""
    goals = _named(found)
    train, deploy = (
        tree_index(levels, np.arange(min(CERTIFIED, _count(levels))))
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


def _average(name: str, regret: Float[np.ndarray, " l"]) -> Measurement:
    """A mean over levels; its interval does not go below 0, as no regret does."""
    found = stats.crossed_mean(name, regret[None])
    return found._replace(low=max(found.low, 0.0))


def _describe(goal: Goal) -> dict[str, Any]:
    return {"name": goal.name, "sentence": goal.sentence, "bits": float(goal.bits)}


def _count(levels: Level) -> int:
    return jax.tree.leaves(levels)[0].shape[0]


def _mean(found: Regrets) -> Float[np.ndarray, "l i j"]:
    assert found.mean is not None
    return found.mean


def _best(found: Regrets) -> Float[np.ndarray, "l i j"]:
    assert found.best is not None
    return found.best
