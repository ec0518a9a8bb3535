import math

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.models import layers


@pytest.fixture
def feature_map(x64):
    return jax.random.normal(jax.random.key(0), (4, 5, 6, 3), jnp.float64) * 2 + 1


def test_moments_are_those_of_all_positions_and_examples(feature_map):
    moments = layers.batch_moments(feature_map, None)
    numbers = np.asarray(feature_map).reshape(-1, 3)
    np.testing.assert_allclose(moments.mean_C, numbers.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.var_C, numbers.var(0), rtol=1e-12)
    np.testing.assert_allclose(moments.var_C * moments.bessel, numbers.var(0, ddof=1), rtol=1e-12)


def test_a_single_number_per_channel_has_finite_moments():
    moments = layers.batch_moments(jnp.ones((1, 1, 1, 2)), None)
    assert np.isfinite(moments.bessel).all()


def test_norm_normalises_by_the_batch_and_records_unbiased_running_statistics(feature_map):
    norm = layers.BatchNorm(jnp.float64, jnp.float64)
    variables = norm.init(jax.random.key(0), feature_map, None)
    variables["params"]["scale"] = jnp.array([1.0, 2.0, 3.0])
    variables["params"]["bias"] = jnp.array([0.5, 0.0, -0.5])
    y, updated = norm.apply(variables, feature_map, layers.batch_moments(feature_map, None), mutable=["batch_stats"])

    numbers = np.asarray(feature_map).reshape(-1, 3)
    expected = (numbers - numbers.mean(0)) / np.sqrt(numbers.var(0) + 1e-5) * [1, 2, 3] + [0.5, 0, -0.5]
    np.testing.assert_allclose(np.asarray(y).reshape(-1, 3), expected, rtol=1e-10, atol=1e-12)
    # torch: running = 0.9 running + 0.1 batch, from mean 0 and variance 1
    np.testing.assert_allclose(updated["batch_stats"]["mean"], 0.1 * numbers.mean(0), rtol=1e-10)
    np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * numbers.var(0, ddof=1), rtol=1e-10)

    inferred = norm.apply({**variables, **updated}, feature_map, None)
    stats = jax.tree.map(np.asarray, updated["batch_stats"])
    expected = (numbers - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * [1, 2, 3] + [0.5, 0, -0.5]
    np.testing.assert_allclose(np.asarray(inferred).reshape(-1, 3), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("side", [4, 5, 16, 57, 114])
def test_max_pool_equals_the_windowed_reduction_and_its_gradient(side):
    x = jax.random.normal(jax.random.key(side), (2, side, side + 1, 3))

    def reference(x):
        return nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))

    np.testing.assert_array_equal(layers.max_pool_3x3(x), reference(x))
    ours, theirs = (jax.grad(lambda x, f=f: (f(x) ** 2).sum())(x) for f in (layers.max_pool_3x3, reference))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [2, 3, 16, 57])
def test_the_max_pools_of_other_frameworks_equal_their_windowed_reduction(side):
    x = jax.random.normal(jax.random.key(side), (2, side, side + 1, 3))
    # torch's ceil_mode: (side - 3) / 2 rounded up, plus one, windows from 0 on
    ends = [(0, max(2 * math.ceil((side - 3) / 2) + 3 - side, 0)) for side in x.shape[1:3]]
    np.testing.assert_array_equal(layers.max_pool_3x3_ceil(x), nn.max_pool(x, (3, 3), (2, 2), padding=ends))
    np.testing.assert_array_equal(layers.max_pool_3x3_same(x), nn.max_pool(x, (3, 3), (2, 2), padding="SAME"))


@pytest.mark.parametrize("side", [2, 7, 8])
def test_average_pool_equals_flax(side):
    x = jax.random.normal(jax.random.key(side), (2, side, side + 1, 3))
    np.testing.assert_allclose(layers.average_pool_2x2(x), nn.avg_pool(x, (2, 2), (2, 2)), rtol=1e-6, atol=1e-6)


