"""Play CoinRun as a reference player that looks ahead with the game itself.

CoinRun's states cannot be enumerated, so nobody knows the best play. This player searches for a fast way
to a goal with a beam of states (breadth first, the nearest ones kept, one for each half-tile and
direction of fall) and then plays the way it found. What it finds is a way: levels on which it finds one
are solvable. What it does not find may exist: it is a reference, never an optimum.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ...core import (
    Context,
    Decision,
    Goal,
    Level,
    Memory,
    Observation,
    Patch,
    Policy,
    Situation,
    tree_index,
)

BEAM, HOLD = 24, 3  # states kept, and steps for which each chosen action is held
LONGEST = 400  # steps of the longest way that is looked for
CHUNK = 64  # levels searched at a time: bounds memory
_ACTIONS = (7, 8, 5, 2, 1, 4)  # right, right and up, up, left and up, left, none
_FAR = 1e9


class Player(Policy):
    """Play the way to `goal` that the search found; where it found none, run and jump right."""

    goal: Goal

    def prepare(self, env: Any, levels: Level) -> Context:
        """Search each level and return an action for each step, [levels, steps]."""
        return search(env, self.goal, levels)[0]

    def view(self, env: Any, situation: Situation, context: Context) -> Observation:
        step = jnp.minimum(situation.step, context.shape[1] - 1)
        return jnp.take_along_axis(context, step[:, None], 1)[:, 0]

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        logits = jnp.where(jnp.arange(9) == observation[:, None], 0.0, -_FAR)
        return Decision(logits, jnp.zeros(observation.shape), memory, {})


def search(env: Any, goal: Goal, levels: Level) -> tuple[Int[Array, "l t"], Bool[Array, " l"]]:
    """Find for each level a way as actions [levels, steps], and whether it arrives in time."""
    count = jax.tree.leaves(levels)[0].shape[0]
    rows = jnp.arange(-(-count // CHUNK) * CHUNK) % count
    parts = [
        _search(env, goal, tree_index(levels, rows[at : at + CHUNK]))
        for at in range(0, len(rows), CHUNK)
    ]
    ways, found = (jnp.concatenate(part)[:count] for part in zip(*parts, strict=True))
    return ways, found


@functools.partial(jax.jit, static_argnames="goal")
def _search(env: Any, goal: Any, levels: Level) -> tuple[Array, Array]:
    depth = min(env.max_steps, LONGEST) // HOLD
    num = CHUNK
    moves = jnp.asarray(_ACTIONS)
    start = jax.vmap(env.reset)(levels)
    states = jax.tree.map(lambda leaf: jnp.repeat(leaf[:, None], BEAM, 1), start)
    live = jnp.broadcast_to(jnp.arange(BEAM) == 0, (num, BEAM))
    history = jnp.zeros((depth, num, BEAM), jnp.int32)  # parent * actions + action
    done_at, winner = jnp.full(num, -1), jnp.zeros(num, int)

    def try_move(level: Level, state: Any, action: Array) -> tuple[Any, Array, Array]:
        def hold(_: Array, carry: tuple) -> tuple:
            state, won, dead = carry
            after = env.step(level, state, action)
            state = jax.tree.map(lambda new, old: jnp.where(won | dead, old, new), after, state)
            won |= goal.is_achieved(level, state, jnp.zeros((), int)) & ~dead
            return state, won, dead | (env.is_terminal(level, state) & ~won)

        no = jnp.zeros((), bool)
        return jax.lax.fori_loop(0, HOLD, hold, (state, no, no))

    over_moves = jax.vmap(try_move, (None, None, 0))
    over_beam = jax.vmap(over_moves, (None, 0, None))
    over_levels = jax.vmap(over_beam, (0, 0, None))

    def choose(level: Level, states: Any, usable: Array) -> Array:
        """Choose which BEAM of the candidates to keep: the nearest, one of each kind."""
        body = states.body
        target = getattr(level, str(goal.target))
        away = jnp.abs(body.x - target[0] - 0.5) + 0.25 * jnp.maximum(target[1] + 0.5 - body.y, 0)
        kind = (
            (jnp.floor(2 * body.x) * 128 + jnp.floor(2 * body.y)) * 4 + (body.vy > 0) * 2 + (body.vx > 0)
        )
        cost = jnp.where(usable, away, _FAR)
        kind = jnp.where(usable, kind, _FAR)
        by_kind = jnp.lexsort((cost, kind))
        sorted_kind = kind[by_kind]
        first = jnp.concatenate([jnp.ones(1, bool), sorted_kind[1:] != sorted_kind[:-1]])
        return by_kind[jnp.argsort(jnp.where(first, cost[by_kind], _FAR))[:BEAM]]

    def deepen(carry: tuple) -> tuple:
        number, states, live, history, done_at, winner = carry
        tried, won, dead = over_levels(levels, states, moves)
        tried, won, dead = jax.tree.map(
            lambda leaf: leaf.reshape(num, BEAM * len(_ACTIONS), *leaf.shape[3:]), (tried, won, dead)
        )
        was_live = jnp.repeat(live, len(_ACTIONS), 1)
        won &= was_live
        kept = jax.vmap(choose)(levels, tried, was_live & ~dead & ~won)
        states = jax.vmap(tree_index)(tried, kept)
        live = jnp.take_along_axis(was_live & ~dead & ~won, kept, 1)
        new = won.any(1) & (done_at < 0)
        winner = jnp.where(new, won.argmax(1), winner)
        done_at = jnp.where(new, number, done_at)
        return (
            number + 1,
            states,
            live & (done_at < 0)[:, None],
            history.at[number].set(kept),
            done_at,
            winner,
        )

    def unfinished(carry: tuple) -> Array:
        return (carry[0] < depth) & carry[2].any()

    start_carry = (jnp.asarray(0), states, live, history, done_at, winner)
    *_, history, done_at, winner = jax.lax.while_loop(unfinished, deepen, start_carry)

    def back(at: Array, number: Array) -> tuple[Array, Array]:
        """Find the candidate at one depth, out of the state that it led to."""
        is_last, is_part = number == done_at, number <= done_at
        candidate = jnp.where(
            is_last, winner, jnp.take_along_axis(history[number], at[:, None], 1)[:, 0]
        )
        action = jnp.where(is_part, moves[candidate % len(_ACTIONS)], moves[1])
        return jnp.where(is_part, candidate // len(_ACTIONS), at), action

    _, actions = jax.lax.scan(back, jnp.zeros(num, int), jnp.arange(depth), reverse=True)
    return jnp.repeat(actions.T, HOLD, 1), done_at >= 0
