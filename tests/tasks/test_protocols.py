"""The scores of datasets' own protocols, by hand and by scikit-learn."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from emotion_gcn_jax.labels import ABAW_UNITS, EXPRESSIONS
from emotion_gcn_jax.tasks import protocols
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values

AFFECT = Values(name="affect", dimensions=("valence", "arousal"))


def classes(*more: str) -> Classes:
    return Classes(name="expression", vocabulary=(*EXPRESSIONS, *more))


def units(count: int) -> Flags:
    return Flags(name="action_units", names=ABAW_UNITS[count])


def test_the_multi_task_sum():
    """Aff-Wild2 spec, section 14: CCC .31 and .17, expressions .23, action units .39 make .86."""
    metrics = {
        "expression": {"accuracy": 0.5, "per_class": {word: {"f1": 0.23} for word in classes("Other").vocabulary}},
        "affect": {"ccc_mean": (0.31 + 0.17) / 2},
        "action_units": {
            "per_flag": {name: {"f1": 0.39, "accuracy": 0.6, "examples": 5} for name in ABAW_UNITS[12]},
        },
    }
    scores = protocols.scores("affwild2", (classes("Other"), AFFECT, units(12)), metrics)
    assert scores == pytest.approx(
        {
            "abaw3_expression": 0.23,
            "abaw_affect": 0.24,
            "abaw1_action_units": 0.5 * 0.39 + 0.5 * 0.6,
            "abaw3_action_units": 0.39,
            "abaw3_multi_task": 0.86,
        }
    )
    assert "abaw3_multi_task" not in protocols.scores("affwild2", (classes("Other"), units(12)), metrics)
    assert protocols.scores("synthetic_faces", (AFFECT,), metrics) == {}


@pytest.mark.parametrize(("more", "name"), [((), "abaw1_expression"), (("Other",), "abaw3_expression")])
def test_expressions_by_scikit_learn(more, name):
    """Fear, which neither occurs nor is predicted, counts as 0."""
    task, rng = classes(*more), np.random.default_rng(4)
    places = [place for place, word in enumerate(task.vocabulary) if word != "Fear"]
    true, answers = rng.choice(places, 200), np.zeros((200, len(task.vocabulary)))
    predicted = np.where(rng.random(200) < 0.5, true, rng.choice(places, 200))
    answers[np.arange(200), predicted] = 1
    scores = protocols.scores("affwild2", (task,), {task.name: task.metrics(true, answers)})
    every = range(len(task.vocabulary))
    f1 = sklearn_metrics.f1_score(true, predicted, average="macro", labels=every, zero_division=0)
    accuracy = sklearn_metrics.accuracy_score(true, predicted)
    assert scores == pytest.approx({name: f1 if more else 0.67 * f1 + 0.33 * accuracy})


@pytest.mark.parametrize("count", [8, 12])
def test_action_units_by_scikit_learn(count):
    """The total accuracy is over all labels, the F1 a mean over the units, each over the frames that it is known of."""
    task, rng = units(count), np.random.default_rng(5)
    labels, answers = rng.integers(-1, 2, (50, count)), rng.random((50, count))
    scores = protocols.scores("affwild2", (task,), {task.name: task.metrics(labels, answers)})
    known, predicted = labels >= 0, answers >= 0.5
    f1 = np.mean([sklearn_metrics.f1_score(labels[k, i], predicted[k, i]) for i, k in enumerate(known.T)])
    accuracy = sklearn_metrics.accuracy_score(labels[known], predicted[known])
    third = {"abaw3_action_units": f1} if count == 12 else {}
    assert scores == pytest.approx({"abaw1_action_units": 0.5 * f1 + 0.5 * accuracy, **third})


def test_a_score_that_labels_are_missing_for_is_undefined():
    """One action unit that nobody annotated is enough; so is no class at all."""
    labels = np.ones((3, 12), np.int8)
    labels[:, 4] = -1
    metrics = {
        "expression": classes().metrics(np.full(3, -1), np.eye(3, 7)),
        "action_units": units(12).metrics(labels, np.ones((3, 12))),
    }
    scores = protocols.scores("affwild2", (classes(), units(12)), metrics)
    assert len(scores) == 3 and all(math.isnan(score) for score in scores.values())


def test_raf_dbs_two_numbers():
    """Aff-Wild2 spec, section 14: of [[8, 2], [1, 1]] the accuracy is .75, the mean of the diagonal .65."""
    true = np.repeat([0, 0, 1, 1], (8, 2, 1, 1))
    answers = np.eye(7)[np.repeat([0, 1, 0, 1], (8, 2, 1, 1))]
    scores = protocols.scores("rafdb", (classes(),), {"expression": classes().metrics(true, answers)})
    assert scores == pytest.approx({"rafdb_accuracy": 0.75, "rafdb_mean_of_diagonal": 0.65})
