"""The two loops, on a board small enough to count steps by hand.

. @ .     cells 0 1 2
. . .           3 4 5
. . c           6 7 8
"""

import functools
import itertools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import jit
from scipy import special

from goalgap.agents.networks import MLP
from goalgap.agents.outside import Outside
from goalgap.agents.scripted import Random
from goalgap.core import Decision, Environment, Policy, Situation, UsageError, tree_index
from goalgap.envs import Corner, Keys
from goalgap.envs.grid import Reach
from goalgap.measure import draw_exam, pivot
from goalgap.oracle import tables
from goalgap.rollout import at_places, episodes, observations, start_stream, stream
from goalgap.theory import worlds

UP, LEFT, DOWN, RIGHT = range(4)
GAMMA = 0.5
ENV, KEYS = Corner(size=3, max_steps=6), Keys(size=5, few=1, many=2, max_steps=4)


class Script(Policy):
    """Plays a list of actions, whatever happens. Its memory counts its calls, and so does its value."""

    actions: Any  # [steps]; not static, so that all scripts of a length share a program

    def initial(self, batch_size: int) -> Any:
        return jnp.zeros(batch_size)

    def view(self, env: Environment, situation: Situation, context: Any) -> Any:
        return situation.step, jax.vmap(env.observe)(situation.level, situation.state)

    def __call__(self, observation: Any, memory: Any, patch: Any = None) -> Decision:
        step, _ = observation
        # Where an episode is cut off there is one look beyond the last action.
        chosen = self.actions[jnp.minimum(step, len(self.actions) - 1)]
        logits = jnp.where(jax.nn.one_hot(chosen, 4, dtype=bool), 0.0, -jnp.inf)
        return Decision(logits, memory, memory + 1, {})


def level(text: str, env: Any = ENV) -> Any:
    return env.from_text(text.replace("/", "\n"))


def batch(*texts: str, env: Any = ENV) -> Any:
    levels = (level(text, env) for text in texts)
    return jax.device_put(jax.tree.map(lambda *leaves: np.stack(leaves), *levels))


def many(text: str, count: int) -> Any:
    """So many lanes of one level."""
    return jax.device_put(jax.tree.map(lambda leaf: np.repeat(leaf, count, 0), batch(text)))


@jit
def played(env: Any, policy: Any, levels: Any) -> Any:
    return episodes(env, policy, levels, KEY, GAMMA, keep=())


def run(env: Any, actions: tuple[int, ...], levels: Any) -> Any:
    """Play a script on up to two levels, for which it is compiled once an environment."""
    count = len(levels.mouse)
    levels = jax.tree.map(lambda leaf: np.resize(leaf, (2, *leaf.shape[1:])), levels)
    outcome, trace = jax.device_get(played(env, Script(np.array(actions)), levels))
    return tree_index(outcome, np.s_[:count]), tree_index(trace.state.position, np.s_[:, :count])


KEY = jax.random.key(0)
NEAR, FAR = ".@./.../..c", "@../.#./..c"
WAY = (LEFT, RIGHT, RIGHT, DOWN, DOWN, UP)  # over the corner to the cheese, from NEAR


# -- episodes ----------------------------------------------------------------------------------------


def test_every_goal_is_paid_on_the_same_steps_discounted_from_the_first():
    outcome, _ = run(ENV, WAY, batch(NEAR))
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
    _, position = run(ENV, WAY, batch(NEAR, FAR))
    assert position[:, 0].tolist() == [1, 0, 1, 2, 5, 8, 8]
    assert position[:, 1].tolist() == [0, 0, 1, 2, 5, 8, 8]


def test_a_goal_may_be_achieved_at_the_start_and_pays_for_arriving_only_once():
    outcome, _ = run(ENV, (RIGHT, LEFT, RIGHT, LEFT, LEFT, LEFT), batch(FAR))
    assert outcome.event_step.tolist() == [[-1, 0]]
    assert outcome.returns.tolist() == [[0.0, GAMMA**1]]


def test_nothing_counts_after_the_end_though_the_policy_plays_on():
    outcome, position = run(ENV, (LEFT,) * 6, batch(".c@/.../..."))
    assert outcome.event_step.tolist() == [[1, -1]] and outcome.returns.tolist() == [[1.0, 0.0]]
    assert position[:, 0].tolist() == [2, *[1] * 6]


def test_an_episode_that_is_over_at_the_start_has_no_steps():
    levels = batch("@..../...../.k.k./...../.....", env=KEYS)  # no chest: nothing to be done
    outcome, _ = run(KEYS, (RIGHT,) * 4, levels)
    assert outcome.length.tolist() == [0] and outcome.terminated.tolist() == [True]
    assert outcome.returns.tolist() == [[0.0, 0.0]]


