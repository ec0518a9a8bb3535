"""A trunk for tests that are not about trunks: XLA compiles its training step in a third of densenet_tiny's time."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Plain(nn.Module):
    """What somebody writes who knows Flax: natural names, Flax's own norm, and nothing of folding or PyTorch."""

    remat: bool = False
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        x, types = images_BxHxWxC, {"dtype": self.dtype, "param_dtype": self.param_dtype}
        for number, width in enumerate((8, 16), start=1):
            x = nn.Conv(width, (3, 3), 2, **types, name=f"conv{number}")(x)
            x = nn.BatchNorm(not train, axis_name=self.axis_name, **types, name=f"norm{number}")(x)
            x = nn.relu(x)
        return x
