"""Raw FER2013 folders of noise in every form that copies have, with FERPlus's list beside them.

No image and no row of the real set is in them. `ROWS` says what is written and what a builder should make of it.
"""

import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

FORMS = ("fer2013.csv", "icml_face_data.csv", "numbered", "kaggle")
SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # the codes 0 to 6
HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


class RawRow(NamedTuple):
    """A row of both lists: the image is a number's noise (0 is one colour); `majority` is FERPlus's column or -1."""

    usage: str
    code: int
    image: int
    votes: tuple[int, ...]
    majority: int
    name: str = "fer.png"
    is_copy: bool = False


def votes(**counts: int) -> tuple[int, ...]:
    """Ten counts by the names of their columns."""
    return tuple(counts.get(name, 0) for name in HEADER.split(",")[2:])


ROWS = (
    RawRow("Training", 3, 1, votes(happiness=10), 1),
    RawRow("Training", 0, 2, votes(anger=6, disgust=4), 4),
    RawRow("Training", 0, 2, votes(anger=5, disgust=5), -1),  # no more than half; a copy within the split
    RawRow("Training", 1, 3, votes(disgust=4, anger=3, sadness=1, fear=1, contempt=1), 5),  # 4 of 7: ones are dropped
    RawRow("Training", 2, 4, votes(fear=9), 6),  # one row of the official list has 9 votes
    RawRow("Training", 6, 5, votes(unknown=8, neutral=2), -1),
    RawRow("Training", 6, 0, votes(NF=10), -1, name=""),  # no face, and no name
    RawRow("Training", 4, 6, votes(sadness=2, neutral=1, happiness=1, surprise=1, anger=1, fear=1), 3),
    RawRow("Training", 5, 7, votes(surprise=10), 2, name="twice.png"),
    RawRow("Training", 6, 8, votes(contempt=7, neutral=3), 7, name="twice.png"),
    RawRow("PublicTest", 3, 1, votes(happiness=10), 1, is_copy=True),
    RawRow("PublicTest", 4, 9, votes(neutral=7, sadness=3), 0),
    RawRow("PublicTest", 2, 10, votes(fear=10), 6),
    RawRow("PrivateTest", 5, 10, votes(surprise=6, fear=4), 2),  # a copy of a PublicTest image
    RawRow("PrivateTest", 0, 2, votes(anger=10), 4, is_copy=True),
    RawRow("PrivateTest", 6, 11, votes(neutral=1, happiness=1, surprise=1, sadness=1, anger=1, disgust=1), -1),
)


def pixels(image: int) -> np.ndarray:
    """An image's grey levels: uint8 48 x 48."""
    return np.random.default_rng(image).integers(0, 256 if image else 1, (48, 48)).astype(np.uint8)


def write(root: pathlib.Path, form: str = "fer2013.csv", rows: tuple[RawRow, ...] = ROWS) -> pathlib.Path:
    """Writes one of FORMS and fer2013new.csv into `root`."""
    root.mkdir(parents=True, exist_ok=True)
    lines = [f"{row.usage},{row.name},{','.join(map(str, row.votes))}" for row in rows]
    (root / "fer2013new.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    if form.endswith(".csv"):
        _write_table(root / form, rows)
    for place, row in enumerate(rows):
        if form == "numbered":
            file = root / "deep" / row.usage / str(row.code) / f"{place}.png"
            picture = Image.fromarray(pixels(row.image)).convert("RGBA")
        elif form == "kaggle":
            folder = "train" if row.usage == "Training" else "test"
            file = root / folder / NAMES[row.code] / f"{row.usage}_{9000 - place}.jpg"
            picture = Image.fromarray(pixels(row.image))
        else:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file, **({"quality": 95} if file.suffix == ".jpg" else {}))
        (file.parent / ".DS_Store").touch()
    return root


def _write_table(path: pathlib.Path, rows: tuple[RawRow, ...]) -> None:
    cells = [(str(row.code), " ".join(map(str, pixels(row.image).ravel())), row.usage) for row in rows]
    if path.name == "fer2013.csv":
        lines = ["emotion,pixels,Usage", *(",".join(row) for row in cells)]
    else:  # another order, and blanks in the header
        lines = ["emotion, Usage, pixels", *(f"{code},{usage},{levels}" for code, levels, usage in cells)]
    path.write_text("\n".join(lines) + "\n")
