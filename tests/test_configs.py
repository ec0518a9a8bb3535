"""The configs of the paper's experiments: every row and its numbers as the recipe has them, and a few steps of one."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import affectnet, affwild2
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.training import checks, loop
from tests import raw_affectnet, raw_affwild2
from tfds_builders.affectnet import affectnet_dataset_builder
from tfds_builders.affectnet.affectnet_dataset_builder import AffectNetConfig
from tfds_builders.affwild2 import affwild2_dataset_builder
from tfds_builders.affwild2.affwild2_dataset_builder import Affwild2Config

TRUNKS = ("densenet121", "bregnext50")
MODELS = ("single_task", "multi_task", "emotion_gcn")
# Input sides by the paper: 227 for DenseNet on AffectNet, 112 everywhere else.
SIZES = {(affectnet, "densenet121"): 227, (affectnet, "bregnext50"): 112}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("dataset", [affectnet, affwild2])
def test_every_row_of_the_paper_has_its_recipe(dataset, trunk, model):
    config = dataset.get_config(f"{trunk},{model}")
    checks.check_choices(config)
    checks.check_numbers(config)
    assert (config.model.trunk, config.model.name, config.model.num_classes) == (trunk, model, 7)
    assert config.data.image_size == SIZES.get((dataset, trunk), 112)
    assert (config.data.batch_size, config.training.epochs, config.training.patience) == (35, 10, 10)
    recipe = config.optimizer
    assert (recipe.name, recipe.learning_rate, recipe.momentum, recipe.weight_decay) == ("sgd", 1e-3, 0.9, 1e-3)
    assert (recipe.schedule, recipe.step_epochs, recipe.step_factor) == ("step", 10, 0.1)
    assert (recipe.head_rate, recipe.clip_norm, recipe.warmup_epochs) == (1, 0, 0)
    assert (config.augmentation.flip_probability, config.augmentation.rotation_degrees) == (0.5, 30)
    assert (config.loss.affect_weight, config.training.select_by) == (1, "accuracy")
    assert config.graph.correlations == ("affectnet" if dataset is affectnet else "annotations")
    assert f"{trunk},{model}" in dataset.__doc__ and "No accuracy of these configs has been measured" in dataset.__doc__


@pytest.fixture
def affectnet_labels():
    """A split with the class counts of AffectNet's training set, Contempt included, and no images."""
    counts = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)
    expression = np.repeat(np.arange(8), counts).astype(np.int32)
    none = np.zeros(len(expression))
    columns = {"expression": expression, "valence": none, "arousal": none}
    return Split("affectnet", "csv", "train", (), {}, columns, None, np.arange(len(expression)))


def test_affectnets_class_weights_are_the_papers(affectnet_labels):
    choice = affectnet.get_config().loss.class_weights
    seven = loop.class_weights(choice, affectnet_labels.select(affectnet_labels.expression < 7), 7)
    np.testing.assert_allclose(seven, [3803 / n for n in (74874, 134415, 25459, 14090, 6378, 3803, 24882)])
    assert loop.class_weights(choice, affectnet_labels, 8)[7] == 1


@pytest.fixture
def few_steps(tmp_path, monkeypatch):
    """A function that builds a raw folder, trains two steps or so, and returns the run and its report's metrics."""
    runs, prepare = [], loop.prepare
    monkeypatch.setattr(loop, "prepare", lambda config, last: runs.append(prepare(config, last=last)) or runs[-1])

    def train(config, builder, builder_config, raw):
        download_config = tfds.download.DownloadConfig(manual_dir=raw)
        builder(data_dir=tmp_path, config=builder_config).download_and_prepare(download_config=download_config)
        config.dataset.update(data_dir=str(tmp_path), config=builder_config.name)
        config.data.update(batch_size=6, eval_batch_size=6, image_size=32, threads=1)
        config.training.update(epochs=1, devices=1)
        metrics = loop.train_and_evaluate(config, str(tmp_path / "run"))
        return runs[0], metrics

    return train


def test_a_few_steps_on_affwild2(few_steps, tmp_path):
    """With the graph of the build's own annotations, selected on held-out recordings."""
    raw_affwild2.write(tmp_path / "raw", "2nd")
    config = affwild2.get_config("densenet_tiny,emotion_gcn")
    config.dataset.held_out_share = 0.4
    builder_config = Affwild2Config(name="expr_va_tolerant", max_lost_share=0.9)
    run, metrics = few_steps(config, affwild2_dataset_builder.Builder, builder_config, tmp_path / "raw")
    assert metrics["examples"] == len(run.validation) > 0
    assert not set(run.train.columns["recording"]) & set(run.validation.columns["recording"])
    found = run.initial_state.evaluated_variables()["graph"]["head"]["adjacency"]
    labels = (run.train.expression, run.train.valence, run.train.arousal)
    expected = adjacency.adjacency_from_correlations(adjacency.spearman_correlations(*labels))
    np.testing.assert_allclose(found, expected)


def test_a_few_steps_on_affectnet_with_eight_classes(few_steps, tmp_path):
    release = raw_affectnet.write_lists(tmp_path / "raw", raw_affectnet.raw_faces(), beside=True)
    config = affectnet.get_config("densenet_tiny,multi_task")
    config.model.num_classes = 8
    builder_config = AffectNetConfig(name="csv_tolerant", recipe="csv", max_lost_share=0.9)
    run, metrics = few_steps(config, affectnet_dataset_builder.Builder, builder_config, release.root)
    for split, examples in (("train", run.train), ("validation", run.validation)):
        expressive = {name for name, truth in release.examples[split].items() if truth.expression >= 0}
        assert set(examples.ids) == expressive
        assert split == "validation" or expressive < set(release.examples[split])  # some have valence and arousal only
    assert metrics["examples"] == len(run.validation) and "Contempt" in metrics["per_class"]
