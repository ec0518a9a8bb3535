"""The report of a model on a split: numbers as JSON, every prediction as CSV, and the pictures that explain them."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation import plots
from emotion_gcn_jax.evaluation.metrics import AffectMetrics, ExpressionMetrics
from emotion_gcn_jax.labels import NO_EXPRESSION

# How far a metric would move with other examples: of so many resamples of the split, the interval of this share.
_RESAMPLES, _LEVEL = 1000, 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says about every example of a split, beside the truth, in the split's order.

    Attributes:
        ids: names of the N examples.
        probabilities_NxC: of the C expressions, each row summing to 1; None if the model has no such output.
        valence_N: predicted, unbounded; None if the model has no such output.
        arousal_N: predicted, unbounded; None if the model has no such output.
        true_expression_N: expression ids, -1 where there is no label.
        true_valence_N: in [-1, 1], NaN where there is no label.
        true_arousal_N: in [-1, 1], NaN where there is no label.
    """

    ids: Sequence[str]
    probabilities_NxC: np.ndarray | None
    valence_N: np.ndarray | None
    arousal_N: np.ndarray | None
    true_expression_N: np.ndarray
    true_valence_N: np.ndarray
    true_arousal_N: np.ndarray

    def __post_init__(self) -> None:
        """Checks that all fields speak of the same examples."""
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)
            if values is not None and len(values) != len(self.ids):
                raise ValueError(f"{field.name} has {len(values)} entries for {len(self.ids)} examples")

    @property
    def expression_N(self) -> np.ndarray | None:
        """The most probable expression's id of every example; None if the model has no such output."""
        return None if self.probabilities_NxC is None else np.argmax(self.probabilities_NxC, axis=1)


def metrics_dict(predictions: Predictions, label_names: Sequence[str]) -> dict[str, Any]:
    """Returns every metric of the predictions, ready for JSON.

    Args:
        predictions: of a whole split.
        label_names: the C class names in id order.

    Returns:
        accuracy, mean_class_accuracy, macro_f1; ccc_, rmse_, pcc_ and sagr_ of valence and arousal, ccc_mean; examples
        (all of the split, with a label or without); per_class: name -> precision, recall, f1, support; confusion:
        label_names and matrix (rows are the true classes, columns the predicted). None stands for what is undefined,
        because the model has no such output or no example such a label.
    """
    expression = _expression(predictions.true_expression_N, predictions.expression_N, len(label_names))
    affect = {
        "valence": _affect(predictions.true_valence_N, predictions.valence_N),
        "arousal": _affect(predictions.true_arousal_N, predictions.arousal_N),
    }
    metrics: dict[str, Any] = {
        name: getattr(expression, name, None) for name in ("accuracy", "mean_class_accuracy", "macro_f1")
    }
    for name in ("ccc", "rmse", "pcc", "sagr"):
        for dimension, values in affect.items():
            metrics[f"{name}_{dimension}"] = getattr(values, name, None)
        if name == "ccc":
            metrics["ccc_mean"] = _mean(metrics["ccc_valence"], metrics["ccc_arousal"])
    metrics["examples"] = len(predictions.ids)
    metrics["per_class"] = metrics["confusion"] = None
    if expression is not None:
        metrics["per_class"] = {
            name: {
                "precision": expression.precision_C[i],
                "recall": expression.recall_C[i],
                "f1": expression.f1_C[i],
                "support": expression.support_C[i],
            }
            for i, name in enumerate(label_names)
        }
        metrics["confusion"] = {"label_names": list(label_names), "matrix": expression.confusion_CxC}
    return _for_json(metrics)


