"""What Procgen's games have in common as environments: modes, level seeds, 64x64 pictures.

A game is a function from a block of words to a level (`generate`), so that levels of Procgen's own seeds
and fresh ones of ours come from one generator. Training and deployment are two of Procgen's games.
"""

import abc
import difflib
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, UInt32

from ...core import Environment, Level, Levels, Mixture, Shift, UsageError, option
from .random_words import check_seed, twister

OBSERVATIONS = ("symbolic", "rgb")
# Learners' defaults: Procgen's levels cost more to draw than boards, and its mazes need no push to
# explore. Its games come in modes rather than sizes; by default their time limits are shorter than the
# original's, which an agent that works does not need.
FEWER = {"num_fresh_levels": 1024, "entropy_coefficient": 0.02}
CALMER = {"num_fresh_levels": 1024, "entropy_coefficient": 0.005}


class ProcgenGame(Environment):
    """An environment made after a game of Procgen's (arXiv 1912.01588). `mode` is Procgen's distribution
    mode; `observation` what agents see; `num_levels` and `start_level` are Procgen's own: train on these
    level seeds only (0: without end). Raises UsageError for values that Procgen does not have."""

    repeats: ClassVar[bool] = True  # a third of CoinRun's levels are of one section
    modes: ClassVar[tuple[str, ...]]
    games: ClassVar[tuple[str, ...]]  # that `generate` knows
    train_game: ClassVar[str]  # which of its games training draws levels from, and deployment
    deploy_game: ClassVar[str]
    num_words: ClassVar[Any]  # that are enough for any level
    mode: str = option(
        "hard", "easy, hard (published), memory (mazes, heist), tiny (mazes), small (not heist)"
    )
    observation: str = option("symbolic", "symbolic or rgb (64x64 pixels; published)")
    num_levels: int = option(
        0,
        "train on so many of Procgen's level seeds (published: 100000; 0: without end)",
        "train_levels",
    )
    start_level: int = option(0, "the first of these level seeds")

    def __check_init__(self) -> None:
        check_name("mode", self.mode, self.modes)
        check_name("observation", self.observation, OBSERVATIONS)
        if not 1 <= self.max_steps <= 10_000:
            raise UsageError(f"max_steps is {self.max_steps}; expected 1 to 10000")
        if self.num_levels < 0:
            raise UsageError(f"num_levels is {self.num_levels}; expected 0 (without end) or more")
        check_seed(self.start_level)
        check_seed(self.start_level + max(self.num_levels, 1) - 1)

    @property
    def tile_names(self) -> tuple[str, ...]:
        return ()  # terminals show the game's frame

    @abc.abstractmethod
    def generate(self, words: UInt32[Array, " n"], game: str) -> Level:
        """The level that one of its games makes of a block of words. Raises UsageError for others."""

    def shift(self, alpha: float = 0.0) -> Shift:
        seeds = self.num_levels, self.start_level
        common, rare = (GameLevels(self, game, *seeds) for game in (self.train_game, self.deploy_game))
        return Shift(train=Mixture(common, rare, alpha), deploy=GameLevels(self, self.deploy_game))


class GameLevels(Levels):
    """The levels of one of Procgen's games: `env.generate(words, game)` on blocks of `env.num_words`.

    With `num_levels` they are the ones of Procgen's own level seeds `start_level`, `start_level` + 1,
    ..., drawn evenly as its `num_levels` and `start_level` do; 0: fresh ones without end.
    """

    env: ProcgenGame
    game: str = eqx.field(static=True)
    num_levels: int = eqx.field(static=True, default=0)
    start_level: int = eqx.field(static=True, default=0)

    def sample(self, key: Key[Array, ""]) -> Level:
        if not self.num_levels:
            return self.env.generate(jax.random.bits(key, (self.env.num_words,), jnp.uint32), self.game)
        number = jax.random.randint(key, (), 0, self.num_levels)
        return self.env.generate(twister(self.start_level + number, self.env.num_words), self.game)


def check_name(what: str, given: str, known: tuple[str, ...]) -> None:
    """Raise UsageError, with the nearest name, for one that is not known."""
    if given not in known:
        near = difflib.get_close_matches(given, known, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        raise UsageError(f"unknown {what} {given!r}; {hint}")
