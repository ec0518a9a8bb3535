"""Each change against an independent implementation, and their draws against the ranges that were asked for."""

import colorsys
import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from emotion_gcn_jax.data import augmentation
from emotion_gcn_jax.data.augmentation import Augmentation, augment, example_keys
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError

OFF = Augmentation(flip_probability=0.0, rotation_degrees=0.0)
EVERYTHING = Augmentation(
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=0.1,
    grey_probability=0.3,
    low_resolution=0.5,
    rotation_degrees=30,
    zoom=0.2,
    shift=0.1,
    erase_probability=0.5,
)


def noise(*shape):
    return np.random.default_rng(0).integers(1, 256, shape, np.uint8)  # no 0, which is what rotation fills in


def keys(count, seed=0, step=0):
    return example_keys(jax.random.key(seed), step, jnp.arange(count))


def augmented(images, what, **options):
    change = jax.jit(partial(augment, augmentation=what, **options))
    return np.asarray(change(jnp.asarray(images), keys(len(images))))


move = jax.jit(augmentation.move)
adjust_hue = jax.jit(augmentation.adjust_hue)


def source_places(height, width, degrees, scale=1.0, shift=(0, 0)):
    """Returns the place (row, column) that each pixel of an image comes from which is turned counter-clockwise,
    magnified and then shifted, in float64."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    down, right = rows - shift[0] - (height - 1) / 2, columns - shift[1] - (width - 1) / 2
    cosine, sine = np.cos(np.radians(degrees)) / scale, np.sin(np.radians(degrees)) / scale
    return np.stack([cosine * down + sine * right + (height - 1) / 2, -sine * down + cosine * right + (width - 1) / 2])


def is_tie(places, tolerance=0.01):
    return (np.abs(places % 1 - 0.5) < tolerance).any(axis=0)


def taken_from(image, places):
    """The nearest pixels, by SciPy; 0 outside."""
    channels = [
        scipy.ndimage.map_coordinates(channel, places, order=0, mode="grid-constant", cval=0)
        for channel in np.moveaxis(image, -1, 0)
    ]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize("size", [(64, 64), (65, 65), (227, 227), (40, 61)])
@pytest.mark.parametrize("degrees", [-30.0, -7.3, 0.0, 12.5, 29.9, 90.0, 135.0])
def test_rotation_equals_scipy(size, degrees):
    image = noise(*size, 3)
    turned = np.asarray(move(jnp.asarray(image), False, jnp.float32(degrees)))
    places = source_places(*size, degrees)
    expected = taken_from(image, places)
    clear = ~is_tie(places)
    assert clear.mean() > 0.9 or (degrees == 90 and size == (40, 61))  # there, every place lies between two pixels
    np.testing.assert_array_equal(turned[clear], expected[clear])


@pytest.mark.parametrize("size", [(64, 64), (40, 61), (1024, 1024)])
@pytest.mark.parametrize(
    ("degrees", "scale", "shift"),
    # The last two reach the largest coordinates: half the size, half a side away, turned by an eighth.
    [(0.0, 1.23, (0, 0)), (-9.7, 0.81, (3, -6)), (45.0, 0.5, (20, -20)), (45.0, 0.5, (-512, 512))],
)
def test_zoom_and_shift_equal_scipy(size, degrees, scale, shift):
    image = noise(*size, 1)
    moved = np.asarray(move(jnp.asarray(image), False, jnp.float32(degrees), jnp.float32(scale), shift))
    places = source_places(*size, degrees, scale, shift)
    clear = ~is_tie(places)
    np.testing.assert_array_equal(moved[clear], taken_from(image, places)[clear])


def test_zoom_and_shift_by_hand():
    image = jnp.arange(1, 17, dtype=jnp.uint8).reshape(4, 4, 1)
    no_turn = jnp.float32(0)
    shifted = move(image, False, no_turn, None, (1, -2))  # one row down, two columns to the left
    np.testing.assert_array_equal(shifted[..., 0], [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0], [11, 12, 0, 0]])
    # Twice as large: the middle four pixels, 6 7 10 11, fill the square.
    magnified = move(image, False, no_turn, jnp.float32(2))
    np.testing.assert_array_equal(magnified[..., 0], [[6, 6, 7, 7], [6, 6, 7, 7], [10, 10, 11, 11], [10, 10, 11, 11]])
    # Mirrored (8 7 6 5), magnified, and shifted last: by a pixel of the result, which is half a pixel of the image.
    both = move(image, True, no_turn, jnp.float32(2), (0, 1))
    np.testing.assert_array_equal(both[..., 0], [[8, 7, 7, 6], [8, 7, 7, 6], [12, 11, 11, 10], [12, 11, 11, 10]])


@pytest.mark.parametrize("degrees", [-30.0, 5.0, 17.0])
def test_rotation_equals_pillow(degrees):
    image = noise(64, 64, 3)
    turned = np.asarray(move(jnp.asarray(image), False, jnp.float32(degrees)))
    expected = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.NEAREST))
    clear = ~is_tie(source_places(64, 64, degrees))
    np.testing.assert_array_equal(turned[clear], expected[clear])


def test_quarter_turn_and_mirror():
    image = noise(32, 32, 3)
    turn = partial(move, jnp.asarray(image))
    np.testing.assert_array_equal(turn(False, jnp.float32(0)), image)
    np.testing.assert_array_equal(turn(False, jnp.float32(90)), np.rot90(image))
    np.testing.assert_array_equal(turn(True, jnp.float32(0)), image[:, ::-1])
    np.testing.assert_array_equal(turn(True, jnp.float32(90)), np.rot90(image[:, ::-1]))


def test_mirrored_first_and_then_turned():
    image = noise(31, 31, 3)
    both = move(jnp.asarray(image), True, jnp.float32(20))
    turned = move(jnp.asarray(image[:, ::-1]), False, jnp.float32(20))
    np.testing.assert_array_equal(both, turned)


def test_corners_are_black():
    turned = augmented(np.full((16, 64, 64, 3), 200, np.uint8), Augmentation(rotation_degrees=30))
    corners = turned[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).all(axis=(1, 2)).mean() > 0.8
    assert set(np.unique(turned)) == {0, 200}


def test_angles_are_uniform_and_half_is_mirrored():
    """Reads angle and mirroring from where a marker right of the centre went."""
    images = np.zeros((2000, 41, 41, 1), np.uint8)
    images[:, 19:22, 37:40] = 255
    turned = augmented(images, Augmentation(rotation_degrees=30))[..., 0]
    up = (np.arange(41)[::-1, None] - 20) * turned
    right = (np.arange(41) - 20) * turned
    angles = np.degrees(np.arctan2(up.sum((1, 2)), right.sum((1, 2))))
    mirrored = np.abs(angles) > 90
    assert abs(mirrored.mean() - 0.5) < 0.04
    angles = np.where(mirrored, (angles + 180 + 180) % 360 - 180, angles)
    assert 27 < angles.max() < 32 and -32 < angles.min() < -27
    counts = np.histogram(angles, bins=5, range=(-30, 30))[0]
    assert np.abs(counts - 400).max() < 90


def test_scales_and_shifts_are_drawn_from_the_whole_range():
    """Reads both from where a square of 20 pixels went."""
    images = np.zeros((2000, 41, 41, 1), np.uint8)
    images[:, 10:31, 10:31] = 255
    moved = augmented(images, dataclasses.replace(OFF, zoom=0.25, shift=0.1))[..., 0] > 0
    for axis in (1, 2):
        there = moved.any(axis=axis)
        first, last = there.argmax(1), 40 - there[:, ::-1].argmax(1)
        middles = (first + last) / 2 - 20
        assert (middles.min(), middles.max()) == (-4, 4)  # 10 % of 41, rounded down
        counts = np.bincount(np.round(middles + 4).astype(int), minlength=9)  # expected 222, deviation 14
        assert np.abs(counts - 222).max() < 60
        sides = last - first + 1
        assert 15 <= sides.min() <= 16 and 26 <= sides.max() <= 27  # 21 * 0.75 and 21 * 1.25
        assert abs(sides.mean() - 21) < 0.4


def test_crops_are_cut_anywhere():
    images = np.broadcast_to(noise(1, 9, 9, 3), (1000, 9, 9, 3))
    crops = augmented(images, OFF, crop=6)
    assert crops.shape == (1000, 6, 6, 3)
    places = {(r, c): images[0, r : r + 6, c : c + 6].tobytes() for r in range(4) for c in range(4)}
    found = [crop.astype(np.uint8).tobytes() for crop in crops]
    counts = np.asarray([found.count(place) for place in places.values()])
    assert counts.sum() == 1000 and np.abs(counts - 62.5).max() < 32  # deviation 7.7


def test_a_crop_is_of_the_image_that_was_moved():
    images = noise(8, 33, 33, 3)
    whole, crops = augmented(images, Augmentation()), augmented(images, Augmentation(), crop=30)
    for image, crop in zip(whole, crops, strict=True):
        parts = [image[r : r + 30, c : c + 30] for r in range(4) for c in range(4)]
        assert any(np.array_equal(crop, part) for part in parts)


def test_a_run_from_before_there_were_more_draws_draws_what_it_drew():
    images = noise(8, 33, 33, 3)
    for image, key, found in zip(images, keys(8), augmented(images, Augmentation()), strict=True):
        flip_key, _, rotation_key, _ = jax.random.split(key, 4)
        degrees = jax.random.uniform(rotation_key, (), jnp.float32, -30, 30)
        np.testing.assert_array_equal(move(jnp.asarray(image), jax.random.bernoulli(flip_key), degrees), found)


@pytest.mark.parametrize("size", [(7, 9), (20, 13), (32, 32)])
def test_a_lower_resolution_is_pillows_there_and_back(size):
    image = noise(32, 32, 3).astype(np.float32)
    seen = jax.jit(augmentation.lower_resolution)(jnp.asarray(image), size)
    for channel in range(3):
        small = Image.fromarray(image[..., channel]).resize(size[::-1], Image.Resampling.BILINEAR)
        expected = small.resize((32, 32), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(seen[..., channel], expected, atol=1e-3)


def test_resolutions_are_drawn_down_to_the_lowest():
    stripes = np.zeros((500, 16, 16, 1), np.uint8)
    stripes[:, :, ::2] = 255  # of 8 pixels, nothing is left but grey
    seen = augmented(stripes, dataclasses.replace(OFF, low_resolution=0.5))[..., 0]
    contrasts = seen[:, :, 4:12].std(axis=(1, 2))
    assert contrasts.min() < 1 and contrasts.max() == pytest.approx(127.5)
    assert abs((contrasts > 127).mean() - 1 / 9) < 0.05  # 8 to 16 pixels, of which 16 change nothing


def test_some_become_grey():
    images = noise(1000, 6, 6, 3)
    result = augmented(images, dataclasses.replace(OFF, grey_probability=0.25))
    is_grey = (result == result[..., :1]).all(axis=(1, 2, 3))
    assert abs(is_grey.mean() - 0.25) < 0.05
    np.testing.assert_array_equal(result[~is_grey], images[~is_grey])
    np.testing.assert_allclose(result[is_grey][..., 0], images[is_grey] @ [0.2989, 0.587, 0.114], rtol=1e-5)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_flip_probability(probability):
    images = np.broadcast_to(noise(1, 8, 8, 3), (1000, 8, 8, 3))
    flipped = augmented(images, Augmentation(flip_probability=probability, rotation_degrees=0.0))
    same = (flipped == images).all(axis=(1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert abs(mirrored.mean() - probability) < (0.05 if probability == 0.25 else 1e-9)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_brightness_contrast_saturation(factor):
    image = noise(9, 7, 3)
    pixels = image.astype(np.float64)
    grey = 0.2989 * pixels[..., :1] + 0.587 * pixels[..., 1:2] + 0.114 * pixels[..., 2:]
    expected = {
        augmentation.adjust_brightness: pixels * factor,
        augmentation.adjust_contrast: factor * pixels + (1 - factor) * grey.mean(),
        augmentation.adjust_saturation: factor * pixels + (1 - factor) * grey,
    }
    for function, values in expected.items():
        np.testing.assert_allclose(function(jnp.asarray(image), factor), np.clip(values, 0, 255), atol=1e-3)


@pytest.mark.parametrize("turns", [-0.5, -0.13, 0.0, 0.1, 0.37])
def test_hue_equals_colorsys(turns):
    image = np.concatenate([noise(20, 9, 3), np.full((20, 1, 3), 77, np.uint8)], axis=1)  # with greys
    image[:3, :3] = [[[255, 0, 0]], [[0, 255, 0]], [[0, 255, 255]]]
    shifted = adjust_hue(jnp.asarray(image), turns)
    for pixel, value in zip(image.reshape(-1, 3), np.reshape(shifted, (-1, 3)), strict=True):
        hue, saturation, brightness = colorsys.rgb_to_hsv(*pixel / 255)
        np.testing.assert_allclose(
            value / 255, colorsys.hsv_to_rgb((hue + turns) % 1, saturation, brightness), atol=1e-4
        )


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors_are_drawn_from_the_whole_range(name):
    image = np.asarray([[[100, 100, 100], [140, 60, 60]]], np.uint8)
    images = np.broadcast_to(image, (1000, *image.shape))
    what = Augmentation(flip_probability=0, rotation_degrees=0, **{name: 0.4})
    values = augmented(images, what)[:, 0, 1, 0]
    function = getattr(augmentation, f"adjust_{name}")
    lowest, highest = (float(function(jnp.asarray(image), factor)[0, 1, 0]) for factor in (0.6, 1.4))
    assert lowest <= values.min() < lowest + 0.02 * (highest - lowest)
    assert highest >= values.max() > highest - 0.02 * (highest - lowest)
    np.testing.assert_allclose(values.mean(), (lowest + highest) / 2, atol=0.05 * (highest - lowest))


def test_colour_changes_come_before_the_corners():
    images = np.full((8, 33, 33, 3), 60, np.uint8)
    contrasted = augmented(images, Augmentation(contrast=0.9, rotation_degrees=30))
    # A uniform image keeps its colour only if the black corners are not part of its mean.
    assert set(np.unique(np.round(contrasted))) == {0, 60}


def test_erasing():
    images = noise(400, 30, 40, 3)
    erased = augmented(images, Augmentation(flip_probability=0, rotation_degrees=0, erase_probability=0.5))
    changed = (erased != images).all(axis=-1)
    assert 0.42 < changed.any(axis=(1, 2)).mean() < 0.58
    np.testing.assert_allclose(np.asarray(Input(8).normalise(jnp.asarray(erased)))[changed], 0, atol=1e-5)
    for mask in changed:
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all(), "not a rectangle"
            assert 0.01 < mask.mean() < 0.36


def test_the_erased_area_is_the_one_asked_for():
    images = np.full((400, 50, 50, 1), 200, np.uint8)
    what = dataclasses.replace(OFF, erase_probability=1.0, erase_area=(0.02, 0.1))
    shares = (augmented(images, what, fill=(0.4,)) != 200).mean(axis=(1, 2, 3))
    # A rectangle's sides are rounded: of 2 %, 7 x 7 pixels, by up to a seventh.
    assert 0.016 < shares.min() < 0.03 and 0.09 < shares.max() < 0.108


def test_nothing_asked_for_is_nothing_computed():
    images = noise(3, 8, 8, 3)
    np.testing.assert_array_equal(augmented(images, OFF), images.astype(np.float32))
    jaxpr = str(jax.make_jaxpr(lambda i, k: augment(i, k, Augmentation()))(images, keys(3)))
    whole = str(jax.make_jaxpr(lambda i, k: augment(i, k, EVERYTHING))(images, keys(3)))
    assert "gather" in jaxpr and " rem " in whole and " rem " not in jaxpr  # the colour circle's modulo


MOVED = Augmentation(zoom=0.2, shift=0.1)


@pytest.mark.parametrize("what", [Augmentation(), MOVED, EVERYTHING], ids=["default", "moved", "everything"])
@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_the_same_on_any_number_of_devices(what, num_devices):
    images, seed_key, step = noise(8, 33, 33, 3), jax.random.key(3), 17
    one = jax.jit(lambda image, i: augment(image[None], example_keys(seed_key, step, i[None]), what, crop=28)[0])
    expected = np.stack([one(image, jnp.asarray(i)) for i, image in enumerate(images)])

    def change(images_BxHxWxC):
        positions = jax.lax.axis_index("batch") * len(images_BxHxWxC) + jnp.arange(len(images_BxHxWxC))
        return augment(images_BxHxWxC, example_keys(seed_key, step, positions), what, crop=28)

    sharded = images.reshape(num_devices, -1, 33, 33, 3)
    changed = jax.pmap(change, axis_name="batch", devices=jax.devices()[:num_devices])(sharded)
    tolerance = 1e-3 if what == EVERYTHING else 0
    np.testing.assert_allclose(np.reshape(changed, (8, 28, 28, 3)), expected, rtol=0, atol=tolerance)


def test_keys_differ_by_seed_step_and_position():
    all_keys = [keys(4, seed, step) for seed in range(2) for step in range(3)]
    words = {tuple(word) for some in all_keys for word in jax.random.key_data(some).tolist()}
    assert len(words) == 24
    images = np.broadcast_to(noise(1, 65, 65, 3), (4, 65, 65, 3))
    assert len({image.tobytes() for image in augmented(images, Augmentation())}) == 4


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dtypes(dtype):
    images = noise(4, 16, 16, 3)
    result = augmented(images, Augmentation(), dtype=dtype)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result.astype(np.float32), augmented(images, Augmentation()))
    assert augmented(images, EVERYTHING, dtype=dtype).dtype == dtype


def test_float64_draws_what_float32_draws(x64):
    images = noise(4, 16, 16, 3)
    with jax.enable_x64(False):
        expected = {what: augmented(images, what) for what in (Augmentation(), EVERYTHING)}
    for what, values in expected.items():
        result = augmented(images, what, dtype=jnp.float64)
        assert result.dtype == np.float64
        np.testing.assert_allclose(result, values, atol=1e-3)


def test_grey_keeps_its_one_channel_and_has_no_colour_to_change():
    images = noise(4, 33, 33, 1)
    coloured = dataclasses.replace(EVERYTHING, erase_probability=0.0)
    plain = dataclasses.replace(coloured, saturation=0.0, hue=0.0, grey_probability=0.0)
    result = augmented(images, coloured)
    assert result.shape == images.shape
    np.testing.assert_array_equal(result, augmented(images, plain))
    assert (result != augmented(images, Augmentation())).any(), "brightness and contrast change grey images too"


@pytest.mark.parametrize(
    "change",
    [
        partial(move, flip=True, degrees=jnp.float32(20)),
        partial(augmentation.adjust_brightness, factor=0.6),
        partial(augmentation.adjust_contrast, factor=0.6),
    ],
    ids=["move", "adjust_brightness", "adjust_contrast"],
)
def test_grey_is_changed_as_equal_channels_are(change):
    grey = jnp.asarray(noise(21, 17, 1))
    repeated = change(jnp.repeat(grey, 3, axis=-1))
    # torchvision's weights of red, green and blue add up to 0.9999: of a mean of 128 and 40 % of it, 0.005 is missing.
    np.testing.assert_allclose(change(grey), repeated[..., :1], atol=0.01)


def test_grey_is_erased_in_its_own_mean():
    images = np.full((8, 20, 20, 1), 200, np.uint8)
    what = Augmentation(flip_probability=0, rotation_degrees=0, erase_probability=1.0)
    erased = augmented(images, what, fill=(0.4,))
    np.testing.assert_allclose(np.unique(erased), [0.4 * 255, 200], rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flip_probability", 1.5),
        ("hue", 0.6),
        ("rotation_degrees", -30),
        ("brightness", float("nan")),
        ("zoom", 0.6),
        ("shift", 0.6),
        ("low_resolution", 1.0),
        ("mixup", -1.0),
    ],
)
def test_impossible_strengths(field, value):
    with pytest.raises(UserError, match=f"{field} must lie in 0..*found {value}"):
        Augmentation(**{field: value})


@pytest.mark.parametrize("area", [(0.3, 0.1), (0.0, 0.1), (0.1, 1.1), (0.1,), (float("nan"), 0.1), ("a", "b")])
def test_impossible_areas(area):
    with pytest.raises(UserError, match=r"erase_area must be the least and the largest share .*: found \("):
        Augmentation(erase_area=area)


def test_only_images_of_some_size_are_zoomed_and_shifted():
    Augmentation().check_side(2048)
    Augmentation(zoom=0.1).check_side(1024)
    for what in (Augmentation(zoom=0.1), Augmentation(shift=0.1)):
        with pytest.raises(UserError, match=r"at most 1024 pixels a side, and config.input.side is 1025: set both"):
            what.check_side(1025)
