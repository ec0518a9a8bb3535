"""Exact metrics over a whole split, in float64.

They are sums over all its examples, never averages of batches. A metric that is undefined because no example has the
label is NaN. All moments are population moments (divided by N).
"""

import dataclasses
import math

import numpy as np

from emotion_gcn_jax.labels import NO_CLASS

_BINS = 15  # Guo et al., section 5


@dataclasses.dataclass(frozen=True, eq=False)
class ClassMetrics:
    """Counts of how examples of every class were classified.

    Attributes:
        confusion_CxC: int64; [i, j] counts the examples of class i that were taken for class j.
    """

    confusion_CxC: np.ndarray

    @classmethod
    def of(cls, true_N: np.ndarray, predicted_N: np.ndarray, num_classes: int) -> "ClassMetrics":
        """Counts predictions; examples whose true label is -1 are left out.

        Args:
            true_N: class ids in 0..C-1, or -1 for none.
            predicted_N: class ids in 0..C-1.
            num_classes: C.

        Raises:
            ValueError: an id is neither -1 nor one of the classes.
        """
        true_N, predicted_N = np.asarray(true_N, np.int64), np.asarray(predicted_N, np.int64)
        known_N = true_N != NO_CLASS
        true_N, predicted_N = true_N[known_N], predicted_N[known_N]
        for what, ids in (("true", true_N), ("predicted", predicted_N)):
            unknown = ids[(ids < 0) | (ids >= num_classes)]
            if unknown.size:
                found = ", ".join(str(i) for i in np.unique(unknown)[:10])
                raise ValueError(
                    f"The {what} classes of {num_classes} are 0 to {num_classes - 1}, and {unknown.size} of {ids.size} "
                    f"examples have {found}."
                )
        counts = np.bincount(true_N * num_classes + predicted_N, minlength=num_classes**2)
        return cls(counts.reshape(num_classes, num_classes))

    @property
    def examples(self) -> int:
        """The number of examples that have a label."""
        return int(self.confusion_CxC.sum())

    @property
    def support_C(self) -> np.ndarray:
        """The number of examples of every class, int64."""
        return self.confusion_CxC.sum(axis=1)

    @property
    def recall_C(self) -> np.ndarray:
        """The share of every class's examples that were recognised; NaN for a class without examples."""
        return _ratio(np.diag(self.confusion_CxC), self.support_C)

    @property
    def precision_C(self) -> np.ndarray:
        """The share of right ones among the examples taken for a class; NaN for a class never predicted."""
        return _ratio(np.diag(self.confusion_CxC), self.confusion_CxC.sum(axis=0))

    @property
    def f1_C(self) -> np.ndarray:
        """The F1 score of every class; NaN for a class that neither occurs nor is predicted."""
        return _ratio(2 * np.diag(self.confusion_CxC), self.support_C + self.confusion_CxC.sum(axis=0))

    @property
    def accuracy(self) -> float:
        """The share of examples that were recognised."""
        return int(np.trace(self.confusion_CxC)) / self.examples if self.examples else math.nan

    @property
    def mean_class_accuracy(self) -> float:
        """The mean recall over the classes that occur (balanced accuracy)."""
        return _mean_of_defined(self.recall_C)

    @property
    def macro_f1(self) -> float:
        """The mean F1 over the classes that occur or are predicted, as scikit-learn's default has it.

        A class that occurs but is never predicted, or is predicted but never occurs, scores 0. One that does neither
        has no score and does not pull the mean down.
        """
        return _mean_of_defined(self.f1_C)


def calibration_error(true_N: np.ndarray, probabilities_NxC: np.ndarray) -> float:
    """How far from being right the most probable classes' probabilities are, on average.

    The expected calibration error of Guo et al. (ICML 2017, arXiv 1706.04599, equation 3) with 15 bins of equal width.

    Args:
        true_N: class ids in 0..C-1, or -1 for none, which are left out.
        probabilities_NxC: each row sums to 1.

    Returns:
        In 0..1; NaN without examples.
    """
    known_N = np.asarray(true_N) != NO_CLASS
    true_N, probabilities_NxC = np.asarray(true_N)[known_N], np.asarray(probabilities_NxC, np.float64)[known_N]
    if not len(true_N):
        return math.nan
    confidence_N = probabilities_NxC.max(1)
    is_right_N = probabilities_NxC.argmax(1) == true_N
    bin_N = np.clip(np.ceil(confidence_N * _BINS) - 1, 0, _BINS - 1).astype(int)
    return float(np.abs(np.bincount(bin_N, is_right_N - confidence_N, _BINS)).sum() / len(true_N))


