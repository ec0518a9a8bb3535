"""Models that hear: what is heard stands beside what is seen, and is 0 where nothing is; by plain NumPy."""

import jax
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import emotion_net, folding
from emotion_gcn_jax.models.hearing import Sound
from emotion_gcn_jax.presets import NO_TRUNK
from tests.models.running import create, run_once, tasks_of
from tests.plain_trunk import Plain

SMALL = {"hearing": "vgg_tiny", "hearing_width": 5, "recurrent": ()}


def sounds(count, silent=()):
    rng = np.random.default_rng(2)
    heard = np.isin(np.arange(count), silent, invert=True)
    return Sound(rng.normal(size=(count, 96, 64)).astype(np.float32), heard)


def drawn(net, images, sound):
    """Variables of positive numbers, so that hardly a ReLU is shut."""
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), images, False, sound=sound))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.uniform(-0.2, 0.5, leaf.shape).astype(leaf.dtype), shapes)


@pytest.mark.parametrize("trunk", [NO_TRUNK, "plain"])
def test_what_is_heard_stands_beside_what_is_seen(trunk, monkeypatch):
    monkeypatch.setitem(emotion_net.TRUNKS, "plain", Plain)
    model = "mt_audio_rnn" if trunk == NO_TRUNK else "mt_res"
    net = create(trunk, model, **SMALL)
    images, sound = np.random.default_rng(1).normal(size=(3, 32, 32, 3)).astype(np.float32), sounds(3, silent=[1])
    variables = {"batch_stats": {}, **drawn(net, images, sound)}
    outputs = run_once(lambda v: net.apply(v, images, sound=sound), variables)

    ear = variables["params"]["hearing"]
    patches = sound.patches_BxSxM[..., None]
    last = run_once(lambda v: net.hearing.trunk.apply(v, patches, False), {"params": ear["trunk"]})
    heard = np.maximum(np.asarray(last).reshape(3, -1) @ ear["fc"]["kernel"] + ear["fc"]["bias"], 0)
    assert last.shape == (3, 3, 2, 32) and heard.any()
    heard[1] = 0
    seen = np.zeros((3, 0))
    if trunk != NO_TRUNK:
        eye = {name: variables[name]["trunk"] for name in ("params", "batch_stats")}
        seen = np.asarray(run_once(lambda v: net.trunk.apply(v, images, False), eye)).mean((1, 2))
    features = np.concatenate([seen, heard], axis=1)
    for name, layer in variables["params"]["head"].items():
        np.testing.assert_allclose(outputs[name], features @ layer["kernel"] + layer["bias"], rtol=1e-4)

    folded, ready = folding.fold(net, variables)
    again = run_once(lambda v: folded.apply(v, images, sound=sound), ready)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), outputs, again)


def test_a_model_that_hears_cannot_do_without_sound():
    net = create(NO_TRUNK, "mt_audio_rnn", **SMALL)
    with pytest.raises(UserError, match=r"^This model hears, and there is no sound here"):
        jax.eval_shape(net.init, jax.random.key(0), np.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize(
    ("trunk", "hearing", "message"),
    [
        (NO_TRUNK, "", r"^Unknown trunk 'none': choose one of densenet121, "),
        ("resnet_tiny", "ear", r"^Unknown trunk of config.model.hearing 'ear': choose one of densenet121, "),
        ("resnet_tiny", NO_TRUNK, r"^Unknown trunk of config.model.hearing 'none'"),
    ],
)
def test_parts_that_there_are_not(trunk, hearing, message):
    with pytest.raises(UserError, match=message):
        emotion_net.create_model(trunk, tasks_of("multi_task"), hearing=hearing)
