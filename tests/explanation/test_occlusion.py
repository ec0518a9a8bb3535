"""A model made by hand that looks at one square of the face only: its maps can be counted."""

import math

import flax.linen as nn
import numpy as np
import pytest

from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.explanation import occlusion
from emotion_gcn_jax.explanation.occlusion import Patch
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.models.heads import LinearHead
from emotion_gcn_jax.tasks import registry

SIDE = 16
PATCH = Patch(side=4, stride=2, network_side=SIDE)  # at 0, 2, ... 12 in both directions
PLAIN = Input(side=SIDE, channels=1, mean=(0.0,), deviation=(1.0,))
TASKS = registry.from_config(
    {
        "mood": {"kind": "classes", "vocabulary": "Glad,Bored"},
        "seen": {"kind": "flags", "names": "hat"},
        "energy": {"kind": "values", "dimensions": "energy"},
    }
)
WHITE = np.full((SIDE, SIDE, 1), 255, np.uint8)


class Square(nn.Module):
    """The mean of the pixels in rows 4 to 7 and columns 8 to 11: of a white face 1, of which a patch takes a share."""

    @nn.compact
    def __call__(self, images_BxHxWxC, train):
        return images_BxHxWxC[:, 4:8, 8:12].mean((1, 2, 3))[:, None, None, None]


def judge(inputs=PLAIN, patch=PATCH, face=WHITE):
    """Of a mean f the logit of Glad (against 0 of Bored) and that of the hat are 8 f - 5.5, the energy is 8 f."""
    names = {task.name: len(task.outputs) for task in TASKS}
    net = EmotionNet(Square(), LinearHead(tuple(names.items())))
    layers = {
        "mood": {"kernel": np.array([[8.0, 0.0]]), "bias": np.array([-5.5, 0.0])},
        "seen": {"kernel": np.array([[8.0]]), "bias": np.array([-5.5])},
        "energy": {"kernel": np.array([[8.0]]), "bias": np.array([0.0])},
    }
    return occlusion.judge(net, {"params": {"head": layers}}, TASKS, inputs, patch)(face)


def p(share):
    """The probability of Glad, and that of the hat, when a share of the square is covered."""
    return 1 / (1 + math.exp(-(8 * (1 - share) - 5.5)))


def task_of(name):
    return next(task for task in TASKS if task.name == name)


# Rows 4 to 7 are covered by half from 2 and from 6, wholly from 4; columns 8 to 11 so from 6, 10 and 8. With a half of
# the square covered the logit is 4 - 5.5 < 0, with a quarter 6 - 5.5 > 0: five positions turn the answer.
TURNING = {(4, 8), (2, 8), (6, 8), (4, 6), (4, 10)}
PIXELS = [
    # (pixel, the positions that cover it, the shares of the square that these cover)
    ((0, 0), [(0, 0)], [0]),
    ((15, 15), [(12, 12)], [0]),
    ((5, 9), [(2, 6), (2, 8), (4, 6), (4, 8)], [0.25, 0.5, 0.5, 1]),
    ((7, 11), [(4, 8), (4, 10), (6, 8), (6, 10)], [1, 0.5, 0.5, 0.25]),
    ((3, 8), [(0, 6), (0, 8), (2, 6), (2, 8)], [0, 0, 0.25, 0.5]),
    ((1, 9), [(0, 6), (0, 8)], [0, 0]),
    ((4, 14), [(2, 12), (4, 12)], [0, 0]),
]


@pytest.mark.parametrize(("pixel", "positions", "shares"), PIXELS)
def test_maps_are_the_means_over_the_positions_that_cover_a_pixel(pixel, positions, shares):
    answers = judge()
    turning = len(TURNING & set(positions)) / len(positions)
    fall = np.mean([p(0) - p(share) for share in shares])
    for name in ("mood", "seen"):
        hard_VxV = occlusion.hard_map(task_of(name), answers[name], 0, PATCH)
        assert hard_VxV[pixel] == turning
        assert occlusion.soft_map(answers[name], 0, PATCH)[pixel] == pytest.approx(fall, abs=1e-6)
    assert occlusion.soft_map(answers["mood"], 1, PATCH)[pixel] == pytest.approx(-fall, abs=1e-6)  # Bored rises
    assert occlusion.soft_map(answers["energy"], 0, PATCH)[pixel] == pytest.approx(8 * np.mean(shares), abs=1e-6)


