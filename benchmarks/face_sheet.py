"""Writes a sheet of synthetic faces: with their names for a README, or numbered for a reader who is to name them.

    python benchmarks/face_sheet.py --output=docs/synthetic_faces_sheet.png
    python benchmarks/face_sheet.py --output=blind.png --answers=blind.json --seed=123

The first has one column an expression; the second as many of each in an order drawn by chance, with the truth apart. A
reader's answers, seven class names' first two letters in any case separated by spaces, are then scored by

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

from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.faces.sampling import FACES_PER_SUBJECT, sample_face
from emotion_gcn_jax.faces.synthetic import stored_face
from emotion_gcn_jax.labels import EXPRESSIONS

_OUTPUT = flags.DEFINE_string("output", None, "The picture to write.")
_ANSWERS = flags.DEFINE_string("answers", None, "Where the truth of a numbered sheet is kept.")
_READ = flags.DEFINE_string("read", None, "A reader's answers to score.")
_ROWS = flags.DEFINE_integer("rows", 10, "Faces of each expression.", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 128, "Side of a face in pixels.", lower_bound=32)
_SEED = flags.DEFINE_integer("seed", None, "Which faces; drawn by chance if not given.")

_MARGIN, _TITLE = 3, 22


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
    crop = Crop(side=1.05, size=size, enlarge=True)
    step_x, step_y = size + 2 * _MARGIN, size + _TITLE + _MARGIN
    sheet = Image.new("RGB", (columns * step_x, -(-len(indices) // columns) * step_y), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for place, (index, title) in enumerate(zip(indices, titles, strict=True)):
        x, y = place % columns * step_x + _MARGIN, place // columns * step_y
        with Image.open(io.BytesIO(stored_face(seed, int(index), crop=crop).image_png)) as face:
            sheet.paste(face, (x, y + _TITLE))
        draw.text((x + 1, y + 2), title, "black", font)
    return sheet


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
