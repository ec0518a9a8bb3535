"""Word vectors from every kind of file, for any nodes, and the sentence that refuses every bad file."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph.word_vectors import load_word_vectors, node_vectors
from emotion_gcn_jax.labels import ACTION_UNITS, CLASS_WORDS, NODES
from emotion_gcn_jax.torch_files import writing

WORDS = tuple(node.lower() for node in NODES)
EXPECTED_9x3 = np.array([[i + 0.5, -i, i / 8] for i in range(9)], np.float32)


def _glove_lines(order: list[int] | None = None, between: str = " ") -> list[str]:
    return [between.join([WORDS[i], f"{i + 0.5}", f"{-i}", f"{i / 8}"]) for i in (order or range(9))]


def _write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_embedded_vectors() -> None:
    vectors = load_word_vectors(None, WORDS)
    assert vectors.shape == (9, 100) and vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[0, :3], np.array([-0.57835, -0.079743, 0.23589], np.float32))
    np.testing.assert_array_equal(vectors[8, :2], np.array([0.45911, -0.11895], np.float32))
    normed = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.argmax(normed @ normed.T - 2 * np.eye(9), axis=1)
    neighbours = {word: WORDS[other] for word, other in zip(WORDS, nearest, strict=True)}
    # Words that are used alike lie close: rows that had been swapped would not show it.
    assert neighbours["anger"] == "fear" and neighbours["sad"] == "happy" and neighbours["valence"] == "arousal"


@pytest.mark.parametrize("words", [*ACTION_UNITS.values(), *[(word.lower(),) for word in CLASS_WORDS]], ids=" ".join)
def test_embedded_vectors_know_every_public_node_s_words(words: tuple[str, ...]) -> None:
    assert load_word_vectors(None, words).shape == (len(words), 100)


@pytest.mark.parametrize("words", [("sad",), ("sad", "fear"), ("arousal", "sad", "sad"), WORDS[::-1]])
def test_any_number_of_words_in_any_order(words: tuple[str, ...], tmp_path: Path) -> None:
    vectors = load_word_vectors(_write(tmp_path / "glove.txt", _glove_lines()), words)
    np.testing.assert_array_equal(vectors, EXPECTED_9x3[[WORDS.index(word) for word in words]])


TEXTS = {
    "in any order among other words": [
        *("the 9 9 9", *_glove_lines([8, 3, 0, 1, 2]), "sadness 7 7 7", ". . . 1 2 3", "happy new year 4 5 6"),
        *("sad 6 6 6", *_glove_lines([4, 5, 6, 7])),
    ],
    "nothing but the words": _glove_lines(),
    "a line of counts": ["400000 3", *_glove_lines()],
    "left as soon as all words are found": ["the 1 2 3", *_glove_lines(), "happy not a number"],
    "tabs": ["the\t1\t2\t3", *_glove_lines(between="\t")],
    "tabs and a line of counts": ["400000\t3", *_glove_lines(between="\t")],
    "a tab after the word": [line.replace(" ", "\t", 1) for line in _glove_lines()],
    "a byte-order mark": [f"\ufeff{_glove_lines()[0]}", *_glove_lines()[1:]],
    "a byte-order mark before a line of counts": ["\ufeff9 3", *_glove_lines()],
    "a blank first line": ["", *_glove_lines()],
    "blank lines everywhere": ["\ufeff", " ", "9 3", *(f"{line}\n\t" for line in _glove_lines())],
    "ends of lines as on Windows": [f"{line}\r" for line in _glove_lines()],
    "a space at the end, as word2vec writes": [f"{line} " for line in ("9 3", *_glove_lines())],
    "more words than any array has rows": [*(f"w{i} 1 2 3" for i in range(3000)), *_glove_lines()],
    "numbers for words": [*(f"{i} 1 2 3" for i in range(999)), *_glove_lines()],
    "numbers alone": [" ".join(map(str, row)) for row in EXPECTED_9x3],
    "numbers alone with tabs": ["\ufeff", *("\t".join(map(str, row)) for row in EXPECTED_9x3)],
}


@pytest.mark.parametrize("name", ["glove.txt", "vectors.vec", "glove", "glove.6B.3d", "glove.dat"])
@pytest.mark.parametrize("text", TEXTS)
def test_text_file_of_any_name(text: str, name: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_word_vectors(_write(tmp_path / name, TEXTS[text]), WORDS), EXPECTED_9x3)


@pytest.mark.parametrize("name", ["glove.txt.gz", "glove.vec", "glove.txt"])
def test_compressed_text(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress("\n".join(["9 3", *_glove_lines()]).encode()))
    np.testing.assert_array_equal(load_word_vectors(tmp_path / name, WORDS), EXPECTED_9x3)


TABLES = {
    "GloVe's own text": _glove_lines(),
    "GloVe's own text with tabs": _glove_lines(between="\t"),
    "columns with numbers for names": ["word,0,1,2", *_glove_lines(between=",")],
    "a column without a name": [",0,1,2", *_glove_lines(between=",")],
    "row numbers, too": [",word,0,1,2", *(f"{i},{line}" for i, line in enumerate(_glove_lines(between=",")))],
    "no header": _glove_lines(between=","),
    "a comma at the end": [f"{line}," for line in ("word,a,b,c", *_glove_lines(between=","))],
    "semicolons": ["\ufeffword;a;b;c", *_glove_lines(between=";")],
    "words in capitals": ["word,a,b,c", *(line.capitalize() for line in _glove_lines(between=","))],
}


@pytest.mark.parametrize("text", TABLES)
def test_table_with_or_without_a_header(text: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_word_vectors(_write(tmp_path / "glove.csv", TABLES[text])), EXPECTED_9x3)


def test_a_word_in_capitals_stands_for_it_only_where_it_is_alone(tmp_path: Path) -> None:
    lines = ["Happy 7 7 7", *(line if line.startswith("happy") else line.capitalize() for line in _glove_lines())]
    np.testing.assert_array_equal(load_word_vectors(_write(tmp_path / "glove.txt", lines)), EXPECTED_9x3)


def test_home_is_written_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _write(tmp_path / "glove.txt", _glove_lines())
    np.testing.assert_array_equal(load_word_vectors("~/glove.txt", WORDS), EXPECTED_9x3)


def test_bytes_that_are_not_utf8_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(b"the 1 2 3\n\xff\xfe\x85 1 2 3\n" + "\n".join(_glove_lines()).encode())
    np.testing.assert_array_equal(load_word_vectors(path, WORDS), EXPECTED_9x3)


BAD_GLOVE = {
    "words missing": (["the 1 2 3", *_glove_lines([0, 1, 2, 3, 4, 5, 6])], "no vector for valence, arousal: give"),
    "short line": (["the 1 2 3", "happy 1 2"], r"line 2 of .* \(happy\) has 2 numbers where line 1 promises 3"),
    "after a blank": (["", "the 1 2 3", "happy 1 2"], r"line 3 of .* \(happy\) has 2 numbers where line 2 promises 3"),
    "long line": (["the 1 2 3", "a 1 2 3", "sad 1 2 3 4"], r"line 3 of .* \(sad\) has 4 numbers"),
    "wrong count": (["400000 300", "sad 1 2 3"], r"line 2 of .* \(sad\) has 3 numbers where line 1 promises 300"),
    "bad number": (["the 1 2 3", "fear 1 x 3"], r"line 2 of .* \(fear\) should hold 3 finite numbers"),
    "infinite": (["the 1 2 3", "fear 1 inf 3"], r"line 2 of .* \(fear\) should hold 3 finite numbers"),
    "beyond single precision": ([f"{word} 1e39 0 0" for word in WORDS], "row 1, column 1 is 1e\\+39"),
    "prose": (["It was a dark and stormy night"], "not a text file of word vectors .*: its line 1"),
    "commas": (["word,1,2", "sad,1,2"], "not a text file of word vectors .*: its line 1"),
    "empty": ([], "is empty"),
    "ragged array": (["1 2"] * 8 + ["1 2 3"], "9 lines of .* equally many numbers"),
    "other number of rows": (["1 2"] * 8, "9 x F numbers, a row for each of neutral, .* but its shape is 8 x 2"),
    "one endless line": (["happy " + "1 " * 600_000], "line 1 is longer than a megabyte"),
}


@pytest.mark.parametrize("case", BAD_GLOVE)
def test_bad_text_file(case: str, tmp_path: Path) -> None:
    lines, message = BAD_GLOVE[case]
    with pytest.raises(UserError, match=message) as caught:
        load_word_vectors(_write(tmp_path / "glove.txt", lines), WORDS)
    assert "glove.txt" in str(caught.value)


def test_missing_words_are_named_in_a_sentence_of_any_length(tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(5000)]
    with pytest.raises(UserError, match=r"no vector for word0, word1, .* and 4990 more") as caught:
        load_word_vectors(_write(tmp_path / "glove.txt", _glove_lines()), words)
    assert len(str(caught.value)) <= 2000
    with pytest.raises(UserError, match="the embedded word vectors have none for gloom: give the path"):
        load_word_vectors(None, ("sad", "gloom"))


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "txt", "safetensors"])
def test_array_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    {
        "npy": lambda: np.save(path, EXPECTED_9x3.astype(np.float64)),
        "npz": lambda: np.savez(path, vectors=EXPECTED_9x3),
        "csv": lambda: np.savetxt(path, EXPECTED_9x3, delimiter=","),
        "txt": lambda: np.savetxt(path, EXPECTED_9x3),
        "safetensors": lambda: writing.save(path, {"vectors": EXPECTED_9x3}),
    }[suffix]()
    vectors = load_word_vectors(path, WORDS)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, EXPECTED_9x3)


@pytest.mark.parametrize("suffix", ["npy", "npz", "pth", "pkl"])
def test_array_file_of_no_known_suffix_is_seen_from_its_content(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    {
        "npy": lambda: np.save(path, EXPECTED_9x3),
        "npz": lambda: np.savez(path, EXPECTED_9x3),
        "pth": lambda: writing.save(path, EXPECTED_9x3),
        "pkl": lambda: path.write_bytes(pickle.dumps(EXPECTED_9x3)),
    }[suffix]()
    np.testing.assert_array_equal(load_word_vectors(path.rename(tmp_path / "vectors"), WORDS), EXPECTED_9x3)


@pytest.mark.parametrize("suffix", ["pkl", "pth"])
@pytest.mark.parametrize("copies", [0, 5])
def test_official_array_file(suffix: str, copies: int, tmp_path: Path) -> None:
    array = np.tile(EXPECTED_9x3, (copies, 1, 1)) if copies else EXPECTED_9x3
    path = tmp_path / f"emb.{suffix}"
    if suffix == "pth":
        writing.save(path, array)
    else:
        path.write_bytes(pickle.dumps(array.astype(np.float64)))
    np.testing.assert_array_equal(load_word_vectors(path, WORDS), EXPECTED_9x3)


def test_named_rows_of_a_csv_are_put_in_order(tmp_path: Path) -> None:
    lines = [line.replace(" ", ",") for line in _glove_lines([8, 7, 6, 5, 4, 3, 2, 1, 0])]
    path = _write(tmp_path / "named.csv", ["word,a,b,c", "the,1,1,1", *lines, "happy,6,6,6"])
    np.testing.assert_array_equal(load_word_vectors(path, WORDS), EXPECTED_9x3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((300, 9)), "9 x F numbers, a row for each of neutral, .* but its shape is 300 x 9"),
        (np.zeros((2, 3, 9)), "shape is 3 x 9"),
        (np.zeros((2, 1, 9, 3)), "shape is 2 x 1 x 9 x 3"),
        (np.arange(54.0).reshape(2, 9, 3), "holds 2 different arrays"),
        (np.array(1.0), "shape is a single value"),
        (np.zeros((9, 0)), "shape is 9 x 0"),
        (np.full((9, 2), "x"), "real numbers but holds <U1"),
        (np.full((9, 2), 1j), "real numbers but holds complex128"),
        (np.where(np.eye(9) > 0, np.nan, 0.0), "row 1, column 1 is nan"),
        (np.where(np.eye(9) > 0, 1e39, 0.0), r"row 1, column 1 is 1e\+39"),
        (np.array([[{}]] * 9, dtype=object), "does not hold a plain array of numbers"),
    ],
)
def test_bad_array(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(UserError, match=message):
        load_word_vectors(tmp_path / "bad.npy", WORDS)


OTHER_BAD_FILES = {
    "noise.npy": (b"hello", "does not hold a plain array"),
    "empty.npy": (b"", "does not hold a plain array"),
    "noise.npz": (b"PK\x03\x04hello", "does not hold a plain array"),
    "short.csv": (b"word,a\nhappy,1\n", "no vector for neutral, sad, surprise"),
    "run.pkl": (b"cbuiltins\nprint\n(S'run'\ntR.", "asks for builtins.print, which is no tensor"),
    "dict.pkl": (pickle.dumps({}), "one array of word vectors but holds none"),
    "object.pkl": (pickle.dumps(Path("x")), "an object of pathlib"),
    "text.pkl": (pickle.dumps(np.array(["x"] * 9)), "real numbers but holds object"),
    "few.pkl": (pickle.dumps(np.zeros((2, 3))), "its shape is 2 x 3"),
    "two.pkl": (pickle.dumps({"a": EXPECTED_9x3, "b": EXPECTED_9x3}), r"one array .* but holds 2 \(a, b\)"),
    "glove.zip": (b"PK\x03\x04" + b"\0" * 26 + b"glove.txt", "is an archive, .*: unpack it"),
    "glove.txt.gz": (gzip.compress(b"the 1 2 3\n" * 100)[:-20], "damaged or truncated gzip"),
    "glove.gz": (b"\x1f\x8bhello", "damaged or truncated gzip"),
    "page.txt": (b"<!DOCTYPE html>\n<html>", "not a text file of word vectors"),
}


@pytest.mark.parametrize("name", OTHER_BAD_FILES)
def test_other_bad_file(name: str, tmp_path: Path) -> None:
    content, message = OTHER_BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_word_vectors(tmp_path / name, WORDS)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["absent.txt", "emb.pkl", "folder", "absent.zip"])
def test_missing_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=f"there is no file .*{name}"):
        load_word_vectors(tmp_path / name, WORDS)


def test_archive_of_two_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=EXPECTED_9x3, b=EXPECTED_9x3)
    with pytest.raises(UserError, match=r"one array of word vectors but holds 2 \(a, b\)"):
        load_word_vectors(tmp_path / "two.npz", WORDS)


def test_a_node_s_vector_is_the_mean_of_its_words(tmp_path: Path) -> None:
    # 2^24 + 1 has no float32: summed in single precision the mean of the first numbers would be 2^24 / 2.
    path = _write(tmp_path / "glove.txt", ["inner 16777217 0 3", "brow 1 1 6", "raise 0 5 0", "sad 0.1 0.2 0.3"])
    nodes = {
        "AU1": ("inner", "brow", "raise"),
        "Sad": ("sad",),
        "AU4": ("brow", "brow", "raise"),
        "x": ("brow", "inner"),
    }
    vectors_4x3 = node_vectors(path, nodes)
    expected = [[16777218 / 3, 2, 3], [0.1, 0.2, 0.3], [2 / 3, 7 / 3, 4], [16777218 / 2, 0.5, 4.5]]
    assert vectors_4x3.dtype == np.float32
    np.testing.assert_array_equal(vectors_4x3, np.array(expected, np.float32))


def test_nodes_of_one_word_have_its_very_vector() -> None:
    by_node = {node: (node.lower(),) for node in NODES}
    np.testing.assert_array_equal(node_vectors(None, by_node), load_word_vectors(None, WORDS))


@pytest.mark.parametrize("name", ["a.npy", "a.txt", "a.csv"])
def test_bare_rows_are_the_nodes_in_order(name: str, tmp_path: Path) -> None:
    rows_2x3 = EXPECTED_9x3[:2]
    np.save(tmp_path / "a.npy", rows_2x3)
    np.savetxt(tmp_path / "a.txt", rows_2x3)
    np.savetxt(tmp_path / "a.csv", rows_2x3, delimiter=",")
    nodes = {"AU1": ("inner", "brow", "raise"), "AU2": ("outer", "brow", "raise")}
    np.testing.assert_array_equal(node_vectors(tmp_path / name, nodes), rows_2x3)
    with pytest.raises(UserError, match="3 x F numbers, a row for each of AU1, AU2, AU4, but its shape is 2 x 3"):
        node_vectors(tmp_path / name, {**nodes, "AU4": ("brow", "lower")})


def test_words_of_nodes_that_a_file_lacks_are_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "glove.txt", ["inner 1 2", "brow 1 2"])
    with pytest.raises(UserError, match="no vector for raise, outer: give"):
        node_vectors(path, {"AU1": ("inner", "brow", "raise"), "AU2": ("outer", "brow", "raise")})
    with pytest.raises(UserError, match=r"every node needs a word .* but B has none"):
        node_vectors(path, {"A": ("brow",), "B": ()})
