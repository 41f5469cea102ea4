"""The contract that every environment keeps, on every layout; levels, their text, classes and edits.

Shares are compared within 4 standard deviations: keys are fixed, and a right program with other keys
would fail one such comparison in 16,000.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import jit
from scipy.sparse import csgraph

from goalgap import envs, measure
from goalgap.agents.scripted import Random
from goalgap.core import Mixture, UsageError, tree_index
from goalgap.envs import Corner, Dish, Keys, Line, edits, layouts
from goalgap.envs.edits import edit
from goalgap.envs.grid import GridEnvironment
from goalgap.envs.procgen.maze import MazeEnvironment
from goalgap.learn.curriculum import DomainRandomization, keep_out_test_levels
from goalgap.oracle import TABLES
from goalgap.rollout import episodes

SMALL: dict[str, dict[str, Any]] = {"keys": {"few": 1, "many": 2}, "line": {"size": 9}}
KINDS: tuple[Any, ...] = envs.ALL
PROCGEN = [kind(mode="easy", max_steps=24) for kind in KINDS if hasattr(kind, "generate")]
GRIDS = [
    kind(size=5, layout=layout(), max_steps=24, **SMALL.get(kind.name, {}))
    for kind in KINDS
    if issubclass(kind, GridEnvironment) and not issubclass(kind, MazeEnvironment)
    for layout in envs.LAYOUTS
]
OURS = {env.name for env in (*PROCGEN, *GRIDS)}
OTHERS = [kind(max_steps=24, **SMALL[kind.name]) for kind in KINDS if kind.name not in OURS]
ENVS = [*GRIDS, *OTHERS, *PROCGEN]
BOARDS = [env for env in ENVS if hasattr(env, "symbols")]  # a mouse and things on cells
BLOCKS = [env for env in GRIDS if env.layout.name == "blocks"]
LINE = Line(size=9, max_steps=24)


def label(env: Any) -> str:
    return f"{env.name}-{env.layout.name}" if env in GRIDS else env.name


def over(some: list[Any], slow: list[Any]) -> Any:
    """A test for each environment, of which some are slow."""
    marked = [pytest.param(env, marks=pytest.mark.slow if env in slow else ()) for env in some]
    return pytest.mark.parametrize("env", marked, ids=label)


# Compiling takes most of the time: CoinRun and Maze stand for Procgen's games, Corner for all layouts.
RARE = [env for env in PROCGEN if env.name not in ("coinrun", "maze")]
RARE += [env for env in GRIDS if env.name != "corner" and env.layout.name == "tree"]
over_envs, over_boards = over(ENVS, slow=RARE), over(BOARDS, slow=RARE)
over_blocks = pytest.mark.parametrize("env", BLOCKS, ids=lambda env: env.name)
MOVES = {"up": (-1, 0), "left": (0, -1), "down": (1, 0), "right": (0, 1)}
COUNT = 64


def extent(env: Any) -> tuple[int, int]:
    """Height and width of the board."""
    return (env.size if isinstance(env, GridEnvironment) else 1), env.size


def num_cells(env: Any) -> int:
    height, width = extent(env)
    return height * width


def walls_of(env: Any, level: Any) -> np.ndarray:
    """The level's walls; without any where its environment knows none."""
    return np.asarray(getattr(level, "walls", np.zeros(extent(env), bool)))


@functools.partial(jit, static_argnames="count")
def sample(levels: Any, seed: int, count: int) -> Any:
    return jax.vmap(levels.sample)(jax.random.split(jax.random.key(seed), count))


def facts(env: Any, key: Any) -> dict[str, Any]:
    """Everything an environment says of one level, half of which distinguish."""
    level_key, key = jax.random.split(key)
    level = env.shift(alpha=0.5).train.sample(level_key)
    said = ("is_test", "is_distinguishing", "splay", "twin", "level_hash", "layout_hash")
    classes = (False, True) if isinstance(env, GridEnvironment) else ()  # others have no edits
    return {name: getattr(env, name)(level) for name in said} | {
        "level": level,
        "redrawn": [env.redraw(key, level, jnp.asarray(yes)) for yes in classes],
    }


