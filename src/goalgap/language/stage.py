"""What the stages of language models share: they learn in chunks of gradient steps, from dialogues.

The chunk's number, the stage's place and the seed fix all luck, so that a training that was interrupted
goes on as if it had not been.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Int

from ..core import UsageError
from ..learn.stage import Budget, Learners, Stage, Stats, Task, stack
from .transformer import Transformer


class Adam(NamedTuple):
    """Set up AdamW, with a warm-up and a cosine, and gradients clipped to norm 1.

    The settings are static for compiled programs.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    warmup: float
    final: float

    def transform(self) -> optax.GradientTransformation:
        """Make the optimizer."""
        warm = max(1, round(self.warmup * self.steps))
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, self.learning_rate, warm, max(self.steps, warm + 1), self.final * self.learning_rate
        )
        return optax.chain(
            optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=self.weight_decay)
        )


@dataclasses.dataclass(frozen=True)
class DialogueStage(Stage):
    """Train language models; subclasses say in `learn` what a chunk of gradient steps learns from."""

    kind: ClassVar[str] = "language"
    chunk: ClassVar[int] = 50  # gradient steps of an update: between two looks of Python at the training

    name: str  # of the stage, in progress and curves
    steps: int = 500  # gradient steps
    learning_rate: float = 2e-3
    batch_size: int = 64
    weight_decay: float = 0.01
    warmup: float = 0.05  # share of the steps in which the learning rate rises
    final: float = 0.1  # the learning rate at the end, as a share of the highest
    looks: int = 3  # how often the models are measured in the stage

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise UsageError(
                f"stage {self.name}: steps {self.steps}, batch {self.batch_size}, learning rate "
                f"{self.learning_rate}; expected numbers above 0"
            )

    @abc.abstractmethod
    def learn(
        self, learners: Learners, chunk: int, rngs: list[np.random.Generator]
    ) -> tuple[Learners, Stats]:
        """Train the fleet for a chunk of steps; return the fleet, and statistics of one number a seed.

        `rngs` gives each seed's luck.
        """

    @property
    def num_chunks(self) -> int:
        """Count the chunks of gradient steps, each of which is one update."""
        return -(-self.steps // self.chunk)

    def steps_of(self, chunk: int) -> int:
        """Count the gradient steps of a chunk; the last one may be shorter."""
        return min(self.chunk, self.steps - chunk * self.chunk)

    @property
    def dialogues(self) -> int:
        """Count the dialogues that a gradient step shows each model."""
        return self.batch_size

    @property
    def adam(self) -> "Adam":
        """Return the settings of the optimizer."""
        return Adam(self.steps, self.learning_rate, self.weight_decay, self.warmup, self.final)

    def cost(self, number: int) -> Budget:
        steps = self.steps_of(number)
        return Budget(steps * self.dialogues, steps)

    def length(self, task: Task) -> float:
        return self.num_chunks

    def checkpoints(self, task: Task) -> frozenset[int]:
        last = self.num_updates(task)
        return frozenset(round(last * (look + 1) / self.looks) for look in range(self.looks))

    def start(self, task: Task, learners: Learners) -> Learners:
        return self.begin(learners)

    def begin(self, learners: Learners) -> Learners:
        """Give the fleet as the stage begins: with a fresh optimizer for the models."""
        models: Any = learners.models
        optimizer = _fresh(self.adam, models)
        return Learners(learners.models, optimizer, learners.others)

    def advance(self, task: Task, state: Learners, number: int) -> tuple[Learners, Stats]:
        rngs = [luck(seed, task.number, number) for seed in task.seeds]
        return self.learn(state, number, rngs)

    def learners(self, state: Learners) -> Learners:
        return Learners(state.models, None, state.others)


@functools.partial(jax.jit, static_argnums=0)  # not a program for each shape
def _fresh(adam: Adam, models: Any) -> Any:
    """Make the optimizer's state for a fleet that has not learned yet."""
    return jax.vmap(adam.transform().init)(models)


def log_likelihoods(model: Transformer, tokens: Int[Array, "b t"]) -> Array:
    """Compute the log-probability of each word but the first, given those before: [b, t - 1]."""
    logits, _ = model(tokens)
    chosen = jax.nn.log_softmax(logits[:, :-1])
    return jax.numpy.take_along_axis(chosen, tokens[:, 1:, None], -1)[..., 0]


def luck(seed: int, stage: int, chunk: int) -> np.random.Generator:
    """Make the random generator of one seed's chunk in a stage (by its place)."""
    return np.random.default_rng((seed, stage, chunk, 0x57A6E))


def update(adam: Adam, loss: Callable[..., Any], model: Any, optimizer: Any, *batch: Any) -> tuple:
    """Make one step down the gradient of `loss(model, *batch) -> (loss, statistics)`.

    Returns the model, the optimizer's state and the statistics.
    """
    (_, stats), gradient = jax.value_and_grad(loss, has_aux=True)(model, *batch)
    change, optimizer = adam.transform().update(gradient, optimizer, model)
    return optax.apply_updates(model, change), optimizer, stats


@functools.partial(jax.jit, static_argnums=(0, 1))
def descend(
    adam: Adam, loss: Callable[..., Any], models: Any, optimizer: Any, batches: Any, *fixed: Any
) -> tuple[Any, Any, dict[str, Array]]:
    """Make a step down the gradient for each batch (axes: seeds, steps), seeds side by side.

    `fixed` are further arguments of the loss that stay as they are (leading axis: seeds). Returns
    models, optimizers and statistics, which are means over steps.
    """

    def one(model: Any, optimizer: Any, batches: Any, fixed: Any) -> tuple:
        def step(state: tuple, batch: Any) -> tuple:
            model, optimizer, stats = update(adam, loss, *state, *batch, *fixed)
            return (model, optimizer), stats

        state, stats = jax.lax.scan(step, (model, optimizer), batches)
        return *state, jax.tree.map(lambda values: values.mean(0), stats)

    return jax.vmap(one)(models, optimizer, batches, fixed)


__all__ = ["DialogueStage", "Learners", "descend", "log_likelihoods", "luck", "stack"]
