"""Which examples a run uses, and how they are divided; the build of conftest has expressions -1..6 and gaps."""

import dataclasses

import numpy as np
import pytest

from emotion_gcn_jax.data import selection
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import CLASS_WORDS, EXPRESSIONS
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values
from tests.data.splits import split_of

EXPRESSION = Classes(name="expression", vocabulary=EXPRESSIONS)
AFFECT = Values(name="affect", dimensions=("valence", "arousal"))
UNITS = Flags(name="action_units", names=("AU1", "AU12"))
GROUP_COUNTS = {"subject": 2, "recording": 4, "video": 8}
SINGLE, MULTI = (EXPRESSION,), (EXPRESSION, AFFECT)
NAN = np.nan


def one_task(*vocabulary):
    return (Classes(name="expression", vocabulary=vocabulary),)


def without(split, *columns):
    return dataclasses.replace(split, columns={n: column for n, column in split.columns.items() if n not in columns})


@pytest.mark.parametrize(
    ("tasks", "require", "count"),
    [
        (MULTI, "none", 50 - 1),  # 0 has no label at all
        (SINGLE, "none", 50 - 7),  # 0, 8, ..., 48 have no expression
        (MULTI, "expression", 50 - 7),
        (MULTI, "affect", 50 - 16),  # ten multiples of 5 and eight of 7, two of them both
        # Also without: 0, 8, ..., 48 but for 0 and 40, which are among those already.
        (MULTI, "all", 50 - 16 - 5),
        (MULTI, "affect, expression", 50 - 16 - 5),
    ],
)
def test_labels_that_are_required(train, tasks, require, count):
    chosen = selection.for_tasks(train, tasks, require)
    assert len(chosen) == count
    if require not in ("none", "expression"):
        assert np.isfinite([chosen.columns["valence"], chosen.columns["arousal"]]).all()
    if require not in ("none", "affect") or tasks == SINGLE:
        assert chosen.columns["expression"].min() == 0


