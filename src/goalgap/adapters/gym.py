"""Offer goalgap's environments to Gymnasium: one at a time, or many in one compiled step.

    env = GoalgapEnv(corner, corner.shift().train, seed=0)
    envs = GoalgapVectorEnv(corner, corner.shift().train, num_envs=64, seed=0)

The reward is one goal's, the intended one unless told otherwise; `info["rewards"]` has every goal's by
name. Beside it `info` says whether the level distinguishes the goals (`distinguishing`) and which one it
is (`level_hash`, 64 bits). An episode that the environment ends is `terminated`; one cut off by
`max_steps` is `truncated`, and its future is not worth nothing.

Needs the extra `gym`; importing this module without it raises UsageError.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8, UInt32

from ..core import Environment, Goal, Level, Levels, Shift, Situation, UsageError, tree_index
from ..envs import ALL
from ..rollout import select

try:
    import gymnasium
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise UsageError(
        'goalgap.adapters.gym needs Gymnasium; install it with: pip install "goalgap[gym]"'
    ) from error

OBSERVATIONS = ("symbolic", "rgb")
RENDER_MODES = ("rgb_array", "ansi")
RENDER_PIXELS = 24
BANK = 16  # levels sampled ahead for each lane of a vector environment

Info = dict[str, Any]


class _Episode(NamedTuple):
    """Hold an episode under way, and what `info` says of its level."""

    situation: Situation
    noise: Key[Array, "*b"]
    distinguishing: Bool[Array, "*b"]
    level_hash: UInt32[Array, "*b 2"]


class _Result(NamedTuple):
    """Hold what one step gives; g: goals."""

    observation: UInt8[Array, "*b h w c"]
    rewards: Float[Array, "*b g"]
    terminated: Bool[Array, "*b"]
    truncated: Bool[Array, "*b"]


class _Game(NamedTuple):
    """Share what single and vector environments need: pure functions of one episode."""

    env: Environment
    goals: tuple[Goal, ...]
    observation: str
    pixels: int

    def start(self, level: Level, noise: Key[Array, ""]) -> tuple[_Episode, UInt8[Array, "h w c"]]:
        zero = jnp.zeros((), int)
        state = self.env.reset(level)
        situation = Situation(level, state, tuple(zero for _ in self.goals), zero)
        facts = self.env.is_distinguishing(level), self.env.level_hash(level)
        return _Episode(situation, noise, *facts), self.observe(level, state)

    def observe(self, level: Level, state: Any) -> UInt8[Array, "h w c"]:
        if self.observation == "rgb":
            return self.env.rgb(level, state, self.pixels)
        return self.env.observe(level, state).astype(jnp.uint8)

    def step(self, episode: _Episode, action: Int[Array, ""]) -> tuple[_Episode, _Result]:
        level, state, memories, time = episode.situation
        next_state = self.env.step(level, state, action, jax.random.fold_in(episode.noise, time))
        scored = [
            goal.step(level, memory, state, action, next_state)
            for goal, memory in zip(self.goals, memories, strict=True)
        ]
        rewards, memories = zip(*scored, strict=True)
        terminated = self.env.is_terminal(level, next_state)
        truncated = (time + 1 >= self.env.max_steps) & ~terminated
        observation = self.observe(level, next_state)
        situation = Situation(level, next_state, memories, time + 1)
        result = _Result(observation, jnp.stack(rewards), terminated, truncated)
        return episode._replace(situation=situation), result

    def start_all(self, bank: Any) -> tuple[_Episode, UInt8[Array, "b h w c"]]:
        """Begin the first level of each row of the bank."""
        return jax.vmap(self.start)(*tree_index(bank, (slice(None), 0)))

    def step_all(
        self, lanes: _Episode, actions: Int[Array, " b"], bank: Any, places: Int[Array, " b"]
    ) -> tuple[_Episode, UInt8[Array, "b h w c"], _Result]:
        """Step every lane; those whose episode ends begin the next level of their row of the bank."""
        lanes, result = jax.vmap(self.step)(lanes, actions)
        ended = result.terminated | result.truncated

        def restart() -> tuple[_Episode, UInt8[Array, "b h w c"]]:
            fresh, first = jax.vmap(self.start)(*tree_index(bank, (jnp.arange(len(places)), places)))
            return select(ended, fresh, lanes), select(ended, first, result.observation)

        lanes, observation = jax.lax.cond(ended.any(), restart, lambda: (lanes, result.observation))
        return lanes, observation, result


@functools.cache
def _single(game: _Game) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compile `start` and `step`, shared by all environments that are equal."""
    return jax.jit(game.start), jax.jit(game.step)


