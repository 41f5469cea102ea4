"""Keys and Chests: the recorded levels and episodes of Procgen's, the rules written down a second time,
the reference player.

The recordings lie beside the project, not in it; without them only their tests are skipped.
"""

import functools
import math
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

from goalgap.agents.scripted import Random
from goalgap.core import UsageError, tree_index
from goalgap.envs import sprites
from goalgap.envs.procgen.game import GameLevels
from goalgap.envs.procgen.heist import Heist
from goalgap.envs.procgen.heist_doors import HeistDoors
from goalgap.envs.procgen.heist_levels import CHEST, KEY, MANY_CHESTS, MANY_KEYS, NOTHING, scatter
from goalgap.envs.procgen.random_words import Draws, twister
from goalgap.original import heist as parity
from goalgap.rollout import episodes

RECORDINGS = Path(__file__).resolve().parents[2] / "shared/data/procgen"
FILES = sorted(path.stem for path in RECORDINGS.glob("*heist*.npz"))
FAST = {
    "levels_fork_heist_aisc_many_keys_hard",
    "levels_up_heist_easy",
    "traj_fork_heist_aisc_many_chests_hard_kp1_sp1",
    "traj_up_heist_easy",
}
EASY, HARD = Heist(mode="easy"), Heist()
COUNT = 64
# A minute of compilation. By default, test_envs.py has the contract and test_parity.py golden episodes.
pytestmark = pytest.mark.slow

ACTIONS = {name: number for number, name in enumerate(Heist.action_names)}


@functools.partial(jit, static_argnums=2)
def batch(levels: Any, seed: int = 0, count: int = COUNT) -> Any:
    return jax.vmap(levels.sample)(jax.random.split(jax.random.key(seed), count))


@functools.cache
def levels_of(env: Heist, game: str) -> Any:
    return jax.device_get(batch(GameLevels(env, game)))


def level_of(env: Heist, game: str, index: int = 0) -> Any:
    return jax.device_put(tree_index(levels_of(env, game), index))


def corridor(text: str) -> Any:
    """An easy level whose second row from the bottom is given, all else wall."""
    rows = ["#########"] * 7 + [text.ljust(9, "#")] + ["#########"]
    return EASY.from_text("\n".join(rows))


LONGEST = 150  # steps of a walk; all are compiled as one of this length


def play(level: Any, actions: Any, env: Heist = EASY) -> Any:
    """The states on the way, the start included; nothing ends."""
    padded = jnp.pad(actions, (0, LONGEST - len(actions)), constant_values=ACTIONS["none"])
    return tree_index(walk(level, padded, env), slice(len(actions) + 1))


@jit
def walk(level: Any, actions: Any, env: Heist) -> Any:

    def step(state: Any, action: Any) -> tuple[Any, Any]:
        state = env.step(level, state, action)
        return state, state

    start = env.reset(level)
    _, states = jax.lax.scan(step, start, actions)
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start, states)


def moves(*names: str) -> Any:
    return jnp.array([ACTIONS[name] for name in names])


# -- Procgen's own ------------------------------------------------------------------------------------


@pytest.mark.skipif(not FILES, reason="the recordings are not beside the project")
@pytest.mark.parametrize(
    "stem", [pytest.param(s, marks=() if s in FAST else pytest.mark.slow) for s in FILES]
)
def test_recorded_levels_and_episodes_come_out_alike(stem):
    found = re.fullmatch(r"(levels|traj)_(?:fork|up)_(heist\w*?)_(easy|hard)(?:_kp(\d)_sp(\d))?", stem)
    assert found
    kind, game, mode, *penalties = found.groups()
    names = ("key_penalty", "step_penalty")
    options = {name: int(value) for name, value in zip(names, penalties, strict=True) if value}
    recorded = np.load(RECORDINGS / f"{stem}.npz")
    if kind == "levels":
        ours = parity.levels(game, mode, options, recorded["seed"])
        assert set(ours) == set(recorded)
    else:
        ours = parity.replay(game, mode, options, recorded["seed"], recorded["action"])
        assert set(recorded) - set(ours) == {"seed", "policy", "action", "flags"}
    for name, values in ours.items():
        assert values.dtype == recorded[name].dtype, name
        if name == "agent":  # compilers may round products once or twice
            np.testing.assert_allclose(values, recorded[name], rtol=0, atol=1e-4)
        else:
            np.testing.assert_array_equal(values, recorded[name], err_msg=name)


