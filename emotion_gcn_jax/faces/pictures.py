"""Image files of any kind to and from upright 8-bit RGB: what the builders and the predictor read and write."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from emotion_gcn_jax.errors import UserError

JPEG_QUALITY = 95  # with 4:4:4 chroma a mean of 1.6-2.1 grey levels is lost after resizing to 227, with 4:2:0 2.1-2.6

PNG_LEVEL = 3  # of zlib: three times faster than the usual 6, for 7 % more bytes

# What Pillow may take a file for. It knows more formats, of which some hand the file to other programs.
_FORMATS = ("JPEG", "JPEG2000", "PNG", "BMP", "TIFF", "WEBP", "AVIF", "GIF", "PPM", "TGA")

_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def decode(data: bytes) -> np.ndarray:
    """Decodes an image file as it is meant to be seen: turned as its EXIF orientation says, its alpha dropped.

    Args:
        data: the file's bytes, of any of these formats: JPEG, JPEG 2000, PNG, BMP, TIFF, WebP, AVIF, GIF, PPM (and PGM,
            PBM), TGA; of several pictures in a file the first is taken.

    Returns:
        uint8 RGB [height, width, 3]; grey is repeated, 16-bit samples keep their upper byte.

    Raises:
        UserError: the bytes are no image, one that is cut short, or one of too many pixels to be meant.
    """
    if not data:
        raise UserError("An image file was expected, found an empty one.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and damaged EXIF, which are read all the same
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                return upright_rgb(picture)
    except Image.DecompressionBombError as error:
        raise UserError(f"The image is larger than an image may be ({error}): make it smaller.") from None
    except UnidentifiedImageError:
        raise UserError("An image file was expected, found something that is in no image format known here.") from None
    except Exception as error:  # at damaged bytes Pillow's decoders, and its reader of EXIF, raise almost anything
        raise UserError(f"An image file was expected, found something that cannot be decoded ({error}).") from None


def encode_png(image_HxWx3: np.ndarray) -> bytes:
    """Encodes uint8 RGB without loss."""
    return _encode(image_HxWx3, "PNG", compress_level=PNG_LEVEL)


def encode_jpeg(image_HxWx3: np.ndarray) -> bytes:
    """Encodes uint8 RGB at quality 95 without subsampling its colours."""
    return _encode(image_HxWx3, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def upright_rgb(picture: Image.Image) -> np.ndarray:
    """Returns a picture of Pillow's as `decode` does a file; raises whatever Pillow does at damaged ones."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in _SIXTEEN_BIT_MODES:
        samples_HxW = np.asarray(upright).astype(np.int64)
        return np.repeat((samples_HxW >> 8).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")  # straight to RGB, Pillow warns of a palette's alpha
    return np.array(upright.convert("RGB"))


def _encode(image_HxWx3: np.ndarray, image_format: str, **options: int) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(image_HxWx3).save(encoded, image_format, **options)
    return encoded.getvalue()
