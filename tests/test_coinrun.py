"""CoinRun: known jumps, the agent's rules told a second time, known statistics, who plays it how well.

Levels are those of Procgen's level seeds 0 to 3999, whose statistics are known. Recorded levels and
episodes are compared elsewhere, with those of the other games.
"""

import functools
from typing import Any

import equinox as eqx
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies
from jax import jit

from goalgap.core import UsageError, tree_index
from goalgap.envs.procgen import coinrun_levels, coinrun_player
from goalgap.envs.procgen import coinrun_sprites as sprites
from goalgap.envs.procgen.coinrun import CoinRun
from goalgap.envs.procgen.coinrun_levels import CRATE, NOTHING, SAW, WALKER
from goalgap.envs.procgen.coinrun_picture import PLANES, VIEW
from goalgap.envs.procgen.random_words import twister
from goalgap.measure.verdict import twin_solved
from goalgap.rollout import episodes

HARD = CoinRun()
ACTIONS = {name: number for number, name in enumerate(CoinRun.action_names)}
ROWS, STEPS = 16, 120  # of all play, so that it is compiled once
TALL = np.float32(0.5787)  # half the agent's height


@functools.cache
def made(easy: bool) -> dict[str, Any]:
    """Drafts and levels of the seeds 0 to 3999 in both games, out of one program."""

    def build(seed: Any) -> dict[str, Any]:
        words = twister(seed, HARD.num_words)
        drafts = {game: coinrun_levels.draft(words, game, easy) for game in ("coinrun", "coinrun_aisc")}
        return {game: (draft, coinrun_levels.build(draft)) for game, draft in drafts.items()}

    return jax.device_get(jit(jax.vmap(build))(np.arange(4000)))


def drawn(game: str, easy: bool = False) -> Any:
    """Drafts and levels of the seeds 0 to 3999."""
    return made(easy)[game]


def moved(*numbers: int) -> Any:
    """Levels with the coin on the way, by their seeds."""
    return tree_index(drawn("coinrun_aisc")[1], np.array(numbers))


def one(levels: Any, index: Any) -> Any:
    """A row of what came from the device, back on it."""
    return jax.device_put(tree_index(levels, index))


@jit
def run(levels: Any, actions: Any) -> Any:
    """The states on the way, [rows, steps + 1]; nothing ends. Then whether the goals are achieved."""

    def follow(level: Any, actions: Any) -> Any:
        def step(state: Any, action: Any) -> tuple[Any, Any]:
            state = HARD.step(level, state, action)
            return state, state

        start = HARD.reset(level)
        _, states = jax.lax.scan(step, start, actions)
        states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start, states)
        return states, [
            jax.vmap(lambda s, g=g: g.is_achieved(level, s, jnp.asarray(0)))(states) for g in HARD.goals
        ]

    return jax.vmap(follow)(levels, actions)


def play(levels: Any, actions: np.ndarray) -> Any:
    """`run` for up to as many levels and steps as it is compiled for."""
    count, steps = actions.shape
    rows = np.arange(ROWS) % count
    padded = np.pad(actions[rows], ((0, 0), (0, STEPS - steps)), constant_values=ACTIONS["none"])
    levels = tree_index(jax.device_get(levels), rows)
    return tree_index(jax.device_get(run(levels, padded)), np.s_[:count, : steps + 1])


def watch(level: Any, *names: str) -> Any:
    """Play one level."""
    alone = jax.tree.map(lambda leaf: np.asarray(leaf)[None], level)
    return tree_index(play(alone, np.array([[ACTIONS[name] for name in names]])), 0)


def ground(row: str, *above: str) -> str:
    """A level: flat ground, the row on it, and rows above without the wall, the lowest first."""
    rows = ["#" * len(row), row, *("#" + line.ljust(len(row) - 1, ".") for line in above)]
    return "\n".join(rows[::-1]) + "\n"


PLAIN = ground("#@" + 50 * "." + "o")


# -- the agent's motion -------------------------------------------------------------------------------


def test_a_standing_jump_is_the_known_one():
    states, _ = watch(HARD.from_text(PLAIN), "up", *["none"] * 16)
    height = states.body.y - 1 - TALL
    rise = [0, 1.5, 2.8, 3.9, 4.8, 5.5, 6.0, 6.3, 6.4]
    np.testing.assert_allclose(height[:9], rise, atol=1e-5)
    np.testing.assert_allclose(height[8:17], rise[::-1], atol=1e-5)
    np.testing.assert_allclose(height[16:], 0, atol=1e-6, err_msg="back on the ground")
    # Who holds the button jumps again, one step after the landing.
    states, _ = watch(HARD.from_text(PLAIN), *["up"] * 19)
    np.testing.assert_array_equal(np.flatnonzero(states.body.vy == 1.5), [1, 18])


