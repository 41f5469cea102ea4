"""Recover what preference data reward: the weight of each feature of a reply, with its uncertainty.

P(A > B) = sigmoid(sum of a_i phi_i) where phi_i is -1, 0 or 1 as A has less, as much or more of feature
i; there is no intercept, and weights have a Laplace prior whose scale is chosen on held-out pairs.
Source: Sharma et al. 2023, arXiv 2310.13548, section 4.1 (a NUTS sampler, 6,000 draws). Departure: draws
are by Hamiltonian Monte Carlo with a fixed number of steps (Neal 2011, arXiv 1206.1901), in coordinates
in which the likelihood is round; equal comparisons are counted together, which loses nothing.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, special

from ..core import UsageError

SCALES = (0.01, 0.03, 0.1, 0.3, 1.0)
_FOLDS = 6
_CHAINS, _WARM, _DRAWS, _LEAPS = 8, 100, 400, 6


class Coefficients(NamedTuple):
    """Hold the weights of features, in logits. 95 % intervals are of the posterior's quantiles."""

    estimate: Float[np.ndarray, " features"]  # the most probable weights: a fit with an L1 penalty
    median: Float[np.ndarray, " features"]
    low: Float[np.ndarray, " features"]
    high: Float[np.ndarray, " features"]
    scale: float  # of the prior
    accuracy: float  # on pairs held out

    def predict(
        self, features: Float[np.ndarray, "pairs features"] | Int[np.ndarray, "pairs features"]
    ) -> Float[np.ndarray, " pairs"]:
        """Predict P(A > B) of other pairs from how their features differ."""
        return special.expit(features @ self.estimate)


class _Counts(NamedTuple):
    """Count, for each different comparison, how often A and B won."""

    features: Float[np.ndarray, "rows features"]
    won: Float[np.ndarray, " rows"]
    lost: Float[np.ndarray, " rows"]

    def surprise(
        self, weights: Float[np.ndarray, "*chains features"]
    ) -> tuple[Float[np.ndarray, "*chains"], Float[np.ndarray, "*chains features"]]:
        """Compute minus the log-likelihood, and its gradient."""
        logits = weights @ self.features.T
        lost = np.logaddexp(0, logits)
        slope = (self.won + self.lost) * special.expit(logits) - self.won
        total = (lost * (self.won + self.lost) - self.won * logits).sum(-1)
        return np.asarray(total), slope @ self.features


def recover(
    features: Float[np.ndarray, "pairs features"] | Int[np.ndarray, "pairs features"],
    is_first: Bool[np.ndarray, " pairs"],
    rng: np.random.Generator,
    scales: tuple[float, ...] = SCALES,
) -> Coefficients:
    """Recover the weights behind preferences for the first of each pair.

    `features` are -1, 0 or 1 as the first of a pair has less, as much or more. The prior's scale is the
    one under which each sixth of the pairs, drawn at random, is best foretold by the others. Raises
    UsageError for features beyond -1 to 1, and for too few pairs.
    """
    if np.abs(features).max(initial=0) > 1:
        raise UsageError(
            f"a feature differs by {np.abs(features).max():g}, expected -1, 0 or 1; give its sign"
        )
    if len(features) < 2 * _FOLDS:
        raise UsageError(f"{len(features)} pairs, expected at least {2 * _FOLDS}; collect more")
    fold = rng.permutation(len(features)) % _FOLDS
    surprise, hits = np.zeros(len(scales)), np.zeros(len(scales))
    for held in range(_FOLDS):
        kept, rest = fold != held, fold == held
        shown, hidden = _count(features[kept], is_first[kept]), _count(features[rest], is_first[rest])
        for index, scale in enumerate(scales):
            weights = _fit(shown, scale)
            surprise[index] += hidden.surprise(weights)[0]
            is_right = hidden.features @ weights > 0
            hits[index] += np.where(is_right, hidden.won, hidden.lost).sum()
    best = int(surprise.argmin())
    scale, accuracy = scales[best], hits[best] / len(features)
    counts = _count(features, is_first)
    estimate = _fit(counts, scale)
    draws = _draw(counts, scale, rng)
    low, median, high = np.quantile(draws, (0.025, 0.5, 0.975), axis=0)
    return Coefficients(estimate, median, low, high, scale, float(accuracy))


def _count(features: np.ndarray, is_first: Bool[np.ndarray, " pairs"]) -> _Counts:
    different, which = np.unique(features.astype(float), axis=0, return_inverse=True)
    which = which.reshape(-1)
    won = np.bincount(which, is_first, len(different))
    return _Counts(different, won, np.bincount(which, None, len(different)) - won)


def _fit(counts: _Counts, scale: float) -> Float[np.ndarray, " features"]:
    """Find the most probable weights under the prior.

    Their positive and negative parts are bounded by 0, so that the penalty is smooth and weights may be
    exactly 0.
    """
    size = counts.features.shape[1]

    def loss(parts: Float[np.ndarray, " both"]) -> tuple[float, np.ndarray]:
        total, slope = counts.surprise(parts[:size] - parts[size:])
        return float(total + parts.sum() / scale), np.concatenate([slope, -slope]) + 1 / scale

    start, bounds = np.zeros(2 * size), [(0, None)] * (2 * size)
    found = optimize.minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return found[:size] - found[size:]


def _draw(
    counts: _Counts, scale: float, rng: np.random.Generator
) -> Float[np.ndarray, "draws features"]:
    """Draw from the posterior, with several chains side by side."""
    center = _fit(counts, scale)
    chance = special.expit(counts.features @ center)
    weight = (counts.won + counts.lost) * chance * (1 - chance)
    size = len(center)
    # The prior adds its precision, so that the curvature is never singular.
    curvature = (counts.features.T * weight) @ counts.features + np.eye(size) / (2 * scale**2)
    spread = np.linalg.inv(np.linalg.cholesky(curvature)).T  # its square is the curvature's inverse

    def energy(place: Float[np.ndarray, "chains features"]) -> tuple[np.ndarray, np.ndarray]:
        weights = center + place @ spread.T
        total, slope = counts.surprise(weights)
        penalty = np.abs(weights).sum(1) / scale
        return total + penalty, (slope + np.sign(weights) / scale) @ spread

    place = rng.normal(size=(_CHAINS, size))
    value, slope = energy(place)
    kept = []
    for step in range(_WARM + _DRAWS):
        speed = rng.normal(size=place.shape)
        length = rng.uniform(0.05, 0.4, (_CHAINS, 1))
        there, pull, push = place, slope, speed - length / 2 * slope
        for leap in range(_LEAPS):
            there = there + length * push
            level, pull = energy(there)
            push = push - length * pull * (1 if leap < _LEAPS - 1 else 0.5)
        change = value - level + (speed**2 - push**2).sum(1) / 2
        moves = np.log(rng.random(_CHAINS)) < change
        place = np.where(moves[:, None], there, place)
        slope = np.where(moves[:, None], pull, slope)
        value = np.where(moves, level, value)
        if step >= _WARM:
            kept.append(center + place @ spread.T)
    return np.concatenate(kept)
