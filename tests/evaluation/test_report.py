"""The report's files: the numbers by hand, null instead of NaN, and pictures that can be opened."""

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation import figures
from emotion_gcn_jax.evaluation.figures import Grouping
from emotion_gcn_jax.evaluation.predictions import Predictions, bootstrap_intervals
from emotion_gcn_jax.evaluation.report import report_metrics, summary, write_report
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values

NAMES = ("Neutral", "Happy", "Sad")
EXPRESSION = Classes(name="expression", vocabulary=NAMES)
AFFECT = Values(name="affect", dimensions=("valence", "arousal"))
UNITS = Flags(name="action_units", names=("AU1", "AU2", "AU4"))
TOP_LEVEL = [
    "accuracy", "mean_class_accuracy", "macro_f1", "calibration_error", "ccc_valence", "ccc_arousal", "ccc_mean",
    "rmse_valence", "rmse_arousal", "pcc_valence", "pcc_arousal", "sagr_valence", "sagr_arousal", "examples",
]  # fmt: skip
REST = [
    "per_class", "confusion", "intervals_95", "tasks", "dataset", "split", "unreadable", "ten_crop", "checkpoint",
    "config",
]  # fmt: skip
OF_EXPRESSION = [*TOP_LEVEL[:4], "per_class", "confusion"]
OF_AFFECT = TOP_LEVEL[4:13]
HISTORY: list[dict[str, Any]] = [
    {"epoch": 1, "step": 10, "train_loss": 2.0, "learning_rate": 1e-3, "accuracy": 0.3, "ccc_mean": 0.1},
    {"epoch": 2, "step": 20, "train_loss": 1.5, "learning_rate": 1e-3, "accuracy": 0.5, "ccc_mean": float("nan")},
    {"epoch": 3, "step": 30, "train_loss": 1.2, "learning_rate": 1e-4, "accuracy": 0.4, "ccc_mean": None},
]


LABELS = {
    "expression": np.array([0, 1, 1, -1], np.int32),
    "affect": np.array([[1, 0.5], [2, -0.5], [3, 0.5], [np.nan, 0.5]], np.float32),
    "action_units": np.array([[1, 0, -1], [1, 1, -1], [0, 1, -1], [0, -1, -1]], np.int8),
}
ANSWERS = {
    "expression": np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.125, 0.75, 0.125], [1, 0, 0]], np.float32),
    "affect": np.array([[1, 0.5], [3, 0.5], [5, 0.5], [9, 0.5]], np.float32),
    "action_units": np.array([[0.9, 0.2, 0.9], [0.1, 0.5, 0.1], [0.6, 0.7, 0.1], [0.2, 0.9, 0.1]], np.float32),
}


def _predictions(tasks: tuple[Any, ...] = (EXPRESSION, AFFECT), **labels: np.ndarray) -> Predictions:
    names = [task.name for task in tasks]
    return Predictions(
        dataset="synthetic_faces",
        split="validation",
        ids=["a", "b", "c, quoted", "d"],
        tasks=tasks,
        labels={name: (LABELS | labels)[name] for name in names},
        answers={name: ANSWERS[name] for name in names},
    )


def _write(directory: Path, predictions: Predictions, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "checkpoint": "runs/demo/best",
        "config": {"batch_size": 4, "sizes": (1, 2), "limit": float("inf")},
        "history": HISTORY,
    }
    return write_report(directory, predictions, **(arguments | changes))


def test_metrics_by_hand() -> None:
    metrics = report_metrics(_predictions())
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
    # The same stands under the tasks' names.
    assert metrics["tasks"].keys() == {"expression", "affect"}
    named = metrics["tasks"]["expression"] | metrics["tasks"]["affect"]
    assert named == {name: value for name, value in metrics.items() if name in named}


def test_metrics_without_what_the_dataset_marks() -> None:
    marks = {"copy": np.array([True, False, False, False]), "never": np.zeros(4, bool), "always": np.ones(4, bool)}
    predictions = dataclasses.replace(_predictions(), marks=marks)
    metrics = report_metrics(predictions)
    rest = metrics["without"]["copy"]
    # Without a, which is right: c right, b wrong, d without an expression.
    assert metrics["without"].keys() == {"copy"} and (rest["accuracy"], rest["examples"]) == (0.5, 3)
    assert rest["confusion"]["matrix"] == [[0, 0, 0], [0, 1, 1], [0, 0, 0]] and rest["rmse_valence"] > 0
    assert rest.keys() == metrics.keys() - {"without"} and rest["intervals_95"]["accuracy"][0] <= 0.5
    first, second = summary(predictions.tasks, metrics).split("\n")
    assert first.startswith("accuracy 0.667 (") and second.startswith("without copy (3 of 4): accuracy 0.500 (")


