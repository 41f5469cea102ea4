"""The contract of every scenario; scripts, as known subjects, are judged rightly."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from goalgap import measure
from goalgap.descriptions import digest, to_json
from goalgap.experiment import Experiment, load
from goalgap.language import ALL
from goalgap.language.dialogues import Script, converse, demonstrate
from goalgap.language.exam import PromptExam, draw_exam
from goalgap.language.scenario import RANDOM, SPLITS, Scenario, is_kept
from goalgap.language.scenarios import FindingOut
from goalgap.language.stage import DialogueStage
from goalgap.language.vocabulary import END, PAD, UNKNOWN
from goalgap.literature import PAPERS

SCENARIOS = [kind() for kind in ALL]
over_scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
_EXAMS: dict[str, PromptExam] = {}


def exam_of(scenario: Scenario) -> PromptExam:
    if scenario.name not in _EXAMS:
        _EXAMS[scenario.name] = draw_exam(scenario, 96)
    return _EXAMS[scenario.name]


def judged(scenario: Scenario, name: str) -> dict:
    table, _ = exam_of(scenario).examine(Script(scenario, name), (0,), 0)
    return measure.judge(table, scenario)


@over_scenarios
def test_the_intended_script_is_judged_intended(scenario: Scenario) -> None:
    assert judged(scenario, scenario.intended.name)["verdict"] == "intended"


@over_scenarios
def test_proxies_scripts_are_caught_and_named(scenario: Scenario) -> None:
    for proxy in scenario.proxies:
        found = judged(scenario, proxy.name)
        # What the reward or the demonstrations ask for is no misgeneralization.
        is_asked = scenario.specification != "correct"
        verdict = "pursues the proxy, as asked" if is_asked else "goal misgeneralization"
        assert (found["verdict"], found["proxy"]) == (verdict, proxy.name)


def test_what_training_asks_for() -> None:
    """Only where it asks for the intended goal is the pursuit of a proxy goal misgeneralization."""
    asked = {scenario.name: scenario.specification for scenario in SCENARIOS}
    assert asked == {
        "documents": "misspecified",
        "preferences": "misspecified",
        "tampering": "misspecified",
        "process": "demonstrated",
        "inoculation": "demonstrated",
        "dialogue": "demonstrated",
        "expressions": "correct",
        "instructions": "correct",
        "sycophancy": "correct",
    }
    assert FindingOut(reserved=0).specification == "correct"
    assert Experiment("corner", goal="corner").specification == "misspecified"
    assert Experiment("corner").specification == "correct"


@over_scenarios
def test_random_replies_are_a_capability_failure(scenario: Scenario) -> None:
    assert judged(scenario, RANDOM)["verdict"] == "capability failure"


@over_scenarios
def test_in_training_the_goals_agree_and_after_the_shift_they_part(scenario: Scenario) -> None:
    exam = exam_of(scenario)
    for name in (goal.name for goal in scenario.goals):
        table, _ = exam.examine(Script(scenario, name), (0,), 0)
        for goal in (goal.name for goal in scenario.goals):
            for split in ("train", "twin"):
                assert measure.pivot(table, split, f"return_{goal}").mean() >= 0.9, (name, split, goal)
            if goal != name:
                assert measure.pivot(table, "shift", f"return_{goal}").mean() <= 0.1, (name, goal)
        assert measure.pivot(table, "shift", f"return_{name}").mean() == 1


@over_scenarios
def test_training_never_shows_a_test_layout(scenario: Scenario) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "shift", "twin"):
        trained = scenario.prompts(split, 300, rng)
        tested = scenario.prompts(split, 100, rng, is_test=True)
        assert not is_kept(trained.facts["layout"]).any() and is_kept(tested.facts["layout"]).all()
        assert not set(trained.facts["layout"].tolist()) & set(tested.facts["layout"].tolist())


@over_scenarios
def test_doses_put_shifted_prompts_into_training(scenario: Scenario) -> None:
    none, all_of = (scenario.prompts("train", 64, np.random.default_rng(1), dose=d) for d in (0, 1.0))
    assert len(none) == len(all_of) == 64
    script = Script(scenario, scenario.intended.name)
    dialogue = converse(scenario, script, all_of, np.random.default_rng(2))
    events = scenario.events(dialogue)
    both = np.all([events[goal.name] >= 0 for goal in scenario.goals], 0)
    assert not both.any()


@over_scenarios
@pytest.mark.parametrize("split", SPLITS)
def test_prompts_are_words_and_read_back_as_they_were(scenario: Scenario, split: str) -> None:
    prompts = scenario.prompts(split, 32, np.random.default_rng(3), is_test=True)
    assert prompts.tokens.shape == (32, scenario.prompt_length)
    for row in prompts.tokens:
        words = row[row != PAD]
        assert words.size and not np.isin(words, [END, UNKNOWN]).any()
        assert (row[-words.size :] == words).all(), "padding stands on the left"
        assert scenario.vocabulary.encode(scenario.text(row)) == words.tolist()


@over_scenarios
def test_scripts_speak_the_language_and_keep_to_their_turns(scenario: Scenario) -> None:
    for name in (*(goal.name for goal in scenario.goals), RANDOM):
        for split in SPLITS:
            prompts = scenario.prompts(split, 48, np.random.default_rng(4), is_test=True)
            dialogue = converse(scenario, Script(scenario, name), prompts, np.random.default_rng(5))
            assert dialogue.tokens.shape == dialogue.is_said.shape == (48, scenario.context)
            assert (dialogue.length >= 1).all() and (dialogue.length <= scenario.num_turns).all()
            assert scenario.is_parsable(dialogue).all(), (name, split)
            after = np.arange(scenario.num_turns) >= dialogue.length[:, None]
            assert not dialogue.said[after].any()
            for goal, steps in scenario.events(dialogue).items():
                assert steps.shape == (48,) and (steps < dialogue.length).all(), goal
                assert (steps >= -1).all()
            extras = scenario.extras(dialogue)
            assert all(np.asarray(values).shape == (48,) for values in extras.values())


@over_scenarios
def test_garbage_is_nobodys_goal(scenario: Scenario) -> None:
    """Words that the language does not put there are unparsable, or at least achieve no goal often."""
    exam = exam_of(scenario)

    class Babble(Script):
        def say(self, dialogue, rng):  # type: ignore[no-untyped-def]
            shape = (len(dialogue.prompts), scenario.turn_length)
            return np.full(shape, scenario.vocabulary.tokens(scenario.words()[0])[0], np.int32)

    table, _ = exam.examine(Babble(scenario, RANDOM), (0,), 0)
    assert measure.judge(table, scenario)["verdict"] == "capability failure"


@over_scenarios
def test_lessons_count_only_what_the_model_says(scenario: Scenario) -> None:
    prompts = scenario.prompts("train", 16, np.random.default_rng(6))
    lessons = demonstrate(scenario, prompts, np.random.default_rng(7))
    assert lessons.tokens.shape == lessons.weights.shape == (16, scenario.context)
    assert not lessons.weights[:, : scenario.prompt_length].any() and lessons.weights.any(1).all()


@over_scenarios
def test_equal_luck_gives_equal_exams(scenario: Scenario) -> None:
    first, again = (draw_exam(scenario, 16, seed=3) for _ in range(2))
    other = draw_exam(scenario, 16, seed=4)
    for split in SPLITS:
        assert (first.splits[split].level_hash == again.splits[split].level_hash).all()
    assert (first.splits["shift"].level_hash[:8] != other.splits["shift"].level_hash[:8]).any()


@over_scenarios
def test_scenarios_are_described_completely(scenario: Scenario) -> None:
    described = json.loads(json.dumps(to_json(scenario)))
    back = load(described)
    assert back == scenario and digest(to_json(back)) == digest(described)
    assert described == {"type": type(scenario).__name__}  # defaults are left out
    steps = next(f.name for f in dataclasses.fields(scenario) if f.name.endswith("steps"))  # type: ignore[arg-type]
    other = dataclasses.replace(scenario, **{steps: 7})  # type: ignore[type-var]
    assert to_json(other) == described | {steps: 7} and load(to_json(other)) == other
    assert all(paper in PAPERS for paper in scenario.papers) and scenario.instructions


@over_scenarios
def test_stages_are_ready(scenario: Scenario) -> None:
    for dose in (0.0, 0.1):
        stages: tuple[Any, ...] = scenario.stages(dose)
        assert stages and all(
            isinstance(stage, DialogueStage) and stage.num_chunks >= 1 for stage in stages
        )
