"""Exact regrets against all policies there are, tried one by one; what they mean on known boards."""

import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from altered_goal import altered
from jax import jit
from tiny import NUM_ACTIONS, ONCE, PLAIN, Pay, Tiny

from goalgap import core, oracle
from goalgap.core import UsageError
from goalgap.envs import Corner, Dish, Keys, Line
from goalgap.envs.grid import Reach
from goalgap.envs.line import LineLevel
from goalgap.theory import underspecification, worlds
from goalgap.theory.grammar import Attain
from goalgap.theory.underspecification import (
    Regrets,
    compatible,
    equivalence_classes,
    prior_mass,
    regrets,
)

GAMMA = 0.8
COUNT = 32


@functools.cache
def levels_of(env: Any, deploy: bool = False, count: int = COUNT) -> Any:
    shift = env.shift()
    draw = jit(jax.vmap((shift.deploy if deploy else shift.train).sample))
    return draw(jax.random.split(jax.random.key(2), count))


@functools.cache
def rows_of(env: Any) -> list[Any]:
    levels = jax.device_get(levels_of(env))
    return [jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), levels) for i in range(COUNT)]


def tables(found: Regrets) -> list[np.ndarray]:
    """Those that were asked for: by ties, off the path."""
    return [table for table in found[1:] if table is not None]


# -- all policies of tiny worlds --------------------------------------------------------------------

MOST_STATES = 12  # whose 2^12 policies are tried


class Joint(NamedTuple):
    """A level under two goals, in the states that some behavior reaches; the first is the start."""

    successor: np.ndarray  # [x a]; 0 where the episode ends
    goes_on: np.ndarray  # [x a]
    rewards: np.ndarray  # [2 x a]


def joint(level: Any, goals: tuple[Pay, Pay]) -> Joint:
    """By search from the start."""
    first = (int(level.start), False, False)
    places, todo, moves = {first: 0}, [first], []
    while todo:
        state, *spent = todo.pop(0)
        for action in range(NUM_ACTIONS):
            after = int(level.successor[state, action])
            paid, spent_then = [], []
            for goal, is_spent in zip(goals, spent, strict=True):
                pay = float(level.pay[goal.row, state, action])
                paid.append(0.0 if is_spent else pay)
                spent_then.append(is_spent or (goal.once and pay != 0))
            following = (after, *spent_then)
            ends = bool(level.ends[after])
            if not ends and following not in places:
                places[following] = len(places)
                todo.append(following)
            moves.append((places.get(following, 0) if not ends else 0, not ends, *paid))
    table = np.array(moves).reshape(len(places), NUM_ACTIONS, 4)
    return Joint(table[..., 0].astype(int), table[..., 1] > 0, np.moveaxis(table[..., 2:], -1, 0))


def evaluate(world: Joint, policies: np.ndarray) -> np.ndarray:
    """What policies [p x a] earn under both goals, [2 p x], by linear equations."""
    num_states = len(world.successor)
    follows = np.eye(num_states)[world.successor] * world.goes_on[..., None]
    transition = np.einsum("pxa,xay->pxy", policies, follows)
    earned = np.einsum("pxa,gxa->gpx", policies, world.rewards)
    return np.linalg.solve(np.eye(num_states) - GAMMA * transition, earned[..., None])[..., 0]


def tried(world: Joint) -> dict[str, Any]:
    """Regrets under the first goal of optimizers of the second, and the first goal's optimum."""
    num_states = len(world.successor)
    every = np.array(list(itertools.product(range(NUM_ACTIONS), repeat=num_states)))
    mine, other = evaluate(world, np.eye(NUM_ACTIONS)[every])
    optimum, others_optimum = mine.max(0), other.max(0)
    # Optimal from a state, whatever is done where it does not lead.
    is_optimal = other >= others_optimum - 1e-9
    worst = optimum - np.where(is_optimal, mine, np.inf).min(0)
    best = optimum - np.where(is_optimal, mine, -np.inf).max(0)
    q = world.rewards[1] + GAMMA * world.goes_on * others_optimum[world.successor]
    greedy = q >= others_optimum[:, None] - 1e-9
    (mean,), _ = evaluate(world, (greedy / greedy.sum(1, keepdims=True))[None])
    return {
        "optimum": optimum[0],
        "worst": worst[0],
        "mean": optimum[0] - mean[0],
        "best": best[0],
        "off_path": worst.max(),
    }