@functools.cache
def _batched(game: _Game) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compile `start_all` and `step_all`, shared by all environments that are equal."""
    return jax.jit(game.start_all), jax.jit(game.step_all)


@eqx.filter_jit
def _deal(levels: Levels, lane: Key[Array, ""], number: Any) -> tuple[Level, Key[Array, ""]]:
    """Draw the level of a number in a lane's stream, and the noise of the episode on it."""
    level_key, noise = jax.random.split(jax.random.fold_in(lane, number))
    return levels.sample(level_key), noise


@eqx.filter_jit
def _deal_bank(levels: Levels, lanes: Key[Array, " b"], first: Int[Array, " b"]) -> Any:
    """Draw for each lane its next levels, from number `first` on, and their noise: [b, BANK]."""
    numbers = first[:, None] + jnp.arange(BANK)
    # One axis for both: nested batches take twice as long to compile.
    dealt = jax.vmap(_deal, (None, 0, 0))(levels, jnp.repeat(lanes, BANK), numbers.reshape(-1))
    return jax.tree.map(lambda leaf: leaf.reshape(len(lanes), BANK, *leaf.shape[1:]), dealt)


class _Adapter:
    """Say what both kinds of environment say of themselves and of a goalgap environment's goals."""

    def _set_up(
        self,
        env: Environment,
        levels: Levels,
        seed: int,
        observation: str,
        goal: Goal | str | None,
        pixels: int,
        render_mode: str | None,
    ) -> None:
        if observation not in OBSERVATIONS:
            raise UsageError(f"observation is {observation!r}; expected one of {OBSERVATIONS}")
        if render_mode not in (None, *RENDER_MODES):
            raise UsageError(f"render_mode is {render_mode!r}; expected None or one of {RENDER_MODES}")
        self.environment, self.levels, self.render_mode = env, levels, render_mode
        self.goal = _find_goal(env, goal)
        others = tuple(other for other in env.goals if other.name != self.goal.name)
        self._game = _Game(env, (self.goal, *others), observation, pixels)
        self._seed = seed

    def _spaces(self) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Discrete]:
        level = jax.eval_shape(self.levels.sample, jax.random.key(0))
        first = jax.eval_shape(
            lambda level: self._game.observe(level, self.environment.reset(level)), level
        )
        high = 255 if self._game.observation == "rgb" else 1
        observations = gymnasium.spaces.Box(0, high, first.shape, np.uint8)
        return observations, gymnasium.spaces.Discrete(self.environment.num_actions)

    def _lanes(self, count: int) -> Key[Array, " count"]:
        """Make a random stream for each lane; lane i is what lane 0 would be with seed + i."""
        if not 0 <= self._seed < 2**32:
            raise UsageError(f"seed is {self._seed}; expected a whole number from 0 to {2**32 - 1}")
        seeds = (self._seed + np.arange(count)) % 2**32
        return jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))

    def _render(self, level: Level, state: Any) -> np.ndarray | str | None:
        if self.render_mode == "rgb_array":
            return np.array(_picture(self.environment, level, state))
        return None if self.render_mode is None else self.environment.to_text(level, state)


@functools.partial(jax.jit, static_argnums=0)
def _picture(env: Environment, level: Level, state: Any) -> UInt8[Array, "y x 3"]:
    return env.rgb(level, state, RENDER_PIXELS)


def _find_goal(env: Environment, goal: Goal | str | None) -> Goal:
    if goal is None:
        return env.intended
    if isinstance(goal, Goal):
        return goal
    names = [known.name for known in env.goals]
    if goal not in names:
        raise UsageError(f"{env.name} has no goal {goal!r}; its goals are {', '.join(names)}")
    return env.goals[names.index(goal)]


def _facts(episode: _Episode) -> Info:
    """Say what `info` says of the levels of a batch of episodes (or of one)."""
    words = np.asarray(episode.level_hash).astype(np.uint64)
    return {
        "distinguishing": np.array(episode.distinguishing),
        "level_hash": (words[..., 0] << np.uint64(32)) | words[..., 1],
    }


