"""Sets of images of one's own: folders and tables. No image is opened, so that empty files do."""

import errno
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases import folders


@pytest.fixture
def make(tmp_path):
    """A function that writes empty files, by their paths, and returns the folder."""

    def write(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return tmp_path

    return write


@pytest.fixture
def table(make):
    """A function that writes a table beside the images 1.jpg to 4.jpg and returns it."""

    def write(text, name="labels.csv"):
        path = make("1.jpg", "2.jpg", "3.jpg", "4.jpg") / name
        path.write_text(text)
        return path

    return write


def words(found, split="train"):
    """The class words of a split's images by their ids."""
    names = (*found.label_names, None)
    return {name: names[place] for name, place in zip(*_ids_and_places(found.splits[split]), strict=True)}


def _ids_and_places(split):
    assert split.columns["expression"].dtype == np.int64
    return split.ids, split.columns["expression"].tolist()


def test_one_folder_for_each_class(make):
    root = make("happiness/1.jpg", "Happy.txt", "Bored/x/2.PNG", "Bored/Thumbs.db", "anger/1.jpg", ".git/1.jpg")
    found = folders.read(root)
    assert found.label_names == ("Happy", "Anger", "Bored")
    assert words(found) == {"Bored/x/2.PNG": "Bored", "anger/1.jpg": "Anger", "happiness/1.jpg": "Happy"}
    assert found.splits["train"].paths[0] == root / "Bored" / "x" / "2.PNG"
    assert list(found.splits) == ["train"] and not found.action_units


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_folders_of_splits(make, name):
    found = folders.read(make(f"{name}/Sad/1.jpg", "test/Sad/1.jpg", "Train/Happy/1.jpg", "Train/Sad/2.jpg"))
    assert list(found.splits) == ["train", "validation", "test"]
    assert words(found) == {"Train/Happy/1.jpg": "Happy", "Train/Sad/2.jpg": "Sad"}
    assert words(found, "validation") == {f"{name}/Sad/1.jpg": "Sad"}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[
            ("Training_set", "train"),
            ("train-set", "train"),
            ("Validation set", "validation"),
            ("valset", "validation"),
        ],
        *[("testing_set", "test"), ("Testing", "test")],
    ],
)
def test_more_names_of_splits(make, table, name, split):
    assert list(folders.read(make(f"set/{name}/Sad/1.jpg") / "set").splits) == [split]
    assert list(folders.read(table(f"path,AU4,split\n1.jpg,1,{name}\n")).splits) == [split]


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (("archive/train/Bored/1.jpg", "archive/train/Sad/1.jpg"), {"archive/train/Bored/1.jpg": "Bored"}),
        (("__MACOSX/1.jpg", "a/b/train/Bored/1.jpg", "a/b/readme"), {"a/b/train/Bored/1.jpg": "Bored"}),
        (("archive/Bored/1.jpg", "archive/happiness/1.jpg"), {"archive/Bored/1.jpg": "Bored"}),
        (("train/images/Bored/1.jpg", "train/images/Sad/1.jpg"), {"train/images/Bored/1.jpg": "Bored"}),
        (("Bored/anna/1.jpg", "Bored/ben/1.jpg"), {"Bored/anna/1.jpg": "Bored", "Bored/ben/1.jpg": "Bored"}),
        (("Happy/sad/1.jpg", "Happy/2.jpg"), {"Happy/sad/1.jpg": "Happy"}),
        (("Bored/1.jpg", "Sad/Happy/1.jpg"), {"Bored/1.jpg": "Bored", "Sad/Happy/1.jpg": "Sad"}),
    ],
    ids=["splits", "two deeper", "classes", "below a split", "people", "a known class", "several folders"],
)
def test_a_set_may_lie_one_folder_deeper_where_that_is_certain(make, paths, found):
    assert words(folders.read(make(*paths))).items() >= found.items()


def test_a_table_may_lie_one_folder_deeper(make):
    root = make("archive/images/1.jpg")
    (root / "archive" / "labels.csv").write_text("path,expression\nimages/1.jpg,Sad\n")
    assert words(folders.read(root)) == {"images/1.jpg": "Sad"}
    make("splits/train/Bored/1.jpg", "splits/train/Bored/labels.csv")
    assert words(folders.read(root / "splits")) == {"train/Bored/1.jpg": "Bored"}


