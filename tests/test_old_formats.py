"""Checkpoints of every format that there was are read: stored ones, and configs of format 1 written out by hand."""

import json

import jax
import numpy as np
import pytest

import emotion_gcn_jax as eg
from configs import synthetic_faces
from emotion_gcn_jax import checkpoints, old_formats
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.training import starting_point
from tests.stored_runs import FORMATS, expected_of, run_of

LATER_PARTS = {
    **{"hidden": [], "dropout": 0.0, "embedding": 0, "recurrent": [], "reset": "after", "bidirectional": False},
    **{"hearing": "", "hearing_width": 512, "fusion": "concat", "mask_bn": False, "frozen_trunk": False},
}
"""Of a model: fields that format 2 has got since."""

SIZES = [(32, 32), (40, 36), (64, 80)]


def pictures():
    """Stripes of three sizes, in numbers that no version of a library decides."""
    return [(np.arange(h * w * 3) * 37 % 251).astype(np.uint8).reshape(h, w, 3) for h, w in SIZES]


def test_there_is_a_stored_run_of_every_format():
    formats = [f"format_{number}" for number in range(1, checkpoints.FORMAT_VERSION + 1)]
    assert formats == FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_a_stored_checkpoint_says_today_what_it_said_when_it_was_written(name):
    model = eg.load(run_of(name))
    expected = expected_of(name)["faces"]
    for face, then in zip(model.predict_faces(pictures()), expected, strict=True):
        assert face.expression == then["expression"]
        # The scores of a face lie within -1 and 1; float32 and other processors' instructions move them by 2e-7.
        assert face.probabilities == pytest.approx(then["probabilities"], abs=1e-6)
        assert (face.valence, face.arousal) == pytest.approx((then["valence"], then["arousal"]), abs=1e-6)
    assert model.label_names == ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
    assert (model.input.side, model.crop.side, model.crop.size) == (32, 1.3, 32)
    assert model.meta["step"] == 7


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("field", ["checkpoint", "trunk"])
def test_a_stored_checkpoint_is_a_starting_point(name, field):
    config = synthetic_faces.get_config("densenet_tiny,emotion_gcn")
    config.init[field] = str(run_of(name))
    tasks = registry.from_config(config.tasks)
    start = starting_point.read(config, tasks)
    graph = starting_point.constants(start) or {"adjacency": np.eye(9), "word_vectors": np.zeros((9, 4))}
    net = emotion_net.from_config(config, tasks, graph)
    fresh = emotion_net.init_variables(net, 0, 32, constants=graph)
    variables = starting_point.replace(jax.tree.map(lambda array: array, fresh), start, net)
    stored = checkpoints.read(run_of(name)).variables
    taken = {"checkpoint": ("trunk", "head"), "trunk": ("trunk",)}[field]
    for part in taken:
        jax.tree.map(np.testing.assert_array_equal, variables["params"][part], stored["params"][part])
    if field == "checkpoint":
        jax.tree.map(np.testing.assert_array_equal, variables["constants"], stored["constants"])
    else:
        jax.tree.map(np.testing.assert_array_equal, variables["params"]["head"], fresh["params"]["head"])


def test_a_newer_format_is_refused(tmp_path):
    newer = checkpoints.FORMAT_VERSION + 1
    checkpoints.write(tmp_path / "new", {"params": {"trunk": {"a": np.zeros(2)}}}, {"format_version": newer})
    with pytest.raises(UserError, match=rf"has format {newer}, this version reads up to {newer - 1}: update"):
        eg.load(tmp_path / "new")


def old_config(trunk, name, classes=7, **loss):
    """The fields of a config of format 1 that have changed, and one in each group that has not."""
    return {
        "dataset": {"name": "affectnet", "require": "both"},
        "data": {"image_size": 112, "resize": "area", "threads": 4},
        "model": {"trunk": trunk, "name": name, "num_classes": classes, "dtype": "float32", "remat": False},
        "graph": {"propagation": "row"},
        "loss": {"class_weights": "none", "affect_weight": 1.0, "ccc_variance": "population"} | loss,
    }


