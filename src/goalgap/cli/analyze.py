"""Serve `goalgap analyze`: what a training distribution leaves open, as a page for the terminal."""

import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any, Generic

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import store
from ..runs import use_compilation_cache
from ..runs.analyze import Analysis, Request, analyze
from ..theory.findings import Settings
from .options import B, Board, Flat, Target

MAX_ROWS, MAX_MIXTURES = 12, 4


@dataclasses.dataclass(frozen=True)
class Analyze(Generic[B]):
    """Find, before any training, what the training levels leave open, and which levels would close it.

    Exact values of every goal on every level. Levels of your own are text files of boards, as `play`
    reads them, set off by empty lines.
    """

    env: Target
    """an environment whose states can be enumerated"""
    board: Flat[B] = dataclasses.field(default_factory=Board)  # pyright: ignore
    """what the environment is like"""
    alpha: float = 0.0
    """share of training levels on which the goals come apart"""
    levels: int = 2000
    """training levels drawn"""
    grammar: bool = False
    """look for goals that nobody listed, too"""
    intended: str | None = None
    """analyze as though this goal were the intended one"""
    settings: Flat[Settings] = dataclasses.field(default_factory=Settings)
    train: tuple[Path, ...] = ()
    """files with training levels"""
    deploy: tuple[Path, ...] = ()
    """files with levels after the shift"""
    candidates: tuple[Path, ...] = ()
    """files with levels that could be added to training"""
    seed: int = 0
    """which levels are drawn"""
    out: Path = Path("runs")
    """where the folder goes"""
    json: bool = False
    """print analysis.json instead of the page"""

    def request(self) -> Request:
        """Collect the options as `runs.analyze` wants them."""
        files = {"train": self.train, "deploy": self.deploy, "candidates": self.candidates}
        paths = tuple(path for group in files.values() for path in group)
        env = self.board.fitting(paths).environment(self.env)
        texts = {
            name: tuple(level for path in paths for level in store.read_levels(env, path))
            for name, paths in files.items()
        }
        return Request(
            env,
            self.settings,
            self.alpha,
            self.levels,
            self.grammar,
            self.intended,
            self.seed,
            **texts,
        )

    def call(self) -> None:
        """Analyze, store the result, and print the page or the JSON."""
        request = self.request()
        use_compilation_cache()
        began = time.perf_counter()

        def say(text: str) -> None:
            print(f"[{time.perf_counter() - began:5.1f} s] {text}", file=sys.stderr)

        found = analyze(request, self.out, say, "goalgap " + " ".join(sys.argv[1:]))
        if self.json:
            print(json.dumps(store.read_json(found.path / "analysis.json"), indent=1))
        else:
            show(found, request)


# -- the page ---------------------------------------------------------------------------------------


def show(found: Analysis, request: Request) -> None:
    """Print the page of an analysis on standard output."""
    console = Console(highlight=False)
    result = found.result
    console.print(Text(headline(result), style="bold"), "\n", sep="")
    console.print(_goals(result))
    for part in (_unreadable, _worst, _closing, _symmetries, _questions, _certificate):
        if text := part(result):
            console.print(text)
    console.print(f"Report and levels as files: {found.path}", soft_wrap=True)


def headline(result: dict[str, Any]) -> str:
    """State the finding of an analysis in one sentence."""
    counts, intended = result["num_levels"], result["intended"]["name"]
    dangerous = [row for row in result["goals"] if row["dangerous"]]
    where = f"{counts['train']:,} training levels ({result['num_goals']:,} goals considered"
    where += f", epsilon {result['settings']['epsilon']:g})"
    if not dangerous:
        return f"{where} leave no goal open that differs from {intended} after the shift."
    worst = next(row for row in dangerous if row["name"] == result["worst"]["goal"])
    number = f"{len(dangerous)} goals open that differ"
    if len(dangerous) == 1:
        number = "a goal open that differs"
    cost = worst["costs"]["deploy"]["mean"]
    return (
        f"{where} leave {number} from {intended} after the shift. The worst is to "
        f"{worst['sentence']}: its optimizer passes training, and after the shift loses "
        f"{cost.estimate:.2f} [{cost.low:.2f}, {cost.high:.2f}] of return on average."
    )


