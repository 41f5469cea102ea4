"""Convert the engine's saved states into our levels and states, and our actions into the engine's.

`levels` and `states` turn saved states of upstream's `coinrun`, `maze` and `heist` into those of our
`CoinRun`, `Maze` and `HeistDoors`, so that `env.observe(level, state)` shows what the engine shows. A
saved state of the middle of an episode does not say how the episode began: its level begins with the
agent where the game lets it start, or in Heist where it is now; taken keys and opened doors lie in the
corner; CoinRun's walkers begin in the middle of their tiles. None of this is seen.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ..core import Environment, Level, State, UsageError
from ..envs.grid import GridState
from ..envs.procgen import coinrun_levels
from ..envs.procgen.coinrun import CoinRun, CoinRunState
from ..envs.procgen.coinrun_levels import CRATE, NOTHING, SAW, WALKER, Draft, Scene, Things
from ..envs.procgen.heist import HeistState
from ..envs.procgen.heist_doors import DOORS, HeistDoors
from ..envs.procgen.heist_levels import CHEST, GEM, KEY, HeistLevel
from ..envs.procgen.maze import CheeseLevel, Maze
from ..envs.procgen.platformer import ROWS, WIDTH, Body
from .saved import Saved

EMPTY, WALL, COIN, HIDDEN, CHEESE = 100, 51, 1, -1, 2  # the engine's tiles
INSIDE, TOP = 15, 16
_TILES = {"inside": INSIDE, "top": TOP, "lava_inside": 17, "lava_top": 18, "barrier": 19}
MOST_THINGS = 40  # the most that a CoinRun level has room for
DEEP = 3  # pits are only in ground that is higher
_MOVES = (5, 1, 3, 7)  # Procgen's actions for up, left, down, right


class Kind(NamedTuple):
    """Say how a game of the engine becomes one of ours: environment, actions, levels, states."""

    environment: type[Environment]
    actions: tuple[int, ...]  # the engine's action for each of ours
    levels: Callable[[Sequence[Saved]], Level]
    states: Callable[[Any, Level, Sequence[Saved]], State]


def environment(saved: Saved, **fields: Any) -> Any:
    """Build our environment of a saved state's game and mode.

    `fields` are further ones of the environment.
    """
    kind: Any = KINDS[saved.game].environment
    return kind(mode=saved.mode, **fields)


def levels(saved: Sequence[Saved]) -> Level:
    """Convert saved states of one game and mode into our levels, stacked.

    Raises UsageError for a mixture.
    """
    if len({(one.game, one.mode) for one in saved}) != 1:
        raise UsageError("the saved states are of several games or modes; give those of one")
    return KINDS[saved[0].game].levels(saved)


def states(env: Environment, levels: Level, saved: Sequence[Saved]) -> State:
    """Convert engine snapshots into our `State`, stacked.

    `levels` are what `levels` made of the same snapshots.
    """
    return KINDS[saved[0].game].states(env, levels, saved)


def _stack(rows: Sequence[dict[str, Any]]) -> dict[str, Array]:
    """Stack the rows' fields of the same name."""
    return {name: jnp.asarray(np.stack([row[name] for row in rows])) for name in rows[0]}


def _column(saved: Sequence[Saved], name: str) -> Array:
    """Return a field of all saved states as one array."""
    return jnp.asarray([one[name] for one in saved])


def _of_agents(saved: Sequence[Saved], name: str) -> Array:
    """Return a field of the agents of all saved states as one array."""
    return jnp.asarray([one.agent[name] for one in saved])


# -- CoinRun ----------------------------------------------------------------------------------------


def _coinrun_levels(saved: Sequence[Saved]) -> Level:
    scene = Scene(
        _column(saved, "background"),
        _column(saved, "background_x"),
        _of_agents(saved, "theme"),
        _column(saved, "ground"),
    )
    things = Things(**_stack([_things(one) for one in saved]))
    rest = _stack([_tiles(one) for one in saved])
    return _build(Draft(**rest, things=things, scene=scene, num_words=_column(saved, "time")))


@jax.jit
def _build(drafts: Draft) -> Level:
    return jax.vmap(coinrun_levels.build)(drafts)


def _tiles(saved: Saved) -> dict[str, Any]:
    """Read the fields of a `Draft` that are on the grid."""
    grid = saved.grid
    end, coin, hidden = end_of(grid), _find(grid, COIN), _find(grid, HIDDEN)
    moved = tuple(coin) != tuple(end)
    tiles = {name: _words(grid == code) for name, code in _TILES.items()}
    return tiles | {"end": end, "place": coin if moved else hidden, "moved": np.bool_(moved)}


