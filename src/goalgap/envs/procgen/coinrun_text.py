"""Write and read CoinRun levels as text: a letter a tile, the highest row that is of interest first.

`#` ground, `.` air, `~` lava, `o` the coin, `E` the end where the coin is not, `*` saw, `x` crate, `<`
and `>` walkers, `(` and `)` walkers on a saw, `|` an unseen barrier that turns walkers back, `@` the
agent. Columns to the right of the end are not written: they are solid to the sky. Looks are not part of
a text: a level that is read back is dressed in the first theme.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ...core import UsageError
from .coinrun_levels import CRATE, MAX_WALKERS, NOTHING, SAW, WALKER, CoinRunLevel, Draft, Scene, Things
from .platformer import WIDTH

LETTERS = {"#": "ground", ".": "air", "~": "lava", "o": "coin", "E": "end", "*": "saw", "x": "crate",
           "<": "walker", ">": "walker", "(": "walker on a saw", ")": "walker on a saw", "|": "barrier",
           "@": "agent"}  # fmt: skip
MAX_END, MAX_HEIGHT = 62, 31
_KINDS = {"*": (SAW,), "x": (CRATE,), "<": (WALKER,), ">": (WALKER,), "(": (SAW, WALKER),
          ")": (SAW, WALKER)}  # fmt: skip


def write(level: CoinRunLevel, state: Any) -> str:
    """Write a level and, if the agent is elsewhere than at the start, where it is."""
    tiles, end = level.tiles, np.asarray(level.end)
    canvas = np.full((MAX_HEIGHT, int(end[0]) + 1), ".")
    layers = (
        ("|", level.barrier),
        ("#", tiles.solid),
        ("~", tiles.lava),
        ("*", tiles.saw),
        ("x", tiles.crate),
    )
    for letter, words in layers:
        bits = (
            np.asarray(words)[None, : canvas.shape[1]] >> np.arange(MAX_HEIGHT, dtype=np.uint32)[:, None]
        )
        canvas[bits & 1 == 1] = letter
    walkers = zip(
        *(np.asarray(leaf) for leaf in (level.walkers.row, state.walker_x, state.walker_vx)), strict=True
    )
    for row, x, vx in walkers:
        if row >= 0:
            letters = "()" if canvas[row, int(x)] == "*" else "<>"
            canvas[row, int(x)] = letters[int(vx > 0)]
    canvas[end[1], end[0]] = "E"
    coin = np.asarray(level.coin)
    canvas[coin[1], coin[0]] = "o"
    canvas[int(state.body.y), int(state.body.x)] = "@"
    used = np.flatnonzero((canvas[:, 1:] != ".").any(1)).max() + 1
    return "\n".join("".join(row) for row in canvas[used - 1 :: -1]) + "\n"


def read(lines: str) -> Draft:
    """Read what `write` writes. Raises UsageError with line and column."""
    rows = [line.rstrip() for line in lines.strip("\n").splitlines()]
    where = "line {}, column {}: ".format
    if not 2 <= len(rows) <= MAX_HEIGHT:
        raise UsageError(f"the level has {len(rows)} lines; expected 2 to {MAX_HEIGHT}")
    width = len(rows[0])
    if not 4 <= width <= MAX_END + 1:
        raise UsageError(f"line 1: the level has {width} columns; expected 4 to {MAX_END + 1}")
    found: dict[str, list[tuple[int, int]]] = {letter: [] for letter in LETTERS}
    for number, line in enumerate(rows, 1):
        if len(line) != width:
            raise UsageError(
                where(number, min(len(line), width) + 1)
                + f"the line has {len(line)} letters, the first {width}"
            )
        for column, letter in enumerate(line):
            if letter not in LETTERS:
                raise UsageError(
                    where(number, column + 1) + f"unknown letter {letter!r}; known: {' '.join(LETTERS)}"
                )
            found[letter].append((column, len(rows) - number))
    for letter, at_most in (("o", 1), ("E", 1), ("@", 1)):
        count = len(found[letter])
        if count > at_most or (count == 0 and letter == "o"):
            limit = "exactly" if letter == "o" else "at most"
            raise UsageError(f"{count} of {LETTERS[letter]} ({letter!r}); expected {limit} 1")
    num_walkers = sum(len(found[letter]) for letter in "<>()")
    if num_walkers > MAX_WALKERS:
        raise UsageError(f"{num_walkers} walkers (< > ( ) in all); a level holds at most {MAX_WALKERS}")
    coin = found["o"][0]
    end = found["E"][0] if found["E"] else coin
    if end[0] != width - 1:
        what = "end" if found["E"] else "coin"
        raise UsageError(f"the {what} is in column {end[0] + 1}; the end is in the last one, {width}")
    if [column for column, row in found["#"] if column == 0 and row < 2] != [0, 0]:
        raise UsageError("the first column has air near the ground; it is the wall behind the start")

    def words(letter: str) -> np.ndarray:
        bits = np.zeros(WIDTH, np.uint32)
        for column, row in found[letter]:
            bits[column] |= np.uint32(1 << row)
        return bits

    ground, lava = words("#"), words("~")
    ground[0] = ground[width:] = 0xFFFFFFFF
    top, lava_top = ground & ~(ground >> np.uint32(1)), lava & ~(lava >> np.uint32(1))
    top[0] = top[width:] = 0
    things = [
        (kind, *place, letter in ">)")
        for letter, kinds in _KINDS.items()
        for place in found[letter]
        for kind in kinds
    ]
    things += [(NOTHING, 0, 0, False)] * (40 - len(things))
    kind, column, row, right = (jnp.asarray(part) for part in zip(*things, strict=True))
    moved = coin != end
    zero = jnp.zeros((), int)
    return Draft(
        inside=jnp.asarray(ground & ~top),
        top=jnp.asarray(top),
        lava_inside=jnp.asarray(lava & ~lava_top),
        lava_top=jnp.asarray(lava_top),
        barrier=jnp.asarray(words("|")),
        things=Things(kind, column, row, jnp.zeros_like(kind), right),
        end=jnp.asarray(end),
        place=jnp.asarray(coin if moved else (-1, -1)),
        moved=jnp.asarray(moved),
        scene=Scene(zero, jnp.zeros(()), zero, zero),
        num_words=zero,
    )
