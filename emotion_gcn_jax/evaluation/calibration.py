"""What is fitted on examples that were held out: temperatures of classes, and thresholds of flags.

With its temperature, classes' probabilities say how often they are right; a threshold is the probability from which on
a flag counts as true.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import optimize

from emotion_gcn_jax.errors import UserError, counted
from emotion_gcn_jax.evaluation.predictions import Predictions
from emotion_gcn_jax.labels import NO_CLASS
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import NO_FLAG, THRESHOLD, Flags
from emotion_gcn_jax.tasks.metrics import calibration_error
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.tasks.task import Task

_LARGEST = 20.0  # at a temperature above it (or below its inverse) answers would have nothing to do with the labels
_LEAST_PROBABILITY = 1e-30  # float32 has none below, but for 0


def calibrated(predictions: Predictions) -> tuple[Tasks, dict[str, dict[str, Any]]]:
    """Fits the temperature of every task of classes, and the thresholds of every task of flags.

    A temperature has the least cross-entropy (Guo et al., ICML 2017, section 4.2), a threshold the best F1. Flags
    without labels keep theirs.

    Args:
        predictions: of examples that the model was not trained on.

    Returns:
        The fitted tasks; and by the task's name what was fitted on what: dataset, split, examples; temperature, and
        calibration_error before and after; or thresholds, and f1_mean before and after.

    Raises:
        UserError: none of the examples has a label of classes of the model, or there is nothing to fit.
    """
    tasks: list[Task] = []
    fits: dict[str, dict[str, Any]] = {}
    for task in predictions.tasks:
        labels, answers_NxW = predictions.labels[task.name], predictions.answers[task.name]
        known_N = task.known(labels).any(axis=1)
        on_what = {"dataset": predictions.dataset, "split": predictions.split, "examples": int(known_N.sum())}
        fitted: Task = task
        if isinstance(task, Classes):
            if not known_N.any():
                raise UserError(
                    f"No example of {predictions.dataset}, {predictions.split}, has a label of {task.name}: calibrate "
                    f"on another split."
                )
            fitted, fit = _with_temperature(task, labels, answers_NxW)
            fits[task.name] = on_what | fit
        elif isinstance(task, Flags) and known_N.any():
            fitted, fit = _with_thresholds(task, labels, answers_NxW)
            fits[task.name] = on_what | fit
        tasks.append(fitted)
    if not fits:
        raise UserError("The model has no classes, and no flags with labels, to calibrate: leave the split out.")
    return tuple(tasks), fits


def line(fit: Mapping[str, Any]) -> str:
    """Says what was fitted on what, and what it is good for."""
    if "temperature" in fit:
        what, measure, numbers = f"temperature {fit['temperature']:.3f}", "calibration error", fit["calibration_error"]
    else:
        thresholds = " ".join(f"{threshold:.2f}" for threshold in fit["thresholds"])
        what, measure, numbers = f"thresholds {thresholds}", "mean F1 on these", fit["f1_mean"]
    on_what = f"fitted on {counted(fit['examples'], 'example')} of {fit['dataset']}, {fit['split']}"
    return f"{what}, {on_what}: {measure} {numbers[0]:.3f} before, {numbers[1]:.3f} after"


def _with_temperature(task: Classes, labels_N: np.ndarray, answers_NxC: np.ndarray) -> tuple[Classes, dict[str, Any]]:
    known_N = labels_N != NO_CLASS
    factor = temperature(labels_N[known_N], answers_NxC[known_N])
    errors = [calibration_error(labels_N, answers_NxC), calibration_error(labels_N, warmed(answers_NxC, factor))]
    fitted = dataclasses.replace(task, temperature=task.temperature * factor)
    return fitted, {"temperature": fitted.temperature, "calibration_error": errors}


def _with_thresholds(task: Flags, labels_NxF: np.ndarray, answers_NxF: np.ndarray) -> tuple[Flags, dict[str, Any]]:
    before = task.thresholds or (THRESHOLD,) * len(task.names)
    thresholds = tuple(threshold(labels_NxF[:, i], answers_NxF[:, i], before[i]) for i in range(len(task.names)))
    tuned = dataclasses.replace(task, thresholds=thresholds)
    scores = [one.metrics(labels_NxF, answers_NxF)["f1_mean"] for one in (task, tuned)]
    return tuned, {"thresholds": list(thresholds), "f1_mean": scores}


def threshold(labels_N: np.ndarray, probabilities_N: np.ndarray, before: float = THRESHOLD) -> float:
    """The probability from which on a flag is best taken for true, by its F1.

    Args:
        labels_N: 1, 0, or -1 for none.
        probabilities_N: float.
        before: what it stays where the flag is never true.
    """
    known_N = labels_N != NO_FLAG
    order_M = np.argsort(-probabilities_N[known_N], kind="stable")
    sorted_M, is_true_M = probabilities_N[known_N][order_M].astype(np.float64), labels_N[known_N][order_M] == 1
    if not is_true_M.any():
        return before
    f1_M = 2 * np.cumsum(is_true_M) / (is_true_M.sum() + np.arange(1, len(sorted_M) + 1))  # of the first 1, 2, ...
    below_M = np.append(sorted_M[1:], 0.0)
    best = int(np.argmax(np.where(sorted_M > below_M, f1_M, -1)))  # equal probabilities go together
    return float((sorted_M[best] + below_M[best]) / 2)


def temperature(labels_N: np.ndarray, probabilities_NxC: np.ndarray) -> float:
    """The temperature at which probabilities have the least cross-entropy with labels; class ids, none missing."""

    def cross_entropy(log_temperature: float) -> float:
        warm_NxC = warmed(probabilities_NxC, np.exp(log_temperature))
        return -float(np.log(np.maximum(warm_NxC[np.arange(len(labels_N)), labels_N], _LEAST_PROBABILITY)).mean())

    bounds = (-np.log(_LARGEST), np.log(_LARGEST))
    return float(np.exp(optimize.minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


def warmed(probabilities_NxC: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, float64, as they would be at another temperature."""
    logits_NxC = np.log(np.maximum(np.asarray(probabilities_NxC, np.float64), _LEAST_PROBABILITY)) / temperature
    powers_NxC = np.exp(logits_NxC - logits_NxC.max(1, keepdims=True))
    return powers_NxC / powers_NxC.sum(1, keepdims=True)