@pytest.mark.parametrize(
    ("trunk", "name", "readout", "head", "tasks"),
    [
        ("densenet121", "single_task", "average", "linear", ["expression"]),
        ("densenet121", "multi_task", "average", "linear", ["expression", "affect"]),
        ("densenet121", "emotion_gcn", "max", "graph", ["expression", "affect"]),
        ("bregnext50", "emotion_gcn", "average", "graph", ["expression", "affect"]),
    ],
)
def test_configs_of_format_1_have_todays_fields(trunk, name, readout, head, tasks):
    config = old_formats.config(old_config(trunk, name, class_weights="1,1,1,1,1,1,2", affect_weight=5.0))
    parts = {"trunk": trunk, "readout": readout, **LATER_PARTS, "head": head}
    assert config["model"] == {**parts, "dtype": "float32", "remat": False}
    assert config["clip"]["length"] == 1
    assert (config["input"]["side"], config["input"]["resize"], config["input"]["channels"]) == (112, "area", 3)
    assert config["data"] == {"threads": 4, "mask_damaged": False, "features": ""} and "loss" not in config
    assert config["dataset"]["require"] == "all" and config["dataset"]["folds"] == 0
    assert list(config["tasks"]) == tasks
    assert config["tasks"]["expression"]["class_weights"] == "1,1,1,1,1,1,2"
    assert [fields["weight"] for fields in config["tasks"].values()] == [1.0, 5.0][: len(tasks)]
    # It is the config that today's file would make, and reading it again changes nothing.
    today = synthetic_faces.get_config(f"{trunk},{name}")
    assert config["tasks"].keys() == set(today.tasks)
    assert all(config["tasks"][task].keys() == set(today.tasks[task]) for task in tasks)
    assert config["input"].keys() == set(today.input)
    assert old_formats.config(config) == config


def test_fields_that_came_later_are_off():
    today, before = (json.loads(synthetic_faces.get_config("densenet_tiny,multi_task").to_json()) for _ in range(2))
    del before["dataset"]["balance"], before["input"]["crop"], before["optimizer"]["nesterov"]
    del before["model"]["hidden"], before["model"]["embedding"], before["tasks"]["expression"]["margin"]
    del before["augmentation"]["zoom"], before["augmentation"]["erase_area"], before["clip"]
    del before["tasks"]["expression"]["label_smoothing"]
    assert old_formats.config(before) == today
    assert "zoom" not in before["augmentation"]
    of_weights = {"model": {"trunk": "densenet121"}, "graph": {"propagation": "row"}}
    later = {"model": {"trunk": "densenet121", **LATER_PARTS}, "clip": {"length": 1, "min_present": 0.75}}
    assert old_formats.config(of_weights) == of_weights | later


@pytest.mark.parametrize("name", FORMATS)
def test_a_stored_configs_fields_are_todays(name):
    """Whoever adds a field to a config says in old_formats what it means for a run from before."""
    stored = old_formats.config(json.loads((run_of(name) / "config.json").read_text()))
    today = json.loads(synthetic_faces.get_config("densenet_tiny,emotion_gcn").to_json())
    for then, now in ((stored, today), (stored["tasks"], today["tasks"])):
        assert {group: then[group].keys() for group in then} == {group: now[group].keys() for group in now}


def test_eight_classes_of_format_1_end_with_contempt():
    (task,) = registry.from_config(old_formats.config(old_config("densenet121", "single_task", 8))["tasks"])
    assert task.outputs[7:] == ("Contempt",)


def test_the_given_config_is_not_changed():
    config = old_config("densenet121", "multi_task")
    old_formats.config(config)
    assert config == old_config("densenet121", "multi_task")


@pytest.mark.parametrize(
    ("name", "classes"),
    [("single_task", 7), ("single_task", 8), ("multi_task", 7), ("multi_task", 8), ("emotion_gcn", 7)],
)
def test_weights_of_format_1_fit_todays_layers(name, classes):
    config = old_formats.config(old_config("densenet_tiny", name, classes))
    tasks = registry.from_config(config["tasks"])
    net = emotion_net.from_config(config, tasks, {"word_vectors": np.zeros((9, 4))} if name == "emotion_gcn" else {})
    head = jax.eval_shape(net.init, jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))["params"]["head"]
    widths = {layer: fields["bias"].shape[0] for layer, fields in head.items() if layer != "gcn"}
    # Format 1's heads: models/emotion_net.py of commit 2394940.
    of_format_1 = {
        "single_task": {"expression": classes},
        "multi_task": {"expression": classes, "affect": 2},
        "emotion_gcn": {},
    }
    assert widths == of_format_1[name]


@pytest.mark.parametrize(
    ("field", "today"),
    [
        ("data.image_size", "config.input.side"),
        ("data.resize", "config.input.resize"),
        ("loss.class_weights", "config.tasks.expression.class_weights"),
        ("loss.affect_weight", "config.tasks.affect.weight"),
        ("loss.ccc_variance", "config.tasks.affect.ccc_variance"),
        ("model.name", "--config=configs/NAME.py:TRUNK,MODEL"),
        ("model.num_classes", "config.tasks.expression.vocabulary"),
    ],
)
def test_a_former_fields_place_today(field, today):
    assert today in old_formats.todays_field(field)


@pytest.mark.parametrize("field", ["data.batch_size", "loss", "model.trunk", "nothing"])
def test_other_fields_have_no_former_place(field):
    assert old_formats.todays_field(field) is None
