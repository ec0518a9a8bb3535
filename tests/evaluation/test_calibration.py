import dataclasses

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation import calibration
from emotion_gcn_jax.evaluation.predictions import Predictions
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.metrics import calibration_error
from emotion_gcn_jax.tasks.values import Values

MOOD = Classes(name="mood", vocabulary=("Happy", "Sad", "Bored"))
ENERGY = Values(name="energy", dimensions=("energy",))


def drawn(temperature, count=40_000):
    """Labels drawn from probabilities, and what a model says that is so much surer (or less sure) of them."""
    rng = np.random.default_rng(0)
    logits_NxC = rng.normal(0, 2, (count, 3))
    truth_NxC = np.exp(logits_NxC) / np.exp(logits_NxC).sum(1, keepdims=True)
    labels_N = (rng.random((count, 1)) > truth_NxC.cumsum(1)).sum(1)
    said_NxC = np.exp(logits_NxC * temperature)
    return labels_N.astype(np.int32), (said_NxC / said_NxC.sum(1, keepdims=True)).astype(np.float32)


def predictions_of(labels_N, answers_NxC, task=MOOD):
    ids, values = [str(i) for i in range(len(labels_N))], np.zeros((len(labels_N), 1), np.float32)
    return Predictions(
        dataset="faces",
        split="validation",
        ids=ids,
        tasks=(task, ENERGY),
        labels={task.name: labels_N, "energy": values},
        answers={task.name: answers_NxC, "energy": values},
    )


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_too_much_and_too_little_confidence(factor):
    labels_N, answers_NxC = drawn(factor)
    labels_N[:100] = -1  # without a label: they count for nothing
    (task, energy), fits = calibration.calibrated(predictions_of(labels_N, answers_NxC))
    assert task.temperature == pytest.approx(factor, rel=0.02)  # 40,000 draws
    assert energy is ENERGY and fits.keys() == {"mood"}
    before, after = fits["mood"]["calibration_error"]
    assert after < 0.01 and (factor == 1 or before > 0.05)
    assert (fits["mood"]["examples"], fits["mood"]["split"]) == (39_900, "validation")


def test_a_second_fit_multiplies_the_first():
    labels_N, answers_NxC = drawn(2.0)
    warm = dataclasses.replace(MOOD, temperature=3.0)
    (task, _), _ = calibration.calibrated(predictions_of(labels_N, answers_NxC, warm))
    assert task.temperature == pytest.approx(6.0, rel=0.02)


def test_a_tasks_temperature_divides_its_raw_outputs():
    outputs = np.array([[2.0, 0.0, -2.0]], np.float32)
    warm = np.exp([1.0, 0.0, -1.0])
    found = dataclasses.replace(MOOD, temperature=2.0).answer(outputs)
    np.testing.assert_allclose(found, [warm / warm.sum()], rtol=1e-6)


def test_certain_answers_that_are_wrong_do_not_end_the_fit():
    (task, _), _ = calibration.calibrated(predictions_of(np.array([0, 1, 2]), np.eye(3, dtype=np.float32)[[1, 2, 0]]))
    assert task.temperature == pytest.approx(20, rel=0.01)  # the largest


def test_what_cannot_be_calibrated_is_said():
    with pytest.raises(UserError, match="No example of faces, validation, has a label of mood"):
        calibration.calibrated(predictions_of(np.full(3, -1), np.full((3, 3), 1 / 3)))
    with pytest.raises(UserError, match="has no classes, and no flags with labels, to calibrate"):
        calibration.calibrated(dataclasses.replace(predictions_of(np.zeros(1), np.ones((1, 1))), tasks=(ENERGY,)))


