"""Mazes: the recorded levels and episodes of Procgen's, a generator written down a second time, SciPy.

The recordings lie beside the project, not in it; without them only their tests are skipped.
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import equinox as eqx
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies
from jax import jit
from scipy.sparse import csgraph, csr_array

from goalgap import oracle
from goalgap.core import UsageError, tree_index
from goalgap.envs.procgen.game import GameLevels
from goalgap.envs.procgen.kruskal import kruskal, num_walls
from goalgap.envs.procgen.maze import Maze
from goalgap.envs.procgen.maze_line import MazeLine
from goalgap.envs.procgen.random_words import Draws, twister
from goalgap.oracle.solver import at_start
from goalgap.original import maze as parity

RECORDINGS = Path(__file__).resolve().parents[2] / "shared/data/procgen"
FILES = sorted(path.stem for path in RECORDINGS.glob("*maze*.npz"))
FAST = {
    "levels_fork_maze_aisc_hard_rr10",
    "levels_fork_maze_yellowstar_redgem_hard",
    "traj_up_maze_easy",
}
EASY, LINE = Maze(mode="easy"), MazeLine(mode="easy")
BOTH = [EASY, LINE]
over_both = pytest.mark.parametrize("env", BOTH, ids=lambda env: env.name)
COUNT = 64


@functools.cache
def batch(levels: Any) -> Any:
    """COUNT levels of a distribution."""
    draw = jit(jax.vmap(levels.sample))
    return jax.device_get(draw(jax.random.split(jax.random.key(0), COUNT)))


def told(env: Any, level: Any, key: Any) -> dict[str, Any]:
    """What is asked of a level; its twin and it with its objects placed anew in both classes."""
    twin, splay = env.twin(level), env.splay(level)
    again = [env.redraw(key, level, jnp.asarray(wanted)) for wanted in (False, True)]
    others = {"level": level, "twin": twin, "redrawn": again[0], "redrawn apart": again[1]}
    return {
        "levels": others,
        "is_distinguishing": {name: env.is_distinguishing(other) for name, other in others.items()},
        "layout": env.layout_hash(level),
        "splay": splay,
    }


@functools.cache
def known() -> dict[str, Any]:
    """What is told of each of both environments' games, made of the same words, out of one program."""

    def make(words: Any, key: Any) -> dict[str, Any]:
        made = {game: (env, env.generate(words, game)) for env in BOTH for game in GAMES[env.name]}
        return {game: told(env, level, key) for game, (env, level) in made.items()}

    words = jax.random.bits(jax.random.key(1), (COUNT, LINE.num_words), jnp.uint32)
    keys = jax.random.split(jax.random.key(2), COUNT)
    return jax.device_get(jit(jax.vmap(make))(words, keys))


GAMES = {"maze": ("maze", "maze_aisc"), "maze-line": LINE.games}


def levels_of(game: str) -> Any:
    return known()[game]["levels"]["level"]


def level_of(game: str, index: int = 0) -> Any:
    return jax.device_put(tree_index(levels_of(game), index))


@jit
def look(env: Any, level: Any) -> tuple[Any, Any, Any]:
    """What is seen at the start: the observation, the tiles, the report's picture."""
    state = env.reset(level)
    return env.observe(level, state), env.board(level, state), env.rgb(level, state, 8)


def board(text: str) -> str:
    """A level in the bottom-left corner of the easy world, all else wall."""
    rows = [row.ljust(15, "#") for row in text.split("/")]
    return "\n".join(["#" * 15] * (15 - len(rows)) + rows) + "\n"


# -- Procgen's own ------------------------------------------------------------------------------------


