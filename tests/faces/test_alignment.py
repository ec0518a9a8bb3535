"""Tests of the crop: what must be level, centred, black or smooth, on pictures whose geometry is known."""

import json
import math

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.alignment import Crop, align_and_crop, crop_transform, transform_points


def dot_picture(height: int, width: int, dots: list[tuple[float, float]], radius: float = 3.0) -> np.ndarray:
    """A grey picture with one soft dot per colour channel."""
    y, x = np.mgrid[:height, :width] + 0.5
    channels = [np.exp(-((x - dot_x) ** 2 + (y - dot_y) ** 2) / (2 * radius**2)) for dot_x, dot_y in dots]
    return (np.stack(channels, axis=-1) * 255).astype(np.uint8)


def dot_centres(image: np.ndarray) -> np.ndarray:
    """Centres of mass [channels, 2] of the channels, in continuous pixels."""
    weights = image.astype(np.float64)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    total = weights.sum((0, 1))
    return np.stack(
        [(weights * x[..., None]).sum((0, 1)) / total, (weights * y[..., None]).sum((0, 1)) / total], axis=-1
    )


@pytest.mark.parametrize("degrees", [-60, -25, 0, 10, 60])
@pytest.mark.parametrize("height,width", [(300, 300), (260, 420), (500, 280)])
@pytest.mark.parametrize("size", [48, 160])
def test_eyes_level_and_box_centred(degrees: float, height: int, width: int, size: int) -> None:
    tilt = math.radians(degrees)
    centre = np.array([width * 0.52, height * 0.47])
    along, down = np.array([math.cos(tilt), math.sin(tilt)]), np.array([-math.sin(tilt), math.cos(tilt)])
    left_eye, right_eye = centre - 20 * along - 15 * down, centre + 20 * along - 15 * down
    picture = dot_picture(height, width, [left_eye, right_eye, centre])
    box = (centre[0] - 40, centre[1] - 50, centre[0] + 40, centre[1] + 50)
    face = align_and_crop(picture, box, tuple(left_eye), tuple(right_eye), Crop(side=1.3, size=size, enlarge=True))
    assert face.shape == (size, size, 3) and face.dtype == np.uint8
    left, right, middle = dot_centres(face)
    assert abs(math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))) < 1
    np.testing.assert_allclose(middle, size / 2, atol=0.02 * size)
    # The scale: eyes 40 pixels apart in a square of 1.3 x 100 pixels.
    assert right[0] - left[0] == pytest.approx(40 * size / 130, rel=0.02)
    assert left[1] < middle[1]


def test_transform_agrees_with_pixels() -> None:
    dots = [(90.3, 120.8), (150.2, 131.6), (118.0, 170.5)]
    crop = Crop(side=1.5, size=96)
    place = ((60.0, 70.0, 180.0, 220.0), dots[0], dots[1], crop)
    mapped = transform_points(crop_transform(*place), np.array(dots))
    found = dot_centres(align_and_crop(dot_picture(300, 260, dots), *place))
    np.testing.assert_allclose(mapped, found, atol=0.1)


def test_untilted_crop_at_native_size_is_the_source() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    face = align_and_crop(image, (10, 20, 40, 50), (20, 30), (20, 30), Crop(side=1.0, size=30))
    np.testing.assert_array_equal(face, image[20:50, 10:40])


def test_upside_down_face_is_turned_upright() -> None:
    picture = dot_picture(200, 200, [(120, 120), (80, 120), (100, 80)])
    box = (60.0, 60.0, 140.0, 140.0)
    left, right, chin = dot_centres(align_and_crop(picture, box, (120, 120), (80, 120), Crop(size=100, enlarge=True)))
    assert left[0] < right[0] and chin[1] > left[1]


