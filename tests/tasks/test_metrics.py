"""Metrics against scikit-learn, scipy and numbers worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from emotion_gcn_jax.tasks.metrics import ClassMetrics, FlagMetrics, ValueMetrics


def _expressions(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    true = rng.integers(0, 7, n)
    return true, np.where(rng.random(n) < 0.6, true, rng.integers(0, 7, n))


def test_expression_metrics_equal_sklearns() -> None:
    true, predicted = _expressions(500)
    result = ClassMetrics.of(true, predicted, 7)
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
    result = ClassMetrics.of(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 4)
    assert result.accuracy == 0.75
    assert result.mean_class_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert result.macro_f1 == pytest.approx((0.8 + 1 + 0) / 3)
    np.testing.assert_array_equal(result.recall_C, [2 / 3, 1, np.nan, np.nan])
    np.testing.assert_array_equal(result.precision_C, [1, 1, 0, np.nan])
    expected = sklearn_metrics.f1_score([0, 0, 0, 1], [0, 0, 2, 1], average="macro")
    assert result.macro_f1 == pytest.approx(expected)


def test_examples_without_expression_do_not_count() -> None:
    result = ClassMetrics.of(np.array([-1, 1, -1]), np.array([0, 1, 2]), 3)
    np.testing.assert_array_equal(result.confusion_CxC, [[0, 0, 0], [0, 1, 0], [0, 0, 0]])


def test_no_expressions_at_all_is_nan() -> None:
    result = ClassMetrics.of(np.array([-1]), np.array([4]), 7)
    assert result.examples == 0
    assert math.isnan(result.accuracy) and math.isnan(result.mean_class_accuracy) and math.isnan(result.macro_f1)


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([0, 7, 7], [0, 1, 2], "true classes of 7 are 0 to 6, and 2 of 3 examples have 7"),
        ([0, -2, 1], [0, 1, 2], "true classes .* 1 of 3 examples have -2"),
        ([0, 1, 2], [0, 1, 9], "predicted classes .* have 9"),
    ],
)
def test_an_unknown_class(true: list[int], predicted: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassMetrics.of(np.array(true), np.array(predicted), 7)


def _affect(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    true = rng.uniform(-1, 1, n)
    return true, 0.7 * true + 0.1 + rng.normal(0, 0.2, n)


def test_affect_metrics_by_hand() -> None:
    # Means 2 and 3, variances 2/3 and 8/3, covariance 4/3: CCC = (8/3) / (10/3 + 1) = 8/13; a line, so PCC = 1.
    result = ValueMetrics.of(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0]))
    assert result.ccc == pytest.approx(8 / 13, rel=1e-15)
    assert result.pcc == pytest.approx(1, rel=1e-15)
    assert result.rmse == pytest.approx(math.sqrt(5 / 3), rel=1e-15)
    assert result.sagr == 1


def test_affect_metrics_equal_scipys_and_sklearns() -> None:
    true, predicted = _affect(300)
    result = ValueMetrics.of(true, predicted)
    covariance = np.cov(true, predicted, bias=True)
    ccc = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (true.mean() - predicted.mean()) ** 2)
    assert result.ccc == pytest.approx(ccc, rel=1e-12)
    assert result.pcc == pytest.approx(stats.pearsonr(true, predicted).statistic, rel=1e-12)
    assert result.rmse == pytest.approx(sklearn_metrics.root_mean_squared_error(true, predicted), rel=1e-12)


def test_sign_agreement_counts_zero_as_a_sign() -> None:
    true = np.array([-0.5, 0.5, 0.0, 0.0, -0.1])
    predicted = np.array([-0.1, -0.2, 0.0, 0.3, 0.1])
    assert ValueMetrics.of(true, predicted).sagr == 2 / 5


def test_values_without_label_do_not_count() -> None:
    with_gap = ValueMetrics.of(np.array([1.0, np.nan, 2.0, 3.0]), np.array([1.0, 9.0, 3.0, 5.0]))
    assert with_gap == ValueMetrics.of(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0]))


def test_a_prediction_that_is_not_a_number_is_not_forgiven() -> None:
    result = ValueMetrics.of(np.array([1.0, 2.0]), np.array([1.0, np.nan]))
    assert result.examples == 2 and math.isnan(result.ccc) and math.isnan(result.rmse)


def test_no_values_is_nan() -> None:
    result = ValueMetrics.of(np.array([np.nan]), np.array([0.3]))
    assert result.examples == 0
    assert all(math.isnan(value) for value in (result.ccc, result.pcc, result.rmse, result.sagr))


@pytest.mark.parametrize("n", [1, 3, 1000])
def test_constants_score_zero(n: int) -> None:
    constant = np.full(n, 0.1)  # not a binary fraction: a naive mean would leave a scatter of rounding errors
    result = ValueMetrics.of(constant, constant)
    assert result.ccc == 0 and result.pcc == 0 and result.rmse == 0 and result.sagr == 1
    assert ValueMetrics.of(np.linspace(-1, 1, n + 1), np.full(n + 1, 0.1)).ccc == 0


def test_large_offsets_do_not_cancel() -> None:
    true, predicted = _affect(300)
    near = ValueMetrics.of(true, predicted)
    far = ValueMetrics.of(true + 1e6, predicted + 1e6)
    assert far.ccc == pytest.approx(near.ccc, rel=1e-8)
    assert far.pcc == pytest.approx(near.pcc, rel=1e-8)


def test_flag_metrics_equal_sklearns() -> None:
    rng = np.random.default_rng(4)
    true, predicted = rng.integers(-1, 2, (400, 5)), rng.random((400, 5)) < 0.4
    true[:, 3] = np.minimum(true[:, 3], 0)  # never true
    result = FlagMetrics.of(true, predicted)
    known = [true[:, i] >= 0 for i in range(5)]
    pairs = [(true[known[i], i], predicted[known[i], i]) for i in range(5)]
    expected = [sklearn_metrics.f1_score(*pair, zero_division=0) for pair in pairs]
    np.testing.assert_allclose(result.f1_F, expected)
    np.testing.assert_allclose(result.accuracy_F, [sklearn_metrics.accuracy_score(*pair) for pair in pairs])
    always = [sklearn_metrics.f1_score(t, np.ones_like(t), zero_division=0) for t, _ in pairs]
    np.testing.assert_allclose(result.always_true_f1_F, always)
    assert result.f1_mean == pytest.approx(np.mean(expected))
    assert result.always_true_f1_mean == pytest.approx(np.mean(always))


def test_a_flag_that_nobody_annotated_has_no_score_and_is_left_out_of_the_means() -> None:
    # The first flag: true, taken for true, and false, taken for false; the second has no label.
    result = FlagMetrics.of(np.array([[1, -1], [0, -1]]), np.array([[True, True], [False, True]]))
    np.testing.assert_array_equal(result.f1_F, [1, np.nan])
    np.testing.assert_array_equal(result.accuracy_F, [1, np.nan])
    assert result.f1_mean == result.flag_accuracy_mean == 1


@pytest.mark.parametrize("predicted", [True, False])
def test_a_flag_that_is_never_true_scores_zero_as_in_sklearn(predicted: bool) -> None:
    result = FlagMetrics.of(np.zeros((3, 1), int), np.full((3, 1), predicted))
    assert result.f1_mean == 0  # 0 / 0 counts as 0
    assert result.flag_accuracy_mean == (0 if predicted else 1)


def test_no_flags_at_all_is_nan() -> None:
    result = FlagMetrics.of(np.full((3, 2), -1), np.ones((3, 2), bool))
    assert math.isnan(result.f1_mean) and math.isnan(result.flag_accuracy_mean)
    assert math.isnan(result.always_true_f1_mean)
