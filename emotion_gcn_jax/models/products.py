"""Convolutions as matrix products where XLA's compiler for CPUs is slow at them: mostly in the kernels' gradients.

On a GPU and a TPU all of this is the plain operation. docs/performance.md has the measurements, and what did not help.
"""

import jax
import jax.numpy as jnp
from jax import lax

_ROWS = 4096  # of a chunk: with 128 channels 2 MB of a map, which stay in a core's second-level cache while used


def pointwise(x: jax.Array, kernel_CxF: jax.Array) -> jax.Array:
    """A 1x1 convolution: the product of the last axis.

    As one product of two matrices, since its kernel's gradient then is one too. Of a product of four axes XLA
    transposes the whole map first, which takes longer than the product.

    Args:
        x: ... x C.
        kernel_CxF: of x's dtype.

    Returns:
        ... x F.
    """
    y_NxF = x.reshape(-1, x.shape[-1]) @ kernel_CxF
    return y_NxF.reshape(*x.shape[:-1], kernel_CxF.shape[-1])


@jax.custom_vjp
def conv_3x3(x_BxHxWxC: jax.Array, kernel_3x3xCxF: jax.Array) -> jax.Array:
    """A 3x3 convolution with stride 1 and a margin of one zero. Gradients are by reverse mode only.

    Args:
        x_BxHxWxC: the map.
        kernel_3x3xCxF: of its dtype.

    Returns:
        B x H x W x F.
    """
    return _plain_conv_3x3(x_BxHxWxC, kernel_3x3xCxF)


def _plain_conv_3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _plain_conv_3x3(x, kernel), (x, kernel)


def _backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    _, of_map = jax.vjp(lambda x: _plain_conv_3x3(x, kernel), x)
    of_kernel = lax.platform_dependent(x, gradient, cpu=kernel_gradient, default=_plain_kernel_gradient)
    return *of_map(gradient), of_kernel


def _plain_kernel_gradient(x_BxHxWxC: jax.Array, gradient_BxHxWxF: jax.Array) -> jax.Array:
    zeros = jnp.zeros((3, 3, x_BxHxWxC.shape[-1], gradient_BxHxWxF.shape[-1]), x_BxHxWxC.dtype)
    _, of_kernel = jax.vjp(lambda kernel: _plain_conv_3x3(x_BxHxWxC, kernel), zeros)
    return of_kernel(gradient_BxHxWxF)[0]


def kernel_gradient(x_BxHxWxC: jax.Array, gradient_BxHxWxF: jax.Array) -> jax.Array:
    """The gradient of conv_3x3's kernel: the map times nine shifted copies of the output's gradient.

    A few images at a time, so that the copies stay in the cache; summed in at least float32.

    Args:
        x_BxHxWxC: the map.
        gradient_BxHxWxF: of the output.

    Returns:
        3 x 3 x C x F, of x's dtype.
    """
    batch, height, width, channels = x_BxHxWxC.shape
    features = gradient_BxHxWxF.shape[-1]
    precise = jnp.promote_types(x_BxHxWxC.dtype, jnp.float32)
    chunk = max(n for n in range(1, batch + 1) if batch % n == 0 and (n == 1 or n * height * width <= _ROWS))

    def add(total: jax.Array, both: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        x, gradient = both
        padded = jnp.pad(gradient, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifted = [padded[:, 2 - i : 2 - i + height, 2 - j : 2 - j + width] for i in range(3) for j in range(3)]
        copies_Nx9F = jnp.concatenate(shifted, -1).reshape(-1, 9 * features)
        contract_rows = (((0,), (0,)), ((), ()))
        x_NxC = x.reshape(-1, channels)
        return total + lax.dot_general(x_NxC, copies_Nx9F, contract_rows, preferred_element_type=precise), None

    total_Cx9F = jnp.zeros((channels, 9 * features), precise)
    if chunk == batch:
        total_Cx9F, _ = add(total_Cx9F, (x_BxHxWxC, gradient_BxHxWxF))
    else:
        chunks = (a.reshape(-1, chunk, *a.shape[1:]) for a in (x_BxHxWxC, gradient_BxHxWxF))
        total_Cx9F, _ = lax.scan(add, total_Cx9F, tuple(chunks))
    return total_Cx9F.reshape(channels, 3, 3, features).transpose(1, 2, 0, 3).astype(x_BxHxWxC.dtype)


conv_3x3.defvjp(_forward, _backward)
