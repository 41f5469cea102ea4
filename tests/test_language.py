"""Small language models: words, the transformer and its cache, sampling, training, runs that survive."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalgap import runs as lab
from goalgap import store
from goalgap.core import UsageError
from goalgap.experiment import Experiment
from goalgap.language import Architecture
from goalgap.language.dialogues import Fleet, converse, pick
from goalgap.language.reinforce import Reinforce
from goalgap.language.scenario import Prompts
from goalgap.language.scenarios.expressions import Expressions
from goalgap.language.scenarios.sycophancy import BELIEFS, Sycophancy
from goalgap.language.stage import DialogueStage, Learners, luck, stack
from goalgap.language.transformer import Transformer, new
from goalgap.language.vocabulary import END, PAD, UNKNOWN, Vocabulary
from goalgap.runs import Interrupted, Listener

TINY = Architecture(layers=2, width=16, heads=2)
read = jax.jit(lambda model, tokens: model(tokens))  # the logits of each next token, and activations
extend = jax.jit(Transformer.extend)


def model(words: int = 20, context: int = 24, seed: int = 0) -> Transformer:
    return new(TINY, words, context, seed)


def tokens(seed: int, batch: int = 3, length: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(3, 20, (batch, length)).astype(np.int32)


# -- words --------------------------------------------------------------------------------------------


def test_the_longest_words_win_and_case_and_spaces_do_not_matter() -> None:
    words = Vocabulary.of(("I think", "I think the answer is", "red", "?", "but I'm really not sure."))
    assert (
        words.encode("i  THINK the answer is Red?")
        == words.tokens("I think the answer is", "red", "?").tolist()
    )
    assert words.encode("I think blue but I'm really not sure.") == [
        words.token("I think"),
        UNKNOWN,
        words.token("but I'm really not sure."),
    ]
    assert words.decode([PAD, words.token("red"), END]) == "red"


def test_words_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="is no word"):
        Vocabulary.of(("two  spaces",))
    with pytest.raises(UsageError, match="not in the vocabulary of 4 words"):
        Vocabulary.of(("red",)).token("blue")


@given(st.lists(st.sampled_from(["red", "a b", "a", "c d", "?"]), max_size=8))
def test_decoded_words_encode_to_no_more_words(chosen: list[str]) -> None:
    # No phrase begins with what ends another: of overlapping ones the longest match takes the wrong one.
    words = Vocabulary.of(("red", "a b", "a", "c d", "?"))
    text = words.decode(words.tokens(*chosen))
    assert len(words.encode(text)) <= len(chosen)
    assert words.decode(words.encode(text)) == text or UNKNOWN in words.encode(text)


# -- the transformer ------------------------------------------------------------------------------------


def test_about_65000_parameters() -> None:
    scenario = Sycophancy()
    made = new(Architecture(), len(scenario.vocabulary), scenario.context, 0)
    assert 55_000 < made.num_parameters < 75_000


def test_no_word_sees_the_future() -> None:
    one = model()
    seen = tokens(0)
    changed = seen.copy()
    changed[:, 6:] = tokens(1)[:, 6:]
    first, second = (np.asarray(read(one, words)[0]) for words in (seen, changed))
    np.testing.assert_allclose(first[:, :6], second[:, :6], atol=1e-5)
    assert np.abs(first[:, 6:] - second[:, 6:]).max() > 1e-3


def test_padding_is_not_there() -> None:
    """Wherever padding stands, the words' logits are those of the words alone."""
    one, words = model(), tokens(2)
    alone = read(one, words)[0]
    spread = np.zeros((3, 15), np.int32)
    places = [2, 3, 5, 6, 9, 10, 11, 12, 13, 14]
    spread[:, places] = words
    np.testing.assert_allclose(np.asarray(read(one, spread)[0])[:, places], alone, atol=1e-5)


@pytest.mark.parametrize("cuts", [(4, 3, 3), pytest.param((1,) * 10, marks=pytest.mark.slow)])
def test_the_cache_gives_what_reading_everything_gives(cuts: tuple[int, ...]) -> None:
    one, words = model(), tokens(3)
    words[0, :3] = PAD
    words[1, 5] = PAD
    whole = np.asarray(read(one, words)[0])
    cache, at, parts = jax.jit(lambda: one.start(3, 12))(), 0, []
    for cut in cuts:
        logits, cache = extend(one, words[:, at : at + cut], cache, at)
        parts.append(np.asarray(logits))
        at += cut
    is_word = words != PAD
    np.testing.assert_allclose(np.concatenate(parts, 1)[is_word], whole[is_word], atol=1e-5)


