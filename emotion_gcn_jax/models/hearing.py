"""What a model hears: the sound around a frame through a trunk of its own and one fully connected layer."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from emotion_gcn_jax.models.layers import ACTIVATIONS, he_normal
from emotion_gcn_jax.sound.mel import BANDS, STEPS
from emotion_gcn_jax.trees import Batch, Dtype

STACKED = 5
"""Steps around the frame that `Stack` takes (M3T's number: Aff-Wild2 spec, section 9)."""


class Sound(NamedTuple):
    """What is heard around the frames of a batch.

    Attributes:
        patches_BxSxM: the spectrograms, from sound.mel.patch.
        is_heard_B: bool, whether there is any sound.
    """

    patches_BxSxM: jax.Array
    is_heard_B: jax.Array

    @classmethod
    def of(cls, batch: Batch) -> "Sound | None":
        """The sound in a batch; None where its loader was not asked for any."""
        return cls(batch["sound"], batch["heard"]) if "sound" in batch else None


class Hearing(nn.Module):
    """Sound to features, which are 0 where there is none; the last map is flattened (Aff-Wild2 spec, section 5).

    Attributes:
        trunk: as of images (emotion_net.py); it sees a patch as a grey one.
        width: of the fully connected layer, which a ReLU follows; 0 leaves both out.
        param_dtype: of the parameters, and of the layer's computation.
    """

    trunk: nn.Module
    width: int = 512
    param_dtype: Dtype = jnp.float32

    def __call__(self, sound: Sound, train: bool) -> jax.Array:
        """Returns features B x width."""
        return jnp.where(sound.is_heard_B[:, None], self.listen(sound.patches_BxSxM, train), 0)

    @property
    def features(self) -> int:
        """How many numbers a sound becomes."""
        patch = jax.ShapeDtypeStruct((1, STEPS, BANDS), self.param_dtype)
        listen: Any = functools.partial(self.init_with_output, train=False, method=Hearing.listen)
        return self.width or jax.eval_shape(listen, jax.random.key(0), patch)[0].shape[1]

    @nn.compact
    def listen(self, patches_BxSxM: jax.Array, train: bool) -> jax.Array:
        """Returns features B x width of patches in which there is something to hear."""
        trunk: Any = self.trunk
        map_BxHxWxD = trunk(patches_BxSxM[..., None].astype(self.param_dtype), train)
        activation = ACTIVATIONS[getattr(trunk, "ACTIVATION", "none")]
        flat_BxN = activation(map_BxHxWxD).reshape(len(map_BxHxWxD), -1).astype(self.param_dtype)
        if not self.width:
            return flat_BxN
        dense = nn.Dense(self.width, kernel_init=he_normal, param_dtype=self.param_dtype, name="fc")
        return nn.relu(dense(flat_BxN))


class Stack(nn.Module):
    """The cheapest trunk of a sound: the steps of its spectrogram around the frame as they are, without parameters.

    M3T stacks 5 steps, three a frame of video, of 40 bands: 200 numbers. Ours are the 5 in the middle of a patch, which
    are a hundredth of a second apart, with all 64 bands that are stored: 320 numbers. (40 bands cannot be made of the
    64: they are sums over other parts of the spectrum.)
    """

    remat: bool = False
    axis_name: str | None = None
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, patches_BxSxMx1: jax.Array, train: bool) -> jax.Array:
        """Returns B x STACKED x M x 1; the one in the middle is the frame's own moment."""
        first = patches_BxSxMx1.shape[1] // 2 - STACKED // 2
        return patches_BxSxMx1[:, first : first + STACKED].astype(self.dtype)


class Blind(nn.Module):
    """The trunk of a model that hears and does not see: a map without any feature, of any images."""

    remat: bool = False
    axis_name: str | None = None
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Returns B x 1 x 1 x 0."""
        return jnp.zeros((len(images_BxHxWxC), 1, 1, 0), self.dtype)
