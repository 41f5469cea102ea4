"""Paint what is far behind CoinRun's ground: 62 landscapes, each from a small recipe and a seed.

They repeat after `WIDTH` pixels sideways and are taller than a picture, so that the view can move over
them. Colors are calm and edges soft: what matters stands before them. Procgen has as many, of its own.
"""

import colorsys
import functools

import numpy as np
from jaxtyping import Float, UInt8

COUNT = 62
HEIGHT, WIDTH = 112, 128  # pixels

Row = Float[np.ndarray, "w"]
ROWS = np.arange(HEIGHT, dtype=np.float32)[:, None] + 0.5
COLUMNS = np.arange(WIDTH, dtype=np.float32)[None, :] + 0.5


class _Land:
    """Hold a landscape under way, with its own source of randomness. Places are in pixels, y down."""

    def __init__(self, index: int) -> None:
        self.round = index // len(RECIPES)  # how often the recipe was used before
        self.random = np.random.default_rng(index)
        self.image = np.zeros((HEIGHT, WIDTH, 3), np.float32)

    def color(self, hue: float, saturation: float, value: float) -> Float[np.ndarray, "3"]:
        """Make a color, its hue in degrees, a little off by chance."""
        hue = hue / 360 + self.random.uniform(-0.03, 0.03)
        return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32) * 255

    def pick(self, *hues: float) -> float:
        """Choose one of the hues, each in its turn."""
        return hues[self.round % len(hues)]

    def sky(self, top: Float[np.ndarray, "3"], bottom: Float[np.ndarray, "3"]) -> None:
        share = ROWS[..., None] / HEIGHT
        self.image[:] = (1 - share) * top + share * bottom

    def blend(self, share: np.ndarray, color: np.ndarray) -> None:
        share = np.clip(share, 0, 1)[..., None]
        self.image = (1 - share) * self.image + share * color

    def ridge(self, heights: Row, color: np.ndarray) -> None:
        """Paint everything below a line, given as the row of each column."""
        self.blend(ROWS - heights + 0.5, color)

    def disc(self, x: float, y: float, radius: float, color: np.ndarray, flat: float = 1.0) -> None:
        across = (COLUMNS - x + WIDTH / 2) % WIDTH - WIDTH / 2  # around the seam
        self.blend(radius + 0.5 - np.hypot(across, (ROWS - y) / flat), color)

    def waves(self, middle: float, size: float, most: int = 3) -> Row:
        """Draw a smooth line that closes upon itself."""
        line = np.full(WIDTH, middle, np.float32)
        for count in range(1, most + 1):
            turn = self.random.uniform(0, 2 * np.pi)
            line += size / count * np.sin(2 * np.pi * count * COLUMNS[0] / WIDTH + turn)
        return line

    def teeth(self, middle: float, size: float, count: int) -> Row:
        """Draw a line of `count` peaks, of heights by chance."""
        corners = np.linspace(0, WIDTH, 2 * count + 1)
        heights = middle + size * self.random.uniform(0.1, 0.5, 2 * count + 1)
        heights[1::2] = middle - size * self.random.uniform(0.4, 1.0, count)
        heights[-1] = heights[0]
        return np.interp(COLUMNS[0], corners, heights).astype(np.float32)

    def stars(self, count: int, lowest: int) -> None:
        share = np.zeros((HEIGHT, WIDTH), np.float32)
        places = self.random.integers(0, (lowest, WIDTH), (count, 2))
        share[tuple(places.T)] = self.random.uniform(0.3, 1.0, count)
        self.blend(share, self.color(50, 0.15, 0.95))

    def clouds(self, count: int, color: np.ndarray) -> None:
        for x, y in self.random.uniform((0, 30), (WIDTH, 66), (count, 2)):
            for step in range(3):
                self.disc(x + 6 * step, y - (step == 1) * 2, 5 + 2 * (step == 1), color, 0.6)


def _hills(land: _Land) -> None:
    land.sky(land.color(208, 0.45, 0.90), land.color(200, 0.12, 0.98))
    land.disc(land.random.uniform(0, WIDTH), 44, 8, land.color(50, 0.35, 1.0))
    land.clouds(4, land.color(210, 0.03, 1.0))
    hue = land.pick(95, 120, 75)
    for depth in range(3):
        color = land.color(hue, 0.25 + 0.12 * depth, 0.82 - 0.08 * depth)
        land.ridge(land.waves(78 + 10 * depth, 6), color)


def _mountains(land: _Land) -> None:
    hue = land.pick(215, 265, 190, 330, 240)
    land.sky(land.color(hue, 0.30, 0.85), land.color(hue - 25, 0.12, 0.97))
    peaks = land.teeth(82, 34, 4)
    land.ridge(peaks, land.color(hue, 0.05, 0.96))
    land.ridge(np.maximum(peaks + 6, land.waves(62, 3, 8)), land.color(hue, 0.28, 0.68))
    land.ridge(land.teeth(92, 20, 6), land.color(hue, 0.36, 0.56))
    land.ridge(land.waves(102, 3), land.color(hue - 70, 0.30, 0.52))


