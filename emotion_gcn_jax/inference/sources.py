"""What is judged: pictures, videos, a camera, a stream on standard input, each as frames one after the other."""

import dataclasses
import functools
import glob
import itertools
import os
import pathlib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.files import read_text, user_path
from emotion_gcn_jax.inference import video

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".ogv"}
    | {".3gp", ".mxf", ".y4m"}
)
"""Files with these endings are videos."""

_ALSO_PROGRAMS = frozenset({".ts", ".mts"})
_SYNC_BYTE = b"G"  # of a packet of an MPEG transport stream, in .mts after a time of four bytes

_STANDARD_INPUT = "-"
_CAMERA = re.compile(r"camera:(\d{1,4})")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_GLOB = re.compile(r"[*?[]")


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture to be judged.

    Attributes:
        source: the place of its source among all.
        name: how that was named.
        number: of the frame, from 0; None for a picture's file.
        time: in seconds from the video's first frame, by its own clock; None for a picture's file.
        read: makes the pixels, uint8 RGB [H, W, 3]; raises UserError if there are none.
    """

    source: int
    name: str
    number: int | None
    time: float | None
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Source:
    """Something that gives frames.

    Attributes:
        name: as it was named, or the path of a folder's file.
        kind: a key of KINDS.
    """

    name: str
    kind: str

    @property
    def is_live(self) -> bool:
        """Whether it can be read once only, as it happens."""
        return self.kind in ("camera", "stream")

    @property
    def moves(self) -> bool:
        """Whether its frames follow each other in time."""
        return self.kind != "picture"


def open_sources(names: Iterable[str]) -> list[Source]:
    """Finds out what names mean.

    Args:
        names: of pictures and videos; of folders, which stand for both in them and in the folders inside; patterns
            with *, ** and ?; @FILE, a text with a name a line; camera:0 and so on; - for a stream on standard input.

    Returns:
        The sources in the names' order. Whether a file can be read is found out later.

    Raises:
        UserError: a folder or a pattern stands for nothing, or a list cannot be read.
    """
    sources = [Source(name, _kind(name)) for given in names for name in _named(given, VIDEO_SUFFIXES)]
    if sum(source.kind == "stream" for source in sources) > 1:
        raise UserError("Standard input (-) can be read once only: name it once.")
    if not sources:
        raise UserError("The lists name no file: give at least one.")
    return sources


def picture_files(names: Iterable[str]) -> list[str]:
    """The files that names stand for where pictures alone are meant; names and errors as for `open_sources`.

    A folder stands for its pictures. A file that is named, or matches a pattern, is taken for one whatever its ending.
    """
    return [file for given in names for file in _named(given, frozenset())]


def frames(
    sources: Sequence[Source], *, every: int = 1, skip: Mapping[str, int] = MappingProxyType({"source": 0, "frame": 0})
) -> Iterator[Frame]:
    """Yields the frames of all sources, one source after the other; opens each when its turn comes.

    Args:
        sources: from `open_sources`.
        every: of a video's frames only every so many-th, the first included.
        skip: "source" and "frame": so many sources are done, and of the next one so many frames.
    """
    for place, source in enumerate(sources[skip["source"] :], start=skip["source"]):
        first = skip["frame"] if place == skip["source"] else 0
        for number, time, read in KINDS[source.kind](source.name):
            if number is None or (number >= first and number % every == 0):
                yield Frame(place, source.name, number, time, read)


def count(sources: Sequence[Source], every: int = 1) -> int | None:
    """How many frames there will be, by what the videos' files say; None if that is not known."""
    if any(source.is_live for source in sources):
        return None
    counts = [len(range(0, video.frame_count(s.name) or 0, every)) if s.kind == "video" else 1 for s in sources]
    return sum(counts) if all(counts) else None


