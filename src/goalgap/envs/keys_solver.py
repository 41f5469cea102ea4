"""Solve *Keys and Chests* exactly, by dynamic programming over what is collected and what is open.

Walking earns nothing, so play is a sequence of *events*: stepping on a key that is still there, or on an
unopened chest while holding a key. Between two events the mouse takes a shortest path free of any other
event. An event d steps away adds gamma^(d-1) times its *worth*: what it pays, plus gamma times the value
of standing there afterwards. Worths follow from one another backward, from the fullest sets of collected
keys and open chests. An episode ends with m = min(keys, chests) open chests, which leaves two regimes:

- *scarce*, fewer than m keys collected: the inventory can run out, and then chests are walked over. A
  key too many may even be a loss, where it turns the chests in a corridor into the end of the episode.
  So every event bars the way to every other, and values are tabulated at every cell.
- *ample*, m keys or more: the inventory cannot run out before the end, so that further keys change
  nothing but the reward, and to collect one in passing is no loss. Only unopened chests bar the way,
  distances depend on nothing else, and worths are tabulated at the objects alone.

The method is to find the best of all collection sequences (2507.03068, appendix F: 21,600 of them for 3
keys against 10 chests). Departures: the released code considers only as many chests as there are keys,
discounts by gamma^d, and measures distances as though no object stood in the way. Values here are those
without a time limit; `Solution.is_exact` says on which levels the limit makes no difference.

Axes: b levels; n objects, keys first; o sets of open chests; s sets of collected keys (t: those of the
ample regime); f any of these side by side.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import combinations
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int16

from ..core import Environment, Goal, Level, State, UsageError, tree_index
from ..oracle.solver import Solver, at_start, in_chunks

CHUNK, CHUNK_BYTES = 16, 2**24  # at most so many levels, and bytes, at a time, to stay in the cache
LEVEL_BYTES, TOTAL_BYTES = 2**26, 2**32  # what the tables of one and of all levels may take
FAR = 2**13  # no way; the sum of two still fits into 16 bits


class CollectionSolver(Solver):
    """Offer this module's method to `oracle` as a solver."""

    kinds = ("best", "worst")  # the value of random play is not known

    def solve(
        self, env: Environment, goal: Goal, levels: Level, gamma: float, heedless: bool = False
    ) -> "Solution":
        if heedless:
            raise UsageError(f"{env.name} is not solved by tables, so there is no heedless play")
        return solve(env, goal, levels, gamma)

    def start_values(
        self, env: Environment, goal: Goal, levels: Level, gamma: float, kind: str
    ) -> Float[np.ndarray, " l"]:
        if kind == "worst":
            return np.asarray(worst(env, goal, levels, gamma))
        return in_chunks(
            lambda chunk: at_start(env, solve(env, goal, chunk, gamma), chunk).max(-1), levels
        )

    def is_solvable(
        self, env: Environment, goal: Goal, levels: Level, gamma: float
    ) -> Bool[np.ndarray, " l"]:
        def achieves(chunk: Level) -> Array:
            return _achieves(env, goal, chunk, solve(env, goal, chunk, gamma))

        return in_chunks(achieves, levels)


class Subsets(NamedTuple):
    """Group subsets of `count` objects, as bit masks, by size.

    The subsets of a group are solved together.
    """

    count: int
    groups: tuple[tuple[int, ...], ...]

    @property
    def row(self) -> Int[np.ndarray, " masks"]:
        """Map each mask to its place, counted through all groups.

        Masks in no group get the last place.
        """
        masks = [mask for group in self.groups for mask in group]
        row = np.full(2**self.count, len(masks) - 1)
        row[masks] = np.arange(len(masks))
        return row

    def size(self, *groups: int) -> int:
        """Count the subsets in some groups."""
        return sum(len(self.groups[group]) for group in groups)

    def members(self, group: int) -> Bool[np.ndarray, "n s"]:
        """Mark which objects each subset of a group has."""
        objects = np.arange(self.count)[:, None]
        return (np.array(self.groups[group]) >> objects & 1).astype(bool)

    def grown(self, group: int) -> Int[np.ndarray, "n s"]:
        """Return the place, within the next group, of each subset with each object added.

        The place is 0 where the subset has the object already.
        """
        larger = np.array(self.groups[group]) | 1 << np.arange(self.count)[:, None]
        return np.where(self.members(group), 0, self.row[larger] - self.size(*range(group + 1)))


