"""Register what Inspect's entry point `inspect_ai` finds: our tasks, their parts, our provider."""

from collections.abc import Callable

from inspect_ai.model import ModelAPI, modelapi

from .provider import provide
from .scorers import compared, matched, measures, mimicked, pursued, stood
from .tasks import SCENARIOS, answer, are_you_sure, compare, converse, feedback, mimicry, scenario, talk


@modelapi(name="goalgap")  # type: ignore[arg-type]  # no class: the name decides which
def goalgap() -> Callable[..., ModelAPI]:
    """Return the provider of our small models and of the scripted ones."""
    return provide


__all__ = [
    "SCENARIOS",
    "answer",
    "are_you_sure",
    "compare",
    "compared",
    "converse",
    "feedback",
    "goalgap",
    "matched",
    "measures",
    "mimicked",
    "mimicry",
    "pursued",
    "scenario",
    "stood",
    "talk",
]
