"""Image files of every kind, each made so that its pixels are known."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import decode, encode_jpeg, encode_png

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
GREY = RGB[..., 0]
LARGE = np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8)


def encoded(picture, image_format, **options):
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, image_format, **options)
    return file.getvalue()


def rgb(grey):
    return np.repeat(grey[..., None], 3, axis=2)


def with_alpha(image):
    return np.dstack([image, np.arange(35, dtype=np.uint8).reshape(5, 7)])


PALETTE = Image.fromarray(GREY % 4).convert("P")
PALETTE.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 255, 0, 128])
COLOURS = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [255, 0, 128]], np.uint8)[GREY % 4]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(RGB, "PNG"), RGB),
        (encoded(RGB, "BMP"), RGB),
        (encoded(RGB, "TIFF"), RGB),
        (encoded(RGB, "WEBP", lossless=True), RGB),
        (encoded(GREY, "PNG"), rgb(GREY)),
        (encoded(GREY > 127, "PNG"), rgb(np.uint8(255) * (GREY > 127))),
        (encoded(np.dstack([GREY, GREY // 2]), "PNG"), rgb(GREY)),
        (encoded(with_alpha(RGB), "PNG"), RGB),
        (encoded(PALETTE, "PNG"), COLOURS),
        (encoded(PALETTE, "PNG", transparency=2), COLOURS),
        (encoded(PALETTE, "PNG", transparency=bytes([0, 9, 255, 3])), COLOURS),
        (encoded(PALETTE, "GIF", transparency=1), COLOURS),
        (encoded(GREY.astype(np.uint16) * 256 + 99, "PNG"), rgb(GREY)),
        (encoded(GREY.astype(np.uint16) * 256 + 99, "TIFF"), rgb(GREY)),
        (encoded(RGB[:1, :1], "PNG"), RGB[:1, :1]),
    ],
)
def test_what_is_stored_without_loss_is_read_so(data, expected):
    image = decode(data)
    assert image.dtype == np.uint8 and image.flags.writeable
    np.testing.assert_array_equal(image, expected)


def test_cmyk_is_read_as_colours():
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # cyan ink only
    np.testing.assert_allclose(decode(encoded(image, "JPEG", quality=95)), np.full((16, 16, 3), (0, 255, 255)), atol=6)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, RGB),
        (3, RGB[::-1, ::-1]),
        (6, np.rot90(RGB, -1)),
        (8, np.rot90(RGB)),
        (2, RGB[:, ::-1]),
        (5, RGB.swapaxes(0, 1)),
    ],
)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation, upright, image_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encoded(RGB, image_format, exif=exif)), upright)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty one"),
        (b"GIF89a", "cannot be decoded|no image format"),
        (b"hello, world", "no image format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n", "no image format"),  # a program, for Ghostscript
        (encoded(LARGE, "PNG")[:3000], "cannot be decoded"),
        (encoded(LARGE, "JPEG")[:3000], "cannot be decoded .*truncated"),
    ],
)
def test_what_is_no_whole_image_gets_a_sentence(data, said):
    with pytest.raises(UserError, match=f"^An image file was expected, found .*({said})") as caught:
        decode(data)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize(
    "image_format", ["JPEG", "JPEG2000", "PNG", "BMP", "TIFF", "WEBP", "AVIF", "GIF", "PPM", "TGA"]
)
def test_every_format_is_read_and_damage_to_it_told(image_format):
    whole = encoded(RGB, image_format)
    assert decode(whole).shape == RGB.shape
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] = rng.integers(256)
        try:
            decode(bytes(damaged))
        except UserError as error:
            assert str(error).startswith(("An image file was expected", "The image is larger"))


def test_a_damaged_orientation_is_told():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x011A] = 72.0
    whole = encoded(RGB, "JPEG", exif=exif)
    start = whole.index(b"Exif")
    for place in range(start + 6, start + 60):
        for value in (0, 3, 255):
            damaged = bytearray(whole)
            damaged[place] = value
            with contextlib.suppress(UserError):
                decode(bytes(damaged))


def test_an_image_of_too_many_pixels_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UserError, match="larger than an image may be"):
        decode(encoded(RGB, "PNG"))


def test_encoders():
    np.testing.assert_array_equal(decode(encode_png(RGB)), RGB)
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    assert np.abs(decode(encode_jpeg(smooth)).astype(int) - smooth).max() < 6
    with Image.open(io.BytesIO(encode_jpeg(smooth))) as picture:
        assert picture.layer == [(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 1)]  # all three at full resolution
