"""Make our mazes' levels, and replays of recorded actions, in the format of Procgen's recordings."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from ..envs.procgen.maze import Maze, MazeEnvironment
from ..envs.procgen.maze_line import MazeLine
from ..envs.procgen.random_words import Draws, twister

EMPTY, WALL, GOAL, DISTRACTOR = 100, 51, 2, 3
PERIOD = 624  # words after which Procgen's count begins again
STAND = 4  # above the last of our own actions, 3: nobody moves
# Our actions (up, left, down, right) for Procgen's fifteen: across wins over up and down.
ACTIONS = np.array([1, 1, 1, 2, STAND, 0, 3, 3, 3, *[STAND] * 6])


def levels(
    game: str, mode: str, options: dict[str, int], seeds: Int[np.ndarray, " n"]
) -> dict[str, np.ndarray]:
    """Make the recorded fields of levels, as `levels_*` of the recordings has them.

    Places are in tiles, y upwards.
    """
    env = _environment(game, mode, options)
    level, at = _levels(env, game, seeds)
    goal, distractor = _objects(level)
    count, size = len(seeds), env.size
    cells = np.arange(size**2).reshape(size, size)[::-1]
    grid = np.where(level.walls[:, ::-1], WALL, EMPTY).astype(np.int16)
    for code, cell in ((GOAL, goal), (DISTRACTOR, distractor)):
        grid[cells == cell[:, None, None]] = code
    start = _xy(env, level.mouse)
    halves, still = np.full((count, 2), 0.5), np.zeros((count, 2))
    return {
        "seed": np.asarray(seeds),
        "grid": grid,
        "agent": np.concatenate([start + 0.5, still, halves], 1).astype(np.float32),
        "ents": np.full((count, 1, 10), np.nan, np.float32),
        "n_ents": np.zeros(count, np.int16),
        "background_index": level.background.astype(np.int16),
        "bg_pct_x": level.background_offset,
        "mt_index": (at % PERIOD).astype(np.int16),
        "maze_dim": (size - 2 * start[:, 0]).astype(np.int16),
        "world_dim": np.full(count, size, np.int16),
        "goal_xy": _xy(env, goal).astype(np.int16),
        "distractor_xy": _xy(env, distractor).astype(np.int16),
    }


def replay(
    game: str,
    mode: str,
    options: dict[str, int],
    seeds: Int[np.ndarray, " n"],
    actions: Int[np.ndarray, "n t"],
) -> dict[str, np.ndarray]:
    """Play recorded actions and return what `traj_*` of the recordings has, but for entities.

    Mazes have no entities.
    """
    env = _environment(game, mode, options)
    level, at = _levels(env, game, seeds)
    position, time, done, complete = jax.device_get(_played(env, level, ACTIONS[actions]))
    place = _xy(env, position) + 0.5
    velocity = np.diff(place, axis=1, prepend=place[:, :1])
    velocity[:, 1:][done] = 0  # a new episode begins at rest
    return {
        "agent": np.concatenate([place, velocity], 2).astype(np.float32),
        "reward": np.where(complete, np.float32(10), np.float32(0)),
        "first": done,
        "level_complete": complete,
        "cur_time": time.astype(np.int16),
        "mt_index": ((at[:, None] + time) % PERIOD).astype(np.int16),
    }


def _environment(game: str, mode: str, options: dict[str, int]) -> MazeEnvironment:
    if game in MazeLine.games:
        return MazeLine(mode=mode)
    return Maze(mode=mode, region=options.get("rand_region", 0))


def _levels(env: MazeEnvironment, game: str, seeds: np.ndarray) -> tuple[Any, np.ndarray]:
    """Make the levels of some level seeds, and count how many words each took."""
    return jax.device_get(_read(env, game, jnp.asarray(seeds)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read(env: MazeEnvironment, game: str, seeds: Int[Array, " n"]) -> tuple[Any, Int[Array, " n"]]:
    def make(seed: Array) -> tuple[Any, Array]:
        draws = Draws(twister(seed, env.num_words))
        return env.read(draws, game), draws.at

    return jax.vmap(make)(seeds)


def _objects(level: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of the object that ends the episode and of the one that does not (-1: absent)."""
    if hasattr(level, "cheese"):
        return level.cheese, np.full_like(level.cheese, -1)
    return level.line, level.gem


def _xy(env: MazeEnvironment, cell: np.ndarray) -> np.ndarray:
    """Turn our cells into tiles (x, y), counted from the bottom left; (-1, -1) for absent objects."""
    x, y = cell % env.size, env.size - 1 - cell // env.size
    return np.where(cell[..., None] < 0, -1, np.stack([x, y], -1))


@functools.partial(jax.jit, static_argnums=0)
def _played(
    env: MazeEnvironment, level: Any, actions: Int[Array, "n t"] | Int[np.ndarray, "n t"]
) -> tuple[Int[Array, "n u"], Int[Array, "n u"], Bool[Array, "n t"], Bool[Array, "n t"]]:
    """Play actions in our mazes; the level begins anew within the step that ends it.

    Returns the cells and times before the first step and after each, which steps end an episode, and
    which of these do so by reaching the goal.
    """

    def play(level: Any, actions: Array) -> Any:
        begun = env.reset(level)

        def step(now: tuple[Any, Array], action: Array) -> tuple[Any, Any]:
            state, time = env.step(level, now[0], action), now[1] + 1
            complete = env.is_terminal(level, state)
            done = complete | (time >= env.max_steps)
            state = jax.tree.map(lambda new, old: jnp.where(done, new, old), begun, state)
            after = state, jnp.where(done, 0, time)
            return after, (now[0].position, now[1], done, complete)

        last, (position, time, done, complete) = jax.lax.scan(step, (begun, jnp.asarray(0)), actions)
        return jnp.append(position, last[0].position), jnp.append(time, last[1]), done, complete

    return jax.vmap(play)(level, jnp.asarray(actions))
