"""Damage beside the pixels of a file costs nothing, damage to them does."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import decode
from tests.faces.files import LARGE, RGB, encoded


def chunk(name, contents):
    """A chunk of a PNG file."""
    return struct.pack(">I", len(contents)) + name + contents + struct.pack(">I", zlib.crc32(name + contents))


def with_chunk(added, *, before=b"IDAT", picture=RGB):
    """A PNG file with a chunk added."""
    png = encoded(picture, "PNG")
    place = png.index(before) - 4
    return png[:place] + added + png[place:]


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010E] = "described"
    return tags.tobytes()


BAD_TEXT = zlib.compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK + 1))
BAD_CHUNKS = {
    "a checksum": chunk(b"tEXt", b"Title\0a")[:-4] + b"oops",
    "much text": chunk(b"zTXt", b"Comment\0\0" + BAD_TEXT),
    "much international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + BAD_TEXT),
    "a colour profile": chunk(b"iCCP", b"profile\0\0" + BAD_TEXT),
    "a profile of no known compression": chunk(b"iCCP", b"profile\0\x09"),
    "EXIF": chunk(b"eXIf", b"no EXIF"),
    "EXIF's checksum": chunk(b"eXIf", exif(1)[6:])[:-4] + b"oops",
    "EXIF as text": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 4\nno hexadecimals")),
    "resolution": chunk(b"pHYs", b"\0"),
    "animation": chunk(b"acTL", b"\0"),
}


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("bad", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
@pytest.mark.parametrize("picture", [RGB, RGB.astype(np.uint16) << 8], ids=["8", "16"])
def test_damage_beside_a_pngs_pixels_does_not_cost_the_picture(bad, before, picture):
    png = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    place = png.index(before) - 4
    np.testing.assert_array_equal(decode(png[:place] + bad + png[place:]), RGB)


def test_damage_leaves_a_pngs_orientation():
    turned = with_chunk(chunk(b"eXIf", exif(6)[6:]) + BAD_CHUNKS["much text"])
    np.testing.assert_array_equal(decode(turned), np.rot90(RGB, -1))


CHECKSUMS = {"the header's": lambda png: png.index(b"IHDR") + 4 + 13, "the pixels' chunk's": lambda png: -13}
CHECKSUMS |= {"the pixels' own": lambda png: -17, "the end's": lambda png: -1}


def adam7(png):
    """The same picture, interlaced (PNG specification, section 8): seven smaller pictures, one after the other."""
    with Image.open(io.BytesIO(png)) as picture:
        kind, pixels = picture.mode, np.asarray(picture)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = []
    for x, y, dx, dy in passes:
        for row in pixels[y::dy, x::dx]:
            rows.append(b"\0" + (np.packbits(row) if kind == "1" else row).tobytes())
    start, end = png.index(b"IDAT") - 4, png.index(b"IEND") - 4
    header = png[16:28] + b"\1"
    before = png[8 + 25 : start]  # a palette
    return png[:8] + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(b"".join(rows))) + png[end:]


def test_a_picture_that_is_interlaced_by_hand_is_read():
    np.testing.assert_array_equal(decode(adam7(encoded(LARGE, "PNG"))), LARGE)


@pytest.mark.parametrize(("place", "value"), [(25, 0), (24, 4), (19, 48)], ids=["colours", "depth", "width"])
def test_a_header_that_has_changed_is_not_believed(place, value):
    """Of 96 x 8 numbers of a palette: greys instead, of 4 bits, or of half as many a row."""
    palette = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 96), np.uint8)).convert("P")
    png = bytearray(encoded(palette, "PNG"))
    png[place] = value
    with pytest.raises(UserError):
        decode(bytes(png))


@pytest.mark.parametrize("place_in", CHECKSUMS.values(), ids=CHECKSUMS)
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("kind", ["RGB", "L", "1", "P", "RGBA", "I;16"])
def test_a_wrong_checksum_does_not_cost_a_pngs_pixels(place_in, interlaced, kind):
    if kind == "I;16":
        picture = cv2.imencode(".png", LARGE.astype(np.uint16) * 257)[1].tobytes()
    else:
        picture = encoded(Image.fromarray(LARGE).convert(kind), "PNG")
        picture = adam7(picture) if interlaced else picture
        assert picture[28] == interlaced
    png = bytearray(picture)
    png[place_in(picture)] ^= 255
    np.testing.assert_array_equal(decode(bytes(png)), decode(picture))


def test_a_wrong_sum_in_a_chunk_with_a_wrong_checksum_does():
    """Nothing shows then that it is the sum that is damaged and not the pixels."""
    png = bytearray(encoded(LARGE, "PNG"))
    png[-17] ^= 255
    png[-13] ^= 255
    with pytest.raises(UserError):
        decode(bytes(png))


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT"])
def test_damage_to_a_pngs_pixels_does(name):
    png = bytearray(encoded(LARGE, "PNG"))
    png[png.index(name) + 9] ^= 255
    with pytest.raises(UserError):
        decode(bytes(png))


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "AVIF", "PNG"])
@pytest.mark.parametrize("place", range(0, 36, 3))
@pytest.mark.parametrize("value", [0, 3, 255])
def test_damaged_exif_does_not_cost_the_picture(image_format, place, value):
    whole = encoded(LARGE, image_format, exif=exif(1))
    damaged = bytearray(whole)
    damaged[re.search(rb"II\*\0|MM\0\*", whole).start() + place] = value
    # A damaged orientation may be another one, which leaves the pixels' sum.
    assert decode(bytes(damaged)).sum() == decode(whole).sum()


@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xFE])
@pytest.mark.parametrize("contents", [b"MPF\0II*\0\xff\xff\xff\xff", b"ICC_PROFILE\0", b"Photoshop 3.0\0008BIM", b"\0"])
def test_damaged_segments_of_a_jpeg_do_not_cost_the_picture(marker, contents):
    whole = encoded(LARGE, "JPEG", exif=exif(6))
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(contents) + 2) + contents
    np.testing.assert_array_equal(decode(whole[:2] + segment + whole[2:]), decode(whole))
