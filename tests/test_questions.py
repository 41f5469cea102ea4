"""Questions that tell goals apart: divergences against all paths there are, the design against a grid,
and the number of episodes against simulated judges."""

import functools
import itertools
import math
from typing import Any

import jax
import numpy as np
import pytest
from jax import jit
from scipy import stats

from goalgap.core import UsageError, tree_index
from goalgap.envs import Corner, Line
from goalgap.theory import questions
from goalgap.theory.breaking import Game
from goalgap.theory.grammar import Attain
from goalgap.theory.questions import divergences

GAMMA = 0.9
CORNER = Corner(size=5, max_steps=40)


@functools.cache
def levels_of(env: Any, deploy: bool, count: int = 16) -> Any:
    shift = env.shift()
    draw = jit(jax.vmap((shift.deploy if deploy else shift.train).sample))
    return draw(jax.random.split(jax.random.key(5), count))


# -- divergences -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_on_training_levels_no_test_tells_cheese_from_corner():
    same = divergences(CORNER, CORNER.goals, levels_of(CORNER, False), GAMMA, 5.0)
    assert same.shape == (16, 2, 2) and not same.any()
    assert questions.num_episodes(questions.design(same).value, 0.05) == math.inf
    apart = divergences(CORNER, CORNER.goals, levels_of(CORNER, True), GAMMA, 5.0)
    assert (apart >= 0).all() and not np.diagonal(apart, axis1=1, axis2=2).any()
    assert (apart[:, 0, 1] > 0.1).mean() > 0.5 < (apart[:, 1, 0] > 0.1).mean()


def test_sharper_pursuers_are_told_apart_sooner():
    levels = levels_of(CORNER, True)
    blunt, sharp = (
        divergences(CORNER, CORNER.goals, levels, GAMMA, beta).mean(0) for beta in (1.0, 5.0)
    )
    apart = ~np.eye(2, dtype=bool)
    assert (sharp[apart] > 2 * blunt[apart]).all() and (blunt[apart] > 0).all()


LINE_STEPS = 6


def paths_on_a_line(cells: int, mouse: int, coin: int, beta: float) -> np.ndarray:
    """[2, n]: the probability of each path under the pursuers of the coin and of the end."""

    def move(place: int, action: int) -> int:
        return min(max(place + 2 * action - 1, 0), cells - 1)

    @functools.cache
    def q(goal: str, place: int, been: bool, action: int, left: int) -> float:
        after = move(place, action)
        target = coin if goal == "coin" else cells - 1
        pay = float(after == target and not (goal == "end" and been))
        if after == coin or left == 1:
            return pay
        been = been or after == cells - 1
        return pay + GAMMA * max(q(goal, after, been, then, left - 1) for then in (0, 1))

    found = []
    for actions in itertools.product((0, 1), repeat=LINE_STEPS):
        chances, place, been = [1.0, 1.0], mouse, False
        for step, action in enumerate(actions):
            for index, goal in enumerate(("coin", "end")):
                worth = [math.exp(beta * q(goal, place, been, each, LINE_STEPS)) for each in (0, 1)]
                chances[index] *= worth[action] / sum(worth)
            place = move(place, action)
            been = been or place == cells - 1
            if place == coin:
                # What would have come after the end happens for sure, once.
                if any(actions[step + 1 :]):
                    chances = [0.0, 0.0]
                break
        found.append(chances)
    return np.array(found).T


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_divergences_agree_with_all_paths_counted_out(beta):
    env = Line(size=5, max_steps=LINE_STEPS)
    texts = ("c.@..", "@..c.", ".c..@", "@...c", "...@c")
    levels = jax.tree.map(lambda *rows: np.stack(rows), *[env.from_text(text) for text in texts])
    found = divergences(env, env.goals, levels, GAMMA, beta)
    for text, kl in zip(texts, found, strict=True):
        coin, end = paths_on_a_line(5, text.index("@"), text.index("c"), beta)
        assert coin.sum() == pytest.approx(1) and end.sum() == pytest.approx(1)
        real = coin > 0
        for one, other, got in ((coin, end, kl[0, 1]), (end, coin, kl[1, 0])):
            expected = (one[real] * np.log(one[real] / other[real])).sum()
            assert got == pytest.approx(expected, abs=2e-5)
    assert (found[:3, [0, 1], [1, 0]] > 0.01).all() and not found[3:].any()


