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
    brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, rotation_degrees=30, erase_probability=0.5
)


def noise(*shape):
    return np.random.default_rng(0).integers(1, 256, shape, np.uint8)  # no 0, which is what rotation fills in


def keys(count, seed=0, step=0):
    return example_keys(jax.random.key(seed), step, jnp.arange(count))


def augmented(images, what, **options):
    change = jax.jit(partial(augment, augmentation=what, **options))
    return np.asarray(change(jnp.asarray(images), keys(len(images))))


flip_and_rotate = jax.jit(augmentation.flip_and_rotate)
adjust_hue = jax.jit(augmentation.adjust_hue)


def source_places(height, width, degrees):
    """Returns the place (row, column) that each pixel of an image turned counter-clockwise comes from, in float64."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    down, right = rows - (height - 1) / 2, columns - (width - 1) / 2
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.stack([cosine * down + sine * right + (height - 1) / 2, -sine * down + cosine * right + (width - 1) / 2])


def is_tie(places, tolerance=0.01):
    return (np.abs(places % 1 - 0.5) < tolerance).any(axis=0)


@pytest.mark.parametrize("size", [(64, 64), (65, 65), (227, 227), (40, 61)])
@pytest.mark.parametrize("degrees", [-30.0, -7.3, 0.0, 12.5, 29.9, 90.0, 135.0])
def test_rotation_equals_scipy(size, degrees):
    image = noise(*size, 3)
    turned = np.asarray(flip_and_rotate(jnp.asarray(image), False, jnp.float32(degrees)))
    places = source_places(*size, degrees)
    expected = np.stack(
        [
            scipy.ndimage.map_coordinates(channel, places, order=0, mode="grid-constant", cval=0)
            for channel in np.moveaxis(image, -1, 0)
        ],
        axis=-1,
    )
    clear = ~is_tie(places)
    assert clear.mean() > 0.9 or (degrees == 90 and size == (40, 61))  # there, every place lies between two pixels
    np.testing.assert_array_equal(turned[clear], expected[clear])


@pytest.mark.parametrize("degrees", [-30.0, 5.0, 17.0])
def test_rotation_equals_pillow(degrees):
    image = noise(64, 64, 3)
    turned = np.asarray(flip_and_rotate(jnp.asarray(image), False, jnp.float32(degrees)))
    expected = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.NEAREST))
    clear = ~is_tie(source_places(64, 64, degrees))
    np.testing.assert_array_equal(turned[clear], expected[clear])


def test_quarter_turn_and_mirror():
    image = noise(32, 32, 3)
    turn = partial(flip_and_rotate, jnp.asarray(image))
    np.testing.assert_array_equal(turn(False, jnp.float32(0)), image)
    np.testing.assert_array_equal(turn(False, jnp.float32(90)), np.rot90(image))
    np.testing.assert_array_equal(turn(True, jnp.float32(0)), image[:, ::-1])
    np.testing.assert_array_equal(turn(True, jnp.float32(90)), np.rot90(image[:, ::-1]))


def test_mirrored_first_and_then_turned():
    image = noise(31, 31, 3)
    both = flip_and_rotate(jnp.asarray(image), True, jnp.float32(20))
    turned = flip_and_rotate(jnp.asarray(image[:, ::-1]), False, jnp.float32(20))
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


def test_nothing_asked_for_is_nothing_computed():
    images = noise(3, 8, 8, 3)
    np.testing.assert_array_equal(augmented(images, OFF), images.astype(np.float32))
    jaxpr = str(jax.make_jaxpr(lambda i, k: augment(i, k, Augmentation()))(images, keys(3)))
    whole = str(jax.make_jaxpr(lambda i, k: augment(i, k, EVERYTHING))(images, keys(3)))
    assert "gather" in jaxpr and " rem " in whole and " rem " not in jaxpr  # the colour circle's modulo


@pytest.mark.parametrize("what", [Augmentation(), EVERYTHING], ids=["default", "everything"])
@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_the_same_on_any_number_of_devices(what, num_devices):
    images, seed_key, step = noise(8, 33, 33, 3), jax.random.key(3), 17
    one = jax.jit(lambda image, i: augment(image[None], example_keys(seed_key, step, i[None]), what)[0])
    expected = np.stack([one(image, jnp.asarray(i)) for i, image in enumerate(images)])

    def change(images_BxHxWxC):
        positions = jax.lax.axis_index("batch") * len(images_BxHxWxC) + jnp.arange(len(images_BxHxWxC))
        return augment(images_BxHxWxC, example_keys(seed_key, step, positions), what)

    sharded = images.reshape(num_devices, -1, 33, 33, 3)
    changed = jax.pmap(change, axis_name="batch", devices=jax.devices()[:num_devices])(sharded)
    tolerance = 0 if what == Augmentation() else 1e-3
    np.testing.assert_allclose(np.reshape(changed, images.shape), expected, rtol=0, atol=tolerance)


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
    plain = dataclasses.replace(coloured, saturation=0.0, hue=0.0)
    result = augmented(images, coloured)
    assert result.shape == images.shape
    np.testing.assert_array_equal(result, augmented(images, plain))
    assert (result != augmented(images, Augmentation())).any(), "brightness and contrast change grey images too"


@pytest.mark.parametrize(
    "change",
    [
        partial(flip_and_rotate, flip=True, degrees=jnp.float32(20)),
        partial(augmentation.adjust_brightness, factor=0.6),
        partial(augmentation.adjust_contrast, factor=0.6),
    ],
    ids=["flip_and_rotate", "adjust_brightness", "adjust_contrast"],
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
    [("flip_probability", 1.5), ("hue", 0.6), ("rotation_degrees", -30), ("brightness", float("nan"))],
)
def test_impossible_strengths(field, value):
    with pytest.raises(UserError, match=f"{field} must lie in 0..*found {value}"):
        Augmentation(**{field: value})
