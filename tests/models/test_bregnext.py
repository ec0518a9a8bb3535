"""BReG-NeXt by hand and by its own symmetries; tests/reference compares it with an independent PyTorch model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import bregnext
from emotion_gcn_jax.models.bregnext import BReGNeXt
from tests.models.running import random_variables, run_once

SMALL = {"stages": ((1, 4), (1, 8)), "stem_width": 4}


@pytest.mark.parametrize("a", [1.0, -0.7, 3.0])
@pytest.mark.parametrize("c", [1.0, 0.0, -2.5])
def test_shortcut_is_the_papers_formula(x64, a, c):
    x = np.array([-50.0, -1.0, -0.3, -1e-3, 0.0, 1e-9, 0.1, 0.2, 2.0, 1e4])
    root = np.sqrt(c**2 + 1)
    np.testing.assert_allclose(bregnext.shortcut(x, a, c), np.arctan(a * x / root) / (a * root), rtol=1e-14)


def test_shortcut_bends_to_the_identity_over_c_squared_plus_one_as_a_vanishes(x64):
    x = np.linspace(-3, 3, 7)
    for a in (0.0, 1e-300, 1e-12):
        np.testing.assert_allclose(bregnext.shortcut(x, a, 2.0), x / 5, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shortcut_has_its_derivatives_at_every_a(x64, dtype):
    """dg/dx = 1 / (s^2 + a^2 x^2); g = x/s^2 - a^2 x^3 / (3 s^4) + ..., hence dg/da -> -2 a x^3 / (3 s^4)."""
    x, c = 1.5, 0.5
    square = c**2 + 1
    tolerance = 1e-5 if dtype == np.float32 else 1e-11
    for a in (0.0, 1e-30, 1e-5, 0.02, 0.11, 0.12, 0.5, 2.0):
        dx, da, dc = (float(d) for d in jax.grad(bregnext.shortcut, (0, 1, 2))(*np.array([x, a, c], dtype)))
        np.testing.assert_allclose(dx, 1 / (square + (a * x) ** 2), rtol=tolerance)
        if a <= 1e-5:
            np.testing.assert_allclose(da, -2 * a * x**3 / (3 * square**2), rtol=max(tolerance, 1e-9))
            np.testing.assert_allclose(dc, -2 * c * x / square**2, rtol=max(tolerance, 1e-9))
        else:
            root = np.sqrt(square)
            u = a * x / root
            np.testing.assert_allclose(da, (u / (1 + u * u) - np.arctan(u)) / (a * a * root), rtol=10 * tolerance)
            ds = -u / (1 + u * u) / (a * square) - np.arctan(u) / (a * square)
            np.testing.assert_allclose(dc, ds * c / root, rtol=tolerance)


def test_a_strided_shortcut_is_bent_then_pooled_then_padded_on_both_sides():
    module = bregnext.Shortcut(6, 2, jnp.float32, jnp.float32)
    x = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32).reshape(1, 2, 2, 1) * np.array([1.0, -1.0], np.float32)
    y = module.apply({"params": {"a": np.ones(1, np.float32), "c": np.zeros(1, np.float32)}}, x)
    pooled = np.arctan([0, 1, 2, 3]).mean()  # a = 1, c = 0: g = arctan
    np.testing.assert_allclose(y, [[[[0, 0, pooled, -pooled, 0, 0]]]], rtol=1e-6)


def test_rematerialisation_changes_nothing(x64):
    images = np.random.default_rng(1).normal(size=(3, 12, 8, 3))
    variables = random_variables(BReGNeXt(**SMALL, dtype=jnp.float64, param_dtype=jnp.float64), images)

    def run(remat):
        model = BReGNeXt(**SMALL, remat=remat, dtype=jnp.float64, param_dtype=jnp.float64)

        def loss(params):
            y, updated = model.apply({**variables, "params": params}, images, True, mutable=["batch_stats"])
            return (y**2).sum(), updated

        return run_once(jax.value_and_grad(loss, has_aux=True), variables["params"])

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), run(True), run(False))


@pytest.mark.parametrize(("height", "width"), [(4, 4), (32, 36), (112, 112)])
def test_any_multiple_of_4_gives_a_map_of_a_quarter_of_the_sides(height, width):
    images = jnp.zeros((2, height, width, 3))
    last, _ = jax.eval_shape(lambda: BReGNeXt().init_with_output(jax.random.key(0), images, False))
    assert last.shape == (2, height // 4, width // 4, 128)


def test_other_sides_are_refused_with_both_sides():
    with pytest.raises(
        UserError, match=r"multiples of 4 pixels, found 32 x 227: choose a config.input.side or crop such as 32"
    ):
        jax.eval_shape(lambda: BReGNeXt().init(jax.random.key(0), jnp.zeros((1, 32, 227, 3)), False))


@pytest.mark.parametrize(
    ("dtype", "param_dtype"),
    [(jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float32), (jnp.float64, jnp.float64)],
)
def test_dtypes_are_honoured_everywhere(x64, dtype, param_dtype):
    model = BReGNeXt(**SMALL, dtype=dtype, param_dtype=param_dtype)
    images = jnp.zeros((2, 8, 8, 3), param_dtype)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, False))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(param_dtype)}

    def run(variables, images):
        return model.apply(variables, images, True, mutable=["batch_stats"], capture_intermediates=True)

    features, updated = jax.eval_shape(run, variables, images)
    assert features.dtype == dtype
    assert {leaf.dtype for leaf in jax.tree.leaves(updated["batch_stats"])} == {jnp.dtype(param_dtype)}
    assert {leaf.dtype for leaf in jax.tree.leaves(updated["intermediates"])} == {jnp.dtype(dtype)}


def test_initial_parameters_are_uniform_within_the_specs_bounds():
    model = BReGNeXt(stages=((1, 64),), stem_width=64)
    images = jnp.zeros((1, 8, 8, 3))
    params = jax.jit(lambda: model.init(jax.random.key(0, impl="rbg"), images, False))()["params"]
    block = params["stage1_block1"]
    for values, fan_in, gain in (
        (params["stem_conv"]["kernel"], 27, 1),
        (params["stem_conv"]["bias"], 27, 1),
        (block["conv1"]["kernel"], 576, 6),
        (block["conv2"]["bias"], 576, 1),
    ):
        bound = np.sqrt(gain / fan_in)
        assert 0.85 * bound < np.abs(values).max() <= bound
        assert np.min(values) < 0 < np.max(values)
    assert block["shortcut"] == {"a": 1.0, "c": 1.0}
    assert all((params["final_norm"][name] == start).all() for name, start in (("scale", 1), ("bias", 0)))
