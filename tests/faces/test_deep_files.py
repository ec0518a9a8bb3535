"""Files of every depth are as bright as the same picture of 8 bits."""

import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import deep_files
from emotion_gcn_jax.faces.pictures import decode
from tests.faces.files import DEEP, FULL, encoded, every_depth, rgb, tiff


@every_depth
@pytest.mark.parametrize("order", "<>")
def test_a_tiff_of_any_depth_is_as_bright_as_with_8_bits(samples, order):
    np.testing.assert_array_equal(decode(tiff(samples, order=order)), FULL)
    np.testing.assert_array_equal(decode(tiff(samples[..., 0], order=order)), rgb(FULL[..., 0]))


@every_depth
@pytest.mark.parametrize("order", "<>")
def test_a_tiff_whose_white_is_zero_is_inverted(samples, order):
    np.testing.assert_array_equal(decode(tiff(samples[..., 0], (262, 0), order=order)), rgb(255 - FULL[..., 0]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tags", [(), ((281, 127),)], ids=["nothing declared", "127 declared"])
@pytest.mark.parametrize("white", [0, 255])
def test_a_tiff_of_signed_bytes_is_scaled_as_an_array_of_them(channels, tags, white):
    samples = (FULL >> 1).astype(np.int8)[..., :channels]
    inversion = () if white else ((262, 0),)
    expected = rgb(FULL[..., 0] & 254) if channels == 1 else FULL & 254
    if white == 0 and channels == 1:
        expected = 255 - expected
    np.testing.assert_array_equal(decode(tiff(samples, *tags, *(inversion if channels == 1 else ()))), expected)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_negative_samples_of_a_tiff_are_refused_rather_than_wrapped(dtype):
    with pytest.raises(UserError, match="must not be negative, found -100 to 100"):
        decode(tiff(np.array([[-100, 100]], dtype)))


@pytest.mark.parametrize(("highest", "shift"), [(255, 0), (1023, 2), (4095, 4), (3900, 4), (16383, 6), (65535, 8)])
def test_a_tiffs_declared_depth_is_believed(highest, shift):
    dark = np.minimum(FULL, 60)[..., 0]
    samples = (dark.astype(np.uint16) << shift) + (shift > 0)
    np.testing.assert_array_equal(decode(tiff(samples, (281, highest))), rgb(dark))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["8 bits", "12 in 16", "0 to 1"])
def test_a_deep_tiff_is_turned_as_a_plain_one(orientation, kind):
    plain = Image.fromarray(DEEP["8 bits"])
    tags = Image.Exif()
    tags[0x0112] = orientation
    expected = decode(encoded(plain, "PNG", exif=tags))
    np.testing.assert_array_equal(decode(tiff(DEEP[kind], (274, orientation))), expected)


@pytest.mark.parametrize("kind", ["12 in 16", "0 to 1", "double"])
def test_a_deep_tiff_that_is_cut_short_is_refused(kind, capfd):
    whole = tiff(DEEP[kind])
    with pytest.raises(UserError, match="found one that cannot be decoded"):
        decode(whole[: len(whole) // 2])
    assert capfd.readouterr() == ("", "")


def test_a_tiff_stored_by_planes_of_deep_samples_is_refused_rather_than_garbled():
    with pytest.raises(UserError, match=r"of a kind that is not read \(a TIFF of 16/16/16 bits .* convert it"):
        decode(tiff(DEEP["12 in 16"], (284, 2)))


@pytest.mark.parametrize("kind", ["8 bits", "8 in 16", "10 in 16", "12 in 16", "14 in 16", "16 bits"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_of_any_depth_is_as_bright_as_with_8_bits(kind, channels):
    samples = np.dstack([DEEP[kind], DEEP[kind]])[..., :channels]
    png = cv2.imencode(".png", samples[..., [2, 1, 0, 3][:channels]] if channels > 1 else samples)[1].tobytes()
    np.testing.assert_array_equal(decode(png), FULL if channels > 1 else rgb(FULL[..., 0]))


@pytest.mark.parametrize("maximum", [255, 1023, 4095, 65535])
@pytest.mark.parametrize("brightest", [60, 255])
def test_a_pgm_says_its_depth_itself(maximum, brightest):
    grey = np.minimum(FULL[..., 0], brightest)
    samples = np.rint(grey * (maximum / 255)).astype(np.uint8 if maximum < 256 else ">u2")
    data = b"P5 16 16 %d\n" % maximum + samples.tobytes()
    np.testing.assert_allclose(decode(data).astype(int), rgb(grey), atol=1)


def pfm(samples, order="<"):
    height, width = samples.shape[:2]
    kind, scale = b"PF" if samples.ndim == 3 else b"Pf", b"-1.0" if order == "<" else b"1.0"
    header = b"%s\n%d %d\n%s\n" % (kind, width, height, scale)
    return header + samples[::-1].astype(f"{order}f4").tobytes()


@pytest.mark.parametrize("kind", ["0 to 1", "0 to 255", "12 in 16", "16 bits"])
@pytest.mark.parametrize("order", "<>")
def test_a_pfm_is_read_in_colour_and_in_grey_as_a_tiff_of_floats(kind, order):
    np.testing.assert_array_equal(decode(pfm(DEEP[kind], order)), FULL)
    np.testing.assert_array_equal(decode(pfm(DEEP[kind][..., 0], order)), rgb(FULL[..., 0]))


def test_a_comment_and_a_scale_of_a_colour_pfm_do_not_matter():
    data = pfm(DEEP["0 to 1"]).replace(b"PF\n", b"PF\n# a camera's\n", 1).replace(b"-1.0", b"-2.5e+1", 1)
    np.testing.assert_array_equal(decode(data), FULL)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pfm(DEEP["0 to 1"])[:-1], "a PFM that says it has 16 x 16 pixels and does not have them"),
        (b"PF\n0 16\n-1.0\n", "0 x 16 pixels"),
        (b"PF\n30000 30000\n-1.0\n", "found 30000 x 30000 pixels: make it smaller"),
        (pfm(np.full((2, 2, 3), np.nan)), "NaN"),
    ],
    ids=["cut short", "without pixels", "too large", "not finite"],
)
def test_a_colour_pfm_that_is_none_is_refused(data, said):
    with pytest.raises(UserError, match=said):
        decode(data)


def deep_png():
    return cv2.imencode(".png", np.zeros((9, 9, 3), np.uint16))[1].tobytes()


def test_a_chunk_of_a_deep_png_that_claims_gigabytes_is_not_believed(monkeypatch):
    """OpenCV makes room for them."""
    monkeypatch.setattr(deep_files, "_opencv", pytest.fail)
    data = deep_png()
    place = data.index(b"IDAT") - 4
    with pytest.raises(UserError, match="found one that cannot be decoded"):
        decode(data[:place] + b"\xff\xff\xff\xff" + data[place + 4 :])


def test_a_deep_png_of_too_many_pixels_is_not_decoded(monkeypatch):
    monkeypatch.setattr(deep_files, "_opencv", pytest.fail)
    data = deep_png()
    header = data[12:16] + (30_000).to_bytes(4, "big") * 2 + data[24:29]
    with pytest.raises(UserError, match="30000 x 30000 pixels: make it smaller"):
        decode(data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:])


def test_what_follows_a_deep_png_does_not_matter():
    assert decode(deep_png() + b"\xff" * 20).shape == (9, 9, 3)
