"""Reward models: what preferences between replies teach a model to prefer.

A reward model is trained on pairs of dialogues of which a rater preferred one, with P(A > B) =
sigmoid(r(A) - r(B)) (Bradley and Terry 1952; Ouyang et al. 2022, arXiv 2203.02155, equation 1). Only
differences between replies to one prompt mean anything.

Departure: the reward is `SCALE` times the log-probability of the words that the model said, under a
language model of its own (after Rafailov et al. 2023, arXiv 2305.18290, section 4: every language model
is a reward model in secret), not a linear head on the last word. Models as small as ours have no notion
of "what was said is what was heard" to read off by a head, and did not come by one in a thousand steps
of noisy comparisons; what to say, and with it what the user believes, they know.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .dialogues import Lessons, lessons
from .scenario import Dialogue
from .stage import DialogueStage, Learners, descend, log_likelihoods
from .transformer import Transformer

SCALE = 0.5
ANCHOR = 0.03  # weight of imitation
_ROWS = 4096  # dialogues scored at a time


class Pairs(NamedTuple):
    """Hold pairs of dialogues of which one was preferred to the other, a row a pair."""

    preferred: Lessons
    rejected: Lessons

    @classmethod
    def stack(cls, drawn: "list[Pairs]", steps: int) -> tuple[np.ndarray, ...]:
        """Cut each seed's pairs into steps, for `descend`.

        Returns tokens and weights of the preferred, then of the rejected, each [seeds, steps, b, slots].
        """
        return tuple(
            np.stack([column.reshape(steps, -1, column.shape[1]) for column in columns])
            for columns in zip(*(one.preferred + one.rejected for one in drawn), strict=True)
        )


def prefer(first: Dialogue, second: Dialogue, is_first: Bool[np.ndarray, " n"]) -> Pairs:
    """Make pairs of two batches of dialogues, by whether the first of each was preferred."""
    both = list(zip(lessons(first), lessons(second), strict=True))
    chosen = is_first[:, None]
    return Pairs(
        Lessons(*(np.where(chosen, one, other) for one, other in both)),
        Lessons(*(np.where(chosen, other, one) for one, other in both)),
    )


@dataclasses.dataclass(frozen=True)
class RewardModel(DialogueStage):
    """Train reward models, which begin as copies of the fleet's models and are kept beside these.

    The fleet's models stay as they are; the reward models are "reward" in `Learners.others`.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"reward"})
    # n pairs, drawn by a generator.
    pairs: Callable[[int, np.random.Generator], Pairs] = dataclasses.field(kw_only=True)
    looks: int = 0  # the models that are measured do not change

    def begin(self, learners: Learners) -> Learners:
        fresh = super().begin(learners)
        return Learners(fresh.models, fresh.optimizer, fresh.others | {"reward": fresh.models})

    def learn(
        self, learners: Learners, chunk: int, rngs: list[np.random.Generator]
    ) -> tuple[Learners, dict[str, np.ndarray]]:
        steps = self.steps_of(chunk)
        batches = Pairs.stack([self.pairs(steps * self.batch_size, rng) for rng in rngs], steps)
        rewards, optimizer, stats = descend(
            self.adam, bradley_terry, learners.others["reward"], learners.optimizer, batches
        )
        found = {name: np.asarray(value) for name, value in stats.items()}
        return Learners(learners.models, optimizer, learners.others | {"reward": rewards}), found

    @property
    def dialogues(self) -> int:
        return 2 * self.batch_size


def said(
    model: Transformer, tokens: Int[Array, "b t"], weights: Float[Array, "b t"]
) -> Float[Array, " b"]:
    """Sum over each dialogue the log-probability of the words that count."""
    return (log_likelihoods(model, tokens) * weights[:, 1:]).sum(1)


def bradley_terry(
    model: Transformer,
    preferred: Int[Array, "b t"],
    preferred_weights: Float[Array, "b t"],
    rejected: Int[Array, "b t"],
    rejected_weights: Float[Array, "b t"],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Compute the mean of -log P(preferred > rejected), and how often the reward model agrees.

    Comparisons say nothing of replies that nobody gives, and these would drift upward for a policy to
    find them: all replies shown are imitated a little beside, by which they stay down.
    """
    tokens = jnp.concatenate([preferred, rejected])
    likelihood = said(model, tokens, jnp.concatenate([preferred_weights, rejected_weights]))
    rewards = SCALE * likelihood
    loss, found = judged(rewards[: len(preferred)] - rewards[len(preferred) :])
    return loss - ANCHOR * likelihood.mean(), found


def judged(margin: Float[Array, " b"]) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Compute what margins of preferred over rejected cost, and how often their sign is right."""
    loss = -jax.nn.log_sigmoid(margin).mean()
    return loss, {"loss": loss, "agreement": (margin > 0).mean()}


def score(rewards: Transformer, dialogue: Dialogue) -> Float[np.ndarray, " n"]:
    """Score dialogues by a reward model, reading each different dialogue once.

    Of a fleet of reward models (leading axis: seeds) each scores an equal share of the dialogues, in
    order, as `Fleet` says them.
    """
    tokens, is_said = dialogue.tokens, dialogue.is_said.astype(np.float32)
    if rewards.embedding.ndim == 2:
        return _score(rewards, tokens, is_said)
    seeds = len(rewards.embedding)
    share = len(tokens) // seeds
    parts = [slice(seed * share, (seed + 1) * share) for seed in range(seeds)]
    models = [jax.tree.map(lambda leaf, seed=seed: leaf[seed], rewards) for seed in range(seeds)]
    each = zip(models, parts, strict=True)
    return np.concatenate([_score(model, tokens[part], is_said[part]) for model, part in each])


def _score(
    model: Transformer, tokens: Int[np.ndarray, "n slots"], is_said: Float[np.ndarray, "n slots"]
) -> Float[np.ndarray, " n"]:
    """Score dialogues in batches of few sizes, powers of two, so that few programs are compiled."""
    _, rows, which = np.unique(tokens, axis=0, return_index=True, return_inverse=True)
    found = []
    for begin in range(0, len(rows), _ROWS):
        part = rows[begin : begin + _ROWS]
        size = 1 << (len(part) - 1).bit_length()
        padded = np.concatenate([part, np.repeat(part[:1], size - len(part))])
        found.append(np.asarray(_said(model, tokens[padded], is_said[padded]))[: len(part)])
    return SCALE * np.concatenate(found)[which.reshape(-1)]


@jax.jit
def _said(
    model: Transformer, tokens: Int[Array, "n slots"], weights: Float[Array, "n slots"]
) -> Float[Array, " n"]:
    return said(model, tokens, weights)
