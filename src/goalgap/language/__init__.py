"""Train language models into the failure from nothing, in scenarios, and evaluate any model."""

from .experiment import LanguageExperiment
from .scenarios import ALL
from .transformer import Architecture

# What descriptions of experiments are made of, by name.
KINDS: dict[str, type] = {kind.__name__: kind for kind in (*ALL, Architecture, LanguageExperiment)}

__all__ = ["ALL", "KINDS", "Architecture", "LanguageExperiment"]
