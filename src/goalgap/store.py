"""Run folders: what a run leaves behind, written so that nothing is ever half there.

Every file is written under a temporary name and renamed. `experiment.json` comes first and names the
format; `resume.safetensors` holds a training under way and goes when it is done; `checkpoints/` holds
the outcomes of each checkpoint until the end, when they become `outcomes.parquet`.
"""

import datetime
import functools
import importlib.metadata
import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from .core import Environment, UsageError
from .descriptions import digest
from .experiment import Experiment, load

FORMAT = 2
FORMATS = (1, 2)  # that can be read
Table = Mapping[str, np.ndarray]  # column name -> values, all of one length


def write(path: Path, save: Callable[[Path], Any]) -> None:
    """Write a file so that readers see all of it or none.

    `save` writes a temporary neighbor, which is then renamed to `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, with NaN as null (see `plain`)."""
    text = json.dumps(plain(value), indent=1, allow_nan=False)
    write(path, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def plain(value: Any) -> Any:
    """Turn NumPy values and named tuples into what JSON can hold; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())  # type: ignore[attr-defined]
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises UsageError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; is {path.parent} a finished run folder?") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is damaged ({error}); delete it and run the same command again"
        ) from None


def write_table(path: Path, table: Table) -> None:
    """Write columns as a Parquet file, compressed by zstd."""
    import duckdb

    def save(temporary: Path) -> None:
        with duckdb.connect() as connection:
            connection.register("columns", {k: np.ascontiguousarray(v) for k, v in table.items()})
            target = str(temporary).replace("'", "''")
            connection.execute(f"COPY columns TO '{target}' (FORMAT parquet, COMPRESSION zstd)")

    write(path, save)


def read_table(*paths: Path) -> dict[str, np.ndarray]:
    """Read the columns of one or several Parquet files, one file's rows below the other's.

    Raises UsageError where a file is missing or damaged.
    """
    import duckdb

    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} is missing; run the same command again to make it anew")
    try:
        with duckdb.connect() as connection:
            return connection.read_parquet([str(path) for path in paths]).fetchnumpy()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"{paths[0].parent} holds a damaged table ({reason}); delete it and run again"
        ) from None


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Turn rows into columns; a number that a row lacks is NaN."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: np.array([row.get(name, math.nan) for row in rows]) for name in names}


def rows(table: Table) -> list[dict[str, Any]]:
    """Turn columns into rows, without the numbers that are NaN."""
    values = zip(*(np.asarray(column).tolist() for column in table.values()), strict=True)
    every = (dict(zip(table, row, strict=True)) for row in values)
    return [{name: value for name, value in row.items() if value == value} for row in every]


def write_tree(path: Path, tree: Any, about: Mapping[str, Any]) -> None:
    """Write the arrays of a tree as safetensors, named by their place in the tree.

    `about` goes into the header.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    arrays = {jax.tree_util.keystr(place): np.ascontiguousarray(leaf) for place, leaf in leaves}
    header = {"goalgap": json.dumps(plain(about))}
    write(path, lambda temporary: safetensors.numpy.save_file(arrays, temporary, header))


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a file of arrays, the `about` of `write_tree`.

    Raises UsageError where the file is damaged or missing.
    """
    return read_tree(path, ())[1]


def read_tree(path: Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """Read the arrays of a file into the shape of a tree, and the header.

    Raises UsageError where the file is damaged, or holds other arrays than `like` (another network).
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["goalgap"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; run the same command again to make it anew") from None
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is damaged ({error}); delete it and run again") from None

    def pick(place: Any, leaf: Any) -> jax.Array:
        name = jax.tree_util.keystr(place)
        found = arrays.get(name)
        if found is None or found.shape != tuple(leaf.shape) or found.dtype != leaf.dtype:
            got = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
            raise UsageError(
                f"{path}: {name} is {got}, expected {leaf.dtype}{list(leaf.shape)}; "
                "the file is of another network or version"
            )
        return jax.device_put(found)  # `asarray` would compile a program for each shape

    return jax.tree_util.tree_map_with_path(pick, like), about


# -- levels as text ---------------------------------------------------------------------------------

_WEIGHT = re.compile(r";\s*weight\s+([-+.\deE]+)\s*$")


def write_levels(path: Path, levels: Sequence[tuple[str, float]]) -> None:
    """Write levels with weights into one text file, set off by empty lines.

    Lines that begin with `;` are comments, and hold the weights.
    """
    blocks = (f"; weight {weight:.6g}\n{text.strip()}\n" for text, weight in levels)
    text = "\n".join(blocks)
    write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_levels(env: Environment, path: Path) -> list[tuple[str, float]]:
    """Read the levels of a text file, each checked against the environment, with their weights.

    A weight is 1 where none is given. Raises UsageError with file, line and column.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    levels: list[tuple[str, float]] = []
    block: list[str] = []
    weight = 1.0
    for number, line in enumerate([*lines, ""]):
        if line.startswith(";"):
            if found := _WEIGHT.match(line):
                weight = _weight(found[1], path, number + 1)
        elif line.strip():
            block.append(line.rstrip())
        elif block:
            levels.append((_checked(env, block, path, number - len(block)), weight))
            block, weight = [], 1.0
    if not levels:
        raise UsageError(f"{path} holds no level; expected boards as `goalgap play` reads them")
    return levels


def _weight(text: str, path: Path, line: int) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise UsageError(f"{path}, line {line}: weight {text!r}; expected a number above 0")
    return weight


def _checked(env: Environment, block: list[str], path: Path, before: int) -> str:
    """Return the text of a level, once read; `before` lines of the file stand above the level."""
    text = "\n".join(block) + "\n"
    try:
        return env.to_text(env.from_text(text))
    except UsageError as error:
        place = re.match(r"line (\d+)(.*)", str(error), re.DOTALL)
        said = f"line {before + int(place[1])}{place[2]}" if place else str(error)
        raise UsageError(f"{path}, {said}") from None


class RunFolder:
    """Read and write one run on disk.

    `create` begins a run or finds it again; `load` opens a finished or interrupted one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, experiment: Experiment, root: Path, command: str) -> "RunFolder":
        """Find the folder of an experiment below `root`, or make it. Raises UsageError as `load`."""
        path = root / f"{experiment.name}-{experiment.hash}"
        if (path / "experiment.json").exists():
            folder = cls.load(path)  # complains of damage and of other versions
        else:
            about = {
                "format": FORMAT,
                "hash": experiment.hash,
                "experiment": experiment.description,
                **provenance(command),
            }
            write_json(path / "experiment.json", about)
            folder = cls(path)
        folder.experiment = experiment
        return folder

    @classmethod
    def load(cls, path: Path) -> "RunFolder":
        """Open the folder of a run. Raises UsageError where it is damaged or of another version.

        Whether the types of its experiment are there is found out by `experiment`, when that is used.
        """
        if not path.is_dir():
            raise UsageError(f"{path} is no folder; `goalgap list` names the runs there are")
        about = read_json(path / "experiment.json")
        found = about.get("format") if isinstance(about, dict) else None
        if found not in FORMATS:
            raise UsageError(
                f"{path} has run-folder format {found}, this version reads {FORMATS[0]} to "
                f"{FORMATS[-1]}; run the experiment again, or use the version of goalgap named in it"
            )
        if "hash" in about and digest(about.get("experiment")) != about["hash"]:
            raise UsageError(
                f"{path}/experiment.json was changed: its experiment does not have the hash it states; "
                "run the experiment again"
            )
        return cls(path)

    @functools.cached_property
    def experiment(self) -> Experiment:
        """Build the experiment that the folder is a run of.

        Raises UsageError for subjects that were only measured, and for types of plug-ins that are not
        there.
        """
        experiment = load(self.about["experiment"])
        if not isinstance(experiment, Experiment):
            raise UsageError(f"{self.path} is of a subject that was measured, not of a run; name a run")
        return experiment

    @property
    def about(self) -> dict[str, Any]:
        """Read experiment.json."""
        return read_json(self.path / "experiment.json")

    @property
    def hash(self) -> str:
        """Return the hash that the folder is named after."""
        return self.about["hash"]

    @property
    def is_finished(self) -> bool:
        """Tell whether the run is finished: the verdict is written last."""
        return (self.path / "verdict.json").exists()

    def finished(self) -> "RunFolder":
        """Give the folder itself. Raises UsageError where the run is not finished."""
        if not self.is_finished:
            raise UsageError(f"{self.path} is not finished; run its command again to go on")
        return self

    def policy_path(self, seed: int, env_steps: int) -> Path:
        """Give the path of a seed's policy after so many environment steps."""
        return self.path / "policies" / f"seed-{seed}-step-{env_steps:012d}.safetensors"

    def last_policy_path(self, seed: int) -> Path:
        """Give the path of a seed's last policy. Raises UsageError where there is none."""
        found = sorted(self.path.glob(f"policies/seed-{seed}-step-*.safetensors"))
        if not found:
            raise UsageError(f"{self.path}/policies has none of seed {seed}; run the same command again")
        return found[-1]

    @property
    def others_path(self) -> Path:
        """Give the path of what training made beside the policies (`Learners.others`)."""
        return self.path / "policies" / "others.safetensors"

    def checkpoint_path(self, env_steps: int) -> Path:
        """Give the path of the outcomes of a checkpoint after so many environment steps of a seed."""
        return self.path / "checkpoints" / f"{env_steps:012d}.parquet"

    @property
    def resume_path(self) -> Path:
        """Give the path of the training under way, which is there until the run is finished."""
        return self.path / "resume.safetensors"

    @property
    def train_path(self) -> Path:
        """Give the path of the statistics of training, a table with a row an update."""
        return self.path / "train.parquet"


def list_runs(root: Path) -> list[Path]:
    """List the run folders below `root`, by name."""
    return sorted(path.parent for path in root.glob("*/experiment.json"))


def provenance(command: str) -> dict[str, Any]:
    """Say when, with what and where a result was made, as JSON."""
    packages = ("goalgap", "jax", "jaxlib", "numpy", "equinox", "optax")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "command": command,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{jax.default_backend()}",
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Name the commit of a source checkout; None for an installed package."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
