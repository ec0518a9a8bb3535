"""VGG-16 (Simonyan and Zisserman, ICLR 2015) as torchvision and VGG-Face build it, without its fully connected layers.

A block's last ReLU comes after the block's max pool: the two commute, and the ReLU has a quarter of the work.
"""

from collections.abc import Callable
from types import MappingProxyType

import flax.linen as nn
import jax
import jax.numpy as jnp

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import layers
from emotion_gcn_jax.trees import Dtype

SMALLEST_SIDE = 32  # five halvings leave a 1x1 map


class VGG(nn.Module):
    """The trunk: an image to a feature map. The default is VGG-16.

    It has no norms. `folded` and `axis_name` change nothing, but every trunk has them.

    Attributes:
        blocks: for each block its number of 3x3 convolutions and their channels; a max pool ends the block.
        pool: "valid", torch's, drops an odd last row or column; "same", TensorFlow's, pools it alone. At sides that are
            multiples of 32 they are one.
        folded: for inference only (models/folding.py).
        remat: recompute each block in the backward pass instead of keeping its inner maps.
        axis_name: the mapped axis over which one global batch is spread; None on a single device.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    blocks: tuple[tuple[int, int], ...] = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    pool: str = "valid"
    folded: bool = False
    remat: bool = False
    axis_name: str | None = None
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    FOLDS = MappingProxyType[str, str]({})
    ACTIVATION = "none"  # the map has passed the last block's ReLU
    FAMILIES = ("torchvision", "vgg_face")

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Computes the last feature map.

        Args:
            images_BxHxWxC: normalised images, any side from 32 up, any number of channels.
            train: changes nothing, but a folded trunk refuses it.

        Returns:
            The map after the last max pool, B x floor(H / 32) x floor(W / 32) x 512, rounded up with the pool "same".
            No value is negative.

        Raises:
            UserError: an image side is below 32.
        """
        if min(images_BxHxWxC.shape[1:3]) < SMALLEST_SIDE:
            raise UserError(
                f"VGG needs images of at least {SMALLEST_SIDE} pixels a side, found "
                f"{images_BxHxWxC.shape[1]} x {images_BxHxWxC.shape[2]}: choose a larger config.input.side or crop."
            )
        layers.refuse_to_train_folded(self.folded, train)
        run_block = nn.remat(VGG._run_block, static_argnums=(2,)) if self.remat else VGG._run_block
        x = images_BxHxWxC
        for block in range(1, len(self.blocks) + 1):
            x = run_block(self, x, block)
        return x

    def torch_names(self, family: str = "torchvision") -> list[tuple[str, str]]:
        """The modules of the trunk.

        Args:
            family: one of FAMILIES. VGG-Face's names are ours; torchvision's numbers count the ReLUs and pools too.

        Returns:
            (the family's name, our path) of every convolution, in the order of its state dict.
        """
        names, number = [], 0
        for block, (count, _) in enumerate(self.blocks, start=1):
            for conv in range(1, count + 1):
                ours = f"conv{block}_{conv}"
                names.append((ours if family == "vgg_face" else f"features.{number}", ours))
                number += 2  # the convolution and its ReLU
            number += 1  # the block's pool
        return names

    def _run_block(self, x_BxHxWxC: jax.Array, block: int) -> jax.Array:
        """Returns B x H/2 x W/2 x features of a block, counted from 1; its layers are the trunk's own children."""
        count, features = self.blocks[block - 1]
        x = x_BxHxWxC
        for number in range(1, count + 1):
            x = nn.Conv(
                features,
                (3, 3),
                padding=1,
                kernel_init=layers.he_normal_fan_out,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"conv{block}_{number}",
            )(x)
            x = nn.relu(POOLS[self.pool](x) if number == count else x)
        return x


@jax.jit
def max_pool_2x2(x_BxHxWxC: jax.Array) -> jax.Array:
    """2x2 max pool with stride 2, as maxima of strided slices; an odd last row or column is dropped, as torch does.

    The gradient of a windowed reduction is slow on a CPU: see layers.max_pool_3x3.
    """
    rows, columns = (side // 2 * 2 for side in x_BxHxWxC.shape[1:3])
    x = jnp.maximum(x_BxHxWxC[:, 0:rows:2], x_BxHxWxC[:, 1:rows:2])
    return jnp.maximum(x[:, :, 0:columns:2], x[:, :, 1:columns:2])


@jax.jit
def max_pool_2x2_same(x_BxHxWxC: jax.Array) -> jax.Array:
    """The same, but an odd last row or column is pooled alone, as by TensorFlow's SAME."""
    margins = [(0, side % 2) for side in x_BxHxWxC.shape[1:3]]
    return max_pool_2x2(jnp.pad(x_BxHxWxC, ((0, 0), *margins, (0, 0)), constant_values=-jnp.inf))


POOLS: dict[str, Callable[[jax.Array], jax.Array]] = {"valid": max_pool_2x2, "same": max_pool_2x2_same}
