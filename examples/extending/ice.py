"""Define Ice: Cheese in the Corner on a slippery floor, where now and then a step goes astray.

Goals, levels and their shift are those of `goalgap.envs.Corner`. A step slips with probability `slip`
and then goes in a direction drawn evenly. Tables solve only worlds without luck, so the known subjects
are reference players: they play as if the floor were dry. Invented for `docs/extending.md`.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from goalgap.core import (
    Context,
    Defaults,
    Goal,
    Level,
    Observation,
    Policy,
    Situation,
    UsageError,
    option,
)
from goalgap.envs import Corner
from goalgap.envs.grid import GridState
from goalgap.oracle import Oracle


class Ice(Corner):
    """Offer Ice as an environment; the module's docstring has its rules."""

    name: ClassVar[str] = "ice"
    title: ClassVar[str] = "Cheese in the Corner, on Ice"
    defaults: ClassVar[Defaults] = Defaults(1_200_000, {"size": 7})
    is_stochastic: ClassVar[bool] = True
    solver: ClassVar[None] = None

    slip: float = option(0.2, "probability that a step goes in a direction drawn at random")

    def __check_init__(self) -> None:
        if not 0 <= self.slip <= 1:
            raise UsageError(f"slip is {self.slip}; expected a probability, 0 to 1")

    @property
    def dry(self) -> Corner:
        """The same board without ice."""
        return Corner(size=self.size, layout=self.layout, max_steps=self.max_steps)

    def step(self, level: Any, state: GridState, action: Int[Array, ""], key: Any = None) -> GridState:
        slips_key, way_key = jax.random.split(key)
        way = jax.random.randint(way_key, (), 0, self.num_actions)
        slips = jax.random.uniform(slips_key) < self.slip
        return super().step(level, state, jnp.where(slips, way, action))

    def reference(self, goal: Goal) -> Policy:
        return Sure((goal,))


class Sure(Oracle):
    """Play exactly as on a dry floor, from wherever the ice has led."""

    def prepare(self, env: Any, levels: Level) -> Context:
        return super().prepare(env.dry, levels)

    def view(self, env: Any, situation: Situation, context: Context) -> Observation:
        return super().view(env.dry, situation, context)
