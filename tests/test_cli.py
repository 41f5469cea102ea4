"""The command line: one clear line for every mistake, exit codes, and no traceback."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goalgap.cli import call, parse
from goalgap.cli.verbs import Run, options
from goalgap.envs import ALL
from goalgap.learn.ppo import PPO


def test_what_the_user_does_not_say_of_the_learner_is_the_environments_own():
    own: Any
    typed: Any
    (own,) = parsed("run", "coinrun").experiment().stages
    assert own == PPO(num_fresh_levels=1024, entropy_coefficient=0.02)
    (typed,) = parsed("run", "coinrun", "--learner.learning-rate", "0.01").experiment().stages
    assert typed == dataclasses.replace(own, learning_rate=0.01)


def parsed(*argv: str) -> Run:
    """The options that a command line means."""
    return parse(options(argv[0], list(argv[1:])))


def fails(capsys: pytest.CaptureFixture, *argv: str, code: int = 2) -> str:
    """The one line that a mistaken command prints."""
    assert call(list(argv)) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and said.err.startswith("goalgap: ")
    assert "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("rnu", "corner"), "did you mean run?"),
        (("run", "cornr"), "unknown environment or scenario 'cornr'; did you mean corner or coinrun?"),
        (("run", "corner", "--alpa", "0.1"), "did you mean --alpha?"),
        (("run", "corner", "--alpha", "1.5"), "alpha is 1.5; expected 0 to 1"),
        (("run", "corner", "--alpha", "much"), "could not convert string to float"),
        (("run", "corner", "--size", "2"), "size is 2; boards are 3 to 31"),
        (("run", "corner", "--seeds", "0"), "--seeds is 0; expected 1 to 1000"),
        (("run", "corner", "--seed", "-1"), "whole numbers from 0"),
        (("run", "corner", "--steps", "0"), "steps is 0; expected 1 to"),
        (("run", "corner", "--levels", "3"), "num_levels is 3; expected 16"),
        (("run", "corner", "--layout", "tre"), "did you mean tree?"),
        (("run", "coinrun", "--size", "9"), "--size 9 is for corner, dish, keys, line, not for coinrun"),
        (("run", "coinrun", "--mode", "hrd"), "unknown mode 'hrd'; did you mean hard?"),
        (("run", "coinrun", "--train-levels", "5", "--start-level", "2147483647"), "level seed is"),
        (("measure", "oracle:coin", "--env", "coinrun"), "try reference:coin"),
        (("measure", "reference:coin", "--env", "line"), "try oracle:coin"),
        (("run", "corner", "--layout", "tree", "--size", "8"), "try 7 or 9"),
        (("run", "corner", "--network", "impalla"), "did you mean impala"),
        (("run", "corner", "--channels", "3"), "is for dish"),
        (("run", "dish", "--channels", "0"), "num_channels is 0"),
        (("run", "keys", "--size", "3", "--many", "9"), "has no room"),
        (("run", "corner", "--learner.clip", "x"), "could not convert"),
        (("run", "corner", "--learner.num-envs", "0"), "num_envs is 0; expected at least 1"),
        (("run",), "TARGET"),
        (("measure", "oracle:cheeze", "--env", "corner"), "unknown goal 'cheeze'; did you mean cheese?"),
        (("measure", "oracle:cheese"), "--env corner"),
        (("measure", "randm", "--env", "corner"), "did you mean random?"),
        (("measure", "nowhere:act", "--env", "corner"), "cannot import 'nowhere'"),
        (("measure", "json:lodas", "--env", "corner"), "did you mean loads"),
        (("study", "corner-alfa"), "did you mean corner-alpha?"),
        (("bench", "nothing-like-it"), "unknown benchmark"),
        (("cite", "cornr"), "did you mean corner or coinrun?"),
        (("open", "nowhere"), "is no folder"),
        (("play", "corner", "--level", "nowhere.txt"), "cannot read nowhere.txt"),
    ],
)
def test_mistakes_get_one_line(
    capsys: pytest.CaptureFixture, argv: tuple[str, ...], expected: str
) -> None:
    assert expected in fails(capsys, *argv)


def test_malformed_level_names_line_and_column(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    level = tmp_path / "level.txt"
    level.write_text("c..\n.x.\n..@\n")
    said = fails(capsys, "play", "corner", "--size", "3", "--level", str(level))
    assert "line 2, column 2: unknown letter 'x'" in said


def test_unwritable_folder(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = fails(capsys, "run", "corner", "--size", "5", "--out", str(tmp_path / "file"), code=1)
    assert "cannot write" in said and "--out" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_full_disk(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch) -> None:
    def full(self: Path, *args: object, **kwargs: object) -> int:
        with open("/dev/full", "w") as file:
            file.write("x" * 10**6)
        return 0

    monkeypatch.setattr(Path, "write_text", full)
    said = fails(capsys, "run", "corner", "--size", "5", "--out", str(tmp_path), code=1)
    assert "No space left" in said


@pytest.mark.slow
def test_measure_outside_policies(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agents.py").write_text(
        "import numpy as np\n"
        "def up(o): return np.zeros(len(o), int)\n"
        "def logits(o): return np.zeros((len(o), 4))\n"
        "def wrong_count(o): return np.full(len(o), 4)\n"
        "def wrong_shape(o): return np.zeros((len(o), 5))\n"
        "def broken(o): return 1 / 0\n"
    )
    monkeypatch.chdir(tmp_path)
    args = ("--env", "corner", "--size", "5", "--levels", "16", "--max-steps", "16")
    assert call(["measure", "agents:logits", *args, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "capability failure"
    for function, expected in {
        "wrong_count": "actions 4 to 4; expected integer actions",
        "wrong_shape": "returned float64[16, 5]; expected",
        "broken": "ZeroDivisionError",
    }.items():
        assert expected in fails(capsys, "measure", f"agents:{function}", *args)


@pytest.mark.slow
def test_measure_random(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    args = ["--env", "corner", "--size", "5", "--levels", "16", "--out", str(tmp_path)]
    assert call(["measure", "random", *args]) == 0
    assert "Verdict: capability failure" in capsys.readouterr().out


def test_list_and_cite(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "experiment.json").write_text("{")
    assert call(["list", "--out", str(tmp_path), "--json"]) == 0
    there = json.loads(capsys.readouterr().out)
    assert list(there["environments"]) == [kind.name for kind in ALL]
    assert there["runs"][0]["verdict"] == "unfinished"
    assert call(["cite", "corner"]) == 0
    assert "2507.03068" in capsys.readouterr().out


@pytest.mark.parametrize(
    "verb",
    [
        "run",
        "analyze",
        "measure",
        "forecast",
        "parity",
        "play",
        "study",
        "open",
        "list",
        "cite",
        "bench",
    ],
)
def test_every_verb_explains_itself(capsys: pytest.CaptureFixture, verb: str) -> None:
    with pytest.raises(SystemExit) as stop:
        call([verb, "--help"])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_help_does_not_wait_for_jax() -> None:
    code = "import sys, goalgap.cli as c; c.call(['--help']); print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("False\n")


def test_interrupt_stores_and_resumes(tmp_path: Path) -> None:
    """Ctrl-C while training: exit 1, one line, the state stored. Small models compile soonest."""
    command = [sys.executable, "-m", "goalgap", "run", "sycophancy", "--seeds", "1", "--prompts", "16"]
    command += ["--layers", "1", "--width", "16", "--heads", "2"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.endswith("facts\n"):  # the first stage begins
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in rest
    assert rest.strip().splitlines()[-1].startswith("goalgap: stopped after")
    assert list(tmp_path.glob("*/resume.safetensors"))
