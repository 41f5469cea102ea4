"""Exact regrets of optimizers of other goals, beside plain value iteration in NumPy, level by level.

Both work out what optimizers of the corner cost under the cheese, on 13x13 levels after the shift, for
all three ways of breaking ties, and must agree. `analyze` is the whole command, cold: a fresh process
without any compiled program.
"""

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np
from _timing import row, seconds

from goalgap import envs
from goalgap.core import tree_index
from goalgap.theory.underspecification import TIES, regrets

GAMMA, NUM_LEVELS, NUM_PLAIN = 0.99, 2048, 16


def numpy_regrets(walls: np.ndarray, mouse: int, cheese: int, horizon: int) -> list[float]:
    """Compute the regret under the cheese of the corner's optimizers: worst, mean and best ties.

    States are cells x "has been in the corner"; the cheese ends the episode.
    """
    size = len(walls)
    cells = np.arange(size**2).reshape(size, size)
    padded = np.pad(np.where(walls, -1, cells), 1, constant_values=-1)
    moved = np.stack([padded[:-2, 1:-1], padded[1:-1, :-2], padded[2:, 1:-1], padded[1:-1, 2:]], -1)
    successor = np.where(moved < 0, cells[..., None], moved).reshape(-1, 4)
    goes_on = np.where(successor == cheese, 0.0, GAMMA)
    been = np.stack([successor == 0, np.ones_like(successor, bool)], 1)  # afterwards [s, m, a]
    following = successor[:, None] * 2 + been
    pays_corner = np.stack([successor == 0, np.zeros_like(successor, bool)], 1).astype(float)
    pays_cheese = (successor == cheese).astype(float)

    def iterate(reward: np.ndarray, pick: Any) -> np.ndarray:
        value = np.zeros((size**2, 2))
        for _ in range(horizon):
            new = pick(reward + goes_on[:, None] * value.reshape(-1)[following])
            if (new == value).all():
                break
            value = new
        return value

    value = iterate(pays_corner, lambda q: q.max(-1))
    q = pays_corner + goes_on[:, None] * value.reshape(-1)[following]
    greedy = q >= q.max(-1, keepdims=True) - 1e-6
    reward = np.broadcast_to(pays_cheese[:, None], q.shape)
    optimum = iterate(reward, lambda q: q.max(-1))[mouse, 0]
    picks = {
        "worst": lambda q: np.where(greedy, q, np.inf).min(-1),
        "mean": lambda q: (q * greedy).sum(-1) / greedy.sum(-1),
        "best": lambda q: np.where(greedy, q, -np.inf).max(-1),
    }
    return [optimum - iterate(reward, picks[ties])[mouse, 0] for ties in TIES]


def bench() -> list[dict[str, Any]]:
    """Measure exact regrets beside NumPy's, and a whole analysis; return the rows of the table."""
    env = envs.Corner(size=13)
    keys = jax.random.split(jax.random.key(0), NUM_LEVELS)
    levels = jax.device_get(jax.jit(jax.vmap(env.shift().deploy.sample))(keys))

    def ours() -> Any:
        return regrets(env, (env.intended,), env.proxies, levels, GAMMA)

    def plain() -> np.ndarray:
        some = (tree_index(levels, index) for index in range(NUM_PLAIN))
        return np.array(
            [numpy_regrets(one.walls, int(one.mouse), int(one.cheese), env.max_steps) for one in some]
        )

    fast, slow = seconds(ours, plain, repeats=3)
    found = ours()
    same = np.stack([getattr(found, ties)[:NUM_PLAIN, 0, 0] for ties in TIES], -1)
    if not np.allclose(same, plain(), atol=2e-5):
        raise AssertionError("the regrets differ from NumPy's")
    note = "corner under cheese, 13x13, three ties; equal results"
    rows = [row("exact regrets", NUM_LEVELS / fast, NUM_PLAIN / slow, "levels/s", note)]
    return [*rows, *analyze()]


def analyze() -> list[dict[str, Any]]:
    """Measure the seconds of `goalgap analyze corner` from an empty compilation cache."""
    rows = []
    for options in ((), ("--grammar", "--levels", "512", "--size", "8")):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "goalgap", "analyze", "corner", *options, "--out", folder]
            environment = os.environ | {"GOALGAP_NO_CACHE": "1"}
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            took = time.perf_counter() - began
        what = " ".join(["analyze corner", *options])
        rows.append(
            row(what, took, None, "seconds", "less is better; cold, 2,000 levels of 13x13 by default")
        )
    return rows
