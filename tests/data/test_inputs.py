"""What a network looks at: shapes and colours from arrays made by hand, resizing against Pillow."""

import json

import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from PIL import Image

from configs import common
from emotion_gcn_jax.data import inputs
from emotion_gcn_jax.data.inputs import RESIZE_FILTERS, Input
from emotion_gcn_jax.errors import UserError
from tests.data.splits import pixels

GREY = {"channels": 1, "mean": (0.45,), "deviation": (0.225,)}


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((12, 12), (0, 12), (0, 12)),
        ((12, 30), (0, 12), (9, 21)),  # (30 - 12) / 2 = 9 are cut on both sides
        ((31, 12), (10, 22), (0, 12)),  # (31 - 12) / 2 = 9.5 is rounded to the even 10
        ((12, 13), (0, 12), (0, 12)),  # 0.5 to the even 0
    ],
)
def test_the_middle_is_kept_of_an_image_that_is_not_square(shape, rows, columns):
    image = pixels(0, (*shape, 3))
    np.testing.assert_array_equal(Input(12).fit(image), image[slice(*rows), slice(*columns)], strict=True)


@pytest.mark.parametrize(
    ("shape", "resized", "left", "top"),
    [
        ((12, 30), (20, 8), 6, 0),  # 8 * 30 // 12 = 20 wide, (20 - 8) / 2 = 6 are cut
        ((30, 12), (8, 20), 0, 6),
        ((12, 12), (8, 8), 0, 0),
        ((5, 4), (8, 10), 0, 1),  # enlarged
    ],
)
def test_the_shorter_side_is_resized(shape, resized, left, top):
    image = pixels(1, (*shape, 3))
    whole = Image.fromarray(image).resize(resized, Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(Input(8).fit(image), np.asarray(whole)[top : top + 8, left : left + 8])


@pytest.mark.parametrize(
    ("colour", "grey"),
    # ITU-R 601: 0.299 red + 0.587 green + 0.114 blue
    [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((90, 90, 90), 90), ((255, 255, 255), 255)],
)
def test_grey_input(colour, grey):
    fitted = Input(12, **GREY).fit(np.full((12, 30, 3), colour, np.uint8))
    assert fitted.shape == (12, 12, 1) and fitted.dtype == np.uint8
    np.testing.assert_array_equal(fitted, grey)


def test_grey_is_cut_and_resized_as_colours_are():
    repeated = np.repeat(pixels(2, (40, 30, 1)), 3, axis=2)
    np.testing.assert_array_equal(Input(16, **GREY).fit(repeated), Input(16).fit(repeated)[..., :1])


def test_filters_on_a_fine_chessboard():
    chessboard = np.kron(np.ones((8, 8)), [[0, 200], [200, 0]]).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    reduced = {name: function(chessboard, (4, 4)) for name, function in RESIZE_FILTERS.items()}
    assert {name: image.shape for name, image in reduced.items()} == dict.fromkeys(RESIZE_FILTERS, (4, 4, 3))
    np.testing.assert_allclose(reduced["area"], 100)
    np.testing.assert_allclose(reduced["bilinear_antialiased"][1:3, 1:3], 100, atol=1)


def test_bilinear_takes_the_four_nearest_pixels():
    ramp = np.arange(16, dtype=np.uint8).reshape(1, 16, 1).repeat(16, axis=0).repeat(3, axis=2) * 10
    ramp[:, 1::4] = 255  # by a factor of 4 the samples lie at 1.5, 5.5, ...: halfway between columns 1 and 2
    reduced = RESIZE_FILTERS["bilinear"](ramp, (4, 4))
    np.testing.assert_allclose(reduced[0, :, 0], [(255 + 10 * column) / 2 for column in (2, 6, 10, 14)], atol=1)


@pytest.mark.parametrize("name", RESIZE_FILTERS)
def test_an_input_resizes_by_its_own_filter(name):
    image = pixels(3, (24, 24, 3))
    np.testing.assert_array_equal(Input(12, resize=name).fit(image), RESIZE_FILTERS[name](image, (12, 12)))


def test_an_image_of_the_right_size_is_not_resized(monkeypatch):
    monkeypatch.setattr(inputs, "RESIZE_FILTERS", {"none": None})
    Input(12, resize="none").fit(pixels(0))


def test_the_network_sees_the_middle_of_a_crop():
    what = Input(13, crop=8)
    images = pixels(5, (2, 13, 13, 3))
    assert what.network_side == 8 and Input(13).network_side == 13
    # (13 - 8) / 2 = 2.5 is rounded to the even 2, as torchvision does.
    np.testing.assert_array_equal(what.view(jnp.asarray(images)), what.normalise(images[:, 2:10, 2:10]))
    np.testing.assert_array_equal(Input(13).view(jnp.asarray(images)), what.normalise(images))


def test_ten_views_are_corners_and_middle_and_their_mirrors():
    what = Input(12, crop=8)
    images = pixels(6, (2, 12, 12, 3))
    found = what.ten_views(jnp.asarray(images))
    assert found.shape == (10, 2, 8, 8, 3)
    for number, (top, left) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]):
        crop = images[:, top : top + 8, left : left + 8]
        np.testing.assert_array_equal(found[number], what.normalise(crop))
        np.testing.assert_array_equal(found[number + 5], what.normalise(crop[:, :, ::-1]))


