"""What a run is made of: its class weights, its graph, and its data in streams, folds and held-out shares."""

import json

import jax
import numpy as np
import pytest
from scipy import stats

from emotion_gcn_jax import checkpoints, presets
from emotion_gcn_jax.cli import main
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import CLASS_WORDS, EXPRESSIONS
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.training import checks, loop, run
from emotion_gcn_jax.training.datasets import RunData, Stream
from tests.training.conftest import trained_and_killed


def labels_alone(columns, metadata, tasks):
    """Data without images."""
    count = len(columns["id"])
    split = Split("made_up", None, "train", metadata, columns, None, np.arange(count))
    return RunData((Stream(split, 1, tasks),), split)


def made_up(count, seed=0):
    """Columns of eight classes and twelve action units: AU12 is true of the happy, AU4 of the angry."""
    rng = np.random.default_rng(seed)
    expression = np.arange(count) % 8
    units = list(registry.from_config({"au": presets.TASKS["action_units"]})[0].outputs)
    action_units = rng.integers(0, 2, (count, 12)).astype(np.int8)
    action_units[:, units.index("AU12")] = expression == EXPRESSIONS.index("Happy")
    action_units[:, units.index("AU4")] = expression == EXPRESSIONS.index("Anger")
    valence = rng.uniform(-1, 1, count).astype(np.float32)
    columns = {
        "id": np.arange(count).astype("S"),
        "expression": expression,
        "valence": valence,
        "arousal": -valence,
        "action_units": action_units,
    }
    return columns, {"label_names": CLASS_WORDS[:8], "action_units": units}


def test_the_graph_of_eight_classes(config):
    config.tasks.expression.vocabulary = ",".join(CLASS_WORDS[:8])
    tasks = registry.from_config(config.tasks)
    constants = run.graph_constants(config, tasks, labels_alone(*made_up(160), tasks))
    assert constants["adjacency"].shape == (10, 10)  # eight classes, valence, arousal
    assert constants["word_vectors"].shape == (10, 100)
    assert not constants["adjacency"][:8, :8][~np.eye(8, dtype=bool)].any()  # classes exclude each other
    assert constants["adjacency"][8, 9] > 0  # arousal is minus valence


def test_affectnets_embedded_correlations_lack_an_eighth_class(config):
    config.tasks.expression.vocabulary = ",".join(CLASS_WORDS[:8])
    config.graph.correlations = "affectnet"
    tasks = registry.from_config(config.tasks)
    with pytest.raises(UserError, match="the graph has Contempt as well: set"):
        run.graph_constants(config, tasks, labels_alone(*made_up(160), tasks))


def test_the_graph_of_action_units(config_of):
    config = config_of("plain,emotion_gcn_au")
    config.tasks.action_units.names = presets.TASKS["action_units"]["names"]
    tasks = registry.from_config(config.tasks)
    columns, metadata = made_up(160)
    constants = run.graph_constants(config, tasks, labels_alone(columns, metadata, tasks))
    # Contempt is none of the seven classes: its examples have no class, and do not count in the correlations.
    names = [name for task in tasks for name in task.outputs]
    assert names == [*EXPRESSIONS, "Valence", "Arousal", *metadata["action_units"]]
    assert constants["adjacency"].shape == (21, 21) and constants["word_vectors"].shape == (21, 100)
    happy, anger, au4, au12 = (names.index(name) for name in ("Happy", "Anger", "AU4", "AU12"))
    assert constants["adjacency"][happy, au12] > 0 and constants["adjacency"][anger, au4] > 0
    counted = columns["expression"] < 7
    weak = stats.spearmanr(columns["expression"][counted] == 0, columns["action_units"][counted, 3]).statistic
    assert (constants["adjacency"][0, 9 + 3] > 0) == (abs(weak) >= config.graph.threshold)


def test_class_weights_and_flags_weights_are_of_the_training_labels(config_of):
    config = config_of("plain,emotion_gcn_au")
    config.tasks.expression.class_weights = "inverse_frequency"
    config.tasks.action_units.positive_weights = "balanced"
    prepared = run.prepare(config)
    labels = {task.name: prepared.data.labels(task.name) for task in prepared.tasks}
    counts = np.bincount(labels["expression"][labels["expression"] >= 0], minlength=7)
    expression, _, action_units = prepared.tasks
    np.testing.assert_allclose(expression.class_weights, counts.min() / counts)
    au1, au4, au12 = labels["action_units"].T
    ratios = [(au == 0).sum() / (au == 1).sum() for au in (au1, au12)]
    assert not (au4 != -1).any()  # nobody annotated it
    negative = [(1 + ratio) / 2 / ratio for ratio in ratios]
    np.testing.assert_allclose(action_units.positive_weights, [ratios[0] * negative[0], 1.0, ratios[1] * negative[1]])
    np.testing.assert_allclose(action_units.negative_weights, [negative[0], 1.0, negative[1]])
    assert prepared.meta["tasks"][0]["class_weights"] == list(expression.class_weights)


