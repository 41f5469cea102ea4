"""What a reader looks at: a heatmap of one layout, and recorded episodes beside the oracles'."""

import base64
import functools
import io
import itertools
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Int

from ..compilation import QUICKLY
from ..core import Environment, Level, Policy, State, tree_index
from .exam import Table, first_outcome, outcome_names, pivot
from .playing import play_levels, seeded

SPRITE_PIXELS = 24
_NUM_REPLAYS = {"shift": 5, "train": 2}


def splay(exam: Any, fleet: Policy, table: Table) -> dict[str, Any]:
    """Map on one layout which goal the agents achieve first, by the cell to which the object is moved.

    The layout is the first shifted one whose twin every seed solved (in `table`, what `examine`
    returned), so that the picture is of goals and not of a hard maze; all seeds, some episodes a cell.
    """
    env = exam.env
    solved = (pivot(table, "twin", f"event_{env.intended.name}") >= 0).all(0)
    level = tree_index(exam.splits["shift"].levels, int(np.argmax(solved)))
    levels, legal, places, tiles = jax.device_get(_moved(env, level))
    num_cells = legal.shape[0]
    # Cut to the exam's batch size, so that nothing is compiled anew.
    batch = exam.splits["shift"].level_hash.size
    repeats = max(1, batch // num_cells)
    order = np.resize(np.arange(num_cells), -(-num_cells * repeats // batch) * batch)
    firsts = []
    for number, rows in enumerate(order.reshape(-1, batch)):
        moved, key = tree_index(levels, rows), seeded(number)
        outcome, _ = play_levels(env, fleet, moved, key, fleet.prepare(env, moved), True)
        firsts.append(first_outcome(np.asarray(outcome.event_step)))
    first = np.concatenate(firsts, 1)  # [seeds, episodes]
    shown = env.visible(level)
    places = places - [shown[0].start or 0, shown[1].start or 0]
    cells = []
    for cell in range(num_cells):
        here = first[:, order == cell]
        names = outcome_names(tuple(goal.name for goal in env.goals))
        shares = {name: float((here == index).mean()) for index, name in enumerate(names)}
        row, column = (int(at) - 1 for at in places[cell])  # counted within the board's border
        cells.append({"row": row, "col": column, "legal": bool(legal[cell]), "shares": shares})
    return {
        "tiles": tiles[shown].tolist(),
        "object": env.splayed,
        "cells": cells,
        "caption": f"{repeats} episode{'s' * (repeats > 1)} a cell and seed, {first.shape[0]} seeds",
    }


@functools.partial(jax.jit, compiler_options=QUICKLY)
def _moved(
    env: Environment, level: Level
) -> tuple[Level, Bool[Array, " cells"], Int[Array, "cells 2"], Int[Array, "h w"]]:
    """Splay a level; give also the cells' places on the board, and the board."""
    return *env.splay(level), env.places(level), env.board(level, env.reset(level))


class _Track(NamedTuple):
    """Hold episodes of somebody on some levels; `path` has their states, [steps + 1, levels]."""

    name: str
    path: State
    length: Int[np.ndarray, " n"]
    event_step: Int[np.ndarray, "n g"]
    returns: np.ndarray  # [n g]


def replays(
    exam: Any, records: dict[str, State], table: Table, name: str | None = None
) -> dict[str, Any]:
    """Record measured episodes of the first seed, beside those of the goals' best players, as JSON.

    `records` and `table` are what `examine` returned: what is shown is what was measured. `name` is that
    of a single subject; by default the first seed's.
    """
    env, shown = exam.env, []
    name = name or f"agent (seed {int(table['seed'][0])})"
    for split, count in _NUM_REPLAYS.items():
        if split not in records:
            continue
        chosen = tree_index(exam.splits[split].levels, np.arange(count))
        subject = _subject_track(exam, records[split], table, split, name)
        tracks = [subject, *_players_tracks(exam, chosen)]
        for index in range(count):
            level = tree_index(chosen, index)
            frames = [_frames(env, level, track, index) for track in tracks]
            told = bool(_is_distinguishing(env, level))
            shown.append({"split": split, "distinguishing": told, "tracks": frames})
    return {"atlas": atlas(env), "levels": shown}


def _subject_track(exam: Any, path: State, table: Table, split: str, name: str) -> _Track:
    """Give the first seed's episodes, as the table has them."""

    def column(of: str) -> np.ndarray:
        return np.stack([pivot(table, split, f"{of}_{goal.name}")[0] for goal in exam.env.goals], -1)

    lengths = pivot(table, split, "length")[0].astype(int)
    return _Track(name, path, lengths, column("event").astype(int), column("return"))


def _players_tracks(exam: Any, levels: Level) -> list[_Track]:
    """Give an episode of each goal's best known player on each level."""
    outcome, path = exam.players.paths(levels, 0)
    played = (path, outcome.length, outcome.event_step, outcome.returns)
    goals = enumerate(exam.env.goals)
    who = exam.players.title
    return [_Track(f"{who}: {goal.name}", *tree_index(played, g)) for g, goal in goals]


@jax.jit
def _is_distinguishing(env: Environment, level: Level) -> Bool[Array, ""]:
    return env.is_distinguishing(level)


def _frames(env: Environment, level: Level, track: _Track, index: int) -> dict[str, Any]:
    """Show one episode as a first board and the tiles that change from step to step."""
    path = jax.tree.map(lambda leaf: np.asarray(leaf)[:, index], track.path)
    boards = np.asarray(_boards(env, level, path))
    boards = boards[(slice(track.length[index] + 1), *env.visible(level))]
    frames = []
    for before, after in itertools.pairwise(boards):
        rows, columns = np.nonzero(before != after)
        frames.append([[int(r), int(c), int(after[r, c])] for r, c in zip(rows, columns, strict=True)])
    named = list(zip(env.goals, track.event_step[index], track.returns[index], strict=True))
    events = [{"goal": goal.name, "step": int(step)} for goal, step, _ in named if step >= 0]
    return {
        "name": track.name,
        "start": boards[0].tolist(),
        "frames": frames,
        "events": sorted(events, key=lambda event: event["step"]),
        "returns": {goal.name: float(value) for goal, _, value in named},
    }


@jax.jit
def _boards(env: Environment, level: Level, path: State) -> Int[Array, "steps h w"]:
    return jax.vmap(env.board, (None, 0))(level, path)


def atlas(env: Environment) -> list[str]:
    """Draw an environment's sprites, in their order, as PNGs in base64."""
    from PIL import Image

    found = []
    for picture in np.asarray(env.sprites(SPRITE_PIXELS)):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", optimize=True)
        found.append(base64.b64encode(buffer.getvalue()).decode())
    return found
