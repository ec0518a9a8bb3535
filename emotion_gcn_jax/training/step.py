"""The training step, to be run under `jax.pmap`, and the state that it advances.

The same global batch gives the same step on any number of devices: normalisation and losses are taken over the global
batch, augmentation and dropout are keyed by the example's position in it, mixed images may come from any device, and
gradients are averaged over the devices. The body knows only a named axis (parallel.py), and no task by its name.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

from emotion_gcn_jax.data.augmentation import Augmentation, augment, example_keys
from emotion_gcn_jax.data.batches import FEATURES, FRESH
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.data.sound_masks import mask_sounds
from emotion_gcn_jax.models import layers
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.models.hearing import Sound
from emotion_gcn_jax.parallel import AXIS
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.training import optimizer, parts
from emotion_gcn_jax.training.parts import Parts
from emotion_gcn_jax.trees import Batch, Tree

MUST_BE_FINITE = ("loss", "gradient_norm", "parameter_norm", "statistics_norm")
"""Those of a step's scalars that show whether anything in it was not."""

_MIXUP = 2**32 - 1  # in the place of a step's number, which never comes as far


class TrainState(flax.struct.PyTreeNode):
    """All that a run has learnt so far, and all that the next step needs.

    Attributes:
        step: the number of steps taken, an int32 scalar.
        params: the trained parameters.
        batch_stats: the norms' running statistics.
        constants: the graph's (empty without a graph).
        opt_state: the optimiser's state.
        ema: {"params", "batch_stats"} averaged over the steps, or None.
        halted: whether a step was not finite and the run is to stop: then further steps change nothing. A checkpoint
            does not have it.
    """

    step: jax.Array
    params: Tree
    batch_stats: Tree
    constants: Tree
    opt_state: Tree
    ema: Tree | None
    halted: jax.Array

    def evaluated_variables(self) -> dict[str, Tree]:
        """The variables that are evaluated and published: the average where there is one."""
        chosen = self.ema or {"params": self.params, "batch_stats": self.batch_stats}
        return {**chosen, "constants": self.constants}

    def remainder(self) -> dict[str, Tree]:
        """What `evaluated_variables` does not hold and going on needs."""
        rest = {"step": self.step, "opt_state": self.opt_state}
        if self.ema is not None:
            rest["unaveraged"] = {"params": self.params, "batch_stats": self.batch_stats}
        return rest

    @classmethod
    def joined(cls, variables: dict[str, Tree], remainder: dict[str, Tree]) -> "TrainState":
        """The state whose `evaluated_variables` and `remainder` these are."""
        evaluated = {"params": variables["params"], "batch_stats": variables["batch_stats"]}
        current = remainder.get("unaveraged", evaluated)
        return cls(
            step=remainder["step"],
            params=current["params"],
            batch_stats=current["batch_stats"],
            constants=variables["constants"],
            opt_state=remainder["opt_state"],
            ema=evaluated if "unaveraged" in remainder else None,
            halted=jnp.zeros((), bool),
        )


class StepOptions(NamedTuple):
    """What a training step does besides running the model.

    Attributes:
        tasks: what is learnt; everything in them that depends on the training labels is resolved (Task.fitted).
        input: how images are cut and normalised.
        augmentation: what is done to them before, and to sounds.
        ema_decay: of the moving average; 0 for none.
        seed: of the augmentation and of what the model draws.
        steps_per_epoch: by which tasks that change while they are learnt know the time (Task.at).
        clip_length: so many successive images are one clip; it is changed at random as a whole.
        mask_bn: whether norms leave the frames that clips repeat out of their moments.
        l2: for parts of the model the factor of their kernels' sum of squares in the loss; see parts.py.
        skip_non_finite: whether a step that is not finite is left out, and the run goes on; otherwise no step after it
            changes anything.
    """

    tasks: Tasks
    input: Input
    augmentation: Augmentation = Augmentation()
    ema_decay: float = 0.0
    seed: int = 0
    steps_per_epoch: int = 1
    clip_length: int = 1
    mask_bn: bool = False
    l2: Parts = ()
    skip_non_finite: bool = False


def trained_of(params: Tree, is_trunk_frozen: bool) -> Tree:
    """The parameters that training changes: all, or all but the trunk's."""
    return {name: tree for name, tree in params.items() if not (is_trunk_frozen and name == "trunk")}


