"""The promise of training/step.py: the same global batch gives the same step on any number of devices."""

import dataclasses
import functools
import os
import pathlib
import socket
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from emotion_gcn_jax import parallel
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.models import layers
from emotion_gcn_jax.tasks import losses
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.training import step as steps
from tests.models.running import run_once
from tests.training import stepping
from tests.training.stepping import BATCHES, TASKS, largest_difference

NAMES = [task.name for task in TASKS]


@pytest.fixture(autouse=True)
def quick():
    with stepping.quick():
        yield


@functools.cache
def narrow():
    """The narrow model in float64."""
    with stepping.quick_float64():
        return stepping.create("float64")


@functools.cache
def results(device_count):
    """What one step of it gives on so many devices, by the batch's name."""
    with stepping.quick_float64():
        return stepping.take_steps(device_count, narrow(), BATCHES)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("device_count", [2, 4, 8])
def test_any_number_of_devices_takes_the_same_step(device_count, batch):
    assert largest_difference(results(device_count)[batch], results(1)[batch]) < 1e-10


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory):
    """The results of each of two processes."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.training.two_processes", str(port), str(folder)]
    two_devices = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": two_devices}
    root = pathlib.Path(__file__).parents[2]
    workers = [subprocess.Popen([*command, str(number)], cwd=root, env=environment) for number in range(2)]
    try:
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0], "their tracebacks are above"
    finally:
        for worker in workers:
            worker.kill()
    structure, found = jax.tree.structure(results(1)), []
    for number in range(2):
        with np.load(folder / f"{number}.npz") as arrays:
            found.append(jax.tree.unflatten(structure, [arrays[f"arr_{i}"] for i in range(structure.num_leaves)]))
    return found


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("number", [0, 1])
def test_two_processes_take_the_same_step(of_two_processes, number, batch):
    assert largest_difference(of_two_processes[number][batch], results(1)[batch]) < 1e-10


def test_the_comparison_is_not_of_nothing():
    scalars = results(1)["all tasks"]["scalars"]
    of_tasks = (f"{name}_{what}" for name in NAMES for what in ("loss", "labelled"))
    assert scalars.keys() == {*steps.MUST_BE_FINITE, *of_tasks}
    assert min(scalars.values()) > 1e-2
    # Of 16 examples stepping.random_batch leaves out three, two (one of them by half), four and those without a flag.
    flags = stepping.random_batch()["action_units"]
    known = {"expression": 13, "affect": 15, "power": 12, "action_units": (flags >= 0).any(axis=1).sum()}
    assert {name: scalars[f"{name}_labelled"] for name in NAMES} == known


@functools.cache
def plain(head="linear"):
    """The plain trunk in float64; with linear heads, every task has parameters of its own."""
    with stepping.quick_float64():
        return stepping.create("float64", trunk="plain", head=head)


@functools.cache
def of_plain(device_count):
    with stepping.quick_float64():
        return stepping.take_steps(device_count, plain(), BATCHES)


@functools.cache
def of_mixed_crops(device_count):
    """The same with mixup, crops, and whatever else moves and erases."""
    augmentation = Augmentation(rotation_degrees=20.0, zoom=0.2, shift=0.1, erase_probability=0.5, mixup=0.4)
    options = {"input": Input(36, crop=stepping.SIDE), "augmentation": augmentation}
    batch = stepping.random_batch(side=36)
    batch |= {name: batch[name].astype(np.float64) for name in ("affect", "power")}  # or their mix is rounded before
    with stepping.quick_float64():
        return stepping.take_steps(device_count, plain("graph"), {"": batch}, **options)


def test_any_number_of_devices_mixes_the_same_crops():
    assert largest_difference(of_mixed_crops(8), of_mixed_crops(1)) < 1e-10


def _per_device(name):
    """The sabotage of a loss: the mean of the devices' own."""

    def sabotage(monkeypatch):
        whole = getattr(losses, name)

        def mean_of_parts(*arguments):
            *arguments, axis_name = arguments
            return jax.lax.pmean(whole(*arguments, None), axis_name)

        monkeypatch.setattr(losses, name, mean_of_parts)

    return sabotage


