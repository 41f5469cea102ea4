"""Distances between goals against loops over states, and what they must be by definition."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from altered_goal import altered
from jax import jit

from goalgap.core import UsageError
from goalgap.envs import Corner
from goalgap.theory import distances as module
from goalgap.theory.distances import KINDS, distances

GAMMA, COUNT = 0.95, 8
ENV = Corner(size=3, max_steps=20)
CHEESE, FIRST_VISIT = ENV.goals


@functools.cache
def levels_of(alpha: float) -> Any:
    draw = jit(jax.vmap(ENV.shift(alpha).train.sample))
    return draw(jax.random.split(jax.random.key(2), COUNT))


@functools.cache
def between_goals(alpha: float) -> Any:
    return distances(ENV, CHEESE, FIRST_VISIT, levels_of(alpha), GAMMA)


# -- by definition ----------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", [CHEESE, FIRST_VISIT], ids=lambda goal: goal.name)
def test_scaling_and_shaping_change_nothing_and_reversal_is_as_far_as_can_be(goal):
    levels = levels_of(1.0)
    for factor, expected in ((3.0, 0), (-2.0, 1)):
        found = distances(ENV, goal, altered(goal, factor, height=2.0, gamma=GAMMA), levels, GAMMA)
        for kind in KINDS:
            is_there = found.per_level[kind] != 0.5  # the goal can be reached, or vanishes
            np.testing.assert_allclose(found.overall[kind], expected, atol=1e-5)
            np.testing.assert_allclose(found.per_level[kind][is_there], expected, atol=1e-5)


def test_distances_are_symmetric_and_between_0_and_1():
    one = between_goals(1.0)
    other = distances(ENV, FIRST_VISIT, CHEESE, levels_of(1.0), GAMMA)
    for kind in KINDS:
        np.testing.assert_allclose(one.per_level[kind], other.per_level[kind], atol=1e-6)
        np.testing.assert_allclose(one.overall[kind], other.overall[kind], atol=1e-6)
        assert ((one.per_level[kind] >= 0) & (one.per_level[kind] <= 1)).all()
        assert one.per_level[kind].max() > 0.5


def test_cheese_and_corner_coincide_in_training_and_part_after_the_shift():
    train, deploy = between_goals(0.0), between_goals(1.0)
    for kind in ("starc", "starc-value"):
        assert train.overall[kind] == 0 and (train.per_level[kind] == 0).all()
        assert deploy.overall[kind] > 0.3


def test_a_goal_that_orders_no_policies_has_no_direction():
    nothing = altered(CHEESE, 0.0)
    bent = altered(CHEESE, 0.0, height=1.0, gamma=GAMMA, name="bent")
    for other, expected in ((bent, 0.0), (CHEESE, 0.5)):
        found = distances(ENV, nothing, other, levels_of(0.0), GAMMA)
        assert found.overall == dict.fromkeys(KINDS, expected)


# -- against loops ----------------------------------------------------------------------------------


class World:
    """One level under both goals, state by state: (cell, corner visited)."""

    def __init__(self, level: Any) -> None:
        text = ENV.to_text(level).replace("\n", "")
        self.cheese = text.index("c")
        self.walls = {cell for cell, letter in enumerate(text) if letter == "#"}
        start = (text.index("@"), 0)
        self.acting, queue = [start], [start]
        while queue:
            state = queue.pop()
            for action in range(4):
                after = self.move(state, action)
                if after not in self.acting and after[0] != self.cheese:
                    self.acting.append(after)
                    queue.append(after)
        ends = {self.move(state, action) for state in self.acting for action in range(4)}
        self.seen = sorted({*self.acting, *ends})

    def move(self, state: Any, action: int) -> Any:
        down, right = ((-1, 0), (0, -1), (1, 0), (0, 1))[action]
        row, column = state[0] // 3 + down, state[0] % 3 + right
        cell = row * 3 + column
        if not (0 <= row < 3 and 0 <= column < 3) or cell in self.walls:
            cell = state[0]
        return cell, int(state[1] or cell == 0)

    def rewards(self, before: Any, after: Any) -> np.ndarray:
        return np.array([after[0] == self.cheese, before[1] == 0 and after[0] == 0], float)

    def epic(self) -> np.ndarray:
        def mean(state: Any) -> np.ndarray:
            return np.mean([self.rewards(state, other) for other in self.seen], 0)

        constant = np.mean([mean(state) for state in self.seen], 0)
        return np.array(
            [
                self.rewards(state, after) + GAMMA * mean(after) - mean(state) - GAMMA * constant
                for state, _, after in itertools.product(self.seen, range(4), self.seen)
            ]
        )

    def absorbed(self, state: Any, action: int) -> Any:
        return state if state[0] == self.cheese else self.move(state, action)

    def dard(self) -> np.ndarray:
        def mean(state: Any) -> np.ndarray:
            if state[0] == self.cheese:
                return np.zeros(2)
            return np.mean([self.rewards(state, self.move(state, a)) for a in range(4)], 0)

        def beyond(state: Any, after: Any) -> np.ndarray:
            pairs = [(self.move(state, a), self.absorbed(after, a)) for a in range(4)]
            return np.mean([self.rewards(*pair) for pair in pairs], 0)

        canonical = []
        for state, action in itertools.product(self.acting, range(4)):
            after = self.move(state, action)
            pay = self.rewards(state, after) - mean(state)
            canonical.append(pay + GAMMA * (mean(after) - beyond(state, after)))
        return np.array(canonical)

    def plane(self) -> tuple[np.ndarray, np.ndarray]:
        """The shapings of the states' potentials, and the rewards; rows are moves."""
        shapings, pays = [], []
        for state, action in itertools.product(self.acting, range(4)):
            after = self.move(state, action)
            row = np.zeros(len(self.acting))
            row[self.acting.index(state)] += 1
            if after in self.acting:
                row[self.acting.index(after)] -= GAMMA
            shapings.append(row)
            pays.append(self.rewards(state, after))
        return np.array(shapings), np.array(pays)

    def starc(self) -> np.ndarray:
        shapings, pays = self.plane()
        return pays - shapings @ np.linalg.lstsq(shapings, pays)[0]

    def starc_value(self) -> np.ndarray:
        shapings, pays = self.plane()
        mean = np.repeat(np.eye(len(self.acting)), 4, 1) / 4
        return pays - shapings @ np.linalg.solve(mean @ shapings, mean @ pays)


