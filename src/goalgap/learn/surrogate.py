"""Compute the loss of proximal policy optimization on a batch of steps, and its gradient.

`ppo` is always the settings, a `ppo.PPO`.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..agents.networks import Network
from ..core import Memory, Observation, tree_index
from ..rollout import Steps
from .penalty import Penalty, Samples, added_by


class Batch(NamedTuple):
    """Hold what the minibatches are cut from, [t, b] (recurrent) or [t * b]."""

    observation: Observation
    is_first: Bool[Array, "*n"]
    action: Int[Array, "*n"]
    log_prob: Float[Array, "*n"]
    value: Float[Array, "*n"]
    advantage: Float[Array, "*n"]
    is_valid: Bool[Array, "*n"]
    tag: Int[Array, "*n"]


class Weighted(NamedTuple):
    """Hold a minibatch of which any slice can be learnt from alone."""

    batch: Batch
    weight: Float[Array, "*n"]
    advantage: Float[Array, "*n"]  # normalized
    target: Float[Array, "*n"]  # of the value


def advantages(
    steps: Steps, last_value: Float[Array, " b"], gamma: float, gae_lambda: float
) -> Float[Array, "t b"]:
    """Compute generalized advantages (1506.02438) of t steps on b lanes.

    A step that is not valid passes on its value but no advantage.
    """

    def back(carry: tuple[Array, Array], step: Steps) -> tuple[tuple[Array, Array], Array]:
        next_value, next_advantage = carry
        future = gamma * ~step.terminated
        error = step.reward + future * next_value - step.value
        advantage = jnp.where(step.is_valid, error + future * gae_lambda * next_advantage, 0.0)
        return (step.value, advantage), advantage

    start = (last_value, jnp.zeros_like(last_value))
    used = ("value", "reward", "terminated", "is_valid")
    slim = steps._replace(**dict.fromkeys(set(Steps._fields) - set(used), ()))
    return jax.lax.scan(back, start, slim, reverse=True)[1]


def loss(
    network: Network,
    batch: Batch,
    memory: Memory,
    ppo: Any,
    penalties: tuple[Penalty, ...] = (),
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Compute PPO's loss over valid steps, and its parts by name.

    The parts are the clipped surrogate, the value error, the entropy bonus and the penalties.
    """
    return weighted_loss(network, weighted(batch), memory, ppo, penalties)


def weighted(batch: Batch) -> Weighted:
    """Weigh valid steps so that the weights sum to one, and normalize the advantages under them."""
    weight = batch.is_valid / jnp.maximum(batch.is_valid.sum(), 1)
    mean = (weight * batch.advantage).sum()
    deviation = jnp.sqrt((weight * (batch.advantage - mean) ** 2).sum())
    advantage = (batch.advantage - mean) / (deviation + 1e-8)
    return Weighted(batch, weight, advantage, batch.value + batch.advantage)


def weighted_loss(
    network: Network,
    slice: Weighted,
    memory: Memory,
    ppo: Any,
    penalties: tuple[Penalty, ...] = (),
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Compute what a slice contributes to a minibatch's loss, which is a sum; and its parts, by name."""
    batch, weight, advantage, target = slice
    decision = network.unroll(batch.observation, batch.is_first, memory)
    log_probs = jax.nn.log_softmax(decision.logits)
    log_prob = jnp.take_along_axis(log_probs, batch.action[..., None], -1)[..., 0]
    entropy = -(jnp.exp(log_probs) * log_probs).sum(-1)

    ratio = jnp.exp(log_prob - batch.log_prob)
    clipped = jnp.clip(ratio, 1 - ppo.clip, 1 + ppo.clip)
    surrogate = jnp.minimum(ratio * advantage, clipped * advantage)

    error = (decision.value - target) ** 2
    if ppo.value_clip:
        near = batch.value + jnp.clip(decision.value - batch.value, -ppo.clip, ppo.clip)
        error = jnp.maximum(error, (near - target) ** 2)
    parts = {
        "policy": -(weight * surrogate).sum(),
        "value": 0.5 * (weight * error).sum(),
        "entropy": (weight * entropy).sum(),
    }
    total = (
        parts["policy"]
        + ppo.value_coefficient * parts["value"]
        - ppo.entropy_coefficient * parts["entropy"]
    )
    if penalties:
        cost = -surrogate + 0.5 * ppo.value_coefficient * error - ppo.entropy_coefficient * entropy
        samples = Samples(batch.observation, batch.action, batch.tag, weight, advantage, target, cost)
        for penalty in penalties:
            parts[type(penalty).__name__] = added = added_by(penalty, decision, samples)
            total = total + added
    return total, parts


def gradient(
    network: Network,
    batch: Batch,
    memory: Memory,
    ppo: Any,
    penalties: tuple[Penalty, ...] = (),
) -> tuple[Any, dict[str, Array]]:
    """Compute the gradient of `loss`, summed over slices of the batch that fit the processor's cache.

    A penalty that is not a sum over samples is computed on the whole batch, in one piece.
    """
    slope = jax.grad(functools.partial(weighted_loss, penalties=penalties), has_aux=True)
    whole, size = weighted(batch), network.trunk.at_once
    count = batch.action.shape[0]
    is_sum = network.lstm is None and all(penalty.additive for penalty in penalties)
    if not is_sum or not size or count <= size or count % size:
        return slope(network, whole, memory, ppo)
    slices = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), whole)

    def add(total: Any, part: Weighted) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, slope(network, part, memory, ppo)), None

    shapes = jax.eval_shape(lambda: slope(network, tree_index(slices, 0), memory, ppo))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(add, zeros, slices)[0]
