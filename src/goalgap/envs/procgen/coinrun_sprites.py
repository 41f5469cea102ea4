"""Draw CoinRun's sprites in code: ground, lava, crates, saws, coins, enemies and the agent.

Lengths are in tiles, x to the right, y down. What they show and how large is Procgen's
(`procgen/src/games/coinrun.cpp` of openai/procgen, read and re-stated); the pictures are our own.
"""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from ...core import UsageError
from .. import sprites
from ..sprites import GOLD, GOLD_DARK, INK, STONE_LIT, STONE_SHADE, WOOD_DARK, _Canvas
from . import camera
from .platformer import HALF_HEIGHT

NAMES = (
    "empty", "ground inside", "ground top", "lava", "lava top", "coin", "saw",
    "crate", "braced crate", "steel crate", "painted crate",
    "agent", *(f"enemy {look}" for look in range(9)),
)  # fmt: skip
EMPTY, GROUND_INSIDE, GROUND_TOP, LAVA, LAVA_TOP, COIN, SAW, CRATE = range(8)
AGENT, ENEMY = 11, 12  # for boards only: frames take them from `View`
STANDING, STEPPING, JUMPING = range(3)  # poses; walking is standing and stepping in turn

AGENT_TALL = 2 * HALF_HEIGHT * 1.7415  # the picture's height in tiles; its feet are the body's
PLANK, PLANK_LIT = "#bd834b", "#d9a469"
SKY = "#bfe3f2"  # behind a board's tiles

GROUNDS = (  # inside, speckles, top, edge
    ("#8d5c38", "#744829", "#4fae42", "#86d95f"),  # meadow
    ("#dfb465", "#c7964a", "#f0d08a", "#fcebbd"),  # sand
    ("#8ba0bd", "#7287a5", "#e9f2fb", "#fefefe"),  # snow
    ("#6c7079", "#565a64", "#9ba1ad", "#c9ced8"),  # rock
    ("#7f5ca1", "#69498a", "#dc7abb", "#f6b3dd"),  # sweets
    ("#7a2f2b", "#611f1d", "#dd7c2f", "#f8ae58"),  # autumn
)
AGENTS = (  # skin, suit
    ("#7ccb52", "#3f8f3a"), ("#6fb4ea", "#2f6db0"), ("#f49ac1", "#c24b86"),
    ("#ecd2a4", "#a9793f"), ("#f7d648", "#c58a1a"),
)  # fmt: skip
ENEMIES = (  # body, shade
    ("#58b947", "#35802c"), ("#e0453a", "#8f2420"), ("#7d6bd0", "#4f3f97"),
    ("#4aa3df", "#2b6a9c"), ("#f0922b", "#a85c12"), ("#70757f", "#43474f"),
    ("#ef8ab4", "#b94f80"), ("#d8c43a", "#8f7f18"), ("#35a79c", "#1d6c64"),
)  # fmt: skip


# -- tiles --------------------------------------------------------------------------------------------


def _ground(canvas: _Canvas, theme: int) -> None:
    inside, speckle, _, _ = GROUNDS[theme]
    canvas.box(0.0, 0.0, 1.0, 1.0, inside)
    for x, y in ((0.24, 0.56), (0.72, 0.80), (0.80, 0.22)):
        canvas.disc(x, y, 0.13, speckle, 0.09)


def _ground_top(canvas: _Canvas, theme: int) -> None:
    _, _, top, edge = GROUNDS[theme]
    _ground(canvas, theme)
    for x in (0.0, 0.34, 0.67, 1.0):
        canvas.disc(x, 0.32, 0.19, top, 0.16)
    canvas.box(0.0, 0.0, 1.0, 0.36, top)
    canvas.box(0.0, 0.0, 1.0, 0.17, edge)


def _lava(canvas: _Canvas) -> None:
    canvas.box(0.0, 0.0, 1.0, 1.0, "#e4491c")
    canvas.disc(0.28, 0.34, 0.17, "#fb8b24", 0.11)
    canvas.disc(0.74, 0.70, 0.20, "#fb8b24", 0.12)


def _lava_top(canvas: _Canvas) -> None:
    for x, radius in ((0.25, 0.25), (0.75, 0.25)):
        canvas.disc(x, 0.32, radius, "#ffd84a", 0.14)
    canvas.box(0.0, 0.30, 1.0, 0.48, "#fb8b24")
    canvas.box(0.0, 0.44, 1.0, 1.0, "#e4491c")
    canvas.disc(0.62, 0.76, 0.18, "#fb8b24", 0.10)


