"""Image files of every kind, each made so that its pixels are known."""

import io
import pathlib
import re
import struct
import subprocess
import sys
import types
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import sizes
from emotion_gcn_jax.faces.pictures import decode, encode_jpeg, encode_png, expand, read

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
GREY = RGB[..., 0]
LARGE = np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8)


def encoded(picture, image_format, **options):
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, image_format, **options)
    return file.getvalue()


def rgb(grey):
    return np.repeat(grey[..., None], 3, axis=2)


def with_alpha(image):
    return np.dstack([image, np.arange(35, dtype=np.uint8).reshape(5, 7)])


PALETTE = Image.fromarray(GREY % 4).convert("P")
PALETTE.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 255, 0, 128])
COLOURS = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [255, 0, 128]], np.uint8)[GREY % 4]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(RGB, "PNG"), RGB),
        (encoded(RGB, "BMP"), RGB),
        (encoded(RGB, "TIFF"), RGB),
        (encoded(RGB, "WEBP", lossless=True), RGB),
        (encoded(GREY, "PNG"), rgb(GREY)),
        (encoded(GREY > 127, "PNG"), rgb(np.uint8(255) * (GREY > 127))),
        (encoded(np.dstack([GREY, GREY // 2]), "PNG"), rgb(GREY)),
        (encoded(with_alpha(RGB), "PNG"), RGB),
        (encoded(PALETTE, "PNG"), COLOURS),
        (encoded(PALETTE, "PNG", transparency=2), COLOURS),
        (encoded(PALETTE, "PNG", transparency=bytes([0, 9, 255, 3])), COLOURS),
        (encoded(PALETTE, "GIF", transparency=1), COLOURS),
        (encoded(GREY.astype(np.uint16) * 256 + 99, "PNG"), rgb(GREY)),
        (encoded(GREY.astype(np.uint16) * 256 + 99, "TIFF"), rgb(GREY)),
        (encoded(RGB[:1, :1], "PNG"), RGB[:1, :1]),
    ],
)
def test_what_is_stored_without_loss_is_read_so(data, expected):
    image = decode(data)
    assert image.dtype == np.uint8 and image.flags.writeable
    np.testing.assert_array_equal(image, expected)


def test_cmyk_is_read_as_colours():
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # cyan ink only
    np.testing.assert_allclose(decode(encoded(image, "JPEG", quality=95)), np.full((16, 16, 3), (0, 255, 255)), atol=6)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, RGB),
        (3, RGB[::-1, ::-1]),
        (6, np.rot90(RGB, -1)),
        (8, np.rot90(RGB)),
        (2, RGB[:, ::-1]),
        (5, RGB.swapaxes(0, 1)),
    ],
)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation, upright, image_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encoded(RGB, image_format, exif=exif)), upright)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty one"),
        (encoded(LARGE, "PNG")[:3000], "cannot be decoded"),
        (encoded(LARGE, "TIFF")[:3000], "cannot be decoded"),
        (encoded(LARGE, "JPEG")[:3000], "truncated"),
    ],
)
def test_what_is_no_whole_image_gets_a_sentence(data, said):
    with pytest.raises(UserError, match=f"^An image file was expected, found .*({said}).*again") as caught:
        decode(data)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize(
    "image_format", ["JPEG", "JPEG2000", "PNG", "BMP", "TIFF", "WEBP", "AVIF", "GIF", "PPM", "TGA"]
)
def test_every_format_is_read_and_damage_to_it_told(image_format):
    whole = encoded(RGB, image_format)
    assert decode(whole).shape == RGB.shape
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] = rng.integers(256)
        try:
            decode(bytes(damaged))
        except UserError as error:
            assert str(error).startswith(("An image file was expected", "The image is larger"))


def test_an_image_of_too_many_pixels_is_refused(monkeypatch):
    monkeypatch.setattr(sizes, "MOST_PIXELS", 34)
    for picture in (encoded(RGB, "PNG"), Image.fromarray(RGB), RGB):
        with pytest.raises(UserError, match=r"larger than an image may be .* found 7 x 5 pixels"):
            read(picture)


def test_a_telephones_largest_photograph_is_none_too_many():
    sizes.check_size(16320, 12240)


def test_our_limit_holds_and_not_pillows(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(decode(encoded(RGB, "PNG")), RGB)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_encoders():
    np.testing.assert_array_equal(decode(encode_png(RGB)), RGB)
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    assert np.abs(decode(encode_jpeg(smooth)).astype(int) - smooth).max() < 6
    with Image.open(io.BytesIO(encode_jpeg(smooth))) as picture:
        assert picture.layer == [(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 1)]  # all three at full resolution


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


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT"])
def test_damage_to_a_pngs_pixels_does(name):
    png = bytearray(encoded(LARGE, "PNG"))
    png[png.index(name) + 9] ^= 255
    with pytest.raises(UserError):
        decode(bytes(png))


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "AVIF", "PNG"])
@pytest.mark.parametrize("place", range(0, 45, 3))
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
    "0 to 1": (FULL / 255).astype(np.float32),
    "0 to 255": FULL.astype(np.float32),
    "double": FULL / 255,
}
every_depth = pytest.mark.parametrize("samples", DEEP.values(), ids=DEEP)


