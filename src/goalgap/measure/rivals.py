"""Ask which goal explains a subject's moves: one that is listed, one that nobody listed, or none.

Where play can be solved by tables, the goals of `theory.grammar` stand beside the listed ones. Each goal
predicts moves by a player who takes one of its best moves, evenly, but for a share of slips (Bayesian
inverse planning, methods E4a and E4g); the share is fitted to each goal and seed. *None of these* are
two hypotheses that want nothing: random play, and a habit, whose moves depend on the move before (a
device of 1805.12387, its frequencies taken from all other episodes).

Moves count until the first event of a listed goal, or until the subject comes to rest: what is done when
nothing is left to gain tells nothing. The listed goals explain moves together, as though each episode
were one of their players', in shares fitted to the moves: whoever pursues now the one and now the other
pursues no third goal. A goal that nobody listed is set against them on the levels that tell the two
apart (elsewhere they explain the same), in nats an episode, with an interval over these levels.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy import special

from .. import oracle, stats
from ..compilation import QUICKLY
from ..core import Environment, Goal, Level, Policy, UsageError, tree_index
from ..oracle import is_greedy
from ..rollout import episodes
from ..theory import grammar, worlds
from .exam import SCORE_GAMMA
from .playing import luck

NUM_LEVELS = 128  # on which moves are explained
SLIPS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95)  # shares of moves taken at random
MARGIN = 0.7  # nats an episode by which something must beat random play to count as purposeful
_NAMED = 5  # goals that are named
_TELLING = 0.05  # nats by which two explanations of an episode must differ to be told apart by it
_LEAST_TELLING = 3  # episodes, below which nothing is told
_NOTHING_BITS = 3.0  # description length of wanting nothing


class Moves(NamedTuple):
    """Hold what a fleet did, as arrays of NumPy or JAX; r: seeds, n: levels, t: steps."""

    state: Any  # its index [n, r, t]
    action: Any  # [n, r, t]
    counts: Any  # whether the move counts [n, r, t]


def candidates(env: Environment) -> tuple[Goal, ...] | None:
    """List the goals that may explain moves, the contest's own first; None: play is not solved."""
    if env.solver is not oracle.TABLES or env.is_stochastic:
        return None
    try:
        worlds.check(env, env.goals)
    except UsageError:  # too many states
        return None
    found = (goal for goal in grammar.goals(env) if not _is_left_out(goal))
    return (*env.goals, *found)


def _is_left_out(goal: Goal) -> bool:
    """Tell whether a goal is "A before B", which differs from "A" on few levels, or "A or B".

    There are more of these than of all others, and nobody has seen a learner pursue one.
    """
    return isinstance(goal, grammar.Attain) and (
        goal.instead is not None or (goal.rule == "any" and len(goal.places) > 1)
    )


def record(
    env: Environment, subject: Policy, levels: Level, number: int, index: int, fleet: bool
) -> Moves:
    """Let a fleet (or a single subject) play one episode a level, and note what it did."""
    context = subject.prepare(env, levels)
    play = _play if subject.on_host else _compiled_play
    played = play(env, subject, levels, luck(number, index), context, fleet)
    state, action, live, event_step = jax.device_get(played)
    steps = np.arange(action.shape[1])[None, :, None]
    before = np.where(event_step < 0, np.iinfo(np.int32).max, event_step).min(-1)[:, None]
    changes = state[:, 1:] != state[:, :-1]
    rest = np.where(changes.any(1), changes.shape[1] - np.argmax(changes[:, ::-1], 1), 0)[:, None]
    counts = live & (steps < before) & (steps < rest)
    return Moves(*(np.moveaxis(part, -1, 0) for part in (state[:, :-1], action, counts)))


def explain(
    env: Environment, moves: Moves, levels: Level, solved: Bool[np.ndarray, "r n"]
) -> list[dict[str, Any]] | None:
    """Tell for each seed which goals explain its moves, as JSON; None: play is not solved.

    `solved` marks the levels that count for a seed. `against` has the unlisted goals that explain moves
    best, and by how many nats an episode better than the listed ones, on `telling` levels;
    `candidates` are the most probable unlisted goals if no listed one is pursued, none where wanting
    nothing is more probable; `random_best` tells that nothing beats random play by MARGIN, and
    `listed_best` that a listed goal explains moves best, whether or not it is reached.
    """
    goals = candidates(env)
    if goals is None:
        return None
    hits, misses = count_hits(env, goals, moves, levels)
    found = []
    for seed in range(moves.action.shape[1]):
        rows = np.flatnonzero(solved[seed])
        if rows.size < 2:
            found.append({"against": [], "candidates": [], "random_best": False, "listed_best": False})
            continue
        one = Moves(*(part[rows, seed] for part in moves))
        found.append(explained(env, goals, hits[rows, :, seed], misses[rows, :, seed], one))
    return found


