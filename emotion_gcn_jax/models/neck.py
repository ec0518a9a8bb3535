"""What may stand between readout and head, shared by all tasks: hidden layers, dropout, an embedding."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from emotion_gcn_jax.models import layers
from emotion_gcn_jax.trees import Dtype


class Neck(nn.Module):
    """Features to features; every part may be missing.

    An embedding is a linear layer and a batch norm whose factors are fixed at 1, without an activation, as networks of
    InsightFace's end: features that have passed a ReLU are never negative, and no two of them are more than 90 degrees
    apart, which ArcFace wants of two classes (Aff-Wild2 spec, section 5).

    Attributes:
        hidden: the widths of fully connected layers, each with a ReLU.
        dropout: the share that training sets to 0 of what every hidden layer makes; without one, of the features.
        embedding: the embedding's width; 0 is none.
        axis_name: the mapped axis over which one global batch is spread; None on a single device.
        param_dtype: of the parameters and of the computation.
    """

    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    embedding: int = 0
    axis_name: str | None = None
    param_dtype: Dtype = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers that have parameters, each of which takes what the one before it makes."""
        hidden = (f"hidden{number}" for number in range(1, len(self.hidden) + 1))
        return (*hidden, *(("embedding", "norm") if self.embedding else ()))

    @nn.compact
    def __call__(self, features_BxD: jax.Array, train: bool) -> jax.Array:
        """Returns B x the width of the last part.

        Args:
            features_BxD: in the parameters' dtype.
            train: whether values are dropped, and the norm uses (and records) the batch's moments.
        """
        dense = functools.partial(nn.Dense, param_dtype=self.param_dtype)
        x = features_BxD
        for number, width in enumerate(self.hidden, start=1):
            x = nn.relu(dense(width, kernel_init=layers.he_normal, name=f"hidden{number}")(x))
            x = layers.Dropout(self.dropout, self.axis_name, name=f"dropout{number}")(x, train)
        if not self.hidden:
            x = layers.Dropout(self.dropout, self.axis_name, name="dropout")(x, train)
        if not self.embedding:
            return x
        x = dense(self.embedding, kernel_init=layers.torch_uniform, name="embedding")(x)
        moments = layers.batch_moments(x, self.axis_name) if train else None
        norm = layers.BatchNorm(has_scale=False, dtype=self.param_dtype, param_dtype=self.param_dtype, name="norm")
        return norm(x, moments)
