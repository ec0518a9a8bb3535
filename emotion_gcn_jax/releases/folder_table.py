"""A user's own table of images: the columns path, expression, valence, arousal, AU1 to AU26, subject, split ..."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from emotion_gcn_jax.errors import UserError, counted, listed
from emotion_gcn_jax.files import user_path
from emotion_gcn_jax.labels import NO_LABEL, class_word
from emotion_gcn_jax.releases.tables import Row, TextTable, number, open_table

_AFFECT = ("valence", "arousal")
_TEXTS = ("subject", "video", "recording")
_FRAMES = ("frame", "video_frames")  # of a video: numbers only where the column video says of which
_MOST_FRAMES = 10_000_000  # as data.source.LARGEST_NUMBER
_UNITS = tuple(f"AU{unit}" for unit in range(1, 27))
_KNOWN = {
    **{name: name for name in ("path", "expression", "split", *_AFFECT, *_TEXTS, *_FRAMES)},
    **{name.lower(): name for name in _UNITS},
    **{f"au{unit:02d}": f"AU{unit}" for unit in range(1, 10)},
}
_RESERVED = {*_KNOWN.values(), "id", "image", "action_units"} - set(_FRAMES)  # what is no other column
_LONGEST_WORD = 100  # characters of a class word; what is longer is a stray quote's work


@dataclasses.dataclass(frozen=True)
class Labels:
    """The images of a set and what is known of them, N of everything.

    Attributes:
        paths: the image files.
        splits: train, validation or test.
        words: class words, "" for none; empty where the set has no expressions.
        columns: the other label columns by name, arrays whose first axis is N.
        action_units: the names in the order of the column action_units.
        others: columns that are no labels, such as a site or an age band, as text: by their names, N each.
        warnings: sentences on what is doubtful in a split, by its name.
    """

    paths: Sequence[pathlib.Path]
    splits: Sequence[str]
    words: Sequence[str]
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    action_units: tuple[str, ...] = ()
    others: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    warnings: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def read_table(path: pathlib.Path, split_of: Callable[[str], str | None]) -> Labels:
    """Reads a table; paths in it are absolute or relative to its folder, and an empty cell is a missing label.

    Args:
        path: the table.
        split_of: by a split's name in any spelling the split; None where it is none.

    Raises:
        UserError: a column or a row is missing, or a cell is not what its column holds; it names the line.
    """
    table = open_table(path, _KNOWN, ["path"], path_column="path", number_columns=(*_AFFECT, *_UNITS))
    units = tuple(unit for unit in _UNITS if unit in table.columns)
    if not {"expression", *_AFFECT, *units} & set(table.columns):
        raise UserError(
            f"Expected a column expression, valence, arousal or AU1 to AU26 in {path}, and found "
            f"{', '.join(table.columns)[:200]}: name at least one of these in the first line."
        )
    rows = list(table.rows())
    frame_columns = [name for name in _FRAMES if name in table.columns and "video" in table.columns]
    columns = {
        **{name: _affect(table, rows, name) for name in _AFFECT if name in table.columns},
        **{name: np.asarray([row.cells.get(name, "") for row in rows]) for name in _TEXTS if name in table.columns},
        **{name: _whole_numbers(table, rows, name) for name in frame_columns},
        **({"action_units": _action_units(table, rows, units)} if units else {}),
    }
    words = [_word(row.cells.get("expression", "")) for row in rows] if "expression" in table.columns else []
    others = {
        name: np.asarray([row.cells.get(name, "") for row in rows])
        for name in table.columns
        if name and name not in {*_RESERVED, *frame_columns} and table.columns.count(name) == 1
    }
    split_of_rows = list(_splits(table, rows, split_of))
    frames = _repeated_frames(table, rows, split_of_rows) if "frame" in frame_columns else {}
    warnings = {
        split: (*_words_for_none(table, rows, split_of_rows, split), *frames.get(split, ()))
        for split in {*split_of_rows}
    }
    return Labels(_paths(table, rows), split_of_rows, words, columns, units, others, warnings)


def _word(cell: str) -> str:
    return "" if cell.lower() in NO_LABEL else class_word(cell[:_LONGEST_WORD])


def _words_for_none(table: TextTable, rows: Sequence[Row], splits: Sequence[str], wanted: str) -> tuple[str, ...]:
    """Says in how many rows of a split a word stands for no expression: it may have been meant as a class."""
    cells = [row.cells.get("expression", "") for row, split in zip(rows, splits, strict=True) if split == wanted]
    found = [cell for cell in cells if cell and cell.lower() in NO_LABEL]
    if not found:
        return ()
    return (
        f"Taken for unlabelled: {counted(len(found), 'row')} of {table.path} with {listed(sorted(set(found)))} for "
        "expression; choose another word if a class is meant.",
    )


def _paths(table: TextTable, rows: Sequence[Row]) -> list[pathlib.Path]:
    line_of: dict[pathlib.Path, int] = {}
    for row in rows:
        cell = row.cells.get("path", "").replace("\\", "/")
        if not cell:
            raise _wrong(table, row, "a path", "none")
        file = pathlib.Path(os.path.normpath(table.path.absolute().parent / user_path(cell)))
        if file in line_of:
            raise _wrong(table, row, "every image once", f"{cell} again, which line {line_of[file]} names")
        line_of[file] = row.line
    if not any(_exists(file) for file in line_of):
        found = f"no {str(next(iter(line_of)))[:300]} and none of the others" if line_of else "no row"
        raise UserError(f"Expected images in {table.path}, and found {found}: write paths relative to its folder.")
    return list(line_of)


def _exists(file: pathlib.Path) -> bool:
    try:
        return file.exists()
    except OSError:  # a name longer than the system takes
        return False


def _splits(table: TextTable, rows: Sequence[Row], split_of: Callable[[str], str | None]) -> Iterator[str]:
    for row in rows:
        name = row.cells.get("split", "") if "split" in table.columns else "train"
        split = split_of(name)
        if split is None:
            raise _wrong(table, row, "a split (train, validation or test)", repr(name))
        yield split


def _affect(table: TextTable, rows: Sequence[Row], name: str) -> np.ndarray:
    """Valence or arousal: float32 N, NaN where the cell is empty."""
    values_N = np.full(len(rows), np.nan, np.float32)
    for place, row in enumerate(rows):
        cell = row.cells.get(name, "")
        if cell.lower() in NO_LABEL:
            continue
        if not -1 <= number(cell) <= 1:
            raise _wrong(table, row, f"a number from -1 to 1, or nothing, for {name}", repr(cell))
        values_N[place] = number(cell)
    return values_N


def _whole_numbers(table: TextTable, rows: Sequence[Row], name: str) -> np.ndarray:
    """Frames' numbers or counts: int64 N."""
    for row in rows:
        cell = row.cells.get(name, "")
        if not (cell.isdecimal() and len(cell) < 20 and int(cell) <= _MOST_FRAMES):
            raise _wrong(table, row, f"a whole number of 0 to {_MOST_FRAMES} for {name}", repr(cell))
    return np.asarray([int(row.cells[name]) for row in rows], np.int64)


