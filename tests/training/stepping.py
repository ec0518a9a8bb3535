"""A step of every loss, and batches with every kind of missing label: for test_step.py and two_processes.py."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emotion_gcn_jax import parallel
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.inputs import IMAGENET_DEVIATION, IMAGENET_MEAN, Input
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values
from emotion_gcn_jax.training import step as steps

BATCH, SIDE = 16, 32
TASKS = (
    Classes(name="expression", vocabulary=EXPRESSIONS, class_weights=(0.5, 1.0, 2.0, 1.0, 0.3, 1.0, 1.5)),
    Values(name="affect", dimensions=("valence", "arousal")),
    Values(name="power", dimensions=("dominance",), loss_name="mse", weight=0.5),
    Flags(name="action_units", names=("AU1", "AU4", "AU12"), positive_weights=(1.0, 4.0, 2.0)),
)
MISSING = {"expression": -1, "affect": np.nan, "power": np.nan, "action_units": -1}
NODES = sum(len(task.outputs) for task in TASKS)


def random_batch(without=None, seed=0, side=SIDE, channels=3):
    """Labels of all tasks but one, of which some are missing: a class, one of two values, flags, a whole flag."""
    rng = np.random.default_rng(seed)
    batch = {
        "image": rng.integers(0, 256, (BATCH, side, side, channels), np.uint8),
        "expression": rng.integers(0, 7, BATCH).astype(np.int32),
        "affect": rng.uniform(-1, 1, (BATCH, 2)).astype(np.float32),
        "power": rng.uniform(-1, 1, (BATCH, 1)).astype(np.float32),
        "action_units": rng.integers(-1, 2, (BATCH, 3)).astype(np.int8),
    }
    batch["expression"][[3, 12, 13]] = -1  # the last two are all that one of eight devices has
    batch["affect"][5], batch["affect"][7, 1] = np.nan, np.nan
    batch["power"][2:6] = np.nan
    batch["action_units"][:, 1] = -1  # no example of the batch has AU4
    if without:
        batch[without][:] = MISSING[without]
    return batch


BATCHES = {"all tasks": random_batch(), **{f"no {task.name}": random_batch(task.name) for task in TASKS}}


def create(dtype="float32", trunk="narrow", head="graph", tx=None, with_ema=False):
    """A model under the named axis, its optimiser and its state.

    The trunk "narrow" is DenseNet's smallest that has every kind of layer. Without a `tx` the "optimiser" keeps the
    gradients as its state and changes nothing.
    """
    options = {"head": head, "word_vector_width": 5, "dtype": dtype}
    models = [
        emotion_net.create_model(_known(trunk), TASKS, axis_name=axis, **options) for axis in (parallel.AXIS, None)
    ]
    if trunk == "narrow":
        models = [model.clone(trunk=model.trunk.clone(blocks=(1, 1), growth=4, stem_width=4)) for model in models]
    mapped, unmapped = models
    rng = np.random.default_rng(0)
    constants = {"adjacency": np.eye(NODES) * 0.5 + 0.5 / NODES, "word_vectors": rng.normal(size=(NODES, 5))}
    inputs = input_of(unmapped)
    variables = emotion_net.init_variables(unmapped, 0, inputs.side, channels=inputs.channels, constants=constants)
    # With biases of 0, a norm's scale has no gradient but rounding's: the next norm undoes it.
    variables["params"] = jax.tree.map(
        lambda x: x + 0.1 * rng.normal(size=x.shape).astype(x.dtype), variables["params"]
    )
    tx = tx or optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda gradients, state, params: (jax.tree.map(jnp.zeros_like, gradients), gradients),
    )
    return mapped, tx, steps.create_state(variables, tx, with_ema=with_ema)


def _known(trunk):
    return "densenet_tiny" if trunk == "narrow" else trunk


def input_of(model):
    """Images of the only side and channels that the trunk takes, or else RGB of SIDE pixels."""
    side, channels = getattr(model.trunk, "INPUT", (SIDE, 3))
    return Input(side, channels, mean=IMAGENET_MEAN[:channels], deviation=IMAGENET_DEVIATION[:channels])


def mapped_step(devices, model, tx, **options):
    """`train_step` under pmap; the options are StepOptions's."""
    chosen = {"input": input_of(model), "augmentation": Augmentation(rotation_degrees=20.0), "seed": 3, **options}
    step_options = steps.StepOptions(TASKS, **chosen)
    return parallel.pmap_step(steps.train_step, devices, model=model, tx=tx, options=step_options)


def take_steps(device_count, created, batches, **options):
    """Losses, gradients and running statistics of one step with each batch, from the same state; and how far apart
    the states of this process's devices are afterwards.

    Args:
        device_count: devices of all processes.
        created: from `create`.
        batches: this process's shares of global batches, by name.
        **options: of `mapped_step`.
    """
    model, tx, state = created
    devices = jax.devices()[:device_count]
    local = [device for device in devices if device.process_index == jax.process_index()]
    step, results = mapped_step(devices, model, tx, **options), {}
    for name, batch in batches.items():
        new, scalars = step(parallel.replicate(state, local), parallel.spread(batch, len(local)))
        result = {"scalars": scalars, "gradients": new.opt_state, "statistics": new.batch_stats}
        results[name] = {**parallel.unreplicate(result), "apart": largest_spread((new, scalars))}
    return results


def largest_spread(tree):
    """The largest difference between the copies of any array that this process's devices have."""
    copies = [np.stack([shard.data for shard in array.addressable_shards]) for array in jax.tree.leaves(tree)]
    return max(np.ptp(array.astype(np.float64), axis=0).max() for array in copies)


def largest_difference(result, expected):
    """The largest difference of any array, relative to that array's largest value (a zero array to 1)."""

    def relative(a, b):
        scale = np.abs(b).max()
        return np.abs(a - b).max() / (scale if scale > 1e-9 else 1)

    return max(jax.tree.leaves(jax.tree.map(relative, result, expected)))


@contextlib.contextmanager
def quick_float64():
    """float64, compiled as `quick` says."""
    with quick(), jax.enable_x64(True):
        yield


@contextlib.contextmanager
def quick():
    """Compiled without most optimisations: compiling is nearly all the work of a single step."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
