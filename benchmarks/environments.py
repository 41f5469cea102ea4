"""Steps, levels and exact play a second, 13x13, batch 1024, beside plain references.

The reference steps as the peers do: actions drawn inside the loop, a fresh level sampled at every step
and taken where an episode ended, the Boolean observation stored. Ours is `rollout.stream`: noise drawn
in a block, levels from a bank; once storing the same observation, once what the learner needs to make
it (the state and the level's place in the bank). The reference of exact play is value iteration in
NumPy, level by level.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _timing import row, seconds

from goalgap import envs, oracle
from goalgap.agents.scripted import Random
from goalgap.core import Environment, tree_index
from goalgap.rollout import select, start_stream, stream

BATCH, STEPS, BANK = 1024, 128, 8192


class Looker(Random):
    """Act at random, and have the observation stored."""

    def view(self, env: Any, situation: Any, context: Any) -> Any:
        return jax.vmap(env.observe)(situation.level, situation.state)

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Any:
        return super().__call__(observation[:, 0, 0, 0], memory)


class Noter(Random):
    """Act at random, and have the state stored, from which (with the level) the observation follows."""

    def view(self, env: Any, situation: Any, context: Any) -> Any:
        return situation.state

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Any:
        return super().__call__(observation.position, memory)


def ours(env: Environment, policy: Random) -> Any:
    """Make a call that plays a batch of lanes by `rollout.stream`."""
    bank = sample(env, BANK)
    at = start_stream(env, policy, tree_index(bank, np.arange(BATCH)))
    play = jax.jit(lambda at, bank, key: stream(env, env.intended, policy, at, bank, key, STEPS)[1])
    return lambda: play(at, bank, jax.random.key(0))


def sample(env: Environment, count: int) -> Any:
    """Draw training levels."""
    return jax.jit(jax.vmap(env.shift().train.sample))(jax.random.split(jax.random.key(1), count))


def reference(env: Environment) -> Any:
    """Make a call that plays at random, written the plain way."""
    levels = sample(env, BATCH)

    def step(carry: Any, key: Any) -> Any:
        level, state, time = carry
        action_key, level_key = jax.random.split(key)
        action = jax.random.randint(action_key, (BATCH,), 0, env.num_actions)
        following = jax.vmap(env.step)(level, state, action)
        reward = jax.vmap(env.intended.reward)(level, state, action, following)
        done = jax.vmap(env.is_terminal)(level, following) | (time + 1 >= env.max_steps)
        fresh = jax.vmap(env.shift().train.sample)(jax.random.split(level_key, BATCH))
        level = select(done, fresh, level)
        state = select(done, jax.vmap(env.reset)(fresh), following)
        carry = (level, state, jnp.where(done, 0, time + 1))
        return carry, (jax.vmap(env.observe)(level, state), action, reward, done)

    @jax.jit
    def play(levels: Any, key: Any) -> Any:
        start = (levels, jax.vmap(env.reset)(levels), jnp.zeros(BATCH, int))
        return jax.lax.scan(step, start, jax.random.split(key, STEPS))[1]

    return lambda: play(levels, jax.random.key(0))


def numpy_values(walls: np.ndarray, goal: int, gamma: float, horizon: int) -> np.ndarray:
    """Compute V* of reaching a cell that ends the episode, by plain value iteration."""
    size = walls.shape[0]
    value = np.zeros((size, size))
    target = np.zeros((size, size), bool)
    target.reshape(-1)[goal] = True
    for _ in range(horizon):
        worth = np.where(target, 1.0, gamma * value)
        best = np.zeros_like(value)
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            moved, blocked = np.roll(worth, shift, axis), np.roll(walls, shift, axis)
            edge = (slice(None),) * axis + (0 if shift == 1 else -1,)
            blocked[edge] = True
            best = np.maximum(best, np.where(blocked, gamma * value, moved))
        if (best == value).all():
            break
        value = best
    return value


def bench() -> list[dict[str, Any]]:
    """Measure stepping and exact play beside plain references; return the rows of the table."""
    rows = []
    kinds: tuple[Any, ...] = (envs.Corner, envs.Dish, envs.Keys, envs.Line)
    for kind in kinds:
        env = kind(size=13)
        times = seconds(
            ours(env, Looker(env.num_actions)), ours(env, Noter(env.num_actions)), reference(env)
        )
        looked, noted, plain = (BATCH * STEPS / t for t in times)
        rows.append(row(f"{env.name}: step, observation stored", looked, plain, "steps/s"))
        rows.append(row(f"{env.name}: step, state stored", noted, plain, "steps/s"))
        keys = jax.random.split(jax.random.key(2), BATCH)
        draw = jax.jit(jax.vmap(env.shift().train.sample))
        (drawn,) = seconds(lambda draw=draw, keys=keys: draw(keys))
        rows.append(row(f"{env.name}: level generation", BATCH / drawn, None, "levels/s"))
    rows.append(exact_play())
    return rows


def exact_play() -> dict[str, Any]:
    """Measure exact play beside NumPy's value iteration. Raises AssertionError where values differ."""
    env = envs.Corner(size=13)
    levels = sample(env, BATCH)
    walls, goals = np.asarray(levels.walls), np.asarray(levels.cheese)

    def plain() -> list[np.ndarray]:
        return [numpy_values(walls[i], goals[i], 0.999, env.max_steps) for i in range(64)]

    def batched() -> Any:
        return solve(env, levels)

    solve = jax.jit(lambda env, levels: oracle.solve(env, env.intended, levels, 0.999).action_values)
    fast, slow = seconds(batched, plain, repeats=3)
    expected = np.stack([value.reshape(-1)[m] for value, m in zip(plain(), levels.mouse, strict=False)])
    found = oracle.start_values(env, env.intended, levels, 0.999)[:64]
    if not np.allclose(found, expected, atol=1e-5):
        raise AssertionError("the exact values differ from NumPy's")
    note = "V*, Q* of one goal; equal results"
    return row("corner: exact play", BATCH / fast, 64 / slow, "levels/s", note)
