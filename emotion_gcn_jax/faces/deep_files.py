"""Reads PNG, TIFF and PFM files whose samples are deeper than 8 bits and that Pillow cuts to 8 or does not read."""

import io
import re
import threading
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, TiffImagePlugin

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.metadata import has_whole_chunks, is_png, without_metadata
from emotion_gcn_jax.faces.samples import to_eight_bits

# TIFF 6.0, section 8 (baseline tags), and BigTIFF's header with 43 in place of 42.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _RGB = 0, 2
_PLANES = 2
_UNSIGNED, _SIGNED = 1, 2  # TIFF 6.0, section 19
_WIDTH, _HEIGHT = TiffImagePlugin.IMAGEWIDTH, TiffImagePlugin.IMAGELENGTH

# PNG specification, section 11.2.1: the first chunk has width and height, of 4 bytes each, bit depth and colour type.
_PNG_WIDTH, _PNG_HEIGHT, _PNG_DEPTH, _PNG_COLOUR = 16, 20, 24, 25
_PNG_COLOURS = (2, 4, 6)  # RGB, grey with alpha, RGBA; Pillow has modes of 16 bits for grey only

# https://www.pauldebevec.com/Research/HDR/PFM: width, height and a scale, negative where the low byte comes first.
_COLOUR_PFM = re.compile(rb"PF\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s+(\d{1,9})\s+(-?)[\d.eE+-]{1,40}\s")

_LOG_LEVEL = threading.Lock()


def is_tiff(data: bytes) -> bool:
    """Whether a file begins like a TIFF file."""
    return data.startswith(_TIFF)


def is_deep_colour(data: bytes) -> bool:
    """Whether a file holds several deep samples a pixel: PNG of 16 bits, TIFF RGB of more than 8 or floats, PFM."""
    if _COLOUR_PFM.match(data):
        return True
    if is_png(data):
        return len(data) > _PNG_COLOUR and data[_PNG_DEPTH] == 16 and data[_PNG_COLOUR] in _PNG_COLOURS
    tags = tiff_tags(data) if is_tiff(data) else {}
    depths = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    return tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _RGB and max(depths) > 8


def read(data: bytes) -> np.ndarray:
    """Reads a colour PFM, or by OpenCV a deep PNG or any TIFF; how large it is must have been checked by `size`.

    Returns:
        uint8 [height, width, 3], RGB. A TIFF and a PFM are upright; a PNG is as it is stored.

    Raises:
        UserError: it is not read, because it is damaged or stored plane by plane or in half floats; or its samples fit
            no range.
    """
    if header := _COLOUR_PFM.match(data):
        return _read_pfm(data, header)
    tags = tiff_tags(data) if is_tiff(data) else {}
    # OpenCV makes room for what a chunk of a PNG says it has, up to 4 GB, and for a TIFF whose size is not known here.
    is_readable = has_whole_chunks(data) if is_png(data) else _is_readable_tiff(tags)
    stored = _opencv(without_metadata(data)) if is_readable else None
    if stored is None:
        raise UserError(
            "An image file was expected, found one that cannot be decoded: it is damaged, or of a kind that is not "
            f"read{_described(tags)}: copy it again, or convert it to 8 bits a sample."
        )
    samples = stored[..., None] if stored.ndim == 2 else stored[..., 2::-1]  # OpenCV's order is BGR or BGRA
    is_inverted = white_is_zero(tags) and samples.dtype != np.uint8  # OpenCV inverts 8 bits itself
    if is_inverted and samples.dtype == np.int8:  # signed ones as if they were not
        samples = ~samples
    image = to_eight_bits(samples, declared_bits=declared_bits(tags), white_is_zero=is_inverted)
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def size(data: bytes) -> tuple[int, int]:
    """The width and height that a file of one of the kinds of this module says it has, in pixels; 0 for another.

    Of a TIFF whose tiles are larger than its picture these are the tiles', for which decoders make room.
    """
    if header := _COLOUR_PFM.match(data):
        return int(header[1]), int(header[2])
    if is_png(data):
        return int.from_bytes(data[_PNG_WIDTH:_PNG_HEIGHT], "big"), int.from_bytes(data[_PNG_HEIGHT:_PNG_DEPTH], "big")
    tags = tiff_tags(data) if is_tiff(data) else {}
    width, height = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
    return max(width, tags.get(TiffImagePlugin.TILEWIDTH, 0)), max(height, tags.get(TiffImagePlugin.TILELENGTH, 0))


