"""The task of classes, by hand."""

import dataclasses

import jax
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks.classes import Classes

TASK = Classes(name="expression", vocabulary=("Happy", "Sad", "Bored"))
# The dataset's own order, and a class that the task does not have.
METADATA = {"label_names": ["Sad", "Contempt", "Bored", "Happy"]}
COLUMNS = {"id": np.array([b"a", b"b", b"c", b"d", b"e"]), "expression": np.array([3, 0, 1, -1, 2])}


def test_labels_are_read_by_their_words():
    labels = TASK.read(COLUMNS, METADATA)
    assert labels.dtype == np.int32
    assert labels.tolist() == [0, 1, -1, -1, 2]  # Happy, Sad, Contempt, none, Bored
    assert TASK.known(labels).tolist() == [[True] * 3, [True] * 3, [False] * 3, [False] * 3, [True] * 3]
    np.testing.assert_array_equal(TASK.targets(labels), [[1, 0, 0], [0, 1, 0], [np.nan] * 3, [np.nan] * 3, [0, 0, 1]])


def test_a_label_beyond_the_dataset_s_words_is_refused():
    with pytest.raises(UserError, match=r"A label of expression is 3, and the dataset's own classes are 0 to 2 \(A, B"):
        TASK.read({"id": np.array([b"a", b"b"]), "expression": np.array([3, 0])}, {"label_names": ["A", "B", "C"]})


def test_a_task_of_another_name_has_words_of_its_own():
    mood = Classes(name="mood", vocabulary=("Bad", "Good"))
    columns = COLUMNS | {"mood": np.array([0, 1, 1, -1, 0])}
    assert mood.read(columns, METADATA | {"mood_names": ["Good", "Bad"]}).tolist() == [1, 0, 0, -1, 1]


def test_a_dataset_that_lacks_a_class_is_named():
    TASK.check(METADATA, "faces")
    with pytest.raises(UserError, match=r"faces has the classes Sad, Contempt, .*expression.vocabulary names Bred as"):
        Classes(name="expression", vocabulary=("Happy", "Bred")).check(METADATA, "faces")


@pytest.mark.parametrize(
    ("class_weights", "expected"),
    # Of labels 0, 0, 0, 0, 1, 2, 2: the rarest class, Sad, has 1.
    [("none", "none"), ("inverse_frequency", (1 / 4, 1, 1 / 2)), ("3,2,1", (3, 2, 1))],
)
def test_class_weights(class_weights, expected):
    task = Classes(name="expression", vocabulary=TASK.vocabulary, class_weights=class_weights)
    fitted = task.fitted(np.array([0, 0, 0, 0, 1, 2, 2, -1]), "faces")
    assert fitted.class_weights == expected


def test_a_class_without_examples_has_no_inverse_frequency():
    task = Classes(name="expression", vocabulary=TASK.vocabulary, class_weights="inverse_frequency")
    with pytest.raises(UserError, match="needs every class in the training split, Sad does not occur in faces"):
        task.fitted(np.array([0, 2, 2, -1]), "faces")


