"""Networks: sizes as published, time, named activations, initialization."""

import dataclasses
import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from goalgap.agents.networks import (
    MLP,
    NETWORKS,
    ActivationRecorder,
    Impala,
    ImpalaTrunk,
    Network,
    NetworkConfig,
)
from goalgap.core import Decision

SMALL: dict[str, NetworkConfig] = {
    "mlp": MLP(width=16),
    "mlp-lstm": MLP(lstm=8, width=16),
    "impala": Impala(channels=(2, 8), blocks=1, dense=16),
    "impala-lstm": Impala(lstm=8, channels=(4, 8), blocks=1, dense=16),
}
SHAPE, NUM_ACTIONS = (5, 5, 3), 4


def build(heads: NetworkConfig, shape=SHAPE, seed: int = 0) -> Network:
    return heads.build(np.random.default_rng(seed), shape, NUM_ACTIONS)


def boards(*batch: int, shape=SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).random((*batch, *shape)) < 0.3)


def num_parameters(network: Network) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(network))


# -- sizes -------------------------------------------------------------------------------------------


def convolutions(*channels: int) -> int:
    """Parameters of 3x3 convolutions one after another."""
    return sum(9 * i * o + o for i, o in itertools.pairwise(channels))


def test_the_published_network_has_the_published_size():
    """Large IMPALA on 13x13 and its border: 15x15, pooled to 8, 4 and 2 cells a side."""
    stages = convolutions(3, 16, 16, 16, 16, 16)
    stages += convolutions(16, 32, 32, 32, 32, 32) + convolutions(32, 32, 32, 32, 32, 32)
    dense = 2 * 2 * 32 * 256 + 256
    heads = 256 * 4 + 4 + 256 + 1
    assert num_parameters(build(NETWORKS["impala"], (13, 13, 3))) == stages + dense + heads == 131_909
    lstm = (256 + 256) * 4 * 256 + 4 * 256
    assert num_parameters(build(NETWORKS["impala-lstm"], (13, 13, 3))) == 131_909 + lstm


def test_the_small_network_lacks_the_second_blocks_of_two_stages():
    fewer = convolutions(16, 16, 16) + convolutions(32, 32, 32)
    small = num_parameters(build(NETWORKS["impala-small"], (13, 13, 3)))
    assert small == 131_909 - fewer == 108_773


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_decides(name):
    network = build(NETWORKS[name])
    decision = eqx.filter_eval_shape(network, boards(2), network.initial(2))
    assert decision.logits.shape == (2, NUM_ACTIONS)
    assert decision.value.shape == (2,)
    assert jax.tree.map(jnp.shape, decision.memory) == jax.tree.map(jnp.shape, network.initial(2))
    assert (network.lstm is not None) == name.endswith("lstm")


# -- time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "mlp-lstm", "impala-lstm"])
def test_unroll_is_step_by_step(name):
    """Seven steps of three lanes, starting in the middle of episodes, with resets on the way."""
    network = build(SMALL[name])
    rng = np.random.default_rng(2)
    observations, is_first = boards(7, 3), rng.random((7, 3)) < 0.3
    assert is_first.any() and not is_first[0].all()
    start = jax.tree.map(lambda m: jnp.asarray(rng.normal(size=m.shape), m.dtype), network.initial(3))
    unrolled = eqx.filter_jit(network.unroll)(observations, jnp.asarray(is_first), start)
    step = eqx.filter_jit(network)
    observations, memory = np.asarray(observations), start
    for time in range(7):
        fresh = is_first[time][:, None]
        memory = jax.tree.map(lambda m: jnp.asarray(np.where(fresh, np.float32(0), m)), memory)  # noqa: B023
        decision = step(jnp.asarray(observations[time]), memory)
        memory = decision.memory
        np.testing.assert_allclose(unrolled.logits[time], decision.logits, atol=1e-6)
        np.testing.assert_allclose(unrolled.value[time], decision.value, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), unrolled.memory, memory)


def test_memory_matters_only_until_the_next_reset():
    network = build(SMALL["mlp-lstm"])
    is_first = jnp.asarray(np.arange(4)[:, None] == 2)
    unroll = eqx.filter_jit(lambda memory: network.unroll(boards(4, 1), is_first, memory).value)
    start = network.initial(1)
    ones = jax.tree.map(lambda leaf: jnp.asarray(np.ones_like(leaf)), start)
    fresh, other = np.asarray(unroll(start)), np.asarray(unroll(ones))
    assert (np.abs(fresh - other)[:2] > 1e-4).all()
    np.testing.assert_array_equal(fresh[2:], other[2:])


