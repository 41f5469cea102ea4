"""Share what all gridworlds need: moving, text, pictures, hashes, and the goal of reaching a cell.

A cell is its index in reading order, `row * size + column`. The board has no border of its own; the
pictures and the convolutional networks add the wall around it (so 13x13 is the paper's 15x15).
"""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8, UInt32

from ..core import Environment, Goal, Level, Levels, Mixture, Shift, State, UsageError, hash_bits, option
from ..oracle import TABLES, Solver
from . import landmarks, sprites
from .layouts import Blocks, Layout, pick

MIN_SIZE, MAX_SIZE = 3, 31


class GridLevel(eqx.Module):
    """Hold what is fixed within an episode: the walls and where the mouse starts.

    Environments add their objects, as cells (-1: absent).
    """

    walls: Bool[Array, "*b h w"]
    mouse: Int[Array, "*b"]


class GridState(eqx.Module):
    """Hold what changes within an episode: the cell that the mouse is on."""

    position: Int[Array, "*b"]


class Reach(Goal):
    """Pay 1 for arriving at a cell: the field `target` of the level, or a fixed cell.

    With `once`, only the first arrival pays; goals whose arrival ends the episode need no memory of it.
    """

    name: str = eqx.field(static=True)
    sentence: str = eqx.field(static=True)
    bits: float = eqx.field(static=True)
    target: str | int = eqx.field(static=True)
    once: bool = eqx.field(static=True, default=False)

    @property
    def num_memories(self) -> int:
        return 2 if self.once else 1  # 1: has been there

    def cell(self, level: Level) -> Int[Array, ""] | int:
        """Return the cell that the goal is about, on a level."""
        return getattr(level, self.target) if isinstance(self.target, str) else self.target

    def is_there(self, level: Level, state: State) -> Bool[Array, ""]:
        """Tell whether the mouse is on the goal's cell."""
        return state.position == self.cell(level)

    def is_achieved(self, level: Level, state: State, memory: Int[Array, ""]) -> Bool[Array, ""]:
        return self.is_there(level, state)

    def reward(
        self, level: Level, state: State, action: Int[Array, ""], next_state: State
    ) -> Float[Array, ""]:
        return self.is_there(level, next_state).astype(jnp.float32)

    def step(
        self,
        level: Level,
        memory: Int[Array, ""],
        state: State,
        action: Int[Array, ""],
        next_state: State,
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        reward = self.reward(level, state, action, next_state)
        if not self.once:
            return reward, memory
        return jnp.where(memory == 0, reward, 0.0), memory | reward.astype(memory.dtype)


class GridLevels(Levels):
    """Sample the levels of one class of a grid environment: distinguishing ones, or the others."""

    env: "GridEnvironment"
    distinguishing: bool = eqx.field(static=True)

    def sample(self, key: Key[Array, ""]) -> GridLevel:
        return self.env.draw(key, self.distinguishing)


class GridEnvironment(Environment):
    """Let a mouse walk on a square board by four moves, of which blocked ones do nothing.

    Subclasses say what lies on the board: how it is drawn, placed anew, shown, and built from text.
    Raises UsageError for sizes and time limits out of range.
    """

    num_actions: ClassVar[int] = 4
    action_names: ClassVar[tuple[str, ...]] = ("up", "left", "down", "right")
    symbols: ClassVar[dict[str, str]]  # object field of the level -> its letter
    shared_symbols: ClassVar[dict[str, tuple[str, ...]]] = {}  # letter -> objects on one cell
    solver: ClassVar[Solver | None] = TABLES
    movable: ClassVar[tuple[str, ...]] = ("mouse",)  # what edits may move without a change of class
    unrestricted_alpha: ClassVar[float] = 1.0  # share of distinguishing re-draws that covers all levels

    size: int = option(13, "cells along a side of the board (published: 13)")
    layout: Layout = eqx.field(
        default_factory=Blocks, metadata={"help": "walls: blocks (the default), tree or open"}
    )
    max_steps: int = option(128, "steps until an episode is cut off")

    def __check_init__(self) -> None:
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise UsageError(f"size is {self.size}; boards are {MIN_SIZE} to {MAX_SIZE} cells wide")
        if not 1 <= self.max_steps <= 10_000:
            raise UsageError(f"max_steps is {self.max_steps}; expected 1 to 10000")
        self.layout.check(self.size)

    # -- what each environment says of itself ---------------------------------------------------

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], distinguishing: bool) -> Any:
        """Draw a level of one class: of those that distinguish the goals, or of the others."""

    @abc.abstractmethod
    def redraw(self, key: Key[Array, ""], level: Any, distinguishing: Bool[Array, ""]) -> Any:
        """Place the level's goal objects anew (the transforming edit of 2507.03068)."""

    def tiles(self, level: Any, state: Any) -> Int[Array, "h w"]:
        """Lay out the sprites on the cells, as indices into `tile_names`.

        By default the mouse is above objects, in the order of `symbols` (the last on top), and these are
        above walls and floor.
        """
        board = jnp.where(level.walls, sprites.WALL, sprites.FLOOR)
        for name in self.symbols:
            cells = self.remaining(level, state, name)
            board = jnp.where(self.at(cells), self.tile_names.index(sprites.sprite_of(name)), board)
        return jnp.where(self.at(state.position), sprites.MOUSE, board)

    @property
    def tile_names(self) -> tuple[str, ...]:
        """Name all tiles: `sprites.NAMES`, then the environment's own kinds of objects."""
        return (*sprites.NAMES, *sprites.strange(self.symbols))

    def border(self, level: Any, state: Any) -> Int[Array, " w"]:
        """Return the sprites on the wall above the board (an inventory, where there is one)."""
        return jnp.full(self.size + 2, sprites.WALL)

    # -- dynamics -------------------------------------------------------------------------------

    def reset(self, level: Any) -> Any:
        return GridState(level.mouse)

    def move(
        self, walls: Bool[Array, "h w"], position: Int[Array, ""], action: Int[Array, ""]
    ) -> Int[Array, ""]:
        """Return the cell that an action leads to; a wall or the board's edge blocks it."""
        row, column = position // self.size, position % self.size
        row = row + (action == 2) - (action == 0)
        column = column + (action == 3) - (action == 1)
        inside = (row >= 0) & (row < self.size) & (column >= 0) & (column < self.size)
        target = jnp.where(inside, row * self.size + column, position)
        return jnp.where(walls.reshape(-1)[target], position, target)

    def step(
        self, level: Any, state: Any, action: Int[Array, ""], key: Key[Array, ""] | None = None
    ) -> Any:
        return GridState(self.move(level.walls, state.position, action))

    def states(self, level: Any) -> Any:
        return GridState(jnp.arange(self.size**2))

    def index(self, level: Any, state: Any) -> Int[Array, ""]:
        return state.position

    @property
    def strides(self) -> tuple[int, ...] | None:
        return -self.size, -1, self.size, 1

    # -- distributions --------------------------------------------------------------------------

    def shift(self, alpha: float = 0.0) -> Shift:
        common, rare = GridLevels(self, False), GridLevels(self, True)
        return Shift(train=Mixture(common, rare, alpha), deploy=rare)

    @property
    def carves(self) -> bool:
        """Tell whether objects may be placed on any cell, which clears it of a wall."""
        return self.layout.carves

    def place(
        self, key: Key[Array, ""], walls: Bool[Array, "h w"], taken: tuple[Any, ...], count: int
    ) -> Int[Array, " count"]:
        """Draw distinct cells for `count` objects, off the taken ones.

        They are on walls (which callers clear) only where layouts carve, or where no free cell is left.
        """
        cells = jnp.arange(self.size**2)
        vacant = jnp.ones(self.size**2, bool)
        for cell in taken:
            vacant = vacant & (cells != cell)
        uniform = jax.random.uniform(key, (count,))
        placed = []
        for index in range(count):
            free = vacant if self.carves else vacant & ~walls.reshape(-1)
            placed.append(pick(uniform[index], jnp.where(free.any(), free, vacant)))
            vacant = vacant & (cells != placed[-1])
        return jnp.stack(placed)

    def at(self, cells: Any) -> Bool[Array, "h w"]:
        """Mark the given cell or cells on an otherwise empty board; -1 marks nothing."""
        cells = jnp.atleast_1d(jnp.asarray(cells))
        marks = (jnp.arange(self.size**2) == cells[:, None]).any(0)
        return marks.reshape(self.size, self.size)

    def clear(self, walls: Bool[Array, "h w"], *cells: Any) -> Bool[Array, "h w"]:
        """Remove the walls on the given cells."""
        for cell in cells:
            walls = walls & ~self.at(cell)
        return walls

    def splay(self, level: Any) -> tuple[Any, Bool[Array, " n"]]:
        cells = jnp.arange(self.size**2)
        levels = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(cells), *leaf.shape)), level)
        levels = eqx.tree_at(
            lambda tree: getattr(tree, self.splayed),
            levels,
            cells.astype(getattr(level, self.splayed).dtype),
        )
        others = [getattr(level, name) for name in ("mouse", *self.symbols) if name != self.splayed]
        taken = jnp.stack([self.at(other) for other in others]).any(0)
        return levels, ~(level.walls | taken).reshape(-1)

    def level_hash(self, level: Any) -> UInt32[Array, "2"]:
        return hash_bits(self.observe(level, self.reset(level)))

    def layout_hash(self, level: Any) -> UInt32[Array, "2"]:
        # Where every layout is equal, levels as a whole are held out instead.
        return hash_bits(level.walls) if self.layout.varies else self.level_hash(level)

    # -- what analysis asks -----------------------------------------------------------------------

    def facts(self, level: Any, state: Any) -> dict[str, Bool[Array, ""]]:
        objects = {name: getattr(level, name) for name in self.symbols}
        return landmarks.facts(state.position, self.size, objects, level.mouse)

    def gauges(self, level: Any, state: Any) -> dict[str, Float[Array, ""]]:
        return landmarks.gauges(state.position, self.size)

    def symmetries(self, level: Any) -> dict[str, Any]:
        return landmarks.symmetries(level, self.size, ("mouse", *self.symbols))

    def restart(self, level: Any, state: Any) -> Any:
        return eqx.tree_at(lambda tree: tree.mouse, level, state.position.astype(level.mouse.dtype))

    # -- text and pictures ----------------------------------------------------------------------

    def to_text(self, level: Any, state: Any = None) -> str:
        """Write the board as lines of letters: `#` wall, `.` floor, `@` mouse, and one an object."""
        state = self.reset(level) if state is None else state
        board = np.where(np.asarray(level.walls), "#", ".").reshape(-1)
        there: dict[int, list[str]] = {}
        for name in self.symbols:
            for cell in np.atleast_1d(np.asarray(self.remaining(level, state, name))):
                if cell >= 0:
                    there.setdefault(int(cell), []).append(name)
        for cell, names in there.items():
            board[cell] = self.symbols[names[0]] if len(names) == 1 else self._shared(names)
        board[int(state.position)] = "@"
        rows = board.reshape(self.size, self.size)
        return "\n".join("".join(row) for row in rows) + "\n"

    def remaining(self, level: Any, state: Any, name: str) -> Any:
        """Return the cells on which objects of a kind are still to be seen."""
        return getattr(level, name)

    def _shared(self, names: list[str]) -> str:
        """Find the letter for several objects on one cell."""
        return next(s for s, group in self.shared_symbols.items() if set(group) == set(names))

    def from_text(self, text: str) -> Any:
        """Read what `to_text` writes. Raises UsageError with line and column."""
        lines = text.strip("\n").splitlines()
        where = "line {}, column {}: ".format
        if len(lines) != self.size:
            raise UsageError(
                f"line {len(lines)}: the level has {len(lines)} lines, the board {self.size}; "
                f"add or remove lines, or set size {len(lines)}"
            )
        letters = {letter: (name,) for name, letter in self.symbols.items()} | self.shared_symbols
        cells: dict[str, list[int]] = {name: [] for name in ("mouse", *self.symbols)}
        walls = np.zeros((self.size, self.size), bool)
        for row, line in enumerate(lines):
            if len(line) != self.size:
                raise UsageError(
                    where(row + 1, min(len(line), self.size) + 1)
                    + f"the line has {len(line)} letters, the board {self.size}"
                )
            for column, letter in enumerate(line):
                if letter == "#":
                    walls[row, column] = True
                elif letter == "@":
                    cells["mouse"].append(row * self.size + column)
                elif letter in letters:
                    for name in letters[letter]:
                        cells[name].append(row * self.size + column)
                elif letter != ".":
                    known = " ".join(["#", ".", "@", *letters])
                    raise UsageError(
                        where(row + 1, column + 1) + f"unknown letter {letter!r}; known: {known}"
                    )
        for name, found in cells.items():
            most = self.capacity(name)
            if len(found) > most or (most == 1 and not found):
                last = found[-1] if found else 0
                letter = "@" if name == "mouse" else self.symbols[name]
                raise UsageError(
                    where(last // self.size + 1, last % self.size + 1)
                    + f"{len(found)} of {name} ({letter!r}); expected "
                    + ("exactly 1" if most == 1 else f"at most {most}")
                )
        return self.build(walls, cells)

    def capacity(self, name: str) -> int:
        """Return how many objects of a kind a level holds at most (1: exactly one)."""
        return 1

    @abc.abstractmethod
    def build(self, walls: Bool[np.ndarray, "h w"], cells: dict[str, list[int]]) -> Any:
        """Build a level out of walls and the cells of each kind of object."""

    def board(self, level: Any, state: Any) -> Int[Array, "h w"]:
        """Return the sprites of the board and of the wall around it, as indices into `sprites.NAMES`."""
        board = jnp.pad(self.tiles(level, state), 1, constant_values=sprites.WALL)
        return board.at[0].set(self.border(level, state))

    def sprites(self, pixels: int) -> UInt8[np.ndarray, "n p p 3"]:
        return sprites.atlas(pixels, len(self.tile_names) - len(sprites.NAMES))

    def rgb(self, level: Any, state: Any, pixels: int = 8) -> UInt8[Array, "y x 3"]:
        """Draw the board with its border from the sprite atlas, (size + 2) * pixels square."""
        num_own = len(self.tile_names) - len(sprites.NAMES)
        return sprites.draw(self.board(level, state), pixels, num_own)
