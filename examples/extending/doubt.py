"""Ask when in doubt: an ensemble that abstains, unsure by the doubt of its members together.

`Ensemble` calls its members unsure where they disagree. Members who know nothing agree perfectly,
though: all of them find every action equally good. Between `Ensemble` and `Abstain`, `Doubt` lets that
count, too.
"""

import dataclasses
from typing import Any

import jax

from goalgap.agents.wrappers import WrappedPolicy, Wrapper
from goalgap.core import Decision, Memory, Observation, Patch


@dataclasses.dataclass(frozen=True)
class Doubt(Wrapper):
    """Call the subject unsure by what its likeliest action lacks to certainty: deploy=(Ensemble(),
    Doubt(), Abstain(0.5)) asks for help wherever no action has a probability of a half."""

    def wrap(self, subject: Any, seeds: tuple[int, ...], contest: Any) -> tuple[Any, tuple[int, ...]]:
        return DoubtingPolicy(subject), seeds


class DoubtingPolicy(WrappedPolicy):
    """A policy whose activation `disagreement` is 1 - the probability of its likeliest action."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.policy.columns, "doubt")

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        decision = self.policy(observation, memory, patch)
        doubt = 1 - jax.nn.softmax(decision.logits).max(-1)
        named = decision.activations | {"disagreement": doubt, "doubt": doubt}
        return decision._replace(activations=named)
