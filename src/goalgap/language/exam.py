"""The prompts on which models are judged.

The columns are those of every exam (`measure.exam`): a prompt is a level, a dialogue an episode, a goal
pays 1 when its event happens. The best that can be had is what the scenario's own scripts achieve;
prompts are dropped on which the script of a goal fails, as unsolvable levels are.
"""

import hashlib
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt64

from ..core import UsageError
from ..measure.exam import (
    BOTH,
    Episodes,
    Exam,
    Split,
    Table,
    first_outcome,
    outcome_names,
    outcome_shares,
    rows,
)
from .dialogues import Script, Speaker, converse
from .scenario import RANDOM, SPLITS, Dialogue, Prompts, Scenario

MIN_PROMPTS = 4
_RANDOM_REPLIES = 32  # of the random script, a prompt
_SPARE = 4  # candidates drawn for each prompt wanted


class PromptExam(Exam):
    """Examine speakers on prompts of a scenario; the `levels` of the splits are `Prompts`."""

    watched: ClassVar[tuple[str, ...]] = SPLITS

    def __init__(self, scenario: Scenario, splits: dict[str, Split]) -> None:
        self.contest = self.scenario = scenario
        self.splits = splits

    def play(
        self,
        subject: Speaker,
        name: str,
        index: int,
        seeds: tuple[int, ...],
        number: int,
        fleet: bool,
    ) -> tuple[Episodes, Dialogue]:
        """Hold one dialogue a prompt and seed; of a fleet, each seed gets all prompts."""
        rng = np.random.default_rng((number, index, 0x517))
        prompts = Prompts.join(*[self.splits[name].levels] * len(seeds))
        dialogue = converse(self.scenario, subject, prompts, rng)
        return episodes_of(self.scenario, dialogue), dialogue

    def pictures(
        self, subject: Any, table: Table, records: dict[str, Dialogue], name: str | None = None
    ) -> dict[str, Any]:
        """Give what reports show of a subject: some dialogues in words."""
        seeds = tuple(dict.fromkeys(table["seed"].tolist()))
        return {"transcripts.json": transcripts(self.scenario, records, seeds)}


def draw_exam(scenario: Scenario, num_prompts: int, seed: int = 0) -> PromptExam:
    """Draw the exam of a scenario: up to `num_prompts` different prompts a split.

    Their layouts are ones that training never shows. Raises UsageError where a split has too few.
    """
    rng = np.random.default_rng((seed, 0xE8A3))
    shift = _distinct(scenario, "shift", num_prompts, rng)
    # A twin may serve several shifted prompts: it stands beside each of them.
    prompts = {
        "train": _distinct(scenario, "train", num_prompts, rng),
        "shift": shift,
        "twin": scenario.twin(shift),
        "capability": _distinct(scenario, "capability", num_prompts, rng),
    }
    return PromptExam(scenario, {name: _appraise(scenario, prompts[name], rng) for name in SPLITS})


def _distinct(scenario: Scenario, split: str, count: int, rng: np.random.Generator) -> Prompts:
    """Draw different prompts, on which the intended goal (and after the shift every goal) can be had."""
    drawn = scenario.prompts(split, _SPARE * count, rng, is_test=True)
    drawn = drawn.take(np.sort(np.unique(_hashes(drawn), return_index=True)[1]))
    goals = scenario.goals if split == "shift" else (scenario.intended,)
    solvable = np.all([_achieved(scenario, goal.name, drawn, rng)[goal.name] for goal in goals], 0)
    kept = np.flatnonzero(solvable)[:count]
    if len(kept) < MIN_PROMPTS:
        raise UsageError(f"{scenario.name}: only {len(kept)} prompts to test {split} on")
    return drawn.take(kept)


