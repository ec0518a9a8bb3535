"""Videos, read and written by PyAV, which has FFmpeg inside; its wheels hold x264 (docs/predict.md, licences)."""

import contextlib
import functools
import math
import pathlib
import uuid
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from emotion_gcn_jax.errors import UserError, counted, extra
from emotion_gcn_jax.files import corrected_name
from emotion_gcn_jax.media import decoded

_CLOCK = Fraction(1, 90_000)  # seconds a tick of a written video, MPEG's own: no frame rate is hurt by it
_WIDEST_PIXEL = 4  # the longer of its sides by the shorter; beyond that the file is mistaken
_LOST_SECONDS, _LOST_SHARE = 0.5, 0.02  # a video that ends so much before its own length was cut off
_WRITTEN = {"crf": "20", "preset": "veryfast"}  # x264's: hardly a loss that is seen, at little time


class Pipe:
    """A stream of bytes that cannot be wound back, as FFmpeg wants it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Returns up to so many bytes; none at the end."""
        return self._stream.read(size)


def read(name: str, file: str | Pipe) -> Iterator[tuple[int | None, float | None, Callable[[], np.ndarray]]]:
    """Yields the frames of a video in the order in which they are shown.

    Args:
        name: what it is called in messages.
        file: its path, or a stream of whatever FFmpeg knows without winding back.

    Yields:
        The frame's number from 0, its time in seconds after the first one by the container's clock, and what makes
        its pixels, uint8 RGB [H, W, 3], stretched, turned and mirrored as the video's metadata asks. What is wrong with
        the video comes in the end as a frame without number and time, whose reader raises UserError.
    """
    number, time, damaged = 0, 0.0, 0
    try:
        with _open(name, file) as container:
            if not container.streams.video:
                raise UserError(f"{name}: A video was expected, found one without pictures: give another.")
            first: float | None = None
            for frame in decoded(container, container.streams.video[0]):
                if frame is None:
                    damaged += 1
                    continue
                if number == 0:  # as FFmpeg does: the first frame says it for all
                    show = functools.partial(_pixels, _stretch(container.streams.video[0]), _matrix(frame))
                first = frame.time if first is None else first
                # A frame without a time of its own is as late as the one before it.
                time = time if frame.time is None or first is None else max(time, frame.time - first)
                yield number, time, functools.partial(show, frame)
                number += 1
            _check_whole(name, container, number, first or 0.0, time, damaged)
    except UserError as error:
        yield None, None, functools.partial(_fail, str(error))


def frame_count(name: str) -> int | None:
    """How many frames a video's file says that it has; None if it does not say, or is none."""
    try:
        with _open(name, name) as container:
            stream = container.streams.video[0]
            if stream.frames:
                return stream.frames
            _, length = _span(container)
            return math.ceil(length * stream.average_rate) if length and stream.average_rate else None
    except (UserError, IndexError):
        return None


