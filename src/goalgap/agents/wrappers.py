"""Wrappers: what is deployed, and measured, in place of the fleet that was trained.

A wrapper is a description (a frozen dataclass) that puts a policy around a fleet's policies: several
seeds that vote, one that asks for help where it is unsure, one whose activations are steered.
"""

import abc
import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core import (
    Context,
    Decision,
    Environment,
    Level,
    Memory,
    Observation,
    Patch,
    Policy,
    Situation,
    UsageError,
)
from ..oracle import expert
from ..settings import Checked, settle
from .scripted import Random

HELPERS = ("expert", "random")


class Wrapper(Checked, abc.ABC):
    """Put something between a trained fleet and its exam; subclasses are frozen dataclasses."""

    kind: ClassVar[str] = "environment"  # of the contests whose subjects it wraps
    papers: ClassVar[tuple[str, ...]] = ()  # arXiv ids, for `goalgap cite`

    def count(self, num_seeds: int) -> int:
        """Say how many subjects are made of so many seeds. Raises UsageError where there are too few."""
        return num_seeds

    @abc.abstractmethod
    def wrap(self, subject: Any, seeds: tuple[int, ...], contest: Any) -> tuple[Any, tuple[int, ...]]:
        """Wrap a fleet: give the subject to deploy, and the seeds that it counts as.

        The arrays of the subject lead with an axis of as many subjects as there are such seeds. Raises
        UsageError for fleets that cannot be wrapped.
        """


class WrappedPolicy(Policy):
    """Put a policy around another, to see what the other sees; subclasses change decisions."""

    policy: Policy

    @property
    def columns(self) -> tuple[str, ...]:
        return self.policy.columns

    def prepare(self, env: Environment, levels: Level) -> Context:
        return self.policy.prepare(env, levels)

    def initial(self, batch_size: int) -> Memory:
        return self.policy.initial(batch_size)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        return self.policy.view(env, situation, context)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        return self.policy(observation, memory, patch)


class Tempered(WrappedPolicy):
    """Divide the logits of a policy by a temperature; 0 takes the likeliest action."""

    temperature: float = eqx.field(static=True)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        decision = self.policy(observation, memory, patch)
        return decision._replace(logits=decision.logits / max(self.temperature, 1e-6))


@dataclasses.dataclass(frozen=True)
class Ensemble(Wrapper):
    """Deploy `size` seeds as one subject that acts by the mean of their probabilities.

    Seeds that are left over are left out. The activation `disagreement` is the total variation between
    members and mean, averaged over members, from 0 to 1.
    """

    size: int | None = None  # seeds a subject; None: all of them

    def __post_init__(self) -> None:
        settle(self, size=(1, None))

    def count(self, num_seeds: int) -> int:
        size = self.size or num_seeds
        if size > num_seeds:
            raise UsageError(
                f"an ensemble of {size} needs as many seeds; the experiment has {num_seeds}"
            )
        return num_seeds // size

    def wrap(self, subject: Any, seeds: tuple[int, ...], contest: Any) -> tuple[Any, tuple[int, ...]]:
        groups, size = self.count(len(seeds)), self.size or len(seeds)
        members = jax.tree.map(
            lambda leaf: np.asarray(leaf)[: groups * size].reshape(groups, size, *leaf.shape[1:]),
            subject,
        )
        return EnsemblePolicy(members), tuple(seeds[: groups * size : size])


class EnsemblePolicy(WrappedPolicy):
    """Act as one policy for several; the arrays of `policy` lead with an axis of members."""

    def _one(self) -> Policy:
        return jax.tree.map(lambda leaf: leaf[0], self.policy)

    @property
    def size(self) -> int:
        """Count the members."""
        return jax.tree.leaves(self.policy)[0].shape[0]

    def prepare(self, env: Environment, levels: Level) -> Context:
        return None

    def initial(self, batch_size: int) -> Memory:
        # Members are mapped over from inside: their axis comes second, after the batch's.
        one = self._one().initial(batch_size)
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * self.size, 1), one)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        return self._one().view(env, situation, context)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        def one(policy: Policy, memory: Memory) -> Decision:
            return policy(observation, memory, patch)

        each = jax.vmap(one, (0, 1), Decision(0, 0, 1, 0))(self.policy, memory)  # type: ignore[arg-type]
        probabilities = jax.nn.softmax(each.logits)
        mean = probabilities.mean(0)
        activations = {name: value.mean(0) for name, value in each.activations.items()}
        activations["disagreement"] = 0.5 * jnp.abs(probabilities - mean).sum(-1).mean(0)
        return Decision(jnp.log(mean + 1e-20), each.value.mean(0), each.memory, activations)


@dataclasses.dataclass(frozen=True)
class Abstain(Wrapper):
    """Let the subject ask for help where it is unsure, and let a helper act there.

    The helper is the `expert` of the intended goal (exact play where it is known, else the reference
    player), or `random`.

    The subject is unsure where the members of an `Ensemble` disagree by more than `threshold`, or, where
    there is no ensemble, where its likeliest action is less likely than 1 - `threshold`. The column
    `asked` of the outcomes is the share of an episode's steps in which it asked for help.
    """

    threshold: float = 0.25
    helper: str = "expert"

    def __post_init__(self) -> None:
        settle(self, threshold=(0, 1))
        if self.helper not in HELPERS:
            raise UsageError(f"helper is {self.helper!r}; expected {' or '.join(HELPERS)}")

    def wrap(self, subject: Any, seeds: tuple[int, ...], contest: Any) -> tuple[Any, tuple[int, ...]]:
        helper = (
            Random(contest.num_actions) if self.helper == "random" else expert(contest, contest.intended)
        )
        return AbstainingPolicy(subject, helper, self.threshold), seeds


class AbstainingPolicy(WrappedPolicy):
    """Let a helper act in place of a policy wherever the policy is unsure."""

    helper: Policy
    threshold: float = eqx.field(static=True)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.policy.columns, "asked")

    def prepare(self, env: Environment, levels: Level) -> Context:
        return self.policy.prepare(env, levels), self.helper.prepare(env, levels)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        own, helpers = (None, None) if context is None else context
        return self.policy.view(env, situation, own), self.helper.view(env, situation, helpers)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        decision = self.policy(observation[0], memory, patch)
        help = self.helper(observation[1], ())
        doubt = 1 - jax.nn.softmax(decision.logits).max(-1)
        asked = decision.activations.get("disagreement", doubt) > self.threshold
        logits = jnp.where(asked[:, None], help.logits, decision.logits)
        activations = decision.activations | {"asked": asked.astype(jnp.float32)}
        return decision._replace(logits=logits, activations=activations)


@dataclasses.dataclass(frozen=True)
class Steer(Wrapper):
    """Add `strength` times a vector to a named activation of every seed at every step."""

    activation: str
    vector: tuple[float, ...]
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not self.vector:
            raise UsageError("a vector to steer by holds a number for each unit of the activation")

    def wrap(self, subject: Any, seeds: tuple[int, ...], contest: Any) -> tuple[Any, tuple[int, ...]]:
        shift = self.strength * np.asarray(self.vector, np.float32)
        return SteeredPolicy(
            subject, jnp.asarray(np.tile(shift, (len(seeds), 1))), self.activation
        ), seeds


class SteeredPolicy(WrappedPolicy):
    """Shift one activation of a policy, by as many numbers as it has units."""

    shift: Float[Array, "*s units"]
    activation: str = eqx.field(static=True)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        def shifted(value: Array) -> Array:
            return value + self.shift

        return self.policy(observation, memory, {**(patch or {}), self.activation: shifted})
