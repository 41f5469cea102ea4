"""What several verbs take: an environment by name, and its board."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from .. import envs
from ..core import Environment, UsageError
from ..envs.grid import GridEnvironment
from ..envs.mazes import LAYOUTS
from . import BadArguments, unknown

ENVIRONMENTS: dict[str, type[Environment]] = {kind.name: kind for kind in envs.ALL}
LAYOUT_KINDS = {kind.name: kind for kind in LAYOUTS}
Target = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
Flat = tyro.conf.OmitArgPrefixes


@dataclasses.dataclass(frozen=True)
class Default:
    """What `run` uses where the user does not say: the largest board that the default fleet masters
    within two minutes on two cores, the steps that it takes, and the environment's own options.

    On its small board *keys* has fewer objects than the published 3 and 10, so that they stand about as
    densely as on the published board.
    """

    size: int
    steps: int
    fields: dict[str, int] = dataclasses.field(default_factory=dict)


DEFAULTS = {
    "corner": Default(size=8, steps=1_200_000),
    "dish": Default(size=8, steps=1_200_000),
    "keys": Default(size=7, steps=1_600_000, fields={"few": 1, "many": 3}),
    "line": Default(size=65, steps=1_000_000),
}


@dataclasses.dataclass(frozen=True)
class Board:
    """The options that describe an environment."""

    size: int | None = None
    """cells along a side of the board (default: depends on the environment; published: 13)"""
    layout: str | None = None
    """boards with walls: blocks (the default), tree or open"""
    max_steps: int = 128
    """steps until an episode is cut off"""
    channels: int | None = None
    """dish: channels that the dish fills in the observation (published: 6)"""
    few: int | None = None
    """keys: how many there are of the scarce kind (published: 3)"""
    many: int | None = None
    """keys: how many there are of the plentiful kind (published: 10)"""

    def environment(self, name: str) -> Environment:
        if name not in ENVIRONMENTS:
            raise BadArguments(unknown("environment", name, ENVIRONMENTS))
        if self.layout is not None and self.layout not in LAYOUT_KINDS:
            raise BadArguments(unknown("layout", self.layout, LAYOUT_KINDS))
        kind: Any = ENVIRONMENTS[name]
        fields: dict[str, Any] = dict(DEFAULTS[name].fields)
        if issubclass(kind, GridEnvironment):
            fields["layout"] = LAYOUT_KINDS[self.layout or "blocks"]()
        elif self.layout is not None:
            raise BadArguments(
                f"--layout {self.layout} is for boards with walls, not for {name}; drop it"
            )
        own = {"channels": ("dish", "num_channels"), "few": ("keys", "few"), "many": ("keys", "many")}
        for option, (owner, field) in own.items():
            value = getattr(self, option)
            if value is not None and owner != name:
                raise BadArguments(f"--{option} {value} is for {owner}, not for {name}")
            if value is not None:
                fields[field] = value
        size = DEFAULTS[name].size if self.size is None else self.size
        return kind(size=size, max_steps=self.max_steps, **fields)

    def fitting(self, paths: tuple[Path, ...], otherwise: int | None = None) -> "Board":
        """This board with the size of the levels in some files, unless the user said another."""
        size = width(paths[0]) if paths else otherwise
        return self if self.size is not None else dataclasses.replace(self, size=size)


def width(path: Path) -> int | None:
    """The width of the first board in a file of levels."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    return next((len(line.strip()) for line in lines if line.strip() and line[0] != ";"), None)