def half_norm(pair: np.ndarray) -> float:
    norms = np.linalg.norm(pair, axis=0)
    return float(np.linalg.norm(pair[:, 0] / norms[0] - pair[:, 1] / norms[1])) / 2


def pearson_distance(pair: np.ndarray) -> float:
    return float(np.sqrt((1 - np.corrcoef(pair.T)[0, 1]) / 2))


@pytest.mark.parametrize(
    ("kind", "compare"),
    [
        ("starc", half_norm),
        ("starc-value", half_norm),
        ("epic", pearson_distance),
        ("dard", pearson_distance),
    ],
)
def test_each_distance_agrees_with_loops_over_states(kind, compare):
    texts = (".@.\n...\n..c\n", "...\n.#@\n.c.\n", "..#\nc..\n..@\n", ".#c\n..#\n.@.\n")
    levels = jax.tree.map(lambda *each: jnp.stack(each), *(ENV.from_text(text) for text in texts))
    found = distances(ENV, CHEESE, FIRST_VISIT, levels, GAMMA, (kind,))
    worlds = [World(ENV.from_text(text)) for text in texts]
    parts = [getattr(world, kind.replace("-", "_"))() for world in worlds]
    # On the last level the cheese is out of reach.
    assert [len(np.unique(part.any(0))) for part in parts] == [1, 1, 1, 2]
    expected = [compare(part) for part in parts[:3]]
    np.testing.assert_allclose(found.per_level[kind], [*expected, 0.5], atol=1e-6)
    np.testing.assert_allclose(found.overall[kind], compare(np.concatenate(parts)), atol=1e-6)


# -- what is refused --------------------------------------------------------------------------------


def test_mistakes_are_named(monkeypatch):
    levels = levels_of(0.0)
    with pytest.raises(UsageError, match="'epik' is no distance between goals; expected starc, "):
        distances(ENV, CHEESE, FIRST_VISIT, levels, GAMMA, ("epik",))
    with pytest.raises(UsageError, match="gamma is 0; a discount"):
        distances(ENV, CHEESE, FIRST_VISIT, levels, 0)
    monkeypatch.setattr(module, "MAX_TRIPLES", 5 * 9**2 * 4)
    with pytest.raises(UsageError, match=r"8 levels have .* at most 5 levels, or starc"):
        distances(ENV, CHEESE, FIRST_VISIT, levels, GAMMA)
    assert distances(ENV, CHEESE, FIRST_VISIT, levels, GAMMA, ("starc",)).overall == {"starc": 0.0}
