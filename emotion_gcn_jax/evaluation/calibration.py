"""Makes classes' probabilities say how often they are right: one temperature, fitted on examples that were held out."""

import dataclasses
from typing import Any

import numpy as np
from scipy import optimize

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.predictions import Predictions
from emotion_gcn_jax.labels import NO_CLASS
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.metrics import calibration_error
from emotion_gcn_jax.tasks.registry import Tasks

_LARGEST = 20.0  # at a temperature above it (or below its inverse) answers would have nothing to do with the labels
_LEAST_PROBABILITY = 1e-30  # float32 has none below, but for 0


def calibrated(predictions: Predictions) -> tuple[Tasks, dict[str, dict[str, Any]]]:
    """Fits the temperature of every task of classes (Guo et al., ICML 2017, section 4.2: the least cross-entropy).

    Args:
        predictions: of examples that the model was not trained on.

    Returns:
        The tasks with their temperatures; and by the task's name what was fitted on what: temperature, examples, and
        calibration_error before and after.

    Raises:
        UserError: the model has no classes, or none of the examples a label of them.
    """
    tasks, fits = [], {}
    for task in predictions.tasks:
        if isinstance(task, Classes):
            labels_N, answers_NxC = predictions.labels[task.name], predictions.answers[task.name]
            known_N = labels_N != NO_CLASS
            if not known_N.any():
                raise UserError(
                    f"No example of {predictions.dataset}, {predictions.split}, has a label of {task.name}: calibrate "
                    f"on another split."
                )
            factor = temperature(labels_N[known_N], answers_NxC[known_N])
            fits[task.name] = {
                "dataset": predictions.dataset,
                "split": predictions.split,
                "examples": int(known_N.sum()),
                "temperature": task.temperature * factor,
                "calibration_error": [
                    calibration_error(labels_N, answers_NxC),
                    calibration_error(labels_N, warmed(answers_NxC, factor)),
                ],
            }
            task = dataclasses.replace(task, temperature=task.temperature * factor)
        tasks.append(task)
    if not fits:
        raise UserError("The model has no classes whose probabilities could be calibrated: leave the split out.")
    return tuple(tasks), fits


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
