"""The multi-task networks for Aff-Wild2: their sizes, and their recipe."""

import functools
import re

import jax
import numpy as np
import pytest

from configs import affectnet8, affwild2_mtl, rafdb
from emotion_gcn_jax.data.inputs import NORMALISATIONS
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.hearing import Sound
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.training import checks, parts


@pytest.mark.parametrize(
    ("model", "edition", "count"),
    [
        # Aff-Wild2 spec, section 14: 7 classes and 8 action units, 8 and 12.
        ("mt_vgg", "first", 50_444_113),
        ("mt_res", "first", 23_542_865),
        ("mt_arcvgg", "first", 52_481_354),
        ("mt_arcres", "first", 24_566_346),
        ("mt_vgg_rnn", "first", 35_316_689),
        ("mt_res_rnn", "first", 24_445_137),
        ("mt_audio_rnn", "first", 16_634_193),
        ("mt_av_rnn", "first", 51_800_209),
        ("mt_vgg", "third", 50_464_598),
        ("mt_res", "third", 23_553_110),
        ("mt_arcvgg", "third", 52_483_918),
        ("mt_arcres", "third", 24_568_910),
        ("mt_vgg_rnn", "third", 35_317_334),
        ("mt_res_rnn", "third", 24_445_782),
        ("mt_audio_rnn", "third", 16_634_838),
        ("mt_av_rnn", "third", 51_800_854),
        # Both networks with recurrent layers, whose heads are one: a bias is in there once (17 or 22 outputs).
        ("mt_av_rnn late", "first", 35_316_689 + 16_634_193 - 17),
        ("mt_av_rnn late", "third", 35_317_334 + 16_634_838 - 22),
    ],
)
def test_multi_task_networks_have_the_specified_numbers_of_parameters(model, edition, count):
    model, _, fusion = model.partition(" ")
    config = affwild2_mtl.get_config(f"{model},{edition}")
    config.model.fusion = fusion or "concat"
    net = emotion_net.from_config(config, registry.from_config(config.tasks), {})
    images = jax.ShapeDtypeStruct((1, config.input.crop, config.input.crop, 3), np.float32)
    sound = Sound(jax.ShapeDtypeStruct((1, 96, 64), np.float32), jax.ShapeDtypeStruct((1,), bool))
    sound = sound if config.model.hearing else None
    variables = jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), images, sound=sound)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    for part, _ in parts.read(config.optimizer.rates, "optimizer.rates"):
        assert any(jax.tree.leaves(parts.mask(variables["params"], part, "optimizer.rates")))


@pytest.mark.parametrize(
    ("trunk", "side", "options", "tasks", "count"),
    [
        # Aff-Wild2 spec, section 14: VGGFace2's ResNet-50, VGG-Face, and the authors' two networks for two values.
        ("resnet50", 96, {}, {"who": {"kind": "classes", "vocabulary": 8631}}, 41_192_951),
        ("vgg16", 224, {"hidden": (4096, 4096)}, {"who": {"kind": "classes", "vocabulary": 2622}}, 145_002_878),
        ("vgg16", 96, {"hidden": (4096, 4096)}, {"affect": {"kind": "values", "dimensions": "v,a"}}, 50_382_658),
        ("vgg16", 96, {"hidden": (4096, 2000)}, {"affect": {"kind": "values", "dimensions": "v,a"}}, 41_791_154),
    ],
)
def test_the_trunks_have_others_numbers_of_parameters(trunk, side, options, tasks, count):
    for fields in tasks.values():
        if number := fields.get("vocabulary"):
            fields["vocabulary"] = ",".join(f"w{place}" for place in range(number))
    readout = "flatten" if trunk == "vgg16" else "average"
    net = emotion_net.create_model(trunk, registry.from_config(tasks), readout=readout, **options)
    images = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
    variables = jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), images)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize("model", affwild2_mtl.MODELS)
