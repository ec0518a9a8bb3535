"""Random changes of training images on the device, before they are normalised: pure JAX, inside the step.

Each example has a key of its own, made from the seed, the step and the example's position in the global batch. So it
is changed in the same way on one device as on eight, and in a run that was continued as in one that never stopped.
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from emotion_gcn_jax.data.inputs import IMAGENET_MEAN
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.sound.mel import BANDS, STEPS

_GREY_WEIGHTS = (0.2989, 0.587, 0.114)  # torchvision's rgb_to_grayscale
_ERASED_RATIO = (0.3, 3.3)  # height / width, torchvision's RandomErasing

_LIMITS = {
    "flip_probability": 1.0,
    "hue": 0.5,
    "grey_probability": 1.0,
    "low_resolution": 0.9,
    "rotation_degrees": 180.0,
    "zoom": 0.5,
    "shift": 0.5,
    "erase_probability": 1.0,
    "sound_mask_steps": STEPS,
    "sound_mask_bands": BANDS,
}

_FIXED_POINT = 18  # fraction bits: coordinates in images of 2,048 pixels still fit 32 bits, with errors below 0.01
_LARGEST_MOVED = 1024  # pixels: what is zoomed by half and shifted by half a side has coordinates of twice as many


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How strongly training images are changed. What is 0 is not computed at all; the defaults are the official recipe.

    Raises a UserError for what lies outside its range: 0..1 for probabilities and shares, 0..0.5 for hue, zoom and
    shift, 0..0.9 for low_resolution, 0..180 for the angle, up to a patch's steps and bands for the widths of stripes, 0
    or more for the rest.

    Attributes:
        flip_probability: of a mirror image.
        brightness: factor drawn from [max(0, 1 - brightness), 1 + brightness]; so for the next two.
        contrast: factor of the distance from the image's mean grey.
        saturation: factor of the distance from the pixel's own grey.
        hue: shift drawn from [-hue, hue], in turns of the colour circle.
        grey_probability: that a colour image becomes grey.
        low_resolution: side drawn from [1 - low_resolution, 1] of the image's own, to which it is reduced and enlarged
            again.
        rotation_degrees: angle drawn from [-rotation_degrees, rotation_degrees].
        zoom: scale drawn from [1 - zoom, 1 + zoom]; above 1 magnifies.
        shift: whole pixels drawn from [-shift, shift] of the side, downwards and to the right each.
        erase_probability: of one rectangle in the mean colour.
        erase_area: the least and the largest share of the image that the rectangle has; torchvision's by default.
        mixup: alpha of Beta(alpha, alpha), from which the shares of two mixed images are drawn; see training/step.py.
        sound_masks: so many stripes of time, and as many of pitch, are masked in what is heard; see sound_masks.py.
        sound_mask_steps: the largest width of a stripe of time, in steps of 10 ms. This default and the next one are
            those of SpecAugment's policy SM (table 1), which has two stripes of each kind: up to 70 steps, but no more
            than 0.2 of all, which are 96 here; and up to 15 bands.
        sound_mask_bands: the same of pitch, in bands.
    """

    flip_probability: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey_probability: float = 0.0
    low_resolution: float = 0.0
    rotation_degrees: float = 30.0
    zoom: float = 0.0
    shift: float = 0.0
    erase_probability: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.33)
    mixup: float = 0.0
    sound_masks: int = 0
    sound_mask_steps: int = 19
    sound_mask_bands: int = 15

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            limit = _LIMITS.get(field.name, float("inf"))
            if field.name != "erase_area" and not 0 <= value <= limit:
                raise UserError(f"The augmentation's {field.name} must lie in 0..{limit:g}: found {value}.")
        are_numbers = all(isinstance(share, int | float) for share in self.erase_area)
        if not are_numbers or len(self.erase_area) != 2 or not 0 < self.erase_area[0] <= self.erase_area[1] <= 1:
            raise UserError(
                f"The augmentation's erase_area must be the least and the largest share of an image, such as "
                f"(0.02, 0.33): found {self.erase_area}."
            )

    def check_side(self, side: int) -> None:
        """Raises UserError for images too large to be zoomed or shifted."""
        if (self.zoom or self.shift) and side > _LARGEST_MOVED:
            raise UserError(
                f"config.augmentation.zoom and shift are for images of at most {_LARGEST_MOVED} pixels a side, and "
                f"config.input.side is {side}: set both to 0, or choose a smaller side."
            )


def example_keys(seed_key: jax.Array, step: ArrayLike, positions_B: jax.Array) -> jax.Array:
    """Returns B keys, one for each position in the global batch of the step."""
    step_key = jax.random.fold_in(seed_key, step)
    return jax.vmap(partial(jax.random.fold_in, step_key))(positions_B)


