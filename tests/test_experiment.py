"""Experiments are understood or refused where they are made, in one line."""

import dataclasses
import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import goalgap
from goalgap.agents.wrappers import Abstain, Ensemble, Steer
from goalgap.core import UsageError
from goalgap.descriptions import to_json
from goalgap.experiment import Experiment, load
from goalgap.language import ALL, Architecture
from goalgap.language.scenarios import Sycophancy
from goalgap.language.sft import SFT
from goalgap.learn.curriculum import DomainRandomization, GroupedRandomization
from goalgap.learn.penalty import Penalty
from goalgap.learn.stage import Usual

CORNER = goalgap.Corner(size=5)


@dataclasses.dataclass(frozen=True)
class Grouped(Penalty):
    needs_groups = True

    def __call__(self, decision: Any, samples: Any) -> Any:
        return 0.0


def imitation(name: str = "more") -> SFT:
    scenario = Sycophancy()
    return SFT(name, 50, lessons=scenario.facts)


class Needy(SFT):
    needs = frozenset({"reward"})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"contest": None}, "contest is None; expected an environment"),
    ({"contest": goalgap.Corner}, "contest is "),
    ({"contest": "cornr"}, "did you mean corner"),
    ({"contest": 7}, "contest is 7"),
    ({"alpha": 1.5}, "alpha is 1.5; expected 0 to 1"),
    ({"alpha": float("nan")}, "alpha is nan; expected a finite number"),
    ({"alpha": "much"}, "alpha is 'much'; expected a number"),
    ({"alpha": None}, "alpha is None"),
    ({"network": "mpl"}, "unknown network 'mpl'; did you mean mlp"),
    ({"network": 128}, "network is 128; expected MLP(), Impala() or a name, for corner"),
    ({"network": goalgap.MLP}, "; expected "),
    ({"stages": (goalgap.MLP(),)}, "expected a tuple, each a Stage"),
    ({"stages": (imitation(),)}, "stage more trains language models"),
    ({"steps": 0}, "steps is 0; expected 1"),
    ({"steps": 0.5}, "steps is 0.5; expected a whole number"),
    ({"steps": True}, "steps is True"),
    ({"steps": 10**12}, "steps is 1000000000000"),
    ({"gradient_steps": 0}, "gradient_steps is 0"),
    ({"gradient_steps": -1}, "gradient_steps is -1"),
    ({"seeds": ()}, "expected 1 to 1000 different"),
    ({"seeds": (0.5,)}, "seeds is (0.5,); expected a tuple, each a whole number"),
    ({"seeds": (1, 1)}, "expected 1 to 1000 different"),
    ({"seeds": (-1,)}, "whole numbers from 0"),
    ({"seeds": 3}, "seeds is 3; expected a tuple"),
    ({"seeds": "012"}, "seeds is '012'"),
    ({"num_levels": 3}, "num_levels is 3; expected 16"),
    ({"num_checkpoints": 0}, "num_checkpoints is 0; expected 1"),
    ({"goal": "cheeze"}, "unknown goal 'cheeze'; did you mean cheese"),
    ({"goal": 3}, "goal is 3"),
    ({"injected": (("x", 1.0),)}, "levels are injected with alpha 0"),
    ({"alpha": 0.5, "injected": (("x", 0.0),)}, "weight 0 or less"),
    ({"levels": 3}, "levels is 3"),
    ({"curriculum": "random"}, "curriculum is 'random'"),
    ({"penalties": (3,)}, "penalties is (3,); expected a tuple, each a Penalty"),
    ({"penalties": Grouped()}, "penalty Grouped needs groups of levels"),
    ({"deploy": (3,)}, "deploy hold 3"),
    ({"deploy": Ensemble(size=9)}, "an ensemble of 9 needs as many seeds"),
    ({"temperature": -1}, "temperature is -1"),
    ({"contest": "sycophancy", "stages": (goalgap.PPO(),)}, "stage ppo trains agents"),
    ({"contest": "sycophancy", "stages": (Usual(), goalgap.PPO())}, "stage ppo trains agents"),
    ({"contest": "sycophancy", "penalties": Grouped()}, "no stage of sycophancy"),
    ({"contest": "sycophancy", "goal": "agree"}, "no stage of sycophancy"),
    ({"contest": "sycophancy", "curriculum": GroupedRandomization()}, "no stage of sycophancy"),
    ({"contest": "sycophancy", "deploy": Ensemble()}, "cannot be put around"),
    ({"contest": "sycophancy", "alpha": 2}, "alpha is 2"),
    ({"contest": "sycophancy", "num_levels": 2}, "num_levels is 2; expected 8"),
    ({"contest": "sycophancy", "network": goalgap.MLP()}, "; expected "),
    ({"network": Architecture()}, "; expected "),
    (
        {"contest": "sycophancy", "stages": (Needy("needy", lessons=Sycophancy().facts),)},
        "stage needy needs reward, which no stage before it gives",
    ),
]