def bootstrap_intervals(predictions: Predictions, label_names: Sequence[str]) -> dict[str, list[float] | None]:
    """Returns the 95 % percentile bootstrap interval of the accuracy and of every CCC.

    The split is resampled with replacement 1,000 times, by examples: frames of one video resemble each other, so for a
    split of videos the intervals are too narrow. The same predictions give the same intervals.

    Args:
        predictions: of a whole split.
        label_names: the C class names in id order.

    Returns:
        [lower, upper] by the metric's name; None where the metric itself is undefined.
    """
    rng, count = np.random.default_rng(0), len(predictions.ids)
    predicted_expression_N = predictions.expression_N
    drawn: dict[str, list[float | None]] = {name: [] for name in ("accuracy", "ccc_valence", "ccc_arousal", "ccc_mean")}
    for _ in range(_RESAMPLES if count else 0):
        rows_N = rng.integers(count, size=count)
        expression = _expression(
            *_rows(predictions.true_expression_N, predicted_expression_N, rows_N), len(label_names)
        )
        valence = _affect(*_rows(predictions.true_valence_N, predictions.valence_N, rows_N))
        arousal = _affect(*_rows(predictions.true_arousal_N, predictions.arousal_N, rows_N))
        drawn["accuracy"].append(getattr(expression, "accuracy", None))
        drawn["ccc_valence"].append(getattr(valence, "ccc", None))
        drawn["ccc_arousal"].append(getattr(arousal, "ccc", None))
        drawn["ccc_mean"].append(_mean(drawn["ccc_valence"][-1], drawn["ccc_arousal"][-1]))
    intervals: dict[str, list[float] | None] = {}
    for name, values in drawn.items():
        # A resample of a split with few labels may have none of them.
        defined = [value for value in values if value is not None and not math.isnan(value)]
        ends = (0.5 - _LEVEL / 2, 0.5 + _LEVEL / 2)
        intervals[name] = np.quantile(defined, ends).tolist() if defined else None
    return intervals


def summary(metrics: Mapping[str, Any]) -> str:
    """Returns the chief metrics in one line, with their intervals."""
    parts = []
    for name in ("accuracy", "mean_class_accuracy", "macro_f1", "ccc_mean"):
        if metrics[name] is not None:
            interval = metrics["intervals_95"].get(name)
            ends = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
            parts.append(f"{name} {metrics[name]:.3f}{ends}")
    return ", ".join(parts)