def test_extras_are_read_off_the_last_state():
    levels = batch("@kkc./...../...../...../.....", env=KEYS)
    outcome, _ = run(KEYS, (RIGHT,) * 4, levels)
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
    levels = many("#.#/.@./#.c", count)
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
    assert trace is not None and trace.state.position[:, 0].tolist() == [0, 1, 2, 2, 2, 2, 2]


# -- stream ------------------------------------------------------------------------------------------


def flow(
    env: Any, actions: tuple[int, ...], levels: Any, bank: Any, num_steps: int, goal: Any = None
) -> Any:
    """What the lanes do, each step; the goal is the intended one unless given."""
    policy = Script(np.array(actions))
    return jax.device_get(flowing(env, goal or env.intended, policy, levels, bank, num_steps))


@functools.partial(jit, static_argnames="num_steps")
def flowing(env: Any, goal: Any, policy: Any, levels: Any, bank: Any, num_steps: int) -> Any:
    start = start_stream(env, policy, levels)
    return stream(env, goal, policy, start, bank, KEY, num_steps)


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
    policy = Script(np.array([RIGHT, DOWN, LEFT, LEFT, UP, UP]))
    levels, bank = batch(NEAR, FAR), batch(NEAR)
    start = jit(start_stream)(ENV, policy, levels)
    go = jit(stream, static_argnums=(6,))
    middle, first, _ = go(ENV, ENV.intended, policy, start, bank, KEY, 6)
    end, second, value = go(ENV, ENV.intended, policy, middle, bank, KEY, 6)
    whole = go(ENV, ENV.intended, policy, start, bank, KEY, 12)
    steps = jax.tree.map(lambda a, b: np.concatenate([a, b]), first, second)
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
    steps = jit(
        lambda: stream(ENV, ENV.intended, policy, start_stream(ENV, policy, levels), levels, KEY, 64)[1]
    )()
    expected = special.log_softmax(np.arange(4.0))[np.asarray(steps.action)]
    np.testing.assert_allclose(steps.log_prob, expected, rtol=1e-6)
    assert set(np.unique(steps.action)) == {0, 1, 2, 3}


# -- traces ------------------------------------------------------------------------------------------