class Shape(NamedTuple):
    """Hold what the sizes of the tables depend on: how many keys and chests, and whether keys pay."""

    num_keys: int
    num_chests: int
    keys_pay: bool

    @property
    def num_openable(self) -> int:
        """Return how many chests can be opened, at least 1."""
        return max(1, min(self.num_keys, self.num_chests))  # without any, nothing is ever looked up

    @property
    def num_objects(self) -> int:
        """Count keys and chests."""
        return self.num_keys + self.num_chests

    def num_bytes(self, num_cells: int) -> int:
        """Return how many bytes the tables of one level with so many cells take."""
        keys, chests = _subsets(self)
        m = self.num_openable
        scarce, ample = keys.size(*range(m)), keys.size(*range(m, len(keys.groups)))
        per_set_of_chests = (
            num_cells * (4 * scarce + 2 * self.num_objects) + 4 * self.num_objects * ample
        )
        return chests.size(*range(m)) * per_set_of_chests


@cache
def _subsets(shape: Shape) -> tuple[Subsets, Subsets]:
    """List the sets of collected keys and of open chests that are told apart before the end."""

    def of_size(count: int, size: int) -> tuple[int, ...]:
        return tuple(sum(1 << x for x in chosen) for chosen in combinations(range(count), size))

    m, k, c = shape.num_openable, shape.num_keys, shape.num_chests
    scarce = [of_size(k, size) for size in range(m)]
    # With enough keys, more of them that pay nothing make no difference: all keys stand for any.
    ample = [of_size(k, size) for size in range(m if shape.keys_pay else k, k + 1)]
    chests = Subsets(c, tuple(of_size(c, size) for size in range(m)))
    return Subsets(k, (*scarce, *ample)), chests


# -- sweeps over boards -----------------------------------------------------------------------------


def _around(board: Array, pick: Callable[[Array, Array], Array], outside: int) -> Array:
    """Combine the four neighbors of each cell by `pick`. Boards are [b h w f]."""
    board = jnp.pad(board, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=outside)
    up, down = board[:, :-2, 1:-1], board[:, 2:, 1:-1]
    left, right = board[:, 1:-1, :-2], board[:, 1:-1, 2:]
    return pick(pick(up, down), pick(left, right))


