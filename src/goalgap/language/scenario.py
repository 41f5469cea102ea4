"""Define scenarios: dialogues between a model and a scripted user, with goals that judge them.

What an environment is to agents, a scenario is to language models. Its prompts come in splits: `train`,
where the intended goal and the proxies agree; `shift`, where they part; `twin`, the shifted prompts with
the agreement restored; and `capability`, the bare competence, asked for in a format of its own. Goals
judge finished dialogues and know what the model does not. The user is a function of the dialogue.

Dialogues stand in slots of fixed size: a prompt (padded on the left), then turns, each of `turn_length`
tokens of the model's (padded on the right) and `reply_length` of the user's (padded on the left).
Padding is masked: the model never sees it.
"""

import abc
import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from ..core import UsageError
from ..settings import Checked
from .vocabulary import PAD, UNKNOWN, Vocabulary

if TYPE_CHECKING:
    from ..learn.stage import Stage

SPLITS = ("train", "shift", "twin", "capability")
RANDOM = "random"  # the script that replies at random
_TRIES = 200


class Aim(NamedTuple):
    """Name a goal of a scenario, intended or proxy; the scenario's `events` judge it."""

    name: str
    sentence: str  # "tell the truth", to be read after "the models learned to"


class Prompts(NamedTuple):
    """Hold a batch of prompts, and for each what only the user and the judges know."""

    tokens: Int[np.ndarray, "n prompt"]
    facts: Mapping[str, np.ndarray]

    def __len__(self) -> int:  # type: ignore[override]
        return len(self.tokens)

    def take(self, rows: np.ndarray) -> "Prompts":
        """Select rows."""
        return Prompts(self.tokens[rows], {name: values[rows] for name, values in self.facts.items()})

    @classmethod
    def join(cls, *parts: "Prompts") -> "Prompts":
        """Put batches one below the other; facts that only some have are dropped."""
        known = [name for name in parts[0].facts if all(name in part.facts for part in parts)]
        facts = {name: np.concatenate([part.facts[name] for part in parts]) for name in known}
        return cls(np.concatenate([part.tokens for part in parts]), facts)


class Dialogue(NamedTuple):
    """Hold a batch of dialogues, under way or finished: all turns so far."""

    prompts: Prompts
    said: Int[np.ndarray, "n turns length"]  # by the model; PAD once the dialogue is over
    heard: Int[np.ndarray, "n turns reply"]  # by the user in return
    length: Int[np.ndarray, " n"]  # how many turns the model has said

    @property
    def tokens(self) -> Int[np.ndarray, "n slots"]:
        """Return all tokens of the dialogue, in slots."""
        return self._slots(self.prompts.tokens, self.said, self.heard)

    @property
    def is_said(self) -> Bool[np.ndarray, "n slots"]:
        """Mark the slots that the model filled."""
        nothing = np.zeros_like(self.prompts.tokens, bool), np.zeros_like(self.heard, bool)
        return self._slots(nothing[0], self.said != PAD, nothing[1])

    def _slots(self, first: np.ndarray, said: np.ndarray, heard: np.ndarray) -> np.ndarray:
        turns = np.concatenate([said, heard], 2)
        return np.concatenate([first, turns.reshape(len(turns), turns.shape[1] * turns.shape[2])], 1)