PAIRS = {"plain": PLAIN, "once": (PLAIN[0], ONCE[0]), "for-once": (ONCE[1], PLAIN[1]), "both": ONCE}


TINIES = (*PLAIN, *ONCE)


@functools.cache
def of_tinies() -> Regrets:
    """Of all pairs of goals, by one program."""
    return regrets(Tiny(), TINIES, TINIES, levels_of(Tiny()), GAMMA, off_path=True)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_regrets_agree_with_all_policies_tried_one_by_one(pair):
    env = Tiny()
    first, second = (TINIES.index(goal) for goal in pair)
    found = of_tinies()
    compared, seen = 0, []
    for index, level in enumerate(rows_of(env)):
        world = joint(level, pair)
        if len(world.successor) > MOST_STATES or level.ends[level.start]:
            continue
        expected = tried(world)
        for name, value in expected.items():
            table = getattr(found, name)[index]
            got = float(table[first] if name == "optimum" else table[first, second])
            assert got == pytest.approx(value, abs=2e-5), (name, index)
        seen.append(expected)
        compared += 1
    assert compared > COUNT / 2
    assert any(row["worst"] > row["mean"] + 0.01 > row["best"] + 0.02 for row in seen), "some have ties"
    assert any(row["off_path"] > row["worst"] + 0.01 for row in seen)


def test_worst_ties_cost_most_best_ties_least_and_nothing_is_gained():
    found = of_tinies()
    assert found.mean is not None and found.best is not None and found.off_path is not None
    assert (found.best >= 0).all() and (found.best > 0.1).any()
    assert (found.mean >= found.best - 1e-5).all() and (found.worst >= found.mean - 1e-5).all()
    assert (found.off_path >= found.worst).all()
    for table in tables(found):
        assert not np.diagonal(table, axis1=1, axis2=2).any()


# -- goals that are the same goal --------------------------------------------------------------------

# Long enough for what follows the last step to be worth nothing.
CORNER = Corner(size=5, max_steps=300)


@pytest.mark.slow
def test_a_goal_under_another_name_costs_nothing_and_costs_others_as_much():
    cheese, corner = CORNER.goals
    goals = (cheese, altered(cheese, 1.0), altered(cheese, 2.0, name="twice"))
    found = regrets(CORNER, (cheese, corner), goals, levels_of(CORNER, True), GAMMA, off_path=True)
    for table in tables(found):
        assert not table[:, 0].any(), "equal goals have no regret"
        np.testing.assert_allclose(table[:, 1], np.repeat(table[:, 1, :1], 3, 1), atol=1e-5)
        assert table[:, 1].max() > 0.1
    again = regrets(CORNER, goals[1:2], goals[:1], levels_of(CORNER, True), GAMMA)
    assert not again.worst.any()


CHEESE, PLACE = CORNER.goals
JUDGED = CHEESE, altered(CHEESE, 1.0, 0.3, GAMMA, "one")
PURSUED = PLACE, altered(PLACE, 1.0, 0.3, GAMMA, "other"), altered(CHEESE, -1.0)


@functools.cache
def of_altered() -> Regrets:
    """Of the corner's goals as they are, shaped by potentials, and turned around, by one program."""
    return regrets(CORNER, JUDGED, PURSUED, levels_of(CORNER, True), GAMMA, off_path=True)


@pytest.mark.parametrize(
    ("judged", "pursued"),
    [(1, 0), (0, 1), (1, 1)],
    ids=["the judged", "the pursued", "both"],
)
def test_potential_shaping_changes_no_regret(judged, pursued):
    found = of_altered()
    assert (found.worst[:, 0, 0] > 0.1).any()
    for table in tables(found):
        np.testing.assert_allclose(table[:, judged, pursued], table[:, 0, 0], atol=2e-5)


