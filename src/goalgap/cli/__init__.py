"""The command line: thin verbs over the laboratory."""

from .arguments import BadArguments, parse
from .entry import VERBS, call, main

__all__ = ["VERBS", "BadArguments", "call", "main", "parse"]
