"""Scales the samples of a picture, however deep they are, to 8 bits.

A sample's type says how much it can hold, not how much it does hold: a camera's 12 bits come in 16, and a picture of
0 to 1 in float. Taken at the type's full range such a picture is black. So the range follows from what the file
declares and, where it declares nothing, from the largest sample.
"""

import numpy as np

from emotion_gcn_jax.errors import UserError

# Depths of cameras, scanners and image files. A largest sample is taken to fill the smallest of them that holds it.
_DEPTHS = (8, 10, 12, 14, 16)

# Sharpening and bicubic resizing push floats beyond white or below black, by up to about this share of the range.
_OVERSHOOT = 0.25

# Floats with fractions whose maximum lies between 1 plus the overshoot and this could be bright pictures of 0 to 1 or
# almost black ones of 0 to 255.
_LEAST_WHITE = 16


def to_eight_bits(samples: np.ndarray, *, declared_bits: int | None = None, white_is_zero: bool = False) -> np.ndarray:
    """Scales samples to 0..255.

    - uint8 stays as it is, and bool becomes 0 and 255.
    - Whole numbers fill the `declared_bits`, or else the smallest of 8, 10, 12, 14, 16 and any larger number of bits
      that holds the largest sample. Their 8 upper bits are kept. So a 16-bit picture keeps its brightness if any
      sample reaches a quarter of the range (16384), or if it holds 8 bits that were stretched (v * 257) or shifted
      (v * 256) to 16. A darker one cannot be told from 14 bits in 16 and becomes brighter. What int8 and int16 can
      hold is 7 and 15 bits.
    - Floats are 0..1 if they reach no further, and are else rounded to whole numbers. Either range may be exceeded by
      a quarter, which is clipped.

    Args:
        samples: of any shape and any real type, without alpha: bool, whole numbers or floats.
        declared_bits: how many bits the source says that whole numbers fill, at least 8; ignored if a sample exceeds
            them.
        white_is_zero: whether 0 is white and the largest number black; uint8 is inverted too.

    Returns:
        uint8 of the same shape; may be `samples` itself.

    Raises:
        UserError: the samples are of another type or not finite, are far below 0, or fit no range.
    """
    if samples.dtype.kind not in "buif":
        raise UserError(
            f"A picture's samples must be numbers, found {samples.dtype}: convert them to uint8 from 0 to 255."
        )
    if samples.dtype == bool:
        eight_bit = samples.astype(np.uint8) * np.uint8(255)
    elif samples.dtype == np.uint8 or not samples.size:
        eight_bit = samples.astype(np.uint8, copy=False)
    else:
        eight_bit = _scaled(samples, declared_bits)
    return 255 - eight_bit if white_is_zero else eight_bit


def _scaled(samples: np.ndarray, declared_bits: int | None) -> np.ndarray:
    low, high = _range(samples)
    if samples.dtype.kind in "iu":
        return _upper_bits(samples, _depth(samples, int(high), declared_bits))
    if high <= 1 + _OVERSHOOT:
        return np.rint(samples.clip(0, 1) * 255).astype(np.uint8)
    if high < _LEAST_WHITE and not (samples == np.rint(samples)).all():
        raise UserError(
            f"A picture's float samples must be 0 to 1 or 0 to 255, found {low:g} to {high:g}: scale them to either."
        )
    bits = _smallest_depth(high / (1 + _OVERSHOOT))
    return _upper_bits(np.rint(samples).clip(0, 2**bits - 1).astype(np.uint64), bits)


def _range(samples: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest sample; raises UserError when they are no brightnesses."""
    low, high = samples.min(), samples.max()
    if not np.isfinite([low, high]).all():
        raise UserError("A picture's samples must be finite, found NaN or infinity: replace them, for example by 0.")
    if low < -_OVERSHOOT * max(high, 0):
        raise UserError(
            f"A picture's samples must not be negative, found {low:g} to {high:g}: scale them to 0..1 or 0..255."
        )
    return low, high


def _depth(samples: np.ndarray, largest: int, declared_bits: int | None) -> int:
    held = np.iinfo(samples.dtype).bits - (samples.dtype.kind == "i")
    if declared_bits is not None and largest < 2**declared_bits:
        return min(declared_bits, held)
    bits = _smallest_depth(largest)
    stretched = 8 < bits < 16 and any((samples % step == 0).all() for step in (256, 257))
    return min(16 if stretched else bits, held)


def _smallest_depth(largest: float) -> int:
    """The smallest usual depth that holds a number, or the smallest number of bits beyond 16 that does."""
    return next((bits for bits in _DEPTHS if largest < 2**bits), int(largest).bit_length())


def _upper_bits(samples: np.ndarray, bits: int) -> np.ndarray:
    if samples.dtype.kind == "i":
        samples = np.maximum(samples, 0)
    return samples.astype(np.uint8) << (8 - bits) if bits < 8 else (samples >> (bits - 8)).astype(np.uint8)
