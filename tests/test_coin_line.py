"""The coin line: its linear learner against known step counts, its exact play against formulas, and
what shows boards that are not square."""

import io
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import jit

from goalgap import oracle
from goalgap.adapters.terminal import Game, board, play
from goalgap.cli import BadArguments
from goalgap.cli.options import Board, board_of, check_owned
from goalgap.cli.verbs import Run
from goalgap.core import UsageError, tree_index
from goalgap.envs import Corner, Line
from goalgap.envs.line import LineLevel
from goalgap.kinds import kind_of
from goalgap.report.boards import heatmap
from goalgap.report.charts import TILE
from goalgap.theory import coin_line
from goalgap.theory.underspecification import regrets

L = 8
MAX_MARGIN = np.array([1, 0, L]) / (1 + L**2)

# -- the linear learner ------------------------------------------------------------------------------


@pytest.mark.parametrize(("epsilon", "step"), [(0.1, 19), (0.01, 262), (0.001, 3177)])
def test_the_probe_flips_when_it_is_known_to(epsilon, step):
    """To the step: there is no luck in it, and at the flip the score moves by far more than rounding."""
    assert coin_line.flip_step(epsilon) == step
    before, after = (coin_line.train(epsilon, count) @ coin_line.probe() for count in (step, step + 1))
    assert before > 1e-6 > -1e-6 > after
    assert coin_line.train(epsilon, 4 * step) @ coin_line.probe() < after, "it does not flip back"


def test_the_time_to_the_flip_grows_like_one_over_epsilon():
    shares = np.geomspace(0.1, 0.001, 5)
    steps = [coin_line.flip_step(share) for share in shares]
    slope = np.polyfit(np.log(1 / shares), np.log(np.array(steps, float)), 1)[0]
    assert 1 <= slope < 1.2  # a little more than 1: meanwhile the margins of the common episodes grow


def test_without_distinguishing_episodes_the_proxy_holds_and_the_margin_is_maximized():
    assert coin_line.flip_step(0.0) is None
    cosines, scores = [], []
    for steps in (10, 100, 1000, 10_000):
        weights = coin_line.train(0.0, steps)
        cosines.append(weights @ MAX_MARGIN / np.linalg.norm(weights) / np.linalg.norm(MAX_MARGIN))
        scores.append(weights @ coin_line.probe())
    # Logarithmically slow, as 1710.10345 says: it rises with each factor of ten.
    assert (np.diff(cosines) > 0.005).all() and cosines[-1] > 0.95
    assert (np.diff(scores) > 0.2).all() and scores[0] > 0


def test_the_direction_of_largest_margin_is_the_stated_one():
    """By the conditions of Karush, Kuhn and Tucker: all margins are 1 or more, and the weights are a
    nonnegative combination of the situations whose margin is 1."""
    seen = coin_line.situations(0.0)
    assert (seen.right == 1).all() and len(seen.right) == L
    margins = seen.features @ MAX_MARGIN
    np.testing.assert_allclose(margins, 1.0)
    combination = np.linalg.lstsq(seen.features[seen.features[:, 1] == 0].T, MAX_MARGIN)[0]
    np.testing.assert_allclose(combination, 1 / (1 + L**2))
    assert MAX_MARGIN @ coin_line.probe() > 0


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_with_the_relative_feature_the_goal_wins_at_once(epsilon):
    assert coin_line.flip_step(epsilon, relative=True) == 0


