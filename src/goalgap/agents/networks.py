"""Build networks: a trunk (dense or IMPALA), an LSTM or none, a policy head and a value head.

A configuration (`MLP`, `Impala`) is a frozen value that builds a `Network`; `NETWORKS` names the ones
that the command line offers. Parameters are drawn with NumPy: on CPU each new shape of a JAX sampler
costs half a second of compilation. Named activations can be read and, through `patch`, replaced.
"""

import abc
import dataclasses
import itertools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core import Decision, Environment, Memory, Observation, Patch, Policy, UsageError
from ..settings import Checked, settle, unknown
from .convolution import conv3x3, max_pool


class Linear(eqx.Module):
    """Apply an affine map: weights [inputs, outputs] and biases.

    A leading axis s holds several seeds.
    """

    weight: Float[Array, "*s i o"]
    bias: Float[Array, "*s o"]

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        return x @ self.weight + self.bias


class Convolution(eqx.Module):
    """Convolve with a 3x3 kernel, stride 1, zero padding."""

    weight: Float[Array, "*s 3 3 i o"]
    bias: Float[Array, "*s o"]

    def __call__(self, x: Float[Array, "*b h w i"]) -> Float[Array, "*b h w o"]:
        return conv3x3(x, self.weight, self.bias)


class ActivationRecorder:
    """Collect named activations, replacing those that a patch names."""

    def __init__(self, patch: Patch | None) -> None:
        self.patch = patch or {}
        self.seen: dict[str, Array] = {}

    def __call__(self, name: str, value: Array) -> Array:
        value = self.patch[name](value) if name in self.patch else value
        self.seen[name] = value
        return value

    def finish(self) -> dict[str, Array]:
        """Return the activations seen. Raises KeyError where the patch names one that never came."""
        unknown = set(self.patch) - set(self.seen)
        if unknown:
            raise KeyError(f"no activation named {sorted(unknown)}; there are {sorted(self.seen)}")
        return self.seen


class Trunk(eqx.Module):
    """Map observations `[*b, h, w, c]` to features `[*b, f]`."""

    at_once: ClassVar[int] = 0  # samples to take the gradient of at a time; 0: a whole minibatch

    @abc.abstractmethod
    def __call__(self, observation: Observation, tap: ActivationRecorder) -> Float[Array, "*b f"]: ...


class DenseTrunk(Trunk):
    """Flatten observations and apply dense layers with ReLU; activations `dense0`, `dense1`, ..."""

    layers: tuple[Linear, ...]

    def __call__(
        self, observation: Bool[Array, "*b h w c"], tap: ActivationRecorder
    ) -> Float[Array, "*b f"]:
        x = observation.reshape(*observation.shape[:-3], -1).astype(jnp.float32)
        for index, layer in enumerate(self.layers):
            x = tap(f"dense{index}", jax.nn.relu(layer(x)))
        return x


class Residual(eqx.Module):
    """Add to the input two convolutions of it, each after a ReLU."""

    first: Convolution
    second: Convolution

    def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
        return x + self.second(jax.nn.relu(self.first(jax.nn.relu(x))))


class ImpalaTrunk(Trunk):
    """Apply stages of (convolution, pool, residual blocks), then a dense layer.

    Source: Espeholt et al. 2018 (1802.01561) as in 2105.14111. Activations `stage0`, `stage1`, ...,
    `dense`.
    """

    at_once: ClassVar[int] = 256  # as measured: more do not stay in the cache, fewer cost calls

    stages: tuple[tuple[Convolution, tuple[Residual, ...]], ...]
    dense: Linear
    border: bool = eqx.field(static=True)

    def __call__(self, observation: Observation, tap: ActivationRecorder) -> Float[Array, "*b f"]:
        x = observation.astype(jnp.float32) / (255.0 if observation.dtype == jnp.uint8 else 1.0)
        if self.border:
            x = _walled(x)
        for index, (convolution, blocks) in enumerate(self.stages):
            x = max_pool(convolution(x))
            for block in blocks:
                x = block(x)
            x = tap(f"stage{index}", x)
        x = jax.nn.relu(x).reshape(*x.shape[:-3], -1)
        return tap("dense", jax.nn.relu(self.dense(x)))


