"""Aff-Wild2's annotation files, of every edition of the ABAW competition, as arrays of our labels.

Most are one text file a video (a person of a video): a line of names, then one line a frame. The multi-task set is one
table of single frames for all videos. Copies separate the cells by commas, semicolons, tabs or spaces, numbers perhaps
with decimal commas. Aff-Wild2's codes become places in LABEL_NAMES here, by `labels.CLASS_ORDERS`.
"""

import dataclasses
import pathlib
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import text_encoding
from emotion_gcn_jax.labels import ABAW_UNITS, ACTION_UNITS, CLASS_ORDERS, EXPRESSIONS, NO_CLASS, class_word
from emotion_gcn_jax.releases.tables import number, with_point

LABEL_NAMES = (*EXPRESSIONS, "Other")
"""The words that an expression's number in a Table stands for."""

UNITS = tuple(ACTION_UNITS)
"""The action units of all editions: the first annotates 8 of them (AU20 only there), the later ones 12."""

NO_ACTION_UNIT = -1
"""An action unit that is not annotated."""

_ORDER = CLASS_ORDERS["affwild2"]
_IDS = _ORDER.ids(LABEL_NAMES)
_PLACES = np.asarray([_IDS[code] for code in range(len(LABEL_NAMES))], np.int8)  # Aff-Wild2's codes are 0, 1, ...
_AFFECT = ("valence", "arousal")
_MULTI_TASK = ("image", *_AFFECT, "expression")  # then 12 action units, which most copies' line of names calls "aus"
_IMAGE = re.compile(r"(.*/)?(?P<video>[^/]+)/(?P<frame>\d+)(\.\w+)?")
_SEMICOLON = re.compile(r".*;")
_DECIMAL_COMMAS = re.compile(r"(\S+\s+)?[+-]?\d+(,\d+)?(\s+[+-]?\d+(,\d+)?)+$")  # between spaces or tabs
_SHOWN = 60  # characters of a malformed row in the report


