"""Pictures of 64x64 pixels, against a reference that looks up each pixel by its place in the world."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from goalgap.core import UsageError
from goalgap.envs.procgen import backdrops, camera, coinrun_sprites, scenery

RANDOM = np.random.default_rng(0)
STAMPS = RANDOM.integers(1, 256, (4, 64, 64, 3)).astype(np.uint8)
STAMPS[0] = 0  # nothing at all
STAMPS[3, :32, 16:40] = 0  # a hole


def points(center: tuple[float, float], view: int) -> tuple[np.ndarray, np.ndarray]:
    """What each pixel's center shows: Procgen's camera, in tiles, y upwards."""
    steps = (np.arange(64) + 0.5) * view / 64 - view / 2
    return center[0] + steps, center[1] - steps


def look_up(picture: np.ndarray, down: float, right: float, view: int) -> np.ndarray | None:
    """A sprite's color at a place in tiles from its top left corner; None: nothing is there."""
    height, width, _ = picture.shape
    row, column = int(np.floor(down * 64)), int(np.floor(right * 64))
    if not (0 <= row < height and 0 <= column < width):
        return None
    row, reach = row // 4 * 4, view // 2
    rows, columns = (slice(max(at - reach, 0), at + reach + 1) for at in (row, column))
    samples = picture[rows, columns].reshape(-1, 3).astype(float)
    opaque = samples.any(1)
    return samples[opaque].mean(0) if opaque.mean() >= 0.5 else None


def stamp(image: np.ndarray, picture: np.ndarray, left: float, top: float, center, view: int) -> None:
    """Paint a sprite whose top left corner is given, over what is there."""
    xs, ys = points(center, view)
    height, width = picture.shape[0] / 64, picture.shape[1] / 64
    for i in np.flatnonzero((ys <= top) & (ys > top - height)):
        for j in np.flatnonzero((xs >= left) & (xs < left + width)):
            color = look_up(picture, top - ys[i], xs[j] - left, view)
            if color is not None:
                image[i, j] = color


def stamp_board(image, board, pictures, left: float, top: float, center, view: int) -> None:
    for (row, column), look in np.ndenumerate(board):
        if pictures[look].any():
            stamp(image, pictures[look], left + column, top - row, center, view)


def assert_same(picture, expected: np.ndarray) -> None:
    """The same but for the rounding of means."""
    np.testing.assert_allclose(np.asarray(picture, float), expected, rtol=0, atol=0.51)


@pytest.mark.parametrize("view", [8, 13])
def test_a_moving_camera_shows_each_pixel_s_place(view):
    atlas = camera.atlas(STAMPS, view)

    @jax.jit
    def draw(board, x, y):
        left, top = jnp.floor(x - view / 2), jnp.floor(y - view / 2) + view + 1
        place = camera.place(left, top, (x, y), view)
        return camera.finish(lambda board, *place: camera.tiles(board, place, atlas), board, *place)

    for x, y in RANDOM.uniform(5, 50, (3, 2)).astype(np.float32):
        board = RANDOM.integers(0, 4, (view + 1, view + 1))
        corner = np.floor(x - view / 2), np.floor(y - view / 2) + view + 1
        expected = np.zeros((64, 64, 3))
        stamp_board(expected, board, STAMPS, *corner, (float(x), float(y)), view)
        assert_same(draw(board, x, y), expected)


@pytest.mark.parametrize("size", [9, 15, 25, 31])
def test_a_whole_world_fills_the_picture(size):
    board, atlas = RANDOM.integers(1, 4, (size, size)), camera.atlas(STAMPS, size)
    picture = jax.jit(lambda board: camera.whole(board, atlas))(board)
    expected = np.zeros((64, 64, 3))
    stamp_board(expected, board, STAMPS, 0.0, float(size), (size / 2, size / 2), size)
    assert_same(picture, expected)


def test_figures_of_any_size_stand_at_any_place_the_last_on_top():
    view, center = 9, (4.5, 4.5)
    pictures = RANDOM.integers(1, 256, (3, 100, 48, 3)).astype(np.uint8)
    pictures[1, 30:60, 10:40] = 0
    looks = RANDOM.integers(0, 3, 12)
    left, top = RANDOM.uniform(-1, 9, 12), RANDOM.uniform(0, 10, 12)
    atlas = camera.atlas(pictures, view)

    @jax.jit
    def draw(looks, left, top):
        place = camera.place(left, top, center, view)
        return camera.finish(lambda *at: camera.figures_at(at[0], at[1:], atlas), looks, *place)

    picture = draw(jnp.asarray(looks), jnp.asarray(left), jnp.asarray(top))
    expected = np.zeros((64, 64, 3))
    for look, x, y in zip(looks, left, top, strict=True):
        stamp(expected, pictures[look], x, y, center, view)
    assert_same(picture, expected)


