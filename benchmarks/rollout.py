"""Random play a second at 13x13, batch 1024, stored so that a learner has every observation.

The reference is a plain loop that stores the Boolean observation of every step, as `rollout.stream` did
before it yielded states and places of levels; noise drawn in a block and levels out of a bank, as in
ours. Three rows an environment: what must be stored (states, places, and what was done); the same and
the observations made from it in one batch; and, beside both, the observations stored in the loop.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _timing import row, seconds

from goalgap import envs
from goalgap.agents.networks import MLP
from goalgap.agents.scripted import Random
from goalgap.core import Environment, tree_index
from goalgap.rollout import Steps, at_places, observations, select, start_stream, stream

BATCH, STEPS, BANK = 1024, 64, 4096


class Looker(Random):
    """Act at random, but look at the observation."""

    def view(self, env: Any, situation: Any, context: Any) -> Any:
        return jax.vmap(env.observe)(situation.level, situation.state)

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Any:
        return super().__call__(observation[:, 0, 0, 0], memory)


def sample(env: Environment) -> Any:
    """Draw training levels."""
    return jax.jit(jax.vmap(env.shift().train.sample))(jax.random.split(jax.random.key(1), BANK))


def ours(env: Environment, bank: Any, policy: Random, how: str) -> Any:
    """Make a call that plays and yields what must be stored.

    Observations are "made" from that, or "kept" in the loop (`how`); else there are none.
    """
    looker = Looker(env.num_actions)
    start = start_stream(env, policy, tree_index(bank, np.arange(BATCH)))

    @jax.jit
    def play(at: Any, bank: Any, key: Any) -> tuple[Steps, Any]:
        _, steps, _ = stream(env, env.intended, policy, at, bank, key, STEPS)
        slim = steps._replace(observation=())
        if how == "made":
            return slim, observations(env, looker, at_places(at, bank), steps)
        return slim, steps.observation if how == "kept" else ()

    return lambda: play(start, bank, jax.random.key(0))


def reference(env: Environment, bank: Any) -> Any:
    """Make a call that plays at random, written the plain way, each step's observation stored."""
    levels = tree_index(bank, np.arange(BATCH))
    lanes = jnp.arange(BATCH)

    @jax.jit
    def play(levels: Any, bank: Any, key: Any) -> Any:
        noise = jax.random.gumbel(key, (STEPS, BATCH, env.num_actions))
        everything = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), levels, bank)

        def step(carry: Any, inputs: Any) -> Any:
            place, state, memory, number = carry
            time, gumbel = inputs
            level = tree_index(everything, place)
            seen = jax.vmap(env.observe)(level, state)
            action = jnp.argmax(gumbel, -1)
            after = jax.vmap(env.step)(level, state, action)
            reward, next_memory = jax.vmap(env.intended.step)(level, memory, state, action, after)
            done = jax.vmap(env.is_terminal)(level, after) | (number + 1 >= env.max_steps)
            fresh = BATCH + (time * BATCH + lanes) % BANK
            new = jax.vmap(env.reset)(tree_index(everything, fresh))
            carry = (
                jnp.where(done, fresh, place),
                select(done, new, after),
                jnp.where(done, 0, next_memory),
                jnp.where(done, 0, number + 1),
            )
            return carry, (seen, action, reward, done)

        zeros = jnp.zeros(BATCH, int)
        start = (lanes, jax.vmap(env.reset)(levels), zeros, zeros)
        return jax.lax.scan(step, start, (jnp.arange(STEPS), noise))[1]

    return lambda: play(levels, bank, jax.random.key(0))


def acting(env: Environment, bank: Any) -> list[dict[str, Any]]:
    """Measure what a rollout pays to store the observations that the learner's network reads anyway."""
    policy = MLP().new(env, 0)
    lines = {how: ours(env, bank, policy, how) for how in ("state", "kept")}  # type: ignore[arg-type]
    state, kept = seconds(*lines.values(), repeats=3)
    what = f"{env.name}: dense network acts, observation kept, beside state only"
    return [row(what, BATCH * STEPS / kept, BATCH * STEPS / state, "steps/s")]


def bench() -> list[dict[str, Any]]:
    """Measure rollouts with observations beside the plain way; return the rows of the table."""
    rows = []
    for env in (envs.Corner(size=13), envs.Dish(size=13), envs.Keys(size=13)):
        bank, blind = sample(env), Random(env.num_actions)
        times = seconds(
            ours(env, bank, blind, "state"),
            ours(env, bank, blind, "made"),
            ours(env, bank, Looker(env.num_actions), "kept"),
            reference(env, bank),
            repeats=3,
        )
        *rates, plain = (BATCH * STEPS / time for time in times)
        names = ("state and level stored", "the same, then all observed", "observation kept in the loop")
        rows += [
            row(f"{env.name}: {name}", rate, plain, "steps/s")
            for name, rate in zip(names, rates, strict=True)
        ]
        rows += acting(env, bank)
    return rows


if __name__ == "__main__":
    for line in bench():
        ratio, rates = line["ratio"], f"{line['ours']:12,.0f} beside {line['reference']:12,.0f}"
        print(f"{line['what']:60s} {rates}: {ratio:5.2f}x")