def explained(
    env: Environment,
    goals: tuple[Goal, ...],
    hits: Int[np.ndarray, "n g a"],
    misses: Int[np.ndarray, "n g a"],
    moves: Any,
) -> dict[str, Any]:
    """Explain the moves of one seed."""
    nats, slips = _likelihood(hits, misses)  # [levels, goals]
    num_actions = hits.shape[-1]
    chance = -moves.counts.sum(-1) * np.log(num_actions)
    habit = _habit(moves, num_actions)
    listed = len(env.goals)
    # Goals that never differ in what was seen are one: the one with the shortest description stands.
    order = sorted(range(len(goals)), key=lambda g: (g >= listed, goals[g].bits))
    _, first = np.unique(np.round(nats[:, order], 6), axis=1, return_index=True)
    distinct = [order[at] for at in sorted(first)]
    unlisted = [g for g in distinct if g >= listed]

    def beside(g: int, other: Float[np.ndarray, " n"]) -> dict[str, Any]:
        difference = nats[:, g] - other
        telling = difference[np.abs(difference) > _TELLING]
        said = {"name": goals[g].name, "sentence": goals[g].sentence, "slips": float(slips[g])}
        estimate, low, high = _interval(telling)
        return said | {"telling": telling.size, "estimate": estimate, "low": low, "high": high}

    together = _together(nats[:, :listed])
    best = sorted(unlisted, key=lambda g: -nats[:, g].sum())[:_NAMED]
    against = [beside(rival, together) for rival in best]
    bits = np.array([goals[g].bits for g in distinct])
    weight = np.concatenate(
        [nats[:, distinct].sum(0) - np.log(2) * bits]
        + [[nothing.sum() - np.log(2) * _NOTHING_BITS] for nothing in (chance, habit)]
    )
    posterior = np.exp(weight - weight.max())
    posterior /= posterior.sum()
    ranked = sorted(range(len(distinct)), key=lambda at: -posterior[at])
    named = [
        beside(distinct[at], chance) | {"posterior": float(posterior[at])}
        for at in ranked[:_NAMED]
        if distinct[at] >= listed and posterior[at] > max(0.01, posterior[-2:].sum())
    ]
    top = nats[:, distinct[ranked[0]]]
    gain = max((top - chance).mean(), (habit - chance).mean())
    moved = moves.counts.sum(-1).mean()
    others = max([chance.sum(), habit.sum(), *(nats[:, g].sum() for g in best[:1])])
    return {
        "against": against,
        "candidates": named,
        "none": float(posterior[-2:].sum()),
        "random_best": bool(gain < MARGIN and moved >= 1),
        "listed_best": bool(nats[:, :listed].sum(0).max() > others + 1 and moved >= 1),
        "moves": float(moved),
        "num_goals": len(distinct),
    }


def _together(nats: Float[np.ndarray, "n listed"]) -> Float[np.ndarray, " n"]:
    """Give the log likelihood of each level's moves, if each episode is some listed goal's player's.

    The goals' shares are the likeliest ones (expectation maximization).
    """
    share = np.full(nats.shape[1], 1 / nats.shape[1])
    top = nats.max(1, keepdims=True)
    relative = np.exp(nats - top)
    for _ in range(30):
        weight = relative * share
        share = np.maximum((weight / weight.sum(1, keepdims=True)).mean(0), 1e-4)
        share /= share.sum()
    # What the weights cost in nats is no evidence for a rival: a goal alone has no weights to fit.
    return top[:, 0] + np.log((relative * share).max(1)) - np.log(share.max())


def _interval(values: Float[np.ndarray, " n"]) -> tuple[float, float, float]:
    """Give the mean with Student's interval; without bounds for fewer than two values."""
    if not values.size:
        return 0.0, 0.0, 0.0
    mean = float(values.mean())
    if values.size < _LEAST_TELLING:
        return mean, -np.inf, np.inf
    error = float(values.std(ddof=1)) / np.sqrt(values.size)
    half = float(special.stdtrit(values.size - 1, 0.5 + stats.LEVEL / 2)) * error
    return mean, float(mean - half), float(mean + half)


def _likelihood(
    hits: Int[np.ndarray, "n g a"], misses: Int[np.ndarray, "n g a"]
) -> tuple[Float[np.ndarray, "n g"], Float[np.ndarray, " g"]]:
    """Give the log likelihood of each level's moves under each goal, with the goal's best slips.

    `hits` count the moves that were among the goal's a best ones (by their number, 1 to a), `misses`
    those that were not.
    """
    num_actions = hits.shape[-1]
    size = np.arange(1, num_actions + 1)
    each = []
    for slip in SLIPS:
        hit = np.log((1 - slip) / size + slip / num_actions)
        each.append(hits @ hit + misses.sum(-1) * np.log(slip / num_actions))
    nats = np.stack(each)  # [slips, levels, goals]
    best = nats.sum(1).argmax(0)
    goals = np.arange(nats.shape[2])
    return nats[best, :, goals].T, np.array(SLIPS)[best]


