"""What a model's trunk makes of every example of a split, stored for networks that learn on it (data/features.py)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from emotion_gcn_jax.data import features
from emotion_gcn_jax.data.batches import FEATURES, Loader, eval_batches
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.evaluator import on_devices
from emotion_gcn_jax.files import PathLike, user_path
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.models import folding
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.parallel import AXIS, pmap_step, replicate
from emotion_gcn_jax.trees import Batch, Tree


def store(model: EmotionModel, split: Split, output: PathLike, *, checkpoint: str) -> tuple[int, int]:
    """Writes the features of a whole split; the memory does not grow with it.

    Args:
        model: from `inference.model.load`; its config says the batch and the threads.
        split: the examples; labels do not matter.
        output: a folder that is absent or empty.
        checkpoint: what the features say of where their trunk is from.

    Returns:
        Their shape, N and D.

    Raises:
        UserError: the model has no trunk that sees, an image cannot be read, or the folder cannot be written.
    """
    devices = jax.local_devices()
    batch_size = -(-model.config.data.eval_batch_size // len(devices)) * len(devices)
    loader = Loader(model.input, batch_size, model.config.data.threads)
    module, variables = folding.fold(model.module, model.variables)
    image_1xSxSxC = jax.ShapeDtypeStruct((1, loader.input.side, loader.input.side, loader.input.channels), np.uint8)
    width = jax.eval_shape(lambda image: _features(variables, image, module, loader.input), image_1xSxSxC).shape[1]
    if not width:
        raise UserError("The model hears and does not see: features are what a trunk makes of images, take another.")
    step = pmap_step(features_step, devices, model=module, inputs=loader.input)
    answers = on_devices(step, replicate(variables, devices), devices)
    about = features.trunk_of(model.meta["config"], loader.input.to_dict(), model.variables)
    with features.written(user_path(output), split, width, {**about, "checkpoint": checkpoint}) as values_NxD:
        first = 0
        for batch in eval_batches(split, loader):
            rows = answers(batch)[FEATURES][: len(split) - first]
            values_NxD[first : first + len(rows)] = rows
            first += len(rows)
    return len(split), width


def features_step(
    variables: dict[str, Tree], batch: Batch, *, model: EmotionNet, inputs: Input
) -> dict[str, jax.Array]:
    """Runs trunk and readout on this device's share of a batch, under an axis named AXIS; returns all devices'."""
    return {FEATURES: lax.all_gather(_features(variables, batch["image"], model, inputs), AXIS, tiled=True)}


def _features(variables: Tree, images: jax.Array, model: EmotionNet, inputs: Input) -> jax.Array:
    found: Any = model.apply(variables, inputs.view(images, model.param_dtype), method=model.features)
    return found.astype(jnp.float32)
