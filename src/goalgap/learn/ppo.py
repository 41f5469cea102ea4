"""Proximal policy optimization (1707.06347) with generalized advantage estimation (1506.02438).

A fleet of seeds trains in one program, vmapped. The loop over minibatches is Python's, not a scan: on
CPU the gradient of a convolution inside an XLA loop is ten times slower (jax issue 12868). All
randomness is a function of (seed, number of the update), so a `TrainState` is all there is to resume.
"""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from ..agents.networks import Network, NetworkConfig
from ..core import (
    Environment,
    Goal,
    Level,
    Levels,
    Memory,
    Observation,
    UsageError,
    tree_index,
)
from ..rollout import Steps, Stream, start_stream, stream
from ..settings import Checked, settle


@dataclasses.dataclass(frozen=True)
class PPO(Checked):
    """Hyperparameters; the defaults suit small boards on a CPU. `PUBLISHED`: 2507.03068, table G.1."""

    num_envs: int = 256  # lanes played side by side, per seed
    num_steps: int = 64  # steps of each lane between updates
    num_epochs: int = 4
    num_minibatches: int = 8
    learning_rate: float = 1e-3
    anneal: bool = True  # the learning rate falls linearly to zero
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    value_clip: bool = False
    value_coefficient: float = 0.5
    entropy_coefficient: float = 0.01
    max_grad_norm: float = 0.5
    num_fresh_levels: int = 4096  # sampled for each update and seed

    def __post_init__(self) -> None:
        counts = ("num_envs", "num_steps", "num_epochs", "num_minibatches", "num_fresh_levels")
        weights = ("clip", "value_coefficient", "entropy_coefficient")
        settle(
            self,
            **dict.fromkeys(counts, (1, None)),
            **dict.fromkeys(weights, (0, None)),
            **dict.fromkeys(("gamma", "gae_lambda"), (0, 1)),
        )
        for name in ("learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected a positive number")
        if self.num_envs % self.num_minibatches:
            raise UsageError(
                f"num_envs {self.num_envs} does not divide into num_minibatches {self.num_minibatches}"
            )

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one seed between updates."""
        return self.num_envs * self.num_steps


PUBLISHED = PPO(
    num_envs=256,
    num_steps=128,
    num_epochs=5,
    num_minibatches=4,
    learning_rate=5e-5,
    anneal=False,
    gamma=0.999,
    clip=0.1,
    value_clip=True,
    entropy_coefficient=1e-3,
)


class TrainState(NamedTuple):
    """All there is of a fleet in training; every array has a leading axis of seeds."""

    network: Network
    optimizer: Any
    stream: Stream


class Batch(NamedTuple):
    """What the minibatches are cut from, [t, b] (recurrent) or [t * b]."""

    observation: Observation
    is_first: Bool[Array, "*n"]
    action: Int[Array, "*n"]
    log_prob: Float[Array, "*n"]
    value: Float[Array, "*n"]
    advantage: Float[Array, "*n"]
    is_valid: Bool[Array, "*n"]


class Weighted(NamedTuple):
    """A minibatch of which any slice can be learnt from alone."""

    batch: Batch
    weight: Float[Array, "*n"]
    advantage: Float[Array, "*n"]  # normalized
    target: Float[Array, "*n"]  # of the value


def advantages(
    steps: Steps, last_value: Float[Array, " b"], gamma: float, gae_lambda: float
) -> Float[Array, "t b"]:
    """Generalized advantages. A step that is not valid passes on its value but no advantage."""

    def back(carry: tuple[Array, Array], step: Steps) -> tuple[tuple[Array, Array], Array]:
        next_value, next_advantage = carry
        future = gamma * ~step.terminated
        error = step.reward + future * next_value - step.value
        advantage = jnp.where(step.is_valid, error + future * gae_lambda * next_advantage, 0.0)
        return (step.value, advantage), advantage

    start = (last_value, jnp.zeros_like(last_value))
    slim = steps._replace(observation=(), is_first=(), action=(), log_prob=())
    return jax.lax.scan(back, start, slim, reverse=True)[1]


def loss(
    network: Network, batch: Batch, memory: Memory, ppo: PPO
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The clipped surrogate, the value error and the entropy bonus, over valid steps."""
    return weighted_loss(network, weighted(batch), memory, ppo)


def weighted(batch: Batch) -> Weighted:
    """Weights of valid steps that sum to one; advantages of mean 0 and deviation 1 under them."""
    weight = batch.is_valid / jnp.maximum(batch.is_valid.sum(), 1)
    mean = (weight * batch.advantage).sum()
    deviation = jnp.sqrt((weight * (batch.advantage - mean) ** 2).sum())
    advantage = (batch.advantage - mean) / (deviation + 1e-8)
    return Weighted(batch, weight, advantage, batch.value + batch.advantage)


def weighted_loss(
    network: Network, slice: Weighted, memory: Memory, ppo: PPO
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The part of a minibatch's loss, which is a sum, that a slice of it contributes."""
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
    return total, parts


def gradient(network: Network, batch: Batch, memory: Memory, ppo: PPO) -> tuple[Any, dict[str, Array]]:
    """The gradient of `loss`, summed over slices of the batch small enough to stay in the cache."""
    slope = jax.grad(weighted_loss, has_aux=True)
    whole, size = weighted(batch), network.trunk.at_once
    count = batch.action.shape[0]
    if network.lstm is not None or not size or count <= size or count % size:
        return slope(network, whole, memory, ppo)
    slices = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), whole)

    def add(total: Any, part: Weighted) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, slope(network, part, memory, ppo)), None

    shapes = jax.eval_shape(lambda: slope(network, tree_index(slices, 0), memory, ppo))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(add, zeros, slices)[0]


