"""CoinRun beside the original engine (procgen-mirror), in the same run: steps per second of CPU time.

Both play random actions in hard mode; what a step costs includes the levels that finished episodes
need. The packaged engine cannot be told not to draw, so its one figure, with 64x64 pictures, stands
beside ours without drawing, with the symbolic observation and with 64x64 pictures. CPU time is of all
threads of the process (of the engine's: of the process that it runs in).

Where the engine is not installed (`goalgap.original` says how), its columns stay empty.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _timing import row

from goalgap.agents.scripted import Random
from goalgap.core import UsageError, tree_index
from goalgap.envs import CoinRun
from goalgap.original.engine import Engine
from goalgap.rollout import select, start_stream, stream

BATCH, STEPS, REPEATS = 1024, 64, 5
ENGINE_BATCH, ENGINE_STEPS = 64, 256
FRESH = BATCH * STEPS // 32  # levels drawn for each call; more than random play finishes (checked)


class Looker(Random):
    """Act at random, but have the observation made and stored nevertheless."""

    def view(self, env: Any, situation: Any, context: Any) -> Any:
        return jax.vmap(env.observe)(situation.level, situation.state)

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Any:
        return super().__call__(observation[:, 0, 0, 0], memory)


def ours(env: CoinRun, policy: Random) -> float:
    """Measure our steps per second of CPU time, with the levels used up drawn in the timing."""
    draw = jax.jit(jax.vmap(env.shift().train.sample))

    def sample(seed: int) -> Any:
        return draw(jax.random.split(jax.random.key(seed), FRESH))

    at = start_stream(env, policy, tree_index(sample(0), np.arange(BATCH)))
    play = jax.jit(lambda at, bank, key: stream(env, env.intended, policy, at, bank, key, STEPS)[:2])

    def once(number: int) -> int:
        nonlocal at
        at, steps = jax.block_until_ready(play(at, sample(number), jax.random.key(number)))
        return int(steps.terminated.sum() + (~steps.is_valid).sum())

    finished = once(1)
    assert finished <= FRESH, f"{finished} episodes ended, but only {FRESH} levels were drawn"
    return BATCH * STEPS / per_call(lambda: once(2))


def pictures(env: CoinRun) -> float:
    """Measure our steps with 64x64 pictures per second of CPU time.

    As in the engine, each picture takes the place of the one before (to store them all is to wait for
    fresh memory).
    """
    draw = jax.jit(jax.vmap(env.shift().train.sample))

    def play(bank: Any, key: Any) -> Any:
        places = jnp.arange(BATCH)

        def step(carry: Any, inputs: Any) -> Any:
            place, state, _ = carry
            action, number = inputs
            state = jax.vmap(env.step)(tree_index(bank, place), state, action)
            over = jax.vmap(env.is_terminal)(tree_index(bank, place), state)
            place = jnp.where(over, (place + (number + 1) * 37) % FRESH, place)
            now = tree_index(bank, place)
            state = select(over, jax.vmap(env.reset)(now), state)
            return (place, state, jax.vmap(env.rgb)(now, state)), over.sum()

        actions = jax.random.randint(key, (STEPS, BATCH), 0, env.num_actions)
        frames = jnp.zeros((BATCH, 64, 64, 3), jnp.uint8)
        start = places, jax.vmap(env.reset)(tree_index(bank, places)), frames
        return jax.lax.scan(step, start, (actions, jnp.arange(STEPS)))

    play = jax.jit(play)

    def once(number: int) -> Any:
        bank = draw(jax.random.split(jax.random.key(number), FRESH))
        return jax.block_until_ready(play(bank, jax.random.key(number)))

    finished = int(once(1)[1].sum())
    assert finished <= FRESH, f"{finished} episodes ended, but only {FRESH} levels were drawn"
    return BATCH * STEPS / per_call(lambda: once(2))


def per_call(function: Callable[[], Any]) -> float:
    """Measure the least CPU time of a call, in seconds."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time()
        function()
        best = min(best, time.process_time() - began)
    return best


def theirs() -> float | None:
    """Measure the engine's steps per second of its CPU time; None where there is no engine."""
    try:
        engine = Engine("coinrun", "hard", ENGINE_BATCH)
    except UsageError as error:
        print(error, file=sys.stderr)
        return None
    with engine:
        seconds = min(engine.race(ENGINE_STEPS) for _ in range(REPEATS))
    return ENGINE_BATCH * ENGINE_STEPS / seconds


def bench() -> list[dict[str, Any]]:
    """Measure steps of CoinRun beside the original engine's; return the rows of the table."""
    engine = theirs()
    symbolic = CoinRun()
    unit, drawn = "steps/CPU s", "the engine draws 64x64; it cannot be told not to"
    rows = [
        row("coinrun: step, nothing drawn", ours(symbolic, Random(9)), engine, unit, drawn),
        row("coinrun: step, symbolic observation", ours(symbolic, Looker(9)), engine, unit, drawn),
        row("coinrun: step, 64x64 RGB", pictures(symbolic), engine, unit, "both draw 64x64"),
    ]
    draw = jax.jit(jax.vmap(symbolic.shift().train.sample))
    keys = jax.random.split(jax.random.key(3), 4 * BATCH)
    jax.block_until_ready(draw(keys))
    drawing = per_call(lambda: jax.block_until_ready(draw(keys)))
    return [*rows, row("coinrun: level generation", len(keys) / drawing, None, "levels/CPU s")]
