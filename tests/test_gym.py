"""The Gymnasium adapter: Gymnasium's own checks, and agreement with the house's loops."""

import importlib
import sys
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from goalgap.adapters.gym import GoalgapEnv, GoalgapVectorEnv, register
from goalgap.core import (
    Context,
    Decision,
    Environment,
    Observation,
    Policy,
    Situation,
    UsageError,
    tree_index,
)
from goalgap.envs import Corner, Keys
from goalgap.rollout import episodes

# Short episodes, so that many end; one environment and one number of lanes, so that programs are shared.
CORNER = Corner(size=5, max_steps=6)
KEYS = Keys(size=5, max_steps=6, few=1, many=2)
LEVELS = CORNER.shift(alpha=0.5).train
NUM_ENVS = 4

register()


class Script(Policy):
    """Plays a list of actions, whatever happens."""

    actions: jax.Array

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        return situation.step

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Decision:
        chosen = jax.nn.one_hot(self.actions[observation], 4, dtype=bool)
        return Decision(jnp.where(chosen, 0.0, -jnp.inf), jnp.zeros(chosen.shape[0]), memory, {})


@pytest.mark.parametrize("observation", ["symbolic", "rgb"])
def test_gymnasiums_checker_is_content(observation):
    env = gymnasium.make(
        "goalgap/corner-v0", size=5, max_steps=6, alpha=0.5, observation=observation,
        render_mode="rgb_array",
    )  # fmt: skip
    check_env(env.unwrapped)


@pytest.mark.parametrize("env", [CORNER, KEYS], ids=lambda env: env.name)
def test_a_vector_environment_is_its_lanes_played_one_by_one(env):
    levels = env.shift(alpha=0.5).train
    one_by_one = SyncVectorEnv(
        [lambda: GoalgapEnv(env, levels)] * NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP
    )
    together = GoalgapVectorEnv(env, levels, NUM_ENVS)
    assert data_equivalence(one_by_one.reset(seed=3), together.reset(seed=3), exact=True)
    num_ended = np.zeros(NUM_ENVS)
    for actions in np.random.default_rng(0).integers(0, 4, (150, NUM_ENVS)):
        expected, given = one_by_one.step(actions), together.step(actions)
        assert data_equivalence(expected, given, exact=True)
        num_ended += given[2] | given[3]
    assert num_ended.max() > 20  # the bank of levels was filled again
    assert data_equivalence(one_by_one.reset(), together.reset(), exact=True)


def test_rewards_and_ends_are_those_of_the_measuring_loop():
    draw = jax.jit(jax.vmap(LEVELS.sample))
    levels = draw(jax.random.split(jax.random.key(0), 16))
    actions = np.random.default_rng(1).integers(0, 4, CORNER.max_steps)
    outcome, _ = jax.jit(episodes, static_argnums=(0, 4))(
        CORNER, Script(jnp.asarray(actions)), levels, jax.random.key(0), 1.0
    )
    distinguishing = np.asarray(jax.jit(jax.vmap(CORNER.is_distinguishing))(levels))
    levels, outcome = jax.device_get((levels, outcome))
    env = GoalgapEnv(CORNER, LEVELS)
    for row in range(16):
        level = jax.device_put(tree_index(levels, row))
        _, info = env.reset(options={"level": CORNER.to_text(level)})
        assert info["distinguishing"] == distinguishing[row]
        steps = [env.step(action) for action in actions[: outcome.length[row]]]
        assert all(reward == info["rewards"]["cheese"] for _, reward, _, _, info in steps)
        for goal, expected in zip(CORNER.goals, outcome.returns[row], strict=True):
            assert sum(info["rewards"][goal.name] for *_, info in steps) == expected
        ends = [terminated or truncated for _, _, terminated, truncated, _ in steps]
        assert ends == [False] * (len(steps) - 1) + [True]
        assert steps[-1][2] == outcome.terminated[row] != steps[-1][3]


def test_running_out_of_time_is_not_termination():
    """In training the cheese is in the corner at the left: who walks to the right never gets it."""
    levels, last = CORNER.shift().train, CORNER.max_steps - 1
    envs = GoalgapVectorEnv(CORNER, levels, NUM_ENVS)
    envs.reset(seed=0)
    to_the_right = np.full(NUM_ENVS, 3)
    for step in range(last + 1):
        _, rewards, terminated, truncated, info = envs.step(to_the_right)
        assert not terminated.any() and not rewards.any()
        assert truncated.all() == truncated.any() == (step == last)
    assert info["_final_obs"].all() and not info["final_info"]["rewards"]["cheese"].any()
    single = GoalgapEnv(CORNER, levels)
    single.reset(seed=0)
    ends = [single.step(3)[2:4] for _ in range(last + 1)]
    assert ends == [(False, False)] * last + [(False, True)]


def test_seeds_make_all_that_follows_deterministic():
    first, second = (GoalgapEnv(CORNER, LEVELS, seed=seed) for seed in (5, 6))
    assert not data_equivalence([first.reset() for _ in range(3)], [second.reset() for _ in range(3)])
    expected = [first.reset(seed=6), first.reset()]
    assert data_equivalence(
        [GoalgapEnv(CORNER, LEVELS, seed=6).reset(), second.reset(seed=6)][:1], expected[:1]
    )
    assert data_equivalence(second.reset(), expected[1])


def test_any_goal_can_be_the_reward():
    level = "@....\n.....\n.....\n.....\n....c\n"
    env = GoalgapEnv(CORNER, LEVELS, goal="corner", render_mode="ansi")
    env.reset(options={"level": level})
    assert env.render() == level
    rewards = [env.step(action)[1] for action in (2, 0, 2, 0)]
    assert rewards == [0, 1, 0, 0]  # the first return to the corner pays


def test_gymnasium_makes_them_by_name():
    env = gymnasium.make("goalgap/corner-v0", size=5, max_steps=6, split="deploy")
    assert isinstance(env.unwrapped, GoalgapEnv)
    assert env.reset(seed=0)[1]["distinguishing"]
    envs = gymnasium.make_vec("goalgap/corner-v0", num_envs=NUM_ENVS, size=5, max_steps=6)
    assert isinstance(envs, GoalgapVectorEnv)
    assert not envs.reset(seed=0)[1]["distinguishing"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": "chese"}, "corner has no goal 'chese'; its goals are cheese, corner"),
        ({"observation": "text"}, "observation is 'text'; expected one of"),
        ({"render_mode": "human"}, "render_mode is 'human'; expected None or one of"),
        ({"seed": -1}, "seed is -1; expected a whole number from 0 to 4294967295"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        GoalgapEnv(CORNER, LEVELS, **arguments)


def test_steps_need_an_episode_and_an_action():
    env = GoalgapEnv(CORNER, LEVELS)
    with pytest.raises(UsageError, match="call reset"):
        env.step(0)
    env.reset()
    with pytest.raises(
        UsageError, match="the action is 4; expected one of 0 up, 1 left, 2 down, 3 right"
    ):
        env.step(4)
    envs = GoalgapVectorEnv(CORNER, LEVELS, NUM_ENVS)
    envs.reset()
    with pytest.raises(UsageError, match=r"the action is \[0\]; expected an array of 4, each of 0 up"):
        envs.step([0])


def test_without_gymnasium_the_repair_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "goalgap.adapters.gym")
    with pytest.raises(UsageError, match=r'pip install "goalgap\[gym\]"'):
        importlib.import_module("goalgap.adapters.gym")