@pytest.mark.skipif(not FILES, reason="the recordings are not beside the project")
@pytest.mark.parametrize(
    "stem", [pytest.param(s, marks=() if s in FAST else pytest.mark.slow) for s in FILES]
)
def test_recorded_levels_and_episodes_come_out_alike(stem):
    found = re.fullmatch(r"(levels|traj)_(?:fork|up)_(\w+?)_(easy|hard|memory)(?:_rr(\d+))?", stem)
    assert found
    kind, game, mode, region = found.groups()
    options = {"rand_region": int(region)} if region else {}
    recorded = np.load(RECORDINGS / f"{stem}.npz")
    if kind == "levels":
        ours = parity.levels(game, mode, options, recorded["seed"])
        assert set(ours) == set(recorded)
    else:
        ours = parity.replay(game, mode, options, recorded["seed"], recorded["action"])
        assert set(recorded) - set(ours) == {"seed", "policy", "action", "flags", "ents", "n_ents"}
        assert recorded["level_complete"].sum() > 10
    for name, values in ours.items():
        assert values.dtype == recorded[name].dtype
        np.testing.assert_array_equal(values, recorded[name], err_msg=name)


def test_episodes_in_the_recordings_format_end_at_the_time_limit():
    actions = np.full((1, 1001), 4)  # nobody moves
    found = parity.replay("maze", "easy", {}, np.array([0]), actions)
    np.testing.assert_array_equal(np.flatnonzero(found["first"]), [499, 999])
    assert not found["level_complete"].any() and not found["reward"].any()
    np.testing.assert_array_equal(found["cur_time"][0, [499, 500, 501, 1000, 1001]], [499, 0, 1, 0, 1])


# -- the generator ------------------------------------------------------------------------------------

BOUND = 15


@jit
def ours(words: Any, side: Any) -> Any:
    draws = Draws(words, 3)
    return kruskal(draws, side, BOUND), draws.at


def written_again(words: list[int], side: int) -> list[tuple[int, int]]:
    """The open cells in the order of their opening, by lists and sets."""
    walls = [(x, y, 1, 0) for x in range(1, side, 2) for y in range(0, side, 2)]
    walls += [(x, y, 0, 1) for x in range(0, side, 2) for y in range(1, side, 2)]
    parts = {(x, y): {(x, y)} for x in range(0, side, 2) for y in range(0, side, 2)}
    order: list[tuple[int, int]] = []
    for word in words:
        if not walls:
            break
        x, y, right, up = walls.pop(word % len(walls))
        one, other = (x - right, y - up), (x + right, y + up)
        if parts[one] is not parts[other]:
            order += [cell for cell in (one, (x, y), other) if cell not in order]
            both = parts[one] | parts[other]
            parts.update(dict.fromkeys(both, both))
    return order


