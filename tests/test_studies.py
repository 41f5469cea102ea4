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
