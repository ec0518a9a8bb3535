"""What names on the command line mean."""

import io
import sys

import cv2
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.inference import sources, video


def kinds(names):
    return [(source.name, source.kind) for source in sources.open_sources(names)]


@pytest.mark.parametrize("name", ["a\0/*.png", "[\0]"])
def test_a_pattern_that_no_file_can_have_gets_a_sentence(name):
    with pytest.raises(UserError, match="found none that matches"):
        sources.open_sources([name])


@pytest.mark.parametrize("name", ["https://a.b/c.jpg", "rtsp://camera/stream"])
def test_an_address_is_no_file(name):
    with pytest.raises(UserError, match=rf"^{name}: .* found an address: fetch it first"):
        sources.open_sources([name])


def test_a_number_that_no_camera_has_is_a_name():
    assert kinds([f"camera:{10**30}"]) == [(f"camera:{10**30}", "picture")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/b.png", "a/c/d.MP4", "a/c/e.jpg", "a/notes.txt", "x[1].png", "odd;name.webm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a"], [("a/b.png", "picture"), ("a/c/d.MP4", "video"), ("a/c/e.jpg", "picture")]),
        (["a/**/*.jpg", "odd;name.webm"], [("a/c/e.jpg", "picture"), ("odd;name.webm", "video")]),
        (["a/?.png"], [("a/b.png", "picture")]),
        (["x[1].png"], [("x[1].png", "picture")]),  # a file that is there is no pattern
        (["camera:2", "-"], [("camera:2", "camera"), ("-", "stream")]),
        (["missing.png", "missing.mkv"], [("missing.png", "picture"), ("missing.mkv", "video")]),
    ],
)
def test_names(folder, names, found):
    assert kinds(names) == found


def test_a_list_has_a_name_a_line(folder):
    (folder / "list.txt").write_text("\ufeff# mine\n\na/b.png\n  a/c \n", encoding="utf-8")
    assert kinds(["@list.txt"]) == [("a/b.png", "picture"), ("a/c/d.MP4", "video"), ("a/c/e.jpg", "picture")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_a_list_is_read_as_other_programs_write_it(folder, encoding, quote):
    text = f"{quote}a/b.png{quote}\r\n{quote}a/c{quote}\r\n'x[1].png\r\n"
    mark = "\ufeff" if encoding.endswith("e") else ""  # which the other codecs write themselves
    (folder / "list.txt").write_bytes((mark + text).encode(encoding))
    found = [("a/b.png", "picture"), ("a/c/d.MP4", "video"), ("a/c/e.jpg", "picture"), ("'x[1].png", "picture")]
    (folder / "'x[1].png").touch()
    assert kinds(["@list.txt"]) == found


def test_a_name_that_has_quotes_itself_is_kept(folder):
    (folder / "'q'").touch()
    (folder / "list.txt").write_text("'q'\n''\n")
    assert kinds(["@list.txt"]) == [("'q'", "picture"), ("''", "picture")]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a"], ["a/b.png", "a/c/e.jpg"]),
        (["a/**/*.jpg", "missing.png"], ["a/c/e.jpg", "missing.png"]),
        (["@list.txt", "x[1].png"], ["a/b.png", "x[1].png"]),
    ],
)
def test_names_where_pictures_alone_are_meant(folder, names, found):
    (folder / "list.txt").write_text("a/*.png")
    assert sources.picture_files(names) == found


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([""], "found an empty one: is a variable not set"),
        (["a", ""], "found an empty one: is a variable not set"),
        (["@latin.txt"], "a path a line was expected"),
        (["a/*.gif"], "none that matches"),
        (["@missing.txt"], "a path a line was expected"),
        (["@loop.txt"], "names another list"),
        (["@empty.txt"], "name no file"),
        (["-", "-"], "once only"),
    ],
)
def test_mistakes_are_told(folder, names, said):
    (folder / "loop.txt").write_text("@loop.txt")
    (folder / "empty.txt").touch()
    (folder / "latin.txt").write_bytes("ä.png".encode("latin-1"))
    with pytest.raises(UserError, match=said):
        sources.open_sources(names)


class Camera:
    """Two pictures in OpenCV's order of colours, then none."""

    def __init__(self, index):
        self.left = 2 if index == 3 else 0

    def set(self, *setting):
        return True

    def read(self):
        self.left -= 1
        return self.left >= 0, np.full((4, 4, 3), (1, 2, 3), np.uint8)

    def release(self):
        self.left = 0


def test_a_camera(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    first, second = sources.frames(sources.open_sources(["camera:3"]))
    assert (first.number, first.time, second.number) == (0, 0.0, 1) and second.time > 0
    assert first.read()[0, 0].tolist() == [3, 2, 1]
    (none,) = sources.frames(sources.open_sources(["camera:4"]))
    with pytest.raises(UserError, match="camera:4: A camera was expected"):
        none.read()


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for name, count in (("a.mp4", 7), ("b.mp4", 5)):
        writer = video.Writer(folder / name)
        for number in range(count):
            writer.write(np.zeros((32, 32, 3), np.uint8), number / 10)
        writer.close()
    return [str(folder / name) for name in ("a.mp4", "b.mp4")]


@pytest.mark.parametrize(
    ("every", "skip", "left"),
    [
        (3, (0, 0), [(0, 0), (0, 3), (0, 6), (1, 0), (1, 3), (2, None)]),
        (1, (0, 5), [(0, 5), (0, 6), *((1, number) for number in range(5)), (2, None)]),
        (3, (1, 1), [(1, 3), (2, None)]),
        (1, (3, 0), []),
    ],
)
def test_every_so_many_frames_and_where_to_go_on(films, every, skip, left):
    inputs = sources.open_sources([*films, "c.png"])
    found = sources.frames(inputs, every=every, skip=dict(zip(("source", "frame"), skip, strict=True)))
    assert [(frame.source, frame.number) for frame in found] == left
    assert sources.count(inputs, every) == (6 if every == 3 else 13)


def test_a_stream_is_read_from_standard_input(films, monkeypatch):
    data = b"".join(cv2.imencode(".png", np.full((8, 8, 3), grey))[1].tobytes() for grey in (0, 200))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    inputs = sources.open_sources(["-"])
    assert [int(frame.read().mean()) for frame in sources.frames(inputs)] == [0, 200]
    assert inputs[0].is_live and sources.count(inputs) is None
