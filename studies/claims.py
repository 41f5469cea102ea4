"""Collect every claim of every study, and every published target, with its status: docs/claims.md.

A claim *holds* or *does not hold* as its study found. It is *undecided* where the results come from a
tree with changes that were not committed, and a published target is *not tried* where no study or test
asks for it.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HOLDS, NOT, UNDECIDED, UNTRIED = "holds", "does not hold", "undecided", "not tried"
HEAD = """# Claims

Every claim of every study, and every published target that we know of, with what came out. Made by
`goalgap study claims` out of `studies/results/` and `studies/targets.csv`; a test compares the two.
A result from a tree with uncommitted changes (its commit ends in `-dirty`) decides nothing. n is the
number of training seeds of the study's table (of each point where points have their own).
"""


def status(result: dict[str, Any], holds: bool) -> str:
    """Give the status of a claim of a study's result."""
    commit = str(result.get("provenance", {}).get("commit") or "-dirty")
    return UNDECIDED if commit.endswith("-dirty") else HOLDS if holds else NOT


def results(folder: Path = HERE / "results") -> dict[str, dict[str, Any]]:
    """Read the results of all studies that state predictions, by the study's name."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if "agreement" in result:
            found[result["study"]] = result | {"n": _seeds(path.with_suffix(".csv"))}
    return found


def _seeds(path: Path) -> str:
    """Count the different training seeds of a study's table; "" where it has none."""
    if not path.exists():
        return ""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seeds = {row["seed"] for row in rows if row.get("seed")}
    return str(len(seeds)) if seeds else ""


def targets(known: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Give a row for each published target: number, source, target, status, evidence, weakest link.

    Raises ValueError for a target that names a study or a claim that is not there.
    """
    rows = []
    with (HERE / "targets.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            said, evidence = UNTRIED, ""
            if row["study"]:
                said, evidence = _of_study(row, known), f"`goalgap study {row['study']}`"
            elif row["test"]:
                said, evidence = HOLDS, f"`pytest {row['test']}`"
            rows.append([row["row"], row["source"], row["target"], said, evidence, row["weakest"]])
    return rows


def _of_study(row: dict[str, str], known: dict[str, dict[str, Any]]) -> str:
    """Combine the claims of a study that a target rests on."""
    if row["study"] not in known:
        return UNTRIED
    result, found = known[row["study"]], []
    for wanted in row["claims"].split("; "):
        matching = [holds for claim, holds in result["agreement"].items() if claim.startswith(wanted)]
        if not matching:
            raise ValueError(f"{row['row']}: {row['study']} claims nothing that begins with {wanted!r}")
        found.append(all(matching))
    return status(result, all(found))


def page() -> str:
    """Write the page."""
    known = results()
    published = targets(known)
    own = []
    for name, result in known.items():
        about = result.get("provenance", {})
        where = f"{about.get('commit', '')}, {str(about.get('created', ''))[:10]}"
        for claim, holds in result["agreement"].items():
            own.append([f"`goalgap study {name}`", claim, status(result, holds), result["n"], where])
    counts = [
        f"{what}: " + ", ".join(f"{sum(row[at] == said for row in rows)} {said}" for said in used)
        for what, rows, at, used in (
            ("Published targets", published, 3, (HOLDS, NOT, UNDECIDED, UNTRIED)),
            ("Claims of studies", own, 2, (HOLDS, NOT, UNDECIDED)),
        )
    ]
    parts = [
        HEAD,
        "\n".join(f"- {line}." for line in counts),
        "\n## Published targets\n",
        _table(["", "source", "target", "status", "command", "weakest link"], published),
        "\n## Claims of studies\n",
        _table(["command", "claim", "status", "n", "commit, date"], own),
    ]
    return "\n".join(parts) + "\n"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def main(out: Path, seed: int = 0) -> dict[str, Any]:
    """Write docs/claims.md, where this is a checkout, and claims.md below `out`."""
    text = page()
    docs = HERE.parent / "docs"
    places = [out / "claims-study" / "claims.md", *([docs / "claims.md"] if docs.is_dir() else [])]
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
    return {"written": [str(path) for path in places]}


if __name__ == "__main__":
    main(Path("runs"))
