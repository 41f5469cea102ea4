"""Play a goal's exact solution: the policy by which instruments are calibrated."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..core import (
    Context,
    Decision,
    Environment,
    Goal,
    Level,
    Memory,
    Observation,
    Patch,
    Policy,
    Situation,
    State,
)
from .solver import solve

TOLERANCE = 1e-6  # actions this close to the best one are as good


class Oracle(Policy):
    """Plays optimally for its first goal while there is anything left to gain, then for the next.

    Ties are broken uniformly. When nothing is left for any goal it stands still where it can, so that
    a perfect corner-seeker stays in its corner. It sees the state itself, not the observation.
    """

    goals: tuple[Goal, ...]
    gamma: float = eqx.field(static=True, default=0.999)
    heedless: bool = eqx.field(static=True, default=False)

    def prepare(self, env: Environment, levels: Level) -> Context:
        return tuple(solve(env, goal, levels, self.gamma, self.heedless) for goal in self.goals)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        """Q* under each goal [batch, goals, actions], and which actions change nothing."""

        def look(level: Level, state: State, memories: Any, rows: Any) -> tuple[Array, Array]:
            by_name = dict(zip((goal.name for goal in env.goals), memories, strict=True))
            q = [
                row.q(env, level, state, by_name[goal.name])
                for goal, row in zip(self.goals, rows, strict=True)
            ]
            stays = jax.vmap(
                lambda action: jax.tree.reduce(
                    jnp.logical_and,
                    jax.tree.map(lambda a, b: (a == b).all(), env.step(level, state, action), state),
                )
            )(jnp.arange(env.num_actions))
            return jnp.stack(q), stays

        return jax.vmap(look)(situation.level, situation.state, situation.goal_memories, context)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        q, stays = observation
        best = q.max(-1)
        first = jnp.argmax(best > TOLERANCE, -1)  # 0 when there is none
        q = jnp.take_along_axis(q, first[:, None, None], 1)[:, 0]
        value = jnp.take_along_axis(best, first[:, None], 1)[:, 0]
        idle = stays | ~stays.any(-1, keepdims=True)
        good = jnp.where(value[:, None] > TOLERANCE, is_greedy(q), jnp.asarray(idle))
        logits = jnp.where(good, 0.0, -jnp.inf)
        return Decision(logits, value, memory, {})


def is_greedy(q: Float[Array, "*b a"]) -> Bool[Array, "*b a"]:
    """Which actions are as good as the best."""
    best = q.max(-1, keepdims=True)
    return q >= best - TOLERANCE * jnp.maximum(1.0, jnp.abs(best))
