"""Sets and mixtures that close what training leaves open: against all subsets, grids of mixtures, the
duality of linear programs; at the end, the corner with all that its grammar can say."""

import functools
import itertools
import math
from typing import Any

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra.numpy import arrays
from jax import jit

from goalgap.core import UsageError
from goalgap.envs import Corner
from goalgap.theory import grammar
from goalgap.theory.breaking import best_mixture, breaking_set, is_shadow, share_needed
from goalgap.theory.underspecification import compatible, regrets

COSTS = strategies.sampled_from([0.0, 0.0, 0.1, 0.25, 0.5, 0.7, 1.0])


def tables(levels: int, columns: int) -> Any:
    """Regrets of any shape up to the given one."""
    shapes = strategies.tuples(strategies.integers(1, levels), strategies.integers(1, columns))
    return shapes.flatmap(lambda shape: arrays(float, shape, elements=COSTS))


# -- mixtures ----------------------------------------------------------------------------------------


@hypothesis.given(tables(7, 5), strategies.floats(0, 1))
def test_the_duality_gap_is_0_and_no_weight_exceeds_the_cap(regret, slack):
    count = len(regret)
    cap = 1 / count + slack * (1 - 1 / count)
    for most in (1.0, cap):
        game = best_mixture(regret, most)
        assert abs(game.gap) < 1e-7
        assert game.weights.sum() == pytest.approx(1) and game.adversary.sum() == pytest.approx(1)
        assert (game.weights >= 0).all() and (game.weights <= most + 1e-9).all()
        assert (game.adversary >= 0).all()
        # The two bounds anew: what the mixture guarantees, and what the adversary concedes.
        assert (game.weights @ regret).min() == pytest.approx(game.value, abs=1e-7)
        conceded, left = 0.0, 1.0
        for worth in sorted(regret @ game.adversary, reverse=True):
            conceded += min(most, left) * worth
            left -= min(most, left)
        assert conceded == pytest.approx(game.value, abs=1e-7)


@hypothesis.given(arrays(float, (3, 2), elements=COSTS), strategies.sampled_from([0.4, 0.5, 0.75, 1.0]))
def test_the_value_is_the_best_on_a_grid_of_all_mixtures(regret, cap):
    steps = 240
    grid = (
        np.array([(a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)]) / steps
    )
    grid = grid[(grid <= cap + 1e-9).all(1)]
    best = (grid @ regret).min(1).max()
    assert best - 1e-9 <= best_mixture(regret, cap).value <= best + 2 / steps


def test_games_with_known_values():
    pennies = best_mixture(np.eye(2))
    np.testing.assert_allclose([pennies.value, *pennies.weights, *pennies.adversary], 0.5)
    # Levels that break one column each are mixed in inverse proportion.
    game = best_mixture(np.diag([0.2, 0.3, 0.6]))
    np.testing.assert_allclose(game.weights, np.array([3, 2, 1]) / 6)
    assert game.value == pytest.approx(0.1)
    assert game.support.tolist() == [0, 1, 2]
    assert best_mixture(np.array([[0.0, 1.0], [0.3, 0.3], [0.2, 0.1]])).value == pytest.approx(0.3)
    capped = best_mixture(np.array([[1.0], [0.5], [0.0]]), 0.5)
    assert capped.value == pytest.approx(0.75) and capped.support.tolist() == [0, 1]


def test_mixtures_that_cannot_be_are_refused():
    for shape in ((0, 2), (2, 0)):
        with pytest.raises(UsageError, match=f"a mixture of {shape[0]} levels against {shape[1]} goals"):
            best_mixture(np.zeros(shape))
    with pytest.raises(UsageError, match=r"cap is 0.3 with 3 levels; expected at least 0.333"):
        best_mixture(np.eye(3), 0.3)


# -- sets --------------------------------------------------------------------------------------------

MARGIN = 0.2