def test_the_optimizer_of_the_opposite_earns_the_least_that_can_be_earned():
    least = oracle.start_values(CORNER, CHEESE, levels_of(CORNER, True), GAMMA, "worst")
    found = of_altered()
    for table in tables(found._replace(off_path=None)):
        np.testing.assert_allclose(table[:, 0, 2], found.optimum[:, 0] - least, atol=1e-5)


@functools.cache
def by_hand() -> tuple[Regrets, Regrets]:
    """Of three places under each other, on a mirrored board; of the corner under the cheese, on another.

    One program serves both.
    """
    env = Corner(size=3, max_steps=100)
    boards = (".#c\n.@#\n...\n", ".@.\n##.\n##c\n")
    levels = jax.tree.map(lambda *leaves: np.stack(leaves), *map(env.from_text, boards))
    places = tuple(
        Attain(place, "", 1.0, env, (place,))
        for place in ("the left column", "the bottom row", "the bottom-left corner")
    )
    cheese, corner = env.goals
    found = regrets(env, (*places, cheese), (*places, corner), levels, GAMMA)
    mirrored, other = ([table[row] for table in found if table is not None] for row in range(2))
    return (
        Regrets(mirrored[0][:3], *(table[:3, :3] for table in mirrored[1:])),
        Regrets(other[0][3], *(table[3, 3] for table in other[1:])),
    )


def test_mirrored_goals_on_a_mirrored_board_cost_each_other_the_same():
    found, _ = by_hand()
    for table in tables(found):
        mirrored = table[np.ix_((1, 0, 2), (1, 0, 2))]
        np.testing.assert_allclose(table, mirrored, atol=1e-6)
    assert found.worst[0, 1] > 0.5
    assert found.worst[0, 2] != found.worst[2, 0], "these two are no mirror images"


# -- known boards ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_where_the_cheese_lies_in_the_corner_nothing_tells_the_goals_apart():
    """Not even off the path; elsewhere the corner costs something on most levels."""
    cheese, corner = CORNER.goals
    found = regrets(CORNER, CORNER.goals, CORNER.goals, levels_of(CORNER), GAMMA, off_path=True)
    assert found.optimum.max() > 0.1
    for table in tables(found):
        assert not table.any()
    apart = regrets(CORNER, (cheese,), (corner,), levels_of(CORNER, True), GAMMA).worst
    assert (apart > 0).mean() > 0.5


def test_a_board_worked_out_by_hand():
    """Three steps to the cheese, or one to the corner, after which all is the same to the proxy."""
    _, found = by_hand()
    assert found.mean is not None and found.best is not None
    optimum, detour = GAMMA**2, GAMMA**4
    np.testing.assert_allclose(found.optimum, optimum)
    np.testing.assert_allclose(found.worst, optimum)
    np.testing.assert_allclose(found.best, optimum - detour, rtol=1e-5)
    # From the corner on a random walk over the cells 0, 1, 2, 5 toward the cheese.
    walk = np.array([[3, 1, 0, 0], [1, 2, 1, 0], [0, 1, 2, 1], [0, 0, 1, 2]]) / 4
    chance = np.linalg.solve(np.eye(4) - GAMMA * walk, [0, 0, 0, 0.25])
    np.testing.assert_allclose(found.mean, optimum - GAMMA * chance[0], rtol=1e-5)


@pytest.mark.slow
def test_off_the_path_a_level_may_reveal_what_it_hides_from_its_start():
    """Who has been in the corner first is no longer drawn to the cheese, one step away."""
    env = Corner(size=3, max_steps=100)
    level = jax.tree.map(lambda leaf: leaf[None], env.from_text(".@c\n.##\n###\n"))
    for instead, off_path in ((None, 0.0), ("the top-left corner", 1.0)):
        goal = Attain("cheese", "", 1.0, env, ("the cheese",), instead=instead)
        found = regrets(env, (env.intended,), (goal,), level, GAMMA, off_path=True)
        assert found.off_path is not None and not found.worst.any()
        np.testing.assert_allclose(found.off_path, off_path)


EIGHT = {
    "dish": ("the dish",),
    "corner": ("the top-left corner",),
    "top row": ("the top row",),
    "left column": ("the left column",),
    "any object": ("the cheese", "the dish"),
    "top or left": ("the top row", "the left column"),
    "cheese row": ("the row of the cheese",),
}


