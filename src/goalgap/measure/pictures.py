"""What a reader looks at: a heatmap of one layout, and recorded episodes beside the oracles'."""

import base64
import io
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core import Environment, Goal, Policy, Trace, tree_index
from ..oracle import Oracle
from .exam import SCORE_GAMMA, Exam, first_event, pivot, play_levels

SPRITE_PIXELS = 24
_NUM_REPLAYS = {"shift": 5, "train": 2}


def splay(exam: Exam, fleet: Policy, table: dict[str, np.ndarray]) -> dict[str, Any]:
    """Where on one layout do the agents achieve which goal first, by the cell of the moved object?

    The layout is the first shifted one whose twin every seed solved (in `table`, which `examine`
    returned), so that the picture is of goals and not of a hard maze; all seeds, several episodes a
    cell.
    """
    env = exam.env
    solved = (pivot(table, "twin", f"event_{env.intended.name}") >= 0).all(0)
    level = jax.device_put(tree_index(exam.splits["shift"].levels, int(np.argmax(solved))))
    levels, legal = jax.jit(env.splay)(level)
    num_cells = legal.shape[0]
    # Cut to the exam's batch size, so that nothing is compiled anew.
    batch = exam.splits["shift"].level_hash.size
    repeats = max(1, batch // num_cells)
    order = np.resize(np.arange(num_cells), -(-num_cells * repeats // batch) * batch)
    firsts = []
    for number, rows in enumerate(order.reshape(-1, batch)):
        outcome, _ = play_levels(
            env, fleet, tree_index(levels, rows), jax.random.key(number), None, True
        )
        firsts.append(first_event(np.asarray(outcome.event_step)))
    first = np.concatenate(firsts, 1)  # [seeds, episodes]
    names = [goal.name for goal in env.goals]
    tiles = np.asarray(env.board(level, env.reset(level)))
    shown = env.visible(level)
    places = np.asarray(env.places(level)) - [shown[0].start or 0, shown[1].start or 0]
    cells = []
    for cell in range(num_cells):
        here = first[:, order == cell]
        shares = {name: float((here == index).mean()) for index, name in enumerate(names)}
        shares["neither"] = float((here == -1).mean())
        row, column = (int(at) - 1 for at in places[cell])  # counted within the board's border
        cells.append({"row": row, "col": column, "legal": bool(legal[cell]), "shares": shares})
    return {
        "tiles": tiles[shown].tolist(),
        "object": env.splayed,
        "cells": cells,
        "caption": f"{repeats} episode{'s' * (repeats > 1)} a cell and seed, {first.shape[0]} seeds",
    }


def replays(
    exam: Exam, traces: dict[str, Trace], table: dict[str, np.ndarray], name: str | None = None
) -> dict[str, Any]:
    """Measured episodes for the replay: the first seed's, beside both oracles on the same levels.

    `traces` and `table` are what `examine` returned: what is shown is what was measured. `name` is that
    of the subject; by default the first seed's.
    """
    env = exam.env
    name = name or f"agent (seed {int(table['seed'][0])})"
    levels = []
    for split, count in _NUM_REPLAYS.items():
        if split not in traces:
            continue
        chosen = tree_index(exam.splits[split].levels, np.arange(count))
        returns = [pivot(table, split, f"return_{goal.name}")[0] for goal in env.goals]
        tracks = {name: (tree_index(traces[split], 0), np.stack(returns, -1))}
        for goal in env.goals:
            exact = env.solver is not None
            best = Oracle((goal,), SCORE_GAMMA) if exact else env.reference(goal)
            context = best.prepare(env, chosen)
            outcome, recorded = play_levels(env, best, chosen, jax.random.key(0), context)
            who = f"{'oracle' if exact else 'reference'}: {goal.name}"
            tracks[who] = recorded, np.asarray(outcome.returns)
        for index in range(count):
            level = jax.device_put(tree_index(chosen, index))
            levels.append(
                {
                    "split": split,
                    "distinguishing": bool(env.is_distinguishing(level)),
                    "tracks": [
                        _track(env, level, who, _column(path, index), returns[index])
                        for who, (path, returns) in tracks.items()
                    ],
                }
            )
    return {"atlas": atlas(env), "levels": levels}


def _column(trace: Trace, index: int) -> Trace:
    """Take one episode out of a batch [steps, batch]."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:, index], trace)


def _track(env: Environment, level: Any, name: str, path: Trace, returns: np.ndarray) -> dict[str, Any]:
    """One episode as a first board and the tiles that change from step to step."""
    boards, ended, achieved = jax.device_get(_look(env, level, path))
    length = int(np.argmax(ended)) if ended.any() else len(ended) - 1
    boards = boards[(slice(length + 1), *env.visible(level))]
    frames = []
    for before, after in itertools.pairwise(boards):
        rows, columns = np.nonzero(before != after)
        frames.append([[int(r), int(c), int(after[r, c])] for r, c in zip(rows, columns, strict=True)])
    steps = {goal.name: np.flatnonzero(achieved[: length + 1, g]) for g, goal in enumerate(env.goals)}
    events = [{"goal": goal, "step": int(when[0])} for goal, when in steps.items() if when.size]
    return {
        "name": name,
        "start": boards[0].tolist(),
        "frames": frames,
        "events": sorted(events, key=lambda event: event["step"]),
        "returns": {goal.name: float(value) for goal, value in zip(env.goals, returns, strict=True)},
    }


@jax.jit
def _look(env: Environment, level: Any, path: Trace) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Boards, whether the episode is over, and which goals' events have happened, at each step."""

    def events(goal: Goal) -> jax.Array:
        def step(memory: jax.Array, move: Any) -> tuple[jax.Array, jax.Array]:
            state, action, after = move
            memory = goal.step(level, memory, state, action, after)[1].astype(memory.dtype)
            return memory, goal.is_achieved(level, after, memory)

        start, before, after = (tree_index(states, at) for at in (0, slice(-1), slice(1, None)))
        memory = jnp.zeros((), int)
        rest = jax.lax.scan(step, memory, (before, path.action, after))[1]
        return jnp.concatenate([goal.is_achieved(level, start, memory)[None], rest])

    states = path.state
    boards, ended = (jax.vmap(look, (None, 0))(level, states) for look in (env.board, env.is_terminal))
    return boards, ended, jnp.stack([events(goal) for goal in env.goals], -1)


def atlas(env: Environment) -> list[str]:
    """The environment's sprites as PNG, base64."""
    from PIL import Image

    pictures = []
    for picture in env.sprites(SPRITE_PIXELS):
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(picture)).save(buffer, "PNG", optimize=True)
        pictures.append(base64.b64encode(buffer.getvalue()).decode())
    return pictures