@hypothesis.given(tables(8, 5))
def test_sets_cover_and_no_smaller_set_does(regret):
    breaks = regret > MARGIN
    names = tuple(f"goal{column}" for column in range(regret.shape[1]))
    if not breaks.any(0).all():
        hypothesis.reject()
    chosen = breaking_set(regret, MARGIN, names)
    assert breaks[chosen].any(0).all()
    levels = range(len(regret))
    sets = itertools.chain.from_iterable(itertools.combinations(levels, n) for n in levels)
    covers = [each for each in (*sets, tuple(levels)) if breaks[list(each)].any(0).all()]
    smallest = min(map(len, covers))
    assert len(chosen) == smallest

    def broken(rows: Any) -> float:
        return float((regret * breaks)[list(rows)].sum())

    most = max(broken(each) for each in covers if len(each) == smallest)
    assert broken(chosen) == pytest.approx(most, abs=0.01), "of equal sets the one that breaks most"


def test_what_no_level_breaks_is_named():
    regret = np.array([[0.5, 0.2, 0.0], [0.0, 0.1, 0.1]])
    assert is_shadow(regret, MARGIN).tolist() == [False, True, True]
    with pytest.raises(
        UsageError, match=r"no candidate level breaks up, down by more than 0.2"
    ) as caught:
        breaking_set(regret, MARGIN, ("cheese", "up", "down"))
    assert "\n" not in str(caught.value)
    assert breaking_set(regret[:, :1], MARGIN, ("cheese",)).tolist() == [0]
    assert not len(breaking_set(regret[:, :0], MARGIN, ()))


def test_the_share_that_is_needed():
    assert share_needed(0.01, 0.138) == pytest.approx(0.0725, abs=1e-4)
    assert share_needed(0.01, 0.0) == math.inf
    assert share_needed(0.0, 0.5) == 0.0


# -- the corner --------------------------------------------------------------------------------------

GAMMA, EPSILON = 0.95, 0.01


@functools.cache
def corner() -> dict[str, Any]:
    """Names of all goals of the corner, and what they cost in training, after the shift, and on levels
    that could be added."""
    env = Corner(size=5, max_steps=40)
    rivals = (*env.proxies, *grammar.goals(env))
    found: dict[str, Any] = {"names": [goal.name for goal in rivals]}
    for seed, name in enumerate(("train", "deploy", "candidates")):
        levels = env.shift().train if name == "train" else env.shift().deploy
        keys = jax.random.split(jax.random.key(seed + 4), 32)
        found[name] = regrets(env, (env.intended,), rivals, jit(jax.vmap(levels.sample))(keys), GAMMA)
    return found


def dangerous() -> np.ndarray:
    found = corner()
    is_open = compatible(found["train"].worst[:, 0], EPSILON)
    return np.flatnonzero(is_open & (found["deploy"].worst[:, 0].mean(0) > 0.01))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["set", "mixture", "capped"])
def test_what_is_returned_closes_the_corner(how):
    """At a little more than the share that is asked for; at the share itself the last goal costs exactly
    epsilon."""
    found, columns = corner(), dangerous()
    train, candidates = (found[name] for name in ("train", "candidates"))
    names = np.array([found["names"][column] for column in columns])
    shadow = is_shadow(candidates.best[:, 0][:, columns], 0.05)
    columns, names, left_over = columns[~shadow], names[~shadow].tolist(), names[shadow].tolist()
    assert {"corner", "top-left-corner", "go-up-and-go-left"} <= set(names) and len(names) > 10
    # The others want the cheese, or nothing that can be had, so that lucky ties always rescue them.
    assert left_over and all("cheese" in name for name in left_over)
    best = candidates.best[:, 0][:, columns]
    if how == "set":
        weights = np.zeros(len(best))
        chosen = breaking_set(best, 0.05, tuple(names))
        weights[chosen] = 1 / len(chosen)
        value = float((weights @ best).min())
    else:
        game = best_mixture(best, 1.0 if how == "mixture" else 1 / 8)
        weights, value = game.weights, game.value
    share = share_needed(EPSILON, value)
    assert 0 < share < 1

    def after(ties: str, share: float) -> np.ndarray:
        """The mean training regrets, with the levels added."""
        before, added = (getattr(each, ties)[:, 0][:, columns] for each in (train, candidates))
        return (1 - share) * before.mean(0) + share * weights @ added

    assert compatible(after("worst", 0.0)[None], EPSILON).all()
    for ties in ("worst", "best"):
        assert not compatible(after(ties, 1.001 * share)[None], EPSILON).any()
    assert compatible(after("best", 0.999 * share)[None], EPSILON).any(), "less would not do"
