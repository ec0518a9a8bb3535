"""Pictures whose pixels are known, as files and as samples of every depth."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
GREY = RGB[..., 0]
LARGE = np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8)


def encoded(picture, image_format, **options):
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, image_format, **options)
    return file.getvalue()


def rgb(grey):
    return np.repeat(grey[..., None], 3, axis=2)


def tiff(samples, *tags, order="<"):
    """An uncompressed TIFF of one strip: samples [H, W] or [H, W, C]; tags are (number, value) of 16 bits."""
    samples = np.atleast_3d(samples).astype(samples.dtype.newbyteorder(order))
    height, width, channels = samples.shape
    sample_format = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    fields = {
        256: width,
        257: height,
        258: 8 * samples.dtype.itemsize,
        259: 1,
        262: 2 if channels > 1 else 1,
        277: channels,
        278: height,
        339: sample_format,
        **dict(tags),
    }
    repeated = {258: channels, 339: channels}
    pixels_at = 8 + 2 + 12 * (len(fields) + 2) + 4
    lists_at = pixels_at + samples.nbytes
    entries, lists = {273: (4, 1, pixels_at), 279: (4, 1, samples.nbytes)}, b""
    for tag, value in fields.items():
        count = repeated.get(tag, 1)
        if count > 2:
            entries[tag] = (3, count, lists_at + len(lists))
            lists += struct.pack(f"{order}{count}H", *[value] * count)
        else:
            entries[tag] = (3, count, value)
    directory = struct.pack(f"{order}H", len(entries))
    for tag, (kind, count, value) in sorted(entries.items()):
        packed = struct.pack(f"{order}HH", value, 0) if kind == 3 and count == 1 else struct.pack(f"{order}I", value)
        directory += struct.pack(f"{order}HHI", tag, kind, count) + packed
    magic = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    return magic + directory + bytes(4) + samples.tobytes() + lists


# All of 8 bits, so that the depth can be told; what a file of any depth must show.
FULL = np.dstack([np.arange(256).reshape(16, 16), np.arange(256)[::-1].reshape(16, 16), np.full((16, 16), 128)])
DEEP = {
    "8 bits": FULL.astype(np.uint8),
    "8 in 16": FULL.astype(np.uint16),
    "10 in 16": FULL.astype(np.uint16) << 2,
    "12 in 16": FULL.astype(np.uint16) << 4,
    "14 in 16": FULL.astype(np.uint16) << 6,
    "16 bits": FULL.astype(np.uint16) * 257,
    "12 in 32": FULL.astype(np.uint32) << 4,
    "signed": FULL.astype(np.int32),
    "8 in signed 16": FULL.astype(np.int16),
    "12 in signed 16": FULL.astype(np.int16) << 4,
    "signed 16": FULL.astype(np.int16) << 7,
    "0 to 1": (FULL / 255).astype(np.float32),
    "0 to 255": FULL.astype(np.float32),
    "double": FULL / 255,
}
every_depth = pytest.mark.parametrize("samples", DEEP.values(), ids=DEEP)
