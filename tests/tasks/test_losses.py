"""The losses against NumPy and SciPy in float64, and what missing labels do to them: nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from emotion_gcn_jax.tasks import losses

RNG = np.random.default_rng(0)


def numpy_ccc(y, p, ddof):
    covariance = np.mean((y - y.mean()) * (p - p.mean()))
    return 2 * covariance / (y.var(ddof=ddof) + p.var(ddof=ddof) + (y.mean() - p.mean()) ** 2)


def test_cross_entropy_is_torchs_weighted_mean(x64):
    logits, labels, weights = RNG.normal(size=(6, 7)), np.array([0, 3, 3, 6, 1, 0]), RNG.uniform(0.1, 2, 7)
    log_probabilities = special.log_softmax(logits, axis=1)
    expected = -(weights[labels] * log_probabilities[np.arange(6), labels]).sum() / weights[labels].sum()
    np.testing.assert_allclose(
        losses.cross_entropy(jnp.array(logits), labels, jnp.array(weights)), expected, rtol=1e-12
    )


def test_smoothed_cross_entropy_is_torchs(x64):
    """torch's formula: (1 - s) * nll + s / C * (sum over all classes of w * -log p), over the sum of w[y]."""
    logits, labels, weights = RNG.normal(size=(6, 7)), np.array([0, 3, 3, 6, 1, 0]), RNG.uniform(0.1, 2, 7)
    surprise = -weights * special.log_softmax(logits, axis=1)
    expected = 0.9 * surprise[np.arange(6), labels].sum() + 0.1 / 7 * surprise.sum()
    found = losses.soft_cross_entropy(jnp.array(logits), jnp.eye(7)[labels], jnp.array(weights), 0.1)
    np.testing.assert_allclose(found, expected / weights[labels].sum(), rtol=1e-12)


