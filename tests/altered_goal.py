"""A goal whose reward is scaled and bent by potential shaping: for distances and certificates the same."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from goalgap.core import Goal


class Altered(Goal):
    """`factor` times a goal's reward, plus shaping of a given `height`; for the corner environment."""

    goal: Goal
    factor: float = eqx.field(static=True)
    height: float = eqx.field(static=True, default=0.0)
    gamma: float = eqx.field(static=True, default=0.95)
    name: str = eqx.field(static=True, default="altered")
    sentence: str = eqx.field(static=True, default="do the same")
    bits: float = eqx.field(static=True, default=1.0)

    @property
    def num_memories(self) -> int:
        return self.goal.num_memories

    def potential(self, level: Any, state: Any) -> Any:
        """Irregular, and 0 where the episode has ended."""
        height = self.height * jnp.sin(3.0 * state.position + 1.0)
        return jnp.where(state.position == level.cheese, 0.0, height)

    def shaping(self, level: Any, state: Any, next_state: Any) -> Any:
        return self.gamma * self.potential(level, next_state) - self.potential(level, state)

    def reward(self, level: Any, state: Any, action: Any, next_state: Any) -> Any:
        pay = self.goal.reward(level, state, action, next_state)
        return self.factor * pay + self.shaping(level, state, next_state)

    def step(self, level: Any, memory: Any, state: Any, action: Any, next_state: Any) -> Any:
        pay, memory = self.goal.step(level, memory, state, action, next_state)
        return self.factor * pay + self.shaping(level, state, next_state), memory

    def is_achieved(self, level: Any, state: Any) -> Any:
        return self.goal.is_achieved(level, state)
