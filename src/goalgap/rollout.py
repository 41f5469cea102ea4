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
    Trace,
    UsageError,
    tree_index,
)

WORLD = 2**31 - 1  # folded into a key of `episodes`, it gives that of the world's own luck


def select(condition: Bool[Array, " b"], yes: Any, no: Any) -> Any:
    """Take rows of `yes` where the condition holds, of `no` elsewhere, in every array of two trees."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, yes, no)


class _Play(NamedTuple):
    """Hold what `episodes` carries from step to step."""

    state: State
    memory: Memory
    goal_memories: tuple[Int[Array, " b"], ...]
    returns: Float[Array, "b g"]
    event_step: Int[Array, "b g"]
    length: Int[Array, " b"]
    ended: Bool[Array, " b"]
    noted: tuple[Float[Array, " b"], ...]  # sums of the policy's `columns`


class _Game(NamedTuple):
    """Hold what stays the same through all steps of `episodes`."""

    env: Environment
    levels: Level
    key: Key[Array, ""]  # of the world's luck
    gamma: float

    @property
    def batch(self) -> int:
        return jax.tree.leaves(self.levels)[0].shape[0]

    def start(self, memory: Memory, num_columns: int = 0) -> _Play:
        state = jax.vmap(self.env.reset)(self.levels)
        goal_memories = tuple(jnp.zeros(self.batch, int) for _ in self.env.goals)
        return _Play(
            state,
            memory,
            goal_memories,
            jnp.zeros((self.batch, len(self.env.goals))),
            jnp.where(self.achieved(state, goal_memories), 0, -1),
            jnp.zeros(self.batch, int),
            jax.vmap(self.env.is_terminal)(self.levels, state),
            (jnp.zeros(self.batch),) * num_columns,
        )

    def advance(
        self,
        play: _Play,
        time: Int[Array, ""] | int,
        action: Int[Array, " b"],
        memory: Memory,
        noted: tuple[Float[Array, " b"], ...] = (),
    ) -> _Play:
        """Step every episode that is not over, and score the step under every goal."""
        levels = self.levels
        state = step_all(self.env, levels, play.state, action, jax.random.fold_in(self.key, time))
        scored = [
            jax.vmap(goal.step)(levels, goal_memory, play.state, action, state)
            for goal, goal_memory in zip(self.env.goals, play.goal_memories, strict=True)
        ]
        live = ~play.ended
        rewards = jnp.stack([reward for reward, _ in scored], -1) * live[:, None]
        goal_memories = tuple(goal_memory for _, goal_memory in scored)
        first = (play.event_step < 0) & self.achieved(state, goal_memories) & live[:, None]
        return _Play(
            select(live, state, play.state),
            select(live, memory, play.memory),
            select(live, goal_memories, play.goal_memories),
            play.returns + self.gamma**time * rewards,
            jnp.where(first, time + 1, play.event_step),
            play.length + live,
            play.ended | jax.vmap(self.env.is_terminal)(levels, state),
            tuple(sum + live * value for sum, value in zip(play.noted, noted, strict=True)),
        )

    def achieved(self, state: State, memories: tuple[Int[Array, " b"], ...]) -> Bool[Array, "b g"]:
        """Tell which goals' events have happened, by their memories after the transition."""
        pairs = zip(self.env.goals, memories, strict=True)
        return jnp.stack(
            [jax.vmap(goal.is_achieved)(self.levels, state, memory) for goal, memory in pairs], -1
        )


def step_all(
    env: Environment, levels: Level, states: State, actions: Int[Array, " b"], key: Key[Array, ""]
) -> State:
    """Step a batch, each lane with a key of its own; where the world ignores keys, none is computed."""
    keys = jax.random.split(key, actions.shape[0])
    return jax.vmap(env.step)(levels, states, actions, keys)


def episodes(
    env: Environment,
    policy: Policy,
    levels: Level,
    key: Key[Array, ""],
    gamma: float,
    context: Context = None,
    keep: tuple[str, ...] | None = None,
    fields: tuple[str, ...] = Trace._fields,
) -> tuple[Outcome, Trace | None]:
    """Play one episode on each level, scored under all of the environment's goals.

    Actions are sampled. `context` is `policy.prepare(env, levels)`, for the policies that need one.
    Returns also a `Trace` with the activations that `keep` names; None, where `keep` is None. `fields`
    says which of its fields to hold; the others are (). Raises UsageError for activations that the
    policy does not have.
    """
    left_out = {"level"} | set(Trace._fields) - set(fields)
    game = _Game(env, levels, jax.random.fold_in(key, WORLD), gamma)
    noise = jax.random.gumbel(key, (env.max_steps, game.batch, env.num_actions))
    start = game.start(policy.initial(game.batch), len(policy.columns))

    def look(play: _Play, time: Int[Array, ""] | int) -> Observation:
        situation = Situation(levels, play.state, play.goal_memories, jnp.full(game.batch, time))
        return policy.view(env, situation, context)

    def advance(
        play: _Play,
        time: Int[Array, ""] | int,
        gumbel: Float[Array, "b a"],
        decision: Decision,
    ) -> tuple[_Play, Int[Array, " b"]]:
        action = jnp.argmax(decision.logits + gumbel, -1)
        noted = tuple(_chosen(decision.activations, policy.columns).values())
        return game.advance(play, time, action, decision.memory, noted), action

    def one(play: _Play, time: Any, gumbel: Any, look: Any, advance: Any) -> tuple[_Play, Trace | None]:
        seen = look(play, time)
        decision = policy(jax.device_get(seen) if policy.on_host else seen, play.memory)
        after, action = advance(play, time, gumbel, decision)
        if keep is None:
            return after, None
        activations = _chosen(decision.activations, keep)
        logits, value, live = decision.logits, decision.value, ~play.ended
        part = Trace(levels, after.state, seen, action, logits, value, play.memory, activations, live)
        return after, part._replace(**dict.fromkeys(left_out, ()))

    if policy.on_host:
        play, parts = start, []
        look, advance = jax.jit(look), jax.jit(advance)
        for time in range(env.max_steps):
            play, part = one(play, time, noise[time], look, advance)
            parts.append(part)
        trace = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    else:
        inputs = jnp.arange(env.max_steps), noise
        play, trace = jax.lax.scan(lambda play, now: one(play, *now, look, advance), start, inputs)
    extras = jax.vmap(env.extras)(levels, play.state)
    means = (sum / jnp.maximum(play.length, 1) for sum in play.noted)
    extras = {**extras, **dict(zip(policy.columns, means, strict=True))}
    outcome = Outcome(play.returns, play.event_step, play.length, play.ended, extras)
    return outcome, trace if trace is None else _begun(trace, fields, levels, start.state)