class Trainer:
    """The compiled steps of one fleet: `start`, then `update` again and again."""

    def __init__(
        self,
        ppo: PPO,
        network: NetworkConfig,
        env: Environment,
        goal: Goal,
        levels: Levels,
        seeds: tuple[int, ...],
        num_updates: int,
    ) -> None:
        self.ppo, self.network, self.env, self.goal = ppo, network, env, goal
        self.levels, self.seeds = levels, jnp.asarray(seeds)
        rate = ppo.learning_rate
        num_steps = num_updates * ppo.num_epochs * ppo.num_minibatches
        schedule = optax.linear_schedule(rate, 0.0, num_steps) if ppo.anneal else rate
        self.optimizer = optax.chain(
            optax.clip_by_global_norm(ppo.max_grad_norm), optax.adam(schedule, eps=1e-5)
        )
        self._start = jax.jit(jax.vmap(self._start_seed))
        self._collect = jax.jit(jax.vmap(self._collect_seed, (0, 0, 0, None)))
        self._learn = jax.jit(jax.vmap(self._learn_seed, (0, 0, 0, 0, None)), donate_argnums=(0, 1))

    def _key(self, seed: Int[Array, ""], number: Int[Array, ""] | int) -> Key[Array, ""]:
        return jax.random.fold_in(jax.random.key(seed), number)

    def _sample(self, key: Key[Array, ""], count: int) -> Level:
        """Training levels: none of them with a layout kept for evaluation."""
        levels = jax.vmap(self.levels.sample)(jax.random.split(key, count))
        kept = jax.vmap(self.env.is_test)(levels)
        # A level that is kept away gives its place to the nearest one before it that is not.
        source = jax.lax.cummax(jnp.where(kept, -1, jnp.arange(count)))
        source = jnp.where(source < 0, jnp.argmin(kept), source)
        return tree_index(levels, source)

    def _start_seed(self, seed: Int[Array, ""], network: Network) -> tuple[Any, Stream]:
        levels = self._sample(self._key(seed, 2**31 - 1), self.ppo.num_envs)
        return self.optimizer.init(_params(network)), start_stream(self.env, network, levels)

    def start(self) -> TrainState:
        """Fresh networks; a seed's first parameters depend on nothing but the seed."""
        networks = [self.network.new(self.env, int(seed)) for seed in self.seeds]
        network = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
        return TrainState(network, *self._start(self.seeds, network))

    def _collect_seed(
        self, seed: Int[Array, ""], network: Network, at: Stream, number: Int[Array, ""]
    ) -> tuple[Stream, Batch, Memory, dict[str, Array]]:
        levels_key, key = jax.random.split(self._key(seed, number))
        bank = self._sample(levels_key, self.ppo.num_fresh_levels)
        memory = at.memory
        at, steps, last_value = stream(self.env, self.goal, network, at, bank, key, self.ppo.num_steps)
        advantage = advantages(steps, last_value, self.ppo.gamma, self.ppo.gae_lambda)
        batch = Batch(
            steps.observation,
            steps.is_first,
            steps.action,
            steps.log_prob,
            steps.value,
            advantage,
            steps.is_valid,
        )
        if network.lstm is None:
            batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
        ended = jnp.maximum((steps.terminated | ~steps.is_valid).sum(), 1)
        return at, batch, memory, {"return": (steps.reward * steps.is_valid).sum() / ended}

    def _learn_seed(
        self,
        network: Network,
        optimizer: Any,
        batch: Batch,
        memory: Memory,
        index: Int[Array, " n"],
    ) -> tuple[Network, Any, dict[str, Array]]:
        if network.lstm is None:
            batch = jax.tree.map(lambda x: x[index], batch)
        else:  # whole lanes, so that the LSTM sees them in order
            batch = jax.tree.map(lambda x: x[:, index], batch)
            memory = jax.tree.map(lambda x: x[index], memory)
        slope, parts = gradient(network, batch, memory, self.ppo)
        change, optimizer = self.optimizer.update(slope, optimizer, _params(network))
        return eqx.apply_updates(network, change), optimizer, parts

    def update(self, state: TrainState, number: int) -> tuple[TrainState, dict[str, Array]]:
        """Play, then learn from what was played. `number` counts updates from 0."""
        network, optimizer, at = state
        at, batch, memory, stats = self._collect(self.seeds, network, at, jnp.asarray(number))
        for index in self._minibatches(number, network.lstm is not None):
            network, optimizer, parts = self._learn(network, optimizer, batch, memory, index)
        return TrainState(network, optimizer, at), stats | parts

    def _minibatches(self, number: int, recurrent: bool) -> list[Int[np.ndarray, " n"]]:
        """Index sets of one update. Seeds share them; each seed's data are its own."""
        count = self.ppo.num_envs if recurrent else self.ppo.steps_per_update
        rng = np.random.default_rng(number)
        epochs = [
            rng.permutation(count).astype(np.int32).reshape(self.ppo.num_minibatches, -1)
            for _ in range(self.ppo.num_epochs)
        ]
        return list(np.concatenate(epochs))


def _params(network: Network) -> Any:
    """A network is a tree of arrays, which optax's annotations do not foresee."""
    return eqx.filter(network, eqx.is_array)
