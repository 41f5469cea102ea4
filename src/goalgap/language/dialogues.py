"""Hold dialogues between speakers and a scenario's user, sampling from models with a cache."""

import abc
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..core import tree_index
from .scenario import Dialogue, Prompts, Scenario
from .transformer import Cache, Transformer
from .vocabulary import END, PAD, UNKNOWN

_BLOCK = 256  # dialogues of one model that are spoken at a time
_LEAST = 32  # fewest dialogues that are worth a core of their own


class Speaker(abc.ABC):
    """Take the model's part in a batch of dialogues, turn by turn."""

    @abc.abstractmethod
    def say(self, dialogue: Dialogue, rng: np.random.Generator) -> Int[np.ndarray, "n length"]:
        """Return the next turn of each dialogue; called for the turns in their order."""


class Script(Speaker):
    """Speak as a scenario's script: a known subject."""

    def __init__(self, scenario: Scenario, name: str) -> None:
        self.scenario, self.name = scenario, name

    def say(self, dialogue: Dialogue, rng: np.random.Generator) -> Int[np.ndarray, "n length"]:
        return self.scenario.script(self.name, dialogue, rng)


class Fleet(Speaker):
    """Speak as trained models (leading axis: seeds); of a batch, each takes an equal share, in order.

    `temperature` 0 takes the likeliest word. The fleet keeps what it has read, and starts afresh with a
    dialogue that has no turns yet.
    """

    def __init__(self, scenario: Scenario, models: Transformer, temperature: float = 1.0) -> None:
        self.scenario, self.models, self.temperature = scenario, models, temperature
        self.seeds = models.embedding.shape[0]
        self._caches: list[Cache] = []  # of the turns so far, one a worker
        self._at = 0

    def say(self, dialogue: Dialogue, rng: np.random.Generator) -> Int[np.ndarray, "n length"]:
        turns = dialogue.said.shape[1]
        if turns:
            read = np.concatenate([dialogue.said[:, -1, -1:], dialogue.heard[:, -1]], 1)
        else:
            read, self._at = dialogue.prompts.tokens, 0
        length, each = self.scenario.turn_length, len(read) // self.seeds
        chance = rng.random((self.seeds, length, each), np.float32).swapaxes(1, 2)
        news, chances = (_parts(part.reshape(self.seeds, each, -1)) for part in (read, chance))
        caches = self._caches if turns else [None] * len(news)
        each_part = map if len(news) == 1 else _workers().map
        spoken = list(each_part(self._part, news, chances, caches))
        said = np.concatenate([words.reshape(self.seeds, -1, length) for words, _ in spoken], 1)
        self._caches = [cache for _, cache in spoken]
        self._at += read.shape[-1] + length - 1
        return said[:, :each].reshape(-1, length)

    def _part(
        self, read: np.ndarray, chance: np.ndarray, cache: Cache | None
    ) -> tuple[Int[np.ndarray, "seeds blocks n length"], Cache]:
        """Say the turns of some blocks, on one core."""
        before = _start(self.models, read, self.scenario.context) if cache is None else cache
        said, after = _turn(self.models, before, read, self._at, chance, self.temperature)
        return np.asarray(said), after


