"""Clone an expert: agents imitate the best player of a goal on training levels, before PPO or alone.

Source: behavioral cloning, Pomerleau 1991. Each update plays the expert (exact play, or the
environment's reference player) on fresh training levels and takes one step down the cross-entropy of
its actions.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from goalgap.learn.curriculum import keep_out_test_levels
from goalgap.learn.stage import Budget, Learners, Stage, Task, stack
from goalgap.oracle import expert
from goalgap.rollout import episodes
from goalgap.settings import settle


class Progress(NamedTuple):
    """Where cloning stands; every array leads with an axis of seeds."""

    networks: Any
    optimizer: Any
    others: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Cloning(Stage):
    """Imitate the expert of the trained goal for `updates` updates of `num_levels` episodes each."""

    kind: ClassVar[str] = "environment"
    uses: ClassVar[frozenset[str]] = frozenset({"goal", "levels"})

    name: str = "cloning"
    updates: int = 200
    num_levels: int = 64
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        settle(self, updates=(1, None), num_levels=(1, None), learning_rate=(0, 1))

    def length(self, task: Task) -> float:
        return self.updates

    def cost(self, number: int) -> Budget:
        """Spend one gradient step; no environment steps are counted, for they are the expert's."""
        return Budget(0, 1)

    def start(self, task: Task, learners: Learners) -> Progress:
        optimizer = jax.vmap(optax.adam(self.learning_rate).init)(learners.models)
        return Progress(learners.models, optimizer, learners.others)

    def advance(self, task: Task, state: Progress, number: int) -> tuple[Progress, dict[str, Any]]:
        env, player = task.contest, expert(task.contest, task.goal)
        shown = []
        for seed in task.seeds:
            draw_key, play_key = jax.random.split(_key(seed, task.number, number))
            levels = _draw(env, task.levels, draw_key, self.num_levels)
            shown.append(_demonstrate(env, player, player.prepare(env, levels), levels, play_key))
        networks, optimizer, loss = _learn(
            self.learning_rate, state.networks, state.optimizer, *stack(shown)
        )
        return Progress(networks, optimizer, state.others), {"cloning": np.asarray(loss)}

    def learners(self, state: Progress) -> Learners:
        return Learners(state.networks, None, state.others)


@jax.jit
def _key(seed: int, place: int, number: int) -> Array:
    """Give the luck of a seed's update; `place` is the stage's among all stages."""
    key = jax.random.fold_in(jax.random.key(seed), number)
    return jax.random.fold_in(jax.random.fold_in(key, place), 0xC107)


@eqx.filter_jit
def _draw(env: Any, levels: Any, key: Array, count: int) -> Any:
    """Draw training levels, none of whose layouts is kept for evaluation."""
    drawn = jax.vmap(levels.sample)(jax.random.split(key, count))
    return keep_out_test_levels(env, drawn, jnp.zeros(count, int))[0]


@eqx.filter_jit
def _demonstrate(
    env: Any, player: Any, context: Any, levels: Any, key: Array
) -> tuple[Any, Array, Array]:
    """Play the expert: what networks would have seen, what it did [t, n], and which steps are live."""
    kept = ("state", "action", "is_live")
    _, trace = episodes(env, player, levels, key, 1.0, context, (), kept)
    assert trace is not None  # activations were asked for, if only none
    before = jax.tree.map(lambda leaf: leaf[:-1], trace.state)
    return jax.vmap(jax.vmap(env.observe), (None, 0))(levels, before), trace.action, trace.is_live


@eqx.filter_jit
def _learn(rate: float, networks: Any, optimizers: Any, seen: Any, action: Array, live: Array) -> Any:
    """Take each seed one step down the cross-entropy of the expert's actions."""

    def loss(network: Any, seen: Any, action: Array, live: Array) -> Array:
        begins = jnp.zeros(action.shape, bool).at[0].set(True)
        logits = network.unroll(seen, begins, network.initial(action.shape[1])).logits
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), action[..., None], -1)[..., 0]
        return -(chosen * live).sum() / live.sum()

    def one(network: Any, optimizer: Any, *batch: Any) -> tuple[Any, Any, Array]:
        cost, slope = jax.value_and_grad(loss)(network, *batch)
        change, optimizer = optax.adam(rate).update(slope, optimizer)
        return eqx.apply_updates(network, change), optimizer, cost

    return jax.vmap(one)(networks, optimizers, seen, action, live)
