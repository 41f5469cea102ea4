"""Reinforcement learning from dialogues: REINFORCE and GRPO, with a penalty on the distance to where
it began.

Sources: Williams 1992 (REINFORCE); Shao et al. 2024 (GRPO, arXiv 2402.03300): a group of replies to one
prompt is its own baseline. Departures: one update a batch, so that nothing is off-policy and nothing
need be clipped; the division by the group's deviation can be turned off (Liu et al. 2025, arXiv
2503.20783, on the bias that it brings). The penalty is the k3 estimate of the divergence, as GRPO's.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..core import tree_index
from .dialogues import Fleet, Lessons, converse
from .scenario import Dialogue, Prompts, Scenario
from .sft import cross_entropy
from .stage import DialogueStage, Learners, descend, log_likelihoods
from .transformer import Transformer

# What finished dialogues of one seed earn, with that seed's models beside: [n].
Reward = Callable[[Dialogue, Mapping[str, Transformer]], Float[np.ndarray, " n"]]


@dataclasses.dataclass(frozen=True)
class Reinforce(DialogueStage):
    """Raise the reward of dialogues with the scenario's user, a batch an update."""

    gives: ClassVar[frozenset[str]] = frozenset({"reference"})
    scenario: Scenario = dataclasses.field(kw_only=True)
    prompts: Callable[[int, np.random.Generator], Prompts] = dataclasses.field(kw_only=True)
    reward: Reward = dataclasses.field(kw_only=True)
    group: int = 8  # dialogues a prompt; their mean is the baseline
    normalize: bool = False  # by the group's deviation, as GRPO does
    kl: float = 0.02  # weight of the distance to the model at the stage's beginning
    temperature: float = 1.0
    # n lessons imitated in each update beside (replay), and their weight; None: nothing.
    replay: Callable[[int, np.random.Generator], Lessons] | None = None
    replay_weight: float = 1.0
    chunk = 10

    def begin(self, learners: Learners) -> Learners:
        fresh = super().begin(learners)
        return Learners(fresh.models, fresh.optimizer, fresh.others | {"reference": fresh.models})

    def learn(
        self, learners: Learners, chunk: int, rngs: list[np.random.Generator]
    ) -> tuple[Learners, dict[str, np.ndarray]]:
        models, optimizer = learners.models, learners.optimizer
        found: list[dict[str, np.ndarray]] = []
        for _ in range(self.steps_of(chunk)):
            batch, rewards = self._batch(models, learners.others, rngs)
            loss, reference = _Loss(self.kl, self.replay_weight), learners.others["reference"]
            models, optimizer, stats = descend(self.adam, loss, models, optimizer, batch, reference)
            found.append({name: np.asarray(value) for name, value in stats.items()})
            found[-1]["reward"] = rewards
        means = {name: np.mean([one[name] for one in found], 0) for name in found[0]}
        return Learners(models, optimizer, learners.others), means

    def _batch(
        self, models: Transformer, others: Mapping[str, Transformer], rngs: list[np.random.Generator]
    ) -> tuple[tuple[np.ndarray, ...], Float[np.ndarray, " seeds"]]:
        """Hold dialogues of all seeds, and sum up what an update learns from.

        Returns tokens, the advantage of each word said, which words were said, and what to imitate
        beside; and each seed's mean reward.
        """
        seeds = len(rngs)
        each = -(-self.batch_size // self.group)
        drawn = [self.prompts(each, rng).take(np.repeat(np.arange(each), self.group)) for rng in rngs]
        n = each * self.group
        dialogue, rewards = rewarded_dialogues(
            self.scenario, models, others, drawn, self.reward, self.temperature, rngs[0]
        )
        groups = rewards.reshape(seeds, each, self.group)
        advantage = groups - groups.mean(-1, keepdims=True)
        if self.normalize:
            advantage /= groups.std(-1, keepdims=True) + 1e-4
        tokens = dialogue.tokens.reshape(seeds, 1, n, -1)
        said = dialogue.is_said.reshape(tokens.shape)
        weights = said * advantage.reshape(seeds, 1, n, 1)
        batch = (tokens, weights.astype(np.float32), said.astype(np.float32))
        if self.replay is not None:
            lessons = [self.replay(self.batch_size, rng) for rng in rngs]
            batch += tuple(np.stack(column)[:, None] for column in zip(*lessons, strict=True))
        return batch, rewards.mean(1)

    @property
    def dialogues(self) -> int:
        each = -(-self.batch_size // self.group) * self.group
        return each + (self.batch_size if self.replay is not None else 0)


def rewarded_dialogues(
    scenario: Scenario,
    models: Transformer,
    others: Mapping[str, Transformer],
    drawn: list[Prompts],
    reward: Reward,
    temperature: float,
    rng: np.random.Generator,
) -> tuple[Dialogue, Float[np.ndarray, "seeds n"]]:
    """Let each of a fleet's seeds hold a dialogue about each of its prompts, and reward it.

    `drawn` has as many prompts for each seed. Returns the dialogues, seed below seed, and what each
    earns; `others` are models that a reward may consult.
    """
    seeds, n = len(drawn), len(drawn[0])
    dialogue = converse(scenario, Fleet(scenario, models, temperature), Prompts.join(*drawn), rng)
    rewards = [
        reward(rows(dialogue, slice(s * n, (s + 1) * n)), _of_seed(dict(others), s))
        for s in range(seeds)
    ]
    return dialogue, np.stack(rewards).astype(np.float32)


def rows(dialogue: Dialogue, chosen: slice | np.ndarray) -> Dialogue:
    """Select some of a batch of dialogues."""
    index = np.arange(len(dialogue.prompts))[chosen]
    return Dialogue(dialogue.prompts.take(index), *(part[index] for part in dialogue[1:]))


@jax.jit  # leaf by leaf, two programs would be compiled for each shape
def _of_seed(others: dict[str, Transformer], seed: int | Int[Array, ""]) -> dict[str, Transformer]:
    return tree_index(others, seed)


class _Loss(NamedTuple):
    """Compute what an update lowers. A tuple, so that equal settings share a compiled program."""

    kl: float
    replay: float

    def __call__(self, model: Transformer, *batch: Any) -> tuple[Array, dict[str, Array]]:
        tokens, advantage, said, *lessons, reference = batch
        own = log_likelihoods(model, tokens)
        other = jax.lax.stop_gradient(log_likelihoods(reference, tokens))
        # Each dialogue counts by its words, divided by the batch's mean number of them.
        count = jnp.maximum(said[:, 1:].sum(), 1)
        policy = -(own * advantage[:, 1:]).sum() / count
        ratio = other - own
        distance = ((jnp.exp(ratio) - ratio - 1) * said[:, 1:]).sum() / count
        surprise = -(own * said[:, 1:]).sum() / count
        loss = policy + self.kl * distance
        stats = {"kl": distance, "surprise": surprise}
        if lessons:
            imitation, found = cross_entropy(model, *lessons)
            loss, stats = loss + self.replay * imitation, stats | found
        return loss, stats
