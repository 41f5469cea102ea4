"""Intervals. The unit of replication of a claim about training is the training seed.

Tables are [seeds, levels], every seed judged on the same levels, NaN where a pair does not count (a
level whose twin the seed cannot solve). All intervals are 95 %.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import special

from .core import Measurement, measurement

LEVEL = 0.95


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share: honest for few seeds and for shares of 0 or 1."""
    z = float(special.ndtri(0.5 + LEVEL / 2))
    center = (successes + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(successes * (n - successes) / n + z**2 / 4)
    # At the ends the formula gives 0 and 1 only up to rounding.
    low = 0.0 if successes == 0 else float(center - half)
    return low, 1.0 if successes == n else float(center + half)


def share(name: str, successes: int, n: int, unit: str) -> Measurement:
    """A share of n independent units, with Wilson's interval."""
    return measurement(name, successes / n, *wilson(successes, n), n, unit)


def crossed_mean(
    name: str, table: Float[np.ndarray, "seeds levels"], bounds: tuple[float, float] | None = None
) -> Measurement:
    """The mean over seeds of their means over levels, for seeds and levels both drawn at random.

    Its variance adds that of the seed means and that of the level means (conservative: the residual
    counts in both; Owen 2007, arXiv 0712.1111, on crossed random effects); the quantile is Student's
    with Satterthwaite's degrees of freedom, because four seeds are few. With a single seed only the
    levels vary, and the unit is "levels".
    """
    table = table[~np.isnan(table).all(1)]
    if not table.size:
        return measurement(name, np.nan, np.nan, np.nan, 1, "seeds")
    num_seeds, num_levels = table.shape
    seed_means = np.nanmean(table, 1)
    estimate = seed_means.mean()
    valid = ~np.isnan(table)
    weight = valid / valid.mean(1, keepdims=True)
    influence = np.where(valid, weight * (table - seed_means[:, None]), 0.0).mean(0)
    parts = [(influence.var(ddof=1) / num_levels if num_levels > 1 else 0.0, num_levels - 1)]
    if num_seeds > 1:
        parts.append((seed_means.var(ddof=1) / num_seeds, num_seeds - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / max(sum(part**2 / max(df, 1) for part, df in parts), 1e-300)
    half = special.stdtrit(max(freedom, 1.0), 0.5 + LEVEL / 2) * np.sqrt(variance)
    low, high = estimate - half, estimate + half
    if bounds is not None:
        low, high = max(low, min(bounds[0], estimate)), min(high, max(bounds[1], estimate))
    n, unit = (num_seeds, "seeds") if num_seeds > 1 else (num_levels, "levels")
    return measurement(name, estimate, low, high, n, unit)


def hierarchical_bootstrap(
    name: str,
    tables: tuple[Float[np.ndarray, "seeds levels"], ...],
    statistic: Callable[..., np.ndarray],
    num_resamples: int = 2000,
) -> Measurement:
    """A function of the means of several tables (a ratio, a difference): seeds are resampled, then
    levels, the same ones in every table. `statistic` takes arrays of means and works elementwise.

    With few seeds percentiles are too narrow; deviations of seed means are therefore widened by
    sqrt(n / (n - 1)) (Davison & Hinkley 1997, section 2.5).
    """
    rng = np.random.default_rng(0)
    num_seeds, num_levels = tables[0].shape
    seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), num_resamples)
    levels = rng.multinomial(num_levels, np.full(num_levels, 1 / num_levels), num_resamples)
    seed_weight = seeds / num_seeds
    if num_seeds > 1:
        widen = np.sqrt(num_seeds / (num_seeds - 1))
        seed_weight = 1 / num_seeds + widen * (seed_weight - 1 / num_seeds)
    resampled, observed = [], []
    for table in tables:
        valid = ~np.isnan(table)
        sums = np.where(valid, table, 0.0)
        means = (levels @ sums.T) / np.maximum(levels @ valid.T, 1)  # [resamples, seeds]
        resampled.append((seed_weight * means).sum(1))
        observed.append(np.nanmean(table, 1).mean())
    values = statistic(*resampled)
    low, high = np.nanquantile(values, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    estimate = float(statistic(*observed))
    n, unit = (num_seeds, "seeds") if num_seeds > 1 else (num_levels, "levels")
    return measurement(name, estimate, min(low, estimate), max(high, estimate), n, unit)


def paired_difference(
    name: str,
    first: Float[np.ndarray, "seeds levels"],
    second: Float[np.ndarray, "seeds levels"],
) -> Measurement:
    """The mean of first - second, pair by pair (same seed, same level)."""
    return crossed_mean(name, first - second)
