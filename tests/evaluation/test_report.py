"""The report's files: the numbers by hand, null instead of NaN, and pictures that can be opened."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation import plots
from emotion_gcn_jax.evaluation.report import Predictions, bootstrap_intervals, metrics_dict, write_report
from emotion_gcn_jax.labels import EXPRESSIONS

NAMES = ("Neutral", "Happy", "Sad")
TOP_LEVEL = [
    "accuracy", "mean_class_accuracy", "macro_f1", "ccc_valence", "ccc_arousal", "ccc_mean", "rmse_valence",
    "rmse_arousal", "pcc_valence", "pcc_arousal", "sagr_valence", "sagr_arousal", "examples",
]  # fmt: skip
HISTORY: list[dict[str, Any]] = [
    {"epoch": 1, "step": 10, "train_loss": 2.0, "learning_rate": 1e-3, "accuracy": 0.3, "ccc_mean": 0.1},
    {"epoch": 2, "step": 20, "train_loss": 1.5, "learning_rate": 1e-3, "accuracy": 0.5, "ccc_mean": float("nan")},
    {"epoch": 3, "step": 30, "train_loss": 1.2, "learning_rate": 1e-4, "accuracy": 0.4, "ccc_mean": None},
]


def _predictions(**changes: Any) -> Predictions:
    fields: dict[str, Any] = {
        "ids": ["a", "b", "c, quoted", "d"],
        "probabilities_NxC": np.array(
            [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.125, 0.75, 0.125], [1, 0, 0]], np.float32
        ),
        "valence_N": np.array([1, 3, 5, 9], np.float32),
        "arousal_N": np.array([0.5, 0.5, 0.5, 0.5], np.float32),
        "true_expression_N": np.array([0, 1, 1, -1]),
        "true_valence_N": np.array([1, 2, 3, np.nan], np.float32),
        "true_arousal_N": np.array([0.5, -0.5, 0.5, 0.5], np.float32),
    }
    return Predictions(**(fields | changes))


def _write(directory: Path, predictions: Predictions, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "label_names": NAMES,
        "dataset": "synthetic_faces",
        "split": "validation",
        "checkpoint": "runs/demo/best",
        "config": {"batch_size": 4, "sizes": (1, 2), "limit": float("inf")},
        "history": HISTORY,
    }
    return write_report(directory, predictions, **(arguments | changes))


def test_metrics_by_hand() -> None:
    metrics = metrics_dict(_predictions(), NAMES)
    # Right: a (Neutral) and c (Happy); wrong: b (Happy taken for Sad).
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["mean_class_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert metrics["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert metrics["confusion"] == {"label_names": list(NAMES), "matrix": [[1, 0, 0], [0, 1, 1], [0, 0, 0]]}
    assert metrics["per_class"]["Happy"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert metrics["per_class"]["Sad"] == {"precision": 0.0, "recall": None, "f1": 0.0, "support": 0}
    # Valence as in test_metrics; arousal is predicted by a constant: no concordance, error 1 in one of four.
    assert metrics["ccc_valence"] == pytest.approx(8 / 13)
    assert metrics["ccc_arousal"] == 0 and metrics["ccc_mean"] == pytest.approx(4 / 13)
    assert metrics["rmse_arousal"] == 0.5 and metrics["sagr_arousal"] == 0.75
    assert metrics["rmse_valence"] == pytest.approx((5 / 3) ** 0.5) and metrics["pcc_valence"] == pytest.approx(1)
    assert metrics["examples"] == 4


def test_what_a_model_does_not_say_is_null() -> None:
    metrics = metrics_dict(_predictions(valence_N=None, arousal_N=None), NAMES)
    assert [name for name in TOP_LEVEL if metrics[name] is None] == TOP_LEVEL[3:12]
    metrics = metrics_dict(_predictions(probabilities_NxC=None), NAMES)
    assert [name for name in TOP_LEVEL if metrics[name] is None] == TOP_LEVEL[:3]
    assert metrics["per_class"] is None and metrics["confusion"] is None


def test_what_a_split_does_not_label_is_null() -> None:
    nothing = np.full(4, np.nan)
    unlabelled = _predictions(true_expression_N=np.full(4, -1), true_valence_N=nothing, true_arousal_N=nothing)
    metrics = metrics_dict(unlabelled, NAMES)
    assert [name for name in TOP_LEVEL if metrics[name] is None] == TOP_LEVEL[:12]
    assert metrics["examples"] == 4


def test_intervals_are_those_of_the_sampling_distributions() -> None:
    rng = np.random.default_rng(5)
    count, share, correlation = 400, 0.7, 0.8
    true = rng.integers(0, 2, count)
    right = np.arange(count) < share * count
    probabilities = np.eye(3)[np.where(right, true, 1 - true)]
    valence = rng.normal(size=count)
    arousal = correlation * valence + (1 - correlation**2) ** 0.5 * rng.normal(size=count)
    fields = dict(true_expression_N=true, probabilities_NxC=probabilities, valence_N=valence, arousal_N=arousal)
    predictions = Predictions([str(k) for k in range(count)], **fields, true_valence_N=arousal, true_arousal_N=arousal)
    intervals = bootstrap_intervals(predictions, NAMES)
    half = 1.96 * (share * (1 - share) / count) ** 0.5  # of a binomial share
    assert intervals["accuracy"] == pytest.approx([share - half, share + half], abs=0.006)
    ccc = metrics_dict(predictions, NAMES)["ccc_valence"]
    half = 1.96 * (1 - correlation**2) / count**0.5  # of a correlation (Fisher), which the CCC nearly is here
    assert intervals["ccc_valence"] == pytest.approx([ccc - half, ccc + half], abs=0.012)
    assert intervals["ccc_arousal"] == [1, 1]
    assert intervals == bootstrap_intervals(predictions, NAMES)


def test_no_interval_of_what_is_undefined() -> None:
    unlabelled = _predictions(true_expression_N=np.full(4, -1), valence_N=None, arousal_N=None)
    assert set(bootstrap_intervals(unlabelled, NAMES).values()) == {None}


def test_predictions_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="valence_N has 3 entries for 4 examples"):
        _predictions(valence_N=np.zeros(3))


def test_label_beyond_the_models_classes_is_named() -> None:
    with pytest.raises(UserError, match="3-class task are 0 to 2, but 1 of 3 examples have 7"):
        metrics_dict(_predictions(true_expression_N=np.array([0, 7, 1, -1])), NAMES)


def test_all_files_are_written(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "report"
    returned = _write(directory, _predictions())
    assert sorted(path.name for path in directory.iterdir()) == [
        "confusion.png", "curves.png", "metrics.json", "predictions.csv", "valence_arousal.png",
    ]  # fmt: skip
    text = (directory / "metrics.json").read_text(encoding="utf-8")
    assert "NaN" not in text and "Infinity" not in text
    metrics = json.loads(text)
    assert metrics == returned
    assert list(metrics)[: len(TOP_LEVEL)] == TOP_LEVEL
    assert list(metrics)[len(TOP_LEVEL) :] == [
        "per_class", "confusion", "intervals_95", "dataset", "split", "checkpoint", "config",
    ]  # fmt: skip
    assert metrics["config"] == {"batch_size": 4, "sizes": [1, 2], "limit": None}
    assert (metrics["dataset"], metrics["split"], metrics["checkpoint"]) == (
        "synthetic_faces", "validation", "runs/demo/best",
    )  # fmt: skip
    for picture in directory.glob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) > 500
            assert np.asarray(image.convert("L")).std() > 5  # something is drawn


def test_predictions_csv(tmp_path: Path) -> None:
    _write(tmp_path, _predictions(arousal_N=None))
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["id", "expression_true", "expression_predicted", "p_Neutral", "p_Happy", "p_Sad", "valence_true",
         "arousal_true", "valence_predicted", "arousal_predicted"],
        ["a", "Neutral", "Neutral", "0.5", "0.25", "0.25", "1", "0.5", "1", ""],
        ["b", "Happy", "Sad", "0.1", "0.2", "0.7", "2", "-0.5", "3", ""],
        ["c, quoted", "Happy", "Happy", "0.125", "0.75", "0.125", "3", "0.5", "5", ""],
        ["d", "", "Neutral", "1", "0", "0", "", "0.5", "9", ""],
    ]  # fmt: skip


def test_pictures_that_do_not_apply_are_not_left_behind(tmp_path: Path) -> None:
    _write(tmp_path, _predictions())
    _write(tmp_path, _predictions(valence_N=None, arousal_N=None), history=[])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.png", "metrics.json", "predictions.csv"]


def test_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match=r"The report cannot be written to .*file.*: choose a directory"):
        _write(tmp_path / "file", _predictions())


def _pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def test_confusion_shows_the_matrix() -> None:
    counts = np.eye(3, dtype=int) * 10
    right, wrong = (_pixels(plots.confusion(matrix, NAMES, "title")) for matrix in (counts, counts[::-1]))
    assert right.shape == wrong.shape and (right != wrong).any()
    # The dark cells lie on the diagonal: from the upper left to the lower right, or the other way.
    left_of_the_colour_bar = np.arange(right.shape[1]) < 0.75 * right.shape[1]
    for pixels, sign in ((right, 1), (wrong, -1)):
        blue = (pixels[..., 2] > 100) & (pixels[..., 0] < 60) & left_of_the_colour_bar
        y, x = np.nonzero(blue)
        assert sign * np.corrcoef(x, y)[0, 1] > 0.8


def test_affect_plane_of_every_kind_of_split() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(-1, 1, (40, 2))
    true[0] = np.nan
    predicted = true + 0.1
    predicted[1] = np.nan, 0
    predicted[2] = 40, -3
    for expression in (rng.integers(-1, 8, 40), np.full(40, -1)):
        names = (*EXPRESSIONS, "Contempt")
        assert _pixels(plots.affect_plane(true, predicted, expression, names, "title")).std() > 5


def test_curves_of_a_single_epoch_and_of_missing_metrics() -> None:
    first: dict[str, Any] = {"epoch": 1, "step": 5, "train_loss": 2.0, "accuracy": None}
    one = _pixels(plots.curves([first]))
    all_panels = _pixels(plots.curves(HISTORY))
    assert all_panels.shape[1] > 1.5 * one.shape[1]
