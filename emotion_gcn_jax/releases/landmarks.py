"""The 68 landmarks of a face that several datasets have, in iBUG's order: where its eyes are."""

import numpy as np

from emotion_gcn_jax.faces.alignment import Point

COUNT = 68

Eyes = tuple[Point, Point]
"""The centres of the eye on the image's left and of the other, (x, y) in pixels."""

_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)


def eyes(landmarks: np.ndarray) -> Eyes | None:
    """The centres of the eyes among 68 landmarks, float [136] of x and y in turns; None for any other array."""
    if landmarks.shape != (2 * COUNT,) or not np.isfinite(landmarks).all():
        return None
    points_68x2 = landmarks.reshape(COUNT, 2)
    (left_x, left_y), (right_x, right_y) = (points_68x2[eye].mean(0).tolist() for eye in (_LEFT_EYE, _RIGHT_EYE))
    return (left_x, left_y), (right_x, right_y)