def test_a_canvas_is_see_through_where_nothing_was_painted():
    picture = camera.painted(lambda canvas: canvas.box(0.0, 0.5, 0.5, 1.0, "#ff8000"), unit=0.5)
    assert picture.shape == (64, 64, 3)
    expected = np.zeros((64, 64, 3), np.uint8)
    expected[16:32, :16] = (255, 128, 0)
    np.testing.assert_array_equal(picture, expected)
    # A color may have zeros and is none the less there; black samples are not.
    atlas = camera.atlas(picture[None], 2)
    draw = jax.jit(
        lambda board: camera.finish(lambda board: camera.tiles(board, camera.world(2), atlas), board)
    )
    pixels = np.asarray(draw(np.zeros((2, 2), np.int32)))
    np.testing.assert_array_equal(np.unique(pixels.reshape(-1, 3), axis=0), [(0, 0, 0), (255, 128, 1)])


@pytest.mark.parametrize("view", [0, 65])
def test_views_out_of_range_are_refused(view):
    with pytest.raises(UsageError, match=f"view is {view}; a picture shows 1 to 64 tiles"):
        camera.atlas(STAMPS, view)


# -- CoinRun's frames -----------------------------------------------------------------------------------


def views(count: int, enemies: int = 24, with_velocity: bool = False) -> scenery.View:
    """Views by chance; enemies in at most five rows of tiles, some absent, some out of sight."""
    draw = np.random.default_rng(1)
    single = np.float32
    x, y = draw.uniform(2, 60, count).astype(single), draw.uniform(2, 30, count).astype(single)
    rows = np.floor(y)[:, None] + np.array([-3, -1, 0, 1, 5])[draw.integers(0, 5, (count, enemies))]
    rows = np.where(draw.uniform(size=rows.shape) < 0.3, -1, rows).astype(int)
    values = dict(
        x=x, y=y,
        tiles=draw.choice([0, 0, 0, *range(11)], (count, 14, 14)),
        ground=draw.integers(0, 6, count), agent=draw.integers(0, 5, count),
        pose=draw.integers(0, 3, count), faces_right=draw.uniform(size=count) < 0.5,
        background=draw.integers(0, 62, count), offset=draw.uniform(size=count).astype(single),
        enemy_x=(x[:, None] + draw.uniform(-8, 8, (count, enemies))).astype(single), enemy_row=rows,
        enemy_look=draw.integers(0, 9, (count, enemies)),
        enemy_faces_right=draw.uniform(size=(count, enemies)) < 0.5,
        phase=draw.integers(0, 9, count),
        velocity=draw.uniform(-1, 1, (count, 2)).astype(single) if with_velocity else None,
    )  # fmt: skip
    return scenery.View(**jax.tree.map(jnp.asarray, values))


COUNT, MANY = 4, 40  # views drawn together, and enemies in each, so that most tests share a program
draw = jax.jit(jax.vmap(scenery.draw))


def draw_one(view: scenery.View) -> np.ndarray:
    """Draw a view in a batch of its likes."""
    return np.asarray(draw(jax.tree.map(lambda leaf: np.stack([leaf] * COUNT), view)))[0]


def view_at(views: scenery.View, index: int) -> scenery.View:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], views)


def expected_frame(view: scenery.View) -> np.ndarray:
    """The frame, layer by layer and pixel by pixel."""
    x, y = float(view.x), float(view.y)
    land = backdrops.pictures()[view.background]
    columns = (int(np.floor(np.float32(view.offset * 128) + 2 * view.x)) + np.arange(64)) % 128
    first = np.clip(48 - int(y), 0, 48)
    image = land[first : first + 64, columns].astype(float)

    tiles = coinrun_sprites.tile_pictures()
    looks = view.tiles[::-1].copy()
    for kind in (coinrun_sprites.GROUND_INSIDE, coinrun_sprites.GROUND_TOP):
        if view.ground > 0:
            looks[looks == kind] = 11 + 2 * (view.ground - 1) + kind
    if view.phase % 2:
        looks[looks == coinrun_sprites.SAW] = 11
    stamp_board(image, looks, tiles, np.floor(x - 6.5), np.floor(y - 6.5) + 14, (x, y), 13)

    facing = int(view.faces_right)
    agent = coinrun_sprites.agent_pictures()[(view.agent * 3 + view.pose) * 2 + facing]
    stamp(image, agent, -0.5, 2 * 0.5787 * 1.7415 - 0.5787, (0, 0), 13)
    for k in range(len(view.enemy_x)):
        if view.enemy_row[k] >= 0:
            look = view.enemy_look[k] * 4 + view.phase % 2 * 2 + int(view.enemy_faces_right[k])
            picture = coinrun_sprites.enemy_pictures()[look]
            left, top = float(view.enemy_x[k]) - 0.5, int(view.enemy_row[k]) + 1
            stamp(image, picture, left, top, (x, y), 13)
    if view.velocity is not None:
        for index, speed in enumerate(view.velocity):
            image[:13, 13 * index : 13 * index + 13] = np.clip(int(255 * (0.5 * speed + 0.5)), 0, 255)
    return image


