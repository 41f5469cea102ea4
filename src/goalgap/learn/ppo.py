"""Proximal policy optimization (1707.06347) with generalized advantage estimation (1506.02438).

A fleet of seeds trains in one program, vmapped. The loop over minibatches is Python's, not a scan: on
CPU the gradient of a convolution inside an XLA loop is ten times slower (jax issue 12868). All
randomness is a function of (seed, stage, number of the update), so a `TrainState` is all there is to
resume. Programs are compiled once for equal settings, whichever experiment they belong to.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from ..agents.networks import Network
from ..compilation import QUICKLY
from ..core import (
    Environment,
    Goal,
    Levels,
    Memory,
    UsageError,
)
from ..rollout import Steps, Stream, start_stream, stream
from ..settings import settle
from .curriculum import Curriculum, DomainRandomization, Played, check_replaced, propose
from .penalty import Penalty
from .stage import Budget, Learners, Stage, Task
from .surrogate import Batch, advantages, gradient


@dataclasses.dataclass(frozen=True)
class PPO(Stage):
    """Train by PPO; the default settings suit small boards on a CPU.

    `PUBLISHED` has those of 2507.03068, table G.1.
    """

    kind: ClassVar[str] = "environment"
    uses: ClassVar[frozenset[str]] = frozenset({"goal", "levels", "curriculum", "penalties"})
    papers: ClassVar[tuple[str, ...]] = ("1707.06347", "1506.02438")

    num_envs: int = 256  # lanes played side by side, per seed
    num_steps: int = 64  # steps of each lane between updates
    num_epochs: int = 4
    num_minibatches: int = 8
    learning_rate: float = 1e-3
    anneal: bool = True  # the learning rate falls linearly to zero
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    value_clip: bool = False
    value_coefficient: float = 0.5
    entropy_coefficient: float = 0.01
    max_grad_norm: float = 0.5
    num_fresh_levels: int = 4096  # sampled for each update and seed
    name: str = "ppo"
    steps: int | None = None  # environment steps of each seed; None: what is left of the budget

    def __post_init__(self) -> None:
        counts = ("num_envs", "num_steps", "num_epochs", "num_minibatches", "num_fresh_levels")
        weights = ("clip", "value_coefficient", "entropy_coefficient")
        settle(
            self,
            **dict.fromkeys(counts, (1, None)),
            **dict.fromkeys(weights, (0, None)),
            **dict.fromkeys(("gamma", "gae_lambda"), (0, 1)),
        )
        for name in ("learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected a positive number")
        if self.num_envs % self.num_minibatches:
            raise UsageError(
                f"num_envs {self.num_envs} does not divide into num_minibatches {self.num_minibatches}"
            )

    @property
    def steps_per_update(self) -> int:
        """Count the environment steps of one seed between updates."""
        return self.num_envs * self.num_steps

    def cost(self, number: int) -> Budget:
        return Budget(self.steps_per_update, self.num_epochs * self.num_minibatches)

    def length(self, task: Task) -> float:
        return super().length(task) if self.steps is None else -(-self.steps // self.steps_per_update)

    def start(self, task: Task, learners: Learners) -> "TrainState":
        """Begin episodes on levels of the curriculum, with a fresh optimizer."""
        program = self.program(task).playing
        keys = _keys(task, 2**31 - 1)
        optimizer, at, state = _start(program, task.contest, task.levels, keys, learners.models)
        return TrainState(learners.models, optimizer, at, state, learners.others)

    def advance(
        self, task: Task, state: "TrainState", number: int
    ) -> tuple["TrainState", dict[str, np.ndarray]]:
        """Play, then learn from what was played."""
        at, curriculum, batch, memory, stats = self.collect(task, state, number)
        network, optimizer = state.network, state.optimizer
        if task.curriculum.learns(number):
            program = self.program(task).learning
            for index in self.minibatches(number, network.lstm is not None):
                network, optimizer, parts = _learn(program, network, optimizer, batch, memory, index)
                stats = stats | parts
        found = {name: np.asarray(value) for name, value in stats.items()}
        check_replaced(task.curriculum, float(found["replaced"].max()))
        return TrainState(network, optimizer, at, curriculum, state.others), found

    def collect(self, task: Task, state: "TrainState", number: int) -> tuple[Any, ...]:
        """Play the steps of an update.

        Returns where the lanes then stand, the curriculum's state, the batch, the policies' memories
        before it, and statistics.
        """
        return _collect(
            self.program(task).playing,
            task.contest,
            task.goal,
            task.levels,
            _keys(task, number),
            state.network,
            state.stream,
            state.curriculum,
        )

    def learners(self, state: "TrainState") -> Learners:
        return Learners(state.network, None, state.others)

    def program(self, task: Task) -> "Program":
        """Name the compiled programs of a task: tasks of equal names share them."""
        # The length of training matters only where the learning rate falls with it.
        num_updates = self.num_updates(task) if self.anneal else 0
        settings = dataclasses.replace(self, name="", steps=None)  # stages that differ in these share it
        return Program(settings, num_updates, task.curriculum, task.penalties)

    def minibatches(self, number: int, recurrent: bool) -> list[Int[np.ndarray, " n"]]:
        """Draw the minibatches of one update, as indices into its samples (lanes, where recurrent).

        All seeds share the indices; each seed's data are its own.
        """
        count = self.num_envs if recurrent else self.steps_per_update
        rng = np.random.default_rng(number)
        epochs = [
            rng.permutation(count).astype(np.int32).reshape(self.num_minibatches, -1)
            for _ in range(self.num_epochs)
        ]
        return list(np.concatenate(epochs))


PUBLISHED = PPO(
    num_envs=256,
    num_steps=128,
    num_epochs=5,
    num_minibatches=4,
    learning_rate=5e-5,
    anneal=False,
    gamma=0.999,
    clip=0.1,
    value_clip=True,
    entropy_coefficient=1e-3,
)


class TrainState(NamedTuple):
    """Hold all there is of a fleet in training; every array has a leading axis of seeds."""

    network: Network
    optimizer: Any
    stream: Stream
    curriculum: Any  # the curriculum's own state
    others: dict[str, Any]  # what earlier stages kept beside


# -- compiled programs ------------------------------------------------------------------------------


class Program(NamedTuple):
    """Hold what a compiled program is made for; whoever asks for an equal one shares the program."""

    ppo: PPO
    num_updates: int  # 0: the learning rate does not depend on it
    curriculum: Curriculum
    penalties: tuple[Penalty, ...]

    @property
    def playing(self) -> "Program":
        """Name the program that plays: penalties do not matter to it."""
        return self._replace(penalties=())

    @property
    def learning(self) -> "Program":
        """Name the program that learns: it does not matter to it who proposed the levels."""
        return self._replace(curriculum=DomainRandomization())

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Make the optimizer: Adam on clipped gradients, its learning rate annealed if `ppo` says so."""
        ppo, rate = self.ppo, self.ppo.learning_rate
        num_steps = self.num_updates * ppo.num_epochs * ppo.num_minibatches
        schedule = optax.linear_schedule(rate, 0.0, num_steps) if ppo.anneal else rate
        return optax.chain(optax.clip_by_global_norm(ppo.max_grad_norm), optax.adam(schedule, eps=1e-5))