@dataclasses.dataclass(frozen=True)
class Table:
    """The labels of N rows of one file about one video; what a file does not annotate is missing in every row.

    Attributes:
        file: the annotation file.
        lines_N: int32, the rows' lines in it, from 1.
        frames_N: int32, the frames' numbers; from 1 where a row is a frame.
        expression_N: int8, places in LABEL_NAMES; -1 for none.
        affect_Nx2: float32, valence and arousal in [-1, 1]; NaN where either is missing.
        action_units_NxA: int8, 0 or 1 in the order of UNITS; -1 for none.
        malformed: the text of each row that is not what the file's rows are, by its line.
    """

    file: pathlib.Path
    lines_N: np.ndarray
    frames_N: np.ndarray
    expression_N: np.ndarray
    affect_Nx2: np.ndarray
    action_units_NxA: np.ndarray
    malformed: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.frames_N)

    @property
    def malformed_N(self) -> np.ndarray:
        """Which rows are malformed, bool."""
        return np.isin(self.lines_N, list(self.malformed))

    def with_labels_of(self, other: "Table") -> "Table":
        """Returns these rows with what another file about the same video says of them and this one does not."""
        common = min(len(self), len(other))  # one may be a frame or more longer
        missing = {
            "expression_N": self.expression_N == NO_CLASS,
            "affect_Nx2": np.isnan(self.affect_Nx2),
            "action_units_NxA": self.action_units_NxA == NO_ACTION_UNIT,
        }
        labels = {}
        for name, missing_N in missing.items():
            labels[name] = getattr(self, name).copy()
            labels[name][:common] = np.where(missing_N[:common], getattr(other, name)[:common], labels[name][:common])
        malformed = dict(self.malformed)
        for row in np.flatnonzero(other.malformed_N[:common]).tolist():
            line = int(other.lines_N[row])
            found = f"{other.file.parent.parent.name} line {line}: {other.malformed[line]}"
            malformed.setdefault(int(self.lines_N[row]), found)
        return dataclasses.replace(self, **labels, malformed=malformed)

    def rows(self, chosen: np.ndarray) -> "Table":
        """Returns some of the rows."""
        arrays = {name: array[chosen] for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        return dataclasses.replace(self, **arrays)


def read_expressions(file: pathlib.Path) -> Table:
    """Reads the expressions of a video: a line of class names, then an integer a frame, -1 for none.

    Raises:
        UserError: if it cannot be read, or names its classes in another order than every edition known.
    """
    names, rows = _read(file)
    known = [word for word in _ORDER.words.values() if word]
    if [class_word(name) for name in names] != known[: len(names)]:
        raise UserError(
            f"Expected the classes {', '.join(known)} (the last from the third edition on), and found "
            f"{', '.join(names)[:200]} in {file}: these codes are not known, use an official annotation file."
        )
    codes_N = rows.numbers(1)[:, 0]
    return rows.table(~_are_codes(codes_N), expression_N=_expressions(codes_N))


def read_affect(file: pathlib.Path) -> Table:
    """Reads valence and arousal of a video: a line of names in either order, then two numbers a frame, -5 for none.

    Raises:
        UserError: if it cannot be read, or names other columns.
    """
    names, rows = _read(file)
    order = [name.lower() for name in names] or list(_AFFECT)
    if sorted(order) != sorted(_AFFECT):
        raise UserError(
            f"Expected the columns {' and '.join(_AFFECT)}, and found {', '.join(names)[:200]} in {file}: use an "
            "official annotation file."
        )
    values_Nx2 = rows.numbers(2)[:, [order.index(name) for name in _AFFECT]]
    return rows.table(np.isnan(values_Nx2).any(axis=1), affect_Nx2=_affect(values_Nx2))


def read_action_units(file: pathlib.Path) -> Table:
    """Reads the action units of a video: a line of names (AU1, AU2, ...), then a 0, 1 or -1 for each of them a frame.

    Raises:
        UserError: if it cannot be read, or does not tell which action units it holds.
    """
    names, rows = _read(file, _are_unit_numbers)
    width = len(names) or statistics.mode([len(cells) for cells in rows.cells] or [12])
    units = tuple(map(_unit, names)) or ABAW_UNITS.get(width, ())
    if not units or not set(units) <= set(UNITS) or len(set(units)) < len(units):
        found = ", ".join(names)[:200] or f"{width} columns without names"
        raise UserError(
            f"Expected the names of action units ({', '.join(UNITS)}), and found {found} in {file}: use an official "
            "annotation file."
        )
    values_NxK = rows.numbers(width)
    return rows.table(~_are_units(values_NxK), action_units_NxA=_action_units(values_NxK, units))


def read_multi_task(file: pathlib.Path) -> dict[str, Table]:
    """Reads the multi-task set: rows of `video/00001.jpg`, valence, arousal, expression and 12 action units.

    Whatever a copy has before the video's name, such as the folder of the images, is not looked at.

    Returns:
        A table for every video, its rows in the file's order. A row that names no frame has no place in them and is
        under the name "".

    Raises:
        UserError: if it cannot be read, or does not tell which columns it holds.
    """
    names, rows = _read(file, column_of_numbers=1)
    places = _multi_task_places(names, file)
    rows = rows.in_order(places)
    images = [_IMAGE.fullmatch(cells[0].replace("\\", "/")) for cells in rows.cells]
    values_Nx15 = dataclasses.replace(rows, cells=[cells[1:] for cells in rows.cells]).numbers(len(places) - 1)
    no_image_N = np.asarray([image is None for image in images], bool)
    affect_Nx2, codes_N, units_Nx12 = values_Nx15[:, :2], values_Nx15[:, 2], values_Nx15[:, 3:]
    everything = rows.table(
        no_image_N | np.isnan(affect_Nx2).any(axis=1) | ~_are_codes(codes_N) | ~_are_units(units_Nx12),
        frames_N=np.asarray([int(image["frame"]) if image else 0 for image in images], np.int32),
        expression_N=_expressions(codes_N),
        affect_Nx2=_affect(affect_Nx2),
        action_units_NxA=_action_units(units_Nx12, ABAW_UNITS[12]),
    )
    rows_of: dict[str, list[int]] = {}
    for row, image in enumerate(images):
        rows_of.setdefault(image["video"] if image else "", []).append(row)
    return {video: everything.rows(np.asarray(chosen)) for video, chosen in sorted(rows_of.items())}


@dataclasses.dataclass(frozen=True)
class _Rows:
    """A file's rows: their text and their cells; first_line is the first row's line."""

    file: pathlib.Path
    lines: list[str]
    cells: list[list[str]]
    first_line: int

    def in_order(self, places: Sequence[int]) -> "_Rows":
        """These rows with the cells at these places; a row without exactly as many cells stays as it is."""
        cells = [[row[place] for place in places] if len(row) == len(places) else row for row in self.cells]
        return dataclasses.replace(self, cells=cells)

    def numbers(self, width: int) -> np.ndarray:
        """The cells as float64 [N, width].

        A row without exactly as many numbers is NaN: it is still a frame's, and those below it keep their places.
        """
        nothing = [""] * width
        numbers = [[number(cell) for cell in (cells if len(cells) == width else nothing)] for cells in self.cells]
        return np.asarray(numbers, np.float64).reshape(-1, width)

    def table(self, malformed_N: np.ndarray, **labels: np.ndarray) -> Table:
        """The rows with these labels and without the others; the n-th is the n-th frame if no frames_N are given."""
        count = len(self.lines)
        lines_N = np.arange(self.first_line, self.first_line + count, dtype=np.int32)
        missing: dict[str, np.ndarray] = {
            "frames_N": np.arange(1, count + 1, dtype=np.int32),
            "expression_N": np.full(count, NO_CLASS, np.int8),
            "affect_Nx2": np.full((count, 2), np.nan, np.float32),
            "action_units_NxA": np.full((count, len(UNITS)), NO_ACTION_UNIT, np.int8),
        }
        malformed = {
            self.first_line + row: repr(self.lines[row][:_SHOWN]) for row in np.flatnonzero(malformed_N).tolist()
        }
        return Table(file=self.file, lines_N=lines_N, malformed=malformed, **(missing | labels))


def _read(
    file: pathlib.Path,
    are_names: Callable[[Sequence[str]], bool] = lambda cells: False,
    *,
    column_of_numbers: int = 0,
) -> tuple[list[str], _Rows]:
    """Returns a file's names and its rows; blank lines above both count for nothing.

    The first line holds names if it has no number in the given column, or if `are_names` says so of its cells.
    """
    try:
        text = file.read_text(encoding=text_encoding(file), errors="replace")
    except OSError as error:
        raise UserError(f"The annotation file {file} cannot be read ({error.strerror}): check it.") from None
    lines = [line.strip() for line in text.rstrip().splitlines()]  # blank lines between others are rows
    top = next((place for place, line in enumerate(lines) if line), 0)
    first = _split(lines[top : top + 1])
    has_names = bool(first) and (not np.isfinite(number((*first[0], "", "")[column_of_numbers])) or are_names(first[0]))
    names = [name for name in first[0] if name] if has_names else []
    above = top + has_names
    rows = lines[above:]
    return names, _Rows(file, rows, _split(rows), 1 + above)


def _split(lines: list[str]) -> list[list[str]]:
    """Splits lines into cells without quotes, and without the empty ones that separators at a line's end make."""
    separator = _separator([line for line in lines if line])
    return [_cells(line, separator) for line in lines]


def _separator(lines: Sequence[str]) -> str | None:
    """The comma or semicolon that is in any line, or None for spaces and tabs; commas may be in the numbers instead."""
    for mark, form in ((";", _SEMICOLON), (None, _DECIMAL_COMMAS)):
        if 2 * sum(bool(form.match(line)) for line in lines) > len(lines):
            return mark
    return next((mark for mark in ",;" if any(mark in line for line in lines)), None)


def _cells(line: str, separator: str | None) -> list[str]:
    cells = [cell.strip().strip("\"'").strip() for cell in line.split(separator)]
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return (cells if separator == "," else list(map(with_point, cells))) or [""]


def _unit(name: str) -> str:
    """The action unit that a column's name means: AU1 by "AU01", "AU 1" or "1"; AU0, which is none, by any other."""
    return f"AU{int(re.sub(r'[^0-9]', '', name)[:9] or 0)}"  # int takes no more than 4,300 digits


def _are_unit_numbers(cells: Sequence[str]) -> bool:
    """Whether a first line has the units' numbers (1,2,4, ...), of which a frame's labels have only 1."""
    return all(cell.isdecimal() and _unit(cell) in UNITS for cell in cells) and set(map(int, cells)) != {1}


def _multi_task_places(names: Sequence[str], file: pathlib.Path) -> list[int]:
    """Where the multi-task set's columns are: image, valence, arousal, expression, then the units of ABAW_UNITS."""
    wanted = (*_MULTI_TASK, *ABAW_UNITS[12])
    words = [name.lower() for name in names]
    units_unnamed = not any(character.isdigit() for word in words for character in word)
    if not words or (tuple(words[: len(_MULTI_TASK)]) == _MULTI_TASK and units_unnamed):
        return list(range(len(wanted)))
    found = [word if word in _MULTI_TASK else _unit(word) for word in words]
    if sorted(found) != sorted(wanted):
        raise UserError(
            f"Expected the columns {', '.join(_MULTI_TASK)} and 12 action units ({', '.join(ABAW_UNITS[12])}), and "
            f"found {', '.join(names)[:200]} in {file}: use an official annotation file."
        )
    return [found.index(name) for name in wanted]


def _are_codes(codes_N: np.ndarray) -> np.ndarray:
    return np.isin(codes_N, list(_ORDER.words))


def _expressions(codes_N: np.ndarray) -> np.ndarray:
    """Translates Aff-Wild2's codes to places in LABEL_NAMES."""
    known_N = np.isin(codes_N, np.arange(len(_PLACES)))
    expression_N = np.full(len(codes_N), NO_CLASS, np.int8)
    expression_N[known_N] = _PLACES[codes_N[known_N].astype(int)]
    return expression_N


def _affect(values_Nx2: np.ndarray) -> np.ndarray:
    """Valence and arousal, both NaN where one is outside [-1, 1]: the official test of a frame's validity."""
    valid_N = (np.abs(values_Nx2) <= 1).all(axis=1)
    return np.where(valid_N[:, None], values_Nx2, np.nan).astype(np.float32)


def _are_units(values_NxK: np.ndarray) -> np.ndarray:
    return np.asarray(np.isin(values_NxK, (-1, 0, 1)).all(axis=1))


def _action_units(values_NxK: np.ndarray, units: Iterable[str]) -> np.ndarray:
    """Puts K columns at their places among UNITS."""
    action_units_NxA = np.full((len(values_NxK), len(UNITS)), NO_ACTION_UNIT, np.int8)
    known_NxK = np.isin(values_NxK, (-1, 0, 1))
    action_units_NxA[:, [UNITS.index(unit) for unit in units]] = np.where(known_NxK, values_NxK, NO_ACTION_UNIT)
    return action_units_NxA
