"""A rendered video of two moving faces, for tests and benchmarks: where they are is known in every frame."""

import itertools
import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from emotion_gcn_jax.inference import video
from tests import scenes

WIDTH, HEIGHT, RATE = 640, 480, 30
_FACES = ((5, 130.0), (9, 115.0))  # of the seed 3: their indices, and their heights in pixels
_POSES = 9  # of each head; it nods from side to side through them


def write(path: pathlib.Path, *, seconds: float, rendered: float | None = None, poses: int = _POSES) -> int:
    """Writes a video, and returns how many frames it has.

    Args:
        path: of the .mp4.
        seconds: of the video.
        rendered: after so many seconds the frames come again, backwards and forwards: rendering takes longest.
        poses: of each head.
    """
    count = round(seconds * RATE)
    images: Iterable[np.ndarray] = _images(range(min(count, round((rendered or seconds) * RATE))), poses)
    if rendered and rendered < seconds:
        forwards = list(images)
        images = itertools.cycle([*forwards, *forwards[-2:0:-1]])
    film = video.Writer(path)
    for number, image in zip(range(count), images, strict=False):
        film.write(image, number / RATE)
    film.close()
    return count


def centres(frame: int) -> list[tuple[float, float]]:
    """Where the heads' centres are: ellipses, on which they come near each other at the same height and part again."""
    angle = 2 * math.pi * frame / RATE / 5
    return [(205 + 80 * math.cos(angle), 240 + 50 * math.sin(angle)), (445 - 80 * math.cos(1.3 * angle), 245)]


def judge_tracks(rows: Sequence[dict[str, str]], frames: int) -> dict[str, float]:
    """How well the rows of a table follow the faces of a video that was rendered once through.

    Returns:
        found: the share of the frames in which the face was found that was found least often; tracks: how many there
        are; switches: how often a face's track is another one than before; false: rows that are near no face.
    """
    before: dict[int, str] = {}
    found, switches, false = [0, 0], 0, 0
    for row in rows:
        x, y = ((float(row[f"{axis}0"]) + float(row[f"{axis}1"])) / 2 for axis in "xy")
        distances = [math.dist((x, y), centre) for centre in centres(int(row["frame"]))]
        face = int(np.argmin(distances))
        if distances[face] > 60:
            false += 1
            continue
        found[face] += 1
        switches += before.setdefault(face, row["track"]) != row["track"]
        before[face] = row["track"]
    tracks = len({row["track"] for row in rows})
    return {"found": round(min(found) / frames, 4), "tracks": tracks, "switches": switches, "false": false}


def _images(frames: Sequence[int], poses: int) -> Iterator[np.ndarray]:
    """uint8 RGB [HEIGHT, WIDTH, 3] each."""
    rng = np.random.default_rng(3)
    wall_HxWx3 = scenes.wall(rng, WIDTH, HEIGHT)
    tilts = np.linspace(-0.25, 0.25, poses)
    patches = [[scenes.draw_patch(3, index, height, tilt)[1:] for tilt in tilts] for index, height in _FACES]
    for frame in frames:
        scene_HxWx3 = wall_HxWx3.copy()
        for face, (x, y) in enumerate(centres(frame)):
            swing = 0.5 + 0.5 * math.sin(2 * math.pi * frame / RATE / (3 + face))
            light_SxSx3, wall_SxS = patches[face][round(swing * (poses - 1))]
            scenes.lay_patch(scene_HxWx3, light_SxSx3, wall_SxS, np.array([x, y]))
        yield (255 * np.clip(scene_HxWx3, 0, 1) ** (1 / scenes.GAMMA) + 0.5).astype(np.uint8)