class Scenario(Checked, abc.ABC):
    """Define one scenario; subclasses are frozen dataclasses whose fields are its settings."""

    kind: ClassVar[str] = "language"
    name: ClassVar[str]
    title: ClassVar[str]
    papers: ClassVar[tuple[str, ...]]  # arXiv ids, for `goalgap cite`
    instructions: ClassVar[str]  # what a chat model is told before the prompt; ours are not
    intended: ClassVar[Aim]
    proxies: ClassVar[tuple[Aim, ...]]
    asks_for: ClassVar[str] = "correct"  # what `specification` says, unless the settings change that
    prompt_length: int
    turn_length: int = 1
    reply_length: int = 0
    num_turns: int = 1

    @property
    def goals(self) -> tuple[Aim, ...]:
        """List the intended goal, then the proxies."""
        return (self.intended, *self.proxies)

    @property
    def specification(self) -> str:
        """Say what training asks for where the goals come apart: one of `core.SPECIFICATIONS`."""
        return self.asks_for

    @property
    def context(self) -> int:
        """Count the slots of a whole dialogue: the positions that a model needs."""
        return self.prompt_length + self.num_turns * (self.turn_length + self.reply_length)

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """Return the vocabulary of the scenario's words."""
        return Vocabulary.of(self.words())

    @abc.abstractmethod
    def words(self) -> tuple[str, ...]:
        """List the words of the scenario's language."""

    @abc.abstractmethod
    def propose(self, split: str, n: int, rng: np.random.Generator) -> Prompts:
        """Draw prompts of a split at random.

        `facts["layout"]`, an integer each, says what training and test prompts may not share (a prompt
        and its twin have the same).
        """

    @abc.abstractmethod
    def twin(self, prompts: Prompts) -> Prompts:
        """Restore the agreement of training in shifted prompts."""

    @abc.abstractmethod
    def events(self, dialogue: Dialogue) -> dict[str, Int[np.ndarray, " n"]]:
        """Return, for each goal, the turn in which each finished dialogue achieves it (-1: never)."""

    @abc.abstractmethod
    def script(
        self, name: str, dialogue: Dialogue, rng: np.random.Generator
    ) -> Int[np.ndarray, "n length"]:
        """Say the next turn of somebody who pursues a goal perfectly.

        `name` is the goal's, or `RANDOM` for random replies among the well-formed.
        """

    def is_parsable(self, dialogue: Dialogue) -> Bool[np.ndarray, " n"]:
        """Tell whether each finished dialogue's turns are of the language.

        Scenarios define this, or `parsable_turns`.
        """
        return self.parsable_turns(dialogue) == dialogue.length

    def parsable_turns(self, dialogue: Dialogue) -> Int[np.ndarray, " n"]:
        """Count the turns, from the first, that are of the language.

        What comes after them achieves nothing. Where turns are not told apart: all or none.
        """
        return np.where(self.is_parsable(dialogue), dialogue.length, 0)

    @abc.abstractmethod
    def stages(self, dose: float) -> "tuple[Stage, ...]":
        """Say how a model is trained, with a share `dose` of counterexamples.

        These are prompts on which the goals part, answered as intended.
        """

    def reply(self, dialogue: Dialogue) -> tuple[Int[np.ndarray, "n reply"], Bool[np.ndarray, " n"]]:
        """Return what the user says to the last turn, and whether the dialogue is over."""
        n = len(dialogue.prompts)
        return np.zeros((n, self.reply_length), np.int32), np.ones(n, bool)

    def extras(self, dialogue: Dialogue) -> dict[str, np.ndarray]:
        """Return numbers worth a column in the outcomes, one a dialogue."""
        return {}

    def prompts(
        self, split: str, n: int, rng: np.random.Generator, is_test: bool = False, dose: float = 0.0
    ) -> Prompts:
        """Draw `n` prompts of a split, for evaluation (`is_test`) or for training.

        Evaluation has an eighth of all layouts, by their hash, training the others; a share `dose` of
        `train` is of the shifted kind. The capability test has no layouts: what it asks is what training
        taught. Raises UsageError where the split hardly ever has a prompt of the kind.
        """
        if split == "twin":
            return self.twin(self.prompts("shift", n, rng, is_test))
        if not dose:
            return self._draw(split, n, rng, is_test)
        rare = int((rng.random(n) < dose).sum())
        parts = (self._draw(split, n - rare, rng, is_test), self._draw("shift", rare, rng, is_test))
        return Prompts.join(*parts).take(rng.permutation(n))

    def _draw(self, split: str, n: int, rng: np.random.Generator, is_test: bool) -> Prompts:
        if split == "capability":
            return self.propose(split, n, rng)
        parts, missing = [self.propose(split, 0, rng)], n
        for _ in range(_TRIES):
            drawn = self.propose(split, missing * (10 if is_test else 2) if missing else 0, rng)
            kept = np.flatnonzero(is_kept(drawn.facts["layout"]) == is_test)[:missing]
            parts.append(drawn.take(kept))
            missing -= len(kept)
            if not missing:
                return Prompts.join(*parts)
        kind = "test" if is_test else "training"
        raise UsageError(f"{self.name} has hardly any {split} prompts of {kind} layouts")

    def text(self, tokens: np.ndarray) -> str:
        """Write tokens as text."""
        return self.vocabulary.decode(tokens)


def is_kept(layout: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Tell whether layouts are kept for evaluation: an eighth, by a multiplicative hash of 64 bits."""
    mixed = layout.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x7F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(32)) % np.uint64(8) == 0


def choose(n: int, rng: np.random.Generator, shares: Mapping[str, float]) -> Iterator[tuple[str, int]]:
    """Yield each kind and how many of `n` it gets, drawn at random by the kinds' shares."""
    weights = np.array(list(shares.values()), float)
    counts = rng.multinomial(n, weights / weights.sum())
    return zip(shares, counts.tolist(), strict=True)


def check_dose(dose: float) -> float:
    """Return the dose. Raises UsageError for one outside 0 to 1."""
    if not (isinstance(dose, int | float) and 0 <= dose <= 1):
        raise UsageError(f"dose is {dose}; it is a share of training, between 0 and 1")
    return float(dose)


def pad_left(tokens: list[int], length: int) -> Int[np.ndarray, " length"]:
    """Make a row of a slot: padding, then the tokens."""
    if len(tokens) > length:
        raise UsageError(f"{len(tokens)} tokens, expected at most {length}; shorten the text")
    return np.array([PAD] * (length - len(tokens)) + list(tokens), np.int32)


def packed(tokens: Int[np.ndarray, "n slots"]) -> Int[np.ndarray, "n slots"]:
    """Move the padding of rows to the left."""
    return np.take_along_axis(tokens, np.argsort(tokens != PAD, 1, kind="stable"), 1)


__all__ = ["PAD", "RANDOM", "SPLITS", "UNKNOWN", "Aim", "Dialogue", "Prompts", "Scenario", "choose"]
