"""FER2013 as people have it: fer2013.csv, icml_face_data.csv, or a folder of image files for each class.

All are read into the splits "train" (Training), "validation" (PublicTest) and "test" (PrivateTest). Many images are in
the set twice or more often, 8 % of the test split in the training split as well: the column `copy_in_train` says which.
"""

import collections
import functools
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
import tqdm

from emotion_gcn_jax.errors import UserError, listed, shown
from emotion_gcn_jax.faces.pictures import encode_png
from emotion_gcn_jax.labels import CLASS_ORDERS, class_word
from emotion_gcn_jax.releases import ferplus, search
from emotion_gcn_jax.releases.building import Doubtful, Entry, Example, ReleaseSplit, Skip, in_order, unlikely_counts
from emotion_gcn_jax.releases.ferplus import Votes
from emotion_gcn_jax.releases.images import read_image
from emotion_gcn_jax.releases.tables import Row, TextTable, number, open_table

EXPRESSION_UNKNOWN = "expression unknown"
PIXELS_UNUSABLE = "pixels unusable"
ONE_COLOUR = "one constant colour"

SIDE = 48
"""Of every image, in pixels."""

USAGES: Mapping[str, str] = MappingProxyType({"Training": "train", "PublicTest": "validation", "PrivateTest": "test"})
"""The set's own names of its splits -> ours."""

CLASSES = CLASS_ORDERS["fer2013"]
LABEL_NAMES = CLASSES.vocabulary
"""The seven classes in the order of the set's own codes."""

# The rows by class (the sources are in tfds_builders/fer2013/README.md): FER2013's in the order of LABEL_NAMES,
# FERPlus's majorities in that of ferplus.LABEL_NAMES.
_COUNTS = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}
_MAJORITIES = {
    "train": (8740, 7287, 3149, 3014, 2100, 119, 532, 119),
    "validation": (1182, 865, 415, 351, 287, 24, 62, 13),
    "test": (1090, 893, 396, 384, 273, 18, 83, 16),
}

_LEAST_AGREEMENT = 0.4  # 67 % with the rows in order, 18 % if they are one row off

_TABLES = ("fer2013.csv", "icml_face_data.csv")
_COLUMNS = {name.lower(): name for name in ("emotion", "pixels", "Usage")}
_SPLIT_OF = {name.lower(): split for name, split in USAGES.items()}
_NAMED = re.compile(rf"({'|'.join(USAGES)})_.+", re.IGNORECASE)  # Training_3908.jpg: the number is not the row's
_SPLIT_FOLDERS = ({"training", "privatetest"}, {"train", "test"})
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class Face(NamedTuple):
    """An image of the set, or why there is none.

    Attributes:
        id: its row, five digits, or its file where the row is not known.
        where: the line or the file that holds it.
        split: train, validation or test.
        row: its place in fer2013.csv, from 0; -1 where a folder does not tell it.
        expression: its place in LABEL_NAMES.
        pixels: grey levels, uint8 48 x 48; or why it cannot be used.
    """

    id: str
    where: str
    split: str
    row: int
    expression: int
    pixels: np.ndarray | Skip


def read_faces(root: pathlib.Path) -> list[Face]:
    """Reads the whole set, 83 MB of pixels, from the table or the folders in `root` or up to four folders down.

    Raises:
        UserError: there is neither, the table lacks a column or names an unknown split, or file names do not tell the
            two test splits apart.
    """
    faces: list[Face] = []
    table = next((path for name in _TABLES if (path := search.nearest(root, name))), None)
    if table:
        faces = _read_table(table)
    elif folder := next((folder for folder, names in search.walk(root) if _has_splits(names)), None):
        faces = _read_folders(folder)
    if faces:
        return faces
    others = [path.name for path in root.iterdir()]
    raise UserError(
        f"Expected {' or '.join(_TABLES)}, or images in the folders train and test or {', '.join(USAGES)}, in {root} "
        f"or up to {search.DEPTH} folders down, and found {listed(sorted(others)) or 'nothing'}: name the folder that "
        "holds one of these by --manual_dir (train.csv and test.csv alone lack the labels of the test images)."
    )


