"""Exact play against references that share no code with it: SciPy's paths, NumPy's policy evaluation.

At the end, the known answers of 2507.03068 for 13x13 boards (acceptance targets 1, 2 and 4 of the fact
sheet), on 5120 levels each; keys and chests have tests of their own.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import jit
from scipy.sparse import csgraph, csr_array

from goalgap import oracle
from goalgap.agents.scripted import Random
from goalgap.core import UsageError, tree_index
from goalgap.envs import Corner, Dish, Keys
from goalgap.envs.layouts import Tree
from goalgap.oracle import Oracle, tables
from goalgap.oracle.solver import Solution, at_start
from goalgap.rollout import episodes

COUNT, WALKERS, GAMMA = 64, 16, 0.95
CORNER, DISH = Corner(size=5, max_steps=40), Dish(size=5, max_steps=40)
HURRIED = Corner(size=5, max_steps=4)
TABLES = [
    (env, goal) for env in (CORNER, DISH, HURRIED, Dish(size=7, layout=Tree())) for goal in env.goals
]
over_tables = pytest.mark.parametrize(
    ("env", "goal"), TABLES, ids=[f"{e.name}{e.size}-{e.max_steps}-{g.name}" for e, g in TABLES]
)


# What each kind of play makes of the values of its actions.
KINDS = {"random": np.mean, "worst": np.min, "best": np.max}


class Solved(NamedTuple):
    """What the oracle says of one goal, and what it earns by playing for it. l: levels."""

    start: dict[str, Any]  # value of each kind of play at the start [l]
    action_values: Any  # [l, cells, memories, actions]
    is_greedy: Any  # [l, cells, actions], where nothing is remembered
    earned: Any  # [l]


class Known(NamedTuple):
    """What the tests compare of one environment."""

    levels: Any  # COUNT distinguishing ones, which may be unsolvable
    goals: dict[str, Solved]
    walked: Any  # returns of WALKERS random walkers a level, one after another [l * w, goals]


@functools.cache
def known(env: Any) -> Known:
    """All of it out of one program: nearly all the time is compilation."""

    def solved(goal: Any, levels: Any) -> Any:
        policy = Oracle((goal,), GAMMA)
        (solution,) = context = policy.prepare(env, levels)
        q = {"best": solution.action_values} | {
            kind: tables.values(env, goal, levels, GAMMA, env.max_steps, kind)
            for kind in ("random", "worst")
        }
        reduced = {"best": jnp.max, "random": jnp.mean, "worst": jnp.min}
        start = {
            kind: reduced[kind](at_start(env, Solution(values), levels), -1)
            for kind, values in q.items()
        }
        outcome, _ = episodes(env, policy, levels, jax.random.key(1), GAMMA, context)
        greedy = oracle.is_greedy(solution.action_values[:, :, 0])
        earned = outcome.returns[:, env.goals.index(goal)]
        return Solved(start, solution.action_values, greedy, earned)

    def find(keys: Any) -> Known:
        levels = jax.vmap(env.shift().deploy.sample)(keys)
        walkers = jax.tree.map(lambda leaf: jnp.repeat(leaf, WALKERS, 0), levels)
        outcome, _ = episodes(env, Random(env.num_actions), walkers, jax.random.key(1), GAMMA)
        goals = {goal.name: solved(goal, levels) for goal in env.goals}
        return Known(levels, goals, outcome.returns)

    return jax.device_get(jit(find)(jax.random.split(jax.random.key(0), COUNT)))


# -- independent references --------------------------------------------------------------------------


class Board:
    """One level, read off its text: where moves lead, which cells pay and which end the episode."""

    def __init__(self, env: Any, goal: Any, level: Any) -> None:
        size = env.size
        text = env.to_text(level).replace("\n", "")
        self.mouse = text.index("@")
        # `b` is both on one cell; the corner environment has no dish.
        where = {letter: max(text.find(letter), text.find("b")) for letter in "cd"}
        self.target = {"cheese": where["c"], "dish": where["d"], "corner": 0}[goal.name]
        self.ends = set(where.values()) - {-1}
        self.limit = env.max_steps
        grid = np.pad(np.array(list(text)).reshape(size, size) == "#", 1, constant_values=True)
        cells = np.arange(size**2).reshape(size, size)
        beyond = np.pad(cells, 1, constant_values=-1)
        self.moves = np.empty((size**2, 4), int)
        for action, (down, right) in enumerate(((-1, 0), (0, -1), (1, 0), (0, 1))):
            window = np.s_[1 + down : 1 + down + size, 1 + right : 1 + right + size]
            self.moves[:, action] = np.where(grid[window], cells, beyond[window]).reshape(-1)
        self.free = np.flatnonzero(~grid[1:-1, 1:-1])

    def distances(self) -> np.ndarray:
        """Steps from each cell to the target when the other ends are obstacles; infinite: no way."""
        # From the target's own cell, a goal that pays for arriving pays for a bump into a wall.
        barred = self.ends - {self.target}
        edges = [
            (after, cell)
            for cell in self.free
            for after in self.moves[cell]
            if cell not in self.ends and after not in barred
        ]
        graph = csr_array((np.ones(len(edges)), tuple(np.transpose(edges))), (len(self.moves),) * 2)
        return csgraph.shortest_path(graph, unweighted=True, indices=self.target)

    def q(self, reduce: Any) -> np.ndarray:
        """The value of each action in each cell, by backward induction from the time limit."""
        pays = (self.moves == self.target).astype(float)
        goes_on = ~np.isin(self.moves, [self.target, *self.ends])
        value = np.zeros(len(self.moves))
        for _ in range(self.limit - 1):
            value = reduce(pays + GAMMA * goes_on * value[self.moves], 1)
        return pays + GAMMA * goes_on * value[self.moves]


@functools.cache
def boards(env: Any, goal: Any) -> list[Board]:
    rows = (jax.device_put(tree_index(known(env).levels, index)) for index in range(COUNT))
    return [Board(env, goal, level) for level in rows]


# -- values ------------------------------------------------------------------------------------------


@over_tables
def test_the_optimum_of_a_goal_d_steps_away_is_gamma_to_the_d_minus_1(env, goal):
    values = known(env).goals[goal.name].start["best"]
    steps = np.array([board.distances()[board.mouse] for board in boards(env, goal)])
    # A mouse that starts in the corner arrives there anew by bumping into the border.
    steps = np.maximum(steps, 1)
    expected = np.where(steps <= env.max_steps, GAMMA ** (steps - 1.0), 0.0)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert (values == 0).any() or env.layout.name == "tree", "there are unsolvable levels among these"


@over_tables
@pytest.mark.parametrize("kind", KINDS)
def test_values_agree_with_backward_induction_in_numpy(env, goal, kind):
    reduce = KINDS[kind]
    expected = [reduce(board.q(reduce)[board.mouse]) for board in boards(env, goal)]
    np.testing.assert_allclose(known(env).goals[goal.name].start[kind], expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_values_at_the_start_are_those_of_the_tables(kind):
    """In chunks, whatever the number of levels: more than a chunk of them, and the last one not full."""
    goal = CORNER.proxies[0]
    levels = jax.tree.map(lambda leaf: np.resize(leaf, (300, *leaf.shape[1:])), known(CORNER).levels)
    values = oracle.start_values(CORNER, goal, jax.device_put(levels), GAMMA, kind)
    expected = np.resize(known(CORNER).goals[goal.name].start[kind], 300)
    np.testing.assert_allclose(values, expected, atol=1e-6)


@over_tables
def test_action_values_and_greedy_sets_are_right_in_every_cell(env, goal):
    solved = known(env).goals[goal.name]
    q = solved.action_values[:, :, 0]
    for index, board in enumerate(boards(env, goal)):
        cells = np.setdiff1d(board.free, [board.target, *board.ends])
        np.testing.assert_allclose(q[index, cells], board.q(np.max)[cells], atol=1e-6)
        distance = board.distances()
        near = cells[distance[cells] <= board.limit]
        closer = distance[board.moves[near]] == distance[near, None] - 1
        np.testing.assert_array_equal(solved.is_greedy[index, near], closer)


@over_tables
def test_values_are_in_order(env, goal):
    start = known(env).goals[goal.name].start
    worst, chance, best = (start[kind] for kind in ("worst", "random", "best"))
    assert (worst <= chance).all() and (chance <= best).all()
    assert ((chance > 0) == (best > 0)).all()


def test_keys_and_chests_have_no_exact_value_of_random_play():
    env = Keys(size=5, few=1, many=2)
    levels = one_level(env, "@k..c\n.....\n.....\n.....\n.....\n")
    with pytest.raises(UsageError, match="keys has no exact value of random play; estimate it"):
        oracle.start_values(env, env.intended, levels, GAMMA, "random")


# -- play --------------------------------------------------------------------------------------------


@over_tables
def test_the_oracle_earns_exactly_its_value_and_has_no_regret(env, goal):
    solved = known(env).goals[goal.name]
    np.testing.assert_allclose(solved.earned, solved.start["best"], atol=1e-5)
    assert solved.start["best"].max() > 0


@over_tables
def test_nobody_earns_more_than_the_optimum(env, goal):
    """In a deterministic world this holds of every episode, not only on average."""
    earned = known(env).walked[:, env.goals.index(goal)]
    regret = np.repeat(known(env).goals[goal.name].start["best"], WALKERS) - earned
    assert (regret > -1e-5).all() and (regret > 0.1).any()


def one_level(env: Any, text: str) -> Any:
    """A batch of one level."""
    return jax.tree.map(lambda leaf: leaf[None], env.from_text(text))


LITTLE = Corner(size=3, max_steps=8)
OPEN, AWAY = ".@.\n...\n..c\n", ".c@\n...\n...\n"  # the cheese off the way to the corner, and on it
PLAYERS = {
    "both goals": Oracle((LITTLE.proxies[0], LITTLE.intended), GAMMA),
    "corner": Oracle(LITTLE.proxies, GAMMA),
    "heedless": Oracle(LITTLE.proxies, GAMMA, heedless=True),
}


@functools.cache
def played() -> dict[str, dict[str, tuple[Any, Any]]]:
    """Each player's outcome and states on each of two boards, in one program."""

    def play(policy: Any, levels: Any) -> tuple[Any, Any]:
        context = policy.prepare(LITTLE, levels)
        key = jax.random.key(1)
        outcome, trace = episodes(LITTLE, policy, levels, key, GAMMA, context, keep=())
        assert trace is not None
        return outcome, trace.state

    boards = [one_level(LITTLE, text) for text in (OPEN, AWAY)]
    levels = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), *boards)
    found = jit(lambda levels: {name: play(policy, levels) for name, policy in PLAYERS.items()})(levels)
    return {
        name: {
            text: (tree_index(outcome, row), tree_index(states, np.s_[:, row]))
            for row, text in enumerate((OPEN, AWAY))
        }
        for name, (outcome, states) in jax.device_get(found).items()
    }


