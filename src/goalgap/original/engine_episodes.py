"""Play our policies in the original engine, one episode a level, judged by our own events.

The engine is asked for its state after every step; decoded, this state is what the policy sees and what
our goals judge. A state in which an episode ends is never shown (the level begins anew within the step):
our own game, which moves as the engine does, says what it was.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from ..core import Environment, Goal, Level, Policy, Situation, State, UsageError
from ..envs.procgen.game import ProcgenGame
from ..rollout import WORLD, step_all
from . import decode
from .engine import Engine
from .saved import Saved


class Played(NamedTuple):
    """Hold n episodes in the engine, one a level seed, judged by g goals."""

    seed: Int[np.ndarray, " n"]
    complete: Bool[np.ndarray, " n"]  # the engine says that its goal was reached (CoinRun: the coin)
    event_step: Int[np.ndarray, "n g"]  # steps until the event of each of our goals; -1: never
    died: Bool[np.ndarray, " n"]  # it ended otherwise, before the time limit
    length: Int[np.ndarray, " n"]
    reward: Float[np.ndarray, " n"]  # the engine's, summed
    drift: Float[np.ndarray, " n"]  # greatest difference between a step of ours and the engine's


def play(
    engine: Engine,
    env: Environment,
    policy: Policy,
    seeds: Sequence[int] | Int[np.ndarray, " n"],
    key: Key[Array, ""],
    edit: Callable[[Saved], Saved] | None = None,
) -> Played:
    """Play one episode of a policy on the level of each level seed; actions are sampled with `key`.

    `env` is our environment of the engine's game and mode; its `max_steps` cuts episodes off. `edit`
    changes each level before it is played, e.g. with `decode.move_coin`. Raises UsageError where `env`
    is of another game or mode.
    """
    kind = decode.KINDS[engine.game].environment
    if type(env) is not kind or getattr(env, "mode", None) != engine.mode:
        ours = f"{env.name} {getattr(env, 'mode', '')}".strip()
        theirs = f"the engine's {engine.game} {engine.mode}"
        raise UsageError(f"{ours} cannot play {theirs}; give {kind.name} of that mode")
    seeds = np.asarray(seeds)
    look, advance = _programs(env, policy)
    parts = []
    for at in range(0, len(seeds), engine.num):
        # The last batch is filled up with the first seeds.
        batch = seeds[np.arange(at, at + engine.num) % len(seeds)]
        saved = engine.begin(batch)
        if edit is not None:
            saved = [edit(one) for one in saved]
            engine.restore(saved)
        parts.append(_play(engine, env, policy, saved, jax.random.fold_in(key, at), look, advance))
    whole = (np.concatenate(leaves)[: len(seeds)] for leaves in zip(*parts, strict=True))
    return Played(seeds, *whole)


def _programs(env: Environment, policy: Policy) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compile, once for all batches, what the policy sees and what our own game says of a step."""

    def look(levels: Level, state: State, memories: Any, time: Array, context: Any) -> Any:
        return policy.view(env, Situation(levels, state, memories, time), context)

    def advance(levels: Level, state: State, memories: Any, action: Array, key: Key[Array, ""]) -> Any:
        after = step_all(env, levels, state, action, key)
        stepped = [
            jax.vmap(goal.step)(levels, memory, state, action, after)[1]
            for goal, memory in zip(env.goals, memories, strict=True)
        ]
        return after, tuple(stepped)

    return eqx.filter_jit(look), eqx.filter_jit(advance)


