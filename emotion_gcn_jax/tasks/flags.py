"""Flags that are true or false of a face independently of each other, such as action units."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks import losses
from emotion_gcn_jax.tasks.metrics import FlagMetrics
from emotion_gcn_jax.tasks.task import Columns, Metadata, Task, numbers_text, one_of, positive_numbers

LOSSES = ("bce",)
NO_FLAG = -1
"""A flag that is not annotated."""

THRESHOLD = 0.5  # a probability from here on counts as true
LARGEST_RATIO = 10.0  # of a balanced loss's two weights (our choice: rare action units would else drown the others)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(Task):
    """A yes or no for each of F flags. Labels are int8 N x F: 1, 0, or -1 where there is none, each flag by itself.

    Attributes:
        names: the flags, in the outputs' order, as the dataset's metadata names them.
        loss_name: "bce", binary cross-entropy.
        positive_weights: how much a true flag counts in the loss: "none" (1, as a false one), "balanced", or F positive
            numbers. Balanced, a flag's N training labels count N in all, the true ones as much as the false ones
            together, but neither more than 10 times as much as the other: so N / (2 true) and N / (2 false), as
            scikit-learn's class weights of this name.
        negative_weights: how much a false flag counts; balanced weights set it, without them it is 1.
        thresholds: F probabilities, from which on a flag counts as true; one half if there are none. emotion-gcn pack
            fits them on a split that was held out.
    """

    kind = "flags"
    selectable = ("f1_mean", "flag_accuracy_mean")
    baselines = ("always_true_f1_mean",)
    answers_are = "probabilities, each for itself"

    names: tuple[str, ...]
    loss_name: str = "bce"
    positive_weights: str | tuple[float, ...] = "none"
    negative_weights: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raises UserError for an unknown loss, and for weights and thresholds that are none."""
        one_of(f"loss of {self.name}", self.loss_name, LOSSES)
        are_shares = not isinstance(self.thresholds, str) and all(
            isinstance(threshold, int | float) and 0 <= threshold <= 1 for threshold in self.thresholds
        )
        if self.thresholds and (not are_shares or len(self.thresholds) != len(self.names)):
            raise UserError(
                f"config.tasks.{self.name}.thresholds must be a probability for each of its {len(self.names)} names, "
                f"found {self.thresholds!r}: leave it out, emotion-gcn pack fits it."
            )
        if isinstance(self.positive_weights, str) and self.positive_weights not in ("none", "balanced"):
            numbers = positive_numbers(self.positive_weights, len(self.names))
            if numbers is None:
                raise UserError(
                    f"config.tasks.{self.name}.positive_weights must be none, balanced or {len(self.names)} positive "
                    f"numbers between commas, found {self.positive_weights!r}."
                )
            object.__setattr__(self, "positive_weights", numbers)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The flags' names."""
        return self.names

    def read(self, columns: Columns, metadata: Metadata) -> np.ndarray:
        """Selects the flags' columns by their names; one that the dataset lacks is missing everywhere."""
        count, stored_names = len(columns["id"]), self._stored_names(metadata)
        labels = np.full((count, len(self.names)), NO_FLAG, np.int8)
        stored = columns.get(self.name)
        for place, name in enumerate(self.names):
            if stored is not None and name in stored_names:
                labels[:, place] = stored[:, stored_names.index(name)]
        return labels

    def check(self, metadata: Metadata, dataset: str) -> None:
        """Raises UserError if the dataset does not know one of the flags."""
        stored_names = self._stored_names(metadata)
        if stored_names and (missing := [name for name in self.names if name not in stored_names]):
            raise UserError(
                f"{dataset} has the {self.name} {', '.join(stored_names)}, and config.tasks.{self.name}.names has "
                f"{', '.join(missing)} as well: set it to those that the dataset has."
            )

    def known(self, labels: np.ndarray) -> np.ndarray:
        """Each flag has a label of its own."""
        return labels != NO_FLAG

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Zeros and ones."""
        return np.where(self.known(labels), labels, np.nan).astype(np.float64)

    def fitted(self, labels: np.ndarray, dataset: str) -> "Flags":
        """Resolves the balanced weights; those of a flag that is never true, or never false, are 1."""
        if self.positive_weights != "balanced":
            return self
        true_F, false_F = (labels == 1).sum(0), (labels == 0).sum(0)
        ratio_F = np.clip(false_F / np.maximum(true_F, 1), 1 / LARGEST_RATIO, LARGEST_RATIO)
        negative_F = (true_F + false_F) / np.maximum(false_F + ratio_F * true_F, 1)
        varies_F = (true_F > 0) & (false_F > 0)
        return dataclasses.replace(
            self,
            positive_weights=tuple(np.where(varies_F, ratio_F * negative_F, 1.0).tolist()),
            negative_weights=tuple(np.where(varies_F, negative_F, 1.0).tolist()),
        )

    def loss(self, output_BxW: jax.Array, labels: jax.Array, axis_name: str | None = None) -> jax.Array:
        """The mean over the flags of each one's weighted binary cross-entropy."""
        ones = (1.0,) * len(self.names)
        positive = ones if self.positive_weights == "none" else self.positive_weights
        weights_2xF = jnp.asarray([self.negative_weights or ones, positive], output_BxW.dtype)
        return losses.binary_cross_entropy(output_BxW, labels, weights_2xF, axis_name)

    def mixed(self, labels: jax.Array, others: jax.Array, share: jax.Array) -> jax.Array:
        """Probabilities; missing where either flag is."""
        known = (labels != NO_FLAG) & (others != NO_FLAG)
        return jnp.where(known, share * labels + (1 - share) * others, NO_FLAG)

    def answer(self, output_BxW: jax.Array) -> jax.Array:
        """Every flag's probability."""
        return jax.nn.sigmoid(output_BxW)

    def decided(self, answers_NxW: np.ndarray) -> np.ndarray:
        """Those with a probability of at least their threshold."""
        return answers_NxW >= np.asarray(self.thresholds or THRESHOLD)

    def metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, Any]:
        """f1_mean and flag_accuracy_mean over the annotated flags, always_true_f1_mean to compare with; per_flag."""
        found = self._metrics(labels, answers_NxW)
        per_flag = {
            name: {
                "f1": found.f1_F[i],
                "accuracy": found.accuracy_F[i],
                "always_true_f1": found.always_true_f1_F[i],
                "true": found.true_F[i],
                "examples": found.examples_F[i],
            }
            for i, name in enumerate(self.names)
        }
        scores = {name: getattr(found, name) for name in (*self.selectable, *self.baselines)}
        return {**scores, "per_flag": per_flag}

    def interval_metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, float]:
        """The mean F1."""
        return {"f1_mean": self._metrics(labels, answers_NxW).f1_mean}

    def csv_columns(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, list[str]]:
        """True flags (1, 0 or nothing) and predicted probabilities."""
        true = {f"{name}_true": numbers_text(self.targets(labels)[:, i]) for i, name in enumerate(self.names)}
        return true | {f"p_{name}": numbers_text(answers_NxW[:, i]) for i, name in enumerate(self.names)}

    def describe(self, answer_W: np.ndarray) -> dict[str, Any]:
        """Every flag's probability under the task's name."""
        return {self.name: dict(zip(self.names, map(float, answer_W), strict=True))}

    def row(self, described: Mapping[str, Any]) -> dict[str, str | float]:
        """Every flag's probability."""
        return {f"p_{name}": probability for name, probability in described[self.name].items()}

    @property
    def table_columns(self) -> dict[str, int]:
        """One column lists the flags that are true."""
        return {self.name: 24}

    def table_cells(self, described: Mapping[str, Any]) -> list[str]:
        """The flags that are true."""
        return [self._true_ones(described)]

    def overlay_lines(self, described: Mapping[str, Any]) -> list[tuple[str, float]]:
        """A small line with the flags that are true."""
        return [(self._true_ones(described), 0.7)]

    def _true_ones(self, described: Mapping[str, Any]) -> str:
        probabilities = described[self.name]
        is_true_W = self.decided(np.asarray([probabilities[name] for name in self.names]))
        return " ".join(name for name, is_true in zip(self.names, is_true_W, strict=True) if is_true) or "-"

    def _stored_names(self, metadata: Metadata) -> list[str]:
        """The dataset's own order; builds of version 1 of affwild2 have the action units' numbers."""
        return [name if isinstance(name, str) else f"AU{name}" for name in metadata.get(self.name, ())]

    def _metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> FlagMetrics:
        return FlagMetrics.of(labels, self.decided(answers_NxW))
