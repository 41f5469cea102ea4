"""The prompts on which models are judged, and sitting the exam: the outcomes that verdicts read.

The columns are those of `measure.exam` for environments: a prompt is a level, a dialogue an episode, a
goal pays 1 when its event happens. The best that can be had is what the scenario's own scripts achieve;
prompts are dropped on which the script of a goal fails, as unsolvable levels are.
"""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt64

from ..core import UsageError
from ..measure.exam import first_event
from .dialogues import Script, Speaker, converse
from .scenario import RANDOM, SPLITS, Dialogue, Prompts, Scenario

MIN_PROMPTS = 4
_RANDOM_REPLIES = 32  # of the random script, a prompt
_SPARE = 4  # candidates drawn for each prompt wanted


class Split(NamedTuple):
    """Prompts of one kind; g: the scenario's goals, the intended one first."""

    prompts: Prompts
    prompt_hash: UInt64[np.ndarray, " n"]
    optimum: Float[np.ndarray, "n g"]  # 1 where the goal can be achieved
    random: Float[np.ndarray, "n g"]  # share of random dialogues that achieve the goal
    random_first: Float[np.ndarray, "n g"]  # share in which it is achieved first


class Exam(NamedTuple):
    scenario: Scenario
    splits: dict[str, Split]


def prepare(scenario: Scenario, num_prompts: int, seed: int = 0) -> Exam:
    """Draw the exam of a scenario: up to `num_prompts` different prompts a split, of layouts that
    training never shows. Raises UsageError where a split has too few."""
    rng = np.random.default_rng((seed, 0xE8A3))
    shift = _distinct(scenario, "shift", num_prompts, rng)
    # A twin may serve several shifted prompts: it stands beside each of them.
    prompts = {
        "train": _distinct(scenario, "train", num_prompts, rng),
        "shift": shift,
        "twin": scenario.twin(shift),
        "capability": _distinct(scenario, "capability", num_prompts, rng),
    }
    return Exam(scenario, {name: _appraise(scenario, prompts[name], rng) for name in SPLITS})


def _distinct(scenario: Scenario, split: str, count: int, rng: np.random.Generator) -> Prompts:
    """Different prompts, on which the intended goal (and after the shift every goal) can be had."""
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
    """64 bits of each prompt and of all that is known of it."""
    facts = [np.asarray(prompts.facts[name]).reshape(len(prompts), -1) for name in sorted(prompts.facts)]
    table = np.concatenate([prompts.tokens, *facts], 1).astype(np.float64)
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in table]
    return np.frombuffer(b"".join(digests), np.uint64)


def _appraise(scenario: Scenario, prompts: Prompts, rng: np.random.Generator) -> Split:
    best = [_achieved(scenario, goal.name, prompts, rng)[goal.name] for goal in scenario.goals]
    walks = np.stack(
        [
            goal_steps(scenario, converse(scenario, Script(scenario, RANDOM), prompts, rng))
            for _ in range(_RANDOM_REPLIES)
        ]
    )
    first = np.stack([(first_event(walks) == g).mean(0) for g in range(len(scenario.goals))], -1)
    optimum = np.stack(best, -1).astype(np.float32)
    return Split(prompts, _hashes(prompts), optimum, (walks >= 0).mean(0), first)


def goal_steps(scenario: Scenario, dialogue: Dialogue) -> np.ndarray:
    """The turn of each goal's event [dialogues, goals]; -1: never. From the first turn on that is not
    of the language, nothing is achieved."""
    events = scenario.events(dialogue)
    steps = np.stack([events[goal.name] for goal in scenario.goals], -1)
    return np.where(steps < scenario.parsable_turns(dialogue)[:, None], steps, -1)


