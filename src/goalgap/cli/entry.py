"""The command line: thin verbs over the laboratory.

`goalgap --help` prints a static table and imports nothing heavy; a verb's parser is built when it is
called. Standard output carries results only (one JSON document with --json); the rest goes to standard
error. Exit 0: done; 1: failed; 2: bad arguments, in one line.
"""

import errno
import importlib.metadata
import os
import sys

from ..settings import UsageError, unknown
from .arguments import BadArguments, parse

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


def main(argv: list[str] | None = None) -> None:
    """Run the command line of this process, and exit."""
    sys.exit(call(sys.argv[1:] if argv is None else argv))


def call(argv: list[str]) -> int:
    """Run a command line and return its exit code.

    Every failure of the user's or of the machine's is one line on standard error; a traceback is a bug
    of ours.
    """
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
    """Split off each `--plugin FILE`; return the other arguments, and the files.

    Raises BadArguments where no file follows.
    """
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
