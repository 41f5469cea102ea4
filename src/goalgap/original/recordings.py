"""Compare recordings of Procgen's engines with what our games do, field by field.

A recording is an .npz file that says in its name what it holds:
`levels_<engine>_<game>_<mode>[_<option>...]` (levels as they begin) or `traj_...` (what recorded actions
did), `engine` being `up` (openai/procgen) or `fork` (JacobPfau/procgenAISC), options `rp10`
(`random_percent` 10), `rr10` (`rand_region`), `kp1` (`key_penalty`), `sp1` (`step_penalty`); or
`level_seed_chain`: which level seeds a `rand_seed` leads to.

What *equal* means: whole numbers, truth values, rewards and all numbers of levels are the same to the
last bit. Positions and velocities in play differ by less than `TOLERANCE`: the original itself differs
by 1e-5 from build to build. Not-a-number pads, so that arrays of different width are no difference.
"""

import difflib
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ..core import UsageError
from ..envs.procgen.random_words import MAX_SEED, level_seeds
from . import coinrun, heist, maze

TOLERANCE = 1e-4  # tiles, tiles a step
COINRUN, MAZE, HEIST = ("easy", "hard"), ("easy", "hard", "memory"), ("easy", "hard", "memory")
PENALTIES = ("kp", "sp")
OPTIONS = {"rp": "random_percent", "rr": "rand_region", "kp": "key_penalty", "sp": "step_penalty"}


class Game(NamedTuple):
    """Say, for one of the engines' games, which module makes our version, its modes and its options."""

    family: Any
    modes: tuple[str, ...]
    options: tuple[str, ...] = ()


UPSTREAM = {"coinrun": Game(coinrun, COINRUN), "maze": Game(maze, MAZE), "heist": Game(heist, HEIST)}
GAMES = {
    "up": UPSTREAM,
    "fork": UPSTREAM
    | {
        "coinrun": Game(coinrun, COINRUN, ("rp",)),
        "coinrun_aisc": Game(coinrun, COINRUN),
        "maze_aisc": Game(maze, MAZE, ("rr",)),
        "maze_fixed_size": Game(maze, MAZE),
        "maze_yellowline": Game(maze, MAZE),
        "maze_redline_yellowgem": Game(maze, MAZE),
        "maze_yellowstar_redgem": Game(maze, MAZE),
        "heist_aisc_many_chests": Game(heist, HEIST, PENALTIES),
        "heist_aisc_many_keys": Game(heist, HEIST, PENALTIES),
    },
}
KINDS = ("levels", "traj")
CLOSE = ("agent", "ents")  # fields of `traj` that may differ by less than TOLERANCE
CHAIN = "level_seed_chain"
GIVEN = {"seed", "action"}  # fields from which both the recording and ours were made


