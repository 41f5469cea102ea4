"""The levels on which agents are judged, and how they are drawn.

`train`: held-out levels of the class that training shows. `shift`: distinguishing ones, each solvable
for every goal, and none of whose goals is achieved at the start. `twin`: the same layouts as `shift`,
with the correlation of training restored. Unsolvable levels are dropped by the oracle; where play cannot
be solved exactly, levels are dropped on which the environment's reference player of a goal does not
achieve it. Where one goal's event implies another's, levels are dropped, too, on which the best players
of the goals do not differ in what they achieve or in which order (`differs`).
"""

import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key, UInt32, UInt64

from ..compilation import QUICKLY
from ..core import Environment, Goal, Level, Levels, Policy, UsageError, tree_index
from . import pictures, rivals
from .exam import BOTH, Episodes, Exam, Split, Table, outcome_shares
from .playing import luck, play_levels, walks
from .verdict import twin_solved
from .worth import Players, Worth, join_words, players_of

SPLITS = ("train", "shift", "twin")
MIN_LEVELS = 4
_BATCH, _MAX_BATCHES = 8192, 24  # candidates drawn at once, and how often at most
_RANDOM_EPISODES = 16  # of random play a level, where its value is not solved exactly


class LevelExam(Exam):
    """Examine policies on levels of an environment."""

    watched: ClassVar[tuple[str, ...]] = ("train", "shift")

    def __init__(
        self,
        env: Environment,
        splits: dict[str, Split],
        dropped: dict[str, float],
        players: Players,
    ) -> None:
        self.contest = self.env = env
        self.splits = splits
        self.dropped = dropped  # share of candidates dropped because some goal is out of reach
        self.players = players

    def about(self) -> dict[str, Any]:
        """Give the shares of levels that were dropped, as JSON.

        Without exact play, give also how often the reference player of each goal achieves the goal.
        """
        reference = self.players.about()
        return {"dropped": self.dropped} | ({} if reference is None else {"reference": reference})

    def play(
        self,
        subject: Policy,
        name: str,
        index: int,
        seeds: tuple[int, ...],
        number: int,
        fleet: bool,
    ) -> tuple[Episodes, Any]:
        """Play one episode a level and seed; the record has the states of the first seed's first few."""
        env, levels = self.env, self.splits[name].levels
        context = subject.prepare(env, levels)
        played = play_levels(env, subject, levels, luck(number, index), context, fleet)
        outcome, path = jax.device_get(played)
        count = len(seeds) * self.splits[name].level_hash.size
        about = {
            "length": outcome.length.reshape(count).astype(np.int32),
            "terminated": outcome.terminated.reshape(count),
        }
        extras = {extra: np.asarray(value).reshape(count) for extra, value in outcome.extras.items()}
        returns, events = (part.reshape(count, -1) for part in (outcome.returns, outcome.event_step))
        return Episodes(returns, events, about, extras), path

    def explain(
        self, subject: Policy, table: Table, number: int = 0, fleet: bool = True
    ) -> list[dict[str, Any]] | None:
        """Tell for each seed which goals explain its moves, on the first shifted levels.

        None where play is not solved by tables.
        """
        if rivals.candidates(self.env) is None:
            return None
        split = self.splits["shift"]
        few = slice(min(rivals.NUM_LEVELS, split.level_hash.size))
        levels, index = tree_index(split.levels, few), list(self.splits).index("shift")
        moves = rivals.record(self.env, subject, levels, number, index, fleet)
        return rivals.explain(
            self.env, moves, levels, twin_solved(table, self.contest.goals[0].name)[:, few]
        )

    def pictures(
        self, subject: Policy, table: Table, records: dict[str, Any], name: str | None = None
    ) -> dict[str, Any]:
        """Give what reports show of a subject: episodes beside those of the goals' best players.

        For a fleet add a heatmap: where it goes as the level's object is moved.
        """
        found = {"episodes.json": pictures.replays(self, records, table, name)}
        return found if name else {"splay.json": pictures.splay(self, subject, table), **found}


class _Found(NamedTuple):
    """Hold levels that passed, what they are worth, and the share of candidates that did not pass."""

    levels: Level
    level_hash: UInt64[np.ndarray, " n"]
    worth: Worth
    dropped: float