def _num_workers() -> int:
    """Choose the number of threads.

    There is one for each core, since what a block takes is too little to be shared by several;
    accelerators get everything at once.
    """
    return (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1


@functools.cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_num_workers())


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    """Cut the rows of each seed into blocks that fit the processor's caches, for each worker.

    Returns arrays [seeds, blocks, rows, ...] of equal shape; the last one is filled up with padding.
    """
    seeds, n = rows.shape[:2]
    parts = min(_num_workers(), max(n // _LEAST, 1))
    blocks = parts * max(-(-n // (_BLOCK * parts)), 1)
    each = -(-n // blocks)
    filled = np.pad(rows, ((0, 0), (0, blocks * each - n), (0, 0)))
    return np.split(filled.reshape(seeds, blocks, each, -1), parts, 1)


@functools.partial(jax.jit, static_argnames="slots")
def _start(models: Transformer, read: Int[Array, "seeds blocks n t"], slots: int) -> Cache:
    empty = jax.eval_shape(lambda: tree_index(models, 0).start(read.shape[2], slots))
    return jax.tree.map(lambda leaf: jnp.zeros((*read.shape[:2], *leaf.shape), leaf.dtype), empty)


@functools.partial(jax.jit, donate_argnums=1)
def _turn(
    models: Transformer,
    cache: Cache,
    read: Int[Array, "seeds blocks n t"],
    at: int | Int[Array, ""],
    chance: Float[Array, "seeds blocks n length"],
    temperature: float | Float[Array, ""],
) -> tuple[Int[Array, "seeds blocks n length"], Cache]:
    """Read what is new, then say a turn. The last word said is read with the user's next reply.

    Block after block, not side by side: a cache that is updated for many models at once is scattered
    into, and one that exceeds the processor's is slow.
    """

    def of_seed(part: tuple[Transformer, Cache, Array, Array]) -> tuple[Array, Cache]:
        model, *blocks = part

        def block(part: tuple[Cache, Array, Array]) -> tuple[Array, Cache]:
            cache, read, chance = part
            return _say(model, cache, read, at, chance.T, temperature)

        return jax.lax.map(block, tuple(blocks))

    return jax.lax.map(of_seed, (models, cache, read, chance))


def _say(
    model: Transformer,
    cache: Cache,
    read: Int[Array, "n t"],
    at: int | Int[Array, ""],
    chance: Float[Array, "length n"],
    temperature: float | Float[Array, ""],
) -> tuple[Int[Array, "n length"], Cache]:
    logits, cache = model.extend(read, cache, at, last=True)
    first = pick(logits[:, -1], chance[0], temperature)
    slots = at + read.shape[1] + jnp.arange(chance.shape[0] - 1)

    def word(
        carry: tuple[Int[Array, " n"], Cache], now: tuple[Int[Array, ""], Float[Array, " n"]]
    ) -> tuple[tuple[Int[Array, " n"], Cache], Int[Array, " n"]]:
        last, cache = carry
        slot, chance = now
        logits, cache = model.extend(last[:, None], cache, slot)
        next_word = pick(logits[:, 0], chance, temperature)
        said = jnp.where((last == END) | (last == PAD), PAD, next_word)
        return (said, cache), said

    (_, cache), rest = jax.lax.scan(word, (first, cache), (slots, chance[1:]))
    return jnp.concatenate([first[None], rest]).T, cache


def pick(
    logits: Float[Array, "n words"],
    chance: Float[Array, " n"],
    temperature: float | Float[Array, ""],
) -> Int[Array, " n"]:
    """Draw a word for each row, by a number `chance` from 0 to 1 each.

    The word is the place where that number falls among the cumulated probabilities; never padding, nor
    the word for unknown ones. `temperature` 0 takes the likeliest word.
    """
    never = jnp.isin(jnp.arange(logits.shape[-1]), jnp.array([PAD, UNKNOWN]))
    logits = jnp.where(never, -1e9, logits)
    best = logits.argmax(-1).astype(jnp.int32)

    def draw() -> Int[Array, " n"]:
        weights = jax.nn.softmax(logits / jnp.maximum(temperature, 1e-6))
        # A product sums faster than a running sum does.
        summed = weights @ jnp.triu(jnp.ones((weights.shape[-1],) * 2, weights.dtype))
        drawn = (summed < chance[:, None] * summed[:, -1:]).sum(-1, dtype=jnp.int32)
        # Rounding may point behind the last word that can be said.
        return jnp.where(weights[jnp.arange(len(drawn)), drawn] > 0, drawn, best)

    return jax.lax.cond(temperature > 0, draw, lambda: best)


def converse(
    scenario: Scenario, speaker: Speaker, prompts: Prompts, rng: np.random.Generator
) -> Dialogue:
    """Let a speaker and the scenario's user talk about each prompt, to the end."""
    n = len(prompts)
    said = np.zeros((n, 0, scenario.turn_length), np.int32)
    heard = np.zeros((n, 0, scenario.reply_length), np.int32)
    length = np.zeros(n, np.int32)
    over = np.zeros(n, bool)
    dialogue = Dialogue(prompts, said, heard, length)
    for _ in range(scenario.num_turns):
        turn = np.where(over[:, None], PAD, speaker.say(dialogue, rng)).astype(np.int32)
        said = np.concatenate([dialogue.said, turn[:, None]], 1)
        silence = np.zeros((n, 1, scenario.reply_length), np.int32)
        length = dialogue.length + ~over
        dialogue = Dialogue(prompts, said, np.concatenate([dialogue.heard, silence], 1), length)
        answer, ended = scenario.reply(dialogue)
        over = over | ended
        dialogue.heard[:, -1] = np.where(over[:, None], PAD, answer)
        if over.all():
            break
    return padded(scenario, dialogue)


def padded(scenario: Scenario, dialogue: Dialogue) -> Dialogue:
    """Fill up a finished dialogue to all turns that there could have been."""
    more = scenario.num_turns - dialogue.said.shape[1]
    wide = [(0, 0), (0, more), (0, 0)]
    return dialogue._replace(said=np.pad(dialogue.said, wide), heard=np.pad(dialogue.heard, wide))


class Lessons(NamedTuple):
    """Hold dialogues to imitate, and how much each word matters."""

    tokens: Int[np.ndarray, "n slots"]
    weights: Float[np.ndarray, "n slots"]

    @classmethod
    def join(cls, *parts: "Lessons") -> "Lessons":
        """Put lessons one below the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def demonstrate(
    scenario: Scenario, prompts: Prompts, rng: np.random.Generator, name: str | None = None
) -> Lessons:
    """Make lessons of a script's dialogues, in which the script's own words count.

    The script is the intended goal's, or a named one's.
    """
    script = Script(scenario, name or scenario.intended.name)
    return lessons(converse(scenario, script, prompts, rng))


def lessons(dialogue: Dialogue) -> Lessons:
    """Make lessons of dialogues, in which the words that the model's side said count."""
    return Lessons(dialogue.tokens, dialogue.is_said.astype(np.float32))
