"""Direct preference optimization: learn from pairs without a reward model between.

Source: Rafailov et al. 2023, arXiv 2305.18290, equation 7. The reference is the model as it is at the
stage's beginning.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .reward_model import Pairs, judged, said
from .stage import DialogueStage, Learners, descend
from .transformer import Transformer


@dataclasses.dataclass(frozen=True)
class DPO(DialogueStage):
    """Make preferred dialogues likelier than rejected ones, compared to what the reference thinks."""

    gives: ClassVar[frozenset[str]] = frozenset({"reference"})
    # n pairs, drawn by a generator.
    pairs: Callable[[int, np.random.Generator], Pairs] = dataclasses.field(kw_only=True)
    beta: float = 0.1  # weight of the distance to the reference

    def begin(self, learners: Learners) -> Learners:
        fresh = super().begin(learners)
        return Learners(fresh.models, fresh.optimizer, fresh.others | {"reference": fresh.models})

    def learn(
        self, learners: Learners, chunk: int, rngs: list[np.random.Generator]
    ) -> tuple[Learners, dict[str, np.ndarray]]:
        steps = self.steps_of(chunk)
        batches = Pairs.stack([self.pairs(steps * self.batch_size, rng) for rng in rngs], steps)
        reference = learners.others["reference"]
        models, optimizer, stats = descend(
            self.adam, _Loss(self.beta), learners.models, learners.optimizer, batches, reference
        )
        found = {name: np.asarray(value) for name, value in stats.items()}
        return Learners(models, optimizer, learners.others), found

    @property
    def dialogues(self) -> int:
        return 2 * self.batch_size


class _Loss(NamedTuple):
    """Compute equation 7. A tuple, so that equal settings share a compiled program."""

    beta: float

    def __call__(
        self,
        model: Transformer,
        preferred: Array,
        preferred_weights: Array,
        rejected: Array,
        rejected_weights: Array,
        reference: Transformer,
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        tokens = jnp.concatenate([preferred, rejected])
        weights = jnp.concatenate([preferred_weights, rejected_weights])
        other = jax.lax.stop_gradient(said(reference, tokens, weights))
        gain = self.beta * (said(model, tokens, weights) - other)
        return judged(gain[: len(preferred)] - gain[len(preferred) :])
