"""The promise of training/step.py: the same global batch gives the same step on any number of devices."""

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

from emotion_gcn_jax import parallel
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.models import emotion_net, layers
from emotion_gcn_jax.training import losses
from emotion_gcn_jax.training import step as steps

BATCH, SIDE = 16, 32


def random_batch(seed=0, batch=BATCH, side=SIDE):
    rng = np.random.default_rng(seed)
    expression = rng.integers(0, 7, batch).astype(np.int32)
    valence, arousal = rng.uniform(-1, 1, (2, batch)).astype(np.float32)
    expression[3] = -1
    valence[5] = arousal[5] = np.nan
    images = rng.integers(0, 256, (batch, side, side, 3), np.uint8)
    return {"image": images, "expression": expression, "valence": valence, "arousal": arousal}


def create(dtype, trunk="densenet_tiny"):
    """A model under the named axis, and a state whose "optimiser" keeps the gradients and changes nothing."""
    model = emotion_net.create_model(trunk, "emotion_gcn", word_vector_width=5, dtype=dtype, axis_name=parallel.AXIS)
    rng = np.random.default_rng(0)
    graph = {"adjacency_9x9": np.eye(9) * 0.5 + 0.05, "word_vectors_9xF": rng.normal(size=(9, 5))}
    unmapped = emotion_net.create_model(trunk, "emotion_gcn", word_vector_width=5, dtype=dtype)
    variables = emotion_net.init_variables(unmapped, 0, SIDE, **graph)
    # With biases of 0, a norm's scale has no gradient but rounding's: the next norm undoes it.
    variables["params"] = jax.tree.map(
        lambda x: x + 0.1 * rng.normal(size=x.shape).astype(x.dtype), variables["params"]
    )
    tx = optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda gradients, state, params: (jax.tree.map(jnp.zeros_like, gradients), gradients),
    )
    return model, tx, steps.create_state(variables, tx)


def take_step(device_count, model, tx, state, batch):
    """Loss, gradients and running statistics after one step on so many devices, of this process's share of a batch."""
    devices = jax.devices()[:device_count]
    local = [device for device in devices if device.process_index == jax.process_index()]
    options = steps.StepOptions(
        class_weights_C=(0.5, 1.0, 2.0, 1.0, 0.3, 1.0, 1.5), augmentation=Augmentation(rotation_degrees=20.0), seed=3
    )
    step = parallel.pmap_step(steps.train_step, devices, model=model, tx=tx, options=options)
    new, scalars = step(parallel.replicate(state, local), parallel.spread(batch, len(local)))
    result = {"loss": scalars["loss"], "gradients": new.opt_state, "statistics": new.batch_stats}
    return parallel.unreplicate(result)


def largest_difference(result, expected):
    """The largest difference of any array, relative to that array's largest value (a zero array to 1)."""

    def relative(a, b):
        scale = np.abs(b).max()
        return np.abs(a - b).max() / (scale if scale > 1e-9 else 1)

    return max(jax.tree.leaves(jax.tree.map(relative, result, expected)))


@pytest.fixture
def one_device(x64):
    model, tx, state = create("float64")
    return model, tx, state, take_step(1, model, tx, state, random_batch())


@pytest.mark.parametrize("device_count", [2, 4, 8])
def test_any_number_of_devices_takes_the_same_step(one_device, device_count):
    model, tx, state, expected = one_device
    result = take_step(device_count, model, tx, state, random_batch())
    assert largest_difference(result, expected) < 1e-10


def test_two_processes_take_the_same_step(one_device, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.training.two_processes", str(port), str(tmp_path)]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_ENABLE_X64": "1"}
    root = pathlib.Path(__file__).parents[2]
    workers = [subprocess.Popen([*command, str(number)], cwd=root, env=environment) for number in range(2)]
    try:
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0], "their tracebacks are above"
    finally:
        for worker in workers:
            worker.kill()
    expected, structure = jax.tree.flatten(one_device[-1])
    for number in range(2):
        with np.load(tmp_path / f"{number}.npz") as found:
            result = jax.tree.unflatten(structure, [found[f"arr_{place}"] for place in range(len(expected))])
        assert largest_difference(result, one_device[-1]) < 1e-10


def test_devices_hold_the_same_state_after_a_step():
    model, tx, state = create("float32")
    devices = jax.local_devices()[:4]
    step = parallel.pmap_step(steps.train_step, devices, model=model, tx=tx, options=steps.StepOptions((1.0,) * 7))
    for leaf in jax.tree.leaves(step(parallel.replicate(state, devices), parallel.spread(random_batch(), 4))):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))


def _per_device_norm(monkeypatch):
    monkeypatch.setattr(layers, "batch_moments", lambda x, axis_name, f=layers.batch_moments: f(x, None))


