"""The goal certificate against dense least squares, dense policy evaluation and known answers."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from altered_goal import altered
from jax import jit
from scipy.optimize import linprog

from goalgap.core import UsageError
from goalgap.envs import Corner, Keys
from goalgap.theory import certificate, shaping
from goalgap.theory.certificate import Bump, Step, cone, identify, mixtures, reveals, worst_regret

GAMMA, COUNT = 0.95, 12
ENV = Corner(size=4, max_steps=40)
CHEESE, FIRST_VISIT = ENV.goals


@functools.cache
def levels_of(alpha: float, seed: int = 0) -> Any:
    draw = jit(jax.vmap(ENV.shift(alpha).train.sample))
    return draw(jax.random.split(jax.random.key(seed), COUNT))


def joined(*batches: Any) -> Any:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *batches)


def rows(levels: Any) -> list[Any]:
    count = jax.tree.leaves(levels)[0].shape[0]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], levels) for i in range(count)]


# -- an independent reference: dense, from the level's text ----------------------------------------


def grid_moves(walls: np.ndarray) -> np.ndarray:
    """Where each of the four moves leads from each cell: [cells, actions]."""
    size = len(walls)
    after = np.empty((size**2, 4), int)
    for row, column in itertools.product(range(size), repeat=2):
        for action, (down, right) in enumerate(((-1, 0), (0, -1), (1, 0), (0, 1))):
            y, x = row + down, column + right
            free = 0 <= y < size and 0 <= x < size and not walls[y, x]
            after[row * size + column, action] = y * size + x if free else row * size + column
    return after


class Board:
    """One level as dense matrices over its reachable cells; moves are in order (cell, action)."""

    def __init__(self, level: Any) -> None:
        text = ENV.to_text(level).replace("\n", "")
        self.cheese, mouse = text.index("c"), text.index("@")
        after = grid_moves(np.array(list(text)).reshape(4, 4) == "#")
        found, queue = {mouse}, [mouse]
        while queue:
            for cell in set(after[queue.pop()]) - found - {self.cheese}:
                found.add(cell)
                queue.append(cell)
        self.cells = sorted(found)
        self.mouse = self.cells.index(mouse)
        self.after = after[self.cells]
        self.follow = np.zeros((len(self.cells), 4, len(self.cells)))  # P(x | s, a)
        for (row, action), cell in np.ndenumerate(self.after):
            if cell != self.cheese:
                self.follow[row, action, self.cells.index(cell)] = 1
        here = np.array(self.cells)[:, None]
        self.features = np.stack(
            [self.after == self.cheese, self.after == 0, np.ones_like(self.after), self.after == here],
            -1,
        ).astype(float)  # cheese, corner, step, bump

    def residual(self) -> np.ndarray:
        plane = np.eye(len(self.cells))[:, None] - GAMMA * self.follow
        plane, flat = plane.reshape(-1, len(self.cells)), self.features.reshape(-1, 4)
        return flat - plane @ np.linalg.lstsq(plane, flat)[0]

    def counts(self, policy: np.ndarray) -> np.ndarray:
        """Discounted feature counts of each action, then the policy: [cells, actions, features]."""
        step = np.einsum("sa,sax->sx", policy, self.follow)
        paid = np.einsum("sa,sak->sk", policy, self.features)
        value = np.linalg.solve(np.eye(len(step)) - GAMMA * step, paid)
        return self.features + GAMMA * self.follow @ value

    def optimal(self, weights: np.ndarray) -> np.ndarray:
        """The optimal policy, uniform over ties, by value iteration."""
        value = np.zeros(len(self.cells))
        for _ in range(600):
            q = self.features @ weights + GAMMA * self.follow @ value
            value = q.max(1)
        good = q > value[:, None] - 1e-7
        return good / good.sum(1, keepdims=True)


@functools.cache
def boards(alpha: float, seed: int = 0) -> list[Board]:
    return [Board(level) for level in rows(levels_of(alpha, seed))]


# -- soft-optimal behavior --------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_what_levels_reveal_agrees_with_dense_least_squares(alpha):
    found = identify(ENV, ENV.goals, levels_of(alpha), GAMMA)
    stack = np.concatenate([board.residual() for board in boards(alpha)])
    expected = np.linalg.svd(stack / np.sqrt(len(stack)))[1]
    np.testing.assert_allclose(found.singular_values, expected, atol=1e-12)
    assert found.rank == np.linalg.matrix_rank(stack, tol=1e-9) == 4 - len(found.invisible)
    np.testing.assert_allclose(stack @ found.invisible.T, 0, atol=1e-12)
    np.testing.assert_allclose(found.noise[: found.rank], 1 / expected[: found.rank])
    assert np.isinf(found.noise[found.rank :]).all()


def test_training_levels_leave_cheese_or_corner_open_and_deployment_tells():
    """The other direction is exact as well: paid 1 - gamma a step and gamma at the end, every episode
    is worth the same, whatever one does."""
    found = identify(ENV, ENV.goals, levels_of(0.0), GAMMA)
    assert [feature.name for feature in found.features] == ["cheese", "corner", "step", "bump"]
    assert found.rank == 2
    np.testing.assert_allclose(found.invisible[0], [1, -1, 0, 0])
    np.testing.assert_allclose(found.invisible[1], [1, 0, (1 - GAMMA) / GAMMA, 0])
    assert mixtures(found) == ["cheese - corner", "cheese + 0.053 step"]

    after = reveals(ENV, found, levels_of(1.0))
    apart = np.array([board.residual() @ [1, -1, 0, 0] for board in boards(1.0)], dtype=object)
    size = np.array([np.sqrt(np.mean(np.square(each))) for each in apart])
    np.testing.assert_allclose(after.share, [(size > 1e-6).mean(), 0])
    np.testing.assert_allclose(after.size, [size.mean(), 0], atol=1e-12)
    assert not after.generalizes and after.share[0] > 0.5

    corner_first = identify(ENV, (FIRST_VISIT, CHEESE), levels_of(0.0), GAMMA)
    assert mixtures(corner_first) == ["corner - cheese", "corner + 0.053 step"]


def test_a_goal_that_is_out_of_reach_is_invisible():
    level = jax.tree.map(lambda leaf: leaf[None], ENV.from_text("#@..\n....\n..#.\n...c\n"))
    found = identify(ENV, ENV.goals, level, GAMMA)
    assert found.rank == 2 and mixtures(found) == ["corner", "cheese + 0.053 step"]


def test_one_distinguishing_level_closes_the_gap():
    cheese_apart = ENV.from_text("....\n.@..\n..#.\n...c\n")
    levels = joined(levels_of(0.0), jax.tree.map(lambda leaf: leaf[None], cheese_apart))
    found = identify(ENV, ENV.goals, levels, GAMMA)
    assert found.rank == 3 and mixtures(found) == ["cheese + 0.053 step"]
    assert reveals(ENV, found, levels_of(1.0)).generalizes


def test_potential_shaping_is_invisible_everywhere():
    bent = altered(CHEESE, factor=-2.0, height=3.0, gamma=GAMMA)
    found = identify(ENV, (CHEESE, bent), levels_of(1.0), GAMMA, generic=False)
    assert found.rank == 1 and mixtures(found) == ["cheese + 0.5 altered"]
    assert reveals(ENV, found, levels_of(1.0, seed=1)).generalizes
    wrong = altered(CHEESE, factor=-2.0, height=3.0, gamma=0.9)
    assert identify(ENV, (CHEESE, wrong), levels_of(1.0), GAMMA, generic=False).rank == 2


def test_mixtures_read_well():
    def read(*directions: list[float]) -> list[str]:
        size = len(directions[0])
        features = tuple(altered(CHEESE, 1.0, name=name) for name in "abc"[:size])
        basis = np.array(directions, dtype=float)
        other = np.zeros((size, size))
        return mixtures(certificate.Certificate(features, GAMMA, 0, other[0], other, other[0], basis))

    assert read([0, 1, 0], [1, -0.5, 0.123]) == ["b", "a - 0.5 b + 0.12 c"]


def ambiguity(tables: list[np.ndarray]) -> int:
    """Dimension of the rewards r(s, a) that soft-optimal behavior in all of some worlds leaves open."""
    count, num_actions = tables[0].shape
    successor = np.stack(tables)
    everywhere = np.ones(successor.shape[:2], bool)
    moves = shaping.end_to_end(
        np.zeros(len(tables), int), successor, np.ones(successor.shape, bool), everywhere
    )
    entries = np.eye(count * num_actions).reshape(count, num_actions, -1)
    visible = shaping.residual(moves, np.tile(entries, (len(tables), 1, 1)), GAMMA)
    rank = np.linalg.matrix_rank(visible.reshape(-1, count * num_actions), tol=1e-9)
    return count * num_actions - int(rank)


@pytest.mark.parametrize("size", [3, 5])
def test_unstructured_rewards_are_open_by_a_potential_and_layouts_close_them(size):
    rng = np.random.default_rng(0)
    layouts = [grid_moves(np.zeros((size, size), bool))]
    layouts += [grid_moves(rng.random((size, size)) < 0.25) for _ in range(5)]
    steps = [ambiguity(layouts[: count + 1]) for count in range(len(layouts))]
    assert steps[0] == size**2, "one world: a reward is known up to a potential of its states"
    assert all(later <= earlier for earlier, later in itertools.pairwise(steps))
    assert steps[-1] == 1, "many worlds: up to a constant"


def test_two_worlds_of_random_dynamics_identify_rewards_up_to_a_constant():
    rng = np.random.default_rng(0)
    worlds = [rng.integers(0, 9, (9, 4)) for _ in range(2)]
    assert [ambiguity(worlds[:1]), ambiguity(worlds)] == [9, 1]


# -- optimal behavior -------------------------------------------------------------------------------

SIMPLE = (CHEESE, Step())


def test_a_weight_is_in_the_cone_if_and_only_if_the_intended_policy_is_optimal_for_it():
    found = cone(ENV, SIMPLE, {"cheese": 1}, levels_of(1.0), GAMMA, generic=False)
    counts = [
        (policy, board.counts(policy)[..., [0, 2]])
        for board in boards(1.0)
        for policy in [board.optimal(np.array([1.0, 0, 0, 0]))]
    ]
    inside = []
    for angle in np.linspace(0, 2 * np.pi, 81):
        weights = np.array([np.cos(angle), np.sin(angle)])
        inside.append(bool((found.half_spaces @ weights >= -1e-9).all()))
        loss = [((q @ weights).max(1) - ((q @ weights) * policy).sum(1)).max() for policy, q in counts]
        assert inside[-1] == (max(loss) < 1e-9)
    assert 0 < sum(inside) < len(inside)


def least(half_spaces: np.ndarray, direction: np.ndarray) -> float:
    """The least of direction . w over the half-spaces in a box."""
    return linprog(direction, -half_spaces, np.zeros(len(half_spaces)), bounds=(-1, 1)).fun


def test_no_half_space_is_implied_by_the_others_and_together_they_imply_all():
    found = cone(ENV, ENV.goals, {"cheese": 1}, levels_of(1.0), GAMMA)
    for index, normal in enumerate(found.half_spaces):
        assert least(np.delete(found.half_spaces, index, 0), normal) < -1e-3
    for board in boards(1.0):
        policy = board.optimal(found.intended)
        counts = board.counts(policy)
        for cell, action in np.argwhere(policy > 0):
            for gap in counts[cell, action] - counts[cell]:
                assert least(found.half_spaces, gap) > -1e-7
    assert (found.half_spaces @ found.intended >= 0).all()


def test_the_worst_regret_is_0_where_behavior_was_seen_and_the_programs_are_solved():
    seen, other = levels_of(1.0), levels_of(0.0)
    certain = worst_regret(ENV, cone(ENV, ENV.goals, {"cheese": 1}, seen, GAMMA), seen)
    np.testing.assert_allclose(certain.regret, 0, atol=1e-9)
    trained = cone(ENV, ENV.goals, {"cheese": 1}, other, GAMMA)
    after = worst_regret(ENV, trained, seen)
    assert after.regret[0] == 0 and (after.regret[1:] > 0.1).all()
    for found in (certain, after):
        assert found.gap.max() < 1e-9
    assert (trained.half_spaces @ after.weights.T >= -1e-9).all()
    # The regret is what the weights say, by dense evaluation of both policies.
    for feature in range(4):
        earned = []
        for intended in (np.eye(4)[feature], np.eye(4)[0]):
            policies = [(board, board.optimal(intended)) for board in boards(1.0)]
            starts = [
                np.einsum("a,ak->k", policy[board.mouse], board.counts(policy)[board.mouse])
                for board, policy in policies
            ]
            earned.append(np.mean(starts, 0))
        regret = after.weights[feature] @ (earned[0] - earned[1])
        np.testing.assert_allclose(after.regret[feature], regret, atol=1e-6)


def test_a_long_way_to_the_goal_is_no_tie():
    """On a corridor each step costs or pays the same share of what is still to come: one half-space."""
    env = Corner(size=7)
    text = "@......\n######.\n.......\n.######\n.......\n######.\nc......\n"
    level = jax.tree.map(lambda leaf: leaf[None], env.from_text(text))
    found = cone(env, SIMPLE, {"cheese": 1}, level, 0.5, generic=False)
    np.testing.assert_allclose(found.half_spaces, [[0.5**0.5, -(0.5**0.5)]])


def test_a_worst_regret_known_by_hand():
    """Cheese and corner cannot be told apart, so that the worst weights are -1 and 1. After the shift
    the corner is 1 step away, and pays for ever; the cheese is 3 steps away, and costs."""
    env = Corner(size=3)
    train, deploy = (
        jax.tree.map(lambda leaf: leaf[None], env.from_text(text))
        for text in ("c.@\n...\n...\n", ".@.\n...\n..c\n")
    )
    trained = cone(env, env.goals, {"cheese": 1}, train, GAMMA, generic=False)
    np.testing.assert_allclose(trained.half_spaces, [[0.5**0.5, 0.5**0.5]])
    found = worst_regret(env, trained, deploy)
    np.testing.assert_allclose(found.weights[1], [-1, 1])
    np.testing.assert_allclose(found.regret, [0, 1 / (1 - GAMMA) + GAMMA**2])


# -- what is refused --------------------------------------------------------------------------------


def test_mistakes_are_named():
    levels = levels_of(0.0)
    with pytest.raises(UsageError, match="'chese' is no feature; expected one of cheese, corner, step"):
        cone(ENV, ENV.goals, {"chese": 1}, levels, GAMMA)
    with pytest.raises(UsageError, match="each with a name of its own"):
        identify(ENV, (CHEESE, Bump()), levels, GAMMA)
    with pytest.raises(UsageError, match="gamma is 1; a discount is above 0 and below 1"):
        identify(ENV, ENV.goals, levels, 1)
    keys = Keys()
    drawn = jax.tree.map(lambda leaf: leaf[None], keys.shift().train.sample(jax.random.key(0)))
    with pytest.raises(UsageError, match=r"^keys: .* states"):
        identify(keys, keys.goals, drawn, GAMMA)