@pytest.mark.parametrize("with_velocity", [False, True])
def test_frames_are_their_layers_pixel_by_pixel(with_velocity):
    batch = views(COUNT, MANY, with_velocity=with_velocity)
    drawn = np.asarray(draw(batch))
    assert drawn.dtype == np.uint8
    for index in range(2 if with_velocity else COUNT):
        assert_same(drawn[index], expected_frame(view_at(batch, index)))


def test_a_batch_is_its_views_and_there_may_be_many_enemies():
    batch = views(COUNT, MANY)
    drawn, alone = np.asarray(draw(batch)), jax.jit(scenery.draw)
    for index in range(3):
        view = jax.device_put(view_at(batch, index))
        np.testing.assert_array_equal(alone(view), drawn[index])
    fewer = views(1, enemies=24)
    assert_same(alone(jax.device_put(view_at(fewer, 0))), expected_frame(view_at(fewer, 0)))


def test_of_a_crowd_the_hindmost_are_left_out():
    crowd, limit = 12, scenery.MAX_CROWD
    view, rows = view_at(views(1, MANY), 0), np.full(MANY, -1, np.int32)
    x = np.array(view.enemy_x)
    x[:crowd] = view.x + np.linspace(-0.9, 0.9, crowd)
    rows[:crowd] = np.floor(view.y)
    view = view._replace(enemy_x=x, enemy_row=rows)
    hidden = np.arange(MANY) < crowd - limit
    fewer = view._replace(enemy_row=np.where(hidden, np.int32(-1), rows))
    np.testing.assert_array_equal(draw_one(view), draw_one(fewer))
    hidden |= np.arange(MANY) == crowd - 1
    fewest = view._replace(enemy_row=np.where(hidden, np.int32(-1), rows))
    assert (draw_one(fewest) != draw_one(fewer)).any(), "the foremost are drawn"


def test_the_agent_stands_in_the_middle_and_reaches_above_its_body():
    view = view_at(views(1), 0)
    enemies = {name: np.resize(value, MANY) for name, value in view._asdict().items() if "enemy" in name}
    view = view._replace(**enemies | {"enemy_row": np.full(MANY, -1, np.int32)})
    view = view._replace(tiles=np.zeros_like(view.tiles))
    day, night = (draw_one(view._replace(background=np.int32(land))) for land in (0, 4))
    rows, columns = np.nonzero((day == night).all(-1))
    # 64 / 13 pixels a tile; feet .5787 tiles below the middle, hat 1.4369 above, half a tile aside.
    assert (rows.min(), rows.max()) == (25, 34)
    assert (columns.min(), columns.max()) == (30, 33)


def plainly_different(a: np.ndarray, b: np.ndarray) -> float:
    return (abs(a.astype(int) - b.astype(int)).max(-1) >= 32).mean()


@pytest.mark.parametrize("pixels", [5, 24])
def test_sprites_are_told_apart(pixels):
    pictures = coinrun_sprites.board_sprites(pixels)
    assert pictures.shape == (len(coinrun_sprites.NAMES), pixels, pixels, 3)
    for (a, one), (b, other) in itertools.combinations(enumerate(pictures), 2):
        assert plainly_different(one, other) >= 0.1, (coinrun_sprites.NAMES[a], coinrun_sprites.NAMES[b])


@pytest.mark.parametrize(
    "pictures",
    [coinrun_sprites.tile_pictures, coinrun_sprites.enemy_pictures, coinrun_sprites.agent_pictures],
)
def test_every_look_pose_and_facing_has_a_picture_of_its_own(pictures):
    pixels = camera.atlas(pictures(), 13).strips[: -camera.SPAN].reshape(len(pictures()), -1)
    assert len(np.unique(pixels, axis=0)) == len(pixels)
    for one, other in itertools.combinations(pictures(), 2):
        assert plainly_different(one, other) >= 0.02


def test_backgrounds_are_told_apart_and_have_no_seam():
    lands = backdrops.pictures().astype(int)
    assert lands.shape == (62, 112, 128, 3)
    for one, other in itertools.combinations(lands[:, 48:], 2):
        assert abs(one - other).mean() >= 4
    jumps = abs(np.diff(lands, axis=2, append=lands[:, :, :1])).mean((0, 1, 3))
    assert jumps[-1] < 1.5 * jumps[:-1].max()


@pytest.mark.parametrize("pixels", [3, 129])
def test_board_sprites_out_of_range_are_refused(pixels):
    with pytest.raises(UsageError, match=f"pixels is {pixels}; a tile is 4 to 128"):
        coinrun_sprites.board_sprites(pixels)
