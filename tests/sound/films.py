"""Videos and sound files of known content, written by PyAV."""

from fractions import Fraction

import av
import numpy as np

RATE = 44_100


def tone(seconds, start=0.0, end=np.inf, hertz=1000.0, level=0.5, rate=RATE):
    """A sine between two times, else silence."""
    times = np.arange(round(seconds * rate)) / rate
    return level * np.sin(2 * np.pi * hertz * times) * ((times >= start) & (times < end))


def write(
    path,
    channels=None,
    *,
    rate=RATE,
    codec="aac",
    begins=0.0,
    frames=(),
    pictures=None,
    picture_codec="mpeg4",
    options=None,
):
    """Writes a file.

    Args:
        path: of the file, whose suffix says what it is.
        channels: floating point samples of each, or one that is the only one; None is no sound.
        rate: samples a second.
        codec: of the sound.
        begins: when the sound begins, seconds after the container's own beginning.
        frames: when pictures are shown; without them there is no video.
        pictures: uint8 RGB [H, W, 3] each, of even sides; None are small grey ones.
        picture_codec: of the pictures.
        options: its own.
    """
    with av.open(str(path), "w") as container:
        streams = []
        if len(frames):
            video = container.add_stream(picture_codec, rate=30, options=options or {})
            pictures = [np.full((32, 32, 3), 128, np.uint8)] * len(frames) if pictures is None else pictures
            video.height, video.width = pictures[0].shape[:2]
            video.codec_context.time_base = video.time_base = Fraction(1, 1000)
            streams.append((video, _frames(frames, pictures)))
        if channels is not None:
            channels = np.atleast_2d(np.asarray(channels, np.float32))
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(channels)]
            audio = container.add_stream(codec, rate=rate, layout=layout)
            streams.append((audio, _sounds(channels, layout, rate, begins)))
        for stream, some in streams:
            for frame in some:
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def cut(path, output, packets):
    """Copies a file without the first so many packets of its pictures, as a recording that begins anywhere."""
    with av.open(str(path)) as source, av.open(str(output), "w") as copy:
        streams = {stream.index: copy.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.stream.type == "video" and packets:
                packets -= 1
            elif packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)
    return output


def _frames(times, pictures):
    for time, picture in zip(times, pictures, strict=True):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
        yield frame


def _sounds(channels, layout, rate, begins):
    frame = av.AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
    frame.sample_rate = rate
    fifo = av.AudioFifo()
    fifo.write(frame)
    first = round(begins * rate)
    for piece in fifo.read_many(1024, partial=True):  # as encoders want it
        piece.pts, piece.time_base = first, Fraction(1, rate)
        first += piece.samples
        yield piece
