"""The spatial transformer: a map read at places that an affine transformation gives (Jaderberg et al., NeurIPS 2015).

The six numbers of theta, as two rows of three, take target coordinates (x, y, 1) to source coordinates (x, y), both in
-1..1 from the first to the last column and row. What -1 and 1 mean is one of two conventions, PyTorch's align_corners:
False, the outer edges of the outer pixels; True, their centres. Places outside the map are 0, so an edge fades.

Places are computed in pixels from the middle of the map. So the identity reads every pixel at exactly its own place: it
changes no bit, and the gradient there, where bilinear interpolation has a kink, does not depend on rounding.
"""

import functools

import jax
import jax.numpy as jnp


def affine_grid(theta_Bx2x3: jax.Array, height: int, width: int, *, align_corners: bool = False) -> jax.Array:
    """The places at which a map is read.

    Args:
        theta_Bx2x3: the transformations; the first row gives x, the second y.
        height: of the map and of the result, in pixels.
        width: likewise.
        align_corners: the convention, see the module.

    Returns:
        places_BxHxWx2, columns and rows in pixels, counted from 0; in at least float32.
    """
    precise = jnp.promote_types(theta_Bx2x3.dtype, jnp.float32)
    (xx, xy, x1), (yx, yy, y1) = theta_Bx2x3.astype(precise).transpose(1, 2, 0)[..., None, None]  # each B x 1 x 1
    x_W = jnp.arange(width, dtype=precise) - (width - 1) / 2
    y_Hx1 = jnp.arange(height, dtype=precise)[:, None] - (height - 1) / 2
    # How many pixels lie between -1 and 1; a single one has no length between its centre and itself.
    across, down = (width - 1, height - 1) if align_corners else (width, height)
    columns = xx * x_W + xy * (y_Hx1 * (across / max(down, 1))) + (x1 * (across / 2) + (width - 1) / 2)
    rows = yx * (x_W * (down / max(across, 1))) + yy * y_Hx1 + (y1 * (down / 2) + (height - 1) / 2)
    return jnp.stack([columns, rows], -1)


def sample(map_BxHxWxC: jax.Array, places_BxRxQx2: jax.Array) -> jax.Array:
    """Reads a map at places between its pixels: bilinear, each of the four neighbours outside the map counting as 0.

    Args:
        map_BxHxWxC: any floating dtype.
        places_BxRxQx2: columns and rows in pixels, counted from 0.

    Returns:
        B x R x Q x C, of the map's dtype. On a pixel, the gradient in the place is the one towards larger places.
    """
    batch, height, width, channels = map_BxHxWxC.shape
    pixels_BxNxC = map_BxHxWxC.reshape(batch, height * width, channels)
    x, y = places_BxRxQx2[..., 0], places_BxRxQx2[..., 1]
    left, top = jnp.floor(x), jnp.floor(y)
    total = jnp.zeros((*x.shape, channels), jnp.promote_types(map_BxHxWxC.dtype, x.dtype))
    for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, across in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = jnp.where(inside, row * width + column, 0).astype(jnp.int32)
            weight = jnp.where(inside, down * across, 0)
            total += weight[..., None] * _pixels_at(pixels_BxNxC, index)
    return total.astype(map_BxHxWxC.dtype)


@functools.partial(jax.jit, static_argnames=("align_corners",))
def warp(map_BxHxWxC: jax.Array, theta_Bx2x3: jax.Array, *, align_corners: bool = False) -> jax.Array:
    """A map transformed by `affine_grid` and `sample`, of the same shape and dtype; one operator in ONNX."""
    _, height, width, _ = map_BxHxWxC.shape
    return sample(map_BxHxWxC, affine_grid(theta_Bx2x3, height, width, align_corners=align_corners))


@jax.vmap
def _pixels_at(pixels_NxC: jax.Array, index: jax.Array) -> jax.Array:
    return pixels_NxC.at[index].get(mode="promise_in_bounds")
