"""Parity with the original Procgen: recordings agree, and whatever differs is found and named.

`tests/data` is a golden set of upstream's engine (`record_golden.py`). Larger recordings, of the fork as
well, may lie beside the project; where they do, a sample of them is compared as well, and all if slow.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from goalgap.cli import call
from goalgap.core import UsageError
from goalgap.envs.procgen import platformer
from goalgap.envs.procgen.coinrun import CoinRun
from goalgap.envs.procgen.platformer import Body
from goalgap.envs.procgen.random_words import level_seeds
from goalgap.original.recordings import TOLERANCE, compare, compare_file, read, source

DATA = Path(__file__).parent / "data"
BESIDE = Path(__file__).parents[2] / "shared/data/procgen"
GOLDEN = sorted(path for kind in ("levels", "traj") for path in DATA.glob(f"{kind}_*.npz"))
QUICK = {"levels_up_coinrun_hard", "traj_up_coinrun_hard", "traj_up_heist_easy", "level_seed_chain"}
SAMPLE = {"levels_fork_coinrun_hard_rp10"}  # test_maze.py compares some of the mazes


def some(paths: list[Path], quick: set[str]) -> list:
    """All files as parameters; those that are not quick are slow."""
    slow = pytest.mark.slow
    return [pytest.param(p, id=p.stem, marks=() if p.stem in quick else slow) for p in paths]


@pytest.mark.parametrize("path", some([*GOLDEN, DATA / "level_seed_chain.npz"], QUICK))
def test_our_games_are_the_golden_ones(path: Path) -> None:
    found = compare_file(path)
    assert found.mismatches == () and found.count == 0
    assert found.num_levels >= 20 and len(found.fields) > 1


@pytest.mark.parametrize("path", some(sorted(BESIDE.glob("*_*_*_*.npz")), SAMPLE))
def test_our_games_are_the_recorded_ones(path: Path) -> None:
    assert compare_file(path).mismatches == ()


def test_the_golden_set_is_a_good_one() -> None:
    """Both modes of all three games, the greatest level seed, and play in which something happens."""
    assert len(GOLDEN) == 12
    for path in GOLDEN:
        data = read(path)
        assert {0, 2**31 - 2} <= set(data["seed"].tolist())
        assert "levels" in path.stem or data["level_complete"].any()
    assert sum(path.stat().st_size for path in DATA.glob("*.npz")) < 150_000


def test_level_seeds_by_numpys_twister() -> None:
    """NumPy's own Mersenne Twister as an independent reference."""

    def words(seed: int, count: int) -> np.ndarray:
        generator = np.random.MT19937()
        generator._legacy_seeding(seed)  # type: ignore[attr-defined]
        return generator.random_raw(count)

    masters = words(99, 4)
    endless = np.array([words(int(word), 3) % (2**31 - 1) for word in masters]).T
    assert (np.asarray(level_seeds(99, 0, 5, 4, 3)) == endless).all()
    few = np.array([1000 + words(int(word), 3) % 7 for word in masters]).T
    assert (np.asarray(level_seeds(99, 7, 1000, 4, 3)) == few).all()


# By mode: the level; the agent (x, y, vx and vy) before a step; x, y and vy after it.
FALLS = {
    # One crate of two is then above its feet: it is put onto the lower one. Level seed 1000198.
    "easy": (
        """\
#.............|...*.o
#..............######
#..............######
#..............######
#.........|.*..######
#..........##########
#........x.##########
#...|....x.##########
#....################
#....################
#@...################
#####################
""",
        (8.473286, 6.0786996, 0.03524916, -1.3),
        (8.507475, 5.5787, 0),
    ),
    # The highest crate of three is then above its middle: it is pushed down to the ground. Level seed
    # 2000391.
    "hard": (
        """\
#.....x..
#.....x..
#...|.x.o
#@...####
#########
""",
        (7.6026287, 5.5787, -0.14234933, -1.5),
        (7.46455, 2.5787, 0),
    ),
}