def write_report(
    directory: epath.PathLike,
    predictions: Predictions,
    *,
    label_names: Sequence[str],
    dataset: str,
    split: str,
    checkpoint: str,
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Writes metrics.json, predictions.csv and the pictures into a directory, which is created if absent.

    confusion.png and valence_arousal.png are written where the model has the outputs and the split the labels,
    curves.png where there is a history. A file of the same name is replaced, in one go; a picture that no longer
    applies is removed.

    Args:
        directory: where to write.
        predictions: of the whole split.
        label_names: the C class names in id order.
        dataset: its name, for the record and the pictures' titles.
        split: its name.
        checkpoint: where the model came from.
        config: the configuration it was trained with.
        history: a row for every evaluation of the training: epoch, step, train_loss, learning_rate and any metrics.

    Returns:
        What metrics.json holds.

    Raises:
        UserError: if the directory cannot be written.
    """
    metrics = metrics_dict(predictions, label_names) | {
        "intervals_95": bootstrap_intervals(predictions, label_names),
        "dataset": dataset,
        "split": split,
        "checkpoint": checkpoint,
        "config": _for_json(config),
    }
    subject = f"{dataset}, {split}"
    files: dict[str, bytes | None] = {
        "metrics.json": (json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode(),
        "predictions.csv": _predictions_csv(predictions, label_names).encode(),
        "confusion.png": None,
        "valence_arousal.png": None,
        "curves.png": plots.curves(history) if history else None,
    }
    if metrics["accuracy"] is not None:
        title = (
            f"{subject}: accuracy {metrics['accuracy']:.1%}, mean class accuracy {metrics['mean_class_accuracy']:.1%}"
        )
        files["confusion.png"] = plots.confusion(np.asarray(metrics["confusion"]["matrix"]), label_names, title)
    if predictions.valence_N is not None and predictions.arousal_N is not None and metrics["ccc_mean"] is not None:
        files["valence_arousal.png"] = plots.affect_plane(
            np.column_stack([predictions.true_valence_N, predictions.true_arousal_N]),
            np.column_stack([predictions.valence_N, predictions.arousal_N]),
            predictions.true_expression_N,
            label_names,
            f"{subject}: mean CCC {metrics['ccc_mean']:.3f}",
        )
    _write(open_directory(directory), files)
    return metrics


def open_directory(directory: epath.PathLike) -> epath.Path:
    """Makes a report's directory if it is absent: before the work whose results go there.

    Raises:
        UserError: if it cannot be written.
    """
    path = epath.Path(directory)
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / "metrics.json.unfinished").write_bytes(b"")
        (path / "metrics.json.unfinished").unlink()
    except OSError as error:
        raise _cannot_write(path, error) from None
    return path


def _expression(true_N: np.ndarray, predicted_N: np.ndarray | None, num_classes: int) -> ExpressionMetrics | None:
    return None if predicted_N is None else ExpressionMetrics.from_labels(true_N, predicted_N, num_classes)


def _affect(true_N: np.ndarray, predicted_N: np.ndarray | None) -> AffectMetrics | None:
    return None if predicted_N is None else AffectMetrics.from_values(true_N, predicted_N)


def _rows(
    true_N: np.ndarray, predicted_N: np.ndarray | None, rows_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    return true_N[rows_N], None if predicted_N is None else predicted_N[rows_N]


def _mean(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else (a + b) / 2


def _for_json(value: Any) -> Any:
    """Turns arrays into lists, tuples too, and what JSON has no word for (NaN, infinity) into None."""
    match value:
        case Mapping():
            return {str(key): _for_json(item) for key, item in value.items()}
        case np.ndarray() | np.generic():
            return _for_json(value.tolist())
        case list() | tuple():
            return [_for_json(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _predictions_csv(predictions: Predictions, label_names: Sequence[str]) -> str:
    """One line per example; a cell is empty where there is no such label or output."""
    count = len(predictions.ids)
    probabilities = predictions.probabilities_NxC
    columns: dict[str, Sequence[str]] = {
        "id": predictions.ids,
        "expression_true": _names(predictions.true_expression_N, label_names, count),
        "expression_predicted": _names(predictions.expression_N, label_names, count),
        **{
            f"p_{name}": _numbers(None if probabilities is None else probabilities[:, i], count)
            for i, name in enumerate(label_names)
        },
        "valence_true": _numbers(predictions.true_valence_N, count),
        "arousal_true": _numbers(predictions.true_arousal_N, count),
        "valence_predicted": _numbers(predictions.valence_N, count),
        "arousal_predicted": _numbers(predictions.arousal_N, count),
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _names(ids_N: np.ndarray | None, label_names: Sequence[str], count: int) -> list[str]:
    if ids_N is None:
        return [""] * count
    return ["" if i == NO_EXPRESSION else label_names[i] for i in ids_N.tolist()]


def _numbers(values_N: np.ndarray | None, count: int) -> list[str]:
    """Six digits are a float32's worth; NaN is an empty cell."""
    if values_N is None:
        return [""] * count
    return ["" if math.isnan(value) else f"{value:.6g}" for value in np.asarray(values_N).tolist()]


def _write(directory: epath.Path, files: Mapping[str, bytes | None]) -> None:
    """Writes each file under another name first: a reader meets the old one or the new one, never half of it."""
    try:
        for name, content in files.items():
            if content is None:
                (directory / name).unlink(missing_ok=True)
                continue
            unfinished = directory / f"{name}.unfinished"
            unfinished.write_bytes(content)
            unfinished.replace(directory / name)
    except OSError as error:
        raise _cannot_write(directory, error) from None


def _cannot_write(directory: epath.Path, error: OSError) -> UserError:
    return UserError(
        f"The report cannot be written to {directory} ({error.strerror or error}): choose a directory that can be "
        f"written."
    )