def test_votes_make_an_example_usable_where_they_are_learnt():
    votes = [[2.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    split = split_of({"expression": [0, -1, -1], "expression_votes": votes}, expression_votes=["Happy", "Sad"])
    soft = dataclasses.replace(EXPRESSION, loss_name="soft_cross_entropy")
    for tasks, require, rows in ((SINGLE, "none", [0]), ((soft,), "none", [0, 2]), ((soft,), "all", [0])):
        assert selection.for_tasks(split, tasks, require).rows.tolist() == rows


@pytest.fixture
def nine():
    """One example of each word, then one without."""
    return split_of({"expression": [*range(9), -1]}, label_names=CLASS_WORDS)


@pytest.mark.parametrize(
    ("vocabulary", "rows"),
    [
        (EXPRESSIONS, range(7)),
        ((*EXPRESSIONS, "Contempt"), range(8)),
        ((*EXPRESSIONS, "Other"), [*range(7), 8]),
        (CLASS_WORDS, range(9)),
        (("Anger", "Happy", "Other"), [1, 6, 8]),
        (EXPRESSIONS[::-1], range(7)),
    ],
    ids=["seven", "with Contempt", "with Other", "nine", "a subset", "another order"],
)
def test_a_vocabulary_chooses_its_words(nine, vocabulary, rows):
    assert selection.for_tasks(nine, one_task(*vocabulary)).rows.tolist() == list(rows)


@pytest.mark.parametrize("require", ["none", "affect"])
def test_a_class_that_cannot_be_expressed_is_no_label(nine, require):
    affect = np.full(10, 0.5, np.float32)
    split = dataclasses.replace(nine, columns={**nine.columns, "valence": affect, "arousal": affect})
    # Contempt and Other have a valence; where an expression is required they are left out.
    assert selection.for_tasks(split, MULTI, require).rows.tolist() == list(range(10))
    assert selection.for_tasks(split, MULTI, f"{require},expression".removeprefix("none,")).rows.tolist() == [*range(7)]


@pytest.fixture
def three_kinds():
    """Six examples with all labels; an expression; a valence; AU1; nothing; both values and both action units."""
    return split_of(
        {
            "expression": [3, 0, -1, -1, -1, -1],
            "valence": np.asarray([0.1, NAN, 0.3, NAN, NAN, 0.6], np.float32),
            "arousal": np.asarray([0.2, NAN, NAN, NAN, NAN, -0.6], np.float32),
            "action_units": [[1, 0], [-1, -1], [-1, -1], [0, -1], [-1, -1], [1, 1]],
        },
        action_units=["AU1", "AU12"],
    )


@pytest.mark.parametrize(
    ("require", "rows"),
    [
        ("none", [0, 1, 2, 3, 5]),
        ("expression", [0, 1]),
        ("affect", [0, 5]),  # all of a task's labels: 2 has a valence alone
        ("action_units", [0, 5]),
        ("affect,action_units", [0, 5]),
        ("expression,action_units", [0]),
        ("all", [0]),
    ],
)
def test_three_tasks(three_kinds, require, rows):
    assert selection.for_tasks(three_kinds, (EXPRESSION, AFFECT, UNITS), require).rows.tolist() == rows


@pytest.mark.parametrize(
    ("missing", "rows"),
    [
        (("expression",), [0, 2, 3, 5]),
        (("valence", "action_units"), [0, 1, 5]),
        (("expression", "valence", "arousal"), [0, 3, 5]),
    ],
)
def test_columns_that_a_dataset_does_not_have(three_kinds, missing, rows):
    split = without(three_kinds, *missing)
    assert selection.for_tasks(split, (EXPRESSION, AFFECT, UNITS)).rows.tolist() == rows


def test_a_dataset_of_one_column(bare):
    assert len(selection.for_tasks(bare, MULTI)) == 3
    with pytest.raises(UserError, match=r"No example of .*bare_faces.* has a label of expression that"):
        selection.for_tasks(bare, SINGLE)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            Classes(name="expression", vocabulary=(*EXPRESSIONS, "Contempt")),
            r"has the classes Neutral, .*, Anger, and config.tasks.expression.vocabulary names Contempt as well: set",
        ),
        (Flags(name="action_units", names=("AU1", "AU4")), r"has the action_units AU1, AU12, and .*names has AU4 as"),
    ],
)
def test_labels_that_the_dataset_does_not_know(three_kinds, task, message):
    with pytest.raises(UserError, match=message):
        selection.check_known([three_kinds, three_kinds], (task,))
    assert len(selection.for_tasks(three_kinds, (task,)))  # what is judged may lack a class


@pytest.mark.parametrize(
    ("require", "found"),
    [("expressions", "'expressions'"), ("expression,both,x", "'both', 'x'"), ("", "''"), ("ALL", "'ALL'")],
)
def test_a_task_that_is_required_and_is_none(train, require, found):
    with pytest.raises(UserError, match=rf"dataset.require: expected expression, affect, all or none, found {found}\."):
        selection.for_tasks(train, MULTI, require)


@pytest.mark.parametrize(
    ("require", "needed"),
    [("expression", "expression"), ("all", "expression and affect"), ("none", "expression or affect")],
)
def test_nothing_left_is_an_error(require, needed):
    unlabelled = split_of({"expression": [-1, -1], "valence": np.full(2, NAN), "arousal": np.full(2, NAN)})
    with pytest.raises(UserError, match=rf"No example of .* has a label of {needed} that the model can express: choo"):
        selection.for_tasks(unlabelled, MULTI, require)


def test_held_out_subjects_are_on_one_side_only_and_nothing_is_lost(train):
    rest, held_out = selection.hold_out(train, 0.3)
    assert sorted([*rest.ids, *held_out.ids]) == sorted(train.ids)
    assert not set(rest.columns["subject"]) & set(held_out.columns["subject"])
    assert 0.1 < len(held_out) / len(train) < 0.5
    assert held_out.name == "train, held out by subject" and rest.name == "train"


def test_what_is_held_out_depends_on_the_name_alone(train):
    held_out = set(selection.hold_out(train, 0.3)[1].ids)
    part = train.select(np.arange(40, 5, -1))
    assert set(selection.hold_out(part, 0.3)[1].ids) == held_out & set(part.ids)
    assert held_out < set(selection.hold_out(train, 0.5)[1].ids)  # a larger share holds out more, not others


