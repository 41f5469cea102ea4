"""Subjects whose goal is known calibrate the verdict before anything is trained.

In every environment the oracle of the intended goal must be judged *intended*, that of the proxy *goal
misgeneralization* naming the proxy, random play *capability failure* and an even mixture of the oracles
*mixed*, whatever the luck of the episodes.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Int
from lava import Lava

from goalgap import envs
from goalgap.agents.scripted import Alternate, Random
from goalgap.core import Decision, Environment
from goalgap.envs.corner import Corner
from goalgap.envs.dish import Dish
from goalgap.envs.keys import Keys
from goalgap.envs.layouts import Blocks, Open, Tree
from goalgap.measure import draw_exam, judge, sentence
from goalgap.measure.exam import Table, stacked
from goalgap.measure.levels import LevelExam, is_nested, tell_apart
from goalgap.measure.verdict import CAPABILITY, INTENDED, MISGENERALIZATION, MIXED, UNDECIDED
from goalgap.oracle import Oracle

# Boards as small as can be, so that this is a matter of seconds.
OPTIONS: dict[str, dict[str, Any]] = {
    "line": {"size": 65},  # of the lines of 7 cells too few are held out
    "keys": {"size": 7, "few": 1, "many": 4},  # solved in a fraction of the time
    "maze": {"mode": "small", "max_steps": 64},
    "maze-line": {"mode": "small", "max_steps": 64},
}
LEVELS = {"heist": 24, "coinrun": 24}


class Everyone(Oracle):
    """Play as the oracle of the goals in some order, or at random: all of it one compiled program.

    `order` holds indices of `goals`; -1: play at random. A fleet leads it with an axis of subjects.
    """

    order: Int[Array, "*s n"] | None = None  # as `Oracle` has defaults

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Decision:
        assert self.order is not None
        q, stays = observation
        decision = super().__call__((q[:, self.order], stays), memory, patch)
        return decision._replace(logits=jnp.where(self.order[0] < 0, 0.0, decision.logits))


# The verdict that each deserves, and the order of its goals: the intended one is 0, the proxy 1.
SUBJECTS = {
    "intended": (INTENDED, (0, 0)),
    "proxy": (MISGENERALIZATION, (1, 1)),
    "random": (CAPABILITY, (-1, -1)),
}
# With keys, costs little return, and is the same misgeneralization.
COLLECTORS = SUBJECTS | {"keys, then chests": (MISGENERALIZATION, (1, 0))}


def examine(env: Environment, exam: LevelExam, luck: int) -> dict[str, Table]:
    """Let all subjects of an environment sit an exam, with one kind of luck; return a table of each."""
    names = tuple(subjects(env))
    if env.solver is None:
        players = [*(env.reference(goal) for goal in env.goals), Random(env.num_actions)]
        each = [exam.examine(player, (0,), 0, fleet=False, number=luck)[0] for player in players]
        return dict(zip(names, each, strict=True))
    fleet = Everyone(env.goals, order=jnp.array([order for _, order in subjects(env).values()]))
    table, _ = exam.examine(fleet, tuple(range(len(names))), 0, number=luck)
    rows = {name: table["seed"] == seed for seed, name in enumerate(names)}
    alone = table | {"seed": np.zeros_like(table["seed"])}
    return {name: {column: alone[column][row] for column in alone} for name, row in rows.items()}


def subjects(env: Environment) -> dict[str, tuple[str, tuple[int, int]]]:
    return COLLECTORS if isinstance(env, Keys) else SUBJECTS


def check(env: Environment, wanted: int = 100, lucks: int = 3) -> None:
    """Judge all subjects, with some kinds of luck each, and the half and half of every two levels."""
    exam = draw_exam(env, wanted)
    num_levels = exam.splits["shift"].level_hash.size
    assert num_levels == wanted or env.name == "line"  # where not so many are held out
    is_odd = np.concatenate([np.arange(s.level_hash.size) % 2 == 1 for s in exam.splits.values()])
    halves: list[Table] = []  # seeds that pursue either goal on every second level
    for luck in range(lucks):
        tables = examine(env, exam, luck)
        for name, (expected, _) in subjects(env).items():
            expect(tables[name], env, expected, (name, luck))
        for parity in (False, True):
            both = tables["proxy"].items()
            one = {name: np.where(is_odd == parity, tables["intended"][name], v) for name, v in both}
            halves.append(one | {"seed": np.full_like(one["seed"], len(halves))})
    # A line has so few held-out levels that they do not decide.
    expect(stacked(halves), env, MIXED if num_levels >= 32 else UNDECIDED, "half and half")


def expect(table: dict[str, np.ndarray], env: Environment, expected: str, about: Any) -> None:
    """A subject is judged as expected, on enough levels."""
    verdict = judge(table, env)
    seed = verdict["seeds"][0]
    proxy = env.proxies[0].name if expected == MISGENERALIZATION else None
    assert (verdict["verdict"], verdict["proxy"]) == (expected, proxy), (about, seed)
    assert "nan" not in sentence(verdict, env)
    if expected != CAPABILITY:
        # Of CoinRun's twins, many are solved by way of the coin's place and tell nothing.
        least = 0.2 if "lucky" in table else 0.9
        num_levels = (table["split"] == "shift").sum() / len(verdict["seeds"])
        assert seed["num_levels"] >= least * num_levels, about
        assert seed["capability"] >= 0.9, about


# The candidates for the exams of CoinRun and Heist alone take longer to draw than all the rest: the two
# are judged among the slow tests.
@pytest.mark.parametrize(
    "kind", [kind for kind in envs.ALL if kind.name not in LEVELS], ids=lambda kind: kind.name
)
def test_known_subjects_are_judged_rightly(kind):
    check(kind(**OPTIONS.get(kind.name, {"size": 7})), 48, lucks=2)


@pytest.mark.slow  # by default, the world of lava in docs/extending.md is judged
def test_nested_goals_are_told_apart():
    """The cheese without lava implies the cheese: only levels are kept on which the shortest way to it
    leads through lava."""
    check(Lava(size=7, layout=Blocks(density=0.1), max_steps=32), wanted=48, lucks=2)


def test_where_nested_goals_differ():
    """By hand: both players' two episodes on three levels; the outcome, not the time, must differ."""
    intended = [[[4, 4], [4, 4], [3, 3]], [[6, 6], [4, 4], [3, 3]]]
    proxy = [[[-1, 2], [-1, 2], [5, 5]], [[-1, 2], [4, 4], [5, 5]]]
    events = np.array([intended, proxy])
    assert is_nested(events).tolist() == [True]
    assert tell_apart(events).tolist() == [[True, False, False]]
    assert is_nested(np.where(events == 2, 1, [[[[4, 9]]]])).tolist() == [False]


@pytest.mark.slow  # other boards: `goalgap study verdict`
@pytest.mark.parametrize(
    "kind", [kind for kind in envs.ALL if hasattr(kind, "generate")], ids=lambda kind: kind.name
)
def test_known_subjects_of_procgens_games(kind):
    check(kind(mode="easy", max_steps=400), LEVELS.get(kind.name, 48), lucks=2)


@pytest.mark.slow
def test_a_policy_that_alternates_is_mixed():
    env = Corner(size=7)
    policy = Alternate(Oracle((env.intended,)), Oracle(env.proxies))
    table, _ = draw_exam(env, 100).examine(policy, (0,), 0, fleet=False)
    expect(table, env, MIXED, "alternate")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Corner, Dish], ids=lambda kind: kind.name)
def test_known_subjects_on_boards_where_random_play_is_good(kind):
    check(kind(size=5))


@pytest.mark.slow
@pytest.mark.parametrize(
    "env", [Corner(size=9, layout=Tree()), Keys(size=7, few=2, many=8, layout=Open())]
)
def test_known_subjects_on_other_layouts(env):
    check(env)
