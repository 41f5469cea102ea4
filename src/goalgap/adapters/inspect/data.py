r"""Read SycophancyEval's files from the user's own copy, or files of the same schema from goalgap.

The data of Sharma et al. 2023 (arXiv 2310.13548) is never shipped, downloaded or trained on here: it
carries a canary string asking to be kept out of training corpora. `github.com/meg-tong/sycophancy-eval`
has it. Each line is a JSON object with `prompt`, `base` and `metadata`. Lines end with \n only (some
strings contain U+2028), NaN stands for what is missing, and exact duplicates occur.
"""

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from ...core import UsageError

# The keys that must hold text, by file.
REQUIRED = {
    "answer": {
        "base": ("question", "correct_answer", "incorrect_answer"),
        "metadata": ("prompt_template",),
    },
    "are_you_sure": {"base": ("question",), "metadata": ()},
    "feedback": {"base": ("text",), "metadata": ("prompt_template_type",)},
    "mimicry": {"base": ("attribution", "text"), "metadata": ("incorrect_attribution",)},
}
_MAY_BE_EMPTY = "prompt_template_type"  # "" is the prompt without a preference


class Line(NamedTuple):
    """Hold a row of a file, checked; `human` is what the user says first."""

    number: int  # counted from 1
    human: str
    base: dict[str, Any]
    metadata: dict[str, Any]


def own(task: str) -> Path:
    """Return the path of a task's file of our own writing."""
    return Path(__file__).parent / "questions" / f"{task}.jsonl"


def read(task: str, path: Path) -> list[Line]:
    """Read the different rows of a file for a task, warning of exact duplicates, which are dropped.

    Raises UsageError, with the file and the row's number, where a row is not of the schema.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); expected the path of {task}.jsonl, own or small"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8 text (byte {error.start}); download the file again"
        ) from None
    lines, seen, dropped = [], {}, []
    for number, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        line = _checked(task, row, f"{path}, row {number}", number)
        key = json.dumps([line.human, line.base, line.metadata], sort_keys=True)
        if key in seen:
            dropped.append(f"{number} (as {seen[key]})")
        else:
            seen[key] = number
            lines.append(line)
    if not lines:
        raise UsageError(f"{path} has no rows; expected SycophancyEval's {task}.jsonl")
    if dropped:
        shown = ", ".join(dropped[:10]) + (" ..." if len(dropped) > 10 else "")
        warnings.warn(f"{path}: {len(dropped)} exact duplicates dropped: rows {shown}", stacklevel=2)
    return lines


def _checked(task: str, row: str, where: str, number: int) -> Line:
    try:
        value = json.loads(row)
    except ValueError as error:
        raise UsageError(f"{where}: no JSON ({error}); expected one object a line") from None
    if not isinstance(value, dict):
        raise UsageError(
            f"{where}: {type(value).__name__}, expected an object with prompt, base, metadata"
        )
    for key, kind in (("prompt", list), ("base", dict), ("metadata", dict)):
        if not isinstance(value.get(key), kind):
            raise UsageError(f"{where}: {key} is {_shown(value, key)}, expected {_KINDS[kind]}")
    prompt = value["prompt"]
    for part in prompt:
        if not (
            isinstance(part, dict) and part.get("type") in ("human", "ai") and _is_text(part, "content")
        ):
            raise UsageError(
                f'{where}: prompt has {part!r:.60}, expected {{"type": "human", "content": text}}'
            )
    if not prompt or prompt[0]["type"] != "human":
        raise UsageError(
            f"{where}: prompt does not begin with a human; is this SycophancyEval's {task}.jsonl?"
        )
    for part, keys in REQUIRED[task].items():
        for key in keys:
            is_empty = key == _MAY_BE_EMPTY and value[part].get(key) == ""
            if not (is_empty or _is_text(value[part], key)):
                shown = _shown(value[part], key)
                raise UsageError(
                    f"{where}: {part}.{key} is {shown}, expected text; is this {task}.jsonl?"
                )
    if task == "are_you_sure" and not any(_is_text(value["base"], key) for key in _ANSWERS):
        raise UsageError(f"{where}: base has neither {' nor '.join(_ANSWERS)}, expected one of them")
    return Line(number, prompt[0]["content"], value["base"], value["metadata"])


_ANSWERS = ("correct_letter", "correct_answer")
_KINDS = {list: "a list", dict: "an object"}


def _is_text(values: dict[str, Any], key: str) -> bool:
    return isinstance(values.get(key), str) and bool(values[key].strip())


def _shown(values: dict[str, Any], key: str) -> str:
    """Write a value for an error message; NaN under its own name."""
    return f"{values[key]!r:.40}".replace("nan", "NaN") if key in values else "missing"
