"""Exact play of Keys and Chests against two independent references: value iteration on everything that
can be, and the enumeration of collection sequences."""

from functools import cache, partial
from itertools import combinations, permutations, product
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from goalgap import oracle, rollout
from goalgap.agents.scripted import Random
from goalgap.core import Goal, UsageError
from goalgap.envs import Keys, keys_solver
from goalgap.envs.grid import Reach
from goalgap.envs.keys import CollectKeys, KeysLevel, KeysState, OpenChests
from goalgap.envs.layouts import Blocks, Open, Tree

GAMMA = 0.999


class Sums(Goal):
    """Pays any two sums."""

    name: str = eqx.field(static=True, default="sums")
    sentence: str = eqx.field(static=True, default="collect and open")
    bits: float = eqx.field(static=True, default=6.0)
    pay: tuple[float, float] = eqx.field(static=True, default=(0.3, 1.0))

    def reward(self, level: Any, state: Any, action: Any, next_state: Any) -> Any:
        keys, chests = (
            getattr(next_state, name).sum() - getattr(state, name).sum()
            for name in ("collected", "opened")
        )
        return self.pay[0] * keys + self.pay[1] * chests

    def is_achieved(self, level: Any, state: Any, memory: Any) -> Any:
        return state.opened.sum() > 0


class Corner(Sums):
    """Pays for a place."""

    name: str = eqx.field(static=True, default="corner")

    def reward(self, level: Any, state: Any, action: Any, next_state: Any) -> Any:
        return (next_state.position == 0) * 1.0


class OnFreeCells(Blocks):
    """Objects on free cells only, as in the released code, so that walls stay at 25 %."""

    carves: ClassVar[bool] = False


@partial(jax.jit, static_argnums=1)
def batch(levels: Any, count: int) -> KeysLevel:
    return jax.vmap(levels.sample)(jax.random.split(jax.random.key(0), count))


@cache
def sample(env: Keys, split: str, count: int) -> KeysLevel:
    """In NumPy, so that taking one level out compiles nothing."""
    return jax.device_get(batch(getattr(env.shift(0), split), count))


@jax.jit
def values_at_the_start(env: Keys, solution: keys_solver.Solution, levels: KeysLevel) -> jax.Array:
    return jax.vmap(lambda row, level: row.value(env, level, env.reset(level)))(solution, levels)


def start_values(env: Keys, solution: keys_solver.Solution, levels: KeysLevel) -> np.ndarray:
    return np.asarray(values_at_the_start(env, solution, levels))


