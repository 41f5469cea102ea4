"""A goal scaled and bent by potential shaping, which distances and certificates take no notice of."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from goalgap.core import Goal


class Altered(Goal):
    """`factor` times a goal's reward, plus shaping of a given `height`; for the corner environment."""

    name: str = eqx.field(static=True)
    sentence: str = eqx.field(static=True)
    bits: float = eqx.field(static=True)
    goal: Goal
    factor: float = eqx.field(static=True)
    height: float = eqx.field(static=True)
    gamma: float = eqx.field(static=True)

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

    def is_achieved(self, level: Any, state: Any, memory: Any) -> Any:
        return self.goal.is_achieved(level, state, memory)


def altered(
    goal: Goal, factor: float, height: float = 0.0, gamma: float = 0.95, name: str = "altered"
) -> Altered:
    return Altered(name, goal.sentence, goal.bits, goal, factor, height, gamma)
