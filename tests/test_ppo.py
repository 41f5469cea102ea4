"""PPO on problems whose answers are known on paper, and against plain references.

The probes follow A. Jones's "Debugging RL, Without the Agonizing Pain" (2021) and rejax: each isolates
one thing that can be wrong. They are the levels of a single environment, so that one short training
answers them all.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import jit
from scipy import special

from goalgap import store
from goalgap.agents.networks import MLP, Network, NetworkConfig
from goalgap.core import Decision, Environment, Goal, Levels, Shift, UsageError, tree_index
from goalgap.envs.corner import Corner
from goalgap.learn.penalty import Penalty, Samples
from goalgap.learn.ppo import PPO, TrainState, _learn
from goalgap.learn.stage import Budget, Learners, Task, stack
from goalgap.learn.surrogate import Batch, advantages, gradient, loss
from goalgap.rollout import Steps

GAMMA = 0.8
CONSTANT, CUE, DELAY, CHOICE, ENDLESS, MEMORY = range(6)
LENGTHS = jnp.array([1, 1, 2, 1, 1000, 3])  # steps until the end


class ProbeLevel(eqx.Module):
    kind: Any
    cue: Any  # 0 or 1


class ProbeState(eqx.Module):
    step: Any
    action: Any  # the last one


class ProbeLevels(Levels):
    """All kinds alike, cues alike."""

    def sample(self, key):
        kind, cue = jax.random.split(key)
        return ProbeLevel(jax.random.randint(kind, (), 0, 6), jax.random.randint(cue, (), 0, 2))


class Pay(Goal):
    """Constantly 1, at the end 1, or 1 for the action that the cue names."""

    name: str = "pay"
    sentence: str = "be paid"
    bits: float = 1.0

    def reward(self, level, state, action, next_state):
        ends = next_state.step == LENGTHS[level.kind]
        pays = jnp.stack(
            [
                jnp.ones(()),
                2.0 * level.cue - 1,
                1.0 * ends,
                1.0 * (action == level.cue),
                jnp.ones(()),
                1.0 * (ends & (action == level.cue)),
            ]
        )
        return pays[level.kind]

    def is_achieved(self, level, state, memory):
        return jnp.zeros((), bool)


class Probe(Environment):
    """One step for a constant; for a value that the observation shows; two steps, the second of which
    pays; one step in which the action must be the cue; steps without end, cut off after four; and three
    steps, with a cue shown in the first and wanted in the last."""

    name: ClassVar[str] = "probe"
    title: ClassVar[str] = "Probes"
    papers: ClassVar[tuple[str, ...]] = ()
    splayed: ClassVar[str] = ""
    num_actions: ClassVar[int] = 2
    action_names: ClassVar[tuple[str, ...]] = ("no", "yes")
    max_steps: int = eqx.field(static=True, default=4)
    intended: Goal = Pay()
    proxies: tuple[Goal, ...] = ()

    def reset(self, level):
        return ProbeState(jnp.zeros_like(level.kind), jnp.zeros_like(level.kind))

    def step(self, level, state, action, key=None):
        return ProbeState(state.step + 1, action.astype(state.action.dtype))

    def is_terminal(self, level, state):
        return state.step >= LENGTHS[level.kind]

    def observe(self, level, state):
        """The kind, the step (but not in endless episodes), the cue (in the first step)."""
        step = jnp.where(level.kind == ENDLESS, 0, state.step)
        cue = jnp.where(step == 0, level.cue, -1)
        parts = ((level.kind, 6), (step, 4), (cue, 2))
        return jnp.concatenate([jax.nn.one_hot(x, n, dtype=bool) for x, n in parts])[None, None]

    def layout_hash(self, level):
        return jnp.ones(2, jnp.uint32)  # none is kept for evaluation

    level_hash = layout_hash

    def shift(self, alpha=0.0):
        return Shift(ProbeLevels(), ProbeLevels())

    def is_distinguishing(self, level):
        return jnp.zeros((), bool)

    def twin(self, level):
        return level

    def _absent(self, *_):
        raise NotImplementedError

    board = sprites = rgb = to_text = from_text = splay = _absent  # type: ignore[assignment]


ENV = Probe()
UPDATES = 60
LEARNER = PPO(
    num_envs=64,
    num_steps=16,
    num_minibatches=4,
    learning_rate=5e-3,
    gamma=GAMMA,
    num_fresh_levels=1024,
    max_grad_norm=5.0,
)


class Trainer:
    """A stage on a task of its own, without an experiment."""

    def __init__(
        self, ppo: PPO, network: Any, env: Any, goal: Any, levels: Any, seeds: Any, num_updates: int
    ) -> None:
        self.stage, self.network = ppo, network
        budget = Budget(num_updates * ppo.steps_per_update)
        self.task = Task(env, goal, levels, seeds, budget=budget)

    def start(self) -> TrainState:
        fresh = [self.network.new(self.task.contest, seed) for seed in self.task.seeds]
        return self.stage.start(self.task, Learners(stack(fresh)))

    def update(self, state: TrainState, number: int) -> tuple[TrainState, Any]:
        return self.stage.advance(self.task, state, number)


def probe_trainer(network: NetworkConfig, seeds: tuple[int, ...], num_updates: int = UPDATES) -> Trainer:
    return Trainer(LEARNER, network, ENV, ENV.intended, ENV.shift().train, seeds, num_updates)


def train(trainer: Trainer, state: TrainState, first: int, last: int) -> TrainState:
    for number in range(first, last):
        state, _ = trainer.update(state, number)
    return state


class Trained:
    """A fleet after a short training, and what it thinks of each probe."""

    def __init__(self, network: NetworkConfig) -> None:
        trainer = probe_trainer(network, (0, 1))
        self.network = train(trainer, trainer.start(), 0, UPDATES).network

    @functools.cached_property
    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and probabilities of "yes" along three steps of each kind of probe with each cue,
        [kinds, cues, seeds, steps]."""

        def one(network: Network, kind: Any, cue: Any) -> tuple[jax.Array, jax.Array]:
            level = ProbeLevel(kind, cue)
            states = [ProbeState(jnp.asarray(step), jnp.asarray(0)) for step in range(3)]
            seen = jnp.stack([ENV.observe(level, state) for state in states])[:, None]
            is_first = (jnp.arange(3) == 0)[:, None]
            decision = network.unroll(seen, is_first, network.initial(1))
            return decision.value[:, 0], jax.nn.softmax(decision.logits)[:, 0, 1]

        seeds = jax.vmap(one, (0, None, None))
        cues = jax.vmap(seeds, (None, None, 0))
        kinds = jax.vmap(cues, (None, 0, None))
        return jax.device_get(jit(kinds)(self.network, jnp.arange(6), jnp.arange(2)))

    def ask(self, kind: int, cue: int, steps: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Values [seeds, steps] and probabilities of "yes" [seeds, steps] along an episode."""
        values, yes = self.answers
        return values[kind, cue, :, :steps], yes[kind, cue, :, :steps]


@pytest.mark.parametrize("lstm", [0, pytest.param(32, marks=pytest.mark.slow)])
def test_probes(lstm):
    trained = Trained(MLP(width=64, depth=1, lstm=lstm))
    ask = trained.ask
    for cue in (0, 1):
        np.testing.assert_allclose(ask(CONSTANT, cue)[0], 1, atol=0.1)
        np.testing.assert_allclose(ask(CUE, cue)[0], 2 * cue - 1, atol=0.1)
        values, yes = ask(CHOICE, cue)
        np.testing.assert_allclose(values, 1, atol=0.1)
        np.testing.assert_allclose(yes, cue, atol=0.05)
    np.testing.assert_allclose(ask(DELAY, 0, steps=2)[0], [[GAMMA, 1]] * 2, atol=0.1)
    # Mistaken for the end, the cut after four steps would make it worth 2.95 at most.
    np.testing.assert_allclose(ask(ENDLESS, 0)[0], 1 / (1 - GAMMA), atol=0.4)

    episodes = [ask(MEMORY, cue, steps=3) for cue in (0, 1)]
    for cue, (values, yes) in enumerate(episodes):
        if lstm:
            np.testing.assert_allclose(yes[:, 2], cue, atol=0.05)
            np.testing.assert_allclose(values, [[GAMMA**2, GAMMA, 1]] * 2, atol=0.15)
        else:
            np.testing.assert_array_equal(yes[:, 2], episodes[0][1][:, 2])
            np.testing.assert_allclose(values[:, 2], 0.5, atol=0.15)


# -- advantages --------------------------------------------------------------------------------------


def lanes(rng: np.random.Generator, num_steps: int, num_lanes: int) -> dict[str, np.ndarray]:
    """Rewards and ends at random; an episode that is cut off is followed by a look at its last state."""
    shape = num_steps, num_lanes
    terminated, is_valid = np.zeros(shape, bool), np.ones(shape, bool)
    for time in range(num_steps):
        for lane in range(num_lanes):
            if time and is_valid[time - 1, lane] and not terminated[time - 1, lane]:
                is_valid[time, lane] = rng.random() > 0.2
            terminated[time, lane] = is_valid[time, lane] and rng.random() < 0.2
    return {
        "value": rng.normal(size=shape),
        "reward": rng.normal(size=shape),
        "terminated": terminated,
        "is_valid": is_valid,
    }


def plain_advantages(lane: dict[str, np.ndarray], last_value: float, gamma: float, lam: float):
    """Equation 16 of 1506.02438, episode by episode: sums of discounted errors."""
    num_steps = len(lane["reward"])
    values = np.append(lane["value"], last_value)
    result = np.zeros(num_steps)
    start = 0
    while start < num_steps:
        if not lane["is_valid"][start]:
            start += 1
            continue
        end = start  # the last step of the episode, or of the rollout
        while not lane["terminated"][end] and end + 1 < num_steps and lane["is_valid"][end + 1]:
            end += 1
        for time in range(start, end + 1):
            for later in range(time, end + 1):
                future = 0.0 if lane["terminated"][later] else gamma * values[later + 1]
                error = lane["reward"][later] + future - values[later]
                result[time] += (gamma * lam) ** (later - time) * error
        start = end + 1
    return result


@pytest.mark.parametrize("gamma, lam", [(0.9, 0.8), (1.0, 1.0), (0.99, 0.0), (0.0, 0.9)])
def test_advantages_are_those_of_a_plain_loop(gamma, lam):
    rng = np.random.default_rng(0)
    table, last_value = lanes(rng, 30, 20), rng.normal(size=20)
    assert not table["is_valid"][-1].all() and table["terminated"][-1].any()
    columns = {name: jnp.asarray(column) for name, column in table.items()}
    steps = Steps(**dict.fromkeys(Steps._fields, ()) | columns)  # type: ignore[arg-type]
    result = advantages(steps, jnp.asarray(last_value), gamma, lam)
    for lane in range(20):
        column = {name: values[:, lane] for name, values in table.items()}
        expected = plain_advantages(column, last_value[lane], gamma, lam)
        np.testing.assert_allclose(result[:, lane], expected, atol=1e-5)


# -- loss --------------------------------------------------------------------------------------------

NETWORK = MLP(width=8, depth=1).build(np.random.default_rng(0), (1, 1, 12), 3)
CLIPPED = PPO(value_clip=True)  # the settings of most of these tests, which share their programs


@jit
def decide(observation: Any) -> Decision:
    return NETWORK(observation, ())


@functools.partial(jit, static_argnames=("ppo", "penalties"))
def slope_of_loss(batch: Batch, ppo: PPO, penalties: tuple[Penalty, ...] = ()) -> tuple[Any, Any]:
    """The gradient of the loss as JAX has it, and the loss's parts."""
    return jax.grad(loss, has_aux=True)(NETWORK, batch, (), ppo, penalties)


def sliced_slope(batch: Batch, ppo: PPO, penalties: tuple[Penalty, ...] = ()) -> tuple[Any, Any]:
    """The same by our `gradient`, compiled anew, since it reads the size of slices from the network."""
    return jit(lambda batch: gradient(NETWORK, batch, (), ppo, penalties))(batch)


def random_batch(rng: np.random.Generator, size: int = 200) -> Batch:
    observation = jnp.asarray(rng.random((size, 1, 1, 12)) < 0.5)
    decision = decide(observation)
    action = rng.integers(0, 3, size)
    log_prob = special.log_softmax(decision.logits, 1)[np.arange(size), action]
    return Batch(
        observation,
        jnp.zeros(size, bool),
        jnp.asarray(action),
        jnp.asarray(log_prob + rng.normal(0, 0.3, size), jnp.float32),
        jnp.asarray(np.asarray(decision.value) + rng.normal(0, 0.5, size), jnp.float32),
        jnp.asarray(rng.normal(1, 2, size), jnp.float32),
        jnp.asarray(rng.random(size) < 0.8),
        jnp.asarray(np.arange(size) % 2),
    )


def plain_loss(batch: Batch, ppo: PPO) -> tuple[float, dict[str, float]]:
    """Step by step in NumPy."""
    decision = jax.device_get(decide(batch.observation))
    batch = jax.device_get(batch)
    rows = np.flatnonzero(batch.is_valid)
    advantage = np.asarray(batch.advantage, float)[rows]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    policy, value, entropy = [], [], []
    for row, a in zip(rows, advantage, strict=True):
        logits = np.asarray(decision.logits[row], float)
        p = np.exp(logits) / np.exp(logits).sum()
        ratio = p[batch.action[row]] / np.exp(float(batch.log_prob[row]))
        policy.append(-min(ratio * a, np.clip(ratio, 1 - ppo.clip, 1 + ppo.clip) * a))
        old, new = float(batch.value[row]), float(decision.value[row])
        target = old + float(batch.advantage[row])
        error = (new - target) ** 2
        if ppo.value_clip:
            error = max(error, (old + np.clip(new - old, -ppo.clip, ppo.clip) - target) ** 2)
        value.append(0.5 * error)
        entropy.append(-(p * np.log(p)).sum())
    named = {"policy": policy, "value": value, "entropy": entropy}
    parts = {name: float(np.mean(values)) for name, values in named.items()}
    total = parts["policy"] + ppo.value_coefficient * parts["value"]
    return total - ppo.entropy_coefficient * parts["entropy"], parts


@pytest.mark.parametrize("value_clip", [False, True])
def test_the_loss_is_that_of_a_plain_loop(value_clip):
    batch = random_batch(np.random.default_rng(0))
    ppo = PPO(clip=0.2, value_clip=value_clip, value_coefficient=0.7, entropy_coefficient=0.05)
    total, parts = jit(lambda batch: loss(NETWORK, batch, (), ppo))(batch)
    expected, expected_parts = plain_loss(batch, ppo)
    assert float(total) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    for name, part in expected_parts.items():
        assert float(parts[name]) == pytest.approx(part, rel=1e-4, abs=1e-5)
    other, _ = plain_loss(batch, PPO(clip=0.2, value_clip=not value_clip, value_coefficient=0.7))
    assert abs(other - expected) > 1e-2


def test_steps_without_an_action_count_for_nothing():
    batch = random_batch(np.random.default_rng(0))
    is_valid, odd = np.asarray(batch.is_valid), {"action": 0, "log_prob": -5.0, "value": 100.0}
    spoiled = batch._replace(
        **{
            name: jnp.asarray(np.where(is_valid, column, value).astype(column.dtype))
            for name, value in (odd | {"advantage": -100.0}).items()
            for column in [np.asarray(getattr(batch, name))]
        }
    )
    one, other = (slope_of_loss(b, CLIPPED)[0] for b in (batch, spoiled))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one, other)