@every_depth
@pytest.mark.parametrize("order", "<>")
def test_a_tiff_of_any_depth_is_as_bright_as_with_8_bits(samples, order):
    np.testing.assert_array_equal(decode(tiff(samples, order=order)), FULL)
    np.testing.assert_array_equal(decode(tiff(samples[..., 0], order=order)), rgb(FULL[..., 0]))


@every_depth
@pytest.mark.parametrize("order", "<>")
def test_a_tiff_whose_white_is_zero_is_inverted(samples, order):
    np.testing.assert_array_equal(decode(tiff(samples[..., 0], (262, 0), order=order)), rgb(255 - FULL[..., 0]))


@pytest.mark.parametrize(("highest", "shift"), [(255, 0), (1023, 2), (4095, 4), (3900, 4), (16383, 6), (65535, 8)])
def test_a_tiffs_declared_depth_is_believed(highest, shift):
    dark = np.minimum(FULL, 60)[..., 0]
    samples = (dark.astype(np.uint16) << shift) + (shift > 0)
    np.testing.assert_array_equal(decode(tiff(samples, (281, highest))), rgb(dark))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["8 bits", "12 in 16", "0 to 1"])
def test_a_deep_tiff_is_turned_as_a_plain_one(orientation, kind):
    plain = Image.fromarray(DEEP["8 bits"])
    tags = Image.Exif()
    tags[0x0112] = orientation
    expected = decode(encoded(plain, "PNG", exif=tags))
    np.testing.assert_array_equal(decode(tiff(DEEP[kind], (274, orientation))), expected)


