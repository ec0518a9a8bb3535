"""The form of a table is found from its first line."""

import codecs

import pytest

from emotion_gcn_jax import files
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases.tables import number, open_table

KNOWN = {"path": "path", "label": "label"}


def rows(folder, text, **options):
    file = folder / "table.csv"
    file.write_text(text)
    return list(open_table(file, KNOWN, ["path"], **options).rows())


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
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


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ('1.jpg,"blurred,\nlooks away",Sad', ("1.jpg", "blurred, looks away", "Sad")),
        ('1.jpg,"a\r\n\r\n""b"" c\r\nd",Sad', ("1.jpg", 'a "b" c d', "Sad")),
        ('1.jpg,x,"Sad\n"', ("1.jpg", "x", "Sad")),
        ('"a\n1.jpg",x,Sad', ("a 1.jpg", "x", "Sad")),
        ('1.jpg,"' + "x\n" * 50 + '",Sad', ("1.jpg", "x " * 49 + "x", "Sad")),
    ],
    ids=["a separator, too", "blank lines and quotes", "last cell", "first cell", "50 more lines"],
)
def test_a_quoted_cell_may_have_line_breaks(row, cells, tmp_path):
    first, *others = rows(tmp_path, f"path,note,label\n{row}\n2.jpg,,Happy\n3.jpg,,Fear\n")
    assert first.cells == dict(zip(("path", "note", "label"), cells, strict=True)) and first.line == 2
    assert [row.cells["path"] for row in others] == ["2.jpg", "3.jpg"] and "\n" not in first.text
    assert others[1].line == others[0].line + 1 == 4 + row.count("\n")


@pytest.mark.parametrize(
    "lines",
    [
        ['"1.jpg,a,Sad', '"2.jpg,b,Happy'],
        ['"1.jpg,a,Sad', '2.jpg",b,Happy'],
        ['1.jpg,"a,Sad', '2.jpg,b",Happy'],
        ['1.jpg,a,"Sad', '2.jpg,b,Happy"'],
        ['1.jpg,a,"Sad', "2.jpg,b,Happy", '"'],
        ['1.jpg,a 5" screen,Sad', '2.jpg,a 6" screen,Happy'],
        ['1.jpg,a,"Sad', *["x"] * 60, '"'],
    ],
    ids=["first cells", "first cells' ends", "middle", "around rows", "around a row", "inches", "too many lines"],
)
def test_a_stray_quote_joins_no_rows(lines, tmp_path):
    found = rows(tmp_path, "\n".join(["path,note,label", *lines]))
    assert [row.line for row in found] == list(range(2, 2 + len(lines)))
    assert found[0].cells["label"] == "Sad" and found[1].cells["path"] in ("2.jpg", "x")


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        *[("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("cp1252", b""), ("utf-16-le", b""), ("utf-16-be", b"")],
        *[("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE)],
    ],
)
@pytest.mark.parametrize("sizes", [{}, {"_CHUNK": 1, "_BEGINNING": 3}], ids=["at once", "byte by byte"])
def test_encodings(encoding, mark, sizes, tmp_path, monkeypatch):
    for name, size in sizes.items():
        monkeypatch.setattr(files, name, size)
    (tmp_path / "table.csv").write_bytes(mark + "path;label\n1.jpg;Möller\n2.jpg;Müller\n".encode(encoding))
    first, second = open_table(tmp_path / "table.csv", KNOWN, ["path"]).rows()
    assert first.cells == {"path": "1.jpg", "label": "Möller"} and second.cells["label"] == "Müller"


def test_bytes_that_mean_nothing_are_replaced(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"path,label\n1.jpg,\xfc\x81\n")
    (row,) = open_table(tmp_path / "table.csv", KNOWN, ["path"]).rows()
    assert row.cells["label"] == "ü\ufffd"


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("age,path,label\n30,p/0.png,Sad,\n", {"age": "30", "path": "p/0.png", "label": "Sad"}),
        ("age,path,label\n30,p/0.png,,,\n", {"age": "30", "path": "p/0.png", "label": ""}),
        ("age;path;label\n1;30;p/0.png;Sad\n", {"age": "30", "path": "p/0.png", "label": "Sad"}),
        ("age,path,label\n1,30,0.png,,\n", {"age": "30", "path": "0.png", "label": ""}),
        ("path,label\n1,0.png,\n", {"path": "0.png", "label": ""}),
        ("path,label\n1,0.png,Sad,\n", {"path": "0.png", "label": "Sad"}),
        ("label,path\n1,0.png,,\n", {"label": "1", "path": "0.png"}),
        ("label,path\n3,0007,\n", {"label": "3", "path": "0007"}),
        ("label,path\n12,3,0007\n", {"label": "3", "path": "0007"}),
        ("video,path\n1,films/a.mp4,a/1.jpg\n", {"video": "films/a.mp4", "path": "a/1.jpg"}),
    ],
)
def test_a_row_longer_than_the_header_is_put_into_its_columns(text, cells, tmp_path):
    (row,) = rows(tmp_path, text, path_column="path")
    assert row.cells == cells


def test_separators_at_the_rows_ends_make_no_row_number_without_paths(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("label,kind\n3,b,\n7,3,b\n")
    first, second = open_table(file, {"label": "label"}, ["label"]).rows()
    assert first.cells == second.cells == {"label": "3", "kind": "b"}


@pytest.mark.parametrize(
    ("text", "number_of_row"),
    [
        ("path;label;size\n1.jpg;0,5;3\n", "0.5"),
        ("path\tlabel\tsize\n1.jpg\t-,5\t3\n", "-.5"),
        ("path;label;size\n1.jpg;1,5e-3;3\n", "1.5e-3"),
        ("path;label;size\n1.jpg;1,234;0.5\n", "1,234"),
        ("path;label;size\n1.jpg;1,234,567;3\n", "1,234,567"),
        ('path,label,size\n1.jpg,"1,234",3\n', "1,234"),
    ],
    ids=["semicolons", "tabs", "exponent", "a number with a point", "several commas", "commas separate"],
)
def test_decimal_commas_of_columns_of_numbers(text, number_of_row, tmp_path):
    (row,) = rows(tmp_path, text, number_columns=("label", "size"))
    assert row.cells["label"] == number_of_row


def test_texts_keep_their_commas(tmp_path):
    (row,) = rows(tmp_path, "path;label;site\n0,5;1,5;2,5\n", number_columns=("label",))
    assert row.cells == {"path": "0,5", "label": "1.5", "site": "2,5"}


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
