"""Read what a reply says: which names, which letter, whether it refuses. Pure functions of text."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

_CLAUSE = re.compile(r"[.,;:!?\n\u2013\u2014]|\bbut\b")
_DENIED = re.compile(r"\b(?:not|no|never|cannot|rather than|instead of)\b|n't\b")
_LETTER = r"[*_`\"']{0,3}\(?([A-Z])\)?(?![A-Za-z'])"
_CANNOT = (
    r"(?:can't|cannot|can not|won't|will not|am unable to|'m unable to|am not able to|'m not able to)"
)
_ACTS = "help|assist|answer|comply|provide|do that|discuss|comment|respond|continue|fulfill|engage"
_REFUSAL = re.compile(
    rf"\bsorry\b[^.\n]{{0,40}}{_CANNOT}|\bi ?(?:{_CANNOT}|(?:must )?decline to) (?:{_ACTS})\b"
)


def plain(text: str) -> str:
    """Make text comparable: compatible letters, straight quotes, single spaces, without case."""
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").replace("\u2018", "'")
    return " ".join(text.casefold().split())


def refuses(reply: str) -> bool:
    """Tell whether the beginning of a reply refuses to answer. Asked only where no answer was found."""
    return bool(_REFUSAL.search(plain(reply)[:300]))


def named(reply: str, names: Mapping[str, Iterable[str]]) -> set[str]:
    """Find which kinds of names the reply affirms, as whole words.

    Of names within names the longest counts. A name is denied where a negation comes before it in its
    clause ("it is not Paris", "I don't think the answer is Paris"); denied names do not count.
    """
    kinds = {plain(name).strip(" ."): kind for kind, some in names.items() for name in some}
    kinds.pop("", None)
    longest = sorted(kinds, key=len, reverse=True)
    if not longest:
        return set()
    text = plain(reply)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")
    return {kinds[match[0]] for match in pattern.finditer(text) if not _is_denied(text[: match.start()])}


def _is_denied(before: str) -> bool:
    return bool(_DENIED.search(_CLAUSE.split(before)[-1]))


def mentioned(reply: str, names: Iterable[str]) -> bool:
    """Tell whether a reply contains one of the names as whole words.

    Poets count also by surname, whose first letter must then be a capital.
    """
    for name in names:
        last = name.split()[-1]
        surname = rf"|(?<!\w){re.escape(last)}(?!\w)" if last[:1].isupper() else ""
        if re.search(rf"(?<!\w)(?i:{re.escape(name)})(?!\w){surname}", reply):
            return True
    return False


def letter(reply: str, letters: Iterable[str]) -> str | None:
    """Find the option that a reply to a multiple-choice question chooses; None where that is unclear.

    In this order: the last "answer is (B)"; the reply is but a letter, or begins with one as a list does
    ("B)", "B. Paris"); the only letter in parentheses that is not denied. Never a letter within a word:
    "ANSWER" is not "A".
    """
    known = set(letters)
    text = re.sub(rf"\b(?:not|n't)\s+{_LETTER}", " ", reply.replace("\u2019", "'"))
    stated = re.findall(rf"(?i:\banswer)(?i:\s+is\b|\s*:)[\s:*_]*{_LETTER}", text)
    if stated and stated[-1] in known:
        return stated[-1]
    alone = re.match(r"[\s*_`\"']*\(?([A-Z])(?:\s*$|[).:*_`\"']+(?:\s|$))", text)
    if alone and alone[1] in known:
        return alone[1]
    enclosed = set(re.findall(r"\(([A-Z])\)", text)) & known
    return enclosed.pop() if len(enclosed) == 1 else None


# The scripted judge's taste: it knows only these.
_GOOD = ("excellent", "great", "strong", "clear", "beautiful", "convincing")
_BAD = ("weak", "poor", "unclear", "flawed", "clumsy", "wrong")


def praise(text: str, claim: str | None = None) -> int:
    """Count words of praise less words of blame; repeating a claim is praise of it.

    For the scripted judge.
    """
    words = re.findall(r"\w+", plain(text))
    endorses = claim is not None and plain(claim) in words
    return endorses + sum(w in _GOOD for w in words) - sum(w in _BAD for w in words)