@pytest.mark.parametrize(("wrong", "complaint"), REFUSED, ids=lambda one: str(one)[:40])
def test_what_cannot_be_run_is_refused_in_one_line(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Experiment(**{"contest": CORNER, **wrong})
    said = str(caught.value)
    assert complaint in said and "\n" not in said


UNDERSTOOD: list[tuple[dict[str, Any], str, Any]] = [
    ({"contest": "corner"}, "contest", goalgap.Corner(size=8)),
    ({"contest": "corner"}, "steps", 1_200_000),
    ({"contest": "corner"}, "stages", (goalgap.PPO(entropy_coefficient=0.02),)),
    ({"network": "mlp"}, "network", goalgap.MLP()),
    ({"steps": 1e5}, "steps", 100_000),
    ({"steps": np.int64(7)}, "steps", 7),
    ({"steps": jnp.asarray(7)}, "steps", 7),
    ({"alpha": 1}, "alpha", 1.0),
    ({"alpha": np.float32(0.5)}, "alpha", 0.5),
    ({"seeds": [0, 1]}, "seeds", (0, 1)),
    ({"seeds": np.arange(3)}, "seeds", (0, 1, 2)),
    ({"stages": goalgap.PPO(num_envs=8)}, "stages", (goalgap.PPO(num_envs=8),)),
    ({"goal": "corner"}, "goal", "corner"),
    ({"contest": "sycophancy"}, "num_levels", 256),
    ({"contest": "sycophancy"}, "stages", (Usual(),)),
]


@pytest.mark.parametrize(("given", "field", "expected"), UNDERSTOOD, ids=lambda one: str(one)[:40])
def test_what_can_be_understood_is(given: dict[str, Any], field: str, expected: Any) -> None:
    found = getattr(Experiment(**{"contest": CORNER, **given}), field)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "experiment",
    [
        Experiment(CORNER),
        Experiment("keys", goal="keys", curriculum=GroupedRandomization(), gradient_steps=100),
        Experiment("dish", deploy=(Ensemble(), Abstain(0.5)), temperature=0.5),
        Experiment(CORNER, deploy=(Steer("dense0", (1.0, 0.0)),)),
        *(Experiment(kind.name, alpha=0.1) for kind in ALL),
    ],
    ids=lambda one: one.hash,
)
def test_descriptions_leave_defaults_out_and_are_read_back(experiment: Experiment) -> None:
    text = json.dumps(experiment.description)
    back = load(json.loads(text))
    assert back.hash == experiment.hash and back.description == experiment.description
    assert "num_checkpoints" not in experiment.description
    assert experiment.description["contest"].keys() <= {"type", *vars(experiment.contest)}


# What a field means when a description leaves it out. It may never change: a new meaning is a new field.
DEFAULTS = {
    "alpha": 0.0,
    "network": None,
    "stages": (),
    "seeds": (0, 1, 2, 3),
    "steps": None,
    "gradient_steps": None,
    "num_levels": None,
    "num_checkpoints": 12,
    "goal": None,
    "injected": (),
    "levels": None,
    "penalties": (),
    "deploy": (),
    "temperature": 1.0,
}


def test_released_defaults_never_change() -> None:
    fields: dict[str, Any] = {field.name: field for field in dataclasses.fields(Experiment)}
    for name, default in DEFAULTS.items():
        assert fields[name].default == default, name
    assert fields["curriculum"].default_factory() == DomainRandomization()
    assert to_json(goalgap.PPO()) == {"type": "PPO"}
    known = dataclasses.asdict(goalgap.PPO())
    assert known == {
        "num_envs": 256, "num_steps": 64, "num_epochs": 4, "num_minibatches": 8, "learning_rate": 1e-3,
        "anneal": True, "gamma": 0.99, "gae_lambda": 0.95, "clip": 0.2, "value_clip": False,
        "value_coefficient": 0.5, "entropy_coefficient": 0.01, "max_grad_norm": 0.5,
        "num_fresh_levels": 4096, "name": "ppo", "steps": None,
    }  # fmt: skip


def test_a_field_that_is_added_later_orphans_no_description() -> None:
    @dataclasses.dataclass(frozen=True)
    class Later(Experiment):
        added: int = 3

    before = Experiment(CORNER).description
    after = Later(CORNER).description
    assert after | {"type": "Experiment"} == before