def test_multi_task_networks_have_their_recipe(model):
    config = affwild2_mtl.get_config(model)
    assert config.is_locked
    expression, affect, units = registry.from_config(config.tasks)
    assert (len(expression.outputs), len(affect.outputs), len(units.outputs)) == (7, 2, 12)
    assert expression.loss_name == ("arcface" if "arc" in model else "cross_entropy")
    assert units.positive_weights == "balanced"
    assert (config.optimizer.name, config.optimizer.learning_rate, config.data.batch_size) == (
        ("adamw", 1e-4, 320 if "rnn" in model else 128)
    )
    checks.check_numbers(config)
    assert checks.selection_metrics(config, (expression, affect, units)) == [
        ("expression", "macro_f1"), ("affect", "ccc_mean"), ("action_units", "f1_mean"),
    ]  # fmt: skip
    assert f"affwild2_mtl.py:{model} " in affwild2_mtl.__doc__ and "Not run" in affwild2_mtl.__doc__


@pytest.mark.parametrize(
    ("arg", "trunk", "weights"),
    [
        ("mt_arcres", "resnet50", "imagenet"),
        ("mt_res_rnn,first,vggface2", "resnet50_vggface2", "vggface2"),
        ("mt_arcvgg,,vgg_face", "vgg16", "vgg_face"),
    ],
)
def test_a_third_word_sets_trunk_and_images_for_weights(arg, trunk, weights):
    config = affwild2_mtl.get_config(arg)
    assert config.model.trunk == trunk
    assert (config.input.mean, config.input.deviation) == NORMALISATIONS[weights]


@pytest.mark.parametrize(
    ("config", "vocabulary", "tasks", "image"),
    [
        (rafdb.get_config("mt_arcvgg,vgg_face"), EXPRESSIONS, ["expression"], (100, 96)),
        (rafdb.get_config("mt_res"), EXPRESSIONS, ["expression"], (100, 96)),
        (affectnet8.get_config(), (*EXPRESSIONS, "Contempt"), ["expression", "affect"], (110, 96)),
        (affectnet8.get_config("mt_vgg,vgg_face"), (*EXPRESSIONS, "Contempt"), ["expression", "affect"], (110, 96)),
    ],
)
def test_networks_are_trained_on_for_other_expressions(config, vocabulary, tasks, image):
    """Aff-Wild2 spec, section 11."""
    assert config.is_locked
    found = registry.from_config(config.tasks)
    assert [task.name for task in found] == tasks and found[0].outputs == vocabulary
    assert found[0].class_weights == "inverse_frequency"
    assert (config.input.side, config.input.crop, config.data.batch_size, config.training.epochs) == (*image, 64, 20)
    recipe = config.optimizer
    assert (recipe.name, recipe.learning_rate, recipe.weight_decay, recipe.schedule) == ("adamw", 1e-4, 0.0, "cosine")
    assert recipe.rates == ""  # everything is trained alike
    checks.check_numbers(config)
    assert checks.selection_metrics(config, found) == [("expression", "mean_class_accuracy")]


@pytest.mark.parametrize("module", [rafdb, affectnet8], ids=["rafdb", "affectnet8"])
def test_every_retraining_has_its_partner_without_affwild2(module):
    commands = [line for line in module.__doc__.splitlines() if "--config.init.trunk=" in line]
    assert len(commands) == 2
    with_it, without = (re.sub(r"--workdir=\S+", "", command) for command in commands)
    assert re.sub(r"init.trunk=runs/\w+", "init.trunk=weights/imagenet", with_it) == without


@pytest.mark.parametrize(
    ("module", "arg", "sentence"),
    [
        (
            affwild2_mtl,
            "mt_res,second,vgg_face",
            "weights for resnet50 'vgg_face' .*: choose one of imagenet, vggface2",
        ),
        (rafdb, "mt_arcvgg,vggface2", "weights for vgg16 'vggface2' of configs/rafdb.py: choose one of imagenet, vgg_"),
        (affectnet8, "mt_res_rnn", "model 'mt_res_rnn' of configs/affectnet8.py: choose one of mt_vgg, mt_res, "),
    ],
)
def test_a_word_that_does_not_do_is_answered_with_those_that_do(module, arg, sentence):
    with pytest.raises(UserError, match=f"^Unknown {sentence}"):
        module.get_config(arg)


@pytest.mark.parametrize("arg", ["mt_cnn", "emotion_gcn", "mt_res,fourth"])
def test_an_unknown_multi_task_network_is_answered_with_the_known_ones(arg):
    with pytest.raises(UserError, match=r"^Unknown (model|edition) '\w+' of .*: choose one of (mt_vgg|first), "):
        affwild2_mtl.get_config(arg)
