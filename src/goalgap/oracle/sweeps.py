"""Backward sweeps over tables: what all exact play, and what follows from it, spends its time on.

Arrays have actions first and states last, [a m s], which is how vector units like them. Where an
environment says what its actions add to a state's index (`Environment.strides`), values are shifted
instead of looked up.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

BLOCK = 16  # updates between two looks for a change, each of which costs as much as several updates


def pack(table: Shaped[Array, "x a"], num_memories: int) -> Shaped[Array, "a m s"]:
    """Lay out a table of moves, x = (state, memory), for sweeps."""
    return table.reshape(-1, num_memories, table.shape[-1]).transpose(2, 1, 0)


def unpack(value: Float[Array, "m s"]) -> Float[Array, " x"]:
    """Bring a value of every state and memory back from the layout of sweeps to x = (state, memory)."""
    return value.T.reshape(-1)


def follower(
    successor: Int[Array, "x a"], num_memories: int, strides: tuple[int, ...] | None
) -> Callable[[Float[Array, "m s"]], Float[Array, "a m s"]]:
    """Make the function that gives, for the value of every state, that of every move's successor."""
    state, memory = jnp.divmod(pack(successor, num_memories), num_memories)
    num_states = state.shape[-1]
    if strides is None:
        at = memory * num_states + state
        return lambda value: value.reshape(-1).at[at].get(mode="promise_in_bounds")
    moves = state[:, 0] != jnp.arange(num_states)  # [a s]

    def follow(value: Float[Array, "m s"]) -> Float[Array, "a m s"]:
        after = []
        for action, stride in enumerate(strides):
            there = jnp.where(moves[action], jnp.roll(value, -stride, 1), value)
            chosen = jnp.broadcast_to(there[0], value.shape)
            for other in range(1, num_memories):
                chosen = jnp.where(memory[action] == other, there[other], chosen)
            after.append(chosen)
        return jnp.stack(after)

    return follow


def expect(chance: Float[Array, "a m s"], value: Float[Array, "a m s"]) -> Float[Array, "m s"]:
    """Average values over actions by the chance of each.

    The sum is written out, since XLA would make a contraction of it, ten times slower.
    """
    return sum((p * v for p, v in zip(chance, value, strict=True)), jnp.zeros(value.shape[1:]))


def iterate(update: Callable[[Array], Array], start: Array, horizon: int) -> Array:
    """Make `horizon` updates, or fewer where they stop changing anything."""

    def unfinished(carry: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        return carry[1] & (carry[2] < horizon)

    def block(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        value, _, done = carry

        def one(number: Array, value: Array) -> Array:
            # The last block goes on too long: a loop for the rest would have to be compiled, too.
            return jnp.where(done + number < horizon, update(value), value)

        new = jax.lax.fori_loop(0, BLOCK, one, value)
        return new, (new != value).any(), done + BLOCK

    return jax.lax.while_loop(unfinished, block, (start, jnp.array(True), jnp.array(0)))[0]


def action_values(
    reward: Float[Array, "s m a"],
    discount: Float[Array, "s m a"],
    successor: Int[Array, "s m a"],
    strides: tuple[int, ...] | None,
    horizon: int,
    kind: str = "best",
) -> Float[Array, "s m a"]:
    """Compute the value of each action on one level with `horizon` steps to go.

    The best, the uniformly random or the worst play follows (`kind`). s: states, m: memories of the
    goal, a: actions; successors are indices into s x m, flattened.
    """
    _, num_memories, num_actions = reward.shape
    follow = follower(successor.reshape(-1, num_actions), num_memories, strides)
    pays, keeps = reward.transpose(2, 1, 0), discount.transpose(2, 1, 0)
    chance = jnp.full(pays.shape, 1 / num_actions)
    pick = {
        "best": lambda q: q.max(0),
        "random": lambda q: expect(chance, q),
        "worst": lambda q: q.min(0),
    }[kind]

    def q(value: Float[Array, "m s"]) -> Float[Array, "a m s"]:
        return pays + keeps * follow(value)

    value = iterate(lambda value: pick(q(value)), jnp.zeros(pays.shape[1:]), horizon - 1)
    return q(value).transpose(2, 1, 0)
