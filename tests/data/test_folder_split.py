"""A folder or a table of one's own images as a split; what sets may look like is tested with releases.folders."""

import numpy as np
import pytest

from emotion_gcn_jax.data import selection
from emotion_gcn_jax.data.folder_split import open_folder
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.registry import read_labels
from emotion_gcn_jax.tasks.values import Values
from tests.data.splits import encoded, pixels

TASKS = (
    Classes(name="expression", vocabulary=("Sad", "Happy")),
    Values(name="affect", dimensions=("valence", "arousal")),
    Flags(name="action_units", names=("AU12", "AU1")),
)


@pytest.fixture
def write(tmp_path):
    """A function that writes the image `pixels(number)` under each of some paths; it returns the folder."""

    def write_images(*paths):
        for number, path in enumerate(paths):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(encoded(pixels(number)))
        return tmp_path

    return write_images


@pytest.fixture
def table(write):
    folder = write("é1.png", "2.png", "3.png")
    (folder / "labels.csv").write_text(
        "path,expression,valence,AU1,AU12,subject,split\n"
        "é1.png,joy,0.5,1,0,Ann,train\n"
        "2.png,,-0.25,,1,Bob,train\n"
        "3.png,sadness,,0,0,Ann,test\n"
    )
    return folder


def test_a_folder_for_each_class(write):
    split = open_folder(write("set/happiness/1.png", "set/sad/2.png", "set/sad/3.png") / "set")
    assert (split.dataset, split.config, split.name, len(split)) == ("set", None, "train", 3)
    assert split.ids.tolist() == ["happiness/1.png", "sad/2.png", "sad/3.png"]
    assert tuple(split.metadata["label_names"]) == ("Happy", "Sad") and "crop" not in split.metadata
    assert split.columns["expression"].tolist() == [0, 1, 1]
    np.testing.assert_array_equal([split.image(row) for row in range(3)], [pixels(number) for number in range(3)])
    np.testing.assert_array_equal(split.select([2]).image(0), pixels(2))


def test_a_table_with_labels_of_three_tasks(table):
    split = open_folder(table, "train")
    assert split.columns["id"].tolist() == ["é1.png".encode(), b"2.png"]
    assert split.columns["subject"].tolist() == [b"Ann", b"Bob"]
    labels = read_labels(TASKS, split.columns, split.metadata)
    assert labels["expression"].tolist() == [1, -1]
    np.testing.assert_array_equal(labels["affect"], np.asarray([[0.5, np.nan], [-0.25, np.nan]], np.float32))
    assert labels["action_units"].tolist() == [[0, 1], [1, -1]]
    assert len(selection.for_tasks(split, TASKS)) == 2
    rest, held_out = selection.fold(split, 0, 2)
    assert {*rest.ids, *held_out.ids} == {"é1.png", "2.png"} and held_out.name == "train, fold 0 of 2 by subject"


def test_a_dimension_of_one_s_own_may_have_empty_cells(write):
    folder = write("1.png", "2.png")
    (folder / "labels.csv").write_text("path,expression,energy\n1.png,Happy,0.5\n2.png,Sad,\n")
    split = open_folder(folder)
    energy = Values(name="energy", dimensions=("energy",))
    assert selection.for_tasks(split, (energy,)).ids.tolist() == ["1.png"]


def test_the_only_split_needs_no_name(write):
    assert open_folder(write("Happy/1.png"), None).name == "train"


@pytest.mark.parametrize("name", [None, "validation", "v" * 5000])
def test_one_of_several_splits_must_be_named(table, name):
    expected = f"--split must name one of train, test, which .*, found {(name or 'none')[:80]}"
    with pytest.raises(UserError, match=expected) as raised:
        open_folder(table, name)
    assert len(str(raised.value)) < 2000


def test_an_image_that_cannot_be_read_is_named_when_it_is_asked_for(write):
    folder = write("Happy/1.png", "Sad/2.png")
    (folder / "Happy" / "1.png").write_bytes(b"not an image")
    split = open_folder(folder)
    np.testing.assert_array_equal(split.image(1), pixels(1))
    with pytest.raises(UserError, match=r"Happy/1\.png: "):
        split.image(0)
