"""Run folders of the first format, recorded before it changed, still open, measure, report and cite.

Recorded by version 0.1.0 at commit fb70fdb with `goalgap run corner --size 5 --seeds 2 --steps 40000
--levels 32 --alpha 0.1` and `goalgap run sycophancy --seeds 2 --prompts 16 --fact-steps 100
--belief-steps 50`, then `goalgap measure RUN --levels 24 --seed 1`, whose verdict is kept as
measured-24-1.json.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from goalgap import runs, store
from goalgap.cli import call
from goalgap.core import UsageError
from goalgap.experiment import Experiment

GOLDEN = sorted((Path(__file__).parent / "data" / "runs").iterdir())
SAME = ("seed", "intent_train", "intent_shift", "goal_gap", "capability", "num_levels", "first")


@pytest.fixture(params=GOLDEN, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy that may be written to."""
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


def test_it_opens(golden: Path) -> None:
    run = runs.Run(store.RunFolder.load(golden))
    experiment = run.experiment
    assert isinstance(experiment, Experiment)
    assert golden.name == f"{experiment.name}-{run.folder.hash}"
    assert run.folder.is_finished and experiment.seeds == (0, 1)
    assert run.verdict["sentence"] in run.report.read_text(encoding="utf-8").replace("&#39;", "'")


def test_it_measures_as_it_did(golden: Path, capsys: pytest.CaptureFixture) -> None:
    assert call(["measure", str(golden), "--levels", "24", "--seed", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = json.loads((golden / "measured-24-1.json").read_text())
    # The first edition of the verdict judged these runs, and gave ties to the intended goal: what is
    # compared is what verdicts of both editions are read from.
    intended = store.RunFolder.load(golden).experiment.contest.intended.name
    for seed, other in zip(found["seeds"], expected["seeds"], strict=True):
        seed["first"][intended] += seed["first"].pop("both")
        for name in SAME:
            assert_alike(seed[name], other[name], name)


def assert_alike(found: Any, expected: Any, name: str) -> None:
    """Numbers may differ by rounding, everything else not at all."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), name
        for key in expected:
            assert_alike(found[key], expected[key], f"{name}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), name
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_alike(one, other, f"{name}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-6), name
    else:
        assert found == expected, name


def test_it_is_cited_and_listed(golden: Path, capsys: pytest.CaptureFixture) -> None:
    assert call(["cite", str(golden)]) == 0
    assert "2507.03068" in (said := capsys.readouterr().out) or "2310.13548" in said
    assert call(["list", "--out", str(golden.parent)]) == 0
    assert golden.name in capsys.readouterr().out


def test_a_changed_description_is_found_out(golden: Path) -> None:
    path = golden / "experiment.json"
    path.write_text(path.read_text().replace('"seeds": [\n   0', '"seeds": [\n   5'))
    with pytest.raises(UsageError, match="was changed"):
        store.RunFolder.load(golden)


def test_a_type_of_an_absent_plug_in_is_named(golden: Path, capsys: pytest.CaptureFixture) -> None:
    """The folder opens as far as it can: its verdict, its tables and its listing are there."""
    path = golden / "experiment.json"
    about = json.loads(path.read_text())
    contest = about["experiment"].get("env") or about["experiment"]["scenario"]
    contest["type"] = "LostWorld"
    about.pop("hash")
    path.write_text(json.dumps(about))
    run = runs.Run(store.RunFolder.load(golden))
    assert run.verdict["verdict"] and len(run.outcomes["seed"])
    assert call(["measure", str(golden)]) == 2
    assert "LostWorld" in (said := capsys.readouterr().err) and "--plugin" in said
