"""Analyze, store and report in one call: what a training distribution leaves open.

from goalgap.runs.analyze import Request, analyze
found = analyze(Request(goalgap.Corner(size=9), grammar=True))
print(found.path, found.result["worst"])
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import report, store
from ..core import Environment, Goal, Level, Levels, UsageError, tree_index
from ..descriptions import to_json
from ..kinds import kind_of
from ..measure.pictures import atlas
from ..theory import grammar
from ..theory.analysis import analyze as work_out
from ..theory.findings import Samples, Settings
from ..theory.worlds import check

MAX_OTHERS = 512  # deployment levels, and candidates: as many as training levels, but at most
_DRAWN = 8192  # at once; an eighth of them have layouts kept for deployment

Texts = tuple[tuple[str, float], ...]  # levels as text, with weights


@dataclasses.dataclass(frozen=True)
class Request:
    """Say what is to be analyzed. Raises UsageError for too few or too many levels.

    Levels given as text take the place of drawn ones; each counts alike, whatever its weight.
    """

    env: Environment
    settings: Settings = dataclasses.field(default_factory=Settings)
    alpha: float = 0.0  # share of distinguishing levels in training
    num_levels: int = 2000
    grammar: bool = False  # look for goals that nobody listed
    intended: str | None = None  # by name; the environment's own by default
    seed: int = 0
    train: Texts = ()
    deploy: Texts = ()
    candidates: Texts = ()

    def __post_init__(self) -> None:
        if not 8 <= self.num_levels <= 10**6:
            raise UsageError(f"num_levels is {self.num_levels}; expected 8 to 1000000")

    @property
    def hash(self) -> str:
        """Hash the request to eight hexadecimal digits, by which the analysis is found again."""
        fields = {name: value for name, value in vars(self).items() if name != "env"}
        fields["settings"] = dataclasses.asdict(self.settings)
        text = json.dumps([to_json(self.env), fields], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


class Analysis(NamedTuple):
    """Hold what an analysis found, and the folder with its report and the levels to add."""

    path: Path
    result: dict[str, Any]


def analyze(
    request: Request,
    root: Path | str = "runs",
    say: Callable[[str], None] = lambda text: None,
    command: str = "goalgap.runs.analyze.analyze",
) -> Analysis:
    """Work out what training leaves open, and write it to a folder below `root`.

    Written are analysis.json, report.html and, as text, the levels to add and to ask on. `say` hears of
    each part. Raises UsageError for what cannot be analyzed; nothing is then written.
    """
    began = time.perf_counter()
    env = request.env
    every = env.goals
    if request.grammar:
        listed = {goal.name for goal in env.goals}
        every += tuple(goal for goal in grammar.goals(env) if goal.name not in listed)
    intended = _intended(every, request.intended)
    check(env, env.goals)
    say("drawing levels")
    samples = _samples(request)
    rivals = tuple(goal for goal in every if goal != intended)
    result = work_out(env, intended, rivals, samples, request.settings, say)
    result["wall_seconds"] = time.perf_counter() - began
    about = {"format": store.FORMAT, "hash": request.hash, **store.provenance(command)}
    described = {
        "environment": to_json(env),
        "alpha": request.alpha,
        "grammar": request.grammar,
        "seed": request.seed,
    }
    path = Path(root) / f"{env.name}-analysis-{request.hash}"
    for name, levels in _to_write(result).items():
        store.write_levels(path / f"{name}.txt", levels)
    store.write_json(path / "analysis.json", about | described | {"analysis": result})
    content = {
        "about": about,
        "env": kind_of(env).content(env),
        "atlas": atlas(env),
        "analysis": _drawn(env, store.plain(result)),
    }
    report.write_analysis(content, path / "report.html")
    return Analysis(path, result)


def _intended(goals: tuple[Goal, ...], name: str | None) -> Goal:
    if name is None:
        return goals[0]
    named = {goal.name: goal for goal in goals}
    if name not in named:
        raise UsageError(
            f"unknown goal {name!r}; expected one of {', '.join(list(named)[:12])}"
            + (" ..." if len(named) > 12 else "; with --grammar there are more")
        )
    return named[name]


def _to_write(result: dict[str, Any]) -> dict[str, list[tuple[str, float]]]:
    """Gather the levels worth having as files, by the file's name."""
    closing, asked = result["closing"], result["questions"]
    lists = {"add": closing["set"], "mixture": closing["mixture"], "ask": asked}
    return {
        name: [(level["text"], level["weight"]) for level in one["levels"]]
        for name, one in lists.items()
        if one is not None
    }


