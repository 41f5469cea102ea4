"""The README's promises: its commands exist, its Python runs, its links and pictures are there."""

import re
from pathlib import Path

import pytest
from readme_commands import README, commands

from goalgap.cli import VERBS

TEXT = README.read_text(encoding="utf-8")


def test_the_first_two_commands() -> None:
    assert commands()["run"].endswith("goalgap run corner")
    assert commands()["test"].endswith("pytest")


def test_every_command_shown_exists() -> None:
    shown = re.findall(r"^goalgap (\S+)", TEXT, re.M)
    assert len(shown) >= 8
    assert set(shown) <= set(VERBS)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("http") or (README.parent / target).exists(), target


@pytest.mark.slow
def test_the_library_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """As printed, but for fewer steps."""
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    monkeypatch.chdir(tmp_path)
    exec(example.replace("steps=200_000", "steps=1"), {})
    said = capsys.readouterr().out
    assert "report.html" in said
