"""Understanding a verb's arguments: options by tyro, and every mistake in one line."""

import contextlib
import io
import re
from typing import Any, NamedTuple

from ..settings import unknown as unknown


class BadArguments(Exception):
    """Tell that what the user typed cannot be understood; the message is one line."""


class Call(NamedTuple):
    """Hold what a command line asks for: a verb's options, how it is called, and its arguments."""

    kind: Any  # a dataclass of options, with a method `call`
    verb: str
    argv: list[str]
    default: Any = None  # an instance of `kind`; None: its own defaults
    description: str | None = None  # in place of the docstring


def parse(call: Call) -> Any:
    """Parse the options of a verb by tyro. Raises BadArguments in one line for what tyro refuses."""
    import tyro

    given: dict[str, Any] = {} if call.default is None else {"default": call.default}
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                call.kind,
                prog=f"goalgap {call.verb}",
                args=call.argv,
                description=call.description,
                **given,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise BadArguments(f"{_one_line(said.getvalue())} (goalgap {call.verb} --help)") from None


def _one_line(box: str) -> str:
    """Read the message of one of tyro's boxes: its first part, and the nearest option it names."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    # Parts are set off by rules, of lines or of dashes; the title is a part or stands in the first rule.
    lines = [line.strip("│| ") for line in text.splitlines()]
    rules = [bool(re.match(r"[╭╰]|[─-]{8,}$", line)) for line in lines]
    if True not in rules:
        return "the arguments cannot be understood"
    lines, rules = lines[rules.index(True) + 1 :], rules[rules.index(True) + 1 :]
    end = rules.index(True) if True in rules else len(lines)
    message = " ".join(line for line in lines[:end] if line)
    message = re.sub(r"^Error parsing \w+: ", "", message)
    near = re.findall(r"(--[\w.-]+)", " ".join(lines[end + 1 :]).split("For full helptext")[0])
    if near and "nrecognized" in message:
        message += f"; did you mean {near[0]}?"
    return message
