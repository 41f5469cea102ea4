"""The levels on which policies are judged, what they are worth to each goal, and sitting the exam.

Three splits. `train`: held-out levels of the class that training shows. `shift`: distinguishing ones,
each solvable for every goal, and none of whose goals is achieved at the start. `twin`: the same layouts
as `shift`, with the correlation of training restored, so that a hard maze is no explanation of failure.
Unsolvable levels are dropped by the oracle; where play cannot be solved exactly, levels are dropped on
which the environment's reference player of a goal does not achieve it.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, UInt64

from .. import oracle, stats
from ..agents.scripted import Random
from ..core import Environment, Goal, Level, Levels, Outcome, Policy, Trace, UsageError, tree_index
from ..rollout import episodes
from ..theory.underspecification import regrets

SCORE_GAMMA = 0.99  # of all scores: slow enough to forgive a detour, fast enough to mind a delay
SPLITS = ("train", "shift", "twin")
MIN_LEVELS = 4
_BATCH, _MAX_BATCHES = 8192, 24  # candidates drawn at once, and how often at most
_CHUNK = 64  # levels that reference players play at a time
_PATH = ("state", "action")  # what examining keeps of an episode's trace
_RANDOM_EPISODES = 16  # of random play a level, where its value is not solved exactly


class Split(NamedTuple):
    """Levels of one kind; g: the environment's goals, the intended one first."""

    levels: Level
    level_hash: UInt64[np.ndarray, " n"]
    # Discounted by SCORE_GAMMA; without exact play, what the reference players earn.
    optimum: Float[np.ndarray, "n g"]
    random: Float[np.ndarray, "n g"]
    random_reached: Float[np.ndarray, "n g"]  # share of random walks that achieve the goal
    random_first: Float[np.ndarray, "n g"]  # share in which it is achieved first
    # What pursuit of each goal earns under the intended one, ties broken evenly; None: not known.
    pursuit: Float[np.ndarray, "n g"] | None


