"""Cuts an aligned square face out of a photograph: what every dataset and every prediction goes through.

Coordinates are continuous: an image of width W spans 0..W, so the centre of its first pixel is at 0.5. x grows to the
right, y downwards. The left eye is the one on the image's left when the face is upright.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from PIL import Image

from emotion_gcn_jax.errors import UserError

Point = tuple[float, float]
Box = tuple[float, float, float, float]

# How `align_and_crop` resamples. It is stored with a dataset, so that other pictures can be cut in the same way.
RESAMPLING = "bicubic at native resolution, then bilinear antialiased"

# Longest side in pixels of the intermediate warp, which bounds its memory, and of a source that OpenCV's warpAffine
# takes, whose coordinates are 16-bit.
_WARP_LIMIT = 4096
_SOURCE_LIMIT = 32766


@dataclasses.dataclass(frozen=True)
class Crop:
    """How a face is cut out of a photograph.

    Attributes:
        side: side of the square crop, as a multiple of the larger side of the face's box.
        size: side of the stored crop in pixels.
        enlarge: whether a crop smaller than `size` is enlarged to it; otherwise it keeps its native side.
        level_eyes: whether the crop is tilted so that the eyes are level.
        centre: what the crop's centre is: "box", the centre of the face's box.
        resampling: the filters used, RESAMPLING.
    """

    side: float = 1.3
    size: int = 256
    enlarge: bool = False
    level_eyes: bool = True
    centre: str = "box"
    resampling: str = RESAMPLING

    def __post_init__(self) -> None:
        """Raises UserError when a field is out of its range."""
        if not 0 < self.side < math.inf:
            raise UserError(f"A crop's side must be a positive multiple of the box, found {self.side}: use e.g. 1.3.")
        if not 1 <= self.size <= _WARP_LIMIT:
            raise UserError(f"A crop's size must be 1 to {_WARP_LIMIT} pixels, found {self.size}: use e.g. 256.")
        for field, known in (("centre", "box"), ("resampling", RESAMPLING)):
            if getattr(self, field) != known:
                raise UserError(
                    f"A crop's {field} must be {known!r}, found {getattr(self, field)!r}: "
                    "it was probably described by a newer version of emotion-gcn-jax; install that one."
                )

    def to_dict(self) -> dict[str, Any]:
        """Returns the description as a dict that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Crop":
        """Reads what `to_dict` wrote; raises UserError when a field is unknown."""
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise UserError(
                f"A crop's description has the fields {', '.join(known)}, found {', '.join(unknown)} as well: "
                "it was probably written by a newer version of emotion-gcn-jax; install that one."
            )
        return cls(**fields)


def align_and_crop(image_HxWx3: np.ndarray, box: Box, left_eye: Point, right_eye: Point, crop: Crop) -> np.ndarray:
    """Cuts one face out of an image, as a square round the centre of its box, tilted so that the eyes are level.

    This gives the same picture as Emotion-GCN's way (sec. 6), which rotates the whole image until the eyes are level
    and then cuts a square round the centre of the box. Here the square is sampled once, at the source's resolution, and
    then reduced with an antialiasing filter, so that a large source does not alias.

    Args:
        image_HxWx3: uint8 RGB image.
        box: the face's box (x0, y0, x1, y1) in pixels; it may reach beyond the image.
        left_eye: centre of the eye on the image's left, (x, y) in pixels.
        right_eye: centre of the eye on the image's right. Coincident eyes mean a tilt of 0.
        crop: what to cut.

    Returns:
        uint8 RGB [S, S, 3], black where the square reaches beyond the image; S is crop.size, or the square's native
        side if that is smaller and crop.enlarge is off.

    Raises:
        UserError: the image is not uint8 RGB, the box has no area, or a coordinate is not finite.
    """
    if image_HxWx3.dtype != np.uint8 or image_HxWx3.ndim != 3 or image_HxWx3.shape[2] != 3 or not image_HxWx3.size:
        raise UserError(
            f"A face is cut out of a uint8 image of shape [height, width, 3], found {image_HxWx3.dtype} "
            f"{list(image_HxWx3.shape)}: decode it to 8-bit RGB first."
        )
    transform_2x3 = crop_transform(box, left_eye, right_eye, crop)
    stored_side, native_side = _sides(box, crop)
    shrink = max(math.ceil(native_side / _WARP_LIMIT), math.ceil(max(image_HxWx3.shape[:2]) / _SOURCE_LIMIT))
    if shrink > 1:
        image_HxWx3 = np.asarray(Image.fromarray(image_HxWx3).reduce(shrink))
    warp_side = max(stored_side, round(native_side / shrink))
    scale = warp_side / stored_side
    # Source and warp in pixels of their own, and from continuous coordinates to OpenCV's centres on integers.
    linear_2x2 = transform_2x3[:, :2] * shrink * scale
    offset_2 = transform_2x3[:, 2] * scale + linear_2x2 @ (0.5, 0.5) - 0.5
    face_SxSx3 = cv2.warpAffine(
        image_HxWx3,
        np.column_stack([linear_2x2, offset_2]),
        (warp_side, warp_side),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0),
    )
    if warp_side == stored_side:
        return face_SxSx3
    stored = Image.fromarray(face_SxSx3).resize((stored_side, stored_side), Image.Resampling.BILINEAR)
    return np.asarray(stored).copy()


def crop_transform(box: Box, left_eye: Point, right_eye: Point, crop: Crop) -> np.ndarray:
    """Returns the matrix that maps a point (x, y, 1) of the source to the pixels of `align_and_crop`'s result.

    It is float64 [2, 3] and turns, scales and shifts. Raises UserError when the box has no area or a number is not
    finite.
    """
    if not np.isfinite((*box, *left_eye, *right_eye)).all() or box[2] <= box[0] or box[3] <= box[1]:
        raise UserError(
            "A face needs a box (x0, y0, x1, y1) with x0 < x1 and y0 < y1 and two eyes (x, y), all finite, found box "
            f"{tuple(map(float, box))}, eyes {tuple(map(float, left_eye))} and {tuple(map(float, right_eye))}: "
            "leave this face out or correct its annotation."
        )
    angle = 0.0
    if crop.level_eyes:
        # atan2(0, 0) is 0: coincident eyes leave the face as it is.
        angle = math.atan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0])
    stored_side, native_side = _sides(box, crop)
    cosine, sine = math.cos(angle), math.sin(angle)
    linear_2x2 = np.array([[cosine, sine], [-sine, cosine]]) * (stored_side / native_side)
    centre_2 = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    return np.column_stack([linear_2x2, stored_side / 2 - linear_2x2 @ centre_2])


def transform_points(transform_2x3: np.ndarray, points_Nx2: np.ndarray) -> np.ndarray:
    """Maps points [N, 2] by a matrix of `crop_transform`; returns float64 [N, 2]."""
    return np.asarray(points_Nx2, np.float64) @ transform_2x3[:, :2].T + transform_2x3[:, 2]


def _sides(box: Box, crop: Crop) -> tuple[int, float]:
    """The square's side in stored pixels (whole) and in source pixels."""
    native_side = crop.side * max(box[2] - box[0], box[3] - box[1])
    return crop.size if crop.enlarge else min(crop.size, max(1, round(native_side))), native_side
