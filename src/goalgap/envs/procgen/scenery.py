"""Draw CoinRun's frames: the 13x13 tiles around the agent, 64x64 pixels.

Geometry and order of drawing are Procgen's (`procgen/src/basic-abstract-game.cpp` of openai/procgen,
read and re-stated), the pictures our own. Departures: backgrounds lie far behind, so they move less than
the ground; enemies leave no trails; at most `MAX_ROWS` rows of tiles show enemies (a level has as many
sections), `MAX_CROWD` of them in a third of a row.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from . import backdrops, camera
from . import coinrun_sprites as sprites
from .platformer import HALF_HEIGHT

VIEW = 13  # tiles
WINDOW = 14  # tiles that a view can touch, from its bottom left one on
MAX_ROWS, MAX_CROWD = 5, 8  # of enemies: rows of tiles that have any, and how many in a third of a row
MAX_TILE_PIXELS = -(-camera.SIDE // VIEW)


class View(NamedTuple):
    """Hold all that a frame shows. Places are in the world, in tiles, y upwards."""

    x: Float[Array, ""]  # the middle of the agent's body, which is the middle of the frame
    y: Float[Array, ""]
    # Indices of `coinrun_sprites.NAMES`; the first is tile (floor(x - 6.5), floor(y - 6.5)), y upwards.
    tiles: Int[Array, "14 14"]
    ground: Int[Array, ""]  # theme, 0 to 5
    agent: Int[Array, ""]  # theme, 0 to 4
    pose: Int[Array, ""]
    faces_right: Bool[Array, ""]
    background: Int[Array, ""]  # 0 to 61
    offset: Float[Array, ""]  # of the background, 0 to 1
    enemy_x: Float[Array, " k"]  # their middles
    enemy_row: Int[Array, " k"]  # the row of tiles in which they walk; -1: absent
    enemy_look: Int[Array, " k"]  # 0 to 8
    enemy_faces_right: Bool[Array, " k"]
    phase: Int[Array, ""]  # of saws and steps; a count, of which the last bit matters
    velocity: Float[Array, "2"] | None = None  # as shares of the greatest; paints Procgen's two squares


@functools.cache
def _atlases() -> tuple[camera.Atlas, camera.Atlas, camera.Atlas]:
    tiles, enemies, agents = (
        camera.atlas(pictures(), VIEW)
        for pictures in (sprites.tile_pictures, sprites.enemy_pictures, sprites.agent_pictures)
    )
    return tiles, enemies, agents


def draw(view: View) -> UInt8[Array, "64 64 3"]:
    """Draw the frame, as Procgen composes it: background, tiles, agent, enemies, squares of velocity."""
    return camera.finish(_paint, view)


def _paint(view: View) -> camera.Spans:
    tile_atlas, enemy_atlas, agent_atlas = _atlases()
    left, bottom = jnp.floor(view.x - VIEW / 2), jnp.floor(view.y - VIEW / 2)
    x, y = camera.place(left, bottom + WINDOW, (view.x, view.y), VIEW)
    is_ground = (view.tiles == sprites.GROUND_INSIDE) | (view.tiles == sprites.GROUND_TOP)
    themed = view.tiles + (sprites.MORE_GROUNDS - sprites.GROUND_INSIDE) + 2 * (view.ground - 1)
    looks = jnp.where(is_ground & (view.ground > 0), themed, view.tiles)
    looks = jnp.where((looks == sprites.SAW) & (view.phase % 2 == 1), sprites.TURNED_SAW, looks)
    picture = camera.tiles(looks[::-1], (x, y), tile_atlas)
    picture = camera.cover(picture, _background(view))

    look = (view.agent * 3 + view.pose) * 2 + view.faces_right
    agent_place = camera.place(-0.5, sprites.AGENT_TALL - HALF_HEIGHT, (0.0, 0.0), VIEW)
    agent = camera.figures_at(look[None], (agent_place[0][None], agent_place[1][None]), agent_atlas)
    picture = camera.cover(agent, picture)
    picture = camera.cover(_enemies(view, bottom.astype(jnp.int32), y, enemy_atlas), picture)
    return picture if view.velocity is None else _with_squares(picture, view.velocity)


def _background(view: View) -> camera.Spans:
    """Draw a part of the landscape, as if it were far away: two pixels a tile sideways, one upwards."""
    land = backdrops.pictures()
    land = np.concatenate([land, land[:, :, : camera.SIDE]], 2)  # so that no window meets the seam
    _, height, width, _ = land.shape

    def first_bytes(view: View) -> Int[Array, "64 3"]:
        x = jnp.floor(view.offset * backdrops.WIDTH + 2 * view.x).astype(jnp.int32) % backdrops.WIDTH
        y = jnp.clip(height - camera.SIDE - view.y.astype(jnp.int32), 0, height - camera.SIDE)
        rows = view.background * height + y + jnp.arange(camera.SIDE)
        return (rows * width + x)[:, None] * 3 + camera.SPAN * np.arange(3)

    return camera.windows(land.reshape(-1), camera.apart(first_bytes, view))


def _enemies(view: View, bottom: Int[Array, ""], y: Int[Array, ""], atlas: camera.Atlas) -> camera.Spans:
    """Draw the enemies.

    They keep to their rows of tiles, so only the few rows that have any are painted, and then copied to
    their places.
    """

    def place_strips(view: View, bottom: Array, y: Array) -> tuple[Array, Array]:
        rows = bottom + WINDOW - 1 - jnp.arange(WINDOW)  # of tiles, top one first
        has_any = (view.enemy_row == rows[:, None]).any(1) & (rows >= 0)
        strip = jnp.where(has_any, jnp.cumsum(has_any) - 1, MAX_ROWS)
        is_strip = strip == jnp.arange(MAX_ROWS)[:, None]
        phase = (y - jnp.arange(WINDOW) * camera.GRAIN) % VIEW  # the first sample that pixels show
        strip_row = jnp.where(is_strip, rows, 0).sum(1) - 2 * ~is_strip.any(1)
        sample = jnp.where(is_strip, phase, 0).sum(1)[:, None] + VIEW * jnp.arange(MAX_TILE_PIXELS)
        down = atlas.down(jnp.minimum(sample, camera.GRAIN - 1))
        starts = _crowds(view, strip_row, atlas)[:, None] + down[..., None, None]
        shown = y + VIEW * jnp.arange(camera.SIDE)  # samples from the window's top
        line = strip[shown // camera.GRAIN] * MAX_TILE_PIXELS + shown % camera.GRAIN // VIEW
        line = jnp.minimum(line, MAX_ROWS * MAX_TILE_PIXELS)
        return starts.reshape(-1, 3, MAX_CROWD), line

    starts, line = camera.apart(place_strips, view, bottom, y)
    strips = camera.apart(lambda starts: camera.stacked(starts, atlas), starts)
    return jnp.pad(strips, ((0, 1), (0, 0), (0, 0))).at[line].get(mode="promise_in_bounds")


def _crowds(view: View, rows: Int[Array, " rows"], atlas: camera.Atlas) -> Int[Array, "rows 3 crowd"]:
    """Find the windows of the enemies that reach into each third of rows of tiles, the foremost last."""
    looks = (view.enemy_look * 2 + view.phase % 2) * 2 + view.enemy_faces_right
    x, _ = camera.place(view.enemy_x - 0.5, 0.0, (view.x, 0.0), VIEW)
    spans = np.arange(3)[:, None]
    first = atlas.first_byte(x) - camera.SPAN * spans
    reaches = (first < camera.SPAN) & (first + 3 * MAX_TILE_PIXELS > 0)
    there = (view.enemy_row == rows[:, None])[:, None] & reaches
    chosen = jnp.stack(_highest(there, MAX_CROWD)[::-1], -1)
    starts = atlas.start(looks, x, spans)
    return jnp.where(chosen >= 0, starts[spans, jnp.maximum(chosen, 0)], 0)


def _highest(bits: Bool[Array, "*b k"], count: int) -> list[Int[Array, "*b"]]:
    """Return the highest indices at which bits are set, highest first; -1 where there are no more."""
    one, words = jnp.uint32(1), []
    for low in range(0, bits.shape[-1], 32):
        part = bits[..., low : low + 32]
        values = jnp.where(part, one << jnp.arange(part.shape[-1], dtype=jnp.uint32), 0)
        words.append(values.sum(-1, dtype=jnp.uint32))
    found = []
    for _ in range(count):
        highest = jnp.full(bits.shape[:-1], -1)
        for low, word in enumerate(words):
            top = 31 - jax.lax.clz(word).astype(jnp.int32)
            highest = jnp.where(word > 0, 32 * low + top, highest)
        words = [
            jnp.where(highest >> 5 == low, word & ~(one << (highest & 31).astype(jnp.uint32)), word)
            for low, word in enumerate(words)
        ]
        found.append(highest)
    return found


def _with_squares(picture: camera.Spans, velocity: Float[Array, "2"]) -> camera.Spans:
    """Paint two squares of gray, a fifth of the picture wide: velocity to the right, and upwards."""
    gray = jnp.clip(jnp.trunc(255 * (0.5 * velocity + 0.5)), 0, 255).astype(jnp.uint8)
    side = 0.2 * camera.SIDE
    pixel = np.arange(3 * camera.SPAN).reshape(3, -1) // 3 + 0.5
    high = (np.arange(camera.SIDE) + 0.5 < side)[:, None, None]
    picture = jnp.where(high & (pixel < side), gray[0], picture)
    return jnp.where(high & (pixel >= side) & (pixel < 2 * side), gray[1], picture)
