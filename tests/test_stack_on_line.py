"""The coin line through the whole of the theory, with answers worked out on paper.

All levels there are: the mouse at m, the coin at c, the right end at L. The verdict on its oracles is in
`test_known_subjects`; its learner, and more of exact play, in `test_coin_line`.
"""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import jit

from goalgap.core import tree_index
from goalgap.envs import Line
from goalgap.envs.line import LineLevel
from goalgap.theory import breaking, certificate, grammar, questions
from goalgap.theory.decomposition import decompose
from goalgap.theory.underspecification import compatible, diameter, equivalence_classes, regrets

L, GAMMA = 8, 0.95
ENV = Line(size=L + 1, max_steps=300)
PLACES = [(mouse, coin) for mouse, coin in itertools.product(range(L + 1), repeat=2) if mouse != coin]
TRAIN = np.array([coin == L for _, coin in PLACES])
EPSILON, MARGIN = 0.01, 0.05


def levels() -> LineLevel:
    mouse, coin = (jnp.asarray(cells) for cells in zip(*PLACES, strict=True))
    return LineLevel(mouse, coin, jnp.full(len(PLACES), L))


def goals() -> tuple[Any, ...]:
    """The coin, the end, and a goal of the grammar."""
    (right,) = (goal for goal in grammar.goals(ENV) if goal.name == "go-right")
    return (*ENV.goals, right)


def walk(start: int, target: int) -> float:
    """E[gamma^T] of a fair random walk beside a wall, T its time from one cell to another, cells counted
    from the wall: of the recurrence, the solution that is even about the wall's face."""
    root = (1 + math.sqrt(1 - GAMMA**2)) / GAMMA
    return math.cosh((start + 0.5) * math.log(root)) / math.cosh((target + 0.5) * math.log(root))


def on_paper(mouse: int, coin: int) -> dict[str, tuple[float, float]]:
    """What optimizers of the end and of going right cost under the coin, by the way ties are broken."""
    optimum = GAMMA ** (abs(mouse - coin) - 1)
    if coin == L:
        return dict.fromkeys(("worst", "mean", "best"), (0.0, 0.0))
    if mouse < coin:
        # The end is out of reach, so that nothing matters to its optimizer.
        chance = walk(mouse, coin) / GAMMA
        return {"worst": (optimum, 0.0), "mean": (optimum - chance, 0.0), "best": (0.0, 0.0)}
    at_end = max(L - mouse, 1)  # who starts there bumps into the wall
    back = GAMMA ** (at_end + L - coin - 1)
    chance = GAMMA ** (at_end - 1) * walk(0, L - coin)
    found = {"worst": optimum, "mean": optimum - chance, "best": optimum - back}
    return {ties: (cost, optimum) for ties, cost in found.items()}  # who goes right stays right


@functools.cache
def costs() -> dict[str, np.ndarray]:
    """[l, j] by ties: the coin's, the end's and going right's optimizers under the coin."""
    found = regrets(ENV, (ENV.intended,), goals(), levels(), GAMMA)
    return {ties: getattr(found, ties)[:, 0] for ties in ("worst", "mean", "best")}


# -- T2: what training leaves open -------------------------------------------------------------------


@pytest.mark.parametrize("ties", ["worst", "mean", "best"])
def test_regrets_are_those_on_paper(ties):
    expected = np.array([(0.0, *on_paper(*place)[ties]) for place in PLACES])
    np.testing.assert_allclose(costs()[ties], expected, atol=1e-5)
    assert expected[~TRAIN].max(0)[1] > 0.3


def test_training_leaves_all_three_open_and_deployment_none_but_the_coin():
    worst = costs()["worst"]
    assert compatible(worst[TRAIN], 0.0).all()
    assert compatible(worst, EPSILON).tolist() == [True, False, False]
    dearest = max(np.mean([on_paper(*place)["worst"][j] for place in PLACES]) for j in (0, 1))
    assert diameter(worst, np.ones(3, bool)) == pytest.approx(dearest, rel=1e-5)


@pytest.mark.parametrize(("kind", "classes"), [("train", [[0, 1, 2]]), ("deploy", [[0], [1], [2]])])
def test_training_shows_one_class_and_deployment_three(kind, classes):
    rows = np.flatnonzero(TRAIN | (kind == "deploy"))
    worst = regrets(ENV, goals(), goals(), tree_index(levels(), rows), GAMMA, ("worst",)).worst
    assert equivalence_classes(worst) == classes


def test_of_all_that_can_be_said_what_goes_right_is_open():
    said = grammar.goals(ENV)
    some = tree_index(levels(), np.flatnonzero(TRAIN))
    worst = regrets(ENV, (ENV.intended,), said, some, GAMMA, ("worst",)).worst[:, 0]
    open_now = {goal.name for goal, cost in zip(said, worst.T, strict=True) if not cost.any()}
    right = {"coin", "right-end", "go-right", "right-end-and-coin", "right-end-or-coin"}
    first = {"left-end", "middle"}
    assert right <= open_now
    assert not open_now & (first | {"start", "go-left", "avoid-coin", "middle-or-coin"})
    assert {"coin-before-left-end", "right-end-before-left-end"} <= open_now, "never on the way"
    assert not open_now & {"coin-before-middle", "left-end-before-coin"}


# -- T4: what would close it -------------------------------------------------------------------------


