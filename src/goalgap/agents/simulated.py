"""Make subjects out of players: noisy, broken and with goals that nobody listed.

What they want and can do is known, so that instruments can be tried on them (`goalgap study verdict`).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import oracle
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
from ..oracle import Oracle
from ..oracle.policy import decide, stays
from .wrappers import WrappedPolicy


class Noisy(WrappedPolicy):
    """Play as somebody, but take a share of the moves at random."""

    share: Float[Array, ""]

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        decision = super().__call__(observation, memory, patch)
        chance = jax.nn.softmax(decision.logits)
        mixed = (1 - self.share) * chance + self.share / chance.shape[-1]
        return decision._replace(logits=jnp.log(mixed))


class Reversed(WrappedPolicy):
    """Play as somebody who sees the world the wrong way round: each move is its opposite."""

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        decision = super().__call__(observation, memory, patch)
        return decision._replace(logits=decision.logits[..., ::-1])


class Brief(WrappedPolicy):
    """Play as somebody whose sight ends after some steps: all later moves are random."""

    steps: int = eqx.field(static=True)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        return super().view(env, situation, context), situation.step

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        seen, step = observation
        decision = super().__call__(seen, memory, patch)
        return decision._replace(logits=jnp.where((step < self.steps)[:, None], decision.logits, 0.0))


class Unplanned(Oracle):
    """Play as though there were no walls: greedy, without planning."""

    def prepare(self, env: Environment, levels: Level) -> Context:
        walls = jnp.zeros_like(levels.walls)
        return super().prepare(env, eqx.tree_at(lambda level: level.walls, levels, walls))


class Where(Policy):
    """Play as one where goals come apart, and as another elsewhere: a goal that training never shows."""

    apart: Policy
    together: Policy

    def prepare(self, env: Environment, levels: Level) -> Context:
        return self.apart.prepare(env, levels), self.together.prepare(env, levels)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        first, second = context
        is_apart = jax.vmap(env.is_distinguishing)(situation.level)
        one = self.apart.view(env, situation, first)
        return one, self.together.view(env, situation, second), is_apart

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        one, other = self.apart(observation[0], ()), self.together(observation[1], ())
        is_apart = observation[2]
        logits = jnp.where(is_apart[:, None], one.logits, other.logits)
        return Decision(logits, jnp.where(is_apart, one.value, other.value), memory, {})


class Unlisted(Policy):
    """Play as the oracle of a goal of the grammar, which no contest lists; once there, stay.

    Where play is not solved by tables, the oracle is that of `world`: an environment with the same walls
    and mouse, and nothing else on the board that matters.
    """

    goal: Goal
    world: Environment | None = None
    gamma: float = eqx.field(static=True, default=0.999)

    def prepare(self, env: Environment, levels: Level) -> Context:
        world = self.world or env
        plain = levels if self.world is None else self._plain(levels)
        return plain, oracle.solve(world, self.goal, plain, self.gamma)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        """Return Q* [batch, 1, actions], and which actions change nothing."""
        plain, solved = context
        world, state = self.world or env, situation.state
        if self.world is not None:
            start = jax.vmap(world.reset)(plain)
            state = eqx.tree_at(lambda tree: tree.position, start, state.position)

        def look(level: Level, state: State, row: Any) -> tuple[Array, Array]:
            there = getattr(self.goal, "is_there", None)
            memory = jnp.zeros((), int) if there is None else there(level, state).astype(int)
            return row.q(world, level, state, memory)[None], stays(world, level, state)

        return jax.vmap(look)(plain, state, solved)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        q, idle = observation
        return decide(q, idle, memory)

    def _plain(self, levels: Level) -> Any:
        assert self.world is not None
        level = jax.eval_shape(self.world.shift().train.sample, jax.random.key(0))
        parts = {"walls": levels.walls, "mouse": levels.mouse}
        nowhere = jnp.zeros_like(levels.mouse)
        return type(level)(**{name: parts.get(name, nowhere) for name in vars(level)})
