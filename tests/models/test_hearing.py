"""Models that hear: what is heard stands beside what is seen, and is 0 where nothing is; by plain NumPy."""

import jax
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import emotion_net, folding
from emotion_gcn_jax.models.hearing import Hearing, Sound, Stack
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
        ("stack", "", r"^Unknown trunk 'stack': choose one of densenet121, "),
        ("resnet_tiny", "ear", r"^Unknown trunk of config.model.hearing 'ear': choose one of densenet121, "),
        ("resnet_tiny", NO_TRUNK, r"^Unknown trunk of config.model.hearing 'none'"),
    ],
)
def test_parts_that_there_are_not(trunk, hearing, message):
    with pytest.raises(UserError, match=message):
        emotion_net.create_model(trunk, tasks_of("multi_task"), hearing=hearing)


@pytest.mark.parametrize(
    ("trunk", "options"),
    [
        (NO_TRUNK, {"recurrent": (3,)}),
        ("vgg_tiny", {"recurrent": ()}),
        ("vgg_tiny", {"recurrent": (3,), "hearing": ""}),
    ],
)
def test_late_fusion_is_of_two_streams_in_time(trunk, options):
    with pytest.raises(UserError, match=r"^config.model.fusion=late joins what recurrent layers make of the face and"):
        create(trunk, "mt_audio_rnn", **{**SMALL, **options}, fusion="late")


def test_an_unknown_fusion_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match=r"^Unknown fusion 'early': choose one of concat, late\.$"):
        emotion_net.create_model("vgg_tiny", tasks_of("multi_task"), fusion="early")


def test_a_stack_is_five_steps_around_the_moment():
    """Step 48 of a patch is the frame's own (sound/mel.py): 46 to 50, 64 bands each."""
    patches = np.arange(2 * 96 * 64, dtype=np.float32).reshape(2, 96, 64)
    ear = Hearing(Stack(), 0)
    expected = patches[:, [46, 47, 48, 49, 50]].reshape(2, 320)
    assert ear.features == 320 and ear.init(jax.random.key(0), Sound(patches, np.ones(2, bool)), False) == {}
    np.testing.assert_array_equal(ear.apply({}, Sound(patches, np.array([True, False])), False)[0], expected[0])
    assert not ear.apply({}, Sound(patches, np.array([True, False])), False)[1].any()

    dense = Hearing(Stack(), 4)
    kernel = np.random.default_rng(0).normal(size=(320, 4)).astype(np.float32)
    variables = {"params": {"fc": {"kernel": kernel, "bias": np.zeros(4, np.float32)}}}
    found = dense.apply(variables, Sound(patches, np.ones(2, bool)), False)
    np.testing.assert_allclose(found, np.maximum(expected @ kernel, 0), rtol=1e-5)
    assert dense.features == 4


@pytest.mark.parametrize(("width", "features"), [(512, 512), (0, 3 * 2 * 32)])  # the last map of vgg_tiny is 3 x 2 x 32
def test_an_ear_without_a_layer_is_as_wide_as_its_map(width, features):
    assert Hearing(emotion_net.TRUNKS["vgg_tiny"](), width).features == features