def test_maps_are_nothing_where_no_patch_touches_the_square():
    answers = judge()
    touched = np.zeros((SIDE, SIDE), bool)
    touched[2:10, 6:14] = True  # the patches at 2, 4 and 6, and at 6, 8 and 10
    for name in ("mood", "seen", "energy"):
        soft_VxV = occlusion.soft_map(answers[name], 0, PATCH)
        assert (soft_VxV[touched] > 0).all() and not soft_VxV[~touched].any()
    hard_VxV = occlusion.hard_map(task_of("mood"), answers["mood"], 0, PATCH)
    assert hard_VxV.max() == 0.75 and not hard_VxV[~touched].any()
    assert occlusion.hard_map(task_of("energy"), answers["energy"], 0, PATCH) is None


def test_a_patch_is_black_before_the_image_is_normalised():
    """White is (1 - 0.5) / 0.5 = 1 then, black is -1: covering the whole square takes 8 * 2."""
    answers = judge(Input(side=SIDE, channels=1, mean=(0.5,), deviation=(0.5,)))["energy"][:, 0]
    assert answers[0] == 8 and answers.min() == -8
    assert np.argmin(answers) == 1 + 7 * 2 + 4  # at the third row of positions, 4, and the fifth column, 8


def test_a_patch_slides_over_what_the_network_sees_of_a_larger_image():
    """Of 20 pixels the network sees the middle 16: the square begins at 4 + 2 and 8 + 2 of the image."""
    face = np.zeros((20, 20, 1), np.uint8)
    face[6:10, 10:14] = 255
    answers = judge(Input(side=20, channels=1, mean=(0.0,), deviation=(1.0,), crop=SIDE), face=face)
    np.testing.assert_array_equal(answers["energy"], judge()["energy"])


def test_colours_are_covered_alike():
    coloured = Input(side=SIDE, channels=3, mean=(0.0,) * 3, deviation=(1.0,) * 3)
    np.testing.assert_array_equal(judge(coloured, face=WHITE.repeat(3, -1))["mood"], judge()["mood"])


@pytest.mark.parametrize("at_a_time", [1, 7, 50])
def test_many_copies_are_judged_in_batches(at_a_time, monkeypatch):
    expected = judge()
    monkeypatch.setattr(occlusion, "_PIXELS", at_a_time * SIDE**2)
    found = judge()
    assert found["mood"].shape == (1 + 7 * 7, 2)
    for name, rows in expected.items():
        np.testing.assert_array_equal(found[name], rows)


@pytest.mark.parametrize(
    ("network_side", "given", "side", "stride", "starts"),
    [
        (48, {}, 12, 4, range(0, 37, 4)),  # the spec's: 10 x 10
        (48, {"side": 8, "stride": 2}, 8, 2, range(0, 41, 2)),  # and its other one: 21 x 21
        (44, {}, 11, 4, [*range(0, 33, 4), 33]),  # the last one ends at the border, too
        (227, {}, 57, 19, [*range(0, 153, 19), 170]),
        (15, {"side": 4, "stride": 2}, 4, 2, [0, 2, 4, 6, 8, 10, 11]),
        (9, {"side": 2}, 2, 1, range(8)),
    ],
)
def test_positions(network_side, given, side, stride, starts):
    patch = Patch.usual(network_side, **given)
    assert (patch.side, patch.stride, patch.starts_K.tolist()) == (side, stride, list(starts))
    # Every pixel is covered: the mean of ones is one everywhere.
    ones = occlusion.mean_over_positions(np.ones(len(list(starts)) ** 2), patch)
    np.testing.assert_allclose(ones, np.ones((network_side, network_side)), atol=1e-12)


@pytest.mark.parametrize(
    ("side", "stride", "words"),
    [(0, 1, "side of 1 to 47"), (48, 4, "found 48"), (12, 13, "so that none is passed over"), (12, 0, "found 0")],
)
def test_a_patch_that_cannot_be(side, stride, words):
    with pytest.raises(UserError, match=words):
        Patch.usual(48, side, stride)


def test_answers_that_are_not_finite():
    net = EmotionNet(Square(), LinearHead((("energy", 1),)))
    layers = {"energy": {"kernel": np.full((1, 1), np.inf), "bias": np.zeros(1)}}
    with pytest.raises(UserError, match="not finite"):
        occlusion.judge(net, {"params": {"head": layers}}, TASKS[1:2], PLAIN, PATCH)(WHITE)
