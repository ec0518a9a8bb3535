"""Word vectors from every kind of file, and the sentence that every bad one is answered with."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph.word_vectors import WORDS, load_word_vectors
from emotion_gcn_jax.torch_files import writing

EXPECTED_9x3 = np.array([[i + 0.5, -i, i / 8] for i in range(9)], np.float32)


def _glove_lines(order: list[int] | None = None) -> list[str]:
    return [f"{WORDS[i]} {i + 0.5} {-i} {i / 8}" for i in (order or range(9))]


def _write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_words_are_the_node_names_in_order() -> None:
    assert WORDS == ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "valence", "arousal")


def test_embedded_vectors() -> None:
    vectors = load_word_vectors()
    assert vectors.shape == (9, 100) and vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[0, :3], np.array([-0.57835, -0.079743, 0.23589], np.float32))
    np.testing.assert_array_equal(vectors[8, :2], np.array([0.45911, -0.11895], np.float32))
    normed = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.argmax(normed @ normed.T - 2 * np.eye(9), axis=1)
    neighbours = {word: WORDS[other] for word, other in zip(WORDS, nearest, strict=True)}
    # Words that are used alike lie close: rows that had been swapped would not show it.
    assert neighbours["anger"] == "fear" and neighbours["sad"] == "happy" and neighbours["valence"] == "arousal"


def test_glove_file_in_any_order_among_other_words(tmp_path: Path) -> None:
    lines = ["the 9 9 9", *_glove_lines([8, 3, 0, 1, 2]), "sadness 7 7 7", ". . . 1 2 3", "happy new year 4 5 6"]
    lines += ["sad 6 6 6", *_glove_lines([4, 5, 6, 7])]
    np.testing.assert_array_equal(load_word_vectors(_write(tmp_path / "glove.txt", lines)), EXPECTED_9x3)


def test_glove_file_of_nothing_but_the_nine_words(tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_word_vectors(_write(tmp_path / "nine.txt", _glove_lines())), EXPECTED_9x3)


def test_line_of_counts_before_the_vectors_is_understood(tmp_path: Path) -> None:
    path = _write(tmp_path / "word2vec.txt", ["400000 3", *_glove_lines()])
    np.testing.assert_array_equal(load_word_vectors(path), EXPECTED_9x3)


def test_glove_file_is_left_as_soon_as_all_words_are_found(tmp_path: Path) -> None:
    path = _write(tmp_path / "glove.txt", ["the 1 2 3", *_glove_lines(), "happy not a number"])
    np.testing.assert_array_equal(load_word_vectors(path), EXPECTED_9x3)


def test_bytes_that_are_not_utf8_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(b"the 1 2 3\n\xff\xfe\x85 1 2 3\n" + "\n".join(_glove_lines()).encode())
    np.testing.assert_array_equal(load_word_vectors(path), EXPECTED_9x3)


BAD_GLOVE = {
    "words missing": (["the 1 2 3", *_glove_lines([0, 1, 2, 3, 4, 5, 6])], "no vector for valence, arousal"),
    "short line": (["the 1 2 3", "happy 1 2"], r"line 2 of .* \(happy\) has 2 numbers where line 1 promises 3"),
    "long line": (["the 1 2 3", "a 1 2 3", "sad 1 2 3 4"], r"line 3 of .* \(sad\) has 4 numbers"),
    "bad number": (["the 1 2 3", "fear 1 x 3"], r"line 2 of .* \(fear\) should hold 3 finite numbers"),
    "infinite": (["the 1 2 3", "fear 1 inf 3"], r"line 2 of .* \(fear\) should hold 3 finite numbers"),
    "prose": (["It was a dark and stormy night"], "not a GloVe text file: its line 1"),
    "empty": ([], "not a GloVe text file|no vector for"),
    "ragged array": (["1 2"] * 8 + ["1 2 3"], "9 lines of .* equally many numbers"),
}


@pytest.mark.parametrize("case", BAD_GLOVE)
def test_bad_text_file(case: str, tmp_path: Path) -> None:
    lines, message = BAD_GLOVE[case]
    with pytest.raises(UserError, match=message) as caught:
        load_word_vectors(_write(tmp_path / "glove.txt", lines))
    assert "glove.txt" in str(caught.value)


def test_array_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", EXPECTED_9x3.astype(np.float64))
    np.savez(tmp_path / "a.npz", vectors=EXPECTED_9x3)
    np.savetxt(tmp_path / "a.csv", EXPECTED_9x3, delimiter=",")
    np.savetxt(tmp_path / "a.txt", EXPECTED_9x3)
    for suffix in ("npy", "npz", "csv", "txt"):
        vectors = load_word_vectors(tmp_path / f"a.{suffix}")
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, EXPECTED_9x3)


@pytest.mark.parametrize("suffix", ["pkl", "pth"])
@pytest.mark.parametrize("copies", [0, 5])
def test_official_array_file(suffix: str, copies: int, tmp_path: Path) -> None:
    array = np.tile(EXPECTED_9x3, (copies, 1, 1)) if copies else EXPECTED_9x3
    path = tmp_path / f"emb.{suffix}"
    if suffix == "pth":
        writing.save(path, array)
    else:
        path.write_bytes(pickle.dumps(array.astype(np.float64)))
    np.testing.assert_array_equal(load_word_vectors(path), EXPECTED_9x3)


def test_named_rows_of_a_csv_are_put_in_order(tmp_path: Path) -> None:
    lines = [line.replace(" ", ",") for line in _glove_lines([8, 7, 6, 5, 4, 3, 2, 1, 0])]
    path = _write(tmp_path / "named.csv", ["word,a,b,c", "the,1,1,1", *lines])
    np.testing.assert_array_equal(load_word_vectors(path), EXPECTED_9x3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((300, 9)), "9 x F numbers, a row for each of neutral, .* but its shape is 300 x 9"),
        (np.zeros((2, 9, 3)), "shape is 2 x 9 x 3"),
        (np.array(1.0), "shape is a single value"),
        (np.zeros((9, 0)), "shape is 9 x 0"),
        (np.full((9, 2), "x"), "real numbers but holds <U1"),
        (np.where(np.eye(9) > 0, np.nan, 0.0), "row 1, column 1 is nan"),
        (np.array([[{}]] * 9, dtype=object), "does not hold a plain array of numbers"),
    ],
)
def test_bad_array(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(UserError, match=message):
        load_word_vectors(tmp_path / "bad.npy")


def test_other_bad_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=EXPECTED_9x3, b=EXPECTED_9x3)
    (tmp_path / "noise.npy").write_bytes(b"hello")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "noise.npz").write_bytes(b"PK\x03\x04hello")
    _write(tmp_path / "short.csv", ["word,a", "happy,1"])
    (tmp_path / "run.pkl").write_bytes(b"cbuiltins\nprint\n(S'run'\ntR.")
    for name, content in {"dict": {}, "frames": np.arange(54.0).reshape(2, 9, 3), "few": np.zeros((2, 3))}.items():
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(content))
    for name, message in {
        "two.npz": r"one array of 9 x F numbers but holds 2 \(a, b\)",
        "noise.npy": "does not hold a plain array",
        "empty.npy": "does not hold a plain array",
        "noise.npz": "does not hold a plain array",
        "short.csv": "no vector for neutral, sad, surprise",
        "absent.txt": "there is no file",
        "emb.pkl": "there is no file",
        "run.pkl": "asks for builtins.print, which is no tensor",
        "dict.pkl": "one array of 9 x F numbers but holds a dict",
        "frames.pkl": "holds 2 different arrays",
        "few.pkl": "its shape is 2 x 3",
        "glove.zip": r"read from .txt, .csv, .npy, .npz, .p, .pickle, .pkl, .pt, .pth files, but .*glove.zip",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            load_word_vectors(tmp_path / name)
        assert name in str(caught.value)