def _summed_gradients(monkeypatch):
    lax = types.SimpleNamespace(pmean=jax.lax.psum, psum=jax.lax.psum, axis_index=jax.lax.axis_index)
    monkeypatch.setattr(steps, "lax", lax)


def _augmentation_by_local_position(monkeypatch):
    lax = types.SimpleNamespace(pmean=jax.lax.pmean, psum=jax.lax.psum, axis_index=lambda axis_name: 0)
    monkeypatch.setattr(steps, "lax", lax)


SABOTAGES = {
    "per-device cross-entropy": _per_device("cross_entropy"),
    "per-device CCC": _per_device("concordance_loss"),
    "per-device squared error": _per_device("mean_squared_error"),
    "per-device binary cross-entropy": _per_device("binary_cross_entropy"),
    "summed gradients": _summed_gradients,
    "augmentation by local position": _augmentation_by_local_position,
}


def test_the_comparison_notices_norms_of_each_device(monkeypatch):
    created, expected = narrow(), results(1)["all tasks"]
    monkeypatch.setattr(layers, "batch_moments", lambda x, axis_name, f=layers.batch_moments: f(x, None))
    with stepping.quick_float64():
        result = stepping.take_steps(4, created, {"": BATCHES["all tasks"]})
    assert largest_difference(result[""], expected) > 1e-4


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_the_comparison_notices_every_other_usual_mistake(monkeypatch, sabotage):
    created, expected = plain(), of_plain(1)["all tasks"]
    assert largest_difference(of_plain(2)["all tasks"], expected) < 1e-10
    SABOTAGES[sabotage](monkeypatch)
    with stepping.quick_float64():
        result = stepping.take_steps(2, created, {"": BATCHES["all tasks"]})
    assert largest_difference(result[""], expected) > 1e-4


@functools.cache
def grey_batches():
    return {"": stepping.random_batch(side=48, channels=1)}


@functools.cache
def of_dropout(device_count):
    """The same of a trunk that drops half of its values, and reads maps between their pixels."""
    with stepping.quick_float64():
        return stepping.take_steps(device_count, stepping.create("float64", "deep_emotion"), grey_batches())


def test_any_number_of_devices_drops_the_same_values():
    assert largest_difference(of_dropout(8), of_dropout(1)) < 1e-10


def test_the_comparison_notices_dropout_by_local_position(monkeypatch):
    lax = types.SimpleNamespace(axis_index=lambda axis_name: 0)
    monkeypatch.setattr(layers, "lax", lax)
    with stepping.quick_float64():
        result = stepping.take_steps(2, stepping.create("float64", "deep_emotion"), grey_batches())
    assert largest_difference(result, of_dropout(1)) > 1e-4


def test_the_squares_of_kernels_touch_their_gradients_and_no_others():
    factor, parts = 0.25, (("trunk/conv2", 0.25), ("head", 0.25))
    without = of_plain(1)["all tasks"]
    with stepping.quick_float64():
        with_l2 = stepping.take_steps(1, plain(), {"": BATCHES["all tasks"]}, l2=parts)[""]
    params = traverse_util.flatten_dict(jax.device_get(plain()[2].params))
    kernels = [path for path in params if path[0] == "head" or path[:2] == ("trunk", "conv2") if path[-1] == "kernel"]
    assert len(kernels) == 1 + len(TASKS)
    before, after = (traverse_util.flatten_dict(result["gradients"]) for result in (without, with_l2))
    for path, array in params.items():
        added = 2 * factor * array if path in kernels else 0 * array
        np.testing.assert_allclose(after[path] - before[path], added, atol=1e-12, err_msg="/".join(path))
    squares = factor * sum((params[path] ** 2).sum() for path in kernels)
    np.testing.assert_allclose(with_l2["scalars"]["l2"], squares, rtol=1e-12)
    np.testing.assert_allclose(with_l2["scalars"]["loss"] - without["scalars"]["loss"], squares, rtol=1e-9)
    assert "l2" not in without["scalars"]