def test_a_batch_without_valid_steps_teaches_nothing():
    batch = random_batch(np.random.default_rng(0))
    slope, _ = slope_of_loss(batch._replace(is_valid=jnp.zeros(200, bool)), CLIPPED)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize("size", [50, 30])
def test_slices_have_the_gradient_of_the_whole(monkeypatch, size):
    """Four slices of 50, each with another number of valid steps; 30 does not divide 200."""
    batch = random_batch(np.random.default_rng(0))
    expected, expected_parts = slope_of_loss(batch, CLIPPED)
    monkeypatch.setattr(type(NETWORK.trunk), "at_once", size)
    slope, parts = sliced_slope(batch, CLIPPED)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), slope, expected)
    for name, part in expected_parts.items():
        assert float(parts[name]) == pytest.approx(float(part), abs=1e-5)


@dataclasses.dataclass(frozen=True)
class MeanValue(Penalty):
    """A sum over samples, each counted by its weight."""

    additive: ClassVar[bool] = True

    def __call__(self, decision: Decision, samples: Samples) -> Any:
        return (samples.weight * decision.value**2).sum()


@dataclasses.dataclass(frozen=True)
class Spread(Penalty):
    """The variance over two groups of their mean losses, which is no sum over samples."""

    needs_groups: ClassVar[bool] = True

    def __call__(self, decision: Decision, samples: Samples) -> Any:
        def mean(group: int) -> Any:
            weight = samples.weight * (samples.tag == group)
            return (weight * samples.loss).sum() / weight.sum()

        return (mean(0) - mean(1)) ** 2 / 4


