"""Groups of examples by a column of any kind."""

import numpy as np
import pytest

from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.groups import groups_by


def split_with(**columns):
    count = len(next(iter(columns.values())))
    ids = np.asarray([b"%d" % i for i in range(count)])
    return Split("mine", None, "test", {}, {"id": ids, **columns}, read_image=None, rows=np.arange(count))


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (np.char.encode(np.asarray(["süd", "nord", ""]), "utf-8"), ("", "nord", "süd")),
        (np.asarray([3, -1, 3]), ("-1", "3")),
        (np.asarray([True, False, True]), ("false", "true")),
        (np.asarray([0.5, np.nan, 0.5], np.float32), ("", "0.5")),
    ],
)
def test_a_column_of_any_kind(column, names):
    groups = groups_by(split_with(site=column), "site")
    assert groups.names == names
    assert [name in names for name in groups.of_examples] == [True] * 3


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.arange(51), "has 51 different values"),
        (np.zeros((3, 2)), "has several"),
    ],
)
def test_what_makes_no_groups_is_refused(column, message):
    with pytest.raises(UserError, match=message):
        groups_by(split_with(site=column), "site")