@jax.jit
def tabulate(
    env: Keys, solution: keys_solver.Solution, levels: KeysLevel, states: KeysState
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Action values, values, and which actions are greedy, [level, state]."""

    def one(row: keys_solver.Solution, level: KeysLevel, state: KeysState) -> Any:
        return row.q(env, level, state, jnp.array(0)), row.value(env, level, state)

    q, value = jax.vmap(jax.vmap(one, (None, None, 0)), (0, 0, None))(solution, levels, states)
    return q, value, oracle.is_greedy(q)


# -- value iteration on all (cell, keys, chests) ----------------------------------------------------


class Reference(NamedTuple):
    """One level tabulated without goalgap; axes: cell, set of keys, set of chests, (action)."""

    q: np.ndarray
    reachable: np.ndarray  # and not the end
    q_in_time: np.ndarray  # with `horizon` steps to go


def value_iteration(
    level: KeysLevel, pay: tuple[float, float], gamma: float, horizon: int = 1
) -> Reference:
    walls = np.asarray(level.walls)
    size = len(walls)
    keys, chests = ([int(x) for x in np.asarray(a) if x >= 0] for a in (level.keys, level.chests))
    k, c, m = len(keys), len(chests), min(len(keys), len(chests))
    held, opened = (np.array([bin(x).count("1") for x in range(2**n)]) for n in (k, c))

    rows, columns = np.divmod(np.arange(size**2), size)
    shape = (size**2, 2**k, 2**c, 4)
    after, reward = np.empty((3, *shape), int), np.empty(shape)
    for action, (dy, dx) in enumerate([(-1, 0), (0, -1), (1, 0), (0, 1)]):
        y, x = (np.clip(rows + dy, 0, size - 1), np.clip(columns + dx, 0, size - 1))
        to = np.where(walls[y, x], np.arange(size**2), y * size + x)
        key_bit, chest_bit = (
            np.array([1 << objects.index(cell) if cell in objects else 0 for cell in to])
            for objects in (keys, chests)
        )
        may_open = (held[:, None] > opened)[None]
        new_keys = np.arange(2**k)[None, :, None] | key_bit[:, None, None]
        new_chests = np.arange(2**c)[None, None] | np.where(may_open, chest_bit[:, None, None], 0)
        after[0, ..., action] = to[:, None, None]
        after[1, ..., action] = new_keys
        after[2, ..., action] = new_chests
        collects = held[new_keys] - held[None, :, None]
        reward[..., action] = pay[0] * collects + pay[1] * (opened[new_chests] - opened)

    live = np.broadcast_to(opened < m, shape[:3])
    q, in_time, value, steps = np.zeros(shape), np.zeros(shape), np.ones(shape[:3]), 0
    while np.abs(q.max(-1) - value).max() > 0:
        value = q.max(-1) if steps else np.zeros(shape[:3])
        q = np.where(live[..., None], reward + gamma * value[tuple(after)], 0)
        steps += 1
        in_time = q if steps <= horizon else in_time

    reachable = np.zeros(shape[:3], bool)
    frontier = {(int(level.mouse), 0, 0)} if m else set()
    while frontier:
        reachable[tuple(np.array(list(frontier)).T)] = True
        nexts = after[:, *np.array(list(frontier)).T].reshape(3, -1).T
        frontier = {tuple(s) for s in nexts.tolist() if live[tuple(s)] and not reachable[tuple(s)]}
    return Reference(q, reachable, in_time)


def all_states(env: Keys, num_keys: int, num_chests: int) -> KeysState:
    """All states, in the order of the reference's tables."""

    def bits(count: int) -> np.ndarray:
        return (np.arange(2**count)[:, None] >> np.arange(env.many) & 1).astype(bool)

    keys, chests = bits(num_keys), bits(num_chests)
    index = np.indices((env.size**2, len(keys), len(chests))).reshape(3, -1)
    return KeysState(jnp.asarray(index[0]), jnp.asarray(keys[index[1]]), jnp.asarray(chests[index[2]]))


TINY = {
    "blocks 3-3": (Keys(size=4, few=3, many=3), "train"),
    "open 3-3": (Keys(size=4, few=3, many=3, layout=Open()), "train"),
    "blocks 2-4": (Keys(size=5, few=2, many=4), "train"),
    "blocks 4-2": (Keys(size=5, few=2, many=4), "deploy"),
    "tree 2-4": (Keys(size=5, few=2, many=4, layout=Tree()), "train"),
    "tree 4-2": (Keys(size=5, few=2, many=4, layout=Tree()), "deploy"),
}


@pytest.mark.parametrize("goal", [OpenChests(), CollectKeys(), Sums()], ids=lambda goal: goal.name)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(name, marks=() if name in ("blocks 3-3", "tree 4-2") else pytest.mark.slow)
        for name in TINY
    ],
)
def test_equals_value_iteration_in_every_reachable_state(case: str, goal: Goal) -> None:
    env, split = TINY[case]
    gamma, count = 0.9, 12
    levels = sample(env, split, count)
    pay = {"chests": (0.0, 1.0), "keys": (1.0, 0.01), "sums": (0.3, 1.0)}[goal.name]
    solution = keys_solver.solve(env, goal, levels, gamma)
    states = all_states(env, *(int((a[0] >= 0).sum()) for a in (levels.keys, levels.chests)))

    q, value, is_greedy = (np.asarray(x) for x in tabulate(env, solution, levels, states))
    for row in range(count):
        level = jax.tree.map(lambda leaf, row=row: leaf[row], levels)
        reference = value_iteration(level, pay, gamma)
        here = reference.reachable.reshape(-1)
        expected = reference.q.reshape(-1, 4)[here]
        np.testing.assert_allclose(q[row, here], expected, atol=5e-6)
        np.testing.assert_allclose(value[row, here], expected.max(-1), atol=5e-6)
        gap = expected.max(-1, keepdims=True) - expected
        assert (is_greedy[row, here] >= (gap < 1e-9)).all()  # ties are kept
        assert (is_greedy[row, here] <= (gap < 1e-5)).all()


def test_a_key_too_many() -> None:
    """In a corridor, the second key turns the chests into the end, which bars the other two keys."""
    env = Keys(size=5, few=2, many=4)
    level = env.from_text("@kkcc\n####k\n####k\n#####\n#####")
    levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], level)
    chests = GAMMA**2 + GAMMA**3
    for goal, value in ((CollectKeys(), 1 + GAMMA + 0.01 * chests), (OpenChests(), chests)):
        solution = keys_solver.solve(env, goal, levels, GAMMA)
        assert start_values(env, solution, levels) == pytest.approx(value, abs=1e-6)