@pytest.mark.parametrize(
    ("class_weights", "expected"),
    # Of logits (ln 3, 0, 0) the first class has 3/5, the others 1/5; the labels are 0, 1 and none.
    [
        ("none", (np.log(5 / 3) + np.log(5)) / 2),
        ("4,1,1", (4 * np.log(5 / 3) + np.log(5)) / 5),
    ],
)
def test_the_loss_is_weighted_by_the_class(class_weights, expected):
    task = Classes(name="expression", vocabulary=TASK.vocabulary, class_weights=class_weights)
    logits = np.tile(np.log([3.0, 1.0, 1.0]).astype(np.float32), (3, 1))
    np.testing.assert_allclose(task.loss(logits, np.array([0, 1, -1])), expected, rtol=1e-6)
    np.testing.assert_allclose(task.answer(logits), [[0.6, 0.2, 0.2]] * 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "smoothing", "expected"),
    # Of logits (ln 3, 0, 0) the surprises are ln 5/3, ln 5 and ln 5.
    [
        # A class, smoothed: 0.7 + 0.3 / 3 of the first, 0.1 of each of the others.
        ([0, -1], 0.3, 0.8 * np.log(5 / 3) + 0.2 * np.log(5)),
        # Shares, and an example that counts half: (3/4 a + 1/4 b + 1/2 b) / (1 + 1/2).
        ([[0.75, 0.25, 0], [0, 0, 0.5]], 0.0, (0.75 * np.log(5 / 3) + 0.75 * np.log(5)) / 1.5),
    ],
)
def test_smoothed_and_soft_labels(labels, smoothing, expected):
    task = Classes(name="expression", vocabulary=TASK.vocabulary, label_smoothing=smoothing)
    logits = np.tile(np.log([3.0, 1.0, 1.0]).astype(np.float32), (2, 1))
    np.testing.assert_allclose(task.loss(logits, np.asarray(labels)), expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_impossible_smoothing(smoothing):
    with pytest.raises(UserError, match=r"label_smoothing must be at least 0 and below 1, such as 0\.1, found"):
        Classes(name="expression", vocabulary=TASK.vocabulary, label_smoothing=smoothing)


def test_arcface_s_outputs_are_cosines():
    task = Classes(name="expression", vocabulary=TASK.vocabulary, loss_name="arcface", class_weights="4,1,1")
    assert task.takes_cosines and not TASK.takes_cosines
    cosines = np.array([[0.6, 0.8, -0.6]] * 3, np.float32)
    # The losses are those of test_losses.py for a scale of 10 and a margin of 0.3; the last face has no class.
    np.testing.assert_allclose(task.loss(cosines, np.array([0, 1, -1])), (4 * 4.641830 + 0.760490) / 5, rtol=1e-6)
    # Answers are without a margin: softmax of 6, 8, -6, which a temperature of 2 halves.
    np.testing.assert_allclose(task.answer(cosines)[0], np.exp([6, 8, -6]) / np.exp([6, 8, -6]).sum(), rtol=1e-5)
    warm = dataclasses.replace(task, temperature=2.0)
    np.testing.assert_allclose(warm.answer(cosines)[0], np.exp([3, 4, -3]) / np.exp([3, 4, -3]).sum(), rtol=1e-5)


@pytest.mark.parametrize(("epochs", "margin"), [(0.0, 0.0), (0.5, 0.1), (1.5, 0.3), (9.0, 0.3)])
def test_a_margin_warms_up(epochs, margin):
    task = Classes(
        name="expression", vocabulary=TASK.vocabulary, loss_name="arcface", margin=0.3, margin_warmup_epochs=1.5
    )
    cosines, labels = np.array([[0.6, 0.8, -0.6]], np.float32), np.array([0])
    found = jax.jit(lambda epochs: task.at(epochs).loss(cosines, labels))(epochs)
    at_once = dataclasses.replace(task, margin=margin, margin_warmup_epochs=0.0)
    assert at_once.at(epochs) is at_once
    np.testing.assert_allclose(found, at_once.loss(cosines, labels), rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": 0.0}, r"expression\.scale must be a positive number, such as 10, found 0\.0"),
        ({"margin": 2.0}, r"expression\.margin must be an angle from 0 to pi / 2, such as 0\.3, found 2\.0"),
        ({"margin": float("nan")}, r"expression\.margin must be an angle"),
        ({"margin_warmup_epochs": -1.0}, r"margin_warmup_epochs must be 0 or a positive number"),
        ({"margin_variant": "hard"}, r"margin_variant 'hard': choose one of fallback, easy, plain"),
    ],
)
def test_impossible_margins(fields, message):
    with pytest.raises(UserError, match=message):
        Classes(name="expression", vocabulary=TASK.vocabulary, loss_name="arcface", **fields)


SOFT = Classes(name="expression", vocabulary=TASK.vocabulary, loss_name="soft_cross_entropy")
VOTES = {
    "expression_votes": np.array(
        # bored, unknown, happiness, Sad: ten votes each but for the fourth and the last
        [[1, 0, 9, 0], [2, 6, 1, 1], [0, 10, 0, 0], [0, 0, 0, 3], [np.nan, 0, 0, 0]],
        np.float32,
    )
}
VOTES_WORDS = {"expression_votes": ["Bored", "unknown", "happiness", "Sad"]}


