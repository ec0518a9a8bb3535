"""A table of predictions in a file, which a run that was stopped goes on with.

Rows are written as they come. Beside the table stands NAME.unfinished, a small JSON file: which command writes the
table, how far it is, and how many bytes of rows that makes. The same command cuts the table to these bytes, so that a
half-written line goes, and goes on from there. Once the work is done the file is deleted.
"""

import csv
import hashlib
import io
import itertools
import json
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO

from emotion_gcn_jax.errors import UserError, cannot_write, extra
from emotion_gcn_jax.files import atomic_write, read_json, user_path
from emotion_gcn_jax.inference.rows import Row

_SAVED_EVERY = 1.0  # seconds
_ROWS_AT_ONCE = 10_000  # of a Parquet file's row groups

Progress = dict[str, Any]
"""How far a run is, as JSON has it; what is in it is the caller's."""


class TableFile:
    """A table that is being written."""

    def __init__(self, file: str, columns: Mapping[str, type], run: Mapping[str, str] | None) -> None:
        """Begins a table, or goes on with one.

        Args:
            file: .csv, .jsonl or .parquet.
            columns: their names and types, from `rows.columns`.
            run: what must be the same for a run to go on, by words for the message; None if it cannot go on, as it
                reads what comes once only.

        Raises:
            UserError: the ending is another, the file cannot be written, it is there already, or another command began
                it.
        """
        self._path, self._columns, self._run = user_path(file), columns, run
        self._save_from = time.monotonic() + _SAVED_EVERY
        if self._path.suffix.lower() not in FORMATS:
            way_out = "give it by --json" if self._path.suffix.lower() == ".json" else "let its name end in one of them"
            raise UserError(f"--output writes {', '.join(FORMATS)}, found {file}: {way_out}.")
        self._line = FORMATS[self._path.suffix.lower()]
        self._is_parquet = self._line is None
        if self._is_parquet:
            _arrow()
        self._notes = self._path.with_name(f"{self._path.name}.unfinished")
        self._rows = self._path.with_name(f".{self._path.name}.rows.jsonl") if self._is_parquet else self._path
        try:
            self._done = self._begun()
            self._stream = self._opened(self._done[0])
        except OSError as error:
            raise cannot_write(self._path, error) from None

    @property
    def path(self) -> pathlib.Path:
        """Of the table."""
        return self._path

    @property
    def done(self) -> Progress | None:
        """How far the run is with the rows that are there; None at its beginning."""
        return self._done[1]

    @property
    def can_go_on(self) -> bool:
        """Whether the same command can go on with the table."""
        return self._run is not None

    def write(self, rows: Iterable[Row], progress: Progress) -> None:
        """Adds rows, and says how far the run is with them.

        A reader of the file sees the rows at once. The progress is noted once a second: a run that is killed loses no
        more. Wherever a run is interrupted, rows and progress belong together.
        """
        line = self._line or _json_line
        try:
            for row in rows:
                self._stream.write(line(list(row.values()), self._columns))
            self._stream.flush()
            self._done = self._stream.tell(), progress
        except OSError as error:
            raise cannot_write(self._path, error) from None
        if self._run is not None and time.monotonic() >= self._save_from:
            self._note()
            self._save_from = time.monotonic() + _SAVED_EVERY

    def close(self, *, is_done: bool) -> None:
        """Ends the table; if not all is done the run can go on with it."""
        self._stream.close()
        if self._run is not None and not is_done:
            self._note()
            return
        try:
            if self._is_parquet:
                _write_parquet(self._rows, self._path, self._columns)
                self._rows.unlink()
            self._notes.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def _begun(self) -> tuple[int, Progress | None]:
        """How many bytes of rows there are, and the progress with them; 0 and None at a beginning."""
        if not self._notes.exists():
            if self._path.exists() and self._path.stat().st_size and not (self._run and self._is_without_rows()):
                raise UserError(f"{self._path} is there already: name another file, or delete it.")
            return 0, None
        try:
            notes = read_json(self._notes)
            if notes.pop("sha256") != _checksum(notes):
                raise ValueError("changed since it was written")
            begun, size, progress = notes["run"], notes["bytes"], notes["progress"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{self._notes} is damaged: delete it and {self._path} to begin again.") from None
        changed = [
            f"{key} {begun.get(key, 'nothing')}, now {now}"
            for key, now in (self._run or {}).items()
            if begun.get(key) != now
        ]
        if changed or self._run is None or begun.keys() != self._run.keys():
            raise UserError(
                f"{self._path} was begun by another command ({'; '.join(changed) or 'of other inputs'}): give the same "
                f"one to go on, or delete it and {self._notes.name} to begin again."
            )
        if size and (not self._rows.exists() or self._rows.stat().st_size < size):
            raise UserError(f"{self._rows} has lost rows that were written: delete {self._notes} to begin again.")
        return size, progress

    def _is_without_rows(self) -> bool:
        """Whether the file is what a run leaves that found no face, for instance as its picture's name was misspelt."""
        if self._is_parquet:
            return _has_only_columns(self._path, self._columns)
        header = _csv_text(list(self._columns))
        is_short = self._line is _csv_line and self._path.stat().st_size == len(header)
        return is_short and self._path.read_bytes() == header

    def _opened(self, size: int) -> BinaryIO:
        """The rows' file, ready for the next one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not size and self._run is not None:
            self._note()  # before the first row: a run that is killed at once can go on, too
        stream = self._rows.open("r+b" if size else "wb")
        stream.truncate(size)
        stream.seek(size)
        if not size and self._line is _csv_line:
            stream.write(_csv_text(list(self._columns)))
            stream.flush()
        return stream

    def _note(self) -> None:
        size, progress = self._done
        notes = {"run": self._run, "bytes": size, "progress": progress}
        try:
            atomic_write(self._notes, json.dumps({**notes, "sha256": _checksum(notes)}).encode())
        except OSError as error:
            raise cannot_write(self._notes, error) from None


def _checksum(notes: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(notes).encode()).hexdigest()


def _csv_line(values: list[Any], columns: Mapping[str, type]) -> bytes:
    del columns
    return _csv_text(values)


def _csv_text(values: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(["" if value is None else value for value in values])
    return text.getvalue().encode()


def _json_line(values: list[Any], columns: Mapping[str, type]) -> bytes:
    return (json.dumps(dict(zip(columns, values, strict=True)), allow_nan=False) + "\n").encode()


def _write_parquet(rows: pathlib.Path, path: pathlib.Path, columns: Mapping[str, type]) -> None:
    """Turns JSON lines into a Parquet file, so many rows at once in memory."""
    arrow, parquet = _arrow()
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    unfinished = path.with_name(f".{path.name}.part")
    with rows.open("rb") as lines, parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        while some := list(itertools.islice(lines, _ROWS_AT_ONCE)):
            writer.write_table(arrow.Table.from_pylist([json.loads(line) for line in some], schema=schema))
    unfinished.replace(path)


def _has_only_columns(path: pathlib.Path, columns: Mapping[str, type]) -> bool:
    arrow, parquet = _arrow()
    try:
        with parquet.ParquetFile(path) as file:
            return file.metadata.num_rows == 0 and file.schema_arrow.names == list(columns)
    except (arrow.ArrowInvalid, OSError):  # something else, or damaged
        return False


def _arrow() -> tuple[Any, Any]:
    with extra("tables", "a Parquet file"):
        import pyarrow
        import pyarrow.parquet
    return pyarrow, pyarrow.parquet


_Line = Callable[[list[Any], Mapping[str, type]], bytes]

FORMATS: Mapping[str, _Line | None] = MappingProxyType({".csv": _csv_line, ".jsonl": _json_line, ".parquet": None})
"""By the file's ending what makes a line of a row; Parquet is made of JSON lines in the end."""
