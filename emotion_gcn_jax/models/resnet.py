"""ResNet (He et al., CVPR 2016) as torchvision builds it: 18 and 34 layers of basic blocks, 50 of bottlenecks.

Two things keep it fast on a CPU. A 1x1 convolution is a matrix product; a strided one first drops the positions that it
would skip. The stem's ReLU comes after its max pool: the two commute, and the ReLU has a quarter of the work.
"""

from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import layers
from emotion_gcn_jax.models.layers import BatchNorm, Conv, PointwiseConv
from emotion_gcn_jax.trees import Dtype

EXPANSION = 4  # He et al., table 1: a bottleneck's last convolution has four times the channels of the others


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or a bottleneck of a 1x1, a 3x3 and a 1x1, plus the block's input.

    Attributes:
        width: channels of the 3x3 convolutions.
        stride: of the first 3x3 convolution and of the shortcut.
        bottleneck: which of the two kinds.
        projects: whether the shortcut is a 1x1 convolution with a norm rather than the input as it is.
        folded: as in ResNet, like all that follow.
        axis_name: the mapped axis, or None.
        dtype: of the computation.
        param_dtype: of parameters and running statistics.
    """

    width: int
    stride: int
    bottleneck: bool
    projects: bool
    folded: bool
    axis_name: str | None
    dtype: Dtype
    param_dtype: Dtype

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Returns B x ceil(H / stride) x ceil(W / stride) x width (4 width for a bottleneck)."""
        if self.bottleneck:
            y = nn.relu(_conv_and_norm(self, "conv1", x_BxHxWxC, train, self.width, 1))
            y = nn.relu(_conv_and_norm(self, "conv2", y, train, self.width, 3, self.stride))
            y = _conv_and_norm(self, "conv3", y, train, EXPANSION * self.width, 1)
        else:
            y = nn.relu(_conv_and_norm(self, "conv1", x_BxHxWxC, train, self.width, 3, self.stride))
            y = _conv_and_norm(self, "conv2", y, train, self.width, 3)
        shortcut = x_BxHxWxC
        if self.projects:
            shortcut = _conv_and_norm(self, "shortcut_conv", x_BxHxWxC, train, y.shape[-1], 1, self.stride)
        return nn.relu(y + shortcut)


class ResNet(nn.Module):
    """The trunk: an image to a feature map. The default is ResNet-50.

    Attributes:
        stages: the number of blocks in each stage: (2, 2, 2, 2) for 18 layers, (3, 4, 6, 3) for 34 and 50. Each stage
            after the first halves the sides and doubles the channels.
        bottleneck: bottleneck blocks (50 layers) rather than basic ones (18 and 34).
        stem_width: channels after the stem, and of the 3x3 convolutions in the first stage.
        small_images: the stem is a 3x3 convolution at full resolution, without a pool, as for CIFAR's images (He et
            al., section 4.2): for faces of some 40 to 64 pixels. torchvision's stem quarters the sides.
        folded: for inference only: every norm is part of the convolution before it (models/folding.py).
        remat: recompute each block in the backward pass instead of keeping its inner maps.
        axis_name: the mapped axis over which one global batch is spread; None on a single device.
        dtype: of the computation.
        param_dtype: of parameters and running statistics.
    """

    stages: tuple[int, ...] = (3, 4, 6, 3)
    bottleneck: bool = True
    stem_width: int = 64
    small_images: bool = False
    folded: bool = False
    remat: bool = False
    axis_name: str | None = None
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    FOLDS = MappingProxyType(
        {
            "stem_conv": "stem_norm",
            "conv1": "norm1",
            "conv2": "norm2",
            "conv3": "norm3",
            "shortcut_conv": "shortcut_norm",
        }
    )
    ACTIVATION = "none"  # the map has passed the last block's ReLU
    FAMILIES = ("torchvision",)

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Computes the last feature map.

        Args:
            images_BxHxWxC: normalised images, any side from 32 up (8 with small_images), any number of channels.
            train: whether the norms use (and record) the batch's moments rather than the running statistics.

        Returns:
            The map, B x ceil(H / 32) x ceil(W / 32) x D, with D = 2048 for 50 layers and 512 otherwise; with
            small_images ceil(H / 8) x ceil(W / 8). No value is negative.

        Raises:
            UserError: an image side is below 32 (8 with small_images).
        """
        smallest_side = 8 if self.small_images else 32  # three or five halvings leave a 1x1 map
        if min(images_BxHxWxC.shape[1:3]) < smallest_side:
            raise UserError(
                f"This ResNet needs images of at least {smallest_side} pixels a side, found "
                f"{images_BxHxWxC.shape[1]} x {images_BxHxWxC.shape[2]}: choose a larger config.input.side or crop."
            )
        layers.refuse_to_train_folded(self.folded, train)
        block_class = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        if self.small_images:
            x = nn.relu(_conv_and_norm(self, "stem_conv", images_BxHxWxC, train, self.stem_width, 3))
        else:
            x = _conv_and_norm(self, "stem_conv", images_BxHxWxC, train, self.stem_width, 7, stride=2)
            x = nn.relu(layers.max_pool_3x3(x))
        for stage, block, projects in self._blocks():
            x = block_class(
                width=self.stem_width * 2 ** (stage - 1),
                stride=2 if stage > 1 and block == 1 else 1,
                bottleneck=self.bottleneck,
                projects=projects,
                folded=self.folded,
                axis_name=self.axis_name,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"stage{stage}_block{block}",
            )(x, train)
        return x

    def torch_names(self) -> list[tuple[str, str]]:
        """The modules of the unfolded trunk.

        Returns:
            (torchvision's name, our path) of every convolution and norm, in the order of torchvision's state dict.
        """
        names = [("conv1", "stem_conv"), ("bn1", "stem_norm")]
        for stage, block, projects in self._blocks():
            theirs, ours = f"layer{stage}.{block - 1}", f"stage{stage}_block{block}"
            for number in range(1, 4 if self.bottleneck else 3):
                names.append((f"{theirs}.conv{number}", f"{ours}/conv{number}"))
                names.append((f"{theirs}.bn{number}", f"{ours}/norm{number}"))
            if projects:
                names.append((f"{theirs}.downsample.0", f"{ours}/shortcut_conv"))
                names.append((f"{theirs}.downsample.1", f"{ours}/shortcut_norm"))
        return names

    def _blocks(self) -> list[tuple[int, int, bool]]:
        """(stage, block, whether the shortcut projects) of every block; stages and blocks count from 1.

        A shortcut projects where the block changes the number of channels (He et al., option B).
        """
        return [
            (stage, block, block == 1 and (stage > 1 or self.bottleneck))
            for stage, count in enumerate(self.stages, start=1)
            for block in range(1, count + 1)
        ]


def _conv_and_norm(
    parent: Block | ResNet, name: str, x_BxHxWxC: jax.Array, train: bool, features: int, size: int, stride: int = 1
) -> jax.Array:
    """A convolution and its norm, or their fold, as children of the module that is being called."""
    types = {"dtype": parent.dtype, "param_dtype": parent.param_dtype}
    options: dict[str, Any] = {"bias": parent.folded, "kernel_init": layers.he_normal_fan_out, **types, "name": name}
    if size == 1:
        y = PointwiseConv(features, **options)(x_BxHxWxC[:, ::stride, ::stride])
    else:
        y = Conv(features, size, stride, **options)(x_BxHxWxC)
    if parent.folded:
        return y
    moments = layers.batch_moments(y, parent.axis_name) if train else None
    return BatchNorm(**types, name=ResNet.FOLDS[name])(y, moments)
