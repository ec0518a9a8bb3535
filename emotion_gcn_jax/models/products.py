"""Convolutions as matrix products where XLA's compiler for CPUs is slow at them: mostly in the kernels' gradients.

On a GPU and a TPU all of this is the plain operation. docs/performance.md has the measurements, and what did not help.
"""

import contextlib
import contextvars
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

_as_convolutions = contextvars.ContextVar("as_convolutions", default=False)


@contextlib.contextmanager
def as_convolutions() -> Iterator[None]:
    """While this lasts, what is traced has 1x1 convolutions as such, not as products of matrices.

    TensorFlow Lite's converter makes a product of matrices between two changes of shape into one of maps, which its own
    checks then refuse (TensorFlow 2.21, DenseNet at 32 pixels).
    """
    token = _as_convolutions.set(True)
    try:
        yield
    finally:
        _as_convolutions.reset(token)


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
    if _as_convolutions.get() and x.ndim == 4:
        return _plain_conv(x, kernel_CxF[None, None], stride=1)
    y_NxF = x.reshape(-1, x.shape[-1]) @ kernel_CxF
    return y_NxF.reshape(*x.shape[:-1], kernel_CxF.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv(x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, stride: int = 1, margin: int | None = None) -> jax.Array:
    """A square convolution. Gradients are by reverse mode only.

    Args:
        x_BxHxWxC: the map.
        kernel_KxKxCxF: of its dtype; K is odd.
        stride: in both directions.
        margin: zeros on each side, below K; None is K // 2, which leaves the map as large as it is at a stride of 1.

    Returns:
        B x H' x W' x F; H' is (H + 2 margin - K) // stride + 1, with the usual margin ceil(H / stride); so is W'.
    """
    return _plain_conv(x_BxHxWxC, kernel_KxKxCxF, stride, margin)


def _plain_conv(x: jax.Array, kernel: jax.Array, stride: int, margin: int | None = None) -> jax.Array:
    margins = (_margin(kernel.shape[0], margin),) * 2
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), (margins, margins), dimension_numbers=layout)


def _margin(size: int, margin: int | None) -> int:
    return size // 2 if margin is None else margin


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, margin: int | None
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _plain_conv(x, kernel, stride, margin), (x, kernel)


