"""Which examples a run uses; the build of conftest has expressions -1..6 and missing valence and arousal."""

import dataclasses

import numpy as np
import pytest

from configs import common
from emotion_gcn_jax.data import selection
from emotion_gcn_jax.errors import UserError

EIGHT_NAMES = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt")


@pytest.fixture
def eight_classes(train):
    """As AffectNet's builds: eight names, Contempt is 7."""
    columns = dict(train.columns) | {"expression": np.where(train.expression == 3, 7, train.expression)}
    return dataclasses.replace(train, columns=columns, label_names=EIGHT_NAMES)


def test_contempt_is_a_class_of_eight_and_no_example_of_seven(eight_classes):
    # Numbers 0..49, expression number % 8 - 1: seven times -1, six times 3, which is Contempt here.
    seven = selection.for_model(eight_classes, "multi_task", num_classes=7)
    assert len(seven) == 50 - 6 - 1 and seven.expression.max() == 6
    eight = selection.for_model(eight_classes, "multi_task", num_classes=8)
    assert len(eight) == 50 - 1 and (eight.expression == 7).sum() == 6


@pytest.mark.parametrize(
    ("model", "require", "count"),
    [
        ("emotion_gcn", "none", 50 - 1),  # 0 has no label at all
        ("single_task", "none", 50 - 7),  # 0, 8, ..., 48 have no expression
        ("emotion_gcn", "expression", 50 - 7),
        ("emotion_gcn", "affect", 50 - 16),  # ten multiples of 5 and eight of 7, two of them both
        # Also without: 0, 8, ..., 48 but for 0 and 40, which are among those already.
        ("emotion_gcn", "both", 50 - 16 - 5),
    ],
)
def test_labels_that_are_required(train, model, require, count):
    chosen = selection.for_model(train, model, num_classes=7, require=require)
    assert len(chosen) == count
    if require in ("affect", "both"):
        assert np.isfinite(chosen.valence).all() and np.isfinite(chosen.arousal).all()
    if require in ("expression", "both") or model == "single_task":
        assert chosen.expression.min() == 0


def test_classes_that_the_split_does_not_know(train):
    with pytest.raises(
        UserError, match=r"has the classes Neutral, .*, Anger, and a model of 8 needs .*, Contempt: set"
    ):
        selection.for_model(train, "single_task", num_classes=8)


def test_nothing_left_is_an_error(train):
    unlabelled = train.select(train.expression < 0)
    with pytest.raises(UserError, match=r"No example of .* with an expression has one of the 7 classes: choose"):
        selection.for_model(unlabelled, "multi_task", num_classes=7, require="expression")


def test_held_out_subjects_are_on_one_side_only_and_nothing_is_lost(train):
    rest, held_out = selection.hold_out(train, 0.3)
    assert sorted([*rest.ids, *held_out.ids]) == sorted(train.ids)
    assert not set(rest.columns["subject"]) & set(held_out.columns["subject"])
    assert 0.1 < len(held_out) / len(train) < 0.5
    assert held_out.split == "train, held out" and rest.split == "train"


def test_what_is_held_out_depends_on_the_name_alone(train):
    held_out = set(selection.hold_out(train, 0.3)[1].ids)
    part = train.select(np.arange(40, 5, -1))
    assert set(selection.hold_out(part, 0.3)[1].ids) == held_out & set(part.ids)
    assert held_out < set(selection.hold_out(train, 0.5)[1].ids)  # a larger share holds out more, not others
    # BLAKE2b of 64 bits of "0" to "4", by coreutils: 842b.., f6fc.., 1bf4.., 9e25.., 711d.. of 10000..
    first = train.select(train.columns["subject"] < 5)
    assert set(selection.hold_out(first, 0.3)[1].columns["subject"]) == {2}
    assert set(selection.hold_out(first, 0.5)[1].columns["subject"]) == {2, 4}
    assert set(selection.hold_out(first, 0.6)[0].columns["subject"]) == {1, 3}


def test_videos_are_held_out_whole_and_images_one_by_one(train):
    videos = np.asarray([b"a", b"b", b"c", b"d", b"e"])[np.arange(50) % 5]
    columns = {name: column for name, column in train.columns.items() if name != "subject"}
    by_video = dataclasses.replace(train, columns={**columns, "video": videos})
    rest, held_out = selection.hold_out(by_video, 0.5)
    assert len(held_out) % 10 == 0 and not set(rest.columns["video"]) & set(held_out.columns["video"])
    by_id = dataclasses.replace(train, columns=columns)
    assert 10 < len(selection.hold_out(by_id, 0.5)[1]) < 40


def test_a_picture_that_is_listed_in_two_folders_is_on_one_side(train):
    ids = np.asarray([f"{number // 25}/{number % 25}.jpg".encode() for number in range(50)])
    twice = dataclasses.replace(train, columns={"id": ids, "expression": train.expression})
    rest, held_out = ({name.partition("/")[2] for name in part.ids} for part in selection.hold_out(twice, 0.5))
    assert len(rest) + len(held_out) == 25 and not rest & held_out


def test_a_share_that_leaves_one_side_empty(train):
    with pytest.raises(UserError, match=r"share of 1e-09 .*25 by subject\) leaves nothing on one side"):
        selection.hold_out(train, 1e-9)


def test_open_for_training(data_dir, capsys):
    config = common.get_config()
    config.dataset.name = "tiny_faces"
    config.dataset.data_dir = str(data_dir)
    train, validation = selection.open_for_training(config)
    assert (len(train), len(validation)) == (49, 6)  # number 0 of each has no label at all
    config.dataset.held_out_share = 0.3
    config.dataset.require = "expression"
    train, held_out = selection.open_for_training(config)
    assert len(train) + len(held_out) == 43 and held_out.split == "train, held out"
    assert f"{len(train)} are left to train on" in capsys.readouterr().out
