"""Train language models into the failure from nothing, in scenarios, and evaluate any model."""

from .scenarios import ALL
from .transformer import Architecture

__all__ = ["ALL", "Architecture"]