def _achieved(
    scenario: Scenario, name: str, prompts: Prompts, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    events = scenario.events(converse(scenario, Script(scenario, name), prompts, rng))
    return {goal: steps >= 0 for goal, steps in events.items()}


def _hashes(prompts: Prompts) -> UInt64[np.ndarray, " n"]:
    """Hash each prompt and all that is known of it to 64 bits."""
    facts = [np.asarray(prompts.facts[name]).reshape(len(prompts), -1) for name in sorted(prompts.facts)]
    table = np.concatenate([prompts.tokens, *facts], 1).astype(np.float64)
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in table]
    return np.frombuffer(b"".join(digests), np.uint64)


def _appraise(scenario: Scenario, prompts: Prompts, rng: np.random.Generator) -> Split:
    played = [
        goal_steps(scenario, converse(scenario, Script(scenario, goal.name), prompts, rng))
        for goal in scenario.goals
    ]
    best = [steps[:, g] >= 0 for g, steps in enumerate(played)]
    shown = np.stack([outcome_shares(steps[None])[:, :-1] for steps in played], 1)
    walks = np.stack(
        [
            goal_steps(scenario, converse(scenario, Script(scenario, RANDOM), prompts, rng))
            for _ in range(_RANDOM_REPLIES)
        ]
    )
    outcomes = outcome_shares(walks)
    first, both = outcomes[:, : len(scenario.goals)], outcomes[:, BOTH]
    optimum, reached = np.stack(best, -1).astype(np.float32), (walks >= 0).mean(0)
    return Split(prompts, _hashes(prompts), optimum, reached, reached, first, both, shown=shown)


def goal_steps(scenario: Scenario, dialogue: Dialogue) -> np.ndarray:
    """Give the turn of each goal's event [dialogues, goals]; -1: never.

    From the first turn on that is not of the language, nothing is achieved.
    """
    events = scenario.events(dialogue)
    steps = np.stack([events[goal.name] for goal in scenario.goals], -1)
    return np.where(steps < scenario.parsable_turns(dialogue)[:, None], steps, -1)


def episodes_of(scenario: Scenario, dialogue: Dialogue) -> Episodes:
    """Judge dialogues: what each earned, and when each goal's event happened, a row a dialogue."""
    steps = goal_steps(scenario, dialogue)
    about = {
        "length": dialogue.length.astype(np.int32),
        "terminated": np.ones(len(steps), bool),
        "unparsable": (~scenario.is_parsable(dialogue)).astype(np.float32),
    }
    extras = {extra: np.asarray(values) for extra, values in scenario.extras(dialogue).items()}
    return Episodes((steps >= 0).astype(np.float32), steps, about, extras)


def rows_of(
    scenario: Scenario,
    split: Split,
    name: str,
    dialogue: Dialogue,
    seeds: tuple[int, ...],
    env_steps: int,
) -> Table:
    """Make the columns of outcomes.parquet out of the dialogues of one split (seeds x prompts)."""
    return rows(scenario, split, name, episodes_of(scenario, dialogue), seeds, env_steps)


def transcripts(
    scenario: Scenario, dialogues: dict[str, Dialogue], seeds: tuple[int, ...], count: int = 12
) -> list[dict[str, Any]]:
    """Give some dialogues of each split in words, by turns of the seeds, for the report."""
    found = []
    for split, dialogue in dialogues.items():
        names = outcome_names(tuple(goal.name for goal in scenario.goals))
        outcomes = first_outcome(goal_steps(scenario, dialogue))
        num_prompts = len(dialogue.prompts) // len(seeds)
        for number in range(min(count, num_prompts)):
            seed = number % len(seeds)
            row = seed * num_prompts + number
            about = {"seed": seeds[seed], "split": split, "first": names[outcomes[row]]}
            found.append(about | spoken(scenario, dialogue, row))
    return found


def spoken(scenario: Scenario, dialogue: Dialogue, row: int) -> dict[str, Any]:
    """Put one dialogue in words: its prompt, and who said what."""
    turns = []
    for turn in range(dialogue.length[row]):
        turns.append({"who": "model", "text": scenario.text(dialogue.said[row, turn])})
        if dialogue.heard[row, turn].any():
            turns.append({"who": "user", "text": scenario.text(dialogue.heard[row, turn])})
    return {"prompt": scenario.text(dialogue.prompts.tokens[row]), "turns": turns}
