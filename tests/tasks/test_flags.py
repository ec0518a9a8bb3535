"""The task of flags, by hand."""

import dataclasses

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.flags import Flags

TASK = Flags(name="action_units", names=("AU1", "AU12", "AU4"))
METADATA = {"action_units": ["AU4", "AU1", "AU2", "AU12"]}  # the dataset's own order, with one more
COLUMNS = {"id": np.zeros(3, "S1"), "action_units": np.array([[0, 1, 1, 0], [-1, 0, 1, 1], [-1, -1, -1, -1]])}
LABELS = np.array([[1, 0, 0], [0, 1, -1], [-1, -1, -1]], np.int8)


@pytest.mark.parametrize("stored", [["AU4", "AU1", "AU2", "AU12"], [4, 1, 2, 12]])
def test_labels_are_read_by_the_flags_names(stored):
    labels = TASK.read(COLUMNS, {"action_units": stored})
    assert labels.dtype == np.int8
    np.testing.assert_array_equal(labels, LABELS)
    assert TASK.known(labels).tolist() == [[True, True, True], [True, True, False], [False] * 3]
    np.testing.assert_array_equal(TASK.targets(labels), [[1, 0, 0], [0, 1, np.nan], [np.nan] * 3])


def test_a_dataset_that_lacks_a_flag_is_named():
    TASK.check(METADATA, "faces")
    with pytest.raises(UserError, match=r"faces has the action_units AU4, .*action_units.names has AU9 as well"):
        Flags(name="action_units", names=("AU1", "AU9")).check(METADATA, "faces")
    np.testing.assert_array_equal(Flags(name="action_units", names=("AU9",)).read(COLUMNS, METADATA), [[-1]] * 3)


@pytest.mark.parametrize(
    ("positive_weights", "expected", "negative"),
    # Of 24 labels: the first flag is true in 1 and false in 3, the second in 1 and in 23, the third never true.
    # Balanced: 4 / (2 * 1) and 4 / (2 * 3); 23 is more than 10, so w and 10 w with 23 w + 10 w = 24; as they are.
    [
        ("none", "none", ()),
        ("balanced", (2.0, 240 / 33, 1.0), (2 / 3, 24 / 33, 1.0)),
        ("1,2.5,3", (1.0, 2.5, 3.0), ()),
    ],
)
def test_positive_weights(positive_weights, expected, negative):
    labels = np.zeros((24, 3), np.int8)
    labels[4:, 0] = -1
    labels[0, :2] = 1
    task = Flags(name="action_units", names=TASK.names, positive_weights=positive_weights)
    fitted = task.fitted(labels, "faces")
    assert (fitted.positive_weights, fitted.negative_weights) == (
        (expected, negative) if isinstance(expected, str) else (pytest.approx(expected), pytest.approx(negative))
    )


def test_a_flag_that_is_hardly_ever_false_is_capped_as_well():
    labels = np.ones((24, 1), np.int8)
    labels[0] = 0
    fitted = Flags(name="action_units", names=("AU1",), positive_weights="balanced").fitted(labels, "faces")
    np.testing.assert_allclose((*fitted.positive_weights, *fitted.negative_weights), (24 / 33, 240 / 33))


def test_the_specification_s_binary_cross_entropy():
    """Aff-Wild2 spec, section 14: log-odds 0, 2, -1 of 1, 0, 1; the third without a label; a pos_weight of 3."""
    logits, labels = np.array([[0.0, 2.0, -1.0]], np.float32), np.array([[1, 0, 1]], np.int8)
    task = Flags(name="action_units", names=("AU1", "AU2", "AU4"))
    np.testing.assert_allclose(task.loss(logits, labels), (0.693147 + 2.126928 + 1.313262) / 3, rtol=1e-6)
    np.testing.assert_allclose(task.loss(logits, np.array([[1, 0, -1]], np.int8)), 1.410038, rtol=1e-6)
    heavier = Flags(name="action_units", names=task.names, positive_weights=(3.0, 3.0, 3.0))
    np.testing.assert_allclose(heavier.loss(logits, labels), (2.079442 + 2.126928 + 3.939785) / 3, rtol=1e-6)


def test_balanced_weights_count_true_and_false_flags_alike():
    """Of one flag's three false labels and one true one, all with log-odds 0: ln 2, as without weights."""
    labels = np.array([[1], [0], [0], [0]], np.int8)
    task = Flags(name="action_units", names=("AU1",), positive_weights="balanced").fitted(labels, "faces")
    logits = np.zeros((4, 1), np.float32)
    np.testing.assert_allclose(task.loss(logits, labels), np.log(2), rtol=1e-6)
    logits[0] = np.log(3)  # 1/3 of the true one's surprise less, and it counts as much as the other three
    np.testing.assert_allclose(task.loss(logits, labels), (np.log(4 / 3) + np.log(2)) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("positive_weights", "expected"),
    # Log-odds ln 3: true with probability 3/4. AU1: true, then false; AU12: false, then true; AU4: false.
    [
        ("none", (2 * (np.log(4 / 3) + np.log(4)) / 2 + np.log(4)) / 3),
        ("2,1,5", ((2 * np.log(4 / 3) + np.log(4)) / 2 + (np.log(4 / 3) + np.log(4)) / 2 + np.log(4)) / 3),
    ],
)
def test_the_loss_weighs_true_flags(positive_weights, expected):
    task = Flags(name="action_units", names=TASK.names, positive_weights=positive_weights)
    logits = np.full((3, 3), np.log(3.0), np.float32)
    np.testing.assert_allclose(task.loss(logits, LABELS), expected, rtol=1e-6)
    np.testing.assert_allclose(task.answer(logits), np.full((3, 3), 0.75), rtol=1e-6)