SEED_1 = """\
...#...##
k###.####
.#k..c.##
.#@######
.#.c..c##
.#####.##
.ccc..k##
#########
#########
"""


def test_a_level_seed_gives_the_engines_level():
    """Known from the recordings: level seed 1 of many chests."""
    level = jit(lambda words: EASY.generate(words, MANY_CHESTS))(twister(1, EASY.num_words))
    assert EASY.to_text(level) == SEED_1
    assert level.background == 5 and level.background_x == np.float32(0.417022)


def test_episodes_in_the_recordings_format_end_at_the_time_limit():
    actions = np.full((1, 1001), 4)  # nobody moves
    found = parity.replay(MANY_KEYS, "easy", {"step_penalty": 2}, np.array([0]), actions)
    np.testing.assert_array_equal(np.flatnonzero(found["first"]), [999])
    assert not found["level_complete"].any()
    np.testing.assert_allclose(found["reward"], -0.002)
    assert found["cur_time"][0, 999:].tolist() == [999, 0, 1]


# -- levels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("env", "most"), [(EASY, 4), (HARD, 6)], ids=["easy", "hard"])
@pytest.mark.parametrize("game", [MANY_CHESTS, MANY_KEYS])
def test_levels_are_mazes_with_objects_off_the_dead_ends(env, most, game):
    levels = levels_of(env, game)
    keys, chests = ((levels.kinds == kind).sum(-1) for kind in (KEY, CHEST))
    few, many = (keys, chests) if game == MANY_CHESTS else (chests, keys)
    np.testing.assert_array_equal(many, 2 * few)
    assert set(few) == set(range(1, most + 1))
    for index in range(COUNT):
        level = tree_index(levels, index)
        free = np.argwhere(~level.walls)
        beside = abs(free[:, None] - free).sum(-1) == 1
        assert beside.sum() // 2 == len(free) - 1, "a tree"
        there = level.kinds != NOTHING
        tiles = np.floor(level.places[there]).astype(int)[:, ::-1]
        assert len(np.unique(tiles, axis=0)) == there.sum()
        at = [int(np.flatnonzero((free == tile).all(1))[0]) for tile in tiles]
        assert (beside[at].sum(1) >= 2).all()
        assert there[: there.sum()].all() and (np.diff(tiles[:, 1] * 99 + tiles[:, 0]) > 0).all()
        start = np.floor(level.start[::-1])
        assert (free == start).all(1).any() and not (tiles == start).all(1).any()
        offset = level.places[there] - tiles[:, ::-1] - 0.5
        loose = level.kinds[there] == KEY
        assert (abs(offset) <= 0.125).all() and (offset[~loose] == 0).all() and offset[loose].all()


def test_what_finds_no_cell_is_left_out():
    """As in the engine: all cells are then taken in their order, and no word is drawn."""
    is_open = jnp.zeros((9, 9), bool).at[4, 2:7].set(True)
    draws = Draws(jnp.arange(9, dtype=jnp.uint32), 7)
    plan = scatter(MANY_CHESTS, 9)(draws, is_open, jnp.asarray(1))
    assert plan.cells[:3].tolist() == [39, 40, 41] and (plan.cells[3:] == -1).all()
    assert plan.kinds[:3].tolist() == [CHEST] * 3 and (plan.kinds[3:] == NOTHING).all()
    assert plan.agent == 42 and draws.at == 8