@pytest.mark.parametrize("relative", [False, True])
def test_training_is_gradient_descent_on_the_expected_logistic_loss(relative):
    """The loss written out situation by situation, differentiated by JAX."""
    epsilon, length, rate = 0.3, 3, 0.5

    def score(weights: Any, mouse: int, coin: int) -> Any:
        x = (1.0, coin - mouse) if relative else (1.0, mouse, coin)
        return sum(w * one for w, one in zip(weights, x, strict=True))

    def loss(weights: Any) -> Any:
        total = 0.0
        for mouse in range(length):
            total += (1 - epsilon) / length * jnp.log1p(jnp.exp(-score(weights, mouse, length)))
        pairs = [(m, c) for m in range(length + 1) for c in range(length) if m != c]
        for mouse, coin in pairs:
            way = 1 if coin > mouse else -1
            total += epsilon / len(pairs) * jnp.log1p(jnp.exp(-way * score(weights, mouse, coin)))
        return total

    weights = jnp.zeros(2 if relative else 3)
    descend = jit(lambda weights: weights - rate * jax.grad(loss)(weights))
    for steps in range(1, 6):
        weights = descend(weights)
        found = coin_line.train(epsilon, steps, length, rate, relative)
        np.testing.assert_allclose(found, weights, rtol=1e-4)


def test_the_learner_sees_what_the_environment_deals():
    """Coins elsewhere than at the end: the levels of the environment, each as often as said."""
    env = Line(size=L + 1)
    draw = jit(jax.vmap(env.shift().deploy.sample))
    levels = jax.device_get(draw(jax.random.split(jax.random.key(0), 2**15)))
    apart = levels.coin != L
    found = np.zeros((L + 1, L + 1))
    np.add.at(found, (levels.mouse[apart], levels.coin[apart]), 1)
    seen = coin_line.situations(1.0)
    expected = np.zeros_like(found)
    mouse, coin = seen.features[:, 1:].astype(int).T
    expected[mouse, coin] = seen.probability * apart.sum()
    assert len(mouse) == L**2
    np.testing.assert_array_equal(found[expected == 0], 0)
    assert (abs(found - expected) <= 4.5 * np.sqrt(expected)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 1.5}, "epsilon is 1.5; it is a share of episodes, between 0 and 1"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"length": 1}, "length is 1; expected at least 2"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected more than 0"),
        ({"max_steps": 0}, "0 steps; expected at least 1"),
    ],
)
def test_what_cannot_be_trained_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        coin_line.flip_step(**({"epsilon": 0.1} | options))


# -- exact play --------------------------------------------------------------------------------------

GAMMA = 0.95
PLACES = [(mouse, coin) for mouse, coin in itertools.product(range(L + 1), repeat=2) if mouse != coin]


def all_levels() -> LineLevel:
    mouse, coin = (jnp.asarray(cells) for cells in zip(*PLACES, strict=True))
    return LineLevel(mouse, coin, jnp.full(len(PLACES), L))


def test_the_coin_is_worth_its_distance_and_the_end_too_unless_the_coin_lies_between():
    env = Line(size=L + 1, max_steps=20)
    coin, end = (oracle.start_values(env, goal, all_levels(), GAMMA) for goal in env.goals)
    np.testing.assert_allclose(coin, [GAMMA ** (abs(m - c) - 1) for m, c in PLACES], rtol=1e-5)
    # A mouse that starts at the end arrives there anew by bumping into the wall.
    to_end = [0.0 if m < c < L else GAMMA ** max(L - m - 1, 0) for m, c in PLACES]
    np.testing.assert_allclose(end, to_end, rtol=1e-5)


def test_too_little_time_is_worth_nothing():
    env = Line(size=L + 1, max_steps=3)
    values = oracle.start_values(env, env.intended, all_levels(), GAMMA)
    np.testing.assert_array_equal(values > 0, [abs(m - c) <= 3 for m, c in PLACES])


def test_a_random_walk_is_a_gambler():
    """It comes to the right end before a coin at its left with probability (p - c) / (L - c)."""
    env = Line(size=L + 1, max_steps=2000)
    (end,) = env.proxies
    values = oracle.start_values(env, end, all_levels(), 1.0, "random")
    for value, (mouse, coin) in zip(values, PLACES, strict=True):
        if coin < mouse < L:
            assert abs(value - (mouse - coin) / (L - coin)) < 1e-4


# -- what analysis asks ------------------------------------------------------------------------------


