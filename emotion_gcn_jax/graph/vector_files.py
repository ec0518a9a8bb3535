"""Reads word vectors from text files of GloVe and word2vec, from tables and from array files.

A file either names its rows by words or holds bare rows of numbers; `read` returns a dict or an array accordingly. The
official implementation's array file is a pickle: it is read by torch_files, which runs nothing of it.
"""

import csv
import gzip
import itertools
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from emotion_gcn_jax.array_files import decode_npy, decode_npz
from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.graph.tables import PICKLE_SUFFIXES, read_table
from emotion_gcn_jax.torch_files import reading

Vectors = dict[str, np.ndarray] | np.ndarray
Line = tuple[int, bytes]  # its number in the file, counted from 1, and its content

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # UTF-8's, which some editors put before the first word
_GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_LINE = 1 << 20  # bytes; a vector of 300 numbers takes about 3,000
_MOST_BARE_ROWS = 1000  # of a text file of numbers alone: more nodes than any graph of expressions has


class _LineReader(Protocol):
    def readline(self, size: int, /) -> bytes: ...


def read(path: Path, words: Collection[str]) -> Vectors:
    """Reads the vectors of some words, or all rows of a file that does not name them.

    The suffix says what a .txt, .vec, .csv, .npy, .npz, .p, .pickle, .pkl, .pt, .pth or .safetensors file is. What any
    other file is, is seen from its content.

    Args:
        path: the file.
        words: those that are wanted, without spaces.

    Returns:
        For a file that names its rows: the vectors by word, float64 F each, of those wanted words that it has. For any
        other file: its array as it is, of any shape and type of numbers; N equal copies of one N x F array count once.

    Raises:
        UserError: the file is missing, of another kind, or damaged.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}: check the path, or leave the word vectors at their embedded default")
    try:
        return _reader(path)(path, words)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{path} is a damaged or truncated gzip file: download it again") from None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}") from None


def _reader(path: Path) -> Callable[[Path, Collection[str]], Vectors]:
    """What reads a file: by its suffix, and where that says nothing by its content."""
    if known := _READERS.get(path.suffix.lower()):
        return known
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"\x93NUMPY") or (start.startswith(b"PK") and b".npy" in start):
        return _read_npy
    if start.startswith(b"\x80") or (start.startswith(b"PK") and b"data.pkl" in start):
        return _read_pickle
    if start.startswith(b"PK"):
        raise UserError(f"{path} is an archive, where a file of word vectors was expected: unpack it")
    return _read_text


def _read_csv(path: Path, words: Collection[str]) -> Vectors:
    with path.open("rb") as file:
        _, first = next(_lines(file, path), (0, b""))
    if b"," not in first and b";" not in first:  # GloVe's own text under another name
        return _read_text(path, words)
    if rows_by_word := _rows_by_word(path, words, ";" if b";" in first else ","):
        return rows_by_word
    table = read_table(path)
    if table.row_names is None:
        return table.numbers_RxC
    rows: dict[str, np.ndarray] = {}
    for name, row in zip(table.row_names, table.numbers_RxC, strict=True):
        rows.setdefault(name.lower(), row)
    return {word: rows[word] for word in words if word in rows}


def _rows_by_word(path: Path, words: Collection[str], separator: str) -> dict[str, np.ndarray]:
    """The wanted rows of a table with a word in the first cell, or in the second behind a row number.

    Its header does not matter. None where a wanted row is not of numbers alone, or not as wide as the others.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for cells in csv.reader(file, delimiter=separator):
                place = int(len(cells) > 1 and cells[0].strip().isdigit())
                word = cells[place].strip().lower() if cells else ""
                if word in words and word not in found:
                    numbers = cells[place + 1 : -1] if not cells[-1].strip() else cells[place + 1 :]
                    found[word] = np.asarray([float(cell) for cell in numbers])
    except (UnicodeDecodeError, csv.Error, ValueError):
        return {}
    is_sound = len({len(row) for row in found.values()}) == 1 and all(np.isfinite(row).all() for row in found.values())
    return found if is_sound else {}


def _read_npy(path: Path, _: Collection[str]) -> np.ndarray:
    data = path.read_bytes()
    try:
        arrays = decode_npz(data) if data.startswith(b"PK") else {"": decode_npy(data)}
    except ValueError:
        raise UserError(
            f"{path} does not hold a plain array of numbers (arrays of Python objects are not opened): save the "
            f"numbers with numpy.save"
        ) from None
    return _only(arrays, path)


def _read_pickle(path: Path, _: Collection[str]) -> np.ndarray:
    loaded = reading.load(path)
    return _only(loaded if isinstance(loaded, dict) else {"": loaded}, path)


