"""Leaves out what lies beside an image file's pixels, so that damage to it does not cost the picture."""

import struct
import zlib
from collections.abc import Iterator

from emotion_gcn_jax.faces import jpeg_ends
from emotion_gcn_jax.faces.sizes import MOST_PIXELS

_PNG = b"\x89PNG\r\n\x1a\n"

# Chunks that pixels need (PNG specification, 3rd edition, section 5.6), and EXIF, which holds their orientation.
_PNG_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PNG_KEPT = (b"tRNS", b"eXIf")

# Samples a pixel by the colour type (section 11.2.1), and the first column and row and their steps of each pass of an
# interlaced picture (section 8.1).
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def is_png(data: bytes) -> bool:
    """Whether a file begins like a PNG file."""
    return data.startswith(_PNG)


def without_metadata(data: bytes) -> bytes:
    """Returns a PNG, JPEG or AVIF file without metadata; a file of another kind is returned as it is.

    Of a PNG, EXIF with a wrong checksum is left out as well, and the wrong checksums of pixels are corrected if others
    show that the pixels are whole; of an AVIF, only EXIF is left out.
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
    kept, place = list[bytes](), len(_PNG)
    for _, name, chunk in _png_chunks(data):
        if name in _PNG_CRITICAL or (name in _PNG_KEPT and _has_right_checksum(chunk)):
            kept.append(chunk)
        place += len(chunk)
    return b"".join([_PNG, *_corrected(kept)]) + data[place:]


def _has_right_checksum(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _corrected(chunks: list[bytes]) -> list[bytes]:
    """The chunks of a PNG with right checksums, where those are all that is wrong; else as they are.

    Pixels have a sum of their own at the end of their stream (Adler-32), and the header says how many there must be.
    """
    streams = [place for place, chunk in enumerate(chunks) if chunk[4:8] == b"IDAT"]
    header = chunks[0] if chunks else b""
    if not streams or header[4:8] != b"IHDR" or len(header) != 25:
        return chunks
    stream = b"".join(chunks[place][8:-4] for place in streams)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # without the two bytes before and the sum behind
    expected = _png_bytes(header)
    try:
        pixels = inflater.decompress(stream[2:], expected + 1)
    except zlib.error:
        return chunks
    if len(pixels) != expected or not inflater.eof or len(inflater.unused_data) != 4:
        return chunks
    adler = zlib.adler32(pixels).to_bytes(4, "big")
    if adler != inflater.unused_data:
        last = chunks[streams[-1]]
        mended = last[:-8] + adler + last[-4:]
        if len(last) < 16 or not _has_right_checksum(mended):
            return chunks  # nothing shows that the pixels are whole
        chunks = [mended if place == streams[-1] else chunk for place, chunk in enumerate(chunks)]
    return [_with_checksum(chunk) if _has_right_contents(chunk) else chunk for chunk in chunks]


def _with_checksum(chunk: bytes) -> bytes:
    return chunk[:-4] + zlib.crc32(chunk[4:-4]).to_bytes(4, "big")


def _has_right_contents(chunk: bytes) -> bool:
    """Whether only the checksum of a chunk can be damaged.

    Pixels have their own sum. A header that had changed would have another checksum in all four bytes, but for one
    time in four million; damage to one byte of the checksum, or none written, looks otherwise.
    """
    if chunk[4:8] in (b"IDAT", b"IEND"):
        return True
    different = sum(a != b for a, b in zip(chunk[-4:], _with_checksum(chunk)[-4:], strict=True))
    return chunk[4:8] == b"IHDR" and (different <= 1 or chunk[-4:] == bytes(4))


def _png_bytes(header: bytes) -> int:
    """How many bytes a PNG's pixels have, with one before each row; -1 for a header that is none."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[8:21])
    if colour not in _PNG_SAMPLES or not 0 < width * height <= MOST_PIXELS or interlaced > 1:
        return -1
    bits = depth * _PNG_SAMPLES[colour]
    passes = _PNG_PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes if width > x and height > y]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes)