def test_convolution_pads_equally_on_both_sides():
    """On an even side with stride 2, "SAME" would pad on the right only."""
    conv = layers.Conv(1, 3, stride=2)
    image = np.zeros((1, 4, 4, 1), np.float32)
    image[0, 0, 0, 0] = 1.0
    kernel = np.arange(9, dtype=np.float32).reshape(3, 3, 1, 1)
    y = conv.apply({"params": {"kernel": kernel}}, image)
    # Output (0, 0) is centred on pixel (0, 0), which meets the kernel's centre, 4.
    np.testing.assert_array_equal(np.asarray(y)[0, :, :, 0], [[4, 0], [0, 0]])


@pytest.mark.parametrize(
    ("init", "deviation"),
    [(layers.he_normal, np.sqrt(2 / 300)), (layers.he_normal_fan_out, np.sqrt(2 / 200))],  # 300 to 200 channels
)
@pytest.mark.parametrize("conv", [layers.PointwiseConv, layers.Conv])
def test_a_kernel_starts_as_it_is_asked_to(conv, init, deviation):
    size = {"size": 1} if conv is layers.Conv else {}
    module = conv(200, bias=True, kernel_init=init, **size)
    params = module.init(jax.random.key(0), jnp.zeros((1, 1, 1, 300)))["params"]
    np.testing.assert_allclose(np.std(params["kernel"]), deviation, rtol=0.02)  # of 60,000 numbers
    assert params["bias"].shape == (200,)


