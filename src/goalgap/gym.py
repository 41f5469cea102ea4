"""Goalgap's environments for Gymnasium: one at a time, or many in one compiled step.

    env = GoalgapEnv(corner, corner.shift().train, seed=0)
    envs = GoalgapVectorEnv(corner, corner.shift().train, num_envs=64, seed=0)

The reward is one goal's, the intended one unless told otherwise; `info["rewards"]` has every goal's by
name. Beside it `info` says whether the level distinguishes the goals (`distinguishing`) and which one
it is (`level_hash`, 64 bits). Reaching the end of a goal's episode is `terminated`, running into
`max_steps` is `truncated`, and the value of a truncated episode's last state is not 0.

Needs the extra `gym`; importing this module without it raises UsageError.
"""

import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from .core import Environment, Goal, Level, Levels, Moment, UsageError, tree_index
from .envs import ALL
from .rollout import select

try:
    import gymnasium
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise UsageError('goalgap.gym needs Gymnasium; install it with: pip install "goalgap[gym]"') from error

OBSERVATIONS = ("symbolic", "rgb")
RENDER_MODES = ("rgb_array", "ansi")
RENDER_PIXELS = 24
BANK = 16  # levels sampled ahead for each lane of a vector environment

Info = dict[str, Any]


class _Episode(NamedTuple):
    """An episode under way: where it stands, and what `info` says of its level."""

    moment: Moment
    noise: Key[Array, "*b"]
    distinguishing: Bool[Array, "*b"]
    level_hash: Int[Array, "*b 2"]


class _Result(NamedTuple):
    """What one step gives; g: goals."""

    observation: UInt8[Array, "*b h w c"]
    rewards: Float[Array, "*b g"]
    terminated: Bool[Array, "*b"]
    truncated: Bool[Array, "*b"]


class _Game(NamedTuple):
    """What the single and the vector environment share: pure functions of one episode."""

    env: Environment
    goals: tuple[Goal, ...]
    observation: str
    pixels: int

    def begin(self, level: Level, noise: Key[Array, ""]) -> _Episode:
        zero = jnp.zeros((), int)
        moment = Moment(level, self.env.reset(level), tuple(zero for _ in self.goals), zero)
        return _Episode(
            moment, noise, self.env.is_distinguishing(level), self.env.level_hash(level)
        )

    def observe(self, episode: _Episode) -> UInt8[Array, "h w c"]:
        level, state = episode.moment.level, episode.moment.state
        if self.observation == "rgb":
            return self.env.rgb(level, state, self.pixels)
        return self.env.observe(level, state).astype(jnp.uint8)

    def step(self, episode: _Episode, action: Int[Array, ""]) -> tuple[_Episode, _Result]:
        level, state, memories, time = episode.moment
        noise = jax.random.fold_in(episode.noise, time)
        next_state = self.env.step(level, state, action, noise)
        scored = [
            goal.step(level, memory, state, action, next_state)
            for goal, memory in zip(self.goals, memories, strict=True)
        ]
        rewards, memories = zip(*scored, strict=True)
        episode = episode._replace(moment=Moment(level, next_state, memories, time + 1))
        terminated = self.env.is_terminal(level, next_state)
        truncated = (time + 1 >= self.env.max_steps) & ~terminated
        return episode, _Result(self.observe(episode), jnp.stack(rewards), terminated, truncated)

    def start(self, level: Level, noise: Key[Array, ""]) -> tuple[_Episode, UInt8[Array, "h w c"]]:
        episode = self.begin(level, noise)
        return episode, self.observe(episode)
