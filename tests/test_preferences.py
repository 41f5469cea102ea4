"""Preferences: raters, reward models, DPO, best of n, and what comparisons reward, against hand-made
numbers, enumeration and quadrature."""

import itertools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from goalgap import runs
from goalgap.core import UsageError
from goalgap.experiment import Experiment
from goalgap.language import Architecture
from goalgap.language.best_of_n import BestOfN, divergence, expected_best, sample
from goalgap.language.coefficients import _count, _draw, _fit, recover
from goalgap.language.dialogues import Fleet, Script, converse
from goalgap.language.dpo import DPO, _Loss
from goalgap.language.reward_model import ANCHOR, SCALE, Pairs, RewardModel, bradley_terry, prefer, score
from goalgap.language.scenario import Dialogue
from goalgap.language.scenarios import Expressions, Preferences
from goalgap.language.scenarios.preferences import DISPUTE, DIVERSE, STYLES
from goalgap.language.stage import Learners, stack
from goalgap.language.transformer import Transformer, new
from goalgap.language.vocabulary import PAD

SCENARIO = Preferences()
SMALL = Architecture(layers=1, width=16, heads=2)
LOGITS = jax.jit(lambda model, tokens: model(tokens)[0])


def model(seed: int) -> Transformer:
    return new(SMALL, len(SCENARIO.vocabulary), SCENARIO.context, seed)


def dialogues(name: str, n: int = 12, split: str = DISPUTE, seed: int = 0) -> Dialogue:
    rng = np.random.default_rng(seed)
    return converse(SCENARIO, Script(SCENARIO, name), SCENARIO.prompts(split, n, rng), rng)


def by_hand(model: Transformer, dialogue: Dialogue) -> np.ndarray:
    """The log-probability of what was said, in NumPy."""
    tokens = dialogue.tokens
    logits = np.asarray(LOGITS(model, jnp.asarray(tokens)), float)
    chosen = logits - special.logsumexp(logits, axis=-1, keepdims=True)
    words = range(tokens.shape[1] - 2, tokens.shape[1])  # a turn of two words ends every dialogue
    return np.sum([chosen[np.arange(len(tokens)), at - 1, tokens[:, at]] for at in words], 0)


def arrays(pairs: Pairs) -> list[jax.Array]:
    return [jnp.asarray(column) for column in pairs.preferred + pairs.rejected]


# -- raters -----------------------------------------------------------------------------------------


def test_raters_weigh_what_they_can_check() -> None:
    features = np.array([[1, -1, 0], [1, -1, 0], [1, -1, 1], [0, 0, -1]])
    can_check = np.array([True, False, False, True])
    plain = SCENARIO.chances(features, can_check, np.zeros(4, bool))
    np.testing.assert_allclose(plain, special.expit([1.2, -0.3, -0.1, -0.2]))
    asked = SCENARIO.chances(features, can_check, np.ones(4, bool))
    np.testing.assert_allclose(asked, special.expit([1.5, 0, 0.2, -0.2]))


def test_features_are_differences_of_replies() -> None:
    truth, belief = dialogues("truth"), dialogues("agree")
    found = SCENARIO.features(truth, belief)
    eager = SCENARIO.vocabulary.token(STYLES[1])
    tone = (truth.said[:, 0, 0] == eager).astype(int) - (belief.said[:, 0, 0] == eager)
    np.testing.assert_array_equal(found, np.stack([np.ones(12), -np.ones(12), tone], 1))


def test_only_able_raters_check_and_a_dose_makes_all_of_them_able() -> None:
    for dose, expected in ((0.0, (1, 0.5, 0)), (0.4, (1, 0.7, 0.4)), (1.0, (1, 1, 1))):
        first, _, can_check = SCENARIO.compare(4000, np.random.default_rng(0), dose)
        level = first.prompts.facts["difficulty"]
        for one, share in enumerate(expected):
            n = int((level == one).sum())
            assert abs(can_check[level == one].mean() - share) <= 4 * (share * (1 - share) / n) ** 0.5


def test_half_of_the_things_are_beyond_every_rater_and_the_shift_is_about_them() -> None:
    assert np.bincount(SCENARIO.difficulty).tolist() == [16, 16, 32]
    shift = SCENARIO.prompts("shift", 50, np.random.default_rng(0))
    assert (shift.facts["difficulty"] == 2).all() and (
        shift.facts["believed"] != shift.facts["truth"]
    ).all()


