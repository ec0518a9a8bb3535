"""Activation maps divide an output among the places of the last map, and nothing is lost."""

import numpy as np
import pytest

from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.explanation import activation
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.neck import Neck
from emotion_gcn_jax.models.recurrent import Recurrent
from emotion_gcn_jax.tasks import registry
from tests.untrained import OWN_TASKS, random_variables

TASKS = registry.from_config(OWN_TASKS)
NODES = sum(len(task.outputs) for task in TASKS)


def model_and_input(trunk, head, readout, channels=3, side=64, crop=0):
    net = emotion_net.create_model(trunk, TASKS, head=head, readout=readout, word_vector_width=5)
    channels = getattr(net.trunk, "INPUT", (side, channels))[1]
    variables = random_variables(net, channels)
    if head == "graph":
        edges_NxN = np.random.default_rng(3).uniform(0, 1, (NODES, NODES)).astype(np.float32)
        variables["constants"]["head"]["adjacency"] = edges_NxN / edges_NxN.sum(1, keepdims=True)
    normal = {"mean": (0.4, 0.5, 0.6)[:channels], "deviation": (0.2, 0.3, 0.25)[:channels]}
    return net, variables, Input(side=side, channels=channels, crop=crop, **normal)


@pytest.mark.parametrize(
    ("trunk", "head", "readout", "options"),
    [
        ("densenet_tiny", "linear", "average", {}),
        ("densenet_tiny", "graph", "max", {}),
        ("resnet_tiny", "graph", "average", {"channels": 1, "side": 70, "crop": 65}),
        ("resnet_tiny", "linear", "max", {}),
        ("bregnext_tiny", "linear", "average", {}),
    ],
)
def test_the_mean_and_the_bias_are_the_raw_output(trunk, head, readout, options):
    net, variables, inputs = model_and_input(trunk, head, readout, **options)
    face = np.random.default_rng(0).integers(0, 256, (inputs.side, inputs.side, inputs.channels), np.uint8)
    maps = activation.mapper(net, variables, inputs)(face)
    biases = activation.biases(net, variables)
    outputs = net.apply(variables, inputs.view(face[None]), train=False)
    assert maps.keys() == biases.keys() == outputs.keys() == OWN_TASKS.keys()
    for name, output_1xW in outputs.items():
        height, width, _ = maps[name].shape
        assert height == width > 1 and np.ptp(maps[name], axis=(0, 1)).min() > 0
        scale = max(1, float(np.abs(maps[name]).max()))
        np.testing.assert_allclose(maps[name].mean((0, 1)) + biases[name], output_1xW[0], rtol=0, atol=1e-5 * scale)
    assert np.any(biases["mood"]) == (head == "linear")  # the paper's graph has none


def test_a_maximum_counts_where_it_is():
    """Of 2 x 2 places: 6 once, so that its share is 6 * 4 there; 2 twice, 2 * 4 / 2 each. Their means are 6 and 2."""
    map_1x2x2x2 = np.array([[[[6.0, 2.0], [1.0, 2.0]], [[-3.0, 0.0], [5.0, 1.0]]]])
    spread = activation.SPREADS["max"](map_1x2x2x2, "relu")
    np.testing.assert_array_equal(spread[0], [[[24, 4], [0, 4]], [[0, 0], [0, 0]]])


def test_every_readout_is_the_mean_of_its_spread():
    map_2x3x4x5 = np.random.default_rng(0).normal(0, 1, (2, 3, 4, 5)).astype(np.float32)
    assert activation.SPREADS.keys() == emotion_net.READOUTS.keys() - {"flatten"}  # whose features have a place each
    for name, spread in activation.SPREADS.items():
        expected_2x5 = emotion_net.READOUTS[name](map_2x3x4x5, "elu")
        np.testing.assert_allclose(spread(map_2x3x4x5, "elu").mean((1, 2)), expected_2x5, atol=1e-6)


@pytest.mark.parametrize(("trunk", "side"), [("deep_emotion", 48), ("deep_emotion_none", 48), ("densenet_tiny", 32)])
def test_a_map_of_one_place_says_nothing(trunk, side):
    net, variables, inputs = model_and_input(trunk, "linear", "average", side=side)
    with pytest.raises(UserError, match="one place only"):
        activation.mapper(net, variables, inputs)


def test_a_head_that_is_not_linear(monkeypatch):
    net, variables, inputs = model_and_input("resnet_tiny", "linear", "average")
    for head, found in ((net.trunk.clone(), "ResNet"), (net.head.clone(cosines=("mood",)), "cosines")):
        with pytest.raises(UserError, match=f"linear in the features .*, found {found}: look"):
            activation.biases(net.clone(head=head), variables)
    for further in ({"neck": Neck(embedding=8)}, {"time": Recurrent((8,))}):
        with pytest.raises(UserError, match="hidden or recurrent layers or an embedding between the two: look"):
            activation.check_places(net.clone(**further), inputs)
    activation.check_places(net.clone(neck=Neck(dropout=0.3)), inputs)
    monkeypatch.delitem(activation.SPREADS, "average")
    with pytest.raises(UserError, match="how average does is not known"):
        activation.mapper(net, variables, inputs)


def test_a_map_is_enlarged_about_its_places_middles():
    """The middle of place i of 4 lies at 4 (i + 1/2) of 16 pixels: a ramp stays one, but for the borders."""
    ramp_4x4 = np.tile(4 * (np.arange(4) + 0.5), (4, 1))
    np.testing.assert_allclose(activation.enlarged(ramp_4x4, 16)[:, 6:10], np.tile(np.arange(6, 10) + 0.5, (16, 1)))
    map_3x3 = np.random.default_rng(0).normal(0, 1, (3, 3))
    np.testing.assert_allclose(
        activation.enlarged(map_3x3[::-1, ::-1], 20), activation.enlarged(map_3x3, 20)[::-1, ::-1], atol=1e-6
    )
    np.testing.assert_allclose(activation.enlarged(np.full((2, 2), 0.7), 9), np.full((9, 9), 0.7), rtol=1e-6)


def test_a_map_is_of_the_right_place():
    """A spot in the image's lower left corner changes the map there, and not at the far end."""
    net, variables, inputs = model_and_input("resnet_tiny", "linear", "average", side=128)
    run = activation.mapper(net, variables, inputs)
    face = np.full((128, 128, 3), 128, np.uint8)
    spotted = face.copy()
    spotted[112:, :16] = 255
    change_HxW = np.abs(run(spotted)["energy"] - run(face)["energy"])[..., 0]
    row, column = np.unravel_index(change_HxW.argmax(), change_HxW.shape)
    assert change_HxW.shape == (4, 4) and row >= 2 and column < 2
    assert change_HxW[0, -1] < change_HxW.max() / 2
