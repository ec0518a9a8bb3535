"""What AffectNet says of an image, in our terms, and the example that is made of it; the same for both releases."""

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.alignment import Box
from emotion_gcn_jax.labels import CLASS_ORDERS
from emotion_gcn_jax.releases.building import Doubtful, Example, Skip, unlikely_counts
from emotion_gcn_jax.releases.images import read_image
from emotion_gcn_jax.releases.landmarks import Eyes
from emotion_gcn_jax.releases.tables import number

BOX_OUTSIDE = "box outside the image"
FACE_UNUSABLE = "face unusable"
EXPRESSION_UNKNOWN = "expression unknown"
AFFECT_UNKNOWN = "valence or arousal unknown"
EYES_OUTSIDE = "eyes outside the face's box"

CLASSES = CLASS_ORDERS["affectnet"]
LABEL_NAMES = CLASSES.vocabulary
"""The classes of every build: the seven expressions and Contempt."""

NOT_EXAMPLES = (9, 10)
"""The codes of Uncertain and No-Face, which have neither an expression nor valence and arousal."""

_IDS = CLASSES.ids(LABEL_NAMES)
# The original lists' rows by class (the sources are in tfds_builders/affectnet/README.md). Some copies lack two broken
# rows, one of Happy in training.csv and one in validation.csv; so does the March-2021 release.
_COUNTS: Mapping[str, Sequence[int]] = {
    "train": (74874, 134416, 25459, 14090, 6378, 3803, 24882, 3750, 33088, 11645, 82415),
    "validation": (500,) * 11,
}
_COUNTS_SLACK = 1
_NO_AFFECT = -2.0


class Annotation(NamedTuple):
    """What AffectNet says of one image.

    Attributes:
        image: the file.
        expression: its place in LABEL_NAMES, or NO_CLASS for AffectNet's class None.
        valence: -1 to 1, or NaN.
        arousal: -1 to 1, or NaN.
        eyes: in the image's pixels; None where the March-2021 release has no numbers for them.
        box: x, y, width and height in the image's pixels; None in the March-2021 release, which is cut to it.
    """

    image: pathlib.Path
    expression: int
    valence: float
    arousal: float
    eyes: Eyes | None
    box: Box | None


Cut = Callable[[np.ndarray, Annotation], bytes]
"""Makes the stored image file of a uint8 RGB image and its annotation; may raise UserError."""


def class_code(text: str) -> int | None:
    """AffectNet's own class code, or None where there is none."""
    code = number(text)
    return int(code) if code in CLASSES.names else None


def expression(text: str) -> int:
    """The place in LABEL_NAMES of a class code; raises Skip for a text that is none, and for those of NOT_EXAMPLES."""
    code = class_code(text)
    if code is None or code in NOT_EXAMPLES:
        raise Skip(EXPRESSION_UNKNOWN, f"code {text!r}")
    return _IDS[code]


def affect(valence: str, arousal: str) -> tuple[float, float]:
    """Valence and arousal as numbers, NaN for AffectNet's -2; raises Skip where one is outside -1 to 1."""
    values = [number(text) for text in (valence, arousal)]
    if not all(-1 <= value <= 1 or value == _NO_AFFECT for value in values):
        raise Skip(AFFECT_UNKNOWN, f"valence {valence!r}, arousal {arousal!r}")
    first, second = (math.nan if value == _NO_AFFECT else value for value in values)
    return first, second


def count_warnings(split: str, counts: Mapping[Any, int], classes: int) -> tuple[str, ...]:
    """Compares the entries by class code with the known release's, the first `classes` codes of them."""
    codes = range(classes)
    expected, found = ({str(CLASSES.names[code]): c[code] for code in codes} for c in (_COUNTS[split], counts))
    return unlikely_counts(expected, found, slack=_COUNTS_SLACK)


def example(annotation: Annotation, cut: Cut) -> Example | Doubtful:
    """Reads an image and cuts its face out; raises Skip where that cannot be done.

    The example is doubtful where an eye is outside the face's box or outside the image: box or eyes are then wrong, as
    when the image is turned by its EXIF note and they are not, and so is the crop.
    """
    image_HxWx3 = read_image(annotation.image)
    height, width = image_HxWx3.shape[:2]
    x, y, box_width, box_height = annotation.box or (0, 0, width, height)
    if x >= width or y >= height or x + box_width <= 0 or y + box_height <= 0:
        raise Skip(BOX_OUTSIDE, f"box {annotation.box}, image {width} x {height}")
    try:
        encoded = cut(image_HxWx3, annotation)
    except UserError as error:
        raise Skip(FACE_UNUSABLE, str(error)) from None
    made = {
        "image": encoded,
        "expression": annotation.expression,
        "valence": annotation.valence,
        "arousal": annotation.arousal,
    }
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + box_width, width), min(y + box_height, height)
    if all(left <= eye_x <= right and top <= eye_y <= bottom for eye_x, eye_y in annotation.eyes or ()):
        return made
    found = ", ".join(f"({eye_x:.0f}, {eye_y:.0f})" for eye_x, eye_y in annotation.eyes or ())
    return Doubtful(made, EYES_OUTSIDE, f"eyes {found}; box {x, y, box_width, box_height}; image {width} x {height}")