def _forest(land: _Land) -> None:
    hue = land.pick(140, 35, 110, 175, 70)
    land.sky(land.color(hue + 40, 0.14, 0.95), land.color(hue + 10, 0.24, 0.84))
    for depth, count in enumerate((16, 12, 9)):
        color = land.color(hue, 0.25 + 0.15 * depth, 0.72 - 0.13 * depth)
        land.ridge(land.teeth(80 + 12 * depth, 26, count), color)


def _desert(land: _Land) -> None:
    hue = land.pick(28, 12, 340)
    land.sky(land.color(hue + 170, 0.25, 0.88), land.color(hue, 0.35, 0.98))
    land.disc(land.random.uniform(0, WIDTH), 64, 12, land.color(hue + 20, 0.30, 1.0))
    for depth in range(3):
        color = land.color(hue + 8, 0.38 + 0.08 * depth, 0.92 - 0.10 * depth)
        land.ridge(land.waves(80 + 10 * depth, 5, 2), color)


def _night(land: _Land) -> None:
    hue = land.pick(228, 262, 196, 245, 212, 285, 170, 320)
    land.sky(land.color(hue, 0.62, 0.22), land.color(hue, 0.45, 0.46))
    land.stars(60, 80)
    moon = land.random.uniform(0, WIDTH)
    land.disc(moon, 48, 7, land.color(52, 0.15, 0.95))
    land.disc(moon + 3, 46, 6, np.median(land.image[46], 0))  # a crescent
    land.ridge(land.waves(86, 6), land.color(hue, 0.45, 0.32))
    land.ridge(land.teeth(100, 14, 14), land.color(hue - 40, 0.45, 0.22))


def _space(land: _Land) -> None:
    hue = land.pick(275, 310, 185, 240)
    land.sky(land.color(hue, 0.70, 0.14), land.color(hue + 30, 0.55, 0.34))
    for _ in range(5):
        x, y = land.random.uniform((0, 20), (WIDTH, 100))
        glow = np.hypot((COLUMNS - x + WIDTH / 2) % WIDTH - WIDTH / 2, (ROWS - y) * 2) / 26
        land.blend(0.35 * (1 - glow), land.color(hue + 50, 0.5, 0.6))
    land.stars(90, HEIGHT)
    planet, color = land.random.uniform((20, 58), (100, 84)), land.random.uniform(0, 360)
    land.disc(planet[0], planet[1], 17, land.color(color, 0.35, 0.55), 0.22)
    land.disc(planet[0], planet[1], 10, land.color(color + 40, 0.42, 0.72))
    land.disc(planet[0] - 3, planet[1] - 3, 6, land.color(color + 40, 0.32, 0.80))


def _city(land: _Land) -> None:
    hue = land.pick(20, 220, 285)
    land.sky(land.color(hue + 190, 0.28, 0.78), land.color(hue, 0.28, 0.96))
    for depth, width in enumerate((8, 16)):
        roofs = land.random.uniform(62 + 16 * depth, 90 + 8 * depth, WIDTH // width)
        color = land.color(hue + 210, 0.25, 0.66 - 0.20 * depth)
        land.ridge(np.repeat(roofs, width).astype(np.float32), color)
        lit = np.repeat(land.random.uniform(size=(HEIGHT // 4, WIDTH // 4)) < 0.35, 4, 0).repeat(4, 1)
        pane = (ROWS % 4 < 2) & (COLUMNS % 4 < 2) & lit & (ROWS > np.repeat(roofs, width) + 2)
        land.blend(0.55 * pane * depth, land.color(48, 0.45, 0.98))


def _sea(land: _Land) -> None:
    hue = land.pick(190, 170, 212)
    land.sky(land.color(hue, 0.35, 0.86), land.color(hue + 15, 0.65, 0.46))
    for x in land.random.uniform(0, WIDTH, 4):
        slant = (COLUMNS - x + ROWS / 2) % WIDTH
        land.blend(0.14 * ((slant > 0) & (slant < 9)) * (1 - ROWS / HEIGHT), land.color(hue, 0.1, 1.0))
    for x, y in land.random.uniform((0, 24), (WIDTH, 92), (14, 2)):
        land.disc(x, y, land.random.uniform(0.8, 2.2), land.color(hue, 0.16, 0.95))
    land.ridge(land.waves(92, 4), land.color(hue + 10, 0.50, 0.48))
    land.ridge(land.teeth(104, 26, 12), land.color(hue - 40, 0.45, 0.40))
    land.ridge(land.waves(106, 2), land.color(45, 0.30, 0.62))


RECIPES = (_hills, _mountains, _forest, _desert, _night, _sea, _city, _space)


@functools.cache
def pictures() -> UInt8[np.ndarray, "n height width 3"]:
    """Paint all backgrounds.

    The first, the only one of Procgen's easy mode, is hills under a blue sky.
    """
    lands = []
    for index in range(COUNT):
        land = _Land(index)
        RECIPES[index % len(RECIPES)](land)
        lands.append(land.image)
    return np.stack(lands).round().astype(np.uint8)
