"""Videos of every sort, written by PyAV; OpenCV says how a turned one is meant to be seen."""

import io
import pathlib
import re
import struct
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.inference import video
from tests.sound import films

TIMES = [0.0, 0.04, 0.2, 0.23, 0.5, 0.51, 0.9, 1.0, 1.04, 1.2]


def picture(number):
    """The left upper corner says which it is."""
    image = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
    image[:24, :32] = 20 * number
    return image


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("films") / "a: film.mp4"
    writer = video.Writer(path)
    for number, seconds in enumerate(TIMES):
        writer.write(picture(number), 3 + seconds)
    writer.close()
    return path


def copied(source, target, rotation=None, **options):
    """The same packets in another container, or with other metadata."""
    with av.open(f"file:{source}") as old, av.open(str(target), "w", options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


def failure(frames):
    number, time, read = list(frames)[-1]
    assert number is None and time is None
    with pytest.raises(UserError) as caught:
        read()
    return str(caught.value)


def test_frames_have_the_times_of_the_container(film):
    frames = list(video.read("film", str(film)))
    assert [number for number, *_ in frames] == list(range(10))
    assert [time for _, time, _ in frames] == pytest.approx(TIMES, abs=1e-4)
    for number, _, read in frames:
        image = read()
        assert image.dtype == np.uint8 and image.shape == (48, 64, 3)
        assert abs(image[4:20, 4:28].mean() - 20 * number) < 6
    assert video.frame_count(str(film)) == 10
    assert [path.name for path in film.parent.iterdir()] == [film.name]  # nothing half-written is left


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_turned_video_is_seen_upright(film, tmp_path, rotation):
    turned = copied(film, tmp_path / "turned.mp4", rotation)
    _, _, read = list(video.read("turned", str(turned)))[9]
    capture = cv2.VideoCapture(str(turned))
    images = [capture.read()[1][..., ::-1] for _ in TIMES]
    assert read().shape == images[9].shape
    assert np.abs(read().astype(int) - images[9]).mean() < 6  # they make RGB of YUV each in its own way


# QuickTime's matrix (a, b, c, d) shows the pixel (x, y) at (a x + c y, b x + d y).
@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda image: np.rot90(image, 2).swapaxes(0, 1)),
        ((0, 0, 0, 0), lambda image: image),
    ],
)
def test_a_video_is_turned_and_mirrored_as_its_matrix_says(film, tmp_path, matrix, shown):
    data = bytearray(film.read_bytes())
    start = data.find(b"tkhd") + 44
    a, b, c, d = (65536 * number for number in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(data)
    (_, _, plain), (_, _, read) = (list(video.read("a", str(path)))[9] for path in (film, tmp_path / "a.mp4"))
    np.testing.assert_array_equal(read(), shown(plain()))


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        (Fraction(16, 11), (48, 93)),  # PAL's 16:9: 64 * 16 / 11 = 93.1
        (Fraction(8, 9), (54, 64)),  # NTSC's 4:3: 48 * 9 / 8 = 54
        (Fraction(1), (48, 64)),
        (Fraction(5), (48, 64)),
        (Fraction(1, 5), (48, 64)),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pixels_that_are_not_square_are_stretched(tmp_path, ratio, size, suffix):
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(9), format="rgb24")))
        container.mux(stream.encode())
    _, _, read = next(video.read("a", str(path)))
    expected = cv2.resize(picture(9), size[::-1])
    height, width = size
    corner = (slice(4, height // 2 - 4), slice(4, width // 2 - 4))  # which is of one grey
    assert read().shape == expected.shape and np.abs(read()[corner].astype(int) - expected[corner]).mean() < 6


@pytest.mark.parametrize(("name", "options"), [("a.mp4", {"movflags": "faststart"}), ("a.mkv", {})])
def test_a_video_that_was_cut_off_gives_what_it_has(film, tmp_path, name, options):
    data = copied(film, tmp_path / name, **options).read_bytes()
    (tmp_path / name).write_bytes(data[: int(0.6 * len(data))])
    frames = list(video.read("cut", str(tmp_path / name)))
    assert 2 < len(frames) < 11 and re.search(r"the seconds 0\.0 to (0|1)\.\d of 1\.\d", failure(frames))
    assert all(read().shape == (48, 64, 3) for _, _, read in frames[:-1])


def test_where_the_beginning_is_missing_it_is_said(tmp_path):
    """Of 30 frames the first seven are lost, and three cannot be decoded without the whole picture before them."""
    pictures = {"frames": np.arange(30) / 10, "picture_codec": "libx264", "options": {"g": "10"}}
    whole = films.write(tmp_path / "whole.mkv", films.tone(3), codec="flac", **pictures)
    said = failure(video.read("cut", str(films.cut(whole, tmp_path / "cut.mkv", packets=7))))
    assert said.startswith("cut: The video shows the seconds 1.0 to 2.9 of 3.0,") and "(20 frames)" in said


def test_one_piece_that_is_damaged_is_one(tmp_path):
    """Of whole pictures, of which all but one stay."""
    path = films.write(tmp_path / "a.mkv", frames=np.arange(10) / 10, picture_codec="libx264", options={"g": "1"})
    with av.open(str(path)) as container:
        piece = [bytes(packet) for packet in container.demux()][3]
    data = path.read_bytes()
    place = [found.start() for found in re.finditer(re.escape(piece), data)][-1]
    path.write_bytes(data[:place] + bytes(len(piece)) + data[place + len(piece) :])
    assert failure(video.read("a", str(path))) == "a: Left out, since damaged: 1 piece of the video; judged: 9 frames."


def without_pictures(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 16000, 0
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (without_pictures, "without pictures"),
        (lambda path: path.write_text("YUV4MPEG2 W64 H48 F25:1 C420\n"), "without a single frame"),
        (lambda path: path.write_bytes(b""), "cannot be opened"),
        (lambda path: path.write_text("no film"), "cannot be opened"),
        (pathlib.Path.mkdir, "Is a directory"),
        (lambda path: None, "No such file"),
    ],
    ids=["sound", "no frames", "empty", "text", "folder", "missing"],
)
def test_what_is_no_video_is_told_in_a_sentence(tmp_path, make, said):
    make(tmp_path / "film.mp4")
    sentence = failure(video.read("film.mp4", str(tmp_path / "film.mp4")))
    assert sentence.startswith("film.mp4: ") and said in sentence and sentence.endswith(".")
    assert video.frame_count(str(tmp_path / "film.mp4")) in (None, 0)


def test_a_stream_cannot_be_wound_back(film, tmp_path):
    data = copied(film, tmp_path / "a.mkv").read_bytes()
    frames = list(video.read("-", video.Pipe(io.BytesIO(data))))
    assert [time for _, time, _ in frames] == pytest.approx(TIMES, abs=2e-3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_may_come_one_after_the_other(suffix):
    stream = io.BytesIO(b"".join(cv2.imencode(suffix, picture(number))[1].tobytes() for number in (1, 5, 9)))
    images = [read() for _, _, read in video.read("-", video.Pipe(stream))]
    assert [round(image[:20, :20].mean() / 20) for image in images] == [1, 5, 9]


def test_a_video_without_a_frame_is_not_written(tmp_path):
    video.Writer(tmp_path / "a.mp4").close()
    assert not list(tmp_path.iterdir())


def test_without_pyav_its_extra_is_named(film, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'emotion-gcn-jax[video]'" in failure(video.read("film", str(film)))
