"""A list of AffectNet's original release: one row an image, with the face's box, 68 landmarks and the labels."""

import collections
import functools
import math
import pathlib
import re
from collections.abc import Iterator, Mapping

import numpy as np

from emotion_gcn_jax.releases import landmarks
from emotion_gcn_jax.releases.affectnet_annotation import (
    CLASSES,
    NOT_EXAMPLES,
    Annotation,
    Cut,
    affect,
    class_code,
    count_warnings,
    example,
    expression,
)
from emotion_gcn_jax.releases.building import Entry, ReleaseSplit, Skip
from emotion_gcn_jax.releases.tables import Row, TextTable, number, open_table, with_point

ROW_INCOMPLETE = "row incomplete"
BOX_MISSING = "box missing"
BOX_WITHOUT_AREA = "box without area"
LANDMARKS_UNUSABLE = "landmarks unusable"
LISTED_BEFORE = "listed before"

_PATH, _LANDMARKS = "subDirectory_filePath", "facial_landmarks"
_BOX = ("face_x", "face_y", "face_width", "face_height")
_COLUMNS = (_PATH, *_BOX, _LANDMARKS, "expression", "valence", "arousal")  # their order where there is no header
_KNOWN = {name.lower(): name for name in _COLUMNS}


def list_split(split: str, path: pathlib.Path, images: pathlib.Path, cut: Cut) -> ReleaseSplit:
    """The split that a list describes.

    An example's id is the last two parts of its image's path in the list, the numbered folder and the file's name,
    whatever the list has before them; there the image is looked for.

    Args:
        split: train or validation.
        path: the list.
        images: the folder of the numbered folders.
        cut: makes the stored images.

    Raises:
        UserError: the list cannot be read, or its header lacks a column.
    """
    table = open_table(
        path,
        _KNOWN,
        _COLUMNS,
        order=_COLUMNS,
        path_column=_PATH,
        list_column=_LANDMARKS,
        list_length=2 * landmarks.COUNT,
        number_columns=(*_BOX, "expression", "valence", "arousal"),
    )
    counts = collections.Counter(_code(row) for row in table.rows())
    return ReleaseSplit(
        entries=_entries(table, images),
        total=counts.total() - sum(counts[code] for code in NOT_EXAMPLES),
        make=functools.partial(example, cut=cut),
        not_examples={str(CLASSES.names[code]): counts[code] for code in NOT_EXAMPLES if counts[code]},
        warnings=count_warnings(split, counts, len(CLASSES.names)),
    )


def _code(row: Row) -> int | None:
    return class_code(row.cells.get("expression", ""))


def _entries(table: TextTable, images: pathlib.Path) -> Iterator[Entry]:
    line_of: dict[str, int] = {}
    for row in table.rows():
        if _code(row) in NOT_EXAMPLES:
            continue
        name = "/".join(re.findall(r"[^/\\]+", row.cells.get(_PATH, ""))[-2:])
        content: Annotation | Skip
        try:
            if name in line_of:
                raise Skip(LISTED_BEFORE, f"in line {line_of[name]}", lost=False)
            content = _annotation(row, images / name)
            line_of[name] = row.line
        except Skip as skip:
            content = skip
        yield Entry(name, f"{table.path.name} line {row.line}", content)


def _annotation(row: Row, image: pathlib.Path) -> Annotation:
    cells = row.cells
    if missing := [name for name in _COLUMNS if name not in cells]:
        raise Skip(ROW_INCOMPLETE, f"no {', '.join(missing)} in {row.text!r}")
    if not cells[_PATH]:
        raise Skip(ROW_INCOMPLETE, f"no path in {row.text!r}")
    place = expression(cells["expression"])
    box = _box(cells)
    numbers = _numbers(cells[_LANDMARKS])
    found = landmarks.eyes(np.array(numbers))
    if found is None:
        raise Skip(LANDMARKS_UNUSABLE, f"{np.isfinite(numbers).sum()} numbers in {cells[_LANDMARKS][:60]!r}")
    return Annotation(image, place, *affect(cells["valence"], cells["arousal"]), found, box)


def _numbers(landmarks_cell: str) -> list[float]:
    """The numbers of a list; where semicolons alone part it into all of them, commas in it are decimal ones."""
    items = [item for item in landmarks_cell.split(";") if item.strip()]
    if len(items) == 2 * landmarks.COUNT:
        return [number(with_point(item)) for item in items]
    return [number(text) for text in re.findall(r"[^;,\s]+", landmarks_cell)]


def _box(cells: Mapping[str, str]) -> tuple[float, float, float, float]:
    x, y, width, height = (number(cells[name]) for name in _BOX)
    found = ", ".join(cells[name] for name in _BOX)
    if not all(map(math.isfinite, (x, y, width, height))):
        raise Skip(BOX_MISSING, found)
    if width < 1 or height < 1:
        raise Skip(BOX_WITHOUT_AREA, found)
    return x, y, width, height