def _backward(
    stride: int, margin: int | None, saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    size, shape = kernel.shape[0], x.shape
    plain = functools.partial(_plain_map_gradient, shape=shape, stride=stride, margin=margin)
    is_half = x.dtype == jnp.bfloat16
    of_map = lax.platform_dependent(
        kernel,
        gradient,
        cpu=functools.partial(map_gradient, shape=shape, stride=stride, margin=margin) if is_half else plain,
        default=plain,
    )
    of_kernel = lax.platform_dependent(
        x,
        gradient,
        cpu=functools.partial(kernel_gradient, size=size, stride=stride, margin=margin),
        default=functools.partial(_plain_kernel_gradient, size=size, stride=stride, margin=margin),
    )
    return of_map, of_kernel


def _plain_map_gradient(
    kernel: jax.Array, gradient: jax.Array, *, shape: tuple[int, ...], stride: int, margin: int | None
) -> jax.Array:
    _, of_map = jax.vjp(lambda x: _plain_conv(x, kernel, stride, margin), jnp.zeros(shape, gradient.dtype))
    return of_map(gradient)[0]


def map_gradient(
    kernel_KxKxCxF: jax.Array,
    gradient_BxHxWxF: jax.Array,
    *,
    shape: tuple[int, ...],
    stride: int,
    margin: int | None = None,
) -> jax.Array:
    """The gradient of conv's map as a convolution of stride 1 with the turned kernel, which is made first.

    oneDNN takes it, in bfloat16, at the speed of the forward convolution. A kernel that XLA is only told to read
    backwards it leaves to slower code.

    Args:
        kernel_KxKxCxF: conv's.
        gradient_BxHxWxF: of the output; its H and W are those of the output.
        shape: of the map.
        stride: of the convolution.
        margin: likewise.

    Returns:
        The gradient, of `shape`.
    """
    size = kernel_KxKxCxF.shape[0]
    margin = size - 1 - _margin(size, margin)  # beyond which no place of the output has met the map
    spread = [(0, 0, 0)]  # zeros between the places that the stride skipped, and behind the last up to the map's size
    for side, places in zip(shape[1:3], gradient_BxHxWxF.shape[1:3], strict=True):
        whole = side + size - 1 - 2 * margin
        spread.append((0, whole - (stride * (places - 1) + 1), stride - 1))
    gradient = lax.pad(gradient_BxHxWxF, jnp.zeros((), gradient_BxHxWxF.dtype), [*spread, (0, 0, 0)])
    turned = jnp.flip(kernel_KxKxCxF, (0, 1)).transpose(0, 1, 3, 2)
    gradient, turned = lax.optimization_barrier((gradient, turned))
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(gradient, turned, (1, 1), ((margin,) * 2,) * 2, dimension_numbers=layout)


def _plain_kernel_gradient(
    x: jax.Array, gradient: jax.Array, *, size: int, stride: int, margin: int | None
) -> jax.Array:
    zeros = jnp.zeros((size, size, x.shape[-1], gradient.shape[-1]), x.dtype)
    _, of_kernel = jax.vjp(lambda kernel: _plain_conv(x, kernel, stride, margin), zeros)
    return of_kernel(gradient)[0]


def kernel_gradient(
    x_BxHxWxC: jax.Array, gradient_BxHxWxF: jax.Array, *, size: int, stride: int, margin: int | None = None
) -> jax.Array:
    """The gradient of conv's kernel: one side times K x K shifted copies of the other, a product of two matrices.

    The side with fewer channels is copied, the map where the stride is not 1. A few images at a time, so that the
    copies stay in the cache; summed in at least float32.

    Args:
        x_BxHxWxC: the map.
        gradient_BxHxWxF: of the output; its H and W are those of the output.
        size: K.
        stride: of the convolution.
        margin: likewise.

    Returns:
        K x K x C x F, of x's dtype.
    """
    batch, height, width, features = gradient_BxHxWxF.shape
    channels = x_BxHxWxC.shape[-1]
    precise = jnp.promote_types(x_BxHxWxC.dtype, jnp.float32)
    chunk = max(n for n in range(1, batch + 1) if batch % n == 0 and (n == 1 or n * height * width <= _ROWS))
    margin = _margin(size, margin)
    copies_gradient = stride == 1 and features <= channels

    def add(total: jax.Array, both: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        x, gradient = both
        if copies_gradient:
            left, right = x, _shifted(gradient, size - 1 - margin, range(size - 1, -1, -1), x.shape[1:3])
        else:
            left, right = gradient, _shifted(x, margin, range(size), (height, width), stride)
        left_NxC, right_NxD = left.reshape(-1, left.shape[-1]), right.reshape(-1, right.shape[-1])
        if (
            x.dtype == jnp.bfloat16
        ):  # the processor's units for bfloat16 want matrices as they lie in memory, and round what they add
            left_CxN, right_NxD = lax.optimization_barrier((left_NxC.T, right_NxD))
            return total + (left_CxN @ right_NxD).astype(precise), None
        contract_rows = (((0,), (0,)), ((), ()))
        return total + lax.dot_general(left_NxC, right_NxD, contract_rows, preferred_element_type=precise), None

    kept, copied = (channels, features) if copies_gradient else (features, channels)
    total = jnp.zeros((kept, size * size * copied), precise)
    if chunk == batch:
        total, _ = add(total, (x_BxHxWxC, gradient_BxHxWxF))
    else:
        chunks = (a.reshape(-1, chunk, *a.shape[1:]) for a in (x_BxHxWxC, gradient_BxHxWxF))
        total, _ = lax.scan(add, total, tuple(chunks))
    order = (1, 2, 0, 3) if copies_gradient else (1, 2, 3, 0)
    return total.reshape(kept, size, size, copied).transpose(order).astype(x_BxHxWxC.dtype)


def _shifted(map_BxHxWxC: jax.Array, margin: int, places: range, sides: tuple[int, ...], stride: int = 1) -> jax.Array:
    """What the kernel's places meet of a map, at every place of the other one: B x sides x len(places)^2 C."""
    margins = (margin, margin)
    padded = jnp.pad(map_BxHxWxC, ((0, 0), margins, margins, (0, 0)))
    rows, columns = (stride * (side - 1) + 1 for side in sides)
    copies = [padded[:, i : i + rows : stride, j : j + columns : stride] for i in places for j in places]
    return jnp.concatenate(copies, -1)


conv.defvjp(_forward, _backward)