def test_an_oracle_of_two_goals_turns_to_the_second_when_the_first_has_no_more_to_give():
    outcome, _ = played()["both goals"][OPEN]
    assert outcome.event_step.tolist() == [5, 1] and outcome.length == 5


def test_an_oracle_with_nothing_left_to_gain_stays_where_it_is():
    _, states = played()["corner"][OPEN]
    assert states.position.tolist() == [1, *[0] * 8]


def test_heedless_play_walks_through_what_would_end_the_episode():
    for name, events in (("corner", [-1, 4]), ("heedless", [1, -1])):
        outcome, _ = played()[name][AWAY]
        assert outcome.event_step.tolist() == events


# -- known answers -----------------------------------------------------------------------------------

NUM_LEVELS, PUBLISHED_GAMMA = 5120, 0.999


@functools.partial(jax.jit, static_argnames="distinguishing")
def published_levels(env: Any, distinguishing: bool) -> Any:
    keys = jax.random.split(jax.random.key(2507), NUM_LEVELS)
    return jax.vmap(env.shift(alpha=float(distinguishing)).train.sample)(keys)


def is_solvable(env: Any, levels: Any) -> np.ndarray:
    """Whether the mouse can walk to the cheese, by SciPy: both lie in one piece of the free cells.

    The dish, which ends the episode, is in the way; no way on such a board takes as long as an episode.
    """
    rows, side = np.arange(len(levels.mouse)), env.size
    free = ~levels.walls.reshape(len(rows), -1)
    if env.name == "dish":
        free[rows, levels.dish] = levels.dish == levels.cheese
    numbers = np.arange(free.size).reshape(-1, side, side)
    is_free, edges = free.reshape(numbers.shape), []
    for one, other in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
        linked = is_free[one] & is_free[other]
        edges.append((numbers[one][linked], numbers[other][linked]))
    ends = tuple(np.concatenate(part) for part in zip(*edges, strict=True))
    graph = csr_array((np.ones(len(ends[0])), ends), (free.size, free.size))
    piece = csgraph.connected_components(graph, directed=False)[1].reshape(free.shape)
    return piece[rows, levels.mouse] == piece[rows, levels.cheese]