def _keys(task: Task, number: int) -> Any:
    """Give what each seed's luck in an update depends on: seed, number, and the stage's place."""
    return np.array([(seed, number, task.number) for seed in task.seeds], np.int32)


def _key(words: Int[Array, "3"]) -> Key[Array, ""]:
    seed, number, place = words
    key = jax.random.fold_in(jax.random.key(seed), number)
    # The first stage's randomness is the seed's own; later stages have theirs apart from it.
    later = jax.random.fold_in(key, place)
    data = jnp.where(place == 0, jax.random.key_data(key), jax.random.key_data(later))
    return jax.random.wrap_key_data(data)


def _draw(levels: Levels) -> Any:
    return lambda key, count: jax.vmap(levels.sample)(jax.random.split(key, count))


def start_fleet(
    program: Program, env: Environment, levels: Levels, keys: Int[Array, "s 3"], networks: Network
) -> tuple[Any, Stream, Any]:
    """Give each seed a fresh optimizer, lanes at the start of episodes, and its curriculum's state."""

    def one(words: Int[Array, "3"], network: Network) -> tuple[Any, Stream, Any]:
        key = _key(words)
        state = program.curriculum.start(env, _draw(levels), jax.random.fold_in(key, 1))
        number = jnp.zeros((), int)
        drawn, tags, _ = propose(
            program.curriculum, state, env, _draw(levels), key, number, program.ppo.num_envs
        )
        optimizer = program.optimizer.init(_params(network))
        return optimizer, start_stream(env, network, drawn, tags), state

    return jax.vmap(one)(keys, networks)


