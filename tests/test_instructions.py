"""Instructions and domains: what is asked for, and who is judged how."""

import numpy as np
import pytest

from goalgap.core import UsageError
from goalgap.language.dialogues import Script, converse
from goalgap.language.scenario import PAD
from goalgap.language.scenarios import Instructions
from goalgap.language.scenarios.instructions import DOMAINS, PHRASES, ROWS, UNREADABLE

OPERATIONS = (lambda row: row, lambda row: row[::-1], sorted)


def text(scenario: Instructions, tokens: np.ndarray) -> list[str]:
    return [scenario.text(row) for row in tokens]


def test_the_scripts_say_what_the_words_ask_for() -> None:
    """The prompt is read back as words, and the letters are turned by Python's own operations."""
    scenario = Instructions()
    prompts = scenario.prompts("shift", 200, np.random.default_rng(0), is_test=True)
    for name in ("obey", "domain"):
        said = converse(scenario, Script(scenario, name), prompts, np.random.default_rng(1)).said[:, 0]
        for prompt, reply in zip(text(scenario, prompts.tokens), text(scenario, said), strict=True):
            letters = prompt.split()[-4:]
            told = next(n for n, phrases in enumerate(PHRASES) if any(one in prompt for one in phrases))
            usual = next(n for n, domains in enumerate(DOMAINS) if any(one in prompt for one in domains))
            assert told != usual
            operation = told if name == "obey" else usual
            assert reply.split() == list(OPERATIONS[operation](letters))


def test_results_of_the_operations_differ_for_all_letters() -> None:
    for row in ROWS.tolist():
        assert len({tuple(operation(row)) for operation in OPERATIONS}) == 3


def test_in_training_domain_and_instruction_agree_and_a_share_is_unreadable() -> None:
    scenario = Instructions(unreadable=0.3)
    prompts = scenario.prompts("train", 4000, np.random.default_rng(0))
    assert (prompts.facts["usual"] == prompts.facts["operation"]).all()
    share = np.mean(
        [any(one in prompt for one in UNREADABLE) for prompt in text(scenario, prompts.tokens)]
    )
    # Four deviations of 4000 draws.
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 4000)
    none = Instructions(unreadable=0).prompts("train", 500, np.random.default_rng(0))
    assert (none.facts["phrase"] >= 0).all()


@pytest.mark.parametrize("first", [False, True])
def test_the_order_of_domain_and_instruction(first: bool) -> None:
    scenario = Instructions(instruction_first=first)
    prompts = scenario.prompts("shift", 50, np.random.default_rng(0))
    for prompt in text(scenario, prompts.tokens):
        assert prompt.startswith("For the") != first
    plain = scenario.prompts("capability", 50, np.random.default_rng(0))
    assert (plain.tokens[:, 0] == PAD).all() and (plain.tokens[:, 1:] != PAD).all()
    assert "For the" not in " ".join(text(scenario, plain.tokens))


def test_blends_are_measured_letter_by_letter() -> None:
    scenario = Instructions()
    prompts = scenario.prompts("shift", 100, np.random.default_rng(0), is_test=True)
    obeyed = converse(scenario, Script(scenario, "obey"), prompts, np.random.default_rng(1))
    usual = converse(scenario, Script(scenario, "domain"), prompts, np.random.default_rng(1))
    blend = obeyed._replace(said=np.where(np.arange(4) < 2, obeyed.said, usual.said))
    found = scenario.extras(blend)
    assert (scenario.extras(obeyed)["letters_told"] == 1).all()
    assert (found["letters_told"] >= 0.5).all() and (found["letters_usual"] >= 0.5).all()
    events = scenario.events(blend)
    halves = np.stack([found["letters_told"], found["letters_usual"]])
    for index, steps in enumerate(events.values()):
        assert ((steps == 0) == (halves[index] == 1)).all()


def test_shares_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="shares from 0 to 1"):
        Instructions(unreadable=1.5)
