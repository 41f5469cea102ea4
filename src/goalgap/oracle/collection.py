"""Exact play of *Keys and Chests*: dynamic programming over what is collected and what is open.

Walking earns nothing, so play is a sequence of *events*: stepping on a key that is still there, or on
an unopened chest while holding a key. Between two events the mouse takes a shortest path free of any
other event. The value of an event x, d steps away, is gamma^(d-1) times its worth, which is what it
pays plus gamma times the value of standing there afterwards; so worths follow from one another backward
from the fullest sets. An episode ends with m = min(keys, chests) open chests, which leaves two regimes:

- *scarce*, fewer than m keys collected: the inventory can run out, and then chests are walked over. A
  key too many may even be a loss, where it turns chests that stand in a corridor into the end of the
  episode. So every event bars the way of every other, and values are tabulated at every cell.
- *ample*, m keys or more: the inventory cannot run out before the end, so that further keys change
  nothing but the reward, and to collect one in passing is no loss. Only unopened chests bar the way,
  distances depend on nothing else, and worths are tabulated at the objects alone.

This equals the best of all collection sequences (2507.03068, appendix F: 21,600 of them for 3 keys
against 10 chests) without the released code's truncation to as many chests as there are keys, and with
chests in the way accounted for. Values are those without a time limit; `Solution.is_exact` says for
which levels the limit does not matter.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int16

CHUNK = 16  # levels solved together at most
CHUNK_BYTES = 2**24  # and the tables of a chunk, unless a single level's are larger
MOST_BYTES = 2**32  # the tables of all levels
MOST_BYTES_A_LEVEL = 2**26
FAR = 2**14  # no way; leaves room for + 1 in 16 bits


class Subsets(NamedTuple):
    """Subsets of some objects as bit masks, in groups of equal size, which are solved together."""

    groups: list[Int[np.ndarray, " s"]]
    row: Int[np.ndarray, " masks"]  # of each mask, counted through all groups

    @property
    def sizes(self) -> list[int]:
        return [len(group) for group in self.groups]

    def members(self, group: int) -> Bool[np.ndarray, "n s"]:
        objects = np.arange(len(self.row).bit_length() - 1)
        return (self.groups[group] >> objects[:, None] & 1).astype(bool)

    def grown(self, group: int) -> Int[np.ndarray, "n s"]:
        """Where in the next group each subset is found with each object added; 0 if it has it."""
        objects = np.arange(len(self.row).bit_length() - 1)
        larger = self.groups[group] | 1 << objects[:, None]
        return np.where(self.members(group), 0, self.row[larger] - sum(self.sizes[: group + 1]))


def _subsets(count: int, sizes: int) -> Subsets:
    """The subsets of fewer than `sizes` objects. Larger masks are all given the row after the last."""
    groups = [
        np.array([sum(1 << x for x in chosen) for chosen in combinations(range(count), size)])
        for size in range(sizes)
    ]
    row = np.full(2**count, sum(map(len, groups)))
    for place, mask in enumerate(mask for group in groups for mask in group):
        row[mask] = place
    return Subsets(groups, row)


class Shape(NamedTuple):
    """What the tables' sizes depend on."""

    num_keys: int
    num_chests: int
    keys_pay: bool

    @property
    def num_openable(self) -> int:
        return min(self.num_keys, self.num_chests)

    def num_bytes(self, num_cells: int) -> int:
        """What one level's tables take."""
        keys, chests = _layers(self)
        scarce, opened = sum(keys.sizes[: self.num_openable]), sum(chests.sizes)
        num_objects = self.num_keys + self.num_chests
        ample = sum(keys.sizes) - scarce
        return opened * (4 * num_cells * scarce + 4 * num_objects * ample + 2 * num_cells * num_objects)


@cache
def _layers(shape: Shape) -> tuple[Subsets, Subsets]:
    """Keys collected and chests opened. Keys beyond need that pay nothing are not told apart: the full
    set stands for all of the ample regime."""
    m = shape.num_openable
    if shape.keys_pay:
        keys = _subsets(shape.num_keys, shape.num_keys + 1)
    else:
        keys = _subsets(shape.num_keys, m)
        keys.groups.append(np.array([2**shape.num_keys - 1]))
    return keys, _subsets(shape.num_chests, m)