def test_votes_are_learnt_and_classes_are_measured():
    labels = SOFT.training_labels(COLUMNS | VOTES, METADATA | VOTES_WORDS)
    assert labels.dtype == np.float32
    # Shares of Happy, Sad, Bored; the third has no vote that counts, nor a class, and the last has its class, Bored.
    expected = [[0.9, 0, 0.1], [0.25, 0.25, 0.5], [0, 0, 0], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(labels, expected, rtol=1e-6)
    assert SOFT.known(labels)[:, 0].tolist() == [True, True, False, True, True]
    classes = TASK.training_labels(COLUMNS | VOTES, METADATA | VOTES_WORDS)
    np.testing.assert_array_equal(classes, TASK.read(COLUMNS, METADATA))
    np.testing.assert_array_equal(SOFT.read(COLUMNS | VOTES, METADATA | VOTES_WORDS), classes)


def test_a_dataset_without_votes_is_named():
    SOFT.check(METADATA | VOTES_WORDS, "faces")
    with pytest.raises(UserError, match=r"learns from a column expression_votes .* which faces does not have: set it"):
        SOFT.check(METADATA, "faces")
    # Beside a dataset that has them, its classes are learnt.
    labels = SOFT.training_labels(COLUMNS, METADATA)
    np.testing.assert_array_equal(labels, [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]])


def test_mixed_classes():
    mixed = TASK.mixed(np.array([0, 0, -1, -1]), np.array([2, -1, 1, -1]), np.float32(0.75))
    np.testing.assert_allclose(mixed, [[0.75, 0, 0.25], [0.75, 0, 0], [0, 0.25, 0], [0, 0, 0]], rtol=1e-6)
    shares = np.array([[0.5, 0.5, 0]], np.float32)
    np.testing.assert_allclose(SOFT.mixed(shares, shares[:, ::-1], np.float32(0.5)), [[0.25, 0.5, 0.25]], rtol=1e-6)


LABELS = np.array([0, 1, 1, -1])
ANSWERS = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.125, 0.75, 0.125], [1, 0, 0]], np.float32)


def test_metrics():
    metrics = TASK.metrics(LABELS, ANSWERS)
    # Right: the first (Happy) and the third (Sad); the second is Sad and taken for Bored.
    assert metrics["accuracy"] == 2 / 3
    assert metrics["mean_class_accuracy"] == (1 + 1 / 2) / 2  # nobody is Bored
    assert metrics["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert metrics["confusion"]["matrix"].tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert metrics["confusion"]["label_names"] == ["Happy", "Sad", "Bored"]
    assert metrics["per_class"]["Sad"] == {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert TASK.interval_metrics(LABELS, ANSWERS) == {"accuracy": 2 / 3}
    assert TASK.chief == ("accuracy",)


def test_csv_columns():
    assert TASK.csv_columns(LABELS, ANSWERS) == {
        "expression_true": ["Happy", "Sad", "Sad", ""],
        "expression_predicted": ["Happy", "Bored", "Sad", "Happy"],
        "p_Happy": ["0.5", "0.1", "0.125", "1"],
        "p_Sad": ["0.25", "0.2", "0.75", "0"],
        "p_Bored": ["0.25", "0.7", "0.125", "0"],
    }


def test_what_is_said_of_a_face():
    described = TASK.describe(np.array([0.125, 0.75, 0.125]))
    assert described == {"expression": "Sad", "probabilities": {"Happy": 0.125, "Sad": 0.75, "Bored": 0.125}}
    assert TASK.table_columns == {"expression": 5, "probability": 4}
    assert TASK.table_cells(described) == ["Sad", "0.75"]
    assert TASK.overlay_lines(described) == [("Sad 75%", 1.0)]


def test_a_dataset_s_other_names_of_the_classes_are_understood():
    task = Classes(name="expression", vocabulary=("Happy", "Sad"))
    columns, metadata = {"id": np.zeros(2, bytes), "expression": np.array([1, 0])}, {"label_names": ["Sadness", "joy"]}
    task.check(metadata, "moods")
    assert task.read(columns, metadata).tolist() == [0, 1]


def test_a_second_task_of_classes_has_names_of_its_own():
    task = Classes(name="gaze", vocabulary=("Left", "Right"))
    columns = {"id": np.zeros(1, bytes), "gaze": np.array([1])}
    task.check({"label_names": ["Happy", "Sad"]}, "moods")
    assert task.read(columns, {"label_names": ["Happy", "Sad"], "gaze_names": ["Right", "Left"]}).tolist() == [0]