@dataclasses.dataclass(frozen=True)
class ValueMetrics:
    """Moments of one dimension, true against predicted.

    Attributes:
        examples: N, the number of examples that have the label.
        mean_true: mean of the labels.
        mean_predicted: mean of the predictions.
        scatter_true: sum of the labels' squared deviations from their mean.
        scatter_predicted: the same of the predictions.
        co_scatter: sum of the products of both deviations.
        squared_error: sum of the squared differences.
        same_signs: the number of examples whose label and prediction are both negative, both 0 or both positive.
    """

    examples: int
    mean_true: float
    mean_predicted: float
    scatter_true: float
    scatter_predicted: float
    co_scatter: float
    squared_error: float
    same_signs: int

    @classmethod
    def of(cls, true_N: np.ndarray, predicted_N: np.ndarray) -> "ValueMetrics":
        """Takes the moments in two passes; examples whose label is NaN are left out."""
        true_N, predicted_N = np.asarray(true_N, np.float64), np.asarray(predicted_N, np.float64)
        known_N = ~np.isnan(true_N)
        true_N, predicted_N = true_N[known_N], predicted_N[known_N]
        if not true_N.size:
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
        # Taken from the first value, the mean of a constant is exact and its scatter exactly 0.
        mean_true = true_N[0] + np.mean(true_N - true_N[0])
        mean_predicted = predicted_N[0] + np.mean(predicted_N - predicted_N[0])
        true_deviation_N, predicted_deviation_N = true_N - mean_true, predicted_N - mean_predicted
        return cls(
            examples=true_N.size,
            mean_true=float(mean_true),
            mean_predicted=float(mean_predicted),
            scatter_true=float(np.sum(true_deviation_N**2)),
            scatter_predicted=float(np.sum(predicted_deviation_N**2)),
            co_scatter=float(np.sum(true_deviation_N * predicted_deviation_N)),
            squared_error=float(np.sum((true_N - predicted_N) ** 2)),
            same_signs=int(np.sum(np.sign(true_N) == np.sign(predicted_N))),
        )

    @property
    def ccc(self) -> float:
        """Concordance correlation coefficient, 2 cov / (var + var + (mean - mean)^2); 0 where the denominator is 0."""
        if not self.examples:
            return math.nan
        bias = self.examples * (self.mean_true - self.mean_predicted) ** 2
        return _ratio_or_zero(2 * self.co_scatter, self.scatter_true + self.scatter_predicted + bias)

    @property
    def pcc(self) -> float:
        """Pearson's correlation coefficient; 0 where the labels or the predictions are constant, as for the CCC."""
        if not self.examples:
            return math.nan
        return _ratio_or_zero(self.co_scatter, math.sqrt(self.scatter_true) * math.sqrt(self.scatter_predicted))

    @property
    def rmse(self) -> float:
        """Root of the mean squared difference."""
        return math.sqrt(self.squared_error / self.examples) if self.examples else math.nan

    @property
    def sagr(self) -> float:
        """Sign agreement: the share of examples whose label and prediction have the same sign, 0 being its own."""
        return self.same_signs / self.examples if self.examples else math.nan


@dataclasses.dataclass(frozen=True, eq=False)
class FlagMetrics:
    """Counts of F flags, each over the examples in which it is annotated.

    Attributes:
        examples_F: annotated examples.
        true_F: those in which the flag is true.
        predicted_F: those in which it is predicted to be.
        hits_F: those in which both are so.
    """

    examples_F: np.ndarray
    true_F: np.ndarray
    predicted_F: np.ndarray
    hits_F: np.ndarray

    @classmethod
    def of(cls, true_NxF: np.ndarray, predicted_NxF: np.ndarray) -> "FlagMetrics":
        """Counts predictions (bool) against labels (1, 0, or -1 where there is none, which is left out)."""
        known_NxF, is_true_NxF = true_NxF >= 0, true_NxF == 1
        predicted_NxF = predicted_NxF & known_NxF
        return cls(known_NxF.sum(0), is_true_NxF.sum(0), predicted_NxF.sum(0), (predicted_NxF & is_true_NxF).sum(0))

    @property
    def f1_F(self) -> np.ndarray:
        """2 TP / (2 TP + FP + FN); 0 for 0 / 0, as scikit-learn has it, and NaN for a flag that nobody annotated."""
        f1_F = 2 * self.hits_F / np.maximum(self.true_F + self.predicted_F, 1)
        return np.where(self.examples_F > 0, f1_F, np.nan)

    @property
    def accuracy_F(self) -> np.ndarray:
        """The share of annotated examples that were judged right; NaN for a flag that nobody annotated."""
        wrong_F = self.true_F + self.predicted_F - 2 * self.hits_F
        return _ratio(self.examples_F - wrong_F, self.examples_F)

    @property
    def always_true_f1_F(self) -> np.ndarray:
        """The F1 of whoever takes every flag for true: what a model must beat."""
        return np.where(self.examples_F > 0, 2 * self.true_F / np.maximum(self.true_F + self.examples_F, 1), np.nan)

    @property
    def f1_mean(self) -> float:
        """The mean F1 over the annotated flags."""
        return _mean_of_defined(self.f1_F)

    @property
    def flag_accuracy_mean(self) -> float:
        """The mean accuracy over the annotated flags."""
        return _mean_of_defined(self.accuracy_F)

    @property
    def always_true_f1_mean(self) -> float:
        """The mean of always_true_f1_F."""
        return _mean_of_defined(self.always_true_f1_F)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divides counts; 0 / 0 is NaN without a warning."""
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0)


def _ratio_or_zero(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator != 0 else 0.0


def _mean_of_defined(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan
