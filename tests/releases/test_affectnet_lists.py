"""A list is the same list in every form in which copies have it."""

import codecs
import pathlib

import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases.affectnet_lists import list_split
from emotion_gcn_jax.releases.building import Skip
from tests.raw_affectnet import HEADER, row
from tests.raw_faces import raw_faces

IMAGES = pathlib.Path("images")
ROWS = [
    row(f"{number}/face {number}.jpg", raw_faces(3)[number], number, ("0.25", "-0.5")) for number in range(3)
]  # Neutral, Happy, Sad


def text(*, separator=",", quote="", header=HEADER, rows=ROWS, end="\n", row_end=None):
    """A list as text; `quote` is put round every cell, `row_end` ends the rows and not the header."""
    names, *lines = [
        separator.join(quote + cell + quote for cell in cells) + ending
        for cells, ending in [(header or [], end), *((row, row_end or end) for row in rows)]
    ]
    return "".join([names, *lines] if header else lines)


def numbered(rows=ROWS):
    """The rows as R numbers them."""
    return [[str(number), *cells] for number, cells in enumerate(rows, start=1)]


def european(rows=ROWS):
    """The rows with decimal commas."""
    return [[cells[0], *(cell.replace(".", ",") for cell in cells[1:])] for cells in rows]


def beginning_with(column):
    """The header and the rows with one column moved to the left."""
    place = HEADER.index(column)
    return [[cells[place], *cells[:place], *cells[place + 1 :]] for cells in (HEADER, *ROWS)]


def entries(content, folder):
    """The entries of a list, in which the id, the fate and every number stand."""
    path = folder / "training.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    split = list_split("train", path, IMAGES, lambda image, annotation: b"")
    found = list(split.entries)
    assert split.total == len(found)
    return found


def changed(column, change, rows=ROWS):
    """The rows with one column changed."""
    place = HEADER.index(column)
    return [[*cells[:place], change(cells[place]), *cells[place + 1 :]] for cells in rows]


def with_paths(change):
    return text(rows=changed("subDirectory_filePath", change))