@pytest.mark.parametrize("penalty", [MeanValue(), Spread()], ids=lambda one: type(one).__name__)
def test_penalties_have_the_gradient_of_the_whole(monkeypatch, penalty):
    batch = random_batch(np.random.default_rng(0))
    expected, parts = slope_of_loss(batch, CLIPPED, (penalty,))
    without, _ = slope_of_loss(batch, CLIPPED)
    monkeypatch.setattr(type(NETWORK.trunk), "at_once", 50)
    slope, found = sliced_slope(batch, CLIPPED, (penalty,))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), slope, expected)
    name = type(penalty).__name__
    assert float(found[name]) == pytest.approx(float(parts[name]), abs=1e-5)
    changes = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), slope, without)
    assert max(jax.tree.leaves(changes)) > 1e-3  # it matters


def test_a_penalty_that_is_no_sum_is_never_sliced(monkeypatch):
    """Called a sum though it is none, it goes wrong: that is what `additive` guards against."""
    batch = random_batch(np.random.default_rng(0))
    expected, _ = slope_of_loss(batch, CLIPPED, (Spread(),))
    monkeypatch.setattr(type(NETWORK.trunk), "at_once", 50)
    monkeypatch.setattr(Spread, "additive", True)
    wrong, _ = sliced_slope(batch, CLIPPED, (Spread(),))
    changes = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), wrong, expected)
    assert max(jax.tree.leaves(changes)) > 1e-3