class Source(NamedTuple):
    """Say what a recording was made from, as its name tells."""

    kind: str  # one of KINDS
    engine: str
    game: str
    mode: str
    options: dict[str, int]

    def ours(self, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Make, from the recording's seeds (and actions), the fields that our game has."""
        family = GAMES[self.engine][self.game].family
        # At the same seed the fork's coinrun makes other levels than upstream's.
        fork = {"fork": 1} if (self.engine, self.game) == ("fork", "coinrun") else {}
        seeds = data["seed"].astype(np.int32)
        given = (self.game, self.mode, self.options | fork, seeds)
        if self.kind == "levels":
            return family.levels(*given)
        return family.replay(*given, data["action"].astype(np.int32))


class Mismatch(NamedTuple):
    """Hold one number that differs. `step` is None for levels."""

    field: str
    seed: int | None
    step: int | None
    place: tuple[int, ...]  # where in the field
    expected: float | str
    got: float | str


class Comparison(NamedTuple):
    """Sum up the comparison of one recording."""

    num_levels: int
    num_steps: int
    fields: tuple[str, ...]
    left_out: tuple[str, ...]  # fields of the recording that are not ours to give
    count: int  # of numbers that differ
    mismatches: tuple[Mismatch, ...]  # the first of them


def source(name: str) -> Source:
    """Read a recording's name (without `.npz`). Raises UsageError for names of another form."""
    parts = name.split("_")
    given: dict[str, int] = {}
    while len(parts) > 4 and (option := re.fullmatch(r"([a-z]{2})(\d+)", parts[-1])):
        given = {option[1]: int(option[2])} | given
        parts.pop()
    if len(parts) < 4:
        raise UsageError(
            f"cannot read the name {name!r}; expected levels_<engine>_<game>_<mode>[_<option>...], "
            f"traj_..., or {CHAIN}"
        )
    kind, engine, game, mode = parts[0], parts[1], "_".join(parts[2:-1]), parts[-1]
    check("kind of recording", kind, KINDS)
    check("engine", engine, GAMES)
    check("game", game, GAMES[engine])
    check("mode", mode, GAMES[engine][game].modes)
    for option, value in given.items():
        check(f"option of {game}", option, GAMES[engine][game].options)
        if option == "rp" and value > 100:
            raise UsageError(f"rp is {value}; random_percent is a percentage, 0 to 100")
    return Source(kind, engine, game, mode, {OPTIONS[key]: value for key, value in given.items()})


def check(what: str, given: str, known: Iterable[str]) -> None:
    """Raise UsageError, with the nearest name, if `given` is not among the `known` names."""
    known = list(known)
    if given not in known:
        near = difflib.get_close_matches(given, known, 1, 0.5)
        expected = f"expected one of {', '.join(known)}" if known else "expected none"
        raise UsageError(f"unknown {what} {given!r}; {f'did you mean {near[0]}?' if near else expected}")


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file. Raises UsageError for any other file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not hasattr(file, "files"):
                raise UsageError(f"{path} is one array; expected an .npz file of several")
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise UsageError(f"{path} is no .npz file of numbers; give a recording") from None


def compare_file(path: Path) -> Comparison:
    """Compare a recording with what our games make of its seeds.

    Raises UsageError for any other file.
    """
    data = read(path)
    if path.stem == CHAIN:
        return compare_chain(data, str(path))
    about = source(path.stem)
    _check_data(about, data, str(path))
    return compare(about.kind, data, about.ours(data), str(path))


def _check_data(about: Source, data: dict[str, np.ndarray], name: str) -> None:
    """Raise UsageError for seeds and actions that our games cannot be given."""
    needed = ("seed",) if about.kind == "levels" else ("seed", "action")
    missing = [field for field in needed if field not in data]
    if missing:
        raise UsageError(f"{name} has no {' and '.join(missing)}; record it again with all fields")
    seeds = data["seed"]
    if seeds.ndim != 1 or seeds.dtype.kind not in "iu" or not len(seeds):
        raise UsageError(f"{name}: seed is {_form(seeds)}; expected a row of whole numbers")
    bad = seeds[(seeds < 0) | (seeds > MAX_SEED)]
    if len(bad):
        raise UsageError(f"{name}: seed {bad[0]}; Procgen's are whole numbers from 0 to 2^31 - 2")
    if about.kind == "levels":
        return
    actions = data["action"]
    if actions.ndim != 2 or len(actions) != len(seeds) or actions.dtype.kind not in "iu":
        raise UsageError(
            f"{name}: action is {_form(actions)}; expected whole numbers [{len(seeds)}, steps]"
        )
    if actions.size and not 0 <= actions.min() <= actions.max() <= 14:
        raise UsageError(
            f"{name}: actions are {actions.min()} to {actions.max()}; Procgen's are 0 to 14"
        )


def _form(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"


def compare(
    kind: str, recorded: dict[str, np.ndarray], ours: dict[str, np.ndarray], name: str, most: int = 20
) -> Comparison:
    """Compare fields of the same name, listing the first `most` differences.

    Raises UsageError where the recording lacks a field that we have.
    """
    missing = sorted(set(ours) - set(recorded))
    if missing:
        raise UsageError(f"{name} has no {', '.join(missing)}; record it again with all fields")
    left_out = sorted(set(recorded) - set(ours) - GIVEN)
    seeds, count, found = recorded["seed"], 0, []
    fields = tuple(field for field in recorded if field in set(ours) - GIVEN)
    for field in fields:
        expected = recorded[field]
        close = kind == "traj" and field in CLOSE
        differs, expected, got = _differs(expected, ours[field], TOLERANCE if close else 0)
        if differs is None:
            sizes = f"[{', '.join(map(str, expected.shape))}]", f"[{', '.join(map(str, got.shape))}]"
            found.append(Mismatch(field, None, None, (), *sizes))
            count += 1
            continue
        count += int(differs.sum())
        for index in np.argwhere(differs)[: max(most - len(found), 0)]:
            row, *place = (int(number) for number in index)
            step = place.pop(0) if kind == "traj" and place else None
            values = (array[tuple(index)].item() for array in (expected, got))
            found.append(Mismatch(field, int(seeds[row]), step, tuple(place), *values))
    steps = recorded["action"].size if kind == "traj" else 0
    return Comparison(len(seeds), steps, fields, tuple(left_out), count, tuple(found[:most]))


def _differs(
    expected: np.ndarray, got: np.ndarray, tolerance: float
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Mark where two arrays differ (None: they are of different form), and return both, padded alike."""
    expected, got = np.asarray(expected), np.asarray(got)
    if expected.dtype.kind == "f" and expected.ndim == got.ndim > 2:
        width = max(expected.shape[-2], got.shape[-2])
        expected, got = (_pad(array, width) for array in (expected, got))
    if expected.shape != got.shape:
        return None, expected, got
    if expected.dtype.kind != "f":
        return expected != got, expected, got
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    if tolerance:
        same |= np.abs(expected - got) < tolerance
    return ~same, expected, got


def _pad(array: np.ndarray, width: int) -> np.ndarray:
    """Add rows of not-a-number up to a width."""
    sizes = [(0, 0)] * array.ndim
    sizes[-2] = (0, width - array.shape[-2])
    return np.pad(array, sizes, constant_values=np.nan)


def compare_chain(data: dict[str, np.ndarray], name: str) -> Comparison:
    """Compare level seeds [resets, environments] by `num_levels`, `start_level` and `rand_seed`.

    Each field's name, `chain_nl<num_levels>_sl<start_level>_rs<rand_seed>`, says these. Raises
    UsageError for other names.
    """
    count, total, found = 0, 0, []
    for field, expected in data.items():
        said = re.fullmatch(r"chain_nl(\d+)_sl(\d+)_rs(\d+)", field)
        if said is None or expected.ndim != 2:
            raise UsageError(
                f"{name}: cannot read {field!r} {_form(expected)}; expected "
                "chain_nl<num_levels>_sl<start_level>_rs<rand_seed> [resets, environments]"
            )
        resets, num = expected.shape
        got = np.asarray(
            jax.device_get(level_seeds(int(said[3]), int(said[1]), int(said[2]), num, resets))
        )
        differs = expected != got
        count, total = count + int(differs.sum()), total + expected.size
        for place in np.argwhere(differs):
            at = tuple(int(number) for number in place)
            found.append(Mismatch(field, None, None, at, expected[at].item(), got[at].item()))
    return Comparison(total, 0, tuple(data), (), count, tuple(found[:20]))