def test_running_takes_up_speed_and_brakes_as_known():
    names = ["right"] * 30 + ["none"] * 10
    states, _ = watch(HARD.from_text(PLAIN), *names)
    speed = states.body.vx
    np.testing.assert_allclose(speed[:4], [0, 0.1, 0.18, 0.244], atol=1e-6)
    assert 0.499 < speed[30] < 0.5
    np.testing.assert_allclose(speed[31:37] / speed[30], 0.8 ** np.arange(1, 7), rtol=1e-5)
    assert speed[37] > 0 and not speed[38:].any(), "at rest after 8 steps"
    np.testing.assert_allclose(states.body.x, 1.5 + speed.cumsum(), rtol=1e-5)
    assert states.body.facing_right.all()


def test_in_the_air_a_command_adds_little_and_nothing_lifts():
    names = ["right"] * 30 + ["right and up"] + ["left and up"] * 5 + ["none"] * 5
    states, _ = watch(HARD.from_text(PLAIN), *names)
    speed = states.body.vx
    for step in range(32, 41):
        across = -0.015 if step <= 36 else 0.0
        assert speed[step] == pytest.approx(0.97 * speed[step - 1] + across, abs=1e-6)
    np.testing.assert_allclose(np.diff(states.body.vy[31:41]), -0.2, atol=1e-6)
    assert not states.body.facing_right[32:].any()


def retold(text: str, actions: np.ndarray) -> list[tuple[float, float, bool]]:
    """Where the agent is after each step and whether it is hurt, on a level without walkers."""
    rows, half = text.split()[::-1], np.float32(0.5)
    width = len(rows[0])

    def tile(x: Any, y: Any) -> str:
        x, y = int(np.floor(x)), int(np.floor(y))
        if y < 0 or not 0 < x < width:
            return "#"
        return rows[y][x] if y < len(rows) else "."

    def in_ground(x: Any, y: Any) -> bool:
        side, up = 0.98 * half, np.float32(0.98) * TALL
        return any(tile(x + i * side, y + j * up) == "#" for i in (-1, 1) for j in (-1, 1))

    crates, saws = (
        [
            (i + half, j + half)
            for j, row in enumerate(rows)
            for i, kind in enumerate(row)
            if kind == sort
        ]
        for sort in "x*"
    )
    x, y, vx, vy = np.float32(1.5), 1 + TALL, np.float32(0), np.float32(0)
    on_crate, found = False, []
    for action in actions:
        across, up = action // 3 - 1, action % 3 - 1
        feet = [tile(x + side, y - TALL - np.float32(0.01)) for side in (-0.49, 0.49)]
        stands = vy == 0 and (on_crate or "#" in feet)
        up = min(up, 0) if not stands else up
        rate = np.float32(0.2 if stands else 0.03)
        vx = (1 - rate) * vx + rate * half * across
        vx = np.float32(0 if abs(vx) < rate * half else vx)
        vy = np.float32(np.clip(vy + 0.2 * up * stands - 0.2, -1.5, 1.5) if up <= 0 else 1.5)
        num = max(4, int(4 * np.hypot(vx, vy)))
        x_first = up == 0 and (across != 0 or abs(vx) >= abs(vy))
        on_crate, began, free = False, y, {"x": 0, "y": 0}
        for _ in range(num):
            blocked = []
            for axis in ("x", "y") if x_first else ("y", "x"):
                hit = False
                if axis == "x" and vx:
                    x = x + vx / np.float32(num)
                    if hit := in_ground(x, y):
                        x = np.floor(x + half) - half if vx > 0 else np.ceil(x - half) + half
                if axis == "y":
                    y = y + vy / np.float32(num)
                    if hit := in_ground(x, y):
                        y = np.floor(y + TALL) - TALL if vy > 0 else np.ceil(y - TALL) + TALL
                    for i, j in crates:
                        inside = abs(x - i) < 0.999 and abs(y - j) < half + TALL - 0.001
                        if inside and vy < 0 <= up and began >= j + half + TALL:
                            y, vy, on_crate, hit = j + half + TALL, np.float32(0), True, True
                free[axis] += not hit
                blocked.append(hit)
            if all(blocked):
                break
        vx, vy = vx * np.float32(free["x"] / num), vy * np.float32(free["y"] / num)
        hurt = any(abs(x - i) < 1 and abs(y - j) < half + TALL for i, j in saws)
        corners = [(x + i, y + j) for i in (-0.499, 0, 0.499) for j in (0.001 - TALL, 0, TALL - 0.001)]
        found.append((float(x), float(y), hurt or any(tile(*corner) == "~" for corner in corners)))
    return found


