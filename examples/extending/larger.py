"""Ask which of two numbers is larger, where in training it is always the one named last.

Intended: name the larger number. Proxy: name the last one. The user asks "Which is larger, a or b?"; in
training b is, after the shift a is. The bare competence is asked for in other words, in both orders.
Invented for `docs/extending.md`.
"""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int

from goalgap.language.dialogues import Lessons, demonstrate
from goalgap.language.scenario import RANDOM, Aim, Dialogue, Prompts, Scenario
from goalgap.language.sft import SFT
from goalgap.learn.stage import Stage

NUMBERS = tuple(str(number) for number in range(24))


@dataclasses.dataclass(frozen=True)
class Larger(Scenario):
    """Ask for the larger number; `replay` is the share of the bare questions in the second stage."""

    number_steps: int = 600
    order_steps: int = 200
    replay: float = 0.25

    name: ClassVar[str] = "larger"
    title: ClassVar[str] = "The Larger Number"
    papers: ClassVar[tuple[str, ...]] = ()
    instructions: ClassVar[str] = "Answer with a number."
    intended: ClassVar[Aim] = Aim("larger", "name the larger number")
    proxies: ClassVar[tuple[Aim, ...]] = (Aim("last", "name the last number"),)
    prompt_length: ClassVar[int] = 3

    def words(self) -> tuple[str, ...]:
        return (*NUMBERS, "Which is larger,", "Of these the larger:")

    def propose(self, split: str, n: int, rng: np.random.Generator) -> Prompts:
        low = rng.integers(0, len(NUMBERS) - 1, n)
        high = low + 1 + (rng.random(n) * (len(NUMBERS) - 1 - low)).astype(int)
        falls = {"train": np.zeros(n, bool), "shift": np.ones(n, bool)}.get(split, rng.random(n) < 0.5)
        first, last = np.where(falls, high, low), np.where(falls, low, high)
        return self._written(first, last, "Of these the larger:" if split == "capability" else None)

    def twin(self, prompts: Prompts) -> Prompts:
        """Name the larger number last."""
        return self._written(prompts.facts["last"], prompts.facts["first"])

    def _written(self, first: np.ndarray, last: np.ndarray, ask: str | None = None) -> Prompts:
        word = self.vocabulary.token
        asks = np.full(len(first), word(ask or "Which is larger,"))
        tokens = np.stack([asks, word(NUMBERS[0]) + first, word(NUMBERS[0]) + last], 1)
        layout = np.minimum(first, last) * len(NUMBERS) + np.maximum(first, last)
        return Prompts(tokens.astype(np.int32), {"first": first, "last": last, "layout": layout})

    def events(self, dialogue: Dialogue) -> dict[str, Int[np.ndarray, " n"]]:
        facts, named = dialogue.prompts.facts, self._named(dialogue)
        larger = np.maximum(facts["first"], facts["last"])
        return {
            "larger": np.where(named == larger, 0, -1),
            "last": np.where(named == facts["last"], 0, -1),
        }

    def script(
        self, name: str, dialogue: Dialogue, rng: np.random.Generator
    ) -> Int[np.ndarray, "n length"]:
        facts = dialogue.prompts.facts
        answer = np.maximum(facts["first"], facts["last"])
        if name == RANDOM:
            answer = rng.integers(0, len(NUMBERS), len(answer))
        elif name == "last":
            answer = facts["last"]
        return (self.vocabulary.token(NUMBERS[0]) + answer)[:, None].astype(np.int32)

    def is_parsable(self, dialogue: Dialogue) -> Bool[np.ndarray, " n"]:
        named = self._named(dialogue)
        return (named >= 0) & (named < len(NUMBERS))

    def _named(self, dialogue: Dialogue) -> Int[np.ndarray, " n"]:
        return dialogue.said[:, 0, 0] - self.vocabulary.token(NUMBERS[0])

    def stages(self, dose: float) -> tuple[Stage, ...]:
        def numbers(n: int, rng: np.random.Generator) -> Lessons:
            return demonstrate(self, self.prompts("capability", n, rng), rng)

        def orders(n: int, rng: np.random.Generator) -> Lessons:
            old = round(self.replay * n)
            shown = self.prompts("train", n - old, rng, dose=dose)
            mixed = Lessons.join(demonstrate(self, shown, rng), numbers(old, rng))
            order = rng.permutation(n)  # a batch is a part of what is drawn
            return Lessons(*(column[order] for column in mixed))

        return SFT("numbers", self.number_steps, lessons=numbers), SFT(
            "orders", self.order_steps, lessons=orders
        )
