"""The task of values, by hand."""

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks.values import Values

TASK = Values(name="affect", dimensions=("valence", "arousal"))
LABELS = np.array([[1, 0.5], [2, -0.5], [3, 0.5], [np.nan, 0.5]], np.float32)
ANSWERS = np.array([[1, 0.5], [3, 0.5], [5, 0.5], [9, 0.5]], np.float32)


def test_labels_are_columns_in_the_task_s_order():
    columns = {"id": np.zeros(2, "S1"), "arousal": np.array([0.5, np.nan]), "valence": np.array([-1.0, 1.0])}
    labels = TASK.read(columns, {})
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, [[-1, 0.5], [1, np.nan]])
    assert TASK.known(labels).tolist() == [[True, True], [True, False]]
    np.testing.assert_array_equal(TASK.targets(labels), labels)
    assert TASK.outputs == ("Valence", "Arousal")


def test_a_dimension_that_the_dataset_lacks_is_missing():
    labels = TASK.read({"id": np.zeros(2, "S1"), "valence": np.array([-1.0, 1.0])}, {})
    np.testing.assert_array_equal(labels, [[-1, np.nan], [1, np.nan]])


def test_a_table_s_own_columns_are_text():
    columns = {"id": np.zeros(5, "S1"), "valence": np.array([b"0.5", b"", b"-1", b" NA", b"nan"])}
    task = Values(name="energy", dimensions=("valence",))
    np.testing.assert_array_equal(task.read(columns, {})[:, 0], np.array([0.5, np.nan, -1, np.nan, np.nan], np.float32))


@pytest.mark.parametrize("cell", ["high", "0,5", "é"])
def test_text_that_is_no_number(cell):
    columns = {"id": np.zeros(2, "S1"), "valence": np.array([b"0.5", cell.encode()])}
    with pytest.raises(UserError, match=f"numbers, or nothing, in the column valence, and found '{cell}': correct it."):
        TASK.read(columns, {})


def test_each_dimension_needs_a_label_somewhere():
    split = np.array([[1, np.nan], [np.nan, 0.5]], np.float32)  # as of two streams
    assert TASK.fitted(split, "faces") == TASK
    with pytest.raises(UserError, match=r"has a label of arousal, which config.tasks.affect.dimensions names: correct"):
        TASK.fitted(split[:1], "faces")


@pytest.mark.parametrize(
    ("fields", "expected"),
    # Valence: labels 1, 2, 3, answers 1, 3, 5: means 2 and 3, population variances 2/3 and 8/3, covariance 4/3.
    # Arousal: the answers are constant, so the CCC is 0; the squared error is 1 in one of four.
    [
        ({}, 1 - (2 * 4 / 3 / (2 / 3 + 8 / 3 + 1)) / 2),
        ({"ccc_variance": "unbiased"}, 1 - (2 * 4 / 3 / (1 + 4 + 1)) / 2),
        ({"loss_name": "mse"}, (5 / 3 + 1 / 4) / 2),
    ],
)
def test_the_losses(fields, expected):
    task = Values(name="affect", dimensions=TASK.dimensions, **fields)
    np.testing.assert_allclose(task.loss(ANSWERS, LABELS), expected, rtol=1e-5)
    np.testing.assert_array_equal(task.answer(ANSWERS), ANSWERS)


def test_mixed_values():
    mixed = TASK.mixed(LABELS, LABELS[[1, 0, 3, 2]], np.float32(0.75))
    np.testing.assert_allclose(mixed, [[1.25, 0.25], [1.75, -0.25], [np.nan, 0.5], [np.nan, 0.5]], rtol=1e-6)


def test_metrics():
    metrics = TASK.metrics(LABELS, ANSWERS)
    assert metrics["ccc_valence"] == pytest.approx(8 / 13)  # as above: (8/3) / (13/3)
    assert metrics["ccc_arousal"] == 0 and metrics["ccc_mean"] == pytest.approx(4 / 13)
    assert metrics["pcc_valence"] == pytest.approx(1) and metrics["pcc_arousal"] == 0
    assert metrics["rmse_valence"] == pytest.approx((5 / 3) ** 0.5) and metrics["rmse_arousal"] == 0.5
    assert metrics["sagr_valence"] == 1 and metrics["sagr_arousal"] == 0.75
    intervals = TASK.interval_metrics(LABELS, ANSWERS)
    assert intervals == {name: metrics[name] for name in ("ccc_valence", "ccc_arousal", "ccc_mean")}
    assert TASK.selectable == ("ccc_mean",) and TASK.chief == ("ccc_valence", "ccc_arousal")


def test_csv_columns():
    assert TASK.csv_columns(LABELS[2:], ANSWERS[2:]) == {
        "valence_true": ["3", ""],
        "arousal_true": ["0.5", "0.5"],
        "valence_predicted": ["5", "9"],
        "arousal_predicted": ["0.5", "0.5"],
    }


def test_what_is_said_of_a_face():
    described = TASK.describe(np.array([0.25, -1.5]))
    assert described == {"valence": 0.25, "arousal": -1.5}
    assert TASK.table_columns == {"valence": 5, "arousal": 5}
    assert TASK.table_cells(described) == ["+0.25", "-1.50"]
    assert TASK.overlay_lines(described) == [("valence +0.25", 0.7), ("arousal -1.50", 0.7)]
