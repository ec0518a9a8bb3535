"""Tells a JPEG file that only lacks its end marker from one whose pixels are cut short.

Decoders fill what is missing with grey and do not say where it begins. But a decoder that has all pixels does not care
what follows, and one that misses some takes whatever follows for pixels. So the file is decoded with two different
endings: the pixels are all there exactly if both give the same picture.
"""

import io
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from emotion_gcn_jax.errors import UserError

# Markers of JPEG (ITU-T T.81, table B.1), each preceded by 0xFF.
_START = b"\xff\xd8"
_END = b"\xff\xd9"
_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APPLICATION = range(0xE0, 0xF0)  # APP0 is JFIF, APP1 is EXIF or XMP, APP14 says how Adobe stored the colours
_COMMENT = 0xFE
_RESTARTS = rb"\xff([\xd0-\xd7])"

_COEFFICIENTS = 64  # of a block of 8 x 8 pixels

# Compressed samples that no encoder wrote: without 0xFF, which would begin a marker, and enough for many blocks.
_NOISE = random.Random(0).randbytes(4096).replace(b"\xff", b"")

# How many zero bytes at the end may be compressed samples: those of flat areas can be, and 0xFF is stored as 0xFF 0x00.
_ZEROS = 8

# What decoders make of blocks that they do not have.
_FILLING = 128


class _Segment(NamedTuple):
    """A marker with its contents; a scan's contents include its compressed samples.

    Attributes:
        marker: the byte after 0xFF.
        contents: what follows the segment's length.
        place: where its 0xFF is in the file.
        end: where what follows it is.
    """

    marker: int
    contents: bytes
    place: int
    end: int


def is_jpeg(data: bytes) -> bool:
    """Whether a file begins like a JPEG file."""
    return data.startswith(_START + b"\xff")


def with_end(data: bytes) -> bytes:
    """Returns a JPEG file with the end marker that it lacks; a file that has one is returned as it is.

    Raises:
        UserError: the marker is missing because pixels are missing.
    """
    if data.endswith(_END) and data.find(_START, len(_START)) < 0:
        return data
    segments = list(_segments(data))
    is_scanned = any(segment.marker == _SCAN for segment in segments)
    if not is_scanned or data[segments[-1].end :].startswith(_END):
        return data  # without any scan there is nothing to mend, and decoders say so
    if not (_has_all_scans(data) and has_all_pixels(data)):
        raise cut_short()
    return _body(data) + _END


def has_all_pixels(data: bytes) -> bool:
    """Whether the last scan that a JPEG file has is whole, whether or not an end marker follows it."""
    body = _body(data)
    restarts = re.findall(_RESTARTS, body)
    # A decoder that waits for a restart marker skips all else, so the noise also follows the marker that is due.
    due = bytes([0xFF, 0xD0 + (restarts[-1][0] + 1) % 8 if restarts else 0xD0])
    return np.array_equal(_pixels(body + _END), _pixels(body + _NOISE + due + _NOISE + _END))


def may_be_filled(image_HxWx3: np.ndarray) -> bool:
    """Whether a corner of a decoded JPEG, uint8 RGB and turned or not, is as grey as decoders fill what is missing."""
    return bool((image_HxWx3[[0, 0, -1, -1], [0, -1, 0, -1]] == _FILLING).all(axis=1).any())


def cut_short() -> UserError:
    """The error for a JPEG file whose pixels are not all there."""
    return UserError(
        "An image file was expected, found a truncated JPEG file, whose lower part is missing: copy or download it "
        "again."
    )


def without_metadata(data: bytes) -> bytes:
    """Returns a JPEG file with what its pixels and their orientation need: no comments, profiles, XMP or previews."""
    kept, end = [_START], len(_START)
    for segment in _segments(data):
        end = segment.place
        if segment.marker == _SCAN:
            break
        if not _is_metadata(segment):
            length = (len(segment.contents) + 2).to_bytes(2, "big")
            kept.append(bytes([0xFF, segment.marker]) + length + segment.contents)
    return b"".join(kept) + data[end:]


def _is_metadata(segment: _Segment) -> bool:
    if segment.marker == 0xE1:
        return not segment.contents.startswith(b"Exif\0\0")
    return segment.marker == _COMMENT or (segment.marker in _APPLICATION and segment.marker not in (0xE0, 0xEE))


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments of a JPEG file up to its end marker, another picture, or where it makes no sense."""
    place = len(_START)
    while found := re.compile(rb"\xff+([^\x00\xff])").match(data, place):
        marker, start = found[1][0], found.end()
        length = int.from_bytes(data[start : start + 2], "big")
        end = start + length
        if marker in (_START[1], _END[1]) or length < 2 or end > len(data):
            return
        if marker == _SCAN:
            following = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]").search(data, end)
            end = following.start() if following else len(data)
        yield _Segment(marker, data[start + 2 : end], place, end)
        place = end


def _has_all_scans(data: bytes) -> bool:
    """Whether the scans bring every coefficient of every component to its last bit, as progressive ones do in steps."""
    missing: dict[int, set[int]] = {}
    for marker, contents, _, _ in _segments(data):
        if marker in _FRAMES:
            components = contents[6 : 6 + 3 * contents[5] : 3]
            missing = {component: set(range(_COEFFICIENTS)) for component in components}
        elif marker == _SCAN:
            count = contents[0]
            first, last, bits = contents[1 + 2 * count : 4 + 2 * count]
            if bits & 15 == 0:  # how many low bits are left to later scans
                for component in contents[1 : 1 + 2 * count : 2]:
                    missing.get(component, set()).difference_update(range(first, last + 1))
    return not any(missing.values())


def _body(data: bytes) -> bytes:
    """The file up to its end marker, or to what stands in its place.

    That is another picture, the half of a marker, or the zeros that fill files whose download broke off.
    """
    *_, last = _segments(data)
    if data[last.end : last.end + 2] in (_END, _START):
        return data[: last.end]
    data = data.rstrip(b"\xff")
    return data[: len(data.rstrip(b"\0")) + _ZEROS]


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
        return np.asarray(picture)
