"""Values on continuous scales from -1 to 1, such as valence and arousal."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from emotion_gcn_jax.errors import UserError, listed, shown
from emotion_gcn_jax.labels import NO_LABEL
from emotion_gcn_jax.tasks import losses
from emotion_gcn_jax.tasks.metrics import ValueMetrics
from emotion_gcn_jax.tasks.task import Columns, Metadata, Task, numbers_text, one_of

LOSSES = ("ccc", "mse")
METRICS = ("ccc", "rmse", "pcc", "sagr")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Values(Task):
    """A number for each of D dimensions. Labels are float32 N x D in [-1, 1], NaN where there is none.

    Attributes:
        dimensions: the names of the dataset's columns, in the outputs' order.
        loss_name: "ccc" (one minus the mean concordance) or "mse" (mean squared error).
        ccc_variance: "population", or "unbiased" for the official implementation's numbers; see losses.ccc.
    """

    kind = "values"
    selectable = ("ccc_mean",)
    answers_are = "values, made for [-1, 1] but unbounded"

    dimensions: tuple[str, ...]
    loss_name: str = "ccc"
    ccc_variance: losses.CccVariance = "population"

    def __post_init__(self) -> None:
        """Raises UserError for an unknown loss or variance."""
        one_of(f"loss of {self.name}", self.loss_name, LOSSES)
        one_of(f"config.tasks.{self.name}.ccc_variance", self.ccc_variance, losses.CCC_VARIANCES)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The dimensions' names, capitalised as the graph's nodes are."""
        return tuple(name.capitalize() for name in self.dimensions)

    @property
    def chief(self) -> tuple[str, ...]:
        """The concordance of every dimension."""
        return tuple(f"ccc_{name}" for name in self.dimensions)

    def read(self, columns: Columns, metadata: Metadata) -> np.ndarray:
        """Stacks the columns; raises UserError for one of text that is no number."""
        missing_N = np.full(len(columns["id"]), np.nan, np.float32)
        return np.stack([_numbers(name, columns.get(name, missing_N)) for name in self.dimensions], axis=1)

    def fitted(self, labels: np.ndarray, dataset: str) -> "Values":
        """Raises UserError for a dimension without a label, as after a slip of the pen."""
        del dataset
        known_NxD = self.known(labels)
        if missing := [name for place, name in enumerate(self.dimensions) if not known_NxD[:, place].any()]:
            raise UserError(
                f"No training example has a label of {listed(missing)}, which config.tasks.{self.name}.dimensions "
                f"names: correct it or leave it out, or choose another dataset config."
            )
        return self

    def known(self, labels: np.ndarray) -> np.ndarray:
        """Each dimension has a label of its own."""
        return labels == labels

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """The labels."""
        return labels.astype(np.float64)

    def loss(self, output_BxW: jax.Array, labels: jax.Array, axis_name: str | None = None) -> jax.Array:
        """One minus the mean concordance over the dimensions, or the mean squared error."""
        if self.loss_name == "mse":
            return losses.mean_squared_error(output_BxW, labels, axis_name)
        return losses.concordance_loss(output_BxW, labels, self.ccc_variance, axis_name)

    def mixed(self, labels: jax.Array, others: jax.Array, share: jax.Array) -> jax.Array:
        """The values in between; missing where either is."""
        return share * labels + (1 - share) * others

    def answer(self, output_BxW: jax.Array) -> jax.Array:
        """The outputs as they are: linear and unbounded."""
        return output_BxW

    def metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, Any]:
        """ccc_, rmse_, pcc_ and sagr_ of every dimension, and ccc_mean."""
        found = self._metrics(labels, answers_NxW)
        named: dict[str, Any] = {}
        for metric in METRICS:
            named |= {f"{metric}_{name}": getattr(values, metric) for name, values in found.items()}
            if metric == "ccc":
                named["ccc_mean"] = _mean(named)
        return named

    def interval_metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, float]:
        """The concordances."""
        named = {f"ccc_{name}": values.ccc for name, values in self._metrics(labels, answers_NxW).items()}
        return {**named, "ccc_mean": _mean(named)}

    def csv_columns(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, list[str]]:
        """True and predicted values."""
        true = {f"{name}_true": numbers_text(labels[:, i]) for i, name in enumerate(self.dimensions)}
        return true | {f"{name}_predicted": numbers_text(answers_NxW[:, i]) for i, name in enumerate(self.dimensions)}

    def describe(self, answer_W: np.ndarray) -> dict[str, Any]:
        """A number under every dimension's name."""
        return dict(zip(self.dimensions, map(float, answer_W), strict=True))

    def row(self, described: Mapping[str, Any]) -> dict[str, str | float]:
        """The values."""
        return dict(described)

    @property
    def table_columns(self) -> dict[str, int]:
        """A column for every dimension."""
        return dict.fromkeys(self.dimensions, 5)

    def table_cells(self, described: Mapping[str, Any]) -> list[str]:
        """The values with their signs."""
        return [f"{described[name]:+.2f}" for name in self.dimensions]

    def overlay_lines(self, described: Mapping[str, Any]) -> list[tuple[str, float]]:
        """A small line for every dimension."""
        return [(f"{name} {described[name]:+.2f}", 0.7) for name in self.dimensions]

    def _metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, ValueMetrics]:
        return {name: ValueMetrics.of(labels[:, i], answers_NxW[:, i]) for i, name in enumerate(self.dimensions)}


def _numbers(name: str, column_N: np.ndarray) -> np.ndarray:
    """A column as float32; a table's own columns come as text."""
    if column_N.dtype.kind != "S":
        return column_N.astype(np.float32)
    values_N = np.full(len(column_N), np.nan, np.float32)
    for row, cell in enumerate(np.char.decode(column_N, "utf-8").tolist()):
        try:
            values_N[row] = np.nan if cell.strip().lower() in NO_LABEL else float(cell)
        except ValueError:
            raise UserError(
                f"Expected numbers, or nothing, in the column {name}, and found {shown(cell)!r}: correct it."
            ) from None
    return values_N


def _mean(named: Mapping[str, float]) -> float:
    return math.fsum(named.values()) / len(named)
