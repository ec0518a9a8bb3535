"""Evaluation: every example of a split once, in order, through the model under pmap."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from emotion_gcn_jax.data import batches
from emotion_gcn_jax.data.augmentation import normalise
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.report import Predictions
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.parallel import AXIS, Batch, Tree, pmap_step, replicate, spread


def evaluate_model(model: EmotionModel, split: Split) -> Predictions:
    """Predicts a whole split with a trained model, on all devices of this process.

    Size, filter and batch are those of the model's config; its dtype too.

    Args:
        model: from `inference.model.load`.
        split: the examples; missing labels are allowed.

    Raises:
        UserError: as `evaluate`.
    """
    devices, data = jax.local_devices(), model.config.data
    return evaluate(
        pmap_step(predict_step, devices, model=model.module),
        replicate(model.variables, devices),
        split,
        batch_size=-(-data.eval_batch_size // len(devices)) * len(devices),
        image_size=data.image_size,
        resize=data.resize,
        num_threads=data.threads,
        devices=devices,
    )


def predict_step(variables: dict[str, Tree], batch: Batch, *, model: EmotionNet) -> dict[str, jax.Array]:
    """Runs the model on this device's share of a global batch, to be run under an axis named AXIS.

    Args:
        variables: "params", "batch_stats" and "graph", the same on every device.
        batch: "image" uint8 B x S x S x 3.
        model: the model.

    Returns:
        "probabilities" N x C and, where the model has them, "affect" N x 2, of the whole global batch on every device.
    """
    outputs: Any = model.apply(variables, normalise(batch["image"], model.param_dtype), train=False)
    predictions = {"probabilities": jax.nn.softmax(outputs.logits_BxC)}
    if outputs.affect_Bx2 is not None:
        predictions["affect"] = outputs.affect_Bx2
    return lax.all_gather(predictions, AXIS, tiled=True)


def evaluate(
    predict: Callable[..., dict[str, jax.Array]],
    variables: Any,
    split: Split,
    *,
    batch_size: int,
    image_size: int,
    resize: str,
    num_threads: int,
    devices: Sequence[jax.Device],
) -> Predictions:
    """Predicts a whole split.

    Args:
        predict: `predict_step` under pmap.
        variables: replicated over the devices.
        split: the examples; missing labels are allowed.
        batch_size: of the global batch, divisible by the number of devices.
        image_size: the side of the images in pixels.
        resize: the filter's name.
        num_threads: host threads that decode.
        devices: those that `predict` maps over.

    Returns:
        Predictions and labels of every example, in the split's order.

    Raises:
        UserError: a prediction is not finite, or an image cannot be read.
    """
    collected: list[dict[str, np.ndarray]] = []
    for batch in batches.eval_batches(
        split,
        batch_size=batch_size,
        image_size=image_size,
        resize=resize,
        num_threads=num_threads,
    ):
        outputs = predict(variables, spread({"image": batch["image"]}, len(devices)))
        collected.append({name: _first_device(array) for name, array in outputs.items()})
    # Padding is at the end of the last global batch only.
    rows = {name: np.concatenate([part[name] for part in collected])[: len(split)] for name in collected[0]}
    if not all(np.isfinite(row).all() for row in rows.values()):
        raise UserError(
            f"The model's predictions on {split!r} are not finite: it diverged; train it with a lower "
            f"config.optimizer.learning_rate."
        )
    affect_Nx2 = rows.get("affect")
    return Predictions(
        ids=split.ids.tolist(),
        probabilities_NxC=rows["probabilities"],
        valence_N=None if affect_Nx2 is None else affect_Nx2[:, 0],
        arousal_N=None if affect_Nx2 is None else affect_Nx2[:, 1],
        true_expression_N=split.expression,
        true_valence_N=split.valence,
        true_arousal_N=split.arousal,
    )


def _first_device(array: jax.Array) -> np.ndarray:
    """The copy on the first local device; the step has gathered all devices' rows into each."""
    return np.asarray(array.addressable_shards[0].data)[0]
