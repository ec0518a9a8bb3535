"""Writes a raw folder of rendered faces in the form of a release: Aff-Wild2's of an edition, RAF-DB's or AffectNet's.

    python -m benchmarks.rendered_release --output=raw --edition=3rd
    python -m benchmarks.rendered_release --output=raw_rafdb --dataset=rafdb
    python -m benchmarks.rendered_release --output=raw_affectnet --dataset=affectnet

It goes through `tfds build` as the release does; AffectNet's form is that of March 2021, the config npy. Aff-Wild2's
sets divide the videos differently, as the real ones do: of every four the first is in all validation sets, the second
in that of valence and arousal alone; and in every third action units are not annotated. No face here shows contempt: in
AffectNet's form every other one of disgust is called so.
"""

import pathlib
from collections.abc import Callable

import numpy as np
from absl import app, flags

from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.labels import CLASS_ORDERS, EXPRESSIONS, Expression
from emotion_gcn_jax.rendering.actions import ACTION_UNITS
from emotion_gcn_jax.rendering.synthetic import StoredFace, stored_clips, stored_faces
from tests import raw_affwild2
from tests.raw_affwild2 import EDITIONS, OUR_ID, SIZE, UNITS_12, Row, Video

_OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
_DATASET = flags.DEFINE_enum("dataset", "affwild2", ["affwild2", "rafdb", "affectnet"], "Whose form it has.")
_EDITION = flags.DEFINE_enum("edition", "3rd", list(EDITIONS), "Of Aff-Wild2's annotations.")
_VIDEOS = flags.DEFINE_integer("videos", 12, "How many.", lower_bound=4)
_FRAMES = flags.DEFINE_integer("frames", 24, "Of each, at ten a second.", lower_bound=12)

_FACES = flags.DEFINE_integer(
    "faces", 210, "Of RAF-DB and AffectNet, to train on; a third as many test.", lower_bound=42
)

_CODE = {ours: code for code, ours in OUR_ID.items()}


def main(_: object) -> None:
    """Renders faces and writes them."""
    print(f"{_WRITERS[_DATASET.value](pathlib.Path(_OUTPUT.value).expanduser())}, in {_OUTPUT.value}")


def _write_affwild2(root: pathlib.Path) -> str:
    crop = Crop(side=1.05, size=SIZE, enlarge=True)
    clips = stored_clips(0, range(_VIDEOS.value), _FRAMES.value, crop=crop)
    release = [_video(number, faces) for number, faces in enumerate(clips)]
    raw_affwild2.write(root, _EDITION.value, release)
    images = sum(row.image is not None for video in release for row in video.rows)
    return f"{len(release)} videos of {_FRAMES.value} frames, {images} of them with a face"


def _write_rafdb(root: pathlib.Path) -> str:
    crop, lines = Crop(side=1.05, size=100, enlarge=True), []
    codes = CLASS_ORDERS["raf_db"].ids(EXPRESSIONS)
    code_of = {place: code for code, place in codes.items()}
    for split, digits, indices in (("train", 5, _training()), ("test", 4, _testing())):
        for number, face in enumerate(stored_faces(0, indices, crop=crop), start=1):
            name = f"{split}_{number:0{digits}d}"
            _write(root / f"basic/Image/aligned/{name}_aligned.jpg", _jpeg(face))
            lines.append(f"{name}.jpg {code_of[face.expression]}")
    _write(root / "basic/EmoLabel/list_patition_label.txt", "\n".join(lines).encode())
    return f"{len(lines)} faces"


def _write_affectnet(root: pathlib.Path) -> str:
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
    return f"{len(_training()) + len(_testing())} faces"


def _training() -> range:
    return range(_FACES.value)


def _testing() -> range:
    return range(_FACES.value, _FACES.value * 4 // 3)


def _jpeg(face: StoredFace) -> bytes:
    return pictures.encode_jpeg(pictures.decode(face.image_png))


def _write(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _video(number: int, faces: dict[int, StoredFace]) -> Video:
    name = f"rendered_{number:03d}"
    rows = tuple(
        _row(name, frame, faces[frame]) if frame in faces else Row(name, frame, units=(-1,) * 12, image=None)
        for frame in range(1, _FRAMES.value + 1)
    )
    place = "validation" if number % 4 == 0 else "train"
    va = "validation" if number % 4 < 2 else "train"
    return Video(name, rows, expr=place, va=va, au=place if number % 3 < 2 else None)


def _row(video: str, frame: int, face: StoredFace) -> Row:
    flags_of = dict(zip((int(unit[2:]) for unit in ACTION_UNITS), face.action_units.tolist(), strict=True))
    return Row(
        video,
        frame,
        code=_CODE[face.expression],
        affect=(round(face.valence, 3), round(face.arousal, 3)),
        units=tuple(flags_of.get(unit, 0) for unit in UNITS_12),  # no face here shows AU23 or AU24
        image=_jpeg(face),
    )


_WRITERS: dict[str, Callable[[pathlib.Path], str]] = {
    "affwild2": _write_affwild2,
    "rafdb": _write_rafdb,
    "affectnet": _write_affectnet,
}


if __name__ == "__main__":
    app.run(main)