def walk(env: Any, level: Any) -> Any:
    """What is to be seen on the way, once in each direction."""

    def step(state: Any, action: Any) -> tuple[Any, Any]:
        state = env.step(level, state, action)
        goals = [goal.is_achieved(level, state, jnp.asarray(0)) for goal in env.goals]
        extras, is_over = env.extras(level, state), env.is_terminal(level, state)
        return state, (state, env.observe(level, state), is_over, goals, extras)

    return jax.lax.scan(step, env.reset(level), jnp.arange(env.num_actions))[1]


def consequences(env: Any, fact: dict[str, Any]) -> dict[str, Any]:
    """What follows when levels are changed, and from every cell."""
    level, twin = fact["level"], fact["twin"]
    cells = jnp.arange(num_cells(env)) if env in BOARDS else None
    return {
        "moves": cells is not None and jax.vmap(lambda cell: moves(env, level, cell))(cells),
        "twins": (twin, env.twin(twin), env.is_distinguishing(twin)),
        "hashes": [hashes(env, other) for other in (level, *variants(env, level))],
    }


def moves(env: Any, level: Any, cell: Any) -> tuple[Any, Any]:
    """Where each action leads from a cell, and whether it changes anything at all."""
    state = eqx.tree_at(lambda tree: tree.position, env.reset(level), cell)
    after = jax.vmap(lambda action: env.step(level, state, action))(jnp.arange(env.num_actions))
    changes = jax.tree.map(lambda a, b: (a != b).reshape(len(a), -1).any(1), after, state)
    return after.position, jax.tree.reduce(jnp.logical_or, changes)


def variants(env: Any, level: Any) -> list[Any]:
    """The level with the first of each kind of object elsewhere, then (on grids) with one wall more; off
    boards with the object that `splay` moves on its first legal place."""
    if env not in BOARDS:
        levels, legal = env.splay(level)
        return [tree_index(levels, jnp.argmax(legal))]
    taken = jnp.stack([env.at(getattr(level, name)) for name in ("mouse", *env.symbols)]).any(0)
    cell = jnp.argmin(getattr(level, "walls", False) | taken)
    others = []
    for name in ("mouse", *env.symbols):
        cells = getattr(level, name)
        first = jnp.arange(cells.size).reshape(cells.shape) == 0
        others.append(
            eqx.tree_at(lambda tree, n=name: getattr(tree, n), level, jnp.where(first, cell, cells))
        )
    if isinstance(env, GridEnvironment):
        others.append(eqx.tree_at(lambda tree: tree.walls, level, level.walls | env.at(cell)))
    return others


def hashes(env: Any, level: Any) -> tuple[Any, Any]:
    return env.level_hash(level), env.layout_hash(level)


@functools.cache
def known(env: Any) -> dict[str, Any]:
    """The facts of COUNT levels and their consequences."""

    def find(key: Any) -> dict[str, Any]:
        found = facts(env, key)
        return found | consequences(env, found)

    keys = jax.random.split(jax.random.key(0), COUNT)
    return jax.device_get(jit(jax.vmap(find))(keys))


@functools.cache
def levels_of(env: Any) -> Any:
    """COUNT levels: the known ones, unless only this is asked of an environment by default."""
    if env not in RARE:
        return known(env)["level"]
    return jax.device_get(sample(env.shift().deploy, 0, COUNT))


def level_of(env: Any, index: int) -> Any:
    return jax.device_put(tree_index(known(env)["level"], index))


def occupied(env: Any, level: Any) -> np.ndarray:
    """The cells with an object, one entry for each object."""
    cells = [np.atleast_1d(getattr(level, name)) for name in ("mouse", *env.symbols)]
    return np.concatenate([cell[cell >= 0] for cell in cells])


