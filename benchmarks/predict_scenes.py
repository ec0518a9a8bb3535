"""Measures prediction from end to end: rendered faces in photograph-like scenes, found, cut out and judged.

    python -m benchmarks.predict_scenes --checkpoint=runs/demo
    python -m benchmarks.predict_scenes --tilt=0.7               # heads tilted up to 40 degrees

It prints the constants of faces.detection.DATASET_BOXES for synthetic_faces as these faces suggest them, how far the
crops are from those that the renderer's boxes give, how far from those that the same detector finds when it sees the
same heads before the dataset's backgrounds (which is as exact as it can be), and the accuracy on the crops of the
scenes beside that on the same faces as the dataset stores them. The faces are of its test split.
"""

import io
import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from absl import app, flags
from PIL import Image

from emotion_gcn_jax import runtime
from emotion_gcn_jax.faces.alignment import Crop, align_and_crop
from emotion_gcn_jax.faces.detection import Detection, detect, in_dataset
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.rendering.sampling import sample_face
from emotion_gcn_jax.rendering.scene import RenderedFace, render
from emotion_gcn_jax.rendering.synthetic import stored_face
from tests.scenes import Scene, SceneFace, group

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model trained on synthetic_faces; none measures crops only.")
_FACES = flags.DEFINE_integer("faces", 240, "How many.", lower_bound=5)
_TILT = flags.DEFINE_float(
    "tilt", None, "Largest tilt of the heads in radians; as the dataset draws them if not given."
)

_SEED, _FIRST, _PER_SCENE = 0, 600, 5


