"""Time functions, for all benchmarks."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def seconds(*functions: Callable[[], Any], repeats: int = 5) -> list[float]:
    """Return the best time of each function, in seconds.

    The functions run in turn, so that drift of the machine hits all alike. Each is called once
    beforehand (compilation), and waited for.
    """
    for function in functions:
        jax.block_until_ready(function())
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for index, function in enumerate(functions):
            began = time.perf_counter()
            jax.block_until_ready(function())
            best[index] = min(best[index], time.perf_counter() - began)
    return best


def matrix_peak(size: int = 2048) -> float:
    """Measure the floating-point operations a second of a float32 matrix product on all cores."""
    a = jnp.ones((size, size))
    product = jax.jit(lambda a: a @ a)
    (best,) = seconds(lambda: product(a), repeats=10)
    return 2 * size**3 / best


def row(what: str, ours: float, reference: float | None, unit: str, note: str = "") -> dict[str, Any]:
    """Make one line of a benchmark's table, in which larger numbers are better."""
    ratio = None if reference is None else ours / reference
    return {
        "what": what,
        "ours": ours,
        "reference": reference,
        "ratio": ratio,
        "unit": unit,
        "note": note,
    }
