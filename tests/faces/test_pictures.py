"""Image files of every kind, each made so that its pixels are known."""

import io
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import sizes
from emotion_gcn_jax.faces.pictures import decode, encode_jpeg, encode_png, expand, read
from tests.faces.files import FULL, GREY, LARGE, RGB, encoded, every_depth, rgb


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


@pytest.mark.parametrize("picture", [encoded(RGB, "PNG"), Image.fromarray(RGB), RGB], ids=["file", "Pillow", "array"])
def test_an_image_of_too_many_pixels_is_refused(picture, monkeypatch):
    monkeypatch.setattr(sizes, "MOST_PIXELS", 34)
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
        ("missing.png", r"No such file or directory\): check its name\."),
        ("emtpy.png", r"No such file or directory\): perhaps .*empty\.png is meant\."),
        ("A.PNG", r"No such file or directory\): perhaps .*a\.png is meant\."),
        ("folder", "a folder: give the files in it"),
        ("empty.png", "an empty one"),
        ("text.png", "a text"),
        ("a\0b.png", "cannot be read"),
        ("long" * 1000, "cannot be read"),
    ],
)
def test_errors_name_the_path_and_stay_short(name, said, tmp_path):
    (tmp_path / "folder").mkdir()
    for other in ("empty.png", "a.png", "A.BNG", "g.PNG"):
        (tmp_path / other).touch()
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
    for folder in ("inside.png", ".hidden"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "deeper.png").touch()
    (tmp_path / "again").symlink_to(tmp_path)  # a link may lead back
    files = [str(tmp_path / name) for name in [*names, "inside.png/deeper.png"]]
    assert expand(["b.png", str(tmp_path), "a.txt"]) == ["b.png", *files, "a.txt"]
    assert expand(iter([f"~/{tmp_path.name}"])) == files
    assert expand([str(tmp_path)], [".mp4"]) == sorted([*files, str(tmp_path / "clip.mp4")])


def test_a_folder_without_pictures_is_told(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        UserError, match=r"A folder of pictures was expected, found none by their names' endings \(\.jpg"
    ) as caught:
        expand([str(tmp_path)])
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize("use", [read, lambda name: expand([name])], ids=["read", "expand"])
def test_an_empty_name_is_not_the_working_folder(use, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match="found an empty one: is a variable not set"):
        use("")


def test_pictures_need_no_jax():
    program = "import sys, emotion_gcn_jax.faces.pictures; assert not {'jax', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
