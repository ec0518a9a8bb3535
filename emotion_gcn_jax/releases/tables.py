"""Tables of text as people have them: their separator and their columns are found, not assumed.

A table may have a header or none, an index column of pandas or R, any of four separators, stray quotes, line breaks in
quoted cells, separators at the end of all lines or of the rows, decimal commas, Windows line ends and encodings, and a
byte-order mark.
"""

import collections
import contextlib
import csv
import dataclasses
import functools
import itertools
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import text_encoding

_SEPARATORS = (",", "\t", ";", "|")
_SEPARATOR_HINT = re.compile(r"sep=.")  # the first line of some tables that Excel wrote
_PATH = re.compile(r"[/\\]|\.[A-Za-z]\w*$")  # a folder or a suffix
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_SHOWN = 100  # characters of a row or a header in messages
_OPEN = "unexpected end of data"  # the csv module's word for a quoted cell without an end
_MOST_LINES = 50  # more of one row, beside its first


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        line: its first line in the file, from 1.
        cells: its cells by their column's name, without quotes and spaces around them; a short row lacks the last ones,
            and a line break in a cell is a space.
        text: the beginning of the line, for messages.
    """

    line: int
    cells: Mapping[str, str]
    text: str


@dataclasses.dataclass(frozen=True)
class TextTable:
    """A table whose form `open_table` has found.

    Attributes:
        path: the file.
        columns: the names of its columns from left to right.
        separator: what stands between two cells.
        has_header: whether its first line names the columns.
        path_column: the column of files' paths, see `open_table`.
        list_column: the column whose cells are lists, see `open_table`.
        list_length: of every list.
        number_columns: the columns whose cells are numbers, see `open_table`.
    """

    path: pathlib.Path
    columns: tuple[str, ...]
    separator: str
    has_header: bool
    path_column: str = ""
    list_column: str = ""
    list_length: int = 0
    number_columns: tuple[str, ...] = ()

    def rows(self) -> Iterator[Row]:
        """Yields the rows below the header; blank lines are none."""
        lines = _lines(self.path)
        if self.has_header:
            next(lines)
        for line, text in _joined(lines, self.separator, len(self.columns)):
            cells = dict(zip(self.columns, self._fitted(_cells(text, self.separator)), strict=False))
            yield Row(line, self._with_points(cells), text[:_SHOWN])

    def _with_points(self, cells: dict[str, str]) -> dict[str, str]:
        """Gives a row's numbers points for decimal commas: commas that neither separate cells nor thousands."""
        numbers = {name: cells[name] for name in self.number_columns if name in cells}
        if self.separator == "," or any("." in cell for cell in numbers.values()):
            return cells
        return cells | {name: with_point(cell) for name, cell in numbers.items()}

    def _fitted(self, cells: list[str]) -> list[str]:
        """Puts the cells of a row that has more of them than the header into their columns.

        R numbers the rows, but does not name the column of the numbers; some lists of a table with semicolons are not
        quoted; and there may be separators at the row's end that the header does not have.
        """
        if len(cells) <= len(self.columns):
            return cells
        indexed = self._is_indexed(cells)
        if indexed:
            cells = cells[1:]
        cells = _without_empty_end(self._with_list(cells), len(self.columns))
        surplus = len(cells) - len(self.columns)
        if indexed is None and surplus == 1 and cells[0].isdigit():
            return cells[1:]
        if surplus > 1 and self._may_have_loose_lists:  # a list of another length
            start = self.columns.index(self.list_column)
            end = start + surplus + 1
            return [*cells[:start], ";".join(cells[start:end]), *cells[end:]]
        return cells

    def _is_indexed(self, cells: Sequence[str]) -> bool | None:
        """Whether a long row begins with its number, by where its path stands; None where that does not tell."""
        if not cells[0].isdigit():
            return False
        if self.path_column not in self.columns:
            return None
        place = self.columns.index(self.path_column)
        here, next_to_it = (bool(_PATH.search(cell)) for cell in cells[place : place + 2])
        return None if here == next_to_it else next_to_it

    @property
    def _may_have_loose_lists(self) -> bool:
        return self.list_column in self.columns and self.separator == ";"

    def _with_list(self, cells: list[str]) -> list[str]:
        """Joins a list that is not quoted; returns the cells as they are where there is none of the right length."""
        if not self._may_have_loose_lists:
            return cells
        start = self.columns.index(self.list_column)
        items = [place for place in range(start, len(cells)) if cells[place]][: self.list_length]
        if len(items) < self.list_length:
            return cells
        end = items[-1] + 1
        after = cells[end:]
        wanted = len(self.columns) - start - 1
        while len(after) > wanted and not after[0]:  # the list ends with a semicolon of its own
            del after[0]
        after = _without_empty_end(after, wanted)
        return [*cells[:start], ";".join(cells[start:end]), *after] if len(after) == wanted else cells


