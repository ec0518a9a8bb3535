"""Evaluation: every example of a split once, in order, through the model."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jax import lax

from emotion_gcn_jax.data.batches import FEATURES, READABLE, Loader, eval_batches, eval_rows
from emotion_gcn_jax.data.clips import Clips
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.predictions import Predictions
from emotion_gcn_jax.inference import engines
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.models import folding
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.models.hearing import Sound
from emotion_gcn_jax.models.layers import OBSERVED
from emotion_gcn_jax.parallel import AXIS, own, pmap_step, replicate, spread
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.trees import Batch, Tree


def evaluate_model(
    model: EmotionModel, split: Split, *, ten_crop: bool = False, masked: set[str] | None = None
) -> Predictions:
    """Predicts a whole split with a trained model: by its engine, which with JAX is all devices of this process.

    Args:
        model: from `inference.model.load`; its config says the batch and the threads.
        split: the examples; missing labels are allowed.
        ten_crop: judge ten crops of every image, by JAX whatever the engine; see `predict_step`.
        masked: leave out examples that cannot be read, and put what is said of each into it. None raises instead.

    Raises:
        UserError: as `evaluate`; with ten_crop, as `check_ten_crop`; of a model that hears, as `check_sound`.
    """
    data, clips = model.config.data, Clips(**model.config.clip)
    loader = Loader(model.input, data.eval_batch_size, data.threads, hears=model.hears, clips=clips, masked=masked)
    if ten_crop:
        check_ten_crop(model.input)
    if model.hears:
        check_sound(split)
    elif not ten_crop and clips.length == 1 and model.engine != "jax":
        return evaluate(
            lambda batch: {**model.answers(batch["image"]), **_readable(batch)}, split, model.tasks, loader=loader
        )
    devices = jax.local_devices()
    unit = len(devices) * clips.length
    batch_size = -(-data.eval_batch_size // unit) * unit
    module, variables = folding.fold(model.module, model.variables)
    step = pmap_step(
        predict_step,
        devices,
        model=module,
        tasks=model.tasks,
        inputs=model.input,
        ten_crop=ten_crop,
        clip_length=clips.length,
    )
    answers = on_devices(step, replicate(variables, devices), devices)
    found = evaluate(answers, split, model.tasks, loader=dataclasses.replace(loader, batch_size=batch_size))
    return dataclasses.replace(found, ten_crop=ten_crop)


def check_ten_crop(inputs: Input) -> None:
    """Raises UserError for a model that sees whole images."""
    if not inputs.crop:
        raise UserError(
            "Ten crops are for a model that was trained on crops, and this one has config.input.crop=0: evaluate it "
            "without them."
        )


def check_sound(split: Split) -> None:
    """Raises UserError for a split without sound, which a model that hears cannot learn from or be judged by."""
    if split.read_sound is None:
        raise UserError(
            f"The model hears (config.model.hearing), and {split!r} has no sound: build it with the videos beside it "
            f"(tfds_builders/affwild2/README.md), or choose a dataset that has, such as synthetic_faces/clips."
        )


def on_devices(
    predict: Callable[..., dict[str, jax.Array]], variables: Tree, devices: Sequence[jax.Device]
) -> Callable[[Batch], dict[str, np.ndarray]]:
    """Makes a function of a batch of as many images as divide over the devices to what `predict` returns of them all.

    With several processes each hands over its own batch, and all get what is returned of those of all.

    Args:
        predict: `predict_step` under pmap.
        variables: replicated over the devices.
        devices: those that `predict` maps over.
    """

    def answers(batch: Batch) -> dict[str, np.ndarray]:
        gathered = predict(variables, spread(batch, len(own(devices))))
        return {name: _first_device(array) for name, array in gathered.items()}

    return answers


def predict_step(
    variables: dict[str, Tree],
    batch: Batch,
    *,
    model: EmotionNet,
    tasks: Tasks,
    inputs: Input,
    ten_crop: bool = False,
    clip_length: int = 1,
) -> dict[str, jax.Array]:
    """Runs the model on this device's share of a global batch, to be run under an axis named AXIS.

    Args:
        variables: "params", "batch_stats" and "constants", the same on every device.
        batch: "image" uint8 B x S x S x C, or stored "features" float32 B x D, and, for a model that hears, its sound.
        model: the model.
        tasks: what it predicts.
        inputs: what the network sees of an image.
        clip_length: so many successive images are one clip.
        ten_crop: judge the corners, the middle and their mirrors one after another, and take the mean of the raw
            outputs (of classes, the logits).

    Returns:
        Every task's answers, N x W, and what the model's modules show of themselves, by their paths (layers.observe):
        of the whole global batch on every device.
    """

    def run(images: jax.Array, forward: Any = model.__call__) -> Any:
        how: Any = {"clip_length": clip_length, "sound": Sound.of(batch), "mutable": [OBSERVED]}
        return model.apply(variables, images, train=False, method=forward, **how)

    if FEATURES in batch:
        outputs, shown = run(batch[FEATURES], model.judge)
    elif ten_crop:
        of_views, _ = lax.map(run, inputs.ten_views(batch["image"], model.param_dtype))
        outputs, shown = jax.tree.map(lambda output_10xBxW: output_10xBxW.mean(0), of_views), {}
    else:
        outputs, shown = run(inputs.view(batch["image"], model.param_dtype))
    observed = traverse_util.flatten_dict(dict(shown.get(OBSERVED, {})), sep="/")
    return lax.all_gather(engines.answers_of(outputs, tasks) | observed | _readable(batch), AXIS, tiled=True)


def evaluate(
    answers: Callable[[Batch], dict[str, np.ndarray]], split: Split, tasks: Tasks, *, loader: Loader
) -> Predictions:
    """Predicts a whole split.

    Args:
        answers: from a batch of `eval_batches` to every task's answers: a model's own, or `on_devices`. What it returns
            under other names than the tasks' is kept as observed.
        split: the examples; missing labels are allowed.
        tasks: what the model predicts.
        loader: its batch must be one that `answers` takes.

    Returns:
        Answers and labels of every example, in the split's order; without those that the loader has masked.

    Raises:
        UserError: an answer is not finite, or an image, or with masking every image, cannot be read.
    """
    collected = [answers(batch) for batch in eval_batches(split, loader)]
    rows_M, counts_M = eval_rows(split, loader)
    place_N = np.flatnonzero(counts_M)[np.argsort(rows_M[counts_M])]
    rows = {name: np.concatenate([part[name] for part in collected])[place_N] for name in collected[0]}
    readable_N = rows.pop(READABLE, np.ones(len(split), bool))
    if not readable_N.any():
        raise UserError(f"No image of {split!r} can be read: mend them, or choose another split.")
    if not readable_N.all() and loader.clips.length > 1:  # what is black in a clip has changed the answers after it
        found = evaluate(answers, split.select(readable_N), tasks, loader=loader)
        return dataclasses.replace(found, readable=readable_N)
    if not readable_N.all():
        split = split.select(readable_N)
        rows = {name: row[readable_N] for name, row in rows.items()}
    if not all(np.isfinite(row).all() for row in rows.values()):
        raise UserError(
            f"The model's predictions on {split!r} are not finite: it diverged; train it with a lower "
            f"config.optimizer.learning_rate."
        )
    return Predictions(
        dataset=split.dataset,
        split=split.name,
        ids=split.ids.tolist(),
        tasks=tasks,
        labels=registry.read_labels(tasks, split.columns, split.metadata),
        answers={task.name: rows.pop(task.name) for task in tasks},
        marks={name: column for name, column in split.columns.items() if column.dtype == np.bool_ and column.ndim == 1},
        observed=rows,
        readable=readable_N,
    )


def _readable(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Which examples of a batch could be read, if the loader masks others."""
    return {READABLE: batch[READABLE]} if READABLE in batch else {}


def _first_device(array: jax.Array) -> np.ndarray:
    """The copy on the first local device; the step has gathered all devices' rows into each."""
    return np.asarray(array.addressable_shards[0].data)[0]
