"""Metrics against scikit-learn, scipy and numbers worked out by hand; merging against the whole."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.metrics import AffectMetrics, ExpressionMetrics


def _expressions(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    true = rng.integers(0, 7, n)
    return true, np.where(rng.random(n) < 0.6, true, rng.integers(0, 7, n))


def test_expression_metrics_equal_sklearns() -> None:
    true, predicted = _expressions(500)
    result = ExpressionMetrics.from_labels(true, predicted, 7)
    np.testing.assert_array_equal(result.confusion_CxC, sklearn_metrics.confusion_matrix(true, predicted))
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(true, predicted)
    np.testing.assert_allclose(result.precision_C, precision)
    np.testing.assert_allclose(result.recall_C, recall)
    np.testing.assert_allclose(result.f1_C, f1)
    np.testing.assert_array_equal(result.support_C, support)
    assert result.accuracy == pytest.approx(sklearn_metrics.accuracy_score(true, predicted))
    assert result.mean_class_accuracy == pytest.approx(sklearn_metrics.balanced_accuracy_score(true, predicted))
    assert result.macro_f1 == pytest.approx(sklearn_metrics.f1_score(true, predicted, average="macro"))
    assert result.examples == 500


def test_classes_that_do_not_occur_by_hand() -> None:
    # Classes 0, 1 occur; 2 is only predicted; 3 neither. F1: 0: 2*2/(3+2), 1: 2*1/(1+1), 2: 0, 3 undefined.
    result = ExpressionMetrics.from_labels(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 4)
    assert result.accuracy == 0.75
    assert result.mean_class_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert result.macro_f1 == pytest.approx((0.8 + 1 + 0) / 3)
    np.testing.assert_array_equal(result.recall_C, [2 / 3, 1, np.nan, np.nan])
    np.testing.assert_array_equal(result.precision_C, [1, 1, 0, np.nan])
    expected = sklearn_metrics.f1_score([0, 0, 0, 1], [0, 0, 2, 1], average="macro")
    assert result.macro_f1 == pytest.approx(expected)


def test_examples_without_expression_do_not_count() -> None:
    result = ExpressionMetrics.from_labels(np.array([-1, 1, -1]), np.array([0, 1, 2]), 3)
    np.testing.assert_array_equal(result.confusion_CxC, [[0, 0, 0], [0, 1, 0], [0, 0, 0]])


def test_no_expressions_at_all_is_nan() -> None:
    result = ExpressionMetrics.from_labels(np.array([-1]), np.array([4]), 7)
    assert result.examples == 0
    assert math.isnan(result.accuracy) and math.isnan(result.mean_class_accuracy) and math.isnan(result.macro_f1)


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([0, 7, 7], [0, 1, 2], "true expressions of a 7-class task are 0 to 6, but 2 of 3 examples have 7"),
        ([0, -2, 1], [0, 1, 2], "true expressions .* 1 of 3 examples have -2"),
        ([0, 1, 2], [0, 1, 9], "predicted expressions .* have 9"),
    ],
)
def test_unknown_expression(true: list[int], predicted: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ExpressionMetrics.from_labels(np.array(true), np.array(predicted), 7)


def _affect(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    true = rng.uniform(-1, 1, n)
    return true, 0.7 * true + 0.1 + rng.normal(0, 0.2, n)


def test_affect_metrics_by_hand() -> None:
    # Means 2 and 3, variances 2/3 and 8/3, covariance 4/3: CCC = (8/3) / (10/3 + 1) = 8/13; a line, so PCC = 1.
    result = AffectMetrics.from_values(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0]))
    assert result.ccc == pytest.approx(8 / 13, rel=1e-15)
    assert result.pcc == pytest.approx(1, rel=1e-15)
    assert result.rmse == pytest.approx(math.sqrt(5 / 3), rel=1e-15)
    assert result.sagr == 1


def test_affect_metrics_equal_scipys_and_sklearns() -> None:
    true, predicted = _affect(300)
    result = AffectMetrics.from_values(true, predicted)
    covariance = np.cov(true, predicted, bias=True)
    ccc = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (true.mean() - predicted.mean()) ** 2)
    assert result.ccc == pytest.approx(ccc, rel=1e-12)
    assert result.pcc == pytest.approx(stats.pearsonr(true, predicted).statistic, rel=1e-12)
    assert result.rmse == pytest.approx(sklearn_metrics.root_mean_squared_error(true, predicted), rel=1e-12)


def test_sign_agreement_counts_zero_as_a_sign() -> None:
    true = np.array([-0.5, 0.5, 0.0, 0.0, -0.1])
    predicted = np.array([-0.1, -0.2, 0.0, 0.3, 0.1])
    assert AffectMetrics.from_values(true, predicted).sagr == 2 / 5


def test_values_without_label_do_not_count() -> None:
    with_gap = AffectMetrics.from_values(np.array([1.0, np.nan, 2.0, 3.0]), np.array([1.0, 9.0, 3.0, 5.0]))
    assert with_gap == AffectMetrics.from_values(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0]))


def test_a_prediction_that_is_not_a_number_is_not_forgiven() -> None:
    result = AffectMetrics.from_values(np.array([1.0, 2.0]), np.array([1.0, np.nan]))
    assert result.examples == 2 and math.isnan(result.ccc) and math.isnan(result.rmse)


def test_no_values_is_nan() -> None:
    result = AffectMetrics.from_values(np.array([np.nan]), np.array([0.3]))
    assert result.examples == 0
    assert all(math.isnan(value) for value in (result.ccc, result.pcc, result.rmse, result.sagr))


@pytest.mark.parametrize("n", [1, 3, 1000])
def test_constants_score_zero_even_in_parts(n: int) -> None:
    constant = np.full(n, 0.1)  # not a binary fraction: a naive mean would leave a scatter of rounding errors
    part = AffectMetrics.from_values(constant, constant)
    for result in (part, part.merge(part).merge(part)):
        assert result.ccc == 0 and result.pcc == 0 and result.rmse == 0 and result.sagr == 1
    assert AffectMetrics.from_values(np.linspace(-1, 1, n + 1), np.full(n + 1, 0.1)).ccc == 0


@pytest.mark.parametrize("seed", range(5))
def test_merging_any_partition_equals_the_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true_expression, predicted_expression = _expressions(257)
    true, predicted = _affect(257)
    true_expression[rng.random(257) < 0.2] = -1
    true[rng.random(257) < 0.2] = np.nan
    cuts = np.sort(rng.integers(0, 258, rng.integers(1, 40)))  # with empty parts
    parts = np.split(rng.permutation(257), cuts)
    expressions = ExpressionMetrics.from_labels(true_expression[:0], predicted_expression[:0], 7)
    affect = AffectMetrics.from_values(true[:0], predicted[:0])
    for part in parts:
        expressions = expressions.merge(
            ExpressionMetrics.from_labels(true_expression[part], predicted_expression[part], 7)
        )
        affect = affect.merge(AffectMetrics.from_values(true[part], predicted[part]))
    whole = ExpressionMetrics.from_labels(true_expression, predicted_expression, 7)
    np.testing.assert_array_equal(expressions.confusion_CxC, whole.confusion_CxC)
    whole_affect = AffectMetrics.from_values(true, predicted)
    for name in ("examples", "ccc", "pcc", "rmse", "sagr", "mean_true", "scatter_predicted"):
        assert getattr(affect, name) == pytest.approx(getattr(whole_affect, name), rel=1e-12)


def test_large_offsets_do_not_cancel() -> None:
    true, predicted = _affect(300)
    near = AffectMetrics.from_values(true, predicted)
    far_parts = [AffectMetrics.from_values(true[i::3] + 1e6, predicted[i::3] + 1e6) for i in range(3)]
    far = far_parts[0].merge(far_parts[1]).merge(far_parts[2])
    assert far.ccc == pytest.approx(near.ccc, rel=1e-8)
    assert far.pcc == pytest.approx(near.pcc, rel=1e-8)
