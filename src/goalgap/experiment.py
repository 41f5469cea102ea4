"""Experiment: the frozen description of one run, as an object."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import envs
from .agents import networks
from .core import Environment, Levels, Listed, Mixture, UsageError
from .descriptions import digest
from .envs import layouts
from .learn.ppo import PPO, Trainer, TrainState


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A fleet of seeds trained for the intended goal on `env.shift(alpha).train`.

    Equal experiments train equal policies: everything that matters is here, nothing else is.
    """

    env: Environment
    alpha: float = 0.0  # share of distinguishing levels in training
    network: networks.NetworkConfig = dataclasses.field(default_factory=networks.MLP)
    learner: PPO = dataclasses.field(default_factory=PPO)
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    steps: int = 1_500_000  # environment steps of each seed, rounded up to whole updates
    num_levels: int = 512  # evaluation levels of each split
    num_checkpoints: int = 12  # log-spaced
    # Levels, as text, with weights, that take the place of random distinguishing ones in training.
    injected: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha is {self.alpha}; it is a share, between 0 and 1")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or len(self.seeds) > 1000:
            raise UsageError(f"seeds are {self.seeds}; expected 1 to 1000 different ones")
        if not all(0 <= seed < 2**31 - 1 for seed in self.seeds):
            raise UsageError(f"seeds are {self.seeds}; expected whole numbers from 0 to 2^31 - 2")
        if not 1 <= self.steps <= 10**11:
            raise UsageError(f"steps is {self.steps}; expected 1 to 10^11")
        if not 16 <= self.num_levels <= 10**5:
            raise UsageError(f"num_levels is {self.num_levels}; expected 16 to 100000")
        if not 1 <= self.num_checkpoints <= 1000:
            raise UsageError(f"num_checkpoints is {self.num_checkpoints}; expected 1 to 1000")
        if self.injected and not self.alpha:
            raise UsageError(
                "levels are injected with alpha 0, so never shown; set alpha to their share"
            )
        if not all(weight > 0 for _, weight in self.injected):
            raise UsageError("an injected level has weight 0 or less; leave it out")

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def num_updates(self) -> int:
        return -(-self.steps // self.learner.steps_per_update)

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """After how many updates to save and measure, spaced evenly in their logarithm."""
        spaced = np.geomspace(1, self.num_updates, self.num_checkpoints)
        return tuple(sorted({round(number) for number in spaced} | {self.num_updates}))

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits of the description: where the run is found again."""
        return digest(self)

    @property
    def train_levels(self) -> Levels:
        """What training shows. Raises UsageError for injected levels that cannot be read or whose layout
        is kept for evaluation."""
        shift = self.env.shift(0.0 if self.injected else self.alpha)
        if not self.injected:
            return shift.train
        levels = [self.env.from_text(text) for text, _ in self.injected]
        kept = [number for number, level in enumerate(levels, 1) if self.env.is_test(level)]
        if kept:
            raise UsageError(
                f"injected levels {kept} have layouts that are kept for evaluation (an eighth of all "
                "are); change a wall in each"
            )
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *levels)
        weights = jnp.array([weight for _, weight in self.injected], jnp.float32)
        return Mixture(shift.train, Listed(stacked, weights), self.alpha)

    def trainer(self) -> Trainer:
        return Trainer(
            self.learner,
            self.network,
            self.env,
            self.env.intended,
            self.train_levels,
            self.seeds,
            self.num_updates,
        )


def fit(
    trainer: Trainer, state: TrainState, first: int, num_updates: int
) -> Iterator[tuple[int, TrainState, dict[str, Any]]]:
    """Train from a state, yielding (updates done, state, statistics) after each update."""
    for number in range(first, num_updates):
        state, stats = trainer.update(state, number)
        yield number + 1, state, stats


# What descriptions of experiments are made of, by name.
KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (*envs.ALL, *layouts.LAYOUTS, networks.MLP, networks.Impala, PPO, Experiment)
}