@pytest.mark.parametrize("kind", ["12 in 16", "0 to 1", "double"])
def test_a_deep_tiff_that_is_cut_short_is_refused(kind, capfd):
    whole = tiff(DEEP[kind])
    with pytest.raises(UserError, match="found one that cannot be decoded"):
        decode(whole[: len(whole) // 2])
    assert capfd.readouterr() == ("", "")


def test_a_tiff_stored_by_planes_of_deep_samples_is_refused_rather_than_garbled():
    with pytest.raises(UserError, match=r"of a kind that is not read \(a TIFF of 16/16/16 bits .* convert it"):
        decode(tiff(DEEP["12 in 16"], (284, 2)))


@pytest.mark.parametrize("kind", ["8 bits", "8 in 16", "10 in 16", "12 in 16", "14 in 16", "16 bits"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_of_any_depth_is_as_bright_as_with_8_bits(kind, channels):
    samples = np.dstack([DEEP[kind], DEEP[kind]])[..., :channels]
    png = cv2.imencode(".png", samples[..., [2, 1, 0, 3][:channels]] if channels > 1 else samples)[1].tobytes()
    np.testing.assert_array_equal(decode(png), FULL if channels > 1 else rgb(FULL[..., 0]))


@pytest.mark.parametrize("maximum", [255, 1023, 4095, 65535])
@pytest.mark.parametrize("brightest", [60, 255])
def test_a_pgm_says_its_depth_itself(maximum, brightest):
    grey = np.minimum(FULL[..., 0], brightest)
    samples = np.rint(grey * (maximum / 255)).astype(np.uint8 if maximum < 256 else ">u2")
    data = b"P5 16 16 %d\n" % maximum + samples.tobytes()
    np.testing.assert_allclose(decode(data).astype(int), rgb(grey), atol=1)


@every_depth
@pytest.mark.parametrize("channels", ["grey", "one", "RGB", "RGBA"])
def test_arrays_of_any_depth_and_shape_are_read(samples, channels):
    given = {
        "grey": samples[..., 0],
        "one": samples[..., :1],
        "RGB": samples,
        "RGBA": np.dstack([samples, np.zeros((16, 16), samples.dtype)]),
    }[channels]
    expected = rgb(FULL[..., 0]) if channels in ("grey", "one") else FULL
    found = read(given)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


class Foreign:
    """An array of another library's."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


@pytest.mark.parametrize(
    "picture",
    [
        encoded(RGB, "PNG"),
        bytearray(encoded(RGB, "PNG")),
        memoryview(encoded(RGB, "PNG")),
        Image.fromarray(RGB),
        Image.fromarray(with_alpha(RGB)),
        RGB,
        with_alpha(RGB),
        RGB.tolist(),
        Foreign(RGB),
        np.asfortranarray(RGB),
        RGB[::-1][::-1],
    ],
    ids=lambda picture: type(picture).__name__,
)
def test_every_kind_of_object_is_read(picture):
    np.testing.assert_array_equal(read(picture), RGB)


@pytest.mark.parametrize("kind", [str, pathlib.Path])
@pytest.mark.parametrize("home", [False, True])
def test_paths_and_file_objects_are_read(kind, home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "face.png").write_bytes(encoded(RGB, "PNG"))
    np.testing.assert_array_equal(read(kind("~/face.png" if home else tmp_path / "face.png")), RGB)
    with (tmp_path / "face.png").open("rb") as file:
        np.testing.assert_array_equal(read(file), RGB)


MODES = ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "LA", "PA", "RGBX", "RGBa", "I", "F", "I;16"]


@pytest.mark.parametrize("mode", [*MODES, "I;16B", "La"])
def test_pillow_images_of_every_mode_are_read(mode):
    # White and black: a colour that every mode can hold.
    halves = np.repeat([[0] * 4 + [255] * 4], 6, axis=0).astype(np.uint8)
    white = Image.fromarray(halves)
    if mode == "LAB":
        picture = Image.merge("LAB", [white, Image.new("L", (8, 6), 128), Image.new("L", (8, 6), 128)])
    elif mode in ("La", "RGBa", "PA"):
        picture = white.convert({"La": "LA", "RGBa": "RGBA", "PA": "P"}[mode]).convert(mode)
    else:
        picture = white.convert("RGB" if mode in ("HSV", "YCbCr", "CMYK") else "L").convert(mode)
    assert picture.mode == mode
    np.testing.assert_allclose(read(picture), rgb(halves), atol=2)


@pytest.mark.parametrize("mode", ["F", "I"])
@pytest.mark.parametrize("scale", [1, 1 / 255])
def test_pillow_images_of_numbers_are_not_black(mode, scale):
    if (mode, scale) == ("I", 1 / 255):
        scale = 257
    samples = (FULL[..., 0] * scale).astype(np.float32 if mode == "F" else np.int32)
    np.testing.assert_array_equal(read(Image.fromarray(samples)), rgb(FULL[..., 0]))


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((3, 9, 8), np.uint8), r"uint8 \[3, 9, 8\].*moveaxis"),
        (np.zeros((1, 9, 8, 3), np.uint8), "one picture at a time"),
        (np.zeros((9, 8, 2), np.uint8), r"\[9, 8, 2\]"),
        (np.zeros(9, np.uint8), r"\[9\]"),
        (np.zeros((0, 8, 3), np.uint8), r"\[0, 8, 3\]"),
        (np.zeros((9, 8, 3), complex), "complex128"),
        (np.full((9, 8), "a"), "<U1"),
        (None, "NoneType of object"),
        (7, "int of int64"),
        ([[1], [1, 2]], "list cannot be read"),
        (np.full((9, 8, 3), np.nan), "finite"),
        (np.linspace(-1, 1, 72).reshape(9, 8), "negative"),
        (io.StringIO("text"), "mode 'rb'"),
        (io.BytesIO(), r"seek\(0\)"),
        (types.SimpleNamespace(read=lambda: 1), "mode 'rb'"),
        (io.BytesIO(b"%PDF-1.4"), "PDF"),
        (b"%PDF-1.4", "PDF"),
    ],
)
def test_objects_that_are_no_picture_get_a_sentence(picture, said):
    with pytest.raises(UserError, match=said):
        read(picture)


def test_a_damaged_file_behind_a_pillow_image_gets_a_sentence():
    picture = Image.open(io.BytesIO(encoded(LARGE, "PNG")[:3000]))
    with pytest.raises(UserError, match=r"mode RGB and size \(90, 90\) that cannot be decoded"):
        read(picture)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.png", "No such file"),
        ("folder", "a folder: give the files in it"),
        ("empty.png", "an empty one"),
        ("text.png", "a text"),
        ("a\0b.png", "cannot be read"),
        ("long" * 1000, "cannot be read"),
    ],
)
def test_errors_name_the_path_and_stay_short(name, said, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path / name)
    assert len(str(caught.value)) < 2000 and name[-200:] in str(caught.value)


SUFFIXES = ["jpg", "JPEG", "png", "tif", "tiff", "webp", "avif", "gif", "bmp", "ppm", "pgm", "tga", "jp2", "heic"]


def test_a_folder_stands_for_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    names = sorted(f"{number}.{suffix}" for number, suffix in enumerate(SUFFIXES))
    for name in [*names, "notes.txt", ".hidden.png", "clip.mp4", "suffix_png"]:
        (tmp_path / name).touch()
    (tmp_path / "inside.png").mkdir()
    (tmp_path / "inside.png" / "deeper.png").touch()
    files = [str(tmp_path / name) for name in names]
    assert expand(["b.png", str(tmp_path), "a.txt"]) == ["b.png", *files, "a.txt"]
    assert expand(iter([f"~/{tmp_path.name}"])) == files


def test_a_folder_without_pictures_is_told(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"found none whose name ends in .*\.jpg") as caught:
        expand([str(tmp_path)])
    assert str(caught.value).startswith(str(tmp_path))


def test_pictures_need_no_jax():
    program = "import sys, emotion_gcn_jax.faces.pictures; assert not {'jax', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
