"""The bridge to the original engine: its saved states as ours, and, where it is installed, live play.

`tests/data/states_*.npz` are states of the engine (`record_golden.py`): a level's start, and the same
level after some actions.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from goalgap.core import UsageError, tree_index
from goalgap.envs.procgen.coinrun import CoinRun
from goalgap.envs.procgen.coinrun_player import Player
from goalgap.envs.procgen.maze import Maze
from goalgap.envs.procgen.random_words import twister
from goalgap.original import (
    Engine,
    Saved,
    coin_places,
    coinrun,
    environment,
    levels,
    measure,
    move_coin,
    play,
    states,
)
from goalgap.original.decode import engine_actions
from goalgap.original.engine import find
from goalgap.original.record import levels as record_levels
from goalgap.original.record import random_actions, replay
from goalgap.original.recordings import Source, compare

DATA = Path(__file__).parent / "data"
GAMES = ("coinrun", "maze", "heist")


def golden(game: str) -> tuple[Saved, Saved, int, np.ndarray]:
    """A level's start, the state after some actions, the level seed and the actions."""
    with np.load(DATA / f"states_{game}.npz") as file:
        data = {name: file[name] for name in file.files}
    start, later = (Saved(data[name].tobytes()) for name in ("start", "later"))
    return start, later, int(data["seed"]), data["action"]


@pytest.mark.parametrize("game", GAMES)
def test_saved_states_are_read(game: str) -> None:
    start, later, seed, actions = golden(game)
    assert (start["level_seed"], start.mode, start["time"]) == (seed, "hard", 0)
    assert later["time"] == len(actions)
    assert later.words_read == (start.words_read + len(actions)) % 624  # a word a step
    with np.load(DATA / f"levels_up_{game}_hard.npz") as recorded:
        row = int(np.flatnonzero(recorded["seed"] == seed)[0])
        assert (start.grid == recorded["grid"][row]).all()
        assert np.float32(start["background_x"]) == recorded["bg_pct_x"][row]
    reference = np.random.MT19937()
    reference._legacy_seeding(seed)  # type: ignore[attr-defined]
    reference.random_raw(start.words_read)
    assert (start.next_words(9) == reference.random_raw(9)).all()


@pytest.mark.parametrize("game", GAMES)
def test_saved_states_become_ours(game: str) -> None:
    """The engine's level is ours of that level seed; after the same actions ours shows what the engine
    is in, also where nothing is known of the episode's beginning."""
    start, later, seed, actions = golden(game)
    env = environment(start)
    moves_of = {
        int(action): index
        for index, action in enumerate(engine_actions(env, np.arange(env.num_actions)))
    }

    @jax.jit
    def expected(actions):
        level = env.generate(twister(seed, env.num_words), game)
        first = env.reset(level)
        last, _ = jax.lax.scan(
            lambda state, action: (env.step(level, state, action), None), first, actions
        )
        shown = env.observe(level, first), env.observe(level, last)
        return env.level_hash(level), env.layout_hash(level), *shown, last

    @jax.jit
    def got(level, state):
        level, state = jax.tree.map(lambda leaf: leaf[0], (level, state))
        return env.level_hash(level), env.layout_hash(level), env.observe(level, state)

    moves = jnp.asarray([moves_of[int(action)] for action in actions])
    *hashes, before, after, last = expected(moves)
    begun = levels([start])
    found = got(begun, states(env, begun, [start]))
    assert all((np.asarray(a) == b).all() for a, b in zip(found, (*hashes, before), strict=True))
    state = states(env, begun, [later])
    assert (np.asarray(got(begun, state)[2]) == after).all()
    assert (np.asarray(before) != after).any()
    middle = levels([later])
    assert (np.asarray(got(middle, states(env, middle, [later]))[2]) == after).all()
    for ours, theirs in zip(jax.tree.leaves(last), jax.tree.leaves(state), strict=True):
        theirs = np.asarray(theirs)[0]
        if game != "coinrun" or not ours.shape:  # the places of absent walkers are anywhere
            assert np.allclose(ours, theirs, atol=1e-4)