@pytest.mark.parametrize("task", NAMES)
def test_a_batch_without_a_label_of_a_task_has_its_loss_and_gradient_exactly_zero(task):
    result = of_plain(2)[f"no {task}"]
    gradients = result["gradients"]["head"]
    without_label = [name for name in NAMES if result["scalars"][f"{name}_loss"] == 0]
    without_gradient = [name for name in NAMES if not any(g.any() for g in jax.tree.leaves(gradients[name]))]
    assert without_label == without_gradient == [task]


def test_a_flag_that_no_example_has_a_label_of_gets_no_gradient():
    bias_3 = of_plain(2)["all tasks"]["gradients"]["head"]["action_units"]["bias"]
    assert (bias_3 != 0).tolist() == [True, False, True]


@pytest.mark.parametrize("batch", BATCHES)
def test_devices_hold_the_same_state_after_a_step(batch):
    assert results(8)[batch]["apart"] == of_plain(2)[batch]["apart"] == 0


def in_training(model, state, batch):
    """The raw outputs of the same model without a mapped axis."""
    unmapped = model.clone(trunk=model.trunk.clone(axis_name=None))
    images = (batch["image"] / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    variables = {"params": state.params, "batch_stats": state.batch_stats, "constants": state.constants}
    return run_once(lambda x: unmapped.apply(variables, x, train=True, mutable=["batch_stats"])[0], images)


def test_the_loss_is_that_of_the_parts_by_hand(x64):
    model, tx, state = plain()
    devices, batch = jax.local_devices()[:1], stepping.random_batch()
    off = Augmentation(flip_probability=0.0, rotation_degrees=0.0)
    step = stepping.mapped_step(devices, model, tx, augmentation=off)
    _, scalars = step(parallel.replicate(state, devices), parallel.spread(batch, 1))

    outputs = in_training(model, state, batch)
    expected = {task.name: task.loss(outputs[task.name], jnp.asarray(batch[task.name])) for task in TASKS}
    np.testing.assert_allclose([scalars[f"{name}_loss"][0] for name in NAMES], [*expected.values()], rtol=1e-6)
    total = expected["expression"] + expected["affect"] + 0.5 * expected["power"] + expected["action_units"]
    np.testing.assert_allclose(scalars["loss"][0], total, rtol=1e-6)


def test_a_margin_rises_with_the_steps_on_any_number_of_devices(monkeypatch):
    """ArcFace's task changes from step to step, within one compiled step."""
    task = Classes(name="expression", vocabulary=EXPRESSIONS, loss_name="arcface", margin_warmup_epochs=2.0)
    monkeypatch.setattr(stepping, "TASKS", (task,))
    batch = stepping.random_batch()
    off = Augmentation(flip_probability=0.0, rotation_degrees=0.0)
    with stepping.quick_float64():
        model, tx, state = stepping.create("float64", trunk="plain", head="linear")
        found = {}
        for count in (1, 2):
            devices = jax.local_devices()[:count]
            step = stepping.mapped_step(devices, model, tx, augmentation=off, steps_per_epoch=10)
            for number in (0, 10, 99):
                now = parallel.replicate(state.replace(step=jnp.asarray(number, jnp.int32)), devices)
                new, scalars = step(now, parallel.spread(batch, count))
                found[count, number] = parallel.unreplicate((scalars, new.opt_state))
        outputs = in_training(model, state, batch)
        for number, margin in ((0, 0.0), (10, 0.15), (99, 0.3)):  # 10 steps are half of the warm-up
            at_once = dataclasses.replace(task, margin=margin, margin_warmup_epochs=0.0)
            expected = at_once.loss(outputs["expression"], jnp.asarray(batch["expression"]))
            np.testing.assert_allclose(found[1, number][0]["loss"], expected, rtol=1e-6)
            assert largest_difference(found[2, number], found[1, number]) < 1e-10


@functools.cache
def mapped_mix(device_count):
    """`mix` of a batch of 8 at a step."""
    options = steps.StepOptions(TASKS[:1], Input(8), Augmentation(mixup=0.4), seed=5)
    devices = jax.local_devices()[:device_count]
    return parallel.pmap_step(
        lambda batch: steps.mix(batch["image"], {"expression": batch["expression"]}, options, batch["step"][0]), devices
    )


def mixed_by(device_count, step=0):
    """What `mix` makes of images that are filled with their position in a batch of 8, and the shares of the classes."""
    images = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None, None], (8, 2, 2, 1))
    batch = {"image": images, "expression": np.arange(8, dtype=np.int32) % 7, "step": np.full(8, step, np.int32)}
    images, labels = jax.device_get(mapped_mix(device_count)(parallel.spread(batch, device_count)))
    return images.reshape(8, -1), labels["expression"].reshape(8, 7)