def test_what_has_moved_far_enough_is_not_pushed_further():
    batch = random_batch(np.random.default_rng(0))
    logits, rows = decide(batch.observation).logits, np.arange(200)
    now = special.log_softmax(logits, 1)[rows, np.asarray(batch.action)]
    advantage = np.asarray(batch.advantage)
    better = np.sign(advantage - advantage[np.asarray(batch.is_valid)].mean())

    @jit
    @jax.grad
    def slope_of_policy(network: Network, log_prob: Any) -> Any:
        return loss(network, batch._replace(log_prob=log_prob), (), PPO(clip=0.2))[1]["policy"]

    def slope(moved: float) -> list[np.ndarray]:
        log_prob = jnp.asarray(now - moved * better, jnp.float32)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(slope_of_policy(NETWORK, log_prob))]

    assert not any(np.any(leaf) for leaf in slope(0.3))
    assert any(np.any(leaf) for leaf in slope(0.1))
    assert any(np.any(leaf) for leaf in slope(-0.3))


# -- fleets ------------------------------------------------------------------------------------------

TINY = PPO(num_envs=8, num_steps=6, num_epochs=2, num_minibatches=2, num_fresh_levels=16, gamma=GAMMA)
HEADS = MLP(width=8, depth=1, lstm=4)


