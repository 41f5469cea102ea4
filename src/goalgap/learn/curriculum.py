"""Curriculum: which levels training shows, and whether an update learns from what was played on them.

A curriculum proposes levels before each update and sees afterwards what was played. The caller replaces
every proposed level whose layout is kept for evaluation, wherever it came from (drawn, replayed,
edited), so that no curriculum can train on a test layout. All methods but `learns` are traced by JAX and
see one seed; the caller maps them over the fleet.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from ..core import Environment, Level, UsageError, tree_index
from ..rollout import Steps
from ..settings import Checked

NO_TAG = -1
# Draws so many levels of the training distribution.
Draw = Callable[[Key[Array, ""], int], Level]


class Played(NamedTuple):
    """Hold what a curriculum sees of an update: t steps on b lanes.

    The pool holds the levels that lanes were in the middle of, then those that were proposed;
    `steps.place` names the row of each step's level.
    """

    pool: Level
    tags: Int[Array, " pool"]
    steps: Steps  # [t, b]
    advantage: Float[Array, "t b"]  # generalized, not normalized


class Curriculum(Checked, abc.ABC):
    """Choose the levels that training shows; subclasses are frozen dataclasses."""

    has_groups: ClassVar[bool] = False  # whether tags name groups of levels, for penalties
    papers: ClassVar[tuple[str, ...]] = ()  # arXiv ids, for `goalgap cite`

    def start(self, env: Environment, draw: Draw, key: Key[Array, ""]) -> Any:
        """Give the curriculum's state before training: a tree of arrays, stored with checkpoints."""
        return ()

    def learns(self, number: int) -> bool:
        """Decide, before update `number`, whether the networks learn from what will be played."""
        return True

    @abc.abstractmethod
    def batch(
        self,
        state: Any,
        env: Environment,
        draw: Draw,
        key: Key[Array, ""],
        number: Int[Array, ""],
        n: int,
    ) -> tuple[Level, Int[Array, " n"]]:
        """Propose `n` levels (stacked) for update `number`, and tags that travel with the levels."""

    def update(self, state: Any, played: Played) -> Any:
        """Give the curriculum's state after an update, from what was played in the update."""
        return state


@dataclasses.dataclass(frozen=True)
class DomainRandomization(Curriculum):
    """Show fresh levels of the training distribution."""

    def batch(
        self,
        state: Any,
        env: Environment,
        draw: Draw,
        key: Key[Array, ""],
        number: Int[Array, ""],
        n: int,
    ) -> tuple[Level, Int[Array, " n"]]:
        return draw(key, n), jnp.full(n, NO_TAG, int)


@dataclasses.dataclass(frozen=True)
class GroupedRandomization(DomainRandomization):
    """Show fresh levels of the training distribution, tagged by whether the goals come apart on them.

    The tag is 1 where they do, 0 elsewhere. The two groups are known to penalties, not to the policy.
    """

    has_groups: ClassVar[bool] = True

    def batch(
        self,
        state: Any,
        env: Environment,
        draw: Draw,
        key: Key[Array, ""],
        number: Int[Array, ""],
        n: int,
    ) -> tuple[Level, Int[Array, " n"]]:
        levels, _ = super().batch(state, env, draw, key, number, n)
        return levels, jax.vmap(env.is_distinguishing)(levels).astype(int)


def propose(
    curriculum: Curriculum,
    state: Any,
    env: Environment,
    draw: Draw,
    key: Key[Array, ""],
    number: Int[Array, ""],
    n: int,
) -> tuple[Level, Int[Array, " n"], Bool[Array, " n"]]:
    """Ask a curriculum for levels and keep test layouts out, as `keep_out_test_levels` says. Raises
    UsageError for answers that are no levels with their tags."""
    name = f"{type(curriculum).__name__}.batch"
    expected = f"expected (levels, tags), {n} levels in one stacked tree and {n} whole numbers"
    try:
        answer = curriculum.batch(state, env, draw, key, number, n)
    except jax.errors.JAXTypeError as error:
        raise UsageError(
            f"{name} treats what JAX traces as numbers ({type(error).__name__}); use jax.numpy instead "
            "of NumPy, and jnp.where instead of if"
        ) from error
    if not (type(answer) is tuple and len(answer) == 2):
        raise UsageError(f"{name} returned a {type(answer).__name__}; {expected}")
    levels, tags = jax.tree.map(jnp.asarray, answer[0]), jnp.asarray(answer[1])
    if not jnp.issubdtype(tags.dtype, jnp.integer) or tags.shape != (n,):
        raise UsageError(f"{name} returned tags {tags.dtype}{list(tags.shape)}; {expected}")
    like = jax.eval_shape(lambda key: draw(key, n), key)
    if _shapes(levels) != _shapes(like):
        raise UsageError(f"{name} returned other levels than draw(key, {n}) gives; {expected}")
    return keep_out_test_levels(env, levels, tags)


def _shapes(levels: Level) -> Any:
    return jax.tree.structure(levels), [leaf.shape for leaf in jax.tree.leaves(levels)]


def keep_out_test_levels(
    env: Environment, levels: Level, tags: Int[Array, " n"]
) -> tuple[Level, Int[Array, " n"], Bool[Array, " n"]]:
    """Replace the levels whose layouts are kept for evaluation; return levels, tags, and which were.

    The nearest level before that is not kept takes the place, with its tag (the first such level, where
    none is before). Where all are test layouts nothing can take their place: all are then said to be
    replaced, and `check_replaced` raises.
    """
    kept = jax.vmap(env.is_test)(levels)
    source = jax.lax.cummax(jnp.where(kept, -1, jnp.arange(kept.size)))
    source = jnp.where(source < 0, jnp.argmin(kept), source)
    return tree_index(levels, source), tags[source], kept


def check_replaced(curriculum: Curriculum, share: float) -> None:
    """Raise UsageError for a curriculum of whose levels a `share` of 1 were test layouts."""
    if share >= 1:
        raise UsageError(
            f"{type(curriculum).__name__} proposed only levels whose layouts are kept for evaluation; "
            "mix in fresh ones with draw(key, n)"
        )
