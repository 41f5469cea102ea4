"""The only two loops: `episodes` plays whole episodes to measure, `stream` plays on and on to learn."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from .core import (
    Context,
    Decision,
    Environment,
    Goal,
    Level,
    Memory,
    Observation,
    Outcome,
    Policy,
    Situation,
    State,
    tree_index,
)


def select(condition: Bool[Array, " b"], yes: Any, no: Any) -> Any:
    """Rows of `yes` where the condition holds, of `no` elsewhere, for every array of two trees."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, yes, no)


class _Play(NamedTuple):
    """What `episodes` carries from step to step."""

    state: State
    memory: Memory
    goal_memories: tuple[Int[Array, " b"], ...]
    returns: Float[Array, "b g"]
    event_step: Int[Array, "b g"]
    length: Int[Array, " b"]
    ended: Bool[Array, " b"]


def episodes(
    env: Environment,
    policy: Policy,
    levels: Level,
    key: Key[Array, ""],
    gamma: float,
    context: Context = None,
    record: bool = False,
) -> tuple[Outcome, State]:
    """Play one episode on each level, scored under all of the environment's goals.

    Actions are sampled. `context` is `policy.prepare(env, levels)`, for the policies that need one.
    With `record`, also returns the states [steps + 1, batch] (after the end, the last one repeats);
    otherwise None in their place.
    """
    batch = jax.tree.leaves(levels)[0].shape[0]
    noise = jax.random.gumbel(key, (env.max_steps, batch, env.num_actions))
    state = jax.vmap(env.reset)(levels)
    play = _Play(
        state,
        policy.initial(batch),
        tuple(jnp.zeros(batch, int) for _ in env.goals),
        jnp.zeros((batch, len(env.goals))),
        jnp.where(_achieved(env, levels, state), 0, -1),
        jnp.zeros(batch, int),
        jax.vmap(env.is_terminal)(levels, state),
    )

    def look(play: _Play, time: Int[Array, ""]) -> Observation:
        situation = Situation(levels, play.state, play.goal_memories, jnp.full(batch, time))
        return policy.view(env, situation, context)

    def advance(
        play: _Play, time: Int[Array, ""], gumbel: Float[Array, "b a"], decision: Decision
    ) -> _Play:
        action = jnp.argmax(decision.logits + gumbel, -1)
        state = jax.vmap(env.step)(levels, play.state, action)
        scored = [
            jax.vmap(goal.step)(levels, memory, play.state, action, state)
            for goal, memory in zip(env.goals, play.goal_memories, strict=True)
        ]
        live = ~play.ended
        rewards = jnp.stack([reward for reward, _ in scored], -1) * live[:, None]
        first = (play.event_step < 0) & _achieved(env, levels, state) & live[:, None]
        return _Play(
            select(live, state, play.state),
            select(live, decision.memory, play.memory),
            select(live, tuple(memory for _, memory in scored), play.goal_memories),
            play.returns + gamma**time * rewards,
            jnp.where(first, time + 1, play.event_step),
            play.length + live,
            play.ended | jax.vmap(env.is_terminal)(levels, state),
        )

    def step(play: _Play, inputs: tuple[Array, Array]) -> tuple[_Play, State]:
        time, gumbel = inputs
        play = advance(play, time, gumbel, policy(look(play, time), play.memory))
        return play, (play.state if record else None)

    if policy.on_host:
        states = []
        look, advance = jax.jit(look), jax.jit(advance)
        for time in range(env.max_steps):
            decision = policy(jax.device_get(look(play, time)), play.memory)
            play = advance(play, time, noise[time], decision)
            states.append(play.state)
        states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states) if record else None
    else:
        play, states = jax.lax.scan(step, play, (jnp.arange(env.max_steps), noise))
    extras = jax.vmap(env.extras)(levels, play.state)
    outcome = Outcome(play.returns, play.event_step, play.length, play.ended, extras)
    if record:
        states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), state, states)
    return outcome, states


def _achieved(env: Environment, levels: Level, state: State) -> Bool[Array, "b g"]:
    return jnp.stack([jax.vmap(goal.is_achieved)(levels, state) for goal in env.goals], -1)


