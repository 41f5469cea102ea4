"""Record the running engine: levels and play, in the form of the recordings that `recordings` compares.

The fields are those of `levels_*` and `traj_*`; see `original.recordings` for the names, and `coinrun`,
`maze` and `heist` beside it for what each family of games has.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Int

from .engine import Engine
from .saved import Saved

Fields = dict[str, Any]  # arrays and numbers of NumPy's
LEVEL_ROW = ("type", "x", "y", "vx", "vy", "rx", "ry", "image_type", "theme", "render_z")
ENEMY, LOCK, KEY, GEM = 5, 1, 2, 9  # the engine's types of entities
COIN, HIDDEN, CHEESE, DISTRACTOR = 1, -1, 2, 3  # the engine's tiles


def levels(engine: Engine, seeds: Int[np.ndarray, " n"]) -> Fields:
    """Record the levels of some level seeds, as they begin."""
    rows = [_level(saved) for batch in _batches(seeds, engine.num) for saved in engine.begin(batch)]
    return {"seed": np.asarray(seeds), **_stack(rows[: len(seeds)])}


def replay(engine: Engine, seeds: Int[np.ndarray, " n"], actions: Int[np.ndarray, "n t"]) -> Fields:
    """Record what Procgen's actions [levels, steps] do on the levels of some level seeds.

    Where an episode ends, its level begins again within the step.
    """
    parts = []
    for at, batch in enumerate(_batches(seeds, engine.num)):
        rows = np.arange(at * engine.num, (at + 1) * engine.num) % len(seeds)
        parts.append(_replay(engine, batch, actions[rows]))
    played = {name: _concatenate([part[name] for part in parts])[: len(seeds)] for name in parts[0]}
    return {"seed": np.asarray(seeds), "action": np.asarray(actions), **played}


def random_actions(
    game: str, seeds: Int[np.ndarray, " n"], num_steps: int, seed: int = 0
) -> Int[np.ndarray, "n t"]:
    """Draw actions to play: any of the 15 on even level seeds, moves held for a while on odd ones.

    The held moves go, in CoinRun, mostly to the right and up, so that play gets somewhere.
    """
    random = np.random.default_rng(seed)
    shape = (len(seeds), num_steps)
    weights = np.ones(9)
    if game == "coinrun":
        weights[[5, 7, 8]] = 2, 6, 6
    fresh = random.choice(9, shape, p=weights / weights.sum())
    # A step in five, a new move is chosen; until then the last one holds.
    changes = random.random(shape) < 0.2
    changes[:, 0] = True
    last = np.maximum.accumulate(np.where(changes, np.arange(num_steps), 0), 1)
    held = np.take_along_axis(fresh, last, 1)
    return np.where(np.asarray(seeds)[:, None] % 2 == 0, random.integers(0, 15, shape), held)


def _batches(seeds: Int[np.ndarray, " n"], num: int) -> Iterator[np.ndarray]:
    """Yield the seeds in batches of `num`; the last one is filled up with the first seeds."""
    for at in range(0, len(seeds), num):
        yield np.asarray(seeds)[np.arange(at, at + num) % len(seeds)]


def _level(saved: Saved) -> Fields:
    agent = saved.agent
    return {
        "grid": saved.grid.astype(np.int16),
        "agent": np.array([agent[name] for name in LEVEL_ROW[1:7]], np.float32),
        "ents": saved.rows(*LEVEL_ROW),
        "n_ents": np.int16(len(saved.others)),
        "background_index": np.int16(saved["background"]),
        "bg_pct_x": np.float32(saved["background_x"]),
        "mt_index": np.int16(saved.words_read),
        **_OWN[saved.game](saved),
    }


def _coinrun(saved: Saved) -> Fields:
    return {
        "wall_theme": np.int16(saved["ground"]),
        "agent_theme": np.int16(saved.agent["theme"]),
        "coin_xy": _find(saved, COIN),
        "invisible_coin_xy": _find(saved, HIDDEN),
    }


def _maze(saved: Saved) -> Fields:
    return {
        "maze_dim": np.int16(saved["maze_side"]),
        "world_dim": np.int16(saved["world_side"]),
        "goal_xy": _find(saved, CHEESE),
        "distractor_xy": _find(saved, DISTRACTOR),
    }


def _heist(saved: Saved) -> Fields:
    return {"world_dim": np.int16(saved["world_side"]), "num_keys": np.int16(saved["num_keys"])}


_OWN: dict[str, Callable[[Saved], Fields]] = {"coinrun": _coinrun, "maze": _maze, "heist": _heist}


def _find(saved: Saved, code: int) -> Int[np.ndarray, "2"]:
    """Find the tile (x, y) with a code; (-1, -1) where there is none."""
    found = np.argwhere(saved.grid == code)
    return (found[0, ::-1] if len(found) else np.array([-1, -1])).astype(np.int16)


def _replay(engine: Engine, seeds: np.ndarray, actions: np.ndarray) -> Fields:
    moments, said = [[_moment(saved) for saved in engine.begin(seeds)]], []
    for column in actions.T:
        said.append(engine.step(column))
        moments.append([_moment(saved) for saved in engine.states()])
    shown = [_stack(list(lane)) for lane in zip(*moments, strict=True)]
    return {
        **_stack(shown),
        **{name: np.stack([getattr(step, name) for step in said], 1) for name in said[0]._fields},
    }


def _moment(saved: Saved) -> Fields:
    """Record one step: what every `traj_*` has, and what its game adds."""
    agent = saved.agent
    shown = {
        "agent": np.array([agent[name] for name in ("x", "y", "vx", "vy")], np.float32),
        "mt_index": np.int16(saved.words_read),
        "cur_time": np.int16(saved["time"]),
    }
    if saved.game == "coinrun":
        shown["flags"] = np.array([saved[n] for n in ("supported", "on_crate", "facing_right")], np.int8)
        shown["ents"] = saved.rows("type", "x", "y", "vx")[saved.others["type"] == ENEMY]
    if saved.game == "heist":
        there = np.isin(saved.others["type"], (LOCK, KEY, GEM))
        shown["ents"] = saved.rows("type", "x", "y", "theme")[there]
    if "ents" in shown:
        shown["n_ents"] = np.int16(len(shown["ents"]))
    return shown


def _stack(rows: list[Fields]) -> Fields:
    return {name: _concatenate([np.asarray(row[name])[None] for row in rows]) for name in rows[0]}


def _concatenate(arrays: list[np.ndarray]) -> np.ndarray:
    """Join arrays; where they hold different numbers of entities, not-a-number pads the shorter ones."""
    if arrays[0].dtype.kind == "f" and arrays[0].ndim > 2:
        width = max(array.shape[-2] for array in arrays)
        arrays = [
            np.pad(
                array,
                [(0, 0)] * (array.ndim - 2) + [(0, width - array.shape[-2]), (0, 0)],
                constant_values=np.nan,
            )
            for array in arrays
        ]
    return np.concatenate(arrays)
