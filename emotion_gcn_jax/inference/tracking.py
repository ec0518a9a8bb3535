"""Follows faces from frame to frame: every face of a video gets the number of its track.

A track expects its face where constant speed would have taken it, if frames are far apart also where it was. Expected
and found boxes are paired so that their overlaps are largest in sum. Nothing here knows of videos, models or pictures;
`follow` is a pure function.

A library would not be better here: `trackers` 2.6 (ByteTrack) made 8 switches in 19,155 hard made-up boxes where these
lines made 20, none of either in easy ones, five times slower and for four more packages; norfair wants an older NumPy.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from emotion_gcn_jax.faces.alignment import Box

_LEAST_OVERLAP = 0.15  # of an expected and a found box, as a share of their union, to be one face's
_REMEMBERED = 1.0  # seconds after which a face that is not seen is given up; the frame before is never too old, but
_LONGEST_STEP = 5.0  # seconds from one frame to the next after which that holds no more
_STEADY = 0.5  # seconds from one frame to the next after which a face may also be where it was
_NEWEST_SPEED = 0.5  # share of the newest step in a track's speed; the rest is its speed before


@dataclasses.dataclass(frozen=True)
class Track:
    """One face that is followed.

    Attributes:
        number: of the track, from 1.
        box: where the face was last seen, x0, y0, x1, y1 in pixels.
        time: when, in seconds.
        speed: of the box's centre, (x, y) in pixels a second.
    """

    number: int
    box: Box
    time: float
    speed: tuple[float, float] = (0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Tracks:
    """The faces that are followed, in the order of their numbers.

    Attributes:
        followed: the faces.
        next_number: what the next new face gets.
        time: of the newest frame, in seconds.
    """

    followed: tuple[Track, ...] = ()
    next_number: int = 1
    time: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the tracks as JSON has them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Tracks":
        """Reads what `to_dict` wrote, bit for bit."""
        return cls(
            tuple(
                Track(track["number"], _box(track["box"]), track["time"], (track["speed"][0], track["speed"][1]))
                for track in fields["followed"]
            ),
            fields["next_number"],
            fields["time"],
        )


def follow(tracks: Tracks, boxes: Sequence[Box], time: float) -> tuple[Tracks, list[int]]:
    """Finds the tracks that the faces of a frame belong to.

    Args:
        tracks: from the frame before; `Tracks()` at first.
        boxes: the frame's faces.
        time: of the frame in seconds; it must not be before the frame before.

    Returns:
        The tracks for the next frame, and every face's number in the order of the boxes.
    """
    step = time - tracks.time
    oldest = min(time - _REMEMBERED, tracks.time) if step <= _LONGEST_STEP else time - _REMEMBERED
    known = [track for track in tracks.followed if track.time >= oldest]
    places = [(_expected(track, time), *([track.box] if step > _STEADY else [])) for track in known]
    overlaps_TxN = np.array([[max(_overlap(place, box) for place in either) for box in boxes] for either in places])
    overlaps_TxN = overlaps_TxN.reshape(len(known), len(boxes))
    pairs = zip(*linear_sum_assignment(overlaps_TxN, maximize=True), strict=True)
    track_of = {int(face): known[row] for row, face in pairs if overlaps_TxN[row, face] >= _LEAST_OVERLAP}
    seen, next_number = [], tracks.next_number
    for face, box in enumerate(boxes):
        if face in track_of:
            seen.append(_moved(track_of[face], box, time))
        else:
            seen.append(Track(next_number, box, time))
            next_number += 1
    found = {track.number for track in seen}
    followed = sorted([*seen, *(track for track in known if track.number not in found)], key=lambda t: t.number)
    return Tracks(tuple(followed), next_number, time), [track.number for track in seen]


def _expected(track: Track, time: float) -> Box:
    """Where a track's face should be now."""
    passed = time - track.time
    x, y = track.speed[0] * passed, track.speed[1] * passed
    x0, y0, x1, y1 = track.box
    return x0 + x, y0 + y, x1 + x, y1 + y


def _moved(track: Track, box: Box, time: float) -> Track:
    passed = time - track.time
    if passed <= 0:  # two frames of one time
        return dataclasses.replace(track, box=box)
    steps = [(_middle(box, axis) - _middle(track.box, axis)) / passed for axis in (0, 1)]
    share = 1.0 if track.speed == (0.0, 0.0) else _NEWEST_SPEED
    x, y = (before + share * (step - before) for before, step in zip(track.speed, steps, strict=True))
    return Track(track.number, box, time, (x, y))


def _middle(box: Box, axis: int) -> float:
    return (box[axis] + box[axis + 2]) / 2


def _overlap(a: Box, b: Box) -> float:
    """The share of two boxes' union that they have in common."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(0.0, width) * max(0.0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (areas - shared) if areas > shared else 0.0


def _box(numbers: Sequence[float]) -> Box:
    x0, y0, x1, y1 = numbers
    return x0, y0, x1, y1