def test_ties_are_broken_by_chance():
    words = np.asarray(levels_of(EASY, MANY_KEYS).ties)
    share = np.unpackbits(words.view(np.uint8)).mean()
    assert abs(share - 1000 / 1024 / 2) < 4 * 0.5 / words.size**0.5 / 32**0.5


def test_numbered_levels_are_those_of_their_seeds():
    levels = batch(Heist(mode="easy", num_levels=3, start_level=7).shift().train)
    seeds = jnp.arange(7, 10)
    alone = jit(jax.vmap(lambda s: EASY.generate(twister(s, EASY.num_words), MANY_CHESTS)))(seeds)
    hashes = jit(jax.vmap(EASY.level_hash))
    assert len(np.unique(hashes(levels), axis=0)) == 3
    np.testing.assert_array_equal(np.unique(hashes(levels), axis=0), np.unique(hashes(alone), axis=0))


def test_the_shift_exchanges_the_counts_and_the_twin_exchanges_them_back():
    train, deploy = EASY.shift(alpha=0.0)
    is_distinguishing = jit(jax.vmap(EASY.is_distinguishing))
    assert not is_distinguishing(batch(train)).any() and is_distinguishing(batch(deploy)).all()
    share = is_distinguishing(batch(EASY.shift(alpha=0.25).train, 0, 1024)).mean()
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / 1024) ** 0.5
    levels = levels_of(EASY, MANY_KEYS)
    twins = jit(jax.vmap(EASY.twin))(levels)
    assert not is_distinguishing(twins).any()
    np.testing.assert_array_equal(levels.walls, twins.walls)
    np.testing.assert_array_equal(levels.kinds == KEY, twins.kinds == CHEST)
    np.testing.assert_array_equal(levels.kinds == CHEST, twins.kinds == KEY)
    np.testing.assert_array_equal(np.floor(levels.places), np.floor(twins.places))
    jax.tree.map(np.testing.assert_array_equal, twins, jit(jax.vmap(EASY.twin))(twins))
    hashes = [jit(jax.vmap(EASY.layout_hash))(some) for some in (levels, twins)]
    np.testing.assert_array_equal(*hashes)
    whole = [jit(jax.vmap(EASY.level_hash))(some) for some in (levels, twins)]
    assert (whole[0] != whole[1]).any(1).all()


def test_splay_starts_on_every_free_tile():
    level = level_of(EASY, MANY_KEYS, 3)
    starts, legal = jit(EASY.splay)(level)
    text = EASY.to_text(level).replace("\n", "")
    assert [letter in ".@" for letter in text] == np.asarray(legal).tolist()
    again = tree_index(starts, int(np.flatnonzero(legal)[-1]))
    assert EASY.to_text(again).replace("\n", "").index("@") == np.flatnonzero(legal)[-1]
    np.testing.assert_array_equal(again.places, level.places)


@hypothesis.given(seed=strategies.integers(0, 2**31 - 1), game=strategies.sampled_from(Heist.games))
def test_text_round_trips(seed, game):
    level = tree_index(batch(GameLevels(EASY, game), seed, 1), 0)
    text = EASY.to_text(level)
    again = EASY.from_text(text)
    assert EASY.to_text(again) == text
    for name in ("walls", "start", "kinds"):
        np.testing.assert_array_equal(getattr(level, name), getattr(again, name))
    np.testing.assert_array_equal(np.floor(level.places), np.floor(again.places))


# -- the rules ----------------------------------------------------------------------------------------


