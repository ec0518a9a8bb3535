"""DenseNet against a plain Flax implementation without any of the shortcuts."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models.densenet import DenseNet
from tests.models.running import random_variables, run_once

SMALL = {"blocks": (2, 3, 1, 2), "growth": 4, "stem_width": 6}


class PlainDenseNet(nn.Module):
    """Norms recompute their moments, convolutions are convolutions, pools pool, in the order of the paper."""

    @nn.compact
    def __call__(self, x):
        def norm(name):
            return nn.BatchNorm(use_running_average=False, momentum=0.9, dtype=jnp.float64, name=name)

        def conv(width, size, name, stride=1):
            return nn.Conv(width, (size, size), stride, size // 2, use_bias=False, dtype=jnp.float64, name=name)

        x = nn.relu(norm("stem_norm")(conv(6, 7, "stem_conv", 2)(x)))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for block, count in enumerate(SMALL["blocks"], 1):
            for layer in range(1, count + 1):
                prefix = f"block{block}_layer{layer}/"
                y = conv(16, 1, prefix + "conv1")(nn.relu(norm(prefix + "norm1")(x)))
                y = conv(4, 3, prefix + "conv2")(nn.relu(norm(prefix + "norm2")(y)))
                x = jnp.concatenate([x, y], -1)
            if block < 4:
                x = nn.relu(norm(f"transition{block}_norm")(x))
                x = nn.avg_pool(conv(x.shape[-1] // 2, 1, f"transition{block}_conv")(x), (2, 2), (2, 2))
        return norm("final_norm")(x)


def plain(tree):
    """Our parameters under the plain model's names and shapes."""
    renamed = {}
    for name, leaves in tree.items():
        layers = {f"{name}/{inner}": v for inner, v in leaves.items()} if "_layer" in name else {name: leaves}
        for path, values in layers.items():
            renamed[path] = {k: v[None, None] if k == "kernel" and v.ndim == 2 else v for k, v in values.items()}
    return renamed


@functools.cache
def plainly():
    """Images, our variables, and what the plain implementation makes of them: gradients, values and statistics."""
    images = np.random.default_rng(1).normal(size=(3, 50, 45, 3))
    variables = random_variables(DenseNet(**SMALL, dtype=jnp.float64, param_dtype=jnp.float64), images)

    def theirs(params, images):
        statistics = plain(variables["batch_stats"])
        y, updated = PlainDenseNet().apply(
            {"params": plain(params), "batch_stats": statistics}, images, mutable=["batch_stats"]
        )
        return (y**2).sum(), (y, updated["batch_stats"])

    return images, variables, run_once(jax.grad(theirs, has_aux=True), variables["params"], images)


@pytest.mark.parametrize("remat", [False, True])
def test_equals_a_plain_implementation_in_value_gradient_and_running_mean(x64, remat):
    model = DenseNet(**SMALL, remat=remat, dtype=jnp.float64, param_dtype=jnp.float64)
    images, variables, (expected_gradients, (expected, expected_statistics)) = plainly()

    def ours(params, images):
        y, updated = model.apply({**variables, "params": params}, images, True, mutable=["batch_stats"])
        return (y**2).sum(), (y, updated["batch_stats"])

    gradients, (y, statistics) = run_once(jax.grad(ours, has_aux=True), variables["params"], images)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), gradients, expected_gradients)
    for name, values in plain(statistics).items():
        np.testing.assert_allclose(values["mean"], expected_statistics[name]["mean"], rtol=1e-9, atol=1e-12)


def test_inference_uses_the_running_statistics_and_changes_nothing():
    model = DenseNet(**SMALL)
    images = np.random.default_rng(1).normal(size=(3, 32, 32, 3)).astype(np.float32)
    variables = random_variables(model, images)
    alone, all_three = (run_once(lambda x: model.apply(variables, x, False), x) for x in (images[:1], images))
    np.testing.assert_allclose(all_three[:1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        # a quarter of the side, rounded up, then three halvings, rounded down
        (32, 32, 1, 1),
        (33, 47, 1, 1),
        (64, 112, 2, 3),
        (227, 227, 7, 7),
    ],
)
def test_any_side_from_32_up_gives_a_map(height, width, rows, columns):
    images = jnp.zeros((2, height, width, 3))
    last, _ = jax.eval_shape(lambda: DenseNet().init_with_output(jax.random.key(0), images, False))
    assert last.shape == (2, rows, columns, 1024)


def test_a_side_below_32_is_refused_with_both_sides():
    with pytest.raises(UserError, match=r"at least 32 pixels a side, found 31 x 40: choose a larger config.input.side"):
        jax.eval_shape(lambda: DenseNet().init(jax.random.key(0), jnp.zeros((1, 31, 40, 3)), False))


@pytest.mark.parametrize(
    ("dtype", "param_dtype"),
    [(jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float32), (jnp.float64, jnp.float64)],
)
def test_dtypes_are_honoured_everywhere(x64, dtype, param_dtype):
    model = DenseNet(**SMALL, dtype=dtype, param_dtype=param_dtype)
    images = jnp.zeros((2, 32, 32, 3), param_dtype)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, False))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(param_dtype)}

    def run(variables, images):
        return model.apply(variables, images, True, mutable=["batch_stats"], capture_intermediates=True)

    features, updated = jax.eval_shape(run, variables, images)
    assert features.dtype == dtype
    assert {leaf.dtype for leaf in jax.tree.leaves(updated["batch_stats"])} == {jnp.dtype(param_dtype)}
    assert {leaf.dtype for leaf in jax.tree.leaves(updated["intermediates"])} == {jnp.dtype(dtype)}