def _until_settled(update: Callable[[Array], Array], start: Array) -> Array:
    """The fixed point of an update that is reached in finitely many steps."""

    def sweep(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        # Looking for a change costs as much as a sweep.
        new = jax.lax.fori_loop(0, 8, lambda _, board: update(board), carry[0])
        return new, (new != carry[0]).any()

    return jax.lax.while_loop(lambda carry: carry[1], sweep, (start, jnp.array(True)))[0]


def _around(board: Array, pick: Callable[[Array, Array], Array], outside: int) -> Array:
    """The pick among the four neighbors of each cell; rows and columns are axes 1 and 2."""
    widths = [(0, 0), (1, 1), (1, 1)] + [(0, 0)] * (board.ndim - 3)
    board = jnp.pad(board, widths, constant_values=outside)
    up, down = board[:, :-2, 1:-1], board[:, 2:, 1:-1]
    left, right = board[:, 1:-1, :-2], board[:, 1:-1, 2:]
    return pick(pick(up, down), pick(left, right))


def _discounts(distance: Int16[Array, "*a"], gamma: Any) -> Float[Array, "*a"]:
    return jnp.where(distance < FAR, gamma ** (distance - 1.0), 0.0)


@partial(jax.jit, static_argnames="shape")
def _solve(
    walls: Bool[Array, "b h w"],
    cells: Int[Array, "b n"],
    pay: Float[Array, "2"],
    gamma: Float[Array, ""],
    shape: Shape,
) -> tuple[Float[Array, "b cell o s"], Float[Array, "b n o s"], Int16[Array, "b cell o n"]]:
    """The tables of a `Solution`. b: levels; n: objects, keys first; o, s: chests opened, keys
    collected."""
    keys, chests = _layers(shape)
    m = shape.num_openable
    batch, height, width = walls.shape
    over_levels = jax.vmap(lambda index, values: values[index])

    def put(values: Array) -> Array:
        """A board [b h w ...] with values [b n ...] on the objects' cells, 0 elsewhere."""
        blank = jnp.zeros((height * width, *values.shape[2:]), values.dtype)
        board = jax.vmap(lambda index, value: blank.at[index].set(value))(cells, values)
        return board.reshape(batch, height, width, *values.shape[2:])

    def flat(board: Array) -> Array:
        return board.reshape(batch, height * width, *board.shape[3:])

    def everywhere(values: Array | np.ndarray) -> Array:
        return jnp.broadcast_to(values, (batch, *values.shape))

    def remaining(s: int, o: int) -> Bool[np.ndarray, "n o s"]:
        """Which objects are events."""
        key = np.broadcast_to(
            ~keys.members(s)[:, None], (shape.num_keys, chests.sizes[o], keys.sizes[s])
        )
        chest = np.broadcast_to(
            ~chests.members(o)[:, :, None] & (s > o),
            (shape.num_chests, chests.sizes[o], keys.sizes[s]),
        )
        return np.concatenate([key, chest])

    def distances() -> Int16[Array, "b cell o n"]:
        """From each cell to each object past the unopened chests."""
        shut = np.concatenate([~chests.members(o) for o in range(m)], 1)
        none = np.zeros((shape.num_keys, shut.shape[1]), bool)
        is_open = ~walls[..., None] & ~put(everywhere(np.concatenate([none, shut])))
        target = put(everywhere(np.eye(cells.shape[1], dtype=bool)))[..., None, :]
        start = jnp.where(target, 0, FAR).astype(jnp.int16)
        start = jnp.broadcast_to(start, (*is_open.shape, cells.shape[1]))
        cost = jnp.where(is_open, 1, FAR).astype(jnp.int16)[..., None]
        cost = jnp.broadcast_to(cost, start.shape).reshape(batch, height, width, -1)

        def update(board: Array) -> Array:
            through = jnp.minimum(_around(board, jnp.minimum, FAR), FAR - 1) + cost
            return jnp.minimum(board, through)

        return flat(_until_settled(update, start.reshape(cost.shape)).reshape(start.shape))

    # Values of standing at an object, and worths, by the sizes of the two sets.
    values: dict[tuple[int, int], Float[Array, "b n o s"]] = {}
    worths: dict[tuple[int, int], Float[Array, "b n o s"]] = {}

    def worth(s: int, o: int) -> Float[Array, "b n o s"]:
        """What stepping on each object is worth; 0 where it is no event."""
        after = jnp.zeros((batch, cells.shape[1], chests.sizes[o], keys.sizes[s]))
        if s + 1 < len(keys.groups):
            index = keys.grown(s)[None, :, None]
            with_key = jnp.take_along_axis(values[s + 1, o][:, : shape.num_keys], index, -1)
            after = after.at[:, : shape.num_keys].set(with_key)
        if o + 1 < min(s + 1, m):
            index = chests.grown(o)[None, :, :, None]
            opened = jnp.take_along_axis(values[s, o + 1][:, shape.num_keys :], index, -2)
            after = after.at[:, shape.num_keys :].set(opened)
        paid = jnp.repeat(pay, np.array([shape.num_keys, shape.num_chests]), total_repeat_length=cells.shape[1])
        return jnp.where(remaining(s, o), paid[:, None, None] + gamma * after, 0.0)

    distance = distances()
    discount = _discounts(over_levels(cells, distance), gamma)  # b from o to
    first = np.cumsum([0, *chests.sizes])
    for s in reversed(range(m, len(keys.groups))):
        for o in reversed(range(m)):
            worths[s, o] = worth(s, o)
            best = jnp.zeros_like(worths[s, o])
            for y in range(cells.shape[1]):
                to = discount[:, :, first[o] : first[o + 1], y, None]
                best = jnp.maximum(best, to * worths[s, o][:, None, y])
            values[s, o] = best

    scarce = []
    for s in reversed(range(m)):
        boards = [jnp.zeros((batch, height * width, sum(chests.sizes[s + 1 :]), keys.sizes[s]))]
        for o in reversed(range(s + 1)):
            worth_at = put(worth(s, o))
            is_event = put(everywhere(remaining(s, o)))
            is_open = ~walls[..., None, None] & ~is_event

            shp=worth_at.shape
            worth_at=worth_at.reshape(batch,height,width,-1)
            is_open=jnp.broadcast_to(is_open,shp).reshape(batch,height,width,-1)
            def update(board: Array, is_open: Array = is_open, worth_at: Array = worth_at) -> Array:
                return _around(jnp.where(is_open, gamma * board, worth_at), jnp.maximum, 0)

            board = flat(_until_settled(update, jnp.zeros_like(worth_at)).reshape(shp))
            values[s, o] = over_levels(cells, board)
            boards.append(board)
        scarce.append(jnp.concatenate(boards[::-1], 2))
    ample = [
        jnp.concatenate([worths[s, o] for o in range(m)], 2) for s in range(m, len(keys.groups))
    ]
    return jnp.concatenate(scarce[::-1], -1), jnp.concatenate(ample, -1), distance