def _named(name: str, others: Collection[str]) -> Iterator[str]:
    """The files that a name stands for; of a folder the pictures and those of other suffixes."""
    if _ADDRESS.match(name):
        raise UserError(
            f"{name}: The name of a file was expected, found an address: fetch it first, and name the file."
        )
    if name.startswith("@") and not _exists(name):
        for line in _lines(name[1:]):
            yield from _named(line, others)
    elif _GLOB.search(name) and not _exists(name):
        try:
            found = sorted(glob.glob(str(user_path(name)), recursive=True))  # noqa: PTH207 - pathlib knows no absolute ones
        except ValueError:  # a zero byte in it
            found = []
        files = [path for path in found if pathlib.Path(path).is_file()]
        if not files:
            raise UserError(f"{name}: A pattern of files was expected, found none that matches: check it.")
        yield from files
    else:
        found = pictures.expand([name], others)
        files = found if found == [name] else [file for file in found if not _is_program(file)]
        if not files:
            raise UserError(f"{name}: A folder of pictures or videos was expected, found programs: give their folder.")
        yield from files


def _is_program(file: str) -> bool:
    """Whether a folder's file has a video's suffix that is TypeScript's as well, and no video's packets."""
    if pathlib.PurePath(file).suffix.lower() not in _ALSO_PROGRAMS:
        return False
    try:
        with user_path(file).open("rb") as stream:
            beginning = stream.read(5)
    except OSError:
        return False
    return _SYNC_BYTE not in (beginning[:1], beginning[4:5])


def _exists(name: str) -> bool:
    return os.path.lexists(user_path(name))


def _lines(file: str) -> list[str]:
    """The names in a list; relative ones are meant from where the command runs, as in a shell."""
    try:
        text = read_text(file)
    except (OSError, ValueError) as error:  # ValueError: no text
        raise UserError(f"@{file}: A text file with a path a line was expected, found none ({error}).") from None
    lines = [_unquoted(line.strip()) for line in text.splitlines()]
    if any(line.startswith("@") for line in lines):
        raise UserError(f"@{file}: A list of files was expected, found one that names another list: name both.")
    return [line for line in lines if line and not line.startswith("#")]


def _unquoted(line: str) -> str:
    """A name without the quotes that file managers and spreadsheets put around it."""
    is_quoted = len(line) > 2 and line[0] == line[-1] and line[0] in "\"'"
    return line[1:-1] if is_quoted and not _exists(line) else line


def _kind(name: str) -> str:
    if name == _STANDARD_INPUT:
        return "stream"
    if _CAMERA.fullmatch(name):
        return "camera"
    return "video" if pathlib.PurePath(name).suffix.lower() in VIDEO_SUFFIXES else "picture"


_Numbered = Iterator[tuple[int | None, float | None, Callable[[], np.ndarray]]]


def _picture(name: str) -> _Numbered:
    yield None, None, functools.partial(pictures.read, name)


def _video(name: str) -> _Numbered:
    return video.read(name, str(user_path(name)))


def _stream(name: str) -> _Numbered:
    del name
    buffer = sys.stdin.buffer
    # Unbuffered: a thread that waits in a buffer's lock would break the interpreter's end after an interruption.
    return video.read("standard input", video.Pipe(getattr(buffer, "raw", buffer)))


def _camera(name: str) -> _Numbered:
    """A camera's frames, until it gives no more; their times are when they came."""
    camera: Any = cv2.VideoCapture(int(name.partition(":")[2]))
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what it shows now, not what it showed while others were judged
    try:
        first = cv2.getTickCount()
        for number in itertools.count():
            given, image_HxWx3 = camera.read()
            if not given:
                break
            seconds = (cv2.getTickCount() - first) / cv2.getTickFrequency()
            if number == 0:
                first, seconds = cv2.getTickCount(), 0.0
            yield number, seconds, functools.partial(_from_bgr, image_HxWx3)
        if number == 0:
            yield None, None, functools.partial(_no_camera, name)
    finally:
        camera.release()


def _from_bgr(image_HxWx3: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image_HxWx3[..., ::-1])


def _no_camera(name: str) -> np.ndarray:
    raise UserError(f"{name}: A camera was expected, found none that gives pictures: check its number and its rights.")


KINDS: Mapping[str, Callable[[str], _Numbered]] = MappingProxyType(
    {"picture": _picture, "video": _video, "stream": _stream, "camera": _camera}
)
"""By a source's kind what gives its frames: their numbers, times and readers."""
