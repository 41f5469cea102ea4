"""Run the original Procgen in a process of its own.

The engine's published build (`procgen-mirror` 0.10.7) asks for NumPy 1, JAX for NumPy 2, so the two
seldom share a Python: the engine runs under one that has it and is spoken to by pipe. Where the two do
share one (NumPy's limit is a precaution; the build runs under NumPy 2), it is this one.
"""

import contextlib
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from ..core import UsageError
from . import worker
from .saved import Saved

VARIABLE = "GOALGAP_PROCGEN"
INSTALL = "python3 -m venv procgen && procgen/bin/pip install procgen-mirror"
STAND, RESET = 4, -1  # actions: nobody moves; the level starts again


class Step(NamedTuple):
    """Hold what the engine says of a step. A level that ended has begun again within the step."""

    reward: Float[np.ndarray, " n"]
    first: Bool[np.ndarray, " n"]  # the episode ended
    level_complete: Bool[np.ndarray, " n"]


def find(command: str | None = None) -> list[str]:
    """Find the command line of a Python that has the engine.

    It is the given one, else the one that the environment variable GOALGAP_PROCGEN names, else the
    Python that runs this. Raises UsageError, with the cure, where none has the engine.
    """
    command = command or os.environ.get(VARIABLE)
    if command:
        return shlex.split(command)
    if importlib.util.find_spec("procgen") is not None:
        return [sys.executable]
    raise UsageError(
        f"found no Procgen engine; install it beside goalgap with `{INSTALL}` and say where with "
        f"{VARIABLE}=procgen/bin/python (or --engine procgen/bin/python)"
    )


class Engine:
    """Run `num` environments of one of the engine's games, each of which plays one level over and over.

    `game` is "coinrun", "maze" or "heist"; `options` are `ProcgenGym3Env`'s own. To be used with `with`.
    Raises UsageError where there is no engine, and for what the engine refuses.
    """

    def __init__(
        self, game: str, mode: str = "hard", num: int = 64, command: str | None = None, **options: Any
    ) -> None:
        self.game, self.mode, self.num = game, mode, num
        python = find(command)
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                [*python, str(Path(worker.__file__).resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        except OSError as error:
            self._errors.close()
            raise UsageError(f"cannot start {python[0]}: {error.strerror}; give a Python") from None
        try:
            self._ask("make", num, game, {"distribution_mode": mode, **options})
        except UsageError:
            self.close()
            raise

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the engine's process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # A process that stopped before it read everything leaves something to be flushed.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()
        self._errors.close()

    def _ask(self, command: str, *arguments: Any) -> Any:
        """Send a command to the engine's process and return its answer.

        Raises UsageError where it fails or stops.
        """
        try:
            worker.send(self._process.stdin, (command, arguments))
            answer = worker.receive(self._process.stdout)
        except BrokenPipeError:
            answer = None
        if answer is None:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines() or ["no reason"]
            raise UsageError(f"the engine stopped: {said[-1]}")
        if not answer[0]:
            cure = f"; install it with `{INSTALL}`" if "No module named 'procgen'" in answer[1] else ""
            raise UsageError(f"the engine failed: {answer[1]}{cure}")
        return answer[1]

    def begin(self, seeds: Sequence[int] | Int[np.ndarray, " n"]) -> list[Saved]:
        """Start the levels of as many level seeds as there are environments, and return their states.

        From then on an environment starts its own level again where the level ends.
        """
        if len(seeds) != self.num:
            raise UsageError(f"{len(seeds)} level seeds for {self.num} environments; give one for each")
        self.restore(
            [
                saved.replace(level_seed_low=int(seed), level_seed_high=int(seed) + 1)
                for saved, seed in zip(self.states(), seeds, strict=True)
            ]
        )
        self.step(np.full(self.num, RESET))
        return self.states()

    def step(self, actions: Int[np.ndarray, " n"]) -> Step:
        """Play one of Procgen's 15 actions in each environment (-1: the level starts again)."""
        reward, first, complete = self._ask("step", np.asarray(actions, np.int32).tobytes())
        return Step(
            np.frombuffer(reward, np.float32), np.frombuffer(first, bool), np.array(complete, bool)
        )

    def states(self) -> list[Saved]:
        """Save the state that each environment is in."""
        return [Saved(data) for data in self._ask("states")]

    def restore(self, states: Sequence[Saved]) -> None:
        """Put each environment into a saved state."""
        self._ask("restore", [saved.data for saved in states])

    def frames(self) -> UInt8[np.ndarray, "n 64 64 3"]:
        """Return the pictures that an agent of the engine sees."""
        return np.frombuffer(self._ask("frames"), np.uint8).reshape(self.num, 64, 64, 3)

    def race(self, num_steps: int) -> float:
        """Time so many random steps of all environments: the engine's CPU time, in seconds.

        Pictures are included, as the engine cannot be told not to draw.
        """
        return self._ask("race", num_steps)
