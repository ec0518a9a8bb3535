"""The user's own faces, in tables as programs write them."""

import codecs
import pathlib

import numpy as np
import pyarrow.parquet
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.inference import own_boxes
from emotion_gcn_jax.inference.judging import Settings, judge_frames
from emotion_gcn_jax.inference.model import load
from emotion_gcn_jax.inference.results import Place
from emotion_gcn_jax.inference.sources import Frame

TABLE = "file,x0,y0,x1,y1,frame,score\n/own/a.png,1.5,2,30,40,,0.25\n/own/b.mp4,1,2,3,4,7,\n"
PICTURE, FILM = pathlib.Path("/own/a.png"), pathlib.Path("/own/b.mp4")
FOUND = {(PICTURE, None): [Place((1.5, 2, 30, 40), score=0.25)], (FILM, 7): [Place((1, 2, 3, 4))]}


def read(tmp_path, data):
    file = tmp_path / "own.csv"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return own_boxes.read(str(file))


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        TABLE.replace("\n", "\r\n"),
        codecs.BOM_UTF8 + TABLE.encode(),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TABLE.encode("utf-16-be"),
        TABLE.replace("file,x0", "File,X0"),
        TABLE.replace("file", "FILE").replace("score", "Score"),
        TABLE.replace(",", ", "),
        TABLE.replace("/own/a.png,", '"/own/a.png",'),
        TABLE.replace(",7,", ",7.0,"),
        TABLE.replace("40,,", "40,nan,").replace(",7,", ",7.0,nan"),
        TABLE.replace("40,,", "40,<NA>,").replace(",7,", ",7,NULL"),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", "|"),
        TABLE.replace(",", ";").replace("1.5", "1,5").replace("0.25", "0,25"),
        TABLE.replace(",", "\t").replace("1.5", "1,5").replace("0.25", "0,25"),
        "sep=;\n" + TABLE.replace(",", ";"),
        TABLE + "\n,,,,,,\n",
    ],
    ids=[
        "plain", "from Windows", "UTF-8 with its mark", "UTF-16", "UTF-16 without its mark",
        "UTF-16, high byte first", "two columns in capitals", "columns in capitals", "blanks behind the commas",
        "quoted names", "frames of pandas", "nan of pandas", "nothing in other words", "semicolons", "tabs", "bars",
        "semicolons and decimal commas", "tabs and decimal commas", "Excel's hint", "blank lines",
    ],
)  # fmt: skip
def test_a_table_is_read_in_the_form_that_it_has(tmp_path, data):
    assert read(tmp_path, data) == FOUND