class Writer:
    """A video that is written frame by frame in H.264; at `close` it stands under its name."""

    def __init__(self, path: pathlib.Path) -> None:
        """Takes the path of the file, an .mp4.

        Raises:
            UserError: PyAV is not installed.
            OSError: the file cannot be written.
        """
        self._path = path
        self._unfinished = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
        with _as_os_error():
            self._container = _av().open(f"file:{self._unfinished}", "w")
        self._stream: Any = None
        self._last = -1

    def write(self, image_HxWx3: np.ndarray, time: float) -> None:
        """Adds a frame, which is shown from a time in seconds on; all get the first one's size. Raises OSError."""
        frame = _av().VideoFrame.from_ndarray(image_HxWx3, format="rgb24")
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", options=_WRITTEN)
            self._stream.codec_context.time_base = self._stream.time_base = _CLOCK
            self._stream.width, self._stream.height = (side - side % 2 for side in image_HxWx3.shape[1::-1])
            self._stream.pix_fmt = "yuv420p"
        frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
        self._last = max(round(time / _CLOCK), self._last + 1)  # two frames of one time are shown after each other
        frame.pts, frame.time_base = self._last, _CLOCK
        with _as_os_error():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finishes the file; without a frame there is none. Raises OSError."""
        try:
            with _as_os_error():
                if self._stream is not None:
                    self._container.mux(self._stream.encode())
                self._container.close()
        except OSError:
            self._unfinished.unlink(missing_ok=True)
            raise
        if self._stream is None:
            self._unfinished.unlink(missing_ok=True)
        else:
            self._unfinished.replace(self._path)


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """FFmpeg's errors are not all of the system's kind."""
    try:
        yield
    except _av().FFmpegError as error:
        raise OSError(error.errno, error.strerror) from None


def _av() -> Any:
    with extra("video", "a video"):
        import av
    return av


def _open(name: str, file: str | Pipe) -> Any:
    av = _av()
    try:
        return av.open(f"file:{file}" if isinstance(file, str) else file)  # a name may have a colon in it
    except OSError as error:
        raise UserError(f"{name}: The video cannot be read ({error.strerror}): {corrected_name(name)}.") from None
    except (av.FFmpegError, ValueError):
        raise UserError(
            f"{name}: A video was expected, found something that cannot be opened as one: if it was cut off while it "
            "was written, its table of contents is missing; record or copy it again."
        ) from None


def _check_whole(name: str, container: Any, number: int, first: float, time: float, damaged: int) -> None:
    """Raises UserError if the video has less than it says; its frames go from `first` to `time` seconds after that."""
    if number == 0:
        raise UserError(f"{name}: A video was expected, found one without a single frame that can be read.")
    start, length = _span(container)
    if length is not None and length - time > max(_LOST_SECONDS, _LOST_SHARE * length) + time / number:
        begin = max(0.0, first - start)
        raise UserError(
            f"{name}: The video shows the seconds {begin:.1f} to {begin + time:.1f} of {length:.1f}, so it was cut: "
            f"judged as far as it goes ({counted(number, 'frame')}); copy it again for the others."
        )
    if damaged:
        raise UserError(
            f"{name}: Left out, since damaged: {counted(damaged, 'piece')} of the video; judged: "
            f"{counted(number, 'frame')}."
        )


def _span(container: Any) -> tuple[float, float | None]:
    """When it begins and how long it is, in seconds, by the file; the picture's own, as sound may be longer."""
    stream = container.streams.video[0]
    if stream.duration is not None and stream.time_base is not None:
        return float((stream.start_time or 0) * stream.time_base), float(stream.duration * stream.time_base)
    start = max(0, container.start_time or 0)
    return start / 1e6, None if container.duration is None else (container.duration - start) / 1e6


def _stretch(stream: Any) -> tuple[float, float]:
    """How far a frame's width and its height are stretched, so that its pixels are square and none is lost."""
    ratio = float(stream.sample_aspect_ratio or 1)
    if not 1 / _WIDEST_PIXEL <= ratio <= _WIDEST_PIXEL:
        return 1.0, 1.0
    return max(ratio, 1.0), max(1 / ratio, 1.0)


def _matrix(frame: Any) -> np.ndarray:
    """How a frame is turned and mirrored: its pixel (x, y) is shown at (x, y) @ the matrix, but for its scale."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return np.eye(2) if data is None else np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2].astype(float)


def _pixels(stretch: tuple[float, float], matrix_2x2: np.ndarray, frame: Any) -> np.ndarray:
    width, height = round(frame.width * stretch[0]), round(frame.height * stretch[1])
    image_HxWx3 = frame.to_ndarray(format="rgb24", width=width, height=height)
    if abs(matrix_2x2[0, 1]) > abs(matrix_2x2[0, 0]):  # by a quarter: columns become rows
        image_HxWx3, matrix_2x2 = image_HxWx3.swapaxes(0, 1), matrix_2x2[::-1]
    image_HxWx3 = image_HxWx3[:, ::-1] if matrix_2x2[0, 0] < 0 else image_HxWx3
    image_HxWx3 = image_HxWx3[::-1] if matrix_2x2[1, 1] < 0 else image_HxWx3
    return np.ascontiguousarray(image_HxWx3)


def _fail(sentence: str) -> np.ndarray:
    raise UserError(sentence)
