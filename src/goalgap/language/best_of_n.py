"""Best of n: draw n replies and say the one that a scorer likes best; what optimization comes to.

One set of samples gives all n: the expected value of the best of n of them, drawn without replacement,
is an average of the samples weighted by their ranks (Nakano et al. 2021, arXiv 2112.09332, appendix I).
The distance to the model that is sampled is at most ln n - (n - 1) / n nats; it is that much where no
two replies are equal (Beirami et al. 2024, arXiv 2401.01879), and less in a small language.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy import special, stats

from ..core import UsageError
from .dialogues import Speaker, converse
from .scenario import Dialogue, Prompts, Scenario

# What dialogues are worth: of a fleet's, each seed's share in order.
Score = Callable[[Dialogue], Float[np.ndarray, " n"]]


def divergence(n: int) -> float:
    """Bound the Kullback-Leibler divergence, in nats, of the best of n from the model sampled."""
    return math.log(n) - (n - 1) / n


def expected_best(
    scores: Float[np.ndarray, "prompts samples"],
    values: Float[np.ndarray, "prompts samples"],
    n: int,
) -> Float[np.ndarray, " prompts"]:
    """Average the value of the best by score among n of the samples, over all choices of n.

    Ties are broken at random. Unbiased for n fresh samples. Raises UsageError where n exceeds the number
    of samples.
    """
    samples = scores.shape[1]
    if not 1 <= n <= samples:
        raise UsageError(f"the best of {n} was asked for, expected 1 to {samples}: draw more samples")
    # The share of choices that lie within the samples of the k lowest ranks: C(k, n) / C(samples, n).
    ranks = np.arange(samples + 1)
    within = np.zeros(samples + 1)
    within[n:] = np.exp(_log_binomial(ranks[n:], n) - _log_binomial(np.array([samples]), n))
    low = stats.rankdata(scores, "min", axis=1).astype(int) - 1
    high = stats.rankdata(scores, "max", axis=1).astype(int)
    weights = (within[high] - within[low]) / (high - low)
    return (weights * values).sum(1)


def _log_binomial(k: Int[np.ndarray, " many"], n: int) -> Float[np.ndarray, " many"]:
    return special.gammaln(k + 1) - special.gammaln(n + 1) - special.gammaln(k - n + 1)


def sample(
    scenario: Scenario, speaker: Speaker, prompts: Prompts, count: int, rng: np.random.Generator
) -> Dialogue:
    """Hold `count` dialogues about each prompt, one below the other."""
    return converse(scenario, speaker, prompts.take(np.repeat(np.arange(len(prompts)), count)), rng)


class BestOfN(Speaker):
    """Think of n replies of a speaker and say the best, in scenarios of a single turn.

    Raises UsageError where there are more turns: only finished dialogues can be scored.
    """

    def __init__(self, scenario: Scenario, speaker: Speaker, score: Score, n: int) -> None:
        if scenario.num_turns != 1:
            raise UsageError(
                f"{scenario.name} has {scenario.num_turns} turns; best of n needs dialogues of one"
            )
        self.scenario, self.speaker, self.score, self.n = scenario, speaker, score, n

    def say(self, dialogue: Dialogue, rng: np.random.Generator) -> Int[np.ndarray, "n length"]:
        drawn = sample(self.scenario, self.speaker, dialogue.prompts, self.n, rng)
        scores = self.score(drawn).reshape(-1, self.n)
        best = np.arange(len(scores)) * self.n + scores.argmax(1)
        return drawn.said[best, 0]