def _coin(canvas: _Canvas) -> None:
    canvas.disc(0.5, 0.5, 0.46, GOLD_DARK)
    canvas.disc(0.5, 0.5, 0.38, GOLD)
    canvas.disc(0.44, 0.42, 0.24, "#ffe07a")
    canvas.box(0.45, 0.3, 0.55, 0.7, GOLD_DARK)


def _saw(canvas: _Canvas, turned: int) -> None:
    x, y = canvas.x - 0.5, canvas.y - 0.5
    share = (np.arctan2(y, x) / (2 * np.pi) * 8 + turned / 2) % 1  # of the way from tooth to tooth
    canvas.fill(np.hypot(x, y) < 0.5 - 0.13 * share, "#59626f")
    canvas.disc(0.5, 0.5, 0.28, "#cbd2db")
    canvas.disc(0.5, 0.5, 0.15, "#c3202a")


def _wood(canvas: _Canvas) -> None:
    canvas.box(0.0, 0.0, 1.0, 1.0, WOOD_DARK)
    canvas.box(0.1, 0.1, 0.9, 0.9, PLANK)


def _crate(canvas: _Canvas) -> None:
    _wood(canvas)
    for top in (0.16, 0.42, 0.68):
        canvas.box(0.14, top, 0.86, top + 0.16, PLANK_LIT)


def _braced_crate(canvas: _Canvas) -> None:
    _wood(canvas)
    canvas.box(0.1, 0.1, 0.9, 0.9, PLANK_LIT)
    for slope in (canvas.x - canvas.y, canvas.x + canvas.y - 1):
        canvas.fill((abs(slope) < 0.1) & (abs(canvas.x - 0.5) < 0.4), WOOD_DARK)


def _steel_crate(canvas: _Canvas) -> None:
    canvas.box(0.0, 0.0, 1.0, 1.0, STONE_SHADE)
    canvas.box(0.1, 0.1, 0.9, 0.9, STONE_LIT)
    for x in (0.26, 0.74):
        for y in (0.26, 0.74):
            canvas.disc(x, y, 0.09, "#c3cad4")


def _painted_crate(canvas: _Canvas) -> None:
    canvas.box(0.0, 0.0, 1.0, 1.0, "#245a8d")
    canvas.box(0.1, 0.1, 0.9, 0.9, "#3f8fd0")
    canvas.polygon([(0.5, 0.16), (0.84, 0.5), (0.5, 0.84), (0.16, 0.5)], "#f5f2e6")


# -- who moves: all look to the right -----------------------------------------------------------------


def _eye(canvas: _Canvas, x: float, y: float, radius: float) -> None:
    canvas.disc(x, y, radius, "#fdfdfb")
    canvas.disc(x + 0.35 * radius, y, 0.55 * radius, INK)


def _feet(canvas: _Canvas, phase: int, color: str) -> None:
    for x in (0.16, 0.58) if phase else (0.28, 0.46):
        canvas.box(x, 0.84, x + 0.26, 1.0, color)


def _slime(canvas: _Canvas, body: str, shade: str, phase: int) -> None:
    tall = 0.72 - 0.14 * phase  # it creeps by stretching
    dome = (canvas.x - 0.5) ** 2 / 0.48**2 + (canvas.y - 1) ** 2 / (tall + 0.1) ** 2
    canvas.fill(dome < 1, shade)
    canvas.fill(dome < 0.72, body)
    for x in (0.5, 0.78):
        _eye(canvas, x, 1 - 0.6 * tall, 0.13)


def _beetle(canvas: _Canvas, body: str, shade: str, phase: int) -> None:
    _feet(canvas, phase, INK)
    canvas.disc(0.8, 0.62, 0.19, INK)
    canvas.disc(0.44, 0.6, 0.42, shade, 0.36)
    canvas.disc(0.44, 0.56, 0.37, body, 0.3)
    for x, y in ((0.26, 0.52), (0.48, 0.4), (0.58, 0.64)):
        canvas.disc(x, y, 0.09, INK)
    _eye(canvas, 0.84, 0.55, 0.1)


def _urchin(canvas: _Canvas, body: str, shade: str, phase: int) -> None:
    _feet(canvas, phase, shade)
    x, y = canvas.x - 0.5, canvas.y - 0.5
    spike = abs((np.arctan2(y, x) / (2 * np.pi) * 9) % 1 - 0.5)
    canvas.fill(np.hypot(x, y) < 0.34 + 0.3 * spike, shade)
    canvas.disc(0.52, 0.52, 0.31, body)
    for x in (0.5, 0.76):
        _eye(canvas, x, 0.46, 0.13)


def _enemy(canvas: _Canvas, look: int, phase: int) -> None:
    (_slime, _beetle, _urchin)[look % 3](canvas, *ENEMIES[look], phase)


