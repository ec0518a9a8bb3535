"""The frames of videos and of sounds, decoded by PyAV, which has FFmpeg inside."""

from collections.abc import Iterator
from typing import Any


def decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Yields the frames of one stream of an open container; None for every piece that cannot be decoded."""
    import av  # of the extra video, and there: it has opened the container

    packets = container.demux(stream)
    while True:
        packet = None
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except av.EOFError:
            return
        except (av.FFmpegError, OSError, ValueError):
            yield None
            if packet is None or not packet.size:  # it cannot be read on, or all is read
                return
