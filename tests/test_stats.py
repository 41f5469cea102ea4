"""Intervals: against SciPy, against a known answer, and how often they cover the truth.

Coverage is that of 2000 simulated tables. Random numbers are fixed, so a test fails by luck at most
once for each of its edits: with probability below 1 % for a true coverage of .935 to .989.
"""

import contextlib
from collections.abc import Iterator

import jaxtyping
import numpy as np
import pytest
import scipy.special
import scipy.stats

from goalgap import stats
from goalgap.core import measurement

NUM_TABLES, NUM_LEVELS = 2000, 100
# Few seeds are the hard case; more of them wait for the slow tests.
NUM_SEEDS = pytest.mark.parametrize("num_seeds", [4, pytest.param(8, marks=pytest.mark.slow)])
MISSING = ("nothing", "a third at random", "hard levels", "most of one seed")


def effects(rng: np.random.Generator, num_seeds: int, sds: tuple[float, ...]) -> np.ndarray:
    """Crossed random effects of mean 0; standard deviations of seeds, levels and residuals."""
    seed, level, residual = sds
    return (
        seed * rng.standard_normal((num_seeds, 1))
        + level * rng.standard_normal((1, NUM_LEVELS))
        + residual * rng.standard_normal((num_seeds, NUM_LEVELS))
    )


def hide(rng: np.random.Generator, table: np.ndarray, what: str) -> np.ndarray:
    """The table with some of its values missing."""
    chance = np.zeros(table.shape)
    if what == "a third at random":
        chance += 1 / 3
    elif what == "hard levels":
        chance += rng.beta(0.5, 0.8, NUM_LEVELS)
    elif what == "most of one seed":
        chance[0] = 0.8
    return np.where(rng.random(table.shape) < chance, np.nan, table)


