"""Make CoinRun's levels and replays in the format of recordings.

`options["fork"]` says that the fork's levels are meant (JacobPfau/procgenAISC), not upstream's.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..envs.procgen import coinrun_levels, platformer
from ..envs.procgen.coinrun import CoinRun, CoinRunState
from ..envs.procgen.coinrun_levels import CRATE, NOTHING, SAW, WALKER, Draft
from ..envs.procgen.random_words import twister

EMPTY, COIN, HIDDEN = 100, 1, -1
_TILES = {"inside": 15, "top": 16, "lava_inside": 17, "lava_top": 18, "barrier": 19}
_HALF = np.float32(0.5)
_IMAGES = {SAW: 2, WALKER: 6, CRATE: 20}


def levels(game: str, mode: str, options: dict[str, int], seeds: np.ndarray) -> dict[str, np.ndarray]:
    """Make the recorded fields of the levels of some level seeds, with our generator."""
    made = _drafts(game, mode, options, seeds)
    count = len(seeds)
    grid = np.stack([_grid(jax.tree.map(lambda leaf, k=k: leaf[k], made)) for k in range(count)])
    ents, num = _entities(made)
    height = platformer.HALF_HEIGHT
    agent = np.tile(np.array([1.5, 1 + np.float32(height), 0, 0, 0.5, height], np.float32), (count, 1))
    place = made.place
    moved = made.moved[:, None]
    return {
        "seed": np.asarray(seeds),
        "grid": grid,
        "agent": agent,
        "ents": ents,
        "n_ents": num,
        "background_index": made.scene.background,
        "bg_pct_x": made.scene.offset,
        "mt_index": made.num_words % 624,
        "wall_theme": made.scene.ground,
        "agent_theme": made.scene.agent,
        "coin_xy": np.where(moved, place, made.end),
        "invisible_coin_xy": np.where(moved, made.end, place),
    }


def _drafts(game: str, mode: str, options: dict[str, int], seeds: np.ndarray) -> Any:
    """Make drafts of level seeds, as NumPy arrays. `game` is the engine's name of the game."""
    game = "coinrun_fork" if game == "coinrun" and options.get("fork") else game
    return jax.device_get(
        _draft(jnp.asarray(seeds), game, mode == "easy", options.get("random_percent", 0))
    )


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _draft(seeds: Array, game: str, easy: bool, percent: int) -> Draft:
    words = jax.vmap(lambda seed: twister(seed, coinrun_levels.NUM_WORDS))(seeds)
    return jax.vmap(lambda words: coinrun_levels.draft(words, game, easy, percent))(words)


def _grid(made: Draft) -> np.ndarray:
    """Return a level's tile codes, [row, column], including rows that our words of bits leave out."""
    size = platformer.WIDTH
    grid = np.full((size, size), EMPTY, np.int16)
    rows = np.minimum(np.arange(size), platformer.ROWS - 1).astype(np.uint32)
    for kind, code in _TILES.items():
        grid[(getattr(made, kind)[None] >> rows[:, None]) & 1 == 1] = code
    grid[-1] = _TILES["inside"]
    coin, hidden = (made.place, made.end) if made.moved else (made.end, made.place)
    if hidden[0] >= 0:
        grid[hidden[1], hidden[0]] = HIDDEN
    grid[coin[1], coin[0]] = COIN
    return grid


def _entities(made: Draft) -> tuple[np.ndarray, np.ndarray]:
    """Return the things of each level, padded, and their numbers.

    A thing is a row `type x y vx vy rx ry image_type theme render_z`.
    """
    things = made.things
    there = things.kind != NOTHING
    num = np.asarray(there.sum(1))
    ents = np.full((len(num), num.max(initial=0), 10), np.nan, np.float32)
    for row, (ent, on) in enumerate(zip(ents, there, strict=True)):
        kind, column, y, look, right = (leaf[row][on] for leaf in things)
        walks = kind == WALKER
        vx = np.where(walks, np.where(right, 0.15, -0.15), 0).astype(np.float32)
        image = np.select([kind == key for key in _IMAGES], list(_IMAGES.values()))
        zero, half = np.zeros(len(kind)), np.full(len(kind), _HALF)
        ent[: num[row]] = np.stack(
            [kind, column + _HALF, y + _HALF, vx, zero, half, half, image, look, walks], 1
        )
    return ents, num


def replay(
    game: str, mode: str, options: dict[str, int], seeds: np.ndarray, actions: np.ndarray
) -> dict[str, np.ndarray]:
    """Play recorded actions [levels, steps] in our environment and return a recording of them."""
    made = jax.tree.map(jnp.asarray, _drafts(game, mode, options, seeds))
    env = CoinRun(mode=mode)
    played = jax.device_get(_play(env, made, jnp.asarray(actions)))
    there = made.things.kind == WALKER
    num = np.asarray(there.sum(1))
    x, row, vx = played["walkers"]
    ents = np.stack([np.full_like(x, WALKER), x, row + _HALF, vx], -1)[:, :, : num.max(initial=0)]
    absent = np.arange(ents.shape[2]) >= num[:, None, None]
    ents[np.broadcast_to(absent, ents.shape[:3])] = np.nan
    steps = actions.shape[1] + 1
    played["mt_index"] = (np.asarray(made.num_words)[:, None] + played.pop("drawn")) % 624
    del played["walkers"]
    return played | {"seed": seeds, "ents": ents, "n_ents": np.repeat(num[:, None], steps, 1)}


@jax.jit
def _play(env: CoinRun, made: Draft, actions: Array) -> dict[str, Any]:
    def one(made: Draft, actions: Array) -> dict[str, Any]:
        level = coinrun_levels.build(made)
        fresh = env.reset(level)

        def step(state: CoinRunState, action: Array) -> tuple[CoinRunState, tuple]:
            after = env.step(level, state, jnp.where(action < 9, action, 4))
            won = env.intended.is_achieved(level, after, jnp.zeros((), int))
            ended = env.is_terminal(level, after) | (after.time >= 1000)
            after = jax.tree.map(lambda a, b: jnp.where(ended, a, b), fresh, after)
            return after, (after, won, ended)

        _, (states, won, ended) = jax.lax.scan(step, fresh, actions)
        states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), fresh, states)
        body = states.body
        row = jnp.broadcast_to(level.walkers.row.astype(jnp.float32), states.walker_x.shape)
        flags = jnp.stack([body.supported, body.on_crate, body.facing_right], -1)
        # A level drawn anew reads its words anew; each step reads one.
        return {
            "agent": jnp.stack([body.x, body.y, body.vx, body.vy], -1),
            "reward": jnp.where(won, 10.0, 0.0).astype(jnp.float32),
            "first": ended,
            "level_complete": won,
            "cur_time": states.time,
            "drawn": states.time,
            "flags": flags.astype(jnp.int8),
            "walkers": (states.walker_x, row, states.walker_vx),
        }

    return jax.vmap(one)(made, actions)