def _walled(x: Float[Array, "*b h w c"]) -> Float[Array, "*b y x c"]:
    """Put a cell of wall (channel 0) around the board."""
    pad = [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1)]
    walls = jnp.pad(x[..., :1], [*pad, (0, 0)], constant_values=1.0)
    return jnp.concatenate([walls, jnp.pad(x[..., 1:], [*pad, (0, 0)])], -1)


class LSTM(eqx.Module):
    """Carry memory from step to step, by a long short-term memory.

    The forget gate starts with a bias of 1.
    """

    gates: Linear  # [inputs + hidden, 4 * hidden], in the order input, forget, cell, output

    @property
    def size(self) -> int:
        """Return how many units there are."""
        return self.gates.bias.shape[-1] // 4

    def __call__(
        self, x: Float[Array, "b f"], memory: tuple[Array, Array]
    ) -> tuple[Float[Array, "b n"], tuple[Array, Array]]:
        hidden, cell = memory
        i, f, g, o = jnp.split(self.gates(jnp.concatenate([x, hidden], -1)), 4, -1)
        cell = jax.nn.sigmoid(f + 1) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return hidden, (hidden, cell)


class Network(Policy):
    """Combine trunk, memory and heads into a policy.

    Activations: the trunk's, `features`, `logits`, `value`.
    """

    trunk: Trunk
    lstm: LSTM | None
    policy_head: Linear
    value_head: Linear

    def initial(self, batch_size: int) -> Memory:
        if self.lstm is None:
            return ()
        zeros = jnp.zeros((batch_size, self.lstm.size))
        return zeros, zeros

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        tap = ActivationRecorder(patch)
        x = self.trunk(observation, tap)
        if self.lstm is not None:
            x, memory = self.lstm(x, memory)
        return self._decide(x, memory, tap)

    def _decide(self, x: Float[Array, "*b f"], memory: Memory, tap: ActivationRecorder) -> Decision:
        x = tap("features", x)
        logits = tap("logits", self.policy_head(x))
        value = tap("value", self.value_head(x)[..., 0])
        return Decision(logits, value, memory, tap.finish())

    def unroll(self, observations: Observation, is_first: Bool[Array, "*n"], memory: Memory) -> Decision:
        """Decide over whole sequences [t, b]; memory starts afresh where `is_first`.

        The trunk sees all steps at once; only the LSTM goes through time, and so do its gradients.
        """
        if self.lstm is None:
            return self(observations, ())
        tap = ActivationRecorder(None)
        lstm = self.lstm

        def step(memory: Memory, inputs: tuple[Array, Array]) -> tuple[Memory, Array]:
            x, first = inputs
            memory = jax.tree.map(lambda m: jnp.where(first[:, None], 0.0, m), memory)
            hidden, memory = lstm(x, memory)
            return memory, hidden

        memory, x = jax.lax.scan(step, memory, (self.trunk(observations, tap), is_first))
        return self._decide(x, memory, tap)


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Checked):
    """Configure a network; what all configurations share is the size of the LSTM, 0 for none."""

    kind: ClassVar[str] = "environment"  # of the contests whose subjects it builds

    lstm: int = 0

    def __post_init__(self) -> None:
        settle(self, lstm=(0, None))

    @classmethod
    def by_name(cls, name: str) -> "NetworkConfig":
        """Look a configuration up in `NETWORKS`. Raises UsageError with the nearest names."""
        if name not in NETWORKS:
            raise UsageError(unknown("network", name, NETWORKS))
        return NETWORKS[name]

    def new(self, env: Environment, seed: int) -> Network:
        """Build a network for what an environment shows, its parameters drawn from a seed."""
        level = jax.eval_shape(env.shift().train.sample, jax.random.key(0))
        seen = jax.eval_shape(lambda level: env.observe(level, env.reset(level)), level)
        bordered = env.bordered and seen.dtype == bool  # a picture shows its border itself
        return self.build(np.random.default_rng(seed), seen.shape, env.num_actions, bordered)

    def build(
        self,
        rng: np.random.Generator,
        shape: tuple[int, ...],
        num_actions: int,
        bordered: bool = True,
    ) -> Network:
        """Draw the parameters of a network for observations of a shape [h, w, c].

        `bordered`: convolutions see a cell of wall around the observation.
        """
        trunk, size = self.trunk(rng, shape, bordered)
        lstm = None
        if self.lstm:
            lstm = LSTM(_linear(rng, size + self.lstm, 4 * self.lstm, 1.0))
            size = self.lstm
        # A small policy head starts near the uniform policy.
        return Network(trunk, lstm, _linear(rng, size, num_actions, 0.01), _linear(rng, size, 1, 1.0))

    @abc.abstractmethod
    def trunk(
        self, rng: np.random.Generator, shape: tuple[int, ...], bordered: bool
    ) -> tuple[Trunk, int]:
        """Draw the trunk for observations of a shape [h, w, c], and count its features.

        `bordered` says whether symbolic observations end where the board does.
        """
        ...


