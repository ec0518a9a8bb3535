"""The form of a table is found from its first line."""

import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases.tables import number, open_table

KNOWN = {"path": "path", "label": "label"}


def rows(folder, text, **options):
    file = folder / "table.csv"
    file.write_text(text)
    return list(open_table(file, KNOWN, ["path"], **options).rows())


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_cells_by_column_and_the_line(separator, tmp_path):
    text = separator.join(["age", "Label", "PATH"]) + "\n\n" + separator.join(["3", '"a b"', "1.jpg"]) + "\n"
    (row,) = rows(tmp_path, text)
    assert row.line == 3 and row.cells == {"age": "3", "label": "a b", "path": "1.jpg"}


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('"1,2.jpg",Sad', {"path": "1,2.jpg", "label": "Sad"}),
        ("1.jpg", {"path": "1.jpg"}),
        ("1.jpg,Sad,more", {"path": "1.jpg", "label": "Sad"}),
        ('"1.jpg,Sad', {"path": "1.jpg", "label": "Sad"}),
        ('1 "the first".jpg,Sad', {"path": '1 "the first".jpg', "label": "Sad"}),
        ("x" * 200_000 + ",Sad", {"path": "x" * 200_000, "label": "Sad"}),
    ],
    ids=["quoted separator", "short", "long", "stray quote", "inner quotes", "longer than csv takes"],
)
def test_one_line_is_one_row(line, cells, tmp_path):
    first, second = rows(tmp_path, f"path,label\n{line}\n2.jpg,Happy\n")
    assert first.cells == cells and second.cells == {"path": "2.jpg", "label": "Happy"}
    assert len(first.text) <= 100


def test_a_table_without_header_has_the_given_columns(tmp_path):
    (row,) = rows(tmp_path, "1.jpg;Sad\n", order=("path", "label"))
    assert row.line == 1 and row.cells == {"path": "1.jpg", "label": "Sad"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("label,note\n", r"Expected the columns path in .*table\.csv, and its header 'label,note' has no path"),
        ("path,Path\n", r"Expected every column once in .*, and its header has path twice"),
        ("", r"its header '' has no path"),
        ("x" * 5000, r"its header 'x{100}' has no path"),
    ],
)
def test_a_header_that_is_none_is_said(text, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        rows(tmp_path, text)


def test_a_table_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(UserError, match=r"Expected a table in .*gone, and it cannot be read \(No such file"):
        open_table(tmp_path / "gone", KNOWN, ["path"])


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), (" -5 ", -5.0), ("1e-1", 0.1)])
def test_numbers(text, value):
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "NULL", "nan", "0,5"])
def test_what_is_no_number_is_nan(text):
    assert number(text) != number(text)
