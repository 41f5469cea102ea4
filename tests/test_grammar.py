"""Goals that nobody listed: their tables against their own rules, and those that a person would name."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import jit

from goalgap.envs import Corner, Dish, Keys, Line
from goalgap.envs.layouts import Open
from goalgap.theory import grammar, worlds
from goalgap.theory.grammar import Attain, Raise
from goalgap.theory.underspecification import compatible, regrets

GAMMA = 0.95
CORNER, DISH = Corner(size=5, max_steps=40), Dish(size=5, max_steps=40)
ENVS = (CORNER, DISH, Keys(size=4, few=1, many=2, max_steps=40), Line(size=9, max_steps=40))
over_envs = pytest.mark.parametrize("env", ENVS, ids=lambda env: env.name)


@functools.cache
def levels_of(env: Any, deploy: bool = False, count: int = 32) -> Any:
    shift = env.shift()
    draw = jit(jax.vmap((shift.deploy if deploy else shift.train).sample))
    return draw(jax.random.split(jax.random.key(3), count))


# -- all that can be said ----------------------------------------------------------------------------


@over_envs
def test_each_goal_has_a_name_a_sentence_and_a_length_of_its_own(env):
    goals = grammar.goals(env)
    places, gauges = grammar.vocabulary(env)
    f, h = len(places), len(gauges)
    assert len(goals) == 2 * f + 2 * (f * (f - 1) // 2) + f * (f - 1) + h + h * (h - 1) // 2
    names = [goal.name for goal in goals]
    assert len(set(names)) == len(names)
    assert not any(" " in name or "°" in name or name != name.lower() for name in names)
    assert len({goal.sentence for goal in goals}) == len(goals)
    bits = [goal.bits for goal in goals]
    assert bits == sorted(bits)
    word = np.log2(f + h)
    for goal in goals:
        if isinstance(goal, Raise):
            words = goal.gauges
        else:
            assert isinstance(goal, Attain)
            words = (*goal.places, *filter(None, [goal.instead]))
        assert goal.bits == pytest.approx(np.log2(grammar.NUM_RULES) + len(words) * word)


def test_a_world_without_words_has_no_goals():
    class Silent(Line):
        def facts(self, level: Any, state: Any) -> dict[str, Any]:
            return {}

        def gauges(self, level: Any, state: Any) -> dict[str, Any]:
            return {}

    assert grammar.goals(Silent(size=9)) == ()


# -- tables ------------------------------------------------------------------------------------------


@functools.cache
def moves(env: Any) -> tuple[np.ndarray, Any]:
    """The facts after each move of four levels, [l s a f], and all goals' tables by memory."""
    goals = grammar.goals(env)
    levels = levels_of(env, count=4)

    def said(level: Any) -> Any:
        def after(state: Any, action: Any) -> Any:
            return grammar.words(env, level, env.step(level, state, action))

        over_actions = jax.vmap(after, (None, 0))
        return jax.vmap(over_actions, (0, None))(env.states(level), jnp.arange(env.num_actions))

    tables = jit(lambda levels: worlds.tabulate_stacked(env, goals, levels)[1])(levels)
    return jax.device_get((jit(jax.vmap(said))(levels), tables))


@over_envs
def test_tables_say_of_every_goal_what_its_sentence_says(env):
    """The sentence read by rules of its own: "and" is all, "or" any, "before" bars, "avoid" costs."""
    facts, tables = moves(env)
    place = {name: index for index, name in enumerate(grammar.vocabulary(env)[0])}
    goals = [goal for goal in grammar.goals(env) if goal.num_memories == 2]
    for index, goal in enumerate(goals):
        said = goal.sentence.removeprefix("get to ").removesuffix(" at once")
        worth, barred = 1.0, np.zeros(facts.shape[:-1], bool)
        if said.startswith("avoid "):
            worth, said = -1.0, said.removeprefix("avoid ")
        if " before " in said:
            said, instead = said.split(" before ")
            barred = facts[..., place[instead]]
        if " or " in said:
            there = np.any([facts[..., place[name]] for name in said.split(" or ")], 0)
        else:
            there = np.all([facts[..., place[name]] for name in said.split(" and ")], 0)
        table = tables[2]
        np.testing.assert_array_equal(table.reward[:, index, :, 0], worth * there)
        np.testing.assert_array_equal(table.reward[:, index, :, 1], 0)
        np.testing.assert_array_equal(table.memory[:, index, :, 0], there | barred)
        np.testing.assert_array_equal(table.memory[:, index, :, 1], 1)


