"""A whole small run: what it leaves, that it is found again, and that killing it changes nothing."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import goalgap
from goalgap import runs, store
from goalgap.cli import call

LEARNER = goalgap.PPO(num_envs=16, num_steps=16, num_minibatches=2, num_fresh_levels=64)


def small(updates: int = 6) -> goalgap.Experiment:
    return goalgap.Experiment(
        goalgap.Corner(size=5),
        stages=(LEARNER,),
        network=goalgap.MLP(width=16),
        seeds=(0, 1),
        steps=updates * LEARNER.steps_per_update,
        num_levels=32,
        num_checkpoints=3,
    )


class StopAfter(runs.Listener):
    """Asks to stop after some updates."""

    def __init__(self, updates: int) -> None:
        self.left = updates

    def update(self, done: int, total: int, steps_per_second: float, stats: dict[str, Any]) -> None:
        self.left -= 1
        self.stop = self.left <= 0


def weights(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of the last policies."""
    last = sorted(folder.glob("policies/*.safetensors"))
    return {
        f"{path.name}{name}": array
        for path in last
        for name, array in safetensors.numpy.load_file(path).items()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    return runs.run(small(), tmp_path_factory.mktemp("runs"))


def test_the_parts_of_the_regret_add_up(finished: runs.Run) -> None:
    rows = store.read_json(finished.folder.path / "measurements.json")
    found = {(row["split"], row["goal"]): row["estimate"] for row in rows if row["quantity"] == "regret"}
    for split in ("train", "shift"):
        parts = found[split, "inner gap"] + found[split, "competence"]
        assert found[split, "whole"] == pytest.approx(parts, abs=1e-5)
        assert found[split, "whole"] > 0
    # Where the cheese lies in the corner, pursuit of the corner costs nothing.
    assert found["train", "inner gap"] == pytest.approx(0, abs=1e-5)


def test_a_run_leaves_what_the_design_says(finished: runs.Run) -> None:
    there = {path.name for path in finished.folder.path.iterdir()}
    there = {name for name in there if not name.startswith("measured-")}  # another test's
    assert there == {
        "experiment.json",
        "outcomes.parquet",
        "curves.parquet",
        "measurements.json",
        "verdict.json",
        "policies",
        "episodes.json",
        "splay.json",
        "report.html",
        "train.parquet",
    }
    verdict = finished.verdict
    for key in (
        "verdict",
        "proxy",
        "seeds",
        "fraction_misgeneralizing",
        "thresholds",
        "env_steps",
        "wall_seconds",
        "steps_per_second",
    ):
        assert key in verdict
    assert {"seed", "verdict", "intent_train", "intent_shift", "proxy_shift", "capability"} <= set(
        verdict["seeds"][0]
    )
    outcomes = finished.outcomes
    assert set(outcomes["split"]) == {"train", "shift", "twin"}
    assert set(outcomes["seed"]) == {0, 1}
    assert (outcomes["return_cheese"] <= outcomes["optimum_cheese"] + 1e-5).all()
    assert "<html" in (finished.folder.path / "report.html").read_text()


def test_statistics_of_training_are_kept_a_row_an_update(finished: runs.Run) -> None:
    rows = finished.training
    steps = LEARNER.steps_per_update
    assert rows["update"].tolist() == [1, 2, 3, 4, 5, 6]
    assert rows["env_steps"].tolist() == [steps * number for number in range(1, 7)]
    assert set(rows["stage"]) == {"ppo"} and (np.diff(rows["seconds"]) > 0).all()
    for name in ("return", "policy", "value", "entropy", "distinguishing", "replaced"):
        each = np.stack([rows[f"{name}_seed_{seed}"] for seed in (0, 1)])
        np.testing.assert_allclose(rows[name], each.mean(0), rtol=1e-6)
    # Training shows no distinguishing level; about an eighth of the levels drawn are test ones.
    assert (rows["distinguishing"] == 0).all() and 0.03 < rows["replaced"].mean() < 0.25


def test_a_finished_run_is_found_again(finished: runs.Run) -> None:
    before = (finished.folder.path / "verdict.json").stat().st_mtime_ns
    again = runs.run(small(), finished.folder.path.parent)
    assert (again.folder.path / "verdict.json").stat().st_mtime_ns == before


def test_interrupted_and_resumed_equals_uninterrupted(finished: runs.Run, tmp_path: Path) -> None:
    for updates in (2, 1, 2):
        with pytest.raises(runs.Interrupted):
            runs.run(small(), tmp_path, StopAfter(updates))
    resumed = runs.run(small(), tmp_path)
    expected, found = weights(finished.folder.path), weights(resumed.folder.path)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)
    for column, values in finished.outcomes.items():
        np.testing.assert_array_equal(values, resumed.outcomes[column], err_msg=column)
    for column, values in finished.training.items():
        if column != "seconds":
            np.testing.assert_array_equal(values, resumed.training[column], err_msg=column)


