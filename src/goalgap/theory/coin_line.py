"""Train the coin line's linear learner: how long does the proxy hold with few counterexamples?

On the cells 0 to L stand a mouse at p and a coin at c. A linear logistic policy goes right with
probability sigmoid(w . x), where x = (1, p, c), or (1, c - p) with `relative`. It learns to go to the
coin by full-batch gradient descent from w = 0 on the expected logistic loss, which is a sum over all
situations and so has no luck in it. In a share `epsilon` of the episodes the coin lies uniformly on 0 to
L - 1 and the mouse uniformly on another cell; in the rest the coin lies at L, the right end, and the
mouse uniformly on 0 to L - 1.

With epsilon = 0 "go right" and "go to the coin" tie. The weights then approach the direction of largest
margin (arXiv 1710.10345, theorem 3), (1, 0, L) / (1 + L^2), which goes right wherever the mouse stands:
the proxy wins, unless the one feature is c - p. With epsilon > 0 the data are separable along c - p
alone, so that the goal wins in the end; until then it takes a time that grows like 1 / epsilon.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..core import UsageError


class Situations(NamedTuple):
    """Hold all situations of the training episodes; n: situations, f: features."""

    features: Float[np.ndarray, "n f"]
    right: Float[np.ndarray, " n"]  # the way to the coin: 1 right, -1 left
    probability: Float[np.ndarray, " n"]


def situations(epsilon: float, length: int = 8, relative: bool = False) -> Situations:
    """List what the learner sees, each situation with its probability."""
    mouse, coin = np.indices((length + 1, length + 1), float)
    at_end = (coin == length) & (mouse < length)
    elsewhere = (coin < length) & (mouse != coin)
    probability = (1 - epsilon) * at_end / at_end.sum() + epsilon * elsewhere / elsewhere.sum()
    seen = probability > 0
    mouse, coin, probability = mouse[seen], coin[seen], probability[seen]
    return Situations(features(mouse, coin, relative), np.sign(coin - mouse), probability)


def features(
    mouse: Float[np.ndarray, " n"], coin: Float[np.ndarray, " n"], relative: bool = False
) -> Float[np.ndarray, "n f"]:
    """Stack the features of each situation: (1, p, c), or (1, c - p) with `relative`."""
    one = np.ones_like(mouse)
    return np.stack([one, coin - mouse] if relative else [one, mouse, coin], -1)


def probe(length: int = 8, relative: bool = False) -> Float[np.ndarray, " f"]:
    """Return the features of the test situation, in which the goals come apart.

    The mouse stands in the middle (rounded up), the coin at the left end.
    """
    return features(np.array([float((length + 1) // 2)]), np.zeros(1), relative)[0]


def train(
    epsilon: float,
    steps: int,
    length: int = 8,
    learning_rate: float = 0.05,
    relative: bool = False,
) -> Float[np.ndarray, " f"]:
    """Return the weights after `steps` steps of gradient descent.

    Raises UsageError for a share outside 0 to 1, a line of fewer than 3 cells (length 2), a learning
    rate that is not positive, or less than one step.
    """
    *_, weights = _descend(epsilon, steps, length, learning_rate, relative)
    return weights


def flip_step(
    epsilon: float,
    length: int = 8,
    learning_rate: float = 0.05,
    relative: bool = False,
    max_steps: int = 20_000,
) -> int | None:
    """Find the gradient step that turns the policy, in the `probe` situation, to the goal.

    Counted from 0: the first step after which the policy would rather go left there, as the goal asks,
    than right, as the proxy does. None where none of `max_steps` does. Raises UsageError like `train`.
    """
    at = probe(length, relative)
    descent = _descend(epsilon, max_steps, length, learning_rate, relative)
    return next((step for step, weights in enumerate(descent) if weights @ at < 0), None)


def _descend(
    epsilon: float, steps: int, length: int, learning_rate: float, relative: bool
) -> Iterator[Float[np.ndarray, " f"]]:
    """Yield the weights after each step."""
    if not 0 <= epsilon <= 1:
        raise UsageError(f"epsilon is {epsilon}; it is a share of episodes, between 0 and 1")
    if length < 2:
        raise UsageError(f"length is {length}; expected at least 2, the number of the last cell")
    if not learning_rate > 0:
        raise UsageError(f"learning_rate is {learning_rate}; expected more than 0, such as 0.05")
    if steps < 1:
        raise UsageError(f"{steps} steps; expected at least 1")
    seen = situations(epsilon, length, relative)
    signed = seen.features * seen.right[:, None]
    weights = np.zeros(signed.shape[1])
    for _ in range(steps):
        # The slope of log(1 + exp(-m)) at the margin m is -1 / (1 + exp(m)).
        doubt = 1 / (1 + np.exp(signed @ weights))
        weights = weights + learning_rate * (seen.probability * doubt) @ signed
        yield weights