def augment(
    images_BxHxWxC: jax.Array,
    keys_B: jax.Array,
    augmentation: Augmentation,
    *,
    crop: int = 0,
    fill: tuple[float, ...] = IMAGENET_MEAN,
    dtype: DTypeLike = jnp.float32,
) -> jax.Array:
    """Changes each image at random: colours, resolution, place, crop, erasing, as far as they are asked for.

    Flip, rotation, zoom and shift are one map, which takes the nearest pixel and fills what comes from outside with 0,
    black before normalising. The colour changes follow torchvision's formulas, always in the order brightness,
    contrast, saturation, hue, grey; the last three leave grey images as they are.

    Args:
        images_BxHxWxC: uint8, RGB or grey, sides up to 2,048.
        keys_B: a key for each image, from `example_keys`.
        augmentation: what to do, except for mixing.
        crop: side of a square that is cut out anywhere; 0 for none.
        fill: the colour of an erased rectangle, each channel in 0..1: the mean, which normalising makes 0.
        dtype: of the result. What is drawn does not depend on it.

    Returns:
        Images in 0..255, BxHxWxC (or crop for H and W) of the given dtype.
    """
    change = partial(_augment_one, augmentation=augmentation, crop=crop, fill=fill, dtype=dtype)
    return jax.vmap(change)(images_BxHxWxC, keys_B)


def move(
    image_HxWxC: jax.Array,
    flip: ArrayLike,
    degrees: ArrayLike,
    scale: ArrayLike | None = None,
    shift: tuple[ArrayLike, ArrayLike] = (0, 0),
) -> jax.Array:
    """Mirrors the image if `flip`, turns it counter-clockwise and magnifies it about its centre, then shifts it.

    The nearest pixels are taken. The coordinates are in fixed point: a float's last bit would depend on how a program
    was compiled, and with it, near ties, the pixel that is taken, so that one device would not see what eight see.

    Args:
        image_HxWxC: any dtype, sides up to 2,048; up to 1,024 if it is magnified or shifted.
        flip: a truth value.
        degrees: the angle.
        scale: how many times as large everything becomes, at least 0.5; None leaves its size.
        shift: whole pixels downwards and to the right, at most half a side.

    Returns:
        HxWxC of the same dtype; 0 where there is nothing.
    """
    height, width, channels = image_HxWxC.shape
    angle = degrees * jnp.float32(jnp.pi / 180)
    unit = 2**_FIXED_POINT if scale is None else 2**_FIXED_POINT / scale
    cosine = jnp.round(jnp.cos(angle) * unit).astype(jnp.int32)
    sine = jnp.round(jnp.sin(angle) * unit).astype(jnp.int32)
    # Twice the distance from the centre, which lies on a pixel or between two: so these are whole numbers.
    down, right = shift
    x_W = 2 * (jnp.arange(width, dtype=jnp.int32) - right) - (width - 1)
    y_Hx1 = 2 * (jnp.arange(height, dtype=jnp.int32)[:, None] - down) - (height - 1)
    column = _nearest(cosine * x_W - sine * y_Hx1, width)
    row = _nearest(sine * x_W + cosine * y_Hx1, height)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column = jnp.where(flip, width - 1 - column, column)
    pixels = image_HxWxC.reshape(height * width, channels)
    turned = pixels.at[jnp.where(inside, row * width + column, 0)].get(mode="promise_in_bounds")
    return jnp.where(inside[..., None], turned, 0)


def adjust_brightness(image_HxWxC: jax.Array, factor: ArrayLike) -> jax.Array:
    """Multiplies an image in 0..255 by the factor and cuts it to that range, as do the next two: float32 HxWxC."""
    return _blend(image_HxWxC, 0.0, factor)


def adjust_contrast(image_HxWxC: jax.Array, factor: ArrayLike) -> jax.Array:
    """Multiplies the distance of an image in 0..255 from its mean grey by the factor: float32 HxWxC."""
    return _blend(image_HxWxC, _grey(image_HxWxC).mean(), factor)


def adjust_saturation(image_HxWxC: jax.Array, factor: ArrayLike) -> jax.Array:
    """Multiplies the distance of each pixel in 0..255 from its own grey by the factor: float32 HxWxC."""
    return _blend(image_HxWxC, _grey(image_HxWxC), factor)


