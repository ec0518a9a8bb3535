"""The configs: the paper's recipe in every row, every trunk with every model, and a few steps on each kind of data."""

import functools

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import (
    affectnet,
    affwild2,
    ck_plus,
    common,
    fer2013,
    ferg,
    ferplus,
    folders,
    jaffe,
    photographs,
    rafdb,
    synthetic_faces,
)
from emotion_gcn_jax import presets
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import encode_png
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.graph.nodes import nodes_of, targets
from emotion_gcn_jax.labels import CLASS_WORDS, EXPRESSIONS
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.training import checks, loop
from tests import raw_affectnet, raw_affwild2
from tests.plain_trunk import Plain
from tfds_builders.affectnet import affectnet_dataset_builder
from tfds_builders.affwild2 import affwild2_dataset_builder
from tfds_builders.folders import folders_dataset_builder

TRUNKS = ("densenet121", "bregnext50")
MODELS = ("single_task", "multi_task", "emotion_gcn")
# Input sides by the paper: 227 for DenseNet on AffectNet, 112 everywhere else.
SIZES = {(affectnet, "densenet121"): 227, (affectnet, "bregnext50"): 112}
SMALL_FACES = (fer2013, ck_plus, jaffe, ferg, rafdb)
CONFIGS = {
    module.__name__.rpartition(".")[2]: module
    for module in (affectnet, affwild2, folders, synthetic_faces, *SMALL_FACES)
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("dataset", [affectnet, affwild2])
def test_every_row_of_the_paper_has_its_recipe(dataset, trunk, model):
    config = dataset.get_config(f"{trunk},{model}")
    expression, *affect = registry.from_config(config.tasks)
    assert config.model.trunk == trunk and len(expression.outputs) == 7
    assert [task.name for task in affect] == ([] if model == "single_task" else ["affect"])
    assert config.model.head == ("graph" if model == "emotion_gcn" else "linear")
    reads_maximum = (trunk, model) == ("densenet121", "emotion_gcn")
    assert config.model.readout == ("max" if reads_maximum else "average")
    assert config.input.side == SIZES.get((dataset, trunk), 112)
    assert (config.data.batch_size, config.training.epochs, config.training.patience) == (35, 10, 10)
    recipe = config.optimizer
    assert (recipe.name, recipe.learning_rate, recipe.momentum, recipe.weight_decay) == ("sgd", 1e-3, 0.9, 1e-3)
    assert (recipe.schedule, recipe.step_epochs, recipe.step_factor) == ("step", 10, 0.1)
    assert (recipe.l2, recipe.rates, recipe.clip_norm, recipe.warmup_epochs) == ("", "", 0, 0)
    assert (config.augmentation.flip_probability, config.augmentation.rotation_degrees) == (0.5, 30)
    assert config.training.select_by == "accuracy" and [task.weight for task in affect] == [1] * len(affect)
    assert config.graph.correlations == ("affectnet" if dataset is affectnet else "annotations")
    assert f"{trunk},{model}" in dataset.__doc__ and "No accuracy of these configs has been measured" in dataset.__doc__


@pytest.mark.parametrize("model", [*MODELS, "emotion_gcn_au", "mt_arcvgg"])
@pytest.mark.parametrize("trunk", emotion_net.TRUNKS)
@pytest.mark.parametrize("file", CONFIGS)
def test_every_config_takes_every_trunk_and_model(file, trunk, model):
    config = CONFIGS[file].get_config(f"{trunk},{model}")
    assert config.is_locked
    assert (config.model.trunk, config.dataset.name) == (trunk, file)
    tasks = registry.from_config(config.tasks)
    assert tuple(task.name for task in tasks) == presets.preset(model).tasks
    checks.check_numbers(config)
    assert checks.selection_metrics(config, tasks) == [("expression", "accuracy")]
    Input.from_dict(config.input)
    Augmentation(**config.augmentation)


@functools.cache
def output_shapes(model, side, channels):
    """By the task; many configs have the same model and images."""
    images = jax.ShapeDtypeStruct((1, side, side, channels), np.float32)
    outputs, _ = jax.eval_shape(functools.partial(model.init_with_output, train=False), jax.random.key(0), images)
    return {name: output.shape for name, output in outputs.items()}


@pytest.mark.parametrize("trunk", emotion_net.TRUNKS)
@pytest.mark.parametrize("file", ["affectnet", "folders", "synthetic_faces", "fer2013"])
def test_every_trunk_takes_the_images_of_every_config(file, trunk):
    config = CONFIGS[file].get_config(f"{trunk},multi_task")
    model = emotion_net.from_config(config, registry.from_config(config.tasks), {})
    side, channels = getattr(model.trunk, "INPUT", (config.input.side, config.input.channels))
    assert output_shapes(model, side, channels) == {"expression": (1, 7), "affect": (1, 2)}


@pytest.mark.parametrize("module", [common, *CONFIGS.values()], ids=["common", *CONFIGS])
def test_an_unknown_model_is_answered_with_the_known_ones(module):
    with pytest.raises(UserError, match="Unknown model 'gcn': choose one of single_task, multi_task, emotion_gcn"):
        module.get_config("densenet121,gcn")


@pytest.mark.parametrize("trunk", emotion_net.TRUNKS)
@pytest.mark.parametrize("model", presets.PRESETS)
def test_the_maximum_is_read_of_a_densenet_with_a_graph_alone(trunk, model):
    is_graph_on_densenet = trunk.startswith("densenet") and model.startswith("emotion_gcn")
    others = "flatten" if model in ("mt_vgg", "mt_arcvgg", "mt_vgg_rnn", "mt_av_rnn") else "average"
    assert presets.readout(trunk, model) == ("max" if is_graph_on_densenet else others)


@pytest.mark.parametrize("module", [*SMALL_FACES, ferplus], ids=lambda module: module.__name__)
@pytest.mark.parametrize("recipe", ["", "literal", "stable"])
def test_deep_emotion_sees_what_it_takes(module, recipe):
    config = module.get_config(f"deep_emotion,single_task,{recipe}")
    assert (config.input.side, config.input.channels, config.input.crop) == (48, 1, 0)
    epochs, rate = (500, 5e-3) if recipe == "literal" else (150, 1e-3)
    assert (config.training.epochs, config.optimizer.learning_rate) == (epochs, rate)


def test_the_shipped_model_learns_from_both_kinds_of_labels_of_every_image():
    config = photographs.get_config()
    (task,) = registry.from_config(config.tasks)
    assert (config.model.trunk, config.model.dtype, config.input.crop) == ("fer_resnet14", "bfloat16", 44)
    assert (config.dataset.config, config.dataset.streams, config.data.batch_size) == (
        "ferplus",
        "fer2013/fer2013=64",
        128,
    )
    assert (task.loss_name, task.outputs) == ("soft_cross_entropy", EXPRESSIONS)
    assert config.is_locked
    checks.check_numbers(config)


def test_ferplus_learns_from_the_votes_for_eight_classes():
    (task,) = registry.from_config(ferplus.get_config("resnet18").tasks)
    assert (task.loss_name, len(task.outputs)) == ("soft_cross_entropy", 8)


@pytest.mark.parametrize(
    ("arg", "sentence"),
    [
        ("resnet18,single_task,long", "Unknown recipe 'long': choose one of literal, stable, strong"),
        ("resnet18,single_task,strong,", "takes TRUNK,MODEL,RECIPE, found 'resnet18,single_task,strong,'"),
        ("resnet18,single_task,literal", "The recipe literal is not for the trunk resnet18: choose strong"),
        ("deep_emotion,single_task,strong", "The recipe strong is not for the trunk deep_emotion: choose literal or"),
    ],
)
def test_a_recipe_that_does_not_do_is_answered_with_one_that_does(arg, sentence):
    with pytest.raises(UserError, match=sentence):
        fer2013.get_config(arg)


@pytest.fixture
def affectnet_labels():
    """A split with the class counts of AffectNet's training set, Contempt included, and no images."""
    counts = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)
    expression = np.repeat(np.arange(8), counts)
    columns = {"id": np.zeros(len(expression), "S1"), "expression": expression}
    metadata = {"label_names": CLASS_WORDS[:8]}
    return Split("affectnet", "csv", "train", metadata, columns, None, np.arange(len(expression)))


