"""Faces that the user has found: a CSV of boxes, in place of the detector's."""

import csv
import functools
import io
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from emotion_gcn_jax.errors import UserError, extra, shown
from emotion_gcn_jax.faces.sizes import MOST_PIXELS
from emotion_gcn_jax.files import name_in_text, read_text, user_path
from emotion_gcn_jax.inference.results import Place
from emotion_gcn_jax.releases.tables import with_point

BOX = ("x0", "y0", "x1", "y1")
LEFT_EYE, RIGHT_EYE = ("left_eye_x", "left_eye_y"), ("right_eye_x", "right_eye_y")

_KNOWN = frozenset({"file", "frame", "score", *BOX, *LEFT_EYE, *RIGHT_EYE})
_SEPARATORS = ",;\t|"
_PARQUET = b"PAR1"  # how such a file begins
_SEPARATOR_HINT = re.compile(r"sep=.")  # the first line of some tables that Excel wrote
_NOTHING = frozenset({"", "nan", "na", "n/a", "<na>", "none", "null"})  # as programs write that a cell has no number

OwnBoxes = Mapping[tuple[pathlib.Path, int | None], Sequence[Place]]
"""The faces by the file, as a whole path, and the frame; None is a picture's file."""


def read(file: str) -> OwnBoxes:
    """Reads a table of boxes: what `emotion-gcn predict --output faces.csv` or faces.parquet writes is one.

    Args:
        file: its columns are file, x0, y0, x1, y1 and, where they are known, frame (of a video, from 0), left_eye_x,
            left_eye_y, right_eye_x, right_eye_y and score, in any case; others are passed over. Places are in pixels
            of the upright picture. A CSV is in UTF-8 or UTF-16, separated by commas, semicolons, tabs or |.

    Returns:
        Every picture's faces in the table's order.

    Raises:
        UserError: it cannot be read, lacks a column, or has a row that is no box.
    """
    found: dict[tuple[pathlib.Path, int | None], list[Place]] = {}
    try:
        for line, row in _rows(file, _from_parquet(file) or read_text(file)):
            try:
                found.setdefault((_whole(row["file"]), _frame(row)), []).append(_place(row))
            except (ValueError, KeyError) as error:
                reason = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
                raise UserError(
                    f"{file}, line {line}: A box was expected, found none ({shown(reason)}): correct it."
                ) from None
    except UserError:
        raise
    except (OSError, ValueError, csv.Error) as error:  # ValueError: no text, or a zero byte in its name
        raise UserError(f"{file}: A CSV of boxes was expected, found none that can be read ({error}).") from None
    return found


def of_picture(boxes: OwnBoxes, name: str, frame: int | None) -> Sequence[Place]:
    """The faces of a picture's file, or of a video's frame; none if the CSV has none."""
    return boxes.get((_whole(name), frame), ())


def _from_parquet(file: str) -> str:
    """The table as CSV; "" where the file is no Parquet."""
    path = user_path(file)
    if not path.is_file():  # a pipe, perhaps, which can be read once
        return ""
    with path.open("rb") as stream:
        if stream.read(len(_PARQUET)) != _PARQUET:
            return ""
    with extra("tables", "a table of boxes in Parquet"):
        from pyarrow import ArrowException, BufferOutputStream, csv, parquet
    try:
        table = parquet.read_table(path)
        written = BufferOutputStream()
        csv.write_csv(table.select([name for name in table.column_names if name.lower() in _KNOWN]), written)
    except ArrowException as error:
        raise ValueError(str(error)) from None
    return written.getvalue().to_pybytes().decode()


@functools.lru_cache(maxsize=1024)
def _whole(name: str) -> pathlib.Path:
    return pathlib.Path(name_in_text(str(user_path(name).resolve())))  # a table is a text, a file's name need not be


def _rows(file: str, text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yields every row's line in the file and its cells that are not empty, by the lower-case names of the columns."""
    lines = io.StringIO(text, newline="")
    first, passed = lines.readline(), 1
    if _SEPARATOR_HINT.fullmatch(first.strip()):
        first, passed = lines.readline(), 2
    headers = {mark: next(csv.reader([first], delimiter=mark), []) for mark in _SEPARATORS}
    named = {mark: [cell.strip().lower() for cell in header] for mark, header in headers.items()}
    separator = max(_SEPARATORS, key=lambda mark: len(_KNOWN.intersection(named[mark])))
    columns, is_spaced = named[separator], any(cell.startswith(" ") for cell in headers[separator])
    if missing := [column for column in ("file", *BOX) if column not in columns]:
        raise UserError(
            f"{file}: A CSV with the columns file, {', '.join(BOX)} was expected, {', '.join(missing)} not found: name "
            "them in its first line."
        )
    if twice := sorted(column for column in _KNOWN if columns.count(column) > 1):
        raise UserError(f"{file}: A CSV with every column once was expected, found {', '.join(twice)} twice: keep one.")
    numbers = _KNOWN - {"file"}
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=is_spaced)
    for cells in reader:
        row = {column: cell for column, cell in zip(columns, cells, strict=False) if cell.strip()}
        if separator != ",":  # programs of many countries write a comma for the point then
            row |= {column: with_point(cell) for column, cell in row.items() if column in numbers}
        if row:
            yield reader.line_num + passed, row


def _frame(row: Mapping[str, str]) -> int | None:
    """The number of a video's frame, as pandas writes it, too: 1.0, and nan of a picture."""
    number = _optional(row, "frame")
    if number is not None and not number.is_integer():
        raise ValueError(f"{row['frame']} is no number of a frame")
    return None if number is None else int(number)


def _place(row: Mapping[str, str]) -> Place:
    x0, y0, x1, y1 = (_number(row[column]) for column in BOX)
    if x1 <= x0 or y1 <= y0:
        raise ValueError("x1 must be larger than x0, and y1 than y0")
    left_eye, right_eye = (_eye(_optional(row, x), _optional(row, y)) for x, y in (LEFT_EYE, RIGHT_EYE))
    return Place((x0, y0, x1, y1), left_eye, right_eye, _optional(row, "score"))


def _eye(x: float | None, y: float | None) -> tuple[float, float] | None:
    return None if x is None or y is None else (x, y)


def _optional(row: Mapping[str, str], column: str) -> float | None:
    cell = row.get(column, "")
    return None if cell.strip().lower() in _NOTHING else _number(cell)


def _number(text: str) -> float:
    number = float(text)
    if not abs(number) <= MOST_PIXELS:  # NaN neither
        raise ValueError(f"{text} is no place in a picture")
    return number
