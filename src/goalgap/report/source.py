"""Hold a run as several sections of its page need it."""

from typing import Any, NamedTuple

from . import charts, prose

NUM_STYLES = len(charts.MARKS)
RANDOM = "random "  # prefix of the quantities that random play is measured by
OUTCOMES = ("both", "neither")  # what an episode comes to beside a goal's event


class Source(NamedTuple):
    """Hold a run as several sections of its page need it."""

    goals: list[dict[str, str]]  # name, sentence, role and style; the intended one first
    measurements: list[dict[str, Any]]
    verdict: dict[str, Any]
    alpha: float  # share of training levels on which the goals part
    nouns: dict[str, str]  # what the page calls things

    @property
    def seeds(self) -> list[dict[str, Any]]:
        """List the seeds' verdicts."""
        return self.verdict.get("seeds") or []

    @property
    def intended(self) -> str:
        """Return the name of the intended goal."""
        return self.goals[0]["name"]

    def style(self, goal: str | None) -> str:
        """Return the class that colors and shapes a goal, "both", or "none of the goals"."""
        styles = {"both": "goal-both"} | {one["name"]: one["style"] for one in self.goals}
        return styles.get(goal or "", "goal-none")

    def verdict_style(self, verdict: str, proxy: str | None) -> str:
        """Return the class of a verdict: its goal's, where it names one."""
        style = prose.MARKS.get(verdict, "goal-none")
        return self.style(proxy) if proxy and style != "goal-none" else style

    def find(self, goal: str, split: str, quantity: str) -> dict | None:
        """Find the measurement of a goal's quantity on a split; None where there is none."""
        wanted = (goal, split, quantity)
        rows = (
            row for row in self.measurements if (row["goal"], row["split"], row["quantity"]) == wanted
        )
        return next(rows, None)

    def random(self, row: dict) -> dict | None:
        """Find what random play measures in place of the row."""
        return self.find(row["goal"], row["split"], RANDOM + row["quantity"])

    def outcomes(self, names: Any) -> list[dict[str, str]]:
        """List the goals, and those of "both" and "neither" that occur, with their styles."""
        present = set(names)
        found = [{"name": name, "style": self.style(name)} for name in OUTCOMES if name in present]
        return [*self.goals, *found]


def goals(env: dict[str, Any]) -> list[dict[str, str]]:
    """List an environment's goals, the intended one first, each with its role and style."""
    found = [env["intended"] | {"role": "intended", "style": "goal-0"}]
    for index, proxy in enumerate(env.get("proxies") or ()):
        style = f"goal-{1 + index % (NUM_STYLES - 1)}"
        found.append(proxy | {"role": "proxy", "style": style})
    return found
