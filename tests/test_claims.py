"""docs/claims.md is what the results of the studies say."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(ROOT / "studies"), *sys.path])
    return importlib.import_module("claims")


def test_the_page_is_what_one_command_makes(claims: Any) -> None:
    committed = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert committed == claims.page(), "run `goalgap study claims` and commit docs/claims.md"


def test_every_target_has_a_status_and_its_evidence_exists(claims: Any) -> None:
    rows = claims.targets(claims.results())
    assert len(rows) == 25 + 19
    for row, *_, status, command, weakest in rows:
        assert (status == claims.UNTRIED) == (not command), row
        if command.startswith("`pytest "):
            path, *name = command[len("`pytest ") : -1].split("::")
            assert not name or f"def {name[0]}(" in (ROOT / path).read_text(encoding="utf-8"), row
        assert status != claims.HOLDS or weakest or row == "LM 11" or row == "LM 15", row


def test_uncommitted_results_decide_nothing(claims: Any) -> None:
    clean, dirty = ({"provenance": {"commit": commit}} for commit in ("abc", "abc-dirty"))
    assert claims.status(clean, True) == "holds" and claims.status(clean, False) == "does not hold"
    assert claims.status(dirty, True) == claims.status({}, True) == "undecided"


def test_a_target_whose_claim_is_not_there_is_refused(claims: Any) -> None:
    row = {"row": "RL 0", "study": "some", "claims": "what nobody claims"}
    with pytest.raises(ValueError, match="claims nothing that begins with"):
        claims._of_study(row, {"some": {"agreement": {"a claim": True}}})
