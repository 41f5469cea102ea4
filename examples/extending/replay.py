"""Replay levels by how much can still be learned on them: prioritized level replay.

Source: Jiang et al. 2021, arXiv 2010.03934. A buffer holds the levels with the highest scores; a
proposed level is replayed with probability `replay`, else drawn afresh. Replayed levels are drawn by (1
- rho) P_S + rho P_C, where P_S falls with the rank of the score, (1 / rank)^(1 / beta), and P_C grows
with the updates since the level was last played. The score is the mean over its steps of |GAE|
("absolute", as published) or of its positive part ("positive"). With `edits`, each replayed level is
edited so often, as ACCEL does (2203.01302). Departures: a level is scored by what an update shows of
it, not by whole episodes, and learned from also when it is fresh.
"""

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from goalgap.core import Environment, Level, tree_index
from goalgap.envs.edits import edit
from goalgap.learn.curriculum import NO_TAG, Curriculum, Draw, Played
from goalgap.settings import settle


class Buffer(NamedTuple):
    """Hold levels to replay; a level's tag is its row."""

    levels: Level  # [rows]
    score: Float[Array, " rows"]  # -inf: the row is empty
    played_at: Int[Array, " rows"]  # the number of the update
    now: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class PrioritizedReplay(Curriculum):
    """Replay levels from a buffer; the module's docstring says how."""

    papers: ClassVar[tuple[str, ...]] = ("2010.03934",)

    capacity: int = 4000
    replay: float = 0.5
    least: float = 0.5  # share of the buffer that must be filled before anything is replayed
    rho: float = 0.1
    beta: float = 0.1
    score: Literal["absolute", "positive"] = "absolute"
    edits: int = 0

    def __post_init__(self) -> None:
        share = (0, 1)
        settle(self, capacity=(1, None), replay=share, least=share, rho=share, beta=(1e-3, None))
        settle(self, edits=(0, None))

    def start(self, env: Environment, draw: Draw, key: Key[Array, ""]) -> Buffer:
        shapes = jax.eval_shape(lambda: draw(key, self.capacity))
        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        nothing = jnp.full(self.capacity, -jnp.inf)
        return Buffer(empty, nothing, jnp.zeros(self.capacity, int), jnp.zeros((), int))

    def batch(
        self, state: Buffer, env: Any, draw: Draw, key: Key[Array, ""], number: Int[Array, ""], n: int
    ) -> tuple[Level, Int[Array, " n"]]:
        fresh_key, row_key, choice_key, edit_key = jax.random.split(key, 4)
        ranks = jnp.cumsum(self.chances(state))
        row = jnp.searchsorted(ranks, jax.random.uniform(row_key, (n,)) * ranks[-1], side="right")
        row = jnp.minimum(row, self.capacity - 1)
        replayed = jax.random.uniform(choice_key, (n,)) < self.replay
        replayed &= jnp.isfinite(state.score).sum() >= max(1, self.least * self.capacity)
        old, tags = tree_index(state.levels, row), jnp.where(replayed, row, NO_TAG)
        if self.edits:
            keys = jax.random.split(edit_key, n)
            old = jax.vmap(lambda key, level: edit(env, key, level, num_edits=self.edits))(keys, old)
            tags = jnp.full(n, NO_TAG)  # they are new levels
        return choose(replayed, old, draw(fresh_key, n)), tags

    def chances(self, state: Buffer) -> Float[Array, " rows"]:
        """Give the probability of each row to be replayed."""
        filled = jnp.isfinite(state.score)
        rank = 1 + jnp.argsort(jnp.argsort(-state.score))
        by_score = jnp.where(filled, (1.0 / rank) ** (1 / self.beta), 0.0)
        stale = jnp.where(filled, state.now - state.played_at, 0).astype(jnp.float32)
        parts = [part / jnp.maximum(part.sum(), 1e-8) for part in (by_score, stale)]
        return jnp.where(stale.sum() > 0, (1 - self.rho) * parts[0] + self.rho * parts[1], parts[0])

    def update(self, state: Buffer, played: Played) -> Buffer:
        """Score what was played anew, then put the best of the new levels in the place of the worst."""
        steps, gain = played.steps, played.advantage
        gain = jnp.abs(gain) if self.score == "absolute" else jnp.maximum(gain, 0)
        size, under_way = played.tags.size, steps.place.shape[1]
        total = jnp.zeros(size).at[steps.place].add(gain * steps.is_valid)
        count = jnp.zeros(size).at[steps.place].add(steps.is_valid)

        row = jnp.maximum(played.tags, 0)  # a row may have been given to another level meanwhile
        known = (played.tags >= 0) & equal(played.pool, tree_index(state.levels, row))
        row = jnp.where(known, row, self.capacity)  # out of bounds: dropped
        totals, counts = (jnp.zeros(self.capacity).at[row].add(part) for part in (total, count))
        score = jnp.where(counts > 0, totals / jnp.maximum(counts, 1), state.score)
        played_at = jnp.where(counts > 0, state.now, state.played_at)

        # Levels that were under way had their chance in the update that proposed them; a level that
        # stands in the place of a test level is its neighbor's double.
        doubles = equal(played.pool, jax.tree.map(lambda leaf: jnp.roll(leaf, 1, 0), played.pool))
        is_new = (played.tags == NO_TAG) & (count > 0) & (jnp.arange(size) >= under_way) & ~doubles
        offered = jnp.where(is_new, total / jnp.maximum(count, 1), -jnp.inf)
        best = jnp.argsort(-offered)[: self.capacity]
        worst = jnp.argsort(score)[: best.size]
        wins = offered[best] > score[worst]
        where = jnp.where(wins, worst, self.capacity)
        levels = jax.tree.map(
            lambda kept, pool: kept.at[where].set(pool[best]), state.levels, played.pool
        )
        score = score.at[where].set(offered[best])
        return Buffer(levels, score, played_at.at[where].set(state.now), state.now + 1)


def choose(yes: Bool[Array, " n"], these: Level, those: Level) -> Level:
    """Take rows of `these` where yes, of `those` elsewhere."""
    wide = jax.tree.map(lambda leaf: yes.reshape(-1, *[1] * (leaf.ndim - 1)), these)
    return jax.tree.map(jnp.where, wide, these, those)


def equal(these: Level, those: Level) -> Bool[Array, " n"]:
    """Tell which rows hold the same level."""
    same = jax.tree.map(lambda a, b: (a == b).reshape(len(a), -1).all(1), these, those)
    return jnp.stack(jax.tree.leaves(same)).all(0)
