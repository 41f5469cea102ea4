"""Play an environment yourself, in the terminal, and watch what each goal pays you for.

`Game` is the game without a screen: commands in, numbers out. `play` shows it: with single keys on a
terminal, with letters and Enter elsewhere (and on Windows, whose terminals have no termios).
"""

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..core import Environment, Level, Shift, State
from ..envs import sprites

if sys.platform != "win32":
    import termios
    import tty

Stream = io.TextIOBase | TextIO

COMMANDS = {
    "k": "up", "w": "up", "h": "left", "a": "left",
    "j": "down", "s": "down", "l": "right", "d": "right",
    "y": "left and up", "e": "right and up", ".": "none",
    "n": "next", "u": "again", "t": "toggle", "q": "quit",
}  # fmt: skip
ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
WIDEST = 33  # tiles that fit beside the panel: the largest square board and its border
TITLES = {"train": "training levels", "deploy": "shifted levels", "own": "your own level"}

_KEY = re.compile(r"\x1b[\[O][0-9;]*(?P<arrow>[A-Za-z~])|(?P<letter>.)", re.DOTALL)

# Two characters a tile, readable without color too; the colors are those of the sprites.
_ON_FLOOR, _ON_WALL = "on #eeeeee", "on #5f6877"
_TILES = {
    "floor": (". ", f"#c6c6c6 {_ON_FLOOR}"),
    "wall": ("##", f"#5f6877 {_ON_WALL}"),
    "mouse": ("@ ", "bold #ffffff on #b0486a"),
    "cheese": ("c ", "bold #6b4300 on #fbcb4b"),
    "dish": ("d ", "bold #ffffff on #4f86b0"),
    "cheese on dish": ("cd", "bold #6b4300 on #7fb2d6"),
    "key": ("k ", "bold #6b4300 on #f7dc93"),
    "chest": ("c ", "bold #ffe2a8 on #8a5a31"),
    "mouse on chest": ("@c", "bold #ffffff on #b0486a"),
    "key on wall": ("k ", f"bold #ffd166 {_ON_WALL}"),
    "coin": ("c ", "bold #6b4300 on #f0b429"),
}


def commands(typed: str) -> list[str]:
    """Translate keys or letters into `COMMANDS`, in order; those that mean nothing are passed over."""
    found = []
    for key in _KEY.finditer(typed):
        arrow, letter = key["arrow"], key["letter"]
        found.append(ARROWS.get(arrow) if arrow else COMMANDS.get(letter.lower()))
    return [command for command in found if command]


