"""Training with sound: a step of clips on any number of devices, a run that is killed and goes on, what is refused."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.cli import main
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.batches import FRESH
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.evaluator import evaluate_model
from emotion_gcn_jax.explanation.explain import Explainer
from emotion_gcn_jax.export import exporting
from emotion_gcn_jax.inference.model import load
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.hearing import Hearing, Sound
from emotion_gcn_jax.models.neck import Neck
from emotion_gcn_jax.models.recurrent import Recurrent, TwoStreams
from emotion_gcn_jax.models.vgg import VGG
from emotion_gcn_jax.parallel import AXIS
from emotion_gcn_jax.sound import mel
from emotion_gcn_jax.training import checks, datasets, loop, run
from tests.plain_trunk import Plain
from tests.training import stepping
from tests.training.conftest import trained_and_killed
from tests.training.stepping import largest_difference
from tests.training.test_clips import tracks

STALE = np.isin(np.arange(stepping.BATCH), [1, 6, 7, 9])[:, None, None, None]  # repetitions; both frames of a device


def with_sound(batch):
    """Clip by clip; two frames of a clip hear nothing."""
    rng = np.random.default_rng(5)
    patches = rng.normal(size=(stepping.BATCH, mel.STEPS, mel.BANDS)).astype(np.float32)
    fresh = ~STALE.ravel()
    return {**batch, "sound": patches, "heard": ~np.isin(np.arange(stepping.BATCH), [2, 3]), FRESH: fresh}


@functools.cache
def results(device_count):
    """One float64 step with eight clips of two frames; labels of all kinds are missing here and there.

    Sight and sound have recurrent layers of their own; sounds are masked; the norm of the embedding leaves out the
    frames that are repetitions, more of them on one device than on another. In the second batch those look otherwise.
    """
    with stepping.quick_float64():
        model, tx, state = stepping.create("float64", trunk="plain", head="linear")  # of which the trunk goes
        types = {"dtype": jnp.float64, "param_dtype": jnp.float64}
        ear = Hearing(Plain(axis_name=AXIS, **types), 5, jnp.float64)
        neck = Neck(embedding=4, axis_name=AXIS, param_dtype=jnp.float64)
        time = TwoStreams(*(Recurrent((3,), param_dtype=jnp.float64) for _ in range(2)), 5)
        model = model.clone(trunk=VGG(((1, 4),), **types), neck=neck, hearing=ear, time=time, head=model.head.clone())
        sound = Sound(jnp.zeros((2, mel.STEPS, mel.BANDS)), jnp.ones(2, bool))
        images = jnp.zeros((2, stepping.SIDE, stepping.SIDE, 3))
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, False, 2, sound))
        rng = np.random.default_rng(1)
        params = jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape)), shapes["params"])
        statistics = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.5, 2, leaf.shape)), shapes["batch_stats"])
        created = model, tx, state.replace(params=params, batch_stats=statistics, opt_state=tx.init(params))
        batch = with_sound(stepping.BATCHES["all tasks"])
        batches = {"all": batch, "other": {**batch, "image": np.where(STALE, 255, batch["image"])}}
        augmentation = Augmentation(rotation_degrees=0.0, sound_masks=2)
        return stepping.take_steps(
            device_count, created, batches, clip_length=2, mask_bn=True, augmentation=augmentation
        )


def test_eight_devices_take_the_same_step_of_clips_with_sound():
    one, eight = (results(count)["all"] for count in (1, 8))
    assert largest_difference(eight, one) < 1e-10
    for part in ("hearing", "time"):
        assert all(leaf.any() for leaf in jax.tree.leaves(one["gradients"][part]))
    assert one["statistics"].keys() == {"neck", "hearing"}


def test_a_norm_s_moments_leave_out_the_frames_that_a_clip_repeats():
    one, other = results(8)["all"], results(8)["other"]
    assert one["scalars"]["loss"] != other["scalars"]["loss"]  # they are seen all the same
    assert largest_difference(one["statistics"]["neck"], other["statistics"]["neck"]) < 1e-12


SHORT = 30  # steps of a recording


def sounds_of(name):
    """Noise of its own for every recording."""
    return np.random.default_rng(int(name)).uniform(-100, 0, (SHORT, mel.BANDS)).astype(np.float16)


def heard_tracks(count, seed):
    """Those of clips, of which the first has no sound."""
    split = tracks(count, seed)
    sound = np.where(split.columns["video"] == b"0", b"", split.columns["video"])
    seconds = ((split.columns["frame"] - 1) / 50).astype(np.float32)
    columns = {**split.columns, "sound": sound, "seconds": seconds}
    return dataclasses.replace(split, columns=columns, read_sound=sounds_of)


@pytest.fixture
def hearing_config(config_of, monkeypatch):
    """A function of the trunk to a config that hears, and its splits."""
    splits = {"train": heard_tracks(8, 0), "validation": heard_tracks(3, 1)}
    monkeypatch.setattr(datasets, "open_split", lambda name, split, **where: splits[split])

    def config(trunk):
        found = config_of(f"{trunk},multi_task")
        found.model.update(hearing="plain", hearing_width=4, recurrent=(4,))
        found.clip.length = 4
        found.data.batch_size = found.data.eval_batch_size = 16
        return found

    return config, splits


def tones(count, seed):
    """Tracks whose sound is one tone each, the higher the more arousal there is; the faces and valence are noise."""
    split = tracks(count, seed)
    names = split.columns["video"]
    rng = np.random.default_rng(seed + 10)
    arousal = {name: rng.uniform(-1, 1) for name in np.unique(names)}

    def sound(name):
        spectrum = np.full((SHORT, mel.BANDS), -100, np.float16)
        place = round((arousal[str(name).encode()] + 1) / 2 * (mel.BANDS - 1))
        spectrum[:, max(place - 2, 0) : place + 3] = 0
        return spectrum

    columns = {
        **split.columns,
        "sound": names,
        "seconds": ((split.columns["frame"] - 1) / 50).astype(np.float32),
        "valence": rng.uniform(-1, 1, len(names)).astype(np.float32),
        "arousal": np.asarray([arousal[name] for name in names], np.float32),
    }
    return dataclasses.replace(split, columns=columns, read_sound=sound)


def test_what_is_only_in_the_tone_is_learnt(hearing_config, tmp_path, quick):
    """Aff-Wild2 spec, section 14, test 7: mt_audio_rnn, small, hears tracks that it was not trained on."""
    config, splits = hearing_config
    splits |= {"train": tones(60, 0), "validation": tones(20, 1)}
    config = config("none")
    config.model.update(hearing="stack", hearing_width=16, recurrent=(8,))
    config.tasks.affect.weight = 1.0
    config.training.update(devices=1, epochs=20, select_by="affect/ccc_mean")
    affect = loop.train_and_evaluate(config, tmp_path)["tasks"]["affect"]
    assert affect["ccc_arousal"] > 0.8 and abs(affect["ccc_valence"]) < 0.4


@pytest.fixture
def quick():
    """Programs that are compiled in a third of the time."""
    with stepping.quick():
        yield


def test_a_killed_and_resumed_run_that_hears_ends_as_an_unbroken_one(hearing_config, tmp_path, capsys, quick):
    config, splits = hearing_config
    config = config("none")
    config.augmentation.sound_masks = 2
    config.training.update(devices=1, epochs=1, checkpoint_every_steps=2)
    metrics = trained_and_killed(config, tmp_path, 2)

    # The trained model is read back, judges every frame as training did, and refuses what has no sound.
    model, validation = load(tmp_path / "straight"), splits["validation"]
    found = evaluate_model(model, validation)
    assert found.ids == validation.ids.tolist() and metrics["examples"] == len(validation)
    silent = dataclasses.replace(validation, read_sound=None)
    with pytest.raises(UserError, match=r"^The model hears .*, and Split\(faces, train, \d+ examples\) has no sound"):
        evaluate_model(model, silent)
    for judge in (
        lambda: model.predict_faces([validation.image(0)]),
        lambda: model(np.zeros((1, 32, 32, 3), np.float32)),
        lambda: exporting.export(model, "onnx", tmp_path / "a.onnx"),
        lambda: Explainer(model),
    ):
        with pytest.raises(UserError, match=r"straight hears .*: give it videos by emotion-gcn predict or a dataset"):
            judge()
    assert main(["predict", "--checkpoint", str(tmp_path / "straight"), "a.png"]) == 2
    assert "straight hears" in capsys.readouterr().err
    assert main(["convert", "--checkpoint", str(tmp_path / "straight"), "--to-torch", str(tmp_path / "a.pth")]) == 2
    assert "straight hears, and the official layout has images alone" in capsys.readouterr().err


def test_so_does_one_of_two_streams_whose_norms_leave_out_what_clips_repeat(hearing_config, tmp_path, quick):
    config = hearing_config[0]("plain")
    config.model.update(hearing="stack", fusion="late", embedding=4, mask_bn=True)
    config.augmentation.sound_masks = 2
    config.training.update(devices=1, epochs=1, checkpoint_every_steps=2)
    trained_and_killed(config, tmp_path, 2)


@pytest.mark.parametrize("name", ["train", "validation"])
def test_a_dataset_without_sound_is_refused_before_anything_is_written(hearing_config, tmp_path, name):
    config, splits = hearing_config
    splits[name] = dataclasses.replace(splits[name], read_sound=None)
    with pytest.raises(UserError, match=r"^The model hears \(config.model.hearing\), and Split.* has no sound: build"):
        loop.train_and_evaluate(config("plain"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mixed_images_have_no_sound(hearing_config):
    config = hearing_config[0]("plain")
    config.clip.length, config.augmentation.mixup = 1, 0.2
    with pytest.raises(UserError, match=r"^config.augmentation.mixup=0.2 mixes images and no sounds, and the model"):
        checks.check_numbers(config)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.hearing", "", r"^config.augmentation.sound_masks=2 masks sounds, and the model hears none"),
        ("clip.length", 1, r"^config.model.mask_bn leaves out the frames that clips repeat, and config.clip.length=1"),
    ],
)
def test_what_is_masked_is_there(hearing_config, field, value, message):
    config = hearing_config[0]("plain")
    config.augmentation.sound_masks, config.model.mask_bn = 2, True
    checks.check_numbers(config)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=message):
        checks.check_numbers(config)


def test_without_a_norm_none_leaves_frames_out(hearing_config, monkeypatch):
    monkeypatch.setattr(emotion_net, "init_variables", lambda *_, **__: {"params": {}, "batch_stats": {}})  # for time
    config = hearing_config[0]("vgg_tiny")
    config.model.update(hearing="stack", mask_bn=True)
    with pytest.raises(UserError, match=r"^config.model.mask_bn is for norms that are trained"):
        run.prepare(config)