def test_folds_divide_the_training_split_by_subjects(config):
    config.dataset.folds = 3
    parts = []
    for fold in range(3):
        config.dataset.fold = fold
        data = run.prepare(config).data
        assert not set(data.train.columns["subject"]) & set(data.validation.columns["subject"])
        assert len(data.train) + len(data.validation) == 70
        parts.append(set(data.validation.ids))
    assert sum(map(len, parts)) == len(set.union(*parts)) == 70  # every example validates once


def test_a_run_on_a_held_out_share_leaves_the_validation_split_alone(config, tmp_path, capsys):
    config.dataset.held_out_share = 0.3
    config.training.epochs = 1
    config.data.batch_size = 8
    data = run.prepare(config).data
    metrics = loop.train_and_evaluate(config, tmp_path)
    assert metrics["examples"] == len(data.validation) == 70 - len(data.train)
    assert metrics["split"] == "train, held out by subject"
    assert "held out by subject" in capsys.readouterr().out

    # The commands find the same examples again.
    words = ["--checkpoint", tmp_path, "--dataset", "shades", "--data-dir", config.dataset.data_dir, "--split", "train"]
    commands = {
        "evaluate": [*words, "--held-out", "--output", tmp_path / "again"],
        "pack": [*words, "--held-out", "--output", tmp_path / "a.safetensors"],
    }
    for name, rest in commands.items():
        assert main([name, *map(str, rest)]) == 0
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert (again["split"], again["examples"]) == (metrics["split"], metrics["examples"])
    assert again["tasks"]["expression"]["accuracy"] == metrics["tasks"]["expression"]["accuracy"]
    assert "Warning" not in capsys.readouterr().err
    assert main(["pack", *map(str, words), "--output", str(tmp_path / "b.safetensors")]) == 0
    assert "Warning: the model was trained on this split" in capsys.readouterr().err
    assert main(["evaluate", *map(str, words[:-1]), "validation", "--held-out", "--output", str(tmp_path / "b")]) == 2
    assert "give --dataset shades --split train with it" in capsys.readouterr().err


@pytest.mark.parametrize("choice", [{"held_out_share": 0.3}, {"folds": 3, "fold": 1}])
def test_nobody_who_is_held_out_is_in_a_further_stream_of_the_same_dataset(config, choice):
    config.dataset.update(choice, streams="shades=4,shades:validation=2")
    data = run.prepare(config).data
    first, same, other = (set(stream.split.columns["subject"].tolist()) for stream in data.streams)
    held_out = set(data.validation.columns["subject"].tolist())
    assert first == same and not held_out & same and not held_out & other and other


def test_a_killed_and_resumed_run_with_a_further_stream_ends_as_an_unbroken_one(config, tmp_path):
    config.dataset.streams = "shades:validation=4"
    config.training.update(epochs=1, checkpoint_every_steps=2)
    trained_and_killed(config, tmp_path, 4)


def test_a_run_may_select_by_the_mean_of_several_scores(config, tmp_path):
    config.training.update(epochs=1, select_by="accuracy + affect/ccc_mean")
    metrics = loop.train_and_evaluate(config, tmp_path)["tasks"]
    expected = (metrics["expression"]["accuracy"] + metrics["affect"]["ccc_mean"]) / 2
    assert checkpoints.read(tmp_path).meta["progress"]["best"] == pytest.approx(expected, rel=1e-6)


def test_a_run_with_a_further_stream_counts_its_epochs_by_the_first(config, tmp_path, capsys):
    config.dataset.streams = "shades:validation=4"
    config.training.epochs = 1
    prepared = run.prepare(config)
    assert [stream.count for stream in prepared.data.streams] == [6, 4]
    assert prepared.steps_per_epoch == 70 // 6
    assert len(prepared.data.labels("expression")) == 70 + 37
    metrics = loop.train_and_evaluate(config, tmp_path)
    assert metrics["examples"] == 37
    printed = capsys.readouterr().out
    assert "train, 70 examples): 6 of every batch" in printed and "validation, 37 examples): 4 of every" in printed


def test_nothing_is_compiled_after_the_first_epoch(config_of, tmp_path, monkeypatch):
    """Neither in the second epoch's steps, evaluation and checkpoints nor for the report."""
    config = config_of("plain,emotion_gcn_au")
    config.training.checkpoint_every_steps = 3
    compiled, after_epochs, save_last = [], [], checkpoints.Checkpoints.save_last

    def listen(event, duration, fun_name="", **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(fun_name)

    def save_and_count(self, step, *rest):
        save_last(self, step, *rest)
        if step % 7 == 0:
            after_epochs.append(len(compiled))

    monkeypatch.setattr(checkpoints.Checkpoints, "save_last", save_and_count)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        loop.train_and_evaluate(config, tmp_path)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    first, second = after_epochs
    assert first > 2  # the two steps, at least
    assert compiled[first:] == [], f"{second - first} in the second epoch"


def test_a_task_without_a_weight_in_the_config_has_weight_one(config):
    with config.unlocked():
        del config.tasks.affect.weight
    checks.check_numbers(config)
    assert registry.from_config(config.tasks)[1].weight == 1.0