class _Reference:
    """The reference players of an environment without exact play; no level is played twice."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.known: dict[tuple[str, int], tuple[float, bool]] = {}

    def play(self, goal: Goal, levels: Level) -> tuple[np.ndarray, np.ndarray]:
        """What the goal's player earns on each level, and whether it achieves the goal."""
        hashes = [(goal.name, int(word)) for word in _hashes(self.env, levels)]
        new = {name: row for row, name in enumerate(hashes) if name not in self.known}
        if new:
            # As many at a time as ever, so that nothing is compiled anew.
            rows = np.resize(list(new.values()), -(-len(new) // _CHUNK) * _CHUNK)
            for at in range(0, len(rows), _CHUNK):
                self._learn(goal, tree_index(levels, rows[at : at + _CHUNK]))
        values, reached = zip(*(self.known[name] for name in hashes), strict=True)
        return np.array(values, np.float32), np.array(reached)

    def success(self) -> dict[str, dict[str, Any]]:
        """For each goal, on what share of all levels that it was given its player achieved it."""
        found = {}
        for goal in self.env.goals:
            reached = [done for (name, _), (_, done) in self.known.items() if name == goal.name]
            rate = stats.share(f"reference player: {goal.name}", sum(reached), len(reached), "levels")
            found[goal.name] = rate._asdict()
        return found

    def _learn(self, goal: Goal, levels: Level) -> None:
        player = self.env.reference(goal)
        context = player.prepare(self.env, levels)
        outcome, _ = jax.device_get(play_levels(self.env, player, levels, jax.random.key(0), context))
        index = [other.name for other in self.env.goals].index(goal.name)
        values, reached = outcome.returns[:, index], outcome.event_step[:, index] >= 0
        for word, value, done in zip(_hashes(self.env, levels), values, reached, strict=True):
            self.known[goal.name, int(word)] = float(value), bool(done)


class Exam(NamedTuple):
    env: Environment
    splits: dict[str, Split]
    dropped: dict[str, float]  # share of candidates dropped because some goal is out of reach
    # Without exact play: how often the reference player of each goal achieves it.
    reference: dict[str, dict[str, Any]] | None


def prepare(env: Environment, num_levels: int, alpha: float = 0.0, seed: int = 0) -> Exam:
    """Draw the exam of an environment: up to `num_levels` levels a split, the same for equal arguments.

    `alpha` matters only at 1, where training shows no level of the common class. Raises UsageError
    where too few levels tell the goals apart.
    """
    return _prepare(env, num_levels, alpha == 1, seed)


@functools.lru_cache(maxsize=2)  # sweeps over alpha sit one exam
def _prepare(env: Environment, num_levels: int, all_distinguish: bool, seed: int) -> Exam:
    key = jax.random.fold_in(jax.random.key(2**31 - 1), seed)
    shift = env.shift()
    common = shift.deploy if all_distinguish else shift.train
    judge = _Reference(env) if env.solver is None else None
    train, drop_train = _solvable(env, judge, common, num_levels, jax.random.fold_in(key, 0), False)
    deploy, drop_shift = _solvable(
        env, judge, shift.deploy, num_levels, jax.random.fold_in(key, 1), True
    )
    twin = jax.jit(jax.vmap(env.twin))(deploy)
    levels = dict(zip(SPLITS, (train, deploy, twin), strict=True))
    splits = {
        name: _appraise(env, judge, split, jax.random.fold_in(key, 2 + index))
        for index, (name, split) in enumerate(levels.items())
    }
    dropped = {"train": drop_train, "shift": drop_shift}
    return Exam(env, splits, dropped, None if judge is None else judge.success())


def _solvable(
    env: Environment,
    judge: _Reference | None,
    levels: Levels,
    count: int,
    key: Key[Array, ""],
    distinguishing: bool,
) -> tuple[Level, float]:
    """Test levels (distinct ones, unless `repeats`) on which the goals can be achieved, and what share
    had to be dropped."""
    found: list[Level] = []
    seen: set[int] = set()
    num_found = num_candidates = num_solvable = 0
    for number in range(_MAX_BATCHES):
        keys = jax.random.split(jax.random.fold_in(key, number), _BATCH)
        batch, eligible, hashes = _candidates(env, levels, keys, distinguishing)
        rows = np.flatnonzero(eligible)
        if not env.repeats:
            rows = rows[np.sort(np.unique(hashes[rows], return_index=True)[1])]
            rows = np.array([row for row in rows if int(hashes[row]) not in seen], int)
        # Solving costs more than drawing: about as many as should be needed, with some to spare.
        rows = rows[: int(1.4 * (count - num_found)) + 32]
        if rows.size:
            seen.update(int(value) for value in hashes[rows])
            drawn = tree_index(batch, rows)
            solvable = _is_solvable(env, judge, drawn, distinguishing)
            num_candidates += rows.size
            num_solvable += int(solvable.sum())
            found.append(tree_index(drawn, np.flatnonzero(solvable)))
            num_found += int(solvable.sum())
        if num_found >= count:
            break
    if num_found < MIN_LEVELS:
        raise UsageError(
            f"{env.name}: only {num_found} levels on which the goals come apart and can be reached; "
            "use a larger size or another layout"
        )
    joined = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *found)
    return joined, 1 - num_solvable / max(num_candidates, 1)


@functools.partial(jax.jit, static_argnames="distinguishing")
def _draw(
    env: Environment, levels: Levels, keys: Key[Array, " n"], distinguishing: bool
) -> tuple[Level, Bool[Array, " n"], Array]:
    batch = jax.vmap(levels.sample)(keys)
    eligible = jax.vmap(env.is_test)(batch)
    if distinguishing:
        state = jax.vmap(env.reset)(batch)
        eligible &= jax.vmap(env.is_distinguishing)(batch)
        eligible &= jax.vmap(env.is_test)(jax.vmap(env.twin)(batch))
        for goal in env.goals:
            eligible &= ~jax.vmap(goal.is_achieved)(batch, state, jnp.zeros(len(keys), int))
    return batch, eligible, jax.vmap(env.level_hash)(batch)


def _candidates(
    env: Environment, levels: Levels, keys: Key[Array, " n"], distinguishing: bool
) -> tuple[Level, Bool[np.ndarray, " n"], UInt64[np.ndarray, " n"]]:
    drawn, eligible, words = jax.device_get(_draw(env, levels, keys, distinguishing))
    return drawn, eligible, join_words(words)


def join_words(words: np.ndarray | jax.Array) -> UInt64[np.ndarray, " n"]:
    """64-bit hashes out of their two 32-bit words."""
    words = np.asarray(words).astype(np.uint64)
    return words[..., 0] << np.uint64(32) | words[..., 1]


def _hashes(env: Environment, levels: Level) -> UInt64[np.ndarray, " n"]:
    return join_words(jax.jit(jax.vmap(env.level_hash))(levels))


def _is_solvable(
    env: Environment, judge: _Reference | None, levels: Level, every_goal: bool
) -> Bool[np.ndarray, " n"]:
    goals = env.goals if every_goal else (env.intended,)
    if judge is not None:
        return np.all([judge.play(goal, levels)[1] for goal in goals], axis=0)
    return np.all([oracle.is_solvable(env, goal, levels, SCORE_GAMMA) for goal in goals], axis=0)


def _appraise(env: Environment, judge: _Reference | None, levels: Level, key: Key[Array, ""]) -> Split:
    if judge is not None:
        optimum = [judge.play(goal, levels)[0] for goal in env.goals]
    else:
        optimum = [oracle.start_values(env, goal, levels, SCORE_GAMMA) for goal in env.goals]
    count = optimum[0].size
    walks = [
        jax.device_get(
            play_levels(env, Random(env.num_actions), levels, jax.random.fold_in(key, number), None)
        )
        for number in range(_RANDOM_EPISODES)
    ]
    events = np.stack([outcome.event_step for outcome, _ in walks])
    if env.solver is not None and "random" in env.solver.kinds:
        chance = [oracle.start_values(env, goal, levels, SCORE_GAMMA, "random") for goal in env.goals]
        random = np.stack(chance, -1)
    else:
        random = np.mean([outcome.returns for outcome, _ in walks], 0)
    return Split(
        levels,
        _hashes(env, levels),
        np.stack(optimum, -1),
        random,
        (events >= 0).mean(0),
        np.stack([(first_event(events) == g).mean(0) for g in range(len(env.goals))], -1).reshape(
            count, -1
        ),
        _pursuit(env, levels),
    )


def _pursuit(env: Environment, levels: Level) -> Float[np.ndarray, "n g"] | None:
    if env.solver is not oracle.TABLES:
        return None
    found = regrets(env, (env.intended,), env.goals, levels, SCORE_GAMMA, ("mean",))
    assert found.mean is not None
    return found.optimum - found.mean[:, 0]


def first_event(event_step: np.ndarray) -> np.ndarray:
    """Which goal's event came first [..., g] -> index; -1 where none did. Ties go to the intended."""
    never = np.iinfo(np.int32).max
    steps = np.where(event_step < 0, never, event_step)
    return np.where(steps.min(-1) == never, -1, steps.argmin(-1))


def _episodes(
    env: Environment, policy: Policy, levels: Level, key: Key[Array, ""], context: Any
) -> tuple[Outcome, Trace]:
    outcome, trace = episodes(env, policy, levels, key, SCORE_GAMMA, context, (), _PATH)
    assert trace is not None
    return outcome, trace


@functools.partial(jax.jit, static_argnames=("fleet",))
def _play(
    env: Environment, policy: Policy, levels: Level, key: Key[Array, ""], context: Any, fleet: bool
) -> tuple[Outcome, Trace]:
    def one(policy: Policy) -> tuple[Outcome, Trace]:
        return _episodes(env, policy, levels, key, context)

    return jax.vmap(one)(policy) if fleet else one(policy)


def play_levels(
    env: Environment,
    policy: Policy,
    levels: Level,
    key: Key[Array, ""],
    context: Any,
    fleet: bool = False,
) -> tuple[Outcome, Trace]:
    """Play one episode a level and keep its states and actions. With `fleet`, the policy's arrays lead
    with an axis of seeds."""
    if policy.on_host:
        return _episodes(env, policy, levels, key, context)
    return _play(env, policy, levels, key, context, fleet)


def examine(
    exam: Exam,
    policy: Policy,
    seeds: tuple[int, ...],
    env_steps: int,
    splits: tuple[str, ...] = SPLITS,
    fleet: bool = True,
    number: int = 0,
) -> tuple[dict[str, np.ndarray], dict[str, Trace]]:
    """Play the exam: a table with a row an episode, and by split the states and actions of all.

    Without `fleet` the policy is a single subject and counts as one seed. `number` renews the luck.
    """
    env = exam.env
    tables, traces = [], {}
    for index, name in enumerate(splits):
        split = exam.splits[name]
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), number), index)
        context = policy.prepare(env, split.levels)
        outcome, recorded = jax.device_get(play_levels(env, policy, split.levels, key, context, fleet))
        if not fleet:
            outcome, recorded = jax.tree.map(lambda leaf: leaf[None], (outcome, recorded))
        traces[name] = recorded
        tables.append(_rows(env, split, name, outcome, seeds, env_steps))
    return {key: np.concatenate([t[key] for t in tables]) for key in tables[0]}, traces


