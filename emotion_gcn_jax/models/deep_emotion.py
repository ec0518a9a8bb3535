"""Deep-Emotion (Minaee and Abdolrashidi 2019, arXiv 1902.01019), up to its first fully connected layer.

Four convolutions make 10 maps of 9 x 9 of a grey image of 48 x 48. Beside them a small localisation network makes an
affine transformation of the same image, and the maps are read where it says (spatial_transformer.py): this is the
network's attention. A fully connected layer makes 50 features of what was read; the second one is a linear head.

The paper's figure does not settle the localisation network: from 48 pixels its convolutions do not lead to the 90
numbers that its fully connected layer takes. LOCALISATIONS has the three readings of it (Deep-Emotion spec, 1.1), and
emotion_net.TRUNKS a name for each: deep_emotion is the one that keeps the figure's kernels and its 90.

What the paper adds to the loss is config.optimizer.l2="trunk/fc=5e-4,head=5e-4", the last two kernels' squares. At
its learning rate, Adam with 0.005, the localisation network was dead after one epoch of FER2013 (theta the same for all
images), as published ones are; with config.optimizer.rates="trunk/localisation=0.1" it lived as long as was tried.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import layers, spatial_transformer
from emotion_gcn_jax.models.vgg import max_pool_2x2
from emotion_gcn_jax.trees import Dtype

SIDE, CHANNELS = 48, 1
DEVIATION = 0.05  # of the initial kernels, normal about 0 (Deep-Emotion spec, section 2)
LEAST_SPREAD = 1e-3  # of theta: below, the attention is one fixed transformation (spec, 1.3)

LOCALISATIONS: Mapping[str, tuple[tuple[int, str, int], ...]] = MappingProxyType(
    {
        "pool4": ((3, "SAME", 2), (3, "SAME", 2)),  # 90 numbers: true to the figure's kernels and to its 90
        "valid3": ((3, "VALID", 1), (3, "VALID", 1)),  # 1,000
        "tutorial": ((7, "VALID", 1), (5, "VALID", 1)),  # 640: the kernels of PyTorch's tutorial on this transformer
    }
)
"""Of the localisation network's two convolutions the kernel's side, the padding and how many 2x2 pools follow (two are
one of 4x4). Beside each, how many numbers the first fully connected layer takes."""

_WIDTHS = (8, 10)  # channels of the two
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class FullyConnected(nn.Module):
    """A fully connected layer of a whole map: a convolution with a kernel as large as the map.

    Attributes:
        features: F.
        kernel_init: the kernel's initialiser.
        bias_init: the bias's.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(DEVIATION)
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, map_BxHxWxC: jax.Array) -> jax.Array:
        """Returns B x 1 x 1 x F; the kernel is H x W x C x F."""
        batch, *shape = map_BxHxWxC.shape
        kernel = self.param("kernel", self.kernel_init, (*shape, self.features), self.param_dtype)
        bias_F = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x_BxN = map_BxHxWxC.reshape(batch, -1).astype(self.dtype)
        y_BxF = x_BxN @ kernel.astype(self.dtype).reshape(-1, self.features) + bias_F.astype(self.dtype)
        return y_BxF.reshape(batch, 1, 1, self.features)