def tiny_trainer(*seeds: int) -> Trainer:
    return Trainer(TINY, HEADS, ENV, ENV.intended, ENV.shift().train, seeds, 4)


def assert_same(one: Any, other: Any) -> None:
    """Bit by bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_fleets_are_reproducible_resumable_and_independent(tmp_path):
    # The second seed's place and company change, but not its size: then programs are shared.
    trainer, again, others = tiny_trainer(0, 1, 2), tiny_trainer(0, 1, 2), tiny_trainer(1, 4, 3)
    state = train(trainer, trainer.start(), 0, 2)
    store.write_tree(tmp_path / "state", state, {"updates": 2})
    finished = train(trainer, state, 2, 4)

    stored, about = store.read_tree(tmp_path / "state", again.start())
    assert about == {"updates": 2}
    assert_same(train(again, again.start(), 0, 2), stored)
    elsewhere = tree_index(jax.device_get(train(others, others.start(), 0, 2).network), 0)
    member = tree_index(jax.device_get(stored.network), 1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), elsewhere, member)
    assert_same(train(again, stored, 2, 4), finished)
    assert not np.allclose(*np.asarray(finished.network.value_head.weight)[:2])


def test_learning_starts_from_the_decisions_that_were_played():
    """Each minibatch, whatever its lanes, finds again what the rollout computed step by step: memories
    from before the rollout, resets, values and probabilities. Then all ratios are 1."""
    trainer = tiny_trainer(0, 1, 2)
    state = train(trainer, trainer.start(), 0, 1)
    network, optimizer = jax.device_get((state.network, state.optimizer))  # `_learn` overwrites its own
    assert any(np.any(leaf) for leaf in state.stream.memory)
    _, _, batch, memory, _ = trainer.stage.collect(trainer.task, state, 1)
    halves = np.random.default_rng(0).permutation(8).reshape(2, 4)
    program = trainer.stage.program(trainer.task)
    for lanes in halves:
        _, _, parts = _learn(program, network, optimizer, batch, memory, lanes.astype(np.int32))
        weight = np.asarray(batch.is_valid)[:, :, lanes]
        error = (np.asarray(batch.advantage)[:, :, lanes] ** 2).mean((1, 2), where=weight)
        np.testing.assert_allclose(parts["value"], 0.5 * error, rtol=1e-5)
        np.testing.assert_allclose(parts["policy"], 0, atol=1e-6)


def test_seeds_begin_with_their_own_network_on_levels_that_are_not_kept():
    env = Corner(size=5, max_steps=10)
    ppo = PPO(num_envs=256, num_steps=1, num_minibatches=1, num_fresh_levels=1)
    levels = env.shift().train
    state = Trainer(ppo, HEADS, env, env.intended, levels, (3, 1), 1).start()
    network, begun = jax.device_get((state.network, state.stream.level))
    expected = HEADS.build(np.random.default_rng(1), (5, 5, 3), 4)
    assert_same(tree_index(network, 1), expected)
    assert not jit(jax.vmap(jax.vmap(env.is_test)))(begun).any()
    raw = jit(jax.vmap(lambda key: env.is_test(levels.sample(key))))
    assert 0.05 < np.mean(raw(jax.random.split(jax.random.key(0), 256))) < 0.25
    assert not np.array_equal(*begun.walls)


def test_the_learning_rate_falls_to_zero():
    """With a constant gradient, Adam's steps are the learning rate itself."""
    trainer = Trainer(
        PPO(learning_rate=0.1, num_epochs=2, num_minibatches=4),
        HEADS, ENV, ENV.intended, ENV.shift().train, (0,), 3,
    )  # fmt: skip
    optimizer = trainer.stage.program(trainer.task).optimizer
    parameter, slope, update = jnp.zeros(()), jnp.ones(()), jit(optimizer.update)
    state, changes = optimizer.init(parameter), []
    for _ in range(2 * 4 * 3):
        change, state = update(slope, state, parameter)
        changes.append(float(np.asarray(change)))
    np.testing.assert_allclose(changes, -0.1 * (1 - np.arange(24) / 24), rtol=1e-3)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"num_envs": 0}, "num_envs is 0; expected at least 1"),
        ({"num_steps": -1}, "num_steps is -1"),
        ({"gamma": 1.1}, "gamma is 1.1; expected 0 to 1"),
        ({"gae_lambda": -0.1}, "gae_lambda is -0.1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a positive number"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"num_envs": 10, "num_minibatches": 4}, "num_envs 10 does not divide into num_minibatches 4"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(wrong, words):
    with pytest.raises(UsageError, match=words):
        PPO(**wrong)
