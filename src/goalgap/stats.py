"""Compute intervals for shares, means and differences over seeds and levels.

The unit of replication of a claim about training is the training seed. Tables are [seeds, levels]: every
seed is judged on the same levels, and a pair that does not count (a level whose twin the seed cannot
solve) is NaN. All intervals are 95 %.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import special

from .core import Measurement, measurement

LEVEL = 0.95
QUANTILE = float(special.ndtri(0.5 + LEVEL / 2))  # the normal one


def wilson(successes: int | float, n: int | float, quantile: float | None = None) -> tuple[float, float]:
    """Return Wilson's score interval (low, high) of a share.

    It stays honest for few units and for shares of 0 or 1. `n` may be an effective number of units;
    `quantile` then replaces the normal quantile, e.g. by Student's.
    """
    z = QUANTILE if quantile is None else quantile
    center = (successes + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(successes * (n - successes) / n + z**2 / 4)
    # At the ends the formula gives 0 and 1 only up to rounding.
    low = 0.0 if successes == 0 else float(center - half)
    return low, 1.0 if successes == n else float(center + half)


def share(name: str, successes: int, n: int, unit: str) -> Measurement:
    """Measure a share of `n` independent units, with Wilson's interval."""
    return measurement(name, successes / n, *wilson(successes, n), n, unit)


def crossed_mean(
    name: str, table: Float[np.ndarray, "seeds levels"], is_share: bool = False
) -> Measurement:
    """Measure the mean over seeds of their means over levels, both drawn at random.

    The variance of the estimate adds the variance of the seed means and that of the level means. This is
    conservative, because the residual counts in both (Owen 2007, arXiv 0712.1111, on crossed random
    effects). The quantile is Student's with Satterthwaite's degrees of freedom, because four seeds are
    few (with two seeds that differ much, a 95 % interval covers about 90 %).

    With `is_share` the table's values lie between 0 and 1 and the interval is Wilson's, with the
    effective number of units that the variance amounts to (Franco et al. 2019, J. Survey Stat. Methodol.
    7:334), since the plain interval fails near 0 and 1. With a single seed only the levels vary, and the
    unit is "levels"; a single value has an infinite interval.
    """
    table = table[~np.isnan(table).all(1)]
    table = table[:, ~np.isnan(table).all(0)]
    if not table.size:
        return measurement(name, np.nan, np.nan, np.nan, 1, "seeds")
    num_seeds, num_levels = table.shape
    seed_means = np.nanmean(table, 1)
    estimate = float(seed_means.mean())
    variance, freedom = _crossed_variance(table, seed_means)
    quantile = float(special.stdtrit(freedom, 0.5 + LEVEL / 2))
    if is_share:
        # A share of 0 or 1 shows no variance; its levels are then all that is known to be independent.
        apart = estimate * (1 - estimate)
        size = float(np.clip(apart / variance, 1, table.size)) if variance and apart else num_levels
        low, high = wilson(estimate * size, size, quantile)
    else:
        half = quantile * np.sqrt(variance)
        low, high = estimate - half, estimate + half
    n, unit = (num_seeds, "seeds") if num_seeds > 1 else (num_levels, "levels")
    return measurement(name, estimate, min(low, estimate), max(high, estimate), n, unit)


def _crossed_variance(
    table: Float[np.ndarray, "seeds levels"], seed_means: Float[np.ndarray, " seeds"]
) -> tuple[float, float]:
    """Return the variance of the mean of the seed means, and Satterthwaite's degrees of freedom."""
    num_seeds, num_levels = table.shape
    valid = ~np.isnan(table)
    weight = valid / valid.mean(1, keepdims=True)
    influence = np.where(valid, weight * (table - seed_means[:, None]), 0.0).mean(0)
    parts = []
    if num_levels > 1:
        parts.append((influence.var(ddof=1) / num_levels, num_levels - 1))
    if num_seeds > 1:
        parts.append((seed_means.var(ddof=1) / num_seeds, num_seeds - 1))
    if not parts:
        return np.inf, 1.0
    variance = float(sum(part for part, _ in parts))
    if not variance:
        return 0.0, max(num_levels - 1.0, 1.0)
    return variance, variance**2 / float(sum(part**2 / df for part, df in parts))


def hierarchical_bootstrap(
    name: str,
    tables: tuple[Float[np.ndarray, "seeds levels"], ...],
    statistic: Callable[..., np.ndarray],
    num_resamples: int = 2000,
) -> Measurement:
    """Measure a function of the means of several tables (a ratio, a difference) by resampling.

    Seeds are resampled first, then levels, the same ones in every table. `statistic` takes one array of
    means for each table and works elementwise.

    With few seeds percentiles are too narrow. Deviations of seed means are therefore widened by sqrt(n /
    (n - 1)) and by the ratio of Student's quantile to the normal one, both corrections of Hesterberg's
    expanded percentiles (2015, arXiv 1411.5279); resampled means stay within the range of their table's
    values. A seed with no value in some table is left out.
    """
    rng = np.random.default_rng(0)
    known = np.all([~np.isnan(table).all(1) for table in tables], 0)
    if not known.any():
        return measurement(name, np.nan, np.nan, np.nan, 1, "seeds")
    tables = tuple(table[known] for table in tables)
    num_seeds, num_levels = tables[0].shape
    seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), num_resamples)
    levels = rng.multinomial(num_levels, np.full(num_levels, 1 / num_levels), num_resamples)
    seed_weight = seeds / num_seeds
    if num_seeds > 1:
        widen = np.sqrt(num_seeds / (num_seeds - 1))
        widen *= special.stdtrit(num_seeds - 1, 0.5 + LEVEL / 2) / QUANTILE
        seed_weight = 1 / num_seeds + widen * (seed_weight - 1 / num_seeds)
    resampled, observed = [], []
    for table in tables:
        valid = ~np.isnan(table)
        sums = np.where(valid, table, 0.0)
        counts = levels @ valid.T  # [resamples, seeds]
        means = np.where(counts > 0, levels @ sums.T, np.nan) / np.maximum(counts, 1)
        mean = (seed_weight * means).sum(1)
        resampled.append(np.clip(mean, np.nanmin(table), np.nanmax(table)))
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
    """Measure the mean of `first` - `second`, paired by seed and level."""
    return crossed_mean(name, first - second)
