"""Samples of every depth become the same 8 bits."""

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.samples import to_eight_bits

EIGHT = np.arange(256).reshape(16, 16)  # every brightness, black and white among them


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16, 20, 24, 31])
@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int64, np.uint64, np.float64])
def test_whole_numbers_of_any_depth_fill_it(bits, kind):
    np.testing.assert_array_equal(to_eight_bits((EIGHT << (bits - 8)).astype(kind)), EIGHT)


@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 13, 14, 15, 16])
def test_a_depth_held_in_16_bits_is_not_black(bits):
    brightest = to_eight_bits((EIGHT << (bits - 8)).astype(np.uint16)).max()
    # An odd depth is taken for the next even one, so white becomes a half of it at worst.
    assert brightest >= 127


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, ">u2", np.uint16(0).dtype.newbyteorder(">")])
@pytest.mark.parametrize("samples", [EIGHT * 256, EIGHT * 257, EIGHT * 256 + 99])
def test_16_bits_keep_their_brightness(samples, dtype):
    np.testing.assert_array_equal(to_eight_bits(samples.astype(dtype)), EIGHT)


@pytest.mark.parametrize(("dtype", "unit"), [(np.int16, 128), (np.int8, 1 / 2)])
def test_signed_samples_have_a_bit_less(dtype, unit):
    samples = (EIGHT * unit).astype(dtype)
    np.testing.assert_array_equal(to_eight_bits(samples), EIGHT if unit > 1 else EIGHT & 254)


@pytest.mark.parametrize("brightest", [2, 20, 60, 255])
@pytest.mark.parametrize("step", [256, 257])
def test_8_bits_moved_to_16_keep_their_brightness_however_dark(brightest, step):
    dark = EIGHT.clip(0, brightest)
    np.testing.assert_array_equal(to_eight_bits((dark * step).astype(np.uint16)), dark)


@pytest.mark.parametrize(
    ("samples", "bits", "expected"),
    [
        ([0, 100], 12, [0, 100 >> 4]),  # a dark picture of 12 bits, which its samples do not tell
        ([0, 4000], 16, [0, 4000 >> 8]),
        ([0, 4097], 12, [0, 4097 >> 6]),  # more than was declared: 14 bits
        ([0, 100], 8, [0, 100]),
    ],
)
def test_a_declared_depth_is_believed_unless_the_samples_exceed_it(samples, bits, expected):
    np.testing.assert_array_equal(to_eight_bits(np.array(samples, np.uint16), declared_bits=bits), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([0, 0.5, 1], [0, 128, 255]),  # 127.5 is rounded to the even number
        ([0, 0.1, 0.2], [0, 26, 51]),  # 25.5 likewise
        ([-0.1, 0.5, 1.2], [0, 128, 255]),  # bicubic resizing overshoots
        ([0, 127.6, 255], [0, 128, 255]),
        ([-20, 100.4, 290], [0, 100, 255]),
        ([0, 2, 3], [0, 2, 3]),  # whole numbers are no shares of 1
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_floats_are_0_to_1_or_0_to_255(samples, expected, dtype):
    found = to_eight_bits(np.array(samples, dtype))
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), expected, atol=1 if dtype is np.float16 else 0)


@pytest.mark.parametrize("samples", [[0, 0.5, 1.3], [0, 3.3], [0.5, 15.5]])
def test_floats_of_neither_range_are_refused(samples):
    with pytest.raises(UserError, match="must be 0 to 1 or 0 to 255, found 0"):
        to_eight_bits(np.array(samples))


@pytest.mark.parametrize("samples", [[-1.0, 1.0], [-3, 9], [-5, -1], [-0.5, 0.4]])
def test_negative_samples_are_refused(samples):
    with pytest.raises(UserError, match="must not be negative, found -"):
        to_eight_bits(np.array(samples))


@pytest.mark.parametrize("sample", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(sample):
    with pytest.raises(UserError, match="must be finite"):
        to_eight_bits(np.array([0.5, sample]))


@pytest.mark.parametrize("samples", [np.array(["white"]), np.array([None]), np.array([1j])])
def test_other_types_are_refused(samples):
    with pytest.raises(UserError, match="must be numbers"):
        to_eight_bits(samples)


@pytest.mark.parametrize(
    "samples", [EIGHT.astype(np.uint8), (EIGHT * 16).astype(np.uint16), (EIGHT / 255).astype(np.float32)]
)
def test_white_may_be_zero(samples):
    np.testing.assert_array_equal(to_eight_bits(samples, white_is_zero=True), 255 - EIGHT)


def test_bool_is_black_and_white():
    np.testing.assert_array_equal(to_eight_bits(np.array([False, True])), [0, 255])


def test_uint8_is_never_scaled():
    dark = np.array([0, 1, 2], np.uint8)
    assert to_eight_bits(dark) is dark