def test_affectnets_class_weights_are_the_papers(affectnet_labels):
    config = affectnet.get_config()
    columns, metadata = affectnet_labels.columns, affectnet_labels.metadata
    (seven, _) = registry.from_config(config.tasks)
    weights = seven.fitted(seven.read(columns, metadata), "affectnet").class_weights
    np.testing.assert_allclose(weights, [3803 / n for n in (74874, 134415, 25459, 14090, 6378, 3803, 24882)])
    config.tasks.expression.vocabulary = ",".join(CLASS_WORDS[:8])
    (eight, _) = registry.from_config(config.tasks)
    assert eight.fitted(eight.read(columns, metadata), "affectnet").class_weights[7] == 1


@pytest.fixture
def few_steps(tmp_path, monkeypatch):
    """A function that builds a raw folder, trains two steps or so, and returns the run and its report's metrics."""
    runs, prepare = [], loop.prepare
    monkeypatch.setitem(emotion_net.TRUNKS, "plain", Plain)
    monkeypatch.setattr(loop, "prepare", lambda config, last: runs.append(prepare(config, last=last)) or runs[-1])

    def train(config, builder, builder_config, raw):
        download_config = tfds.download.DownloadConfig(manual_dir=raw)
        options = {"file_format": "array_record"}
        builder(data_dir=tmp_path, config=builder_config, **options).download_and_prepare(
            download_config=download_config
        )
        config.dataset.update(data_dir=str(tmp_path), config=builder_config.name)
        config.data.update(batch_size=6, eval_batch_size=6, threads=1)
        config.input.side = 32
        config.training.update(epochs=1, devices=1)
        metrics = loop.train_and_evaluate(config, tmp_path / "run")
        return runs[0], metrics

    return train