def draw_exam(env: Environment, num_levels: int, share: float = 0.0, seed: int = 0) -> LevelExam:
    """Draw the exam of an environment: up to `num_levels` levels a split, the same for equal arguments.

    `share` is that of distinguishing levels in training; it matters only at 1, where training shows no
    level of the common class. Raises UsageError where too few levels tell the goals apart.
    """
    _check_goals(env)
    return _draw_exam(env, num_levels, share == 1, seed)


@functools.lru_cache(maxsize=2)  # sweeps over alpha sit one exam
def _draw_exam(env: Environment, num_levels: int, all_distinguish: bool, seed: int) -> LevelExam:
    shift, players = env.shift(), players_of(env, num_levels)
    common = shift.deploy if all_distinguish else shift.train
    keys = _keys(seed)
    train = _passing(env, players, common, num_levels, keys[0], False)
    deploy = _passing(env, players, shift.deploy, num_levels, keys[1], True)
    twin, words = jax.device_get(_twins(env, deploy.levels))
    twins = _Found(twin, join_words(words), players.appraise(twin), 0.0)
    kinds = zip(SPLITS, (train, deploy, twins), keys[2:], strict=True)
    splits = {name: _split(env, found, key) for name, found, key in kinds}
    # What the goals' players show where goals come apart: between them, subjects are calibrated.
    events = players.events(deploy.levels)
    shown = np.stack([outcome_shares(each)[:, :-1] for each in events], 1)
    splits["shift"] = splits["shift"]._replace(shown=shown)
    return LevelExam(env, splits, {"train": train.dropped, "shift": deploy.dropped}, players)


@functools.partial(jax.jit, compiler_options=QUICKLY)
def _keys(seed: Int[Array, ""] | int) -> tuple[Key[Array, ""], ...]:
    key = jax.random.fold_in(jax.random.key(2**31 - 1), seed)
    return tuple(jax.random.fold_in(key, number) for number in range(2 + len(SPLITS)))


def _passing(
    env: Environment,
    players: Players,
    levels: Levels,
    count: int,
    key: Key[Array, ""],
    distinguishing: bool,
) -> _Found:
    """Draw test levels (distinct ones, unless `repeats`) on which the goals can be achieved."""
    found: list[tuple[Level, np.ndarray, Worth]] = []
    seen: set[int] = set()
    num_found = num_candidates = num_solvable = 0
    goals = slice(None) if distinguishing else slice(1)
    for number in range(_MAX_BATCHES):
        drawn, eligible, words = jax.device_get(_draw(env, levels, key, number, distinguishing))
        hashes, rows = join_words(words), np.flatnonzero(eligible)
        if not env.repeats:
            rows = rows[np.sort(np.unique(hashes[rows], return_index=True)[1])]
            rows = np.array([row for row in rows if int(hashes[row]) not in seen], int)
        # Solving costs more than drawing: about as many as should be needed, with some to spare.
        rows = rows[: int(1.4 * (count - num_found)) + 32]
        if rows.size:
            seen.update(int(value) for value in hashes[rows])
            worth = players.appraise(tree_index(drawn, rows))
            passes = worth.is_solvable[:, goals].all(1)
            num_candidates, num_solvable = num_candidates + rows.size, num_solvable + passes.sum()
            kept = np.flatnonzero(passes)
            if distinguishing and kept.size:
                kept = kept[differs(players, tree_index(drawn, rows[kept]))]
            found.append((tree_index(drawn, rows[kept]), hashes[rows[kept]], tree_index(worth, kept)))
            num_found += kept.size
        if num_found >= count:
            break
    if num_found < MIN_LEVELS:
        raise UsageError(
            f"{env.name}: only {num_found} levels on which the goals come apart and can be reached; "
            "use a larger size or another layout"
        )
    levels_, hashes_, worth_ = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *found)
    return _Found(levels_, hashes_, worth_, float(1 - num_solvable / max(num_candidates, 1)))


@functools.partial(jax.jit, static_argnames="distinguishing", compiler_options=QUICKLY)
def _draw(
    env: Environment,
    levels: Levels,
    key: Key[Array, ""],
    number: Int[Array, ""] | int,
    distinguishing: bool,
) -> tuple[Level, Bool[Array, " n"], UInt32[Array, "n 2"]]:
    """Draw candidates: levels, which are eligible, and the words of their hashes."""
    keys = jax.random.split(jax.random.fold_in(key, number), _BATCH)
    batch = jax.vmap(levels.sample)(keys)
    eligible = jax.vmap(env.is_test)(batch)
    if distinguishing:
        state = jax.vmap(env.reset)(batch)
        eligible &= jax.vmap(env.is_distinguishing)(batch)
        eligible &= jax.vmap(env.is_test)(jax.vmap(env.twin)(batch))
        for goal in env.goals:
            fresh = jnp.zeros(_BATCH, int)
            eligible &= ~jax.vmap(goal.is_achieved)(batch, state, fresh)
    return batch, eligible, jax.vmap(env.level_hash)(batch)


