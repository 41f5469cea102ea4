"""Regret split into its parts, and exact values of policies, against oracles and played episodes."""

import functools
from typing import Any

import equinox as eqx
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra.numpy import arrays
from jax import jit

from goalgap import oracle
from goalgap.agents.networks import MLP
from goalgap.agents.scripted import Random
from goalgap.core import Decision, UsageError
from goalgap.envs import Corner
from goalgap.oracle import Oracle, is_greedy
from goalgap.rollout import episodes
from goalgap.theory.decomposition import Decomposition, decompose, policy_values

GAMMA, COUNT = 0.95, 16
ENV = Corner(size=5, max_steps=40)


@functools.cache
def levels_of(deploy: bool) -> Any:
    shift = ENV.shift()
    draw = jit(jax.vmap((shift.deploy if deploy else shift.train).sample))
    return draw(jax.random.split(jax.random.key(7), COUNT))


@functools.cache
def network() -> Any:
    """Drawn at random, and made to have preferences."""
    level = jax.tree.map(lambda leaf: leaf[0], levels_of(True))
    shape = ENV.observe(level, ENV.reset(level)).shape
    net = MLP(width=16).build(np.random.default_rng(8), shape, ENV.num_actions)
    return eqx.tree_at(lambda net: net.policy_head.weight, net, net.policy_head.weight * 200)


# -- values of policies ------------------------------------------------------------------------------


def test_a_random_policy_is_worth_what_the_oracle_says():
    found = policy_values(ENV, ENV.goals, Random(ENV.num_actions), levels_of(True), GAMMA)
    for column, goal in zip(found.T, ENV.goals, strict=True):
        expected = oracle.start_values(ENV, goal, levels_of(True), GAMMA, "random")
        np.testing.assert_allclose(column, expected, atol=1e-5)
        assert column.max() > 0.1


def test_a_network_is_worth_what_its_episodes_earn():
    levels, copies = levels_of(True), 256
    exact = policy_values(ENV, ENV.goals, network(), levels, GAMMA)
    repeated = jax.tree.map(lambda leaf: np.repeat(leaf, copies, 0), levels)
    play = jit(lambda levels, key: episodes(ENV, network(), levels, key, GAMMA)[0].returns)
    earned = np.asarray(play(repeated, jax.random.key(9))).reshape(COUNT, copies, -1)
    error = earned.std(1, ddof=1) / np.sqrt(copies)
    assert (abs(earned.mean(1) - exact) <= 4 * error + 1e-5).all()
    mean, error_of_mean = earned.mean((0, 1)), np.sqrt((error**2).sum(0)) / COUNT
    assert (abs(mean - exact.mean(0)) <= 4 * error_of_mean).all()
    assert (error > 0.005).any()
    chance = policy_values(ENV, ENV.goals, Random(ENV.num_actions), levels, GAMMA)
    assert (abs(chance - exact) > 8 * error + 0.01).any(), "it is not played at random"


def test_nobody_is_worth_more_than_the_optimum():
    found = policy_values(ENV, ENV.goals, network(), levels_of(True), GAMMA)
    for column, goal in zip(found.T, ENV.goals, strict=True):
        assert (column <= oracle.start_values(ENV, goal, levels_of(True), GAMMA) + 1e-5).all()


# -- the parts ---------------------------------------------------------------------------------------


def split(values: np.ndarray, deploy: bool = True, revealed: int = 1) -> Decomposition:
    wanted = ENV.intended
    return decompose(ENV, wanted, wanted, ENV.goals[revealed], levels_of(deploy), values, GAMMA)


def optima() -> np.ndarray:
    return oracle.start_values(ENV, ENV.intended, levels_of(True), GAMMA)


@hypothesis.given(arrays(np.float32, COUNT, elements=strategies.floats(0, 1, width=32)))
def test_the_parts_add_up_whatever_was_earned(values):
    found = split(values)
    np.testing.assert_allclose(found.outer + found.inner + found.competence, found.regret, atol=1e-6)
    np.testing.assert_allclose(found.regret, optima() - values, atol=1e-5)


class Tied(Oracle):
    """Uniform over greedy actions for good, as the decomposition supposes; an oracle stays where it is
    when nothing is left to gain."""

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Decision:
        q = observation[0][:, 0]
        return Decision(jnp.where(is_greedy(q), 0.0, -jnp.inf), q.max(-1), memory, {})


@pytest.mark.parametrize("deploy", [False, True])
def test_an_optimizer_of_the_proxy_has_an_inner_gap_after_the_shift_and_no_other(deploy):
    """Its values come from played episodes."""
    policy, copies = Tied(ENV.proxies, GAMMA), 512
    levels = jax.tree.map(lambda leaf: np.repeat(leaf, copies, 0), levels_of(deploy))

    @jit
    def play(levels: Any, key: Any) -> Any:
        return episodes(ENV, policy, levels, key, GAMMA, policy.prepare(ENV, levels))[0].returns[:, 0]

    earned = np.asarray(play(levels, jax.random.key(1))).reshape(COUNT, copies)
    error = earned.std(1, ddof=1) / np.sqrt(copies)
    found = split(earned.mean(1), deploy)
    assert not found.outer.any()
    assert (abs(found.competence) <= 4 * error + 1e-5).all()
    if deploy:
        assert found.inner.mean() > 0.1 and (found.inner >= 0).all() and (error > 0.001).any()
    else:
        assert not found.inner.any() and abs(found.regret).max() < 1e-5


def test_a_wrong_reward_is_an_outer_gap_and_clumsiness_a_residual():
    cheese, corner = ENV.goals
    chance = oracle.start_values(ENV, cheese, levels_of(True), GAMMA, "random")
    wrong = decompose(ENV, cheese, corner, corner, levels_of(True), chance, GAMMA)
    assert wrong.outer.mean() > 0.2 and not wrong.inner.any()
    clumsy = split(chance, revealed=0)
    assert not clumsy.outer.any() and not clumsy.inner.any()
    np.testing.assert_array_equal(clumsy.competence, clumsy.regret)
    assert clumsy.competence.mean() > 0.1
    lucky = split(optima())
    assert (lucky.competence < -0.05).any(), "better for the wanted goal than the goal it was taken for"


def test_discounts_are_checked():
    with pytest.raises(UsageError, match=r"gamma is 1.0; a discount is above 0 and below 1"):
        policy_values(ENV, ENV.goals, Random(ENV.num_actions), levels_of(True), 1.0)
