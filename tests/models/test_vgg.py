"""VGG's sizes, names, pool and options; tests/reference compares its numbers with an independent PyTorch model."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models.vgg import POOLS, VGG
from tests.models.running import random_variables, run_once

SMALL = {"blocks": ((2, 4), (1, 6))}


def test_the_parameter_count_is_the_published_one_without_the_classifier():
    variables = jax.eval_shape(lambda: VGG().init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), False))
    # torchvision's published count, and its three fully connected layers on a map of 7 x 7 x 512
    classifier = (7 * 7 * 512 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 138_357_544 - classifier


@pytest.mark.parametrize(
    ("height", "width", "channels", "rows", "columns"),
    [(32, 32, 3, 1, 1), (33, 65, 1, 1, 2), (96, 64, 4, 3, 2), (227, 255, 3, 7, 7)],  # a 32nd of the side, rounded down
)
def test_any_sides_from_32_up_and_any_channels_give_a_map(height, width, channels, rows, columns):
    images = jnp.zeros((2, height, width, channels))
    last, _ = jax.eval_shape(lambda: VGG().init_with_output(jax.random.key(0), images, False))
    assert last.shape == (2, rows, columns, 512)


@pytest.mark.parametrize(("height", "width"), [(31, 40), (40, 31), (1, 1)])
def test_a_side_below_32_is_refused_with_both_sides(height, width):
    with pytest.raises(UserError, match=rf"at least 32 pixels a side, found {height} x {width}: choose"):
        jax.eval_shape(lambda: VGG().init(jax.random.key(0), jnp.zeros((1, height, width, 3)), False))


@pytest.mark.parametrize(
    ("side", "pool", "end"),
    [(96, "valid", 3), (96, "same", 3), (112, "valid", 3), (112, "same", 4)],  # Aff-Wild2 spec, section 4
)
def test_a_same_pool_keeps_odd_ends(side, pool, end):
    images = jnp.zeros((1, side, side, 3))
    last, _ = jax.eval_shape(lambda: VGG(pool=pool).init_with_output(jax.random.key(0), images, False))
    assert last.shape == (1, end, end, 512)


def test_vgg_faces_names_are_ours():
    assert VGG().torch_names("vgg_face") == [(name, name) for _, name in VGG().torch_names()]


def test_torch_names_are_torchvisions_in_its_order():
    theirs = [f"features.{number}" for number in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    ours = "conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 conv4_1 conv4_2 conv4_3 conv5_1 conv5_2 conv5_3"
    assert VGG().torch_names() == list(zip(theirs, ours.split(), strict=True))


@pytest.mark.parametrize("kind", ["valid", "same"])
@pytest.mark.parametrize(("height", "width"), [(2, 3), (7, 8)])
def test_max_pool_equals_the_windowed_reduction_and_its_gradient(height, width, kind):
    x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)

    def reference(x):
        return nn.max_pool(x, (2, 2), (2, 2), padding=kind.upper())

    def pooled_and_gradient(pool):
        pooled, pull_back = jax.vjp(pool, x)
        return pooled, pull_back(pooled)

    ours, theirs = run_once(lambda: (pooled_and_gradient(POOLS[kind]), pooled_and_gradient(reference)))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_folded_trunk_has_the_same_variables_and_map():
    images = np.random.default_rng(1).normal(size=(2, 33, 40, 3)).astype(np.float32)
    variables = random_variables(VGG(**SMALL), images)
    found, expected = run_once(
        lambda: [VGG(**SMALL, folded=folded).apply(variables, images, False) for folded in (True, False)]
    )
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(found, expected)


def test_a_folded_trunk_refuses_to_train():
    with pytest.raises(ValueError, match="A folded model is for inference only"):
        jax.eval_shape(lambda: VGG(folded=True).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), True))


def test_rematerialisation_changes_nothing(x64):
    images = np.random.default_rng(1).normal(size=(2, 33, 40, 3))
    model = VGG(**SMALL, dtype=jnp.float64, param_dtype=jnp.float64)
    variables = random_variables(model, images)

    def run(remat):
        def loss(variables):
            return (model.clone(remat=remat).apply(variables, images, True) ** 2).sum()

        assert ("remat" in str(jax.make_jaxpr(jax.grad(loss))(variables))) == remat
        return run_once(jax.value_and_grad(loss), variables)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), run(True), run(False))


def test_rematerialisation_keeps_the_names():
    images = jnp.zeros((1, 32, 32, 3))
    plain, remat = (
        jax.eval_shape(lambda model=model: model.init(jax.random.key(0), images, False))
        for model in (VGG(), VGG(remat=True))
    )
    assert plain == remat


@pytest.mark.parametrize(
    ("dtype", "param_dtype"),
    [(jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float32), (jnp.float64, jnp.float64)],
)
def test_dtypes_are_honoured_everywhere(x64, dtype, param_dtype):
    model = VGG(**SMALL, dtype=dtype, param_dtype=param_dtype)
    images = jnp.zeros((2, 32, 32, 3), param_dtype)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, False))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(param_dtype)}
    last, captured = jax.eval_shape(lambda v: model.apply(v, images, True, capture_intermediates=True), variables)
    assert {leaf.dtype for leaf in jax.tree.leaves((last, captured))} == {jnp.dtype(dtype)}


@pytest.fixture(scope="module")
def initial_params():
    model = VGG(blocks=((1, 64), (1, 128)))
    return run_once(lambda: model.init(jax.random.key(0, impl="rbg"), jnp.zeros((1, 32, 32, 3)), False))["params"]


@pytest.mark.parametrize(("name", "fan_out"), [("conv1_1", 3 * 3 * 64), ("conv2_1", 3 * 3 * 128)])
def test_initial_kernels_are_he_normal_over_the_fan_out_and_biases_0(initial_params, name, fan_out):
    kernel = np.asarray(initial_params[name]["kernel"])
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_out), rtol=0.05)  # of 1728 and 73,728 values
    assert np.abs(kernel).max() > 2.5 * kernel.std()  # not cut off at two deviations, as a truncated normal is
    assert (initial_params[name]["bias"] == 0).all()