FORMS = {
    "without header": text(header=None),
    "tabs": text(separator="\t"),
    "tabs without header": text(separator="\t", header=None),
    "semicolons and quotes": text(separator=";", quote='"'),
    "semicolons and quotes without header": text(separator=";", quote='"', header=None),
    "semicolons without quotes": text(separator=";"),
    "semicolons without quotes or header": text(separator=";", header=None),
    "index of pandas": text(header=["", *HEADER], rows=[[str(n), *cells] for n, cells in enumerate(ROWS)]),
    "index of pandas without header": text(header=None, rows=[[str(n), *cells] for n, cells in enumerate(ROWS)]),
    "row names of R": text(rows=[[f'"{n}"', *cells] for n, cells in enumerate(ROWS, start=1)]),
    "path last": text(header=[*HEADER[1:], HEADER[0]], rows=[[*cells[1:], cells[0]] for cells in ROWS]),
    "columns backwards": text(header=HEADER[::-1], rows=[cells[::-1] for cells in ROWS]),
    "further columns": text(header=["", "age", *HEADER, "note"], rows=[["7", "30", *cells, "?"] for cells in ROWS]),
    "capitals": text(header=[name.upper() for name in HEADER]),
    "spaces": text(separator=" , "),
    "quotes": text(quote='"'),
    "single quotes": text(quote="'"),
    "lines in quotes": "".join(f'"{line}"\n' for line in text().splitlines()),
    "a stray quote": text().replace("0/face", '"0/face').replace("1/face 1.jpg", '1/face 1.jpg"'),
    "separators at line ends": text(end=",\n"),
    **{
        f"separators at rows' ends, {column} first": text(header=header, rows=rows, row_end=",\n")
        for column in ("expression", "face_x", "valence", "facial_landmarks")
        for header, *rows in [beginning_with(column)]
    },
    "separators at rows' ends and row names of R": text(rows=numbered(), row_end=",\n"),
    "separators at rows' ends without header": text(header=None, row_end=",,\n"),
    "a semicolon at rows' ends": text(separator=";", row_end=";\n"),
    "semicolons at rows' ends": text(separator=";", row_end=";;;\n"),
    "semicolons at all lines' ends": text(separator=";", end=";;\n"),
    "semicolons at rows' ends and quotes": text(separator=";", quote='"', row_end=";;\n"),
    "semicolons at rows' ends without header": text(separator=";", header=None, row_end=";\n"),
    "semicolons at rows' ends with row names of R": text(separator=";", rows=numbered(), row_end=";\n"),
    "semicolons and an index without header": text(separator=";", header=None, rows=numbered(), row_end=";;\n"),
    "semicolons and an empty last column": text(
        separator=";", header=[*HEADER, "note"], rows=[[*cells, ""] for cells in ROWS]
    ),
    "semicolons and row names of R": text(separator=";", rows=numbered()),
    "semicolons at the landmarks' end, too": text(
        separator=";", rows=changed("facial_landmarks", lambda cell: f"{cell};"), row_end=";\n"
    ),
    "decimal commas and semicolons": text(separator=";", rows=european()),
    "decimal commas and semicolons without header": text(separator=";", header=None, rows=european(), row_end=";\n"),
    "decimal commas, semicolons and quotes": text(separator=";", quote='"', rows=european()),
    "decimal commas and points in the landmarks": text(
        separator=";",
        quote='"',
        rows=changed("valence", lambda _: "0,25", changed("arousal", lambda _: "-0,5")),
    ),
    "decimal commas and tabs": text(separator="\t", rows=european()),
    "decimal commas and tabs without header": text(separator="\t", header=None, rows=european()),
    "decimal commas in quotes": text(quote='"', rows=changed("facial_landmarks", lambda cell: cell.replace(".", ","))),
    "Windows line ends": text(end="\r\n"),
    "old line ends": text(end="\r"),
    "byte-order mark": codecs.BOM_UTF8 + text().encode(),
    "UTF-16": text().encode("utf-16"),
    "separator of Excel": "sep=;\n" + text(separator=";", quote='"'),
    "separator at the landmarks' end": text(rows=changed("facial_landmarks", lambda cell: f"{cell};")),
    "separators round the landmarks": text(rows=changed("facial_landmarks", lambda cell: f";{cell}; ")),
    "absolute paths": with_paths(lambda cell: f"/home/user/AffectNet/Manually_Annotated_Images/{cell}"),
    "Windows paths": with_paths(lambda cell: "D:\\AffectNet\\" + cell.replace("/", "\\")),
    "prefixed paths": with_paths(lambda cell: f"./Manually_Annotated_Images/{cell}"),
    "a slash before paths": with_paths(lambda cell: f"/{cell}"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_form_of_a_list_has_the_same_entries(form, tmp_path):
    found = entries(form, tmp_path)
    assert [entry.id for entry in found] == ["0/face 0.jpg", "1/face 1.jpg", "2/face 2.jpg"]
    assert [entry.content for entry in found] == [entry.content for entry in entries(text(), tmp_path)]
    assert [entry.content.image for entry in found] == [IMAGES / entry.id for entry in found]


def test_the_report_counts_lines_as_an_editor_does(tmp_path):
    found = entries(text().replace("\n", "\n\n"), tmp_path)
    assert [entry.where for entry in found] == [f"training.csv line {line}" for line in (3, 5, 7)]


@pytest.mark.parametrize("lacking", HEADER)
def test_a_header_that_lacks_a_column_is_refused(lacking, tmp_path):
    header = ["something" if name == lacking else name for name in HEADER]
    with pytest.raises(UserError, match=rf"Expected the columns .* in .*training\.csv, .* has no {lacking}: name"):
        entries(text(header=header), tmp_path)


@pytest.mark.parametrize(
    ("column", "cell", "detail"),
    [
        ("facial_landmarks", "1.5;2.5", "2 numbers in '1.5;2.5'"),
        ("face_x", "NULL", "NULL, "),
        ("face_width", "-20", ", -20, "),
        ("expression", "happy", "code 'happy'"),
        ("valence", "9", "valence '9', arousal '-0.5'"),
        ("subDirectory_filePath", "", "no path in ',"),
    ],
)
def test_the_reason_says_what_was_found(column, cell, detail, tmp_path):
    (entry,) = entries(text(rows=changed(column, lambda _: cell, ROWS[:1])), tmp_path)
    assert isinstance(entry.content, Skip) and detail in entry.content.detail


def test_a_row_cut_short_and_a_second_one_say_so(tmp_path):
    cut, again = entries(text(rows=[ROWS[0][:4], ROWS[1], ROWS[1]]), tmp_path)[::2]
    assert cut.content.detail.startswith("no face_height, facial_landmarks, expression, valence, arousal in '0/face")
    assert (again.content.reason, again.content.detail, again.content.lost) == ("listed before", "in line 3", False)
