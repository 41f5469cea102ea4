"""Tokenize by words: a vocabulary is a tuple of words, and a word may be a phrase of several."""

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ..core import UsageError

PAD, END, UNKNOWN = 0, 1, 2  # nothing; the model's turn is over; no word of ours
SPECIAL = ("<pad>", "<end>", "<unknown>")


class Vocabulary(NamedTuple):
    """Hold the words of a scenario, the three special ones first.

    Text is cut into the longest words there are, so that a phrase that always stands together costs one
    token.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, words: Iterable[str]) -> "Vocabulary":
        """Make a vocabulary of words, each kept once.

        Raises UsageError where one is empty or unclean.
        """
        kept = tuple(dict.fromkeys(words))
        for word in kept:
            if word != " ".join(word.split()) or not word or word in SPECIAL:
                raise UsageError(f"{word!r} is no word; expected text without outer or double spaces")
        return cls((*SPECIAL, *kept))

    def __len__(self) -> int:
        return len(self.words)

    def token(self, word: str) -> int:
        """Look up the token of a word. Raises UsageError for a word that is not there."""
        try:
            return _lexicon(self)[folded(word)]
        except KeyError:
            raise UsageError(f"{word!r} is not in the vocabulary of {len(self)} words") from None

    def tokens(self, *words: str) -> Int[np.ndarray, " n"]:
        """Look up the tokens of words, one each."""
        return np.array([self.token(word) for word in words], np.int32)

    def encode(self, text: str) -> list[int]:
        """Turn a text into tokens, whatever its case and spaces.

        A piece that is no word of ours becomes the token `UNKNOWN`.
        """
        lexicon = _lexicon(self)
        return [lexicon.get(piece, UNKNOWN) for piece in _pattern(self).findall(folded(text))]

    def decode(self, tokens: Iterable[int] | Int[np.ndarray, " n"]) -> str:
        """Write tokens as text, without padding and ends."""
        return " ".join(self.words[int(token)] for token in tokens if token not in (PAD, END))


def folded(text: str) -> str:
    """Make text plain for looking it up: lower case, punctuation apart, single spaces."""
    return " ".join(re.sub(r"([.,;:!?])", r" \1 ", text.lower()).split())


@functools.lru_cache(maxsize=64)
def _lexicon(vocabulary: Vocabulary) -> dict[str, int]:
    return {folded(word): token for token, word in enumerate(vocabulary.words)}


@functools.lru_cache(maxsize=64)
def _pattern(vocabulary: Vocabulary) -> re.Pattern[str]:
    """Match words, the longest first, each between spaces; or else whatever stands between spaces."""
    words = sorted(map(folded, vocabulary.words[len(SPECIAL) :]), key=len, reverse=True)
    known = "|".join(re.escape(word) for word in words)
    return re.compile(rf"(?<!\S)(?:{known})(?!\S)|\S+")
