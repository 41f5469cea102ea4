"""Settings are understood or refused at construction, in one line."""

import dataclasses
import math
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import pytest

from goalgap.agents.networks import MLP, Impala
from goalgap.core import Mixture, UsageError
from goalgap.envs import CoinRun, Corner, Dish, Heist, Keys, Line, Maze, MazeLine
from goalgap.envs.layouts import Blocks, Open, Tree
from goalgap.language.scenarios import ALL
from goalgap.language.scenarios.sycophancy import Sycophancy
from goalgap.language.scenarios.tampering import Tampering
from goalgap.language.sft import SFT
from goalgap.language.transformer import Architecture
from goalgap.learn.ppo import PPO
from goalgap.settings import Checked, settle
from goalgap.theory.findings import Settings

NAN, INF = math.nan, math.inf
REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (Corner, {"size": 5.5}, "Corner: size is 5.5; expected a whole number"),
    (Corner, {"size": "8"}, "size is '8'; expected a whole number"),
    (Corner, {"size": None}, "size is None; expected a whole number"),
    (Corner, {"size": True}, "size is True; expected a whole number"),
    (Corner, {"size": NAN}, "size is nan; expected a whole number"),
    (Corner, {"size": INF}, "size is inf; expected a whole number"),
    (Corner, {"size": 2}, "boards are 3 to 31"),
    (Corner, {"size": (5, 5)}, "size is (5, 5); expected a whole number"),
    (Corner, {"size": np.array([5, 5])}, "expected a whole number"),
    (Corner, {"max_steps": 0}, "max_steps is 0"),
    (Corner, {"max_steps": 1e9}, "max_steps is 1000000000"),
    (Corner, {"layout": "tre"}, "did you mean tree?"),
    (Corner, {"layout": 3}, "layout is 3; expected a Layout"),
    (Corner, {"layout": Tree}, "the class Tree; expected a Layout, as Tree()"),
    (Corner, {"layout": Tree(), "size": 8}, "try 7 or 9"),
    (Corner, {"intended": "cheese"}, "intended is 'cheese'; expected a Goal"),
    (Corner, {"proxies": "corner"}, "proxies is 'corner'; expected a tuple"),
    (Corner, {"proxies": (3,)}, "expected a tuple, each a Goal"),
    (Dish, {"num_channels": 0}, "num_channels is 0"),
    (Dish, {"num_channels": 2.5}, "expected a whole number"),
    (Keys, {"few": True}, "few is True; expected a whole number"),
    (Keys, {"few": "three"}, "few is 'three'"),
    (Keys, {"few": 5, "many": 2}, "1 <= few <= many"),
    (Line, {"size": 130}, "lines are 3 to 129"),
    (Line, {"size": [5]}, "expected a whole number"),
    (CoinRun, {"mode": "hrd"}, "did you mean hard?"),
    (CoinRun, {"mode": 3}, "mode is 3; expected a text"),
    (CoinRun, {"permeable": 1}, "permeable is 1; expected True or False"),
    (CoinRun, {"continue_after_coin": "yes"}, "expected True or False"),
    (CoinRun, {"start_level": 0.5}, "expected a whole number"),
    (Maze, {"region": -1}, "region is -1"),
    (Maze, {"region": "corner"}, "expected a whole number"),
    (MazeLine, {"num_levels": -3}, "num_levels is -3"),
    (Heist, {"key_penalty": -1}, "key_penalty is -1"),
    (Heist, {"key_penalty": 0.5}, "expected a whole number"),
    (Blocks, {"density": 1.0}, ""),
    (Blocks, {"density": "much"}, "density is 'much'; expected a number"),
    (MLP, {"width": 0}, "width is 0; expected at least 1"),
    (MLP, {"width": -1}, "expected at least 1"),
    (MLP, {"depth": 2.5}, "expected a whole number"),
    (MLP, {"depth": -1}, "expected at least 0"),
    (MLP, {"lstm": -1}, "expected at least 0"),
    (MLP, {"lstm": True}, "lstm is True"),
    (Impala, {"channels": ()}, "channels is ()"),
    (Impala, {"channels": (16, 0)}, "expected each at least 1"),
    (Impala, {"channels": (16, 2.5)}, "expected a tuple, each a whole number"),
    (Impala, {"channels": 16}, "channels is 16; expected a tuple"),
    (Impala, {"blocks": (1,)}, "a number of blocks for each stage"),
    (Impala, {"blocks": -1}, "expected at least 0"),
    (Impala, {"blocks": "two"}, "expected a whole number or a tuple"),
    (Impala, {"dense": 0}, "dense is 0"),
    (PPO, {"clip": NAN}, "clip is nan; expected a finite number"),
    (PPO, {"clip": -0.1}, "expected at least 0"),
    (PPO, {"num_envs": 0}, "num_envs is 0; expected at least 1"),
    (PPO, {"num_envs": 100.5}, "expected a whole number"),
    (PPO, {"gamma": "x"}, "gamma is 'x'; expected a number"),
    (PPO, {"gamma": 1.5}, "expected 0 to 1"),
    (PPO, {"learning_rate": INF}, "expected a finite number"),
    (PPO, {"learning_rate": 0}, "expected a positive number"),
    (PPO, {"anneal": "no"}, "expected True or False"),
    (PPO, {"max_grad_norm": 0}, "expected a positive number"),
    (PPO, {"num_envs": 100, "num_minibatches": 3}, "does not divide"),
    (Architecture, {"layers": 0}, "expected 1 to 48 layers"),
    (Architecture, {"width": "wide"}, "expected a whole number"),
    (Settings, {"epsilon": NAN}, "epsilon is nan"),
    (Settings, {"beta": None}, "beta is None; expected a number"),
    (Sycophancy, {"unverifiable": "some"}, "expected a number"),
    (Sycophancy, {"fact_steps": 1.5}, "expected a whole number"),
    (Tampering, {"trained_away": 1}, "expected True or False"),
    (Tampering, {"learner": None}, "learner is None; expected a text"),
    (SFT, {"name": "facts", "lessons": 3}, "lessons is 3; expected a function"),
    (SFT, {"name": "facts", "lessons": len, "steps": 0}, "expected numbers above 0"),
]


