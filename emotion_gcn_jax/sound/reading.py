"""The sound of a video or of a sound file as a spectrogram, and when the video's frames are shown.

PyAV decodes, which has FFmpeg inside. Both are of one clock, the container's, which is set to 0 at the video's first
frame, or at the first sample where there are no pictures.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from emotion_gcn_jax.errors import UserError, extra
from emotion_gcn_jax.files import PathLike
from emotion_gcn_jax.media import decoded
from emotion_gcn_jax.sound.mel import BANDS, RATE, log_mel_blocks

MOST_SECONDS = 6 * 3600
"""Of a sound: 276 MB of spectrogram."""

_USUAL_FPS = 30.0  # of a video that does not say (Aff-Wild2 spec, section 2: most of Aff-Wild2's)
_GAP = 0.1  # seconds: what a packet's time may differ from where the samples so far end
_DAMAGED_CLOCK = 600.0  # seconds: a longer gap is a wrong time rather than a gap
_LEAST_RATE, _MOST_RATE = 4_000, 768_000  # samples a second of a track: others are damage, and could take any memory


@dataclasses.dataclass(frozen=True)
class Track:
    """What a file has to be heard, and when its frames are seen.

    Attributes:
        log_mel_TxM: float16 [T, BANDS], see sound.mel; without any step where there is no sound track.
        seconds_F: of every frame of the video, in the order in which they are shown; empty where the file does not say.
        fps: frames a second, for those of which nothing is known.
        damaged: how many pieces of the sound could not be decoded and are left out.
    """

    log_mel_TxM: np.ndarray
    seconds_F: np.ndarray
    fps: float
    damaged: int

    def seconds(self, frame: int) -> float:
        """When a frame, counted from 1, is shown."""
        if 1 <= frame <= len(self.seconds_F):
            return float(self.seconds_F[frame - 1])
        return (frame - 1) / self.fps


def read(path: PathLike) -> Track:
    """Reads a video or a sound file; its samples are never in the memory as a whole.

    Raises:
        UserError: PyAV is not installed; the file cannot be read, is too long, or has a sound track of which nothing
            can be decoded.
    """
    with _opened(path) as container:
        first = _first_shown(container)
    with _opened(path) as container:
        fps, start, seconds_F = _frame_times(container, first)
    with _opened(path) as container:
        if not container.streams.audio:
            return Track(np.zeros((0, BANDS), np.float16), seconds_F, fps, 0)
        samples = _Samples(path, container, start)
        blocks = [block.astype(np.float16) for block in log_mel_blocks(samples)]
    if not samples.count:
        raise UserError(f"{path}: Nothing of its sound track can be decoded: copy or record it again.")
    return Track(np.concatenate(blocks), seconds_F, fps, samples.damaged)


def check_installed() -> None:
    """Raises UserError if PyAV is not there."""
    _av()


class _Samples:
    """The samples of a file's first sound track piece by piece, float64 in one channel at RATE.

    Attributes:
        count: so many have come.
        damaged: so many pieces could not be decoded.
    """

    def __init__(self, path: PathLike, container: Any, start: float | None) -> None:
        """Takes the time that is 0; None is that of the first sample."""
        self._path, self._container, self._start = path, container, start
        self.count = self.damaged = 0
        self._early = 0  # samples before the time 0, which are still to come

    def __iter__(self) -> Iterator[np.ndarray]:
        resampler, form = None, None
        for frame in decoded(self._container, self._container.streams.audio[0]):
            if frame is None or not _LEAST_RATE <= frame.sample_rate <= _MOST_RATE:
                self.damaged += 1
                continue
            # Their own number of channels, if that is 1: FFmpeg would make two weaker ones of it.
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            if form != (form := (frame.format.name, frame.layout.name, frame.sample_rate)):
                yield from self._resampled(resampler, None)
                resampler = _av().AudioResampler(format="fltp", layout=layout, rate=RATE)
            yield from self._silence_before(frame)
            yield from self._resampled(resampler, frame)
        yield from self._resampled(resampler, None)

    def _resampled(self, resampler: Any, frame: Any) -> Iterator[np.ndarray]:
        """What comes of a frame; of None, what the resampler still holds."""
        av = _av()
        try:
            resampled = resampler.resample(frame) if resampler else []
        except (av.FFmpegError, ValueError):  # of channels that nobody knows how to place, say
            self.damaged += 1
            return
        for made in resampled:
            # FFmpeg's own mixture into one channel makes two equal ones louder, by the square root of 2.
            # Files of floating point can hold what is no number.
            samples_N = np.nan_to_num(made.to_ndarray().astype(np.float64), posinf=0, neginf=0).mean(axis=0)
            if self._early:
                self._early, samples_N = max(0, self._early - len(samples_N)), samples_N[self._early :]
            yield self._counted(samples_N)

    def _silence_before(self, frame: Any) -> Iterator[np.ndarray]:
        """Silence where samples are missing; what comes before the time 0 is left out."""
        if frame.time is None:
            return
        is_first = self.count == 0
        if self._start is None:
            self._start = frame.time
        gap = frame.time - self._start - self.count / RATE
        if abs(gap) > _DAMAGED_CLOCK or (gap < _GAP and not is_first):
            return
        if gap < 0:
            self._early = round(-gap * RATE)
            return
        for _ in range(round(gap * RATE) // RATE):
            yield self._counted(np.zeros(RATE))
        yield self._counted(np.zeros(round(gap * RATE) % RATE))

    def _counted(self, samples_N: np.ndarray) -> np.ndarray:
        self.count += len(samples_N)
        if self.count > MOST_SECONDS * RATE:
            raise UserError(f"{self._path}: A sound of at most {MOST_SECONDS // 3600} hours is read: cut it.")
        return samples_N


def _pictures(container: Any) -> Any:
    """The first stream of moving pictures, or None."""
    cover = _av().stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def _first_shown(container: Any) -> float | None:
    """When the first frame is shown that can be decoded: what was cut out of a video may begin with others."""
    stream = _pictures(container)
    frames = () if stream is None else decoded(container, stream)
    return next((frame.time for frame in frames if frame is not None), None)


def _frame_times(container: Any, first: float | None) -> tuple[float, float | None, np.ndarray]:
    """A video's frames a second; when it begins, by the container's clock; and its frames' times after that.

    None and nothing where there are no pictures, or they have no times. `first` is when the first one is shown.
    """
    av, stream, times = _av(), _pictures(container), list[float | None]()
    if stream is None:
        return _USUAL_FPS, None, np.zeros(0)
    rate = float(stream.average_rate or 0)
    fps = rate if 1 <= rate <= 1000 else _USUAL_FPS
    try:
        # The packets say when their frames are shown: none has to be decoded. The last one is no packet, but the end.
        packets = itertools.takewhile(lambda packet: packet.size, container.demux(stream))
        times = [
            None if packet.pts is None or packet.time_base is None else float(packet.pts * packet.time_base)
            for packet in packets
            if not packet.is_discard
        ]
    except (av.FFmpegError, OSError, ValueError):
        times = []  # the frames that come before what is damaged are known by the rate, too
    if not times or None in times:
        return fps, None, np.zeros(0)
    known = sorted(time for time in times if time is not None and (first is None or time >= first))
    if not known:
        return fps, None, np.zeros(0)
    return fps, known[0], np.asarray(known) - known[0]


def _av() -> Any:
    with extra("video", "the sound of a video"):
        import av
    return av


def _opened(path: PathLike) -> Any:
    av = _av()
    try:
        return av.open(f"file:{path}")  # a name may have a colon in it
    except OSError as error:
        raise UserError(f"{path}: The sound cannot be read ({error.strerror}): check its name.") from None
    except (av.FFmpegError, ValueError):
        raise UserError(
            f"{path}: A video or a sound was expected, found something that cannot be opened as one: copy it again."
        ) from None