@pytest.mark.parametrize(
    ("env", "distinguishing", "share"),
    [(Corner(), False, 0.18), (Corner(), True, 0.07), (Dish(), True, 0.07)],
    ids=["corner", "corner-distinguishing", "dish-distinguishing"],
)
def test_published_share_of_unsolvable_levels(env, distinguishing, share):
    """The published share is SciPy's on all levels; the oracle agrees on each of the first 256."""
    levels = jax.device_get(published_levels(env, distinguishing))
    solvable = is_solvable(env, levels)
    first = jax.device_put(tree_index(levels, np.s_[:256]))
    values = oracle.start_values(env, env.intended, first, PUBLISHED_GAMMA)
    np.testing.assert_array_equal(values > 0, solvable[:256])
    assert abs((~solvable).mean() - share) < 0.015


@pytest.mark.slow
@pytest.mark.parametrize(("env", "cheese"), [(Corner(), 0.087), (Dish(), 0.076)], ids=["corner", "dish"])
def test_published_return_of_a_perfect_proxy_seeker(env, cheese):
    """The fact sheet's seeker knows the way to its goal and nothing else, so that it may run into the
    cheese, which ends the episode. The exact optimum of the proxy steers around the cheese and finds
    less of it: hence `heedless`."""
    levels = published_levels(env, True)
    if env.name == "corner":
        levels = jax.tree.map(lambda leaf: leaf[~levels.walls[:, 0, 0]], levels)
    found = {}
    for heedless in (True, False):
        policy = Oracle(env.proxies, PUBLISHED_GAMMA, heedless)
        watch = jax.jit(functools.partial(episodes, env, policy, gamma=PUBLISHED_GAMMA))
        outcome, _ = watch(levels, jax.random.key(0), context=policy.prepare(env, levels))
        found[heedless] = outcome.returns[:, 0].mean()
    assert abs(found[True] - cheese) < 0.015
    assert found[False] < found[True]
