"""What is no picture is named for what it is."""

import io

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import decode
from tests.faces.files import GREY, encoded, tiff


def box(brand, *compatible):
    """How HEIC files and videos begin: a box "ftyp" with the brand, a version and the compatible brands."""
    contents = b"ftyp" + brand + bytes(4) + b"".join(compatible)
    return (len(contents) + 4).to_bytes(4, "big") + contents + bytes(64)


def saved_array():
    file = io.BytesIO()
    np.save(file, np.zeros((4, 4)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "way_out"),
    [
        (box(b"heic", b"mif1", b"heic"), "HEIC", "pillow-heif"),
        (box(b"mif1", b"mif1", b"heic"), "HEIC", "pillow-heif"),
        (box(b"hevc"), "HEIC", "pillow-heif"),
        (box(b"isom", b"isom", b"iso2", b"avc1", b"mp41"), "video", "ffmpeg"),
        (box(b"qt  "), "video", "ffmpeg"),
        (bytes(4) + b"moov" + bytes(64), "video", "ffmpeg"),
        (b"\x1aE\xdf\xa3" + bytes(9) + b"webm", "video", "ffmpeg"),
        (b"RIFF\x99\0\0\0AVI LIST", "video", "ffmpeg"),
        ((b"G" + bytes(187)) * 3, "video", "ffmpeg"),
        (b"\0\0\x01\xba" + bytes(30), "video", "ffmpeg"),
        (box(b"crx "), "raw", "develop"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(64), "raw", "develop"),
        (tiff(GREY, (50706, 1)), "raw", "develop"),  # DNGVersion
        (tiff(GREY, (254, 1), (330, 8)), "raw", "develop"),  # the preview of a picture in SubIFDs
        (b"%PDF-1.7\n%\xe2\xe3", "PDF", "pdfimages"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n", "PostScript", "export"),  # for Ghostscript to run
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG", "export"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a comment -->\n<svg/>', "SVG", "export"),
        (b"<!DOCTYPE html><title>404</title>", "web page", "download"),
        (b"\n<HTML>", "web page", "download"),
        (b"hello, world", "text", "picture's file"),
        ("größer ".encode() * 500, "text", "picture's file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS", "git lfs pull"),
        (saved_array(), "NumPy array", "numpy.load"),
        (b"PK\x03\x04" + bytes(30), "archive", "unpack"),
        (b"8BPS\0\x01", "Photoshop", "export"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL", "convert"),
        (b"\x01\x02\x03\xfe" * 99, "no image format known here", "convert"),
        (b"GIF89a", "a GIF picture that is cut off or damaged", "again"),
        (encoded(GREY, "JPEG")[:3], "a JPEG picture that is cut off or damaged", "again"),
        (encoded(GREY, "PNG")[:33], "a PNG picture that is cut off or damaged", "again"),
        (encoded(GREY, "WEBP")[:12], "a WebP picture that is cut off or damaged", "again"),
        (encoded(GREY, "AVIF")[:200], "an AVIF picture that is cut off or damaged", "again"),
        (encoded(GREY, "JPEG2000")[:8], "a JPEG 2000 picture that is cut off or damaged", "again"),
        (encoded(GREY, "BMP")[:14], "a BMP picture that is cut off or damaged", "again"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_it_is_and_the_way_out(data, name, way_out):
    with pytest.raises(UserError, match=f"^An image file was expected, found .*{name}.*: .*{way_out}") as caught:
        decode(data)
    assert str(caught.value).endswith(".") and "0x" not in str(caught.value)
