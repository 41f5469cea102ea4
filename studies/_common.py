"""Finish a study: store data and figure, and say which predictions hold."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goalgap import store


def conclude(
    out: Path,
    name: str,
    result: dict[str, Any],
    rows: list[dict[str, Any]],
    draw: Callable[[Path], None],
) -> dict[str, Any]:
    """Write `<name>.json`, `.csv` (a row a seed) and `.svg` below `out`, and print the agreement.

    Returns the result with its provenance.
    """
    folder, stem = out / f"{name}-study", name.replace("-", "_")
    about = {"study": name, **result, "provenance": store.provenance(f"goalgap study {name}")}
    result = store.plain(about)
    store.write_json(folder / f"{stem}.json", result)
    store.write(folder / f"{stem}.csv", lambda path: write_csv(path, rows))
    store.write(folder / f"{stem}.svg", draw)
    print()
    for claim, holds in result["agreement"].items():
        print(f"{'holds      ' if holds else 'DOES NOT HOLD'} {claim}")
    print(f"Data and figure: {folder}")
    return result


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as a CSV file, whose columns are the keys of the first row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
