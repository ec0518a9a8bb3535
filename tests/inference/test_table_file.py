"""Tables in files: their columns, their forms, and how a run goes on."""

import csv
import json
import sys

import pyarrow.parquet
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.inference.results import FacePrediction, ImagePrediction
from emotion_gcn_jax.inference.rows import columns, rows
from emotion_gcn_jax.inference.table_file import TableFile
from emotion_gcn_jax.tasks import registry
from tests.untrained import OWN_TASKS

TASKS = registry.from_config(OWN_TASKS)
PLACES = (
    "file frame time track face x0 y0 x1 y1 left_eye_x left_eye_y right_eye_x right_eye_y score".split()  # noqa: SIM905
)
SAID = ["mood", "p_Bored", "p_Engaged", "p_Happy", "energy", "p_glasses", "p_hat"]
ANSWERS = {
    "mood": {"mood": "Happy", "probabilities": {"Bored": 0.125, "Engaged": 0.25, "Happy": 0.625}},
    "seen": {"seen": {"glasses": 0.5, "hat": 1e-9}},
    "energy": {"energy": -1.5},
}
FACE = FacePrediction((1.0, 2.0, 30.12345, 40.0), (5.0, 6.0), (7.0, 8.0), 0.75, ANSWERS)
CUT = FacePrediction((0.0, 0.0, 9.0, 9.0), None, None, None, ANSWERS)
PREDICTIONS = [
    ImagePrediction('a, "b"\n.png', (CUT,)),
    ImagePrediction("c.mp4", (FACE, FACE), None, 3, 1 / 3, (2, 1)),
    ImagePrediction("d.png", (), "d.png: No face was found."),
]
RUN = {"model": "abc", "--every": "1"}


def write(path, predictions=PREDICTIONS, *, run=RUN, is_done=True, done=0):
    """Writes predictions as a run does, the first `done` of which a run before had written; returns how many it did."""
    table = TableFile(str(path), columns(TASKS), run)
    done = table.done["done"] if table.done else 0
    for number, prediction in enumerate(predictions[done:], start=done):
        table.write(rows(prediction, TASKS), {"done": number + 1})
    table.close(is_done=is_done)
    return len(predictions) - done


def read(path):
    if path.suffix == ".csv":
        with path.open(newline="") as lines:
            found = list(csv.DictReader(lines))
        return [
            {k: None if v == "" else v if k in ("file", "mood") else float(v) for k, v in row.items()} for row in found
        ]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return pyarrow.parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_row_a_face_in_columns_of_a_stable_order(tmp_path, suffix):
    write(tmp_path / f"new/faces{suffix}")
    cut, *faces = read(tmp_path / f"new/faces{suffix}")
    assert list(cut) == [*PLACES, *SAID] == list(columns(TASKS))
    said = dict(zip(SAID, ["Happy", 0.125, 0.25, 0.625, -1.5, 0.5, 1e-9], strict=True))
    unknown = dict.fromkeys(["frame", "time", "track", *PLACES[9:]])
    assert cut == {"file": 'a, "b"\n.png', "face": 1, "x0": 0, "y0": 0, "x1": 9, "y1": 9, **unknown, **said}
    for number, (face, track) in enumerate(zip(faces, (2, 1), strict=True), start=1):
        places = ["c.mp4", 3, 0.333333, track, number, 1, 2, 30.12345, 40, 5, 6, 7, 8, 0.75]
        assert face == dict(zip(PLACES, places, strict=True)) | said
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"faces{suffix}"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_name_that_is_no_text_is_written_as_one(tmp_path, suffix):
    path = tmp_path / f"faces{suffix}"
    write(path, [ImagePrediction("bad\udcff.png", (CUT,))])
    (row,) = read(path)
    assert row["file"] == r"bad\udcff.png"


def test_the_document_writes_such_a_name_so_too():
    said = ImagePrediction("bad\udcff.png", (), "bad\udcff.png: No face was found.").to_dict()
    assert said == {"image": r"bad\udcff.png", "faces": [], "error": r"bad\udcff.png: No face was found."}