@pytest.mark.parametrize(("share", "subjects"), [(0.3, {2}), (0.5, {2, 4}), (0.6, {0, 2, 4})])
def test_the_names_hash_decides(train, share, subjects):
    # BLAKE2b of 64 bits of "0" to "4", by coreutils: 842b.., f6fc.., 1bf4.., 9e25.., 711d.. of 10000..
    first = train.select(train.columns["subject"] < 5)
    assert set(selection.hold_out(first, share)[1].columns["subject"]) == subjects


def test_images_are_held_out_one_by_one_where_there_are_no_groups(train):
    assert 10 < len(selection.hold_out(without(train, "subject"), 0.5)[1]) < 40


def test_images_without_a_subject_are_no_one_person(train):
    subjects = np.where(np.arange(50) < 40, b"", np.arange(50).astype("S"))
    split = dataclasses.replace(train, columns={"id": train.columns["id"], "subject": subjects})
    assert 10 < len(selection.hold_out(split, 0.5)[1]) < 40
    assert {len(selection.fold(split, number, 5)[1]) for number in range(5)} == {10}


def part_of(split, *parts, config=None):
    return dataclasses.replace(split, name="+".join(parts), parts=parts, config=config)


@pytest.mark.parametrize("divide", [lambda s: selection.hold_out(s, 0.5), lambda s: selection.fold(s, 0, 2)])
@pytest.mark.parametrize(
    ("parts", "config", "is_compared"),
    [
        (("train",), None, True),
        (("train", "test"), None, True),
        (("test", "train"), None, True),
        (("test",), None, False),  # other images, though their files have the same names
        (("test",), "other", True),
    ],
)
def test_no_image_that_is_held_out_is_in_a_split_of_the_same_images(train, divide, parts, config, is_compared):
    images = without(train, "subject")
    _, held_out = divide(part_of(images, "train"))
    other = part_of(images, *parts, config=config)
    kept = selection.without(other, held_out)
    expected = set(images.ids) - set(held_out.ids) if is_compared else set(images.ids)
    assert set(kept.ids) == expected


def test_a_build_without_subjects_is_compared_by_its_images(train):
    _, held_out = selection.hold_out(part_of(train, "train"), 0.3)
    other = part_of(without(train, "subject"), "train", config="other")
    assert set(selection.without(other, held_out).ids) == set(train.ids) - set(held_out.ids)
    with pytest.raises(UserError, match=r"held out is so by subject, which .* does not have"):
        selection.without(other, held_out, group="subject")


def test_videos_are_held_out_whole(train):
    videos = np.asarray([b"a", b"b", b"c", b"d", b"e"])[np.arange(50) % 5]
    by_video = dataclasses.replace(train, columns={"id": train.columns["id"], "video": videos})
    rest, held_out = selection.hold_out(by_video, 0.5)
    assert len(held_out) % 10 == 0 and not set(rest.columns["video"]) & set(held_out.columns["video"])


def test_a_picture_that_is_listed_in_two_folders_is_on_one_side(train):
    ids = np.asarray([f"{number // 25}/{number % 25}.jpg".encode() for number in range(50)])
    twice = dataclasses.replace(train, columns={"id": ids})
    rest, held_out = ({name.partition("/")[2] for name in part.ids} for part in selection.hold_out(twice, 0.5))
    assert len(rest) + len(held_out) == 25 and not rest & held_out


def test_a_share_that_leaves_one_side_empty(train):
    with pytest.raises(UserError, match=r"share of 1e-09 .*25 by subject\) leaves nothing on one side"):
        selection.hold_out(train, 1e-9)


@pytest.fixture
def grouped():
    """40 images: 2 subjects of 20, 4 recordings of 10, 8 videos of 5, interleaved."""
    numbers = np.arange(40)
    named = {name: np.asarray([f"{name}{n % k}".encode() for n in numbers]) for name, k in GROUP_COUNTS.items()}
    return split_of({**named, "age": numbers % 3, "weight": numbers / 3, "box": np.zeros((40, 4), int)})