def create_state(
    variables: dict[str, Tree],
    tx: optax.GradientTransformation,
    *,
    with_ema: bool = False,
    is_trunk_frozen: bool = False,
) -> TrainState:
    """The state before the first step.

    Args:
        variables: "params", "batch_stats" and "constants", from models.emotion_net.init_variables.
        tx: the optimiser.
        with_ema: whether to keep a moving average.
        is_trunk_frozen: as of the model that is trained.
    """
    params, batch_stats = variables["params"], variables["batch_stats"]
    ema = jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats}) if with_ema else None
    zero, halted = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
    opt_state = tx.init(trained_of(params, is_trunk_frozen))
    return TrainState(zero, params, batch_stats, variables["constants"], opt_state, ema, halted)


def train_step(
    state: TrainState, batch: Batch, *, model: EmotionNet, tx: optax.GradientTransformation, options: StepOptions
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One step on this device's share of the global batch, to be run under an axis named AXIS.

    Args:
        state: the same on every device.
        batch: "image" uint8 B x S x S x C, or stored "features" float32 B x D; every task's labels by its name and, for
            a model that hears, its sound; and, for mask_bn, FRESH, bool B.
        model: built with axis_name=AXIS.
        tx: the optimiser.
        options: tasks, augmentation, moving average.

    Returns:
        The next state, and scalars of the global batch: loss, gradient_norm, every task's own loss as TASK_loss, how
        many of its examples have a label of the task as TASK_labelled, what l2 adds to the loss, if it is asked for,
        and the norms of the new parameters and running statistics. Where one of these is not finite, the state stays
        as it was.
    """
    is_stored, sound = FEATURES in batch, _prepare_sound(batch, options, state.step)
    counted = batch[FRESH] if options.mask_bn else None
    images = batch[FEATURES] if is_stored else prepare_images(batch["image"], model, options, state.step)
    labels = {task.name: batch[task.name] for task in options.tasks}
    if options.augmentation.mixup:
        images, labels = mix(images, labels, options, state.step)
    tasks = tuple(task.at(state.step / options.steps_per_epoch) for task in options.tasks)
    # Augmentation folds positions into this key, a module its path first: their draws have nothing in common.
    rngs = {layers.EXAMPLES: jax.random.fold_in(jax.random.key(options.seed), state.step)}

    def loss_fn(params: Tree) -> tuple[jax.Array, tuple[Tree, dict[str, jax.Array]]]:
        all_params = {**state.params, **params}
        variables = {"params": all_params, "batch_stats": state.batch_stats, "constants": state.constants}
        how: Any = {"clip_length": options.clip_length, "sound": sound, "mutable": ["batch_stats"], "rngs": rngs}
        forward = model.judge if is_stored else model.__call__
        with layers.moments_over(counted):
            result: Any = model.apply(variables, images, train=True, method=forward, **how)
        outputs, updated = result
        scalars = _losses(outputs, labels, tasks, params, options.l2)
        return scalars["loss"], (updated.get("batch_stats", {}), scalars)

    trained = trained_of(state.params, model.is_trunk_frozen)
    # Every device's loss is the global loss, so the mean (not the sum) of the devices' gradients is its gradient.
    gradients, (batch_stats, scalars) = jax.grad(loss_fn, has_aux=True)(trained)
    gradients = lax.pmean(gradients, AXIS)
    updates, opt_state = tx.update(gradients, state.opt_state, trained)
    params = {**state.params, **optax.apply_updates(trained, updates)}
    ema = state.ema
    if ema is not None:
        new = {"params": params, "batch_stats": batch_stats}
        ema = optimizer.update_average(ema, new, options.ema_decay, state.step)
    # As one vector: a sum for each of DenseNet-121's hundreds of arrays would make the compiler need 0.3 GB more.
    scalars["gradient_norm"] = jnp.linalg.norm(ravel_pytree(gradients)[0])
    # On a CPU XLA's maximum swallows a NaN, and with it a ReLU does: then only these show that there was one.
    scalars["parameter_norm"] = jnp.linalg.norm(ravel_pytree(params)[0])
    scalars["statistics_norm"] = jnp.linalg.norm(ravel_pytree(batch_stats)[0])
    after = state.replace(step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state, ema=ema)
    return _unless_non_finite(state, after, scalars, options.skip_non_finite), scalars


def _losses(
    outputs: Mapping[str, jax.Array], labels: Batch, tasks: Tasks, params: Tree, l2: Parts
) -> dict[str, jax.Array]:
    """The "loss", what it is made of, and how many examples of the global batch have a label of each task."""
    losses = {task.name: task.loss(outputs[task.name], labels[task.name], AXIS) for task in tasks}
    weighted = [task.weight * losses[task.name] for task in tasks]
    scalars = {f"{name}_loss": value for name, value in losses.items()}
    known = {task.name: task.known(labels[task.name]).any(axis=1).sum() for task in tasks}
    scalars |= {f"{name}_labelled": count for name, count in lax.psum(known, AXIS).items()}
    if l2:
        scalars["l2"] = parts.sum_of_squares(params, l2)
        weighted.append(scalars["l2"])
    scalars["loss"] = sum(weighted[1:], weighted[0])
    return scalars


def _unless_non_finite(before: TrainState, after: TrainState, scalars: dict[str, jax.Array], skip: bool) -> TrainState:
    """The state after a step or, where the step was not finite, the one before it."""
    finite = jnp.isfinite(jnp.stack([scalars[name].astype(jnp.float32) for name in MUST_BE_FINITE])).all()
    goes_on = finite if skip else finite & ~before.halted
    kept: TrainState = jax.tree.map(lambda old, new: jnp.where(goes_on, new, old), before, after)
    return kept.replace(step=after.step) if skip else kept.replace(halted=~goes_on)


def prepare_images(images: jax.Array, model: EmotionNet, options: StepOptions, step: jax.Array) -> jax.Array:
    """Augments, crops and normalises this device's images, each by its clip's position in the global batch."""
    dtype, inputs, keys_B = model.param_dtype, options.input, _clip_keys(len(images), options, step)
    changed = augment(images, keys_B, options.augmentation, crop=inputs.crop, fill=inputs.mean, dtype=dtype)
    return inputs.normalise(changed, dtype)


def _prepare_sound(batch: Batch, options: StepOptions, step: jax.Array) -> Sound | None:
    """What this device's examples hear, if they do, with stripes masked in each clip's sounds alike."""
    sound = Sound.of(batch)
    if sound is None or not options.augmentation.sound_masks:
        return sound
    keys_B = _clip_keys(len(sound.is_heard_B), options, step)
    return sound._replace(patches_BxSxM=mask_sounds(sound.patches_BxSxM, keys_B, options.augmentation))


def mix(
    images_BxHxWxC: jax.Array, labels: dict[str, jax.Array], options: StepOptions, step: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mixup (Zhang et al., arXiv 1710.09412): every image becomes share * itself + (1 - share) * another one.

    The share is one draw from Beta(alpha, alpha) for the whole step, and the others are a permutation of the global
    batch, which every device gathers: so nothing depends on how the batch is spread.

    Args:
        images_BxHxWxC: this device's, floating point.
        labels: its labels by the task's name.
        options: tasks, alpha and seed.
        step: of the draws.

    Returns:
        The images, and the labels as `Task.mixed` makes them.
    """
    alpha, axis_size = options.augmentation.mixup, lax.axis_size(AXIS)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(options.seed), _MIXUP), step)
    share_key, order_key = jax.random.split(key)
    share = jax.random.beta(share_key, alpha, alpha, dtype=jnp.float32)
    count = len(images_BxHxWxC)
    others_B = jax.random.permutation(order_key, count * axis_size)[_positions(count)]
    whole = lax.all_gather((images_BxHxWxC, labels), AXIS, tiled=True)
    other_images, other_labels = jax.tree.map(lambda array: array[others_B], whole)
    images = other_images + share.astype(images_BxHxWxC.dtype) * (images_BxHxWxC - other_images)
    mixed = {task.name: task.mixed(labels[task.name], other_labels[task.name], share) for task in options.tasks}
    return images, mixed


def _clip_keys(count: int, options: StepOptions, step: jax.Array) -> jax.Array:
    """A key for each of this device's examples, by its clip's position in the global batch."""
    return example_keys(jax.random.key(options.seed), step, _positions(count) // options.clip_length)


def _positions(count: int) -> jax.Array:
    """Where this device's examples stand in the global batch."""
    return lax.axis_index(AXIS) * count + jnp.arange(count)