def test_columns_that_two_tasks_share_keep_both():
    tasks = registry.from_config(
        {
            name: {"kind": "classes", "vocabulary": words}
            for name, words in {"a": "Sad,Happy", "face": "Happy,Up"}.items()
        }
    )
    assert list(columns(tasks))[14:] == ["a", "p_Sad", "p_Happy", "face_face", "face_p_Happy", "p_Up"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("damage", ["", "half a li"])
def test_a_stopped_run_goes_on_and_a_half_written_line_is_mended(tmp_path, suffix, damage):
    path = tmp_path / f"faces{suffix}"
    write(tmp_path / f"straight{suffix}")
    write(path, PREDICTIONS[:2], is_done=False)
    written = tmp_path / f".faces{suffix}.rows.jsonl" if suffix == ".parquet" else path
    with written.open("a") as stream:
        stream.write(damage)
    assert write(path) == 1  # of three
    assert read(path) == read(tmp_path / f"straight{suffix}")
    if suffix != ".parquet":
        assert path.read_bytes() == (tmp_path / f"straight{suffix}").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([f"faces{suffix}", f"straight{suffix}"])


def test_a_run_that_was_killed_before_its_first_row_goes_on(tmp_path):
    table = TableFile(str(tmp_path / "faces.csv"), columns(TASKS), RUN)
    table._stream.close()  # and that is all
    assert write(tmp_path / "faces.csv") == 3 and len(read(tmp_path / "faces.csv")) == 3


@pytest.mark.parametrize("run", [RUN | {"--every": "5"}, {"model": "abc"}, None])
def test_another_command_does_not_go_on(tmp_path, run):
    write(tmp_path / "faces.csv", PREDICTIONS[:2], is_done=False)
    before = (tmp_path / "faces.csv").read_bytes()
    with pytest.raises(UserError, match="begun by another command") as caught:
        TableFile(str(tmp_path / "faces.csv"), columns(TASKS), run)
    assert run != RUN | {"--every": "5"} or "--every 1, now 5" in str(caught.value)
    assert (tmp_path / "faces.csv").read_bytes() == before and write(tmp_path / "faces.csv") == 1


def lost(path):
    path.with_name("faces.csv.unfinished").write_text("{")


def changed(path):
    notes = path.with_name("faces.csv.unfinished")
    notes.write_text(json.dumps(json.loads(notes.read_text()) | {"progress": []}))


def nested(path):
    path.with_name("faces.csv.unfinished").write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lost, "is damaged"),
        (changed, "is damaged"),
        (nested, "is damaged"),
        (lambda path: path.write_text("x"), "lost rows"),
        (None, "there already"),
    ],
)
def test_what_is_there_is_not_replaced(tmp_path, spoil, said):
    path = tmp_path / "faces.csv"
    write(path, is_done=spoil is None)
    if spoil:
        spoil(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=said):
        write(path)
    assert path.read_bytes() == before


def test_what_cannot_go_on_is_a_table_all_the_same(tmp_path):
    write(tmp_path / "faces.parquet", PREDICTIONS[:2], run=None, is_done=False)
    assert len(read(tmp_path / "faces.parquet")) == 3 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("name", "said"), [("faces.xlsx", "faces.xlsx"), ("file/faces.csv", "cannot be written")])
def test_mistakes_are_told(tmp_path, name, said):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=said):
        TableFile(str(tmp_path / name), columns(TASKS), RUN)


def test_without_pyarrow_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'emotion-gcn-jax\[tables\]'"):
        TableFile(str(tmp_path / "faces.parquet"), columns(TASKS), RUN)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_in_which_no_face_was_found_keeps_no_name(tmp_path, suffix):
    path = tmp_path / f"faces{suffix}"
    write(path, PREDICTIONS[2:])
    assert read(path) == []
    write(path)
    assert len(read(path)) == 3
    with pytest.raises(UserError, match="is there already"):
        write(path)


def other_text(path):
    path.write_text("x" * path.stat().st_size)


def other_columns(path):
    pyarrow.parquet.write_table(pyarrow.table({"file": [], "other": []}), path)


@pytest.mark.parametrize(
    ("suffix", "spoil"), [(".csv", other_text), (".parquet", other_text), (".parquet", other_columns)]
)
def test_a_file_of_another_kind_keeps_its_name(tmp_path, suffix, spoil):
    path = tmp_path / f"faces{suffix}"
    write(path, [])
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"is there already: name another file, or delete it"):
        write(path)
    assert path.read_bytes() == before


def test_an_empty_table_that_a_camera_may_be_writing_keeps_its_name(tmp_path):
    write(tmp_path / "none.csv", [])
    with pytest.raises(UserError, match="is there already"):
        write(tmp_path / "none.csv", run=None)


def test_json_is_another_option(tmp_path):
    with pytest.raises(UserError, match=r"found .*faces\.json: give it by --json\."):
        write(tmp_path / "faces.json")
