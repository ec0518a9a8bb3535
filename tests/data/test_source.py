"""A split as such: what `select` keeps, and that every row keeps its own image."""

import numpy as np
import pytest

from emotion_gcn_jax.data.source import join
from tests.data.splits import pixels, split_of


@pytest.fixture
def ten():
    return split_of({"expression": np.arange(10) % 3, "left_eye": np.arange(20).reshape(10, 2)})


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        (np.arange(10) % 3 == 1, [1, 4, 7]),
        ([9, 0, 9], [9, 0, 9]),
        ([], []),
        (slice(2, 4), [2, 3]),
    ],
    ids=["mask", "indices", "nothing", "slice"],
)
def test_select(ten, chosen, rows):
    part = ten.select(chosen)
    assert len(part) == len(rows) and part.rows.tolist() == rows
    assert part.ids.tolist() == [f"{row}.png" for row in rows]
    np.testing.assert_array_equal(part.columns["expression"], np.asarray(rows, int) % 3)
    np.testing.assert_array_equal(part.columns["left_eye"], ten.columns["left_eye"][np.asarray(rows, int)])
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(part.image(place), pixels(row))


def test_select_again_counts_in_what_is_left(ten):
    again = ten.select(ten.columns["expression"] == 1).select([2, 0])  # of 1, 4, 7
    assert again.rows.tolist() == [7, 1]
    np.testing.assert_array_equal(again.image(0), pixels(7))


def test_a_mask_of_another_length_is_refused(ten):
    with pytest.raises(IndexError):
        ten.select(np.ones(3, bool))


def test_ids_are_text(ten):
    assert ten.columns["id"].dtype.kind == "S" and ten.ids.dtype.kind == "U"


def test_it_names_itself(train, ten):
    assert repr(train) == "Split(tiny_faces, train, 50 examples)"
    assert repr(ten.select([1])) == "Split(faces, train, 1 example)"


def test_joined_splits_keep_their_order_and_their_images(ten):
    first, second = ten.select([7, 2]), ten.select([5, 0, 9])
    both = join([first, second], "first+second")
    assert (both.name, len(both)) == ("first+second", 5)
    assert both.ids.tolist() == ["7.png", "2.png", "5.png", "0.png", "9.png"]
    assert both.columns["left_eye"].tolist() == [[14, 15], [4, 5], [10, 11], [0, 1], [18, 19]]
    last = both.select([4, 2, 0])
    for place, row in enumerate((9, 5, 7)):
        np.testing.assert_array_equal(last.image(place), pixels(row))
