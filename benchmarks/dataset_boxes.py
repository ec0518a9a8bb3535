"""How the images of a dataset whose faces were cut by others compare with our detector's boxes.

    python benchmarks/dataset_boxes.py --dataset=fer2013 --config=fer2013 --split=validation

Each image is enlarged, a margin is put around it (its own mirror image, or grey: the detector's boxes stretch into the
one and stop at the other, so that the truth lies between), and the face in it is looked for. For faces.detection's
DATASET_BOXES, and for the sizes of config.augmentation's zoom and shift.
"""

import math

import cv2
import numpy as np
from absl import app, flags

from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.faces import detection

_DATASET = flags.DEFINE_string("dataset", None, "The dataset's name.", required=True)
_CONFIG = flags.DEFINE_string("config", None, "Its builder's config.")
_SPLIT = flags.DEFINE_string("split", "validation", "The split.")
_COUNT = flags.DEFINE_integer("count", 400, "How many images, from the first.")

_SIDE, _MARGIN = 240, 120  # pixels
_BORDERS = {"mirrored": cv2.BORDER_REFLECT_101, "grey": cv2.BORDER_CONSTANT}
_ROWS = ("image side / box side", "image centre aside", "image centre down", "tilt of the eyes, degrees")


def main(argv: list[str]) -> None:
    """Prints a table for each kind of margin."""
    del argv
    split = open_split(_DATASET.value, _SPLIT.value, config=_CONFIG.value)
    count = min(_COUNT.value, len(split))
    for border, code in _BORDERS.items():
        found = [row for i in range(count) if (row := _compare(split.image(i), code))]
        print(f"\nmargin {border}: a face in {len(found)} of {count} images; shares of the box's side")
        print(f"{'':26}  median    mean  deviation")
        for name, column in zip(_ROWS, np.transpose(found), strict=True):
            print(f"{name:26}  {np.median(column):6.3f}  {column.mean():6.3f}  {column.std():9.3f}")


def _compare(image_HxWx3: np.ndarray, border: int) -> tuple[float, float, float, float] | None:
    large = cv2.resize(image_HxWx3, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    framed = cv2.copyMakeBorder(large, *(_MARGIN,) * 4, border, value=(128, 128, 128))
    middle = _MARGIN + _SIDE / 2
    faces = [face for face in detection.detect(framed) if max(abs(c - middle) for c in _centre(face)) < _SIDE / 2]
    if not faces:
        return None
    face = max(faces, key=lambda face: face.score)
    side = max(face.box[2] - face.box[0], face.box[3] - face.box[1])
    aside, down = ((middle - c) / side for c in _centre(face))
    (x0, y0), (x1, y1) = face.left_eye, face.right_eye
    return _SIDE / side, aside, down, math.degrees(math.atan2(y1 - y0, x1 - x0))


def _centre(face: detection.Detection) -> tuple[float, float]:
    return (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2


if __name__ == "__main__":
    app.run(main)
