"""Run folders: whole or not at all, found again, and plain words about damage."""

import json
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import goalgap
from goalgap import store
from goalgap.core import UsageError
from goalgap.descriptions import digest, to_json
from goalgap.experiment import Experiment, load


def small() -> Experiment:
    return Experiment(goalgap.Corner(size=5), steps=64, seeds=(3,))


@pytest.mark.parametrize(
    "experiment",
    [
        small(),
        Experiment(goalgap.Dish(size=7, num_channels=3), alpha=0.5, network=goalgap.MLP(lstm=8)),
        Experiment(goalgap.Keys(size=9), network=goalgap.Impala(channels=(4, 8))),
    ],
)
def test_experiments_survive_json(experiment: Experiment) -> None:
    back = load(json.loads(json.dumps(to_json(experiment))))
    assert to_json(back) == to_json(experiment)
    assert back.hash == experiment.hash
    assert back.contest.goals[0].name == experiment.contest.goals[0].name


def test_everything_that_matters_is_in_the_hash() -> None:
    hashes = {
        small().hash,
        Experiment(goalgap.Corner(size=6), steps=64, seeds=(3,)).hash,
        Experiment(goalgap.Corner(size=5), steps=65, seeds=(3,)).hash,
        Experiment(goalgap.Corner(size=5), steps=64, seeds=(4,)).hash,
        Experiment(goalgap.Corner(size=5), alpha=0.1, steps=64, seeds=(3,)).hash,
    }
    assert len(hashes) == 5


def test_tables_and_trees_round_trip(tmp_path: Path) -> None:
    table = {
        "level_hash": np.array([2**64 - 1, 1], np.uint64),
        "split": np.array(["train", "shift"]),
        "value": np.array([0.5, np.nan]),
    }
    store.write_table(tmp_path / "t.parquet", table)
    back = store.read_table(tmp_path / "t.parquet", tmp_path / "t.parquet")
    assert back["level_hash"].dtype == np.uint64 and back["level_hash"][2] == 2**64 - 1
    assert list(back["split"]) == ["train", "shift"] * 2
    tree = {"a": jnp.arange(3), "b": (jnp.ones((2, 2)),)}
    store.write_tree(tmp_path / "t.safetensors", tree, {"seed": 3})
    found, about = store.read_tree(tmp_path / "t.safetensors", tree)
    assert about == {"seed": 3} and (found["b"][0] == 1).all() and (found["a"] == tree["a"]).all()


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    store.write_json(path, {"kept": True})

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device", str(temporary))

    with pytest.raises(OSError, match="No space"):
        store.write(path, fail)
    assert store.read_json(path) == {"kept": True}
    assert os.listdir(tmp_path) == ["x.json"]


def test_damage_is_named(tmp_path: Path) -> None:
    folder = store.RunFolder.create(small(), tmp_path, "test")
    assert store.RunFolder.create(small(), tmp_path, "test").path == folder.path
    assert store.RunFolder.load(folder.path).experiment.hash == small().hash

    path = folder.path / "experiment.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(UsageError, match=r"experiment\.json is damaged"):
        store.RunFolder.load(folder.path)
    path.write_text(text.replace('"format": 2', '"format": 99'))
    with pytest.raises(UsageError, match="format 99, this version reads 1"):
        store.RunFolder.load(folder.path)
    path.write_text(text.replace('"steps": 64', '"steps": 65'))
    with pytest.raises(UsageError, match="was changed"):
        store.RunFolder.load(folder.path)
    about = json.loads(text)
    about["experiment"]["contest"]["type"] = "Warren"
    about["hash"] = digest(about["experiment"])
    path.write_text(json.dumps(about))
    with pytest.raises(UsageError, match="'Warren', which neither this version nor a plug-in"):
        _ = store.RunFolder.load(folder.path).experiment
    about["experiment"]["contest"] = {"type": "Corner", "width": 5}
    about["hash"] = digest(about["experiment"])
    path.write_text(json.dumps(about))
    with pytest.raises(UsageError, match="not one of this version"):
        _ = store.RunFolder.load(folder.path).experiment
    with pytest.raises(UsageError, match="is no folder"):
        store.RunFolder.load(tmp_path / "nowhere")


def test_damaged_weights_and_tables_are_named(tmp_path: Path) -> None:
    tree = {"a": jnp.arange(3)}
    path = tmp_path / "w.safetensors"
    store.write_tree(path, tree, {})
    with pytest.raises(UsageError, match=r"expected int32\[4\]"):
        store.read_tree(path, {"a": jnp.arange(4)})
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UsageError, match="damaged"):
        store.read_tree(path, tree)
    with pytest.raises(UsageError, match="missing"):
        store.read_tree(tmp_path / "none", tree)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(UsageError, match="damaged table"):
        store.read_table(tmp_path / "t.parquet")


def test_runs_are_listed(tmp_path: Path) -> None:
    store.RunFolder.create(small(), tmp_path, "test")
    assert [path.name for path in store.list_runs(tmp_path)] == [f"corner-{small().hash}"]