def test_the_pilot_of_the_eight_goals():
    """7x7, cheese and dish in the corner: only the goals that end there are open without any slack,
    but with a little and luck in ties all eight."""
    env = Dish(size=7, max_steps=128)
    levels = jax.device_get(levels_of(env))
    in_corner = levels.mouse == 0
    walls, mouse = levels.walls.copy(), np.where(in_corner, 48, levels.mouse)
    walls[:, 0, 0] = False
    walls[in_corner, 6, 6] = False
    parts = walls, mouse, np.zeros_like(mouse), np.zeros_like(mouse)
    levels = type(levels)(*map(jnp.asarray, parts))
    goals = tuple(Attain(name, name, 1.0, env, places, "any") for name, places in EIGHT.items())
    found = regrets(env, (env.intended,), (env.intended, *goals), levels, 0.95, ("worst", "best"))
    assert found.best is not None
    names = np.array(["cheese", *EIGHT])
    open_now = names[compatible(found.worst[:, 0], 0.0)].tolist()
    assert open_now == ["cheese", "dish", "corner", "any object"]
    assert compatible(found.best[:, 0], 0.05).all()
    assert not compatible(found.best[:, 0], 0.0).all()


# -- what is left open -------------------------------------------------------------------------------


def test_compatible_is_a_mean_within_the_slack():
    regret = np.array([[0.0, 0.01, 0.03], [0.0, 0.03, 0.03]])
    assert compatible(regret, 0.02).tolist() == [True, True, False]
    assert compatible(regret, 0.0).tolist() == [True, False, False]
    for epsilon in (-0.01, 1.0, math.nan):
        with pytest.raises(UsageError, match=f"epsilon is {epsilon}; expected 0 to below 1"):
            compatible(regret, epsilon)


def test_the_diameter_is_over_open_goals():
    regret = np.array([[0.0, 0.2, 0.9], [0.0, 0.4, 0.9]])
    open_goals = np.array([True, True, False])
    assert underspecification.diameter(regret, open_goals) == pytest.approx(0.3)
    assert underspecification.diameter(regret, np.zeros(3, bool)) == 0


def test_classes_need_both_directions_on_all_levels():
    worst = np.zeros((2, 4, 4))
    worst[1, 3, :3] = worst[1, :3, 3] = 0.5
    for first, second in ((0, 1), (1, 0)):
        worst[0] = 0
        worst[0, first, second] = 0.5  # an optimizer of the second is none of the first
        assert equivalence_classes(worst) == [[0, 2], [1], [3]]
    assert equivalence_classes(worst[1:]) == [[0, 1, 2], [3]]


@pytest.mark.slow
def test_classes_of_the_corner():
    goals = (*CORNER.goals, Attain("row", "", 1.0, CORNER, ("the top row",)))
    for deploy, expected in ((False, [[0, 1], [2]]), (True, [[0], [1], [2]])):
        worst = regrets(CORNER, goals, goals, levels_of(CORNER, deploy), GAMMA, ("worst",)).worst
        assert equivalence_classes(worst) == expected


def test_the_prior_prefers_short_descriptions():
    goals = tuple(Attain("", "", bits, CORNER, ("the cheese",)) for bits in (1.0, 2.0, 3.0))
    assert prior_mass(goals, np.array([True, False, True])) == pytest.approx(5 / 7)
    assert prior_mass(goals, np.ones(3, bool)) == 1


# -- what cannot be analyzed, and how it is cut up ----------------------------------------------------


class Blind(Corner):
    """A corner whose states nobody counted."""

    def states(self, level: Any) -> Any:
        return core.Environment.states(self, level)


def refusal(env: Any) -> str:
    shapes = jax.eval_shape(jax.vmap(env.shift().train.sample), jax.random.split(jax.random.key(0), 1))
    levels = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)  # never looked at
    with pytest.raises(UsageError) as caught:
        regrets(env, env.goals[:1], env.goals[1:], levels, GAMMA)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_states_that_are_not_enumerated_are_refused():
    message = refusal(Blind(size=5))
    assert message.startswith("the states of corner are not enumerated")
    assert "use an environment that has `states`" in message