# -- levels -----------------------------------------------------------------------------------------


def _samples(request: Request) -> Samples:
    """Draw the levels to analyze, where none are given as text.

    Training levels have layouts that training may show, and so have candidates; deployment levels have
    the others. Candidates are distinct, and tell the goals apart.
    """
    env, count = request.env, request.num_levels
    shift = env.shift(request.alpha)
    key = jax.random.fold_in(jax.random.key(2**31 - 3), request.seed)
    others = min(count, MAX_OTHERS)

    def given(texts: Texts) -> Level:
        levels = [env.from_text(text) for text, _ in texts]
        return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *levels)

    return Samples(
        given(request.train) if request.train else draw(env, shift.train, count, key, 0),
        given(request.deploy) if request.deploy else draw(env, shift.deploy, others, key, 1, test=True),
        given(request.candidates)
        if request.candidates
        else draw(env, shift.deploy, others, key, 2, distinct=True),
    )


def draw(
    env: Environment,
    levels: Levels,
    count: int,
    key: Any,
    number: int,
    test: bool = False,
    distinct: bool = False,
) -> Level:
    """Draw `count` levels whose layouts are kept for evaluation (`test`), or are not.

    With `distinct` no two are equal and all tell the goals apart; fewer, where there are not so many.
    Raises UsageError where none turns up.
    """

    @jax.jit
    def batch(key: Any) -> Any:
        drawn = jax.vmap(levels.sample)(jax.random.split(key, _DRAWN))
        wanted = jax.vmap(env.is_test)(drawn) == test
        wanted &= jax.vmap(env.is_distinguishing)(drawn) | (not distinct)
        return drawn, wanted, jax.vmap(env.level_hash)(drawn)

    found: list[Level] = []
    seen: set[bytes] = set()
    total = 0
    for attempt in range(2 + 16 * count // _DRAWN):
        drawn, wanted, hashes = jax.device_get(
            batch(jax.random.fold_in(jax.random.fold_in(key, number), attempt))
        )
        rows = np.flatnonzero(wanted)
        if distinct:
            rows = np.array([row for row in rows if _is_new(hashes[row], seen)], int)
        rows = rows[: count - total]
        found.append(tree_index(drawn, rows))
        total += len(rows)
        if total >= count:
            break
    if not total:
        raise UsageError(f"{env.name}: no such levels turned up; use a larger size or another layout")
    return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


def _is_new(level_hash: np.ndarray, seen: set[bytes]) -> bool:
    """Tell whether a level was not seen before, and note it as seen."""
    known = level_hash.tobytes() in seen
    seen.add(level_hash.tobytes())
    return not known


# -- pictures ---------------------------------------------------------------------------------------


def _drawn(env: Environment, result: dict[str, Any]) -> dict[str, Any]:
    """Add a board of tiles beside every level's text in a result, and turn routes into cells."""

    def add_tiles(value: Any) -> Any:
        if isinstance(value, list):
            return [add_tiles(one) for one in value]
        if not isinstance(value, dict):
            return value
        fields = {name: add_tiles(one) for name, one in value.items()}
        if "text" in value:
            level = env.from_text(value["text"])
            fields["tiles"] = np.asarray(env.board(level, env.reset(level))).tolist()
        return fields

    drawn = {name: add_tiles(part) for name, part in result.items()}
    if result["worst"] is not None:
        level = env.from_text(result["worst"]["text"])
        width = env.observe(level, env.reset(level)).shape[1]
        states = env.states(level)
        drawn["worst"]["routes"] = {
            goal: [divmod(int(cell), width) for cell in np.asarray(states.position[jnp.array(route)])]
            for goal, route in result["worst"]["routes"].items()
        }
    return drawn