def test_thresholds_have_the_best_f1():
    """That of scikit-learn, of all thresholds that there are; by two digits, so that some probabilities are equal."""
    rng = np.random.default_rng(1)
    labels_NxF = rng.integers(-1, 2, (300, 3))
    labels_NxF[:, 2] = np.minimum(labels_NxF[:, 2], 0)  # never true
    answers_NxF = np.round(np.clip(rng.normal(0.3 + 0.1 * labels_NxF, 0.15), 0, 1), 2)
    task = Flags(name="seen", names=("glasses", "hat", "beard"))
    predictions = dataclasses.replace(predictions_of(np.zeros(300), np.ones((300, 3))), tasks=(task,))
    predictions = dataclasses.replace(predictions, labels={"seen": labels_NxF}, answers={"seen": answers_NxF})
    (tuned,), fits = calibration.calibrated(predictions)
    best = []
    for true_N, p_N in zip(labels_NxF.T[:2], answers_NxF.T, strict=False):
        known_N = true_N >= 0
        of_thresholds = [sklearn_metrics.f1_score(true_N[known_N], p_N[known_N] >= t) for t in np.unique(p_N)]
        best.append(max(of_thresholds))
    found = [flag["f1"] for flag in tuned.metrics(labels_NxF, answers_NxF)["per_flag"].values()]
    assert found == pytest.approx([*best, 0])
    assert tuned.thresholds[2] == 0.5 and fits["seen"]["f1_mean"][1] == pytest.approx(sum(best) / 3)
    assert fits["seen"]["f1_mean"][0] < fits["seen"]["f1_mean"][1]
    assert "mean F1 on these 0." in calibration.line(fits["seen"])


def test_flags_without_labels_keep_their_thresholds():
    flags = Flags(name="seen", names=("hat",), thresholds=(0.3,))
    predictions = predictions_of(np.array([0, 1, 2]), np.eye(3, dtype=np.float32))
    labels, answers = {"seen": np.full((3, 1), -1)}, {"seen": np.ones((3, 1))}
    predictions = dataclasses.replace(
        predictions,
        tasks=(MOOD, flags),
        labels={**predictions.labels, **labels},
        answers={**predictions.answers, **answers},
    )
    tasks, fits = calibration.calibrated(predictions)
    assert tasks[1] is flags and fits.keys() == {"mood"}


def test_a_flag_without_a_true_label_keeps_its_threshold():
    flags = Flags(name="seen", names=("hat", "beard"), thresholds=(0.2, 0.3))
    predictions = predictions_of(np.array([0, 1, 2]), np.eye(3, dtype=np.float32))
    predictions = dataclasses.replace(
        predictions,
        tasks=(MOOD, flags),
        labels={**predictions.labels, "seen": np.array([[1, -1], [0, -1], [0, 0]])},
        answers={**predictions.answers, "seen": np.array([[0.9, 0.9], [0.2, 0.9], [0.1, 0.9]])},
    )
    tasks, _ = calibration.calibrated(predictions)
    assert tasks[1].thresholds == (pytest.approx(0.55), 0.3)


@pytest.mark.parametrize(
    ("labels", "top", "error"),
    [
        ([0, 0, 0, 1], 0.75, 0.0),  # three of four are right, as sure as said
        ([0, 0, 1, 1], 0.75, 0.25),  # half are right
        ([1, 1, 1, 1], 0.75, 0.75),
        ([0, 0, -1, -1], 1.0, 0.0),
        ([-1], 0.75, np.nan),
    ],
)
def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy(labels, top, error):
    answers = np.tile([top, 1 - top], (len(labels), 1))
    assert calibration_error(np.array(labels), answers) == pytest.approx(error, nan_ok=True)


def test_errors_of_two_bins_do_not_cancel():
    # Half of the faces 0.9 sure and half of those right, half 0.6 sure and all right: 0.5 x 0.4 + 0.5 x 0.4.
    answers = np.array([[0.9, 0.1]] * 2 + [[0.6, 0.4]] * 2)
    assert calibration_error(np.array([0, 1, 0, 0]), answers) == pytest.approx(0.4)