def read_votes(root: pathlib.Path, faces: Sequence[Face]) -> Votes:
    """Finds FERPlus's list in `root` or up to four folders down; its row n is about row n of fer2013.csv.

    Raises:
        UserError: there is none, it cannot be read, or its rows are not those of `faces`.
    """
    path = search.nearest(root, ferplus.LIST)
    if path is None:
        raise UserError(
            f"Expected FERPlus's {ferplus.LIST} in {root} or up to {search.DEPTH} folders down, and found none: "
            "download it from github.com/microsoft/FERPlus and put it beside the images."
        )
    votes = ferplus.read_votes(path)
    if any(face.row < 0 for face in faces):
        raise UserError(
            f"Expected images whose rows in fer2013.csv are known, to join {path} by, and found files such as "
            f"{faces[0].where}, whose names do not tell them: use fer2013.csv."
        )
    if [face.row for face in faces] != list(range(len(votes.usages))):
        raise UserError(
            f"Expected an image for each of the {len(votes.usages):,} rows of {path}, and found {len(faces):,} in rows "
            f"{faces[0].row} to {faces[-1].row}: use the whole of both."
        )
    for face in faces:
        if USAGES.get(votes.usages[face.row]) != face.split:
            raise UserError(
                f"Expected the rows of {path} in the order of fer2013.csv, and found {shown(votes.usages[face.row])} "
                f"in row {face.row}, where {face.where} is of the split {face.split}: use the original files."
            )
    return votes


def splits(faces: Sequence[Face], votes: Votes | None = None) -> dict[str, ReleaseSplit]:
    """What a build makes of the images.

    Args:
        faces: of `read_faces`.
        votes: of `read_votes`; with them `expression` is the class of the majority, a place in ferplus.LABEL_NAMES or
            -1, and there is a column `expression_votes`, else it is FER2013's own.

    Returns:
        The splits by name. An example's image is a PNG of one channel without loss; `row` is its place in fer2013.csv,
        -1 where that is not known; `copy_in_train` tells whether an image of the validation or test split is, pixel by
        pixel, an image of the training split as well.
    """
    own_N = np.asarray([face.expression for face in faces])
    label_N = own_N if votes is None else ferplus.majority(votes.votes_Nx10)[[face.row for face in faces]]
    trained = {f.pixels.tobytes() for f in faces if f.split == "train" and isinstance(f.pixels, np.ndarray)}
    make = functools.partial(_example, votes=votes, trained=trained)
    found = {}
    for split in USAGES.values():
        rows = [row for row, face in enumerate(faces) if face.split == split]
        entries = (_entry(faces[row], int(label_N[row])) for row in rows)
        warnings = _unlikely(split, label_N[rows], own_N[rows], plus=votes is not None)
        found[split] = ReleaseSplit(entries, len(rows), make, warnings=warnings)
    return found


def _has_splits(names: Sequence[str]) -> bool:
    return any(wanted.issubset(name.lower() for name in names) for wanted in _SPLIT_FOLDERS)


def _read_table(path: pathlib.Path) -> list[Face]:
    table = open_table(path, _COLUMNS, list(_COLUMNS.values()))
    rows = tqdm.tqdm(table.rows(), desc=f"Reading {path.name}", unit=" rows", mininterval=1.0, leave=False)
    return [_row_face(table, row, place) for place, row in enumerate(rows)]


def _row_face(table: TextTable, row: Row, place: int) -> Face:
    usage = row.cells.get("Usage", "")
    split = _SPLIT_OF.get(usage.lower())
    if split is None:
        raise UserError(
            f"Expected {', '.join(USAGES)} for Usage, and found {shown(usage)!r} in line {row.line} of {table.path}: "
            "correct it, or download the file again."
        )
    where = f"{table.path.name} line {row.line}"
    code = number(row.cells.get("emotion", ""))
    pixels: np.ndarray | Skip = _pixels(row.cells.get("pixels", ""))
    if code not in CLASSES.names:
        code, pixels = -1, Skip(EXPRESSION_UNKNOWN, f"code {row.cells.get('emotion', '')!r}")
    return Face(f"{place:05d}", where, split, place, int(code), pixels)


def _pixels(text: str) -> np.ndarray | Skip:
    """The grey levels that a cell lists, row by row of the image."""
    try:
        levels_P = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        return Skip(PIXELS_UNUSABLE, f"not whole numbers: {text[:60]!r}")
    if levels_P.size != SIDE * SIDE or levels_P.min() < 0 or levels_P.max() > 255:
        return Skip(PIXELS_UNUSABLE, f"{levels_P.size} numbers, {SIDE * SIDE} of 0 to 255 were expected")
    return levels_P.astype(np.uint8).reshape(SIDE, SIDE)