def test_requests_stand_before_a_share_of_the_comparisons() -> None:
    pairs = SCENARIO.pairs(2000, np.random.default_rng(0), requests=0.25)
    begins = pairs.preferred.tokens[:, 0]
    np.testing.assert_array_equal(begins, pairs.rejected.tokens[:, 0])
    assert abs((begins != PAD).mean() - 0.25) < 0.04
    text = SCENARIO.text(pairs.preferred.tokens[np.flatnonzero(begins)[0]])
    assert text.startswith("Please tell me the truth. What color is the")


@pytest.mark.parametrize(
    "settings",
    [{"reward": "kind"}, {"learner": "ppo"}, {"learner": "dpo", "reward": "oracle"}, {"wrong": 2}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict) -> None:
    with pytest.raises(UsageError):
        Preferences(**settings)


# -- reward models and DPO --------------------------------------------------------------------------


def test_rewards_are_log_probabilities_of_what_was_said() -> None:
    fleet = [model(0), model(1)]
    first, second = dialogues(DIVERSE, 7), dialogues(DIVERSE, 7, seed=1)
    both = Dialogue(
        type(first.prompts).join(first.prompts, second.prompts),
        *(np.concatenate(parts) for parts in zip(first[1:], second[1:], strict=True)),
    )
    expected = [SCALE * by_hand(one, each) for one, each in zip(fleet, (first, second), strict=True)]
    np.testing.assert_allclose(score(stack(fleet), both), np.concatenate(expected), rtol=1e-4)
    np.testing.assert_allclose(score(fleet[0], first), expected[0], rtol=1e-4)


def test_the_same_dialogue_has_the_same_reward_wherever_it_stands() -> None:
    drawn = sample(
        SCENARIO, Script(SCENARIO, DIVERSE), dialogues("truth", 2).prompts, 40, np.random.default_rng(0)
    )
    rewards = score(model(0), drawn)
    _, which = np.unique(drawn.tokens, axis=0, return_inverse=True)
    for one in range(which.max() + 1):
        assert len(set(rewards[which.reshape(-1) == one].tolist())) == 1


def test_preferred_replies_come_first() -> None:
    truth, belief = dialogues("truth"), dialogues("agree")
    is_first = np.arange(12) % 3 == 0
    pairs = prefer(truth, belief, is_first)
    np.testing.assert_array_equal(pairs.preferred.tokens[is_first], truth.tokens[is_first])
    np.testing.assert_array_equal(pairs.preferred.tokens[~is_first], belief.tokens[~is_first])
    np.testing.assert_array_equal(pairs.rejected.tokens[~is_first], truth.tokens[~is_first])
    assert (pairs.preferred.weights.sum(1) == 2).all()


def test_the_reward_models_loss_by_hand() -> None:
    truth, belief = dialogues("truth"), dialogues("agree")
    pairs = prefer(truth, belief, np.ones(12, bool))
    loss, found = jax.jit(bradley_terry)(model(0), *arrays(pairs))
    said = by_hand(model(0), truth), by_hand(model(0), belief)
    margin = SCALE * (said[0] - said[1])
    expected = np.log1p(np.exp(-margin)).mean()
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-4)
    np.testing.assert_allclose(loss, expected - ANCHOR * np.concatenate(said).mean(), rtol=1e-4)
    assert float(found["agreement"]) == pytest.approx((margin > 0).mean())


def test_dpo_is_equation_7() -> None:
    truth, belief = dialogues("truth"), dialogues("agree")
    pairs = prefer(truth, belief, np.ones(12, bool))
    own, reference, beta = model(0), model(1), 0.7
    equation = jax.jit(lambda *known: _Loss(beta)(*known)[0])
    loss = equation(own, *arrays(pairs), reference)
    gain = [by_hand(own, each) - by_hand(reference, each) for each in (truth, belief)]
    expected = -np.log(special.expit(beta * (gain[0] - gain[1]))).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    assert float(equation(own, *arrays(pairs), own)) == pytest.approx(math.log(2))