def retold(level: Any, actions: Any) -> tuple[Any, list[list[int]]]:
    """The rules of `procgen-mechanics`, once more and step by step: places, and what is left."""
    x, y = (float(number) for number in level.start)
    vx = vy = 0.0
    left, held = [int(i) for i in np.flatnonzero(level.kinds)], 0
    places, remains = [[x, y]], [list(left)]

    def solid(x: float, y: float) -> bool:
        column, row = math.floor(x), math.floor(y)
        inside = 0 <= column < EASY.size and 0 <= row < EASY.size
        return not inside or bool(level.walls[row, column])

    def shove(x: float, y: float, dx: float, dy: float) -> tuple[float, float, bool]:
        x, y, reach = x + dx, y + dy, 0.375 * 0.98
        if not any(solid(x + i * reach, y + j * reach) for i in (-1, 1) for j in (-1, 1)):
            return x, y, False
        ahead, back = lambda e: math.floor(e + 0.375) - 0.375, lambda e: math.ceil(e - 0.375) + 0.375
        if dx:
            return (ahead(x) if dx > 0 else back(x)), y, True
        return x, (ahead(y) if dy > 0 else back(y)), True

    for time, action in enumerate(actions):
        dx, dy = int(action) // 3 - 1, int(action) % 3 - 1
        vx, vy = 0.9 * (0.5 * vx + 0.375 * dx), 0.9 * (0.5 * vy + 0.375 * dy)
        bit = int(level.ties[time // 32]) >> (time % 32) & 1
        x_first = bit == 0 if math.isclose(abs(vx), abs(vy)) else abs(vx) > abs(vy)
        x_first = False if dy else True if dx else x_first
        free_x = free_y = 0
        for _ in range(4):
            for axis in "xy" if x_first else "yx":
                if axis == "x":
                    x, y, hit_x = shove(x, y, vx / 4, 0)
                else:
                    x, y, hit_y = shove(x, y, 0, vy / 4)
            free_x, free_y = free_x + (not hit_x), free_y + (not hit_y)
            if hit_x and hit_y:
                break
        vx, vy = vx * free_x / 4, vy * free_y / 4
        for index in reversed(list(left)):
            is_key = level.kinds[index] == KEY
            reach_x, reach_y = (0.75, 0.375 + 0.375 * 52 / 84) if is_key else (0.875, 0.875)
            px, py = level.places[index]
            if abs(x - px) < reach_x and abs(y - py) < reach_y and (is_key or held):
                held += 1 if is_key else -1
                left.remove(index)
        places.append([x, y])
        remains.append(list(left))
    return places, remains


@pytest.mark.parametrize("index", range(8))
def test_the_rules_written_down_a_second_time_say_the_same(index):
    level = level_of(EASY, MANY_KEYS, index)
    random = np.random.default_rng(index)
    actions = np.repeat(random.integers(0, 9, 75), 2)
    states = jax.device_get(play(level, jnp.asarray(actions)))
    places, remains = retold(jax.device_get(level), actions)
    np.testing.assert_allclose(states.position, places, atol=1e-4)
    there = np.asarray(level.kinds) != NOTHING
    assert [np.flatnonzero(~gone & there).tolist() for gone in states.gone] == remains


def test_steady_speed_and_the_way_to_a_halt():
    states = play(corridor("@.....k.c"), moves(*["right"] * 8, *["none"] * 4))
    speed = np.asarray(states.velocity)[:, 0]
    np.testing.assert_allclose(speed[8], 27 / 44, rtol=0.01)
    np.testing.assert_allclose(speed[9:] / speed[8:-1], 0.45, rtol=1e-5)


def total(goal: Any, level: Any, states: Any) -> float:
    """What an episode pays."""
    length = states.time.shape[0] - 1
    steps = zip(
        (tree_index(states, t) for t in range(length)),
        (tree_index(states, t + 1) for t in range(length)),
        strict=True,
    )
    return sum(float(goal.reward(level, before, jnp.asarray(4), after)) for before, after in steps)


def test_keys_are_collected_and_chests_open_for_a_key():
    level = corridor("c.@.k...c")
    states = play(level, moves(*["left"] * 6, *["right"] * 14))
    held = np.asarray(jax.vmap(lambda s: s.held(level))(states))
    opened = np.asarray(jax.vmap(lambda s: s.opened(level))(states))
    assert held[6] == 0 and opened[6] == 0, "no key, no chest"
    assert held.max() == 1 and opened[-1] == 1 and held[-1] == 0
    over = np.asarray(jax.vmap(lambda s: EASY.is_terminal(level, s))(states))
    np.testing.assert_array_equal(over, opened == 1)
    np.testing.assert_allclose([total(g, level, states) for g in EASY.goals], [1, 1.01], rtol=1e-5)
    extras = EASY.extras(level, tree_index(states, -1))
    assert extras == {"keys_beyond_need": 0, "chests_opened": 1}


def test_penalties_are_the_engines():
    env = Heist(mode="easy", key_penalty=2, step_penalty=5)
    goal, level = env.intended, corridor("@..k.k..c")
    states = play(level, moves(*["right"] * 16))
    # Sixteen steps, two keys, one chest in a step of its own.
    assert total(goal, level, states) == pytest.approx(1 - 2 * 0.2 - 16 * 0.005)


@pytest.mark.parametrize(("order", "held", "pays"), [("kc", 1, -0.2), ("ck", 0, 1.0)])
def test_objects_are_touched_from_the_last_to_the_first(order, held, pays):
    """With both in reach, a chest opens only for a key that comes after it, and forgives its penalty."""
    env, level = Heist(mode="easy", key_penalty=2), corridor(f"@.{order}.....")
    level = eqx.tree_at(lambda tree: tree.places, level, level.places.at[:2].set(level.start))
    start = env.reset(level)
    after = tree_index(play(level, moves("none")), -1)
    assert after.held(level) == held and after.opened(level) == 1 - held
    assert float(env.intended.reward(level, start, jnp.asarray(4), after)) == pytest.approx(pays)


def test_the_levels_bits_break_ties():
    """At equal speeds, one axis goes first around a corner, then the other is blocked."""
    text = "\n".join(["#########"] * 6 + ["..#######", ".@.######", "c.k######"])
    level = EASY.from_text(text)
    level = eqx.tree_at(lambda tree: tree.start, level, jnp.array([1.22, 1.22]))
    for bits, ahead in ((0, 0), (2**32 - 1, 1)):
        tied = eqx.tree_at(lambda tree: tree.ties, level, jnp.full_like(level.ties, bits))
        end = play(tied, moves("right and up", "none")).position[-1]
        assert int(jnp.argmax(end)) == ahead and end[1 - ahead] == 1.625


@hypothesis.given(seed=strategies.integers(0, 2**31 - 1))
def test_the_agent_stays_out_of_walls_and_counts_are_kept(seed):
    level = tree_index(batch(GameLevels(EASY, MANY_KEYS), seed, 1), 0)
    actions = jnp.repeat(jax.random.randint(jax.random.key(seed), (50,), 0, 9), 3)
    states = jax.device_get(play(level, actions))
    walls = np.pad(np.asarray(level.walls), 1, constant_values=True)
    for x in (-1, 1):
        for y in (-1, 1):
            tiles = np.floor(states.position + 0.98 * 0.375 * np.array([x, y])).astype(int) + 1
            assert not walls[tiles[:, 1], tiles[:, 0]].any()
    assert (states.gone[1:] >= states.gone[:-1]).all()
    assert (np.asarray(jax.vmap(lambda s: s.held(level))(states)) >= 0).all()


def test_a_door_blocks_until_its_key_is_held():
    env = HeistDoors(mode="easy")
    for text, end in (("@.c.k....", 1.625), ("@k.c.....", 8.625)):
        states = play(corridor(text), moves(*["right"] * 20), env)
        assert float(states.position[-1, 0]) == end


# -- observations -------------------------------------------------------------------------------------


def test_the_symbolic_observation_shows_what_is_there():
    level = corridor("@.k...c..")
    states = play(level, moves(*["right"] * 4))
    seen = np.asarray(jit(jax.vmap(EASY.observe, (None, 0)))(level, states))
    assert seen.shape == (5, 9, 9, 6)
    walls, agent, keys, chests, held, motion = np.moveaxis(seen, -1, 0)
    assert (walls[0].sum(), keys[0, 7].tolist().index(True), chests[0, 7].tolist().index(True)) == (
        72,
        2,
        6,
    )
    tiles = np.floor(states.position[:, 0]).astype(int)
    np.testing.assert_array_equal(agent[:, 7].argmax(-1), tiles)
    assert not keys[-1].any() and held[-1, 0].tolist() == [False] * 8 + [True] and held[-1].sum() == 1
    bits = motion.reshape(5, -1)[:, :16].reshape(5, 4, 4).sum(-1)
    fifths = np.floor(states.position % 1 * 5).astype(int)
    np.testing.assert_array_equal(bits[:, :2], fifths)
    assert bits[0, 2:].tolist() == [2, 2] and bits[-1, 2:].tolist() == [4, 2]
    assert not motion.reshape(5, -1)[:, 16:].any()


@pytest.mark.parametrize("mode", ["easy", pytest.param("hard", marks=pytest.mark.slow), "memory"])
def test_pictures_show_the_agent_where_it_is(mode):
    """Where two pictures of one level differ, one of the two agents is, or a key that is held."""
    env = Heist(mode=mode, observation="rgb")
    level = tree_index(batch(env.shift().train, 0, 1), 0)
    start = env.reset(level)
    after = eqx.tree_at(lambda tree: tree.position, start, start.position + 0.4)
    one, other = (np.asarray(jit(env.observe)(level, state)) for state in (start, after))
    assert one.shape == (64, 64, 3) and one.dtype == np.uint8
    rows, columns = np.nonzero((one != other).any(-1))
    assert rows.size
    if mode == "memory":  # the agent stays in the middle, the world moves
        np.testing.assert_array_equal(one[31:33, 31:33], other[31:33, 31:33])
    else:
        unit = 64 / env.size
        x, y = unit * np.asarray(start.position), unit * np.asarray(after.position)
        assert x[0] - unit / 2 <= columns.min() and columns.max() <= y[0] + unit / 2
        assert 64 - y[1] - unit / 2 <= rows.min() and rows.max() <= 64 - x[1] + unit / 2


def test_pictures_show_keys_chests_and_what_is_held():
    env = Heist(mode="easy", observation="rgb")
    level = corridor("@.k...c..")
    states = play(level, moves(*["right"] * 3))
    first, last = (np.asarray(jit(env.observe)(level, tree_index(states, t))) for t in (0, -1))
    changed = (first != last).any(-1)
    unit = 64 / 9
    key, chest = changed[:, round(2.2 * unit) : round(2.8 * unit)], changed[:, round(6 * unit) :]
    assert key[50:57].any() and not chest[10:].any()
    gold = tuple(bytes.fromhex(sprites.GOLD[1:]))
    assert (last[0, -4:] == gold).all(-1).sum() == 3 and not (first[0, -4:] == gold).all(-1).any()


def test_the_board_shows_the_world_between_walls():
    level = corridor("@.k...c..")
    states = play(level, moves(*["right"] * 3))
    board = np.asarray(EASY.board(level, tree_index(states, 0)))
    assert board.shape == (11, 11) and (board[[0, -1]] == sprites.WALL).all()
    row = [sprites.NAMES[look] for look in board[8, 1:-1]]
    floor = ["floor"]
    assert row == ["mouse", "floor", "key", *floor * 3, "chest", *floor * 2]
    later = np.asarray(EASY.board(level, tree_index(states, -1)))
    assert later[0].tolist() == [sprites.WALL] * 10 + [sprites.KEY_ON_WALL]
    assert EASY.rgb(level, EASY.reset(level)).shape == (88, 88, 3)


# -- players ------------------------------------------------------------------------------------------


@functools.cache
def played(goal: str, game: str) -> Any:
    env = Heist(mode="easy", max_steps=300)
    levels = batch(GameLevels(env, game), 5, 128)
    goals = {goal.name: goal for goal in env.goals}
    policy = env.reference(goals[goal]) if goal in goals else Random(env.num_actions)
    context = policy.prepare(env, levels)
    run = jit(lambda levels, context: episodes(env, policy, levels, jax.random.key(0), 1.0, context)[0])
    return jax.device_get((levels.num_keys - levels.num_openable, run(levels, context)))


@pytest.mark.parametrize("game", Heist.games)
@pytest.mark.parametrize("goal", ["chests", "keys"])
def test_the_reference_player_finishes_all_levels_well_in_time(goal, game):
    _, outcome = played(goal, game)
    assert outcome.terminated.all() and outcome.length.max() < 200
    assert (outcome.event_step[:, 0] == outcome.length).all()


def test_players_of_the_two_goals_come_apart_after_the_shift_only():
    useless, chests = played("chests", MANY_KEYS)
    _, keys = played("keys", MANY_KEYS)
    share = [outcome.extras["keys_beyond_need"].sum() / useless.sum() for outcome in (chests, keys)]
    assert share[0] < 0.35 and share[1] > 0.85
    assert keys.length.mean() > 1.2 * chests.length.mean()
    for goal in ("chests", "keys"):
        assert not played(goal, MANY_CHESTS)[1].extras["keys_beyond_need"].any()


def test_random_play_finishes_few_levels():
    _, outcome = played("random", MANY_KEYS)
    assert 0.02 < outcome.terminated.mean() < 0.5
    np.testing.assert_array_equal(outcome.length[~outcome.terminated], 300)


# -- mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "esay"}, "unknown mode 'esay'; did you mean easy"),
        ({"observation": "rbg"}, "unknown observation 'rbg'; did you mean rgb"),
        ({"max_steps": 0}, "max_steps is 0; expected 1 to 10000"),
        ({"key_penalty": -1}, "key_penalty is -1; expected a whole number from 0 up"),
        ({"step_penalty": True}, "step_penalty is True; expected a whole number"),
        ({"num_levels": -1}, "num_levels is -1; expected 0"),
        ({"start_level": -1}, "level seed is -1; Procgen's are whole numbers from 0 to"),
        ({"start_level": 2**31 - 2, "num_levels": 2}, "level seed is 2147483647"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Heist(**options)


def test_unknown_games_are_refused():
    with pytest.raises(UsageError, match="unknown game 'heist'; expected one of heist_aisc_many_chests"):
        EASY.generate(twister(0, EASY.num_words), "heist")
    with pytest.raises(UsageError, match="heist-doors has no shift; use heist"):
        HeistDoors().shift()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("@..k..c.x", r"line 8, column 9: unknown letter 'x'; known: # \. @ k c"),
        ("@..k..c...", "line 8, column 10: the line has 10 letters, the world of mode easy 9"),
        ("...k..c..", "the level has 0 of '@'; expected exactly 1"),
        ("@..k..c.@", "the level has 2 of '@'; expected exactly 1"),
        ("@.....c..", "the level has 0 of 'k'; expected at least 1"),
        ("@..k..c..\n@kkkkcccc", "line 10: the level has 10 lines, the world of mode easy 9; add or"),
    ],
)
def test_text_that_is_no_level_is_refused(row, message):
    with pytest.raises(UsageError, match=message):
        corridor(row)


def test_text_with_too_many_objects_is_refused():
    rows = ["#########"] * 7 + ["@kkkkkkkk", "ccccc####"]
    with pytest.raises(UsageError, match="the level has 13 keys and chests; mode easy holds at most 12"):
        EASY.from_text("\n".join(rows))