def test_a_pointwise_convolution_is_the_convolution_of_size_1():
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 3, 4, 5), (5, 6), (6,)))
    found = layers.PointwiseConv(6, bias=True).apply({"params": {"kernel": kernel, "bias": bias}}, x)
    conv = layers.Conv(6, 1, bias=True)
    expected = conv.apply({"params": {"kernel": kernel[None, None], "bias": bias}}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


RATE = 0.25
ONES = jnp.ones((8, 5, 6, 3))


def dropped(x, seed=0, axis_name=None, train=True):
    return layers.Dropout(RATE, axis_name).apply({}, x, train, rngs={layers.EXAMPLES: jax.random.key(seed)})


def test_dropout_scales_what_is_left():
    many = np.asarray(dropped(jnp.ones((400, 100))))
    assert set(np.unique(many)) == {0, np.float32(1 / (1 - RATE))}
    assert (many == 0).mean() == pytest.approx(RATE, abs=0.01)  # 5 standard errors: sqrt(0.25 * 0.75 / 40,000) = 0.002
    np.testing.assert_array_equal(dropped(ONES, train=False), ONES)
    np.testing.assert_array_equal(layers.Dropout(0.0).apply({}, ONES, True), ONES)


def test_every_example_of_every_step_loses_other_values():
    first, again, other = dropped(ONES), dropped(ONES), dropped(ONES, seed=1)
    np.testing.assert_array_equal(first, again)
    masks = np.concatenate([first, other]).reshape(16, -1) == 0
    assert len({mask.tobytes() for mask in masks}) == 16


def test_an_example_loses_the_same_values_on_any_number_of_devices():
    expected = dropped(ONES)
    for count in (1, 2, 4, 8):
        shares = ONES.reshape(count, -1, *ONES.shape[1:])
        found = jax.pmap(lambda x: dropped(x, axis_name="devices"), axis_name="devices")(shares)
        np.testing.assert_array_equal(found.reshape(ONES.shape), expected)


def test_what_is_dropped_does_not_depend_on_the_dtype(x64):
    masks = [np.asarray(dropped(ONES.astype(dtype))) == 0 for dtype in (jnp.bfloat16, jnp.float32, jnp.float64)]
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


class TwoDropouts(nn.Module):
    """Two that are alike, and one that is asked twice."""

    @nn.compact
    def __call__(self, x):
        asked_twice = layers.Dropout(0.5, name="c")
        return [*(layers.Dropout(0.5, name=name)(x, True) for name in "ab"), asked_twice(x, True), asked_twice(x, True)]


def test_every_dropout_draws_for_itself():
    found = TwoDropouts().apply({}, ONES, rngs={layers.EXAMPLES: jax.random.key(0)})
    assert len({np.asarray(values).tobytes() for values in found}) == 4


def test_flaxs_own_dropout_finds_no_random_numbers():
    """It would drop the same of every device's share, and other values on another number of devices."""
    with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
        nn.Dropout(0.5, deterministic=False).apply({}, ONES, rngs={layers.EXAMPLES: jax.random.key(0)})


class Shown(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(2, name="inner")(x)
        layers.observe(self, "sum", lambda: x.sum(-1))
        return x


def test_what_a_module_shows_is_there_for_who_asks_and_for_no_other():
    variables = Shown().init(jax.random.key(0), jnp.ones((4, 3)))
    assert set(variables) == {"params"}
    y, shown = Shown().apply(variables, jnp.ones((4, 3)), mutable=[layers.OBSERVED])
    np.testing.assert_array_equal(shown[layers.OBSERVED]["sum"], y.sum(-1))
    np.testing.assert_array_equal(Shown().apply(variables, jnp.ones((4, 3))), y)


COUNTED = [[True, False, True, True], [False, False, True, False]]  # on two devices


def test_moments_over_some_examples_are_those_of_them_alone(feature_map):
    """Of 3 + 1 of 8 examples, each of 5 x 6 positions: of both devices together, on both."""
    both = jnp.stack([feature_map, 3 - 2 * feature_map])
    numbers = np.asarray(both)[np.array(COUNTED)].reshape(-1, 3)
    assert len(numbers) == 4 * 30

    def of_device(x, counted):
        with layers.moments_over(counted):
            return layers.batch_moments(x, "devices")

    moments = jax.vmap(of_device, axis_name="devices")(both, jnp.array(COUNTED))
    for device in range(2):
        np.testing.assert_allclose(moments.mean_C[device], numbers.mean(0), rtol=1e-12)
        np.testing.assert_allclose(moments.var_C[device], numbers.var(0), rtol=1e-12)
        unbiased = moments.var_C[device] * moments.bessel[device]
        np.testing.assert_allclose(unbiased, numbers.var(0, ddof=1), rtol=1e-12)


def test_moments_over_some_features_and_after_it_over_all_again(feature_map):
    x_BxC, counted = feature_map[:, 0, 0], jnp.array([False, True, True, True])
    with layers.moments_over(counted):
        some = layers.batch_moments(x_BxC, None)
        with layers.moments_over(None):
            everything = layers.batch_moments(x_BxC, None)
    np.testing.assert_allclose(some.mean_C, x_BxC[1:].mean(0), rtol=1e-12)
    assert some.bessel == 3 / 2
    again = layers.batch_moments(x_BxC, None)
    for one in (everything, again):
        np.testing.assert_allclose(one.mean_C, x_BxC.mean(0), rtol=1e-12)


def test_where_nobody_counts_all_do():
    x_BxC = jnp.asarray([[1.0, 2.0], [3.0, 6.0]])
    with layers.moments_over(jnp.zeros(2, bool)):
        moments = layers.batch_moments(x_BxC, None)
    np.testing.assert_array_equal(moments.mean_C, [2, 4])
    np.testing.assert_array_equal(moments.var_C, [1, 4])
    assert moments.bessel == 2 / 1


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x):
        return layers.BatchNorm(name="norm")(x, layers.batch_moments(x, None))


def test_what_is_recomputed_leaves_out_the_same_examples():
    """With remat a layer runs again in the backward pass, when the block has ended."""
    x, counted = jax.random.normal(jax.random.key(0), (4, 3)), jnp.array([True, True, False, True])
    variables = Normed().init(jax.random.key(1), x)

    def gradient(module):
        def loss(x, counted):
            with layers.moments_over(counted):
                y, _ = module.apply(variables, x, mutable=["batch_stats"])
            return (y**3).sum()

        return jax.jit(jax.grad(loss))(x, counted)

    found = gradient(nn.remat(Normed)())
    np.testing.assert_allclose(found, gradient(Normed()), rtol=1e-5, atol=1e-6)
    assert found[2].any()  # it is normalised all the same
