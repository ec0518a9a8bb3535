"""mt_arcres on small faces: Aff-Wild2 spec, section 14, tests 2, 3 and 6."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from emotion_gcn_jax import parallel
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.vgg import VGG
from emotion_gcn_jax.parallel import AXIS
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values
from emotion_gcn_jax.training import loop
from emotion_gcn_jax.training import step as steps
from tests.training import stepping

TASKS = (
    Classes(name="expression", vocabulary=EXPRESSIONS, loss_name="arcface", margin_warmup_epochs=2.0),
    Values(name="affect", dimensions=("valence", "arousal")),
    Flags(
        name="action_units",
        names=("AU1", "AU4", "AU12"),
        positive_weights=(2.0, 1.0, 5.0),
        negative_weights=(0.5, 1.0, 0.8),
    ),
)
INPUT = Input(stepping.SIDE)
STILL = Augmentation(flip_probability=0.0, rotation_degrees=0.0)


def started(tx, trunk=None):
    """A network with an embedding of 8, or without norms on a given trunk, and its first state, in float64."""
    options = {"dtype": "float64", "embedding": 0 if trunk else 8}
    mapped, unmapped = (
        emotion_net.create_model("resnet_tiny", TASKS, axis_name=axis, **options) for axis in (AXIS, None)
    )
    if trunk:
        mapped, unmapped = mapped.clone(trunk=trunk), unmapped.clone(trunk=trunk)
    variables = emotion_net.init_variables(unmapped, 0, stepping.SIDE)
    return mapped, steps.create_state(variables, tx)


def taken(device_count, model, tx, state, batches, augmentation=STILL):
    """The state after a step with each batch, and all losses."""
    devices = jax.devices()[:device_count]
    options = steps.StepOptions(TASKS, INPUT, augmentation, seed=3, steps_per_epoch=4)
    step = parallel.pmap_step(steps.train_step, devices, model=model, tx=tx, options=options)
    replicated, losses = parallel.replicate(state, devices), []
    for batch in batches:
        replicated, scalars = step(replicated, parallel.spread(batch, device_count))
        losses.append({name: np.float64(value) for name, value in parallel.unreplicate(scalars).items()})
    return parallel.unreplicate(replicated), losses


@functools.cache
def ten_steps(device_count):
    with stepping.quick_float64():
        tx = optax.sgd(0.05, momentum=0.9, nesterov=True)
        model, state = started(tx)
        batches = [stepping.random_batch(without, seed) for seed, without in enumerate([None, "affect"] * 5)]
        return taken(device_count, model, tx, state, batches, Augmentation(rotation_degrees=20.0))


def test_eight_devices_take_the_same_ten_steps_as_one():
    one, eight = ten_steps(1), ten_steps(8)
    for part in ("params", "batch_stats", "opt_state"):
        assert stepping.largest_difference(getattr(eight[0], part), getattr(one[0], part)) < 1e-10, part
    assert stepping.largest_difference(eight[1], one[1]) < 1e-10
    losses = [float(scalars["expression_loss"]) for scalars in one[1]]
    assert len(set(losses)) == 10 and one[1][1]["affect_loss"] == 0 < one[1][0]["affect_loss"]


@functools.cache
def kept_gradients():
    """An "optimiser" that keeps the gradients as its state and changes nothing."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda gradients, state, params: (jax.tree.map(jnp.zeros_like, gradients), gradients),
    )


def test_it_does_not_matter_which_device_has_which_example():
    batch, order = stepping.random_batch(), np.random.default_rng(1).permutation(stepping.BATCH)
    with stepping.quick_float64():
        model, state = started(kept_gradients())
        moved = {name: values[order] for name, values in batch.items()}
        found = [taken(8, model, kept_gradients(), state, [some]) for some in (batch, moved)]
    for name, loss in found[0][1][0].items():
        np.testing.assert_allclose(loss, found[1][1][0][name], rtol=1e-12, err_msg=name)
    assert stepping.largest_difference(found[1][0].opt_state, found[0][0].opt_state) < 1e-10


def test_examples_without_any_label_change_nothing_where_there_are_no_norms():
    batch, others = stepping.random_batch(), stepping.random_batch(seed=1)
    for name, missing in stepping.MISSING.items():
        others[name][:] = missing
    with stepping.quick_float64():
        trunk = VGG(((1, 4),), dtype=jnp.float64, param_dtype=jnp.float64)
        model, state = started(kept_gradients(), trunk)
        more = {name: np.concatenate([batch[name], others[name]]) for name in batch}
        found = [taken(2, model, kept_gradients(), state, [some]) for some in (batch, more)]
    for task in TASKS:
        for what in ("loss", "labelled"):
            name = f"{task.name}_{what}"
            np.testing.assert_allclose(found[1][1][0][name], found[0][1][0][name], rtol=1e-12, err_msg=name)
    assert stepping.largest_difference(found[1][0].opt_state, found[0][0].opt_state) < 1e-10


@pytest.mark.parametrize("loss", ["arcface", "cross_entropy"])
def test_it_learns_all_three_kinds_of_labels(config_of, tmp_path, loss):
    config = config_of("resnet_tiny,mt_arcres")
    config.model.embedding = 16
    config.tasks.expression.loss = loss
    config.training.update(devices=1, epochs=8, patience=0)
    tasks = loop.train_and_evaluate(config, tmp_path)["tasks"]
    assert tasks["expression"]["accuracy"] > 3 / 7
    assert tasks["affect"]["ccc_mean"] > 0.5
    assert tasks["action_units"]["f1_mean"] > tasks["action_units"]["always_true_f1_mean"] + 0.05
