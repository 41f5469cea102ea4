"""Listener: who hears how a run is going, and may ask it to stop."""


class Interrupted(Exception):
    """Tell that a run was asked to stop, and has stored where it stands."""


class Listener:
    """Hear how a run is going; subclasses show it, this class keeps silent.

    Setting `stop` asks the run to store where it stands and leave.
    """

    stop = False

    def say(self, text: str) -> None:
        """Hear that a part of the run begins."""

    def update(self, done: int, total: int, steps_per_second: float, stats: dict[str, float]) -> None:
        """Hear that an update is done, after `done` of `total` steps of the whole fleet.

        `stats` are the update's statistics, averaged over seeds.
        """

    def evaluated(self, env_steps: int, reached: dict[tuple[str, str], float]) -> None:
        """Hear that a checkpoint was measured, after `env_steps` of each seed.

        `reached` maps (split, goal) to the share of episodes that achieve the goal.
        """