def test_too_many_states_are_refused_with_their_number_and_the_repair():
    env = Keys(size=13)
    message = refusal(env)
    assert f"keys: {169 * 4**10:,} states" in message
    assert "GiB a level" in message and "expected at most 2" in message
    assert "reduce the size of the board, its objects, or the number of goals" in message


@pytest.mark.parametrize("gamma", [0.0, 1.0, math.nan])
def test_discounts_are_between_0_and_1(gamma):
    with pytest.raises(UsageError, match=f"gamma is {gamma}; a discount is above 0 and below 1"):
        regrets(CORNER, CORNER.goals[:1], CORNER.goals[1:], levels_of(CORNER), gamma)


def test_chunks_change_nothing(monkeypatch):
    """Also where the last one is not full."""
    goals = CORNER.goals
    levels = levels_of(CORNER, True)
    whole = of_altered()
    asked: list[int] = []
    inner = underspecification._regrets

    def spy(env: Any, goals: Any, by: Any, levels: Any, *rest: Any) -> Any:
        asked.append(len(levels.mouse))
        return inner(env, goals, by, levels, *rest)

    monkeypatch.setattr(underspecification, "_regrets", spy)
    monkeypatch.setattr(worlds, "CHUNK_BYTES", 7 * worlds.check(CORNER, goals))
    parts = regrets(CORNER, goals[:1], goals[1:], levels, GAMMA, off_path=True)
    assert asked == [7] * 5
    np.testing.assert_array_equal(parts.optimum[:, 0], whole.optimum[:, 0])
    for before, after in zip(tables(whole), tables(parts), strict=True):
        np.testing.assert_allclose(after[:, 0, 0], before[:, 0, 0], atol=1e-6)


class Looked(Corner):
    """Its successors are looked up, as where moves are no shifts."""

    @property
    def strides(self) -> None:
        return None


class Third(Reach):
    """Pay for every third arrival: an automaton that comes back to where it was."""

    @property
    def num_memories(self) -> int:
        return 3

    def step(self, level: Any, memory: Any, state: Any, action: Any, next_state: Any) -> Any:
        arrives = self.is_there(level, next_state)
        return 1.0 * (arrives & (memory == 2)), (memory + arrives) % 3


@pytest.mark.slow
def test_shifts_and_lookups_are_the_same():
    """With the memories of one goal, of the other, and of both."""
    places = (("the top row",), ("the right column", "the middle"))
    found = []
    for env in (CORNER, Looked(size=5, max_steps=300)):
        goals = (*env.goals, *(Attain(each[0], "", 1.0, env, each, "any") for each in places))
        goals += (Third("third", "", 1.0, 24),)
        found.append(regrets(env, goals, goals, levels_of(CORNER, True), GAMMA, off_path=True))
    assert CORNER.strides is not None
    for shifted, looked in zip(*map(tables, found), strict=True):
        np.testing.assert_allclose(shifted, looked, atol=1e-6)
        assert (shifted > 0.05).any(0).sum() == 20, "all pairs are told apart on some level"


# 16 is a block of sweeps.
@pytest.mark.parametrize(
    "max_steps",
    [1, pytest.param(3, marks=pytest.mark.slow), 16, 17, pytest.param(40, marks=pytest.mark.slow)],
)
def test_what_is_too_far_for_the_time_is_worth_nothing(max_steps):
    env = Line(size=41, max_steps=max_steps)
    mouse = jnp.arange(40)
    levels = LineLevel(mouse, jnp.full(40, 40), jnp.full(40, 40))
    middle = Attain("middle", "", 1.0, env, ("the middle",))
    found = regrets(env, (env.intended, middle), (env.intended,), levels, 0.95, ("worst",))
    # Who begins in the middle arrives there anew by a step away and back.
    to_middle = np.where(mouse == 20, 2, abs(mouse - 20))
    for optimum, steps in zip(found.optimum.T, (40 - mouse, to_middle), strict=True):
        np.testing.assert_allclose(optimum, (steps <= max_steps) * 0.95 ** (steps - 1), rtol=1e-5)