def plainly(env: Any, policy: Any, levels: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What a trace should hold, episode by episode and step by step in Python."""
    batch = jax.tree.leaves(levels)[0].shape[0]
    noise = np.asarray(jax.random.gumbel(KEY, (env.max_steps, batch, env.num_actions)))
    step, observe = jit(lambda *move: env.step(*move)), jit(lambda *one: env.observe(*one))
    decide = jit(lambda sight, memory: policy(sight, memory))
    lanes = []
    for lane in range(batch):
        one = tree_index(levels, lane)
        state, memory, is_live = (
            env.reset(one),
            policy.initial(1),
            not env.is_terminal(one, env.reset(one)),
        )
        rows = []
        for time in range(env.max_steps):
            sight = observe(one, state)
            decision = decide(sight[None], memory)
            action = int(np.argmax(np.asarray(decision.logits[0]) + noise[time, lane]))
            row = {
                "position": state.position,
                "observation": sight,
                "action": action,
                "is_live": is_live,
            }
            row |= {"logits": decision.logits[0], "value": decision.value[0]}
            row |= {f"memory{i}": part[0] for i, part in enumerate(jax.tree.leaves(memory))}
            rows.append(row | {name: decision.activations[name][0] for name in names})
            if is_live:
                state, memory = step(one, state, jnp.asarray(action)), decision.memory
                is_live = not env.is_terminal(one, state)
        rows.append({"position": state.position})
        lanes.append(rows)
    return {
        name: np.stack([[np.asarray(row[name]) for row in lane if name in row] for lane in lanes], 1)
        for name in lanes[0][0]
    }


@pytest.mark.parametrize("config", [MLP(width=8, depth=1), MLP(width=8, depth=1, lstm=4)], ids=repr)
def test_a_trace_holds_what_a_plain_loop_sees(config):
    names = ("dense0", "features")
    levels = batch(NEAR, FAR, ".c@/.../...", "@c./.../...")
    policy = config.new(ENV, 3)
    play = jit(lambda policy: episodes(ENV, policy, levels, KEY, GAMMA, keep=names))
    outcome, trace = jax.device_get(play(policy))
    expected = plainly(ENV, policy, levels, names)
    found = {name: getattr(trace, name) for name in ("observation", "action", "logits", "value")}
    found |= {f"memory{i}": part for i, part in enumerate(jax.tree.leaves(trace.memory))}
    found |= {"position": trace.state.position, "is_live": trace.is_live} | trace.activations
    assert set(found) == set(expected) and len(found) == 8 + 2 * bool(config.lstm)
    for name, values in expected.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert 0 < trace.is_live.mean() < 1, "some episodes end early"
    np.testing.assert_array_equal(trace.is_live.sum(0), outcome.length)
    jax.tree.map(np.testing.assert_array_equal, trace.level, levels)


def test_there_is_no_trace_unless_asked_for():
    _, trace = jax.eval_shape(lambda levels: episodes(ENV, Random(4), levels, KEY, GAMMA), batch(NEAR))
    assert trace is None


def test_a_trace_holds_only_the_fields_asked_for():
    fields = ("action", "level")
    play = jit(lambda levels: episodes(ENV, Random(4), levels, KEY, GAMMA, None, (), fields))
    _, trace = play(batch(NEAR))
    assert trace.action.shape == (6, 1) and trace.level.walls.shape == (1, 3, 3)
    assert trace.state == trace.observation == trace.memory == trace.logits == trace.is_live == ()


def test_an_unknown_activation_is_refused_with_those_that_there_are():
    network = MLP(width=8, depth=1).new(ENV, 0)
    with pytest.raises(UsageError, match="named probe; the policy has: dense0, features, logits, value"):
        episodes(ENV, network, batch(NEAR), KEY, GAMMA, keep=("probe", "value"))
    with pytest.raises(UsageError, match="no activation named features; the policy has: none"):
        episodes(ENV, Random(4), batch(NEAR), KEY, GAMMA, keep=("features",))


# -- goals whose events use their memory ---------------------------------------------------------------


class Clean(Reach):
    """Get to the cheese without ever having been in the corner."""

    @property
    def num_memories(self) -> int:
        return 2  # 1: has been in the corner

    def is_achieved(self, level: Any, state: Any, memory: Any) -> Any:
        return self.is_there(level, state) & (memory == 0)

    def step(self, level: Any, memory: Any, state: Any, action: Any, next_state: Any) -> Any:
        memory = memory | (next_state.position == 0)
        return 1.0 * self.is_achieved(level, next_state, memory), memory


NESTED = Corner(
    size=3,
    max_steps=6,
    intended=Clean("clean", "get to the cheese, not the corner", 5.0, "cheese"),
    proxies=(Reach("cheese", "get to the cheese", 3.0, "cheese"),),
)


def test_an_event_may_depend_on_what_the_goal_remembers():
    over_the_corner, _ = run(NESTED, WAY, batch(NEAR))
    assert over_the_corner.event_step.tolist() == [[-1, 5]]
    assert over_the_corner.returns.tolist() == [[0.0, GAMMA**4]]
    past_it, _ = run(NESTED, (RIGHT, DOWN, DOWN, UP, UP, UP), batch(NEAR))
    assert past_it.event_step.tolist() == [[3, 3]]


def test_a_replay_marks_the_events_of_the_measurement():
    exam = draw_exam(Corner(size=5, max_steps=24), 16)
    table, records = exam.examine(Random(4), (0,), 0, fleet=False)
    shown = exam.pictures(Random(4), table, records, "random")["episodes.json"]["levels"]
    marked = 0
    for split, levels in itertools.groupby(shown, key=lambda level: level["split"]):
        for number, level in enumerate(levels):
            events = {event["goal"]: event["step"] for event in level["tracks"][0]["events"]}
            for goal in exam.contest.goals:
                measured = int(pivot(table, split, f"event_{goal.name}")[0, number])
                assert events.get(goal.name, -1) == measured
                marked += measured >= 0
    assert marked


# -- stochastic worlds ----------------------------


class Slippery(Corner):
    """One move in four goes to the left of where it was meant to go (the next action's way)."""

    is_stochastic: ClassVar[bool] = True
    solver: ClassVar[Any] = None

    def step(self, level: Any, state: Any, action: Any, key: Any = None) -> Any:
        slips = jax.random.uniform(key) < SLIP
        return super().step(level, state, jnp.where(slips, (action + 1) % 4, action))


SLIP, COUNT = 0.25, 4096
MIDDLE = ".../.@./..c"
ICE = Slippery(size=3, max_steps=1)


def slips(action: Any, position: Any) -> np.ndarray:
    """Which moves from the middle went astray; every one went somewhere that its action may lead to."""
    ways = np.array([1, 3, 7, 5])  # up, left, down, right
    action, position = np.asarray(action).ravel(), np.asarray(position).ravel()
    astray = position == ways[(action + 1) % 4]
    assert (astray | (position == ways[action])).all()
    return astray


def check_shares(astray: np.ndarray, action: Any) -> None:
    """Within 4.5 standard deviations, over all and after each action: for 5 such checks less than one
    key in 29,000 would fail."""
    action = np.asarray(action).ravel()
    for chosen in (astray, *(astray[action == name] for name in range(4))):
        assert abs(chosen.mean() - SLIP) < 4.5 * (SLIP * (1 - SLIP) / chosen.size) ** 0.5


def test_episodes_pass_each_step_of_each_lane_a_key_of_its_own():
    levels = many(MIDDLE, COUNT)
    play = jit(lambda key: episodes(ICE, Random(4), levels, key, GAMMA, keep=()))
    outcome, trace = jax.device_get(play(KEY))
    astray = slips(trace.action, trace.state.position[1])
    check_shares(astray, trace.action)
    jax.tree.map(np.testing.assert_array_equal, (outcome, trace), play(KEY))
    other = play(jax.random.key(1))[1]
    assert (slips(other.action, other.state.position[1]) != astray).any()
    # Actions are drawn as in a world without luck.
    dry = jit(lambda: episodes(Corner(size=3, max_steps=1), Random(4), levels, KEY, GAMMA, keep=()))()[1]
    np.testing.assert_array_equal(dry.action, trace.action)


def test_streams_pass_each_step_of_each_lane_a_key_of_its_own():
    lanes, rounds = 128, 32
    levels = many(MIDDLE, lanes)

    @jit
    def play(key: Any) -> Any:
        start = start_stream(ICE, Random(4), levels)
        return stream(ICE, ICE.intended, Random(4), start, levels, key, 2 * rounds)

    _, steps, _ = jax.device_get(play(KEY))
    assert steps.is_valid[::2].all() and not steps.is_valid[1::2].any()  # a step, then a look, and so on
    action = steps.action[::2]
    astray = slips(action, steps.state.position[1::2])
    check_shares(astray, action)
    by_lane, by_step = (astray.reshape(rounds, lanes).mean(axis) for axis in (0, 1))
    assert len(set(by_lane)) > 5 and len(set(by_step)) > 5, "lanes and steps have luck of their own"
    jax.tree.map(np.testing.assert_array_equal, steps, play(KEY)[1])


def test_a_world_of_chance_is_not_tabulated():
    levels = batch(NEAR)
    with pytest.raises(
        UsageError, match=r"steps of corner are drawn at random, and tables .* solver to None"
    ):
        tables.values(ICE, ICE.intended, levels, GAMMA, 1)
    with pytest.raises(UsageError, match="steps of corner are drawn at random"):
        worlds.tabulate(ICE, ICE.goals, levels)


# -- tags and what was seen ----------------------------------------------------------


def test_tags_travel_with_their_levels_through_calls():
    """A tag is the cell where the level's mouse starts. Episodes of three steps and a look."""
    env = Corner(size=3, max_steps=3)
    bank = batch("@../.../..c", ".@./.../..c", "..@/.../..c", ".../@../..c", ".../.@./..c")
    under_way = batch(".../.../@.c", ".../.../.@c")
    policy = Script(jnp.asarray((UP,) * 3))
    at = jit(start_stream)(env, policy, under_way, under_way.mouse)
    go = jit(lambda at: stream(env, env.intended, policy, at, bank, KEY, 5, tags=bank.mouse))
    seen_starts = set()
    for number in range(3):  # the second and third calls begin in the middle of episodes
        at = jax.device_get(at)
        end, steps, _ = jax.device_get(go(at))
        levels = jax.tree.map(lambda a, b: np.concatenate([a, b]), at.level, bank)  # by `Steps.place`
        np.testing.assert_array_equal(steps.tag, levels.mouse[steps.place])
        is_first = np.asarray(steps.is_first)
        np.testing.assert_array_equal(steps.tag[is_first], steps.state.position[is_first])
        np.testing.assert_array_equal(end.tag, end.level.mouse)
        if number:
            np.testing.assert_array_equal(steps.tag[0], at.tag)
        seen_starts |= set(np.asarray(steps.tag).ravel().tolist())
        at = end
    assert {6, 7} < seen_starts
    assert not np.any(jit(start_stream)(env, policy, under_way).tag)


@pytest.mark.parametrize("env", [Corner(size=4, max_steps=9), Keys(size=5, few=1, many=2, max_steps=9)])
def test_what_was_seen_can_be_made_again(env):
    policy = MLP(width=8, depth=1).new(env, 0)

    def play() -> Any:
        levels = jax.vmap(env.shift().deploy.sample)(jax.random.split(KEY, 40))
        at = start_stream(env, policy, tree_index(levels, slice(8)))
        bank = tree_index(levels, slice(8, None))
        _, steps, _ = stream(env, env.intended, policy, at, bank, KEY, 30)
        return steps, observations(env, policy, at_places(at, bank), steps)

    steps, again = jit(play)()
    np.testing.assert_array_equal(again, steps.observation)
    assert len(np.unique(np.asarray(again).reshape(240, -1), axis=0)) > 40