def tiff_tags(data: bytes) -> Mapping[int, Any]:
    """Returns the tags of a TIFF file's first picture, by number; none if they cannot be read."""
    file = io.BytesIO(data)
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8])
        file.seek(directory.next)
        directory.load(file)
        return dict(directory)
    except Exception:  # at damaged bytes Pillow's reader of tags raises almost anything
        return {}


def is_raw(data: bytes, tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF is a camera's raw picture, whose first picture is but a preview: DNG, NEF, ARW, CR2 and others."""
    is_preview = bool(tags.get(ExifTags.Base.NewSubfileType, 0) & 1) and ExifTags.Base.SubIFDs in tags
    return (data[4:8] == b"\x10\0\0\0" and data[8:11] == b"CR\2") or ExifTags.Base.DNGVersion in tags or is_preview


def declared_bits(tags: Mapping[int, Any]) -> int | None:
    """How many bits a TIFF's tags say that its samples fill, at least 8; None if they name 16, 32 or signed ones.

    BitsPerSample says so when it is another number. MaxSampleValue does too: writers store the depth's largest number
    there, or the picture's. Signed samples are those of programs that calculate, and fill what they happen to.
    """
    highest = tags.get(ExifTags.Base.MaxSampleValue)
    if highest:
        return max(8, int(np.max(highest)).bit_length())
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (0,)))
    return max(8, bits) if 0 < bits < 16 and _sample_format(tags) != _SIGNED else None


def as_stored(samples: np.ndarray, tags: Mapping[int, Any]) -> np.ndarray:
    """Gives Pillow's samples of a TIFF the type that they have in the file, where Pillow has no mode of that type."""
    form, bits = _sample_format(tags), max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    if samples.dtype == np.int32 and form == _UNSIGNED:
        return samples.view(np.uint32)
    if samples.dtype == np.int32 and form == _SIGNED and bits == 16:
        return samples.astype(np.int16)
    return samples.view(np.int8) if is_signed_byte(tags) else samples


def is_signed_byte(tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF's tags say that its samples are signed and of 8 bits, which Pillow takes for unsigned ones."""
    return _sample_format(tags) == _SIGNED and max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) == 8


def white_is_zero(tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF's tags say that a sample of 0 is white."""
    return tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO


def _sample_format(tags: Mapping[int, Any]) -> int:
    return max(tags.get(TiffImagePlugin.SAMPLEFORMAT, (_UNSIGNED,)))


def _read_pfm(data: bytes, header: re.Match[bytes]) -> np.ndarray:
    """Reads floats from the lowest row to the highest; their scale, one of light, is passed over, as Pillow's is."""
    width, height = size(data)
    kind = np.dtype("<f4" if header[3] else ">f4")
    if not width * height or len(data) - header.end() < 3 * width * height * kind.itemsize:
        raise UserError(
            f"An image file was expected, found a PFM that says it has {width} x {height} pixels and does not have "
            "them: copy or download it again."
        )
    samples = np.frombuffer(data, kind, 3 * width * height, header.end()).reshape(height, width, 3)[::-1]
    return np.ascontiguousarray(to_eight_bits(samples))


def _is_readable_tiff(tags: Mapping[int, Any]) -> bool:
    is_by_planes = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == _PLANES
    return _WIDTH in tags and _HEIGHT in tags and not is_by_planes


def _opencv(data: bytes) -> np.ndarray | None:
    """Decodes without a word on standard error; None if that fails."""
    logging = cv2.utils.logging
    with _LOG_LEVEL:
        level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None
        finally:
            logging.setLogLevel(level)


def _described(tags: Mapping[int, Any]) -> str:
    depths = tags.get(TiffImagePlugin.BITSPERSAMPLE, ())[:4]  # a damaged file may list thousands
    return f" (a TIFF of {'/'.join(map(str, depths))} bits a sample)" if depths else ""
