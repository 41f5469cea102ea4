"""PPO with the default dense network: a fleet of four seeds in one program, beside one seed at a time.

The share of the machine's matrix-product peak counts the multiplications of the network only (forward
once in the rollout; forward and backward in each epoch, without the gradient of the observation).
"""

from typing import Any

import jax
from _timing import matrix_peak, row, seconds

import goalgap
from goalgap.learn.stage import Budget, Learners, Task, stack

SEEDS = (0, 1, 2, 3)
LEARNER = goalgap.PPO(entropy_coefficient=0.02)


def updates(seeds: tuple[int, ...]) -> tuple[Any, Any]:
    """Make a function that trains for one more update at each call, and the state of training."""
    env = goalgap.Corner(size=9)
    budget = Budget(1000 * LEARNER.steps_per_update)
    task = Task(env, env.intended, env.shift().train, seeds, budget=budget)
    held = [LEARNER.start(task, Learners(stack([goalgap.MLP().new(env, seed) for seed in seeds])))]

    def once() -> Any:
        held[0], _ = LEARNER.advance(task, held[0], 0)
        return held[0]

    return once, held[0]


def flops_per_step(network: Any) -> float:
    """Count multiplications and additions a step and seed, as the module's docstring says."""
    weights = [leaf.size / len(SEEDS) for leaf in jax.tree.leaves(network) if leaf.ndim > 2]
    first = max(weights)  # the dense layer on the observation
    forward = 2 * sum(weights)
    return forward + LEARNER.num_epochs * (3 * forward - 2 * first)


def bench() -> list[dict[str, Any]]:
    """Measure training of a fleet beside its seeds one by one; return the rows of the table."""
    fleet, state = updates(SEEDS)
    singles = [updates((seed,))[0] for seed in SEEDS]
    per_step = flops_per_step(state.network)
    together, apart = seconds(fleet, lambda: [once() for once in singles])
    steps = LEARNER.steps_per_update * len(SEEDS)
    peak = matrix_peak()
    share = per_step * steps / together / peak
    note = f"{share:.0%} of the matrix-product peak, {peak / 1e9:.0f} GFLOP/s"
    what = "corner 9x9: PPO, dense network, fleet of 4"
    return [row(what, steps / together, steps / apart, "env steps/s", note)]


if __name__ == "__main__":
    print(bench())
