"""Compute decoder-only transformers of GPT-2's architecture, small enough to train from nothing.

Learned positions, layer norms before each part, GELU, the output tied to the embedding: a model can be
handed to other tools weight for weight (`huggingface.export`). Padding (token 0) is masked wherever it
stands and has no position, so that dialogues may be kept in slots of fixed size, which the model never
notices. Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..core import UsageError
from ..settings import Checked
from .vocabulary import PAD

Patch = Mapping[str, Callable[[Array], Array]]  # replaces named activations in flight
EPSILON = 1e-5  # of layer norms
_NEGATIVE = -1e9  # the logit of what may not be looked at


@dataclasses.dataclass(frozen=True)
class Architecture(Checked):
    """Say how large a model is; `Architecture()` has about 65,000 parameters with a hundred words."""

    kind: ClassVar[str] = "language"  # of the contests whose subjects it builds

    layers: int = 2
    width: int = 48
    heads: int = 4

    def new(self, scenario: Any, seed: int) -> "Transformer":
        """Draw a fresh model for a scenario's vocabulary and dialogues from a seed."""
        return new(self, len(scenario.vocabulary), scenario.context, seed)

    def __post_init__(self) -> None:
        if not (1 <= self.layers <= 48 and 1 <= self.heads <= self.width <= 4096):
            raise UsageError(
                f"layers {self.layers}, width {self.width}, heads {self.heads}: expected 1 to 48 layers "
                "and a width of 1 to 4096 that is no less than the heads"
            )
        if self.width % self.heads:
            raise UsageError(
                f"width is {self.width}, heads {self.heads}; the width must be a multiple of the heads"
            )


class Norm(eqx.Module):
    """Normalize the last axis to mean 0 and variance 1, then scale and shift it."""

    scale: Float[Array, "*layers width"]
    bias: Float[Array, "*layers width"]

    def __call__(self, x: Float[Array, "... width"]) -> Float[Array, "... width"]:
        centered = x - x.mean(-1, keepdims=True)
        variance = (centered * centered).mean(-1, keepdims=True)
        return centered * jax.lax.rsqrt(variance + EPSILON) * self.scale + self.bias


class Linear(eqx.Module):
    """Apply an affine map to the last axis."""

    weight: Float[Array, "*layers inputs outputs"]
    bias: Float[Array, "*layers outputs"]

    def __call__(self, x: Float[Array, "... inputs"]) -> Float[Array, "... outputs"]:
        return x @ self.weight + self.bias


class Block(eqx.Module):
    """Hold the parameters of a layer; in a model, of all layers, along a leading axis."""

    norm_1: Norm
    qkv: Linear
    out: Linear
    norm_2: Norm
    up: Linear
    down: Linear


class Cache(NamedTuple):
    """Hold what a model remembers of a dialogue, in slots, layer by layer. b: batch, t: slots."""

    keys: tuple[Float[Array, "b heads t size"], ...]
    values: tuple[Float[Array, "b heads t size"], ...]
    is_word: Bool[Array, "b t"]
    num_words: Int[Array, " b"]  # the next word's position


