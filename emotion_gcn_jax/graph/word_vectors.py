"""What the nine nodes mean: one word vector a node, embedded, from a GloVe text file or from an array file.

The official implementation's array file is a pickle: it is read by torch_files, which runs nothing of it.
"""

import itertools
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph.tables import PICKLE_SUFFIXES, read_table
from emotion_gcn_jax.labels import NODES
from emotion_gcn_jax.torch_files import reading

WORDS = tuple(node.lower() for node in NODES)
"""The nine words: the node names in lower case, as GloVe spells its words."""

_EMBEDDED_FILE = Path(__file__).with_name("glove_100d_words.csv")


def load_word_vectors(path: str | Path | None = None, words: Sequence[str] = WORDS) -> np.ndarray:
    """Returns one vector per word, float32 9 x F (len(words) x F), in the order of `words`.

    Args:
        path: None for the embedded 100-dimensional GloVe vectors; a GloVe text file (.txt) of any width, read line by
            line until all words are found; or an array of 9 x F numbers in the order of `words`: .npy, .npz with one
            array, .csv (which may name its rows by the words, in any order), .txt with exactly nine lines of numbers,
            or a file of torch.save or pickle (.pkl, .pt, .pth), such as the official emb.pkl; there also N x 9 x F,
            the same array N times.
        words: the words to look up, without spaces.

    Raises:
        UserError: if the file is missing, of another kind, lacks a word, or is not a table of 9 x F finite numbers.
    """
    path = _EMBEDDED_FILE if path is None else Path(path)
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise UserError(
            f"word vectors are read from {', '.join(_READERS)} files, but {path} is none of them: unpack it if it is "
            "an archive, and give a GloVe .txt file or a 9 x F array"
        )
    if not path.is_file():
        raise UserError(f"there is no file {path}: check the path, or leave the word vectors at their embedded default")
    try:
        return _READERS[suffix](path, words).astype(np.float32)
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}") from None


def _read_csv(path: Path, words: Sequence[str]) -> np.ndarray:
    table = read_table(path)
    if table.row_names is None:
        return _checked(table.numbers_RxC, path, words)
    names = [name.lower() for name in table.row_names]
    _require(words, names, path)
    return table.numbers_RxC[[names.index(word) for word in words]]


def _read_npy(path: Path, words: Sequence[str]) -> np.ndarray:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(
            f"{path} does not hold a plain array of numbers (arrays of Python objects are not opened): save the "
            f"{len(words)} x F numbers with numpy.save"
        ) from None
    if len(arrays) != 1:
        raise UserError(
            f"{path} should hold one array of {len(words)} x F numbers but holds {len(arrays)} ({', '.join(arrays)}): "
            "save that one alone"
        )
    return _checked(next(iter(arrays.values())), path, words)


def _read_pickle(path: Path, words: Sequence[str]) -> np.ndarray:
    loaded = reading.load(path)
    if not isinstance(loaded, np.ndarray):
        raise UserError(
            f"{path} should hold one array of {len(words)} x F numbers but holds a {type(loaded).__name__}: save the "
            "array alone"
        )
    if loaded.ndim == 3 and len(loaded) and loaded.shape[1] == len(words):
        # The official loader hands every example a copy and uses the first (official implementation).
        if not (loaded == loaded[0]).all():
            raise UserError(f"{path} holds {len(loaded)} different arrays of word vectors: save the one that is meant")
        loaded = loaded[0]
    return _checked(loaded, path, words)


def _read_txt(path: Path, words: Sequence[str]) -> np.ndarray:
    """Reads GloVe's format, or plain numbers if there are as many lines as words and nothing but numbers in them."""
    with path.open("rb") as file:
        head = list(itertools.islice(file, len(words) + 1))
    rows = [_numbers(line.split()) for line in head]
    if len(rows) == len(words) and all(row is not None for row in rows):
        if len({len(row) for row in rows if row is not None}) > 1:
            raise UserError(f"the {len(words)} lines of {path} should hold equally many numbers but do not")
        return _checked(np.asarray(rows), path, words)
    return _read_glove(path, words)


def _read_glove(path: Path, words: Sequence[str]) -> np.ndarray:
    """Streams a text file of lines `word number ... number`; only the lines of the wanted words are parsed.

    The width is taken from the first line, whose token has no space in any published GloVe file. Some tokens of
    glove.840B do have spaces, so the numbers are counted from the end of the line.
    """
    wanted = {word.encode(): word for word in words}
    beginnings = tuple(word + b" " for word in wanted)
    found: dict[str, list[float]] = {}
    width = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not width:
                width = _width(line)
                if not width:
                    raise UserError(f"{path} is not a GloVe text file: its line 1 is not a word and numbers")
            if not line.startswith(beginnings):
                continue
            token, *cells = line.split()
            if len(cells) > width and _numbers(cells[:-width]) is None:
                continue  # a token with spaces that begins with one of our words
            values = _numbers(cells)
            if values is None or not np.isfinite(values).all():
                raise UserError(f"line {number} of {path} ({wanted[token]}) should hold {width} finite numbers only")
            if len(values) != width:
                raise UserError(
                    f"line {number} of {path} ({wanted[token]}) has {len(values)} numbers where line 1 promises "
                    f"{width}: the file is damaged, download it again"
                )
            found.setdefault(wanted[token], values)
            if len(found) == len(words):
                break
    _require(words, found, path)
    return np.asarray([found[word] for word in words])


def _width(first_line: bytes) -> int:
    """Returns how many numbers a vector has; some tools put a line `words width` before the vectors."""
    cells = first_line.split()
    if len(cells) == 2 and all(cell.isdigit() for cell in cells):
        return int(cells[1])
    return len(cells) - 1 if _numbers(cells[1:]) else 0


def _numbers(cells: Sequence[bytes]) -> list[float] | None:
    """Returns the cells as numbers, or None if one of them is not."""
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None


def _checked(vectors: np.ndarray, path: Path, words: Sequence[str]) -> np.ndarray:
    """Returns the array if it has a row of finite numbers for every word."""
    if vectors.ndim != 2 or vectors.shape[0] != len(words) or vectors.shape[1] == 0:
        raise UserError(
            f"{path} should hold {len(words)} x F numbers, a row for each of {', '.join(words)}, but its shape is "
            f"{' x '.join(str(n) for n in vectors.shape) or 'a single value'}"
        )
    if vectors.dtype.kind not in "fiu":
        raise UserError(f"{path} should hold real numbers but holds {vectors.dtype}")
    if not np.isfinite(vectors).all():
        row, column = np.argwhere(~np.isfinite(vectors))[0]
        raise UserError(
            f"{path} should hold finite numbers, but row {row + 1}, column {column + 1} is {vectors[row, column]}"
        )
    return vectors


def _require(words: Sequence[str], found: Sequence[str] | dict[str, list[float]], path: Path) -> None:
    missing = [word for word in words if word not in found]
    if missing:
        raise UserError(
            f"{path} has no vector for {', '.join(missing)}: give a file with all of {', '.join(words)} (lower case), "
            "such as glove.6B.300d.txt, or leave the word vectors at their embedded default"
        )


_READERS = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".npy": _read_npy,
    ".npz": _read_npy,
    **dict.fromkeys(sorted(PICKLE_SUFFIXES), _read_pickle),
}
