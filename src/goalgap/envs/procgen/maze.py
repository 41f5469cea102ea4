"""Define Procgen's Maze: get to the cheese (intended) or to the maze's top-right corner (proxy).

In training the cheese lies in that corner (or, with `region` r, in the r x r cells nearest to it); after
the shift it lies anywhere. Mazes are of any odd side from 3 to the world's, in its middle, so the corner
differs from level to level; the mouse starts in the bottom-left one. Source: arXiv 2105.14111, "Maze I";
`procgen/src/games/maze.cpp` and `maze_aisc.cpp` of JacobPfau/procgenAISC, read and re-stated: a block of
words gives the very level that Procgen makes of them. Departures: four actions, of which blocked ones
stand still, for Procgen's fifteen (which do no more); rows count from the top; `maze_fixed_size` fills
the world in every mode; an object that Procgen may look for without end is looked for 32 times;
symbolic observations show the whole world in "memory" mode, too; pictures are our own; two modes more,
"tiny" and "small", with worlds of 5 and 7, by the same rules.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8, UInt32

from ...core import Defaults, Goal, UsageError, hash_bits, option
from ...oracle import TABLES, Solver
from .. import landmarks, sprites
from ..grid import GridEnvironment, GridLevel, GridState, Reach
from ..layouts import Tree
from . import kruskal
from .game import CALMER, GameLevels, ProcgenGame, check_name
from .maze_picture import picture
from .random_words import Draws

# The world's side, by Procgen's distribution mode; the first two are our own, for laptops.
SIZES = {"tiny": 5, "small": 7, "easy": 15, "hard": 25, "memory": 31}
NUM_BACKGROUNDS = 9
TRIES = 32  # the odds that a free cell is not found by then are below 10^-17


class MazeLevel(GridLevel):
    """Hold what the levels of all games of the family have.

    Backgrounds are scenery: no rule asks for them.
    """

    background: Int[Array, "*b"]  # which picture, 0 to 8
    background_offset: Float[Array, "*b"]  # how far it is moved to the left, 0 to 1


class CheeseLevel(MazeLevel):
    """Add to a maze the cells of its cheese and of its top-right corner."""

    cheese: Int[Array, "*b"]  # -1: there is none (Procgen gave up)
    corner: Int[Array, "*b"]  # the maze's top-right cell


class MazeEnvironment(ProcgenGame, GridEnvironment):
    """Share what Maze and its variants need.

    The mode says how large the world is; layouts are Procgen's.
    """

    papers: ClassVar[tuple[str, ...]] = ("2105.14111", "1912.01588")
    solver: ClassVar[Solver | None] = TABLES
    modes: ClassVar[tuple[str, ...]] = tuple(SIZES)
    games: ClassVar[tuple[str, ...]]
    looks: ClassVar[tuple[int, ...]]  # what is on a tile: sprites; floor, wall and mouse come first

    # No fields here, as they are on other boards: the mode says the one, and there is only one layout.
    size: ClassVar[Any] = property(lambda self: SIZES[self.mode])
    layout: ClassVar[Any] = Tree()
    max_steps: int = option(500, "steps until an episode is cut off")

    # -- levels ---------------------------------------------------------------------------------

    @abc.abstractmethod
    def furnish(
        self, draws: Draws, game: str, maze: kruskal.MazeGraph, side: Int[Array, ""]
    ) -> dict[str, Int[Array, ""]]:
        """Draw the objects, by the level's fields: cells in the maze's coordinates (-1: absent)."""

    @abc.abstractmethod
    def assemble(self, game: str, **fields: Any) -> Any:
        """Build a game's level out of the fields of `MazeLevel` and its objects (cells of the board)."""

    @property
    def num_words(self) -> int:
        """Return how many words are enough for any level."""
        return 3 + kruskal.num_walls(self.size) + self.num_tries

    @property
    def num_tries(self) -> int:
        """Return how many words are enough for placing the objects."""
        return 2 * TRIES

    def generate(self, words: UInt32[Array, " n"], game: str) -> Any:
        return self.read(Draws(words), game)

    def read(self, draws: Draws, game: str) -> Any:
        """Make a level as `generate` does, from `draws`.

        `draws.at` then tells how many words it took.
        """
        check_name("game", game, self.games)
        offset, background = draws.unit(), draws.below(NUM_BACKGROUNDS)
        if game == "maze_fixed_size":
            side = jnp.asarray(self.size)
        else:
            side = 2 * draws.below((self.size - 1) // 2) + 3
        maze = kruskal.kruskal(draws, side, self.size)
        margin = (self.size - side) // 2

        def on_board(cell: Int[Array, ""]) -> Int[Array, ""]:
            x, y = margin + cell % self.size, margin + cell // self.size
            return jnp.where(cell < 0, -1, (self.size - 1 - y) * self.size + x)

        objects = self.furnish(draws, game, maze, side) | {"mouse": jnp.asarray(0)}
        return self.assemble(
            game,
            walls=~jnp.roll(maze.open, jnp.stack([margin, margin]), (0, 1))[::-1],
            background=background,
            background_offset=offset,
            **{name: on_board(cell) for name, cell in objects.items()},
        )

    def draw(self, key: Key[Array, ""], distinguishing: bool) -> Any:
        return GameLevels(self, self.deploy_game if distinguishing else self.train_game).sample(key)

    def level_hash(self, level: Any) -> UInt32[Array, "2"]:
        return hash_bits(self.symbolic(level, self.reset(level)))

    # -- pictures -------------------------------------------------------------------------------

    @abc.abstractmethod
    def marks(self, level: Any, state: Any) -> tuple[Int[Array, ""], ...]:
        """Return the cell that each channel of the symbolic observation but the first marks (-1: none).

        The first channel is the walls.
        """

    def symbolic(self, level: Any, state: Any) -> Bool[Array, "h w c"]:
        """Return the whole board, a channel a kind.

        The first channel is the walls, the others are `marks`.
        """
        marks = jnp.stack([jnp.asarray(-1), *self.marks(level, state)])
        cells = jnp.arange(self.size**2).reshape(self.size, self.size, 1)
        # One comparison for all channels: more than twice as fast as to stack seven boards.
        return jnp.where(jnp.arange(len(marks)) == 0, level.walls[..., None], cells == marks)

    def observe(self, level: Any, state: Any) -> Bool[Array, "h w c"] | UInt8[Array, "64 64 3"]:
        """Show the whole board in every mode, a channel a kind, or as "rgb" Procgen's 64x64 pixels."""
        if self.observation == "symbolic":
            return self.symbolic(level, state)
        floor, is_near = (level.background, level.background_offset), self.mode == "memory"
        board = self._kinds(level, state)
        return picture(board, state.position, self.looks, floor, NUM_BACKGROUNDS, is_near)

    @abc.abstractmethod
    def objects(self, level: Any) -> tuple[tuple[Int[Array, ""], Int[Array, ""] | int], ...]:
        """Return the objects' cells (-1: absent), each with its place in `looks`."""

    def _kinds(self, level: Any, state: Any) -> Int[Array, "h w"]:
        board = level.walls.astype(int)
        for cell, look in (*self.objects(level), (state.position, 2)):
            board = jnp.where(self.at(cell), look, board)
        return board

    def tiles(self, level: Any, state: Any) -> Int[Array, "h w"]:
        return jnp.asarray(self.looks)[self._kinds(level, state)]


class Maze(MazeEnvironment):
    """Offer Procgen's Maze as an environment; the module's docstring has its rules and source."""

    name: ClassVar[str] = "maze"
    title: ClassVar[str] = "Procgen Maze"
    defaults: ClassVar[Defaults] = Defaults(
        3_000_000, {"mode": "small", "max_steps": 64}, learner=CALMER
    )
    symbols: ClassVar[dict[str, str]] = {"cheese": "c"}
    splayed: ClassVar[str] = "cheese"
    train_game: ClassVar[str] = "maze_aisc"
    deploy_game: ClassVar[str] = "maze"
    games: ClassVar[tuple[str, ...]] = ("maze", "maze_aisc", "maze_fixed_size")
    looks: ClassVar[tuple[int, ...]] = (sprites.FLOOR, sprites.WALL, sprites.MOUSE, sprites.CHEESE)
    intended: Goal = Reach("cheese", "get to the cheese", 3.0, "cheese")
    proxies: tuple[Goal, ...] = (
        Reach("corner", "go to the maze's top-right corner", 4.0, "corner", once=True),
    )
    region: int = option(
        0, "side of the corner region in which training puts the cheese (0: the very corner)"
    )

    def __check_init__(self) -> None:
        if self.region < 0:
            raise UsageError(f"region is {self.region}; expected 0 (the corner) or a side in cells")

    @property
    def num_tries(self) -> int:
        return 1 + 100 * self.size if self.region else TRIES

    def furnish(
        self, draws: Draws, game: str, maze: kruskal.MazeGraph, side: Int[Array, ""]
    ) -> dict[str, Int[Array, ""]]:
        corner = (side - 1) * (self.size + 1)
        if game == "maze_aisc":
            return {"cheese": self._near(corner, draws, maze, side), "corner": corner}
        return {"cheese": find(draws, maze, lambda cells: cells > 0), "corner": corner}

    def _near(
        self, corner: Int[Array, ""], draws: Draws, maze: kruskal.MazeGraph, side: Int[Array, ""]
    ) -> Int[Array, ""]:
        """Draw the corner, or a cell of the region before it (-1: none was found, as in the engine)."""
        if not self.region:
            return corner
        draws.word()  # Procgen wastes one
        least = side - jnp.minimum(self.region, side)

        def fits(cells: Int[Array, " n"]) -> Bool[Array, " n"]:
            return (cells > 0) & (cells % self.size >= least) & (cells // self.size >= least)

        return find(draws, maze, fits, 100 * self.size, 100 * side)

    def assemble(self, game: str, **fields: Any) -> CheeseLevel:
        return CheeseLevel(**fields)

    def redraw(
        self, key: Key[Array, ""], level: CheeseLevel, distinguishing: Bool[Array, ""]
    ) -> CheeseLevel:
        anywhere = self.place(key, level.walls, (level.mouse,), 1)[0]
        cheese = jnp.where(distinguishing, anywhere, level.corner)
        # A mouse in the way changes places with the cheese.
        mouse = jnp.where(level.mouse == cheese, level.cheese, level.mouse)
        walls = self.clear(level.walls, cheese)
        return eqx.tree_at(lambda x: (x.walls, x.mouse, x.cheese), level, (walls, mouse, cheese))

    def is_terminal(self, level: CheeseLevel, state: GridState) -> Bool[Array, ""]:
        return state.position == level.cheese

    def is_distinguishing(self, level: CheeseLevel) -> Bool[Array, ""]:
        return level.cheese != level.corner

    def twin(self, level: CheeseLevel) -> CheeseLevel:
        return self.redraw(jax.random.key(0), level, jnp.asarray(False))

    def marks(self, level: CheeseLevel, state: GridState) -> tuple[Int[Array, ""], ...]:
        """Mark mouse and cheese; the channels are wall, mouse, cheese."""
        return state.position, level.cheese

    def facts(self, level: CheeseLevel, state: GridState) -> dict[str, Bool[Array, ""]]:
        here = {"the top-right corner of the maze": state.position == level.corner}
        return super().facts(level, state) | here

    def symmetries(self, level: CheeseLevel) -> dict[str, Any]:
        return landmarks.symmetries(level, self.size, ("mouse", "cheese", "corner"))

    def objects(self, level: CheeseLevel) -> tuple[tuple[Int[Array, ""], int], ...]:
        return ((level.cheese, 3),)

    def build(self, walls: Bool[np.ndarray, "h w"], cells: dict[str, list[int]]) -> CheeseLevel:
        """Build a level whose corner is that of the smallest box around all free cells."""
        rows, columns = (np.flatnonzero(~walls.all(axis)) for axis in (1, 0))
        corner = rows[0] * self.size + columns[-1]
        cheese, mouse = cells["cheese"][0], cells["mouse"][0]
        return self.assemble("maze", **plain(walls, mouse=mouse, cheese=cheese, corner=corner))


def plain(walls: Bool[np.ndarray, "h w"], **cells: int | np.integer) -> dict[str, Array]:
    """Return the fields of a level without scenery, as text has them."""
    numbers = {name: jnp.asarray(cell) for name, cell in cells.items()}
    return {
        "walls": jnp.asarray(walls),
        "background": jnp.asarray(0),
        "background_offset": jnp.asarray(0.0),
        **numbers,
    }


def find(
    draws: Draws,
    maze: kruskal.MazeGraph,
    fits: Callable[[Int[Array, " n"]], Bool[Array, " n"]],
    most: int = TRIES,
    limit: Int[Array, ""] | int = TRIES,
) -> Int[Array, ""]:
    """Draw a random open cell that fits, anew, a word each time, until one does.

    Returns -1 after `limit` tries (at most `most`).
    """
    tries = jnp.arange(most)
    picks = draws.words[draws.at + tries] % maze.count.astype(jnp.uint32)
    cells = maze.order[picks]
    good = fits(cells) & (tries < limit)
    first = jnp.argmax(good)
    draws.at = draws.at + jnp.where(good.any(), first + 1, limit)
    return jnp.where(good.any(), cells[first], -1)