class Localisation(nn.Module):
    """The network that says where to look; it starts as the identity, whatever the image.

    Attributes:
        variant: a key of LOCALISATIONS.
        dtype: of the computation, but for the last layer, which has the parameters'.
        param_dtype: of the parameters.
    """

    variant: str
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array) -> jax.Array:
        """Returns theta_Bx2x3."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = images_BxHxWxC
        for number, (size, padding, pools) in enumerate(LOCALISATIONS[self.variant], start=1):
            x = _conv(_WIDTHS[number - 1], size, padding, name=f"conv{number}", **types)(x)
            for _ in range(pools):
                x = max_pool_2x2(x)
            x = self._relu(x, f"conv{number}")
        x = self._relu(FullyConnected(32, name="fc1", **types)(x), "fc1")
        theta_Bx1x1x6 = FullyConnected(
            6,
            kernel_init=nn.initializers.zeros,
            bias_init=lambda key, shape, dtype: jnp.asarray(_IDENTITY, dtype),
            dtype=self.param_dtype,
            param_dtype=self.param_dtype,
            name="fc2",
        )(x)
        theta_Bx2x3 = theta_Bx1x1x6.reshape(-1, 2, 3)
        layers.observe(self, "theta", lambda: theta_Bx2x3)
        return theta_Bx2x3

    def _relu(self, x_BxHxWxC: jax.Array, layer: str) -> jax.Array:
        """The activation; it is observed which channels are positive anywhere in an image."""
        x = nn.relu(x_BxHxWxC)
        layers.observe(self, f"{layer}_live", lambda: (x > 0).any((1, 2)))
        return x


class DeepEmotion(nn.Module):
    """The trunk: a grey image of 48 x 48 to B x 1 x 1 x 50, the first fully connected layer without its ReLU.

    So the readout "average" puts the ReLU between the two fully connected layers, as nearly every implementation has
    it, and "max" does not, as the figure is drawn.

    Attributes:
        localisation: a key of LOCALISATIONS.
        warp: what is read where theta says: "features" (the figure), "input" (the image, before the convolutions), or
            "none", which has no localisation network.
        dropout: the share of the maps' values that are set to 0 in training, before they are read.
        align_corners: the transformer's convention, which the paper does not say; False is today's PyTorch.
        remat: recompute the convolutions in the backward pass instead of keeping their maps.
        axis_name: the mapped axis over which one global batch is spread; None on a single device.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    localisation: str = "pool4"
    warp: str = "features"
    dropout: float = 0.5
    align_corners: bool = False
    remat: bool = False
    axis_name: str | None = None
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    ACTIVATION = "relu"
    INPUT = (SIDE, CHANNELS)
    HEAD_DEVIATION = DEVIATION
    FLATTENED = frozenset({"fc", "localisation/fc1", "localisation/fc2"})

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Computes the first fully connected layer.

        Args:
            images_BxHxWxC: normalised grey images, B x 48 x 48 x 1.
            train: whether values are dropped; the stream of random numbers layers.EXAMPLES must then be there.

        Returns:
            B x 1 x 1 x 50.

        Raises:
            UserError: the images have another side or colours.
        """
        if images_BxHxWxC.shape[1:] != (SIDE, SIDE, CHANNELS):
            raise UserError(
                f"Deep-Emotion takes grey images of {SIDE} x {SIDE} pixels, found "
                f"{' x '.join(map(str, images_BxHxWxC.shape[1:]))}: set --config.input.side={SIDE} "
                f"--config.input.channels={CHANNELS} --config.input.mean='(0.5,)' --config.input.deviation='(0.5,)'."
            )
        x = images_BxHxWxC.astype(self.dtype)
        if self.warp != "none":
            theta_Bx2x3 = Localisation(self.localisation, self.dtype, self.param_dtype, name="localisation")(x)
        if self.warp == "input":
            x = spatial_transformer.warp(x, theta_Bx2x3, align_corners=self.align_corners)
        x = (nn.remat(DeepEmotion._features) if self.remat else DeepEmotion._features)(self, x)
        x = layers.Dropout(self.dropout, self.axis_name, name="dropout")(x, train)
        if self.warp == "features":
            x = spatial_transformer.warp(x, theta_Bx2x3, align_corners=self.align_corners)
        return FullyConnected(50, dtype=self.dtype, param_dtype=self.param_dtype, name="fc")(x)

    def torch_names(self) -> list[tuple[str, str]]:
        """The modules of the trunk.

        Returns:
            (name in PyTorch, our path) of every layer. There are no official names: these are those of the public
            checkpoint with the figure's parallel branches (mkmohangb/deep-emotion, of valid3).
        """
        main = [("feat_extraction.0", "conv1"), ("feat_extraction.2", "conv2")]
        main += [("feat_extraction.5", "conv3"), ("feat_extraction.7", "conv4"), ("fc_de.0", "fc")]
        if self.warp == "none":
            return main
        theirs = ("localization.0", "localization.3", "fc_loc.0", "fc_loc.2")
        ours = (f"localisation/{name}" for name in ("conv1", "conv2", "fc1", "fc2"))
        return [*main, *zip(theirs, ours, strict=True)]

    def diagnose(self, observed: Mapping[str, np.ndarray]) -> tuple[dict[str, float], list[str]]:
        """What became of the attention: published networks had lost it (Deep-Emotion spec, 1.3).

        Args:
            observed: of N images localisation/theta [N, 2, 3], and localisation/LAYER_live, bool [N, C]: whether a
                layer's channels are positive anywhere.

        Returns:
            Numbers by name, and warnings. theta_std is the largest standard deviation over the images of theta's six
            numbers; localisation_LAYER_live the share of the layer's channels that are positive for any image.
        """
        if self.warp == "none":
            return {}, []
        spread = float(observed["localisation/theta"].astype(np.float64).std(0).max())
        channels = {layer: observed[f"localisation/{layer}_live"].any(0) for layer in ("conv1", "conv2", "fc1")}
        live = {f"localisation_{layer}_live": float(is_live.mean()) for layer, is_live in channels.items()}
        warnings = []
        if spread < LEAST_SPREAD:
            units = ", ".join(f"{is_live.mean():.0%} of {layer}" for layer, is_live in channels.items())
            warnings.append(
                f"the attention does not depend on the image: theta's standard deviation over the validation split is "
                f"{spread:.1g}, less than {LEAST_SPREAD:g} (live units: {units}); if it stays so, train anew with a "
                f"smaller rate, --config.optimizer.rates=trunk/localisation=0.1."
            )
        return {"theta_std": spread, **live}, warnings

    def _features(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Returns 10 maps of 9 x 9 of an image; the layers are the trunk's own children."""
        x = x_BxHxWxC
        for number in range(1, 5):
            x = _conv(10, 3, "VALID", dtype=self.dtype, param_dtype=self.param_dtype, name=f"conv{number}")(x)
            x = nn.relu(x if number % 2 else max_pool_2x2(x))
        return x


def _conv(features: int, size: int, padding: str, **options: Any) -> layers.Conv:
    return layers.Conv(
        features,
        size,
        margin=size // 2 if padding == "SAME" else 0,
        bias=True,
        kernel_init=nn.initializers.normal(DEVIATION),
        bias_init=nn.initializers.zeros,
        **options,
    )