def test_activations_are_named_and_can_be_replaced_in_flight() -> None:
    one, words, other = model(), tokens(4), tokens(5)
    logits, found = read(one, words)
    expected = {"embedding"} | {
        f"{n}.{part}" for n in range(2) for part in ("attention", "mlp", "residual")
    }
    assert set(found) == expected and all(value.shape == (3, 10, 16) for value in found.values())
    same, _ = jax.jit(lambda one, words: one(words, {"0.residual": lambda value: value}))(one, words)
    np.testing.assert_array_equal(same, logits)
    # With the whole stream of another text put in place, the rest of the model says what it would there.
    wanted, theirs = read(one, other)
    there = jax.jit(lambda one, words, stream: one(words, {"1.residual": lambda value: stream}))
    patched, _ = there(one, words, theirs["1.residual"])
    np.testing.assert_allclose(patched, wanted, atol=1e-6)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="multiple of the heads"):
        Architecture(width=50, heads=4)
    with pytest.raises(UsageError, match="expected 1 to 48 layers"):
        Architecture(layers=0)


# -- sampling -------------------------------------------------------------------------------------------


def test_words_are_drawn_by_their_probabilities() -> None:
    """20,000 draws; shares within 4.5 standard errors (false alarms: about 1 in 30,000)."""
    rng, n = np.random.default_rng(0), 20_000
    logits = np.array([9.0, 1.0, 9.0, 0.0, 1.0, 2.0], np.float32)  # the first and third are never said
    chance = rng.random(n, np.float32)
    drawn = np.asarray(pick(jnp.tile(logits, (n, 1)), jnp.asarray(chance), 1.0))
    weights = np.exp(np.array([1.0, 0.0, 1.0, 2.0]))
    weights /= weights.sum()
    shares = np.array([(drawn == word).mean() for word in (1, 3, 4, 5)])
    assert shares.sum() == 1
    assert (np.abs(shares - weights) < 4.5 * np.sqrt(weights * (1 - weights) / n)).all()
    assert (np.asarray(pick(jnp.tile(logits, (n, 1)), jnp.asarray(chance), 0.0)) == 5).all()


def test_a_fleets_seeds_each_speak_for_themselves() -> None:
    scenario = Expressions()
    models = [new(TINY, len(scenario.vocabulary), scenario.context, seed) for seed in (0, 1)]
    prompts = scenario.prompts("train", 5, np.random.default_rng(0))
    together = converse(
        scenario, Fleet(scenario, stack(models), 0.0), Prompts.join(prompts, prompts), luck(0, 0, 0)
    )
    for index, one in enumerate(models):
        # Beside itself: with another seed beside it, it says the same.
        twice = Fleet(scenario, stack([one, one]), 0.0)
        alone = converse(scenario, twice, Prompts.join(prompts, prompts), luck(0, 0, 0))
        for place in (0, 1):
            rows, own = (slice(5 * seed, 5 * seed + 5) for seed in (place, index))
            np.testing.assert_array_equal(alone.tokens[rows], together.tokens[own])


@pytest.mark.slow
def test_greedy_turns_are_the_likeliest_words_after_everything_said() -> None:
    """Against a plain loop that reads the whole dialogue anew for each word."""
    scenario = Expressions()
    one = new(TINY, len(scenario.vocabulary), scenario.context, 3)
    prompts = scenario.prompts("train", 4, np.random.default_rng(1))
    dialogue = converse(scenario, Fleet(scenario, stack([one]), 0.0), prompts, luck(0, 0, 0))
    slots, said = dialogue.tokens, dialogue.is_said
    for row, column in zip(*np.nonzero(said), strict=True):
        logits = np.array(one(jnp.asarray(slots[row : row + 1, :column]))[0][0, -1])
        logits[[PAD, UNKNOWN]] = -np.inf
        assert logits.argmax() == slots[row, column]


