"""What the nodes of a graph mean: for each node the vector of its word, or the mean of the vectors of its words."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.files import PathLike, user_path
from emotion_gcn_jax.graph import vector_files
from emotion_gcn_jax.labels import EXPRESSIONS

_EMBEDDED_FILE = Path(__file__).with_name("glove_100d_words.csv")
_PAPERS_NODES = (*map(str.lower, EXPRESSIONS), "valence", "arousal")


def load_word_vectors(path: PathLike | None, words: Sequence[str] = _PAPERS_NODES) -> np.ndarray:
    """Returns one vector per word, float32 len(words) x F, in the order of `words`.

    Args:
        path: None for the embedded 100-dimensional GloVe vectors, which know the words of expressions and action units.
            Otherwise a file, with `~` for the user's home. It may name its rows by words: a text file in the format of
            GloVe or word2vec, of any width, also compressed by gzip, or a .csv table. Or it holds
            bare rows, one for each word, in their order: an array file (.npy, .npz, or a file of torch.save or pickle
            such as the official emb.pkl, see `vector_files.read`), or a text file or table of numbers alone.
        words: at least one, without spaces; GloVe has them in lower case. By default the paper's nine nodes.

    Raises:
        UserError: the file is missing, of another kind, lacks a word, or is not a table of finite numbers with a row
            for each word.
    """
    source = _source(path)
    vectors = vector_files.read(source, words)
    if isinstance(vectors, np.ndarray):
        return _as_rows(vectors, source, words)
    _require(words, vectors, source)
    return _single_precision(np.stack([vectors[word] for word in words]), source)


def node_vectors(path: PathLike | None, words_of_node: Mapping[str, tuple[str, ...]]) -> np.ndarray:
    """Returns one vector per node, float32 nodes x F, in the order of `words_of_node`.

    The vector of a node is the mean of its words' vectors, taken in double precision; of a node with one word it is
    that word's, bit by bit.

    Args:
        path: as in `load_word_vectors`. A file of bare rows has one for each node, in the order of the nodes; they are
            returned as they are, and no words are looked up.
        words_of_node: by node the words that stand for it, at least one.

    Raises:
        UserError: as in `load_word_vectors`, or a node has no words.
    """
    if wordless := [node for node, words in words_of_node.items() if not words]:
        raise UserError(f"every node needs a word that stands for it, but {listed(wordless)} has none: name one")
    source = _source(path)
    words = list(dict.fromkeys(word for words in words_of_node.values() for word in words))
    vectors = vector_files.read(source, words)
    if isinstance(vectors, np.ndarray):
        return _as_rows(vectors, source, words_of_node)
    _require(words, vectors, source)
    means = [np.mean([vectors[word] for word in words], axis=0) for words in words_of_node.values()]
    return _single_precision(np.stack(means), source)


def _source(path: PathLike | None) -> Path:
    return _EMBEDDED_FILE if path is None else user_path(path)


def _as_rows(vectors: np.ndarray, path: Path, names: Collection[str]) -> np.ndarray:
    """The array, if it has a row of finite real numbers for every name."""
    if vectors.dtype.kind not in "fiu":
        raise UserError(f"{path} should hold real numbers but holds {vectors.dtype}")
    if vectors.ndim != 2 or vectors.shape[0] != len(names) or vectors.shape[1] == 0:
        shape = " x ".join(map(str, vectors.shape)) or "a single value"
        raise UserError(
            f"{path} should hold {len(names)} x F numbers, a row for each of {listed(names)}, but its shape is {shape}"
        )
    return _single_precision(vectors, path)


def _single_precision(vectors_NxF: np.ndarray, path: Path) -> np.ndarray:
    with np.errstate(over="ignore"):  # what overflows is reported next
        single_NxF = vectors_NxF.astype(np.float32)
    if not np.isfinite(single_NxF).all():
        row, column = np.argwhere(~np.isfinite(single_NxF))[0]
        raise UserError(
            f"{path} should hold finite numbers of single precision, but row {row + 1}, column {column + 1} is "
            f"{vectors_NxF[row, column]}"
        )
    return single_NxF


def _require(words: Sequence[str], found: Collection[str], path: Path) -> None:
    missing = [word for word in words if word not in found]
    if missing and path == _EMBEDDED_FILE:
        raise UserError(
            f"the embedded word vectors have none for {listed(missing)}: give the path of a GloVe text file, such as "
            f"glove.6B.300d.txt"
        )
    if missing:
        raise UserError(
            f"{path} has no vector for {listed(missing)}: give a file with all of {listed(words)}, such as "
            f"glove.6B.300d.txt, or leave the word vectors at their embedded default"
        )