def test_one_level_closes_it_and_the_mixture_is_that_level():
    """The coin at the left end, the mouse beside it: both proxies lose most there."""
    best = costs()["best"][:, 1:]
    paper = np.array([on_paper(*place)["best"] for place in PLACES])
    least = paper.min(1)
    top = int(least.argmax())
    assert PLACES[top] == (1, 0)
    chosen = breaking.breaking_set(best, MARGIN, ("end", "go-right"))
    assert chosen.tolist() == [top] and least[top] == pytest.approx(1 - GAMMA ** (2 * L - 2))
    game = breaking.best_mixture(best)
    assert game.support.tolist() == [top] and game.value == pytest.approx(least[top], abs=1e-5)
    capped = breaking.best_mixture(best, 0.25)
    assert capped.value == pytest.approx(np.sort(least)[-4:].mean(), abs=1e-5)
    share = breaking.share_needed(EPSILON, game.value)
    assert share == pytest.approx(EPSILON / (1 - GAMMA**14), rel=1e-4)
    after = (1 - share) * costs()["best"][TRAIN].mean(0) + share * costs()["best"][top]
    assert compatible(1.001 * after[None], EPSILON).tolist() == [True, False, False]
    assert compatible(0.999 * after[None], EPSILON).tolist() == [True, True, False]


def test_the_mirror_closes_it_without_new_levels():
    """Mirrored training shows the coin at the left end."""
    rows = np.flatnonzero(TRAIN)
    (mirrored,) = jit(jax.vmap(ENV.symmetries))(tree_index(levels(), rows)).values()
    found = regrets(ENV, (ENV.intended,), goals(), mirrored, GAMMA).best
    assert found is not None
    at_left = [on_paper(L - mouse, 0)["best"] for mouse, coin in PLACES if coin == L]
    np.testing.assert_allclose(found[:, 0, 1:], at_left, atol=1e-5)
    assert found[:, 0, 1:].mean(0).min() > 0.2


# -- E4d: what to ask --------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.5, 4.0])
def test_with_one_step_to_go_the_divergences_are_those_of_two_coins(beta):
    """A pursuer takes the good one of two actions with probability 1 / (1 + exp(-beta))."""
    env = Line(size=L + 1, max_steps=1)
    found = questions.divergences(env, env.goals, levels(), GAMMA, beta)
    sure = 1 / (1 + math.exp(-beta))
    apart = beta * math.tanh(beta / 2)
    one = sure * math.log(2 * sure) + (1 - sure) * math.log(2 - 2 * sure)
    none = -0.5 * math.log(4 * sure * (1 - sure))
    for (mouse, coin), kl in zip(PLACES, found, strict=True):
        at_coin, at_end = abs(mouse - coin) == 1, mouse >= L - 1
        if at_coin and at_end:
            expected = (0.0, 0.0) if coin == L else (apart, apart)
        elif at_coin:
            expected = (one, none)
        else:
            expected = (none, one) if at_end else (0.0, 0.0)
        np.testing.assert_allclose(kl[[0, 1], [1, 0]], expected, atol=1e-5)
    game = questions.design(found)
    assert game.value == pytest.approx(apart, rel=1e-4)
    asked = {PLACES[row] for row in game.support}
    assert asked <= {(L - 1, L - 2), (L, L - 1)}
    assert questions.num_episodes(game.value, 0.05) == math.ceil(math.log(20) / apart)


def test_training_answers_no_question():
    found = questions.divergences(
        ENV, ENV.goals, tree_index(levels(), np.flatnonzero(TRAIN)), GAMMA, 10.0
    )
    assert not found.any()
    assert questions.num_episodes(questions.design(found).value, 0.05) == math.inf


# -- T1 and T3 ---------------------------------------------------------------------------------------


def test_the_optimizer_of_the_end_has_an_inner_gap_where_the_coin_has_moved():
    coin, end = ENV.goals
    optimum = np.array([GAMMA ** (abs(mouse - coin) - 1) for mouse, coin in PLACES])
    inner = np.array([on_paper(*place)["mean"][0] for place in PLACES])
    found = decompose(ENV, coin, coin, end, levels(), optimum - inner, GAMMA)
    assert not found.outer.any() and not found.inner[TRAIN].any()
    np.testing.assert_allclose(found.inner, inner, atol=1e-5)
    np.testing.assert_allclose(found.competence, 0, atol=1e-5)


def test_the_difference_of_coin_and_end_is_invisible_until_the_coin_has_moved():
    """What is paid at the end for good can be paid step by step: a constant potential turns a step of
    1 - gamma into gamma at the coin."""
    some = tree_index(levels(), np.flatnonzero(TRAIN))
    known = certificate.identify(ENV, ENV.goals, some, GAMMA)
    assert [feature.name for feature in known.features] == ["coin", "end", "step", "bump"]
    assert known.rank == 2 and "coin - end" in certificate.mixtures(known)
    expected = [[1, -1, 0, 0], [1, 0, (1 - GAMMA) / GAMMA, 0]]
    np.testing.assert_allclose(known.invisible, expected, atol=1e-6)
    revealed = certificate.reveals(ENV, known, levels())
    assert not revealed.generalizes
    np.testing.assert_allclose(revealed.share, [(~TRAIN).mean(), 0])
    (row,) = (index for index, place in enumerate(PLACES) if place == (1, 0))
    more = tree_index(levels(), np.append(np.flatnonzero(TRAIN), row))
    closed = certificate.identify(ENV, ENV.goals, more, GAMMA)
    assert closed.rank == 3
    np.testing.assert_allclose(closed.invisible, expected[1:], atol=1e-6)
