"""Goals that cannot be pursued from what is seen: those about where the episode began, first of all."""

import functools
from typing import Any

import jax
import pytest
from jax import jit

from goalgap.core import Environment
from goalgap.envs import Corner, Line
from goalgap.theory import grammar
from goalgap.theory.readability import unreadable

GAMMA, COUNT = 0.95, 8
CORNER, LINE = Corner(size=5, max_steps=40), Line(size=9, max_steps=40)


@functools.cache
def levels_of(env: Any) -> Any:
    draw = jit(jax.vmap(env.shift().deploy.sample))
    return draw(jax.random.split(jax.random.key(10), COUNT))


def named(env: Any, *names: str) -> tuple[Any, ...]:
    by_name = {goal.name: goal for goal in grammar.goals(env)}
    return tuple(by_name[name] for name in names)


@pytest.mark.parametrize("env", [CORNER, LINE], ids=["corner", "line"])
def test_the_start_cannot_be_read_and_objects_and_places_can(env):
    goals = (*env.goals, *named(env, "start", "avoid-start"))
    found = unreadable(env, goals, levels_of(env), GAMMA)
    assert found.shape == (4,)
    assert found[:2].tolist() == [0, 0]
    assert found[2] == 1
    assert found[3] > 0, "to avoid it, one must know it only beside it"


class Fixed(Line):
    """Its levels begin where they begin."""

    def restart(self, level: Any, state: Any) -> Any:
        return Environment.restart(self, level, state)


class Blind(Line):
    """Nobody sees the mouse."""

    def observe(self, level: Any, state: Any) -> Any:
        return super().observe(level, self.reset(level))


def test_without_restarts_a_start_is_like_any_other_place():
    env = Fixed(size=9, max_steps=40)
    goals = (*env.goals, *named(env, "start", "avoid-start"))
    assert not unreadable(env, goals, levels_of(env), GAMMA).any()


def test_who_does_not_see_itself_can_only_do_one_thing_everywhere():
    """The ends ask for one direction everywhere, the middle for two, unless the coin ends the episode
    before its far side is reached."""
    env = Blind(size=9, max_steps=40)
    goals = (*env.goals, *named(env, "left-end", "middle"))
    for text, middle in (("..@.....c", 1), ("..@..c...", 1), ("..@.c....", 0), ("..@c.....", 0)):
        level = jax.tree.map(lambda leaf: leaf[None], env.from_text(text))
        assert unreadable(env, goals, level, GAMMA).tolist() == [0, 0, 0, middle]
    assert not unreadable(LINE, goals, levels_of(LINE), GAMMA).any()