def _agent(canvas: _Canvas, theme: int, pose: int) -> None:
    skin, suit = AGENTS[theme]
    legs = (((0.24, 0.0), (0.54, 0.0)), ((0.08, 0.0), (0.68, 0.0)), ((0.08, -0.12), (0.6, -0.24)))[pose]
    for left, lift in legs:
        canvas.polygon([(0.36, 1.5), (0.64, 1.5), (left + 0.26, 1.9 + lift), (left, 1.9 + lift)], suit)
        canvas.box(left, 1.82 + lift, left + 0.3, AGENT_TALL + lift, INK)
    canvas.disc(0.5, 1.32, 0.34, suit, 0.42)
    hand = (1.46, 1.34, 1.02)[pose]
    for x in (0.12, 0.88):
        canvas.disc(x, hand, 0.12, skin)
    canvas.box(0.46, 0.1, 0.54, 0.3, suit)
    canvas.disc(0.5, 0.12, 0.13, suit, 0.12)
    canvas.disc(0.5, 0.64, 0.47, suit, 0.46)
    canvas.disc(0.5, 0.62, 0.42, skin, 0.41)
    for x in (0.48, 0.78):
        _eye(canvas, x, 0.58, 0.16)


# -- pictures -----------------------------------------------------------------------------------------

_TILES: tuple[Callable[[_Canvas], None], ...] = (
    lambda canvas: None,
    functools.partial(_ground, theme=0),
    functools.partial(_ground_top, theme=0),
    _lava,
    _lava_top,
    _coin,
    functools.partial(_saw, turned=0),
    _crate,
    _braced_crate,
    _steel_crate,
    _painted_crate,
)
TURNED_SAW = len(_TILES)
MORE_GROUNDS = TURNED_SAW + 1  # inside and top of theme 1, of theme 2, ...


@functools.cache
def tile_pictures() -> UInt8[np.ndarray, "n 64 64 3"]:
    """Draw tiles as frames use them: the first of `NAMES`, a turned saw, the other grounds."""
    paints = [*_TILES, functools.partial(_saw, turned=1)]
    for theme in range(1, len(GROUNDS)):
        paints += [functools.partial(paint, theme=theme) for paint in (_ground, _ground_top)]
    return np.stack([camera.painted(paint) for paint in paints])


@functools.cache
def enemy_pictures() -> UInt8[np.ndarray, "n 64 64 3"]:
    """Draw enemies by look, then phase, then facing (left, right)."""
    paints = [
        functools.partial(_enemy, look=look, phase=phase)
        for look in range(len(ENEMIES))
        for phase in range(2)
    ]
    return _both_ways(np.stack([camera.painted(paint) for paint in paints]))


@functools.cache
def agent_pictures() -> UInt8[np.ndarray, "n height 64 3"]:
    """Draw the agent by theme, then pose, then facing (left, right); taller than a tile."""
    paints = [
        functools.partial(_agent, theme=theme, pose=pose)
        for theme in range(len(AGENTS))
        for pose in range(3)
    ]
    return _both_ways(np.stack([camera.painted(paint, height=AGENT_TALL) for paint in paints]))


def _both_ways(pictures: UInt8[np.ndarray, "n y x 3"]) -> UInt8[np.ndarray, "m y x 3"]:
    return np.stack([pictures[:, :, ::-1], pictures], 1).reshape(-1, *pictures.shape[1:])


@functools.cache
def board_sprites(pixels: int) -> UInt8[np.ndarray, "n p p 3"]:
    """Draw sprites for boards, in the order of `NAMES`, `pixels` to a side; the agent fits into a tile.

    Raises UsageError for sizes outside 4 to 128.
    """
    if not sprites.MIN_PIXELS <= pixels <= sprites.MAX_PIXELS:
        limits = f"{sprites.MIN_PIXELS} to {sprites.MAX_PIXELS}"
        raise UsageError(f"pixels is {pixels}; a tile is {limits} pixels wide, try 8 or 24")
    enemies = [functools.partial(_enemy, look=look, phase=0) for look in range(len(ENEMIES))]
    pictures = []
    for paint in (*_TILES, _squeezed_agent, *enemies):
        canvas = _Canvas(pixels)
        canvas.box(0.0, 0.0, 1.0, 1.0, SKY)
        paint(canvas)
        pictures.append(canvas.finish())
    return np.stack(pictures)


def _squeezed_agent(canvas: _Canvas) -> None:
    canvas.x = (canvas.x - 0.5) * AGENT_TALL + 0.5
    canvas.y = canvas.y * AGENT_TALL
    _agent(canvas, theme=0, pose=STANDING)