@contextlib.contextmanager
def types_unchecked() -> Iterator[None]:
    """Let thousands of equal calls go without the check of their types, which takes longer than they do;
    every other test here checks them."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def coverage(truth: float, draw, **options) -> float:
    """The share of tables whose interval covers the truth."""
    rng = np.random.default_rng(0)
    with types_unchecked():
        results = [stats.crossed_mean("x", draw(rng), **options) for _ in range(NUM_TABLES)]
    return float(np.mean([result.low <= truth <= result.high for result in results]))


# -- shares of independent units ---------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 4, 8, 100])
def test_wilson_agrees_with_scipy(n):
    for successes in range(n + 1):
        expected = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
        np.testing.assert_allclose(stats.wilson(successes, n), expected, atol=1e-12)


def test_a_share_is_a_measurement_with_its_count():
    result = stats.share("misgeneralizing", 3, 4, "seeds")
    assert (result.estimate, result.n, result.unit) == (0.75, 4, "seeds")
    assert 0 < result.low < 0.75 < result.high < 1
    assert stats.share("all", 4, 4, "seeds").high == 1
    assert stats.share("none", 0, 4, "seeds").low == 0


# -- crossed random effects --------------------------------------------------------------------------


@pytest.mark.parametrize("missing", MISSING)
@NUM_SEEDS
@pytest.mark.parametrize("sds", [(1, 0.2, 0.2), (1, 1, 1), (0.3, 0.3, 1), (0.1, 1, 1)])
def test_crossed_intervals_cover(sds, num_seeds, missing):
    covered = coverage(0.0, lambda rng: hide(rng, effects(rng, num_seeds, sds), missing))
    assert 0.92 <= covered <= 0.995


@pytest.mark.parametrize("sds", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_a_single_source_of_variance_is_covered(sds):
    """The residual alone counts twice: up to .994 in theory, for many seeds."""
    assert 0.92 <= coverage(0.0, lambda rng: effects(rng, 4, sds)) < 0.999


@pytest.mark.parametrize("num_levels", [4, 20])
def test_a_single_seed_has_students_interval_over_its_levels(num_levels):
    values = np.random.default_rng(0).normal(3, 2, num_levels)
    table = np.concatenate([values, [np.nan, np.nan]])[None]
    result = stats.crossed_mean("x", table)
    error = scipy.stats.sem(values)
    expected = scipy.stats.t.interval(0.95, num_levels - 1, values.mean(), error)
    np.testing.assert_allclose((result.low, result.high), expected)
    assert (result.n, result.unit) == (num_levels, "levels")


def test_seeds_without_level_effects_have_students_interval():
    values = np.array([1.0, 2.0, 4.0, 3.0])
    result = stats.crossed_mean("x", np.repeat(values[:, None], 50, 1))
    expected = scipy.stats.t.interval(0.95, 3, values.mean(), scipy.stats.sem(values))
    np.testing.assert_allclose((result.low, result.high), expected)
    assert (result.estimate, result.n, result.unit) == (2.5, 4, "seeds")


def test_seeds_weigh_the_same_however_many_levels_count():
    table = np.full((2, 10), 1.0)
    table[1] = np.nan
    table[1, 0] = 0.0
    assert stats.crossed_mean("x", table).estimate == 0.5


def test_seeds_and_levels_that_never_count_change_nothing():
    table = effects(np.random.default_rng(0), 3, (1, 1, 1))
    padded = np.full((4, NUM_LEVELS + 5), np.nan)
    padded[:3, :NUM_LEVELS] = table
    assert stats.crossed_mean("x", padded) == stats.crossed_mean("x", table)


def test_degenerate_tables():
    constant = stats.crossed_mean("x", np.full((4, 10), 2.0))
    assert constant[1:5] == (2.0, 2.0, 2.0, 4)
    single = stats.crossed_mean("x", np.array([[2.0]]))
    assert single[1:] == (2.0, -np.inf, np.inf, 1, "levels")
    one_level = stats.crossed_mean("x", np.array([[1.0], [3.0]]))
    np.testing.assert_allclose(one_level[1:4], (2, 2 - 12.7062, 2 + 12.7062), rtol=1e-4)
    for empty in (np.full((3, 5), np.nan), np.zeros((3, 0)), np.zeros((0, 3))):
        assert np.isnan(stats.crossed_mean("x", empty)[1:4]).all()


# -- shares over seeds and levels --------------------------------------------------------------------


@NUM_SEEDS
@pytest.mark.parametrize("share", [0.5, 0.9, 0.98, 0.995])
@pytest.mark.parametrize("sds", [(0, 1), (0, 3), (0.3, 0.3)])
def test_intervals_of_shares_cover_up_to_the_ends(sds, share, num_seeds):
    """Near 1 a level too hard for every seed is easily missed: the plain interval covers .62 there."""
    mean = scipy.special.ndtri(share) * np.sqrt(1 + sds[0] ** 2 + sds[1] ** 2)

    def draw(rng):
        return (mean + effects(rng, num_seeds, (*sds, 1)) > 0).astype(float)

    assert 0.9 <= coverage(share, draw, is_share=True) <= 0.999


def test_a_share_of_one_is_not_certain():
    """Twelve levels all solved by all seeds: between Wilson's for 12 and Student's quantile."""
    result = stats.crossed_mean("x", np.ones((4, 12)), is_share=True)
    assert result.estimate == result.high == 1
    assert 0.6 < result.low < stats.wilson(12, 12)[0]
    none = stats.crossed_mean("x", np.zeros((4, 12)), is_share=True)
    np.testing.assert_allclose(none[1:4], (0, 0, 1 - result.low))


@pytest.mark.parametrize(
    "values", [[[1.0]], [[0.0]], [[0.5]], [[0.5, 0.5]], [[0.0], [1.0]], [[0.3] * 9] * 3]
)
def test_degenerate_shares_stay_between_0_and_1(values):
    result = stats.crossed_mean("x", np.array(values), is_share=True)
    assert 0 <= result.low <= result.estimate <= result.high <= 1


# -- functions of several means ----------------------------------------------------------------------


def test_a_ratio_of_known_means():
    """Values of 3 +- small over 2 +- small, independent: the delta method's interval, a little wider
    (twelve seeds stand for Student's distribution)."""
    rng = np.random.default_rng(0)
    first, second = (effects(rng, 12, (0.1, 0.1, 0)) + mean for mean in (3, 2))
    result = stats.hierarchical_bootstrap("r", (first, second), lambda a, b: a / b)
    assert result.estimate == pytest.approx(first.mean() / second.mean())
    assert result.low < 1.5 < result.high
    relative = first / first.mean() - second / second.mean()
    variance = relative.mean(1).var(ddof=1) / 12 + relative.mean(0).var(ddof=1) / NUM_LEVELS
    half = scipy.stats.t.ppf(0.975, 11) * result.estimate * np.sqrt(variance)
    assert result.high - result.low == pytest.approx(2 * half, rel=0.1)
    assert (result.n, result.unit) == (12, "seeds")


@NUM_SEEDS
@pytest.mark.parametrize("sds", [(0.3, 0.3), (1, 1)])
def test_intervals_of_a_ratio_cover(sds, num_seeds):
    """Of two shares that trade off, as those of proxy and intended goal. True coverage .94 to .99,
    250 tables: fails by luck with probability below 2 %."""
    rng = np.random.default_rng(0)
    scale = np.sqrt(1 + sds[0] ** 2 + sds[1] ** 2)
    truth = scipy.special.ndtr(0.6 / scale) / scipy.special.ndtr(-0.3 / scale)
    covered = 0
    for _ in range(250):
        both = effects(rng, num_seeds, (*sds, 0))
        proxy = (both + rng.standard_normal(both.shape) > -0.6).astype(float)
        intended = (both + rng.standard_normal(both.shape) < -0.3).astype(float)
        result = stats.hierarchical_bootstrap(
            "r", (proxy, intended), lambda a, b: a / np.maximum(b, 1e-9), num_resamples=400
        )
        covered += result.low <= truth <= result.high
    assert covered >= 0.9 * 250


def test_the_bootstrap_drops_seeds_that_know_nothing():
    table = effects(np.random.default_rng(0), 3, (1, 1, 1))
    padded = np.concatenate([table, np.full((1, NUM_LEVELS), np.nan)])
    both = [stats.hierarchical_bootstrap("d", (t, t), lambda a, b: a + b) for t in (table, padded)]
    assert both[0] == both[1]
    assert both[0].estimate == pytest.approx(2 * table.mean())
    nothing = stats.hierarchical_bootstrap("d", (padded * np.nan,), lambda a: a)
    assert np.isnan(nothing.estimate)


def test_differences_are_paired():
    """What seeds and levels share cancels: a shift by 1 is seen through noise of 10."""
    rng = np.random.default_rng(0)
    table = effects(rng, 4, (10, 10, 10))
    result = stats.paired_difference("d", table + 1 + 0.1 * rng.standard_normal(table.shape), table)
    assert result.low < 1 < result.high
    assert result.high - result.low < 0.1
    hidden = table.copy()
    hidden[:, 50:] = np.nan
    assert stats.paired_difference("d", table + 1, hidden).estimate == pytest.approx(1)


# -- measurements ------------------------------------------------------------------------------------


def test_measurements_refuse_numbers_that_cannot_be_quoted():
    assert measurement("x", 1.0, 0.0, 2.0, 4, "seeds")[1:] == (1.0, 0.0, 2.0, 4, "seeds")
    for low, high in ((1.5, 2.0), (0.0, 0.5), (np.nan, 2.0), (0.0, np.nan)):
        with pytest.raises(ValueError, match="outside its own interval"):
            measurement("x", 1.0, low, high, 4, "seeds")
    for n, unit in ((0, "seeds"), (-1, "seeds"), (4, "")):
        with pytest.raises(ValueError, match="of how many what"):
            measurement("x", 1.0, 0.0, 2.0, n, unit)


def test_a_measurement_reads_well():
    assert str(measurement("x", 0.5, 0.25, 0.75, 4, "seeds")) == "0.50 [0.25, 0.75] (n = 4 seeds)"