def test_normalise_by_imagenet_in_every_dtype():
    images = pixels(4, (2, 5, 5, 3))
    expected = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(Input(12).normalise(jnp.asarray(images)), expected, atol=1e-5)
    rounded = Input(12).normalise(jnp.asarray(images), jnp.bfloat16)
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_allclose(rounded.astype(jnp.float32), expected, rtol=2**-8, atol=1e-5)  # rounded once, at the end


def test_normalise_in_float64(x64):
    images = pixels(4, (2, 5, 5, 3))
    precise = Input(12).normalise(jnp.asarray(images), jnp.float64)
    assert precise.dtype == jnp.float64
    np.testing.assert_allclose(precise[..., 2], (images[..., 2] / 255 - 0.406) / 0.225, rtol=1e-14, atol=1e-14)


def test_black_in_normalised_colours():
    black = Input(12).normalise(jnp.zeros((1, 1, 1, 3)))[0, 0, 0]
    np.testing.assert_allclose(black, [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)


def test_normalise_grey_by_numbers_of_its_own():
    images = np.asarray([0.0, 0.45 * 255, 255.0]).reshape(3, 1, 1, 1)
    normalised = Input(12, **GREY).normalise(jnp.asarray(images))
    np.testing.assert_allclose(np.ravel(normalised), [-0.45 / 0.225, 0, 0.55 / 0.225], atol=1e-5)


@pytest.mark.parametrize(
    "what",
    [Input(227), Input(48, resize="area", **GREY), Input(48, crop=44)],
    ids=["colour", "grey", "crop"],
)
def test_json_and_back(what):
    assert Input.from_dict(json.loads(json.dumps(what.to_dict()))) == what


def test_the_default_config_is_the_official_recipe():
    assert Input.from_dict(common.get_config().input) == Input(side=227)


@pytest.mark.parametrize("deviation", [(0.2,), [0.2]], ids=["tuple", "list"])
def test_a_config_in_grey(deviation):
    config = ml_collections.ConfigDict({"side": 48, "channels": 1, "mean": (0.5,), "deviation": deviation})
    assert Input.from_dict(config) == Input(48, 1, mean=(0.5,), deviation=(0.2,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"side": 7}, r"input.side must lie in 8..2048 pixels, found 7"),
        ({"side": 2049}, r"found 2049"),
        ({"side": 48, "channels": 2}, r"input.channels must be 3 \(RGB\) or 1 \(grey\), found 2"),
        ({"side": 48, "channels": 1}, r"input.mean must have 1 numbers.*found \(0.485, 0.456, 0.406\).*input.mean='\("),
        ({"side": 48, "mean": (0.5,)}, r"input.mean must have 3 numbers"),
        ({"side": 48, **GREY, "channels": 3}, r"input.mean must have 3 numbers"),
        ({"side": 48, "deviation": (0.2, 0.2)}, r"input.deviation must have 3 numbers"),
        ({"side": 48, "mean": (0.5, float("nan"), 0.5)}, r"input.mean must have 3 numbers, .*nan"),
        ({"side": 48, "mean": ("a", "b", "c")}, r"input.mean must have 3 numbers"),
        ({"side": 48, "deviation": (0.2, 0.0, 0.2)}, r"input.deviation must be positive, found \(0.2, 0.0, 0.2\)"),
        ({"side": 48, "crop": 7}, r"input.crop must be 0 \(none\) or lie in 8..48, the image's side, found 7"),
        ({"side": 48, "crop": 49}, r"found 49"),
        ({"side": 48, "resize": "lanczos"}, r"'lanczos': choose one of bilinear_antialiased, bilinear, area"),
    ],
)
def test_impossible_inputs(fields, message):
    with pytest.raises(UserError, match=message):
        Input(**fields)


@pytest.mark.parametrize("shape", [(1, 2**22), (2**22, 1)])
def test_a_line_of_pixels_takes_no_gigabytes(shape, monkeypatch):
    """Its middle is kept: resized as a whole it would be 48 x 201 million pixels."""
    sizes = []

    def resize(image, size):
        sizes.append(size)
        return np.full((*size[::-1], 3), image[image.shape[0] // 2, image.shape[1] // 2])

    monkeypatch.setattr(inputs, "RESIZE_FILTERS", {"area": resize})
    image = np.zeros((*shape, 3), np.uint8)
    image[shape[0] // 2, shape[1] // 2] = 200
    assert (Input(48, resize="area").fit(image) == 200).all()
    assert max(sizes[0]) <= 48 * 16