def test_a_folder_that_cannot_be_read_is_said(make, monkeypatch):
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("anna"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(UserError, match=r"can be read in .*, and found .*Sad/anna \(Permission denied\): check it"):
        folders.read(make("Sad/1.jpg", "Sad/anna/1.jpg"))


def test_links_to_folders_are_followed_and_no_folder_is_read_twice(make):
    root = make("set/Happy/own.png", "set/Happy/a/1.png", "set/Sad/1.png", "store/anna/1.png", "store/ben/1.png")
    for link, to in {
        "set/Happy/anna": "store/anna",
        "set/Sad/anna": "store/anna",
        "set/Anger": "store/ben",
        **{"set/Happy/0again": "set/Happy/a", "set/Happy/up": "set", "store/anna/loop": "store/anna"},
    }.items():
        (root / link).symlink_to(root / to)
    assert words(folders.read(root / "set")) == {
        **{f"Happy/{name}": "Happy" for name in ("own.png", "a/1.png", "anna/1.png")},
        **{"Sad/1.png": "Sad", "Sad/anna/1.png": "Sad", "Anger/1.png": "Anger"},
    }


@pytest.mark.parametrize(
    "beginning", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\1\2\3\4WEBP", b"II*\0", b"MM\0*"]
)
def test_images_without_a_suffix_are_known_by_their_first_bytes(make, beginning):
    root = make("Sad/1.jpg", "Happy/2")
    (root / "Happy" / "2").write_bytes(beginning + b"...")
    found = folders.read(root)
    assert words(found) == {"Happy/2": "Happy", "Sad/1.jpg": "Sad"} and not found.splits["train"].warnings


def test_files_that_may_be_images_are_counted(make):
    clutter = [f"train/Sad/{name}" for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "README", "a.txt", "b.CSV")]
    root = make(
        "train/Sad/1.jpg", "test/Sad/1.jpg", "train/Sad/2.png_large", "train/Sad/x/3", "train/Sad/4.cr2", *clutter
    )
    splits = folders.read(root).splits
    (said,) = splits["train"].warnings
    assert "Warning: 3 files beside the images of" in said and "(Sad/2.png_large, Sad/4.cr2, Sad/x/3)" in said
    assert not splits["test"].warnings


def test_the_rows_whose_word_is_no_class_are_counted(table):
    rows = "1.jpg,None,train\n2.jpg,,train\n3.jpg,NA,train\n4.jpg,Sad,test\n"
    splits = folders.read(table(f"path,expression,split\n{rows}")).splits
    (said,) = splits["train"].warnings
    assert said.startswith("Taken for unlabelled: 2 rows of ") and "labels.csv with NA, None for expression; " in said
    assert not splits["test"].warnings


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (("Happy/train/1.jpg", "Happy/test/1.jpg"), r"such as test/Happy, and found Happy/test in .*: move the images"),
        (("Sad/1.jpg", "Bored/Testing_set/1.jpg"), r"such as Testing_set/Happy, and found Bored/Testing_set in "),
        (("train/train/1.jpg", "train/test/1.jpg"), r"such as test/Happy, and found train/test in "),
        ((), r"Expected a folder for each class with images in it, .*, and found nothing"),
        (("1.jpg", "a/2.txt"), r"Expected a folder for each class .*, and found 1\.jpg, a: see"),
        (("train/Sad/1.jpg", "holdout/Sad/1.jpg"), r"only folders of splits \(train, .* and found holdout: rename"),
        (("val/Sad/1.jpg", "valid/Sad/1.jpg"), r"one folder for the split validation in .*, and found val and valid"),
        (
            ("joy/1.jpg", "Happy/1.jpg"),
            r"one folder for each class in .*, and found Happy and joy, which mean",
        ),
        (("train/Bored/1.jpg", "test/bored/1.jpg"), r"one spelling of each class in .*, and found Bored and bored"),
    ],
)
def test_mistakes_in_folders_get_a_sentence(make, paths, sentence):
    root = make(*paths)
    with pytest.raises(UserError, match=sentence):
        folders.read(root)


