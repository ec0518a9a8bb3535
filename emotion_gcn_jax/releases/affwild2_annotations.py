"""Aff-Wild2's annotation files, of every edition of the ABAW competition, as arrays of our labels.

Most are one text file a video (a person of a video): a line of names, then one line a frame. The multi-task set is one
table of single frames for all videos. Aff-Wild2's order of expressions becomes ours here, by `labels.CLASS_ORDERS`.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import CLASS_ORDERS, NO_EXPRESSION

ACTION_UNITS = (1, 2, 4, 6, 7, 10, 12, 15, 20, 23, 24, 25, 26)
"""Those of all editions: the first annotates 8 of them (AU20 only there), the later ones 12."""

NO_ACTION_UNIT = -1
"""An action unit that is not annotated."""

_ORDER = CLASS_ORDERS["affwild2_with_other"]
_OTHER = next(code for code, name in _ORDER.names.items() if name == "Other")
_CODES = np.asarray([_ORDER.to_expression[code] for code in range(int(_OTHER) + 1)], np.int8)
_NAMES = tuple(_ORDER.names[code].lower() for code in range(int(_OTHER) + 1))

# How many action units a table without names has, and which these are.
_ACTION_UNITS_BY_COUNT: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {8: (1, 2, 4, 6, 12, 15, 20, 25), 12: (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)}
)
_MULTI_TASK_FIELDS = 16  # image, valence, arousal, expression, 12 action units; its line of names has only five
_IMAGE = re.compile(r"(?P<video>.+)/(?P<frame>\d+)(\.\w+)?")


@dataclasses.dataclass(frozen=True)
class Table:
    """The labels of N rows of one file about one video; what a file does not annotate is missing in every row.

    Attributes:
        file: the annotation file.
        lines_N: the rows' lines in it, from 1.
        frames_N: the frames' numbers; from 1 where a row is a frame.
        expression_N: int8, our ids; -1 for none and for Other.
        other_N: bool, the eighth expression of the third and later editions, whatever it is.
        affect_Nx2: float32, valence and arousal in [-1, 1]; NaN where either is missing.
        action_units_NxA: int8, 0 or 1 in the order of ACTION_UNITS; -1 for none.
        malformed_N: bool, a row that is not what the file's rows are.
    """

    file: pathlib.Path
    lines_N: np.ndarray
    frames_N: np.ndarray
    expression_N: np.ndarray
    other_N: np.ndarray
    affect_Nx2: np.ndarray
    action_units_NxA: np.ndarray
    malformed_N: np.ndarray

    def __len__(self) -> int:
        return len(self.frames_N)

    def with_affect_of(self, other: "Table | None") -> "Table":
        """Returns these rows with valence and arousal of the same video's rows in another file, or of none."""
        affect_Nx2 = np.full((len(self), 2), np.nan, np.float32)
        malformed_N = self.malformed_N.copy()
        if other is not None:
            common = min(len(self), len(other))  # one may be a frame or more longer
            affect_Nx2[:common] = other.affect_Nx2[:common]
            malformed_N[:common] |= other.malformed_N[:common]
        return dataclasses.replace(self, affect_Nx2=affect_Nx2, malformed_N=malformed_N)

    def rows(self, chosen: np.ndarray) -> "Table":
        """Returns some of the rows."""
        arrays = {
            field.name: getattr(self, field.name)[chosen] for field in dataclasses.fields(self) if field.name != "file"
        }
        return dataclasses.replace(self, **arrays)


def read_expressions(file: pathlib.Path) -> Table:
    """Reads the expressions of a video: a line of class names, then an integer a frame, -1 for none.

    Raises:
        UserError: if it cannot be read, or names its classes in another order than every edition known.
    """
    names, values_Nx1, first_line = _read(file, 1)
    if [name.lower() for name in names] != list(_NAMES[: len(names)]):
        raise UserError(
            f"Expected the classes {', '.join(_NAMES)} (the last from the third edition on), and found "
            f"{', '.join(names)} in {file}: these codes are not known, use an official annotation file."
        )
    expression_N, other_N, malformed_N = _expressions(values_Nx1[:, 0])
    return _table(file, first_line, malformed_N, expression_N=expression_N, other_N=other_N)


def read_affect(file: pathlib.Path) -> Table:
    """Reads valence and arousal of a video: a line of names, then two numbers a frame, -5 for none.

    Raises:
        UserError: if it cannot be read.
    """
    _, values_Nx2, first_line = _read(file, 2)
    return _table(file, first_line, np.isnan(values_Nx2).any(axis=1), affect_Nx2=_affect(values_Nx2))


def read_action_units(file: pathlib.Path) -> Table:
    """Reads the action units of a video: a line of names (AU1, AU2, ...), then a 0, 1 or -1 for each of them a frame.

    Raises:
        UserError: if it cannot be read, or does not tell which action units it holds.
    """
    names, values_NxK, first_line = _read(file, None)
    units = tuple(int(re.sub(r"\D", "", name) or 0) for name in names)
    units = units or _ACTION_UNITS_BY_COUNT.get(values_NxK.shape[1], ())
    if not units or not set(units) <= set(ACTION_UNITS):
        raise UserError(
            f"Expected the names of action units ({', '.join(f'AU{unit}' for unit in ACTION_UNITS)}), and found "
            f"{', '.join(names) or f'{values_NxK.shape[1]} columns without names'} in {file}: use an official "
            "annotation file."
        )
    action_units_NxA, malformed_N = _action_units(values_NxK, units)
    return _table(file, first_line, malformed_N, action_units_NxA=action_units_NxA)


