"""Play Keys and Chests as a reference player that plans along the maze and steers with momentum.

It plays well, and is what an agent's play is compared with where exact play is out of reach; it is not
optimal. For the goal *chests* it goes to the nearest key when it holds none, else to the nearest chest;
for the goal *keys* to the nearest key while there is one, then to the nearest chest.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ...core import Context, Decision, Environment, Memory, Observation, Patch, Policy, Situation
from .heist_levels import CHEST, KEY, HeistLevel

FAR = 10_000  # more steps than any path through a world has
SLACK = 0.1  # how far off the middle of a corridor the agent may be, in tiles; .13 would graze a wall


class Player(Policy):
    """Play one goal, "chests" or "keys". The player sees the state itself, not the observation."""

    goal: str = eqx.field(static=True)

    def prepare(self, env: Environment, levels: HeistLevel) -> Context:
        """Measure the distance of every tile to each object, along the maze [batch, objects, h, w]."""
        return jax.jit(jax.vmap(distances))(levels)

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        """Return the action that the player takes, which it thus only has to repeat."""
        return jax.vmap(self.act)(situation.level, situation.state, context)

    def act(self, level: HeistLevel, state: Any, fields: Int[Array, "n h w"]) -> Int[Array, ""]:
        """Choose the action for one state; `fields` are the distances to each object."""
        keys, chests = (~state.gone & (level.kinds == kind) for kind in (KEY, CHEST))
        wants_key = keys.any() & ((state.held(level) == 0) | (self.goal == "keys"))
        tile = jnp.floor(state.position).astype(int)
        steps = fields[:, tile[1], tile[0]]
        target = jnp.argmin(jnp.where(jnp.where(wants_key, keys, chests), steps, FAR))
        return steer(state.position - tile - 0.5, direction(fields[target], tile))

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        logits = jnp.where(jnp.arange(9) == observation[:, None], 0.0, -jnp.inf)
        return Decision(logits, jnp.zeros(observation.shape), memory, {})


def distances(level: HeistLevel) -> Int[Array, "n h w"]:
    """Count the tiles to each object, from every tile; FAR from walls and from where no path leads."""
    height, width = level.walls.shape
    tiles = jnp.floor(level.places).astype(int)
    cells = jnp.arange(height * width).reshape(height, width)
    here = cells == (tiles[:, 1] * width + tiles[:, 0])[:, None, None]

    def spread(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        steps, _ = carry
        wide = jnp.pad(steps, ((0, 0), (1, 1), (1, 1)), constant_values=FAR)
        beside = wide[:, 2:, 1:-1], wide[:, :-2, 1:-1], wide[:, 1:-1, 2:], wide[:, 1:-1, :-2]
        nearest = jnp.minimum(jnp.minimum(*beside[:2]), jnp.minimum(*beside[2:])) + 1
        after = jnp.where(level.walls, FAR, jnp.minimum(steps, nearest)).astype(steps.dtype)
        return after, (after != steps).any()

    start = jnp.where(here, 0, FAR).astype(jnp.int16), jnp.ones((), bool)
    return jax.lax.while_loop(lambda carry: carry[1], spread, start)[0]


def direction(steps: Int[Array, "h w"], tile: Int[Array, "2"]) -> Int[Array, "2"]:
    """Point to the neighboring tile that is nearest to the target, as (dx, dy).

    It is (0, 0) on the target's own tile.
    """
    ways = jnp.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)])
    x, y = (tile + ways).T
    inside = (x >= 0) & (x < steps.shape[1]) & (y >= 0) & (y < steps.shape[0])
    there = jnp.where(inside, steps.at[y, x].get(mode="clip"), FAR)
    return ways[jnp.argmin(there)]


def steer(offset: Float[Array, "2"], way: Int[Array, "2"]) -> Int[Array, ""]:
    """Choose the action that goes `way` from a place on a tile (`offset` from its middle).

    It goes ahead, and back to the middle across. A corner may be cut: what is blocked just waits for its
    turn.
    """
    back = jnp.where(jnp.abs(offset) > SLACK, -jnp.sign(offset), 0).astype(int)
    command = jnp.where(way != 0, way, back)
    return 3 * (command[0] + 1) + command[1] + 1
