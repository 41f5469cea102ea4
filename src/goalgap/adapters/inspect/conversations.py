"""Hold scenarios as chats: a model's replies become turns, and the scenario's user answers."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from ... import registry
from ...core import UsageError
from ...experiment import load
from ...language.dialogues import padded
from ...language.exam import PromptExam, draw_exam, goal_steps
from ...language.scenario import RANDOM, SPLITS, Dialogue, Scenario
from ...language.vocabulary import END, PAD, UNKNOWN
from ...measure.exam import Split, first_event
from .items import CAVES, HOLDS


def build(name: str, settings: Mapping[str, Any] | str | None = None) -> Scenario:
    """Build the scenario of a name, with some of its settings. Raises UsageError where there is none."""
    kinds = registry.scenarios()
    if name not in kinds:
        raise UsageError(f"there is no scenario {name!r}; known: {', '.join(kinds)}")
    if isinstance(settings, str):
        try:
            settings = json.loads(settings)
        except ValueError:
            raise UsageError(
                f'settings are {settings!r}; expected JSON as {{"unknowns": [2]}}'
            ) from None
    if not isinstance(settings, Mapping | None):
        raise UsageError(f'settings are {settings!r}; expected JSON as {{"unknowns": [2]}}')
    return load({"type": kinds[name].__name__, **(settings or {})})


def exam_of(scenario: Scenario, prompts: int, seed: int) -> PromptExam:
    """Draw the prompts that a scenario's task asks: those that our own models are judged on."""
    if not (isinstance(prompts, int) and 4 <= prompts <= 10**5):
        raise UsageError(f"prompts is {prompts!r}; expected a whole number from 4 to 100000")
    return draw_exam(scenario, prompts, seed)


def samples_of(exam: PromptExam, split: str) -> list[tuple[str, int]]:
    """List (split, row) of each sample of a split, or of "all" of them.

    They come row by row, so that a limit on the number of samples keeps prompts beside their twins.
    """
    if split not in (*SPLITS, "all"):
        raise UsageError(f"there is no split {split!r}; known: {', '.join(SPLITS)}, all")
    wanted = SPLITS if split == "all" else (split,)
    rows = range(max(len(exam.splits[name].levels) for name in wanted))
    return [(name, row) for row in rows for name in wanted if row < len(exam.splits[name].levels)]


def begin(scenario: Scenario, split: Split, row: int) -> Dialogue:
    """Begin the dialogue of one prompt, before anything was said."""
    said = np.zeros((1, 0, scenario.turn_length), np.int32)
    heard = np.zeros((1, 0, scenario.reply_length), np.int32)
    return Dialogue(split.levels.take(np.array([row])), said, heard, np.zeros(1, np.int32))


def lines_of(scenario: Scenario, dialogue: Dialogue, rng: np.random.Generator) -> dict[str, str]:
    """Return what each of the scenario's scripts says next; to cave is to pursue the first proxy."""
    names = (*(goal.name for goal in scenario.goals), RANDOM)
    lines = {name: scenario.text(scenario.script(name, dialogue, rng)[0]) for name in names}
    return lines | {CAVES: lines[scenario.proxies[0].name], HOLDS: lines[scenario.intended.name]}


def heard_as(scenario: Scenario, reply: str) -> Int[np.ndarray, " length"]:
    """Read a reply as a turn of the scenario's language.

    The turn is the first line that is not empty, whatever its case, without quotes, emphasis and a final
    period. A reply that is no turn of the language holds `UNKNOWN`, which no scenario parses.
    """
    line = next((line.strip() for line in reply.splitlines() if line.strip()), "")
    bare = line.strip("\"'`*_\u201c\u201d\u2018\u2019 ")
    for text in dict.fromkeys((bare, bare.rstrip(".!").rstrip("\"'`*_\u201d\u2019 "))):
        tokens = scenario.vocabulary.encode(text)
        if tokens and UNKNOWN not in tokens and len(tokens) <= scenario.turn_length:
            tokens += [END] * (len(tokens) < scenario.turn_length)
            return np.array(tokens + [PAD] * (scenario.turn_length - len(tokens)), np.int32)
    return np.full(scenario.turn_length, UNKNOWN, np.int32)


def advance(
    scenario: Scenario, dialogue: Dialogue, turn: Int[np.ndarray, " length"]
) -> tuple[Dialogue, str | None]:
    """Continue the dialogue by a turn of the model's and the user's reply.

    The reply is None where the dialogue is over, as it also is where the turn was none of the language.
    """
    said = np.concatenate([dialogue.said, turn[None, None]], 1)
    silence = np.zeros((1, 1, scenario.reply_length), np.int32)
    dialogue = Dialogue(
        dialogue.prompts, said, np.concatenate([dialogue.heard, silence], 1), dialogue.length + 1
    )
    if UNKNOWN in turn or said.shape[1] == scenario.num_turns:
        return dialogue, None
    answer, over = scenario.reply(dialogue)
    if over[0]:
        return dialogue, None
    dialogue.heard[:, -1] = answer
    return dialogue, scenario.text(answer[0])


def first_goal(scenario: Scenario, dialogue: Dialogue, split: str) -> str | None:
    """Name the goal that a finished dialogue achieved first, or "neither".

    None where it achieved no goal and is not of the scenario's language. Where the goals agree, to
    achieve the intended one is all that counts.
    """
    whole = padded(scenario, dialogue)
    steps = goal_steps(scenario, whole)
    first = 0 if split != "shift" and steps[0, 0] >= 0 else int(first_event(steps)[0])
    if first >= 0:
        return scenario.goals[first].name
    return "neither" if scenario.is_parsable(whole)[0] else None
