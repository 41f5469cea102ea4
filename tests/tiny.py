"""Worlds of a few states with random dynamics and rewards, small enough to try out every policy."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from goalgap.core import Environment, Goal, Levels, Shift
from goalgap.oracle import TABLES

NUM_STATES, NUM_ACTIONS, NUM_GOALS = 4, 2, 4
SIZES = (0.0, 0.0, 0.5, 1.0, -0.5)  # of rewards; few, so that ties are common


class TinyLevel(eqx.Module):
    start: Int[Array, "*b"]
    successor: Int[Array, "*b s a"]
    ends: Bool[Array, "*b s"]
    pay: Float[Array, "*b g s a"]


class TinyLevels(Levels):
    """Everything is drawn at random; about one state in four ends the episode."""

    def sample(self, key: Array) -> TinyLevel:
        first, second, third, fourth = jax.random.split(key, 4)
        moves = (NUM_STATES, NUM_ACTIONS)
        return TinyLevel(
            jax.random.randint(first, (), 0, NUM_STATES),
            jax.random.randint(second, moves, 0, NUM_STATES),
            jax.random.bernoulli(third, 0.25, (NUM_STATES,)),
            jax.random.choice(fourth, jnp.array(SIZES), (NUM_GOALS, *moves)),
        )


class Pay(Goal):
    """What a row of the level's table pays; with `once`, only the first time that it is not nothing."""

    name: str = eqx.field(static=True)
    sentence: str = eqx.field(static=True)
    bits: float = eqx.field(static=True)
    row: int = eqx.field(static=True)
    once: bool = eqx.field(static=True)

    @property
    def num_memories(self) -> int:
        return 1 + self.once

    def reward(self, level: Any, state: Any, action: Any, next_state: Any) -> Any:
        return level.pay[self.row, state, action]

    def step(self, level: Any, memory: Any, state: Any, action: Any, next_state: Any) -> Any:
        reward = self.reward(level, state, action, next_state)
        if not self.once:
            return reward, memory
        return jnp.where(memory == 0, reward, 0.0), memory | (reward != 0)

    def is_achieved(self, level: Any, state: Any, memory: Any) -> Any:
        return jnp.asarray(False)


PLAIN = (Pay("first", "be paid", 1.0, 0, False), Pay("second", "be paid", 1.0, 1, False))
ONCE = (Pay("third", "be paid once", 1.0, 2, True), Pay("fourth", "be paid once", 1.0, 3, True))


class Tiny(Environment):
    """A state is its number."""

    name: ClassVar[str] = "tiny"
    title: ClassVar[str] = "Tiny"
    papers: ClassVar[tuple[str, ...]] = ()
    splayed: ClassVar[str] = ""
    num_actions: ClassVar[int] = NUM_ACTIONS
    action_names: ClassVar[tuple[str, ...]] = ("one", "other")
    solver: ClassVar[Any] = TABLES
    intended: Goal = PLAIN[0]
    proxies: tuple[Goal, ...] = (PLAIN[1], *ONCE)
    max_steps: int = eqx.field(static=True, default=120)

    def reset(self, level: TinyLevel) -> Any:
        return level.start

    def step(self, level: TinyLevel, state: Any, action: Any, key: Any = None) -> Any:
        return level.successor[state, action]

    def is_terminal(self, level: TinyLevel, state: Any) -> Any:
        return level.ends[state]

    def states(self, level: TinyLevel) -> Any:
        return jnp.arange(NUM_STATES)

    def index(self, level: TinyLevel, state: Any) -> Any:
        return state

    def shift(self, alpha: float = 0.0) -> Shift:
        return Shift(TinyLevels(), TinyLevels())

    unseen: ClassVar[Any] = lambda self, *unused: NotImplemented
    observe = board = sprites = rgb = to_text = from_text = unseen
    is_distinguishing = twin = splay = level_hash = layout_hash = unseen
