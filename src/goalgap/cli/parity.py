"""Serve `goalgap parity`: are our Procgen games the original's, level for level and step for step?"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from ..envs.procgen.random_words import check_seed
from ..original.engine import Engine
from ..original.record import levels, random_actions, replay
from ..original.recordings import UPSTREAM, Comparison, Mismatch, Source, check, compare, compare_file
from ..runs import use_compilation_cache
from .arguments import BadArguments

MODES = ("easy", "hard")
NUM_ENGINES = 50  # environments that the live engine plays at a time


@dataclasses.dataclass(frozen=True)
class Parity:
    """Compare our Procgen games with the original engine: recordings of it (FILES), or live.

    A file is named after what it holds: `levels_<engine>_<game>_<mode>[_<option>...].npz`,
    `traj_...npz`, or level_seed_chain.npz. Equal means: whole numbers, truth values, rewards and
    all numbers of levels to the last bit; positions and velocities in play to 1e-4.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILES")] = ()
    """recordings"""
    live: tuple[str, ...] = ()
    """games of the live engine: coinrun, maze, heist"""
    modes: tuple[str, ...] = MODES
    """live: distribution modes"""
    seeds: int = 500
    """live: level seeds of each game and mode"""
    steps: int = 300
    """live: steps of random play on each level (0: levels only)"""
    start: int = 0
    """live: the first level seed"""
    seed: int = 0
    """live: which random actions"""
    engine: str | None = None
    """live: a Python that has procgen (default: what GOALGAP_PROCGEN names, or this one)"""
    json: bool = False
    """print one JSON document"""

    def call(self) -> int:
        """Compare, print what differs, and return the exit code: 1 where something does."""
        if bool(self.files) == bool(self.live):
            raise BadArguments("give recordings (files.npz), or games with --live coinrun maze heist")
        self._check()
        use_compilation_cache()
        found: list[tuple[str, Comparison]] = []
        for path in self.files:
            found.append((str(path), compare_file(path)))
            self._show(*found[-1])
        for game in self.live:
            for mode in self.modes:
                for name, comparison in self._live(game, mode):
                    found.append((name, comparison))
                    self._show(name, comparison)
        count = sum(comparison.count for _, comparison in found)
        if self.json:
            compared = [_document(*one) for one in found]
            print(json.dumps({"mismatches": count, "compared": compared}, indent=1))
        else:
            print("no mismatch" if not count else f"{count} numbers differ")
        return 1 if count else 0

    def _check(self) -> None:
        """Refuse what cannot be played before anything is started."""
        for game in self.live:
            check("game", game, UPSTREAM)
            for mode in self.modes:
                check(f"mode of {game}", mode, UPSTREAM[game].modes)
        if self.live and not self.modes:
            raise BadArguments("--modes names none; give easy or hard")
        if not 1 <= self.seeds <= 100_000:
            raise BadArguments(f"--seeds is {self.seeds}; expected 1 to 100000 levels")
        if not 0 <= self.steps <= 10_000:
            raise BadArguments(f"--steps is {self.steps}; expected 0 (levels only) to 10000")
        if self.seed < 0:
            raise BadArguments(f"--seed is {self.seed}; expected a whole number from 0")
        check_seed(self.start)
        check_seed(self.start + self.seeds - 1)

    def _live(self, game: str, mode: str) -> Any:
        """Yield each comparison with the running engine, with its name."""
        seeds = self.start + np.arange(self.seeds)
        about = Source("levels", "up", game, mode, {})
        name = f"live {game} {mode}"
        print(f"asking the engine for {game} {mode}", file=sys.stderr)
        with Engine(game, mode, min(self.seeds, NUM_ENGINES), self.engine) as engine:
            made = levels(engine, seeds)
            yield f"{name} levels", compare("levels", made, about.ours(made), name)
            if self.steps:
                about = about._replace(kind="traj")
                made = replay(engine, seeds, random_actions(game, seeds, self.steps, self.seed))
                yield f"{name} play", compare("traj", made, about.ours(made), name)

    def _show(self, name: str, comparison: Comparison) -> None:
        """Print one recording's result, and every mismatch listed, on standard output."""
        if self.json:
            return
        played = f", {comparison.num_steps} steps" if comparison.num_steps else ""
        aside = f"; not compared: {', '.join(comparison.left_out)}" if comparison.left_out else ""
        result = f"{comparison.count} numbers differ" if comparison.count else "equal"
        fields = ", ".join(comparison.fields)
        print(f"{name}: {result} ({comparison.num_levels} levels{played}: {fields}{aside})")
        for mismatch in comparison.mismatches:
            print(f"  {name}: {_line(mismatch)}")
        if comparison.count > len(comparison.mismatches):
            print(f"  {name}: and {comparison.count - len(comparison.mismatches)} more")


def _line(mismatch: Mismatch) -> str:
    """Describe a mismatch in words."""
    seed = "" if mismatch.seed is None else f"seed {mismatch.seed}, "
    step = "" if mismatch.step is None else f"step {mismatch.step}, "
    place = "".join(f"[{index}]" for index in mismatch.place)
    return f"{seed}{step}{mismatch.field}{place}: expected {mismatch.expected}, got {mismatch.got}"


def _document(name: str, comparison: Comparison) -> dict[str, Any]:
    rows = [_plain(mismatch._asdict()) for mismatch in comparison.mismatches]
    return {"name": name, **comparison._asdict(), "mismatches": rows}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Replace not-a-number and the infinities, for which JSON has no word, by text."""
    odd = {key: str(value) for key, value in row.items() if value != value or value in (np.inf, -np.inf)}
    return row | odd
