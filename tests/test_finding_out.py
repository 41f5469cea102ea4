"""Finding out by asking; offline Q-learning; goal-directedness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from goalgap.core import UsageError
from goalgap.language.dialogues import Script, converse
from goalgap.language.directedness import directedness
from goalgap.language.offline import OfflineQ, Record, _Loss, following
from goalgap.language.scenario import RANDOM, Dialogue
from goalgap.language.scenarios import FindingOut
from goalgap.language.scenarios.dialogue import BITS, HAS, PLACES, PROPERTIES, RANK, _Mediocre
from goalgap.language.stage import Learners, stack
from goalgap.language.transformer import Architecture, new


def talk(scenario: FindingOut, name: str, split: str, n: int = 300) -> Dialogue:
    prompts = scenario.prompts(split, n, np.random.default_rng(0), is_test=True)
    return converse(scenario, Script(scenario, name), prompts, np.random.default_rng(1))


def test_bits_known_are_the_places_that_are_left() -> None:
    for known in range(2 ** len(PROPERTIES)):
        chosen = [p for p in range(len(PROPERTIES)) if known >> p & 1]
        alike = (HAS[:, chosen] == HAS[3, chosen]).all(1).sum()
        assert alike == 2 ** (BITS - RANK[known])


def test_whoever_finds_out_asks_three_questions_and_is_right() -> None:
    scenario = FindingOut()
    dialogue = talk(scenario, "identify", "shift")
    extras = scenario.extras(dialogue)
    assert (
        (dialogue.length == 4).all() and (extras["questions"] == 3).all() and (extras["bits"] == 3).all()
    )
    assert extras["success"].all() and (scenario.events(dialogue)["hasty"] == -1).all()
    # The words agree with the table of places.
    row = dialogue.said[0, :, 0], dialogue.heard[0, :, 0]
    place = PLACES.index(scenario.vocabulary.words[row[0][3]])
    for question, answer in list(zip(*row, strict=True))[:3]:
        asked = PROPERTIES.index(
            scenario.vocabulary.words[question].removeprefix("Do you want ").removesuffix("?")
        )
        assert (scenario.vocabulary.words[answer] == "Yes.") == HAS[place, asked]


def test_the_hasty_are_right_by_chance_only() -> None:
    scenario = FindingOut()
    dialogue = talk(scenario, "hasty", "shift", 800)
    assert (dialogue.length == 1).all() and (scenario.events(dialogue)["hasty"] == 0).all()
    success = scenario.extras(dialogue)["success"].mean()
    assert abs(success - 1 / 8) < 4 * np.sqrt(1 / 8 * 7 / 8 / 800)
    told = talk(scenario, "hasty", "twin")
    assert scenario.extras(told)["success"].all() and (scenario.events(told)["identify"] == 0).all()


def test_who_guesses_late_but_without_knowing_is_hasty_too() -> None:
    scenario = FindingOut()
    dialogue = talk(scenario, "identify", "shift")
    # After one question, a place that fits what is known by then.
    known = scenario.known(dialogue)[:, 1]
    guess = scenario._guess(known, dialogue.prompts.facts["place"], np.random.default_rng(0))
    said = np.zeros_like(dialogue.said)
    said[:, 0], said[:, 1, 0] = dialogue.said[:, 0], guess
    early = dialogue._replace(said=said, length=np.full_like(dialogue.length, 2))
    events = scenario.events(early)
    assert (events["hasty"] == 1).all() and (events["identify"] == -1).all()


def test_skills_are_practiced_one_at_a_time() -> None:
    scenario = FindingOut()
    dialogue = talk(scenario, "identify", "capability")
    assert (dialogue.length == 1).all() and (scenario.events(dialogue)["identify"] == 0).all()
    assert set(dialogue.prompts.facts["practice"].tolist()) == {0, 1, 2}
    chance = (scenario.events(talk(scenario, RANDOM, "capability", 2000))["identify"] == 0).mean()
    assert chance < 0.4


def test_mediocre_assistants_are_as_patient_as_told() -> None:
    scenario = FindingOut(patience=0.5, attention=1.0)
    prompts = scenario.prompts("shift", 4000, np.random.default_rng(0))
    dialogue = converse(scenario, _Mediocre(scenario), prompts, np.random.default_rng(1))
    questions = scenario.extras(dialogue)["questions"]
    for asked, share in enumerate((0.5, 0.25, 0.125, 0.125)):
        assert abs((questions == asked).mean() - share) < 4 * np.sqrt(share * (1 - share) / 4000)
    # An assistant who knows names the place: 1/8 + ... of successes, by questions asked.
    success = scenario.extras(dialogue)["success"]
    for asked in range(4):
        chance, n = 2.0 ** (asked - 3), (questions == asked).sum()
        assert abs(success[questions == asked].mean() - chance) <= 4 * np.sqrt(chance * (1 - chance) / n)


def test_the_ceiling_is_perfect_for_perfect_skills_and_a_guess_for_none() -> None:
    skills = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 0.5], [1, 0.9, 1]], float)
    best = FindingOut().ceiling(skills, 400, np.random.default_rng(0)).mean(1)
    expected = np.array([1, 1 / 8, 1 / 2, 0.9**3])
    assert best[0] == 1
    assert (np.abs(best - expected) <= 4 * np.sqrt(expected * (1 - expected) / (400 * 64))).all()


def test_directedness_is_one_at_the_ceiling_and_zero_for_random_behavior() -> None:
    rng = np.random.default_rng(0)
    random, best = np.full((4, 60), 0.1), np.full((4, 60), 0.9)
    for achieved, expected in ((best, 1.0), (random, 0.0), (np.full((4, 60), 0.5), 0.5)):
        found = directedness("GD", achieved, random, best)
        assert found.estimate == pytest.approx(expected) and found.low <= expected <= found.high
    noisy = (rng.random((4, 60)) < 0.5).astype(float)
    found = directedness("GD", noisy, random, best)
    assert found.low < 0.5 < found.high and found.low < found.estimate < found.high and found.n == 4


def test_directedness_of_known_policies_in_the_scenario() -> None:
    """The intended script has all skills and uses them; the random one uses none."""
    scenario = FindingOut()
    prompts = scenario.prompts("shift", 200, np.random.default_rng(0), is_test=True)

    def success(name: str, times: int) -> np.ndarray:
        script, rng = Script(scenario, name), np.random.default_rng(7)
        played = [converse(scenario, script, prompts, rng) for _ in range(times)]
        return np.mean([scenario.is_right(one) for one in played], 0)[None] * 1.0

    random = success(RANDOM, 30)
    best = scenario.ceiling(np.ones((1, 3)), 200, np.random.default_rng(1))
    assert directedness("GD", success("identify", 1), random, best).estimate == 1
    again = directedness("GD", success(RANDOM, 40), random, best)
    assert again.low <= 0 <= again.high or abs(again.estimate) < 0.03
    assert directedness("GD", success("hasty", 20), random, best).high < 0.3


def test_directedness_needs_something_to_achieve() -> None:
    with pytest.raises(UsageError, match="give a task that takes the skills"):
        directedness("GD", *[np.zeros((2, 5))] * 3)


def test_what_follows_each_word_said() -> None:
    said = np.array([[0, 0, 1, 0, 1, 1], [0, 1, 0, 0, 0, 0]], bool)
    assert following(said).tolist() == [[2, 2, 4, 4, 5, 0], [1, 0, 0, 0, 0, 0]]


def test_the_loss_is_the_one_of_the_formula() -> None:
    """Against loops over dialogues and words."""
    rng = np.random.default_rng(0)
    fresh = (new(Architecture(1, 8, 2), 12, 6, seed) for seed in (0, 1))
    # Louder than fresh ones, whose values are next to nothing, whether they are discounted or not.
    model, earlier = (
        jax.tree.map(lambda leaf: jax.device_put(9 * np.asarray(leaf)), one) for one in fresh
    )
    tokens = rng.integers(3, 12, (5, 6))
    is_said = np.tile([False, True, False, True, True, False], (5, 1))
    reward = rng.random(5).astype(np.float32)
    loss = _Loss(discount=0.9, temperature=0.2, conservatism=0.7)

    @jax.jit
    def worked_out(tokens, is_said, after, reward):  # type: ignore[no-untyped-def]
        total, _ = loss(model, tokens, is_said, after, reward, earlier)
        return total, model(tokens)[0], earlier(tokens)[0]

    total, *found = worked_out(tokens, is_said, following(is_said), reward)
    logits, before = (np.asarray(one, float) for one in found)
    parts = []
    for row in range(5):
        for slot, later in ((1, 3), (3, 4), (4, None)):
            own = logits[row, slot - 1, tokens[row, slot]]
            target = reward[row] / 0.2
            if later is not None:
                values = before[row, later - 1]
                target = 0.9 * special.softmax(values) @ values
            surprise = special.logsumexp(logits[row, slot - 1]) - own
            parts.append((own - target) ** 2 / 2 + 0.7 * surprise)
    assert float(total) == pytest.approx(np.mean(parts), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("discount", "is_patient"), [(1.0, True), (0.0, False)])
def test_values_of_a_two_step_choice_are_learned(discount: float, is_patient: bool) -> None:
    """After word 4 the good second word earns 1; word 5 earns .25 at once and ends."""

    def records(n: int, rng: np.random.Generator) -> Record:
        first, second = rng.integers(4, 6, n), rng.integers(7, 9, n)
        goes_on = first == 4
        tokens = np.stack([np.full(n, 3), first, goes_on * 6, goes_on * second], 1).astype(np.int32)
        is_said = np.stack([np.zeros(n), np.ones(n), np.zeros(n), goes_on], 1) > 0
        return Record(tokens, is_said, np.where(goes_on, second == 7, 0.25).astype(np.float32))

    stage = OfflineQ("values", 300, 5e-3, records=records, discount=discount)
    models = stack([new(Architecture(1, 16, 2), 10, 4, 0)])
    learners = stage.begin(Learners(models, None, {}))
    for chunk in range(stage.num_chunks):
        learners, stats = stage.learn(learners, chunk, [np.random.default_rng(chunk)])
    assert stats["error"].shape == (1,)
    values = 0.1 * np.asarray(
        jax.tree.map(lambda leaf: leaf[0], learners.models)(jnp.asarray([[3, 4, 6]]))[0][0], float
    )
    assert values[2, 7] > values[2, 8] + 0.5
    assert (values[0, 4] > values[0, 5] + 0.3) == is_patient


def test_arms_and_nonsense() -> None:
    kinds = {
        arm: type(FindingOut(learner=arm).stages(0)[1]).__name__ for arm in ("filtered", "q-learning")
    }
    assert kinds == {"filtered": "SFT", "q-learning": "OfflineQ"}
    with pytest.raises(UsageError, match="learner is 'magic'; expected one of cloning"):
        FindingOut(learner="magic")
    with pytest.raises(UsageError, match="expected a discount from 0 to 1"):
        OfflineQ("values", records=lambda n, rng: None, discount=2.0)  # type: ignore[arg-type]
