"""A model as StableHLO, which jax.export reads without this package."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from emotion_gcn_jax.export.contract import behind, contract
from emotion_gcn_jax.export.options import Options
from emotion_gcn_jax.inference import engines
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.models import folding

PLATFORMS = ("cpu", "cuda", "tpu")


def encode(model: EmotionModel, options: Options) -> bytes:
    """Returns the bytes that `jax.export.deserialize` takes: one program for CPU, CUDA and TPU.

    Args:
        model: what is exported.
        options: float16 stores the kernels so; the arithmetic is float32 all the same.
    """
    module, variables = folding.fold(engines.precise(model.module), model.variables)
    if options.quantize == "float16":
        variables = jax.tree.map(lambda x: np.asarray(x, np.float16 if np.ndim(x) > 1 else np.float32), variables)

    def of_images(images: jax.Array) -> dict[str, jax.Array]:
        precise = jax.tree.map(lambda array: jnp.asarray(array).astype(jnp.float32), variables)
        return engines.answers(module, precise, images, model.tasks, model.input)

    batch = export.symbolic_shape("batch")[0] if options.batch is None else options.batch
    images = jax.ShapeDtypeStruct(
        (batch, model.input.side, model.input.side, model.input.channels), np.uint8 if options.is_uint8 else np.float32
    )
    program = bytes(export.export(jax.jit(of_images), platforms=PLATFORMS)(images).serialize())
    return behind(program, contract(model, batch=options.batch, is_uint8=options.is_uint8))