@functools.cache
def without_walkers() -> tuple[list[str], Any]:
    """Texts with crates, saws and lava, and their levels."""
    texts = [HARD.to_text(one(drawn("coinrun")[1], index)) for index in range(80)]
    texts = [text.replace("<", ".").replace(">", ".") for text in texts]
    texts = [text for text in texts if sum(kind in text for kind in "x*~") >= 2][:ROWS]
    levels = [jax.device_get(HARD.from_text(text)) for text in texts]
    return texts, jax.tree.map(lambda *leaves: np.stack(leaves), *levels)


def sticky(seed: int) -> np.ndarray:
    """Actions held for a few steps each, mostly to the right."""
    random = np.random.default_rng(seed)
    held = random.choice(9, (ROWS, STEPS // 4), p=[0.02, 0.08, 0.1, 0.05, 0.05, 0.1, 0.1, 0.2, 0.3])
    return np.repeat(held, 4, 1)


@pytest.mark.parametrize("seed", range(2))
def test_the_rules_told_a_second_time_say_the_same(seed):
    texts, levels = without_walkers()
    actions = sticky(seed)
    states, _ = play(levels, actions)
    num_hurt = 0
    for row, text in enumerate(texts):
        body = tree_index(states.body, row)
        for step, (x, y, hurt) in enumerate(retold(text, actions[row]), 1):
            assert (body.x[step], body.y[step]) == pytest.approx((x, y), abs=1e-4), (row, step)
            assert states.is_hurt[row, step] == hurt
            num_hurt += hurt
    assert num_hurt > 20


@hypothesis.settings(max_examples=10)  # of 16 episodes of 120 steps each
@hypothesis.given(seed=strategies.integers(0, 2**31 - 1))
def test_the_agent_never_ends_a_step_in_the_ground(seed):
    numbers = np.random.default_rng(seed).integers(0, 4000, ROWS)
    levels = moved(*numbers)
    body = play(levels, sticky(seed))[0].body
    lanes = np.arange(ROWS)[:, None]
    for i in (-0.49, 0.49):
        for j in (-0.98, 0, 0.98):
            column, row = np.floor(body.x + i).astype(int), np.floor(body.y + j * TALL).astype(int)
            word = levels.tiles.solid[lanes, column]
            assert not (word >> np.clip(row, 0, 31).astype(np.uint32) & 1).any()
    assert (body.y >= 1).all() and (np.abs(body.vx) <= 0.5).all() and (np.abs(body.vy) <= 1.5).all()


def test_one_may_stand_on_crates_and_drop_through_them():
    level = HARD.from_text(ground("#@..x" + 10 * "." + "o", "...x"))
    up = ["right and up", *["right"] * 8, *["none"] * 12]
    on_top = 3 + TALL
    states, _ = watch(level, *up, "down", *["down"] * 8)
    assert states.body.y[21] == pytest.approx(on_top) and states.body.on_crate[21]
    assert states.body.y[-1] == 1 + TALL
    states, _ = watch(level, *up, "up", *["none"] * 20)  # crates bear a jump, and do not stop its rise
    assert states.body.y.max() == pytest.approx(on_top + 6.4) and states.body.y[-1] == on_top
    states, _ = watch(HARD.from_text(PLAIN), *["right"] * 20)
    beside, _ = watch(level, *["right"] * 20)
    np.testing.assert_array_equal(states.body.x[:15], beside.body.x[:15])


# -- what hurts, what ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("thing", ["*", "~", "x", "."])
def test_saws_and_lava_kill_on_contact_and_crates_do_not(thing):
    level = HARD.from_text(ground(f"#@...{thing}" + 10 * "." + "o"))
    states, _ = watch(level, *["right"] * 20)
    right = states.body.x + (0.499 if thing == "~" else 0.5)
    hurts = (right > 5) & (states.body.x - 0.5 < 6) & (thing in "*~")
    np.testing.assert_array_equal(states.is_hurt, hurts)
    state = one(states, int(np.argmax(hurts)))
    assert HARD.is_terminal(level, state) == (thing in "*~") == HARD.extras(level, state)["died"]


def test_walkers_pace_lose_speed_at_inner_ground_and_kill():
    """A wall of two tiles is ground inside at its foot, which costs a quarter of the speed; a barrier
    and the top of the ground cost nothing."""
    text = ground("#@...|..<....##...o", 12 * "." + "##")
    states, _ = watch(HARD.from_text(text), *["none"] * STEPS)
    x, vx = states.walker_x[:, 0], states.walker_vx[:, 0]
    turns = np.flatnonzero(np.diff(np.sign(vx)))
    assert len(turns) >= 3
    speeds = 0.15 * np.array([1, 1, 0.75, 0.75, 0.5625])[: len(turns) + 1]
    np.testing.assert_allclose(np.abs(vx[[*turns, -1]]), speeds, rtol=1e-5)
    assert 6.45 < x.min() < 6.7 and 12.3 < x.max() < 12.55 and not states.is_hurt.any()
    low = watch(HARD.from_text(ground("#@...|..<....#....o")), *["none"] * STEPS)[0]
    np.testing.assert_allclose(np.abs(low.walker_vx[:, 0]), 0.15, rtol=1e-6)
    near = watch(HARD.from_text(ground("#@..<.....o")), *["none"] * 40)[0]
    np.testing.assert_array_equal(near.is_hurt, np.abs(near.body.x - near.walker_x[:, 0]) < 1)
    assert near.is_hurt.any()


def test_the_coin_ends_the_episode_and_the_end_does_not():
    level = HARD.from_text(ground("#@....E", "", ".....o"))  # the coin hangs above the end
    states, (coin, end) = watch(level, *["right"] * 12, *["none"] * 12, "up", *["none"] * 4)
    assert end[12:25].all() and not coin[:25].any() and coin[25]
    for step in (24, 25):
        assert HARD.is_terminal(level, one(states, step)) == (step == 25)

    # Both pay for the first touch only.
    @jit
    def paid(states: Any) -> list[Any]:
        def step(memory: Any, now: Any, goal: Any) -> tuple[Any, Any]:
            reward, memory = goal.step(level, memory, now[0], jnp.asarray(0), now[1])
            return memory, reward

        pairs = tree_index(states, np.s_[:-1]), tree_index(states, np.s_[1:])
        return [
            jax.lax.scan(functools.partial(step, goal=goal), jnp.asarray(0), pairs)[1].sum()
            for goal in HARD.goals
        ]

    assert [float(total) for total in paid(states)] == [1, 1]


def test_episodes_may_go_on_after_the_coin():
    level = HARD.from_text(ground("#@..o.....E"))
    states, (coin, _) = watch(level, *["right"] * 40)
    state = one(states, int(np.argmax(coin)))
    assert HARD.is_terminal(level, state)
    assert not CoinRun(continue_after_coin=True).is_terminal(level, state)
    dead = eqx.tree_at(lambda tree: tree.is_hurt, state, jnp.asarray(True))
    assert CoinRun(continue_after_coin=True).is_terminal(level, dead)


def test_one_can_walk_on_through_a_permeable_wall():
    text = ground("#@..o.....E")
    solid, permeable = HARD.from_text(text), CoinRun(permeable=True).from_text(text)
    (stopped, (_, at_end)), (gone_on, (_, passed)) = (
        watch(level, *["right"] * 100) for level in (solid, permeable)
    )
    assert stopped.body.x[-1] == 10.5 and at_end[-1]
    np.testing.assert_array_equal(stopped.body.x[:20], gone_on.body.x[:20])
    # It stands on the floor of the world, a tile lower, and has ground again behind it: jump.
    assert gone_on.body.x[-1] == 25.5 and gone_on.body.y[-1] == TALL and passed.any() and not passed[-1]
    through, _ = watch(permeable, *["right"] * 60, *["right and up", *["right"] * 19] * 3)
    assert through.body.x[-1] > 40
    # It looks like a wall of 15 columns; the marker stays where it was.
    board = jit(lambda level: HARD.board(level, HARD.reset(level)))
    walled, open_ = (np.asarray(board(level))[:, 11:] for level in (solid, permeable))
    np.testing.assert_array_equal(walled[:, :15], open_[:, :15])
    assert (open_[:-1, 15:-1] == sprites.EMPTY).all()
    np.testing.assert_array_equal(solid.marker, permeable.marker)


def test_who_touches_the_marker_is_lucky():
    level = HARD.from_text(ground("#@..o.....E"))
    twin = HARD.twin(level)
    assert tuple(twin.marker) == (4, 1) and tuple(twin.coin) == (10, 1)
    states, _ = watch(twin, *["right"] * 30)
    touched = states.body.x + 0.499 >= 4
    np.testing.assert_array_equal(states.is_lucky, touched)
    assert HARD.extras(twin, one(states, -1))["lucky"]


def test_the_filter_drops_twins_that_were_solved_by_way_of_the_coins_place():
    table = {
        "split": np.full(4, "twin"), "env_steps": np.zeros(4), "seed": np.zeros(4),
        "event_coin": np.array([5, 5, -1, 7]), "lucky": np.array([False, True, False, True]),
    }  # fmt: skip
    np.testing.assert_array_equal(twin_solved(table, "coin"), [[True, False, False, False]])
    del table["lucky"]
    np.testing.assert_array_equal(twin_solved(table, "coin"), [[True, True, False, True]])


# -- levels -------------------------------------------------------------------------------------------

KNOWN = {  # end, coin, height of the coin; saws, walkers, crates a level; % with lava, % without hazard
    ("coinrun", False): (18.46, 18.46, 5.77, 1.34, 0.88, 3.52, 7.1, 39),
    ("coinrun", True): (18.60, 18.60, 5.85, 1.38, 0.47, 3.78, 7.9, 44),
    ("coinrun_aisc", False): (18.48, 9.28, 4.94, 1.38, 0.87, 3.59, 7.3, 40),
}


@pytest.mark.parametrize(
    ("game", "easy"),
    [pytest.param(*key, marks=pytest.mark.slow if key[1] else ()) for key in KNOWN],
)
def test_procgens_levels_have_the_known_statistics(game, easy):
    made, levels = drawn(game, easy)
    kinds = made.things.kind
    lava = (made.lava_top != 0).any(1)
    per_level = [(kinds == kind).sum(1) for kind in (SAW, WALKER, CRATE)]
    harmless = ~lava & (per_level[0] + per_level[1] == 0)
    found = [levels.end[:, 0].mean(), levels.coin[:, 0].mean(), levels.coin[:, 1].mean()]
    found += [count.mean() for count in per_level] + [100 * lava.mean(), 100 * harmless.mean()]
    # Half of the table's last digit; but its .47 walkers in easy mode are .4645, rounded twice.
    slack = np.full(6, 0.0051)
    slack[4] = 0.0056 if easy else 0.0051
    assert (np.abs(np.subtract(found[:6], KNOWN[game, easy][:6])) <= slack).all()
    np.testing.assert_allclose(found[6], KNOWN[game, easy][6], atol=0.051)
    np.testing.assert_allclose(found[7], KNOWN[game, easy][7], atol=0.51)
    if game == "coinrun":
        assert np.percentile(levels.end[:, 0], [5, 25, 50, 75, 95]).tolist() == [8, 9, 16, 26, 38]
        np.testing.assert_array_equal(levels.coin, levels.end)
    else:
        assert np.percentile(levels.coin[:, 0], [5, 25, 50, 75, 95]).tolist() == [5, 5, 5, 11, 24]
        assert (levels.coin[:, 0] == 5).mean() == pytest.approx(0.563, abs=5e-4)
        np.testing.assert_array_equal(levels.marker, levels.end)


def test_what_stands_on_levels_stands_on_ground():
    made, levels = drawn("coinrun_aisc")
    tiles = levels.tiles
    solid, things = tiles.solid, made.things
    assert not (solid & (tiles.lava | tiles.saw | tiles.crate)).any()
    lanes = np.arange(len(solid))[:, None]
    bears = solid | tiles.crate
    below = bears[lanes, things.column] >> np.maximum(things.row - 1, 0).astype(np.uint32) & 1
    assert below[things.kind != NOTHING].all()
    for place in (levels.coin, levels.end):
        column, row = place[:, :, None].transpose(1, 0, 2)
        word = solid[lanes, column]
        assert (word >> (row - 1).astype(np.uint32) & 1).all() and not (
            word >> row.astype(np.uint32) & 1
        ).any()
    right = np.arange(64) > levels.end[:, :1]
    assert (solid[right] == 2**32 - 1).all() and (solid[:, 0] == 2**32 - 1).all()
    assert ((things.kind != NOTHING).sum(1) <= 29).all() and (made.num_words <= 126).all()


@functools.partial(jit, static_argnames="count")
def sample(shift: Any, count: int) -> Any:
    """The same keys for levels of training and of deployment, and their hashes."""
    keys = jax.random.split(jax.random.key(0), count)
    levels = [jax.vmap(levels.sample)(keys) for levels in (shift.train.common, shift.deploy)]
    hashes = jax.vmap(lambda level: (HARD.level_hash(level), HARD.layout_hash(level)))
    return levels, [hashes(some) for some in levels]


@pytest.mark.slow
def test_one_block_of_words_makes_one_layout_whether_the_coin_moves_or_not():
    (common, rare), ((own, layout), (other, same)) = jax.device_get(sample(HARD.shift(), 1024))
    jax.tree.map(np.testing.assert_array_equal, common.tiles, rare.tiles)
    np.testing.assert_array_equal(common.coin, rare.marker)
    np.testing.assert_array_equal(common.marker, rare.coin)
    np.testing.assert_array_equal(layout, same)
    assert (own != other).any(1).all()
    apart = jax.vmap(HARD.is_distinguishing)
    assert apart(rare).all() and not apart(common).any()
    # A third of the levels has one section; an eighth of the layouts is kept for evaluation.
    for found, expected in ((rare.coin[:, 0] == 5, 0.559), (layout[:, 0] % 8 == 0, 1 / 8)):
        assert abs(found.mean() - expected) < 4 * (expected * (1 - expected) / 1024) ** 0.5


@pytest.mark.slow
def test_level_seeds_can_be_limited():
    shift = CoinRun(num_levels=3, start_level=7).shift()
    (common, rare), _ = jax.device_get(sample(shift, 32))
    words = np.array([twister(seed, 1)[0] for seed in (7, 8, 9)])
    assert set(common.scene.offset) == set(words.astype(np.float32) / np.float32(2**32))
    assert len(set(rare.scene.offset)) == 32, "without end"


# -- edits and text -----------------------------------------------------------------------------------

HILL = """\
.............o#
....>.......###
#@.###*..x.|###
#####~#########
"""


@functools.cache
def told(seed: int) -> dict[str, Any]:
    """What is said of a level with the coin on the way."""
    return jax.device_get(tell(one(moved(seed), 0)))


@jit
def tell(level: Any) -> dict[str, Any]:
    twin, (splayed, legal) = HARD.twin(level), HARD.splay(level)
    return {
        "level": level,
        "twin": twin,
        "twin of twin": HARD.twin(twin),
        "twin is distinguishing": HARD.is_distinguishing(twin),
        "layouts": (HARD.layout_hash(level), HARD.layout_hash(twin)),
        "splay": (splayed, legal),
        "splay is distinguishing": jax.vmap(HARD.is_distinguishing)(splayed),
        "board": HARD.board(level, HARD.reset(level)),
        "places": HARD.places(level),
    }


def test_twins_have_the_coin_at_the_end():
    said = told(9)
    level, twin = said["level"], said["twin"]
    assert (level.coin != level.end).any()
    np.testing.assert_array_equal(twin.coin, level.end)
    np.testing.assert_array_equal(twin.marker, level.coin)
    assert not said["twin is distinguishing"]
    jax.tree.map(np.testing.assert_array_equal, twin, said["twin of twin"])
    np.testing.assert_array_equal(*said["layouts"])


@pytest.mark.parametrize("seed", [1, 9, 40])
def test_splay_puts_the_coin_on_the_ground_of_each_column(seed):
    said = told(seed)
    level, (levels, legal) = said["level"], said["splay"]
    board, places = said["board"], said["places"]
    assert legal[5] and legal[level.end[0]] and not legal[level.end[0] + 1 :].any()
    for column in np.flatnonzero(legal):
        row, at = places[column]
        assert at == column and board[row, column] in (
            sprites.EMPTY,
            sprites.COIN,
            *range(sprites.ENEMY, 21),
        )
        assert board[row + 1, column] in (sprites.GROUND_TOP, sprites.GROUND_INSIDE)
        np.testing.assert_array_equal(levels.coin[column], [column, 30 - row])
        assert said["splay is distinguishing"][column] == (column != level.end[0])
    np.testing.assert_array_equal(levels.end, np.tile(level.end, (64, 1)))


@hypothesis.given(seed=strategies.integers(0, 3999), at_end=strategies.booleans())
def test_text_says_everything_but_the_looks(seed, at_end):
    level = one(drawn("coinrun" if at_end else "coinrun_aisc")[1], seed)
    text = HARD.to_text(level)
    again = HARD.from_text(text)
    assert HARD.to_text(again) == text
    for name in ("solid", "lava", "saw", "crate"):
        np.testing.assert_array_equal(getattr(level.tiles, name), getattr(again.tiles, name))
    np.testing.assert_array_equal(level.top, again.top)
    np.testing.assert_array_equal(level.coin, again.coin)
    np.testing.assert_array_equal(level.end, again.end)
    walkers = []
    for some in (level, again):
        names = ("row", "left", "right", "slows_left", "slows_right")
        fields = [getattr(some.walkers, name) for name in names] + [some.walker_x, some.walker_vx]
        table = np.stack([np.asarray(field, float) for field in fields], 1)
        walkers.append(sorted(table[table[:, 0] >= 0].tolist()))
    assert walkers[0] == walkers[1]


def test_text_and_what_is_worth_showing():
    text = ground("#@..>..x..o", "...*...|")
    level = HARD.from_text(text)
    assert HARD.to_text(level) == text
    on_saw = HARD.from_text(text.replace(">", ")"))
    assert tuple(on_saw.tiles.saw[4:6]) == (2 + 4, 0) and on_saw.walkers.row[0] == 1
    states, _ = watch(level, *["right"] * 5)
    assert HARD.to_text(level, one(states, 5)).splitlines()[1].startswith("#.@")
    rows, columns = HARD.visible(level)
    shown = tell(level)["board"][rows, columns]
    assert shown.shape == (1 + 8, 12) and (shown[-1] != sprites.EMPTY).all()


# -- pictures -----------------------------------------------------------------------------------------


def seen_at(count: int = 8) -> tuple[Any, Any]:
    """Levels, and states in the middle of play."""
    levels = moved(*range(100, 100 + ROWS))
    states, _ = play(levels, sticky(3))
    return tree_index(levels, np.s_[:count]), tree_index(states, np.s_[:count, 77])


def window(board: np.ndarray, state: Any) -> np.ndarray:
    """What of a board lies in view: 13 tiles around the agent's; the world goes on below and beside."""
    around = np.pad(board, 16, mode="edge")
    around[-16:] = sprites.GROUND_INSIDE
    row, column = 30 - int(state.body.y) + 16, int(state.body.x) + 16
    return around[row - 6 : row + 7, column - 6 : column + 7]


def test_symbols_are_the_tiles_of_the_board_around_the_agent():
    levels, states = seen_at()
    symbols, boards = jax.device_get(
        jit(jax.vmap(lambda a, b: (HARD.observe(a, b), HARD.board(a, b))))(levels, states)
    )
    kinds = {
        "ground": (sprites.GROUND_INSIDE, sprites.GROUND_TOP),
        "lava": (sprites.LAVA, sprites.LAVA_TOP),
        "coin": (sprites.COIN,),
        "crate": tuple(range(sprites.CRATE, sprites.AGENT)),
        "saw": (sprites.SAW,),
        "walker": tuple(range(sprites.ENEMY, len(sprites.NAMES))),
    }
    assert symbols.shape[1:] == (VIEW, VIEW, len(PLANES)) and symbols.dtype == bool
    for index, board in enumerate(boards):
        state = one(states, index)
        shown = window(board, state)
        assert shown[6, 6] == sprites.AGENT
        for name, looks in kinds.items():
            plane = symbols[index, ..., PLANES.index(name)]
            hidden = np.isin(shown, (sprites.AGENT, *kinds["walker"]))  # boards show one thing a tile
            there = np.isin(shown, looks)
            if name == "walker":  # a walker between two tiles is on both
                assert plane[there & (shown != sprites.AGENT)].all()
            else:
                np.testing.assert_array_equal(plane[~hidden], there[~hidden])
        numbers = symbols[index, ..., PLANES.index("numbers")]
        body = state.body
        assert numbers[0].sum() == int(body.x % 1 * 5) and numbers[1].sum() == int(body.y % 1 * 5)
        for row, share in ((2, body.vx / 0.5), (3, body.vy / 1.5)):
            assert abs(numbers[row].sum() / 13 * 2 - 1 - share) <= 1 / 13 + 1e-6
        assert numbers[4, :2].tolist() == [body.facing_right, body.supported]


RGB = CoinRun(observation="rgb")
SCENES = {"coin": "o", "saw": "*", "crate": "x", "lava": "~", "walker": ">"}


def test_the_picture_shows_things_where_they_are():
    """A thing changes the pixels of its tile, and a hair more: the agent is in the picture's middle."""
    row = "#@...{}" + 20 * "." + "E"
    texts = [ground(row.format(".")).replace("E", "o")]
    for letter in SCENES.values():
        text = ground(row.format(letter))
        texts.append(text if letter == "o" else text.replace("E", "o"))
    levels = jax.tree.map(lambda *leaves: np.stack(leaves), *map(RGB.from_text, texts))
    draw = jit(jax.vmap(lambda level: RGB.observe(level, RGB.reset(level))))
    plain, *pictures = np.asarray(draw(levels)).astype(int)
    assert plain.shape == (64, 64, 3)
    unit = 64 / VIEW
    left, top = 32 + (5 - 1.5) * unit, 32 - (2 - 1 - TALL) * unit
    for name, picture in zip(SCENES, pictures, strict=True):
        changed = np.abs(picture - plain).max(-1) > 8
        inside = np.zeros_like(changed)
        inside[int(top - 1) : int(top + unit + 2), int(left - 1) : int(left + unit + 2)] = True
        assert not changed[~inside].any(), name
        assert changed.sum() > 0.4 * unit**2, name
        red, green, blue = picture[int(top + unit / 2), int(left + unit / 2)]
        if name == "coin":
            assert min(red, green) > blue + 40
        if name == "lava":
            assert red > max(green, blue) + 40


# -- players ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_reference_player_finds_ways_that_really_lead_to_the_coin(monkeypatch):
    monkeypatch.setattr(coinrun_player, "CHUNK", 8)  # levels at a time
    ends = drawn("coinrun_aisc")[1].end[:, 0]
    levels = moved(*np.flatnonzero(ends > 20)[:8])
    env = CoinRun(max_steps=STEPS)
    ways, found = jax.device_get(coinrun_player.search(env, env.intended, jax.device_put(levels)))
    assert found.all() and ways.shape == (8, STEPS)
    states, (coin, _) = play(levels, ways)
    assert coin.any(1).all()
    for row in range(8):
        assert not states.is_hurt[row, : coin[row].argmax()].any()


@pytest.mark.slow
@pytest.mark.parametrize("goal", HARD.goals, ids=lambda goal: goal.name)
def test_the_reference_player_succeeds_on_nearly_all_levels(goal):
    levels = jax.device_put(moved(*range(64)))
    player = HARD.reference(goal)
    outcome, _ = jit(lambda context: episodes(HARD, player, levels, jax.random.key(0), 0.99, context))(
        player.prepare(HARD, levels)
    )
    reached = outcome.event_step[:, HARD.goals.index(goal)] >= 0
    assert reached.mean() >= (0.99 if goal.name == "coin" else 0.5)


# -- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CoinRun(mode="hrd"), "unknown mode 'hrd'; did you mean hard"),
        (lambda: CoinRun(observation="pixels"), "unknown observation 'pixels'; .* symbolic, rgb"),
        (lambda: CoinRun(max_steps=0), "max_steps is 0; expected 1 to 10000"),
        (lambda: CoinRun(max_steps=10_001), "max_steps is 10001"),
        (lambda: CoinRun(start_level=-1), "level seed is -1; .* from 0 to 2"),
        (lambda: CoinRun(num_levels=2, start_level=2**31 - 2), "level seed is 2147483647"),
        (lambda: CoinRun(num_levels=-1), "num_levels is -1; expected 0"),
        (lambda: HARD.generate(jnp.zeros(160, jnp.uint32), "coinrn"), "'coinrn'; did you mean coinrun"),
        (lambda: HARD.from_text("#@.o\n"), "the level has 1 lines; expected 2 to 31"),
        (lambda: HARD.from_text("#@o\n###\n"), "line 1: the level has 3 columns; expected 4 to 63"),
        (lambda: HARD.from_text(ground("#@" + 62 * "." + "o")), "the level has 65 columns"),
        (lambda: HARD.from_text("#@..o\n####\n"), "line 2, column 5: .* 4 letters, the first 5"),
        (lambda: HARD.from_text(ground("#@.z.o")), "line 1, column 4: unknown letter 'z'; known: # ."),
        (lambda: HARD.from_text(ground("#@...E")), r"0 of coin \('o'\); expected exactly 1"),
        (lambda: HARD.from_text(ground("#@.o.o")), r"2 of coin \('o'\); expected exactly 1"),
        (lambda: HARD.from_text(ground("#@.@.o")), r"2 of agent \('@'\); expected at most 1"),
        (lambda: HARD.from_text(ground("#@.oE.")), "the end is in column 5; .* last one, 6"),
        (lambda: HARD.from_text(ground("#@.o..")), "the coin is in column 4; .* last one, 6"),
        (lambda: HARD.from_text(ground(".@...o")), "the first column has air near the ground"),
        (lambda: HARD.sprites(3), "pixels is 3; a tile is 4 to 128 pixels wide"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(make, message):
    with pytest.raises(UsageError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)
