"""Prints the README's first commands: `run` sets up and does the main job, `test` the tests.

Plain Python, because .ci/run calls it before anything is installed.
"""

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def commands() -> dict[str, str]:
    """The first two shell blocks of the README, by what they end in."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    return {"run": blocks[0].strip(), "test": blocks[1].strip()}


if __name__ == "__main__":
    print(commands()[sys.argv[1]])