@hypothesis.given(seed=strategies.integers(0, 2**31), half=strategies.integers(1, 7))
def test_mazes_are_spanning_trees_opened_in_procgens_order(seed, half):
    words = np.random.default_rng(seed).integers(0, 2**32, 3 + num_walls(BOUND), dtype=np.uint32)
    side, rooms = 2 * half + 1, (half + 1) ** 2
    maze, at = jax.device_get(ours(words, side))
    assert maze.count == 2 * rooms - 1 and at == 3 + num_walls(side)
    assert (maze.order[maze.count :] == -1).all()
    cells = [(int(cell) % BOUND, int(cell) // BOUND) for cell in maze.order[: maze.count]]
    assert cells == written_again(words[3:].tolist(), side)
    assert sorted(cells) == sorted((x, y) for y, x in np.argwhere(maze.open))
    # As many cells as a tree of rooms and doors has, and all in one piece.
    assert csgraph.connected_components(graph(maze.open))[0] == 1


def graph(is_open: np.ndarray) -> Any:
    """Which open cells are neighbors, numbered in reading order."""
    numbers = np.cumsum(is_open).reshape(is_open.shape) - 1
    across, down = is_open[:, :-1] & is_open[:, 1:], is_open[:-1] & is_open[1:]
    ones = np.concatenate([numbers[:, :-1][across], numbers[:-1][down]])
    others = np.concatenate([numbers[:, 1:][across], numbers[1:][down]])
    return csr_array((np.ones(len(ones)), (ones, others)), (is_open.sum(),) * 2)


# -- levels -------------------------------------------------------------------------------------------


def test_the_cheese_is_in_the_corner_in_training_and_anywhere_after_the_shift():
    train, deploy = levels_of("maze_aisc"), levels_of("maze")
    for levels in (train, deploy):
        # Corners of a square in the world's middle.
        row, column = levels.corner // 15, levels.corner % 15
        np.testing.assert_array_equal(row + column, 14)
        np.testing.assert_array_equal(levels.mouse, column * 15 + row)
        for cells in (levels.mouse, levels.cheese, levels.corner):
            assert not levels.walls.reshape(COUNT, -1)[np.arange(COUNT), cells].any()
        assert (levels.cheese != levels.mouse).all()
        assert set(row.tolist()) == set(range(7))
    np.testing.assert_array_equal(train.cheese, train.corner)
    apart = [known()[game]["is_distinguishing"]["level"] for game in ("maze_aisc", "maze")]
    assert not apart[0].any() and apart[1].mean() > 0.7


def common(env: Maze) -> Any:
    """The class of levels that training shows, without the held-out layouts drawn anew."""
    mixture: Any = env.shift().train
    return mixture.common


def test_mazes_for_laptops_are_the_smallest_ones_alone():
    for mode, size in (("tiny", 5), ("small", 7)):
        levels = batch(common(Maze(mode=mode)))
        row, column = levels.corner // size, levels.corner % size
        np.testing.assert_array_equal(row + column, size - 1)
        assert levels.walls.shape == (COUNT, size, size) and set(row.tolist()) == set(range(size // 2))


def test_a_region_is_the_square_before_the_corner():
    levels = batch(common(Maze(mode="easy", region=4)))
    down = levels.cheese // 15 - levels.corner // 15
    left = levels.corner % 15 - levels.cheese % 15
    assert down.min() == left.min() == 0 and down.max() == left.max() == 3
    assert (levels.cheese != levels.mouse).all()


def test_there_is_no_cheese_where_procgen_gives_up():
    """Every try meets the open list's first cell, which is not in the region."""
    env = Maze(mode="easy", region=1)
    words = jnp.zeros(env.num_words, jnp.uint32)

    @jit
    def read(words: Any) -> Any:
        draws = Draws(words)
        level = env.read(draws, "maze_aisc")
        state = env.reset(level)
        return level.cheese, draws.at, env.is_terminal(level, state), env.observe(level, state)

    cheese, at, is_over, seen = jax.device_get(read(words))
    assert cheese == -1 and at == 3 + num_walls(3) + 1 + 100 * 3
    assert not is_over and not seen[..., 2].any()


def test_level_seeds_can_be_limited():
    env = Maze(mode="easy", num_levels=3, start_level=7)
    train, deploy = env.shift()
    drawn = batch(train)
    # The first word of a level seed moves the floor.
    first = jit(jax.vmap(lambda seed: twister(seed, 1)[0]))(np.array([7, 8, 9]))
    first = np.asarray(first)
    assert set(drawn.background_offset) == set(first.astype(np.float32) / np.float32(2**32))
    assert deploy == GameLevels(env, "maze")  # without end


def test_lines_lie_where_the_cheese_of_maze_does():
    level, layout = levels_of("maze"), known()["maze"]["layout"]
    alone, red_line, star = (levels_of(game) for game in LINE.games)
    for game in LINE.games:
        np.testing.assert_array_equal(levels_of(game).walls, level.walls)
        np.testing.assert_array_equal(levels_of(game).line, level.cheese)
        np.testing.assert_array_equal(known()[game]["layout"], layout)
    assert (alone.gem == -1).all()
    np.testing.assert_array_equal(red_line.gem, star.gem)
    gems = np.asarray(star.gem)
    assert (gems >= 0).all() and (gems != level.cheese).all() and (gems != level.mouse).all()


# -- play ---------------------------------------------------------------------------------------------


@over_both
def test_optimal_values_are_scipys_distances(env):
    """The end of the episode bars the way to what lies behind it."""
    ending, other = ("cheese", "corner") if env is EASY else ("line", "gem")
    levels = tree_index(levels_of(env.deploy_game), np.s_[:16])

    @jit
    def start_values(levels: Any) -> list[Any]:
        solved = [oracle.solve(env, goal, levels, 0.99) for goal in env.goals]
        return [at_start(env, solution, levels).max(-1) for solution in solved]

    values = jax.device_get(start_values(levels))
    for index in range(16):
        level = tree_index(levels, index)
        to_end, to_other, on = (
            steps(level, *pair)
            for pair in ((level.mouse, getattr(level, ending)), (level.mouse, getattr(level, other)),
                         (getattr(level, ending), getattr(level, other)))
        )  # fmt: skip
        assert values[0][index] == pytest.approx(0.99 ** (to_end - 1), rel=1e-5)
        # In a tree, what the end bars is as far as the end and from there on.
        is_barred = on > 0 and to_other == to_end + on
        expected = 0.0 if is_barred else 0.99 ** (to_other - 1)
        assert values[1][index] == pytest.approx(expected, rel=1e-5)


def steps(level: Any, start: int, end: int) -> float:
    numbers = np.cumsum(~level.walls) - 1
    paths = csgraph.shortest_path(graph(~level.walls), directed=False, unweighted=True)
    return paths[numbers[start], numbers[end]]


def test_the_gem_counts_once_and_only_the_line_ends_the_episode():
    level = LINE.from_text(board("..l/.##/@g."))
    line, gem = LINE.goals

    def step(now: tuple[Any, Any], action: Any) -> tuple[tuple[Any, Any], tuple[Any, Any, Any]]:
        state, memory = now
        after = LINE.step(level, state, action)
        reward, memory = gem.step(level, memory, state, action, after)
        return (after, memory), (
            line.reward(level, state, action, after),
            reward,
            LINE.is_terminal(level, after),
        )

    actions = np.array([3, 1, 3, 1, 0, 0, 3, 3])  # to the gem, back, to the gem, back, then to the line
    start = LINE.reset(level), jnp.asarray(0)
    _, (for_line, for_gem, is_over) = jit(lambda: jax.lax.scan(step, start, actions))()
    assert for_line.tolist() == [0] * 7 + [1] and for_gem.tolist() == [1] + [0] * 7
    assert is_over.tolist() == [False] * 7 + [True]


def test_in_training_the_line_is_what_is_yellow():
    level = LINE.from_text(board("..l/.##/@.."))
    is_distinguishing = jit(LINE.is_distinguishing)
    assert level.yellow == level.line and not is_distinguishing(level)
    after = LINE.from_text(board("..l/.##/@.g"))
    assert after.yellow == after.gem and is_distinguishing(after)


@over_both
def test_twins_restore_what_training_shows(env):
    found = known()[env.deploy_game]
    levels, twins = found["levels"]["level"], found["levels"]["twin"]
    assert not found["is_distinguishing"]["twin"].any()
    np.testing.assert_array_equal(levels.walls, twins.walls)
    np.testing.assert_array_equal(levels.mouse, twins.mouse)
    if env is EASY:
        np.testing.assert_array_equal(twins.cheese, levels.corner)
    else:
        np.testing.assert_array_equal(twins.line, levels.line)
        assert (twins.gem == -1).all()


def test_an_object_on_the_way_to_the_other_tells_nothing():
    """Line and gem distinguish where each has a way that avoids the other, as SciPy finds ways."""
    levels = levels_of(LINE.deploy_game)
    found = known()[LINE.deploy_game]["is_distinguishing"]["level"]
    for index in range(24):
        level = tree_index(levels, index)
        line, gem = int(level.line), int(level.gem)
        apart = np.isfinite([way(level, line, gem), way(level, gem, line)]).all()
        assert found[index] == apart
    assert 0 < found[:24].sum() < 24


def way(level: Any, target: int, barred: int) -> float:
    """The length of the shortest way from the mouse to a cell that avoids another."""
    walls = np.asarray(level.walls).copy()
    walls.reshape(-1)[barred] = True
    return steps(eqx.tree_at(lambda x: x.walls, level, walls), int(level.mouse), target)


@over_both
def test_redrawn_objects_lie_on_free_cells(env):
    found = known()[env.deploy_game]
    for name, wanted in (("redrawn", False), ("redrawn apart", True)):
        again = found["levels"][name]
        np.testing.assert_array_equal(again.walls, found["levels"]["level"].walls)
        share = found["is_distinguishing"][name].mean()
        least = 0.7 if env is EASY else 0.2  # in a tree, one of two objects often bars the other
        assert share > least if wanted else share == 0


@over_both
def test_splay_moves_the_object_over_all_free_cells(env):
    level = level_of(env.deploy_game)
    levels, legal = tree_index(known()[env.deploy_game]["splay"], 0)
    np.testing.assert_array_equal(getattr(levels, env.splayed), np.arange(225))
    own = env.symbols[env.splayed]
    assert [letter in (".", own) for letter in env.to_text(level).replace("\n", "")] == legal.tolist()


# -- text and pictures --------------------------------------------------------------------------------


@over_both
def test_text_says_everything_but_the_scenery(env):
    for game in (env.train_game, env.deploy_game):
        for index in range(4):
            level = level_of(game, index)
            again = env.from_text(env.to_text(level))
            for name in {"walls", "mouse", "corner", "game", *env.symbols} & set(vars(level)):
                np.testing.assert_array_equal(getattr(level, name), getattr(again, name))


def test_stars_have_letters_of_their_own():
    text = board("..s/.##/@.r")
    level = LINE.from_text(text)
    assert LINE.to_text(level) == text
    assert level.yellow == level.line and level.gem == 15 * 15 - 13


def test_shape_and_color_part_in_the_symbols():
    """Channels that each object marks beside the wall's and the mouse's."""
    looks = {  # line, gem, star, red, yellow
        "..l/.##/@..": {"l": "10001"},
        "..l/.##/@.g": {"l": "10010", "g": "01001"},
        "..s/.##/@.r": {"s": "00101", "r": "01010"},
    }
    for text, expected in looks.items():
        level = LINE.from_text(board(text))
        seen = np.asarray(look(LINE, level)[0])
        letters = np.array([list(row) for row in board(text).split()])
        np.testing.assert_array_equal(seen[..., 0], letters == "#")
        np.testing.assert_array_equal(seen[..., 1], letters == "@")
        for letter, channels in expected.items():
            assert "".join(map(str, seen[letters == letter][0, 2:].astype(int))) == channels
        assert seen[..., 2:].any(-1).sum() == len(expected)


def test_the_picture_shows_what_the_text_says():
    env, text = MazeLine(mode="easy", observation="rgb"), board("..l/.##/@.g")
    level = env.from_text(text)
    see = jit(env.observe)
    picture = np.asarray(see(level, env.reset(level))).astype(int)
    assert picture.shape == (64, 64, 3)
    centers = ((np.arange(15) + 0.5) * 64 / 15).astype(int)
    tiles = picture[centers][:, centers]
    letters = np.array([list(row) for row in text.split()])
    red, green, blue = tiles[letters == "l"][0]
    assert red > 150 and max(green, blue) < 100
    red, green, blue = tiles[letters == "g"][0]
    assert min(red, green) > 150 and blue < 100
    assert tiles[letters == "#"].max() < 140 < tiles[letters == "."].min()
    other = jit(env.step)(level, env.reset(level), jnp.asarray(0))
    moved = np.abs(np.asarray(see(level, other)).astype(int) - picture).any(-1)
    rows, columns = np.nonzero(moved)
    assert rows.min() >= 13 * 64 // 15 and columns.max() <= 64 // 15 + 1


def test_in_memory_mode_the_picture_is_centered_on_the_mouse():
    env = Maze(mode="memory", observation="rgb")

    @jit
    def draw(words: Any) -> Any:
        level = env.generate(words, "maze_fixed_size")
        return level.walls, env.observe(level, env.reset(level))

    words = np.random.default_rng(0).integers(0, 2**32, env.num_words, dtype=np.uint32)
    walls, picture = draw(words)
    picture = np.asarray(picture).astype(int)
    # The mouse's tile is the 8 pixels in the middle; the world's walls are below and to the left.
    slate = np.ptp(picture, axis=-1) + picture.max(-1)
    assert (slate[36:] < 180).all() and (slate[:, :28] < 180).all()
    tiles = picture[:36, 28:][::8, ::8].max(-1)
    rows = 30 - np.arange(5)[::-1]
    np.testing.assert_array_equal(tiles[:-1, 1:] < 140, np.asarray(walls)[rows, :5][:-1, 1:])


@over_both
def test_reports_draw_every_look(env):
    _, tiles, drawn = jax.device_get(look(env, level_of(env.deploy_game)))
    assert drawn.shape == (17 * 8, 17 * 8, 3)
    atlas = env.sprites(8)
    for row, column in ((0, 0), (8, 8), *np.argwhere(tiles[1:-1] > 1)):
        row, column = (row + 1, column) if (row, column) not in ((0, 0), (8, 8)) else (row, column)
        block = drawn[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        np.testing.assert_array_equal(block, atlas[tiles[row, column]])
    assert set(env.looks) <= set(range(len(atlas)))


def test_an_environment_is_its_fields():
    """As run folders write it down and read it again."""
    for env in (Maze(mode="easy", region=2, num_levels=5), MazeLine(mode="memory", observation="rgb")):
        fields = {field.name: getattr(env, field.name) for field in dataclasses.fields(env)}
        assert type(env)(**fields) == env and env.size == {"easy": 15, "memory": 31}[env.mode]


# -- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Maze(mode="hrd"), "unknown mode 'hrd'; did you mean hard?"),
        (lambda: Maze(mode="x"), "unknown mode 'x'; expected one of .*easy, hard, memory"),
        (lambda: Maze(observation="rbg"), "unknown observation 'rbg'; did you mean rgb?"),
        (lambda: Maze(region=-1), "region is -1; expected 0"),
        (lambda: Maze(num_levels=-1), "num_levels is -1; expected 0"),
        (lambda: Maze(start_level=-1), "level seed is -1"),
        (lambda: Maze(max_steps=0), "max_steps is 0; expected 1 to 10000"),
        (lambda: EASY.generate(jnp.zeros(9, jnp.uint32), "mze"), "unknown game 'mze'; .* maze?"),
        (lambda: LINE.generate(jnp.zeros(9, jnp.uint32), "maze"), "unknown game 'maze'; .*yellowline"),
        (lambda: LINE.from_text(board("g.l/.##/@.g")), r"2 gems \('g'\); expected at most 1"),
        (lambda: LINE.from_text(board("..s/.##/@..")), r"beside a yellow star \('s'\) is a red gem"),
        (lambda: LINE.from_text(board("..l/.##/@.x")), "line 15, column 3: unknown letter 'x'"),
        (lambda: EASY.from_text("@c\n"), "line 1: the level has 1 lines, the board 15"),
    ],
)
def test_mistakes_are_told_in_one_line(make, message):
    with pytest.raises(UsageError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)