def test_coins_are_moved() -> None:
    start, *_ = golden("coinrun")
    places = coin_places(start.grid)
    moved = move_coin(start, places[0])
    env = CoinRun()
    level, before = (tree_index(jax.device_get(levels([state])), 0) for state in (moved, start))
    hashed = jax.jit(lambda level: (env.is_distinguishing(level), env.layout_hash(level)))
    (apart, layout), (apart_before, layout_before) = hashed(level), hashed(before)
    assert tuple(level.coin) == tuple(places[0]) and tuple(level.end) == tuple(before.coin)
    assert apart and not apart_before
    np.testing.assert_array_equal(layout, layout_before)
    # Nothing else has changed, and it can be taken back.
    assert len(moved.data) == len(start.data)
    assert move_coin(moved, np.asarray(before.coin)).data == start.data


def test_coins_are_moved_where_the_fork_moves_them() -> None:
    """To the first column of a section: the fork's places are among ours but where two sections are of
    the same height, and there are few others."""
    made = coinrun.levels("coinrun_aisc", "hard", {}, np.arange(64))
    count, found = 0, 0
    for grid, (x, y) in zip(made["grid"], made["coin_xy"], strict=True):
        grid[y, x] = 100
        places = coin_places(grid)
        count += len(places)
        found += (places == (x, y)).all(1).any()
    assert found >= 62 and 1 <= count / 64 <= 3


def test_what_is_no_saved_state_is_refused_in_one_line() -> None:
    start, *_ = golden("coinrun")
    maze, *_ = golden("maze")
    for data, said in {
        b"": "0 bytes that are no saved state",
        start.data[:-4]: "no saved state",
        start.data + b"more": "no saved state",
        start.data[:5000]: "no saved state",
        b"x" * 40_000: "no saved state",
        maze.data.replace(b"maze", b"leap"): "a saved state of 'leap'; known are those of coinrun, maze",
    }.items():
        with pytest.raises(UsageError, match=said) as error:
            Saved(data)
        assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="saved state of maze has no coin"):
        move_coin(maze, (5, 5))
    for tile, said in (((1, 0), "holds 16"), ((64, 0), "outside of the world"), ((0, 9), "holds 15")):
        with pytest.raises(UsageError, match=said):
            move_coin(start, tile)
    with pytest.raises(UsageError, match="give as many as there were"):
        start.replace(grid=np.zeros(5, int))
    with pytest.raises(UsageError, match="several games"):
        levels([start, maze])


def test_where_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOALGAP_PROCGEN", raising=False)
    if "procgen" not in sys.modules:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install procgen-mirror"):
        find()
    assert find("uv run python") == ["uv", "run", "python"]
    monkeypatch.setenv("GOALGAP_PROCGEN", "one")
    assert find() == ["one"] and find("two") == ["two"]
    with pytest.raises(UsageError, match="cannot start /nowhere/python"):
        Engine("maze", command="/nowhere/python")
    with pytest.raises(UsageError, match="the engine stopped: "):
        Engine("maze", command=f"{sys.executable} --unknown-option")


STAND_IN = """
import numpy as np

class ProcgenGym3Env:
    def __init__(self, num, env_name, **options):
        if env_name == "none":
            raise KeyError(env_name)
        print("noise on standard output")
        with np.load(options["file"]) as file:
            self.states = [file["start"].tobytes()] * num
        self.num, self.actions = num, np.zeros(num, int)

    def observe(self):
        shown = {"rgb": np.ones((self.num, 64, 64, 3), np.uint8)}
        return self.actions.astype(np.float32), shown, self.actions < 0

    def get_info(self):
        return [{"prev_level_complete": action == 7} for action in self.actions]

    def act(self, actions):
        self.actions = actions

    def callmethod(self, name, *arguments):
        if name == "set_state":
            self.states = arguments[0]
        return self.states
"""


