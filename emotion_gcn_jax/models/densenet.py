"""DenseNet (Huang et al., CVPR 2017) as torchvision builds it, written so that training is fast.

Within a dense block a feature map is normalised by every later layer. Its batch moments are the same each time, so
they are taken once, when the map is made, and travel with it; the transition's average pool comes before its 1x1
convolution (they commute, and a quarter of the products remain); the stem's ReLU comes after its max pool (likewise).
"""

from types import MappingProxyType

import flax.linen as nn
import jax
import jax.numpy as jnp

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import layers
from emotion_gcn_jax.models.layers import BatchNorm, Conv, Moments, PointwiseConv
from emotion_gcn_jax.trees import Dtype

BOTTLENECK = 4  # a layer's 1x1 convolution has this many times the growth channels (torchvision's bn_size)
SMALLEST_SIDE = 32  # five halvings leave a 1x1 map


class DenseLayer(nn.Module):
    """norm, ReLU, 1x1 convolution, norm, ReLU, 3x3 convolution: `growth` new channels from all earlier ones."""

    growth: int
    folded: bool
    axis_name: str | None
    dtype: Dtype
    param_dtype: Dtype

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, moments: Moments | None) -> jax.Array:
        """Returns the new channels only, B x H x W x growth."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        y = nn.relu(BatchNorm(**types, name="norm1")(x_BxHxWxC, moments))
        y = PointwiseConv(BOTTLENECK * self.growth, bias=self.folded, **types, name="conv1")(y)
        if not self.folded:
            y_moments = None if moments is None else layers.batch_moments(y, self.axis_name)
            y = BatchNorm(**types, name="norm2")(y, y_moments)
        return Conv(self.growth, 3, **types, name="conv2")(nn.relu(y))


class DenseNet(nn.Module):
    """A trunk: an image to its last feature map, the last norm's output.

    Attributes:
        blocks: the number of dense layers in each block; (6, 12, 24, 16) is DenseNet-121.
        growth: new channels per dense layer.
        stem_width: channels after the stem's 7x7 convolution.
        folded: for inference only: the norms that directly follow a convolution are part of it (models/folding.py).
        remat: recompute each dense layer in the backward pass instead of keeping its inner maps.
        axis_name: the mapped axis over which one global batch is spread; None on a single device.
        dtype: of the computation.
        param_dtype: of parameters and running statistics.
    """

    FOLDS = MappingProxyType({"stem_conv": "stem_norm", "conv1": "norm2"})
    ACTIVATION = "relu"
    FAMILIES = ("official", "torchvision")

    blocks: tuple[int, ...] = (6, 12, 24, 16)
    growth: int = 32
    stem_width: int = 64
    folded: bool = False
    remat: bool = False
    axis_name: str | None = None
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Computes the features.

        Args:
            images_BxHxWxC: normalised images, any side from 32 up.
            train: whether the norms use (and record) the batch's moments rather than the running statistics.

        Returns:
            B x H' x W' x D; D = 1024 for DenseNet-121, and H' = 7 for H = 227.

        Raises:
            UserError: an image side is below 32.
        """
        if min(images_BxHxWxC.shape[1:3]) < SMALLEST_SIDE:
            raise UserError(
                f"DenseNet needs images of at least {SMALLEST_SIDE} pixels a side, found "
                f"{images_BxHxWxC.shape[1]} x {images_BxHxWxC.shape[2]}: choose a larger config.input.side or crop."
            )
        layers.refuse_to_train_folded(self.folded, train)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        dense_layer = nn.remat(DenseLayer) if self.remat else DenseLayer

        def moments_of(x: jax.Array) -> Moments | None:
            return layers.batch_moments(x, self.axis_name) if train else None

        x = Conv(self.stem_width, 7, stride=2, bias=self.folded, **types, name="stem_conv")(images_BxHxWxC)
        if not self.folded:
            x = BatchNorm(**types, name="stem_norm")(x, moments_of(x))
        x = nn.relu(layers.max_pool_3x3(x))
        moments = moments_of(x)
        for block, count in enumerate(self.blocks, start=1):
            for layer in range(1, count + 1):
                name = f"block{block}_layer{layer}"
                new = dense_layer(self.growth, self.folded, self.axis_name, **types, name=name)(x, moments)
                if moments is not None:
                    moments = layers.concatenate_moments([moments, layers.batch_moments(new, self.axis_name)])
                x = jnp.concatenate([x, new], axis=-1)
            if block < len(self.blocks):
                x = nn.relu(BatchNorm(**types, name=f"transition{block}_norm")(x, moments))
                x = layers.average_pool_2x2(x)
                x = PointwiseConv(x.shape[-1] // 2, **types, name=f"transition{block}_conv")(x)
                moments = moments_of(x)
        return BatchNorm(**types, name="final_norm")(x, moments)

    def torch_names(self, family: str = "official") -> list[tuple[str, str]]:
        """Torchvision's name of every layer, which the official models share, and ours; in torchvision's order."""
        names = [("conv0", "stem_conv"), ("norm0", "stem_norm")]
        for block, count in enumerate(self.blocks, start=1):
            for layer in range(1, count + 1):
                theirs, ours = f"denseblock{block}.denselayer{layer}", f"block{block}_layer{layer}"
                names += [(f"{theirs}.{part}", f"{ours}/{part}") for part in ("norm1", "conv1", "norm2", "conv2")]
            if block < len(self.blocks):
                names += [(f"transition{block}.{part}", f"transition{block}_{part}") for part in ("norm", "conv")]
        return [*names, ("norm5", "final_norm")]