def test_several_tables_of_which_none_is_the_labels_leave_the_folders(make):
    assert words(folders.read(make("Sad/1.jpg", "a.csv", "b.csv"))) == {"Sad/1.jpg": "Sad"}


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_may_have_decimal_commas(table, separator):
    path = table("path;valence;AU1;site\n1.jpg;0,5;1,0;north\n".replace(";", separator))
    (split,) = folders.read(path).splits.values()
    assert split.columns["valence"].tolist() == [0.5] and split.columns["action_units"].tolist() == [[1]]


def test_a_table_has_any_of_the_columns(table):
    path = table(
        "path,expression,valence,arousal,subject,split,AU12,AU01\n"
        "1.jpg,happiness,0.5,-1,anna,train,1,0\n"
        "2.jpg,,nan,,ben,train,-1,\n"
        "3.jpg,Bored,1,0.25,anna,test\n"
    )
    found = folders.read(path)
    assert found.label_names == ("Happy", "Bored") and found.action_units == ("AU1", "AU12")
    train, test = found.splits["train"], found.splits["test"]
    assert words(found) == {"1.jpg": "Happy", "2.jpg": None}
    np.testing.assert_array_equal(train.columns["valence"], np.float32([0.5, np.nan]))
    np.testing.assert_array_equal(train.columns["arousal"], np.float32([-1, np.nan]))
    np.testing.assert_array_equal(train.columns["action_units"], np.int8([[0, 1], [-1, -1]]))
    np.testing.assert_array_equal(test.columns["action_units"], [[-1, -1]])
    assert train.columns["subject"].tolist() == ["anna", "ben"]
    assert {name: column.dtype.kind for name, column in test.columns.items()} == {
        **{"valence": "f", "arousal": "f", "subject": "U", "action_units": "i", "expression": "i"}
    }


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("path,expression", {"expression"}),
        ("valence;path", {"valence"}),
        ("AU4\tpath", {"action_units"}),
        ("path,arousal,video,recording,camera", {"arousal", "video", "recording"}),
        ("path,arousal,video,frame,video_frames", {"arousal", "video", "frame", "video_frames"}),
        ("path,arousal,frame", {"arousal"}),  # of no video
    ],
)
def test_only_the_columns_that_are_there(table, header, columns):
    separator = next(mark for mark in ",;\t" if mark in header)
    cells = {"path": "1.jpg", "expression": "Sad", "video": "v", "recording": "v", "camera": "x"}
    row = separator.join(cells.get(name, "1") for name in header.split(separator))
    found = folders.read(table(f"{header}\n{row}\n"))
    assert set(found.splits["train"].columns) == columns
    assert found.label_names == (("Sad",) if "expression" in columns else ())


@pytest.mark.parametrize(
    ("frames", "repeated"),
    [
        ("a,7 a,8 a,7 a,7", "frame 7 of a (lines 2, 4, 5)"),
        ("a,7 b,7 b,8 a,8", ""),
    ],
)
def test_a_frame_with_several_images_is_warned_of(table, frames, repeated):
    rows = [f"{number}.jpg,0.5,{frame}" for number, frame in enumerate(frames.split(), start=1)]
    split = folders.read(table("\n".join(["path,valence,video,frame", *rows]))).splits["train"]
    assert len(split) == 4 and len(split.warnings) == bool(repeated)
    assert all(
        f"labels.csv has several images of {repeated}: keep one to train on clips." in said for said in split.warnings
    )


def test_a_frame_may_be_in_two_splits(table):
    rows = "1.jpg,0.5,a,7,train\n2.jpg,0.5,a,7,test\n3.jpg,0.5,a,7,test"
    found = folders.read(table(f"path,valence,video,frame,split\n{rows}")).splits
    assert not found["train"].warnings and "(lines 3, 4)" in found["test"].warnings[0]