def test_a_few_steps_on_affwild2(few_steps, tmp_path):
    """With the graph of the build's own annotations, selected on held-out recordings."""
    raw_affwild2.write(tmp_path / "raw", "2nd")
    config = affwild2.get_config("plain,emotion_gcn")
    config.dataset.held_out_share = 0.4
    builder_config = affwild2_dataset_builder.Affwild2Config(name="expr_va_tolerant", max_lost_share=0.9)
    run, metrics = few_steps(config, affwild2_dataset_builder.Builder, builder_config, tmp_path / "raw")
    train = run.data.train
    assert metrics["examples"] == len(run.validation) > 0
    assert not set(train.columns["recording"]) & set(run.validation.columns["recording"])
    found = run.initial_state.evaluated_variables()["constants"]["head"]["adjacency"]
    nodes, labels = nodes_of(run.tasks), registry.read_labels(run.tasks, train.columns, train.metadata)
    correlations_NxN = adjacency.spearman_correlations(targets(run.tasks, labels), nodes)
    np.testing.assert_allclose(found, adjacency.adjacency_from_correlations(correlations_NxN, nodes), rtol=1e-6)


def test_a_few_steps_on_affwild2s_multi_task_set_with_action_units(few_steps, tmp_path):
    raw_affwild2.write(tmp_path / "raw", "7th")
    config = affwild2.get_config("plain,emotion_gcn_au")
    builder_config = affwild2_dataset_builder.Affwild2Config(name="mtl_tolerant", task="mtl", max_lost_share=0.9)
    run, metrics = few_steps(config, affwild2_dataset_builder.Builder, builder_config, tmp_path / "raw")
    assert run.initial_state.constants["head"]["adjacency"].shape == (21, 21)  # 7 + 2 + 12
    assert metrics["tasks"].keys() == {"expression", "affect", "action_units"}
    assert list(metrics["per_flag"]) == presets.TASKS["action_units"]["names"].split(",")


def test_a_few_steps_on_affectnet_with_eight_classes(few_steps, tmp_path):
    release = raw_affectnet.write_lists(tmp_path / "raw", raw_affectnet.raw_faces(), beside=True)
    config = affectnet.get_config("plain,multi_task")
    config.tasks.expression.vocabulary = ",".join(CLASS_WORDS[:8])
    builder_config = affectnet_dataset_builder.AffectNetConfig(name="csv_tolerant", recipe="csv", max_lost_share=0.9)
    run, metrics = few_steps(config, affectnet_dataset_builder.Builder, builder_config, release.root)
    for split, examples in (("train", run.data.train), ("validation", run.validation)):
        expressive = {name for name, truth in release.examples[split].items() if truth.expression >= 0}
        assert set(examples.ids) == expressive
        assert split == "validation" or expressive < set(release.examples[split])  # some have valence and arousal only
    assert metrics["examples"] == len(run.validation) and "Contempt" in metrics["per_class"]


def test_a_few_steps_on_a_folder_of_ones_own(few_steps, tmp_path):
    """Classes that nobody foresaw, no split but one: a part of it validates."""
    for number in range(40):
        path = tmp_path / "raw" / ("Happy", "Bored")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(np.full((40, 40, 3), number, np.uint8)))
    config = folders.get_config("plain")
    config.tasks.expression.vocabulary = "Happy,Bored"
    builder_config = folders_dataset_builder.FoldersConfig(name="mine")
    run, metrics = few_steps(config, folders_dataset_builder.Builder, builder_config, tmp_path / "raw")
    assert len(run.data.train) + metrics["examples"] == 40 and 0 < metrics["examples"] < 20
    assert not set(run.data.train.ids) & set(run.validation.ids)
    assert list(metrics["per_class"]) == ["Happy", "Bored"]


def test_the_folders_recipe_says_how_to_use_it():
    for word in ("tfds build", "vocabulary", "multi_task", "input.side", "held_out_share=0", "No accuracy"):
        assert word in folders.__doc__
