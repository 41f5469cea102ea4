"""Language models: the failure trained from nothing, in scenarios, and any model evaluated."""

from .scenarios import ALL
from .transformer import Architecture

__all__ = ["ALL", "Architecture"]
