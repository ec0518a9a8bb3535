"""The multi-task networks for Aff-Wild2: their sizes, and their recipe."""

import functools

import jax
import numpy as np
import pytest

from configs import affwild2_mtl
from emotion_gcn_jax.errors import UserError
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
    ],
)
def test_multi_task_networks_have_the_specified_numbers_of_parameters(model, edition, count):
    config = affwild2_mtl.get_config(f"{model},{edition}")
    net = emotion_net.from_config(config, registry.from_config(config.tasks), {})
    images = jax.ShapeDtypeStruct((1, config.input.crop, config.input.crop, 3), np.float32)
    sound = Sound(jax.ShapeDtypeStruct((1, 96, 64), np.float32), jax.ShapeDtypeStruct((1,), bool))
    sound = sound if config.model.hearing else None
    variables = jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), images, sound=sound)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    for part, _ in parts.read(config.optimizer.rates, "optimizer.rates"):
        assert any(jax.tree.leaves(parts.mask(variables["params"], part, "optimizer.rates")))


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
    assert checks.selection_metric(config, (expression, affect, units)) == ("expression", "macro_f1")
    assert f"affwild2_mtl.py:{model} " in affwild2_mtl.__doc__ and "Not run" in affwild2_mtl.__doc__


@pytest.mark.parametrize("arg", ["mt_cnn", "emotion_gcn", "mt_res,fourth"])
def test_an_unknown_multi_task_network_is_answered_with_the_known_ones(arg):
    with pytest.raises(UserError, match=r"^Unknown (model|edition) '\w+' of .*: choose one of (mt_vgg|first), "):
        affwild2_mtl.get_config(arg)
