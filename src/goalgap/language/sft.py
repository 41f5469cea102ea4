"""Supervised fine-tuning: imitate dialogues word by word."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .dialogues import Lessons
from .stage import DialogueStage, Learners, descend, log_likelihoods
from .transformer import Transformer


@dataclasses.dataclass(frozen=True)
class SFT(DialogueStage):
    """Minimize the cross-entropy of the words that count in the lessons, averaged over them."""

    # n lessons, drawn by a generator.
    lessons: Callable[[int, np.random.Generator], Lessons] = dataclasses.field(kw_only=True)

    def learn(
        self, learners: Learners, chunk: int, rngs: list[np.random.Generator]
    ) -> tuple[Learners, dict[str, np.ndarray]]:
        steps = self.steps_of(chunk)
        drawn = [self.lessons(steps * self.batch_size, rng) for rng in rngs]
        shape = (len(rngs), steps, self.batch_size, -1)
        batches = tuple(np.stack([one[column] for one in drawn]).reshape(shape) for column in range(2))
        models, optimizer, stats = descend(
            self.adam, cross_entropy, learners.models, learners.optimizer, batches
        )
        found = {name: np.asarray(value) for name, value in stats.items()}
        return Learners(models, optimizer, learners.others), found


def cross_entropy(
    model: Transformer, tokens: Int[Array, "b t"], weights: Float[Array, "b t"]
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Average the cross-entropy of words, in nats, by how much each counts; return it by name, too."""
    counted = weights[:, 1:]
    total = (log_likelihoods(model, tokens) * counted).sum()
    loss = -total / jnp.maximum(counted.sum(), 1)
    return loss, {"loss": loss}