def test_what_cannot_be_asked_is_refused():
    levels = levels_of(CORNER, True)
    for beta in (0.0, -1.0, math.nan):
        with pytest.raises(UsageError, match=f"beta is {beta}; an inverse temperature is above 0"):
            divergences(CORNER, CORNER.goals, levels, GAMMA, beta)
    for error in (0.0, 1.0, math.nan):
        with pytest.raises(UsageError, match=f"error is {error}; expected a probability"):
            questions.num_episodes(1.0, error)


# -- designs -----------------------------------------------------------------------------------------


def three_goals() -> tuple[Any, ...]:
    row = Attain("row", "get to the top row", 1.0, CORNER, ("the top row",))
    return (*CORNER.goals, row)


def test_the_design_is_the_best_of_all_mixtures_of_three_levels():
    levels = tree_index(levels_of(CORNER, True), np.arange(3))
    gained = divergences(CORNER, three_goals(), levels, GAMMA, 5.0)
    game = questions.design(gained)
    steps = 200
    wholes = range(steps + 1)
    grid = np.array([(a, b, steps - a - b) for a in wholes for b in wholes[: steps + 1 - a]]) / steps
    pairs = [gained[:, g, h] for g, h in itertools.permutations(range(3), 2)]
    least = np.min([grid @ pair for pair in pairs], 0)
    assert 0 < least.max() <= game.value + 1e-6
    assert game.value <= least.max() + 2 * gained.max() / steps
    assert game.value > 1.05 * least[np.abs(grid - 1 / 3).sum(1).argmin()], "better than each alike"


def test_the_hardest_pair_is_the_one_that_holds_the_design_down():
    gained = np.zeros((2, 3, 3))
    gained[0] = [[0, 3, 2], [4, 0, 0.5], [5, 3, 0]]
    gained[1] = [[0, 1, 2], [1, 0, 0.4], [1, 3, 0]]
    game = questions.design(gained)
    assert game.value == pytest.approx(0.5) and game.weights.tolist() == [1, 0]
    assert questions.hardest_pair(game, 3) == (1, 2)
    other = Game(game.weights, 0.5, np.array([0, 0, 0, 0, 1.0, 0]), 0.0)
    assert questions.hardest_pair(other, 3) == (2, 0)


# -- judges ------------------------------------------------------------------------------------------


def test_the_number_of_episodes_is_that_of_the_logarithm_of_odds():
    assert questions.num_episodes(1.0, math.exp(-3) * 1.0001) == 3
    assert questions.num_episodes(0.5, 0.05) == 6 and questions.num_episodes(100.0, 0.05) == 1
    assert questions.num_episodes(0.0, 0.05) == math.inf


@pytest.mark.parametrize("error", [0.1, 0.01])
def test_judges_err_and_ask_as_foretold(error):
    """A judge who stops when the odds are 1 : error is wrong with probability at most `error` (Wald) and
    asks for about ln(1 / error) / value episodes. One who must stop after exactly so many sees, where
    goals are much alike, a normal sum of variance twice its mean."""
    env, judges, text = Line(size=5, max_steps=LINE_STEPS), 2000, "@..c."
    level = jax.tree.map(lambda leaf: leaf[None], env.from_text(text))
    gained = divergences(env, env.goals, level, GAMMA, 1.0)[0]
    laws = paths_on_a_line(5, text.index("@"), text.index("c"), 1.0)
    laws = laws[:, laws[0] > 0]
    rng = np.random.default_rng(6)
    for truth in (0, 1):
        law, other = laws[truth], laws[1 - truth]
        foretold = questions.num_episodes(float(gained[truth, 1 - truth]), error)
        seen = rng.choice(len(law), (judges, 10 * int(foretold)), p=law / law.sum())
        odds = np.log(law / other)[seen].cumsum(1)
        stops = np.abs(odds) >= math.log(1 / error)
        assert stops.any(1).all()
        at = stops.argmax(1)
        wrong = (odds[np.arange(judges), at] < 0).mean()
        assert error / 4 < wrong < error + 4 * math.sqrt(error / judges)
        assert 0.8 * foretold < at.mean() + 1 < 1.2 * foretold
        expected = stats.norm.cdf(-math.sqrt(math.log(1 / error) / 2))
        in_haste = (odds[:, int(foretold) - 1] < 0).mean()
        assert abs(in_haste - expected) < 4 * math.sqrt(expected / judges)