def _only(contents: Mapping[Any, Any], path: Path) -> np.ndarray:
    """The one array in a file; of equal copies, as the official file may have one for each example, the first."""
    arrays = {str(name): array for name, array in contents.items() if isinstance(array, np.ndarray)}
    if len(arrays) != 1:
        found = f"{len(arrays)} ({listed(arrays)})" if arrays else "none"
        raise UserError(f"{path} should hold one array of word vectors but holds {found}: save that one alone")
    (array,) = arrays.values()
    if array.ndim != 3 or not len(array):
        return array
    if not (array == array[0]).all():
        raise UserError(f"{path} holds {len(array)} different arrays of word vectors: save the one that is meant")
    return array[0]


def _read_text(path: Path, words: Collection[str]) -> Vectors:
    """Reads lines of a word and its numbers, or lines of numbers alone, with spaces or tabs between them."""
    with path.open("rb") as file:
        is_gzip = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    with gzip.open(path, "rb") if is_gzip else path.open("rb") as file:
        lines = _lines(file, path)
        head = list(itertools.islice(lines, _MOST_BARE_ROWS + 1))
        if not head:
            raise UserError(f"{path} is empty: lines of a word and its numbers were expected")
        if len(head) <= _MOST_BARE_ROWS and all(_numbers(line.split()) is not None for _, line in head):
            return _bare_rows([line for _, line in head], path)
        return _named_rows(itertools.chain(head, lines), path, words)


def _lines(file: _LineReader, path: Path) -> Iterator[Line]:
    """The lines of a text file that are not blank."""
    for number in itertools.count(1):
        line = file.readline(_LONGEST_LINE)
        if not line:
            return
        if len(line) == _LONGEST_LINE:
            raise UserError(f"{path} is no text file of word vectors: its line {number} is longer than a megabyte")
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip():
            yield number, line


def _bare_rows(lines: Sequence[bytes], path: Path) -> np.ndarray:
    rows = [[float(cell) for cell in line.split()] for line in lines]
    if len({len(row) for row in rows}) > 1:
        raise UserError(f"the {len(rows)} lines of {path} should hold equally many numbers but do not")
    return np.asarray(rows)


def _named_rows(lines: Iterator[Line], path: Path, words: Collection[str]) -> dict[str, np.ndarray]:
    """Looks for the lines of some words, until all are found; only these are parsed. Of a word twice the first counts.

    A word that only stands there in capitals is taken so.

    The first line tells how many numbers a vector has; its word has no space in any published file.
    """
    first_number, first = next(lines)
    is_header, width = _header_and_width(first)
    if not width:
        raise UserError(
            f"{path} is not a text file of word vectors such as GloVe's: its line {first_number} is not a word and "
            f"numbers"
        )
    wanted = {word.encode(): word for word in words}
    found: dict[str, np.ndarray] = {}
    in_capitals: dict[str, np.ndarray] = {}
    for number, line in lines if is_header else itertools.chain([(first_number, first)], lines):
        token = line.split(maxsplit=1)[0]
        word = wanted.get(token.lower())
        rows = found if token in wanted else in_capitals
        if word is None or word in rows:
            continue
        vector = _vector(line.split()[1:], width, f"line {number} of {path} ({word})", first_number)
        if vector is not None:
            rows[word] = vector
            if len(found) == len(wanted):
                break
    return in_capitals | found


def _header_and_width(first: bytes) -> tuple[bool, int]:
    """Whether a first line is word2vec's `words width`, and how many numbers a vector has; 0 for any other text."""
    cells = first.split()
    if len(cells) == 2 and all(cell.isdigit() and len(cell) < 10 for cell in cells):
        return True, int(cells[1])
    return False, len(cells) - 1 if _numbers(cells[1:]) else 0


def _vector(cells: Sequence[bytes], width: int, place: str, first_number: int) -> np.ndarray | None:
    """The numbers after a word; None where the word is the first of a token with spaces, as some of glove.840B are."""
    if len(cells) > width and _numbers(cells[:-width]) is None:
        return None
    values = _numbers(cells)
    if values is None or not np.isfinite(values).all():
        raise UserError(f"{place} should hold {width} finite numbers only")
    if len(values) != width:
        raise UserError(
            f"{place} has {len(values)} numbers where line {first_number} promises {width}: the file is damaged, "
            f"download it again"
        )
    return np.asarray(values)


def _numbers(cells: Sequence[bytes]) -> list[float] | None:
    """The cells as numbers, or None if one of them is not."""
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None


_READERS: Mapping[str, Callable[[Path, Collection[str]], Vectors]] = {
    ".txt": _read_text,
    ".vec": _read_text,
    ".csv": _read_csv,
    ".npy": _read_npy,
    ".npz": _read_npy,
    ".safetensors": _read_pickle,
    **dict.fromkeys(PICKLE_SUFFIXES, _read_pickle),
}
