"""ResNet (He et al., CVPR 2016) as torchvision builds it: 18 and 34 layers of basic blocks, 50 of bottlenecks.

Others build the 50 layers a little differently: where a stage halves the sides, and how the stem's pool is placed
(Aff-Wild2 spec, sections 3 and 4). Weights of one kind give other answers in another.

Two things keep it fast on a CPU. A 1x1 convolution is a matrix product; a strided one first drops the positions that it
would skip. The stem's ReLU comes after its max pool: the two commute, and the ReLU has a quarter of the work.
"""

from collections.abc import Callable
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

STEM_POOLS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "pad1": layers.max_pool_3x3,
    "ceil": layers.max_pool_3x3_ceil,
    "same": layers.max_pool_3x3_same,
}
_FAMILIES = {("3x3", "pad1"): ("torchvision",), ("1x1", "ceil"): ("vggface2", "vggface2_bgr")}


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or a bottleneck of a 1x1, a 3x3 and a 1x1, plus the block's input.

    Attributes:
        width: channels of the 3x3 convolutions.
        stride: of the first 3x3 convolution and of the shortcut.
        bottleneck: which of the two kinds.
        strides_first: a bottleneck's stride is on its first 1x1 convolution instead.
        projects: whether the shortcut is a 1x1 convolution with a norm rather than the input as it is.
        folded: as in ResNet, like all that follow.
        axis_name: the mapped axis, or None.
        dtype: of the computation.
        param_dtype: of parameters and running statistics.
    """

    width: int
    stride: int
    bottleneck: bool
    strides_first: bool
    projects: bool
    folded: bool
    axis_name: str | None
    dtype: Dtype
    param_dtype: Dtype

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Returns B x ceil(H / stride) x ceil(W / stride) x width (4 width for a bottleneck)."""
        if self.bottleneck:
            first, second = (self.stride, 1) if self.strides_first else (1, self.stride)
            y = nn.relu(_conv_and_norm(self, "conv1", x_BxHxWxC, train, self.width, 1, first))
            y = nn.relu(_conv_and_norm(self, "conv2", y, train, self.width, 3, second))
            y = _conv_and_norm(self, "conv3", y, train, EXPANSION * self.width, 1)
        else:
            y = nn.relu(_conv_and_norm(self, "conv1", x_BxHxWxC, train, self.width, 3, self.stride))
            y = _conv_and_norm(self, "conv2", y, train, self.width, 3)
        shortcut = x_BxHxWxC
        if self.projects:
            shortcut = _conv_and_norm(self, "shortcut_conv", x_BxHxWxC, train, y.shape[-1], 1, self.stride)
        elif self.stride > 1:
            shortcut = x_BxHxWxC[:, :: self.stride, :: self.stride]
        return nn.relu(y + shortcut)


class ResNet(nn.Module):
    """The trunk: an image to a feature map. The default is ResNet-50.

    Attributes:
        stages: the number of blocks in each stage: (2, 2, 2, 2) for 18 layers, (3, 4, 6, 3) for 34 and 50. Each stage
            after the first has half the sides and twice the channels.
        bottleneck: bottleneck blocks (50 layers) rather than basic ones (18 and 34).
        stride_on: what halves the sides: in the first block of a stage the "3x3" convolution (torchvision), or the
            first "1x1" (bottlenecks only: the paper, Caffe, VGGFace2); or the 3x3 in the "last_unit" of the stage
            before (TensorFlow's slim).
        stem_pool: a key of STEM_POOLS: torchvision's "pad1", Caffe's and VGGFace2's "ceil", TensorFlow's "same".
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
    stride_on: str = "3x3"
    stem_pool: str = "pad1"
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

    @property
    def FAMILIES(self) -> tuple[str, ...]:
        """Whose weights are for just this kind."""
        return _FAMILIES.get((self.stride_on, self.stem_pool), ())

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Computes the last feature map.

        Args:
            images_BxHxWxC: normalised images, any side from 32 up (8 with small_images), any number of channels.
            train: whether the norms use (and record) the batch's moments rather than the running statistics.

        Returns:
            The map, B x ceil(H / 32) x ceil(W / 32) x D, with D = 2048 for 50 layers and 512 otherwise; with
            small_images ceil(H / 8) x ceil(W / 8). (The stem's pool "ceil" rounds its own half down.) No value is
            negative.

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
            x = nn.relu(STEM_POOLS[self.stem_pool](x))
        for stage, block, projects in self._blocks():
            x = block_class(
                width=self.stem_width * 2 ** (stage - 1),
                stride=self._stride(stage, block),
                bottleneck=self.bottleneck,
                strides_first=self.stride_on == "1x1",
                projects=projects,
                folded=self.folded,
                axis_name=self.axis_name,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"stage{stage}_block{block}",
            )(x, train)
        return x

    def torch_names(self, family: str = "torchvision") -> list[tuple[str, str]]:
        """The modules of the unfolded trunk.

        Args:
            family: "vggface2" has names of its own, all others have torchvision's.

        Returns:
            (the family's name, our path) of every convolution and norm, in the order of its state dict.
        """
        stem = ("conv1_7x7_s2", "conv1_7x7_s2_bn") if family == "vggface2" else ("conv1", "bn1")
        names = list(zip(stem, ("stem_conv", "stem_norm"), strict=True))
        for stage, block, projects in self._blocks():
            convs = ["conv1", "conv2", "conv3"] if self.bottleneck else ["conv1", "conv2"]
            for conv in [*convs, "shortcut_conv"] if projects else convs:
                ours = f"stage{stage}_block{block}"
                theirs = _vggface2_names if family == "vggface2" else _torchvision_names
                paths = f"{ours}/{conv}", f"{ours}/{self.FOLDS[conv]}"
                names += zip(theirs(stage, block, conv), paths, strict=True)
        return names

    def _stride(self, stage: int, block: int) -> int:
        """Of a block; both count from 1."""
        if self.stride_on == "last_unit":
            return 2 if stage < len(self.stages) and block == self.stages[stage - 1] else 1
        return 2 if stage > 1 and block == 1 else 1

    def _blocks(self) -> list[tuple[int, int, bool]]:
        """(stage, block, whether the shortcut projects) of every block; stages and blocks count from 1.

        A shortcut projects where the block changes the number of channels (He et al., option B).
        """
        return [
            (stage, block, block == 1 and (stage > 1 or self.bottleneck))
            for stage, count in enumerate(self.stages, start=1)
            for block in range(1, count + 1)
        ]


def _torchvision_names(stage: int, block: int, conv: str) -> tuple[str, str]:
    """Of a block's convolution and its norm."""
    names = ("downsample.0", "downsample.1") if conv == "shortcut_conv" else (conv, conv.replace("conv", "bn"))
    first, second = (f"layer{stage}.{block - 1}.{name}" for name in names)
    return first, second


def _vggface2_names(stage: int, block: int, conv: str) -> tuple[str, str]:
    """Likewise; the paper counts the stem as the first stage."""
    part = {"conv1": "1x1_reduce", "conv2": "3x3", "conv3": "1x1_increase", "shortcut_conv": "1x1_proj"}[conv]
    name = f"conv{stage + 1}_{block}_{part}"
    return name, f"{name}_bn"


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