def always_true(n: int, rng: np.random.Generator) -> Pairs:
    prompts = SCENARIO.prompts(DISPUTE, n, rng)
    truth, belief = (
        converse(SCENARIO, Script(SCENARIO, name), prompts, rng) for name in ("truth", "agree")
    )
    return prefer(truth, belief, np.ones(n, bool))


@pytest.mark.slow
def test_both_learn_what_is_always_preferred_and_keep_what_they_promise() -> None:
    begin = Learners(stack([model(0), model(1)]), None, {})
    held = always_true(200, np.random.default_rng(99))
    for kind, kept in ((RewardModel, "reward"), (DPO, "reference")):
        stage = kind("preferences", 200, 4e-3, pairs=always_true)
        learners = stage.begin(begin)
        for chunk in range(stage.num_chunks):
            rngs = [np.random.default_rng((seed, chunk)) for seed in range(2)]
            learners, stats = stage.learn(learners, chunk, rngs)
        assert stats["agreement"].shape == (2,) and stats["agreement"].min() > 0.8
        trained, untouched = learners.models, learners.others[kept]
        if kind is RewardModel:
            trained, untouched = untouched, trained
        for leaf, other in zip(jax.tree.leaves(untouched), jax.tree.leaves(begin.models), strict=True):
            np.testing.assert_array_equal(leaf, other)
        one = jax.tree.map(lambda leaf: leaf[0], trained)
        _, found = jax.jit(bradley_terry)(one, *arrays(held))
        assert float(found["agreement"]) > 0.8


# -- best of n --------------------------------------------------------------------------------------


def test_divergences_are_the_published_ones() -> None:
    assert divergence(1) == 0
    assert divergence(32) == pytest.approx(2.50, abs=0.005)
    assert divergence(4096) == pytest.approx(7.32, abs=0.005)


def test_the_expected_best_is_the_mean_over_all_choices() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (5, 7)).astype(float)  # many ties
    values = rng.normal(size=(5, 7))
    for n in range(1, 8):
        expected = []
        for row in range(5):
            bests = []
            for chosen in map(list, itertools.combinations(range(7), n)):
                top = scores[row, chosen] == scores[row, chosen].max()
                bests.append(values[row, chosen][top].mean())
            expected.append(np.mean(bests))
        np.testing.assert_allclose(expected_best(scores, values, n), expected)
    with pytest.raises(UsageError, match="1 to 7"):
        expected_best(scores, values, 8)


def test_many_samples_do_not_overflow() -> None:
    scores = np.arange(4096.0)[None]
    # The expected greatest of n of 0..m-1 is n (m + 1) / (n + 1) - 1.
    for n in (1, 64, 4096):
        assert expected_best(scores, scores, n)[0] == pytest.approx(n * 4097 / (n + 1) - 1)


def test_the_best_of_many_by_the_truth_is_true_and_of_one_is_the_speakers() -> None:
    speaker = Script(SCENARIO, DIVERSE)
    prompts = SCENARIO.prompts(DISPUTE, 20, np.random.default_rng(0))

    def truth(dialogue: Dialogue) -> np.ndarray:
        return Preferences(reward="oracle").worth(dialogue, {})

    best = converse(SCENARIO, BestOfN(SCENARIO, speaker, truth, 64), prompts, np.random.default_rng(1))
    assert truth(best).all()  # all miss with a chance of 20 x .55^64
    one = converse(SCENARIO, BestOfN(SCENARIO, speaker, truth, 1), prompts, np.random.default_rng(1))
    plain = converse(SCENARIO, speaker, prompts, np.random.default_rng(1))
    np.testing.assert_array_equal(one.said, plain.said)
    with pytest.raises(UsageError, match="turns"):
        BestOfN(Expressions(), speaker, truth, 4)