def adjust_hue(image_HxWxC: jax.Array, turns: ArrayLike) -> jax.Array:
    """Turns the colour circle of an image in 0..255 by a share of a full turn, at equal HSV saturation and value.

    With hue h in sixths of a turn, largest channel v and span r between the channels, red, green and blue are
    v - r * clip(min(k, 4 - k), 0, 1), where k = (5 + h, 3 + h, 1 + h) mod 6: the closed form of HSV's six cases.

    Returns:
        float32 HxWxC.
    """
    image = image_HxWxC.astype(jnp.float32)
    red, green, blue = jnp.moveaxis(image, -1, 0)
    largest = image.max(-1)
    span = largest - image.min(-1)
    # No test for equality with the largest: XLA may compute a channel twice, and differently in the last bit.
    sixths = jnp.select(
        [(red >= green) & (red >= blue), green >= blue],
        [green - blue, blue - red + 2 * span],
        red - green + 4 * span,
    ) / jnp.where(span == 0, 1, span)
    k = (jnp.asarray([5, 3, 1], jnp.float32) + (sixths + 6 * turns)[..., None]) % 6
    return largest[..., None] - span[..., None] * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)


def lower_resolution(image_HxWxC: jax.Array, size: tuple[ArrayLike, ArrayLike]) -> jax.Array:
    """Reduces an image to a size in pixels, averaging by triangles as Pillow does, and enlarges it linearly again.

    Args:
        image_HxWxC: any dtype.
        size: height and width, whole numbers of at least 1 and at most the image's own.

    Returns:
        float32 HxWxC; the image itself for its own size.
    """
    there_HxH, there_WxW = (
        _there_and_back(side, small) for side, small in zip(image_HxWxC.shape[:2], size, strict=True)
    )
    image, exact = image_HxWxC.astype(jnp.float32), jax.lax.Precision.HIGHEST
    return jnp.einsum("hi,wj,ijc->hwc", there_HxH, there_WxW, image, precision=exact)


def _there_and_back(side: int, small: ArrayLike) -> jax.Array:
    """The matrix, side x side, that reduces a row of pixels to `small` of them and enlarges it again."""
    places_N, ratio = jnp.arange(side, dtype=jnp.float32), small / jnp.float32(side)
    # Row i says how much every pixel counts in the i-th of the few; rows from `small` on are used for nothing.
    reduced_NxN = jnp.maximum(0, 1 - jnp.abs((places_N + 0.5) * ratio - (places_N[:, None] + 0.5)))
    reduced_NxN /= jnp.maximum(reduced_NxN.sum(1, keepdims=True), 0.5)
    between_N = jnp.clip((places_N + 0.5) * ratio - 0.5, 0, small - 1)
    enlarged_NxN = jnp.maximum(0, 1 - jnp.abs(between_N[:, None] - places_N))
    return jnp.matmul(enlarged_NxN, reduced_NxN, precision=jax.lax.Precision.HIGHEST)


def _augment_one(
    image_HxWxC: jax.Array,
    key: jax.Array,
    *,
    augmentation: Augmentation,
    crop: int,
    fill: tuple[float, ...],
    dtype: DTypeLike,
) -> jax.Array:
    flip_key, jitter_key, rotation_key, erase_key = jax.random.split(key, 4)
    # Apart from the four, so that a run from before there were more draws what it drew.
    grey_key, resolution_key, zoom_key, shift_key, crop_key = (jax.random.fold_in(key, n) for n in range(4, 9))
    image = _jitter(image_HxWxC, jitter_key, augmentation)
    if augmentation.grey_probability and image.shape[-1] == 3:
        is_grey = jax.random.bernoulli(grey_key, jnp.float32(augmentation.grey_probability))
        image = jnp.where(is_grey, _grey(image), image.astype(jnp.float32))
    if augmentation.low_resolution:
        least = [math.ceil(side * (1 - augmentation.low_resolution)) for side in image.shape[:2]]
        image = lower_resolution(image, _whole(resolution_key, least, image.shape[:2]))
    image = _move_at_random(image, (flip_key, rotation_key, zoom_key, shift_key), augmentation)
    if crop:
        top, left = _whole(crop_key, (0, 0), [side - crop for side in image.shape[:2]])
        image = jax.lax.dynamic_slice(image, (top, left, jnp.int32(0)), (crop, crop, image.shape[-1]))
    image = image.astype(dtype)
    if augmentation.erase_probability:
        image = _erase(image, erase_key, augmentation, fill)
    return image


