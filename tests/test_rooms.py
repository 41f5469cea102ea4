"""The rooms: who may import whom (`design.md`, section 2, kept here as data).

A room is a module or a package directly below `goalgap`. Imports inside functions count too.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import goalgap

ROOT = Path(goalgap.__file__).parent

MAY_IMPORT: dict[str, set[str]] = {
    "settings": set(),  # below `core`, whose types are checked with it
    "literature": set(),
    "compilation": set(),
    "core": {"settings"},
    "descriptions": {"core"},
    "stats": {"core"},  # its intervals come as Measurements
    "rollout": {"core"},
    "oracle": {"core"},
    "envs": {"core", "settings", "oracle"},
    "theory": {"core", "settings", "oracle", "stats"},
    "agents": {"core", "settings", "oracle"},  # oracle: the expert that a wrapper asks for help
    "learn": {"compilation", "core", "settings", "rollout", "oracle", "agents"},
    # agents: random play is the zero of every score
    "measure": {"compilation", "core", "rollout", "oracle", "stats", "theory", "agents"},
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


def name_of(path: Path) -> str:
    parts = ("goalgap", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in files()}


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


def nodes(node: ast.AST, types: bool) -> Iterator[ast.AST]:
    """Everything below a node; without `types`, not what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if types or not is_for_types(child):
            yield child
            yield from nodes(child, types)


def imported(path: Path, types: bool = True) -> Iterator[tuple[int, list[str]]]:
    """The modules, or names in modules, that a file imports, as lists of names, with the line."""
    package = ("goalgap", *path.relative_to(ROOT).parts[:-1])
    for node in nodes(tree(path), types):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, [*base, alias.name]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The rooms that a file imports, with the line."""
    for line, module in imported(path):
        if module[0] == "goalgap":
            yield line, module[1] if len(module) > 1 else "__init__"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_what_they_may(path):
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is a new room; say in this file what it may import"
    for line, other in imports(path):
        allowed = other == room or other in MAY_IMPORT[room]
        assert allowed, f"{path.relative_to(ROOT)}, line {line}: {room} may not import {other}"


def circle(graph: dict[Any, set[Any]]) -> set[Any]:
    """What cannot be put in an order in which each comes after all that it leads to."""
    left = dict(graph)
    while ready := {one for one, others in left.items() if not (others - {one}) & set(left)}:
        left = {one: others for one, others in left.items() if one not in ready}
    return set(left)


def test_circles_are_found():
    assert circle({1: {2}, 2: {3}, 3: {1}, 4: {1}, 5: set(), 6: {5, 6}}) == {1, 2, 3, 4}
    assert circle({1: {2, 3}, 2: {3}, 3: set()}) == set()


def test_no_room_imports_itself_in_a_circle():
    """The table has an order: each room can be put below all those it imports."""
    assert not circle(MAY_IMPORT)


def test_no_module_imports_itself_in_a_circle():
    """Imports inside functions count, those for type checkers do not. That a module waits for its own
    package's `__init__` does not count either: `__init__` holds nothing that a module could use."""
    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        found = [".".join(module) for _, module in imported(path, types=False)]
        homes = {module if module in MODULES else module.rpartition(".")[0] for module in found}
        graph[name] = homes & set(MODULES)
    stuck = circle(graph)
    assert not stuck, {name: sorted(graph[name] & stuck) for name in sorted(stuck)}


def is_plain(node: ast.stmt) -> bool:
    """Whether a statement may stand in an `__init__`: a docstring, an import, a constant, and the two
    functions by which a module loads its names when they are used."""
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__getattr__", "__dir__")
    if isinstance(node, ast.If):
        return is_for_types(node) and all(is_plain(child) for child in node.body) and not node.orelse
    if isinstance(node, ast.Assign | ast.AnnAssign):
        logic = (ast.Call, ast.Lambda, ast.comprehension, ast.IfExp, ast.BinOp)
        return not any(isinstance(child, logic) for child in ast.walk(node.value or node))
    return isinstance(node, ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


INITS = [path for path in files() if path.name == "__init__.py"]


@pytest.mark.parametrize("path", INITS, ids=name_of)
def test_packages_hold_no_logic(path):
    for node in tree(path).body:
        assert is_plain(node), f"{path.relative_to(ROOT)}, line {node.lineno}: move it to a module"


def test_the_house_imports_itself_by_relative_paths():
    for path in files():
        for node in nodes(tree(path), types=True):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            absolute = [name for name in names if name.split(".")[0] == "goalgap"]
            assert not absolute, f"{path.relative_to(ROOT)}, line {node.lineno}: write a relative import"