def _begun(trace: Trace, fields: tuple[str, ...], levels: Level, start: State) -> Trace:
    """Put the levels and the first state where the steps leave them out."""
    if "state" in fields:
        states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start, trace.state)
        trace = trace._replace(state=states)
    return trace._replace(level=levels) if "level" in fields else trace


def _chosen(activations: dict[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
    unknown = [name for name in names if name not in activations]
    if unknown:
        there = ", ".join(activations) or "none"
        raise UsageError(f"no activation named {', '.join(unknown)}; the policy has: {there}")
    return {name: activations[name] for name in names}


class Stream(NamedTuple):
    """Hold where `stream` stands between two calls, on b lanes: everything but the policy."""

    level: Level
    tag: Int[Array, " b"]  # of the level under way
    state: State
    goal_memory: Int[Array, " b"]
    memory: Memory
    step: Int[Array, " b"]
    is_last: Bool[Array, " b"]  # the coming step only looks at the last state of a cut-off episode


class Steps(NamedTuple):
    """Hold the steps that `stream` yields; time leads: t steps, b lanes.

    What is not used under the same `jit` is never stored. An observation may be kept, or made again
    (`observations`) from level, state and goal memory, which are much smaller where levels are large.
    """

    place: Int[Array, "t b"]  # of the level: below b the lane's at the start, from b on the bank's
    tag: Int[Array, "t b"]  # of the level
    state: State
    goal_memory: Int[Array, "t b"]
    step: Int[Array, "t b"]  # of the episode, from 0
    observation: Observation
    is_first: Bool[Array, "t b"]  # the policy's memory was fresh
    action: Int[Array, "t b"]
    log_prob: Float[Array, "t b"]
    value: Float[Array, "t b"]
    reward: Float[Array, "t b"]
    terminated: Bool[Array, "t b"]
    is_valid: Bool[Array, "t b"]  # False: no action was taken, the value bootstraps the step before


def start_stream(
    env: Environment, policy: Policy, levels: Level, tags: Int[Array, " b"] | None = None
) -> Stream:
    """Begin an episode on each level. `tags` (0 by default) go with the levels."""
    batch = jax.tree.leaves(levels)[0].shape[0]
    return Stream(
        levels,
        jnp.zeros(batch, int) if tags is None else tags,
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
    tags: Int[Array, " n"] | None = None,
) -> tuple[Stream, Steps, Float[Array, " b"]]:
    """Play `num_steps` on each lane, restarting on fresh levels, scored under one goal.

    An episode cut off by `max_steps` yields one more step, `is_valid` False, which shows the policy its
    last state: the value there is what the future was worth, so truncation is never mistaken for
    termination and no second forward pass is needed. Returns where the lanes then stand, the steps, and
    the value of the states in which they stand.

    The levels of `bank` are handed out in turn: sampling them once a call instead of at every step is
    most of the speed. `tags` (0 by default) are whole numbers, one a level of the bank, that every step
    on the level bears, in this call and in the following ones.
    """
    batch = at.step.shape[0]
    num_fresh = jax.tree.leaves(bank)[0].shape[0]
    gumbel_key, world_key = jax.random.split(key)
    noise = jax.random.gumbel(gumbel_key, (num_steps, batch, env.num_actions))
    levels = at_places(at, bank)
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
        next_state = step_all(env, level, state, action, jax.random.fold_in(world_key, time))
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
            place,
            place,  # tags are looked up afterwards, all at once
            state,
            goal_memory,
            step_number,
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
    tags = jnp.concatenate([at.tag, jnp.zeros(num_fresh, int) if tags is None else tags])
    end = Stream(level, tags[place], state, goal_memory, memory, step_number, is_last)
    view = policy.view(env, Situation(level, state, (goal_memory,), step_number), None)
    return end, steps._replace(tag=tags[steps.place]), policy(view, memory).value


def at_places(at: Stream, bank: Level) -> Level:
    """List levels in the order of `Steps.place`: those under way, lane by lane, then the fresh ones."""
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), at.level, bank)


def observations(env: Environment, policy: Policy, levels: Level, steps: Steps) -> Observation:
    """Make what the policy saw at each step once more, from the state and the level (`at_places`)."""

    def look(steps: Steps) -> Observation:
        level = tree_index(levels, steps.place)
        return policy.view(env, Situation(level, steps.state, (steps.goal_memory,), steps.step), None)

    # One batch: boards are observed side by side.
    seen = look(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), steps))
    return jax.tree.map(lambda leaf: leaf.reshape(*steps.place.shape, *leaf.shape[1:]), seen)
