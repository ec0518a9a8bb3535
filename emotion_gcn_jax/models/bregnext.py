"""BReG-NeXt (Hasani, Negi, Mahoor, IEEE Transactions on Affective Computing 2020).

Where a residual network adds a block's input as it is, this one adds a bounded, learnt function of it. The blocks are
pre-activated: nothing follows a block's sum, and no norm or activation follows the stem.
"""

import functools
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import layers
from emotion_gcn_jax.models.layers import BatchNorm, Conv, Moments
from emotion_gcn_jax.trees import Dtype

SIDE_MULTIPLE = 4  # two halvings: the strided convolution rounds an odd side up, the shortcut's pool rounds it down

_SERIES_BELOW = 0.125
_SERIES = tuple((-1) ** n / (2 * n + 1) for n in range(10))  # of arctan(u) / u in u^2; exact in float64 below 0.125


@jax.jit
def shortcut(x: jax.Array, a: jax.Array, c: jax.Array) -> jax.Array:
    """The residual mapping g(x) = arctan(a x / s) / (a s) with s = sqrt(c^2 + 1), finite with its gradient for every a.

    Written as x / s^2 times arctan(u) / u of u = a x / s, so that a = 0 gives its limit, x / (c^2 + 1).

    Args:
        x: any array of numbers.
        a: a scalar; the larger, the flatter the ends.
        c: a scalar; the larger, the less of x.

    Returns:
        An array of x's shape, in the wider dtype of the three.
    """
    square = c * c + 1
    return x / square * _arctan_ratio(a * x / jnp.sqrt(square))


class Shortcut(nn.Module):
    """The shortcut with its two trained numbers, pooled and widened to what the block adds it to."""

    features: int
    stride: int
    dtype: Dtype
    param_dtype: Dtype

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Returns B x H/stride x W/stride x features: new channels are zeros, half of them on either side."""
        a, c = (self.param(name, nn.initializers.ones, (1,), self.param_dtype) for name in "ac")
        x = shortcut(x_BxHxWxC, a, c).astype(self.dtype)
        if self.stride == 2:
            x = layers.average_pool_2x2(x)
        margin = (self.features - x.shape[-1]) // 2
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (margin, margin))) if margin else x


class Block(nn.Module):
    """norm, ELU, 3x3 convolution, norm, ELU, 3x3 convolution, plus the shortcut of the block's own input."""

    features: int
    stride: int
    folded: bool
    axis_name: str | None
    dtype: Dtype
    param_dtype: Dtype

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Returns B x H/stride x W/stride x features."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        conv: dict[str, Any] = {"bias": True, "kernel_init": nn.initializers.he_uniform(), **types}
        y = nn.elu(BatchNorm(**types, name="norm1")(x_BxHxWxC, _moments(x_BxHxWxC, train, self.axis_name)))
        y = Conv(self.features, 3, self.stride, **conv, name="conv1")(y)
        if not self.folded:
            y = BatchNorm(**types, name="norm2")(y, _moments(y, train, self.axis_name))
        y = Conv(self.features, 3, **conv, name="conv2")(nn.elu(y))
        return y + Shortcut(self.features, self.stride, **types, name="shortcut")(x_BxHxWxC)


class BReGNeXt(nn.Module):
    """A trunk: an image to its last feature map, the last norm's output.

    Attributes:
        stages: for each stage its number of blocks and their channels; where the channels grow, the stage's first
            block halves the sides. The default is BReG-NeXt-50.
        stem_width: channels after the stem's convolution.
        folded: for inference only: the norms that directly follow a convolution are part of it (models/folding.py).
        remat: recompute each block in the backward pass instead of keeping its inner maps.
        axis_name: the mapped axis over which one global batch is spread; None on a single device.
        dtype: of the computation.
        param_dtype: of parameters and running statistics.
    """

    FOLDS = MappingProxyType({"conv1": "norm2"})
    ACTIVATION = "elu"
    FAMILIES = ("official",)

    stages: tuple[tuple[int, int], ...] = ((7, 32), (1, 64), (8, 64), (1, 128), (7, 128))
    stem_width: int = 32
    folded: bool = False
    remat: bool = False
    axis_name: str | None = None
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Computes the features.

        Args:
            images_BxHxWxC: normalised images, both sides multiples of 4.
            train: whether the norms use (and record) the batch's moments rather than the running statistics.

        Returns:
            B x H/4 x W/4 x D (for two strided stages); D = 128 for BReG-NeXt-50.

        Raises:
            UserError: an image side is not a multiple of 4.
        """
        height, width = images_BxHxWxC.shape[1:3]
        if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
            raise UserError(
                f"BReG-NeXt needs images whose sides are multiples of {SIDE_MULTIPLE} pixels, found "
                f"{height} x {width}: choose a config.input.side or crop such as "
                f"{max(height // SIDE_MULTIPLE, 8) * SIDE_MULTIPLE}."
            )
        layers.refuse_to_train_folded(self.folded, train)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        block_class = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        x = Conv(self.stem_width, 3, bias=True, kernel_init=layers.torch_uniform, **types, name="stem_conv")(
            images_BxHxWxC
        )
        for stage, (count, features) in enumerate(self.stages, start=1):
            for block in range(1, count + 1):
                stride = 2 if features > x.shape[-1] else 1
                x = block_class(
                    features, stride, self.folded, self.axis_name, **types, name=f"stage{stage}_block{block}"
                )(x, train)
        return BatchNorm(**types, name="final_norm")(x, _moments(x, train, self.axis_name))

    def torch_names(self) -> list[tuple[str, str]]:
        """The official name of every layer, stages and blocks counted from 0, and ours; in the official order."""
        parts = ("conv1", "conv2", "shortcut", "norm1", "norm2")
        theirs = ("_conv0", "_conv1", "_shortcut", "_batchnorm_conv0", "_batchnorm_conv1")
        names = [("_conv0", "stem_conv")]
        for stage, (count, _) in enumerate(self.stages):
            for block in range(count):
                stack, ours = f"_model.{stage}._layer_stack.{block}", f"stage{stage + 1}_block{block + 1}"
                names += [(f"{stack}.{their}", f"{ours}/{our}") for their, our in zip(theirs, parts, strict=True)]
        return [*names, (f"_model.{len(self.stages)}", "final_norm")]


def _moments(x_BxHxWxC: jax.Array, train: bool, axis_name: str | None) -> Moments | None:
    return layers.batch_moments(x_BxHxWxC, axis_name) if train else None


def _arctan_ratio(u: jax.Array) -> jax.Array:
    """arctan(u) / u, 1 at u = 0; near there by its series, as the quotient's derivative would lose all its digits."""
    small = jnp.abs(u) < _SERIES_BELOW
    square = jnp.where(small, u * u, 0)
    series = functools.reduce(lambda total, coefficient: total * square + coefficient, _SERIES[::-1])
    away = jnp.where(small, 1, u)
    return jnp.where(small, series, jnp.arctan(away) / away)