def test_is_exact_where_the_time_suffices() -> None:
    env = Keys(size=4, few=3, many=3, max_steps=6)
    levels = sample(env, "train", 40)
    solution = keys_solver.solve(env, CollectKeys(), levels, 0.9)
    exact = np.asarray(solution.is_exact(env, levels))
    for row in range(40):
        level = jax.tree.map(lambda leaf, row=row: leaf[row], levels)
        reference = value_iteration(level, (1.0, 0.01), 0.9, horizon=6)
        best, in_time = (q[int(level.mouse), 0, 0].max() for q in (reference.q, reference.q_in_time))
        assert exact[row] == (best - in_time < 1e-9)
    assert 5 < exact.sum() < 35


# -- collection sequences ---------------------------------------------------------------------------


@cache
def sequences(num_keys: int, num_chests: int) -> tuple[np.ndarray, np.ndarray]:
    """All orders of opening 3 chests with 3 keys: object numbers (keys first), and which are chests."""
    orders = [
        is_chest
        for is_chest in product((False, True), repeat=6)
        if sum(is_chest) == 3 and all(2 * sum(is_chest[:n]) <= n for n in range(7))
    ]
    chosen = product(permutations(range(num_keys), 3), permutations(range(num_chests), 3))
    keys, chests = (np.array(x) for x in zip(*chosen, strict=True))
    visits, which = [], []
    for order in orders:
        is_chest = np.array(order)
        visit = np.empty((len(keys), 6), int)
        visit[:, ~is_chest], visit[:, is_chest] = keys, num_keys + chests
        visits.append(visit)
        which.append(np.broadcast_to(is_chest, visit.shape))
    return np.concatenate(visits), np.concatenate(which)


def enumerated_optimum(level: KeysLevel, gamma: float, max_steps: int) -> float:
    """The best sequence's return, with every walk as short as the walls allow."""
    walls = np.asarray(level.walls)
    cell = np.arange(walls.size).reshape(walls.shape)
    pairs = np.concatenate(
        [
            np.stack([a.ravel(), b.ravel()])
            for a, b in ((cell[1:], cell[:-1]), (cell[:, 1:], cell[:, :-1]))
        ],
        1,
    )
    pairs = pairs[:, ~walls.ravel()[pairs].any(0)]
    graph = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=(walls.size, walls.size)).tocsr()
    keys, chests = (np.asarray(a)[np.asarray(a) >= 0] for a in (level.keys, level.chests))
    cells = np.concatenate([keys, chests, [int(level.mouse)]])
    steps = shortest_path(graph, directed=False, unweighted=True, indices=cells)[:, cells]
    visit, is_chest = sequences(len(keys), len(chests))
    before = np.concatenate([np.full((len(visit), 1), len(cells) - 1), visit[:, :-1]], 1)
    time = steps[before, visit].cumsum(1)
    return np.where(is_chest & (time <= max_steps), gamma ** (time - 1), 0).sum(1).max()


@pytest.mark.slow
@pytest.mark.parametrize("split", [pytest.param("train", marks=pytest.mark.slow), "deploy"])
def test_equals_the_best_of_all_collection_sequences(split: str) -> None:
    env = Keys(size=13)
    levels = sample(env, split, 48)
    assert len(sequences(*(int((a[0] >= 0).sum()) for a in (levels.keys, levels.chests)))[0]) == 21_600
    solution = keys_solver.solve(env, OpenChests(), jax.device_get(levels), GAMMA)
    exact = np.asarray(solution.is_exact(env, levels))
    assert exact.mean() > 0.9
    expected = [
        enumerated_optimum(jax.tree.map(lambda leaf, row=row: leaf[row], levels), GAMMA, env.max_steps)
        for row in np.flatnonzero(exact)
    ]
    np.testing.assert_allclose(start_values(env, solution, levels)[exact], expected, atol=5e-6)


@pytest.mark.slow
@pytest.mark.parametrize("split, mean", [("train", 2.71), ("deploy", 2.74)])
def test_published_mean_optimum(split: str, mean: float) -> None:
    env = Keys(size=13, layout=OnFreeCells())
    levels = sample(env, split, 400)
    solution = keys_solver.solve(env, OpenChests(), levels, GAMMA)
    assert start_values(env, solution, levels).mean() == pytest.approx(mean, abs=0.07)


# -- play -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", [OpenChests(), CollectKeys()], ids=lambda goal: goal.name)
@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "deploy"])
def test_the_oracle_earns_exactly_the_optimum(split: str, goal: Goal) -> None:
    env = Keys(size=13)
    levels = sample(env, split, 48)
    policy = oracle.Oracle((goal,))
    context = policy.prepare(env, levels)
    play = jax.jit(
        lambda levels, key, context: rollout.episodes(env, policy, levels, key, GAMMA, context)
    )
    outcome, _ = play(levels, jax.random.key(1), context)
    returns = np.asarray(outcome.returns[:, [g.name for g in env.goals].index(goal.name)])
    values = start_values(env, context[0], levels)
    exact = np.asarray(context[0].is_exact(env, levels))
    assert exact.mean() > 0.9
    np.testing.assert_allclose(returns[exact], values[exact], atol=1e-4)
    assert (returns <= values + 1e-4).all()


