"""The rooms: who may import whom (`design.md`, section 2, kept here as data).

A room is a module or a package directly below `goalgap`. Imports inside functions count too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import goalgap

ROOT = Path(goalgap.__file__).parent

MAY_IMPORT: dict[str, set[str]] = {
    "settings": set(),  # below `core`, whose types are checked with it
    "literature": set(),
    "core": {"settings"},
    "descriptions": {"core"},
    "stats": {"core"},  # its intervals come as Measurements
    "rollout": {"core"},
    "oracle": {"core"},
    "envs": {"core", "settings", "oracle"},
    "theory": {"core", "settings", "oracle", "stats"},
    "agents": {"core", "settings", "oracle"},  # oracle: the expert that a wrapper asks for help
    "learn": {"core", "settings", "rollout", "oracle", "agents"},
    # agents: random play is the zero of every score
    "measure": {"core", "rollout", "oracle", "stats", "theory", "agents"},
    "detect": {"core", "rollout", "oracle", "stats", "theory", "agents", "measure"},
    "language": {"core", "settings", "descriptions", "stats", "agents", "learn", "measure", "detect"},
    "registry": {"settings", "core", "envs", "agents", "learn", "language"},
    # Where environments and scenarios are told apart, for all that follows.
    "kinds": {
        "core", "settings", "literature", "envs", "oracle", "agents", "learn", "measure", "language",
    },
    "experiment": {
        "core", "settings", "descriptions", "agents", "learn", "measure", "registry", "kinds",
    },
    "mitigate": {"core", "oracle", "theory", "agents", "learn", "experiment"},
    "store": {"core", "descriptions", "experiment"},
    "scale": {"experiment", "store"},
    "report": {"stats", "store"},
}  # fmt: skip
# Where everything comes together; `runs` is to scripts what `cli` is to the terminal.
MAY_IMPORT["runs"] = set(MAY_IMPORT)
# Edges: they read runs, play in other programs, and nothing below them knows of them.
for edge in ("adapters", "original"):
    MAY_IMPORT[edge] = {*MAY_IMPORT, "runs"} - {"adapters", "original"}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
MAY_IMPORT["__main__"] = {"cli"}
# The package itself names what users reach for, and loads it when they do.
MAY_IMPORT["__init__"] = set(MAY_IMPORT) - {"cli", "__main__"}


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The rooms that a file imports, with the line."""
    package = ("goalgap", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            modules = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for module in modules:
            if module[0] == "goalgap":
                yield node.lineno, module[1] if len(module) > 1 else "__init__"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_what_they_may(path):
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is a new room; say in this file what it may import"
    for line, other in imports(path):
        allowed = other == room or other in MAY_IMPORT[room]
        assert allowed, f"{path.relative_to(ROOT)}, line {line}: {room} may not import {other}"


def test_no_room_imports_itself_in_a_circle():
    """The table has an order: each room can be put below all those it imports."""
    left = {room: set(others) - {room} for room, others in MAY_IMPORT.items()}
    while left:
        ready = {room for room, others in left.items() if not others & set(left)}
        assert ready, f"a circle among {sorted(left)}"
        left = {room: others for room, others in left.items() if room not in ready}


def test_the_house_imports_itself_by_relative_paths():
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            absolute = [name for name in names if name.split(".")[0] == "goalgap"]
            assert not absolute, f"{path.relative_to(ROOT)}, line {node.lineno}: write a relative import"
