"""A laboratory for goal misgeneralization: make it, measure it exactly, report it.

Names are loaded when first used, so that `goalgap --help` does not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents.networks import MLP as MLP
    from .agents.networks import Impala as Impala
    from .core import UsageError as UsageError
    from .envs import Corner as Corner
    from .envs import Dish as Dish
    from .envs import Keys as Keys
    from .experiment import Experiment as Experiment
    from .learn.ppo import PPO as PPO
    from .runs import run as run

_HOMES = {
    "Corner": "envs",
    "Dish": "envs",
    "Keys": "envs",
    "Experiment": "experiment",
    "MLP": "agents.networks",
    "Impala": "agents.networks",
    "PPO": "learn.ppo",
    "UsageError": "core",
    "run": "runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'goalgap' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
