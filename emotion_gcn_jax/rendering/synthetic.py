"""The faces of the data set synthetic_faces, rendered, cut out as photographs would be, and encoded; and its sounds."""

import io
import os
import pathlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from emotion_gcn_jax.faces.alignment import Box, Crop, Point, align_and_crop, crop_transform, transform_points
from emotion_gcn_jax.labels import Expression
from emotion_gcn_jax.rendering.actions import action_units
from emotion_gcn_jax.rendering.clips import RATE, sample_clip, sample_sound
from emotion_gcn_jax.rendering.sampling import Face, sample_face
from emotion_gcn_jax.rendering.scene import RenderedFace, render
from emotion_gcn_jax.sound import mel, stored


class StoredFace(NamedTuple):
    """What the data set holds of one face; places are float32 (x, y) in pixels of the stored image."""

    image_png: bytes
    expression: int
    valence: float
    arousal: float
    action_units: np.ndarray
    intensity: float
    subject: int
    left_eye: np.ndarray
    right_eye: np.ndarray
    head_center: np.ndarray


def stored_faces(seed: int, indices: Iterable[int], *, crop: Crop) -> Iterator[StoredFace]:
    """Yields the faces in the order of their indices, rendered by as many threads as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda index: stored_face(seed, index, crop=crop), indices)


def stored_clips(seed: int, indices: Iterable[int], length: int, *, crop: Crop) -> Iterator[dict[int, StoredFace]]:
    """Yields the clips likewise, each by its frames' numbers; see clips.sample_clip."""

    def stored_clip(index: int) -> dict[int, StoredFace]:
        return {frame: store(face, crop=crop) for frame, face in sample_clip(seed, index, length).items()}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(stored_clip, indices)


def store_sound(build: pathlib.Path, name: str, seed: int, index: int, length: int) -> str:
    """Stores the sound of clip `index` beside a data set; returns its name, or "" where there is none to hear."""
    samples_N = sample_sound(seed, index, length)
    return "" if samples_N is None else stored.write(build, name, mel.log_mel(samples_N))


def seconds(frame: int) -> float:
    """When in its clip a frame is shown, counted from 1."""
    return (frame - 1) / RATE


def stored_face(seed: int, index: int, *, crop: Crop, expression: Expression | None = None) -> StoredFace:
    """Makes face `index` of the set `seed`: a pure function, which threads may share."""
    return store(sample_face(seed, index, expression=expression), crop=crop)


def store(face: Face, *, crop: Crop) -> StoredFace:
    """Renders a face and cuts it out.

    The scene is rendered at twice the stored size, so that the crop out of it is about as fine as its source.
    """
    rendered = render(face, 2 * crop.size)
    place = (*_detected(face, rendered), crop)
    encoded = io.BytesIO()
    Image.fromarray(align_and_crop(rendered.image_SxSx3, *place)).save(encoded, "PNG")
    points_3x2 = np.array([rendered.left_eye, rendered.right_eye, rendered.head_center])
    left_eye, right_eye, head_center = transform_points(crop_transform(*place), points_3x2).astype(np.float32)
    return StoredFace(
        image_png=encoded.getvalue(),
        expression=int(face.expression),
        valence=face.valence,
        arousal=face.arousal,
        action_units=action_units(face.actions),
        intensity=face.intensity,
        subject=face.subject.number,
        left_eye=left_eye,
        right_eye=right_eye,
        head_center=head_center,
    )


def _detected(face: Face, rendered: RenderedFace) -> tuple[Box, Point, Point]:
    """The box and the eyes as a detector might find them: nearly where they are."""
    x0, y0, x1, y1 = rendered.box
    side = max(x1 - x0, y1 - y0)
    x, y = np.array([x0 + x1, y0 + y1]) / 2 + face.box_shift * side
    half_width, half_height = (x1 - x0) / 2 * face.box_scale, (y1 - y0) / 2 * face.box_scale
    left_eye, right_eye = np.array([rendered.left_eye, rendered.right_eye]) + face.eye_shift_2x2 * side
    return (x - half_width, y - half_height, x + half_width, y + half_height), tuple(left_eye), tuple(right_eye)