@pytest.mark.parametrize(
    ("name", "given"), [("labels.csv", ""), ("Labels.CSV", ""), ("mine.tsv", ""), ("mine.txt", "mine.txt")]
)
def test_where_a_table_may_be(table, name, given):
    path = table("path,expression\n1.jpg,Sad\n", name)
    assert words(folders.read(path.parent / given)) == {"1.jpg": "Sad"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("expression,valence\nSad,1\n", r"Expected the columns path in .*labels\.csv, .* has no path"),
        ("path,age\n1.jpg,3\n", r"Expected a column expression, valence, .*, and found path, age: name"),
        ("path,valence\n1.jpg,1.5\n", r"a number from -1 to 1, or nothing, for valence, and found '1\.5' in line 2 of"),
        ("path,arousal\n1.jpg,high\n", r"for arousal, and found 'high' in line 2 of .*labels\.csv: correct it"),
        ("path,AU4\n1.jpg,0\n2.jpg,3\n", r"for AU4, and found '3' in line 3"),
        ("path,split,AU4\n1.jpg,dev,1\n", r"a split \(train, .*\), and found 'dev' in line 2"),
        ("path,split,AU4\n1.jpg,,1\n", r"a split \(train, .*\), and found '' in line 2"),
        (
            "path,AU4\n1.jpg,0\n\n./1.jpg,1\n",
            r"every image once, and found \./1\.jpg again, .* 2 names in line 4",
        ),
        ("path,AU4,video,frame\n1.jpg,0,a,7\n2.jpg,0,a,8b\n", r"a whole number .* for frame, and found '8b' in line 3"),
        ("path,AU4\n,0\n", r"a path, and found none in line 2"),
        ("path,AU4\n", r"Expected images in .*labels\.csv, and found no row"),
        ("path,AU4\n" + "x" * 5000 + ",0\n", r"found no .*x and none of the others: write paths"),
        ("path,AU4\nx/1.jpg,0\n", r"found no .*x/1\.jpg and none of the others: write paths relative to its folder"),
        ("path,expression\n1.jpg,Bored\n2.jpg,BORED\n", r"one spelling of each class in .*, and found BORED and Bored"),
    ],
)
def test_mistakes_in_tables_get_a_sentence(table, text, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        folders.read(table(text))
    assert len(str(raised.value)) < 2000 and "\n" not in str(raised.value)


def test_what_does_not_exist_is_said(tmp_path):
    with pytest.raises(UserError, match=r"Expected a folder of labelled images .* and .*nowhere does not exist"):
        folders.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("paths", "ids"),
    [
        (["a/1.jpg", "b\\1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["{root}/a/1.jpg", "./b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["{root}/../elsewhere/c/1.jpg", "a/1.jpg"], ["c/1.jpg", "a/1.jpg"]),
        (["../elsewhere/a/1.jpg", "a/1.jpg"], ["elsewhere/a/1.jpg", "set/a/1.jpg"]),
    ],
    ids=["relative", "absolute", "elsewhere", "elsewhere with the same name"],
)
def test_no_id_has_the_machines_path(make, paths, ids):
    root = make("set/a/1.jpg", "set/b/1.jpg", "elsewhere/c/1.jpg", "elsewhere/a/1.jpg") / "set"
    lines = [f"{path.format(root=root)},Sad" for path in paths]
    (root / "mine.csv").write_text("\n".join(["path,expression", *lines]))
    split = folders.read(root).splits["train"]
    assert list(split.ids) == ids and all(path.exists() for path in split.paths)


def test_home_is_known(make, monkeypatch):
    monkeypatch.setenv("HOME", str(make("set/Sad/1.jpg")))
    assert words(folders.read(pathlib.Path("~/set"))) == {"Sad/1.jpg": "Sad"}


def test_what_begins_like_a_home_folder_and_is_none_is_a_relative_path(make, monkeypatch):
    root = make("~nosuchuser/1.jpg", "home/3.jpg")
    monkeypatch.setenv("HOME", str(root / "home"))
    (root / "labels.csv").write_text("path,expression\n~nosuchuser/1.jpg,Sad\n~/3.jpg,Happy\n")
    monkeypatch.chdir(root)
    assert words(folders.read(root)) == {"~nosuchuser/1.jpg": "Sad", "home/3.jpg": "Happy"}
    with pytest.raises(UserError, match=r"and .*~nosuchuser/gone does not exist"):
        folders.read("~nosuchuser/gone")


def test_neither_tensorflow_nor_jax_is_needed():
    code = "import sys, emotion_gcn_jax.releases.folders; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "tensorflow_datasets", "jax", "flax"} & set(loaded)