class Stream(NamedTuple):
    """Where `stream` stands between two calls: everything but the policy."""

    level: Level
    state: State
    goal_memory: Int[Array, " b"]
    memory: Memory
    step: Int[Array, " b"]
    is_last: Bool[Array, " b"]  # the coming step only looks at the last state of a cut-off episode


class Steps(NamedTuple):
    """What `stream` yields; time leads."""

    observation: Observation
    is_first: Bool[Array, "t b"]  # the policy's memory was fresh
    action: Int[Array, "t b"]
    log_prob: Float[Array, "t b"]
    value: Float[Array, "t b"]
    reward: Float[Array, "t b"]
    terminated: Bool[Array, "t b"]
    is_valid: Bool[Array, "t b"]  # False: no action was taken, the value bootstraps the step before


def start_stream(env: Environment, policy: Policy, levels: Level) -> Stream:
    """Begin an episode on each level."""
    batch = jax.tree.leaves(levels)[0].shape[0]
    return Stream(
        levels,
        jax.vmap(env.reset)(levels),
        jnp.zeros(batch, int),
        policy.initial(batch),
        jnp.zeros(batch, int),
        jnp.zeros(batch, bool),
    )


def stream(
    env: Environment,
    goal: Goal,
    policy: Policy,
    at: Stream,
    bank: Level,
    key: Key[Array, ""],
    num_steps: int,
) -> tuple[Stream, Steps, Float[Array, " b"]]:
    """Play `num_steps` on each lane, restarting on fresh levels, scored under one goal.

    An episode cut off by `max_steps` yields one more step, `is_valid` False, which shows the policy its
    last state: the value there is what the future was worth, so truncation is never mistaken for
    termination and no second forward pass is needed. Returns also the value of where the lanes stand
    at the end. The levels of `bank` are handed out in turn: sampling them once a call instead of at
    every step is most of the speed.
    """
    batch = at.step.shape[0]
    num_fresh = jax.tree.leaves(bank)[0].shape[0]
    gumbel_key, key = jax.random.split(key)
    noise = jax.random.gumbel(gumbel_key, (num_steps, batch, env.num_actions))
    # Lanes refer to their level by its place: first those under way, then the fresh ones.
    levels = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), at.level, bank)
    lanes = jnp.arange(batch)
    fresh_memory = policy.initial(batch)

    def step(carry: tuple, inputs: tuple[Array, Array]) -> tuple[tuple, Steps]:
        place, state, goal_memory, memory, step_number, is_last = carry
        time, gumbel = inputs
        level = tree_index(levels, place)
        situation = Situation(level, state, (goal_memory,), step_number)
        observation = policy.view(env, situation, None)
        is_first = (step_number == 0) & ~is_last
        decision = policy(observation, memory)
        action = jnp.argmax(decision.logits + gumbel, -1)
        log_probs = jax.nn.log_softmax(decision.logits)
        log_prob = jnp.take_along_axis(log_probs, action[:, None], -1)[:, 0]
        next_state = jax.vmap(env.step)(level, state, action)
        reward, next_goal_memory = jax.vmap(goal.step)(level, goal_memory, state, action, next_state)
        terminated = jax.vmap(env.is_terminal)(level, next_state) & ~is_last
        out_of_time = (step_number + 1 >= env.max_steps) & ~terminated & ~is_last
        restart = terminated | is_last

        new_place = batch + (time * batch + lanes) % num_fresh
        new_state = jax.vmap(env.reset)(tree_index(levels, new_place))
        after = (
            jnp.where(restart, new_place, place),
            select(restart, new_state, next_state),
            jnp.where(restart, 0, next_goal_memory),
            select(restart, fresh_memory, decision.memory),
            jnp.where(restart, 0, step_number + 1),
            out_of_time,
        )
        record = Steps(
            observation,
            is_first,
            action,
            log_prob,
            decision.value,
            reward,
            terminated,
            ~is_last,
        )
        return after, record

    start = (lanes, at.state, at.goal_memory, at.memory, at.step, at.is_last)
    carry, steps = jax.lax.scan(step, start, (jnp.arange(num_steps), noise))
    place, state, goal_memory, memory, step_number, is_last = carry
    level = tree_index(levels, place)
    end = Stream(level, state, goal_memory, memory, step_number, is_last)
    view = policy.view(env, Situation(level, state, (goal_memory,), step_number), None)
    return end, steps, policy(view, memory).value
