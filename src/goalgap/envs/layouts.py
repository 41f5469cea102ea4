"""Draw wall layouts: i.i.d. blocks, tree mazes (Kruskal), open rooms.

Boards are square, without border.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from ..core import UsageError
from ..settings import Checked, unknown


class Layout(Checked, eqx.Module):
    """Sample walls from a distribution. `carves`: objects may be put on any cell, which clears it."""

    name: ClassVar[str]
    carves: ClassVar[bool] = False
    varies: ClassVar[bool] = True  # False: all layouts are equal, so none can be held out

    @classmethod
    def by_name(cls, name: str) -> "Layout":
        """Make the layout of a name, with its default settings: the package's, or one from elsewhere.

        Raises UsageError with the nearest names.
        """
        known = {kind.name: kind for kind in (*cls.__subclasses__(), *LAYOUTS)}
        if name not in known:
            raise UsageError(unknown("layout", name, known))
        return known[name]()

    def check(self, size: int) -> None:
        """Raise UsageError for a size on which the layout cannot be made."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], size: int) -> Bool[Array, "h w"]:
        """Draw the walls of a square board, True where a wall is."""
        ...


class Blocks(Layout):
    """Make each cell a wall with probability `density`, by default .25, with no reachability check.

    Source: arXiv 2507.03068, section 3.2.
    """

    name = "blocks"
    carves = True
    density: float = eqx.field(static=True, default=0.25)

    def check(self, size: int) -> None:
        if not 0 <= self.density < 1:
            raise UsageError(f"density is {self.density}; expected 0 to below 1, the share of walls")

    def sample(self, key: Key[Array, ""], size: int) -> Bool[Array, "h w"]:
        # 16 random bits a cell are half the cost of a float, and .25 of 2^16 is a whole number.
        noise = jax.random.bits(key, (size, size), jnp.uint16)
        return noise < round(self.density * 2**16)


class Tree(Layout):
    """Connect rooms by a minimum spanning tree of uniform weights (Kruskal).

    There is exactly one path between any two cells.
    """

    name = "tree"

    def check(self, size: int) -> None:
        if size % 2 == 0:
            raise UsageError(
                f"layout tree with size {size}: rooms and corridors alternate, so the size must be "
                f"odd; try {size - 1} or {size + 1}"
            )

    def sample(self, key: Key[Array, ""], size: int) -> Bool[Array, "h w"]:
        rooms = np.arange(((size + 1) // 2) ** 2).reshape((size + 1) // 2, -1)
        pairs = np.concatenate(
            [
                np.stack([rooms[:, :-1], rooms[:, 1:]], -1).reshape(-1, 2),
                np.stack([rooms[:-1], rooms[1:]], -1).reshape(-1, 2),
            ]
        )
        row, column = pairs // rooms.shape[1], pairs % rooms.shape[1]
        doors = jnp.asarray(row.sum(1) * size + column.sum(1))  # the cell between two rooms
        edges = jnp.asarray(pairs)[jax.random.permutation(key, len(pairs), independent=False)]
        doors = (edges // rooms.shape[1]).sum(1) * size + (edges % rooms.shape[1]).sum(1)

        def join(
            carry: tuple[Int[Array, " n"], Bool[Array, " c"]],
            edge_door: tuple[Int[Array, "2"], Int[Array, ""]],
        ) -> tuple[tuple[Int[Array, " n"], Bool[Array, " c"]], None]:
            labels, walls = carry
            (a, b), door = edge_door
            apart = labels[a] != labels[b]
            walls = walls.at[door].set(walls[door] & ~apart)
            return (jnp.where(labels == labels[b], labels[a], labels), walls), None

        walls = np.ones((size, size), bool)
        walls[::2, ::2] = False
        start = (jnp.arange(rooms.size), jnp.asarray(walls.reshape(-1)))
        (_, walls), _ = jax.lax.scan(join, start, (edges, doors))
        return walls.reshape(size, size)


class Open(Layout):
    """Put no walls inside."""

    name = "open"
    varies = False

    def sample(self, key: Key[Array, ""], size: int) -> Bool[Array, "h w"]:
        return jnp.zeros((size, size), bool)


LAYOUTS: tuple[type[Layout], ...] = (Blocks, Tree, Open)


def pick(uniform: Float[Array, ""], allowed: Bool[Array, " n"]) -> Int[Array, ""]:
    """Choose one of the allowed cells, uniformly: the cell of the drawn rank.

    Some cell must be allowed.
    """
    ranks = jnp.cumsum(allowed)
    rank = jnp.minimum((uniform * ranks[-1]).astype(ranks.dtype), ranks[-1] - 1)
    return jnp.argmax(ranks > rank)
