"""What comes from outside the package: files, installed packages, and every way in which they fail."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import goalgap
from goalgap import literature, registry
from goalgap.adapters.terminal import Game, board
from goalgap.cli import call
from goalgap.cli.verbs import options
from goalgap.core import UsageError
from goalgap.envs import ALL, Corner, sprites

LAVA = Path(__file__).parent / "plugins" / "lava.py"


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> registry._Outside:
    """Nothing from outside, and nothing left of what a test loads."""
    fresh = registry._Outside()
    monkeypatch.setattr(registry, "_outside", fresh)
    monkeypatch.setenv(registry.VARIABLE, "")
    return fresh


def written(folder: Path, text: str, name: str = "own.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_loaded_once_and_found_by_every_name():
    assert registry.load(LAVA) == ["bars", "lava", "lava"]
    kind = registry.find("environment", "lava")
    registry.load(LAVA)
    assert registry.find("environment", "lava") is kind is registry.types()["Lava"]
    assert registry.find("study", "lava").load("main")(Path("out"), 3)["seed"] == 3
    assert list(registry.environments()) == [*(one.name for one in ALL), "lava"]
    assert registry.layouts()["bars"] is registry.types()["Bars"]
    assert os.environ[registry.VARIABLE] == str(LAVA)
    assert sys.modules[kind.__module__].Lava is kind  # so that it can be pickled


def test_a_plugins_layout_is_understood_by_name():
    registry.load(LAVA)
    assert Corner(layout="bars").layout.name == "bars"  # type: ignore[arg-type]


def test_worker_processes_see_the_same_plugins(monkeypatch: pytest.MonkeyPatch):
    """They inherit the environment, and begin with nothing loaded, as each test here does."""
    registry.load(LAVA)
    inherited = os.environ[registry.VARIABLE]
    monkeypatch.setattr(registry, "_outside", registry._Outside())
    monkeypatch.setenv(registry.VARIABLE, "")
    assert "lava" not in registry.environments()
    monkeypatch.setattr(registry, "_outside", registry._Outside())
    monkeypatch.setenv(registry.VARIABLE, inherited)
    assert list(registry.environments())[-1] == "lava"


NEEDS = "from goalgap.core import Environment, UsageError\nfrom goalgap.envs import Corner\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os\nx = 1 / 0\n", "does not import: line 2: ZeroDivisionError: division by zero"),
        ("import nothing_like_it\n", "line 1: ModuleNotFoundError"),
        ("def broken(:\n", "line 1: SyntaxError"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit"),
        ("x = 3\n", "defines nothing to use; expected a subclass of Environment, Scenario"),
        (NEEDS, "defines nothing to use"),  # what is imported is not its own
        (NEEDS + "class Mine(Corner):\n    pass\n", "the name 'corner' of"),
        (NEEDS + "class Keys(Corner):\n    name = 'other'\n", "the class Keys of"),
        (
            NEEDS + "class Mine(Environment):\n    name = 'mine'\n",
            "lacks board, from_text, is_distinguishing",
        ),
        (
            NEEDS + "class Mine(Environment):\n    name = 'mine'\n",
            "`def step(self, level, state, action",
        ),
        (NEEDS + "class Mine(Environment):\n    name = 'mine'\n", "`title: ClassVar[...] = ...`"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, text: str, expected: str):
    before = set(sys.modules)
    with pytest.raises(UsageError) as refusal:
        registry.load(written(tmp_path, text))
    assert expected in str(refusal.value) and "\n" not in str(refusal.value)
    assert list(registry.environments()) == [kind.name for kind in ALL]
    assert not [name for name in set(sys.modules) - before if name.startswith("goalgap_plugin")]


def test_a_study_may_not_take_a_name(tmp_path: Path):
    path = written(tmp_path, "def main(out, seed):\n    return {}\n", "threshold.py")
    with pytest.raises(UsageError, match="study called threshold, which there is already; rename"):
        registry.load(path)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(UsageError, match=r"there is no plug-in .*nowhere\.py; expected a Python file"):
        registry.load(tmp_path / "nowhere.py")


def install(folder: Path, group: str, value: str) -> None:
    about = folder / "strange-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\nlava = {value}\n")


def test_installed_environments_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(LAVA, tmp_path / "installed_lava.py")
    install(tmp_path, "goalgap.environments", "installed_lava:Lava")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert registry.environments()["lava"].__module__ == "installed_lava"
    assert registry.problems() == []


def test_a_broken_installed_plugin_leaves_the_rest_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    install(tmp_path, "goalgap.environments", "not_there_at_all:Lava")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert call(["list", "--json", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "plug-in lava of the installed package strange does not import: ModuleNotFound" in said.err
    assert list(json.loads(said.out)["environments"]) == [kind.name for kind in ALL]


# -- a world of one file ----------------------------------------------------------------------------


def test_every_verb_takes_plugins(capsys: pytest.CaptureFixture, tmp_path: Path):
    assert call(["--plugin", str(LAVA), "list", "--out", str(tmp_path)]) == 0
    assert "Cheese and Lava" in capsys.readouterr().out
    assert call(["cite", "lava", f"--plugin={LAVA}"]) == 0
    assert "https://arxiv.org/abs/2207.01234" in capsys.readouterr().out
    assert call(["list", "--plugin"]) == 2
    assert "--plugin has no value" in capsys.readouterr().err
    assert call(["list", "--plugin", "nowhere.py"]) == 2
    assert "there is no plug-in" in capsys.readouterr().err


def test_options_are_the_worlds_own_fields():
    registry.load(LAVA)
    asked: Any = options("run", ["lava"]).default
    made = asked.experiment()
    assert (made.contest.size, made.contest.num_lava, made.steps, made.num_levels) == (5, 2, 400_000, 64)
    assert made.stages == (goalgap.PPO(entropy_coefficient=0.02),)


def test_help_shows_the_targets_options_only(capsys: pytest.CaptureFixture):
    shown = {}
    for target in ("corner", "keys", "coinrun"):
        with pytest.raises(SystemExit):
            call(["run", target, "--help"])
        shown[target] = capsys.readouterr().out
    assert "--few" in shown["keys"] and "--mode" in shown["coinrun"] and "--layout" in shown["corner"]
    for option in ("--few", "--mode", "--channels", "--region", "--train-levels"):
        assert option not in shown["corner"]
    with pytest.raises(SystemExit):
        call(["run", "--help"])
    assert "TARGET is one of corner, dish" in capsys.readouterr().out


def test_a_world_without_looks_has_some():
    registry.load(LAVA)
    env = registry.find("environment", "lava")(size=5)
    level = env.from_text("c...v\n.....\n..@..\n.....\nv....\n")
    assert env.from_text(env.to_text(level)).lava.tolist() == level.lava.tolist()
    state = env.reset(level)
    tiles = np.asarray(env.board(level, state))
    assert tiles[1, 1] == sprites.CHEESE and tiles[3, 3] == sprites.MOUSE
    own = len(sprites.NAMES)
    assert env.tile_names[own:] == ("lava",) and (tiles == own).sum() == 2
    atlas = env.sprites(8)
    np.testing.assert_array_equal(atlas[:own], sprites.atlas(8))
    np.testing.assert_array_equal(np.asarray(env.rgb(level, state))[8:16, 40:48], atlas[own])
    assert len(np.unique(atlas.reshape(len(atlas), -1), axis=0)) == len(atlas)
    assert (
        "v v" not in board(Game(env, level=level)).plain and "v " in board(Game(env, level=level)).plain
    )


def test_plain_fields_are_static():
    registry.load(LAVA)
    env = registry.find("environment", "lava")(size=5)
    assert not [leaf for leaf in jax.tree.leaves(env) if isinstance(leaf, int)]


def test_default_tiles_are_those_of_the_worlds_that_draw_their_own():
    from goalgap.envs.grid import GridEnvironment

    env = Corner(size=5)

    @jax.jit
    def both(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        level = env.shift().deploy.sample(key)
        state = env.reset(level)
        return GridEnvironment.tiles(env, level, state), env.tiles(level, state)

    np.testing.assert_array_equal(*both(jax.random.key(3)))


def test_papers_that_nobody_listed_print_their_identifier():
    assert "eprint = {9901.00001}" in literature.bibtex("9901.00001")
    assert literature.paper("9901.00001")["title"] == "arXiv:9901.00001"
    assert literature.paper("2507.03068") is literature.PAPERS["2507.03068"]


def test_public_names_are_there_before_use():
    code = (
        "import goalgap, sys; names = dir(goalgap); assert 'jax' not in sys.modules\n"
        "from goalgap import *; from goalgap.envs import ALL\n"
        "for kind in ALL: assert kind.__name__ in names and globals()[kind.__name__] is kind\n"
        "for name in ('Experiment', 'PPO', 'MLP', 'Impala', 'UsageError', 'run'): assert name in names\n"
        "assert 'Any' not in names\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