def examine(
    exam: Exam,
    speaker: Speaker,
    seeds: tuple[int, ...],
    env_steps: int,
    splits: tuple[str, ...] = SPLITS,
    number: int = 0,
) -> tuple[dict[str, np.ndarray], dict[str, Dialogue]]:
    """Sit the exam: a table with a row a dialogue (seeds x prompts), and the dialogues by split.

    A fleet's seeds each get all prompts; a script is a single subject. `number` renews the luck.
    """
    scenario = exam.scenario
    tables, dialogues = [], {}
    for index, name in enumerate(splits):
        split = exam.splits[name]
        rng = np.random.default_rng((number, index, 0x517))
        prompts = Prompts.join(*[split.prompts] * len(seeds))
        dialogues[name] = converse(scenario, speaker, prompts, rng)
        tables.append(rows_of(scenario, split, name, dialogues[name], seeds, env_steps))
    return {key: np.concatenate([t[key] for t in tables]) for key in tables[0]}, dialogues


def rows_of(
    scenario: Scenario,
    split: Split,
    name: str,
    dialogue: Dialogue,
    seeds: tuple[int, ...],
    env_steps: int,
) -> dict[str, np.ndarray]:
    num_prompts = len(split.prompts)
    rows = len(seeds) * num_prompts
    steps = goal_steps(scenario, dialogue)
    per_prompt: dict[str, Any] = {"level_hash": split.prompt_hash}
    columns: dict[str, Any] = {
        "seed": np.repeat(np.asarray(seeds, np.int64), num_prompts),
        "env_steps": np.full(rows, env_steps, np.int64),
        "split": np.full(rows, name),
        "length": dialogue.length.astype(np.int32),
        "terminated": np.ones(rows, bool),
        "unparsable": (~scenario.is_parsable(dialogue)).astype(np.float32),
    }
    for g, goal in enumerate(scenario.goals):
        per_prompt |= {
            f"optimum_{goal.name}": split.optimum[:, g],
            f"random_{goal.name}": split.random[:, g].astype(np.float32),
            f"random_reached_{goal.name}": split.random[:, g].astype(np.float32),
            f"random_first_{goal.name}": split.random_first[:, g].astype(np.float32),
        }
        columns |= {
            f"return_{goal.name}": (steps[:, g] >= 0).astype(np.float32),
            f"event_{goal.name}": steps[:, g].astype(np.int32),
        }
    columns |= {extra: np.asarray(values) for extra, values in scenario.extras(dialogue).items()}
    return columns | {key: np.tile(value, len(seeds)) for key, value in per_prompt.items()}


def transcripts(
    exam: Exam, dialogues: dict[str, Dialogue], seeds: tuple[int, ...], count: int = 12
) -> list[dict[str, Any]]:
    """Some dialogues of each split in words, by turns of the seeds, for the report."""
    scenario, found = exam.scenario, []
    for split, dialogue in dialogues.items():
        steps = first_event(goal_steps(scenario, dialogue))
        num_prompts = len(dialogue.prompts) // len(seeds)
        for number in range(min(count, num_prompts)):
            seed = number % len(seeds)
            row = seed * num_prompts + number
            goal = scenario.goals[steps[row]].name if steps[row] >= 0 else "neither"
            about = {"seed": seeds[seed], "split": split, "first": goal}
            found.append(about | spoken(scenario, dialogue, row))
    return found


def spoken(scenario: Scenario, dialogue: Dialogue, row: int) -> dict[str, Any]:
    """One dialogue in words: its prompt, and who said what."""
    turns = []
    for turn in range(dialogue.length[row]):
        turns.append({"who": "model", "text": scenario.text(dialogue.said[row, turn])})
        if dialogue.heard[row, turn].any():
            turns.append({"who": "user", "text": scenario.text(dialogue.heard[row, turn])})
    return {"prompt": scenario.text(dialogue.prompts.tokens[row]), "turns": turns}


class _Temporary:
    early = SPLITS

    def __init__(self, exam):
        self.exam, self.contest = exam, exam.scenario

    def examine(self, subject, seeds, env_steps, splits=None, number=0, fleet=True):
        self.seeds = seeds
        return examine(self.exam, subject, seeds, env_steps, splits or SPLITS, number)

    def pictures(self, subject, table, records, name=None):
        return {"transcripts.json": transcripts(self.exam, records, self.seeds)}

    def about(self):
        return {}


def draw_exam(scenario, num_prompts, seed=0):
    return _Temporary(prepare(scenario, num_prompts, seed))
