"""What datasets' own protocols sum metrics up to: the scores that a challenge, or the papers on a dataset, report."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from emotion_gcn_jax.labels import ABAW_UNITS, EXPRESSIONS
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.tasks.values import Values

Metrics = Mapping[str, Mapping[str, Any]]


def scores(dataset: str, tasks: Tasks, metrics: Metrics) -> dict[str, float]:
    """Returns the scores of a dataset's protocol by their names.

    Args:
        dataset: its name.
        tasks: what was predicted.
        metrics: of a whole split, by the task's name; see Task.metrics.

    Returns:
        NaN for a score that some label is missing for; nothing of tasks that the protocol has not, and of datasets
        without a protocol.
    """
    return PROTOCOLS[dataset](tasks, metrics) if dataset in PROTOCOLS else {}


def _abaw(tasks: Tasks, metrics: Metrics) -> dict[str, float]:
    """The formulas of the ABAW competition's editions (Aff-Wild2 spec, section 12).

    The first two: 0.67 macro F1 + 0.33 accuracy over 7 classes; half the mean F1 + half the total accuracy of action
    units. From the third on: macro F1 over 8 classes; the mean F1 of 12 action units; and, of all tasks at once, the
    sum of these two and the mean CCC, which every edition has for valence and arousal.
    """
    found: dict[str, float] = {}
    for task in tasks:
        named = metrics[task.name]
        if isinstance(task, Classes) and set(task.vocabulary) == set(EXPRESSIONS):
            found["abaw1_expression"] = 0.67 * _macro_f1(named) + 0.33 * named["accuracy"]
        elif isinstance(task, Classes) and set(task.vocabulary) == {*EXPRESSIONS, "Other"}:
            found["abaw3_expression"] = _macro_f1(named)
        elif isinstance(task, Flags) and any(set(task.names) == set(units) for units in ABAW_UNITS.values()):
            f1 = float(np.mean([flag["f1"] for flag in named["per_flag"].values()]))
            found["abaw1_action_units"] = 0.5 * f1 + 0.5 * _total_accuracy(named)
            if set(task.names) == set(ABAW_UNITS[12]):
                found["abaw3_action_units"] = f1
        elif isinstance(task, Values) and set(task.dimensions) == {"valence", "arousal"}:
            found["abaw_affect"] = named["ccc_mean"]
    parts = ("abaw3_expression", "abaw3_action_units", "abaw_affect")
    if found.keys() >= set(parts):
        found["abaw3_multi_task"] = math.fsum(found[part] for part in parts)
    return found


def _raf_db(tasks: Tasks, metrics: Metrics) -> dict[str, float]:
    """The mean of the diagonal of the confusion matrix whose rows are shares, and the accuracy: papers have either."""
    found: dict[str, float] = {}
    for task in tasks:
        if isinstance(task, Classes) and set(task.vocabulary) == set(EXPRESSIONS):
            named = metrics[task.name]
            found = {"rafdb_mean_of_diagonal": named["mean_class_accuracy"], "rafdb_accuracy": named["accuracy"]}
    return found


def _macro_f1(named: Mapping[str, Any]) -> float:
    """The sum of the F1 over the number of all classes: one that neither occurs nor is predicted counts as 0."""
    if math.isnan(named["accuracy"]):
        return math.nan
    return float(np.mean([np.nan_to_num(one["f1"]) for one in named["per_class"].values()]))


def _total_accuracy(named: Mapping[str, Any]) -> float:
    """The share of all labels of all flags that were judged right."""
    flags = [flag for flag in named["per_flag"].values() if flag["examples"]]
    labels = sum(flag["examples"] for flag in flags)
    return float(sum(flag["accuracy"] * flag["examples"] for flag in flags) / labels) if labels else math.nan


PROTOCOLS: dict[str, Callable[[Tasks, Metrics], dict[str, float]]] = {"affwild2": _abaw, "rafdb": _raf_db}
"""By the dataset's name."""
