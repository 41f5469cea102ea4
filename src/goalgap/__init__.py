"""A laboratory for goal misgeneralization: make it, measure it exactly, report it.

Names are loaded when first used, so that `goalgap --help` does not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents.networks import MLP as MLP
    from .agents.networks import Impala as Impala
    from .core import Environment as Environment
    from .core import Goal as Goal
    from .core import UsageError as UsageError
    from .envs import CoinRun as CoinRun
    from .envs import Corner as Corner
    from .envs import Dish as Dish
    from .envs import Heist as Heist
    from .envs import Keys as Keys
    from .envs import Line as Line
    from .envs import Maze as Maze
    from .envs import MazeLine as MazeLine
    from .experiment import Experiment as Experiment
    from .learn.ppo import PPO as PPO
    from .runs import run as run

_HOMES = {
    "CoinRun": "envs",
    "Corner": "envs",
    "Dish": "envs",
    "Environment": "core",
    "Experiment": "experiment",
    "Goal": "core",
    "Heist": "envs",
    "Impala": "agents.networks",
    "Keys": "envs",
    "Line": "envs",
    "MLP": "agents.networks",
    "Maze": "envs",
    "MazeLine": "envs",
    "PPO": "learn.ppo",
    "UsageError": "core",
    "run": "runs",
}

__all__ = [
    "MLP",
    "PPO",
    "CoinRun",
    "Corner",
    "Dish",
    "Environment",
    "Experiment",
    "Goal",
    "Heist",
    "Impala",
    "Keys",
    "Line",
    "Maze",
    "MazeLine",
    "UsageError",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'goalgap' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    own = {"Any", "TYPE_CHECKING", "importlib"}
    return sorted({*globals(), *_HOMES} - own)
