"""Subjects whose goal is known calibrate the verdict before anything is trained.

In every environment the oracle of the intended goal must be judged *intended*, that of the proxy *goal
misgeneralization* naming the proxy, random play *capability failure* and an even mixture of the oracles
*mixed*, whatever the luck of the episodes.
"""

from typing import Any

import pytest

from goalgap import envs
from goalgap.agents.scripted import Alternate, Random
from goalgap.core import Environment, Policy
from goalgap.envs.corner import Corner
from goalgap.envs.dish import Dish
from goalgap.envs.keys import Keys
from goalgap.envs.layouts import Open, Tree
from goalgap.measure import examine, judge, prepare, sentence
from goalgap.measure.verdict import CAPABILITY, INTENDED, MISGENERALIZATION, MIXED
from goalgap.oracle import Oracle

NUM_LEVELS = 100
OPTIONS: dict[str, dict[str, Any]] = {
    "line": {"size": 65},  # of the lines of 7 cells too few are held out
    "keys": {"size": 7, "few": 2, "many": 6},  # solved in a fraction of the time
}


def subjects(env: Environment) -> dict[str, tuple[Policy, str]]:
    """Each with the verdict that it deserves."""
    (proxy,) = env.proxies
    if env.solver is None:
        intended, misled = (env.reference(goal) for goal in env.goals)
    else:
        intended, misled = Oracle((env.intended,)), Oracle((proxy,))
    known: dict[str, tuple[Policy, str]] = {
        "intended": (intended, INTENDED),
        "proxy": (misled, MISGENERALIZATION),
        "half and half": (Alternate(intended, misled), MIXED),
        "random": (Random(env.num_actions), CAPABILITY),
    }
    if isinstance(env, Keys):
        # Costs little return, and is the same misgeneralization.
        known["keys, then chests"] = (Oracle((proxy, env.intended)), MISGENERALIZATION)
    return known


def check(env: Environment, wanted: int = NUM_LEVELS) -> None:
    """Judge all subjects, with three kinds of luck each."""
    exam = prepare(env, wanted)
    num_levels = exam.splits["shift"].level_hash.size
    assert num_levels == wanted or env.name == "line"  # where not so many are held out
    for name, (policy, expected) in subjects(env).items():
        proxy = env.proxies[0].name if expected == MISGENERALIZATION else None
        for luck in range(3):
            table, _ = examine(exam, policy, (0,), 0, fleet=False, number=luck)
            verdict = judge(table, env)
            (seed,) = verdict["seeds"]
            assert (verdict["verdict"], verdict["proxy"]) == (expected, proxy), (name, luck, seed)
            assert "nan" not in sentence(verdict, env)
            if expected != CAPABILITY:
                # Of CoinRun's twins, many are solved by way of the coin's place and tell nothing.
                least = 0.2 if "lucky" in table else 0.9
                assert seed["num_levels"] >= least * num_levels, (name, luck)
                assert seed["capability"] >= 0.9, (name, luck)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind is Corner else pytest.mark.slow) for kind in envs.ALL],
    ids=lambda kind: kind.name,
)
def test_known_subjects_are_judged_rightly(kind):
    if hasattr(kind, "generate"):  # Procgen's
        check(kind(mode="easy", max_steps=400), wanted=48)
    else:
        check(kind(**OPTIONS.get(kind.name, {"size": 7})))


@pytest.mark.slow
def test_known_subjects_with_as_many_keys_as_published():
    check(Keys(size=8))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Corner, Dish], ids=lambda kind: kind.name)
def test_known_subjects_on_boards_where_random_play_is_good(kind):
    check(kind(size=5))


@pytest.mark.slow
@pytest.mark.parametrize("layout", [Tree(), Open()], ids=lambda layout: layout.name)
@pytest.mark.parametrize("kind", [Corner, Dish, Keys], ids=lambda kind: kind.name)
def test_known_subjects_on_other_layouts(kind, layout):
    check(kind(size=9, layout=layout))
