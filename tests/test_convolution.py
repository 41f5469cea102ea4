"""Our convolution and max-pool against XLA's own, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from goalgap.agents.convolution import conv3x3, max_pool

# Whole boards, rows, strips; square and not; smaller than the kernel.
BOARDS = [(1, 1), (1, 5), (5, 1), (2, 2), (3, 3), (4, 4), (5, 8), (9, 9), (4, 13)]


def xla_convolution(x, weight, bias):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=layout) + bias


def xla_max_pool(x):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def both(ours, reference, change, *inputs):
    """Values and gradients of two functions; `change` is what flows back into each."""

    def value_and_gradients(function):
        value, pull = jax.vjp(function, *inputs)
        return value, pull(change)

    return jax.jit(lambda: (value_and_gradients(ours), value_and_gradients(reference)))()


def assert_close(ours, reference):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(reference), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("height", "width"), BOARDS)
def test_convolution_and_its_gradients_are_those_of_xla(height, width):
    x, weight, bias = normal(0, 4, height, width, 3), normal(1, 3, 3, 3, 5), normal(2, 5)
    change = normal(3, 4, height, width, 5)
    assert_close(*both(conv3x3, xla_convolution, change, x, weight, bias))


@pytest.mark.parametrize(("height", "width"), BOARDS)
def test_max_pool_and_its_gradient_are_those_of_xla(height, width):
    """Also where cells are equal: the first one takes the gradient."""
    x = normal(0, 4, height, width, 3)
    x = jnp.asarray(np.concatenate([x, np.round(x)]))
    change = normal(1, 8, -(-height // 2), -(-width // 2), 3)
    assert_close(*both(max_pool, xla_max_pool, change, x))


def test_batch_axes_are_free():
    x, weight, bias = normal(0, 2, 3, 6, 6, 2), normal(1, 3, 3, 2, 4), normal(2, 4)

    @jax.jit
    def convolve(x, one):
        return [max_pool(conv3x3(some, weight, bias)) for some in (x, one)]

    together, alone = convolve(x, x[1, 2])
    assert together.shape == (2, 3, 3, 3, 4)
    assert_close(np.asarray(together)[1, 2], alone)


def test_a_fleet_of_kernels_in_a_scan_is_each_kernel_alone():
    x, weight, bias = normal(0, 2, 5, 4, 6, 2), normal(1, 2, 3, 3, 2, 4), normal(2, 2, 4)

    def loss(weight, bias, x):
        return (max_pool(conv3x3(x, weight, bias)) ** 2).sum()

    def gradient(weight, bias, xs):
        def add(total, x):
            return total + jax.grad(loss)(weight, bias, x), None

        return jax.lax.scan(add, jnp.zeros_like(weight), xs[:, None])[0]

    fleet = jax.jit(jax.vmap(gradient))(weight, bias, x)
    alone = jax.jit(jax.grad(loss))(weight[1], bias[1], x[1])
    np.testing.assert_allclose(fleet[1], alone, rtol=1e-4, atol=1e-4)
