"""How AffectNet's faces are cut out: right, or exactly as the official implementation does it.

The official crop has defects, and the published weights were trained on what it gives (official implementation):

- the rotated image has height and width swapped, so that images other than squares lose their right or bottom part;
- only the box's top left corner is rotated with the image, so that the crop drifts off a tilted face;
- the shorter side is resized to the given size, so that a box that is no square gives a picture that is none;
- an eye line beyond 90 degrees leaves the face upside down.
"""

import math

import cv2
import numpy as np
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.alignment import Box, Crop, align_and_crop
from emotion_gcn_jax.releases.landmarks import Eyes

CROP = Crop(side=1.0, size=256)
"""The right crop: the square of the box's larger side, as the official crop of a square box on an upright head."""

# The least distance of the eyes in an image that is cut to the face, as a share of its width: half of a child's.
_LEAST_EYE_DISTANCE = 0.15


def aligned_face(image_HxWx3: np.ndarray, corner_and_size: Box, eyes: Eyes) -> np.ndarray:
    """Cuts out a square around the box's centre, its eyes level: `faces.alignment.align_and_crop` by CROP.

    Args:
        image_HxWx3: uint8 RGB.
        corner_and_size: the face's box as AffectNet's lists give it: x, y, width and height in pixels.
        eyes: means of the landmarks 36 to 41 and 42 to 47.

    Returns:
        uint8 RGB [S, S, 3], S being 256 or the box's larger side if that is less.

    Raises:
        UserError: the box or the eyes are not usable.
    """
    x, y, width, height = corner_and_size
    return align_and_crop(image_HxWx3, (x, y, x + width, y + height), *eyes, CROP)


def levelled_image(image_HxWx3: np.ndarray, eyes: Eyes | None) -> np.ndarray:
    """Turns an image that is already cut to the face about its centre, until the eyes are level.

    It stays as it is where the eyes cannot be those of the face: missing, outside the image, in the wrong order, or
    nearly in one place. Of arguments and result the same holds as for `aligned_face`, with the image for the box.
    """
    height, width = image_HxWx3.shape[:2]
    if eyes is None or not _are_plausible(eyes, width, height):
        eyes = ((0.0, 0.0), (1.0, 0.0))
    return aligned_face(image_HxWx3, (0.0, 0.0, float(width), float(height)), eyes)


def official_face(image_HxWx3: np.ndarray, corner_and_size: Box, eyes: Eyes, size: int) -> np.ndarray:
    """Cuts a face out as the official implementation does, with the defects that the module's docstring lists.

    Args:
        image_HxWx3: uint8 RGB.
        corner_and_size: as for `aligned_face`.
        eyes: as for `aligned_face`.
        size: the shorter side of the result in pixels; 227 and 112 in the official implementation.

    Returns:
        uint8 RGB, [size, size, 3] for a square box, else with a longer side; black where it reaches beyond the image.

    Raises:
        UserError: the eyes coincide, where the official angle is no number, or the box has no area.
    """
    (left_x, left_y), (right_x, right_y) = ((int(x), int(y)) for x, y in eyes)
    if (left_x, left_y) == (right_x, right_y):
        raise UserError("The official crop needs two eyes apart, found both in one pixel: leave this face out.")
    middle = (float((left_x + right_x) // 2), float((left_y + right_y) // 2))  # OpenCV takes no NumPy integers
    across, down = right_x - left_x, right_y - left_y
    angle = math.degrees(math.atan(down / across)) if across else math.copysign(90, down)
    rotation_2x3 = cv2.getRotationMatrix2D(middle, angle, 1.0)
    height, width = image_HxWx3.shape[:2]
    rotated = cv2.warpAffine(
        image_HxWx3, rotation_2x3, (height, width), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT
    )
    corner_x, corner_y, box_width, box_height = map(int, corner_and_size)
    x, y = rotation_2x3 @ (corner_x, corner_y, 1)
    edges = (round(x), round(y), round(x + box_width), round(y + box_height))  # halves to even
    cut_width, cut_height = edges[2] - edges[0], edges[3] - edges[1]
    shorter = min(cut_width, cut_height)
    if shorter < 1:
        raise UserError(f"The official crop needs a box with an area, found {corner_and_size}: leave this face out.")
    face = Image.fromarray(rotated).crop(edges)
    stored_size = (size * cut_width // shorter, size * cut_height // shorter)
    return np.array(face.resize(stored_size, Image.Resampling.BILINEAR))


def _are_plausible(eyes: Eyes, width: int, height: int) -> bool:
    inside = all(0 <= x <= width and 0 <= y <= height for x, y in eyes)
    (left_x, left_y), (right_x, right_y) = eyes
    apart = math.hypot(right_x - left_x, right_y - left_y) >= _LEAST_EYE_DISTANCE * width
    return inside and apart and left_x < right_x