class Game:
    """Keep one player's episodes, scored under every goal.

    Scores are undiscounted returns, and when each goal was reached. Level n of the training or of the
    shifted levels is a function of the seed. A level of one's own comes first, where there is one.
    """

    def __init__(
        self,
        env: Environment,
        seed: int = 0,
        level: Level | None = None,
        shift: Shift | None = None,
    ) -> None:
        self.env = env
        self.names = [goal.name for goal in env.goals]
        self.split = "train" if level is None else "own"
        self.numbers = {"train": 1, "deploy": 1}
        self.tally: dict[str, list[dict[str, int]]] = {}
        self._own = level
        self._key = jax.random.key(seed)
        shift = env.shift() if shift is None else shift
        self._sample = {split: jax.jit(getattr(shift, split).sample) for split in self.numbers}
        self._begin, self._advance = jax.jit(self._beginning), jax.jit(self._move)
        self.picture = jax.jit(env.rgb)
        self._deal()

    def obey(self, command: str) -> None:
        """Carry out one of `COMMANDS`, other than "quit"; moves after the end change nothing."""
        if command == "again":
            self._start()
        elif command == "next":
            if self.split in self.numbers:
                self.numbers[self.split] += 1
            self._deal(self.split if self.split in self.numbers else "train")
        elif command == "toggle":
            self._deal("train" if self.split == "deploy" else "deploy")
        elif command in self.env.action_names and not self.is_over:
            self._act(self.env.action_names.index(command))

    @property
    def is_over(self) -> bool:
        """Tell whether the episode has ended, by itself or by the time limit."""
        return self.is_terminated or self.steps >= self.env.max_steps

    def _deal(self, split: str | None = None) -> None:
        """Take the level whose turn it is."""
        self.split = split or self.split
        if self.split == "own":
            self.level = self._own
        else:
            stream = jax.random.fold_in(self._key, list(self.numbers).index(self.split))
            number = self.numbers[self.split]
            self.level = self._sample[self.split](jax.random.fold_in(stream, number))
        self.is_distinguishing = bool(self.env.is_distinguishing(self.level))
        self._start()

    def _start(self) -> None:
        self.steps = 0
        self.returns = dict.fromkeys(self.names, 0.0)
        self.reached: dict[str, int] = {}
        self._memories = self._fresh_memories
        self.state, achieved, is_terminal = self._begin(self.level)
        self._note(achieved, is_terminal)

    @property
    def _fresh_memories(self) -> tuple[Any, ...]:
        return tuple(jnp.zeros((), int) for _ in self.names)

    def _act(self, action: int) -> None:
        noise = jax.random.fold_in(self._key, self.steps)
        self.state, self._memories, rewards, achieved, is_terminal = self._advance(
            self.level, self.state, self._memories, jnp.asarray(action), noise
        )
        self.steps += 1
        for name, reward in zip(self.names, rewards, strict=True):
            self.returns[name] += float(reward)
        self._note(achieved, is_terminal)
        if self.is_over:
            self.tally.setdefault(self.split, []).append(dict(self.reached))

    def _note(self, achieved: Any, is_terminal: Any) -> None:
        self.is_terminated = bool(is_terminal)
        for name, is_achieved in zip(self.names, achieved, strict=True):
            if is_achieved:
                self.reached.setdefault(name, self.steps)

    def _beginning(self, level: Level) -> Any:
        state = self.env.reset(level)
        achieved = self._achieved(level, state, self._fresh_memories)
        return state, achieved, self.env.is_terminal(level, state)

    def _move(self, level: Level, state: State, memories: Any, action: Any, noise: Any) -> Any:
        after = self.env.step(level, state, action, noise)
        scored = [
            goal.step(level, memory, state, action, after)
            for goal, memory in zip(self.env.goals, memories, strict=True)
        ]
        rewards, memories = zip(*scored, strict=True)
        achieved, is_terminal = (
            self._achieved(level, after, memories),
            self.env.is_terminal(level, after),
        )
        return after, memories, rewards, achieved, is_terminal

    def _achieved(self, level: Level, state: State, memories: Any) -> list[Any]:
        pairs = zip(self.env.goals, memories, strict=True)
        return [goal.is_achieved(level, state, memory) for goal, memory in pairs]


def board(game: Game, has_colors: bool = True) -> Text:
    """Draw the board in colored tiles of two characters each.

    Where it is too wide for a terminal, tiles have one character. Where tiles have no names it draws the
    picture; without colors, it writes the level as text.
    """
    names = game.env.tile_names
    if not names:
        if not has_colors:
            return Text(game.env.to_text(game.level, game.state))
        return _frame(np.asarray(game.picture(game.level, game.state)))
    tiles = np.asarray(game.env.board(game.level, game.state))
    letters = 2 if tiles.shape[1] <= WIDEST else 1
    looks = [[_look(game.env, names[tile]) for tile in row] for row in tiles]
    rows = [[(tile[:letters], style) for tile, style in row] for row in looks]
    return Text("\n").join(Text.assemble(*row) for row in rows)


def _look(env: Environment, name: str) -> tuple[str, str]:
    """Return a tile's letters and style; for an object without a sprite a letter in its color."""
    if name in _TILES:
        return _TILES[name]
    color = sprites.own_color(env.tile_names.index(name) - len(sprites.NAMES))
    letter = getattr(env, "symbols", {}).get(name, name[0])
    return f"{letter} ", f"bold #ffffff on {color}"


def _frame(pixels: np.ndarray) -> Text:
    """Draw a picture in half blocks: two rows of pixels to a line."""
    colors = [["#" + bytes(pixel).hex() for pixel in row] for row in pixels.astype(np.uint8)]
    pairs = zip(colors[::2], colors[1::2], strict=True)
    lines = [
        Text.assemble(*(("\u2580", f"{upper} on {lower}") for upper, lower in zip(*pair, strict=True)))
        for pair in pairs
    ]
    return Text("\n").join(lines)