def _settle(update: Callable[[Array], Array], start: Array) -> Array:
    """Repeat an update, which gets there in finitely many steps, up to its fixed point."""

    def sweep(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        # To look for a change costs as much as an update.
        board = jax.lax.fori_loop(0, 8, lambda _, board: update(board), carry[0])
        return board, (board != carry[0]).any()

    return jax.lax.while_loop(lambda carry: carry[1], sweep, (start, jnp.array(True)))[0]


def _distances(is_open: Bool[Array, "b h w f"], target: Bool[Array, "b h w f"]) -> Array:
    """Count the steps from each open cell through open cells to the target, which may be shut."""
    cost = jnp.where(is_open, 1, FAR).astype(jnp.int16)  # of leaving a cell
    start = jnp.where(target, 0, FAR).astype(jnp.int16)
    return _settle(lambda board: jnp.minimum(board, _around(board, jnp.minimum, FAR) + cost), start)


def _values(is_open: Bool[Array, "b h w f"], worth: Float[Array, "b h w f"], gamma: Array) -> Array:
    """Compute the value of standing on each cell.

    `worth` is that of stepping on a cell that is not open.
    """

    def update(board: Array) -> Array:
        return _around(jnp.where(is_open, gamma * board, worth), jnp.maximum, 0)

    return _settle(update, jnp.zeros_like(worth))


def _discount(distance: Int16[Array, "*a"], gamma: Any) -> Float[Array, "*a"]:
    return jnp.where(distance < FAR, gamma ** (distance - 1.0), 0.0)


class Board(NamedTuple):
    """Hold levels without their objects' state, and move values onto cells and back."""

    walls: Bool[Array, "b h w"]
    cells: Int[Array, "b n"]

    def put(self, values: Any) -> Array:
        """Put values [b n ...] or [n ...] onto the objects' cells of boards [b h w f], 0 elsewhere."""
        batch, height, width = self.walls.shape
        values = jnp.broadcast_to(values, (batch, *values.shape[-3:]))
        blank = jnp.zeros((height * width, *values.shape[2:]), values.dtype)
        boards = jax.vmap(lambda cells, value: blank.at[cells].set(value))(self.cells, values)
        return boards.reshape(batch, height, width, -1)

    def flat(self, boards: Array, shape: tuple[int, ...]) -> Array:
        """Reshape boards `[b h w f]` to `[b cell *shape]`."""
        batch, height, width = self.walls.shape
        return boards.reshape(batch, height * width, *shape)

    def at_objects(self, flat: Array) -> Array:
        """Select the objects' cells: [b cell ...] to [b n ...]."""
        return jax.vmap(lambda cells, values: values[cells])(self.cells, flat)

    def around(self, events: Any) -> Bool[Array, "b h w f"]:
        """Mark the cells without walls and without the given events [n o s]."""
        return ~self.walls[..., None] & ~self.put(events)


# -- backward through the sets ----------------------------------------------------------------------


def _events(shape: Shape, s: int, o: int) -> Bool[np.ndarray, "n o s"]:
    """Mark which objects are events, for the sets of `s` keys and of `o` chests (groups)."""
    keys, chests = _subsets(shape)
    sets = (chests.size(o), keys.size(s))
    key = np.broadcast_to(~keys.members(s)[:, None, :], (shape.num_keys, *sets))
    chest = np.broadcast_to(~chests.members(o)[:, :, None] & (s > o), (shape.num_chests, *sets))
    return np.concatenate([key, chest])


def _worths(
    shape: Shape,
    s: int,
    o: int,
    values: dict[tuple[int, int], Float[Array, "b n _ _"]],
    pay: Float[Array, "b 2"],
    gamma: Array,
) -> Float[Array, "b n o s"]:
    """Compute what stepping on each object is worth, 0 where it is no event.

    `values` are those at the objects for larger sets.
    """
    keys, chests = _subsets(shape)
    k, sets = shape.num_keys, (chests.size(o), keys.size(s))
    with_key, with_chest = jnp.zeros((k, *sets)), jnp.zeros((shape.num_chests, *sets))
    if (s + 1, o) in values:
        place = keys.grown(s)[None, :, None, :]
        with_key = jnp.take_along_axis(values[s + 1, o][:, :k], place, -1)
    if (s, o + 1) in values:
        place = chests.grown(o)[None, :, :, None]
        with_chest = jnp.take_along_axis(values[s, o + 1][:, k:], place, -2)
    per_key, per_chest = jnp.moveaxis(pay[..., None, None, None], 1, 0)
    worth = jnp.concatenate([per_key + gamma * with_key, per_chest + gamma * with_chest], 1)
    return jnp.where(_events(shape, s, o), worth, 0.0)


@partial(jax.jit, static_argnames="shape")
def _solve(
    board: Board, pay: Float[Array, "b 2"], gamma: Array, shape: Shape
) -> tuple[Float[Array, "b cell o s"], Float[Array, "b n o t"], Int16[Array, "b cell o n"]]:
    """Compute the tables of a `Solution`."""
    keys, chests = _subsets(shape)
    m, n = shape.num_openable, shape.num_objects
    values: dict[tuple[int, int], Float[Array, "b n o s"]] = {}

    shut = np.concatenate([_events(shape, m, o)[..., 0] for o in range(m)], 1)
    shut[: shape.num_keys] = False
    shut = np.broadcast_to(shut[..., None], (*shut.shape, n))
    target = np.broadcast_to(np.eye(n, dtype=bool)[:, None], shut.shape)
    distance = board.flat(_distances(board.around(shut), board.put(target)), shut.shape[1:])
    discount = jnp.moveaxis(_discount(board.at_objects(distance), gamma), -1, 0)  # to b from o

    ample = []
    for s in reversed(range(m, len(keys.groups))):
        worths = []
        for o in reversed(range(m)):
            worth = _worths(shape, s, o, values, pay, gamma)
            first = chests.size(*range(o))
            ways = discount[:, :, :, first : first + chests.size(o), None]
            values[s, o] = jnp.zeros_like(worth)
            for way, there in zip(ways, jnp.moveaxis(worth, 1, 0), strict=True):
                values[s, o] = jnp.maximum(values[s, o], way * there[:, None])
            worths.insert(0, worth)
        ample.insert(0, jnp.concatenate(worths, 2))

    scarce = []
    for s in reversed(range(m)):
        # No more chests can be open than keys were collected.
        sets = (chests.size(*range(s + 1, m)), keys.size(s))
        flats = [jnp.zeros((*distance.shape[:2], *sets))]
        for o in reversed(range(s + 1)):
            events = _events(shape, s, o)
            worth = board.put(_worths(shape, s, o, values, pay, gamma))
            boards = _values(board.around(events), worth, gamma)
            flats.insert(0, board.flat(boards, events.shape[1:]))
            values[s, o] = board.at_objects(flats[0])
        scarce.insert(0, jnp.concatenate(flats, 2))
    return jnp.concatenate(scarce, -1), jnp.concatenate(ample, -1), distance


# -- what the oracle uses ---------------------------------------------------------------------------


class Solution(eqx.Module):
    """Hold a batch of levels solved for one goal.

    All levels have the same numbers of keys and chests.
    """

    scarce: Float[Array, "*l cell o s"]  # values at each cell in the scarce regime
    worth: Float[Array, "*l n o t"]  # of events in the ample regime
    distance: Int16[Array, "*l cell o n"]  # steps to each object in the ample regime
    shape: Shape = eqx.field(static=True)
    pay: tuple[float, float] = eqx.field(static=True)  # for a key, for a chest
    gamma: float = eqx.field(static=True)

    def value(self, env: Environment, level: Level, state: State) -> Float[Array, ""]:
        """Look up V* of one level (a row of the batch) in one state that play can reach."""
        keys, chests = _subsets(self.shape)
        s = _row(keys, state.collected)
        o = _row(chests, state.opened)
        num_scarce = self.scarce.shape[-1]
        at_cell = self.scarce[state.position, o, jnp.minimum(s, num_scarce - 1)]
        worth = self.worth[:, o, jnp.maximum(s - num_scarce, 0)]
        by_events = (_discount(self.distance[state.position, o], self.gamma) * worth).max(initial=0.0)
        value = jnp.where(s < num_scarce, at_cell, by_events)
        return jnp.where(env.is_terminal(level, state), 0.0, value)

    def q(
        self, env: Environment, level: Level, state: State, memory: Int[Array, ""]
    ) -> Float[Array, " a"]:
        """Compute Q* of one level in one state; an ended episode pays nothing."""

        def one(action: Int[Array, ""]) -> Float[Array, ""]:
            after = env.step(level, state, action)
            num_keys = after.collected.sum() - state.collected.sum()
            num_chests = after.opened.sum() - state.opened.sum()
            paid = self.pay[0] * num_keys + self.pay[1] * num_chests
            return paid + self.gamma * self.value(env, level, after)

        q = jax.vmap(one)(jnp.arange(env.num_actions))
        return jnp.where(env.is_terminal(level, state), 0.0, q)

    @eqx.filter_jit
    def play_out(self, env: Environment, levels: Level) -> tuple[Bool[Array, " l"], State]:
        """Play optimally from the start of each level, for `max_steps`.

        Returns whether this leaves nothing to be gained, so that the values are also those of episodes
        that are cut off, and the states where it ends.
        """

        def one(row: Solution, level: Level) -> tuple[Bool[Array, ""], State]:
            def step(_: Int[Array, ""], state: State) -> State:
                action = row.q(env, level, state, jnp.zeros((), int)).argmax()
                return env.step(level, state, action)

            # Steps after the end do no harm: open chests stay open, so it stays the end.
            end = jax.lax.fori_loop(0, env.max_steps, step, env.reset(level))
            return row.value(env, level, end) == 0, end

        return jax.vmap(one)(self, levels)

    def is_exact(self, env: Environment, levels: Level) -> Bool[Array, " l"]:
        """Tell whether the values at the start are also those of episodes cut off after `max_steps`."""
        return self.play_out(env, levels)[0]


@eqx.filter_jit
def _achieves(env: Environment, goal: Goal, levels: Level, solution: Solution) -> Bool[Array, " l"]:
    """Tell where optimal play for `max_steps` achieves the goal and leaves nothing to be gained."""
    is_exact, end = solution.play_out(env, levels)
    memory = jnp.zeros(is_exact.shape, int)  # of the automaton that `solve` refuses
    return is_exact & jax.vmap(goal.is_achieved)(levels, end, memory)


def _row(subsets: Subsets, has: Bool[Array, " n"]) -> Int[Array, ""]:
    mask = (has[: subsets.count] << np.arange(subsets.count)).sum()
    return jnp.asarray(subsets.row)[mask]


def solve(env: Environment, goal: Goal, levels: Level, gamma: float) -> Solution:
    """Solve a batch of levels for a goal that pays a fixed sum for each key and for each chest.

    Call it outside jit. Raises UsageError where the levels do not all hold the same numbers of keys and
    chests, where these are so many that the tables grow too large, for any other kind of goal, and for
    a `gamma` outside 0 to 1.
    """
    if not 0 <= gamma <= 1:
        raise UsageError(f"gamma is {gamma}; a discount is between 0 and 1")
    num_keys, num_chests = _counts(levels)
    pay = _payments(env, goal, levels)
    shape = Shape(num_keys, num_chests, pay[0] > 0)
    # Around the one compiled program all is NumPy's: each JAX operation would be a program of its own.
    walls, keys, chests = (np.asarray(leaf) for leaf in (levels.walls, levels.keys, levels.chests))
    cells = np.concatenate([keys[:, :num_keys], chests[:, :num_chests]], 1)
    size = _chunk_size(shape, walls.shape)
    pays = np.broadcast_to(np.asarray(pay, np.float32), (size, 2))
    solved = []
    for first in range(0, len(cells), size):
        # The last chunk is filled up, so that any number of levels runs the same program.
        rows = np.arange(first, first + size) % len(cells)
        board = Board(jnp.asarray(walls[rows]), jnp.asarray(cells[rows]))
        tables = _solve(board, pays, np.float32(gamma), shape)
        left = len(cells) - first
        solved.append(tables if left >= size else tree_index(tables, slice(left)))
    tables = (
        solved[0] if len(solved) == 1 else jax.tree.map(lambda *parts: jnp.concatenate(parts), *solved)
    )
    return Solution(*tables, shape=shape, pay=pay, gamma=gamma)


def worst(env: Environment, goal: Goal, levels: Level, gamma: float) -> Float[Array, " l"]:
    """Compute the least that play can earn at the start of each level.

    That is nothing, as the mouse may walk to and fro forever, except where its very first step collects
    a key whichever way it goes.
    """
    _payments(env, goal, levels)
    return _worst(env, goal, jax.tree.map(jnp.asarray, levels))


@eqx.filter_jit
def _worst(env: Environment, goal: Goal, levels: Level) -> Float[Array, " l"]:
    def one(level: Level, action: Int[Array, ""]) -> Float[Array, ""]:
        start = env.reset(level)
        reward = goal.reward(level, start, action, env.step(level, start, action))
        return jnp.where(env.is_terminal(level, start), 0.0, reward)

    actions = jnp.arange(env.num_actions)
    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(levels, actions).min(-1)


def _counts(levels: Level) -> tuple[int, int]:
    """Count the keys and chests that each of the levels holds.

    Raises UsageError where the numbers differ.
    """
    counts = []
    for name in ("keys", "chests"):
        try:
            is_there = np.asarray(getattr(levels, name)) >= 0
        except jax.errors.TracerArrayConversionError:
            raise UsageError(
                "keys and chests are counted before compilation; solve outside jit and pass the "
                "solution in"
            ) from None
        if is_there.ndim != 2 or not len(is_there):
            raise UsageError(
                f"{name} has shape {is_there.shape}; expected a batch of levels (add a leading axis)"
            )
        numbers = is_there.sum(1)
        if (numbers != numbers[0]).any():
            raise UsageError(
                f"levels with {numbers.min()} to {numbers.max()} {name}; expected the same number in "
                "all (solve training and shifted levels apart)"
            )
        if not is_there[:, : numbers[0]].all():
            raise UsageError(f"absent {name} (-1) stand before others; put them at the array's end")
        counts.append(int(numbers[0]))
    return counts[0], counts[1]


def _payments(env: Environment, goal: Goal, levels: Level) -> tuple[float, float]:
    """Find what a goal pays for a key and for a chest, by trying all of one level's.

    Raises UsageError where these are not fixed sums, at least 0, or where the goal pays for anything
    else.
    """
    refusal = UsageError(
        f"goal {goal.name} has no exact play in {env.name}; expected one without memory that pays a "
        "fixed sum, at least 0, for each key and for each chest (or use a trained reference)"
    )
    if goal.num_memories > 1:
        raise refusal
    level = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[0]), levels)
    walk, key, chest = jax.device_get(_tried(env, goal, level))
    key, chest = key[np.asarray(level.keys) >= 0], chest[np.asarray(level.chests) >= 0]
    sums = [np.unique(paid) if len(paid) else np.zeros(1) for paid in (key, chest)]
    if np.any(walk) or any(len(paid) > 1 or not paid[0] >= 0 for paid in sums):
        raise refusal
    return float(sums[0][0]), float(sums[1][0])


