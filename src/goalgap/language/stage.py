"""Stages of a training: what a fleet of models goes through, one after the other, in chunks.

A stage is described by its settings and advances a fleet by a chunk of steps at a time; the chunk's
number and the seed fix all luck, so that a training that was interrupted goes on as if it had not been.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Array, Int

from ..core import UsageError
from ..settings import Checked
from .transformer import Transformer


class Learners(eqx.Module):
    """A fleet under training: arrays have a leading axis of seeds."""

    models: Transformer
    optimizer: Any  # the stage's own
    others: dict[str, Any]  # models kept beside: "reference", "reward"


class Adam(NamedTuple):
    """AdamW with a warm-up and a cosine, gradients clipped to norm 1; static for compiled programs."""

    steps: int
    learning_rate: float
    weight_decay: float
    warmup: float
    final: float

    def transform(self) -> optax.GradientTransformation:
        warm = max(1, round(self.warmup * self.steps))
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, self.learning_rate, warm, max(self.steps, warm + 1), self.final * self.learning_rate
        )
        return optax.chain(
            optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=self.weight_decay)
        )


@dataclasses.dataclass(frozen=True)
class Stage(Checked, abc.ABC):
    """What all stages have. Subclasses add what to learn from."""

    name: str  # of the stage, in progress and curves
    steps: int = 500  # updates
    learning_rate: float = 2e-3
    batch_size: int = 64
    weight_decay: float = 0.01
    warmup: float = 0.05  # share of the steps in which the learning rate rises
    final: float = 0.1  # the learning rate at the end, as a share of the highest
    looks: int = 3  # how often the models are measured in the stage
    chunk: ClassVar[int] = 50  # steps between two looks of Python at the training

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise UsageError(
                f"stage {self.name}: steps {self.steps}, batch {self.batch_size}, learning rate "
                f"{self.learning_rate}; expected numbers above 0"
            )

    @property
    def num_chunks(self) -> int:
        return -(-self.steps // self.chunk)

    def steps_of(self, chunk: int) -> int:
        return min(self.chunk, self.steps - chunk * self.chunk)

    @property
    def adam(self) -> "Adam":
        return Adam(self.steps, self.learning_rate, self.weight_decay, self.warmup, self.final)

    def start(self, learners: Learners) -> Learners:
        """The fleet at the stage's beginning: a fresh optimizer for its models."""
        models: Any = learners.models
        optimizer = jax.vmap(self.adam.transform().init)(models)
        return Learners(learners.models, optimizer, learners.others)

    @abc.abstractmethod
    def advance(
        self, learners: Learners, chunk: int, rngs: list[np.random.Generator]
    ) -> tuple[Learners, dict[str, np.ndarray]]:
        """The fleet after a chunk, and statistics, a number a seed each; `rngs`: each seed's luck."""

    @property
    def dialogues(self) -> int:
        """Dialogues that a step shows each model."""
        return self.batch_size


def log_likelihoods(model: Transformer, tokens: Int[Array, "b t"]) -> Array:
    """The log-probability of each word but the first, given those before it. [b, t - 1]"""
    logits, _ = model(tokens)
    chosen = jax.nn.log_softmax(logits[:, :-1])
    return jax.numpy.take_along_axis(chosen, tokens[:, 1:, None], -1)[..., 0]


def luck(seed: int, stage: int, chunk: int) -> np.random.Generator:
    """The generator of one seed's chunk."""
    return np.random.default_rng((seed, stage, chunk, 0x57A6E))


def update(adam: Adam, loss: Callable[..., Any], model: Any, optimizer: Any, *batch: Any) -> tuple:
    """One step down the gradient of `loss(model, *batch) -> (loss, statistics)`."""
    (_, stats), gradient = jax.value_and_grad(loss, has_aux=True)(model, *batch)
    change, optimizer = adam.transform().update(gradient, optimizer, model)
    return optax.apply_updates(model, change), optimizer, stats


@functools.partial(jax.jit, static_argnums=(0, 1))
def descend(
    adam: Adam, loss: Callable[..., Any], models: Any, optimizer: Any, batches: Any, *fixed: Any
) -> tuple[Any, Any, dict[str, Array]]:
    """A step for each batch (axes: seeds, steps), seeds side by side; statistics are means over steps.
    `fixed` are further arguments of the loss that stay as they are (leading axis: seeds)."""

    def one(model: Any, optimizer: Any, batches: Any, fixed: Any) -> tuple:
        def step(state: tuple, batch: Any) -> tuple:
            model, optimizer, stats = update(adam, loss, *state, *batch, *fixed)
            return (model, optimizer), stats

        state, stats = jax.lax.scan(step, (model, optimizer), batches)
        return *state, jax.tree.map(lambda values: values.mean(0), stats)

    return jax.vmap(one)(models, optimizer, batches, fixed)


def stack(trees: list[Any]) -> Any:
    """Trees of equal shape as one, with a leading axis."""
    return jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *trees)
