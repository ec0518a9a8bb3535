"""How far grey pixels alone get on a built dataset: the floor that a model of faces must leave well below itself.

    python benchmarks/pixel_baseline.py --dataset=synthetic_faces/demo

Fits scikit-learn's logistic regression to the training split's faces of 32 x 32 grey pixels and prints one JSON line:
dataset, training size, validation size and accuracy, share of the most frequent class.
"""

import json
import sys
from collections.abc import Sequence

import numpy as np
from absl import app, flags, logging
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.errors import UserError

_DATASET = flags.DEFINE_string(
    "dataset", "synthetic_faces/demo", "The dataset and its config, as built by `tfds build`."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where datasets are built; TFDS's own default if not given.")
_SIDE = flags.DEFINE_integer("side", 32, "Side of the grey faces in pixels.", lower_bound=1)
_STRENGTH = flags.DEFINE_float(
    "strength", 0.01, "Inverse strength of the L2 penalty (scikit-learn's C).", lower_bound=1e-9
)


def main(argv: Sequence[str]) -> None:
    """Fits, evaluates, prints."""
    del argv
    logging.set_verbosity(logging.ERROR)
    train_NxP, train_labels_N = _read_split("train", _SIDE.value)
    validation_NxP, validation_labels_N = _read_split("validation", _SIDE.value)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=_STRENGTH.value, max_iter=1000))
    model.fit(train_NxP, train_labels_N)
    result = {
        "dataset": _DATASET.value,
        "train_examples": len(train_labels_N),
        "validation_examples": len(validation_labels_N),
        "accuracy": round(float(model.score(validation_NxP, validation_labels_N)), 4),
        "most_frequent_class": round(float(np.bincount(validation_labels_N).max() / len(validation_labels_N)), 4),
    }
    print(json.dumps(result))


def _read_split(name: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey pixels [N, side * side] in 0..1 and expressions [N] of the examples that have one."""
    dataset, _, config = _DATASET.value.partition("/")
    split = open_split(dataset, name, config=config or None, data_dir=_DATA_DIR.value)
    split = split.select(split.columns["expression"] >= 0)
    pixels = []
    for index in range(len(split)):
        grey = Image.fromarray(split.image(index)).convert("L").resize((side, side), Image.Resampling.BILINEAR)
        pixels.append(np.asarray(grey, np.float32).ravel() / 255)
    return np.stack(pixels), split.columns["expression"]


if __name__ == "__main__":
    try:
        app.run(main)
    except UserError as error:
        sys.exit(f"pixel_baseline.py: {error}")