@eqx.filter_jit
def _tried(
    env: Environment, goal: Goal, level: Level
) -> tuple[Float[Array, " cells"], Float[Array, " k"], Float[Array, " k"]]:
    """Give what a goal pays for arriving at each cell, and for each key and chest of one level."""
    start = env.reset(level)

    def pays(cell: Array, holding: Array, key: Array, chest: Array) -> Array:
        """Return the reward for arriving at a cell, collecting `key` and opening `chest`.

        `holding` are the keys collected before.
        """
        before = type(start)(start.position, holding, start.opened)
        after = type(start)(cell, holding | key, chest)
        return goal.reward(level, before, jnp.zeros((), int), after)

    num_slots = len(start.collected)
    each, none = jnp.eye(num_slots, dtype=bool), jnp.zeros((num_slots, num_slots), bool)
    walk = jax.vmap(pays, (0, None, None, None))(jnp.arange(level.walls.size), *[none[0]] * 3)
    key = jax.vmap(pays)(level.keys, none, each, none)
    return walk, key, jax.vmap(pays)(level.chests, ~none, none, each)


def _chunk_size(shape: Shape, walls_shape: tuple[int, ...]) -> int:
    """Return how many levels to solve together. Raises UsageError where their tables are too large."""
    num_levels, height, width = walls_shape
    each = shape.num_bytes(height * width)
    if each > LEVEL_BYTES or each * num_levels > TOTAL_BYTES:
        raise UsageError(
            f"{num_levels} x {each / 2**20:,.1f} MiB of tables for {shape.num_keys} keys and "
            f"{shape.num_chests} chests on {height}x{width}; expected at most {LEVEL_BYTES >> 20} MiB a "
            f"level and {TOTAL_BYTES >> 20} in all: take fewer levels, or less of the scarcer object"
        )
    return max(1, min(CHUNK, CHUNK_BYTES // each))