def test_the_engine_is_spoken_to_by_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the engine keeps the states that it is given, and says its actions back."""
    (tmp_path / "procgen.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    file = str(DATA / "states_maze.npz")
    with Engine("maze", "hard", 2, sys.executable, file=file) as engine:
        first, second = engine.begin([5, 2**31 - 2])
        assert (first["level_seed_low"], first["level_seed_high"]) == (5, 6)
        assert (second["level_seed_low"], second["level_seed_high"]) == (2**31 - 2, 2**31 - 1)
        said = engine.step(np.array([7, -1]))
        assert said.reward.tolist() == [7, -1] and said.first.tolist() == [False, True]
        assert said.level_complete.tolist() == [True, False]
        assert engine.frames().shape == (2, 64, 64, 3)
        # Three levels of two environments: of the last batch only the first counts.
        made = record_levels(engine, np.array([5, 5, 5]))
        with np.load(DATA / "levels_up_maze_hard.npz") as recorded:
            for name in set(recorded.files) - {"seed"}:
                row = recorded[name][recorded["seed"] == 5]
                assert np.array_equal(made[name], np.repeat(row, 3, 0), equal_nan=True)
        with pytest.raises(UsageError, match="3 level seeds for 2 environments"):
            engine.begin([1, 2, 3])
        with pytest.raises(UsageError, match="maze easy cannot play the engine's maze hard"):
            play(engine, Maze(mode="easy"), Player(CoinRun().goals[0]), [1], jax.random.key(0))
    with pytest.raises(UsageError, match="the engine failed: KeyError: 'none'"):
        Engine("none", command=sys.executable)


def test_random_actions() -> None:
    actions = random_actions("coinrun", np.arange(40), 200)
    assert actions.shape == (40, 200) and actions.min() == 0 and actions.max() == 14
    held = actions[1::2]
    assert held.max() <= 8 and (held[:, 1:] == held[:, :-1]).mean() > 0.7
    assert (np.isin(held, (7, 8))).mean() > 0.4
    assert (actions == random_actions("coinrun", np.arange(40), 200)).all()


# -- live, where there is an engine -----------------------------------------------------------------


@pytest.fixture
def here() -> None:
    try:
        find()
    except UsageError:
        pytest.skip("no Procgen engine; see GOALGAP_PROCGEN")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["easy", "hard"])
@pytest.mark.parametrize("game", GAMES)
def test_live_levels_and_play_are_ours(here: None, game: str, mode: str) -> None:
    seeds = np.arange(70) + 50_000
    about = Source("levels", "up", game, mode, {})
    with Engine(game, mode, 40) as engine:
        made = record_levels(engine, seeds)
        assert compare("levels", made, about.ours(made), "live").mismatches == ()
        made = replay(engine, seeds, random_actions(game, seeds, 100))
    assert compare("traj", made, about._replace(kind="traj").ours(made), "live").mismatches == ()


@pytest.mark.slow
def test_known_subjects_in_the_engine(here: None) -> None:
    """Who wants the coin gets it wherever it is; who wants the end gets there, and passes the coin where
    it lies on the way. The engine's word and our events agree, and so do its steps and ours."""
    env = CoinRun(max_steps=300)
    found = (measure(env, Player(goal), jax.random.key(0), 24, 7000) for goal in env.goals)
    seeker, runner = ({split: played for split, (played, _) in one.items()} for one in found)
    for played in (*seeker.values(), *runner.values()):
        assert (played.complete == (played.event_step[:, 0] >= 0)).all()
        assert (played.reward == 10 * played.complete).all()
        assert played.drift.max() < 1e-4
    assert seeker["train"].complete.mean() > 0.8 and seeker["shift"].complete.mean() > 0.8
    # The end alone pays nothing and ends nothing.
    shift = runner["shift"]
    only_end = (shift.event_step[:, 1] >= 0) & ~shift.complete
    assert only_end.mean() > 0.5 and (shift.reward[only_end] == 0).all()
    assert (shift.length > shift.event_step[:, 1])[only_end].all()
