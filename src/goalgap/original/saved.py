"""Read and write the engine's saved states, rows of numbers, by the names of their fields.

The order of fields is that of `serialize` in `procgen/src/game.cpp`, `basic-abstract-game.cpp`,
`entity.cpp`, `grid.h` and `games/*.cpp` of openai/procgen (0.10.7), read and re-stated. All numbers take
four bytes, the lowest first.
"""

import struct
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt64

from ..core import UsageError

END = 0xCAFECAFE  # follows the last field
# A letter a field: i whole number, f single precision, s text, e entities, g grid, v a row of numbers.
_COMMON = """
i:version s:game
i:paint_vel_info i:use_generated_assets i:use_monochrome_assets i:restrict_themes i:use_backgrounds
i:center_agent i:debug_mode i:mode i:use_sequential_levels i:use_easy_jump i:plain_assets i:physics_mode
i:grid_step i:level_seed_low i:level_seed_high i:game_type i:game_number
i:level_twister_is_seeded s:level_twister i:twister_is_seeded s:twister
f:reward i:done i:level_complete i:action i:max_steps
i:level_seed i:previous_level_seed i:episodes_remaining i:episode_done
i:last_reward_timer f:last_reward i:default_action i:fixed_asset_seed i:time i:is_waiting
i:grid_size e:entities
i:use_procgen_background i:background f:background_tile_ratio f:background_x
f:char_dim i:last_move i:move i:special f:mixrate f:max_speed f:max_jump
f:action_vx f:action_vy f:action_vrot f:center_x f:center_y
i:random_agent_start i:has_useful_vel_info i:step_random
i:asset_twister_is_seeded s:asset_twister
i:main_width i:main_height i:outside f:unit f:view_dim f:x_off f:y_off f:visibility f:min_visibility
i:width i:height v:grid
"""
_OWN = {
    "coinrun": "f:last_agent_y i:ground i:supported i:facing_right i:on_crate f:gravity f:air_control",
    "maze": "i:maze_side i:world_side",
    "heist": "i:num_keys i:world_side v:has_keys",
}
FIELDS = {
    game: [tuple(field.split(":")) for field in (_COMMON + own).split()] for game, own in _OWN.items()
}
_ENTITY = """
f:x f:y f:vx f:vy f:rx f:ry i:type i:image_type i:theme i:render_z i:will_erase i:collides
f:margin f:rotation f:vrot i:is_reflected i:fire_time i:spawn_time i:life_time i:expire_time
i:use_abs_coords f:friction i:smart_step i:avoids_collisions i:auto_erase
f:alpha f:health f:theta f:grow_rate f:alpha_decay f:climber_spawn_x
"""
ENTITY = np.dtype([(field[2:], f"<{field[0]}4") for field in _ENTITY.split()])
MODES = {0: "easy", 1: "hard", 10: "memory"}
_WHOLE = np.dtype("<i4")


class _Part(NamedTuple):
    """Say where a field is in the data: its first byte, and how many elements there are."""

    at: int
    count: int
    letter: str


class Saved:
    """Give access to a saved state: `saved["time"]` reads a field, `replace` changes fields in a copy.

    Raises UsageError, in one line, for bytes that are no saved state of one of the known games.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        try:
            (length,) = struct.unpack_from("<i", data, 4)
            self.game = data[8 : 8 + length].decode("ascii") if 0 < length < 32 else ""
            self._parts = self._parse() if self.game in FIELDS else {}
        except (struct.error, UnicodeDecodeError):
            raise UsageError(_nothing(data)) from None
        if not self._parts:
            named = f"a saved state of {self.game!r}" if self.game.isidentifier() else _nothing(data)
            raise UsageError(f"{named}; known are those of {', '.join(FIELDS)}")

    def _parse(self) -> dict[str, _Part]:
        """Find where each field is. Raises UsageError where the bytes do not fit the game's fields."""
        parts, at, data = {}, 0, self.data
        sizes = {"s": 1, "e": ENTITY.itemsize, "v": 4}
        for letter, name in FIELDS[self.game]:
            count = 1
            if letter in sizes:
                (count,) = struct.unpack_from("<i", data, at)
                at += 4
            parts[name] = _Part(at, count, letter)
            at += count * sizes.get(letter, 4)
            if count < 0 or at > len(data):
                raise UsageError(_nothing(data))
        if data[at:] != struct.pack("<I", END):
            raise UsageError(_nothing(data))
        return parts

    def __getitem__(self, name: str) -> Any:
        at, count, letter = self._parts[name]
        if letter in "if":
            return struct.unpack_from(f"<{letter}", self.data, at)[0]
        if letter == "s":
            return self.data[at : at + count].decode("ascii")
        return np.frombuffer(self.data, ENTITY if letter == "e" else _WHOLE, count, at)

    def replace(self, **values: Any) -> "Saved":
        """Copy the state with other numbers in some fields, as many numbers in each as before."""
        data = bytearray(self.data)
        for name, value in values.items():
            at, count, letter = self._parts[name]
            if letter in "if":
                struct.pack_into(f"<{letter}", data, at, value)
                continue
            row = np.ascontiguousarray(value, ENTITY if letter == "e" else _WHOLE).reshape(-1)
            if len(row) != count:
                raise UsageError(
                    f"{name} has {count} numbers, not {len(row)}; give as many as there were"
                )
            data[at : at + row.nbytes] = row.tobytes()
        return Saved(bytes(data))

    @property
    def mode(self) -> str:
        """Name the distribution mode: easy, hard or memory. Raises UsageError for another one."""
        if self["mode"] not in MODES:
            raise UsageError(f"distribution mode {self['mode']}; expected {', '.join(MODES.values())}")
        return MODES[self["mode"]]

    @property
    def grid(self) -> Int[np.ndarray, "h w"]:
        """Return the engine's tile codes [y, x], y upwards."""
        return self["grid"].reshape(self["height"], self["width"])

    @property
    def agent(self) -> np.void:
        """Return the agent, which is the first of the entities."""
        return self["entities"][0]

    @property
    def others(self) -> np.ndarray:
        """Return all entities but the agent, in the engine's order."""
        return self["entities"][1:]

    @property
    def words_read(self) -> int:
        """Tell how many words of the level's twister are used, modulo 624."""
        at, count, _ = self._parts["twister"]
        return int(self.data[self.data.rfind(b" ", at, at + count) : at + count]) % 624

    def next_words(self, count: int) -> UInt64[np.ndarray, " n"]:
        """Draw the words that the level's twister gives next."""
        *key, position = (int(word) for word in self["twister"].split())
        twister: Any = np.random.MT19937()
        twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}
        return twister.random_raw(count)

    def rows(self, *fields: str) -> Float[np.ndarray, "n f"]:
        """Return the named numbers of all entities but the agent, [entity, field]."""
        return np.stack([self.others[field] for field in fields], -1).astype(np.float32)


def _nothing(data: bytes) -> str:
    return f"{len(data)} bytes that are no saved state of Procgen 0.10.7"