def assert_well_made(env: Any, levels: Any) -> None:
    if env not in BOARDS:
        return  # see the tests of its own
    count, height_width = len(levels.mouse), extent(env)
    cells = np.concatenate(
        [np.reshape(getattr(levels, name), (count, -1)) for name in ("mouse", *env.symbols)], 1
    )
    assert (cells < num_cells(env)).all() and (levels.mouse >= 0).all()
    walls = np.broadcast_to(walls_of(env, levels), (count, *height_width)).reshape(count, -1)
    on_wall = np.take_along_axis(walls, cells.clip(0), 1)
    assert not (on_wall & (cells >= 0)).any(), "an object in a wall"
    first, second = np.triu_indices(cells.shape[1], 1)
    num_shared = ((cells[:, first] == cells[:, second]) & (cells[:, first] >= 0)).sum(1)
    may_coincide = (levels.cheese == levels.dish) if env.name == "dish" else 0
    np.testing.assert_array_equal(num_shared, may_coincide, err_msg="two objects on a cell")


def assert_share(found: Any, expected: float) -> None:
    deviation = (expected * (1 - expected) / found.size) ** 0.5
    assert abs(found.mean() - expected) <= 4 * deviation


# -- the contract ------------------------------------------------------------------------------------


@over(ENVS, slow=[env for env in ENVS if env not in (BLOCKS[0], LINE)])
def test_plain_python_agrees_with_a_compiled_batch_row_by_row(env):
    """So compilation changes nothing, and the rows of a batch are independent."""
    walks = jit(jax.vmap(functools.partial(walk, env)))(known(env)["level"])
    for index in (0, COUNT - 1):
        alone = facts(env, jax.random.split(jax.random.key(0), COUNT)[index])
        batch = {name: known(env)[name] for name in alone}
        jax.tree.map(np.testing.assert_array_equal, tree_index(batch, index), alone)
        alone = walk(env, alone["level"])
        jax.tree.map(np.testing.assert_array_equal, tree_index(walks, index), alone)


@over(ENVS, slow=[env for env in ENVS if env not in BLOCKS and env.name not in ("line", "maze")])
def test_observations_are_bits_on_the_board_and_the_picture_fits(env):
    level = level_of(env, 0)
    state = env.reset(level)
    seen, board, picture = (
        jax.eval_shape(look, level, state) for look in (env.observe, env.board, env.rgb)
    )
    assert seen.ndim == 3 and seen.dtype == bool
    assert picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
    assert board.dtype == np.int32 and env.sprites(8).shape[1:] == (8, 8, 3)
    if env in BOARDS:
        height, width = extent(env)
        assert seen.shape[:2] == (height, width) and board.shape == (height + 2, width + 2)
        assert picture.shape[:2] == (8 * (height + 2), 8 * (width + 2))
    if env in PROCGEN:
        frame = jax.eval_shape(dataclasses.replace(env, observation="rgb").observe, level, state)
        assert frame.shape == (64, 64, 3) and frame.dtype == np.uint8
    places, legal = env.places(level), jax.eval_shape(env.splay, level)[1]
    assert places.shape == (*legal.shape, 2)
    rows, columns = (
        np.arange(size)[part] for size, part in zip(board.shape, env.visible(level), strict=True)
    )
    legal = tree_index(known(env)["splay"][1], 0)
    assert np.isin(places[legal, 0], rows).all() and np.isin(places[legal, 1], columns).all()
    assert len(env.action_names) == env.num_actions
    names = [goal.name for goal in env.goals]
    assert len(set(names)) == len(names) and all(goal.sentence and goal.bits > 0 for goal in env.goals)


@over_boards
def test_the_mouse_moves_one_cell_and_blocked_moves_do_nothing(env):
    levels, (after, changes) = known(env)["level"], known(env)["moves"]
    height, width = extent(env)
    for index in range(COUNT):
        level = tree_index(levels, index)
        walls = walls_of(env, level)
        # To begin on a key or in a chest is not a situation of the game.
        begin = np.setdiff1d(np.arange(num_cells(env)), occupied(env, level))
        for action, name in enumerate(env.action_names):
            row, column = begin // width + MOVES[name][0], begin % width + MOVES[name][1]
            blocked = (row < 0) | (row >= height) | (column < 0) | (column >= width)
            blocked |= walls[row.clip(0, height - 1), column.clip(0, width - 1)]
            target = np.where(blocked, begin, row * width + column)
            np.testing.assert_array_equal(after[index, begin, action], target)
            np.testing.assert_array_equal(changes[index, begin, action], ~blocked)


