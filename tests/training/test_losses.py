import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from emotion_gcn_jax.training import losses

RNG = np.random.default_rng(0)


def numpy_ccc(y, p, ddof):
    covariance = np.mean((y - y.mean()) * (p - p.mean()))
    return 2 * covariance / (y.var(ddof=ddof) + p.var(ddof=ddof) + (y.mean() - p.mean()) ** 2)


def test_cross_entropy_is_torchs_weighted_mean(x64):
    logits, labels, weights = RNG.normal(size=(6, 7)), np.array([0, 3, 3, 6, 1, 0]), RNG.uniform(0.1, 2, 7)
    log_probabilities = special.log_softmax(logits, axis=1)
    expected = -(weights[labels] * log_probabilities[np.arange(6), labels]).sum() / weights[labels].sum()
    np.testing.assert_allclose(
        losses.expression_loss(jnp.array(logits), labels, jnp.array(weights)), expected, rtol=1e-12
    )


def test_an_example_without_expression_counts_for_nothing():
    logits, labels = jnp.array(RNG.normal(size=(4, 7))), jnp.array([2, -1, 5, -1])
    weights = jnp.ones(7)
    alone = losses.expression_loss(logits[jnp.array([0, 2])], labels[jnp.array([0, 2])], weights)
    np.testing.assert_allclose(losses.expression_loss(logits, labels, weights), alone, rtol=1e-6)
    gradient = jax.grad(losses.expression_loss)(logits, labels, weights)
    assert not gradient[1].any()
    assert gradient[0].any()


def test_a_batch_without_any_label_has_loss_and_gradient_zero():
    loss, gradient = jax.value_and_grad(losses.expression_loss)(jnp.ones((3, 7)), jnp.full(3, -1), jnp.ones(7))
    assert loss == 0
    assert not gradient.any()


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


def test_affect_loss_averages_both_dimensions(x64):
    v, a, p = RNG.normal(size=9), RNG.normal(size=9), RNG.normal(size=(9, 2))
    expected = 1 - (numpy_ccc(v, p[:, 0], 0) + numpy_ccc(a, p[:, 1], 0)) / 2
    np.testing.assert_allclose(losses.affect_loss(jnp.array(v), jnp.array(a), jnp.array(p)), expected, rtol=1e-12)