def _repeated_frames(table: TextTable, rows: Sequence[Row], splits: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Says of which frames a split has several images; only who trains on clips has to keep one of them."""
    lines: dict[tuple[str, str, int], list[str]] = {}
    for row, split in zip(rows, splits, strict=True):
        frame = (split, row.cells.get("video", ""), int(row.cells["frame"]))
        lines.setdefault(frame, []).append(str(row.line))
    repeated: dict[str, list[str]] = {}
    for (split, video, frame_number), found in lines.items():
        if len(found) > 1:
            repeated.setdefault(split, []).append(f"frame {frame_number} of {video} (lines {', '.join(found)})")
    return {
        split: (f"Warning: {table.path} has several images of {listed(found, most=3)}: keep one to train on clips.",)
        for split, found in repeated.items()
    }


def _action_units(table: TextTable, rows: Sequence[Row], units: Sequence[str]) -> np.ndarray:
    """Action units: int8 [N, A], -1 where the cell is empty."""
    values_NxA = np.full((len(rows), len(units)), -1, np.int8)
    for place, row in enumerate(rows):
        for column, unit in enumerate(units):
            cell = row.cells.get(unit, "")
            if cell.lower() in NO_LABEL:
                continue
            if number(cell) not in (-1, 0, 1):
                raise _wrong(table, row, f"0, 1, or -1 or nothing for a missing label, for {unit}", repr(cell))
            values_NxA[place, column] = number(cell)
    return values_NxA


def _wrong(table: TextTable, row: Row, expected: str, found: str) -> UserError:
    return UserError(f"Expected {expected}, and found {found[:200]} in line {row.line} of {table.path}: correct it.")