def _read_folders(root: pathlib.Path) -> list[Face]:
    """Reads SPLIT/CLASS/FILE, where the folder or the file's name says Training, PublicTest or PrivateTest."""
    files = list(_image_files(root))
    stems = [path.stem for path, _, _ in files]
    # {Training,PublicTest,PrivateTest}/3/12345.png: the number is the row. Otherwise numbers begin anew in a folder.
    are_rows = all(stem.isdecimal() for stem in stems) and len({int(stem) for stem in stems}) == len(stems)
    read = in_order(lambda file: _grey(file[0]), files)
    faces = []
    for (path, split, expression), pixels in tqdm.tqdm(
        read, total=len(files), desc=f"Reading {root.name}", unit=" images", mininterval=1.0, leave=False
    ):
        row = int(path.stem) if are_rows else -1
        where = path.relative_to(root).as_posix()
        faces.append(Face(f"{row:05d}" if are_rows else where, where, split, row, expression, pixels))
    return sorted(faces, key=lambda face: face.row)  # stable: by name where the rows are not known


def _image_files(root: pathlib.Path) -> Iterator[tuple[pathlib.Path, str, int]]:
    """Yields every image file, its split and its place in LABEL_NAMES."""
    for path in sorted(root.glob("*/*/*")):
        split_name, class_name, name = path.relative_to(root).parts
        if path.suffix.lower() not in _SUFFIXES or any(part.startswith(".") for part in (split_name, class_name, name)):
            continue
        named = _NAMED.fullmatch(path.stem)
        split = {"train": "train", **_SPLIT_OF}.get((named[1] if named else split_name).lower())
        if split is None:
            raise UserError(
                f"Expected the folders {', '.join(USAGES)} in {root}, or names of images that begin with these words, "
                f"and found {shown(path.relative_to(root).as_posix())}: it does not tell PublicTest from PrivateTest, "
                "use fer2013.csv."
            )
        yield path, split, _expression(class_name, path)


def _expression(class_name: str, path: pathlib.Path) -> int:
    word = LABEL_NAMES[int(class_name)] if class_name in map(str, CLASSES.names) else class_word(class_name)
    if word not in LABEL_NAMES:
        raise UserError(
            f"Expected a folder for each of {', '.join(LABEL_NAMES)} (or 0 to 6), and found {shown(class_name)} in "
            f"{path.parent.parent}: rename or move it."
        )
    return LABEL_NAMES.index(word)


def _grey(path: pathlib.Path) -> np.ndarray | Skip:
    """A file's grey levels; copies have them as grey, RGB or RGBA."""
    try:
        image_HxWx3 = read_image(path)
    except Skip as skip:
        return skip
    height, width = image_HxWx3.shape[:2]
    if (height, width) != (SIDE, SIDE):
        return Skip(PIXELS_UNUSABLE, f"{width} x {height} pixels, {SIDE} x {SIDE} were expected")
    return cv2.cvtColor(image_HxWx3, cv2.COLOR_RGB2GRAY)


def _entry(face: Face, label: int) -> Entry:
    return Entry(face.id, face.where, face.pixels if isinstance(face.pixels, Skip) else (face, label))


def _example(content: tuple[Face, int], votes: Votes | None, trained: set[bytes]) -> Example | Doubtful:
    face, label = content
    pixels = np.asarray(face.pixels)
    example = {
        "image": encode_png(pixels),
        "expression": label,
        "row": face.row,
        "copy_in_train": face.split != "train" and pixels.tobytes() in trained,
        **({} if votes is None else {"expression_votes": votes.votes_Nx10[face.row]}),
    }
    return example if np.ptp(pixels) else Doubtful(example, ONE_COLOUR, f"grey level {pixels[0, 0]} everywhere")


def _unlikely(split: str, label_N: np.ndarray, own_N: np.ndarray, *, plus: bool) -> tuple[str, ...]:
    """Compares the numbers of a split's labels with the known ones, and FERPlus's with FER2013's image by image."""
    counts, words = (_MAJORITIES, ferplus.LABEL_NAMES) if plus else (_COUNTS, LABEL_NAMES)
    places = collections.Counter(label_N.tolist())
    found = {word: places[place] for place, word in enumerate(words)}
    expected = dict(zip(words, counts[split], strict=True))
    warnings = unlikely_counts(expected, found, slack=0)
    both_N = (label_N >= 0) & (own_N >= 0)
    agreed_N = np.asarray(words)[label_N[both_N]] == np.asarray(LABEL_NAMES)[own_N[both_N]]
    if agreed_N.sum() < _LEAST_AGREEMENT * len(agreed_N):
        warnings += (
            f"Warning: FERPlus and FER2013 agree on {agreed_N.mean():.0%} of the images, and 67 % are expected: use "
            f"the original files, {ferplus.LIST} seems to have other rows than the images.",
        )
    return warnings