def test_metrics_of_flags_by_hand() -> None:
    metrics = report_metrics(_predictions((UNITS,)))
    # AU1: of true a, b and predicted a, c one is common: 2 * 1 / (2 + 2); wrong are b and c, two of four. AU2 (of a, b
    # and c): true and predicted b, c. Nobody has annotated AU4. Always true: 2 * 2 / (2 + 4) and 2 * 2 / (2 + 3).
    per_flag = metrics["per_flag"]
    assert [per_flag[name]["f1"] for name in UNITS.names] == [0.5, 1, None]
    assert [per_flag[name]["accuracy"] for name in UNITS.names] == [0.5, 1, None]
    assert [per_flag[name]["always_true_f1"] for name in UNITS.names] == [pytest.approx(2 / 3), 0.8, None]
    assert metrics["f1_mean"] == metrics["flag_accuracy_mean"] == 0.75
    assert metrics["always_true_f1_mean"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert [per_flag[name]["examples"] for name in UNITS.names] == [4, 3, 0]


def test_the_protocol_and_the_baseline_are_shown() -> None:
    """Of a dataset that has a protocol; three classes and three units are not its own."""
    predictions = dataclasses.replace(_predictions((AFFECT, UNITS)), dataset="affwild2")
    metrics = report_metrics(predictions)
    assert metrics["protocol"] == {"abaw_affect": pytest.approx(4 / 13)}  # the mean CCC of test_metrics_by_hand
    first, second = summary(predictions.tasks, metrics | {"dataset": "affwild2"}).split("\n")
    assert ", always_true_f1_mean 0.733" in first  # (2 / 3 + 0.8) / 2
    assert second == "affwild2's protocol: abaw_affect 0.308"


@pytest.mark.parametrize(
    ("tasks", "missing"),
    [
        ((EXPRESSION, AFFECT), []),
        ((EXPRESSION,), OF_AFFECT),
        ((AFFECT,), OF_EXPRESSION),
        ((AFFECT, UNITS), OF_EXPRESSION),
        ((UNITS,), [*OF_EXPRESSION, *OF_AFFECT]),
    ],
)
def test_what_a_model_does_not_say_is_null(tasks: tuple[Any, ...], missing: list[str]) -> None:
    metrics = report_metrics(_predictions(tasks))
    assert metrics.keys() >= {*TOP_LEVEL, *OF_EXPRESSION, "intervals_95"}
    assert {name for name in metrics if metrics[name] is None} == set(missing)
    absent = {name for name, interval in metrics["intervals_95"].items() if interval is None}
    assert absent == set(missing) & {"accuracy", "ccc_valence", "ccc_arousal", "ccc_mean"}


def test_what_a_split_does_not_label_is_null() -> None:
    unlabelled = _predictions(expression=np.full(4, -1), affect=np.full((4, 2), np.nan))
    metrics = report_metrics(unlabelled)
    assert [name for name in TOP_LEVEL if metrics[name] is None] == TOP_LEVEL[:13]
    assert metrics["examples"] == 4


def test_a_metric_of_two_tasks_stands_under_both_their_names() -> None:
    second = dataclasses.replace(EXPRESSION, name="second")
    predictions = _predictions((EXPRESSION, AFFECT))
    predictions = dataclasses.replace(
        predictions,
        tasks=(EXPRESSION, second, AFFECT),
        labels=LABELS | {"second": np.array([1, 1, 1, 1])},
        answers=ANSWERS | {"second": ANSWERS["expression"]},
    )
    metrics = report_metrics(predictions)
    assert metrics["expression/accuracy"] == pytest.approx(2 / 3)
    assert metrics["second/accuracy"] == metrics["tasks"]["second"]["accuracy"] == 0.25
    assert metrics["accuracy"] is None and metrics["intervals_95"]["accuracy"] is None
    assert metrics["intervals_95"]["second/accuracy"][0] <= 0.25 <= metrics["intervals_95"]["second/accuracy"][1]
    assert metrics["ccc_valence"] == pytest.approx(8 / 13)  # unambiguous
    line = summary(predictions.tasks, metrics)
    assert line.startswith("expression/accuracy 0.667 (") and ", second/accuracy 0.250 (" in line
    assert ", ccc_mean 0.308 (" in line


def test_intervals_are_those_of_the_sampling_distributions() -> None:
    rng = np.random.default_rng(5)
    count, share, correlation = 400, 0.7, 0.8
    true = rng.integers(0, 2, count)
    right = np.arange(count) < share * count
    probabilities = np.eye(3)[np.where(right, true, 1 - true)]
    valence = rng.normal(size=count)
    arousal = correlation * valence + (1 - correlation**2) ** 0.5 * rng.normal(size=count)
    affect = {"true": np.stack([arousal, arousal], 1), "predicted": np.stack([valence, arousal], 1)}
    predictions = Predictions(
        dataset="any",
        split="any",
        ids=[str(k) for k in range(count)],
        tasks=(EXPRESSION, AFFECT),
        labels={"expression": true, "affect": affect["true"]},
        answers={"expression": probabilities, "affect": affect["predicted"]},
    )
    intervals = bootstrap_intervals(predictions)
    half = 1.96 * (share * (1 - share) / count) ** 0.5  # of a binomial share
    assert intervals["expression"]["accuracy"] == pytest.approx([share - half, share + half], abs=0.006)
    ccc = report_metrics(predictions)["ccc_valence"]
    half = 1.96 * (1 - correlation**2) / count**0.5  # of a correlation (Fisher), which the CCC nearly is here
    assert intervals["affect"]["ccc_valence"] == pytest.approx([ccc - half, ccc + half], abs=0.012)
    assert intervals["affect"]["ccc_arousal"] == [1, 1]
    assert intervals == bootstrap_intervals(predictions)


def test_no_interval_of_what_is_undefined() -> None:
    intervals = bootstrap_intervals(_predictions((EXPRESSION,), expression=np.full(4, -1)))
    assert intervals == {"expression": {"accuracy": None}}


def test_predictions_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="affect has 3 entries for 4 examples"):
        _predictions(affect=np.zeros((3, 2)))


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
    assert list(metrics)[len(TOP_LEVEL) :] == REST
    assert metrics["config"] == {"batch_size": 4, "sizes": [1, 2], "limit": None}
    assert (metrics["dataset"], metrics["split"], metrics["checkpoint"]) == (
        "synthetic_faces", "validation", "runs/demo/best",
    )  # fmt: skip
    for picture in directory.glob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) > 500
            assert np.asarray(image.convert("L")).std() > 5  # something is drawn


