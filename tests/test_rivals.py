"""Which goal explains the moves: simulated subjects whose goal and skill are known, on one small board.

Their programs are compiled once: all play the same exam.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from goalgap import oracle
from goalgap.agents.scripted import Random
from goalgap.agents.simulated import Brief, Noisy, Reversed, Unlisted, Unplanned, Where
from goalgap.core import Policy, tree_index
from goalgap.envs.corner import Corner
from goalgap.envs.keys import Keys
from goalgap.measure import draw_exam, judge, rivals
from goalgap.measure.verdict import ANOTHER, CAPABILITY, INTENDED, MISGENERALIZATION
from goalgap.oracle import Oracle
from goalgap.theory import grammar

ENV = Corner(size=6, max_steps=24)
KNOWN = {goal.name: goal for goal in grammar.goals(ENV)}
BEST = Oracle((ENV.intended,))
LEVELS = 96


@functools.cache
def exam() -> Any:
    return draw_exam(ENV, LEVELS)


def judged(policy: Policy) -> dict[str, Any]:
    table, _ = exam().examine(policy, (0,), 0, fleet=False)
    return judge(table, ENV, explanations=exam().explain(policy, table, fleet=False))


def unlisted(name: str) -> Policy:
    """Do what was intended where goals agree, and pursue a goal that nobody listed where they part."""
    return Where(Unlisted(KNOWN[name]), BEST)


@pytest.mark.parametrize(
    "policy, expected",
    [
        (BEST, INTENDED),
        (Oracle(ENV.proxies), MISGENERALIZATION),
        (Where(Random(ENV.num_actions), BEST), CAPABILITY),  # the skill breaks after the shift only
        pytest.param(
            Noisy(Oracle(ENV.proxies), jnp.asarray(0.3)), MISGENERALIZATION, marks=pytest.mark.slow
        ),
        pytest.param(Reversed(BEST), CAPABILITY, marks=pytest.mark.slow),
        pytest.param(Brief(BEST, 1), CAPABILITY, marks=pytest.mark.slow),
    ],
    ids=["intended", "proxy", "breaks", "noisy", "reversed", "brief"],
)
def test_players_of_listed_goals_and_broken_ones(policy, expected):
    assert judged(policy)["verdict"] == expected


@pytest.mark.parametrize(
    "name",
    ["bottom-right-corner", *(pytest.param(n, marks=pytest.mark.slow) for n in ("go-down", "start"))],
)
def test_goals_that_nobody_listed_are_another_goal_and_named(name):
    verdict = judged(unlisted(name))
    assert (verdict["verdict"], verdict["proxy"]) == (ANOTHER, None)
    if name != "start":  # who stays about where it began may be explained by many goals
        assert verdict["rivals"][0]["name"] == name


@pytest.mark.slow
def test_a_goal_that_is_nearly_the_proxys_is_named_beside_it():
    """Going up and left ends in the corner, too: where it does, the verdict says both."""
    verdict = judged(unlisted("go-up-and-go-left"))
    named = [rival["name"] for rival in verdict["rivals"]]
    assert verdict["verdict"] in (ANOTHER, MISGENERALIZATION)
    assert "go-up-and-go-left" in named


def test_hits_are_those_of_following_each_episode_by_hand():
    levels = tree_index(exam().splits["shift"].levels, slice(0, 64))
    moves = rivals.record(ENV, Oracle(ENV.proxies), levels, 0, 1, False)
    assert moves.counts.any(-1).all()  # until it stands still in its corner
    assert (moves.counts.sum(-1) < ENV.max_steps).mean() > 0.9
    hits, misses = rivals.count_hits(ENV, ENV.goals, moves, levels)
    np.testing.assert_array_equal((hits + misses).sum(-1)[:, 0, 0], moves.counts[:, 0].sum(-1))
    memory_after = jax.jit(jax.vmap(_memory, (None, 0, 0, 0, 0)), static_argnums=0)
    for g, goal in enumerate(ENV.goals):
        values = np.asarray(oracle.solve(ENV, goal, levels, 0.99).action_values)
        states, actions = (part[:, 0] for part in moves[:2])
        memories = np.zeros(64, int)
        counted = np.zeros((64, 2, ENV.num_actions), int)
        for time in range(ENV.max_steps):
            for n in range(64):
                state, action = states[n, time], actions[n, time]
                q = values[n, state, memories[n]]
                best = q >= q.max() - 1e-6
                counted[n, 0 if best[action] else 1, best.sum() - 1] += moves.counts[n, 0, time]
            memories = np.asarray(
                memory_after(goal, levels, states[:, time], actions[:, time], memories), int
            )
        np.testing.assert_array_equal(counted[:, 0], hits[:, g, 0])
        np.testing.assert_array_equal(counted[:, 1], misses[:, g, 0])


def _memory(goal: Any, level: Any, state: Any, action: Any, memory: Any) -> Any:
    """The goal's memory after a move from the state with an index."""
    here = jax.tree.map(lambda leaf: leaf[state], ENV.states(level))
    return goal.step(level, memory, here, action, ENV.step(level, here, action))[1]


def test_without_exact_play_nothing_is_explained():
    keys = Keys(size=7, few=1, many=2)
    assert rivals.candidates(keys) is None


@pytest.mark.slow
def test_whoever_does_not_plan_around_walls_is_no_capable_agent_of_another_goal():
    verdict = judged(Unplanned((ENV.intended,)))
    assert verdict["verdict"] in (CAPABILITY, INTENDED)
