"""Training in time: a step of clips on any number of devices, and a run of them that is killed and goes on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.evaluator import evaluate_model
from emotion_gcn_jax.inference.model import load
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.recurrent import Recurrent
from emotion_gcn_jax.parallel import AXIS
from emotion_gcn_jax.training import checks, datasets
from emotion_gcn_jax.training import step as steps
from tests.data.splits import pixels, split_of
from tests.training import stepping
from tests.training.conftest import trained_and_killed
from tests.training.stepping import TASKS, largest_difference


@functools.cache
def results(device_count):
    """One float64 step with eight clips of two frames; labels of all kinds are missing here and there."""
    with stepping.quick_float64():
        model, tx, state = stepping.create("float64", trunk="plain", head="linear")
        time = Recurrent((3,), param_dtype=jnp.float64)
        model = model.clone(time=time, head=model.head.clone())
        shapes = jax.eval_shape(lambda: time.init(jax.random.key(0), jnp.zeros((2, 16)), 2))["params"]
        rng = np.random.default_rng(1)
        head = {task.name: (3, len(task.outputs)) for task in TASKS}
        params = {
            **state.params,
            "time": jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes),
            "head": {
                name: {"kernel": jnp.asarray(rng.normal(size=shape)), "bias": jnp.zeros(shape[1])}
                for name, shape in head.items()
            },
        }
        state = state.replace(params=params, opt_state=tx.init(params))
        augmentation = Augmentation(rotation_degrees=20.0, brightness=0.2)
        created = model, tx, state
        return stepping.take_steps(device_count, created, stepping.BATCHES, clip_length=2, augmentation=augmentation)


@pytest.mark.parametrize("batch", stepping.BATCHES)
def test_eight_devices_take_the_same_step_of_clips(batch):
    assert largest_difference(results(8)[batch], results(1)[batch]) < 1e-10


def test_the_frames_of_a_clip_are_changed_alike_and_clips_are_not():
    """Four clips of four frames, on two devices; all frames are one picture."""
    picture = pixels(0, (stepping.SIDE, stepping.SIDE, 3))
    images = np.repeat(picture[None], stepping.BATCH, axis=0)
    augmentation = Augmentation(rotation_degrees=20.0, brightness=0.2, zoom=0.2, shift=0.1, erase_probability=0.5)
    options = steps.StepOptions(TASKS, Input(stepping.SIDE), augmentation, seed=3, clip_length=4)
    model = emotion_net.create_model("resnet_tiny", TASKS, axis_name=AXIS)
    devices = jax.devices()[:2]
    prepare = jax.pmap(lambda batch, step: steps.prepare_images(batch, model, options, step), AXIS, devices=devices)
    changed = prepare(images.reshape(2, 8, *picture.shape), np.full(2, 5, np.int32))
    clips = np.asarray(changed).reshape(4, 4, *picture.shape)
    np.testing.assert_array_equal(clips, np.repeat(clips[:, :1], 4, axis=1))
    assert len({clip[0].tobytes() for clip in clips}) == 4


@pytest.mark.parametrize("name", [task.name for task in TASKS])
def test_a_batch_without_a_task_s_labels_teaches_its_head_exactly_nothing(name):
    without = results(1)[f"no {name}"]
    assert without["scalars"][f"{name}_loss"] == without["scalars"][f"{name}_labelled"] == 0
    assert not any(leaf.any() for leaf in jax.tree.leaves(without["gradients"]["head"][name]))
    assert all(leaf.any() for leaf in jax.tree.leaves(without["gradients"]["time"]["layer1"]["hn"]))


def tracks(count, seed):
    """Tracks of 9 to 12 frames without the fourth; every frame is noise, as bright as its expression."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(9, 13, count)
    frames = [np.delete(np.arange(1, length + 1), 3) for length in lengths]
    columns = {
        "video": np.repeat(np.char.mod("%d", np.arange(count)).astype("S"), [len(numbers) for numbers in frames]),
        "frame": np.concatenate(frames),
    }
    columns["expression"] = np.where(columns["frame"] % 5 == 0, -1, columns["frame"] % 7)
    columns["valence"] = columns["arousal"] = (columns["frame"] / 6 - 1).astype(np.float32)
    split = split_of(columns, label_names=EXPRESSIONS)
    return dataclasses.replace(split, read_image=lambda row: pixels(row, (32, 32, 3)))


@pytest.fixture
def clips_config(config_of, monkeypatch):
    splits = {"train": tracks(8, 0), "validation": tracks(3, 1)}
    monkeypatch.setattr(datasets, "open_split", lambda name, split, **where: splits[split])
    config = config_of("plain,multi_task")
    config.model.recurrent, config.clip.length = (4,), 4
    config.data.batch_size = config.data.eval_batch_size = 16
    return config, splits


def test_a_killed_and_resumed_run_of_clips_ends_as_an_unbroken_one(clips_config, tmp_path):
    config, splits = clips_config
    config.training.checkpoint_every_steps = 3
    metrics = trained_and_killed(config, tmp_path, 6)

    # The trained model judges every frame once, in the split's order, as training did.
    model, validation = load(tmp_path / "straight"), splits["validation"]
    found = evaluate_model(model, validation)
    assert found.ids == validation.ids.tolist() and metrics["examples"] == len(validation)
    # A single image is a clip of one frame: as the first frame of a clip is judged, whose state is 0.
    (face,) = model.predict_faces([validation.image(0)])
    np.testing.assert_allclose(list(face.answers["affect"].values()), found.answers["affect"][0], rtol=1e-4, atol=1e-5)
    assert isinstance(model.module, emotion_net.EmotionNet)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("augmentation.mixup", 0.2, "^config.augmentation.mixup=0.2 is for single images, and config.clip.length=4"),
        ("dataset.balance", "expression", "^config.dataset.balance=expression is for single images"),
        ("model.recurrent", (0,), "^config.model.recurrent has the units"),
        ("clip.min_present", 1.5, "^config.clip.min_present must lie in 0..1"),
    ],
)
def test_what_clips_cannot_have(clips_config, field, value, message):
    config, _ = clips_config
    group, name = field.split(".")
    config[group][name] = value
    with pytest.raises(UserError, match=message):
        checks.check_numbers(config)


def test_a_batch_holds_whole_clips():
    with pytest.raises(UserError, match=r"=20 does not divide over 2 devices in whole clips of 8 .* 16 or 32\.$"):
        checks.check_divisible("batch_size", 20, 2, 8)
