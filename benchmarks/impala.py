"""PPO with the small IMPALA: ours beside the same update as one fused scan with XLA's convolutions.

Cheese in the Corner at 9x9 (the network sees 11x11, with the border), 256 environments x 128 steps,
5 epochs x 8 minibatches of 4,096, one seed. The reference is the same code for loss, optimizer and
network, with `lax.conv_general_dilated` and `lax.reduce_window` for our products, and with epochs and
minibatches in one `lax.scan`, as learners in JAX are usually written. Its time is that of a scan over
two minibatches: all forty take minutes. A third variant has XLA's operations and our loop in Python, to
show what each half of the cure is worth.

The share of the matrix-product peak counts 2 operations for each multiplication of a convolution or
dense layer as usually defined: taps on the zero padding count, the zeros in our block-Toeplitz matrices
do not. Forward once in the rollout; forward and backward in each epoch, without the gradient of the
observation. The second, smaller share leaves out the taps on padding too.
"""

import contextlib
import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from _timing import row, seconds

import goalgap
from goalgap.agents import networks
from goalgap.agents.networks import NETWORKS, ImpalaTrunk, Network
from goalgap.learn import ppo
from goalgap.learn.ppo import PPO
from goalgap.learn.stage import Budget, Learners, Task, stack

SIDE = 9
LEARNER = PPO(num_envs=256, num_steps=128, num_epochs=5, num_minibatches=8)
MINIBATCHES = LEARNER.num_epochs * LEARNER.num_minibatches
WIDTH, PRODUCTS = 2048, 100  # of the matrix products that find the machine's peak
TIMED = 2  # minibatches of the variants that take minutes for all

product = jax.jit(jnp.matmul)


def xla_convolution(x: Any, weight: Any, bias: Any) -> Any:
    """Convolve as `networks.conv3x3` does, by XLA's own operation."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=layout) + bias


def xla_max_pool(x: Any) -> Any:
    """Pool as `networks.max_pool` does, by XLA's own operation."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")


@contextlib.contextmanager
def xla_operations() -> Iterator[None]:
    """Give networks that are traced meanwhile XLA's operations and a whole minibatch at once."""
    products = mock.patch.multiple(networks, conv3x3=xla_convolution, max_pool=xla_max_pool)
    with products, mock.patch.object(ImpalaTrunk, "at_once", 0):
        yield


@dataclasses.dataclass
class Variant:
    """Hold one way to play and to learn from what was played, compiled."""

    collect: Callable[[], Any]
    learn: Callable[[], Any]
    minibatches: int  # that `learn` takes

    def seconds_to_learn(self, learn: float) -> float:
        """Scale the time of one call of `learn` to that of an update."""
        return learn * MINIBATCHES / self.minibatches


@dataclasses.dataclass
class Played:
    """Hold a task after a rollout, and functions that are compiled for this task alone.

    They have the operations of the moment (see `xla_operations`).
    """

    task: Task
    state: Any
    collect: Callable[[], Any]
    learn: Callable[..., Any]  # not compiled
    batch: Any
    memory: Any


def played() -> Played:
    """Begin a task and play the steps of one update."""
    env, network = goalgap.Corner(size=SIDE), NETWORKS["impala-small"]
    budget = Budget(1000 * LEARNER.steps_per_update)
    task = Task(env, env.intended, env.shift().train, budget=budget)
    state = LEARNER.start(task, Learners(stack([network.new(env, 0)])))
    program = LEARNER.program(task)
    play = jax.jit(functools.partial(ppo.collect_fleet, program))
    keys = np.array([(0, 0, 0)], np.uint32)
    parts = (env, task.goal, task.levels, keys, state.network, state.stream, state.curriculum)
    _, _, batch, memory, _ = play(*parts)
    learn = functools.partial(ppo.learn_fleet, program)
    return Played(task, state, lambda: play(*parts), learn, batch, memory)


def split(minibatches: int) -> Variant:
    """Make the package's learner: a compiled step for each minibatch, called from Python."""
    one = played()
    held = jax.tree.map(jnp.copy, (one.state.network, one.state.optimizer))  # steps consume theirs
    indices = LEARNER.minibatches(0, False)[:minibatches]
    step = jax.jit(one.learn, donate_argnums=(0, 1))

    def learn() -> Any:
        nonlocal held
        for index in indices:
            *held, _ = step(*held, one.batch, one.memory, index)
        return held

    jax.block_until_ready(learn())
    return Variant(one.collect, learn, minibatches)