class Transformer(eqx.Module):
    """Predict each next token; `new` makes a model.

    A fleet of models has a leading axis on every array.
    """

    embedding: Float[Array, "words width"]
    positions: Float[Array, "context width"]
    blocks: Block
    norm: Norm
    heads: int = eqx.field(static=True)

    @property
    def layers(self) -> int:
        """Count the layers."""
        return self.blocks.up.bias.shape[0]

    @property
    def num_parameters(self) -> int:
        """Count the parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self))

    def __call__(
        self, tokens: Int[Array, "b t"], patch: Patch | None = None
    ) -> tuple[Float[Array, "b t words"], dict[str, Array]]:
        """Return the logits of each next token, and the activations by name.

        These are `embedding`, and for each layer n `n.attention` and `n.mlp` (what it adds) and
        `n.residual` (the stream after it).
        """
        logits, _, activations = self._read(tokens, patch=patch)
        return logits, activations

    def start(self, batch: int, slots: int) -> Cache:
        """Make an empty cache for dialogues of at most so many slots."""
        size = self.embedding.shape[-1] // self.heads
        empty = (jnp.zeros((batch, self.heads, slots, size), self.embedding.dtype),) * self.layers
        return Cache(empty, empty, jnp.zeros((batch, slots), bool), jnp.zeros(batch, jnp.int32))

    def extend(
        self, tokens: Int[Array, "b t"], cache: Cache, at: int | Int[Array, ""], last: bool = False
    ) -> tuple[Float[Array, "b answered words"], Cache]:
        """Read tokens that stand in the slots from `at` on, after what the cache holds.

        Returns their logits and the cache with the tokens. With `last`, only the logits after the last
        token are worked out.
        """
        logits, extended, _ = self._read(tokens, cache, at, None, last)
        assert extended is not None
        return logits, extended

    def _read(
        self,
        tokens: Int[Array, "b t"],
        cache: Cache | None = None,
        at: int | Int[Array, ""] = 0,
        patch: Patch | None = None,
        last: bool = False,
    ) -> tuple[Float[Array, "b answered words"], Cache | None, dict[str, Array]]:
        """Read tokens after what the cache holds; without a cache, the tokens are all there is."""
        patch = patch or {}
        activations: dict[str, Array] = {}

        def name(name: str, value: Array) -> Array:
            activations[name] = patch[name](value) if name in patch else value
            return activations[name]

        is_word = tokens != PAD
        seen = jnp.cumsum(is_word, 1, dtype=jnp.int32)
        place = jnp.maximum(seen - 1, 0) if cache is None else cache.num_words[:, None] + seen - 1
        place = jnp.clip(place, 0, self.positions.shape[0] - 1)
        x = name("embedding", self.embedding[tokens] + self.positions[place])
        slot = at + jnp.arange(tokens.shape[1])
        if cache is None:
            known = is_word
        else:
            known = jax.lax.dynamic_update_slice(cache.is_word, is_word, (0, at))
        before = slot[:, None] >= jnp.arange(known.shape[1])
        # [b, 1, query, key]; padding looks at everything before it, so that its softmax is defined.
        mask = jnp.where((before & known[:, None])[:, None], 0.0, _NEGATIVE)
        keys, values = [], []
        for layer in range(self.layers):
            block: Block = jax.tree.map(lambda leaf, layer=layer: leaf[layer], self.blocks)
            q, k, v = self._split(block.qkv(block.norm_1(x)))
            if cache is not None:
                k = jax.lax.dynamic_update_slice(cache.keys[layer], k, (0, 0, at, 0))
                v = jax.lax.dynamic_update_slice(cache.values[layer], v, (0, 0, at, 0))
                keys.append(k)
                values.append(v)
            if last and layer == self.layers - 1:
                x, q, mask = x[:, -1:], q[:, :, -1:], mask[:, :, -1:]
            x = x + name(f"{layer}.attention", block.out(_attend(q, k, v, mask)))
            hidden = jax.nn.gelu(block.up(block.norm_2(x)), approximate=True)
            x = x + name(f"{layer}.mlp", block.down(hidden))
            x = name(f"{layer}.residual", x)
        logits = self.norm(x) @ self.embedding.T
        if cache is not None:
            cache = Cache(tuple(keys), tuple(values), known, cache.num_words + seen[:, -1])
        return logits, cache, activations

    def _split(self, qkv: Float[Array, "b t three"]) -> Float[Array, "3 b heads t size"]:
        """Return queries, keys and values, in the order in which products of matrices want them."""
        apart = qkv.reshape(*qkv.shape[:2], 3, self.heads, -1)
        return jnp.moveaxis(apart, (2, 3), (0, 2))


def _attend(
    q: Float[Array, "b heads q size"],
    k: Float[Array, "b heads k size"],
    v: Float[Array, "b heads k size"],
    mask: Float[Array, "b 1 q k"],
) -> Float[Array, "b q width"]:
    scores = jnp.einsum("bhqs,bhks->bhqk", q, k) * q.shape[-1] ** -0.5 + mask
    mixed = jnp.einsum("bhqk,bhks->bhqs", jax.nn.softmax(scores), v).swapaxes(1, 2)
    return mixed.reshape(*mixed.shape[:2], -1)


def new(architecture: Architecture, num_words: int, context: int, seed: int) -> Transformer:
    """Draw a fresh model for dialogues of at most `context` words.

    NumPy draws it: fast, and the same for a seed on every machine. Weights are normal with deviation
    .02, those that write into the stream divided by the square root of twice the layers, as GPT-2's.
    """
    rng = np.random.default_rng((seed, 0x6A0))
    n, width = architecture.layers, architecture.width

    # All of this in NumPy, and put in place as it is: for each shape JAX would compile a program, for
    # arithmetic, for a change of type, even for `asarray`.
    def normal(*shape: int, deviation: float = 0.02) -> Array:
        return jax.device_put(rng.normal(0, deviation, shape).astype(np.float32))

    def linear(inputs: int, outputs: int, deviation: float) -> Linear:
        return Linear(normal(n, inputs, outputs, deviation=deviation), constant(0, n, outputs))

    def norm(*shape: int) -> Norm:
        return Norm(constant(1, *shape), constant(0, *shape))

    def constant(value: float, *shape: int) -> Array:
        return jax.device_put(np.full(shape, value, np.float32))

    inward, outward = width**-0.5, width**-0.5 / (2 * n) ** 0.5
    return Transformer(
        embedding=normal(num_words, width),
        positions=normal(context, width),
        blocks=Block(
            norm_1=norm(n, width),
            qkv=linear(width, 3 * width, inward),
            out=linear(width, width, outward),
            norm_2=norm(n, width),
            up=linear(width, 4 * width, inward),
            down=linear(4 * width, width, outward / 2),
        ),
        norm=norm(width),
        heads=architecture.heads,
    )
