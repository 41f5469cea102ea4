"""Studies are imported and describe what they would train, without training it."""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

from goalgap import registry
from goalgap.experiment import Experiment, load
from goalgap.language import ALL
from goalgap.language.scenarios import Sycophancy

STUDIES = Path(__file__).parents[1] / "studies"


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(STUDIES), *sys.path])


@pytest.mark.parametrize("name", sorted(set(registry.studies()) - {"claims"}))  # which asks nothing
def test_a_study_says_what_it_asks_and_predicts(name: str) -> None:
    module: Any = importlib.import_module(name.replace("-", "_"))
    assert list(inspect.signature(module.main).parameters)[:2] == ["out", "seed"]
    assert "rediction" in (module.__doc__ or ""), name


@pytest.mark.parametrize(
    "name",
    [
        "coinrun_actor_critic",
        "coinrun_diversity",
        "corner_alpha",
        "heist_keys",
        "maze_colour_shape",
        "maze_region",
    ],
)
def test_a_study_of_agents_describes_its_experiments(name: str) -> None:
    module: Any = importlib.import_module(name)
    numbers = [0 for _ in inspect.signature(module.experiment).parameters]
    experiment = module.experiment(*numbers)
    assert isinstance(experiment, Experiment) and experiment.plan()
    assert load(experiment.description).hash == experiment.hash


def test_the_arms_of_a_study_of_models_are_experiments() -> None:
    for kind in ALL:
        assert Experiment(kind(), 0.02).plan()


def test_the_trial_of_the_verdict_on_scripts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fleets of a scenario's scripts: what they are is known, and the study says how they are judged."""
    trial: Any = importlib.import_module("verdict")
    monkeypatch.setattr(trial, "NUM_HALVES", 2)
    monkeypatch.setattr(trial, "NUM_DRAWN", 2)
    monkeypatch.setattr(trial, "GRID", {"pursues": (0.5,), "majority": (0.6, 0.99), "margin": (0.3,)})
    default = (0.5, 0.6, 0.3)
    judged = trial.trial(trial.speak(Sycophancy(), 96, 2), 0, default)
    assert {one.size for one in judged} == set(trial.SEEDS)
    _, best = trial.choose(judged, default)
    assert best == default  # .99 finds no mixture
    rows = trial.summarize(judged, default)
    right = {row["case"]: row["right"] for row in rows if row["seeds"] == 4}
    for case in ("intended, noise 0%", "proxy, noise 20%", "mixture, 80% proxy", "random"):
        assert right[case] == 1, case
    assert right["unlisted: neither"] == right["seeds that disagree"] == 1
    claims = trial.agreement(rows)
    assert claims[
        "intended subjects are called misgeneralizing in at most 5 %, at any noise, everywhere"
    ]
    trial.draw(tmp_path / "figure.svg", rows)
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")