class GoalgapEnv(_Adapter, gymnasium.Env):
    """Play one episode at a time, each on a new level.

    `reset(seed=...)` makes all that follows deterministic; without it the `seed` given here does.
    `reset(options={"level": text})` plays on a level of your own, as `env.from_text` reads it. Raises
    UsageError for an unknown goal or observation, and for steps outside an episode.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": RENDER_MODES, "render_fps": 8}

    def __init__(
        self,
        env: Environment,
        levels: Levels,
        seed: int = 0,
        observation: str = "symbolic",
        goal: Goal | str | None = None,
        pixels: int = 8,
        render_mode: str | None = None,
    ) -> None:
        self._set_up(env, levels, seed, observation, goal, pixels, render_mode)
        self.observation_space, self.action_space = self._spaces()
        self._start, self._step = _single(self._game)
        self._lane, self._number = self._lanes(1)[0], np.int32(0)
        self._episode: _Episode | None = None
        self._is_over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed)
        if seed is not None:
            self._seed = seed
            self._lane, self._number = self._lanes(1)[0], np.int32(0)
        level, noise = _deal(self.levels, self._lane, self._number)
        self._number += np.int32(1)
        if options and "level" in options:
            level = self.environment.from_text(options["level"])
        self._episode, observation = self._start(level, noise)
        self._is_over = False
        return np.array(observation), self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Info]:
        if self._is_over or self._episode is None:
            raise UsageError("step() outside an episode; call reset() first")
        _check_actions(self.environment, np.asarray(action), ())
        self._episode, result = self._step(self._episode, np.int32(action))
        observation, rewards, terminated, truncated = (np.array(part) for part in result)
        self._is_over = bool(terminated | truncated)
        by_goal = {
            goal.name: float(reward) for goal, reward in zip(self._game.goals, rewards, strict=True)
        }
        info = {"rewards": by_goal, **self._info()}
        return observation, by_goal[self.goal.name], bool(terminated), bool(truncated), info

    def _info(self) -> Info:
        assert self._episode is not None
        facts = _facts(self._episode)
        return {"distinguishing": bool(facts["distinguishing"]), "level_hash": facts["level_hash"]}

    def render(self) -> Any:
        if self._episode is None:
            raise UsageError("render() before the first episode; call reset() first")
        return self._render(self._episode.situation.level, self._episode.situation.state)


class GoalgapVectorEnv(_Adapter, VectorEnv):
    """Play many episodes side by side in one compiled step.

    A lane that ends begins its next level at once. Lane i plays exactly what `GoalgapEnv` plays with
    seed + i. Autoreset is Gymnasium's SAME_STEP: the observation returned is already the new episode's,
    `info["final_obs"]` and `info["final_info"]` have the old one's last, and all entries of `info` come
    with Gymnasium's `_key` masks.
    """

    metadata: ClassVar[dict[str, Any]] = {
        **GoalgapEnv.metadata,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        env: Environment,
        levels: Levels,
        num_envs: int,
        seed: int = 0,
        observation: str = "symbolic",
        goal: Goal | str | None = None,
        pixels: int = 8,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise UsageError(f"num_envs is {num_envs}; expected 1 or more")
        self._set_up(env, levels, seed, observation, goal, pixels, render_mode)
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = self._spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._start, self._step = _batched(self._game)
        self._keys = self._lanes(num_envs)
        self._numbers = np.zeros(num_envs, np.int32)  # of the levels dealt to each lane before the bank
        self._episodes: _Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed)
        if seed is not None:
            self._seed = seed
            self._keys = self._lanes(self.num_envs)
            self._numbers = np.zeros(self.num_envs, np.int32)
        elif self._episodes is not None:
            self._numbers = self._numbers + self._places
        self._fill_bank()
        episodes, observation = self._start(self._bank)
        self._places = self._places + 1
        self._episodes, self._now = episodes, _facts(episodes)
        return np.array(observation), _masked(self._now, np.ones(self.num_envs, bool))

    def _fill_bank(self) -> None:
        """Deal each lane's next levels; `_places` counts those that the lane has taken."""
        self._bank = _deal_bank(self.levels, self._keys, jnp.asarray(self._numbers))
        self._places = np.zeros(self.num_envs, np.int32)

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        if self._episodes is None:
            raise UsageError("step() before the first episode; call reset() first")
        _check_actions(self.environment, np.asarray(actions), (self.num_envs,))
        if self._places.max() >= BANK:
            self._numbers = self._numbers + self._places
            self._fill_bank()
        actions = np.asarray(actions, np.int32)
        episodes, observation, result = self._step(self._episodes, actions, self._bank, self._places)
        self._episodes = episodes
        terminated, truncated = np.array(result.terminated), np.array(result.truncated)
        ended = terminated | truncated
        rewards = np.asarray(result.rewards).astype(np.float64)
        by_goal = {goal.name: rewards[:, place] for place, goal in enumerate(self._game.goals)}
        before = self._now
        info = _masked({"rewards": by_goal}, ~ended)
        if ended.any():
            self._places = self._places + ended
            self._now = _facts(episodes)
            final = {"final_info": {"rewards": by_goal, **before}}
            info |= _masked(final, ended) | _final_observations(result.observation, ended)
        info |= _masked(self._now, np.ones(self.num_envs, bool))
        return np.array(observation), rewards[:, 0].copy(), terminated, truncated, info

    def render(self) -> Any:
        """Return a picture or a text for each lane."""
        if self._episodes is None:
            raise UsageError("render() before the first episode; call reset() first")
        situation = self._episodes.situation
        if self.render_mode is None:
            return None
        return tuple(
            self._render(*tree_index((situation.level, situation.state), lane))
            for lane in range(self.num_envs)
        )