def _csv(directory: Path) -> list[list[str]]:
    with (directory / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_predictions_csv(tmp_path: Path) -> None:
    _write(tmp_path, _predictions())
    assert _csv(tmp_path) == [
        ["id", "expression_true", "expression_predicted", "p_Neutral", "p_Happy", "p_Sad", "valence_true",
         "arousal_true", "valence_predicted", "arousal_predicted"],
        ["a", "Neutral", "Neutral", "0.5", "0.25", "0.25", "1", "0.5", "1", "0.5"],
        ["b", "Happy", "Sad", "0.1", "0.2", "0.7", "2", "-0.5", "3", "0.5"],
        ["c, quoted", "Happy", "Happy", "0.125", "0.75", "0.125", "3", "0.5", "5", "0.5"],
        ["d", "", "Neutral", "1", "0", "0", "", "0.5", "9", "0.5"],
    ]  # fmt: skip


def test_predictions_csv_of_flags(tmp_path: Path) -> None:
    _write(tmp_path, _predictions((UNITS,)))
    assert _csv(tmp_path) == [
        ["id", "AU1_true", "AU2_true", "AU4_true", "p_AU1", "p_AU2", "p_AU4"],
        ["a", "1", "0", "", "0.9", "0.2", "0.9"],
        ["b", "1", "1", "", "0.1", "0.5", "0.1"],
        ["c, quoted", "0", "1", "", "0.6", "0.7", "0.1"],
        ["d", "0", "", "", "0.2", "0.9", "0.1"],
    ]  # fmt: skip


def test_classes_that_two_tasks_share_have_columns_of_their_own(tmp_path: Path) -> None:
    second = Classes(name="second", vocabulary=("Happy", "Bored"))
    predictions = dataclasses.replace(
        _predictions((EXPRESSION,)),
        tasks=(EXPRESSION, second),
        labels=LABELS | {"second": np.array([0, 1, 1, 0])},
        answers=ANSWERS | {"second": np.array([[0.25, 0.75]] * 4)},
    )
    _write(tmp_path, predictions)
    heading, first, *_ = _csv(tmp_path)
    assert heading[3:] == [
        "p_Neutral",
        "p_Happy",
        "p_Sad",
        "second_true",
        "second_predicted",
        "second_p_Happy",
        "p_Bored",
    ]
    assert first[3:] == ["0.5", "0.25", "0.25", "Happy", "Bored", "0.25", "0.75"]
    assert {path.name for path in tmp_path.glob("*.png")} == {"confusion.png", "second_confusion.png", "curves.png"}


@pytest.mark.parametrize(
    ("tasks", "labels", "pictures"),
    [
        ((EXPRESSION,), {}, ["confusion.png"]),
        ((AFFECT, UNITS), {}, ["action_units.png", "valence_arousal.png"]),
        ((EXPRESSION, AFFECT), {"affect": np.full((4, 2), np.nan)}, ["confusion.png"]),
        ((UNITS,), {"action_units": np.full((4, 3), -1)}, []),
        ((EXPRESSION,), {"expression": np.full(4, -1)}, []),
    ],
)
def test_pictures_that_do_not_apply_are_not_left_behind(
    tmp_path: Path, tasks: tuple[Any, ...], labels: dict[str, np.ndarray], pictures: list[str]
) -> None:
    _write(tmp_path, _predictions((EXPRESSION, AFFECT, UNITS)))
    _write(tmp_path, _predictions(tasks, **labels), history=[])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*pictures, "metrics.json", "predictions.csv"])