def test_mixed_flags():
    mixed = TASK.mixed(LABELS, LABELS[[1, 0, 1]], np.float32(0.75))
    np.testing.assert_allclose(mixed, [[0.75, 0.25, -1], [0.25, 0.75, -1], [-1, -1, -1]], rtol=1e-6)
    # Log-odds ln 3; of a flag that is true with probability 3/4, and counts twice where it is: AU1 twice, AU12 twice.
    task = Flags(name="action_units", names=TASK.names, positive_weights="2,1,5")
    logits = np.full((3, 3), np.log(3.0), np.float32)
    au1 = (2 * 0.75 * np.log(4 / 3) + 0.25 * np.log(4) + 2 * 0.25 * np.log(4 / 3) + 0.75 * np.log(4)) / 2
    au12 = (0.25 * np.log(4 / 3) + 0.75 * np.log(4) + 0.75 * np.log(4 / 3) + 0.25 * np.log(4)) / 2
    np.testing.assert_allclose(task.loss(logits, mixed), (au1 + au12) / 2, rtol=1e-6)


ANSWERS = np.array([[0.5, 0.25, 0.75], [0.75, 0.25, 0.5], [1, 1, 1]], np.float32)


def test_metrics():
    metrics = TASK.metrics(LABELS, ANSWERS)
    # AU1: true then false, taken for true twice: TP 1, FP 1. AU12: never taken for true: FN 1. AU4: FP 1, none true.
    assert [metrics["per_flag"][name]["f1"] for name in TASK.names] == [2 / 3, 0, 0]
    assert metrics["f1_mean"] == pytest.approx(2 / 9)
    assert metrics["flag_accuracy_mean"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert metrics["always_true_f1_mean"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert metrics["per_flag"]["AU4"] == {"f1": 0, "accuracy": 0, "always_true_f1": 0, "true": 0, "examples": 1}
    assert TASK.interval_metrics(LABELS, ANSWERS) == {"f1_mean": metrics["f1_mean"]}
    assert TASK.selectable == ("f1_mean", "flag_accuracy_mean") and TASK.chief == ("f1_mean",)


def test_thresholds_of_their_own():
    """AU1 from 0.6 on, AU12 from 0.25, AU4 from 0.5: a metric, a decision and a line of text go by them."""
    task = dataclasses.replace(TASK, thresholds=(0.6, 0.25, 0.5))
    assert task.decided(ANSWERS[:2]).tolist() == [[False, True, True], [True, True, True]]
    # AU1: true, false and taken for false, true: no hit. AU12: false, true and taken for true twice: TP 1, FP 1.
    assert task.metrics(LABELS, ANSWERS)["per_flag"]["AU1"]["f1"] == 0
    assert task.metrics(LABELS, ANSWERS)["per_flag"]["AU12"]["f1"] == 2 / 3
    assert task.table_cells(task.describe(np.array([0.5, 0.25, 0.5]))) == ["AU12 AU4"]
    (read,) = registry.from_dicts(registry.to_dicts((task,)))
    assert read == task


@pytest.mark.parametrize("thresholds", ["0.5", (0.5, 0.5), ("a", "b", "c"), (0.5, 0.5, np.nan), (0.5, 0.5, 1.5)])
def test_thresholds_that_are_none(thresholds):
    with pytest.raises(UserError, match="a probability for each of its 3 names, found"):
        dataclasses.replace(TASK, thresholds=thresholds)


def test_csv_columns():
    assert TASK.csv_columns(LABELS, ANSWERS) == {
        "AU1_true": ["1", "0", ""],
        "AU12_true": ["0", "1", ""],
        "AU4_true": ["0", "", ""],
        "p_AU1": ["0.5", "0.75", "1"],
        "p_AU12": ["0.25", "0.25", "1"],
        "p_AU4": ["0.75", "0.5", "1"],
    }


@pytest.mark.parametrize(("probabilities", "true_ones"), [((0.5, 0.25, 0.75), "AU1 AU4"), ((0.25, 0.25, 0.25), "-")])
def test_what_is_said_of_a_face(probabilities, true_ones):
    described = TASK.describe(np.array(probabilities))
    assert described == {"action_units": dict(zip(TASK.names, probabilities, strict=True))}
    assert TASK.table_columns == {"action_units": 24}
    assert TASK.table_cells(described) == [true_ones]
    assert TASK.overlay_lines(described) == [(true_ones, 0.7)]