@pytest.mark.parametrize("split", [pytest.param("train", marks=pytest.mark.slow), "deploy"])
def test_random_play_earns_no_more(split: str) -> None:
    env = Keys(size=5, few=2, many=4)
    levels = sample(env, split, 128)
    outcome, _ = jax.jit(lambda key: rollout.episodes(env, Random(4), levels, key, GAMMA))(
        jax.random.key(2)
    )
    for number, goal in enumerate(env.goals):
        best = start_values(env, keys_solver.solve(env, goal, levels, GAMMA), levels)
        least = np.asarray(keys_solver.worst(env, goal, levels, GAMMA))
        returns = np.asarray(outcome.returns[:, number])
        assert (returns <= best + 1e-5).all() and (returns >= least - 1e-5).all()


def test_worst_play_collects_a_key_only_where_all_ways_do() -> None:
    env = Keys(size=5, few=2, many=4)
    texts = (".....\n..k..\n.k@k.\n..k..\nc...c\n", ".....\n..k..\n.k@k.\n..c..\nc...k\n")
    levels = jax.tree.map(lambda *leaves: np.stack(leaves), *(env.from_text(text) for text in texts))
    assert keys_solver.worst(env, CollectKeys(), levels, GAMMA).tolist() == [1, 0]
    assert keys_solver.worst(env, OpenChests(), levels, GAMMA).tolist() == [0, 0]


@pytest.mark.parametrize("letters", ["kk", "cc", ""])
def test_nothing_to_open_is_worth_nothing(letters: str) -> None:
    env = Keys(size=5, few=2, many=4)
    level = env.from_text("@" + letters.ljust(4, ".") + 4 * "\n.....")
    levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], level)
    for goal in env.goals:
        assert start_values(env, keys_solver.solve(env, goal, levels, GAMMA), levels) == 0
        assert keys_solver.worst(env, goal, levels, GAMMA) == 0


# -- mistakes ---------------------------------------------------------------------------------------


def test_refusals() -> None:
    env = Keys(size=5, few=2, many=4)
    levels, shifted = (sample(env, split, 2) for split in ("train", "deploy"))
    both = jax.tree.map(lambda a, b: np.concatenate([a, b]), levels, shifted)
    one = jax.tree.map(lambda leaf: leaf[0], levels)
    gappy = eqx.tree_at(lambda tree: tree.keys, levels, levels.keys[:, ::-1])
    chests = OpenChests()
    with pytest.raises(UsageError, match="levels with 2 to 4 keys; expected the same number"):
        keys_solver.solve(env, chests, both, GAMMA)
    with pytest.raises(UsageError, match="expected a batch of levels"):
        keys_solver.solve(env, chests, one, GAMMA)
    with pytest.raises(UsageError, match="put them at the array's end"):
        keys_solver.solve(env, chests, gappy, GAMMA)
    with pytest.raises(UsageError, match="solve outside jit"):
        jax.jit(lambda levels: keys_solver.solve(env, chests, levels, GAMMA).worth)(levels)
    with pytest.raises(UsageError, match=r"gamma is 1\.5; a discount is between 0 and 1"):
        keys_solver.solve(env, chests, levels, 1.5)
    remembered = Reach("corner", "reach the corner", 3.0, 0, once=True)
    for goal in (Corner(), remembered, Sums(pay=(-1.0, 1.0))):
        with pytest.raises(UsageError, match=f"goal {goal.name} has no exact play in keys"):
            keys_solver.solve(env, goal, levels, GAMMA)
        with pytest.raises(UsageError, match="fixed sum"):
            keys_solver.worst(env, goal, levels, GAMMA)
    large = Keys(size=13, few=10, many=10)
    with pytest.raises(
        UsageError, match=r"10 keys and 10 chests on 13x13; .* less of the scarcer object"
    ):
        keys_solver.solve(large, chests, sample(large, "train", 1), GAMMA)


def test_subsets_are_told_apart_as_long_as_they_matter() -> None:
    keys, chests = keys_solver._subsets(keys_solver.Shape(10, 3, False))
    assert keys.size(*range(len(keys.groups))) == 1 + 10 + 45 + 1
    assert chests.size(*range(len(chests.groups))) == 1 + 3 + 3
    masks = {sum(1 << x for x in chosen) for chosen in combinations(range(10), 2)}
    assert set(keys.groups[2]) == masks
    larger = np.array(keys.groups[2])[keys.grown(1)]
    mine = np.array(keys.groups[1]) | 1 << np.arange(10)[:, None]
    assert (larger == mine)[~keys.members(1)].all()