def _goals(result: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in ("goal", "open", "training regret", "shifted: mean", "worst", "best", "bits"):
        table.add_column(
            name,
            justify="left" if name in ("goal", "open") else "right",
            overflow="fold",
            max_width=None if name == "goal" else 10,
        )
    for row in result["goals"][:MAX_ROWS]:
        train, deploy = row["costs"]["train"], row["costs"]["deploy"]
        others = f" (and {len(row['also'])} like it)" if row["also"] else ""
        table.add_row(
            row["name"] + others,
            "yes" if row["open"] else "with luck" if row["possibly_open"] else "no",
            f"{train['worst'].estimate:.3f}",
            f"{deploy['mean'].estimate:.2f}",
            f"{deploy['worst'].estimate:.2f}",
            f"{deploy['best'].estimate:.2f}",
            f"{row['bits']:.1f}",
        )
    if len(result["goals"]) > MAX_ROWS:
        table.add_row(f"... {len(result['goals']) - MAX_ROWS} more in the report")
    return table


def _unreadable(result: dict[str, Any]) -> str:
    """Name the goals that no agent could pursue from its observations."""
    rows = [row for row in result["goals"] if row["unreadable_on"]]
    if not rows:
        return ""
    named = ", ".join(f"{row['name']} (on {row['unreadable_on']:.0%} of levels)" for row in rows)
    return f"\n[bold]Not to be read off the observation[/bold] without memory: {named}"


def _worst(result: dict[str, Any]) -> str:
    worst = result["worst"]
    if worst is None:
        return ""
    costs = worst["costs"]
    return (
        f"\n[bold]A level that shows it[/bold]: an optimizer of {worst['goal']} loses "
        f"{costs['mean']:.2f} here on average, {costs['best']:.2f} at best.\n\n"
        f"{_indented(worst['text'])}\n"
    )


def _closing(result: dict[str, Any]) -> str:
    closing, said = result["closing"], []
    if closing["set"] is not None:
        levels, mixture = closing["set"]["levels"], closing["mixture"]
        names = ", ".join(closing["breakable"] + closing["shadow"])
        said.append(
            f"[bold]To close[/bold] {names}: {_count(len(levels), 'level')} (add.txt), as "
            f"{_share(closing['set']['share'])} of training.\n"
        )
        said.append(_side_by_side([level["text"] for level in levels[:4]]))
        said.append(
            f"A mixture of {_count(len(mixture['levels']), 'level')} (mixture.txt) excludes them for "
            f"every learner within {result['settings']['epsilon']:g} of the optimum as "
            f"{_share(mixture['share'])} of training; distinguishing levels at random: "
            f"{_share(mixture['share_uniform'])}.\n"
        )
    if closing["shadow"]:
        said.append(
            f"[bold]Not excluded for sure[/bold], only on average over ties: "
            f"{', '.join(closing['shadow'])}. On none of {result['num_levels']['candidates']} "
            "candidates does their luckiest optimizer lose anything to speak of.\n"
        )
    if closing["hopeless"]:
        said.append(
            f"[bold]Not closed[/bold] by any of {result['num_levels']['candidates']} candidates: "
            f"{', '.join(closing['hopeless'])}.\n"
        )
    return "\n".join(said)


def _symmetries(result: dict[str, Any]) -> str:
    """Name the symmetry that closes most."""
    epsilon = result["settings"]["epsilon"]
    kept = [row for row in result["symmetries"] if row["keeps_intended"]]
    closed = [[goal for goal, cost in row["costs"].items() if cost > epsilon] for row in kept]
    if not any(closed):
        return ""
    most = max(closed, key=len)
    left = [goal for goal in kept[0]["costs"] if goal not in most]
    return (
        f"[bold]For free[/bold]: training levels {kept[closed.index(most)]['name']} close "
        + (f"all but {', '.join(left)}" if left else "all of these goals")
        + ", if that symmetry belongs to the intended goal.\n"
    )


def _questions(result: dict[str, Any]) -> str:
    asked = result["questions"]
    if asked is None:
        return ""
    training = (
        "no test on training levels ever could"
        if asked["training"] == 0
        else f"training levels give at least {asked['training']:.2g} nats on the best of them"
    )
    return (
        f"[bold]To tell {len(asked['goals'])} goals apart[/bold] with error "
        f"{result['settings']['error']:g}: about {_count(asked['episodes'], 'episode')}, asked "
        f"one by one until sure, on the {_count(len(asked['levels']), 'level')} of ask.txt, "
        f"{_count(asked['episodes_uniform'], 'episode')} on shifted levels at random; {training}.\n"
    )


def _certificate(result: dict[str, Any]) -> str:
    known = result["certificate"]
    said = (
        f"[bold]Mixtures of goals[/bold]: training behavior identifies {known['rank']} of "
        f"{len(known['features'])} directions ({', '.join(known['features'])})."
    )
    for row in known["invisible"][:MAX_MIXTURES]:
        shows = (
            "never shows after the shift either"
            if row["revealed_on"] == 0
            else f"shows on {row['revealed_on']:.0%} of levels after the shift"
        )
        said += f"\n  invisible in training: {row['mixture']}; {shows}"
    if len(known["invisible"]) > MAX_MIXTURES:
        said += f"\n  and {len(known['invisible']) - MAX_MIXTURES} more, in the report"
    return said + "\n"


def _share(value: float) -> str:
    return f"{value:.1%}" if value <= 1 else "more than all (no share suffices)"


def _count(number: float, what: str) -> str:
    if math.isinf(number):
        return f"no number of {what}s"
    return f"{number:,.0f} {what}{'' if number == 1 else 's'}"


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


def _side_by_side(texts: list[str]) -> str:
    rows = zip(*(text.splitlines() for text in texts), strict=True)
    return "\n".join("    " + "   ".join(row) for row in rows) + "\n"
