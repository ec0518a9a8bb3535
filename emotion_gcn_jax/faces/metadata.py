"""Leaves out what lies beside an image file's pixels, so that damage to it does not cost the picture."""

import struct
import zlib
from collections.abc import Iterator

from emotion_gcn_jax.faces import jpeg_ends

_PNG = b"\x89PNG\r\n\x1a\n"

# Chunks that pixels need (PNG specification, 3rd edition, section 5.6), and EXIF, which holds their orientation.
_PNG_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PNG_KEPT = (b"tRNS", b"eXIf")


def is_png(data: bytes) -> bool:
    """Whether a file begins like a PNG file."""
    return data.startswith(_PNG)


def without_metadata(data: bytes) -> bytes:
    """Returns a PNG, JPEG or AVIF file without metadata; a file of another kind is returned as it is.

    Of a PNG, EXIF with a wrong checksum is left out as well; of an AVIF, only EXIF is.
    """
    if is_png(data):
        return _png_pixels(data)
    if jpeg_ends.is_jpeg(data):
        return jpeg_ends.without_metadata(data)
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return data.replace(b"Exif", b"none", 1)  # its table of contents, which comes first, calls EXIF so
    return data


def has_whole_chunks(data: bytes) -> bool:
    """Whether no chunk of a PNG file claims more bytes than the file has."""
    return all(len(chunk) == length for length, _, chunk in _png_chunks(data))


def _png_chunks(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """How many bytes each chunk says it has, its name, and the bytes that are there; up to the end of the picture."""
    place, name = len(_PNG), b""
    while place + 12 <= len(data) and name != b"IEND":  # length, name and checksum, of 4 bytes each
        length, name = struct.unpack_from(">I4s", data, place)
        yield 12 + length, name, data[place : place + 12 + length]
        place += 12 + length


def _png_pixels(data: bytes) -> bytes:
    kept, place = [_PNG], len(_PNG)
    for _, name, chunk in _png_chunks(data):
        if name in _PNG_CRITICAL or (
            name in _PNG_KEPT and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        ):
            kept.append(chunk)
        place += len(chunk)
    return b"".join(kept) + data[place:]