def _move_at_random(image_HxWxC: jax.Array, keys: Sequence[jax.Array], augmentation: Augmentation) -> jax.Array:
    flip_key, rotation_key, zoom_key, shift_key = keys
    flip = jax.random.bernoulli(flip_key, jnp.float32(augmentation.flip_probability))
    if not (augmentation.rotation_degrees or augmentation.zoom or augmentation.shift):
        return jnp.where(flip, image_HxWxC[:, ::-1], image_HxWxC) if augmentation.flip_probability else image_HxWxC
    degrees, zoom = augmentation.rotation_degrees, augmentation.zoom
    scale = _uniform(zoom_key, 1 - zoom, 1 + zoom) if zoom else None
    shift: tuple[ArrayLike, ArrayLike] = (0, 0)
    if augmentation.shift:
        most = [math.floor(side * augmentation.shift) for side in image_HxWxC.shape[:2]]
        shift = _whole(shift_key, [-pixels for pixels in most], most)
    return move(image_HxWxC, flip, _uniform(rotation_key, -degrees, degrees), scale, shift)


def _jitter(image_HxWxC: jax.Array, key: jax.Array, augmentation: Augmentation) -> jax.Array:
    image, has_colour = image_HxWxC, image_HxWxC.shape[-1] == 3
    brightness_key, contrast_key, saturation_key, hue_key = jax.random.split(key, 4)
    if augmentation.brightness:
        image = adjust_brightness(image, _factor(brightness_key, augmentation.brightness))
    if augmentation.contrast:
        image = adjust_contrast(image, _factor(contrast_key, augmentation.contrast))
    if augmentation.saturation and has_colour:
        image = adjust_saturation(image, _factor(saturation_key, augmentation.saturation))
    if augmentation.hue and has_colour:
        image = adjust_hue(image, _uniform(hue_key, -augmentation.hue, augmentation.hue))
    return image


def _factor(key: jax.Array, strength: float) -> jax.Array:
    return _uniform(key, max(0.0, 1.0 - strength), 1.0 + strength)


def _uniform(key: jax.Array, lowest: float, highest: float) -> jax.Array:
    """Draws in float32, whatever JAX's default is, so that float64 training sees the same images."""
    return jax.random.uniform(key, (), jnp.float32, lowest, highest)


def _whole(key: jax.Array, least: Sequence[int], most: Sequence[int]) -> tuple[jax.Array, jax.Array]:
    """Draws two whole numbers, each from its own least to its own most; nothing of them depends on rounding."""
    first, second = jax.random.split(key)
    return (
        jax.random.randint(first, (), least[0], most[0] + 1, jnp.int32),
        jax.random.randint(second, (), least[1], most[1] + 1, jnp.int32),
    )


def _nearest(doubled: jax.Array, side: int) -> jax.Array:
    """Returns the index of the pixel nearest to a place given in half pixels from the centre, in fixed point."""
    return (doubled + (side << _FIXED_POINT)) >> (_FIXED_POINT + 1)


def _blend(image_HxWxC: jax.Array, other: ArrayLike, factor: ArrayLike) -> jax.Array:
    return jnp.clip(factor * image_HxWxC.astype(jnp.float32) + (1 - factor) * other, 0, 255)


def _grey(image_HxWxC: jax.Array) -> jax.Array:
    """Returns float32 HxWx1."""
    if image_HxWxC.shape[-1] == 1:
        return image_HxWxC.astype(jnp.float32)
    return (image_HxWxC * jnp.asarray(_GREY_WEIGHTS, jnp.float32)).sum(-1, keepdims=True)


def _erase(image_HxWxC: jax.Array, key: jax.Array, augmentation: Augmentation, fill: tuple[float, ...]) -> jax.Array:
    """Fills a rectangle with a colour, with the probability that was asked for.

    A rectangle that would be longer than the image is cut to it (torchvision draws again).
    """
    height, width, _ = image_HxWxC.shape
    happens_key, area_key, ratio_key, row_key, column_key = jax.random.split(key, 5)
    area = _uniform(area_key, *augmentation.erase_area) * (height * width)
    ratio = jnp.exp(_uniform(ratio_key, *map(math.log, _ERASED_RATIO)))
    erased_height = jnp.minimum(jnp.round(jnp.sqrt(area * ratio)), height).astype(jnp.int32)
    erased_width = jnp.minimum(jnp.round(jnp.sqrt(area / ratio)), width).astype(jnp.int32)
    top = jax.random.randint(row_key, (), 0, height - erased_height + 1, jnp.int32)
    left = jax.random.randint(column_key, (), 0, width - erased_width + 1, jnp.int32)
    rows = jnp.arange(height)[:, None] - top
    columns = jnp.arange(width) - left
    erased = (rows >= 0) & (rows < erased_height) & (columns >= 0) & (columns < erased_width)
    erased &= jax.random.bernoulli(happens_key, jnp.float32(augmentation.erase_probability))
    return jnp.where(erased[..., None], 255 * jnp.asarray(fill, image_HxWxC.dtype), image_HxWxC)