def some(env: Any) -> tuple[Any, ...]:
    """Goals of every rule, a few of each."""
    goals = grammar.goals(env)
    rules: dict[Any, list[Any]] = {}
    for goal in goals:
        is_place = isinstance(goal, Attain)
        rule = (goal.rule, goal.worth, goal.instead is None, len(goal.places)) if is_place else "raise"
        rules.setdefault(rule, []).append(goal)
    assert len(rules) == 6
    return tuple(goal for each in rules.values() for goal in each[:: max(1, len(each) // 3)][:4])


@over_envs
def test_tables_agree_with_each_goals_own_step(env):
    """Every move of four levels, after every memory."""
    goals = some(env)
    levels = levels_of(env, count=4)

    def steps(level: Any) -> Any:
        def one(state: Any, memory: Any, action: Any) -> Any:
            after = env.step(level, state, action)
            return [goal.step(level, memory % goal.num_memories, state, action, after) for goal in goals]

        over = jax.vmap(jax.vmap(jax.vmap(one, (None, None, 0)), (None, 0, None)), (0, None, None))
        return over(env.states(level), jnp.arange(2), jnp.arange(env.num_actions))

    found = jit(worlds.tabulate, static_argnames="goals")(env, goals=goals, levels=levels).goals
    for table, goal, expected in zip(found, goals, jit(jax.vmap(steps))(levels), strict=True):
        memories = slice(goal.num_memories)
        np.testing.assert_allclose(table.reward, expected[0][..., memories, :], atol=1e-6)
        np.testing.assert_array_equal(table.memory, expected[1][..., memories, :])


def test_raising_pays_what_a_gauge_changes_and_is_achieved_above_the_start():
    env = Line(size=9)
    level = env.from_text("..@.....c\n")
    left, right = (goal for goal in grammar.goals(env) if goal.name in ("go-left", "go-right"))
    states = env.states(level)
    here, there = (jax.tree.map(lambda cells, i=i: cells[i], states) for i in (2, 3))
    assert right.reward(level, here, jnp.asarray(1), there) == pytest.approx(1 / 8)
    assert left.reward(level, here, jnp.asarray(1), there) == pytest.approx(-1 / 8)
    none = jnp.asarray(0)
    assert bool(right.is_achieved(level, there, none)) and not bool(right.is_achieved(level, here, none))
    assert not bool(left.is_achieved(level, there, none))


# -- what a person would name ------------------------------------------------------------------------


@functools.cache
def costs(env: Any) -> dict[str, np.ndarray]:
    """Worst-tie regrets under the intended goal, in training, by the goals' names."""
    goals = grammar.goals(env)
    worst = regrets(env, (env.intended,), goals, levels_of(env), GAMMA, ("worst",)).worst[:, 0]
    return dict(zip((goal.name for goal in goals), worst.T, strict=True))


def is_open(env: Any, name: str, epsilon: float = 0.0) -> bool:
    return bool(compatible(costs(env)[name][:, None], epsilon)[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "cheese",
        "top-left-corner",
        "top-row-and-left-column",
        "row-cheese-and-column-cheese",
        "top-left-corner-or-cheese",
        "top-left-corner-before-bottom-right-corner",
        "go-up-and-go-left",
    ],
)
def test_training_with_the_cheese_in_the_corner_leaves_open(name):
    assert is_open(CORNER, name)


@pytest.mark.parametrize(
    "name",
    [
        "bottom-right-corner",
        "avoid-cheese",
        "go-down",
        "go-down-and-go-right",
        "top-row",  # who has touched it need not go on
        "top-row-or-left-column",
        "start",
        "middle-before-cheese",
    ],
)
def test_training_with_the_cheese_in_the_corner_excludes(name):
    assert not is_open(CORNER, name) and not is_open(CORNER, name, 0.05)


def test_open_goals_all_end_in_the_corner():
    """Each open goal of places can be fulfilled nowhere but where the cheese lies."""
    found = {name for name in costs(CORNER) if is_open(CORNER, name)}
    for goal in grammar.goals(CORNER):
        if goal.name in found and isinstance(goal, Attain):
            corner = {"the top-left corner", "the cheese"}
            sides = [
                {"the top row", "the row of the cheese"},
                {"the left column", "the column of the cheese"},
            ]
            by_sides = goal.rule == "all" and all(side & set(goal.places) for side in sides)
            assert goal.worth > 0 and (corner & set(goal.places) or by_sides), goal.name


def test_without_walls_raising_both_gauges_is_going_to_the_corner():
    env = Corner(size=5, max_steps=40, layout=Open())
    by = tuple(goal for goal in grammar.goals(env) if goal.name in ("go-up-and-go-left", "go-up"))
    worst = regrets(env, (env.intended,), by, levels_of(env), GAMMA, ("worst",)).worst[:, 0]
    both, up = (
        worst[:, [goal.name for goal in by].index(name)] for name in ("go-up-and-go-left", "go-up")
    )
    assert not both.any() and up.mean() > 0.2


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("cheese", "dish"), ("dish", "cheese")])
def test_on_a_dish_the_dish_is_open(first, second):
    for name in (first, f"{first}-before-{second}", "cheese-and-dish", "cheese-or-dish"):
        assert is_open(DISH, name)
    for name in (f"avoid-{first}", f"row-{first}", "top-left-corner", "go-up-and-go-left"):
        assert not is_open(DISH, name, 0.05)
