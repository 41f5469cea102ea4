"""Show how a run gets on: a live display on a terminal, plain lines elsewhere. Standard error only."""

import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..runs import Listener

_BLOCKS = " ▁▂▃▄▅▆▇█"
_LINE_SECONDS = 10.0  # between plain lines


class Progress(Listener):
    """Show how one run goes, as a context manager: Ctrl-C asks the run to stop, twice stops at once."""

    def __init__(self, intended: str, proxy: str, is_quiet: bool = False, unit: str = "steps") -> None:
        self.unit = unit
        self.intended, self.proxy, self.is_quiet = intended, proxy, is_quiet
        self.console = Console(file=sys.stderr)
        self.live: Live | None = None
        self.stage = ""
        self.began = self.printed = time.perf_counter()
        self.history: dict[tuple[str, str], list[float]] = {}
        self.numbers = (0, 1, 0.0)
        self._before: Any = None

    def __enter__(self) -> "Progress":
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        if self.console.is_terminal and not self.is_quiet:
            self.live = Live(console=self.console, refresh_per_second=8, transient=True)
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)
        if self.live is not None:
            self.live.stop()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True
        self._print("stopping after this update (Ctrl-C again: at once)")

    def _print(self, text: str) -> None:
        if not self.is_quiet:
            self.console.print(text, highlight=False, style="dim", soft_wrap=True)

    def say(self, text: str) -> None:
        self.stage = text
        if self.live is not None:
            self.live.update(self._display())
        else:
            self._print(f"[{time.perf_counter() - self.began:5.1f} s] {text}")

    def update(self, done: int, total: int, steps_per_second: float, stats: dict[str, float]) -> None:
        self.numbers = (done, total, steps_per_second)
        name = next((name for name in ("return", "reward") if name in stats), next(iter(stats)))
        self.stage = f"training, {name} {stats[name]:.2f}"
        if self.live is not None:
            self.live.update(self._display())
        elif time.perf_counter() - self.printed > _LINE_SECONDS:
            self.printed = time.perf_counter()
            self._print(f"[{self.printed - self.began:5.1f} s] {self._speed()}")

    def evaluated(self, env_steps: int, reached: dict[tuple[str, str], float]) -> None:
        for key, value in reached.items():
            self.history.setdefault(key, []).append(value)
        if self.live is None:
            shown = ", ".join(
                f"{split} {goal} {reached[split, goal]:.2f}"
                for split, goal in self._curves()
                if (split, goal) in reached
            )
            elapsed = time.perf_counter() - self.began
            self._print(f"[{elapsed:5.1f} s] after {env_steps:,} steps a seed: {shown}")

    def _curves(self) -> list[tuple[str, str]]:
        return [("train", self.intended), ("shift", self.intended), ("shift", self.proxy)]

    def _speed(self) -> str:
        done, total, speed = self.numbers
        left = f"{(total - done) / speed:.0f} s left" if speed else ""
        return f"{count(done)} of {count(total)} {self.unit}, {speed:,.0f} {self.unit}/s, {left}"

    def _display(self) -> Group:
        done, total, _ = self.numbers
        elapsed = time.perf_counter() - self.began
        table = Table.grid(padding=(0, 2))
        for split, goal in self._curves():
            values = self.history.get((split, goal), [])
            if values:
                marks = "".join(_BLOCKS[round(value * (len(_BLOCKS) - 1))] for value in values)
                where = "in training" if split == "train" else "after the shift"
                table.add_row(f"reaches the {goal} {where}", marks, f"{values[-1]:.0%}")
        head = Text(f"{elapsed:4.0f} s  {self.stage}  {self._speed() if done else ''}", style="dim")
        return Group(head, ProgressBar(total=total, completed=done, width=60), table)


def count(number: float) -> str:
    """Shorten a number: 1,234,567 becomes 1.2 M."""
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number:,.0f}"
