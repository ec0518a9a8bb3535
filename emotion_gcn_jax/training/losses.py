"""The losses: weighted cross-entropy of the expressions, and one minus the CCC of valence and arousal.

Both are taken over the *global* batch: with an `axis_name` every device returns the same number, and the mean over
that axis of the devices' gradients is the gradient of the one global loss. Missing labels count for nothing.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import lax

CccVariance = Literal["population", "unbiased"]


def expression_loss(
    logits_BxC: jax.Array, expression_B: jax.Array, class_weights_C: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """Weighted mean cross-entropy: sum of w[y] * ce over the sum of w[y], as torch's CrossEntropyLoss(weight=w).

    Args:
        logits_BxC: unnormalised log-probabilities.
        expression_B: integer labels; -1 (none) is left out.
        class_weights_C: positive weights.
        axis_name: the mapped axis that spreads the global batch.

    Returns:
        A scalar, 0 where no example of the global batch is labelled.
    """
    known_B = expression_B >= 0
    label_B = jnp.where(known_B, expression_B, 0)
    weight_B = jnp.where(known_B, class_weights_C[label_B], 0.0).astype(logits_BxC.dtype)
    cross_entropy_B = optax.softmax_cross_entropy_with_integer_labels(logits_BxC, label_B)
    total = _sum_over(jnp.stack([(weight_B * cross_entropy_B).sum(), weight_B.sum()]), axis_name)
    return _ratio_or_zero(total[0], total[1])


def ccc(
    true_B: jax.Array, predicted_B: jax.Array, variance: CccVariance = "population", axis_name: str | None = None
) -> jax.Array:
    """Concordance correlation coefficient, 2 cov / (var + var + (mean - mean)^2), from two-pass moments.

    Args:
        true_B: labels; NaN (none) is left out.
        predicted_B: predictions.
        variance: "population" divides all moments by N, so that a perfect batch scores 1; "unbiased" divides the
            variances, but not the covariance, by N - 1, as the official code does (a perfect batch scores (N-1)/N).
        axis_name: the mapped axis that spreads the global batch.

    Returns:
        A scalar in [-1, 1]; 0 where the denominator is 0 (no labels, one label, or constants).
    """
    mask_B = ~jnp.isnan(true_B)
    true_B = jnp.where(mask_B, true_B, 0.0).astype(predicted_B.dtype)
    values_2xB = jnp.stack([true_B, predicted_B])
    mask_B = mask_B.astype(predicted_B.dtype)
    count = _sum_over(mask_B.sum(), axis_name)
    mean_2 = _sum_over((values_2xB * mask_B).sum(1), axis_name) / jnp.maximum(count, 1)
    centred_2xB = (values_2xB - mean_2[:, None]) * mask_B
    products_3 = jnp.stack(
        [centred_2xB[0] * centred_2xB[0], centred_2xB[1] * centred_2xB[1], centred_2xB[0] * centred_2xB[1]]
    )
    var_true, var_predicted, cov = _sum_over(products_3.sum(1), axis_name) / jnp.maximum(count, 1)
    bessel = count / jnp.maximum(count - 1, 1) if variance == "unbiased" else 1.0
    return _ratio_or_zero(2 * cov, (var_true + var_predicted) * bessel + (mean_2[0] - mean_2[1]) ** 2)


def affect_loss(
    valence_B: jax.Array,
    arousal_B: jax.Array,
    affect_Bx2: jax.Array,
    variance: CccVariance = "population",
    axis_name: str | None = None,
) -> jax.Array:
    """One minus the mean of valence's and arousal's CCC; arguments as for `ccc`, affect_Bx2 the predictions."""
    valence = ccc(valence_B, affect_Bx2[:, 0], variance, axis_name)
    arousal = ccc(arousal_B, affect_Bx2[:, 1], variance, axis_name)
    return 1 - (valence + arousal) / 2


def _sum_over(x: jax.Array, axis_name: str | None) -> jax.Array:
    return x if axis_name is None else lax.psum(x, axis_name)


def _ratio_or_zero(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """A quotient whose value *and gradient* are 0 where the denominator is 0."""
    known = denominator > 0
    return jnp.where(known, numerator / jnp.where(known, denominator, 1), 0)
