"""Play policies that nobody trained: the known subjects beside the oracles."""

import equinox as eqx
import jax.numpy as jnp

from ..core import Context, Decision, Environment, Level, Memory, Observation, Patch, Policy, Situation


class Random(Policy):
    """Choose actions uniformly at random: what any competence is measured against."""

    num_actions: int = eqx.field(static=True)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        return situation.step

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        zeros = jnp.zeros(observation.shape)
        return Decision(jnp.zeros((*observation.shape, self.num_actions)), zeros, memory, {})


class Alternate(Policy):
    """Play two policies without memory, each on every other episode: the known *mixed* subject."""

    first: Policy
    second: Policy

    def prepare(self, env: Environment, levels: Level) -> Context:
        return self.first.prepare(env, levels), self.second.prepare(env, levels)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        first, second = context
        return self.first.view(env, situation, first), self.second.view(env, situation, second)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        one = self.first(observation[0], (), patch)
        two = self.second(observation[1], (), patch)
        is_first = jnp.arange(one.value.shape[0]) % 2 == 0
        logits = jnp.where(is_first[:, None], one.logits, two.logits)
        return Decision(logits, jnp.where(is_first, one.value, two.value), memory, {})
