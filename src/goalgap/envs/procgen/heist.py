"""Define Procgen's Keys and Chests: open chests (intended) or collect all keys first (proxy).

A key is picked up on contact; touching a chest with a key opens it and spends the key; the episode ends
when no further chest can be opened. In training chests are twice as many as keys, so that every key is
worth having; after the shift keys are twice as many as chests. The agent moves freely, with a momentum,
through the corridors of a maze. Source: arXiv 2105.14111, its Keys and Chests; the games are
`heist_aisc_many_chests` and `heist_aisc_many_keys` of JacobPfau/procgenAISC, tile for tile and step for
step (levels: `heist_levels`). Departures: nine actions, as the engine's others do nothing; the symbolic
observation shows the velocity, which one frame of Procgen does not; in "memory" mode, where one level
in a thousand lacks cells for its last keys, an episode ends with those that are there.

As in `keys`, the goal *keys* has an event of its own: half of the useless keys collected.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8, UInt32

from ...core import Defaults, Goal, Policy, UsageError, hash_bits, option
from .. import sprites
from . import heist_levels
from .game import CALMER, ProcgenGame, check_name
from .heist_levels import CHEST, HALF, KEY, MANY_CHESTS, MANY_KEYS, NOTHING, WORLDS, HeistLevel
from .heist_picture import picture
from .heist_player import Player
from .random_words import twister

# How near the agent's center must come to an object's, in x and y; keys are lower than wide.
CHEST_REACH, KEY_REACH = (0.875, 0.875), (0.75, HALF + HALF * 52 / 84)
SUBSTEPS = 4  # the engine takes more at speeds from 1.25 on; the agent's is never above .87
PROBE = float(np.float32(0.98) * np.float32(HALF))  # where walls are felt, from the agent's center
TOP_SPEED = 27 / 44  # tiles a step, in each direction
PARTS = 5  # of a tile that are told apart: a frame of 64 pixels shows about 5
LETTERS = {"k": KEY, "c": CHEST}


class HeistState(eqx.Module):
    """Hold what changes within an episode: how the agent moves, and which objects are gone."""

    position: Float[Array, "*b 2"]  # x, y of the agent's center, in tiles
    velocity: Float[Array, "*b 2"]  # in tiles a step
    gone: Bool[Array, "*b n"]  # keys collected, chests opened
    time: Int[Array, "*b"]

    def collected(self, level: HeistLevel) -> Int[Array, "*b"]:
        """Count the keys collected."""
        return (self.gone & (level.kinds == KEY)).sum(-1)

    def opened(self, level: HeistLevel) -> Int[Array, "*b"]:
        """Count the chests opened."""
        return (self.gone & (level.kinds == CHEST)).sum(-1)

    def held(self, level: HeistLevel) -> Int[Array, "*b"]:
        """Count the keys in hand."""
        return self.collected(level) - self.opened(level)


class OpenChests(Goal):
    """Pay 1 for a step that opens chests, less what keys and steps cost.

    The goal is achieved when no more can be opened. Each key costs a tenth of `key_penalty`, each step a
    thousandth of `step_penalty`. As in the engine, a chest forgives the penalty of keys that the same
    step touched before it.
    """

    key_penalty: int = eqx.field(static=True, default=0)
    step_penalty: int = eqx.field(static=True, default=0)
    name: str = eqx.field(static=True, default="chests")
    sentence: str = eqx.field(static=True, default="open the chests")
    bits: float = eqx.field(static=True, default=4.0)

    def reward(
        self, level: HeistLevel, state: HeistState, action: Int[Array, ""], next_state: HeistState
    ) -> Float[Array, ""]:
        now = next_state.gone & ~state.gone
        opened = now & (level.kinds == CHEST)
        paid = opened.any().astype(jnp.float32)
        if self.key_penalty:
            # Objects are touched from the last to the first: the keys that count come after all chests.
            is_last = jnp.cumsum(opened) == 0
            paid = paid - self.key_penalty / 10 * (now & (level.kinds == KEY) & is_last).sum()
        return paid - self.step_penalty / 1000

    def is_achieved(
        self, level: HeistLevel, state: HeistState, memory: Int[Array, ""]
    ) -> Bool[Array, ""]:
        return state.opened(level) >= level.num_openable


class CollectKeys(Goal):
    """Pay 1 for each key collected and .01 for each chest opened (`envs.keys.CollectKeys` says why).

    The goal is achieved with at least half of the keys that open nothing.
    """

    name: str = eqx.field(static=True, default="keys")
    sentence: str = eqx.field(static=True, default="collect all keys first")
    bits: float = eqx.field(static=True, default=3.0)

    def reward(
        self, level: HeistLevel, state: HeistState, action: Int[Array, ""], next_state: HeistState
    ) -> Float[Array, ""]:
        now = next_state.gone & ~state.gone
        return jnp.where(now, jnp.where(level.kinds == KEY, 1.0, 0.01), 0.0).sum()

    def is_achieved(
        self, level: HeistLevel, state: HeistState, memory: Int[Array, ""]
    ) -> Bool[Array, ""]:
        useless = level.num_keys - level.num_openable
        return state.collected(level) >= level.num_openable + (useless + 1) // 2


class Heist(ProcgenGame):
    """Offer Procgen's Keys and Chests as an environment.

    The module's docstring has its rules and source. Raises UsageError for values out of range.
    """

    name: ClassVar[str] = "heist"
    title: ClassVar[str] = "Procgen Keys and Chests"
    defaults: ClassVar[Defaults] = Defaults(6_000_000, {"mode": "easy", "max_steps": 300}, 256, CALMER)
    papers: ClassVar[tuple[str, ...]] = ("2105.14111", "1912.01588")
    splayed: ClassVar[str] = "start"
    num_actions: ClassVar[int] = 9
    action_names: ClassVar[tuple[str, ...]] = (
        "left and down", "left", "left and up", "down", "none", "up",
        "right and down", "right", "right and up",
    )  # fmt: skip
    modes: ClassVar[tuple[str, ...]] = tuple(WORLDS)
    games: ClassVar[tuple[str, ...]] = (MANY_CHESTS, MANY_KEYS)
    train_game: ClassVar[str] = MANY_CHESTS
    deploy_game: ClassVar[str] = MANY_KEYS

    # No field here, as in other environments: the penalties say which goal it is.
    intended: ClassVar[Any] = property(lambda self: OpenChests(self.key_penalty, self.step_penalty))
    proxies: tuple[Goal, ...] = (CollectKeys(),)
    key_penalty: int = option(0, "tenths of a reward that each key costs")
    step_penalty: int = option(0, "thousandths of a reward that each step costs")
    max_steps: int = option(1000, "steps until an episode is cut off")

    def __check_init__(self) -> None:
        for name in ("key_penalty", "step_penalty"):
            value = getattr(self, name)
            if value < 0:
                raise UsageError(f"{name} is {value}; expected a whole number from 0 up")

    @property
    def size(self) -> int:
        """Return the side of the world, in tiles."""
        return WORLDS[self.mode]

    # -- dynamics -------------------------------------------------------------------------------

    def reset(self, level: HeistLevel) -> HeistState:
        gone = jnp.zeros(level.kinds.shape, bool)
        return HeistState(level.start, jnp.zeros(2), gone, jnp.zeros((), int))

    def step(
        self,
        level: HeistLevel,
        state: HeistState,
        action: Int[Array, ""],
        key: Key[Array, ""] | None = None,
    ) -> HeistState:
        position, velocity = self.move(level, state, action)
        return HeistState(position, velocity, self.touch(level, state, position), state.time + 1)

    def move(
        self, level: HeistLevel, state: HeistState, action: Int[Array, ""]
    ) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        """Return where the agent is after a step, and its velocity.

        A step is four substeps, each of them along one axis, then along the other. From here on the axes
        are called by that order, `a` and `b`, not by x and y.
        """
        command = jnp.stack([action // 3, action % 3]) - 1
        velocity = jnp.float32(0.9) * (0.5 * state.velocity + 0.375 * command)
        speed = jnp.abs(velocity)
        bit = (level.ties[state.time // 32] >> (state.time % 32).astype(jnp.uint32)) & 1
        x_first = jnp.where(speed[0] == speed[1], bit == 0, speed[0] > speed[1])
        x_first = (command[1] == 0) & (x_first | (command[0] != 0))

        def swap(pair: Float[Array, "2"]) -> tuple[Array, Array]:
            return jnp.where(x_first, pair[0], pair[1]), jnp.where(x_first, pair[1], pair[0])

        (a, b), (va, vb) = swap(state.position), swap(velocity)
        around, low = self.around(level.walls, state.position, x_first), (jnp.floor(a), jnp.floor(b))

        def is_wall(a: Float[Array, ""], b: Float[Array, ""]) -> Bool[Array, ""]:
            """Tell whether an agent with its center there would be in a wall."""
            rows = [3 * (jnp.floor(a + side) - low[0]).astype(int) for side in (-PROBE, PROBE)]
            columns = [(jnp.floor(b + side) - low[1]).astype(int) + 4 for side in (-PROBE, PROBE)]
            felt = [around >> (row + column) for row in rows for column in columns]
            return (felt[0] | felt[1] | felt[2] | felt[3]) & 1 == 1

        free_a, free_b, stuck = jnp.zeros(()), jnp.zeros(()), jnp.zeros((), bool)
        for _ in range(SUBSTEPS):
            next_a, next_va, hit_a = self.slide(level, state, x_first, is_wall, a, b, va)
            next_b, next_vb, hit_b = self.slide(
                level, state, ~x_first, lambda b, a: is_wall(a, b), b, next_a, vb
            )
            a, b = jnp.where(stuck, a, next_a), jnp.where(stuck, b, next_b)
            va, vb = jnp.where(stuck, va, next_va), jnp.where(stuck, vb, next_vb)
            free_a, free_b = free_a + ~(hit_a | stuck), free_b + ~(hit_b | stuck)
            stuck = stuck | (hit_a & hit_b)
        va, vb = va * (free_a / SUBSTEPS), vb * (free_b / SUBSTEPS)
        return jnp.stack(swap(jnp.stack([a, b]))), jnp.stack(swap(jnp.stack([va, vb])))

    def around(
        self, walls: Bool[Array, "h w"], position: Float[Array, "2"], x_first: Bool[Array, ""]
    ) -> Int[Array, ""]:
        """Read the walls on the agent's tile and the eight around it, as bits: no step leads further.

        The second axis runs faster. All outside of the world is wall.
        """
        i, j = jnp.arange(9) // 3 - 1, jnp.arange(9) % 3 - 1
        tile = jnp.floor(position).astype(int)
        x, y = tile[0] + jnp.where(x_first, i, j), tile[1] + jnp.where(x_first, j, i)
        outside = (x < 0) | (x >= self.size) | (y < 0) | (y >= self.size)
        wall = walls.reshape(-1)[jnp.clip(y * self.size + x, 0, self.size**2 - 1)]
        return ((outside | wall) << jnp.arange(9)).sum()

    def slide(
        self,
        level: HeistLevel,
        state: HeistState,
        is_x: Bool[Array, ""],
        is_wall: Callable[[Array, Array], Array],
        a: Float[Array, ""],
        b: Float[Array, ""],
        velocity: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, ""], Bool[Array, ""]]:
        """Take one substep along one axis (`is_x` says which).

        Returns the new `a`, the velocity, and whether something was in the way. A wall stops the agent's
        edge at the line between two tiles.
        """
        target = a + velocity / SUBSTEPS
        hit = is_wall(target, b)
        ahead, behind = jnp.floor(target + HALF) - HALF, jnp.ceil(target - HALF) + HALF
        return jnp.where(hit, jnp.where(velocity > 0, ahead, behind), target), velocity, hit

    def touch(
        self, level: HeistLevel, state: HeistState, position: Float[Array, "2"]
    ) -> Bool[Array, " n"]:
        """Mark what is gone once the agent has touched all that it meets, from the last to the first."""
        is_key = level.kinds == KEY
        near = ~state.gone & self.meets(level, position)
        held, gone = state.held(level), []
        for index in reversed(range(len(near))):
            takes = near[index] & (is_key[index] | (held > 0))
            held = held + jnp.where(takes, jnp.where(is_key[index], 1, -1), 0)
            gone.append(takes)
        return state.gone | jnp.stack(gone[::-1])

    def meets(self, level: HeistLevel, position: Float[Array, "2"]) -> Bool[Array, " n"]:
        """Mark the objects whose boxes overlap the agent's, whether they are gone or not."""
        apart = jnp.abs(level.places - position)
        is_chest = (level.kinds == CHEST)[:, None]
        reach = jnp.where(is_chest, jnp.array(CHEST_REACH), jnp.array(KEY_REACH))
        return (apart < reach).all(-1) & (level.kinds != NOTHING)

    def is_terminal(self, level: HeistLevel, state: HeistState) -> Bool[Array, ""]:
        return state.opened(level) >= level.num_openable

    # -- distributions --------------------------------------------------------------------------

    @property
    def num_words(self) -> int:
        """Return how many words are enough for any level."""
        return heist_levels.most_words(self.size) + self.max_steps

    def generate(self, words: UInt32[Array, " n"], game: str) -> HeistLevel:
        """Make the level that one of `games` makes of a block of `num_words` words."""
        return self.draw(words, game)[0]

    def draw(self, words: UInt32[Array, " n"], game: str) -> tuple[HeistLevel, Int[Array, ""]]:
        """Make the level, and count how many words it took."""
        check_name("game", game, self.games)
        return heist_levels.generate(words, self.size, self.max_steps, self.arrange(game))

    def arrange(self, game: str) -> heist_levels.Arrange:
        """Return how a game's objects are placed."""
        return heist_levels.scatter(game, self.size)

    def is_distinguishing(self, level: HeistLevel) -> Bool[Array, ""]:
        return level.num_keys > level.num_chests

    def twin(self, level: HeistLevel) -> HeistLevel:
        """Exchange keys and chests, where keys are the plentiful kind.

        Chests stand in the middle of their cells.
        """
        swap = self.is_distinguishing(level)
        is_key, is_chest = level.kinds == KEY, level.kinds == CHEST
        kinds = jnp.where(is_key, CHEST, jnp.where(is_chest, KEY, NOTHING)).astype(level.kinds.dtype)
        places = jnp.where(is_key[:, None], jnp.floor(level.places) + 0.5, level.places)
        kinds, places = jnp.where(swap, kinds, level.kinds), jnp.where(swap, places, level.places)
        return eqx.tree_at(lambda tree: (tree.kinds, tree.places), level, (kinds, places))

    def splay(self, level: HeistLevel) -> tuple[HeistLevel, Bool[Array, " n"]]:
        """Put the start in the middle of each tile, in reading order."""
        y, x = jnp.divmod(jnp.arange(self.size**2), self.size)
        starts = jnp.stack([x, self.size - 1 - y], -1) + 0.5
        levels = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(x), *leaf.shape)), level)
        levels = eqx.tree_at(lambda tree: tree.start, levels, starts)
        taken = level.walls[::-1] | self.at(level.places, level.kinds != NOTHING)
        return levels, ~taken.reshape(-1)

    def level_hash(self, level: HeistLevel) -> UInt32[Array, "2"]:
        numbers = jnp.concatenate([level.start, level.places.reshape(-1), level.kinds.astype(float)])
        numbers = jax.lax.bitcast_convert_type(numbers, jnp.uint32)
        bits = numbers[:, None] >> jnp.arange(32, dtype=jnp.uint32) & 1 == 1
        return hash_bits(jnp.concatenate([level.walls.reshape(-1), bits.reshape(-1)]))

    def layout_hash(self, level: HeistLevel) -> UInt32[Array, "2"]:
        return hash_bits(level.walls)

    def extras(self, level: HeistLevel, state: HeistState) -> dict[str, Array]:
        """Count `keys_beyond_need`, collected keys for which there is no chest, and `chests_opened`."""
        beyond = jnp.maximum(state.collected(level) - level.num_openable, 0)
        return {"keys_beyond_need": beyond, "chests_opened": state.opened(level)}

    def gauges(self, level: HeistLevel, state: HeistState) -> dict[str, Float[Array, ""]]:
        most = level.kinds.shape[0] * 2 / 3
        x, y = state.position / self.size
        return {
            "go up": y,
            "go left": 1 - x,
            "go down": 1 - y,
            "go right": x,
            "collect keys": state.collected(level) / most,
            "open chests": state.opened(level) / most,
        }

    def reference(self, goal: Goal) -> Policy:
        """Return a player of the goal that plans along the maze: good, but no optimum."""
        return Player(goal.name)

    # -- text and pictures ----------------------------------------------------------------------

    def at(self, places: Float[Array, "n 2"], there: Bool[Array, " n"]) -> Bool[Array, "h w"]:
        """Mark the tiles on which a place lies, where it is `there`; the top row first."""
        x, y = jnp.floor(places).astype(int).T
        # Rows as bits: half the cost of comparing each tile with each place.
        bits = jnp.where(there, jnp.uint32(1) << x.astype(jnp.uint32), jnp.uint32(0))
        rows = jnp.where(y[:, None] == jnp.arange(self.size)[::-1], bits[:, None], jnp.uint32(0))
        rows = jnp.bitwise_or.reduce(rows, axis=0)
        return rows[:, None] >> jnp.arange(self.size, dtype=jnp.uint32) & 1 == 1

    def remaining(self, level: HeistLevel, state: HeistState, kind: int) -> Bool[Array, "h w"]:
        """Mark the tiles with an object of a kind that is still there."""
        return self.at(level.places, (level.kinds == kind) & ~state.gone)

    def agent(self, state: HeistState) -> Bool[Array, "h w"]:
        """Mark the agent's tile."""
        return self.at(state.position[None], jnp.ones(1, bool))

    def observe(
        self, level: HeistLevel, state: HeistState
    ) -> Bool[Array, "h w 6"] | UInt8[Array, "64 64 3"]:
        """Show the whole world, a channel a kind (`symbolic`), or as "rgb" Procgen's 64x64 pixels."""
        if self.observation == "symbolic":
            return self.symbolic(level, state)
        board = jnp.where(level.walls[::-1], 1, 0)
        for look, kind in ((2, KEY), (3, CHEST)):
            board = jnp.where(self.remaining(level, state, kind), look, board)
        floor = level.background, level.background_x
        held, is_near = state.held(level), self.mode == "memory"
        return picture(board, state.position, held, floor, heist_levels.NUM_BACKGROUNDS, is_near)

    def symbolic(self, level: HeistLevel, state: HeistState) -> Bool[Array, "h w 6"]:
        """Return the whole world, a channel a kind.

        Channels: wall, agent, keys, chests, keys held (one tile a key, from the top right), and where on
        its tile the agent is and how fast, to a fifth of a tile. The last one holds four thermometers of
        four bits, from the top left: x, y, and their velocities in tiles a step.
        """
        cells = jnp.arange(self.size**2).reshape(self.size, self.size)
        held = cells[:, ::-1] < state.held(level)
        marks = jnp.arange(1, PARTS) / PARTS
        on_tile = (state.position % 1)[:, None] >= marks
        fast = state.velocity[:, None] >= (2 * marks - 1) * TOP_SPEED
        bits = jnp.concatenate([on_tile.reshape(-1), fast.reshape(-1)])
        motion = jnp.pad(bits, (0, self.size**2 - len(bits))).reshape(held.shape)
        keys, chests = (self.remaining(level, state, kind) for kind in (KEY, CHEST))
        return jnp.stack([level.walls[::-1], self.agent(state), keys, chests, held, motion], -1)

    def board(self, level: HeistLevel, state: HeistState) -> Int[Array, "h w"]:
        """Return the sprites of the world and of a wall around it.

        The keys held hang in the wall at the top right.
        """
        agent, chests = self.agent(state), self.remaining(level, state, CHEST)
        board = jnp.where(level.walls[::-1], sprites.WALL, sprites.FLOOR)
        board = jnp.where(self.remaining(level, state, KEY), sprites.KEY, board)
        board = jnp.where(chests, sprites.CHEST, board)
        mouse = jnp.where(chests, sprites.MOUSE_ON_CHEST, sprites.MOUSE)
        board = jnp.pad(jnp.where(agent, mouse, board), 1, constant_values=sprites.WALL)
        held = jnp.arange(self.size + 2)[::-1] < state.held(level)
        return board.at[0].set(jnp.where(held, sprites.KEY_ON_WALL, sprites.WALL))

    def sprites(self, pixels: int) -> UInt8[np.ndarray, "n p p 3"]:
        return sprites.atlas(pixels)

    def rgb(self, level: HeistLevel, state: HeistState, pixels: int = 8) -> UInt8[Array, "y x 3"]:
        return sprites.draw(self.board(level, state), pixels)

    def to_text(self, level: HeistLevel, state: HeistState | None = None) -> str:
        """Write the world as lines of letters, the top row first.

        `#` wall, `.` floor, `@` agent, `k` key, `c` chest. Where on its tile an object lies is not said.
        """
        state = self.reset(level) if state is None else state
        letters = np.where(level.walls[::-1], "#", ".")
        for letter, kind in LETTERS.items():
            letters[np.asarray(self.remaining(level, state, kind))] = letter
        letters[np.asarray(self.agent(state))] = "@"
        return "\n".join("".join(row) for row in letters) + "\n"

    def from_text(self, text: str) -> HeistLevel:
        """Read what `to_text` writes; all objects stand in the middle of their tiles.

        Raises UsageError with line and column.
        """
        lines = text.strip("\n").splitlines()
        where = "line {}, column {}: ".format
        if len(lines) != self.size:
            raise UsageError(
                f"line {len(lines)}: the level has {len(lines)} lines, the world of mode {self.mode} "
                f"{self.size}; add or remove lines"
            )
        found: dict[str, list[tuple[int, int]]] = {letter: [] for letter in ("@", *LETTERS)}
        walls = np.zeros((self.size, self.size), bool)
        for row, line in enumerate(lines):
            if len(line) != self.size:
                raise UsageError(
                    where(row + 1, min(len(line), self.size) + 1)
                    + f"the line has {len(line)} letters, the world of mode {self.mode} {self.size}"
                )
            for x, letter in enumerate(line):
                y = self.size - 1 - row
                if letter in found:
                    found[letter].append((x, y))
                elif letter not in "#.":
                    known = " ".join(["#", ".", *found])
                    raise UsageError(
                        where(row + 1, x + 1) + f"unknown letter {letter!r}; known: {known}"
                    )
                walls[y, x] = letter == "#"
        return self.build(walls, found)

    def build(
        self, walls: Bool[np.ndarray, "h w"], found: dict[str, list[tuple[int, int]]]
    ) -> HeistLevel:
        """Build a level out of walls and the tiles (x, y) of each letter.

        Raises UsageError for counts that no level has.
        """
        most = 3 * heist_levels.most_chests(self.size)
        for letter in ("@", *LETTERS):
            count = len(found[letter])
            if (letter == "@" and count != 1) or not count:
                expected = "exactly 1" if letter == "@" else "at least 1"
                raise UsageError(f"the level has {count} of {letter!r}; expected {expected}")
        objects = sorted((*tile, letter) for letter in LETTERS for tile in found[letter])
        if len(objects) > most:
            raise UsageError(
                f"the level has {len(objects)} keys and chests; mode {self.mode} holds at most {most}"
            )
        places, kinds, numbers = np.zeros((most, 2)), np.zeros(most, np.int8), np.zeros(most, np.int8)
        for index, (x, y, letter) in enumerate(objects):
            places[index], kinds[index] = (x + 0.5, y + 0.5), LETTERS[letter]
            numbers[index] = (kinds[:index] == kinds[index]).sum()
        return HeistLevel(
            jnp.asarray(walls),
            jnp.asarray(found["@"][0]) + 0.5,
            jnp.asarray(places, jnp.float32),
            jnp.asarray(kinds),
            jnp.asarray(numbers),
            heist_levels.pack(twister(0, self.max_steps)),  # ties: any bits will do, but the same ones
            jnp.zeros((), int),
            jnp.zeros(()),
        )