def test_gradients_go_through_time_until_the_reset():
    """From the value at the last step back to the memory before the first."""
    network = build(SMALL["mlp-lstm"])

    def last_value(memory, is_first):
        return network.unroll(boards(4, 1), is_first, memory).value[-1, 0]

    start, slope = network.initial(1), eqx.filter_jit(jax.grad(last_value))
    never, once = (jnp.asarray(np.arange(4)[:, None] == time) for time in (-1, 2))
    assert all(np.abs(leaf).max() > 1e-4 for leaf in slope(start, never))
    assert not any(np.any(leaf) for leaf in slope(start, once))


def test_the_lstm_is_the_textbook_one():
    """Hochreiter & Schmidhuber's, with a forget gate that starts open (bias 1)."""
    network = build(SMALL["mlp-lstm"])
    assert network.lstm is not None
    rng = np.random.default_rng(3)
    x, hidden, cell = rng.normal(size=(2, 16)), rng.normal(size=(2, 8)), rng.normal(size=(2, 8))
    result, (new_hidden, new_cell) = eqx.filter_jit(network.lstm)(
        jnp.asarray(x), (jnp.asarray(hidden), jnp.asarray(cell))
    )

    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    weight, bias = (np.asarray(a, float) for a in (network.lstm.gates.weight, network.lstm.gates.bias))
    gates = np.concatenate([x, hidden], 1) @ weight + bias
    i, f, g, o = (gates[:, 8 * n : 8 * (n + 1)] for n in range(4))
    cell = sigmoid(f + 1) * cell + sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(new_cell, cell, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(new_hidden, sigmoid(o) * np.tanh(cell), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result, new_hidden)


# -- activations -------------------------------------------------------------------------------------

NAMES = {
    "mlp": {"dense0", "dense1"},
    "mlp-lstm": {"dense0", "dense1"},
    "impala": {"stage0", "stage1", "dense"},
    "impala-lstm": {"stage0", "stage1", "dense"},
}


@pytest.mark.parametrize("name", SMALL)
def test_activations_are_named(name):
    network = build(SMALL[name])
    decision = eqx.filter_jit(network)(boards(2), network.initial(2))
    seen = decision.activations
    assert set(seen) == NAMES[name] | {"features", "logits", "value"}
    np.testing.assert_array_equal(seen["logits"], decision.logits)
    np.testing.assert_array_equal(seen["value"], decision.value)
    assert seen["features"].shape == (2, 8 if network.lstm is not None else 16)
    head = network.policy_head
    last = np.asarray(seen["features"]) @ np.asarray(head.weight) + np.asarray(head.bias)
    np.testing.assert_allclose(last, decision.logits, atol=1e-6)
    if "stage1" in seen:
        assert seen["stage1"].shape == (2, 2, 2, 8)  # 5 and its border: 7, pooled to 4 and 2


@pytest.mark.parametrize("name", ["mlp-lstm", "impala"])
def test_any_activation_can_be_replaced(name):
    """By another episode's: from there on, it is that episode."""
    network = build(SMALL[name])
    x, other = np.split(np.asarray(boards(2)), 2)

    @jax.jit
    def decide(x: Any, other: Any) -> tuple[Decision, Decision, dict[str, Decision]]:
        """As it is, as the other is, and as it is with each activation of the other."""
        plain, wanted = (network(seen, network.initial(1)) for seen in (x, other))
        replaced = {name: lambda _, a=a: a for name, a in wanted.activations.items()}
        swapped = {
            name: network(x, network.initial(1), {name: change}) for name, change in replaced.items()
        }
        return plain, wanted, swapped

    plain, wanted, every = decide(x, other)
    assert not np.allclose(plain.value, wanted.value)
    for part in plain.activations:
        swapped = every[part]
        np.testing.assert_array_equal(swapped.activations[part], wanted.activations[part])
        if part != "logits":
            np.testing.assert_allclose(swapped.value, wanted.value, atol=1e-6)
        if part != "value":
            np.testing.assert_allclose(swapped.logits, wanted.logits, atol=1e-6)


def test_patches_see_what_earlier_patches_made():
    network = build(SMALL["mlp"])
    patch = {"dense0": lambda a: a * 0, "features": lambda a: a + 1}
    decision = jax.jit(lambda x: network(x, (), patch))(boards(2))
    np.testing.assert_array_equal(decision.activations["dense1"], 0)
    np.testing.assert_array_equal(decision.activations["features"], 1)


def test_unknown_activations_are_refused():
    network = build(SMALL["mlp"])
    with pytest.raises(KeyError, match=r"no activation named \['dense7'\]; there are .*'dense1'"):
        network(boards(2), (), {"dense7": lambda a: a})


# -- initialization and border -----------------------------------------------------------------------


def test_dense_layers_start_orthogonal():
    network = build(MLP(lstm=8, width=100))
    layers = [
        (network.trunk.layers[0], 2**0.5),  # type: ignore[attr-defined]
        (network.trunk.layers[1], 2**0.5),  # type: ignore[attr-defined]
        (network.lstm.gates, 1.0),  # type: ignore[union-attr]
        (network.policy_head, 0.01),
        (network.value_head, 1.0),
    ]
    for layer, gain in layers:
        weight = np.asarray(layer.weight, float) / gain
        small = weight.T @ weight if weight.shape[0] >= weight.shape[1] else weight @ weight.T
        np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-5)
        assert not np.any(layer.bias)