def _things(saved: Saved) -> dict[str, Any]:
    """Read the saws, walkers and crates of a saved state, padded to `MOST_THINGS`."""
    there = saved.others[np.isin(saved.others["type"], (SAW, WALKER, CRATE))]
    rows = {
        "kind": there["type"],
        "column": there["x"],
        "row": there["y"],
        "look": there["theme"],
        "heads_right": there["vx"] > 0,
    }
    whole = {name: row.astype(bool if row.dtype == bool else np.int32) for name, row in rows.items()}
    # What pads is NOTHING, which is 0.
    return {name: np.pad(row, (0, MOST_THINGS - len(row))) for name, row in whole.items()}


def end_of(grid: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "2"]:
    """Find the tile (column, row) before the wall to the sky that ends a CoinRun level."""
    column = int(np.flatnonzero(grid[WIDTH - 2] != INSIDE)[-1])
    return np.array([column, _heights(grid)[column]], np.int32)


def _heights(grid: Int[np.ndarray, "h w"]) -> Int[np.ndarray, " w"]:
    """Return how high each column's ground is, in tiles."""
    return np.argmin(np.isin(grid, (INSIDE, TOP)), axis=0)


def _words(tiles: np.ndarray) -> np.ndarray:
    """Pack a board of booleans [row, column] into one 32-bit word for each column: bit r is row r."""
    weights = np.uint32(1) << np.arange(ROWS, dtype=np.uint32)
    return (tiles[:ROWS] * weights[:, None]).sum(0, dtype=np.uint32)


def _coinrun_states(env: CoinRun, levels: Level, saved: Sequence[Saved]) -> State:
    state = _begin(env, levels)
    walker_x, walker_vx = np.array(state.walker_x), np.array(state.walker_vx)
    for row, one in enumerate(saved):
        walkers = one.others[one.others["type"] == WALKER]
        walker_x[row, : len(walkers)], walker_vx[row, : len(walkers)] = walkers["x"], walkers["vx"]
    moving = [_of_agents(saved, name) for name in ("x", "y", "vx", "vy")]
    flags = [_column(saved, name) > 0 for name in ("on_crate", "supported", "facing_right")]

    def changing(state: CoinRunState) -> tuple[Any, ...]:
        return state.body, state.walker_x, state.walker_vx, state.time

    now = (Body(*moving, *flags), jnp.asarray(walker_x), jnp.asarray(walker_vx), _column(saved, "time"))
    return eqx.tree_at(changing, state, now)


@eqx.filter_jit
def _begin(env: Environment, levels: Level) -> State:
    return jax.vmap(env.reset)(levels)


def move_coin(saved: Saved, tile: Sequence[int] | Int[np.ndarray, "2"]) -> Saved:
    """Move the coin of CoinRun's saved state to another tile (column, row).

    The engine collects it there, and the level's end then pays nothing. Raises UsageError for other
    games and for tiles that are not empty.
    """
    if saved.game != "coinrun":
        raise UsageError(f"a saved state of {saved.game} has no coin; give one of coinrun")
    x, y = (int(number) for number in tile)
    grid = saved.grid.copy()
    inside = 0 <= x < grid.shape[1] and 0 <= y < grid.shape[0]
    if not inside or grid[y, x] not in (EMPTY, COIN):
        holds = f"holds {grid[y, x]}" if inside else "is outside of the world"
        raise UsageError(f"tile ({x}, {y}) {holds}; a coin needs an empty one ({EMPTY})")
    grid[grid == COIN] = EMPTY
    grid[y, x] = COIN
    return saved.replace(grid=grid)


def coin_places(grid: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "n 2"]:
    """List where a moved coin may be: on the first column of each section, as in JacobPfau/procgenAISC.

    Sections are told by the ground's height, so that two of the same height count as one. Returns tiles
    (column, row).
    """
    heights, last = _heights(grid), end_of(grid)[0]
    level = heights.copy()
    # A pit belongs to the section around it: the low columns between two of the same, greater height.
    for column in range(6, last):
        if level[column] < level[column - 1] and level[column - 1] > DEEP:
            back = np.flatnonzero(heights[column:last] == level[column - 1])
            if heights[column] == 1 and len(back) and (heights[column : column + back[0]] == 1).all():
                level[column] = level[column - 1]
    starts = [c for c in range(5, last) if c == 5 or level[c] != level[c - 1]]
    places = [(c, heights[c]) for c in starts if grid[heights[c], c] == EMPTY]
    return np.array(places, np.int32).reshape(-1, 2)