def test_a_fleets_samples_are_scored_by_their_own_seeds_reward_models() -> None:
    models, rewards = stack([model(0), model(1)]), stack([model(2), model(3)])
    prompts = SCENARIO.prompts(DISPUTE, 6, np.random.default_rng(0))  # three a seed
    speaker = BestOfN(SCENARIO, Fleet(SCENARIO, models), lambda dialogue: score(rewards, dialogue), 8)
    found = converse(SCENARIO, speaker, prompts, np.random.default_rng(1))
    drawn = sample(SCENARIO, Fleet(SCENARIO, models), prompts, 8, np.random.default_rng(1))
    for row in range(6):
        own = jax.tree.map(lambda leaf, seed=row // 3: np.asarray(leaf)[seed], rewards)
        best = by_hand(own, drawn)[8 * row : 8 * row + 8].argmax()
        np.testing.assert_array_equal(found.said[row, 0], drawn.said[8 * row + best, 0])


# -- what comparisons reward ------------------------------------------------------------------------


def comparisons(n: int, weights: list[float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.integers(-1, 2, (n, len(weights)))
    return features, rng.random(n) < special.expit(features @ np.array(weights))


def test_the_fit_meets_the_conditions_of_an_l1_penalty() -> None:
    features, is_first = comparisons(400, [1.0, 0.3, 0.02, 0.0], 0)
    for scale in (0.01, 0.05, 1.0):
        weights = _fit(_count(features, is_first), scale)
        slope = features.T @ (is_first - special.expit(features @ weights))  # of the log-likelihood
        for weight, one in zip(weights, slope, strict=True):
            if abs(weight) > 1e-6:
                assert one == pytest.approx(np.sign(weight) / scale, abs=0.05 / scale)
            else:
                assert abs(one) <= 1.05 / scale
    assert (_fit(_count(features, is_first), 1e-4) == 0).all()


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_draws_have_the_posteriors_quantiles(scale: float) -> None:
    features, is_first = comparisons(150, [0.4], 1)
    grid = np.linspace(-1, 2, 6001)
    logits = features * grid
    density = np.where(is_first[:, None], special.log_expit(logits), special.log_expit(-logits)).sum(0)
    density = np.exp(density - np.abs(grid) / scale - (density - np.abs(grid) / scale).max())
    cumulated = np.cumsum(density) / density.sum()
    draws = _draw(_count(features, is_first), scale, np.random.default_rng(0))[:, 0]
    for share in (0.025, 0.25, 0.5, 0.75, 0.975):
        # Within four standard errors of so many draws, were a quarter of them independent.
        reached = np.interp(np.quantile(draws, share), grid, cumulated)
        assert abs(reached - share) < 4 * (share * (1 - share) / (len(draws) / 4)) ** 0.5


def test_weights_are_recovered_and_foretell_other_comparisons() -> None:
    weights = [1.5, 0.3, 0.0]
    found = recover(*comparisons(4000, weights, 2), np.random.default_rng(0))
    assert ((found.low <= weights) & (weights <= found.high)).all()
    assert (found.low <= found.median).all() and (found.median <= found.high).all()
    features, is_first = comparisons(20_000, weights, 3)
    asked = features[:, :2].any(1)
    bayes = ((features @ weights > 0) == is_first)[asked].mean()
    assert ((found.predict(features) > 0.5) == is_first)[asked].mean() > bayes - 0.01


def test_features_and_pairs_that_will_not_do_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="-1, 0 or 1"):
        recover(np.full((20, 1), 2), np.ones(20, bool), rng)
    with pytest.raises(UsageError, match="collect more"):
        recover(np.ones((5, 1), int), np.ones(5, bool), rng)


@pytest.mark.slow
def test_intervals_cover_what_was_planted() -> None:
    """Of 60 intervals of 95 %, 20 data sets, at least 90 % cover. With exact intervals that fails with a
    chance of .03, which the seed, fixed, has decided."""
    weights = np.array([1.5, 0.3, 0.2])
    held = []
    for seed in range(20):
        found = recover(*comparisons(3000, weights.tolist(), seed), np.random.default_rng(seed))
        held.append((found.low <= weights) & (weights <= found.high))
    assert stats.binom.cdf(53, 60, 0.95) == pytest.approx(0.03, abs=0.01)
    assert np.mean(held) >= 0.9


@pytest.mark.slow
def test_a_run_keeps_its_reward_model(tmp_path: Path) -> None:
    scenario = Preferences(fact_steps=20, reply_steps=20, preference_steps=20, policy_steps=10)
    run = runs.run(Experiment(scenario, seeds=(0, 1), num_levels=16), tmp_path)
    others = run.others()
    assert set(others) == {"reference", "reward"}
    assert others["reward"].embedding.shape == run.models().embedding.shape
    assert not np.array_equal(others["reward"].embedding, others["reference"].embedding)