def test_soft_cross_entropy_is_optaxs_mean(x64):
    logits, shares = RNG.normal(size=(6, 7)), RNG.dirichlet(np.ones(7), 6)
    expected = optax.softmax_cross_entropy(jnp.array(logits), jnp.array(shares)).mean()
    found = losses.soft_cross_entropy(jnp.array(logits), jnp.array(shares), jnp.ones(7))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_soft_cross_entropy_of_whole_classes_is_cross_entropy(x64):
    logits, labels, weights = jnp.array(RNG.normal(size=(5, 3))), jnp.array([0, 2, -1, 1, 1]), jnp.array([0.5, 1, 3])
    shares = jax.nn.one_hot(labels, 3)  # of -1, zeros
    expected, gradient = jax.value_and_grad(losses.cross_entropy)(logits, labels, weights)
    found, soft_gradient = jax.value_and_grad(losses.soft_cross_entropy)(logits, shares, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(soft_gradient, gradient, rtol=1e-12, atol=1e-15)


def test_an_example_without_a_class_counts_for_nothing():
    logits, labels = jnp.array(RNG.normal(size=(4, 7))), jnp.array([2, -1, 5, -1])
    weights = jnp.ones(7)
    alone = losses.cross_entropy(logits[jnp.array([0, 2])], labels[jnp.array([0, 2])], weights)
    np.testing.assert_allclose(losses.cross_entropy(logits, labels, weights), alone, rtol=1e-6)
    gradient = jax.grad(losses.cross_entropy)(logits, labels, weights)
    assert not gradient[1].any()
    assert gradient[0].any()


@pytest.mark.parametrize(("variance", "ddof"), [("population", 0), ("unbiased", 1)])
def test_ccc_equals_its_formula_and_skips_missing_labels(x64, variance, ddof):
    y, p = RNG.normal(size=20), RNG.normal(size=20)
    np.testing.assert_allclose(losses.ccc(jnp.array(y), jnp.array(p), variance), numpy_ccc(y, p, ddof), rtol=1e-12)
    y[[3, 7]] = np.nan
    known = ~np.isnan(y)
    expected = numpy_ccc(y[known], p[known], ddof)
    np.testing.assert_allclose(losses.ccc(jnp.array(y), jnp.array(p), variance), expected, rtol=1e-12)
    gradient = jax.grad(losses.ccc, argnums=1)(jnp.array(y), jnp.array(p), variance)
    assert np.isfinite(gradient).all()
    assert not gradient[~known].any()


def test_a_perfect_batch_scores_one_and_officially_a_little_less():
    y = jnp.array([0.1, 0.5, -0.3, 0.7])
    np.testing.assert_allclose(losses.ccc(y, y), 1.0, rtol=1e-6)
    np.testing.assert_allclose(losses.ccc(y, y, "unbiased"), 3 / 4, rtol=1e-6)


@pytest.mark.parametrize("y", [[0.5], [0.5, 0.5], [np.nan, np.nan], [0.3, np.nan]])
@pytest.mark.parametrize("variance", ["population", "unbiased"])
def test_degenerate_batches_score_zero_without_nan(y, variance):
    y = jnp.array(y)
    p = jnp.where(jnp.isnan(y), 0.2, y)
    value, gradient = jax.value_and_grad(losses.ccc, argnums=1)(y, p, variance)
    assert value == 0
    assert np.isfinite(gradient).all()


def test_ccc_survives_a_large_offset_in_float32():
    y = RNG.normal(size=64).astype(np.float32) * 1e-2 + 100
    p = y + RNG.normal(size=64).astype(np.float32) * 1e-2
    expected = numpy_ccc(y.astype(np.float64), p.astype(np.float64), 0)
    np.testing.assert_allclose(losses.ccc(jnp.array(y), jnp.array(p)), expected, rtol=2e-3)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_concordance_loss_averages_the_dimensions(x64, dimensions):
    y, p = RNG.normal(size=(2, 9, dimensions))
    expected = 1 - sum(numpy_ccc(y[:, i], p[:, i], 0) for i in range(dimensions)) / dimensions
    np.testing.assert_allclose(losses.concordance_loss(jnp.array(p), jnp.array(y)), expected, rtol=1e-12)


def test_a_dimension_without_labels_adds_nothing_to_the_concordance_loss(x64):
    y, p = RNG.normal(size=(2, 9, 2))
    y[:, 1] = np.nan
    loss, gradient = jax.value_and_grad(losses.concordance_loss)(jnp.array(p), jnp.array(y))
    np.testing.assert_allclose(loss, (1 - numpy_ccc(y[:, 0], p[:, 0], 0)) / 2, rtol=1e-12)  # half of the loss is left
    assert not gradient[:, 1].any() and gradient[:, 0].all()


def test_the_squared_error_is_that_of_what_is_known(x64):
    y, p = jnp.array([[1.0, np.nan], [np.nan, np.nan], [0.0, 2.0]]), jnp.array([[0.0, 7.0], [7.0, 7.0], [2.0, -1.0]])
    # The first dimension: (1 + 4) / 2; the second: 9 / 1.
    loss, gradient = jax.value_and_grad(losses.mean_squared_error)(p, y)
    np.testing.assert_allclose(loss, (2.5 + 9) / 2, rtol=1e-12)
    # d/dp of (p - y)^2 / (labels of the dimension) / 2 dimensions.
    np.testing.assert_allclose(gradient, [[-1 / 2, 0], [0, 0], [2 / 2, -3]], rtol=1e-12)


def test_binary_cross_entropy_is_numpys_formula(x64):
    logits, weights = RNG.normal(size=(8, 3)) * 3, np.array([1.0, 4.0, 0.5])
    labels = RNG.integers(-1, 2, (8, 3))
    p = special.expit(logits)
    entropy = -(weights * (labels == 1) * np.log(p) + (labels == 0) * np.log(1 - p))
    expected = np.mean(entropy.sum(0) / (labels >= 0).sum(0))  # every flag by itself, then their mean
    found = losses.binary_cross_entropy(jnp.array(logits), jnp.array(labels, jnp.int8), jnp.array(weights))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_binary_cross_entropy_of_probabilities_is_torchs(x64):
    # torch's pos_weight: -(w * y * log p + (1 - y) * log (1 - p)).
    logits, labels, weights = RNG.normal(size=(8, 3)), RNG.uniform(0, 1, (8, 3)), np.array([1.0, 4.0, 0.5])
    p = special.expit(logits)
    expected = -(weights * labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean()
    found = losses.binary_cross_entropy(jnp.array(logits), jnp.array(labels), jnp.array(weights))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_flag_without_labels_is_left_out_of_the_mean(x64):
    logits, labels = jnp.array(RNG.normal(size=(8, 3))), jnp.array(RNG.integers(0, 2, (8, 3))).at[:, 1].set(-1)
    two = jnp.array([0, 2])
    loss, gradient = jax.value_and_grad(losses.binary_cross_entropy)(logits, labels, jnp.ones(3))
    alone = losses.binary_cross_entropy(logits[:, two], labels[:, two], jnp.ones(2))
    np.testing.assert_allclose(loss, alone, rtol=1e-12)
    assert not gradient[:, 1].any() and gradient[:, two].all()


def test_binary_cross_entropy_survives_sure_answers_in_float32():
    # log(1 + e^100) is 100 to all digits of a float32, and a right answer costs nothing.
    logits, labels = jnp.array([[100.0], [100.0]]), jnp.array([[0], [1]])
    loss, gradient = jax.value_and_grad(losses.binary_cross_entropy)(logits, labels, jnp.ones(1))
    assert loss == 50
    np.testing.assert_allclose(gradient, [[1 / 2], [0]], atol=1e-6)


# Every loss as a function of outputs [B, 3] and labels, labels for a batch of 8, and the mark of a missing one.
WEIGHTS = jnp.array([0.5, 1.0, 3.0])
CASES = {
    "cross_entropy": (
        lambda x, y, axis=None: losses.cross_entropy(x, y, WEIGHTS, axis),
        np.array([0, 2, -1, 1, 1, 0, -1, -1]),
        -1,
    ),
    "soft cross-entropy": (
        lambda x, y, axis=None: losses.soft_cross_entropy(x, y, WEIGHTS, 0.1, axis),
        RNG.dirichlet(np.ones(3), 8) * (RNG.random((8, 1)) < 0.7),
        0.0,
    ),
    "ccc": (
        lambda x, y, axis=None: losses.concordance_loss(x, y, "population", axis),
        np.where(RNG.random((8, 3)) < 0.3, np.nan, RNG.normal(size=(8, 3))),
        np.nan,
    ),
    "unbiased ccc": (
        lambda x, y, axis=None: losses.concordance_loss(x, y, "unbiased", axis),
        np.where(RNG.random((8, 3)) < 0.3, np.nan, RNG.normal(size=(8, 3))),
        np.nan,
    ),
    "squared error": (
        losses.mean_squared_error,
        np.where(RNG.random((8, 3)) < 0.3, np.nan, RNG.normal(size=(8, 3))),
        np.nan,
    ),
    "binary cross-entropy": (
        lambda x, y, axis=None: losses.binary_cross_entropy(x, y, WEIGHTS, axis),
        RNG.integers(-1, 2, (8, 3)),
        -1,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_batch_without_any_label_has_loss_and_gradient_exactly_zero(case):
    loss_of, labels, missing = CASES[case]
    loss, gradient = jax.jit(jax.value_and_grad(loss_of))(jnp.ones((8, 3)), jnp.full(labels.shape, missing))
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize("case", CASES)
def test_the_loss_of_a_spread_batch_is_that_of_the_whole(case, devices, x64):
    """On every device, with missing labels unevenly spread; the mean of the devices' gradients is the gradient."""
    loss_of, labels, _ = CASES[case]
    outputs, labels = jnp.array(RNG.normal(size=(8, 3))), jnp.array(labels)
    expected, gradient = jax.jit(jax.value_and_grad(loss_of))(outputs, labels)
    spread = [array.reshape(devices, -1, *array.shape[1:]) for array in (outputs, labels)]
    mapped = jax.vmap(lambda x, y: jax.value_and_grad(loss_of)(x, y, "batch"), axis_name="batch")
    losses_D, gradients = jax.jit(mapped)(*spread)
    np.testing.assert_allclose(losses_D, np.full(devices, expected), rtol=1e-12)
    np.testing.assert_allclose(gradients.reshape(8, 3) / devices, gradient, rtol=1e-10, atol=1e-14)