@over_envs
def test_sampled_levels_are_well_made_and_of_both_classes(env):
    assert_well_made(env, known(env)["level"])
    assert 16 < known(env)["is_distinguishing"].sum() < 48  # of 64, half of them of the rare class
    for levels in known(env)["redrawn"]:
        assert_well_made(env, levels)


@over_envs
def test_the_twin_keeps_the_layout_and_restores_the_correlation(env):
    levels, (twins, twins_of_twins, distinguishing) = known(env)["level"], known(env)["twins"]
    assert not distinguishing.any()
    assert_well_made(env, twins)
    jax.tree.map(np.testing.assert_array_equal, twins, twins_of_twins)
    if env not in BOARDS:
        (_, layouts), *_ = known(env)["hashes"]
        np.testing.assert_array_equal(layouts, jax.vmap(env.layout_hash)(twins))
        return
    in_the_way = {"corner": 0, "line": env.size - 1}.get(env.name)  # there the mouse changes places
    for index in range(COUNT):
        level, twin = tree_index(levels, index), tree_index(twins, index)
        changed = np.flatnonzero(walls_of(env, level) != walls_of(env, twin))
        assert np.isin(changed, occupied(env, twin)).all(), "walls give way to objects only"
        if level.mouse != in_the_way:
            assert level.mouse == twin.mouse


@over_boards
def test_splay_moves_one_object_over_all_legal_cells(env):
    level = level_of(env, 5)
    levels, legal = tree_index(known(env)["splay"], 5)
    np.testing.assert_array_equal(getattr(levels, env.splayed), np.arange(num_cells(env)))
    own = {"mouse": "@", **env.symbols}[env.splayed]
    text = env.to_text(level).replace("\n", "")
    assert [letter in {".", own} for letter in text] == legal.tolist()
    for name in {field.name for field in dataclasses.fields(level)} - {env.splayed}:
        for row in getattr(levels, name):
            np.testing.assert_array_equal(row, getattr(level, name))


@over_envs
def test_hashes_tell_levels_and_layouts_apart(env):
    (whole, layout), *others = known(env)["hashes"]
    varies = env.layout.varies if isinstance(env, GridEnvironment) else env in PROCGEN
    for other, other_layout in others:
        changed = (whole != other).any(1)
        assert changed.all() or (env.name == "heist" and changed.mean() > 0.8)  # it may begin there
        by_walls = (other_layout is others[-1][1] and env in BOARDS) or not varies
        assert ((layout != other_layout).any(1) == by_walls).all()


