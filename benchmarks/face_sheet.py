"""Writes a sheet of synthetic faces: with their names or a model's predictions, or numbered for a reader to name them.

    python benchmarks/face_sheet.py --output=docs/synthetic_faces_sheet.png
    python benchmarks/face_sheet.py --output=docs/predictions.jpg --rows=3 --seed=1 --checkpoint=runs/demo
    python benchmarks/face_sheet.py --output=blind.png --answers=blind.json --seed=123

The first two have one column an expression; in the second stands under each face what the model says of it, in red if
the expression is wrong, beside its true valence and arousal. The third has as many of each in an order drawn by chance,
with the truth apart. A reader's answers, seven class names' first two letters in any case separated by spaces, are then
scored by

    python benchmarks/face_sheet.py --answers=blind.json --read=answers.txt
"""

import io
import json
import pathlib
import secrets
from collections.abc import Sequence

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw, ImageFont

from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.rendering.sampling import FACES_PER_SUBJECT, sample_face
from emotion_gcn_jax.rendering.synthetic import stored_face

_OUTPUT = flags.DEFINE_string("output", None, "The picture to write.")
_ANSWERS = flags.DEFINE_string("answers", None, "Where the truth of a numbered sheet is kept.")
_READ = flags.DEFINE_string("read", None, "A reader's answers to score.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model whose predictions are written under the faces.")
_ROWS = flags.DEFINE_integer("rows", 10, "Faces of each expression.", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 128, "Side of a face in pixels.", lower_bound=32)
_SEED = flags.DEFINE_integer("seed", None, "Which faces; drawn by chance if not given.")

_MARGIN, _TITLE, _LINE = 3, 22, 17
_RIGHT, _WRONG = (20, 110, 40), (200, 20, 20)

Note = tuple[str, tuple[int, int, int]]


def main(argv: Sequence[str]) -> None:
    """Writes a sheet or scores answers."""
    del argv
    if _READ.value:
        print(json.dumps(_score(pathlib.Path(_ANSWERS.value), pathlib.Path(_READ.value))))
        return
    seed = secrets.randbelow(1 << 31) if _SEED.value is None else _SEED.value
    indices_ExR = _find_faces(seed, _ROWS.value)
    indices = indices_ExR.T.ravel()
    titles = [EXPRESSIONS[k] for k in range(len(EXPRESSIONS))] * _ROWS.value
    if _ANSWERS.value:
        order = np.random.default_rng(secrets.randbits(64)).permutation(len(indices))
        pathlib.Path(_ANSWERS.value).write_text(json.dumps({"seed": seed, "truth": [titles[k] for k in order]}))
        indices, titles = indices[order], [str(number + 1) for number in range(len(order))]
    _sheet(seed, indices, titles).save(_OUTPUT.value)


def _find_faces(seed: int, count: int) -> np.ndarray:
    """Indices [expressions, count] of faces of different subjects, as the data set draws them."""
    found: list[list[int]] = [[] for _ in EXPRESSIONS]
    index = 0
    while min(map(len, found)) < count:
        same = found[sample_face(seed, index).expression]
        if len(same) < count:
            same.append(index)
        index += FACES_PER_SUBJECT
    return np.array(found)


def _sheet(seed: int, indices: np.ndarray, titles: Sequence[str]) -> Image.Image:
    size, columns = _SIZE.value, len(EXPRESSIONS)
    faces = [stored_face(seed, int(index), crop=Crop(side=1.05, size=size, enlarge=True)) for index in indices]
    notes = _predictions(seed, indices) if _CHECKPOINT.value else [()] * len(faces)
    step_x, step_y = size + 2 * _MARGIN, size + _TITLE + _LINE * len(notes[0]) + _MARGIN
    sheet = Image.new("RGB", (columns * step_x, -(-len(faces) // columns) * step_y), "white")
    draw, title_font, font = ImageDraw.Draw(sheet), ImageFont.load_default(15), ImageFont.load_default(13)
    for place, (face, title, lines) in enumerate(zip(faces, titles, notes, strict=True)):
        x, y = place % columns * step_x + _MARGIN, place // columns * step_y
        with Image.open(io.BytesIO(face.image_png)) as picture:
            sheet.paste(picture, (x, y + _TITLE))
        draw.text((x + 1, y + 2), title, "black", title_font)
        for number, (line, colour) in enumerate(lines):
            draw.text((x + 1, y + _TITLE + size + 1 + number * _LINE), line, colour, font)
    return sheet


def _predictions(seed: int, indices: np.ndarray) -> list[tuple[Note, ...]]:
    """What the model says of every face, cut as its own dataset's are, and the truth where it is a number."""
    from emotion_gcn_jax import runtime
    from emotion_gcn_jax.inference.model import load

    runtime.set_up()
    model = load(_CHECKPOINT.value)
    faces = [stored_face(seed, int(index), crop=model.crop) for index in indices]
    notes = []
    for face, said in zip(faces, model.predict_faces([pictures.decode(f.image_png) for f in faces]), strict=True):
        colour = _RIGHT if said.expression == EXPRESSIONS[face.expression] else _WRONG
        lines: list[Note] = [(f"{said.expression} {said.probabilities[said.expression]:.0%}", colour)]
        for name in ("valence", "arousal"):
            if name in said.said():
                lines.append((f"{name} {said.said()[name]:+.2f} ({getattr(face, name):+.2f})", (90, 90, 90)))
        notes.append(tuple(lines))
    return notes


def _score(truth_path: pathlib.Path, answers_path: pathlib.Path) -> dict[str, object]:
    truth = json.loads(truth_path.read_text())["truth"]
    names = {name[:2].lower(): name for name in EXPRESSIONS}
    answers = [names[word[:2].lower()] for word in answers_path.read_text().split()]
    confusion = np.zeros((len(EXPRESSIONS), len(EXPRESSIONS)), int)
    for right, said in zip(truth, answers, strict=True):
        confusion[EXPRESSIONS.index(right), EXPRESSIONS.index(said)] += 1
    return {"accuracy": round(float(np.trace(confusion) / confusion.sum()), 4), "confusion": confusion.tolist()}


if __name__ == "__main__":
    app.run(main)
