"""The first line of a public docstring can be understood without the rest of the file."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import goalgap

ROOT = Path(goalgap.__file__).parent
# Pronouns whose noun stands elsewhere, and questions or fragments where a sentence is wanted.
UNCLEAR = re.compile(r"(Of|Our|Those|That|Which|What|Whether|Where|Each|It|Its)\b")


def public(node: ast.AST, name: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and first lines of the public functions and classes below a node."""
    for child in ast.iter_child_nodes(node):
        is_named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if not is_named or child.name.startswith("_"):
            continue
        if text := ast.get_docstring(child):
            yield f"{name}{child.name}", text.splitlines()[0]
        if isinstance(child, ast.ClassDef):
            yield from public(child, f"{name}{child.name}.")


def test_the_check_finds_what_it_is_for():
    code = 'class A:\n    """It waits."""\n    def b(self):\n        """Whether."""\n'
    code += 'def _c():\n    """That."""'
    assert dict(public(ast.parse(code))) == {"A": "It waits.", "A.b": "Whether."}
    assert UNCLEAR.match("Its own") and not UNCLEAR.match("Italics are kept")


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_first_lines_have_their_nouns(path):
    named = dict(public(ast.parse(path.read_text(encoding="utf-8"))))
    unclear = {name: line for name, line in named.items() if UNCLEAR.match(line)}
    assert not unclear, f"{path.relative_to(ROOT)}: say what it is, or what it does: {unclear}"
