"""Faces that the user has found: a CSV of boxes, in place of the detector's."""

import csv
import functools
import itertools
import pathlib
from collections.abc import Mapping, Sequence

from emotion_gcn_jax.errors import UserError, shown
from emotion_gcn_jax.faces.sizes import MOST_PIXELS
from emotion_gcn_jax.files import user_path
from emotion_gcn_jax.inference.results import Place

BOX = ("x0", "y0", "x1", "y1")
LEFT_EYE, RIGHT_EYE = ("left_eye_x", "left_eye_y"), ("right_eye_x", "right_eye_y")

_SEPARATORS = ",;\t"

OwnBoxes = Mapping[tuple[pathlib.Path, int | None], Sequence[Place]]
"""The faces by the file, as a whole path, and the frame; None is a picture's file."""


def read(file: str) -> OwnBoxes:
    """Reads a CSV of boxes: what `emotion-gcn predict --output faces.csv` writes is one.

    Args:
        file: its columns are file, x0, y0, x1, y1 and, where they are known, frame (of a video, from 0), left_eye_x,
            left_eye_y, right_eye_x, right_eye_y and score; others are passed over. Places are in pixels of the
            upright picture.

    Returns:
        Every picture's faces in the file's order.

    Raises:
        UserError: it cannot be read, lacks a column, or has a row that is no box.
    """
    found: dict[tuple[pathlib.Path, int | None], list[Place]] = {}
    try:
        with user_path(file).open(newline="", encoding="utf-8-sig") as lines:
            first = lines.readline()
            rows = csv.DictReader(itertools.chain([first], lines), delimiter=max(_SEPARATORS, key=first.count))
            missing = [column for column in ("file", *BOX) if column not in (rows.fieldnames or ())]
            if missing:
                raise UserError(
                    f"{file}: A CSV with the columns file, {', '.join(BOX)} was expected, {', '.join(missing)} not "
                    "found: name them in its first line."
                )
            for row in rows:
                try:
                    number = int(row["frame"]) if row.get("frame") else None
                    found.setdefault((_whole(row["file"]), number), []).append(_place(row))
                except (ValueError, TypeError) as error:
                    raise UserError(
                        f"{file}, line {rows.line_num}: A box was expected, found none ({shown(str(error))}): "
                        "correct it."
                    ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: A CSV of boxes was expected, found none that can be read ({error}).") from None
    return found


def of_picture(boxes: OwnBoxes, name: str, frame: int | None) -> Sequence[Place]:
    """The faces of a picture's file, or of a video's frame; none if the CSV has none."""
    return boxes.get((_whole(name), frame), ())


@functools.lru_cache(maxsize=1024)
def _whole(name: str) -> pathlib.Path:
    return user_path(name).resolve()


def _place(row: Mapping[str, str]) -> Place:
    x0, y0, x1, y1 = (_number(row[column]) for column in BOX)
    if x1 <= x0 or y1 <= y0:
        raise ValueError("x1 must be larger than x0, and y1 than y0")
    left_eye, right_eye = (
        (_number(row[x]), _number(row[y])) if row.get(x) and row.get(y) else None for x, y in (LEFT_EYE, RIGHT_EYE)
    )
    return Place((x0, y0, x1, y1), left_eye, right_eye, _number(row["score"]) if row.get("score") else None)


def _number(text: str) -> float:
    number = float(text)
    if not abs(number) <= MOST_PIXELS:  # NaN neither
        raise ValueError(f"{text} is no place in a picture")
    return number