def read_multi_task(file: pathlib.Path) -> dict[str, Table]:
    """Reads the multi-task set: rows of `video/00001.jpg`, valence, arousal, expression and 12 action units.

    Returns:
        A table for every video, its rows in the file's order. A row that names no frame has no place in them and is
        under the name "".

    Raises:
        UserError: if it cannot be read.
    """
    rows = [line.split(",") for line in _lines(file)]
    first = 1 if rows and _number(rows[0][1] if len(rows[0]) > 1 else "") is None else 0
    fields = [row if len(row) == _MULTI_TASK_FIELDS else [row[0], *["nan"] * (_MULTI_TASK_FIELDS - 1)] for row in rows]
    values_Nx15 = np.asarray([_numbers(row[1:]) for row in fields[first:]]).reshape(-1, _MULTI_TASK_FIELDS - 1)
    images = [_IMAGE.fullmatch(row[0].strip().replace("\\", "/")) for row in fields[first:]]
    expression_N, other_N, no_expression_N = _expressions(values_Nx15[:, 2])
    action_units_NxA, no_units_N = _action_units(values_Nx15[:, 3:], _ACTION_UNITS_BY_COUNT[12])
    no_image_N = np.asarray([image is None for image in images], bool)
    everything = Table(
        file=file,
        lines_N=np.arange(first + 1, len(rows) + 1, dtype=np.int32),
        frames_N=np.asarray([int(image["frame"]) if image else 0 for image in images], np.int32),
        expression_N=expression_N,
        other_N=other_N,
        affect_Nx2=_affect(values_Nx15[:, :2]),
        action_units_NxA=action_units_NxA,
        malformed_N=np.isnan(values_Nx15).any(axis=1) | no_expression_N | no_units_N | no_image_N,
    )
    rows_of: dict[str, list[int]] = {}
    for row, image in enumerate(images):
        rows_of.setdefault(image["video"] if image else "", []).append(row)
    return {video: everything.rows(np.asarray(chosen)) for video, chosen in sorted(rows_of.items())}


def _table(file: pathlib.Path, first_line: int, malformed_N: np.ndarray, **labels: np.ndarray) -> Table:
    """A table of a file whose n-th row is the n-th frame, without the labels that are not given."""
    count = len(malformed_N)
    missing = {
        "expression_N": np.full(count, NO_EXPRESSION, np.int8),
        "other_N": np.zeros(count, bool),
        "affect_Nx2": np.full((count, 2), np.nan, np.float32),
        "action_units_NxA": np.full((count, len(ACTION_UNITS)), NO_ACTION_UNIT, np.int8),
    }
    rows_N = np.arange(count, dtype=np.int32)
    return Table(file, rows_N + first_line, rows_N + 1, malformed_N=malformed_N, **(missing | labels))


def _expressions(codes_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Translates Aff-Wild2's codes to our ids, and tells which are Other and which are no code at all."""
    known_N = np.isin(codes_N, np.arange(len(_CODES)))
    expression_N = np.full(len(codes_N), NO_EXPRESSION, np.int8)
    expression_N[known_N] = _CODES[codes_N[known_N].astype(int)]
    return expression_N, codes_N == _OTHER, ~(known_N | (codes_N == -1))


def _affect(values_Nx2: np.ndarray) -> np.ndarray:
    """Valence and arousal, both NaN where one is outside [-1, 1]: the official test of a frame's validity."""
    valid_N = (np.abs(values_Nx2) <= 1).all(axis=1)
    return np.where(valid_N[:, None], values_Nx2, np.nan).astype(np.float32)


def _action_units(values_NxK: np.ndarray, units: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Puts K columns at their places among ACTION_UNITS, and tells which rows hold something else than 0, 1 and -1."""
    values_NxK = values_NxK[:, : len(units)]
    known_NxK = np.isin(values_NxK, (-1, 0, 1))
    action_units_NxA = np.full((len(values_NxK), len(ACTION_UNITS)), NO_ACTION_UNIT, np.int8)
    columns = [ACTION_UNITS.index(unit) for unit in units]
    action_units_NxA[:, columns] = np.where(known_NxK, values_NxK, NO_ACTION_UNIT)
    return action_units_NxA, np.logical_not(known_NxK.all(axis=1))


def _read(file: pathlib.Path, columns: int | None) -> tuple[list[str], np.ndarray, int]:
    """Returns a file's names (none, if it begins with numbers), its rows' numbers, and the line of the first row.

    A line without exactly as many numbers is a row of NaN: it is still a frame's, and those below it keep their places.
    """
    lines = _lines(file)
    names = [] if not lines or _number(lines[0].split(",")[0]) is not None else _names(lines.pop(0))
    width = columns or len(names) or (lines[0].count(",") + 1 if lines else 0)
    try:
        if not all(lines):
            raise ValueError("np.loadtxt would leave blank lines out")
        values = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2) if lines else np.empty((0, width))
        if values.shape[1] != width:
            raise ValueError("all rows have another width")
    except ValueError:
        rows = (_numbers(line.split(",")) for line in lines)
        values = np.asarray([row if len(row) == width else [np.nan] * width for row in rows]).reshape(-1, width)
    return names, values, 1 + bool(names)


def _lines(file: pathlib.Path) -> list[str]:
    """Returns a file's lines without the blank ones at its end."""
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"The annotation file {file} cannot be read ({error.strerror}): check it.") from None
    return [line.strip() for line in text.rstrip().splitlines()]


def _names(line: str) -> list[str]:
    return [name.strip() for name in line.split(",") if name.strip()]


def _numbers(cells: list[str]) -> list[float]:
    numbers = [_number(cell) for cell in cells]
    return [np.nan if number is None else number for number in numbers]


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