def _play(
    engine: Engine,
    env: Environment,
    policy: Policy,
    saved: list[Saved],
    key: Key[Array, ""],
    look: Callable[..., Any],
    advance: Callable[..., Any],
) -> tuple[np.ndarray, ...]:
    """Play one batch of levels and return the fields of `Played`, but for the seeds."""
    num, limit = engine.num, saved[0]["max_steps"]
    levels = decode.levels(saved)
    state = decode.states(env, levels, saved)
    context, memory = policy.prepare(env, levels), policy.initial(num)
    memories = tuple(jnp.zeros(num, int) for _ in env.goals)
    decide = policy if policy.on_host else eqx.filter_jit(policy)
    achieved = eqx.filter_jit(_achieved)
    event_step = np.where(achieved(env.goals, levels, state, memories), 0, -1)
    live, complete, died = np.ones(num, bool), np.zeros(num, bool), np.zeros(num, bool)
    length, reward, drift = np.zeros(num, int), np.zeros(num, np.float32), np.zeros(num, np.float32)
    for time in range(env.max_steps):
        observation = look(levels, state, memories, jnp.full(num, time), context)
        decision = decide(jax.device_get(observation) if policy.on_host else observation, memory)
        memory = decision.memory
        noise = jax.random.gumbel(jax.random.fold_in(key, time), decision.logits.shape)
        action = jnp.argmax(decision.logits + noise, -1)
        luck = jax.random.fold_in(jax.random.fold_in(key, WORLD), time)
        predicted, memories = advance(levels, state, memories, action, luck)
        said = engine.step(decode.engine_actions(env, action))
        seen = decode.states(env, levels, engine.states())
        drift = np.where(live & ~said.first, np.maximum(drift, _apart(predicted, seen)), drift)
        state = _select(said.first, predicted, seen)
        now = np.asarray(achieved(env.goals, levels, state, memories)) & live[:, None]
        event_step = np.where(now & (event_step < 0), time + 1, event_step)
        length, reward = length + live, reward + said.reward * live
        complete |= live & said.level_complete
        died |= live & said.first & ~said.level_complete & (time + 1 < limit)
        live &= ~said.first
        if not live.any():
            break
    return complete, event_step, died, length, reward, drift


def _achieved(
    goals: tuple[Goal, ...], levels: Level, state: State, memories: tuple[Int[Array, " n"], ...]
) -> Bool[Array, "n g"]:
    pairs = zip(goals, memories, strict=True)
    return jnp.stack([jax.vmap(goal.is_achieved)(levels, state, memory) for goal, memory in pairs], -1)


def _select(rows: Bool[np.ndarray, " n"], yes: State, no: State) -> State:
    """Take the rows of `yes` where the condition holds, of `no` elsewhere."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, yes, no)


def _apart(ours: State, theirs: State) -> Float[np.ndarray, " n"]:
    """Return, for each level, the greatest difference of two states in any real number."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    apart = [
        np.abs(np.asarray(a) - np.asarray(b)).reshape(len(a), -1).max(1)
        for a, b in pairs
        if jnp.issubdtype(a.dtype, jnp.floating)
    ]
    return np.max(apart, axis=0) if apart else np.zeros(len(jax.tree.leaves(ours)[0]), np.float32)


def measure(
    env: Environment,
    policy: Policy,
    key: Key[Array, ""],
    num_levels: int = 200,
    start_level: int = 0,
    command: str | None = None,
) -> dict[str, tuple[Played, Level]]:
    """Judge a policy of ours in the original CoinRun, before and after the shift.

    It plays the engine's own levels ("train"), and the same ones with the coin on the first column of a
    random section ("shift"). Returns for each split the episodes and the levels as ours, so that both
    games can be compared on them. In a `Played`, column 0 of `event_step` is the coin, column 1 the end,
    judged from the engine's state.

    `env` is the CoinRun that the policy was trained in; the engine plays its mode, easy for the modes
    that only ours has. Levels are those of the level seeds `start_level`, `start_level` + 1, ...; give
    some that were not trained on. `command` says which Python has the engine (`engine.find`). Raises
    UsageError where there is no engine, and for other games.

    Departure from 2105.14111: the fork's levels with moved coins differ from upstream's of the same
    seed; here both splits share their layouts, and sections are told by height (`decode.coin_places`).
    """
    if isinstance(env, ProcgenGame) and env.mode not in ("easy", "hard"):
        env = dataclasses.replace(env, mode="easy")
    seeds = start_level + np.arange(num_levels)
    random = np.random.default_rng(start_level)

    def moved(saved: Saved) -> Saved:
        places = decode.coin_places(saved.grid)
        return decode.move_coin(saved, places[random.integers(len(places))])

    def judged(
        engine: Engine, key: Key[Array, ""], edit: Callable[[Saved], Saved]
    ) -> tuple[Played, Level]:
        seen: list[Saved] = []

        def noted(saved: Saved) -> Saved:
            seen.append(edit(saved))
            return seen[-1]

        played = play(engine, env, policy, seeds, key, noted)
        return played, decode.levels(seen[:num_levels])

    mode = getattr(env, "mode", "hard")
    with Engine("coinrun", mode, min(num_levels, 64), command) as engine:
        keys = jax.random.split(key)
        return {
            "train": judged(engine, keys[0], lambda saved: saved),
            "shift": judged(engine, keys[1], moved),
        }