@pytest.mark.parametrize(
    ("missing", "by", "size"),
    [
        ((), "subject", 20),
        (("subject",), "recording", 10),
        (("subject", "recording"), "video", 5),
        (("subject", "recording", "video"), "id", 1),
    ],
)
def test_the_first_usual_group_is_taken(grouped, missing, by, size):
    rest, held_out = selection.fold(without(grouped, *missing), 1, 2)
    assert held_out.name == f"train, fold 1 of 2 by {by}" and rest.name == "train"
    assert len(rest) == len(held_out) == 20
    groups = held_out.columns[by]
    assert set(np.unique(groups, return_counts=True)[1]) == {size} and not set(groups) & set(rest.columns[by])


@pytest.mark.parametrize("divide", [selection.hold_out, selection.fold], ids=["hold_out", "fold"])
@pytest.mark.parametrize("group", ["weight", "box", "person"], ids=["fractions", "four numbers", "nothing"])
def test_a_group_that_is_none(grouped, divide, group):
    numbers = (0.5,) if divide is selection.hold_out else (0, 2)
    expected = f"group must be a column .*, found {group}: choose one of id, subject, recording, video, age."
    with pytest.raises(UserError, match=expected):
        divide(grouped, *numbers, group=group)


@pytest.mark.parametrize(
    ("group", "groups", "count"),
    [("", 25, 2), ("", 25, 5), ("subject", 25, 7), ("subject", 25, 25), ("id", 50, 4), ("id", 50, 50)],
)
def test_every_example_is_held_out_by_exactly_one_fold(train, group, groups, count):
    folds = [selection.fold(train, number, count, group=group) for number in range(count)]
    assert sorted(np.concatenate([held_out.rows for _, held_out in folds]).tolist()) == list(range(50))
    assert all(sorted([*rest.rows, *held_out.rows]) == list(range(50)) for rest, held_out in folds)
    sizes = [len(set(held_out.columns[group or "subject"].tolist())) for _, held_out in folds]
    assert sum(sizes) == groups and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("number", range(4))
def test_no_subject_is_on_both_sides_of_a_fold(train, number):
    rest, held_out = selection.fold(train, number, 4)
    assert not set(rest.columns["subject"]) & set(held_out.columns["subject"])


def test_folds_are_dealt_by_the_names_hashes(train):
    # BLAKE2b of "0" to "4" as above: in the order 2 (1bf4), 4 (711d), 0 (842b), 3 (9e25), 1 (f6fc).
    first = train.select(train.columns["subject"] < 5)
    dealt = [set(selection.fold(first, number, 3)[1].columns["subject"].tolist()) for number in range(3)]
    assert dealt == [{2, 3}, {4, 1}, {0}]


@pytest.mark.parametrize("group", ["subject", "id"])
def test_folds_do_not_depend_on_the_order_of_the_examples(train, group):
    backwards = train.select(np.arange(50)[::-1])
    dealt, again = (set(selection.fold(split, 2, 5, group=group)[1].ids) for split in (train, backwards))
    assert dealt == again


def test_folds_at_random_divide_subjects_too(train):
    rest, held_out = selection.fold(train, 0, 2, group="id")
    assert set(rest.columns["subject"]) & set(held_out.columns["subject"])
    assert held_out.name == "train, fold 0 of 2 by id"


def test_a_picture_in_two_folders_is_in_one_fold():
    ids = np.asarray([f"{number // 25}/{number % 25}.jpg".encode() for number in range(50)])
    dealt = [selection.fold(split_of({"id": ids}), number, 5)[1].ids for number in range(5)]
    assert [len(names) for names in dealt] == [10] * 5
    assert all(len({name.partition("/")[2] for name in names}) == 5 for names in dealt)


@pytest.mark.parametrize(
    ("number", "count", "message"),
    [
        (-1, 5, r"dataset.fold must lie in 0..4 for 5 folds, found -1"),
        (5, 5, r"dataset.fold must lie in 0..4 for 5 folds, found 5"),
        (0, 26, r"dataset.folds must lie in 2..25, since .* has 25 groups by subject, found 26"),
        (0, 1, r"dataset.folds must lie in 2..25, .*, found 1"),
    ],
)
def test_folds_that_cannot_be(train, number, count, message):
    with pytest.raises(UserError, match=message):
        selection.fold(train, number, count)
