"""A model as a TensorFlow Lite file, for phones and small boards."""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from emotion_gcn_jax.errors import extra
from emotion_gcn_jax.export.contract import INPUT, behind, contract
from emotion_gcn_jax.export.options import Options
from emotion_gcn_jax.inference import engines
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.models import folding, products


def encode(model: EmotionModel, options: Options) -> bytes:
    """Returns the file's bytes; its one signature has the input and the outputs by their names.

    Args:
        model: what is exported.
        options: the batch is fixed.

    Raises:
        UserError: TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its remarks are on itself
    with extra("train", "writing TensorFlow Lite"):
        import tensorflow as tf
    from jax.experimental import jax2tf

    module, variables = folding.fold(engines.precise(model.module), model.variables)

    def of_images(images: jax.Array) -> dict[str, jax.Array]:
        with products.as_convolutions():
            return engines.answers(module, variables, images, model.tasks, model.input)

    side, channels, dtype = model.input.side, model.input.channels, tf.uint8 if options.is_uint8 else tf.float32
    signature = [tf.TensorSpec((options.batch, side, side, channels), dtype, name=INPUT)]
    holder = tf.Module()
    converted = jax2tf.convert(of_images, with_gradient=False)
    holder.of_images = tf.function(converted, autograph=False, input_signature=signature)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        tf.saved_model.save(holder, folder, signatures=holder.of_images.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if options.quantize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if options.quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if options.quantize == "int8":
            converter.representative_dataset = lambda: _batches(options, dtype.as_numpy_dtype)
        program = bytes(converter.convert())
    return behind(program, contract(model, batch=options.batch, is_uint8=options.is_uint8))


def _batches(options: Options, dtype: Any) -> Iterator[dict[str, np.ndarray]]:
    """The calibration faces, in whole batches: the first ones come again to fill the last."""
    batch, count = options.batch or 1, len(options.faces)
    for start in range(0, count, batch):
        yield {INPUT: options.faces[np.arange(start, start + batch) % count].astype(dtype)}