def fused(minibatches: int) -> Variant:
    """Make a learner of the steps of `split` in one compiled scan."""
    one = played()
    indices = jnp.asarray(np.stack(LEARNER.minibatches(0, False)[:minibatches]))

    def body(carry: tuple[Network, Any], index: Any) -> tuple[tuple[Network, Any], Any]:
        network, optimizer, parts = one.learn(*carry, one.batch, one.memory, index)
        return (network, optimizer), parts

    start = (one.state.network, one.state.optimizer)
    learn = jax.jit(lambda carry: jax.lax.scan(body, carry, indices)).lower(start).compile()
    return Variant(one.collect, lambda: learn(start), minibatches)


def operations(trunk: Any, actions: int, padding: bool) -> tuple[float, float]:
    """Count the operations a sample: forward, and forward and backward.

    `padding` says whether its taps count.
    """
    side, convolutions = SIDE + 2, []
    for convolution, blocks in trunk.stages:
        convolutions.append((side, convolution))
        side = -(-side // 2)
        convolutions += [(side, layer) for block in blocks for layer in (block.first, block.second)]
    counts = []
    for side, layer in convolutions:
        taps = 9 * side**2 if padding else (3 * side - 2) ** 2
        counts.append(2.0 * taps * np.prod(layer.weight.shape[-2:]))
    dense = np.prod(trunk.dense.weight.shape[-2:]) + trunk.dense.bias.shape[-1] * (actions + 1)
    forward = sum(counts) + 2.0 * dense
    return forward, 3 * forward - counts[0]


def multiply() -> Any:
    """Multiply matrices for about as long as our update: a neighbor on the machine slows both alike."""
    a = jnp.ones((WIDTH, WIDTH))
    return [product(a, a).block_until_ready() for _ in range(PRODUCTS)][-1]


def bench() -> list[dict[str, Any]]:
    """Measure playing and learning of IMPALA, ours beside XLA's; return the rows of the table."""
    with xla_operations():
        reference, looped = fused(TIMED), split(TIMED)
    ours = split(MINIBATCHES)
    products, played_ours, played_xla, *learned = seconds(
        multiply, ours.collect, reference.collect, ours.learn, reference.learn, looped.learn, repeats=3
    )
    peak = PRODUCTS * 2 * WIDTH**3 / products
    variants = (ours, reference, looped)
    learn, learn_fused, learn_looped = (
        variant.seconds_to_learn(time) for variant, time in zip(variants, learned, strict=True)
    )

    network = played().state.network
    steps, actions = LEARNER.steps_per_update, goalgap.Corner.num_actions

    def share(spent: float, rollout: bool = False, padding: bool = True) -> float:
        forward, both = operations(network.trunk, actions, padding)
        return steps * (rollout * forward + LEARNER.num_epochs * both) / spent / peak

    def note(spent: float, rollout: bool) -> str:
        full, strict = share(spent, rollout), share(spent, rollout, padding=False)
        return f"{full:.0%} of the matrix-product peak, {strict:.0%} without taps on padding"

    size = sum(leaf.size for leaf in jax.tree.leaves(network))
    name = f"corner 9x9: PPO, IMPALA of {size / 1e3:.0f} k"
    lines = [
        ("rollout and update", played_ours + learn, played_xla + learn_fused),
        ("update", learn, learn_fused),
        ("update, XLA's operations in our loop", learn, learn_looped),
        ("rollout", played_ours, played_xla),
    ]
    notes = [
        f"{note(played_ours + learn, True)}; peak {peak / 1e9:.0f} GFLOP/s",
        f"{note(learn, False)}; reference {share(learn_fused):.1%}",
        f"reference {share(learn_looped):.0%}",
        "",
    ]
    return [
        row(f"{name}: {what}", steps / mine, steps / theirs, "env steps/s", text)
        for (what, mine, theirs), text in zip(lines, notes, strict=True)
    ]


def main() -> None:
    """Print the table, as JSON with --json."""
    rows = bench()
    if "--json" in sys.argv[1:]:
        print(json.dumps(rows, indent=2))
        return
    for line in rows:
        rates = f"{line['ours']:8,.0f} {line['unit']} beside {line['reference']:8,.0f}"
        print(f"{line['what']:75s} {rates}: {line['ratio']:5.1f}x  {line['note']}")


if __name__ == "__main__":
    main()