def _masked(entries: Info, mask: Bool[np.ndarray, " b"]) -> Info:
    """Arrange entries for the lanes of a mask as Gymnasium does: zeros elsewhere, and a `_key` each."""
    if not mask.any():
        return {}
    info: Info = {}
    for name, value in entries.items():
        if isinstance(value, dict):
            info[name] = _masked(value, mask)
        else:
            info[name] = np.where(mask, value, np.zeros((), value.dtype))
        info[f"_{name}"] = mask.copy()
    return info


def _final_observations(observation: UInt8[Array, "b h w c"], mask: Bool[np.ndarray, " b"]) -> Info:
    pictures = np.asarray(observation)
    final = np.full(len(mask), None, object)
    for lane in np.flatnonzero(mask):
        final[lane] = pictures[lane].copy()
    return {"final_obs": final, "_final_obs": mask.copy()}


def _check_actions(env: Environment, actions: np.ndarray, shape: tuple[int, ...]) -> None:
    is_whole = np.issubdtype(actions.dtype, np.integer)
    if is_whole and actions.shape == shape and ((actions >= 0) & (actions < env.num_actions)).all():
        return
    given = np.array2string(actions, threshold=8, max_line_width=1000)
    names = ", ".join(f"{number} {name}" for number, name in enumerate(env.action_names))
    expected = f"an array of {shape[0]}, each" if shape else "one"
    raise UsageError(f"the action is {given}; expected {expected} of {names}")


def register() -> None:
    """Make all environments known to Gymnasium, as `goalgap/corner-v0` and so on.

    `gymnasium.make` and `make_vec` then take `split` ("train" or "deploy"), `alpha`, the arguments of
    `GoalgapEnv`, and those of the environment itself (`size`, `layout`, `max_steps`).
    """
    for kind in ALL:
        name = f"goalgap/{kind.name}-v0"
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="goalgap.adapters.gym:make",
                vector_entry_point="goalgap.adapters.gym:make_vector",
                kwargs={"name": kind.name},
            )


def make(name: str, split: str = "train", alpha: float = 0.0, **arguments: Any) -> GoalgapEnv:
    """Make a `GoalgapEnv` by the environment's name; see `register` for the arguments."""
    env, levels = _build(name, split, alpha, arguments)
    return GoalgapEnv(env, levels, **arguments)


def make_vector(
    name: str, num_envs: int = 1, split: str = "train", alpha: float = 0.0, **arguments: Any
) -> GoalgapVectorEnv:
    """Make a `GoalgapVectorEnv` by the environment's name; see `register` for the arguments."""
    env, levels = _build(name, split, alpha, arguments)
    return GoalgapVectorEnv(env, levels, num_envs, **arguments)


def _build(name: str, split: str, alpha: float, arguments: Info) -> tuple[Environment, Levels]:
    """Build the environment and its levels, taking the environment's own fields out of the arguments."""
    if split not in Shift._fields:
        raise UsageError(f"split is {split!r}; expected one of {Shift._fields}")
    kind = {kind.name: kind for kind in ALL}[name]
    fields = {field.name for field in dataclasses.fields(kind)}
    env = kind(**{field: arguments.pop(field) for field in fields & set(arguments)})
    return env, getattr(env.shift(alpha), split)
