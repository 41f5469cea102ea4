"""The two loops, on a board small enough to count steps by hand.

. @ .     cells 0 1 2
. . .           3 4 5
. . c           6 7 8
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import jit

from goalgap.agents.outside import Outside
from goalgap.agents.scripted import Random
from goalgap.core import Decision, Environment, Policy, Situation
from goalgap.envs import Corner, Keys
from goalgap.rollout import episodes, start_stream, stream

UP, LEFT, DOWN, RIGHT = range(4)
GAMMA = 0.5
ENV = Corner(size=3, max_steps=6)


class Script(Policy):
    """Plays a list of actions, whatever happens. Its memory counts its calls, and so does its value."""

    actions: tuple[int, ...] = eqx.field(static=True)

    def initial(self, batch_size: int) -> Any:
        return jnp.zeros(batch_size)

    def view(self, env: Environment, situation: Situation, context: Any) -> Any:
        return situation.step, jax.vmap(env.observe)(situation.level, situation.state)

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Decision:
        step, _ = observation
        # Where an episode is cut off there is one look beyond the last action.
        chosen = jnp.asarray((*self.actions, self.actions[-1]))[step]
        logits = jnp.where(jax.nn.one_hot(chosen, 4, dtype=bool), 0.0, -jnp.inf)
        return Decision(logits, memory, memory + 1, {})


def level(text: str, env: Any = ENV) -> Any:
    return env.from_text(text.replace("/", "\n"))


def batch(*texts: str, env: Any = ENV) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(level(text, env) for text in texts))


def run(env: Any, actions: tuple[int, ...], levels: Any, keep: Any = None) -> Any:
    play = jit(lambda levels: episodes(env, Script(actions), levels, KEY, GAMMA, keep=keep))
    return play(levels)


KEY = jax.random.key(0)
NEAR, FAR = ".@./.../..c", "@../.#./..c"
WAY = (LEFT, RIGHT, RIGHT, DOWN, DOWN, UP)  # over the corner to the cheese, from NEAR


# -- episodes ----------------------------------------------------------------------------------------


def test_every_goal_is_paid_on_the_same_steps_discounted_from_the_first():
    outcome, trace = run(ENV, WAY, batch(NEAR))
    assert trace is None
    assert outcome.event_step.tolist() == [[5, 1]]
    assert outcome.returns.tolist() == [[GAMMA**4, GAMMA**0]]
    assert outcome.length.tolist() == [5] and outcome.terminated.tolist() == [True]


def test_an_episode_cut_off_is_not_terminated():
    outcome, _ = run(Corner(size=3, max_steps=4), WAY[:4], batch(NEAR))
    assert outcome.event_step.tolist() == [[-1, 1]] and outcome.returns[0, 0] == 0
    assert outcome.length.tolist() == [4] and outcome.terminated.tolist() == [False]


def test_a_goal_reached_with_the_last_step_counts_and_terminates():
    outcome, _ = run(Corner(size=3, max_steps=5), WAY[:5], batch(NEAR))
    assert outcome.event_step.tolist() == [[5, 1]] and outcome.terminated.tolist() == [True]


def test_recorded_states_begin_at_the_start_and_repeat_the_end():
    _, trace = run(ENV, WAY, batch(NEAR, FAR), keep=())
    assert trace.state.position[:, 0].tolist() == [1, 0, 1, 2, 5, 8, 8]
    assert trace.state.position[:, 1].tolist() == [0, 0, 1, 2, 5, 8, 8]


def test_a_goal_may_be_achieved_at_the_start_and_pays_for_arriving_only_once():
    outcome, _ = run(ENV, (RIGHT, LEFT, RIGHT, LEFT, LEFT, LEFT), batch(FAR))
    assert outcome.event_step.tolist() == [[-1, 0]]
    assert outcome.returns.tolist() == [[0.0, GAMMA**1]]


def test_nothing_counts_after_the_end_though_the_policy_plays_on():
    outcome, trace = run(ENV, (LEFT,) * 6, batch(".c@/.../..."), keep=())
    assert outcome.event_step.tolist() == [[1, -1]] and outcome.returns.tolist() == [[1.0, 0.0]]
    assert trace.state.position[:, 0].tolist() == [2, *[1] * 6]


def test_an_episode_that_is_over_at_the_start_has_no_steps():
    env = Keys(size=5, few=1, many=2, max_steps=3)
    levels = batch("@..../...../.k.k./...../.....", env=env)  # no chest: nothing to be done
    outcome, _ = run(env, (RIGHT, RIGHT, RIGHT), levels)
    assert outcome.length.tolist() == [0] and outcome.terminated.tolist() == [True]
    assert outcome.returns.tolist() == [[0.0, 0.0]]


def test_extras_are_read_off_the_last_state():
    env = Keys(size=5, few=1, many=2, max_steps=4)
    levels = batch("@kkc./...../...../...../.....", env=env)
    outcome, _ = run(env, (RIGHT,) * 4, levels)
    assert {name: value.tolist() for name, value in outcome.extras.items()} == {
        "keys_beyond_need": [1],
        "chests_opened": [1],
    }


def test_actions_follow_the_logits():
    """Up three times in four, within 4 standard deviations: one key in 16,000 would fail."""

    class Biased(Random):
        def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Decision:
            decision = super().__call__(observation, memory, patch)
            return decision._replace(logits=decision.logits + jnp.log(jnp.array([0.75, 0, 0.25, 0])))

    env, count = Corner(size=3, max_steps=1), 4096
    levels = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], count, 0), level("#.#/.@./#.c"))
    _, trace = jit(lambda: episodes(env, Biased(4), levels, KEY, GAMMA, keep=()))()
    went_up = np.asarray(trace.state.position[1] == 1)
    assert (went_up | np.asarray(trace.state.position[1] == 7)).all()
    assert abs(went_up.mean() - 0.75) < 4 * (0.75 * 0.25 / count) ** 0.5


class Linear(Policy):
    """Logits linear in the observation, in whole numbers, so that no order of summation matters."""

    weights: Any

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Decision:
        logits = observation.reshape(len(observation), -1).astype(jnp.float32) @ self.weights
        return Decision(logits, jnp.zeros(len(observation)), memory, {})


def test_a_policy_on_the_host_plays_like_its_equal_in_jax():
    env = Corner(size=3, max_steps=12)
    weights = np.random.default_rng(0).integers(-2, 3, (27, 4)).astype(np.float32)
    seen = []

    def outside(observation: np.ndarray) -> np.ndarray:
        seen.append((type(observation), observation.dtype, observation.shape))
        return observation.reshape(len(observation), -1) @ weights

    levels = jit(jax.vmap(env.shift().deploy.sample))(jax.random.split(KEY, 32))
    host = episodes(env, Outside(outside, 4), levels, KEY, GAMMA, keep=())
    play = jit(lambda policy: episodes(env, policy, levels, KEY, GAMMA, keep=()))
    jax.tree.map(np.testing.assert_array_equal, host, play(Linear(jnp.asarray(weights))))
    assert seen == [(np.ndarray, np.dtype(bool), (32, 3, 3, 3))] * env.max_steps


def test_a_policy_on_the_host_may_answer_with_actions():
    def outside(observation: np.ndarray) -> np.ndarray:
        return np.full(len(observation), RIGHT)

    _, trace = episodes(ENV, Outside(outside, 4), batch(FAR), KEY, GAMMA, keep=())
    assert trace.state.position[:, 0].tolist() == [0, 1, 2, 2, 2, 2, 2]


# -- stream ------------------------------------------------------------------------------------------


def flow(
    env: Any, actions: tuple[int, ...], levels: Any, bank: Any, num_steps: int, goal: Any = None
) -> Any:
    policy = Script(actions)

    def go(levels: Any, bank: Any) -> Any:
        start = start_stream(env, policy, levels)
        return stream(env, goal or env.intended, policy, start, bank, KEY, num_steps)

    return jax.device_get(jit(go)(levels, bank))


def mouse(steps: Any) -> np.ndarray:
    """Where the mouse is seen, [t, b]."""
    _, seen = steps.observation
    return seen[..., 1].reshape(*seen.shape[:2], -1).argmax(-1)


def test_a_cut_off_episode_shows_its_last_state_and_a_terminated_one_does_not():
    """NEAR ends with the fifth step; from FAR, with a wall in the way, time runs out after four."""
    env = Corner(size=3, max_steps=5)
    walled = "@../.../.#c"
    _, steps, _ = flow(env, (DOWN, DOWN, RIGHT, RIGHT, UP), batch("@../.../..c", walled), batch(NEAR), 7)
    # The first lane arrives after 4 steps and starts anew at cell 1; the second is stopped by the wall.
    assert mouse(steps)[:, 0].tolist() == [0, 3, 6, 7, 1, 4, 7]
    assert steps.terminated[:, 0].tolist() == [False] * 3 + [True] + [False, False, True]
    assert steps.is_valid[:, 0].all()
    assert mouse(steps)[:, 1].tolist() == [0, 3, 6, 6, 6, 3, 1]
    assert steps.is_valid[:, 1].tolist() == [True] * 5 + [False, True]
    assert not steps.terminated[:, 1].any()
    assert steps.is_first[:, 0].tolist() == [True] + [False] * 3 + [True, False, False]
    assert steps.is_first[:, 1].tolist() == [True] + [False] * 5 + [True]


def test_memory_starts_afresh_with_each_episode():
    env = Corner(size=3, max_steps=5)
    _, steps, last_value = flow(env, (UP,) * 5, batch(NEAR), batch(NEAR), 14)
    # Five steps, then a look at the last state with the memory of the episode.
    assert steps.value[:, 0].tolist() == [0, 1, 2, 3, 4, 5] * 2 + [0, 1]
    assert steps.is_first[:, 0].tolist() == [value == 0 for value in steps.value[:, 0]]
    assert last_value.tolist() == [2]


@pytest.mark.parametrize("goal", ENV.goals, ids=lambda goal: goal.name)
def test_rewards_are_those_of_episodes(goal):
    """The corner pays once an episode, and again in the next one."""
    actions = (LEFT, LEFT, RIGHT, RIGHT, DOWN, DOWN)
    outcome, _ = run(ENV, actions, batch(NEAR))
    assert outcome.length == 6
    _, steps, _ = flow(ENV, actions, batch(NEAR), batch(NEAR), 12, goal)
    assert steps.terminated[:, 0].tolist() == [time in (5, 11) for time in range(12)]
    for rewards in np.split(steps.reward[:, 0], 2):
        assert (rewards * GAMMA ** np.arange(6)).sum() == outcome.returns[0, ENV.goals.index(goal)]


def test_two_calls_are_one_long_call():
    policy = Script((RIGHT, DOWN, LEFT, LEFT, UP, UP))
    levels, bank = batch(NEAR, FAR), batch(NEAR)
    start = start_stream(ENV, policy, levels)
    go = jit(stream, static_argnums=(6,))
    middle, first, _ = go(ENV, ENV.intended, policy, start, bank, KEY, 6)
    end, second, value = go(ENV, ENV.intended, policy, middle, bank, KEY, 6)
    whole = go(ENV, ENV.intended, policy, start, bank, KEY, 12)
    steps = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    jax.tree.map(np.testing.assert_array_equal, (end, steps, value), whole)
    assert not steps.is_valid.all(), "the cut falls where an episode was cut off"


def test_levels_are_handed_out_from_the_bank():
    """Two lanes, episodes of one step and a look: four restarts each go through all five levels."""
    env = Corner(size=3, max_steps=1)
    bank = batch("@../.../..c", ".@./.../..c", "..@/.../..c", ".../@../..c", ".../.@./..c")
    _, steps, _ = flow(env, (UP,), batch(".../.../@.c", ".../.../.@c"), bank, 10)
    starts = [mouse(steps)[steps.is_first[:, lane], lane].tolist() for lane in range(2)]
    assert [start[0] for start in starts] == [6, 7]
    handed_out = np.array([start[1:] for start in starts]).T.reshape(-1)
    assert len(handed_out) == 8 and set(handed_out) == {0, 1, 2, 3, 4}


def test_log_probabilities_are_those_of_the_actions_taken():
    class Skewed(Random):
        def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Decision:
            decision = super().__call__(observation, memory, patch)
            return decision._replace(logits=decision.logits + jnp.arange(4.0))

    levels = batch(NEAR, FAR)
    policy = Skewed(4)
    start = start_stream(ENV, policy, levels)
    _, steps, _ = jit(lambda: stream(ENV, ENV.intended, policy, start, levels, KEY, 64))()
    expected = np.asarray(jax.nn.log_softmax(jnp.arange(4.0)))[steps.action]
    np.testing.assert_allclose(steps.log_prob, expected, rtol=1e-6)
    assert set(np.unique(steps.action)) == {0, 1, 2, 3}