def test_convolutions_start_glorot_uniform():
    trunk = build(NETWORKS["impala"]).trunk
    assert isinstance(trunk, ImpalaTrunk)
    first = np.asarray(trunk.stages[2][1][0].first.weight)
    limit = (6 / (9 * 64)) ** 0.5
    assert np.abs(first).max() <= limit
    assert first.std() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert not np.any(trunk.stages[0][0].bias)


def test_parameters_depend_on_the_seed_alone():
    one, same, other = (build(SMALL["mlp"], seed=seed) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.allclose(one.value_head.weight, other.value_head.weight)


def test_first_policies_are_nearly_uniform():
    network = build(NETWORKS["mlp"])
    probabilities = jax.jit(lambda x: jax.nn.softmax(network(x, ()).logits))(boards(50))
    np.testing.assert_allclose(probabilities, 0.25, atol=0.02)


def test_convolutional_networks_see_a_border_of_wall():
    """And are, layer by layer, what the slow way makes of the board with its border."""
    trunk = build(SMALL["impala"]).trunk
    assert isinstance(trunk, ImpalaTrunk) and trunk.border
    observation = boards(3, 2)
    walled = np.zeros((3, 2, 7, 7, 3), bool)
    walled[..., 0] = True
    walled[..., 1:-1, 1:-1, :] = observation
    result = eqx.filter_jit(trunk)(observation, ActivationRecorder(None))
    expected = reference(trunk, walled.reshape(-1, 7, 7, 3).astype(np.float32))
    np.testing.assert_allclose(result.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
    bare = dataclasses.replace(trunk, border=False)
    np.testing.assert_allclose(
        eqx.filter_jit(bare)(jnp.asarray(walled), ActivationRecorder(None)), result, atol=1e-5
    )


def reference(trunk: ImpalaTrunk, x: np.ndarray) -> np.ndarray:
    """Layer by layer in NumPy: 3x3 convolutions, max-pooling 3x3 with stride 2 (Espeholt et al.)."""

    def convolve(layer, x):
        around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), (1, 2))
        return np.einsum("bhwiyx,yxio->bhwo", windows, np.asarray(layer.weight)) + np.asarray(layer.bias)

    def pool(x):
        # "Same" padding: an odd side gets a cell on both ends, an even one only at its end.
        pads = [(side % 2, 1) for side in x.shape[1:3]]
        around = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), (1, 2))
        return windows.max((-1, -2))[:, ::2, ::2]

    for convolution, blocks in trunk.stages:
        x = pool(convolve(convolution, x))
        for block in blocks:
            x = x + convolve(block.second, np.maximum(convolve(block.first, np.maximum(x, 0)), 0))
    x = np.maximum(x, 0).reshape(len(x), -1)
    return np.maximum(x @ np.asarray(trunk.dense.weight) + np.asarray(trunk.dense.bias), 0)