@pytest.mark.parametrize("device_count", [1, 2, 8])
def test_a_step_mixes_every_image_with_another_by_one_share(device_count):
    whole, shares = mixed_by(1)
    images, labels = mixed_by(device_count)
    np.testing.assert_array_equal(images, whole)
    np.testing.assert_array_equal(labels, shares)
    assert (images == images[:, :1]).all()
    # The share is that of Beta(alpha, alpha), and the others are a permutation: found by what was made of positions.
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(5), 2**32 - 1), 0)
    share = jax.random.beta(jax.random.split(key)[0], 0.4, 0.4)
    others = (images[:, 0] - share * np.arange(8)) / (1 - share)
    np.testing.assert_allclose(np.sort(others), np.arange(8), atol=1e-2)  # 1 - share may be small
    expected = share * np.eye(7)[np.arange(8) % 7] + (1 - share) * np.eye(7)[np.round(others).astype(int) % 7]
    np.testing.assert_allclose(labels, expected, atol=1e-6)


def test_other_steps_mix_otherwise():
    made = [mixed_by(1, step)[0][:, 0] for step in range(3)]
    assert len({tuple(values) for values in made}) == 3


@pytest.fixture
def compiled():
    """The names of the functions that are compiled from now on."""
    names = []

    def listen(event, duration, fun_name="", **_):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def test_the_step_is_compiled_once(compiled):
    """State and batches of later steps must look to pmap as those of the first, whatever labels are missing."""
    model, tx, state = stepping.create(trunk="plain")
    devices = jax.local_devices()[:2]
    step = stepping.mapped_step(devices, model, tx)
    prefetched = parallel.prefetch(iter(BATCHES.values()), devices)
    state, _ = step(parallel.replicate(state, devices), next(prefetched))
    assert compiled  # the listener hears
    compiled.clear()
    for batch in prefetched:
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    assert compiled == []


def test_the_average_follows_the_parameters_and_is_what_is_evaluated():
    model, tx, before = stepping.create(trunk="plain", tx=optax.sgd(0.1), with_ema=True)
    devices = jax.local_devices()[:1]
    step = stepping.mapped_step(devices, model, tx, ema_decay=0.5)
    batch = parallel.spread(stepping.random_batch(), 1)
    after = parallel.unreplicate(step(parallel.replicate(before, devices), batch)[0])
    # The decay at the first step is min(0.5, 1 / 10).
    for name in ("params", "batch_stats"):
        old, new = jax.device_get(getattr(before, name)), getattr(after, name)
        moved = jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), old, new))
        assert np.max(moved) > 1e-2  # or old, new and their average would be the same
        expected = jax.tree.map(lambda a, b: 0.1 * a + 0.9 * b, old, new)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), after.ema[name], expected)
    assert after.evaluated_variables()["params"] is after.ema["params"]