@pytest.mark.parametrize(
    "columns", [["file", "x0", "y0", "x1", "y1", "frame", "score"], ["File", "X0", "y0", "x1", "y1"]]
)
def test_a_table_in_parquet_is_read_too(tmp_path, columns):
    values = {"file": ["/own/a.png", "/own/b.mp4"], "x0": [1.5, 1], "y0": [2.0, 2], "x1": [30, 3], "y1": [40, 4]}
    values |= {"frame": [None, 7], "score": [0.25, None], "faces": [[1], [2]]}
    table = {column: values[column.lower()] for column in (*columns, "faces")}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "own.parquet")
    found = own_boxes.read(str(tmp_path / "own.parquet"))
    assert found == (FOUND if "frame" in columns else {(p, None): [Place(f[0].box)] for (p, _), f in FOUND.items()})
    data = (tmp_path / "own.parquet").read_bytes()
    (tmp_path / "own.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="found none that can be read"):
        own_boxes.read(str(tmp_path / "own.parquet"))


def test_a_name_may_hold_what_separates_cells(tmp_path):
    name = ' a,b;"c"\nd,1.png'
    quoted = '"{}"'.format(name.replace('"', '""'))
    found = {(pathlib.Path(name).absolute(), None): [Place((1, 2, 3, 4))]}
    for mark in ",;":
        columns, box = mark.join(("file", *own_boxes.BOX)), mark.join("1234")
        assert read(tmp_path, f"{columns}\n{quoted}{mark}{box}\n") == found


def test_a_name_that_is_no_text_is_found_as_tables_write_it(tmp_path):
    found = read(tmp_path, "file,x0,y0,x1,y1\nbad\\udcff.png,1,2,3,4\n")
    assert own_boxes.of_picture(found, "bad\udcff.png", None) == [Place((1, 2, 3, 4))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,x0,y0,x1,y1,frame\na.png,1,2,3,4,5\na.png,1,2,3,4,1.5\n", r"line 3: .*1\.5 is no number of a frame"),
        ("sep=,\nfile,x0,y0,x1,y1\na.png,1,2,3\n", r"line 3: .*no y1"),
        ("file,x0,y0,x1,y1\na.png,1,5,2,3,4\n", "line 2: .*y1 than y0"),  # a decimal comma among commas
        ("file,x0,X0,y0,x1,y1\n", "found x0 twice"),
        ("\xff", "y1 not found"),
        ("", "file, x0, y0, x1, y1 not found"),
    ],
)
def test_what_is_no_box_is_named_with_its_line(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


def test_a_table_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(UserError, match="none that can be read"):
        read(tmp_path, "file,x0,y0,x1,y1\nmüller.png,1,2,3,4\n".encode("latin-1"))


@pytest.fixture(scope="module")
def model():
    return load()


def judged(model, places, **settings):
    """What is said of a grey picture with some faces of its own in the table, and the remark."""
    frame = Frame(0, str(PICTURE), None, None, lambda: np.full((100, 200, 3), 99, np.uint8))
    boxes = {(PICTURE, None): places}
    (answer,) = judge_frames(model, iter([frame]), Settings(boxes=boxes, **settings), workers=1)
    return answer


BOX = (20.0, 20.0, 60.0, 60.0)


@pytest.mark.parametrize(
    ("eyes", "remark"),
    [
        (((30, 35), (50, 35)), None),
        (((12, 35), (28, 35)), None),  # a face turned away
        (((0.25, 0.4), (0.75, 0.4)), "1 with an eye far outside of the box"),  # in shares of the box
        (((130, 35), (150, 35)), "1 with an eye far outside of the box"),
        (((30, 35), (50, 90)), "1 with an eye far outside of the box"),
        (((50, 35), (30, 35)), "1 with the left eye right of the right one"),
    ],
)
def test_eyes_that_cannot_be_of_their_face_are_remarked(model, eyes, remark):
    said = judged(model, [Place(BOX, *eyes), Place(BOX)]).remark
    assert said is None if remark is None else remark in said


@pytest.mark.parametrize(
    ("box", "remark"),
    [
        ((0.36, 0.15, 0.53, 0.32), "1 of less than 4 pixels (all numbers are in pixels)"),  # in shares of the picture
        ((20, 20, 60, 23.5), "1 of less than 4 pixels"),
        ((0, 0, 1e-200, 1e-200), "1 of less than 4 pixels"),  # whose area is no number above 0
        ((-5000, -5000, 5000, 5000), "1 mostly or wholly outside of the picture (200 x 100)"),
        ((300, 20, 340, 60), "1 mostly or wholly outside of the picture"),
        ((180, 20, 220, 60), None),  # half of it is in the picture
    ],
)
def test_boxes_that_can_hardly_be_meant_are_remarked(model, box, remark):
    said = judged(model, [Place(box), Place(BOX)]).remark
    assert said is None if remark is None else remark in said


def test_a_face_of_a_low_score_is_judged_unless_one_asks_for_higher_ones(model):
    places = [Place(BOX, score=0.2)]
    assert len(judged(model, places).prediction.faces) == 1
    assert judged(model, []).prediction.error == "/own/a.png: The table of boxes has no face of it."
    strict = judged(model, places, min_score=0.9).prediction
    assert strict.error == "/own/a.png: The table of boxes has no face of it with a score of --min-score 0.9 or more."