def panel(game: Game) -> Group:
    """Say what there is to know beside the board."""
    number = f", number {game.numbers[game.split]}" if game.split in game.numbers else ""
    apart = "come apart (distinguishing)" if game.is_distinguishing else "agree (not distinguishing)"
    goals = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for header in ("goal", "return", "reached"):
        goals.add_column(header)
    for goal in game.env.goals:
        step = game.reached.get(goal.name)
        reached = "" if step is None else f"at step {step}"
        goals.add_row(Text(goal.name, "bold"), f"{game.returns[goal.name]:g}", reached)
    sentences = [
        f"{goal.name}, the {'intended' if goal is game.env.intended else 'proxy'} goal: {goal.sentence}"
        for goal in game.env.goals
    ]
    other = "training" if game.split == "deploy" else "shifted"
    return Group(
        Text(game.env.title, "bold"),
        f"{TITLES[game.split]}{number}",
        f"the goals {apart}",
        "",
        goals,
        "",
        *sentences,
        "",
        f"step {game.steps} of {game.env.max_steps}",
        Text(_remark(game), "bold"),
        "",
        Text("arrows, hjkl or wasd: move", "dim"),
        *([Text("y e up and aside   . wait", "dim")] if "none" in game.env.action_names else []),
        Text("n next level   u same level again", "dim"),
        Text(f"t {other} levels   q quit", "dim"),
    )


def _remark(game: Game) -> str:
    if not game.is_over:
        return ""
    return "The episode is over." if game.is_terminated else "Out of time."


def summary(game: Game) -> str:
    """Say how often each goal was reached, over the episodes played to their end."""
    lines = []
    for split, episodes in game.tally.items():
        counts = ", ".join(f"{name} on {sum(name in e for e in episodes)}" for name in game.names)
        lines.append(f"{TITLES[split]}: {len(episodes)} played to the end; reached {counts}")
    return "".join(f"{line}\n" for line in lines)


def view(game: Game, has_colors: bool = True) -> RenderableType:
    """Put the panel beside the board, or below where the board is wide."""
    shown = board(game, has_colors)
    width = max(line.cell_len for line in shown.split("\n"))
    if width > 2 * WIDEST:
        return Group(shown, "", panel(game))
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(no_wrap=True, min_width=width)
    grid.add_row(shown, panel(game))
    return grid


def play(
    env: Environment,
    seed: int = 0,
    level: Level | None = None,
    shift: Shift | None = None,
    stdin: Stream | None = None,
    stdout: Stream | None = None,
) -> None:
    """Let somebody play until `q`, the end of the input, or Ctrl-C.

    The terminal is given back as it was, whatever happens.
    """
    source = stdin or sys.stdin
    output: Any = stdout or sys.stdout
    console = Console(file=output, highlight=False)
    has_keys = sys.platform != "win32" and source.isatty() and console.is_terminal
    with contextlib.suppress(KeyboardInterrupt):
        if has_keys:
            console.print("One situation: the game is being compiled.", style="dim")
        game = Game(env, seed, level, shift)
        try:
            with (_keys if has_keys else _lines)(source, console) as (show, read):
                _follow(game, lambda: show(view(game, console.is_terminal)), read)
        finally:
            console.print(summary(game), end="")


def _follow(game: Game, show: Callable[[], None], read: Callable[[], str]) -> None:
    """Show the game and do as told, until there is nothing more to read."""
    show()
    while typed := read():
        for command in commands(typed):
            if command == "quit":
                return
            game.obey(command)
        show()


@contextlib.contextmanager
def _keys(stdin: Stream, console: Console) -> Iterator[Any]:
    """Yield how to show and to read on a terminal: a screen of its own, and keys as they are pressed."""
    terminal = stdin.fileno()
    before = termios.tcgetattr(terminal)
    # To be terminated is to be interrupted, so that the terminal is given back then as well.
    on_terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        tty.setcbreak(terminal)
        settings = termios.tcgetattr(terminal)
        settings[6][termios.VSUSP] = b"\0"  # Ctrl-Z would leave the shell on the game's screen
        termios.tcsetattr(terminal, termios.TCSADRAIN, settings)
        with console.screen() as screen:
            yield screen.update, lambda: os.read(terminal, 64).decode(errors="replace")
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, on_terminate or signal.SIG_DFL)


@contextlib.contextmanager
def _lines(stdin: Stream, console: Console) -> Iterator[Any]:
    """Yield how to show and to read elsewhere: one picture below the other, letters and Enter."""

    def read() -> str:
        console.print("letters, then Enter > ", end="", style="dim")
        return stdin.readline()

    yield console.print, read
    console.print()
