"""What several verbs take: an environment by name, and its board."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from .. import envs
from ..core import Environment, UsageError
from ..envs.layouts import LAYOUTS
from ..learn.ppo import PPO
from . import BadArguments, unknown

ENVIRONMENTS: dict[str, type[Environment]] = {kind.name: kind for kind in envs.ALL}
LAYOUT_KINDS = {kind.name: kind for kind in LAYOUTS}
Target = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
Flat = tyro.conf.OmitArgPrefixes


LEARNER = PPO(entropy_coefficient=0.02)


@dataclasses.dataclass(frozen=True)
class Default:
    """What `run` uses where the user does not say: the largest board that the default fleet masters
    within minutes on two cores, the steps that it takes, and the environment's own options.

    On its small board *keys* has fewer objects than the published 3 and 10, so that they stand about as
    densely as on the published board. Procgen's games come in modes rather than sizes; their time limits
    are shorter than the original's, which an agent that works does not need.
    """

    steps: int
    fields: dict[str, Any]
    levels: int = 512  # evaluation levels of each split
    learner: PPO = LEARNER


# Procgen's levels cost more to draw than boards, and its mazes need no push to explore.
_FEWER = dataclasses.replace(LEARNER, num_fresh_levels=1024)
_CALMER = dataclasses.replace(_FEWER, entropy_coefficient=0.005)
DEFAULTS = {
    "corner": Default(1_200_000, {"size": 8}),
    "dish": Default(1_200_000, {"size": 8}),
    "keys": Default(1_600_000, {"size": 7, "few": 1, "many": 3}),
    "line": Default(1_000_000, {"size": 65}),
    "coinrun": Default(1_000_000, {"mode": "small", "max_steps": 256}, 256, _FEWER),
    "maze": Default(3_000_000, {"mode": "small", "max_steps": 64}, learner=_CALMER),
    "maze-line": Default(1_200_000, {"mode": "tiny", "max_steps": 64}, learner=_CALMER),
    "heist": Default(6_000_000, {"mode": "easy", "max_steps": 300}, 256, _CALMER),
}


@dataclasses.dataclass(frozen=True)
class Board:
    """The options that describe an environment."""

    size: int | None = None
    """cells along a side of the board (default: depends on the environment; published: 13)"""
    layout: str | None = None
    """boards with walls: blocks (the default), tree or open"""
    max_steps: int | None = None
    """steps until an episode is cut off"""
    channels: int | None = None
    """dish: channels that the dish fills in the observation (published: 6)"""
    few: int | None = None
    """keys: how many there are of the scarce kind (published: 3)"""
    many: int | None = None
    """keys: how many there are of the plentiful kind (published: 10)"""
    mode: str | None = None
    """Procgen's games: easy, hard (published), memory (mazes, heist), tiny (mazes), small (not heist)"""
    observation: str | None = None
    """Procgen's games: symbolic or rgb (64x64 pixels; published)"""
    train_levels: int | None = None
    """Procgen's games: train on so many of Procgen's level seeds (published: 100000; 0: without end)"""
    start_level: int | None = None
    """Procgen's games: the first of these level seeds"""
    region: int | None = None
    """maze: side of the corner region in which training puts the cheese (0: the very corner)"""
    permeable: bool | None = None
    """coinrun: the wall behind the end can be walked through"""
    continue_after_coin: bool | None = None
    """coinrun: the coin stays and does not end the episode"""
    key_penalty: int | None = None
    """heist: tenths of a reward that each key costs"""
    step_penalty: int | None = None
    """heist: thousandths of a reward that each step costs"""

    def environment(self, name: str) -> Environment:
        if name not in ENVIRONMENTS:
            raise BadArguments(unknown("environment", name, ENVIRONMENTS))
        if self.layout is not None and self.layout not in LAYOUT_KINDS:
            raise BadArguments(unknown("layout", self.layout, LAYOUT_KINDS))
        kind: Any = ENVIRONMENTS[name]
        fields = dict(DEFAULTS[name].fields)
        for option, value in vars(self).items():
            field = {"channels": "num_channels", "train_levels": "num_levels"}.get(option, option)
            if value is None:
                continue
            if not _has(kind, field):
                typed = "--" + option.replace("_", "-")
                owners = [other for other, one in ENVIRONMENTS.items() if _has(one, field)]
                raise BadArguments(
                    f"{typed} {value} is for {', '.join(owners)}, not for {name}; drop it"
                )
            fields[field] = LAYOUT_KINDS[value]() if option == "layout" else value
        return kind(**fields)

    def fitting(self, paths: tuple[Path, ...], otherwise: int | None = None) -> "Board":
        """This board with the size of the levels in some files, unless the user said another."""
        size = width(paths[0]) if paths else otherwise
        return self if self.size is not None else dataclasses.replace(self, size=size)


def _has(kind: Any, name: str) -> bool:
    return name in {field.name for field in dataclasses.fields(kind)}


def width(path: Path) -> int | None:
    """The width of the first board in a file of levels."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    return next((len(line.strip()) for line in lines if line.strip() and line[0] != ";"), None)
