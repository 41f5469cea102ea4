"""Expert iteration: sample dialogues, keep the good ones, imitate them, and again.

Source: Anthony et al. 2017 (arXiv 1705.08439) for the idea; Denison et al. 2024 (arXiv 2406.10162,
section 2.2) for both rules here: the best sample of each prompt, or every sample that is good enough.
Departure: nothing is kept from round to round, so that a round is a function of models, seed and number.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from ..core import UsageError
from .dialogues import Lessons, lessons
from .reinforce import Reward, rewarded_dialogues, rows
from .scenario import Dialogue, Prompts, Scenario
from .sft import cross_entropy
from .stage import DialogueStage, Learners, descend

KEEP = ("best", "all")


@dataclasses.dataclass(frozen=True)
class ExpertIteration(DialogueStage):
    """Sample dialogues, keep the good ones and imitate them, in rounds of 20 gradient steps.

    Each round begins with `samples` dialogues about each of `num_prompts` prompts; those kept are drawn
    from, with replacement, for all lessons of the round but the replay.
    """

    scenario: Scenario = dataclasses.field(kw_only=True)
    prompts: Callable[[int, np.random.Generator], Prompts] = dataclasses.field(kw_only=True)
    reward: Reward = dataclasses.field(kw_only=True)
    num_prompts: int = 32  # a round
    samples: int = 32  # dialogues a prompt
    keep: str = "best"  # of each prompt one of its best dialogues; or "all"
    threshold: float = 1.0  # what is kept earned no less
    temperature: float = 1.0
    # n lessons imitated beside, and their share of each batch; None: nothing.
    replay: Callable[[int, np.random.Generator], Lessons] | None = None
    replay_share: float = 0.5
    chunk = 20  # a round

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep not in KEEP:
            raise UsageError(f"keep is {self.keep!r}; expected best (one a prompt) or all")
        if self.num_prompts < 1 or self.samples < 1:
            raise UsageError(
                f"{self.name}: {self.num_prompts} prompts, {self.samples} samples; expected 1 or more"
            )

    def learn(
        self, learners: Learners, chunk: int, rngs: list[np.random.Generator]
    ) -> tuple[Learners, dict[str, np.ndarray]]:
        steps, samples = self.steps_of(chunk), self.samples
        order = np.repeat(np.arange(self.num_prompts), samples)
        drawn = [self.prompts(self.num_prompts, rng).take(order) for rng in rngs]
        dialogue, rewards = rewarded_dialogues(
            self.scenario,
            learners.models,
            learners.others,
            drawn,
            self.reward,
            self.temperature,
            rngs[0],
        )
        kept = [self.kept(row.reshape(-1, samples), rng) for row, rng in zip(rewards, rngs, strict=True)]
        parts, n = [], len(order)
        for s, rng in enumerate(rngs):
            own = rows(dialogue, slice(s * n, (s + 1) * n))
            parts.append(self._lessons(own, np.flatnonzero(kept[s]), steps, rng))
        shape = (len(rngs), steps, self.batch_size, -1)
        batches = tuple(np.stack(column).reshape(shape) for column in zip(*parts, strict=True))
        models, optimizer, stats = descend(
            self.adam, cross_entropy, learners.models, learners.optimizer, batches
        )
        found = {name: np.asarray(value) for name, value in stats.items()}
        found |= {"reward": rewards.mean(1), "kept": np.stack(kept).mean(1, dtype=np.float32)}
        return Learners(models, optimizer, learners.others), found

    def kept(
        self, rewards: Float[np.ndarray, "prompts samples"], rng: np.random.Generator
    ) -> Bool[np.ndarray, " n"]:
        """Mark the dialogues to imitate; of equally good ones about a prompt chance picks."""
        is_good = rewards >= self.threshold
        if self.keep == "best":
            best = np.lexsort((rng.random(rewards.shape), rewards), 1)[:, -1:]
            is_good &= np.arange(rewards.shape[1]) == best
        return is_good.reshape(-1)

    @property
    def _replayed(self) -> int:
        """Count the lessons of a batch that are replay."""
        return round(self.replay_share * self.batch_size) if self.replay is not None else 0

    def _lessons(
        self, own: Dialogue, good: Int[np.ndarray, " kept"], steps: int, rng: np.random.Generator
    ) -> Lessons:
        """Make a seed's batches, one below the other, of good dialogues and replay."""
        size = self.batch_size - self._replayed
        # Where nothing is good there is nothing to imitate: the words of some dialogue count 0.
        shown = lessons(rows(own, rng.choice(good if len(good) else [0], steps * size)))
        shown = shown._replace(weights=shown.weights * bool(len(good)))
        if self.replay is None:
            return shown
        pairs = zip(shown, self.replay(steps * self._replayed, rng), strict=True)
        batches = (np.hstack([one.reshape(steps, -1), two.reshape(steps, -1)]) for one, two in pairs)
        return Lessons(*(batch.reshape(steps * self.batch_size, -1) for batch in batches))

    @property
    def dialogues(self) -> int:
        return self.batch_size + -(-self.num_prompts * self.samples // self.chunk)