@jax.jit
def fall(level: Any, start: tuple[Any, Any, Any, Any]) -> Body:
    """The agent after a step in which it commands nothing."""
    no = jnp.zeros((), bool)
    x, y, vx, vy = start
    body = Body(x, y, vx, vy, no, no, no)
    # Texts do not say which crates are of a column's second pile; here none are.
    tiles = dataclasses.replace(level.tiles, late=jnp.zeros_like(level.tiles.late))
    world = platformer.near(tiles, body.x)
    body, up = platformer.push(body, world, jnp.asarray(0), jnp.asarray(1))
    return platformer.move(body, world, jnp.asarray(0), up, no)


@pytest.mark.parametrize("mode", FALLS)
def test_who_drifts_into_a_pile_while_falling(mode: str) -> None:
    """Recorded from the engine (coinrun): the agent falls 1.5 tiles in a step, past the top of a crate
    beside it, and into its column."""
    text, start, after = FALLS[mode]
    body = jax.device_get(fall(CoinRun(mode=mode).from_text(text), np.array(start, np.float32)))
    assert np.allclose([body.x, body.y, body.vy], after, atol=1e-5)
    assert bool(body.on_crate)


# -- the comparison itself --------------------------------------------------------------------------


def levels() -> dict[str, np.ndarray]:
    return {
        "seed": np.array([4, 9]),
        "grid": np.array([[[1, 2]], [[3, 4]]]),
        "ents": np.array([[[1.5], [np.nan]], [[2.5], [3.5]]]),
    }


def play() -> dict[str, np.ndarray]:
    return {
        "seed": np.array([4, 9]),
        "action": np.zeros((2, 3), int),
        "agent": np.ones((2, 4, 2), np.float32),
        "reward": np.zeros((2, 3), np.float32),
    }


def test_equal_recordings_are_equal() -> None:
    wider = levels()
    wider["ents"] = np.pad(wider["ents"], [(0, 0), (0, 3), (0, 0)], constant_values=np.nan)
    for mine in (levels(), wider):
        found = compare("levels", levels(), mine, "file")
        assert (found.count, found.fields, found.left_out) == (0, ("grid", "ents"), ())
    within = play()
    within["agent"] = within["agent"] + np.float32(TOLERANCE / 2)
    assert compare("traj", play() | {"policy": np.zeros(2)}, within, "file").left_out == ("policy",)
    assert compare("traj", play(), within, "file").count == 0


def test_what_differs_is_named() -> None:
    mine = levels()
    mine["grid"][1, 0, 1] = 7
    mine["ents"][0, 1, 0] = 9.5  # one entity too many
    mine["ents"][1, 0, 0] += 1e-9
    grid, padding, number = compare("levels", levels(), mine, "file").mismatches
    assert grid == ("grid", 9, None, (0, 1), 4, 7)
    assert padding[:4] == ("ents", 4, None, (1, 0)) and np.isnan(padding.expected)
    assert number.seed == 9  # level numbers are compared to the last bit
    mine = play()
    mine["agent"][0, 2, 1] += 2 * TOLERANCE
    mine["reward"][1, 2] = 1e-6
    agent, reward = compare("traj", play(), mine, "file").mismatches
    assert agent[:4] == ("agent", 4, 2, (1,))
    assert reward[:4] == ("reward", 9, 2, ())


def test_of_many_differences_twenty_are_listed() -> None:
    mine = play()
    mine["agent"] = mine["agent"] + 1
    mine["reward"] = mine["reward"][:, :2]  # of another form: one difference
    found = compare("traj", play(), mine, "file", 5)
    assert (found.count, len(found.mismatches)) == (17, 5)


