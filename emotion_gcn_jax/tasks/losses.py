"""The losses of all tasks: pure functions.

All are taken over the *global* batch: with an `axis_name` every device returns the same number, and the mean over that
axis of the devices' gradients is the gradient of the one global loss. Missing labels count for nothing; a loss without
any label is 0, and so is its gradient.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import optax
from jax import lax

CccVariance = Literal["population", "unbiased"]
CCC_VARIANCES: tuple[str, ...] = get_args(CccVariance)

MarginVariant = Literal["fallback", "easy", "plain"]
MARGIN_VARIANTS: tuple[str, ...] = get_args(MarginVariant)
_LARGEST_COSINE = 1 - 1e-6  # of which a sine is taken: at 1 the gradient of the angle is infinite


def cross_entropy(
    logits_BxC: jax.Array, label_B: jax.Array, class_weights_C: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """Weighted mean cross-entropy: sum of w[y] * ce over the sum of w[y], as torch's CrossEntropyLoss(weight=w).

    Args:
        logits_BxC: unnormalised log-probabilities.
        label_B: integer labels; -1 (none) is left out.
        class_weights_C: positive weights.
        axis_name: the mapped axis that spreads the global batch.

    Returns:
        A scalar.
    """
    known_B = label_B >= 0
    label_B = jnp.where(known_B, label_B, 0)
    weight_B = jnp.where(known_B, class_weights_C[label_B], 0.0).astype(logits_BxC.dtype)
    cross_entropy_B = optax.softmax_cross_entropy_with_integer_labels(logits_BxC, label_B)
    total = _sum_over(jnp.stack([(weight_B * cross_entropy_B).sum(), weight_B.sum()]), axis_name)
    return _ratio_or_zero(total[0], total[1])


def soft_cross_entropy(
    logits_BxC: jax.Array,
    share_BxC: jax.Array,
    class_weights_C: jax.Array,
    smoothing: float = 0.0,
    axis_name: str | None = None,
) -> jax.Array:
    """Weighted mean cross-entropy of shares of classes: sum of w[c] * s[c] * -log p[c] over the sum of w[c] * share[c].

    s is the share of a class after smoothing: (1 - smoothing) * share + smoothing / C * (sum of the example's shares).
    Of one-hot shares it is torch's CrossEntropyLoss(weight=w, label_smoothing=smoothing).

    Args:
        logits_BxC: unnormalised log-probabilities.
        share_BxC: every class's share; a row that adds up to less than 1 counts for less, one of zeros for nothing.
        class_weights_C: positive weights.
        smoothing: in 0..1.
        axis_name: the mapped axis that spreads the global batch.

    Returns:
        A scalar.
    """
    share_BxC = share_BxC.astype(logits_BxC.dtype)
    even_Bx1 = share_BxC.mean(1, keepdims=True)
    smoothed_BxC = (1 - smoothing) * share_BxC + smoothing * even_Bx1
    entropy = -(class_weights_C * smoothed_BxC * jax.nn.log_softmax(logits_BxC)).sum()
    total = _sum_over(jnp.stack([entropy, (class_weights_C * share_BxC).sum()]), axis_name)
    return _ratio_or_zero(total[0], total[1])


def arcface(
    cosine_BxC: jax.Array,
    share_BxC: jax.Array,
    class_weights_C: jax.Array,
    *,
    scale: float,
    margin: float | jax.Array,
    variant: MarginVariant = "fallback",
    smoothing: float = 0.0,
    axis_name: str | None = None,
) -> jax.Array:
    """ArcFace (Deng et al., CVPR 2019): cross-entropy of scale * cosine, the true class's angle larger by a margin.

    An example that is partly of several classes (mixup) has the mean of their losses, each with the margin at its own
    class, by the shares. With a margin of 0 it is `soft_cross_entropy` of scale * cosine.

    Args:
        cosine_BxC: of the angles between features and the classes' weights; computed on in at least float32.
        share_BxC: as for `soft_cross_entropy`, like the next.
        class_weights_C: positive weights.
        scale: positive.
        margin: in radians, from 0 to pi / 2.
        variant: see `cosine_of_larger_angle`.
        smoothing: in 0..1; a smoothed target has the margin at its own class.
        axis_name: the mapped axis that spreads the global batch.

    Returns:
        A scalar.
    """
    cosine_BxC = cosine_BxC.astype(jnp.promote_types(cosine_BxC.dtype, jnp.float32))
    share_BxC, class_weights_C = share_BxC.astype(cosine_BxC.dtype), class_weights_C.astype(cosine_BxC.dtype)
    larger_BxC = cosine_of_larger_angle(cosine_BxC, jnp.asarray(margin, cosine_BxC.dtype), variant)
    is_true_CxC = jnp.eye(cosine_BxC.shape[1], dtype=bool)  # the true class, and every class
    logits_BxCxC = scale * jnp.where(is_true_CxC, larger_BxC[:, None], cosine_BxC[:, None])
    target_CxC = (1 - smoothing) * is_true_CxC + smoothing / len(is_true_CxC)
    entropy_BxC = -(class_weights_C * target_CxC * jax.nn.log_softmax(logits_BxCxC)).sum(2)
    total = _sum_over(jnp.stack([(share_BxC * entropy_BxC).sum(), (class_weights_C * share_BxC).sum()]), axis_name)
    return _ratio_or_zero(total[0], total[1])


def cosine_of_larger_angle(cosine: jax.Array, margin: float | jax.Array, variant: MarginVariant) -> jax.Array:
    """cos(angle + margin) of cos(angle), with a finite gradient everywhere; beyond pi it would rise again.

    Args:
        cosine: in [-1, 1], of any shape.
        margin: in radians, from 0 to pi / 2.
        variant: "plain" is this everywhere. "fallback" goes on with cosine - margin * sin(margin) where angle + margin
            is beyond pi, so that it keeps falling (InsightFace's). "easy" has the margin where the cosine is positive,
            and the cosine as it is elsewhere.

    Returns:
        The same shape.
    """
    sine = jnp.sqrt(1 - jnp.clip(cosine, -_LARGEST_COSINE, _LARGEST_COSINE) ** 2)
    larger = cosine * jnp.cos(margin) - sine * jnp.sin(margin)
    if variant == "easy":
        return jnp.where(cosine > 0, larger, cosine)
    if variant == "fallback":
        return jnp.where(cosine > -jnp.cos(margin), larger, cosine - margin * jnp.sin(margin))
    return larger


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
        A scalar in [-1, 1]; 0 with no labels, with one label, and for constants whose mean is exact. The moments of
        other constants are rounding's, and so is the result.
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


def concordance_loss(
    predicted_BxD: jax.Array, true_BxD: jax.Array, variance: CccVariance = "population", axis_name: str | None = None
) -> jax.Array:
    """One minus the mean CCC of D dimensions; one with fewer than two labels in the global batch adds nothing.

    One label has no variance, so that no prediction agrees with it more than another.

    Args:
        predicted_BxD: predictions.
        true_BxD: labels; NaN (none) is left out.
        variance: as for `ccc`.
        axis_name: as for `ccc`.

    Returns:
        A scalar in [0, 2].
    """
    dimensions = predicted_BxD.shape[1]
    cccs = [ccc(true_BxD[:, i], predicted_BxD[:, i], variance, axis_name) for i in range(dimensions)]
    labelled_D = _sum_over((~jnp.isnan(true_BxD)).sum(0), axis_name) > 1
    return labelled_D.mean(dtype=predicted_BxD.dtype) - sum(cccs[1:], cccs[0]) / dimensions


def mean_squared_error(predicted_BxD: jax.Array, true_BxD: jax.Array, axis_name: str | None = None) -> jax.Array:
    """The mean over D dimensions of each one's mean squared error; arguments as for `concordance_loss`."""
    known_BxD = ~jnp.isnan(true_BxD)
    error_BxD = jnp.where(known_BxD, predicted_BxD - jnp.where(known_BxD, true_BxD, 0), 0)
    return _mean_of_columns(error_BxD**2, known_BxD, axis_name)


def binary_cross_entropy(
    logits_BxF: jax.Array, label_BxF: jax.Array, weights_2xF: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """The mean over the flags that have a label in the global batch of each one's mean binary cross-entropy.

    Args:
        logits_BxF: unnormalised log-odds.
        label_BxF: 1, 0, a probability, or -1 (none), which is left out.
        weights_2xF: how much a false and a true flag count; ones and torch's pos_weight are what torch computes.
        axis_name: the mapped axis that spreads the global batch.

    Returns:
        A scalar.
    """
    true_BxF = jnp.maximum(label_BxF, 0).astype(logits_BxF.dtype)
    entropy_BxF = -(
        weights_2xF[1] * true_BxF * jax.nn.log_sigmoid(logits_BxF)
        + weights_2xF[0] * (1 - true_BxF) * jax.nn.log_sigmoid(-logits_BxF)
    )
    return _mean_of_columns(entropy_BxF, label_BxF >= 0, axis_name)


def _mean_of_columns(values_BxK: jax.Array, known_BxK: jax.Array, axis_name: str | None) -> jax.Array:
    """The mean over the columns that have anything known of the mean of what is known in each."""
    known_BxK = known_BxK.astype(values_BxK.dtype)
    sums_2xK = _sum_over(jnp.stack([(values_BxK * known_BxK).sum(0), known_BxK.sum(0)]), axis_name)
    return _ratio_or_zero(_ratio_or_zero(*sums_2xK).sum(), (sums_2xK[1] > 0).sum())


def _sum_over(x: jax.Array, axis_name: str | None) -> jax.Array:
    return x if axis_name is None else lax.psum(x, axis_name)


def _ratio_or_zero(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """A quotient whose value *and gradient* are 0 where the denominator is 0."""
    known = denominator > 0
    return jnp.where(known, numerator / jnp.where(known, denominator, 1), 0)
