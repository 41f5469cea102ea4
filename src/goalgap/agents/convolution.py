"""Compute 3x3 convolutions and max-pooling as matrix products and selections, for training on CPU.

XLA's CPU gradient of a convolution is slow, and ten times slower still inside a loop (jax issue 12868);
its gradient of a max-pool (select-and-scatter) is slower than the convolutions around it. A matrix
product has neither fault. So a strip of cells side by side is multiplied by the block-Toeplitz matrix of
the kernel: wide products run near the machine's peak, which pays for the zeros they multiply. What to
use was measured; `benchmarks/impala.py` has the comparison and `LOG.md` what was tried.

All of it is plain JAX: it may be jitted, scanned, differentiated and vmapped. It is at its best on a few
hundred boards at a time, whose intermediate arrays stay in the cache.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

WHOLE = 9  # boards of at most so many cells are treated as one dense layer
WIDEST = 8  # wider boards are cut into strips
STRIP = 4  # cells of a strip


def conv3x3(
    x: Float[Array, "*b h w i"], weight: Float[Array, "3 3 i o"], bias: Float[Array, " o"]
) -> Float[Array, "*b h w o"]:
    """Convolve boards with a 3x3 kernel, stride 1, zero padding.

    Returns the same numbers, up to rounding, as `jax.lax.conv_general_dilated` with NHWC, HWIO and SAME.
    """
    height, width, inputs = x.shape[-3:]
    boards = x.reshape(-1, height, width, inputs)
    if height * width <= WHOLE:
        columns, matrix = _whole(boards, weight)
    elif width <= WIDEST:
        columns, matrix = _rows(boards, weight)
    else:
        columns, matrix = _strips(boards, weight)
    strips = columns @ matrix + jnp.tile(bias, matrix.shape[-1] // bias.shape[-1])
    y = strips.reshape(*boards.shape[:2], -1, bias.shape[-1])[:, :, :width]
    return y.reshape(*x.shape[:-1], -1)


def _whole(x: Array, weight: Array) -> tuple[Array, Array]:
    """Lay out each board as one row, and make the matrix of the whole convolution."""
    batch, height, width, inputs = x.shape
    matrix = _band(_band(weight, 1, width, 0), 0, height, 0)
    matrix = matrix.transpose(0, 2, 4, 1, 3, 5).reshape(height * width * inputs, -1)
    return x.reshape(batch, -1), matrix


def _rows(x: Array, weight: Array) -> tuple[Array, Array]:
    """Lay out every row of cells with its neighbors above and below, and make the matrix for one row."""
    batch, height, width, inputs = x.shape
    matrix = _band(weight, 1, width, 0).transpose(0, 1, 3, 2, 4).reshape(3 * width * inputs, -1)
    return _three_rows(x.reshape(batch, height, 1, -1)), matrix


def _strips(x: Array, weight: Array) -> tuple[Array, Array]:
    """Lay out strips of rows, as `_rows` does whole ones, and make the matrix for one strip.

    Strips overlap by the cell that each needs from its neighbor.
    """
    batch, height, width, inputs = x.shape
    count = -(-width // STRIP)
    matrix = _band(weight, 1, STRIP, 1).transpose(0, 1, 3, 2, 4).reshape(3 * (STRIP + 2) * inputs, -1)
    x = jnp.pad(x, ((0, 0), (0, 0), (1, (count + 1) * STRIP - width - 1), (0, 0)))
    x = x.reshape(batch, height, count + 1, -1)
    x = jnp.concatenate([x[:, :, :-1], x[:, :, 1:, : 2 * inputs]], -1)
    return _three_rows(x), matrix


def _three_rows(x: Float[Array, "b h s n"]) -> Float[Array, "r k"]:
    """Put each row of strips beside the rows above and below it."""
    batch, height, strips, size = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    x = jnp.concatenate([x[:, row : row + height] for row in range(3)], -1)
    return x.reshape(batch * height * strips, 3 * size)


def _band(kernel: Array, axis: int, size: int, margin: int) -> Array:
    """Make the matrix of a convolution along one axis: axis 3 becomes (size + 2 margin, size)."""
    # Slices, not a product with constants: their gradient costs a tenth.
    pad = [(0, 0)] * kernel.ndim
    pad[axis] = (size - 1, size - 1)
    padded = jnp.pad(kernel, pad)
    columns = [
        jax.lax.slice_in_dim(padded, size - margin - out, 2 * size + margin - out, axis=axis)
        for out in range(size)
    ]
    return jnp.stack(columns, axis + 1)


def max_pool(x: Float[Array, "*b h w c"]) -> Float[Array, "*b y x c"]:
    """Take the maximum over 3x3 windows, stride 2, padding SAME: sides are halved, rounding up.

    The gradient goes to the first of equal cells, in reading order, as XLA's does. Boolean boards make
    ties the rule, so a gradient split between equal cells would be another one.
    """
    return _pool(_pool(x, x.ndim - 2), x.ndim - 3)


def _pool(x: Array, axis: int) -> Array:
    size = x.shape[axis]
    odd, half = size % 2, -(-size // 2)
    pad = [(0, 0)] * x.ndim
    pad[axis] = (odd, 2 * (half + 1) - size - odd)
    x = jnp.pad(x, pad, constant_values=-jnp.inf)
    # Windows in pairs: strided slices would have slow gradients.
    x = x.reshape(*x.shape[:axis], half + 1, 2, *x.shape[axis + 1 :])
    first, second = (jax.lax.index_in_dim(x, i, axis + 1, keepdims=False) for i in range(2))
    start, end = (jax.lax.slice_in_dim(first, i, half + i, axis=axis) for i in range(2))
    middle = jax.lax.slice_in_dim(second, 0, half, axis=axis)
    return _larger(_larger(start, middle), end)


def _larger(a: Array, b: Array) -> Array:
    return jnp.where(a >= b, a, b)