def collect_fleet(
    program: Program,
    env: Environment,
    goal: Goal,
    levels: Levels,
    keys: Int[Array, "s 3"],
    networks: Network,
    at: Stream,
    state: Any,
) -> tuple[Stream, Any, Batch, Memory, dict[str, Array]]:
    """Play an update's steps with each seed, on levels that the curriculum proposes.

    Returns, with a leading axis of seeds: where the lanes then stand, the curriculum's state, the batch,
    the policies' memories before it, and statistics.
    """

    def one(words: Int[Array, "3"], network: Network, at: Stream, state: Any) -> tuple:
        levels_key, key = jax.random.split(_key(words))
        count = program.ppo.num_fresh_levels
        number = words[1].astype(int)
        bank, tags, replaced = propose(
            program.curriculum, state, env, _draw(levels), levels_key, number, count
        )
        pool = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), at.level, bank)
        pool_tags = jnp.concatenate([at.tag, tags])
        begin, memory = at, at.memory
        at, steps, last_value = stream(env, goal, network, begin, bank, key, program.ppo.num_steps, tags)
        advantage = advantages(steps, last_value, program.ppo.gamma, program.ppo.gae_lambda)
        played = Played(pool, pool_tags, steps, advantage)
        state = program.curriculum.update(state, played)
        batch = _batch(steps, advantage, network.lstm is not None)
        return at, state, batch, memory, _statistics(env, played) | {"replaced": replaced.mean()}

    return jax.vmap(one)(keys, networks, at, state)


def _batch(steps: Steps, advantage: Float[Array, "t b"], is_recurrent: bool) -> Batch:
    batch = Batch(
        steps.observation,
        steps.is_first,
        steps.action,
        steps.log_prob,
        steps.value,
        advantage,
        steps.is_valid,
        steps.tag,
    )
    return batch if is_recurrent else jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)


def _statistics(env: Environment, played: Played) -> dict[str, Array]:
    """Give the mean return of the episodes that ended, and the share of those begun on a level on which
    the goals come apart."""
    steps = played.steps
    ended = jnp.maximum((steps.terminated | ~steps.is_valid).sum(), 1)
    begun = steps.is_first & steps.is_valid
    distinguishing = jax.vmap(env.is_distinguishing)(played.pool)[steps.place]
    return {
        "return": (steps.reward * steps.is_valid).sum() / ended,
        "distinguishing": (begun & distinguishing).sum() / jnp.maximum(begun.sum(), 1),
    }


def learn_fleet(
    program: Program,
    networks: Network,
    optimizers: Any,
    batches: Batch,
    memories: Memory,
    index: Int[Array, " n"],
) -> tuple[Network, Any, dict[str, Array]]:
    """Make one step down the gradient of a minibatch (its samples' `index`) for each seed."""

    def one(network: Network, optimizer: Any, batch: Batch, memory: Memory) -> tuple:
        if network.lstm is None:
            batch = jax.tree.map(lambda x: x[index], batch)
        else:  # whole lanes, so that the LSTM sees them in order
            batch = jax.tree.map(lambda x: x[:, index], batch)
            memory = jax.tree.map(lambda x: x[index], memory)
        slope, parts = gradient(network, batch, memory, program.ppo, program.penalties)
        change, optimizer = program.optimizer.update(slope, optimizer, _params(network))
        return eqx.apply_updates(network, change), optimizer, parts

    return jax.vmap(one)(networks, optimizers, batches, memories)


# Whatever is not an array is static, in worlds and goals too, also where their fields do not say so.
_filter_jit = cast(Any, eqx.filter_jit)  # whose types do not know that it passes options on
_start = _filter_jit(start_fleet, compiler_options=QUICKLY)
_collect = eqx.filter_jit(collect_fleet)
_learn = jax.jit(learn_fleet, static_argnames="program", donate_argnames=("networks", "optimizers"))


def _params(network: Network) -> Any:
    """Pass a network on as a tree of arrays, which optax's annotations do not foresee."""
    return eqx.filter(network, eqx.is_array)