def test_places_restarts_and_the_mirror():
    env = Line(size=5)
    level = env.from_text(".@..c")
    here = jax.vmap(lambda state: env.facts(level, state))(env.states(level))
    cells = {name: np.flatnonzero(there).tolist() for name, there in here.items()}
    places = {"the left end": [0], "the middle": [2], "the right end": [4]}
    assert cells == {**places, "the coin": [4], "the start": [1]}
    again = env.restart(level, tree_index(env.states(level), 3))
    assert env.to_text(again) == "...@c\n"
    (mirrored,) = env.symmetries(level).values()
    assert env.to_text(mirrored) == "c..@.\n"
    assert env.is_distinguishing(mirrored), "where the world is mirrored the end is no proxy"
    moved = env.step(level, env.reset(level), jnp.asarray(1))
    before, after = (env.gauges(level, state) for state in (env.reset(level), moved))
    assert after["go right"] - before["go right"] == before["go left"] - after["go left"] == 0.25


def test_the_end_costs_nothing_in_training_and_a_known_regret_elsewhere():
    """An optimizer of the end, once there, may never turn to the coin (the worst tie) or do so at once
    (the best)."""
    env = Line(size=L + 1, max_steps=40)
    levels = jax.tree.map(lambda cells: cells[np.array([m < L for m, _ in PLACES])], all_levels())
    found = regrets(env, (env.intended,), env.proxies, levels, GAMMA, ("worst", "best"))
    assert found.best is not None
    for row, (mouse, coin) in enumerate(place for place in PLACES if place[0] < L):
        best = worst = 0.0
        if coin < mouse:
            worst = GAMMA ** (mouse - coin - 1)
            best = worst - GAMMA ** ((L - mouse) + (L - coin) - 1)
        elif coin < L:  # the end is out of reach, so that nothing it does is better than anything else
            worst = GAMMA ** (coin - mouse - 1)
        np.testing.assert_allclose(found.worst[row, 0, 0], worst, atol=1e-5)
        np.testing.assert_allclose(found.best[row, 0, 0], best, atol=1e-5)


# -- a board that is not square ----------------------------------------------------------------------


def test_layouts_are_for_boards_with_walls():
    made: Any = Board().environment("line")
    assert isinstance(made, Line)
    with pytest.raises(BadArguments, match="--layout open is for corner, dish, keys, not for line"):
        check_owned(["--layout", "open"], Line, Run)
    with pytest.raises(BadArguments, match="--layout open is for corner, dish, keys, not for line"):
        check_owned(["--layout=open"], Line, Run)
    options: Any = board_of(Corner)
    made = options(layout="open").environment("corner")
    assert made.layout.name == "open"


def test_a_line_can_be_played():
    env = Line(size=5)
    game = Game(env, level=env.from_text("..@.c\n"))
    for command in ("up", "right", "right"):  # up is no move here
        game.obey(command)
    assert game.is_terminated and game.steps == 2
    assert game.reached == {"coin": 2, "end": 2}
    assert str(board(game)).splitlines()[1] == "##. . . . @ ##"


def test_a_long_line_fits_a_terminal_and_its_panel_is_below():
    stdout, env = io.StringIO(), Line(size=65)
    play(env, 0, env.from_text("@" + 63 * "." + "c"), stdin=io.StringIO("q\n"), stdout=stdout)
    first, second, third, blank, title, *_ = stdout.getvalue().splitlines()
    assert [first, second, third] == ["#" * 67, "#@" + 63 * "." + "c#", "#" * 67]
    assert (blank.strip(), title.strip()) == ("", "Coin Line")


def test_the_report_shows_width_and_height():
    assert kind_of(Line()).about(Line(size=9))["size"] == "9\u00d71"
    wide = {"tiles": np.zeros((3, 11), int).tolist(), "object": "coin", "cells": []}
    drawn = heatmap(wide, "coin", "goal-0", 1)
    assert f'viewBox="0 0 {11 * TILE} {3 * TILE}"' in drawn and 'class="board wide"' in drawn