def _per_device_ccc(monkeypatch):
    monkeypatch.setattr(
        losses,
        "affect_loss",
        lambda v, a, p, variance, axis_name, f=losses.affect_loss: jax.lax.pmean(f(v, a, p, variance), axis_name),
    )


def _per_device_cross_entropy(monkeypatch):
    monkeypatch.setattr(
        losses,
        "expression_loss",
        lambda x, y, w, axis_name, f=losses.expression_loss: jax.lax.pmean(f(x, y, w), axis_name),
    )


def _summed_gradients(monkeypatch):
    lax = types.SimpleNamespace(pmean=jax.lax.psum, axis_index=jax.lax.axis_index)
    monkeypatch.setattr(steps, "lax", lax)


@pytest.mark.parametrize("sabotage", [_per_device_norm, _per_device_ccc, _per_device_cross_entropy, _summed_gradients])
def test_the_comparison_notices_every_usual_mistake(one_device, monkeypatch, sabotage):
    model, tx, state, expected = one_device
    sabotage(monkeypatch)
    result = take_step(4, model, tx, state, random_batch())
    assert largest_difference(result, expected) > 1e-4


def test_the_loss_is_that_of_the_parts_by_hand(one_device):
    model, tx, state, _ = one_device
    off = Augmentation(flip_probability=0.0, rotation_degrees=0.0)
    batch = random_batch()
    options = steps.StepOptions(class_weights_C=(1.0,) * 7, affect_weight=0.5, augmentation=off)
    step = parallel.pmap_step(steps.train_step, jax.local_devices()[:1], model=model, tx=tx, options=options)
    _, scalars = step(parallel.replicate(state, jax.local_devices()[:1]), parallel.spread(batch, 1))

    unmapped = emotion_net.create_model("densenet_tiny", "emotion_gcn", word_vector_width=5, dtype="float64")
    images = (batch["image"] / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    variables = {"params": state.params, "batch_stats": state.batch_stats, "graph": state.graph}
    outputs, _ = unmapped.apply(variables, jnp.asarray(images), train=True, mutable=["batch_stats"])
    cross_entropy = losses.expression_loss(outputs.logits_BxC, batch["expression"], jnp.ones(7))
    affect = losses.affect_loss(batch["valence"], batch["arousal"], outputs.affect_Bx2)
    np.testing.assert_allclose(scalars["loss"][0], cross_entropy + 0.5 * affect, rtol=1e-6)


def test_the_step_is_compiled_once():
    """State and batches of later steps must look to pmap as those of the first."""
    compilations = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(duration)

    model, tx, state = create("float32")
    devices = jax.local_devices()[:2]
    options = steps.StepOptions(class_weights_C=(1.0,) * 7)
    step = parallel.pmap_step(steps.train_step, devices, donate=True, model=model, tx=tx, options=options)
    prefetched = parallel.prefetch((random_batch(seed) for seed in range(4)), devices)
    state = parallel.replicate(state, devices)
    state, _ = step(state, next(prefetched))
    jax.monitoring.register_event_duration_secs_listener(listen)
    for batch in prefetched:
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    assert compilations == []


def test_the_average_follows_the_parameters_and_is_what_is_evaluated():
    model, _, state = create("float32")
    variables = {"params": state.params, "batch_stats": state.batch_stats, "graph": state.graph}
    tx = optax.sgd(0.1)
    state = steps.create_state(variables, tx, with_ema=True)
    devices = jax.local_devices()[:1]
    options = steps.StepOptions(class_weights_C=(1.0,) * 7, ema_decay=0.5)
    step = parallel.pmap_step(steps.train_step, devices, model=model, tx=tx, options=options)
    before = state
    after = parallel.unreplicate(step(parallel.replicate(state, devices), parallel.spread(random_batch(), 1))[0])
    # The decay at the first step is min(0.5, 1 / 10).
    for name in ("params", "batch_stats"):
        old, new = jax.device_get(getattr(before, name)), getattr(after, name)
        moved = jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), old, new))
        assert np.max(moved) > 1e-2  # or old, new and their average would be the same
        expected = jax.tree.map(lambda a, b: 0.1 * a + 0.9 * b, old, new)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), after.ema[name], expected)
    assert after.evaluated_variables()["params"] is after.ema["params"]


def test_densenet121_steps_in_float32_on_two_devices():
    model, _, state = create("float32", "densenet121")
    tx = optax.sgd(1e-3)
    state = steps.create_state({"params": state.params, "batch_stats": state.batch_stats, "graph": state.graph}, tx)
    result = take_step(2, model, tx, state, random_batch())
    assert np.isfinite(result["loss"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result))
