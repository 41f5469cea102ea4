"""Offline Q-learning: the value of each word, from recorded dialogues and what they came to.

A model's logits are read as values divided by a temperature, so that what it says at temperature 1 is
Boltzmann's choice among them, and an ordinary sampler plays the learned policy. The loss has two parts:
how far the value of what was said is from the value of what came of it (the reward at the end, before
that the expected value of the model's own next word, by the model at the chunk's beginning), and the
cross-entropy of what was said, which is CQL's regularizer and keeps down what nobody ever said.

Sources: Kumar et al. 2020, arXiv 2006.04779, equation 4 (CQL); Snell et al. 2022, arXiv 2206.11871
(ILQL: values of words); used as Hong et al. 2023, arXiv 2311.05584, use ILQL. Departures: the values
are the language model's own outputs, without a second head and a second policy to perturb; the next
value is the own policy's expectation, not an expectile.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..core import UsageError
from .dialogues import Lessons
from .scenario import Dialogue
from .stage import DialogueStage, Learners, descend
from .transformer import Transformer


class Record(NamedTuple):
    """Hold dialogues as they went, and what each earned."""

    tokens: Int[np.ndarray, "n slots"]
    is_said: Bool[np.ndarray, "n slots"]
    reward: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, dialogue: Dialogue, reward: Float[np.ndarray, " n"]) -> "Record":
        """Record finished dialogues and what each earned."""
        return cls(dialogue.tokens, dialogue.is_said, reward.astype(np.float32))

    @classmethod
    def join(cls, *parts: "Record") -> "Record":
        """Put records one below the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def take(self, rows: Int[np.ndarray, " m"]) -> "Record":
        """Select rows."""
        return Record(*(column[rows] for column in self))

    @property
    def lessons(self) -> Lessons:
        """Make lessons of all dialogues, whatever they earned."""
        return Lessons(self.tokens, self.is_said.astype(np.float32))

    @property
    def successes(self) -> Lessons:
        """Make lessons in which dialogues count by what they earned (filtered cloning)."""
        return Lessons(self.tokens, self.is_said * self.reward[:, None])


@dataclasses.dataclass(frozen=True)
class OfflineQ(DialogueStage):
    """Learn the values of what is said in records.

    `discount` is that of a word: 0 cares for nothing that comes after the word, which is the objective
    of single-step tuning.
    """

    records: Callable[[int, np.random.Generator], Record] = dataclasses.field(kw_only=True)
    discount: float = 1.0
    temperature: float = 0.1  # values a unit of logits
    conservatism: float = 1.0  # weight of the cross-entropy

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.discount <= 1 and self.temperature > 0 and self.conservatism >= 0):
            raise UsageError(
                f"discount {self.discount}, temperature {self.temperature}, conservatism "
                f"{self.conservatism}; expected a discount from 0 to 1 and numbers above 0"
            )

    def learn(
        self, learners: Learners, chunk: int, rngs: list[np.random.Generator]
    ) -> tuple[Learners, dict[str, np.ndarray]]:
        steps = self.steps_of(chunk)
        drawn = [self.records(steps * self.batch_size, rng) for rng in rngs]
        columns = [(one.tokens, one.is_said, following(one.is_said), one.reward) for one in drawn]
        batches = tuple(
            np.stack(column).reshape(len(rngs), steps, self.batch_size, *column[0].shape[1:])
            for column in zip(*columns, strict=True)
        )
        loss = _Loss(self.discount, self.temperature, self.conservatism)
        models, optimizer, stats = descend(
            self.adam, loss, learners.models, learners.optimizer, batches, learners.models
        )
        found = {name: np.asarray(value) for name, value in stats.items()}
        return Learners(models, optimizer, learners.others), found


def following(is_said: Bool[np.ndarray, "n slots"]) -> Int[np.ndarray, "n slots"]:
    """Find for each slot of dialogues the next slot that the model filled; 0: none."""
    slots = np.where(is_said, np.arange(is_said.shape[1]), is_said.shape[1])
    # The least from the right, moved by one.
    least = np.minimum.accumulate(slots[:, ::-1], 1)[:, ::-1]
    after = np.pad(least[:, 1:], ((0, 0), (0, 1)), constant_values=is_said.shape[1])
    return np.where(after == is_said.shape[1], 0, after).astype(np.int32)


class _Loss(NamedTuple):
    """Compute what a step lowers. A tuple, so that equal settings share a compiled program."""

    discount: float
    temperature: float
    conservatism: float

    def __call__(
        self,
        model: Transformer,
        tokens: Int[Array, "b t"],
        is_said: Bool[Array, "b t"],
        after: Int[Array, "b t"],
        reward: Float[Array, " b"],
        earlier: Transformer,
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        logits = model(tokens)[0][:, :-1]
        chosen = jnp.take_along_axis(logits, tokens[:, 1:, None], -1)[..., 0]
        before = jax.lax.stop_gradient(earlier(tokens)[0])
        expected = (jax.nn.softmax(before) * before).sum(-1)
        # The value before the next word said is read from the slot before that word.
        later = jnp.take_along_axis(expected, jnp.maximum(after - 1, 0), 1)[:, 1:]
        earned = reward[:, None] / self.temperature
        target = jnp.where(after[:, 1:] > 0, self.discount * later, earned)
        count = jnp.maximum(is_said[:, 1:].sum(), 1)
        error = (jnp.square(chosen - target) * is_said[:, 1:]).sum() / count
        unsaid = ((jax.nn.logsumexp(logits, -1) - chosen) * is_said[:, 1:]).sum() / count
        loss = error / 2 + self.conservatism * unsaid
        return loss, {"error": self.temperature**2 * error, "loss": unsaid}