def _habit(moves: Any, num_actions: int) -> Float[np.ndarray, " n"]:
    """Give the log likelihood of each level's moves by how often a move follows another elsewhere."""
    num_levels = len(moves.action)
    counted = np.zeros((num_levels, num_actions + 1, num_actions))
    before = np.concatenate([np.full((num_levels, 1), num_actions), moves.action[:, :-1]], 1)
    level, step = np.nonzero(moves.counts)
    np.add.at(counted, (level, before[level, step], moves.action[level, step]), 1)
    others = counted.sum(0) - counted + 0.5
    chance = others / others.sum(-1, keepdims=True)
    return (counted * np.log(chance)).sum((1, 2))


def count_hits(
    env: Environment, goals: tuple[Goal, ...], moves: Moves, levels: Level
) -> tuple[Int[np.ndarray, "n g r a"], Int[np.ndarray, "n g r a"]]:
    """Count the moves that were among each goal's best and those that were not, by their number."""
    memories = max(goal.num_memories for goal in goals)
    num_bytes = worlds.count_states(env) * memories * env.num_actions * len(goals) * 24
    count = len(moves.action)
    size = min(count, max(1, 4 * worlds.CHUNK_BYTES // num_bytes))
    parts = []
    for at in range(0, count, size):
        rows = np.arange(at, at + size) % count
        chunk = _counted(env, goals, tree_index(levels, rows), Moves(*(part[rows] for part in moves)))
        parts.append([part[: count - at] for part in jax.device_get(chunk)])
    hits, misses = (np.concatenate(part) for part in zip(*parts, strict=True))
    return hits, misses


@functools.partial(jax.jit, static_argnames="goals", compiler_options=QUICKLY)
def _counted(
    env: Environment, goals: tuple[Goal, ...], levels: Level, moves: Moves
) -> tuple[Int[Array, "n g r a"], Int[Array, "n g r a"]]:
    _, tables, q = worlds.solved(env, goals, levels, SCORE_GAMMA)
    groups = worlds.by_memories(goals)
    over_seeds = jax.vmap(_along, (None, None, 0, 0, 0))
    over_goals = jax.vmap(over_seeds, (0, 0, None, None, None))
    counted = [jax.vmap(over_goals)(is_greedy(q[size]), tables[size].memory, *moves) for size in groups]
    grouped = [goal for group in groups.values() for goal in group]
    order = np.array([grouped.index(goal) for goal in goals])
    hits, misses = (jnp.concatenate(parts, 1)[:, order] for parts in zip(*counted, strict=True))
    return hits, misses


def _along(
    good: Bool[Array, "s m a"],
    next_memory: Int[Array, "s m a"],
    state: Int[Array, " t"],
    action: Int[Array, " t"],
    counts: Bool[Array, " t"],
) -> tuple[Int[Array, " a"], Int[Array, " a"]]:
    """Follow one episode with one goal's memory: count good moves and others by how many were good."""

    def step(memory: Array, now: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        at, move = now
        best = good[at, memory]
        return next_memory[at, memory, move].astype(int), (best[move], best.sum() - 1)

    _, (hit, number) = jax.lax.scan(step, jnp.zeros((), int), (state, action))
    size = jax.nn.one_hot(number, good.shape[-1], dtype=int) * counts[:, None]
    return (size * hit[:, None]).sum(0), (size * ~hit[:, None]).sum(0)


def _play(
    env: Environment, subject: Policy, levels: Level, key: Array, context: Any, fleet: bool
) -> tuple[Array, ...]:
    """Play; give indices of states [seeds, steps + 1, levels], moves, which are live, and events."""
    if not fleet:
        return jax.tree.map(lambda leaf: leaf[None], _played(env, subject, levels, key, context))
    return jax.vmap(lambda one: _played(env, one, levels, key, context))(subject)


_compiled_play = jax.jit(_play, static_argnames="fleet", compiler_options=QUICKLY)


def _played(
    env: Environment, subject: Policy, levels: Level, key: Array, context: Any
) -> tuple[Array, ...]:
    kept = ("state", "action", "is_live")
    outcome, trace = episodes(env, subject, levels, key, SCORE_GAMMA, context, (), kept)
    assert trace is not None
    state = jax.vmap(jax.vmap(env.index), (None, 0))(levels, trace.state)
    return state, trace.action, trace.is_live, outcome.event_step
