"""What goes from a split into the predictions; tests/training has the model's side."""

import numpy as np

from emotion_gcn_jax.data.batches import Loader
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.evaluation.evaluator import evaluate
from emotion_gcn_jax.evaluation.report import report_metrics
from emotion_gcn_jax.tasks.classes import Classes
from tests.data.splits import split_of

TASKS = (Classes(name="expression", vocabulary=("Happy", "Sad")),)


def always_happy(batch):
    return {"expression": np.tile([0.9, 0.1], (len(batch["image"]), 1))}


def test_metrics_without_the_examples_that_a_bool_column_marks():
    """Always Happy is right for 2 of 5, and for 1 of the 3 that are not marked."""
    columns = {"expression": [0, 1, 0, 1, 1], "copy": np.array([1, 0, 0, 1, 0], bool), "row": np.arange(5)}
    split = split_of(columns, label_names=("Happy", "Sad"))
    loader = Loader(Input(8), batch_size=2, threads=0)
    predictions = evaluate(always_happy, split, TASKS, loader=loader)
    metrics = report_metrics(predictions)
    assert metrics["accuracy"] == 2 / 5 and metrics["without"].keys() == {"copy"}
    rest = metrics["without"]["copy"]
    assert (rest["accuracy"], rest["examples"]) == (1 / 3, 3)
