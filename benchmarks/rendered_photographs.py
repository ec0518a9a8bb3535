"""Writes a raw folder of rendered faces, one by one, in the form of RAF-DB or of AffectNet (March 2021, config npy).

    python -m benchmarks.rendered_photographs --output=raw_rafdb --dataset=rafdb
    python -m benchmarks.rendered_photographs --output=raw_affectnet --dataset=affectnet

It goes through `tfds build` as the release does; rendered_release.py does so for Aff-Wild2's videos. No face here shows
contempt: in AffectNet's form every other one of disgust is called so.
"""

import pathlib
from collections.abc import Callable

import numpy as np
from absl import app, flags

from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.files import user_path
from emotion_gcn_jax.labels import CLASS_ORDERS, EXPRESSIONS, Expression
from emotion_gcn_jax.rendering.synthetic import StoredFace, stored_faces

_OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
_DATASET = flags.DEFINE_enum("dataset", "rafdb", ["rafdb", "affectnet"], "Whose form it has.")
_FACES = flags.DEFINE_integer("faces", 210, "To train on; a third as many test.", lower_bound=42)


def main(_: object) -> None:
    """Renders the faces and writes them."""
    _WRITERS[_DATASET.value](user_path(_OUTPUT.value))
    print(f"{_FACES.value} faces to train on and {len(_testing())} to test, in {_OUTPUT.value}")


def _write_rafdb(root: pathlib.Path) -> None:
    crop, lines = Crop(side=1.05, size=100, enlarge=True), []
    codes = CLASS_ORDERS["raf_db"].ids(EXPRESSIONS)
    code_of = {place: code for code, place in codes.items()}
    for split, digits, indices in (("train", 5, _training()), ("test", 4, _testing())):
        for number, face in enumerate(stored_faces(0, indices, crop=crop), start=1):
            name = f"{split}_{number:0{digits}d}"
            _write(root / f"basic/Image/aligned/{name}_aligned.jpg", _jpeg(face))
            lines.append(f"{name}.jpg {code_of[face.expression]}")
    _write(root / "basic/EmoLabel/list_patition_label.txt", "\n".join(lines).encode())


def _write_affectnet(root: pathlib.Path) -> None:
    crop = Crop(side=1.3, size=224, enlarge=True)
    for folder, indices in (("train_set", _training()), ("val_set", _testing())):
        disgusts = 0
        for number, face in enumerate(stored_faces(0, indices, crop=crop)):
            disgusts += face.expression == Expression.DISGUST
            code = 7 if face.expression == Expression.DISGUST and disgusts % 2 else face.expression
            points_68x2 = np.full((68, 2), face.head_center, np.float64)
            points_68x2[36:42], points_68x2[42:48] = face.left_eye, face.right_eye
            _write(root / folder / f"images/{number}.jpg", _jpeg(face))
            annotations = root / folder / "annotations"
            annotations.mkdir(exist_ok=True)
            for kind, value in (("exp", code), ("val", face.valence), ("aro", face.arousal)):
                np.save(annotations / f"{number}_{kind}.npy", np.array(str(value)))
            np.save(annotations / f"{number}_lnd.npy", points_68x2.reshape(-1))


def _training() -> range:
    return range(_FACES.value)


def _testing() -> range:
    return range(_FACES.value, _FACES.value * 4 // 3)


def _jpeg(face: StoredFace) -> bytes:
    return pictures.encode_jpeg(pictures.decode(face.image_png))


def _write(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


_WRITERS: dict[str, Callable[[pathlib.Path], None]] = {"rafdb": _write_rafdb, "affectnet": _write_affectnet}


if __name__ == "__main__":
    app.run(main)
