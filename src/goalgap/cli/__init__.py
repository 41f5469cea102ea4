"""The command line: thin verbs over the laboratory.

`goalgap --help` prints a static table and imports nothing heavy; a verb's parser is built when it is
called. Standard output carries results only (one JSON document with --json); the rest goes to standard
error. Exit 0: done; 1: failed; 2: bad arguments, in one line.
"""

import contextlib
import errno
import importlib.metadata
import io
import os
import re
import sys
from typing import Any, NamedTuple

from ..settings import UsageError
from ..settings import unknown as unknown

VERBS = {
    "run": "train a fleet of seeds, measure before and after the shift, give the verdict, report",
    "analyze": "before training: which goals the levels leave open, which levels would close them",
    "measure": "judge a stored run, oracle:GOAL, random, or your own policy module:function",
    "forecast": "a published probability model of harm, its contradictions, your runs in it",
    "language": "language models: train the failure from nothing, or evaluate any model",
    "parity": "are our Procgen games the original's: recordings of it, or the engine live",
    "play": "play an environment yourself in the terminal",
    "study": "reproduce a claim: prediction, result, agreement",
    "open": "show a run's report in the browser",
    "list": "the runs, environments, layouts, networks and studies there are",
    "cite": "BibTeX of what a run used",
    "bench": "speed, beside a plain reference in the same run",
}


class BadArguments(Exception):
    """What the user typed cannot be understood; the message is one line."""


class Call(NamedTuple):
    """What a command line asks for: a verb's options, how it is called, and its arguments."""

    kind: Any  # a dataclass of options, with a method `call`
    verb: str
    argv: list[str]
    default: Any = None  # an instance of `kind`; None: its own defaults
    description: str | None = None  # in place of the docstring


def main(argv: list[str] | None = None) -> None:
    """Entry point of `goalgap`."""
    sys.exit(call(sys.argv[1:] if argv is None else argv))


def call(argv: list[str]) -> int:
    """Run a command line and return its exit code. Every failure of the user's or of the machine's is
    one line on standard error; a traceback is a bug of ours."""
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(_help())
            return 0
        if argv[0] == "--version":
            print(importlib.metadata.version("goalgap"))
            return 0
        argv, plugins = without_plugins(argv)
        if not argv or argv[0] not in VERBS:
            raise BadArguments(unknown("verb", argv[0] if argv else "", VERBS))
        return _verb(argv, plugins)
    except BadArguments as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing that was stored is lost, the same command goes on", 1)
    except BrokenPipeError:
        # The reader of our output went away (`goalgap list | head`): not our failure to report.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(_of_the_machine(error), 1)
    except UsageError as error:
        return _fail(str(error), 2)
    except Exception as error:
        if type(error).__name__ == "Interrupted":
            return _fail(f"{error}; the same command goes on from there", 1)
        raise


def _verb(argv: list[str], plugins: list[str]) -> int:
    """Load plug-ins, say what is wrong with installed ones, and do what a verb says."""
    from .. import registry
    from . import verbs

    for path in plugins:
        registry.load(path)
    for problem in registry.problems():
        print(f"goalgap: {problem}", file=sys.stderr)
    return parse(verbs.options(argv[0], argv[1:])).call() or 0


def without_plugins(argv: list[str]) -> tuple[list[str], list[str]]:
    """The arguments without `--plugin FILE`, and the files. Raises BadArguments for one without."""
    rest, files = [], []
    words = iter(argv)
    for word in words:
        option, is_joined, value = word.partition("=")
        if option != "--plugin":
            rest.append(word)
            continue
        value = value if is_joined else next(words, "")
        if not value or value.startswith("-"):
            raise BadArguments("--plugin has no value; expected a Python file, as in --plugin lava.py")
        files.append(value)
    return rest, files


def _fail(message: str, code: int) -> int:
    print("goalgap: " + " ".join(message.split()), file=sys.stderr)
    return code


def _of_the_machine(error: OSError) -> str:
    place = f" {error.filename}" if error.filename else ""
    reason = error.strerror or str(error)
    repair = {
        errno.ENOSPC: "free some space, then the same command goes on",
        errno.EACCES: "choose another folder with --out",
        errno.EROFS: "choose another folder with --out",
        errno.ENOTDIR: "a file is in the way; choose another folder with --out",
        errno.EEXIST: "a file is in the way; choose another folder with --out",
    }.get(error.errno or 0, "choose another folder with --out, or try again")
    return f"cannot write{place}: {reason}; {repair}"


def _help() -> str:
    lines = "\n".join(f"  {verb:9}{text}" for verb, text in VERBS.items())
    return (
        "usage: goalgap VERB [TARGET] [options]\n\n"
        "A laboratory for goal misgeneralization. Start with: goalgap run corner\n\n"
        f"{lines}\n\ngoalgap VERB --help explains a verb. Each takes "
        "--plugin FILE, as often as you like: a Python file\nof yours with environments, scenarios, "
        "studies and the like (or name such files in GOALGAP_PLUGINS)."
    )


def parse(call: Call) -> Any:
    """The options of a verb, by tyro; its boxes become one line."""
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
    """The message of one of tyro's boxes: its first part, and the nearest option if it names one."""
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