def test_names() -> None:
    about = source("traj_fork_heist_aisc_many_chests_hard_kp1_sp12")
    assert about.game == "heist_aisc_many_chests" and about.mode == "hard"
    assert about.options == {"key_penalty": 1, "step_penalty": 12}
    for name, said in {
        "levels_up_maze": "cannot read the name",
        "level_up_maze_easy": "did you mean levels?",
        "levels_down_maze_easy": "expected one of up, fork",
        "levels_up_maz_easy": "did you mean maze?",
        "levels_up_maze_aisc_easy": "unknown game 'maze_aisc'",  # there is none upstream
        "levels_up_coinrun_memory": "unknown mode",
        "levels_up_coinrun_hard_rp10": "unknown option of coinrun 'rp'; expected none",
        "levels_fork_coinrun_hard_rp101": "0 to 100",
    }.items():
        with pytest.raises(UsageError, match=said.replace("?", r"\?")):
            source(name)


# -- the command line -------------------------------------------------------------------------------


def write(folder: Path, name: str, **fields: np.ndarray) -> str:
    path = folder / name
    np.savez_compressed(path, **fields)  # pyright: ignore[reportArgumentType]
    return str(path)


def test_the_command_finds_what_was_doctored(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    data = read(DATA / "levels_up_maze_easy.npz")
    data["grid"][3, 1, 2] += 1
    doctored = write(tmp_path, "levels_up_maze_easy.npz", **data)
    assert call(["parity", doctored]) == 1
    said = capsys.readouterr().out
    assert "seed 3, grid[1][2]: expected 52, got 51" in said and "1 numbers differ" in said
    assert call(["parity", doctored, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["mismatches"] == 1 and document["compared"][0]["name"] == doctored
    assert document["compared"][0]["mismatches"][0]["place"] == [1, 2]


def test_mistakes_get_one_line(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALGAP_PROCGEN", "/nowhere/python")
    name = "traj_up_maze_easy.npz"
    (tmp_path / "text.npz").write_text("no archive")
    seeds, actions = np.arange(2), np.zeros((2, 3), int)
    one = write(tmp_path, "levels_up_maze_easy.npz", seed=seeds)
    for argv, expected in {
        (): "give recordings",
        ("a.npz", "--live", "maze"): "give recordings",
        (str(tmp_path / "nowhere.npz"),): "cannot read",
        (str(tmp_path / "text.npz"),): "no .npz file of numbers",
        (write(tmp_path, "levels_up_mase_easy.npz", seed=seeds),): "did you mean maze?",
        (write(tmp_path, "a_" + name, grid=seeds),): "unknown kind of recording",
        (write(tmp_path, name, seed=seeds),): "has no action",
        (one,): "has no agent, background_index",
        ("--live", "mase"): "did you mean maze?",
        ("--live", "coinrun", "--modes", "memory"): "unknown mode of coinrun 'memory'",
        ("--live", "maze", "--seeds", "0"): "--seeds is 0",
        ("--live", "maze", "--start", "2147483647"): "level seed is 2147483647",
        ("--live", "maze"): "cannot start /nowhere/python",
    }.items():
        assert call(["parity", *argv]) == 2, argv
        said = capsys.readouterr()
        assert said.out == "" and expected in said.err.splitlines()[-1], argv
    for field, odd, expected in (
        ("seed", np.array([0, 2**31 - 1]), "seed 2147483647"),
        ("seed", np.array([0, -1]), "seed -1"),
        ("seed", np.array([0.5, 1]), "expected a row of whole numbers"),
        ("action", np.full((2, 3), 15), "actions are 15 to 15"),
        ("action", np.zeros((3, 3), int), "expected whole numbers"),
    ):
        fields = {"seed": seeds, "action": actions} | {field: odd}
        assert call(["parity", write(tmp_path, name, **fields)]) == 2
        assert expected in capsys.readouterr().err
    assert call(["parity", write(tmp_path, "level_seed_chain.npz", chain=seeds)]) == 2
    assert "cannot read 'chain'" in capsys.readouterr().err