def test_eyes_are_ignored_when_not_leveling() -> None:
    crop = Crop(level_eyes=False)
    box = (0.0, 0.0, 10.0, 10.0)
    np.testing.assert_array_equal(crop_transform(box, (1, 9), (9, 1), crop), crop_transform(box, (2, 2), (2, 2), crop))


def test_black_outside_the_image() -> None:
    image = np.full((50, 50, 3), 200, np.uint8)
    face = align_and_crop(image, (25, 0, 75, 50), (30, 20), (60, 20), Crop(side=1.0, size=50))
    assert (face[:, :24] > 190).all() and (face[:, 27:] == 0).all()
    assert (align_and_crop(image, (200, 200, 260, 260), (210, 220), (240, 220), Crop()) == 0).all()


def test_large_source_does_not_alias() -> None:
    # A checkerboard of single pixels is grey from afar; any undersampling shows black and white or stripes.
    stripes = (np.indices((3000, 3000)).sum(0) % 2 * 255).astype(np.uint8)
    image = np.repeat(stripes[..., None], 3, axis=-1)
    face = align_and_crop(image, (700, 700, 2300, 2300), (1200, 1400), (1800, 1430), Crop(side=1.0, size=64))
    assert face.shape == (64, 64, 3)
    assert abs(face.astype(int) - 127).max() < 12


def test_very_large_box_stays_in_memory_and_in_place() -> None:
    picture = dot_picture(600, 600, [(200, 300), (400, 300), (300, 420)], radius=20)
    box = (300 - 30_000.0, 300 - 30_000.0, 300 + 30_000.0, 300 + 30_000.0)
    face = align_and_crop(picture, box, (200, 300), (400, 300), Crop(side=1.0, size=600))
    np.testing.assert_allclose(dot_centres(face)[0], 300, atol=2)


def test_tiny_box() -> None:
    image = np.full((20, 20, 3), 90, np.uint8)
    box = (10.0, 10.0, 10.3, 10.2)
    assert align_and_crop(image, box, (10, 10), (10, 10), Crop(size=64)).shape == (1, 1, 3)
    enlarged = align_and_crop(image, box, (10, 10), (10, 10), Crop(size=64, enlarge=True))
    assert enlarged.shape == (64, 64, 3) and (enlarged == 90).all()


def test_size_is_a_limit_unless_enlarged() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    sides = [
        align_and_crop(image, (50, 50, 150, 120), (80, 80), (120, 80), crop).shape[0]
        for crop in (Crop(1.3, 256), Crop(1.3, 100), Crop(1.3, 256, enlarge=True))
    ]
    assert sides == [130, 100, 256]


@pytest.mark.parametrize(
    "box,left_eye",
    [
        ((10, 10, 10, 40), (1, 1)),
        ((40, 10, 10, 40), (1, 1)),
        ((0, 0, math.nan, 9), (1, 1)),
        ((0, 0, 9, 9), (math.inf, 1)),
    ],
)
def test_useless_box_or_eyes(box: tuple, left_eye: tuple) -> None:
    with pytest.raises(UserError, match="leave this face out"):
        align_and_crop(np.zeros((50, 50, 3), np.uint8), box, left_eye, (5, 5), Crop())


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8)])
def test_image_that_is_not_rgb(image: np.ndarray) -> None:
    with pytest.raises(UserError, match="8-bit RGB"):
        align_and_crop(image, (0, 0, 9, 9), (2, 2), (6, 2), Crop())


def test_description_round_trip() -> None:
    crop = Crop(side=1.05, size=64, enlarge=True, level_eyes=False)
    assert Crop.from_dict(json.loads(json.dumps(crop.to_dict()))) == crop


@pytest.mark.parametrize(
    "fields", [{"side": 0}, {"size": 0}, {"size": 10**6}, {"centre": "eyes"}, {"resampling": "?"}, {"x": 1}]
)
def test_description_that_is_not_ours(fields: dict) -> None:
    with pytest.raises(UserError):
        Crop.from_dict({**Crop().to_dict(), **fields})
