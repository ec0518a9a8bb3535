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


def test_ccc_by_hand():
    """Aff-Wild2 spec, section 14: labels 0 and 1, predictions 0 and 1/2."""
    np.testing.assert_allclose(losses.ccc(jnp.array([0.0, 1.0]), jnp.array([0.0, 0.5])), 2 / 3, rtol=1e-6)


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


@pytest.mark.parametrize("labels", [0, 1])
def test_a_dimension_without_two_labels_adds_nothing_to_the_concordance_loss(x64, labels):
    y, p = RNG.normal(size=(2, 9, 2))
    y[labels:, 1] = np.nan
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
    logits, weights = RNG.normal(size=(8, 3)) * 3, np.array([[0.5, 2.0, 1.0], [1.0, 4.0, 0.5]])
    labels = RNG.integers(-1, 2, (8, 3))
    p = special.expit(logits)
    entropy = -(weights[1] * (labels == 1) * np.log(p) + weights[0] * (labels == 0) * np.log(1 - p))
    expected = np.mean(entropy.sum(0) / (labels >= 0).sum(0))  # every flag by itself, then their mean
    found = losses.binary_cross_entropy(jnp.array(logits), jnp.array(labels, jnp.int8), jnp.array(weights))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_binary_cross_entropy_of_probabilities_is_torchs(x64):
    # torch's pos_weight: -(w * y * log p + (1 - y) * log (1 - p)).
    logits, labels, weights = RNG.normal(size=(8, 3)), RNG.uniform(0, 1, (8, 3)), np.array([1.0, 4.0, 0.5])
    p = special.expit(logits)
    expected = -(weights * labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean()
    found = losses.binary_cross_entropy(jnp.array(logits), jnp.array(labels), jnp.array([np.ones(3), weights]))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_flag_without_labels_is_left_out_of_the_mean(x64):
    logits, labels = jnp.array(RNG.normal(size=(8, 3))), jnp.array(RNG.integers(0, 2, (8, 3))).at[:, 1].set(-1)
    two = jnp.array([0, 2])
    loss, gradient = jax.value_and_grad(losses.binary_cross_entropy)(logits, labels, jnp.ones((2, 3)))
    alone = losses.binary_cross_entropy(logits[:, two], labels[:, two], jnp.ones((2, 2)))
    np.testing.assert_allclose(loss, alone, rtol=1e-12)
    assert not gradient[:, 1].any() and gradient[:, two].all()


def test_binary_cross_entropy_survives_sure_answers_in_float32():
    # log(1 + e^100) is 100 to all digits of a float32, and a right answer costs nothing.
    logits, labels = jnp.array([[100.0], [100.0]]), jnp.array([[0], [1]])
    loss, gradient = jax.value_and_grad(losses.binary_cross_entropy)(logits, labels, jnp.ones((2, 1)))
    assert loss == 50
    np.testing.assert_allclose(gradient, [[1 / 2], [0]], atol=1e-6)


# Features (3, 4) and weights (1, 0), (0, 2), (-1, 0): Aff-Wild2 spec, section 14.
COSINES = jnp.array([[0.6, 0.8, -0.6]])


def arcface(cosines, labels, scale, margin, variant="fallback", **options):
    shares = jax.nn.one_hot(jnp.asarray(labels), cosines.shape[1])
    weights = options.pop("weights", jnp.ones(cosines.shape[1]))
    return losses.arcface(cosines, shares, weights, scale=scale, margin=margin, variant=variant, **options)


@pytest.mark.parametrize("variant", losses.MARGIN_VARIANTS)
@pytest.mark.parametrize(
    ("scale", "margin", "larger", "expected"),
    [
        (1, 0.0, 0.6, (0.925289, 0.725289, 2.125289)),
        (10, 0.3, 0.336786, (4.641830, 0.760490, 16.223109)),
        (30, 0.5, 0.143009, (19.709727, 5.571490, 51.305175)),
        (64, 0.5, 0.143009, (42.047417, 11.877720, 109.445761)),
    ],
)
def test_arcface_by_hand(x64, scale, margin, larger, expected, variant):
    cosine = losses.cosine_of_larger_angle(COSINES[0, 0], margin, variant)
    np.testing.assert_allclose(cosine, larger, atol=1e-6 / 2)
    classes = [0, 1] if variant == "easy" and margin else [0, 1, 2]  # which leaves negative cosines without a margin
    found = [arcface(COSINES, [label], scale, margin, variant) for label in classes]
    np.testing.assert_allclose(found, expected[: len(classes)], atol=2e-6)  # twice the last digit, that of 109.445761


@pytest.mark.parametrize(
    ("variant", "margin", "cosine", "expected"),
    [
        ("fallback", 0.5, -0.95, -1.189713),  # below cos(pi - 0.5) = -0.877583: -0.95 - 0.5 sin 0.5
        ("fallback", 0.5, -0.87, np.cos(np.arccos(-0.87) + 0.5)),  # above it
        ("plain", 0.5, -0.95, -0.983404),  # cos(arccos -0.95 + 0.5)
        ("easy", 0.5, -0.6, -0.6),
        ("easy", 0.5, 0.6, np.cos(np.arccos(0.6) + 0.5)),
        ("fallback", 0.3, -1.0, -1 - 0.3 * np.sin(0.3)),
    ],
)
def test_cosines_of_larger_angles(x64, variant, margin, cosine, expected):
    np.testing.assert_allclose(losses.cosine_of_larger_angle(jnp.array(cosine), margin, variant), expected, atol=1e-6)


def test_arcface_starts_where_seven_classes_are_alike(x64):
    # All cosines 0: log(6 + e^(10 cos(pi/2 + 0.3))) + 10 sin 0.3.
    np.testing.assert_allclose(arcface(jnp.zeros((1, 7)), [0], 10, 0.3), 4.7556, atol=1e-4 / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_arcface_without_margin_is_soft_cross_entropy(x64, smoothing):
    cosines, shares = jnp.array(RNG.uniform(-1, 1, (6, 4))), jnp.array(RNG.dirichlet(np.ones(4), 6) * 0.8)
    weights = jnp.array([0.5, 1.0, 2.0, 4.0])
    expected = losses.soft_cross_entropy(10 * cosines, shares, weights, smoothing)
    found = losses.arcface(cosines, shares, weights, scale=10, margin=0.0, smoothing=smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_mixed_and_smoothed_examples_have_margins_at_their_own_classes(x64):
    """0.75 of the loss of class 0 and 0.25 of that of class 1; smoothed, a class has 0.2 / 3 of every surprise."""
    weights = jnp.array([0.5, 1.0, 2.0])
    surprises = []  # by the true class, those of all classes
    for label in range(3):
        logits = 10 * np.asarray(COSINES[0], np.float64)
        logits[label] = 10 * np.cos(np.arccos(logits[label] / 10) + 0.3)
        surprises.append(-np.asarray(weights) * special.log_softmax(logits))
    of_class = [0.8 * surprises[label][label] + 0.2 / 3 * surprises[label].sum() for label in range(3)]
    found = losses.arcface(
        COSINES, jnp.array([[0.75, 0.25, 0]]), weights, scale=10, margin=0.3, variant="plain", smoothing=0.2
    )
    expected = (0.75 * of_class[0] + 0.25 * of_class[1]) / (0.75 * 0.5 + 0.25 * 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # COSINES has the digits of a float32


@pytest.mark.parametrize("variant", losses.MARGIN_VARIANTS)
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_arcface_is_finite_where_features_lie_on_a_weight(variant, label, dtype):
    cosines = jnp.array([[1.0, -1.0]], dtype)
    loss, gradient = jax.value_and_grad(arcface)(cosines, [label], 64, 0.5, variant)
    assert loss.dtype == jnp.float32 and np.isfinite(loss)
    assert np.isfinite(gradient).all()


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
    "arcface": (
        lambda x, y, axis=None: arcface(jnp.tanh(x), y, 10, 0.3, weights=WEIGHTS, smoothing=0.1, axis_name=axis),
        np.array([0, 2, -1, 1, 1, 0, -1, -1]),
        -1,
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