# -- Maze -------------------------------------------------------------------------------------------


def _maze_levels(saved: Sequence[Saved]) -> Level:
    return CheeseLevel(
        background=_column(saved, "background"),
        background_offset=_column(saved, "background_x"),
        **_stack([_maze(one) for one in saved]),
    )


def _maze(saved: Saved) -> dict[str, Any]:
    grid, world = saved.grid, saved["world_side"]
    margin = (world - saved["maze_side"]) // 2
    far = world - 1 - margin
    tiles = {"mouse": (margin, margin), "cheese": _find(grid, CHEESE).tolist(), "corner": (far, far)}
    cells = {name: _cell(world, *tile) for name, tile in tiles.items()}
    return {"walls": (grid == WALL)[::-1], **cells}


def _cell(world: int, x: int, y: int) -> np.int32:
    """Turn a tile of the engine (y upwards) into the index of our cell (reading order)."""
    return np.int32((world - 1 - y) * world + x)


def _maze_states(env: Maze, levels: Level, saved: Sequence[Saved]) -> State:
    cells = [_cell(env.size, int(one.agent["x"]), int(one.agent["y"])) for one in saved]
    return GridState(jnp.asarray(cells))


# -- Heist ------------------------------------------------------------------------------------------


def _heist_levels(saved: Sequence[Saved]) -> Level:
    return HeistLevel(
        background=_column(saved, "background"),
        background_x=_column(saved, "background_x"),
        **_stack([_heist(one) for one in saved]),
    )


def _heist(saved: Saved) -> dict[str, Any]:
    left = saved.others[np.isin(saved.others["type"], (CHEST, KEY, GEM))]
    objects = [(one["type"], one["theme"], one["x"], one["y"]) for one in left]
    # A door and a key of the same number belong together: what has been taken is what is missing.
    doors, keys = ({one[1] for one in objects if one[0] == kind} for kind in (CHEST, KEY))
    held = set(np.flatnonzero(saved["has_keys"]))
    objects += [(KEY, number, 0, 0) for number in sorted(held)]
    objects += [(CHEST, number, 0, 0) for number in sorted((held | keys) - doors)]
    rows = np.zeros((2 * DOORS + 1, 4), np.float32)
    rows[: len(objects)] = objects
    time, max_steps = saved["time"], saved["max_steps"]
    bits = np.concatenate([np.zeros(time, bool), saved.next_words(max_steps - time) & 1 == 1])
    return {
        "walls": saved.grid == WALL,
        "start": np.array([saved.agent["x"], saved.agent["y"]]),
        "places": rows[:, 2:],
        "kinds": rows[:, 0].astype(np.int8),
        "numbers": rows[:, 1].astype(np.int8),
        "ties": np.packbits(np.pad(bits, (0, -len(bits) % 32)), bitorder="little").view("<u4"),
    }


def _heist_states(env: HeistDoors, levels: Level, saved: Sequence[Saved]) -> State:
    kinds, numbers = np.asarray(levels.kinds), np.asarray(levels.numbers)
    gone = np.zeros(kinds.shape, bool)
    for row, one in enumerate(saved):
        left = {(thing["type"], thing["theme"]) for thing in one.others}
        for index, thing in enumerate(zip(kinds[row], numbers[row], strict=True)):
            gone[row, index] = thing[0] != NOTHING and thing not in left
    x, y, vx, vy = (_of_agents(saved, name) for name in ("x", "y", "vx", "vy"))
    position, velocity = jnp.stack([x, y], -1), jnp.stack([vx, vy], -1)
    return HeistState(position, velocity, jnp.asarray(gone), _column(saved, "time"))


def _find(grid: Int[np.ndarray, "h w"], code: int) -> Int[np.ndarray, "2"]:
    """Find the tile (x, y) with a code; (-1, -1) where there is none."""
    found = np.argwhere(grid == code)
    return (found[0, ::-1] if len(found) else np.array([-1, -1])).astype(np.int32)


def engine_actions(env: Environment, actions: Array | np.ndarray) -> Int[np.ndarray, " n"]:
    """Translate our actions into the engine's."""
    kind = next(kind for kind in KINDS.values() if type(env) is kind.environment)
    return np.asarray(kind.actions)[np.asarray(actions)]


KINDS: dict[str, Kind] = {
    "coinrun": Kind(CoinRun, tuple(range(9)), _coinrun_levels, _coinrun_states),
    "maze": Kind(Maze, _MOVES, _maze_levels, _maze_states),
    "heist": Kind(HeistDoors, tuple(range(9)), _heist_levels, _heist_states),
}