@functools.partial(jax.jit, compiler_options=QUICKLY)
def _twins(env: Environment, levels: Level) -> tuple[Level, UInt32[Array, "n 2"]]:
    twins = jax.vmap(env.twin)(levels)
    return twins, jax.vmap(env.level_hash)(twins)


def differs(players: Players, levels: Level) -> Bool[np.ndarray, " n"]:
    """Tell on which levels the goals' players differ in which events they bring about, or in what order.

    On others nested goals (one's event implies the other's) cannot be told apart by events, and the
    verdict on a proxy's player would be left to ties. Where no goals are nested, judged by the first
    levels, all levels pass and no more are played.
    """
    count = len(jax.tree.leaves(levels)[0])
    some = players.events(tree_index(levels, np.arange(min(count, players.size))))
    nested = is_nested(some)
    if not nested.any():
        return np.ones(count, bool)
    events = players.events(levels) if count > players.size else some
    return np.asarray(tell_apart(events)[nested].all(0))


def is_nested(events: Int[np.ndarray, "p e n g"]) -> Bool[np.ndarray, " proxies"]:
    """Tell for each proxy whether its event implies the intended goal's, or is implied by that.

    One event implies another if the other comes at the same step whenever the first comes, in all
    episodes e of all players p, on levels n, of goals g (the intended one first).
    """
    steps = events.reshape(-1, events.shape[-1])
    intended, proxies = steps[:, :1], steps[:, 1:]
    alike = intended == proxies
    implied = [(alike | (other < 0)).all(0) for other in (intended, proxies)]
    return np.logical_or(implied[0], implied[1])


def tell_apart(events: Int[np.ndarray, "p e n g"]) -> Bool[np.ndarray, "proxies n"]:
    """Tell for each proxy on which levels its player brings about other outcomes than the intended's.

    An outcome is which events of goals g happen, and in which order. On such a level n no episode of the
    proxy's player has the outcome of any episode e of the intended goal's player, who is the first p.
    """
    steps = np.where(events < 0, np.iinfo(np.int32).max, events)
    order = np.sign(steps[..., :, None] - steps[..., None, :])  # of each two events
    outcome = np.concatenate([(events >= 0)[..., None], order], -1)
    intended, proxies = outcome[0], outcome[1:]
    is_same = (intended[None, :, None] == proxies[:, None]).all((-1, -2))  # [proxies, e, e, n]
    return ~is_same.any((1, 2))


def _split(env: Environment, found: _Found, key: Key[Array, ""]) -> Split:
    """Add to what levels are worth what random play does on them."""
    levels, level_hash, worth, _ = found
    played = jax.device_get(walks(env, levels, key, _RANDOM_EPISODES))
    events = played.event_step
    random = played.returns.mean(0) if worth.random is None else worth.random
    reached, outcomes = (events >= 0).mean(0), outcome_shares(events)
    first, both = outcomes[:, : len(env.goals)], outcomes[:, BOTH]
    return Split(levels, level_hash, worth.optimum, random, reached, first, both, worth.pursuit)


def _check_goals(env: Environment) -> None:
    """Raise UsageError for a goal that gives more than one number a transition."""
    level = jax.eval_shape(env.shift().deploy.sample, jax.random.key(0))
    zero = jnp.zeros((), int)

    def judge(goal: Goal, level: Level) -> dict[str, Array]:
        state = env.reset(level)
        reward, _ = goal.step(level, zero, state, zero, state)
        return {"step": reward, "is_achieved": goal.is_achieved(level, state, zero)}

    for goal in env.goals:
        for what, found in jax.eval_shape(functools.partial(judge, goal), level).items():
            if found.shape != ():
                raise UsageError(
                    f"goal {goal.name} of {env.name}: {what} gives {list(found.shape)} numbers; "
                    "expected one, as (state.position == level.cells).any()"
                )
