"""Says what a file is that is no picture we read, and what to do with it instead."""

import re
from typing import NamedTuple

# How much of a file is looked at: the lists of brands that begin HEIC files and videos, and a text's first lines.
_BEGINNING = 1024

_FRAMES = (
    "give emotion-gcn predict a name that ends as a video's, such as .mp4; elsewhere take its frames out, for example "
    "with ffmpeg -i VIDEO frame_%05d.png"
)
_CONVERT = "convert it to PNG or JPEG"
_EXPORT = "export it as PNG or JPEG"
_AGAIN = "copy or download it again"
_DEVELOP = "develop it to TIFF, PNG or JPEG with the camera's or a photo program"


class _Kind(NamedTuple):
    """A kind of file: how it begins, what it is called and what a user can do with it."""

    beginning: bytes
    name: str
    way_out: str


# The brand after "ftyp" tells HEIC and camera raw from videos; a HEIC file may list it among the compatible ones only.
# Beginnings are from the formats' public descriptions and https://en.wikipedia.org/wiki/List_of_file_signatures.
_KINDS = (
    _Kind(
        rb".{4}ftyp.{0,64}?(hei[cxms]|hev[cxms])|.{4}ftyp(mif1|msf1)",
        "a HEIC picture",
        "convert it to JPEG, or open it with the package pillow-heif and give its array",
    ),
    _Kind(
        rb".{4}ftypcrx |FUJIFILMCCD-RAW|IIU\0|IIRO|MMOR|\0MRM",
        "a camera's raw picture",
        _DEVELOP,
    ),
    _Kind(rb".{4}(ftyp(?!avi[fs])|moov|mdat)|\0.{3}(wide|free|skip)", "a video (MP4, MOV or a relative)", _FRAMES),
    _Kind(rb"\x1aE\xdf\xa3", "a video (MKV or WebM)", _FRAMES),
    _Kind(rb"RIFF.{4}AVI ", "a video (AVI)", _FRAMES),
    _Kind(rb"\0\0\x01[\xba\xb3]|G.{187}G.{187}G|.{4}G.{191}G.{191}G", "a video (MPEG)", _FRAMES),
    _Kind(rb"FLV\x01|0&\xb2u\x8ef\xcf\x11|OggS", "a video (FLV, WMV or Ogg)", _FRAMES),
    _Kind(rb"\0\0\0\x0cJXL |\xff\x0a", "a JPEG XL picture", _CONVERT),
    _Kind(rb"8BPS", "a Photoshop document", _EXPORT),
    _Kind(
        rb"v/1\x01|#\?(RADIANCE|RGBE)", "a high dynamic range picture (OpenEXR or Radiance)", "tone-map it to 8 bits"
    ),
    _Kind(rb"\0\0[\x01\x02]\0", "an icon", _EXPORT),
    _Kind(rb".{128}DICM", "a DICOM file", _EXPORT),
    _Kind(rb"%PDF", "a PDF document", "export its pictures, for example with pdfimages -png"),
    _Kind(rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document", _EXPORT),
    _Kind(rb"\x93NUMPY", "a NumPy array", "load it with numpy.load and give the array to the Python function"),
    _Kind(
        rb"PK\x03\x04|\x1f\x8b|BZh|7z\xbc\xaf|Rar!|\xfd7zXZ|.{257}ustar",
        "an archive",
        "unpack it and give its pictures",
    ),
    _Kind(rb"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself with git lfs pull"),
    _Kind(rb"(\xef\xbb\xbf)?\s*(<[?!][^\0]*)?<svg", "an SVG drawing", _EXPORT),
    _Kind(
        rb"(?i)(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head)",
        "a web page",
        "download the picture itself, not its page",
    ),
    # Those we read are told here only when they cannot be opened.
    *(
        _Kind(start, f"{name} picture that is cut off or damaged", _AGAIN)
        for start, name in (
            (rb"\xff\xd8", "a JPEG"),
            (rb"\x89PNG", "a PNG"),
            (rb"GIF8", "a GIF"),
            (rb"RIFF.{4}WEBP", "a WebP"),
            (rb".{4}ftypavi[fs]", "an AVIF"),
            (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000"),
            (rb"BM.{4}\0{4}", "a BMP"),
        )
    ),
    _Kind(rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "a kind of TIFF that is not read", "convert it to 8 bits a sample"),
)


def unread_kind(data: bytes) -> tuple[str, str] | None:
    """Names a file that is no picture we read.

    Args:
        data: the file's bytes; its beginning is enough.

    Returns:
        What it is, with its article ("a video (AVI)"), and what a user can do, as a command without a full stop. None
        if the kind is not known.
    """
    beginning = data[:_BEGINNING]
    for kind in _KINDS:
        if re.match(kind.beginning, beginning, re.DOTALL):
            return kind.name, kind.way_out
    if _is_text(beginning):
        return "a text, which is in no image format known here", "give the picture's file"
    return None


def raw_picture() -> tuple[str, str]:
    """What `unread_kind` says of a camera's raw picture, whose file may look like another's."""
    return "a camera's raw picture", _DEVELOP


def _is_text(beginning: bytes) -> bool:
    """Whether bytes are UTF-8 (of which the last character may be cut) without control characters."""
    try:
        text = beginning.decode()
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 3:
            return False
        text = beginning[: error.start].decode()
    return all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)
