"""Compare a trained agent's play in our game with its play in the original one."""

from typing import Any

import jax
import numpy as np

from .. import stats
from ..core import UsageError, tree_index
from ..envs import CoinRun
from ..measure import SCORE_GAMMA
from ..rollout import episodes
from ..runs import load_models
from ..store import RunFolder
from .engine_episodes import measure

START_LEVEL = 1_000_000  # level seeds that no run trains on by default


def compare(
    folder: RunFolder, num_levels: int = 200, start_level: int = START_LEVEL, python: str | None = None
) -> list[dict[str, Any]]:
    """Compare how often each event happens in our game and in the engine, for each split.

    Both play the same levels, with the training seeds pooled. Each row has Wilson's intervals of both
    shares of episodes, and says whether they are alike: the difference is within its 95 % interval of 0.

    Splits: "train" are the engine's own levels, "shift" the same with the coin moved to a section.
    Events: coin, end, coin first, end first, death. Raises UsageError where there is no engine (`python`
    names the one that has it) and for runs of other games.
    """
    experiment = folder.experiment
    if not isinstance(experiment.contest, CoinRun):
        raise UsageError(
            f"{folder.path.name} is of {experiment.contest.name}; the engine is for coinrun"
        )
    fleet = load_models(folder)
    shares: dict[tuple[str, str], list[np.ndarray]] = {}
    for index, seed in enumerate(experiment.seeds):
        policy = tree_index(fleet, index)
        key = jax.random.key(seed)
        found = measure(experiment.contest, policy, key, num_levels, start_level, python)
        for split, (played, levels) in found.items():
            outcome = jax.device_get(_ours(experiment.contest, policy, levels, key))
            ours = _events(outcome.event_step, outcome.extras["died"])
            theirs = _events(played.event_step, played.died)
            for event, pair in {event: (ours[event], theirs[event]) for event in ours}.items():
                shares.setdefault((split, event), []).append(np.stack(pair))
    return [_row(split, event, np.concatenate(parts, 1)) for (split, event), parts in shares.items()]


@jax.jit
def _ours(env: CoinRun, policy: Any, levels: Any, key: Any) -> Any:
    return episodes(env, policy, levels, key, SCORE_GAMMA)[0]


def _events(steps: np.ndarray, died: np.ndarray) -> dict[str, np.ndarray]:
    """Mark the episodes in which each event happens, from the steps of coin and end (-1: never)."""
    coin, end = steps[:, 0] >= 0, steps[:, 1] >= 0
    return {
        "coin": coin,
        "end": end,
        "coin first": coin & (~end | (steps[:, 0] <= steps[:, 1])),
        "end first": end & (~coin | (steps[:, 1] < steps[:, 0])),
        "death": np.asarray(died),
    }


def _row(split: str, event: str, happened: np.ndarray) -> dict[str, Any]:
    """Compare one event: `happened` is [ours and theirs, episodes].

    Levels are shared, so the difference is one of pairs.
    """
    n = happened.shape[1]
    ours, theirs = (stats.share(event, int(row.sum()), n, "episodes") for row in happened)
    difference = happened[0].astype(float) - happened[1]
    margin = 1.96 * difference.std(ddof=1) / n**0.5
    return {
        "split": split,
        "event": event,
        "ours": ours._asdict(),
        "engine": theirs._asdict(),
        "difference": float(difference.mean()),
        "margin": float(margin),
        "alike": bool(abs(difference.mean()) <= margin),
    }
