"""Parts of a model by their paths: how they are written, which arrays they have, and the loss of their kernels."""

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.training import parts

PARAMS = {
    "trunk": {
        "fc": {"kernel": np.full((2, 3), 2.0), "bias": np.full(3, 9.0)},
        "fc2": {"kernel": np.full((1, 1), 7.0)},
        "norm": {"scale": np.full(3, 9.0)},
    },
    "head": {"expression": {"kernel": np.full((3, 1), 3.0), "bias": np.full(1, 9.0)}},
}


def test_what_a_config_says_of_parts():
    assert parts.read("", "optimizer.l2") == ()
    assert parts.read("trunk/fc=5e-4, head=2,", "optimizer.l2") == (("trunk/fc", 5e-4), ("head", 2.0))


@pytest.mark.parametrize("text", ["head", "head=", "=1", "head=-1", "head=nan", "head=inf", "head=a", "head=1=2"])
def test_what_is_not_written_so_is_refused(text):
    with pytest.raises(UserError, match=r"config.optimizer.l2 is written PART=NUMBER, with commas .*; found 'hea|'=1'"):
        parts.read(text, "optimizer.l2")


@pytest.mark.parametrize(
    ("part", "chosen"),
    [
        ("head", {("head", "expression", "kernel"), ("head", "expression", "bias")}),
        ("trunk/fc", {("trunk", "fc", "kernel"), ("trunk", "fc", "bias")}),  # and not fc2
        ("head/expression/kernel", {("head", "expression", "kernel")}),
    ],
)
def test_a_part_has_all_arrays_below_its_path(part, chosen):
    found = parts.mask(PARAMS, part, "optimizer.rates")
    assert {(a, b, c) for a in found for b in found[a] for c in found[a][b] if found[a][b][c]} == chosen


def test_the_sum_of_squares_is_of_kernels_alone():
    assert parts.sum_of_squares(PARAMS, ()) == 0
    # six times 2^2 by 0.5, three times 3^2 by 0.1
    assert parts.sum_of_squares(PARAMS, (("trunk/fc", 0.5), ("head", 0.1))) == pytest.approx(6 * 4 * 0.5 + 3 * 9 * 0.1)


@pytest.mark.parametrize("part", ["fc", "trunk/f", "trunk/norm", "trunk/fc/bias"])
def test_a_part_without_kernels_is_refused_with_those_that_are_there(part):
    message = (
        rf"names {part}, where the model has no kernels: choose a part such as trunk, head, trunk/fc, trunk/fc2, h"
    )
    with pytest.raises(UserError, match=message):
        parts.sum_of_squares(PARAMS, ((part, 1.0),))
