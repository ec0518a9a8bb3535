"""The report of a model on a split: numbers as JSON, every prediction as CSV, and the pictures that explain them."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotion_gcn_jax import presets
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation import figures
from emotion_gcn_jax.evaluation.groups import FEW, Groups
from emotion_gcn_jax.evaluation.predictions import (
    Predictions,
    bootstrap_intervals,
    left_out,
    metrics_by_task,
    with_short_names,
)
from emotion_gcn_jax.files import PathLike, atomic_write, user_path
from emotion_gcn_jax.tasks import protocols, registry
from emotion_gcn_jax.tasks.registry import Tasks


def report_metrics(predictions: Predictions) -> dict[str, Any]:
    """Returns every metric of the predictions, ready for JSON.

    Returns:
        Metrics by their short names (accuracy, ccc_mean, per_class, confusion, ...), those of the paper's two tasks
        always; "examples" (all that were judged, with a label or without); "intervals_95", by short names; and "tasks":
        by the task's name all its metrics. A short name that several tasks have stands for none of them: TASK/NAME
        does. "protocol" has the scores of the dataset's own protocol, if it has one (tasks.protocols). None stands for
        what is undefined: the model has no such output, or no example has such a label. Where the dataset marks
        examples by a bool column, "without" has by its name the same once more of those not marked.
    """
    metrics = metrics_by_task(predictions)
    protocol = protocols.scores(predictions.dataset, predictions.tasks, metrics)
    without = {mark: report_metrics(unmarked) for mark, unmarked in predictions.without_marked().items()}
    always, always_intervals = _papers_names()
    return _for_json(
        {
            **dict.fromkeys(always),
            **with_short_names(metrics),
            "examples": len(predictions.ids),
            "intervals_95": dict.fromkeys(always_intervals) | with_short_names(bootstrap_intervals(predictions)),
            "tasks": metrics,
            **({"protocol": protocol} if protocol else {}),
            **({"without": without} if without else {}),
        }
    )


def summary(tasks: Tasks, metrics: Mapping[str, Any]) -> str:
    """Returns the metrics that one may select by, with their intervals: a line, and one for every part of the split.

    The scores of the dataset's own protocol have a line, too, and so have images that could not be read.
    """
    lines = [_line(tasks, metrics)]
    if unreadable := metrics.get("unreadable", 0):
        lines.append(left_out(unreadable, metrics["examples"]))
    if defined := [f"{name} {score:.3f}" for name, score in metrics.get("protocol", {}).items() if score is not None]:
        lines.append(f"{metrics['dataset']}'s protocol: {', '.join(defined)}")
    for mark, unmarked in metrics.get("without", {}).items():
        lines.append(f"without {mark} ({unmarked['examples']} of {metrics['examples']}): {_line(tasks, unmarked)}")
    groups = metrics.get("groups", {"column": "", "metrics": {}})
    for name, part in groups["metrics"].items():
        few = ", too few to tell" if part["examples"] < FEW else ""
        lines.append(f"{groups['column']} {name or 'unknown'} ({part['examples']}{few}): {_line(tasks, part)}")
    return "\n".join(lines)


def _line(tasks: Tasks, metrics: Mapping[str, Any]) -> str:
    parts = []
    for task in tasks:
        for name in (*task.selectable, *task.baselines):
            value = metrics["tasks"][task.name][name]
            if value is not None:
                full = f"{task.name}/{name}"
                short = full if full in metrics else name
                interval = metrics["intervals_95"].get(short)
                ends = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
                parts.append(f"{short} {value:.3f}{ends}")
    return ", ".join(parts)


def write_report(
    directory: PathLike,
    predictions: Predictions,
    *,
    checkpoint: str,
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
    groups: Groups | None = None,
) -> dict[str, Any]:
    """Writes metrics.json, predictions.csv and the pictures into a directory, which is created if absent.

    A task has its pictures where the split has labels of it (figures.py); curves.png is drawn where there is a history.
    A file of the same name is replaced, in one go; a usual picture that this model or split does not have is removed.

    Args:
        directory: where to write.
        predictions: of the whole split.
        checkpoint: where the model came from.
        config: the configuration it was trained with.
        history: a row for every evaluation of the training: epoch, step, train_loss, learning_rate and any metrics.
        groups: of the examples, for each of which metrics.json has all metrics once more, under "groups".

    Returns:
        What metrics.json holds.

    Raises:
        UserError: if the directory cannot be written.
    """
    metrics = report_metrics(predictions) | {
        "dataset": predictions.dataset,
        "split": predictions.split,
        "unreadable": predictions.unreadable,
        "ten_crop": predictions.ten_crop,
        "checkpoint": checkpoint,
        "config": _for_json(config),
        **({"groups": _by_group(predictions, groups)} if groups else {}),
    }
    files: dict[str, bytes | None] = {
        "predictions.csv": _predictions_csv(predictions).encode(),
        "curves.png": figures.curves(predictions.tasks, history) if history else None,
        **dict.fromkeys(figures.usual_names()),
        **figures.of_predictions(predictions, metrics["tasks"]),
        # Last: where it is, all is.
        "metrics.json": (json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode(),
    }
    directory = open_directory(directory)
    try:
        for name, content in files.items():
            if content is None:
                (user_path(directory) / name).unlink(missing_ok=True)
            else:
                atomic_write(user_path(directory) / name, content)
    except OSError as error:
        raise _cannot_write(directory, error) from None
    return metrics


def _by_group(predictions: Predictions, groups: Groups) -> dict[str, Any]:
    parts = {name: report_metrics(predictions.some(groups.of_examples == name)) for name in groups.names}
    return {"column": groups.column, "metrics": parts}


def open_directory(directory: PathLike) -> PathLike:
    """Makes a report's directory if it is absent: before the work whose results go there.

    Raises:
        UserError: if it cannot be written.
    """
    probe = user_path(directory) / ".writable"
    try:
        atomic_write(probe, b"")
        probe.unlink()
    except OSError as error:
        raise _cannot_write(directory, error) from None
    return directory


def _papers_names() -> tuple[list[str], list[str]]:
    """What every metrics.json has at its top, numbers before tables, and in intervals_95: the paper's two tasks."""
    named: dict[str, Any] = {}
    intervals: list[str] = []
    for task in registry.from_config({name: presets.TASKS[name] for name in presets.preset("multi_task").tasks}):
        nothing = task.read({"id": np.zeros(0, bytes)}, {}), np.zeros((0, len(task.outputs)))
        named |= task.metrics(*nothing)
        intervals += task.interval_metrics(*nothing)
    tables = [name for name, value in named.items() if isinstance(value, Mapping)]
    return [*(name for name in named if name not in tables), "examples", *tables], intervals


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


def _predictions_csv(predictions: Predictions) -> str:
    """One line per example; a cell is empty where there is no such label.

    A column's name that two tasks have, as classes that share a word do, has the second task's name before it.
    """
    columns: dict[str, Sequence[str]] = {"id": predictions.ids}
    for task in predictions.tasks:
        of_task = task.csv_columns(predictions.labels[task.name], predictions.answers[task.name])
        columns |= {name if name not in columns else f"{task.name}_{name}": cells for name, cells in of_task.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _cannot_write(directory: PathLike, error: OSError) -> UserError:
    return UserError(
        f"The report cannot be written to {directory} ({error.strerror or error}): choose a directory that can be "
        f"written."
    )
