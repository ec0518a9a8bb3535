"""Decodes image files by Pillow, or by what reads them better, to upright 8-bit RGB."""

import contextlib
import io
import logging
import threading
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import deep_files, jpeg_ends
from emotion_gcn_jax.faces.kinds import raw_picture
from emotion_gcn_jax.faces.metadata import is_png, without_metadata
from emotion_gcn_jax.faces.samples import to_eight_bits
from emotion_gcn_jax.faces.sizes import check_size

# What Pillow may take a file for, with the formats' usual suffixes. It knows more formats, of which some hand the file
# to other programs.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
FORMATS = tuple(SUFFIXES)

# Pillow scales the deep samples of these formats to 16 bits itself.
_SCALED_TO_16 = ("PPM", "JPEG2000")

_DEEP_MODES = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")

# EXIF's tag, and what its values 1 to 8 ask for (EXIF 2.32, section 4.6.4): rows and columns to be exchanged first,
# then the rows' order to be reversed, then the columns'.
_ORIENTATION = 0x0112
_EXCHANGED = (5, 6, 7, 8)
_ROWS_REVERSED = (3, 4, 7, 8)
_COLUMNS_REVERSED = (2, 3, 6, 7)

_PILLOW_LIMIT = threading.Lock()

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it says of damage is for programs that listen


def decoded(data: bytes, most_pixels: int | None = None) -> np.ndarray:
    """Decodes an image file of one of the formats of SUFFIXES.

    Args:
        data: the file's bytes.
        most_pixels: as for `check_size`, which is asked before any pixel is decoded.

    Returns:
        uint8 RGB [height, width, 3], upright.

    Raises:
        UserError: pixels are missing, there are too many, or the samples fit no range.
        UnidentifiedImageError: the file is of another kind.
        Exception: whatever Pillow's decoders raise at damaged bytes, which is almost anything.
    """
    if deep_files.is_tiff(data) and deep_files.is_raw(data, deep_files.tiff_tags(data)):
        raise UserError("An image file was expected, found {}: {}.".format(*raw_picture()))
    check_size(*deep_files.size(data), most_pixels)
    return _decoded_jpeg(data, most_pixels) if jpeg_ends.is_jpeg(data) else _decoded(data, most_pixels)


def upright_rgb(picture: Image.Image) -> np.ndarray:
    """Returns a picture of Pillow's as `decode` does a file; raises whatever Pillow does at damaged ones."""
    picture.load()
    return _turned(_eight_bit_rgb(picture), _orientation(picture))


def repeated(image_HxWxC: np.ndarray) -> np.ndarray:
    """Returns RGB [H, W, 3] of an image with one channel, which is repeated, or with three."""
    return np.repeat(image_HxWxC, 3 // image_HxWxC.shape[2], axis=2)


def _decoded_jpeg(data: bytes, most_pixels: int | None) -> np.ndarray:
    data = jpeg_ends.with_end(data)
    image_HxWx3 = _decoded(data, most_pixels)
    if jpeg_ends.may_be_filled(image_HxWx3) and not jpeg_ends.has_all_pixels(data):
        raise jpeg_ends.cut_short()
    return image_HxWx3


def _decoded(data: bytes, most_pixels: int | None) -> np.ndarray:
    if deep_files.is_deep_colour(data):
        image_HxWx3 = deep_files.read(data)
        return _turned(image_HxWx3, _png_orientation(data)) if is_png(data) else image_HxWx3
    try:
        return _decoded_by_pillow(data, most_pixels)
    except UserError:
        raise
    except Exception as error:  # at damaged bytes Pillow's decoders raise almost anything
        if deep_files.is_tiff(data):
            return _decoded_tiff(data, error)
        essential = without_metadata(data)
        if essential == data:
            raise
        return _decoded_by_pillow(essential, most_pixels)


def _decoded_by_pillow(data: bytes, most_pixels: int | None) -> np.ndarray:
    with _opened(data) as picture:
        check_size(*picture.size, most_pixels)
        return upright_rgb(picture)


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Opens a file whatever its size: Pillow's own limit, a global of its module, is lower than `check_size`'s."""
    with _PILLOW_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with picture:
        yield picture


def _decoded_tiff(data: bytes, error: Exception) -> np.ndarray:
    """A TIFF that Pillow does not read, by OpenCV."""
    try:
        return deep_files.read(data)
    except UserError:
        if isinstance(error, UnidentifiedImageError):
            raise
        raise error from None


def _png_orientation(data: bytes) -> int:
    with _opened(without_metadata(data)) as picture:
        return _orientation(picture)


def _eight_bit_rgb(picture: Image.Image) -> np.ndarray:
    tags = getattr(picture, "tag_v2", {})
    if picture.mode in _DEEP_MODES or (picture.mode == "L" and deep_files.is_signed_byte(tags)):
        bits = 16 if picture.format in _SCALED_TO_16 else deep_files.declared_bits(tags)
        is_inverted = deep_files.white_is_zero(tags)
        samples_HxW = deep_files.as_stored(np.asarray(picture), tags) if tags else np.asarray(picture)
        return repeated(to_eight_bits(samples_HxW, declared_bits=bits, white_is_zero=is_inverted)[..., None])
    if picture.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        picture = ImageCms.profileToProfile(picture, *profiles, outputMode="RGB") or picture
    if picture.mode == "La":
        picture = picture.convert("LA")
    if picture.mode == "RGBa" or (picture.mode == "P" and "transparency" in picture.info):
        picture = picture.convert("RGBA")  # straight to RGB, Pillow warns of a palette's alpha
    return np.array(picture.convert("RGB"))


def _orientation(picture: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1, which is upright, where EXIF does not say or is damaged."""
    try:
        orientation = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # at damaged bytes Pillow's reader of EXIF raises almost anything
        return 1
    return orientation if orientation in range(1, 9) else 1


def _turned(image_HxWx3: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in _EXCHANGED:
        image_HxWx3 = image_HxWx3.swapaxes(0, 1)
    if orientation in _ROWS_REVERSED:
        image_HxWx3 = image_HxWx3[::-1]
    if orientation in _COLUMNS_REVERSED:
        image_HxWx3 = image_HxWx3[:, ::-1]
    return np.ascontiguousarray(image_HxWx3)
