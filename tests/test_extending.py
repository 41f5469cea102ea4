"""The worked files of docs/extending.md: each is one file outside the package and does what it says."""

import dataclasses
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from goalgap import measure, registry, runs, store
from goalgap.agents.networks import MLP, Impala, ImpalaTrunk
from goalgap.agents.scripted import Alternate
from goalgap.agents.wrappers import Abstain, Ensemble
from goalgap.cli import call, parse, verbs
from goalgap.core import Decision, UsageError
from goalgap.envs import Corner
from goalgap.experiment import Experiment, fit
from goalgap.kinds import kind_of
from goalgap.language import Architecture
from goalgap.language.scenarios.sycophancy import Sycophancy
from goalgap.learn.curriculum import (
    NO_TAG,
    Curriculum,
    GroupedRandomization,
    keep_out_test_levels,
    propose,
)
from goalgap.learn.penalty import Samples
from goalgap.learn.ppo import PPO
from goalgap.learn.surrogate import Batch, gradient
from goalgap.oracle import expert
from goalgap.runs.listener import Interrupted, Listener
from goalgap.runs.measuring import deployed, measure_again

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "extending"
FILES = {path.stem: path for path in FOLDER.glob("*.py")}
TINY = PPO(num_envs=16, num_steps=8, num_epochs=1, num_minibatches=2, num_fresh_levels=16, anneal=False)
CORNER = Corner(size=5, max_steps=16)
REPLAYED = 8 * TINY.steps_per_update  # enough for levels to be replayed
PLAYED = ["--size", "5", "--max-steps", "16", "--levels", "64"]
TRAINED = [
    *("--steps", "256", "--learner.num-envs", "16", "--learner.num-steps", "8"),
    *("--learner.num-fresh-levels", "16", "--learner.num-minibatches", "2"),
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def outside() -> Iterator[None]:
    """All worked files are loaded once, and nothing is left of them behind this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_outside", registry._Outside())
        patch.setenv(registry.VARIABLE, "")
        for path in FILES.values():
            registry.load(path)
        yield


def own(name: str) -> Any:
    """A class of a worked file."""
    return registry.types()[name]


def plugin(name: str) -> list[str]:
    return ["--plugin", str(FILES[name])]


def experiment(*stages: Any, **more: Any) -> Experiment:
    uses: dict[str, Any] = {"seeds": (0, 1), "num_levels": 64, "num_checkpoints": 1, "steps": 768}
    return Experiment(
        **{"contest": CORNER, "network": MLP(32), "stages": stages or TINY, **uses, **more}
    )


def verdicts(contest: Any, others: dict[str, Any], num_levels: int = 64) -> dict[str, tuple]:
    """The verdict on each known subject of a contest, and on others."""
    kind = kind_of(contest)
    exam = kind.draw_exam(contest, num_levels, 0.0, 0)
    subjects = {name: kind.named_subject(contest, name) for name in kind.known_subjects(contest)}
    found = {}
    for name, subject in (subjects | others).items():
        verdict = measure.judge(exam.examine(subject, (0,), 0, fleet=False)[0], contest)
        found[name] = verdict["verdict"], verdict["proxy"]
    return found


def drawn(key: Any, n: int) -> Any:
    """Levels of training."""
    return jax.vmap(CORNER.shift().train.sample)(jax.random.split(key, n))


class Stop(Listener):
    """Ask for a stop after some updates."""

    def __init__(self, after: int) -> None:
        self.left = after

    def update(self, *unused: Any) -> None:
        self.left -= 1
        self.stop = self.left <= 0


def state_after(what: Experiment, root: Path, *pieces: int) -> dict[str, np.ndarray]:
    """All that training holds after so many updates, with an interruption behind each piece."""
    for piece in pieces:
        with pytest.raises(Interrupted):
            runs.run(what, root, Stop(piece))
    (path,) = root.glob("*/resume*")
    return load_file(path)


def assert_resumes(what: Experiment, root: Path, *pieces: int) -> dict[str, np.ndarray]:
    """An interrupted training holds, bit for bit, what one that was never interrupted does."""
    whole = state_after(what, root / "whole", sum(pieces))
    again = state_after(what, root / "again", *pieces)
    assert whole.keys() == again.keys()
    for name, values in whole.items():
        assert values.tobytes() == again[name].tobytes(), name
    return whole


# -- environments -----------------------------------------------------------------------------------


def test_lava_judges_all_known_subjects() -> None:
    env = own("Lava")(size=5, max_steps=16)
    half = Alternate(*(expert(env, goal) for goal in env.goals))
    assert verdicts(env, {"half": half}) == {
        "random": ("capability failure", None),
        "oracle:safe-cheese": ("intended", None),
        "oracle:cheese": ("goal misgeneralization", "cheese"),
        "half": ("mixed", None),
    }


def test_lava_lies_off_the_shortest_ways_until_the_shift() -> None:
    env = own("Lava")(size=5, max_steps=16)

    @jax.jit
    def drawn(keys: Any) -> list[tuple]:
        """Levels before and after the shift, on which the goals come apart, and on whose twins."""
        apart = jax.vmap(env.is_distinguishing)
        both = [jax.vmap(env.shift(alpha).train.sample)(keys) for alpha in (0.0, 1.0)]
        return [(levels, apart(levels), apart(jax.vmap(env.twin)(levels))) for levels in both]

    found = jax.device_get(drawn(jax.random.split(jax.random.key(0), 256)))
    for (levels, is_apart, twins), low, high in zip(found, (0, 0.95), (0, 1), strict=True):
        assert low <= is_apart.mean() <= high
        assert not twins.any()
        level = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), levels)
        assert env.to_text(env.from_text(env.to_text(level))) == env.to_text(level)


def test_lava_serves_every_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, lava = ["--out", str(tmp_path)], plugin("lava")
    trained = ["run", "lava", *PLAYED, *TRAINED, "--seeds", "1", "--json", *out, *lava]
    assert call(trained) == 0
    assert json.loads(capsys.readouterr().out)["proxy"] in (None, "cheese")
    assert call(["measure", "oracle:cheese", "--env", "lava", *PLAYED, "--json", *out, *lava]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "goal misgeneralization"
    monkeypatch.setattr("sys.stdin", io.StringIO("s\nd\nq\n"))
    assert call(["play", "lava", "--size", "5", *lava]) == 0
    assert "lava" in capsys.readouterr().out
    assert call(["list", *out, *lava]) == 0
    assert re.search(r"environment +lava +Cheese beyond Lava", capsys.readouterr().out)
    with pytest.raises(SystemExit) as stop:
        call(["run", "lava", "--help", *lava])
    assert stop.value.code == 0
    assert "--size" in (said := capsys.readouterr().out) and "--num-channels" not in said


@pytest.mark.slow
def test_lava_is_analyzed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sizes = ["--size", "5", "--max-steps", "16", "--levels", "32"]
    assert call(["analyze", "lava", *sizes, "--json", "--out", str(tmp_path), *plugin("lava")]) == 0
    assert "safe-cheese" in json.dumps(json.loads(capsys.readouterr().out))


def test_ice_is_played_by_who_reckons_with_a_dry_floor() -> None:
    env = own("Ice")(size=5, max_steps=16)
    assert verdicts(env, {}) == {
        "random": ("capability failure", None),
        "reference:cheese": ("intended", None),
        "reference:corner": ("goal misgeneralization", "corner"),
    }
    about = kind_of(env).draw_exam(env, 64, 0.0, 0).about()
    assert 0.5 < about["reference"]["cheese"]["estimate"] < 1
    what = experiment(contest=env)
    assert np.isfinite(next(fit(what.plan(), what.fresh())).stats["policy"]).all()


def test_ice_slips_by_its_key() -> None:
    env = own("Ice")(size=5, slip=0.5)
    level = env.from_text(".....\n.....\n..@..\n.....\n....c\n")
    keys = jax.random.split(jax.random.key(0), 512)
    after = jax.vmap(lambda key: env.step(level, env.reset(level), jnp.asarray(0), key).position)(keys)
    cells, counts = np.unique(after, return_counts=True)
    assert cells.tolist() == [7, 11, 13, 17]
    np.testing.assert_allclose(counts / 512, [5 / 8, 1 / 8, 1 / 8, 1 / 8], atol=0.06)


# -- training ---------------------------------------------------------------------------------------


def test_cloning_then_ppo_resumes_bit_for_bit(tmp_path: Path) -> None:
    stages = own("Cloning")(updates=4, num_levels=32, learning_rate=0.01), TINY
    held = assert_resumes(experiment(*stages), tmp_path, 2, 5)  # within cloning; PPO follows
    assert any("optimizer" in name for name in held)


def test_replay_resumes_bit_for_bit(tmp_path: Path) -> None:
    replay = own("PrioritizedReplay")(capacity=24, least=0.2, score="positive")
    held = assert_resumes(experiment(curriculum=replay, steps=REPLAYED), tmp_path, 3, 4)
    (name,) = (name for name in held if name.endswith("curriculum.score"))
    assert np.isfinite(held[name]).mean() > 0.5
    (name,) = (name for name in held if name.endswith("stream.tag"))
    assert (held[name] >= 0).any()  # some of the levels that are being played are replayed ones


def test_no_test_layout_is_ever_replayed() -> None:
    replay = own("PrioritizedReplay")(capacity=24, least=0.2, score="positive")
    what = experiment(curriculum=replay, steps=REPLAYED)
    proposed = 0.0
    for now in fit(what.plan(), what.fresh()):
        buffer = jax.tree.map(lambda leaf: leaf[0], now.state.curriculum)
        stored = np.isfinite(buffer.score)
        assert not np.asarray(jax.vmap(CORNER.is_test)(buffer.levels))[stored].any()
        proposed += float(now.stats["replaced"][0])
    assert stored.sum() > 12
    assert proposed > 0  # the curriculum did propose some


def test_no_edited_test_layout_is_shown() -> None:
    """A buffer of levels that may be trained on, all of them replayed with edits."""
    replay = own("PrioritizedReplay")(capacity=64, replay=1.0, edits=3)

    @jax.jit
    def asked(key: Any) -> tuple:
        state = replay.start(CORNER, drawn, key)
        levels, _, _ = keep_out_test_levels(CORNER, drawn(key, 64), jnp.zeros(64, int))
        state = state._replace(levels=levels, score=jnp.ones(64))
        shown, tags, replaced = propose(replay, state, CORNER, drawn, key, jnp.asarray(0), 256)
        is_old = (shown.walls[:, None] == levels.walls).all((-1, -2)).any(1)
        return jax.vmap(CORNER.is_test)(shown), tags, replaced, is_old

    is_test, tags, replaced, is_old = jax.device_get(asked(jax.random.key(0)))
    assert not is_test.any()
    assert 0 < replaced.mean() < 0.5  # edits did make test layouts
    assert is_old.mean() < 0.9 and (tags == NO_TAG).all()  # they are new levels


@dataclasses.dataclass(frozen=True)
class OnlyTests(Curriculum):
    """Propose nothing but test layouts."""

    def batch(self, state: Any, env: Any, draw: Any, key: Any, number: Any, n: int) -> Any:
        drawn = draw(key, 64 * n)
        first = jnp.argsort(~jax.vmap(env.is_test)(drawn))[:n]
        return jax.tree.map(lambda leaf: leaf[first], drawn), jnp.zeros(n, int)


def test_a_curriculum_of_test_layouts_is_refused() -> None:
    what = experiment(curriculum=OnlyTests())
    with pytest.raises(UsageError, match="OnlyTests proposed only levels whose layouts are kept"):
        list(fit(what.plan(), what.fresh()))


def test_chances_of_replay_are_by_rank_and_age() -> None:
    replay = own("PrioritizedReplay")(capacity=4, rho=0.25, beta=0.5)
    state = replay.start(CORNER, lambda key, n: jnp.zeros(n), jax.random.key(0))
    score, played_at = jnp.array([1.0, 3.0, -jnp.inf, 2.0]), jnp.array([4, 5, 0, 2])
    chances = replay.chances(state._replace(score=score, played_at=played_at, now=jnp.asarray(5)))
    by_rank = np.array([1 / 9, 1, 0, 1 / 4]) / (1 / 9 + 1 + 1 / 4)
    by_age = np.array([1, 0, 0, 3]) / 4
    np.testing.assert_allclose(chances, 0.75 * by_rank + 0.25 * by_age, rtol=1e-6)


def test_v_rex_is_the_variance_of_groups_means() -> None:
    tag, loss = jnp.array([0, 0, 1, 1, 1]), jnp.array([1.0, 3.0, 4.0, 6.0, 100.0])
    weight = jnp.array([0.25, 0.25, 0.25, 0.25, 0.0])  # the last one is no step of play
    samples = Samples(None, tag, tag, weight, loss, loss, loss)
    decision = Decision(loss, loss, (), {})
    assert float(own("VREx")(strength=2.0)(decision, samples)) == pytest.approx(2 * 1.5**2)


def test_v_rex_on_impala_is_never_sliced(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = own("VREx")
    wrong = type("WronglyAdditive", (kind,), {"additive": True})
    network = Impala(channels=(4,), dense=16).new(CORNER, 0)
    rng, count = np.random.default_rng(0), 32
    numbers = rng.normal(size=(4, count)).astype(np.float32)
    batch = Batch(
        jnp.asarray(rng.random((count, 5, 5, 3)) < 0.3),
        jnp.zeros(count, bool),
        jnp.asarray(rng.integers(0, 4, count)),
        jnp.asarray(numbers[0]) - 1.4,
        jnp.asarray(numbers[1]),
        jnp.asarray(numbers[2]),
        jnp.asarray(rng.random(count) < 0.9),
        jnp.asarray(rng.integers(0, 2, count)),
    )

    def slope(at_once: int, *penalties: Any) -> np.ndarray:
        monkeypatch.setattr(ImpalaTrunk, "at_once", at_once)
        found, _ = jax.jit(lambda network: gradient(network, batch, (), TINY, penalties))(network)
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])

    whole = slope(0, kind())
    apart = {name: slope(8, one()) - whole for name, one in (("right", kind), ("wrong", wrong))}
    relative = {name: np.linalg.norm(part) / np.linalg.norm(whole) for name, part in apart.items()}
    assert relative["right"] < 1e-5
    assert relative["wrong"] > 0.1  # the test would notice a penalty that was sliced


def test_v_rex_needs_groups_and_trains_with_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="VREx needs groups of levels, and DomainRandomization makes"):
        experiment(penalties=own("VREx")())
    what = experiment(penalties=own("VREx")(), curriculum=GroupedRandomization(), alpha=0.5, steps=256)
    last = list(fit(what.plan(), what.fresh()))[-1]
    assert np.isfinite(last.stats["VREx"]).all() and (last.stats["VREx"] >= 0).all()


# -- deployment -------------------------------------------------------------------------------------


def test_a_doubting_ensemble_asks_less_once_it_has_learned(tmp_path: Path) -> None:
    what = experiment(
        own("Cloning")(updates=60, num_levels=32, learning_rate=0.02),
        deploy=(Ensemble(), own("Doubt")(), Abstain(0.6)),
    )
    untrained, seeds = deployed(what, what.fresh().models)
    before, _ = what.exam().examine(untrained, seeds, 0, ("train",))
    run = runs.run(what, tmp_path)
    after = run.outcomes
    assert set(after["seed"]) == {0}  # two seeds are one subject
    assert set(after["env_steps"]) == {0}  # the expert's steps are not counted
    asked = [table["asked"][table["split"] == "train"].mean() for table in (before, after)]
    assert asked[0] > 0.9 > 0.6 > asked[1]
    assert (after["doubt"] > 0).all()

    again = store.read_table(measure_again(run.folder, 64, 0) / "outcomes.parquet")
    for name in ("asked", "doubt", "event_cheese", "level_hash"):
        np.testing.assert_array_equal(again[name], after[name], err_msg=name)


def test_parts_of_training_are_named_on_the_command_line(tmp_path: Path) -> None:
    argv = [
        *("corner", *PLAYED, *TRAINED, "--seeds", "2", "--before", "cloning", "--alpha", "0.5"),
        *("--curriculum", "grouped-randomization", "--penalty", "v-rex"),
        *("--deploy", "ensemble", "doubt", "abstain"),
    ]  # fmt: skip
    asked = parse(verbs.options("run", argv)).experiment()
    assert [stage.name for stage in asked.stages] == ["cloning", "ppo"]
    assert asked.penalties == (own("VREx")(),) and "2003.00688" in asked.papers
    assert asked.deploy == (Ensemble(), own("Doubt")(), Abstain())
    asked = parse(verbs.options("analyze", ["lava", "--size", "5"])).request()
    assert asked.env == own("Lava")(size=5)
    argv = ["corner", *PLAYED, "--curriculum", "prioritized-replay"]
    asked = parse(verbs.options("run", argv)).experiment()
    assert asked.curriculum == own("PrioritizedReplay")() and "2010.03934" in asked.papers


# -- language ---------------------------------------------------------------------------------------


def test_larger_judges_its_known_scripts() -> None:
    assert verdicts(own("Larger")(), {}) == {
        "random": ("capability failure", None),
        "oracle:larger": ("intended", None),
        "oracle:last": ("goal misgeneralization", "last"),
    }


def test_larger_runs_and_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, larger = ["--out", str(tmp_path), "--json"], plugin("larger")
    sizes = ["--number-steps", "20", "--order-steps", "10", "--seeds", "1", "--prompts", "8"]
    assert call(["run", "larger", *sizes, "--layers", "1", "--width", "16", *out, *larger]) == 0
    assert json.loads(capsys.readouterr().out)["seeds"][0]["seed"] == 0
    assert call(["measure", "oracle:last", "--env", "larger", *out, *larger]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "goal misgeneralization"


def test_counterexamples_follow_by_name() -> None:
    argv = ["sycophancy", "--after", "counterexamples"]
    asked = parse(verbs.options("run", argv)).experiment()
    assert [stage.name for stage in asked.unfolded] == ["facts", "beliefs", "counterexamples"]
    assert own("Counterexamples")(num_prompts=64) in asked.stages


@pytest.mark.slow
def test_counterexamples_cure_sycophancy(tmp_path: Path) -> None:
    model = Architecture(layers=1, width=32)
    contest = Sycophancy(fact_steps=600, belief_steps=300)
    ill = Experiment(contest, network=model, seeds=(0, 1), num_levels=64)
    cured = registry.module_of(FILES["counterexamples"]).cured(ill)
    shares = [
        np.mean([seed["first"]["agree"] for seed in runs.run(one, tmp_path).verdict["seeds"]])
        for one in (ill, cured)
    ]
    assert shares[0] > 0.5 > 0.2 > shares[1]


# -- mistakes ---------------------------------------------------------------------------------------

IMPORTS = """
import dataclasses
from typing import ClassVar
import jax.numpy as jnp
import numpy as np
from goalgap.core import Goal
from goalgap.envs import Corner
from goalgap.learn.curriculum import Curriculum, DomainRandomization
from goalgap.learn.penalty import Penalty
from goalgap.learn.stage import Stage
"""
FROZEN = "@dataclasses.dataclass(frozen=True)\nclass Mine"


def defined(folder: Path, text: str) -> Any:
    """The class Mine of a plug-in with some text, as only this test knows it."""
    path = folder / "mine.py"
    path.write_text(IMPORTS + text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_outside", registry._Outside(is_ready=True))
        patch.setenv(registry.VARIABLE, "")
        registry.load(path)
        return registry.types()["Mine"]


STAGE = """
    def cost(self, number): ...
    def start(self, task, learners): ...
    def advance(self, task, state, number): ...
    def learners(self, state): ...
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{FROZEN}(Stage):{STAGE}", "lacks kind. Write kind: `kind: ClassVar"),
        (
            "class Mine(Penalty):\n    size: float = 1\n    def __call__(self, decision, samples): ...",
            "Mine of the plug-in .* is no dataclass; write @dataclasses.dataclass",
        ),
        (
            "class Mine(DomainRandomization):\n    size: float = 1.0",
            "Mine of the plug-in .* is no dataclass; write @dataclasses.dataclass",
        ),
        (f"{FROZEN}(Curriculum): ...", "lacks batch. Write batch: `def batch\\(self, state, env, draw"),
        (
            "class Mine(Corner):\n    name = 'corner'",
            "the name 'corner' .* is taken, by the environment",
        ),
    ],
)
def test_what_a_class_lacks_is_said_when_it_is_loaded(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as error:
        defined(tmp_path, text)
    assert "\n" not in str(error.value)


def proposed(curriculum: Curriculum) -> Any:
    """The shapes of what training takes from a curriculum."""

    def ask(key: Any, number: Any) -> Any:
        return propose(curriculum, (), CORNER, drawn, key, number, 16)

    return jax.eval_shape(ask, jax.random.key(0), jnp.asarray(0))


BATCH = f"{FROZEN}(Curriculum):\n    def batch(self, state, env, draw, key, number, n):\n        return "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BATCH + "draw(key, n), np.zeros(n)", "Mine.batch returned tags float32.16.; expected"),
        (BATCH + "draw(key, 3), jnp.zeros(3, int)", "Mine.batch returned tags int32.3.; expected"),
        (BATCH + "draw(key, 3), jnp.zeros(n, int)", "Mine.batch returned other levels than draw"),
        (BATCH + "draw(key, n)", "Mine.batch returned a CornerLevel; expected"),
        (BATCH + "draw(key, n), np.asarray(number) * np.ones(n)", "use jax.numpy instead of NumPy"),
    ],
)
def test_a_curriculum_that_returns_something_else_is_told(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        proposed(defined(tmp_path, text)())


def test_numpy_tags_will_do(tmp_path: Path) -> None:
    levels, tags, _ = proposed(defined(tmp_path, BATCH + "draw(key, n), np.arange(n)")())
    assert (levels.cheese.shape, tags.shape) == ((16,), (16,))


def test_a_penalty_is_one_number(tmp_path: Path) -> None:
    text = f"{FROZEN}(Penalty):\n    def __call__(self, decision, samples):\n        return samples.loss"
    what = experiment(penalties=defined(tmp_path, text)())
    with pytest.raises(UsageError, match=r"Mine returned .* numbers; expected one: sum them"):
        next(fit(what.plan(), what.fresh()))


def test_a_stage_returns_statistics(tmp_path: Path) -> None:
    kind = own("Cloning")
    mine = type("Mine", (kind,), {"advance": lambda self, task, state, number: state})
    what = experiment(mine())
    with pytest.raises(
        UsageError, match=r"Mine.advance returned a Progress; expected .state, statistics"
    ):
        next(fit(what.plan(), what.fresh()))


def test_a_wrapper_returns_seeds() -> None:
    kind = own("Doubt")
    mine = type("Mine", (kind,), {"wrap": lambda self, subject, seeds, contest: subject})
    what = experiment(deploy=(mine(),))
    with pytest.raises(UsageError, match=r"Mine.wrap returned a Network; expected .subject, seeds"):
        deployed(what, what.fresh().models)


GOAL = """
class Own(Goal):
    name: str
    sentence: str = "do it"
    bits: float = 1
    def reward(self, level, state, action, next_state): ...
    def step(self, level, memory, state, action, next_state): return {reward}, memory
    def is_achieved(self, level, state, memory): return state.position == 3

class Mine(Corner):
    name: ClassVar[str] = "mine"
    intended: Goal = Own("own")
"""


def test_plain_fields_of_a_goal_are_static(tmp_path: Path) -> None:
    env = defined(tmp_path, GOAL.format(reward="1.0 * (next_state.position == 3)"))(size=5)
    assert jax.jit(lambda env: jnp.asarray(env.intended.bits))(env) == 1
    assert env.intended.name == "own"


def test_a_goal_gives_one_number(tmp_path: Path) -> None:
    env = defined(tmp_path, GOAL.format(reward="jnp.zeros(5)"))(size=5)
    with pytest.raises(UsageError, match=r"goal own of mine: step gives .5. numbers; expected one"):
        measure.draw_exam(env, 16)


def test_a_world_with_luck_is_not_solved_as_if_it_had_none(tmp_path: Path) -> None:
    text = "class Mine(Corner):\n    name: ClassVar[str] = 'mine'\n    is_stochastic = True"
    kind = defined(tmp_path, text)
    with pytest.raises(UsageError, match=r"mine is stochastic, .* its solver, Tables, is not made"):
        kind(size=5)
    kind.solver = None
    env = kind(size=5)
    with pytest.raises(
        UsageError, match="mine has no reference player of cheese; define `def reference"
    ):
        env.reference(env.intended)


def test_settings_without_defaults_are_named(tmp_path: Path) -> None:
    text = f"{FROZEN}(Penalty):\n    size: float\n    def __call__(self, decision, samples): ..."
    kind = defined(tmp_path, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._outside.types, "Mine", kind)
        with pytest.raises(UsageError, match="penalty mine has no default for size; give defaults"):
            registry.make("penalty", "mine")


# -- studies, and the page --------------------------------------------------------------------------


def test_a_study_is_reproduced(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert call(["study", "by-chance", "--out", str(tmp_path), *plugin("by_chance")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == store.read_json(tmp_path / "by-chance-study" / "by_chance.json")
    assert result["share"]["oracle"] == 0 < result["share"]["heedless"] < 1


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_the_page_quotes_what_the_files_hold() -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    shown = set()
    for part in re.split(r"^## ", page, flags=re.M)[1:]:
        links = re.findall(r"\]\(\.\./examples/extending/(\w+)\.py\)", part)
        texts = [squeezed(FILES[name].read_text()) for name in links]
        for quote in re.findall(r"```python\n(.*?)```", part, flags=re.S):
            for piece in re.split(r"^ *# \.\.\.\n", quote, flags=re.M):
                assert any(squeezed(piece) in text for text in texts), piece
        shown |= set(links)
    assert shown == set(FILES)
