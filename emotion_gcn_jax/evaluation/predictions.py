"""What a model says about every example of a split, beside the truth, and the metrics of that."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotion_gcn_jax.tasks.registry import Tasks

# How far a metric would move with other examples: of so many resamples of the split, the interval of this share.
_RESAMPLES, _LEVEL = 1000, 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Answers and labels of N examples, in the split's order.

    Attributes:
        dataset: its name.
        split: its name.
        ids: names of the examples.
        tasks: what was predicted.
        labels: by the task's name, as the task reads them; the first axis is N.
        answers: by the task's name, N x W; see Task.answer.
        marks: the dataset's bool columns by name, N each, such as FER2013's copy_in_train. The report has all metrics
            without the examples that are marked, too.
        observed: what the model's modules showed of themselves, by their paths, N x ...; see models.layers.observe.
        ten_crop: whether each answer is of ten crops of its image; see evaluator.predict_step.
        readable: of all M examples that were to be judged, whether the image could be read: the N are those where it
            could. None says that all could.
    """

    dataset: str
    split: str
    ids: Sequence[str]
    tasks: Tasks
    labels: Mapping[str, np.ndarray]
    answers: Mapping[str, np.ndarray]
    marks: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    observed: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    ten_crop: bool = False
    readable: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Checks that everything speaks of the same examples."""
        for arrays in (self.labels, self.answers, self.marks, self.observed):
            for name, array in arrays.items():
                if len(array) != len(self.ids):
                    raise ValueError(f"{name} has {len(array)} entries for {len(self.ids)} examples")

    @property
    def unreadable(self) -> int:
        """How many examples are left out, since their images could not be read."""
        return 0 if self.readable is None else int((~self.readable).sum())

    def some(self, chosen_N: np.ndarray) -> "Predictions":
        """Those of some examples, by a bool for each; without marks, what was observed and what was unreadable."""
        return dataclasses.replace(
            self,
            ids=[self.ids[row] for row in np.flatnonzero(chosen_N).tolist()],
            labels={name: labels[chosen_N] for name, labels in self.labels.items()},
            answers={name: answers[chosen_N] for name, answers in self.answers.items()},
            marks={},
            observed={},
            readable=None,
        )

    def without_marked(self) -> dict[str, "Predictions"]:
        """By each mark that some examples have and some have not: the predictions of those that have not."""
        return {
            mark: self.some(~marked_N) for mark, marked_N in self.marks.items() if marked_N.any() and not marked_N.all()
        }


def left_out(unreadable: int, read: int) -> str:
    """The line that tells how many images could not be read."""
    return f"left out, since they cannot be read: {unreadable} of {unreadable + read} images"


def metrics_by_task(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Every task's metrics; see Task.metrics."""
    return {
        task.name: task.metrics(predictions.labels[task.name], predictions.answers[task.name])
        for task in predictions.tasks
    }


def with_short_names(by_task: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Joins what every task has by name; a name that several tasks use gets its task's before it, task/name."""
    owners: dict[str, list[str]] = {}
    for task, named in by_task.items():
        for name in named:
            owners.setdefault(name, []).append(task)
    return {
        name if len(owners[name]) == 1 else f"{task}/{name}": value
        for task, named in by_task.items()
        for name, value in named.items()
    }


def scores(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """All defined numbers of `metrics_by_task` by their short names."""
    named = with_short_names(metrics)
    return {n: float(value) for n, value in named.items() if isinstance(value, float) and math.isfinite(value)}


def bootstrap_intervals(predictions: Predictions) -> dict[str, dict[str, list[float] | None]]:
    """Returns the 95 % percentile bootstrap intervals of every task's chief metrics.

    The split is resampled with replacement 1,000 times, by examples: frames of one video resemble each other, so for a
    split of videos the intervals are too narrow. The same predictions give the same intervals.

    Returns:
        By the task's name: [lower, upper] by the metric's name; None where the metric itself is undefined.
    """
    rng, count = np.random.default_rng(0), len(predictions.ids)
    drawn: dict[str, dict[str, list[float]]] = {task.name: {} for task in predictions.tasks}
    for _ in range(_RESAMPLES):
        rows_N = rng.integers(count, size=count)
        for task in predictions.tasks:
            labels, answers = predictions.labels[task.name][rows_N], predictions.answers[task.name][rows_N]
            for name, value in task.interval_metrics(labels, answers).items():
                drawn[task.name].setdefault(name, []).append(value)
    return {task: {name: _interval(values) for name, values in named.items()} for task, named in drawn.items()}


def _interval(values: Sequence[float]) -> list[float] | None:
    """The middle of a metric's values; a resample of a split with few labels may have none of them, and no value."""
    defined = [value for value in values if not math.isnan(value)]
    ends = (0.5 - _LEVEL / 2, 0.5 + _LEVEL / 2)
    return np.quantile(defined, ends).tolist() if defined else None
