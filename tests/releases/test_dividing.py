"""Divisions at random: the sizes of published protocols, and that nothing but names and seed decides."""

import collections

import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases.dividing import apportion, divide

# The classes of CK+'s labelled sequences and of JAFFE (tfds_builders/*/README.md).
CK_PLUS = {"Anger": 45, "Contempt": 18, "Disgust": 59, "Fear": 25, "Happy": 69, "Sad": 28, "Surprise": 83}
JAFFE = {"Anger": 30, "Disgust": 29, "Fear": 32, "Happy": 31, "Neutral": 30, "Sad": 31, "Surprise": 30}


def entries(counts):
    return {f"{word} {number}": word for word, count in counts.items() for number in range(count)}


@pytest.mark.parametrize(
    ("counts", "total", "expected"),
    [
        ({"a": 1, "b": 1, "c": 2}, 4, {"a": 1, "b": 1, "c": 2}),
        ({"a": 5, "b": 3, "c": 2}, 5, {"a": 3, "b": 1, "c": 1}),  # 2.5, 1.5, 1: the first of the equal remainders
        ({"a": 7, "b": 0}, 2, {"a": 2, "b": 0}),
        # A fifth of 327 is 65.4: 8.9, 3.6, 11.7, 5.0, 13.7, 5.6, 16.5
        (CK_PLUS, 65, dict(zip(CK_PLUS, (9, 4, 12, 5, 14, 5, 16), strict=True))),
    ],
)
def test_apportion(counts, total, expected):
    assert apportion(counts, total) == expected


def test_jaffes_division_is_120_23_70():
    split_of = divide(entries(JAFFE), test=dict.fromkeys(JAFFE, 10), validation=23, seed=0)
    assert collections.Counter(split_of.values()) == {"train": 120, "validation": 23, "test": 70}
    tested = collections.Counter(name.split()[0] for name, split in split_of.items() if split == "test")
    assert tested == dict.fromkeys(JAFFE, 10)


def test_only_names_and_seed_decide():
    class_of = entries({"a": 40, "b": 40})
    sizes = {"test": {"a": 10, "b": 10}, "validation": 10}
    first = divide(class_of, seed=1, **sizes)
    assert divide(dict(reversed(class_of.items())), seed=1, **sizes) == first != divide(class_of, seed=2, **sizes)
    # A class is divided as it would be alone.
    alone = divide(entries({"a": 40}), test={"a": 10}, validation=5, seed=1)
    assert alone == {name: split for name, split in first.items() if class_of[name] == "a"}


@pytest.mark.parametrize(
    ("test", "validation", "message"),
    [
        ({"a": 2, "b": 3}, 1, "Expected more than 3 entries of b, so many to test by, and found 3: complete"),
        ({"a": 2, "b": 2}, 8, "Expected more than 8 entries besides those to test by, .*, and found 8: complete"),
    ],
)
def test_something_must_be_left_to_train_on(test, validation, message):
    with pytest.raises(UserError, match=message):
        divide(entries({"a": 9, "b": 3}), test=test, validation=validation, seed=0)
