"""Small comma-separated tables of numbers, with or without names, whose errors say where they are."""

import csv
import dataclasses
import math

import numpy as np

from emotion_gcn_jax.errors import UserError, shown
from emotion_gcn_jax.files import PathLike, user_path

PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".p", ".pt", ".pth"})
"""Files that could run any code when Python opens them (PyTorch's are pickles too)."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of finite numbers.

    Attributes:
        numbers_RxC: float64 R x C.
        row_names: names of the R rows, or None for plain numbers.
        column_names: names of the C columns, or None for plain numbers.
    """

    numbers_RxC: np.ndarray
    row_names: tuple[str, ...] | None
    column_names: tuple[str, ...] | None


def read_table(path: PathLike) -> Table:
    """Reads a comma-separated table: plain numbers, or a header line and a name at the start of every line.

    The two forms are told apart by the first cell, which is a number only in a plain table.

    Raises:
        UserError: if the file cannot be read, is ragged or holds a cell that is not a finite number.
    """
    lines = _read_lines(path)
    if not lines:
        raise UserError(f"{path} is empty: a table of comma-separated numbers was expected")
    row_names = column_names = None
    named = not _is_number(lines[0][0])
    if named:
        column_names = tuple(cell.strip() for cell in lines[0][1:])
        row_names = tuple(line[0].strip() for line in lines[1:])
        if any(_is_number(name) for name in column_names):
            raise UserError(
                f"{path} begins with {shown(lines[0][0])!r}, which is not a number: plain numbers only, or a "
                "header line with the names of the columns and then a name at the start of every line were expected"
            )
        lines = [line[1:] for line in lines[1:]]
    width = len(lines[0]) if column_names is None else len(column_names)
    first = 2 if named else 1  # rows and columns are counted from 1, names included
    numbers = []
    for row, line in enumerate(lines, start=first):
        if len(line) != width:
            raise UserError(f"every row of {path} should have {width} numbers, but row {row} has {len(line)}")
        numbers.append([_number(cell, path, row, column) for column, cell in enumerate(line, start=first)])
    return Table(np.asarray(numbers, np.float64).reshape(len(lines), width), row_names, column_names)


def _read_lines(path: PathLike) -> list[list[str]]:
    """Returns the cells of every line that is not blank."""
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the first cell.
        with user_path(path).open(encoding="utf-8-sig", newline="") as file:
            return [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: check the path") from None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path} is not text: a table of comma-separated numbers was expected") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str, path: PathLike, row: int, column: int) -> float:
    if not _is_number(cell) or not math.isfinite(float(cell)):
        raise UserError(
            f"every cell of {path} should be a finite number, but row {row}, column {column} holds "
            f"{shown(cell.strip())!r}"
        )
    return float(cell)