@dataclasses.dataclass(frozen=True)
class MLP(NetworkConfig):
    """Configure dense layers on the flattened observation: `depth` of them, `width` units each."""

    width: int = 128
    depth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        settle(self, width=(1, None), depth=(0, None))

    def trunk(
        self, rng: np.random.Generator, shape: tuple[int, ...], bordered: bool
    ) -> tuple[Trunk, int]:
        sizes = [int(np.prod(shape)), *[self.width] * self.depth]
        layers = (_linear(rng, i, o, 2**0.5) for i, o in itertools.pairwise(sizes))
        return DenseTrunk(tuple(layers)), sizes[-1]


@dataclasses.dataclass(frozen=True)
class Impala(NetworkConfig):
    """Configure the convolutional network of 2105.14111 and 2507.03068.

    `channels` has an entry a stage; `blocks` is the number of residual blocks in each stage.
    """

    papers: ClassVar[tuple[str, ...]] = ("1802.01561",)
    channels: tuple[int, ...] = (16, 32, 32)
    blocks: int | tuple[int, ...] = 2
    dense: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        settle(self, channels=(1, None), blocks=(0, None), dense=(1, None))
        if not self.channels:
            raise UsageError("Impala: channels is (); expected a number for each of one or more stages")
        if isinstance(self.blocks, tuple) and len(self.blocks) != len(self.channels):
            raise UsageError(
                f"Impala: blocks is {self.blocks}, channels {self.channels}; expected a number of "
                "blocks for each stage, or one for all"
            )

    def trunk(
        self, rng: np.random.Generator, shape: tuple[int, ...], bordered: bool
    ) -> tuple[Trunk, int]:
        height, width, inputs = shape
        if bordered:
            height, width = height + 2, width + 2
        counts = (self.blocks,) * len(self.channels) if isinstance(self.blocks, int) else self.blocks
        stages = []
        for outputs, count in zip(self.channels, counts, strict=True):
            first = _convolution(rng, inputs, outputs)
            blocks = tuple(
                Residual(_convolution(rng, outputs, outputs), _convolution(rng, outputs, outputs))
                for _ in range(count)
            )
            stages.append((first, blocks))
            height, width, inputs = -(-height // 2), -(-width // 2), outputs
        dense = _linear(rng, height * width * inputs, self.dense, 2**0.5)
        return ImpalaTrunk(tuple(stages), dense, bordered), self.dense


def _linear(rng: np.random.Generator, inputs: int, outputs: int, gain: float) -> Linear:
    """Draw orthogonal weights, with zero biases."""
    wide = rng.standard_normal((max(inputs, outputs), min(inputs, outputs)))
    q, r = np.linalg.qr(wide)
    q = q * np.sign(np.diag(r))
    weight = gain * (q if inputs >= outputs else q.T)
    return Linear(jnp.asarray(weight, jnp.float32), jnp.asarray(np.zeros(outputs, np.float32)))


def _convolution(rng: np.random.Generator, inputs: int, outputs: int) -> Convolution:
    """Draw Glorot-uniform weights, with zero biases, as in 2105.14111."""
    limit = (6 / (9 * (inputs + outputs))) ** 0.5
    weight = rng.uniform(-limit, limit, (3, 3, inputs, outputs))
    return Convolution(jnp.asarray(weight, jnp.float32), jnp.asarray(np.zeros(outputs, np.float32)))


NETWORKS: dict[str, NetworkConfig] = {
    "mlp": MLP(),
    "mlp-lstm": MLP(lstm=128),
    "impala": Impala(),
    "impala-lstm": Impala(lstm=256),
    "impala-small": Impala(blocks=(1, 1, 2)),
}
