"""Listener: who hears how a run is going, and may ask it to stop."""


class Interrupted(Exception):
    """Tell that a run was asked to stop, and has stored where it stands."""


class Listener:
    """Hear how a run is going; this one keeps silent. `stop` asks the run to store and leave."""

    stop = False

    def say(self, text: str) -> None:
        """Hear that a part of the run begins."""

    def update(self, done: int, total: int, steps_per_second: float, stats: dict[str, float]) -> None:
        """Hear that an update is done, after so many steps of so many (of the whole fleet)."""

    def evaluated(self, env_steps: int, reached: dict[tuple[str, str], float]) -> None:
        """Hear that a checkpoint was measured: (split, goal) -> share of episodes that achieve the goal."""