def main(argv: Sequence[str]) -> None:
    """Prints one JSON object."""
    del argv
    runtime.set_up()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        scenes = list(pool.map(_scene, range(_FACES.value // _PER_SCENE)))
    pairs, false = [], 0
    for scene in scenes:
        found = detect(scene.image_HxWx3)
        matched = [_match(found, truth) for truth in scene.faces]
        pairs += [(scene, truth, face) for truth, face in zip(scene.faces, matched, strict=True) if face is not None]
        false += len(found) - sum(face is not None for face in matched)
    total = len(scenes) * _PER_SCENE
    report: dict[str, object] = {"faces": total, "missed": total - len(pairs), "false": false}
    report["suggested"] = _suggestion([(truth, face) for _, truth, face in pairs])
    placed = [(truth, in_dataset(face, "synthetic_faces")) for _, truth, face in pairs]
    report["crops"] = _spread([_crop_errors(truth, face) for truth, face in placed])
    if _TILT.value is None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            apart = [difference for difference in pool.map(_against_itself, *zip(*placed, strict=True)) if difference]
        report["detector_against_itself"] = _spread(apart)
    if _CHECKPOINT.value:
        report["accuracy"] = _accuracies(pairs)
    print(json.dumps(report, indent=2))


def _scene(number: int) -> Scene:
    indices = range(_FIRST + _PER_SCENE * number, _FIRST + _PER_SCENE * (number + 1))
    tilts = None
    if _TILT.value is not None:
        tilts = np.random.default_rng(number).uniform(-_TILT.value, _TILT.value, _PER_SCENE).tolist()
    return group(_SEED, indices, tilts=tilts)


def _match(found: Sequence[Detection], truth: SceneFace | RenderedFace) -> Detection | None:
    """The detection whose centre is nearest, if it is within half the face's side."""
    centre_2, side = _square(truth.box)
    nearest = min(found, key=lambda face: math.dist(_square(face.box)[0], centre_2), default=None)
    if nearest is None or math.dist(_square(nearest.box)[0], centre_2) > side / 2:
        return None
    return nearest


def _square(box: Sequence[float]) -> tuple[np.ndarray, float]:
    """Centre and larger side."""
    x0, y0, x1, y1 = box
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2]), max(x1 - x0, y1 - y0)


def _suggestion(pairs: Sequence[tuple[SceneFace, Detection]]) -> dict[str, float]:
    """Least squares for the fields of DatasetBox."""
    scales, along, down, sines = [], [], [], []
    for truth, face in pairs:
        (true_2, true_side), (found_2, found_side) = _square(truth.box), _square(face.box)
        angle = math.atan2(face.right_eye[1] - face.left_eye[1], face.right_eye[0] - face.left_eye[0])
        x, y = (true_2 - found_2) / found_side
        along.append(x * math.cos(angle) + y * math.sin(angle))
        down.append(y * math.cos(angle) - x * math.sin(angle))
        scales.append(true_side / found_side)
        sines.append(math.sin(angle))
    fields = dict(zip(("scale_per_sine", "scale"), np.polyfit(np.abs(sines), scales, 1), strict=True))
    fields |= zip(("down_per_sine", "down"), np.polyfit(np.abs(sines), down, 1), strict=True)
    fields["aside_per_sine"] = np.polyfit(sines, along, 1)[0]
    return {name: round(float(value), 4) for name, value in fields.items()}


class _CropErrors(NamedTuple):
    """How far one crop is off: its centre and its side in shares of the right side, its tilt in degrees."""

    x: float
    y: float
    side: float
    degrees: float


def _crop_errors(truth: SceneFace | RenderedFace, face: Detection) -> _CropErrors:
    (true_2, true_side), (found_2, found_side) = _square(truth.box), _square(face.box)
    x, y = (found_2 - true_2) / true_side
    true_angle, angle = (math.atan2(*np.subtract(f.right_eye, f.left_eye)[::-1]) for f in (truth, face))
    return _CropErrors(x, y, found_side / true_side - 1, math.degrees(angle - true_angle))


def _against_itself(truth: SceneFace, face: Detection) -> _CropErrors | None:
    """How differently a face is found in the scene and in the picture that the dataset cuts it out of."""
    rendered = render(sample_face(_SEED, truth.index), 512)
    other = _match(detect(rendered.image_SxSx3), rendered)
    if other is None:
        return None
    here, there = _crop_errors(truth, face), _crop_errors(rendered, in_dataset(other, "synthetic_faces"))
    return _CropErrors(
        x=(here.x - there.x) / (1 + there.side),
        y=(here.y - there.y) / (1 + there.side),
        side=(1 + here.side) / (1 + there.side) - 1,
        degrees=here.degrees - there.degrees,
    )


def _spread(errors: Sequence[_CropErrors]) -> dict[str, object]:
    x_N, y_N, side_N, degrees_N = np.transpose(errors)
    distance_N = np.hypot(x_N, y_N)
    worse_N = np.maximum(distance_N, np.abs(side_N))
    return {
        "mean_centre": [round(float(np.mean(x_N)), 4), round(float(np.mean(y_N)), 4)],
        "mean_side": round(float(np.mean(side_N)), 4),
        "centre_50_90_100": np.quantile(distance_N, (0.5, 0.9, 1)).round(4).tolist(),
        "side_50_90_100": np.quantile(np.abs(side_N), (0.5, 0.9, 1)).round(4).tolist(),
        "degrees_50_90_100": np.quantile(np.abs(degrees_N), (0.5, 0.9, 1)).round(2).tolist(),
        "both_within_3_5_10_percent": [round(float(np.mean(worse_N <= limit)), 3) for limit in (0.03, 0.05, 0.1)],
    }


def _accuracies(pairs: Sequence[tuple[Scene, SceneFace, Detection]]) -> dict[str, float]:
    """Of the same faces, cut out of the dataset, out of the scenes by the truth, and out of the scenes as found."""
    from emotion_gcn_jax.inference.model import load

    model = load(_CHECKPOINT.value)
    crop: Crop = model.crop

    def cut(scene: Scene, face: SceneFace | Detection) -> np.ndarray:
        return align_and_crop(scene.image_HxWx3, face.box, face.left_eye, face.right_eye, crop)

    faces = {
        "stored": [_stored(truth.index, crop) for _, truth, _ in pairs],
        "scenes, true boxes": [cut(scene, truth) for scene, truth, _ in pairs],
        "scenes, found": [cut(scene, in_dataset(face, model.meta["dataset"])) for scene, _, face in pairs],
    }
    right = [EXPRESSIONS[truth.expression] for _, truth, _ in pairs]
    return {
        name: float(np.mean([p.expression == label for p, label in zip(model.predict_faces(cuts), right, strict=True)]))
        for name, cuts in faces.items()
    }


def _stored(index: int, crop: Crop) -> np.ndarray:
    with Image.open(io.BytesIO(stored_face(_SEED, index, crop=crop).image_png)) as image:
        return np.asarray(image)


if __name__ == "__main__":
    app.run(main)
