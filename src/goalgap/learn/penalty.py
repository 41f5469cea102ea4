"""Penalty: what is added to a stage's loss, from decisions on a minibatch and each sample's cost."""

import abc
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..core import Decision, Observation, UsageError
from ..settings import Checked


class Samples(NamedTuple):
    """Hold a minibatch, or a slice of one, for penalties; [n], or [t, n] for recurrent networks."""

    observation: Observation
    action: Int[Array, "*n"]
    tag: Int[Array, "*n"]  # of the sample's level, as the curriculum gave it: its group
    weight: Float[Array, "*n"]  # sums to 1 over the whole minibatch; 0: not a step of play
    advantage: Float[Array, "*n"]  # normalized over the whole minibatch
    target: Float[Array, "*n"]  # of the value
    loss: Float[Array, "*n"]  # what the stage's own loss says of each sample, before weighting


class Penalty(Checked, abc.ABC):
    """Add a term to a stage's loss; subclasses are frozen dataclasses.

    Where `additive` is True the penalty must be a sum over samples, each counted by its `weight`: the
    gradient of large networks is then summed over slices. Where it is False the penalty always gets the
    whole minibatch, and nothing is sliced.
    """

    additive: ClassVar[bool] = False
    needs_groups: ClassVar[bool] = False  # whether tags must name groups of levels
    papers: ClassVar[tuple[str, ...]] = ()  # arXiv ids, for `goalgap cite`

    @abc.abstractmethod
    def __call__(self, decision: Decision, samples: Samples) -> Float[Array, ""] | Any:
        """Compute what is added to the loss, a number."""


def added_by(penalty: Penalty, decision: Decision, samples: Samples) -> Float[Array, ""]:
    """Give what a penalty adds to the loss. Raises UsageError for anything but one number."""
    added = penalty(decision, samples)
    if jnp.shape(added) != ():
        raise UsageError(
            f"{type(penalty).__name__} returned {list(jnp.shape(added))} numbers; expected one: sum "
            "them, each times its sample's weight"
        )
    return jnp.asarray(added)