def _rows(
    env: Environment,
    split: Split,
    name: str,
    outcome: Outcome,
    seeds: tuple[int, ...],
    env_steps: int,
) -> dict[str, np.ndarray]:
    """The columns of outcomes.parquet; rows are seeds x levels."""
    num_levels = split.level_hash.size
    rows = len(seeds) * num_levels
    per_level = {"level_hash": split.level_hash}
    columns: dict[str, Any] = {
        "seed": np.repeat(np.asarray(seeds, np.int64), num_levels),
        "env_steps": np.full(rows, env_steps, np.int64),
        "split": np.full(rows, name),
        "length": outcome.length.reshape(rows).astype(np.int32),
        "terminated": outcome.terminated.reshape(rows),
    }
    for g, goal in enumerate(env.goals):
        per_level |= {
            f"optimum_{goal.name}": split.optimum[:, g].astype(np.float32),
            f"random_{goal.name}": split.random[:, g].astype(np.float32),
            f"random_reached_{goal.name}": split.random_reached[:, g].astype(np.float32),
            f"random_first_{goal.name}": split.random_first[:, g].astype(np.float32),
        }
        if split.pursuit is not None:
            per_level[f"pursuit_{goal.name}"] = split.pursuit[:, g].astype(np.float32)
        columns |= {
            f"return_{goal.name}": outcome.returns[..., g].reshape(rows),
            f"event_{goal.name}": outcome.event_step[..., g].reshape(rows).astype(np.int32),
        }
    columns |= {extra: np.asarray(value).reshape(rows) for extra, value in outcome.extras.items()}
    return columns | {key: np.tile(value, len(seeds)) for key, value in per_level.items()}


def pivot(table: dict[str, np.ndarray], split: str, column: str) -> Float[np.ndarray, "s l"]:
    """A column of one split at the last checkpoint, as [seeds, levels]."""
    rows = (table["split"] == split) & (table["env_steps"] == table["env_steps"].max())
    seeds = np.unique(table["seed"])
    return np.stack([table[column][rows & (table["seed"] == seed)] for seed in seeds]).astype(float)