def test_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match=r"The report cannot be written to .*file.*: choose a directory"):
        _write(tmp_path / "file", _predictions())


def _pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def test_confusion_shows_the_matrix() -> None:
    counts = np.eye(3, dtype=int) * 10
    right, wrong = (_pixels(figures.confusion(matrix, NAMES, "title")) for matrix in (counts, counts[::-1]))
    assert right.shape == wrong.shape and (right != wrong).any()
    # The dark cells lie on the diagonal: from the upper left to the lower right, or the other way.
    left_of_the_colour_bar = np.arange(right.shape[1]) < 0.75 * right.shape[1]
    for pixels, sign in ((right, 1), (wrong, -1)):
        blue = (pixels[..., 2] > 100) & (pixels[..., 0] < 60) & left_of_the_colour_bar
        y, x = np.nonzero(blue)
        assert sign * np.corrcoef(x, y)[0, 1] > 0.8


@pytest.mark.parametrize("dimensions", [("dominance",), ("valence", "arousal"), ("valence", "arousal", "dominance")])
@pytest.mark.parametrize("has_classes", [True, False])
def test_values_of_every_kind_of_split(dimensions: tuple[str, ...], has_classes: bool) -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(-1, 1, (40, len(dimensions)))
    true[0] = np.nan
    predicted = true + 0.1
    predicted[1, 0] = np.nan
    predicted[2] = 40
    words = (*EXPRESSIONS, "Contempt") if has_classes else ()
    grouping = Grouping(words, rng.integers(-1, 8, 40) if has_classes else np.full(40, -1))
    picture = _pixels(figures.values(true, predicted, dimensions, grouping, "title"))
    assert picture.std() > 5
    assert (picture.shape[1] > picture.shape[0]) or len(dimensions) != 1


def test_flags_bars_are_as_long_as_their_scores() -> None:
    def bar(f1: float | None) -> int:
        flag = {
            "f1": f1,
            "always_true_f1": 0.0 if f1 is not None else None,
            "true": 1,
            "examples": 0 if f1 is None else 4,
        }
        pixels = _pixels(figures.flags({"AU1": flag, "AU2": flag}, "title")).astype(int)
        rows = pixels[: pixels.shape[0] // 2]  # above the legend
        return int(((rows[..., 2] - rows[..., 0]) > 100).sum(axis=1).max())

    assert bar(None) == 0
    assert bar(0.8) == pytest.approx(2 * bar(0.4), rel=0.02)


@pytest.mark.parametrize(
    "words", [(*EXPRESSIONS, "Contempt", "Other"), ("Bored", "Happy", "Engaged", "Neutral"), tuple("abcdefghi")]
)
def test_classes_have_colours_of_their_own(words: tuple[str, ...]) -> None:
    grouping = Grouping(words, np.arange(len(words)))
    assert len(set(grouping.colours())) == len(words)
    assert Grouping(words, np.array([-1])).colours()[0] not in grouping.colours()
    if "Happy" in words:  # which has the same colour in every report
        assert grouping.colour(words.index("Happy")) == Grouping(EXPRESSIONS, np.arange(7)).colour(1)


def test_curves_of_a_single_epoch_and_of_missing_metrics() -> None:
    first: dict[str, Any] = {"epoch": 1, "step": 5, "train_loss": 2.0, "accuracy": None}
    one = _pixels(figures.curves((EXPRESSION, AFFECT), [first]))
    all_panels = _pixels(figures.curves((EXPRESSION, AFFECT), HISTORY))
    assert all_panels.shape[1] > 1.5 * one.shape[1]


def test_curves_of_two_tasks_that_share_their_metrics_names() -> None:
    tasks = (EXPRESSION, dataclasses.replace(EXPRESSION, name="second"))
    row: dict[str, Any] = {"epoch": 1, "train_loss": 1.0, "learning_rate": 0.1}
    without = _pixels(figures.curves(tasks, [row]))
    shared = _pixels(figures.curves(tasks, [row | {"expression/accuracy": 0.3, "second/accuracy": 0.2}]))
    assert shared.shape[0] == 2 * without.shape[0]  # four panels in two rows, not two in one
