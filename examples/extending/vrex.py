"""Penalize uneven losses: V-REx adds the variance over groups of levels of each group's mean loss.

Source: Krueger et al. 2021, arXiv 2003.00688, equation 8. The groups are the tags that the curriculum
gives (`GroupedRandomization`: whether the goals come apart); groups without a sample in a minibatch do
not count.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from goalgap.core import Decision
from goalgap.learn.penalty import Penalty, Samples
from goalgap.settings import settle


@dataclasses.dataclass(frozen=True)
class VREx(Penalty):
    """Add `strength` times the variance of the groups' mean losses."""

    additive: ClassVar[bool] = False  # a variance is no sum over samples
    needs_groups: ClassVar[bool] = True
    papers: ClassVar[tuple[str, ...]] = ("2003.00688",)
    name: ClassVar[str] = "v-rex"

    strength: float = 1.0
    num_groups: int = 2

    def __post_init__(self) -> None:
        settle(self, strength=(0, None), num_groups=(2, None))

    def __call__(self, decision: Decision, samples: Samples) -> Float[Array, ""]:
        tag, weight, loss = (part.reshape(-1) for part in (samples.tag, samples.weight, samples.loss))
        weights = jnp.where(tag == jnp.arange(self.num_groups)[:, None], weight, 0.0)
        mass = weights.sum(1)
        risk = (weights * loss).sum(1) / jnp.maximum(mass, 1e-8)
        there = mass > 0
        mean = jnp.where(there, risk, 0.0).sum() / jnp.maximum(there.sum(), 1)
        spread = jnp.where(there, (risk - mean) ** 2, 0.0).sum() / jnp.maximum(there.sum(), 1)
        return self.strength * spread