def open_table(
    path: pathlib.Path,
    known: Mapping[str, str],
    needed: Sequence[str],
    *,
    order: Sequence[str] = (),
    path_column: str = "",
    list_column: str = "",
    list_length: int = 0,
    number_columns: Sequence[str] = (),
) -> TextTable:
    """Finds the form of a table by its first line.

    Args:
        path: the file: UTF-8, UTF-16 or Windows-1252.
        known: a column's name in a header, in lower case -> its name in the result. A first line with one of these is a
            header; it may name other columns besides.
        needed: names in the result without which the table is of no use.
        order: the columns of a table without a header; empty where there must be one.
        path_column: a column whose cells are files' paths, which tell whether a long row begins with its number.
        list_column: a column whose cells are lists separated by semicolons, perhaps without quotes around them.
        list_length: how many items such a list has.
        number_columns: columns whose cells are numbers. Where the separator is no comma, `0,5` in them becomes `0.5`,
            unless one of them has a point in that row.

    Raises:
        UserError: the file cannot be read, or its header lacks a needed column or names a known one twice.
    """
    table = functools.partial(
        TextTable,
        path,
        path_column=path_column,
        list_column=list_column,
        list_length=list_length,
        number_columns=tuple(number_columns),
    )
    try:
        first = next((text for _, text in _lines(path)), "")
    except OSError as error:
        raise UserError(f"Expected a table in {path}, and it cannot be read ({error.strerror}): check it.") from None
    cells = {separator: _cells(first, separator) for separator in _SEPARATORS}
    separator = max(_SEPARATORS, key=lambda mark: sum(cell.lower() in known for cell in cells[mark]))
    columns = tuple(known.get(cell.lower(), cell) for cell in cells[separator])
    has_header = not known.keys().isdisjoint(cell.lower() for cell in cells[separator])
    if has_header or not order:
        _check_header(path, first, columns, known, needed)
        return table(columns, separator, True)
    enough = [mark for mark in _SEPARATORS if len(cells[mark]) >= len(order)]
    # Lists and decimal commas make more cells of a line, too, but no mark in them stands before the first cell's end.
    first_mark = min(enough, key=lambda mark: len(cells[mark][0]), default="")
    separator = first_mark or max(_SEPARATORS, key=lambda mark: len(cells[mark]))
    return table(tuple(order), separator, False)


def number(text: str) -> float:
    """The number in a cell, or NaN: tables say NULL, or nothing, where they have none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _without_empty_end(cells: list[str], width: int) -> list[str]:
    """The cells without the empty last ones beyond a width."""
    last = max((place for place, cell in enumerate(cells) if cell), default=-1)
    return cells[: max(last + 1, width)]


def with_point(text: str) -> str:
    """A number with a decimal comma with a point instead; any other text as it is."""
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text


def _check_header(
    path: pathlib.Path, first: str, columns: Sequence[str], known: Mapping[str, str], needed: Sequence[str]
) -> None:
    if missing := [name for name in needed if name not in columns]:
        raise UserError(
            f"Expected the columns {', '.join(needed)} in {path}, and its header {first[:_SHOWN]!r} has no "
            f"{', '.join(missing)}: name them in the first line."
        )
    if twice := sorted({name for name in columns if name in known.values() and columns.count(name) > 1}):
        raise UserError(f"Expected every column once in {path}, and its header has {', '.join(twice)} twice: keep one.")


def _lines(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not blank, with their numbers."""
    with path.open(encoding=text_encoding(path), errors="replace") as lines:
        for line, text in enumerate(lines, start=1):
            if text.strip() and not (line == 1 and _SEPARATOR_HINT.fullmatch(text.strip())):
                yield line, text.rstrip("\n")


def _joined(lines: Iterator[tuple[int, str]], separator: str, width: int) -> Iterator[tuple[int, str]]:
    """Yields every row's first line's number and its lines: most have one, but quoted cells may have line breaks."""
    ahead: collections.deque[tuple[int, str]] = collections.deque()
    while ahead or (ahead := collections.deque(itertools.islice(lines, 1))):
        line, text = ahead.popleft()
        if text.count('"') % 2:
            ahead.extend(itertools.islice(lines, _MOST_LINES - len(ahead)))
            for _ in range(_more_lines(text, [more for _, more in ahead], separator, width)):
                text += " " + ahead.popleft()[1]
        yield line, text


def _more_lines(text: str, ahead: Sequence[str], separator: str, width: int) -> int:
    """How many of the next lines a row goes on for.

    0 where its quote is a stray one: where the row would not have as many cells as there are columns, or a line looks
    like a row of its own.
    """
    is_short = len(text.split(separator)) < width
    joined = itertools.accumulate([text, *ahead], "{} {}".format)
    for count, (row, last) in enumerate(zip(joined, ["", *ahead], strict=True)):
        ends = last.split(separator)
        try:
            (cells,) = csv.reader([row], delimiter=separator, strict=True)
        except csv.Error as error:
            if str(error) != _OPEN or (count and len(ends) >= width):
                return 0
            continue
        # A long last line is the rest of a short first one if the quote in its first cell ends the other's.
        is_rest = len(ends) < width or (is_short and ends[0].count('"') % 2 == 1)
        return count if len(cells) == width and is_rest else 0
    return 0


def _cells(text: str, separator: str) -> list[str]:
    """Splits one row; it ends with its line, or where `_joined` says so, so that a stray quote spoils no other."""
    if text.count('"') % 2:
        text = text.replace('"', "")
    cells = text.split(separator)
    if '"' in text:
        with contextlib.suppress(csv.Error):  # a cell longer than the module takes
            (cells,) = csv.reader([text], delimiter=separator)
        if len(cells) == 1 and separator in cells[0]:  # the whole line is in quotes
            return _cells(cells[0], separator)
    return [cell.strip().strip("\"'").strip() for cell in cells]