# -- training -------------------------------------------------------------------------------------------


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chunks a stage of `tiny`, each of few gradient steps."""
    monkeypatch.setattr(DialogueStage, "chunk", 10)


def tiny(**changes: object) -> Experiment:
    scenario = Sycophancy(fact_steps=20, belief_steps=20)
    return dataclasses.replace(
        Experiment(scenario, network=TINY, seeds=(0, 1), num_levels=16), **changes
    )


def test_imitation_lowers_its_loss(short_chunks: None) -> None:
    experiment = tiny()
    learners = experiment.fresh()
    stage: Any = experiment.unfolded[0]
    learners = stage.begin(learners)
    losses = []
    for chunk in range(2):
        learners, stats = stage.learn(learners, chunk, [luck(seed, 0, chunk) for seed in (0, 1)])
        losses.append(stats["loss"])
    assert losses[0].shape == (2,) and (losses[1] < losses[0]).all()


def test_reinforcement_finds_the_word_that_pays() -> None:
    """A bandit: any color is paid whatever the question; their share rises from chance to most."""
    scenario = Sycophancy()
    stage = Reinforce(
        "bandit",
        60,
        5e-3,
        scenario=scenario,
        prompts=lambda n, rng: scenario.prompts("capability", n, rng),
        reward=lambda dialogue, others: scenario.is_parsable(dialogue).astype(np.float32),
        kl=0.0,
    )
    learners = stage.begin(Learners(stack([new(TINY, len(scenario.vocabulary), 7, 0)]), None, {}))
    rewards = []
    for chunk in range(stage.num_chunks):
        learners, stats = stage.learn(learners, chunk, [luck(0, 0, chunk)])
        rewards.append(float(stats["reward"][0]))
    assert rewards[0] < 0.4 and rewards[-1] > 0.8
    assert set(learners.others) == {"reference"}


class _Stop(Listener):
    def __init__(self, after: int) -> None:
        self.left = after

    def update(self, done: int, total: int, steps_per_second: float, stats: dict[str, float]) -> None:
        self.left -= 1
        self.stop = self.left <= 0


def test_an_interrupted_run_goes_on_to_the_same_models(short_chunks: None, tmp_path: Path) -> None:
    whole = lab.run(tiny(), tmp_path / "whole")
    for stop_after in (1, 2):  # of 4 chunks; who asks to stop after the last gets all
        with pytest.raises(Interrupted, match="stopped after"):
            lab.run(tiny(), tmp_path / "parts", _Stop(stop_after))
    parts = lab.run(tiny(), tmp_path / "parts", _Stop(1))
    jax.tree.map(np.testing.assert_array_equal, whole.models(), parts.models())
    for name, column in whole.outcomes.items():
        np.testing.assert_array_equal(column, parts.outcomes[name])
    assert lab.run(tiny(), tmp_path / "parts").verdict == parts.verdict
    files = {path.name for path in parts.folder.path.iterdir()}
    assert {"report.html", "verdict.json", "transcripts.json", "outcomes.parquet"} <= files
    assert not {"resume.safetensors", "checkpoints"} & files
    page = parts.report.read_text()
    assert "What it says" in page and BELIEFS[0][1] in page.replace("&#39;", "'")


def test_runs_of_models_are_found_again(tmp_path: Path) -> None:
    folder = store.RunFolder.create(tiny(), tmp_path, "test")
    again = store.RunFolder.load(folder.path)
    assert again.experiment == tiny() and again.experiment.hash == tiny().hash


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"seeds": ()}, "expected 1 to 1000 different"),
        ({"num_levels": 2}, "expected 8 to 100000"),
        ({"temperature": -1.0}, "temperature is -1.0"),
    ],
)
def test_experiments_that_cannot_be_are_refused(changes: dict, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        tiny(**changes)


@pytest.mark.slow
def test_agreeing_is_learned_and_counterexamples_unteach_it(tmp_path: Path) -> None:
    """The law behind `goalgap run sycophancy`; each of two seeds is far from the thresholds."""
    runs = [lab.run(Experiment(Sycophancy(), dose, seeds=(0, 1)), tmp_path) for dose in (0.0, 0.1)]
    each = [[seed["verdict"] for seed in run.verdict["seeds"]] for run in runs]
    assert each == [["goal misgeneralization"] * 2, ["intended"] * 2]
    assert all(seed["capability"] > 0.95 for run in runs for seed in run.verdict["seeds"])
