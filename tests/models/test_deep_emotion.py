"""Deep-Emotion's sizes, start, dropout and what it shows; tests/reference compares its numbers with PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from emotion_gcn_jax.conversion import names
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.deep_emotion import DeepEmotion
from emotion_gcn_jax.models.layers import EXAMPLES, OBSERVED
from tests.models.running import create, random_variables, run_once

IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 48, 48, 1)).astype(np.float32)
KEYS = {EXAMPLES: jax.random.key(0)}


@pytest.fixture(scope="module")
def start():
    """The model with seven classes, and its first variables."""
    net = create("deep_emotion", "single_task")
    return net, emotion_net.init_variables(net, 0, 48, channels=1)


def live(variables):
    """The same with a last localisation layer that is not 0, so that theta is another one for every image."""
    kernel = np.random.default_rng(0).normal(0, 0.5, (1, 1, 32, 6)).astype(np.float32)
    changed = jax.tree.map(lambda array: array, variables)
    changed["params"]["trunk"]["localisation"]["fc2"]["kernel"] = kernel
    return changed


@pytest.mark.parametrize(
    ("trunk", "classes", "count"),
    [
        # Deep-Emotion spec, sections 1 and 1.1
        ("deep_emotion", 7, 47_657),
        ("deep_emotion_valid3", 7, 76_777),
        ("deep_emotion_tutorial", 7, 66_857),
        ("deep_emotion_input", 7, 47_657),
        ("deep_emotion_tutorial_input", 7, 66_857),
        ("deep_emotion_none", 7, 43_737),
        ("deep_emotion", 8, 47_657 + 51),
    ],
)
def test_parameter_counts_are_the_specified_ones(trunk, classes, count):
    net = create(trunk, "single_task", vocabulary="ABCDEFGH"[:classes])
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), IMAGES))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize(
    ("variant", "main", "localisation"),
    [
        # what the convolutions make, before the pools
        ("pool4", [46, 44, 20, 18], [48, 12]),
        ("valid3", [46, 44, 20, 18], [46, 21]),
        ("tutorial", [46, 44, 20, 18], [42, 17]),
    ],
)
def test_sizes_are_the_specified_ones(variant, main, localisation):
    trunk = DeepEmotion(variant)

    def captured(images):
        return trunk.init_with_output(jax.random.key(0), images, False, capture_intermediates=True)

    last, variables = jax.eval_shape(captured, IMAGES)
    found = variables["intermediates"]
    assert last.shape == (4, 1, 1, 50)
    assert [found[f"conv{i}"]["__call__"][0].shape[1:] for i in range(1, 5)] == [(side, side, 10) for side in main]
    of_localisation = [found["localisation"][f"conv{i}"]["__call__"][0].shape[1] for i in (1, 2)]
    assert of_localisation == localisation
    assert found["dropout"]["__call__"][0].shape == (4, 9, 9, 10)
    assert variables["params"]["fc"]["kernel"].shape == (9, 9, 10, 50)


@pytest.mark.parametrize("shape", [(48, 48, 3), (64, 64, 1), (227, 227, 3), (48, 40, 1)])
def test_other_images_are_refused_in_a_sentence(shape):
    found = " x ".join(map(str, shape))
    with pytest.raises(UserError, match=rf"grey images of 48 x 48 pixels, found {found}: set --config.input.side=48"):
        jax.eval_shape(lambda: DeepEmotion().init(jax.random.key(0), jnp.zeros((1, *shape)), False))


def test_initial_kernels_are_normal_with_the_specified_deviation_and_biases_0(start):
    params = start[1]["params"]
    assert (params["trunk"]["localisation"]["fc2"]["kernel"] == 0).all()
    assert params["trunk"]["localisation"]["fc2"]["bias"].tolist() == [1, 0, 0, 0, 1, 0]
    fully_connected = np.asarray(params["trunk"]["fc"]["kernel"])
    np.testing.assert_allclose([fully_connected.mean(), fully_connected.std()], [0, 0.05], atol=1e-3)  # of 40,500
    assert np.abs(fully_connected).max() > 0.18  # not cut off at two deviations, as a truncated normal is
    head = params["head"]["expression"]
    np.testing.assert_allclose(np.std(head["kernel"]), 0.05, rtol=0.15)  # of 350; torch's would be 0.08
    assert not head["bias"].any()
    others = [*(params["trunk"][f"conv{i}"] for i in range(1, 5)), params["trunk"]["localisation"]["conv1"]]
    assert all(not layer["bias"].any() and layer["kernel"].any() for layer in others)


@pytest.mark.parametrize("warp", ["features", "input"])
def test_it_starts_as_the_network_without_attention(start, warp):
    _, variables = start
    params = variables["params"]["trunk"]
    without = {name: layer for name, layer in params.items() if name != "localisation"}
    found, expected = run_once(
        lambda: (
            DeepEmotion(warp=warp).apply({"params": params}, IMAGES, False),
            DeepEmotion(warp="none").apply({"params": without}, IMAGES, False),
        )
    )
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("is_live", [False, True])
def test_the_gradient_reaches_every_localisation_parameter_once_the_last_layer_is_not_zero(start, is_live):
    net, variables = start
    variables = live(variables) if is_live else variables
    rest = {"batch_stats": {}, "constants": {}}

    def loss(params):
        return (net.apply({"params": params, **rest}, IMAGES)["expression"][:, 0] ** 2).sum()

    gradients = run_once(jax.grad(loss), variables["params"])["trunk"]
    reached = {name: bool(gradients["localisation"][name]["kernel"].any()) for name in gradients["localisation"]}
    assert reached == {"conv1": is_live, "conv2": is_live, "fc1": is_live, "fc2": True}
    assert all(gradients[name]["kernel"].any() for name in ("conv1", "conv2", "conv3", "conv4", "fc"))


def test_the_readout_says_whether_there_is_a_relu_between_the_fully_connected_layers(start):
    net, variables = start
    last = run_once(lambda: DeepEmotion().apply({"params": variables["params"]["trunk"]}, IMAGES, False))[:, 0, 0]
    head = variables["params"]["head"]["expression"]
    assert (last < 0).any()
    for readout, features in (("average", np.maximum(last, 0)), ("max", last)):
        found = run_once(net.clone(readout=readout).apply, variables, IMAGES)["expression"]
        np.testing.assert_allclose(found, features @ head["kernel"] + head["bias"], rtol=1e-4, atol=1e-6)


def test_half_of_the_values_are_dropped_in_training_alone(start):
    params = {"params": start[1]["params"]["trunk"]}
    net = DeepEmotion()

    def maps(train, **rngs):
        _, captured = net.apply(params, IMAGES, train, capture_intermediates=True, mutable=["intermediates"], **rngs)
        return captured["intermediates"]["dropout"]["__call__"][0]

    kept, (dropped, again, other) = run_once(
        lambda: (
            maps(False),
            [maps(True, rngs={EXAMPLES: jax.random.key(seed)}) for seed in (0, 0, 1)],
        )
    )
    alive = kept > 0
    assert ((dropped == 0) | np.isclose(dropped, 2 * kept)).all()
    assert 0.45 < (dropped[alive] > 0).mean() < 0.55
    np.testing.assert_array_equal(dropped, again)
    assert ((dropped > 0) != (other > 0))[alive].any() and ((dropped > 0)[0] != (dropped > 0)[1])[alive[0]].any()
    outputs = run_once(lambda: [DeepEmotion(dropout=0.0).apply(params, IMAGES, train) for train in (False, True)])
    np.testing.assert_array_equal(*outputs)


def test_rematerialisation_changes_nothing(x64):
    net = create("deep_emotion", "single_task", dtype="float64")
    images = IMAGES.astype(np.float64)
    variables = random_variables(net, images)

    def run(remat):
        def loss(variables):
            model = net.clone(trunk=net.trunk.clone(remat=remat))
            return (model.apply(variables, images, train=True, rngs=KEYS)["expression"] ** 2).sum()

        assert ("remat" in str(jax.make_jaxpr(jax.grad(loss))(variables))) == remat
        return run_once(jax.value_and_grad(loss), variables)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), run(True), run(False))


@pytest.mark.parametrize("model", ["multi_task", "emotion_gcn"])
def test_bfloat16_keeps_float32_parameters_and_computes_theta_in_them(model):
    net = create("deep_emotion", model, word_vector_width=20, dtype="bfloat16")
    outputs, variables = jax.eval_shape(lambda: net.init_with_output(jax.random.key(0), IMAGES))
    assert {leaf.dtype for leaf in jax.tree.leaves((variables["params"], outputs))} == {jnp.dtype(jnp.float32)}
    _, found = jax.eval_shape(lambda v: net.apply(v, IMAGES, mutable=[OBSERVED]), variables)
    assert found[OBSERVED]["trunk"]["localisation"]["theta"].dtype == jnp.float32
    last = jax.eval_shape(lambda v: net.apply(v, IMAGES, method=lambda n, x: n.trunk(x, False)), variables)
    assert last.dtype == jnp.bfloat16


def test_the_first_fully_connected_layer_takes_torchs_channels_first():
    tensors = {tensor.name: tensor for tensor in names.official_tensors("deep_emotion_valid3", "single_task")}
    weight_50x810 = np.arange(50 * 810, dtype=np.float32).reshape(50, 810)
    ours = tensors["fc_de.0.weight"].layout.to_ours(weight_50x810)
    # channel 4, row 2, column 7 of the 10 maps of 9 x 9
    assert ours[2, 7, 4, 31] == weight_50x810[31, 4 * 81 + 2 * 9 + 7]
    np.testing.assert_array_equal(tensors["fc_de.0.weight"].layout.to_theirs(ours), weight_50x810)
    assert tensors["fc_loc.0.weight"].shape == (32, 1000) and tensors["fc_de.3.weight"].shape == (7, 50)


def diagnosed(variables, net):
    """What is said of the images, by what the network shows."""
    _, shown = run_once(lambda v: net.apply(v, IMAGES, mutable=[OBSERVED]), variables)
    observed = jax.device_get(traverse_util.flatten_dict(shown[OBSERVED], sep="/"))
    return observed, *net.diagnose(observed)


def test_a_live_attention_is_told_by_its_numbers(start):
    net, variables = start
    observed, numbers, warnings = diagnosed(live(variables), net)
    theta_4x2x3 = observed["trunk/localisation/theta"]
    assert numbers["theta_std"] == pytest.approx(theta_4x2x3.std(0).max(), rel=1e-5) and warnings == []
    for layer, channels in (("conv1", 8), ("conv2", 10), ("fc1", 32)):
        is_live = observed[f"trunk/localisation/{layer}_live"]
        assert is_live.shape == (4, channels)
        assert 0 < numbers[f"localisation_{layer}_live"] == pytest.approx(is_live.any(0).mean())


def test_a_dead_attention_is_warned_of(start):
    net, variables = start
    variables = live(variables)
    conv2 = variables["params"]["trunk"]["localisation"]["conv2"]
    conv2["bias"] = np.full(10, -100.0, np.float32)  # all its units are below 0, whatever the image
    _, numbers, (warning,) = diagnosed(variables, net)
    assert numbers["theta_std"] < 1e-6 and numbers["localisation_conv2_live"] == 0 < numbers["localisation_conv1_live"]
    assert "less than 0.001 (live units: 100% of conv1, 0% of conv2, " in warning
    assert "--config.optimizer.rates=trunk/localisation=0.1" in warning


def test_without_attention_there_is_nothing_to_tell():
    assert create("deep_emotion_none", "single_task").diagnose({}) == ({}, [])
    assert create("resnet_tiny", "single_task").diagnose({}) == ({}, [])