@pytest.mark.parametrize(("kind", "given", "expected"), REFUSED)
def test_wrong_settings_are_refused_in_one_line(kind: Any, given: dict[str, Any], expected: str):
    with pytest.raises(UsageError) as refusal:
        made = kind(**given)
        if kind is Blocks:  # a layout's density is checked with the board's size
            Corner(layout=made)
    assert expected in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "given", "field", "understood"),
    [
        (Corner, {"size": 8.0}, "size", 8),
        (Corner, {"size": np.int64(8)}, "size", 8),
        (Corner, {"size": np.array(8)}, "size", 8),
        (Corner, {"size": jnp.asarray(8)}, "size", 8),
        (Corner, {"layout": "open"}, "layout", Open()),
        (CoinRun, {"permeable": np.bool_(True)}, "permeable", True),
        (CoinRun, {"mode": np.str_("easy")}, "mode", "easy"),
        (PPO, {"num_envs": 128.0}, "num_envs", 128),
        (PPO, {"gamma": 1}, "gamma", 1.0),
        (PPO, {"gamma": np.float64(0.5)}, "gamma", 0.5),
        (MLP, {"width": np.int32(64)}, "width", 64),
        (Impala, {"channels": [16, 32]}, "channels", (16, 32)),
        (Impala, {"channels": np.array([16, 32])}, "channels", (16, 32)),
        (Impala, {"blocks": [1, 1, 2.0]}, "blocks", (1, 1, 2)),
        (Architecture, {"width": 48.0}, "width", 48),
        (Settings, {"beta": 10}, "beta", 10.0),
        (Sycophancy, {"replay": 0}, "replay", 0.0),
    ],
)
def test_what_can_be_understood_is(kind: Any, given: dict[str, Any], field: str, understood: Any):
    value = getattr(kind(**given), field)
    assert value == understood and type(value) is type(understood)


def test_equal_settings_are_equal_and_hash_alike():
    given: Any = 256.0
    assert PPO(num_envs=given) == PPO() and hash(PPO(num_envs=given)) == hash(PPO())


def test_a_share_of_levels_is_a_number():
    shift = Corner(size=5).shift()
    with pytest.raises(UsageError, match="alpha is 2"):
        Mixture(shift.train, shift.deploy, 2.0)


@pytest.mark.parametrize("kind", ALL)
def test_every_setting_of_every_scenario_is_checked(kind: Any):
    """Whether or not the scenario's own checks look at it."""
    for field in dataclasses.fields(kind):
        with pytest.raises(UsageError, match=f"{field.name} is <object"):
            kind(**{field.name: object()})


@dataclasses.dataclass(frozen=True)
class Strange(Checked):
    """What somebody outside writes, who knows of no parent."""

    count: int
    pair: "tuple[int, float] | None" = None
    word: Literal["a", "b"] = "a"
    table: "dict[str, NotThere]" = dataclasses.field(default_factory=dict)  # type: ignore # noqa: F821

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", type(self.count))


def test_fields_are_settled_before_a_strangers_own_checks():
    made = Strange(3.0, pair=[1.0, 2])  # type: ignore
    assert made.seen is int and made.pair == (1, 2.0)  # type: ignore
    with pytest.raises(UsageError, match="pair is 3; expected a tuple or None"):
        Strange(1, pair=3)  # type: ignore
    with pytest.raises(UsageError, match=r"pair is .*; expected a tuple of 2"):
        Strange(1, pair=(1, 2, 3))  # type: ignore
    with pytest.raises(UsageError, match="word is 'c'; expected one of a, b"):
        Strange(1, word="c")  # type: ignore
    assert Strange(1, table=3).table == 3  # type: ignore  # nobody can tell


def test_ranges_are_inclusive():
    settle(Strange(3), count=(3, 3))
    for bounds, expected in {(4, None): "at least 4", (None, 2): "at most 2", (5, 6): "5 to 6"}.items():
        with pytest.raises(UsageError, match=f"Strange: count is 3; expected {expected}"):
            settle(Strange(3), count=bounds)