@functools.cache
def many() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is seen of 8192 levels of Corner, their hashes, and whether they are kept for evaluation."""
    env = Corner(size=7)

    def tell(key: Any) -> tuple[Any, Any, Any]:
        level = env.shift().deploy.sample(key)
        return env.observe(level, env.reset(level)), env.level_hash(level), env.is_test(level)

    return jax.device_get(jit(jax.vmap(tell))(jax.random.split(jax.random.key(0), 8192)))


def test_hashes_of_different_levels_differ():
    """64 bits: that any of 8192 levels collide has odds of 1 in 5 * 10^11."""
    seen, words, _ = many()
    assert len(np.unique(words, axis=0)) == len(np.unique(seen.reshape(8192, -1), axis=0))


def test_an_eighth_of_all_layouts_is_kept_for_evaluation():
    assert_share(many()[2], 1 / 8)


@over_envs
def test_ended_episodes_stand_still_and_earn_nothing(env):
    levels = known(env)["level"]
    policy = Random(env.num_actions)
    play = jit(lambda levels, key: episodes(env, policy, levels, key, 0.9, keep=()))
    outcome, trace = jax.device_get(play(levels, jax.random.key(0)))
    assert 0 < outcome.terminated.sum() < COUNT or env.name == "heist"  # too short for its errands
    np.testing.assert_array_equal(outcome.length[~outcome.terminated], env.max_steps)
    # The event comes before the end or never.
    assert (outcome.event_step <= outcome.length[:, None]).all()
    for index, length in enumerate(outcome.length):
        ended = tree_index(trace.state, (slice(length, None), index))
        jax.tree.map(
            lambda leaf: np.testing.assert_array_equal(leaf, leaf[:1].repeat(len(leaf), 0)), ended
        )
    if env.solver is TABLES:
        steps = outcome.event_step
        paid = np.where(steps > 0, 0.9 ** (steps - 1.0), 0.0)
        begun = steps == 0  # a mouse that starts in the corner may or may not come back to it
        np.testing.assert_allclose(outcome.returns[~begun], paid[~begun], rtol=1e-5)


# -- text --------------------------------------------------------------------------------------------


@over(ENVS, slow=PROCGEN)  # which have tests of their own
def test_text_round_trips(env):
    for index in range(25):
        level = jax.device_put(tree_index(levels_of(env), index))
        text = env.to_text(level)
        again = env.from_text(text)
        assert env.to_text(again) == text
        if env not in BOARDS:
            continue  # more in the tests of its own
        np.testing.assert_array_equal(walls_of(env, level), walls_of(env, again))
        for name in ("mouse", *env.symbols):
            np.testing.assert_array_equal(
                np.sort(getattr(level, name), None), np.sort(getattr(again, name), None)
            )


CORNER3, KEYS5 = Corner(size=3), Keys(size=5, few=1, many=2)


@pytest.mark.parametrize(
    ("env", "text", "message"),
    [
        (CORNER3, "@..\n.x.\n..c\n", r"line 2, column 2: unknown letter 'x'; known: # \. @ c"),
        (CORNER3, "@..\n....\n..c\n", "line 2, column 4: the line has 4 letters, the board 3"),
        (CORNER3, "@..\n...\n.c\n", "line 3, column 3: the line has 2 letters, the board 3"),
        (CORNER3, "...\n...\n..c\n", "line 1, column 1: 0 of mouse ('@'); expected exactly 1"),
        (CORNER3, "@..\n...\n.@c\n", "line 3, column 2: 2 of mouse ('@'); expected exactly 1"),
        (CORNER3, "@..\n...\n...\n", "line 1, column 1: 0 of cheese ('c'); expected exactly 1"),
        (CORNER3, "@..\n...\n..c\n...\n", "line 4: the level has 4 lines, the board 3; .* size 4"),
        (CORNER3, "@.c\n...\n", "line 2: the level has 2 lines, the board 3"),
        (LINE, "@.....c..\n.........\n", "line 2: the level has 2 lines, expected only 1"),
        (LINE, "", "line 0: the level has 0 lines, expected only 1"),
        (LINE, "@.....c", "line 1, column 8: the line has 7 letters, the board 9; .* set size 7"),
        (LINE, "@..#..c..", r"line 1, column 4: unknown letter '#'; known: \. @ c"),
        (LINE, "......c..", "line 1, column 1: 0 of mouse ('@'); expected exactly 1"),
        (LINE, "@.c...c..", "line 1, column 7: 2 of coin ('c'); expected exactly 1"),
        (
            KEYS5,
            "@k.k.\n.....\n..k..\n.....\n..c..",
            "line 3, column 3: 3 of keys .'k'.; expected at most 2",
        ),
    ],
)
def test_malformed_text_is_refused_with_its_place(env, text, message):
    with pytest.raises(UsageError, match=message.replace("('", r"\('").replace("')", r"'\)")):
        env.from_text(text)


def test_text_shows_objects_that_share_a_cell_and_those_that_are_left():
    dish = Dish(size=3).from_text("@..\n.b.\n...\n")
    assert dish.cheese == dish.dish == 4
    level = KEYS5.from_text("@k.c.\n.....\n.....\n.....\n....k\n")
    state = jit(lambda level: KEYS5.step(level, KEYS5.reset(level), jnp.asarray(3)))(level)
    assert KEYS5.to_text(level, state).splitlines()[0] == ".@.c."


# -- distributions -----------------------------------------------------------------------------------


def drawn_walls(layout: Any, size: int, count: int) -> np.ndarray:
    draw = jit(jax.vmap(lambda key: layout.sample(key, size)))
    return np.asarray(draw(jax.random.split(jax.random.key(0), count)))


def test_trees_span_their_rooms():
    size = 7
    mazes_ = drawn_walls(layouts.Tree(), size, 32)
    assert len({walls.tobytes() for walls in mazes_}) == 32
    for walls in mazes_:
        graph = neighbors(~walls)
        free = np.flatnonzero(~walls)
        assert not walls[::2, ::2].any() and walls[1::2, 1::2].all()
        rooms = ((size + 1) // 2) ** 2
        assert len(free) - rooms == rooms - 1, "one door fewer than rooms"
        graph = graph[free][:, free]
        assert csgraph.connected_components(graph, directed=False)[0] == 1
        assert graph.sum() / 2 == len(free) - 1, "no way around"


def neighbors(free: np.ndarray) -> np.ndarray:
    """The graph of free cells, as a dense symmetric matrix."""
    size = len(free)
    cells = np.arange(size**2).reshape(size, size)
    graph = np.zeros((size**2, size**2), int)
    for a, b in ((cells[1:], cells[:-1]), (cells[:, 1:], cells[:, :-1])):
        linked = free.reshape(-1)[a] & free.reshape(-1)[b]
        graph[a[linked], b[linked]] = graph[b[linked], a[linked]] = 1
    return graph


def test_blocks_are_a_quarter_walls():
    walls = drawn_walls(layouts.Blocks(), 13, 256)
    assert abs(walls.mean() - 0.25) < 4 * (0.25 * 0.75 / walls.size) ** 0.5


# Of 25 cells: the cheese misses the corner; the dish misses the cheese among the cells off the mouse.
# Of 9 cells the coin misses the right end.
DISTINGUISHING = {"corner": 24 / 25, "dish": 23 / 24, "keys": 1.0, "line": 8 / 9}


@pytest.mark.parametrize("env", [*BLOCKS[:2], LINE], ids=lambda env: env.name)
def test_a_mixture_has_its_share_of_distinguishing_levels(env):
    alphas = (0, 0.3, 1)

    def tell(key: Any) -> list[Any]:
        return [env.is_distinguishing(env.shift(alpha).train.sample(key)) for alpha in alphas]

    found = jit(jax.vmap(tell))(jax.random.split(jax.random.key(0), 4096))
    for alpha, distinguishing in zip(alphas, found, strict=True):
        assert_share(np.asarray(distinguishing), alpha * DISTINGUISHING[env.name])


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_a_mixture_refuses_what_is_no_share(alpha):
    shift = CORNER3.shift()
    with pytest.raises(UsageError, match=f"alpha is {alpha}; it is a share, between 0 and 1"):
        Mixture(shift.train, shift.deploy, alpha)


@over([*GRIDS[:3], *OTHERS, *PROCGEN], slow=PROCGEN[1:])
def test_training_never_shows_a_level_kept_for_evaluation(env):
    """The known levels stand for what the distribution draws: one need not compile it again."""
    drawn = jax.device_put(known(env)["level"])

    def shown(key: Any, drawn: Any) -> Any:
        def draw(key: Any, count: int) -> Any:
            return tree_index(drawn, jax.random.randint(key, (count,), 0, COUNT))

        proposed = DomainRandomization().batch((), env, draw, key, jnp.zeros((), int), 512)
        levels, _, replaced = keep_out_test_levels(env, *proposed)
        return levels, jax.vmap(env.is_test)(levels), replaced

    levels, kept, replaced = jax.device_get(jit(shown)(jax.random.key(0), drawn))
    assert replaced.any() and not kept.any()
    assert_well_made(env, levels)


@pytest.mark.slow
def test_the_exam_shows_only_levels_kept_for_evaluation():
    env = Corner(size=7)
    for split in measure.draw_exam(env, 100).splits.values():
        assert jax.vmap(env.is_test)(split.levels).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Corner(size=2), "size is 2; boards are 3 to 31 cells wide"),
        (lambda: Dish(size=32), "size is 32; boards are 3 to 31 cells wide"),
        (lambda: Corner(max_steps=0), "max_steps is 0; expected 1 to 10000"),
        (lambda: Corner(max_steps=10_001), "max_steps is 10001"),
        (lambda: Line(size=2), "size is 2; lines are 3 to 129 cells long"),
        (lambda: Line(size=130), "size is 130; lines are 3 to 129"),
        (lambda: Line(max_steps=0), "max_steps is 0; expected 1 to 10000"),
        (lambda: Corner(size=6, layout=layouts.Tree()), "layout tree with size 6: .*; try 5 or 7"),
        (lambda: Corner(layout=layouts.Blocks(density=1.0)), "density is 1.0; expected 0 to below 1"),
        (lambda: Dish(num_channels=0), "num_channels is 0; the dish fills 1 to 64"),
        (lambda: Dish(num_channels=65), "num_channels is 65"),
        (lambda: Keys(few=4, many=3), "few=4, many=3; expected 1 <= few <= many <= 10"),
        (lambda: Keys(many=11), "few=3, many=11"),
        (lambda: Keys(size=5), "size 5 has no room for 13 keys and chests; use size 6 or more"),
    ],
)
def test_sizes_and_options_out_of_range_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


# -- edits -------------------------------------------------------------------------------------------

NUM_EDITED = 1024


# What the tests edit how: the operator, how many edits, the share of distinguishing placements.
IDENTITY, ONE_EDIT = ("identity", 12, 1.0), ("identity", 1, 0.0)
CONSTANT = [("constant", 3, alpha) for alpha in (0.0, 0.25, 1.0)]
BINOMIAL, UNRESTRICTED = ("binomial", 12, 1.0), ("unrestricted", 3, 0.0)
WAYS = {
    "corner-blocks": (IDENTITY, ONE_EDIT, UNRESTRICTED),
    "corner-tree": (IDENTITY,),
    "dish-blocks": (IDENTITY, ONE_EDIT, *CONSTANT),
    "keys-blocks": (IDENTITY, ONE_EDIT, BINOMIAL, UNRESTRICTED),
}
EDITED = [env for env in GRIDS if label(env) in WAYS]
over_edited = pytest.mark.parametrize("env", EDITED, ids=label)


class Edits(NamedTuple):
    """Levels of both classes and what becomes of them; each with which distinguish."""

    before: tuple[Any, np.ndarray]
    after: dict[tuple[str, int, float], tuple[Any, np.ndarray]]


@functools.cache
def edits_of(env: Any) -> Edits:
    """The known levels, each edited 16 times in every way, out of one program."""
    levels, classes = (
        jax.tree.map(lambda leaf: np.tile(leaf, (NUM_EDITED // COUNT, *[1] * (leaf.ndim - 1))), fact)
        for fact in (known(env)["level"], known(env)["is_distinguishing"])
    )

    def after(keys: Any, levels: Any, operator: str, num_edits: int, alphas: Any) -> Any:
        def one(alpha: Any, key: Any, level: Any) -> Any:
            changed = edit(env, key, level, operator, num_edits, alpha)
            return changed, env.is_distinguishing(changed)

        each = jax.vmap(one, (None, 0, 0))
        return jax.vmap(lambda alpha: each(alpha, keys, levels))(alphas)  # compiled once for all shares

    def edited(keys: Any, levels: Any) -> Any:
        found = {}
        for operator, num_edits in dict.fromkeys(way[:2] for way in WAYS[label(env)]):
            alphas = [way[2] for way in WAYS[label(env)] if way[:2] == (operator, num_edits)]
            together = after(keys, levels, operator, num_edits, jnp.asarray(alphas))
            for index, alpha in enumerate(alphas):
                found[operator, num_edits, alpha] = tree_index(together, index)
        return found

    keys = jax.random.split(jax.random.key(0), NUM_EDITED)
    return Edits((levels, classes), jax.device_get(jit(edited)(keys, levels)))


@over_edited
def test_identity_keeps_the_class_and_levels_well_made(env):
    before, classes = edits_of(env).before
    after, classes_after = edits_of(env).after[IDENTITY]
    np.testing.assert_array_equal(classes, classes_after)
    assert_well_made(env, after)
    assert (before.walls != after.walls).sum((1, 2)).mean() > 4


@over_blocks
def test_one_preserving_edit_changes_one_thing(env):
    before, _ = edits_of(env).before
    after, _ = edits_of(env).after[ONE_EDIT]
    by_kind = {
        name: (getattr(before, name) != getattr(after, name)).reshape(NUM_EDITED, -1).sum(1)
        for name in ("mouse", *env.symbols)
    }
    assert set(env.movable) == {name for name, moved in by_kind.items() if moved.any()}
    moved, walls = np.sum(list(by_kind.values()), 0), before.walls != after.walls
    assert (moved <= 1).all() and (walls[moved == 0].sum((1, 2)) == 1).all()
    for index in np.flatnonzero(moved):
        # An object moved onto a wall clears it.
        landed = np.setdiff1d(
            occupied(env, tree_index(after, index)), occupied(env, tree_index(before, index))
        )
        assert np.isin(np.flatnonzero(walls[index]), landed).all()
    assert_share(moved, len(env.movable) / 12)


def test_constant_redraws_the_class_once():
    env = BLOCKS[1]
    for way in CONSTANT:
        after, classes = edits_of(env).after[way]
        assert_share(classes, way[2] * DISTINGUISHING[env.name])
        assert_well_made(env, after)


def test_constant_leaves_all_but_one_edit_to_the_walls_and_the_mouse():
    env = BLOCKS[1]
    level = env.from_text("@....\n.....\n..b..\n.....\n.....\n")
    alone: Any = edit(env, jax.random.key(0), level, "constant", 1, 1.0)
    assert not alone.walls.any() and alone.mouse == 0 and alone.cheese != alone.dish


def test_binomial_leaves_35_percent_of_the_levels_untransformed():
    env = BLOCKS[-1]  # keys, where the last transforming edit alone decides the class
    _, classes = edits_of(env).before
    _, after = edits_of(env).after[BINOMIAL]
    assert_share(after[~classes], 1 - (11 / 12) ** 12)
    assert after[classes].all()


@pytest.mark.parametrize("env", BLOCKS[::2], ids=lambda env: env.name)
def test_unrestricted_forgets_the_class_it_came_from(env):
    _, classes = edits_of(env).before
    _, after = edits_of(env).after[UNRESTRICTED]
    expected = 0.5 if env.name == "keys" else DISTINGUISHING[env.name]
    assert_share(after[classes], expected)
    assert_share(after[~classes], expected)


def test_edits_are_the_same_alone_and_in_a_batch():
    env = BLOCKS[1]
    levels, _ = jax.device_put(edits_of(env).before)
    key = jax.random.split(jax.random.key(0), NUM_EDITED)[9]
    alone = edit(env, key, tree_index(levels, 9), "constant", 3)
    batch, _ = edits_of(env).after[CONSTANT[0]]
    jax.tree.map(np.testing.assert_array_equal, alone, tree_index(batch, 9))


def test_a_board_without_room_is_left_as_it_is():
    env = Corner(size=3, layout=layouts.Tree())
    level = env.from_text("c@#\n###\n###\n")
    moved = jit(functools.partial(edits.move, env))(jax.random.key(0), level)
    assert env.to_text(moved) == env.to_text(level)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operator": "binomal"}, "unknown operator 'binomal'; did you mean binomial?"),
        ({"operator": "x"}, "expected one of identity, constant, binomial, unrestricted"),
        ({"num_edits": 0}, "num_edits is 0; expected at least 1"),
        ({"alpha": 1.5}, "alpha is 1.5; it is a share"),
    ],
)
def test_edits_refuse_what_they_cannot_do(options, message):
    level = CORNER3.from_text("@..\n...\n..c\n")
    with pytest.raises(UsageError, match=message):
        edit(CORNER3, jax.random.key(0), level, **options)
