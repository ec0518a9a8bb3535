"""Tasks from a config, and to and from a checkpoint."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from configs import common
from emotion_gcn_jax import presets
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values

CLASSES = {"kind": "classes", "vocabulary": "happiness, Sad"}
VALUES = {"kind": "values", "dimensions": "valence,arousal"}
FLAGS = {"kind": "flags", "names": "AU1,AU12"}


@pytest.mark.parametrize("model", presets.PRESETS)
def test_a_preset_s_tasks_come_from_a_config_and_go_through_a_checkpoint(model):
    tasks = registry.from_config(common.get_config(f"densenet_tiny,{model}").tasks)
    assert [task.name for task in tasks] == list(presets.preset(model).tasks)
    assert registry.from_dicts(json.loads(json.dumps(registry.to_dicts(tasks)))) == tasks


@pytest.mark.parametrize(
    "task",
    [
        Classes(name="mood", vocabulary=("Calm", "Excited"), weight=0.5, class_weights=(1.0, 0.25)),
        Classes(name="mood", vocabulary=("Calm", "Excited"), class_weights="inverse_frequency"),
        Classes(name="mood", vocabulary=("Calm", "Excited"), loss_name="arcface", margin=0.5, margin_variant="easy"),
        Values(name="power", dimensions=("dominance",), loss_name="mse"),
        Values(name="affect", dimensions=("valence", "arousal"), ccc_variance="unbiased"),
        Flags(name="action_units", names=("AU1", "AU12"), positive_weights=(2.0, 9.5)),
        Flags(name="action_units", names=("AU1",), positive_weights="balanced"),
    ],
)
def test_every_field_goes_through_json(task):
    assert registry.from_dicts(json.loads(json.dumps(registry.to_dicts((task,))))) == (task,)


def test_the_papers_nodes_come_first_whatever_the_config_s_order():
    config = {"aus": FLAGS, "affect": VALUES, "b": CLASSES, "expression": CLASSES, "arousal_only": VALUES}
    tasks = registry.from_config(config)
    assert [task.name for task in tasks] == ["b", "expression", "affect", "arousal_only", "aus"]


def test_the_paper_s_outputs_are_its_nodes():
    outputs = [name for task in registry.from_config(common.get_config().tasks) for name in task.outputs]
    assert outputs == [*EXPRESSIONS, "Valence", "Arousal"]


def test_a_vocabulary_is_read_by_any_usual_name():
    (task,) = registry.from_config({"expression": CLASSES})
    assert task == Classes(name="expression", vocabulary=("Happy", "Sad"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "config.tasks is empty: a run needs at least one task"),
        ({"x": {"vocabulary": "a,b"}}, "Unknown config.tasks.x.kind '': choose one of classes, values, flags"),
        ({"x": {"kind": "ranks"}}, "Unknown config.tasks.x.kind 'ranks'"),
        ({"x": {"kind": "classes"}}, "config.tasks.x is of kind classes, whose fields are .*; found no vocabulary"),
        (
            {"x": VALUES | {"vocabulary": "a,b"}},
            "kind values, whose fields are weight, dimensions, .* found vocabulary",
        ),
        ({"x": CLASSES | {"vocabulary": "Happy"}}, "two or more different classes"),
        ({"x": CLASSES | {"vocabulary": "Happy,joy"}}, "two or more different classes"),
        ({"x": VALUES | {"dimensions": ""}}, "config.tasks.x.dimensions has one or more different names, .* found ''"),
        ({"x": FLAGS | {"names": "AU1,AU1"}}, "config.tasks.x.names has one or more different names"),
        ({"x": CLASSES | {"loss": "bce"}}, "Unknown loss of x 'bce': choose one of cross_entropy"),
        ({"x": VALUES | {"loss": "bce"}}, "Unknown loss of x 'bce': choose one of ccc, mse"),
        ({"x": FLAGS | {"loss": "mse"}}, "Unknown loss of x 'mse': choose one of bce"),
        ({"x": VALUES | {"ccc_variance": "biased"}}, "'biased': choose one of population, unbiased"),
        ({"x": CLASSES | {"class_weights": "1,0"}}, "none, inverse_frequency or 2 positive numbers"),
        ({"x": FLAGS | {"positive_weights": "1"}}, "none, balanced or 2 positive numbers"),
        ({"x": FLAGS | {"positive_weights": "1,nan"}}, "none, balanced or 2 positive numbers"),
        ({"image": CLASSES}, "none of image, features, sound, .*, which a batch has besides; found 'image'"),
        ({"features": CLASSES}, "which a batch has besides; found 'features'"),
        ({"a/b": CLASSES}, "A task's name is one word, .* found 'a/b'"),
    ],
)
def test_what_does_not_do_is_answered_in_one_sentence(config, message):
    with pytest.raises(UserError, match=message) as caught:
        registry.from_config(config)
    assert "\n" not in str(caught.value)


def test_short_names_that_two_tasks_have_stand_for_neither():
    tasks = registry.from_config({"expression": CLASSES, "mood": CLASSES, "affect": VALUES})
    short = registry.short_names(tasks)
    assert short == {
        "ccc_mean": "affect/ccc_mean",
        "ccc_valence": "affect/ccc_valence",
        "ccc_arousal": "affect/ccc_arousal",
    }
    assert "mood/macro_f1" in registry.selectable(tasks) and "affect/ccc_mean" in registry.selectable(tasks)


TASKS = registry.from_config({"expression": CLASSES, "affect": VALUES, "action_units": FLAGS})


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_dataset_without_the_column_has_no_label_of_the_task(task):
    labels = task.read({"id": np.zeros(3, "S1")}, {})
    assert task.known(labels).shape == (3, 2) and not task.known(labels).any()
    assert np.isnan(task.targets(labels)).all()
    task.check({}, "dataset")  # nothing to object to


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_every_kind_keeps_the_promises_of_a_task(task):
    """What the step, the report and the predictor rely on, for a task with two outputs."""
    labels = task.read({"id": np.zeros(4, "S1")}, {})
    answers = np.asarray(task.answer(np.zeros((4, 2), np.float32)))
    assert answers.shape == (4, 2)
    assert float(jax.jit(task.loss)(np.zeros((4, 2), np.float32), labels)) == 0
    metrics = task.metrics(labels, answers)
    assert all(np.isnan(metrics[name]) for name in (*task.selectable, *task.chief))
    assert all(np.isnan(value) for value in task.interval_metrics(labels, answers).values())
    assert {len(column) for column in task.csv_columns(labels, answers).values()} == {4}
    described = task.describe(answers[0])
    assert json.loads(json.dumps(described)) == described
    assert len(task.table_cells(described)) == len(task.table_columns)
    assert all(isinstance(line, str) and 0 < size <= 1 for line, size in task.overlay_lines(described))
    assert dataclasses.replace(task, weight=2.0).fitted(np.zeros_like(labels), "dataset").weight == 2.0