def test_agents_go_through_several_stages_and_resume_in_the_second(tmp_path: Path) -> None:
    learner = dataclasses.replace(LEARNER, anneal=False)  # so that both are one program
    first = dataclasses.replace(learner, steps=2 * LEARNER.steps_per_update, name="first")
    second = dataclasses.replace(learner, name="second")
    experiment = dataclasses.replace(small(5), stages=(first, second))
    whole = runs.run(experiment, tmp_path / "whole")
    assert whole.training["stage"].tolist() == ["first"] * 2 + ["second"] * 3
    for updates in (3, 1):
        with pytest.raises(runs.Interrupted):
            runs.run(experiment, tmp_path / "parts", StopAfter(updates))
    resumed = runs.run(experiment, tmp_path / "parts")
    expected, found = weights(whole.folder.path), weights(resumed.folder.path)
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)


def test_training_ends_with_the_first_budget(tmp_path: Path) -> None:
    each = LEARNER.num_epochs * LEARNER.num_minibatches
    experiment = dataclasses.replace(small(6), gradient_steps=2 * each - 1)
    (planned,) = experiment.plan()
    assert planned.num_updates == 2
    assert planned.spent[-1] == (2 * LEARNER.steps_per_update, 2 * each)


def test_measuring_a_stored_run_again(finished: runs.Run, capsys: pytest.CaptureFixture) -> None:
    args = ["measure", str(finished.folder.path), "--levels", "32", "--seed", "1", "--json"]
    assert call(args) == 0
    assert len(json.loads(capsys.readouterr().out)["seeds"]) == 2


def test_policies_load(finished: runs.Run) -> None:
    fleet = finished.models()
    assert fleet.policy_head.weight.shape == (2, 16, 4)


def test_damaged_resume_is_named(tmp_path: Path) -> None:
    with pytest.raises(runs.Interrupted):
        runs.run(small(), tmp_path, StopAfter(2))
    (folder,) = store.list_runs(tmp_path)
    path = folder / "resume.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(goalgap.UsageError, match="damaged"):
        runs.run(small(), tmp_path)


@pytest.mark.slow
def test_killed_three_times_equals_uninterrupted(tmp_path: Path) -> None:
    """SIGKILL at random moments of the real command, policies compared bit for bit."""
    command = [
        *(sys.executable, "-m", "goalgap", "run", "corner", "--size", "6", "--steps", "5000000"),
        *("--seeds", "2", "--levels", "32"),
    ]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    whole = subprocess.run(
        [*command, "--out", str(tmp_path / "whole")], capture_output=True, env=environment
    )
    assert whole.returncode == 0, whole.stderr.decode()
    rng = random.Random(0)
    killed = 0
    for _ in range(3):
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "parts")],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
        )
        time.sleep(rng.uniform(8, 16))
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert killed == 3, "the run is too short to be killed"
    done = subprocess.run([*command, "--out", str(tmp_path / "parts")], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    (first,), (second,) = (store.list_runs(tmp_path / name) for name in ("whole", "parts"))
    expected, found = weights(first), weights(second)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)
