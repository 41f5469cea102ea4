"""Edit levels, for curricula that breed them: the elementary edits and four ways to combine them.

A *preserving* edit keeps a level's class: it toggles a wall on a cell without an object, or moves an
object that the class does not depend on (the mouse; in keys also a key or a chest). A *transforming*
edit places the goal objects anew. Source: arXiv 2507.03068, ACCEL and appendix J; how rarely objects
move: its released code. Departures: every operator moves objects equally often; a transforming edit in
keys places all keys and chests anew, where the released code only changes how many there are of each.
Toggled walls turn a tree or an open board into one that its layout would never draw, and any layout into
one that may be kept for evaluation: who trains on edited levels drops those that `is_test`.
"""

import difflib
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ..core import UsageError
from .grid import GridEnvironment, GridLevel
from .layouts import pick

OPERATORS = ("identity", "constant", "binomial", "unrestricted")
MOVE_RATE = 1 / 12  # how often a preserving edit moves a given kind: once in the published 12 edits


def edit(
    env: GridEnvironment,
    key: Key[Array, ""],
    level: GridLevel,
    operator: str = "identity",
    num_edits: int = 12,
    alpha: float | Float[Array, ""] = 0.0,
) -> GridLevel:
    """Edit a level `num_edits` times by one of the `OPERATORS`:

    - *identity*: preserving edits only;
    - *constant*: all but the last preserve, the last one transforms;
    - *binomial*: each transforms with probability 1 / num_edits, so that (1 - 1/12)^12 = 35 % of the
      edited levels were never transformed;
    - *unrestricted*: all preserve, then the goal objects are placed as on distinguishing levels (keys:
      as on levels of either class, evenly), whatever `alpha`.

    `alpha` is the share of distinguishing placements among transforming edits. Raises UsageError for an
    unknown operator, fewer than one edit, or a share outside 0 to 1.
    """
    _check(operator, num_edits, alpha)
    keys = jax.random.split(key, num_edits + 1)

    def maybe_transform(key: Key[Array, ""], level: GridLevel) -> GridLevel:
        choice, key = jax.random.split(key)
        return jax.lax.cond(
            jax.random.uniform(choice) < 1 / num_edits,
            lambda: transform(env, key, level, alpha),
            lambda: preserve(env, key, level),
        )

    each = maybe_transform if operator == "binomial" else partial(preserve, env)
    num_scanned = num_edits - (operator == "constant")
    level, _ = jax.lax.scan(lambda level, key: (each(key, level), None), level, keys[:num_scanned])
    if operator == "constant":
        return transform(env, keys[-1], level, alpha)
    if operator == "unrestricted":
        return transform(env, keys[-1], level, env.unrestricted_alpha)
    return level


def _check(operator: str, num_edits: int, alpha: float | Float[Array, ""]) -> None:
    if operator not in OPERATORS:
        near = difflib.get_close_matches(operator, OPERATORS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(OPERATORS)}"
        raise UsageError(f"unknown operator {operator!r}; {hint}")
    if num_edits < 1:
        raise UsageError(f"num_edits is {num_edits}; expected at least 1")
    if isinstance(alpha, int | float) and not 0 <= alpha <= 1:
        raise UsageError(f"alpha is {alpha}; it is a share, between 0 and 1")


def preserve(env: GridEnvironment, key: Key[Array, ""], level: GridLevel) -> GridLevel:
    """Make a random preserving edit: mostly of a wall, now and then of an object."""
    choice, key = jax.random.split(key)
    moves = jax.random.uniform(choice) < MOVE_RATE * len(env.movable)
    moved, toggled = move(env, key, level), toggle(env, key, level)
    return jax.tree.map(lambda a, b: jnp.where(moves, a, b), moved, toggled)


def transform(
    env: GridEnvironment, key: Key[Array, ""], level: GridLevel, alpha: float | Float[Array, ""]
) -> GridLevel:
    """Make a transforming edit, which places as on distinguishing levels with probability `alpha`."""
    choice, key = jax.random.split(key)
    return env.redraw(key, level, jax.random.uniform(choice) < alpha)


def toggle(env: GridEnvironment, key: Key[Array, ""], level: GridLevel) -> GridLevel:
    """Build or tear down one wall, on a cell without an object (where there is any)."""
    free = ~occupied(env, level)
    cell = pick(jax.random.uniform(key), free.reshape(-1))
    return eqx.tree_at(lambda tree: tree.walls, level, level.walls ^ (env.at(cell) & free))


def move(env: GridEnvironment, key: Key[Array, ""], level: GridLevel) -> GridLevel:
    """Put one object of a random movable kind on another cell, where there is room.

    As in sampling, objects clear their cell of a wall where the environment `carves`, and keep off walls
    elsewhere.
    """
    which, member, place = jax.random.split(key, 3)
    free = ~occupied(env, level)
    allowed = (free if env.carves else free & ~level.walls).reshape(-1)
    cell = pick(jax.random.uniform(place), allowed)
    kind = jax.random.randint(which, (), 0, len(env.movable))
    for index, name in enumerate(env.movable):
        cells = getattr(level, name)
        present = cells.reshape(-1) >= 0
        chosen = jnp.arange(present.size) == pick(jax.random.uniform(member), present)
        moves = (chosen & present & allowed.any() & (kind == index)).reshape(cells.shape)
        level = eqx.tree_at(
            lambda tree, name=name: getattr(tree, name), level, jnp.where(moves, cell, cells)
        )
    walls = level.walls & ~occupied(env, level)
    return eqx.tree_at(lambda tree: tree.walls, level, walls)


def occupied(env: GridEnvironment, level: GridLevel) -> Bool[Array, "h w"]:
    """Mark the cells with an object on them, the mouse included."""
    return jnp.stack([env.at(getattr(level, name)) for name in ("mouse", *env.symbols)]).any(0)
