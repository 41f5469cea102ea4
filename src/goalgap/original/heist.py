"""Make our Heist levels and replays in the form in which Procgen's were recorded.

Entities are rows `type x y vx vy rx ry image_type theme render_z` in the engine's order; replays show
`type x y theme` of those that are left.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..envs.procgen.heist import Heist, HeistState
from ..envs.procgen.heist_doors import DOORS, HeistDoors
from ..envs.procgen.heist_levels import (
    CHEST,
    GEM,
    HALF,
    KEY,
    MANY_CHESTS,
    NOTHING,
    NUM_BURNT,
    HeistLevel,
    extent,
    most_chests,
)
from ..envs.procgen.random_words import STATE, Draws, twister

EMPTY, WALL, RING = 100, 51, 11  # the engine's codes: tiles, and a key on the key ring (a picture only)
RING_HALF = 0.03  # half the width of such a key, as a share of the picture
# Half the height of a kind of object that is HALF wide, by the sides of its picture.
ASPECTS = {KEY: 84 / 52, GEM: 70 / 48}


def environment(game: str, mode: str, options: dict[str, int]) -> Heist:
    """Build our environment of one of the engine's games, with its options."""
    kind = HeistDoors if game == "heist" else Heist
    return kind(mode=mode, **options)  # type: ignore[arg-type]


def levels(game: str, mode: str, options: dict[str, int], seeds: np.ndarray) -> dict[str, np.ndarray]:
    """Make the recorded fields of the levels of Procgen's level seeds."""
    env = environment(game, mode, options)

    def draw(seed: Int[Array, ""]) -> tuple[HeistLevel, Int[Array, ""], Int[Array, ""]]:
        words = twister(seed, env.num_words)
        level, used = env.draw(words, game)
        # There are as many keys on the ring as were asked for, also where fewer found a cell.
        _, amount = extent(Draws(words, 2 + NUM_BURNT), env.size)
        if game == "heist":
            return level, used, jnp.minimum(amount, DOORS)
        return level, used, (amount + 1) * (1 if game == MANY_CHESTS else 2)

    batch, used, num_keys = jax.device_get(jax.jit(jax.vmap(draw))(jnp.asarray(seeds)))
    objects = _objects(batch)
    rows = [
        np.concatenate([objects[index][batch.kinds[index] != NOTHING], _ring(int(num_keys[index]))])
        for index in range(len(seeds))
    ]
    most = DOORS if game == "heist" else most_chests(env.size) * (1 if game == MANY_CHESTS else 2)
    padded = np.full((len(seeds), batch.kinds.shape[1] + most, 10), np.nan, np.float32)
    for into, row in zip(padded, rows, strict=True):
        into[: len(row)] = row
    rest = np.tile(np.array([0, 0, HALF, HALF], np.float32), (len(seeds), 1))
    return {
        "seed": np.asarray(seeds),
        "grid": np.where(batch.walls, WALL, EMPTY).astype(np.int16),
        "agent": np.concatenate([batch.start, rest], -1),
        "ents": padded,
        "n_ents": np.array([len(row) for row in rows], np.int16),
        "background_index": batch.background.astype(np.int16),
        "bg_pct_x": batch.background_x,
        "mt_index": (used % STATE).astype(np.int16),
        "world_dim": np.full(len(seeds), env.size, np.int16),
        "num_keys": num_keys.astype(np.int16),
    }


def _objects(batch: HeistLevel) -> Float[np.ndarray, "b n 10"]:
    """Make the entity rows of all objects, padding included."""
    kinds = batch.kinds.astype(np.float32)
    width = np.where(kinds == CHEST, np.float32(0.5), np.float32(HALF))
    height = width.copy()
    for kind, aspect in ASPECTS.items():
        height[kinds == kind] /= np.float32(aspect)
    zero = np.zeros_like(kinds)
    x, y = np.asarray(batch.places).transpose(2, 0, 1)
    return np.stack([kinds, x, y, zero, zero, width, height, kinds, batch.numbers, zero], -1)


def _ring(count: int) -> Float[np.ndarray, "k 10"]:
    """Make the entity rows of the keys on the key ring; x and y are shares of the picture."""
    rows = np.zeros((count, 10), np.float32)
    index, half = np.arange(count), np.float64(np.float32(RING_HALF))
    rows[:, 0], rows[:, 7], rows[:, 8], rows[:, 9] = RING, KEY, index, 1
    rows[:, 1], rows[:, 2] = 1 - half * (2 * index + 1.25), half * 0.75
    rows[:, 5], rows[:, 6] = half, np.float32(half) / np.float32(ASPECTS[KEY])
    return rows


def replay(
    game: str, mode: str, options: dict[str, int], seeds: np.ndarray, actions: np.ndarray
) -> dict[str, np.ndarray]:
    """Play actions (Procgen's 15) [levels, steps] in our environment and return a recording of them.

    Where an episode ends, the same level starts again within the step.
    """
    env = environment(game, mode, options)

    def play(seed: Int[Array, ""], actions: Int[Array, " t"]) -> tuple[HeistLevel, dict[str, Array]]:
        level, used = env.draw(twister(seed, env.num_words), game)

        def show(state: HeistState) -> dict[str, Array]:
            agent = jnp.concatenate([state.position, state.velocity])
            time = state.time.astype(jnp.int16)
            return {"agent": agent, "gone": state.gone, "cur_time": time, "mt_index": used + state.time}

        def step(state: HeistState, action: Int[Array, ""]) -> tuple[HeistState, dict[str, Array]]:
            action = jnp.where(action < env.num_actions, action, 4)
            after = env.step(level, state, action)
            reward = env.intended.reward(level, state, action, after)
            complete = env.is_terminal(level, after)
            first = complete | (after.time >= env.max_steps)
            said = {"reward": reward, "first": first, "level_complete": complete}
            after = jax.tree.map(lambda a, b: jnp.where(first, a, b), env.reset(level), after)
            return after, said | show(after)

        state = env.reset(level)
        _, said = jax.lax.scan(step, state, actions)
        start = show(state)
        whole = {name: jnp.concatenate([start[name][None], said[name]]) for name in start}
        return level, said | whole

    level, said = jax.device_get(jax.jit(jax.vmap(play))(jnp.asarray(seeds), jnp.asarray(actions)))
    gone = said.pop("gone")
    left = ~gone & (level.kinds != NOTHING)[:, None]
    rows = _objects(level)[:, :, [0, 1, 2, 8]]
    # Those that are left come first, in their order.
    order = np.argsort(~left, axis=-1, kind="stable")
    objects = np.take_along_axis(rows[:, None], order[..., None], 2)
    count = left.sum(-1).astype(np.int16)
    is_left = np.arange(left.shape[-1]) < count[..., None]
    said["mt_index"] = (said["mt_index"] % STATE).astype(np.int16)
    return said | {"ents": np.where(is_left[..., None], objects, np.nan), "n_ents": count}
